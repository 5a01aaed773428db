"""Token selection: which visual tokens to intervene on. Every function returns ascending positions
in the sequence.

The object's own tokens come from `Stimulus.tokens_of`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation
from torch import Tensor

from vlmlib.errors import LackingError, VLMError
from vlmlib.geometry import centres
from vlmlib.stimulus import Stimulus


def buffer(stimulus: Stimulus, tokens: Int[Tensor, " token"], n: int) -> Int[Tensor, " selected"]:
    """The tokens and every token up to `n` rows and columns away (section 3, "object tokens with
    buffer"), in each view by itself.

    **Arguments:** visual tokens; `n`: how far the buffer reaches, on the grid with its 8 neighbours
    per token.

    !!! example

        >>> corner = stimulus.visual[:1]
        >>> len(buffer(stimulus, corner, 1))
        4
    """
    regions = _on_grids(stimulus, tokens)
    if n > 0:
        square = np.ones((3, 3))
        regions = [binary_dilation(each, structure=square, iterations=n) for each in regions]
    return _positions(stimulus, regions)


def last_row(stimulus: Stimulus) -> Int[Tensor, " selected"]:
    """The last visual row (section 4.2, footnote 2): the bottom row of the grid; of several views,
    of each that reaches down to the bottom of what is seen.

    !!! example

        >>> len(last_row(stimulus)) == stimulus.grid[1]
        True
    """
    views = stimulus.views
    if len(views) == 1:
        return views[0][-1]
    places = centres(stimulus.image_processor, stimulus.image_size, stimulus.grids)
    heights = [_cell_height(each, stimulus.image_size) for each in places]
    ends = [np.nanmax(each[..., 0]) + high / 2 for each, high in zip(places, heights, strict=True)]
    # what ends within half a cell of the bottom ends there
    reaching = [max(ends) - end < high / 2 for end, high in zip(ends, heights, strict=True)]
    return torch.cat([view[-1] for view, here in zip(views, reaching, strict=True) if here])


def _cell_height(places: Float[np.ndarray, "row col axis"], size: tuple[int, int]) -> float:
    """Of a token in a view, as a share of the image's height: from row to row or, where there is
    but one, as wide as it is from column to column."""
    rows, cols = places.shape[:2]
    height, width = size
    seen = np.ma.masked_invalid(places)
    if rows > 1:
        return float(np.diff(seen[..., 0], axis=0).mean())
    return float(np.diff(seen[..., 1], axis=1).mean()) * width / height if cols > 1 else 1.0


def union(*sets: Int[Tensor, " _"]) -> Int[Tensor, " selected"]:
    """The tokens that are in any of several sets.

    !!! example

        >>> len(union(last_row(stimulus), stimulus.visual[-1:]))
        4
    """
    return torch.cat(sets).unique()


def intersection(tokens: Int[Tensor, " token"], *sets: Int[Tensor, " _"]) -> Int[Tensor, " both"]:
    """Those of the tokens that are in each of several sets, too.

    !!! example

        >>> len(intersection(stimulus.visual, last_row(stimulus)))
        4
    """
    for each in sets:
        tokens = tokens[torch.isin(tokens, each)]
    return tokens


def difference(tokens: Int[Tensor, " token"], *sets: Int[Tensor, " _"]) -> Int[Tensor, " left"]:
    """Those of the tokens that are in none of several sets.

    !!! example

        >>> len(difference(stimulus.visual, last_row(stimulus)))
        12
    """
    for each in sets:
        tokens = tokens[~torch.isin(tokens, each)]
    return tokens


def complement(stimulus: Stimulus, tokens: Int[Tensor, " token"]) -> Int[Tensor, " selected"]:
    """All visual tokens but these, for example "I - (O+1)" in table 2.

    !!! example

        >>> len(complement(stimulus, last_row(stimulus))) == len(stimulus.visual) - stimulus.grid[1]
        True
    """
    _check_visual(stimulus, tokens)
    return stimulus.visual[~torch.isin(stimulus.visual, tokens)]


def register(
    stimulus: Stimulus, deviations: float = 2.0, two_sided: bool = False
) -> Int[Tensor, " selected"]:
    """Register tokens: visual tokens with an outlying norm (section 3, "register tokens").

    ||E_i|| > mean + 2 standard deviations, both over the visual tokens of this image.

    **Arguments:** `deviations`: how many; `two_sided`: norms that lie as far below the mean count,
    too.

    !!! example

        >>> bool(torch.isin(register(stimulus), register(stimulus, two_sided=True)).all())
        True
    """
    norms = stimulus.embeddings[stimulus.visual].double().norm(dim=-1)
    above = norms - norms.mean()
    if two_sided:
        above = above.abs()
    return stimulus.visual[above > deviations * norms.std(correction=0)]


def top(
    stimulus: Stimulus, scores: Float[Tensor, " token"], k: int | Int[Tensor, " like"]
) -> Int[Tensor, " selected"]:
    """The `k` visual tokens with the largest scores (section 3: with integrated gradients, the
    gradient baseline).

    **Arguments:** `scores`: one per visual token, in the order of `stimulus.visual`; of equal ones
    the earlier token is taken; `k`: how many, or a set of tokens of which to take as many.

    **Raises:** `VLMError` for another number of scores and scores that are no numbers;
    `LackingError` for more tokens than there are.

    !!! example

        >>> norms = stimulus.embeddings[stimulus.visual].norm(dim=-1)
        >>> len(top(stimulus, norms, 5)), len(top(stimulus, norms, last_row(stimulus)))
        (5, 4)
    """
    k = _count("top", stimulus, k)
    if scores.shape != stimulus.visual.shape or bool(scores.isnan().any()):
        raise VLMError(
            f"top was given scores of shape {tuple(scores.shape)} with "
            f"{int(scores.isnan().sum())} NaN. Pass a number for each of the "
            f"{len(stimulus.visual)} visual tokens, in the order of stimulus.visual."
        )
    chosen = scores.argsort(descending=True, stable=True)[:k].sort().values
    return stimulus.visual[chosen.to(stimulus.visual.device)]


def random(
    stimulus: Stimulus, k: int | Int[Tensor, " like"], generator: np.random.Generator
) -> Int[Tensor, " selected"]:
    """`k` visual tokens drawn without replacement (section 3, "random tokens").

    **Arguments:** `k`: how many, or a set of tokens of which to draw as many, such as this image's
    object's.

    **Raises:** `LackingError` if the image has fewer visual tokens.

    !!! example

        >>> len(random(stimulus, 5, np.random.default_rng(0)))
        5
    """
    k = _count("random", stimulus, k)
    chosen = generator.choice(len(stimulus.visual), size=k, replace=False)
    return stimulus.visual[torch.from_numpy(np.sort(chosen))]


def shape_matched(
    stimulus: Stimulus, tokens: Int[Tensor, " token"], generator: np.random.Generator
) -> Int[Tensor, " token"] | None:
    """The control of a region: its own token shape moved elsewhere on the grid, sharing no token
    with it; in each view by itself.

    Every shift that keeps the shape on the grid and apart from `tokens` is equally likely.

    **Returns:** the moved tokens, or None where no such place exists: leave such an image out, and
    count it.

    !!! example

        >>> bottom = shape_matched(stimulus, last_row(stimulus), np.random.default_rng(0))
        >>> len(bottom) == stimulus.grid[1], bool(torch.isin(bottom, last_row(stimulus)).any())
        (True, False)
    """
    regions = _on_grids(stimulus, tokens)
    if not any(each.any() for each in regions):
        return None
    moved = [_moved(each, generator) if each.any() else each for each in regions]
    placed = [each for each in moved if each is not None]
    return _positions(stimulus, placed) if len(placed) == len(regions) else None


def _moved(
    region: Bool[np.ndarray, "row col"], generator: np.random.Generator
) -> Bool[np.ndarray, "row col"] | None:
    """A region elsewhere on its grid; None where there is no place."""
    at, (rows, cols) = np.argwhere(region), region.shape
    (top, left), (bottom, right) = at.min(0), at.max(0)
    shifts = [
        (down, across)
        for down in range(-top, rows - bottom)
        for across in range(-left, cols - right)
    ]
    places = [at + shift for shift in shifts]
    free = [place for place in places if not region[place[:, 0], place[:, 1]].any()]
    if not free:
        return None
    place = free[generator.integers(len(free))]
    moved = np.zeros_like(region)
    moved[place[:, 0], place[:, 1]] = True
    return moved


def _count(name: str, stimulus: Stimulus, k: int | Int[Tensor, " like"]) -> int:
    count = len(k) if isinstance(k, Tensor) else k
    if not 0 <= count <= len(stimulus.visual):
        fault = VLMError if count < 0 else LackingError
        raise fault(
            f"{name} was asked for {count} of {len(stimulus.visual)} visual tokens. "
            "Choose 0 up to all of them."
        )
    return count


def _check_visual(stimulus: Stimulus, tokens: Int[Tensor, " token"]) -> None:
    on = torch.isin(stimulus.visual, tokens)
    if int(on.sum()) != len(tokens):
        stray = tokens[~torch.isin(tokens, stimulus.visual)]
        what = "a token twice"
        if len(stray):
            what = f"position {int(stray[0])}, which is no visual token"
        raise VLMError(
            f"A selection holds {what}. Start from stimulus.visual or stimulus.tokens_of(mask)."
        )


def _on_grids(stimulus: Stimulus, tokens: Int[Tensor, " token"]) -> list[Bool[np.ndarray, "_ _"]]:
    """Which places of each view's grid a selection has."""
    _check_visual(stimulus, tokens)
    return [torch.isin(view, tokens).cpu().numpy() for view in stimulus.views]


def _positions(
    stimulus: Stimulus, regions: Sequence[Bool[np.ndarray, "_ _"]]
) -> Int[Tensor, " selected"]:
    return torch.cat(
        [
            view[torch.from_numpy(region).to(view.device)]
            for view, region in zip(stimulus.views, regions, strict=True)
        ]
    )
