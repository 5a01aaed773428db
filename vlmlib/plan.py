"""The planner: which arms run together, from which position on. A pure function of numbers.

Positions before the first one that an arm changes are those of the clean run, whose keys and values
are computed once. What is left of each arm is its suffix. Short suffixes are packed side by side
into one sequence, where they share the clean run's keys without a copy; long ones run as the rows
of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# What starting one more pass costs, in tokens: reading the weights, and launching every layer.
PASS_COST = 64
# A prefix under a sixteenth of the sequence is computed again, without masks and copied keys.
WORTH_SHARING = 16
# A suffix of up to an eighth of the sequence is packed, into packs of up to half of it, so that
# packing adds at most half to the keys of a query.
SHORT = 8
PACK = 2


@dataclass(frozen=True)
class Pass:
    """One forward pass: the numbers of its arms, and the first position that each of them computes
    itself.

    A batch has one row per arm and one start for all; a pack has one row in which arms follow one
    another.
    """

    arms: tuple[int, ...]
    starts: tuple[int, ...]
    packed: bool

    @property
    def rows(self) -> int:
        return 1 if self.packed else len(self.arms)

    def tokens(self, length: int) -> int:
        """How many positions this pass computes."""
        return sum(length - start for start in self.starts)


@dataclass(frozen=True)
class Plan:
    """`shared`: how many positions one clean pass computes first. `clean`: arms that this pass
    answers itself."""

    shared: int
    clean: tuple[int, ...]
    passes: tuple[Pass, ...]


def plan(starts: Sequence[int], length: int, max_tokens: int, pack: bool = True) -> Plan:
    """How to run arms that change nothing before position `starts[arm]` of a sequence of `length`
    positions.

    A start of `length` is an arm that changes nothing. No pass holds more than `max_tokens`
    positions unless it has one arm only. Of all ways to cut the sorted arms into batches, the one
    with the fewest positions to compute is taken, each pass counted as `PASS_COST` positions more.

    **Returns:** a `Plan`, in which every arm stands once.

    !!! example

        >>> clean, knockout, ablation = 100, 99, 20
        >>> made = plan([clean, knockout, knockout, ablation], length=100, max_tokens=1000)
        >>> made.shared, made.clean
        (100, (0,))
        >>> made.passes[0]
        Pass(arms=(1, 2), starts=(99, 99), packed=True)
        >>> made.passes[1]
        Pass(arms=(3,), starts=(20,), packed=False)
    """
    clean = tuple(arm for arm, start in enumerate(starts) if start == length)
    starts = [start if start * WORTH_SHARING >= length else 0 for start in starts]
    changing = [arm for arm, start in enumerate(starts) if start < length]
    short, long = [], []
    for arm in sorted(changing, key=lambda arm: starts[arm]):
        is_short = pack and (length - starts[arm]) * SHORT <= length
        (short if is_short else long).append(arm)
    packs = _packs(short, starts, length, min(max_tokens, length // PACK))
    shared = length if clean else max((max(each.starts) for each in packs), default=0)
    batches = _batches(long, starts, length, max_tokens, shared)
    passes = (*packs, *batches)
    return Plan(max([shared, *(max(each.starts) for each in passes)]), clean, passes)


def _packs(arms: list[int], starts: Sequence[int], length: int, limit: int) -> list[Pass]:
    """As few packs as hold all arms within the limit; a pack of one arm may exceed it."""
    for count in range(1, len(arms) + 1):
        packs = _filled(arms, starts, length, count)
        if count == len(arms) or max(pack.tokens(length) for pack in packs) <= limit:
            return packs
    return []


def _filled(arms: list[int], starts: Sequence[int], length: int, count: int) -> list[Pass]:
    """So many packs, filled evenly: the longest suffix first, each into the least filled pack."""
    packs: list[list[int]] = [[] for _ in range(count)]
    sizes = [0] * count
    for arm in arms:
        least = sizes.index(min(sizes))
        packs[least].append(arm)
        sizes[least] += length - starts[arm]
    return [Pass(tuple(pack), tuple(starts[arm] for arm in pack), packed=True) for pack in packs]


def _batches(
    arms: list[int], starts: Sequence[int], length: int, limit: int, shared: int
) -> list[Pass]:
    """Cut arms, sorted by start, into runs that each begin at their own first start: shortest path
    over the cuts."""
    # to have run so many arms: the cost, and where the last run begins
    paths: list[tuple[int, int]] = [(0, 0)]
    for stop in range(1, len(arms) + 1):
        options = []
        for begin in range(stop):
            first, rows = starts[arms[begin]], stop - begin
            tokens = rows * (length - first)
            if rows > 1 and tokens > limit:
                continue
            # the clean pass reaches as far as the last batch needs, if nothing else asks for more
            prefix = max(0, first - shared) if stop == len(arms) else 0
            options.append((paths[begin][0] + tokens + PASS_COST + prefix, begin))
        paths.append(min(options))
    batches, stop = [], len(arms)
    while stop:
        begin = paths[stop][1]
        run, first = tuple(arms[begin:stop]), starts[arms[begin]]
        batches.append(Pass(run, (first,) * len(run), packed=False))
        stop = begin
    return batches[::-1]
