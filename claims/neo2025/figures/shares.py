"""What the figures of tables have in common: a share of images with its interval, and how it is
drawn."""

from math import nan
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from claimlib import Clustered, Totals
from claimlib.figures import INK
from claimlib.intervals import of_mean
from claimlib.page.look import BAND, BLUE, PURPLE, VERMILLION
from claimlib.shares import share_interval

LEVEL = 0.95
LOST = "images that lose the right answer (%)"
MADE = "Intervals are of 95 %, images of one category as a cluster."
PRINTED = "as printed"
# Lines that differ in colour, in grey, in how they are broken and in their marks.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": INK, "linestyle": "-", "marker": "o"},
    {"color": BLUE, "linestyle": "--", "marker": "s"},
    {"color": VERMILLION, "linestyle": "-.", "marker": "^"},
    {"color": PURPLE, "linestyle": ":", "marker": "D"},
)


class Share(NamedTuple):
    """A share of so many images, with its interval; nan where there is none."""

    share: float
    low: float
    high: float
    images: int


def share_of(sample: Clustered | Totals) -> Share:
    """On what share of images it happened; of numbers, such as several draws give, their mean."""
    images = sample.n if isinstance(sample, Totals) else len(sample)
    if not images:
        return Share(nan, nan, nan, 0)
    if isinstance(sample, Totals):
        return Share(sample.share, *share_interval(sample, LEVEL), images)
    if sample.values.dtype == bool:
        low, high = share_interval(sample, LEVEL)
    else:
        low, high = of_mean(sample, (0.0, 1.0)).interval(LEVEL)
    return Share(float(sample.values.mean()), low, high, images)


def draw_line(axes: Axes, x: Any, rows: Any, look: dict[str, Any], label: str = "") -> None:
    """A line through shares, and the band of their intervals."""
    axes.fill_between(x, rows["low"], rows["high"], color=look["color"], alpha=BAND, linewidth=0)
    axes.plot(x, rows["share"], label=label or None, clip_on=False, **look)


def in_percent(axes: Axes) -> None:
    """The axis of shares, from none to all."""
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
