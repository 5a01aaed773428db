"""How figures look: ink of the colour of the text around them, and three colours that colour-blind
readers tell apart, that differ in grey, and that are seen on white and on black."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import findfont, get_font

from claimlib.figures import INK

# Okabe and Ito's, of those that have a contrast of 3 with white and with nearly black.
BLUE, VERMILLION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
GREY = "#808080"  # of what is no data: bounds and lines to read along
BAND = 0.2  # how dense a band is
SMALL, SIZE = 7.5, 9.0  # of text, in points
FONT = "DejaVu Sans"  # which comes with matplotlib
UNKNOWN = "\N{WHITE SQUARE}"  # of a letter that it does not have
STYLE: Any = {
    "font.family": FONT,
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.titlelocation": "left",
    "axes.labelsize": SIZE,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.0,
    "lines.markeredgewidth": 1.2,
}


@contextmanager
def styled() -> Iterator[None]:
    """What is drawn herein looks alike, whatever settings of matplotlib a reader has.

    !!! example

        >>> with styled():
        ...     axes = sheet(3, 2).subplots()
        >>> axes.xaxis.label.get_color() == INK
        True
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def sheet(width: float, height: float) -> Drawing:
    """An empty figure of so many inches, whose parts keep clear of one another.

    !!! example

        >>> sheet(3, 2).get_size_inches().tolist()
        [3.0, 2.0]
    """
    return Drawing(figsize=(width, height), layout="constrained")


def drawable(text: str) -> str:
    """A text in lines that can be drawn: a letter that the font does not have is an empty square.

    !!! example

        >>> drawable("a dog\\0 \N{DOG FACE}")
        'a dog\N{WHITE SQUARE} \N{WHITE SQUARE}'
    """
    return "\n".join("".join(map(_letter, line)) for line in text.split("\n"))


@cache
def _letter(letter: str) -> str:
    return letter if ord(letter) in _letters() and letter.isprintable() else UNKNOWN


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())
