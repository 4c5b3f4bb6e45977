"""However time is cut, the same happens; a restart goes on; a year takes no time."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.ion.builders import HOUR, QUARTER, Host, SteadyLoad, small_framework, utc

from iondlms.ion import IonMeter, Priority, Saved, Status, default_framework, setup_from_zone
from iondlms.sources import SimulatedLoad

BEGIN = utc(2026, 3, 28, 22, 7) + 321
FRAMEWORK = small_framework(clock=setup_from_zone("Europe/Madrid", 2025))


def simulated(seed: int = 3) -> SimulatedLoad:
    return SimulatedLoad(seed, step_s=300)


def silent() -> SteadyLoad:
    load = SteadyLoad()
    load.silent = True
    return load


WHAT = ("look", "read", "source", "silent", "step", "cut", "reset")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 5000.0), max_size=40))
def test_one_go_is_many_small_steps(waits: list[float]) -> None:
    slow = Host(BEGIN, FRAMEWORK, simulated()).start()
    for seconds in waits:
        slow.jump(seconds)
    fast = Host(BEGIN, FRAMEWORK, simulated()).start()
    fast.now = slow.now
    fast.keep()
    assert fast.rows == slow.rows
    assert fast.events == slow.events
    assert fast.meter.state == slow.meter.state


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.0, 900.0), st.sampled_from(WHAT)),
        max_size=25,
    )
)
@example([(9.0, "silent"), (60.0, "source"), (20.0, "look"), (900.0, "look"), (900.0, "look")])
def test_time_that_only_passes_is_counted_when_somebody_looks(story: list[tuple[float, str]]) -> None:
    lazy = Host(BEGIN, FRAMEWORK, simulated()).start()
    eager = Host(BEGIN, FRAMEWORK, simulated()).start()
    for number, (seconds, what) in enumerate(story):
        for host in (lazy, eager):
            host.now += seconds
        if not lazy.meter.pass_time(lazy.now):
            lazy.keep()
        eager.keep()
        assert lazy.meter.at_ms == eager.meter.at_ms
        for host in (lazy, eager):
            meter = host.meter
            match what:
                case "read":
                    assert meter.value("kWh del") == eager.meter.value("kWh del")
                case "source":
                    meter.count()
                    meter.power_meter.source = simulated(number)
                case "silent":
                    meter.count()
                    meter.power_meter.source = silent()
                case "step":
                    meter.set_time(meter.at_ms + 3_000, host.now, "ETHERNET")
                case "cut":
                    meter.power_down(host.now)
                    host.keep()
                    meter.power_up(host.now + 1)
                case "reset":
                    meter.master_reset(host.now)
        for host in (lazy, eager):
            if what not in ("look", "read"):
                host.keep()
    for host in (lazy, eager):
        host.keep()  # that a source is silent is noticed, and told, when it is looked at
    assert lazy.meter.state == eager.meter.state
    assert lazy.rows == eager.rows
    assert lazy.events == eager.events


def test_an_event_of_the_host_comes_with_the_time_until_which_the_meter_was_alive() -> None:
    host = Host(BEGIN, FRAMEWORK, simulated()).start()
    host.now += 7.0
    assert host.meter.pass_time(host.now)
    host.meter.log_event(Priority.INFORMATION, "Association", "opened", host.now)
    batch = host.meter.advance(host.now)
    assert batch.events[-1].utc_ms == BEGIN + 7_000
    assert batch.state is not None
    assert batch.state.alive_ms == BEGIN + 7_000  # a power cut after it is not told as one before it


def test_time_passes_by_itself_until_something_is_due() -> None:
    meter = Host(BEGIN, FRAMEWORK, simulated()).start().meter
    due = meter.next_deadline()
    assert due is not None
    before = meter.power_meter.state
    assert meter.pass_time(due - 0.01)
    assert meter.power_meter.state == before  # nobody has looked
    assert meter.state.power_meter != before
    assert not meter.pass_time(due)
    meter.power_down(due)
    assert not meter.pass_time(due + 1)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["wait", "step", "restart", "cut", "reset"]), st.integers(-7200, 7200)),
        max_size=12,
    )
)
def test_whatever_happens_rows_keep_the_rules(story: list[tuple[str, int]]) -> None:
    host = Host(BEGIN, FRAMEWORK, simulated()).start()
    for what, number in story:
        if what == "wait":
            host.wait(abs(number))
        elif what == "step":
            host.meter.set_time(host.meter.at_ms + number * 1000, host.now, "ETHERNET")
            host.keep()
        elif what == "restart":
            host.restart(abs(number))
        elif what == "cut":
            host.meter.power_down(host.now)
            host.jump(abs(number))
            host.meter.power_up(host.now)
            host.keep()
        else:
            host.meter.master_reset(host.now)
            host.keep()
    host.wait(1800)
    rows = host.log()
    named = sum(Status)
    for row in rows:
        assert row.utc_ms % QUARTER == 0
        assert row.status & ~named == 0
    for row, later in itertools.pairwise(rows):
        interval, register = later.values[0], later.values[1]
        assert interval is not None
        assert register is not None
        assert row.values[1] is not None
        assert interval == register - row.values[1]
        if later.utc_ms != row.utc_ms + QUARTER:
            assert later.status & (Status.TIME_CHANGED | Status.POWER_UP)


def test_a_kept_meter_goes_on_as_the_one_that_was_not_stopped() -> None:
    host = Host(BEGIN, FRAMEWORK, simulated()).start().wait(HOUR // 1000 * 30)
    assert host.saved is not None
    host.meter.power_down(host.now)
    host.keep()
    again = IonMeter(FRAMEWORK, simulated())
    again.start(host.utc_ms, host.now, host.saved)
    assert again.state == replace(
        host.meter.state,
        powered=True,
        next_event=host.meter.state.next_event + 1,
        recorders={
            name: replace(each, bits=each.bits | Status.POWER_DOWN | Status.POWER_UP)
            for name, each in host.meter.state.recorders.items()
        },
    )
    for name, recorder in again.recorders.items():
        log, old = recorder.log, host.meter.recorders[name].log
        assert log.packed(0, log.end) == old.packed(0, old.end)
    assert again.event_log.events == tuple(host.events)


def test_a_year_of_load_profile_is_made_at_once_and_adds_up() -> None:
    meter = IonMeter(default_framework("ION9000"), simulated())
    now_ms = utc(2026, 11, 22, 12, 34, 56)
    meter.start(now_ms, 0.0, history_rows=35_040)
    meter.publish(meter.advance(0.0))
    load, billing = meter.recorders["Load Profile"], meter.recorders["Billing"]
    assert (load.log.count, billing.log.count) == (35_040, 35_040)
    stamps = load.log.instants(0, 35_040)
    assert (stamps[-1], stamps[0]) == (
        utc(2026, 11, 22, 12, 30),
        utc(2026, 11, 22, 12, 30) - 35_039 * QUARTER,
    )
    assert {later - stamp for stamp, later in itertools.pairwise(stamps)} == {QUARTER}
    last = next(billing.rows(35_039, 35_040)).values
    sums = [0] * 4
    for row in load.rows(0, 35_040):
        sums = [total + (value or 0) for total, value in zip(sums, row.values, strict=True)]
    # kWh del, kVARh del, kWh rec, kVARh rec against the registers
    assert sums == [last[0], last[3], last[1], last[4]]
    assert min(sums) > 1_000_000


def test_history_is_what_a_meter_would_have_recorded_that_ran_all_along() -> None:
    late = IonMeter(FRAMEWORK, simulated())
    late.start(BEGIN, 0.0, history_rows=96)
    history = late.advance(0.0)
    early = IonMeter(FRAMEWORK, simulated())
    early.start(BEGIN - BEGIN % QUARTER - 96 * QUARTER, 0.0)
    for recorder in early.recorders.values():
        recorder.bits = Status(0)
    live = early.advance((BEGIN % QUARTER + 96 * QUARTER) / 1000)
    assert history.rows["log"].octets == live.rows["log"].octets
    assert history.rows["log"].end == 96
    assert late.power_meter.state == early.power_meter.state


def test_history_is_made_for_a_kept_meter_that_has_no_records_yet() -> None:
    host = Host(BEGIN, FRAMEWORK, simulated()).start()
    assert isinstance(host.saved, Saved)
    host.meter = IonMeter(FRAMEWORK, simulated())
    host.start(history_rows=50)
    assert (len(host.log()), host.meter.recorders["log"].depth) == (50, 100)
