"""Clock module: zones, DST pairs, local time, the repeated hour, steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ion.builders import HOUR, MINUTE, utc

from iondlms.errors import LocalError
from iondlms.ion import Clock, ClockSetup, MonthEnd, PeriodicTimer, setup_from_zone

# (zone, standard offset, DST offset, pairs, first pair from 2024 on in UTC, source)
ZONES = [
    ("Europe/Madrid", 60, 60, 20, (utc(2024, 3, 31, 1), utc(2024, 10, 27, 1)), "EU directive 2000/84"),
    ("Europe/Dublin", 0, 60, 20, (utc(2024, 3, 31, 1), utc(2024, 10, 27, 1)), "negative DST in tzdata"),
    ("America/New_York", -300, 60, 20, (utc(2024, 3, 10, 7), utc(2024, 11, 3, 6)), "US law of 2005"),
    ("Australia/Lord_Howe", 630, 30, 20, (utc(2024, 1, 1), utc(2024, 4, 6, 15)), "half an hour of DST"),
    ("Pacific/Auckland", 720, 60, 20, (utc(2024, 1, 1), utc(2024, 4, 6, 14)), "NZ order of 2007"),
    ("Asia/Kolkata", 330, 0, 0, None, "no DST"),
    ("UTC", 0, 0, 0, None, "no DST"),
]


@pytest.mark.parametrize(("zone", "standard", "dst", "count", "first", "source"), ZONES)
def test_zone(
    zone: str, standard: int, dst: int, count: int, first: tuple[int, int] | None, source: str
) -> None:
    setup = setup_from_zone(zone, 2024)
    assert (setup.tz_offset_min, setup.dst_offset_min, len(setup.dst_pairs)) == (standard, dst, count), source
    assert (setup.dst_pairs[0] if setup.dst_pairs else None) == first, source


@pytest.mark.parametrize("zone", [zone for zone, *_ in ZONES] + ["Africa/Casablanca", "Pacific/Kiritimati"])
@given(minutes=st.integers(0, 10 * 365 * 1440))
def test_offsets_are_those_of_the_zone_rules(zone: str, minutes: int) -> None:
    clock = _clock(zone)
    moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
    assert offset is not None
    instant = utc(2024, 1, 1) + minutes * MINUTE
    assert clock.offset_min(instant) == offset.total_seconds() // 60


_CLOCKS: dict[str, Clock] = {}


def _clock(zone: str) -> Clock:
    if zone not in _CLOCKS:
        _CLOCKS[zone] = Clock(setup_from_zone(zone, 2024))
    return _CLOCKS[zone]


@given(minutes=st.integers(0, 3 * 365 * 1440), zone=st.sampled_from([zone for zone, *_ in ZONES]))
def test_local_time_and_back_is_the_same_or_the_first_of_two(minutes: int, zone: str) -> None:
    clock = _clock(zone)
    instant = utc(2024, 1, 2) + minutes * MINUTE
    back = clock.utc_from_local(clock.local_ms(instant))
    assert clock.local_ms(back) == clock.local_ms(instant)
    assert back <= instant


def test_the_repeated_hour_is_the_first_and_the_skipped_one_standard_time() -> None:
    clock = _clock("Europe/Madrid")
    assert clock.utc_from_local(utc(2026, 10, 25, 2, 30)) == utc(2026, 10, 25, 0, 30)
    assert clock.utc_from_local(utc(2026, 10, 25, 3)) == utc(2026, 10, 25, 2)
    assert clock.utc_from_local(utc(2026, 3, 29, 2, 30)) == utc(2026, 3, 29, 1, 30)


def test_new_zealand_summer_is_thirteen_hours_ahead() -> None:
    assert _clock("Pacific/Auckland").offset_min(utc(2026, 1, 15)) == 780


def test_switches_of_a_calendar_year() -> None:
    assert _clock("Europe/Madrid").dst_switches(2026) == (utc(2026, 3, 29, 1), utc(2026, 10, 25, 1))
    assert _clock("Pacific/Auckland").dst_switches(2026) == (utc(2026, 9, 26, 14), utc(2026, 4, 4, 14))
    assert _clock("Asia/Kolkata").dst_switches(2026) == (None, None)
    assert _clock("Europe/Madrid").dst_switches(2080) == (None, None)


def test_a_dst_offset_of_0_switches_dst_off() -> None:
    clock = Clock(ClockSetup(tz_offset_min=60, dst_pairs=((utc(2026, 3, 29, 1), utc(2026, 10, 25, 1)),)))
    assert not clock.dst_active(utc(2026, 7, 1))
    assert clock.next_dst_switch(utc(2026, 1, 1)) is None


BAD_SETUPS = [
    ({"tz_offset_min": 841}, "TZ offset"),
    ({"tz_offset_min": -721}, "TZ offset"),
    ({"dst_offset_min": 181}, "DST offset"),
    ({"dst_offset_min": -181}, "DST offset"),
    ({"dst_pairs": tuple((2 * n, 2 * n + 1) for n in range(21))}, "20"),
    ({"dst_pairs": ((5, 5),)}, "order"),
    ({"dst_pairs": ((1, 5), (4, 8))}, "order"),
    ({"event_threshold_ms": -1}, "threshold"),
]


@pytest.mark.parametrize(("values", "message"), BAD_SETUPS)
def test_settings_out_of_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(LocalError, match=message):
        ClockSetup(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("zone", "year"), [("Europe/Madird", 2026), ("../etc/passwd", 2026), ("UTC", 1)])
def test_no_such_zone_or_year(zone: str, year: int) -> None:
    with pytest.raises(LocalError):
        setup_from_zone(zone, year)


# They kept, or went to, the higher of their two offsets, and change no more.
@pytest.mark.parametrize(
    "zone",
    [
        *("Asia/Amman", "Asia/Damascus", "America/Chihuahua", "America/Asuncion", "America/Coyhaique"),
        *("Asia/Almaty", "America/Mexico_City"),  # the same, with the lower one
    ],
)
def test_a_zone_that_has_stopped_changing_shows_the_offset_it_stays_on(zone: str) -> None:
    clock = Clock(setup_from_zone(zone, 2021))
    for year in range(2021, 2040):
        for month in (1, 7):
            instant = datetime(year, month, 15, tzinfo=UTC)
            delta = instant.astimezone(ZoneInfo(zone)).utcoffset()
            assert delta is not None
            assert clock.offset_min(utc(year, month, 15)) == delta.total_seconds() / 60, instant


@given(base=st.integers(0, 4 * 10**12), now=st.floats(0, 10**9), due=st.integers(0, 10**10))
def test_at_the_deadline_of_an_instant_the_clock_shows_it(base: int, now: float, due: int) -> None:
    clock = Clock()
    clock.start(base, now)
    assert clock.utc_ms(clock.now_at(base + due)) == base + due


def test_a_step_is_told_and_counted() -> None:
    clock = Clock()
    assert not clock.valid
    clock.start(1_000_000, 5.0)
    assert clock.valid
    assert clock.utc_ms(6.5) == 1_001_500
    assert clock.step(900_000, 6.5) == -101_500
    assert clock.utc_ms(7.5) == 901_000
    assert clock.steps == 1
    assert [clock.noticed(step) for step in (1000, -1000, 1001, -1001)] == [False, False, True, True]


@given(
    instant=st.integers(0, 4 * 10**12),
    period_s=st.sampled_from([1, 7, 60, 300, 900, 3600, 86_400]),
    offset=st.integers(-720, 840),
)
def test_a_timer_is_aligned_and_strictly_after(instant: int, period_s: int, offset: int) -> None:
    clock = Clock(ClockSetup(tz_offset_min=offset))
    boundary = PeriodicTimer("t", period_s).next_boundary(instant, clock)
    assert 0 < boundary - instant <= period_s * 1000
    assert (boundary + offset * MINUTE) % (period_s * 1000) == 0


def test_a_daily_timer_keeps_standard_time_in_summer() -> None:
    clock = _clock("Europe/Madrid")
    timer = PeriodicTimer("day", 86_400)
    assert timer.next_boundary(utc(2026, 7, 1, 12), clock) == utc(2026, 7, 1, 23)
    assert timer.next_boundary(utc(2026, 1, 1, 12), clock) == utc(2026, 1, 1, 23)


@pytest.mark.parametrize("period_s", [0, -1, 31 * 86_400 + 1])
def test_a_period_out_of_range(period_s: int) -> None:
    with pytest.raises(LocalError):
        PeriodicTimer("t", period_s)


def test_a_month_ends_at_local_midnight() -> None:
    clock, trigger = _clock("Europe/Madrid"), MonthEnd("m")
    assert trigger.next_boundary(utc(2026, 1, 31, 22, 59), clock) == utc(2026, 1, 31, 23)
    assert trigger.next_boundary(utc(2026, 1, 31, 23), clock) == utc(2026, 2, 28, 23)
    assert trigger.next_boundary(utc(2026, 12, 30), clock) == utc(2026, 12, 31, 23)
    assert trigger.next_boundary(utc(2026, 6, 30, 21, 59), clock) == utc(2026, 6, 30, 22)
    assert trigger.next_boundary(utc(2026, 6, 30, 21) + HOUR, clock) == utc(2026, 7, 31, 22)
