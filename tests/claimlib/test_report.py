"""What a report says of verdicts, whatever they are of: tables, findings, notes and what differs.

Fails if a verdict is missing or stands under another claim or subject, if the order of its lines
hangs on which worker ended first, or if a note is lost or said twice.
"""

import errno
import json
import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from claimlib import report
from claimlib.claims import CLAIMS, Subject, Trial, load_claims
from claimlib.data import entry as told_of
from claimlib.errors import ClaimError
from claimlib.paired import greater
from claimlib.report import lines, origins, origins_section, table, verdict_page, write
from claimlib.report import row as row_of
from claimlib.shares import exceeds
from claimlib.verdicts import LEFT_OUT, Outcome, in_every_setting
from tests.claimlib.foreign import entry, paper
from tests.neo2025 import NEO2025


def cells(page: str) -> list[list[str]]:
    """The rows of a page's table, the heading first, as a Markdown reader splits them."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def row(file: Path, claim: str, label: str, outcome: str = "supported", **more) -> dict:
    """A verdict as a run hands it to its report."""
    found = replace(exceeds(np.ones(30, bool), 0.5), outcome=Outcome(outcome))
    trial = Trial(load_claims(file)[claim], Subject(label))
    told = told_of(trial, found) | {"reason": "", "sentence": ""}
    plain = {"file": str(file), "position": 0, "known": {}, "origins": {}, "chosen": {}}
    plain |= dict.fromkeys(("beside", "short", "figures"), "")
    beside = {key: each for key, each in more.items() if key in plain}
    return {**plain, **beside, "data": told | {key: more[key] for key in more.keys() - plain}}


def showing(**pages: str) -> list[dict]:
    """What a test hands to a report that shows these pages alone."""
    named = {"position": 0, "paper": "On coins", "claim": "bent", "label": "mine"}
    return [{**named, "pages": pages, "figures": {}, "files": {}, "cases": [], "compared": 0}]


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
        on_coins("spun", "mine", "refuted", known={"mine": "not run", "yours": "not run"}),
        on_coins("bent", "mine", "supported", fragile=True),
        on_coins("bent", "yours", "undecided"),
    ]
    statement = "The coin shows heads more often than 50%."
    heading, rule, *found = cells(verdict_page(rows))
    assert heading == ["section", "claim", "statement", "required", "mine", "yours"]
    assert {*"".join(rule)} == {":", "-"}
    assert found == [
        ["1", "`bent`", statement, "> 50%", "supported*<br>", "undecided<br>"],
        ["abstract", "`spun`", statement, "> 50%", "refuted<br>", "not run"],
    ]
    assert "one image more or less" in verdict_page(rows)


def test_columns_and_findings_follow_the_order_of_the_tests(on_coins):
    """And not the workers that end first."""
    places = {"third": 8, "first": 2, "second": 5}
    rows = [on_coins("bent", label, position=at, sentence="x") for label, at in places.items()]
    assert cells(verdict_page(rows))[0][4:] == ["first", "second", "third"]
    told = [line.strip() for line in lines(rows) if line.startswith("    ")]
    assert told == ["first: x", "second: x", "third: x"]


def test_several_verdicts_of_one_claim_on_one_subject_are_counted(on_coins):
    outcomes = ["supported", "supported", "supported", "refuted", "supported"]
    rows = [on_coins("bent", "mine", each, fragile=at == 1) for at, each in enumerate(outcomes)]
    assert cells(verdict_page(rows))[2][4] == "3 supported, 1 supported*, 1 refuted"
    assert [line for line in lines(rows) if line.startswith("    ")] == ["    mine: "] * 5


def test_notes_stand_once_below_in_the_order_of_the_subjects(on_coins):
    notes = {"a": "Drawn.", "b": "", "c": "Small.", "d": "Drawn."}
    rows = [
        on_coins("bent", label, note=note, position=at)
        for at, (label, note) in enumerate(notes.items())
    ]
    assert "|\n\nDrawn.\n\nSmall.\n\nIf each of these 4 claims" in verdict_page(rows)
    assert list(lines(rows))[-3:-1] == ["\nDrawn.", "\nSmall."]


def test_claims_that_were_left_out_say_why_once_by_subject(on_coins):
    """Below the table, and with nothing that is required of them."""
    out = {"required": "", "reason": LEFT_OUT, "figures": "not measured", "position": 1}
    rows = [
        on_coins("bent", "mine", "undecided", **out, why="It has no edge."),
        on_coins("spun", "mine", "undecided", **out, why="It has no edge."),
        on_coins("bent", "yours", "supported"),
        on_coins("spun", "yours", "undecided", **out, why="It is glued."),
    ]
    page = verdict_page(rows)
    mine, yours = (
        f"Left out on {label}, as what they need is not there:" for label in ("mine", "yours")
    )
    assert f"\n{mine}\n\n- bent, spun: It has no edge.\n\n{yours}\n\n- spun: It is" in page
    heading, _, *found = cells(page)
    assert [each[3] for each in found] == ["> 50%", ""]
    assert found[0][heading.index("mine")] == "undecided (left out)<br>not measured"
    assert [line for line in lines(rows) if "Left out" in line] == [
        f"\n{mine} bent, spun: It has no edge.",
        f"\n{yours} spun: It is glued.",
    ]
    assert "Left out" not in verdict_page(rows[2:3])


def test_groups_of_subjects_have_a_table_each(on_coins):
    """With the claims that have a verdict there, and what is said where one has none: of its own
    subjects what they say, of others that it does not apply."""
    rows = [
        on_coins("bent", "printed", group="As published", known={"also printed": "not printed"}),
        on_coins("spun", "also printed", group="As published"),
        on_coins("bent", "mine", group="Measured"),
        on_coins("bent", "euro", group="Measured"),
        on_coins("spun", "mine", group="Measured"),
    ]
    page = verdict_page(rows)
    assert re.findall("^### (.*)$", page, flags=re.MULTILINE) == ["As published", "Measured"]
    found = [line[4:] for line in cells(page)]
    assert found[2:4] == [["supported<br>", "not printed"], ["not applicable", "supported<br>"]]
    assert found[6:] == [["supported<br>", "supported<br>"], ["supported<br>", "not applicable"]]


def test_where_subjects_ask_for_other_bounds_each_cell_says_its_own(on_coins):
    rows = [
        on_coins("bent", "one", required="within 0.1 of 0.2"),
        on_coins("bent", "two", "refuted", required="within 0.1 of 0.9"),
        on_coins("spun", "one"),
        on_coins("spun", "two"),
    ]
    bent, spun = (line[3:] for line in cells(verdict_page(rows))[2:4])
    assert bent == [
        "within 0.1 of 0.2 or within 0.1 of 0.9",
        "supported<br><br>required within 0.1 of 0.2",
        "refuted<br><br>required within 0.1 of 0.9",
    ]
    assert spun == ["> 50%", "supported<br>", "supported<br>"]


@pytest.mark.parametrize("name", ["verdicts", "findings"])
def test_a_page_does_not_take_the_place_of_the_reports_own(on_coins, tmp_path, name):
    with pytest.raises(ClaimError, match=f"named '{name}', as the report's own"):
        write(tmp_path / "report", [on_coins("bent", "mine")], showing(**{name: "mine"}))
    assert not (tmp_path / "report").exists()


def test_an_undecided_says_why_and_an_average_stands_beside(on_coins):
    more = {"figures": "51% [40%, 62%], n = 90"}
    average = {"outcome": "supported"}
    rows = [
        on_coins("bent", "mine", "undecided", reason="too few images", **more),
        on_coins("spun", "mine", "undecided", reason="at the bound", on_average=average),
    ]
    first, second = [line[4] for line in cells(verdict_page(rows))[2:]]
    assert first == "undecided (too few images)<br>51% [40%, 62%], n = 90"
    assert second == "undecided (at the bound); on average supported<br>"


def test_the_number_of_false_verdicts_is_told_where_there_are_several(on_coins):
    rows = [on_coins("bent", str(at), alpha=0.05) for at in range(5)]
    told = "If each of these 5 claims about samples lay just at its bound, about 0.5 of"
    assert told in verdict_page(rows)
    assert told in "".join(lines(rows))
    assert "just at its bound" not in verdict_page(rows[:1])
    counted = [on_coins("bent", str(at), sampled=False) for at in range(5)]
    assert "just at its bound" not in verdict_page(counted)


def test_findings_are_short_or_whole(on_coins):
    rows = [on_coins("bent", "mine", short="short", sentence="whole")]
    assert "    mine: whole" in list(lines(rows))
    assert "    mine: short" in list(lines(rows, full=False))


def test_a_row_is_plain_data_for_every_kind_of_verdict():
    """What travels between processes is of Python's own types, and of no kind of them."""
    claim = next(iter(NEO2025.values()))
    average = exceeds(np.ones(30, bool), 0.5)
    whole = in_every_setting({"a": average, "b": exceeds(np.zeros(0, bool), 0.5)}, average)
    for verdict in (average, whole, greater(np.ones(9, bool), np.zeros(9, bool))):
        found = row_of(Trial(claim, Subject("mine")), verdict, 0, {"mine": "not run"})
        assert json.loads(json.dumps(found)) == found
        assert {type(value) for value in found.values()} <= {str, int, float, bool, list, dict}


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
    told = [line for line in lines(rows) if not line.startswith((" ", "\n"))]
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
    assert outcomes == ["supported<br>", "refuted<br>"]
    assert [line for line in found if not line.startswith(" ")] == [
        *("coins\n", "section 1"),
        *("dice\n", "section 1"),
    ]


@pytest.mark.parametrize("other", ["On coins", "On  coins"])
def test_two_papers_of_one_title_are_refused(tmp_path: Path, other: str):
    """As nothing that a report says would tell whose verdict is whose."""
    files = [tmp_path / name / CLAIMS for name in ("coins", "dice")]
    for file, title in zip(files, ("On coins", other), strict=True):
        file.parent.mkdir()
        file.write_text(paper(entry("fair"), title=title))
    rows = [row(file, "fair", "mine") for file in files]
    named = f"{re.escape(str(files[0]))}' and '{re.escape(str(files[1]))}' .* title of its own"
    for told in (verdict_page, lambda rows: list(lines(rows)), partial(write, tmp_path / "report")):
        with pytest.raises(ClaimError, match=named):
            told(rows)
    assert not (tmp_path / "report").exists()


HTML = "<b>mine</b>"


def test_names_are_escaped_wherever_they_stand(on_coins):
    """In headings, cells, notes, groups, differences and reasons."""
    names = {"group": HTML, "note": HTML, "beside": HTML, "figures": HTML, "required": HTML}
    rows = [on_coins("bent", f"{HTML}|*", known={HTML: HTML}, **names), on_coins("bent", HTML)]
    page = verdict_page([*rows, on_coins("spun", HTML, "refuted", group=HTML)])
    assert page.replace(r"\<b>mine\</b>", "").count("<b>") == 0
    assert page.count(r"\<b>mine\</b>") > 8
    assert {len(line) for line in cells(page)} == {5, 6}  # a group has two subjects, one has one


def test_findings_stay_in_one_line(on_coins):
    rows = [on_coins("bent", "my\nmodel", sentence="one\n\x1b[2Jtwo", note="a\nb")]
    assert "    my model: one �[2Jtwo" in list(lines(rows))
    assert "\na b" in list(lines(rows))


def known(table: str, images: int, aside: str = "", **facts: str) -> dict:
    return {"table": table, "images": images, "facts": facts, "aside": {"suite": aside}}


def test_a_report_says_how_each_subject_was_measured(on_coins, tmp_path):
    rows = [
        on_coins(
            "bent", "a|b", origins={"a|b": [known("polling", 9, "c1", card="A100", seed="0")]}
        ),
        on_coins("spun", "b", origins={"b": [known("polling", 7, "c2", card="H100")]}, position=1),
    ]
    write(tmp_path, rows)
    for name in ("verdicts.md", "findings.md"):
        page = (tmp_path / name).read_text()
        _, section = page.split("\n## How it was measured\n")
        assert "not measured in one way" not in page
        assert cells(section)[2:] == [
            ["card", "A100", "H100"],
            ["seed", "0", ""],
            ["suite", "c1", "c2"],
        ]
        assert cells(section)[0] == ["", "a\\|b", "b"]


def test_what_was_measured_in_several_ways_is_said(on_coins):
    """What differs beside only stands in the table; the last test knows most."""
    polling = [known("polling", 3, "c1", card="A100"), known("polling", 6, "c2", card="H100")]
    later = [*polling, known("lens", 9, "c2", card="H100", torch="2.13")]
    rows = [
        on_coins("bent", "mine", origins={"mine": polling}),
        on_coins("spun", "mine", origins={"mine": later}, position=1),
    ]
    told = (
        "mine was not measured in one way: card: A100 (3 of polling), H100 (6 of polling; 9 of "
        "lens)."
    )
    assert [line for line in lines(rows) if "one way" in line] == [f"\n{told}"]
    section = origins_section(origins(rows))
    assert told in section
    assert ["suite", "c1 (3 of polling), c2 (6 of polling; 9 of lens)"] in cells(section)
    assert ["torch", "2.13"] in cells(section)


@pytest.mark.parametrize(
    "nothing", [{}, {"mine": []}, {"mine": [{"table": "a", "images": 1, "facts": {}, "aside": {}}]}]
)
def test_where_nothing_is_known_of_the_measuring_nothing_is_said(on_coins, tmp_path, nothing):
    """In a report that is whole."""
    assert origins_section(nothing) == ""
    write(tmp_path, [on_coins("bent", "mine", origins=nothing)])
    assert "How it was measured" not in (tmp_path / "verdicts.md").read_text()
    assert (tmp_path / "index.html").is_file()


def test_a_subject_of_which_nothing_is_known_has_an_empty_column():
    section = origins_section({"mine": [], "yours": [known("polling", 9, card="A100")]})
    assert cells(section)[0] == ["", "mine", "yours"]
    assert ["card", "", "A100"] in cells(section)


# --- writing


@pytest.fixture
def written(on_coins, tmp_path: Path) -> Path:
    """A report that stands there, with a page."""
    write(tmp_path / "report", [on_coins("bent", "mine")], showing(**{"mine.lens": "old"}))
    return tmp_path / "report"


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


def test_a_report_takes_the_place_of_the_last_one(written, on_coins):
    write(written, [on_coins("bent", "mine", "refuted")], showing(**{"mine.lens": "new"}))
    assert contents(written).keys() == {
        "verdicts.md",
        "verdicts.json",
        "findings.md",
        "index.html",
        "mine.lens.md",
    }
    assert contents(written)["mine.lens.md"] == "new"
    assert "refuted" in contents(written)["verdicts.md"]


FAULTS = {
    "the disk is full": ("fsync", OSError(errno.ENOSPC, "No space left on device")),
    "a quota is": ("fsync", OSError(errno.EDQUOT, "Disk quota exceeded")),
    "the disk is broken": ("fsync", OSError(errno.EIO, "Input/output error")),
    "it became read-only": ("replace", OSError(errno.EROFS, "Read-only file system")),
    "a file may not be replaced": ("replace", PermissionError(errno.EPERM, "Not permitted")),
}


@pytest.mark.parametrize(("step", "error"), FAULTS.values(), ids=FAULTS)
def test_a_report_that_cannot_be_written_leaves_the_last_one_whole(
    written, on_coins, monkeypatch, step, error
):
    before, done = contents(written), []
    original = getattr(os, step)

    def fails(*given):
        done.append(given)
        if len(done) > (step == "fsync"):  # the first file still fits
            raise error
        return original(*given)

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(
        ClaimError, match=rf"could not be written to '{written}': .*{error.strerror}"
    ):
        write(written, [on_coins("bent", "mine", "refuted")], showing(**{"mine.lens": "new"}))
    assert contents(written) == before


def test_a_name_that_no_file_can_have_is_written_all_the_same(on_coins, tmp_path):
    pages = {"../up.lens": "1", "a\0b": "2", "x" * 300: "3", "CON": "4", "a/b": "5", "a-b": "6"}
    write(tmp_path / "report", [on_coins("bent", "\udcff")], showing(**pages))
    found = contents(tmp_path / "report")
    assert set(pages.values()) < set(found.values())
    assert len(found) == 10
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".md"] == []


def test_figures_and_files_stand_in_folders_of_their_own(on_coins, tmp_path):
    drawn = {"title": "Heads", "tells": "", "svg": "<svg/>", "png": "AAEC", "csv": "heads\n7\n"}
    [shown] = showing()
    shown |= {"figures": {"mine/heads": drawn}, "files": {"lens/7.html": "PHA+"}}
    write(tmp_path, [on_coins("bent", "mine")], [shown])
    found = {file.name: file.read_bytes() for file in (tmp_path / "figures").glob("mine*")}
    expected = {"svg": b"<svg/>", "png": bytes(range(3)), "csv": b"heads\n7\n"}
    assert found == {f"mine-heads.{suffix}": each for suffix, each in expected.items()}
    assert (tmp_path / "lens" / "7.html").read_text() == "<p>"


def drawing(svg: str = "<svg/>") -> list[dict]:
    """What a test shows that has this figure, a page and a file."""
    [shown] = showing(**{"mine.lens": "new"})
    drawn = {"title": "Heads", "tells": "", "svg": svg, "png": "AAEC", "csv": "heads\n7\n"}
    return [shown | {"figures": {"heads": drawn}, "files": {"mine.rows.parquet": "AAEC"}}]


def fails(*_given):
    raise ValueError("no room for the axes.")


DRAWING = {
    "a figure is no SVG": ("<svg", None, "'heads'"),
    "all claims together": ("<svg/>", "_drawn", "ValueError: no room"),
    "the page": ("<svg/>", "_index", "ValueError: no room"),
}


@pytest.mark.parametrize(("svg", "step", "told"), DRAWING.values(), ids=DRAWING)
def test_what_cannot_be_drawn_costs_no_data(written, on_coins, monkeypatch, svg, step, told):
    if step:
        monkeypatch.setattr(report, step, fails)
    with pytest.raises(ClaimError, match=rf"{told}.* The data is written: verdicts.json"):
        write(written, [on_coins("bent", "mine", "refuted")], drawing(svg))
    found = contents(written)
    assert found["mine.lens.md"] == "new"
    assert "refuted" in found["verdicts.md"]
    assert json.loads(found["verdicts.json"])["verdicts"][0]["outcome"] == "refuted"
    assert (written / "mine.rows.parquet").read_bytes() == bytes(range(3))
    assert (written / "figures" / "heads.csv").read_text() == "heads\n7\n"
    assert "index.html" not in found  # it told of the verdicts before


def test_a_page_is_the_same_whichever_worker_ends_first(on_coins, tmp_path):
    shown = [each | {"position": at} for at in range(3) for each in showing(**{f"p{at}": "x"})]
    for name, order in (("one", shown), ("other", shown[::-1])):
        write(tmp_path / name, [on_coins("bent", "mine")], order)
    one, other = ((tmp_path / name / "index.html").read_text() for name in ("one", "other"))
    assert one == other
    assert one.index("p0</summary>") < one.index("p1</summary>")


def test_figures_of_alike_names_have_a_file_each_and_the_page_leads_there(on_coins, tmp_path):
    """Also where one is the report's own."""
    [shown] = drawing()
    [one] = shown["figures"].values()
    names = ("a/b", "A-b", "Forest.all")
    shown["figures"] = {name: one | {"csv": f"{name}\n7\n"} for name in names}
    write(tmp_path, [on_coins("bent", "mine")], [shown])
    page = (tmp_path / "index.html").read_text()
    links = [unquote(each) for each in re.findall('href="(figures/[^"]*[.]csv)"', page)]
    heads = [(tmp_path / link).read_text().splitlines()[0] for link in links]
    assert len({link.casefold() for link in links}) == len(names) + 1
    assert {*names} < {*heads}


def test_without_what_draws_it_a_report_has_no_page(on_coins, tmp_path, monkeypatch):
    write(tmp_path / "with", [on_coins("bent", "mine")])
    assert report.lacking() == []
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == "jinja2" else name)
    write(tmp_path / "without", [on_coins("bent", "mine")])
    assert report.lacking() == ["jinja2"]
    assert contents(tmp_path / "with").keys() - contents(tmp_path / "without") == {"index.html"}
    assert not (tmp_path / "without" / "figures").exists()
    write(tmp_path / "with", [on_coins("bent", "mine", "refuted")])
    assert "index.html" not in contents(tmp_path / "with")


@pytest.mark.parametrize("path", ["../out.html", "/out.html", "lens/../../out.html"])
def test_a_file_outside_of_the_report_is_refused(path, on_coins, tmp_path):
    [shown] = showing()
    shown["files"] = {path: "AAEC"}
    with pytest.raises(ClaimError, match=r"would lie outside of it"):
        write(tmp_path / "report", [on_coins("bent", "mine")], [shown])
    assert contents(tmp_path / "report") == {}


def test_a_report_that_cannot_be_written_is_told_with_its_folder(on_coins, tmp_path: Path):
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    with pytest.raises(ClaimError, match=r"could not be written to '.*blocked'"):
        write(blocked, [on_coins("bent", "mine")])


def test_no_rows_are_no_table():
    assert table([]) == ""


def test_a_line_end_in_a_cell_begins_no_other_row():
    assert table([{"a": "one\ntwo\r\nthree"}]).count("\n") == 3
    assert "| one two three |" in table([{"a": "one\ntwo\r\nthree"}])


def test_a_pipe_in_a_cell_begins_no_other_cell():
    text = table([{"a|b": "c|d", "e": ""}])
    assert cells(text) == [["a\\|b", "e"], [":-------", ":----"], ["c\\|d", ""]]
