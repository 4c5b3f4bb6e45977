"""Thousands of meters alike: what each costs, that each is itself, and that its rows stay what they were."""

from __future__ import annotations

import asyncio
import csv
import gc
import itertools
import sqlite3
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import ReferenceType

import pytest

from iondlms.client import Client, blocking
from iondlms.errors import DlmsError, LocalError
from iondlms.meter import load
from iondlms.meter.fleet import Fleet
from iondlms.meter.fleet_host import FleetHost
from iondlms.meter.meter import Meter
from iondlms.ports.memory import NullModem
from iondlms.sources import SimulatedLoad
from iondlms.store import FleetStore, StoreError

START = datetime(2026, 11, 22, 12, 7, 30, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
QUARTER_S = 900.0
NAME = "0-0:42.0.0*255"


class Time:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(count: int, time: Time, *settings: tuple[str, Any]) -> Fleet:
    return Fleet(load(None, settings), count, utc_ms=START_MS, now=time)


def opened(fleet: Fleet, number: int, time: Time, url: str = "hdlc://line?unit=100") -> blocking.Client:
    section = load(None).port[0]
    endpoint = fleet.meter(number).endpoint(section, time.now)
    password = "12345678" if "client=1" in url else None
    return blocking.Client(url, password=password, connector=lambda: NullModem(endpoint, now=time.now))


def rows(fleet: Fleet, number: int, time: Time, profile: str = "load") -> list[dict[str, object]]:
    with opened(fleet, number, time) as client:
        return [dict(row) for row in client.profile(profile).dicts()]


async def passed(fleet: Fleet, time: Time, quarters: int) -> None:
    for _ in range(quarters):
        time.now += QUARTER_S
        await fleet.catch_up()


async def test_an_idle_meter_takes_less_than_10_kib() -> None:
    time, count = Time(), 200
    async with make(2, time) as first:
        await passed(first, time, 2)  # what all share is there
    fleet = make(count + 2, time)
    gc.collect()
    tracemalloc.start()
    try:
        async with fleet:
            before, _ = tracemalloc.get_traced_memory()
            await passed(fleet, time, 5)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            assert fleet.meter(7).ion.recorders["Load Profile"].log.count == 5
    finally:
        tracemalloc.stop()
    assert after / count < 10 * 1024
    assert after > before > count * 1000  # it was measured


async def test_rows_do_not_stay_in_memory() -> None:
    time, count = Time(), 20
    tracemalloc.start()
    try:
        async with make(count, time) as fleet:
            await passed(fleet, time, 8)
            held = []
            for _ in range(3):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
                await passed(fleet, time, 48)
    finally:
        tracemalloc.stop()
    # 48 rows of both recorders are 7 kB. In one of the two spans something else may have been kept for good.
    assert min(after - before for before, after in itertools.pairwise(held)) / count < 1000


async def test_each_has_its_own_name_and_load() -> None:
    time = Time()
    async with make(12, time) as fleet:
        await passed(fleet, time, 4)
        read = [rows(fleet, number, time) for number in range(12)]
        names = set()
        for number in range(12):
            with opened(fleet, number, time) as client:
                names.add(client.get(NAME).octets().decode())
        assert names == {fleet.logical_device_name(number) for number in range(12)}
    assert len(names) == 12
    assert all(len(each) == 4 for each in read)
    assert len({str(each) for each in read}) == 12


async def test_it_records_what_an_ordinary_meter_of_that_seed_records() -> None:
    time = Time()
    alone = Meter(load(None, [("seed", 5)]), source=SimulatedLoad(5, step_s=900))
    alone.start(START_MS, 0.0)
    async with make(6, time) as fleet:
        await passed(fleet, time, 30)
        alone.advance(time.now)
        meter = fleet.meter(4)
        for name, recorder in alone.ion.recorders.items():
            log, other = recorder.log, meter.ion.recorders[name].log
            assert (other.first, other.end) == (log.first, log.end) == (0, 30)
            assert other.packed(0, 30) == log.packed(0, 30)
            assert list(other.instants(3, 9)) == list(log.instants(3, 9))
            noon = log.instants(0, 1)[0]
            assert other.find(noon, noon + 3_600_000) == log.find(noon, noon + 3_600_000) == ((0, 5),)


async def test_history_is_there_when_somebody_asks_and_costs_nothing_before() -> None:
    time = Time()
    async with make(40, time, ("history", 200)) as fleet:
        assert fleet.made == 0
        await passed(fleet, time, 3)
        late = rows(fleet, 9, time)
        assert fleet.made == 1
    other = Time()
    async with make(40, other, ("history", 200)) as fleet:
        early = rows(fleet, 9, other)
        await passed(fleet, other, 3)
        assert rows(fleet, 9, other) == late
    assert len(early) == 200
    assert late == [*early, *late[-3:]]


async def test_what_was_read_once_is_read_again_after_hundreds_of_others() -> None:
    time = Time()
    async with make(300, time) as fleet:
        await passed(fleet, time, 2)
        once = rows(fleet, 0, time), rows(fleet, 0, time, "billing")
        for number in range(1, 300):
            rows(fleet, number, time)
        gc.collect()
        gone = fleet.meter(0)._device
        assert isinstance(gone, ReferenceType)
        assert gone() is None  # its objects
        assert (rows(fleet, 0, time), rows(fleet, 0, time, "billing")) == once


async def test_a_clock_that_was_set_stays_set_over_idleness_and_restart(tmp_path: Path) -> None:
    time = Time()
    settings = [("data", tmp_path), ("password", "12345678")]
    async with make(4, time, *settings) as fleet:
        await passed(fleet, time, 4)
        with opened(fleet, 2, time, "hdlc://line?unit=100&client=1") as client:
            client.set_clock(START + timedelta(minutes=30))  # half an hour back
        await passed(fleet, time, 3)
        before = rows(fleet, 2, time)
        others = rows(fleet, 1, time)
    stamps = [row["time"] for row in before]
    assert stamps != sorted(stamps, key=str)
    assert len(before) == len(others) == 7
    time.now += 3600
    config = load(None, settings)
    again = Fleet(config, 4, utc_ms=START_MS + round(time.now * 1000), now=time)
    async with again:
        assert rows(again, 2, time)[:7] == before
        assert rows(again, 1, time)[:7] == others
        log = again.meter(2).ion.recorders["Load Profile"].log
        twice = log.instants(2, 3)[0]  # 12:45, before the step and after it
        assert log.find(twice, twice) == ((2, 3), (4, 5))
        with opened(again, 2, time) as client:
            shown = client.clock().instant
            assert shown is not None
            assert abs(shown - (START + timedelta(seconds=time.now))) > timedelta(minutes=20)
        await passed(again, time, 1)
        assert len(rows(again, 2, time)) > 7


async def test_the_ring_forgets_and_a_master_reset_clears() -> None:
    time = Time()
    async with make(2, time, ("load_profile.depth", 5)) as fleet:
        await passed(fleet, time, 8)
        meter = fleet.meter(1)
        log = meter.ion.recorders["Load Profile"].log
        assert (log.first, log.end) == (3, 8)
        assert len(rows(fleet, 1, time)) == 5
        meter.master_reset(time.now)
        await fleet.catch_up()
        assert rows(fleet, 1, time) == []
        await passed(fleet, time, 1)
        assert [row["status"] for row in rows(fleet, 1, time)] == [8]
        assert len(rows(fleet, 0, time)) == 5


async def test_a_disk_that_takes_nothing_for_a_while_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    time = Time()
    write: Callable[..., None] = FleetStore.write

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    async with make(3, time, ("data", tmp_path)) as fleet:
        await passed(fleet, time, 1)
        monkeypatch.setattr(FleetStore, "write", full)
        await passed(fleet, time, 2)
        assert len(rows(fleet, 0, time)) == 1  # none that could be lost is shown
        monkeypatch.setattr(FleetStore, "write", write)
        fleet._retry()
        await fleet.settled()
        assert len(rows(fleet, 0, time)) == 3


async def test_a_folder_is_of_one_fleet_and_one_process(tmp_path: Path) -> None:
    time = Time()
    async with make(2, time, ("data", tmp_path)):
        with pytest.raises(StoreError, match="in use by another process"):
            await make(2, time, ("data", tmp_path)).start()
    with pytest.raises(StoreError, match="is of other meters"):
        await make(2, time, ("data", tmp_path), ("seed", 9)).start()
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("create table t (x)")
    other.close()
    (tmp_path / "new").mkdir()
    (tmp_path / "other.sqlite").rename(tmp_path / "new" / "fleet.sqlite")
    with pytest.raises(StoreError, match="database of another program"):
        await make(2, time, ("data", tmp_path / "new")).start()


def test_what_a_fleet_cannot_be_is_said() -> None:
    with pytest.raises(LocalError, match="simulated loads"):
        Fleet(load(None, [("source.kind", "modbus"), ("source.url", "tcp://127.0.0.1:502")]), 2)
    with pytest.raises(LocalError, match=r"meter\.serial: 2 meters cannot have one"):
        Fleet(load(None, [("serial", "MW-1234A567-01")]), 2)
    with pytest.raises(LocalError, match="no faults on demand"):
        Fleet(load(None).model_copy(update={"fault": ("one",)}), 2)
    with pytest.raises(LocalError, match="9999 Unit IDs"):
        FleetHost(load(None), 10_000, line=True)
    with pytest.raises(LocalError, match="end above 65535"):
        FleetHost(load(None, [("port.ETHERNET.listen", "127.0.0.1:65000")]), 600)


async def test_each_has_a_port_that_takes_one_client(tmp_path: Path) -> None:
    config = load(None, [("port.ETHERNET.listen", "127.0.0.1:0"), ("history", 5)])
    async with FleetHost(config, 30) as host:
        host.write_inventory(tmp_path / "fleet.csv")
        with (tmp_path / "fleet.csv").open(encoding="utf-8", newline="") as file:
            inventory = list(csv.DictReader(file))
        assert len({each["url"] for each in inventory}) == len({each["serial"] for each in inventory}) == 30
        urls = [f"{each['url']}?unit={each['unit']}&framing=hdlc" for each in inventory]

        async def name(url: str) -> str:
            async with Client(url) as client:
                assert len((await client.profile("load")).rows) == 5
                return (await client.get(NAME)).octets().decode()

        names = await asyncio.gather(*map(name, urls))
        assert names == [each["logical_device_name"] for each in inventory]
        async with Client(urls[3]):
            assert host.connections == 1
            with pytest.raises(DlmsError):
                async with Client(f"{urls[3]}&retries=0&timeout=1s"):
                    pass
            async with Client(urls[4]):
                assert host.connections == 2
        assert await name(urls[3]) == names[3]


async def test_or_all_are_on_one_line_by_unit_id() -> None:
    config = load(None, [("port.ETHERNET.listen", "127.0.0.1:0")])
    async with FleetHost(config, 20, line=True) as host:
        members = list(host.members())
        assert len({each.url for each in members}) == 1
        for member in (members[0], members[19]):
            async with Client(f"{member.url}?unit={member.unit}&framing=hdlc") as client:
                assert (await client.get(NAME)).octets().decode() == member.logical_device_name
        with pytest.raises(DlmsError):
            async with Client(f"{members[0].url}?unit=21&framing=hdlc&timeout=200ms&retries=0"):
                pass
