"""Reactive energy by quadrant: of whom it is known, and that it adds up to what is not by quadrant."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ion.builders import HOUR, MINUTE, Host, SteadyLoad, small_framework, utc

from iondlms.ion import MeterState, PowerMeterSetup, Quadrants, QuadrantSource
from iondlms.ion.power_meter import PowerMeter
from iondlms.sources import Fault, FaultyLoad, SimulatedLoad

MONDAY = utc(2026, 6, 15)
DAY = 24 * HOUR
NAMES = ("kVARh Q1", "kVARh Q2", "kVARh Q3", "kVARh Q4")
LOAD = SimulatedLoad(5, step_s=300)  # with panels: it delivers and receives
FAULTY = FaultyLoad(
    LOAD,
    [
        Fault("power_cut", MONDAY + 7 * HOUR, 5000, 40_000),
        Fault("phase_loss", MONDAY + 9 * HOUR, 20_000, 90_000, "b"),
        Fault("reverse_flow", MONDAY + 12 * HOUR, 10_000, 50_000),
    ],
)


@pytest.mark.parametrize("source", [LOAD, FAULTY], ids=["load", "faulty"])
@given(cuts=st.lists(st.integers(0, 3 * DAY), min_size=2, max_size=8))
def test_any_division_adds_up_to_the_same_and_to_the_flow(
    source: SimulatedLoad | FaultyLoad, cuts: list[int]
) -> None:
    instants = [MONDAY + cut for cut in sorted(cuts)]
    parts = [source.quadrants(start, end) for start, end in pairwise(instants)]
    whole = source.quadrants(instants[0], instants[-1])
    assert tuple(map(sum, zip(*parts, strict=True))) == whole
    assert min(whole) >= 0
    flow = source.flow(instants[0], instants[-1])
    # A lost phase is cut off in whole var·ms, by quadrant and in all.
    slack = 0 if source is LOAD else 20
    assert abs(whole.q1 + whole.q2 - flow.var_delivered) <= slack
    assert abs(whole.q3 + whole.q4 - flow.var_received) <= slack


@given(st.integers(0, 14 * 24 * 60))
def test_the_quadrant_is_that_of_the_present_power(minute: int) -> None:
    at_ms = MONDAY + minute * MINUTE
    for source in (LOAD, FAULTY):
        readings = source.readings(at_ms)
        if not readings:
            assert source.quadrants(at_ms, at_ms + 1) == Quadrants(0, 0, 0, 0)
            continue
        active, reactive = readings["kW tot"] or 0, readings["kVAR tot"] or 0
        places = {(True, True): 0, (False, True): 1, (False, False): 2, (True, False): 3}
        flowed = [number for number, amount in enumerate(source.quadrants(at_ms, at_ms + 1000)) if amount]
        if active and reactive:
            assert flowed == [places[active > 0, reactive > 0]]


def test_registers_intervals_rollover_and_what_is_kept() -> None:
    framework = small_framework(
        sources=(*NAMES, *(f"{name} int" for name in NAMES), "kVARh del", "kVARh rec"),
        power_meter=PowerMeterSetup(rollover=200),
    )
    host = Host(MONDAY, framework, LOAD).start().wait(DAY // 1000)
    state = host.meter.state
    assert MeterState.decode(state.encode()) == state
    host.restart(0).wait(DAY // 1000)
    rows = [[value or 0 for value in row.values] for row in host.log()]
    assert len(rows) == 100
    for before, row in pairwise(rows):
        for place in range(4):
            assert row[4 + place] == (row[place] - before[place]) % 200_000
    # 48 hours, less what is rounded: four registers to two.
    whole = LOAD.quadrants(MONDAY, MONDAY + 2 * DAY)
    assert rows[-1][:4] == [(each + HOUR // 2) // HOUR % 200_000 for each in whole]
    assert max(whole) > 200_000 * HOUR, "one of them turned over"
    assert abs((rows[-1][0] + rows[-1][1] - rows[-1][8]) % 200_000) in (0, 1, 199_999)
    host.meter.master_reset(host.now)
    host.keep()
    assert [host.meter.value(name) for name in NAMES] == [0, 0, 0, 0]
    assert host.meter.value("kVARh Q1 int") is None


def test_a_source_that_does_not_know_it_has_no_values() -> None:
    host = Host(MONDAY, small_framework(sources=NAMES)).start().wait(1800)
    assert [row.values for row in host.log()] == [(None,) * 4] * 2


class Sometimes(SteadyLoad):
    """1 kvar in the fourth quadrant, while it answers."""

    def quadrants(self, start_ms: int, end_ms: int) -> Quadrants | None:
        return None if self.silent else Quadrants(0, 0, 0, 1000 * (end_ms - start_ms))


def test_silence_has_no_value_and_loses_none() -> None:
    source = Sometimes()
    assert isinstance(source, QuadrantSource)
    meter = PowerMeter(source)
    register, interval = meter.reader("kVARh Q4"), meter.reader("kVARh Q4 int")
    seen = []
    for hour, silent in enumerate((False, False, True, False)):
        source.silent = silent
        meter.integrate(hour * HOUR, hour * HOUR + HOUR // 2)
        meter.integrate(hour * HOUR + HOUR // 2, (hour + 1) * HOUR)
        meter.end_interval()
        seen.append((register(0), interval(0)))
    assert seen == [(1000, 1000), (2000, 1000), (None, None), (3000, 1000)]
    unwatched = PowerMeter(source)
    unwatched.integrate(0, HOUR)
    assert unwatched.value("kVARh Q4", 0) is None
