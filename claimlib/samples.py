"""What was measured: on which images it happened, or on how many, or how strongly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

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


Sample = Bool[np.ndarray, " image"] | Totals


def totals(sample: Sample) -> Totals:
    """On how many images it happened, and of how many.

    !!! example

        >>> totals(np.array([True, False, True]))
        Totals(count=2, n=3)
    """
    return sample if isinstance(sample, Totals) else Totals(int(sample.sum()), len(sample))


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


def without_an_extreme(values: Float[np.ndarray, " image"]) -> list[Float[np.ndarray, " kept"]]:
    """The values without the largest, and those without the smallest.

    !!! example

        >>> [each.tolist() for each in without_an_extreme(np.array([0.5, 0.1, 0.9]))]
        [[0.5, 0.1], [0.5, 0.9]]
    """
    return (
        [np.delete(values, values.argmax()), np.delete(values, values.argmin())]
        if len(values) > 1
        else []
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
