"""Sources in a running meter, read over DLMS: a file, another meter over Modbus, and sources that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.sources.modbus_meter import OtherMeter
from tests.sources.test_real_files import ANGELES, BUILDING, DATA, by_day

from iondlms.client import Client, Profile, connect
from iondlms.ion import Flow, Priority
from iondlms.meter import MeterHost, load
from iondlms.meter import host as host_module

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1000)
DAY_MS = 86_400_000


def made(*settings: tuple[str, Any], utc_ms: int = BEGIN_MS, **options: Any) -> MeterHost:
    return MeterHost(
        load(None, [("port.ETHERNET.listen", "127.0.0.1:0"), *settings]), utc_ms=utc_ms, **options
    )


def client(of: MeterHost) -> Client:
    return connect(f"{of.ports[0].url}?unit=100&timeout=5s")


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


def energies(profile: Profile, column: str = "kWh-del-int") -> list[tuple[datetime | None, Decimal | None]]:
    place = [each.title for each in profile.columns].index(column)
    return [(row.instant, row.values[place]) for row in profile]  # type: ignore[misc]


# --- a file ---------------------------------------------------------------------------------------


def recording(path: Path, powers: Mapping[int, int]) -> Path:
    """A CSV of mean kW by the begin of the quarter in minutes."""
    lines = [
        f"{datetime.fromtimestamp(BEGIN_MS / 1000 + minute * 60, UTC):%Y-%m-%dT%H:%M},{kw}"
        for minute, kw in powers.items()
    ]
    path.write_text("\n".join(["time,kW", *lines, ""]))
    return path


async def test_the_energy_of_a_replayed_file_is_read_over_dlms(tmp_path: Path) -> None:
    powers = {minute: 40 + minute % 7 * 4 - (100 if minute == 600 else 0) for minute in range(0, 1440, 15)}
    file = recording(tmp_path / "load.csv", powers | {1440: 0})  # nothing is known after its end
    settings = (("source.kind", "replay"), ("source.path", str(file)), ("history", 96))
    gateway = made(*settings, utc_ms=BEGIN_MS + DAY_MS + 1000)
    async with asyncio.timeout(20), gateway as host, client(host) as meter:
        profile = await meter.profile("load")
        registers = [(await meter.get(name)).integer() for name in ("kWh-del", "kWh-rec", "kWh-del-rec")]
    # A quarter of an hour of 1 kW is 250 Wh; a row is stamped with the end of its interval.
    delivered = [(BEGIN_MS // 1000 + (m + 15) * 60, max(kw, 0) * 250) for m, kw in powers.items()]
    received = [(at, max(-kw, 0) * 250) for (at, _), kw in zip(delivered, powers.values(), strict=True)]
    for column, expected in (("kWh-del-int", delivered), ("kWh-rec-int", received)):
        shown = energies(profile, column)
        found = [(int(at.timestamp()), int(wh)) for at, wh in shown if at is not None and wh is not None]
        assert found == expected
    sums = [sum(wh for _, wh in each) for each in (delivered, received)]
    assert registers == [*sums, sums[0] - sums[1]]


async def test_a_gap_in_the_file_is_an_outage_of_the_meter(tmp_path: Path) -> None:
    file = recording(tmp_path / "load.csv", dict.fromkeys((0, 15, 30, 120, 135, 150), 4))
    settings = (("source.kind", "replay"), ("source.path", str(file)), ("load_profile.period", 900))
    async with asyncio.timeout(20), made(*settings, speed=200_000.0) as host:
        await until(lambda: host.meter.ion.recorders["Load Profile"].log.count >= 6)
        async with client(host) as meter:
            profile = await meter.profile("load", entries=(1, 6))
    rows = [
        (int((row.instant - BEGIN).total_seconds()) // 60, bool((row.status or 0) & 0xC0))
        for row in profile
        if row.instant is not None
    ]
    assert [minute for minute, _ in rows] == [15, 30, 45, 135, 150, 165]
    assert [lost for _, lost in rows[1:]] == [False, False, True, False, False]
    assert {wh for _, wh in energies(profile)} == {1000}


async def test_days_of_a_real_recording_are_read_over_dlms_with_the_end_of_daylight_saving() -> None:
    if not (DATA / BUILDING).is_file():
        pytest.skip(f"the recording {BUILDING} is not here; it may not be copied into the project")
    settings = (
        ("source.kind", "replay"),
        ("source.path", str(DATA / BUILDING)),
        ("source.zone", "America/Los_Angeles"),
        ("clock.zone", "America/Los_Angeles"),
        ("history", 20 * 96),
    )
    end_ms = int(datetime(2018, 11, 20, tzinfo=ANGELES).timestamp()) * 1000
    async with asyncio.timeout(30), made(*settings, utc_ms=end_ms) as host, client(host) as meter:
        profile = await meter.profile("load")
    days: dict[str, list[Decimal]] = {}
    for at, energy in energies(profile):
        assert at is not None
        assert energy is not None
        local = (at - timedelta(minutes=15)).astimezone(ANGELES)
        days.setdefault(f"{local.month}/{local.day}/{local.year}", []).append(energy)
    del days[next(iter(days))]  # cut by the begin of the history
    assert (len(days), len(days["11/4/2018"]), len(days["11/5/2018"])) == (19, 100, 96)
    expected = by_day(BUILDING)
    for day, values in days.items():
        assert abs(int(sum(values)) * 4 - expected[day][0]) < 4, day  # registers round; quarters of a Wh


# --- another meter --------------------------------------------------------------------------------


@pytest.fixture
async def other() -> AsyncIterator[OtherMeter]:
    async with OtherMeter() as meter:
        yield meter


async def test_a_register_over_dlms_is_the_other_meters_register(other: OtherMeter) -> None:
    other.energies(123_456_789, 5, 6, 7, 2**40)
    other.put(3766, "f", -81.5)
    gateway = made(*modbus(other))
    async with asyncio.timeout(20), gateway as host, client(host) as meter:
        await found(host, 123_456_789)
        names = ("kWh-del", "kWh-rec", "kVARh-del", "kVARh-rec", "kVAh-del+rec", "kW-sd-del-rec")
        shown = [(await meter.get(name)).integer() for name in names]
        assert shown == [123_456_789, 5, 6, 7, 2**40, -81_500]
        other.energies(123_456_799, 5, 6, 7, 2**40)
        await found(host, 123_456_799)
        assert (await meter.get("kWh-del")).integer() == 123_456_799


async def test_no_energy_is_lost_or_made_up_while_the_link_is_down(other: OtherMeter) -> None:
    other.energies(1_000_000, 0, 0, 0, 0)
    gateway = made(*modbus(other), ("load_profile.period", 60), speed=100.0)
    async with asyncio.timeout(15), gateway as host, client(host) as meter:
        await found(host, 1_000_000)
        await rows_more(host, 1)
        other.energies(1_000_250, 0, 0, 0, 0)
        await found(host, 1_000_250)
        await rows_more(host, 1)
        await other.stop()
        await until(lambda: host.meter.ion.value("kWh del") is None)
        assert (await meter.get("kWh-del")).value is None
        await rows_more(host, 2)
        dark = (await meter.profile("load", last=1)).rows[0]
        assert dark.values == (None,) * 4
        other.energies(1_004_250, 0, 0, 0, 0)
        await other.start()
        await found(host, 1_004_250)
        await rows_more(host, 2)
        assert (await meter.get("kWh-del")).integer() == 1_004_250
        profile = await meter.profile("load")
        told = [event.effect.split(":")[0] for event in events(host) if event.cause.startswith("Source ")]
    values = [wh for _, wh in energies(profile)]
    assert None in values[1:]
    assert sum(wh for wh in values if wh is not None) == 4250
    assert told == ["found", "lost", "answers again"]


def modbus(other: OtherMeter) -> list[tuple[str, Any]]:
    return [
        ("source.kind", "modbus"),
        ("source.url", other.url),
        ("source.poll", 0.1),
        ("source.timeout", 0.25),
        ("source.retries", 0),
    ]


async def found(host: MeterHost, register: int) -> None:
    def shown() -> bool:
        host.meter.advance(asyncio.get_running_loop().time())
        return host.meter.ion.value("kWh del") == register

    await until(shown)


async def rows_more(host: MeterHost, count: int) -> None:
    log = host.meter.ion.recorders["Load Profile"].log
    wanted = log.count + count
    await until(lambda: log.count >= wanted)


def events(host: MeterHost) -> tuple[Any, ...]:
    return host.meter.ion.event_log.events


# --- sources that fail ----------------------------------------------------------------------------


class Failing:
    """A source of 4 kW that is fed, and fails on demand."""

    def __init__(self) -> None:
        self.asked = 0
        self.broken = False
        self.runs: list[str] = []
        self.event: Callable[[int, str, str], None] = lambda *_: None
        self.changing: Callable[[], None] = lambda: None

    def flow(self, start_ms: int, end_ms: int) -> Flow:
        self.asked += 1
        if self.broken:
            raise ZeroDivisionError("a bug")
        return Flow(4000 * (end_ms - start_ms), 0, 0, 0, 0)

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        return {}

    def listen(self, event: Callable[[int, str, str], None], changing: Callable[[], None]) -> None:
        self.event, self.changing = event, changing

    async def run(self) -> None:
        self.runs.append("began")
        try:
            if len(self.runs) == 1:
                raise ZeroDivisionError("a bug in run")
            if len(self.runs) > 2:
                await asyncio.Event().wait()
        finally:
            self.runs.append("ended")


async def test_a_source_that_fails_or_ends_is_logged_and_started_again_and_ends_with_the_meter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_module, "_RETRY_S", 0.01)
    source = Failing()
    async with asyncio.timeout(10), made(source=source) as host:
        await until(lambda: len(source.runs) == 3)
        assert [event.effect for event in events(host) if event.cause == "Source"] == ["failed: a bug in run"]
        assert "the source failed; it is started again in 0.01 s" in caplog.text
        assert "a bug in run" in caplog.text
    assert source.runs == ["began", "ended", "began", "ended"]


@pytest.mark.parametrize(("cancels", "told"), [(1, False), (2, False), (9, True)])
async def test_a_source_that_swallows_its_end_does_not_hold_up_the_meters(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cancels: int, told: bool
) -> None:
    monkeypatch.setattr(host_module, "_CANCEL_S", 0.05)
    began = asyncio.Event()
    end = asyncio.Event()

    class Deaf(Failing):
        async def run(self) -> None:
            began.set()
            for _ in range(cancels):
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue
                return

    async with asyncio.timeout(5), made(source=Deaf()) as host:
        await began.wait()
    assert not host.meter.powered
    assert ("the source does not end" in caplog.text) == told
    end.set()


async def test_events_of_a_source_have_the_meters_own_time(caplog: pytest.LogCaptureFixture) -> None:
    source = Failing()
    async with asyncio.timeout(10), made(source=source, speed=100_000.0) as host:
        start = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() - start > 0.05)
        asked = source.asked
        source.changing()
        assert source.asked > asked
        source.event(Priority.WARNING, "Source test", "lost")
        event = events(host)[-1]
        assert (event.priority, event.cause, event.effect) == (Priority.WARNING, "Source test", "lost")
        # 0.05 s are 5000 s of the meter; that of the host's own clock would be none.
        assert 4_000_000 < event.utc_ms - BEGIN_MS < 3_600_000_000


async def test_the_meters_time_goes_on_after_a_source_that_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_module, "_RETRY_S", 0.02)
    source = Failing()
    async with asyncio.timeout(10), made(source=source, speed=10_000.0) as host:
        await rows_more(host, 1)
        source.broken = True
        asked = source.asked
        await until(lambda: source.asked >= asked + 3)  # it is asked again, without anybody reading
        assert "the meter failed; it goes on" in caplog.text
        assert "ZeroDivisionError" in caplog.text
        assert caplog.text.count("the meter failed") < 50  # and not in a tight loop
        source.changing()  # what it calls itself does not raise in it
        source.event(Priority.WARNING, "Source test", "an event that cannot be kept now")
        source.broken = False
        count = host.meter.ion.recorders["Load Profile"].log.count
        await rows_more(host, 2)
        log = host.meter.ion.recorders["Load Profile"].log
        async with client(host) as meter:
            profile = await meter.profile("load", entries=(1, count + 2))
        assert log.count >= count + 2
    # Nothing was lost: what it could not be asked for then, it was asked for later.
    assert {wh for _, wh in energies(profile)[1:]} == {1000}
