"""The results store: nothing is computed twice, nothing that was measured is lost, and what comes
back is what went in.

Interruptions are real (a process is killed at every SQL statement in turn), and so are the
processes that share a store. A store that fails here would cost days of measuring, or report rows
that no run has produced.
"""

import math
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import vlmlib.study.store
from vlmlib import VLMError
from vlmlib.study.store import Row, Store, Unit, content_key

ROOT = Path(__file__).parent.parent

# What runs in other processes: it has `unit`, `rows` and Store, and prints what it computes.
CHILD = """
import os, signal, sqlite3, sys, time
from contextlib import closing
from itertools import count
from pathlib import Path
from types import SimpleNamespace

sys.modules["vlmlib"] = SimpleNamespace(VLMError=ValueError)  # spares each child the seconds that torch takes
from vlmlib.study.store import Row, Store, Unit

folder = Path(sys.argv[1])

def unit(image):
    return Unit(str(image), "emoji-llava", "eval", image, "Polling", "table 1", 0)

def rows(image):
    return [Row("clean", True, detail=[image]), Row("object", False, detail=[image])]

def until(file):
    for _ in range(2000):  # 20 s
        if file.exists():
            return True
        time.sleep(0.01)
    return False

def compute(unit):
    print(unit.image, flush=True)
    time.sleep(0.002)
    return rows(unit.image)
"""


def unit(image: int) -> Unit:
    return Unit(str(image), "emoji-llava", "eval", image, "Polling", "table 1", 0)


def rows(image: int) -> list[Row]:
    return [Row("clean", True, detail=[image]), Row("object", False, detail=[image])]


def units(*images: int) -> list[Unit]:
    return [unit(image) for image in images]


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


class Measurement:
    """A `compute` that remembers what it was asked for, and raises on one image."""

    def __init__(self, fails_on: int | None = None, error: type[BaseException] = RuntimeError):
        self.asked: list[int] = []
        self.fails_on, self.error = fails_on, error

    def __call__(self, unit: Unit) -> list[Row]:
        self.asked.append(unit.image)
        if unit.image == self.fails_on:
            raise self.error
        return rows(unit.image)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "results")) as store:
        yield store


def another(store: Store, fresh_run: str | None = None) -> closing[Store]:
    return closing(Store(store.path.parent, fresh_run))


# --- asked once, asked again


def test_asking_twice_computes_once(store):
    measure = Measurement()
    first = store.collect(units(3, 1, 2), measure, "polling")
    again = store.collect(units(3, 1, 2), measure, "polling")
    assert measure.asked == [3, 1, 2]
    assert first == again == {"3": rows(3), "1": rows(1), "2": rows(2)}


def test_a_store_opened_later_has_what_was_computed(store):
    store.collect(units(1, 2), Measurement(), "polling")
    store.close()
    with another(store) as later:
        assert later.collect(units(1, 2), Measurement(fails_on=1), "polling") == {
            "1": rows(1),
            "2": rows(2),
        }


def test_only_what_is_missing_is_computed_and_all_comes_back_in_the_order_asked(store):
    measure = Measurement()
    store.collect(units(5, 2), measure, "polling")
    found = store.collect(units(3, 2, 5, 1, 3), measure, "vqa")
    assert measure.asked == [5, 2, 3, 1]
    assert list(found.items()) == [(str(image), rows(image)) for image in (3, 2, 5, 1)]


def test_reading_gives_finished_units_only(store):
    store.collect(units(2), Measurement(), "polling")
    assert store.read(units(1, 2, 3)) == {"2": rows(2)}


def test_a_unit_without_rows_is_finished_too(store):
    assert store.collect(units(1), lambda unit: [], "polling") == {"1": []}
    assert store.collect(units(1), Measurement(fails_on=1), "polling") == {"1": []}


def test_ten_thousand_units_are_read_with_one_statement(store):
    many = units(*range(10_000))
    with store.database as database:
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO units VALUES (?, ?, ?, ?, ?, ?, ?, '', '')",
            [astuple(unit) for unit in many[:-1]],
        )
        database.executemany(
            "INSERT INTO rows (unit, position, arm) VALUES (?, 0, 'a')",
            [[u.key] for u in many[:-1]],
        )
    statements = []
    store.database.set_trace_callback(statements.append)
    assert store.read(many) == {unit.key: [Row("a")] for unit in many[:-1]}
    assert len(statements) == 1
    assert store.collect(many[:-1], Measurement(fails_on=0), "polling").keys() == {
        unit.key for unit in many[:-1]
    }
    assert len(statements) == 2


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
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(Store(tmp_path_factory.mktemp("shared"))) as store:
        yield store


@settings(deadline=None)
@given(given_rows=st.lists(stored_rows, max_size=5))
@example(given_rows=[Row(arm, detail={"Ω": [None]}) for arm in ("b", "a", "", "\0", "b")])
def test_rows_come_back_as_they_were_written_in_their_order(shared, given_rows):
    unit = Unit(content_key(str(given_rows)), "", "", 0, "", "", 0)
    (found,) = shared.collect([unit], lambda unit: given_rows, "any").values()
    assert found == given_rows
    assert [type(row.right) for row in found] == [type(row.right) for row in given_rows]
    assert [repr(row.detail) for row in found] == [repr(row.detail) for row in given_rows]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (Row("a", probability=math.nan), "probability"),
        (Row("a", probability=math.inf), "probability"),
        (Row("a", right=np.True_), "right"),  # pyright: ignore[reportArgumentType]
        (Row("a", right=1), "right"),  # pyright: ignore[reportArgumentType]
        (Row("a", tokens=np.int64(3)), "tokens"),  # pyright: ignore[reportArgumentType]
        (Row("a", answer=5), "answer"),  # pyright: ignore[reportArgumentType]
        (Row("a", answer="\ud800"), "answer"),
        (Row("a", detail=(1, 2)), "detail"),
        (Row("a", detail={1: 0.5}), "detail"),
        (Row("a", detail=[0.5, math.nan]), "detail"),
        (Row("a", detail={"rank": np.int64(3)}), "detail"),
    ],
)
def test_a_row_that_would_come_back_changed_is_refused_and_its_unit_left_missing(store, row, field):
    answers = {1: [Row("fine")], 2: [Row("fine"), row], 3: [Row("fine")]}
    with pytest.raises(
        VLMError,
        match=rf"Row\(arm='a'.* on image 2, cannot be stored: {field} would come back changed",
    ):
        store.collect(units(1, 2, 3), lambda unit: answers[unit.image], "polling")
    assert store.read(units(1, 2, 3)) == {"1": [Row("fine")]}


def test_a_unit_of_other_types_is_refused(store):
    with pytest.raises(VLMError, match="image would come back changed"):
        store.collect([replace(unit(1), image=np.int64(1))], Measurement(), "polling")


def test_a_person_can_read_the_results_with_sql(store):
    store.collect(
        units(7), lambda unit: [Row("clean", True, 0.5, 3, "a dog", {"é": [1, None]})], "polling"
    )
    with closing(sqlite3.connect(store.path)) as database:
        cursor = database.execute("SELECT * FROM results")
        found = dict(
            zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True)
        )
        assert database.execute("SELECT arm, avg(right) FROM results GROUP BY arm").fetchall() == [
            ("clean", 1.0)
        ]
    written = datetime.fromisoformat(found.pop("written"))
    assert timedelta(seconds=-1) <= datetime.now(UTC) - written < timedelta(minutes=5)
    assert found == {
        **{
            "model": "emoji-llava",
            "data": "eval",
            "image": 7,
            "task": "Polling",
            "protocol": "table 1",
            "seed": 0,
        },
        **{"arm": "clean", "right": 1, "probability": 0.5, "tokens": 3, "answer": "a dog"},
        **{"detail": '{"é": [1, null]}', "run": ""},
    }


# --- interruptions


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_finished_before_an_exception_stays_and_the_rest_resumes(store, error):
    with pytest.raises(error):
        store.collect(units(1, 2, 3, 4), Measurement(fails_on=3, error=error), "polling")
    measure = Measurement()
    with another(store) as other:  # while the first is still open: it holds no lock any more
        assert other.read(units(1, 2, 3, 4)) == {"1": rows(1), "2": rows(2)}
        other.collect(units(1, 2, 3, 4), measure, "polling")
    assert measure.asked == [3, 4]
    assert store.collect(units(5), measure, "polling") == {"5": rows(5)}


def test_what_was_finished_before_a_kill_stays_and_the_rest_resumes(store):
    process = child(
        store.path.parent,
        """
def stuck(unit):
    return compute(unit) if unit.image < 4 else compute(unit) and time.sleep(60)
Store(folder).collect([unit(image) for image in range(6)], stuck, "polling")
""",
    )
    with process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(5)][-1] == "4\n"
        process.send_signal(signal.SIGKILL)
    measure = Measurement()
    found = store.collect(units(*range(6)), measure, "polling")
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
        database.set_trace_callback(lambda _: next(statements) == n and os.kill(os.getpid(), signal.SIGKILL))
        return database
    sqlite3.connect = connected

for n in count(1):
    place = folder / f"{{n:03}}"
    if {measured_before}:
        with closing(Store(place)) as store:
            store.collect([unit(1)], lambda unit: [Row("old"), Row("older")], "polling")
    if not os.fork():
        die_at(n)
        with closing(Store(place, fresh_run="new")) as store:
            store.collect([unit(1)], lambda unit: rows(1), "polling")
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
            states.append(store.read(units(1)))
            assert store.read(units(1)) in (before, after)
            assert store.collect(units(1), Measurement(), "polling") == (states[-1] or after)
    changed = states.index(after)
    assert states == [before] * changed + [after] * (len(states) - changed)
    assert changed > 8  # creation or opening, then a transaction of several statements
    assert len(states) - changed > 1  # once written, it outlives a kill


# --- several processes


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
    found = store.collect([unit(image) for image in images], compute, "polling")
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


def test_a_unit_that_another_process_computes_is_left_for_later_and_waited_for(store, tmp_path):
    process = child(
        store.path.parent,
        f"""
def waiting(unit):
    print(unit.image, flush=True)
    return [Row("the other was not blocked", until(Path({str(tmp_path / "go")!r})))]
with closing(Store(folder)) as store:
    store.collect([unit(1)], waiting, "polling")
""",
    )
    assert process.stdout
    assert process.stdout.readline() == "1\n"
    measure = Measurement()

    def compute(unit: Unit) -> list[Row]:
        if unit.image == 3:
            (tmp_path / "go").touch()
        return measure(unit)

    found = store.collect(units(1, 2, 3), compute, "polling")
    assert ended(process) == []
    assert measure.asked == [2, 3]
    assert found == {"1": [Row("the other was not blocked", True)], "2": rows(2), "3": rows(3)}


def test_what_another_finishes_meanwhile_is_not_computed_again(store):
    measure, other_measure = Measurement(), Measurement()
    with another(store) as other:

        def compute(unit: Unit) -> list[Row]:
            if unit.image == 1:
                other.collect(units(4, 2), other_measure, "vqa")
            return measure(unit)

        found = store.collect(units(1, 2, 3, 4), compute, "polling")
    assert (measure.asked, other_measure.asked) == ([1, 3], [4, 2])
    assert list(found) == ["1", "2", "3", "4"]


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
                store.collect([unit(image)], lambda unit: rows(image), "polling")
            os._exit(0)
    (folder / f"go {round}").touch()
    assert [os.wait()[1] for _ in range(4)] == [0] * 4
""",
    )
    assert ended(process) == []
    for place in range(12):
        with closing(Store(tmp_path / str(place))) as store:
            assert len(store.read(units(*range(4)))) == 4


def test_a_computation_that_collects_is_refused_but_may_read(store):
    store.collect(units(1), Measurement(), "polling")

    def compute(unit: Unit) -> list[Row]:
        assert (
            store.read(units(1))
            == store.collect(units(1), Measurement(), "polling")
            == {"1": rows(1)}
        )
        store.collect(units(3), Measurement(), "vqa")
        return []

    with pytest.raises(
        VLMError, match="'vqa' was collected while a unit of something else was computed"
    ):
        store.collect(units(2), compute, "lens")
    assert store.collect(units(2), Measurement(), "lens") == {"2": rows(2)}


# --- fresh runs


def test_a_fresh_run_computes_once_more_and_once_in_all_its_workers(store):
    store.collect(units(1, 2), lambda unit: [Row("old", detail=[unit.image])] * 3, "polling")
    measure = Measurement()
    with another(store, "run") as worker, another(store, "run") as other_worker:
        assert worker.read(units(1, 2)) == {}
        worker.collect(units(1), measure, "polling")
        assert other_worker.read(units(1, 2)) == {"1": rows(1)}
        assert other_worker.collect(units(1, 2), measure, "polling") == {"1": rows(1), "2": rows(2)}
        assert worker.collect(units(1, 2), measure, "polling") == {"1": rows(1), "2": rows(2)}
    assert measure.asked == [1, 2]
    assert store.collect(units(1, 2), measure, "polling") == {"1": rows(1), "2": rows(2)}
    assert store.database.execute("SELECT key, run FROM units").fetchall() == [
        ("1", "run"),
        ("2", "run"),
    ]
    with another(store, "next run") as later:
        later.collect(units(1, 2), measure, "polling")
    assert measure.asked == [1, 2, 1, 2]


def test_an_interrupted_fresh_run_loses_nothing(store):
    old = store.collect(units(1, 2), lambda unit: [Row("old")], "polling")
    with another(store, "run") as fresh, pytest.raises(RuntimeError):
        fresh.collect(units(1, 2), Measurement(fails_on=2), "polling")
    assert store.read(units(1, 2)) == {"1": rows(1), "2": old["2"]}


def test_fresh_runs_that_replace_one_another_are_told(store):
    with another(store, "one") as one, another(store, "two") as two:

        def compute(unit: Unit) -> list[Row]:
            if unit.image == 2:
                two.collect(units(1), Measurement(), "polling")
            return rows(unit.image)

        with pytest.raises(
            VLMError, match=r"replaced 1 results .* the first on image 1\. Start one fresh run at a"
        ):
            one.collect(units(1, 2), compute, "polling")


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
    "script", ["PRAGMA user_version = 2", "CREATE TABLE theirs (x)"], ids=["version", "foreign"]
)
def test_a_database_of_another_schema_is_named_and_left_alone(tmp_path, monkeypatch, script):
    file = tmp_path / "rows.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(script)
    content, connection = file.read_bytes(), sqlite3.connect(file, isolation_level=None)
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connection)
    with pytest.raises(
        VLMError, match=r"rows\.sqlite' has schema version [02]; expected 1\. .* move the file away"
    ):
        Store(tmp_path)
    assert file.read_bytes() == content
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_damaged_file_is_named_and_left_there(store):
    store.collect(units(*range(300)), Measurement(), "polling")
    store.close()
    content = store.path.read_bytes()
    damaged = content[:4096] + b"\xa5" * (len(content) - 4096)
    store.path.write_bytes(damaged)
    message = r"rows\.sqlite' cannot be used .*Expected a whole SQLite database"
    with another(store) as later, pytest.raises(VLMError, match=message):
        later.read(units(*range(300)))
    assert store.path.read_bytes() == damaged


@pytest.mark.parametrize("text", ["'{'", "CAST(x'ff' AS TEXT)"], ids=["no JSON", "no UTF-8"])
def test_damaged_text_is_no_result(store, text):
    store.collect(units(1), Measurement(), "polling")
    store.database.execute(f"UPDATE rows SET detail = {text}")
    with pytest.raises(
        VLMError, match=r"rows\.sqlite' cannot be used .*Expected a whole SQLite database"
    ):
        store.read(units(1))


def test_a_database_that_stays_locked_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(vlmlib.study.store, "PATIENCE", 0.05)
    with closing(Store(tmp_path)) as store, closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            VLMError,
            match=r"cannot be used \(database is locked\)\. .*end the process that locks it",
        ):
            store.collect(units(1), Measurement(), "polling")
        other.rollback()
        assert store.collect(units(1), Measurement(), "polling") == {"1": rows(1)}


def test_a_full_disk_is_named_and_what_was_finished_stays(store):
    store.collect(units(1), Measurement(), "polling")
    store.database.execute("PRAGMA max_page_count = 1")  # SQLite allows no fewer than there are
    with pytest.raises(
        VLMError, match=r"cannot be used \(database or disk is full\)\. Free the disk"
    ):
        store.collect(units(2), lambda unit: [Row("a", answer="x" * 100_000)], "polling")
    assert store.read(units(1, 2)) == {"1": rows(1)}
    store.database.execute("PRAGMA max_page_count = 100000")
    assert store.collect(units(2), Measurement(), "polling") == {"2": rows(2)}


def test_a_database_that_may_not_be_written_is_named(store):
    store.database.execute("PRAGMA query_only = ON")
    with pytest.raises(
        VLMError, match=r"cannot be used \(attempt to write a readonly database\)\. .*may write"
    ):
        store.collect(units(1), Measurement(), "polling")


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store.read(units(1))


# --- the progress bar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_counts_what_is_left_and_says_what_came_from_the_store(store, monkeypatch):
    store.collect(units(1, 2, 3), Measurement(), "polling")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    store.collect(units(1, 2, 3), Measurement(), "polling")
    assert terminal.getvalue() == ""
    store.collect(units(1, 2, 3, 4, 5), Measurement(), "emoji-llava, polling")
    last = terminal.getvalue().split("\r")[-1]
    assert last.startswith("emoji-llava, polling: 100%")
    assert "2/2" in last
    assert "3 from the store" in last


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
