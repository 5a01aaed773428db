"""What is tried with pictures before a model is trusted: are its visual tokens where they are taken
to be, and is the picture seen through them alone?"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from vlmlib import oracle
from vlmlib.errors import LackingError
from vlmlib.geometry import rectangles
from vlmlib.interventions import Ablate
from vlmlib.selfcheck import off_by
from vlmlib.stimulus import Stimulus

if TYPE_CHECKING:
    from vlmlib.model import VLM

SHAPES = ((60, 40), (40, 60))  # width, height of the pictures that are tried
# How many pictures are looked at where their tokens are few, and blocks (in width and height) of
# most of them.
CHANCES, BLOCKS = 16, (6, 4)
PROBES = 4  # tokens of each view, of which what they show is inverted
# Of how many of these another token may move more. In small random towers and in the shipped,
# trained one right ones come to none or, seldom, to one of four; in wrong ones all but one, or half
# of them where a view has but four.
STRAY = 0.25
FINE = 4  # pixels: pictures are enlarged where tokens show less, if their layout stays
LEAST = 1e-6  # of the farthest move, squared: what is less is a rounding


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

    Of a noise picture what some tokens of each view show is inverted, and the tokens whose
    embeddings move are looked at: each of them is to be the one that moves most.

    **Raises:** `LackingError` where that cannot be tried on a picture of this size, `ImageError`
    where none of it can be read.

    !!! example

        >>> misplaced(vlm, (60, 40))
        ''
    """
    width, height = size
    stray = _stray(vlm, size)
    if len(stray) == 1:  # several views may be others, the other way round
        stray += _stray(vlm, (height, width), seed=1)
    known = [each for each in stray if not math.isnan(each)]
    if not known:
        return (
            f"{type(vlm.model).__name__}: no visual token is taken to show a part of the picture, "
            "so that regions of the image cannot be found among them."
        )
    share = max(known)
    if share <= STRAY:
        return ""
    return (
        f"{type(vlm.model).__name__}: when a part of a picture changes, other visual tokens move "
        f"than those that are taken to show it (in {share:.0%} of the parts that were tried), so "
        "that regions of the image cannot be found among them. Ask what needs no regions: "
        "descriptions, lenses, gradients, all visual tokens or random ones."
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


def _stray(vlm: "VLM", size: tuple[int, int], seed: int = 0) -> list[float]:
    """View by view, of what share of a few tokens another one moves more when the part of a noise
    picture that they are taken to show is inverted."""
    picture = noise(size, seed)
    before = vlm.read(picture, "Hi?")
    if before.unplaced:  # the other way round it may have no such layout
        return []
    parts = _parts(before)
    for times in range(math.ceil(FINE / _smallest(parts, size)), 1, -1):
        larger = noise((times * size[0], times * size[1]), seed)
        again = vlm.read(larger, "Hi?")
        if again.grids == before.grids:
            picture, before, parts = larger, again, _parts(again)
            break
    ends = np.cumsum([len(each) for each in parts])
    found = []
    for view, end in zip(parts, ends, strict=True):
        shown = np.flatnonzero(np.isfinite(view).all(1))
        chosen = np.random.default_rng(0).permutation(shown)[:PROBES]
        moved = [_moved(vlm, picture, before, view[each]) for each in chosen]
        felt = [each[end - len(view) : end][shown] for each in moved]
        found.append(_share_elsewhere(np.array(felt), np.searchsorted(shown, chosen)))
    small = _smallest(parts, picture.size) < FINE
    if small and any(each > STRAY for each in found):
        raise LackingError(
            f"In a picture of {size[0]} x {size[1]} pixels visual tokens show so few of them that "
            "it cannot be tried whether they are where they are taken to be. Take a larger one."
        )
    return found


def _parts(stimulus: Stimulus) -> list[Float[np.ndarray, "_ side"]]:
    """View by view, which part of the picture each token is taken to show."""
    found = rectangles(stimulus.image_processor, stimulus.image_size, stimulus.grids)
    return [each.reshape(-1, 4) for each in found]


def _smallest(parts: Sequence[Float[np.ndarray, "_ side"]], size: tuple[int, int]) -> float:
    """How many pixels the smallest part is wide or high; at least one."""
    sides = [(each[:, 2:] - each[:, :2]) * size for each in parts]
    return max(1.0, float(np.nanmin(np.concatenate(sides), initial=FINE)))


def _moved(
    vlm: "VLM", picture: Image.Image, before: Stimulus, sides: Float[np.ndarray, " side"]
) -> Float[np.ndarray, " token"]:
    """How far each visual token moves when the pixels that lie between these sides are inverted:
    those that lie there whole, or the middle one."""
    pixels = np.array(picture)
    height, width = pixels.shape[:2]
    left, top, right, bottom = sides * [width, height, width, height]
    rows, cols = _within(top, bottom), _within(left, right)
    pixels[rows, cols] = 255 - pixels[rows, cols]
    return _apart(before, vlm.read(Image.fromarray(pixels), "Hi?")).cpu().numpy()


def _within(low: float, high: float) -> slice:
    first, end = math.ceil(low - 1e-6), math.floor(high + 1e-6)
    if first < end:
        return slice(first, end)
    middle = int((low + high) / 2)
    return slice(middle, middle + 1)


def _share_elsewhere(
    moved: Float[np.ndarray, "probe token"], own: Int[np.ndarray, " probe"]
) -> float:
    """Of what share of probes another token than its own moves most: beside how far it moves for
    the other probes, as a tower mixes all places, and some of its tokens move far whatever
    changes."""
    if not len(moved):
        return math.nan
    most = moved.max(axis=1, keepdims=True)
    felt = np.log(moved / np.where(most > 0, most, 1) + LEAST)
    elsewhere = (felt - felt.mean(axis=0)).argmax(axis=1) != own
    return float((elsewhere | (most[:, 0] == 0)).mean())
