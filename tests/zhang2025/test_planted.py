"""Every claim where the truth is planted: what the paper tells is supported, its opposite refuted,
and an instrument that does nothing supports nothing.

Fails if a claim comes out otherwise, or has no test.
"""

import csv
from dataclasses import replace
from io import StringIO

import pytest

from claimlib import Outcome, band
from claims.zhang2025 import arms, pages, test_flow
from tests import outcomes
from tests.outcomes import by_claim
from tests.zhang2025 import CLAIMS
from tests.zhang2025.planted import NOISY, NOTHING, REVERSED, THE_PAPERS, Planted, World

TESTS = by_claim(test_flow)
SUPPORTED, REFUTED, UNDECIDED = Outcome


def outcome_of(claim: str, world: World) -> Outcome:
    return outcomes.outcome_of(CLAIMS[claim], TESTS[claim], Planted(world))


def test_every_claim_has_exactly_one_test():
    assert sorted(TESTS) == sorted(CLAIMS)


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_what_the_paper_tells_is_supported(claim):
    assert outcome_of(claim, THE_PAPERS) == SUPPORTED


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_the_opposite_is_refuted(claim):
    assert outcome_of(claim, REVERSED) == REFUTED


COMPARED = ["question-before-image", "indirect-beats-direct", "question-first", "two-dips"]


@pytest.mark.slow
@pytest.mark.parametrize("claim", [*COMPARED, "other-patches-early", "related-patches-second"])
def test_what_varies_more_costs_no_more(claim):
    assert outcome_of(claim, NOISY) != SUPPORTED


def test_the_lowest_layers_must_cost_more_than_the_last_one():
    """Where every window costs alike, the curve's highest point is somewhere by chance."""
    flat = replace(THE_PAPERS, effects={arms.INTO_QUESTION: [(range(40), -0.3)]})
    assert outcome_of("same-layers", flat) != SUPPORTED


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_an_instrument_that_does_nothing_supports_nothing(claim):
    assert outcome_of(claim, NOTHING) != SUPPORTED


OF_ROUTES = [claim for claim in CLAIMS if claim not in ("answer-rises-late", "lower-case-first")]


@pytest.mark.slow
@pytest.mark.parametrize("claim", OF_ROUTES)
def test_what_never_reached_its_targets_is_undecided(claim):
    """Whatever the probabilities say, as here that the paper is right."""
    assert outcome_of(claim, replace(THE_PAPERS, reached=False)) == UNDECIDED


@pytest.mark.slow
def test_the_bands_of_a_line_hold_at_once():
    flow = Planted(THE_PAPERS)
    [figure] = pages.figures(flow).values()
    rows = csv.DictReader(StringIO(figure.csv))
    drawn = {(row["task"], row["route"], row["layer"]): row for row in rows}
    row = drawn[flow.tasks[0], arms.IMAGE, "3.0"]
    [curve] = flow.change(flow.tasks[0], (arms.IMAGE, [*flow.windows, arms.ALL]))
    low, high = band(curve, (-1.0, 1.0))
    assert (float(row["low"]), float(row["high"])) == pytest.approx((low[3], high[3]))
    assert (high - low).max() < 0.2
