"""Tables and figures of the report: what blocking a route costs, window by window."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import pandas as pd

from claimlib import Figure, band
from claimlib.intervals import of_mean
from claimlib.markdown import text
from claims.zhang2025 import arms
from claims.zhang2025.sample import counts
from claims.zhang2025.study import Flow, Measured
from fixtures.models import SHIPPED, STAND_IN
from fixtures.reports import steps_told
from vlmlib.study import Step

HOW = (
    "The relative change of the probability of the token that the model says first, in per cent, "
    "when attention of a route is blocked in a window of layers: the mean over the questions on "
    "which the model is right, with its interval (95 %, images as clusters). Layers count from 0; "
    "a window is of {width} around its layer, clipped at both ends. Routes of what "
    "a picture does not show are of fewer questions. `{as_many}`: a random choice "
    "of other visual tokens, as many as the objects asked about have. `{text}` is the ceiling."
)


@cache  # as every claim asks for it
def page(flow: Flow) -> str:
    """The page of a model."""
    head = f"# {text(flow.label)} on {text(flow.data)}: information flow"
    parts = [head, *([STAND_IN] if flow.name == SHIPPED else []), "\n".join(_right(flow))]
    if not flow.able:
        return "\n\n".join(parts) + "\n"
    width = arms.width(flow.layers)
    told = HOW.format(
        width="one layer" if width == 1 else f"{width} layers", as_many=arms.AS_MANY, text=arms.TEXT
    )
    parts.insert(-1, told)
    for task in flow.tasks:
        parts += [f"## {text(task)}", _table(flow, task)]
    return "\n\n".join(parts) + "\n"


def chosen_of(flow: Flow) -> list[dict[str, Any]]:
    """How many questions each step left: of the data, where it is at hand, and of each task."""
    found = steps_told("questions", [flow.questions.step]) if isinstance(flow, Measured) else []
    for task, table in flow.tables.items():
        asked, counted = table.counts[task]["asked"], table.counts[task]["counted"]
        step = Step("on which the clean run is right", asked, counted)
        found += steps_told(task, [Step("asked", asked, asked), step])
    return found


def which_count(flow: Flow, name: str) -> set[str]:
    """The questions of a measurement that count: those on which the clean run is right."""
    return {each.example for each in flow.found[name] if each.rows and counts(each.rows[0])}


def _right(flow: Flow) -> Iterator[str]:
    """How often the model is right, and which tasks that leaves out."""
    for task, share in flow.right_on.items():
        asked = flow.tables[task].counts[task]["asked"]
        out = "" if task in flow.able else ": left out, as it cannot do it"
        yield f"- {text(task)}: right on {share:.0%} of {asked}{out}"


def _table(flow: Flow, task: str) -> str:
    columns = [*flow.windows, arms.ALL]
    rows = []
    for route in (*arms.WINDOWED, *arms.THROUGHOUT):
        cells = {
            _head(window): _cell(flow, task, route, window)
            for window in columns
            if flow.tables[task].has(arms.knockout(route, window), task)
        }
        if cells:
            [whole] = flow.change(task, (route, [arms.ALL]))
            asked = len(whole)
            rows.append({"from -> to": text(route), "questions": asked, **cells})
    return pd.DataFrame(rows).fillna("").to_markdown(index=False)


def _head(window: str) -> str:
    return window.removeprefix("around ")


def _cell(flow: Flow, task: str, route: str, window: str) -> str:
    mean, low, high = _change(flow, task, route, window)
    return f"{100 * mean:z.0f} [{100 * low:z.0f}, {100 * high:z.0f}]"


def _change(flow: Flow, task: str, route: str, window: str) -> tuple[float, float, float]:
    [change] = (each.point(0) for each in flow.change(task, (route, [window])))
    low, high = of_mean(change, (-1.0, 1.0)).interval(0.95)
    return float(change.values.mean()), low, high


@cache
def figures(flow: Flow) -> dict[str, Figure]:
    """The figure of a model; none where nothing can draw."""
    if not find_spec("matplotlib") or not flow.able:
        return {}
    from claims.zhang2025.figure import draw

    windows = [*flow.windows, arms.ALL]
    rows = [
        {"task": task, "route": route, "layer": layer, "change": mean, "low": low, "high": high}
        for task in flow.able
        for route in (arms.QUESTION, arms.IMAGE, arms.INTO_QUESTION, arms.LAST)
        for [curve] in [flow.change(task, (route, windows))]
        for layer, mean, low, high in zip(
            [*range(flow.layers), None],
            curve.values.mean(axis=0),
            *band(curve, (-1.0, 1.0)),
            strict=True,
        )
    ]
    return {f"{flow.label}.flow": draw(pd.DataFrame(rows), flow.label)}
