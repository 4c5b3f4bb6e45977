"""Load shapes, and faults on schedule: power cut, phase loss, reverse flow."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ion.builders import HOUR, MINUTE, Host, small_framework, utc

from iondlms.errors import LocalError
from iondlms.ion import Flow, SupplySource
from iondlms.sources import Fault, FaultyLoad, SimulatedLoad, SimulatedSettings, make_source
from iondlms.sources.shapes import SHAPES

DAY = 24 * HOUR
MONDAY = utc(2026, 6, 15)
LOAD = SimulatedLoad(5, step_s=300)
CUT = Fault("power_cut", MONDAY + 10 * HOUR, 1800)
LOSS = Fault("phase_loss", MONDAY + 12 * HOUR + 7, 3600.5, phase="b")
TURNED = Fault("reverse_flow", MONDAY + 12 * HOUR + 30 * MINUTE, 7200)


def kwh(flow: Flow) -> list[float]:
    return [amount / 3.6e9 for amount in flow]


@given(st.lists(st.integers(0, 2 * DAY), max_size=10), st.booleans())
def test_any_division_adds_up_to_the_same(cuts: list[int], again: bool) -> None:
    every = DAY / 1000 if again else 0.0
    source = FaultyLoad(
        LOAD, [Fault(f.kind, f.begin_ms, f.duration_s, every, f.phase) for f in (CUT, LOSS, TURNED)]
    )
    instants = [MONDAY, *(MONDAY + cut for cut in sorted(cuts)), MONDAY + 2 * DAY]
    parts = [source.flow(start, end) for start, end in pairwise(instants)]
    assert tuple(map(sum, zip(*parts, strict=True))) == source.flow(MONDAY, MONDAY + 2 * DAY)


def test_a_power_cut_is_an_outage_of_the_meter() -> None:
    source = make_source(SimulatedSettings(5, faults=(Fault("power_cut", CUT.begin_ms, 1800, 86_400),)))
    assert isinstance(source, SupplySource)
    host = Host(MONDAY + 9 * HOUR, small_framework(depth=500), source).start().wait(2 * 86_400)
    gaps = [(a.utc_ms, b.utc_ms, b.status) for a, b in pairwise(host.log()) if b.utc_ms - a.utc_ms > 900_000]
    begin = MONDAY + 10 * HOUR
    assert gaps == [(begin + day * DAY, begin + day * DAY + 45 * MINUTE, 0xC0) for day in range(2)]


def test_cuts_that_touch_are_one() -> None:
    source = FaultyLoad(
        LOAD,
        [
            Fault("power_cut", MONDAY, 60),
            Fault("power_cut", MONDAY + MINUTE, 60),
            Fault("power_cut", MONDAY + 90_000, 60),
        ],
    )
    assert source.outage(MONDAY - 1) == (MONDAY, MONDAY + 150_000)
    assert source.outage(MONDAY + 150_000) is None
    assert source.flow(MONDAY, MONDAY + 150_000) == (0, 0, 0, 0, 0)
    for_ever = FaultyLoad(
        LOAD, [Fault("power_cut", MONDAY + shift * 1000, 1.5, 2) for shift in (0, 1)]
    ).outage(MONDAY)
    assert for_ever is not None


def test_a_lost_phase_has_no_voltage_and_no_power() -> None:
    source = FaultyLoad(LOAD, [LOSS])
    at = LOSS.begin_ms + MINUTE
    before, now = LOAD.readings(at), source.readings(at)
    assert (now["Vln b"], now["I b"], now["kW b"]) == (0, 0, 0)
    assert (now["Vln a"], now["kW a"]) == (before["Vln a"], before["kW a"])
    assert now["kW tot"] == (now["kW a"] or 0) + (now["kW c"] or 0)
    assert now["kVA tot"] == round(math.hypot(now["kW tot"] or 0, now["kVAR tot"] or 0))
    # Between the lost phase and another there is what that other has to neutral.
    assert (now["Vll ab"], now["Vll bc"], now["Vll ca"]) == (now["Vln a"], now["Vln c"], before["Vll ca"])
    whole, left = LOAD.flow(at, at + MINUTE), source.flow(at, at + MINUTE)
    for a, b in zip(whole, left, strict=True):
        assert abs(b - a * 655 // 1000) <= 1
    after = LOSS.begin_ms + 3_601_000
    assert source.flow(after, after + HOUR) == LOAD.flow(after, after + HOUR)


def test_reverse_flow_receives_what_was_delivered() -> None:
    source = FaultyLoad(LOAD, [TURNED])
    span = TURNED.begin_ms, TURNED.begin_ms + HOUR
    right, turned = LOAD.flow(*span), source.flow(*span)
    assert (turned.w_delivered, turned.w_received) == (right.w_received, right.w_delivered)
    assert turned[2:] == right[2:]
    at = TURNED.begin_ms + MINUTE
    assert source.readings(at)["kW tot"] == -(LOAD.readings(at)["kW tot"] or 0)


@pytest.mark.parametrize("values", [{"kind": "fire"}, {"duration_s": 0}, {"every_s": 5}, {"phase": "n"}])
def test_faults_that_cannot_be(values: dict[str, object]) -> None:
    good = {"kind": "phase_loss", "begin_ms": 0, "duration_s": 10}
    with pytest.raises(LocalError):
        Fault(**{**good, **values})  # type: ignore[arg-type]


# Shapes


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_seeded_and_adds_up(shape: str) -> None:
    one, same, other = (SimulatedLoad(seed, shape=shape, step_s=300) for seed in (7, 7, 8))
    week = MONDAY, MONDAY + 7 * DAY
    assert one.flow(*week) == same.flow(*week)
    assert one.flow(*week) != other.flow(*week)
    middle = MONDAY + 3 * DAY + 12_345_678
    first, second = one.flow(MONDAY, middle), one.flow(middle, week[1])
    assert tuple(map(sum, zip(first, second, strict=True))) == one.flow(*week)
    for hour in range(0, 168, 3):
        power = one.readings(MONDAY + hour * HOUR)["kVA tot"]
        assert power is not None
        assert power <= 1200 * (SHAPES[shape].peak_kw + SHAPES[shape].solar_kw)


def test_a_household_cooks_in_the_evening() -> None:
    load = SimulatedLoad(3, shape="household", solar_kw=0, step_s=300)
    hours = [
        kwh(load.flow(MONDAY + d * DAY + h * HOUR, MONDAY + d * DAY + (h + 1) * HOUR))[0]
        for d in range(14)
        for h in (3, 19)
    ]
    assert sum(hours[1::2]) > 4 * sum(hours[::2])


def test_a_factory_has_three_shifts_and_a_free_sunday() -> None:
    load = SimulatedLoad(3, shape="factory", step_s=300)
    days = [kwh(load.flow(MONDAY + d * DAY, MONDAY + (d + 1) * DAY))[0] for d in range(7)]
    assert min(days[:5]) > 1.5 * days[5] > 2 * days[6] > 0
    night = kwh(load.flow(MONDAY + DAY + HOUR, MONDAY + DAY + 5 * HOUR))[0]
    assert night > 0.8 * kwh(load.flow(MONDAY + DAY + 8 * HOUR, MONDAY + DAY + 12 * HOUR))[0]


def test_cars_stay_within_the_connection_and_over_midnight() -> None:
    load = SimulatedLoad(3, shape="ev_charging", step_s=300)
    powers = [load.readings(MONDAY + step * 300_000)["kW tot"] or 0 for step in range(288 * 14)]
    assert max(powers) <= 300_000 * 1.04
    assert max(powers) > 6 * sorted(powers)[len(powers) // 20]
    seams = [(powers[day * 288 - 1], powers[day * 288]) for day in range(1, 14)]
    assert any(min(seam) > 10_000 for seam in seams)


def test_no_such_shape() -> None:
    with pytest.raises(LocalError, match="spaceport"):
        SimulatedLoad(shape="spaceport")
