"""Tables and figures of the report: what each way costs each task, and what outcomes would mean."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from claimlib import Clustered, Figure, band
from claimlib.intervals import of_mean
from claimlib.markdown import text
from claims.route_by_task import arms
from claims.route_by_task.asked import NAMING, POLLING, TASKS
from claims.route_by_task.study import LOST, Routes
from fixtures.models import SHIPPED, STAND_IN
from fixtures.reports import steps_told
from vlmlib import LackingError
from vlmlib.study import Step

OUTCOMES = Path(__file__).with_name("outcomes.toml")
HOW = (
    "What is lost of an answer's margin, in per cent of what blocking the image from all text "
    "takes away in the same task: at 100 the answer is as without an image. A margin is by how "
    "much the right answer's logit is above the other's (of naming, the best other one's); "
    "polling's is that of an object which the image shows together with that of one which it does "
    "not, so that a leaning to yes or to no is no loss. Ratios of means over images, with "
    "intervals of 95 %, categories as clusters."
)
LAYERS = (
    "Layers count from 0; a window is of {width} around its layer, clipped at both ends. The text "
    "is all that follows the image; other text, all of it but the question and the last position."
)
FIRST = (
    "What becomes of the question in the first {first}: it sees no visual token; none but one at "
    "random, which shows nothing annotated; or its states are taken, once these layers are passed, "
    "from the same question about another picture, of which the answer is the other one, or the "
    "same."
)


@cache  # as every claim asks for it
def page(routes: Routes) -> str:
    """The page of a model."""
    head = f"# {text(routes.label)} on {text(routes.data)}: which way, by the task"
    parts = [head, *([STAND_IN] if routes.name == SHIPPED else []), _counts(routes)]
    if routes.counting.empty:
        return "\n\n".join([*parts, _meaning()]) + "\n"
    parts += ["## Ways alone and together", HOW, _alone(routes)]
    parts += [
        "## Layer by layer",
        LAYERS.format(width=_layers(routes, "one layer")),
        _windows(routes),
    ]
    parts += ["## The first layers", FIRST.format(first=_layers(routes, "layer")), _first(routes)]
    return "\n\n".join([*parts, _meaning()]) + "\n"


def chosen_of(routes: Routes) -> list[dict[str, Any]]:
    """How many images each step left: of the data, where it is at hand, and of each task."""
    found = steps_told("images", routes.steps)
    for task, (right, of) in routes.right.items():
        found += steps_told(task, [Step("on which the clean run is right", of, right)])
    most = max(of for _, of in routes.right.values())
    return found + steps_told("every task", [Step("which count", most, len(routes.counting))])


def which_count(routes: Routes, name: str) -> set[str]:
    """The images of a measurement that count: those on which the model is right in every task."""
    return {each.example for each in routes.found[name] if each.example in routes.counting.index}


def _layers(routes: Routes, one: str) -> str:
    """How many layers a window is of, and how many are the first."""
    count = arms.width(routes.layers)
    return one if count == 1 else f"{count} layers"


def _counts(routes: Routes) -> str:
    """How often the model is right, and how many images count."""
    told = [f"- {task}: right on {right} of {of}" for task, (right, of) in routes.right.items()]
    return "\n".join([*told, f"- in every task: {len(routes.counting)} images, which count"])


def _alone(routes: Routes) -> str:
    return _table(
        {"blocked": text(route), **_both(routes, arms.knockout(route))} for route in arms.ROUTES
    )


def _both(routes: Routes, arm: str) -> dict[str, str]:
    return {kind: _cell(routes, kind, arm) for kind in (NAMING, POLLING)}


def _windows(routes: Routes) -> str:
    return _table(
        {"task": kind, "blocked": text(route)}
        | {
            window.removeprefix("around "): _cell(routes, kind, arms.knockout(route, window))
            for window in routes.windows
        }
        for kind in (NAMING, POLLING)
        for route in arms.WINDOWED
    )


def _first(routes: Routes) -> str:
    return _table(
        {
            "arm": text(arm),
            "images": str(routes.count((POLLING, arm))),
            POLLING: _cell(routes, POLLING, arm),
        }
        for arm in arms.EARLY
    )


def _cell(routes: Routes, kind: str, arm: str) -> str:
    if arm == arms.knockout(arms.TEXT):
        return "100"  # by definition
    try:
        [lost] = routes.lost((kind, arm))
    except LackingError:
        return ""
    mean, low, high = _interval(lost, LOST)
    return f"{100 * mean:z.0f} [{100 * low:z.0f}, {100 * high:z.0f}]"


def _interval(found: Clustered, bounds: tuple[float, float]) -> tuple[float, float, float]:
    low, high = of_mean(found, bounds).interval(0.95)
    return float(found.values.mean()), low, high


def _meaning() -> str:
    """What each outcome would mean for the two papers."""
    told = tomllib.loads(OUTCOMES.read_text())
    rows = ({"claim": f"`{claim}`", **meant} for claim, meant in told.items())
    return f"## What each outcome would mean\n\n{_table(rows)}"


def _table(rows: Iterable[Mapping[str, str]]) -> str:
    return pd.DataFrame([*rows]).to_markdown(index=False)


@cache
def figures(routes: Routes) -> dict[str, Figure]:
    """The figure of a model; none where nothing can draw, or no image counts."""
    if not find_spec("matplotlib") or routes.counting.empty:
        return {}
    from claims.route_by_task.figure import draw

    windows = [*routes.windows, arms.ALL]
    rows = [
        {"task": task, "route": route, "layer": layer, "change": mean, "low": low, "high": high}
        for task in TASKS
        for route in arms.WINDOWED
        for curve in _curves(routes, task, [arms.knockout(route, each) for each in windows])
        for layer, mean, low, high in zip(
            [*range(len(routes.windows)), None],
            curve.values.mean(axis=0),
            *band(curve, (-1.0, 1.0)),
            strict=True,
        )
    ]
    return {f"{routes.label}.routes": draw(pd.DataFrame(rows), routes.label)}


def _curves(routes: Routes, task: str, named: Sequence[str]) -> list[Clustered]:
    """The change of the probability under some arms; none where no image has them."""
    try:
        return [routes.probability(task, *named)]
    except LackingError:
        return []
