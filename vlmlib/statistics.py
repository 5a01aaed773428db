"""Verdicts: from counts to supported, refuted or undecided, by rules that are written down once.

Every rule here is about the share of images on which something happened, and rests on the exact (Clopper-Pearson)
interval of a binomial share.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from jaxtyping import Bool
from scipy.stats import binomtest


class Outcome(StrEnum):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Verdict:
    """What a check found: a share with its interval (of that `level`); `why` explains an undecided."""

    outcome: Outcome
    estimate: float
    interval: tuple[float, float]
    level: float
    n: int
    required: str
    control: str = ""
    why: str = ""

    def __str__(self) -> str:
        if not self.n:
            return f"{self.outcome}: {self.why}, required {self.required}"
        low, high = self.interval
        line = (
            f"{self.outcome}: {self.estimate:.1%} [{low:.1%}, {high:.1%}], n = {self.n}, required {self.required}"
            f" ({self.level:.0%} interval)"
        )
        return "; ".join(part for part in (line, self.control, self.why) if part)


def exceeds(count: int | np.integer, n: int, threshold: float) -> Verdict:
    """Is the share `count / n` greater than a threshold?

    Supported if the lower bound of the 95 % interval lies above the threshold, refuted if the upper bound lies below.

    !!! example

        >>> str(exceeds(422, 488, 0.5))
        'supported: 86.5% [83.1%, 89.4%], n = 488, required > 50% (95% interval)'
        >>> exceeds(20, 39, 0.5).outcome
        <Outcome.UNDECIDED: 'undecided'>
    """
    return _decide(int(count), n, level=0.95, bound=threshold, above=Outcome.SUPPORTED, required=f"> {threshold:.0%}")


def negligible(count: int | np.integer, n: int, margin: float) -> Verdict:
    """Is the share `count / n`, which an intervention changed, smaller than a margin (equivalence)?

    Supported if the upper bound of the 90 % interval lies below the margin, refuted if the lower bound lies above:
    one-sided tests at 5 %.

    !!! example

        >>> str(negligible(1, 100, 0.1))
        'supported: 1.0% [0.1%, 4.7%], n = 100, required < 10% (90% interval)'
    """
    return _decide(int(count), n, level=0.90, bound=margin, above=Outcome.REFUTED, required=f"< {margin:.0%}")


def beside_negative_control(
    verdict: Verdict, effect: Bool[np.ndarray, " image"], control: Bool[np.ndarray, " image"]
) -> Verdict:
    """Hold a claimed effect against its negative control on the same images.

    Of the images on which only one of the two changed the answer, significantly more than half must be the effect's
    (exact McNemar: the 95 % interval of that share lies above one half). Otherwise the verdict is undecided.

    !!! example

        >>> hit, miss = np.ones(20, bool), np.zeros(20, bool)
        >>> beside_negative_control(exceeds(20, 20, 0.5), hit, miss).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> beside_negative_control(exceeds(20, 20, 0.5), hit, hit).outcome
        <Outcome.UNDECIDED: 'undecided'>
    """
    if not verdict.n:
        return verdict
    only_effect, only_control = int((effect & ~control).sum()), int((control & ~effect).sum())
    shown = f"control {_share(control)}, discordant {only_effect}:{only_control}"
    if _decide(only_effect, only_effect + only_control, 0.95, 0.5, Outcome.SUPPORTED, "").outcome == Outcome.SUPPORTED:
        return replace(verdict, control=shown)
    why = "the negative control does as much on these images"
    return replace(verdict, outcome=Outcome.UNDECIDED, control=shown, why=why)


def beside_positive_control(verdict: Verdict, control: Bool[np.ndarray, " image"], margin: float) -> Verdict:
    """Hold a claimed absence against a positive control, which must show an effect.

    The lower bound of the 95 % interval of the control's share must lie above the margin: only then would this
    measurement have shown an effect of that size. Otherwise the verdict is undecided.

    !!! example

        >>> beside_positive_control(negligible(0, 50, 0.1), np.zeros(50, bool), 0.1).why
        'the positive control shows no effect beyond 10%'
    """
    if not verdict.n:
        return verdict
    shown = f"control {_share(control)}"
    if exceeds(int(control.sum()), len(control), margin).outcome == Outcome.SUPPORTED:
        return replace(verdict, control=shown)
    why = f"the positive control shows no effect beyond {margin:.0%}"
    return replace(verdict, outcome=Outcome.UNDECIDED, control=shown, why=why)


def _share(happened: Bool[np.ndarray, " image"]) -> str:
    return f"{happened.mean():.1%} of {len(happened)}"


def _decide(count: int, n: int, level: float, bound: float, above: Outcome, required: str) -> Verdict:
    """`above` if the interval of the share lies above the bound, its opposite if below, else undecided."""
    if n == 0:
        return Verdict(Outcome.UNDECIDED, float("nan"), (0.0, 1.0), level, 0, required, why="no images are left")
    interval = binomtest(count, n).proportion_ci(level, method="exact")
    low, high = float(interval.low), float(interval.high)
    outcome = Outcome.UNDECIDED
    if low > bound:
        outcome = above
    elif high < bound:
        outcome = Outcome.REFUTED if above is Outcome.SUPPORTED else Outcome.SUPPORTED
    return Verdict(outcome, count / n, (low, high), level, n, required)
