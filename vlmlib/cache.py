"""Keys and values that arms share, as cache layers of transformers."""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

Keys = Float[Tensor, "row head _ width"]
KeysAndValues = tuple[Keys, Keys]


def kept(clean: DynamicCache) -> list[KeysAndValues]:
    """What a run left in its cache, layer by layer.

    !!! example

        >>> kept(DynamicCache())
        []
    """
    return [(layer.keys, layer.values) for layer in clean.layers]  # pyright: ignore


def sharing(clean: list[KeysAndValues], length: int, rows: int) -> Cache:
    """A cache for one pass of `rows` rows that all continue the first `length` positions of the
    clean run.

    Nothing that the pass computes is kept.

    !!! example

        >>> clean, new = torch.zeros(1, 2, 9, 4), torch.ones(3, 2, 1, 4)
        >>> cache = sharing([(clean, clean)], length=7, rows=3)
        >>> cache.update(new, new, layer_idx=0)[0].shape
        torch.Size([3, 2, 8, 4])
    """
    return Cache(
        layers=[_Shared(keys[:, :, :length], values[:, :, :length], rows) for keys, values in clean]
    )


class _Shared(DynamicLayer):
    def __init__(self, keys: Keys, values: Keys, rows: int):
        super().__init__()
        self.shared_keys = keys.expand(rows, -1, -1, -1)
        self.shared_values = values.expand(rows, -1, -1, -1)
        self.is_initialized = True

    def update(self, key_states: Keys, value_states: Keys, *args, **kwargs) -> KeysAndValues:
        keys = torch.cat([self.shared_keys, key_states], -2)
        values = torch.cat([self.shared_values, value_states], -2)
        return keys, values

    def get_seq_length(self) -> int:
        return self.shared_keys.shape[-2]


class Branches(Cache):
    """The continuations of `rows` arms, apart from one another, each up to `capacity` positions.

    Room is allocated once, so that a new token's keys and values are written and nothing is copied.

    !!! example

        >>> clean, new = torch.zeros(1, 2, 9, 4), torch.ones(2, 2, 1, 4)
        >>> branches = Branches([(clean, clean)], rows=3, capacity=12)
        >>> branches.begin(slice(0, 2), start=7)
        >>> branches.update(new, new, layer_idx=0)[0].shape
        torch.Size([2, 2, 8, 4])
    """

    def __init__(self, clean: list[KeysAndValues], rows: int, capacity: int):
        self.branches = [_Branch(keys, values, rows, capacity) for keys, values in clean]
        super().__init__(layers=list(self.branches))

    def begin(self, rows: slice, start: int) -> None:
        """From here on these rows are written, from position `start`; what lies before it is the
        clean run's."""
        for layer in self.branches:
            layer.begin(rows, start)

    def resume(self, length: int) -> None:
        """From here on all rows are written, from position `length`, and the clean run is let
        go."""
        for layer in self.branches:
            layer.resume(length)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        for layer in self.branches:
            keys, values = layer.room
            layer.room = (keys[rows], values[rows])


class _Branch(DynamicLayer):
    def __init__(self, keys: Keys, values: Keys, rows: int, capacity: int):
        super().__init__()
        _, heads, _, width = keys.shape
        self.prefix: tuple[Keys, ...] = (keys, values)
        self.is_initialized = True
        shape = (rows, heads, capacity, width)
        self.room = (keys.new_empty(shape), values.new_empty(shape))
        self.rows, self.filled = slice(None), 0

    def begin(self, rows: slice, start: int) -> None:
        self.rows, self.filled = rows, start
        for room, prefix in zip(self.room, self.prefix, strict=True):
            room[rows, :, :start] = prefix[:, :, :start]

    def resume(self, length: int) -> None:
        self.rows, self.filled = slice(None), length
        self.prefix = ()

    def update(self, key_states: Keys, value_states: Keys, *args, **kwargs) -> KeysAndValues:
        begin, self.filled = self.filled, self.filled + key_states.shape[-2]
        keys, values = (room[self.rows, :, : self.filled] for room in self.room)
        keys[:, :, begin:] = key_states
        values[:, :, begin:] = value_states
        return keys, values

    def get_seq_length(self) -> int:
        return self.filled
