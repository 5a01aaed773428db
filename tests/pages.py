"""How committed result pages under reports/ are compared with what a run writes: by their results,
and not by the machine that they come from."""

import json
import re
from pathlib import Path

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from claimlib.report import HOW

IMAGES = 1  # by which a count may differ between machines, whose arithmetic rounds differently
TOKENS = 0.15  # by which a mean number of tokens may
POINTS = 3.0  # by which shares may, and the ends of their intervals: an image of a few dozen
NUMBER = re.compile(r"\d+\.?\d*")
OUTCOME = re.compile(r"(supported|refuted|undecided)\*?( \([a-z ]+\))?")
# Layout apart; what is required stays as it is.
FIGURES = r"[<>] [\d.]+%|n = \d+|-?[\d.]+ \[[^\]]*\] points|\d+ of \d+|\(\d+\.\d\)"
WORD = re.compile(rf"(?:{OUTCOME.pattern}(?![\w*])|{FIGURES}|[^\s|:-]+)")


def same_page(one: str, other: str) -> bool:
    """Whether two pages have the same words and numbers, up to one image per count, and to what it
    is worth in per cent.

    A verdict may differ where one of the two is marked as one that an image more or less changes.
    """
    first, second = (_words(each) for each in (one, other))
    return len(first) == len(second) and all(map(_same, first, second))


class PageSnapshot(SingleFileSnapshotExtension):
    """A committed page `reports/NAME.md`, compared by `same_page`."""

    _write_mode = WriteMode.TEXT
    file_extension = "md"

    @classmethod
    def dirname(cls, *, test_location) -> str:
        return str(Path(__file__).parent.parent / "reports")

    @classmethod
    def get_file_basename(cls, *, test_location, index) -> str:
        return str(index)

    @classmethod
    def matches_test_location(cls, *, test_location, snapshot_location) -> bool:
        """Pages stand apart from the test that compares them, under names of their own."""
        return Path(snapshot_location).parent == Path(cls.dirname(test_location=test_location))

    def matches(self, *, serialized_data, snapshot_data) -> bool:
        return same_page(str(serialized_data), str(snapshot_data))


def _words(page: str) -> list[str]:
    results = page.split(HOW)[0]
    return [found.group() for found in WORD.finditer(results.replace("<br>", " "))]


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    if OUTCOME.fullmatch(one) and OUTCOME.fullmatch(other):
        return "*" in one + other
    numbers = list(zip(NUMBER.findall(one), NUMBER.findall(other), strict=False))
    return NUMBER.sub("", one) == NUMBER.sub("", other) and all(
        abs(float(a) - float(b)) <= _allowed(one) for a, b in numbers
    )


def _allowed(word: str) -> float:
    """By how much the numbers of a word may differ."""
    if word[0] in "<>":
        return 0.0
    if "%" in word or word.endswith("points"):
        return POINTS
    if " of " in word or word.startswith("n = "):
        return IMAGES
    return TOKENS if word.startswith("(") else 0.0


def without_the_run(name: str, text: str) -> str:
    """A file of a report but for the time and command of the run that made it."""
    if name == "verdicts.json":
        return json.dumps(json.loads(text) | {"run": None})
    before, _, after = text.partition("<dt>This run</dt>")
    return before + after.partition("</dd>")[2] if name == "index.html" else text
