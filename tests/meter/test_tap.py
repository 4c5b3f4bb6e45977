"""What a tap does with frames nobody would think of, and what a rule does not match."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.meter.bench import Transport
from tests.meter.slow_disk import CONFIG, SUCCESS, Line, SlowDisk, meter_on, set_time
from tests.meter.suffering import LOAD_PROFILE, START, Bench

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer, Frame, Kind, ServerAddress
from iondlms.hdlc.frame import POLL, Control, build
from iondlms.ion import Flow
from iondlms.meter import MeterEndpoint
from iondlms.meter.fault_rules import FaultRule, Heard
from iondlms.meter.fault_sections import FaultRuleSection
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


def test_the_short_way_is_closed_while_a_fault_may_come_and_open_again_after_it() -> None:
    bench = Bench(framing="hdlc")
    line = bench.tap.make(0.0)
    snrm = build(ServerAddress(1, 100).encode(), b"\x21", Control.SNRM | POLL)
    inner = line._inner
    assert line.follow == inner.follow  # nothing stands between

    def open_way() -> bool:
        return line.follow(snrm, 1.0) is not None

    number = bench.arm(action="drop", service="aarq")
    assert not open_way()
    bench.meter.faults.clear(number)
    assert open_way()
    # Half a frame is held where the rule saw it, and the other half is to come there too.
    number = bench.arm(action="drop", service="aarq")
    assert line.receive_data(snrm[:4], 1.0) == b""
    bench.meter.faults.clear(number)
    assert not open_way()
    assert line.receive_data(snrm[4:], 1.0) != b""
    assert open_way()
    # An answer that is late has its place in the order.
    number = bench.arm(action="delay", duration="5s", service="snrm")
    assert line.receive_data(snrm, 1.0) == b""
    bench.meter.faults.clear(number)
    assert not open_way()
    assert line.handle_timeout(6.0) != b""
    assert open_way()
    bench.tap.make(7.0)
    assert not open_way()  # it is over


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


# --- an answer that waits for a disk ------------------------------------------------------------------


class Slow:
    """A tapped line of a meter that has to write before it answers a SET; the link is open."""

    def __init__(self, transport: Transport = "hdlc", **rule: Any) -> None:
        self.disk, self.line = SlowDisk(), Line(transport)
        self.disk.make(CONFIG)
        faults = self.disk.meter.faults
        self.tap = Tap(
            "ETHERNET", {17: faults}, lambda now: self.disk.meter.endpoint(now=now), framing="auto"
        )
        self.endpoint = self.tap.make(1000.0)
        self.endpoint.receive_data(self.line.open(), 1000.0)
        self.twin, self.other = fast(self.line.transport)
        if rule:
            self.arm(**rule)

    def arm(self, **rule: Any) -> None:
        self.disk.meter.faults.arm(FaultRuleSection.model_validate(rule).rule(), 1000.0)

    def ask(self, *what: str) -> bytes:
        return b"".join(self.endpoint.receive_data(self.line(each), 1000.0) for each in what)

    def plain(self, *what: str) -> list[bytes]:
        """What a meter says that has no faults and need not wait."""
        return [self.twin.receive_data(self.other(each), 1000.0) for each in what]

    def answer(self, now: float = 1000.0) -> bytes:
        self.disk.settle()
        return self.endpoint.handle_timeout(now)

    def state(self) -> tuple[int, str]:
        told = self.disk.meter.faults.told(1000.0)[0]
        return told["fired"], told["state"]


def fast(transport: Transport) -> tuple[MeterEndpoint, Line]:
    disk, line = SlowDisk(), Line(transport)
    endpoint = meter_on(disk)
    disk.slow = False
    endpoint.receive_data(line.open(), 1000.0)
    return endpoint, line


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"action": "drop"}, lambda octets: b""),
        ({"action": "damage", "octet": 5, "mask": 255}, lambda o: o[:5] + bytes((o[5] ^ 255,)) + o[6:]),
        ({"action": "double"}, lambda octets: octets * 2),
        ({"action": "truncate"}, lambda octets: octets[: len(octets) // 2]),
        ({"action": "truncate", "octets": 3}, lambda octets: octets[:3]),
    ],
    ids=["drop", "damage", "double", "half", "3 octets"],
)
@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_an_answer_that_waits_is_befallen_when_it_comes_and_none_of_those_behind_it(
    rule: dict[str, Any], left: Callable[[bytes], bytes], transport: Transport
) -> None:
    slow = Slow(transport, service="set", **rule)
    assert slow.ask("set") == b""
    assert slow.endpoint.later is slow.disk.steps[0]
    # The rule has struck as often as it may, and nobody watches any more.
    assert slow.tap.armed == 0
    assert slow.ask("get", "clock") == b""
    assert slow.endpoint.follow(slow.line("rlrq"), 1000.0) is None
    assert slow.endpoint.receive_data(slow.line.last, 1000.0) == b""
    befallen, *others = slow.plain("set", "get", "clock", "rlrq")
    assert slow.endpoint.handle_timeout(1000.0) == b""
    assert slow.answer() == left(befallen) + b"".join(others)
    assert slow.endpoint.later is None
    assert slow.state() == (1, "done")
    slow.ask("aarq")
    slow.plain("aarq")
    assert slow.ask("set") == b""
    assert slow.answer() == slow.plain("set")[0]


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_an_answer_that_waits_can_be_late_as_well(transport: Transport) -> None:
    slow = Slow(transport, action="delay", duration="5s", service="set")
    assert slow.ask("set", "get") == b""
    answer, behind = slow.plain("set", "get")
    assert slow.answer(1002.0) == behind
    assert slow.endpoint.next_deadline() == 1007.0 if transport == "wrapper" else True
    assert slow.endpoint.handle_timeout(1006.9) == b""
    assert slow.endpoint.handle_timeout(1007.0) == answer


def test_a_busy_meter_says_so_when_it_has_written_and_answers_at_the_next_poll() -> None:
    slow = Slow(action="busy", duration="10s", service="set")
    assert slow.ask("set") == b""
    (answer,) = slow.plain("set")
    assert kinds(slow.answer()) == [Kind.RNR]
    slow.line.clients[1] = slow.line.clients[1][0], 1  # the answer has not come
    poll = slow.line("rr")
    assert kinds(slow.endpoint.receive_data(poll, 1001.0)) == [Kind.RNR]
    assert slow.endpoint.receive_data(poll, 1010.0) == answer


@pytest.mark.parametrize("every", [None, "1h"])
def test_a_rule_is_taken_back_where_an_answer_that_waited_comes_to_nothing(every: str | None) -> None:
    slow = Slow()
    turn = {} if every is None else {"at": START.isoformat(), "every": every}
    slow.arm(action="drop", service="set", **turn)
    send, receive = slow.line.clients[1]
    asked = bytes.fromhex("E6E600" + set_time(5))
    unpolled = slow.line.frame(1, receive << 5 | send << 1, asked)
    if every is not None:
        slow.disk.meter.advance(1000.0 + 3600.0)
    now = 1000.0 if every is None else 4600.0
    if every is not None:
        slow.endpoint.receive_data(slow.line.open(), now)
    assert slow.endpoint.receive_data(unpolled, now) == b""
    assert slow.endpoint.later is not None
    assert slow.answer(now) == b""
    slow.line.clients[1] = send + 1, receive
    assert SUCCESS in slow.endpoint.receive_data(slow.line("rr"), now)
    assert slow.tap.armed == (every is None), "it is on the watch again"
    fired, state = slow.state()
    assert fired == 0
    if every is None:
        assert state == "armed"
        slow.line.clients[1] = send + 1, receive + 1
        slow.line.minutes = 60
        assert slow.ask("set") == b""
        assert slow.answer() == b""
        assert slow.state() == (1, "done")


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_a_connection_that_is_cut_while_an_answer_waits_is_closed_and_silent(transport: Transport) -> None:
    slow = Slow(transport, action="double", service="set")
    assert slow.ask("set", "get") == b""
    slow.disk.meter.faults.cut_power(5.0, 1001.0)
    assert slow.endpoint.closed
    assert slow.endpoint.later is None
    assert not slow.endpoint._behind, "nobody keeps what will never be answered"
    assert slow.answer(1002.0) == b""
    slow.disk.meter.advance(1010.0)
    assert slow.endpoint.receive_data(slow.line("get"), 1010.0) == b""
    line = Line(transport)
    assert slow.tap.make(1011.0).receive_data(line.open(), 1011.0)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_what_is_behind_an_answer_that_is_gone_is_gone_too(transport: Transport, settled: bool) -> None:
    slow = Slow(transport, action="double", service="set")
    assert slow.ask("set", "get") == b""
    if settled:
        slow.disk.settle()
    assert slow.endpoint.handle_timeout(1120.0) == b""
    assert slow.endpoint.idle
    assert slow.endpoint.later is None
    assert slow.state() == (0, "armed")
    assert slow.endpoint.receive_data(Line(transport).open(), 1130.0)


def test_so_much_waits_behind_a_tapped_answer_and_no_more() -> None:
    slow = Slow("wrapper", action="drop", service="set")
    assert slow.ask("set", *["get"] * 1000) == b""
    assert slow.answer() == slow.plain("set", "get")[1] * 64


def test_a_request_that_waited_for_a_busy_meter_waits_for_its_disk_too() -> None:
    slow = Slow("wrapper", action="busy", duration="5s", service="get")
    slow.arm(action="double", service="set")
    assert slow.ask("get") == b""
    assert slow.endpoint.receive_data(slow.line("set"), 1005.0) == b""
    assert slow.endpoint.handle_timeout(1005.0) == b""
    answer, late = slow.plain("set", "get")
    assert slow.answer(1006.0) == answer * 2 + late


def test_of_two_that_wait_one_behind_the_other_each_has_its_own_fault() -> None:
    slow = Slow("wrapper", action="double", service="set")
    slow.arm(action="truncate", service="set", after=1, octets=4)
    assert slow.ask("set", "set", "get") == b""
    first, second, behind = slow.plain("set", "set", "get")
    assert slow.answer() == first * 2
    assert slow.endpoint.later is not None
    assert slow.answer() == second[:4] + behind


GARBAGE = bytes.fromhex("00020010000100010000")


def test_what_came_before_a_wrapper_that_breaks_is_answered_once() -> None:
    slow = Slow("wrapper", action="drop", service="rlrq")
    (answer,) = slow.plain("get")
    assert slow.endpoint.receive_data(slow.line("get") + GARBAGE, 1000.0) == answer
    assert slow.endpoint.closed


def test_what_came_before_a_wrapper_that_breaks_is_answered_once_its_answer_need_not_wait() -> None:
    slow = Slow("wrapper", action="double", service="set")
    octets = slow.line("set") + slow.line("get") + GARBAGE
    assert slow.endpoint.receive_data(octets, 1000.0) == b""
    assert not slow.endpoint.closed
    answer, behind = slow.plain("set", "get")
    assert slow.answer() == answer * 2 + behind
    assert slow.endpoint.closed


def test_a_wrapper_that_breaks_behind_an_empty_wpdu_closes_as_it_does_without_a_tap() -> None:
    slow = Slow("wrapper", action="drop")
    tapped, plain = slow.tap.make(1000.0), slow.disk.meter.endpoint(now=1000.0)
    empty = bytes.fromhex("0001001000010000")
    for endpoint in (tapped, plain):
        assert endpoint.receive_data(empty + GARBAGE, 1000.0) == b""
        assert endpoint.closed
