"""A report as one page that needs nothing beside itself: index.html."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from io import StringIO
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from claimlib.data import NOT_APPLICABLE, NOT_RUN, TOY, UNITS
from claimlib.figures import OF_THE_PAGE
from claimlib.markdown import file_names, one_line
from claimlib.page import words
from claimlib.page.beside import alone
from claimlib.page.drawings import inline
from claimlib.page.pictures import MOST, Album, groups
from claimlib.page.prose import as_html
from claimlib.report import HOW, all_of, expected_false, origins_section, place, section_name
from claimlib.verdicts import POINTS, WORTH_LESS, Outcome, amount, number, percent

Told = Mapping[str, Any]
LARGEST = 10_000_000  # bytes of the whole page
DRAWN = 5_000_000  # characters of figures in it; what is beyond is a link
IN_HEAD = 6  # subjects of a group that the headline names
LINES = 200  # of a figure's numbers; the file has all
OUTCOMES = (*map(str, Outcome), NOT_RUN)
SCALES = {UNITS["%"]: (0.0, 1.0), UNITS[POINTS]: (-1.0, 1.0)}  # from where to where they reach


def index(document: Told, shown: Sequence[Told]) -> str:
    """The page.

    Of pictures it shows fewer where it would be larger than 10 MB, and says so.

    **Arguments:** verdicts.json; what trials show, as `report.shown` tells it.

    **Raises:** `ClaimError` for a figure that is no SVG.

    !!! example

        >>> from claimlib.data import document
        >>> print(index(document([], {}), [])[:15])
        <!doctype html>
    """
    subjects = _subjects(document)
    known = {
        "document": document,
        "papers": [_paper(paper) for paper in document["papers"]],
        "subjects": subjects,
        "held": [*_held(subjects, document["measured"])],
        "counts": _counts(document),
        "toys": Counter(each["outcome"] for each in document["verdicts"] if _is_toy(each)),
        "expected_false": expected_false(document["verdicts"]),
        "of_toys": _of_toys(shown, subjects),
        "figures": _figures(shown),
        "pages": _pages(shown),
        "files": _files(shown),
        "measured": _measured(document["measured"]),
        "run": document["run"],
        "outcomes": OUTCOMES,
    }
    for most in range(MOST, 0, -1):
        page = _rendered(known, shown, most)
        if len(page.encode()) <= LARGEST:
            return page
    return _rendered(known, shown, 0)


def _rendered(known: Told, shown: Sequence[Told], most: int) -> str:
    """The page with so many pictures for each claim and subject."""
    album, document = Album(), known["document"]
    claims = [_claim(claim, document, shown, most, album) for claim in document["claims"]]
    chapters = _chapters(document["papers"], claims)
    return _template().render(known, chapters=chapters, album=album, most=most, fewer=most < MOST)


@cache
def _template():
    environment = Environment(
        loader=PackageLoader("claimlib", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals |= {
        "in_words": words.in_words,
        "what_would_change": words.what_would_change,
        "ended": words.ended,
        "figure_of": _figure_of,
        "interval_of": words.interval,
        "worth_of": _worth_of,
        "span": _span,
        "is_toy": _is_toy,
        "toy": words.TOY,
        "not_applicable": NOT_APPLICABLE,
        "not_run": NOT_RUN,
    }
    environment.filters |= {"p": _p, "percent": percent, "href": _address, "state": _state}
    return environment.get_template("index.html.jinja")


def _shown(value: Any) -> Any:
    """Text without what cannot be seen, such as the characters that turn a line around."""
    return one_line(value) if type(value) is str else value


def _address(path: str) -> str:
    return quote(path, errors="surrogatepass")


def _state(value: str) -> str:
    """A value in the page's own address, as the page shows it."""
    return quote(one_line(value))


def _is_toy(verdict: Told) -> bool:
    return verdict["board"] == TOY


def _paper(paper: Told) -> dict[str, Any]:
    """A paper, with its address where that is one of the web."""
    return {**paper, "link": paper["url"] if re.match(r"https?://", paper["url"]) else ""}


def _subjects(document: Told) -> list[dict[str, Any]]:
    """What claims were held against, each with how its verdicts came out."""
    missing = Counter(each["subject"] for each in document["not_run"])
    found = Counter((each["subject"], each["outcome"]) for each in document["verdicts"])
    return [
        {
            **each,
            "label": label,
            "key": f"s{at}",
            "counts": {outcome: found[label, outcome] for outcome in map(str, Outcome)},
            "missing": missing[label],
        }
        for at, each in enumerate(document["subjects"])
        for label in [each["subject"]]
    ]


def _held(subjects: Iterable[Told], measured: Mapping[str, Sequence[Told]]) -> Iterator[str]:
    """What was held against claims, group by group, and on which data it was measured."""
    groups: dict[str, list[str]] = {}
    for each in subjects:
        data = {known["facts"].get("data") for known in measured.get(each["label"], ())}
        on = f" on {', '.join(sorted(filter(None, data)))}" if any(data) else ""
        groups.setdefault(each["group"], []).append(each["label"] + on)
    for group, names in groups.items():
        more = f" and {len(names) - IN_HEAD} more" if len(names) > IN_HEAD else ""
        yield (f"{group}: " if group else "") + "; ".join(names[:IN_HEAD]) + more


def _counts(document: Told) -> dict[str, int]:
    """How many verdicts came out how, and how many claims have none."""
    counts = Counter(each["outcome"] for each in document["verdicts"])
    judged = {(each["paper"], each["claim"]) for each in document["verdicts"]}
    claims = {(each["paper"], each["claim"]) for each in document["claims"]}
    return {outcome: counts[outcome] for outcome in map(str, Outcome)} | {
        NOT_RUN: len(claims - judged),
        "claims": len(claims),
        "judged": len(judged),
        "verdicts": len(document["verdicts"]),
    }


# --- claims


def _chapters(papers: Sequence[Told], claims: Sequence[Told]) -> list[dict[str, Any]]:
    """Papers with their sections, and these with their claims."""
    chapters = []
    for title in dict.fromkeys(paper["title"] for paper in papers):
        own = [claim for claim in claims if claim["paper"] == title]
        names = sorted({claim["section"] for claim in own}, key=place)
        sections = [
            {"name": section_name(each), "claims": [one for one in own if one["section"] == each]}
            for each in names
        ]
        chapters.append({"title": title, "sections": sections})
    _name_anchors([claim for chapter in chapters for claim in _claims_of(chapter)])
    return chapters


def _claims_of(chapter: Told) -> Iterator[dict[str, Any]]:
    for section in chapter["sections"]:
        yield from section["claims"]


def _name_anchors(claims: Iterable[dict[str, Any]]) -> None:
    """Give each claim an id of the page, of which no two are alike."""
    taken: Counter[str] = Counter()
    for claim in claims:
        slug = re.sub(r"[^a-z0-9]+", "-", claim["claim"].lower()).strip("-")
        taken[slug] += 1
        claim["anchor"] = f"claim-{slug}" + (f".{taken[slug]}" if taken[slug] > 1 else "")


def _claim(
    claim: Told, document: Told, shown: Sequence[Told], most: int, album: Album
) -> dict[str, Any]:
    """A claim with all that is known of it."""
    mine = [each for each in document["verdicts"] if _same(each, claim)]
    here = [each for each in shown if _same(each, claim)]
    reasons: dict[str, list[str]] = {}
    for each in document["not_run"]:
        if _same(each, claim):
            reasons.setdefault(each["reason"], []).append(each["subject"])
    return {
        **claim,
        "verdicts": mine,
        "reasons": reasons,
        "images": _images(here, most, album),
    }


def _same(told: Told, claim: Told) -> bool:
    return (told["paper"], told["claim"]) == (claim["paper"], claim["claim"])


def _images(shown: Iterable[Told], most: int, album: Album) -> list[dict[str, Any]]:
    by_subject: dict[str, list[Told]] = {}
    compared: Counter[str] = Counter()
    for each in shown:
        by_subject.setdefault(each["label"], []).extend(each["cases"])
        compared[each["label"]] += each["compared"]
    return [
        {
            "subject": label,
            "groups": groups(cases, most, album),
            "more": compared[label] - len({(case["arm"], case["setting"]) for case in cases}),
            "outlined": any(case["tokens"] for case in cases),
        }
        for label, cases in by_subject.items()
        if cases
    ]


# --- numbers


def _figure_of(verdict: Told) -> str:
    if verdict["estimate"] is None:
        return "not measured"
    return amount(verdict["estimate"], words.unit_of(verdict))


def _worth_of(verdict: Told) -> str:
    """How many independent images they are worth, where that is told."""
    worth = verdict["worth"]
    if worth is None or worth >= WORTH_LESS * verdict["n"]:
        return ""
    return number(worth, "")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _span(verdict: Told) -> dict[str, str] | None:
    """Where an interval, its estimate and its bound stand on a line, in per cent of it: shares from
    0 to 1, their differences from -1 to 1, anything else as far as it reaches."""
    estimate, bound = verdict["estimate"], verdict["bound"]
    if estimate is None or not verdict["sampled"]:
        return None
    known = [each for each in (estimate, bound, *verdict["interval"]) if each is not None]
    start, end = SCALES.get(verdict["unit"], (min(known), max(known)))
    wide = end - start or 1.0

    def at(value: float) -> str:
        return f"{3 + 94 * min(max((value - start) / wide, 0.0), 1.0):.1f}%"

    low, high = verdict["interval"]
    return {
        "low": at(start if low is None else low),
        "high": at(start + wide if high is None else high),
        "estimate": at(estimate),
        "bound": "" if bound is None else at(bound),
    }


# --- what tests show beside verdicts


def _figures(shown: Iterable[Told]) -> list[dict[str, Any]]:
    """Figures of the page; those that would make it too long are links alone, and so are those of
    which one stands that has several side by side."""
    figures = all_of(shown, "figures")
    files = file_names(figures)
    parts = {name: alone(name, figures) for name in figures}
    within = {each for those in parts.values() for each in those}
    found, drawn = [], 0
    for at, name in enumerate(each for each in figures if each not in within):
        size = len(figures[name]["svg"])
        fits = drawn + size <= DRAWN
        drawn += size if fits else 0
        own = _figure(name, figures[name], f"figure-{at}", fits)
        links = [{"name": each, "file": f"figures/{files[each]}"} for each in parts[name]]
        found.append({**own, "file": f"figures/{files[name]}", "alone": links})
    return found


def _figure(name: str, figure: Told, anchor: str, is_drawn: bool) -> dict[str, Any]:
    """A figure with the first of its numbers."""
    picture = inline(name, figure["svg"], f"{anchor}-", f"{anchor}-title {anchor}-tells")
    head, *lines = [*csv.reader(StringIO(figure["csv"]))] or [[]]
    return {
        **figure,
        "name": name,
        "anchor": anchor,
        "own_ink": OF_THE_PAGE not in figure["svg"],
        "picture": picture if is_drawn else "",
        "head": head,
        "lines": lines[:LINES],
        "more": max(0, len(lines) - LINES),
    }


def _pages(shown: Iterable[Told]) -> list[dict[str, Any]]:
    return [
        {"name": name, "text": as_html(page, name)} for name, page in all_of(shown, "pages").items()
    ]


def _files(shown: Iterable[Told]) -> list[str]:
    """All files, once each, by name and number: which test had one first says nothing."""
    return sorted(
        all_of(shown, "files"),
        key=lambda name: (re.sub(r"\d+", "", name), [*map(int, re.findall(r"\d+", name))]),
    )


def _of_toys(shown: Sequence[Told], subjects: Iterable[Told]) -> set[str]:
    """The names of figures and pages that are of a stand-in, be it beside others."""
    toys = {subject["label"] for subject in subjects if subject["toy"]}
    own = {
        name for one in shown if one["label"] in toys for name in (*one["figures"], *one["pages"])
    }
    every = all_of(shown, "figures")
    return own | {name for name in every if not own.isdisjoint(alone(name, every))}


def _measured(known: Mapping[str, Sequence[Told]]):
    section = origins_section(known)
    return as_html(section.partition(HOW)[2], "how it was measured") if section else ""
