"""The data folder of one meter: recorder rows, events and state in SQLite.

WAL with synchronous=FULL: what `write` returned from survives a power cut, and a batch is there whole or
not at all. One process at a time has the folder; within it one thread at a time may call.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from iondlms.ion import BeforeImports, Event, MeterState, Pending, RowFormat, Saved
from iondlms.ion.power_meter import PowerMeterState

from .archive import Archive
from .schema import DATABASE, StoreError, failures, open_to_write, transaction

__all__ = ["Store", "lock_folder"]

_LOCK: Final = "meter.lock"


class Store:
    """An open data folder; made by `open`."""

    def __init__(self, folder: Path, lock: sqlite3.Connection, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._lock = lock
        self._database = database
        self._path = folder / DATABASE
        self._archive = Archive(self._path, database)
        self._sources: dict[str, tuple[str, ...]] = {}  # told, and not written yet

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
        lock = lock_folder(folder)
        try:
            database = open_to_write(folder / DATABASE)
        except StoreError:
            lock.close()
            raise
        return cls(folder, lock, database)

    @property
    def archive(self) -> Archive:
        """What is kept, to be read."""
        return self._archive

    def load(self) -> Saved | None:
        """Return what was kept, None if the folder is new; StoreError if it contradicts itself."""
        state = self._archive.state()
        if state is None:
            return None
        rows = {name: self._archive.packed(name) for name in self._archive.recorders()}
        kept = {name: each for name, each in rows.items() if each is not None}
        return Saved(state, kept, self._archive.events())

    def describe(self, sources: Mapping[str, tuple[str, ...]]) -> None:
        """Tell the ION names of each recorder's sources; they are kept with the next batch.

        Not before: a recorder with new inputs has its old rows until the batch that clears them.
        """
        self._sources = dict(sources)

    def write(self, batch: Pending) -> None:
        """Make a batch durable, whole or not at all; writing the same batch again changes nothing.

        StoreError if it could not be kept, on a full disk for one.
        """
        told = self._sources
        with failures("write", self._path), transaction(self._database):
            for name, sources in told.items():
                self._database.execute(
                    "update recorder set sources = ? where id = ?", (json.dumps(sources), self._id(name))
                )
            for name, rows in batch.rows.items():
                number = self._id(name)
                if rows.cleared:
                    self._database.execute("delete from record where recorder = ?", (number,))
                self._append(number, rows.first, rows.stride, bytes(rows.octets))
                self._database.execute(
                    "delete from record where recorder = ? and sequence < ?", (number, rows.end - rows.depth)
                )
            if batch.events:
                self._log(batch.events)
                oldest = batch.events[-1].sequence - batch.event_depth
                self._database.execute("delete from event where sequence <= ?", (oldest,))
            if batch.state is not None:
                self._keep(batch.state)
        if self._sources is told:  # and not something newer, told by another thread meanwhile
            self._sources = {}

    def replace_rows(
        self,
        recorder: str,
        octets: bytes,
        event: Event,
        power_meter: PowerMeterState | None = None,
        imports: BeforeImports | None = None,
    ) -> None:
        """Let a recorder have these packed rows and no others, for a meter that does not run; with an event.

        With `power_meter` its registers too, and `imports` is how they came about. The rows get new numbers,
        which are never used again. StoreError if it has more than its depth of them, or no meter has started
        with it.
        """
        state = self._archive.state()
        sources = self._archive.recorders().get(recorder)
        known = None if state is None else state.recorders.get(recorder)
        if state is None or sources is None or known is None:
            raise StoreError(f"no meter with a recorder {recorder!r} has started on {self.folder}")
        stride = RowFormat(len(sources)).stride
        count = len(octets) // stride
        if count > known.depth:
            raise StoreError(f"{count} rows do not fit {recorder!r}, which keeps {known.depth}")
        first = known.next_sequence
        changed = replace(known, next_sequence=first + count, rearm_sequence=first)
        after = replace(
            state,
            recorders={**state.recorders, recorder: changed},
            next_event=max(state.next_event, event.sequence + 1),
            power_meter=state.power_meter if power_meter is None else power_meter,
            imports=state.imports if power_meter is None else imports,
        )
        with failures("write", self._path), transaction(self._database):
            number = self._id(recorder)
            self._database.execute("delete from record where recorder = ?", (number,))
            self._append(number, first, stride, octets)
            self._log([event])
            self._keep(after)

    def close(self) -> None:
        """Close the folder for the next process."""
        self._database.close()
        self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, number: int, first: int, stride: int, octets: bytes) -> None:
        self._database.executemany(
            "insert or replace into record values (?, ?, ?)",
            (
                (number, first + index, octets[index * stride : (index + 1) * stride])
                for index in range(len(octets) // stride)
            ),
        )

    def _log(self, events: Iterable[Event]) -> None:
        self._database.executemany("insert or replace into event values (?, ?, ?, ?, ?)", events)

    def _keep(self, state: MeterState) -> None:
        self._database.execute("insert or replace into state values (1, ?)", (state.encode(),))

    def _id(self, name: str) -> int:
        found = self._database.execute("select id from recorder where name = ?", (name,)).fetchone()
        if found is None:
            found = self._database.execute(
                "insert into recorder (name) values (?) returning id", (name,)
            ).fetchone()
        return int(found[0])


def lock_folder(folder: Path) -> sqlite3.Connection:
    """Take the folder for this process; StoreError if another has it, or it cannot be written.

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
