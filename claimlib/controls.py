"""Controls: what a verdict must stand beside before it counts."""

import math
from dataclasses import replace

from claimlib.errors import ClaimError
from claimlib.paired import Effect, greater
from claimlib.samples import Mean, Number, Sample, Seen, seen, totals
from claimlib.shares import exceeds, worth
from claimlib.verdicts import (
    CONTROL_FAILED,
    DID_NOTHING,
    FEW_CLUSTERS,
    FEW_IMAGES,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Verdict,
    amount,
    percent,
    tail,
)

NONE, NO_IMAGES = "no control was printed", "control on no images"


def beside_negative_control(
    verdict: Verdict,
    effect: Effect | Mean,
    control: Effect | None,
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
        'the negative control may do as much on these images; the interval includes 0.0 points'
    """
    if math.isnan(verdict.estimate):
        return verdict
    if control is None:
        return replace(verdict, control=NONE)
    if isinstance(effect, Mean):
        raise ClaimError("A printed mean was held against a control. Pass None where none is.")
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
    if math.isnan(verdict.estimate):
        return verdict
    if control is None:
        return replace(verdict, control=NONE)
    found = worth(control, tail(0.95))
    shown = f"control {found.share:.1%} of {found.seen}" if found.seen else NO_IMAGES
    why = f"the positive control shows no effect beyond {percent(margin)}"
    return _beside(verdict, exceeds(control, margin), shown, why)


def beside_another(verdict: Verdict, control: Verdict, what: str) -> Verdict:
    """Hold a verdict against a control that has a verdict of its own, such as of `greater`.

    Unless the control is supported, a supported verdict becomes undecided. A refuted one stays.

    **Arguments:** `what`: the control, in words.

    !!! example

        >>> from claimlib.shares import negligible
        >>> nothing, some = np.zeros(90, bool), np.arange(90) < 30
        >>> beside_another(negligible(nothing, 0.1), greater(some, nothing, 0.05), "all").outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    if math.isnan(verdict.estimate):
        return verdict
    shown = f"control {amount(control.estimate, control.unit)}: {control.outcome}"
    shown = NO_IMAGES if math.isnan(control.estimate) else shown
    return _beside(verdict, control, shown, f"the control is not shown: {what}")


def _beside(verdict: Verdict, beside: Verdict, shown: str, why: str) -> Verdict:
    verdict = replace(verdict, control=shown)
    if verdict.outcome != SUPPORTED:
        return verdict
    if beside.outcome == SUPPORTED:
        return replace(verdict, fragile=verdict.fragile or beside.fragile)
    few = beside.reason in (FEW_IMAGES, FEW_CLUSTERS) and beside.p < beside.p_against
    cause = beside.reason if few else CONTROL_FAILED
    return _void(verdict, why, cause, fragile=beside.fragile)


def _void(verdict: Verdict, why: str, cause: str, fragile: bool) -> Verdict:
    """Undecided, and so on average, too."""
    average = verdict.on_average
    if average and average.outcome == SUPPORTED:
        average = replace(average, outcome=UNDECIDED, why=why, cause=cause)
    return replace(
        verdict, outcome=UNDECIDED, why=why, cause=cause, fragile=fragile, on_average=average
    )


def where_alive(verdict: Verdict, reached: Seen | None, more_than: Number = 0.5) -> Verdict:
    """Hold a verdict against a check that its own intervention did something at all on these
    images.

    Unless it reached what it acts on in more than that share of the images (`exceeds`), whatever
    was found is undecided: an instrument that does nothing shows nothing.

    **Arguments:** `reached`: on which images what the intervention acts on was changed, such as the
    hidden states at the targets of a blocked edge; None where a paper printed no such check.
    `more_than`: half of the images, or fewer where a living intervention need not show in each.

    !!! example

        >>> from claimlib.shares import negligible
        >>> nothing = negligible(np.zeros(90, bool), 0.1)
        >>> where_alive(nothing, np.ones(90, bool)).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> where_alive(nothing, np.zeros(90, bool)).why
        'the intervention did nothing on 90 of 90 images'
    """
    if math.isnan(verdict.estimate) or reached is None:
        return verdict
    alive, n = totals(reached).count, len(seen(reached))
    acts = exceeds(reached, more_than)
    if acts.outcome == SUPPORTED:
        return replace(
            verdict, dead=max(verdict.dead, n - alive), fragile=verdict.fragile or acts.fragile
        )
    why, cause = f"the intervention did nothing on {n - alive} of {n} images", DID_NOTHING
    if n and seen(reached).values.mean() > more_than:
        why, cause = f"its intervention did something on {alive} images, which are few", FEW_IMAGES
    if not n:
        why, cause = "its intervention was made on no image", DID_NOTHING
    return _void(replace(verdict, dead=n - alive), why, cause, fragile=False)
