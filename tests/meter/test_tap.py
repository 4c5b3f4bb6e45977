"""What a tap does with frames nobody would think of, and what a rule does not match."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.meter.suffering import LOAD_PROFILE, START, Bench

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer, Frame, Kind
from iondlms.hdlc.frame import POLL, Control, build
from iondlms.ion import Flow
from iondlms.meter.fault_rules import FaultRule, Heard
from iondlms.meter.tap import Tap, TappedEndpoint
from iondlms.ports.bus import BusEndpoint
from iondlms.ports.modem import ModemEndpoint, ModemSetup, ModemState

NAME = "0-0:42.0.0*255"
METER, CLIENT = bytes.fromhex("000200C9"), b"\x21"
SNRM = build(METER, CLIENT, Control.SNRM | POLL)
RR = build(METER, CLIENT, Control.RR | POLL)


def frames(octets: bytes) -> list[Frame]:
    return Deframer().feed(octets)


def kinds(octets: bytes) -> list[Kind]:
    return [frame.kind for frame in frames(octets)]


def state(bench: Bench) -> dict[str, Any]:
    (told,) = bench.meter.faults.told(bench.now)
    return told


def opened(bench: Bench) -> tuple[TappedEndpoint, list[bytes]]:
    """A line with an association, and what the client sent for it and one GET."""
    with bench.client() as client:
        client.get(NAME)
        endpoint = bench.tap.make(bench.now)
        for octets in bench.sent:
            endpoint.receive_data(octets, bench.now)
        return endpoint, list(bench.sent)


def i_frame(number: int, information: bytes) -> bytes:
    """The request of that number, of a client that has had an answer to each before."""
    return build(METER, CLIENT, (number & 7) << 5 | POLL | (number & 7) << 1, information)


def test_what_is_late_is_bounded() -> None:
    bench = Bench({"action": "delay", "duration": "1h", "count": 0})
    endpoint = bench.tap.make(0.0)
    for _ in range(500):
        assert endpoint.receive_data(SNRM, 0.0) == b""
    assert len(endpoint.handle_timeout(3600.0)) == 64 * len(build(CLIENT, METER, 0x73, bytes(21)))


def test_a_line_with_late_answers_is_not_idle() -> None:
    bench = Bench({"action": "delay", "duration": "10m"})
    endpoint = bench.tap.make(0.0)
    endpoint.receive_data(SNRM, 0.0)
    endpoint.handle_timeout(1.5)  # the flag behind a frame could have opened another
    assert endpoint.next_deadline() == 120.0
    assert endpoint.handle_timeout(120.0) == b""
    assert not endpoint.idle
    assert endpoint.next_deadline() == 600.0
    assert kinds(endpoint.handle_timeout(600.0)) == [Kind.UA]
    assert endpoint.idle


@pytest.mark.parametrize(
    ("action", "octets", "answer"),
    [
        # For a logical device that is not there: nobody answers.
        ("dm", build(bytes.fromhex("000A00C9"), CLIENT, Control.SNRM | POLL), []),
        ("frmr", RR, [Kind.DM]),  # without a link there is nothing to reject
        ("frmr", SNRM, [Kind.UA]),
        ("drop", build(METER, CLIENT, Control.RR), []),  # not polled: no answer that could be lost
        ("refuse", SNRM, [Kind.UA]),
    ],
)
def test_what_could_not_be_befallen_does_not_count(action: str, octets: bytes, answer: list[Kind]) -> None:
    bench = Bench({"action": action})
    assert kinds(bench.tap.make(0.0).receive_data(octets, 0.0)) == answer
    assert (state(bench)["fired"], state(bench)["state"]) == (0, "armed")


def test_a_repeated_request_is_answered_as_before_and_the_next_refused() -> None:
    bench = Bench()
    endpoint, sent = opened(bench)
    before = endpoint.receive_data(sent[-1], bench.now)
    bench.arm(action="refuse", service="get", result=1)
    assert endpoint.receive_data(sent[-1], bench.now) == before
    assert state(bench)["fired"] == 0
    (refused,) = frames(endpoint.receive_data(i_frame(2, frames(sent[-1])[0].information), bench.now))
    assert refused.information.endswith(bytes.fromhex("0101"))
    assert state(bench)["fired"] == 1


def test_after_a_refused_block_there_is_no_transfer() -> None:
    bench = Bench()
    endpoint, _ = opened(bench)
    bench.arm(action="refuse", service="get_next", result=2)
    get, following = bytes.fromhex("E6E600C001C1000701006301 00FF0200"), bytes.fromhex("E6E600C002C100000001")
    answers = [
        frames(endpoint.receive_data(i_frame(number, asked), bench.now))[0].information
        for number, asked in ((2, get), (3, following), (4, following))
    ]
    assert answers[0].startswith(bytes.fromhex("E6E700C402C100"))
    assert answers[1] == bytes.fromhex("E6E700C402C101000000010102")
    assert answers[2] == bytes.fromhex("E6E700C402C101000000010110")


def test_half_a_frame_is_forgotten_while_it_is_watched_too() -> None:
    bench = Bench()
    endpoint, sent = opened(bench)
    bench.arm(action="drop", service="set")
    assert endpoint.receive_data(sent[1][:20], bench.now) == b""
    assert kinds(endpoint.receive_data(RR, bench.now + 2.0)) != []
    assert bench.tap.counters["timeouts"] == 1


def test_clearing_ends_a_silence() -> None:
    bench = Bench({"action": "silence", "duration": "1h"})
    endpoint = bench.tap.make(0.0)
    assert endpoint.receive_data(SNRM, 0.0) == b""
    assert endpoint.receive_data(SNRM, 10.0) == b""
    bench.meter.faults.clear()
    assert kinds(endpoint.receive_data(SNRM, 10.0)) == [Kind.UA]


def test_so_many_rules_and_no_more() -> None:
    bench = Bench()
    for _ in range(1000):
        bench.arm(action="drop", service="set")
    with pytest.raises(LocalError, match="1000 faults are armed; clear some first"):
        bench.arm(action="drop")
    bench.meter.faults.clear()
    bench.arm(action="drop")


def test_a_shared_line_goes_on_when_one_of_its_meters_is_dark() -> None:
    meters = {unit: Bench(port=[{"name": "ETHERNET", "unit_id": unit}]) for unit in (100, 101)}
    tap = Tap(
        "hall",
        {unit: bench.meter.faults for unit, bench in meters.items()},
        lambda now: BusEndpoint(
            {unit: partial(bench.meter.endpoint, None) for unit, bench in meters.items()}, now
        ),
        shared=True,
    )
    endpoint = tap.make(0.0)
    other = bytes.fromhex("000200CB")
    assert kinds(endpoint.receive_data(build(other, CLIENT, Control.SNRM | POLL), 0.0)) == [Kind.UA]
    meters[100].meter.faults.cut_power(0.0, 0.0)
    assert kinds(endpoint.receive_data(build(other, CLIENT, Control.RR | POLL), 0.0)) == [Kind.RR]
    assert endpoint.receive_data(SNRM, 0.0) == b""
    meters[101].arm(action="drop")
    assert tap.armed == 1
    endpoint.receive_data(build(other, CLIENT, Control.RR | POLL), 0.0)
    assert tap.armed == 0
    assert tap.admit(0.0) is not None


def test_a_modem_hangs_up_where_its_meter_was_dark() -> None:
    bench = Bench()
    modem = ModemEndpoint(bench.tap.make, ModemSetup(), 0.0, lambda now: 1)
    modem.handle_timeout(0.0)
    for said in ("OK", "RING", "CONNECT 9600"):
        modem.receive_data(f"\r\n{said}\r\n".encode(), 1.0)
    assert kinds(modem.receive_data(SNRM, 2.0)) == [Kind.UA]
    bench.meter.faults.cut_power(5.0, 3.0)
    bench.meter.advance(9.0)
    assert modem.receive_data(RR, 10.0) == b""
    assert modem.state is ModemState.HANGING_UP


class Load:
    """10 kW flow; what is read is 20 kW, so that energy tells which of them was counted."""

    def flow(self, start_ms: int, end_ms: int) -> Flow:
        return Flow(10_000 * (end_ms - start_ms), 0, 0, 0, 0)

    def readings(self, utc_ms: int) -> dict[str, int | None]:
        return {"kW tot": 20_000, "kVAR tot": 0, "kVA tot": 20_000}


def test_each_source_counts_for_its_own_time() -> None:
    bench = Bench(source=Load(), history=0)
    faults, meter = bench.meter.faults, bench.meter
    faults.freeze("held", 0.0, 360.0)  # nobody has looked at the meter since its start
    faults.resume(720.0)
    meter.advance(1080.0)
    assert meter.ion.value("kWh del") == 1000 + 2000 + 1000


def test_a_fault_that_a_request_finds_due_is_not_met_on_the_short_way() -> None:
    # An answer on the short way says that nothing is closed; a power cut closes the connection.
    bench = Bench(framing="hdlc")
    line, sent = bench.tap.make(0.0), []
    with bench.client() as client:
        client.get(NAME)
    sent = [octets for octets in bench.sent if octets[:1] == b"\x7e"]
    assert len(sent) > 2
    line = bench.tap.make(bench.now)
    for octets in sent[:2]:  # SNRM and AARQ
        line.receive_data(octets, bench.now)
    at = (START + timedelta(seconds=bench.now + 10)).isoformat()
    number = bench.arm(action="power_cut", at=at, duration="5s")
    assert line.follow(sent[2], bench.now + 11) is None
    assert not line.closed
    bench.meter.faults.clear(number)
    answer = line.follow(sent[2], bench.now + 11)
    assert answer is not None
    assert kinds(answer) == [Kind.I]


def test_a_tap_that_comes_later_knows_of_the_faults_of_its_meter() -> None:
    bench = Bench()
    assert bench.tap.timed == 0
    number = bench.arm(action="power_cut", at=(START + timedelta(hours=1)).isoformat(), duration="5s")
    bench.arm(action="ethernet_off", duration="1h", service="get")
    again = Tap("COM1", {100: bench.meter.faults}, lambda now: bench.meter.endpoint(now=now))
    assert (bench.tap.timed, again.timed) == (1, 1)
    bench.meter.faults.clear(number)
    assert (bench.tap.timed, again.timed) == (0, 0)
    bench.meter.faults.freeze("held", 60.0, bench.now)
    assert (bench.tap.timed, again.timed) == (1, 1)
    bench.wait(61)
    assert (bench.tap.timed, again.timed) == (0, 0)


def test_a_frozen_source_stays_frozen_when_it_freezes_again() -> None:
    bench = Bench(source=Load(), history=0)
    faults = bench.meter.faults
    faults.freeze("missing", 10.0, 0.0)
    faults.freeze("held", 0.0, 5.0)
    bench.meter.advance(100.0)
    assert (faults.frozen, bench.meter.ion.value("kW tot")) == ("held", 20_000)
    faults.resume(100.0)
    assert isinstance(bench.meter.source, Load)


GET = Heard(16, "get", b"", 100, b"123456", 2, b"\xc0", Frame(METER, CLIENT, 0x10))


@pytest.mark.parametrize(
    ("rule", "heard", "matches"),
    [
        (FaultRule("drop"), GET, True),
        (FaultRule("drop", service="get", client=16, instance=b"123456", attribute=2), GET, True),
        (FaultRule("drop", service="set"), GET, False),
        (FaultRule("drop", client=1), GET, False),
        (FaultRule("drop", instance=b"654321"), GET, False),
        (FaultRule("drop", attribute=3), GET, False),
        (FaultRule("refuse"), GET, True),
        (FaultRule("refuse"), GET._replace(service="aarq"), False),
        (FaultRule("exception"), GET._replace(service="aarq"), True),
        # Of a request in segments the first does not hold it whole.
        (FaultRule("exception"), GET._replace(apdu=b""), False),
        (FaultRule("refuse"), GET._replace(apdu=b""), False),
        (FaultRule("dm"), GET, True),
        (FaultRule("dm"), GET._replace(frame=None, unit_id=None), False),
        (FaultRule("frmr"), GET._replace(frame=None, unit_id=None), False),
        (FaultRule("frmr"), GET, True),
        (FaultRule("frmr"), GET._replace(service="snrm"), False),
        (FaultRule("frmr"), GET._replace(service="disc"), False),
    ],
)
def test_what_a_rule_matches(rule: FaultRule, heard: Heard, matches: bool) -> None:
    assert rule.matches(heard) is matches


def test_a_rule_whose_instant_has_passed_waits_for_its_next_turn() -> None:
    past = (START - timedelta(hours=1)).isoformat()
    bench = Bench(
        {"action": "master_reset", "at": past},
        {"action": "drop", "at": past, "lasts": "10m"},
        {"action": "drop", "at": past, "service": "set"},
        {"action": "clock_step", "step": 5, "at": past, "every": "7h"},
    )
    states = [each["state"] for each in bench.meter.faults.told(0.0)]
    assert states == ["done", "done", "armed", "waiting"]
    with bench.client() as client:
        client.get(LOAD_PROFILE)
    assert bench.now == 0
