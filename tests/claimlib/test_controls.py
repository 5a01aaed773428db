"""Controls: a claimed effect must beat a negative one, a claimed absence must stand beside a
positive one.

Fails if a control that does as much leaves a claim supported, or if any control turns a refutation
into something else.
"""

import numpy as np
import pytest

from claimlib.controls import beside_negative_control, beside_positive_control
from claimlib.samples import Totals
from claimlib.shares import exceeds, negligible
from claimlib.verdicts import REFUTED, SUPPORTED, UNDECIDED


def some(count: int, n: int) -> np.ndarray:
    return np.arange(n) < count


def test_an_effect_beyond_its_control_stays_and_shows_it():
    effect, control = some(90, 100), some(3, 100)
    verdict = beside_negative_control(exceeds(effect, 0.5), effect, control)
    assert verdict.outcome == SUPPORTED
    assert str(verdict) == (
        "supported: 90.0% [82.4%, 95.1%], n = 100, required > 50% (95% interval, p < 0.001); could "
        "have shown >= 61.0%;"
        " control 3.0% of 100, discordant 87:0"
    )


@pytest.mark.parametrize(
    ("control", "why"),
    [
        (
            some(89, 100),
            "the negative control may do as much on these images; the interval includes zero",
        ),
        (some(100, 100), "the negative control does more on these images"),
    ],
)
def test_an_effect_that_its_control_matches_is_undecided_and_says_why(control, why):
    effect = some(90, 100)
    verdict = beside_negative_control(exceeds(effect, 0.5), effect, control)
    assert (verdict.outcome, verdict.why) == (UNDECIDED, why)


def test_counts_and_probabilities_have_negative_controls_too():
    printed = exceeds(Totals(422, 488), 0.5)
    assert beside_negative_control(printed, Totals(422, 488), Totals(2, 488)).outcome == SUPPORTED
    unknown = beside_negative_control(exceeds(Totals(30, 40), 0.5), Totals(30, 40), Totals(24, 40))
    assert unknown.outcome == UNDECIDED
    assert unknown.why.endswith(
        "it depends on which images the two counts share, which is not known"
    )
    drop, other = np.linspace(0.4, 0.9, 40), np.linspace(0.0, 0.1, 40)
    assert beside_negative_control(printed, drop, other).outcome == SUPPORTED
    assert beside_negative_control(printed, other, drop).outcome == UNDECIDED


def test_no_control_rescues_a_refutation_or_decides_what_was_open():
    refuted, undecided = exceeds(some(10, 100), 0.5), exceeds(some(52, 100), 0.5)
    assert beside_negative_control(refuted, some(10, 100), some(0, 100)).outcome == REFUTED
    assert beside_negative_control(refuted, some(10, 100), some(90, 100)).outcome == REFUTED
    kept = beside_negative_control(undecided, some(52, 100), some(52, 100))
    assert (kept.outcome, kept.why) == (UNDECIDED, "the interval includes 50%")


def test_an_absence_needs_a_positive_control_that_shows_an_effect():
    absence = negligible(some(0, 100), 0.1)
    assert beside_positive_control(absence, some(40, 100), 0.1).outcome == SUPPORTED
    assert beside_positive_control(absence, Totals(40, 100), 0.1).control == "control 40.0% of 100"
    blind = beside_positive_control(absence, some(14, 100), 0.1)  # 14 % with a lower bound of 8 %
    assert (blind.outcome, blind.why) == (
        UNDECIDED,
        "the positive control shows no effect beyond 10%",
    )
    assert beside_positive_control(absence, np.zeros(0, bool), 0.1).outcome == UNDECIDED


def test_an_effect_that_was_seen_refutes_an_absence_whatever_its_control():
    assert (
        beside_positive_control(negligible(some(50, 100), 0.1), some(0, 100), 0.1).outcome
        == REFUTED
    )


def test_a_control_that_was_not_printed_is_said_to_be_missing():
    shown, absent = exceeds(Totals(422, 488), 0.5), negligible(Totals(0, 90), 0.1)
    for verdict in (
        beside_negative_control(shown, Totals(422, 488), None),
        beside_positive_control(absent, None, 0.1),
    ):
        assert (verdict.outcome, verdict.control) == (SUPPORTED, "no control was printed")


def test_a_claim_is_as_fragile_as_its_control():
    firm = exceeds(some(40, 40), 0.5)
    assert not firm.fragile
    assert beside_negative_control(
        firm, some(40, 40), some(34, 40)
    ).fragile  # six images apart: five would not do
    assert not beside_negative_control(firm, some(40, 40), some(10, 40)).fragile
    assert beside_negative_control(firm, some(40, 40), some(35, 40)).fragile


def test_no_images_stay_undecided_beside_any_control():
    nobody = np.zeros(0, bool)
    verdict = exceeds(nobody, 0.5)
    assert beside_negative_control(verdict, nobody, nobody) is verdict
    assert beside_positive_control(verdict, nobody, 0.1) is verdict
