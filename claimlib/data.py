"""A run's verdicts as data that other tools read: verdicts.json, which verdicts.schema.json
describes."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from claimlib.claims import Claim, Paper, Trial, load_claims
from claimlib.errors import ClaimError
from claimlib.kinds import KINDS
from claimlib.markdown import one_line
from claimlib.verdicts import POINTS, Verdict

Row = Mapping[str, Any]
SCHEMA = Path(__file__).parent / "verdicts.schema.json"
FORMAT = "claimlib verdicts, 1"
# What boards of reproductions call it.
BOARD = {"supported": "verified", "refuted": "falsified", "undecided": "inconclusive"}
# Numbers from 0 to 1, and from -1 to 1, whatever reports print.
UNITS = {"%": "share", POINTS: "difference of shares"}
TOY = "toy"  # whatever came out, of a subject that is a stand-in
NOT_RUN = "not run"
NOT_APPLICABLE = "not applicable"
NOT_SELECTED = "its test was not selected, or is of other subjects"


def entry(trial: Trial, verdict: Verdict) -> dict[str, Any]:
    """A verdict with all that is known of it, as plain JSON.

    Shares, and differences of shares, are numbers from 0 to 1; what is not finite is null.

    !!! example

        >>> from claimlib import Subject, counted_above
        >>> from claimlib.claims import Paper
        >>> paper = Paper("On coins", "https://example.org", "1", Path("claims.toml"))
        >>> texts = ["heads", "More heads.", "1", "table 1", "exceeds", "the text", "none"]
        >>> trial = Trial(Claim(*texts, paper), Subject("here"))
        >>> told = entry(trial, counted_above(0.7, 0.5))
        >>> told["outcome"], told["board"], told["estimate"], told["unit"]
        ('supported', 'verified', 0.7, 'share')
    """
    claim, outcome = trial.claim, str(verdict.outcome)
    return {
        "claim": claim.id,
        "section": claim.section,
        "statement": claim.statement,
        "paper": claim.paper.title,
        "paper_version": claim.paper.version,
        "subject": trial.label,
        "group": trial.subject.group,
        "outcome": outcome,
        "board": TOY if trial.subject.toy else BOARD[outcome],
        **figures(verdict),
        "on_average": figures(verdict.on_average) if verdict.on_average else None,
        "parts": [{"part": name, **figures(part)} for name, part in verdict.parts],
        "decided_by": verdict.decided_by,
        "sentence": str(verdict),
        "note": trial.subject.note,
    }


def document(
    rows: Iterable[Row],
    measured: Mapping[str, Sequence[Row]],
    broken: Iterable[Row] = (),
    run: Row | None = None,
) -> dict[str, Any]:
    """The whole of verdicts.json.

    **Arguments:** rows as `report.row` makes them; by subject how it was measured, as
    `report.origins` tells it; of tests that ended without a verdict what `broken` tells; what is
    known of the run of pytest (see `plugin.run_of`).

    !!! example

        >>> [*document([], {})]  # doctest: +NORMALIZE_WHITESPACE
        ['format', 'run', 'papers', 'subjects', 'claims', 'verdicts', 'not_run', 'chosen',
         'measured']
    """
    papers = by_paper(rows)
    found = sorted((each for _, own in papers for each in own), key=lambda row: row["position"])
    ended = [*broken]
    return {
        "format": FORMAT,
        "run": run and {**run},
        "papers": [_paper(claims) for claims, _ in papers],
        "subjects": _subjects(found, ended),
        "claims": [_claim(claim) for claims, _ in papers for claim in claims],
        "verdicts": [each["data"] for each in found],
        "not_run": [
            each
            for claims, own in papers
            for each in _not_run(claims, own, _of(claims[0].paper, ended))
        ],
        "chosen": {label: told for each in found for label, told in each["chosen"].items()},
        "measured": {subject: [*known] for subject, known in measured.items()},
    }


def by_paper(rows: Iterable[Row]) -> list[tuple[list[Claim], list[Row]]]:
    """All claims of each paper that has verdicts, and these in the order of their tests.

    **Raises:** `ClaimError` for two papers of one title, of which a report would not tell whose
    verdict is whose.

    !!! example

        >>> by_paper([])
        []
    """
    found: dict[str, list[Row]] = {}
    for each in sorted(rows, key=lambda row: row["position"]):
        found.setdefault(each["file"], []).append(each)
    papers = [(list(load_claims(Path(file)).values()), own) for file, own in found.items()]
    files: dict[str, Path] = {}
    for claims, _ in papers:
        paper = claims[0].paper
        other = files.setdefault(one_line(paper.title), paper.file)
        if other != paper.file:
            raise ClaimError(
                f"'{other}' and '{paper.file}' are of one title, {paper.title!r}: a report of both "
                "would not tell whose verdict is whose. Give each a title of its own."
            )
    return papers


def broken(trial: Trial, error: BaseException) -> dict[str, Any]:
    """What a report says of a test that ended without a verdict, as plain data.

    !!! example

        >>> from claimlib import Subject
        >>> from claimlib.claims import Paper
        >>> paper = Paper("On coins", "https://example.org", "1", Path("claims.toml"))
        >>> texts = ["heads", "More heads.", "1", "table 1", "exceeds", "the text", "none"]
        >>> trial = Trial(Claim(*texts, paper), Subject("here"))
        >>> broken(trial, KeyError("coin"))["reason"]
        "its test ended with an error: 'coin'"
    """
    subject, what = trial.subject, str(error).partition("\n")[0] or type(error).__name__
    return {
        "file": str(trial.claim.paper.file),
        "claim": trial.claim.id,
        "subject": trial.label,
        "group": subject.group,
        "note": subject.note,
        "toy": subject.toy,
        "reason": f"its test ended with an error: {what}",
    }


def as_json(told: Row) -> str:
    """verdicts.json, as it is written.

    !!! example

        >>> json.loads(as_json(document([], {})))["verdicts"]
        []
    """
    return json.dumps(told, indent=1, allow_nan=False) + "\n"


def figures(verdict: Verdict) -> dict[str, Any]:
    """The outcome with its numbers.

    !!! example

        >>> from claimlib import counted_above
        >>> figures(counted_above(0.7, 0.5))["required"]
        '> 50.0%'
    """
    return {
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "why": verdict.why,
        "kind": verdict.kind,
        "estimate": _finite(verdict.estimate),
        "interval": [_finite(each) for each in verdict.interval],
        "level": verdict.level,
        "unit": UNITS.get(verdict.unit, verdict.unit),
        "n": verdict.n,
        "worth": _finite(verdict.n if verdict.effective is None else verdict.effective),
        "bound": None if verdict.threshold is None else _finite(verdict.threshold),
        "required": verdict.required,
        "required_range": [_finite(each) for each in verdict.required_range],
        "p": verdict.p,
        "p_against": verdict.p_against,
        "alpha": verdict.alpha,
        "detectable": verdict.detectable,
        "sampled": verdict.sampled,
        "control": verdict.control,
        "fragile": verdict.fragile,
        "did_nothing": verdict.dead,
    }


def _finite(number: float | int) -> float | int | None:
    return number if math.isfinite(number) else None


def _paper(claims: Sequence[Claim]) -> dict[str, Any]:
    paper = claims[0].paper
    digest = hashlib.sha256(paper.file.read_bytes()).hexdigest()
    return {
        "title": paper.title,
        "url": paper.url,
        "version": paper.version,
        "claims": len(claims),
        "claims_sha256": digest,
    }


def _subjects(rows: Iterable[Row], broken: Iterable[Row]) -> list[dict[str, Any]]:
    """What claims were held against, also where every test ended with an error."""
    judged = ({**each["data"], "toy": each["data"]["board"] == TOY} for each in rows)
    found = {each["subject"]: each for each in [*judged, *broken]}
    return [
        {key: each[key] for key in ("subject", "group", "toy", "note")} for each in found.values()
    ]


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "claim": claim.id,
        "paper": claim.paper.title,
        "section": claim.section,
        "statement": claim.statement,
        "source": claim.source,
        "kind": claim.kind,
        "supported_when": KINDS[claim.kind].supports,
        "level": claim.level,
        "bounds": dict(claim.bounds),
        "bound_source": claim.bound_source,
        "control": claim.control,
    }


def _of(paper: Paper, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["file"] == str(paper.file)]


def _not_run(
    claims: Sequence[Claim], rows: Sequence[Row], broken: Sequence[Row]
) -> list[dict[str, Any]]:
    """What has no verdict, and why: of each claim on each subject of the run."""
    known: dict[str, dict[str, str]] = {}
    for each in rows:
        known.setdefault(each["data"]["claim"], {}).update(each["known"])
    told = [each["data"] for each in rows]
    labels = dict.fromkeys(each["subject"] for each in [*told, *broken])
    judged = {(each["claim"], each["subject"]) for each in told}
    errors = {(each["claim"], each["subject"]): each["reason"] for each in broken}
    return [
        {"claim": claim.id, "paper": claim.paper.title, "subject": label, "board": NOT_RUN}
        | {"reason": errors.get((claim.id, label)) or _why(claim, label, known.get(claim.id))}
        for claim in claims
        for label in dict.fromkeys([*labels, *known.get(claim.id, ())])
        if (claim.id, label) not in judged
    ]


def _why(claim: Claim, label: str, known: Mapping[str, str] | None) -> str:
    if label in claim.not_on:
        return claim.not_on[label]
    if known is None:
        return NOT_SELECTED
    return known.get(label, NOT_APPLICABLE)
