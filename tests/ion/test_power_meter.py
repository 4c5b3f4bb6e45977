"""Power Meter: exact integration, carried remainders, rollover, demand, power factor, silence."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ion.builders import SteadyLoad

from iondlms.errors import LocalError
from iondlms.ion import QUANTITIES, Flow, Kind, PowerMeterSetup, quantity, rounded
from iondlms.ion.power_meter import PowerMeter, PowerMeterState

ROUNDED = [(5, 2, 3), (-5, 2, -3), (4, 3, 1), (-4, 3, -1), (1, 3, 0), (-1, 3, 0), (-1, 2, -1), (0, 7, 0)]


@pytest.mark.parametrize(("numerator", "denominator", "value"), ROUNDED)
def test_halves_go_away_from_zero(numerator: int, denominator: int, value: int) -> None:
    assert rounded(numerator, denominator) == value


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_rounded_is_the_nearest(numerator: int, denominator: int) -> None:
    distance = abs(rounded(numerator, denominator) - Fraction(numerator, denominator))
    assert distance <= Fraction(1, 2)
    assert rounded(-numerator, denominator) == -rounded(numerator, denominator)


class Listed:
    """Flows from a list, one a span."""

    def __init__(self, flows: list[Flow | None]) -> None:
        self.flows = flows

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        return self.flows.pop(0)

    def readings(self, utc_ms: int) -> dict[str, int | None]:
        return {}


amounts = st.integers(0, 10**13)
flows = st.builds(Flow, amounts, amounts, amounts, amounts, amounts)


@given(st.lists(st.none() | flows, min_size=1, max_size=30))
def test_intervals_add_up_to_the_register_difference(listed: list[Flow | None]) -> None:
    meter = PowerMeter(Listed([*listed, Flow(0, 0, 0, 0, 0)]), PowerMeterSetup(rollover=10**15))
    sums = dict.fromkeys(("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec", "kWh del-rec"), 0)
    for index in range(len(listed) + 1):
        meter.integrate(index * 10, index * 10 + 10)
        meter.end_interval()
        for name in sums:
            value = meter.value(f"{name} int", 0)
            assert (value is None) == (index < len(listed) and listed[index] is None)
            sums[name] += value or 0
    assert sums == {name: meter.value(name, 0) for name in sums}


def test_the_remainder_is_in_the_next_interval() -> None:
    load = SteadyLoad(active_w=1)
    meter = PowerMeter(load)
    values = []
    for quarter in range(8):
        meter.integrate(quarter * 900_000, (quarter + 1) * 900_000)
        meter.end_interval()
        values.append(meter.value("kWh del int", 0))
    assert values == [0, 1, 0, 0, 0, 1, 0, 0]  # registers 0.25, 0.5 (up to 1), ... 1.5 (up to 2), 2.0 Wh


def test_registers_and_net_values_roll_over() -> None:
    meter = PowerMeter(SteadyLoad(active_w=-3_000_000, reactive_var=0), PowerMeterSetup(rollover=10))
    meter.integrate(0, 3_600_000)
    assert meter.value("kWh rec", 0) == 3_000_000 % 10_000
    meter.source = SteadyLoad(active_w=-1234, reactive_var=0)
    meter.integrate(3_600_000, 7_200_000)
    assert meter.value("kWh rec", 0) == 3_001_234 % 10_000
    assert meter.value("kWh del-rec", 0) == -1234
    meter.end_interval()
    assert meter.value("kWh rec int", 0) == 3_001_234


def test_the_default_rollover_is_ten_million_k_units() -> None:
    meter = PowerMeter(SteadyLoad())
    meter.restore(PowerMeterState(totals=Flow(10**10 * 3_600_000 - 3_600_000, 0, 0, 0, 0)))
    assert meter.value("kWh del", 0) == 10**10 - 1
    meter.integrate(0, 3_600_000)
    assert meter.value("kWh del", 0) == 99_999


def test_sliding_demand_is_of_the_completed_sub_intervals() -> None:
    load = SteadyLoad(active_w=300, reactive_var=0)
    meter = PowerMeter(load)
    names = ("kW sd del-rec", "kVA sd del+rec")
    assert [meter.value(name, 0) for name in names] == [None, None]
    seen = []
    for index, power in enumerate([300, 600, -900, 1200, 0, 0, 0]):
        load.active_w, load.apparent_va = power, abs(power)
        meter.integrate(index * 300_000, index * 300_000 + 100_000)
        before = meter.value(names[0], 0)
        meter.integrate(index * 300_000 + 100_000, (index + 1) * 300_000)
        assert meter.value(names[0], 0) == before
        meter.end_sub_interval()
        seen.append(tuple(meter.value(name, 0) for name in names))
    assert seen == [(300, 300), (450, 450), (0, 600), (300, 900), (100, 700), (400, 400), (0, 0)]


# (W, var, VA, IEC, IEEE)
POWER_FACTORS = [
    (100, 0, 100, 1000, 1000),
    (80, 60, 100, 800, -800),
    (80, -60, 100, 800, 800),
    (-80, 60, 100, -800, 800),
    (-80, -60, 100, -800, -800),
    (2, 0, 3, 667, 667),
    (0, 50, 50, 0, 0),
    (101, 0, 100, 1000, 1000),
    (0, 0, 0, None, None),
]


@pytest.mark.parametrize(("active", "reactive", "apparent", "iec", "ieee"), POWER_FACTORS)
def test_power_factor(active: int, reactive: int, apparent: int, iec: int | None, ieee: int | None) -> None:
    load = SteadyLoad(active, reactive)
    load.apparent_va = apparent
    for setup, expected in ((PowerMeterSetup(pf_sign="IEC"), iec), (PowerMeterSetup(pf_sign="IEEE"), ieee)):
        meter = PowerMeter(load, setup)
        meter.integrate(0, 300_000)
        meter.end_sub_interval()
        assert meter.value("PF sign mean", 0) == expected


def test_a_silent_source_has_no_values_and_loses_none() -> None:
    load = SteadyLoad(active_w=3_600_000, reactive_var=0)
    meter = PowerMeter(load)
    meter.integrate(0, 1000)
    meter.end_interval()
    meter.integrate(1000, 2000)
    load.silent = True
    meter.integrate(2000, 3000)
    meter.end_interval()
    meter.end_sub_interval()
    assert {meter.value(name, 0) for name in QUANTITIES} == {None}
    load.silent = False
    meter.integrate(3000, 4000)
    meter.end_interval()
    assert (meter.value("kWh del int", 0), meter.value("kWh del", 0)) == (2000, 3000)


@pytest.mark.parametrize("cuts", [(), (70_000,), (60_001, 119_999)])
def test_the_window_after_a_silence_begins_where_it_ends_whoever_looks(cuts: tuple[int, ...]) -> None:
    load = SteadyLoad(active_w=3_600_000, reactive_var=0)
    meter = PowerMeter(load)
    load.silent = True
    meter.integrate(0, 60_000)
    load.silent = False
    for start_ms, end_ms in pairwise((60_000, *cuts, 120_000)):
        meter.integrate(start_ms, end_ms)
    load.active_w = 0
    meter.integrate(120_000, 180_000)
    meter.end_sub_interval()
    assert meter.value("kW sd del-rec", 0) == 1_800_000


def test_present_values_come_from_the_source_and_the_rest_is_worked_out() -> None:
    load = SteadyLoad(active_w=3000, reactive_var=-4000)
    meter = PowerMeter(load)
    values = {name: meter.value(name, 0) for name in ("kW tot", "kVA tot", "PF sign tot", "Vln a", "Vln b")}
    assert values == {"kW tot": 3000, "kVA tot": 5000, "PF sign tot": 600, "Vln a": 230_000, "Vln b": None}


def test_every_quantity_of_the_catalogue_can_be_read() -> None:
    meter = PowerMeter(SteadyLoad())
    meter.integrate(0, 1)
    meter.end_interval()
    for name, each in QUANTITIES.items():
        value = meter.value(name, 0)
        assert each.name == name
        assert value is None or isinstance(value, int)
        assert (each.exponent == 0) == (each.unit in ("Wh", "varh", "VAh", "W", "var", "VA")), name
        if each.kind in (Kind.ENERGY, Kind.INTERVAL_ENERGY):
            # By quadrant only of sources that know it.
            assert (value is None) == (" Q" in name)


def test_an_unknown_quantity() -> None:
    with pytest.raises(LocalError, match="kwh del"):
        quantity("kwh del")


@pytest.mark.parametrize(
    "values", [{"sub_interval_s": 0}, {"sub_interval_s": 5941}, {"sub_intervals": 16}, {"rollover": 0}]
)
def test_settings_out_of_range(values: dict[str, int]) -> None:
    with pytest.raises(LocalError):
        PowerMeterSetup(**values)  # type: ignore[arg-type]
