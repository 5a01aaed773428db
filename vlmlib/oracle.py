"""The slow oracle: one plain forward pass of the whole model per arm, changed by hooks and by
nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel, StoppingCriteriaList
from transformers.cache_utils import Cache, CacheLayerMixin

from vlmlib.cache import kept_otherwise
from vlmlib.decoder import Decoder
from vlmlib.decoding import Decoding
from vlmlib.errors import VLMError
from vlmlib.finite import NOT_FINITE
from vlmlib.hooks import Edit, Look, after, before, hidden_in, with_hidden
from vlmlib.interventions import Ablate, Arm, Block, by_kind
from vlmlib.masks import typed
from vlmlib.stimulus import Stimulus


@torch.no_grad()
def next_token(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, arm: Arm
) -> Float[Tensor, " vocab"]:
    """The logits at the last token position under one arm, as the model's own head computes
    them."""
    with intervened(decoder, stimulus, arm):
        return model(**stimulus.inputs, use_cache=False, logits_to_keep=1).logits[0, -1]


def logits_of(
    model: PreTrainedModel,
    decoder: Decoder,
    stimulus: Stimulus,
    embeddings: Float[Tensor, "seq d_model"],
) -> Float[Tensor, " vocab"]:
    """The logits at the last token position with other embeddings at the language model's input;
    gradients flow through it."""
    with before(decoder.stack, _embedding(embeddings)):
        return model(**stimulus.inputs, use_cache=False, logits_to_keep=1).logits[0, -1]


@torch.no_grad()
def spoken(
    model: PreTrainedModel,
    decoder: Decoder,
    stimulus: Stimulus,
    arm: Arm,
    new_tokens: int,
    least: int | None = None,
) -> Float[Tensor, "step vocab"]:
    """The logits from which the model's own greedy `generate` takes each new token under one arm,
    at so many steps at least."""
    with intervened(decoder, stimulus, arm):
        out = model.generate(  # pyright: ignore
            **stimulus.inputs,
            do_sample=False,
            max_new_tokens=new_tokens,
            min_new_tokens=least,
            use_cache=True,  # else every step reads all again, which no longer looks like a prompt
            output_logits=True,
            return_dict_in_generate=True,
        )
    return torch.cat(out.logits)  # pyright: ignore


@torch.no_grad()
def describe(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, arm: Arm, decoding: Decoding
) -> list[int]:
    """The ids that one arm says: the model's own greedy `generate`, hooked while it reads the
    prompt, and at later steps where the arm blocks edges into generated tokens."""
    length, finite = len(stimulus.embeddings), True

    def look(output: Any) -> None:
        nonlocal finite
        finite = bool(output.logits[0, -1].isfinite().all())

    def ended(ids: Tensor, _scores: Any, **_: Any) -> Tensor:
        over = not finite or decoding.ended(ids[0, length:].tolist())
        return torch.tensor([over], device=ids.device)

    with intervened(decoder, stimulus, arm), after(model, look):
        ids = model.generate(  # pyright: ignore
            **stimulus.inputs,
            do_sample=False,
            max_new_tokens=decoding.max_new_tokens,
            use_cache=True,  # see `spoken`
            stopping_criteria=StoppingCriteriaList([ended]),  # pyright: ignore
        )
    said = ids[0, length:].tolist()
    return said if finite else [*said, NOT_FINITE]


@torch.no_grad()
def hidden_states(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, tokens: Sequence[int], arm: Arm
) -> Float[Tensor, "layer token d_model"]:
    """The embeddings at some positions, what enters each later decoder layer, and what leaves the
    last one, under one arm.

    A stack may multiply its embeddings, or add to them, before its first layer: they are taken
    where `Ablate` puts them.
    """
    kept: dict[int, Tensor] = {}

    def keep(at: int, hidden: Tensor) -> None:
        kept[at] = hidden[0, list(tokens)].to(stimulus.embeddings.device)

    def entering(at: int) -> Edit:
        def edit(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            keep(at, hidden_in(args, kwargs))
            return args, kwargs

        return edit

    def left(output: Any) -> None:
        keep(len(decoder.layers), output if isinstance(output, Tensor) else output[0])

    with intervened(decoder, stimulus, arm), ExitStack() as hooks:
        for at, module in enumerate((decoder.stack, *decoder.layers[1:])):
            hooks.enter_context(before(module, entering(at)))
        hooks.enter_context(after(decoder.layers[-1], left))
        model(**stimulus.inputs, use_cache=False, logits_to_keep=1)
    return torch.stack([kept[at] for at in sorted(kept)])


@torch.no_grad()
def injecting(
    model: PreTrainedModel, decoder: Decoder, one: Stimulus, other: Stimulus
) -> list[int]:
    """The layers that are given something of the picture beside what the layer before them, or the
    embeddings, have of it: what is added there differs between two pictures of one size whose
    visual tokens are all ablated."""
    if not any(bool(each.any()) for each in _added(model, decoder, one)):
        return []
    blind = [Ablate(one.visual, one.embeddings[one.visual].mean(0))]
    pairs = zip(
        *(
            _added(model, decoder, replace(each, embeddings=ablated(each.embeddings, blind)))
            for each in (one, other)
        ),
        strict=True,
    )
    return [
        layer
        for layer, (first, second) in enumerate(pairs)
        if float((first - second).abs().max()) > 1e-3 * float(first.abs().max())
    ]


def injected(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, layers: Sequence[int]
) -> dict[int, Float[Tensor, "seq d_model"]]:
    """What a model adds to hidden states before some layers in the clean run."""
    added = _added(model, decoder, stimulus) if layers else []
    return {layer: added[layer].to(stimulus.embeddings.device) for layer in layers}


@torch.no_grad()
def leaving(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, arm: Arm
) -> list[Float[Tensor, "seq d_model"]]:
    """What each layer gives under one arm."""
    given: list[Tensor] = []
    with intervened(decoder, stimulus, arm), ExitStack() as hooks:
        for layer in decoder.layers:
            hooks.enter_context(after(layer, _keeping(given)))
        model(**stimulus.inputs, use_cache=False, logits_to_keep=1)
    return given


def _keeping(given: list[Tensor]) -> Look:
    # a layer may be handed on in place: what it gave is kept as it was
    return lambda output: given.append(
        (output if isinstance(output, Tensor) else output[0])[0].clone()
    )


@torch.no_grad()
def _added(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> list[Float[Tensor, "seq d_model"]]:
    """What each layer is given beside what the one before it gave, or beside the embeddings."""
    entering: list[Tensor] = []
    given: list[Tensor] = []

    def enter(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        entering.append(hidden_in(args, kwargs)[0].clone())
        return args, kwargs

    with ExitStack() as hooks:
        hooks.enter_context(before(decoder.stack, _embedding(stimulus.embeddings)))
        for layer in decoder.layers:
            hooks.enter_context(before(layer, enter))
            hooks.enter_context(after(layer, _keeping(given)))
        model(**stimulus.inputs, use_cache=False, logits_to_keep=1)
    below = [_scaled(stimulus, entering[0]), *given]
    return [into - out for into, out in zip(entering, below, strict=False)]


def _scaled(stimulus: Stimulus, entering: Float[Tensor, "seq d_model"]) -> Tensor:
    """The embeddings as the first layer is given them, if nothing were added: a stack may multiply
    all of them by one number, which those of the text tell."""
    is_text = torch.ones(len(entering), dtype=torch.bool, device=entering.device)
    is_text[stimulus.visual] = False
    words, given = stimulus.embeddings[is_text].double(), entering[is_text].double()
    scale = (words * given).sum() / (words * words).sum()
    # what differs by rounding alone is nothing that was added
    scaled = (scale * stimulus.embeddings.double()).to(entering)
    near = torch.isclose(scaled.double(), entering.double(), rtol=1e-2, atol=1e-4)
    return torch.where(near.all(-1, keepdim=True), entering, scaled)


@contextmanager
def intervened(decoder: Decoder, stimulus: Stimulus, arm: Arm) -> Iterator[None]:
    """While the context lasts, a forward pass of the model on this stimulus runs under this arm."""
    length = len(stimulus.embeddings)
    with ExitStack() as hooks:
        hooks.enter_context(decoder.watched(stimulus, [arm], _in_place))
        for module, edit in _edits(decoder, stimulus, arm):
            hooks.enter_context(before(module, _of_prompt(edit, length)))
        for module, edit in _edits_of_steps(decoder, arm):
            hooks.enter_context(before(module, _of_steps(edit, length)))
        yield


def _in_place(_arm: int, positions: Sequence[int]) -> tuple[int, list[int]]:
    """The row and the columns in which a plain pass computes some positions."""
    return 0, list(positions)


def _edits(decoder: Decoder, stimulus: Stimulus, arm: Arm) -> Iterator[tuple[nn.Module, Edit]]:
    """Which modules' inputs an arm changes, and how."""
    ablations, blocks, _ = by_kind(arm)
    for layer, module in enumerate(decoder.layers):
        replacing = [each for each in ablations if each.layer == layer]
        blinded = [each for each in ablations if each.layer == 0 and layer in stimulus.injected]
        if blinded:
            at = 1 + list(stimulus.injected).index(layer)
            yield module, _injecting(stimulus.injected[layer], blinded, at)
        if layer == 0:
            yield decoder.stack, _embedding(ablated(stimulus.embeddings, replacing))
        elif replacing:
            yield module, _replacing(replacing)
        attention = decoder.attentions[layer]
        blocking = [each for each in blocks if layer in each.layers]
        if blocking and attention is not None:
            removed = removed_edges(blocking, len(stimulus.embeddings), decoder.heads)
            yield attention, _blocking(removed)


def _of_prompt(edit: Edit, length: int) -> Edit:
    """Later steps of a description hand over one new position each."""

    def edit_of_prompt(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        is_prompt = hidden_in(args, kwargs).shape[1] == length
        return edit(args, kwargs) if is_prompt else (args, kwargs)

    return edit_of_prompt


def _of_steps(edit: Edit, length: int) -> Edit:
    def edit_of_steps(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        is_prompt = hidden_in(args, kwargs).shape[1] == length
        return (args, kwargs) if is_prompt else edit(args, kwargs)

    return edit_of_steps


def _edits_of_steps(decoder: Decoder, arm: Arm) -> Iterator[tuple[nn.Module, Edit]]:
    """Which modules' inputs an arm changes at later steps of a description, and how.

    A layer with a window may keep no more keys than that, so that it is asked where those that a
    step attends to begin: before its first layer runs, since some take the keys of an earlier one.
    """
    generated = by_kind(arm)[2]
    layers = sorted({layer for each in generated for layer in each.layers})
    keys: dict[int, tuple[int, int]] = {}

    def look(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        cache = kwargs.get("past_key_values")
        keys.update((layer, _keys(decoder, cache, layer)) for layer in layers)
        return args, kwargs

    if layers:
        yield decoder.stack, look
    for layer in layers:
        here = [each for each in generated if layer in each.layers]
        yield decoder.attending[layer], _blocking_step(decoder, here, keys, layer)


def _keys(decoder: Decoder, cache: Any, layer: int) -> tuple[int, int]:
    """How many keys the next position attends to in a layer, and the position of the first."""
    if not isinstance(cache, Cache):
        raise _unknown(decoder, type(cache).__name__)
    window = decoder.windows[layer]
    kept = enumerate(cache.layers[: layer + 1])  # of none that takes the keys of an earlier one
    own = [at for at, each in kept if isinstance(each, CacheLayerMixin)]
    count, first = cache.get_mask_sizes(1, max(at for at in own if decoder.windows[at] == window))
    if first and (kinds := kept_otherwise(cache)):
        raise _unknown(decoder, kinds)
    return count, first


def _unknown(decoder: Decoder, kept: str) -> VLMError:
    return VLMError(
        f"{type(decoder.stack).__name__} keeps no keys of which it is known where they stand "
        f"({kept}), so that blocks of GENERATED cannot be told what to remove. "
        "Block positions of the prompt, or use another model."
    )


def _blocking_step(
    decoder: Decoder, blocks: Sequence[Block], keys: Mapping[int, tuple[int, int]], layer: int
) -> Edit:
    def edit(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        count, first = keys[layer]
        removed = torch.zeros(decoder.heads, 1, first + count, dtype=torch.bool)
        for block in blocks:
            heads = list(range(decoder.heads) if block.heads is None else block.heads)
            removed[torch.tensor(heads)[:, None], 0, torch.tensor(block.source)] = True
        hidden = hidden_in(args, kwargs)
        mask = kwargs.get("attention_mask")
        if mask is None:
            every = torch.ones(1, 1, 1, count, dtype=torch.bool, device=hidden.device)
            mask = typed(every, decoder.dtype if decoder.eager else None)
        lowest = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
        mask = mask.expand(-1, decoder.heads, -1, -1)
        mask = mask.masked_fill(removed[..., first:].to(mask.device), lowest)
        return args, {**kwargs, "attention_mask": mask}

    return edit


def _embedding(embeddings: Float[Tensor, "seq d_model"]) -> Edit:
    return lambda args, kwargs: (args, {**kwargs, "inputs_embeds": embeddings[None]})


def _replacing(ablations: Sequence[Ablate]) -> Edit:
    def edit(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return with_hidden(args, kwargs, ablated(hidden_in(args, kwargs)[0], ablations)[None])

    return edit


def _injecting(
    injected: Float[Tensor, "seq d_model"], ablations: Sequence[Ablate], at: int
) -> Edit:
    """An ablated token's image features are replaced wherever they enter: by nothing, as a word has
    none, or by that part of its value."""

    def edit(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        hidden = hidden_in(args, kwargs).clone()
        for each in ablations:
            tokens, value = list(each.tokens), each.part(at, hidden.shape[-1])
            hidden[0, tokens] += value.to(hidden) - injected[tokens].to(hidden)
        return with_hidden(args, kwargs, hidden)

    return edit


def _blocking(removed: Bool[Tensor, "head query key"]) -> Edit:
    return lambda args, kwargs: (args, without_edges(hidden_in(args, kwargs), kwargs, removed))


def ablated(
    hidden: Float[Tensor, "seq d_model"], ablations: Sequence[Ablate]
) -> Float[Tensor, "seq d_model"]:
    """A copy of hidden states with every ablation's rows replaced."""
    result = hidden.clone()
    for each in ablations:
        result[list(each.tokens)] = each.part(0, result.shape[-1]).to(result)
    return result


def removed_edges(
    blocks: Sequence[Block], length: int, heads: int
) -> Bool[Tensor, "head query key"]:
    """The edges that these blocks remove."""
    removed = torch.zeros(heads, length, length, dtype=torch.bool)
    for block in blocks:
        of_heads = list(range(heads) if block.heads is None else block.heads)
        removed[
            torch.tensor(of_heads)[:, None, None],
            torch.tensor(block.targets)[:, None],
            torch.tensor(block.source),
        ] = True
    return removed


def without_edges(hidden: Tensor, kwargs: Mapping, removed: Bool[Tensor, "head query key"]) -> dict:
    """A layer's arguments with a mask that lacks these edges, and is otherwise the one that the
    model passes.

    A blocked entry becomes False in a boolean mask (sdpa), the most negative number in an additive
    one (eager), where False would be 0 and change nothing.
    """
    length, mask = hidden.shape[1], kwargs.get("attention_mask")
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=hidden.device).tril()[None, None]
    is_boolean = mask.dtype == torch.bool
    lowest = False if is_boolean else torch.finfo(mask.dtype).min
    mask = mask.expand(-1, len(removed), -1, -1).clone()
    mask[..., :length].masked_fill_(removed.to(mask.device), lowest)
    seen = mask if is_boolean else mask > lowest / 2
    empty = (~seen.any(-1)).nonzero()
    if len(empty):
        raise VLMError(
            f"Blocking leaves position {int(empty[0, -1])} with no position to attend to. Keep at "
            "least one source, for example the position itself."
        )
    return {**kwargs, "attention_mask": mask}
