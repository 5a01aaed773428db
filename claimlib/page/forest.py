"""All claims against their bounds: a forest plot for each group of subjects, from verdicts.json."""

import math
import re
from collections.abc import Mapping, Sequence
from os.path import commonprefix
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from claimlib.data import UNITS
from claimlib.figures import INK, Figure
from claimlib.markdown import one_line
from claimlib.page.look import BAND, BLUE, GREY, PURPLE, SMALL, VERMILLION, sheet, styled
from claimlib.verdicts import number

Row = Mapping[str, Any]
# Which side of its bound supports a claim; all other kinds ask for a range.
ABOVE = {"exceeds", "exists", "greater", "increases", "above-another", "counted-above"}
BELOW = {"negligible", "no-more", "minor", "reproduces", "repeats"}
RANGE = re.compile(r"(-?[\d.,]+)%? to (-?[\d.,]+)")
# Shapes that differ, too, so that no outcome is told by a colour alone.
MARKS: dict[str, dict[str, Any]] = {
    "supported": {"marker": "o", "color": BLUE},
    "refuted": {"marker": "X", "color": VERMILLION, "markersize": 7.0},
    "undecided": {"marker": "D", "color": PURPLE, "markerfacecolor": "white"},
}
LIMIT = 1.1  # up to which it is drawn: what lies further out has an arrow
LINE, HEAD, FOOT = 0.21, 0.75, 0.95  # inches: a line's height; that of what stands above and below
WIDTHS = (2.45, 2.9, 2.75)  # inches: of names, the plot, and numbers in words
OTHER_SUBJECTS = 1.35  # inches more, where there are several
TOLD = (
    "Each line is a claim: the estimate and its interval, as far from the bound as they lie. To "
    "the right of the line at 0 lies what supports the claim, shaded as far as it reaches. Shares "
    "and their differences are drawn in points of a hundred; what has another unit in per cent of "
    "its bound. The numbers at the right are those that were measured, with what is required."
)


def forest(document: Row) -> dict[str, Figure]:
    """A figure for each group of subjects, by name, of all verdicts of a run and of what a group
    has none of.

    **Arguments:** verdicts.json, as `claimlib.data.document` returns it.

    !!! example

        >>> from claimlib.data import document
        >>> forest(document([], {}))
        {}
    """
    groups: dict[str, list[Row]] = {}
    for verdict in document["verdicts"]:
        groups.setdefault(verdict["group"], []).append(verdict)
    return {
        f"forest.{group or 'all'}": _figure(group, _lines(verdicts, document["not_run"]))
        for group, verdicts in groups.items()
    }


def _lines(verdicts: Sequence[Row], not_run: Sequence[Row]) -> pd.DataFrame:
    """The lines of a figure: by paper, section and claim."""
    subjects = {each["subject"] for each in verdicts}
    sections = {(each["paper"], each["claim"]): each["section"] for each in verdicts}
    lacking = [
        {**each, "section": sections[each["paper"], each["claim"]]}
        for each in not_run
        if each["subject"] in subjects and (each["paper"], each["claim"]) in sections
    ]
    lines = [_line(each) for each in verdicts]
    lines += [_without(each, each["board"], each["reason"]) for each in lacking]
    order = {claim: at for at, claim in enumerate(sections)}
    papers = list(dict.fromkeys(each["paper"] for each in verdicts))
    lines.sort(
        key=lambda line: (
            papers.index(line["paper"]),
            _in_order(line["section"]),
            order[line["paper"], line["claim"]],
        )
    )
    return pd.DataFrame(lines)


def _in_order(section: str) -> tuple[Any, ...]:
    """Sections in the order of their numbers, those without any first."""
    numbers = re.findall(r"\d+", section)
    return bool(numbers), list(map(int, numbers)), section


def _line(verdict: Row) -> dict[str, Any]:
    """A verdict with its numbers as far from the bound as they lie, towards what supports."""
    if verdict["estimate"] is None:
        return _without(verdict, verdict["outcome"], verdict["reason"] or verdict["why"])
    side, bound, reach = _side(verdict)
    told = {**_named(verdict, verdict["outcome"]), "in_words": _in_words(verdict)}
    told |= dict(zip(("low", "high"), verdict["interval"], strict=True))
    told |= {key: verdict[key] for key in ("estimate", "unit", "n", "required")}
    if bound is None:
        return told
    scale = 1.0 if verdict["unit"] in UNITS.values() else abs(bound) or 1.0

    def off(value: float | None, missing: float) -> float:
        return missing if value is None else round(side * (value - bound) / scale, 9)

    ends = sorted(
        off(value, side * end)
        for value, end in zip(verdict["interval"], (-math.inf, math.inf), strict=True)
    )
    return told | {
        "bound": bound,
        "from_bound": off(verdict["estimate"], math.nan),
        "from_bound_low": ends[0],
        "from_bound_high": ends[1],
        "supports_up_to": reach / scale,
    }


def _named(each: Row, outcome: str) -> dict[str, Any]:
    """A line that has no numbers yet; every line has these keys, in this order."""
    known = {key: one_line(each[key]) for key in ("paper", "section", "claim", "subject")}
    numbers = ("estimate", "low", "high", "bound")
    drawn = ("from_bound", "from_bound_low", "from_bound_high", "supports_up_to")
    words = {"unit": "", "n": 0, "required": "", "in_words": ""}
    return known | {"outcome": outcome} | dict.fromkeys((*numbers, *drawn), math.nan) | words


def _without(each: Row, outcome: str, why: str) -> dict[str, Any]:
    return {**_named(each, outcome), "in_words": one_line(f"no estimate: {why}")}


def _side(verdict: Row) -> tuple[int, float | None, float]:
    """Which way supports (1: more), from which bound on, and how far; no bound where that is not
    told by one number or two."""
    parts = {part["part"]: part["kind"] for part in verdict["parts"]}
    kind, bound = parts.get(verdict["decided_by"], verdict["kind"]), verdict["bound"]
    if bound is not None and kind in ABOVE:
        return 1, bound, math.inf
    if bound is not None and kind in BELOW:
        return -1, bound, math.inf
    low, high = _range_of(verdict)
    if low is None or high is None:
        return 1, None, math.inf
    nearer_low = abs(verdict["estimate"] - low) <= abs(verdict["estimate"] - high)
    return (1, low, high - low) if nearer_low else (-1, high, high - low)


def _range_of(verdict: Row) -> tuple[float | None, float | None]:
    """The range that is required, ends included."""
    if found := RANGE.search(verdict["required"]):
        scale = 100 if verdict["unit"] in UNITS.values() else 1
        low, high = (float(each.replace(",", "")) / scale for each in found.groups())
        return low, high
    if verdict["bound"] is not None:  # so far off on either side, such as of a printed share
        return -verdict["bound"], verdict["bound"]
    counted = re.match(r"-?[\d.,]+", verdict["required"])
    exact = float(counted[0].replace(",", "")) if counted else None
    return exact, exact


def _in_words(verdict: Row) -> str:
    unit = {name: sign for sign, name in UNITS.items()}.get(verdict["unit"], verdict["unit"])
    shown = number(verdict["estimate"], unit)
    if verdict["sampled"]:
        low, high = verdict["interval"]
        ends = (-math.inf if low is None else low, math.inf if high is None else high)
        shown += f" [{', '.join(number(end, unit).rstrip('%') for end in ends)}]"
    after = "" if unit == "%" else " pts" if unit == "points" else f" {unit}" if unit else ""
    return one_line(f"{shown}{after}; {_required(verdict['required'])}")


def _required(words: str) -> str:
    """What is required, in fewer words."""
    known = re.fullmatch(r".*?\b(more|no more|rise|< 0 points)\b.*?(?:by|of|to) (.*)", words)
    if known and known[1] in ("more", "rise"):
        return known[2]
    return words.replace("no more than the control, up to", "up to").replace(" points", " pts")


@styled()
def _figure(group: str, lines: pd.DataFrame) -> Figure:
    several = lines["subject"].nunique() > 1
    names, plot, words = WIDTHS
    names += OTHER_SUBJECTS * several
    places, heads = _places(lines)
    height = HEAD + FOOT + LINE * (max(places) + 1)
    width = names + plot + words
    drawing = sheet(width, height)
    drawing.set_layout_engine("none")
    box = (names / width, FOOT / height, plot / width, 1 - (HEAD + FOOT) / height)
    axes = drawing.add_axes(box)
    axes.set_ylim(max(places) + 0.7, -0.7)
    _draw_lines(axes, lines, places)
    _draw_names(axes, lines, places, heads, -names / plot, several)
    _draw_axis(axes, lines)
    handles = [
        Line2D([], [], linestyle="none", label=outcome, **MARKS[outcome]) for outcome in MARKS
    ]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.2,
        handletextpad=0.1, columnspacing=1.0,
    )  # fmt: skip
    counts = lines["outcome"].value_counts()
    told = ", ".join(f"{counts[each]} {each}" for each in (*MARKS, "not run") if each in counts)
    title = f"All claims against their bounds: {group}" if group else "All claims"
    return Figure.drawn(drawing, title, f"{told}. {TOLD}", lines)


def _places(lines: pd.DataFrame) -> tuple[list[int], dict[int, str]]:
    """Where each line stands, and where the head of each section does."""
    places, heads, last, at = [], {}, None, 0
    several = lines["paper"].nunique() > 1
    for paper, section in zip(lines["paper"], lines["section"], strict=True):
        if (paper, section) != last:
            heads[at] = _head(section) + (f", {paper}" if several else "")
            last, at = (paper, section), at + 1
        places.append(at)
        at += 1
    return places, heads


def _head(section: str) -> str:
    return f"section {section}" if section[:1].isdigit() else section


def _draw_lines(axes: Axes, lines: pd.DataFrame, places: Sequence[int]) -> None:
    low, high = _limits(lines)
    for place, line in zip(places, lines.itertuples(), strict=True):
        if math.isnan(line.from_bound):
            continue
        reach = min(line.supports_up_to, high)
        axes.barh(place, reach, height=0.8, color=GREY, alpha=BAND, linewidth=0)
        mark = MARKS[line.outcome]
        ends = max(line.from_bound_low, low), min(line.from_bound_high, high)
        axes.plot(ends, (place, place), color=mark["color"], linewidth=1.6, solid_capstyle="butt")
        for end, beyond, arrow in (
            (low, line.from_bound_low < low, "<"), (high, line.from_bound_high > high, ">"),
        ):  # fmt: skip
            if beyond:
                axes.plot(end, place, arrow, color=mark["color"], markersize=4, clip_on=False)
        at = min(max(line.from_bound, low), high)
        axes.plot(at, place, linestyle="none", zorder=3, clip_on=False, **mark)


def _limits(lines: pd.DataFrame) -> tuple[float, float]:
    """As far as anything reaches, in steps of a quarter, to either side at least one."""
    drawn = lines[["from_bound", "from_bound_low", "from_bound_high"]].to_numpy(float)
    finite = [each for each in drawn.ravel().tolist() if math.isfinite(each)]
    low = math.floor(4 * min([*finite, -0.05])) / 4
    high = math.ceil(4 * max([*finite, 0.05])) / 4
    return max(low, -LIMIT), min(high, LIMIT)


def _draw_axis(axes: Axes, lines: pd.DataFrame) -> None:
    low, high = _limits(lines)
    axes.set_xlim(low, high)
    axes.axvline(0, color=INK, linewidth=1.0, zorder=1)
    ticks = [each / 100 for each in range(-100, 101, 25) if low <= each / 100 <= high]
    axes.set_xticks(ticks, labels=[f"{100 * each:+.0f}" if each else "bound" for each in ticks])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(
        "distance from the bound, towards what supports\n"
        "(points of shares; else % of the bound)"
    )


def _draw_names(
    axes: Axes,
    lines: pd.DataFrame,
    places: Sequence[int],
    heads: Mapping[int, str],
    left: float,
    several: bool,
) -> None:
    look: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(), "va": "center", "fontsize": SMALL,
        "parse_math": False,
    }  # fmt: skip
    for place, head in heads.items():
        axes.text(left + 0.03, place, head, fontweight="bold", **look)
    shown, last = _shorter(lines["subject"]), None
    for place, line in zip(places, lines.itertuples(), strict=True):
        if line.claim != last:
            axes.text(left + 0.08, place, line.claim, **look)
        last = line.claim
        if several:
            subject = shown[str(line.subject)]
            axes.text(-0.04, place, subject, ha="right", **look)
        axes.text(1.04, place, str(line.in_words)[:52], **look)


def _shorter(subjects: pd.Series) -> dict[str, str]:
    """The names of subjects without the words that all of them end with."""
    names = list(dict.fromkeys(map(str, subjects)))
    reversed_words = [each.split(" ")[::-1] for each in names]
    common = len(commonprefix(reversed_words)) if len(names) > 1 else 0
    return {
        name: " ".join(words[common:][::-1]) or name
        for name, words in zip(names, reversed_words, strict=True)
    }
