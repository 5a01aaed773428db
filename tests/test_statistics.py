"""The rules behind verdicts, on counts with known truth: planted effects are found, nulls are not.

The error rates are computed exactly from the binomial distribution, not simulated.
"""

import numpy as np
import pytest
from scipy.stats import binom

from vlmlib.statistics import Outcome, beside_negative_control, beside_positive_control, exceeds, negligible

SUPPORTED, REFUTED, UNDECIDED = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.UNDECIDED


def rate(rule, bound: float, truth: float, n: int, outcome: Outcome) -> float:
    """The probability of an outcome when the true share is `truth`."""
    hits = [count for count in range(n + 1) if rule(count, n, bound).outcome == outcome]
    return float(binom.pmf(hits, n, truth).sum())


@pytest.mark.parametrize("n", [10, 39, 150])
@pytest.mark.parametrize("bound", [0.1, 0.5, 0.7])
def test_at_the_bound_false_verdicts_stay_within_their_level(n, bound):
    for outcome in (SUPPORTED, REFUTED):
        assert rate(exceeds, bound, bound, n, outcome) <= 0.025
        assert rate(negligible, bound, bound, n, outcome) <= 0.05


def test_planted_effects_are_found_and_nulls_are_not():
    assert rate(exceeds, 0.5, 0.75, 150, SUPPORTED) > 0.99
    assert rate(exceeds, 0.5, 0.25, 150, REFUTED) > 0.99
    assert rate(negligible, 0.1, 0.01, 150, SUPPORTED) > 0.99
    assert rate(negligible, 0.1, 0.3, 150, REFUTED) > 0.99


@pytest.mark.parametrize(("level", "rule"), [(0.95, exceeds), (0.90, negligible)])
@pytest.mark.parametrize("truth", [0.02, 0.3, 0.5, 0.9])
def test_intervals_cover_at_least_nominally(level, rule, truth):
    n = 60
    covered = [count for count in range(n + 1) if (i := rule(count, n, 0.5).interval)[0] <= truth <= i[1]]
    assert binom.pmf(covered, n, truth).sum() >= level


def test_the_papers_own_figures():
    assert exceeds(20, 39, 0.5).outcome == UNDECIDED
    assert exceeds(422, 488, 0.5).outcome == SUPPORTED


def test_no_images_is_undecided():
    verdict = exceeds(0, 0, 0.5)
    assert (verdict.outcome, verdict.n, verdict.why) == (UNDECIDED, 0, "no images are left")
    nobody = np.zeros(0, bool)
    assert beside_negative_control(verdict, nobody, nobody) == beside_positive_control(verdict, nobody, 0.1) == verdict
    assert str(verdict) == "undecided: no images are left, required > 50%"


def some(count: int, n: int) -> np.ndarray:
    return np.arange(n) < count


def test_an_effect_that_its_control_matches_is_undecided_and_says_why():
    effect = some(90, 100)
    assert beside_negative_control(exceeds(90, 100, 0.5), effect, some(3, 100)).outcome == SUPPORTED
    matched = beside_negative_control(exceeds(90, 100, 0.5), effect, some(89, 100))
    assert (matched.outcome, matched.why) == (UNDECIDED, "the negative control does as much on these images")


def test_a_negative_control_does_not_turn_a_refutation_into_support():
    refuted = exceeds(10, 100, 0.5)
    assert beside_negative_control(refuted, some(10, 100), some(0, 100)).outcome == REFUTED


def test_an_absence_needs_a_positive_control_that_shows_an_effect():
    absence = negligible(0, 100, 0.1)
    assert beside_positive_control(absence, some(40, 100), 0.1).outcome == SUPPORTED
    blind = beside_positive_control(absence, some(1, 100), 0.1)
    assert (blind.outcome, blind.why) == (UNDECIDED, "the positive control shows no effect beyond 10%")


def test_a_verdict_prints_itself_in_one_line():
    verdict = beside_negative_control(exceeds(90, 100, 0.5), some(90, 100), some(3, 100))
    assert str(verdict) == (
        "supported: 90.0% [82.4%, 95.1%], n = 100, required > 50% (95% interval); control 3.0% of 100, discordant 87:0"
    )
