"""The Modbus source against pymodbus' own server: stopped, slowed, restarted, rolled over, replaced."""

from __future__ import annotations

import asyncio
import os
import random
import tty
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymodbus import FramerType
from tests.extras import needs
from tests.ion.builders import Host, small_framework, utc
from tests.sources.modbus_meter import OtherMeter

from iondlms.errors import LocalError
from iondlms.ion import Priority, RegisterSource, Source
from iondlms.sources import LiveSource, ModbusMeter, ModbusSettings, make_source

QUARTERS = ("kWh del int", "kWh rec int", "kVARh del int", "kVARh rec int", "kVAh del+rec int")
TOTALS = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")
ROLLOVER = 10**10  # Wh


@pytest.fixture
async def meter() -> AsyncIterator[OtherMeter]:
    async with OtherMeter() as meter:
        yield meter


class Gateway:
    """Our meter over the other one: time passes only when told, each quarter with a poll at its end."""

    def __init__(self, meter: OtherMeter, **settings: float) -> None:
        self.source = ModbusMeter(ModbusSettings(meter.url, timeout_s=0.25, retries=0, **settings))  # type: ignore[arg-type]
        self.events: list[tuple[int, str, str]] = []
        self.source.listen(lambda *event: self.events.append(event), lambda: None)
        self.host = Host(utc(2026, 6, 1), small_framework(sources=QUARTERS + TOTALS), self.source)

    async def quarter(self) -> tuple[list[int | None], list[int | None]]:
        """Poll, let a quarter pass, and return the interval energies and the registers of its row."""
        await self.source.poll()
        self.host.wait(900)
        values = self.host.log()[-1].values
        return list(values[:5]), list(values[5:])

    def effects(self) -> list[str]:
        return [event.effect for event in self.host.events if event.cause == "Source meter"]


async def test_registers_are_shown_as_they_are_and_the_first_reading_is_no_energy(meter: OtherMeter) -> None:
    meter.energies(123_456_789, 5, 6, 7, 2**40)
    gateway = Gateway(meter)
    gateway.host.start()
    assert await gateway.quarter() == ([0] * 5, [123_456_789, 5, 6, 7, 2**40])
    meter.energies(123_456_790, 5, 16, 7, 2**40 + 3)
    assert await gateway.quarter() == ([1, 0, 10, 0, 3], [123_456_790, 5, 16, 7, 2**40 + 3])
    assert [event[0] for event in gateway.events] == [Priority.INFORMATION]


async def test_sums_of_intervals_are_the_register_difference_whatever_the_link_does(
    meter: OtherMeter,
) -> None:
    dice = random.Random(4)
    shown = [ROLLOVER - 40_000, 10, 2_000, 99, ROLLOVER - 200_000]  # two will turn over
    meter.energies(*shown)
    gateway = Gateway(meter)
    gateway.host.start()
    await gateway.quarter()
    begin, sums, silent = list(shown), [0] * 5, 0
    for turn in range(60):
        shown = [value + dice.randrange(9_000) for value in shown]
        meter.energies(*(value % ROLLOVER for value in shown))
        fault = dice.choice(("none", "none", "stopped", "slow", "busy", "restarted", "gateway restarted"))
        if turn == 59:
            fault = "none"
        if fault in ("stopped", "restarted"):
            await meter.stop()
        if fault == "restarted":
            await meter.start()
        meter.busy = fault == "busy"
        meter.held = asyncio.Event() if fault == "slow" else None
        if fault == "gateway restarted":
            kept = gateway.host
            gateway.source = ModbusMeter(gateway.source.settings)
            kept.source = gateway.source
            kept.restart(30)
        energies, registers = await gateway.quarter()
        if fault in ("stopped", "slow", "busy"):
            silent += 1
            assert energies == registers == [None] * 5
        else:
            assert registers == [value % ROLLOVER for value in shown]
            sums = [total + (energy or 0) for total, energy in zip(sums, energies, strict=True)]
        if meter.held is not None:
            meter.held.set()
            meter.held = None
        if fault == "stopped":
            await meter.start()
    assert silent > 10
    assert sums == [now - then for now, then in zip(shown, begin, strict=True)]
    assert sum("rolled over" in effect for effect in gateway.effects()) == 2


async def test_a_lost_meter_leaves_no_values_and_is_told_once(meter: OtherMeter) -> None:
    meter.put(3060, "f", 12.5)
    gateway = Gateway(meter)
    gateway.host.start()
    await gateway.quarter()
    assert gateway.host.meter.value("kW tot") == 12_500
    await meter.stop()
    for _ in range(3):
        assert await gateway.quarter() == ([None] * 5, [None] * 5)
    assert gateway.host.meter.value("kW tot") is None
    await meter.start()
    await gateway.quarter()
    assert gateway.host.meter.value("kW tot") == 12_500
    told = [(priority, effect.split(":")[0]) for priority, _, effect in gateway.events]
    assert told == [
        (Priority.INFORMATION, "found"),
        (Priority.WARNING, "lost"),
        (Priority.INFORMATION, "answers again"),
    ]


async def test_a_replaced_meter_is_believed_at_the_third_poll_and_makes_no_energy(meter: OtherMeter) -> None:
    meter.energies(5_000_000, 100, 100, 100, 5_000_000)
    gateway = Gateway(meter)
    gateway.host.start()
    await gateway.quarter()
    meter.energies(5_000_100, 100, 100, 100, 5_000_100)
    await gateway.quarter()
    meter.energies(700, 0, 0, 0, 700)
    assert await gateway.quarter() == ([None] * 5, [None] * 5)
    assert await gateway.quarter() == ([None] * 5, [None] * 5)
    assert await gateway.quarter() == ([0] * 5, [700, 0, 0, 0, 700])
    meter.energies(750, 0, 0, 0, 760)
    assert await gateway.quarter() == ([50, 0, 0, 0, 60], [750, 0, 0, 0, 760])
    assert len(gateway.effects()) == 1
    assert "another meter" in gateway.effects()[0]
    assert gateway.events[-1][0] == Priority.WARNING


async def test_zeros_of_a_starting_meter_are_not_taken_for_a_new_one(meter: OtherMeter) -> None:
    meter.energies(5_000_000, 1, 2, 3, 4)
    gateway = Gateway(meter)
    gateway.host.start()
    await gateway.quarter()
    meter.energies(0, 0, 0, 0, 0)
    assert (await gateway.quarter())[1] == [None] * 5
    meter.energies(5_000_040, 1, 2, 3, 4)
    assert await gateway.quarter() == ([40, 0, 0, 0, 0], [5_000_040, 1, 2, 3, 4])
    assert gateway.effects() == []


async def test_the_meters_own_demand_and_power_factor_are_shown(meter: OtherMeter) -> None:
    for register, value in ((3766, 81.5), (3782, -3.25), (3798, 82.0), (3084, -1.9), (3028, 230.125)):
        meter.put(register, "f", value)
    gateway = Gateway(meter)
    gateway.host.start()
    await gateway.quarter()
    names = ("kW sd del-rec", "kVAR sd del-rec", "kVA sd del+rec", "PF sign tot", "Vln a", "Freq")
    shown = [gateway.host.meter.value(name) for name in names]
    assert shown == [81_500, -3_250, 82_000, -100, 230_125, 0]


async def test_an_outage_of_the_link_is_nobodys_demand(meter: OtherMeter) -> None:
    for register in (3766, 3782, 3798):
        meter.put(register, "f", float("nan"))
    source = ModbusMeter(ModbusSettings(meter.url, timeout_s=0.25, retries=0))
    host = Host(utc(2026, 6, 1), small_framework(), source).start()
    energy, demands = 0, []
    for minutes in range(0, 120, 5):
        energy += 10_000  # 120 kW
        meter.energies(energy, 0, 0, 0, energy)
        meter.busy = 30 <= minutes < 90
        await source.poll()
        host.wait(300)
        # The meter's own is "not a number", which is no value and no reason to make one up.
        assert host.meter.value("kW sd del-rec") is None
        demands.append(host.meter.power_meter._active_demand(0))
    # The 120 kWh of the outage come at once, and would be 480 kW of a quarter of an hour.
    assert max(demand for demand in demands if demand is not None) == demands[-1] == 120_000


async def test_neighbours_are_read_together_and_energies_in_one_request(meter: OtherMeter) -> None:
    gateway = Gateway(meter)
    await gateway.source.poll()
    assert (3204, 44) in meter.requests
    assert len(meter.requests) <= 8
    before = len(meter.requests)
    await gateway.source.poll()
    assert len(meter.requests) == 2 * before


async def test_a_register_that_is_not_there_takes_only_its_own_value(meter: OtherMeter) -> None:
    meter.refused = {3212, 3110, 3031}  # between energies, frequency, second half of Vln b
    meter.energies(9, 8, 7, 6, 5)
    meter.put(3028, "f", 231.0)
    gateway = Gateway(meter)
    gateway.host.start()
    assert await gateway.quarter() == ([0] * 5, [9, 8, 7, 6, 5])
    values = [gateway.host.meter.value(name) for name in ("Vln a", "Vln b", "Freq")]
    assert values == [231_000, None, None]
    meter.requests.clear()
    await gateway.source.poll()
    assert not any(first <= 3212 < first + count for first, count in meter.requests)


async def test_energies_that_are_not_there_are_null_and_the_others_go_on(meter: OtherMeter) -> None:
    meter.refused = {3224}
    meter.energies(100, 0, 3, 0, 100)
    gateway = Gateway(meter)
    gateway.host.start()
    await gateway.quarter()
    meter.energies(150, 0, 4, 0, 160)
    assert await gateway.quarter() == ([50, 0, 1, None, 60], [150, 0, 4, None, 160])
    assert gateway.host.meter.value("kVARh del-rec") is None
    assert gateway.host.meter.value("kWh del-rec") == 150


async def test_meters_behind_one_url_are_asked_in_turn_over_one_connection(meter: OtherMeter) -> None:
    # A serial device opens once, and an RS-485 line carries one question at a time.
    meter.energies(11, 0, 0, 0, 0)
    asking, most = 0, 0

    async def counted(*arguments: Any) -> Any:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        try:
            return await answer(*arguments)
        finally:
            asking -= 1

    answer, meter._answer = meter._answer, counted  # type: ignore[method-assign, assignment]
    await meter.stop()
    await meter.start()
    sources = [ModbusMeter(ModbusSettings(meter.url, timeout_s=0.5)) for _ in range(3)]
    assert await asyncio.gather(*(source.poll() for source in sources)) == [True] * 3
    assert most == 1
    assert len({id(source._line) for source in sources}) == 1
    assert [source.registers(0) for source in sources] == [(11, 0, 0, 0, 0)] * 3
    # One that ends leaves the others their connection.
    tasks = [asyncio.create_task(source.run()) for source in sources[:2]]
    while sources[0]._line.users < 2:
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    assert await sources[2].poll()
    assert sources[2]._line.connected
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert not sources[2]._line.connected


async def test_a_repeated_poll_mends_a_single_lost_answer(meter: OtherMeter) -> None:
    source = ModbusMeter(ModbusSettings(meter.url, timeout_s=0.25, retries=1))
    meter.held = held = asyncio.Event()

    async def release() -> None:
        while not meter.requests:
            await asyncio.sleep(0)
        meter.held = None

    releasing = asyncio.create_task(release())
    assert await source.poll()
    await releasing
    held.set()


async def test_rtu_frames_over_tcp() -> None:
    async with OtherMeter(FramerType.RTU) as meter:
        meter.energies(77, 1, 2, 3, 4)
        source = ModbusMeter(ModbusSettings(meter.url, timeout_s=0.5))
        assert await source.poll()
        assert source.registers(0) == (77, 1, 2, 3, 4)


async def test_rtu_on_a_serial_line() -> None:
    needs("serial")
    async with OtherMeter(FramerType.RTU) as meter:
        meter.energies(78, 1, 2, 3, 4)
        reader, writer = await asyncio.open_connection("127.0.0.1", meter.port)
        ours, theirs = os.openpty()
        tty.setraw(ours)
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, lambda: writer.write(os.read(ours, 1024)))

        async def back() -> None:
            while octets := await reader.read(1024):
                os.write(ours, octets)

        task = asyncio.create_task(back())
        source = ModbusMeter(
            ModbusSettings(f"rtu:{os.ttyname(theirs)}?baud=9600&framing=8N1", timeout_s=1.0, poll_s=60)
        )
        try:
            assert await source.poll()
            assert source.registers(0) == (78, 1, 2, 3, 4)
        finally:
            source.close()
            loop.remove_reader(ours)
            task.cancel()
            writer.close()
            os.close(ours)
            os.close(theirs)


async def test_it_ends_when_its_cancellation_comes_together_with_an_answer(
    meter: OtherMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def forgetful(self: ModbusMeter) -> dict[str, int | None]:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {}  # as asyncio.wait_for of Python 3.11 does
        raise AssertionError

    monkeypatch.setattr(ModbusMeter, "_read_all", forgetful)
    task = asyncio.create_task(ModbusMeter(ModbusSettings(meter.url)).run())
    await asked.wait()
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=2)
    assert done
    assert task.cancelled()


async def test_it_runs_until_cancelled_and_tells_before_values_change(meter: OtherMeter) -> None:
    meter.energies(1, 2, 3, 4, 5)
    source: LiveSource = ModbusMeter(ModbusSettings(meter.url, poll_s=0.1, timeout_s=0.25))
    assert isinstance(source, RegisterSource)
    seen: list[object] = []
    polled = asyncio.Event()

    def changing() -> None:
        seen.append(source.registers(0))
        if len(seen) == 2:
            polled.set()

    source.listen(lambda *_: None, changing)
    task = asyncio.create_task(source.run())
    async with asyncio.timeout(5):
        await polled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen[:2] == [None, (1, 2, 3, 4, 5)]
    assert source.registers(0) is None
    assert source.readings(0) == {}


async def test_flows_for_who_asks_for_them(meter: OtherMeter) -> None:
    source = ModbusMeter(ModbusSettings(meter.url))
    assert source.flow(0, 1) is None
    meter.energies(100, 0, 0, 0, 100)
    await source.poll()
    assert source.flow(0, 1) is None  # what came before is unknown
    meter.energies(107, 0, 2, 0, 108)
    await source.poll()
    assert source.flow(0, 1) == tuple(each * 3_600_000 for each in (7, 0, 2, 0, 8))
    assert source.flow(0, 1) == (0, 0, 0, 0, 0)


async def test_no_meter_at_all() -> None:
    async with OtherMeter() as gone:
        url = gone.url
    source = ModbusMeter(ModbusSettings(url, timeout_s=0.25))
    assert not await source.poll()
    assert source.registers(0) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tcp://",
        "udp://host:502",
        "tcp://host:x",
        "rtu:",
        "rtu:/dev/x?framing=7E1",
        "rtu:/dev/x?bad=1",
        "host",
    ],
)
def test_wrong_urls(url: str) -> None:
    with pytest.raises(LocalError, match="no Modbus URL"):
        ModbusSettings(url)


@pytest.mark.parametrize("values", [{"unit_id": 256}, {"poll_s": 0.0}, {"timeout_s": 0.0}, {"retries": -1}])
def test_settings_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(LocalError):
        ModbusSettings("tcp://127.0.0.1", **values)  # type: ignore[arg-type]


def test_the_factory_makes_it() -> None:
    source: Source = make_source(ModbusSettings("tcp://127.0.0.1:1502", map="ION8650"))
    assert isinstance(source, ModbusMeter)
    assert source.map.name == "ION8650, ION8800"
