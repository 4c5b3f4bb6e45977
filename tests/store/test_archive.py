"""Looking into a data folder, and copying it, while a meter runs on it and while none does."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.ion.builders import SOURCES, small_framework
from tests.store.builders import BEGIN, contents, fill, read_only_folder, rows_in, unprivileged

from iondlms.ion import IonMeter
from iondlms.sources import SimulatedLoad
from iondlms.store import Archive, Store, StoreError, backup, meters_in


def test_rows_events_and_state_beside_a_running_meter(tmp_path: Path) -> None:
    meter = fill(tmp_path)
    with Store.open(tmp_path) as store, Archive.open(tmp_path) as archive:
        assert archive.recorders() == {"log": SOURCES, "months": ("kWh del",), "hand": ("kWh del",)}
        assert list(archive.rows("log")) == rows_in(meter)
        assert len(rows_in(meter)) == 8
        assert archive.events() == meter.event_log.events
        batch = meter.advance(4 * 3600.0)
        store.write(batch)  # nobody holds it up
        meter.publish(batch)
        assert list(archive.rows("log")) == rows_in(meter)
        assert archive.rows("months").octets == b""
        state = archive.state()
        assert state is not None
        assert state.recorders["log"].next_sequence == 16
    with Store.open(tmp_path) as store:
        assert store.load() is not None


def test_reading_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    before = contents(tmp_path)
    with Archive.open(tmp_path) as archive:
        archive.rows("log")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            archive._database.execute("delete from record")
    assert contents(tmp_path) == before


def test_a_folder_that_may_only_be_read_is_read() -> None:
    with read_only_folder() as folder:
        meter = fill(folder)
        with unprivileged(folder), Archive.open(folder) as archive:
            assert list(archive.rows("log")) == rows_in(meter)


def test_what_is_no_data_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no data folder of a meter"):
        Archive.open(tmp_path)
    (tmp_path / "meter.sqlite").touch()
    with pytest.raises(StoreError, match="no meter has run on it yet"):
        Archive.open(tmp_path)
    with closing(sqlite3.connect(tmp_path / "meter.sqlite")) as other:
        other.execute("create table other (x)")
    with pytest.raises(StoreError, match="another program"):
        Archive.open(tmp_path)
    (tmp_path / "meter.sqlite").write_bytes(b"this is my shopping list\n" * 300)
    with pytest.raises(StoreError, match="damaged or no database"):
        Archive.open(tmp_path)


def test_a_newer_database_is_not_read(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "meter.sqlite")) as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(StoreError, match="newer"):
        Archive.open(tmp_path)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from record where sequence = 2",
        "update record set octets = x'0102' where sequence = 2",
        "update record set octets = x'0102'",
        "update record set octets = cast(x'ffffffffffffff7f' || substr(octets, 9) as blob)",
        "update recorder set sources = 'nonsense'",
        "update recorder set sources = '[]'",
        "update recorder set sources = '[7]'",
        "update recorder set sources = '[\"kWh del\"]'",
    ],
)
def test_rows_that_contradict_themselves_are_not_handed_out(tmp_path: Path, statement: str) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "meter.sqlite", isolation_level=None)) as database:
        database.execute(statement)
    with Archive.open(tmp_path) as archive, pytest.raises(StoreError, match="damaged"):
        archive.rows("log")


def test_a_recorder_that_is_not_there(tmp_path: Path) -> None:
    fill(tmp_path)
    with Archive.open(tmp_path) as archive, pytest.raises(StoreError, match="there are log, months, hand"):
        archive.rows("Load Profile")


def test_the_meters_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no data of a meter"):
        meters_in(tmp_path)
    with pytest.raises(StoreError, match="is no folder"):
        meters_in(tmp_path / "nothing")
    for name in ("loop/0002", "loop/0001", "bay/0007"):
        fill(tmp_path / name)
    found = meters_in(tmp_path)
    assert list(found) == ["bay/0007", "loop/0001", "loop/0002"]
    assert found["bay/0007"] == tmp_path / "bay" / "0007"
    assert meters_in(tmp_path / "loop") == {each: tmp_path / "loop" / each for each in ("0001", "0002")}
    assert meters_in(tmp_path / "loop" / "0001") == {"": tmp_path / "loop" / "0001"}


def test_a_backup_is_a_data_folder(tmp_path: Path) -> None:
    meter = fill(tmp_path / "a")
    backup(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["meter.sqlite"]
    with Store.open(tmp_path / "a") as first, Store.open(tmp_path / "b") as second:
        assert second.load() == first.load()
        again = IonMeter(meter.framework, SimulatedLoad(3))
        again.start(BEGIN + 7_200_000, 0.0, second.load())
        second.write(again.advance(3600.0))


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    fill(tmp_path / "b", hours=5)
    before = contents(tmp_path / "b")
    with pytest.raises(StoreError, match="overwrites nothing"):
        backup(tmp_path / "a", tmp_path / "b")
    with pytest.raises(StoreError, match="overwrites nothing"):
        backup(tmp_path / "a", tmp_path / "a")
    assert contents(tmp_path / "b") == before
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "meter.sqlite.part").touch()
    with pytest.raises(StoreError, match="another backup"):
        backup(tmp_path / "a", tmp_path / "c")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["meter.sqlite.part"]
    (tmp_path / "d").touch()
    with pytest.raises(StoreError, match="is a file"):
        backup(tmp_path / "a", tmp_path / "d")


def test_a_backup_of_what_is_no_data_folder_makes_none(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError, match="no data folder"):
        backup(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_damaged_original_makes_no_backup(tmp_path: Path) -> None:
    fill(tmp_path / "a", hours=200, depth=1000)
    path = tmp_path / "a" / "meter.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:12288] + b"\xff" * 8192 + whole[20480:])
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        backup(tmp_path / "a", tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


def test_a_backup_while_a_meter_writes_is_of_one_moment(tmp_path: Path) -> None:
    meter = IonMeter(small_framework(depth=10**6, period_s=1), SimulatedLoad(3))
    meter.start(BEGIN, 0.0)
    stop = threading.Event()
    with Store.open(tmp_path / "a") as store:
        store.describe({each.name: each.setup.sources for each in meter.recorders.values()})
        store.write(meter.advance(100.0))

        def write() -> None:
            now = 100.0
            while not stop.is_set():
                now += 5.0
                store.write(meter.advance(now))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(12):
                backup(tmp_path / "a", tmp_path / str(number))
        finally:
            stop.set()
            writer.join()
    ends = []
    for number in range(12):
        with Store.open(tmp_path / str(number)) as copy:
            saved = copy.load()
        assert saved is not None
        again = IonMeter(meter.framework, SimulatedLoad(3))
        again.start(BEGIN + 10**8, 0.0, saved)  # rows that do not fit the state are an error here
        ends.append(again.recorders["log"].log.end)
    assert ends == sorted(ends)
    assert ends[-1] > ends[0]
