"""What the paper's claims are held against: their own models, those that --vlm-model names, or
recorded rows; a page and a figure of each go into the report."""

from collections.abc import Iterator
from functools import cache

import pytest

from claimlib import Claim, Subject, Trial
from claimlib.report import origins_section
from claims.zhang2025 import pages, sample
from claims.zhang2025.study import PROTOCOL, Flow, Measured, Recorded
from fixtures.models import SHIPPED, Models
from fixtures.origins import origins_of
from fixtures.plugin import RECORDING, handle_of
from fixtures.rows import rows_of
from fixtures.subjects import gather_in_shards, subjects_of
from vlmlib import LackingError
from vlmlib.study import Bench, MeanOf


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    return subjects_of(config, claim, PROTOCOL)


@pytest.hookimpl(trylast=True)  # when it is known which claims are held against what
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a shard the claims on one model are one item, which measures."""
    given = config.option.vlm_gqa is not None
    gather_in_shards(config, items, "flow", lambda model: model == SHIPPED or given)


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
        trial.chosen |= {f"{found.label}, {PROTOCOL}": pages.chosen_of(found)}
        if request.config.option.claims_report:
            trial.figures |= pages.figures(found)
            trial.files |= rows_of(found, pages.which_count, of="flow")
