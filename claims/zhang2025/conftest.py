"""What the paper's claims are held against: their own models, those that --vlm-model names, or
recorded rows; a page and a figure of each go into the report."""

from collections.abc import Callable, Iterator

import pytest

from claimlib import Claim, Subject, Trial
from claims.zhang2025 import pages, sample
from claims.zhang2025.study import PROTOCOL, Flow, Measured, Recorded
from fixtures.models import SHIPPED, Models
from fixtures.reports import show
from fixtures.subjects import Of, answering, gather_in_shards, subjects_of


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    return subjects_of(config, claim, PROTOCOL)


@pytest.hookimpl(trylast=True)  # when it is known which claims are held against what
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a shard the claims on one model are one item, which measures."""
    given = config.option.vlm_gqa is not None
    gather_in_shards(config, items, "flow", lambda model: model == SHIPPED or given)


@pytest.fixture(scope="session")
def flow_of(request: pytest.FixtureRequest, models: Models) -> Callable[[Of, str], Flow]:
    """Makes what answers for a model, once."""
    return answering(request, models, PROTOCOL, sample.questions_of, Measured, Recorded)


@pytest.fixture
def flow(claim_subject: Subject, flow_of: Callable[[Of, str], Flow]) -> Flow:
    """The model of this test, or its recorded rows."""
    return flow_of(claim_subject.value, claim_subject.label)


@pytest.fixture
def trial(request: pytest.FixtureRequest, trial: Trial) -> Iterator[Trial]:
    """The claim of this test; what was measured for it goes into the report."""
    yield trial
    found = request.node.funcargs.get("flow")
    if found and "tables" in vars(found):
        show(trial, found, PROTOCOL, pages, "flow", bool(request.config.option.claims_report))
