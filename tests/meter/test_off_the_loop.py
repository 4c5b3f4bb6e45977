"""A running meter and its disk: whatever the disk does, the event loop goes on. On both loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import pytest
from tests.meter.bench import START, START_MS
from tests.meter.slow_disk import SUCCESS, Line

from iondlms.client import Client, Hooks, blocking, connect
from iondlms.errors import DlmsError, LocalError
from iondlms.ion import Pending
from iondlms.meter import Config, MeterHost, SiteHost, load
from iondlms.meter.control import Control
from iondlms.ports.loop import over
from iondlms.ports.memory import NullModem
from iondlms.ports.tcp import TcpPort
from iondlms.store import Archive, Store, StoreError

PASSWORD = "12345678"
STEP = timedelta(hours=2)
SET_DONE = bytes.fromhex("E6E700C501C200")
VOLTS = """
[[periodic_timer]]
name = "Minute"
period = "1m"
[[data_recorder]]
name = "Volts"
record = "Minute"
sources = ["Vln a"]
"""


def settings(folder: Path) -> list[tuple[str, Any]]:
    port = [("port.ETHERNET.listen", "127.0.0.1:0"), ("port.ETHERNET.unit_id", 17)]
    return [*port, ("password", PASSWORD), ("data", str(folder))]


def host(folder: Path, *more: tuple[str, Any], **options: Any) -> MeterHost:
    return MeterHost(load(None, [*settings(folder), *more]), utc_ms=START_MS, **options)


def client(of: MeterHost, hooks: Hooks | None = None) -> Client:
    return connect(f"{of.ports[0].url}?unit=17&client=1", password=PASSWORD, hooks=hooks)


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """Let the disk take nothing before the second of two events; the first says that it is asked to."""
    begun, go_on = Event(), Event()
    write = Store.write

    def slow(store: Store, batch: Pending) -> None:
        begun.set()
        if not go_on.wait(20):
            raise StoreError("the event loop stood still meanwhile")
        write(store, batch)

    monkeypatch.setattr(Store, "write", slow)
    try:
        yield begun, go_on
    finally:
        go_on.set()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def kept_offset(folder: Path) -> timedelta:
    with Archive.open(folder) as archive:
        state = archive.state()
    assert state is not None
    return timedelta(milliseconds=state.offset_ms)


def read_beside(running: MeterHost) -> int:
    """Read the meter over another line of it, here and now; return how many rows it has."""
    now = asyncio.get_running_loop().time()
    line = NullModem(running.meter.endpoint(now=now), now=now)
    with blocking.Client("hdlc://line?unit=17", connector=lambda: line) as other:
        return len(other.profile("load").rows)


async def test_others_are_answered_while_a_clock_that_was_set_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(30), host(tmp_path, ("history", 7)) as running, client(running) as meter:
        await running.settled()
        with held(monkeypatch) as (begun, go_on):
            setting = asyncio.create_task(meter.set_clock(START + STEP))
            await until(begun.is_set)
            assert read_beside(running) == 7
            assert not setting.done()
            assert kept_offset(tmp_path) == timedelta(0)
            go_on.set()
            await setting
        assert abs(kept_offset(tmp_path) - STEP) < timedelta(seconds=10)


async def test_a_set_under_way_at_the_stop_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = host(tmp_path)
    answers: list[bytes] = []

    def watch(direction: str, octets: bytes, _now: float) -> None:
        if direction == "RX" and SET_DONE in octets:
            answers.append(octets)

    async with asyncio.timeout(30):
        await running.start()
        meter = client(running, Hooks(watch))
        await meter.open()
        await running.settled()
        with held(monkeypatch) as (begun, go_on):
            setting = asyncio.create_task(meter.set_clock(START + STEP))
            await until(begun.is_set)
            stopping = asyncio.create_task(running.stop())
            await asyncio.sleep(0)
            go_on.set()
            await stopping
            with suppress(DlmsError):  # it wants to read the clock again, and nobody is there any more
                await setting
        with suppress(DlmsError):
            await meter.close()
    assert len(answers) == 1
    assert abs(kept_offset(tmp_path) - STEP) < timedelta(seconds=10)


async def test_a_set_that_comes_while_the_ports_close_is_durable_before_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop had begun, and the answer no longer waited."""
    running, stop_port = host(tmp_path), TcpPort.stop
    answers: list[bytes] = []

    async def slow_stop(port: TcpPort) -> None:
        if not answers:  # another port of the meter, that is open yet
            now, line = asyncio.get_running_loop().time(), Line("hdlc")
            endpoint = running.meter.endpoint(now=now)
            endpoint.receive_data(line.open(), now)
            answers.append(endpoint.receive_data(line("set"), now))
            assert kept_offset(tmp_path) == timedelta(0)
            await over(endpoint.later)
            answers.append(endpoint.handle_timeout(now))
            assert kept_offset(tmp_path) != timedelta(0)
        await stop_port(port)

    async with asyncio.timeout(30):
        await running.start()
        await running.settled()
        monkeypatch.setattr(TcpPort, "stop", slow_stop)
        await running.stop()
    assert answers[0] == b""
    assert SUCCESS in answers[1]


async def test_two_who_set_the_same_time_both_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(30), host(tmp_path) as running:
        await running.settled()
        now = asyncio.get_running_loop().time()
        lines = []
        for _ in range(2):
            line, endpoint = Line("hdlc"), running.meter.endpoint(now=now)
            endpoint.receive_data(line.open(), now)
            lines.append((line, endpoint))
        await running.settled()
        with held(monkeypatch) as (_, go_on):
            for line, endpoint in lines:
                assert endpoint.receive_data(line("set"), now) == b""
                assert endpoint.later is not None
            go_on.set()
            for _, endpoint in lines:
                await over(endpoint.later)
                assert SUCCESS in endpoint.handle_timeout(now)


async def test_a_bug_that_hides_rows_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(30), host(tmp_path) as running, client(running) as meter:
        await running.settled()

        def wrong(_: Pending) -> None:
            raise KeyError("a bug")

        monkeypatch.setattr(running.meter, "publish", wrong)
        await meter.set_clock(START + STEP)
        await running.settled()
        monkeypatch.undo()
    assert "what is on the disk cannot be shown" in caplog.text
    assert abs(kept_offset(tmp_path) - STEP) < timedelta(seconds=10)


async def test_a_disk_that_takes_nothing_refuses_the_clock_over_ctl_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(None, settings(tmp_path))
    async with asyncio.timeout(30), SiteHost(config, utc_ms=START_MS) as site:

        async def reload(_: bool) -> list[str]:
            return []

        control = Control(site, reload)
        with held(monkeypatch) as (begun, go_on):
            stepping = asyncio.create_task(control.answer({"command": "clock", "step": "+2h"}))
            await until(begun.is_set)
            assert read_beside(site.meters[0]) == 0
            assert not stepping.done()
            go_on.set()
            await stepping
        assert abs(kept_offset(tmp_path) - STEP) < timedelta(seconds=10)

        def full(*_: object) -> None:
            raise StoreError("cannot write: the disk is full")

        monkeypatch.setattr(Store, "write", full)
        with pytest.raises(LocalError, match="the disk is full"):
            await control.answer({"command": "clock", "step": "+1h"})
        monkeypatch.undo()


async def test_no_statement_of_the_disk_runs_in_the_thread_that_answers(tmp_path: Path) -> None:
    threads: set[str] = set()
    file = tmp_path / "meter.toml"

    def made(text: str) -> Config:
        file.write_text(text, "utf-8")
        return load(file, settings(tmp_path / "data"))

    async with asyncio.timeout(30), MeterHost(made(""), utc_ms=START_MS, speed=2000.0) as running:
        assert running._keeper is not None
        await running.settled()
        running._keeper._store._database.set_trace_callback(lambda _: threads.add(current_thread().name))
        log = running.meter.ion.recorders["Load Profile"].log
        async with client(running) as meter:
            await meter.set_clock(START + STEP)
            await until(lambda: log.count > 2)  # records
            assert (await meter.profile("load")).rows
        assert threads
        await running.apply(made(VOLTS), clearing=True)
        running.meter.step_clock(60, asyncio.get_running_loop().time())
        running.meter.master_reset(asyncio.get_running_loop().time())
        await running.settled()
        running._keeper._store._database.set_trace_callback(None)
    assert {name.rpartition("_")[0] for name in threads} == {"iondlms-store"}
