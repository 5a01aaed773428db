"""What the claims ask of a model: what blocking a route costs, layer by layer, and what the lens
shows at the last position. `Measured` measures it into a store; `Recorded` reads recorded rows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property, partial
from itertools import count
from typing import Any

import numpy as np
from jaxtyping import Float

from claimlib import Clustered
from claims.zhang2025 import arms, lens, sample
from claims.zhang2025.asked import FirstSaid
from claims.zhang2025.sample import Questions
from vlmlib import LackingError
from vlmlib.study import Bench, Finished, Recording, Table
from vlmlib.study.measure import name_of
from vlmlib.study.store import Origins, origins_of, table_of

PROTOCOL = "zhang2025"  # under which rows are kept
LENS = "lens at the last position"
Stage = tuple[str, Sequence[str]]  # a route, and the windows in which it is blocked


class Flow(ABC):
    """What the rows of a model tell.

    - `label`, `name`, `data`: what reports call it, the model's own name, and what it was asked.
    - `found`: by name of a measurement its rows; `origins`: where they come from.
    """

    label: str
    name: str
    data: str
    found: dict[str, list[Finished]]
    origins: dict[str, Origins]

    @abstractmethod
    def rows(self, task: str, design: str) -> list[Finished]:
        """The rows of a task under a design; those of all questions, whether or not they count."""

    @property
    @abstractmethod
    def every_task(self) -> Sequence[str]:
        """The names of all tasks that are asked."""

    @cached_property
    def tables(self) -> dict[str, Table]:
        """By task what every arm did, of the questions on which the clean run is right."""
        return {
            task: Table.of(task, self.rows(task, name_of(arms.flow)), sample.counts)
            for task in self.every_task
        }

    @cached_property
    def right_on(self) -> dict[str, float]:
        """By task, on what share of its questions the model is right."""
        return {
            task: sample.right_on(self.rows(task, name_of(arms.flow))) for task in self.every_task
        }

    @property
    def able(self) -> list[str]:
        """The tasks that the model can do."""
        return [task for task in self.tables if self.right_on[task] >= sample.ABLE]

    @property
    def tasks(self) -> list[str]:
        """The same: the claims are about these.

        **Raises:** `LackingError` where there is none.
        """
        if not self.able:
            told = ", ".join(f"{task} {share:.0%}" for task, share in self.right_on.items())
            raise LackingError(
                f"{self.label} is right on {sample.ABLE:.0%} of no task's questions: {told}."
            )
        return self.able

    @cached_property
    def layers(self) -> int:
        """How many layers the model has, by its windows."""
        of_one = {*self.tables[self.tasks[0]].arms}
        return next(n for n in count() if arms.knockout(arms.LAST, arms.window(n)) not in of_one)

    def stage(self, name: str) -> list[str]:
        """The windows around the layers of a stage of the paper's (`arms.STAGES`)."""
        return [arms.window(layer) for layer in arms.stages(self.layers)[name]]

    @property
    def windows(self) -> list[str]:
        """All windows, in order of the layers that they are around."""
        return [arms.window(layer) for layer in range(self.layers)]

    def change(self, task: str, *stages: Stage) -> list[Clustered]:
        """The relative change of the first token's probability, (p2 - p1) / p1, that each route
        makes in its windows, on the questions on which all of them were run: a point for each
        window. A rise to more than twice counts as twice, so that a mean is not that of a few
        unlikely answers."""
        named = [arms.knockout(route, each) for route, windows in stages for each in windows]
        before, after = self._probabilities(task, named)
        change = np.clip(after / before - 1, -1, 1)
        ends = np.cumsum([len(windows) for _, windows in stages])[:-1]
        return [self._seen(task, named, part) for part in np.split(change, ends, axis=1)]

    def lost(self, task: str, *stages: Stage) -> list[Clustered]:
        """The same as shares of the probability that are taken away, where a rise counts as none:
        so that chance looks like a loss. For controls, which must show one or must not."""
        found = self.change(task, *stages)
        return [Clustered(np.clip(-each.values, 0, 1), each.clusters) for each in found]

    def reached(self, task: str, route: str, windows: Sequence[str]) -> Clustered:
        """On which questions every one of these windows changed hidden states at its targets."""
        named = [arms.knockout(route, each) for each in windows]
        reached = [self.tables[task].reached(task, arm) for arm in named]
        return self._seen(task, named, np.all(reached, axis=0))

    def _probabilities(
        self, task: str, named: Sequence[str]
    ) -> tuple[Float[np.ndarray, "question 1"], Float[np.ndarray, "question arm"]]:
        """The probability of the clean run, and under each arm."""
        kept = 1 - self.tables[task].doubt(task, ["clean", *named])
        return kept[:, :1], kept[:, 1:]

    def _seen(self, task: str, named: Sequence[str], values: Any) -> Clustered:
        return Clustered(values, self.tables[task].clusters(task, ["clean", *named]))

    @cached_property
    def lens(self) -> dict[str, "lens.Shown"]:
        """By task what the lens shows at the last position."""
        return {task: lens.Shown.of(self.rows(task, LENS)) for task in self.tasks}


class Measured(Flow):
    """A model on its questions: whatever it is asked for is computed once and kept in the store."""

    def __init__(self, bench: Bench, questions: Questions, label: str):
        self.bench, self.questions, self.label = bench, questions, label
        self.name, self.data = bench.model.name, bench.data
        self.origins, self.found = bench.made, {}

    @property
    def every_task(self) -> Sequence[str]:
        return [*self.questions.tasks]

    def gather(self) -> None:
        """Measure all that claims may ask, and judge nothing: which tasks a model can do is not
        known before all of them are measured."""
        for task in self.every_task:
            for design in (name_of(arms.flow), LENS):
                self.rows(task, design)

    def rows(self, task: str, design: str) -> list[Finished]:
        name, examples = table_of(task, design), self.questions.tasks[task]
        if name not in self.found:
            compute = (
                partial(lens.shown, task=FirstSaid(task))
                if design == LENS
                else self.bench.computing(FirstSaid(task), arms.flow, sample.counts)
            )
            self.found[name] = self.bench.collect(examples, task, compute, design)
        return self.found[name]


class Recorded(Flow):
    """The same from a file of rows, without model or data."""

    def __init__(self, recording: Recording, subject: tuple[str, str, str], label: str):
        self.recording, self.subject, self.label = recording, subject, label
        self.name, self.data, _ = subject
        self.origins, self.found = {}, {}

    @property
    def every_task(self) -> Sequence[str]:
        return self.recording.tasks(self.subject, name_of(arms.flow))

    def rows(self, task: str, design: str) -> list[Finished]:
        name = table_of(task, design)
        if name not in self.found:
            self.found[name] = self.recording.read(self.subject, task, design)
            self.origins[name] = origins_of(self.found[name])
        return self.found[name]
