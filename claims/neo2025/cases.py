"""The images behind a number: of tables 1 and 2 what was said on them before, and under an arm; of
the logit lens what the object's tokens decode to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from claimlib import Case
from claims.neo2025.lens import Shown
from claims.neo2025.study import NUMBERS, FromRows, Measured
from claims.neo2025.tables import Cells, MeasuredTable
from vlmlib import ImageError
from vlmlib.pictures import data_uri
from vlmlib.study import Example, Finished
from vlmlib.study.run import OBJECT, QUESTION

CELLS = 6  # of one claim on one model
OF_EACH = 3  # images of a cell on either side that are told at length
SIDE, QUALITY = 200, 70  # of a thumbnail: pixels, and of JPEG
WORDS = 12  # that the lens shows in late layers
DECODED = "decode to its class in some layer", "do so in no layer"
CHANGED = "changed the description", "left it as it was"


@dataclass(frozen=True)
class Behind:
    """The images behind a number.

    - `cases`: of some of the arms; `compared`: how many arms there were.
    """

    cases: Sequence[Case] = ()
    compared: int = 0

    @classmethod
    def of(cls, study: object, cells: Cells, asks: Iterable[str], decided_by: str = "") -> "Behind":
        """What a claim has looked at in a study: of some cells of its tables the images on either
        side, some of them with all that was said, and with their pictures where these are at hand;
        of the lens the images on which it shows the object's class, and those on which it does not.

        **Arguments:** the cells of this study's tables; what else the claim asks of it;
        `decided_by`: the part that decided, whose cells come first.
        """
        if not isinstance(study, FromRows):
            return cls()
        tables = [each for each in vars(study).values() if isinstance(each, MeasuredTable)]
        arms = {
            (task, arm): table
            for table, task, arm in cells
            if arm != "clean" and any(table is each for each in tables)
        }
        chosen = _first(list(arms), decided_by)[:CELLS]
        found = [list(_of_cell(arms[cell], *cell)) for cell in chosen]
        read = vars(study)  # what was lacking was not read, and is not asked for again
        if not arms and "numbers" in asks and "numbers" in read:
            found += _of_numbers(study.rows(NUMBERS))
        elif not arms and "lens" in asks and "shown" in read:
            found.append(_of_lens(study.shown))
        examples = _examples(study)
        cases = tuple(case for one in found for case in _at_length(one, examples))
        return cls(cases, len(arms) or len(found))


def _examples(study: FromRows) -> Mapping[str, Example]:
    """By id the images of a study that are at hand."""
    if not isinstance(study, Measured):
        return {}
    made = [each for each in ("examples", "lens_examples") if each in vars(study)]
    return {each.id: each for name in made for each in getattr(study, name)}


def _first(cells: list[tuple[str, str]], decided_by: str) -> list[tuple[str, str]]:
    """Cells with those first that a part names, and then task by task in turns."""
    turns: dict[tuple[str, str], int] = {}
    for cell in cells:
        turns[cell] = sum(cell[0] == task for task, _ in turns)

    def place(cell: tuple[str, str]) -> tuple[int, int]:
        named = sum(name in decided_by for name in cell) if decided_by else 0
        return -named, turns[cell]

    return sorted(cells, key=place)


def _of_cell(table: MeasuredTable, task: str, arm: str) -> Iterator[Case]:
    """The images of a cell, each with all that was said."""
    rows = table.rows.rows
    rows = rows.loc[(rows["task"] == task) & rows["arm"].isin([arm, "clean"])]
    by_arm = {str(name): each.set_index("example") for name, each in rows.groupby("arm")}
    if arm not in by_arm:
        return
    before, after, draws = by_arm["clean"], by_arm[arm], len(table.draws(arm))
    name = f"{arm} (the first of {draws} draws)" if draws > 1 else arm
    for example, run in after.loc[after["right"].notna()].iterrows():
        clean, told = before.loc[example], table.rows.details[task, str(example)]
        yield Case(
            str(run["cluster"]), task, name, not run["right"], told.get(QUESTION, ""),
            _said(clean["answer"]), _said(run["answer"]), _boxes(told.get(OBJECT, [])),
            also=_probable(clean["probability"], run["probability"]),
        )  # fmt: skip


def _of_lens(found: Sequence[Finished]) -> list[Case]:
    """The images of the lens, by whether it shows the object's class."""
    return [
        _shown(each.cluster, Shown.of(each.rows[0]), str(each.rows[0].answer))
        for each in found
        if each.rows
    ]


def _shown(image: str, shown: Shown, category: str) -> Case:
    matches = shown.of_class.matches
    most, words = max(matches), ", ".join(filter(None, map(str.strip, shown.words[:WORDS])))
    best = f"{most} of {shown.tokens} tokens in layer {matches.index(most)}; " if most else ""
    return Case(
        image, "logit lens", "the object's tokens", most > 0, f"Its class: {category}", "", "",
        _boxes(shown.places), also=f"{best}late layers: {words or 'nothing'}",
        sides=DECODED,
    )  # fmt: skip


def _of_numbers(found: Sequence[Finished]) -> list[list[Case]]:
    """The images on which tokens were ablated that decode to numbers, arm by arm."""
    by_arm: dict[str, list[Case]] = {}
    for each in found:
        for row in each.rows[1:]:
            clean = each.rows[0]
            case = Case(
                each.cluster, "description", row.arm, not row.right,
                clean.detail.get(QUESTION, ""), _said(clean.answer), _said(row.answer),
                sides=CHANGED,
            )  # fmt: skip
            by_arm.setdefault(row.arm, []).append(case)
    return list(by_arm.values())


def _boxes(places: Iterable[Sequence[float]]) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((left, top, right, bottom) for left, top, right, bottom in places)


def _said(answer: Any) -> str:
    return "" if pd.isna(answer) else str(answer)


def _probable(before: Any, after: Any) -> str:
    if pd.isna(before) or pd.isna(after):
        return ""
    return f"the right token: {before:.0%} → {after:.0%}"


def _at_length(cases: Sequence[Case], examples: Mapping[str, Example]) -> Iterator[Case]:
    """Some of an arm's cases with all that is known and with their pictures, the others for their
    count alone."""
    sides = [[at for at, case in enumerate(cases) if case.lost == lost] for lost in (True, False)]
    chosen = {at for side in sides for at in _spread(side)}
    for at, case in enumerate(cases):
        if at in chosen:
            yield _pictured(case, examples.get(case.image))
        else:
            yield replace(case, question="", before="", after="", also="", tokens=())


def _spread(places: Sequence[int]) -> list[int]:
    """Some of the images, evenly from the first to the last, so that nobody has picked them."""
    count = min(OF_EACH, len(places))
    chosen = np.linspace(0, len(places) - 1, count).round().astype(int)
    return [places[each] for each in chosen]


def _pictured(case: Case, example: Example | None) -> Case:
    """A case with a thumbnail; as it is where the picture cannot be had."""
    if example is None:
        return case
    try:
        image = example.image
    except ImageError:
        return case
    return replace(case, picture=data_uri(image, SIDE, [QUALITY]), size=image.size)
