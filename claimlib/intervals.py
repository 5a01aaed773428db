"""Intervals: one-sided bounds at every level, from which an interval and its p-values follow alike.

Shares have exact bounds (Clopper-Pearson), of as many images as those that share categories are
worth; differences of two shares of the same images the score test's (Tango), of others Newcombe's;
means those of a bootstrap over clusters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import bisect
from scipy.special import betaincinv, ndtr, ndtri, stdtrit
from statsmodels.stats.proportion import confint_proportions_2indep

from claimlib.clusters import FEWEST, Sums, resampled
from claimlib.samples import Clustered, Number, Range, Totals, as_numbers, check_values, seen
from claimlib.verdicts import tail

SMALLEST_P = 1e-12


@dataclass(frozen=True)
class Bounds:
    """What a sample says of a number: `lower(alpha)` lies above it with probability alpha, and
    `upper(alpha)` below.

    Both move towards each other as alpha grows.
    """

    lower: Callable[[float], float]
    upper: Callable[[float], float]

    def interval(self, level: float) -> tuple[float, float]:
        return float(self.lower(tail(level))), float(self.upper(tail(level)))

    def p_above(self, threshold: Number) -> float:
        """The smallest alpha at which the lower bound lies above the threshold."""
        return _smallest(lambda alpha: self.lower(alpha) > threshold)

    def p_below(self, threshold: Number) -> float:
        return _smallest(lambda alpha: self.upper(alpha) < threshold)


def of_share(count: Number, n: Number) -> Bounds:
    """Exact (Clopper-Pearson) bounds of a share.

    **Arguments:** neither need be whole: the count may be a sum of values between 0 and 1, which at
    a given mean are spread the most where all of them are 0 or 1 (Bhatia-Davis), and then are a
    count; `n` what images are worth that share categories.

    !!! example

        >>> "{:.4f} {:.4f}".format(*of_share(20, 39).interval(0.95))
        '0.3478 0.6758'
    """

    def lower(alpha: float) -> float:
        return betaincinv(count, n - count + 1, alpha) if count > 0 else 0.0

    def upper(alpha: float) -> float:
        return betaincinv(count + 1, n - count, 1 - alpha) if count < n else 1.0

    return Bounds(lower, upper)


def of_difference(first: Totals, second: Totals) -> Bounds:
    """Newcombe's bounds of the first share minus the second, of two independent samples.

    !!! example

        >>> "{:.4f} {:.4f}".format(*of_difference(Totals(50, 100), Totals(20, 39)).interval(0.90))
        '-0.1631 0.1389'
    """

    counts = (first.count, first.n, second.count, second.n)

    def end(which: int, alpha: float) -> float:
        if alpha > 0.5:  # one family, so that the two p-values of a threshold add up to one
            return end(1 - which, max(1 - alpha, SMALLEST_P))
        ends = confint_proportions_2indep(*counts, method="newcomb", alpha=2 * alpha)
        return float(ends[which])

    return Bounds(partial(end, 0), partial(end, 1))


def of_any_mean(value: Number, n: int, bounds: Range) -> Bounds:
    """Bounds of a mean whose spread is not known: conservative, those of the widest spread that it
    may have.

    !!! example

        >>> "{:.1f} {:.1f}".format(*of_any_mean(25.7, 170, (0, 32)).interval(0.95))
        '23.5 27.5'
    """
    low, high = bounds
    share = of_share(n * (value - low) / (high - low), n)

    def stretched(end: Callable[[float], float], alpha: float) -> float:
        return low + (high - low) * end(alpha)

    return Bounds(partial(stretched, share.lower), partial(stretched, share.upper))


def of_mean(sample: Clustered | Float[np.ndarray, " image"], bounds: Range) -> Bounds:
    """Bounds of a mean over images, by a bootstrap over clusters (BCa, with a fixed seed).

    Its levels are those of BCa with every normal quantile z widened to t sqrt(n / (n - 1)) for n
    images, or as many equal clusters (Hesterberg 2015), which covered best of what was tried:
    percentile, BCa, either of them widened, and Student's t. Where images share clusters, resamples
    of those vary too little, and of fewer than 20 none reaches beyond the means of single ones: the
    bounds are the outermost of these and of Student's t's with the jackknife's variance over
    clusters; of fewer than 20, of t's and those that as many images of any spread would have.

    Where all clusters have one mean v, no resample differs, and a mean of `x` below has
    probability of at most ((x - low) / (v - low))^n to show that in n clusters (Markov), which
    bounds it instead. Of fewer than 20 images a bootstrap promises too much: the bounds are those
    of any spread.

    **Arguments:** `bounds`: between what no value can leave.

    **Raises:** `ClaimError` for no values, and for one that lies outside the bounds.

    !!! example

        >>> "{:.2f} {:.2f}".format(*of_mean(np.linspace(0.0, 1.0, 101), (0.0, 1.0)).interval(0.95))
        '0.44 0.56'
        >>> "{:.2f} {:.2f}".format(*of_mean(np.zeros(100), (0.0, 1.0)).interval(0.95))
        '0.00 0.04'
    """
    sample = as_numbers(seen(sample))
    check_values(sample.values, bounds)
    low, high = bounds
    sums = Sums.of(sample)
    mean, clusters = float(sums.mean), len(sums.weights)
    if len(sums.weights) == 1 or np.abs(sums.without).max() <= 1e-12 * (high - low):
        return Bounds(
            lambda alpha: mean - (mean - low) * (1 - alpha ** (1 / clusters)),
            lambda alpha: mean + (high - mean) * (1 - alpha ** (1 / clusters)),
        )
    if sums.n < FEWEST:
        return of_any_mean(min(max(mean, low), high), sums.n, bounds)
    if clusters == sums.n:
        return _bootstrap(sums, bounds)
    few = clusters < FEWEST
    beside = of_any_mean(mean, clusters, bounds) if few else _bootstrap(sums, bounds)
    return _outermost(_students(sums, bounds), beside)


def _bootstrap(sums: Sums, bounds: Range) -> Bounds:
    mean, means = float(sums.mean), np.sort(resampled(sums))
    below = _bca(-sums.without, -mean, -means[::-1], -float(bounds[1]), sums.equal)
    above = _bca(sums.without, mean, means, float(bounds[0]), sums.equal)
    return Bounds(above, lambda alpha: -below(alpha))


def _students(sums: Sums, bounds: Range) -> Bounds:
    mean, error = float(sums.mean), math.sqrt(float(sums.covariance[0, 0]))
    degrees = max(sums.equal - 1, 1.0)

    def lower(alpha: float) -> float:
        return max(mean + float(stdtrit(degrees, alpha)) * error, bounds[0])

    def upper(alpha: float) -> float:
        return min(mean - float(stdtrit(degrees, alpha)) * error, bounds[1])

    return Bounds(lower, upper)


def _outermost(first: Bounds, second: Bounds) -> Bounds:
    return Bounds(
        lambda alpha: min(first.lower(alpha), second.lower(alpha)),
        lambda alpha: max(first.upper(alpha), second.upper(alpha)),
    )


def of_pair(
    more: Number | Shaped[np.ndarray, " pair"],
    less: Number | Shaped[np.ndarray, " pair"],
    n: Number,
) -> Bounds:
    """Bounds of a difference of two shares of the same n images, of which on `more` only the first
    happened and on `less` only the second: those of the score test (`score_p`). Of several pairs
    that may be, the outermost.

    !!! example

        >>> "{:.3f} {:.3f}".format(*of_pair(11, 2, 40).interval(0.95))
        '0.041 0.406'
    """

    def lower(alpha: float) -> float:
        return _root(lambda margin: float(np.max(score_p(more, less, n, margin))) - alpha)

    def upper(alpha: float) -> float:
        return -_root(lambda margin: float(np.max(score_p(less, more, n, margin))) - alpha)

    return Bounds(lower, upper)


def score_p(
    more: Number | Shaped[np.ndarray, " pair"],
    less: Number | Shaped[np.ndarray, " pair"],
    n: Number,
    margin: Number,
) -> Float[np.ndarray, " pair"] | float:
    """One-sided p-values of the score test that the difference of two shares of the same n images
    is not above a margin (Tango 1998, equation 2, less half an image for continuity).

    Where few images differ the test errs too often without that half: at n = 90 and a margin of 5
    points in 8.2 % of samples for 5 %, enumerated. With it, in at most 5.3 and 2.9 % for 5 and 2.5.

    !!! example

        >>> "{:.4f}".format(score_p(11, 2, 40, 0.05))
        '0.0308'
    """
    more, less = np.asarray(more, float), np.asarray(less, float)
    linear = (2 * n - more + less) * margin - more - less
    constant = -less * margin * (1 - margin)
    second = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * second + margin * (1 - margin))
    above = more - less - n * margin - 0.5
    with np.errstate(divide="ignore"):
        return ndtr(-above / np.sqrt(np.maximum(variance, 0.0)))


def _root(p_minus_alpha: Callable[[float], float]) -> float:
    """Where a p-value that grows with the margin passes alpha."""
    edge = 1 - 1e-12
    if p_minus_alpha(-edge) > 0:
        return -1.0
    if p_minus_alpha(edge) < 0:
        return 1.0
    return float(bisect(p_minus_alpha, -edge, edge, xtol=1e-9))  # pyright: ignore[reportArgumentType]


def apart(first: Bounds, mine: Number, second: Bounds, other: Number) -> Bounds:
    """Bounds of a difference of two numbers of independent samples, from each one's own bounds
    (MOVER, Zou and Donner 2008).

    **Arguments:** the bounds and the estimate of the first, and those of the second.

    !!! example

        >>> one, two = of_share(20, 39), of_share(5, 39)
        >>> "{:.2f} {:.2f}".format(*apart(one, 20 / 39, two, 5 / 39).interval(0.95))
        '0.16 0.57'
    """

    def lower(alpha: float) -> float:
        away = math.hypot(mine - first.lower(alpha), second.upper(alpha) - other)
        return mine - other - math.copysign(away, 0.5 - alpha)

    def upper(alpha: float) -> float:
        away = math.hypot(first.upper(alpha) - mine, other - second.lower(alpha))
        return mine - other + math.copysign(away, 0.5 - alpha)

    return Bounds(lower, upper)


def widened(alpha: float, n: float) -> float:
    """The normal quantile of a one-sided level, widened for resamples of n images, or as many equal
    clusters (Hesterberg 2015).

    !!! example

        >>> "{:.3f} {:.3f}".format(widened(0.025, 20), widened(0.025, 10000))
        '2.147 1.960'
    """
    degrees = max(n - 1, 1.0)
    return -float(stdtrit(degrees, alpha)) * math.sqrt((degrees + 1) / degrees)


def of_sum(shares: Sequence[Totals], weights: Float[np.ndarray, " share"]) -> Bounds:
    """Conservative bounds of a weighted sum of shares that were counted on the same images, which
    is not told.

    Every share lies at its own bound of that level at once. That is the worst they can do together:
    the standard deviation of a sum is at most the sum of the standard deviations (Minkowski).

    !!! example

        >>> bounds = of_sum([Totals(5, 90), Totals(60, 90)], np.array([-1.0, 1.0]))
        >>> "{:.2f} {:.2f}".format(*bounds.interval(0.95))
        '0.43 0.74'
    """
    ends = [of_share(share.count, share.n) for share in shares]

    def total(up: bool, alpha: float) -> float:
        chosen = (
            end.upper if (weight > 0) == up else end.lower
            for weight, end in zip(weights, ends, strict=True)
        )
        return sum(weight * end(alpha) for weight, end in zip(weights, chosen, strict=True))

    return Bounds(partial(total, False), partial(total, True))


def _bca(
    without: Float[np.ndarray, " cluster"],
    mean: float,
    means: Float[np.ndarray, " resample"],
    lowest: float,
    clusters: float,
) -> Callable[[float], float]:
    """The lower bound at any level: an order statistic of the sorted resampled means."""
    moves = without.mean() - without  # by the jackknife (Efron and Tibshirani 1993, 14.15)
    acceleration = (moves**3).sum() / (6 * (moves**2).sum() ** 1.5)
    below, at_most = (np.searchsorted(means, mean, side) for side in ("left", "right"))
    bias = ndtri((below + at_most) / (2 * len(means)))

    def lower(alpha: float) -> float:
        shifted = bias - widened(alpha, clusters)
        stretch = 1 - acceleration * shifted
        share = ndtr(bias + shifted / stretch) if stretch > 0 else float(shifted > 0)
        rank = int(share * (len(means) + 1))
        return float(means[min(rank, len(means)) - 1]) if rank else lowest

    return lower


def _smallest(excludes: Callable[[float], bool]) -> float:
    """The smallest alpha at which a bound excludes a threshold: 1 where none does."""
    if excludes(SMALLEST_P):
        return SMALLEST_P
    if not excludes(1 - SMALLEST_P):
        return 1.0

    def sign(exponent: float) -> float:
        return 1.0 if excludes(10**exponent) else -1.0

    root = bisect(sign, np.log10(SMALLEST_P), np.log10(1 - SMALLEST_P), xtol=1e-9)
    return 10 ** float(root)  # pyright: ignore[reportArgumentType]
