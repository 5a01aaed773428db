"""Where regions of an image land on its visual tokens, through the model's own image processor."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from vlmlib.errors import LackingError

Grid = tuple[int, int]  # rows, columns of the visual tokens of one view
WHOLE = 0.98  # from which on a processed pixel shows the image alone, and no padding


def covered_patches(
    image_processor: Callable[..., Any],
    mask: Bool[np.ndarray, "height width"],
    grids: Sequence[Grid],
) -> list[Bool[np.ndarray, "_ _"]]:
    """The patches, view by view, in which some processed pixel is at least half covered by a mask.

    The mask is given to the image processor as a white-on-black picture, so that cropping, padding,
    tiling and merging need no second implementation. What a crop removes is on no patch, and
    patches that show only padding are covered by no mask.

    **Arguments:** the processor; a mask of the original image; `grids`, the (rows, columns) of the
    visual tokens of each view: the picture, or tiles of it.

    **Raises:** `LackingError` if the processor makes no such views of the image.

    !!! example

        >>> left = np.zeros((32, 32), bool)
        >>> left[:, :16] = True
        >>> [covered] = covered_patches(vlm.processor.image_processor, left, [(4, 4)])
        >>> covered.tolist()[0]
        [True, True, False, False]
    """
    order = _order(image_processor, mask.shape, grids)
    # padding is grey, not black: what remains after taking an empty mask off is the mask alone
    white, black = (_processed(image_processor, each) for each in (mask, np.zeros_like(mask)))
    return [view.max(axis=-1) >= 0.5 for view in _by_token(white - black, grids, order)]


def centres(
    image_processor: Callable[..., Any], size: tuple[int, int], grids: Sequence[Grid]
) -> list[Float[np.ndarray, "_ _ axis"]]:
    """Where the patches of each view lie in the image: the mean place of what they show, down and
    across, from 0 to 1; NaN for what shows only padding.

    Read off pictures whose brightness is the place.

    **Arguments:** the processor; (height, width) of the image; the grids of its views.

    **Raises:** `LackingError` if the processor makes no such views of the image.

    !!! example

        >>> [found] = centres(vlm.processor.image_processor, (64, 64), [(4, 4)])
        >>> (100 * found[0, :, 1]).astype(int).tolist()
        [12, 37, 62, 87]
    """
    made = _made_of_places(image_processor, size)
    return _centres(made, grids, _order(image_processor, size, grids))


def rectangles(
    image_processor: Callable[..., Any], size: tuple[int, int], grids: Sequence[Grid]
) -> list[Float[np.ndarray, "_ _ side"]]:
    """Which part of the image the patches of each view show: its left, top, right and bottom, from
    0 to 1; NaN for what shows only padding.

    Their pixels tell the places of the first and the last; half of what lies between neighbours
    belongs to each.

    **Arguments:** the processor; (height, width) of the image; the grids of its views.

    **Raises:** `LackingError` if the processor makes no such views of the image.

    !!! example

        >>> [found] = rectangles(vlm.processor.image_processor, (64, 64), [(4, 4)])
        >>> (100 * found[0, 1]).round().tolist()
        [25.0, 0.0, 50.0, 25.0]
    """
    made = _made_of_places(image_processor, size)
    order = _order(image_processor, size, grids)
    shown, down, across = (_by_token(each, grids, order) for each in made)
    found = []
    for part, y, x in zip(shown, down, across, strict=True):
        # half a pixel of padding mixed in would move a place
        seen = [np.ma.masked_where(part < WHOLE, place) for place in (x, y)]
        low, high = (
            np.stack([getattr(each, end)(-1).filled(np.nan) for each in seen], -1)
            for end in ("min", "max")
        )
        apart = [_between(low[..., 0], high[..., 0]), _between(low[..., 1].T, high[..., 1].T)]
        half = np.maximum(apart, 0) / 2
        found.append(np.concatenate([low - half, high + half], -1).clip(0, 1))
    return found


def _between(low: Float[np.ndarray, "row col"], high: Float[np.ndarray, "row col"]) -> float:
    """How far the last pixel of a token is from the first one of its right neighbour."""
    gaps = low[:, 1:] - high[:, :-1]
    known = gaps[np.isfinite(gaps)]
    return float(np.median(known)) if len(known) else 0.0


def _processed(
    image_processor: Callable[..., Any], bright: np.ndarray
) -> Float[np.ndarray, "*layout"]:
    """What the processor makes of a grey picture, brightness from 0 to 1; not normalised."""
    picture = Image.fromarray((bright * 255).round().astype(np.uint8)).convert("RGB")
    made = image_processor(picture, do_normalize=False, return_tensors="np")
    return np.asarray(made["pixel_values"], dtype=np.float32)


def _made_of_places(
    image_processor: Callable[..., Any], size: tuple[int, int]
) -> list[Float[np.ndarray, "*layout"]]:
    """What the processor makes of a picture that is white, and of two whose brightness is the
    place, down and across, from 0 to 1; without what it makes of a black one."""
    height, width = size
    down = np.repeat((np.arange(height)[:, None] + 0.5) / height, width, axis=1)
    across = np.repeat((np.arange(width)[None] + 0.5) / width, height, axis=0)
    none, *made = (
        _processed(image_processor, each) for each in (np.zeros(size), np.ones(size), down, across)
    )
    return [each - none for each in made]


def _centres(
    made: Sequence[Float[np.ndarray, "*layout"]], grids: Sequence[Grid], order: int
) -> list[Float[np.ndarray, "_ _ axis"]]:
    """Where the patches of each view lie, if they come in this order."""
    shown, *places = ([view.sum(-1) for view in _by_token(each, grids, order)] for each in made)
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            np.where(part[..., None] > 0, np.stack([y, x], -1) / part[..., None], np.nan)
            for part, y, x in zip(shown, *places, strict=True)
        ]


def _order(
    image_processor: Callable[..., Any], size: tuple[int, int], grids: Sequence[Grid]
) -> int:
    """In which order patches, or tiles, make up views of such grids: of those that are possible the
    one in which they lie at even distances."""
    orders = _orders(_processed(image_processor, np.ones(size)).shape, grids)
    if len(orders) == 1:
        return orders[0]
    made = _made_of_places(image_processor, size)
    return min(orders, key=lambda order: _uneven(made, size, grids, order))


def _uneven(
    made: Sequence[Float[np.ndarray, "*layout"]],
    size: tuple[int, int],
    grids: Sequence[Grid],
    order: int,
) -> float:
    """How far what a token shows is from its middle, and how far the middles by rows and columns
    are off straight lines: the mean of both in pixels, squared."""
    shown, *places = (_by_token(each, grids, order) for each in made)
    total = 0.0
    for axis, side in enumerate(size):
        for whole, place in zip(shown, places[axis], strict=True):
            at = side * np.ma.masked_where(whole <= 0, place) / np.where(whole > 0, whole, 1)
            middle = at.mean(-1)
            seen = ~np.ma.getmaskarray(middle)
            index = np.indices(seen.shape)[axis][seen]
            line = np.stack([index, np.ones_like(index)], -1)
            straight = line @ np.linalg.lstsq(line, middle[seen].data)[0]
            total += float(at.var(-1).mean() + ((middle[seen] - straight) ** 2).mean())
    return total


def _orders(shape: tuple[int, ...], grids: Sequence[Grid]) -> list[int]:
    """The orders that are possible. Of patches: 0 as they merge into tokens, 1 row by row of the
    image. Of tiles: how many lie one below another; 0 where each view is a picture of its own.

    **Raises:** `LackingError` where there is none.
    """
    if merged := _merged(shape, grids):
        return [0, 1] if merged > 1 and math.isqrt(merged) ** 2 == merged else [0]
    views = math.prod(shape[:-3]) if len(shape) >= 4 else 0
    if len(grids) == 2 and views > 1 and (views > 2 or grids[0] != grids[1]):
        tiles = range(1, views)
        if found := [down for down in tiles if _spare(views - 1, down, *grids) is not None]:
            return found
    if views == len(grids) and all(_has_cells(shape[-2:], grid) for grid in grids):
        return [0]
    raise LackingError(
        f"The image processor makes pixel values of shape {shape}, in which "
        f"{len(grids)} grids of visual tokens, the first of {grids[0][0]} x {grids[0][1]}, cannot "
        "be found. Use one that makes pictures [views, channels, height, width] of sides that the "
        "grids divide, or [patches, values] in the order of the tokens."
    )


def _merged(shape: tuple[int, ...], grids: Sequence[Grid]) -> int:
    """Of how many patches a token is made, where each has a row of values; else 0."""
    tokens = sum(rows * cols for rows, cols in grids)
    rows = shape[0] if len(shape) > 1 and len(grids) == 1 else 0
    return rows // tokens if rows % tokens == 0 else 0


def _has_cells(sides: tuple[int, ...], grid: Grid) -> bool:
    """Whether a picture is cut into such a grid: without a rest, or of squares with a rest at its
    end, which an encoder drops (384 pixels are 27 patches of 14)."""
    (height, width), (rows, cols) = sides, grid
    whole = height % rows == 0 and width % cols == 0
    return whole or height // rows == width // cols > 0


def _spare(count: int, down: int, of_tile: Grid, seen: Grid) -> tuple[int, int] | None:
    """How many rows and columns of tokens show padding, if so many tiles lie one below another;
    None where they cannot.

    **Arguments:** how many tiles; `of_tile`, `seen`: the grids of a tile, and of what is seen.
    """
    if count % down:
        return None
    rows, cols = of_tile[0] * down - seen[0], of_tile[1] * (count // down) - seen[1]
    return (rows, cols) if min(rows, cols) == 0 else None


def _by_token(
    values: Float[np.ndarray, "*layout"], grids: Sequence[Grid], order: int
) -> list[Float[np.ndarray, "_ _ _"]]:
    """What each token of each view shows."""
    rows, cols = grids[0]
    if merged := _merged(values.shape, grids):
        side = math.isqrt(merged)
        if order:
            values = values.reshape(rows, side, cols, side, -1).swapaxes(1, 2)
        return [values.reshape(rows, cols, -1)]
    views = values.reshape(-1, *values.shape[-3:])
    if not order:
        return [_cells(view, grid) for view, grid in zip(views, grids, strict=True)]
    return [_cells(views[0], grids[0]), _tiled(views[1:], order, *grids)]


def _tiled(
    tiles: Float[np.ndarray, "tile channel height width"], down: int, of_tile: Grid, seen: Grid
) -> Float[np.ndarray, "row col value"]:
    """The tokens of the picture that tiles make up, row by row, without the padding around it."""
    spare = _spare(len(tiles), down, of_tile, seen)
    assert spare is not None
    (rows, cols), across = of_tile, len(tiles) // down
    cells = np.stack([_cells(tile, of_tile) for tile in tiles])
    whole = cells.reshape(down, across, rows, cols, -1).swapaxes(1, 2)
    whole = whole.reshape(down * rows, across * cols, -1)
    top, left = spare[0] // 2, spare[1] // 2
    return whole[top : top + seen[0], left : left + seen[1]]


def _cells(
    view: Float[np.ndarray, "channel height width"], grid: Grid
) -> Float[np.ndarray, "row col value"]:
    (channels, height, width), (rows, cols) = view.shape, grid
    high, wide = height // rows, width // cols
    patches = view[:, : rows * high, : cols * wide].reshape(channels, rows, high, cols, wide)
    return patches.transpose(1, 3, 0, 2, 4).reshape(rows, cols, -1)
