"""Means and curves over images, on values with known truth.

Coverage and false verdicts are simulated with fixed seeds where no enumeration is possible. Fails
if an interval covers clearly less than 95 %, if equal values leave no uncertainty, or if a rise, a
ratio or a peak is found that is not there, or missed where it is.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.stats import binom, bootstrap, multinomial, norm

from claimlib.curves import above_another, band, increases, near, peaks, within, within_factor
from claimlib.errors import ClaimError
from claimlib.intervals import FEWEST, of_any_mean, of_mean, of_sum, widened
from claimlib.samples import Clustered, Mean, Totals
from claimlib.verdicts import REFUTED, SUPPORTED, UNDECIDED

SHARES = (0.0, 1.0)


DRAWS = {
    "uniform": (lambda rng, n: rng.random(n), 0.5),
    "mostly zero": (lambda rng, n: (rng.random(n) < 0.25) * rng.random(n), 0.125),
    "rare": (lambda rng, n: (rng.random(n) < 0.1) * 1.0, 0.1),
    "skewed": (lambda rng, n: rng.beta(0.5, 3, n), 1 / 7),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [25, 80])
def test_a_means_interval_covers_the_truth(name, n):
    draw, truth = DRAWS[name]
    rng = np.random.default_rng(0)
    ends = np.array([of_mean(draw(rng, n), SHARES).interval(0.95) for _ in range(250)])
    below, above = (ends[:, 1] < truth).mean(), (ends[:, 0] > truth).mean()
    assert below + above <= 0.05 + 0.035  # two and a half standard errors
    assert max(below, above) <= 0.025 + 0.035


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [25, 80])
def test_a_band_covers_a_whole_curve(name, n):
    draw, truth = DRAWS[name]
    rng, missed = np.random.default_rng(0), 0
    for _ in range(200):
        curves = draw(rng, n * 10).reshape(n, 10)
        low, high = band(Clustered(curves, range(n)), SHARES)
        missed += bool((low > truth).any() or (high < truth).any())
    assert missed / 200 <= 0.05 + 0.04  # two and a half standard errors


def test_a_band_is_wider_the_more_points_and_no_wider_for_the_same_ones():
    rng = np.random.default_rng(0)
    one = rng.beta(2, 2, (60, 1))
    ends = {
        name: [each[0] for each in band(Clustered(curves, range(60)), SHARES)]
        for name, curves in {
            "one": one,
            "same": np.repeat(one, 20, axis=1),
            "more": np.concatenate([one, rng.beta(2, 2, (60, 19))], axis=1),
        }.items()
    }
    assert ends["same"] == pytest.approx(ends["one"])
    assert ends["more"][0] < ends["one"][0] < ends["one"][1] < ends["more"][1]
    assert ends["one"] == pytest.approx(of_mean(one[:, 0], SHARES).interval(0.95), abs=0.02)


def test_a_band_of_what_does_not_vary_or_of_few_clusters_promises_little():
    constant = np.stack([np.zeros(40), np.linspace(0, 1, 40)], axis=1)
    low, high = band(Clustered(constant, range(40)), SHARES)
    assert (low[0], high[0]) == of_mean(np.zeros(40), SHARES).interval(0.975)
    few = Clustered(constant, np.arange(40) % 5)
    assert band(few, SHARES)[1][1] == of_mean(few.point(1), SHARES).interval(0.975)[1]
    rare = np.zeros((40, 2))
    rare[0] = 1.0
    assert band(Clustered(rare, range(40)), SHARES)[1][0] == 1.0


@pytest.mark.parametrize("name", DRAWS)
def test_a_means_interval_is_scipys_bca_at_the_widened_level(name):
    values = DRAWS[name][0](np.random.default_rng(1), 60)
    level = float(1 - 2 * norm.sf(widened(0.025, 60)))
    expected = bootstrap(
        (values,), np.mean, confidence_level=level, method="BCa", rng=0
    ).confidence_interval
    assert of_mean(values, SHARES).interval(0.95) == pytest.approx(
        tuple(expected),
        abs=max(0.1 * np.ptp(expected), 1.01 / 60),  # or by one image
    )
    assert level > 0.95


@settings(max_examples=50, deadline=None)
@given(st.floats(0.0, 1.0), st.integers(1, 60), st.floats(0.01, 0.99))
def test_equal_values_leave_the_uncertainty_that_markov_allows(value, n, threshold):
    bounds = of_mean(np.full(n, value), SHARES)
    low, high = bounds.interval(0.95)
    unseen = 1 - 0.025 ** (1 / n)
    assert (low, high) == pytest.approx((value * (1 - unseen), value + (1 - value) * unseen))
    if threshold < value:
        assert bounds.p_above(threshold) == pytest.approx(
            max((threshold / value) ** n, 1e-12), rel=1e-3
        )
    assert within(np.full(n, value), 0.2, 0.4).interval == (low, high)


def test_values_that_differ_by_rounding_alone_are_equal():
    rounded = 0.3 + 1e-16 * (np.arange(40) % 2) + 0.1 - 0.1
    expected = of_mean(np.full(40, 0.3), SHARES).interval(0.95)
    assert of_mean(rounded, SHARES).interval(0.95) == pytest.approx(expected)


@pytest.mark.parametrize("clusters", [4, 30])
def test_categories_of_one_mean_leave_an_uncertainty(clusters):
    halves = Clustered(np.tile([0.0, 1.0], clusters), np.repeat(np.arange(clusters), 2))
    expected = of_mean(np.full(clusters, 0.5), SHARES).interval(0.95)
    assert of_mean(halves, SHARES).interval(0.95) == pytest.approx(expected)


def test_all_shares_of_one_reach_no_further_than_the_exact_interval():
    assert of_mean(np.ones(39), SHARES).interval(0.95) == pytest.approx(
        of_any_mean(1, 39, SHARES).interval(0.95)
    )


def test_too_few_images_for_a_bootstrap_get_the_widest_interval():
    values = np.linspace(0.2, 0.8, FEWEST)
    assert of_mean(values[:-1], SHARES).interval(0.95) == of_any_mean(
        float(values[:-1].mean()), FEWEST - 1, SHARES
    ).interval(0.95)
    narrow, wide = (
        of_mean(values, SHARES).interval(0.95),
        of_any_mean(0.5, FEWEST, SHARES).interval(0.95),
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_interval_and_p_values_of_a_mean_say_the_same(seed, threshold):
    values = np.random.default_rng(seed).beta(1, 2, 30)
    verdict = within(values, threshold, math.inf)
    assume(min(abs(end - threshold) for end in verdict.interval) > 1e-6)
    assert (
        (verdict.outcome == SUPPORTED) == (verdict.interval[0] > threshold) == (verdict.p < 0.025)
    )
    assert (
        (verdict.outcome == REFUTED)
        == (verdict.interval[1] < threshold)
        == (verdict.p_against < 0.025)
    )


def test_a_mean_is_found_inside_outside_and_on_the_edge():
    layers = np.random.default_rng(0).normal(25.7, 4, 170).clip(0, 32)
    inside = within(layers, 16, 32, bounds=(0, 32), unit="layers")
    assert (inside.outcome, inside.n, inside.required) == (SUPPORTED, 170, "16 to 32")
    assert within(layers, 0, 16, bounds=(0, 32)).outcome == REFUTED
    assert within(layers, 28, math.inf, bounds=(0, 32)).outcome == REFUTED
    assert within(layers, -math.inf, 28, bounds=(0, 32)).outcome == SUPPORTED
    edge = within(layers, float(layers.mean()), math.inf, bounds=(0, 32))
    assert edge.outcome == UNDECIDED
    assert edge.why.startswith("the interval includes 25.")
    assert within(layers, 25.5, 25.9, bounds=(0, 32)).detectable == "too few images to show it"


@pytest.mark.slow
def test_means_at_the_end_of_the_range_err_within_the_level():
    rng = np.random.default_rng(2)
    samples = [DRAWS["mostly zero"][0](rng, 60) for _ in range(150)]
    found = [within(values, 0.125, math.inf).outcome for values in samples]
    assert np.mean([outcome == SUPPORTED for outcome in found]) <= 0.025 + 0.03
    assert np.mean([outcome == REFUTED for outcome in found]) <= 0.025 + 0.03


def test_a_printed_mean_has_the_interval_of_the_widest_spread():
    half_each = np.repeat([0.0, 32.0], 85)
    printed = within(Mean(16.0, 170, (0, 32)), 0, 31.9).interval
    assert printed == pytest.approx(of_mean(half_each, (0, 32)).interval(0.95), abs=0.3)
    deviation = math.sqrt(16 * 16 / 170)
    assert printed == pytest.approx((16 - 1.96 * deviation, 16 + 1.96 * deviation), abs=0.15)
    narrow = np.random.default_rng(0).normal(16, 2, 170)
    low, high = of_mean(narrow, (0, 32)).interval(0.95)
    assert printed[0] < low < high < printed[1]


def test_a_printed_mean_is_placed_or_left_open():
    assert within(Mean(25.7, 170, (0, 33)), 16, 33, unit="layers").outcome == SUPPORTED
    assert within(Mean(25.7, 170, (0, 33)), 0, 16).outcome == REFUTED
    assert within(Mean(25.7, 170, (0, 33)), 25, 33).outcome == UNDECIDED
    low, high = within(Mean(0.0, 39, SHARES), 0.1, 1).interval
    assert (low, high) == pytest.approx((0, 0.0903), abs=1e-4)  # not of zero width


@pytest.mark.parametrize("n", [12, 39])
def test_a_printed_means_interval_covers_at_least_nominally(n):
    """Even where values are spread the most."""
    ends = np.array(
        [of_any_mean(32 * count / n, n, (0, 32)).interval(0.95) for count in range(n + 1)]
    )
    for truth in np.linspace(1, 31, 31):
        covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        assert binom.pmf(np.arange(n + 1), n, truth / 32)[covered].sum() >= 0.95


def test_a_mean_is_near_a_printed_one_within_a_share_of_a_scale():
    tokens = np.random.default_rng(0).normal(12.6, 3, 200).clip(0, 576)
    verdict = near(tokens, 12.6, margin=0.1, scale=12.6, bounds=(0, 576), unit="tokens")
    between = within(tokens, 12.6 * 0.9, 12.6 * 1.1, bounds=(0, 576), level=0.90, unit="tokens")
    assert verdict.required_range == pytest.approx(between.required_range)
    alike = {"kind": "within", "threshold": None, "required": between.required}
    alike["required_range"] = between.required_range
    assert replace(verdict, **alike) == between
    assert (verdict.outcome, verdict.level) == (SUPPORTED, 0.90)
    assert verdict.required == "within 1.26 of 12.6"
    assert near(tokens, 12.6, margin=0.2, bounds=(0, 576)).outcome == UNDECIDED
    assert near(tokens, 20.0, margin=0.1, scale=20.0, bounds=(0, 576)).outcome == REFUTED
    assert near(Mean(25.7, 5000, (0, 32)), 25.7, margin=0.1, scale=32).outcome == SUPPORTED


def test_a_mean_within_a_factor_is_found_and_one_beyond_is_refuted():
    rates = np.tile([0.0, 0.0, 0.1, 0.2], 60)  # 7.5 %
    found = within_factor(rates, printed=0.065, factor=2)
    assert (found.kind, found.outcome) == ("within-factor", SUPPORTED)
    assert found.required == "within a factor of 2 of 6.5%"
    assert within_factor(rates, printed=0.065, factor=1.1).outcome == UNDECIDED
    for printed in (0.02, 0.3):
        assert within_factor(rates, printed=printed, factor=2).outcome == REFUTED


def test_a_factor_is_the_interval_between_two_bounds():
    rates = np.random.default_rng(0).beta(1, 9, 90)
    verdict = within_factor(rates, printed=0.1, factor=1.5)
    between = within(rates, 0.1 / 1.5, 0.15, level=0.90, unit="%")
    assert (verdict.p, verdict.p_against) == (between.p, between.p_against)
    assert (verdict.outcome, verdict.interval) == (between.outcome, between.interval)


def test_a_lens_that_decodes_nothing_is_within_no_factor():
    assert within_factor(np.zeros(200), printed=0.065, factor=2).outcome == REFUTED
    assert within_factor(np.zeros(20), printed=0.065, factor=2).outcome == UNDECIDED
    few = within_factor(Mean(0.0, 300, SHARES), printed=0.065, factor=2)
    assert few.outcome == REFUTED


def test_a_mean_just_a_factor_away_is_found_within_the_level():
    rng = np.random.default_rng(7)
    samples = rng.beta(1, 9, (150, 60))  # 10 %
    for printed in (0.05, 0.2):
        found = [within_factor(each, printed, factor=2).outcome for each in samples]
        assert np.mean([outcome == SUPPORTED for outcome in found]) <= 0.05 + 0.045


def test_one_mean_above_another_is_found_and_below_is_refuted():
    rng = np.random.default_rng(0)
    high, low = rng.beta(2, 4, 60), rng.beta(1, 9, 80)
    found = above_another(high, low, margin=0.1)
    assert (found.kind, found.outcome, found.n) == ("above-another", SUPPORTED, 60)
    assert found.required == "more than the other by > 10.0 points"
    assert found.estimate == pytest.approx(high.mean() - low.mean())
    assert above_another(low, high, margin=0.0).outcome == REFUTED
    at = float(high.mean() - low.mean())
    assert above_another(high, low, margin=at).outcome == UNDECIDED


def test_two_equal_samples_are_told_apart_within_the_level():
    rng = np.random.default_rng(8)
    pairs = [(rng.beta(1, 9, 40), rng.beta(1, 9, 90)) for _ in range(100)]
    found = [above_another(*pair, margin=0.0).outcome for pair in pairs]
    assert np.mean([outcome != UNDECIDED for outcome in found]) <= 0.05 + 0.055


def test_two_lenses_that_decode_nothing_are_not_told_apart():
    verdict = above_another(np.zeros(60), np.zeros(90), margin=0.0)
    assert (verdict.outcome, verdict.estimate) == (UNDECIDED, 0)
    assert verdict.interval[0] < 0 < verdict.interval[1]


def test_one_state_among_few_is_not_above_many():
    """What is seen once is no more than what is seen seventeen times, nor less."""
    late, early = np.r_[np.ones(17), np.zeros(183)], np.r_[np.ones(1), np.zeros(24)]
    assert above_another(late, early, margin=0.0).outcome == UNDECIDED


def test_two_means_change_sides():
    rng = np.random.default_rng(9)
    one, two = rng.beta(2, 4, 30), rng.beta(2, 5, 50)
    there, back = above_another(one, two, margin=0.0), above_another(two, one, margin=0.0)
    low, high = there.interval
    assert back.interval == pytest.approx((-high, -low))
    assert back.p_against == pytest.approx(there.p, rel=1e-6)


def test_a_mean_over_categories_is_less_certain_than_over_images():
    rng = np.random.default_rng(10)
    values = np.repeat(rng.beta(2, 4, 25), 4)
    alone = within(values, 0.2, 0.5)
    shared = within(Clustered(values, np.arange(100) // 4), 0.2, 0.5)
    assert shared.estimate == pytest.approx(alone.estimate)
    assert np.ptp(shared.interval) > 1.5 * np.ptp(alone.interval)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_every_rule_decides_at_the_level_that_it_is_given(level):
    values = np.random.default_rng(0).beta(2, 2, 60)
    low, high = of_mean(values, SHARES).interval(level)
    curves, counts = np.stack([values * 0, values], axis=1), [Totals(9, 60), Totals(20, 60)]
    fall, rise = of_sum(counts, np.array([-1.0, 1.0])).interval(level)
    for verdict in (
        within(values, low - 1e-6, high + 1e-6, level=level),
        near(values, (low + high) / 2, margin=(high - low) / 2 + 1e-6, level=level),
    ):
        assert (verdict.outcome, verdict.level) == (SUPPORTED, level)
        assert verdict.interval == pytest.approx((low, high))
    assert within(values, low + 1e-6, high + 1e-6, level=level).outcome == UNDECIDED
    assert increases(curves, [0, 1], level=level).interval == pytest.approx((low, high), abs=0.02)
    assert increases(counts, [0, 1], level=level).interval == pytest.approx((fall, rise))
    for verdict in (
        increases(curves, [0, 1], level=level),
        peaks(curves, [0, 1], 1, 1, level=level),
    ):
        assert (verdict.outcome, verdict.level) == (SUPPORTED, level)
        assert verdict.alpha == pytest.approx((1 - level) / 2)


def test_a_peak_is_placed_in_more_samples_at_a_lower_level():
    rng = np.random.default_rng(3)
    curves = rng.normal(size=(40, 5)) + np.array([0, 0, 0.7, 0, 0])
    wide, narrow = (peaks(curves, range(5), 2, 2, level=level) for level in (0.999, 0.5))
    assert wide.interval[0] <= narrow.interval[0] <= narrow.interval[1] <= wide.interval[1]
    assert (wide.outcome, narrow.outcome) == (UNDECIDED, SUPPORTED)
    assert wide.p == narrow.p


def test_leaving_out_one_image_shows_what_is_fragile():
    outlier = np.r_[np.full(39, 0.5), 1.0]
    assert within(outlier, 0.5, 1.0).outcome == UNDECIDED
    firm = within(np.linspace(0.5, 0.9, 60), 0.2, 1.0)
    assert (firm.outcome, firm.fragile) == (SUPPORTED, False)
    values = np.linspace(0.3, 0.7, 40)
    edge = of_mean(values, SHARES).interval(0.95)[0]
    verdict = within(values, edge - 1e-6, math.inf)
    assert (verdict.outcome, verdict.fragile) == (SUPPORTED, True)
    assert within(values, edge + 1e-6, math.inf).fragile
    assert within(
        Mean(0.5, 40, SHARES), of_any_mean(0.5, 40, SHARES).interval(0.95)[0] - 1e-6, 1.0
    ).fragile


AXIS = [12.6, 33.4, 60.0]


def test_a_rise_a_fall_and_neither_are_told_apart_image_by_image():
    rng = np.random.default_rng(0)
    rising = (rng.random((60, 1)) < np.array([0.2, 0.5, 0.8])).astype(float)
    found = increases(rising, AXIS)
    assert (found.outcome, found.n, found.required) == (SUPPORTED, 60, "a rise")
    assert increases(1 - rising, AXIS).outcome == REFUTED
    assert increases(rng.random((60, 3)), AXIS).outcome == UNDECIDED


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5), st.integers(2, 6))
def test_the_estimate_is_the_fitted_change_from_first_to_last(change, points):
    axis = np.arange(points) ** 1.5
    line = 0.5 + change * (axis / axis[-1] - 0.5)
    assert increases(np.tile(line, (5, 1)), list(axis)).estimate == pytest.approx(change, abs=1e-9)
    counts = [Totals(round(1000 * value), 1000) for value in line]
    assert increases(counts, list(axis)).estimate == pytest.approx(change, abs=2e-3)


def test_flat_curves_rise_or_fall_in_about_five_per_cent_of_samples():
    rng = np.random.default_rng(3)
    found = [increases(rng.random((30, 3)), AXIS).outcome for _ in range(120)]
    assert np.mean([outcome != UNDECIDED for outcome in found]) <= 0.05 + 0.04


def test_a_rise_must_exceed_its_margin_and_less_refutes():
    rng = np.random.default_rng(0)
    rising = (rng.random((200, 1)) < np.array([0.2, 0.35, 0.5])).astype(float)
    found = increases(rising, [0, 1, 2], margin=0.1)
    assert (found.outcome, found.required) == (SUPPORTED, "a rise of > 10.0 points")
    assert increases(rising, [0, 1, 2], margin=0.3).outcome == UNDECIDED
    assert increases(rising, [0, 1, 2], margin=0.5).outcome == REFUTED
    counts = [Totals(count, 200) for count in (20, 80, 140)]
    outcomes = [increases(counts, [0, 1, 2], margin=each).outcome for each in (0.3, 0.6, 0.95)]
    assert outcomes == [SUPPORTED, UNDECIDED, REFUTED]


@pytest.mark.slow
def test_a_rise_of_just_the_margin_is_found_within_the_level():
    rng = np.random.default_rng(4)
    curves = (rng.random((80, 60, 1)) < np.array([0.3, 0.4, 0.5])).astype(float)
    found = [increases(each, [0, 1, 2], margin=0.2).outcome for each in curves]
    assert np.mean([outcome == SUPPORTED for outcome in found]) <= 0.025 + 0.045
    assert np.mean([outcome == REFUTED for outcome in found]) <= 0.025 + 0.045


def test_curves_of_nothing_rise_nowhere():
    nothing = np.zeros((90, 3))
    assert increases(nothing, AXIS).outcome == UNDECIDED
    assert increases(nothing, AXIS, margin=0.1).outcome == REFUTED
    assert increases([Totals(0, 90)] * 3, AXIS).outcome == UNDECIDED


def test_a_rise_that_any_order_gives_is_none():
    """One image that rises among nine: an order in six does as much."""
    curves = np.zeros((40, 3))
    curves[:2] = [0.0, 0.5, 1.0]
    verdict = increases(curves, [0, 1, 2], level=0.9)
    assert verdict.outcome == UNDECIDED
    assert verdict.p == pytest.approx(1 / 36, abs=0.1)


def test_the_order_of_points_is_tried_for_a_whole_category():
    """All curves are of two categories, which both rise by chance in one of 36 orders."""
    rising = np.tile([0.1, 0.5, 0.9], (40, 1))
    rising[:, 2] -= np.arange(40) / 1000
    alone = increases(rising, [0, 1, 2])
    two = increases(Clustered(rising, np.arange(40) % 2), [0, 1, 2])
    assert (alone.outcome, alone.p) == (SUPPORTED, pytest.approx(1 / 2000))
    assert two.outcome == UNDECIDED
    assert two.p >= 1 / 36 - 0.01


def test_points_of_one_category_that_rise_alike_err_within_the_level():
    """Six points of each image and 20 categories, whose images all have the same curve."""
    rng = np.random.default_rng(6)
    outcomes = []
    for _ in range(60):
        curves = rng.random((20, 3))[np.arange(60) % 20]
        outcomes.append(increases(Clustered(curves, np.arange(60) % 20), AXIS).outcome)
    assert np.mean([outcome != UNDECIDED for outcome in outcomes]) <= 0.05 + 0.07


def test_equal_curves_leave_an_interval_with_a_width():
    low, high = increases(np.full((39, 3), 0.4), AXIS).interval
    assert low < 0 < high
    assert increases(np.full((39, 3), 0.4), AXIS).outcome == UNDECIDED
    low, high = increases([Totals(0, 39)] * 3, AXIS).interval
    assert low < 0 < high


def test_the_papers_printed_rise_is_found_without_its_images():
    assert increases([Totals(6, 39), Totals(20, 39), Totals(25, 39)], AXIS).outcome == SUPPORTED
    assert increases([Totals(25, 39), Totals(20, 39), Totals(6, 39)], AXIS).outcome == REFUTED
    assert increases([Totals(20, 39), Totals(22, 39), Totals(21, 39)], AXIS).outcome == UNDECIDED


@pytest.mark.parametrize("n", [20, 39])
def test_counts_on_opposite_images_rise_falsely_within_the_level(n):
    """The worst that images can do: whichever point one of them counts for, the other it does
    not."""
    tables = [(first, last) for first in range(n + 1) for last in range(n + 1 - first)]
    weights = np.array([-1.0, 1.0])
    lows = np.array(
        [of_sum([Totals(a, n), Totals(b, n)], weights).interval(0.95)[0] for a, b in tables]
    )
    for discordant in (0.2, 0.6, 1.0):
        cells = [(a, b, n - a - b) for a, b in tables]
        chance = multinomial.pmf(cells, n, [discordant / 2, discordant / 2, 1 - discordant])
        assert chance[lows > 0].sum() <= 0.025


def test_one_count_more_or_less_shows_what_is_fragile():
    outcomes = [increases([Totals(6, 39), Totals(count, 39)], [0, 1]) for count in range(40)]
    first = next(at for at, each in enumerate(outcomes) if each.outcome == SUPPORTED)
    assert outcomes[first].fragile
    assert outcomes[first - 1].fragile
    assert not outcomes[first + 3].fragile


POINTS = range(9)


def bump(centre: float, n: int, seed: int = 0, height: float = 1.0) -> np.ndarray:
    curve = height * np.exp(-((np.arange(9) - centre) ** 2) / 2)
    return curve + 0.3 * np.random.default_rng(seed).normal(size=(n, 9))


def test_a_peak_is_placed_inside_outside_or_left_open():
    found = peaks(bump(5, 60), POINTS, 4, 6, unit="layers")
    assert (found.outcome, found.estimate, found.required) == (SUPPORTED, 5, "peak 4 to 6")
    assert 0 < found.p < 0.001  # so many resamples show no less
    assert str(found).startswith(
        "supported: 5 [5, 5] layers, n = 60, required peak 4 to 6 (95% interval, p < 0.001)"
    )
    assert peaks(bump(5, 60), POINTS, 0, 3).outcome == REFUTED
    assert peaks(bump(5, 60), POINTS, 5, math.inf).outcome == SUPPORTED
    between = peaks(bump(5.5, 60), POINTS, 4, 5)
    assert (between.outcome, between.interval) == (UNDECIDED, (5, 6))


def test_places_are_the_points_own():
    places = [10.0 * place for place in POINTS]
    assert peaks(bump(5, 60), places, 45, 55).outcome == SUPPORTED
    assert peaks(bump(5, 60), places, 0, 14).outcome == REFUTED


@pytest.mark.parametrize(("low", "high"), [(0, 8), (-1, 9), (2.2, 2.8), (9, 12)])
def test_a_peak_that_must_lie_within_or_cannot_is_no_question(low, high):
    with pytest.raises(ClaimError, match="there is no question"):
        peaks(bump(5, 60), POINTS, low, high)
    with pytest.raises(ClaimError, match="Pass finite ones"):
        peaks(bump(5, 60), [*POINTS[:-1], math.nan], 4, 6)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.1, 1.5)])
def test_a_mean_that_cannot_lie_elsewhere_is_no_question(low, high):
    with pytest.raises(ClaimError, match="Pass a range that some do not lie in"):
        within(np.linspace(0, 1, 50), low, high)


def test_a_flat_curve_has_no_peak():
    rng = np.random.default_rng(0)
    for curves in (np.ones((40, 9)), np.tile(rng.random((40, 1)), 9), rng.normal(size=(40, 9))):
        verdict = peaks(curves, POINTS, 0, 7)
        assert (verdict.outcome, verdict.why) == (UNDECIDED, "the curve is flat")


@pytest.mark.slow
def test_flat_curves_are_taken_for_peaks_within_the_level():
    rng = np.random.default_rng(1)
    found = [peaks(rng.normal(size=(25, 3)), range(3), 1, 2) for _ in range(150)]
    assert np.mean([verdict.why != "the curve is flat" for verdict in found]) <= 0.05 + 0.045
    assert np.mean([verdict.outcome != UNDECIDED for verdict in found]) <= 0.05


def test_a_peak_on_either_side_alike_is_placed_within_the_level():
    rng = np.random.default_rng(2)
    found = [
        peaks(rng.normal(size=(25, 3)) + np.array([3, 0, 3]), range(3), 2, 2).outcome
        for _ in range(150)
    ]
    assert np.mean([outcome == SUPPORTED for outcome in found]) <= 0.025 + 0.03
    assert np.mean([outcome == REFUTED for outcome in found]) <= 0.025 + 0.03


def test_a_peak_that_two_points_share_decides_nothing():
    curves = bump(5, 60)
    curves[:, 2] = curves[:, 5]
    for low, high in ((4, 6), (1, 3)):
        verdict = peaks(curves, POINTS, low, high)
        assert (verdict.outcome, verdict.interval) == (UNDECIDED, (2, 5))
        assert verdict.p > 0.9
        assert verdict.p_against > 0.9


def test_too_few_images_place_no_peak():
    verdict = peaks(bump(5, FEWEST - 1), POINTS, 4, 6)
    assert (verdict.outcome, verdict.why) == (UNDECIDED, "too few images to place a peak")
    assert peaks(bump(5, FEWEST + 1), POINTS, 4, 6).outcome == SUPPORTED
    assert peaks(bump(5, FEWEST), POINTS, 4, 6).fragile


def test_too_few_categories_place_no_peak():
    curves = bump(5, 60)
    few = peaks(Clustered(curves, np.arange(60) % 4), POINTS, 4, 6)
    assert (few.outcome, few.why) == (UNDECIDED, "too few images to place a peak")
    assert peaks(Clustered(curves, np.arange(60) % 12), POINTS, 4, 6).outcome == SUPPORTED


def test_a_peak_of_one_large_category_is_none_of_all():
    """Half of all images are dogs, whose curve alone has a peak there."""
    curves = 0.3 * np.random.default_rng(0).normal(size=(60, 9))
    curves[:30, 5] += 0.6
    clusters = np.r_[np.zeros(30), np.arange(1, 31)].astype(int)
    assert peaks(curves, POINTS, 5, 5).outcome == SUPPORTED
    shared = peaks(Clustered(curves, clusters), POINTS, 5, 5)
    assert shared.outcome == UNDECIDED


def test_no_images_is_undecided():
    none = np.zeros((0, 3))
    for verdict in (
        within_factor(none[:, 0], 0.1, 2),
        above_another(none[:, 0], np.ones(3), 0.0),
        above_another(np.ones(3), none[:, 0], 0.0),
        within(none[:, 0], 0, 1),
        increases(none, AXIS),
        peaks(none, AXIS, 0, 20),
    ):
        assert (verdict.outcome, verdict.why) == (UNDECIDED, "no images are left")
    assert increases([Totals(0, 0)] * 3, AXIS).why == "no images are left"


@pytest.mark.parametrize(
    "call",
    [
        lambda: within(np.full(30, 1.5), 0, 1),
        lambda: within(np.full(30, np.nan), 0, 1),
        lambda: within(np.full(30, 0.5), 0.8, 0.2),
        lambda: within(np.full(30, 0.5), 0, 1, bounds=(1, 0)),
        lambda: near(np.full(30, 0.5), 0.5, margin=0.0),
        lambda: near(np.full(30, 0.5), 0.5, margin=0.1, scale=-1.0),
        lambda: Mean(33.0, 170, (0, 32)),
        lambda: Mean(3.0, 0, (0, 32)),
        lambda: within_factor(np.full(30, 0.5), 0.5, factor=1.0),
        lambda: within_factor(np.full(30, 0.5), 0.0, factor=2.0),
        lambda: above_another(np.full(30, 1.5), np.full(20, 0.5), margin=0.0),
        lambda: increases(np.ones((30, 2)), AXIS),
        lambda: increases(np.ones((30, 3)), [1.0, 3.0, 2.0]),
        lambda: increases(np.full((30, 3), 7.0), AXIS),
        lambda: peaks(np.ones((30, 2)), AXIS, 0, 1),
        lambda: peaks(np.full((30, 3), np.nan), AXIS, 0, 1),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises((ClaimError, TypeCheckError)):
        call()
