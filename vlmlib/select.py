"""Token selection: which visual tokens to intervene on. Every function returns ascending positions in the sequence.

The object's own tokens come from `Stimulus.tokens_of`.
"""

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy.ndimage import binary_dilation
from torch import Tensor

from vlmlib.errors import VLMError
from vlmlib.stimulus import Stimulus


def buffer(stimulus: Stimulus, tokens: Int[Tensor, " token"], n: int) -> Int[Tensor, " selected"]:
    """The tokens and every token up to `n` rows and columns away (section 3, "object tokens with buffer").

    **Arguments:** visual tokens; `n`: how far the buffer reaches, on the grid with its 8 neighbours per token.

    !!! example

        >>> corner = stimulus.visual[:1]
        >>> len(buffer(stimulus, corner, 1))
        4
    """
    region = _on_grid(stimulus, tokens)
    if n > 0:
        region = binary_dilation(region, structure=np.ones((3, 3)), iterations=n)
    return _positions(stimulus, region)


def last_row(stimulus: Stimulus) -> Int[Tensor, " selected"]:
    """The last visual row (section 4.2, footnote 2): the bottom row of the grid.

    !!! example

        >>> len(last_row(stimulus)) == stimulus.grid[1]
        True
    """
    return stimulus.visual[-stimulus.grid[1] :]


def complement(stimulus: Stimulus, tokens: Int[Tensor, " token"]) -> Int[Tensor, " selected"]:
    """All visual tokens but these, for example "I - (O+1)" in table 2.

    !!! example

        >>> len(complement(stimulus, last_row(stimulus))) == len(stimulus.visual) - stimulus.grid[1]
        True
    """
    return _positions(stimulus, ~_on_grid(stimulus, tokens))


def random(stimulus: Stimulus, k: int, generator: np.random.Generator) -> Int[Tensor, " selected"]:
    """`k` visual tokens drawn without replacement (section 3, "random tokens").

    **Raises:** `VLMError` if the image has fewer than `k` visual tokens.

    !!! example

        >>> len(random(stimulus, 5, np.random.default_rng(0)))
        5
    """
    if not 0 <= k <= len(stimulus.visual):
        raise VLMError(f"random was asked for {k} of {len(stimulus.visual)} visual tokens. Choose 0 up to all of them.")
    chosen = generator.choice(len(stimulus.visual), size=k, replace=False)
    return stimulus.visual[torch.from_numpy(np.sort(chosen))]


def shape_matched(
    stimulus: Stimulus, tokens: Int[Tensor, " token"], generator: np.random.Generator
) -> Int[Tensor, " token"] | None:
    """The control of a region: its own token shape moved elsewhere on the grid, sharing no token with it.

    Every shift that keeps the shape on the grid and apart from `tokens` is equally likely.

    **Returns:** the moved tokens, or None where no such place exists: leave such an image out, and count it.

    !!! example

        >>> bottom = shape_matched(stimulus, last_row(stimulus), np.random.default_rng(0))
        >>> len(bottom) == stimulus.grid[1], bool(torch.isin(bottom, last_row(stimulus)).any())
        (True, False)
    """
    region = _on_grid(stimulus, tokens)
    at = np.argwhere(region)
    if not len(at):
        return None
    rows, cols = stimulus.grid
    (top, left), (bottom, right) = at.min(0), at.max(0)
    shifts = [(down, across) for down in range(-top, rows - bottom) for across in range(-left, cols - right)]
    places = [at + shift for shift in shifts]
    free = [place for place in places if not region[place[:, 0], place[:, 1]].any()]
    if not free:
        return None
    place = free[generator.integers(len(free))]
    moved = np.zeros_like(region)
    moved[place[:, 0], place[:, 1]] = True
    return _positions(stimulus, moved)


def _on_grid(stimulus: Stimulus, tokens: Int[Tensor, " token"]) -> Bool[np.ndarray, "row col"]:
    on = torch.isin(stimulus.visual, tokens)
    if int(on.sum()) != len(tokens):
        stray = tokens[~torch.isin(tokens, stimulus.visual)]
        what = f"position {int(stray[0])}, which is no visual token" if len(stray) else "a token twice"
        raise VLMError(f"A selection holds {what}. Start from stimulus.visual or stimulus.tokens_of(mask).")
    return on.cpu().numpy().reshape(stimulus.grid)


def _positions(stimulus: Stimulus, region: Bool[np.ndarray, "row col"]) -> Int[Tensor, " selected"]:
    return stimulus.visual[torch.from_numpy(region.ravel()).to(stimulus.visual.device)]
