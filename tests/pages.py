"""How committed result pages under reports/ are compared with what a run writes."""

import re
from pathlib import Path

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

IMAGES = 1  # by which a count may differ between machines, whose arithmetic rounds differently
TOKENS = 0.15  # by which a mean number of tokens may
WORD = re.compile(r"\d+ of \d+|\(\d+\.\d\)|[^\s|:-]+")  # layout apart
NUMBER = re.compile(r"\d+\.?\d*")
OUTCOME = re.compile(r"(supported|refuted|undecided)\*?")


def same_page(one: str, other: str) -> bool:
    """Whether two pages have the same words and numbers, up to one image per count.

    A verdict may differ where one of the two is marked as one that an image more or less changes.
    """
    first, second = WORD.findall(one), WORD.findall(other)
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


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    if OUTCOME.fullmatch(one) and OUTCOME.fullmatch(other):
        return one.endswith("*") or other.endswith("*")
    numbers = list(zip(NUMBER.findall(one), NUMBER.findall(other), strict=False))
    allowed = IMAGES if " of " in one else TOKENS if one.startswith("(") else 0
    return NUMBER.sub("", one) == NUMBER.sub("", other) and all(
        abs(float(a) - float(b)) <= allowed for a, b in numbers
    )
