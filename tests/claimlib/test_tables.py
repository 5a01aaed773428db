"""A whole printed table as one question, on tables with known truth.

The made-up table has the paper's size: 36 shares, half of them near zero, at a root mean square of
11 points from doing nothing. Fails if a replica is not found, if a table that is off by the margin
is found too often, or if an engine that does nothing is not refuted.
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from claimlib.errors import ClaimError
from claimlib.samples import Clustered, Seen, Totals
from claimlib.tables import distance, repeats, reproduces
from claimlib.verdicts import REFUTED, SUPPORTED, UNDECIDED, Verdict

N, MARGIN = 90, 0.075
TRUE = np.r_[np.full(18, 0.01), np.linspace(0.02, 0.1, 9), np.linspace(0.1, 0.31, 9)]
PRINTED = [Totals(round(N * share), N) for share in TRUE]
ZEROS = [np.zeros(N, bool)] * len(TRUE)


def table(shares: np.ndarray, rng: np.random.Generator, n: int = N) -> list[Seen]:
    return list((rng.random((n, len(shares))) < shares).T)


def replicas(truth: np.ndarray, draws: int, seed: int) -> Iterator[Verdict]:
    """Verdicts on a printed and a measured sample, each of its own images."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        printed = [Totals(int(rng.binomial(N, share)), N) for share in TRUE]
        yield reproduces(table(truth, rng), printed, MARGIN)


def share_of(outcome: str, verdicts: Iterator[Verdict]) -> float:
    return float(np.mean([verdict.outcome == outcome for verdict in verdicts]))


def test_the_made_up_table_lies_eleven_points_from_doing_nothing():
    assert distance([each.share for each in PRINTED], [0.0] * len(TRUE)) == pytest.approx(
        0.11, abs=0.005
    )


def test_a_perfect_replica_is_mostly_found():
    assert share_of(SUPPORTED, replicas(TRUE, 40, seed=0)) >= 0.85


def test_an_engine_that_does_nothing_is_refuted():
    verdict = reproduces(ZEROS, PRINTED, MARGIN)
    assert (verdict.kind, verdict.outcome) == ("reproduces", REFUTED)
    assert verdict.interval[0] > MARGIN
    assert share_of(SUPPORTED, replicas(0 * TRUE, 20, seed=1)) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_table_that_is_off_by_the_margin_is_seldom_found(seed):
    """Whatever cells it is off in."""
    rng = np.random.default_rng(seed)
    away = rng.normal(size=len(TRUE)) ** (1 + 2 * seed)  # over all cells, or in a few
    away *= np.where(away < 0, -1, 1)  # no share falls below zero
    away *= MARGIN / np.sqrt(np.mean(away**2))
    off = np.clip(TRUE + away, 0, 1)
    assert distance(off.tolist(), TRUE.tolist()) == pytest.approx(MARGIN, rel=0.1)
    draws = 60
    assert share_of(SUPPORTED, replicas(off, draws, seed)) <= 0.05 + 2 * np.sqrt(0.05 / draws)


def test_the_direction_of_most_variance_is_least_favourable():
    """None of 40 random directions gives close tables more often: a limit for it holds for all."""
    cells, n, margin = 6, 400, 0.3
    rng = np.random.default_rng(5)
    mixing = rng.normal(size=(cells, cells)) * np.linspace(0.2, 2, cells)[:, None]
    _, directions = np.linalg.eigh(mixing @ mixing.T)
    noise = rng.normal(size=(20000, cells)) @ mixing.T / np.sqrt(n)

    def squares(direction: np.ndarray) -> np.ndarray:
        true = margin * np.sqrt(cells) * direction / np.linalg.norm(direction)
        return ((true + noise) ** 2).sum(axis=1)

    limit = np.quantile(squares(directions[:, -1]), 0.05)
    close = [np.mean(squares(each) <= limit) for each in rng.normal(size=(40, cells))]
    assert max(close) <= 0.05 + 0.004
    assert np.mean(close) < 0.04


def test_the_interval_holds_the_true_distance():
    """Of tables whose images are no sample of anything else, at three distances."""
    rng = np.random.default_rng(6)
    covered = []
    for off in (0.0, 0.05, 0.1):
        truth = TRUE + off
        for _ in range(25):
            printed = [Totals(int(rng.binomial(N, share)), N) for share in TRUE]
            low, high = reproduces(table(truth, rng), printed, MARGIN).interval
            covered.append(low <= off <= high)
    assert np.mean(covered) >= 0.88


def test_the_estimate_is_the_distance_less_what_samples_add():
    rng = np.random.default_rng(7)
    found = [verdict.estimate for verdict in replicas(TRUE + 0.1, 20, seed=7)]
    assert np.mean(found) == pytest.approx(0.1, abs=0.012)
    mine = table(TRUE, rng)
    plain = distance([float(each.mean()) for each in mine], [each.share for each in PRINTED])  # pyright: ignore
    assert reproduces(mine, PRINTED, MARGIN).estimate < plain


def test_interval_p_values_and_outcome_say_the_same():
    rng = np.random.default_rng(8)
    for off in (0.0, 0.04, 0.06, 0.09, 0.12):
        verdict = reproduces(table(TRUE + off, rng), PRINTED, MARGIN)
        low, high = verdict.interval
        assert (verdict.p < 0.05) == (verdict.outcome == SUPPORTED) == (high < MARGIN)
        assert (verdict.p_against < 0.05) == (verdict.outcome == REFUTED) == (low > MARGIN)


def test_cells_of_zeros_have_a_variance():
    """Twice none of 20 images is no proof that it never happens."""
    zeros = [Totals(0, 20)] * 4
    nothing = [np.zeros(20, bool)] * 4
    few = reproduces(nothing, zeros, margin=0.05)
    assert few.interval[1] > 0.05
    assert few.outcome == UNDECIDED
    assert few.detectable == "too few images to show it"
    many = reproduces([np.zeros(2000, bool)] * 4, [Totals(0, 2000)] * 4, margin=0.05)
    assert (many.outcome, many.estimate) == (SUPPORTED, 0)


def test_to_agree_by_more_than_chance_shows_no_more():
    """Two samples of one table differ: the very same counts do not pin the distance to zero."""
    same = [np.arange(N) < each.count for each in PRINTED]
    verdict = reproduces(same, PRINTED, MARGIN)
    assert verdict.estimate == 0
    assert 0.02 < verdict.interval[1] < MARGIN


def test_a_small_printed_sample_widens_the_interval():
    mine = table(TRUE, np.random.default_rng(9), n=1000)
    large = reproduces(mine, [Totals(round(1000 * each), 1000) for each in TRUE], MARGIN)
    small = reproduces(mine, [Totals(round(20 * each), 20) for each in TRUE], MARGIN)
    assert large.interval[1] < small.interval[1]


def test_cells_of_the_same_categories_are_uncertain_together():
    rng = np.random.default_rng(10)
    category = rng.integers(0, 10, N)
    rates = rng.beta(0.5, 2, 10)
    hits = rng.random(N) < rates[category]
    printed = [Totals(int(hits.sum()), N)] * 6
    alone = reproduces([hits.copy() for _ in range(6)], printed, MARGIN)
    together = reproduces([Clustered(hits, category) for _ in range(6)], printed, MARGIN)
    assert together.interval[1] > alone.interval[1]


def test_what_could_have_been_shown_is_shown_in_four_of_five():
    told = reproduces(ZEROS[:1] * 12, [Totals(9, N)] * 12, MARGIN).detectable
    assert told.startswith("could have shown <= ")
    assert 0 < float(told.split()[4]) < 100 * MARGIN


def test_a_repeat_of_the_same_images_is_found_and_another_run_is_not():
    same = [np.arange(N) < each.count for each in PRINTED]
    found = repeats(same, PRINTED, flips=0.01, margin=0.02)
    assert (found.kind, found.outcome, found.n) == ("repeats", SUPPORTED, N)
    assert repeats(ZEROS, PRINTED, flips=0.01, margin=0.02).outcome == REFUTED


def test_a_repeat_that_flips_no_answer_is_certain():
    same = [np.arange(N) < each.count for each in PRINTED]
    low, high = repeats(same, PRINTED, flips=0, margin=0.02).interval
    assert (low, high) == pytest.approx((0, 0), abs=1e-3)


def test_a_repeat_that_flips_many_answers_shows_little():
    same = [np.arange(N) < each.count for each in PRINTED]
    sure, unsure = (repeats(same, PRINTED, flips, 0.02).interval[1] for flips in (0.01, 0.2))
    assert sure < unsure


def test_no_images_reproduce_nothing():
    nobody = np.zeros(0, bool)
    for verdict in (
        reproduces([nobody], [Totals(1, 9)], MARGIN),
        reproduces([np.ones(9, bool)], [Totals(0, 0)], MARGIN),
        repeats([nobody], [Totals(0, 0)], 0.0, MARGIN),
    ):
        assert (verdict.outcome, verdict.why) == (UNDECIDED, "no images are left")


@pytest.mark.parametrize(
    "call",
    [
        lambda: reproduces([], [], MARGIN),
        lambda: reproduces(ZEROS, PRINTED[1:], MARGIN),
        lambda: repeats(ZEROS, PRINTED[1:], 0.0, MARGIN),
        lambda: repeats(ZEROS, PRINTED, 1.5, MARGIN),
        lambda: repeats(PRINTED, PRINTED, 0.0, MARGIN),  # pyright: ignore[reportArgumentType]
        lambda: reproduces([each + 1.5 for each in ZEROS], PRINTED, MARGIN),
        lambda: reproduces([each + math.nan for each in ZEROS], PRINTED, MARGIN),
        lambda: reproduces([np.zeros((N, 2))] * len(TRUE), PRINTED, MARGIN),
        lambda: reproduces([Clustered(np.array(["0"] * N), range(N))] * 36, PRINTED, MARGIN),
        lambda: reproduces(ZEROS, PRINTED, math.nan),
        lambda: reproduces(ZEROS, PRINTED, 2),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(call):
    with pytest.raises((ClaimError, TypeCheckError)):
        call()


@pytest.mark.parametrize("n", [1, 2, 19])
def test_few_images_or_clusters_decide_no_table(n):
    few = [np.arange(n) < 1] * len(TRUE)
    same = [Clustered(np.zeros(N, bool), np.arange(N) % 4)] * len(TRUE)
    for ours in (few, same):
        verdict = reproduces(ours, PRINTED, MARGIN)
        assert (verdict.outcome, verdict.reason) == (UNDECIDED, "too few images")


def test_a_repetition_of_which_other_images_count_is_less_certain():
    """91 answers right where 90 were printed: each may be another one."""
    printed = [Totals(each.count, N) for each in PRINTED]
    ours = [np.arange(N) < each.count for each in printed]
    more = [np.arange(N + 1) < each.count for each in printed]
    many = [np.arange(N + 60) < each.count for each in printed]
    same, other, far = (repeats(each, printed, 0.0, 0.03) for each in (ours, more, many))
    assert (same.outcome, other.outcome) == (SUPPORTED, SUPPORTED)
    assert same.interval[1] < other.interval[1]
    assert far.outcome == UNDECIDED


def test_cells_may_be_shares_of_several_draws():
    """Three draws of an image are no three images: they narrow no printed cell."""
    rng = np.random.default_rng(9)
    once = table(TRUE, rng)
    as_shares = [np.asarray(each, float) for each in once]
    assert str(reproduces(as_shares, PRINTED, MARGIN)) == str(reproduces(once, PRINTED, MARGIN))
    thrice = [
        np.mean(each, axis=0) for each in zip(*(table(TRUE, rng) for _ in range(3)), strict=True)
    ]
    dead = [0.0 * each for each in thrice]
    found = reproduces(thrice, PRINTED, MARGIN)
    assert (found.outcome, found.n) == (SUPPORTED, N)
    assert reproduces(dead, PRINTED, MARGIN).outcome == REFUTED
