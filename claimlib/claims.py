"""Claims as data: what a claims.toml says, what a claim is held against, and its trial."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claimlib.cases import Case
from claimlib.errors import ClaimError, ClaimRefuted, ClaimUndecided
from claimlib.figures import Figure
from claimlib.kinds import KINDS, LEVEL, Bound, Kind
from claimlib.verdicts import Outcome, Verdict, left_out

CLAIMS = "claims.toml"
REFUTATIONS = "known_refutations.toml"
TEXTS = ("statement", "section", "source", "kind", "bound_source", "control")
TABLES = ("parameters", "subjects", "not_on")


@dataclass(frozen=True)
class Paper:
    """Whose claims a claims.toml holds: its table `[paper]`. `file`: that claims.toml."""

    title: str
    url: str
    version: str
    file: Path


@dataclass(frozen=True)
class Claim:
    """One empirical claim: an entry of a claims.toml.

    - `kind`, `level`, `bounds`: which rule decides it (see `kinds.KINDS`), at which level (None for
      what is counted and not sampled), and the numbers that the rule takes; `bound_source`: where
      those come from; `control`: what it stands beside, in words.
    - `parameters`: what its test needs beside the bounds; `subjects`: what it is held against, as
      the paper's own conftest.py reads it.
    - `not_on`: by a subject's label, why it is not run on that.
    """

    id: str
    statement: str
    section: str
    source: str
    kind: str
    bound_source: str
    control: str
    paper: Paper
    level: float | None = None
    bounds: Mapping[str, float | int] = field(default_factory=dict, hash=False)
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    subjects: Mapping[str, Any] = field(default_factory=dict, hash=False)
    not_on: Mapping[str, str] = field(default_factory=dict, hash=False)

    def rule(self, *samples: Any, **more: Any) -> Verdict:
        """The verdict of the kind's own rule, with this claim's own level and bounds (example:
        `load_claims`).

        **Arguments:** the samples that the rule of this kind takes; what it takes beside them and
        claims.toml does not hold, such as a `unit`.

        **Raises:** `ClaimError` as the rule does.
        """
        level = {} if self.level is None else {"level": self.level}
        return KINDS[self.kind].rule(*samples, **self.bounds, **level, **more)


@dataclass(frozen=True)
class Subject:
    """What a claim is held against: a model, a data set, a printed table.

    - `label`: its name in test ids, known refutations and reports; `value`: whatever the paper's
      fixtures make of it.
    - `source`: where its figures come from, told in findings; `note`: a caveat that every report
      prints once.
    - `known_as`: the label under which its known refutations stand, if not its own.
    - `beside`: the label of another subject; reports list the verdicts that differ from its.
    - `group`: under which heading its verdicts stand in reports; `missing`: what a report says of
      a claim on it that has none. On what is no subject of a claim, that is not applicable.
    - `toy`: whether it is a stand-in, of which no verdict says anything of the paper.
    - `asked`: False for one that exists, but is not run in this session.
    - `marks`: of pytest, for its tests; `order`: those of a higher one run later.
    """

    label: str
    value: Any = None
    source: str = ""
    note: str = ""
    known_as: str = ""
    beside: str = ""
    group: str = ""
    missing: str = "not run"
    toy: bool = False
    asked: bool = True
    marks: tuple[Any, ...] = field(default=(), hash=False)
    order: int = 0


@dataclass
class Trial:
    """A claim on a subject: the place where a test hands in its verdict.

    `pages`: result pages that go into the report beside the verdicts, as Markdown by name;
    `figures`: pictures with their numbers, by name; `files`: texts that go there as they are, by
    their paths in the folder; `cases`: images behind the verdict, for whoever doubts it, of some of
    the arms that were `compared`.

    `origins`: by subject where its results come from, which reports tell: a list of
    `{"table": name of a measurement, "images": how many, "facts": {...}, "aside": {...}}` of plain
    texts. What differs in `facts` is called out; `aside` is only told. A fact called "data" is the
    name of a data set, which the page's headline tells.
    """

    claim: Claim
    subject: Subject
    verdicts: list[Verdict] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    files: dict[str, str | bytes] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    compared: int = 0
    chosen: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    origins: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The subject's name in reports."""
        return self.subject.label

    def check(self, verdict: Verdict) -> None:
        """End the test with this verdict.

        **Raises:** `ClaimRefuted` or `ClaimUndecided`, with the whole finding as the message.
        """
        self.verdicts.append(verdict)
        self.end()

    def leave_out(self, why: str) -> None:
        """End the test without a measurement.

        **Raises:** `ClaimUndecided` with the reason.
        """
        self.check(left_out(self.claim.kind, why))

    def end(self) -> None:
        """The same of all verdicts that were handed in, whatever became of the first one's error.

        **Raises:** as `check` does.
        """
        for verdict in self.verdicts:
            if verdict.outcome == Outcome.REFUTED:
                raise ClaimRefuted(self._finding(verdict))
        for verdict in self.verdicts:
            if verdict.outcome == Outcome.UNDECIDED:
                raise ClaimUndecided(self._finding(verdict))

    def _finding(self, verdict: Verdict) -> str:
        claim = self.claim
        lines = [
            f"{claim.id} on {self.label}: {verdict}",
            *(f"    {name}: {part}" for name, part in verdict.parts),
            f"  claimed: {claim.statement} (section {claim.section}: {claim.source})",
            f"  bound: {claim.bound_source}",
        ]
        return "\n".join([*lines, f"  {self.subject.source}"] if self.subject.source else lines)


def load_claims(file: Path) -> dict[str, Claim]:
    """Read and validate a claims.toml.

    **Returns:** its claims by id, in their order.

    **Raises:** `ClaimError` that names the entry and what is wrong with it.

    !!! example

        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "claims.toml"
        >>> _ = file.write_text('''
        ... [paper]
        ... title = "On coins"
        ... url = "https://example.org/coins"
        ... version = "2"
        ...
        ... [mostly-heads]
        ... statement = "The coin falls on heads more often than not."
        ... section = "1"
        ... source = "table 1"
        ... kind = "exceeds"
        ... threshold = 0.5
        ... level = 0.95
        ... bound_source = "the quotation"
        ... control = "none"
        ... ''')
        >>> load_claims(file)["mostly-heads"].rule(np.arange(100) < 70).outcome
        <Outcome.SUPPORTED: 'supported'>
    """
    content = _read(file)
    if not content.keys() - {"paper"}:
        raise ClaimError(
            f"{str(file)!r} has no claim. Write one as a table of its own, [its-id], with its "
            f"{', '.join(TEXTS)}; [paper] says whose claims they are."
        )
    for name in content:
        if not name.strip() or not name.isprintable():
            raise ClaimError(
                f"{file.name}, [{name!r}]: is no id of a claim. Expected some text in one line."
            )
    paper = _paper(file, content.pop("paper", None))
    return {
        name: _claim(f"{file.name}, [{name}]", name, entry, paper)
        for name, entry in content.items()
    }


def load_refutations(claims: Mapping[str, Claim], file: Path) -> dict[tuple[str, str], str]:
    """Known refutations with their reasons, by claim and label: known_refutations.toml.

    **Returns:** none where there is no such file.

    **Raises:** `ClaimError` for a claim that does not exist, or a reason that is none.

    !!! example

        >>> load_refutations({}, Path("no-such-folder") / "known_refutations.toml")
        {}
    """
    reasons = {}
    for name, entry in _read(file).items() if file.exists() else ():
        where = f"{file.name}, [{name}]"
        if name not in claims:
            raise ClaimError(f"{where}: {CLAIMS} has no claim of this id.")
        if not isinstance(entry, dict):
            raise ClaimError(
                f'{where}: is {entry!r}; expected a table of "label" = "why the claim is refuted".'
            )
        for label, reason in entry.items():
            if not _is_text(reason):
                raise ClaimError(
                    f"{where}: the reason for {label!r} is {reason!r}; expected why the claim is "
                    "refuted."
                )
            reasons[name, label] = reason
    return reasons


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ClaimError(f"{str(file)!r} cannot be read as TOML: {error}.") from error


def _paper(file: Path, entry: Any) -> Paper:
    where = f"{file.name}, [paper]"
    if not isinstance(entry, dict):
        raise ClaimError(f"{where}: is {entry!r}; expected a table with title, url and version.")
    _check_keys(where, entry, required=("title", "url", "version"))
    for key, value in entry.items():
        _check_text(where, key, value)
    return Paper(file=file, **entry)


def _claim(where: str, name: str, entry: Any, paper: Paper) -> Claim:
    kind = entry.get("kind") if isinstance(entry, dict) else entry
    if not isinstance(kind, str) or kind not in KINDS:
        raise ClaimError(f"{where}: kind is {kind!r}; expected one of {', '.join(KINDS)}.")
    numbers = _numbers(KINDS[kind])
    _check_keys(where, entry, required=[*TEXTS, *numbers], optional=TABLES)
    for key in TEXTS:
        _check_text(where, key, entry[key])
    for key, bound in numbers.items():
        if not bound.holds(entry[key]):
            raise ClaimError(f"{where}: {key} is {entry[key]!r}; expected {bound.expected}.")
    if "low" in numbers and entry["low"] >= entry["high"]:
        raise ClaimError(
            f"{where}: low is {entry['low']!r}; expected less than high, {entry['high']!r}."
        )
    tables = {key: _table(where, key, entry.get(key, {})) for key in TABLES}
    for label, reason in tables["not_on"].items():
        _check_text(where, f"not_on, {label!r}", reason)
    bounds = {key: entry[key] for key in KINDS[kind].bounds}
    fields: dict[str, Any] = {key: entry[key] for key in TEXTS} | tables
    return Claim(id=name, paper=paper, level=entry.get("level"), bounds=bounds, **fields)


def _numbers(kind: Kind) -> dict[str, Bound]:
    """What a claim of this kind has in numbers, and what each may be."""
    return dict(kind.bounds) | ({"level": LEVEL} if kind.sampled else {})


def _check_keys(
    where: str, entry: Mapping[str, Any], required: Iterable[str], optional: Iterable[str] = ()
) -> None:
    missing = [key for key in required if key not in entry]
    unknown = [key for key in entry if key not in {*required, *optional}]
    expected = f"expected {', '.join(required)}"
    if missing:
        raise ClaimError(f"{where}: key {missing[0]!r} is missing; {expected}.")
    if unknown:
        may = f"; it may have {', '.join(optional)}" if optional else ""
        raise ClaimError(f"{where}: key {unknown[0]!r} is unknown; {expected}{may}.")


def _check_text(where: str, key: str, value: Any) -> None:
    if not _is_text(value):
        raise ClaimError(f"{where}: {key} is {value!r}; expected some text.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _table(where: str, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ClaimError(f"{where}: {key} is {value!r}; expected a table.")
    return value
