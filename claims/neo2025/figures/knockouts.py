"""What blocked attention costs: table 2 as a heat map, and the windows that slide (the paper's
figure 8)."""

from collections.abc import Iterator, Mapping
from math import nan
from typing import Any

import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb, to_rgba
from matplotlib.patches import Rectangle

from claimlib.figures import INK, Figure
from claimlib.page.look import BLUE, SIZE, SMALL, sheet, styled
from claims.neo2025 import arms
from claims.neo2025.figures.shares import (
    LOOKS,
    LOST,
    MADE,
    Share,
    draw_line,
    in_percent,
    share_of,
)
from claims.neo2025.published import PrintedTable
from claims.neo2025.tables import MeasuredTable

ROWS = (*arms.TO_LAST, *arms.TO_ROW)
CONTROLS = tuple(map(arms.random, arms.TO_LAST))
ALL_ROWS = (*ROWS, *CONTROLS, *arms.TO_TEXT)
COLUMNS = ["row", "window", "first_layer", "last_layer", *Share._fields]
DENSE = 0.75  # of a full cell: its words, in the ink of any page, have a contrast of 4.5
SHADES = LinearSegmentedColormap.from_list(
    "lost", [(*to_rgb(BLUE), 0.0), (*to_rgb(BLUE), DENSE)], 20
)
TELLS = (
    "The share of images that lose the right answer when attention from the sources to the target "
    "is blocked in a window of layers, which count from 0; in brackets its interval. "
)
AS_PRINTED = "In a cell's last line what the paper prints. "
TELLS_SLIDING = (
    "The same for windows that slide over the layers, drawn where a window has its middle; beside "
    "it, broken, as many random sources. LTP: the last token position; LVR: the last visual row; "
    "O: the object's tokens; I: the image's. "
)


def windows(
    table: MeasuredTable, named: Mapping[str, range], printed: PrintedTable | None
) -> pd.DataFrame:
    """Table 2: what is lost, and what the paper prints of it."""
    rows = [
        {**_cell(table, row, window, layers), "printed": _printed(printed, row, window)}
        for row in ALL_ROWS
        for window, layers in named.items()
        if table.has(arms.knockout(row, window), "VQA")
    ]
    return pd.DataFrame(rows, columns=pd.Index([*COLUMNS, "printed"]))


def sliding(table: MeasuredTable) -> pd.DataFrame:
    """Figure 8: what is lost, window by window; layers count from 0."""
    found = {arms.window_of(arm): arms.layers_of(arms.window_of(arm)) for arm in table.arms}
    rows = [
        _cell(table, row, window, layers)
        for row in (*ROWS, *CONTROLS)
        for window, layers in found.items()
        if layers and table.has(arms.knockout(row, window), "VQA")
    ]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _cell(table: MeasuredTable, row: str, window: str, layers: range) -> dict[str, Any]:
    lost = share_of(table.lost("VQA", arms.knockout(row, window)))
    place = {"first_layer": layers.start, "last_layer": layers.stop - 1}
    return {"row": row, "window": window, **place, **lost._asdict()}


def _printed(printed: PrintedTable | None, row: str, window: str) -> float:
    cells = printed.cells if printed else {}
    found = cells.get(("VQA", arms.knockout(row, window)))
    return found.share if found else nan


@styled()
def draw_windows(numbers: pd.DataFrame, label: str) -> Figure:
    rows, heads = numbers["row"].unique().tolist(), numbers["window"].unique().tolist()
    has_printed = bool(numbers["printed"].notna().any())
    line = 0.62 if has_printed else 0.48
    drawing = sheet(2.2 + 0.92 * max(len(heads), 1), 1.5 + line * max(len(rows), 1))
    axes = drawing.subplots()
    for cell in numbers.to_dict("records"):
        at = heads.index(cell["window"]), rows.index(cell["row"])
        share = cell["share"] if cell["images"] else 0.0
        look = {"facecolor": fill(share), "edgecolor": INK, "linewidth": 0.4}
        axes.add_patch(Rectangle(at, 1, 1, **look))
        center = (at[0] + 0.5, at[1] + 0.5)
        axes.text(*center, _words(cell), color=INK, ha="center", va="center", fontsize=SMALL)
    axes.set(xlim=(0, max(len(heads), 1)), ylim=(max(len(rows), 1), 0))
    named = numbers.drop_duplicates("window").to_dict("records")
    axes.set_xticks([at + 0.5 for at in range(len(heads))], labels=[*map(_head, named)])
    axes.set_yticks([at + 0.5 for at in range(len(rows))], labels=[*map(_arrow, rows)])
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="window: name and layers", ylabel="blocked: sources → target")
    axes.spines[:].set_visible(False)
    scale = ScalarMappable(Normalize(0, 100), SHADES)
    bar = drawing.colorbar(scale, ax=axes, location="bottom", aspect=40, fraction=0.03)
    bar.set_label(LOST)
    bar.outline.set_edgecolor(INK)
    told = TELLS + (AS_PRINTED if has_printed else "") + MADE
    return Figure.drawn(drawing, f"Table 2 as a heat map, {label}", told, numbers)


def fill(share: float) -> tuple[float, float, float, float]:
    """The colour of a cell: from none, which is the page's own, to a dense one."""
    return to_rgba(BLUE, DENSE * share)


def _words(cell: Mapping[Any, Any]) -> str:
    if not cell["images"]:
        return "none"
    shown = f"{cell['share']:.0%}\n[{100 * cell['low']:.0f}, {100 * cell['high']:.0f}]"
    return shown if pd.isna(cell["printed"]) else f"{shown}\npaper {cell['printed']:.0%}"


def _arrow(row: str) -> str:
    return row.replace("->", "→")


def _head(cell: Mapping[Any, Any]) -> str:
    first, last = cell["first_layer"], cell["last_layer"]
    return f"{cell['window']}\n{first}" + (f"\N{EN DASH}{last}" if last > first else "")


@styled()
def draw_sliding(numbers: pd.DataFrame, label: str) -> Figure:
    drawing = sheet(7.2, 4.2)
    places = drawing.subplots(2, 3, sharex=True, sharey=True)
    for at, (axes, row) in enumerate(zip(places.flat, ROWS, strict=True)):
        for look, name in zip(LOOKS, (row, arms.random(row)), strict=False):
            lines = numbers[numbers["row"] == name]
            title = ("knocked out", "as many random sources")[name != row]
            middles = (lines["first_layer"] + lines["last_layer"]) / 2
            if len(lines):
                draw_line(
                    axes, middles, lines, {**look, "markersize": 3.5}, title if not at else ""
                )
        axes.set_title(_arrow(row))
        in_percent(axes)
    spans = (numbers["last_layer"] - numbers["first_layer"] + 1).tolist()
    drawing.supxlabel(
        f"middle of a window of {max([*spans, 0])} layers (the first layer is 0)", fontsize=SIZE
    )
    drawing.supylabel(LOST, fontsize=SIZE)
    if len(numbers):
        drawing.legend(loc="outside upper left", ncols=2)
    told = TELLS_SLIDING + MADE
    return Figure.drawn(drawing, f"Knockouts in windows that slide, {label}", told, numbers)


def figures(
    table: MeasuredTable, named: Mapping[str, range], printed: PrintedTable | None, label: str
) -> Iterator[tuple[str, Figure]]:
    yield "table-2", draw_windows(windows(table, named, printed), label)
    yield "sliding-windows", draw_sliding(sliding(table), label)
