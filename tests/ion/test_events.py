"""What the modules write into the event log, with ION's priorities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from tests.ion.builders import MINUTE, Host, SteadyLoad, small_framework, utc

from iondlms.ion import EventLogSetup, Framework, PowerMeterSetup, Priority, setup_from_zone

BEGIN = utc(2026, 3, 29, 0, 50)


def told(host: Host) -> list[tuple[int, str, str]]:
    return [(event.priority, event.cause, event.effect) for event in host.keep().meter.event_log.events]


def everything(framework: Framework) -> Framework:
    """Log resets too, which the default cutoff of 5 leaves out."""
    return replace(framework, event_log=EventLogSetup(cutoff=0))


def cut(host: Host) -> None:
    host.meter.power_down(host.now)
    host.jump(60)
    host.meter.power_up(host.now)


STARTED = (30, "Power up", "ION9000 started")
EVENTS: list[tuple[str, Callable[[Host], object], list[tuple[int, str, str]]]] = [
    ("cut", cut, [(30, "Power down", ""), (30, "Power up", "")]),
    ("crash", lambda host: host.restart(60), [(30, "Power down", "found at power up"), STARTED]),
    (
        "clock set",
        lambda host: host.meter.set_time(BEGIN + MINUTE, host.now, "ETHERNET"),
        [(25, "Time set over ETHERNET", "step of 60000 ms")],
    ),
    ("DST", lambda host: host.wait(600), [(25, "DST", "started")]),
    ("reset", lambda host: host.meter.master_reset(host.now), [(5, "Master reset", "")]),
    ("rearm", lambda host: host.meter.rearm("log", host.now), [(5, "log rearmed", "log cleared")]),
    (
        "set-up",
        lambda host: host.restart(0, lambda _: everything(small_framework(circular=False, depth=7))),
        [
            (30, "Power down", "found at power up"),
            STARTED,
            (10, "log changed", "log cleared"),
        ],
    ),
]


@pytest.mark.parametrize(("name", "happen", "expected"), EVENTS, ids=[name for name, *_ in EVENTS])
def test_events(name: str, happen: Callable[[Host], object], expected: list[tuple[int, str, str]]) -> None:
    framework = small_framework(clock=setup_from_zone("Europe/Berlin", 2026), circular=False)
    host = Host(BEGIN, everything(framework)).start()
    assert told(host) == [STARTED]
    happen(host)
    assert sorted(told(host)[1:]) == sorted(expected), name


@pytest.mark.parametrize(("cutoff", "logged"), [(0, 3), (4, 3), (5, 2), (25, 1), (30, 0), (255, 0)])
def test_only_what_is_above_the_cutoff_is_logged(cutoff: int, logged: int) -> None:
    framework = replace(small_framework(), event_log=EventLogSetup(cutoff=cutoff))
    host = Host(BEGIN, framework).start()
    host.meter.set_time(BEGIN, host.now, "ETHERNET")
    host.meter.master_reset(host.now)
    assert len(told(host)) == logged


def test_priorities_are_those_of_the_meters() -> None:
    assert {each.name: int(each) for each in Priority} == {
        "RESET": 5,
        "SETUP_CHANGE": 10,
        "INFORMATION": 25,
        "WARNING": 30,
        "FAILURE": 255,
    }


def test_a_source_that_falls_silent_and_comes_back_is_told_once_each() -> None:
    host = Host(BEGIN).start().wait(300)
    host.load.silent = True
    host.wait(1200)
    host.load.silent = False
    host.wait(1200)
    assert told(host)[1:] == [(30, "Source", "has no values"), (25, "Source", "has values again")]
    instants = [event.utc_ms for event in host.meter.event_log.events[1:]]
    # To the next time that it was asked, which is at least each minute.
    assert BEGIN + 5 * MINUTE <= instants[0] <= BEGIN + 6 * MINUTE
    assert BEGIN + 25 * MINUTE <= instants[1] <= BEGIN + 26 * MINUTE


class Telling(SteadyLoad):
    """A source with a link, which tells itself when it is lost."""

    def listen(self, event: Callable[[int, str, str], None], changing: Callable[[], None]) -> None:
        """Told nothing in this test."""


def test_a_source_that_tells_itself_is_not_told_of_twice() -> None:
    source = Telling()
    host = Host(BEGIN, source=source).start().wait(300)
    source.silent = True
    assert told(host.wait(1200)) == [(30, "Power up", "ION9000 started")]


def test_an_own_register_that_turns_over_is_told_at_the_end_of_the_interval() -> None:
    framework = small_framework(power_meter=PowerMeterSetup(rollover=60), sources=("kWh del", "kWh del int"))
    host = Host(utc(2026, 3, 1), framework).start().wait(3600)
    assert [row.values for row in host.log()] == [
        (25_000, 25_000),
        (50_000, 25_000),
        (15_000, 25_000),
        (40_000, 25_000),
    ]
    events = [event for event in host.meter.event_log.events if event.cause == "Power Meter"]
    assert [(event.priority, event.effect, event.utc_ms) for event in events] == [
        (25, "kWh del rolled over at 60", utc(2026, 3, 1, 0, 45)),
        (25, "kVAh del+rec rolled over at 60", utc(2026, 3, 1, 0, 45)),
    ]


# Maxima, through the whole meter


class Ramp(SteadyLoad):
    """One kW more each minute, and the voltage falls."""

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        minute = (utc_ms - BEGIN) // MINUTE
        return {"kW tot": minute * 1000, "Vln a": 230_000 - minute}


def test_maxima_are_sampled_each_minute_recorded_and_outlive_a_crash() -> None:
    framework = small_framework(sources=("kW tot mx", "Vln a mn", "kW sd mx d-r", "kW tot"))
    host = Host(BEGIN, framework, Ramp(60_000)).start().wait(1500)
    assert [row.values for row in host.log()] == [
        (10_000, 229_990, 60_000, 10_000),
        (25_000, 229_975, 60_000, 25_000),
    ]
    host.restart(0).wait(0)
    assert host.meter.value("kW tot mx") == 25_000
    host.meter.master_reset(host.now)
    assert host.meter.value("kW tot mx") is None
    assert host.wait(60).meter.value("kW tot mx") == 26_000
    # A value that nobody records is not watched.
    assert host.meter.value("kW tot mn") is None


FULL = (30, "log full", "recording stopped")


def full_events(host: Host) -> list[int]:
    events = host.keep().meter.event_log.events
    return [event.utc_ms for event in events if (event.priority, event.cause, event.effect) == FULL]


def test_a_recorder_that_stops_says_so_once_and_again_when_it_was_rearmed() -> None:
    host = Host(BEGIN, small_framework(circular=False, depth=3)).start().wait(3 * 900)
    first = utc(2026, 3, 29, 1, 30)
    assert full_events(host) == [first]
    host.wait(2 * 900)
    assert full_events(host) == [first]
    host.meter.rearm("log", host.now)
    host.wait(3 * 900)
    assert full_events(host) == [first, first + 5 * 15 * MINUTE]
    assert full_events(Host(BEGIN, small_framework(depth=3)).start().wait(4 * 900)) == []


def test_one_that_the_rows_of_an_outage_fill_says_so_at_power_up() -> None:
    framework = small_framework(circular=False, depth=2, insert_outage_records=True)
    host = Host(BEGIN, framework).start()
    host.meter.power_down(host.now)
    host.jump(3600)
    host.meter.power_up(host.now)
    assert full_events(host) == [BEGIN + 60 * MINUTE]
    assert [event.utc_ms for event in host.events] == sorted(event.utc_ms for event in host.events)
