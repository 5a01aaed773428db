"""Every claim where the truth is planted: both papers right of their own questions, each right of
the other's, one way for all, a leaning to no, and an instrument that does nothing.

Fails if a claim comes out otherwise, or has no test.
"""

import re
import tomllib
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import pandas as pd
import pytest

from claimlib import ClaimRefuted, ClaimUndecided, Outcome, Subject, Trial
from claims.route_by_task import arms, pages, test_routes
from claims.route_by_task.asked import NAMING, POLLING, SHOWN
from fixtures.rows import rows_of
from tests.route_by_task import CLAIMS, FOLDER
from tests.route_by_task.planted import (
    BOTH_RIGHT,
    IMAGES,
    LEANING,
    NOTHING,
    OF_BALANCE,
    ONE_WAY,
    REVERSED,
    World,
    planted,
)

CODE = (FOLDER / "test_routes.py").read_text()
TESTS = {
    claim: getattr(test_routes, name)
    for claim, name in re.findall(r'@pytest\.mark\.claim\("([^"]+)"\)\ndef (test_\w+)', CODE)
}
SUPPORTED, REFUTED, UNDECIDED = Outcome
DEAD = replace(BOTH_RIGHT, reached=False)
# Which claims come out otherwise than most do in a world.
IN_BOTH_RIGHT = {"attention-balance": REFUTED}
IN_REVERSED = {"attention-balance": UNDECIDED}  # of what the first layers do not cost
IN_ONE_WAY = {
    "route-by-task": REFUTED,
    "question-for-polling": REFUTED,
    "last-for-naming": REFUTED,
    "naming-goes-straight": REFUTED,
    "polling-goes-through-the-question": REFUTED,
    "no-spare-way": REFUTED,
    "attention-balance": REFUTED,
}


def outcome_of(claim: str, world: World) -> Outcome:
    trial = Trial(CLAIMS[claim], Subject("planted"))
    with suppress(ClaimRefuted, ClaimUndecided):
        TESTS[claim](trial, planted(world))
    return trial.verdicts[-1].outcome


def test_every_claim_has_one_test_and_its_outcomes_are_explained():
    assert sorted(TESTS) == sorted(CLAIMS)
    assert len(re.findall(r"^def test_", CODE, flags=re.MULTILINE)) == len(CLAIMS)
    told = tomllib.loads(pages.OUTCOMES.read_text())
    assert [*told] == [*CLAIMS]
    assert all({*each} == {"supported", "refuted"} for each in told.values())


@pytest.mark.parametrize("claim", CLAIMS)
def test_both_papers_may_be_right(claim):
    assert outcome_of(claim, BOTH_RIGHT) == IN_BOTH_RIGHT.get(claim, SUPPORTED)


@pytest.mark.parametrize("claim", CLAIMS)
def test_each_may_be_wrong_of_its_own_questions(claim):
    assert outcome_of(claim, REVERSED) == IN_REVERSED.get(claim, REFUTED)


@pytest.mark.parametrize("claim", CLAIMS)
def test_there_may_be_one_way_for_all_questions(claim):
    assert outcome_of(claim, ONE_WAY) == IN_ONE_WAY.get(claim, SUPPORTED)


def test_the_first_stage_may_be_a_balance_of_attention():
    assert outcome_of("attention-balance", OF_BALANCE) == SUPPORTED
    assert outcome_of("question-holds-the-answer", OF_BALANCE) == REFUTED
    assert outcome_of("first-layers-matter", OF_BALANCE) == SUPPORTED


def test_a_leaning_to_no_is_no_loss_though_every_yes_is():
    routes = planted(LEANING)
    question = arms.knockout(arms.QUESTION)
    assert not routes.tables[SHOWN, "routes"].curves(SHOWN, [question]).mean() < 1
    [change] = routes.change((POLLING, question))
    assert abs(change.values.mean()) < 0.02
    assert outcome_of("polling-goes-through-the-question", LEANING) == REFUTED


def test_rows_say_which_images_count():
    routes = planted(replace(BOTH_RIGHT, wrong=3))
    assert len(routes.images) == IMAGES - 3
    [table] = rows_of(routes, pages.which_count, of="routes").values()
    rows = pd.read_parquet(BytesIO(table))
    assert {*rows.loc[~rows["counts"], "example"]} == {"0", "1", "2"}
    told = {each["of"]: (each["given"], each["left"]) for each in pages.chosen_of(routes)}
    assert told[NAMING] == (IMAGES, IMAGES - 3)
    assert told[SHOWN] == (IMAGES, IMAGES)
    assert told["every task"] == (IMAGES, IMAGES - 3)


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_instrument_that_does_nothing_supports_nothing(claim):
    assert outcome_of(claim, NOTHING) != SUPPORTED


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_never_reached_its_targets_is_undecided(claim):
    """Whatever the margins say, as here that both papers are right."""
    assert outcome_of(claim, DEAD) == UNDECIDED
