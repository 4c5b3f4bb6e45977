"""Thousands of meters alike: what each costs, that each is itself, and that its rows stay what they were."""

from __future__ import annotations

import asyncio
import csv
import gc
import itertools
import logging
import sqlite3
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from weakref import ReferenceType

import pytest

from iondlms.client import Client
from iondlms.errors import DlmsError, LocalError, TemporaryFailure
from iondlms.later import NotYet
from iondlms.meter import load
from iondlms.meter.fleet import Fleet
from iondlms.meter.fleet_host import FleetHost, Member
from iondlms.meter.meter import Meter
from iondlms.ports.endpoint import Endpoint
from iondlms.ports.loop import over
from iondlms.sources import SimulatedLoad
from iondlms.store import FleetStore, StoreError

START = datetime(2026, 11, 22, 12, 7, 30, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
QUARTER_S = 900.0
NAME = "0-0:42.0.0*255"
T = TypeVar("T")


class Time:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(count: int, time: Time, *settings: tuple[str, Any]) -> Fleet:
    return Fleet(load(None, settings), count, utc_ms=START_MS, now=time)


class Wire:
    """A line to an endpoint that needs no time; who listens waits for the store that an answer waits for."""

    def __init__(self, endpoint: Endpoint, time: Time, waits: Callable[[], None] = lambda: None) -> None:
        self._endpoint = endpoint
        self._time = time
        self._waits = waits  # told that he has to
        self._answers = b""

    def now(self) -> float:
        return self._time.now

    async def send(self, octets: bytes) -> None:
        self._answers += self._endpoint.receive_data(octets, self._time.now)

    async def receive(self, deadline: float | None) -> bytes:
        while not self._answers and self._endpoint.later is not None:
            self._waits()
            await over(self._endpoint.later, 20)
            self._answers += self._endpoint.handle_timeout(self._time.now)
        answers, self._answers = self._answers, b""
        return answers

    async def close(self) -> None:
        pass


def opened(fleet: Fleet, number: int, time: Time, url: str = "hdlc://line?unit=100") -> Client:
    endpoint = fleet.endpoint(number, load(None).port[0], time.now)
    password = "12345678" if "client=1" in url else None

    async def connect() -> Wire:
        return Wire(endpoint, time)

    return Client(url, password=password, connector=connect)


async def rows(fleet: Fleet, number: int, time: Time, profile: str = "load") -> list[dict[str, object]]:
    async with opened(fleet, number, time) as client:
        return [dict(row) for row in (await client.profile(profile)).dicts()]


async def there(ask: Callable[..., T], *of: object) -> T:
    """Ask a log until it has read what it is asked for."""
    again: Callable[[], AbstractContextManager[None]] = nullcontext
    while True:
        try:
            with again():
                return ask(*of)
        except NotYet as waits:
            again = waits.again
            await over(waits.later, 20)


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
        read = [await rows(fleet, number, time) for number in range(12)]
        names = set()
        for number in range(12):
            async with opened(fleet, number, time) as client:
                names.add((await client.get(NAME)).octets().decode())
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
            assert await there(other.packed, 0, 30) == log.packed(0, 30)
            assert list(await there(other.instants, 3, 9)) == list(log.instants(3, 9))
            noon = log.instants(0, 1)[0]
            found = await there(other.find, noon, noon + 3_600_000)
            assert found == log.find(noon, noon + 3_600_000) == ((0, 5),)


async def test_history_is_there_when_somebody_asks_and_costs_nothing_before() -> None:
    time = Time()
    async with make(40, time, ("history", 200)) as fleet:
        assert fleet.made == 0
        await passed(fleet, time, 3)
        late = await rows(fleet, 9, time)
        assert fleet.made == 1
    other = Time()
    async with make(40, other, ("history", 200)) as fleet:
        early = await rows(fleet, 9, other)
        await passed(fleet, other, 3)
        assert await rows(fleet, 9, other) == late
    assert len(early) == 200
    assert late == [*early, *late[-3:]]


async def test_what_was_read_once_is_read_again_after_hundreds_of_others() -> None:
    time = Time()
    async with make(300, time) as fleet:
        await passed(fleet, time, 2)
        once = await rows(fleet, 0, time), await rows(fleet, 0, time, "billing")
        for number in range(1, 300):
            await rows(fleet, number, time)
        gc.collect()
        gone = fleet.meter(0)._device
        assert isinstance(gone, ReferenceType)
        assert gone() is None  # its objects
        assert (await rows(fleet, 0, time), await rows(fleet, 0, time, "billing")) == once


async def test_a_clock_that_was_set_stays_set_over_idleness_and_restart(tmp_path: Path) -> None:
    time = Time()
    settings = [("data", tmp_path), ("password", "12345678")]
    async with make(4, time, *settings) as fleet:
        await passed(fleet, time, 4)
        async with opened(fleet, 2, time, "hdlc://line?unit=100&client=1") as client:
            await client.set_clock(START + timedelta(minutes=30))  # half an hour back
        await passed(fleet, time, 3)
        before = await rows(fleet, 2, time)
        others = await rows(fleet, 1, time)
    stamps = [row["time"] for row in before]
    assert stamps != sorted(stamps, key=str)
    assert len(before) == len(others) == 7
    time.now += 3600
    config = load(None, settings)
    again = Fleet(config, 4, utc_ms=START_MS + round(time.now * 1000), now=time)
    async with again:
        assert (await rows(again, 2, time))[:7] == before
        assert (await rows(again, 1, time))[:7] == others
        log = again.meter(2).ion.recorders["Load Profile"].log
        twice = (await there(log.instants, 2, 3))[0]  # 12:45, before the step and after it
        assert await there(log.find, twice, twice) == ((2, 3), (4, 5))
        async with opened(again, 2, time) as client:
            shown = (await client.clock()).instant
            assert shown is not None
            assert abs(shown - (START + timedelta(seconds=time.now))) > timedelta(minutes=20)
        await passed(again, time, 1)
        assert len(await rows(again, 2, time)) > 7


async def test_the_ring_forgets_and_a_master_reset_clears() -> None:
    time = Time()
    async with make(2, time, ("load_profile.depth", 5)) as fleet:
        await passed(fleet, time, 8)
        meter = fleet.meter(1)
        log = meter.ion.recorders["Load Profile"].log
        assert (log.first, log.end) == (3, 8)
        assert len(await rows(fleet, 1, time)) == 5
        meter.master_reset(time.now)
        await fleet.catch_up()
        assert await rows(fleet, 1, time) == []
        await passed(fleet, time, 1)
        assert [row["status"] for row in await rows(fleet, 1, time)] == [8]
        assert len(await rows(fleet, 0, time)) == 5


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
        assert len(await rows(fleet, 0, time)) == 1  # none that could be lost is shown
        monkeypatch.setattr(FleetStore, "write", write)
        assert fleet._keeper is not None
        fleet._keeper.retry()
        await fleet.settled()
        assert len(await rows(fleet, 0, time)) == 3


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


# --- nobody waits for the store but who has asked for what is there -----------------------------------------

PASSWORD = "12345678"
LOAD, STATUS = "1-0:99.1.0*255", "0-0:97.97.0*255"


def hosted(count: int, *settings: tuple[str, Any], line: bool = False, speed: float = 1.0) -> FleetHost:
    fixed = [("port.ETHERNET.listen", "127.0.0.1:0"), ("password", PASSWORD)]
    return FleetHost(load(None, [*fixed, *settings]), count, line=line, utc_ms=START_MS, speed=speed)


def client(host: FleetHost, number: int, *, sets: bool = False) -> Client:
    member: Member = list(host.members())[number]
    url = f"{member.url}?unit={member.unit}&framing=hdlc"
    return Client(f"{url}&client=1", password=PASSWORD) if sets else Client(url)


def store_of(fleet: Fleet) -> FleetStore:
    assert fleet._keeper is not None
    return fleet._keeper.store


class Held:
    """A method of the store whose thread is held; of one meter, or of all."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, meter: int | None = None) -> None:
        self.gate = threading.Event()
        self.began = threading.Event()
        method = getattr(FleetStore, name)

        def held(store: FleetStore, of: Any, *others: Any, **named: Any) -> Any:
            if meter is None or meter == getattr(of, "meter", None):
                self.began.set()
                if not self.gate.wait(20):
                    raise StoreError("the test has let nobody go on")
            return method(store, of, *others, **named)

        patch.setattr(FleetStore, name, held)

    async def begun(self) -> None:
        """Wait until the thread is held."""
        assert await asyncio.to_thread(self.began.wait, 20)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def asked_for_everything(host: FleetHost, number: int) -> None:
    """Read what there is to read of a meter, each in its own way, and set its clock."""
    async with client(host, number, sets=True) as asked:
        every = await asked.profile("load")
        assert len(every.rows) >= 20
        assert len((await asked.profile("billing")).rows) >= 20
        first, last, back = (every.rows[index].instant for index in (1, 3, 9))
        assert first is not None
        assert back is not None
        assert (await asked.profile("load", first, last)).rows == every.rows[1:4]
        assert (await asked.profile("load", entries=(3, 4))).rows == every.rows[2:4]
        assert (await asked.get(STATUS)).value is not None
        assert len(str(await asked.get(LOAD, 0))) > len(str(await asked.get(LOAD, 2)))
        await asked.set_clock(back - timedelta(minutes=1))
        count = len((await asked.profile("load", last)).rows)
        while len((await asked.profile("load", last)).rows) == count:  # until a recorder has fired
            pass
        assert (await asked.clock()).instant is not None


async def test_the_loop_runs_no_statement_once_the_fleet_serves(tmp_path: Path) -> None:
    settings = ("history", 20), ("data", str(tmp_path))
    async with asyncio.timeout(20):
        async with hosted(3, *settings, speed=3600) as host:
            await asked_for_everything(host, 0)
        # One goes on with rows of an earlier process, and with a clock that was set back; two are new.
        async with hosted(3, *settings, speed=3600) as host:
            ran: list[tuple[str, str]] = []
            store = store_of(host.fleet)
            for database in (store._writing, store._reading):
                database.set_trace_callback(
                    lambda statement: ran.append((threading.current_thread().name, statement))
                )
            await asyncio.gather(*(asked_for_everything(host, number) for number in range(3)))
            for database in (store._writing, store._reading):
                database.set_trace_callback(None)
    assert {name.partition("_")[0] for name, _ in ran} == {"iondlms-store", "iondlms-read"}
    for name, statement in ran:
        verb = statement.split()[0].lower()
        if verb not in ("begin", "commit"):
            assert (verb == "select") is name.startswith("iondlms-read")


@pytest.mark.parametrize("name", ["find", "pieces"])
async def test_while_rows_are_read_the_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with (
        asyncio.timeout(20),
        hosted(2, ("history", 30)) as host,
        client(host, 0) as asks,
        client(host, 1) as other,
    ):
        right = (await asks.profile("load")).rows
        since = START - timedelta(hours=2) if name == "find" else None
        held = Held(monkeypatch, name, 0)
        reading = asyncio.create_task(asks.profile("load", since))
        await held.begun()
        for _ in range(3):
            assert (await other.clock()).instant is not None
        assert not reading.done()
        held.gate.set()
        rows = (await reading).rows
        assert rows == (right[-8:] if name == "find" else right)
        assert len(rows) in (8, 30)


async def test_while_a_clock_is_written_the_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with (
        asyncio.timeout(20),
        hosted(2, ("history", 30), ("data", str(tmp_path))) as host,
        client(host, 0, sets=True) as sets,
        client(host, 1) as other,
    ):
        assert len((await other.profile("load")).rows) == 30
        await host.fleet.settled()
        held = Held(monkeypatch, "write")
        setting = asyncio.create_task(sets.set_clock(START + timedelta(hours=5)))
        await held.begun()
        assert (await other.clock()).instant is not None
        assert len((await other.profile("load")).rows) == 30
        assert not setting.done()
        held.gate.set()
        await setting
        shown = (await sets.clock()).instant
        assert shown is not None
        assert shown >= START + timedelta(hours=5)


@pytest.mark.parametrize("name", ["find", "pieces"])
async def test_what_cannot_be_read_now_is_a_temporary_failure_and_the_line_goes_on(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    method = getattr(FleetStore, name)
    failed: list[str] = []

    def once(*of: Any, **named: Any) -> Any:
        if not failed:
            failed.append(threading.current_thread().name)
            raise StoreError("cannot read fleet.sqlite: disk I/O error")
        return method(*of, **named)

    async with asyncio.timeout(20), hosted(1, ("history", 30)) as host, client(host, 0) as asks:
        monkeypatch.setattr(host.fleet, "endpoint", None)  # no other connection is to be had
        monkeypatch.setattr(FleetStore, name, once)
        since = START - timedelta(hours=2) if name == "find" else None
        with pytest.raises(TemporaryFailure):
            await asks.profile("load", since)
        assert failed[0].startswith("iondlms-read")
        assert len((await asks.profile("load", since)).rows) in (8, 30)


@pytest.mark.parametrize("line", [False, True])
async def test_who_asks_first_waits_for_the_history(monkeypatch: pytest.MonkeyPatch, line: bool) -> None:
    """The disk is held until he waits; who need not wait would find nothing."""
    async with asyncio.timeout(20), hosted(3, ("history", 40), line=line) as host:
        held = Held(monkeypatch, "write")
        time = Time()
        time.now = asyncio.get_running_loop().time()
        endpoint = host._bus(time.now) if line else host._endpoint(1, time.now)
        assert endpoint is not None

        async def connect() -> Wire:
            return Wire(endpoint, time, held.gate.set)

        unit = list(host.members())[1].unit
        async with Client(f"hdlc://line?unit={unit}", connector=connect) as first:
            assert held.gate.is_set()
            assert len((await first.profile("load")).rows) == 40


async def test_on_one_line_the_first_rows_are_all_there() -> None:
    async with asyncio.timeout(20), hosted(5, ("history", 300), line=True) as host:
        for number in range(5):
            async with client(host, number) as first:
                assert len((await first.profile("load")).rows) == 300
        assert host.fleet.made == 5


@pytest.mark.parametrize("name", ["find", "pieces"])
async def test_who_hangs_up_while_his_rows_are_read_harms_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.WARNING)
    async with asyncio.timeout(20), hosted(1, ("history", 30)) as host:
        with monkeypatch.context() as patch:
            since = START - timedelta(hours=2) if name == "find" else None
            impatient = client(host, 0)
            await impatient.open()
            held = Held(patch, name)
            reading = asyncio.create_task(impatient.profile("load", since))
            await held.begun()
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            await impatient._hang()
            held.gate.set()
        await until(lambda: host.connections == 0)  # what was read is for nobody
        async with client(host, 0) as next_one:
            assert len((await next_one.profile("load", since)).rows) in (8, 30)
            assert len((await next_one.profile("load")).rows) == 30
        await impatient.close()
    assert [each.getMessage() for each in caplog.records] == []


async def test_it_stops_in_order_while_it_reads_and_writes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.WARNING)
    settings = ("history", 30), ("data", str(tmp_path))
    async with asyncio.timeout(20):
        host = hosted(2, *settings)
        await host.start()
        async with client(host, 1) as other:
            right = (await other.profile("load")).rows
        asks = client(host, 0)
        await asks.open()
        with monkeypatch.context() as patch:
            reads, writes = Held(patch, "pieces"), Held(patch, "write")
            reading = asyncio.create_task(asks.profile("load"))
            await reads.begun()
            now = asyncio.get_running_loop().time()
            for number in (1, 0, 1):
                assert host.fleet.meter(number).pulse("Load Profile", now)
            await writes.begun()
            stopping = asyncio.create_task(host.stop())
            await asyncio.sleep(0)
            assert not stopping.done()
            writes.gate.set()
            reads.gate.set()
            await stopping
        with suppress(DlmsError):  # the answer goes out, or the line is gone
            assert len((await reading).rows) == 30
        with suppress(DlmsError):
            await asks.close()
        async with hosted(2, *settings) as again, client(again, 0) as first, client(again, 1) as second:
            assert len((await first.profile("load")).rows) == 31
            rows = (await second.profile("load")).rows
            assert rows[:30] == right
            assert len(rows) == 32
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_no_clock_is_set_while_nothing_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise StoreError("cannot write fleet.sqlite: the disk is full")

    step = timedelta(hours=2)
    async with (
        asyncio.timeout(20),
        hosted(2, ("data", str(tmp_path))) as host,
        client(host, 0, sets=True) as sets,
        client(host, 1, sets=True) as other,
    ):
        await host.fleet.settled()
        with monkeypatch.context() as patch:
            patch.setattr(FleetStore, "write", full)
            # The first to find it out: the step is made, is not acknowledged, and is kept later.
            with pytest.raises(TemporaryFailure):
                await sets.set_clock(START + step)
            # From now on it is known, and nothing happens.
            for each, least in ((sets, step), (other, timedelta(0))):
                with pytest.raises(TemporaryFailure):
                    await each.set_clock(START + 3 * step)
                shown = (await each.clock()).instant
                assert shown is not None
                assert least <= shown - START < least + timedelta(minutes=1)
        assert host.fleet._keeper is not None
        host.fleet._keeper.retry()
        await host.fleet.settled()
        await other.set_clock(START + step)
    async with hosted(2, ("data", str(tmp_path))) as again:
        for number in range(2):
            async with client(again, number) as asks:
                shown = (await asks.clock()).instant
                assert shown is not None
                assert shown - START >= step - timedelta(seconds=1)  # shown to the hundredth
