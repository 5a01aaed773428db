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

    - `rule`: from samples, bounds and level to a verdict.
    - `bounds`: the names of those that it takes from claims.toml, and what each may be.
    - `sampled`: whether it has a level; what is counted and not sampled has none.
    """

    rule: Callable[..., Verdict]
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
    "exceeds": Kind(exceeds, {"threshold": SHARE}),
    "negligible": Kind(negligible, {"margin": SHARE}),
    "greater": Kind(greater, {"margin": SHARE}),
    "no-more": Kind(no_more, {"margin": SHARE}),
    "minor": Kind(minor, {"part": PART}),
    "agrees": Kind(agrees, {"margin": SHARE}),
    "reproduces": Kind(reproduces, {"margin": SHARE}),
    "repeats": Kind(repeats, {"margin": SHARE}),
    "exists": Kind(exists, {"at_least": WHOLE}),
    "increases": Kind(increases, {"margin": FINITE}),
    "peaks": Kind(peaks, {"low": FINITE, "high": FINITE}),
    "within": Kind(within, {"low": FINITE, "high": FINITE}),
    "near": Kind(near, {"margin": ABOVE_ZERO}),
    "within-factor": Kind(within_factor, {"factor": ABOVE_ONE}),
    "above-another": Kind(above_another, {"margin": FINITE}),
    "counted-above": Kind(counted_above, {"threshold": FINITE}, sampled=False),
    "counted-equal": Kind(counted_equal, {"expected": FINITE}, sampled=False),
}
