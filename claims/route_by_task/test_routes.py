"""Which way the answer takes from the image, by the task; and what the first layers hand to the
question."""

import pytest

from claimlib import (
    Clustered,
    Outcome,
    Verdict,
    beside_negative_control,
    beside_positive_control,
    in_every_setting,
    where_alive,
    within,
)
from claims.route_by_task.arms import (
    BLOCKED,
    BOTH,
    LAST,
    ONE_LEFT,
    OTHER_ANSWER,
    QUESTION,
    SAME_ANSWER,
    SUFFIX,
    TEXT,
    knockout,
)
from claims.route_by_task.asked import NAMING, POLLING

OWN = {NAMING: LAST, POLLING: QUESTION}  # the way that each task takes, by the two papers
Arm = tuple[str, str]  # of a kind of question


def compared(trial, routes, one: Arm, other: Arm) -> Verdict:
    """What one arm takes away against what another does, on the same images."""
    verdict = trial.claim.rule(*routes.lost(one, other))
    return where_alive(verdict, routes.reached(one, other))


def hardly_there(trial, routes, kind: str, change: Clustered, *used: str) -> Verdict:
    """A change that may not be there, beside the last of the arms used, which must do something."""
    verdict = trial.claim.rule(change, bounds=(-1.0, 1.0), unit="%")
    [control] = routes.lost((kind, used[-1]))
    verdict = beside_positive_control(verdict, control, trial.claim.parameters["positive"])
    return where_alive(verdict, routes.reached(*((kind, each) for each in used)))


def difference(routes, kind: str, one: str, other: str) -> Clustered:
    first, second = routes.lost((kind, one), (kind, other))
    return Clustered(first.values - second.values, first.clusters)


@pytest.mark.claim("route-by-task")
def test_the_way_depends_on_the_task(trial, routes):
    asked = [(kind, knockout(route)) for kind in (POLLING, NAMING) for route in (QUESTION, LAST)]
    through, straight, *of_naming = routes.lost(*asked)
    own = through.values - straight.values
    others = of_naming[0].values - of_naming[1].values
    interaction = Clustered(own - others, through.clusters)
    verdict = trial.claim.rule(interaction, bounds=(-2.0, 2.0), unit="points")
    trial.check(where_alive(verdict, routes.reached(*asked)))


@pytest.mark.claim("question-for-polling")
def test_polling_needs_the_image_in_the_question_more_than_naming_does(trial, routes):
    route = knockout(QUESTION)
    trial.check(compared(trial, routes, (POLLING, route), (NAMING, route)))


@pytest.mark.claim("last-for-naming")
def test_naming_needs_the_image_at_the_last_position_more_than_polling(trial, routes):
    route = knockout(LAST)
    trial.check(compared(trial, routes, (NAMING, route), (POLLING, route)))


@pytest.mark.claim("naming-goes-straight")
def test_names_go_straight_to_the_last_position(trial, routes):
    one, other = ((NAMING, knockout(route)) for route in (LAST, QUESTION))
    trial.check(compared(trial, routes, one, other))


@pytest.mark.claim("polling-goes-through-the-question")
def test_yes_and_no_come_through_the_question(trial, routes):
    one, other = ((POLLING, knockout(route)) for route in (QUESTION, LAST))
    trial.check(compared(trial, routes, one, other))


@pytest.mark.claim("nothing-through-the-suffix")
def test_nothing_comes_through_the_tokens_after_the_question(trial, routes):
    suffix, verdicts = knockout(SUFFIX), {}
    for kind in OWN:
        [change] = routes.change((kind, suffix))
        verdicts[kind] = hardly_there(trial, routes, kind, change, suffix, knockout(TEXT))
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("two-ways-are-all")
def test_the_two_ways_together_are_all_ways(trial, routes):
    both, text, verdicts = knockout(BOTH), knockout(TEXT), {}
    for kind in OWN:
        more = difference(routes, kind, text, both)
        verdicts[kind] = hardly_there(trial, routes, kind, more, both, text)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("no-spare-way")
def test_the_other_way_is_no_spare_one(trial, routes):
    both, verdicts = knockout(BOTH), {}
    for kind, way in OWN.items():
        own = knockout(way)
        more = difference(routes, kind, both, own)
        verdicts[kind] = hardly_there(trial, routes, kind, more, both, own)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("first-layers-matter")
def test_the_first_layers_hand_the_image_to_the_question(trial, routes):
    one, control = (POLLING, BLOCKED), (POLLING, knockout(SUFFIX))
    verdict = trial.claim.rule(*routes.change(one), bounds=(-1.0, 1.0), unit="%")
    verdict = beside_negative_control(verdict, *routes.lost(one, control))
    trial.check(where_alive(verdict, routes.reached(one, control)))


@pytest.mark.claim("attention-balance")
def test_the_first_layers_cost_is_attentions_balance(trial, routes):
    least = trial.claim.parameters["positive"]
    [change] = routes.change((POLLING, BLOCKED))
    cost = within(change, least, 1.0, (-1.0, 1.0), trial.claim.level, "%")
    if cost.outcome != Outcome.SUPPORTED:
        trial.leave_out(f"Nothing is to be explained: the first layers' cost is {cost}.")
    trial.check(compared(trial, routes, (POLLING, ONE_LEFT), (POLLING, BLOCKED)))


@pytest.mark.claim("question-holds-the-answer")
def test_the_question_holds_the_answer_after_the_first_layers(trial, routes):
    trial.check(compared(trial, routes, (POLLING, OTHER_ANSWER), (POLLING, SAME_ANSWER)))
