"""The Sync input of the Periodic Timer, in both Sync Modes; the Clock Source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.ion.builders import Host, small_framework, utc

from iondlms.errors import LocalError
from iondlms.ion import ClockSetup, Framework, MonthEnd, PeriodicTimer, Status

BEGIN = utc(2026, 3, 31, 23, 5)


def synchronized(mode: str, sync_input: str = "", **changes: Any) -> Framework:
    timer = PeriodicTimer("timer", 900, mode, sync_input)  # type: ignore[arg-type]
    return replace(small_framework(**changes), triggers=(timer, MonthEnd("month end")))


@pytest.mark.parametrize(
    ("mode", "stamps"),
    [
        ("TRIGGER ON SYNC", ["23:15", "23:20", "23:35", "23:50", "00:05"]),
        ("NO TRIG ON SYNC", ["23:15", "23:35", "23:50", "00:05"]),
    ],
)
def test_a_pulse_on_sync_is_where_the_timer_begins(mode: str, stamps: list[str]) -> None:
    host = Host(BEGIN, synchronized(mode)).start().wait(15 * 60)
    host.meter.synchronize("timer", host.now)
    host.wait(45 * 60)
    assert host.stamps() == stamps
    # Driven by the timer, all of them: period and status are told.
    assert host.meter.recorders["log"].period_s == 900
    assert host.statuses() == [Status.POWER_UP, *[0] * (len(stamps) - 1)]
    # The intervals end where the rows are.
    powers = [row.values[0] for row in host.log()]
    assert powers[0] == 16_667
    assert powers[-1] == 25_000
    assert sum(value or 0 for value in powers) == host.log()[-1].values[1]


@pytest.mark.parametrize("mode", ["TRIGGER ON SYNC", "NO TRIG ON SYNC"])
def test_two_pulses_at_one_instant_make_one_row(mode: str) -> None:
    host = Host(BEGIN, synchronized(mode, "month end", period_s=900)).start().wait(75 * 60)
    assert host.stamps() == ["23:15", "23:30", "23:45", "00:00", "00:15"]


@pytest.mark.parametrize(("mode", "midnight"), [("TRIGGER ON SYNC", ["00:00"]), ("NO TRIG ON SYNC", [])])
def test_a_linked_sync_input_follows_its_trigger(mode: str, midnight: list[str]) -> None:
    host = Host(BEGIN, synchronized(mode, "month end")).start().wait(10 * 60)
    assert host.stamps() == ["23:15"]
    host.now += 60
    host.meter.synchronize("timer", host.now)
    host.keep().wait(60 * 60)
    by_hand = ["23:16"] if midnight else []
    assert host.stamps() == ["23:15", *by_hand, "23:31", "23:46", *midnight, "00:15"]


def test_a_power_cut_lets_the_timer_count_by_the_hour_again() -> None:
    host = Host(BEGIN, synchronized("NO TRIG ON SYNC", insert_outage_records=True)).start().wait(15 * 60)
    host.meter.synchronize("timer", host.now)
    host.keep().wait(16 * 60)
    assert host.stamps() == ["23:15", "23:35"]
    host.meter.power_down(host.now)
    host.jump(30 * 60)
    host.meter.power_up(host.now)
    assert host.keep().wait(15 * 60).stamps() == ["23:15", "23:35", "23:45", "00:00", "00:15"]


def test_what_cannot_be_linked() -> None:
    with pytest.raises(LocalError, match="no Sync Mode"):
        PeriodicTimer("timer", sync_mode="SOMETIMES")  # type: ignore[arg-type]
    with pytest.raises(LocalError, match="no trigger 'moon'"):
        synchronized("NO TRIG ON SYNC", "moon")
    with pytest.raises(LocalError, match="Sync input itself"):
        synchronized("NO TRIG ON SYNC", "timer")
    host = Host(BEGIN).start()
    with pytest.raises(LocalError, match="no Periodic Timer"):
        host.meter.synchronize("month end", host.now)


def test_a_clock_source_that_is_none() -> None:
    with pytest.raises(LocalError, match="no Clock Source"):
        ClockSetup(clock_source="SUN")  # type: ignore[arg-type]
