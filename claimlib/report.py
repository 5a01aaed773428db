"""What a run says at its end: verdicts by section in the terminal, and as pages of Markdown."""

import base64
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from claimlib.claims import Claim, Trial
from claimlib.data import NOT_APPLICABLE, as_json, by_paper, document, entry
from claimlib.errors import ClaimError
from claimlib.markdown import file_name, file_names, one_line, text
from claimlib.verdicts import (
    AT_THE_BOUND,
    CONTROL_FAILED,
    DID_NOTHING,
    FEW_IMAGES,
    LEFT_OUT,
    Verdict,
)

Row = Mapping[str, Any]
HOW = "## How it was measured"
DRAWN_BY = ("jinja2", "markdown_it", "matplotlib", "pandas")
TO_DRAW = "pip install 'vlm-claims[page]'"
LEGEND = (
    "`*`: one image more or less would change this. In parentheses, why an undecided claim is one: "
    f"`{FEW_IMAGES}`, or the estimate lies so near to what is required that ten times as many "
    f"would not decide (`{AT_THE_BOUND}`); a control that has to hold does not "
    f"(`{CONTROL_FAILED}`); an intervention `{DID_NOTHING}`."
)


def row(trial: Trial, verdict: Verdict, position: int, known: Mapping[str, str]) -> dict[str, Any]:
    """A verdict as plain data, which can travel between processes: under "data" what verdicts.json
    has of it, beside that what a report alone adds.

    **Arguments:** `position`: of its test in the run; `known`: by label of all subjects of the
    claim what is said where one has no verdict.
    """
    return {
        "file": str(trial.claim.paper.file),
        "beside": trial.subject.beside,
        "known": dict(known),
        "position": position,
        "figures": verdict.figures,
        "short": verdict.short,
        "origins": trial.origins,
        "chosen": trial.chosen,
        "data": entry(trial, verdict),
    }


def shown(trial: Trial, position: int) -> dict[str, Any]:
    """What a report shows beside the verdicts of a trial, as plain data.

    **Arguments:** `position`: of its test in the run.
    """
    return {
        "position": position,
        "paper": trial.claim.paper.title,
        "claim": trial.claim.id,
        "label": trial.label,
        "pages": trial.pages,
        "figures": {name: figure.plain for name, figure in trial.figures.items()},
        "files": {name: _as_text(content) for name, content in trial.files.items()},
        "cases": [case.plain for case in trial.cases],
        "compared": trial.compared,
    }


def _as_text(content: str | bytes) -> str:
    plain = content.encode() if isinstance(content, str) else content
    return base64.b64encode(plain).decode()


def lines(rows: Iterable[Row], full: bool = True) -> Iterator[str]:
    """The findings, grouped by paper, section and claim: whole sentences, or a short line each."""
    papers = by_paper(rows)
    for claims, found in papers:
        if len(papers) > 1:
            yield f"{one_line(claims[0].paper.title)}\n"
        yield from _paper_lines(claims, found, full)


def verdict_page(rows: Iterable[Row]) -> str:
    """Outcomes by claim (rows) and subject (columns), for each paper and group of subjects; `*`
    marks those that one image more or less changes.

    Of the tests of one claim on one subject it says how many came out how. Below stand the verdicts
    that differ from those of the subject beside, notes, why claims were left out, and why they do
    not apply.
    """
    papers = by_paper(rows)
    pages = [_paper_page(claims, found) for claims, found in papers]
    if len(papers) == 1:
        return pages[0]
    titles = [claims[0].paper.title for claims, _ in papers]
    return "\n".join(f"## {text(each)}\n\n{page}" for each, page in zip(titles, pages, strict=True))


def write(
    folder: Path,
    rows: Sequence[Row],
    shown: Sequence[Row] = (),
    broken: Sequence[Row] = (),
    run: Row | None = None,
) -> None:
    """Write verdicts.md, findings.md, verdicts.json and what tests show: result pages, files, and
    figures with their numbers; and index.html, where `lacking` names nothing. Each appears whole,
    or what stood there stays, but for an index.html of older verdicts. What is drawn comes last,
    so that none of it costs any data.

    **Arguments:** rows and what is shown, as `row` and `shown` make them; what `data.broken` tells
    of tests without a verdict; what is known of the run of pytest.

    **Raises:** `ClaimError` where a file cannot be written, for a page of these names, and, when
    all else is written, for what cannot be drawn.
    """
    told = document(rows, origins(rows), broken, run)
    shown = sorted(shown, key=lambda each: each["position"])  # and not as workers end
    pages = all_of(shown, "pages")
    findings = "\n".join(f"    {line}" for line in lines(rows))
    how = origins_section(origins(rows))
    texts = {
        "verdicts": f"# Verdicts\n\n{verdict_page(rows)}{how}",
        "findings": f"# Findings\n\n{findings}\n{how}",
    }
    taken = sorted(name for name in pages if file_name(name).casefold() in texts)
    if taken:
        raise ClaimError(f"A result page is named {taken[0]!r}, as the report's own. Rename it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put(
            folder,
            _by_file(texts | pages)
            | {"verdicts.json": as_json(told)}
            | {name: base64.b64decode(each) for name, each in all_of(shown, "files").items()},
        )
    except OSError as error:
        raise ClaimError(
            f"The report could not be written to {str(folder)!r}: {error}. What stood there is as "
            "it was. Make room, or choose a folder in which you may write, and run the same "
            "command again."
        ) from error
    try:
        _draw(folder, told, shown)
    except Exception as error:  # of whatever draws
        known = "" if isinstance(error, ClaimError) else f"{type(error).__name__}: "
        raise ClaimError(
            f"The report in {str(folder)!r} lacks index.html or figures, which could not be drawn: "
            f"{known}{error} The data is written: verdicts.json, the pages of Markdown, and files."
        ) from error


def _draw(folder: Path, told: Row, shown: Sequence[Row]) -> None:
    """Write figures, and index.html, where there is what draws it; an older one, which tells of
    other verdicts, does not stay."""
    (folder / "index.html").unlink(missing_ok=True)
    own = _figure_files(all_of(shown, "figures"))
    _put(folder, own)
    if not lacking():
        shown = [_drawn(told, all_of(shown, "figures")), *shown]
        files = _figure_files(all_of(shown, "figures"))
        more = {name: content for name, content in files.items() if name not in own}
        _put(folder, more | {"index.html": _index(told, shown)})


def lacking() -> list[str]:
    """The packages that index.html takes and that are not installed."""
    return [name for name in DRAWN_BY if find_spec(name) is None]


def _drawn(told: Row, figures: Mapping[str, Row]) -> dict[str, Any]:
    """What a report shows of all verdicts, and of several subjects' figures, together, as `shown`
    tells of one trial."""
    from claimlib.page.beside import beside
    from claimlib.page.forest import forest

    toys = {each["subject"] for each in told["subjects"] if each["toy"]}
    together = forest(told) | beside(figures, toys)
    plain = {name: figure.plain for name, figure in together.items()}
    nobody = {"position": -1, "paper": "", "claim": "", "label": ""}
    return {**nobody, "pages": {}, "figures": plain, "files": {}, "cases": [], "compared": 0}


def _index(told: Row, shown: Sequence[Row]) -> str:
    from claimlib.page.index import index

    return index(told, shown)


def all_of(shown: Iterable[Row], what: str) -> dict[str, Any]:
    """What all tests show of one kind, by name.

    !!! example

        >>> all_of([{"pages": {"a": "1"}}, {"pages": {"b": "2"}}], "pages")
        {'a': '1', 'b': '2'}
    """
    return {name: each for one in shown for name, each in one[what].items()}


def _figure_files(figures: Mapping[str, Row]) -> dict[str, str | bytes]:
    """Each figure as a picture of lines and one of pixels, and its numbers."""
    found: dict[str, str | bytes] = {}
    for name, file in file_names(figures).items():
        each, stem = figures[name], f"figures/{file}"
        found |= {f"{stem}.svg": each["svg"], f"{stem}.csv": each["csv"]}
        found[f"{stem}.png"] = base64.b64decode(each["png"])
    return found


def origins(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """By subject what is known of where its results come from, measurement by measurement."""
    found: dict[str, dict[str, list[Row]]] = {}
    for each in sorted(rows, key=lambda row: row["position"]):
        for label, known in each["origins"].items():
            by_table: dict[str, list[Row]] = {}
            for origin in known:
                by_table.setdefault(origin["table"], []).append(origin)
            found.setdefault(label, {}).update(by_table)
    return {
        label: [each for known in tables.values() for each in known]
        for label, tables in found.items()
    }


def origins_section(known: Mapping[str, Sequence[Row]]) -> str:
    """How subjects were measured, as the end of a page: what is mixed, then every fact; nothing
    where none is known."""
    facts = dict.fromkeys(
        fact for each in known.values() for origin in each for fact in _facts(origin)
    )
    if not facts:
        return ""
    found = [
        {"": text(fact)} | {text(label): _values(fact, each) for label, each in known.items()}
        for fact in facts
    ]
    told = [text(each) for each in mixed(known)]
    return "\n" + "\n\n".join([HOW, *told, table(found)])


def mixed(known: Mapping[str, Sequence[Row]]) -> list[str]:
    """Which subjects' results come from more than one device, type or version, and how many."""
    told = []
    for label, each in known.items():
        facts = dict.fromkeys(fact for origin in each for fact in origin["facts"])
        differing = [fact for fact in facts if len(_by_value(fact, each)) > 1]
        if differing:
            what = "; ".join(f"{fact}: {_spelled(fact, each)}" for fact in differing)
            told.append(f"{label} was not measured in one way: {what}.")
    return told


def _facts(origin: Row) -> dict[str, str]:
    return {**origin["facts"], **origin["aside"]}


def _by_value(fact: str, known: Sequence[Row]) -> dict[str, Counter[str]]:
    """Each value of a fact, with how many images of which measurements have it."""
    found: dict[str, Counter[str]] = {}
    for origin in known:
        if value := _facts(origin).get(fact):
            found.setdefault(value, Counter())[origin["table"]] += origin["images"]
    return found


def _spelled(fact: str, known: Sequence[Row]) -> str:
    return ", ".join(
        f"{value} ({'; '.join(f'{count} of {table}' for table, count in counts.items())})"
        for value, counts in _by_value(fact, known).items()
    )


def _values(fact: str, known: Sequence[Row]) -> str:
    values = list(_by_value(fact, known))
    return text(values[0] if len(values) == 1 else _spelled(fact, known))


def _by_file(pages: Mapping[str, str]) -> dict[str, str]:
    """Pages by the names of their files."""
    return {f"{file}.md": pages[name] for name, file in file_names(pages).items()}


def _put(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Files by their paths within a folder, each written whole before any takes the place of an
    older one.

    **Raises:** `ClaimError` for a path that leads out of the folder.
    """
    for name in contents:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ClaimError(f"The report's file {name!r} would lie outside of it. Rename it.")
    with tempfile.TemporaryDirectory(
        prefix=".report-", dir=folder, ignore_cleanup_errors=True
    ) as beside:
        for name, content in contents.items():
            (Path(beside) / name).parent.mkdir(parents=True, exist_ok=True)
            with open(Path(beside) / name, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())  # a full disk may show no earlier
        for name in contents:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(beside) / name, folder / name)


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same keys as a Markdown table, of cells that are Markdown (see `text`); no
    rows are no table.

    !!! example

        >>> print(table([{"claim": text("a | b"), "mine": "refuted"}]), end="")
        | claim   | mine    |
        |:--------|:--------|
        | a \\| b  | refuted |
    """
    if not rows:
        return ""
    columns = [[key, *(each[key] for each in rows)] for key in rows[0]]
    columns = [list(map(_in_a_cell, column)) for column in columns]
    widths = [max(len(head) + 2, *map(len, cells)) for head, *cells in columns]
    head, *cells = (
        "| " + " | ".join(map(str.ljust, line, widths)) + " |\n"
        for line in zip(*columns, strict=True)
    )
    rule = "|" + "|".join(":" + "-" * (width + 1) for width in widths) + "|\n"
    return head + rule + "".join(cells)


def _in_a_cell(cell: str) -> str:
    """A line end would end the row, and a pipe that nobody has escaped the cell."""
    return re.sub(r"(?<!\\)((?:\\\\)*)\|", r"\1\\|", " ".join(cell.splitlines()))


def _paper_lines(claims: Sequence[Claim], rows: Sequence[Row], full: bool) -> Iterator[str]:
    judged = {each["data"]["claim"] for each in rows}
    sections = {claim.section for claim in claims if claim.id in judged}
    for section in sorted(sections, key=place):
        yield section_name(section)
        for claim in claims:
            if claim.section == section and claim.id in judged:
                yield f"  {one_line(f'{claim.id}: {claim.statement}')}"
                found = [each for each in rows if each["data"]["claim"] == claim.id]
                for each in found:
                    told = each["data"]["sentence"] if full else each["short"]
                    yield f"    {one_line(each['data']['subject'])}: {one_line(told)}"
    out = (f"{head} {told}" for head, reasons in _left_out(rows).items() for told in reasons)
    notes = (*_notes(rows), *mixed(origins(rows)), *out, _false(rows))
    yield from (f"\n{one_line(note)}" for note in notes if note)


def place(section: str) -> tuple[bool, list[int], str]:
    """Sorts named sections, such as the abstract, before numbered ones, and 4.10 after 4.9.

    !!! example

        >>> sorted(["4.10", "4.9", "appendix 2"], key=place)
        ['appendix 2', '4.9', '4.10']
    """
    return section[:1].isdigit(), [int(number) for number in re.findall(r"\d+", section)], section


def section_name(section: str) -> str:
    """What a section is called: numbers alone say not what they number.

    !!! example

        >>> section_name("4.1"), section_name("abstract")
        ('section 4.1', 'abstract')
    """
    return f"section {section}" if section[:1].isdigit() else section


def _paper_page(claims: Sequence[Claim], rows: Sequence[Row]) -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for told in (each["data"] for each in rows):
        found.setdefault((told["claim"], told["subject"]), []).append(_outcome(told))
    outcomes = {key: _together(several) for key, several in found.items()}
    groups: dict[str, dict[str, None]] = {}
    for told in (each["data"] for each in rows):
        groups.setdefault(told["group"], {})[told["subject"]] = None
    overviews = (
        (f"### {text(group)}\n\n" if group else "") + _overview(claims, rows, list(labels))
        for group, labels in groups.items()
    )
    notes = map(text, _notes(rows))
    parts = [LEGEND, *overviews, *_changes(rows, outcomes), *notes, _false(rows)]
    for head, reasons in _left_out(rows).items():
        parts.append("\n".join([f"{text(head)}\n", *(f"- {text(told)}" for told in reasons)]))
    return "\n\n".join(filter(None, [*parts, *_reasons(claims, rows)])) + "\n"


def _overview(claims: Sequence[Claim], rows: Sequence[Row], labels: Sequence[str]) -> str:
    """The claims that have a verdict on any of some subjects, with what is required (in the cells
    where that differs), and the verdicts with their figures."""
    found: dict[tuple[str, str], list[Row]] = {}
    asked: dict[str, dict[str, None]] = {}
    known: dict[str, dict[str, str]] = {}
    for each in rows:
        told = each["data"]
        if told["subject"] in labels:
            found.setdefault((told["claim"], told["subject"]), []).append(each)
            if told["required"]:  # not of one that was left out
                asked.setdefault(told["claim"], {})[told["required"]] = None
            known.setdefault(told["claim"], {}).update(each["known"])

    def cell(claim: Claim, label: str) -> str:
        several = found.get((claim.id, label), [])
        if not several:
            return text(known[claim.id].get(label, NOT_APPLICABLE))
        outcomes = _together([_outcome(each["data"]) for each in several])
        differs = len(asked.get(claim.id, ())) > 1
        return "<br>".join([outcomes, *_told(several, differs)])

    def required(claim: Claim) -> str:
        return text(" or ".join(asked.get(claim.id, ())))

    judged = [claim for claim in claims if any((claim.id, label) in found for label in labels)]
    return table(
        [
            {
                "section": text(claim.section),
                "claim": _code(claim.id),
                "statement": text(claim.statement),
                "required": required(claim),
            }
            | {text(label): cell(claim, label) for label in labels}
            for claim in judged
        ]
    ).rstrip("\n")


def _told(several: Sequence[Row], differs: bool) -> list[str]:
    """The figures of one verdict on a subject, and what is required of it, where that differs."""
    asked = dict.fromkeys(filter(None, (row["data"]["required"] for row in several)))
    wanted = [f"required {each}" for each in asked]
    figures = [row["figures"] for row in several if len(several) == 1]
    return [text(each) for each in [*figures, *(wanted if differs else [])]]


def _outcome(verdict: Row) -> str:
    """An outcome, the reason of an undecided, and what holds on average over settings."""
    outcome, average = verdict["outcome"], verdict["on_average"]
    told = outcome + ("*" if verdict["fragile"] else "")
    told += f" ({verdict['reason']})" if verdict["reason"] else ""
    differs = average and average["outcome"] != outcome
    return f"{told}; on average {average['outcome']}" if differs else told


def expected_false(verdicts: Iterable[Row]) -> tuple[int, float]:
    """How many verdicts are of samples, and how many of these would be expected to be false if
    every claim lay just at its bound.

    **Arguments:** verdicts as verdicts.json has them.

    !!! example

        >>> tossed = {"sampled": True, "n": 9, "alpha": 0.025}
        >>> expected_false([tossed, tossed | {"sampled": False}])
        (1, 0.05)
    """
    may_err = [2 * each["alpha"] for each in verdicts if each["sampled"] and each["n"]]
    return len(may_err), sum(may_err)


def _false(rows: Sequence[Row]) -> str:
    """How many of several verdicts would be false if every claim lay at its bound."""
    sampled, false = expected_false(each["data"] for each in rows)
    if sampled < 2:
        return ""
    return (
        f"If each of these {sampled} claims about samples lay just at its bound, "
        f"about {false:.1f} of the verdicts would be expected to be false."
    )


def _together(outcomes: Sequence[str]) -> str:
    if len(outcomes) == 1:
        return outcomes[0]
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes).items())


def _notes(rows: Sequence[Row]) -> list[str]:
    """What is to be known of the subjects, each said once."""
    return list(filter(None, dict.fromkeys(each["data"]["note"] for each in rows)))


def _left_out(rows: Sequence[Row]) -> dict[str, list[str]]:
    """By subject which claims were left out for which reason, each of those said once."""
    found: dict[str, dict[str, list[str]]] = {}
    for told in (each["data"] for each in rows):
        if told["reason"] == LEFT_OUT:
            found.setdefault(told["subject"], {}).setdefault(told["why"], []).append(told["claim"])
    return {
        f"Left out on {label}, as what they need is not there:": [
            f"{', '.join(claims)}: {why}" for why, claims in reasons.items()
        ]
        for label, reasons in found.items()
    }


def _changes(rows: Sequence[Row], outcomes: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Where the verdicts on a subject are others than those on the subject beside it."""
    beside = {each["data"]["subject"]: each["beside"] for each in rows if each["beside"]}
    labels = {label for _, label in outcomes}
    for label, other in beside.items():
        if other in labels:
            changed = [
                f"- {_code(claim)}: {outcomes[claim, other]}, here {outcome}"
                for (claim, each), outcome in outcomes.items()
                if each == label and outcomes.get((claim, other), outcome) != outcome
            ]
            told = "\n".join(changed or ["- none"])
            yield f"Verdicts on {text(label)} that differ from those on {text(other)}:\n\n{told}"


def _reasons(claims: Sequence[Claim], rows: Sequence[Row]) -> Iterator[str]:
    """Why claims do not apply to a subject, or to the one that it stands beside."""
    shown = dict.fromkeys(
        label for each in rows for label in (each["data"]["subject"], each["beside"])
    )
    for label in shown:
        reasons = [
            f"- {_code(claim.id)}: {text(claim.not_on[label])}"
            for claim in claims
            if label in claim.not_on
        ]
        if reasons:
            told = "\n".join(reasons)
            yield f"Claims that do not apply to {text(label)}:\n\n{told}"


def _code(id_: str) -> str:
    """A claim's id as code, or as text where it would break out of that."""
    plain = one_line(id_)
    return text(plain) if set(plain) & {"`", "|", "\\"} else f"`{plain}`"
