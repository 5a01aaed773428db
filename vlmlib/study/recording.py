"""What stores have recorded, read without any model: one file, or several as one."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from vlmlib.errors import VLMError
from vlmlib.study.database import check_schema, explained, reading
from vlmlib.study.row import Row
from vlmlib.study.store import (
    ROW,
    SCHEMA,
    Finished,
    Measurement,
    check_failed,
    made_by,
    rows_of,
    table_of,
)

NAMES = ("model", "data", "protocol", "task", "design")
VERSION = [each.name for each in fields(Measurement) if each.name not in NAMES]
MEASURED = f"""
SELECT id, begun, id IN (SELECT measurement FROM units) AS counts, {", ".join(NAMES)},
    {", ".join(VERSION)}
FROM measurements
"""
ASKED = "SELECT example, position FROM asked WHERE measurement = ?"
THERE = "SELECT DISTINCT example FROM units WHERE measurement = ?"
RECORDED = f"""
SELECT example, cluster, latest.position, origin, {ROW}
FROM latest LEFT JOIN rows ON rows.unit = latest.key
WHERE measurement = ? ORDER BY latest.position, example, rows.position
"""
SHOWN = 8  # ids in a message


@dataclass(frozen=True)
class Missing:
    """Examples that a measurement was asked for and that no file has, in the data set's order.

    - `asked`: for how many. `examples`: their ids, and where in the data set each stands.
      `elsewhere`: which of the files have some of them by another version, and what differs.
    """

    task: str
    design: str
    asked: int
    examples: dict[str, int]
    elsewhere: dict[Path, list[str]]

    def before(self, end: int) -> "Missing":
        """Those that stand before a place in the data set."""
        kept = {id_: at for id_, at in self.examples.items() if at < end}
        return replace(self, examples=kept)

    def __str__(self) -> str:
        table, count = table_of(self.task, self.design), len(self.examples)
        ids = ", ".join([*self.examples][:SHOWN])
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        told = f"{count:,} of {self.asked:,} images of {table} are missing: {ids}{more}."
        for path, differing in self.elsewhere.items():
            told += f" {path} has rows of some, with another {', '.join(differing)}."
        return told


class Recording:
    """The rows of stores' files: of each measurement the newest version, whichever file has it.

    - `paths`: the files. `subjects`: (model, data, protocol) of all that was measured.

    **Arguments:** a file, or several: shards of one run, each with images of its own.

    **Raises:** `VLMError` that names the file if it is no such database.

    !!! example

        >>> import tempfile
        >>> from vlmlib.study import Store
        >>> folder = Path(tempfile.mkdtemp())
        >>> Store(folder).close()
        >>> Recording(folder / "rows.sqlite").subjects
        []
    """

    def __init__(self, paths: Path | Sequence[Path]):
        self.paths = [paths] if isinstance(paths, Path) else list(paths)
        # by names and id: when it was begun, what it is, and whether it counts
        self._versions: dict[tuple[str, ...], dict[str, _Version]] = {}
        self._lacking: dict[tuple[str, str, str], list[Missing]] = {}
        for path in self.paths:
            if not path.is_file():
                raise VLMError(
                    f"There are no recorded rows in {str(path)!r}. Pass the rows.sqlite of a store."
                )
            with opened(path) as database:
                for id_, begun, counts, *names in database.execute(MEASURED):
                    self._add(id_, begun, bool(counts), names)
        counting = [names for names, each in self._versions.items() if _newest(each)]
        self.subjects: list[tuple[str, str, str]] = sorted({names[:3] for names in counting})  # pyright: ignore

    def read(self, subject: tuple[str, str, str], task: str, design: str) -> list[Finished]:
        """The rows of each example of one measurement, in the data set's order; none if it was
        made on no example.

        **Raises:** `VLMError` if it was not made, if two files have other rows of an example, or if
        so many of the images failed that a run would have ended.
        """
        names = (*subject, task, design)
        if names not in self._versions:
            raise VLMError(
                f"There are no rows of {task!r}{f' under {design!r}' if design else ''} on "
                f"{subject[0]!r} in {self}. Measure it, pass a file that has them, or choose what "
                "was measured."
            )
        found: dict[str, tuple[int, Finished, Path]] = {}
        id_ = _newest(self._versions[names])
        for path in self.paths if id_ else ():
            for position, each in _recorded(path, id_):
                first = found.setdefault(each.example, (position, each, path))
                if difference := _difference(first[1].rows, each.rows):
                    raise VLMError(
                        f"{str(first[2])!r} and {str(path)!r} disagree on example {each.example} "
                        f"of {task!r}: {difference}. What two cards measure may differ in "
                        "rounding: leave one of the files out, or measure each image once."
                    )
        ordered = sorted(found.values(), key=lambda each: (each[0], each[1].example))
        finished = [each for _, each, _ in ordered]
        check_failed(finished, f"{subject[0]}, {table_of(task, design)}", len(finished))
        return finished

    def has(self, subject: tuple[str, str, str], task: str, design: str = "") -> bool:
        """Whether a measurement was made."""
        return (*subject, task, design) in self._versions

    def tasks(self, subject: tuple[str, str, str], design: str = "") -> list[str]:
        """The tasks of a subject that were measured under a design, as they were begun."""
        begun = {
            names[3]: min(each.begun for each in versions.values())
            for names, versions in self._versions.items()
            if names[:3] == subject and names[4] == design and _newest(versions)
        }
        return sorted(begun, key=lambda task: (begun[task], task))

    def place(self, subject: tuple[str, str, str], task: str, example: str) -> int:
        """Where an example that a task was asked about stands in the data set; -1 for no place."""
        id_, found = _newest(self._versions[*subject, task, ""]), [-1]
        for path in self.paths:
            with opened(path) as database:
                for name, position in database.execute(ASKED, [id_]):
                    if name == example:
                        found.append(position)
        return max(found)

    def missing(self, subject: tuple[str, str, str]) -> list[Missing]:
        """What was asked for of a model and is in no file, measurement by measurement."""
        if subject not in self._lacking:
            found = [
                self._missing(names, id_)
                for names, versions in self._versions.items()
                if names[:3] == subject and (id_ := _newest(versions))
            ]
            self._lacking[subject] = [each for each in found if each.examples]
        return self._lacking[subject]

    def __str__(self) -> str:
        first, *others = [repr(str(path)) for path in self.paths]
        return f"{first} and {len(others)} more" if others else first

    def _add(self, id_: str, begun: str, counts: bool, names: list[Any]) -> None:
        versions = self._versions.setdefault(tuple(names[: len(NAMES)]), {})
        known = versions.get(id_, _Version(begun, False, names[len(NAMES) :]))
        versions[id_] = _Version(min(begun, known.begun), counts or known.counts, known.what)

    def _missing(self, names: tuple[str, ...], id_: str) -> Missing:
        versions = self._versions[names]
        asked: dict[str, int] = {}
        there: dict[tuple[str, Path], set[str]] = {}
        for path in self.paths:
            with opened(path) as database:
                for example, position in database.execute(ASKED, [id_]):
                    asked[example] = min(position, asked.get(example, position))
                for each in versions:
                    found = database.execute(THERE, [each])
                    there[each, path] = {example for (example,) in found}
        lacking = asked.keys() - set().union(*(there[id_, path] for path in self.paths))
        elsewhere = {
            path: _differing(versions[id_].what, versions[other].what)
            for (other, path), examples in there.items()
            if other != id_ and examples & lacking
        }
        task, design = names[3:]
        by_place = sorted(lacking, key=lambda example: (asked[example], example))
        ordered = {example: asked[example] for example in by_place}
        return Missing(task, design, len(asked), ordered, elsewhere)


@dataclass(frozen=True)
class _Version:
    """A measurement of some names: when it was begun, whether it has any unit, and what it is."""

    begun: str
    counts: bool
    what: list[Any]


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A store's file, to be read."""
    with explained(path), closing(reading(path)) as database:
        check_schema(path, database, SCHEMA)
        yield database


def _newest(versions: dict[str, _Version]) -> str:
    """The id of the version that was begun last and measured anything; "" where none did."""
    counting = sorted((id_ for id_ in versions if versions[id_].counts), reverse=True)
    return max(counting, key=lambda id_: versions[id_].begun, default="")


def _recorded(path: Path, measurement: str) -> Iterator[tuple[int, Finished]]:
    """Each example of a measurement in a file, with its position in the data set."""
    found: dict[tuple[int, str, str, str], list[Row]] = {}
    with opened(path) as database:
        made = cache(lambda origin: made_by(database, measurement, origin))
        for example, cluster, position, origin, *columns in database.execute(
            RECORDED, [measurement]
        ):
            which = position, example, cluster, origin
            found.setdefault(which, []).extend(rows_of(columns))
        for (position, example, cluster, origin), rows in found.items():
            yield position, Finished.of(example, cluster, rows, made(origin))


def _difference(first: Sequence[Row], second: Sequence[Row]) -> str:
    """The first difference between two files' rows of one example; "" for none."""
    if [row.arm for row in first] != [row.arm for row in second]:
        return f"arms {[row.arm for row in first]} and {[row.arm for row in second]}"
    for one, other in zip(first, second, strict=True):
        for each in fields(Row):
            values = getattr(one, each.name), getattr(other, each.name)
            if values[0] != values[1]:
                return f"{each.name} of arm {one.arm!r} is {values[0]!r} and {values[1]!r}"
    return ""


def _differing(one: list[Any], other: list[Any]) -> list[str]:
    return [name for name, a, b in zip(VERSION, one, other, strict=True) if a != b]
