"""What is tried on a model before it is trusted: do interventions reach it, and may arms share
work?"""

import itertools
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from vlmlib import engine, oracle
from vlmlib.decoder import Decoder
from vlmlib.errors import ImageError, VLMError, VLMWarning
from vlmlib.hooks import Edit, after, before, hidden_in, with_hidden
from vlmlib.interventions import GENERATED, Ablate, Arm, Block
from vlmlib.layout import Layout
from vlmlib.masks import Masks, edges_of
from vlmlib.plan import Pass
from vlmlib.stimulus import Stimulus

# How far logits may be off, as a share of the largest one.
TOLERANCE = {
    torch.float64: 1e-4,
    torch.float32: 1e-4,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}
# Why what enters a layer cannot be replaced.
GIVEN_MORE = "it is given more of the picture than what enters it, which stays: it"
NOT_BACK = "putting back what enters it"
# A power of two, which rounds nothing.
LOUDER = 16
# What the engine hands to the language model, too.
KNOWN = {"inputs_embeds", "position_ids", "attention_mask", "cache_position"}


@contextmanager
def trying(model: PreTrainedModel, step: str) -> Iterator[None]:
    """While the context lasts, a step of wrapping a model is tried; what any library raises in it
    becomes a `VLMError` that names the step. What another amount of memory may mend, and a warning
    that is to be an error, stay what they are.

    !!! example

        >>> with trying(vlm.model, "counting its layers"):
        ...     print(len(vlm.decoder.layers))
        2
    """
    try:
        yield
    except ImageError as error:  # the picture was ours, so that it is at fault in nothing
        raise VLMError(str(error)) from error
    except (VLMError, torch.OutOfMemoryError, Warning):
        raise
    except Exception as error:  # models and processors raise whatever they like
        reason = " ".join(str(error).split())[:500]
        raise VLMError(
            f"{type(model).__name__} cannot be measured: {step} failed ({type(error).__name__}: "
            f"{reason}). Take the processor that was saved with this model, or pass prompt= where "
            "it is its chat template; keep all of the model in one type, on one device or where "
            "accelerate spread it; if it fails all the same, use another model."
        ) from error


def unshared(model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus) -> str:
    """Why the engine does not give on this model what one hooked forward pass per arm gives; ""
    where it does.

    It does not where a position's keys depend on later positions (bidirectional image blocks,
    prefix language models), where layers are fed anything beside the embeddings, or where the model
    does more to its logits than unembed. Then every arm has to run by itself, and a warning says
    so. Masks, inputs and unembedded logits are compared as they are, and logits of a few arms to
    the tolerance of the weights' type.

    **Raises:** `VLMError` if the logits are not finite, if they are others when the same is run
    again, if removing every attention edge into the last position leaves them as they are, or if
    removing those from one half of the visual tokens into the other leaves the hidden states of
    these as they are.

    !!! example

        >>> unshared(vlm.model, vlm.decoder, stimulus)
        ''
    """
    arms = _arms(decoder, stimulus)
    slow = torch.stack([oracle.next_token(model, decoder, stimulus, arm) for arm in arms])
    _check_edits_reach(model, slow)
    _check_repeats(model, decoder, slow[0], oracle.next_token(model, decoder, stimulus, []))
    _check_edits_reach_visual_tokens(model, decoder, stimulus)
    seen = given(decoder, model, stimulus.inputs)
    reason = more_than_a_causal_stack(decoder, stimulus, seen)
    if reason is None:
        reason = more_than_unembedded(model, decoder, stimulus)

    def apart() -> str | None:
        able = replace(decoder, prefix_alone=prefix_alone(decoder, stimulus, seen))
        return _logits_apart(able, stimulus, arms, slow)

    if reason is None:
        reason = failure_of(apart)
    if reason is None:
        return ""
    warnings.warn(
        f"{type(model).__name__}: arms cannot share work on this model, since {reason}. "
        "Each arm runs as one forward pass of its own: exact, but slow.",
        VLMWarning,
        stacklevel=3,
    )
    return reason


def failure_of(look: Callable[[], str | None]) -> str | None:
    """What was found, or what a model raised on the way, in words; that memory ran out, and what
    was raised outside of any module, stays an error.

    !!! example

        >>> failure_of(torch.nn.Identity())
        "it raised TypeError: Identity.forward() missing 1 required positional argument: 'input'"
    """
    try:
        return look()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        frames = traceback.walk_tb(error.__traceback__)
        if not any(frame.f_globals["__name__"] == nn.Module.__module__ for frame, _ in frames):
            raise
        return f"it raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def arms_apart(model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus) -> str | None:
    """How the engine's logits differ from the slow oracle's under a few arms, if they do.

    !!! example

        >>> arms_apart(vlm.model, vlm.decoder, stimulus)
    """
    arms = _arms(decoder, stimulus)
    slow = torch.stack([oracle.next_token(model, decoder, stimulus, arm) for arm in arms])
    return failure_of(lambda: _logits_apart(decoder, stimulus, arms, slow))


def tolerance(dtype: torch.dtype) -> float:
    """How far logits may be off that other operations give, as a share of the largest one.

    **Raises:** `VLMError` for a type of which that is not known.

    !!! example

        >>> tolerance(torch.float32)
        0.0001
    """
    if dtype not in TOLERANCE:
        known = ", ".join(str(each).removeprefix("torch.") for each in TOLERANCE)
        raise VLMError(
            f"The model computes in {dtype}, of which it is not known how far logits may be off. "
            f"Load it in one of {known}."
        )
    return TOLERANCE[dtype]


def off_by(found: Float[Tensor, "*shape"], expected: Float[Tensor, "*shape"]) -> float:
    """How far numbers are off others, as a share of the largest of these; infinitely far where
    either are not finite.

    !!! example

        >>> round(off_by(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 5.0])), 6)
        0.2
        >>> off_by(torch.tensor([torch.nan]), torch.tensor([2.0]))
        inf
    """
    if torch.equal(found, expected):
        return 0.0
    off = float((found - expected).abs().max() / expected.abs().max())
    return off if math.isfinite(off) else math.inf


def rounding(dtype: torch.dtype) -> float:
    """How far logits may be off that the same operations give once more, as a share of the largest
    one: a rounding, and in float32 what sums in another order make of it.

    !!! example

        >>> rounding(torch.float32), rounding(torch.bfloat16)
        (2e-05, 0.0078125)
    """
    return max(2e-5, torch.finfo(dtype).eps)


@torch.no_grad()
def more_than_unembedded(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> str | None:
    """What tells that a model does more to its logits than unembed, if it does.

    What its unembedding gives is held against what the model gives in the same pass, bit for bit,
    for the last hidden state and for that many times as large, where a soft cap shows that bends
    the logits of a small picture by less than a rounding.

    !!! example

        >>> more_than_unembedded(vlm.model, vlm.decoder, stimulus)
    """
    made: list[Tensor] = []

    def louder(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        hidden = hidden_in(args, kwargs)[..., -1:, :]
        return with_hidden(args, kwargs, torch.cat([hidden, LOUDER * hidden], -2))

    def keep(logits: Tensor) -> None:
        made.append(logits.flatten(end_dim=-2).clone())  # they may be changed in place

    with before(decoder.unembed, louder), after(decoder.unembed, keep):
        own = model(**stimulus.inputs, use_cache=False, logits_to_keep=0).logits[0, -2:]
    if any(torch.equal(each.to(own), own) for each in made):
        return None
    return "its logits are not just unembedded hidden states"


def closed_layers(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, other: Stimulus
) -> dict[int, str]:
    """Layers that give something else once what enters them is put back, or that are given more of
    a picture than what enters them, which replacing that leaves there; each with the reason.

    **Arguments:** two stimuli of one layout, with other pictures.

    !!! example

        >>> closed_layers(vlm.model, vlm.decoder, stimulus, stimulus)
        {}
    """
    tokens, layers = range(len(stimulus.embeddings)), range(len(decoder.layers))

    def look() -> None:
        theirs, own = (
            oracle.hidden_states(model, decoder, each, tokens, []) for each in (other, stimulus)
        )
        expected, clean = (oracle.leaving(model, decoder, each, []) for each in (other, stimulus))
        for some in _groups(layers[1:]):
            entering = {layer: (theirs if layer in some else own)[layer] for layer in layers}
            hold(entering, {layer: expected[layer] for layer in some}, GIVEN_MORE)
        hold(dict(zip(layers, own, strict=False)), dict(enumerate(clean)), NOT_BACK)

    def hold(entering: Mapping[int, Tensor], expected: Mapping[int, Tensor], told: str) -> None:
        arm = [Ablate(tokens, each, layer) for layer, each in entering.items()]
        again = oracle.leaving(model, decoder, stimulus, arm)
        for layer, each in expected.items():
            if (off := off_by(again[layer], each)) > tolerance(decoder.dtype) / 5:
                found[layer] = f"{told} moves what it gives by {off:.1e} of its scale"

    found: dict[int, str] = {}
    reason = failure_of(look)
    return found if reason is None else dict.fromkeys(layers, reason)


def _groups(layers: Sequence[int]) -> list[set[int]]:
    """A few groups of layers, such that of any two each is in one of them without the other, which
    may be what it is given more of: of as many groups each layer is in another half."""
    count = next(k for k in itertools.count(1) if math.comb(k, (k + 1) // 2) >= len(layers))
    halves = itertools.combinations(range(count), (count + 1) // 2)
    inside = dict(zip(layers, halves, strict=False))
    return [{layer for layer in inside if group in inside[layer]} for group in range(count)]


def _arms(decoder: Decoder, stimulus: Stimulus) -> list[Arm]:
    """The clean run, all edges into the last position removed, and some of every kind of
    intervention."""
    last, visual, middle = stimulus.last, stimulus.visual, len(decoder.layers) // 2
    attending = list(decoder.attending)[len(decoder.attending) // 2]
    half, value = visual[len(visual) // 2 :], stimulus.embeddings[visual].mean(0)
    return [
        [],
        [Block(range(last), to=last, layers=decoder.attending)],
        [Ablate(half, value)],
        [Ablate(half, value, layer=middle)],
        [Block(visual, to=range(int(visual[-1]) + 1, last + 1), layers=[attending])],
        [Block(visual, to=last, layers=[attending], heads=[0])],
        _between_visual_tokens(decoder, stimulus),
    ]


def _between_visual_tokens(decoder: Decoder, stimulus: Stimulus) -> Arm:
    """All edges from the first half of the visual tokens into the second; where there is but one
    token, from what stands before it."""
    visual = stimulus.visual.tolist()
    first, second = visual[: len(visual) // 2], visual[len(visual) // 2 :]
    return [Block(first or range(visual[0]), to=second, layers=decoder.attending)]


def _check_edits_reach(model: PreTrainedModel, slow: Float[Tensor, "arm vocab"]) -> None:
    name = type(model).__name__
    if not bool(slow.isfinite().all()):
        raise VLMError(
            f"The logits of {name} on a small image are not finite. Check its weights, or load it "
            'in a type of wider range (dtype="bfloat16" or "float32").'
        )
    clean, without_edges = slow[:2]
    if (clean - without_edges).abs().max() <= 1e-6 * slow.abs().max():
        raise VLMError(
            f"Editing the attention of {name} changes nothing: with all edges into the last "
            "position removed its logits are the same. Its attention ignores the mask that its "
            'layers are given. Load it with attn_implementation="eager", or use another model.'
        )


def _check_repeats(
    model: PreTrainedModel, decoder: Decoder, clean: Float[Tensor, " vocab"], again: Tensor
) -> None:
    if (off := off_by(again, clean)) > tolerance(decoder.dtype):
        raise VLMError(
            f"{type(model).__name__} gives other logits when the same picture and prompt are run "
            f"again (off by {off:.0e} of the largest one): it draws something at random, or keeps "
            "something of an earlier run, so that arms cannot be told from chance. Turn that off "
            "in its configuration, or use another model."
        )


def _check_edits_reach_visual_tokens(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> None:
    if stimulus.visual.tolist() == [0]:  # which attends to nothing but itself
        return
    arm = _between_visual_tokens(decoder, stimulus)
    targets = stimulus.visual[len(stimulus.visual) // 2 :].tolist()
    clean, without_edges = (
        oracle.hidden_states(model, decoder, stimulus, targets, each) for each in ([], arm)
    )
    if (clean - without_edges).abs().max() <= 1e-6 * clean.abs().max():
        raise VLMError(
            f"Editing the attention of {type(model).__name__} changes nothing at its visual "
            "tokens: with all edges from the first half of them into the second removed, the "
            "hidden states of these are the same. Its attention ignores the mask that its layers "
            'are given there. Load it with attn_implementation="eager", or use another model.'
        )


def check_edits_reach_generated(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> None:
    """Raise a `VLMError` where removing every edge from the prompt into generated tokens leaves the
    logits after the first of them as they are: attention may run otherwise for a single query.

    !!! example

        >>> check_edits_reach_generated(vlm.model, vlm.decoder, stimulus)
    """
    every = range(len(stimulus.embeddings))
    arms: list[Arm] = [[], [Block(every, to=GENERATED, layers=decoder.attending)]]
    clean, alone = (oracle.spoken(model, decoder, stimulus, arm, 2, least=2)[1] for arm in arms)
    if (clean - alone).abs().max() <= 1e-6 * clean.abs().max():
        raise VLMError(
            f"Editing the attention of {type(model).__name__} changes nothing at tokens that it "
            "generates: with all edges from the prompt into the first of them removed, the logits "
            "after it are the same. Its attention ignores the mask that its layers are given "
            'there. Load it with attn_implementation="eager", or block positions of the prompt.'
        )


def _logits_apart(
    decoder: Decoder, stimulus: Stimulus, arms: Sequence[Arm], slow: Float[Tensor, "arm vocab"]
) -> str | None:
    """How the engine's logits differ from the slow oracle's, if they do."""
    length = len(stimulus.embeddings)
    run = partial(engine.next_token, decoder, stimulus, max_tokens=4 * length)
    # beside a clean run, and on a prefix that ends before the last visual tokens
    fast = torch.cat([run(arms), run([arms[2]] * 3)])
    slow = torch.cat([slow, slow[[2, 2, 2]]])
    # the clean run does the same operations, if nothing comes between its norm and unembedding
    if off_by(fast[0], slow[0]) > rounding(decoder.dtype):
        return "its logits are not just unembedded hidden states"
    if (off := off_by(fast, slow)) > tolerance(decoder.dtype):
        return f"its logits would be off by {off:.1e} of their scale"
    return None


class Given(NamedTuple):
    """What a run hands over by name: to the language model, and to the attention of each layer."""

    stack: dict[str, Any]
    attentions: dict[int, dict[str, Any]]

    def turns(self) -> dict[tuple[int, int], Tensor]:
        """The rotary values of each layer, whatever their form: cosines and sines, or one."""
        found = {}
        for layer, kwargs in self.attentions.items():
            turn = kwargs.get("position_embeddings")
            parts = turn if isinstance(turn, tuple | list) else [turn]
            found |= {
                (layer, part): each for part, each in enumerate(parts) if isinstance(each, Tensor)
            }
        return found


@torch.no_grad()
def given(decoder: Decoder, run: Callable[..., Any], inputs: Mapping[str, Any]) -> Given:
    """What one pass of a model, or of its stack alone, hands over on these inputs.

    !!! example

        >>> sorted(given(vlm.decoder, vlm.model, stimulus.inputs).attentions)
        [0, 1]
    """
    seen = Given({}, {layer: {} for layer in decoder.attending})

    def keeping(kept: dict[str, Any]) -> Edit:
        def keep(args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            # hidden states are large
            kept.update((name, each) for name, each in kwargs.items() if name != "hidden_states")
            return args, kwargs

        return keep

    with ExitStack() as hooks:
        hooks.enter_context(before(decoder.stack, keeping(seen.stack)))
        for layer, attention in decoder.attending.items():
            hooks.enter_context(before(attention, keeping(seen.attentions[layer])))
        run(**inputs, use_cache=False)
    return seen


def more_than_a_causal_stack(decoder: Decoder, stimulus: Stimulus, seen: Given) -> str | None:
    """What a model hands to its layers on a stimulus that the engine does not, if anything.

    !!! example

        >>> seen = given(vlm.decoder, vlm.model, stimulus.inputs)
        >>> more_than_a_causal_stack(vlm.decoder, stimulus, seen)
    """
    if None in decoder.attentions:
        first = decoder.attentions.index(None)
        return f"layer {first} has no attention, and what it keeps of a sequence cannot be shared"
    for name, value in seen.stack.items():
        if name not in KNOWN and isinstance(value, Tensor | list | tuple):
            return f"its layers are fed {name} beside the embeddings"
    whole = Pass(arms=(0,), starts=(0,), packed=False)
    layout = Layout.of(whole, len(stimulus.embeddings), decoder.device)
    ours = Masks(layout, [[]], decoder.windows, decoder.heads)
    for layer, kwargs in seen.attentions.items():
        mask = kwargs.get("attention_mask")
        device = decoder.device if mask is None else mask.device
        if not _same(mask, ours.layer(layer, device), decoder, layer):
            return f"positions attend to others than all earlier ones in layer {layer}"
    return None


def is_causal(decoder: Decoder, seen: Given) -> bool:
    """Whether no position attends to a later one in any layer.

    !!! example

        >>> is_causal(vlm.decoder, given(vlm.decoder, vlm.model, stimulus.inputs))
        True
    """
    masks = {at: kwargs.get("attention_mask") for at, kwargs in seen.attentions.items()}
    return all(
        _masks_itself(decoder, layer) if mask is None else not bool(edges_of(mask).triu(1).any())
        for layer, mask in masks.items()
    )


def prefix_alone(decoder: Decoder, stimulus: Stimulus, seen: Given) -> bool:
    """Whether positions have the rotary values of the whole run where a shorter one ends with them.

    **Raises:** `VLMError` where they have others once a longer run went before.

    !!! example

        >>> seen = given(vlm.decoder, vlm.model, stimulus.inputs)
        >>> prefix_alone(vlm.decoder, stimulus, seen)
        True
    """
    last, whole = stimulus.last, seen.turns()
    if not whole:
        return True

    def at(position: int, shift: int = 0) -> dict[tuple[int, int], Tensor]:
        ids = stimulus.position_ids[..., position : position + 1] + shift
        return turns_at(decoder, stimulus, ids)

    def same(position: int, turns: Mapping[tuple[int, int], Tensor]) -> bool:
        return all(close(turns[each], whole[each][..., [position], :]) for each in turns)

    at(last, shift=last)
    if not same(last, at(last)):
        raise VLMError(
            "The rotary values of this model depend on what it ran before: after a longer prompt "
            f"those of {last + 1} positions are others. Ask with a shorter prompt, or set its "
            'rope_type to one that is not "dynamic".'
        )
    return all(same(position, at(position)) for position in (last // 2, min(1, last)))


def turns_at(decoder: Decoder, stimulus: Stimulus, ids: Tensor) -> dict[tuple[int, int], Tensor]:
    """The rotary values of rows of position ids when nothing else runs.

    !!! example

        >>> turns_at(vlm.decoder, stimulus, torch.tensor([[3]]))[0, 0].shape
        torch.Size([1, 1, 4])
    """
    rows = ids.shape[-2]
    return given(
        decoder,
        decoder.stack,
        {
            "inputs_embeds": stimulus.embeddings[None, :1].expand(rows, -1, -1),
            "position_ids": ids,
            "attention_mask": torch.ones(rows, 1, dtype=torch.long, device=ids.device),
        },
    ).turns()


def close(one: Tensor, other: Tensor) -> bool:
    """Whether rotary values are the same but for rounding.

    !!! example

        >>> close(torch.ones(2), torch.ones(2) + 1e-7)
        True
    """
    return torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def _same(mask: Tensor | None, ours: Tensor, decoder: Decoder, layer: int) -> bool:
    """Whether a model's mask of a layer allows what ours does."""
    if mask is not None:
        return bool((edges_of(mask) == ours).all())
    return _masks_itself(decoder, layer) and torch.equal(ours, torch.ones_like(ours).tril())


def _masks_itself(decoder: Decoder, layer: int) -> bool:
    """Whether a layer without a mask is causal: sdpa is, unless its module says otherwise; eager
    then masks nothing."""
    return not decoder.eager and bool(getattr(decoder.attending[layer], "is_causal", True))
