"""What makes no sense is refused before anything runs: arms without meaning, numbers out of
range."""

from collections.abc import Sequence

from vlmlib.decoder import Decoder
from vlmlib.errors import VLMError
from vlmlib.interventions import Ablate, Arm, Block


def check(arm: Arm, length: int, decoder: Decoder, causal: bool = True) -> None:
    """Raise a `VLMError` where an arm means nothing on a sequence of `length` positions in this
    decoder.

    **Arguments:** `causal`: no position attends to a later one.

    !!! example

        >>> check([Block([1], to=3, layers=[0])], length=4, decoder=vlm.decoder)
    """
    strange = (
        [arm]
        if isinstance(arm, Ablate | Block)
        else [each for each in arm if not isinstance(each, Ablate | Block)]
    )
    if strange:
        raise VLMError(
            f"An arm is a list of Ablate and Block, and [] the clean run; this one is or holds a "
            f"{type(strange[0]).__name__}. Pass a list of arms, such as [[], [Ablate(tokens, "
            "mean)]]."
        )
    ablated: set[tuple[int, int]] = set()
    for each in arm:
        if isinstance(each, Ablate):
            check_range("Ablate: token", each.tokens, length)
            check_range("Ablate: layer", [each.layer], len(decoder.layers))
            if each.value.shape[-1] != decoder.d_model:
                raise VLMError(
                    f"Ablate was given a value of width {each.value.shape[-1]}, but this model's "
                    "embeddings have "
                    f"width {decoder.d_model}. Compute the value with this model "
                    "(mean_embedding(vlm, images))."
                )
            here = {(each.layer, token) for token in each.tokens}
            if here & ablated:
                layer, token = min(here & ablated)
                raise VLMError(
                    f"Two ablations of one arm replace token {token} at layer {layer}. Leave it in "
                    "one of them."
                )
            ablated |= here
        else:
            check_range("Block: source", each.source, length)
            check_range("Block: target", each.to, length)
            check_range("Block: layer", each.layers, len(decoder.layers))
            check_range("Block: head", each.heads or (), decoder.heads)
            if causal and each.source and each.to and max(each.source) > min(each.to):
                raise VLMError(
                    f"Block removes the edge from position {max(each.source)} into {min(each.to)}, "
                    "but no position "
                    "attends to a later one. Choose sources at or before the targets, or use "
                    "causal_blocks."
                )
    if causal:
        _check_sources_left([each for each in arm if isinstance(each, Block)], decoder)


def _check_sources_left(blocks: list[Block], decoder: Decoder) -> None:
    """A row without any source has no softmax. Only one that loses its edge to itself can come to
    that."""
    sources = {source for block in blocks for source in block.source}
    heads = range(decoder.heads) if any(block.heads is not None for block in blocks) else range(1)
    for target in sorted(sources & {target for block in blocks for target in block.to}):
        into = [block for block in blocks if target in block.to]
        for layer in sorted({layer for block in into for layer in block.layers}):
            window = decoder.windows[layer] or target + 1
            seen = range(max(0, target - window + 1), target + 1)
            for head in heads:
                here = [
                    b for b in into if layer in b.layers and (b.heads is None or head in b.heads)
                ]
                if sum(len(block.source) for block in here) < len(seen):
                    continue
                if not set(seen).difference(*(block.source for block in here)):
                    raise VLMError(
                        f"Blocking leaves position {target} with no position to attend to in layer "
                        f"{layer}. Keep at "
                        "least one source, for example the position itself."
                    )


def check_range(what: str, numbers: Sequence[int], count: int) -> None:
    """Raise a `VLMError` that names `what` if one of the numbers is not among `range(count)`.

    !!! example

        >>> check_range("Block: layer", [0, 1], count=2)
    """
    outside = [number for number in numbers if not 0 <= number < count]
    if outside:
        raise VLMError(
            f"{what} {outside[0]} is outside 0 to {count - 1}. Count from 0, without negative "
            "numbers."
        )
