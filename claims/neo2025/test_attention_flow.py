"""Section 4.2: through which positions does information about the object reach the answer?"""

import pytest

from claimlib.controls import beside_negative_control, beside_positive_control
from claimlib.curves import peaks_within
from claimlib.shares import agrees, greater, negligible
from claimlib.verdicts import in_every_setting
from claims.neo2025.arms import TO_ROW, WINDOWS
from claims.neo2025.cells import agreement

FROM_OBJECT = ("O -> LTP", "O+1 -> LTP", "O+2 -> LTP")


def hurts_more(table, row, window, other):
    """Blocking a row's edges in one window against another, beside as many random sources."""
    verdict = greater(*table.pair("VQA", f"{row}, {window}", f"{row}, {other}"))
    return beside_negative_control(
        verdict, *table.pair("VQA", f"{row}, {window}", f"random = {row}, {window}")
    )


def has_no_effect(table, arm, control, margin):
    return beside_positive_control(
        negligible(table.lost("VQA", arm), margin), table.lost("VQA", control), margin
    )


@pytest.mark.claim("object-to-last-late")
def test_blocking_the_object_hurts_in_mid_to_late_layers(trial, subject):
    table = subject.knockouts
    trial.check(
        in_every_setting({row: hurts_more(table, row, "mid-late", "early") for row in FROM_OBJECT})
    )


@pytest.mark.claim("object-to-last-early")
def test_blocking_the_object_has_no_effect_in_early_layers(trial, subject):
    table, margin = subject.knockouts, trial.claim.bounds["margin"]
    verdicts = {
        row: has_no_effect(table, f"{row}, early", f"{row}, all", margin) for row in FROM_OBJECT
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("context-early")
def test_blocking_the_context_hurts_in_early_layers(trial, subject):
    trial.check(hurts_more(subject.knockouts, "I-(O+1) -> LTP", "early", "late"))


@pytest.mark.claim("last-visual-row-vqa")
def test_blocking_attention_into_the_last_visual_row_has_no_effect(trial, subject):
    table, margin = subject.knockouts, trial.claim.bounds["margin"]
    arms = [f"{row}, {window}" for row in TO_ROW for window in WINDOWS]
    trial.check(
        in_every_setting(
            {arm: has_no_effect(table, arm, "O+1 -> LTP, all", margin) for arm in arms}
        )
    )


@pytest.mark.claim("all-layers")
def test_blocking_the_object_in_all_layers_leaves_the_printed_accuracy(trial, subject, printed):
    table, cell = subject.knockouts, ("VQA", "O+1 -> LTP, all")
    verdict = agrees(table.lost(*cell), printed.knockouts.lost(*cell), trial.claim.bounds["margin"])
    control = table.pair("VQA", "O+1 -> LTP, all", "random = O+1 -> LTP, all")
    trial.check(beside_negative_control(verdict, *control))


@pytest.mark.claim("probability-falls")
def test_blocking_the_object_lowers_the_right_tokens_probability_in_mid_to_late_layers(
    trial, subject
):
    arms = ["O+1 -> LTP, mid-late", "O+1 -> LTP, early", "random = O+1 -> LTP, mid-late"]
    late, early, control = subject.knockouts.doubt("VQA", arms).T
    trial.check(beside_negative_control(greater(late, early), late, control))


@pytest.mark.claim("table-2-cell")
def test_the_cell_of_table_2_reproduces(trial, subject, cell):
    trial.check(agreement(subject.knockouts, 2, subject.name, trial.claim.bounds["margin"])[cell])


@pytest.mark.claim("sliding-peak")
def test_a_sliding_window_hurts_most_in_middle_to_late_layers(trial, subject):
    table, places = subject.knockouts, subject.sliding_places
    curves = table.curves("VQA", [f"O+1 -> LTP, {window}" for window in places])
    control = table.curves("VQA", [f"random = O+1 -> LTP, {window}" for window in places])
    verdict = peaks_within(
        curves, list(places.values()), trial.claim.bounds["low"], trial.claim.bounds["high"]
    )
    trial.check(beside_negative_control(verdict, curves.mean(1), control.mean(1)))


@pytest.mark.claim("sliding-last-row")
def test_a_sliding_window_into_the_last_visual_row_has_no_effect(trial, subject):
    table, margin = subject.knockouts, trial.claim.bounds["margin"]
    arms = [f"{row}, {window}" for row in TO_ROW for window in subject.sliding_places]
    trial.check(
        in_every_setting(
            {arm: has_no_effect(table, arm, "O+1 -> LTP, all", margin) for arm in arms}
        )
    )
