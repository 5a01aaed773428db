"""Interventions are values: what to change in a forward pass, apart from any model and any run.

An *arm* is a list of interventions that hold together in one forward pass; `[]` is the clean run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlmlib.decoder import Decoder
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
    """Replace what enters a layer at some positions by a value (mean ablation, section 3).

    E'_i = value for i in S, E'_i = E_i elsewhere. At layer 0, the paper's, E are the embeddings; at a later layer they
    are hidden states, so that the hidden states of another stimulus as the value make this activation patching.

    **Arguments:**

    - `tokens`: positions in the sequence, S.
    - `value`: `[d_model]` for all of them (the mean embedding, or zeros), or `[token, d_model]`, one row per token in
        ascending order of position.
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
        object.__setattr__(self, "tokens", positions(tokens))
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "layer", layer)
        if value.ndim not in (1, 2) or (value.ndim == 2 and len(value) != len(self.tokens)):
            raise VLMError(
                f"Ablate was given a value of shape {tuple(value.shape)} for {len(self.tokens)} tokens. Pass one "
                "vector [d_model] for all of them, or one row per token [token, d_model]."
            )
        if not bool(torch.isfinite(value).all()):
            raise VLMError("Ablate was given a value that is not finite. Look for NaN or infinity where it was made.")


@dataclass(frozen=True)
class Block:
    """Remove the attention edges from some source positions into some target positions (attention knockout, 4.2).

    In each of the layers the attention mask becomes minus infinity at (target, source), after Geva et al. (2023). It is
    joined with the model's own mask. While the model describes, targets stay the positions they are: tokens that are
    generated later attend to everything.

    **Arguments:**

    - `source`: positions that are no longer attended to (keys).
    - `to`: the positions that no longer attend to them (queries): one, or several.
    - `layers`: 0-based decoder layers in which the edges are removed.
    - `heads`: 0-based query heads, or None for all of them.

    An edge of a position to itself goes only if the position stands in both. An edge into an earlier position, which
    causality forbids already, is an error: for regions that overlap, `causal_blocks` lists the edges that exist.

    !!! example

        >>> Block(source=[5, 6], to=9, layers=range(2, 4))
        Block(source=(5, 6), to=(9,), layers=(2, 3), heads=None)
    """

    source: Sequence[int]
    to: Sequence[int]
    layers: Sequence[int]
    heads: Sequence[int] | None = None

    def __init__(self, source: Tokens, to: Tokens | int, layers: Iterable[int], heads: Iterable[int] | None = None):
        object.__setattr__(self, "source", positions(source))
        object.__setattr__(self, "to", positions(to))
        object.__setattr__(self, "layers", tuple(sorted(set(layers))))
        object.__setattr__(self, "heads", None if heads is None else tuple(sorted(set(heads))))

    @property
    def is_empty(self) -> bool:
        """Whether it removes no edge at all."""
        return not (self.source and self.to and self.layers) or self.heads == ()


Arm = Sequence[Ablate | Block]


def causal_blocks(
    source: Tokens, to: Tokens | int, layers: Iterable[int], heads: Iterable[int] | None = None
) -> list[Block]:
    """Blocks of every edge from `source` into `to` that exists in a causal model, for regions that overlap.

    Targets that see the same sources share a block; a target that sees none of them has none.

    !!! example

        >>> [(block.source, block.to) for block in causal_blocks([3, 8], to=[7, 8, 9], layers=[0])]
        [((3,), (7,)), ((3, 8), (8, 9))]
    """
    sources, seen_by = positions(source), {}
    for target in positions(to):
        seen_by.setdefault(tuple(each for each in sources if each <= target), []).append(target)
    return [Block(seen, targets, layers, heads) for seen, targets in seen_by.items() if seen]


def first_affected(arm: Arm, length: int) -> int:
    """The first position whose hidden states an arm changes, or `length` if it changes nothing.

    !!! example

        >>> first_affected([Block([1, 2], to=[7, 8], layers=[0])], length=10)
        7
        >>> first_affected([Block([1, 2], to=[7, 8], layers=[])], length=10)
        10
    """
    first = length
    for each in arm:
        if isinstance(each, Ablate):
            first = min([first, *each.tokens])
        elif not each.is_empty:
            first = min([first, *each.to])
    return first


def check(arm: Arm, length: int, decoder: Decoder, causal: bool = True) -> None:
    """Raise a `VLMError` where an arm means nothing on a sequence of `length` positions in this decoder.

    **Arguments:** `causal`: no position attends to a later one.

    !!! example

        >>> check([Block([1], to=3, layers=[0])], length=4, decoder=vlm.decoder)
    """
    ablated: set[tuple[int, int]] = set()
    for each in arm:
        if isinstance(each, Ablate):
            check_range("Ablate: token", each.tokens, length)
            check_range("Ablate: layer", [each.layer], len(decoder.layers))
            if each.value.shape[-1] != decoder.d_model:
                raise VLMError(
                    f"Ablate was given a value of width {each.value.shape[-1]}, but this model's embeddings have "
                    f"width {decoder.d_model}. Compute the value with this model (mean_embedding(vlm, images))."
                )
            here = {(each.layer, token) for token in each.tokens}
            if here & ablated:
                layer, token = min(here & ablated)
                raise VLMError(
                    f"Two ablations of one arm replace token {token} at layer {layer}. Leave it in one of them."
                )
            ablated |= here
        else:
            check_range("Block: source", each.source, length)
            check_range("Block: target", each.to, length)
            check_range("Block: layer", each.layers, len(decoder.layers))
            check_range("Block: head", each.heads or (), decoder.heads)
            if causal and each.source and each.to and max(each.source) > min(each.to):
                raise VLMError(
                    f"Block removes the edge from position {max(each.source)} into {min(each.to)}, but no position "
                    "attends to a later one. Choose sources at or before the targets, or use causal_blocks."
                )
    if causal:
        _check_sources_left([each for each in arm if isinstance(each, Block)], decoder)


def _check_sources_left(blocks: list[Block], decoder: Decoder) -> None:
    """A row without any source has no softmax. Only one that loses its edge to itself can come to that."""
    losing_themselves = {target for block in blocks for target in set(block.to) & {s for b in blocks for s in b.source}}
    for target in sorted(losing_themselves):
        into = [block for block in blocks if target in block.to]
        for layer in sorted({layer for block in into for layer in block.layers}):
            window = decoder.windows[layer] or target + 1
            sources = set(range(max(0, target - window + 1), target + 1))
            for head in range(decoder.heads):
                here = [b for b in into if layer in b.layers and (b.heads is None or head in b.heads)]
                if not sources.difference(*(block.source for block in here)):
                    raise VLMError(
                        f"Blocking leaves position {target} with no position to attend to in layer {layer}. Keep at "
                        "least one source, for example the position itself."
                    )


def check_range(what: str, numbers: Sequence[int], count: int) -> None:
    """Raise a `VLMError` that names `what` if one of the numbers is not among `range(count)`.

    !!! example

        >>> check_range("Block: layer", [0, 1], count=2)
    """
    outside = [number for number in numbers if not 0 <= number < count]
    if outside:
        raise VLMError(f"{what} {outside[0]} is outside 0 to {count - 1}. Count from 0, without negative numbers.")
