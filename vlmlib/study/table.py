"""Results: what was measured on each example under each arm, as arrays over examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from vlmlib.errors import LackingError, VLMError
from vlmlib.study.row import FIGURES, Row
from vlmlib.study.run import NEAR_TIES, Keep, is_right
from vlmlib.study.store import Finished

COLUMNS = ["task", "example", "cluster", "category", "visual", *FIGURES]


@dataclass(frozen=True, eq=False)
class Table:
    """One row per task, example and arm, of the examples that count. `visual`: how many visual
    tokens an example has.

    An arm that changes nothing of an example, such as one without tokens, was not run on it. Its
    row is empty: it is in `rows`, `empty` counts it, and everything else leaves it out. One that
    could not be made on an example has no row of it: `lacking` counts those.

    `counts` says, for each task, how many examples were asked and how many of them count;
    `near_ties` how many answers of those rounding may decide, and of how many (see `near_ties`);
    `failed` why the model could not be asked about an example; `lacking`, by task and arm, on how
    many of the examples that count an arm could not be made, and why on the first; `details`, by
    task and example, what the clean row tells besides, such as the prompt.
    """

    rows: pd.DataFrame
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    near_ties: dict[str, tuple[int, int]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lacking: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    details: dict[tuple[str, str], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, task: str, found: Sequence[Finished], keep: Keep = is_right) -> "Table":
        """The table of one task.

        **Arguments:** what was measured; of which clean runs an example counts.

        !!! example

            >>> from vlmlib.study import Row
            >>> rows = [Row("clean", True, detail={"visual": 16}), Row("object", False, tokens=3)]
            >>> table = Table.of("polling", [Finished("7", "7", rows)])
            >>> table.lost("polling", "object"), table.counts["polling"]
            (array([ True]), {'asked': 1, 'counted': 1})
        """
        asked = [each for each in found if each.rows]
        counted = [each for each in asked if keep(each.rows[0])]
        lines = [
            [task, each.example, each.cluster, *_shown(each.rows[0]), *_figures(row)]
            for each in counted
            for row in each.rows
            if not row.lacks
        ]
        rows = pd.DataFrame(lines, columns=pd.Index(COLUMNS))
        ties = [each.rows[0].detail.get(NEAR_TIES, [0, 0]) for each in counted]
        near, of = np.array(ties, int).reshape(-1, 2).sum(0).tolist()
        counts = {"asked": len(asked), "counted": len(counted)}
        failed = {each.example: each.failed for each in found if each.failed}
        lacking, details = _lacking(task, counted), _details(task, counted)
        return cls(rows, {task: counts}, {task: (near, of)}, failed, lacking, details)

    @classmethod
    def joined(cls, tables: Sequence["Table"]) -> "Table":
        """Several tasks in one table."""
        counts = {task: count for table in tables for task, count in table.counts.items()}
        ties = {task: count for table in tables for task, count in table.near_ties.items()}
        filled = [table.rows for table in tables if len(table.rows)]
        rows = pd.concat(filled, ignore_index=True) if filled else tables[0].rows
        failed = {each: why for table in tables for each, why in table.failed.items()}
        lacking = {arm: each for table in tables for arm, each in table.lacking.items()}
        details = {each: told for table in tables for each, told in table.details.items()}
        return cls(rows, counts, ties, failed, lacking, details)

    @cached_property
    def arms(self) -> list[str]:
        """The names of all arms, as they were first measured."""
        return self.rows["arm"].unique().tolist()

    def has(self, arm: str, task: str = "") -> bool:
        """Whether any example has the arm, if only as an empty one; any of a task, or of all."""
        if not task:
            return arm in self.arms
        return bool(((self.rows["task"] == task) & (self.rows["arm"] == arm)).any())

    def lost(self, task: str, arm: str) -> Bool[np.ndarray, " example"]:
        """On which of the examples that count the arm took the right answer away."""
        return self.curves(task, [arm])[:, 0].astype(bool)

    def pair(
        self, task: str, arm: str, other: str
    ) -> tuple[Bool[np.ndarray, " example"], Bool[np.ndarray, " example"]]:
        """Two arms on the examples on which both were run."""
        both = self.curves(task, [arm, other]).astype(bool)
        return both[:, 0], both[:, 1]

    def curves(self, task: str, arms: Sequence[str]) -> Float[np.ndarray, "example arm"]:
        """Lost (1.0) or not under several arms, on the examples on which all of them were run.

        **Raises:** `VLMError` for an arm that there is not, and for a task of which nothing is
        right; `LackingError` for an arm that could not be made on any of the examples.
        """
        return 1.0 - self._column("right", task, arms)

    def doubt(self, task: str, arms: Sequence[str]) -> Float[np.ndarray, "example arm"]:
        """One minus the probability of the right token under several arms, on the examples with
        all of them."""
        return 1.0 - self._column("probability", task, arms)

    def moved(self, task: str, arm: str) -> Bool[np.ndarray, " example"]:
        """On which of the examples on which the arm was run it moved the answer, by more than the
        same run repeated does."""
        return self._column("moved", task, [arm])[:, 0].astype(bool)

    def reached(self, task: str, arm: str) -> Bool[np.ndarray, " example"]:
        """On which of the examples on which the arm was run hidden states changed where it acts: at
        its blocks' targets, or at the tokens that it ablates. Where they did not, it was dead."""
        return self._column("reached", task, [arm])[:, 0].astype(bool)

    def attention(self, task: str, arm: str) -> Float[np.ndarray, " example"]:
        """The attention weight that the arm's blocks removed, on each example on which it was
        run."""
        return self._column("attention", task, [arm])[:, 0]

    def empty(self, task: str, arm: str) -> int:
        """On how many examples the arm changes nothing, and so was not run.

        !!! example

            >>> from vlmlib.study import Row
            >>> rows = [Row("clean", True, detail={"visual": 16}), Row("register", tokens=0)]
            >>> table = Table.of("polling", [Finished("7", "7", rows)])
            >>> table.empty("polling", "register"), table.lost("polling", "register").shape
            (1, (0,))
        """
        rows = self.rows.loc[(self.rows["task"] == task) & (self.rows["arm"] == arm)]
        return int(_is_empty(rows).sum())

    def clusters(self, task: str, arms: Sequence[str]) -> Shaped[np.ndarray, " example"]:
        """What the examples of `curves` share, in their order: the category; the picture, where an
        example has none, or all have the same."""
        found = self._wide("right", task, arms).index
        return self._labels[task].loc[found].to_numpy(str) if len(found) else np.zeros(0, str)

    def tokens(self, arm: str) -> Float[np.ndarray, " cluster"]:
        """How many tokens the arm touches in each picture in which it touches any, whatever the
        task."""
        of_arm = self.rows.loc[(self.rows["arm"] == arm) & ~_is_empty(self.rows)]
        return of_arm.groupby("cluster", sort=False)["tokens"].first().to_numpy(float)

    def _column(
        self, name: str, task: str, arms: Sequence[str]
    ) -> Float[np.ndarray, "example arm"]:
        return self._wide(name, task, arms).to_numpy(float)

    def _wide(self, name: str, task: str, arms: Sequence[str]) -> pd.DataFrame:
        """A column of the rows with a line per example on which all arms were run."""
        run, missing = self._all("arm", task), [arm for arm in arms if arm not in self.arms]
        if run.empty:
            return pd.DataFrame(columns=pd.Index(arms), dtype=float)
        for arm in arms:
            count, why = self.lacking.get((task, arm), (0, ""))
            if count == len(run):
                raise LackingError(f"No example has the arm {arm!r} for {task}. {why}")
        if missing:
            raise VLMError(
                f"No example has the arm {missing[0]!r} for {task}. Measured were: "
                f"{', '.join(sorted(self.arms))}."
            )
        wide = self._all(name, task).loc[:, list(arms)]
        unknown = np.argwhere(run[list(arms)].notna().to_numpy() & wide.isna().to_numpy())
        if len(unknown):
            example, arm = unknown[0]
            raise VLMError(
                f"{task} says no {name!r} of {len(unknown)} answers, the first on example "
                f"{wide.index[example]!r} under the arm {wide.columns[arm]!r}. Read what it does "
                "say in `rows`."
            )
        return wide.dropna()

    def _all(self, name: str, task: str) -> pd.DataFrame:
        """A column of a task's rows with a line per example and a column per arm; nothing where an
        arm was not run."""
        if (name, task) not in self._made:
            rows = self.rows.loc[self.rows["task"] == task]
            wide = rows.loc[~_is_empty(rows)].pivot(index="example", columns="arm", values=name)
            order = rows["example"].unique().tolist()
            self._made[name, task] = wide.reindex(index=order, columns=self.arms)
        return self._made[name, task]

    @cached_property
    def _made(self) -> dict[tuple[str, str], pd.DataFrame]:
        """What `_all` has made so far: claims and pages ask for a table's cells one by one."""
        return {}

    @cached_property
    def _labels(self) -> dict[str, pd.Series]:
        """By task, the category of each example; its picture, where it has none, or all have the
        same."""
        firsts = self.rows.drop_duplicates(["task", "example"])
        found: dict[str, pd.Series] = {}
        for task, rows in firsts.groupby("task", sort=False):
            told = (rows["category"] != "") & (rows["category"].nunique() > 1)
            labels = np.where(told, rows["category"], rows["cluster"])
            found[str(task)] = pd.Series(labels, index=pd.Index(rows["example"]))
        return found


def _lacking(task: str, counted: Sequence[Finished]) -> dict[tuple[str, str], tuple[int, str]]:
    """By task and arm, on how many examples the arm could not be made, and why on the first."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for row in (row for each in counted for row in each.rows if row.lacks):
        count, why = found.get((task, row.arm), (0, row.lacks))
        found[task, row.arm] = count + 1, why
    return found


def _details(task: str, counted: Sequence[Finished]) -> dict[tuple[str, str], Any]:
    return {(task, each.example): each.rows[0].detail for each in counted}


def _is_empty(rows: pd.DataFrame) -> Bool[np.ndarray, " row"]:
    """Which rows are those of arms that were not run, since they change nothing."""
    unasked = rows["right"].isna().to_numpy(bool)
    return unasked & (rows["arm"] != "clean").to_numpy() & (rows["tokens"] == 0).to_numpy()


def _shown(clean: Row) -> list[Any]:
    return [clean.detail.get("category", ""), clean.detail["visual"]]


def _figures(row: Row) -> list[Any]:
    return [getattr(row, name) for name in FIGURES]
