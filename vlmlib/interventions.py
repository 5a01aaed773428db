"""Interventions are values: what to change in a forward pass, apart from any model and any run.

An *arm* is a list of interventions that hold together in one forward pass; `[]` is the clean run.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, SupportsIndex, assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlmlib.errors import VLMError

# Positions in the sequence, or one of them; also layers and heads.
Tokens = Int[Tensor, " _"] | Iterable[int] | SupportsIndex


class Generated(Enum):
    """What `GENERATED` is: a value of its own, which stays itself in copies and other processes.

    !!! example

        >>> GENERATED
        GENERATED
    """

    GENERATED = "generated"

    def __repr__(self) -> str:
        return self.name


# All tokens that a model generates after the prompt, as the targets of a `Block`.
GENERATED: Final = Generated.GENERATED
# The queries of a block.
Targets = Tokens | Generated


def numbers(tokens: Tokens) -> list[int]:
    """Positions, layers or heads as plain numbers, in the order given.

    **Raises:** `VLMError` for anything that is no whole number, such as the entries of a mask, or
    `GENERATED`.

    !!! example

        >>> numbers(torch.tensor([4, 2])), numbers(7)
        ([4, 2], [7])
    """
    listed = tokens.reshape(-1).tolist() if isinstance(tokens, Tensor) else tokens
    listed = list(listed) if isinstance(listed, Iterable) else [listed]
    # a protocol is slow to ask for, and nearly all of very many are plain
    others = [each for each in listed if type(each) is not int]
    if any(each is GENERATED for each in others):
        raise VLMError(
            "GENERATED is no position: it stands alone, as the targets of a block (to=GENERATED). "
            "To block positions of the prompt, too, put a second Block into the same arm."
        )
    strange = [
        each for each in others if isinstance(each, bool) or not isinstance(each, SupportsIndex)
    ]
    if strange:
        raise VLMError(
            f"Positions, layers and heads are whole numbers; {strange[0]!r} is a "
            f"{type(strange[0]).__name__}. "
            "Turn a mask over positions into them with mask.nonzero()."
        )
    return [operator.index(each) for each in listed]


def positions(tokens: Tokens) -> tuple[int, ...]:
    """Plain numbers in ascending order, each once.

    !!! example

        >>> positions([4, 2, 4])
        (2, 4)
    """
    return tuple(sorted(set(numbers(tokens))))


@dataclass(frozen=True, eq=False)
class Ablate:
    """Replace what enters a layer at some positions by a value (mean ablation, section 3).

    E'_i = value for i in S, E'_i = E_i elsewhere. At layer 0, the paper's, E are the embeddings, as
    the language model is given them; at a later layer they are hidden states, so that the hidden
    states of another stimulus as the value make this activation patching.

    **Arguments:**

    - `tokens`: positions in the sequence, S.
    - `value`: `[d_model]` for all of them (the mean embedding, or zeros), or `[token, d_model]`,
        one row per token in the order of `tokens`. At layer 0 it may be `vlm.width` wide instead:
        after the embedding follows what is added at each of `vlm.injects`, in place of what the
        picture adds there. Otherwise nothing is.
    - `layer`: the 0-based decoder layer whose input is replaced.

    **Raises:** `VLMError` for a value of another shape, or one that is not finite.

    !!! example

        >>> import torch
        >>> Ablate([5, 6], torch.zeros(8)).tokens
        (5, 6)
        >>> other = vlm.read(image.rotate(180), "Is there a dog in this image?")
        >>> patch = Ablate([5, 6], vlm.hidden_states(other, [5, 6])[1], layer=1)
    """

    tokens: Sequence[int]
    value: Float[Tensor, "*token d_model"]
    layer: int = 0

    def __init__(self, tokens: Tokens, value: Float[Tensor, "*token d_model"], layer: int = 0):
        given, ascending = numbers(tokens), positions(tokens)
        one_for_all = value.ndim == 1
        one_per_token = value.ndim == 2 and len(value) == len(given) == len(ascending)
        if not (one_for_all or one_per_token):
            raise VLMError(
                f"Ablate was given a value of shape {tuple(value.shape)} for {len(ascending)} "
                "tokens. Pass one vector [d_model] for all of them, or one row per token "
                "[token, d_model], each token once."
            )
        if not bool(torch.isfinite(value).all()):
            raise VLMError(
                "Ablate was given a value that is not finite. "
                "Look for NaN or infinity where it was made."
            )
        if one_per_token and given != list(ascending):
            value = value[sorted(range(len(given)), key=given.__getitem__)]
        object.__setattr__(self, "tokens", ascending)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "layer", layer)

    def part(self, at: int, width: int) -> Float[Tensor, "*token d_model"]:
        """The embedding (0), or what is added at the first place (1) or a later one where more of
        the picture enters; zeros where the value has none."""
        part = self.value[..., at * width : (at + 1) * width]
        return part if part.shape[-1] else torch.zeros_like(self.value[..., :width])

    @property
    def is_empty(self) -> bool:
        """Whether it replaces no token, and so changes nothing."""
        return not self.tokens


@dataclass(frozen=True)
class Block:
    """Remove the attention edges from some source positions into some target positions (attention
    knockout, 4.2).

    In each of the layers the attention mask becomes minus infinity at (target, source), after Geva
    et al. (2023). It is joined with the model's own mask.

    Positions are those of the prompt. `GENERATED` as the target is every token that comes after it
    while the model describes, and none of the prompt: after Kaduri et al. (2024, arXiv 2411.17491),
    whose descriptions survive without the image, on what the question's tokens have gathered of it.
    The token that is said first is predicted by the prompt, and stays what it is. Where nothing is
    generated (`next_token`, the lens, `reach`) such a block removes nothing. Two blocks in one arm
    have both as targets.

    **Arguments:**

    - `source`: positions of the prompt that are no longer attended to (keys).
    - `to`: the positions that no longer attend to them (queries): one, or several; or `GENERATED`.
    - `layers`: 0-based decoder layers in which the edges are removed.
    - `heads`: 0-based query heads, or None for all of them.

    An edge of a position to itself goes only if the position stands in both. An edge into an
    earlier position, which causality forbids already, is an error: for regions that overlap,
    `causal_blocks` lists the edges that exist.

    !!! example

        >>> Block(source=[5, 6], to=9, layers=range(2, 4))
        Block(source=(5, 6), to=(9,), layers=(2, 3), heads=None)
        >>> unseen = Block(stimulus.visual, to=GENERATED, layers=vlm.layers)
        >>> clean, blind = vlm.describe(stimulus, [[], [unseen]], max_new_tokens=5)
        >>> clean == blind
        False
    """

    source: Sequence[int]
    to: Sequence[int] | Generated
    layers: Sequence[int]
    heads: Sequence[int] | None = None

    def __init__(self, source: Tokens, to: Targets, layers: Tokens, heads: Tokens | None = None):
        object.__setattr__(self, "source", positions(source))
        object.__setattr__(self, "to", GENERATED if to is GENERATED else positions(to))
        object.__setattr__(self, "layers", positions(layers))
        object.__setattr__(self, "heads", None if heads is None else positions(heads))

    @property
    def targets(self) -> Sequence[int]:
        """Its targets in the prompt."""
        return () if self.to is GENERATED else self.to

    @property
    def is_empty(self) -> bool:
        """Whether it removes no edge, and so changes nothing."""
        return not (self.source and self.to and self.layers) or self.heads == ()


Intervention = Ablate | Block
Arm = Sequence[Intervention]


def causal_blocks(
    source: Tokens, to: Targets, layers: Tokens, heads: Tokens | None = None
) -> list[Block]:
    """Blocks of every edge from `source` into `to` that exists in a causal model, for regions that
    overlap.

    Targets that see the same sources share a block; a target that sees none of them has none.
    `GENERATED` sees all.

    !!! example

        >>> [(block.source, block.to) for block in causal_blocks([3, 8], to=[7, 8, 9], layers=[0])]
        [((3,), (7,)), ((3, 8), (8, 9))]
    """
    sources, seen_by = positions(source), {}
    if to is GENERATED:
        return [Block(sources, to, layers, heads)] if sources else []
    for target in positions(to):
        seen_by.setdefault(tuple(each for each in sources if each <= target), []).append(target)
    return [Block(seen, targets, layers, heads) for seen, targets in seen_by.items() if seen]


def by_kind(arm: Arm) -> tuple[list[Ablate], list[Block], list[Block]]:
    """An arm's ablations, its blocks in the prompt, and its blocks of `GENERATED`, without those
    that change nothing.

    Whoever executes an arm takes it apart here, so that no kind of intervention is left out.

    !!! example

        >>> by_kind([Block([1], to=3, layers=[0]), Block([], to=3, layers=[0])])
        ([], [Block(source=(1,), to=(3,), layers=(0,), heads=None)], [])
        >>> by_kind([Block([1], to=GENERATED, layers=[0])])[2]
        [Block(source=(1,), to=GENERATED, layers=(0,), heads=None)]
    """
    ablations: list[Ablate] = []
    blocks: list[Block] = []
    generated: list[Block] = []
    for each in arm:
        match each:
            case Ablate():
                ablations.append(each)
            case Block():
                (generated if each.to is GENERATED else blocks).append(each)
            case _:
                assert_never(each)
    return (
        [each for each in ablations if not each.is_empty],
        [each for each in blocks if not each.is_empty],
        [each for each in generated if not each.is_empty],
    )


def generated_at(arm: Arm, position: int) -> list[Block]:
    """An arm's blocks of `GENERATED`, as those of the one token that is generated at a position.

    !!! example

        >>> generated_at([Block([1], to=GENERATED, layers=[0]), Block([1], to=3, layers=[0])], 12)
        [Block(source=(1,), to=(12,), layers=(0,), heads=None)]
    """
    return [replace(each, to=position) for each in by_kind(arm)[2]]


def is_empty(arm: Arm) -> bool:
    """Whether an arm changes nothing: it replaces no token and removes no edge, also into tokens
    that are generated.

    !!! example

        >>> is_empty([]), is_empty([Block([], to=3, layers=[0])]), is_empty([Block([1], 3, [0])])
        (True, True, False)
    """
    return not any(by_kind(arm))


def first_affected(arm: Arm, length: int) -> int:
    """The first position of the prompt whose hidden states an arm changes, or `length` if it
    changes nothing there.

    !!! example

        >>> first_affected([Block([1, 2], to=[7, 8], layers=[0])], length=10)
        7
        >>> first_affected([Block([1, 2], to=[7, 8], layers=[])], length=10)
        10
    """
    ablations, blocks, _ = by_kind(arm)
    changed = [token for each in ablations for token in each.tokens]
    changed += [target for each in blocks for target in each.targets]
    return min(changed, default=length)


def touched(arm: Arm) -> set[int]:
    """The positions that an arm touches: ablated ones, and sources of blocked edges.

    !!! example

        >>> sorted(touched([Block([5, 6], to=9, layers=[0])]))
        [5, 6]
    """
    found: set[int] = set()
    for each in arm:
        match each:
            case Ablate():
                found.update(each.tokens)
            case Block():
                found.update(each.source)
            case _:
                assert_never(each)
    return found
