"""Samples with their clusters and weights: what they hold, how they are pooled, what is refused.

Fails if an image loses its category or its weight, or if a sample that makes no sense is taken.
"""

import math

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from claimlib.errors import ClaimError
from claimlib.samples import Clustered, Totals, pooled, seen, totals, without_an_extreme
from claimlib.shares import worth


def test_clusters_are_told_apart_by_name():
    sample = Clustered(np.ones(4, bool), ["dog", "cat", "dog", "ant"])
    assert sample.codes.tolist() == [2, 1, 2, 0]
    assert len(sample) == 4


def test_where_all_are_of_one_cluster_each_image_is_a_draw():
    assert Clustered(np.ones(3, bool), ["dog"] * 3).codes.tolist() == [0, 1, 2]


def test_images_without_clusters_are_one_each():
    sample = Clustered(np.ones(2, bool), ["dog", "dog"])
    assert seen(sample) is sample
    assert seen(np.array([0.1, 0.9])).codes.tolist() == [0, 1]


def test_a_clustered_sample_is_its_count():
    assert totals(Clustered(np.arange(9) < 4, np.arange(9) // 3)) == Totals(4, 9)


def test_pooled_settings_count_the_same_whatever_their_sizes():
    few, many = np.ones(2, bool), np.arange(100) < 20
    both = pooled([Clustered(few, ["a", "b"]), Clustered(many, np.arange(100).astype(str))])
    assert both.weights is not None
    assert both.weights[:2].sum() == pytest.approx(0.5)
    assert both.weights.sum() == pytest.approx(1)
    assert worth(both, 0.025).share == pytest.approx((1.0 + 0.2) / 2)


def test_pooled_settings_keep_the_categories_that_they_share():
    one, two = (Clustered(np.ones(2, bool), names) for names in (["a", "b"], ["b", "c"]))
    assert pooled([one, two]).codes.tolist() == [0, 1, 1, 2]


def test_to_pool_one_setting_changes_no_share():
    alone = Clustered(np.arange(12) < 5, np.arange(12) % 4)
    whole, one = worth(pooled([alone]), 0.025), worth(alone, 0.025)
    assert (whole.share, whole.n) == (pytest.approx(one.share), pytest.approx(one.n))


def test_without_an_extreme_clusters_and_weights_stay_with_their_images():
    sample = Clustered(np.array([0.5, 0.1, 0.9]), ["a", "b", "c"], np.array([1.0, 2.0, 3.0]))
    highest, lowest = without_an_extreme(sample)
    assert list(highest.clusters) == ["a", "b"]
    assert highest.weights is not None
    assert highest.weights.tolist() == [1, 2]
    assert lowest.values.tolist() == [0.5, 0.9]
    assert list(lowest.clusters) == ["a", "c"]


def test_a_rank_of_its_own_says_which_image_is_extreme():
    curves = seen(np.arange(6.0).reshape(3, 2))
    highest, lowest = without_an_extreme(curves, by=np.array([0.2, 0.9, 0.1]))
    assert highest.values.tolist() == [[0, 1], [4, 5]]
    assert lowest.values.tolist() == [[0, 1], [2, 3]]
    assert without_an_extreme(seen(np.ones(1))) == []


@pytest.mark.parametrize(
    ("clusters", "weights"),
    [
        (["a", "b"], None),
        (["a", "b", "c", "d"], None),
        (["a", "b", "c"], np.ones(2)),
        (["a", "b", "c"], np.array([1.0, 0.0, 1.0])),
        (["a", "b", "c"], np.array([1.0, -1.0, 1.0])),
        (["a", "b", "c"], np.array([1.0, np.nan, 1.0])),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused(clusters, weights):
    with pytest.raises((ClaimError, TypeCheckError)):
        Clustered(np.ones(3, bool), clusters, weights)


def test_pooled_settings_keep_what_their_images_count_for():
    weighed = Clustered(np.array([True, False]), ["a", "b"], np.array([3.0, 1.0]))
    even = Clustered(np.array([True, False]), ["a", "b"])
    both = pooled([weighed, even])
    assert both.weights is not None
    assert both.weights.tolist() == [0.375, 0.125, 0.25, 0.25]


@pytest.mark.parametrize("values", [np.full(10, 0.009), np.ones((10, 3), bool), np.arange(3)])
def test_only_bools_of_single_images_are_counted(values):
    with pytest.raises(ClaimError, match="Pass a bool for each image"):
        totals(Clustered(values, np.arange(len(values))))


@pytest.mark.parametrize("clusters", [[math.nan] * 2, [None, "a"]])
def test_a_cluster_has_a_name(clusters):
    with pytest.raises(ClaimError, match="Name each image's own"):
        Clustered(np.ones(2, bool), clusters)
