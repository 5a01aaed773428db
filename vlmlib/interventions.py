"""Interventions are values: what to change in a forward pass, apart from any model and any run.

An *arm* is a list of interventions that hold together in one forward pass; `[]` is the clean run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from vlmlib.errors import VLMError

Tokens = Int[Tensor, " _"] | Iterable[int]


def positions(tokens: Tokens | int) -> tuple[int, ...]:
    """Positions in the sequence as plain numbers, in ascending order, each once.

    !!! example

        >>> positions([4, 2, 4])
        (2, 4)
    """
    if isinstance(tokens, Tensor):
        tokens = tokens.reshape(-1).tolist()
    return tuple(sorted({int(token) for token in ([tokens] if isinstance(tokens, int) else tokens)}))


@dataclass(frozen=True, eq=False)
class Ablate:
    """Replace the embeddings of some tokens by a value before the first layer (mean ablation, section 3).

    E'_i = value for i in S, E'_i = E_i elsewhere.

    **Arguments:**

    - `tokens`: positions in the sequence, S.
    - `value`: `[d_model]` for all of them (the mean embedding, or zeros), or `[token, d_model]`, one row per token in
        ascending order of position.

    !!! example

        >>> import torch
        >>> Ablate([5, 6], torch.zeros(8)).tokens
        (5, 6)
    """

    tokens: Sequence[int]
    value: Float[Tensor, "*token d_model"]

    def __init__(self, tokens: Tokens, value: Float[Tensor, "*token d_model"]):
        object.__setattr__(self, "tokens", positions(tokens))
        object.__setattr__(self, "value", value)
        if value.ndim not in (1, 2) or (value.ndim == 2 and len(value) != len(self.tokens)):
            raise VLMError(
                f"Ablate was given a value of shape {tuple(value.shape)} for {len(self.tokens)} tokens. Pass one "
                "vector [d_model] for all of them, or one row per token [token, d_model]."
            )


@dataclass(frozen=True)
class Block:
    """Remove the attention edges from some source positions into some target positions (attention knockout, 4.2).

    In each of the layers the mask of every head becomes minus infinity at (target, source), after Geva et al. (2023).

    **Arguments:**

    - `source`: positions that are no longer attended to (keys).
    - `to`: the positions that no longer attend to them (queries): one, or several.
    - `layers`: 0-based decoder layers in which the edges are removed.

    An edge of a position to itself goes only if the position stands in both. For the paper's "I - LVR -> LVR" the
    edges that causality forbids anyway are left out; a source that no target could see at all is an error.

    !!! example

        >>> Block(source=[5, 6], to=9, layers=range(2, 4))
        Block(source=(5, 6), to=(9,), layers=(2, 3))
    """

    source: Sequence[int]
    to: Sequence[int]
    layers: Sequence[int]

    def __init__(self, source: Tokens, to: Tokens | int, layers: Iterable[int]):
        object.__setattr__(self, "source", positions(source))
        object.__setattr__(self, "to", positions(to))
        object.__setattr__(self, "layers", tuple(sorted(set(layers))))


Arm = Sequence[Ablate | Block]


def check(arm: Arm, length: int, d_model: int, layers: int) -> None:
    """Raise a `VLMError` where an arm means nothing on a sequence of this length in a model of this shape.

    !!! example

        >>> check([Block([1], to=3, layers=[0])], length=4, d_model=8, layers=2)
    """
    ablated: set[int] = set()
    for each in arm:
        if isinstance(each, Ablate):
            _in_range("Ablate: token", each.tokens, length)
            if each.value.shape[-1] != d_model:
                raise VLMError(
                    f"Ablate was given a value of width {each.value.shape[-1]}, but this model's embeddings have "
                    f"width {d_model}. Compute the value with this model (mean_embedding(vlm, images))."
                )
            twice = ablated.intersection(each.tokens)
            if twice:
                raise VLMError(f"Two ablations of one arm replace token {min(twice)}. Leave it in one of them.")
            ablated.update(each.tokens)
        else:
            _in_range("Block: source", each.source, length)
            _in_range("Block: target", each.to, length)
            _in_range("Block: layer", each.layers, layers)
            unseen = [source for source in each.source if all(source > target for target in each.to)]
            if unseen:
                raise VLMError(
                    f"Block removes edges from position {unseen[0]} into {each.to[-1]} and before, but no position "
                    "attends to a later one. Choose sources at or before the targets."
                )


def _in_range(what: str, numbers: Sequence[int], count: int) -> None:
    outside = [number for number in numbers if not 0 <= number < count]
    if outside:
        raise VLMError(f"{what} {outside[0]} is outside 0 to {count - 1}. Count from 0, without negative numbers.")
