"""What was measured: on which images it happened, or on how many, or how strongly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from claimlib.errors import ClaimError

Number = float | int
Range = tuple[Number, Number]


@dataclass(frozen=True)
class Totals:
    """What a published table tells of a sample: on how many of how many images, not on which.

    **Raises:** `ClaimError` for a count that is no part of n.
    """

    count: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.n:
            raise ClaimError(
                f"Totals({self.count}, {self.n}) is no count out of n. Pass 0 <= count <= n images."
            )

    @property
    def share(self) -> float:
        return self.count / self.n


@dataclass(frozen=True, eq=False)
class Clustered:
    """What was seen on images that are no independent draws: those of one cluster, such as a
    category, have something in common.

    - `values`: bools or numbers, one per image; for a curve, a row per image.
    - `clusters`: of which cluster each image is. Where all are of one, what is measured is about
      that one, and each image is a draw.
    - `weights`: what each image counts for; alike, where None is given.

    **Raises:** `ClaimError` for another number of clusters or weights than of values, clusters that
    have no name, and weights that are not above zero.

    !!! example

        >>> seen = Clustered(np.array([True, True, False]), ["dog", "dog", "cat"])
        >>> len(seen), seen.codes.tolist()
        (3, [1, 1, 0])
    """

    values: Shaped[np.ndarray, "image *point"]
    clusters: Sequence[Any] | Shaped[np.ndarray, " image"]
    weights: Float[np.ndarray, " image"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray) or not self.values.ndim:
            raise ClaimError(f"Clustered was given {self.values!r}. Pass an array, an image a row.")
        n, clusters = len(self.values), len(self.clusters)
        weights = n if self.weights is None else len(self.weights)
        if clusters != n or weights != n:
            raise ClaimError(
                f"Clustered was given {n} values, {clusters} clusters and {weights} weights. Pass "
                "one of each for every image."
            )
        if self.weights is not None and not (
            np.isfinite(self.weights).all() and (self.weights > 0).all()
        ):
            raise ClaimError("Clustered was given a weight that is no finite number above zero.")
        if any(each is None or each != each for each in self.clusters):
            raise ClaimError("Clustered was given None for a cluster. Name each image's own.")

    def __len__(self) -> int:
        return len(self.values)

    def mean(self) -> "Clustered":
        """Of curves: the mean over the points of each image."""
        return self._with(self.values.mean(axis=1))

    def point(self, at: int) -> "Clustered":
        """Of curves: the values at one point."""
        return self._with(self.values[:, at])

    def _with(self, values: Shaped[np.ndarray, " image"]) -> "Clustered":
        return Clustered(values, self.clusters, self.weights)

    @property
    def codes(self) -> Shaped[np.ndarray, " image"]:
        """The clusters as numbers from 0 on."""
        found, codes = np.unique(np.asarray(self.clusters), return_inverse=True)
        return codes if len(found) != 1 else np.arange(len(codes))


def pooled(samples: Sequence["Clustered"]) -> Clustered:
    """Samples of several settings as one, in which each setting counts the same. Clusters of one
    name are one cluster, in whatever setting.

    **Raises:** `ClaimError` for a setting without images.

    !!! example

        >>> few, many = (Clustered(np.full(n, n == 2), range(n)) for n in (2, 8))
        >>> pooled([few, many]).weights.round(4).tolist()[:3]
        [0.25, 0.25, 0.0625]
    """
    if not samples or not min(map(len, samples)):
        raise ClaimError("Settings were pooled of which one has no images. Leave it out.")
    weights = [np.ones(len(each)) if each.weights is None else each.weights for each in samples]
    return Clustered(
        np.concatenate([each.values for each in samples]),
        np.concatenate([np.asarray(each.clusters).astype(str) for each in samples]),
        np.concatenate([each / each.sum() / len(samples) for each in weights]),
    )


Seen = Bool[np.ndarray, " image"] | Clustered
Sample = Seen | Totals
Values = Float[np.ndarray, " image"] | Clustered


def seen(sample: Shaped[np.ndarray, "image *point"] | Clustered) -> Clustered:
    """A sample with its clusters; without any, each image is one of its own.

    !!! example

        >>> seen(np.array([True, False])).codes.tolist()
        [0, 1]
    """
    return sample if isinstance(sample, Clustered) else Clustered(sample, np.arange(len(sample)))


def is_clustered(sample: Seen | Values) -> bool:
    """Whether any images share a cluster.

    !!! example

        >>> is_clustered(Clustered(np.ones(3), ["dog", "dog", "cat"])), is_clustered(np.ones(3))
        (True, False)
    """
    codes = seen(sample).codes
    return len(np.unique(codes)) < len(codes)


def as_numbers(sample: Clustered) -> Clustered:
    """A sample whose bools are 0.0 or 1.0.

    !!! example

        >>> as_numbers(seen(np.array([True, False]))).values.tolist()
        [1.0, 0.0]
    """
    return Clustered(sample.values.astype(np.float64), sample.clusters, sample.weights)


def totals(sample: Sample) -> Totals:
    """On how many images it happened, and of how many, whatever they count for.

    **Raises:** `ClaimError` for anything but a bool for each image.

    !!! example

        >>> totals(np.array([True, False, True]))
        Totals(count=2, n=3)
    """
    if isinstance(sample, Totals):
        return sample
    values = seen(sample).values
    if values.dtype != bool or values.ndim != 1:
        raise ClaimError(
            f"Images were to be counted, and {values.dtype} numbers of shape {values.shape} were "
            "given. Pass a bool for each image: whether it happened on it."
        )
    return Totals(int(values.sum()), len(values))


@dataclass(frozen=True)
class Mean:
    """A printed mean over images without its spread: the widest one within its bounds is assumed
    (Bhatia-Davis).

    **Raises:** `ClaimError` for a mean outside its bounds, and of no images.
    """

    value: Number
    n: int
    bounds: Range

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not low <= self.value <= high or self.n < 1:
            raise ClaimError(
                f"A mean of {self.value:g} over {self.n} images is none within {low:g} to {high:g}."
            )

    def without_one(self) -> "list[Mean]":
        """The means that could be left without the largest or the smallest value."""
        if self.n < 2:
            return []
        left = [(self.n * self.value - end) / (self.n - 1) for end in self.bounds]
        return [
            Mean(min(max(value, self.bounds[0]), self.bounds[1]), self.n - 1, self.bounds)
            for value in left
        ]


def neighbours(counted: Totals) -> list[Totals]:
    """The counts that one image more or less would make.

    !!! example

        >>> neighbours(Totals(0, 39))
        [Totals(count=1, n=39)]
    """
    counts = (counted.count - 1, counted.count + 1)
    return [Totals(count, counted.n) for count in counts if 0 <= count <= counted.n]


def without_an_extreme(
    sample: Clustered, by: Float[np.ndarray, " image"] | None = None
) -> list[Clustered]:
    """The sample without the image of the largest value, and without that of the smallest.

    **Arguments:** `by`: what to rank images by, the values where None is given.

    !!! example

        >>> [each.values.tolist() for each in without_an_extreme(seen(np.array([0.5, 0.1, 0.9])))]
        [[0.5, 0.1], [0.5, 0.9]]
    """
    rank = sample.values if by is None else by
    if len(sample) < 2:
        return []
    return [_without(sample, int(at)) for at in (rank.argmax(), rank.argmin())]


def _without(sample: Clustered, at: int) -> Clustered:
    weights = None if sample.weights is None else np.delete(sample.weights, at)
    clusters = np.delete(np.asarray(sample.clusters), at)
    return Clustered(np.delete(sample.values, at, axis=0), clusters, weights)


def check_number(
    what: str, value: Number, low: Number = -math.inf, high: Number = math.inf
) -> None:
    """Refuse a bound that is not finite, or lies outside two others.

    **Raises:** `ClaimError` that names it.

    !!! example

        >>> check_number("margin", 0.1, 0, 1)
    """
    if not (math.isfinite(value) and low <= value <= high):
        raise ClaimError(
            f"A {what} of {value:g} means nothing here. Pass a finite number"
            + (f" from {low:g} to {high:g}." if math.isfinite(high - low) else ".")
        )


def check_values(values: Float[np.ndarray, "image *rest"], bounds: Range) -> None:
    """Refuse values that leave their bounds, and no values.

    **Raises:** `ClaimError` that names one of them.

    !!! example

        >>> check_values(np.array([0.2, 0.9]), bounds=(0.0, 1.0))
    """
    low, high = bounds
    if not low < high:
        raise ClaimError(
            f"Bounds ({low:g}, {high:g}) leave no room for values. Pass the lower one first."
        )
    wrong = values[~((values >= low) & (values <= high))]
    if not values.size or wrong.size:
        what = f"the value {wrong[0]:g}" if wrong.size else "no values"
        raise ClaimError(
            f"A mean over images was asked of {what}; expected numbers from {low:g} to {high:g}."
        )
