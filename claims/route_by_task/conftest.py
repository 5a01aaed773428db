"""What these claims are held against: their own models, those that --vlm-model names, or recorded
rows; a page and a figure of each go into the report."""

from collections.abc import Callable, Iterator

import pytest

from claimlib import Claim, Subject, Trial
from claims.route_by_task import pages, sample
from claims.route_by_task.study import PROTOCOL, Routes
from fixtures.models import Models
from fixtures.reports import show
from fixtures.subjects import Of, answering, gather_in_shards, subjects_of


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    return subjects_of(config, claim, PROTOCOL)


@pytest.hookimpl(trylast=True)  # when it is known which claims are held against what
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a shard the claims on one model are one item, which measures."""
    gather_in_shards(config, items, "routes")


@pytest.fixture(scope="session")
def routes_of(request: pytest.FixtureRequest, models: Models) -> Callable[[Of, str], Routes]:
    """Makes what answers for a model, once."""
    return answering(request, models, PROTOCOL, sample.asked_of, Routes.measured, Routes.recorded)


@pytest.fixture
def routes(claim_subject: Subject, routes_of: Callable[[Of, str], Routes]) -> Routes:
    """The model of this test, or its recorded rows."""
    return routes_of(claim_subject.value, claim_subject.label)


@pytest.fixture
def trial(request: pytest.FixtureRequest, trial: Trial) -> Iterator[Trial]:
    """The claim of this test; what was measured for it goes into the report."""
    yield trial
    found = request.node.funcargs.get("routes")
    if found and "tables" in vars(found):
        show(trial, found, PROTOCOL, pages, "routes", bool(request.config.option.claims_report))
