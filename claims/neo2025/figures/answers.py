"""What the model says before and after the object's tokens are ablated (the paper's figure 5)."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from claimlib.figures import Figure
from claimlib.page.look import SMALL, drawable, sheet, styled
from claims.neo2025 import arms
from claims.neo2025.figures.tokens import show_picture
from claims.neo2025.protocol import TASKS
from claims.neo2025.tables import MeasuredTable
from vlmlib.study import Example
from vlmlib.study.run import QUESTION

ARM = arms.REGIONS[1]
COLUMNS = ["task", "image", "category", "question", "before", "arm", "after", "lost"]
WIDE, LINES = 74, 3  # letters of a line, and lines of an answer: the table has all
TELLS = (
    "For each task the first image on which ablating the object's tokens with a buffer of one "
    "takes the right answer away, and the first on which it does not, where there are such. Long "
    "answers are cut here and whole in the table. "
)
NO_PICTURES = "The pictures are not at hand; their ids stand in their place. "


def answers(table: MeasuredTable) -> pd.DataFrame:
    """Of each task, an image that loses the right answer and one that keeps it."""
    rows = [
        {"task": task, "image": image, "category": clean["category"]}
        | {"question": table.rows.details[task, image].get(QUESTION, "")}
        | {"before": clean["answer"]}
        | {"arm": ARM, "after": after["answer"], "lost": not after["right"]}
        for task in TASKS
        for image, clean, after in _shown(table.rows.rows, task)
    ]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _shown(rows: Any, task: str) -> Iterator[tuple[str, Any, Any]]:
    """The first image of each outcome, with its row before and its row after."""
    by_arm = {
        arm: rows[(rows["task"] == task) & (rows["arm"] == arm)].set_index("example")
        for arm in ("clean", ARM)
    }
    after = by_arm[ARM].dropna(subset=["right"])
    for right in (False, True):
        for image in after.index[after["right"].astype(bool) == right][:1]:
            yield image, by_arm["clean"].loc[image], after.loc[image]


@styled()
def draw(numbers: pd.DataFrame, pictures: Mapping[str, Example], label: str) -> Figure:
    drawing = sheet(7.6, 1.1 * max(len(numbers), 1))
    drawing.set_layout_engine("none")
    places = drawing.subplots(
        max(len(numbers), 1), 2, squeeze=False,
        gridspec_kw={
            "width_ratios": (1, 4.6), "left": 0.01, "right": 0.99, "top": 0.97, "bottom": 0.03,
            "wspace": 0.03,
        },
    )  # fmt: skip
    for axes in places.flat:
        axes.set_axis_off()
    for (left, right), row in zip(places, numbers.to_dict("records"), strict=False):
        example = pictures.get(row["image"])
        show_picture(left, example)
        if not example:
            left.text(
                0.5, 0.5, drawable(_cut(row["image"], 14)), ha="center", va="center",
                fontsize=SMALL, parse_math=False,
            )  # fmt: skip
        _write(right, row)
    told = TELLS + ("" if pictures else NO_PICTURES)
    return Figure.drawn(drawing, f"Answers before and after, {label}", told.strip(), numbers)


def _write(axes: Any, row: Mapping[Any, Any]) -> None:
    look = {"fontsize": SMALL, "va": "top", "parse_math": False, "transform": axes.transAxes}
    head = f"{row['task']}: {row['question'] or 'a question about: ' + row['category']}"
    axes.text(0, 0.98, drawable(_cut(head, WIDE, 1)), fontweight="bold", **look)
    outcome = "lost" if row["lost"] else "kept"
    said = (("before", row["before"]), (f"after: {outcome}", row["after"]))
    for place, (name, text) in zip((0.78, 0.36), said, strict=True):
        axes.text(0, place, name, style="italic", **look)
        axes.text(0.13, place, drawable(_cut(text, WIDE)), **look)


def _cut(text: str, wide: int, lines: int = LINES) -> str:
    return "\n".join(textwrap.wrap(text, wide, max_lines=lines, placeholder=" …")) or "(nothing)"


def figures(
    table: MeasuredTable, pictures: Mapping[str, Example], label: str
) -> Iterator[tuple[str, Figure]]:
    """None where no image was asked about under the arm."""
    numbers = answers(table)
    if len(numbers):
        yield "answers", draw(numbers, pictures, label)
