"""The data folder: whole batches or none, one process, clear refusals, nothing harmed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.ion.builders import SOURCES, Host, small_framework, utc
from tests.store.builders import (
    as_of_schema_1,
    contents,
    fill,
    read_only_folder,
    rows_in,
    unprivileged,
)

from iondlms.errors import LocalError
from iondlms.ion import IonMeter, Pending, default_framework
from iondlms.sources import SimulatedLoad
from iondlms.store import Archive, Store, StoreError

BEGIN = utc(2026, 3, 10, 10, 5)


def meter(depth: int = 100) -> IonMeter:
    made = IonMeter(small_framework(depth=depth), SimulatedLoad(3, step_s=300))
    made.start(BEGIN, 0.0)
    return made


def test_a_new_folder_is_made_and_empty(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a" / "b") as store:
        assert store.load() is None


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    first = meter()
    with Store.open(tmp_path) as store:
        for hour in range(1, 6):
            batch = first.advance(hour * 3600.0)
            store.write(batch)
            first.publish(batch)
    with Store.open(tmp_path) as store:
        saved = store.load()
    assert saved is not None
    assert saved.state == first.state
    assert saved.events == first.event_log.events
    assert saved.rows == {"log": (0, first.recorders["log"].log.packed(0, 20))}
    assert len(list(first.recorders["log"].rows(0, 99))) == 20


def test_a_restart_with_the_folder_goes_on(tmp_path: Path) -> None:
    first = meter()
    with Store.open(tmp_path) as store:
        first.power_down(3600.0)
        batch = first.advance(3600.0)
        store.write(batch)
        first.publish(batch)
    with Store.open(tmp_path) as store:
        again = IonMeter(first.framework, SimulatedLoad(3, step_s=300))
        again.start(BEGIN + 7_200_000, 99.0, store.load())
    assert again.value("kWh del") == first.value("kWh del") != 0
    assert list(again.recorders["log"].rows(0, 9)) == list(first.recorders["log"].rows(0, 9))
    batch = again.advance(99.0 + 900)
    again.publish(batch)
    assert [row.status for row in again.recorders["log"].rows(3, 9)] == [0, 0xC0]


def test_rows_that_do_not_fit_the_state_are_noticed(tmp_path: Path) -> None:
    first = meter()
    with Store.open(tmp_path) as store:
        store.write(first.advance(3600.0))
        batch = first.advance(7200.0)
        batch.rows.clear()
        store.write(batch)
        saved = store.load()
    with pytest.raises(LocalError, match="expected"):
        IonMeter(first.framework, SimulatedLoad(3)).start(BEGIN, 0.0, saved)


def test_writing_a_batch_twice_is_writing_it_once(tmp_path: Path) -> None:
    batch = meter().advance(7200.0)
    with Store.open(tmp_path) as store:
        store.write(batch)
        once = store.load()
        store.write(batch)
        assert store.load() == once


def test_the_ring_and_the_event_depth_are_kept_on_disk(tmp_path: Path) -> None:
    first = meter(depth=5)
    with Store.open(tmp_path) as store:
        for step in range(1, 20):
            first.log_event(30, "test", str(step), step * 900.0)
            batch = first.advance(step * 900.0)
            batch.event_depth = 4
            store.write(batch)
            first.publish(batch)
        saved = store.load()
    assert saved is not None
    log = first.recorders["log"].log
    assert saved.rows["log"] == (log.first, log.packed(log.first, log.end))
    assert log.count == 5
    assert [event.effect for event in saved.events] == ["16", "17", "18", "19"]


def test_a_cleared_log_is_cleared_on_disk(tmp_path: Path) -> None:
    first = meter()
    with Store.open(tmp_path) as store:
        store.write(first.advance(7200.0))
        first.master_reset(7300.0)
        store.write(first.advance(9000.0))
        saved = store.load()
    assert saved is not None
    assert saved.rows["log"][0] == 8
    assert saved.state.recorders["log"].next_sequence == 10


def test_changed_inputs_clear_one_log_and_changed_obis_codes_none(tmp_path: Path) -> None:
    framework = default_framework()
    first = IonMeter(framework, SimulatedLoad(3))
    first.start(BEGIN, 0.0)
    with Store.open(tmp_path) as store:
        store.write(first.advance(3600.0))
        saved = store.load()
    exports = (
        framework.dlms_log_exports[0],
        replace(framework.dlms_log_exports[1], profile_obis="1-0:98.2.0*255"),
    )
    same = IonMeter(replace(framework, dlms_log_exports=exports), SimulatedLoad(3))
    same.start(BEGIN, 4000.0, saved)
    assert [each.log.count for each in same.recorders.values()] == [4, 4]
    load, billing = framework.data_recorders
    shorter = replace(billing, sources=billing.sources[:11:-1] or billing.sources[::-1])
    other = IonMeter(
        replace(framework, data_recorders=(load, shorter), dlms_log_exports=()), SimulatedLoad(3)
    )
    other.start(BEGIN, 4000.0, saved)
    assert [each.log.count for each in other.recorders.values()] == [4, 0]
    with Store.open(tmp_path) as store:
        store.write(other.advance(4000.0))
        kept = store.load()
    assert kept is not None
    assert list(kept.rows) == ["Load Profile"]


def test_a_year_is_written_in_bulk(tmp_path: Path) -> None:
    made = IonMeter(default_framework(), SimulatedLoad(3, step_s=900))
    made.start(BEGIN, 0.0, history_rows=35_040)
    batch = made.advance(0.0)
    with Store.open(tmp_path) as store:
        begin = time.process_time()
        store.write(batch)
        assert time.process_time() - begin < 1.0
        saved = store.load()
    assert saved is not None
    again = IonMeter(default_framework(), SimulatedLoad(3, step_s=900))
    again.start(BEGIN, 60.0, saved)
    assert [each.log.count for each in again.recorders.values()] == [35_040, 35_040]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    code = "import sys; from iondlms.store import Store; Store.open(sys.argv[1])"
    with Store.open(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "in use by another process" in done.stderr.splitlines()[-1]
        with pytest.raises(StoreError, match="in use"):
            Store.open(tmp_path)
    Store.open(tmp_path).close()


def test_a_backup_can_be_read_while_the_meter_runs(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.write(meter().advance(3600.0))
        other = sqlite3.connect(tmp_path / "meter.sqlite")
        assert other.execute("select count(*) from record").fetchone() == (4,)
        other.close()


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "meter.sqlite")
    foreign.execute("create table other (x)")
    foreign.commit()
    foreign.close()
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="another program"):
        Store.open(tmp_path)
    assert contents(tmp_path) == before


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    database = sqlite3.connect(tmp_path / "meter.sqlite")
    database.execute("pragma user_version = 99")
    database.close()
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="newer"):
        Store.open(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("damage", ["text", "torn", "holes"])
def test_a_damaged_database_is_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "meter.sqlite"
    with Store.open(tmp_path) as store:
        store.write(meter().advance(90_000.0))
    whole = path.read_bytes()
    path.write_bytes(
        {
            "text": b"this is my shopping list\n" * 300,
            "torn": whole[: len(whole) // 2],
            "holes": whole[:4096] + b"\xff" * 8192 + whole[12288:],
        }[damage]
    )
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="damaged"):
        Store.open(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "statement",
    [
        "delete from record where sequence = 2",
        "update record set octets = x'0102' where sequence = 2",
        "update state set body = 'nonsense'",
    ],
)
def test_contents_that_contradict_themselves(tmp_path: Path, statement: str) -> None:
    with Store.open(tmp_path) as store:
        store.write(meter().advance(7200.0))
    database = sqlite3.connect(tmp_path / "meter.sqlite")
    database.execute(statement)
    database.commit()
    database.close()
    with Store.open(tmp_path) as store, pytest.raises(StoreError, match="damaged"):
        store.load()


def test_a_folder_that_cannot_be_made_or_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="cannot be made"):
            Store.open(path)


def test_a_read_only_folder() -> None:
    with read_only_folder() as folder, unprivileged(folder):
        with pytest.raises(StoreError, match="cannot be written"):
            Store.open(folder)
        with pytest.raises(StoreError, match="cannot be made"):
            Store.open(folder / "below")


def test_a_read_only_folder_with_a_database_is_left_alone() -> None:
    with read_only_folder() as folder:
        fill(folder)
        before = contents(folder)
        with unprivileged(folder), pytest.raises(StoreError, match=r"cannot be written|cannot be used"):
            Store.open(folder)
        assert contents(folder) == before
        Store.open(folder).close()


def test_a_full_disk_harms_nothing_and_the_batch_can_be_kept_later(tmp_path: Path) -> None:
    running = meter(depth=5000)
    with Store.open(tmp_path) as store:
        batch = running.advance(3600.0)
        store.write(batch)
        running.publish(batch)
        before = store.load()
        database = store._database
        pages = database.execute("pragma page_count").fetchone()[0]
        database.execute(f"pragma max_page_count = {pages}")
        waiting = running.advance(1_000_000.0)
        with pytest.raises(StoreError, match="full"):
            store.write(waiting)
        assert store.load() == before
        assert running.recorders["log"].log.count == 4
        waiting.merge(running.advance(2_000_000.0))
        database.execute("pragma max_page_count = 1000000")
        store.write(waiting)
        running.publish(waiting)
        saved = store.load()
    assert saved is not None
    log = running.recorders["log"].log
    assert saved.rows["log"] == (0, log.packed(0, log.end))
    assert log.count == 2_000_000 // 900


WRITER = """
import sys
from iondlms.ion import IonMeter
from iondlms.sources import SimulatedLoad
from iondlms.store import Store
from tests.ion.builders import small_framework
begin, folder = int(sys.argv[1]), sys.argv[2]
store = Store.open(folder)
saved = store.load()
meter = IonMeter(small_framework(depth=10**6, period_s=1), SimulatedLoad(3))
meter.start(begin, 0.0, saved)
now = 0.0
while True:
    now += 1.0
    batch = meter.advance(now)
    store.write(batch)
    print(f"{batch.rows['log'].first}:{batch.rows['log'].octets.hex()}", flush=True)
"""


def test_a_kill_takes_no_row_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[int, str] = {}
    for turn, lines in enumerate((1, 37, 150, 402)):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(BEGIN + turn * 3_600_000), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        for _ in range(lines):
            number, octets = writer.stdout.readline().strip().split(":")
            acknowledged[int(number)] = octets
        writer.kill()
        for line in writer.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                acknowledged[int(line.split(":")[0])] = line.strip().split(":")[1]
        writer.stdout.close()
        writer.wait(60)
        with Store.open(tmp_path) as store:
            saved = store.load()
            assert store._database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert saved is not None
        first, rows = saved.rows["log"]
        stride = len(bytes.fromhex(acknowledged[0]))
        assert first == 0
        kept = [rows[at : at + stride].hex() for at in range(0, len(rows), stride)]
        assert saved.state.recorders["log"].next_sequence == len(kept)
        assert {number: kept[number] for number in acknowledged} == acknowledged


def test_an_empty_batch_is_kept_too(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.write(Pending())
        assert store.load() is None


def test_a_host_with_a_store_keeps_a_clock_that_was_set(tmp_path: Path) -> None:
    host = Host(BEGIN).start().wait(60)
    host.meter.set_time(BEGIN + 7_200_000, host.now, "ETHERNET")
    with Store.open(tmp_path) as store:
        store.write(host.meter.advance(host.now))
        saved = store.load()
    assert saved is not None
    assert saved.state.offset_ms == 7_140_000


def test_an_older_database_is_brought_up_to_date_with_all_that_is_in_it(tmp_path: Path) -> None:
    first = fill(tmp_path, described=False)
    with Store.open(tmp_path) as store:
        before = store.load()
    as_of_schema_1(tmp_path)
    with Archive.open(tmp_path) as archive:  # by one that may not change it
        assert archive.recorders() == {"log": None}
        with pytest.raises(StoreError, match="start its meter on it once"):
            archive.rows("log")
        assert archive.events() == first.event_log.events
    with Store.open(tmp_path) as store:
        assert store.load() == before
        store.describe({"log": SOURCES})
        store.write(Pending())
        assert list(store.archive.rows("log")) == rows_in(first)
    with Store.open(tmp_path) as store:
        assert store.archive.recorders() == {"log": SOURCES}
        assert store.load() == before


def test_names_of_columns_are_kept_with_the_batch_that_clears_the_rows_of_others(tmp_path: Path) -> None:
    fill(tmp_path)
    with Store.open(tmp_path) as store:
        saved = store.load()
        store.describe({"log": ("kWh rec",)})
        assert store.archive.rows("log").sources == SOURCES  # a kill here leaves rows and names that fit
        other = IonMeter(small_framework(sources=("kWh rec",)), SimulatedLoad(3))
        other.start(BEGIN + 7_200_000, 0.0, saved)
        store.write(other.advance(0.0))
        assert (store.archive.rows("log").sources, store.archive.rows("log").octets) == (("kWh rec",), b"")


def test_names_that_a_full_disk_did_not_take_come_with_the_next_batch(tmp_path: Path) -> None:
    fill(tmp_path, described=False)
    with Store.open(tmp_path) as store:
        store.describe({"log": ("kWh del",) * 2000})
        database = store._database
        database.execute(f"pragma max_page_count = {database.execute('pragma page_count').fetchone()[0]}")
        with pytest.raises(StoreError, match="full"):
            store.write(Pending())
        assert store.archive.recorders() == {"log": None}
        database.execute("pragma max_page_count = 1000000")
        store.write(Pending())
        assert store.archive.recorders() == {"log": ("kWh del",) * 2000}
