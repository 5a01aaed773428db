"""Section 4.2: through which positions does information about the object reach the answer?"""

import pytest

from claimlib import (
    beside_another,
    beside_negative_control,
    beside_positive_control,
    greater,
    in_every_setting,
    where_alive,
)
from claims.neo2025.arms import TO_ROW, TO_TEXT, WINDOWS, knockout, random
from claims.neo2025.tables import beside_printed
from vlmlib import LackingError

FROM_OBJECT = ("O -> LTP", "O+1 -> LTP", "O+2 -> LTP")
ALL_OF_IT = knockout("O+1 -> LTP", "all")


def alive(table, verdict, *arms):
    """A verdict on blocked edges, each of which changed the hidden states at its targets."""
    for arm in arms:
        verdict = where_alive(verdict, table.alive("VQA", arm))
    return verdict


def hurts_more(trial, table, row, window, other):
    """Blocking a row's edges in one window against another."""
    blocked, elsewhen = knockout(row, window), knockout(row, other)
    verdict = trial.claim.rule(*table.pair("VQA", blocked, elsewhen))
    return alive(table, verdict, blocked, elsewhen)


@pytest.mark.claim("object-to-last-late")
def test_blocking_the_object_hurts_in_mid_to_late_layers(trial, subject):
    table, verdicts = subject.knockouts, {}
    for row in FROM_OBJECT:
        blocked, control = knockout(row, "mid-late"), knockout(random(row), "mid-late")
        verdict = hurts_more(trial, table, row, "mid-late", "early")
        verdict = beside_negative_control(verdict, *table.pair("VQA", blocked, control))
        verdicts[row] = alive(table, verdict, control)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("object-to-last-early")
def test_blocking_the_object_has_no_effect_in_early_layers(trial, subject):
    table, verdicts = subject.knockouts, {}
    for row in FROM_OBJECT:
        early, throughout = knockout(row, "early"), knockout(row, "all")
        verdict = trial.claim.rule(table.lost("VQA", early))
        positive = greater(
            *table.pair("VQA", throughout, early), margin=trial.claim.parameters["positive"]
        )
        verdict = beside_another(verdict, positive, "the same edges in all layers")
        verdicts[row] = alive(table, verdict, early)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("context-early")
def test_blocking_the_context_hurts_in_early_layers(trial, subject):
    trial.check(hurts_more(trial, subject.knockouts, "I-(O+1) -> LTP", "early", "late"))


@pytest.mark.claim("directly-extracts")
def test_the_direct_way_carries_more_than_the_one_through_text(trial, subject):
    table, around = subject.knockouts, knockout(TO_TEXT[0], "all")
    verdict = trial.claim.rule(*table.pair("VQA", ALL_OF_IT, around))
    trial.check(alive(table, verdict, ALL_OF_IT, around))


@pytest.mark.claim("indirect-way")
def test_what_the_direct_way_leaves_does_not_come_through_text(trial, subject):
    table, both, margin = subject.knockouts, knockout(TO_TEXT[1], "all"), trial.claim.bounds
    verdict = trial.claim.rule(*table.pair("VQA", both, ALL_OF_IT))
    verdict = beside_positive_control(verdict, table.lost("VQA", ALL_OF_IT), margin["margin"])
    trial.check(alive(table, verdict, both, knockout(TO_TEXT[0], "all")))


def has_no_effect(trial, table, windows):
    """Blocking edges into the last visual row, in each of several windows."""
    verdicts, margin = {}, trial.claim.bounds["margin"]
    control = table.lost("VQA", ALL_OF_IT)
    for arm in (knockout(row, window) for row in TO_ROW for window in windows):
        verdict = trial.claim.rule(table.lost("VQA", arm))
        verdicts[arm] = alive(table, beside_positive_control(verdict, control, margin), arm)
    return in_every_setting(verdicts)


@pytest.mark.claim("last-visual-row-vqa")
def test_blocking_attention_into_the_last_visual_row_has_no_effect(trial, subject):
    trial.check(has_no_effect(trial, subject.knockouts, WINDOWS))


@pytest.mark.claim("last-visual-row-probability")
def test_blocking_the_last_visual_row_leaves_the_probability(trial, subject):
    table, verdicts = subject.knockouts, {}
    for arm in (knockout(row, window) for row in TO_ROW for window in WINDOWS):
        blocked, clean, throughout = table.doubts("VQA", [arm, "clean", ALL_OF_IT])
        positive = greater(throughout, clean, margin=trial.claim.bounds["margin"])
        verdict = trial.claim.rule(blocked, clean)
        verdict = beside_another(verdict, positive, "O+1 to the last token, in all layers")
        verdicts[arm] = alive(table, verdict, arm)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("all-layers")
def test_blocking_the_object_in_all_layers_leaves_the_printed_accuracy(trial, subject, printed):
    table, control = subject.knockouts, knockout(random("O+1 -> LTP"), "all")
    verdict = trial.claim.rule(
        table.lost("VQA", ALL_OF_IT), printed.knockouts.lost("VQA", ALL_OF_IT).share
    )
    verdict = beside_negative_control(verdict, *table.pair("VQA", ALL_OF_IT, control))
    trial.check(alive(table, verdict, ALL_OF_IT, control))


@pytest.mark.claim("probability-falls")
def test_blocking_the_object_lowers_the_right_tokens_probability(trial, subject):
    table, verdicts = subject.knockouts, {}
    for row in FROM_OBJECT:
        arms = [
            knockout(row, "mid-late"),
            knockout(row, "early"),
            knockout(random(row), "mid-late"),
        ]
        late, early, control = table.doubts("VQA", arms)
        verdict = beside_negative_control(trial.claim.rule(late, early), late, control)
        verdicts[row] = alive(table, verdict, *arms)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("table-2")
def test_table_2_reproduces_on_other_images(trial, subject, printed):
    trial.check(beside_printed(trial.claim.rule, subject.knockouts, printed.knockouts))


@pytest.mark.claim("table-2-repeat")
def test_table_2_repeats_on_its_own_images(trial, subject, printed):
    verdict = beside_printed(
        trial.claim.rule, subject.knockouts, printed.knockouts, flips=subject.flips
    )
    trial.check(verdict)


@pytest.mark.claim("sliding-peak")
def test_a_sliding_window_hurts_most_in_middle_to_late_layers(trial, subject):
    table, places, asked = subject.knockouts, subject.sliding_places, trial.claim.bounds
    if len({asked["low"] <= place <= asked["high"] for place in places.values()}) < 2:
        raise LackingError("This model has too few layers for windows here and elsewhere.")
    rows = "O+1 -> LTP", random("O+1 -> LTP")
    curves, control = (
        table.curves("VQA", [knockout(row, window) for window in places]) for row in rows
    )
    verdict = trial.claim.rule(curves, list(places.values()))
    verdict = beside_negative_control(verdict, curves.mean(), control.mean())
    trial.check(
        alive(table, verdict, *(knockout(row, window) for row in rows for window in places))
    )


@pytest.mark.claim("sliding-last-row")
def test_a_sliding_window_into_the_last_visual_row_has_no_effect(trial, subject):
    trial.check(has_no_effect(trial, subject.knockouts, subject.sliding_places))
