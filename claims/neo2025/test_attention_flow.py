"""Section 4.2: through which positions does information about the object reach the answer?"""

import pytest

from claimlib import beside_negative_control, beside_positive_control, in_every_setting
from claims.neo2025.arms import TO_ROW, WINDOWS, knockout, random
from claims.neo2025.cells import agreement

FROM_OBJECT = ("O -> LTP", "O+1 -> LTP", "O+2 -> LTP")
ALL_OF_IT = knockout("O+1 -> LTP", "all")


def hurts_more(trial, table, row, window, other):
    """Blocking a row's edges in one window against another, beside as many random sources."""
    blocked, elsewhen = knockout(row, window), knockout(row, other)
    verdict = trial.claim.rule(*table.pair("VQA", blocked, elsewhen))
    control = table.pair("VQA", blocked, knockout(random(row), window))
    return beside_negative_control(verdict, *control)


def has_no_effect(trial, table, arm, control):
    verdict = trial.claim.rule(table.lost("VQA", arm))
    return beside_positive_control(
        verdict, table.lost("VQA", control), trial.claim.bounds["margin"]
    )


@pytest.mark.claim("object-to-last-late")
def test_blocking_the_object_hurts_in_mid_to_late_layers(trial, subject):
    table = subject.knockouts
    verdicts = {row: hurts_more(trial, table, row, "mid-late", "early") for row in FROM_OBJECT}
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("object-to-last-early")
def test_blocking_the_object_has_no_effect_in_early_layers(trial, subject):
    table = subject.knockouts
    verdicts = {
        row: has_no_effect(trial, table, knockout(row, "early"), knockout(row, "all"))
        for row in FROM_OBJECT
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("context-early")
def test_blocking_the_context_hurts_in_early_layers(trial, subject):
    trial.check(hurts_more(trial, subject.knockouts, "I-(O+1) -> LTP", "early", "late"))


@pytest.mark.claim("last-visual-row-vqa")
def test_blocking_attention_into_the_last_visual_row_has_no_effect(trial, subject):
    table = subject.knockouts
    arms = [knockout(row, window) for row in TO_ROW for window in WINDOWS]
    verdicts = {arm: has_no_effect(trial, table, arm, ALL_OF_IT) for arm in arms}
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("all-layers")
def test_blocking_the_object_in_all_layers_leaves_the_printed_accuracy(trial, subject, printed):
    table = subject.knockouts
    verdict = trial.claim.rule(
        table.lost("VQA", ALL_OF_IT), printed.knockouts.lost("VQA", ALL_OF_IT)
    )
    control = table.pair("VQA", ALL_OF_IT, knockout(random("O+1 -> LTP"), "all"))
    trial.check(beside_negative_control(verdict, *control))


@pytest.mark.claim("probability-falls")
def test_blocking_the_object_lowers_the_right_tokens_probability(trial, subject):
    blocked = [knockout("O+1 -> LTP", window) for window in ("mid-late", "early")]
    arms = [*blocked, knockout(random("O+1 -> LTP"), "mid-late")]
    late, early, control = subject.knockouts.doubt("VQA", arms).T
    trial.check(beside_negative_control(trial.claim.rule(late, early), late, control))


@pytest.mark.claim("table-2-cell")
def test_the_cell_of_table_2_reproduces(trial, subject, cell):
    trial.check(agreement(subject.knockouts, subject.name, trial.claim)[cell])


@pytest.mark.claim("sliding-peak")
def test_a_sliding_window_hurts_most_in_middle_to_late_layers(trial, subject):
    table, places = subject.knockouts, subject.sliding_places
    curves, control = (
        table.curves("VQA", [knockout(row, window) for window in places])
        for row in ("O+1 -> LTP", random("O+1 -> LTP"))
    )
    verdict = trial.claim.rule(curves, list(places.values()))
    trial.check(beside_negative_control(verdict, curves.mean(1), control.mean(1)))


@pytest.mark.claim("sliding-last-row")
def test_a_sliding_window_into_the_last_visual_row_has_no_effect(trial, subject):
    table = subject.knockouts
    arms = [knockout(row, window) for row in TO_ROW for window in subject.sliding_places]
    verdicts = {arm: has_no_effect(trial, table, arm, ALL_OF_IT) for arm in arms}
    trial.check(in_every_setting(verdicts))
