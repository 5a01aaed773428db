"""A model measured over many examples: what is in the store is read, what is missing is measured.

The model is loaded at the first row that is missing, and not before.
"""

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vlmlib.errors import ImageError, VLMError
from vlmlib.mean import load_mean, mean_embedding, publish_mean
from vlmlib.model import VLM
from vlmlib.pictures import open_image
from vlmlib.progress import progress
from vlmlib.study.example import Example, file_key
from vlmlib.study.identity import Handle, instrument, loaded
from vlmlib.study.meaning import meaning_of
from vlmlib.study.origin import Origin, processor, suite, system
from vlmlib.study.row import Row
from vlmlib.study.run import Keep, is_right, run
from vlmlib.study.scene import Design
from vlmlib.study.store import (
    TOGETHER,
    Finished,
    Measurement,
    Origins,
    Store,
    Unit,
    content_key,
    origins_of,
    table_of,
)
from vlmlib.study.table import Table
from vlmlib.study.task import Task

Compute = Callable[[VLM, Float[Tensor, " d_model"], Example], Sequence[Row]]
# Of several examples at once: each one's rows, or why it has none, as soon as they are known.
Together = Callable[
    [VLM, Float[Tensor, " d_model"], Sequence[Example]],
    Iterable[tuple[Example, Sequence[Row] | ImageError]],
]


@dataclass(frozen=True, eq=False)
class MeanOf:
    """A mean token by what it is made from: a file of one, or pictures to average over."""

    file: Path | None = None
    pictures: Sequence[Path] = ()


@dataclass(frozen=True, eq=False)
class Bench:
    """Where a model is measured: everything that it gives is kept in the store, and asked of it
    once.

    - `model`: a handle, which loads it when a row is missing.
    - `mean`: the mean token, or what it is made from; made once and kept beside the store. Rows
      are known by its bits.
    - `data`, `protocol`: names under which rows are kept.
    - `seed`: of all random draws. `label`: what progress calls it.
    - `annotations`: the hash of the data's file, which is recorded with the rows. `bad`: how many
      images were left out as broken, which progress tells.
    - `made`: where the rows that were collected come from, by the names under which they are kept.
    """

    model: Handle
    store: Store
    mean: MeanOf | Float[Tensor, " d_model"]
    data: str = ""
    protocol: str = ""
    seed: int = 0
    label: str = ""
    annotations: str = ""
    bad: int = 0
    made: dict[str, Origins] = field(default_factory=dict, init=False)

    def collect(
        self, examples: Sequence[Example], task: str, compute: Compute, design: str = ""
    ) -> list[Finished]:
        """The rows of each example, computed by any function of a model, a mean token and an
        example.

        What the function means is part of the rows' key (see `meaning`): bind its arguments with
        `functools.partial`, or in a closure.

        **Arguments:** examples; the names under which to keep the rows.

        **Raises:** `VLMError` for two examples of one id.
        """

        def together(
            vlm: VLM, mean: Float[Tensor, " d_model"], examples: Sequence[Example]
        ) -> Iterator[tuple[Example, Sequence[Row] | ImageError]]:
            for example in examples:
                try:
                    yield example, compute(vlm, mean, example)
                except ImageError as error:
                    yield example, error

        return self._collect(examples, task, design, compute, together, at_a_time=1)

    def collect_together(
        self, examples: Sequence[Example], task: str, compute: Together, design: str = ""
    ) -> list[Finished]:
        """The same by a function of several examples, which a model can be asked about in one
        batch."""
        return self._collect(examples, task, design, compute, compute, at_a_time=TOGETHER)

    def _collect(
        self,
        examples: Sequence[Example],
        task: str,
        design: str,
        meant: Compute | Together,
        compute: Together,
        at_a_time: int,
    ) -> list[Finished]:
        """What `meant` makes of examples, by `compute`, which asks it about several."""
        check_ids(examples)
        mean = mean_key(self._token) if examples else ""  # of nothing it is not needed
        measurement = self._measurement(task, design, meant, mean)
        units = self._units(measurement, examples)
        by_id = {example.id: example for example in examples}
        by_example = {unit.example: unit for unit in units}

        @functools.cache
        def needed() -> tuple[VLM, Float[Tensor, " d_model"]]:
            vlm = self.model.load()
            return vlm, self._mean_of(vlm)

        def rows_of(units: Sequence[Unit]) -> Iterator[tuple[Unit, Sequence[Row] | ImageError]]:
            for example, rows in compute(*needed(), [by_id[unit.example] for unit in units]):
                yield by_example[example.id], rows

        found = self.store.collect_together(
            measurement,
            units,
            rows_of,
            self._called(task, design),
            at_a_time,
            origin=lambda: self._origin(needed()[0]),
            note=self._note,
        )
        self.made[table_of(task, design)] = origins_of(found)
        return found

    def measure(
        self, examples: Sequence[Example], task: Task, design: Design, keep: Keep = is_right
    ) -> Table:
        """The table of a task under the arms of a design (see `measure`)."""
        return Table.of(task.name, self.run(examples, task, design, keep), keep)

    def run(
        self, examples: Sequence[Example], task: Task, design: Design, keep: Keep = is_right
    ) -> list[Finished]:
        """The rows of which `measure` makes a table, example by example."""
        return self.collect(
            examples, task.name, self.computing(task, design, keep), name_of(design)
        )

    def computing(self, task: Task, design: Design, keep: Keep = is_right) -> Compute:
        """What `run` computes of an example."""
        return functools.partial(run, task=task, design=design, keep=keep, seed=self.seed)

    def there(
        self, examples: Sequence[Example], task: str, meant: Compute | Together, design: str = ""
    ) -> list[Finished]:
        """Of the rows that `collect` would give those that the store has; nothing is measured."""
        if not self._has_a_mean:
            return []
        measurement = self._measurement(task, design, meant, mean_key(self._token))
        return self.store.there(self._units(measurement, examples))

    def held(self, task: str, meant: Compute | Together, design: str = "") -> int:
        """Of how many examples, whichever they are, the store has such rows."""
        if not self._has_a_mean:
            return 0
        measurement = self._measurement(task, design, meant, mean_key(self._token))
        return self.store.held(measurement)

    def mean_token(self) -> Float[Tensor, " d_model"]:
        """The mean token, on the model's device.

        **Raises:** `VLMError` for a mean token of another model's width.
        """
        return self._mean_of(self.model.load())

    @property
    def mean_file(self) -> Path | None:
        """Where a mean token of pictures is kept, beside the rows of all shards; whatever it
        depends on is in the name. None for one that was given."""
        if isinstance(self.mean, Tensor) or self.mean.file:
            return None
        pictures = [file_key(each) for each in self.mean.pictures]
        key = content_key(self._model_keys(), pictures, instrument())
        return self.store.path.parent / f"mean-{key[:16]}.safetensors"

    @property
    def _has_a_mean(self) -> bool:
        """Whether the mean token is at hand; without it no rows are."""
        return self.mean_file is None or self.mean_file.exists()

    def _units(self, measurement: Measurement, examples: Sequence[Example]) -> list[Unit]:
        return [
            Unit(content_key(measurement.id, _content(example)), example.id, example.cluster, at)
            for at, example in enumerate(examples)
        ]

    @functools.cached_property
    def _token(self) -> Float[Tensor, " d_model"]:
        """The mean token as it was given, or as it is kept."""
        if isinstance(self.mean, Tensor):
            return self.mean
        return load_mean(self.mean.file) if self.mean.file else self._made(self.mean.pictures)

    def _mean_of(self, vlm: VLM) -> Float[Tensor, " d_model"]:
        mean = self._token
        if len(mean) != vlm.width:
            if kept := self.mean_file:
                raise _broken(kept, f"it has {len(mean)} numbers for {vlm.width}")
            raise VLMError(
                f"The mean token has {len(mean)} numbers"
                f"{f' ({self.mean.file})' if isinstance(self.mean, MeanOf) else ''}, but "
                f"{self.model.name}'s visual tokens have {vlm.width}. Pass one that was made "
                "with this model, or none: it is made of the data's own pictures."
            )
        return mean.to(vlm.device, vlm.model.dtype)

    def _made(self, pictures: Sequence[Path]) -> Float[Tensor, " d_model"]:
        """The mean token of pictures: made once, by whoever comes first, and kept."""
        if not pictures:
            raise VLMError(
                f"There is no picture of {self.data!r} of which to make the mean token, and no "
                "file of one. Give MeanOf pictures, or a file that save_mean wrote."
            )
        file = self.mean_file
        assert file is not None
        with self.store.alone(file.name):  # so that the others wait, where locks work
            if not file.exists():
                return self._make(file, pictures)
        try:
            return load_mean(file)
        except VLMError as error:
            raise _broken(file, str(error.__cause__ or error)) from error

    def _make(self, file: Path, pictures: Sequence[Path]) -> Float[Tensor, " d_model"]:
        if self.store.read_only:
            raise VLMError(
                f"{str(file)!r}, the mean token of {self.model.name}, by which its rows are known, "
                "is not there, and nothing may be written there. Put it beside the rows, or judge "
                "the rows alone, as recorded ones."
            )
        vlm, refused = self.model.load(), []
        token = mean_embedding(vlm, self._opened(pictures, refused), refused)
        told: dict[str, Any] = {"model": self.model.name, "images": self.data}
        told |= {"count": len(pictures) - len(refused), "left_out": len(refused)}
        token = publish_mean(file, token, **told)
        self._tell_of_others(file, mean_key(token))
        return token

    def _tell_of_others(self, file: Path, key: str) -> None:
        """Say that a mean that is new is not the one of rows that are there."""
        before = self.store.means_of(self.model.weights(self.store.file_key))
        if before - {key}:
            print(
                f"\n{self._called('mean token')}: {file.name} was not there and was made. Rows "
                "that were measured with another mean token stay in the store, and are not this "
                "one's.",
                file=sys.stderr,
            )

    def _opened(self, pictures: Sequence[Path], refused: list[ImageError]) -> Iterator[Image.Image]:
        label, alone = self._called("mean token"), self.store.share[1] == 1
        with progress(label, len(pictures), alone=alone) as bar:
            for path in pictures:
                try:
                    image = open_image(path)
                except ImageError as error:
                    refused.append(error)
                else:
                    yield image
                bar.set_postfix_str(self._note(), refresh=False)
                bar.update()

    def _called(self, *what: str) -> str:
        return ", ".join(filter(None, [self.label or self.model.name, *what]))

    def _note(self) -> str:
        """What progress adds to how many images: memory, and what was left out."""
        bad = f"{self.bad:,} bad images left out" if self.bad else ""
        return ", ".join(filter(None, [memory_of(self.model.devices), bad]))

    def _origin(self, vlm: VLM) -> Origin:
        """On what and by what this process computes."""
        return Origin(
            card=cards_of(vlm.devices),
            attention=str(vlm.model.config._attn_implementation),
            system=system(),
            suite=suite(),
            annotations=self.annotations,
        )

    def _model_keys(self) -> list[str]:
        return [self.model.weights(self.store.file_key), self.model.dtype, self.model.device]

    def _measurement(
        self, task: str, design: str, compute: Compute | Together, mean: str
    ) -> Measurement:
        code, libraries = meaning_of(compute)
        own, below = instrument()
        weights, dtype, device = self._model_keys()
        return Measurement(
            model=self.model.name,
            weights=weights,
            dtype=dtype,
            device=device,
            mean=mean,
            data=self.data,
            protocol=self.protocol,
            task=task,
            design=design,
            code=content_key(code, own),
            libraries=json.dumps(below | libraries, sort_keys=True),
            seed=self.seed,
        )


def _content(example: Example) -> list[Any]:
    """All that a measurement may depend on; of a picture that cannot be read any more, why: it then
    fails by itself, when it is opened, and is asked for anew once it can be read."""
    try:
        return example.content
    except VLMError as error:
        return [example.id, str(error)]


def _broken(file: Path, reason: str) -> VLMError:
    return VLMError(
        f"{str(file)!r}, a mean token that an earlier run has kept, is no longer this model's: "
        f"{reason.splitlines()[0].rstrip('.')}. Delete it: it is made again."
    )


def measure(
    model: VLM | Handle,
    examples: Sequence[Example],
    task: Task,
    design: Design,
    store: Store,
    mean: MeanOf | Float[Tensor, " d_model"],
    keep: Keep = is_right,
    seed: int = 0,
    data: str = "",
) -> Table:
    """Which arms of a design take the right answer away, example by example.

    **Arguments:** a model, or a handle that loads it when it is needed; examples; what each is
    asked (see `Task`); a function of a `Scene` that gives named arms; where rows are kept; the
    mean token; of which clean runs an example counts, by default of the right ones (the arms of
    others are not run); the seed of random draws; the name of the data set, which keeps two apart
    in the store's view.

    **Returns:** a `Table`.

    **Raises:** `VLMError` for two examples of one id; for what `Task` and `Design` refuse.

    !!! example

        >>> import tempfile
        >>> from vlmlib.study import polling
        >>> def blind(scene):
        ...     return {"blind": [Ablate(scene.stimulus.visual, scene.mean)]}
        >>> store = Store(Path(tempfile.mkdtemp()))
        >>> examples = [Example("7", image, category="dog")]
        >>> every = lambda clean: True
        >>> table = measure(vlm, examples, polling, blind, store, torch.zeros(16), keep=every)
        >>> table.arms, table.counts
        (['clean', 'blind'], {'polling': {'asked': 1, 'counted': 1}})
        >>> store.close()
    """
    handle = loaded(model) if isinstance(model, VLM) else model
    return Bench(handle, store, mean, data, seed=seed).measure(examples, task, design, keep)


def mean_key(mean: Float[Tensor, " d_model"]) -> str:
    """What rows know a mean token by: its bits and their type, whatever file has them. Cards that
    round differently make others, of the same pictures.

    !!! example

        >>> mean_key(torch.zeros(16)) == mean_key(torch.zeros(16)) != mean_key(torch.ones(16))
        True
    """
    bits = mean.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return content_key(str(mean.dtype), bits)


def cards_of(devices: Sequence[torch.device]) -> str:
    """The names of the devices of one model, each once, with how many are called so.

    !!! example

        >>> cards_of(vlm.devices) == card_of(vlm.device)
        True
    """
    counts = Counter(map(card_of, devices))
    return " and ".join(
        f"{count} x {name}" if count > 1 else name for name, count in counts.items()
    )


def card_of(device: torch.device) -> str:
    """The name of a device: a GPU's card, or the processor.

    !!! example

        >>> card_of(torch.device("cpu")) != ""
        True
    """
    if device.type != "cuda":
        return processor() if device.type == "cpu" else device.type
    return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"


def memory_of(devices: Sequence[str]) -> str:
    """How much of a GPU's memory is in use, by whomever, of each GPU's where a model is spread; ""
    where there is no GPU at work.

    !!! example

        >>> memory_of(["cpu"])
        ''
    """
    if not devices[0].startswith("cuda") or not torch.cuda.is_initialized():
        return ""
    found = [torch.cuda.mem_get_info(each) for each in devices]
    used = (f"{(total - free) / 1e9:.1f} of {total / 1e9:.1f}" for free, total in found)
    return f"GPU {', '.join(used)} GB"


def name_of(design: Callable[..., Any]) -> str:
    """The name under which the rows of a design are kept: its own, within its module.

    !!! example

        >>> name_of(functools.partial(name_of))
        'name_of'
    """
    inner = design.func if isinstance(design, functools.partial) else design
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def check_ids(examples: Sequence[Example]) -> None:
    """Refuse two examples of one id.

    **Raises:** `VLMError` that names it.

    !!! example

        >>> check_ids([Example("7", image), Example("8", image)])
    """
    [(most, count)] = Counter(example.id for example in examples).most_common(1) or [("", 0)]
    if count > 1:
        raise VLMError(
            f"Two examples have the id {most!r}, so the rows of one would stand for both. Give "
            "each question about a picture an id of its own; `cluster` says what they share."
        )
