"""All claims against their bounds: a forest plot for each group of subjects, from verdicts.json."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from claimlib.data import NOT_APPLICABLE, NOT_RUN, NOT_SELECTED, UNITS
from claimlib.figures import INK, Figure
from claimlib.markdown import one_line
from claimlib.page.look import BAND, BLUE, GREY, PURPLE, SMALL, VERMILLION, drawable, sheet, styled
from claimlib.report import place, section_name
from claimlib.verdicts import number

Row = Mapping[str, Any]
# Shapes that differ, too, so that no outcome is told by a colour alone.
MARKS: dict[str, dict[str, Any]] = {
    "supported": {"marker": "o", "color": BLUE},
    "refuted": {"marker": "X", "color": VERMILLION, "markersize": 7.0},
    "undecided": {"marker": "D", "color": PURPLE, "markerfacecolor": "white"},
}
ROOM = 54  # for letters of numbers in words
LIMIT = 1.1  # up to which it is drawn: what lies further out has an arrow
LINE, HEAD, FOOT = 0.21, 0.4, 0.65  # inches: a line's height; that of what stands above and below
WIDTHS = (2.45, 2.9, 3.3)  # inches: of names, the plot, and numbers in words
OTHER_SUBJECTS = 1.35  # inches more, where there are several
TOLD = (
    "Each line is a claim: the estimate and its interval, as far from the bound as they lie. To "
    "the right of the line at 0 lies what supports the claim, shaded as far as it reaches. Shares "
    "and their differences are drawn in points of a hundred; what has another unit in per cent of "
    "its bound. The numbers at the right are those that were measured, with what is required, and "
    "why an undecided claim is one, where there is room; the column `reason` always says it."
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
        f"forest.{group or 'all'}": _figure(group, _lines(verdicts, document))
        for group, verdicts in groups.items()
    }


def _lines(verdicts: Sequence[Row], document: Row) -> list[Row]:
    """The lines of a figure: by paper, section and claim; a claim of which the group has no verdict
    has one line that says why."""
    known = {(each["paper"], each["claim"]): each for each in document["claims"]}
    order = [(one_line(paper), one_line(claim)) for paper, claim in known]
    papers = list(dict.fromkeys(paper for paper, _ in order))
    lines = [_line(each) for each in verdicts]
    lines += _not_run(verdicts, document["not_run"], known)

    def by_section(line: Row) -> tuple[Any, ...]:
        claim = line["paper"], line["claim"]
        return papers.index(line["paper"]), place(line["section"]), order.index(claim)

    return sorted(lines, key=by_section)


def _not_run(
    verdicts: Sequence[Row], not_run: Sequence[Row], known: Mapping[tuple[str, str], Row]
) -> list[dict[str, Any]]:
    """A line for each claim that none of the group's subjects has a verdict on, but for those that
    are not about them, or were not asked for."""
    judged = {(each["paper"], each["claim"]) for each in verdicts}
    subjects = list(dict.fromkeys(each["subject"] for each in verdicts))
    found: dict[tuple[str, str], list[str]] = {}
    for each in not_run:
        claim = each["paper"], each["claim"]
        is_told = each["reason"] not in (NOT_APPLICABLE, NOT_SELECTED)
        if each["subject"] in subjects and claim not in judged and is_told:
            found.setdefault(claim, []).append(each["reason"])
    subject = subjects[0] if len(subjects) == 1 else ""
    return [
        _without({**known[claim], "subject": subject}, NOT_RUN, max(reasons, key=reasons.count))
        for claim, reasons in found.items()
    ]


def _line(verdict: Row) -> dict[str, Any]:
    """A verdict with its numbers as far from the bound as they lie, towards what supports."""
    if verdict["estimate"] is None:
        return _without(verdict, verdict["outcome"], verdict["reason"] or verdict["why"])
    side, bound, reach = _side(verdict)
    told = _named(verdict, verdict["outcome"], verdict["reason"])
    told["in_words"] = _in_words(verdict)
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


def _named(each: Row, outcome: str, reason: str) -> dict[str, Any]:
    """A line that has no numbers yet; every line has these keys, in this order."""
    known = {key: one_line(each[key]) for key in ("paper", "section", "claim", "subject")}
    numbers = ("estimate", "low", "high", "bound")
    drawn = ("from_bound", "from_bound_low", "from_bound_high", "supports_up_to")
    words = {"unit": "", "n": 0, "required": "", "in_words": ""}
    known |= {"outcome": outcome, "reason": one_line(reason)}
    return known | dict.fromkeys((*numbers, *drawn), math.nan) | words


def _without(each: Row, outcome: str, why: str) -> dict[str, Any]:
    return {**_named(each, outcome, why), "in_words": one_line(f"{outcome}: {why}")}


def _side(verdict: Row) -> tuple[int, float | None, float]:
    """Which way supports (1: more), from which bound on, and how far: of a range, from its nearer
    end; no bound where neither end is told."""
    low, high = verdict["required_range"]
    if high is None:
        return 1, low, math.inf
    if low is None:
        return -1, high, math.inf
    nearer_low = abs(verdict["estimate"] - low) <= abs(verdict["estimate"] - high)
    return (1, low, high - low) if nearer_low else (-1, high, high - low)


def _in_words(verdict: Row) -> str:
    signs = {name: sign for sign, name in UNITS.items()}
    unit = str(signs.get(verdict["unit"], verdict["unit"]))
    shown = number(verdict["estimate"], unit)
    if verdict["sampled"]:
        low, high = verdict["interval"]
        ends = (-math.inf if low is None else low, math.inf if high is None else high)
        shown += f" [{', '.join(number(end, unit).rstrip('%') for end in ends)}]"
    after = "" if unit == "%" else " pts" if unit == "points" else f" {unit}" if unit else ""
    return one_line(f"{shown}{after}; {_required(verdict['required'])}")


def _required(words: str) -> str:
    """What is required, in fewer words."""
    words = words.replace("0 points above ", "").replace(" points", " pts")
    known = re.fullmatch(r".*?\b(more|rise)\b.*?(?:by|of) (>.*)", words)
    return words.removeprefix("no more than the control, ") if not known else known[2]


@styled()
def _figure(group: str, lines: Sequence[Row]) -> Figure:
    several = len(_all(lines, "subject")) > 1
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
    counts = Counter(line["outcome"] for line in lines)
    told = ", ".join(f"{counts[each]} {each}" for each in (*MARKS, NOT_RUN) if each in counts)
    title = f"All claims against their bounds: {group}" if group else "All claims"
    return Figure.drawn(drawing, title, f"{told}. {TOLD}", pd.DataFrame(lines))


def _places(lines: Sequence[Row]) -> tuple[list[int], dict[int, str]]:
    """Where each line stands, and where the head of each section does."""
    places, heads, last, at = [], {}, None, 0
    several = len(_all(lines, "paper")) > 1
    for line in lines:
        paper, section = line["paper"], line["section"]
        if (paper, section) != last:
            heads[at] = section_name(section) + (f", {paper}" if several else "")
            last, at = (paper, section), at + 1
        places.append(at)
        at += 1
    return places, heads


def _draw_lines(axes: Axes, lines: Sequence[Row], places: Sequence[int]) -> None:
    low, high = _limits(lines)
    for y, line in zip(places, lines, strict=True):
        if math.isnan(line["from_bound"]):
            continue
        reach = min(line["supports_up_to"], high)
        axes.barh(y, reach, height=0.8, color=GREY, alpha=BAND, linewidth=0)
        mark = MARKS[line["outcome"]]
        ends = max(line["from_bound_low"], low), min(line["from_bound_high"], high)
        axes.plot(ends, (y, y), color=mark["color"], linewidth=1.6, solid_capstyle="butt")
        for end, beyond, arrow in (
            (low, line["from_bound_low"] < low, "<"), (high, line["from_bound_high"] > high, ">"),
        ):  # fmt: skip
            if beyond:
                axes.plot(end, y, arrow, color=mark["color"], markersize=4, clip_on=False)
        at = min(max(line["from_bound"], low), high)
        axes.plot(at, y, linestyle="none", zorder=3, clip_on=False, **mark)


def _limits(lines: Sequence[Row]) -> tuple[float, float]:
    """As far as anything reaches, in steps of a quarter, to either side at least one."""
    keys = ("from_bound", "from_bound_low", "from_bound_high")
    finite = [line[key] for line in lines for key in keys if math.isfinite(line[key])]
    low = math.floor(4 * min([*finite, -0.05])) / 4
    high = math.ceil(4 * max([*finite, 0.05])) / 4
    return max(low, -LIMIT), min(high, LIMIT)


def _draw_axis(axes: Axes, lines: Sequence[Row]) -> None:
    low, high = _limits(lines)
    axes.set_xlim(low, high)
    axes.axvline(0, color=INK, linewidth=1.0, zorder=1)
    ticks = [each / 100 for each in range(-100, 101, 25) if low <= each / 100 <= high]
    axes.set_xticks(ticks, labels=[_tick(each) for each in ticks])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(
        "distance from the bound, towards what supports\n(points of shares; else % of the bound)"
    )


def _tick(place: float) -> str:
    return f"{100 * place:+.0f}".replace("-", "\N{MINUS SIGN}") if place else "bound"


def _draw_names(
    axes: Axes,
    lines: Sequence[Row],
    places: Sequence[int],
    heads: Mapping[int, str],
    left: float,
    several: bool,
) -> None:
    look: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(), "va": "center", "fontsize": SMALL,
        "parse_math": False,
    }  # fmt: skip
    for y, head in heads.items():
        axes.text(left + 0.03, y, drawable(head), fontweight="bold", **look)
    shown, last = _shorter(_all(lines, "subject")), None
    for y, line in zip(places, lines, strict=True):
        if line["claim"] != last:
            axes.text(left + 0.08, y, drawable(line["claim"]), **look)
        last = line["claim"]
        if several and line["subject"]:
            axes.text(-0.04, y, drawable(shown[line["subject"]]), ha="right", **look)
        axes.text(1.04, y, drawable(_told(line)), **look)


def _told(line: Row) -> str:
    """As much as there is room for, with why an undecided claim is one; the table has all."""
    words, reason = line["in_words"], line["reason"]
    with_reason = f"{words}; {reason}"
    if reason and not math.isnan(line["estimate"]) and len(with_reason) <= ROOM:
        return with_reason
    return words if len(words) <= ROOM else f"{words[: ROOM - 1].rstrip()}…"


def _all(lines: Sequence[Row], key: str) -> list[str]:
    """What lines have under a key, each once."""
    return list(filter(None, dict.fromkeys(line[key] for line in lines)))


def _shorter(names: Sequence[str]) -> dict[str, str]:
    """The names of subjects without the words that all of them end with."""
    ends = zip(*(each.split(" ")[::-1] for each in names), strict=False)
    common = [words[0] for words in takewhile(lambda words: len({*words}) == 1, ends)][::-1]
    end = f" {' '.join(common)}" if common and len(names) > 1 else ""
    return {name: name.removesuffix(end).rstrip(",") for name in names}
