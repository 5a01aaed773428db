"""python -m benchmarks.power: writes claims/neo2025/power.toml from the tables of docs/verdicts.md,
by which a run tells beforehand which claims so many images can decide."""

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.verdicts import OWN
from claims.neo2025.power import INSTEAD, POWER
from fixtures.filtered import QUESTIONS

PAGE = Path(__file__).parent.parent / "docs" / "verdicts.md"
SIZES = ("30", "100", "300", "1000")  # columns of the page's tables

HEAD = """\
# In how many of a hundred draws each claim is decided, supported or refuted, where the paper's
# figures are the truth: of `n` images that count in every task and in the lens; and under `mixed`,
# of 1,000 beside the paper's 100 questions. `right`: the share of questions that count.
# `python -m benchmarks.power` writes this file by the tables of docs/verdicts.md.
"""


def main() -> None:
    POWER.write_text(written(PAGE.read_text()))


def written(page: str) -> str:
    """The file, by a page of tables."""
    titles = dict(re.findall(r"\n(### The paper's world, ([^,\n]+).*\n)", page))
    tables = {model: _table(page, title) for title, model in titles.items()}
    return "\n".join([HEAD, *(_model(model, rows) for model, rows in tables.items())])


def _table(page: str, title: str) -> dict[str, dict[str, str]]:
    """The cells of the table below a title, by claim and column."""
    lines = [line for line in page.split(title)[1].split("\n#")[0].splitlines() if line[:1] == "|"]
    head, _, *rows = ([cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def _model(model: str, rows: Mapping[str, Mapping[str, str]]) -> str:
    lines = [
        f'["{model}"]',
        f"n = [{', '.join(SIZES)}]",
        f"right = {OWN.get(model, OWN[INSTEAD])['VQA'] / QUESTIONS}",
        f'["{model}".decided]',
        *(f"{claim} = {[_decided(row[n]) for n in SIZES]}" for claim, row in rows.items()),
        f'["{model}".mixed]',
        *(
            f"{claim} = {_decided(row['realistic'])}"
            for claim, row in rows.items()
            if "realistic" in row
        ),
    ]
    return "\n".join(lines) + "\n"


def _decided(cell: str) -> int:
    return sum(map(int, cell.split("/")))


if __name__ == "__main__":
    main()
