"""What a run will take, told before it measures: of how many images it is, how much of it is in the
store, how long it takes on this device, and which claims so many images can decide."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from torch import Tensor

from claimlib import Claim
from claimlib.markdown import one_line
from claims.neo2025 import sample
from claims.neo2025.power import ENOUGH, INSTEAD, SAMPLES, decided, has_figures
from claims.neo2025.protocol import FILTERED
from claims.neo2025.published import load_figures
from claims.neo2025.speed import Speed, has_costs
from claims.neo2025.study import ASKED, FILTER_2, GRADIENTS, IN_FULL, LENS, NUMBERS, Measured
from fixtures import filtered
from vlmlib.study import Finished
from vlmlib.study.store import TOGETHER, table_of

FEW = 20  # images of filter 2, up to which the paper's share of those that pass it is taken
NAMED = 0.6  # of clean descriptions, the share that names the object, as costs.toml assumes
SHOWN = 12  # claims that are named as not decided
MEAN = "mean token"
OTHERS = "llava-phi-3"  # whose share stands for that of a model which is not in table 1


class Expected:
    """How many images a run will come to: as filter 2 has found of those that are in the store, and
    the others at the same rate; of the first, at the paper's. Of a shard, its own images.

    - `there`: of which the store has filter 2. `passing`: the share of images that passes it.
    - `more`: how many more images the run comes to.
    """

    def __init__(self, study: Measured):
        self.study, self.is_own = study, study.bench.store.is_own
        shard = study.bench.store.shard
        self.parts = shard[1] if shard else 1

    @cached_property
    def there(self) -> list[Finished]:
        return self.study.there(FILTER_2, self.study.examples)

    @cached_property
    def reached(self) -> list[Finished]:
        return sample.reached(self.there, self.study.most)

    @cached_property
    def kept(self) -> list[str]:
        return sample.filter_2(self.reached)

    @property
    def passing(self) -> float:
        known = len(self.reached)
        return len(self.kept) / known if known >= FEW else papers_share(self.study.name)

    @cached_property
    def left(self) -> int:
        """Of how many images the store lacks filter 2."""
        return sum(self.is_own(each.cluster) for each in self.study.examples) - len(self.there)

    @property
    def more(self) -> float:
        needed = self.study.most - len(self.kept)
        return max(0.0, min(self.left, needed / self.passing if self.passing else self.left))

    @property
    def described(self) -> float:
        """Of how many images filter 2 is asked: of so many at a time."""
        group = TOGETHER / self.parts
        return len(self.there) + min(self.left, group * math.ceil(self.more / group))

    @property
    def passed(self) -> float:
        """How many pass filter 2."""
        return len(self.kept) + self.more * self.passing

    def of(self, name: str, design: str = "") -> float:
        """Of how many images, or questions, a measurement is."""
        ids = (each.example for each in self.reached)
        chosen = {*self.kept, *filter(sample.is_unfiltered, ids)}
        others = self.more * (self.passing + (1 - self.passing) / sample.UNFILTERED)
        if name == FILTER_2:
            return self.described
        if name in FILTERED:
            return len(chosen) + others
        questions = [each for each in self.study.asked("VQA") if each.questions]
        asked = [each for each in questions if self.is_own(each.cluster)]
        if (name, design) == (GRADIENTS, ""):
            shared = not self.study.protocol.vqa_gradients
            pictures = {each.cluster for each in asked if shared}
            return min(len(chosen | pictures) + others, len(self.there) + self.left)
        if "VQA" in (name, design):
            return len(asked)
        last = self.study.pages if name == IN_FULL else None
        own = [each for each in self.study.lens_examples[:last] if self.is_own(each.cluster)]
        return len(own) * (self._numbers if name == NUMBERS else 1)

    def sizes(self, asked: Collection[str]) -> dict[str, float]:
        """On how many images claims are decided, of all shards together (see `power.decided`)."""
        needed = {each for name in asked for each in SAMPLES.get(name, ())}
        of = {
            "images": lambda: min(self.study.most, self.parts * self.passed),
            "questions": lambda: sum(bool(each.questions) for each in self.study.asked("VQA")),
            "lens": lambda: len(self.study.lens_examples),
        }
        return {name: count() for name, count in of.items() if name in needed}

    @property
    def _numbers(self) -> float:
        """The share of the lens's images that has tokens which decode to numbers."""
        shown = [each for each in self.study.there(LENS, self.study.lens_examples) if each.rows]
        having = sum(bool(each.rows[0].detail["numbers"]) for each in shown)
        return having / len(shown) if shown else 1.0

    @property
    def costing(self) -> float:
        """Of the images of table 1, the share that is named, without which no arm is run: all that
        pass filter 2, and of the others what is left of those that are named of all."""
        kept, measured = self.passed, self.of("generative")
        asked = len(self.reached) + self.more
        named = max(NAMED * asked - kept, 0.0) / (asked - kept) if asked > kept else 0.0
        return (kept + named * (measured - kept)) / measured if measured else 1.0


@dataclass(frozen=True)
class Part:
    """A measurement: of how many images, and how many of them the store has; what `costs.toml` says
    holds for the share `costing` of the others."""

    name: str
    images: float
    held: int
    costing: float = 1.0

    @property
    def missing(self) -> float:
        return max(0.0, self.images - self.held)

    @property
    def told(self) -> str:
        about = "" if self.images == round(self.images) else "about "
        some = f", {self.held:,} of them in the store" if self.held else ""
        there = some if self.missing or not self.held else ", all in the store"
        return f"{self.name}: {about}{round(self.images):,}{there}"


@dataclass(frozen=True)
class Forecast:
    """What is known of a run before it measures.

    - `model`: by the paper's name. `parts`: what is measured. `sizes`: see `power.decided`.
    - `passing`: the share of images that is taken to pass filter 2; None where it is not asked of
      any more. `whose`: and of whom it is, where it is not this run's own.
    - `shards`: of how many this is one.
    """

    label: str
    model: str
    parts: Sequence[Part]
    sizes: Mapping[str, float]
    passing: float | None
    whose: str = ""
    shards: int = 1

    @classmethod
    def of(cls, study: Measured, asked: Collection[str]) -> "Forecast":
        """**Arguments:** a study; what claims ask of it, by names of `ASKED`.

        **Raises:** `VLMError` where there are no images.
        """
        expected, needed = Expected(study), dict.fromkeys(e for name in asked for e in ASKED[name])
        filtered = (FILTER_2, "") in needed
        every = _with_pages(study, _with_gradients(study, [*needed]))
        parts = [_part(study, expected, *each) for each in every]
        return cls(
            label=study.label,
            model=study.name,
            parts=[*_mean(study), *parts],
            sizes=expected.sizes(asked),
            passing=expected.passing if filtered and expected.more else None,
            whose="" if len(expected.reached) >= FEW else f", {_named(study.name)}'s share",
            shards=expected.parts,
        )

    def told(self, claims: Sequence[Claim]) -> list[str]:
        """Of how many images each measurement is, how much of it is in the store, and which claims
        can be decided, in lines."""
        lines = [
            f"forecast of {one_line(self.label)}, images",
            *(f"  {each.told}" for each in self.parts),
        ]
        if self.passing is not None:
            lines.append(f"  taken that {self.passing:.1%} of images pass filter 2{self.whose}")
        return [*lines, *self._power(claims)]

    def time(self, speed: Speed, processes: int = 1) -> str:
        """How long what is missing takes so many processes together, and what it holds of memory,
        in a line."""
        taken = {
            each.name: each.missing * each.costing * speed.seconds(self.model, each.name)
            for each in self.parts
        }
        total = sum(taken.values())
        of_each = ", ".join(
            f"{name} {_duration(seconds / processes)}"
            for name, seconds in taken.items()
            if seconds > 0.01 * total
        )
        among = f" for {processes} processes" if processes > 1 else ""
        counted = "" if has_costs(self.model) else f", with the passes of {INSTEAD}"
        about = f"about {_duration(total / processes)} left{among} ({of_each}){counted}"
        return one_line(f"{self.label}: {about}; {_held(speed)}")

    def _power(self, claims: Sequence[Claim]) -> list[str]:
        shares = {claim: decided(claim, self.model, self.sizes) for claim in claims}
        asked = {claim: share for claim, share in shares.items() if share is not None}
        if not asked:
            return []
        few = [f"{claim.id} {share}" for claim, share in asked.items() if share < ENOUGH]
        if len(few) > SHOWN:
            few = [*few[:SHOWN], f"and {len(few) - SHOWN} more"]
        enough = sum(share >= ENOUGH for share in asked.values())
        own = all(has_figures(self.model, claim) for claim in asked)
        whole = " in all shards" if self.shards > 1 else ""
        sizes = ", ".join(f"{round(count):,} {SIZES[name]}" for name, count in self.sizes.items())
        return [
            f"  with {sizes}{whole}, were {'the paper' if own else INSTEAD}'s figures the truth:",
            f"  {enough} of {len(asked)} claims are decided in {ENOUGH} % of draws",
            *([f"  in fewer, in so many per cent: {', '.join(few)}"] if few else []),
        ]


SIZES = {"images": "images that pass filter 2", "questions": "questions", "lens": "of the lens"}


def _with_gradients(study: Measured, needed: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Measurements, with the gradients before the first table that needs them."""
    tables = [each for each in needed if each[1] == "ablations"]
    if not tables:
        return needed
    own = [(GRADIENTS, "VQA")] if study.protocol.vqa_gradients else []
    at = needed.index(tables[0])
    return [*needed[:at], (GRADIENTS, ""), *own, *needed[at:]]


def _with_pages(study: Measured, needed: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Measurements, with what the pages of the lens take after the lens."""
    at = 1 + needed.index((LENS, "")) if study.pages and (LENS, "") in needed else 0
    return [*needed[:at], (IN_FULL, ""), *needed[at:]] if at else needed


def _mean(study: Measured) -> list[Part]:
    """The mean token, where it is to be made."""
    file, mean = study.bench.mean_file, study.bench.mean
    if file is None or file.exists() or isinstance(mean, Tensor):
        return []
    return [Part(MEAN, len(mean.pictures), 0)]


def _part(study: Measured, expected: Expected, name: str, design: str) -> Part:
    held = study.bench.held(name, study.computing(name, design), design)
    costing = expected.costing if name == "generative" else 1.0
    return Part(table_of(name, design), expected.of(name, design), held, costing)


def papers_share(model: str) -> float:
    """The share of images that passes filter 2, by table 1; of other models LLaVA-Phi-3's."""
    return _kept()[_named(model)] / filtered.CANDIDATES


def _named(model: str) -> str:
    return model if model in _kept() else OTHERS


@cache
def _kept() -> dict[str, int]:
    """How many images passed filter 2 in the paper, by model."""
    return {
        cell.model: cell.lost.n
        for cell in load_figures().cells
        if (cell.table, cell.row, cell.task) == (1, "object", "generative")
    }


def _held(speed: Speed) -> str:
    """What a model and its passes hold."""
    weights = f"its weights take {speed.weights / 1e9:.2g} GB"
    if not speed.passes:
        return weights
    return (
        f"{weights}, passes up to {speed.passes / 1e9:.1f} GB more, of {speed.memory / 1e9:.1f} "
        "GB; where they do not fit they are halved"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
