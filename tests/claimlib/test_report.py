"""What a report says of verdicts, whatever they are of: tables, findings, notes and what differs.

Fails if a verdict is missing or stands under another claim or subject, if the order of its lines
hangs on which worker ended first, or if a note is lost or said twice.
"""

import re
from functools import partial
from pathlib import Path

import pytest

from claimlib.claims import CLAIMS
from claimlib.errors import ClaimError
from claimlib.report import lines, table, verdict_page, write
from tests.claimlib.foreign import entry, paper


def cells(page: str) -> list[list[str]]:
    """The rows of a page's table, the heading first, as a Markdown reader splits them."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def row(file: Path, claim: str, label: str, outcome: str = "supported", **more) -> dict:
    """A verdict as a run hands it to its report."""
    plain = {"file": str(file), "note": "", "beside": "", "position": 0, "line": "", "parts": []}
    return plain | {"claim": claim, "label": label, "outcome": outcome, "fragile": False} | more


@pytest.fixture
def on_coins(tmp_path: Path) -> partial:
    """Makes verdicts on the claims of a paper on coins."""
    file = tmp_path / CLAIMS
    reasons = '{ euro = "Its edge is too thick." }'
    file.write_text(paper(entry("bent"), entry("spun", section="abstract", not_on=reasons)))
    return partial(row, file)


def test_a_page_has_a_row_per_claim_and_a_column_per_subject(on_coins):
    """What is fragile is marked."""
    rows = [
        on_coins("spun", "mine", "refuted"),
        on_coins("bent", "mine", "supported", fragile=True),
        on_coins("bent", "yours", "undecided"),
    ]
    statement = "The coin shows heads more often than 50%."
    heading, rule, *found = cells(verdict_page(rows))
    assert heading == ["section", "claim", "statement", "mine", "yours"]
    assert {*"".join(rule)} == {":", "-"}
    assert found == [
        ["1", "`bent`", statement, "supported*", "undecided"],
        ["abstract", "`spun`", statement, "refuted", ""],
    ]
    assert "one image more or less" in verdict_page(rows)


def test_columns_and_findings_follow_the_order_of_the_tests(on_coins):
    """And not the workers that end first."""
    places = {"third": 8, "first": 2, "second": 5}
    rows = [on_coins("bent", label, position=at, line="x") for label, at in places.items()]
    assert cells(verdict_page(rows))[0][3:] == ["first", "second", "third"]
    told = [line.strip() for line in lines(rows) if line.startswith("    ")]
    assert told == ["first: x", "second: x", "third: x"]


def test_several_verdicts_of_one_claim_on_one_subject_are_counted(on_coins):
    outcomes = ["supported", "supported", "supported", "refuted", "supported"]
    rows = [on_coins("bent", "mine", each, fragile=at == 1) for at, each in enumerate(outcomes)]
    assert cells(verdict_page(rows))[2][3] == "3 supported, 1 supported*, 1 refuted"
    assert [line for line in lines(rows) if line.startswith("    ")] == ["    mine: "] * 5


def test_notes_stand_once_below_in_the_order_of_the_subjects(on_coins):
    notes = {"a": "Drawn.", "b": "", "c": "Small.", "d": "Drawn."}
    rows = [
        on_coins("bent", label, note=note, position=at)
        for at, (label, note) in enumerate(notes.items())
    ]
    assert verdict_page(rows).endswith("|\n\nDrawn.\n\nSmall.\n")
    assert list(lines(rows))[-2:] == ["\nDrawn.", "\nSmall."]


@pytest.mark.parametrize(
    ("label", "beside", "told"),
    [("mine", "", False), ("euro", "", True), ("euro, spun", "euro", True), ("euros", "", False)],
)
def test_why_a_claim_does_not_apply_is_said_of_a_subject_that_is_there(
    on_coins, label, beside, told
):
    page = verdict_page([on_coins("bent", label, beside=beside)])
    reasons = "Claims that do not apply to euro:\n\n- `spun`: Its edge is too thick.\n"
    assert page.endswith(reasons) is told
    assert ("Its edge is too thick." in page) is told


def test_a_page_says_which_verdicts_differ_from_the_subject_beside(on_coins):
    rows = [on_coins("bent", "mine"), on_coins("spun", "mine", "refuted")]

    def beside(outcome: str, **more) -> list[dict]:
        first = on_coins("bent", "mine, wet", outcome, beside="mine", **more)
        return [first, on_coins("spun", "mine, wet", "refuted", beside="mine")]

    heading = "Verdicts on mine, wet that differ from those on mine:"
    assert "that differ" not in verdict_page(rows)
    assert "that differ" not in verdict_page(beside("refuted"))
    assert f"{heading}\n\n- none\n" in verdict_page(rows + beside("supported"))
    page = verdict_page(rows + beside("undecided", fragile=True))
    assert f"{heading}\n\n- `bent`: supported, here undecided*\n" in page
    assert "- `spun`: refuted" not in page


def test_sections_are_sorted_as_numbers_and_names_come_first(tmp_path: Path):
    sections = ["10", "4.10", "abstract", "4.9", "2"]
    file = tmp_path / CLAIMS
    file.write_text(paper(*(entry(f"c{at}", section=name) for at, name in enumerate(sections))))
    rows = [row(file, f"c{at}", "x") for at in range(5)]
    told = [line for line in lines(rows) if not line.startswith(" ")]
    assert told == ["abstract", "section 2", "section 4.9", "section 4.10", "section 10"]


def test_two_papers_have_a_part_each_under_their_titles(tmp_path: Path):
    files = [tmp_path / name / CLAIMS for name in ("coins", "dice")]
    for file in files:
        file.parent.mkdir()
        file.write_text(paper(entry("fair"), title=file.parent.name))
    rows = [
        row(file, "fair", "mine", each)
        for file, each in zip(files, ["supported", "refuted"], strict=True)
    ]
    page, found = verdict_page(rows), list(lines(rows))
    assert re.findall(r"^## (.*)$", page, flags=re.MULTILINE) == ["coins", "dice"]
    outcomes = [line[-1] for line in cells(page) if "`fair`" in line]
    assert outcomes == ["supported", "refuted"]
    assert [line for line in found if not line.startswith(" ")] == [
        *("coins\n", "section 1"),
        *("dice\n", "section 1"),
    ]


def test_a_report_that_cannot_be_written_is_told_with_its_folder(on_coins, tmp_path: Path):
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    with pytest.raises(ClaimError, match=r"could not be written to '.*blocked'"):
        write(blocked, [on_coins("bent", "mine")], {})


def test_a_pipe_in_a_cell_begins_no_other_cell():
    text = table([{"a|b": "c|d", "e": ""}])
    assert cells(text) == [["a\\|b", "e"], [":-------", ":----"], ["c\\|d", ""]]
