"""Records in time: alignment, status bits, clock steps, DST, power cuts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.ion.builders import HOUR, MINUTE, QUARTER, Host, small_framework, utc

from iondlms.errors import LocalError, OtherReason, ReadWriteDenied
from iondlms.ion import ClockSetup, Framework, IonMeter, Priority, Status, setup_from_zone

BEGIN = utc(2026, 3, 10, 10, 5)
CHANGED = Status.TIME_CHANGED
OUTAGE = Status.POWER_DOWN | Status.POWER_UP


def started(framework: Framework | None = None, begin: int = BEGIN) -> Host:
    return Host(begin, framework).start()


def test_rows_are_aligned_to_the_hour_and_the_first_says_power_up() -> None:
    host = started().wait(3600)
    assert host.stamps() == ["10:15", "10:30", "10:45", "11:00"]
    assert host.statuses() == [Status.POWER_UP, 0, 0, 0]


def test_a_row_on_the_very_instant_of_the_start_is_not_made() -> None:
    assert started(begin=utc(2026, 3, 10, 10, 15)).wait(900).stamps() == ["10:30"]


def test_hours_are_the_meters_own_in_a_zone_of_half_hours() -> None:
    kolkata = setup_from_zone("Asia/Kolkata", 2026)
    assert (kolkata.tz_offset_min, kolkata.dst_pairs) == (330, ())
    assert started(small_framework(clock=kolkata, period_s=3600)).wait(7200).stamps() == ["10:30", "11:30"]


def test_nothing_is_seen_before_it_is_published() -> None:
    host = started()
    batch = host.meter.advance(host.now + 3600)
    assert batch.rows["log"].end == 4
    assert host.log() == []
    host.meter.publish(batch)
    assert len(host.log()) == 4


def test_publishing_out_of_order_is_refused_and_loses_nothing() -> None:
    host = started().wait(900)
    host.meter.advance(host.now + 900)  # lost by a careless host
    later = host.meter.advance(host.now + 1800)
    with pytest.raises(LocalError, match="published"):
        host.meter.publish(later)
    assert len(host.log()) == 1


def test_batches_that_could_not_be_kept_are_tried_again_as_one() -> None:
    host = started(small_framework(depth=3))
    batch = host.meter.advance(host.now + 900)
    for step in range(2, 10):
        batch.merge(host.meter.advance(host.now + 900 * step))
    assert len(batch.rows["log"].octets) == 3 * batch.rows["log"].stride
    host.meter.publish(batch)
    assert [row.utc_ms for row in host.log()] == [BEGIN + 10 * MINUTE + n * QUARTER for n in (6, 7, 8)]


def test_a_batch_that_clears_takes_the_place_of_the_rows_before_it() -> None:
    host = started()
    batch = host.meter.advance(host.now + 1800)
    host.meter.master_reset(host.now + 1800)
    batch.merge(host.meter.advance(host.now + 2700))
    host.meter.publish(batch)
    assert host.stamps() == ["10:45"]
    assert host.meter.recorders["log"].log.first == 2


# (name, minutes waited, step, rows after it, which carries bit 5)
STEPS = [
    ("forward within the interval", 5, 4 * MINUTE, ["10:15", "10:30", "10:45"], 0),
    ("forward over one boundary", 5, 10 * MINUTE, ["10:30", "10:45", "11:00"], 0),
    ("forward over five boundaries", 5, 75 * MINUTE, ["11:30", "11:45", "12:00"], 0),
    ("forward onto a boundary", 0, 10 * MINUTE, ["10:30", "10:45", "11:00"], 0),
    ("back within the interval", 5, -4 * MINUTE, ["10:15", "10:30", "10:45"], 0),
    ("back over a boundary", 12, -10 * MINUTE, ["10:15", "10:15", "10:30", "10:45"], 1),
    ("back onto a boundary", 25, -15 * MINUTE, ["10:15", "10:30", "10:30", "10:45", "11:00"], 2),
]


@pytest.mark.parametrize(("name", "after_min", "step_ms", "stamps", "marked"), STEPS)
def test_steps(name: str, after_min: int, step_ms: int, stamps: list[str], marked: int) -> None:
    host = started().wait(after_min * 60)
    clock = host.meter.clock
    assert host.meter.set_time(clock.utc_ms(host.now) + step_ms, host.now, "ethernet") == step_ms, name
    host.wait(46 * 60 if "onto" not in name else 45 * 60)
    assert host.stamps()[: len(stamps)] == stamps, name
    statuses = host.statuses()
    statuses[0] &= ~Status.POWER_UP
    assert [index for index, status in enumerate(statuses) if status] == [marked], name
    assert statuses[marked] == CHANGED


@pytest.mark.parametrize(("step_ms", "bits"), [(1000, 0), (-1000, 0), (1001, CHANGED), (-1001, CHANGED)])
def test_only_a_step_above_the_threshold_is_marked(step_ms: int, bits: int) -> None:
    host = started().wait(900)
    host.meter.set_time(host.meter.clock.utc_ms(host.now) + step_ms, host.now, "ETHERNET")
    assert host.wait(905).statuses()[-1] == bits


def test_energy_is_what_flowed_and_not_what_the_clock_says() -> None:
    host = started().wait(600)
    host.meter.set_time(BEGIN + 24 * HOUR, host.now, "ETHERNET")
    host.wait(600)
    host.meter.set_time(BEGIN, host.now, "ETHERNET")
    host.wait(2400)
    assert host.load.asked_ms == HOUR
    assert host.meter.value("kWh del") == 100_000


def test_the_time_is_taken_on_the_time_sync_source_only() -> None:
    host = started(small_framework(clock=ClockSetup(time_sync_source="COM1")))
    with pytest.raises(ReadWriteDenied):
        host.meter.set_time(BEGIN + HOUR, host.now, "ETHERNET")
    with pytest.raises(OtherReason):
        host.meter.set_time(utc(2200, 1, 1), host.now, "COM1")
    assert host.meter.clock.utc_ms(host.now) == BEGIN
    host.wait(900)
    assert not host.statuses()[0] & CHANGED


def test_a_set_clock_stays_set_over_a_restart() -> None:
    host = started().wait(60)
    host.meter.set_time(host.utc_ms + 7 * MINUTE, host.now, "ETHERNET")
    host.keep().restart(600)
    assert host.meter.clock.utc_ms(host.now) == host.utc_ms + 7 * MINUTE


def test_far_years_roll_over() -> None:
    host = started()
    host.meter.set_time(utc(2099, 12, 31, 23, 59, 59), host.now, "ETHERNET")
    assert host.wait(1).meter.clock.utc_ms(host.now) == utc(2100, 1, 1)
    assert host.stamps() == ["00:00"]


# (zone, start and end of DST in 2026, in UTC)
ZONES = [
    ("Europe/Madrid", (2026, 3, 29, 1), (2026, 10, 25, 1)),
    ("Pacific/Auckland", (2026, 9, 26, 14), (2026, 4, 4, 14)),
]


@pytest.mark.parametrize(("zone", "begins", "ends"), ZONES)
def test_dst_makes_neither_gap_nor_double_and_marks_one_row(
    zone: str, begins: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    clock = setup_from_zone(zone, 2025)
    for instant, bit in ((utc(*begins), Status.DST_STARTED), (utc(*ends), Status.DST_ENDED)):
        host = started(small_framework(clock=clock), instant - HOUR + MINUTE).wait(2 * 3600)
        rows = host.log()
        assert {later.utc_ms - row.utc_ms for row, later in pairwise(rows)} == {QUARTER}
        assert [(row.utc_ms, row.status) for row in rows[1:] if row.status] == [(instant, bit)]


def test_dst_that_changes_during_an_outage_is_marked_after_it() -> None:
    host = started(small_framework(clock=setup_from_zone("Europe/Madrid", 2025)), utc(2026, 3, 29, 0, 50))
    host.keep().restart(3600).wait(900)
    assert host.statuses() == [OUTAGE | Status.DST_STARTED]


def test_an_outage_leaves_a_gap_and_marks_the_next_row() -> None:
    host = started().wait(1200).restart(2400).wait(1800)
    assert host.stamps() == ["10:15", "11:15", "11:30"]
    assert host.statuses() == [Status.POWER_UP, OUTAGE, 0]
    assert [event.cause for event in host.meter.event_log.events] == ["Power up", "Power down", "Power up"]


def test_a_crash_is_dated_to_the_last_heartbeat() -> None:
    host = started().wait(930).restart(5)
    down = next(event for event in host.meter.event_log.events if event.cause == "Power down")
    assert BEGIN + 870_000 <= down.utc_ms <= BEGIN + 930_000


def test_a_power_cut_within_the_interval_is_marked_too() -> None:
    host = started().wait(900)
    host.meter.power_down(host.now)
    assert host.keep().meter.next_deadline() is None
    host.jump(30)
    asked = host.load.asked_ms
    host.meter.power_up(host.now)
    assert host.load.asked_ms == asked
    assert host.wait(900).statuses() == [Status.POWER_UP, OUTAGE]


def test_a_graceful_stop_is_one_power_down() -> None:
    host = started().wait(900)
    host.meter.power_down(host.now)
    host.keep().restart(60)
    assert [event.cause for event in host.meter.event_log.events] == ["Power up", "Power down", "Power up"]


def test_missing_rows_are_filled_where_insert_outage_records_is_on() -> None:
    host = started(small_framework(insert_outage_records=True)).wait(1200).restart(2400).wait(900)
    assert host.stamps() == ["10:15", "10:30", "10:45", "11:00", "11:15"]
    assert host.statuses() == [Status.POWER_UP, *[Status.POWER_DOWN] * 3, OUTAGE]
    for row in host.log()[1:4]:
        assert set(row.values) == {0}


def test_an_outage_of_years_fills_no_more_than_the_ring() -> None:
    host = started(small_framework(period_s=1, depth=20, insert_outage_records=True)).wait(5)
    host.restart(10 * 365 * 86_400)
    assert len(host.log()) == 20
    assert host.log()[-1].utc_ms == host.utc_ms


def test_a_master_reset_zeroes_registers_clears_logs_and_is_marked_once() -> None:
    host = started().wait(3600)
    host.meter.master_reset(host.now)
    assert (host.meter.value("kWh del"), host.meter.value("kW sd del-rec")) == (0, None)
    host.wait(1800)
    assert host.statuses() == [Status.MASTER_RESET, 0]
    assert host.log()[0].values[0] == host.log()[0].values[1] == 16_667


def test_status_is_invalid_where_no_periodic_timer_drives_record() -> None:
    host = started(begin=utc(2026, 3, 31, 23, 50)).wait(900)
    assert host.meter.pulse("hand", host.now)
    with pytest.raises(LocalError, match="hand"):
        host.meter.pulse("hnad", host.now)
    assert host.keep().statuses("hand") == [0xFFFF]
    assert host.statuses("months") == [0xFFFF]
    assert host.stamps("months") == ["00:00"]
    assert [host.meter.recorders[name].period_s for name in ("log", "months", "hand")] == [900, 0, 0]


def test_a_pulse_by_hand_leaves_the_bits_to_the_next_timed_row() -> None:
    host = started()
    host.meter.pulse("log", host.now)
    assert host.wait(900).statuses() == [0xFFFF, Status.POWER_UP]


def test_stop_when_full_stops_and_rearm_clears() -> None:
    host = started(small_framework(circular=False, depth=2)).wait(3600)
    assert host.stamps() == ["10:15", "10:30"]
    assert not host.meter.pulse("log", host.now)
    host.meter.rearm("log", host.now)
    host.wait(3600)
    assert host.stamps() == ["11:15", "11:30"]
    assert host.restart(60).wait(3600).stamps() == ["11:15", "11:30"]


def test_circular_keeps_the_newest_and_ignores_rearm() -> None:
    host = started(small_framework(depth=2)).wait(3600)
    host.meter.rearm("log", host.now)
    assert host.keep().stamps() == ["10:45", "11:00"]


def reshaped(**changes: object) -> Framework:
    base = small_framework()
    first = replace(base.data_recorders[0], **changes)  # type: ignore[arg-type]
    return replace(base, data_recorders=(first, *base.data_recorders[1:]))


@pytest.mark.parametrize(
    "changed",
    [
        reshaped(sources=("kWh del",)),
        reshaped(depth=101),
        reshaped(circular=False),
        reshaped(insert_outage_records=True),
        reshaped(record_input="month end"),
    ],
)
def test_a_changed_recorder_loses_its_log_and_no_other(changed: Framework) -> None:
    host = started().wait(3600)
    host.meter.pulse("hand", host.now)
    host.keep().restart(60, lambda _: changed)
    assert host.log() == []
    assert len(host.log("hand")) == 1
    assert "log changed" in [event.cause for event in host.meter.event_log.events]
    host.wait(1800).restart(60)
    assert len(host.log()) == (0 if changed.data_recorders[0].record_input == "month end" else 2)


def test_history_deepens_once_and_stays_over_a_restart_without_it() -> None:
    host = Host(BEGIN).start(history_rows=500).wait(900)
    assert len(host.log()) == 500
    assert host.log()[-1].utc_ms == BEGIN + 10 * MINUTE
    assert set(host.statuses()) == {0}
    assert len(host.restart(60).log()) == 500
    host.meter = type(host.meter)(host.framework, host.load)
    host.start(history_rows=400)
    assert len(host.log()) == 500


def test_a_running_meter_cannot_be_started() -> None:
    host = started()
    with pytest.raises(LocalError):
        host.meter.start(BEGIN, host.now)
    with pytest.raises(LocalError):
        host.meter.power_up(host.now)
    host.meter.power_down(host.now)
    with pytest.raises(LocalError):
        host.meter.power_down(host.now)


def test_the_state_is_handed_out_at_each_heartbeat_and_never_without_one() -> None:
    host = started()
    host.now += 59
    assert host.meter.advance(host.now).state is None
    assert host.meter.next_deadline() == host.now + 1
    host.now += 1
    state = host.meter.advance(host.now).state
    assert state is not None
    assert state.alive_ms == BEGIN + MINUTE
    quiet = IonMeter(host.framework, host.load, heartbeat_s=None)
    quiet.start(BEGIN, 0.0)
    assert quiet.advance(0.0)
    assert quiet.next_deadline() == 300.0  # the demand's sub-interval
    assert not quiet.advance(599.0)


def test_where_nobody_keeps_it_the_state_is_made_for_what_moves_the_next_deadline_alone() -> None:
    kept = started()
    meter = IonMeter(kept.framework, kept.load, keeps_state=False)
    meter.start(BEGIN, 0.0)
    first = meter.advance(0.0)
    assert first.state is not None
    meter.publish(first)
    for beat in (60.0, 120.0):  # which go on, and hand out nothing
        assert meter.pass_time(beat - 1)
        assert meter.next_deadline() == beat
        assert not meter.pass_time(beat)
        assert not meter.advance(beat)
    meter.log_event(Priority.WARNING, "Password", "refused", 121.0)
    assert not meter.pass_time(121.0)
    batch = meter.advance(121.0)
    assert (len(batch.events), batch.state) == (1, None)
    meter.publish(batch)
    assert meter.pass_time(122.0)
    meter.set_time(BEGIN + 170_000, 123.0, "ETHERNET")
    state = meter.advance(123.0).state
    assert state is not None
    assert state.alive_ms == BEGIN + 170_000


def test_a_host_is_woken_at_once_for_what_a_reader_did() -> None:
    host = started()
    host.meter.log_event(Priority.WARNING, "Password", "refused", host.now)
    assert host.meter.next_deadline() == host.now
    host.keep()
    assert host.meter.event_log.events[-1][1:] == (BEGIN, 30, "Password", "refused")
    assert host.meter.next_deadline() == host.now + 60


def test_demand_after_an_outage_knows_nothing_of_before() -> None:
    host = started().wait(900)
    host.load.active_w = 40_000
    host.meter.power_down(host.now)
    host.jump(600)
    host.meter.power_up(host.now)
    assert host.keep().meter.value("kW sd del-rec") is None
    assert host.wait(300).meter.value("kW sd del-rec") == 40_000
    host.load.active_w = 20_000
    assert host.restart(600).meter.value("kW sd del-rec") is None
    assert host.wait(300).meter.value("kW sd del-rec") == 20_000


def test_a_step_over_a_dst_switch_is_marked_as_both() -> None:
    host = started(small_framework(clock=setup_from_zone("Europe/Madrid", 2025))).wait(900)
    host.meter.set_time(utc(2026, 7, 1, 10), host.now, "ETHERNET")
    assert host.wait(1800).statuses()[1:] == [CHANGED | Status.DST_STARTED, 0]
