"""The rules for shares, on counts with known truth: planted effects are found, nulls are not.

Coverage and error rates are enumerated from the binomial distribution, not simulated. Fails if an
interval covers less than it says, or if a rule decides falsely more often than it says.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from claimlib.errors import ClaimError
from claimlib.intervals import of_difference, of_share
from claimlib.paired import greater
from claimlib.samples import Clustered, Totals
from claimlib.shares import agrees, can_agree, exceeds, exists, negligible, wilson
from claimlib.verdicts import REFUTED, SUPPORTED, UNDECIDED, Outcome


def some(count: int, n: int) -> np.ndarray:
    return np.arange(n) < count


def rate(rule, bound: float, truth: float, n: int, outcome: Outcome) -> float:
    """The probability of an outcome when the true share is `truth`."""
    hits = [count for count in range(n + 1) if rule(Totals(count, n), bound).outcome == outcome]
    return float(binom.pmf(hits, n, truth).sum())


def coverage(intervals: list[tuple[float, float]], n: int, truth: float) -> float:
    low, high = np.array(intervals).T
    return float(binom.pmf(np.arange(n + 1), n, truth)[(low <= truth) & (truth <= high)].sum())


@pytest.mark.parametrize("level", [0.90, 0.95])
def test_exact_intervals_cover_at_least_nominally(level):
    for n in (1, 2, 5, 12, 39, 90, 147, 217):
        intervals = [of_share(count, n).interval(level) for count in range(n + 1)]
        assert (
            min(coverage(intervals, n, truth) for truth in np.linspace(0.005, 0.995, 199)) >= level
        )


def test_exact_intervals_are_clopper_and_pearsons():
    for count, n in [(0, 39), (1, 39), (20, 39), (39, 39), (422, 488)]:
        expected = binomtest(count, n).proportion_ci(0.95, method="exact")
        assert of_share(count, n).interval(0.95) == pytest.approx(
            (expected.low, expected.high), abs=1e-9
        )


def test_wilsons_interval_covers_on_average_and_never_much_less():
    for n in (30, 39, 53, 90, 147, 217, 488):
        intervals = [wilson(Totals(count, n)) for count in range(n + 1)]
        covered = [coverage(intervals, n, truth) for truth in np.linspace(0.05, 0.95, 181)]
        assert np.mean(covered) >= 0.94
        assert min(covered) >= 0.919
    assert wilson(Totals(0, 0)) == (0, 1)


@pytest.mark.parametrize("n", [10, 39, 90])
@pytest.mark.parametrize("bound", [0.1, 0.5, 0.7])
def test_on_the_bound_false_verdicts_stay_within_their_level(n, bound):
    for outcome in (SUPPORTED, REFUTED):
        assert rate(exceeds, bound, bound, n, outcome) <= 0.025
        assert rate(negligible, bound, bound, n, outcome) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.5, 0.8, 0.99])
def test_a_rule_decides_at_the_level_that_it_is_given(level):
    for count in range(0, 91, 6):
        low, high = of_share(count, 90).interval(level)
        for verdict, above in (
            (exceeds(Totals(count, 90), 0.4, level), SUPPORTED),
            (negligible(Totals(count, 90), 0.4, level), REFUTED),
        ):
            assert (verdict.interval, verdict.level) == ((low, high), level)
            assert (verdict.outcome == above) == (low > 0.4)
            assert (verdict.outcome == UNDECIDED) == (low <= 0.4 <= high)
            assert verdict.alpha == pytest.approx((1 - level) / 2)
        verdict = agrees(Totals(count, 90), Totals(400, 1000), 0.2, level)
        low, high = of_difference(Totals(count, 90), Totals(400, 1000)).interval(level)
        assert verdict.interval == (low, high)
        assert (verdict.outcome == SUPPORTED) == (low > -0.2 and high < 0.2)
    bare = exists(some(20, 90), some(14, 90), at_least=5, level=level)
    assert (bare.interval, bare.level) == (of_share(20, 90).interval(level), level)
    assert bare.outcome == greater(some(20, 90), some(14, 90), level=level).outcome


def test_planted_shares_are_found_and_nulls_are_not():
    assert rate(exceeds, 0.5, 0.75, 150, SUPPORTED) > 0.99
    assert rate(exceeds, 0.5, 0.25, 150, REFUTED) > 0.99
    assert rate(exceeds, 0.5, 0.5, 150, UNDECIDED) > 0.95
    assert rate(negligible, 0.1, 0.01, 150, SUPPORTED) > 0.99
    assert rate(negligible, 0.1, 0.3, 150, REFUTED) > 0.99
    assert rate(negligible, 0.1, 0.1, 150, UNDECIDED) > 0.90


@settings(deadline=None)
@given(st.integers(1, 120), st.data())
def test_outcome_interval_and_p_values_say_the_same(n, data):
    counted, bound = Totals(data.draw(st.integers(0, n)), n), data.draw(st.floats(0.02, 0.98))
    for rule, above, alpha in ((exceeds, SUPPORTED, 0.025), (negligible, REFUTED, 0.05)):
        verdict = rule(counted, bound)
        low, high = verdict.interval
        assume(
            min(abs(low - bound), abs(high - bound)) > 1e-9
        )  # an exact tie is decided by rounding
        assert (verdict.outcome == above) == (low > bound)
        assert (verdict.outcome == UNDECIDED) == (low <= bound <= high)
        assert (verdict.outcome == SUPPORTED) == (verdict.p < alpha)
        assert (verdict.outcome == REFUTED) == (verdict.p_against < alpha)
        assert verdict.alpha == alpha


def test_a_boolean_array_is_its_count():
    assert exceeds(some(90, 100), 0.5) == exceeds(Totals(90, 100), 0.5)


def test_the_papers_own_figures():
    undecided = exceeds(Totals(20, 39), 0.5)
    assert (undecided.outcome, undecided.why) == (UNDECIDED, "the interval includes 50%")
    assert exceeds(Totals(422, 488), 0.5).outcome == SUPPORTED


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.floats(0.05, 0.95))
def test_the_detectable_share_is_found_in_four_samples_of_five(n, bound):
    for rule, sign in ((exceeds, ">="), (negligible, "<=")):
        told = rule(Totals(0, n), bound).detectable
        if told == "too few images to show it":
            assert rate(rule, bound, 1.0 if rule is exceeds else 0.0, n, SUPPORTED) == 0
            continue
        assert told.startswith(f"could have shown {sign} ")
        truth = float(told.removesuffix("%").split()[-1]) / 100
        rounding = 0.0005 * n * 1.5  # of the truth as told, in power
        assert rate(rule, bound, truth, n, SUPPORTED) == pytest.approx(0.8, abs=rounding)


def test_fragile_means_that_one_image_changes_the_outcome():
    outcomes = [exceeds(Totals(count, 100), 0.5) for count in range(101)]
    changes = [{each.outcome for each in outcomes[max(0, at - 1) : at + 2]} for at in range(101)]
    assert [each.fragile for each in outcomes] == [len(near) > 1 for near in changes]
    assert sum(each.fragile for each in outcomes) == 4


def test_no_images_is_undecided():
    for verdict in (
        exceeds(np.zeros(0, bool), 0.5),
        negligible(Totals(0, 0), 0.1),
        agrees(Totals(0, 0), Totals(3, 9), 0.1),
    ):
        assert (verdict.outcome, verdict.n, verdict.why) == (UNDECIDED, 0, "no images are left")
    assert exists(np.zeros(0, bool), np.zeros(0, bool), 3).why == "no images are left"


def test_what_is_no_share_or_count_is_refused():
    for rule in (exceeds, negligible):
        with pytest.raises(ClaimError, match="is no share"):
            rule(Totals(1, 2), 50.0)
    with pytest.raises(ClaimError, match=r"Totals\(40, 39\)"):
        Totals(40, 39)


@pytest.mark.parametrize(("ours", "theirs"), [(39, 53)])
def test_agreement_on_the_margin_errs_in_at_most_six_per_cent(ours, theirs):
    """Newcombe's interval aims at five per cent and is not exact."""
    pairs = [
        [(Totals(i, ours), Totals(j, theirs)) for j in range(theirs + 1)] for i in range(ours + 1)
    ]
    ends = np.array([[of_difference(*pair).interval(0.90) for pair in row] for row in pairs])
    inside, outside = (abs(ends) < 0.1).all(-1), (ends > 0.1).all(-1) | (ends < -0.1).all(-1)
    worst, all_ours, all_theirs = 0.0, np.arange(ours + 1), np.arange(theirs + 1)
    for share in np.linspace(0.0, 0.9, 91):
        for first, second in ((share + 0.1, share), (share, share + 0.1)):
            weights = np.outer(
                binom.pmf(all_ours, ours, first), binom.pmf(all_theirs, theirs, second)
            )
            worst = max(worst, weights[inside].sum(), weights[outside].sum())
    assert 0.045 < worst <= 0.06


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_agreement_is_what_its_interval_and_p_values_say(ours, theirs, data):
    sample, printed = (
        Totals(data.draw(st.integers(0, ours)), ours),
        Totals(data.draw(st.integers(0, theirs)), theirs),
    )
    verdict = agrees(sample, printed, 0.1)
    low, high = verdict.interval
    assume(
        min(abs(abs(end) - 0.1) for end in verdict.interval) > 1e-6
    )  # p-values are found to some nine digits
    assert (verdict.outcome == REFUTED) == (low > 0.1 or high < -0.1) == (verdict.p_against < 0.05)
    assert (low > -0.1 and high < 0.1) == (verdict.p < 0.05)
    assert (verdict.outcome == SUPPORTED) == (verdict.p < 0.05 and can_agree(printed, 0.1))


def test_planted_agreement_is_found_and_its_opposite_and_what_is_between():
    printed = Totals(422, 488)
    assert agrees(Totals(130, 150), printed, 0.1).outcome == SUPPORTED
    assert agrees(some(80, 150), printed, 0.1).outcome == REFUTED
    between = agrees(Totals(115, 150), printed, 0.1)  # 10 points below
    assert (between.outcome, between.why) == (UNDECIDED, "the interval crosses the margin")
    assert between.estimate == pytest.approx(115 / 150 - 422 / 488)
    assert between.detectable.endswith(" points")


def test_a_printed_share_that_is_too_coarse_is_told_beforehand():
    coarse = Totals(20, 39)
    assert not can_agree(coarse, 0.1)
    assert not can_agree(Totals(0, 0), 0.1)
    why = (
        "a printed 20 of 39 is too coarse: not even its own share, on any number of images, agrees "
        "to within 10%"
    )
    for ours in (Totals(512, 1000), Totals(512_820, 1_000_000), Totals(20, 39)):
        verdict = agrees(ours, coarse, 0.1)
        assert (verdict.outcome, verdict.why, verdict.detectable) == (
            UNDECIDED,
            why,
            "too few images to show it",
        )
    assert agrees(Totals(950, 1000), coarse, 0.1).outcome == REFUTED
    beside = agrees(
        Totals(500, 10_000), Totals(0, 24), 0.1
    )  # its interval lies inside, and its own share's would not
    assert beside.p < 0.05
    assert beside.outcome == UNDECIDED


def test_whether_a_share_can_be_agreed_with_is_whether_a_huge_sample_does():
    for n in (39, 90, 147):
        for count in range(0, n + 1, 3):
            printed = Totals(count, n)
            low, high = of_difference(Totals(count * 10**6, n * 10**6), printed).interval(0.90)
            assert can_agree(printed, 0.1) == (low > -0.1 and high < 0.1)


def test_a_thing_exists_if_seen_often_enough_and_more_than_beside():
    nothing = some(0, 170)
    found = exists(some(12, 170), nothing, at_least=5)
    assert (found.outcome, found.control) == (SUPPORTED, "control 0.0% of 170, discordant 12:0")
    assert exists(Totals(12, 170), Totals(0, 170), at_least=5).outcome == SUPPORTED
    too_few = exists(some(6, 170), nothing, at_least=7)
    assert (too_few.outcome, too_few.why) == (UNDECIDED, "seen on 6 images and not on 7")
    beside = exists(some(12, 170), some(11, 170), at_least=5)
    assert beside.outcome == UNDECIDED
    assert (
        beside.why
        == "not shown to be more than under the control: the interval includes 0.0 points"
    )


def test_not_to_have_seen_a_thing_refutes_nothing():
    """Only a control that shows it more does."""
    nothing = some(0, 170)
    assert [exists(nothing, nothing, k).outcome for k in (1, 4, 50)] == [UNDECIDED] * 3
    assert exists(nothing[:3], nothing[:3], at_least=3).outcome == UNDECIDED
    assert exists(some(20, 170), some(60, 170), at_least=5).outcome == REFUTED


def test_existence_is_fragile_where_one_image_more_would_do():
    nothing = some(0, 170)
    assert exists(some(9, 170), nothing, at_least=10).fragile
    assert exists(some(10, 170), nothing, at_least=10).fragile
    assert not exists(some(14, 170), nothing, at_least=10).fragile


def test_agreement_is_not_asked_of_images_that_share_clusters():
    hit = np.arange(40) < 20
    with pytest.raises(ClaimError, match="share clusters"):
        agrees(Clustered(hit, np.arange(40) // 2), Totals(20, 40), 0.2)
    assert agrees(Clustered(hit, np.arange(40)), Totals(20, 40), 0.3).outcome == SUPPORTED
