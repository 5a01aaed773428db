"""What is tried with pictures before a model is trusted: are its visual tokens where they are taken
to be, and is the picture seen through them alone?"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from vlmlib import oracle
from vlmlib.errors import LackingError
from vlmlib.geometry import centres
from vlmlib.interventions import Ablate
from vlmlib.selfcheck import off_by
from vlmlib.stimulus import Stimulus

if TYPE_CHECKING:
    from vlmlib.model import VLM

SHAPES = ((60, 40), (40, 60))  # width, height of the pictures that are tried
# How many pictures are looked at where their tokens are few, and blocks (in width and height) of
# most of them.
CHANCES, BLOCKS = 16, (6, 4)
PROBES = 4  # cells of each that are inverted
# How far the tokens that move lie from what was inverted, as a share of a side. In small random
# towers, which mix all places, right ones come to 0.12 (0.15 in tiles of 2 x 2 tokens), and wrong
# ones begin there, too; in the shipped, trained tower right ones are 0.02.
OFF = 0.13


def moving(vlm: "VLM", size: tuple[int, int]) -> Bool[Tensor, " placeholder"]:
    """Which placeholders of a picture of a size are embedded otherwise for another picture.

    Two pictures are looked at; and more where their tokens repeat, as those of a codebook do, since
    two pictures may then have the same one in the same place by chance.

    !!! example

        >>> bool(moving(vlm, (60, 40)).all())
        True
    """
    known, vlm.has_still = vlm.has_still, False  # else this would ask for itself
    try:
        one, other = (vlm.read(noise(size, seed), "Hi?") for seed in (0, 1))
        moved = _apart(one, other) > 0
        if not bool(moved.all()) and _repeats(one, other, moved):
            for seed in range(2, CHANCES):
                # in blocks, of which resizing leaves more
                picture = noise(BLOCKS, seed).resize(size, Image.Resampling.NEAREST)
                moved |= _apart(one, vlm.read(picture, "Hi?")) > 0
    finally:
        vlm.has_still = known
    return moved.cpu()


def _repeats(one: Stimulus, other: Stimulus, moved: Bool[Tensor, " placeholder"]) -> bool:
    """Whether some of what moves is embedded alike, in one picture or in both."""
    rows = torch.cat([each.embeddings[each.visual][moved] for each in (one, other)])
    return len(rows.unique(dim=0)) < len(rows)


def _apart(one: Stimulus, other: Stimulus) -> Float[Tensor, " token"]:
    """How far the visual tokens of two pictures are from each other, squared: as they enter, and in
    all that is added to them later."""
    pairs = [(one.embeddings, other.embeddings)]
    pairs += [(one.injected[layer], other.injected[layer]) for layer in one.injected]
    apart = [(first - second)[one.visual].double().norm(dim=-1) ** 2 for first, second in pairs]
    return torch.stack(apart).sum(0)


def misplaced(vlm: "VLM", size: tuple[int, int]) -> str:
    """Why regions of an image of a size cannot be found among a model's visual tokens; "" where
    they can.

    Cells of a noise picture are inverted, and the tokens whose embeddings move are looked at: their
    middle, weighted by how far each moved, is to be where the cell is.

    !!! example

        >>> misplaced(vlm, (60, 40))
        ''
    """
    width, height = size
    try:
        distances = _distances(vlm, noise(size))
        views = distances.shape[1]
        # of one view the other way round, of which several may have others
        turned = (height, width) if views == 1 else (width, height)
        again = _distances(vlm, noise(turned, seed=1))
    except LackingError as error:
        return str(error)
    if again.shape[1] == views:
        distances = np.concatenate([distances, again])
    by_view = np.ma.masked_invalid(distances).mean(axis=0)  # of some no cell was inverted
    off = float(by_view.max()) if by_view.count() else 1.0
    if off <= OFF:
        return ""
    return (
        f"{type(vlm.model).__name__}: when a part of a picture changes, other visual tokens move "
        f"than those that are taken to show it (by {off:.2f} of a side), so that regions of the "
        "image cannot be found among them. Ask what needs no regions: descriptions, lenses, "
        "gradients, all visual tokens or random ones."
    )


def seen_past(vlm: "VLM") -> str:
    """How the picture is seen though all visual tokens are ablated; "" where it is not.

    Two pictures of noise, whose visual tokens are all replaced by one vector, are to give the same
    logits.

    !!! example

        >>> seen_past(vlm)
        ''
    """
    stimuli = [vlm.read(noise(seed=seed), "Hi?") for seed in (0, 1)]
    value = stimuli[0].embeddings[stimuli[0].visual].mean(0)
    with torch.no_grad():
        seen, clean = (
            [oracle.next_token(vlm.model, vlm.decoder, each, arm(each)) for each in stimuli]
            for arm in (lambda each: [Ablate(each.visual, value)], lambda each: [])
        )
    left, told = off_by(seen[1], seen[0]), off_by(clean[1], clean[0])
    if left < math.inf and left <= 1e-3 * max(told, 1e-3):
        return ""
    return (
        f"{type(vlm.model).__name__} sees the picture past its visual tokens: with all of them "
        f"ablated, two pictures still differ in their logits by {left:.0e} of the largest "
        f"(untouched, by {told:.0e}), so that ablating tokens does not take away what they show. "
        "Ask what ablates no visual token: attention blocks, descriptions, lenses."
    )


def noise(size: tuple[int, int] = SHAPES[0], seed: int = 0) -> Image.Image:
    """A picture of noise.

    !!! example

        >>> noise((60, 40)).size
        (60, 40)
    """
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _distances(vlm: "VLM", picture: Image.Image) -> Float[np.ndarray, "probe view"]:
    """How far what moves in each view lies from each of a few cells that are inverted; NaN in views
    that do not show the cell."""
    before = vlm.read(picture, "Hi?")
    if before.unplaced:  # the other way round it may have no such layout
        return np.empty((0, 0))
    places = centres(before.image_processor, before.image_size, before.grids)
    at = np.concatenate([each.reshape(-1, 2) for each in places])
    cells = np.random.default_rng(0).permutation(at[np.isfinite(at).all(1)])[:PROBES]
    if not len(cells):
        return np.ones((1, 1))
    return np.array([_distance(vlm, picture, before, places, cell) for cell in cells])


def _distance(
    vlm: "VLM",
    picture: Image.Image,
    before: Stimulus,
    places: Sequence[Float[np.ndarray, "_ _ axis"]],
    cell: Float[np.ndarray, " axis"],
) -> list[float]:
    pixels = np.array(picture)
    sides = np.array(pixels.shape[:2])
    rows, cols = np.max(np.array(before.grids), axis=0)
    half = np.maximum(sides / (2 * np.array([rows, cols])), 0.5)
    top, left = np.floor(np.clip(cell * sides - half, 0, sides - 1)).astype(int)
    bottom, right = np.ceil(np.minimum(cell * sides + half, sides)).astype(int)
    pixels[top:bottom, left:right] = 255 - pixels[top:bottom, left:right]
    after = vlm.read(Image.fromarray(pixels), "Hi?")
    inverted = np.array([top + bottom, left + right]) / (2 * sides)
    sizes = [rows * cols for rows, cols in before.grids]
    moved = np.split(_apart(before, after).cpu().numpy(), np.cumsum(sizes)[:-1])
    return [_off(each, weight, inverted) for each, weight in zip(places, moved, strict=True)]


def _off(
    places: Float[np.ndarray, "row col axis"],
    moved: Float[np.ndarray, " token"],
    inverted: Float[np.ndarray, " axis"],
) -> float:
    """How far the middle of what moves in a view is from what was inverted; NaN if the view does
    not show that."""
    at = places.reshape(-1, 2)
    seen = np.isfinite(at).all(1)
    low, high = np.min(at[seen], axis=0, initial=1.0), np.max(at[seen], axis=0, initial=0.0)
    cells = np.array(places.shape[:2])
    half = np.where(cells > 1, (high - low) / np.maximum(2 * (cells - 1), 1), 0.5)
    if (inverted < low - half).any() or (inverted > high + half).any():
        return np.nan
    weight = np.where(seen, moved, 0.0)
    if not weight.sum():
        return 1.0
    middle = (weight[:, None] * np.nan_to_num(at)).sum(0) / weight.sum()
    return float(np.abs(middle - inverted).mean())
