"""Data folders with something in them."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.ion.builders import SOURCES, small_framework, utc

from iondlms.ion import IonMeter, Row, RowFormat
from iondlms.sources import SimulatedLoad
from iondlms.store import Store
from iondlms.store.schema import _APPLICATION_ID, _MIGRATIONS

BEGIN = utc(2026, 3, 10, 10, 5)
NOBODY = 65534


def fill(folder: Path, hours: float = 2.0, depth: int = 100, *, described: bool = True) -> IonMeter:
    """Let a small meter record into the folder for some hours; return it."""
    made = IonMeter(small_framework(depth=depth), SimulatedLoad(3, step_s=300))
    made.start(BEGIN, 0.0)
    with Store.open(folder) as store:
        if described:
            store.describe({each.name: each.setup.sources for each in made.recorders.values()})
        batch = made.advance(hours * 3600)
        store.write(batch)
        made.publish(batch)
    return made


def rows_in(meter: IonMeter, recorder: str = "log") -> list[Row]:
    log = meter.recorders[recorder].log
    return list(RowFormat(len(SOURCES)).unpack(log.packed(log.first, log.end)))


def as_of_schema_1(folder: Path) -> None:
    """Turn a database into one that the first version wrote."""
    path = folder / "meter.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as new:
        tables = {
            table: new.execute(f"select {columns} from {table}").fetchall()
            for table, columns in (("recorder", "id, name"), ("record", "*"), ("event", "*"), ("state", "*"))
        }
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("pragma journal_mode = wal")
        for statement in _MIGRATIONS[0]:
            old.execute(statement)
        for table, rows in tables.items():
            for row in rows:
                old.execute(f"insert into {table} values ({', '.join('?' * len(row))})", row)
        old.execute(f"pragma application_id = {_APPLICATION_ID}")
        old.execute("pragma user_version = 1")


@contextmanager
def read_only_folder() -> Iterator[Path]:
    """Give a folder, and a way to look at it as somebody who may only read: root may write everywhere."""
    # Not pytest's: nobody but its user may look into those.
    with tempfile.TemporaryDirectory(prefix="iondlms-test-") as name:
        folder = Path(name)
        yield folder
        folder.chmod(0o700)


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Within it the folder may be read and not be written, whoever runs the test."""
    folder.chmod(0o555)
    for path in folder.iterdir():
        path.chmod(0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the database's octets: what nobody may have changed."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name == "meter.sqlite"}
