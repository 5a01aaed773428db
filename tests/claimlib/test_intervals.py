"""Bounds of differences and of clustered shares, beside slow ones from their definitions.

The score test is held against a maximum likelihood that is searched for, Newcombe's interval
against another library's. Fails if a closed form is not what it says, if an interval and its
p-values disagree, or if one sample's side differs from the other's.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, norm, t
from statsmodels.stats.proportion import confint_proportions_2indep

from claimlib.intervals import (
    Bounds,
    apart,
    of_any_mean,
    of_mean,
    of_pair,
    of_share,
    score_p,
    widened,
)
from claimlib.samples import Clustered, Totals
from claimlib.shares import wilson

PAIRS = [(11, 2, 40), (2, 11, 40), (5, 0, 40), (0, 0, 40), (3, 7, 15), (9, 9, 18), (30, 1, 300)]


def score(more: float, less: float, n: float, margin: float) -> float:
    """Tango's statistic less half an image, with the nuisance share where the trinomial likelihood
    is largest."""

    def unlikely(only_second: float) -> float:
        shares = (only_second + margin, only_second, 1 - margin - 2 * only_second)
        counts = (more, less, n - more - less)
        return -sum(
            count * np.log(max(share, 1e-300))
            for count, share in zip(counts, shares, strict=True)
            if count
        )

    room = (max(0.0, -margin), (1 - margin) / 2)
    found = minimize_scalar(unlikely, bounds=room, method="bounded", options={"xatol": 1e-12})
    variance = n * (2 * float(found.x) + margin - margin**2)
    return (more - less - n * margin - 0.5) / np.sqrt(variance)


@pytest.mark.parametrize(("more", "less", "n"), PAIRS)
@pytest.mark.parametrize("margin", [-0.4, -0.1, 0.02, 0.05, 0.3])
def test_the_score_test_is_that_of_the_most_likely_shares(more, less, n, margin):
    found = float(score_p(more, less, n, margin))
    assert norm.isf(found) == pytest.approx(score(more, less, n, margin), rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.floats(-0.9, 0.9))
def test_the_score_test_never_holds_both_sides_for_unlikely(more, less, margin):
    """T(b, c, d) = -T(c, b, -d), but for the half that each side is denied."""
    there, back = score_p(more, less, 80, margin), score_p(less, more, 80, -margin)
    assert there + back >= 1 - 1e-12


def test_without_a_margin_the_score_test_is_mcnemars():
    for more, less, n in ((11, 2, 40), (3, 7, 15), (30, 1, 300)):
        z = (more - less - 0.5) / np.sqrt(more + less)
        assert score_p(more, less, n, 0.0) == pytest.approx(norm.sf(z))
    assert score_p(0, 0, 40, 0.0) == 1


@pytest.mark.parametrize("n", [30, 53, 90, 170])
@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1, 0.2])
def test_just_the_margin_is_shown_at_the_level_however_few_differ(n, margin):
    """Enumerated: every pair of counts, for ever fewer images on which only the second happened."""
    more, less = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)]).T
    p = np.asarray(score_p(more, less, n, margin))
    for only_second in (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3):
        first = only_second + margin
        chance = binom.pmf(more, n, first) * binom.pmf(less, n - more, only_second / (1 - first))
        assert chance.sum() == pytest.approx(1)
        for alpha in (0.025, 0.05):
            assert chance[p < alpha].sum() <= alpha + 0.005


def test_the_score_test_of_many_pairs_is_each_ones():
    more, less = np.array([11, 2, 0]), np.array([2, 11, 0])
    together = np.asarray(score_p(more, less, 40, 0.05))
    alone = [score_p(a, b, 40, 0.05) for a, b in zip(more.tolist(), less.tolist(), strict=True)]
    assert together.tolist() == pytest.approx(alone)


@pytest.mark.parametrize(("more", "less", "n"), PAIRS)
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_a_pairs_interval_holds_the_margins_that_its_test_allows(more, less, n, level):
    low, high = of_pair(more, less, n).interval(level)
    alpha = (1 - level) / 2
    assert score_p(more, less, n, low) == pytest.approx(alpha, abs=1e-5)
    assert score_p(less, more, n, -high) == pytest.approx(alpha, abs=1e-5)
    assert low < (more - less) / n < high


def test_a_pairs_interval_reaches_the_end_where_all_differ():
    assert of_pair(10, 0, 10).interval(0.95)[1] == pytest.approx(1)
    assert of_pair(0, 10, 10).interval(0.95)[0] == pytest.approx(-1)


def test_no_pair_that_differs_has_more_than_the_interval_of_wilson():
    low, high = of_pair(0, 0, 39).interval(0.95)
    wilsons = wilson(Totals(0, 39))[1]
    assert wilsons < high == -low < 1.3 * wilsons


def test_of_several_pairs_the_interval_is_the_outermost():
    more, less = np.array([11, 12, 14]), np.array([2, 3, 5])
    ends = [
        of_pair(a, b, 40).interval(0.95) for a, b in zip(more.tolist(), less.tolist(), strict=True)
    ]
    low, high = of_pair(more, less, 40).interval(0.95)
    assert low == pytest.approx(min(end for end, _ in ends))
    assert high == pytest.approx(max(end for _, end in ends))


@pytest.mark.parametrize("discordant", [0.12, 0.3, 0.8])
def test_a_pairs_interval_covers_about_what_it_says(discordant):
    n, truth = 40, 0.1
    tables = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    more, less = np.array(tables).T
    for_more = binom.pmf(more, more + less, (discordant + truth) / 2 / discordant)
    chance = binom.pmf(more + less, n, discordant) * for_more
    inside = (score_p(more, less, n, truth) >= 0.025) & (
        np.asarray(score_p(less, more, n, -truth)) >= 0.025
    )
    assert chance.sum() == pytest.approx(1)
    assert chance[inside].sum() >= 0.945


def of_wilson(count: int, n: int) -> Bounds:
    def ends(alpha: float) -> tuple[float, float]:
        return wilson(Totals(count, n), 1 - 2 * alpha)

    return Bounds(lambda alpha: ends(alpha)[0], lambda alpha: ends(alpha)[1])


@pytest.mark.parametrize("counts", [(20, 39, 5, 53), (0, 30, 4, 30), (88, 90, 300, 488)])
def test_two_wilson_intervals_apart_are_newcombes(counts):
    a, n, b, m = counts
    found = apart(of_wilson(a, n), a / n, of_wilson(b, m), b / m).interval(0.90)
    expected = confint_proportions_2indep(a, n, b, m, method="newcomb", alpha=0.1)
    assert found == pytest.approx(expected)


def test_what_is_apart_one_way_is_as_far_the_other():
    one, two = of_share(20, 39), of_share(5, 39)
    low, high = apart(one, 20 / 39, two, 5 / 39).interval(0.95)
    back = apart(two, 5 / 39, one, 20 / 39).interval(0.95)
    assert back == pytest.approx((-high, -low))


def test_beside_a_number_that_is_known_one_sample_keeps_its_bounds():
    one, known = of_share(20, 39), Bounds(lambda _: 0.3, lambda _: 0.3)
    for level in (0.2, 0.95):
        low, high = one.interval(level)
        found = apart(one, 20 / 39, known, 0.3).interval(level)
        assert found == pytest.approx((low - 0.3, high - 0.3))


def test_two_samples_bounds_and_p_values_say_the_same():
    between = apart(of_share(20, 39), 20 / 39, of_share(5, 39), 5 / 39)
    low, high = between.interval(0.95)
    assert between.p_above(low) == pytest.approx(0.025, rel=1e-4)
    assert between.p_below(high) == pytest.approx(0.025, rel=1e-4)


@pytest.mark.parametrize("size", [2, 5])
def test_clusters_of_one_value_each_are_hardly_more_than_their_means_are(size):
    """Copies of an image tell no more than the image does."""
    values = np.random.default_rng(0).beta(1, 2, 40)
    copied = Clustered(np.repeat(values, size), np.repeat(np.arange(40), size))
    for level in (0.5, 0.95):
        low, high = of_mean(values, (0.0, 1.0)).interval(level)
        least, most = of_mean(copied, (0.0, 1.0)).interval(level)
        assert least <= low + 1e-9
        assert most >= high - 1e-9
        assert most - least <= 1.15 * (high - low)


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.0, 0.1])
def test_a_mean_over_uneven_clusters_lies_where_it_should(icc):
    """One cluster has a fifth of all images, as one of COCO's categories has."""
    rng, outside = np.random.default_rng(7), np.zeros(2, int)
    weights = 1 / np.arange(1, 61)
    for _ in range(400):
        owner = rng.choice(60, 300, p=weights / weights.sum())
        shared = np.sqrt(icc) * rng.normal(size=60)[owner]
        values = norm.cdf(shared + np.sqrt(1 - icc) * rng.normal(size=300))
        low, high = of_mean(Clustered(values, owner), (0.0, 1.0)).interval(0.90)
        outside += low > 0.5, high < 0.5
    assert outside.max() <= 400 * (0.05 + 0.03)


def test_few_clusters_have_the_interval_of_as_many_images_of_any_spread():
    """And no narrower one than Student's."""
    values = np.random.default_rng(0).beta(1, 2, 12)
    copied = Clustered(np.repeat(values, 5), np.repeat(np.arange(12), 5))
    half = 2.20099 * values.std(ddof=1) / np.sqrt(12)
    expected = (values.mean() - half, values.mean() + half)
    low, high = of_mean(copied, (0.0, 1.0)).interval(0.95)
    widest = of_any_mean(float(values.mean()), 12, (0, 1)).interval(0.95)
    assert (low, high) == pytest.approx(widest)
    assert low < expected[0]
    assert high > expected[1]


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [12, 40])
def test_a_mean_over_clusters_covers_the_truth(clusters):
    rng = np.random.default_rng(4)
    owner = np.repeat(np.arange(clusters), 5)
    missed = plain = 0
    for _ in range(200):
        mine = rng.beta(2, 4, clusters)
        values = np.clip(mine[owner] + rng.normal(0, 0.05, len(owner)), 0, 1)
        low, high = of_mean(Clustered(values, owner), (0.0, 1.0)).interval(0.95)
        alone = of_mean(values, (0.0, 1.0)).interval(0.95)
        missed += not low <= 1 / 3 <= high
        plain += not alone[0] <= 1 / 3 <= alone[1]
    assert missed <= 200 * (0.05 + 0.04)
    assert plain > 2 * missed  # what is missed if no one looks at categories


@pytest.mark.parametrize("alpha", [0.025, 0.05])
@pytest.mark.parametrize("n", [2, 20, 60.5, 1000])
def test_a_level_is_widened_as_students_t_and_the_biased_spread_ask(n, alpha):
    """Hesterberg 2015: of n images a resample's spread is too small by the root of (n - 1) / n."""
    assert widened(alpha, n) == pytest.approx(t.isf(alpha, n - 1) * np.sqrt(n / (n - 1)))
