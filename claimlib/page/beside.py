"""Figures of one kind of several subjects, side by side."""

import base64
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from io import BytesIO, StringIO
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd

from claimlib.figures import DPI, INK, OF_THE_PAGE, Figure
from claimlib.markdown import one_line
from claimlib.page.look import FONT, drawable, sheet, styled
from claimlib.page.words import TOY

Plain = Mapping[str, str]
TOGETHER = "side by side."
HEAD, GAP, LETTERS = 22.0, 14.0, 11.0  # points: above a picture, between two, and of its heading
WIDEST = 810.0  # points of a row, at which a page still shows it in the size that it is drawn in
POINTS, UP = 72, 6  # points of an inch; pixels above a heading
BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
NAMES = re.compile(r'id="|url\(#|href="#')
TELLS = (
    "The same figure of {subjects}, side by side or, where it is wide, one below another; the "
    "column `subject` of its numbers says whose. "
)


def beside(figures: Mapping[str, Plain], toys: Collection[str] = ()) -> dict[str, Figure]:
    """A figure for each kind that several subjects have, by name (`TOGETHER` and the kind); of
    those of `Figure.drawn`.

    **Arguments:** all figures of a report, as plain data, by names that are a subject's label, a
    point and the kind; the subjects that are stand-ins, over whose figures that is written.

    !!! example

        >>> beside({"mine.heads": {"svg": "<svg/>"}})
        {}
    """
    kinds: dict[str, dict[str, Plain]] = {}
    for name, figure in figures.items():
        subject, _, kind = name.rpartition(".")
        if BOX.search(figure["svg"]):
            kinds.setdefault(kind, {})[subject] = figure
    return {
        f"{TOGETHER}{kind}": _joined(by_subject, toys)
        for kind, by_subject in kinds.items()
        if len(by_subject) > 1
    }


def alone(name: str, figures: Iterable[str]) -> list[str]:
    """The names of the figures that one of `beside` is made of.

    !!! example

        >>> alone("side by side.heads", ["mine.heads", "mine.tails", "side by side.heads"])
        ['mine.heads']
    """
    if not name.startswith(TOGETHER):
        return []
    kind = name.removeprefix(TOGETHER)
    return [each for each in figures if each != name and each.rpartition(".")[2] == kind]


def _joined(by_subject: Mapping[str, Plain], toys: Collection[str]) -> Figure:
    subjects, figures = [*map(one_line, by_subject)], [*by_subject.values()]
    tables = [_numbers(each["csv"]) for each in figures]
    for subject, table in zip(subjects, tables, strict=True):
        table.insert(0, "subject", subject)
    heads = [one_line(f"{each} ({TOY})" if each in toys else each) for each in by_subject]
    tells = TELLS.format(subjects=" and ".join(subjects)) + figures[0]["tells"]
    return Figure(
        title=figures[0]["title"].removesuffix(f", {subjects[0]}") + f": {', '.join(subjects)}",
        tells=tells,
        svg=_lines(heads, [each["svg"] for each in figures]),
        png=_pixels(heads, [base64.b64decode(each["png"]) for each in figures]),
        csv=pd.concat(tables).to_csv(index=False, lineterminator="\n"),
    )


def _numbers(csv: str) -> pd.DataFrame:
    """Cells as they are written: a category may be called None."""
    return pd.read_csv(StringIO(csv), dtype=str, keep_default_na=False)


def _places(
    sizes: Sequence[tuple[float, float]], top: float, gap: float, widest: float
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Where pictures of these sizes go, in rows of as many as are still read, each with room for
    its heading above: left and top of each, and the size of the whole."""
    wide, high = (max(sides) for sides in zip(*sizes, strict=True))
    columns = min(len(sizes), max(1, int((widest + gap) // (wide + gap))))
    rows = -(-len(sizes) // columns)
    corners = [
        (at % columns * (wide + gap), top + at // columns * (high + top))
        for at in range(len(sizes))
    ]
    return corners, (columns * (wide + gap) - gap, rows * (high + top))


def _lines(heads: Sequence[str], pictures: Sequence[str]) -> str:
    """The pictures of lines within one, each with names of its own."""
    boxes = [BOX.findall(each)[0] for each in pictures]
    sizes = [(float(wide), float(high)) for wide, high in boxes]
    corners, (wide, high) = _places(sizes, HEAD, GAP, WIDEST)
    look = f'font-family="{FONT}, sans-serif" font-size="{LETTERS}" fill="{OF_THE_PAGE}"'
    parts = []
    for at, (head, picture) in enumerate(zip(heads, pictures, strict=True)):
        (left, top), (own_wide, own_high) = corners[at], sizes[at]
        own = NAMES.sub(lambda found, at=at: f"{found[0]}of{at}-", picture)
        place = f'<svg x="{left:.2f}" y="{top:.2f}" width="{own_wide}" height="{own_high}"'
        own = re.sub(r'<svg(?: (?:width|height)="[^"]*")*', place, own, count=1)
        own = re.sub(r'(?<=")( (?:width|height)="[^"]*pt")', "", own)
        line = top - HEAD + LETTERS + 3
        parts += [f'<text x="{left:.2f}" y="{line:.2f}" {look}>{escape(head)}</text>', own]
    box = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.2f} {high:.2f}"'
    return "\n".join(
        [f'<svg {box} width="{wide:.2f}pt" height="{high:.2f}pt">', *parts, "</svg>\n"]
    )


@styled()
def _pixels(heads: Sequence[str], pictures: Sequence[bytes]) -> str:
    """The pictures of pixels within one."""
    read: list[Any] = [matplotlib.image.imread(BytesIO(each)) for each in pictures]
    gap, head_room, widest = (round(each * DPI / POINTS) for each in (GAP, HEAD, WIDEST))
    sizes = [(each.shape[1], each.shape[0]) for each in read]
    corners, (wide, high) = _places(sizes, head_room, gap, widest)
    whole = np.ones((int(high), int(wide), 3), np.float32)
    drawing = sheet(wide / DPI, high / DPI)
    drawing.set_layout_engine("none")
    for head, each, (left, top) in zip(heads, read, corners, strict=True):
        left, top = int(left), int(top)
        whole[top : top + each.shape[0], left : left + each.shape[1]] = each[..., :3]
        look: dict[str, Any] = {"va": "top", "fontsize": LETTERS, "color": INK, "parse_math": False}
        line = 1 - (top - head_room + UP) / high
        drawing.text(left / wide, line, drawable(head), **look)
    drawing.set_dpi(DPI)
    drawing.figimage(whole)
    written = BytesIO()
    drawing.savefig(written, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return base64.b64encode(written.getvalue()).decode()
