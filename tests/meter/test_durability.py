"""A running meter and its disk: what is answered is safe, and a disk that takes nothing is told of."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.meter.bench import START, START_MS

from iondlms.client import Client, Hooks, connect
from iondlms.errors import TemporaryFailure
from iondlms.ion import Pending, Priority
from iondlms.meter import MeterHost, load
from iondlms.meter import keeper as keeper_module
from iondlms.store import Archive, Store, StoreError

PASSWORD = "12345678"
STEP = timedelta(hours=2)


def host(folder: Path, *settings: tuple[str, Any], **options: Any) -> MeterHost:
    fixed = [("port.ETHERNET.listen", "127.0.0.1:0"), ("password", PASSWORD), ("data", str(folder))]
    return MeterHost(load(None, [*fixed, *settings]), utc_ms=START_MS, **options)


def client(of: MeterHost, hooks: Hooks | None = None) -> Client:
    return connect(f"{of.ports[0].url}?unit=100&client=1", password=PASSWORD, hooks=hooks)


def kept_offset(folder: Path) -> timedelta:
    with Archive.open(folder) as archive:
        state = archive.state()
    assert state is not None
    return timedelta(milliseconds=state.offset_ms)


def fill_disk(of: MeterHost) -> Callable[[], None]:
    """Let the database grow no more; return what makes room again."""
    assert of._keeper is not None
    database: sqlite3.Connection = of._keeper._store._database
    database.execute(f"pragma max_page_count = {database.execute('pragma page_count').fetchone()[0]}")

    def make_room() -> None:
        database.execute("pragma max_page_count = 1000000")

    return make_room


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("busy", [False, True])
async def test_a_clock_that_was_set_is_on_the_disk_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    order: list[str] = []
    write = Store.write

    def slow(store: Store, batch: Pending) -> None:
        stepped = batch.state is not None and batch.state.offset_ms != 0
        time.sleep(0.1)  # an answer that does not wait for the disk is out long before
        write(store, batch)
        order.append("step" if stepped else "before")

    def watch(direction: str, octets: bytes, _now: float) -> None:
        if direction == "RX" and b"\xc5\x01" in octets:
            order.append("answer")

    async with asyncio.timeout(20), host(tmp_path) as running, client(running, Hooks(watch)) as meter:
        await running.settled()
        monkeypatch.setattr(Store, "write", slow)
        if busy:  # with an event of before under way, and one that waits for it and goes with the step
            running._log_event(30, "Test", "one")
            running._log_event(30, "Test", "two")
        await meter.set_clock(START + STEP)
        assert order == [*["before"] * busy, "step", "answer"]
        assert abs(kept_offset(tmp_path) - STEP) < timedelta(seconds=10)
        events = [event.effect for event in running.meter.ion.event_log.events if event.cause == "Test"]
        assert events == ["one", "two"] * busy
        await running.settled()


async def test_a_clock_is_not_set_while_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_RETRY_S", 0.05)
    write = Store.write
    failing = True

    def full(store: Store, batch: Pending) -> None:
        if failing:
            raise StoreError("cannot write: the disk is full")
        write(store, batch)

    async with asyncio.timeout(20), host(tmp_path) as running, client(running) as meter:
        monkeypatch.setattr(Store, "write", full)
        # The first to find it out: the step is made, is not acknowledged, and is kept later.
        with pytest.raises(TemporaryFailure):
            await meter.set_clock(START + STEP)
        assert running.meter.unsafe == "cannot write: the disk is full"
        first = await meter.clock()
        assert first.instant is not None
        assert first.instant - START >= STEP
        # From now on it is known, and nothing happens.
        with pytest.raises(TemporaryFailure):
            await meter.set_clock(START + 2 * STEP)
        second = await meter.clock()
        assert second.instant is not None
        assert second.instant - START < STEP + timedelta(minutes=1)
        assert kept_offset(tmp_path) == timedelta(0)
        failing = False
        await until(lambda: running.meter.unsafe == "")
        assert abs(kept_offset(tmp_path) - STEP) < timedelta(seconds=10)
        await meter.set_clock(START)
        assert abs(kept_offset(tmp_path)) < timedelta(seconds=10)


async def test_a_full_disk_is_told_of_and_caught_up_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_RETRY_S", 0.02)
    async with asyncio.timeout(20):
        running = host(tmp_path, ("load_profile.period", 1), ("load_profile.depth", 100_000), speed=600.0)
        async with running, client(running) as meter:
            make_room = fill_disk(running)
            log = running.meter.ion.event_log
            await until(lambda: bool(running.meter.unsafe))
            assert "full" in running.meter.unsafe
            failure = log.events[-1]
            assert (failure.priority, failure.cause) == (Priority.FAILURE, "Data folder")
            assert "full" in failure.effect
            # Still answering, with what is safe; what happens meanwhile is seen at once.
            rows = len((await meter.profile("load")).rows)
            running._log_event(Priority.WARNING, "Test", "while it is full")
            assert log.events[-1].effect == "while it is full"
            running._log_event(Priority.WARNING, "Test", "and again")
            await asyncio.sleep(0.1)
            assert len((await meter.profile("load")).rows) == rows
            make_room()
            await until(lambda: running.meter.unsafe == "")
            await until(lambda: log.events[-1].effect == "can be written again")
            found = await meter.profile("load")
            assert len(found.rows) > rows
            times = [row.instant for row in found.rows if row.instant is not None]
            assert times == [times[0] + number * timedelta(seconds=1) for number in range(len(times))]
        told = [event for event in log.events if event.cause in ("Data folder", "Test")]
        assert [event.effect for event in told][1:] == [
            "while it is full",
            "and again",
            "can be written again",
        ]
    numbers = [event.sequence for event in log.events]
    assert numbers == sorted(set(numbers))
    with Archive.open(tmp_path) as archive:
        assert archive.events() == log.events
        kept = {datetime.fromtimestamp(row.utc_ms / 1000, UTC) for row in archive.rows("Load Profile")}
    assert set(times) <= kept


async def test_a_step_that_a_full_disk_does_not_take_does_not_end_the_connection(tmp_path: Path) -> None:
    async with asyncio.timeout(20), host(tmp_path) as running, client(running) as meter:
        make_room = fill_disk(running)
        # A long text does not fit the pages that there are.
        running.meter.ion._journal.log(START_MS, 255, "Test", "x" * 100_000)
        with pytest.raises(TemporaryFailure):
            await meter.set_clock(START + STEP)
        assert (await meter.clock()).instant is not None
        make_room()


async def test_the_columns_of_the_rows_are_named_on_the_disk(tmp_path: Path) -> None:
    async with asyncio.timeout(20), host(tmp_path) as running:
        recorders = running.meter.ion.recorders
        with Archive.open(tmp_path) as archive:
            assert archive.recorders() == {name: each.setup.sources for name, each in recorders.items()}
