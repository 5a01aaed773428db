"""The file of a store, wherever it lies: how it is opened, whether it is still there, and what its
errors mean."""

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vlmlib.errors import VLMError

PATIENCE = 60.0  # seconds to wait for another process's transaction, which takes milliseconds
# File systems of several machines, on which a write-ahead log fails or is unsafe: its index is
# memory that processes share, and machines do not.
REMOTE = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4"),
    *("orangefs", "panfs", "pvfs2", "smb3", "smbfs", "vboxsf", "wekafs"),
}
MOUNTS = Path("/proc/self/mountinfo")  # where Linux tells them; others do not

WHOLE = "Expected a whole SQLite database. Move the file away, or choose another folder."
ADVICE = {
    "READONLY_DBMOVED": (
        "It was deleted or replaced while this run used it. Run it again: what is not there is "
        "measured again."
    ),
    "IOERR_VNODE": "It was deleted while this run used it. Run it again.",
    "NOTADB CORRUPT FORMAT EMPTY": WHOLE,
    "READONLY PERM CANTOPEN AUTH": (
        "Expected a file that you may write. Change its permissions, or choose another folder."
    ),
    "FULL": "Free the disk, and run it again: what is finished stays.",
    "IOERR NOLFS": (
        "Look whether its disk is full, broken or gone, and run it again: what is finished stays. "
        "Or choose a folder on a disk of this machine."
    ),
    "BUSY LOCKED": (
        "Free the file or end the process that locks it, and run it again: what is finished stays."
    ),
    "PROTOCOL": (
        "Its file system does not lock as SQLite needs it. Choose a folder on a disk of this "
        "machine."
    ),
    "NOMEM": "Free memory, and run it again: what is finished stays.",
    "INTERRUPT ABORT": "Run it again: what is finished stays.",
    "TOOBIG CONSTRAINT MISMATCH": (
        "A row does not fit its table. Store less in its detail, or move the file away if another "
        "program has changed its tables."
    ),
    "SCHEMA ERROR": (
        "Another program has changed its tables, or this is a fault of vlmlib's. Move the file "
        "away, or choose another folder; if it comes again, report it."
    ),
}
UNEXPECTED = (
    "This is not expected of a store. Run it again: what is finished stays. If it comes again, "
    "move the file away and report it."
)


def keep_journal(database: sqlite3.Connection, path: Path) -> None:
    """Let what was written outlive a crash: by a write-ahead log, or by a rollback journal where
    the file system takes no such log."""
    if not is_remote(path) and _takes_a_log(database):
        database.execute("PRAGMA synchronous = FULL")
    else:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA synchronous = EXTRA")  # the folder, too, when the journal goes
    database.execute("PRAGMA fullfsync = ON")  # on macOS a row can stay in the drive's cache


def is_remote(path: Path) -> bool:
    """Whether a file lies where other machines may be writing, as far as the platform tells."""
    kind = file_system(path)
    return kind in REMOTE or kind.startswith("fuse.")


def file_system(path: Path) -> str:
    """The type of file system that a path lies on, as `mount` names it; "" where nothing tells.

    !!! example

        >>> file_system(Path(".")) in REMOTE or not is_remote(Path("."))
        True
    """
    try:
        lines = MOUNTS.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    path, found, depth = path.resolve(), "", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        place = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split()[4]))
        # of several that are mounted in one place the last is seen
        if path.is_relative_to(place) and len(place.parts) >= depth:
            found, depth = after.split()[0], len(place.parts)
    return found


def reading(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and leaves no file behind: also where nobody may write."""
    place = path.resolve()
    # Where nobody is writing over a log nothing has to be locked, which would be to write. With a
    # rollback journal a writer shows in no file.
    idle = not place.with_name(f"{place.name}-wal").exists() and _keeps_a_log(place)
    how = "immutable=1" if idle else "mode=ro"
    return sqlite3.connect(f"{place.as_uri()}?{how}", uri=True, timeout=PATIENCE)


def may_write(path: Path) -> bool:
    """Whether a database may be written, or made, for which its folder must be writable, too."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def check_schema(path: Path, database: sqlite3.Connection, schema: str) -> None:
    """Refuse what another version, another program or half an upgrade has left.

    **Raises:** `VLMError` that says what is there and what was expected.
    """
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(schema)
        newest, expected = _schema_of(ours)
    version, found = _schema_of(database)
    other = [name for name, sql in expected.items() if found.get(name) != sql]
    if version != newest or other:
        lacks = f" and {'another' if other[0] in found else 'no'} {other[0]!r}" if other else ""
        raise VLMError(
            f"{str(path)!r} has schema version {version}{lacks}; expected version {newest} with "
            f"{', '.join(expected)}. Another version of this suite, or another program, wrote it, "
            "or was stopped halfway: use that one, move the file away, or choose another folder."
        )


class Presence:
    """Notices when a database that is in use is deleted, replaced or cut: SQLite goes on writing
    into a file that nobody will find."""

    def __init__(self, path: Path):
        self.path = path
        self._seen, self._size = _identity(path)

    def check(self) -> None:
        """**Raises:** `VLMError` that says what became of the file."""
        try:
            seen, size = _identity(self.path)
        except OSError as error:
            raise _lost(self.path, f"is gone ({error.strerror})") from error
        if seen != self._seen:
            raise _lost(self.path, "was replaced by another file")
        if size < self._size and not _is_whole(self.path):
            raise _lost(self.path, f"was cut from {self._size:,} to {size:,} bytes")
        self._size = size


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Whatever SQLite finds wrong with a file as a `VLMError` that names it and the next step; what
    is a fault of the caller's, such as a closed store, as it is."""
    try:
        yield
    except (sqlite3.Error, json.JSONDecodeError, MemoryError) as error:
        if isinstance(error, sqlite3.ProgrammingError):
            raise
        reason = str(error) or "out of memory"
        raise VLMError(f"{str(path)!r} cannot be used ({reason}). {_advice(error)}") from error


def _schema_of(database: sqlite3.Connection) -> tuple[int, dict[str, str]]:
    """The version, and what each table, index and view is, however it is laid out."""
    [(version,)] = database.execute("PRAGMA user_version")
    listed = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return version, {name: " ".join(sql.split()) for name, sql in listed}


def _advice(error: Exception) -> str:
    """What to do about an error, by SQLite's name for it: the whole name, or its first part."""
    if isinstance(error, MemoryError):
        name = "NOMEM"
    else:
        # Text that is neither UTF-8 nor JSON comes from a damaged file, but without a name.
        name = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT").removeprefix("SQLITE_")
    told = {each: advice for names, advice in ADVICE.items() for each in names.split()}
    return told.get(name) or told.get(name.split("_")[0]) or UNEXPECTED


def _keeps_a_log(path: Path) -> bool:
    """Whether a file is written over a write-ahead log, by the version in its header."""
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == b"\2\2"
    except OSError:
        return False  # SQLite says what is wrong with it


def _takes_a_log(database: sqlite3.Connection) -> bool:
    """Whether the file is now written over a write-ahead log, which has been tried."""
    try:
        [(mode,)] = database.execute("PRAGMA journal_mode = WAL")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.split("_")[1] not in ("IOERR", "PROTOCOL", "CANTOPEN"):
            raise
        return False
    return mode == "wal"


def _identity(path: Path) -> tuple[tuple[int, int], int]:
    # Never opened: to close it again would drop all locks that SQLite holds in this process.
    stat = path.stat()
    return (stat.st_dev, stat.st_ino), stat.st_size


def _is_whole(path: Path) -> bool:
    """Whether a database that has become smaller was only tidied up (VACUUM)."""
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
            return list(database.execute("PRAGMA quick_check(1)")) == [("ok",)] and bool(
                database.execute("PRAGMA user_version").fetchone()[0]
            )
    except sqlite3.DatabaseError:
        return False


def _lost(path: Path, how: str) -> VLMError:
    return VLMError(
        f"{str(path)!r} {how} while this run used it: what is written now would be lost. Put it "
        "back if you can, leave it there while a run is on, and run the same command again: what "
        "is not in it is measured again."
    )
