"""Keys and values that arms share, as cache layers of transformers."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

Keys = Float[Tensor, "row head _ _"]
KeysAndValues = tuple[Keys, Keys]


def kept(clean: DynamicCache) -> list[KeysAndValues]:
    """What a run left in its cache, layer by layer.

    !!! example

        >>> kept(DynamicCache())
        []
    """
    return [(layer.keys, layer.values) for layer in clean.layers]  # pyright: ignore


def kept_otherwise(cache: Cache) -> str:
    """The class of layers of a cache that are a model's own, in which keys may stand elsewhere, and
    by which it may mask other ones; "" where all are transformers' own.

    !!! example

        >>> kept_otherwise(DynamicCache()), kept_otherwise(Branches([], rows=1, capacity=3))
        ('', '')
    """
    kinds = {type(layer) for layer in cache.layers}
    known = (DynamicLayer.__module__, __name__)
    own = sorted(each.__name__ for each in kinds if each.__module__ not in known)
    return ", ".join(own)


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
            here = rows.to(keys.device)
            layer.room = (keys[here], values[here])


class _Branch(DynamicLayer):
    def __init__(self, keys: Keys, values: Keys, rows: int, capacity: int):
        super().__init__()
        self.prefix: tuple[Keys, ...] = (keys, values)
        self.is_initialized = True
        self.room = tuple(
            # the two may be of different widths
            each.new_empty(rows, each.shape[1], capacity, each.shape[-1])
            for each in (keys, values)
        )
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


class Slots(Cache):
    """Keys and values of `rows` texts of different lengths, each up to `capacity` positions: a
    text's position stands in the column of its own number, and its row is another's when it ends.

    Room is zeros, since what a mask hides is multiplied by zero, and must be finite.

    !!! example

        >>> clean, new = torch.ones(1, 2, 9, 4), torch.ones(3, 2, 1, 4)
        >>> slots = Slots([(clean, clean)], rows=3, capacity=12)
        >>> slots.enter(1, [(clean, clean)])
        >>> slots.at = torch.tensor([0, 9, 0])
        >>> slots.update(new, new, layer_idx=0)[0][:, 0, :, 0].sum(-1).tolist()
        [1.0, 10.0, 1.0]
    """

    def __init__(self, like: list[KeysAndValues], rows: int, capacity: int):
        self.slots = [_Slot(keys, values, rows, capacity) for keys, values in like]
        super().__init__(layers=list(self.slots))

    @property
    def at(self) -> Int[Tensor, " row"]:
        """The column that each row writes next."""
        return self.slots[0].at

    @at.setter
    def at(self, columns: Int[Tensor, " row"]) -> None:
        for layer in self.slots:
            layer.at = columns.to(layer.every.device)

    def enter(self, row: int, clean: list[KeysAndValues]) -> None:
        """Give a row to a text whose prompt left these keys and values."""
        for layer, prompt in zip(self.slots, clean, strict=True):
            for room, kept in zip(layer.room, prompt, strict=True):
                room[row, :, : kept.shape[-2]] = kept[0]


class _Slot(DynamicLayer):
    def __init__(self, keys: Keys, values: Keys, rows: int, capacity: int):
        super().__init__()
        self.is_initialized = True
        self.room = tuple(
            each.new_zeros(rows, each.shape[1], capacity, each.shape[-1]) for each in (keys, values)
        )
        self.every = torch.arange(rows, device=keys.device)
        self.at = torch.zeros_like(self.every)

    def update(self, key_states: Keys, value_states: Keys, *args, **kwargs) -> KeysAndValues:
        keys, values = self.room
        keys[self.every, :, self.at] = key_states[:, :, 0]
        values[self.every, :, self.at] = value_states[:, :, 0]
        return keys, values

    def get_seq_length(self) -> int:
        return self.room[0].shape[-2] - 1
