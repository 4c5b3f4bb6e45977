"""The rows, events and states of thousands of simulated meters in one database.

One thread writes and another reads, each with a connection of its own, so that in WAL mode neither waits for
the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from iondlms.ion import Event, MeterState, Pending, Saved
from iondlms.ion.log import found_in

from .database import lock_folder
from .schema import StoreError, failures, transaction

__all__ = ["FleetStore", "Found", "Place", "instants_of"]

_FILE: Final = "fleet.sqlite"
_APPLICATION_ID: Final = 0x494F4E46  # "IONF"
_TABLES: Final = (
    # What the meters are made from, as text: rows of others do not fit theirs.
    "create table fleet (id integer primary key check (id = 1), pattern text not null) strict",
    "create table recorder (id integer primary key, name text not null unique) strict",
    (
        "create table record (meter integer not null, recorder integer not null, sequence integer not null,"
        " octets blob not null, primary key (meter, recorder, sequence)) strict, without rowid"
    ),
    (
        "create table event (meter integer not null, sequence integer not null, utc_ms integer not null,"
        " priority integer not null, cause text not null, effect text not null,"
        " primary key (meter, sequence)) strict, without rowid"
    ),
    "create table state (meter integer primary key, body text not null) strict",
)
# Rows read at a time, by one call of SQLite that needs nothing of Python, and so holds up nobody else.
_MANY: Final = 1024


class Place(NamedTuple):
    """Where the rows of one recorder of one meter are."""

    meter: int
    recorder: int


class Found(NamedTuple):
    """What is known of a range: the runs of its rows, the rows of each in pieces, where rows fall back."""

    runs: tuple[tuple[int, int], ...]
    rows: tuple[list[bytes], ...]
    falls: Sequence[int]
    last_ms: int | None  # of the last row, where the falls had to be looked for


class FleetStore:
    """An open folder; made by `open`."""

    def __init__(
        self,
        path: Path,
        lock: sqlite3.Connection,
        writing: sqlite3.Connection,
        reading: sqlite3.Connection,
    ) -> None:
        self._path = path
        self._lock = lock
        self._writing = writing
        self._reading = reading
        self._recorders = dict(writing.execute("select name, id from recorder").fetchall())

    @classmethod
    def open(cls, folder: str | Path, pattern: str, *, lasting: bool = True) -> FleetStore:
        """Open the folder, and make it if it is not there.

        StoreError if it cannot be written, is in use, or is of meters of another `pattern`. What is not
        `lasting` need not survive a power cut: it is gone with the process anyway.
        """
        path = Path(folder) / _FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the data folder {folder} cannot be made: {error.strerror}") from error
        with ExitStack() as opened:
            lock = opened.enter_context(closing(lock_folder(path.parent)))
            with failures("open", path):
                writing = opened.enter_context(closing(_connect(path)))
                _prepare(writing, path, pattern, lasting)
                reading = opened.enter_context(closing(_connect(path)))
                reading.execute("pragma query_only = on")
            opened.pop_all()
        return cls(path, lock, writing, reading)

    def close(self) -> None:
        """Close the folder for the next process."""
        self._reading.close()
        self._writing.close()
        self._lock.close()

    # --- the writer's thread ------------------------------------------------------------------------

    def write(self, batches: Mapping[int, Pending]) -> None:
        """Make batches durable, by meter, all or none; writing them again changes nothing.

        StoreError if they could not be kept.
        """
        with failures("write", self._path), transaction(self._writing):
            execute, executemany = self._writing.execute, self._writing.executemany
            for meter, batch in batches.items():
                for name, rows in batch.rows.items():
                    if rows.cleared:
                        place = meter, self._recorders[name]
                        execute("delete from record where meter = ? and recorder = ?", place)
            executemany("insert or replace into record values (?, ?, ?, ?)", self._rows(batches))
            executemany(
                "delete from record where meter = ? and recorder = ? and sequence < ?",
                (
                    (meter, self._recorders[name], rows.end - rows.depth)
                    for meter, batch in batches.items()
                    for name, rows in batch.rows.items()
                    if rows.end > rows.depth
                ),
            )
            executemany(
                "insert or replace into event values (?, ?, ?, ?, ?, ?)",
                ((meter, *event) for meter, batch in batches.items() for event in batch.events),
            )
            executemany(
                "delete from event where meter = ? and sequence <= ?",
                (
                    (meter, batch.events[-1].sequence - batch.event_depth)
                    for meter, batch in batches.items()
                    if batch.events and batch.events[-1].sequence >= batch.event_depth
                ),
            )
            executemany(
                "insert or replace into state values (?, ?)",
                (
                    (meter, batch.state.encode())
                    for meter, batch in batches.items()
                    if batch.state is not None
                ),
            )

    def _rows(self, batches: Mapping[int, Pending]) -> Iterator[tuple[int, int, int, bytes]]:
        for meter, batch in batches.items():
            for name, rows in batch.rows.items():
                recorder, stride, octets = self._recorders[name], rows.stride, bytes(rows.octets)
                for index in range(len(octets) // stride):
                    yield meter, recorder, rows.first + index, octets[index * stride : (index + 1) * stride]

    # --- the start --------------------------------------------------------------------------------

    def recorder(self, name: str) -> int:
        """Return the number of the recorders of that name; call it before anything is written."""
        number = self._recorders.get(name)
        if number is None:
            with failures("write", self._path):
                self._writing.execute("insert into recorder (name) values (?)", (name,))
                number = int(self._writing.execute("select last_insert_rowid()").fetchone()[0])
            self._recorders[name] = number
        return number

    def saved(self) -> Iterator[tuple[int, Saved]]:
        """Yield what is kept of each meter but its rows, by number; LocalError for a state that is none."""
        with failures("read", self._path):
            for meter, body in self._reading.execute("select meter, body from state order by meter"):
                events = self._reading.execute(
                    "select sequence, utc_ms, priority, cause, effect from event where meter = ?"
                    " order by sequence",
                    (meter,),
                )
                yield meter, Saved(MeterState.decode(body), {}, tuple([Event(*each) for each in events]))

    def span(self, place: Place) -> tuple[int, int]:
        """Return the first number of the rows kept, and the one after the last; (0, 0) without any."""
        with failures("read", self._path):
            return self._span(place)

    # --- the reader's thread ------------------------------------------------------------------------

    def pieces(self, place: Place, first: int, end: int) -> list[bytes]:
        """Return rows `first` to `end` - 1 in some pieces, less those that are not kept."""
        with failures("read", self._path), transaction(self._reading, "deferred"):
            return self._pieces(place, first, end, "octets")

    def find(
        self,
        place: Place,
        first: int,
        end: int,
        falls: Sequence[int] | None,
        start_ms: int,
        end_ms: int,
        *,
        rows: bool = True,
    ) -> Found:
        """Return where of `first` to `end` - 1 the rows are with `start_ms <= utc_ms <= end_ms`, less those
        not kept; with `rows` these too.

        `falls` are the rows earlier than the row before; None has them looked for.
        """
        with failures("read", self._path), transaction(self._reading, "deferred"):
            # One state of the store: rows may have been forgotten that the log has not been told of.
            kept_first, kept_end = self._span(place)
            first, end = max(first, kept_first), min(end, kept_end)
            last_ms: int | None = None
            if falls is None:
                falls, last_ms = self._falls(place, first, end)
            inside = [fall for fall in falls if first < fall < end]
            runs = (
                found_in(first, inside, end, lambda at: self._instant(place, at), start_ms, end_ms)
                if first < end
                else ()
            )
            pieces = tuple([self._pieces(place, *run, "octets") for run in runs]) if rows else ()
            return Found(runs, pieces, falls, last_ms)

    def _pieces(self, place: Place, first: int, end: int, what: str) -> list[bytes]:
        found = []
        for begin in range(first, end, _MANY):
            (digits,) = self._reading.execute(
                # The rows of a range come by the key, in order; asked for in hexadecimal they are one text.
                f"select group_concat(hex({what}), '') from (select octets from record"
                " where meter = ? and recorder = ? and sequence between ? and ? order by sequence)",
                (*place, begin, min(begin + _MANY, end) - 1),
            ).fetchone()
            if digits:
                found.append(bytes.fromhex(digits))
        return found

    def _instant(self, place: Place, sequence: int) -> int:
        (octets,) = self._reading.execute(
            "select substr(octets, 1, 8) from record where meter = ? and recorder = ? and sequence = ?",
            (*place, sequence),
        ).fetchone()
        return int.from_bytes(octets, "little", signed=True)

    def _falls(self, place: Place, first: int, end: int) -> tuple[tuple[int, ...], int | None]:
        falls: list[int] = []
        before: int | None = None
        at = first
        for octets in self._pieces(place, first, end, "substr(octets, 1, 8)"):
            for utc_ms in instants_of(octets, 8):
                if before is not None and utc_ms < before:
                    falls.append(at)
                before, at = utc_ms, at + 1
        return tuple(falls), before

    def _span(self, place: Place) -> tuple[int, int]:
        first, last = self._reading.execute(
            "select (select sequence from record where meter = ?1 and recorder = ?2 order by sequence),"
            " (select sequence from record where meter = ?1 and recorder = ?2 order by sequence desc)",
            place,
        ).fetchone()
        return (0, 0) if first is None else (int(first), int(last) + 1)


def instants_of(packed: bytes, stride: int) -> list[int]:
    """Return the UTC milliseconds of packed rows."""
    return [utc_ms for (utc_ms,) in Struct(f"<q{stride - 8}x").iter_unpack(packed)]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _prepare(database: sqlite3.Connection, path: Path, pattern: str, lasting: bool) -> None:
    """Make the tables, or look whether they are ours and of this fleet; StoreError if not."""
    execute = database.execute
    number = execute("pragma application_id").fetchone()[0]
    tables = execute("select count(*) from sqlite_schema").fetchone()[0]
    if number != _APPLICATION_ID and (tables or number):
        raise StoreError(f"{path} is a database of another program; choose another data folder")
    execute("pragma journal_mode = wal")
    execute(f"pragma synchronous = {'full' if lasting else 'off'}")
    if not tables:
        with transaction(database):
            for statement in _TABLES:
                execute(statement)
            execute("insert into fleet values (1, ?)", (pattern,))
            execute(f"pragma application_id = {_APPLICATION_ID}")
    kept = execute("select pattern from fleet").fetchone()[0]
    if kept != pattern:
        raise StoreError(f"{path} is of other meters ({kept}, not {pattern}); choose another data folder")
