"""How a pass is laid out: which position each of its columns computes, and what its keys are.

A batch has one row per arm; a pack has a single row, in which the suffixes of its arms follow one
another. Its keys are the first positions of the clean run, then its own positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vlmlib.plan import Pass

CLEAN = -1


@dataclass(frozen=True, eq=False)
class Layout:
    """The rows, queries and keys of a pass over a sequence of `length` positions.

    - `queries`, `keys`: the position in the sequence that each column computes, and that each key
        is of. The rows of a batch have them in common.
    - `query_owners`, `key_owners`: whose they are: numbers of arms within the pass (0 for a batch,
        whose rows keep arms apart), or `CLEAN` for a key of the clean run.

    !!! example

        >>> pack = Pass(arms=(0, 1), starts=(1, 2), packed=True)
        >>> layout = Layout.of(pack, length=4, device="cpu")
        >>> layout.queries.tolist(), layout.query_owners.tolist()
        ([1, 2, 3, 2, 3], [0, 0, 0, 1, 1])
        >>> layout.keys.tolist(), layout.key_owners.tolist()
        ([0, 1, 1, 2, 3, 2, 3], [-1, -1, 0, 0, 0, 1, 1])
        >>> layout.at(1, [3])
        (0, [4])
    """

    run: Pass
    length: int
    queries: Int[Tensor, " query"]
    query_owners: Int[Tensor, " query"]
    keys: Int[Tensor, " key"]
    key_owners: Int[Tensor, " key"]

    @classmethod
    def of(cls, run: Pass, length: int, device: torch.device | str) -> "Layout":
        """The layout of a pass."""
        starts = run.starts if run.packed else run.starts[:1]
        suffixes = [torch.arange(start, length, device=device) for start in starts]
        owners = [torch.full_like(suffix, owner) for owner, suffix in enumerate(suffixes)]
        shared = torch.arange(max(run.starts), device=device)
        return cls(
            run,
            length,
            queries=torch.cat(suffixes),
            query_owners=torch.cat(owners),
            keys=torch.cat([shared, *suffixes]),
            key_owners=torch.cat([torch.full_like(shared, CLEAN), *owners]),
        )

    @property
    def rows(self) -> int:
        return self.run.rows

    @property
    def is_whole(self) -> bool:
        """Whether every row is one whole sequence, which a model masks causally by itself."""
        return max(self.run.starts) == 0 and self.rows == len(self.run.arms)

    def at(self, arm: int, positions: Sequence[int]) -> tuple[int, list[int]]:
        """The row of the pass's arm number `arm`, and the columns in which it computes these
        positions."""
        start = self.run.starts[arm]
        if self.run.packed:
            row, first = 0, sum(self.length - before for before in self.run.starts[:arm])
        else:
            row, first = arm, 0
        return row, [first + position - start for position in positions]

    def lasts(self) -> tuple[list[int], list[int]]:
        """Where the arms compute the last position of the sequence: a row and a column of each."""
        places = [self.at(arm, [self.length - 1]) for arm in range(len(self.run.arms))]
        return [row for row, _ in places], [column for _, [column] in places]

    def causal(self) -> Bool[Tensor, "query key"]:
        """Which keys a query may attend to: those of its own suffix up to itself, and the clean
        run's before its suffix begins."""
        starts = torch.tensor(self.run.starts, device=self.keys.device)[self.query_owners]
        before = (self.key_owners == CLEAN) & (self.keys < starts[:, None])
        own = self.key_owners == self.query_owners[:, None]
        return (before | own) & (self.keys <= self.queries[:, None])
