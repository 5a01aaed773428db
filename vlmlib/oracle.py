"""The slow oracle: one plain forward pass of the whole model per arm, changed by hooks and by
nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel, StoppingCriteriaList

from vlmlib.decoder import Decoder
from vlmlib.decoding import Decoding
from vlmlib.errors import VLMError
from vlmlib.hooks import Edit, before
from vlmlib.interventions import Ablate, Arm, Block, by_kind
from vlmlib.stimulus import Stimulus


@torch.no_grad()
def next_token(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, arm: Arm
) -> Float[Tensor, " vocab"]:
    """The logits at the last token position under one arm, as the model's own head computes
    them."""
    with intervened(decoder, stimulus, arm):
        return model(**stimulus.inputs, use_cache=False, logits_to_keep=1).logits[0, -1]


@torch.no_grad()
def describe(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, arm: Arm, decoding: Decoding
) -> list[int]:
    """The ids that one arm says: the model's own greedy `generate`, hooked while it reads the
    prompt."""
    length = len(stimulus.embeddings)

    def ended(ids: Tensor, _scores: Any, **_: Any) -> Tensor:
        return torch.tensor([decoding.ended(ids[0, length:].tolist())], device=ids.device)

    with intervened(decoder, stimulus, arm):
        ids = model.generate(  # pyright: ignore
            **stimulus.inputs,
            do_sample=False,
            max_new_tokens=decoding.max_new_tokens,
            stopping_criteria=StoppingCriteriaList([ended]),  # pyright: ignore
        )
    return ids[0, length:].tolist()


@torch.no_grad()
def hidden_states(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, tokens: Sequence[int], arm: Arm
) -> Float[Tensor, "layer token d_model"]:
    """What enters each decoder layer at some positions, and what the final norm is given, under one
    arm."""
    kept: list[Tensor] = []

    def keep(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        kept.append(args[0][0, list(tokens)])
        return args, kwargs

    with intervened(decoder, stimulus, arm), ExitStack() as hooks:
        for module in (*decoder.layers, decoder.norm):
            hooks.enter_context(before(module, keep))
        model(**stimulus.inputs, use_cache=False, logits_to_keep=1)
    return torch.stack(kept)


@contextmanager
def intervened(decoder: Decoder, stimulus: Stimulus, arm: Arm) -> Iterator[None]:
    """While the context lasts, a forward pass of the model on this stimulus runs under this arm."""
    length = len(stimulus.embeddings)
    with ExitStack() as hooks:
        hooks.enter_context(decoder.watched(stimulus, [arm], _in_place))
        for module, edit in _edits(decoder, stimulus, arm):
            hooks.enter_context(before(module, _of_prompt(edit, length)))
        yield


def _in_place(_arm: int, positions: Sequence[int]) -> tuple[int, list[int]]:
    """The row and the columns in which a plain pass computes some positions."""
    return 0, list(positions)


def _edits(decoder: Decoder, stimulus: Stimulus, arm: Arm) -> Iterator[tuple[nn.Module, Edit]]:
    """Which modules' inputs an arm changes, and how."""
    ablations, blocks = by_kind(arm)
    for layer, attention in enumerate(decoder.attentions):
        replacing = [each for each in ablations if each.layer == layer]
        if layer == 0:
            yield decoder.stack, _embedding(ablated(stimulus.embeddings, replacing))
        elif replacing:
            yield decoder.layers[layer], _replacing(replacing)
        blocking = [each for each in blocks if layer in each.layers]
        if blocking:
            removed = _removed(blocking, len(stimulus.embeddings), decoder.heads)
            yield attention, _blocking(removed)


def _of_prompt(edit: Edit, length: int) -> Edit:
    """Later steps of a description hand over one new position each, which nothing intervenes on."""

    def edit_of_prompt(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        given = [*args, kwargs.get("inputs_embeds"), kwargs.get("hidden_states")]
        hidden = next(each for each in given if isinstance(each, Tensor))
        return edit(args, kwargs) if hidden.shape[1] == length else (args, kwargs)

    return edit_of_prompt


def _embedding(embeddings: Float[Tensor, "seq d_model"]) -> Edit:
    return lambda args, kwargs: (args, {**kwargs, "inputs_embeds": embeddings[None]})


def _replacing(ablations: Sequence[Ablate]) -> Edit:
    return lambda args, kwargs: ((ablated(args[0][0], ablations)[None], *args[1:]), kwargs)


def _blocking(removed: Bool[Tensor, "head query key"]) -> Edit:
    return lambda args, kwargs: (args, _without_edges(kwargs, removed))


def ablated(
    hidden: Float[Tensor, "seq d_model"], ablations: Sequence[Ablate]
) -> Float[Tensor, "seq d_model"]:
    """A copy of hidden states with every ablation's rows replaced."""
    result = hidden.clone()
    for each in ablations:
        result[list(each.tokens)] = each.value.to(result)
    return result


def _removed(blocks: Sequence[Block], length: int, heads: int) -> Bool[Tensor, "head query key"]:
    """The edges that these blocks remove."""
    removed = torch.zeros(heads, length, length, dtype=torch.bool)
    for block in blocks:
        of_heads = list(range(heads) if block.heads is None else block.heads)
        removed[
            torch.tensor(of_heads)[:, None, None],
            torch.tensor(block.to)[:, None],
            torch.tensor(block.source),
        ] = True
    return removed


def _without_edges(kwargs: Mapping, removed: Bool[Tensor, "head query key"]) -> dict:
    """A layer's arguments with a mask that lacks these edges, and is otherwise the one that the
    model passes.

    A blocked entry becomes False in a boolean mask (sdpa), the most negative number in an additive
    one (eager), where False would be 0 and change nothing.
    """
    hidden, mask = kwargs["hidden_states"], kwargs.get("attention_mask")
    length = hidden.shape[1]
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
