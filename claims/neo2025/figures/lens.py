"""What the logit lens shows, layer by layer (the paper's figures 6 and 7)."""

from collections.abc import Iterator
from math import isfinite, nan
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from claimlib import Clustered
from claimlib.figures import INK, Figure
from claimlib.intervals import of_mean
from claimlib.page.look import GREY, SIZE, VERMILLION, sheet, styled
from claims.neo2025.figures.shares import (
    LEVEL,
    LOOKS,
    MADE,
    PRINTED,
    Share,
    draw_line,
    in_percent,
    share_of,
)
from claims.neo2025.lens import LensResults
from claims.neo2025.published import PrintedLens

SERIES = {
    "share": "object's tokens, its class",
    "background_share": "background tokens, its class",
    "absent_share": "object's tokens, an absent class",
}
BEST = "best layer of each image"
LAYER = "layer (0: the adapter's output)"
TELLS = (
    "Of the tokens of each image, the share that decodes to a class in a layer; lines are means "
    "over images, bands their intervals. The cross stands for each image's best layer: its mean "
    "place, and the mean share there, which is a maximum and so above the line. "
)
TELLS_BEST = (
    "In how many images a layer is the one in which most of the object's tokens decode to its "
    "class, of those in which any does; where several layers are equally good, the image is shared "
    "among them. The line is the mean, with its interval. "
)
AS_PRINTED = "The empty triangle is what the paper prints, without an interval. "


def layers(lens: LensResults, printed: PrintedLens | None) -> pd.DataFrame:
    """The share of tokens by layer, and that in each image's best layer."""
    rows = [
        {"series": title, "layer": layer, **share_of(getattr(lens, name).point(layer))._asdict()}
        for name, title in SERIES.items()
        for layer in range(lens.states)
    ]
    best = share_of(lens.best)
    rows += [{"series": BEST, **_place(lens), **best._asdict()}]
    if printed:
        at = _printed_layer(lens, printed)
        shown = Share(printed.share, nan, nan, printed.images)
        rows += [{"series": PRINTED, "layer": at, **shown._asdict()}]
    columns = ["series", "layer", "layer_low", "layer_high", *Share._fields]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def best_layers(lens: LensResults, printed: PrintedLens | None) -> pd.DataFrame:
    """Of how many images a layer is the best, and their mean."""
    shares = lens.share.values[lens.best.values > 0]
    best = shares == shares.max(axis=1, keepdims=True, initial=0.0)
    counts = (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    rows = [
        {"series": BEST, "layer": layer, "images": round(float(count), 6)}
        for layer, count in enumerate(counts)
    ]
    rows += [{"series": "mean", **_place(lens), "images": len(shares)}]
    if printed:
        at = _printed_layer(lens, printed)
        rows += [{"series": PRINTED, "layer": at, "images": printed.images}]
    columns = ["series", "layer", "layer_low", "layer_high", "images"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _place(lens: LensResults) -> dict[str, float]:
    """The best layer, on average over images."""
    depth: Clustered = lens.best_depth
    if not len(depth):
        return dict.fromkeys(("layer", "layer_low", "layer_high"), nan)
    last = lens.states - 1
    low, high = of_mean(depth, (0.0, 1.0)).interval(LEVEL)
    mean = float(depth.values.mean())
    return {"layer": last * mean, "layer_low": last * low, "layer_high": last * high}


def _printed_layer(lens: LensResults, printed: PrintedLens) -> float:
    """The layer that the paper prints, in a model of this depth."""
    return printed.best_layer * (lens.states - 1) / (printed.states - 1)


@styled()
def draw_layers(numbers: pd.DataFrame, label: str) -> Figure:
    drawing = sheet(7.6, 2.9)
    places = drawing.subplots(1, len(SERIES), sharex=True, sharey=True)
    for axes, look, title in zip(places, LOOKS, SERIES.values(), strict=False):
        rows = numbers[numbers["series"] == title]
        draw_line(axes, rows["layer"], rows, {**look, "markersize": 3.5})
        axes.set_title(title)
        in_percent(axes)
    [best], axes = _of(numbers, BEST), places[0]
    if isfinite(best["layer"]):
        axes.errorbar(
            best["layer"], best["share"], **_reach(best), marker="P", color=INK, markersize=7,
            linewidth=1, linestyle="none", label=BEST,
        )  # fmt: skip
    for each in _of(numbers, PRINTED):
        axes.plot(each["layer"], each["share"], **_PRINTED, label=f"{BEST}, {PRINTED}")
    axes.set_ylabel("tokens that decode to the class (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    drawing.supxlabel(LAYER, fontsize=SIZE)
    if axes.get_legend_handles_labels()[0]:
        drawing.legend(loc="outside upper left", ncols=2)
    told = TELLS + (AS_PRINTED if len(_of(numbers, PRINTED)) else "") + MADE
    return Figure.drawn(drawing, f"Logit lens by layer, {label}", told, numbers)


@styled()
def draw_best(numbers: pd.DataFrame, label: str) -> Figure:
    drawing = sheet(5.2, 2.6)
    axes = drawing.subplots()
    bars = numbers[numbers["series"] == BEST]
    axes.bar(bars["layer"], bars["images"], width=0.8, color=GREY, edgecolor=INK, linewidth=0.8)
    top = max([*bars["images"].tolist(), 1.0])
    [mean] = _of(numbers, "mean")
    if isfinite(mean["layer"]):
        reach = _reach({**mean, "share": 0.0, "low": 0.0, "high": 0.0})["xerr"]
        axes.errorbar(
            mean["layer"], 1.08 * top, xerr=reach, marker="P", color=INK, markersize=7,
            linewidth=1, linestyle="none", label="mean",
        )  # fmt: skip
    for each in _of(numbers, PRINTED):
        axes.plot(each["layer"], 1.08 * top, **_PRINTED, label=f"mean, {PRINTED}")
    axes.set_ylim(0, 1.2 * top)
    axes.set_ylabel("images")
    axes.set_xlabel(f"best {LAYER}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_legend_handles_labels()[0]:
        drawing.legend(loc="outside upper left", ncols=2)
    told = TELLS_BEST + (AS_PRINTED if len(_of(numbers, PRINTED)) else "") + MADE
    return Figure.drawn(drawing, f"Best layers of the logit lens, {label}", told, numbers)


_PRINTED: dict[str, Any] = {
    "marker": "v", "color": VERMILLION, "markerfacecolor": "none", "markersize": 8,
    "linestyle": "none",
}  # fmt: skip


def _of(numbers: Any, series: str) -> list[dict[Any, Any]]:
    return numbers[numbers["series"] == series].to_dict("records")


def _reach(best: dict[Any, Any]) -> dict[str, list[list[float]]]:
    """How far an interval reaches to both sides, as error bars want it."""
    ends = {"xerr": ("layer", "layer_low", "layer_high"), "yerr": ("share", "low", "high")}
    return {
        bar: [[max(best[at] - best[low], 0.0)], [max(best[high] - best[at], 0.0)]]
        for bar, (at, low, high) in ends.items()
    }


def figures(
    lens: LensResults, printed: PrintedLens | None, label: str
) -> Iterator[tuple[str, Figure]]:
    yield "lens-by-layer", draw_layers(layers(lens, printed), label)
    yield "lens-best-layers", draw_best(best_layers(lens, printed), label)
