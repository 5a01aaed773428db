"""What a run reports at its end, end to end on tiny models: the verdicts in the terminal, and pages
of Markdown.

Fails if a verdict is missing or stands under another claim or model, if the stand-in is not called
one, or if a name breaks a table.
"""

import re
from pathlib import Path

import pytest

from claimlib.claims import CLAIMS
from claimlib.report import lines, verdict_page
from tests.neo2025 import FOLDER, NEO2025

pytest_plugins = ["tests.inner"]

THREE_CLAIMS = """
import pytest
from claimlib.shares import Totals, exceeds

@pytest.mark.claim("last-visual-row-vqa")
def test_late(trial, subject):
    trial.check(exceeds(Totals(10, 100), 0.5))

@pytest.mark.claim("object-buffer-70")
def test_abstract(trial, subject):
    trial.check(exceeds(Totals(60, 100), 0.5))

@pytest.mark.claim("object-impairs")
def test_early(trial, subject):
    subject.lens
    trial.check(exceeds(Totals(90, 100), 0.5))
"""
IN_ORDER = [
    "object-buffer-70",
    "object-impairs",
    "last-visual-row-vqa",
]  # the abstract first, unlike in claims.toml


def reported(
    inner, *options: str, code: str = THREE_CLAIMS
) -> tuple[pytest.RunResult, dict[str, str]]:
    """A run, and the pages that it wrote."""
    folder = inner.folder / "made" / "report"
    result = inner.code(code, *options, f"--claims-report={folder}")
    return result, {file.name: file.read_text() for file in folder.iterdir()}


def cells(page: str) -> list[list[str]]:
    """The rows of a page's table, the heading first, as a Markdown reader splits them."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_verdicts_stand_in_the_papers_order_whatever_the_order_of_tests(inner):
    result = inner.code(THREE_CLAIMS, *inner.own)
    headings = ["abstract", "section 3", "section 4.2"]
    assert [line for line in result.outlines if line in headings] == headings
    named = [
        line.split(":")[0].strip()
        for line in result.outlines
        if line.startswith("  ") and "claimed" not in line
    ]
    assert [name for name in named if name in IN_ORDER] == IN_ORDER


def test_every_model_of_a_claim_stands_below_it(inner):
    result = inner.verdict(90, "-k", "published")
    result.stdout.fnmatch_lines(
        [
            "  object-buffer-polling: Ablating the object's tokens with a buffer of one reduces "
            "polling accuracy by *",
            "    llava-1.5-7b as published: supported: 90.0%*",
            "    llava-phi-3 as published: supported: 90.0%*",
        ],
        consecutive=True,
    )


STAND_IN = "emoji-llava is a stand-in of a few million parameters"


@pytest.mark.parametrize("protocol", ["text", "authors"])
def test_the_stand_in_is_called_one_wherever_it_has_a_verdict(inner, protocol):
    code = THREE_CLAIMS.replace("subject.lens", "")
    result, pages = reported(inner, f"--vlm-protocol={protocol}", "-k", "not published", code=code)
    result.stdout.fnmatch_lines([f"{STAND_IN}*"])
    assert [name for name, page in pages.items() if STAND_IN not in page] == []


def test_no_other_model_is_called_a_stand_in(inner):
    result, pages = reported(
        inner, f"--vlm-model={inner.checkpoint_named('emoji-llava-large')}", *inner.on_scenes
    )
    result.stdout.no_fnmatch_line(f"{STAND_IN}*")
    assert [name for name, page in pages.items() if STAND_IN in page] == []


def test_a_run_without_claims_says_nothing_of_verdicts(inner):
    result = inner.code("def test_other():\n    pass", f"--claims-report={inner.folder / 'report'}")
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.no_fnmatch_line("*= verdicts =*")


def test_without_the_option_nothing_is_written_but_the_store(inner):
    before = {*inner.pytester.path.iterdir(), *inner.folder.iterdir()}
    inner.verdict(90, *inner.own)
    after = {*inner.pytester.path.iterdir(), *inner.folder.iterdir()}
    made = {path.name for path in after - before} - {"__pycache__"}
    assert made == {"store", "test_without_the_option_nothing_is_written_but_the_store.py"}


def test_a_report_holds_verdicts_findings_and_a_page_for_each_measurement(inner):
    result, pages = reported(inner, *inner.own)
    result.stdout.fnmatch_lines([f"report: {inner.folder / 'made' / 'report'}"])
    assert pages.keys() == {"verdicts.md", "findings.md", "my-llava.lens.md"}
    assert all(page.startswith("# ") and page.endswith("\n") for page in pages.values())

    heading, _, *rows = cells(pages["verdicts.md"])
    found = {row[1]: (row[0], row[heading.index("my-llava")]) for row in rows}
    assert {name: cell for name, cell in found.items() if cell[1]} == {
        "`object-buffer-70`": ("abstract", "undecided*"),  # 61 of 100 would support it
        "`object-impairs`": ("3", "supported"),
        "`last-visual-row-vqa`": ("4.2", "refuted"),
    }
    for finding in ("undecided: 60.0%", "supported: 90.0%", "refuted: 10.0%"):
        assert f"my-llava: {finding}" in pages["findings.md"]
    assert pages["my-llava.lens.md"].startswith("# my-llava on emoji_coco: logit lens\n")
    assert [row[0] for row in cells(pages["my-llava.lens.md"])[2:]] == [
        "0",
        "1",
        "2",
    ]  # the states of two layers


def test_every_measurement_has_its_page_in_a_report(inner):
    body = "    subject.ablations, subject.knockouts, subject.lens\n"
    _, pages = reported(
        inner, *inner.own, "-k", "early", code=THREE_CLAIMS.replace("    subject.lens\n", body)
    )
    assert pages.keys() >= {"my-llava.ablations.md", "my-llava.knockouts.md", "my-llava.lens.md"}
    for name in ("ablations", "knockouts", "lens"):
        table = cells(pages[f"my-llava.{name}.md"])
        assert len(table) > 4
        assert all(re.fullmatch(r"\d+ of \d+", cell) for cell in table[2][1:])


def test_protocols_have_pages_of_their_own(inner):
    _, pages = reported(inner, *inner.own, "--vlm-protocol=text", "--vlm-protocol=authors")
    assert {name for name in pages if "lens" in name} == {
        "my-llava.lens.md",
        "my-llava.authors.lens.md",
    }
    assert {"my-llava", "my-llava, authors"} <= set(cells(pages["verdicts.md"])[0])
    assert pages["my-llava.authors.lens.md"].startswith("# my-llava, authors on emoji_coco")


def test_a_second_report_replaces_the_first_and_tells_what_the_store_held(inner):
    _, first = reported(inner, *inner.own)
    _, again = reported(inner, *inner.own)
    assert again == first


def test_no_name_breaks_a_table(inner):
    model = inner.checkpoint_named("a|b `c`")
    result, pages = reported(inner, f"--vlm-model={model}", *inner.on_scenes)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "undecided": 1}
    heading, rule, *rows = cells(pages["verdicts.md"])
    assert len(heading) == len(rule)
    assert {len(row) for row in rows} == {len(heading)}
    assert heading[-1].replace("\\", "") == "a|b `c`"
    assert {row[-1] for row in rows} == {"", "supported", "refuted", "undecided*"}


def test_a_report_that_cannot_be_written_fails_the_run_and_is_told_without_a_traceback(
    inner, told, tmp_path: Path
):
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    result = inner.verdict(90, "-k", "published", f"--claims-report={blocked}")
    assert result.ret != 0
    assert f"The report could not be written to '{blocked}'" in told(result)
    assert "Traceback" not in told(result)


def verdict(claim: str, label: str, outcome: str, *, fragile: bool = False, **more) -> dict:
    """A verdict as a run hands it to its report."""
    plain = {"file": str(FOLDER / CLAIMS), "note": "", "beside": "", "position": 0, "line": ""}
    found = {"claim": claim, "label": label, "outcome": outcome, "fragile": fragile}
    return plain | found | more


POLLING, LAST_ROW = NEO2025["object-buffer-polling"], NEO2025["last-visual-row-vqa"]


def test_the_verdict_page_has_a_row_per_claim_a_column_per_model_and_marks_what_is_fragile():
    page = verdict_page(
        [
            verdict(LAST_ROW.id, "mine", "refuted"),
            verdict(POLLING.id, "mine", "supported", fragile=True),
            verdict(POLLING.id, "yours", "undecided"),
        ]
    )
    assert "one image more or less" in page
    heading, _, *rows = cells(page)
    assert heading == ["section", "claim", "statement", "mine", "yours"]
    assert [row[1] for row in rows] == [f"`{name}`" for name in NEO2025]
    found = {row[1]: row for row in rows}
    outcomes = {name: row[3:] for name, row in found.items() if any(row[3:])}
    assert outcomes == {
        f"`{POLLING.id}`": ["supported*", "undecided"],
        f"`{LAST_ROW.id}`": ["refuted", ""],
    }
    assert found[f"`{POLLING.id}`"][:3] == [
        POLLING.section,
        f"`{POLLING.id}`",
        POLLING.statement,
    ]


def test_columns_and_findings_follow_the_tests_and_not_the_workers_that_end_first():
    rows = [
        verdict(POLLING.id, label, "supported", position=position, line="l")
        for label, position in (("third", 8), ("first", 2), ("second", 5))
    ]
    assert cells(verdict_page(rows))[0][3:] == ["first", "second", "third"]
    told = [line.strip() for line in lines(rows) if line.startswith("    ")]
    assert told == ["first: l", "second: l", "third: l"]


def test_verdicts_of_one_claims_cells_are_counted():
    outcomes = ["supported", "supported", "supported", "refuted", "supported"]
    rows = [
        verdict(POLLING.id, "mine", outcome, fragile=at == 1) for at, outcome in enumerate(outcomes)
    ]
    found = {row[1]: row[3] for row in cells(verdict_page(rows))}
    assert found[f"`{POLLING.id}`"] == "3 supported, 1 supported*, 1 refuted"


def test_notes_stand_once_below_the_verdicts_in_the_order_of_the_subjects():
    rows = [
        verdict(POLLING.id, label, "supported", note=note, position=position)
        for position, (label, note) in enumerate(
            [("a", "Drawn."), ("b", ""), ("c", "Small."), ("d", "Drawn.")]
        )
    ]
    assert verdict_page(rows).endswith("|\n\nDrawn.\n\nSmall.\n")
    assert list(lines(rows))[-2:] == ["\nDrawn.", "\nSmall."]


@pytest.mark.parametrize(
    ("label", "beside", "told"),
    [("mine", "", False), ("emoji-llava", "", True), ("emoji-llava, authors", "emoji-llava", True)],
)
def test_why_claims_do_not_apply_is_said_of_a_subject_that_is_there(label, beside, told):
    page = verdict_page([verdict(POLLING.id, label, "supported", beside=beside)])
    reasons = [
        f"- `{claim.id}`: {claim.not_on['emoji-llava']}"
        for claim in NEO2025.values()
        if claim.not_on
    ]
    assert len(reasons) > 5
    assert page.endswith("\n".join(reasons) + "\n") is told
    assert ("Claims that do not apply to emoji-llava:" in page) is told
    assert (reasons[0] in page) is told


def test_the_verdict_page_says_which_verdicts_differ_from_those_of_the_subject_beside():
    claim, other = POLLING.id, LAST_ROW.id
    rows = [verdict(claim, "mine", "supported"), verdict(other, "mine", "refuted")]

    def beside(outcome: str, **more) -> list[dict]:
        found = [verdict(claim, "mine, authors", outcome, beside="mine", **more)]
        return [*found, verdict(other, "mine, authors", "refuted", beside="mine")]

    heading = "Verdicts on mine, authors that differ from those on mine:"
    assert "that differ" not in verdict_page(rows)
    assert "that differ" not in verdict_page(beside("refuted"))
    assert f"{heading}\n\n- none\n" in verdict_page(rows + beside("supported"))
    page = verdict_page(rows + beside("undecided", fragile=True))
    assert f"{heading}\n\n- `{claim}`: supported, here undecided*\n" in page
    assert f"- `{other}`: refuted" not in page


def test_sections_are_sorted_as_numbers_and_names_come_first(tmp_path: Path):
    file = tmp_path / CLAIMS
    sections = ["10", "4.10", "abstract", "4.9", "2"]
    entry = 'statement="s"\nsource="t"\nkind="greater"\nlevel=0.95\nbound_source="b"\ncontrol="c"\n'
    claims = "".join(f'[c{at}]\n{entry}section="{name}"\n' for at, name in enumerate(sections))
    file.write_text(f'paper = {{ title="t", url="u", version="1" }}\n{claims}')
    rows = [verdict(f"c{at}", "x", "supported", file=str(file)) for at in range(5)]
    told = [line for line in lines(rows) if not line.startswith(" ")]
    assert told == ["abstract", "section 2", "section 4.9", "section 4.10", "section 10"]
