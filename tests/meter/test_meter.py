"""A whole meter without I/O: its time, its batches, its restart."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.meter.bench import BILLING, CLOCK, LOAD_PROFILE, SET_TIME, START_MS, Bench, Transport

from iondlms.ion.state import Pending
from iondlms.meter import Meter, load
from iondlms.store import Store

QUARTER_S = 900.0
TO_NEXT_ROW_S = 870.0  # from 12:00:30


def made(*settings: tuple[str, Any], **arguments: Any) -> Meter:
    return Meter(load(None, [("port.ETHERNET.unit_id", 17), *settings]), **arguments)


def rows(meter: Meter, name: str = "Load Profile") -> int:
    return meter.ion.recorders[name].log.count


def test_rows_come_at_their_boundaries() -> None:
    meter = made()
    meter.start(START_MS, 50.0)
    assert rows(meter) == 0
    meter.advance(50.0 + TO_NEXT_ROW_S - 0.001)
    assert rows(meter) == 0
    meter.advance(50.0 + TO_NEXT_ROW_S)
    assert rows(meter) == rows(meter, "Billing") == 1
    meter.advance(50.0 + TO_NEXT_ROW_S + 10 * QUARTER_S)
    assert rows(meter) == 11


def test_a_reader_sees_what_is_due_though_nobody_has_woken_the_meter() -> None:
    bench = Bench("wrapper", settings=(("port.ETHERNET.inactivity", 86400),))
    bench.associate()
    bench.now += TO_NEXT_ROW_S
    assert bench.value(7, LOAD_PROFILE, 7).integer() == 21
    assert len(bench.rows()) == 21


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0, 3600.0])
def test_speed(speed: float) -> None:
    meter = made(speed=speed)
    meter.start(START_MS, 10.0)
    meter.advance(10.0 + 60.0)
    assert meter.ion.at_ms == START_MS + round(60_000 * speed)
    assert rows(meter) == (60 * speed + 30) // 900


def test_next_deadline_is_in_the_time_of_the_caller() -> None:
    for speed in (1.0, 60.0):
        meter = made(speed=speed)
        meter.start(START_MS, 10.0)
        for _ in range(100):
            deadline = meter.next_deadline()
            assert deadline is not None
            before = meter.ion.at_ms
            meter.advance(deadline)
            assert meter.ion.at_ms > before or deadline == 10.0
        assert rows(meter) >= 1


def test_run_at_changes_the_speed_from_then_on() -> None:
    meter = made()
    meter.start(START_MS, 0.0)
    meter.advance(10.0)
    meter.run_at(100.0, 10.0)
    meter.advance(11.0)
    assert meter.ion.at_ms == START_MS + 110_000
    meter.run_at(0.0, 11.0)
    assert meter.next_deadline() is None
    meter.advance(1000.0)
    assert meter.ion.at_ms == START_MS + 110_000
    meter.run_at(1.0, 2000.0)
    meter.advance(2005.0)
    assert meter.ion.at_ms == START_MS + 115_000


def test_the_clock_can_be_set_at_any_speed() -> None:
    bench = Bench("wrapper", 1)
    bench.associate()
    bench.meter.run_at(60.0, bench.now)
    assert bench.apdu("C101C100080000010000FF0200090C07EA0B16FF0C223800000000") == bytes.fromhex("C501C100")
    bench.now += 1.0
    assert bench.value(8, CLOCK).octets()[5:8].hex() == "0c2338"


def test_nothing_is_seen_before_it_is_published() -> None:
    batches: list[Pending] = []
    meter = made(commit=batches.append)
    meter.start(START_MS, 0.0)
    meter.advance(TO_NEXT_ROW_S)
    meter.advance(TO_NEXT_ROW_S + QUARTER_S)
    assert rows(meter) == 0
    assert len(batches) >= 3
    seen = []
    for batch in batches:
        meter.publish(batch)
        seen.append(rows(meter))
    assert seen == sorted(seen)
    assert seen[-1] == 2


def test_merged_batches_are_the_same_as_single_ones() -> None:
    batches: list[Pending] = []
    meter = made(commit=batches.append)
    meter.start(START_MS, 0.0)
    for number in range(5):
        meter.advance(TO_NEXT_ROW_S + number * QUARTER_S)
    first, *rest = batches
    for batch in rest:
        first.merge(batch)
    meter.publish(first)
    assert rows(meter) == 5
    assert len(meter.ion.recorders["Load Profile"].log.instants(0, 99)) == 5


@pytest.mark.parametrize("history", [1, 20, 5000])
def test_history_makes_rows_and_room_for_them(history: int) -> None:
    meter = made(("history", history))
    meter.start(START_MS, 0.0)
    recorder = meter.ion.recorders["Load Profile"]
    assert recorder.log.count == history
    assert recorder.depth == max(history, 3360)
    instants = recorder.log.instants(0, 1 << 40)
    assert instants[-1] == START_MS - 30_000
    assert {b - a for a, b in itertools.pairwise(instants)} <= {900_000}


def test_a_year_of_load_profile() -> None:
    meter = made(("history", 35_040))
    meter.start(START_MS, 0.0)
    assert rows(meter) == rows(meter, "Billing") == 35_040


def test_the_right_to_set_is_that_of_the_time_sync_source() -> None:
    for source, writable in (("ETHERNET", True), ("ethernet", True), ("COM1", False)):
        meter = made(("clock.time_sync_source", source))
        client = meter.application("ETHERNET").clients[1]
        assert bool(client.writable) is writable
        assert not meter.application("ETHERNET").clients[16].writable


def test_equal_seeds_make_equal_meters() -> None:
    buffers = []
    for seed in (1, 1, 2):
        meter = made(("history", 96), ("seed", seed))
        meter.start(START_MS, 0.0)
        buffers.append(meter.ion.recorders["Load Profile"].log.packed(0, 1000))
    assert buffers[0] == buffers[1] != buffers[2]


# --- what outlives a power cut --------------------------------------------------------------------------


def run(store: Store, utc_ms: int, seconds: float, *, killed: bool, history: int = 0) -> Meter:
    """Let a meter run on a store, and end it in good order or not at all."""
    meter = made(("history", history))

    def commit(batch: Pending) -> None:
        store.write(batch)
        meter.publish(batch)

    meter._commit = commit
    meter.start(utc_ms, 0.0, store.load())
    meter.advance(seconds)
    if not killed:
        meter.power_down(seconds)
    return meter


@pytest.mark.parametrize("killed", [True, False])
def test_rb_11_power_cycle(tmp_path: Path, killed: bool) -> None:
    with Store.open(tmp_path) as store:
        first = run(store, START_MS, TO_NEXT_ROW_S, killed=killed, history=20)
        before = first.ion.recorders["Load Profile"].log.packed(0, 1000)
        assert rows(first) == 21
    with Store.open(tmp_path) as store:
        second = run(store, START_MS + 3_600_000, 0.0, killed=True)
        log = second.ion.recorders["Load Profile"].log
        assert log.packed(0, 1000) == before
        second.advance(QUARTER_S)
        assert log.count == 22
        assert second.ion.recorders["Load Profile"].latest_status == 0x00C0
        second.advance(2 * QUARTER_S)
        assert second.ion.recorders["Load Profile"].latest_status == 0
        for name in ("kWh del", "kVARh rec"):
            value, earlier = second.ion.value(name), first.ion.value(name)
            assert value is not None
            assert earlier is not None
            assert value > earlier


def test_history_is_made_once(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        assert rows(run(store, START_MS, 0.0, killed=False, history=20)) == 20
    with Store.open(tmp_path) as store:
        meter = run(store, START_MS + 60_000, 0.0, killed=False, history=5000)
        assert rows(meter) == 20
        assert meter.ion.recorders["Load Profile"].depth == 5000


def test_a_set_clock_stays_set(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        meter = run(store, START_MS, 0.0, killed=True)
        meter.ion.set_time(START_MS + 86_400_000, 0.0, "ETHERNET")
        meter.advance(0.0)
    with Store.open(tmp_path) as store:
        assert run(store, START_MS + 5000, 0.0, killed=False).ion.at_ms == START_MS + 86_405_000


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_a_clock_set_by_a_client_is_kept_before_it_is_told(transport: Transport) -> None:
    bench = Bench(transport, 1)
    bench.enter("A" if transport == "hdlc" else "TA")
    batches: list[Pending] = []
    bench.meter._commit = batches.append
    assert bench.apdu(SET_TIME) == bytes.fromhex("C501C100")
    (batch,) = batches
    assert batch.state is not None
    assert batch.state.offset_ms == bench.meter.present_ms(bench.now) - START_MS != 0
    assert [event.cause for event in batch.events] == ["Time set over ETHERNET"]


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_the_event_of_a_refused_set_is_kept_as_soon_as_it_is_answered(transport: Transport) -> None:
    # Nothing else is due then: without its own look after a SET the meter would keep it minutes later.
    bench = Bench(transport, 1)
    bench.enter("A" if transport == "hdlc" else "TA")
    batches: list[Pending] = []
    bench.meter._commit = batches.append
    month_13 = SET_TIME.replace("07EA0B16", "07EA0D16")
    assert bench.apdu(month_13) == bytes.fromhex("C501C1FA")  # other-reason
    (batch,) = batches
    ((cause, effect),) = [(event.cause, event.effect) for event in batch.events]
    assert cause == "Time set over ETHERNET"
    assert effect.startswith("client 1 refused: ")
    assert bench.meter.next_deadline() != bench.now


def test_a_changed_recorder_starts_anew(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        run(store, START_MS, 0.0, killed=False, history=20)
    with Store.open(tmp_path) as store:
        meter = made(("load_profile.depth", 100))
        meter.start(START_MS + 1000, 0.0, store.load())
        assert rows(meter) == 0
        assert rows(meter, "Billing") == 20


def test_power_down_leaves_nothing_behind() -> None:
    batches: list[Pending] = []
    meter = made(commit=batches.append)
    meter.start(START_MS, 0.0)
    count = len(batches)
    meter.power_down(TO_NEXT_ROW_S)
    (last,) = batches[count:]
    assert "Load Profile" in last.rows
    assert last.state is not None
    assert not last.state.powered
    assert [event.cause for event in last.events][-1] == "Power down"


def test_billing_has_its_own_period() -> None:
    bench = Bench("wrapper")
    bench.associate()
    assert len(bench.rows(BILLING)) == 3
