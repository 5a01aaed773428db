"""Means and curves over images: where a mean lies, whether a curve rises, where it peaks.

Uncertainty is that of the images: `intervals` says how their means are resampled, and what bounds
them where nothing can be.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

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
)

ALPHA = 0.025


def mean_within(
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
        >>> str(mean_within(best, 16, 30, bounds=(0, 32), unit="layers"))[:79]
        'supported: 26 [25.6, 26.4] layers, n = 50, required 16 to 30 (95% interval, p <'
        >>> mean_within(Mean(25.7, 170, (0, 32)), 16, np.inf).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    if low > high:
        raise ClaimError(
            f"A mean from {low:g} to {high:g} was asked for. Pass the lower end first."
        )
    required = _range(low, high, unit)
    least, most = values.bounds if isinstance(values, Mean) else bounds
    low, high = -math.inf if low <= least else low, math.inf if high >= most else high
    if isinstance(values, Mean):
        n, estimate = values.n, float(values.value)
        found, *others = (
            of_any_mean(each.value, each.n, each.bounds) for each in (values, *values.without_one())
        )
    elif len(values):
        n, estimate = len(values), float(values.mean())
        found, *others = (of_mean(each, bounds) for each in (values, *without_an_extreme(values)))
    else:
        return no_images("mean within", required)
    verdict = _judged(found, others, estimate, low, high, level, unit)
    return replace(verdict, kind="mean within", n=n, required=required)


def increases_along(
    curves: Float[np.ndarray, "image point"] | Sequence[Totals],
    axis: Sequence[Number],
    bounds: Range = (0.0, 1.0),
    unit: str = "%",
) -> Verdict:
    """Does a curve rise along an axis?

    The estimate is the least-squares line's change from the first point to the last, fitted for
    each image and averaged; its 95 % interval above zero supports, below zero refutes. Of printed
    counts, which the same images share in unknown ways, the interval is that of `intervals.of_sum`.

    **Arguments:** `axis`: where the points lie, ascending; `bounds`: between what no value of a
    curve can leave; `unit`: of the values, "%" for shares.

    **Raises:** `ClaimError` for another number of points than the axis has, an axis that does not
    ascend, and a value outside the bounds.

    !!! example

        >>> rising = np.arange(30)[:, None] < np.array([3, 9, 20])
        >>> increases_along(rising.astype(float), axis=[12.6, 33.4, 60]).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> increases_along([Totals(6, 39), Totals(20, 39), Totals(25, 39)], axis=[12.6, 33.4, 60]).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    places = np.asarray(axis, dtype=float)
    points = curves.shape[1] if isinstance(curves, np.ndarray) else len(curves)
    if len(places) < 2 or points != len(places) or not (np.diff(places) > 0).all():
        raise ClaimError(
            f"A curve of {points} points was given the axis {list(axis)}. Pass an ascending place "
            "for each."
        )
    centred = places - places.mean()
    weights = centred / (centred**2).sum() * (places[-1] - places[0])
    if isinstance(curves, np.ndarray):
        n = len(curves)
        if not n:
            return no_images("increases along", "a rise")
        check_values(curves, bounds)
        reach = (
            float(np.abs(weights).sum()) / 2 * (bounds[1] - bounds[0]) * (1 + 1e-9)
        )  # of a curve from end to end
        changes = (curves * weights).sum(axis=1)
        changes[np.abs(changes) < 1e-9 * reach] = 0.0  # a flat curve's rounding is no slope
        verdict = mean_within(changes, 0.0, math.inf, (-reach, reach), unit=unit)
    else:
        n = min(point.n for point in curves)
        if not n:
            return no_images("increases along", "a rise")
        moved = [
            [*curves[:at], other, *curves[at + 1 :]]
            for at in range(points)
            for other in neighbours(curves[at])
        ]
        change = float(
            sum(weight * point.share for weight, point in zip(weights, curves, strict=True))
        )
        found, *others = (of_sum(each, weights) for each in (curves, *moved))
        verdict = _judged(found, others, change, 0.0, math.inf, 0.95, unit)
    return replace(verdict, kind="increases along", n=n, required="a rise", threshold=0.0)


def peaks_within(
    curves: Float[np.ndarray, "image point"],
    points: Sequence[Number],
    low: Number,
    high: Number,
    unit: str = "",
) -> Verdict:
    """Does the mean curve over images have its maximum between two places, ends included?

    Supported if it has in at least 97.5 % of resamples of the images, refuted if in at most 2.5 %,
    both widened for n as in `intervals.of_mean`; a resample whose maximum is shared by points on
    both sides counts against either. The interval is that of the maximum's place.

    A flat curve has no peak to place, and is undecided: where resampling the images moves the
    points of the curve, each about its own mean, as far apart as they lie in at least 5 % of
    resamples. So are fewer than 20 images. The level is that of one point inside against one
    outside: where many points inside are equally high, a point outside that is hardly higher may be
    missed.

    **Raises:** `ClaimError` for another number of points than the curves have, and values that are
    no numbers.

    !!! example

        >>> bump = np.exp(-((np.arange(9) - 5.0) ** 2)) + 0.1 * np.random.default_rng(0).normal(size=(30, 9))
        >>> peaks_within(bump, range(9), 4, 6, unit="layers").outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> peaks_within(np.ones((30, 9)), range(9), 4, 6).why
        'the curve is flat'
    """
    places, required = np.asarray(points, dtype=float), "peak " + _range(low, high, unit)
    if len(curves) == 0:
        return no_images("peaks within", required)
    if curves.shape[1] != len(places) or not np.isfinite(curves).all():
        raise ClaimError(
            f"Curves of {curves.shape[1]} points, {int((~np.isfinite(curves)).sum())} values of "
            "them no numbers, were "
            f"given {len(places)} places. Pass a number and a place for every point."
        )
    inside = (places >= low) & (places <= high)
    mean, n = curves.mean(axis=0), len(curves)
    p, p_against, interval, why = _peak(curves, places, inside)
    found = UNDECIDED if why else decide(p, p_against, ALPHA)
    lead = curves[:, mean.argmax()] - curves.mean(axis=1)
    kept = (
        [np.delete(curves, image, axis=0) for image in (lead.argmax(), lead.argmin())]
        if n > 1
        else []
    )
    others = [_peak(each, places, inside) for each in kept]
    return Verdict(
        "peaks within",
        found,
        float(places[mean.argmax()]),
        interval,
        0.95,
        n,
        required,
        p=p,
        p_against=p_against,
        alpha=ALPHA,
        why=why or "some resamples peak inside, some outside" * (found == UNDECIDED),
        fragile=any(
            (UNDECIDED if why else decide(p, against, ALPHA)) != found
            for p, against, _, why in others
        ),
        unit=unit,
    )


def _peak(
    curves: Float[np.ndarray, "kept point"],
    places: Float[np.ndarray, " point"],
    inside: Bool[np.ndarray, " point"],
) -> tuple[float, float, tuple[float, float], str]:
    """p, p against, interval of the place, and why nothing can be said."""
    n = len(curves)
    if n < FEWEST:
        return (
            1.0,
            1.0,
            (float(places.min()), float(places.max())),
            "too few images to place a peak",
        )
    mean, means = curves.mean(axis=0), resampled(curves)
    moved = (means - mean[:, None]) * math.sqrt(n / (n - 1))
    flat = np.count_nonzero(np.ptp(moved, axis=0) >= np.ptp(mean)) >= 0.05 * means.shape[1]
    highest = means == means.max(axis=0)
    outside_too, inside_too = highest[~inside].any(axis=0), highest[inside].any(axis=0)
    first = np.where(highest, places[:, None], math.inf).min(axis=0)
    last = np.where(highest, places[:, None], -math.inf).max(axis=0)
    tail = ndtr(-widened(ALPHA, n))
    ends = (
        np.quantile(first, tail, method="inverted_cdf"),
        np.quantile(last, 1 - tail, method="inverted_cdf"),
    )
    shares = [
        (1 + np.count_nonzero(tied)) / (1 + means.shape[1]) for tied in (outside_too, inside_too)
    ]
    p, p_against = (float(stdtr(n - 1, ndtri(share) * math.sqrt((n - 1) / n))) for share in shares)
    interval = float(ends[0]), float(ends[1])
    return p, p_against, interval, "the curve is flat" if flat else ""


def _judged(
    bounds: Bounds,
    others: Sequence[Bounds],
    estimate: float,
    low: Number,
    high: Number,
    level: float,
    unit: str,
) -> Verdict:
    """The verdict on whether a number lies between two others, from its bounds and those that a
    neighbour has."""

    def outcome(bounds: Bounds) -> Outcome:
        least, most = bounds.interval(level)
        if most < low or least > high:
            return REFUTED
        return SUPPORTED if low < least and most < high else UNDECIDED

    found, (least, most) = outcome(bounds), bounds.interval(level)
    from_, to = low + (estimate - least), high - (most - estimate)
    crossed = " and ".join(number(end, unit) for end in (low, high) if least <= end <= most)
    return Verdict(
        "",
        found,
        estimate,
        (least, most),
        level,
        0,
        "",
        p=max(bounds.p_above(low), bounds.p_below(high)),
        p_against=min(bounds.p_below(low), bounds.p_above(high)),
        alpha=(1 - level) / 2,
        detectable=f"could have shown {_range(from_, to, unit)}" if from_ < to else TOO_FEW,
        why=f"the interval includes {crossed}" if found == UNDECIDED else "",
        fragile=any(outcome(other) != found for other in others),
        unit=unit,
    )


def _range(low: Number, high: Number, unit: str) -> str:
    if high == math.inf:
        return f"> {number(low, unit)}"
    return (
        f"< {number(high, unit)}"
        if low == -math.inf
        else f"{number(low, unit)} to {number(high, unit)}"
    )
