"""Figures of a report: a picture, what it tells, and the numbers that it is drawn from."""

import base64
from dataclasses import asdict, dataclass
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

# Which let the same numbers make the same file, byte for byte.
SAME: Any = {"svg.hashsalt": "claimlib", "svg.fonttype": "path"}
NO_DATE = {"Date": None}
DPI = 150


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
        """A figure of matplotlib's, closed afterwards, and the table that it is drawn from.

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
            drawing.savefig(svg, format="svg", metadata=NO_DATE)
            drawing.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
        # without the XML head, so that it may stand in a page
        picture = svg.getvalue()
        picture = picture[picture.index("<svg") :]
        table = numbers.to_csv(index=False, lineterminator="\n")
        return cls(title, tells, picture, base64.b64encode(png.getvalue()).decode(), table)

    @property
    def plain(self) -> dict[str, Any]:
        """As plain data.

        !!! example

            >>> [*Figure("Heads", "", "<svg/>", "", "").plain]
            ['title', 'tells', 'svg', 'png', 'csv']
        """
        return asdict(self)
