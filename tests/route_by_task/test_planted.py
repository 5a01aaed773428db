"""Every claim where the truth is planted: both papers right of their own questions, each right of
the other's, the same ways for all, spare ways, a leaning to no, and instruments that do nothing.

Fails if a claim comes out otherwise, has no test, or if a page tells other numbers.
"""

import csv
import tomllib
from dataclasses import replace
from io import BytesIO, StringIO

import numpy as np
import pandas as pd
import pytest

from claimlib import Outcome, band
from claimlib.intervals import of_mean
from claims.route_by_task import arms, pages, test_routes
from claims.route_by_task.asked import ABSENT, NAMING, POLLING, SHOWN
from fixtures.reports import rows_of
from tests import outcomes
from tests.outcomes import by_claim
from tests.route_by_task import CLAIMS
from tests.route_by_task.planted import (
    ALIVE,
    BOTH_RIGHT,
    IMAGES,
    LAYERS,
    LEANING,
    NO_STAGE,
    NOTHING,
    OF_BALANCE,
    OTHER_TEXT_TOO,
    REVERSED,
    SAME_PARTS,
    SPARE,
    THIRD,
    World,
    planted,
)

TESTS = by_claim(test_routes)
SUPPORTED, REFUTED, UNDECIDED = Outcome
EVERY_ARM = frozenset([*map(arms.knockout, arms.ROUTES), *arms.EARLY])
DEAD = replace(BOTH_RIGHT, dead=EVERY_ARM)
WAYS = arms.QUESTION, arms.LAST
# Which claims come out otherwise than most do in a world.
IN_BOTH_RIGHT = {"one-token-is-enough": REFUTED}
IN_REVERSED = {"one-token-is-enough": UNDECIDED}  # of what the first layers do not cost
IN_ALIVE = {
    "other-text-carries-nothing": SUPPORTED,
    "no-spare-way": UNDECIDED,  # as no way does anything
    **dict.fromkeys(
        ["first-layers-matter", "one-token-is-enough", "question-holds-the-answer"], UNDECIDED
    ),
}
IN_SAME_PARTS = {
    "route-by-task": REFUTED,
    "question-for-polling": REFUTED,
    "last-for-naming": REFUTED,
    "naming-goes-straight": REFUTED,
    "polling-goes-through-the-question": SUPPORTED,
    "no-spare-way": REFUTED,
}


def outcome_of(claim: str, world: World) -> Outcome:
    return outcomes.outcome_of(CLAIMS[claim], TESTS[claim], planted(world))


def test_every_claim_has_one_test_and_its_outcomes_are_explained():
    assert sorted(TESTS) == sorted(CLAIMS)
    told = tomllib.loads(pages.OUTCOMES.read_text())
    assert [*told] == [*CLAIMS]
    assert all({*each} == {"supported", "refuted"} for each in told.values())


@pytest.mark.parametrize("claim", CLAIMS)
def test_both_papers_may_be_right(claim):
    assert outcome_of(claim, BOTH_RIGHT) == IN_BOTH_RIGHT.get(claim, SUPPORTED)


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_each_may_be_wrong_of_its_own_questions(claim):
    expected = {**IN_REVERSED, "two-ways-are-all": REFUTED}.get(claim, REFUTED)
    if claim in ("first-layers-matter", "question-holds-the-answer"):
        assert outcome_of(claim, NO_STAGE) == expected
    else:
        assert outcome_of(claim, REVERSED) == expected


@pytest.mark.parametrize("claim", IN_SAME_PARTS)
def test_the_same_ways_are_no_interaction_however_much_an_image_gives(claim):
    assert outcome_of(claim, SAME_PARTS) == IN_SAME_PARTS[claim]


@pytest.mark.slow
def test_a_way_may_be_spare_or_a_third():
    assert outcome_of("no-spare-way", SPARE) == REFUTED
    assert outcome_of("two-ways-are-all", SPARE) == SUPPORTED
    assert outcome_of("two-ways-are-all", THIRD) == REFUTED
    assert outcome_of("other-text-carries-nothing", THIRD) == SUPPORTED
    beside = replace(THIRD, naming={**THIRD.naming, arms.to("other text", "last"): 1.0})
    assert outcome_of("other-text-carries-nothing", beside) == REFUTED


def test_the_first_stage_may_be_of_no_matter_what_is_shown():
    assert outcome_of("one-token-is-enough", OF_BALANCE) == SUPPORTED
    assert outcome_of("question-holds-the-answer", OF_BALANCE) == REFUTED
    assert outcome_of("first-layers-matter", OF_BALANCE) == SUPPORTED


def test_the_first_stage_does_more_than_its_control_or_is_not_shown():
    assert outcome_of("first-layers-matter", OTHER_TEXT_TOO) == UNDECIDED


def test_a_leaning_to_no_is_no_loss_though_every_yes_is():
    routes, question = planted(LEANING), arms.knockout(arms.QUESTION)
    assert routes.tables[SHOWN, "routes"].lost(SHOWN, question).mean() > 0.95
    [lost] = routes.lost((POLLING, question))
    assert abs(lost.values.mean()) < 0.02
    assert outcome_of("polling-goes-through-the-question", LEANING) == REFUTED


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_where_arms_do_nothing_no_way_is_shown(claim):
    """Though they ran, and blocking all text takes all away."""
    assert outcome_of(claim, ALIVE) == IN_ALIVE.get(claim, REFUTED)


@pytest.mark.parametrize("claim", CLAIMS)
def test_where_not_even_blocking_all_text_does_anything_all_is_open(claim):
    assert outcome_of(claim, NOTHING) == UNDECIDED


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_what_never_reached_its_targets_is_undecided(claim):
    """Whatever the margins say, as here that both papers are right."""
    assert outcome_of(claim, DEAD) == UNDECIDED


@pytest.mark.parametrize("route", WAYS)
def test_each_arm_of_a_comparison_must_be_alive(route):
    world = replace(BOTH_RIGHT, dead=frozenset([arms.knockout(route)]))
    for claim in ("naming-goes-straight", "polling-goes-through-the-question", "route-by-task"):
        assert outcome_of(claim, world) == UNDECIDED


@pytest.mark.parametrize("task", [NAMING, SHOWN, ABSENT])
def test_images_count_on_which_every_task_is_right(task):
    routes = planted(replace(BOTH_RIGHT, wrong={task: 3}))
    assert [*routes.images.index] == [f"{at}" for at in range(3, IMAGES)]
    [table] = rows_of(routes, pages.which_count, of="routes").values()
    rows = pd.read_parquet(BytesIO(table))
    assert {*rows.loc[~rows["counts"], "example"]} == {"0", "1", "2"}
    told = {each["of"]: (each["given"], each["left"]) for each in pages.chosen_of(routes)}
    assert told[task] == (IMAGES, IMAGES - 3)
    assert told["every task"] == (IMAGES, IMAGES - 3)


def test_images_of_one_category_are_a_cluster():
    [lost] = planted(replace(BOTH_RIGHT, categories=7)).lost((NAMING, arms.knockout(arms.LAST)))
    assert len({*lost.clusters}) == 7


@pytest.mark.parametrize("task", [SHOWN, ABSENT])
def test_polling_is_of_both_classes_or_not_at_all(task):
    arm = arms.knockout(arms.QUESTION)
    routes = planted(replace(BOTH_RIGHT, lacking={arm: (task,)}))
    assert routes.count((POLLING, arm)) == 0
    assert routes.count((NAMING, arm)) == IMAGES


def test_what_is_lost_is_the_ratio_of_means():
    routes, arm = planted(SAME_PARTS), arms.knockout(arms.LAST)
    [lost] = routes.lost((NAMING, arm))
    taken, whole = (
        (routes.margin(NAMING, "clean") - routes.margin(NAMING, each)).mean()
        for each in (arm, arms.knockout(arms.TEXT))
    )
    assert lost.values.mean() == pytest.approx(taken / whole, abs=1e-3)
    drawn = np.random.default_rng(0).integers(0, IMAGES, size=(500, IMAGES))
    parts, wholes = (
        (routes.margin(NAMING, "clean") - routes.margin(NAMING, each)).to_numpy()[drawn].mean(1)
        for each in (arm, arms.knockout(arms.TEXT))
    )
    assert lost.values.std() / IMAGES**0.5 == pytest.approx((parts / wholes).std(), rel=0.2)


@pytest.mark.slow
def test_the_page_and_the_figure_tell_the_planted_numbers():
    routes = planted(BOTH_RIGHT)
    page = pages.page(routes)
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| image ->")]
    told = {cells[0].strip(): [each.strip() for each in cells[1:]] for cells in rows}
    naming, polling = (int(each.split()[0]) for each in told[arms.QUESTION])
    assert naming == pytest.approx(0, abs=2)
    assert polling == pytest.approx(96, abs=2)
    assert told[arms.TEXT] == ["100", "100"]
    assert int(told[arms.BLOCKED][1].split()[0]) == pytest.approx(60, abs=2)
    assert all(each in page for each in tomllib.loads(pages.OUTCOMES.read_text()))
    [figure] = pages.figures(routes).values()
    of_all = [row for row in csv.DictReader(StringIO(figure.csv)) if not row["layer"]]
    whole = {(row["task"], row["route"]): float(row["change"]) for row in of_all}
    assert whole[NAMING, arms.LAST] < -0.5
    assert whole[SHOWN, arms.QUESTION] < -0.5
    assert abs(whole[NAMING, arms.QUESTION]) < 0.05


@pytest.mark.slow
def test_the_bands_of_a_line_hold_at_once():
    routes = planted(BOTH_RIGHT)
    [figure] = pages.figures(routes).values()
    rows = csv.DictReader(StringIO(figure.csv))
    drawn = {(row["task"], row["route"], row["layer"]): row for row in rows}
    row = drawn[NAMING, arms.LAST, "0.0"]
    windows = [*routes.windows, arms.ALL]
    named = [arms.knockout(arms.LAST, each) for each in windows]
    low, high = band(routes.probability(NAMING, *named), (-1.0, 1.0))
    assert (float(row["low"]), float(row["high"])) == pytest.approx((low[0], high[0]))
    change = routes.probability(NAMING, named[0])
    assert low[0] < of_mean(change.point(0), (-1.0, 1.0)).interval(0.95)[0]


@pytest.mark.slow
def test_a_way_that_no_prompt_has_leaves_out_its_lines_alone():
    lacking = {
        arms.knockout(arms.OTHER, each): (NAMING, SHOWN, ABSENT)
        for each in [arms.ALL, *(arms.window(layer) for layer in range(LAYERS))]
    }
    routes = planted(replace(BOTH_RIGHT, lacking=lacking))
    assert arms.OTHER in pages.page(routes)
    [figure] = pages.figures(routes).values()
    assert arms.OTHER not in figure.csv
    assert arms.LAST in figure.csv
