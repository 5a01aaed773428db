"""Result tables: are the numbers that claims ask for those of the rows, image by image?

Oracles: hand-made rows, and a plain search through them. Fails if an image that the model had wrong
counts, if two arms are paired across images, if a missing arm passes for one without effect, or if
a cell is corrected for others than its table's.
"""

import numpy as np
import pandas as pd
import pytest
from claims.neo2025.results import Table, agreement
from hypothesis import given, settings
from hypothesis import strategies as st

from claimlib.shares import agrees
from claimlib.verdicts import Outcome, Verdict
from claims.neo2025 import results
from claims.neo2025.published import cells
from vlmlib import VLMError

COLUMNS = pd.Index(["task", "image", "arm", "right", "probability", "tokens"])
TASKS, ARMS = ("polling", "VQA"), ("clean", "object", "register", "random 5")


def table_of(*rows: tuple) -> Table:
    """From (task, image, arm, right, probability, tokens)."""
    images = {task: {"asked": len({row[1] for row in rows if row[0] == task})} for task in TASKS}
    return Table.of(pd.DataFrame(list(rows), columns=COLUMNS), images)


def image(
    task: str, number: int, right: bool = True, p: float = 0.5, **arms: tuple[bool, float, int]
) -> list[tuple]:
    """The rows of one image: the clean run, and arms as (right, probability, tokens)."""
    return [
        (task, number, "clean", right, p, 0),
        *((task, number, arm, *row) for arm, row in arms.items()),
    ]


HAND_MADE = table_of(
    *image("polling", 9, True, 0.9, object=(False, 0.2, 12), register=(True, 0.8, 3)),
    *image("polling", 2, True, 0.6, object=(True, 0.7, 10), register=(True, 0.5, 2)),
    *image("polling", 5, False, 0.1),
    *image("polling", 7, True, 0.8, object=(False, 0.1, 11)),
    *image("VQA", 2, True, 0.4, object=(False, 0.3, 10)),
    *image("VQA", 5, True, 0.3, object=(True, 0.2, 14)),
    *image("VQA", 9, False, 0.2),
)


def test_images_without_a_right_clean_run_are_dropped_task_by_task():
    at = {task: sorted(set(HAND_MADE.rows.image[HAND_MADE.rows.task == task])) for task in TASKS}
    assert at == {"polling": [2, 7, 9], "VQA": [2, 5]}
    assert HAND_MADE.images == {
        "polling": {"asked": 4, "counted": 3},
        "VQA": {"asked": 3, "counted": 2},
    }


def test_wrong_images_are_dropped_with_all_their_arms():
    table = table_of(
        *image("VQA", 1, False, object=(False, 0.1, 4)),
        *image("VQA", 2, True, object=(True, 0.9, 5)),
    )
    assert table.lost("VQA", "object").tolist() == [False]
    assert table.tokens("object").tolist() == [5]


def test_an_image_of_which_only_arms_are_known_does_not_count():
    table = table_of(("VQA", 1, "object", True, 0.1, 4), *image("VQA", 2, object=(False, 0.9, 5)))
    assert table.lost("VQA", "object").tolist() == [True]


def test_lost_is_where_the_arm_took_the_right_answer_away_in_order_of_the_images():
    assert HAND_MADE.lost("polling", "object").tolist() == [False, True, True]
    assert HAND_MADE.lost("polling", "object").dtype == bool
    assert HAND_MADE.lost("polling", "register").tolist() == [False, False]
    assert HAND_MADE.lost("VQA", "object").tolist() == [True, False]
    assert HAND_MADE.lost("polling", "clean").tolist() == [False] * 3


def test_two_arms_are_paired_on_the_images_that_have_both():
    first, second = HAND_MADE.pair("polling", "object", "register")
    assert (first.tolist(), second.tolist()) == ([False, True], [False, False])
    second, first = HAND_MADE.pair("polling", "register", "object")
    assert (first.tolist(), second.tolist()) == ([False, True], [False, False])
    assert first.dtype == second.dtype == bool


def test_curves_and_doubt_have_a_column_per_arm_in_the_order_asked_for():
    assert HAND_MADE.curves("polling", ["object", "clean"]).tolist() == [[0, 0], [1, 0], [1, 0]]
    assert HAND_MADE.curves("polling", ["register", "object"]).tolist() == [[0, 0], [0, 1]]
    np.testing.assert_allclose(
        HAND_MADE.doubt("polling", ["clean", "object"]), [[0.4, 0.3], [0.2, 0.9], [0.1, 0.8]]
    )
    np.testing.assert_allclose(
        HAND_MADE.doubt("polling", ["register", "object"]), [[0.5, 0.3], [0.2, 0.8]]
    )


def test_tokens_are_counted_once_per_image_whatever_the_task():
    found = table_of(
        *image("polling", 1, object=(True, 0.1, 12)),
        *image("VQA", 1, object=(True, 0.1, 12)),
        *image("VQA", 2, object=(True, 0.1, 7)),
        *image("polling", 3, False, object=(True, 0.1, 99)),
    ).tokens("object")
    assert sorted(found.tolist()) == [7, 12]
    assert HAND_MADE.tokens("nothing").tolist() == []


def test_has_says_whether_an_arm_was_run_on_any_image_that_counts():
    assert HAND_MADE.has("register")
    assert not HAND_MADE.has("registers")


answers = st.tuples(st.booleans(), st.floats(0, 1, width=16), st.integers(0, 9))
frames = st.dictionaries(
    st.tuples(st.sampled_from(TASKS), st.integers(0, 6), st.sampled_from(ARMS)), answers
)


@settings(max_examples=80, deadline=None)
@given(found=frames, data=st.data(), seed=st.integers(0, 9))
def test_whatever_was_measured_is_what_a_search_through_the_rows_finds(found, data, seed):
    rows = [(*key, *values) for key, values in found.items()]
    table = table_of(*rows)
    task = data.draw(st.sampled_from(TASKS))
    arms = data.draw(st.lists(st.sampled_from(ARMS[1:]), min_size=1, max_size=3, unique=True))
    counted = [each for each in range(7) if found.get((task, each, "clean"), (False,))[0]]
    both = [each for each in counted if all((task, each, arm) in found for arm in arms)]
    kept = {(of, each) for of, each, arm in found if arm == "clean" and found[of, each, arm][0]}
    measured = [arm for arm in arms if any((of, each, arm) in found for of, each in kept)]
    assert table.images[task]["counted"] == len(counted)
    if measured == arms or not counted:
        expected = np.array([[found[task, each, arm] for arm in arms] for each in both]).reshape(
            -1, len(arms), 3
        )
        assert np.array_equal(table.curves(task, arms), 1 - expected[..., 0])
        assert np.array_equal(table.doubt(task, arms), 1 - expected[..., 1])
        shuffled = [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))]
        assert np.array_equal(table_of(*shuffled).curves(task, arms), table.curves(task, arms))
    else:
        with pytest.raises(VLMError, match="No image has the arm"):
            table.curves(task, arms)


def test_an_arm_that_no_image_has_beside_one_that_is_known_is_refused_with_those_that_are():
    ask = r"'objects' for polling\. Measured were: clean, object, register\."
    for call in (HAND_MADE.curves, HAND_MADE.doubt):
        with pytest.raises(VLMError, match=ask):
            call("polling", ["object", "objects"])
    for pair in (("objects", "object"), ("object", "objects")):
        with pytest.raises(VLMError, match=ask):
            HAND_MADE.pair("polling", *pair)
    assert (
        len(HAND_MADE.pair("VQA", "object", "register")[0]) == 0
    )  # known, but run under polling alone


def test_an_arm_that_no_image_has_is_refused_also_where_it_is_asked_for_alone():
    with pytest.raises(
        VLMError, match=r"'objects' for polling\. Measured were: clean, object, register\."
    ):
        HAND_MADE.lost("polling", "objects")


@pytest.mark.parametrize(
    "table",
    [table_of(), table_of(*image("polling", 1, False), *image("VQA", 2, False))],
    ids=["no images", "none that was right"],
)
def test_a_table_without_images_that_count_gives_empty_arrays_for_any_arm(table):
    for task in TASKS:
        assert table.images[task]["counted"] == 0
        assert table.lost(task, "anything").shape == (0,)
        assert [each.shape for each in table.pair(task, "anything", "else")] == [(0,), (0,)]
        assert (
            table.curves(task, ["a", "b", "c"]).shape
            == table.doubt(task, ["a", "b", "c"]).shape
            == (0, 3)
        )
    assert table.tokens("anything").shape == (0,)
    assert not table.has("clean")


def test_a_task_without_images_that_count_is_empty_beside_one_that_has_some():
    table = table_of(*image("polling", 1, object=(True, 0.5, 3)), *image("VQA", 1, False))
    assert table.lost("VQA", "object").shape == (0,)
    assert table.lost("polling", "object").shape == (1,)


def reproduced(number: int, model: str, n: int) -> Table:
    """Each printed cell loses its printed share of n images, rounded; but the first cell loses
    all."""
    rows = []
    printed = [cell for cell in cells() if (cell.table, cell.model) == (number, model)]
    for task in {cell.task for cell in printed}:
        rows += [(task, each, "clean", True, 0.9, 0) for each in range(n)]
    for index, cell in enumerate(printed):
        lost = n if not index else round(cell.lost.share * n)
        rows += [(cell.task, each, cell.arm, each >= lost, 0.5, 5) for each in range(n)]
    return Table.of(pd.DataFrame(rows, columns=COLUMNS), {})


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p-values, by their definition."""
    adjusted, order, largest = [0.0] * len(p_values), np.argsort(p_values, kind="stable"), 0.0
    for place, index in enumerate(order):
        largest = max(largest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


@pytest.mark.parametrize(
    ("number", "model", "count"), [(1, "llava-phi-3", 54), (2, "llava-1.5-7b", 36)]
)
def test_agreement_is_each_cells_own_verdict_corrected_for_the_models_cells_of_its_table(
    number, model, count, monkeypatch
):
    compared, alone = [], []

    def seen(lost, printed, margin):
        compared.append((int(lost.sum()), len(lost), printed, margin))
        alone.append(agrees(lost, printed, margin))
        return alone[-1]

    monkeypatch.setattr(results, "agrees", seen)
    table = reproduced(number, model, 300)
    found = agreement(table, number, model, 0.15)
    assert agreement(table, number, model, 0.15) is found
    printed = {
        (cell.task, cell.arm): cell.lost
        for cell in cells()
        if (cell.table, cell.model) == (number, model)
    }
    assert list(found) == list(printed)
    assert len(found) == count
    assert compared == [
        (table.lost(*cell).sum(), 300, lost, 0.15) for cell, lost in printed.items()
    ]
    assert [each.p for each in found.values()] == pytest.approx(holm([each.p for each in alone]))
    assert [each.p_against for each in found.values()] == pytest.approx(
        holm([each.p_against for each in alone])
    )
    assert [each.estimate for each in found.values()] == [each.estimate for each in alone]
    first, *others = (each.outcome for each in found.values())
    assert first == Outcome.REFUTED
    assert Outcome.REFUTED not in others
    changed = [
        after
        for before, after in zip(alone, found.values(), strict=True)
        if before.outcome != after.outcome
    ]
    assert all(each.outcome == Outcome.UNDECIDED and "Holm" in each.why for each in changed)


def test_a_model_that_the_table_does_not_print_has_no_cells():
    assert agreement(HAND_MADE, 1, "emoji-llava", 0.1) == {}
    assert agreement(HAND_MADE, 2, "llava-phi-3", 0.1) == {}


def test_agreement_on_another_table_or_to_within_another_margin_is_another(monkeypatch):
    def counted(lost, _printed, margin):
        return Verdict(
            "agrees", Outcome.UNDECIDED, 0.0, (0.0, 0.0), 0.9, len(lost), f"within {margin}"
        )

    monkeypatch.setattr(results, "agrees", counted)
    asked = [
        (reproduced(2, "llava-1.5-7b", n), margin)
        for n, margin in ((30, 0.1), (20, 0.1), (20, 0.2))
    ]
    found = [agreement(table, 2, "llava-1.5-7b", margin) for table, margin in asked]
    assert [{(cell.n, cell.required) for cell in each.values()} for each in found] == [
        {(30, "within 0.1")},
        {(20, "within 0.1")},
        {(20, "within 0.2")},
    ]
