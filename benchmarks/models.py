"""python -m benchmarks.models: writes docs/models.md, what `VLM.report` finds on every family of
tests/families. A family whose packages are not installed keeps the row that it has."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from claimlib.markdown import text
from tests.families import FAMILIES
from tests.families.building import Family
from vlmlib import VLM, VLMError
from vlmlib.report import Report, first_sentence

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
COLUMNS = (
    "family",
    "model",
    "visual tokens",
    "views",
    "places",
    "arms",
    "refused",
    "why, and what is special",
)
# What is told of a family where it is otherwise than of the first one.
SPECIAL = ("later features", "clean run", "causality", "sharing", "lens")


def main() -> None:
    page = PAGE.read_text()
    kept, plain = rows_in(page), report_of(FAMILIES[0])
    assert isinstance(plain, Report)
    rows = {
        family.name: kept.get(family.name, "") if family.missing else row_of(family, plain)
        for family in FAMILIES
    }
    PAGE.write_text(written(page, list(rows.values())))


def written(page: str, rows: Sequence[str]) -> str:
    """The page with other rows in its table, which ends it."""
    heading = _line(COLUMNS)
    before, _, _ = page.partition(heading)
    return "\n".join([before + heading, _line(["---"] * len(COLUMNS)), *filter(None, rows), ""])


def rows_in(page: str) -> dict[str, str]:
    """The rows of the page's table, by family."""
    rows = page.partition(_line(COLUMNS))[2].splitlines()[2:]
    return {row.split(" | ")[0].removeprefix("| "): row for row in rows}


def row_of(family: Family, plain: Report) -> str:
    """The row of a family, held against the report of one that has nothing special."""
    report = report_of(family)
    if isinstance(report, Report):
        return _line([family.name, *_cells(report, plain)])
    name = type(family.build()[0]).__name__
    return _line([family.name, name, "", "", "", "", "the model", report])


def report_of(family: Family) -> Report | str:
    """What is found on a family; or why it is refused as a whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return VLM(*family.build()).report()
        except VLMError as error:
            return first_sentence(str(error))


def _cells(report: Report, plain: Report) -> list[str]:
    refused = [each.what for each in report.refused]
    special = [each for each in SPECIAL if report[each].found != plain[each].found]
    told = [
        f"{each.what}: {'WRONG: ' * (each.outcome == 'wrong')}{_plainly(report.model, each.found)}"
        for each in report.findings
        if each.outcome != "found" or each.what in special
    ]
    return [
        report.model,
        _plainly(report.model, report["visual tokens"].found),
        _plainly(report.model, report["views"].found),
        "refused" if "places" in refused else "measured",
        "share work" if report["sharing"].found == plain["sharing"].found else "one by one",
        ", ".join(refused),
        "; ".join(told),
    ]


def _plainly(model: str, found: str) -> str:
    """Without the model's name, and without brackets, whose numbers are of this machine."""
    while found != (bare := re.sub(r"\s*\([^()]*\)", "", found)):
        found = bare
    return found.removeprefix(f"{model}: ").replace(model, "it")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(text, cells))} |"


if __name__ == "__main__":
    main()
