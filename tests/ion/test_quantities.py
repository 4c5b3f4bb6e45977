"""The catalogue, and the present values that follow from others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ion.builders import HOUR, MINUTE, SteadyLoad, utc

from iondlms.codec.obis import ObisCode
from iondlms.ion import QUANTITIES, Kind, PowerMeterSetup, Quantity, Source, quantity
from iondlms.ion.power_meter import PowerMeter
from iondlms.ion.present import present
from iondlms.sources import SimulatedLoad

# The manufacturer's technical note: load profile and billing data (ion-profile 4), with type, scaler, unit.
NOTE = [
    ("kWh del int", "1-1:1.29.0*255", "double-long", 0, 30),
    ("kVARh del int", "1-1:3.29.0*255", "double-long", 0, 32),
    ("kWh rec int", "1-1:2.29.0*255", "double-long", 0, 30),
    ("kVARh rec int", "1-1:4.29.0*255", "double-long", 0, 32),
    ("kWh del", "1-1:1.8.0*255", "long64", 0, 30),
    ("kWh rec", "1-1:2.8.0*255", "long64", 0, 30),
    ("kWh del-rec", "1-1:16.8.0*255", "long64", 0, 30),
    ("kVARh del", "1-1:3.8.0*255", "long64", 0, 32),
    ("kVARh rec", "1-1:4.8.0*255", "long64", 0, 32),
    ("kVARh del-rec", "1-1:128.8.0*255", "long64", 0, 32),
    ("kVAh del+rec", "1-1:9.8.0*255", "long64", 0, 31),
    ("kW sd del-rec", "1-1:16.4.0*255", "double-long", 0, 27),
    ("kVAR sd del-rec", "1-1:128.4.0*255", "double-long", 0, 29),
    ("kVA sd del+rec", "1-1:9.4.0*255", "double-long", 0, 28),
    ("PF sign mean", "1-1:13.0.0*255", "double-long", -3, 255),
]

# IEC 62056-61: 7 is the instantaneous value, C as in its table of AC electricity; units of IEC 62056-62.
STANDARD = [
    ("Vln b", "1-1:52.7.0*255", "V", -3, 35),
    ("I c", "1-1:71.7.0*255", "A", -3, 33),
    ("Freq", "1-1:14.7.0*255", "Hz", -3, 44),
    ("kW tot", "1-1:16.7.0*255", "W", 0, 27),
    ("kW a", "1-1:36.7.0*255", "W", 0, 27),
    ("kVA tot", "1-1:9.7.0*255", "VA", 0, 28),
    ("PF sign tot", "1-1:13.7.0*255", "", -3, 255),
    ("PF sign c", "1-1:73.7.0*255", "", -3, 255),
    ("V unbal", None, "%", -3, 56),
    ("kW sd mx d-r", "1-1:16.6.0*255", "W", 0, 27),
]


@pytest.mark.parametrize(("name", "obis", "kind", "scaler", "unit"), NOTE)
def test_the_quantities_of_the_technical_note(
    name: str, obis: str, kind: str, scaler: int, unit: int
) -> None:
    item = quantity(name)
    assert (item.obis, item.cosem_type, item.exponent, item.cosem_unit) == (obis, kind, scaler, unit)


@pytest.mark.parametrize(("name", "obis", "unit", "scaler", "code"), STANDARD)
def test_what_the_standard_has_a_code_for(
    name: str, obis: str | None, unit: str, scaler: int, code: int
) -> None:
    item = quantity(name)
    assert (item.obis, item.unit, item.exponent, item.cosem_unit) == (obis, unit, scaler, code)


def test_the_catalogue_holds_together() -> None:
    codes = [item.obis for item in QUANTITIES.values() if item.obis is not None]
    assert len(codes) == len(set(codes))
    for code in codes:
        assert str(ObisCode.parse(code)) == code
    for name, item in QUANTITIES.items():
        assert len(name.removesuffix(" int")) <= 15, "the meters' labels have 15 characters"
        assert item.k_scale == (1000 if item.exponent == 0 else 1), name
        assert item.ion_unit.startswith("k") == (item.k_scale == 1000), name
        extreme = item.kind in (Kind.MAXIMUM, Kind.MINIMUM)
        assert bool(item.of) == extreme, name
        if extreme:
            of = QUANTITIES[item.of]
            assert (of.unit, of.exponent) == (item.unit, item.exponent), name
            assert of.kind in (Kind.DEMAND, Kind.PRESENT), name


# Readings, quantity, what it must be: definitions by hand.
DERIVED: list[tuple[Mapping[str, int | None], str, int | None]] = [
    ({"kW a": 3000, "kW b": -1000, "kW c": 500}, "kW tot", 2500),
    ({"kW a": 3000, "kW b": None, "kW c": 500}, "kW tot", None),
    ({"kW tot": 3000, "kVAR tot": -4000}, "kVA tot", 5000),
    ({"kW tot": 3000, "kVAR tot": -4000}, "PF sign tot", 600),
    ({"kW b": -3000, "kVAR b": 4000}, "PF sign b", -600),
    ({"kW tot": 900, "kVAR tot": 0, "kVA tot": 1000}, "PF sign tot", 900),
    ({"PF sign tot": -345, "kW tot": 1, "kVAR tot": 0}, "PF sign tot", -345),
    ({"kW tot": 0, "kVAR tot": 0}, "PF sign tot", None),
    ({"Vln a": 230_000, "Vln b": 231_000, "Vln c": 229_001}, "Vln avg", 230_000),
    ({"Vll ab": 400_000, "Vll bc": 401_000, "Vll ca": 402_500}, "Vll avg", 401_167),
    ({"I a": 1, "I b": 2, "I c": 2}, "I avg", 2),
    ({"Vln a": 230_000, "Vln b": 231_000}, "Vln avg", None),
    # The maker's example (FA409853): 100 * 9 / 161.7 = 5.566 %
    ({"I a": 165_800, "I b": 152_700, "I c": 166_600}, "I unbal", 5566),
    ({"Vln a": 230_000, "Vln b": 230_000, "Vln c": 0}, "V unbal", 100_000),
    ({"Vll ab": 400_000, "Vll bc": 400_000, "Vll ca": 388_000}, "V unbal", 2020),
    ({"Vln a": 0, "Vln b": 0, "Vln c": 0}, "V unbal", None),
    # Nobody told the angles.
    ({"Vln a": 230_000, "Vln b": 230_000, "Vln c": 230_000}, "Vll ab", None),
    ({"kW tot": 5}, "kW a", None),
    ({}, "Freq", None),
]


@pytest.mark.parametrize(("readings", "name", "value"), DERIVED)
def test_what_follows_from_readings(readings: Mapping[str, int | None], name: str, value: int | None) -> None:
    assert present(name, readings, "IEC") == value


def test_a_source_that_knows_nothing_has_no_present_values() -> None:
    for name, item in QUANTITIES.items():
        if item.kind is Kind.PRESENT:
            assert present(name, {}, "IEC") is None


@given(st.integers(0, 10**7), st.integers(1, 300))
def test_a_simulated_load_is_consistent_with_itself(minute: int, seed: int) -> None:
    at_ms = utc(2026, 1, 1) + minute * MINUTE
    meter = PowerMeter(_LOADS[seed % 3])
    values = {
        name: meter.value(name, at_ms) for name, item in QUANTITIES.items() if item.kind is Kind.PRESENT
    }
    assert None not in values.values()
    known = {name: Fraction(value or 0) for name, value in values.items()}
    for unit in ("kW", "kVAR"):
        assert known[f"{unit} tot"] == sum(known[f"{unit} {phase}"] for phase in "abc")
    for where in ("a", "b", "c", "tot"):
        active, reactive, apparent = (known[f"{unit} {where}"] for unit in ("kW", "kVAR", "kVA"))
        assert abs(apparent**2 - active**2 - reactive**2) <= apparent + Fraction(1, 4)
        size = min(abs(active) * 1000 / apparent, Fraction(1000))
        assert abs(abs(known[f"PF sign {where}"]) - size) <= Fraction(1, 2)
        assert (known[f"PF sign {where}"] < 0) <= (active < 0)
    for group, phases in (("Vln", ("a", "b", "c")), ("Vll", ("ab", "bc", "ca")), ("I", ("a", "b", "c"))):
        mean = sum((known[f"{group} {phase}"] for phase in phases), Fraction(0)) / 3
        assert abs(known[f"{group} avg"] - mean) <= Fraction(1, 2)
        if group == "Vll":
            assert Fraction(172, 100) < known["Vll avg"] / known["Vln avg"] < Fraction(174, 100)
        elif mean:
            worst = max(abs(known[f"{group} {phase}"] - mean) for phase in phases)
            unbalance = known["V unbal" if group == "Vln" else "I unbal"]
            assert abs(unbalance - worst * 100_000 / mean) <= Fraction(1, 2)


_LOADS = [
    SimulatedLoad(seed, shape=shape, step_s=300)
    for seed, shape in enumerate(("office", "factory", "household"))
]


# Registers


@given(
    st.lists(
        st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(1, 10 * HOUR)),
        max_size=20,
    ),
    st.integers(1, 10**7),
)
def test_registers_turn_over_exactly_and_intervals_do_not(
    loads: list[tuple[int, int, int]], rollover: int
) -> None:
    """In fractions: a register is what flowed, to the nearest Wh, modulo the rollover."""
    load = SteadyLoad()
    told: list[str] = []
    meter = PowerMeter(load, PowerMeterSetup(rollover=rollover), lambda *event: told.append(event[3]))
    flowed = {
        "kWh del": Fraction(0),
        "kWh rec": Fraction(0),
        "kVARh del": Fraction(0),
        "kVARh rec": Fraction(0),
    }
    sums = dict.fromkeys(flowed, 0)
    at_ms = turns = 0
    for load.active_w, load.reactive_var, length_ms in loads:
        before = {name: _nearest(each) for name, each in flowed.items()}
        meter.integrate(at_ms, at_ms + length_ms)
        meter.end_interval(at_ms := at_ms + length_ms)
        for unit, power in (("kWh", load.active_w), ("kVARh", load.reactive_var)):
            flowed[f"{unit} {'del' if power > 0 else 'rec'}"] += Fraction(abs(power) * length_ms, HOUR)
        for name, each in flowed.items():
            modulus = rollover * 1000
            turns += _nearest(each) // modulus != before[name] // modulus
            interval = meter.value(f"{name} int", at_ms)
            assert interval is not None
            sums[name] += interval
            assert sums[name] == _nearest(each)
            assert meter.value(name, at_ms) == _nearest(each) % modulus
        for unit in ("kWh", "kVARh"):
            net = _nearest(flowed[f"{unit} del"]) - _nearest(flowed[f"{unit} rec"])
            shown = meter.value(f"{unit} del-rec", at_ms)
            assert shown is not None
            # A net register turns over at both ends, and keeps its sign.
            assert abs(shown) == abs(net) % (rollover * 1000)
            assert shown * net >= 0
    # The apparent register of this load turns over too.
    assert len([text for text in told if not text.startswith("kVAh")]) == turns
    assert all(f"rolled over at {rollover}" in text for text in told)


def _nearest(exact: Fraction) -> int:
    return (exact + Fraction(1, 2)).__floor__()


# Maxima and minima


class Varying(SteadyLoad):
    """kW that the test names for each minute."""

    def __init__(self, *powers: int | None) -> None:
        super().__init__()
        self.powers = powers

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        return {"kW tot": self.powers[utc_ms // MINUTE % len(self.powers)]}


def test_maxima_and_minima_of_present_values_are_since_the_master_reset() -> None:
    source: Source = Varying(None, 5, -7, 3, None, 6)
    meter = PowerMeter(source)
    assert not meter.samples, "nobody records one yet"
    most, least = meter.reader("kW tot mx"), meter.reader("kW tot mn")
    assert meter.samples
    seen = []
    for minute in range(6):
        meter.sample(minute * MINUTE)
        seen.append((most(0), least(0)))
    assert seen == [(None, None), (5, 5), (5, -7), (5, -7), (5, -7), (6, -7)]
    kept = meter.state
    meter.master_reset()
    assert (most(0), least(0)) == (None, None)
    meter.restore(kept)
    assert (most(0), least(0)) == (6, -7)
    other = PowerMeter(source)
    other.reader("kW tot mx")
    other.restore(kept)
    # The minimum was not watched any more: it is not that of all the time.
    assert (other.value("kW tot mx", 0), other.value("kW tot mn", 0)) == (6, None)


def test_the_maximum_demand_is_of_the_demands_shown() -> None:
    load = SteadyLoad(reactive_var=0)
    meter = PowerMeter(load, PowerMeterSetup(sub_interval_s=300, sub_intervals=2))
    most = meter.reader("kW sd mx d-r")
    seen: list[tuple[int | None, int | None]] = []
    for load.active_w in (10_000, 30_000, 50_000, -20_000, -20_000):
        meter.integrate(len(seen) * 300_000, (len(seen) + 1) * 300_000)
        meter.end_sub_interval()
        seen.append((meter.value("kW sd del-rec", 0), most(0)))
    assert seen == [(10_000, 10_000), (20_000, 20_000), (40_000, 40_000), (15_000, 40_000), (-20_000, 40_000)]


# The page that shows them


def test_the_page_lists_what_the_catalogue_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "quantities.md").read_text("utf-8")
    assert re.findall(r"^\| `[^|]+` \|.*$", page, re.MULTILINE) == [
        _line(item) for item in QUANTITIES.values()
    ]


def _line(item: Quantity) -> str:
    obis = "none" if item.obis is None else f"`{item.obis}`"
    unit = item.ion_unit or "-"
    form = f"{item.cosem_type}, {item.exponent}, {item.unit or 'none'} ({item.cosem_unit})"
    return f"| `{item.name}` | {unit} | {item.kind.value} | {form} | {obis} |"
