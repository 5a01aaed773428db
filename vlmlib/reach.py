"""What arms reach: whether hidden states change where they act, and what attention blocks remove.

An instrument that does nothing looks like a model that needs nothing. So arms are watched while
anybody asks about them: no arm runs twice, and one clean pass beside them says what each takes
away. A run that is only repeated tells how far hidden states differ by rounding alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vlmlib.decoder import At, Decoder
from vlmlib.errors import LackingError
from vlmlib.hooks import Edit, after, before
from vlmlib.interventions import Ablate, Arm, by_kind, first_affected
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus

# A change counts from so many times the largest of a repeated run. The length of a vector of
# hundreds of rounding errors varies little, so this need not be large.
TIMES = 3

# An arm as a dictionary's key: arms of the same interventions are one.
Key = tuple[int, ...]
# What blocks remove in one layer: the sources, targets and heads of each.
Edges = tuple[tuple[Sequence[int], Sequence[int], Sequence[int] | None], ...]


@dataclass(frozen=True)
class Reach:
    """What an arm did where it acts in the prompt; None of both for an arm that changes nothing
    there, such as one of blocks of `GENERATED` alone.

    - `attention`: the attention weight that its blocks remove: in the clean run, what their targets
        give to their sources, summed over sources, averaged over heads, targets and layers (0 to
        1); None for an arm without blocks.
    - `reached`: whether hidden states differ from the clean run's by more than those of a repeated
        run do: at the targets of its blocks, after the last blocked layer, where what it ablates
        beside counts, too; for an arm without blocks at the tokens that it ablates, after that
        layer.
    """

    attention: float | None = None
    reached: bool | None = None


def reach(vlm: VLM, stimulus: Stimulus, arms: Sequence[Arm]) -> list[Reach]:
    """What every arm reaches.

    Costs what `vlm.next_token` of the same arms does, and little more than one clean run.

    **Arguments:** a stimulus; arms, each a list of interventions.

    **Raises:** `VLMError` for an arm that means nothing on this stimulus, and `LackingError` for
    blocks in a model whose attention tells no weights.

    !!! example

        >>> blind = [Block(stimulus.visual, to=stimulus.last, layers=[0])]
        >>> nothing, blocked = reach(vlm, stimulus, [[], blind])
        >>> nothing, blocked.reached, 0 < blocked.attention < 1
        (Reach(attention=None, reached=None), True, True)
    """
    vlm.check(stimulus, arms)
    return Watching(vlm, stimulus, arms).reaches()


@dataclass(frozen=True, eq=False)
class Watching:
    """A watch on arms of one stimulus: ask `model` about them as you would ask the model itself.

    - `repeats`: arms that change nothing, to be asked together with the others: a token at the
      first and at the last position at which any arm begins is replaced by itself.

    !!! example

        >>> blind = [Block(stimulus.visual, to=stimulus.last, layers=[0])]
        >>> watching = Watching(vlm, stimulus, [blind])
        >>> logits = watching.model.next_token(stimulus, [[], *watching.repeats, blind])
        >>> [each.reached for each in watching.reaches()]
        [True]
    """

    vlm: VLM
    stimulus: Stimulus
    arms: Sequence[Arm]
    _states: dict[tuple[Key, int], Tensor] = field(default_factory=dict, repr=False)
    _ends: dict[Key, Tensor] = field(default_factory=dict, repr=False)

    @cached_property
    def model(self) -> VLM:
        """The model, watched."""
        watched = copy(self.vlm)
        watched.decoder = replace(self.vlm.decoder, watch=self._watch)
        return watched

    @cached_property
    def repeats(self) -> list[list[Ablate]]:
        length = len(self.stimulus.embeddings)
        starts = {first_affected(arm, length) for arm in self.arms} - {length}
        # these run as the arms with the longest and the shortest suffix do
        return [
            [Ablate([start], self.stimulus.embeddings[start])]
            for start in sorted({min(starts), max(starts)} if starts else ())
        ]

    def reaches(self) -> list[Reach]:
        """What each arm reaches. An arm that nobody has asked about runs now."""
        acting = [arm for arm in self.arms if end_of(arm)]
        if not acting:
            return [Reach() for _ in self.arms]
        asked = [arm for arm in (*self.repeats, *acting) if key_of(arm) not in self._ends]
        self.model.next_token(self.stimulus, asked)
        clean = CleanRun.of(self.vlm, self.stimulus, acting)
        rounding = torch.finfo(self.vlm.decoder.dtype).eps
        least = {layer: max(rounding, TIMES * self._noise(layer, clean)) for layer in clean.states}
        return [self._reach(arm, clean, least) for arm in self.arms]

    def first_token(self, arms: Sequence[Arm]) -> list[float] | None:
        """Under each arm the probability of the token that the first of them says first; None if
        one of them was not seen to its end, but for an arm that changes nothing in the prompt,
        which runs now.

        !!! example

            >>> watching = Watching(vlm, stimulus, [[Ablate(stimulus.visual, torch.zeros(16))]])
            >>> asked = [[], *watching.arms]
            >>> texts = watching.model.describe(stimulus, asked, max_new_tokens=2)
            >>> clean, blind = watching.first_token(asked)
            >>> clean == blind
            False
        """
        unseen = [arm for arm in arms if key_of(arm) not in self._ends]
        length = len(self.stimulus.embeddings)
        if any(first_affected(arm, length) < length for arm in unseen):
            return None
        seen = [self._ends[key_of(arm)] for arm in arms if key_of(arm) in self._ends]
        logits = iter(self.vlm.head(torch.cat(seen)) if seen else ())
        clean = self.vlm.next_token(self.stimulus, [[]])[0] if unseen else torch.empty(0)
        every = [next(logits) if key_of(arm) in self._ends else clean for arm in arms]
        probabilities = torch.stack(every).float().softmax(-1)
        return probabilities[:, probabilities[0].argmax()].tolist()

    @contextmanager
    def _watch(self, stimulus: Stimulus, arms: Sequence[Arm], at: At) -> Iterator[None]:
        """Keeps hidden states of one pass: where arms end, and at the last position."""
        with ExitStack() as hooks:
            if stimulus is self.stimulus:
                for layer in self._places:
                    places = [
                        ((key_of(arm), layer), at(number, positions))
                        for number, arm in enumerate(arms)
                        if (positions := self._positions(arm, layer))
                    ]
                    look = before(leaving(self.vlm.decoder, layer), _keeping(self._states, places))
                    hooks.enter_context(look)
                ends = [
                    (key_of(arm), at(number, [stimulus.last])) for number, arm in enumerate(arms)
                ]
                look = partial(_keep, self._ends, ends)
                hooks.enter_context(after(self.vlm.decoder.norm, look))
            yield

    @cached_property
    def _places(self) -> dict[int, list[int]]:
        return places_of(self.arms)

    @cached_property
    def _wanted(self) -> dict[Key, tuple[int, list[int]]]:
        return {key_of(arm): end for arm in self.arms if (end := end_of(arm))}

    @cached_property
    def _starts(self) -> dict[Key, int]:
        return {key_of(arm): int(arm[0].tokens[0]) for arm in self.repeats}

    def _positions(self, arm: Arm, layer: int) -> list[int]:
        """Where the hidden states of an arm after a layer are kept: where it acts, or for a repeat
        wherever some arm's are."""
        key = key_of(arm)
        if key in self._starts:
            return [each for each in self._places[layer] if each >= self._starts[key]]
        last, targets = self._wanted.get(key, (None, []))
        return targets if last == layer else []

    def _noise(self, layer: int, clean: "CleanRun") -> float:
        """How far a repeated run's hidden states are from the clean run's, at most."""
        found = [
            apart(states, clean.at(layer, self._positions(arm, layer)))
            for arm in self.repeats
            if (states := self._states.get((key_of(arm), layer))) is not None
        ]
        return max(found)

    def _reach(self, arm: Arm, clean: "CleanRun", least: dict[int, float]) -> Reach:
        if (end := end_of(arm)) is None:
            return Reach()
        layer, positions = end
        change = apart(self._states[key_of(arm), layer], clean.at(layer, positions))
        attention = clean.attention(arm) if edges_of(arm) else None
        return Reach(attention, change > least[layer])


@dataclass(frozen=True, eq=False)
class CleanRun:
    """One clean pass of the whole model under eager attention, which gives its weights.

    - `weights`: by layer and edges the attention weight on them, a mean over heads and targets, and
        of how many that is.
    - `states`: by layer the hidden states that leave it at `places`.

    !!! example

        >>> clean = CleanRun.of(vlm, stimulus, [[Block(range(5), to=[5, 6], layers=[0, 1])]])
        >>> clean.at(1, [6]).shape
        torch.Size([1, 16])
    """

    places: dict[int, list[int]]
    weights: dict[tuple[int, Edges], tuple[float, int]]
    states: dict[int, Tensor]

    @classmethod
    @torch.no_grad()
    def of(cls, vlm: VLM, stimulus: Stimulus, arms: Sequence[Arm]) -> "CleanRun":
        """The run, for these arms."""
        decoder, places = vlm.decoder, places_of(arms)
        wanted = {(layer, edges) for arm in arms for layer, edges in edges_of(arm)}
        masks = {edges: removed(edges, stimulus, decoder.heads) for _, edges in wanted}
        weights: dict[tuple[int, Edges], tuple[float, int]] = {}
        states: dict[int, Tensor] = {}

        def weighing(layer: int) -> Callable[[Any], None]:
            here = [edges for at, edges in wanted if at == layer]

            def weigh(output: Any) -> None:
                for edges in here:
                    weights[layer, edges] = weight_on(told_by(output)[0], *masks[edges])

            return weigh

        with eager(decoder), ExitStack() as hooks:
            for layer in {layer for layer, _ in wanted}:
                hooks.enter_context(after(decoder.attending[layer], weighing(layer)))
            for layer, positions in places.items():
                keep = _keeping(states, [(layer, (0, positions))])
                hooks.enter_context(before(leaving(decoder, layer), keep))
            vlm.model(**stimulus.inputs, use_cache=False, logits_to_keep=1)
        return cls(places, weights, states)

    def at(self, layer: int, positions: Sequence[int]) -> Float[Tensor, "token d_model"]:
        """The hidden states that leave a layer at some of its places."""
        return self.states[layer][[self.places[layer].index(each) for each in positions]]

    def attention(self, arm: Arm) -> float:
        """The attention weight that an arm's blocks remove."""
        found = [self.weights[each] for each in edges_of(arm)]
        return sum(mean * count for mean, count in found) / sum(count for _, count in found)


def key_of(arm: Arm) -> Key:
    """An arm as a dictionary's key, also if somebody has put its interventions into a new list.

    !!! example

        >>> key_of([])
        ()
    """
    return tuple(map(id, arm))


def end_of(arm: Arm) -> tuple[int, list[int]] | None:
    """Where it is looked whether an arm acts: the last layer in which it blocks, and its targets;
    else the last in which it ablates, and the tokens; None for an arm that changes nothing in the
    prompt.

    !!! example

        >>> end_of([Block([1], to=[4, 5], layers=[2, 3]), Block([1], to=[7], layers=[0])])
        (3, [4, 5, 7])
        >>> end_of([Ablate([5, 6], torch.zeros(16))])
        (0, [5, 6])
    """
    ablations, blocks, _ = by_kind(arm)
    places = [(max(each.layers), each.targets) for each in blocks]
    places = places or [(each.layer, each.tokens) for each in ablations]
    if not places:
        return None
    return max(layer for layer, _ in places), sorted({at for _, each in places for at in each})


def places_of(arms: Sequence[Arm]) -> dict[int, list[int]]:
    """By layer the positions at which arms that end there act.

    !!! example

        >>> places_of([[], [Block([1], to=4, layers=[0, 2])], [Block([1], to=3, layers=[2])]])
        {2: [3, 4]}
    """
    places: dict[int, set[int]] = {}
    for layer, positions in filter(None, map(end_of, arms)):
        places.setdefault(layer, set()).update(positions)
    return {layer: sorted(positions) for layer, positions in places.items()}


def edges_of(arm: Arm) -> list[tuple[int, Edges]]:
    """By layer what an arm's blocks remove in the prompt.

    !!! example

        >>> edges_of([Block([1, 2], to=4, layers=[0, 2])])
        [(0, (((1, 2), (4,), None),)), (2, (((1, 2), (4,), None),))]
    """
    blocks = by_kind(arm)[1]
    layers = sorted({layer for each in blocks for layer in each.layers})
    return [
        (
            layer,
            tuple(
                (each.source, each.targets, each.heads) for each in blocks if layer in each.layers
            ),
        )
        for layer in layers
    ]


def removed(
    edges: Edges, stimulus: Stimulus, heads: int
) -> tuple[list[int], Bool[Tensor, "head target key"]]:
    """The targets of edges in ascending order, and which keys each of them loses, head by head.

    !!! example

        >>> targets, mask = removed((((1, 2), (4,), [0]),), stimulus, heads=2)
        >>> targets, mask[:, 0, :4].int().tolist()
        ([4], [[0, 1, 1, 0], [0, 0, 0, 0]])
    """
    targets = sorted({target for _, to, _ in edges for target in to})
    mask = torch.zeros(heads, len(targets), len(stimulus.embeddings), dtype=torch.bool)
    for source, to, of in edges:
        rows = torch.tensor([targets.index(target) for target in to])
        of_heads = torch.arange(heads) if of is None else torch.tensor(list(of))
        mask[of_heads[:, None, None], rows[:, None], torch.tensor(list(source))] = True
    return targets, mask.to(stimulus.embeddings.device)


def told_by(output: Any) -> Float[Tensor, "prompt head query key"]:
    """The attention weights in what an attention module returns: the output, then these.

    **Raises:** `LackingError` if it returns none.

    !!! example

        >>> told_by((torch.zeros(1, 3, 16), torch.ones(1, 2, 3, 3))).shape
        torch.Size([1, 2, 3, 3])
    """
    weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
    if weights is None:
        raise LackingError(
            "What blocks remove is read from attention weights, and this model's attention returns "
            'none, not even with attn_implementation="eager". Ask `vlm.next_token` or '
            "`vlm.describe` for what the blocks do; they need no weights."
        )
    return weights


def weight_on(
    weights: Float[Tensor, "head query key"],
    targets: Sequence[int],
    mask: Bool[Tensor, "head target key"],
) -> tuple[float, int]:
    """The attention weight on edges, summed over keys: its mean over those heads and targets that
    lose any edge, and how many those are.

    !!! example

        >>> weights, mask = torch.full((2, 4, 4), 0.25), torch.zeros(2, 1, 4, dtype=torch.bool)
        >>> mask[0, 0, :3] = True
        >>> weight_on(weights, [3], mask)
        (0.75, 1)
    """
    loses = mask.any(-1)
    on_edges = weights[:, list(targets)].float().masked_fill(~mask.to(weights.device), 0).sum(-1)
    return float(on_edges[loses.to(weights.device)].mean()), int(loses.sum())


def apart(states: Float[Tensor, "token d_model"], clean: Float[Tensor, "token d_model"]) -> float:
    """The largest change of a hidden state, as a share of its length in the clean run.

    !!! example

        >>> apart(torch.tensor([[1.0, 0], [0, 3]]), torch.tensor([[1.0, 0], [0, 2]]))
        0.5
    """
    states, clean = states.float(), clean.float()
    tiny = torch.finfo(clean.dtype).tiny
    return float(((states - clean).norm(dim=-1) / clean.norm(dim=-1).clamp_min(tiny)).max())


def leaving(decoder: Decoder, layer: int) -> nn.Module:
    """The module that is given what leaves a decoder layer.

    !!! example

        >>> leaving(vlm.decoder, 1) is vlm.decoder.norm
        True
    """
    return (*decoder.layers, decoder.norm)[layer + 1]


@contextmanager
def eager(decoder: Decoder) -> Iterator[None]:
    """While the context lasts, attention is eager, and gives its weights.

    !!! example

        >>> with eager(vlm.decoder):
        ...     print(vlm.decoder.eager)
        True
    """
    config: Any = decoder.stack.config
    own = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = own


def _keeping(kept: dict, places: Sequence[tuple[Any, tuple[int, list[int]]]]) -> Edit:
    def look(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        _keep(kept, places, args[0])
        return args, kwargs

    return look


def _keep(
    kept: dict,
    places: Sequence[tuple[Any, tuple[int, list[int]]]],
    hidden: Float[Tensor, "row seq d_model"],
) -> None:
    """Hidden states at some places, of the first time only: a description goes on after its
    prompt."""
    for key, (row, columns) in places:
        if key not in kept:
            kept[key] = hidden[row, columns].clone()
