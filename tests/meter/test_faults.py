"""Faults on demand, as our own client sees them: what it says, and how it comes through."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.meter.suffering import HDLC, LOAD_PROFILE, PASSWORD, START, START_MS, WRAPPER, Bench

from iondlms.client import blocking
from iondlms.client.errors import AssociationRefused, ServiceRefused
from iondlms.errors import AccessError, DlmsError, LocalError, PortError, RemoteError
from iondlms.hdlc import Deframer, Frame, Kind
from iondlms.ion import Flow, Registers
from iondlms.meter.config import ConfigError, load
from iondlms.meter.fault_rules import ACTIONS
from iondlms.meter.fault_sections import FaultRuleSection
from iondlms.meter.site import Site, load_site
from iondlms.meter.tap import Tap
from iondlms.ports.bus import BusEndpoint
from iondlms.ports.memory import NullModem
from iondlms.ports.modem import ModemEndpoint, ModemSetup, ModemState

NAME = "0-0:42.0.0*255"
CLOCK = "0-0:1.0.0*255"


def kinds(bench: Bench) -> list[Kind]:
    """What the client heard, frame by frame."""
    return [frame.kind for frame in Deframer().feed(b"".join(bench.heard))]


def told(bench: Bench, number: int = 1) -> dict[str, Any]:
    return next(each for each in bench.meter.faults.told(bench.now) if each.get("number") == number)


# --- answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "late_s"),
    [
        ({"action": "drop"}, 2.0),
        ({"action": "ignore"}, 2.0),
        ({"action": "damage"}, 2.0),
        ({"action": "damage", "octet": -3, "mask": 0xFF}, 2.0),
        ({"action": "truncate"}, 2.0),
        ({"action": "truncate", "octets": 3}, 2.0),
        ({"action": "delay", "duration": "1500ms"}, 1.5),
        ({"action": "double"}, 0.0),
        ({"action": "silence", "duration": "5s"}, 6.0),
        ({"action": "busy", "duration": "3s"}, 3.0),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
def test_the_client_comes_through_with_the_right_value(rule: dict[str, Any], late_s: float) -> None:
    plain, bench = Bench(), Bench({**rule, "service": "get"})
    with plain.client() as client:
        expected = client.get(NAME)
    with bench.client() as client:
        before = bench.now
        assert client.get(NAME) == expected
        assert bench.now - before == pytest.approx(late_s, abs=0.6)
        assert client.get(NAME) == expected
    assert (told(bench)["fired"], told(bench)["state"]) == (1, "done")
    assert bench.tap.armed == 0


def test_three_answers_in_a_row() -> None:
    bench = Bench()
    with bench.client() as client:
        bench.arm(action="drop", count=3)
        client.get(NAME)
        assert bench.now == pytest.approx(6.0)


@pytest.mark.parametrize("action", ["drop", "damage", "truncate", "ignore"])
def test_a_whole_profile_is_read_over_a_line_that_loses_frames(action: str) -> None:
    with Bench().client() as client:
        expected = client.get(LOAD_PROFILE)
    bench = Bench({"action": action, "probability": 0.2, "count": 0, "seed": 7})
    with bench.client() as client:
        assert client.get(LOAD_PROFILE) == expected
    assert told(bench)["fired"] >= 3
    assert told(bench)["left"] is None


def test_each_nth_frame_after_some() -> None:
    bench = Bench({"action": "drop", "service": "get", "after": 2, "nth": 3, "count": 2})
    with bench.client() as client:
        late = []
        for _ in range(10):
            before = bench.now
            client.get(NAME)
            late.append(round(bench.now - before))
    assert late == [0, 0, 0, 0, 2, 0, 0, 2, 0, 0]


def test_only_the_object_that_is_named() -> None:
    bench = Bench({"action": "drop", "service": "get", "obis": CLOCK, "attribute": 3})
    with bench.client() as client:
        client.get(NAME)
        client.get(CLOCK)
        assert bench.now == 0
        client.get(CLOCK, 3)
        assert bench.now == 2


def test_a_block_belongs_to_the_object_whose_get_was_heard() -> None:
    bench = Bench({"action": "drop", "service": "get-next", "obis": LOAD_PROFILE})
    with bench.client() as client:
        client.get(LOAD_PROFILE)
    assert told(bench)["fired"] == 1


def test_only_the_client_that_is_named() -> None:
    bench = Bench({"action": "drop", "client": 1})
    with bench.client() as client:
        client.get(NAME)
    assert told(bench)["seen"] == 0
    with bench.client(HDLC + "&client=1", PASSWORD):
        assert told(bench)["fired"] == 1


def test_a_rule_for_another_port_does_nothing() -> None:
    bench = Bench()
    bench.arm(action="drop", port="COM1")
    with bench.client() as client:
        client.get(NAME)
    assert (bench.now, told(bench)["seen"]) == (0, 0)


def test_what_lasts_for_some_time_ends() -> None:
    bench = Bench()
    with bench.client() as client:
        bench.arm(action="delay", duration=1, lasts="10s", count=0)
        client.get(NAME)
        assert bench.now == 1
        bench.wait(10)
        before = bench.now
        client.get(NAME)
        assert bench.now == before
    assert told(bench)["state"] == "done"


def test_a_rule_can_be_cleared() -> None:
    bench = Bench({"action": "drop", "count": 0})
    number = bench.arm(action="silence", duration="1h")
    assert bench.meter.faults.clear(number) == 1
    with pytest.raises(LocalError, match="no fault has number 99"):
        bench.meter.faults.clear(99)
    assert bench.meter.faults.clear() == 1
    assert (bench.tap.armed, bench.meter.faults.told(0)) == (0, [])
    with bench.client() as client:
        client.get(NAME)


def test_a_rule_armed_in_the_middle_of_a_frame_waits_for_the_next() -> None:
    bench = Bench()
    with bench.client() as client:
        client.get(NAME)
        request = bench.sent[-1]
        endpoint = bench.tap._current
        assert endpoint is not None
        assert endpoint.receive_data(request[:9], bench.now) == b""
        bench.arm(action="drop")
        # The same frame once more: what was not acknowledged is sent again.
        assert endpoint.receive_data(request[9:], bench.now) == bench.heard[-1]
        assert endpoint.receive_data(request, bench.now) == b""


def test_a_rule_cleared_in_the_middle_of_a_frame_loses_none() -> None:
    bench = Bench()
    with bench.client() as client:
        client.get(NAME)
        request, answer = bench.sent[-1], bench.heard[-1]
        endpoint = bench.tap._current
        assert endpoint is not None
        bench.arm(action="drop", service="set")
        assert endpoint.receive_data(request[:9], bench.now) == b""
        bench.meter.faults.clear()
        assert endpoint.receive_data(request[9:] + request, bench.now) == answer + answer


@given(st.lists(st.integers(1, 40), max_size=30))
def test_any_split_of_what_is_watched_is_answered_alike(cuts: list[int]) -> None:
    bench = Bench()
    with bench.client() as client:
        client.get(NAME)
        octets, heard = b"".join(bench.sent), b"".join(bench.heard)
    whole, split = Bench(), Bench()
    for each in (whole, split):
        each.arm(action="drop", service="set", count=0)
    expected = whole.tap.make(0.0).receive_data(octets, 0.0)
    assert expected == heard
    endpoint, answer, position = split.tap.make(0.0), b"", 0
    for cut in [*cuts, len(octets)]:
        answer += endpoint.receive_data(octets[position : position + cut], 0.0)
        position += cut
    assert answer == expected


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_random_octets_never_raise_while_they_are_watched(pieces: list[bytes]) -> None:
    bench = Bench({"action": "drop", "count": 0, "probability": 0.5}, {"action": "frmr", "count": 0})
    endpoint = bench.tap.make(0.0)
    for piece in pieces:
        assert isinstance(endpoint.receive_data(piece, 0.0), bytes)
        assert endpoint.handle_timeout(0.5) == b""


def test_what_waits_is_bounded() -> None:
    bench = Bench({"action": "delay", "duration": "1h", "count": 0})
    with pytest.raises(DlmsError), bench.client():
        pass
    endpoint = bench.tap._current
    assert endpoint is not None
    for _ in range(500):
        endpoint.receive_data(bench.sent[0], bench.now)
    assert len(endpoint._late) <= 64


# --- in place of an answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "kind"), [("dm", Kind.DM), ("frmr", Kind.FRMR)])
def test_a_link_that_the_meter_ends_is_made_anew(action: str, kind: Kind) -> None:
    bench = Bench({"action": action, "service": "get"})
    with bench.client() as client:
        client.get(NAME)
    assert kind in kinds(bench)
    assert kinds(bench).count(Kind.UA) == 3  # two links, and the end of one


@pytest.mark.parametrize("action", ["dm", "frmr"])
def test_a_meter_that_always_ends_the_link_is_an_error(action: str) -> None:
    bench = Bench({"action": action, "service": "get", "count": 0})
    with bench.client() as client, pytest.raises(DlmsError, match=r"link|rejected"):
        client.get(NAME)


def test_dm_in_place_of_ua_refuses_the_link() -> None:
    bench = Bench({"action": "dm", "service": "snrm", "count": 0})
    with pytest.raises(DlmsError), bench.client():
        pass
    assert set(kinds(bench)) == {Kind.DM}


def test_frmr_names_the_frame_and_stays_for_whoever_asks_again() -> None:
    bench = Bench()
    with bench.client() as client:
        client.get(NAME)
        request = bench.sent[-1]
        bench.arm(action="frmr")
        endpoint = bench.tap._current
        assert endpoint is not None
        for _ in range(2):
            (frame,) = Deframer().feed(endpoint.receive_data(request, bench.now))
            assert frame.kind is Kind.FRMR
            (asked,) = Deframer().feed(request)
            assert frame.information[0] == asked.control


@pytest.mark.parametrize("url", [HDLC, WRAPPER])
def test_an_exception_response(url: str) -> None:
    bench = Bench({"action": "exception", "service": "get", "state_error": 2, "service_error": 3})
    with bench.client(url) as client:
        with pytest.raises(ServiceRefused, match=r"other.reason"):
            client.get(NAME)
        assert b"\xd8\x02\x03" in b"".join(bench.heard)
        client.get(NAME)


@pytest.mark.parametrize("url", [HDLC, WRAPPER])
def test_a_refused_object(url: str) -> None:
    bench = Bench({"action": "refuse", "service": "get", "obis": NAME, "result": 1})
    with bench.client(url) as client:
        with pytest.raises(AccessError, match="hardware"):
            client.get(NAME)
        client.get(NAME)


def test_a_refused_block_ends_the_transfer() -> None:
    bench = Bench({"action": "refuse", "service": "get-next", "after": 1, "result": 14})
    with bench.client() as client:
        with pytest.raises(DlmsError):
            client.get(LOAD_PROFILE)
        assert told(bench)["fired"] == 1
        client.get(LOAD_PROFILE)


def test_a_refused_set_changes_nothing() -> None:
    bench = Bench({"action": "refuse", "service": "set", "result": 250})
    with bench.client(HDLC + "&client=1", PASSWORD) as client:
        with pytest.raises(AccessError):
            client.set_clock(START + timedelta(hours=1))
        assert bench.meter.present_ms(bench.now) - START_MS < 60_000
        client.set_clock(START + timedelta(hours=1))
        assert bench.meter.present_ms(bench.now) - START_MS > 3_000_000


def test_an_association_can_be_answered_by_an_exception() -> None:
    bench = Bench({"action": "exception", "service": "aarq", "count": 1})
    with pytest.raises((AssociationRefused, RemoteError)), bench.client():
        pass
    with bench.client() as client:
        client.get(NAME)


@pytest.mark.parametrize("url", [HDLC, WRAPPER])
def test_disconnect_closes_the_connection(url: str) -> None:
    bench = Bench({"action": "disconnect", "service": "get"})
    with bench.client(url) as client:
        client.get(NAME)  # over another connection
    assert (len(bench.lines), bench.tap.opened) == (2, 2)


# --- busy and silent ----------------------------------------------------------------------------------


def test_busy_is_rnr_and_the_answer_comes_afterwards() -> None:
    bench = Bench({"action": "busy", "duration": "3s", "service": "get"})
    with bench.client() as client:
        client.get(NAME)
    heard = kinds(bench)
    assert heard.count(Kind.RNR) >= 3
    assert heard.index(Kind.RNR) < len(heard) - heard[::-1].index(Kind.I)


def test_busy_over_the_wrapper_is_late() -> None:
    bench = Bench()
    with bench.client(WRAPPER) as client:
        client.get(NAME)
        bench.arm(action="busy", duration="1500ms", count=0)
        before = bench.now
        client.get(NAME)  # it begins with this request
        assert bench.now - before == pytest.approx(1.5)
        client.get(NAME)
        assert bench.now - before == pytest.approx(3.0)


def test_silence_at_an_instant_and_again() -> None:
    at = START + timedelta(seconds=10)
    bench = Bench({"action": "silence", "at": at.isoformat(), "every": "60s", "duration": "3s"})
    late = []
    with bench.client() as client:
        for until in (9.9, 10.1, 69.9, 70.1):
            bench.wait(until - bench.now)
            client.get(NAME)
            late.append(bench.now - until)
    assert late == pytest.approx([0, 4, 0, 4])


# --- the meter ----------------------------------------------------------------------------------------


def test_a_power_cut_leaves_a_gap_and_two_bits() -> None:
    at = START + timedelta(minutes=20)
    bench = Bench({"action": "power_cut", "at": at.isoformat(), "duration": "40m"}, history=4)
    bench.wait(3 * 3600)
    recorder = bench.meter.ion.recorders["Load Profile"]
    rows = list(recorder.rows(recorder.log.first, recorder.log.end))
    steps = [after.utc_ms - before.utc_ms for before, after in pairwise(rows)]
    assert steps.count(900_000) == len(steps) - 1
    (gap,) = [index for index, step in enumerate(steps) if step != 900_000]
    assert steps[gap] == 4 * 900_000
    assert [row.status for row in rows[gap + 1 : gap + 3]] == [0xC0, 0]
    assert [event.split(":")[0] for event in bench.events()[-2:]] == ["Power down", "Power up"]


def test_a_power_cut_by_a_frame_and_the_client_comes_back() -> None:
    bench = Bench({"action": "power_cut", "service": "get", "duration": "30s"})
    with bench.client() as client:
        with pytest.raises(PortError):
            client.get(NAME)
        assert not bench.meter.powered
        with pytest.raises(PortError):
            bench.connect()
        bench.wait(60)
        assert bench.meter.powered
    with bench.client() as client:
        client.get(NAME)
    bench.wait(900)
    assert bench.statuses()[-1] == 0xC0


def test_power_that_came_back_by_hand_is_no_error_when_the_cut_ends() -> None:
    bench = Bench()
    bench.meter.faults.cut_power(5.0, 1.0)
    bench.meter.power_up(2.0)
    bench.wait(60)  # LocalError out of `advance`, before it was looked whether there is power
    assert bench.meter.powered
    assert not bench.meter.faults.timed
    with pytest.raises(LocalError):
        bench.meter.faults.power_on(bench.now)  # by hand it is told
    with bench.client() as client:
        client.get(NAME)


def test_the_end_of_a_cut_that_was_over_before_ends_no_later_outage() -> None:
    bench = Bench()
    bench.meter.faults.cut_power(5.0, 1.0)
    bench.meter.power_up(2.0)
    bench.meter.power_down(3.0)
    bench.wait(60)
    assert not bench.meter.powered
    assert not bench.meter.faults.timed
    bench.meter.power_up(bench.now)


def test_power_that_is_down_by_hand_stays_so_when_it_is_to_be_cut() -> None:
    at = (START + timedelta(minutes=1)).isoformat()
    bench = Bench({"action": "power_cut", "at": at, "duration": "1m"})
    bench.meter.power_down(30.0)
    bench.meter.power_down(31.0)
    bench.wait(300)
    assert not bench.meter.powered
    bench.meter.power_up(301.0)
    assert bench.meter.powered


def test_a_clock_step_beyond_the_years_of_the_clock_is_no_error_of_the_meter() -> None:
    at = START + timedelta(minutes=5)
    bench = Bench({"action": "clock_step", "at": at.isoformat(), "step": -3e9})
    bench.wait(600)
    bench.arm(action="clock_step", step=-3e9, service="get")
    with bench.client() as client:
        client.get(NAME)
    assert bench.meter.present_ms(bench.now) == START_MS + round(bench.now * 1000)


def test_a_freeze_that_is_due_when_the_source_is_resumed_leaves_nothing_behind() -> None:
    at = (START + timedelta(minutes=1)).isoformat()
    bench = Bench({"action": "freeze", "at": at, "duration": "5m"})
    bench.meter.faults.freeze("missing", 0.0, 10.0)
    bench.meter.faults.resume(90.0)  # nobody has looked at the meter meanwhile
    bench.wait(900)  # the second freeze has no end left that finds nothing to end
    assert bench.meter.faults.frozen is None
    assert not bench.meter.faults.timed


def test_a_clock_step_sets_bit_5_and_logs_an_event() -> None:
    bench = Bench({"action": "clock_step", "at": (START + timedelta(minutes=5)).isoformat(), "step": "-90s"})
    bench.wait(1800)
    assert 0x20 in bench.statuses()
    assert any("-90000 ms" in event for event in bench.events())
    assert bench.meter.present_ms(bench.now) == START_MS + 1_710_000


def test_a_step_that_leads_over_its_own_turn_does_not_go_round() -> None:
    at = (START + timedelta(minutes=1)).isoformat()
    bench = Bench({"action": "clock_step", "at": at, "every": "1h", "step": 7200})
    began = time.monotonic()
    bench.wait(4 * 3600)
    assert time.monotonic() - began < 10
    assert bench.meter.present_ms(bench.now) > START_MS + 8 * 3_600_000


def test_a_master_reset_sets_bit_3_and_the_registers_to_zero() -> None:
    bench = Bench({"action": "master_reset", "service": "get", "obis": NAME})
    with bench.client() as client:
        assert client.get("1-1:1.8.0*255").integer() > 0
        client.get(NAME)
        assert client.get("1-1:1.8.0*255").integer() == 0
    bench.wait(900)
    assert bench.statuses() == [0x08]


def test_ethernet_off_refuses_new_connections_and_leaves_the_open_one() -> None:
    bench = Bench({"action": "ethernet_off", "service": "get", "duration": "60s"})
    with bench.client() as client:
        client.get(NAME)
        client.get(NAME)
        assert bench.tap.admit(bench.now) is None
        bench.wait(61)
        assert bench.tap.admit(bench.now) is not None


class Load:
    """10 kW, and registers if it is a meter."""

    rollover = 10_000_000

    def flow(self, start_ms: int, end_ms: int) -> Flow:
        return Flow(10_000 * (end_ms - start_ms), 0, 0, 0, 10_000 * (end_ms - start_ms))

    def readings(self, utc_ms: int) -> dict[str, int | None]:
        watts = 10_000 + utc_ms // 1000 % 1000
        return {"kW tot": watts, "kVAR tot": 0, "kVA tot": watts}


class OtherMeter(Load):
    def registers(self, utc_ms: int) -> Registers:
        return Registers((utc_ms - START_MS) // 360 + 5_000, 0, 0, 0, 0)


@pytest.mark.parametrize("make", [Load, OtherMeter])
@pytest.mark.parametrize("values", ["held", "missing"])
def test_a_frozen_source(make: Callable[[], Load], values: str) -> None:
    at = (START + timedelta(minutes=14, seconds=30)).isoformat()
    bench = Bench(
        {"action": "freeze", "at": at, "duration": "30m", "values": values}, source=make(), history=0
    )
    with bench.client() as client:
        bench.wait(60)
        moving = [client.get("1-1:16.4.0*255")]
        bench.wait(1200)
        frozen = bench.meter.ion.value("kW tot")
        bench.wait(60)
        assert bench.meter.ion.value("kW tot") == frozen
        assert (frozen is None) is (values == "missing")
        assert bench.meter.faults.frozen == values
        bench.wait(3600)
        assert bench.meter.faults.frozen is None
        assert bench.meter.ion.value("kW tot") != frozen
        assert moving
    recorder = bench.meter.ion.recorders["Load Profile"]
    energies = [row.values[0] for row in recorder.rows(recorder.log.first, recorder.log.end)]
    if values == "missing":
        assert None in energies
    if make is OtherMeter:
        # What flowed meanwhile is in its registers: none is lost.
        whole = [energy for energy in energies if energy is not None]
        assert sum(whole) == pytest.approx(2_500 * len(energies), abs=2_500)


def test_what_cannot_happen_now_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    at = [(START + timedelta(seconds=s)).isoformat() for s in (10, 20, 30)]
    bench = Bench(
        {"action": "power_cut", "at": at[0], "duration": "1h"},
        {"action": "clock_step", "at": at[1], "step": 60},
        {"action": "master_reset", "at": at[2]},
    )
    bench.wait(100)
    assert [record.getMessage() for record in caplog.records] == [
        "fault clock_step: the meter has no power",
        "fault master_reset: the meter has no power",
    ]


def test_a_meter_stops_and_starts_in_the_middle_of_a_power_cut() -> None:
    bench = Bench({"action": "power_cut", "at": START.isoformat(), "duration": "1h"})
    bench.wait(10)
    assert not bench.meter.powered
    bench.meter.power_down(bench.now)
    bench.meter.start(START_MS + 60_000, bench.now)
    assert bench.meter.powered
    bench.wait(2 * 3600)
    assert bench.meter.powered


# --- counters -----------------------------------------------------------------------------------------


def test_a_tap_counts_over_all_its_connections() -> None:
    bench = Bench()
    for _ in range(2):
        with bench.client() as client:
            client.get(NAME)
    counted = bench.tap.counters
    assert counted["frames"] == len(bench.sent)
    assert counted["errors"] == counted["repeats"] == 0
    line = bench.connect()
    bench.arm(action="drop", service="set")
    damaged = bytearray(bench.sent[1])
    damaged[-3] ^= 0xFF
    line.send(bytes(damaged))
    assert line.wait(1) == b""
    assert bench.tap.counters["errors"] == 1
    bench.meter.faults.clear()
    line.send(bytes(damaged))
    line.wait(3)
    assert bench.tap.counters["errors"] == 2


def test_a_dropped_answer_is_counted_as_repeated() -> None:
    bench = Bench({"action": "drop", "service": "get"})
    with bench.client() as client:
        client.get(NAME)
    assert bench.tap.counters["repeats"] == 1


# --- the section --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "place", "message"),
    [
        ({}, "action", "Field required"),
        ({"action": "explode"}, "action", "Input should be 'drop'"),
        ({"action": "drop", "duration": 3}, "duration", "drop has no duration; it is for delay, silence"),
        ({"action": "delay"}, "duration", "delay takes some time; say how long"),
        ({"action": "clock_step", "service": "any"}, "step", "say how far the clock is set"),
        ({"action": "power_cut", "duration": 1}, "at", "say when: at which instant, or at which frames"),
        ({"action": "drop", "service": "snrm", "obis": NAME}, "obis", "of service snrm names no object"),
        ({"action": "drop", "obis": "1-0:99.1"}, "obis", ""),
        ({"action": "drop", "every": "1h"}, "every", "how long after `at` it comes again"),
        ({"action": "refuse", "result": 7}, "result", "7 is no Data-Access-Result; there are 1, 2, 3"),
        ({"action": "drop", "probability": 0}, "probability", "0 is out of range; write more than 0 to 1"),
        ({"action": "drop", "at": "noon"}, "at", "'noon' is no date-time"),
    ],
)
def test_a_rule_that_cannot_be(rule: dict[str, Any], place: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        FaultRuleSection.model_validate(rule)
    (error,) = raised.value.errors()
    assert error["loc"] == (place,)
    assert message in error["msg"]


def test_every_action_can_be_configured_and_armed() -> None:
    needed = {
        "delay": {"duration": 1},
        "silence": {"duration": 1},
        "busy": {"duration": 1},
        "clock_step": {"step": 1},
    }
    bench = Bench()
    for action in ACTIONS:
        bench.arm(action=action, service="get", **needed.get(action, {}))
    assert [each["action"] for each in bench.meter.faults.told(0)] == list(ACTIONS)


def test_rules_in_a_file_and_an_error_with_its_line(tmp_path: Any) -> None:
    file = tmp_path / "meter.toml"
    text = '[[fault]]\naction = "drop"\nport = "{}"\n\n'
    text += '[[fault]]\naction = "power-cut"\nafter = 3\nunit_id = {}\n'
    file.write_text(text.format("ethernet", 100), "utf-8")
    assert [each.action for each in load(file).fault] == ["drop", "power_cut"]
    file.write_text(text.format("COM9", 5), "utf-8")
    with pytest.raises(ConfigError) as raised:
        load(file)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("there is no port 'COM9'; there are ETHERNET, and all")
    assert lines[0].startswith(f"{file}:3: fault")
    assert lines[1].startswith(f"{file}:8: fault")
    assert lines[1].endswith("no meter has Unit ID 5")


SITE = """
[[line]]
name = "hall"
kind = "tcp"
listen = "127.0.0.1:0"

[[meter]]
line = "hall"
unit_id = 1
count = 3

[[fault]]
action = "drop"
port = "{}"
unit_id = {}
"""


def test_rules_of_a_site_name_lines_and_meters(tmp_path: Any) -> None:
    file = tmp_path / "site.toml"
    file.write_text(SITE.format("hall", 2), "utf-8")
    site = load_site(file)
    assert isinstance(site, Site)
    assert all(config.fault for _, config in site.meters())
    file.write_text(SITE.format("attic", 9), "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_site(file)
    assert [line.rpartition(": ")[2] for line in str(raised.value).splitlines()] == [
        "there is no port 'attic'; there are hall, COM1, and all",
        "no meter has Unit ID 9",
    ]


# --- other lines --------------------------------------------------------------------------------------


def test_faults_of_one_meter_on_a_shared_line() -> None:
    meters = {unit: Bench(port=[{"name": "ETHERNET", "unit_id": unit}]) for unit in (100, 101)}
    stations = {unit: bench.meter.endpoint for unit, bench in meters.items()}
    tap = Tap(
        "hall",
        {unit: bench.meter.faults for unit, bench in meters.items()},
        lambda now: BusEndpoint({unit: partial(make, None) for unit, make in stations.items()}, now),
        also=("COM1",),
        shared=True,
    )
    meters[101].arm(action="drop", port="hall", count=2)
    meters[100].arm(action="delay", port="COM1", duration=1, service="get")
    lines: list[NullModem] = []

    def connect() -> NullModem:
        now = lines[-1].now() if lines else 0.0
        lines.append(NullModem(tap.make(now), None, now))
        return lines[-1]

    late = {}
    for unit in meters:
        with blocking.Client(f"hdlc://meter:1?unit={unit}&timeout=2s", connector=connect) as client:
            began = lines[-1].now()
            client.get(NAME)
            late[unit] = lines[-1].now() - began
    assert late == {100: 1.0, 101: 0.0}
    assert lines[-1].now() == 5.0  # and the two answers to SNRM that were dropped
    assert [told(bench)["fired"] for bench in meters.values()] == [1, 2]
    assert tap.armed == 0
    assert tap.counters["frames"] > 6
    meters[100].meter.faults.cut_power(0.0, 5.0)
    with blocking.Client("hdlc://meter:1?unit=101", connector=connect) as client:
        client.get(NAME)  # another meter of the line is not in the dark


def test_disconnect_drops_the_carrier_of_a_modem() -> None:
    bench = Bench()
    modem = ModemEndpoint(bench.tap.make, ModemSetup(), 0.0, lambda now: 1)
    modem.handle_timeout(0.0)
    for said in ("OK", "RING", "CONNECT 9600"):
        modem.receive_data(f"\r\n{said}\r\n".encode(), 1.0)
    bench.arm(action="disconnect", after=1)
    snrm = Frame(bytes.fromhex("000200C9"), b"\x21", 0x93).encode()
    assert Deframer().feed(modem.receive_data(snrm, 2.0))[0].kind is Kind.UA
    assert modem.receive_data(snrm, 3.0) == b""
    assert modem.state is ModemState.HANGING_UP
    assert not modem.wanted.terminal_ready


def test_arming_many_looks_at_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    faults = bench.meter.faults
    renewed: list[int] = []
    renew = faults._renew

    def counted() -> None:
        renewed.append(1)
        renew()

    monkeypatch.setattr(faults, "_renew", counted)
    rule = FaultRuleSection.model_validate({"action": "drop"}).rule()
    faults.give([rule] * 500, bench.now)
    assert len(renewed) == 1
    assert len(faults.told(bench.now)) == 500
    bench.arm(action="ignore")
    assert faults.clear(501) == 1
    assert [each["action"] for each in faults.told(bench.now)] == ["drop"] * 500
