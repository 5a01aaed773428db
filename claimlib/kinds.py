"""Kinds of claims: which rule decides one, and which bounds it takes from claims.toml."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from claimlib.curves import above_another, increases, near, peaks, within, within_factor
from claimlib.paired import greater, minor, no_more
from claimlib.shares import agrees, exceeds, exists, negligible
from claimlib.tables import repeats, reproduces
from claimlib.verdicts import Verdict, counted_above, counted_equal


@dataclass(frozen=True)
class Bound:
    """What a bound may be: `expected`, in words, and whether a value `holds` to it."""

    expected: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Kind:
    """A row of `KINDS`.

    - `rule`: from samples, bounds and level to a verdict; `supports`: when, in words.
    - `bounds`: the names of those that it takes from claims.toml, and what each may be.
    - `sampled`: whether it has a level; what is counted and not sampled has none.
    """

    rule: Callable[..., Verdict]
    supports: str
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    sampled: bool = True


def is_number(value: Any) -> bool:
    """Whether a value of a TOML file is a finite number.

    !!! example

        >>> is_number(0.5), is_number(True), is_number(float("nan"))
        (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


SHARE = Bound("a share between 0 and 1", lambda value: is_number(value) and 0 <= value <= 1)
PART = Bound("a share above 0 and up to 1", lambda value: is_number(value) and 0 < value <= 1)
FINITE = Bound("a finite number", is_number)
ABOVE_ZERO = Bound("a number above zero", lambda value: is_number(value) and value > 0)
ABOVE_ONE = Bound("a number above one", lambda value: is_number(value) and value > 1)
WHOLE = Bound(
    "a whole number above zero",
    lambda value: is_number(value) and isinstance(value, int) and value > 0,
)
LEVEL = Bound(
    "a level strictly between 0 and 1, such as 0.95",
    lambda value: is_number(value) and 0 < value < 1,
)

KINDS: dict[str, Kind] = {
    "exceeds": Kind(
        exceeds,
        "the exact interval of a share lies above the threshold",
        {"threshold": SHARE},
    ),
    "negligible": Kind(
        negligible,
        "the exact interval of the share that changed lies inside the margin",
        {"margin": SHARE},
    ),
    "greater": Kind(
        greater,
        "more happens than under the other arm, on the same images, by more than the margin: sign "
        "flips and the score test",
        {"margin": SHARE},
    ),
    "no-more": Kind(
        no_more,
        "no more happens than under the other arm, up to the margin, where that leaves room for "
        "more",
        {"margin": SHARE},
    ),
    "minor": Kind(
        minor,
        "less happens than that part of what happens under the other arm",
        {"part": PART},
    ),
    "agrees": Kind(
        agrees,
        "Newcombe's interval of the difference to a printed share lies inside the margin",
        {"margin": SHARE},
    ),
    "reproduces": Kind(
        reproduces,
        "all cells of a table together lie within the margin (root mean square) of those printed "
        "of other images",
        {"margin": SHARE},
    ),
    "repeats": Kind(
        repeats,
        "all cells together lie within the margin of those printed of the very same images, beyond "
        "the answers that flip when a run is repeated",
        {"margin": SHARE},
    ),
    "exists": Kind(
        exists,
        "at least so many images show it, and more than the control",
        {"at_least": WHOLE},
    ),
    "increases": Kind(
        increases,
        "a curve rises along an axis by more than the margin, and more than its points in any "
        "other order",
        {"margin": FINITE},
    ),
    "peaks": Kind(
        peaks,
        "nearly all resamples of the images have their maximum between the two places",
        {"low": FINITE, "high": FINITE},
    ),
    "within": Kind(
        within,
        "the interval of a mean lies between two numbers",
        {"low": FINITE, "high": FINITE},
    ),
    "near": Kind(
        near,
        "the interval of a mean lies within the margin around a printed value",
        {"margin": ABOVE_ZERO},
    ),
    "within-factor": Kind(
        within_factor,
        "the interval of a mean lies between a printed value divided and multiplied by the factor",
        {"factor": ABOVE_ONE},
    ),
    "above-another": Kind(
        above_another,
        "a mean is greater than one of other images, by more than the margin",
        {"margin": FINITE},
    ),
    "counted-above": Kind(
        counted_above,
        "a count, which is no sample, lies above the threshold",
        {"threshold": FINITE},
        sampled=False,
    ),
    "counted-equal": Kind(
        counted_equal,
        "a count, which is no sample, is the expected one",
        {"expected": FINITE},
        sampled=False,
    ),
}
