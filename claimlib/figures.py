"""Figures of a report: a picture, what it tells, and the numbers that it is drawn from."""

import base64
import re
from dataclasses import asdict, dataclass
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

# Which let the same numbers make the same file, byte for byte.
SAME: Any = {"svg.hashsalt": "claimlib", "svg.fonttype": "path"}
NO_DATE = {"Date": None}
DPI = 150
# The colour of text and axes: in a page it becomes that of the text around the picture.
INK = "#1a1b1c"
OF_THE_PAGE = "currentColor"
UNUSED_NAME = re.compile(r'(?<=<g) id="[^"]*"')  # of groups: a page with two pictures has it twice


@runtime_checkable
class Numbers(Protocol):
    """A table, as pandas has them."""

    def to_csv(self, *, index: bool, lineterminator: str) -> str:
        """The table as text."""
        ...


@dataclass(frozen=True)
class Figure:
    """A picture with its numbers, as plain text, which can travel between processes.

    - `title`; `tells`: what one sees in it, a sentence or two, which is also its description for
      whoever does not see it.
    - `svg`; `png`: in base64; `csv`: the numbers.

    !!! example

        >>> Figure("Heads", "How often it fell on heads.", "<svg/>", "", "heads\\n7\\n").csv
        'heads\\n7\\n'
    """

    title: str
    tells: str
    svg: str
    png: str
    csv: str

    @classmethod
    def drawn(cls, drawing: "Drawing", title: str, tells: str, numbers: Numbers) -> "Figure":
        """A figure of matplotlib's, and the table that it is drawn from.

        The picture of lines has no background, and what is drawn in `INK` has the colour of the
        text around it, so that it is read on a dark page, too; that of pixels is black on white.

        !!! example

            >>> import pandas as pd
            >>> from matplotlib.figure import Figure as Drawing
            >>> drawing = Drawing()
            >>> _ = drawing.subplots().bar(["heads"], [7])
            >>> numbers = pd.DataFrame({"side": ["heads"], "count": [7]})
            >>> Figure.drawn(drawing, "Sides", "Seven heads.", numbers).csv
            'side,count\\nheads,7\\n'
        """
        import matplotlib as mpl

        svg, png = StringIO(), BytesIO()
        with mpl.rc_context(SAME):
            drawing.savefig(svg, format="svg", metadata=NO_DATE, transparent=True)
            kept = {"dpi": DPI, "facecolor": "white", "metadata": {"Software": None}}
            drawing.savefig(png, format="png", **kept)
        table = numbers.to_csv(index=False, lineterminator="\n")
        picture, pixels = _in_a_page(svg.getvalue()), base64.b64encode(png.getvalue()).decode()
        return cls(title, tells, picture, pixels, table)

    @property
    def plain(self) -> dict[str, Any]:
        """As plain data.

        !!! example

            >>> [*Figure("Heads", "", "<svg/>", "", "").plain]
            ['title', 'tells', 'svg', 'png', 'csv']
        """
        return asdict(self)


def _in_a_page(svg: str) -> str:
    """A picture as it may stand in a page: without the XML head, and in that page's ink."""
    picture = svg[svg.index("<svg") :]
    return UNUSED_NAME.sub("", picture).replace(INK, OF_THE_PAGE)
