"""Models made up, of 40 layers, whose rows have a planted truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from claims.zhang2025 import arms, lens
from claims.zhang2025.study import LENS, Flow
from vlmlib.study import Finished, Row

LAYERS, QUESTIONS, CLEAN, NOISE = 40, 40, 0.9, 0.02
WINDOWS = {arms.window(layer): layer for layer in range(LAYERS)}


@dataclass(eq=False)
class World:
    """What is planted.

    - `effects`: by route the relative change around some layers; none elsewhere.
    - `throughout`: by route that in all layers.
    - `noise`: by route how much a change varies, if not by `NOISE`. `clean`: the probability that
      the clean run gives.
    - `reached`: whether arms changed hidden states at all. `rises`: after which layer the answer
      appears at the last position, and `small` and `capital`, when each form of it does.
    """

    effects: Mapping[str, Sequence[tuple[range, float]]] = field(default_factory=dict)
    throughout: Mapping[str, float] = field(default_factory=dict)
    reached: bool = True
    noise: Mapping[str, float] = field(default_factory=dict)
    clean: float = CLEAN
    rises: int = LAYERS + 1
    small: int = LAYERS + 1
    capital: int = LAYERS + 1

    def change(self, route: str, window: str) -> float:
        """The relative change under an arm."""
        if window == arms.ALL:
            return self.throughout.get(route, 0.0)
        layer = WINDOWS[window]
        return next((by for within, by in self.effects.get(route, ()) if layer in within), 0.0)


EARLY, BETWEEN, SECOND, MIDDLE = range(0, 5), range(5, 8), range(8, 14), range(15, 26)
# What the paper tells, with what both stages are made of.
THE_PAPERS = World(
    effects={
        arms.QUESTION: [(range(15, 30), -0.6)],
        arms.INTO_QUESTION: [(EARLY, -0.6), (SECOND, -0.3)],
        arms.OTHER: [(EARLY, -0.5)],
        arms.AS_MANY: [(EARLY, -0.4)],
        arms.RELATED: [(SECOND, -0.4)],
    },
    throughout={arms.TEXT: -0.95, arms.QUESTION: -0.9},
    rises=17,
    small=16,
    capital=24,
)
# The opposite, route by route.
REVERSED = World(
    effects={
        arms.QUESTION: [(range(0, 6), -0.6), (range(34, 40), -0.2)],
        arms.IMAGE: [(range(0, 40), -0.6)],
        arms.LAST: [(range(0, 40), -0.5)],
        arms.INTO_QUESTION: [(BETWEEN, -0.6)],
        arms.OTHER: [(SECOND, -0.5)],
        arms.AS_MANY: [(SECOND, -0.5)],
        arms.RELATED: [(EARLY, -0.5)],
    },
    throughout={arms.TEXT: -0.95, arms.QUESTION: -0.9},
    rises=0,
    small=24,
    capital=16,
)
# No route costs anything on average, but those that should cost more are noisier.
NOISY = World(
    throughout={arms.TEXT: -0.95, arms.QUESTION: -0.9},
    noise=dict.fromkeys(
        (arms.QUESTION, arms.INTO_QUESTION, arms.OTHER, arms.AS_MANY, arms.RELATED), 0.3
    ),
    clean=0.5,
)
# An instrument that does nothing at all.
NOTHING = World(reached=False)


class Planted(Flow):
    """A model of such a world, on two tasks."""

    label, name, data = "planted", "planted", "nowhere"

    def __init__(self, world: World):
        self.world, self.found, self.origins = world, {}, {}

    @property
    def every_task(self) -> Sequence[str]:
        return ["one", "other"]

    def rows(self, task: str, design: str) -> list[Finished]:
        make = self._lens if design == LENS else self._arms
        rng = np.random.default_rng(len(task))
        return [Finished(f"{task} {at}", f"{at}", make(rng)) for at in range(QUESTIONS)]

    def _arms(self, rng: np.random.Generator) -> list[Row]:
        clean = self.world.clean
        rows = [Row("clean", True, clean, 0, "red", {"visual": 9, "question": "?"})]
        for route in (*arms.WINDOWED, *arms.THROUGHOUT):
            windows = [*WINDOWS, arms.ALL] if route in arms.WINDOWED else [arms.ALL]
            for window in windows:
                planted = self.world.change(route, window)
                size = self.world.noise.get(route, NOISE) if self.world.reached else 0.0
                noise = size * rng.normal()
                left = float(np.clip(clean * (1 + planted + noise), 0, 1))
                arm, reached = arms.knockout(route, window), self.world.reached
                rows.append(Row(arm, left > 0.5, left, 3, "red", None, reached, 0.1, reached))
        return rows

    def _lens(self, rng: np.random.Generator) -> list[Row]:
        after = np.arange(LAYERS + 1)
        begins = {
            lens.OWN: self.world.rises,
            lens.LOWER: self.world.small,
            lens.CAPITAL: self.world.capital,
        }
        curves = {
            token: np.clip(np.where(after >= begin, 0.8, 0.0) + 0.01 * rng.random(len(after)), 0, 1)
            for token, begin in begins.items()
        }
        told = {token: curve.tolist() for token, curve in curves.items()}
        detail = dict.fromkeys(lens.READOUTS, told) | {"own form": lens.CAPITAL, "visual": 9}
        return [Row("clean", True, CLEAN, 0, "Red", detail)]
