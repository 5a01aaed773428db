"""Tables 1 and 2 as claims ask for them: measured ones, whose images share categories. The printed
ones, of counts alone, are in published.py."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from claimlib import Clustered, Totals, Verdict, pooled
from claims.neo2025.arms import draw_of
from claims.neo2025.published import PrintedTable
from vlmlib.study import Table

# The cells that are looked at: a table, a task and an arm.
Cells = list[tuple["MeasuredTable", str, str]]
LOOKED_AT: ContextVar[Cells | None] = ContextVar("LOOKED_AT", default=None)
Read = Callable[[str, Sequence[str]], Float[np.ndarray, "image arm"]]


@contextmanager
def looked_at() -> Iterator[Cells]:
    """While the context lasts, every cell is noted of which it is asked what an arm takes away, or
    how probable it leaves the right token."""
    cells: Cells = []
    token = LOOKED_AT.set(cells)
    try:
        yield cells
    finally:
        LOOKED_AT.reset(token)


@dataclass(frozen=True, eq=False)
class MeasuredTable:
    """A measured table, whose images of one category form a cluster. A random arm that was drawn
    several times is one arm: of each image it has the mean over its draws.

    - `rows`: the table as it was measured, each draw an arm of its own.
    """

    rows: Table

    @property
    def yields(self) -> dict[str, dict[str, int]]:
        """For each task, how many images each filter and question left."""
        return self.rows.counts

    @property
    def arms(self) -> list[str]:
        """The names of all arms, further draws apart."""
        return [each for each in self.rows.arms if draw_of(each) == each]

    def draws(self, arm: str) -> list[str]:
        """An arm, and its further draws."""
        return [arm, *(each for each in self.rows.arms if draw_of(each) == arm != each)]

    def has(self, arm: str, task: str = "") -> bool:
        """Whether the arm was run on any image; on any that a task is asked about, or at all."""
        return self.rows.has(arm, task)

    def lost(self, task: str, arm: str) -> Clustered:
        """On which images the arm takes the right answer away; as numbers, in what share of its
        draws, where it has several."""
        [lost] = self._lost(task, [arm])
        return lost

    def pair(self, task: str, arm: str, other: str) -> tuple[Clustered, Clustered]:
        """Two arms on the images on which both were run: as numbers, where either has several
        draws."""
        first, second = self._lost(task, [arm, other])
        return first, second

    def curves(self, task: str, arms: Sequence[str]) -> Clustered:
        """Lost (1.0) or not under several arms, a point each."""
        return self._seen(task, arms, self._note(task, arms)._means(self.rows.curves, task, arms))

    def doubts(self, task: str, arms: Sequence[str]) -> list[Clustered]:
        """One minus the right token's probability under each of several arms."""
        means = self._note(task, arms)._means(self.rows.doubt, task, arms)
        return [self._seen(task, arms, each) for each in means.T]

    def alive(self, task: str, arm: str) -> Clustered:
        """On which images the arm (any of its draws) changed hidden states where it acts: at the
        targets of blocked edges, or at ablated tokens. A background's need not move any answer."""
        reached = [self.rows.reached(task, each) for each in self.draws(arm)]
        return self._seen(task, [arm], np.any(reached, axis=0))

    def tokens(self, arm: str) -> Clustered:
        """How many tokens the arm touches in each image, whatever the task; 0 where it has nothing
        to change."""
        rows = self.rows.rows.loc[self.rows.rows["arm"] == arm].drop_duplicates("cluster")
        categories = rows["category"].fillna(rows["cluster"]).astype(str)
        return Clustered(rows["tokens"].to_numpy(float), categories.tolist())

    def attention(self, task: str, arm: str) -> Float[np.ndarray, " image"]:
        """The attention weight that the arm's blocks take away in each image."""
        return np.mean([self.rows.attention(task, each) for each in self.draws(arm)], axis=0)

    def empty(self, task: str, arm: str) -> int:
        """On how many images the arm has nothing to change, and so was left out."""
        return self.rows.empty(task, arm)

    def lacking(self, task: str, arm: str) -> tuple[int, str]:
        """On how many images the arm could not be made, and why on the first."""
        return self.rows.lacking.get((task, arm), (0, ""))

    def _lost(self, task: str, arms: Sequence[str]) -> list[Clustered]:
        means = self._note(task, arms)._means(self.rows.curves, task, arms)
        drawn_once = all(len(self.draws(arm)) == 1 for arm in arms)
        values = means.astype(bool) if drawn_once else means
        return [self._seen(task, arms, each) for each in values.T]

    def _note(self, task: str, arms: Sequence[str]) -> "MeasuredTable":
        cells = LOOKED_AT.get()
        if cells is not None:
            cells += [(self, task, arm) for arm in arms]
        return self

    def _means(self, read: Read, task: str, arms: Sequence[str]) -> Float[np.ndarray, "image arm"]:
        """A column of the rows for each arm: the mean over its draws."""
        draws = [self.draws(arm) for arm in arms]
        every = read(task, [each for one in draws for each in one])
        ends = np.cumsum([len(one) for one in draws])
        parts = np.split(every, ends[:-1], axis=1)
        return np.stack([each.mean(axis=1) for each in parts], axis=1)

    def _seen(self, task: str, arms: Sequence[str], values: Any) -> Clustered:
        return Clustered(values, self.rows.clusters(task, arms))


def averaged(
    rule: Callable[..., Verdict], settings: Sequence[Sequence[Clustered | Totals]]
) -> Verdict | None:
    """The verdict of a rule on its samples of several settings, in which each counts the same; its
    n is that of the largest setting, since settings have images in common.

    **Returns:** None of printed counts, which do not tell on which images, and of settings without
    images.
    """
    every = [each for setting in settings for each in setting]
    samples = [each for each in every if isinstance(each, Clustered) and len(each)]
    if len(samples) < len(every):
        return None
    verdict = rule(*(pooled(list(each)) for each in zip(*settings, strict=True)))
    return replace(verdict, n=max(map(len, samples)))


def beside_printed(
    rule: Callable[..., Verdict], table: MeasuredTable, printed: PrintedTable, **more: Any
) -> Verdict:
    """The verdict of a rule on all cells that the paper prints of a table."""
    return beside_cells(rule, table, printed, printed.cells, **more)


def beside_cells(
    rule: Callable[..., Verdict],
    table: MeasuredTable,
    printed: PrintedTable,
    cells: Iterable[tuple[str, str]],
    **more: Any,
) -> Verdict:
    """The same of some of the cells, each a task and an arm."""
    chosen = list(cells)
    ours = [table.lost(*cell) for cell in chosen]
    return rule(ours, [printed.cells[cell] for cell in chosen], **more)


def flips(first: Table, second: Table) -> float:
    """The share of answers that differ between two runs of the same arms on the same images; of a
    random arm, under its first draw."""
    both = first.rows.merge(second.rows, on=["task", "example", "arm"]).dropna(
        subset=["right_x", "right_y"]
    )
    both = both[both["arm"].map(draw_of) == both["arm"]]
    differ = (both["right_x"] != both["right_y"]).to_numpy(bool)
    return float(differ.mean()) if len(differ) else 0.0
