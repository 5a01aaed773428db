"""What a run says at its end: verdicts by section in the terminal, and as pages of Markdown."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from claimlib.claims import Claim, Trial, load_claims
from claimlib.errors import ClaimError
from claimlib.verdicts import Verdict

Row = Mapping[str, Any]
LEGEND = (
    "`*`: one image more or less would change this. In parentheses, why an undecided claim is one: "
    "`too few images`, or the estimate lies so near to what is required that ten times as many "
    "would not decide (`at the bound`); a control that has to hold does not (`control failed`); an "
    "intervention `did nothing`."
)


def row(trial: Trial, verdict: Verdict, position: int, known: Mapping[str, str]) -> dict[str, Any]:
    """A verdict as plain data, which can travel between processes.

    **Arguments:** `position`: of its test in the run; `known`: by label of all subjects of the
    claim what is said where one has no verdict.
    """
    return {
        "file": str(trial.claim.paper.file),
        "claim": trial.claim.id,
        "label": trial.label,
        "note": trial.subject.note,
        "beside": trial.subject.beside,
        "group": trial.subject.group,
        "known": dict(known),
        "position": position,
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "on_average": str(verdict.on_average.outcome) if verdict.on_average else "",
        "figures": verdict.figures,
        "required": verdict.required,
        "short": verdict.short,
        "line": str(verdict),
        "may_err": 2 * verdict.alpha if verdict.sampled and verdict.n else 0.0,
        "fragile": verdict.fragile,
        "parts": [[name, str(part)] for name, part in verdict.parts],
    }


def lines(rows: Iterable[Row], full: bool = True) -> Iterator[str]:
    """The findings, grouped by paper, section and claim: whole sentences, or a short line each."""
    papers = by_paper(rows)
    for claims, found in papers:
        if len(papers) > 1:
            yield f"{claims[0].paper.title}\n"
        yield from _paper_lines(claims, found, full)


def verdict_page(rows: Iterable[Row]) -> str:
    """Outcomes by claim (rows) and subject (columns), for each paper and group of subjects; `*`
    marks those that one image more or less changes.

    Of the tests of one claim on one subject it says how many came out how. Below stand the verdicts
    that differ from those of the subject beside, notes, and why claims do not apply.
    """
    papers = by_paper(rows)
    pages = [_paper_page(claims, found) for claims, found in papers]
    if len(papers) == 1:
        return pages[0]
    titles = [claims[0].paper.title for claims, _ in papers]
    return "\n".join(f"## {each}\n\n{page}" for each, page in zip(titles, pages, strict=True))


def write(folder: Path, rows: Sequence[Row], pages: Mapping[str, str]) -> None:
    """Write verdicts.md, findings.md and the result pages of tests.

    **Raises:** `ClaimError` where a file cannot be written, and for a page of these names.
    """
    findings = "\n".join(f"    {line}" for line in lines(rows))
    taken = sorted({"verdicts", "findings"} & set(pages))
    if taken:
        raise ClaimError(f"A result page is named {taken[0]!r}, as the report's own. Rename it.")
    texts = {
        "verdicts": f"# Verdicts\n\n{verdict_page(rows)}",
        "findings": f"# Findings\n\n{findings}\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (texts | dict(pages)).items():
            (folder / f"{name.replace(', ', '.').replace('/', '-')}.md").write_text(text)
    except OSError as error:
        raise ClaimError(f"The report could not be written to {str(folder)!r}: {error}.") from error


def by_paper(rows: Iterable[Row]) -> list[tuple[list[Claim], list[Row]]]:
    """All claims of each paper that has verdicts, and these in the order of their tests."""
    papers: dict[str, list[Row]] = {}
    for each in sorted(rows, key=lambda row: row["position"]):
        papers.setdefault(each["file"], []).append(each)
    return [(list(load_claims(Path(file)).values()), found) for file, found in papers.items()]


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same keys as a Markdown table.

    !!! example

        >>> print(table([{"claim": "a | b", "mine": "refuted"}]), end="")
        | claim   | mine    |
        |:--------|:--------|
        | a \\| b  | refuted |
    """
    columns = [[key, *(each[key] for each in rows)] for key in rows[0]] if rows else []
    columns = [[_escaped(cell) for cell in column] for column in columns]
    widths = [max(len(head) + 2, *map(len, cells)) for head, *cells in columns]
    head, *cells = (
        "| " + " | ".join(map(str.ljust, line, widths)) + " |\n"
        for line in zip(*columns, strict=True)
    )
    rule = "|" + "|".join(":" + "-" * (width + 1) for width in widths) + "|\n"
    return head + rule + "".join(cells)


def _escaped(cell: str) -> str:
    """What stands in a cell: a pipe would begin another one, and a line end another row."""
    return " ".join(cell.replace("\\", "\\\\").replace("|", "\\|").splitlines())


def _paper_lines(claims: Sequence[Claim], rows: Sequence[Row], full: bool) -> Iterator[str]:
    judged = {each["claim"] for each in rows}
    sections = {claim.section for claim in claims if claim.id in judged}
    for section in sorted(sections, key=_place):
        yield f"section {section}" if section[0].isdigit() else section
        for claim in claims:
            if claim.section == section and claim.id in judged:
                yield f"  {claim.id}: {claim.statement}"
                found = (each for each in rows if each["claim"] == claim.id)
                told = "line" if full else "short"
                yield from (f"    {each['label']}: {each[told]}" for each in found)
    yield from (f"\n{note}" for note in (*_notes(rows), _false(rows)) if note)


def _place(section: str) -> tuple[bool, list[int], str]:
    """Sorts named sections, such as the abstract, before numbered ones, and 4.10 after 4.9."""
    return section[0].isdigit(), [int(number) for number in re.findall(r"\d+", section)], section


def _paper_page(claims: Sequence[Claim], rows: Sequence[Row]) -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for each in rows:
        found.setdefault((each["claim"], each["label"]), []).append(_outcome(each))
    outcomes = {key: _together(several) for key, several in found.items()}
    groups: dict[str, dict[str, None]] = {}
    for each in rows:
        groups.setdefault(each["group"], {})[each["label"]] = None
    overviews = (
        (f"### {group}\n\n" if group else "") + _overview(claims, rows, list(labels))
        for group, labels in groups.items()
    )
    parts = [LEGEND, *overviews, *_changes(rows, outcomes), *_notes(rows), _false(rows)]
    return "\n\n".join(filter(None, [*parts, *_reasons(claims, rows)])) + "\n"


def _overview(claims: Sequence[Claim], rows: Sequence[Row], labels: Sequence[str]) -> str:
    """The claims that have a verdict on any of some subjects, with what is required (in the cells
    where that differs), and the verdicts with their figures."""
    found: dict[tuple[str, str], list[Row]] = {}
    asked: dict[str, dict[str, None]] = {}
    known: dict[str, dict[str, str]] = {}
    for each in rows:
        if each["label"] in labels:
            found.setdefault((each["claim"], each["label"]), []).append(each)
            asked.setdefault(each["claim"], {})[each["required"]] = None
            known.setdefault(each["claim"], {}).update(each["known"])

    def cell(claim: Claim, label: str) -> str:
        several = found.get((claim.id, label), [])
        if not several:
            return known[claim.id].get(label, "not applicable")
        outcomes = _together(list(map(_outcome, several)))
        differs = len(asked[claim.id]) > 1
        return "<br>".join([outcomes, *_told(several, differs)])

    def required(claim: Claim) -> str:
        return " or ".join(asked[claim.id])

    judged = [claim for claim in claims if any((claim.id, label) in found for label in labels)]
    return table(
        [
            {
                "section": claim.section,
                "claim": f"`{claim.id}`",
                "statement": claim.statement,
                "required": required(claim),
            }
            | {label: cell(claim, label) for label in labels}
            for claim in judged
        ]
    ).rstrip("\n")


def _told(several: Sequence[Row], differs: bool) -> list[str]:
    """The figures of one verdict on a subject, and what is required of it, where that differs."""
    wanted = [f"required {each}" for each in dict.fromkeys(row["required"] for row in several)]
    return [row["figures"] for row in several if len(several) == 1] + (wanted if differs else [])


def _outcome(row: Row) -> str:
    """An outcome, the reason of an undecided, and what holds on average over settings."""
    told = row["outcome"] + ("*" if row["fragile"] else "")
    told += f" ({row['reason']})" if row["reason"] else ""
    beside = row["on_average"]
    return f"{told}; on average {beside}" if beside and beside != row["outcome"] else told


def _false(rows: Sequence[Row]) -> str:
    """How many of several verdicts would be false if every claim lay at its bound."""
    sampled = [each["may_err"] for each in rows if each["may_err"]]
    if len(sampled) < 2:
        return ""
    return (
        f"If each of these {len(sampled)} claims about samples lay just at its bound, "
        f"about {sum(sampled):.1f} of the verdicts would be expected to be false."
    )


def _together(outcomes: Sequence[str]) -> str:
    if len(outcomes) == 1:
        return outcomes[0]
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes).items())


def _notes(rows: Sequence[Row]) -> list[str]:
    """What is to be known of the subjects, each said once."""
    return [note for note in dict.fromkeys(each["note"] for each in rows) if note]


def _changes(rows: Sequence[Row], outcomes: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Where the verdicts on a subject are others than those on the subject beside it."""
    beside = {each["label"]: each["beside"] for each in rows if each["beside"]}
    labels = {label for _, label in outcomes}
    for label, other in beside.items():
        if other in labels:
            changed = [
                f"- `{claim}`: {outcomes[claim, other]}, here {outcome}"
                for (claim, each), outcome in outcomes.items()
                if each == label and outcomes.get((claim, other), outcome) != outcome
            ]
            told = "\n".join(changed or ["- none"])
            yield f"Verdicts on {label} that differ from those on {other}:\n\n{told}"


def _reasons(claims: Sequence[Claim], rows: Sequence[Row]) -> Iterator[str]:
    """Why claims do not apply to a subject, or to the one that it stands beside."""
    shown = dict.fromkeys(each[key] for each in rows for key in ("label", "beside"))
    for label in shown:
        reasons = [
            f"- `{claim.id}`: {claim.not_on[label]}" for claim in claims if label in claim.not_on
        ]
        if reasons:
            told = "\n".join(reasons)
            yield f"Claims that do not apply to {label}:\n\n{told}"
