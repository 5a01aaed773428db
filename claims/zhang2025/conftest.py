"""What the paper's claims are held against: their own models, those that --vlm-model names, or
recorded rows; a page and a figure of each go into the report."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

import pytest

from claimlib import Claim, Subject, Trial
from claimlib.plugin import subject_of
from claimlib.report import origins_section
from claims.zhang2025 import pages, sample
from claims.zhang2025.study import PROTOCOL, Flow, Measured, Recorded
from fixtures.models import SHIPPED, STAND_IN, Models, label_of
from fixtures.origins import origins_of
from fixtures.plugin import RECORDING, handle_of
from fixtures.shards import SHARD, Gathering
from vlmlib import LackingError
from vlmlib.study import Bench, MeanOf, Recording


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    """The models, or recorded rows of them; beside these the paper's own, which are not asked."""
    named, recording = config.option.vlm_model, config.stash.get(RECORDING, None)
    if recording:
        asked = _recorded(recording, [label_of(model, named) for model in named or []])
    else:
        models = named or claim.subjects["models"]
        asked = [_subject(label_of(each, models), each, each) for each in models]
    labels = {each.label for each in asked}
    others = [_subject(each, each, each) for each in claim.subjects["models"] if each not in labels]
    return [*asked, *(replace(each, asked=False) for each in others)]


def _recorded(recording: Recording, wanted: Sequence[str]) -> list[Subject]:
    """What was recorded, by the model; with the data set, where there are several."""
    ours = [each for each in recording.subjects if each[2] == PROTOCOL]
    several = len({data for _, data, _ in ours}) > 1
    return [
        _subject(f"{model}, {f'{data}, ' * several}recorded", (model, data, protocol), model)
        for model, data, protocol in ours
        if not wanted or model in wanted
    ]


def _subject(label: str, value: object, model: str) -> Subject:
    shipped = model == SHIPPED
    marks = () if shipped or isinstance(value, tuple) else (pytest.mark.gpu,)
    note = STAND_IN if shipped else ""
    return Subject(label, value, note=note, toy=shipped, known_as=model, marks=marks)


@pytest.hookimpl(trylast=True)  # when it is known which claims are held against what
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a shard the claims on one model are one item, which measures (see `Gathering`); none where
    there are no questions for it."""
    if config.stash[SHARD] is None:
        return
    ours = {item: subject_of(item) for item in items if "flow" in getattr(item, "fixturenames", ())}
    first = {subject: item for item, subject in reversed(ours.items()) if subject}
    items[:] = [item for item in items if item not in ours]
    for subject, item in first.items():
        if subject.value == SHIPPED or config.option.vlm_gqa:
            items.append(Gathering.of(item, _gathering(subject)))


def _gathering(subject: Subject) -> Callable[..., None]:
    def gather(flow_of: Callable[..., Measured]) -> None:
        flow_of(subject.value, subject.label).gather()

    return gather


@pytest.fixture(scope="session")
def flow_of(request: pytest.FixtureRequest, models: Models):
    """Makes what answers for a model, once; nothing is loaded before a row is missing."""
    config, option = request.config, request.config.option

    @cache
    def of(value: str | tuple[str, str, str], label: str) -> Flow:
        if isinstance(value, tuple):
            return Recorded(config.stash[RECORDING], value, label)
        if option.vlm_ray is not None:
            raise LackingError(
                "These claims are measured by one process, and not by a cluster. Run them without "
                "--vlm-ray."
            )
        store = request.getfixturevalue("store")
        questions = sample.questions_of(value, option, store)
        mean = MeanOf(pictures=questions.pictures[:1])  # a bench has one; no arm takes it
        handle = handle_of(value, option, models)
        bench = Bench(handle, store, mean, questions.data, PROTOCOL, label=label)
        return Measured(bench, questions, label)

    return of


@pytest.fixture
def flow(claim_subject: Subject, flow_of) -> Flow:
    """The model of this test, or its recorded rows."""
    return flow_of(claim_subject.value, claim_subject.label)


@pytest.fixture
def trial(request: pytest.FixtureRequest, trial: Trial) -> Iterator[Trial]:
    """The claim of this test; what was measured for it goes into the report."""
    yield trial
    found = request.node.funcargs.get("flow")
    if found and "tables" in vars(found):
        # beside what the model's rows of another paper come from
        trial.origins |= {f"{found.label}, {PROTOCOL}": each for each in origins_of(found).values()}
        how = origins_section(trial.origins)
        trial.pages |= {f"{found.label}.flow": pages.page(found) + how}
        trial.figures |= pages.figures(found)
