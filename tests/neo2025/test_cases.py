"""The images behind a number: are they those on which the arm took the answer away, or did not?

Fails if an image stands on the wrong side, if an arm that was not run on it is shown, if cells are
shown that a claim did not look at, if its answers are another image's, or if a picture that cannot
be read takes the report along.
"""

from dataclasses import replace

import pytest
from PIL import Image

from claimlib import Case
from claims.neo2025.cases import CELLS, OF_EACH, SIDE, Behind, _first, _pictured
from claims.neo2025.study import FromRows
from claims.neo2025.tables import Cells, MeasuredTable, looked_at
from tests.neo2025.test_lens import image_of
from tests.neo2025.test_tables import TABLE
from vlmlib.study import Example, Finished, Row, Table


class Rows(FromRows):
    """A study without pictures that has read a table, and images of the lens."""

    def __init__(self, table: MeasuredTable = TABLE, **found: list[Finished]) -> None:
        self.ablations = table  # pyright: ignore
        self.of = found

    def _rows(self, name: str, design: str) -> list[Finished]:
        return self.of[name.replace(" ", "_")]


def cases_of(study: Rows, cells: Cells) -> list[Case]:
    return [*Behind.of(study, cells, ["ablations"]).cases]


def finished(number: int, lost: bool) -> Finished:
    detail = {"visual": 16, "category": "dog", "question": f"Is it {number}?"}
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
        TABLE.doubts("VQA", ["register"])
    assert [cell[1:] for cell in cells] == [
        ("VQA", "object"),
        ("VQA", "register"),
        ("VQA", "object"),
        ("VQA", "clean"),
        ("VQA", "register"),
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
    found = cases_of(Rows(table), cells)
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
        assert case.also == "the right token: 90% → 10%"


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
    [case] = cases_of(Rows(table), cells)
    assert (case.before, case.after, case.tokens) == ("", "", ())


def test_of_many_arms_it_is_said_how_many_were_compared():
    rows = [finished(1, lost=True).rows[0]]
    rows += [Row(f"arm {at}", at % 2 == 0, 0.1, 4, "so") for at in range(CELLS + 3)]
    table = MeasuredTable(Table.of("polling", [Finished("1", "1", rows)]))
    with looked_at() as cells:
        for at in range(CELLS + 3):
            table.lost("polling", f"arm {at}")
    behind = Behind.of(Rows(table), cells, ["ablations"])
    assert behind.compared == CELLS + 3
    assert len({case.arm for case in behind.cases}) == CELLS


def test_cells_of_another_model_are_not_this_ones():
    other = MeasuredTable(Table.of("polling", [finished(1, lost=True)]))
    with looked_at() as cells:
        TABLE.lost("VQA", "object")
        other.lost("polling", "object")
    assert {case.setting for case in cases_of(Rows(other), cells)} == {"polling"}


def test_an_arm_that_was_drawn_again_is_told_by_its_first_draw():
    clean = finished(1, lost=True).rows[0]
    rows = [clean, *(Row(name, True, 0.1, 4, "so") for name in ("random 5", "draw 2 of random 5"))]
    table = MeasuredTable(Table.of("polling", [Finished("1", "1", rows)]))
    with looked_at() as cells:
        table.lost("polling", "random 5")
    [case] = cases_of(Rows(table), cells)
    assert case.arm == "random 5 (the first of 2 draws)"


def test_behind_claims_of_the_lens_are_its_images():
    shown = [image_of([0, 2], words=["a", "dog"]), image_of([0, 0], places=[[0.1, 0.2, 0.3, 0.4]])]
    rows = [replace(each, cluster=str(at)) for at, each in enumerate(shown)]
    study = Rows(logit_lens=rows)
    assert Behind.of(study, [], ["lens"]) == Behind()  # before anything is read
    assert len(study.shown) == 2
    behind = Behind.of(study, [], ["lens"])
    assert [(case.image, case.lost) for case in behind.cases] == [("0", True), ("1", False)]
    told = [case.also for case in behind.cases]
    assert told == ["2 of 4 tokens in layer 1; late layers: a, dog", "late layers: nothing"]
    assert [case.tokens for case in behind.cases] == [(), ((0.1, 0.2, 0.3, 0.4),)]
    assert behind.compared == 1
    assert behind.cases[0].sides[0] == "decode to its class in some layer"


def test_behind_claims_of_numbers_are_the_descriptions():
    rows = [
        Row("clean", True, answer="A dog.", detail={"question": "What is it?"}),
        Row("numbers", True, answer="A dog.", tokens=2),
        Row("+1 buffer", False, answer="A cat.", tokens=9),
    ]
    study = Rows(ablating_numbers=[Finished("7", "7", rows)])
    assert Behind.of(study, [], ["lens", "numbers"]) == Behind()
    assert study.numbers.rows
    behind = Behind.of(study, [], ["lens", "numbers"])
    told = [(case.arm, case.lost, case.before, case.after) for case in behind.cases]
    assert told == [("numbers", False, "A dog.", "A dog."), ("+1 buffer", True, "A dog.", "A cat.")]
    assert behind.compared == 2
    assert {case.question for case in behind.cases} == {"What is it?"}


def test_printed_figures_have_no_images():
    assert Behind.of(object(), [], ["ablations"]) == Behind()
