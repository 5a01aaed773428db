"""Windows of layers, and the attention knockout in each of them (section 4.2)."""

from collections.abc import Iterable, Mapping

from vlmlib.errors import VLMError
from vlmlib.interventions import Block, Tokens, positions

# Table 2's L1-10, L5-14, L11-20, L15-24, L21-31 of 32 layers, read 1-based: here 0-based and
# half-open.
PAPER = {
    "early": (0, 10),
    "early-mid": (4, 14),
    "mid": (10, 20),
    "mid-late": (14, 24),
    "late": (20, 31),
    "all": (0, 32),
}
# The windows of the authors' code: "early-mid" to "late" are others than the text's.
AUTHORS = {
    "early": (0, 10),
    "early-mid": (5, 15),
    "mid": (11, 21),
    "mid-late": (15, 25),
    "late": (21, 32),
    "all": (0, 32),
}


def paper_windows(layers: int, bounds: Mapping[str, tuple[int, int]] = PAPER) -> dict[str, range]:
    """The paper's named windows, for a model of any depth: each bound times layers / 32, rounded
    half up.

    A window holds at least one layer of the model, however few there are.

    **Arguments:** `bounds`: the windows at 32 layers, 0-based and half-open: `PAPER` (the text's)
    or `AUTHORS` (their code's).

    **Raises:** `VLMError` for a model without layers, and for a window that holds no layer of 32 or
    others.

    !!! example

        >>> paper_windows(32)["mid-late"], paper_windows(28)["mid-late"]
        (range(14, 24), range(12, 21))
        >>> paper_windows(32, AUTHORS)["mid-late"]
        range(15, 25)
    """
    if layers < 1:
        raise VLMError(
            f"paper_windows was given {layers} layers. Pass how many the model has, "
            "len(vlm.layers)."
        )
    for name, (start, stop) in bounds.items():
        if not 0 <= start < stop <= 32:
            raise VLMError(
                f"Window {name!r} is ({start}, {stop}). Expected (start, stop), 0 <= start < stop "
                "<= 32."
            )
    scaled = {
        name: [(2 * bound * layers + 32) // 64 for bound in window]
        for name, window in bounds.items()
    }
    starts = {name: min(start, layers - 1) for name, (start, _) in scaled.items()}
    return {
        name: range(starts[name], max(stop, starts[name] + 1)) for name, (_, stop) in scaled.items()
    }


def scaled(bound: int, layers: int, of: int = 32) -> int:
    """A bound at `of` layers for a model of another depth: bound * layers / of, rounded half up.

    !!! example

        >>> scaled(14, 32), scaled(14, 28), scaled(5, 3)
        (14, 12, 0)
    """
    return (2 * bound * layers + of) // (2 * of)


def sliding_windows(layers: int, width: int) -> list[range]:
    """Every window of `width` consecutive layers, in order (figure 8 slides one of 10).

    **Raises:** `VLMError` if no window of this width fits.

    !!! example

        >>> sliding_windows(4, 3)
        [range(0, 3), range(1, 4)]
    """
    if not 1 <= width <= layers:
        raise VLMError(
            f"A window of {width} layers does not fit a model of {layers}. Choose a width from 1 "
            f"to {layers}."
        )
    return [range(start, start + width) for start in range(layers - width + 1)]


def knockouts(
    source: Tokens, to: Tokens, windows: Iterable[Iterable[int]], heads: Iterable[int] | None = None
) -> list[list[Block]]:
    """One arm per window: attention from `source` into `to` is removed in its layers (see `Block`).

    !!! example

        >>> arms = knockouts(stimulus.visual, stimulus.last, sliding_windows(len(vlm.layers), 1))
        >>> vlm.next_token(stimulus, arms).shape[0]
        2
    """
    source, to, heads = positions(source), positions(to), None if heads is None else tuple(heads)
    return [[Block(source, to, window, heads)] for window in windows]
