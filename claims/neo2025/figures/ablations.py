"""Table 1 as a picture: what is lost against how many tokens are ablated, for all that choose
tokens."""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from claimlib import Clustered, Totals
from claimlib.figures import INK, Figure
from claimlib.page.look import BLUE, PURPLE, SIZE, SMALL, VERMILLION, sheet, styled
from claims.neo2025 import arms
from claims.neo2025.figures.shares import (
    LOST,
    MADE,
    PRINTED,
    Share,
    draw_line,
    in_percent,
    share_of,
)
from claims.neo2025.protocol import TASKS
from claims.neo2025.published import PrintedTable, load_figures
from claims.neo2025.tables import MeasuredTable

MEASURED = "measured"
OBJECT, REGISTER, ELSEWHERE = "object's tokens", "register tokens", "region elsewhere"
GRADIENT, RANDOM, AS_MANY = "highest gradients", "random tokens", ", as many as a region has"
# What chooses the tokens of an arm.
SELECTORS = {
    **dict.fromkeys((*arms.REGIONS, arms.of_object(arms.REGISTER)), OBJECT),
    arms.REGISTER: REGISTER,
    **dict.fromkeys(map(arms.gradient, arms.COUNTS), GRADIENT),
    **dict.fromkeys(map(arms.random, arms.COUNTS), RANDOM),
    **dict.fromkeys(map(arms.gradient, arms.REGIONS), GRADIENT + AS_MANY),
    **dict.fromkeys(map(arms.random, (*arms.REGIONS, arms.REGISTER)), RANDOM + AS_MANY),
    **dict.fromkeys(map(arms.elsewhere, arms.REGIONS), ELSEWHERE),
}
LOOKS: dict[str, dict[str, Any]] = {
    OBJECT: {"color": INK, "marker": "o", "linestyle": "none"},
    REGISTER: {"color": INK, "marker": "P", "linestyle": "none"},
    GRADIENT: {"color": BLUE, "marker": "s", "linestyle": "--"},
    RANDOM: {"color": VERMILLION, "marker": "^", "linestyle": "-."},
    GRADIENT + AS_MANY: {"color": BLUE, "marker": "s", "linestyle": "none"},
    RANDOM + AS_MANY: {"color": VERMILLION, "marker": "^", "linestyle": "none"},
    ELSEWHERE: {"color": PURPLE, "marker": "D", "linestyle": "none"},
}
LINES = (GRADIENT, RANDOM)
MOST = 320  # tokens, to which the axis goes at least
# Regions and their names, each set so that it keeps clear of its neighbours'.
REGION_NAMES = dict(
    zip(arms.REGIONS, (("O", "center"), ("O+1", "right"), ("O+2", "left")), strict=True)
)
TELLS = (
    "The share of images that lose the right answer, against how many visual tokens are ablated, "
    "on average over images in which there are any. O: the object's tokens; O+1, O+2: with a "
    "buffer of one or two around them. Lines are fixed counts; empty marks as many tokens as each "
    "image's region has. "
)
AS_PRINTED = "The lower row is what the paper prints, of as many images as its fractions tell. "


def points(table: MeasuredTable, printed: PrintedTable | None) -> pd.DataFrame:
    """Every arm of table 1 under every task; below those measured, those printed."""
    rows = [
        _point(MEASURED, task, arm, float(table.rows.tokens(arm).mean()), table.lost)
        for task in TASKS
        for arm in SELECTORS
        if table.has(arm, task) and len(table.lost(task, arm))
    ]
    if printed:
        rows += [
            _point(PRINTED, task, arm, load_figures().tokens[arm], printed.lost)
            for task, arm in printed.cells
        ]
    columns = ["source", "task", "selector", "arm", "tokens", *Share._fields]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _point(
    source: str,
    task: str,
    arm: str,
    tokens: float,
    lost: Callable[[str, str], Clustered | Totals],
) -> dict[str, Any]:
    found = {"source": source, "task": task, "selector": SELECTORS[arm], "arm": arm}
    return found | {"tokens": round(tokens, 6)} | share_of(lost(task, arm))._asdict()


@styled()
def draw(numbers: pd.DataFrame, label: str) -> Figure:
    sources = numbers["source"].unique().tolist() or [MEASURED]
    drawing = sheet(8.4, 1.1 + 2.6 * len(sources))
    places = drawing.subplots(len(sources), len(TASKS), sharex=True, sharey=True, squeeze=False)
    for across, source in zip(places, sources, strict=True):
        for axes, task in zip(across, TASKS, strict=True):
            rows = numbers[(numbers["source"] == source) & (numbers["task"] == task)]
            _draw_task(axes, rows[(rows["images"] > 0) & (rows["tokens"] > 0)])
            axes.set_title(f"{task}, {source}" if len(sources) > 1 else task, pad=12)
            in_percent(axes)
    _draw_counts(places[0][0])
    drawing.supxlabel("ablated tokens, mean over images (logarithmic)", fontsize=SIZE)
    drawing.supylabel(LOST, fontsize=SIZE)
    shown = [each for each in LOOKS if each in set(numbers["selector"])]
    handles = [Line2D([], [], label=each, **_look(each)) for each in shown]
    if handles:
        drawing.legend(handles=handles, loc="outside upper left", ncols=3)
    told = TELLS + (AS_PRINTED if len(sources) > 1 else "") + MADE
    return Figure.drawn(drawing, f"Table 1 as a picture, {label}", told, numbers)


def _draw_task(axes: Axes, rows: Any) -> None:
    for selector in LOOKS:
        chosen = rows[rows["selector"] == selector].sort_values("tokens", kind="stable")
        if not len(chosen):
            continue
        if selector in LINES:
            draw_line(axes, chosen["tokens"], chosen, _look(selector))
            continue
        off = [chosen["share"] - chosen["low"], chosen["high"] - chosen["share"]]
        axes.errorbar(
            chosen["tokens"], chosen["share"], yerr=[each.clip(lower=0) for each in off],
            linewidth=0.9, clip_on=False, **_look(selector),
        )  # fmt: skip
    for point in rows.to_dict("records"):
        if point["arm"] in REGION_NAMES:
            _mark(axes, *REGION_NAMES[point["arm"]], point["tokens"])


def _mark(axes: Axes, name: str, side: Any, tokens: float) -> None:
    """The name of a region, above its count of tokens."""
    axes.axvline(tokens, color=INK, linewidth=0.5, linestyle=(0, (1, 3)), zorder=0)
    axes.text(
        tokens, 1.0, name, ha=side, va="bottom", fontsize=SMALL - 1,
        transform=axes.get_xaxis_transform(),
    )  # fmt: skip


def _look(selector: str) -> dict[str, Any]:
    empty = {"markerfacecolor": "none"} if selector.endswith(AS_MANY) else {}
    return {**LOOKS[selector], "markersize": 4.5, **empty}


def _draw_counts(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(1, max(MOST, axes.get_xlim()[1]))  # of all models the same
    axes.set_xticks(arms.COUNTS, labels=[str(each) for each in arms.COUNTS])
    axes.xaxis.set_minor_locator(NullLocator())


def figures(
    table: MeasuredTable, printed: PrintedTable | None, label: str
) -> Iterator[tuple[str, Figure]]:
    yield "table-1", draw(points(table, printed), label)
