"""The simulated load: exact, the same however it is asked, and like a building."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.ion.builders import HOUR, MINUTE, utc

from iondlms.errors import LocalError
from iondlms.ion import QUANTITIES, Flow, Source
from iondlms.sources import SimulatedLoad

DAY = 24 * HOUR
SUMMER = utc(2026, 6, 15)  # a Monday


def kwh(flow: Flow) -> list[float]:
    return [amount / 3.6e9 for amount in flow]


SHARED = SimulatedLoad(5, step_s=300)


@example(cuts=list(range(0, 3 * DAY, 70_000)))  # nearly all of them within one step
@given(cuts=st.lists(st.integers(0, 3 * DAY), min_size=2, max_size=12))
def test_any_division_adds_up_to_the_same(cuts: list[int]) -> None:
    instants = [SUMMER + cut for cut in sorted(cuts)]
    parts = [SHARED.flow(start, end) for start, end in pairwise(instants)]
    whole = SHARED.flow(instants[0], instants[-1])
    assert tuple(map(sum, zip(*parts, strict=True))) == whole
    assert min(whole) >= 0


def test_days_asked_in_any_order_are_the_same() -> None:
    days = [SUMMER + number * DAY for number in range(12)]
    ahead, back = SimulatedLoad(5, step_s=300), SimulatedLoad(5, step_s=300)
    assert [ahead.flow(day, day + DAY) for day in days] == [back.flow(day, day + DAY) for day in days[::-1]][
        ::-1
    ]


def test_another_process_sees_the_same_and_another_seed_does_not() -> None:
    code = (
        f"from iondlms.sources import SimulatedLoad; print(*SimulatedLoad(5).flow({SUMMER}, {SUMMER + DAY}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    flow = SimulatedLoad(5).flow(SUMMER, SUMMER + DAY)
    assert tuple(map(int, done.stdout.split())) == flow
    assert SimulatedLoad(6).flow(SUMMER, SUMMER + DAY) != flow


def test_the_present_power_is_the_power_that_flows() -> None:
    source: Source = SimulatedLoad(5)
    for step in range(0, 1440, 7):
        instant = SUMMER + step * MINUTE
        flow, readings = source.flow(instant, instant + 1), source.readings(instant)
        assert flow is not None
        assert flow.w_delivered - flow.w_received == readings["kW tot"]
        assert flow.var_delivered - flow.var_received == readings["kVAR tot"]
        assert flow.va == readings["kVA tot"]


def test_readings_are_of_the_catalogue_and_the_phases_add_up() -> None:
    for hour in range(0, 24 * 7, 5):
        readings = SHARED.readings(SUMMER + hour * HOUR)
        assert set(readings) <= set(QUANTITIES)
        values = {name: value for name, value in readings.items() if value is not None}
        assert len(values) == len(readings)
        for unit in ("kW", "kVAR"):
            assert values[f"{unit} tot"] == sum(values[f"{unit} {phase}"] for phase in "abc")
        for phase in "abc":
            assert 220_000 < values[f"Vln {phase}"] < 240_000
            volt_amperes = values[f"Vln {phase}"] * values[f"I {phase}"] // 1_000_000
            assert abs(volt_amperes - values[f"kVA {phase}"]) <= 1
        assert 49_900 < values["Freq"] < 50_100


def test_a_week_in_june_is_that_of_an_office_with_panels() -> None:
    source = SimulatedLoad(5)
    days = [kwh(source.flow(SUMMER + day * DAY, SUMMER + (day + 1) * DAY)) for day in range(7)]
    net = [day[0] - day[1] for day in days]
    assert sum(net[:5]) / 5 > max(net[5:])  # Monday to Friday against the weekend
    assert all(day[1] > 100 for day in days[5:])  # export on both days of the weekend
    night = kwh(source.flow(SUMMER, SUMMER + 4 * HOUR))
    assert night[0] > 0
    assert night[1] == 0
    assert night[3] > 0  # the capacitor bank leads at night
    assert kwh(source.flow(SUMMER + 9 * HOUR, SUMMER + 11 * HOUR))[2] > 0


def test_seasons() -> None:
    dark = SimulatedLoad(5, peak_kw=0, step_s=300)
    june = kwh(dark.flow(SUMMER, SUMMER + 14 * DAY))
    winter = utc(2026, 12, 10)
    december = kwh(dark.flow(winter, winter + 14 * DAY))
    assert june[0] == december[0] == 0
    assert june[1] > 2 * december[1] > 0
    south = SimulatedLoad(5, peak_kw=0, latitude=-38.0, step_s=300)
    assert (
        kwh(south.flow(SUMMER, SUMMER + 14 * DAY))[1]
        < kwh(south.flow(utc(2026, 12, 10), utc(2026, 12, 24)))[1]
    )


def test_people_and_sun_keep_local_time() -> None:
    here, there = SimulatedLoad(5), SimulatedLoad(5, utc_offset_min=330)
    assert here.flow(SUMMER, SUMMER + DAY) == there.flow(SUMMER - 330 * MINUTE, SUMMER + DAY - 330 * MINUTE)


@pytest.mark.parametrize(
    "values", [{"step_s": 7}, {"step_s": 0}, {"peak_kw": -1}, {"solar_kw": -1}, {"latitude": 70.0}]
)
def test_settings_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(LocalError):
        SimulatedLoad(**values)  # type: ignore[arg-type]
