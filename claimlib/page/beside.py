"""Figures of one kind of several subjects, side by side."""

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO, StringIO
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd

from claimlib.figures import DPI, INK, OF_THE_PAGE, Figure
from claimlib.markdown import one_line
from claimlib.page.look import FONT, drawable, sheet, styled

Plain = Mapping[str, str]
HEAD, GAP, LETTERS = 22.0, 14.0, 11.0  # points: above a picture, between two, and of its heading
POINTS, UP = 72, 6  # points of an inch; pixels above a heading
BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
NAMES = re.compile(r'id="|url\(#|href="#')
TELLS = (
    "The same figure of {subjects}, side by side; the column `subject` of its numbers says whose. "
)


def beside(figures: Mapping[str, Plain]) -> dict[str, Figure]:
    """A figure for each kind that several subjects have, by name; of those of `Figure.drawn`.

    **Arguments:** all figures of a report, as plain data, by names that are a subject's label, a
    point and the kind.

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
        f"side by side.{kind}": _joined(by_subject)
        for kind, by_subject in kinds.items()
        if len(by_subject) > 1
    }


def _joined(by_subject: Mapping[str, Plain]) -> Figure:
    subjects, figures = [*map(one_line, by_subject)], [*by_subject.values()]
    tables = [_numbers(each["csv"]) for each in figures]
    for subject, table in zip(subjects, tables, strict=True):
        table.insert(0, "subject", subject)
    tells = TELLS.format(subjects=" and ".join(subjects)) + figures[0]["tells"]
    return Figure(
        title=figures[0]["title"].removesuffix(f", {subjects[0]}") + f": {', '.join(subjects)}",
        tells=tells,
        svg=_lines(subjects, [each["svg"] for each in figures]),
        png=_pixels(subjects, [base64.b64decode(each["png"]) for each in figures]),
        csv=pd.concat(tables).to_csv(index=False, lineterminator="\n"),
    )


def _numbers(csv: str) -> pd.DataFrame:
    """Cells as they are written: a category may be called None."""
    return pd.read_csv(StringIO(csv), dtype=str, keep_default_na=False)


def _lines(subjects: Sequence[str], pictures: Sequence[str]) -> str:
    """The pictures of lines within one, each with names of its own."""
    parts, left, height = [], 0.0, 0.0
    for at, (subject, picture) in enumerate(zip(subjects, pictures, strict=True)):
        [(wide, high)] = [tuple(map(float, each)) for each in BOX.findall(picture)[:1]]
        own = NAMES.sub(lambda found, at=at: f"{found[0]}of{at}-", picture)
        place = f'<svg x="{left:.2f}" y="{HEAD}" width="{wide}" height="{high}"'
        own = re.sub(r'<svg(?: (?:width|height)="[^"]*")*', place, own, count=1)
        own = re.sub(r'(?<=")( (?:width|height)="[^"]*pt")', "", own)
        look = f'font-family="{FONT}, sans-serif" font-size="{LETTERS}" fill="{OF_THE_PAGE}"'
        parts += [f'<text x="{left:.2f}" y="{LETTERS + 3}" {look}>{escape(subject)}</text>', own]
        left, height = left + wide + GAP, max(height, high + HEAD)
    wide = left - GAP
    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.2f} {height:.2f}"'
    return "\n".join(
        [f'<svg {head} width="{wide:.2f}pt" height="{height:.2f}pt">', *parts, "</svg>\n"]
    )


@styled()
def _pixels(subjects: Sequence[str], pictures: Sequence[bytes]) -> str:
    """The pictures of pixels within one."""
    read: list[Any] = [matplotlib.image.imread(BytesIO(each)) for each in pictures]
    gap, head = (round(each * DPI / POINTS) for each in (GAP, HEAD))
    wide = sum(each.shape[1] for each in read) + gap * (len(read) - 1)
    high = max(each.shape[0] for each in read)
    whole = np.ones((high + head, wide, 3), np.float32)
    drawing, left = sheet(wide / DPI, (high + head) / DPI), 0
    drawing.set_layout_engine("none")
    for subject, each in zip(subjects, read, strict=True):
        whole[head : head + each.shape[0], left : left + each.shape[1]] = each[..., :3]
        look: dict[str, Any] = {"va": "top", "fontsize": LETTERS, "color": INK, "parse_math": False}
        drawing.text(left / wide, 1 - UP / (high + head), drawable(subject), **look)
        left += each.shape[1] + gap
    drawing.set_dpi(DPI)
    drawing.figimage(whole)
    written = BytesIO()
    drawing.savefig(written, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return base64.b64encode(written.getvalue()).decode()
