"""Models made up, of 16 layers, whose rows have a planted truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.special import expit

from claims.route_by_task import arms
from claims.route_by_task.asked import ABSENT, NAMING, SCALE, SHOWN
from claims.route_by_task.study import ROUTES, Routes
from vlmlib.study import Finished, Row

LAYERS, IMAGES, MARGIN, NOISE = 16, 120, 5.0, 0.3
BLIND = {NAMING: 8.0, SHOWN: 9.0, ABSENT: 1.0}  # what blocking all text takes from the margin


@dataclass(frozen=True, eq=False)
class World:
    """What is planted: by arm, which share of what the image gives it takes away.

    - `naming`, `polling`: of each kind of question, in all layers by route and in the first ones by
      arm. `blind`: what the image gives, by task, in logits.
    - `leaning`: by how much a question that is blocked makes both polls lean to no.
    - `dead`: the arms that changed no hidden state; all do nothing, but for their planted share.
    - `wrong`: by task on how many of the images, the first ones, the model is wrong; `lacking`: by
      arm in which tasks it could not be made. `categories`: how many the images are of.
    """

    naming: Mapping[str, float] = field(default_factory=dict)
    polling: Mapping[str, float] = field(default_factory=dict)
    blind: Mapping[str, float] = field(default_factory=lambda: BLIND)
    leaning: float = 0.0
    dead: frozenset[str] = frozenset()
    wrong: Mapping[str, int] = field(default_factory=dict)
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    categories: int = IMAGES

    def left(self, task: str, arm: str) -> float:
        """The margin under an arm."""
        route = arm.removesuffix(f", {arms.ALL}")
        lost = (self.naming if task == NAMING else self.polling).get(route, 0.0)
        lean = {SHOWN: -self.leaning, ABSENT: self.leaning}.get(task, 0.0)
        return MARGIN - lost * self.blind[task] + lean * (arms.QUESTION in arm)


def together(question: float, other: float, last: float) -> dict[str, float]:
    """The routes alone and together, where each takes away its own part, and all of them all."""
    each = dict(zip(arms.PARTS, (question, other, last), strict=True))
    found = {route: min(1.0, sum(each[at] for at in parts)) for route, parts in arms.ROUTES.items()}
    return found | {arms.TEXT: 1.0}


def first(blocked: float, one_left: float, other: float, same: float = 0.0) -> dict[str, float]:
    """What the arms of the first layers take away."""
    return dict(zip(arms.EARLY, (blocked, one_left, other, same), strict=True))


STRAIGHT, THROUGH = together(0.0, 0.0, 1.0), together(0.96, 0.0, 0.04)
# Both papers are right, each of its kind of question, and what passes first is the answer.
BOTH_RIGHT = World(STRAIGHT, THROUGH | first(0.6, 0.58, 0.7))
# The first stage is there, and one open token is enough.
OF_BALANCE = World(STRAIGHT, THROUGH | first(0.6, 0.05, 0.02))
# The question is the way, but not in the first layers.
NO_STAGE = World(STRAIGHT, THROUGH | first(0.0, 0.0, 0.0))
# Blocking other text costs as much as what the first layers are blamed for.
OTHER_TEXT_TOO = World(STRAIGHT, together(0.96, 0.6, 0.04) | first(0.6, 0.58, 0.7))
# Each paper is right of the other's kind of question, and the other text passes on some.
REVERSED = World(together(0.6, 0.4, 0.0), together(0.2, 0.2, 0.6) | first(0.0, 0.0, 0.0))
# The same parts of each way in both tasks, of which an image gives naming far more.
MIXED = together(0.7, 0.0, 0.3)
SAME_PARTS = World(MIXED, MIXED | first(0.6, 0.58, 0.7), {**BLIND, NAMING: 20.0})
# Either way is enough, and only blocking both shows it.
SPARE = World(
    together(0.0, 0.0, 0.3) | {arms.BOTH: 1.0}, together(0.3, 0.0, 0.0) | {arms.BOTH: 1.0}
)
# A third way, which is there in full where one of the two is blocked.
THIRD = World(together(0.0, 0.0, 0.5), together(0.5, 0.0, 0.0))
# Blocked questions make a model lean to no, and nothing else; yes and no come straight.
LEANING = World(STRAIGHT, STRAIGHT | first(0.0, 0.0, 0.0), leaning=2 * MARGIN)
# No arm does anything but the one that blocks all text.
ALIVE = World({arms.TEXT: 1.0}, {arms.TEXT: 1.0})
# Nor does that one.
NOTHING = World()


@cache
def planted(world: World) -> Routes:
    """A model of such a world."""

    def rows(task: str, design: str) -> list[Finished]:
        rng = np.random.default_rng(len(task) + len(design))
        return [
            Finished(f"{at}", f"{at}", _rows(world, task, design, at, rng)) for at in range(IMAGES)
        ]

    return Routes("planted", "planted", "nowhere", rows, {})


def _rows(world: World, task: str, design: str, at: int, rng: np.random.Generator) -> list[Row]:
    detail = {"visual": 9, "category": f"thing {at % world.categories}"}
    right = at >= world.wrong.get(task, 0)
    found = [Row("clean", right, float(expit(MARGIN / SCALE)), 0, "yes", detail)]
    if not right:
        return found
    for arm in _names() if design == ROUTES else arms.EARLY:
        left = world.left(task, arm) + NOISE * rng.normal()
        share, alive = float(expit(left / SCALE)), arm not in world.dead
        row = Row(arm, left > 0, share, 3, "yes", None, alive, 0.1, alive)
        lacks = task in world.lacking.get(arm, ())
        found.append(Row.lacking(arm, "there is none") if lacks else row)
    return found


def _names() -> list[str]:
    windows = [arms.window(layer) for layer in range(LAYERS)]
    alone = [arms.knockout(route, window) for route in arms.WINDOWED for window in windows]
    return [*map(arms.knockout, arms.ROUTES), *alone]
