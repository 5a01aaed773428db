"""What images that share categories are worth, and how often rules err on them.

The number of independent images is computed once more, plainly, and the signs' test is another
library's. Error rates are simulated at the bound: categories of skewed sizes (Zipf) of which images
have much in common. Fails if a rule errs on them far more often than it says, or if the simulation
would not show it: the same images without their categories must err more.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test, t

from claimlib.clusters import Sums, effective, flipped, resampled
from claimlib.intervals import of_mean, score_p
from claimlib.paired import greater, minor
from claimlib.samples import Clustered
from claimlib.shares import exceeds, negligible
from claimlib.verdicts import SUPPORTED, UNDECIDED, Outcome


def plainly(values: np.ndarray, clusters: np.ndarray, weights: np.ndarray, alpha: float) -> float:
    """Korn and Graubard's effective sample size, one cluster after another."""
    n, names = len(values), sorted(set(clusters))
    mean = np.average(values, weights=weights)
    left = []
    for name in names:
        kept = clusters != name
        left.append(np.average(values[kept], weights=weights[kept]))
    variance = (len(names) - 1) / len(names) * sum((each - mean) ** 2 for each in left)
    simple = np.average((values - mean) ** 2, weights=weights) / (n - 1)
    ratio = t.ppf(1 - alpha, n - 1) / t.ppf(1 - alpha, len(names) - 1)
    return n * min(simple / variance, 1.0) * ratio**2


@pytest.mark.parametrize("alpha", [0.005, 0.025, 0.05])
@pytest.mark.parametrize("n", [30, 90, 300])
def test_what_clustered_images_are_worth_is_korn_and_graubards(n, alpha):
    rng = np.random.default_rng(n)
    clusters = np.r_[np.arange(25), rng.integers(0, 25, n - 25)]
    values = rng.random(n) < rng.beta(1, 2, 25)[clusters]
    for weights in (np.ones(n), rng.uniform(0.5, 2, n)):
        found = effective(Clustered(values, clusters, weights), alpha)
        assert found == pytest.approx(plainly(values * 1.0, clusters, weights, alpha))
    assert effective(Clustered(values, clusters), alpha) == pytest.approx(
        plainly(values * 1.0, clusters, np.ones(n), alpha)
    )


@pytest.mark.parametrize("share", [0, 0.1, 1])
def test_images_of_few_clusters_are_worth_no_more_than_these(share):
    """Of fewer than 20, whose variance is hardly known."""
    hits = np.random.default_rng(1).random(960) < share
    assert effective(Clustered(hits, np.arange(960) % 19), 0.05) == 19
    assert effective(Clustered(hits, np.arange(960) % 20), 0.05) > 100


@pytest.mark.parametrize("count", [0, 1, 20, 39])
def test_images_of_one_cluster_each_are_worth_themselves(count):
    hits = np.arange(39) < count
    for clusters in (range(39), ["dog"] * 39):
        assert effective(Clustered(hits, clusters), 0.025) == 39


def test_copies_are_worth_about_their_originals():
    """Each of 60 images ten times: worth 60, but for the small sample's t."""
    hits = np.arange(600) % 60 < 20
    worth = effective(Clustered(hits, np.arange(600) % 60), 0.025)
    assert worth == pytest.approx(60, rel=0.07)


def test_clusters_that_differ_less_than_chance_are_worth_no_more():
    """Just one of two in every cluster: not even chance is so regular."""
    hits = np.arange(80) % 2 < 1
    worth = effective(Clustered(hits, np.arange(80) // 2), 0.025)
    assert 70 < worth <= 80


def test_where_all_values_are_alike_only_the_number_of_clusters_tells():
    nothing = Clustered(np.zeros(90, bool), np.arange(90) % 30)
    expected = 90 * (t.ppf(0.025, 89) / t.ppf(0.025, 29)) ** 2
    assert effective(nothing, 0.025) == pytest.approx(expected)


def test_unequal_weights_are_worth_fewer_images():
    weights = np.r_[np.full(50, 3.0), np.full(50, 1.0)]
    worth = effective(Clustered(np.arange(100) < 30, range(100), weights), 0.025)
    assert worth == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def test_the_variance_of_a_mean_of_images_alone_is_the_usual_one():
    values = np.random.default_rng(0).normal(size=(50, 2))
    covariance = Sums.of(Clustered(values, range(50))).covariance
    assert covariance == pytest.approx(np.cov(values.T) / 50)


def test_leaving_out_a_cluster_moves_the_mean_as_it_says():
    values, clusters = np.random.default_rng(0).random(30), np.arange(30) % 7
    sums = Sums.of(Clustered(values, clusters))
    left = [values[clusters != name].mean() - values.mean() for name in range(7)]
    assert sums.without == pytest.approx(left)


def test_resamples_are_of_whole_clusters():
    values = np.repeat([0.0, 1.0], 50)
    means = resampled(Sums.of(Clustered(values, values.astype(int))))
    assert set(np.unique(means)) == {0.0, 0.5, 1.0}
    assert np.mean(means == 0.5) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("n", [3, 8, 12])
def test_the_test_of_signs_is_an_exact_permutation_test(n):
    sums = np.random.default_rng(n).normal(0.4, 1, n)
    expected = permutation_test(
        (sums,),
        np.sum,
        permutation_type="samples",
        n_resamples=np.inf,  # pyright: ignore[reportArgumentType]
        alternative="greater",
    )
    assert flipped(sums) == pytest.approx(expected.pvalue)


def test_the_test_of_many_signs_is_near_an_exact_one():
    """Of equal sums, which are coins."""
    for more, less in ((14, 6), (30, 22), (9, 21)):
        sums = np.r_[np.ones(more), -np.ones(less)]
        exact = binomtest(more, more + less, alternative="greater").pvalue
        assert flipped(sums) == pytest.approx(exact, abs=0.012)


@pytest.mark.parametrize(("more", "less"), [(6, 0), (7, 3), (2, 9)])
def test_the_test_of_signs_of_single_images_is_mcnemars(more, less):
    sums = np.r_[np.ones(more), -np.ones(less), np.zeros(20)]
    assert flipped(sums) == binomtest(more, more + less, alternative="greater").pvalue


def test_no_change_at_all_has_no_small_p():
    assert flipped(np.zeros(40)) == 1
    assert flipped(np.ones(40)) == pytest.approx(1e-4)


N, CATEGORIES, ALIKE = 300, 80, 0.1
SIZES = 1 / np.arange(1, CATEGORIES + 1)
DRAWS = 150


def clustered(share: float, rng: np.random.Generator, draws: int) -> Iterator[Clustered]:
    """Samples whose images' categories are skewed in size, and alike: beta-binomial."""
    spread = 1 / ALIKE - 1
    for _ in range(draws):
        category = rng.choice(CATEGORIES, N, p=SIZES / SIZES.sum())
        rates = rng.beta(share * spread, (1 - share) * spread, CATEGORIES)
        yield Clustered(rng.random(N) < rates[category], category)


def erring(
    rule: Callable[[Clustered], Outcome], share: float, draws: int = DRAWS
) -> tuple[float, float]:
    """How often a rule supports samples of a share, and the same without their clusters."""
    rng = np.random.default_rng(11)
    found = []
    for sample in clustered(share, rng, draws):
        alone = Clustered(sample.values, np.arange(N))
        found.append([rule(each) == SUPPORTED for each in (sample, alone)])
    with_clusters, without = np.mean(found, axis=0)
    return float(with_clusters), float(without)


def allowed(alpha: float, draws: int = DRAWS) -> float:
    """2.2 times a level, beyond what a simulation of so many draws may add."""
    return 2.2 * alpha + 2.5 * np.sqrt(2.2 * alpha / draws)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_at_the_bound_a_clustered_share_exceeds_it_within_the_level(share):
    rate, alone = erring(lambda sample: exceeds(sample, share).outcome, share)
    assert rate <= allowed(0.025)
    assert alone > max(rate, 2.2 * 0.025)


def test_at_the_margin_a_clustered_share_is_negligible_within_the_level():
    rate, alone = erring(lambda sample: negligible(sample, 0.1).outcome, 0.1)
    assert rate <= allowed(0.05)
    assert alone > max(rate, 2.2 * 0.05)


@pytest.mark.parametrize("margin", [0.05, 0.15])
def test_at_the_margin_clustered_arms_differ_within_the_level(margin):
    """The second arm does nothing, so that all that the first one does is the difference."""

    def rule(sample: Clustered) -> Outcome:
        nothing = Clustered(np.zeros(N, bool), sample.clusters)
        return greater(sample, nothing, margin).outcome

    rate, alone = erring(rule, margin, draws=60)
    assert rate <= allowed(0.025, draws=60)
    assert alone > max(rate, 2.2 * 0.025)


def split(sample: Clustered, rng: np.random.Generator) -> tuple[Clustered, Clustered]:
    """Of those to whom it happened, either half by the coin of their category."""
    coins = rng.beta(4.5, 4.5, CATEGORIES)[np.asarray(sample.clusters) % CATEGORIES]
    heads = rng.random(N) < coins
    return (
        Clustered(sample.values & heads, sample.clusters),
        Clustered(sample.values & ~heads, sample.clusters),
    )


def test_equal_clustered_arms_are_told_apart_within_the_level():
    rng = np.random.default_rng(12)
    found = [
        [greater(one, two).outcome, greater(one.values, two.values).outcome]
        for one, two in (split(sample, rng) for sample in clustered(0.4, rng, 60))
    ]
    rate, alone = np.mean([[each != UNDECIDED for each in row] for row in found], axis=0)
    assert rate <= allowed(0.05, draws=60)
    assert alone > rate


@pytest.mark.slow
def test_at_the_part_clustered_arms_are_minor_within_the_level():
    rng = np.random.default_rng(13)
    found = []
    for whole in clustered(0.5, rng, 50):
        effect, _ = split(whole, rng)
        contrast = effect.values - 0.5 * whole.values
        samples = (Clustered(contrast, whole.clusters), contrast)
        found.append([of_mean(each, (-0.5, 1.0)).interval(0.9)[1] < 0 for each in samples])
    rate, alone = np.mean(found, axis=0)
    assert rate <= allowed(0.05, draws=50)
    assert alone >= rate


def test_a_large_clustered_effect_is_still_found():
    rng = np.random.default_rng(14)
    found = []
    for sample in clustered(0.8, rng, 20):
        nothing = Clustered(np.zeros(N, bool), sample.clusters)
        found.append(
            [
                exceeds(sample, 0.5).outcome,
                greater(sample, nothing, 0.1).outcome,
                minor(nothing, sample, 0.5).outcome,
            ]
        )
    assert np.mean([[each == SUPPORTED for each in row] for row in found], axis=0).min() >= 0.9


def test_the_score_test_takes_what_images_are_worth():
    hits = Clustered(np.arange(120) % 30 < 12, np.arange(120) % 30)
    nothing = Clustered(np.zeros(120, bool), hits.clusters)
    n = effective(Clustered(hits.values * 1.0, hits.clusters), 0.025)
    verdict = greater(hits, nothing, margin=0.3)
    assert verdict.effective == n
    assert verdict.p == pytest.approx(float(score_p(0.4 * n, 0, n, 0.3)))
