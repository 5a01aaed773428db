"""The pytest plugin: tests of claims, each held against the subjects that the nearest conftest
names.

It is imported in every pytest run of an environment, so that it imports no rule before a claim is
collected or reported.
"""

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from claimlib.errors import ClaimError, ClaimRefuted, ClaimUndecided, ClaimWarning

if TYPE_CHECKING:
    from claimlib.claims import Claim, Subject, Trial

Refutations = Mapping[tuple[str, str], str]
# By claim, what a report says of each of its subjects where that has no verdict.
KNOWN = pytest.StashKey[dict[tuple[Path, str], dict[str, str]]]()
LOADED = pytest.StashKey["dict[Path, tuple[dict[str, Claim], Refutations]]"]()
TESTED = pytest.StashKey[dict[tuple[Path, str], str]]()
POSITION = pytest.StashKey[int]()
FOUND = pytest.StashKey["Found"]()
STARTED = pytest.StashKey[datetime]()
# Of a test, for the report of its end, which travels between processes.
ROWS = pytest.StashKey[list[dict[str, Any]]]()
SHOWN = pytest.StashKey[dict[str, Any]]()
HANDED = pytest.StashKey[dict[tuple[str, str], Any]]()  # what this process has shown so far
ONCE = ("pages", "figures", "files")
NO_CLAIM = "asks for trial but tests no claim: mark it with @pytest.mark.claim(id)"
NO_TRIAL = "tests a claim but does not ask for the fixture trial, to which it hands its verdict"
NO_VERDICT = "The test of a claim handed in no verdict: end it with trial.check(verdict)."


class Hooks:
    """What the conftest of a paper may implement."""

    @pytest.hookspec(firstresult=True)
    def pytest_claim_subjects(
        self, config: pytest.Config, claim: "Claim"
    ) -> "list[Subject] | None":
        """What a claim is held against; without an answer it is one subject, "here".

        The conftest that is nearest to the test answers first. Subjects with `asked=False` are not
        run; a claim that has no other is deselected.
        """


class Found:
    """Verdicts of a run and what is shown beside them, gathered where they are reported (with
    pytest-xdist: from all workers)."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.shown: list[dict[str, Any]] = []
        self.broken: list[dict[str, Any]] = []
        self.told: list[str] = []  # lines of the terminal's summary
        self.error = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self.rows += getattr(report, "claim_rows", [])
            self.shown += filter(None, [getattr(report, "claim_shown", None)])
        self.broken += filter(None, [getattr(report, "claim_broken", None)])


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("claims", "claims and their verdicts")
    group.addoption(
        "--claims-strict",
        action="store_true",
        help="an undecided claim fails, and so does a known refutation of no subject",
    )
    group.addoption(
        "--claims-report",
        type=Path,
        metavar="DIR",
        help="write verdicts and result pages there: index.html, Markdown, and verdicts.json",
    )
    group.addoption(
        "--claims-refutations",
        type=Path,
        metavar="FILE",
        help="refutations that are known of subjects of your own, as in known_refutations.toml",
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(Hooks)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "claim(id): tests the claim of this id in claims.toml")
    config.stash[LOADED], config.stash[TESTED], config.stash[FOUND] = {}, {}, Found()
    config.stash[KNOWN], config.stash[HANDED] = {}, {}
    config.stash[STARTED] = datetime.now(UTC)
    config.pluginmanager.register(config.stash[FOUND], "claimlib-found")
    folder = config.option.claims_report
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(
            f"The report could not be written to {str(folder)!r}: {error}. Choose a folder in "
            "which you may write."
        ) from error


@pytest.hookimpl(tryfirst=True)  # so that a subject's label stands first in a test's id
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked = metafunc.definition.get_closest_marker("claim") is not None
    if marked != ("trial" in metafunc.fixturenames):
        told = NO_TRIAL if marked else NO_CLAIM
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid} {told}.")
    if marked:
        try:
            params = _params(metafunc.definition)
        except Exception as error:
            if not _is_told(error):
                raise
            raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from error
        metafunc.parametrize("claim_subject", params, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out claims that are held against nothing here, and let those on one subject follow each
    other, so that what it needs is made once."""
    for item in items:
        if _is_claim(item) and "claim_subject" not in _params_of(item):
            raise pytest.UsageError(f"{item.nodeid} {NO_TRIAL}.")
    left_out = [item for item in items if _is_claim(item) and subject_of(item) is None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    places = [place for place, item in enumerate(items) if _is_claim(item)]
    for place, item in zip(places, _by_subject([items[place] for place in places]), strict=True):
        items[place] = item
        item.stash[POSITION] = place


@pytest.fixture(scope="session")
def claim_subject(request: pytest.FixtureRequest) -> "Subject":
    """What the claim of this test is held against."""
    return request.param


@pytest.fixture
def trial(request: pytest.FixtureRequest, claim_subject: "Subject") -> "Iterator[Trial]":
    """The claim of this test on its subject, to hand the verdict to."""
    from claimlib.claims import Trial
    from claimlib.report import shown

    node = request.node
    trial = Trial(claim_of(node), claim_subject)
    yield trial
    _hand_over(node, trial)
    told = shown(trial, node.stash[POSITION])
    node.stash[SHOWN] = _not_yet(told, node.config.stash[HANDED])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    try:
        return (yield)
    except Exception as error:
        if _is_claim(item) and _is_lacking(error):
            _leave_out(item, str(error))
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    try:
        result = yield
    except Exception as error:
        if _is_claim(item) and _is_lacking(error):
            item.funcargs["trial"].leave_out(str(error))  # pyright: ignore
        raise
    if _is_claim(item):
        trial: Trial = item.funcargs["trial"]  # pyright: ignore
        if not trial.verdicts:
            pytest.fail(NO_VERDICT, pytrace=False)
        trial.end()  # a test that swallows its verdict passes no claim
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Findings and bad input speak for themselves, without a traceback; undecided is neither passed
    nor failed."""
    report = yield
    if report.when == "teardown":
        report.claim_rows = item.stash.get(ROWS, [])
        report.claim_shown = item.stash.get(SHOWN, None)
    error = call.excinfo.value if call.excinfo else None
    if error is None or not _is_claim(item):
        return report
    if isinstance(error, ClaimUndecided):
        _report_undecided(item, report, error)
    elif isinstance(error, ClaimRefuted):
        report.longrepr = str(error)
    else:
        report.claim_broken = _broken(item, error)
        if _is_told(error):
            report.longrepr = str(error)
    return report


def pytest_report_teststatus(report: pytest.TestReport):
    if getattr(report, "undecided", False):
        return "undecided", "?", ("UNDECIDED", {"yellow": True})
    return None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    """Make the report, before the terminal's summary: one that cannot be made is an error of the
    run."""
    config = session.config
    found = config.stash[FOUND]
    if not found.rows or hasattr(config, "workerinput"):  # of pytest-xdist, which gathers them
        return
    from claimlib.report import lines, write

    folder = config.option.claims_report
    try:
        _tell_the_job(found.rows)
        found.told = list(lines(found.rows, full=config.option.verbose > 0))
        if folder and exitstatus == pytest.ExitCode.INTERRUPTED:
            found.told.append(f"\nreport: none, the run was interrupted; {folder} is as it was")
        elif folder:
            write(folder, found.rows, found.shown, found.broken, run_of(config))
            found.told.append(f"\nreport: {_page_of(folder)}")
    except ClaimError as error:
        found.error = str(error)
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def run_of(config: pytest.Config) -> dict[str, Any]:
    """What is known of a run of pytest: an id of its own, when it began, how long it has taken, and
    its command."""
    started = config.stash[STARTED]
    return {
        "id": str(uuid4()),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 2),
        "command": shlex.join(["pytest", *config.invocation_params.args]),
    }


def _page_of(folder: Path) -> str:
    """What a person opens of a report, or what to install for it."""
    from claimlib.report import TO_DRAW, lacking

    return f"{folder} (for index.html: {TO_DRAW})" if lacking() else f"{folder / 'index.html'}"


def _tell_the_job(rows: list[dict[str, Any]]) -> None:
    """Append the table of verdicts to the summary of a job of GitHub's, where this is one."""
    from claimlib.report import verdict_page

    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with open(file, "a", encoding="utf-8") as summary:
            summary.write(f"# Verdicts\n\n{verdict_page(rows)}\n")
    except OSError as error:
        raise ClaimError(
            f"The verdicts could not be appended to {file!r} (GITHUB_STEP_SUMMARY): {error}. Let "
            "it name a file that can be written, or nothing."
        ) from error


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash[FOUND]
    if not found.told and not found.error:
        return
    terminalreporter.section("verdicts")
    for line in found.told:
        terminalreporter.line(line)
    if found.error:
        terminalreporter.line(f"\nERROR: {found.error}", red=True)


def claim_of(node: pytest.Item) -> "Claim":
    """The claim that a test is marked with, from the nearest claims.toml above it.

    **Raises:** `ClaimError` where there is no such file or claim.
    """
    marker = node.get_closest_marker("claim")
    assert marker is not None
    if len(marker.args) != 1 or marker.kwargs:
        raise ClaimError("the mark claim takes one id: @pytest.mark.claim(id).")
    claims, _ = _loaded(node)
    if marker.args[0] not in claims:
        raise ClaimError(
            f"claims.toml has no claim {marker.args[0]!r}. It has {', '.join(claims) or 'none'}."
        )
    return claims[marker.args[0]]


def subject_of(item: pytest.Item) -> "Subject | None":
    """What a test's claim is held against; None for one that is held against nothing here."""
    return _params_of(item).get("claim_subject")


def _by_subject(items: list[pytest.Item]) -> list[pytest.Item]:
    """Tests of claims, those on one subject together, otherwise as they were."""
    first: dict[str, int] = {}
    keys = {}
    for place, item in enumerate(items):
        subject = subject_of(item)
        assert subject is not None
        keys[item] = subject.order, first.setdefault(subject.label, place)
    return sorted(items, key=keys.__getitem__)


def _params_of(item: pytest.Item) -> Mapping[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec else {}


def _is_claim(item: pytest.Item) -> bool:
    return item.get_closest_marker("claim") is not None


def _is_told(error: BaseException) -> bool:
    """Whether an error's message is enough: bad input of ours, or of whoever says so by `told`."""
    return getattr(type(error), "told", False) or isinstance(error, pytest.UsageError)


def _is_lacking(error: BaseException) -> bool:
    """Whether what a claim needs is not there to be measured: whoever raises that says so by
    `lacking`."""
    return getattr(type(error), "lacking", False)


def _leave_out(item: pytest.Item, why: str) -> None:
    """End a test that has not begun, and so has no trial.

    **Raises:** `ClaimUndecided` with the reason.
    """
    from claimlib.claims import Trial

    subject = subject_of(item)
    assert subject is not None
    trial = Trial(claim_of(item), subject)
    try:
        trial.leave_out(why)
    finally:
        _hand_over(item, trial)


def _hand_over(item: pytest.Item, trial: "Trial") -> None:
    """The verdicts of a trial, for the report."""
    from claimlib.report import row

    known = item.config.stash[KNOWN][trial.claim.paper.file, trial.claim.id]
    found = [row(trial, verdict, item.stash[POSITION], known) for verdict in trial.verdicts]
    item.stash.setdefault(ROWS, []).extend(found)  # of a trial that never began, and this one
    told = [json.dumps(each["data"], allow_nan=False) for each in found]
    item.user_properties += [("claimlib.verdict", each) for each in told]


def _broken(item: pytest.Item, error: BaseException) -> dict[str, Any]:
    """What a report says of a claim whose test ended without a verdict."""
    from claimlib.claims import Trial
    from claimlib.data import broken

    subject = subject_of(item)
    assert subject is not None
    return broken(Trial(claim_of(item), subject), error)


def _not_yet(told: dict[str, Any], handed: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """What a trial shows, without what others have shown: tests of one subject share their
    pages."""
    for kind in ONCE:
        new = {name: each for name, each in told[kind].items() if handed.get((kind, name)) != each}
        handed |= {(kind, name): each for name, each in new.items()}
        told[kind] = new
    return told


def _report_undecided(item: pytest.Item, report: Any, error: ClaimUndecided) -> None:
    if item.config.option.claims_strict:
        report.outcome = "failed"
        report.longrepr = f"{error}\n  --claims-strict makes an undecided claim fail"
    else:
        path, line, _ = item.location
        report.outcome, report.longrepr = "skipped", (path, (line or 0) + 1, str(error))
        report.undecided = True


def _loaded(node: pytest.Item) -> "tuple[dict[str, Claim], Refutations]":
    """The claims and known refutations of the nearest claims.toml above a test."""
    from claimlib.claims import CLAIMS, REFUTATIONS, load_claims, load_refutations

    for folder in node.path.parents:
        if (folder / CLAIMS).is_file():
            break
    else:
        raise ClaimError(f"there is no {CLAIMS} beside this test, nor in a folder above it.")
    loaded = node.config.stash[LOADED]
    if folder not in loaded:
        claims = load_claims(folder / CLAIMS)
        known = load_refutations(claims, folder / REFUTATIONS)
        if own := node.config.option.claims_refutations:
            if not own.is_file():
                raise ClaimError(f"--claims-refutations {str(own)!r}: there is no such file.")
            known |= load_refutations(claims, own)
        loaded[folder] = claims, known
    return loaded[folder]


def _params(definition: pytest.Function) -> list[Any]:
    """The subjects of a test as parameters."""
    claim = claim_of(definition)
    _refuse_a_second_test(definition, claim)
    subjects = [
        replace(each, asked=each.asked and each.label not in claim.not_on)
        for each in _subjects(definition, claim)
    ]
    known = {each.label: each.missing for each in subjects if each.label not in claim.not_on}
    definition.config.stash[KNOWN][claim.paper.file, claim.id] = known
    reasons = _reasons(definition, claim, [_known_as(subject) for subject in subjects])
    labels = {each.label: _known_as(each) for each in subjects}
    asked = [
        _param(each, reasons.get(_known_as(each)), reasons.get(labels.get(each.beside, "")))
        for each in subjects
        if each.asked
    ]
    return asked or [pytest.param(None, id="nothing")]


def _param(subject: "Subject", own: str | None, beside: str | None) -> Any:
    """A subject as a parameter; a known refutation is expected to fail, by `ClaimRefuted` and
    nothing else. One that is known of the subject beside which it stands may also not show."""
    marks = [*subject.marks]
    if refuted := own or beside:
        strict = own is not None
        marks.append(pytest.mark.xfail(raises=ClaimRefuted, strict=strict, reason=refuted))
    return pytest.param(subject, id=subject.label, marks=marks)


def _subjects(definition: pytest.Function, claim: "Claim") -> "list[Subject]":
    """What the nearest conftest answers that a claim is held against."""
    from claimlib.claims import Subject

    answer = definition.ihook.pytest_claim_subjects(config=definition.config, claim=claim)
    if answer is None:
        return [Subject("here")]
    if not isinstance(answer, list) or not all(isinstance(each, Subject) for each in answer):
        raise ClaimError(f"pytest_claim_subjects answered {answer!r}; expected a list of Subject.")
    labels = [subject.label for subject in answer]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise ClaimError(
            f"pytest_claim_subjects answered with two subjects of the label {twice[0]!r}. Give "
            "each its own: it is the name of a column in the report."
        )
    return answer


def _known_as(subject: "Subject") -> str:
    return subject.known_as or subject.label


def _reasons(definition: pytest.Function, claim: "Claim", labels: list[str]) -> dict[str, str]:
    """The known refutations of a claim by label, and a warning of those that fit no subject."""
    _, refutations = _loaded(definition)
    reasons = {label: reason for (id_, label), reason in refutations.items() if id_ == claim.id}
    for orphan in sorted(reasons.keys() - set(labels)):
        _warn_of_an_orphan(definition, claim, orphan, labels)
    return reasons


def _refuse_a_second_test(definition: pytest.Function, claim: "Claim") -> None:
    tested = definition.config.stash[TESTED]
    first = tested.setdefault((claim.paper.file, claim.id), definition.nodeid)
    if first != definition.nodeid:
        raise ClaimError(
            f"{first} tests the claim {claim.id!r} already. Put both into one test, as parts of "
            "in_every_setting, or give this one a claim of its own."
        )


def _warn_of_an_orphan(
    definition: pytest.Function, claim: "Claim", orphan: str, labels: list[str]
) -> None:
    told = (
        f"known_refutations.toml, [{claim.id}]: {orphan!r} is no subject of this claim, which has "
        f"{', '.join(labels) or 'none'}. Take the entry out, or give it a label of these."
    )
    if definition.config.option.claims_strict:
        raise ClaimError(told)
    try:
        definition.warn(ClaimWarning(told))
    except ClaimWarning:  # where warnings are errors
        raise ClaimError(told) from None
