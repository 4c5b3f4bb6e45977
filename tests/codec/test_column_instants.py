"""Whole columns of date-times to milliseconds and back: what `DateTime` says of each, or nothing at all."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.codec.strategies import date_times as any_date_times

from iondlms.codec import instants, numpy_columns
from iondlms.codec.datetimes import EPOCH, DateTime, milliseconds_of
from iondlms.codec.instants import (
    date_times,
    even_date_times,
    local_octets,
    step_of,
    utc_instants,
    utc_milliseconds,
)
from iondlms.codec.octets import Octets
from iondlms.errors import DecodeError

YEARS = st.datetimes(datetime(1, 1, 4), datetime(9999, 12, 28))


@st.composite
def sent_times(draw: st.DrawFn) -> DateTime:
    time = draw(YEARS)
    time = time.replace(microsecond=time.microsecond // 10_000 * 10_000)
    octets = bytearray(
        DateTime.of_local(time, draw(st.integers(-840, 840)), draw(st.integers(0, 255))).octets
    )
    if not octets[8] and draw(st.booleans()):
        octets[8] = 0xFF  # hundredths not specified
    octets[4] = draw(st.sampled_from((octets[4], 0xFF)))
    return DateTime(bytes(octets))


def column(times: list[DateTime]) -> Octets:
    return Octets.of([time.octets for time in times], 12)


def day(*fields: int, deviation: int = -60) -> DateTime:
    return DateTime.of_local(datetime(*fields), deviation, 0)  # type: ignore[arg-type]


@given(st.lists(sent_times(), max_size=8), st.booleans())
@example([day(2024, 2, 29, 23, 59, 59), day(2024, 3, 1), day(2024, 3, 1), day(1900, 2, 28)], False)
def test_a_column_of_instants_is_that_of_each(times: list[DateTime], reversed_sign: bool) -> None:
    expected = [time.utc(reversed_sign=reversed_sign) for time in times]
    found = column(times)
    assert utc_instants(found, reversed_sign=reversed_sign) == expected
    assert utc_milliseconds(found, reversed_sign=reversed_sign).tolist() == list(
        map(milliseconds_of, expected)
    )
    arrayed = numpy_columns.instants(found, reversed_sign=reversed_sign)
    assert arrayed.dtype == "datetime64[ms]"
    assert [EPOCH + timedelta(milliseconds=int(at)) for at in arrayed.astype("int64")] == expected


@given(st.lists(st.one_of(any_date_times(), sent_times()), min_size=1, max_size=4), st.booleans())
def test_a_column_with_one_that_is_no_instant_is_refused_by_all(
    times: list[DateTime], reversed_sign: bool
) -> None:
    found = column(times)
    try:
        expected = [time.utc(reversed_sign=reversed_sign) for time in times]
    except DecodeError:
        for read in (utc_instants, utc_milliseconds, numpy_columns.instants):
            with pytest.raises(DecodeError):
                read(found, reversed_sign=reversed_sign)
        return
    try:
        assert utc_instants(found, reversed_sign=reversed_sign) == expected
    except DecodeError:  # the first and the last days of the calendar
        assert min(expected).year < 2 or max(expected).year > 9998
        with pytest.raises(DecodeError):
            numpy_columns.instants(found, reversed_sign=reversed_sign)
    else:
        milliseconds = list(map(milliseconds_of, expected))
        assert utc_milliseconds(found, reversed_sign=reversed_sign).tolist() == milliseconds
        arrayed = numpy_columns.instants(found, reversed_sign=reversed_sign)
        assert arrayed.astype("int64").tolist() == milliseconds


IMPOSSIBLE = [
    "07EA 02 1D 07 00 00 00 00 FFC4 00",  # 29 February 2026
    "07EA 00 01 07 00 00 00 00 FFC4 00",
    "07EA 0D 01 07 00 00 00 00 FFC4 00",
    "07EA FE 01 07 00 00 00 00 FFC4 00",  # daylight begin
    "07EA 01 00 07 00 00 00 00 FFC4 00",
    "07EA 01 FF 07 00 00 00 00 FFC4 00",
    "0000 01 01 07 00 00 00 00 FFC4 00",
    "FFFF 01 01 07 00 00 00 00 FFC4 00",
    "2710 01 01 07 00 00 00 00 FFC4 00",  # the year 10,000
    "07EA 01 01 07 18 00 00 00 FFC4 00",
    "07EA 01 01 07 FF 00 00 00 FFC4 00",
    "07EA 01 01 07 00 3C 00 00 FFC4 00",
    "07EA 01 01 07 00 00 3C 00 FFC4 00",
    "07EA 01 01 07 00 00 00 64 FFC4 00",
    "07EA 01 01 07 00 00 00 FE FFC4 00",
    "07EA 01 01 07 00 00 00 00 8000 00",  # no deviation
    "07EA 01 01 07 00 00 00 00 0349 00",  # 841 minutes
    "07EA 01 01 07 00 00 00 00 FCB7 00",
]


@pytest.mark.parametrize("octets", IMPOSSIBLE)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_instant(octets: str, place: int) -> None:
    times = [day(2026, 1, 1, 0, minute).octets for minute in range(3)]
    times[place] = bytes.fromhex(octets)
    for read in (utc_instants, utc_milliseconds, numpy_columns.instants):
        with pytest.raises(DecodeError):
            read(Octets.of(times, 12))


def test_date_times_have_12_octets() -> None:
    for read in (utc_instants, utc_milliseconds, numpy_columns.instants):
        with pytest.raises(DecodeError, match="12 octets, not 5"):
            read(Octets(bytes(10), 5))
        assert len(read(Octets(b"", 12))) == 0


def test_strange_times_do_not_stay_in_memory_nor_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instants, "_CACHED", 20)
    times = [day(1990 + n, 1, 2, n % 24, n) for n in range(50)]
    expected = [time.utc() for time in times]
    for _ in range(2):
        assert utc_instants(column(times)) == expected
        assert utc_milliseconds(column(times)).tolist() == list(map(milliseconds_of, expected))
    for remembered in (instants._DAYS[False], instants._DAYS_MS[False]):
        assert len(remembered) <= 20


@given(st.lists(YEARS, min_size=1, max_size=6), st.booleans())
def test_date_times_of_local_times_are_those_of_each(times: list[datetime], in_order: bool) -> None:
    times = sorted(times) if in_order else times
    milliseconds = [milliseconds_of(time.replace(tzinfo=UTC)) for time in times]
    tail = bytes.fromhex("FFC4 80")
    shown = [EPOCH.replace(tzinfo=None) + timedelta(milliseconds=at) for at in milliseconds]
    expected = [DateTime.of_local(time, -60, 0x80).octets for time in shown]
    assert date_times(milliseconds, tail) == expected
    assert [local_octets(at) + tail for at in milliseconds] == expected


@given(
    st.integers(-(10**12), 4 * 10**12),
    st.sampled_from((1, 1000, 60_000, 900_000, 86_400_000, 90_000_000)) | st.integers(1, 10**9),
    st.integers(0, 200),
    st.binary(min_size=3, max_size=3),
)
@example(86_399_999, 1, 3, b"abc")
@example(0, 900_000, 97, b"abc")
def test_times_that_are_evenly_apart_are_those_of_each(
    first: int, step: int, count: int, tail: bytes
) -> None:
    assert even_date_times(first, step, count, tail) == date_times(
        [first + step * at for at in range(count)], tail
    )


def packed(times: list[int]) -> bytes:
    return struct.pack(f"<{len(times)}q", *times)


@given(st.integers(0, 1 << 56), st.integers(1, 1 << 40), st.integers(3, 50), st.data())
def test_a_step_is_told_where_each_is_that_far_from_the_one_before(
    first: int, step: int, count: int, data: st.DataObject
) -> None:
    times = [first + step * at for at in range(count)]
    told = step_of(packed(times))
    assert told == (step if times[-1] < 1 << 56 else 0)
    at = data.draw(st.integers(0, count - 1))
    times[at] += data.draw(st.sampled_from((-1, 1, 1 << 32, -(1 << 32), 1 << 62)))
    pairs = {later - time for time, later in pairwise(times)}
    assert step_of(packed(times)) in ({0, *pairs} if len(pairs) == 1 else {0})


@pytest.mark.parametrize(
    "times",
    [
        [],
        [1],
        [1, 2],  # of two it is not worth it
        [3, 2, 1],
        [5, 5, 5],
        [-2, -1, 0],
        [0, 7, 14, 22],
        # As one number each difference may borrow from the next: these two add up to 7 and 7.
        [-(1 << 63), -(1 << 63) + 7, 14],
        [(1 << 64) - (1 << 63) - 7, -(1 << 63), -(1 << 63) + 7],
    ],
)
def test_no_step_is_told_of_others(times: list[int]) -> None:
    assert step_of(packed(times)) == 0
