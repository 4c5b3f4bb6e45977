"""Date-times to instants: T1 to T5 and T7 of the traps that clients fall into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.codec.strategies import date_times, definite_date_times

from iondlms.client.instants import (
    TimeRules,
    instant_of,
    instants_of,
    milliseconds_of_all,
    steps_back,
    times_of,
)
from iondlms.client.objects import ClockReading
from iondlms.codec.datetimes import UNSPECIFIED, ClockStatus, DateTime
from iondlms.codec.instants import UNKNOWN
from iondlms.codec.octets import Octets

PRAGUE = ZoneInfo("Europe/Prague")
IN_PRAGUE = TimeRules(zone=PRAGUE)


def utc(*fields: int) -> datetime:
    return datetime(*fields, tzinfo=UTC)  # type: ignore[misc, arg-type]  # year, month, day, hour, minute


def shown(*fields: int, deviation: int | None, status: int | None = 0) -> DateTime:
    return DateTime.of_local(datetime(*fields), deviation, status)  # type: ignore[arg-type]  # as above


CASES = [  # (time, rules, instant)
    (shown(2026, 7, 1, 12, deviation=-120), TimeRules(), utc(2026, 7, 1, 10)),
    (shown(2026, 7, 1, 12, deviation=120), TimeRules(), utc(2026, 7, 1, 14)),
    (shown(2026, 7, 1, 12, deviation=120), TimeRules(inverted=True), utc(2026, 7, 1, 10)),
    (shown(2026, 1, 1, 2, deviation=-840), TimeRules(), utc(2025, 12, 31, 12)),  # Kiribati
    (shown(2026, 1, 1, 2, deviation=-780), TimeRules(), utc(2025, 12, 31, 13)),  # New Zealand
    (shown(2026, 1, 1, 2, deviation=-841), TimeRules(), None),
    (shown(2026, 1, 1, 2, deviation=0), TimeRules(), utc(2026, 1, 1, 2)),
    (shown(2026, 1, 1, 2, deviation=0), IN_PRAGUE, utc(2026, 1, 1, 2)),  # sent is sent
    (shown(2026, 1, 1, 2, deviation=None), TimeRules(), None),  # never the zone of this machine
    (shown(2026, 1, 1, 2, deviation=None), IN_PRAGUE, utc(2026, 1, 1, 1)),
    (shown(2026, 7, 1, 2, deviation=None), TimeRules(inverted=True, zone=PRAGUE), utc(2026, 7, 1, 0)),
    # The hour that comes twice, 25 October 2026: the clock status tells which one.
    (
        shown(2026, 10, 25, 2, 30, deviation=None, status=0x80),
        IN_PRAGUE,
        utc(2026, 10, 25, 0, 30),
    ),
    (
        shown(2026, 10, 25, 2, 30, deviation=None, status=0x00),
        IN_PRAGUE,
        utc(2026, 10, 25, 1, 30),
    ),
    (
        shown(2026, 10, 25, 2, 30, deviation=None, status=None),
        IN_PRAGUE,
        utc(2026, 10, 25, 0, 30),
    ),
    (
        shown(2026, 3, 29, 2, 30, deviation=None),
        IN_PRAGUE,
        utc(2026, 3, 29, 1, 30),
    ),  # no such time
    (UNSPECIFIED, IN_PRAGUE, None),
]


@pytest.mark.parametrize(("time", "rules", "instant"), CASES)
def test_instant(time: DateTime, rules: TimeRules, instant: datetime | None) -> None:
    assert instant_of(time, rules) == instant
    assert instants_of([time.octets] * 3, rules, 0)[0][0] == instant
    assert instants_of([time.octets], rules, 0)[1] == (instant is None)


def test_repeated_hour_without_status_goes_by_order() -> None:
    quarter = timedelta(minutes=15)
    expected = [utc(2026, 10, 24, 23, 45) + n * quarter for n in range(12)]
    cells = [
        DateTime.of_local(at.astimezone(PRAGUE).replace(tzinfo=None), None, None).octets for at in expected
    ]
    assert cells[1:5] == cells[5:9], "the hour does not come twice"
    assert instants_of(cells, IN_PRAGUE, 900) == (expected, 0)


def test_null_is_one_period_later_where_there_is_a_period() -> None:
    first = shown(2026, 7, 1, 12, deviation=-120).octets
    start = utc(2026, 7, 1, 10)
    quarter = timedelta(minutes=15)
    expected = [start, start + quarter, start + 2 * quarter]
    assert instants_of([first, None, None], TimeRules(), 900) == (expected, 0)
    assert instants_of([first, None], TimeRules(), 0) == ([start, None], 1)
    assert instants_of([None, first], TimeRules(), 900) == ([None, start], 1)
    assert instants_of([b"", 5, first], TimeRules(), 900) == ([None, None, start], 2)


@given(st.lists(date_times(), max_size=6), st.booleans(), st.sampled_from([None, PRAGUE]))
def test_columns_and_single_ones_agree(times: list[DateTime], inverted: bool, zone: ZoneInfo | None) -> None:
    rules = TimeRules(inverted, zone)
    instants, unknown = instants_of([time.octets for time in times], rules, 0)
    previous = None
    for time, instant in zip(times, instants, strict=True):
        assert instant == instant_of(time, rules, previous)
        previous = instant
    assert unknown == list(instants).count(None)


@given(
    st.lists(st.one_of(definite_date_times(), date_times()), max_size=6),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([None, PRAGUE]),
)
def test_a_column_that_was_read_before_says_the_same(
    times: list[DateTime], between: int, inverted: bool, zone: ZoneInfo | None
) -> None:
    rules = TimeRules(inverted, zone)
    cells = [time.octets for time in times]
    stride = 12 + between
    column = Octets(b"".join([cell + bytes(between) for cell in cells]), 12, 0, stride, len(cells))
    instants, unknown = instants_of(cells, rules, 0)
    known = [instant for instant in instants if instant is not None]
    for _ in range(2):
        found = times_of(column, rules, 0)
        assert list(found.instants) == list(instants)
        assert list(found.clocks) == cells
        assert (found.unknown, found.back) == (unknown, steps_back(known))


def test_what_is_remembered_of_a_column_goes_with_the_rules() -> None:
    cells = [shown(2026, 7, 1, hour, deviation=-120).octets for hour in (12, 13, 13)]
    column = Octets(b"".join(cells), 12)
    assert times_of(column, TimeRules(), 0).instants[0] == utc(2026, 7, 1, 10)
    assert times_of(column, TimeRules(inverted=True), 0).instants[0] == utc(2026, 7, 1, 14)
    assert times_of(column, TimeRules(), 0).back == 1
    unsaid = Octets(shown(2026, 7, 1, 12, deviation=None).octets, 12)
    assert times_of(unsaid, TimeRules(), 0).unknown == 1
    assert times_of(unsaid, IN_PRAGUE, 0).instants[0] == utc(2026, 7, 1, 10)


def test_a_column_with_other_cells_has_no_clock_there() -> None:
    first = shown(2026, 7, 1, 12, deviation=-120).octets
    found = times_of([first, None, 5], TimeRules(), 900)
    assert list(found.clocks) == [first, None, None]
    assert found.unknown == 1


def test_status_ff_is_not_specified() -> None:
    assert ClockReading.of(shown(2026, 1, 1, deviation=0, status=None), TimeRules()).status is None
    reading = ClockReading.of(shown(2026, 1, 1, deviation=-60, status=0x81), TimeRules())
    assert reading.status == ClockStatus.DAYLIGHT_SAVING | ClockStatus.INVALID
    assert reading.deviation == -60


def test_a_reversed_deviation_is_suspected() -> None:
    now = utc(2026, 7, 1, 10, 1)
    wrong = ClockReading.of(shown(2026, 7, 1, 12, deviation=120), TimeRules())
    assert wrong.suggests_inverted(now)
    assert not ClockReading.of(shown(2026, 7, 1, 12, deviation=-120), TimeRules()).suggests_inverted(now)
    assert ClockReading.of(shown(2026, 7, 1, 12, deviation=-120), TimeRules(True)).suggests_inverted(now)
    assert not ClockReading.of(shown(2026, 7, 1, 9, deviation=120), TimeRules()).suggests_inverted(now)
    assert not ClockReading.of(shown(2026, 7, 1, 9, deviation=0), TimeRules()).suggests_inverted(now)
    assert not ClockReading.of(UNSPECIFIED, TimeRules()).suggests_inverted(now)


def test_null_behind_the_last_instant_there_can_be_is_unknown() -> None:
    last = bytes.fromhex("270f0c1fff173b3b00000000")  # 9999-12-31 23:59:59, deviation 0
    first = shown(2026, 7, 1, 12, deviation=0).octets
    end = utc(9999, 12, 31, 23, 59, 59)
    cells = [last, None, None, first]
    assert instants_of(cells, TimeRules(), 900) == ([end, None, None, utc(2026, 7, 1, 12)], 2)
    assert list(milliseconds_of_all(cells, TimeRules(), 900)).count(UNKNOWN) == 2


@pytest.mark.parametrize("period", [1 << 40, (1 << 63) - 1, -(1 << 63)])
def test_null_after_a_period_that_no_calendar_holds_is_unknown(period: int) -> None:
    cells = [shown(2026, 7, 1, 12, deviation=0).octets, None]
    assert instants_of(cells, TimeRules(), period) == ([utc(2026, 7, 1, 12), None], 1)
