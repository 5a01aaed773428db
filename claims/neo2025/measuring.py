"""What measures a run, in whatever process, and what is told of it beforehand."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from claimlib import Claim
from claimlib.markdown import one_line
from claims.neo2025 import sample
from claims.neo2025.forecast import Forecast
from claims.neo2025.runs import SEED, on_shipped
from claims.neo2025.sensitivity import PROTOCOLS
from claims.neo2025.speed import Speed
from claims.neo2025.study import ASKED, Measured
from fixtures import filtered
from fixtures.models import Models, Run
from fixtures.plugin import data_of, handle_of, tell
from vlmlib import VLM, VLMError
from vlmlib.study import Bench, Store, coco

CLAIMS = pytest.StashKey[dict[Run, list[Claim]]]()  # that are held against a run by measuring it


def asked_of(run: Run, config: pytest.Config) -> list[str]:
    """What claims ask of a run, by the names of `ASKED`."""
    asked = {name for claim in config.stash[CLAIMS][run] for name in claim.subjects["asks"]}
    return [name for name in ASKED if name in asked]


def measured(
    run: Run,
    option: Any,
    models: Models,
    store: Callable[[], Store],
    at_load: Callable[[VLM], None] | None = None,
    at_filtered: Callable[[], None] | None = None,
) -> Measured:
    """What answers a run's questions by measuring, in whatever process.

    **Arguments:** a run; the options; what loads models; what opens the store; what is to happen
    once the model is loaded, and once filter 2 is known.
    """
    most = option.vlm_limit or sample.MOST_IMAGES
    folder, limit = data_of(run.model, option)
    protocol = PROTOCOLS[run.protocol]
    questions = None if on_shipped(run) else option.vlm_questions
    common = {"limit": limit, "crowds": protocol.crowds, "most_bad": option.vlm_bad}
    purpose = filtered.IDENTIFICATION
    images = filtered.filter_1(folder, purpose, questions, store=store(), **common)
    lens_images = filtered.filter_1(folder, filtered.LENS, store=store(), **common)
    mean, averaged = sample.mean_of(option.vlm_mean, images, store())
    handle = handle_of(run.model, option, models)
    bench = Bench(
        model=replace(handle, load=_once_loaded(handle.load, at_load)) if at_load else handle,
        store=store(),
        mean=mean,
        data=images.data,
        protocol=run.protocol,
        seed=SEED,
        label=run.label,
        annotations=_annotations(folder, store()),
        bad=sum(step.all_bad for step in (*images.steps, *lens_images.steps, averaged)),
    )
    images = replace(images, steps=[*images.steps, averaged])
    return Measured(
        bench,
        images,
        lens_images,
        protocol,
        run.label,
        most,
        at_filtered,
        option.vlm_lens_page,
        option.vlm_lens_words or (),
    )


def _once_loaded(load: Callable[[], VLM], at_load: Callable[[VLM], None]) -> Callable[[], VLM]:
    """What loads a model, and at the first time does something with it."""
    tell = cache(at_load)

    def loading() -> VLM:
        vlm = load()
        tell(vlm)
        return vlm

    return loading


class Foretelling:
    """Tells what a run will take: before it measures, once its model is loaded, and once more when
    filter 2 has told how many images the rest is of."""

    def __init__(self, config: pytest.Config, run: Run):
        self.config, self.run = config, run
        self.study: Measured | None = None
        self.forecast: Forecast | None = None
        self.speed: Speed | None = None

    def begin(self, study: Measured) -> None:
        """Tells how much there is to measure; nothing where there are no images, as the claims will
        say."""
        self.study, self.forecast = study, self._made(study)
        if self.forecast:
            tell(self.config, self.forecast.told(self.config.stash[CLAIMS][self.run]))

    def at_load(self, vlm: VLM) -> None:
        """Tells how long it will take, by how fast the model is; of several processes the first."""
        if self.study is None or self.forecast is None or self.study.bench.store.share[0]:
            return
        images = [*self.study.images.examples, *self.study.lens_images.examples]
        try:
            self.speed = Speed.of(vlm, images[0])
        except VLMError as error:  # such as an image that the model refuses, which is then left out
            self._tell(f"{self.run.label}: how long it takes is not known: {error}")
        else:
            self._tell_time(self.forecast)

    def again(self) -> None:
        """The time once more, where filter 2 was not known."""
        if self.study and self.speed and self.forecast and self.forecast.passing is not None:
            self.forecast = self._made(self.study)
            if self.forecast:
                self._tell_time(self.forecast)

    def _made(self, study: Measured) -> Forecast | None:
        try:
            return Forecast.of(study, asked_of(self.run, self.config))
        except VLMError:
            return None

    def _tell_time(self, forecast: Forecast) -> None:
        assert self.study
        assert self.speed
        self._tell(forecast.time(self.speed, self.study.bench.store.share[1]))

    def _tell(self, line: str) -> None:
        tqdm.write(f"\n{one_line(line)}", file=sys.stderr)  # beside a bar that is there


def _annotations(folder: Path, store: Store) -> str:
    """The hashes of the files that say what the pictures show."""
    splits = (filtered.IDENTIFICATION.split, filtered.LENS.split)
    files = dict.fromkeys(coco.annotation_file(folder, split) for split in splits)
    return ", ".join(f"{file.name} {store.file_key(file)}" for file in files)
