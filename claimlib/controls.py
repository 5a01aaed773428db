"""Controls: what a verdict must stand beside before it counts."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from claimlib.paired import greater
from claimlib.samples import Mean, Number, Sample, totals
from claimlib.shares import exceeds
from claimlib.verdicts import REFUTED, SUPPORTED, UNDECIDED, Verdict

NONE = "no control was printed"


def beside_negative_control(
    verdict: Verdict,
    effect: Sample | Float[np.ndarray, " image"] | Mean,
    control: Sample | Float[np.ndarray, " image"] | None,
) -> Verdict:
    """Hold a claimed effect against its negative control on the same images.

    Unless the effect is `greater` than the control, a supported verdict becomes undecided. A
    refuted one stays: no control rescues it.

    **Arguments:** `control`: None where a paper printed none (nor did it for a printed `Mean`); the
    verdict stands, and says so.

    !!! example

        >>> hit, miss = np.ones(20, bool), np.zeros(20, bool)
        >>> beside_negative_control(exceeds(hit, 0.5), hit, miss).control
        'control 0.0% of 20, discordant 20:0'
        >>> beside_negative_control(exceeds(hit, 0.5), hit, hit).why
        'the negative control may do as much on these images; the interval includes zero'
    """
    if not verdict.n:
        return verdict
    if control is None or isinstance(effect, Mean):
        return replace(verdict, control=NONE)
    beside = greater(effect, control)
    does = "does more" if beside.outcome == REFUTED else "may do as much"
    why = "; ".join(filter(None, [f"the negative control {does} on these images", beside.why]))
    return _beside(verdict, beside, beside.control, why)


def beside_positive_control(verdict: Verdict, control: Sample | None, margin: Number) -> Verdict:
    """Hold a claimed absence against a positive control, which must show an effect.

    Unless the lower end of the exact 95 % interval of the control's share lies above the margin, so
    that this measurement would have shown an effect of that size, a supported verdict becomes
    undecided. A refuted one stays: an effect was seen.

    **Arguments:** `control`: None where a paper printed none; the verdict stands, and says so.

    !!! example

        >>> from claimlib.shares import negligible
        >>> nothing = np.zeros(50, bool)
        >>> beside_positive_control(negligible(nothing, 0.1), nothing, 0.1).why
        'the positive control shows no effect beyond 10%'
    """
    if not verdict.n:
        return verdict
    if control is None:
        return replace(verdict, control=NONE)
    counted = totals(control)
    shown = f"control {counted.share:.1%} of {counted.n}" if counted.n else "control on no images"
    why = f"the positive control shows no effect beyond {margin:.0%}"
    return _beside(verdict, exceeds(control, margin), shown, why)


def _beside(verdict: Verdict, beside: Verdict, shown: str, why: str) -> Verdict:
    verdict = replace(verdict, control=shown)
    if verdict.outcome != SUPPORTED:
        return verdict
    if beside.outcome == SUPPORTED:
        return replace(verdict, fragile=verdict.fragile or beside.fragile)
    return replace(verdict, outcome=UNDECIDED, why=why, fragile=beside.fragile)
