"""Arm against arm, on counts with known truth.

False verdicts are enumerated from the multinomial distribution of small samples; counts without
their images are compared with every sample that has them. Fails if equal arms are told apart too
often, if a verdict on counts contradicts that on the images, or if it is undecided where all images
would agree.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.stats import binom, binomtest, bootstrap, multinomial

from claimlib.errors import ClaimError
from claimlib.paired import _sum_of, greater
from claimlib.samples import Totals
from claimlib.verdicts import REFUTED, SUPPORTED, UNDECIDED

Arms = tuple[np.ndarray, np.ndarray]


def arms(only_effect: int, only_control: int, n: int, both: int = 0) -> Arms:
    at = np.arange(n)
    common = at >= n - both
    return (at < only_effect) | common, (
        (at >= only_effect) & (at < only_effect + only_control)
    ) | common


@pytest.mark.parametrize("n", [8, 18])
def test_equal_arms_are_told_apart_in_at_most_five_per_cent_of_samples(n):
    tables = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    outcomes = np.array([greater(*arms(b, c, n)).outcome for b, c in tables])
    counts = [(b, c, n - b - c) for b, c in tables]
    for discordant in (0.1, 0.4, 0.7, 1.0):
        weights = multinomial.pmf(counts, n, [discordant / 2, discordant / 2, 1 - discordant])
        assert weights[outcomes == SUPPORTED].sum() <= 0.025
        assert weights[outcomes == REFUTED].sum() <= 0.025
        assert weights.sum() == pytest.approx(1)


def test_a_planted_difference_is_found_either_way_and_a_null_is_not():
    assert greater(*arms(20, 4, 60)).outcome == SUPPORTED
    assert greater(*arms(4, 20, 60)).outcome == REFUTED
    null = greater(*arms(12, 11, 60))
    assert (null.outcome, null.why) == (UNDECIDED, "the interval includes zero")
    assert greater(*arms(0, 0, 60, both=30)).outcome == UNDECIDED


def test_the_exact_test_is_the_stricter_of_the_two_and_both_must_agree():
    for n in (10, 40):
        for b in range(1, 12):
            for c in range(0, min(12, n - b)):
                verdict = greater(*arms(b, c, n))
                assert verdict.p < 0.025 or verdict.outcome != SUPPORTED
                assert verdict.outcome != SUPPORTED or verdict.interval[0] > 0
    five = greater(*arms(5, 0, 40))
    assert five.interval[0] > 0
    assert (five.outcome, five.p, five.why) == (
        UNDECIDED,
        2**-5,
        "the bootstrap alone excludes zero",
    )


@pytest.mark.parametrize(("b", "c", "n"), [(20, 4, 60), (9, 0, 40), (30, 33, 150)])
def test_the_interval_is_the_paired_bootstraps(b, c, n):
    effect, control = arms(b, c, n)
    drawn = bootstrap(
        (effect.astype(float) - control,), np.mean, method="percentile", rng=1
    ).confidence_interval
    assert greater(effect, control).interval == pytest.approx(tuple(drawn), abs=1.5 / n)


@pytest.mark.parametrize("n", [1, 2, 7, 488])
def test_the_sum_of_differences_has_the_distribution_of_its_binomials(n):
    """So many images are discordant, and so many of these speak for the effect: two binomials."""
    rng = np.random.default_rng(n)
    for more, less in [(0, n), *rng.multinomial(n, [0.3, 0.2, 0.5], 3)[:, :2].tolist()]:
        found = _sum_of(n, np.array([[less, n - more - less, more]]) / n)[0].cumsum()
        discordant, for_effect = np.arange(n + 1), more / max(more + less, 1)
        weights = binom.pmf(discordant, n, (more + less) / n)
        for total in range(-n, n + 1):
            at_most = binom.cdf((total + discordant) // 2, discordant, for_effect)
            assert found[total + n] == pytest.approx(weights @ at_most, abs=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.99])
def test_a_pair_is_judged_at_the_level_that_it_is_given(level):
    for more in range(12):
        verdict = greater(*arms(more, 3, 40), level)
        p = max(binomtest(more, more + 3, alternative="greater").pvalue, 0)
        assert (verdict.outcome == SUPPORTED) == (p < (1 - level) / 2)
        assert (verdict.level, verdict.alpha) == (level, pytest.approx((1 - level) / 2))
        assert greater(Totals(more, 40), Totals(0, 40), level).level == level
    wide, narrow = (greater(*arms(11, 3, 40), each).interval for each in (0.99, level))
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]
    doubt = np.random.default_rng(0).random(40)
    assert greater(doubt, doubt[::-1], level).level == level


def test_differences_that_are_all_equal_leave_an_interval_with_a_width():
    low, high = greater(*arms(10, 0, 10)).interval
    assert low < 0.5
    assert high == 1
    assert greater(*arms(0, 0, 10)).interval == pytest.approx((-0.3085, 0.3085), abs=1e-4)


def test_discordant_images_and_the_smallest_finding_are_told():
    verdict = greater(*arms(11, 2, 40, both=7))
    assert (verdict.control, verdict.n) == ("control 22.5% of 40, discordant 11:2", 40)
    assert verdict.estimate == pytest.approx(9 / 40)
    assert verdict.detectable == "could have shown >= 15.0%"
    assert greater(*arms(6, 0, 40)).outcome == SUPPORTED
    assert greater(*arms(5, 0, 5)).detectable == "too few images to show it"


def test_fragile_means_that_one_image_changes_the_outcome():
    assert greater(*arms(6, 0, 40)).fragile  # five would not do
    assert greater(*arms(5, 0, 40)).fragile
    assert not greater(*arms(8, 0, 40)).fragile
    assert greater(Totals(6, 40), Totals(0, 40)).fragile
    assert not greater(Totals(8, 40), Totals(0, 40)).fragile


COUNTS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2)
)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.data())
def test_a_verdict_on_counts_never_contradicts_that_on_the_images(arms, data):
    effect, control = (np.array(arm) for arm in arms)
    paired = data.draw(
        st.integers(1, len(effect))
    )  # the control ran on the first so many images only
    truth = greater(effect[:paired], control[:paired])
    counts = greater(
        Totals(int(effect.sum()), len(effect)), Totals(int(control[:paired].sum()), paired)
    )
    mirrored = greater(
        Totals(int(control[:paired].sum()), paired), Totals(int(effect.sum()), len(effect))
    )
    assert counts.outcome in (truth.outcome, UNDECIDED)
    assert counts.interval[0] <= truth.interval[0] + 1e-12
    assert truth.interval[1] <= counts.interval[1] + 1e-12
    assert counts.p >= truth.p
    assert counts.p_against >= truth.p_against
    assert (mirrored.p, mirrored.p_against) == (counts.p_against, counts.p)


@pytest.mark.parametrize("n", [6, 11])
def test_a_verdict_on_counts_is_what_every_pairing_agrees_on(n):
    for first in range(n + 1):
        for second in range(n + 1):
            overlaps = range(max(0, first + second - n), min(first, second) + 1)
            every = {
                greater(*arms(first - both, second - both, n, both)).outcome for both in overlaps
            }
            expected = every.pop() if len(every) == 1 else UNDECIDED
            assert greater(Totals(first, n), Totals(second, n)).outcome == expected


def test_counts_that_only_their_overlap_would_decide_say_so():
    why = "it depends on which images the two counts share, which is not known"
    assert greater(Totals(16, 40), Totals(9, 40)).why == why
    assert greater(Totals(9, 40), Totals(16, 40)).why == why
    assert greater(Totals(10, 40), Totals(9, 40)).why == "the interval includes zero"
    assert greater(arms(16, 0, 40)[0], Totals(9, 40)).why == why


def test_counts_of_two_sizes_are_bounded_over_the_missing_images():
    printed, other = Totals(20, 39), Totals(3, 41)
    verdict = greater(printed, other)
    assert (verdict.outcome, verdict.n) == (SUPPORTED, 39)
    same = greater(printed, Totals(3, 39))
    assert verdict.p == same.p  # at worst all of the larger run's count fell on the common images
    assert verdict.interval[0] == same.interval[0]
    assert verdict.interval[1] > same.interval[1]


def test_counts_that_may_be_the_same_images_keep_an_uncertainty():
    unseen = 1 - 0.025 ** (1 / 39)
    assert greater(Totals(2, 41), Totals(1, 39)).interval[0] == pytest.approx(-unseen)


def test_the_papers_large_samples_are_quick_enough():
    assert greater(Totals(541, 1140), Totals(126, 1140)).outcome == SUPPORTED


def test_probabilities_are_compared_by_their_mean_difference():
    rng = np.random.default_rng(0)
    control = rng.uniform(0.1, 0.5, 80)
    effect = control + rng.uniform(0, 0.3, 80)
    assert greater(effect, control).outcome == SUPPORTED
    assert greater(control, effect).outcome == REFUTED
    assert greater(effect, rng.permutation(effect)).outcome == UNDECIDED
    assert greater(effect, control).control == f"control {control.mean():.1%} on average"


def test_equal_probabilities_are_told_apart_within_the_level(monkeypatch):
    monkeypatch.setattr("claimlib.intervals.RESAMPLES", 1999)
    rng = np.random.default_rng(1)
    outcomes = [greater(*rng.uniform(0, 1, (2, 30))).outcome for _ in range(100)]
    assert np.mean([outcome != UNDECIDED for outcome in outcomes]) <= 0.05 + 0.04


def test_no_images_is_undecided():
    nobody = np.zeros(0, bool)
    assert (
        greater(nobody, nobody).why
        == greater(Totals(0, 0), Totals(1, 9)).why
        == "no images are left"
    )


@pytest.mark.parametrize(
    ("effect", "control"),
    [
        (np.ones(3, bool), np.ones(4, bool)),
        (np.ones(3, bool), np.ones(3)),
        (np.ones(3, int), np.ones(3, int)),
        (np.full(3, 0.5), Totals(1, 3)),
        (np.full(3, 1.5), np.full(3, 0.5)),
        (np.full(3, np.nan), np.full(3, 0.5)),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(effect, control):
    with pytest.raises(
        (ClaimError, TypeCheckError)
    ):  # shapes, where they are checked, are refused before
        greater(effect, control)
