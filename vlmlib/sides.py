"""Prompts whose lengths, and largest position ids, lie between the same numbers of a model's
configuration: what these decide in a model (the best k of many positions, rotary values past some
id) is the same for all of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from transformers import PreTrainedModel

from vlmlib.stimulus import Stimulus

# Between which numbers a length lies, and then a number of position ids.
Side = tuple[int, int, int, int]


class Extent(NamedTuple):
    """How far a run goes: its length, and the number of position ids up to the largest, which in
    pictures are two (M-RoPE).

    !!! example

        >>> Extent.of(stimulus).longer(by=3).length - len(stimulus.embeddings)
        3
    """

    length: int
    ids: int

    @classmethod
    def of(cls, stimulus: Stimulus) -> "Extent":
        return cls(len(stimulus.embeddings), int(stimulus.position_ids.max()) + 1)

    def longer(self, by: int) -> "Extent":
        """After so many tokens of text, each of which has an id of its own."""
        return Extent(self.length + by, self.ids + by)


@dataclass(frozen=True)
class Sides:
    """The numbers of a configuration, ascending.

    !!! example

        >>> sides = Sides([16, 40])
        >>> extents = [Extent(39, 30), Extent(17, 17), Extent(40, 30), Extent(39, 16)]
        >>> [sides.of(each) == sides.of(extents[0]) for each in extents]
        [True, True, False, False]
    """

    numbers: Sequence[float]

    @classmethod
    def of_model(cls, model: PreTrainedModel) -> "Sides":
        """Those of a model's language model."""
        return cls(sorted(set(_numbers_in(model.config.get_text_config().to_dict()))))

    def of(self, extent: Extent) -> Side:
        """Between which numbers a run's length and ids lie."""
        length, ids = (
            (bisect_left(self.numbers, n), bisect_right(self.numbers, n)) for n in extent
        )
        return *length, *ids


def _numbers_in(value: Any) -> Iterator[float]:
    """All numbers of a configuration, however deep."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers_in(each)
