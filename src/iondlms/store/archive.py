"""A data folder as those see it who only read: rows with their columns' names, events, state; copies.

A meter may be running on the folder. Each look is one short read of one consistent state, so it neither
waits for the meter nor holds its write-ahead log up.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from iondlms.errors import LocalError
from iondlms.ion import Event, MeterState, Row, RowFormat
from iondlms.ion.clock import CALENDAR_MS

from .schema import DATABASE, StoreError, failures, open_to_read, transaction

__all__ = ["Archive", "KeptRows", "backup", "meters_in"]


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The rows of one recorder, packed, oldest first: numbers `first` and up."""

    recorder: str
    sources: tuple[str, ...]  # ION names, one a value
    first: int
    octets: bytes

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows one by one."""
        return RowFormat(len(self.sources)).unpack(self.octets)


class Archive:
    """The contents of one database; made by `open`, or over a connection that somebody else closes."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self._database = database

    @classmethod
    def open(cls, folder: str | Path) -> Archive:
        """Open a data folder to read it, while a meter runs on it or not.

        StoreError if there is none, or if it is damaged, another program's or newer.
        """
        path = Path(folder) / DATABASE
        return cls(path, open_to_read(path))

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self) -> MeterState | None:
        """Return the meter's state, None before its first start; StoreError if it makes no sense."""
        with failures("read", self.path):
            found = self._database.execute("select body from state").fetchone()
        if found is None:
            return None
        try:
            return MeterState.decode(found[0])
        except LocalError as error:
            raise StoreError(f"{self.path} is damaged: {error}") from error

    def recorders(self) -> dict[str, tuple[str, ...] | None]:
        """Return the ION names of each recorder's sources, by the recorder's name, in order of their making.

        None where they were not kept: no meter has started on the folder since there is a place for them.
        """
        with failures("read", self.path):
            columns = [row[1] for row in self._database.execute("pragma table_info(recorder)")]
            chosen = "name, sources" if "sources" in columns else "name, null"
            found = self._database.execute(f"select {chosen} from recorder order by id").fetchall()
        return {name: None if sources is None else self._names(name, sources) for name, sources in found}

    def rows(self, recorder: str) -> KeptRows:
        """Return a recorder's rows; StoreError if it has no names for them, or they contradict themselves."""
        with failures("read", self.path), transaction(self._database, "deferred"):
            there = self.recorders()
            if recorder not in there:
                raise StoreError(
                    f"{self.path} has no recorder {recorder!r}; there are {', '.join(there) or 'none'}"
                )
            sources = there[recorder]
            if sources is None:
                raise StoreError(
                    f"{self.path} was written before the names of the columns were kept:"
                    " start its meter on it once, then they are there"
                )
            first, octets = self.packed(recorder) or (0, b"")
            if len(octets) % RowFormat(len(sources)).stride:
                raise StoreError(f"{self.path} is damaged: the records of {recorder!r} are not whole")
            kept = KeptRows(recorder, sources, first, octets)
            if any(row.utc_ms not in CALENDAR_MS for row in kept):
                raise StoreError(f"{self.path} is damaged: a record of {recorder!r} has no time")
            return kept

    def packed(self, recorder: str) -> tuple[int, bytes] | None:
        """Return the first number and the packed rows, None without a row; StoreError if they have holes."""
        with failures("read", self.path):
            of = " from record join recorder on recorder.id = record.recorder where recorder.name = ?"
            first, last, count, shortest, longest = self._database.execute(
                "select min(sequence), max(sequence), count(*), min(length(octets)), max(length(octets))"
                + of,
                (recorder,),
            ).fetchone()
            if not count:
                return None
            if last - first + 1 != count or shortest != longest:
                raise StoreError(f"{self.path} is damaged: the records of {recorder!r} are not whole")
            octets = self._database.execute("select octets" + of + " order by sequence", (recorder,))
            return first, b"".join([row for (row,) in octets])

    def events(self) -> tuple[Event, ...]:
        """Return the event log, oldest first; StoreError if an event makes no sense."""
        with failures("read", self.path):
            found = self._database.execute(
                "select sequence, utc_ms, priority, cause, effect from event order by sequence"
            )
            events = tuple([Event(*event) for event in found])
        for event in events:
            if event.utc_ms not in CALENDAR_MS:
                raise StoreError(f"{self.path} is damaged: event {event.sequence} has no time")
        return events

    def copy(self, target: Path) -> None:
        """Write a copy of one consistent state into a new file; StoreError if it is not whole."""
        with failures("write", target), closing(sqlite3.connect(target, isolation_level=None)) as copied:
            self._database.backup(copied)  # in one step: of a state between two batches
            result = copied.execute("pragma integrity_check(1)").fetchone()[0]
            if result != "ok":
                raise StoreError(f"the copy of {self.path} is damaged ({result}); is the original?")

    def _names(self, recorder: str, text: str) -> tuple[str, ...]:
        try:
            names = json.loads(text)
        except ValueError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise StoreError(f"{self.path} is damaged: the sources of {recorder!r} cannot be read")
        return tuple(names)


def meters_in(folder: str | Path) -> dict[str, Path]:
    """Return the data folder of a meter under "", or those of a site's meters under `LINE/NNNN`.

    StoreError if there is none.
    """
    root = Path(folder)
    if (root / DATABASE).exists():
        return {"": root}
    for pattern in (f"*/{DATABASE}", f"*/*/{DATABASE}"):
        found = sorted(root.glob(pattern))
        if found:
            return {path.parent.relative_to(root).as_posix(): path.parent for path in found}
    what = "holds no data of a meter" if root.is_dir() else "is no folder"
    raise StoreError(f"{folder} {what}; name what [meter] data or --data names")


def backup(source: Path, target: Path) -> None:
    """Copy a data folder, also of a running meter, into a new one that a meter can be started on.

    StoreError if the target has a database, cannot be written, or the copy is not whole: then there is none.
    """
    final, part = target / DATABASE, target / (DATABASE + ".part")
    with Archive.open(source) as archive:
        try:
            target.mkdir(parents=True, exist_ok=True)
            # Taken exclusively: of two backups into one folder, one is told.
            part.open("xb").close()
        except FileExistsError as error:
            what = (
                f"has a {part.name}: another backup runs, or one broke off"
                if target.is_dir()
                else "is a file"
            )
            raise StoreError(f"{target} {what}; name a new folder") from error
        except OSError as error:
            raise StoreError(f"the folder {target} cannot be written: {error.strerror}") from error
        try:
            if final.exists():
                raise StoreError(
                    f"{final} is there already, and a backup overwrites nothing; name a new folder"
                )
            archive.copy(part)
            part.rename(final)
            _settle(target)
        except OSError as error:
            raise StoreError(f"{final} cannot be written: {error.strerror}") from error
        finally:
            for end in ("", "-wal", "-shm", "-journal"):
                part.with_name(part.name + end).unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """See that what was done to the names in a folder outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
