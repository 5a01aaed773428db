"""Images that share a category are no independent draws: how much a sample of them is worth.

Everything here takes a mean apart into its clusters: what each adds to it, and what is left
without it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import stdtrit

from claimlib.samples import Clustered

# Images, and clusters of them, from which on a variance is known and a bootstrap's intervals cover.
FEWEST = 20
RESAMPLES = 9999
SEED = 0
EXACT = 13  # clusters, up to which all 2^13 patterns of signs are counted


@dataclass(frozen=True, eq=False)
class Sums:
    """A sample by cluster: the weighted sum of the values and of the weights, in units in which
    all weights add up to one."""

    values: Float[np.ndarray, "cluster *point"]
    weights: Float[np.ndarray, " cluster"]
    n: int

    @classmethod
    def of(cls, sample: Clustered) -> "Sums":
        """
        !!! example

            >>> Sums.of(Clustered(np.array([1.0, 0.0]), ["a", "b"])).weights.tolist()
            [0.5, 0.5]
        """
        weights = np.ones(len(sample)) if sample.weights is None else sample.weights
        weights = weights / weights.sum()
        codes, values = sample.codes, np.asarray(sample.values, dtype=np.float64)
        flat = values.reshape(len(values), -1) * weights[:, None]
        counts = int(codes.max()) + 1
        sums = np.stack([np.bincount(codes, each, counts) for each in flat.T], axis=1)
        return cls(
            sums.reshape(counts, *values.shape[1:]), np.bincount(codes, weights), len(values)
        )

    @property
    def equal(self) -> float:
        """How many clusters of one size tell as much: the square of the sum of all weights over the
        sum of their squares (Kish 1965)."""
        return 1 / float((self.weights**2).sum())

    @property
    def mean(self) -> Float[np.ndarray, " *point"]:
        return np.asarray(self.values.sum(axis=0))

    @property
    def without(self) -> Float[np.ndarray, "cluster *point"]:
        """How the mean moves when a cluster is left out."""
        weights = self.weights.reshape(-1, *[1] * (self.values.ndim - 1))
        return (weights * self.mean - self.values) / (1 - weights)

    @property
    def covariance(self) -> Float[np.ndarray, "point point"]:
        """Of the mean, by the jackknife over clusters; of a number, a 1 x 1 matrix."""
        count = len(self.weights)
        moves = self.without.reshape(count, -1)
        return (count - 1) / count * moves.T @ moves


def effective(sample: Clustered, alpha: float) -> float:
    """The number of independent images that would tell as much of a mean (Korn and Graubard 1998,
    equation 2).

    The variance of a simple sample over that of the clustered one (jackknife), times n, and times
    the square of the ratio of t's quantiles, since the number of clusters, and not that of images,
    says how well a variance is known. Never more than n; n itself where every image is a cluster.
    Where all values are alike there is no variance to tell, and t's quantiles alone count. Of fewer
    than 20 clusters a variance is hardly known: images are then worth no more than clusters.

    **Arguments:** `alpha`: the one-sided level at which it is used.

    !!! example

        >>> same = Clustered(np.arange(40) % 8 < 2, np.arange(40) % 8)
        >>> round(effective(same, 0.025), 1)
        5.3
    """
    sums = Sums.of(sample)
    n, count = sums.n, len(sums.weights)
    if count == n:
        return float(n) if sample.weights is None else sums.equal
    values = np.asarray(sample.values, dtype=np.float64)
    weights = np.full(n, 1 / n) if sample.weights is None else sample.weights
    spread = float(weights @ (values - sums.mean) ** 2 / weights.sum()) / (n - 1)
    variance = float(sums.covariance[0, 0])
    share = min(spread / variance, 1.0) if variance > 0 and (values != values[0]).any() else 1.0
    worth = n * share * _freedom(n, count, alpha) ** 2
    return worth if count >= FEWEST else min(worth, float(count))


def _freedom(n: int, count: int, alpha: float) -> float:
    """How much narrower t's quantile is with one degree per image than with one per cluster."""
    at = min(alpha, 0.4)  # towards the median both quantiles vanish
    return float(stdtrit(n - 1, at) / stdtrit(count - 1, at))


def flipped(sums: Float[np.ndarray, " cluster"]) -> float:
    """The chance of as large a sum, were every cluster's sign a coin's (Fisher-Pitman, one-sided).

    Exact for up to 13 clusters that have any, else from always the same 9,999 patterns of signs.

    !!! example

        >>> flipped(np.array([1.0, 1.0, 1.0, 0.0]))
        0.125
    """
    moving = sums[sums != 0]
    if not len(moving):
        return 1.0
    signs = _all_signs(len(moving)) if len(moving) <= EXACT else _some_signs(len(moving))
    as_large = signs @ moving >= moving.sum() * (1 - 1e-12) - 1e-12 * np.abs(moving).sum()
    if len(moving) <= EXACT:
        return float(as_large.mean())
    return float((1 + np.count_nonzero(as_large)) / (1 + len(signs)))


@lru_cache(maxsize=8)
def _all_signs(count: int) -> Float[np.ndarray, "pattern cluster"]:
    return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)


@lru_cache(maxsize=8)
def _some_signs(count: int) -> Float[np.ndarray, "pattern cluster"]:
    return np.random.default_rng(SEED).choice([-1.0, 1.0], size=(RESAMPLES, count))


def resampled(sums: Sums) -> Float[np.ndarray, "*point resample"]:
    """Means over clusters drawn with replacement, always the same 9,999 draws of so many.

    !!! example

        >>> resampled(Sums.of(Clustered(np.eye(30), range(30)))).shape
        (30, 9999)
    """
    drawn = _draws(len(sums.weights))
    totals = drawn @ sums.values.reshape(len(sums.weights), -1)
    means = totals / (drawn @ sums.weights)[:, None]
    return means.T.reshape(*sums.values.shape[1:], RESAMPLES)


def studentised(sums: Sums) -> Float[np.ndarray, "point resample"]:
    """How far each mean of `resampled` lies from that of the sample, in the standard error that the
    clusters of that resample tell; infinite where they are all alike, and zero where so is the
    mean.

    !!! example

        >>> studentised(Sums.of(Clustered(np.eye(30), range(30)))).shape
        (30, 9999)
    """
    drawn, weights = _draws(len(sums.weights)), sums.weights[:, None]
    whole, means = drawn @ weights, resampled(sums).T
    # of what each cluster adds beside as much of the resample's mean
    squares = drawn @ sums.values**2 - 2 * means * (drawn @ (sums.values * weights))
    squares += means**2 * (drawn @ weights**2)
    count = len(weights)
    errors = np.sqrt(squares.clip(0) * count / (count - 1)) / whole
    moved = means - sums.mean
    alike = errors <= 1e-12 * np.abs(sums.values).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(alike, np.copysign(np.inf, moved), moved / errors)
    return np.where(alike & (moved == 0), 0.0, far).T


@lru_cache(maxsize=8)
def _draws(count: int) -> Shaped[np.ndarray, "resample cluster"]:
    """How often each cluster is drawn."""
    return (
        np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES) * 1.0
    )
