"""Arm against arm, on counts with known truth.

False verdicts are enumerated from the multinomial distribution of small samples; counts without
their images are compared with every sample that has them. Fails if equal arms are told apart too
often, or arms that differ by just the margin, if a verdict on counts contradicts that on the
images, or if it is undecided where all images would agree.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.stats import binomtest, multinomial

from claimlib.errors import ClaimError
from claimlib.intervals import of_mean, of_pair, of_sum, score_p
from claimlib.paired import greater, minor, no_more
from claimlib.samples import Clustered, Totals
from claimlib.shares import wilson
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
    assert (null.outcome, null.why) == (UNDECIDED, "the interval includes 0.0 points")
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
    assert (five.outcome, five.p) == (UNDECIDED, 2**-5)
    assert five.why == "so many signs may come out alike by chance"


@pytest.mark.parametrize("level", [0.5, 0.8, 0.99])
def test_a_pair_is_judged_at_the_level_that_it_is_given(level):
    for more in range(12):
        verdict = greater(*arms(more, 3, 40), level=level)
        exact = binomtest(more, more + 3, alternative="greater").pvalue
        p = max(exact, score_p(more, 3, 40, 0.0))
        assert verdict.p == pytest.approx(p)
        assert (verdict.outcome == SUPPORTED) == (p < (1 - level) / 2)
        assert (verdict.level, verdict.alpha) == (level, pytest.approx((1 - level) / 2))
        assert greater(Totals(more, 40), Totals(0, 40), level=level).level == level
    wide, narrow = (greater(*arms(11, 3, 40), level=each).interval for each in (0.99, level))
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]
    doubt = np.random.default_rng(0).random(40)
    assert greater(doubt, doubt[::-1], level=level).level == level


def test_differences_that_are_all_equal_leave_an_interval_with_a_width():
    low, high = greater(*arms(10, 0, 10)).interval
    assert low < 0.5
    assert high == 1
    low, high = greater(*arms(0, 0, 10)).interval
    assert low == pytest.approx(-high, abs=1e-6)
    assert wilson(Totals(0, 10))[1] < high < 0.5


def test_discordant_images_and_the_smallest_finding_are_told():
    verdict = greater(*arms(11, 2, 40, both=7))
    assert (verdict.control, verdict.n) == ("control 22.5% of 40, discordant 11:2", 40)
    assert verdict.estimate == pytest.approx(9 / 40)
    assert verdict.detectable == "could have shown >= 19.0 points"
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


@pytest.mark.slow
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
    assert greater(Totals(10, 40), Totals(9, 40)).why == "the interval includes 0.0 points"
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
    low, high = greater(Totals(2, 41), Totals(1, 39)).interval
    assert low <= of_pair(0, 0, 39).interval(0.95)[0] < 0 < high


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


def test_equal_probabilities_are_told_apart_within_the_level():
    rng = np.random.default_rng(1)
    outcomes = [greater(*rng.uniform(0, 1, (2, 30))).outcome for _ in range(200)]
    assert np.mean([outcome != UNDECIDED for outcome in outcomes]) <= 0.05 + 0.035


def test_skewed_differences_are_told_apart_within_the_level():
    """One image in ten changes a lot, either way: what a bootstrap alone takes for a finding."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        change = rng.choice([-0.5, 0.5], 39) * (rng.random(39) < 0.1)
        found.append(greater(0.5 + change / 2, 0.5 - change / 2).outcome != UNDECIDED)
    assert np.mean(found) <= 0.05 + 0.035


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


@pytest.mark.parametrize("discordant", [0.12, 0.3, 0.6])
def test_arms_that_differ_by_the_margin_err_within_the_level(discordant):
    """The score test is not exact: a point above its level, at most, where few differ."""
    n, margin = 40, 0.1
    tables = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    chance = multinomial.pmf(
        [(b, c, n - b - c) for b, c in tables],
        n,
        [(discordant + margin) / 2, (discordant - margin) / 2, 1 - discordant],
    )
    more, less = np.array(tables).T
    above, below = score_p(more, less, n, margin), score_p(less, more, n, -margin)
    assert chance[above < 0.025].sum() <= 0.025 + 0.01
    assert chance[below < 0.025].sum() <= 0.025 + 0.01


def test_a_difference_must_exceed_its_margin_and_less_refutes():
    effect, control = arms(30, 2, 100)
    assert greater(effect, control, margin=0.1).outcome == SUPPORTED
    between = greater(effect, control, margin=0.25)
    assert (between.outcome, between.threshold) == (UNDECIDED, 0.25)
    assert between.required == "more than the control by > 25.0 points"
    assert between.why == "the interval includes 25.0 points"
    assert greater(effect, control, margin=0.5).outcome == REFUTED


def test_more_by_less_than_the_margin_refutes_though_it_is_more():
    hardly = greater(*arms(20, 2, 1000), margin=0.1)
    assert hardly.outcome == REFUTED
    assert hardly.interval[0] > 0


def test_probabilities_must_exceed_a_margin_too():
    rng = np.random.default_rng(0)
    control = rng.uniform(0.1, 0.5, 80)
    effect = control + rng.uniform(0.1, 0.3, 80)
    outcomes = [greater(effect, control, margin).outcome for margin in (0.1, 0.2, 0.3)]
    assert outcomes == [SUPPORTED, UNDECIDED, REFUTED]


def test_arms_that_do_nothing_support_and_refute_no_difference():
    nothing = np.zeros(300, bool)
    assert greater(nothing, nothing).outcome == UNDECIDED
    assert greater(nothing, nothing, margin=0.05).outcome == REFUTED
    assert greater(nothing * 0.0, nothing * 0.0).outcome == UNDECIDED


def test_images_of_one_category_each_count_as_before():
    effect, control = arms(11, 2, 40)
    alone = [Clustered(each, range(40)) for each in (effect, control)]
    assert greater(*alone, margin=0.05) == greater(effect, control, margin=0.05)


def test_an_effect_in_one_category_alone_is_none():
    """Twenty of 80 images, all of them dogs: as four in four categories, it would be found."""
    effect, control = arms(20, 0, 80)
    four, twenty = np.arange(80) // 20, np.arange(80) % 20
    few = greater(Clustered(effect, four), Clustered(control, four))
    assert few.outcome == UNDECIDED
    assert few.p >= 0.5
    assert greater(Clustered(effect, twenty), Clustered(control, twenty)).outcome == SUPPORTED


def test_what_is_no_more_than_its_control_is_found_and_more_is_refuted():
    found = no_more(*arms(4, 6, 300), margin=0.05)
    assert (found.kind, found.outcome) == ("no-more", SUPPORTED)
    assert found.required == "no more than the control, up to 5.0 points"
    assert found.interval[1] < 0.05
    assert no_more(*arms(60, 5, 300), margin=0.05).outcome == REFUTED
    near = no_more(*arms(20, 5, 300), margin=0.05)
    assert (near.outcome, near.why) == (UNDECIDED, "the interval includes 5.0 points")


def test_no_more_is_greater_with_its_sides_changed():
    for pair in (arms(4, 6, 60), arms(20, 1, 60), (Totals(9, 60), Totals(12, 60))):
        one, other = no_more(*pair, margin=0.1), greater(*pair, margin=0.1, level=0.9)
        assert (one.p, one.p_against, one.interval) == (other.p_against, other.p, other.interval)


def test_too_few_images_to_show_that_it_is_no_more_say_so():
    few = no_more(*arms(0, 0, 10), margin=0.1)
    assert (few.outcome, few.detectable) == (UNDECIDED, "too few images to show it")
    told = no_more(*arms(3, 3, 300), margin=0.1).detectable
    assert told.startswith("could have shown <= ")


def test_less_than_a_part_is_found_and_more_is_refuted():
    whole = arms(0, 60, 90)[1]
    found = minor(np.arange(90) < 5, whole, part=0.5)
    assert (found.kind, found.outcome) == ("minor", SUPPORTED)
    assert found.required == "< 0 points above 50% of the other"
    assert found.control == "itself 5.6%, the other 66.7%"
    assert found.estimate == pytest.approx(5 / 90 - 0.5 * 60 / 90)
    assert minor(whole, whole, part=0.5).outcome == REFUTED
    assert minor(np.arange(90) < 30, whole, part=0.5).outcome == UNDECIDED  # just half


@pytest.mark.parametrize("n", [39, 90, 300])
def test_where_nothing_is_lost_nothing_is_less_than_a_part(n):
    nothing = np.zeros(n, bool)
    for pair in (
        (nothing, nothing),
        (nothing * 0.0, nothing * 0.0),
        (Totals(0, n), Totals(0, n)),
    ):
        assert minor(*pair, part=0.5).outcome == UNDECIDED


def test_a_part_of_probabilities_is_judged_as_one_of_shares():
    rng = np.random.default_rng(0)
    whole = rng.uniform(0.4, 0.9, 60)
    outcomes = [minor(whole * each, whole, part=0.5).outcome for each in (0.3, 0.5, 0.7)]
    assert outcomes == [SUPPORTED, UNDECIDED, REFUTED]


def test_a_part_of_counts_is_judged_whatever_images_they_share():
    random, region = Totals(4, 90), Totals(60, 90)
    verdict = minor(random, region, part=0.5)
    bounds = of_sum([random, region], np.array([1.0, -0.5])).interval(0.9)
    assert (verdict.outcome, verdict.interval) == (SUPPORTED, bounds)
    assert minor(region, region, part=0.5).outcome == REFUTED
    assert minor(Totals(20, 90), region, part=0.5).outcome == UNDECIDED


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "n"), [(0.1, 90), (0.4, 90), (0.4, 39)])
def test_just_a_part_is_taken_for_less_within_the_level(rate, n):
    """Half of what is lost to the region is lost to random tokens, of the same images."""
    rng = np.random.default_rng(5)
    wholes = rng.random((500, n)) < rate
    contrasts = wholes & (rng.random((500, n)) < 0.5)
    contrasts = contrasts - 0.5 * wholes
    low, high = np.array([of_mean(each, (-0.5, 1.0)).interval(0.9) for each in contrasts]).T
    beyond = 2.5 * np.sqrt(0.05 * 0.95 / 500)
    assert np.mean(high < 0) <= 0.05 + beyond
    assert np.mean(low > 0) <= 0.05 + beyond


def test_a_part_is_judged_by_the_mean_of_what_is_lost_less_that_part():
    effect, whole = arms(12, 30, 90, both=6)
    interval = of_mean(effect - 0.4 * whole, (-0.4, 1.0)).interval(0.9)
    assert minor(effect, whole, part=0.4).interval == pytest.approx(interval)


@pytest.mark.parametrize("part", [0.0, 1.5, -0.1])
def test_a_part_that_is_none_is_refused(part):
    with pytest.raises(ClaimError, match="is no share"):
        minor(Totals(1, 9), Totals(3, 9), part)


def test_no_images_leave_no_part_and_no_margin():
    nobody = np.zeros(0, bool)
    for verdict in (minor(nobody, nobody, 0.5), minor(Totals(0, 0), Totals(1, 9), 0.5)):
        assert (verdict.kind, verdict.why) == ("minor", "no images are left")
    assert no_more(nobody, nobody, 0.1).kind == "no-more"


def test_arms_of_other_clusters_are_refused():
    arm = np.ones(3, bool)
    with pytest.raises(ClaimError, match="different clusters"):
        greater(Clustered(arm, ["a", "b", "b"]), Clustered(arm, ["a", "a", "b"]))


def test_counts_are_not_held_against_images_that_share_clusters():
    """Whose few clusters would count for as many images."""
    effect = Clustered(np.arange(120) < 60, np.arange(120) // 20)
    for call in (
        lambda: greater(effect, Totals(40, 120)),
        lambda: greater(Totals(40, 120), effect),
        lambda: minor(effect, Totals(40, 120), part=0.5),
    ):
        with pytest.raises(ClaimError, match="share"):
            call()
    weighted = Clustered(effect.values, effect.clusters, np.ones(120))
    with pytest.raises(ClaimError, match="weights"):
        greater(effect, weighted)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["bools", "numbers", "counts"])
@pytest.mark.parametrize("n", [300, 1000])
def test_where_a_control_leaves_no_room_nothing_is_said_of_more(n, form):
    """Of all that the control leaves, 4 %, the arm takes everything; no margin of 10 is passed."""
    made = {
        "bools": lambda share: np.arange(n) < share * n,
        "numbers": lambda share: (np.arange(n) < share * n).astype(float),
        "counts": lambda share: Totals(round(share * n), n),
    }[form]
    everything, most, half, few = map(made, (1.0, 0.96, 0.5, 0.05))
    for verdict in (no_more(everything, most, 0.1), greater(everything, most, 0.1)):
        assert (verdict.outcome, verdict.reason) == (UNDECIDED, "no room")
        assert "the control leaves 4.0%, no room to do more by 10.0 points" in str(verdict)
    assert no_more(few, few, 0.1).reason != "no room"
    assert no_more(everything, half, 0.1).outcome == REFUTED
    if form != "counts":
        assert no_more(few, few, 0.1).outcome == SUPPORTED
        assert no_more(half, half, 0.1).outcome == SUPPORTED


def test_less_than_a_control_that_takes_everything_is_less():
    """Whether or not more was possible."""
    everything, half = np.ones(100, bool), np.arange(100) < 50
    assert greater(half, everything).outcome == REFUTED
    assert greater(half, everything, margin=0.02).outcome == REFUTED
    assert no_more(half, everything, margin=0.1).outcome == SUPPORTED


def test_two_arms_with_other_weights_are_no_pair():
    hit = np.arange(40) < 20
    one, other = Clustered(hit, np.arange(40)), Clustered(hit, np.arange(40), np.arange(1.0, 41))
    with pytest.raises(ClaimError, match="different clusters or weights"):
        greater(one, other)
