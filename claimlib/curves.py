"""Means and curves over images: where a mean lies, whether a curve rises, where it peaks.

Uncertainty is that of the images: `intervals` says how their means are resampled, and what bounds
them where nothing can be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr, ndtri, stdtr

from claimlib.errors import ClaimError
from claimlib.intervals import FEWEST, Bounds, of_any_mean, of_mean, of_sum, resampled, widened
from claimlib.samples import (
    Mean,
    Number,
    Range,
    Totals,
    check_values,
    neighbours,
    without_an_extreme,
)
from claimlib.verdicts import (
    REFUTED,
    SUPPORTED,
    TOO_FEW,
    UNDECIDED,
    Outcome,
    Verdict,
    decide,
    no_images,
    number,
    tail,
)

Curves = Float[np.ndarray, "image point"] | Sequence[Totals]
EITHER_SIDE = "some resamples peak inside, some outside"


def within(
    values: Float[np.ndarray, " image"] | Mean,
    low: Number,
    high: Number,
    bounds: Range = (0.0, 1.0),
    level: float = 0.95,
    unit: str = "",
) -> Verdict:
    """Does the mean over images lie between two numbers?

    Its interval inside them supports, wholly outside refutes, each falsely in about (1 - level) / 2
    of samples.

    **Arguments:** `low`, `high`: either may be infinite, as which an end of the bounds counts;
    `bounds`: between what no value can leave (a `Mean` has its own); `unit`: of the values, "%" for
    shares.

    **Raises:** `ClaimError` for a value outside the bounds, and where `low` lies above `high`.

    !!! example

        >>> best = np.tile([24.0, 25.0, 26.0, 27.0, 28.0], 10)
        >>> str(within(best, 16, 30, bounds=(0, 32), unit="layers"))[:79]
        'supported: 26 [25.6, 26.4] layers, n = 50, required 16 to 30 (95% interval, p <'
        >>> within(Mean(25.7, 170, (0, 32)), 16, np.inf).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    if low > high:
        raise ClaimError(
            f"A mean from {low:g} to {high:g} was asked for. Pass the lower end first."
        )
    return _within(values, low, high, bounds, level=level, unit=unit, kind="within")


def near(
    values: Float[np.ndarray, " image"] | Mean,
    printed: Number,
    margin: Number,
    scale: Number = 1.0,
    bounds: Range = (0.0, 1.0),
    level: float = 0.90,
    unit: str = "",
) -> Verdict:
    """Does the mean over images lie near a printed one, whose spread is not known?

    `within`, between the printed value minus and plus the margin: two one-sided tests.

    **Arguments:** `scale`: what the margin is a share of, such as the printed value itself; others
    as for `within`.

    **Raises:** `ClaimError` for a value outside the bounds, and a margin that leaves no room.

    !!! example

        >>> tokens = np.tile([11.0, 12.0, 13.0, 14.0], 25)
        >>> near(tokens, 12.6, margin=0.10, scale=12.6, bounds=(0, 576)).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    room = margin * scale
    if not room > 0:
        raise ClaimError(
            f"A margin of {margin:g} times {scale:g} leaves no room about {printed:g}. Pass "
            "numbers above zero."
        )
    verdict = _within(
        values, printed - room, printed + room, bounds, level=level, unit=unit, kind="near"
    )
    return replace(
        verdict, required=f"within {number(room, unit)} of {number(printed, unit)}", threshold=room
    )


def increases(
    curves: Curves,
    axis: Sequence[Number],
    bounds: Range = (0.0, 1.0),
    unit: str = "%",
    level: float = 0.95,
) -> Verdict:
    """Does a curve rise along an axis?

    The estimate is the least-squares line's change from the first point to the last, fitted for
    each image and averaged; its interval above zero supports, below zero refutes. Of printed
    counts, which the same images share in unknown ways, the interval is that of `intervals.of_sum`.

    **Arguments:** `axis`: where the points lie, ascending; `bounds`: between what no value of a
    curve can leave; `unit`: of the values, "%" for shares.

    **Raises:** `ClaimError` for another number of points than the axis has, an axis that does not
    ascend, and a value outside the bounds.

    !!! example

        >>> rising = np.arange(30)[:, None] < np.array([3, 9, 20])
        >>> increases(rising.astype(float), axis=[12.6, 33.4, 60]).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> increases([Totals(6, 39), Totals(20, 39), Totals(25, 39)], axis=[13, 33, 60]).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    weights = _slope(curves, axis)
    n = len(curves) if isinstance(curves, np.ndarray) else min(point.n for point in curves)
    if not n:
        return no_images("increases", "a rise")
    if isinstance(curves, np.ndarray):
        found = _change(curves, weights, bounds)
    else:
        found = _printed_change(curves, weights)
    verdict = _placed(found, low=0.0, high=math.inf, level=level, unit=unit)
    return replace(verdict, kind="increases", required="a rise", threshold=0.0)


def peaks(
    curves: Float[np.ndarray, "image point"],
    points: Sequence[Number],
    low: Number,
    high: Number,
    unit: str = "",
    level: float = 0.95,
) -> Verdict:
    """Does the mean curve over images have its maximum between two places, ends included?

    Supported if it has in all but (1 - level) / 2 of resamples of the images, refuted if in at most
    so many, both widened for n as in `intervals.of_mean`; a resample whose maximum is shared by
    points on both sides counts against either. The interval is that of the maximum's place.

    A flat curve has no peak to place, and is undecided: where resampling the images moves the
    points of the curve, each about its own mean, as far apart as they lie in at least 1 - level of
    resamples. So are fewer than 20 images. The level is that of one point inside against one
    outside: where many points inside are equally high, a point outside that is hardly higher may be
    missed.

    **Raises:** `ClaimError` for another number of points than the curves have, and values that are
    no numbers.

    !!! example

        >>> noise = np.random.default_rng(0).normal(size=(30, 9))
        >>> bump = np.exp(-((np.arange(9) - 5.0) ** 2)) + 0.1 * noise
        >>> peaks(bump, range(9), 4, 6, unit="layers").outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> peaks(np.ones((30, 9)), range(9), 4, 6).why
        'the curve is flat'
    """
    places, required = np.asarray(points, dtype=float), f"peak {_range(low, high, unit)}"
    if len(curves) == 0:
        return no_images("peaks", required)
    wrong = int((~np.isfinite(curves)).sum())
    if curves.shape[1] != len(places) or wrong:
        raise ClaimError(
            f"Curves of {curves.shape[1]} points, {wrong} values of them no numbers, were given "
            f"{len(places)} places. Pass a number and a place for every point."
        )
    inside = (places >= low) & (places <= high)
    found = _peak(curves, places, inside, level)
    others = (_peak(each, places, inside, level) for each in _without_a_leader(curves))
    return Verdict(
        kind="peaks",
        outcome=found.outcome,
        estimate=float(places[curves.mean(axis=0).argmax()]),
        interval=found.interval,
        level=level,
        n=len(curves),
        required=required,
        p=found.p,
        p_against=found.p_against,
        alpha=tail(level),
        why=found.why,
        fragile=any(other.outcome != found.outcome for other in others),
        unit=unit,
    )


@dataclass(frozen=True)
class _Found:
    """A number that was measured on n images: its bounds, and those that one image less would
    leave."""

    n: int
    estimate: float
    bounds: Bounds
    others: Sequence[Bounds]


def _within(
    values: Float[np.ndarray, " image"] | Mean,
    low: Number,
    high: Number,
    bounds: Range,
    *,
    level: float,
    unit: str,
    kind: str,
) -> Verdict:
    required = _range(low, high, unit)
    if isinstance(values, Mean):
        found, (least, most) = _printed_mean(values), values.bounds
    elif len(values):
        found, (least, most) = _mean(values, bounds), bounds
    else:
        return no_images(kind, required)
    verdict = _placed(
        found,
        low=-math.inf if low <= least else low,
        high=math.inf if high >= most else high,
        level=level,
        unit=unit,
    )
    return replace(verdict, kind=kind, required=required)


def _mean(values: Float[np.ndarray, " image"], bounds: Range) -> _Found:
    others = [of_mean(each, bounds) for each in without_an_extreme(values)]
    return _Found(len(values), float(values.mean()), of_mean(values, bounds), others)


def _printed_mean(mean: Mean) -> _Found:
    first, *others = (
        of_any_mean(each.value, each.n, each.bounds) for each in (mean, *mean.without_one())
    )
    return _Found(mean.n, float(mean.value), first, others)


def _slope(curves: Curves, axis: Sequence[Number]) -> Float[np.ndarray, " point"]:
    """The weights with which a curve's points add up to its fitted change from end to end."""
    places = np.asarray(axis, dtype=float)
    points = curves.shape[1] if isinstance(curves, np.ndarray) else len(curves)
    if len(places) < 2 or points != len(places) or not (np.diff(places) > 0).all():
        raise ClaimError(
            f"A curve of {points} points was given the axis {list(axis)}. Pass an ascending place "
            "for each."
        )
    centred = places - places.mean()
    return centred / (centred**2).sum() * (places[-1] - places[0])


def _change(
    curves: Float[np.ndarray, "image point"], weights: Float[np.ndarray, " point"], bounds: Range
) -> _Found:
    check_values(curves, bounds)
    steepest = float(np.abs(weights).sum()) / 2 * (bounds[1] - bounds[0])
    reach = steepest * (1 + 1e-9)  # rounding may not leave it
    changes = (curves * weights).sum(axis=1)
    changes[np.abs(changes) < 1e-9 * reach] = 0.0  # a flat curve's rounding is no slope
    return _mean(changes, (-reach, reach))


def _printed_change(counts: Sequence[Totals], weights: Float[np.ndarray, " point"]) -> _Found:
    shares = np.array([point.share for point in counts])
    moved = [
        [*counts[:at], other, *counts[at + 1 :]]
        for at, point in enumerate(counts)
        for other in neighbours(point)
    ]
    return _Found(
        n=min(point.n for point in counts),
        estimate=float(weights @ shares),
        bounds=of_sum(counts, weights),
        others=[of_sum(each, weights) for each in moved],
    )


def _placed(found: _Found, *, low: Number, high: Number, level: float, unit: str) -> Verdict:
    """The verdict on whether a number lies between two others."""

    def outcome(bounds: Bounds) -> Outcome:
        least, most = bounds.interval(level)
        if most < low or least > high:
            return REFUTED
        return SUPPORTED if low < least and most < high else UNDECIDED

    bounds, estimate, decided = found.bounds, found.estimate, outcome(found.bounds)
    least, most = bounds.interval(level)
    from_, to = low + (estimate - least), high - (most - estimate)
    crossed = " and ".join(number(end, unit) for end in (low, high) if least <= end <= most)
    return Verdict(
        kind="within",
        outcome=decided,
        estimate=estimate,
        interval=(least, most),
        level=level,
        n=found.n,
        required=_range(low, high, unit),
        p=max(bounds.p_above(low), bounds.p_below(high)),
        p_against=min(bounds.p_below(low), bounds.p_above(high)),
        alpha=tail(level),
        detectable=f"could have shown {_range(from_, to, unit)}" if from_ < to else TOO_FEW,
        why=f"the interval includes {crossed}" if decided == UNDECIDED else "",
        fragile=any(outcome(other) != decided for other in found.others),
        unit=unit,
    )


@dataclass(frozen=True)
class _Peak:
    """Where resamples of the images have their maximum, and what follows for a place."""

    outcome: Outcome
    interval: tuple[float, float]
    p: float = 1.0
    p_against: float = 1.0
    why: str = ""


def _peak(
    curves: Float[np.ndarray, "kept point"],
    places: Float[np.ndarray, " point"],
    inside: Bool[np.ndarray, " point"],
    level: float,
) -> _Peak:
    n = len(curves)
    if n < FEWEST:
        anywhere = float(places.min()), float(places.max())
        return _Peak(UNDECIDED, anywhere, why="too few images to place a peak")
    means = resampled(curves)
    highest = means == means.max(axis=0)
    interval = _places_of(highest, places, widened(tail(level), n))
    p = _p_of(highest[~inside].any(axis=0), n)
    p_against = _p_of(highest[inside].any(axis=0), n)
    if _is_flat(curves.mean(axis=0), means, n, level):
        return _Peak(UNDECIDED, interval, p, p_against, "the curve is flat")
    outcome = decide(p, p_against, tail(level))
    why = EITHER_SIDE if outcome == UNDECIDED else ""
    return _Peak(outcome, interval, p, p_against, why)


def _is_flat(
    mean: Float[np.ndarray, " point"],
    means: Float[np.ndarray, "point resample"],
    n: int,
    level: float,
) -> bool:
    """Whether resampling moves the points as far apart as they lie."""
    moved = (means - mean[:, None]) * math.sqrt(n / (n - 1))
    as_far = np.count_nonzero(np.ptp(moved, axis=0) >= np.ptp(mean))
    return bool(as_far >= 2 * tail(level) * means.shape[1])


def _places_of(
    highest: Bool[np.ndarray, "point resample"], places: Float[np.ndarray, " point"], width: float
) -> tuple[float, float]:
    """The interval of the maximum's place, from the first and the last of those that share it."""
    first = np.where(highest, places[:, None], math.inf).min(axis=0)
    last = np.where(highest, places[:, None], -math.inf).max(axis=0)
    outer = ndtr(-width)
    low = np.quantile(first, outer, method="inverted_cdf")
    high = np.quantile(last, 1 - outer, method="inverted_cdf")
    return float(low), float(high)


def _p_of(counts_against: Bool[np.ndarray, " resample"], n: int) -> float:
    """The share of resamples that count against a place, widened for n images."""
    share = (1 + np.count_nonzero(counts_against)) / (1 + len(counts_against))
    return float(stdtr(n - 1, ndtri(share) * math.sqrt((n - 1) / n)))


def _without_a_leader(
    curves: Float[np.ndarray, "image point"],
) -> list[Float[np.ndarray, "kept point"]]:
    """The curves without the one that speaks most for the peak, and without the one that speaks
    most against it."""
    if len(curves) < 2:
        return []
    lead = curves[:, curves.mean(axis=0).argmax()] - curves.mean(axis=1)
    return [np.delete(curves, image, axis=0) for image in (lead.argmax(), lead.argmin())]


def _range(low: Number, high: Number, unit: str) -> str:
    if high == math.inf:
        return f"> {number(low, unit)}"
    if low == -math.inf:
        return f"< {number(high, unit)}"
    return f"{number(low, unit)} to {number(high, unit)}"
