"""The file of a store on difficult file systems, and every way in which SQLite can fail.

Fails if a store on a network's file system keeps a write-ahead log, if any error of SQLite's ends
in a traceback or names no file, if a file of another program or half an upgrade is taken for a
store, if a database that is deleted, replaced or cut is written on, or if a store that may only be
read cannot be.
"""

import os
import re
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import vlmlib.study.database as database_module
import vlmlib.study.store as store_module
from tests.vlmlib.study.test_store import (
    FIRST,
    SUBJECT,
    Asked,
    child,
    collect,
    collected,
    ended,
    rows,
    there,
    units,
)
from vlmlib import VLMError
from vlmlib.study.database import explained, file_system, may_write
from vlmlib.study.origin import Origin
from vlmlib.study.recording import Recording
from vlmlib.study.store import SCHEMA, Store, origins_of

# --- file systems

MOUNTS = """\
24 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw
30 1 8:1 / / rw,relatime - ext4 /dev/root rw
99 30 0:51 / /scratch rw shared:1 - lustre mds@tcp:/fs rw,flock
98 30 0:52 / /home rw - nfs4 server:/home rw,vers=4.2
97 98 8:2 / /home/me/local rw - ext4 /dev/sdb rw
96 30 0:53 / /a\\040b rw - fuse.sshfs me@there: rw
95 30 0:54 / /twice rw - ext4 /dev/sdc rw
94 30 0:55 / /twice rw - gpfs gpfs0 rw
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch) -> Callable[[str], None]:
    """Lets these lines be what the platform tells of its file systems."""

    def mounts(text: str) -> None:
        file = tmp_path / "mountinfo"
        file.write_text(text)
        monkeypatch.setattr(database_module, "MOUNTS", file)

    return mounts


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/scratch/me/store/rows.sqlite", "lustre"),
        ("/scratchy/rows.sqlite", "ext4"),
        ("/home/me/store", "nfs4"),
        ("/home/me/local/store", "ext4"),
        ("/a b/store", "fuse.sshfs"),
        ("/twice/store", "gpfs"),
        ("/rows.sqlite", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(mounts, path, kind):
    mounts(MOUNTS)
    assert file_system(Path(path)) == kind


def test_where_the_platform_tells_no_file_system_it_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(database_module, "MOUNTS", tmp_path / "nothing")
    assert file_system(tmp_path) == ""


def journal_of(store: Store) -> tuple[str, int]:
    asked = ("journal_mode", "synchronous")
    mode, synchronous = (store.database.execute(f"PRAGMA {each}").fetchone()[0] for each in asked)
    return mode, synchronous


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "gpfs", "lustre", "cifs", "beegfs", "fuse.sshfs"])
def test_a_network_file_system_has_a_rollback_journal(mounts, tmp_path, kind):
    """Also where the store was made over a log: it came from another place."""
    mounts("1 0 8:1 / / rw - ext4 /dev/root rw\n")
    with closing(Store(tmp_path / "store")) as store:
        assert journal_of(store) == ("wal", 2)
    mounts(f"1 0 8:1 / / rw - {kind} server:/ rw\n")
    with closing(Store(tmp_path / "store")) as store:
        assert journal_of(store) == ("delete", 3)
        assert collected(store, units(1), Asked()) == {"1": rows(1)}
        assert not list(tmp_path.glob("store/*-wal"))
        read = Recording(store.path).read(SUBJECT, "polling", "ablations")
        assert [each.rows for each in read] == [rows(1)]


def test_a_log_that_is_not_accepted_falls_back_to_a_journal(tmp_path, monkeypatch):
    """As where files cannot be memory that processes share."""
    connect: Any = sqlite3.connect

    def without_shared_memory(path, **options):
        name = (
            path
            if str(path).startswith(("file:", ":"))
            else f"{Path(path).as_uri()}?vfs=unix-dotfile"
        )
        return connect(name, **options | {"uri": True})

    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
    with closing(Store(tmp_path / "store")) as store:
        assert journal_of(store) == ("delete", 3)
        assert collected(store, units(1), Asked()) == {"1": rows(1)}


@pytest.mark.parametrize("error", [NotImplementedError("flock"), OSError(37, "No locks available")])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, error):
    def refused(*_, **__):
        raise error

    monkeypatch.setattr(store_module.FileLock, "acquire", refused)
    told = re.escape(f"locked ({error})")
    with pytest.raises(VLMError, match=rf"kept in '{tmp_path}'.*{told}.*-o flock"):
        Store(tmp_path)


# --- SQLite's errors

WORDS = (
    "ABORT AUTH BUSY CANTOPEN CONSTRAINT CORRUPT EMPTY ERROR FORMAT FULL INTERNAL INTERRUPT IOERR"
)
WORDS += " LOCKED MISMATCH MISUSE NOLFS NOMEM NOTADB NOTFOUND PERM PROTOCOL RANGE READONLY SCHEMA"
WORDS += " TOOBIG"
CODES = [f"SQLITE_{word}" for word in WORDS.split()]
# and the finer ones, of which each version of SQLite has more
CODES += [name for name in dir(sqlite3) if any(name.startswith(f"{code}_") for code in CODES)]


@pytest.mark.parametrize("name", CODES)
def test_every_error_of_sqlite_is_told_with_the_file_and_a_next_step(tmp_path, name):
    error = sqlite3.DatabaseError("it failed")
    error.sqlite_errorname = name
    file = tmp_path / "rows.sqlite"
    with pytest.raises(VLMError) as told, explained(file):
        raise error
    message = str(told.value)
    assert message.startswith(f"{str(file)!r} cannot be used (it failed). ")
    steps = r"run it again|[Mm]ove the file|[Cc]hoose (another|a) folder|[Cc]hange|Store less"
    assert re.search(steps, message.partition("(it failed). ")[2], flags=re.IGNORECASE)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("SQLITE_READONLY_DBMOVED", "was deleted or replaced while"),
        ("SQLITE_READONLY_DIRECTORY", "a file that you may write"),
        ("SQLITE_CANTOPEN_ISDIR", "a file that you may write"),
        ("SQLITE_IOERR_WRITE", "full, broken or gone"),
        ("SQLITE_IOERR_SHMMAP", "a disk of this machine"),
        ("SQLITE_BUSY_SNAPSHOT", "end the process that locks it"),
        ("SQLITE_CORRUPT_INDEX", "a whole SQLite database"),
        ("SQLITE_PROTOCOL", "does not lock as SQLite needs it"),
        ("SQLITE_INTERNAL", "not expected of a store"),
        ("SQLITE_OF_ANOTHER_VERSION", "not expected of a store"),
    ],
)
def test_what_to_do_follows_from_the_error(tmp_path, name, advice):
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorname = name
    with pytest.raises(VLMError, match=advice), explained(tmp_path):
        raise error


def test_memory_that_is_too_small_is_told(tmp_path):
    with pytest.raises(VLMError, match=r"\(out of memory\)\. Free memory"), explained(tmp_path):
        raise MemoryError


# --- files that are no store

HALF = {
    "a table is missing": "DROP TABLE asked",
    "a view is missing": "DROP VIEW latest",
    "an index is missing": "DROP INDEX units_of",
    "a column is missing": (
        "DROP TABLE asked; CREATE TABLE asked (measurement TEXT, example TEXT, cluster TEXT)"
    ),
    "a column was added": "ALTER TABLE rows ADD COLUMN mine TEXT",
    "a table was renamed": "ALTER TABLE origins RENAME TO sources",
    "the version is older": "PRAGMA user_version = 3",
    "the version is newer": "PRAGMA user_version = 99",
    "the version is none": "PRAGMA user_version = 0",
}


@pytest.mark.parametrize("script", HALF.values(), ids=HALF)
def test_half_an_upgrade_is_refused_and_left_alone(tmp_path, script):
    file = tmp_path / "rows.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(SCHEMA + script)
    before = file.read_bytes()
    for opened in (Store, lambda folder: Recording(folder / "rows.sqlite")):
        with pytest.raises(VLMError, match=r"rows\.sqlite' has schema version .*move the file aw"):
            opened(tmp_path)
    assert file.read_bytes() == before


def test_what_a_person_adds_to_a_store_is_no_fault(tmp_path):
    with closing(Store(tmp_path)) as store:
        store.database.execute("CREATE VIEW mine AS SELECT arm FROM results")
        store.database.execute("CREATE INDEX by_arm ON rows (arm)")
        store.database.execute("ANALYZE")
    with closing(Store(tmp_path)) as store:
        assert collected(store, units(1), Asked()) == {"1": rows(1)}


# --- what becomes of a file that is open


def deleted(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.sqlite"))


def folder_deleted(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def replaced(path: Path) -> None:
    another = path.with_name("another.sqlite")
    another.write_bytes(path.read_bytes())
    another.replace(path)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


FATES = {
    deleted: "is gone",
    moved: "is gone",
    folder_deleted: "is gone",
    replaced: "was replaced by another file",
    emptied: "was cut from",
    cut: "was cut from",
}


@pytest.mark.parametrize(("happens", "told"), FATES.items(), ids=[each.__name__ for each in FATES])
def test_what_becomes_of_an_open_database_is_noticed_at_the_next_row(tmp_path, happens, told):
    folder = tmp_path / "store"
    measure = Asked()
    with closing(Store(folder)) as store:
        collected(store, units(*range(100)), Asked())
        store.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        def compute(unit):
            if unit.position == 102:
                happens(store.path)
            return measure(unit)

        message = rf"rows\.sqlite' {told}.*while this run used it.*run the same command again"
        with pytest.raises(VLMError, match=message):
            collected(store, units(*range(100, 120)), compute)
    assert measure.asked == [100, 101, 102]


def test_a_database_that_was_tidied_up_is_used_on(tmp_path):
    with closing(Store(tmp_path)) as store:
        collected(store, units(*range(300)), Asked())
        store.database.execute("DELETE FROM rows WHERE CAST(unit AS INTEGER) > 5")
        store.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = store.path.stat().st_size
        there(store, units(1))
        with closing(sqlite3.connect(store.path)) as person:
            person.execute("VACUUM")
            person.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert store.path.stat().st_size < before
        assert collected(store, units(1, 999), Asked()) == {"1": rows(1), "999": rows(999)}


# --- a store that may only be read


def test_a_folder_that_is_not_there_yet_may_be_written(tmp_path):
    assert may_write(tmp_path / "rows.sqlite")


READING = """
os.setuid(65534) if os.getuid() == 0 else None  # root may write anywhere
with closing(Store(folder)) as store:
    assert store.read_only
    assert collected(store, [unit(1), unit(2)], None) == {"1": rows(1), "2": rows(2)}
    assert collected(store, [], None, "none") == {}
    with store.alone("mean"):
        assert len(store.file_key(folder / "rows.sqlite")) == 64
    try:
        collected(store, [unit(1), unit(3)], compute, "polling")
    except ValueError as error:
        assert str(error).startswith("1 of 2 images of 'polling' are missing in "), error
        assert "may not be written, the first example 3. Make" in str(error)
        print(7)
"""


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
@pytest.mark.parametrize("kept", ["folder", "file"])
def test_a_store_that_may_not_be_written_is_read(journal, kept):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        with closing(Store(folder)) as store:
            collected(store, units(1, 2), Asked())
            store.database.execute(f"PRAGMA journal_mode = {journal}")
        Path(name).chmod(0o755)
        (folder / "rows.sqlite").chmod(0o444)
        folder.chmod(0o555 if kept == "folder" else 0o777)
        try:
            assert ended(child(folder, READING)) == [7]
        finally:
            folder.chmod(0o755)


def test_a_unit_tells_what_it_was_computed_on(tmp_path):
    cards = iter(["A", "A", "B"])
    with closing(Store(tmp_path)) as store:
        found = collect(
            store, FIRST, units(1, 2, 3), Asked(), "", origin=lambda: Origin(card=next(cards))
        )
    assert [(made["card"], made["weights"], count) for made, count in origins_of(found)] == [
        ("A", "w1", 2),
        ("B", "w1", 1),
    ]
