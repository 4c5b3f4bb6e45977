"""Sources that are more than a load: registers of another meter, and a supply that fails."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ion.builders import MINUTE, QUARTER, Host, SteadyLoad, utc

from iondlms.errors import LocalError
from iondlms.ion import (
    Flow,
    MeterState,
    Priority,
    Registers,
    RegisterSource,
    Source,
    Status,
    SupplySource,
    moved,
)
from iondlms.ion.power_meter import PowerMeter, PowerMeterSetup
from iondlms.ion.quadrants import QuadrantState

BEGIN = utc(2026, 6, 1)
MODULUS = 10**6


class Shown:
    """Another meter: what its registers show, set by the test."""

    rollover = MODULUS // 1000

    def __init__(self, registers: Registers | None = None) -> None:
        self.now = registers
        self.values: dict[str, int | None] = {}

    def registers(self, utc_ms: int) -> Registers | None:
        return self.now

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        return self.values

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        raise AssertionError("registers are asked for, not flows")


MOVES = [
    (0, 0, 0),
    (5, 9, 4),
    (999_999, 0, 1),
    (950_000, 49_999, 99_999),
    (950_000, 50_001, None),
    (9, 5, None),
    (900_000, 0, 100_000),
    (899_999, 0, None),
]


@pytest.mark.parametrize(("before", "now", "way"), MOVES)
def test_how_far_a_register_moved(before: int, now: int, way: int | None) -> None:
    assert moved(before, now, MODULUS) == way


def test_which_source_is_what() -> None:
    shown: Source = Shown()
    assert isinstance(shown, RegisterSource)
    assert not isinstance(shown, SupplySource)
    assert not isinstance(SteadyLoad(), (RegisterSource, SupplySource))


# One step of another meter's life: how much flows, or what happens to it
steps = st.lists(
    st.one_of(st.integers(0, 40_000), st.sampled_from(["silent", "master reset", "restart", "no varh"])),
    min_size=1,
    max_size=40,
)


@given(st.integers(0, MODULUS - 1), steps)
def test_intervals_add_up_to_what_flowed_since_it_was_first_seen(first: int, life: list[int | str]) -> None:
    """An oracle without registers: what flowed, less what flowed before it was seen or around a reset."""
    source = Shown()
    meter = PowerMeter(source, PowerMeterSetup(rollover=10**9))
    count, sums, due, seen, at = first, 0, 0, False, 0
    for step in [*life, 0]:
        no_varh = step == "no varh"
        if step == "silent":
            source.now = None
            count += 7
            due += 7 if seen else 0
        else:
            if isinstance(step, int):
                count += step
                due += step if seen else 0
            value = count % MODULUS
            source.now = Registers(value, 0, None if no_varh else value, 0, value)
        if step == "master reset":
            meter.master_reset()
            sums = due = 0
            seen = False
        if step == "restart":
            kept = meter.state
            meter = PowerMeter(source, meter.setup)
            meter.restore(kept)
        meter.integrate(at, at + QUARTER)
        at += QUARTER
        meter.end_interval()
        energy = meter.value("kWh del int", at)
        if step == "silent":
            assert energy is None
            assert meter.value("kWh del", at) is None
            continue
        seen = True
        assert energy is not None
        assert energy >= 0
        sums += energy
        assert sums == due
        assert meter.value("kWh del", at) == count % MODULUS
        assert (meter.value("kVARh del", at) is None) == no_varh
        assert (meter.value("kVARh del-rec int", at) is None) == no_varh


def test_a_register_that_comes_later_is_no_energy_and_the_others_are() -> None:
    source = Shown(Registers(100, 0, None, 0, 100))
    meter = PowerMeter(source)
    meter.integrate(0, QUARTER)
    meter.end_interval()
    source.now = Registers(110, 0, 5000, 0, 110)
    meter.integrate(QUARTER, 2 * QUARTER)
    meter.end_interval()
    assert [meter.value(name, 0) for name in ("kWh del int", "kVARh del int", "kVARh del")] == [10, 0, 5000]
    source.now = Registers(110, 0, 5003, 0, 110)
    meter.integrate(2 * QUARTER, 3 * QUARTER)
    meter.end_interval()
    assert meter.value("kVARh del int", 0) == 3


def test_another_meter_and_a_rollover_are_told() -> None:
    told: list[tuple[int, int, str, str]] = []
    source = Shown(Registers(999_990, 5, 5, 5, 5))
    meter = PowerMeter(source, notice=lambda *event: told.append(event))
    meter.integrate(0, 10)
    source.now = Registers(4, 5, 5, 5, 5)
    meter.integrate(10, 20)
    assert [(event[:3], "rolled over" in event[3]) for event in told] == [
        ((20, Priority.INFORMATION, "Source meter"), True)
    ]
    source.now = Registers(3, 5, 5, 5, 5)
    meter.integrate(20, 30)
    assert told[1][:3] == (30, Priority.WARNING, "Source meter")
    assert "another meter" in told[1][3]


def test_from_a_load_to_another_meter_and_back() -> None:
    meter = PowerMeter(SteadyLoad(3_600_000, 0))
    meter.integrate(0, 500)
    meter.source = Shown(Registers(70, 0, 0, 0, 0))
    meter.integrate(500, 600)
    meter.end_interval()
    assert [meter.value(name, 0) for name in ("kWh del", "kWh del int")] == [70, 500]
    meter.source = SteadyLoad(3_600_000, 0)
    meter.integrate(600, 700)
    assert meter.value("kWh del", 0) == 170


def test_the_jump_after_a_silence_is_nobodys_demand() -> None:
    source = Shown(Registers(0, 0, 0, 0, 0))
    meter = PowerMeter(source, PowerMeterSetup(sub_interval_s=300, sub_intervals=2))
    seen: list[int | None] = []
    for count in (0, 1000, 2000, None, None, 50_000, 51_000, 52_000):
        source.now = None if count is None else Registers(count, 0, 0, 0, count)
        meter.integrate(len(seen) * 300_000, (len(seen) + 1) * 300_000)
        meter.end_sub_interval()
        seen.append(meter.value("kW sd del-rec", 0))
    assert seen == [0, 6000, 12_000, None, None, None, 12_000, 12_000]


def test_the_demand_of_the_other_meter_comes_first() -> None:
    source = Shown(Registers(0, 0, 0, 0, 0))
    source.values = {
        "kW sd del-rec": 5,
        "PF sign mean": None,
        "PF sign tot": -900,
        "kW tot": 3,
        "kVAR tot": 4,
    }
    meter = PowerMeter(source)
    meter.integrate(0, 1)
    names = ("kW sd del-rec", "PF sign mean", "PF sign tot")
    assert [meter.value(name, 0) for name in names] == [5, None, -900]
    ieee = PowerMeter(source, PowerMeterSetup(pf_sign="IEEE"))
    assert ieee.value("PF sign tot", 0) == -600


def test_states_kept_before_there_were_other_meters_are_read() -> None:
    host = Host(BEGIN, source=Shown(Registers(1, 2, 3, 4, None))).start().wait(900)
    state = host.meter.state
    assert MeterState.decode(state.encode()) == state
    assert state.power_meter.followed == (True, True, True, True, False)
    body = json.loads(state.encode())
    for key in ("followed", "extremes", "quadrants"):
        del body[key]
    old = MeterState.decode(json.dumps(body)).power_meter
    assert (old.followed, old.extremes, old.quadrants) == ((False,) * 5, {}, QuadrantState())


# Supply


class Failing(SteadyLoad):
    """A load whose supply fails from minute to minute of the test."""

    def __init__(self, *outages: tuple[int, int]) -> None:
        super().__init__()
        self.outages = [(BEGIN + begin * MINUTE, BEGIN + end * MINUTE) for begin, end in outages]

    def outage(self, utc_ms: int) -> tuple[int, int] | None:
        return next((each for each in self.outages if each[1] > utc_ms), None)


BOTH = Status.POWER_DOWN | Status.POWER_UP


def test_an_outage_of_the_source_switches_the_meter_off_and_on() -> None:
    source = Failing((30, 70))
    host = Host(BEGIN, source=source).start().wait(1800)
    assert not host.meter.powered
    assert host.meter.next_deadline() == pytest.approx(host.now + 2400)
    host.wait(5400)
    assert host.stamps() == ["00:15", "00:30", "01:15", "01:30", "01:45", "02:00"]
    assert host.statuses()[2:4] == [BOTH, 0]
    assert [row.values[0] for row in host.log()] == [25_000, 25_000, 8_333, 25_000, 25_000, 25_000]
    assert source.asked_ms == 80 * MINUTE
    assert [event.cause for event in host.events] == ["Power up", "Power down", "Power up"]


def test_one_go_or_many_looks_make_the_same_rows() -> None:
    outages = ((20, 21), (30, 70), (70, 71), (300, 1000))
    slow = Host(BEGIN, source=Failing(*outages)).start().wait(1300 * 60)
    fast = Host(BEGIN, source=Failing(*outages)).start().jump(1300 * 60)
    assert fast.log() == slow.log()
    assert [event[1:] for event in fast.events] == [event[1:] for event in slow.events]


@given(st.lists(st.integers(1, 300), min_size=2, max_size=12, unique=True), st.integers(0, 300))
def test_no_row_and_no_energy_in_any_outage(edges: list[int], kill: int) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    outages = list(zip(edges[::2], edges[1::2], strict=True))
    host = Host(BEGIN, source=Failing(*outages)).start().wait(kill * 60).restart(5).wait((400 - kill) * 60)
    dark = [(BEGIN + a * MINUTE, BEGIN + b * MINUTE) for a, b in outages]
    for row in host.log():
        assert not any(begin < row.utc_ms <= end for begin, end in dark)
    stamps = [row.utc_ms for row in host.log()]
    expected = {BEGIN + i * QUARTER for i in range(1, 27)}
    dead = BEGIN + kill * MINUTE, BEGIN + kill * MINUTE + 5000
    missing = {at for at in expected if any(begin < at <= end for begin, end in [*dark, dead])}
    assert set(stamps) == expected - missing
    assert len(stamps) == len(set(stamps))
    dark_minutes = {minute for begin, end in outages for minute in range(begin, end)}
    last = (stamps[-1] - BEGIN) // MINUTE
    lit_s = 60 * sum(minute not in dark_minutes for minute in range(last))
    lit_s -= 5 if kill < last and kill not in dark_minutes else 0
    total = host.log()[-1].values[1]
    assert total is not None
    # Killed, the meter loses what it had not kept for a minute.
    assert -1 <= lit_s * 100_000 // 3600 - total <= 70 * 100_000 // 3600


def test_started_killed_and_stopped_within_an_outage() -> None:
    source = Failing((0, 40))
    host = Host(BEGIN, source=source).start().wait(900)
    assert not host.meter.powered
    with pytest.raises(LocalError, match="when its source has"):
        host.meter.power_up(host.now)
    host.restart(300)
    host.meter.power_down(host.now)
    host.keep()
    host.restart(300).wait(3600)
    assert host.stamps() == ["00:45", "01:00", "01:15"]
    assert host.statuses()[0] & BOTH == BOTH
    host.meter.power_down(host.now)
    with pytest.raises(LocalError, match="no power"):
        host.meter.power_down(host.now)
    host.meter.power_up(host.now)
    assert host.meter.powered


def test_a_stop_after_the_supply_came_back_unseen() -> None:
    host = Host(BEGIN, source=Failing((5, 10))).start().wait(360)
    host.now += 3000
    host.meter.power_down(host.now)
    host.keep()
    assert host.stamps() == ["00:15", "00:30", "00:45"]
    assert [event.cause for event in host.events] == ["Power up", "Power down", "Power up", "Power down"]


def test_a_clock_set_into_an_outage() -> None:
    host = Host(BEGIN, source=Failing((30, 60))).start().wait(60)
    host.meter.set_time(BEGIN + 45 * MINUTE, host.now, "ETHERNET")
    host.keep().wait(1)
    assert not host.meter.powered
    host.wait(1800)
    assert host.meter.powered
    assert host.stamps() == ["01:15"]
