"""What setting the clock would do, told beforehand: held against the meter's own timer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.joined import PASSWORD, START, Lines, make_meter, run_both

from iondlms.client import ClockReading, ClockStep
from iondlms.client.blocking import Client
from iondlms.codec.datetimes import DateTime
from iondlms.errors import LocalError
from iondlms.ion import Clock, PeriodicTimer, setup_from_zone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
ZONES = ("UTC", "Europe/Madrid", "Asia/Kolkata", "Pacific/Chatham", "America/St_Johns")


def step(begin: datetime, wanted: datetime, period: int | None = 900, zone: int | None = 0) -> ClockStep:
    reading = ClockReading(begin, DateTime.of_utc(begin, 0, None))
    return ClockStep(reading, wanted, None if period is None else timedelta(seconds=period), zone)


@given(
    st.sampled_from(ZONES),
    st.sampled_from([1, 60, 900, 3600, 7200, 86_400, 1000]),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(lambda time: time.replace(tzinfo=UTC)),
    st.integers(-40, 40),
    st.integers(-999, 999),
)
def test_it_touches_what_the_meters_timer_would_do_in_between(
    zone: str, period: int, begin: datetime, periods: int, milliseconds: int
) -> None:
    clock = Clock(setup_from_zone(zone, 2023))
    wanted = begin + timedelta(seconds=periods * period // 7, milliseconds=milliseconds)
    touched = step(begin, wanted, period, -clock.tz_offset_min).touched
    timer = PeriodicTimer("timer", period)
    low, high = sorted(((each - EPOCH) // timedelta(milliseconds=1)) for each in (begin, wanted))
    ends = []
    at_ms = timer.next_boundary(low, clock)
    while at_ms <= high:
        ends.append(at_ms // 1000)
        at_ms = timer.next_boundary(at_ms, clock)
    assert touched is not None
    assert list(touched) == ends


def test_what_cannot_be_told() -> None:
    unknown = ClockStep(ClockReading(None, DateTime.of_utc(START, 0, None)), START, QUARTER, 0)
    assert (unknown.length, unknown.touched) == (None, None)
    assert step(START, START + QUARTER, None).touched is None
    assert step(START, START + QUARTER, 900, None).touched is None
    assert list(step(START, START + QUARTER, 0).touched or ()) == []
    assert step(START, START - QUARTER).length == -QUARTER


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ([], ""),
        ([("clock.zone", "Asia/Kolkata")], ""),
        ([("clock.zone", "Asia/Kolkata"), ("deviation", "reversed")], "&inverted=1"),
    ],
)
def test_a_meter_is_asked_for_it(settings: list[tuple[str, str]], target: str) -> None:
    meter = make_meter(20, *settings, ("load_profile.period", "1h"))
    before = {row.utc_ms for row in meter.ion.recorders["Load Profile"].rows(0, 99)}
    with Client(f"tcp://m?client=1{target}", password=PASSWORD, connector=Lines(meter).connect) as client:
        told = client.clock_step(START + 3 * timedelta(hours=1))
        assert told.length is not None
        assert abs(told.length - timedelta(hours=3)) < timedelta(seconds=5)
        assert told.period == timedelta(hours=1)
        assert abs((client.clock().instant or EPOCH) - START) < timedelta(seconds=5), "nothing was set"
        client.set_clock(START + 3 * timedelta(hours=1))
    meter.advance(4 * 3600.0)
    after = {row.utc_ms for row in meter.ion.recorders["Load Profile"].rows(0, 99)} - before
    touched = told.touched
    assert touched is not None
    assert len(touched) == 3
    assert not after & {each * 1000 for each in touched}, "no row was made there"
    assert min(after) == (touched[-1] + 3600) * 1000, "the next one is the first"


def test_a_step_beyond_the_limit_is_not_sent() -> None:
    meter = make_meter()
    with Client("tcp://m?client=1", password=PASSWORD, connector=Lines(meter).connect) as client:
        for wanted in (START + timedelta(minutes=6), START - timedelta(minutes=6)):
            with pytest.raises(LocalError, match=r"beyond the limit of 0:05:00"):
                client.set_clock(wanted, limit=timedelta(minutes=5))
        assert abs((client.clock().instant or EPOCH) - START) < timedelta(seconds=5)
        client.set_clock(START + timedelta(minutes=4), limit=timedelta(minutes=5))
        client.set_clock(START + timedelta(days=4))
    shy = make_meter(20, ("deviation", "unspecified"))
    with Client("tcp://m?client=1", password=PASSWORD, connector=Lines(shy).connect) as client:
        told = client.clock_step(START)
        assert (told.length, told.touched) == (None, None)
        with pytest.raises(LocalError, match="a step that cannot be told"):
            client.set_clock(START, limit=timedelta(minutes=5))
        client.set_clock(START)


def test_a_naive_time_is_no_instant() -> None:
    with (
        Client("tcp://m?client=1", password=PASSWORD, connector=Lines(make_meter()).connect) as client,
        pytest.raises(LocalError, match="no instant"),
    ):
        client.clock_step(datetime(2026, 1, 1))


def test_both_drivers_tell_the_same() -> None:
    told = run_both(make_meter, "tcp://m?client=1", PASSWORD, "clock_step", START + QUARTER)
    assert (told.length, told.period, told.time_zone) == (QUARTER, QUARTER, 0)
