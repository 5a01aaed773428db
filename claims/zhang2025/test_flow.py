"""Which routes the answer takes, and in which layers: a test for each claim, of every task that the
model can do."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from claimlib import (
    Clustered,
    Verdict,
    beside_negative_control,
    beside_positive_control,
    in_every_setting,
    where_alive,
)
from claims.zhang2025 import arms, lens
from claims.zhang2025.study import Stage

SIGNED = {"bounds": (-1.0, 1.0), "unit": "%"}
POINTS = {"bounds": (-2.0, 2.0), "unit": "points"}  # of two changes


def every_task(flow, judge: Callable[[str], Verdict]) -> Verdict:
    return in_every_setting({task: judge(task) for task in flow.tasks})


def alive(flow, verdict: Verdict, task: str, *stages: Stage) -> Verdict:
    """A verdict on blocked edges, each of which changed the hidden states at its targets."""
    for route, windows in stages:
        verdict = where_alive(verdict, flow.reached(task, route, windows))
    return verdict


def lowers(trial, flow, one: Stage, control: Stage) -> Verdict:
    """Blocking a route in a stage, beside what should do nothing."""

    def of(task: str) -> Verdict:
        [change] = flow.change(task, one)
        verdict = trial.claim.rule(change.mean(), **SIGNED)
        effect, beside = (each.mean() for each in flow.lost(task, one, control))
        verdict = beside_negative_control(verdict, effect, beside)
        return alive(flow, verdict, task, one, control)

    return every_task(flow, of)


def changes_nothing(trial, flow, route: str, windows: Sequence[str], ceiling: str) -> Verdict:
    """Blocking a route in any of these windows, beside blocking another in all layers."""
    verdicts = {}
    for task in flow.tasks:
        [control] = flow.lost(task, (ceiling, [arms.ALL]))
        for window in windows:
            [change] = flow.change(task, (route, [window]))
            verdict = trial.claim.rule(change.mean(), **SIGNED)
            floor = trial.claim.parameters["positive"]
            verdict = beside_positive_control(verdict, control.mean(), floor)
            verdicts[f"{task}, {window}"] = alive(flow, verdict, task, (route, [window]))
    return in_every_setting(verdicts)


def costs_more(trial, flow, task: str, one: Stage, other: Stage) -> Verdict:
    """Blocking one route in some windows against another in others, on the same questions."""
    first, second = (each.mean() for each in flow.change(task, one, other))
    more = Clustered(second.values - first.values, first.clusters)
    verdict = trial.claim.rule(more, **POINTS)
    return alive(flow, verdict, task, one, other)


def deep_enough(trial, flow) -> None:
    fewest = trial.claim.parameters["fewest"]
    if flow.layers < fewest:
        trial.leave_out(
            f"Stages of {fewest} layers or more are told apart; this model has {flow.layers}."
        )


@pytest.mark.claim("last-to-last")
def test_the_last_position_needs_nothing_of_itself(trial, flow):
    trial.check(changes_nothing(trial, flow, arms.LAST, flow.windows, arms.TEXT))


@pytest.mark.claim("image-to-last")
def test_the_last_position_needs_nothing_of_the_image(trial, flow):
    trial.check(changes_nothing(trial, flow, arms.IMAGE, flow.windows, arms.TEXT))


@pytest.mark.claim("question-to-last-ends")
def test_the_question_reaches_the_last_position_at_neither_end(trial, flow):
    windows = [*dict.fromkeys(flow.stage("lowest") + flow.stage("highest"))]
    trial.check(changes_nothing(trial, flow, arms.QUESTION, windows, arms.QUESTION))


@pytest.mark.claim("question-to-last-middle")
def test_the_question_reaches_the_last_position_in_middle_layers(trial, flow):
    windows = flow.stage("middle")
    trial.check(lowers(trial, flow, (arms.QUESTION, windows), (arms.RANDOM, windows)))


@pytest.mark.claim("question-to-last-higher")
def test_the_question_reaches_the_last_position_in_higher_layers(trial, flow):
    windows = flow.stage("higher")
    trial.check(lowers(trial, flow, (arms.QUESTION, windows), (arms.RANDOM, windows)))


@pytest.mark.claim("question-before-image")
def test_the_last_position_needs_the_question_more_than_the_image(trial, flow):
    one, other = ((route, flow.stage("middle")) for route in (arms.QUESTION, arms.IMAGE))
    trial.check(every_task(flow, lambda task: costs_more(trial, flow, task, one, other)))


@pytest.mark.claim("image-to-question-early")
def test_the_image_reaches_the_question_in_the_lowest_layers(trial, flow):
    early, last = ((arms.INTO_QUESTION, each) for each in (flow.stage("early"), flow.windows[-1:]))
    trial.check(lowers(trial, flow, early, last))


@pytest.mark.claim("image-to-question-second")
def test_the_image_reaches_the_question_once_more(trial, flow):
    once, last = ((arms.INTO_QUESTION, each) for each in (flow.stage("second"), flow.windows[-1:]))
    trial.check(lowers(trial, flow, once, last))


@pytest.mark.claim("two-dips")
def test_the_two_stages_are_two_dips_and_the_first_is_deeper(trial, flow):
    deep_enough(trial, flow)
    first, between, second = (
        (arms.INTO_QUESTION, flow.stage(name)) for name in ("early", "between", "second")
    )
    pairs = {"first dip": (first, between), "second dip": (second, between)}
    pairs["deeper"] = first, second
    verdicts = {
        f"{task}, {name}": costs_more(trial, flow, task, *pair)
        for task in flow.tasks
        for name, pair in pairs.items()
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("indirect-beats-direct")
def test_the_way_through_the_question_costs_more_than_the_direct_one(trial, flow):
    one, other = ((route, flow.windows) for route in (arms.INTO_QUESTION, arms.IMAGE))
    trial.check(every_task(flow, lambda task: costs_more(trial, flow, task, one, other)))


@pytest.mark.claim("same-layers")
def test_the_image_reaches_the_question_in_the_same_layers(trial, flow):
    places = [(layer + 0.5) / flow.layers for layer in range(flow.layers)]

    def peaks(task: str) -> Verdict:
        [curve] = flow.change(task, (arms.INTO_QUESTION, flow.windows))
        verdict = trial.claim.rule(Clustered(-curve.values, curve.clusters), places)
        stages = flow.stage("early"), flow.windows[-1:]
        lost = flow.lost(task, *((arms.INTO_QUESTION, each) for each in stages))
        verdict = beside_negative_control(verdict, *(each.mean() for each in lost))
        return alive(flow, verdict, task, (arms.INTO_QUESTION, flow.windows))

    trial.check(every_task(flow, peaks))


@pytest.mark.claim("other-patches-early")
def test_the_rest_of_the_image_comes_early(trial, flow):
    verdicts = {
        f"{task}, {route}": costs_more(
            trial, flow, task, (route, flow.stage("early")), (route, flow.stage("second"))
        )
        for task in flow.tasks
        for route in (arms.OTHER, arms.AS_MANY)
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("related-patches-second")
def test_what_is_asked_about_comes_in_the_second_stage(trial, flow):
    one, other = ((arms.RELATED, flow.stage(name)) for name in ("second", "early"))
    trial.check(every_task(flow, lambda task: costs_more(trial, flow, task, one, other)))


def is_earlier(trial, flow, task: str, one: str, other: str, later: str) -> Verdict:
    """Whether one route costs more in the lowest layers, beside later ones, than another does."""
    stages = flow.stage("early"), flow.stage(later)
    windows = [each for stage in stages for each in stage]
    curves = flow.change(task, (one, windows), (other, windows))
    cut = len(stages[0])
    first, second = (
        each.values[:, cut:].mean(axis=1) - each.values[:, :cut].mean(axis=1) for each in curves
    )
    interaction = Clustered(first - second, curves[0].clusters)
    verdict = trial.claim.rule(interaction, **POINTS)
    return alive(flow, verdict, task, (one, windows), (other, windows))


@pytest.mark.claim("other-before-related")
def test_the_rest_of_the_image_comes_before_what_is_asked_about(trial, flow):
    deep_enough(trial, flow)
    routes = arms.AS_MANY, arms.RELATED
    trial.check(every_task(flow, lambda task: is_earlier(trial, flow, task, *routes, "second")))


@pytest.mark.claim("question-first")
def test_the_image_reaches_the_question_before_that_the_last_position(trial, flow):
    routes = arms.INTO_QUESTION, arms.QUESTION
    trial.check(every_task(flow, lambda task: is_earlier(trial, flow, task, *routes, "higher")))


@pytest.mark.claim("answer-rises-late")
def test_the_answer_rises_once_the_middle_layers_begin(trial, flow):
    begins = arms.stages(flow.layers)["middle"].start + 1  # the embeddings come first
    verdicts = {}
    for task in flow.tasks:
        for how in lens.READOUTS:
            curve = flow.lens[task].curve(how)
            before, after = (
                Clustered(part.mean(axis=1), curve.clusters)
                for part in np.split(curve.values, [begins], axis=1)
            )
            verdicts[f"{task}, {how}"] = trial.claim.rule(after, before)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("lower-case-first")
def test_small_letters_come_before_capital_ones(trial, flow):
    appears, verdicts = trial.claim.parameters["appears"], {}
    for task in flow.tasks:
        shown = flow.lens[task].capitalised()
        if len(shown.found):
            small, capital = (shown.curve(lens.RAW, form) for form in (lens.LOWER, lens.CAPITAL))
            first = _onset(small, appears) < _onset(capital, appears)
            verdicts[task] = trial.claim.rule(Clustered(first, small.clusters))
    if not verdicts:
        trial.leave_out("This model answers none of the tasks that it can do in capital letters.")
    trial.check(in_every_setting(verdicts))


def _onset(curve: Clustered, appears: float) -> np.ndarray:
    """The first layer after which a token has so much probability; one more than all for none."""
    there = curve.values > appears
    return np.where(there.any(axis=1), there.argmax(axis=1), there.shape[1])
