"""The data folder of one meter: recorder rows, events and state in SQLite.

WAL with synchronous=FULL: what `write` returned from survives a power cut, and a batch is there whole or
not at all. One process at a time has the folder; within it one thread at a time may call.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from iondlms.errors import LocalError
from iondlms.ion import Event, MeterState, Pending, Saved

__all__ = ["Store", "StoreError"]

_DATABASE: Final = "meter.sqlite"
_LOCK: Final = "meter.lock"
_APPLICATION_ID: Final = 0x494F4E44  # "IOND", in the file's header, where `file` shows it too

# One entry a schema version, never changed once released; user_version counts those applied.
_MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "create table recorder (id integer primary key, name text not null unique) strict",
        # Packed as in a Log, one row a record: an append is one page, and the ring's tail is cut by key.
        (
            "create table record (recorder integer not null references recorder (id),"
            " sequence integer not null, octets blob not null, primary key (recorder, sequence))"
            " strict, without rowid"
        ),
        (
            "create table event (sequence integer primary key, utc_ms integer not null,"
            " priority integer not null, cause text not null, effect text not null) strict"
        ),
        "create table state (id integer primary key check (id = 1), body text not null) strict",
    ),
)


_TABLES: Final = (
    "select type, name, tbl_name, sql from sqlite_schema where name not like 'sqlite_stat%' order by name"
)
# Where a damaged file puts octets that are no UTF-8 into an error's text, the module stumbles over them.
_FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)


class StoreError(LocalError):
    """The data folder cannot be used, or a batch could not be kept; what was stored is as it was."""


class Store:
    """An open data folder; made by `open`."""

    def __init__(self, folder: Path, lock: sqlite3.Connection, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._lock = lock
        self._database = database

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open the folder, and make it if it is not there.

        StoreError if it cannot be written, is in use, or holds something else, something damaged or
        something newer.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the data folder {folder} cannot be made: {error.strerror}") from error
        lock = _lock(folder)
        try:
            database = _open_database(folder / _DATABASE)
        except StoreError:
            lock.close()
            raise
        return cls(folder, lock, database)

    def load(self) -> Saved | None:
        """Return what was kept, None if the folder is new; StoreError if it contradicts itself."""
        with self._errors("read"):
            found = self._database.execute("select body from state").fetchone()
            names = self._database.execute("select id, name from recorder").fetchall()
            if found is None:
                return None
            try:
                state = MeterState.decode(found[0])
            except LocalError as error:
                raise StoreError(f"{self.folder / _DATABASE} is damaged: {error}") from error
            rows = {name: self._rows(number, name) for number, name in names}
            events = self._database.execute(
                "select sequence, utc_ms, priority, cause, effect from event order by sequence"
            )
            kept = {name: each for name, each in rows.items() if each is not None}
            return Saved(state, kept, tuple(Event(*event) for event in events))

    def write(self, batch: Pending) -> None:
        """Make a batch durable, whole or not at all; writing the same batch again changes nothing.

        StoreError if it could not be kept, on a full disk for one.
        """
        with self._errors("write"), self._transaction():
            for name, rows in batch.rows.items():
                number = self._id(name)
                if rows.cleared:
                    self._database.execute("delete from record where recorder = ?", (number,))
                view, stride = bytes(rows.octets), rows.stride
                self._database.executemany(
                    "insert or replace into record values (?, ?, ?)",
                    (
                        (number, rows.first + index, view[index * stride : (index + 1) * stride])
                        for index in range(rows.end - rows.first)
                    ),
                )
                self._database.execute(
                    "delete from record where recorder = ? and sequence < ?", (number, rows.end - rows.depth)
                )
            if batch.events:
                self._database.executemany(
                    "insert or replace into event values (?, ?, ?, ?, ?)", batch.events
                )
                oldest = batch.events[-1].sequence - batch.event_depth
                self._database.execute("delete from event where sequence <= ?", (oldest,))
            if batch.state is not None:
                self._database.execute("insert or replace into state values (1, ?)", (batch.state.encode(),))

    def close(self) -> None:
        """Close the folder for the next process."""
        self._database.close()
        self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, number: int, name: str) -> tuple[int, bytes] | None:
        first, last, count, shortest, longest = self._database.execute(
            "select min(sequence), max(sequence), count(*), min(length(octets)), max(length(octets))"
            " from record where recorder = ?",
            (number,),
        ).fetchone()
        if not count:
            return None
        if last - first + 1 != count or shortest != longest:
            raise StoreError(f"{self.folder / _DATABASE} is damaged: the records of {name!r} are not whole")
        octets = self._database.execute(
            "select octets from record where recorder = ? order by sequence", (number,)
        )
        return first, b"".join(row for (row,) in octets)

    def _id(self, name: str) -> int:
        found = self._database.execute("select id from recorder where name = ?", (name,)).fetchone()
        if found is None:
            found = self._database.execute(
                "insert into recorder (name) values (?) returning id", (name,)
            ).fetchone()
        return int(found[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("begin immediate")
        try:
            yield
            self._database.execute("commit")
        except BaseException:
            # A full disk may have rolled back already.
            with suppress(sqlite3.Error):
                self._database.execute("rollback")
            raise

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            raise StoreError(f"cannot {verb} {self.folder / _DATABASE}: {error}") from error


def _lock(folder: Path) -> sqlite3.Connection:
    """Take the folder for this process.

    SQLite's own file lock on a file beside the database: it works on every system, goes with the process
    however that ends, and leaves the database readable for a backup.
    """
    lock = None
    try:
        lock = sqlite3.connect(folder / _LOCK, timeout=0, isolation_level=None, check_same_thread=False)
        lock.execute("pragma locking_mode = exclusive")
        lock.execute("begin exclusive")
    except sqlite3.Error as error:
        if lock is not None:
            lock.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise StoreError(f"the data folder {folder} is in use by another process") from error
        raise StoreError(f"the data folder {folder} cannot be written: {error}") from error
    return lock


def _open_database(path: Path) -> sqlite3.Connection:
    database = None
    try:
        database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        _check(path, database)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("pragma foreign_keys = on")
        _migrate(database)
        _check_schema(path, database)
        # A file that may not be written says so here and not at the first record.
        database.execute("begin immediate")
        database.execute("rollback")
    except _FAILURES as error:
        if database is not None:
            database.close()
        damaged = isinstance(error, UnicodeDecodeError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        )
        what = "is damaged or no database" if damaged else "cannot be used"
        raise StoreError(f"{path} {what}: {error}") from error
    except StoreError:
        if database is not None:
            database.close()
        raise
    return database


def _check(path: Path, database: sqlite3.Connection) -> None:
    """Look before anything is written: StoreError for a database that is not ours to write."""
    application_id = database.execute("pragma application_id").fetchone()[0]
    version = database.execute("pragma user_version").fetchone()[0]
    tables = database.execute("select count(*) from sqlite_schema").fetchone()[0]
    # Killed while it was made: no table, no id, nothing lost.
    if application_id != _APPLICATION_ID and (tables or application_id or version):
        raise StoreError(f"{path} is a database of another program; choose another data folder")
    if version > len(_MIGRATIONS):
        raise StoreError(f"{path} was written by a newer iondlms (schema {version}); use that one")
    result = database.execute("pragma quick_check(1)").fetchone()[0]
    if result != "ok":
        raise StoreError(f"{path} is damaged: {result}")


def _check_schema(path: Path, database: sqlite3.Connection) -> None:
    """StoreError if the tables are not those of the migrations: SQLite's own check does not look at them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        _migrate(model)
        if model.execute(_TABLES).fetchall() != database.execute(_TABLES).fetchall():
            raise StoreError(f"{path} is damaged: its tables are not as they were made")


def _migrate(database: sqlite3.Connection) -> None:
    version = database.execute("pragma user_version").fetchone()[0]
    if version == len(_MIGRATIONS):
        return
    database.execute("begin immediate")
    try:
        for statements in _MIGRATIONS[version:]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"pragma application_id = {_APPLICATION_ID}")
        database.execute(f"pragma user_version = {len(_MIGRATIONS)}")
        database.execute("commit")
    except BaseException:
        with suppress(sqlite3.Error):
            database.execute("rollback")
        raise
