from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.codec.strategies import date_times, definite_date_times

from iondlms.codec.datetimes import (
    EPOCH,
    UNSPECIFIED,
    ClockStatus,
    DateTime,
    instant_of,
    milliseconds_of,
)
from iondlms.errors import DecodeError, LocalError

Fields: TypeAlias = "tuple[int, int, int, int, int, int] | tuple[int, int, int, int, int, int, int]"


def date_time(octets: str) -> DateTime:
    return DateTime(bytes.fromhex(octets))


INSTANTS = [  # (octets, local time, deviation, status, UTC, source)
    (
        "07E10A010700000000FFC480", (2017, 10, 1, 0, 0, 0), -60, 0x80, (2017, 9, 30, 23, 0, 0),
        "vectors.md 90; deviation as sent",
    ),
    (
        "07E2010A031319033E003C00", (2018, 1, 10, 19, 25, 3, 620_000), 60, 0,
        (2018, 1, 10, 20, 25, 3, 620_000), "vectors.md 62, first row",
    ),
    (
        "07EA0B16FF0D223800FFC400", (2026, 11, 22, 13, 34, 56), -60, 0, (2026, 11, 22, 12, 34, 56),
        "conformance TS-02",
    ),
    (
        "07EA011507000000 00FCF480", (2026, 1, 21, 0, 0, 0), -780, 0x80, (2026, 1, 20, 11, 0, 0),
        "trap T2: New Zealand's summer, beyond the books' 720",
    ),
    (
        "07EA011507000000 00FCB800", (2026, 1, 21, 0, 0, 0), -840, 0, (2026, 1, 20, 10, 0, 0),
        "trap T2: Kiribati",
    ),
    ("07EA0115FF000000 00034800", (2026, 1, 21, 0, 0, 0), 840, 0, (2026, 1, 21, 14, 0, 0), "the other end"),
    ("07EA011503000000 00000000", (2026, 1, 21, 0, 0, 0), 0, 0, (2026, 1, 21, 0, 0, 0), "trap T3: UTC"),
    (
        "07D0021D02173B3B63000001", (2000, 2, 29, 23, 59, 59, 990_000), 0, 1,
        (2000, 2, 29, 23, 59, 59, 990_000), "by hand: a leap day",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "local", "deviation", "status", "utc", "source"), INSTANTS)
def test_vector(
    octets: str,
    local: Fields,
    deviation: int,
    status: int,
    utc: Fields,
    source: str,
) -> None:
    value = date_time(octets)
    assert value.local() == datetime(*local), source
    assert value.deviation == deviation, source
    assert value.status == status, source
    assert value.utc() == datetime(*utc).replace(tzinfo=UTC), source
    assert value.utc().tzinfo is UTC
    made = DateTime.of_local(datetime(*local), deviation, status)
    assert made == DateTime.of_utc(value.utc(), deviation, status)
    # we always give the day of the week; the sender may have left it out or have it wrong
    assert made.octets[:4] + made.octets[5:] == value.octets[:4] + value.octets[5:], source
    assert made.day_of_week == datetime(*local).isoweekday()


def test_fields_as_sent() -> None:
    value = date_time("07E2010A031319033E003C00")
    assert (value.year, value.month, value.day, value.day_of_week) == (2018, 1, 10, 3)
    assert (value.hour, value.minute, value.second, value.hundredths) == (19, 25, 3, 62)
    assert (value.deviation, value.status) == (60, ClockStatus(0))


def test_not_specified_is_none_and_zero_is_not() -> None:
    names = ["year", "month", "day", "day_of_week", "hour", "minute", "second", "hundredths"]
    assert UNSPECIFIED.octets.hex().upper() == "FFFFFFFFFFFFFFFFFF8000FF"
    assert {name: getattr(UNSPECIFIED, name) for name in [*names, "deviation", "status"]} == dict.fromkeys(
        [*names, "deviation", "status"]
    )
    zero = DateTime(bytes(12))
    assert [getattr(zero, name) for name in names] == [0] * 8
    assert (zero.deviation, zero.status) == (0, 0)


@pytest.mark.parametrize(
    ("octet", "status"),
    [
        (0x00, ClockStatus(0)),
        (0x80, ClockStatus.DAYLIGHT_SAVING),
        (0x81, ClockStatus.DAYLIGHT_SAVING | ClockStatus.INVALID),
        (0x0F, ClockStatus(0x0F)),
        (0x70, ClockStatus(0x70)),  # reserved bits are kept
        (0xFE, ClockStatus(0xFE)),
        (0xFF, None),  # trap T4: "not specified", not "all faults"
    ],
)
def test_clock_status(octet: int, status: ClockStatus | None) -> None:
    value = DateTime(bytes.fromhex("07EA0115030000000000 00") + bytes((octet,)))
    assert value.status == status
    assert value.utc() == datetime(2026, 1, 21, tzinfo=UTC)
    assert DateTime.of_local(datetime(2026, 1, 21), 0, status) == value


def test_three_states_of_the_deviation() -> None:
    # trap T3: zero is UTC; 8000 is no deviation and needs the meter's zone
    assert date_time("07EA01150300000000000000").utc(unspecified=-120).hour == 0
    unknown = date_time("07EA01150300000000800000")
    assert unknown.deviation is None
    assert unknown.local() == datetime(2026, 1, 21)
    with pytest.raises(DecodeError, match="zone"):
        unknown.utc()
    assert unknown.utc(unspecified=-60) == datetime(2026, 1, 20, 23, tzinfo=UTC)
    assert unknown.utc(unspecified=0) == datetime(2026, 1, 21, tzinfo=UTC)
    assert DateTime.of_local(datetime(2026, 1, 21), None, 0) == unknown


@pytest.mark.parametrize("deviation", [-841, 841, -0x7FFF, 0x7FFF])
def test_deviations_that_no_place_has(deviation: int) -> None:
    value = DateTime.of_local(datetime(2026, 1, 21), deviation, 0)
    assert value.deviation == deviation  # kept as sent
    for reversed_sign in (False, True):
        with pytest.raises(DecodeError, match="840"):
            value.utc(reversed_sign=reversed_sign)


def test_reversed_sign() -> None:
    # trap T1: some meters send UTC+2 as +120
    wrong = date_time("07EA06010714000000007880")
    assert wrong.deviation == 120
    assert wrong.utc() == datetime(2026, 6, 1, 22, tzinfo=UTC)
    assert wrong.utc(reversed_sign=True) == datetime(2026, 6, 1, 18, tzinfo=UTC)
    # the caller's own deviation has the right sign already
    unknown = DateTime.of_local(datetime(2026, 6, 1, 20), None, 0)
    assert unknown.utc(-120, reversed_sign=True) == datetime(2026, 6, 1, 18, tzinfo=UTC)


def test_hundredths_not_specified_count_as_zero() -> None:
    assert date_time("07EA0115030C223800000000").local() == datetime(2026, 1, 21, 12, 34, 56)
    assert date_time("07EA0115030C2238FF000000").local() == datetime(2026, 1, 21, 12, 34, 56)
    assert date_time("07EA0115030C2238FF000000").hundredths is None


OPEN = [  # (offset, octets)
    (0, "FFFF"), (2, "FF"), (3, "FF"), (5, "FF"), (6, "FF"), (7, "FF"),
]  # fmt: skip
IMPOSSIBLE = [
    (0, "0000"), (0, "2710"), (2, "00"), (2, "0D"), (2, "FD"), (2, "FE"), (3, "00"), (3, "20"), (3, "FD"),
    (3, "FE"), (5, "18"), (6, "3C"), (7, "3C"), (8, "64"), (8, "FE"),
]  # fmt: skip


@pytest.mark.parametrize(("offset", "octets"), OPEN + IMPOSSIBLE)
def test_fields_that_make_no_instant(offset: int, octets: str) -> None:
    changed = bytearray.fromhex("07EA0115030C223800000000")
    field = bytes.fromhex(octets)
    changed[offset : offset + len(field)] = field
    value = DateTime(bytes(changed))
    expected = "open" if (offset, octets) in OPEN else "no date and time"
    for convert in (value.local, value.utc):
        with pytest.raises(DecodeError, match=expected):
            convert()


@pytest.mark.parametrize("day", ["07EA021D", "07EA0400", "07EA041F", "076C021D"])
def test_days_that_the_month_does_not_have(day: str) -> None:
    with pytest.raises(DecodeError):
        date_time(day + "FF0000000000 0000").local()


@pytest.mark.parametrize(
    ("octets", "what"),
    [("000101010100000000FFC400", "before year 1"), ("270F0C1FFF173B3B00003C00", "after year 9999")],
)
def test_instants_beyond_the_calendar(octets: str, what: str) -> None:
    with pytest.raises(DecodeError, match="calendar"):
        date_time(octets).utc()


@pytest.mark.parametrize("length", [0, 5, 11, 13])
def test_other_lengths(length: int) -> None:
    with pytest.raises(DecodeError, match="12 octets"):
        DateTime(bytes(length))


def test_the_repeated_hour_is_two_hours_of_instants() -> None:
    # trap T7: 2025-10-26 03:00 CEST goes back to 02:00 CET; quarter hours from 00:00 to 01:45 UTC
    start = datetime(2025, 10, 26, tzinfo=UTC)
    rows = [
        DateTime.of_utc(
            start + timedelta(minutes=15 * quarter),
            -120 if quarter < 4 else -60,
            ClockStatus.DAYLIGHT_SAVING if quarter < 4 else 0,
        )
        for quarter in range(8)
    ]
    assert [row.local() for row in rows[:4]] == [row.local() for row in rows[4:]]
    assert rows[0].octets[:9] == rows[4].octets[:9]
    assert rows[0].octets[9:].hex() == "ff8880"
    assert rows[4].octets[9:].hex() == "ffc400"
    assert [row.utc() for row in rows] == [start + timedelta(minutes=15 * quarter) for quarter in range(8)]
    assert len(set(rows)) == 8


def test_the_zone_of_this_machine_never_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    abroad = datetime(2026, 1, 21, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    value = DateTime.of_utc(abroad, -60)
    assert value.local() == datetime(2026, 1, 21, 7, 30)
    assert value.utc() == abroad
    with pytest.raises(LocalError, match="zone"):
        DateTime.of_utc(datetime(2026, 1, 21, 12), -60)


@pytest.mark.parametrize(
    ("deviation", "status"), [(0x8000, 0), (-0x8001, 0), (1 << 40, 0), (0, 0x100), (0, -1), (None, 999)]
)
def test_what_fits_no_octets_is_a_local_error(deviation: int | None, status: int) -> None:
    with pytest.raises(LocalError, match="cannot be sent"):
        DateTime.of_local(datetime(2026, 1, 21), deviation, status)


def test_of_utc_beyond_the_calendar_is_a_local_error() -> None:
    with pytest.raises(LocalError, match="calendar"):
        DateTime.of_utc(datetime(9999, 12, 31, 23, 30, tzinfo=UTC), -60)
    with pytest.raises(LocalError, match="calendar"):
        DateTime.of_utc(datetime(1, 1, 1, tzinfo=UTC), 60)


@given(definite_date_times())
def test_instant_round_trip(value: DateTime) -> None:
    deviation = value.deviation
    assert deviation is not None
    status = None if value.status is None else int(value.status)
    assert DateTime.of_utc(value.utc(), deviation, status) == value
    assert DateTime.of_local(value.local(), deviation, status) == value
    assert value.utc() - value.local().replace(tzinfo=UTC) == timedelta(minutes=deviation)


@given(date_times(), st.one_of(st.none(), st.integers(-840, 840)), st.booleans())
def test_any_octets_are_kept_and_raise_decode_error_only(
    value: DateTime, unspecified: int | None, reversed_sign: bool
) -> None:
    assert DateTime(value.octets) == value
    assert str(value)
    assert (value.status is None) == (value.octets[11] == 0xFF)
    assert (value.deviation is None) == (value.octets[9:11] == b"\x80\x00")
    try:
        instant = value.utc(unspecified, reversed_sign=reversed_sign)
    except DecodeError:
        return
    assert instant.tzinfo is UTC
    assert milliseconds_of(instant) % 10 == 0


@given(st.binary(min_size=12, max_size=12))
def test_sheer_noise_raises_decode_error_only(octets: bytes) -> None:
    value = DateTime(octets)
    assert str(value)
    for convert in (value.local, value.utc):
        try:
            convert()
        except DecodeError:
            continue


TEXTS = [
    ("07E2010A031319033E003C00", "2018-01-10 19:25:03.62-01:00"),
    ("07E10A010700000000FFC480", "2017-10-01 00:00:00+01:00"),
    ("07EA011507000000 00FCF480", "2026-01-21 00:00:00+13:00"),
    ("07EA0115070C2238FF012600", "2026-01-21 12:34:56-04:54"),
    ("07EA01150300000000000000", "2026-01-21 00:00:00+00:00"),
    ("07EA01150300000005800000", "2026-01-21 00:00:00.05"),
    ("FFFFFFFFFFFFFFFFFF8000FF", "????-??-?? ??:??:??"),
    ("FFFF0301FF02000000800000", "????-03-01 02:00:00"),
]


@pytest.mark.parametrize(("octets", "text"), TEXTS)
def test_text(octets: str, text: str) -> None:
    assert str(date_time(octets)) == text


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_milliseconds(instant: datetime) -> None:
    milliseconds = milliseconds_of(instant)
    assert timedelta(0) <= instant - instant_of(milliseconds) < timedelta(milliseconds=1)
    assert milliseconds_of(instant_of(milliseconds)) == milliseconds
    assert milliseconds_of(EPOCH) == 0
