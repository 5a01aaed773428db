"""A whole printed table at once: do our cells reproduce it, to within a margin?"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.optimize import bisect

from claimlib.clusters import RESAMPLES, SEED, Sums
from claimlib.errors import ClaimError
from claimlib.intervals import FEWEST
from claimlib.samples import (
    Clustered,
    Number,
    Seen,
    Totals,
    Values,
    as_numbers,
    check_number,
    check_values,
    seen,
)
from claimlib.verdicts import (
    FEW_IMAGES,
    POINTS,
    POWER,
    TOO_FEW,
    UNDECIDED,
    Verdict,
    decide,
    no_images,
    number,
    tail,
)

FEWEST_CLUSTERS = 5
Covariance = Float[np.ndarray, "cell cell"]
Draw = Callable[[float], Float[np.ndarray, " draw"]]


def reproduces(
    ours: Sequence[Seen | Values],
    printed: Sequence[Totals],
    margin: Number,
    level: float = 0.90,
) -> Verdict:
    """Do our cells reproduce a table that was printed of other images, to within a margin?

    One test of one number, the root mean square over the cells of ours minus printed (Munk and
    Pflueger 1999; Wellek 2010, section 8.2): d is normal about the true differences, with the
    covariance of our images by cluster, times 1 + n / n printed, and never less in a cell than the
    binomial variance of the printed count. Supported where d lies closer to zero than 1 - level / 2
    of what tables give that are off by just the margin, in the direction that this covariance makes
    least clear; refuted where it lies further off. The estimate is the root mean square less what
    the samples alone add to it.

    **Arguments:** for each cell whom it happened to, and the printed count; cells whose images
    share a cluster (by name) are correlated. A cell may also be the share of several draws in which
    it happened to each image, as numbers.

    Fewer than 20 images or 5 clusters are too few for it, and leave it undecided.

    **Raises:** `ClaimError` for another number of cells than printed ones, for cells that are
    neither bools nor shares, and for a margin that is no share.

    !!! example

        >>> ours = [np.arange(90) < 12, np.arange(90) < 41]
        >>> reproduces(ours, [Totals(13, 90), Totals(40, 90)], margin=0.15).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    cells = _checked(ours, printed, margin)
    n = min(len(each) for each in cells)
    required = _required(margin)
    if not n or not min(each.n for each in printed):
        return no_images("reproduces", required)
    clusters = min(len(set(each.codes.tolist())) for each in cells)
    if n < FEWEST or clusters < FEWEST_CLUSTERS:
        return _too_few("reproduces", min(n, clusters), required)
    scale = np.sqrt([1 + len(mine) / theirs.n for mine, theirs in zip(cells, printed, strict=True)])
    covariance = _floored(_covariance(cells), cells, printed) * np.outer(scale, scale)
    return _verdict("reproduces", cells, printed, covariance, margin, level)


def repeats(
    ours: Sequence[Seen | Values],
    printed: Sequence[Totals],
    flips: Number,
    margin: Number,
    level: float = 0.90,
) -> Verdict:
    """Do our cells repeat a table that was printed of the very same images, to within a margin?

    `reproduces`, without a sample's uncertainty, since there is none: what a repetition may change
    is the answers that flip when the same run is made again, on the same device and in the same
    precision. Where other numbers of images count than was printed, since clean answers flip, too,
    as many more may.

    **Arguments:** `flips`: the share of answers that did so.

    **Raises:** `ClaimError` as `reproduces` does, and for flips that are no share.

    !!! example

        >>> ours = [np.arange(90) < 12, np.arange(90) < 41]
        >>> repeats(ours, [Totals(13, 90), Totals(40, 90)], flips=0.01, margin=0.05).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    cells = _checked(ours, printed, margin)
    check_number("share of flips", flips, 0, 1)
    if not min(len(each) for each in cells) or not min(each.n for each in printed):
        return no_images("repeats", _required(margin))
    spread = [
        _of_flips(flips + abs(len(mine) - theirs.n) / theirs.n, len(mine))
        for mine, theirs in zip(cells, printed, strict=True)
    ]
    return _verdict("repeats", cells, printed, np.diag(spread), margin, level)


def distance(first: Sequence[Number], second: Sequence[Number]) -> float:
    """The root mean square difference of two tables' shares.

    !!! example

        >>> distance([0.1, 0.3], [0.1, 0.1])
        0.1414213562373095
    """
    return float(np.sqrt(np.mean((np.asarray(first) - np.asarray(second)) ** 2)))


def _of_flips(flips: float, n: int) -> float:
    """The variance of a share of n answers, of which so many flip: at most that of coins."""
    flips = min(flips, 0.5)
    return max(flips * (1 - flips), 1e-9) / n


def _required(margin: Number) -> str:
    return f"the table to within {number(margin, POINTS)} points (root mean square)"


def _checked(
    ours: Sequence[Seen | Values], printed: Sequence[Totals], margin: Number
) -> list[Clustered]:
    check_number("margin", margin, 0, 1)
    if len(ours) != len(printed) or not ours:
        raise ClaimError(
            f"{len(ours)} cells were compared with {len(printed)} printed ones. Pass one printed "
            "count for each of ours."
        )
    if any(
        isinstance(each, Totals)
        or seen(each).values.ndim != 1
        or seen(each).values.dtype.kind not in "bf"
        for each in ours
    ):
        raise ClaimError(
            "A printed table was compared with counts, curves or words. Pass for each cell on "
            "which of our images it happened, as bools, or how often, as numbers from 0 to 1."
        )
    cells = [as_numbers(seen(each)) for each in ours]
    for each in filter(len, cells):
        check_values(each.values, (0.0, 1.0))
    return cells


def _too_few(kind: str, n: int, required: str) -> Verdict:
    why = f"{n} images or clusters are too few for a joint test"
    return replace(no_images(kind, required), why=why, cause=FEW_IMAGES)


def _covariance(cells: Sequence[Clustered]) -> Covariance:
    """Of our shares, by the jackknife over clusters, which cells may share."""
    names = [np.asarray(each.clusters).astype(str) for each in cells]
    names = [each if len(set(each)) > 1 else np.arange(len(each)).astype(str) for each in names]
    every = np.unique(np.concatenate(names))
    moves = np.zeros((len(every), len(cells)))
    for at, (cell, mine) in enumerate(zip(cells, names, strict=True)):
        sums = Sums.of(Clustered(cell.values, mine, cell.weights))
        moves[np.searchsorted(every, np.unique(mine)), at] = sums.without
    return (len(every) - 1) / len(every) * moves.T @ moves


def _floored(
    covariance: Covariance, cells: Sequence[Clustered], printed: Sequence[Totals]
) -> Covariance:
    """With each cell's variance at least the printed count's, which even a count of 0 has."""
    shares = np.array([(each.count + 1) / (each.n + 2) for each in printed])
    least = shares * (1 - shares) / np.array([len(each) for each in cells])
    missing = np.maximum(least - np.diag(covariance), 0.0)
    return covariance + np.diag(missing)


def _verdict(
    kind: str,
    cells: Sequence[Clustered],
    printed: Sequence[Totals],
    covariance: Covariance,
    margin: Number,
    level: float,
) -> Verdict:
    ours = [float(np.average(each.values, weights=each.weights)) for each in cells]
    apart = distance(ours, [each.share for each in printed])
    squares, noise = apart**2 * len(cells), float(np.trace(covariance)) / len(cells)
    draw, alpha = _squares(covariance), tail(level)
    usual = float(np.median(draw(0.0)))  # less than samples of one table differ shows no more

    def as_close(true: float) -> float:
        return (1 + np.count_nonzero(draw(true) <= max(squares, usual))) / (1 + RESAMPLES)

    def as_far(true: float) -> float:
        return (1 + np.count_nonzero(draw(true) >= squares)) / (1 + RESAMPLES)

    p, p_against = as_close(float(margin)), as_far(float(margin))
    outcome = decide(p, p_against, alpha)
    room = _shown(draw, margin, alpha)
    return Verdict(
        kind=kind,
        outcome=outcome,
        estimate=float(np.sqrt(max(apart**2 - noise, 0.0))),
        interval=(
            _where(lambda true: as_far(true) - alpha),
            _where(lambda true: alpha - as_close(true)),
        ),
        level=level,
        n=min(len(each) for each in cells),
        required=_required(margin),
        required_range=(-math.inf, margin),
        threshold=margin,
        p=p,
        p_against=p_against,
        alpha=alpha,
        detectable=TOO_FEW
        if room is None
        else f"could have shown <= {number(room, POINTS)} points",
        why="the interval includes the margin" if outcome == UNDECIDED else "",
        unit=POINTS,
    )


def _where(rises: Callable[[float], float]) -> float:
    """Where a function of a distance becomes positive; from 0 on, to at most 1."""
    if rises(0.0) >= 0:
        return 0.0
    return float(bisect(rises, 0.0, 1.0, xtol=1e-4)) if rises(1.0) > 0 else 1.0  # pyright: ignore


def _squares(covariance: Covariance) -> Draw:
    """Draws of the sum of squared differences, at a true distance in the direction of most
    variance."""
    spread = np.sqrt(np.clip(np.linalg.eigvalsh(covariance), 0.0, None))
    drawn = _normal(len(covariance)) * spread
    rest, first = (drawn[:, :-1] ** 2).sum(axis=1), drawn[:, -1]
    root = np.sqrt(len(covariance))
    return lambda true: rest + (first + root * true) ** 2


@lru_cache(maxsize=4)
def _normal(count: int) -> Float[np.ndarray, "draw cell"]:
    return np.random.default_rng(SEED).normal(size=(RESAMPLES, count))


def _shown(draw: Draw, margin: Number, alpha: float) -> float | None:
    """The largest true distance that is shown to lie within the margin with a power of 80 %."""
    limit = float(np.quantile(draw(float(margin)), alpha))

    def short(true: float) -> float:
        return POWER - float((draw(true) <= limit).mean())

    return None if short(0.0) > 0 else _where(short)
