"""The rows, events and states of thousands of simulated meters in one database.

A meter that nobody asks keeps no rows in memory: its logs read them here. One thread writes, with a
connection of its own; whoever reads does so from the event loop's thread, at most the rows of one ring, and
in WAL mode never waits for the writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from iondlms.ion import Event, MeterState, Pending, RowFormat, Saved
from iondlms.ion.log import found_in

from .database import lock_folder
from .schema import StoreError, failures, transaction

__all__ = ["FleetLog", "FleetStore", "Place"]

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
_MANY: Final = 512  # rows turned into numbers at a time


class Place(NamedTuple):
    """Where the rows of one recorder of one meter are."""

    meter: int
    recorder: int


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

    # --- the event loop's thread, and the start -----------------------------------------------------

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
            first, last = self._reading.execute(
                "select (select sequence from record where meter = ?1 and recorder = ?2 order by sequence),"
                " (select sequence from record where meter = ?1 and recorder = ?2 order by sequence desc)",
                place,
            ).fetchone()
        return (0, 0) if first is None else (int(first), int(last) + 1)

    def packed(self, place: Place, first: int, end: int) -> bytes:
        """Return rows `first` to `end` - 1."""
        with failures("read", self._path):
            found = self._reading.execute(
                "select octets from record where meter = ? and recorder = ? and sequence between ? and ?"
                " order by sequence",
                (*place, first, end - 1),
            )
            return b"".join([octets for (octets,) in found])


class FleetLog:
    """A `Log` whose rows are in the store; only how many there are is in memory.

    It is told of rows with `extend` once they are written.
    """

    __slots__ = ("_depth", "_end", "_falls", "_first", "_last_ms", "_place", "_store", "_stride")

    def __init__(self, store: FleetStore, place: Place, row_format: RowFormat, depth: int) -> None:
        self._store = store
        self._place = place
        self._stride = row_format.stride
        self._depth = depth
        self._first, self._end = 0, 0
        self._last_ms: int | None = None
        # Rows earlier than the row before; None until they are looked for, in rows of an earlier process.
        self._falls: Sequence[int] | None = ()

    def attach(self) -> None:
        """Go on with the rows that the store has."""
        self._first, self._end = self._store.span(self._place)
        self._falls = None if self.count else ()

    @property
    def first(self) -> int:
        """Sequence number of the oldest row kept; `end` if there is none."""
        return self._first

    @property
    def end(self) -> int:
        """The sequence number that the next row will have."""
        return self._end

    @property
    def count(self) -> int:
        """Rows kept."""
        return self._end - self._first

    def extend(self, rows: bytes | bytearray) -> None:
        """Take that whole packed rows are written, and forget the oldest above the depth."""
        if len(rows) % self._stride:
            raise StoreError(f"{len(rows)} octets are not whole rows of {self._stride}")
        if not rows:
            return
        if self._falls is not None:
            instants = _instants(bytes(rows), self._stride)
            before = self._last_ms
            if before is not None:
                instants.insert(0, before)
            begin = self._end + (before is None)
            falls = [begin + index for index, (old, new) in enumerate(pairwise(instants)) if new < old]
            self._falls = (*self._falls, *falls) if falls else self._falls
            self._last_ms = instants[-1]
        self._end += len(rows) // self._stride
        self._trim()

    def clear(self, end: int) -> None:
        """Forget all rows; the next will be number `end`."""
        self._first = self._end = end
        self._last_ms, self._falls = None, ()

    def resize(self, depth: int) -> None:
        """Keep at most `depth` rows from now on, and forget the oldest above it."""
        self._depth = depth
        self._trim()

    def packed(self, first: int, end: int) -> bytes:
        """Return rows `first` to `end` - 1, less those forgotten or not yet there."""
        first, end = max(first, self._first), min(end, self._end)
        return self._store.packed(self._place, first, end) if first < end else b""

    def pieces(self, first: int, end: int) -> list[bytes]:
        """Return the same rows in one piece."""
        packed = self.packed(first, end)
        return [packed] if packed else []

    def instants(self, first: int, end: int) -> list[int]:
        """Return the UTC milliseconds of the same rows."""
        return _instants(self.packed(first, end), self._stride)

    def find(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
        """Return the rows with `start_ms <= utc_ms <= end_ms` as runs (first, end)."""
        if self._falls is None:
            self._look_for_falls()
        return found_in(self._first, self._falls or (), self._end, self._instant, start_ms, end_ms)

    def _instant(self, sequence: int) -> int:
        return int.from_bytes(
            self._store.packed(self._place, sequence, sequence + 1)[:8], "little", signed=True
        )

    def _look_for_falls(self) -> None:
        falls: list[int] = []
        before: int | None = None
        for first in range(self._first, self._end, _MANY):
            for index, utc_ms in enumerate(self.instants(first, min(first + _MANY, self._end))):
                if before is not None and utc_ms < before:
                    falls.append(first + index)
                before = utc_ms
        self._last_ms, self._falls = before, tuple(falls)

    def _trim(self) -> None:
        self._first = max(self._first, self._end - self._depth)
        if self._falls and self._falls[0] <= self._first:
            self._falls = tuple([fall for fall in self._falls if fall > self._first])


def _instants(packed: bytes, stride: int) -> list[int]:
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
