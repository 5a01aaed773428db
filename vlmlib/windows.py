"""Windows of layers, and the attention knockout in each of them (section 4.2)."""

from collections.abc import Iterable, Mapping

from vlmlib.errors import VLMError
from vlmlib.interventions import GENERATED, Block, Targets, Tokens, positions


def scaled(bound: int, layers: int, of: int = 32) -> int:
    """The layer of a model of any depth that stands where `bound` stands in `of` layers.

    bound * layers / of, rounded half up.

    !!! example

        >>> scaled(10, 32), scaled(10, 28), scaled(10, 8)
        (10, 9, 3)
    """
    # floor(x + 1/2), in whole numbers
    return (2 * bound * layers + of) // (2 * of)


def named(layers: int, bounds: Mapping[str, tuple[int, int]], of: int = 32) -> dict[str, range]:
    """Windows that were named in a model of `of` layers, for a model of any depth.

    Each bound is `scaled`. A window holds at least one layer of the model, however few there are.

    **Arguments:** how many layers the model has; `bounds`: (start, stop) of each window among `of`
    layers, 0-based and half-open.

    **Raises:** `VLMError` for a model without layers, and for a window that holds no layer of `of`
    or others.

    !!! example

        >>> named(28, {"early": (0, 10), "mid-late": (14, 24)})
        {'early': range(0, 9), 'mid-late': range(12, 21)}
    """
    if layers < 1:
        raise VLMError(
            f"Windows were asked for in {layers} layers. Pass how many the model has, "
            "len(vlm.layers)."
        )
    windows = {}
    for name, (start, stop) in bounds.items():
        if not 0 <= start < stop <= of:
            raise VLMError(
                f"Window {name!r} is ({start}, {stop}). Expected (start, stop), "
                f"0 <= start < stop <= {of}."
            )
        first = min(scaled(start, layers, of), layers - 1)
        windows[name] = range(first, max(scaled(stop, layers, of), first + 1))
    return windows


def sliding(layers: int, width: int) -> list[range]:
    """Every window of `width` consecutive layers, in order (figure 8 slides one of 10).

    **Raises:** `VLMError` if no window of this width fits.

    !!! example

        >>> sliding(4, 3)
        [range(0, 3), range(1, 4)]
    """
    if not 1 <= width <= layers:
        raise VLMError(
            f"A window of {width} layers does not fit a model of {layers}. "
            f"Choose a width from 1 to {layers}."
        )
    return [range(start, start + width) for start in range(layers - width + 1)]


def centred(layers: int, width: int) -> list[range]:
    """A window around each layer, clipped at both ends (Zhang et al. 2024, whose windows these are:
    9 of 40 layers, 7 of 32).

    Around layer l it holds max(0, l - width // 2) up to min(layers, l + ceil(width / 2)) - 1, so
    that those near an end have fewer than `width` layers: look at their `len`.

    **Raises:** `VLMError` for no layers, or a width below one.

    !!! example

        >>> centred(5, 3)
        [range(0, 2), range(0, 3), range(1, 4), range(2, 5), range(3, 5)]
    """
    if layers < 1 or width < 1:
        raise VLMError(
            f"Windows of {width} around each of {layers} layers were asked for. Pass at least one "
            "of both."
        )
    return [
        range(max(0, layer - width // 2), min(layers, layer - (-width // 2)))
        for layer in range(layers)
    ]


def knockouts(
    source: Tokens,
    to: Targets,
    windows: Iterable[Iterable[int]],
    heads: Iterable[int] | None = None,
) -> list[list[Block]]:
    """One arm per window: attention from `source` into `to` is removed in its layers (see `Block`).

    !!! example

        >>> arms = knockouts(stimulus.visual, stimulus.last, sliding(len(vlm.layers), 1))
        >>> vlm.next_token(stimulus, arms).shape[0]
        2
    """
    source, heads = positions(source), None if heads is None else tuple(heads)
    to = GENERATED if to is GENERATED else positions(to)
    return [[Block(source, to, window, heads)] for window in windows]
