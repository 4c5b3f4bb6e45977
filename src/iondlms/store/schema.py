"""The tables of a data folder's database, and what must hold before anybody touches one.

A file that is not ours, is damaged, or was written by a newer iondlms is refused before a single octet of it
changes; an older one is brought up to date when a meter starts on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from iondlms.errors import LocalError

__all__ = ["DATABASE", "StoreError", "failures", "open_to_read", "open_to_write", "transaction"]

DATABASE: Final = "meter.sqlite"
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
    # What the columns of the rows are, as a JSON list of ION names: a folder can be read without the
    # configuration it was written under. Null until a meter has started on a folder of before.
    ("alter table recorder add column sources text",),
)

_TABLES: Final = (
    "select type, name, tbl_name, sql from sqlite_schema where name not like 'sqlite_stat%' order by name"
)
# Where a damaged file puts octets that are no UTF-8 into an error's text, the module stumbles over them.
_FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_INDEX: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_BUSY_S: Final = 5  # for a reader that has the file for a moment


class StoreError(LocalError):
    """The data folder cannot be used, or a batch could not be kept; what was stored is as it was."""


@contextmanager
def failures(verb: str, path: Path) -> Iterator[None]:
    """Let what SQLite raises leave as a StoreError that names the file."""
    try:
        yield
    except _FAILURES as error:
        raise StoreError(f"cannot {verb} {path}: {error}") from error


@contextmanager
def transaction(database: sqlite3.Connection, kind: str = "immediate") -> Iterator[None]:
    """Within it all is done, or nothing; `kind` is "immediate" to write, "deferred" to read one state."""
    database.execute(f"begin {kind}")
    try:
        yield
        database.execute("commit")
    except BaseException:
        # A full disk may have rolled back already.
        with suppress(sqlite3.Error):
            database.execute("rollback")
        raise


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open the database, make it, or bring it up to date; StoreError if it is not ours to write."""
    with _opening(path, str(path), whole=True) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("pragma foreign_keys = on")
        _migrate(database, len(_MIGRATIONS))
        _check_schema(path, database)
        # A file that may not be written says so here and not at the first record.
        database.execute("begin immediate")
        database.execute("rollback")
        return database


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open the database beside a meter that may be writing it, without ever writing; StoreError if not ours.

    It may be of an older schema, and then stays so.
    """
    if not path.is_file():
        raise StoreError(f"{path.parent} is no data folder of a meter: there is no {path.name} in it")
    place = path.resolve().as_uri()
    try:
        with _opening(path, f"{place}?mode=ro") as database:
            _check_schema(path, database)
            return database
    except StoreError as error:
        cause = error.__cause__
        wal = path.with_name(path.name + "-wal")
        nothing_waits = not wal.exists() or wal.stat().st_size == 0
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF not in _NO_INDEX or not nothing_waits:
            raise
    # A folder that we may not write, where no meter runs: SQLite wants its WAL index there, and there is
    # nothing to index.
    with _opening(path, f"{place}?mode=ro&immutable=1") as database:
        _check_schema(path, database)
        return database


@contextmanager
def _opening(path: Path, place: str, *, whole: bool = False) -> Iterator[sqlite3.Connection]:
    """Give a connection that is closed again if what is done with it fails."""
    database = None
    try:
        database = sqlite3.connect(
            place, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, uri=place != str(path)
        )
        _check(path, database, whole)
        yield database
    except _FAILURES as error:
        if database is not None:
            database.close()
        damaged = (
            isinstance(error, UnicodeDecodeError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
        )
        what = "is damaged or no database" if damaged else "cannot be used"
        raise StoreError(f"{path} {what}: {error}") from error
    except BaseException:
        if database is not None:
            database.close()
        raise


def _check(path: Path, database: sqlite3.Connection, whole: bool) -> None:
    """Look before anything is written: StoreError for a database that is not ours to write."""
    application_id = database.execute("pragma application_id").fetchone()[0]
    version = database.execute("pragma user_version").fetchone()[0]
    tables = database.execute("select count(*) from sqlite_schema").fetchone()[0]
    # Killed while it was made: no table, no id, nothing lost.
    if application_id != _APPLICATION_ID and (tables or application_id or version):
        raise StoreError(f"{path} is a database of another program; choose another data folder")
    if version > len(_MIGRATIONS):
        raise StoreError(f"{path} was written by a newer iondlms (schema {version}); use that one")
    if whole:  # it reads the whole file: worth it before a meter writes there for months
        result = database.execute("pragma quick_check(1)").fetchone()[0]
        if result != "ok":
            raise StoreError(f"{path} is damaged: {result}")


def _check_schema(path: Path, database: sqlite3.Connection) -> None:
    """StoreError if the tables are not those of the migrations: SQLite's own check does not look at them."""
    version = database.execute("pragma user_version").fetchone()[0]
    if not version:
        raise StoreError(f"{path} is empty: no meter has run on it yet")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        _migrate(model, version)
        if model.execute(_TABLES).fetchall() != database.execute(_TABLES).fetchall():
            raise StoreError(f"{path} is damaged: its tables are not as they were made")


def _migrate(database: sqlite3.Connection, to: int) -> None:
    version = database.execute("pragma user_version").fetchone()[0]
    if version == to:
        return
    with transaction(database):
        for statements in _MIGRATIONS[version:to]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"pragma application_id = {_APPLICATION_ID}")
        database.execute(f"pragma user_version = {to}")
