"""The results store: nothing is computed twice, nothing that was measured is lost, and what comes
back is what went in.

Interruptions are real (a process is killed at every SQL statement in turn), and so are the
processes that share a store. A store that fails here would cost days of measuring, or report rows
that no run has produced.
"""

import contextlib
import hashlib
import itertools
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import vlmlib.study.store as store_module
from vlmlib import ImageError, VLMError
from vlmlib.study.origin import Origin
from vlmlib.study.recording import Recording
from vlmlib.study.store import (
    Finished,
    Measurement,
    Row,
    Store,
    Unit,
    content_key,
)

ROOT = Path(__file__).parents[3]
Compute = Callable[[Unit], Sequence[Row] | ImageError]
FIRST = Measurement(
    model="emoji-llava",
    weights="w1",
    dtype="float32",
    device="cpu",
    mean="m1",
    data="eval",
    protocol="text",
    task="polling",
    design="ablations",
    code="c1",
    libraries="{}",
    seed=0,
)

# What runs in other processes: it has what stands below, without the seconds that torch takes, and
# prints what it computes.
CHILD = """
import os, signal, sqlite3, sys, time
from contextlib import closing
from itertools import count
from pathlib import Path
from types import ModuleType

for name in ("vlmlib", "vlmlib.study"):  # packages of which only what is asked for is imported
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [name.replace(".", "/")]
from vlmlib.study.store import Measurement, Row, Store, Unit

folder = Path(sys.argv[1])
FIRST = Measurement(*["emoji-llava", "w1", "float32", "cpu", "m1", "eval", "text", "polling"],
                    *["ablations", "c1", "{}", 0])

def unit(image):
    return Unit(str(image), str(image), f"scene {image}", image)

def rows(image):
    return [Row("clean", True, detail=[image]), Row("object", False, detail=[image])]

def until(file):
    for _ in range(2000):  # 20 s
        if file.exists():
            return True
        time.sleep(0.01)
    return False

def compute(unit):
    print(unit.position, flush=True)
    time.sleep(0.002)
    return rows(unit.position)

def collected(store, units, compute, label="polling"):
    def one_by_one(units):
        return ((unit, compute(unit)) for unit in units)

    found = store.collect_together(FIRST, units, one_by_one, label, 1)
    return {each.example: each.rows for each in found}
"""


def unit(image: int) -> Unit:
    return Unit(str(image), str(image), f"scene {image}", image)


def rows(image: int) -> list[Row]:
    return [Row("clean", True, detail=[image]), Row("object", False, detail=[image])]


def units(*images: int) -> list[Unit]:
    return [unit(image) for image in images]


def collect(
    store: Store,
    measurement: Measurement,
    units: Sequence[Unit],
    compute: Compute,
    label: str,
    **more: Any,
) -> list[Finished]:
    """What a store collects of units that are computed one by one."""

    def one_by_one(units: Sequence[Unit]) -> Iterator[tuple[Unit, Sequence[Row] | ImageError]]:
        return ((unit, compute(unit)) for unit in units)

    return store.collect_together(measurement, units, one_by_one, label, 1, **more)


def there(store: Store, units: Sequence[Unit]) -> dict[str, list[Row]]:
    """The rows of those units that are finished."""
    return {each.example: each.rows for each in store.there(units)}


def collected(
    store: Store, units: Sequence[Unit], compute: Compute, label: str = "polling"
) -> dict[str, list[Row]]:
    """The rows of each example."""
    return {each.example: each.rows for each in collect(store, FIRST, units, compute, label)}


def child(folder: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> list[int]:
    """Which images a child has computed."""
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    return [int(line) for line in out.split()]


class Asked:
    """A `compute` that remembers what it was asked for, and raises on one image."""

    def __init__(self, fails_on: int | None = None, error: type[BaseException] = RuntimeError):
        self.asked: list[int] = []
        self.fails_on, self.error = fails_on, error

    def __call__(self, unit: Unit) -> list[Row]:
        self.asked.append(unit.position)
        if unit.position == self.fails_on:
            raise self.error
        return rows(unit.position)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "results")) as store:
        yield store


def another(store: Store, fresh_run: str | None = None) -> closing[Store]:
    return closing(Store(store.path.parent, fresh_run))


# --- asked once, asked again


def test_asking_twice_computes_once(store):
    measure = Asked()
    first = collected(store, units(3, 1, 2), measure)
    again = collected(store, units(3, 1, 2), measure)
    assert measure.asked == [3, 1, 2]
    assert first == again == {"3": rows(3), "1": rows(1), "2": rows(2)}


def test_a_store_opened_later_has_what_was_computed(store):
    collected(store, units(1, 2), Asked())
    store.close()
    with another(store) as later:
        assert collected(later, units(1, 2), Asked(fails_on=1)) == {
            "1": rows(1),
            "2": rows(2),
        }


def test_only_what_is_missing_is_computed(store):
    """And all comes back in the order asked."""
    measure = Asked()
    collected(store, units(5, 2), measure)
    found = collected(store, units(3, 2, 5, 1, 3), measure, "vqa")
    assert measure.asked == [5, 2, 3, 1]
    assert list(found.items()) == [(str(image), rows(image)) for image in (3, 2, 5, 1)]
    again = collect(store, FIRST, units(3, 2, 3), measure, "vqa")
    assert [(each.example, each.cluster) for each in again] == [
        ("3", "scene 3"),
        ("2", "scene 2"),
        ("3", "scene 3"),
    ]


def test_reading_gives_finished_units_only(store):
    collected(store, units(2), Asked())
    assert there(store, units(1, 2, 3)) == {"2": rows(2)}


def test_a_unit_without_rows_is_finished_too(store):
    assert collected(store, units(1), lambda unit: []) == {"1": []}
    assert collected(store, units(1), Asked(fails_on=1)) == {"1": []}


def test_ten_thousand_units_are_read_with_one_statement(store):
    many = units(*range(10_000))
    collected(store, [], Asked())
    with store.database as database:
        database.execute("BEGIN")
        database.executemany(
            f"INSERT INTO units VALUES (?, '{FIRST.id}', ?, ?, ?, '', '', '')",
            [astuple(unit) for unit in many[:-1]],
        )
        database.executemany(
            "INSERT INTO rows (unit, position, arm) VALUES (?, 0, 'a')",
            [[u.key] for u in many[:-1]],
        )
    statements = []
    store.database.set_trace_callback(statements.append)
    assert there(store, many) == {unit.example: [Row("a")] for unit in many[:-1]}
    assert len(statements) == 2  # the other one tells what made them
    assert collected(store, many[:-1], Asked(fails_on=0)).keys() == {unit.key for unit in many[:-1]}
    assert len(statements) == 3


# --- what comes back

text = st.text(st.characters(exclude_categories=["Cs"]))
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
stored_rows = st.builds(
    Row,
    arm=text,
    right=st.none() | st.booleans(),
    probability=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tokens=st.none() | st.integers(-(2**63), 2**63 - 1),
    answer=st.none() | text,
    detail=st.recursive(
        plain, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=8
    ),
    moved=st.none() | st.booleans(),
    attention=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    reached=st.none() | st.booleans(),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(Store(tmp_path_factory.mktemp("shared"))) as store:
        yield store


@settings(deadline=None)
@given(given_rows=st.lists(stored_rows, max_size=5))
@example(given_rows=[Row(arm, detail={"Ω": [None]}) for arm in ("b", "a", "", "\0", "b")])
def test_rows_come_back_as_they_were_written_in_their_order(shared, given_rows):
    unit = Unit(content_key(str(given_rows)), "", "", 0)
    (found,) = collected(shared, [unit], lambda unit: given_rows).values()
    assert found == given_rows
    for truth in ("right", "moved", "reached"):
        types = [[type(getattr(row, truth)) for row in rows] for rows in (found, given_rows)]
        assert types[0] == types[1]
    assert [repr(row.detail) for row in found] == [repr(row.detail) for row in given_rows]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("probability", math.nan),
        ("probability", math.inf),
        ("right", np.True_),
        ("right", 1),
        ("tokens", np.int64(3)),
        ("answer", 5),
        ("answer", "\ud800"),
        ("detail", (1, 2)),
        ("detail", {1: 0.5}),
        ("detail", [0.5, math.nan]),
        ("detail", {"rank": np.int64(3)}),
    ],
)
def test_a_row_that_would_come_back_changed_is_refused(store, field, value):
    """And its unit is left missing."""
    row = with_field(Row("a"), field, value)
    answers = {1: [Row("fine")], 2: [Row("fine"), row], 3: [Row("fine")]}
    with pytest.raises(
        VLMError,
        match=rf"Row\(arm='a'.* on example 2, cannot be stored: {field} would come back changed",
    ):
        collected(store, units(1, 2, 3), lambda unit: answers[unit.position])
    assert there(store, units(1, 2, 3)) == {"1": [Row("fine")]}


def test_a_unit_of_other_types_is_refused(store):
    strange = with_field(unit(1), "position", np.int64(1))
    with pytest.raises(VLMError, match="position would come back changed"):
        collected(store, [strange], Asked())


def with_field(part: Any, field: str, value: Any) -> Any:
    """A row or unit with a value that checks of types refuse where it is made."""
    object.__setattr__(part, field, value)
    return part


def test_a_person_can_read_the_results_with_sql(store):
    answer = Row("clean", True, 0.5, 3, "a dog", {"é": [1, None]}, True, 0.25, False)
    origin = Origin("H100", "sdpa", "Linux", "1a2b", "a1")
    collect(store, FIRST, units(7), lambda unit: [answer], "polling", origin=lambda: origin)
    with closing(sqlite3.connect(store.path)) as database:
        cursor = database.execute("SELECT * FROM results")
        found = dict(
            zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True)
        )
        assert database.execute("SELECT arm, avg(right) FROM results GROUP BY arm").fetchall() == [
            ("clean", 1.0)
        ]
    for name in ("begun", "written"):
        when = datetime.fromisoformat(found.pop(name))
        assert timedelta(seconds=-1) <= datetime.now(UTC) - when < timedelta(minutes=5)
    assert found == {
        **{"model": "emoji-llava", "data": "eval", "protocol": "text"},
        **{"task": "polling", "design": "ablations", "example": "7", "cluster": "scene 7"},
        **{"arm": "clean", "right": 1, "probability": 0.5, "tokens": 3, "answer": "a dog"},
        **{"detail": '{"é": [1, null]}', "moved": 1, "attention": 0.25, "reached": 0},
        **{"seed": 0, "weights": "w1", "dtype": "float32"},
        **{"device": "cpu", "code": "c1", "libraries": "{}", "run": "", "card": "H100"},
        **{"attention_backend": "sdpa", "system": "Linux", "suite": "1a2b", "annotations": "a1"},
    }


def test_the_query_that_the_module_advertises_runs(store):
    collected(
        store, units(1, 2), lambda unit: [Row("clean", True), Row("object", unit.position < 2)]
    )
    [query] = re.findall(r"`(select .*?)`", store_module.__doc__ or "", flags=re.DOTALL)
    assert store.database.execute(query).fetchall() == [
        ("emoji-llava", "ablations", "polling", "clean", 1.0),
        ("emoji-llava", "ablations", "polling", "object", 0.5),
    ]


# --- the table of measurements, and what the view shows of them


def measure(
    store: Store,
    images: Sequence[int],
    word: str,
    fails_on: int = 0,
    other: dict[str, Any] | None = None,
) -> None:
    """Measure images whose answers are all this word, as another measurement than the first."""
    measurement = replace(FIRST, **(other or {}))

    def compute(unit: Unit) -> list[Row]:
        if unit.position == fails_on:
            raise RuntimeError
        return [Row("clean", True, answer=word)]

    asked = [replace(unit(image), key=content_key(measurement.id, word, image)) for image in images]
    with contextlib.suppress(RuntimeError):
        collect(store, measurement, asked, compute, "polling")


def shown(store: Store) -> list[tuple[str, str]]:
    """What the view shows: examples and answers, and the same when it is read as a recording."""
    found = store.database.execute("SELECT example, answer FROM results").fetchall()
    recording = Recording(store.path)
    read = [
        (each.example, str(row.answer))
        for model, data, protocol in recording.subjects
        for task, design in store.database.execute(
            "SELECT DISTINCT task, design FROM newest WHERE (model, data, protocol) = (?, ?, ?)"
            " ORDER BY 1, 2",
            (model, data, protocol),
        )
        for each in recording.read((model, data, protocol), task, design)
        for row in each.rows
    ]
    assert read == found
    return found


NAMES = ("model", "data", "protocol", "task", "design")
VERSIONS = ("code", "weights", "mean", "dtype", "device", "libraries")


def test_a_measurement_is_kept_once_with_all_that_it_is(store):
    for _ in range(2):
        measure(store, [1, 2], "dog")
    [found] = store.database.execute("SELECT * FROM measurements").fetchall()
    assert found[:-1] == (FIRST.id, *astuple(FIRST))
    assert store.database.execute("SELECT DISTINCT measurement FROM units").fetchall() == [
        (FIRST.id,)
    ]


@pytest.mark.parametrize("field", [*NAMES, *VERSIONS])
def test_whatever_a_measurement_is_is_in_its_id(field):
    assert replace(FIRST, **{field: "another"}).id != FIRST.id
    assert replace(FIRST, seed=1).id != FIRST.id
    assert replace(FIRST).id == FIRST.id


@pytest.mark.parametrize("field", VERSIONS)
def test_of_two_versions_under_one_name_the_newer_is_shown(field, store):
    """Two codes, two designs of one name, two weights under one name: never rows of both."""
    measure(store, [1, 2], "old")
    measure(store, [2, 3], "new", other={field: "another"})
    assert shown(store) == [("2", "new"), ("3", "new")]
    assert store.database.execute("SELECT count(*) FROM units").fetchone() == (4,)


def test_another_seed_is_another_version(store):
    measure(store, [1], "old")
    measure(store, [1], "new", other={"seed": 1})
    assert shown(store) == [("1", "new")]


@pytest.mark.parametrize("field", NAMES)
def test_measurements_of_other_names_stand_beside_one_another(field, store):
    measure(store, [1, 2], "first")
    measure(store, [2, 3], "second", other={field: "zebra"})
    assert shown(store) == [("1", "first"), ("2", "first"), ("2", "second"), ("3", "second")]


def test_each_name_has_a_newest_version_of_its_own(store):
    measure(store, [1], "polling, old")
    measure(store, [1], "vqa, old", other={"task": "vqa"})
    measure(store, [1], "polling, new", other={"code": "c2"})
    assert shown(store) == [("1", "polling, new"), ("1", "vqa, old")]


def test_an_interrupted_newer_version_is_not_filled_up_with_the_older(store):
    measure(store, [1, 2, 3], "old")
    measure(store, [1, 2, 3], "new", fails_on=2, other={"code": "c2"})
    assert shown(store) == [("1", "new")]
    measure(store, [1, 2, 3], "new", other={"code": "c2"})
    assert shown(store) == [("1", "new"), ("2", "new"), ("3", "new")]


def test_a_newer_version_that_measured_nothing_hides_nothing(store):
    """As where the model could not be loaded."""
    measure(store, [1, 2], "old")
    measure(store, [1, 2], "new", fails_on=1, other={"code": "c2"})
    assert shown(store) == [("1", "old"), ("2", "old")]
    measure(store, [1], "elsewhere", fails_on=1, other={"model": "another"})
    assert Recording(store.path).subjects == [("emoji-llava", "eval", "text")]


def test_an_older_version_that_goes_on_stays_the_older(store):
    measure(store, [1], "old")
    measure(store, [1], "new", other={"code": "c2"})
    measure(store, [1, 2], "old")
    assert shown(store) == [("1", "new")]


def test_of_an_example_that_has_changed_the_last_is_shown(store):
    """Its picture, target or question is another: the rows of both would count it twice."""
    measure(store, [1, 2, 3], "before")
    measure(store, [2], "after")
    assert shown(store) == [("1", "before"), ("2", "after"), ("3", "before")]


def test_a_newer_measurement_of_few_hides_the_older_of_many(store):
    measure(store, range(1, 30), "old")
    measure(store, [1], "new", other={"code": "c2"})
    assert shown(store) == [("1", "new")]


# --- recordings

SUBJECT = ("emoji-llava", "eval", "text")


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_recording_has_the_rows_that_were_measured_in_their_order(store):
    found = collect(store, FIRST, units(3, 1, 2), Asked(), "polling")
    measure(store, [1], "cat", other={"task": "vqa", "model": "another"})
    nothing = collect(store, replace(FIRST, task="lens"), [replace(unit(9), key="9'")], empty, "")
    collect(store, replace(FIRST, task="on no example"), [], Asked(), "")
    store.close()
    recording = Recording(store.path)
    assert recording.subjects == [("another", "eval", "text"), SUBJECT]
    assert recording.read(SUBJECT, "polling", "ablations") == [found[1], found[2], found[0]]
    assert recording.read(SUBJECT, "lens", "ablations") == nothing
    assert [each.rows for each in nothing] == [[]]
    assert recording.read(SUBJECT, "on no example", "ablations") == []


def test_what_a_recording_does_not_have_is_named(store):
    measure(store, [1], "cat", other={"task": "vqa", "model": "another"})
    collected(store, units(1), Asked())
    store.close()
    recording, another = Recording(store.path), ("another", "eval", "text")
    with pytest.raises(VLMError, match=r"no rows of 'vqa' under 'ablations' on 'emoji-llava' in"):
        recording.read(SUBJECT, "vqa", "ablations")
    with pytest.raises(VLMError, match=r"no rows of 'polling' under .* on 'another'.*Measure it"):
        recording.read(another, "polling", "ablations")
    with pytest.raises(VLMError, match=r"no rows of 'polling' on 'emoji-llava' in"):
        recording.read(SUBJECT, "polling", "")


def empty(unit: Unit) -> list[Row]:
    return []


def test_a_recording_writes_nothing(store):
    collected(store, units(1, 2), Asked())
    store.close()
    before = files_of(store.path.parent)
    for _ in range(2):
        assert len(Recording(store.path).read(SUBJECT, "polling", "ablations")) == 2
    assert files_of(store.path.parent) == before


def test_a_recording_shows_what_a_store_that_is_open_has_written(store):
    collected(store, units(1), Asked())
    recording = Recording(store.path)
    assert len(recording.read(SUBJECT, "polling", "ablations")) == 1
    collected(store, units(1, 2), Asked())
    assert len(recording.read(SUBJECT, "polling", "ablations")) == 2


def test_a_recording_has_what_a_killed_process_has_written(tmp_path):
    code = """
collected(Store(folder), [unit(image) for image in range(3)], compute)
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = child(tmp_path, code)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    found = Recording(tmp_path / "rows.sqlite").read(SUBJECT, "polling", "ablations")
    assert [each.rows for each in found] == [rows(image) for image in range(3)]


def test_a_recording_can_be_read_where_nothing_may_be_written():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "a # folder, 100 %?"
        with closing(Store(folder)) as store:
            collected(store, units(1, 2), Asked())
        for path in (folder / "rows.sqlite", folder, Path(name)):
            path.chmod(0o444 if path.is_file() else 0o555)
        code = """
from vlmlib.study.recording import Recording
if os.getuid() == 0:
    os.setuid(65534)  # root may write anywhere
assert not os.access(folder, os.W_OK)
recording = Recording(folder / "rows.sqlite")
for each in recording.read(("emoji-llava", "eval", "text"), "polling", "ablations"):
    print(each.example)
"""
        try:
            assert ended(child(folder, code)) == [1, 2]
        finally:
            for path in (Path(name), folder):
                path.chmod(0o755)


def test_a_missing_recording_is_named(tmp_path):
    for path in (tmp_path / "rows.sqlite", tmp_path):
        with pytest.raises(VLMError, match=f"no recorded rows in '{path}'.*rows.sqlite of a store"):
            Recording(path)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_is_no_database_is_named(tmp_path):
    file = tmp_path / "rows.sqlite"
    file.write_text("image,arm,right\n" * 100)
    with pytest.raises(VLMError, match=r"rows\.sqlite' cannot be used .*whole SQLite database"):
        Recording(file)
    assert file.read_text() == "image,arm,right\n" * 100


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("CREATE TABLE theirs (x)", "schema version 0 and no 'measurements'; expected version 4"),
        ("PRAGMA user_version = 4", "schema version 4 and no 'measurements'; expected version 4"),
        (f"{store_module.SCHEMA}; PRAGMA user_version = 3", "schema version 3; expected version 4"),
    ],
)
def test_a_recording_of_another_schema_is_named(tmp_path, script, message):
    file = tmp_path / "rows.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(script)
    before = file.read_bytes()
    with pytest.raises(VLMError, match=rf"rows\.sqlite' has.*{message}.*Another version"):
        Recording(file)
    assert file.read_bytes() == before


def test_a_damaged_recording_is_named(store):
    collected(store, units(*range(300)), Asked())
    store.close()
    content = store.path.read_bytes()
    store.path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(VLMError, match=r"rows\.sqlite' cannot be used .*whole SQLite database"):
        Recording(store.path).read(SUBJECT, "polling", "ablations")


# --- keys of files


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The names of files that were hashed; all but empty ones are large."""
    found: list[str] = []
    file_key = store_module.file_key

    def counted(path: Path) -> str:
        found.append(path.name)
        return file_key(path)

    monkeypatch.setattr(store_module, "file_key", counted)
    monkeypatch.setattr(store_module, "LARGE", 1)
    return found


def test_a_large_file_is_hashed_once_for_all_sessions(store, tmp_path, hashed, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(b"12")
    expected = hashlib.sha256(b"12").hexdigest()
    assert [store.file_key(file) for _ in range(2)] == [expected] * 2
    with another(store) as later:
        assert later.file_key(file) == expected
        monkeypatch.chdir(tmp_path)
        assert later.file_key(Path("weights")) == expected
    assert hashed == ["weights"]


def test_a_large_file_is_hashed_again_when_its_size_or_time_changes(store, tmp_path, hashed):
    file = tmp_path / "weights"
    keys = []
    for number, content in enumerate([b"12", b"123", b"321"]):
        file.write_bytes(content)
        os.utime(file, ns=(0, number))
        keys += [store.file_key(file), store.file_key(file)]
    expected = [hashlib.sha256(each).hexdigest() for each in (b"12", b"123", b"321")]
    assert keys == [key for key in expected for _ in range(2)]
    assert len(hashed) == 3
    assert store.database.execute("SELECT count(*) FROM files").fetchone() == (1,)


def test_a_small_file_is_not_kept(store, tmp_path):
    (tmp_path / "config").write_bytes(b"12")
    assert store.file_key(tmp_path / "config") == hashlib.sha256(b"12").hexdigest()
    assert store.database.execute("SELECT count(*) FROM files").fetchone() == (0,)


def test_a_missing_file_is_named(store, tmp_path):
    with pytest.raises(VLMError, match=r"nothing'.*cannot be read"):
        store.file_key(tmp_path / "nothing")


# --- interruptions


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_finished_before_an_exception_stays(store, error):
    """And the rest resumes."""
    with pytest.raises(error):
        collected(store, units(1, 2, 3, 4), Asked(fails_on=3, error=error))
    measure = Asked()
    with another(store) as other:  # while the first is still open: it holds no lock any more
        assert there(other, units(1, 2, 3, 4)) == {"1": rows(1), "2": rows(2)}
        collected(other, units(1, 2, 3, 4), measure)
    assert measure.asked == [3, 4]
    assert collected(store, units(5), measure) == {"5": rows(5)}


def test_what_was_finished_before_a_kill_stays(store):
    """And the rest resumes."""
    process = child(
        store.path.parent,
        """
def stuck(unit):
    return compute(unit) if unit.position < 4 else compute(unit) and time.sleep(60)
collected(Store(folder), [unit(image) for image in range(6)], stuck)
""",
    )
    with process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(5)][-1] == "4\n"
        process.send_signal(signal.SIGKILL)
    measure = Asked()
    found = collected(store, units(*range(6)), measure)
    assert measure.asked == [4, 5]
    assert found == {str(image): rows(image) for image in range(6)}


@pytest.mark.parametrize("measured_before", [False, True])
def test_a_kill_at_any_sql_statement_leaves_a_whole_unit_or_none(tmp_path, measured_before):
    process = child(
        tmp_path,
        f"""
def die_at(n):
    statements, connect = count(1), sqlite3.connect
    def connected(*given, **named):
        database = connect(*given, **named)
        database.set_trace_callback(lambda _: next(statements) == n and os.kill(os.getpid(), 9))
        return database
    sqlite3.connect = connected

for n in count(1):
    place = folder / f"{{n:03}}"
    if {measured_before}:
        with closing(Store(place)) as store:
            collected(store, [unit(1)], lambda unit: [Row("old"), Row("older")])
    if not os.fork():
        die_at(n)
        with closing(Store(place, fresh_run="new")) as store:
            collected(store, [unit(1)], lambda unit: rows(1))
        os._exit(0)
    if (status := os.waitstatus_to_exitcode(os.wait()[1])) != -signal.SIGKILL:
        sys.exit(status)
""",
    )
    assert ended(process) == []
    before = {"1": [Row("old"), Row("older")]} if measured_before else {}
    after = {"1": rows(1)}
    states = []
    for folder in sorted(tmp_path.iterdir()):
        with closing(Store(folder)) as store:
            states.append(there(store, units(1)))
            assert there(store, units(1)) in (before, after)
            assert collected(store, units(1), Asked()) == (states[-1] or after)
    changed = states.index(after)
    assert states == [before] * changed + [after] * (len(states) - changed)
    assert changed > 8  # creation or opening, then a transaction of several statements
    assert len(states) - changed > 1  # once written, it outlives a kill


# --- several processes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (range(40), range(40)),
        (range(40), range(39, -1, -1)),
        (range(30), range(10, 40)),
        (range(40), range(0, 40, 3)),
    ],
    ids=["same", "reversed", "overlapping", "every third"],
)
def test_processes_share_the_work_and_compute_each_unit_once(tmp_path, one, other):
    code = """
images = {images}
print(-1, flush=True)
until(folder / "go")
with closing(Store(folder)) as store:
    found = collected(store, [unit(image) for image in images], compute)
    assert found == {{str(image): rows(image) for image in images}}
"""
    processes = [child(tmp_path, code.format(images=list(images))) for images in (one, other)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "-1\n"
    (tmp_path / "go").touch()
    computed = [ended(process) for process in processes]
    assert Counter(computed[0] + computed[1]) == Counter(set(one) | set(other))
    assert all(computed)


def test_a_unit_that_another_process_computes_is_waited_for(store, tmp_path):
    """It is left for later."""
    process = child(
        store.path.parent,
        f"""
def waiting(unit):
    print(unit.position, flush=True)
    return [Row("the other was not blocked", until(Path({str(tmp_path / "go")!r})))]
with closing(Store(folder)) as store:
    collected(store, [unit(1)], waiting)
""",
    )
    assert process.stdout
    assert process.stdout.readline() == "1\n"
    measure = Asked()

    def compute(unit: Unit) -> list[Row]:
        if unit.position == 3:
            (tmp_path / "go").touch()
        return measure(unit)

    found = collected(store, units(1, 2, 3), compute)
    assert ended(process) == []
    assert measure.asked == [2, 3]
    assert found == {"1": [Row("the other was not blocked", True)], "2": rows(2), "3": rows(3)}


def test_what_another_finishes_meanwhile_is_not_computed_again(store):
    measure, other_measure = Asked(), Asked()
    with another(store) as other:

        def compute(unit: Unit) -> list[Row]:
            if unit.position == 1:
                collected(other, units(4, 2), other_measure, "vqa")
            return measure(unit)

        found = collected(store, units(1, 2, 3, 4), compute)
    assert (measure.asked, other_measure.asked) == ([1, 3], [4, 2])
    assert list(found) == ["1", "2", "3", "4"]


@pytest.mark.slow
def test_processes_can_create_the_same_store_at_once(tmp_path):
    process = child(
        tmp_path,
        """
for round in range(12):
    place = folder / str(round)
    for image in range(4):
        if not os.fork():
            until(folder / f"go {round}")
            with closing(Store(place)) as store:
                collected(store, [unit(image)], lambda unit: rows(image))
            os._exit(0)
    (folder / f"go {round}").touch()
    assert [os.wait()[1] for _ in range(4)] == [0] * 4
""",
    )
    assert ended(process) == []
    for place in range(12):
        with closing(Store(tmp_path / str(place))) as store:
            assert len(there(store, units(*range(4)))) == 4


def test_a_computation_that_collects_is_refused_but_may_read(store):
    collected(store, units(1), Asked())

    def compute(unit: Unit) -> list[Row]:
        assert there(store, units(1)) == collected(store, units(1), Asked()) == {"1": rows(1)}
        collected(store, units(3), Asked(), "vqa")
        return []

    with pytest.raises(
        VLMError, match="'vqa' was collected while a unit of something else was computed"
    ):
        collected(store, units(2), compute, "lens")
    assert collected(store, units(2), Asked(), "lens") == {"2": rows(2)}


# --- shares of the work


def own(number: int, count: int, folder: Path, images: Sequence[int]) -> list[int]:
    """The order in which the process of this number computes images."""
    measure = Asked()
    with closing(Store(folder / f"{number} of {count}", share=(number, count))) as store:
        collected(store, units(*images), measure)
    return measure.asked


def test_a_process_alone_computes_in_the_order_asked(tmp_path):
    assert own(0, 1, tmp_path, range(20, 0, -1)) == list(range(20, 0, -1))


def test_each_process_begins_with_its_own_examples(tmp_path):
    """Together they begin with all of them, and each does the others' in the end."""
    images = list(range(40))
    orders = [own(number, 3, tmp_path, images) for number in range(3)]
    assert all(sorted(order) == images for order in orders)
    shares = [order[: rising(order)] for order in orders]
    assert sorted(itertools.chain(*shares)) == images
    assert all(len(share) > 5 for share in shares)


def rising(order: Sequence[int]) -> int:
    """How many stand in ascending order before the first that does not: the own ones."""
    falls = [at for at in range(1, len(order)) if order[at] < order[at - 1]]
    return falls[0] if falls else len(order)


def test_examples_of_one_cluster_belong_to_one_process(tmp_path):
    asked = [Unit(str(image), str(image), f"scene {image // 4}", image) for image in range(40)]
    measure = Asked()
    with closing(Store(tmp_path, share=(0, 2))) as store:
        collected(store, asked, measure)
    share = measure.asked[: rising(measure.asked)]
    assert 0 < len(share) < 40
    assert {image // 4 for image in share} & {
        image // 4 for image in range(40) if image not in share
    } == set()


SHARING = """
print(-1, flush=True)
until(folder / "go")
with closing(Store(folder, share=({number}, 2))) as store:
    found = collected(store, [unit(image) for image in range(40)], {compute})
    assert found == {{str(image): rows(image) for image in range(40)}}
"""


def started(folder: Path, codes: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Processes that begin at once, and at the same time."""
    processes = [child(folder, code) for code in codes]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "-1\n"
    (folder / "go").touch()
    return processes


def test_processes_with_shares_compute_each_unit_once(tmp_path):
    codes = [SHARING.format(number=number, compute="compute") for number in range(2)]
    computed = [ended(process) for process in started(tmp_path, codes)]
    assert Counter(computed[0] + computed[1]) == Counter(range(40))
    for number, done in enumerate(computed):
        share = own(number, 2, tmp_path, range(40))
        first = share[: rising(share)]
        helped = [image not in first for image in done]
        assert helped == sorted(helped)  # others' after all of one's own
        assert not helped[0]


def test_a_process_finishes_the_share_of_one_that_dies(tmp_path):
    dying = "lambda unit: compute(unit) if unit.position < 30 else os.kill(os.getpid(), 9)"
    codes = [SHARING.format(number=at, compute=each) for at, each in enumerate((dying, "compute"))]
    first, second = started(tmp_path, codes)
    computed = ended(second)
    out, _ = first.communicate(timeout=60)
    before = [int(line) for line in out.split()]
    assert first.returncode in (-signal.SIGKILL, 0)
    assert Counter(before + computed) == Counter(range(40))
    assert {*range(30, 40)} <= {*computed} or first.returncode == 0


def test_what_is_made_beside_the_rows_is_made_by_one_process_at_a_time(store):
    with another(store) as other, store.alone("mean"):
        [made] = (path for path in other.path.parent.glob("locks/*") if path.stem != "creation")
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(made).acquire(timeout=0)
        with other.alone("another mean"):
            pass
    with another(store) as other, other.alone("mean"):
        pass


def test_what_is_remembered_is_computed_once_by_whoever_asks_first(store):
    made = []

    def compute() -> dict[str, Any]:
        made.append(len(made))
        return {"outline": [[0.5, 2, -0.0]], "name": "a\ud800\n", "none": None}

    with another(store) as other:
        found = [each.remember("table", compute) for each in (store, store, other)]
    assert made == [0]
    assert found[0] == found[1] == found[2] == compute()
    assert store.remember("another table", lambda: [1]) == [1]
    with another(store, "fresh run") as later:  # it is keyed by all that it depends on
        assert later.remember("table", lambda: 0) == found[0]


def test_what_waits_for_another_process_does_not_compute_it_again(store):
    with another(store) as other, other.alone("table"):
        other.database.execute("INSERT INTO remembered VALUES ('table', '7')")
        assert store.remember("table", lambda: 8) == 7
    code = 'print(Store(folder).remember("slow", lambda: (time.sleep(0.3), print(1), 1)[2]))'
    children = [child(store.path.parent, code) for _ in range(2)]
    assert sorted(map(ended, children), key=len) == [[1], [1, 1]]


def test_what_could_not_be_computed_or_kept_is_not_remembered(store):
    with pytest.raises(ZeroDivisionError):
        store.remember("table", lambda: 1 / 0)
    with pytest.raises(ValueError, match="JSON compliant"):
        store.remember("table", lambda: math.nan)
    assert store.remember("table", lambda: 1) == 1


# --- fresh runs


def test_a_fresh_run_computes_once_more_and_once_in_all_its_workers(store):
    collected(store, units(1, 2), lambda unit: [Row("old", detail=[unit.position])] * 3)
    measure = Asked()
    with another(store, "run") as worker, another(store, "run") as other_worker:
        assert there(worker, units(1, 2)) == {}
        collected(worker, units(1), measure)
        assert there(other_worker, units(1, 2)) == {"1": rows(1)}
        assert collected(other_worker, units(1, 2), measure) == {"1": rows(1), "2": rows(2)}
        assert collected(worker, units(1, 2), measure) == {"1": rows(1), "2": rows(2)}
    assert measure.asked == [1, 2]
    assert collected(store, units(1, 2), measure) == {"1": rows(1), "2": rows(2)}
    assert store.database.execute("SELECT key, run FROM units").fetchall() == [
        ("1", "run"),
        ("2", "run"),
    ]
    with another(store, "next run") as later:
        collected(later, units(1, 2), measure)
    assert measure.asked == [1, 2, 1, 2]


def test_an_interrupted_fresh_run_loses_nothing(store):
    old = collected(store, units(1, 2), lambda unit: [Row("old")])
    with another(store, "run") as fresh, pytest.raises(RuntimeError):
        collected(fresh, units(1, 2), Asked(fails_on=2))
    assert there(store, units(1, 2)) == {"1": rows(1), "2": old["2"]}


def test_fresh_runs_that_replace_one_another_are_told(store):
    with another(store, "one") as one, another(store, "two") as two:

        def compute(unit: Unit) -> list[Row]:
            if unit.position == 2:
                collected(two, units(1), Asked())
            return rows(unit.position)

        with pytest.raises(
            VLMError,
            match=r"replaced 1 results .* the first on example 1\. Start one fresh run at a",
        ):
            collected(one, units(1, 2), compute)


# --- durability, and what can be wrong with files


def test_a_reported_row_is_on_the_disk(store):
    with another(store) as reopened:
        for each in (store, reopened):
            asked = ("journal_mode", "synchronous", "fullfsync")
            assert [each.database.execute(f"PRAGMA {name}").fetchone()[0] for name in asked] == [
                "wal",
                2,
                1,
            ]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(
        VLMError,
        match=r"cannot be kept in '.*results/deep'.* Choose a folder in which you may write",
    ):
        Store(tmp_path / "results" / "deep")


def test_a_folder_in_the_place_of_the_database_is_named(tmp_path):
    (tmp_path / "rows.sqlite").mkdir()
    with pytest.raises(
        VLMError, match=r"rows\.sqlite' cannot be used .* Expected a file that you may write"
    ):
        Store(tmp_path)


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
    file = tmp_path / "rows.sqlite"
    file.write_text("image,arm,right\n" * 100)
    with pytest.raises(VLMError, match=r"rows\.sqlite' cannot be used .*Move the file away"):
        Store(tmp_path)
    assert file.read_text() == "image,arm,right\n" * 100


@pytest.mark.parametrize(
    "script",
    ["PRAGMA user_version = 1", "CREATE TABLE theirs (x)", "PRAGMA user_version = 4"],
    ids=["version", "foreign", "no tables"],
)
def test_a_database_of_another_schema_is_named_and_left_alone(tmp_path, monkeypatch, script):
    file = tmp_path / "rows.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(script)
    content, connection = file.read_bytes(), sqlite3.connect(file, isolation_level=None)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **named: connection if path == file else connect(path)
    )
    with pytest.raises(
        VLMError,
        match=r"rows\.sqlite' has schema version [014] and no 'measurements'; expected .*move the",
    ):
        Store(tmp_path)
    assert file.read_bytes() == content
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_damaged_file_is_named_and_left_there(store):
    collected(store, units(*range(300)), Asked())
    store.close()
    content = store.path.read_bytes()
    damaged = content[:4096] + b"\xa5" * (len(content) - 4096)
    store.path.write_bytes(damaged)
    message = r"rows\.sqlite' cannot be used .*Expected a whole SQLite database"
    with another(store) as later, pytest.raises(VLMError, match=message):
        there(later, units(*range(300)))
    assert store.path.read_bytes() == damaged


@pytest.mark.parametrize("text", ["'{'", "CAST(x'ff' AS TEXT)"], ids=["no JSON", "no UTF-8"])
def test_damaged_text_is_no_result(store, text):
    collected(store, units(1), Asked())
    store.database.execute(f"UPDATE rows SET detail = {text}")
    with pytest.raises(
        VLMError, match=r"rows\.sqlite' cannot be used .*Expected a whole SQLite database"
    ):
        there(store, units(1))


def test_a_database_that_stays_locked_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PATIENCE", 0.05)
    with closing(Store(tmp_path)) as store, closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            VLMError,
            match=r"cannot be used \(database is locked\)\. .*end the process that locks it",
        ):
            collected(store, units(1), Asked())
        other.rollback()
        assert collected(store, units(1), Asked()) == {"1": rows(1)}


def test_a_full_disk_is_named_and_what_was_finished_stays(store):
    collected(store, units(1), Asked())
    store.database.execute("PRAGMA max_page_count = 1")  # SQLite allows no fewer than there are
    with pytest.raises(
        VLMError, match=r"cannot be used \(database or disk is full\)\. Free the disk"
    ):
        collected(store, units(2), lambda unit: [Row("a", answer="x" * 100_000)])
    assert there(store, units(1, 2)) == {"1": rows(1)}
    store.database.execute("PRAGMA max_page_count = 100000")
    assert collected(store, units(2), Asked()) == {"2": rows(2)}


def test_a_database_that_may_not_be_written_is_named(store):
    store.database.execute("PRAGMA query_only = ON")
    with pytest.raises(
        VLMError, match=r"cannot be used \(attempt to write a readonly database\)\. .*may write"
    ):
        collected(store, units(1), Asked())


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        there(store, units(1))


# --- the progress bar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_counts_what_is_left_and_says_what_came_from_the_store(store, monkeypatch):
    collected(store, units(1, 2, 3), Asked())
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    collected(store, units(1, 2, 3), Asked())
    assert terminal.getvalue() == ""
    collected(store, units(1, 2, 3, 4, 5), Asked(), "emoji-llava, polling")
    last = terminal.getvalue().split("\r")[-1]
    assert last.startswith("emoji-llava, polling (3 from the store): 100%")
    assert "5/5" in last


def test_several_processes_say_which_they_are_and_what_is_noted(tmp_path, capsys):
    with closing(Store(tmp_path, share=(1, 4))) as store:
        collect(store, FIRST, units(1), Asked(), "polling", note=lambda: "2 bad images left out")
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("process 2 of 4: polling: image 0 of 1")
    assert last.endswith("left, 2 bad images left out")


# --- keys

scalars = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, -0.0, math.inf])
)
words = st.text("a1,'[]{:} \\", max_size=3) | st.binary(max_size=2)
values = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars | words, inner, max_size=2),
    max_leaves=6,
)


def typed(value: object) -> object:
    """The value with every type spelled out, so that Python's equality sees them."""
    if isinstance(value, list | tuple):
        return ("list", *map(typed, value))
    if isinstance(value, dict):
        return "dict", frozenset((typed(key), typed(item)) for key, item in value.items())
    return type(value), value, str(value)  # str sees the sign of zero


@settings(max_examples=500)
@given(one=st.lists(values, max_size=3), other=st.lists(values, max_size=3))
@example(["ab", "c"], ["a", "bc"])
@example([["a"], "b"], [["a", "b"]])
@example(["a, b"], ["a", "b"])
@example(["a', 'b"], ["a", "b"])
@example(["1"], [1])
@example([1], [1.0])
@example([1], [True])
@example([None], ["None"])
@example([b"a"], ["a"])
@example([[]], [])
@example([[]], [{}])
@example([{"a": 1, "b": 2}], [{"b": 2, "a": 1}])
@example([{"a": 1, "b": 2}], [{"a": 2, "b": 1}])
def test_keys_are_equal_exactly_if_the_values_are(one, other):
    assert (content_key(*one) == content_key(*other)) == (typed(one) == typed(other))


def test_keys_do_not_change_between_versions():
    assert content_key("a", 1) == "1d80946614ee16afe9f06ce5ca9c1d106a1882262126748b7c5d851cc753f023"


def test_tuples_count_as_lists():
    assert content_key((1, ("a",))) == content_key([1, ["a"]])


@pytest.mark.parametrize(
    "part", [{1, 2}, object(), np.float64(1), np.zeros(2), Path(), [{"a": np.int64(1)}]]
)
def test_keys_of_other_types_are_refused(part):
    with pytest.raises(TypeError, match="content_key was given"):
        content_key("a", part)
