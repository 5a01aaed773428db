"""What the paper's claims are held against: the shipped model, the paper's own models, or those
that --vlm-model names; and the paper's printed figures of them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from claimlib.claims import Claim, Subject, Trial
from claimlib.errors import ClaimError
from claimlib.plugin import claim_of
from claims.neo2025 import architectures, study
from claims.neo2025.pages import new_pages
from claims.neo2025.protocol import PROTOCOLS
from claims.neo2025.published import Printed, cells
from fixtures.models import MODELS, SHIPPED, SHIPPED_DATA, STAND_IN, Run, label_of
from fixtures.plugin import data_of, load, store_folder
from vlmlib.study.coco import LENS, CocoData
from vlmlib.study.store import Store

INFERRED = (
    "As published: verdicts from the paper's printed figures alone. It prints no sample sizes; "
    "they are inferred from the fractions (claims/neo2025/figures.toml says how)."
)
LISTS = ("models", "published", "architectures")


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    check_subjects(claim)
    named, protocols = config.option.vlm_model, config.option.vlm_protocol
    if "architectures" in claim.subjects:
        return [_architecture(model, named) for model in claim.subjects["architectures"]]
    asked = runs_of(claim, named, protocols)
    others = [run for run in runs_of(claim, None, list(PROTOCOLS)) if run not in asked]
    known = (dataclasses.replace(subject_of(run, config), asked=False) for run in others)
    return [*(subject_of(run, config) for run in asked), *known]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        table = claim_of(metafunc.definition).parameters["table"]
        chosen = dict.fromkeys((cell.task, cell.arm) for cell in cells() if cell.table == table)
        metafunc.parametrize("cell", list(chosen), ids=", ".join)


def check_subjects(claim: Claim) -> None:
    """**Raises:** `ClaimError` for an entry in `subjects` that means nothing here."""
    where = f"claims.toml, [{claim.id}], subjects"
    unknown = claim.subjects.keys() - {*LISTS, "models_only"}
    if unknown:
        raise ClaimError(f"{where}: key {min(unknown)!r} is unknown.")
    only = claim.subjects.get("models_only", True)
    if only is not True:
        raise ClaimError(f"{where}: models_only is {only!r}; expected true, or no such key.")
    if not claim.subjects.get("models") and not claim.subjects.get("architectures"):
        raise ClaimError(f"{where}: has neither models nor architectures; name what it speaks of.")
    for key in LISTS:
        names = claim.subjects.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ClaimError(f"{where}: {key} is {names!r}; expected a list of names.")
        for name in (part for each in names for part in each.split("+")):
            if name not in MODELS:
                raise ClaimError(f"{where}: model {name!r} is none of {', '.join(MODELS)}.")


def runs_of(claim: Claim, named: list[str] | None, protocols: list[str] | None) -> list[Run]:
    """What a claim is held against: the models named, or the shipped one, the published figures and
    its own models.

    A claim that means nothing on other models runs on its own alone.

    **Raises:** `ClaimError` for a protocol that there is not.
    """
    protocols = list(dict.fromkeys(protocols or ["text"]))
    for name in protocols:
        if name not in PROTOCOLS:
            raise ClaimError(f"--vlm-protocol {name}: expected one of {', '.join(PROTOCOLS)}.")
    own, published = claim.subjects["models"], claim.subjects.get("published", [])
    if claim.subjects.get("models_only"):
        models = [model for model in own if not named or set(model.split("+")) <= set(named)]
    else:
        models = [
            model for model in named or [SHIPPED, *own] if label_of(model) not in claim.not_on
        ]
    return [Run(model, published=True) for model in published if not named] + [
        Run(model, protocol) for model in models for protocol in protocols
    ]


def subject_of(run: Run, config: pytest.Config) -> Subject:
    """What a claim is held against, as reports and pytest are to know it; nothing is loaded."""
    if run.published:
        return Subject(run.label, run, "the paper's printed figures", INFERRED)
    shipped = run.model == SHIPPED
    return Subject(
        label=run.label,
        value=run,
        source=_source(run, config),
        note=STAND_IN if shipped else "",
        beside="" if run.protocol == "text" else Run(run.model).label,
        marks=() if shipped else (pytest.mark.gpu,),
        order=int("+" in run.model),  # last, when each model has had its turn
    )


def _architecture(model: str, named: list[str] | None) -> Subject:
    return Subject(
        label=model,
        value=Run(model),
        source="the architecture's published dimensions",
        asked=not named or model in named,
    )


def _source(run: Run, config: pytest.Config) -> str:
    folder = SHIPPED_DATA if run.model == SHIPPED else config.option.vlm_coco
    data = folder.name if folder else "no data set"
    return f"measured on {data}, seed {study.SEED}; rows: {store_folder(config) / 'rows.sqlite'}"


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest, claim_subject: Subject, store: Store) -> Any:
    """The model of this test on its data set, or the paper's figures of it."""
    return _made(claim_subject.value, request.config.option, store)


@pytest.fixture(scope="session")
def subjects(request: pytest.FixtureRequest, claim_subject: Subject, store: Store) -> Iterator[Any]:
    """The models of this test one after the other, each loaded when its turn comes."""
    return (_made(run, request.config.option, store) for run in claim_subject.value.each())


@pytest.fixture(scope="session")
def architecture(claim_subject: Subject) -> Any:
    """The model of this test without weights, from its published dimensions."""
    return architectures.build(claim_subject.value.model)


@pytest.fixture
def printed(claim_subject: Subject) -> Printed:
    """What the paper prints about the model of this test."""
    return Printed(claim_subject.value.model)


@pytest.fixture
def trial(request: pytest.FixtureRequest, trial: Trial) -> Iterator[Trial]:
    """The claim of this test; a page of each measurement that it is the first to make goes into the
    report."""
    yield trial
    subject = request.node.funcargs.get("subject")
    if isinstance(subject, study.Subject):
        trial.pages |= new_pages(subject)


def _made(run: Run, option: Any, store: Store) -> study.Subject | Printed:
    if run.published:
        return Printed(run.model)
    folder, limit = data_of(run.model, option)
    return study.Subject(
        label_of(run.model),
        load(run.model, option),
        CocoData(folder, option.vlm_questions, limit),
        CocoData(folder, limit=limit, purpose=LENS),
        store,
        PROTOCOLS[run.protocol],
        option.vlm_mean,
    )
