"""Means and curves over images: where a mean lies, whether a curve rises, where it peaks.

Uncertainty is that of the images, and of the categories that they share: `intervals` says how
their means are resampled, and what bounds them where nothing can be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr, ndtri, stdtr

from claimlib.clusters import SEED, Sums, resampled, studentised
from claimlib.errors import ClaimError
from claimlib.intervals import (
    FEWEST,
    SMALLEST_P,
    Bounds,
    apart,
    of_any_mean,
    of_mean,
    of_sum,
    widened,
)
from claimlib.samples import (
    Clustered,
    Mean,
    Number,
    Range,
    Totals,
    Values,
    check_number,
    check_values,
    neighbours,
    seen,
    without_an_extreme,
)
from claimlib.verdicts import (
    FEW_IMAGES,
    FLAT,
    REFUTED,
    SUPPORTED,
    TOO_FEW,
    UNDECIDED,
    Outcome,
    Verdict,
    amount,
    change,
    decide,
    further,
    no_images,
    number,
    tail,
    with_unit,
)

Curves = Float[np.ndarray, "image point"] | Clustered | Sequence[Totals]
EITHER_SIDE = "some resamples peak inside, some outside"
FEW = "too few images to place a peak"
SHUFFLED = "points in any other order may rise as much"
FEWEST_CLUSTERS = 5
SHUFFLES = 1999


def within(
    values: Values | Mean,
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
    values: Values | Mean,
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
    return replace(verdict, required=f"within {number(room, unit)} of {number(printed, unit)}")


def within_factor(
    values: Values | Mean,
    printed: Number,
    factor: Number,
    bounds: Range = (0.0, 1.0),
    level: float = 0.90,
    unit: str = "%",
) -> Verdict:
    """Does the mean over images lie within a factor of a printed one, whose spread is not known?

    `within`, between the printed value divided and multiplied by the factor: two one-sided tests
    of a ratio, for what is printed as a rate and may be small.

    **Raises:** `ClaimError` as `within` does, and for a factor that is not above 1.

    !!! example

        >>> shares = np.tile([0.0, 0.0, 0.1, 0.2], 60)
        >>> within_factor(shares, printed=0.065, factor=2).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    if not factor > 1 or not printed > 0:
        raise ClaimError(
            f"A factor of {factor:g} about {printed:g} leaves no room. Pass a factor above 1, and "
            "a printed value above zero."
        )
    low, high = printed / factor, printed * factor
    verdict = _within(values, low, high, bounds, level=level, unit=unit, kind="within-factor")
    required = f"within a factor of {factor:g} of {number(printed, unit)}"
    return replace(verdict, required=required)


def above_another(
    values: Values | Mean,
    others: Float[np.ndarray, " other"] | Clustered | Mean,
    margin: Number,
    bounds: Range = (0.0, 1.0),
    level: float = 0.95,
    unit: str = "%",
) -> Verdict:
    """Is a mean over images greater than one over other images, by more than a margin?

    Two samples: the bounds of the difference follow from each one's own (`intervals.apart`).

    **Raises:** `ClaimError` for a value outside the bounds.

    !!! example

        >>> one, two = np.tile([0.1, 0.4], 50), np.tile([0.0, 0.1], 60)
        >>> above_another(one, two, margin=0.05).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    samples = [each if isinstance(each, Mean) else seen(each) for each in (values, others)]
    n = min(each.n if isinstance(each, Mean) else len(each) for each in samples)
    check_number("margin", margin)
    required = f"more than the other by > {amount(margin, change(unit))}"
    if not n:
        return no_images("above-another", required)
    first, second = (_mean_of(each, bounds) for each in samples)

    def between(mine: Bounds, mine_at: float, other: Bounds) -> Bounds:
        return apart(mine, mine_at, other, second.estimate)

    found = _Found(
        n=n,
        estimate=first.estimate - second.estimate,
        bounds=between(first.bounds, first.estimate, second.bounds),
        others=[
            *(between(each, first.estimate, second.bounds) for each in first.others),
            *(between(first.bounds, first.estimate, each) for each in second.others),
        ],
    )
    verdict = _placed(found, low=margin, high=math.inf, level=level, unit=change(unit))
    shown = f"the other {number(second.estimate, unit)} of {second.n}"
    return replace(
        verdict, kind="above-another", required=required, threshold=margin, control=shown
    )


def increases(
    curves: Curves,
    axis: Sequence[Number],
    margin: Number = 0.0,
    bounds: Range = (0.0, 1.0),
    unit: str = "%",
    level: float = 0.95,
) -> Verdict:
    """Does a curve rise along an axis, by more than a margin?

    The estimate is the least-squares line's change from the first point to the last, fitted for
    each image and averaged; its interval above the margin supports, below it refutes. Beside it a
    rise must be more than the points' order gives by chance: in a permutation test, in which the
    points of each image are shuffled, and those of one category alike. Of printed counts, which
    the same images share in unknown ways, the interval is that of `intervals.of_sum`.

    **Arguments:** `axis`: where the points lie, ascending; `margin`: the change that is of no
    practical interest; `bounds`: between what no value of a curve can leave; `unit`: of the
    values, "%" for shares.

    **Raises:** `ClaimError` for another number of points than the axis has, an axis that does not
    ascend, and a value outside the bounds.

    !!! example

        >>> rising = np.arange(30)[:, None] < np.array([3, 9, 20])
        >>> increases(rising.astype(float), axis=[12.6, 33.4, 60]).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> increases([Totals(6, 39), Totals(20, 39), Totals(25, 39)], axis=[13, 33, 60]).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    check_number("margin", margin)
    required = f"a rise of > {amount(margin, change(unit))}" if margin else "a rise"
    if isinstance(curves, np.ndarray | Clustered):
        sample = seen(curves)
        weights = _slope(sample.values.shape[1], axis)
        if not len(sample):
            return no_images("increases", required)
        found = _line_change(sample, weights, bounds)
        verdict = _placed(found, low=margin, high=math.inf, level=level, unit=change(unit))
        verdict = _shuffled(verdict, sample, weights, margin)
    else:
        weights = _slope(len(curves), axis)
        if not min(point.n for point in curves):
            return no_images("increases", required)
        verdict = placed_sum(curves, weights, margin, math.inf, level, change(unit))
    return replace(verdict, kind="increases", required=required, threshold=margin)


def peaks(
    curves: Float[np.ndarray, "image point"] | Clustered,
    points: Sequence[Number],
    low: Number,
    high: Number,
    unit: str = "",
    level: float = 0.95,
) -> Verdict:
    """Does the mean curve over images have its maximum between two places, ends included?

    Supported if it has in all but (1 - level) / 2 of resamples of the images (by cluster), refuted
    if in at most so many, both widened for n as in `intervals.of_mean`; a resample whose maximum is
    shared by points on both sides counts against either. The interval is that of the maximum's
    place.

    A flat curve has no peak to place, and is undecided: where resampling the images moves the
    points of the curve, each about its own mean, as far apart as they lie in at least 1 - level of
    resamples. So are fewer than 20 images, or 5 clusters. The level is that of one point inside
    against one outside: where many points inside are equally high, a point outside that is hardly
    higher may be missed.

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
    _check_places(low, high)
    sample = seen(curves)
    places, required = np.asarray(points, dtype=float), f"peak {_range(low, high, unit)}"
    if not len(sample):
        return no_images("peaks", required)
    wrong = int((~np.isfinite(sample.values)).sum())
    if sample.values.shape[1] != len(places) or wrong:
        raise ClaimError(
            f"Curves of {sample.values.shape[1]} points, {wrong} values of them no numbers, were "
            f"given {len(places)} places. Pass a number and a place for every point."
        )
    inside = (places >= low) & (places <= high)
    if not np.isfinite(places).all() or inside.all() or not inside.any():
        raise ClaimError(
            f"Of the places {places.tolist()}, {int(inside.sum())} lie from {low:g} to {high:g}. "
            "Pass finite ones, some of them inside and some outside: else there is no question."
        )
    found = _peak(sample, places, inside, level)
    mean = Sums.of(sample).mean
    lead = sample.values[:, mean.argmax()] - sample.values.mean(axis=1)
    others = (_peak(each, places, inside, level) for each in without_an_extreme(sample, lead))
    return Verdict(
        kind="peaks",
        outcome=found.outcome,
        estimate=float(places[mean.argmax()]),
        interval=found.interval,
        level=level,
        n=len(sample),
        required=required,
        required_range=(low, high),
        p=found.p,
        p_against=found.p_against,
        alpha=tail(level),
        why=found.why,
        cause=found.cause,
        fragile=any(other.outcome != found.outcome for other in others),
        unit=unit,
    )


def band(
    sample: Clustered, bounds: Range, level: float = 0.95
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Bounds of a curve's mean that hold at all of its points at once, as one looks for its lowest
    or its highest.

    Of a bootstrap over clusters (Efron's bootstrap-t, with a fixed seed): the farthest that any
    point's mean lies above, or below, in standard errors that each resample tells itself, since of
    skewed values both go together. Points at which all clusters are alike, and all points of fewer
    than 20 clusters, have the interval of a mean at Bonferroni's level.

    **Arguments:** a curve for each image; between what no value can leave.

    **Raises:** `ClaimError` for no images, and for values outside the bounds.

    !!! example

        >>> curves = np.linspace(0.0, 1.0, 101)[:, None] * [1.0, 0.5]
        >>> low, high = band(Clustered(curves, range(101)), (0.0, 1.0))
        >>> low.round(2).tolist(), high.round(2).tolist()
        ([0.44, 0.22], [0.56, 0.28])
    """
    check_values(sample.values, bounds)
    sums = Sums.of(sample)
    mean, errors = sums.mean, np.sqrt(np.diagonal(sums.covariance))
    known = errors > 1e-12 * (bounds[1] - bounds[0])
    if len(sums.weights) < FEWEST:
        known = np.zeros_like(known)
    low, high = mean.copy(), mean.copy()
    if known.any():
        far = studentised(sums)[known]
        above, below = (
            float(np.quantile(each.max(axis=0), 1 - tail(level), method="higher"))
            for each in (far, -far)
        )
        low[known] -= above * errors[known]
        high[known] += below * errors[known]
    each = 1 - (1 - level) / len(mean)
    for at in np.flatnonzero(~known):
        low[at], high[at] = of_mean(sample.point(int(at)), bounds).interval(each)
    return low.clip(*bounds), high.clip(*bounds)


def placed_mean(
    sample: Clustered, low: Number, high: Number, bounds: Range, level: float, unit: str = "%"
) -> Verdict:
    """The verdict on whether a mean over images lies between two numbers, of kind `within`.

    !!! example

        >>> placed_mean(seen(np.linspace(0, 1, 50)), 0.2, 0.9, (0, 1), level=0.95).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    return _placed(_mean_of(sample, bounds), low=low, high=high, level=level, unit=unit)


def placed_sum(
    counts: Sequence[Totals],
    weights: Float[np.ndarray, " share"],
    low: Number,
    high: Number,
    level: float,
    unit: str = "%",
) -> Verdict:
    """The same of a weighted sum of printed shares (`intervals.of_sum`).

    !!! example

        >>> counts = [Totals(5, 90), Totals(60, 90)]
        >>> placed_sum(counts, np.array([-1.0, 1.0]), 0.0, 1.0, level=0.95).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    moved = [
        [*counts[:at], other, *counts[at + 1 :]]
        for at, point in enumerate(counts)
        for other in neighbours(point)
    ]
    found = _Found(
        n=min(point.n for point in counts),
        estimate=float(weights @ np.array([point.share for point in counts])),
        bounds=of_sum(counts, weights),
        others=[of_sum(each, weights) for each in moved],
    )
    return _placed(found, low=low, high=high, level=level, unit=unit)


@dataclass(frozen=True)
class _Found:
    """A number that was measured on n images: its bounds, and those that one image less would
    leave; `effective`: as many equal clusters tell as much, where they are known."""

    n: int
    estimate: float
    bounds: Bounds
    others: Sequence[Bounds]
    effective: float | None = None


def _within(
    values: Values | Mean,
    low: Number,
    high: Number,
    bounds: Range,
    *,
    level: float,
    unit: str,
    kind: str,
) -> Verdict:
    _check_places(low, high)
    required = _range(low, high, unit)
    sample = values if isinstance(values, Mean) else seen(values)
    if not isinstance(sample, Mean) and not len(sample):
        return no_images(kind, required)
    least, most = sample.bounds if isinstance(sample, Mean) else bounds
    if low <= least and high >= most:
        raise ClaimError(
            f"Every mean lies from {low:g} to {high:g}, since values lie from {least:g} to "
            f"{most:g}. Pass a range that some do not lie in."
        )
    verdict = _placed(
        _mean_of(sample, bounds),
        low=-math.inf if low <= least else low,
        high=math.inf if high >= most else high,
        level=level,
        unit=unit,
    )
    return replace(verdict, kind=kind, required=required, required_range=(low, high))


def _check_places(low: Number, high: Number) -> None:
    if not low <= high:
        raise ClaimError(f"Nothing lies from {low:g} to {high:g}. Pass the lower one first.")


def _mean_of(sample: Clustered | Mean, bounds: Range) -> _Found:
    """A mean with its bounds, and those that one image less would leave."""
    if isinstance(sample, Mean):
        first, *others = (
            of_any_mean(each.value, each.n, each.bounds) for each in (sample, *sample.without_one())
        )
        return _Found(sample.n, float(sample.value), first, others)
    others = [of_mean(each, bounds) for each in without_an_extreme(sample)]
    sums = Sums.of(sample)
    return _Found(len(sample), float(sums.mean), of_mean(sample, bounds), others, sums.equal)


def _slope(points: int, axis: Sequence[Number]) -> Float[np.ndarray, " point"]:
    """The weights with which a curve's points add up to its fitted change from end to end."""
    places = np.asarray(axis, dtype=float)
    if len(places) < 2 or points != len(places) or not (np.diff(places) > 0).all():
        raise ClaimError(
            f"A curve of {points} points was given the axis {list(axis)}. Pass an ascending place "
            "for each."
        )
    centred = places - places.mean()
    return centred / (centred**2).sum() * (places[-1] - places[0])


def _line_change(sample: Clustered, weights: Float[np.ndarray, " point"], bounds: Range) -> _Found:
    check_values(sample.values, bounds)
    steepest = float(np.abs(weights).sum()) / 2 * (bounds[1] - bounds[0])
    reach = steepest * (1 + 1e-9)  # rounding may not leave it
    changes = (sample.values * weights).sum(axis=1)
    changes[np.abs(changes) < 1e-9 * reach] = 0.0  # a flat curve's rounding is no slope
    return _mean_of(Clustered(changes, sample.clusters, sample.weights), (-reach, reach))


def _shuffled(
    verdict: Verdict, sample: Clustered, weights: Float[np.ndarray, " point"], margin: Number
) -> Verdict:
    """The verdict on a rise, beside a permutation test of the points within a cluster."""
    sums = Sums.of(sample).values
    rng = np.random.default_rng(SEED)
    # one after the other, since all orders at once need gigabytes
    drawn = np.array(
        [
            (rng.permuted(np.tile(weights, (len(sums), 1)), axis=1) * sums).sum()
            for _ in range(SHUFFLES)
        ]
    )
    observed, room = float(sums.sum(axis=0) @ weights), 1e-9 * float(np.abs(sums).sum() + 1)

    def chance(as_far: Bool[np.ndarray, " resample"]) -> float:
        return float((1 + np.count_nonzero(as_far)) / (1 + SHUFFLES))

    p = max(verdict.p, chance(drawn >= observed - room))
    falls = chance(drawn <= observed + room) if margin <= 0 else 0.0
    p_against = max(verdict.p_against, falls)
    outcome = decide(p, p_against, verdict.alpha)
    why = "" if outcome != UNDECIDED else verdict.why or SHUFFLED
    return replace(verdict, outcome=outcome, p=p, p_against=p_against, why=why)


def _placed(found: _Found, *, low: Number, high: Number, level: float, unit: str) -> Verdict:
    """The verdict on whether a number lies between two others."""

    def outcome(bounds: Bounds) -> Outcome:
        least, most = bounds.interval(level)
        if most < low or least > high:
            return REFUTED
        return SUPPORTED if low < least and most < high else UNDECIDED

    bounds, estimate, decided = found.bounds, found.estimate, outcome(found.bounds)
    least, most = bounds.interval(level)
    times = further(level)
    from_, to = low + times * (estimate - least), high - times * (most - estimate)
    possible = from_ < to and bounds.lower(SMALLEST_P) < to and from_ < bounds.upper(SMALLEST_P)
    ends = [end for end in (low, high) if least <= end <= most]
    crossed = " and ".join(number(end, unit) for end in ends)
    return Verdict(
        kind="within",
        outcome=decided,
        estimate=estimate,
        interval=(least, most),
        level=level,
        n=found.n,
        effective=found.effective,
        required=_range(low, high, unit),
        required_range=(low, high),
        threshold=min(ends, key=lambda end: abs(end - estimate), default=None),
        p=max(bounds.p_above(low), bounds.p_below(high)),
        p_against=min(bounds.p_below(low), bounds.p_above(high)),
        alpha=tail(level),
        detectable=f"could have shown {with_unit(_range(from_, to, unit), unit)}"
        if possible
        else TOO_FEW,
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
    cause: str = ""


def _peak(
    sample: Clustered,
    places: Float[np.ndarray, " point"],
    inside: Bool[np.ndarray, " point"],
    level: float,
) -> _Peak:
    sums = Sums.of(sample)
    clusters, equal = len(sums.weights), sums.equal
    if len(sample) < FEWEST or clusters < FEWEST_CLUSTERS:
        anywhere = float(places.min()), float(places.max())
        return _Peak(UNDECIDED, anywhere, why=FEW, cause=FEW_IMAGES)
    means = resampled(sums)
    highest = means == means.max(axis=0)
    interval = _places_of(highest, places, widened(tail(level), equal))
    p = _p_of(highest[~inside].any(axis=0), equal)
    p_against = _p_of(highest[inside].any(axis=0), equal)
    if _is_flat(sums.mean, means, clusters, level):
        return _Peak(UNDECIDED, interval, p, p_against, "the curve is flat", FLAT)
    outcome = decide(p, p_against, tail(level))
    if outcome == UNDECIDED:
        return _Peak(outcome, interval, p, p_against, EITHER_SIDE, FEW_IMAGES)
    return _Peak(outcome, interval, p, p_against)


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


def _p_of(counts_against: Bool[np.ndarray, " resample"], n: float) -> float:
    """The share of resamples that count against a place, widened for as many equal clusters."""
    share = (1 + np.count_nonzero(counts_against)) / (1 + len(counts_against))
    degrees = max(n - 1, 1.0)
    return float(stdtr(degrees, ndtri(share) * math.sqrt(degrees / (degrees + 1))))


def _range(low: Number, high: Number, unit: str) -> str:
    if high == math.inf:
        return f"> {number(low, unit)}"
    if low == -math.inf:
        return f"< {number(high, unit)}"
    return f"{number(low, unit)} to {number(high, unit)}"
