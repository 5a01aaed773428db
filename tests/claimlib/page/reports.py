"""Reports of a few verdicts, for tests of what a page shows of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from claimlib import Case, Claim, Subject, Trial, Verdict, load_claims
from claimlib.claims import CLAIMS
from claimlib.data import document
from claimlib.report import origins, row, shown
from tests.claimlib.foreign import entry, paper

PIXEL = "data:image/png;base64,iVBORw0KGgo="
Found = tuple[str, Subject, Verdict]


def claims(folder: Path, *entries: str, title: str = "On coins") -> dict[str, Claim]:
    """The claims of a paper that is written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CLAIMS
    file.write_text(paper(*(entries or [entry("bent"), entry("spun")]), title=title))
    return load_claims(file)


def told(
    known: Mapping[str, Claim], *found: Found, **beside: Any
) -> tuple[dict[str, Any], list[dict]]:
    """verdicts.json and what is shown, of verdicts by claim; `beside`: what the first test shows,
    as a trial has it."""
    trials = [Trial(known[id_], subject) for id_, subject, _ in found]
    for name, each in beside.items():
        setattr(trials[0], name, each)
    verdicts = [verdict for *_, verdict in found]
    labels = dict.fromkeys((trial.label for trial in trials), "not run")
    rows = [
        row(trial, verdict, at, labels)
        for at, (trial, verdict) in enumerate(zip(trials, verdicts, strict=True))
    ]
    return document(rows, origins(rows)), [shown(trial, at) for at, trial in enumerate(trials)]


def together(*reports: tuple[dict[str, Any], list[dict]]) -> tuple[dict[str, Any], list[dict]]:
    """The reports of several papers as one."""
    lists = ("papers", "subjects", "claims", "verdicts", "not_run")
    whole = reports[0][0] | {
        name: [each for document, _ in reports for each in document[name]] for name in lists
    }
    return whole, [each for _, those in reports for each in those]


def case(image: str = "7", lost: bool = True, picture: str = PIXEL, **more: Any) -> Case:
    """One image under an arm."""
    texts: dict[str, Any] = {"setting": "polling", "arm": "object", "question": "Is there a dog?"}
    texts |= {"before": "Yes", "after": "No" if lost else "Yes", "size": (40, 30)}
    texts |= {"tokens": ((0.25, 0.5, 0.5, 0.75),)}
    return Case(image=image, lost=lost, picture=picture, **(texts | more))


def pictures(count: int, size: int = 40) -> Sequence[str]:
    """So many different pictures, of so many characters each."""
    return [f"data:image/png;base64,{at:0{size}d}" for at in range(count)]
