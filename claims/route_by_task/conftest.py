"""What these claims are held against: their own models, those that --vlm-model names, or recorded
rows; a page and a figure of each go into the report."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from claimlib import Claim, Subject, Trial
from claimlib.report import origins_section
from claims.route_by_task import pages, sample
from claims.route_by_task.study import PROTOCOL, Routes
from fixtures.models import Models
from fixtures.origins import origins_of
from fixtures.plugin import RECORDING, handle_of
from fixtures.rows import rows_of
from fixtures.subjects import gather_in_shards, subjects_of
from vlmlib import LackingError
from vlmlib.study import Bench, MeanOf

Of = str | tuple[str, str, str]  # a model, or a recording's (model, data, protocol)


def pytest_claim_subjects(config: pytest.Config, claim: Claim) -> list[Subject]:
    return subjects_of(config, claim, PROTOCOL)


@pytest.hookimpl(trylast=True)  # when it is known which claims are held against what
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a shard the claims on one model are one item, which measures."""
    gather_in_shards(config, items, "routes")


@pytest.fixture(scope="session")
def routes_of(request: pytest.FixtureRequest, models: Models) -> Callable[[Of, str], Routes]:
    """Makes what answers for a model, once; nothing is loaded before a row is missing."""
    config, option = request.config, request.config.option

    @cache
    def of(value: Of, label: str) -> Routes:
        if isinstance(value, tuple):
            return Routes.recorded(config.stash[RECORDING], value, label)
        if option.vlm_ray is not None:
            raise LackingError(
                "These claims are measured by one process, and not by a cluster. Run them without "
                "--vlm-ray."
            )
        store = request.getfixturevalue("store")
        asked = sample.asked_of(value, option, store)
        mean = MeanOf(pictures=asked.pictures)  # a bench has one; no arm takes it
        handle = handle_of(value, option, models)
        bench = Bench(handle, store, mean, asked.data, PROTOCOL, label=label)
        return Routes.measured(bench, asked, label)

    return of


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
        # beside what the model's rows of the papers come from
        trial.origins |= {f"{found.label}, {PROTOCOL}": each for each in origins_of(found).values()}
        how = origins_section(trial.origins)
        trial.pages |= {f"{found.label}.routes": pages.page(found) + how}
        trial.chosen |= {f"{found.label}, {PROTOCOL}": pages.chosen_of(found)}
        if request.config.option.claims_report:
            trial.figures |= pages.figures(found)
            trial.files |= rows_of(found, pages.which_count, of="routes")
