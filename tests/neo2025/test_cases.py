"""The images behind a number: are they those on which the arm took the answer away, or did not?

Fails if an image stands on the wrong side, if an arm that was not run on it is shown, if cells are
shown that a claim did not look at, if its answers are another image's, or if a picture that cannot
be read takes the report along.
"""

from dataclasses import replace

import pytest
from PIL import Image

from claims.neo2025.cases import OF_EACH, SIDE, _first, _pictured, cases_of
from claims.neo2025.tables import MeasuredTable, looked_at
from tests.neo2025.test_tables import TABLE
from vlmlib.study import Example, Finished, Row, Table


class Rows:
    """A study without pictures."""


def finished(number: int, lost: bool) -> Finished:
    detail = {"visual": 16, "category": "dog", "prompt": f"Is it {number}?"}
    detail |= {"object": [[0.1, 0.2, 0.3, 0.4]]}
    clean = Row("clean", True, 0.9, 0, f"yes {number}", detail)
    under = Row("object", not lost, 0.1, 4, f"no {number}" if lost else f"yes {number}")
    return Finished(f"{number}", f"{number}", [clean, under, Row("register", tokens=0)])


def test_cases_are_those_of_the_cells_that_are_looked_at():
    with looked_at() as cells:
        TABLE.lost("VQA", "object")
        TABLE.tokens("register")
    TABLE.lost("VQA", "register")
    found = cases_of(Rows(), cells)
    assert [(case.image, case.lost) for case in found] == [("1", True), ("2", False), ("3", True)]
    assert {(case.setting, case.arm) for case in found} == {("VQA", "object")}


def test_the_cells_that_decided_come_first_and_then_each_task_in_turn():
    cells = [(task, arm) for task in ("a task", "b task") for arm in ("x", "y")]
    assert _first(cells, "") == [("a task", "x"), ("b task", "x"), ("a task", "y"), ("b task", "y")]
    decided = _first(cells, "b task, y over z")
    assert decided[0] == ("b task", "y")
    assert {*decided} == {*cells}


def test_every_way_to_look_is_noted():
    with looked_at() as cells:
        TABLE.pair("VQA", "object", "register")
        TABLE.curves("VQA", ["object", "clean"])
    assert [cell[1:] for cell in cells] == [
        ("VQA", "object"),
        ("VQA", "register"),
        ("VQA", "object"),
        ("VQA", "clean"),
    ]


def test_an_arm_that_was_not_run_on_an_image_is_no_case_of_it():
    with looked_at() as cells:
        TABLE.lost("VQA", "register")
    assert [case.image for case in cases_of(Rows(), cells)] == ["2"]


def test_some_of_many_images_are_told_evenly_with_their_own_answers():
    """All others by their names."""
    table = MeasuredTable(Table.of("polling", [finished(n, lost=n % 2 == 0) for n in range(40)]))
    with looked_at() as cells:
        table.lost("polling", "object")
    found = cases_of(Rows(), cells)
    assert [case.image for case in found] == [str(n) for n in range(40)]
    assert [case.lost for case in found] == [n % 2 == 0 for n in range(40)]
    told = [case for case in found if case.question]
    assert [case.lost for case in told].count(True) == OF_EACH
    assert [case.lost for case in told].count(False) == OF_EACH
    assert {"0", "38", "1", "39"} < {case.image for case in told}
    for case in told:
        assert case.before == f"yes {case.image}"
        assert case.after == (f"no {case.image}" if case.lost else case.before)
        assert (case.question, case.tokens) == (f"Is it {case.image}?", ((0.1, 0.2, 0.3, 0.4),))


def test_a_thumbnail_is_small_and_a_lost_picture_is_none(tmp_path):
    with looked_at() as cells:
        TABLE.lost("VQA", "object")
    case = cases_of(Rows(), cells)[0]
    there = tmp_path / "1.png"
    Image.new("RGB", (640, 480)).save(there)
    shown = _pictured(case, Example("1", there))
    assert shown.picture.startswith("data:image/jpeg;base64,")
    assert len(shown.picture) < 100 * SIDE
    assert shown.size == (640, 480)
    there.unlink()
    assert _pictured(case, Example("1", there)) == case
    assert _pictured(case, None) == case


@pytest.mark.parametrize("answer", [None, ""])
def test_an_arm_without_a_text_says_nothing(answer):
    clean, under = Row("clean", True, detail={"visual": 4}), Row("object", False, tokens=1)
    found = Finished("1", "1", [clean, replace(under, answer=answer)])
    table = MeasuredTable(Table.of("polling", [found]))
    with looked_at() as cells:
        table.lost("polling", "object")
    [case] = cases_of(Rows(), cells)
    assert (case.before, case.after, case.tokens) == ("", "", ())
