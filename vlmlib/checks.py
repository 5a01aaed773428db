"""What makes no sense is refused before anything runs: arms without meaning, numbers out of range.

Every kind of intervention has its check here.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import assert_never

from vlmlib.decoder import Decoder
from vlmlib.errors import LackingError, VLMError
from vlmlib.interventions import Ablate, Arm, Block, Intervention, by_kind


def check(
    arm: Arm, length: int, decoder: Decoder, causal: bool = True, width: int | None = None
) -> None:
    """Raise a `VLMError` where an arm means nothing on a sequence of `length` positions in this
    decoder.

    **Arguments:** `causal`: no position attends to a later one; `width`: of all that a visual token
    is given (`vlm.width`), if that is more than its embedding.

    !!! example

        >>> check([Block([1], to=3, layers=[0])], length=4, decoder=vlm.decoder)
    """
    _check_kinds(arm)
    for each in arm:
        match each:
            case Ablate():
                _check_ablate(each, length, decoder, width or decoder.d_model)
            case Block():
                _check_block(each, length, decoder, causal)
            case _:
                assert_never(each)
    ablations, blocks, _ = by_kind(arm)
    _check_replaced_once(ablations)
    if causal:
        _check_sources_left(blocks, decoder)


def check_exact(arm: Arm, sparse: Mapping[int, str]) -> None:
    """Raise a `LackingError` where an arm's blocks would do more than remove edges.

    **Arguments:** an arm; layers in which blocks do, each with the reason (`vlm.sparse_on`).

    !!! example

        >>> check_exact([Block([1], to=3, layers=[0])], {1: "others are let in"})
    """
    _, blocks, generated = by_kind(arm)
    layers = {layer for each in (*blocks, *generated) for layer in each.layers}
    if found := sorted(layers & sparse.keys()):
        raise LackingError(
            f"Block cannot remove attention edges, and nothing else, in layer {found[0]} of this "
            f"model: {sparse[found[0]]}. Choose another layer or a shorter prompt, or ablate."
        )


def check_range(what: str, numbers: Sequence[int], count: int) -> None:
    """Raise a `VLMError` that names `what` if one of the numbers is not among `range(count)`.

    !!! example

        >>> check_range("Block: layer", [0, 1], count=2)
    """
    outside = [number for number in numbers if not 0 <= number < count]
    if outside:
        raise VLMError(
            f"{what} {outside[0]} is outside 0 to {count - 1}. "
            "Count from 0, without negative numbers."
        )


def _check_kinds(arm: Arm) -> None:
    """A single intervention in an arm's place is refused, and anything else in an arm."""
    if isinstance(arm, Intervention):
        strange = [arm]
    else:
        strange = [each for each in arm if not isinstance(each, Intervention)]
    if strange:
        raise VLMError(
            "An arm is a list of Ablate and Block, and [] the clean run; this one is or holds a "
            f"{type(strange[0]).__name__}. "
            "Pass a list of arms, such as [[], [Ablate(tokens, mean)]]."
        )


def _check_ablate(each: Ablate, length: int, decoder: Decoder, whole: int) -> None:
    check_range("Ablate: token", each.tokens, length)
    check_range("Ablate: layer", [each.layer], len(decoder.layers))
    if each.layer in decoder.closed and not each.is_empty:
        raise LackingError(
            f"Ablate cannot replace what enters layer {each.layer} of this model: "
            f"{decoder.closed[each.layer]}. Ablate at another layer, or block attention edges."
        )
    width = each.value.shape[-1]
    if width != decoder.d_model and (each.layer, width) != (0, whole):
        raise VLMError(
            f"Ablate was given a value of width {width}, but this model's embeddings have width "
            f"{decoder.d_model}. Compute the value with this model (mean_embedding(vlm, images))."
        )


def _check_block(each: Block, length: int, decoder: Decoder, causal: bool) -> None:
    check_range("Block: source", each.source, length)
    check_range("Block: target", each.targets, length)
    check_range("Block: layer", each.layers, len(decoder.layers))
    if without := sorted(set(each.layers) - decoder.attending.keys()):
        raise LackingError(
            f"Block removes attention edges in layer {without[0]}, which has no self-attention. "
            f"Choose among the layers that have: {', '.join(map(str, decoder.attending))}."
        )
    check_range("Block: head", each.heads or (), decoder.heads)
    if causal and each.source and each.targets and max(each.source) > min(each.targets):
        raise VLMError(
            f"Block removes the edge from position {max(each.source)} into {min(each.targets)}, "
            "but no position attends to a later one. "
            "Choose sources at or before the targets, or use causal_blocks."
        )


def _check_replaced_once(ablations: Sequence[Ablate]) -> None:
    """Which of two values would stand in a token's place is not said."""
    replaced: set[tuple[int, int]] = set()
    for each in ablations:
        here = {(each.layer, token) for token in each.tokens}
        if here & replaced:
            layer, token = min(here & replaced)
            raise VLMError(
                f"Two ablations of one arm replace token {token} at layer {layer}. "
                "Leave it in one of them."
            )
        replaced |= here


def _check_sources_left(blocks: Sequence[Block], decoder: Decoder) -> None:
    """A row without any source has no softmax. Only one that loses its edge to itself can come to
    that, which no generated token does."""
    sources = {source for block in blocks for source in block.source}
    targets = {target for block in blocks for target in block.targets}
    heads = range(decoder.heads) if any(block.heads is not None for block in blocks) else range(1)
    for target in sorted(sources & targets):
        into = [block for block in blocks if target in block.targets]
        layers = sorted({layer for block in into for layer in block.layers})
        for layer, head in product(layers, heads):
            window = decoder.windows[layer] or target + 1
            seen = range(max(0, target + 1 - window), target + 1)
            if _cover([block for block in into if _reaches(block, layer, head)], seen):
                raise VLMError(
                    f"Blocking leaves position {target} with no position to attend to in layer "
                    f"{layer}. Keep at least one source, for example the position itself."
                )


def _reaches(block: Block, layer: int, head: int) -> bool:
    return layer in block.layers and (block.heads is None or head in block.heads)


def _cover(blocks: Sequence[Block], seen: range) -> bool:
    """Whether the blocks take away all that a position sees; too few of them need no look."""
    if sum(len(block.source) for block in blocks) < len(seen):
        return False
    return not set(seen).difference(*(block.source for block in blocks))
