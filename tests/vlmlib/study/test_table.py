"""Result tables: are the numbers that claims ask for those of the rows, example by example?

Oracles: hand-made rows, and a plain search through them. Fails if an example that the model had
wrong counts, if two arms are paired across examples, if a missing arm passes for one without
effect, or if an answer that is neither right nor wrong does.
"""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmlib import VLMError
from vlmlib.study import Finished, Row, Table

TASKS, ARMS = ("polling", "VQA"), ("object", "register", "random 5")
Answers = tuple[bool | None, float | None, int | None]  # right, probability, tokens


def found(example: str, right: bool | None = True, p: float = 0.5, **arms: Answers) -> Finished:
    """One example: the clean run, and its arms."""
    clean = Row("clean", right, p, 0, detail={"visual": 16})
    rows = [Row(arm.replace("_", " "), *answers) for arm, answers in arms.items()]
    return Finished(example, f"cluster {example.split('.')[0]}", [clean, *rows])


def table_of(**tasks: list[Finished]) -> Table:
    return Table.joined([Table.of(task, each) for task, each in tasks.items()])


HAND_MADE = table_of(
    polling=[
        found("9", True, 0.9, object=(False, 0.2, 12), register=(True, 0.8, 3)),
        found("2", True, 0.6, object=(True, 0.7, 10), register=(True, 0.5, 2)),
        found("5", False, 0.1),
        found("7", True, 0.8, object=(False, 0.1, 11)),
    ],
    VQA=[
        found("2", True, 0.4, object=(False, 0.3, 10)),
        found("5", True, 0.3, object=(True, 0.2, 14)),
        found("9", False, 0.2),
    ],
)


def test_examples_without_a_right_clean_run_are_dropped_task_by_task():
    rows = HAND_MADE.rows
    at = {task: [*dict.fromkeys(rows.example[rows.task == task])] for task in TASKS}
    assert at == {"polling": ["9", "2", "7"], "VQA": ["2", "5"]}
    assert HAND_MADE.counts == {
        "polling": {"asked": 4, "counted": 3},
        "VQA": {"asked": 3, "counted": 2},
    }


def test_wrong_examples_are_dropped_with_all_their_arms():
    table = table_of(
        VQA=[found("1", False, object=(False, 0.1, 4)), found("2", object=(True, 0.9, 5))]
    )
    assert table.lost("VQA", "object").tolist() == [False]
    assert table.tokens("object").tolist() == [5]


def test_an_example_that_was_not_asked_is_in_no_count():
    table = table_of(VQA=[Finished("1", "1", []), found("2", object=(False, 0.9, 5))])
    assert table.counts == {"VQA": {"asked": 1, "counted": 1}}
    assert table.lost("VQA", "object").tolist() == [True]


def test_which_clean_runs_count_can_be_said():
    asked = [found("1", False, 0.4), found("2", True, 0.2), found("3", None, 0.9)]
    by_answer = Table.of("VQA", asked, lambda clean: (clean.probability or 0) > 0.3)
    assert by_answer.counts == {"VQA": {"asked": 3, "counted": 2}}
    assert list(by_answer.rows.example) == ["1", "3"]
    assert Table.of("VQA", asked).counts == {"VQA": {"asked": 3, "counted": 1}}


def test_lost_is_where_the_arm_took_the_right_answer_away():
    """In the order of the examples."""
    assert HAND_MADE.lost("polling", "object").tolist() == [True, False, True]
    assert HAND_MADE.lost("polling", "object").dtype == bool
    assert HAND_MADE.lost("polling", "register").tolist() == [False, False]
    assert HAND_MADE.lost("VQA", "object").tolist() == [True, False]
    assert HAND_MADE.lost("polling", "clean").tolist() == [False] * 3


def test_two_arms_are_paired_on_the_examples_that_have_both():
    first, second = HAND_MADE.pair("polling", "object", "register")
    assert (first.tolist(), second.tolist()) == ([True, False], [False, False])
    second, first = HAND_MADE.pair("polling", "register", "object")
    assert (first.tolist(), second.tolist()) == ([True, False], [False, False])
    assert first.dtype == second.dtype == bool


def test_curves_and_doubt_have_a_column_per_arm_in_the_order_asked():
    assert HAND_MADE.curves("polling", ["object", "clean"]).tolist() == [[1, 0], [0, 0], [1, 0]]
    assert HAND_MADE.curves("polling", ["register", "object"]).tolist() == [[0, 1], [0, 0]]
    np.testing.assert_allclose(
        HAND_MADE.doubt("polling", ["clean", "object"]), [[0.1, 0.8], [0.4, 0.3], [0.2, 0.9]]
    )
    np.testing.assert_allclose(
        HAND_MADE.doubt("polling", ["register", "object"]), [[0.2, 0.8], [0.5, 0.3]]
    )


def test_tokens_are_counted_once_per_picture():
    """Whatever the task or question."""
    table = table_of(
        polling=[found("1", object=(True, 0.1, 12)), found("3", False, object=(True, 0.1, 99))],
        VQA=[
            found("1", object=(True, 0.1, 12)),
            found("2", object=(True, 0.1, 7)),
            found("2.second question", object=(True, 0.1, 7)),
        ],
    )
    assert table.tokens("object").tolist() == [12, 7]
    assert HAND_MADE.tokens("nothing").tolist() == []


def test_two_questions_about_one_picture_are_two_examples():
    table = table_of(
        VQA=[found("2", object=(True, 0.1, 7)), found("2.second", object=(False, 0.1, 7))]
    )
    assert table.lost("VQA", "object").tolist() == [False, True]
    assert list(table.rows.cluster.unique()) == ["cluster 2"]


def test_has_says_whether_an_arm_was_run_on_any_example_that_counts():
    assert HAND_MADE.has("register")
    assert not HAND_MADE.has("registers")
    assert not table_of(VQA=[found("1", False, object=(True, 0.1, 1))]).has("object")


def test_arms_stand_as_they_were_first_measured():
    assert HAND_MADE.arms == ["clean", "object", "register"]


def test_rows_hold_all_that_was_answered():
    half = Row("half", None, 0.4, 2, "two", moved=True, attention=0.25, reached=True)
    said = [Row("clean", None, 0.5, 0, "three", {"visual": 4}), half]
    table = Table.of("counting", [Finished("1", "a", said)], lambda clean: True)
    shown = table.rows.astype(object).replace({np.nan: None})
    assert shown.to_dict("records") == [
        {
            **{"task": "counting", "example": "1", "cluster": "a", "category": "", "visual": 4},
            **{"arm": row.arm, "right": None, "probability": row.probability},
            **{"tokens": row.tokens, "answer": row.answer},
            **{"moved": row.moved, "attention": row.attention, "reached": row.reached},
        }
        for row in said
    ]


answers = st.tuples(st.booleans(), st.floats(0, 1, width=16), st.integers(0, 9))
examples = st.tuples(st.booleans(), st.dictionaries(st.sampled_from(ARMS), answers))
measured = st.dictionaries(st.integers(0, 6).map(str), examples)


def of_task(task: str, examples: Mapping[str, tuple[bool, dict[str, Answers]]]) -> Table:
    return Table.of(
        task, [found(name, right, 0.5, **arms) for name, (right, arms) in examples.items()]
    )


@settings(max_examples=80, deadline=None)
@given(tasks=st.fixed_dictionaries(dict.fromkeys(TASKS, measured)), data=st.data())
def test_whatever_was_measured_is_what_a_search_through_the_rows_finds(tasks, data):
    table = Table.joined([of_task(task, examples) for task, examples in tasks.items()])
    task = data.draw(st.sampled_from(TASKS))
    arms = data.draw(st.lists(st.sampled_from(ARMS), min_size=1, max_size=3, unique=True))
    counted = [name for name, (right, _) in tasks[task].items() if right]
    both = [name for name in counted if {*arms} <= {*tasks[task][name][1]}]
    known = {
        arm for each in tasks.values() for right, found in each.values() if right for arm in found
    }
    assert table.counts[task] == {"asked": len(tasks[task]), "counted": len(counted)}
    if {*arms} <= known or not counted:
        expected = [[tasks[task][name][1][arm] for arm in arms] for name in both]
        plain = np.array(expected, float).reshape(-1, len(arms), 3)
        assert np.array_equal(table.curves(task, arms), 1 - plain[..., 0])
        assert np.array_equal(table.doubt(task, arms), 1 - plain[..., 1])
        backwards = of_task(task, dict(reversed(tasks[task].items())))
        if {*arms} <= {*backwards.arms} or not counted:
            assert np.array_equal(backwards.curves(task, arms), 1 - plain[::-1, :, 0])
    else:
        with pytest.raises(VLMError, match="No example has the arm"):
            table.curves(task, arms)


def test_an_arm_without_tokens_and_answer_is_left_out_and_counted():
    """Beside examples that have it, and in the order of the examples."""
    table = table_of(
        VQA=[
            found("1", object=(True, 0.4, 3), register=(None, None, 0)),
            found("3", object=(False, 0.3, 4), register=(False, 0.2, 2)),
            found("2", False, object=(True, 0.4, 3), register=(None, None, 0)),
        ]
    )
    assert (table.empty("VQA", "register"), table.empty("VQA", "object")) == (1, 0)
    assert table.empty("VQA", "clean") == 0
    assert table.lost("VQA", "register").tolist() == [True]
    assert [each.tolist() for each in table.pair("VQA", "object", "register")] == [[True], [True]]
    assert table.doubt("VQA", ["register"]).tolist() == [[0.8]]
    assert table.tokens("register").tolist() == [2]
    assert table.clusters("VQA", ["register"]).tolist() == ["cluster 3"]
    assert table.clusters("VQA", ["object"]).tolist() == ["cluster 1", "cluster 3"]


def test_clusters_are_categories_where_examples_have_them():
    """Aligned with the lines of `curves`."""
    asked = []
    for name, category in (("5", "dog"), ("1", ""), ("3", "cat"), ("2", "dog")):
        clean = Row("clean", True, 0.5, 0, detail={"visual": 16, "category": category})
        arms = [Row("a", True, 0.5, 1), *([Row("b", False, 0.5, 1)] if name != "3" else [])]
        asked.append(Finished(name, f"picture {name}", [clean, *arms]))
    table = Table.of("VQA", asked)
    assert table.clusters("VQA", ["a"]).tolist() == ["dog", "picture 1", "cat", "dog"]
    assert table.clusters("VQA", ["b", "a"]).tolist() == ["dog", "picture 1", "dog"]
    assert len(table.curves("VQA", ["b", "a"])) == 3


def test_what_an_arm_moved_took_and_reached_is_told_where_it_was_run():
    clean = Row("clean", True, 0.5, 0, detail={"visual": 16})
    alive = Row("block", False, 0.1, 3, moved=True, attention=0.25, reached=True)
    still = Row("block", True, 0.5, 3, moved=False, attention=0.0, reached=False)
    none = Row("block", tokens=0, moved=False)
    asked = [Finished(str(n), str(n), [clean, row]) for n, row in enumerate([alive, none, still])]
    table = Table.of("VQA", asked)
    assert table.moved("VQA", "block").tolist() == [True, False]
    assert table.reached("VQA", "block").tolist() == [True, False]
    assert table.attention("VQA", "block").tolist() == [0.25, 0.0]
    assert table.moved("VQA", "block").dtype == table.reached("VQA", "block").dtype == bool
    with pytest.raises(VLMError, match="VQA says no 'moved' of 3 answers"):
        table.moved("VQA", "clean")


# What there is not.


def test_an_arm_that_there_is_not_is_refused_beside_one_that_there_is():
    """And those that there are are named."""
    ask = r"'objects' for polling\. Measured were: clean, object, register\."
    for call in (HAND_MADE.curves, HAND_MADE.doubt):
        with pytest.raises(VLMError, match=ask):
            call("polling", ["object", "objects"])
    for pair in (("objects", "object"), ("object", "objects")):
        with pytest.raises(VLMError, match=ask):
            HAND_MADE.pair("polling", *pair)


def test_an_arm_of_another_task_alone_gives_no_examples():
    assert len(HAND_MADE.pair("VQA", "object", "register")[0]) == 0


def test_an_arm_that_there_is_not_is_refused_alone():
    with pytest.raises(
        VLMError, match=r"'objects' for polling\. Measured were: clean, object, register\."
    ):
        HAND_MADE.lost("polling", "objects")


@pytest.mark.parametrize(
    "table",
    [
        table_of(polling=[], VQA=[]),
        table_of(polling=[found("1", False)], VQA=[found("2", False)]),
    ],
    ids=["no examples", "none that was right"],
)
def test_a_table_of_no_examples_gives_empty_arrays_for_any_arm(table):
    for task in TASKS:
        assert table.counts[task]["counted"] == 0
        assert table.lost(task, "anything").shape == (0,)
        assert [each.shape for each in table.pair(task, "anything", "else")] == [(0,), (0,)]
        three = ["a", "b", "c"]
        assert table.curves(task, three).shape == table.doubt(task, three).shape == (0, 3)
    assert table.tokens("anything").shape == (0,)
    assert not table.has("clean")


def test_a_task_of_no_examples_is_empty_beside_one_that_has_some():
    table = table_of(polling=[found("1", object=(True, 0.5, 3))], VQA=[found("1", False)])
    assert table.lost("VQA", "object").shape == (0,)
    assert table.lost("polling", "object").shape == (1,)


def test_an_answer_that_is_neither_right_nor_wrong_is_not_passed_over():
    """It would leave its example out of a sample, and nobody would know."""
    asked = [found("1", object=(True, 0.1, 1)), found("2", object=(None, None, 1))]
    table = Table.of("counting", asked)
    for call in (table.curves, table.doubt):
        with pytest.raises(VLMError, match=r"counting says no '\w+' of 1 .*'2' under the arm 'obj"):
            call("counting", ["clean", "object"])
    with pytest.raises(VLMError, match="counting says no 'right'"):
        table.lost("counting", "object")
    assert table.lost("counting", "clean").tolist() == [False, False]
