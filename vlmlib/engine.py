"""The engine: executes a plan on a decoder, so that arms share all positions that they do not
change."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache

from vlmlib.cache import KeysAndValues, kept, sharing
from vlmlib.decoder import Decoder
from vlmlib.hooks import Edit, before, hidden_in, with_hidden
from vlmlib.interventions import Ablate, Arm, by_kind, first_affected, generated_at
from vlmlib.layout import Layout
from vlmlib.masks import Masks
from vlmlib.plan import Pass, plan
from vlmlib.stimulus import Stimulus

# Positions: on a CPU a larger pass is a slower one, since what it computes outgrows the caches.
CPU_PASS = 1024

# An ablation with the number of its arm within a pass.
Placed = tuple[int, Ablate]


@torch.no_grad()
def next_token(
    decoder: Decoder, stimulus: Stimulus, arms: Sequence[Arm], max_tokens: int
) -> Float[Tensor, "arm vocab"]:
    """The logits at the last token position under each arm. No pass holds more than `max_tokens`
    positions.

    !!! example

        >>> blocks = [Block([token], to=stimulus.last, layers=[0]) for token in range(1, 4)]
        >>> arms = [[], blocks]
        >>> next_token(vlm.decoder, stimulus, arms, max_tokens=1000).shape[0]
        2
    """
    length = len(stimulus.embeddings)
    starts = [first_affected(arm, length) for arm in arms]
    made = plan(starts, length, pass_size(decoder, max_tokens))
    clean, hidden = clean_run(decoder, stimulus, made.shared)
    rows: dict[int, Tensor] = {}
    if made.clean:
        own = decoder.logits(hidden[:, -1:])[0, 0]
        rows |= dict.fromkeys(made.clean, own)
    for run in made.passes:
        prefix = max(run.starts)
        cache = sharing(clean, prefix, run.rows) if prefix else None
        last = suffixes(decoder, stimulus, [arms[arm] for arm in run.arms], run, cache)
        rows |= dict(zip(run.arms, decoder.logits(last), strict=True))
    return torch.stack([rows[arm] for arm in range(len(arms))])


def pass_size(decoder: Decoder, max_tokens: int) -> int:
    """How many positions one pass computes at most.

    !!! example

        >>> pass_size(vlm.decoder, 16384)
        1024
    """
    return min(max_tokens, CPU_PASS) if decoder.device.type == "cpu" else max_tokens


def clean_run(
    decoder: Decoder, stimulus: Stimulus, length: int
) -> tuple[list[KeysAndValues], Float[Tensor, "row seq d_model"]]:
    """Keys and values of the first positions of the clean run, layer by layer, and their last
    hidden states.

    Where a prefix by itself would leave other ones, all positions run.

    !!! example

        >>> clean, hidden = clean_run(vlm.decoder, stimulus, 10)
        >>> len(clean), hidden.shape
        (2, torch.Size([1, 10, 16]))
    """
    cache = DynamicCache()
    if not length:
        return [], stimulus.embeddings[None, :0]
    ran = length if decoder.prefix_alone else len(stimulus.embeddings)
    output = decoder.stack(
        inputs_embeds=stimulus.embeddings[None, :ran],
        position_ids=stimulus.position_ids[..., :ran],
        attention_mask=torch.ones(1, ran, dtype=torch.long, device=stimulus.embeddings.device),
        past_key_values=cache,
        use_cache=True,
    )
    clean = [(keys[:, :, :length], values[:, :, :length]) for keys, values in kept(cache)]
    return clean, output.last_hidden_state[:, :length]


def suffixes(
    decoder: Decoder, stimulus: Stimulus, arms: Sequence[Arm], run: Pass, cache: Cache | None
) -> Float[Tensor, "arm d_model"]:
    """Run one pass after what `cache` holds, and return each arm's last hidden state at the last
    token position.

    !!! example

        >>> whole = Pass(arms=(0,), starts=(0,), packed=False)
        >>> arms = [[Ablate([9], torch.zeros(16))]]
        >>> suffixes(vlm.decoder, stimulus, arms, whole, cache=None).shape
        torch.Size([1, 16])
    """
    layout = Layout.of(run, len(stimulus.embeddings), decoder.device)
    additive = decoder.dtype if decoder.eager else None
    masks = Masks(layout, arms, decoder.windows, decoder.heads, additive)
    ablations = _by_layer(arms)
    hidden = stimulus.embeddings[layout.queries].repeat(layout.rows, 1, 1)
    watched = decoder.watched(stimulus, arms, layout.at)
    with watched, _changed(decoder, layout, ablations, masks):
        output = decoder.stack(
            inputs_embeds=_replaced(hidden, layout, ablations.get(0, [])),
            position_ids=positions_of(stimulus, layout.queries, layout.rows),
            attention_mask=None if masks.are_the_models_own else masks.layer(0),
            past_key_values=cache,
            use_cache=cache is not None,
        )
    return output.last_hidden_state[layout.lasts()]


@contextmanager
def generating(decoder: Decoder, arms: Sequence[Arm], position: int) -> Iterator[None]:
    """While the context lasts, the stack runs one new token of each arm, all of which stand at this
    position, without the edges that the arms' blocks of `GENERATED` remove.

    A layer in which no arm blocks has the model's own mask.

    !!! example

        >>> with generating(vlm.decoder, [[]], position=10):
        ...     output = vlm.model(**stimulus.inputs)
    """
    blocks = [generated_at(arm, position) for arm in arms]
    layers = {layer for arm in blocks for each in arm for layer in each.layers}
    with ExitStack() as hooks:
        if layers:
            run = Pass(tuple(range(len(arms))), starts=(position,) * len(arms), packed=False)
            layout = Layout.of(run, position + 1, decoder.device)
            additive = decoder.dtype if decoder.eager else None
            masks = Masks(layout, blocks, decoder.windows, decoder.heads, additive)
            for layer in layers:
                hooks.enter_context(before(decoder.attending[layer], _masking(masks, layer)))
        yield


@contextmanager
def _changed(
    decoder: Decoder, layout: Layout, ablations: Mapping[int, list[Placed]], masks: Masks
) -> Iterator[None]:
    """While the context lasts, later layers get ablated inputs, and all layers their masks."""
    with ExitStack() as hooks:
        # who watches may look at any position of the last layer
        if not layout.run.packed and decoder.watch is None:
            hooks.enter_context(reading_the_last_position(decoder))
        for layer in ablations.keys() - {0}:
            edit = _replacing(layout, ablations[layer])
            hooks.enter_context(before(decoder.layers[layer], edit))
        if not masks.are_the_models_own:
            for layer, attention in decoder.attending.items():
                hooks.enter_context(before(attention, _masking(masks, layer)))
        yield


def _by_layer(arms: Sequence[Arm]) -> dict[int, list[Placed]]:
    ablations = defaultdict(list)
    for arm, interventions in enumerate(arms):
        for each in by_kind(interventions)[0]:
            ablations[each.layer].append((arm, each))
    return ablations


def _replaced(hidden: Tensor, layout: Layout, ablations: Sequence[Placed]) -> Tensor:
    """Hidden states of a pass, in which every ablation's rows are overwritten."""
    for arm, each in ablations:
        row, columns = layout.at(arm, each.tokens)
        hidden[row, columns] = each.part(0, hidden.shape[-1]).to(hidden)
    return hidden


def _replacing(layout: Layout, ablations: Sequence[Placed]) -> Edit:
    def edit(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        hidden = hidden_in(args, kwargs).clone()
        return with_hidden(args, kwargs, _replaced(hidden, layout, ablations))

    return edit


def _masking(masks: Masks, layer: int) -> Edit:
    def edit(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        device = hidden_in(args, kwargs).device
        return args, {**kwargs, "attention_mask": masks.layer(layer, device)}

    return edit


@contextmanager
def reading_the_last_position(decoder: Decoder) -> Iterator[None]:
    """While the context lasts, only the last position's output is right, and the last layer does
    less work.

    Its feed-forward part is given the last position alone. What that gives is added to every row of
    the residual stream, and the last row's sum is right.

    !!! example

        >>> with reading_the_last_position(vlm.decoder):
        ...     _, hidden = clean_run(vlm.decoder, stimulus, 10)
        >>> torch.allclose(hidden[:, -1], clean_run(vlm.decoder, stimulus, 10)[1][:, -1], atol=1e-6)
        True
    """

    def last(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return with_hidden(args, kwargs, hidden_in(args, kwargs)[:, -1:])

    with nullcontext() if decoder.last_mlp is None else before(decoder.last_mlp, last):
        yield


def positions_of(
    stimulus: Stimulus, queries: Int[Tensor, " query"], rows: int
) -> Int[Tensor, "*axes row query"]:
    """The position ids of some positions, once per row.

    !!! example

        >>> positions_of(stimulus, torch.tensor([7, 8]), rows=2).tolist()
        [[7, 8], [7, 8]]
    """
    of_queries = stimulus.position_ids[..., queries]
    return of_queries.expand(*of_queries.shape[:-2], rows, len(queries))
