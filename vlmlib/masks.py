"""Which attention edges one pass allows, layer by layer: the model's own, less the blocked ones."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vlmlib.interventions import Arm, Block, by_kind
from vlmlib.layout import Layout

Mask = Bool[Tensor, "row head query key"] | Float[Tensor, "row head query key"]


class Masks:
    """The masks of a pass, by layer.

    **Arguments:** the pass's layout and its arms, in its order; `windows`: for each layer how many
    positions, itself included, a position attends to, or None; `heads`: query heads; `additive`:
    give masks of this type to add to the scores (eager attention) instead of boolean ones (sdpa).

    !!! example

        >>> from vlmlib.plan import Pass
        >>> one = Layout.of(Pass(arms=(0,), starts=(2,), packed=True), length=4, device="cpu")
        >>> masks = Masks(one, [[Block([0], to=3, layers=[1])]], windows=[None, None], heads=2)
        >>> masks.layer(1)[0, 0].int().tolist()
        [[1, 1, 1, 0], [0, 1, 1, 1]]
    """

    def __init__(
        self,
        layout: Layout,
        arms: Sequence[Arm],
        windows: Sequence[int | None],
        heads: int,
        additive: torch.dtype | None = None,
    ):
        self.layout, self.windows, self.additive = layout, windows, additive
        self.causal = layout.causal()
        self.blocks = [
            (index, block) for index, arm in enumerate(arms) for block in by_kind(arm)[1]
        ]
        tells_heads_apart = any(block.heads is not None for _, block in self.blocks)
        self.heads = heads if tells_heads_apart else 1
        self._last: tuple[object, Mask] | None = None

    @property
    def are_the_models_own(self) -> bool:
        """Whether the model masks this pass by itself."""
        return self.layout.is_whole and not self.blocks

    def layer(self, index: int, device: torch.device | None = None) -> Mask:
        """The mask of one layer, `[row, head, query, key]`; rows or heads that do not differ are
        one.

        **Arguments:** the layer, and where it is, if not where the layout is.
        """
        window = self.windows[index]
        active = [(arm, block) for arm, block in self.blocks if index in block.layers]
        like = (window, device, tuple(id(block) for _, block in active))
        if self._last is None or self._last[0] != like:
            mask = typed(self._allowed(window, active), self.additive)
            self._last = (like, mask.to(device or mask.device))
        return self._last[1]

    def _allowed(
        self, window: int | None, active: list[tuple[int, Block]]
    ) -> Bool[Tensor, "row head query key"]:
        allowed = self.causal
        if window is not None:
            allowed = allowed & (self.layout.queries[:, None] - self.layout.keys < window)
        allowed = allowed[None, None]
        if active:
            allowed = allowed.repeat(self.layout.rows, self.heads, 1, 1)
        for arm, block in active:
            row, columns = self.layout.at(arm, block.targets)
            heads = torch.arange(self.heads) if block.heads is None else torch.tensor(block.heads)
            allowed[row, heads[:, None].to(allowed.device), columns] &= ~self._is_source(block)
        return allowed

    def _is_source(self, block: Block) -> Bool[Tensor, " key"]:
        is_source = torch.zeros(self.layout.length, dtype=torch.bool, device=self.causal.device)
        is_source[list(block.source)] = True
        return is_source[self.layout.keys]


def edges_of(mask: Tensor) -> Bool[Tensor, "*batch query key"]:
    """The edges that a mask leaves, whatever its type (see `typed`).

    !!! example

        >>> edges_of(torch.tensor([[0.0, -65504.0]], dtype=torch.float16)).tolist()
        [[True, False]]
    """
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def typed(allowed: Bool[Tensor, "row head query key"], additive: torch.dtype | None = None) -> Mask:
    """A mask as attention takes it: boolean (sdpa), or of a type to add to the scores (eager).

    !!! example

        >>> typed(torch.tensor([[[[True, False]]]]), torch.float16).tolist()
        [[[[0.0, -65504.0]]]]
    """
    if additive is None:
        return allowed
    lowest = torch.finfo(additive).min
    return torch.zeros_like(allowed, dtype=additive).masked_fill(~allowed, lowest)
