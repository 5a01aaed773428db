"""Intervals: one-sided bounds at every level, from which an interval and its p-values follow alike.

Shares have exact bounds (Clopper-Pearson), differences of shares of two samples Newcombe's, means
over images those of a bootstrap over images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.optimize import bisect
from scipy.special import betaincinv, ndtr, ndtri, stdtrit
from scipy.stats import bootstrap
from statsmodels.stats.proportion import confint_proportions_2indep

from claimlib.samples import Number, Range, Totals, check_values
from claimlib.verdicts import tail

RESAMPLES = 9999
SEED = 0
FEWEST = 20  # images, from which on a bootstrap's intervals cover what they say, even if skewed
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


def of_share(count: Number, n: int) -> Bounds:
    """Exact (Clopper-Pearson) bounds of a share.

    **Arguments:** `count` may be fractional: the sum of values between 0 and 1, which at a given
    mean are spread the most where all of them are 0 or 1 (Bhatia-Davis), and then are a count.

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


def of_mean(values: Float[np.ndarray, " image"], bounds: Range) -> Bounds:
    """Bounds of a mean over images, by a bootstrap over images (BCa, with a fixed seed).

    Its levels are those of BCa with every normal quantile z widened to t sqrt(n / (n - 1))
    (Hesterberg 2015), which covered best of what was tried: percentile, BCa, either of them
    widened, and Student's t.

    Where all n values are one number v, no resample differs, and a mean of `x` below has
    probability of at most ((x - low) / (v - low))^n to show that (Markov), which bounds it instead.
    Of fewer than 20 images a bootstrap promises too much: the bounds are those of any spread.

    **Arguments:** `bounds`: between what no value can leave.

    **Raises:** `ClaimError` for no values, and for one that lies outside the bounds.

    !!! example

        >>> "{:.2f} {:.2f}".format(*of_mean(np.linspace(0.0, 1.0, 101), (0.0, 1.0)).interval(0.95))
        '0.44 0.56'
        >>> "{:.2f} {:.2f}".format(*of_mean(np.zeros(100), (0.0, 1.0)).interval(0.95))
        '0.00 0.04'
    """
    check_values(values, bounds)
    low, high = bounds
    n = len(values)
    values = values.astype(np.float64)
    if np.ptp(values) == 0:
        value = float(values[0])
        return Bounds(
            lambda alpha: value - (value - low) * (1 - alpha ** (1 / n)),
            lambda alpha: value + (high - value) * (1 - alpha ** (1 / n)),
        )
    if n < FEWEST:
        return of_any_mean(float(values.mean()), n, bounds)
    means = np.sort(resampled(values))
    below = _bca(-values, -means[::-1], -float(high))
    return Bounds(_bca(values, means, float(low)), lambda alpha: -below(alpha))


def resampled(values: Float[np.ndarray, "image *rest"]) -> Float[np.ndarray, "*rest resample"]:
    """Means over images drawn with replacement, always the same 9,999 draws of so many images.

    !!! example

        >>> resampled(np.eye(30)).shape
        (30, 9999)
    """
    draw = partial(bootstrap, method="percentile", n_resamples=RESAMPLES, batch=200, rng=SEED)
    return draw((values,), np.mean, axis=0, vectorized=True).bootstrap_distribution


def widened(alpha: float, n: int) -> float:
    """The normal quantile of a one-sided level, widened for resamples of n images (Hesterberg
    2015).

    !!! example

        >>> "{:.3f} {:.3f}".format(widened(0.025, 20), widened(0.025, 10000))
        '2.147 1.960'
    """
    return -float(stdtrit(n - 1, alpha)) * math.sqrt(n / (n - 1))


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
    values: Float[np.ndarray, " image"], means: Float[np.ndarray, " resample"], lowest: float
) -> Callable[[float], float]:
    """The lower bound at any level: an order statistic of the sorted resampled means."""
    n = len(values)
    deviations = values - values.mean()
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    below, at_most = (np.searchsorted(means, values.mean(), side) for side in ("left", "right"))
    bias = ndtri((below + at_most) / (2 * len(means)))

    def lower(alpha: float) -> float:
        shifted = bias - widened(alpha, n)
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
