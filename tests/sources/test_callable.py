"""Functions as sources: exact, guarded, and None where they know nothing."""

from __future__ import annotations

import logging
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ion.builders import HOUR, QUARTER, Host, small_framework, utc

from iondlms.errors import LocalError
from iondlms.ion import RegisterSource, Source
from iondlms.sources import CallableLoad, CallableMeter

BEGIN = utc(2026, 6, 1)


def saw(utc_ms: int) -> tuple[Decimal, Decimal]:
    """Power that changes each minute, in both directions."""
    minute = utc_ms // 60_000
    return Decimal(minute % 7 - 3), Decimal(minute % 5 - 2) / 10


@given(st.lists(st.integers(0, HOUR), max_size=10))
def test_any_division_adds_up_to_the_same(cuts: list[int]) -> None:
    source: Source = CallableLoad(saw)
    instants = [BEGIN, *(BEGIN + cut for cut in sorted(cuts)), BEGIN + HOUR]
    parts = [source.flow(a, b) or (0,) * 5 for a, b in pairwise(instants)]
    whole = source.flow(BEGIN, BEGIN + HOUR)
    assert tuple(map(sum, zip(*parts, strict=True))) == whole
    assert whole is not None
    powers = [saw(BEGIN + minute * 60_000) for minute in range(60)]
    assert whole.w_delivered == sum(max(p, Decimal(0)) * 1000 * 60_000 for p, _ in powers)
    assert whole.var_received == sum(max(-q, Decimal(0)) * 1000 * 60_000 for _, q in powers)


def test_a_load_is_read_with_what_else_there_is() -> None:
    source = CallableLoad(lambda _: (3, -4.0), readings=lambda _: {"Vln a": 230.25, "Freq": None})
    assert source.readings(BEGIN) == {"kW tot": 3000, "kVAR tot": -4000, "Vln a": 230_250, "Freq": None}
    host = Host(BEGIN, small_framework(sources=("kWh del int", "kVAh del+rec")), source).start().wait(900)
    assert host.log()[0].values == (750, 1250)


def test_a_load_that_knows_nothing_now() -> None:
    source = CallableLoad(lambda at: None if at < BEGIN + QUARTER else (1, 0))
    assert source.flow(BEGIN, BEGIN + QUARTER) is None
    flow = source.flow(BEGIN + QUARTER - 60_000, BEGIN + QUARTER + 60_000)
    assert flow is not None
    assert flow.w_delivered == 1000 * 60_000
    assert source.readings(BEGIN) == {}


def test_a_meter_is_shown_as_it_is() -> None:
    shown: dict[str, float | None] = {"kWh del": 1000.5, "kWh rec": 2, "kW tot": 1.5, "kW sd del-rec": 7}
    source: Source = CallableMeter(lambda _: shown)
    assert isinstance(source, RegisterSource)
    names = ("kWh del int", "kWh del", "kWh rec", "kVARh del", "kW tot", "kW sd del-rec")
    host = Host(BEGIN, small_framework(sources=names), source).start()
    host.wait(600)
    shown["kWh del"] = 1000.75
    host.wait(300)
    assert host.log()[-1].values == (250, 1_000_750, 2000, None, 1500, 7000)
    shown.clear()
    host.wait(900)
    assert host.log()[-1].values[1] is None


def test_exceptions_are_logged_once_and_are_no_values(caplog: pytest.LogCaptureFixture) -> None:
    broken = True

    def values(utc_ms: int) -> dict[str, float]:
        if broken:
            raise OSError("sensor gone")
        return {"kWh del": 5}

    source = CallableMeter(values)
    with caplog.at_level(logging.ERROR):
        assert [source.registers(BEGIN) for _ in range(3)] == [None] * 3
        broken = False
        assert source.registers(BEGIN) == (5000, None, None, None, None)
        assert source.flow(BEGIN, BEGIN + 1) is None
        broken = True
        assert source.readings(BEGIN) == {}
    assert [record.getMessage().count("sensor gone") for record in caplog.records] == [1, 1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many"])
def test_values_that_are_none(value: float) -> None:
    assert CallableMeter(lambda _: {"kWh del": value}).registers(BEGIN) is None
    assert CallableLoad(lambda _: (value, 0)).flow(BEGIN, BEGIN + 1) is None


def test_an_unknown_name_is_no_value() -> None:
    assert CallableMeter(lambda _: {"kilowatthours": 1}).registers(BEGIN) is None


def test_a_step_of_nothing() -> None:
    with pytest.raises(LocalError):
        CallableLoad(saw, step_s=0)
