"""What is tried on a model before it is trusted: do interventions reach it, and may arms share
work?"""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from vlmlib import engine, oracle
from vlmlib.architecture import decoder_input
from vlmlib.decoder import Decoder
from vlmlib.errors import VLMError
from vlmlib.hooks import Edit, before
from vlmlib.interventions import Ablate, Arm, Block
from vlmlib.layout import Layout
from vlmlib.masks import Masks
from vlmlib.plan import Pass
from vlmlib.stimulus import Stimulus

# How far logits may be off, as a share of the largest one.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
# What the engine hands to the language model, too.
KNOWN = {"inputs_embeds", "position_ids", "attention_mask", "cache_position"}


def sharing_is_exact(model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus) -> bool:
    """Whether the engine gives on this model what one hooked forward pass per arm gives.

    It does not where a position's keys depend on later positions (bidirectional image blocks,
    prefix language models), where layers are fed anything beside the embeddings, or where the model
    does more to its logits than unembed. Then every arm has to run by itself, and a warning says
    so. Masks and inputs are compared as they are, and logits of a few arms to the tolerance of the
    weights' type.

    **Raises:** `VLMError` if the logits are not finite, if removing every attention edge into the
    last position leaves them as they are, or if removing those from one half of the visual tokens
    into the other leaves the hidden states of these as they are.

    !!! example

        >>> sharing_is_exact(vlm.model, vlm.decoder, stimulus)
        True
    """
    arms = _arms(decoder, stimulus)
    slow = torch.stack([oracle.next_token(model, decoder, stimulus, arm) for arm in arms])
    _check_edits_reach(model, slow)
    _check_edits_reach_visual_tokens(model, decoder, stimulus)
    reason = _more_than_a_causal_stack(model, decoder, stimulus)
    if reason is None:
        reason = _logits_apart(decoder, stimulus, arms, slow)
    if reason is None:
        return True
    warnings.warn(
        f"{type(model).__name__}: arms cannot share work on this model, since {reason}. "
        "Each arm runs as one forward pass of its own: exact, but slow.",
        stacklevel=3,
    )
    return False


def _arms(decoder: Decoder, stimulus: Stimulus) -> list[Arm]:
    """The clean run, all edges into the last position removed, and some of every kind of
    intervention."""
    last, visual, middle = stimulus.last, stimulus.visual, len(decoder.layers) // 2
    half, value = visual[len(visual) // 2 :], stimulus.embeddings[visual].mean(0)
    return [
        [],
        [Block(range(last), to=last, layers=range(len(decoder.layers)))],
        [Ablate(half, value)],
        [Ablate(half, value, layer=middle)],
        [Block(visual, to=range(int(visual[-1]) + 1, last + 1), layers=[middle])],
        [Block(visual, to=last, layers=[middle], heads=[0])],
        _between_visual_tokens(decoder, stimulus),
    ]


def _between_visual_tokens(decoder: Decoder, stimulus: Stimulus) -> Arm:
    """All edges from the first half of the visual tokens into the second."""
    visual = stimulus.visual
    first, second = visual[: len(visual) // 2], visual[len(visual) // 2 :]
    return [Block(first, to=second, layers=range(len(decoder.layers)))]


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
            "layers are given."
        )


def _check_edits_reach_visual_tokens(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> None:
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
            "are given there."
        )


def _logits_apart(
    decoder: Decoder, stimulus: Stimulus, arms: Sequence[Arm], slow: Float[Tensor, "arm vocab"]
) -> str | None:
    """How the engine's logits differ from the slow oracle's, if they do."""
    fast = engine.next_token(decoder, stimulus, arms, max_tokens=4 * len(stimulus.embeddings))
    off = (fast - slow).abs().amax(1) / slow.abs().max()
    tolerance = TOLERANCE.get(decoder.dtype, 1e-1)
    # the clean run does the same operations, if nothing follows the unembedding
    if float(off[0]) > tolerance / 5:
        return "its logits are not just unembedded hidden states"
    if float(off.max()) > tolerance:
        return f"its logits would be off by {float(off.max()):.1e} of their scale"
    return None


def _more_than_a_causal_stack(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> str | None:
    """What this model hands to its layers that the engine does not, if anything."""
    for name, value in decoder_input(model, decoder, stimulus.inputs).items():
        if name not in KNOWN and isinstance(value, Tensor | list | tuple):
            return f"its layers are fed {name} beside the embeddings"
    whole = Pass(arms=(0,), starts=(0,), packed=False)
    layout = Layout.of(whole, len(stimulus.embeddings), decoder.device)
    ours = Masks(layout, [[]], decoder.windows, decoder.heads)
    for layer, mask in _own_masks(model, decoder, stimulus).items():
        if not _same(mask, ours.layer(layer), decoder, layer):
            return f"positions attend to others than earlier ones in layer {layer}"
    return None


def _own_masks(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> dict[int, Tensor | None]:
    """The mask that the model gives to each layer."""
    masks: dict[int, Tensor | None] = {}

    def keeping(layer: int) -> Edit:
        def keep(args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            masks[layer] = kwargs.get("attention_mask")
            return args, kwargs

        return keep

    with torch.no_grad(), ExitStack() as hooks:
        for layer, attention in enumerate(decoder.attentions):
            hooks.enter_context(before(attention, keeping(layer)))
        model(**stimulus.inputs, use_cache=False, logits_to_keep=1)
    return masks


def _same(mask: Tensor | None, ours: Tensor, decoder: Decoder, layer: int) -> bool:
    """Whether a model's mask of a layer allows what ours does."""
    if mask is not None:
        allowed = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        return bool((allowed == ours).all())
    # sdpa masks causally by itself, unless its module says otherwise; eager then masks nothing
    masks_itself = not decoder.eager and getattr(decoder.attentions[layer], "is_causal", True)
    return bool(masks_itself) and torch.equal(ours, torch.ones_like(ours).tril())
