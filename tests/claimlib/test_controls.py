"""Controls: a claimed effect must beat a negative one, a claimed absence must stand beside a
positive one, and neither counts where the intervention did nothing.

Fails if a control that does as much leaves a claim supported, if any control turns a refutation
into something else, or if an instrument that is dead shows anything.
"""

import numpy as np
import pytest

from claimlib.controls import (
    beside_another,
    beside_negative_control,
    beside_positive_control,
    where_alive,
)
from claimlib.curves import within
from claimlib.errors import ClaimError
from claimlib.paired import greater
from claimlib.samples import Clustered, Mean, Totals
from claimlib.shares import exceeds, negligible
from claimlib.verdicts import REFUTED, SUPPORTED, UNDECIDED, counted_above, in_every_setting


def some(count: int, n: int) -> np.ndarray:
    return np.arange(n) < count


def test_an_effect_beyond_its_control_stays_and_shows_it():
    effect, control = some(90, 100), some(3, 100)
    verdict = beside_negative_control(exceeds(effect, 0.5), effect, control)
    assert verdict.outcome == SUPPORTED
    assert str(verdict) == (
        "supported: 90.0% [82.4%, 95.1%], n = 100, required > 50% (95% interval, p < 0.001); could "
        "have shown >= 64.5%;"
        " control 3.0% of 100, discordant 87:0"
    )


@pytest.mark.parametrize(
    ("control", "why"),
    [
        (
            some(89, 100),
            "the negative control may do as much on these images; the interval includes 0.0 points",
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


def test_a_control_with_a_verdict_of_its_own_must_be_supported():
    absence, moved = negligible(some(0, 100), 0.1), some(40, 100)
    shown = beside_another(absence, greater(moved, some(5, 100), 0.05), "all layers")
    assert (shown.outcome, shown.control) == (SUPPORTED, "control 35.0 points: supported")
    failed = beside_another(absence, greater(some(8, 100), some(5, 100), 0.05), "all layers")
    assert (failed.outcome, failed.cause) == (UNDECIDED, "control failed")
    assert failed.why == "the control is not shown: all layers"
    refuted = negligible(some(50, 100), 0.1)
    assert beside_another(refuted, greater(moved, moved), "all layers").outcome == REFUTED


@pytest.mark.parametrize("count", [0, 100])
def test_what_a_dead_intervention_shows_is_undecided_whatever_it_is(count):
    found = negligible(some(count, 100), 0.1)
    assert found.outcome != UNDECIDED
    dead = where_alive(found, some(3, 100))
    assert (dead.outcome, dead.dead, dead.cause) == (UNDECIDED, 97, "did nothing")
    assert dead.why == "the intervention did nothing on 97 of 100 images"
    assert dead.estimate == found.estimate


def test_what_a_living_intervention_shows_stays():
    for found in (negligible(some(0, 100), 0.1), negligible(some(100, 100), 0.1)):
        alive = where_alive(found, some(96, 100))
        assert (alive.outcome, alive.dead) == (found.outcome, 4)


def test_acting_on_about_half_of_the_images_is_not_enough():
    found = negligible(some(0, 100), 0.1)
    assert where_alive(found, some(52, 100)).outcome == UNDECIDED
    assert where_alive(found, some(65, 100)).outcome == SUPPORTED


def test_where_no_check_was_printed_a_verdict_stays():
    found = negligible(Totals(0, 100), 0.1)
    assert where_alive(found, None) is found
    nobody = exceeds(np.zeros(0, bool), 0.5)
    assert where_alive(nobody, np.zeros(0, bool)) is nobody


def test_an_intervention_that_was_tried_on_no_image_is_not_alive():
    assert where_alive(negligible(some(0, 90), 0.1), np.zeros(0, bool)).outcome == UNDECIDED


def test_categories_count_for_an_intervention_too():
    """It reached all dogs, and nothing else."""
    found, reached = negligible(some(0, 100), 0.1), some(65, 100)
    alone = where_alive(found, Clustered(reached, np.r_[np.zeros(65), np.arange(1, 36)]))
    assert alone.outcome == UNDECIDED


@pytest.mark.parametrize("n", [2, 5])
def test_a_living_intervention_on_few_images_is_not_called_dead(n):
    found = where_alive(negligible(some(0, 90), 0.1), some(n, n))
    assert (found.outcome, found.reason, found.dead) == (UNDECIDED, "too few images", 0)
    assert f"did something on {n} images, which are few" in str(found)
    dead = where_alive(negligible(some(0, 90), 0.1), some(0, n))
    assert dead.reason == "did nothing"


def test_a_control_around_all_settings_takes_the_average_along():
    """An instrument that does nothing supports no average, and says why."""
    nothing = some(0, 90)
    part = negligible(nothing, 0.1)
    whole = in_every_setting({"a": part, "b": part}, on_average=part)
    for found, reason in (
        (where_alive(whole, some(0, 90)), "did nothing"),
        (beside_positive_control(whole, nothing, 0.1), "control failed"),
        (beside_negative_control(whole, nothing, nothing), "control failed"),
        (beside_another(whole, greater(nothing, nothing, 0.05), "all"), "control failed"),
    ):
        assert (found.outcome, found.reason) == (UNDECIDED, reason)
        assert found.on_average is not None
        assert (found.on_average.outcome, found.on_average.reason) == (UNDECIDED, reason)


def test_what_was_counted_stands_beside_controls_too():
    counted = counted_above(0.99, 0.95)
    assert where_alive(counted, some(0, 90)).reason == "did nothing"
    assert beside_positive_control(counted, some(0, 90), 0.1).reason == "control failed"


def test_a_printed_mean_has_no_control_on_images():
    mean = Mean(25.0, 170, (0, 33))
    found = within(mean, 16, 33)
    assert beside_negative_control(found, mean, None).control == "no control was printed"
    with pytest.raises(ClaimError, match="Pass None where none is"):
        beside_negative_control(found, mean, some(3, 170))


def test_a_control_that_few_images_tell_apart_has_not_failed():
    """Six of eight beside one of eight; the same beside as many, or beside more."""
    effect = some(60, 80)
    found = exceeds(effect, 0.3)
    for control, reason in ((1, "too few images"), (6, "control failed"), (7, "control failed")):
        few = beside_negative_control(found, some(6, 8), some(control, 8))
        assert (few.outcome, few.reason) == (UNDECIDED, reason)
    positive = greater(some(6, 8), some(1, 8), margin=0.02)
    assert beside_another(negligible(some(0, 90), 0.1), positive, "all").reason == "too few images"
    shown = greater(some(1, 8), some(6, 8), margin=0.02)
    assert beside_another(negligible(some(0, 90), 0.1), shown, "all").reason == "control failed"
