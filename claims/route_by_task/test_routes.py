"""Which way the answer takes from the image, by the task; and what the first layers hand to the
question."""

import numpy as np
import pytest

from claimlib import (
    Clustered,
    Outcome,
    Verdict,
    beside_another,
    in_every_setting,
    where_alive,
    within,
)
from claims.route_by_task.arms import (
    BLOCKED,
    BOTH,
    LAST,
    ONE_LEFT,
    OTHER,
    OTHER_ANSWER,
    QUESTION,
    SAME_ANSWER,
    knockout,
    to,
)
from claims.route_by_task.asked import NAMING, POLLING
from claims.route_by_task.study import LOST, WHOLE

OWN = {NAMING: LAST, POLLING: QUESTION}  # the way that each task takes, by the two papers
# With which routes the other text is blocked too, and under which name.
WITH_OTHER = {QUESTION: to("question", "other text"), LAST: to("other text", "last")}
APART = LOST[0] - LOST[1], LOST[1] - LOST[0]  # what two losses may differ by
Arm = tuple[str, str]  # of a kind of question


def lost(trial, routes, *asked: Arm) -> list[Clustered]:
    """What arms take away, as shares of what blocking all text from the image does; the claim is
    left out where that is no large part of the margin."""
    for kind in dict.fromkeys(kind for kind, _ in asked):
        whole, least = routes.whole(kind), trial.claim.parameters["whole"]
        taken = within(whole, least, WHOLE[1], WHOLE, trial.claim.level, "%")
        if taken.outcome != Outcome.SUPPORTED:
            trial.leave_out(f"Blocking all text from the image takes of {kind}'s margin {taken}.")
    return routes.lost(*asked)


def more(trial, routes, one: Arm, other: Arm) -> Verdict:
    """How much more one arm takes away than another, on the same images."""
    return differing(trial, routes, {one: 1.0, other: -1.0})


def differing(trial, routes, weights: dict[Arm, float]) -> Verdict:
    """The claim's own rule on a sum of what arms take away."""
    found = lost(trial, routes, *weights)
    pairs = zip(found, weights.values(), strict=True)
    values = np.sum([weight * each.values for each, weight in pairs], axis=0)
    summed = Clustered(np.clip(values, *APART), found[0].clusters)
    verdict = trial.claim.rule(summed, bounds=APART, unit="points")
    return where_alive(verdict, routes.reached(*weights))


def needs(trial, routes, arm: Arm) -> Verdict:
    """Whether an arm takes as much away as a positive control must."""
    [found] = lost(trial, routes, arm)
    least = trial.claim.parameters["positive"]
    return within(found, least, LOST[1], LOST, trial.claim.level, "%")


def unless_needed(trial, routes, arm: Arm, what: str) -> None:
    verdict = needs(trial, routes, arm)
    if verdict.outcome != Outcome.SUPPORTED:
        trial.leave_out(f"{what}: it costs {verdict}.")


@pytest.mark.claim("route-by-task")
def test_the_way_depends_on_the_task(trial, routes):
    (naming, straight), (polling, through) = OWN.items()
    straight, through = knockout(straight), knockout(through)
    own = {(naming, straight): 1.0, (naming, through): -1.0}
    others = {(polling, through): 1.0, (polling, straight): -1.0}
    parts = {"naming": own, "polling": others, "both": own | others}
    trial.check(in_every_setting({each: differing(trial, routes, parts[each]) for each in parts}))


@pytest.mark.claim("question-for-polling")
def test_polling_needs_the_image_in_the_question_more_than_naming_does(trial, routes):
    route = knockout(QUESTION)
    trial.check(more(trial, routes, (POLLING, route), (NAMING, route)))


@pytest.mark.claim("last-for-naming")
def test_naming_needs_the_image_at_the_last_position_more_than_polling(trial, routes):
    route = knockout(LAST)
    trial.check(more(trial, routes, (NAMING, route), (POLLING, route)))


@pytest.mark.claim("naming-goes-straight")
def test_names_go_straight_to_the_last_position(trial, routes):
    trial.check(more(trial, routes, (NAMING, knockout(LAST)), (NAMING, knockout(QUESTION))))


@pytest.mark.claim("polling-goes-through-the-question")
def test_yes_and_no_come_through_the_question(trial, routes):
    trial.check(more(trial, routes, (POLLING, knockout(QUESTION)), (POLLING, knockout(LAST))))


@pytest.mark.claim("other-text-carries-nothing")
def test_nothing_is_lost_by_the_other_text_alone_or_beside_a_way(trial, routes):
    verdicts = {}
    for kind in OWN:
        verdicts[kind] = differing(trial, routes, {(kind, knockout(OTHER)): 1.0})
        for way, both in WITH_OTHER.items():
            pair = (kind, knockout(both)), (kind, knockout(way))
            verdicts[f"{kind}, beside {way}"] = more(trial, routes, *pair)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("two-ways-are-all")
def test_the_two_ways_together_are_all_ways(trial, routes):
    both = {kind: {(kind, knockout(BOTH)): 1.0} for kind in OWN}
    trial.check(in_every_setting({kind: differing(trial, routes, both[kind]) for kind in OWN}))


@pytest.mark.claim("no-spare-way")
def test_the_other_way_is_no_spare_one(trial, routes):
    verdicts = {}
    for kind, way in OWN.items():
        own = kind, knockout(way)
        verdict = more(trial, routes, (kind, knockout(BOTH)), own)
        what = f"{kind} needs {way}"
        verdicts[kind] = beside_another(verdict, needs(trial, routes, own), what)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("first-layers-matter")
def test_the_first_layers_hand_the_image_to_the_question(trial, routes):
    unless_needed(trial, routes, (POLLING, knockout(QUESTION)), "The question is no way of polling")
    verdict = differing(trial, routes, {(POLLING, BLOCKED): 1.0})
    control = more(trial, routes, (POLLING, BLOCKED), (POLLING, knockout(OTHER)))
    trial.check(beside_another(verdict, control, "more than the image -> other text"))


@pytest.mark.claim("one-token-is-enough")
def test_one_token_left_open_is_enough_in_the_first_layers(trial, routes):
    unless_needed(trial, routes, (POLLING, BLOCKED), "Nothing is to be explained in the first ones")
    part = trial.claim.parameters["part"]
    trial.check(differing(trial, routes, {(POLLING, ONE_LEFT): 1.0, (POLLING, BLOCKED): -part}))


@pytest.mark.claim("question-holds-the-answer")
def test_the_question_holds_the_answer_after_the_first_layers(trial, routes):
    unless_needed(trial, routes, (POLLING, knockout(QUESTION)), "The question is no way of polling")
    trial.check(more(trial, routes, (POLLING, OTHER_ANSWER), (POLLING, SAME_ANSWER)))
