"""What the paper's claims are held against: the shipped model, the paper's own models, or those
that --vlm-model names; recorded rows of any; and the paper's printed figures."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import pytest

from claimlib import Claim, Figure, Subject, Trial
from claimlib.markdown import one_line
from claimlib.plugin import claim_of
from claimlib.plugin import subject_of as subject_of_item
from claimlib.report import origins_section
from claims.neo2025 import architectures, lens_pages, sample
from claims.neo2025.cases import Behind
from claims.neo2025.measuring import CLAIMS, Foretelling, asked_of, measured
from claims.neo2025.pages import (
    chosen_of,
    counting,
    images_told,
    origins_together,
    pages_of,
)
from claims.neo2025.published import Published
from claims.neo2025.runs import subjects_of
from claims.neo2025.study import IN_FULL, Measured, Recorded, Study
from claims.neo2025.tables import Cells, looked_at
from fixtures.cluster import Cluster
from fixtures.models import SHIPPED, STAND_IN, Models, Run, label_of
from fixtures.origins import origins_of
from fixtures.plugin import RECORDING, tell, uncaptured
from fixtures.reports import rows_of
from fixtures.shards import SHARD, Gathering
from vlmlib.study import Store

LOOKED_AT = pytest.StashKey[set[str]]()  # the subjects whose pages of the lens are in the report


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    return subjects_of(config, claim)


@pytest.hookimpl(trylast=True)  # when it is known which claims are held against what
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Notes which claims are held against which run; of a shard those on one are one item, which
    measures (see `Gathering`)."""
    ours = [item for item in items if "study_of" in getattr(item, "fixturenames", ())]
    asking: dict[Run, list[pytest.Item]] = {}
    for item in ours:
        for run in _measured_by(item):
            asking.setdefault(run, []).append(item)
    config.stash[CLAIMS] = {run: list(map(claim_of, asked)) for run, asked in asking.items()}
    if config.stash[SHARD] is None:
        return
    items[:] = [item for item in items if item not in ours]
    items += [Gathering.of(first, _gathering(run)) for run, (first, *_) in asking.items()]


def _measured_by(item: pytest.Item) -> list[Run]:
    """The runs that a test measures."""
    subject = subject_of_item(item)
    asks_a_model = {"subject", "subjects"} & {*getattr(item, "fixturenames", ())}
    if subject and isinstance(subject.value, Run) and asks_a_model:
        return subject.value.each() if subject.value.kind == "measured" else []
    return []


def _gathering(run: Run) -> Callable[..., None]:
    def gather(study_of: Callable[[Run], Study], store: Store, pytestconfig: pytest.Config) -> None:
        study = study_of(run)
        assert isinstance(study, Measured)
        found = study.gather(asked_of(run, pytestconfig))
        if store.share[0] == 0 and store.shard:
            number, count = store.shard
            held = "; ".join(f"{name}: {len(images)}" for name, images in found.items())
            print(f"\n{run.label}, shard {number + 1} of {count}, images: {held}", file=sys.stderr)

    return gather


@pytest.fixture(scope="session")
def study_of(
    request: pytest.FixtureRequest, models: Models, workers: Cluster | None
) -> Callable[[Run], Study]:
    """Makes what answers a run's questions, once; nothing is loaded or opened before it must be."""
    config, option = request.config, request.config.option
    most = option.vlm_limit or sample.MOST_IMAGES
    told: list[list[str]] = []

    def recorded(run: Run) -> Study:
        subject = (run.model, run.data, run.protocol)
        return Recorded(config.stash[RECORDING], subject, run.label, most)

    def measuring(run: Run) -> Study:
        foretelling = Foretelling(config, run)
        store = partial(request.getfixturevalue, "store")
        with uncaptured(config):
            study = measured(run, option, models, store, foretelling.at_load, foretelling.again)
        head = one_line(f"{label_of(run.model)} on {study.images.data}")
        lines = images_told(head, study.images, study.lens_images)
        if lines not in told:
            told.append(lines)
            tell(config, lines)
        foretelling.begin(study)
        if workers:
            gather = partial(workers.gather, measured, run, study.bench, asked_of(run, config))
            models.once(("measured", run), gather)
        return study

    def published(run: Run) -> Study:
        return Published(run.model)

    make = {"measured": measuring, "recorded": recorded, "published": published}
    return cache(lambda run: make[run.kind](run))


@pytest.fixture
def subject(claim_subject: Subject, study_of: Callable[[Run], Study]) -> Study:
    """The model of this test on its data set, its recorded rows, or the paper's figures of it."""
    return study_of(claim_subject.value)


@pytest.fixture
def subjects(claim_subject: Subject, study_of: Callable[[Run], Study]) -> Iterator[Study]:
    """The models of this test one after the other."""
    return map(study_of, claim_subject.value.each())


@pytest.fixture
def architecture(claim_subject: Subject) -> Any:
    """The model of this test without weights, from its published dimensions."""
    return architectures.build(claim_subject.value.model)


@pytest.fixture
def printed(claim_subject: Subject) -> Published:
    """What the paper prints about the model of this test."""
    return Published(claim_subject.value.model)


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, trial: Trial, study_of: Callable[[Run], Study]
) -> Iterator[Trial]:
    """The claim of this test; a page of each measurement that was made goes into the report."""
    made = request.node.funcargs  # which an interrupted test no longer has
    with looked_at() as cells:
        yield trial
    if "subject" in made:
        study = made["subject"]
        trial.origins |= origins_of(study)
        trial.chosen |= chosen_of(study)
        how = origins_section(trial.origins)
        trial.pages |= {name: page + how for name, page in pages_of(study).items()}
        if request.config.option.claims_report:
            _show_images(trial, study, cells)
            trial.figures |= drawn(study)
            trial.files |= lens_files(study, request.config)
            if isinstance(study, Measured | Recorded):
                trial.files |= rows_of(study, counting, but=IN_FULL)
    elif "subjects" in made:
        studies = list(map(study_of, trial.subject.value.each()))
        for each in studies:
            trial.origins |= origins_of(each)
            trial.chosen |= chosen_of(each)
            if request.config.option.claims_report:
                _show_images(trial, each, cells, f", {each.label}")
        trial.origins |= origins_together(trial.label, studies)


def _show_images(trial: Trial, study: Study, cells: Cells, of: str = "") -> None:
    """Put the images behind a verdict into the report; `of`: which of several models' they are."""
    decided_by = trial.verdicts[-1].decided_by if trial.verdicts else ""
    behind = Behind.of(study, cells, trial.claim.subjects.get("asks", ()), decided_by)
    trial.cases += [replace(each, setting=each.setting + of) for each in behind.cases]
    trial.compared += behind.compared


def drawn(study: Study) -> dict[str, Figure]:
    """The figures of a study; none where nothing can draw."""
    if not find_spec("matplotlib"):
        return {}
    from claims.neo2025.figures import figures_of

    return figures_of(study)


def lens_files(study: Study, config: pytest.Config) -> dict[str, str]:
    """Pages on which to look around in what the lens shows, where a report asks for them and it was
    measured; of a run the first test that can has them, as they are large."""
    option, given = config.option, config.stash.setdefault(LOOKED_AT, set())
    most = option.vlm_lens_page
    if not most or "lens" not in study.made or study.label in given:
        return {}
    assert isinstance(study, Measured | Recorded)
    given.add(study.label)
    found = [each for each in study.in_full if each.rows][:most]
    notes = [STAND_IN] if study.name == SHIPPED else []
    return lens_pages.files(study.label, study.data, found, study.picture, notes)
