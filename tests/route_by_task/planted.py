"""Models made up, of 16 layers, whose rows have a planted truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.special import expit

from claims.route_by_task import arms
from claims.route_by_task.asked import ABSENT, NAMING, SHOWN
from claims.route_by_task.study import ROUTES, Routes
from vlmlib.study import Finished, Row

LAYERS, IMAGES, MARGIN, NOISE = 16, 120, 5.0, 0.1


@dataclass(frozen=True, eq=False)
class World:
    """What is planted: which share of the margin is lost, by task and arm.

    - `lost`: in all layers, by route, and by arm in the first layers.
    - `leaning`: by how much the blocked question makes both polls lean to no.
    - `reached`: whether arms changed hidden states at all. `wrong`: on how many of the images, the
      first ones, it names another thing.
    """

    naming: Mapping[str, float] = field(default_factory=dict)
    polling: Mapping[str, float] = field(default_factory=dict)
    leaning: float = 0.0
    reached: bool = True
    wrong: int = 0

    def left(self, task: str, arm: str) -> float:
        """The margin under an arm."""
        route = arm.removesuffix(f", {arms.ALL}")
        lost = (self.naming if task == NAMING else self.polling).get(route, 0.0)
        lean = {SHOWN: -self.leaning, ABSENT: self.leaning}.get(task, 0.0)
        return MARGIN * (1 - lost) + lean * (arms.QUESTION in arm)


def together(question: float, suffix: float, last: float) -> dict[str, float]:
    """The routes alone and together, where each takes away its own part, up to all."""
    each = dict(zip(arms.PARTS, (question, suffix, last), strict=True))
    return {
        route: min(1.0, sum(each[part] for part in parts)) for route, parts in arms.ROUTES.items()
    }


FIRST = {arms.BLOCKED: 0.6, arms.ONE_LEFT: 0.58, arms.OTHER_ANSWER: 0.7, arms.SAME_ANSWER: 0.02}
BALANCE = {arms.BLOCKED: 0.6, arms.ONE_LEFT: 0.05, arms.OTHER_ANSWER: 0.02, arms.SAME_ANSWER: 0.02}
NO_STAGE = {arms.BLOCKED: 0.0, arms.ONE_LEFT: 0.0, arms.OTHER_ANSWER: 0.0, arms.SAME_ANSWER: 0.0}

# Both papers are right, each of its kind of question, and what passes first is the answer.
BOTH_RIGHT = World(together(0.0, 0.0, 0.95), together(0.9, 0.0, 0.02) | FIRST)
# The first stage is there, and nothing but a balance of attention.
OF_BALANCE = World(together(0.0, 0.0, 0.95), together(0.9, 0.0, 0.02) | BALANCE)
# Each paper is right of the other's kind of question, and the tokens between pass on half.
REVERSED = World(together(0.4, 0.4, 0.0), together(0.0, 0.4, 0.4) | NO_STAGE)
# The same way for both; what is lost by either route is lost by blocking both once more.
ONE_WAY = World(together(0.4, 0.0, 0.4), together(0.4, 0.0, 0.4) | FIRST)
# Blocked questions make a model lean to no, and nothing else.
LEANING = World(together(0.0, 0.0, 0.95), together(0.0, 0.0, 0.9), leaning=2 * MARGIN)
# An instrument that does nothing at all.
NOTHING = World(reached=False)


@cache
def planted(world: World) -> Routes:
    """A model of such a world."""

    def rows(task: str, design: str) -> list[Finished]:
        rng = np.random.default_rng(len(task))
        return [
            Finished(f"{at}", f"{at}", _rows(world, task, design, at, rng)) for at in range(IMAGES)
        ]

    return Routes("planted", "planted", "nowhere", rows, {})


def _rows(world: World, task: str, design: str, at: int, rng: np.random.Generator) -> list[Row]:
    detail = {"visual": 9, "category": f"thing {at}"}
    right = task != NAMING or at >= world.wrong
    found = [Row("clean", right, float(expit(MARGIN)), 0, "yes", detail)]
    if not right:
        return found
    for arm in _names() if design == ROUTES else arms.EARLY:
        noise = NOISE * rng.normal() if world.reached else 0.0
        share = float(expit(world.left(task, arm) + noise))
        reached = world.reached
        found.append(Row(arm, share > 0.5, share, 3, "yes", None, reached, 0.1, reached))
    return found


def _names() -> list[str]:
    windows = [arms.window(layer) for layer in range(LAYERS)]
    alone = [arms.knockout(route, window) for route in arms.WINDOWED for window in windows]
    return [*map(arms.knockout, arms.ROUTES), *alone]
