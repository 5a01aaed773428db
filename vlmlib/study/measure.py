"""A model measured over many examples: what is in the store is read, what is missing is measured.

The model is loaded at the first row that is missing, and not before.
"""

import functools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vlmlib.errors import VLMError
from vlmlib.mean import load_mean, mean_embedding, save_mean
from vlmlib.model import VLM
from vlmlib.study.example import Example, file_key, open_image
from vlmlib.study.identity import Handle, instrument, loaded
from vlmlib.study.meaning import meaning_of
from vlmlib.study.row import Row
from vlmlib.study.run import Keep, is_right, run
from vlmlib.study.scene import Design
from vlmlib.study.store import Finished, Measurement, Store, Unit, content_key
from vlmlib.study.table import Table
from vlmlib.study.task import Task

Compute = Callable[[VLM, Float[Tensor, " d_model"], Example], Sequence[Row]]


@dataclass(frozen=True, eq=False)
class MeanOf:
    """A mean token by what it is made from: a file of one, or pictures to average over.

    !!! example

        >>> MeanOf(pictures=[Path("fixtures/emoji_coco/eval/0026.png")]).key[:7]
        'mean of'
    """

    file: Path | None = None
    pictures: Sequence[Path] = ()

    @property
    def key(self) -> str:
        """What the mean token depends on, beside the model."""
        if self.file:
            return f"mean in {file_key(self.file)}"
        return f"mean of {content_key([file_key(each) for each in self.pictures])}"


@dataclass(frozen=True, eq=False)
class Bench:
    """Where a model is measured: everything that it gives is kept in the store, and asked of it
    once.

    - `model`: a handle, which loads it when a row is missing.
    - `mean`: the mean token, or what it is made from; made once and kept beside the store.
    - `data`, `protocol`: names under which rows are kept.
    - `seed`: of all random draws. `label`: what progress bars call it.
    """

    model: Handle
    store: Store
    mean: MeanOf | Float[Tensor, " d_model"]
    data: str = ""
    protocol: str = ""
    seed: int = 0
    label: str = ""

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
        check_ids(examples)
        measurement = self._measurement(task, design, compute)
        units = [
            Unit(content_key(measurement.id, example.content), example.id, example.cluster, at)
            for at, example in enumerate(examples)
        ]
        by_id = {example.id: example for example in examples}

        @functools.cache
        def needed() -> tuple[VLM, Float[Tensor, " d_model"]]:
            vlm = self.model.load()
            return vlm, self._mean_of(vlm)

        def rows_of(unit: Unit) -> Sequence[Row]:
            return compute(*needed(), by_id[unit.example])

        label = ", ".join(filter(None, [self.label or self.model.name, task, design]))
        return self.store.collect(measurement, units, rows_of, label)

    def measure(
        self, examples: Sequence[Example], task: Task, design: Design, keep: Keep = is_right
    ) -> Table:
        """The table of a task under the arms of a design (see `measure`)."""
        return Table.of(task.name, self.run(examples, task, design, keep), keep)

    def run(
        self, examples: Sequence[Example], task: Task, design: Design, keep: Keep = is_right
    ) -> list[Finished]:
        """The rows of which `measure` makes a table, example by example."""
        compute = functools.partial(run, task=task, design=design, keep=keep, seed=self.seed)
        return self.collect(examples, task.name, compute, name_of(design))

    def mean_token(self) -> Float[Tensor, " d_model"]:
        """The mean token, on the model's device.

        **Raises:** `VLMError` for a mean token of another model's width.
        """
        return self._mean_of(self.model.load())

    def _mean_of(self, vlm: VLM) -> Float[Tensor, " d_model"]:
        if isinstance(self.mean, Tensor):
            mean = self.mean
        elif self.mean.file:
            mean = load_mean(self.mean.file)
        else:
            mean = load_mean(self._made(self.mean, vlm))
        if len(mean) != vlm.d_model:
            raise VLMError(
                f"The mean token has {len(mean)} numbers"
                f"{f' ({self.mean.file})' if isinstance(self.mean, MeanOf) else ''}, but "
                f"{self.model.name} has embeddings of width {vlm.d_model}. Pass one that was made "
                "with this model."
            )
        return mean.to(vlm.device, vlm.model.dtype)

    def _made(self, mean: MeanOf, vlm: VLM) -> Path:
        made_from = content_key(self._model_keys(), mean.key, instrument())
        file = self.store.path.parent / f"mean-{made_from[:16]}.safetensors"
        with self.store.alone(file.name):
            if not file.exists():
                token = mean_embedding(vlm, (open_image(path) for path in mean.pictures))
                count = len(mean.pictures)
                save_mean(file, token, model=self.model.name, images=self.data, count=count)
        return file

    def _model_keys(self) -> list[str]:
        return [self.model.weights(self.store.file_key), self.model.dtype, self.model.device]

    def _measurement(self, task: str, design: str, compute: Compute) -> Measurement:
        code, libraries = meaning_of(compute)
        own, below = instrument()
        weights, dtype, device = self._model_keys()
        mean = self.mean.key if isinstance(self.mean, MeanOf) else meaning_of(self.mean)[0]
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
