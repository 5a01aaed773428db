"""Which attention edges one pass allows, layer by layer: the model's own, less the blocked ones.

A pass computes the suffixes of its arms. Its keys are the first positions of the clean run, then
its own positions; an arm sees the clean run up to its own start, and of the pass itself only its
own suffix.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vlmlib.interventions import Arm, Block
from vlmlib.plan import Pass

Mask = Bool[Tensor, "row head query key"] | Float[Tensor, "row head query key"]


class Masks:
    """The masks of a pass over a sequence of `length` positions, by layer.

    **Arguments:** `arms`: those of the pass, in its order; `windows`: of each layer; `heads`: query
    heads; `eager`: give masks to add to the scores, of `dtype`, instead of boolean ones.

    !!! example

        >>> one = Pass(arms=(0,), starts=(2,), packed=True)
        >>> masks = Masks(one, [[Block([0], to=3, layers=[1])]], 4, [None, None], 2, False, torch.float32, "cpu")
        >>> masks.layer(1)[0, 0].int().tolist()
        [[1, 1, 1, 0], [0, 1, 1, 1]]
    """

    def __init__(
        self,
        run: Pass,
        arms: Sequence[Arm],
        length: int,
        windows: Sequence[int | None],
        heads: int,
        eager: bool,
        dtype: torch.dtype,
        device: torch.device | str,
    ):
        blocks = [
            (index, each)
            for index, arm in enumerate(arms)
            for each in arm
            if isinstance(each, Block)
        ]
        self.blocks = [(index, each) for index, each in blocks if not each.is_empty]
        self.run, self.length, self.windows, self.eager, self.dtype = (
            run,
            length,
            windows,
            eager,
            dtype,
        )
        self.heads = heads if any(block.heads is not None for _, block in self.blocks) else 1
        starts = run.starts if run.packed else run.starts[:1]
        own = [torch.arange(start, length, device=device) for start in starts]
        self.queries = torch.cat(own)
        owner = torch.cat(
            [torch.full_like(positions, index) for index, positions in enumerate(own)]
        )
        shared = torch.arange(max(run.starts), device=device)
        self.keys = torch.cat([shared, self.queries])
        of_key = torch.cat([torch.full_like(shared, -1), owner])
        own_start = torch.tensor(starts, device=device)[owner]
        in_reach = (of_key == -1) & (self.keys < own_start[:, None])
        self.causal = (in_reach | (of_key == owner[:, None])) & (self.keys <= self.queries[:, None])
        self._last: tuple[object, Mask] | None = None

    @property
    def are_the_models_own(self) -> bool:
        """Whether this is a plain causal pass over whole sequences, which the model masks by
        itself."""
        return (
            max(self.run.starts) == 0
            and not self.blocks
            and (not self.run.packed or len(self.run.arms) == 1)
        )

    def layer(self, index: int) -> Mask:
        """The mask of one layer, `[row, head, query, key]`; rows or heads that do not differ are
        one."""
        window = self.windows[index]
        active = [(arm, block) for arm, block in self.blocks if index in block.layers]
        like = (window, tuple(id(block) for _, block in active))
        if self._last is None or self._last[0] != like:
            self._last = (like, self._mask(window, active))
        return self._last[1]

    def _mask(self, window: int | None, active: list[tuple[int, Block]]) -> Mask:
        allowed = self.causal
        if window is not None:
            allowed = allowed & (self.queries[:, None] - self.keys < window)
        allowed = allowed[None, None]
        if active:
            rows = 1 if self.run.packed else len(self.run.arms)
            allowed = allowed.repeat(rows, self.heads, 1, 1)
        for arm, block in active:
            row, first = self.row_and_column(arm)
            source = torch.zeros(self.length, dtype=torch.bool, device=allowed.device)
            source[list(block.source)] = True
            targets = torch.tensor(block.to, device=allowed.device) + (first - self.run.starts[arm])
            heads = torch.arange(self.heads) if block.heads is None else torch.tensor(block.heads)
            allowed[row, heads[:, None].to(allowed.device), targets] &= ~source[self.keys]
        if not self.eager:
            return allowed
        return torch.zeros_like(allowed, dtype=self.dtype).masked_fill(
            ~allowed, torch.finfo(self.dtype).min
        )

    def row_and_column(self, arm: int) -> tuple[int, int]:
        """Where the suffix of the pass's arm number `arm` begins: its row, and its first column in
        that row."""
        if not self.run.packed:
            return arm, 0
        return 0, sum(self.length - start for start in self.run.starts[:arm])
