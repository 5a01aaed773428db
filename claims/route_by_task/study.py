"""What the claims ask of a model: which share of an answer's margin each arm takes away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from claimlib import Clustered
from claims.route_by_task import arms, sample
from claims.route_by_task.asked import ABSENT, NAMING, POLLING, SCALE, SHOWN, TASKS, Told
from claims.route_by_task.sample import Asked
from vlmlib import LackingError
from vlmlib.study import Bench, Finished, Recording, Step, Table
from vlmlib.study.measure import name_of
from vlmlib.study.store import Origins, origins_of, table_of

PROTOCOL = "route_by_task"  # under which rows are kept
ROUTES, EARLY = map(name_of, (arms.routes, arms.early))
DESIGNS = {ROUTES: arms.routes, EARLY: arms.early}
# Which tasks each design is measured on, and of which a kind of question is made up.
ASKED = {ROUTES: (NAMING, SHOWN, ABSENT), EARLY: (SHOWN, ABSENT)}
KINDS = {NAMING: (NAMING,), POLLING: (SHOWN, ABSENT)}
LEAST = 1e-15  # of what is kept of a margin, which is at most 276
# Between what an image's part of a ratio counts: of what is lost, and of what there is to lose.
LOST, WHOLE = (-1.0, 2.0), (-1.0, 4.0)

Rows = Callable[[str, str], list[Finished]]


@dataclass(eq=False)
class Routes:
    """What the rows of a model tell, of the images on which it is right in every task.

    - `label`, `name`, `data`: what reports call it, the model's own name, and its images.
    - `rows`: gives those of a task under a design; `origins`: where they come from; `steps`: those
      that left the images, where the data is at hand.
    - `found`: by name of a measurement its rows, as far as they were asked for.
    """

    label: str
    name: str
    data: str
    rows: Rows
    origins: dict[str, Origins]
    steps: Sequence[Step] = ()
    found: dict[str, list[Finished]] = field(default_factory=dict, init=False)

    @classmethod
    def measured(cls, bench: Bench, asked: Asked, label: str) -> "Routes":
        """A model: whatever it is asked for is computed once and kept in the store."""

        def rows(task: str, design: str) -> list[Finished]:
            return bench.run(asked.examples[task], Told(task), DESIGNS[design], sample.counts)

        return cls(label, bench.model.name, bench.data, rows, bench.made, asked.steps)

    @classmethod
    def recorded(cls, recording: Recording, subject: tuple[str, str, str], label: str) -> "Routes":
        """The same from a file of rows, without model or data."""
        origins: dict[str, Origins] = {}

        def rows(task: str, design: str) -> list[Finished]:
            found = recording.read(subject, task, design)
            origins[table_of(task, design)] = origins_of(found)
            return found

        model, data, _ = subject
        return cls(label, model, data, rows, origins)

    def gather(self) -> None:
        """Measure all that claims may ask, and judge nothing."""
        for design, tasks in ASKED.items():
            for task in tasks:
                self.rows(task, design)

    @cached_property
    def tables(self) -> dict[tuple[str, str], Table]:
        """By task and design what every arm did, of the images on which that clean run is right."""
        asked = [(task, design) for design, tasks in ASKED.items() for task in tasks]
        self.found |= {table_of(*each): self.rows(*each) for each in asked}
        return {
            each: Table.of(each[0], self.found[table_of(*each)], sample.counts) for each in asked
        }

    @cached_property
    def counting(self) -> pd.Series:
        """The images on which the model is right in every task, and the category of each target."""
        target, *others = (self._arm("category", task, "clean") for task in TASKS)
        in_all = [each for each in target.index if all(each in other.index for other in others)]
        return target.reindex(in_all)

    @property
    def images(self) -> pd.Series:
        """The same.

        **Raises:** `LackingError` where there is none.
        """
        if self.counting.empty:
            told = ", ".join(f"{task} {count} of {of}" for task, (count, of) in self.right.items())
            raise LackingError(f"{self.label} is right in every task on no image: {told}.")
        return self.counting

    @property
    def right(self) -> dict[str, tuple[int, int]]:
        """By task, on how many of the images it is right, and of how many."""
        counts = {task: self.tables[task, ROUTES].counts[task] for task in TASKS}
        return {task: (each["counted"], each["asked"]) for task, each in counts.items()}

    @cached_property
    def layers(self) -> int:
        """How many layers the model has, by its windows."""
        of_one = {*self.tables[NAMING, ROUTES].arms}
        names = (arms.knockout(arms.TEXT, arms.window(n)) for n in range(len(of_one)))
        return sum(name in of_one for name in names)

    @property
    def windows(self) -> list[str]:
        """All windows, in order of the layers that they are around."""
        return [arms.window(layer) for layer in range(self.layers)]

    def lost(self, *asked: tuple[str, str]) -> list[Clustered]:
        """What arms take away from the margin of a kind of question, each as a share of what
        blocking the image from all text does: 0 for nothing, 1 where the answer is as without an
        image. On the images on which all of them were run; polling's margin is the sum of both
        classes'.

        It is a ratio of two means, r = mean(a) / mean(b). Of an image it is its part of that,
        r + (a - r * b) / mean(b), whose mean is r and whose spread is that of r to first order.
        What is beyond `LOST` counts as its end.

        **Raises:** `LackingError` where an arm could not be made on any image, and where blocking
        the image from all text takes nothing away.
        """
        kinds = [*dict.fromkeys(kind for kind, _ in asked)]
        wholes = [self._taken(kind, arms.knockout(arms.TEXT)) for kind in kinds]
        found = self._together([*(self._taken(*each) for each in asked), *wholes])
        whole = dict(zip(kinds, found[len(asked) :], strict=True))
        return [
            _ratio(each, whole[kind], LOST) for (kind, _), each in zip(asked, found, strict=False)
        ]

    def count(self, *asked: tuple[str, str]) -> int:
        """On how many of the images that count all of these arms were run."""
        try:
            return len(self._together([self._taken(*each) for each in asked])[0])
        except LackingError:
            return 0

    def whole(self, kind: str) -> Clustered:
        """What blocking the image from all text takes away, as a share of the clean margin."""
        taken, clean = self._taken(kind, arms.knockout(arms.TEXT)), self._summed(kind, "clean")
        part, whole = self._together([taken, clean])
        return _ratio(part, whole, WHOLE)

    def _taken(self, kind: str, arm: str) -> pd.Series:
        return self._summed(kind, "clean") - self._summed(kind, arm)

    def _summed(self, kind: str, arm: str) -> pd.Series:
        margins = pd.concat([self.margin(task, arm) for task in KINDS[kind]], axis=1)
        return margins.sum(axis=1, skipna=False)

    def margin(self, task: str, arm: str) -> pd.Series:
        """By how much the right answer's logit is above the other's, of each image."""
        kept = self._arm("probability", task, arm).clip(LEAST, 1 - LEAST)
        return pd.Series(SCALE * logit(kept.to_numpy()), kept.index)

    def probability(self, task: str, *named: str) -> Clustered:
        """The relative change of the right answer's probability beside the other one's under some
        arms, a point for each; a rise to more than twice counts as twice."""
        clean, *left = (expit(self.margin(task, each)) for each in ("clean", *named))
        found = self._together([(each / clean - 1).clip(-1, 1) for each in left])
        return Clustered(np.stack([each.values for each in found], axis=1), found[0].clusters)

    def reached(self, *asked: tuple[str, str]) -> Clustered:
        """On which images every one of these arms changed hidden states where it acts."""
        found = self._together(
            [self._arm("reached", task, arm) for kind, arm in asked for task in KINDS[kind]]
        )
        return Clustered(np.all([each.values for each in found], axis=0), found[0].clusters)

    def _together(self, columns: Sequence[pd.Series]) -> list[Clustered]:
        """Columns on the images that all of them have; images of one category are a cluster."""
        wide = pd.concat(columns, axis=1).reindex(self.images.index).dropna()
        if wide.empty:
            raise LackingError("No image has all of these arms.")
        clusters = self.images.loc[wide.index].tolist()
        return [Clustered(wide.iloc[:, at].to_numpy(), clusters) for at in range(len(columns))]

    @cached_property
    def _run(self) -> dict[str, dict[str, pd.DataFrame]]:
        """By task and arm the rows of the images on which it was run."""
        found: dict[str, dict[str, pd.DataFrame]] = {task: {} for task in TASKS}
        for (task, _), table in self.tables.items():
            run = table.rows.loc[table.rows["right"].notna()]
            found[task] = {str(arm): rows for arm, rows in run.groupby("arm")} | found[task]
        return found

    def _arm(self, name: str, task: str, arm: str) -> pd.Series:
        """A column of one arm's rows, of the images on which it was run.

        **Raises:** `LackingError` where there is none.
        """
        table = self.tables[task, EARLY if arm in arms.EARLY else ROUTES]
        rows = self._run[task].get(arm, table.rows[:0])
        if rows.empty and len(table.rows):
            why = table.lacking.get((task, arm), (0, ""))[1]
            raise LackingError(f"No image has the arm {arm!r} for {task}. {why}".strip())
        values = np.array(rows[name].tolist(), object if name == "category" else float)
        return pd.Series(values, index=rows["example"].tolist())


def _ratio(part: Clustered, whole: Clustered, bounds: tuple[float, float]) -> Clustered:
    """Each image's part of the ratio of two means (see `Routes.lost`)."""
    mean = whole.values.mean()
    if not mean > 0:
        raise LackingError("Blocking the image from all text takes nothing of the margin away.")
    ratio = part.values.mean() / mean
    values = ratio + (part.values - ratio * whole.values) / mean
    return Clustered(np.clip(values, *bounds), part.clusters)
