"""The images behind a number of tables 1 and 2: what was said on them before, and under an arm."""

import base64
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd

from claimlib import Case
from claims.neo2025.study import Measured
from claims.neo2025.tables import Cells, MeasuredTable
from vlmlib import ImageError
from vlmlib.study import Example
from vlmlib.study.run import OBJECT, PROMPT

CELLS = 6  # of one claim on one model
OF_EACH = 3  # images of a cell that lose the answer, and as many that keep it, told at length
SIDE, QUALITY = 200, 70  # of a thumbnail: pixels, and of JPEG


def cases_of(study: object, cells: Cells, decided_by: str = "") -> list[Case]:
    """The images behind some of the cells that a claim has looked at, those that lose the answer
    and those that keep it: of each some with all that was said, and with their pictures where these
    are at hand.

    **Arguments:** `decided_by`: the part that decided, whose cells come first.
    """
    arms = {(task, arm): table for table, task, arm in cells if arm != "clean"}
    found = [
        case
        for task, arm in _first(list(arms), decided_by)[:CELLS]
        for case in _behind(arms[task, arm], task, arm)
    ]
    if not isinstance(study, Measured):
        return found
    examples = {each.id: each for each in study.examples}
    return [_pictured(case, examples.get(case.image)) if case.question else case for case in found]


def _first(cells: list[tuple[str, str]], decided_by: str) -> list[tuple[str, str]]:
    """Cells with those first that a part names, and then task by task in turns."""
    turns: dict[tuple[str, str], int] = {}
    for cell in cells:
        turns[cell] = sum(cell[0] == task for task, _ in turns)

    def place(cell: tuple[str, str]) -> tuple[int, int]:
        named = sum(name in decided_by for name in cell) if decided_by else 0
        return -named, turns[cell]

    return sorted(cells, key=place)


def _behind(table: MeasuredTable, task: str, arm: str) -> list[Case]:
    rows = table.rows.rows
    rows = rows.loc[(rows["task"] == task) & rows["arm"].isin([arm, "clean"])]
    by_arm = {str(name): each.set_index("example") for name, each in rows.groupby("arm")}
    if arm not in by_arm:
        return []
    run = by_arm[arm].loc[by_arm[arm]["right"].notna()]
    lost = ~run["right"].astype(bool)
    at_length = {*_spread(run.index[lost]), *_spread(run.index[~lost])}

    def case(example: str) -> Case:
        plain = Case(str(run.at[example, "cluster"]), task, arm, bool(lost[example]), "", "", "")
        if example not in at_length:
            return plain
        told = table.rows.details[task, example]
        return replace(
            plain,
            question=told.get(PROMPT, ""),
            before=_said(by_arm["clean"].at[example, "answer"]),
            after=_said(run.at[example, "answer"]),
            tokens=tuple(map(tuple, told.get(OBJECT, []))),
        )

    return [case(str(example)) for example in run.index]


def _said(answer: Any) -> str:
    return "" if pd.isna(answer) else str(answer)


def _spread(examples: pd.Index) -> list[str]:
    """Some of the images, evenly from the first to the last, so that nobody has picked them."""
    count = min(OF_EACH, len(examples))
    chosen = np.linspace(0, len(examples) - 1, count).round().astype(int)
    return [str(examples[each]) for each in chosen]


def _pictured(case: Case, example: Example | None) -> Case:
    """A case with a thumbnail; as it is where the picture cannot be had."""
    if example is None:
        return case
    try:
        image = example.image
    except ImageError:
        return case
    size, file = image.size, BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(file, format="JPEG", quality=QUALITY)
    data = base64.b64encode(file.getvalue()).decode()
    return replace(case, picture=f"data:image/jpeg;base64,{data}", size=size)
