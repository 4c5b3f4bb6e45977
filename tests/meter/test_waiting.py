"""Answers that have to wait for a disk: when they go out, and what becomes of all that comes behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.meter.bench import AARQ, BILLING, LOAD_PROFILE, START, Bench, Transport, get_request
from tests.meter.octets import between
from tests.meter.slow_disk import SUCCESS, TEMPORARY_FAILURE, Line, SlowBench, SlowDisk, meter_on

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer, Kind
from iondlms.later import Later
from iondlms.meter import MeterEndpoint
from iondlms.meter.service import Association
from iondlms.meter.waiting import Waiting

BOTH: Final[tuple[Transport, ...]] = ("hdlc", "wrapper")
FULL: Final = LocalError("the disk is full")
MOST: Final = 64


ASKED: Final = (
    "snrm",
    "disc",
    "rr",
    "repeat",
    "aarq",
    "rlrq",
    "set",
    "get",
    "clock",
    "rows",
    "next",
    "noise",
)


def waiting(transport: Transport) -> tuple[SlowDisk, MeterEndpoint, Line]:
    """A line on which the answer to a SET waits."""
    disk, line = SlowDisk(), Line(transport)
    endpoint = meter_on(disk)
    assert endpoint.receive_data(line.open(), 1000.0)
    assert endpoint.later is None
    assert endpoint.receive_data(line("set"), 1000.0) == b""
    assert endpoint.later is disk.steps[0]
    return disk, endpoint, line


def twin(transport: Transport) -> tuple[MeterEndpoint, Line, bytes]:
    """The same line of a meter whose disk is fast, and the answer to the SET."""
    disk, line = SlowDisk(), Line(transport)
    endpoint = meter_on(disk)
    disk.slow = False
    endpoint.receive_data(line.open(), 1000.0)
    return endpoint, line, endpoint.receive_data(line("set"), 1000.0)


def all_answers(disk: SlowDisk, endpoint: MeterEndpoint, now: float = 1000.0) -> bytes:
    """Settle all, one by one, and return what is said."""
    said = b""
    while endpoint.later is not None:
        assert endpoint.handle_timeout(now) == b"", "nothing is due before it is settled"
        disk.settle()
        deadline = endpoint.next_deadline()
        assert deadline is not None
        assert deadline <= now
        said += endpoint.handle_timeout(now)
    return said


def events(disk: SlowDisk) -> list[tuple[str, str]]:
    return [(event.cause, event.effect) for event in disk.meter.ion.event_log.events]


# --- a SET ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", BOTH)
def test_a_set_is_answered_once_its_batch_is_durable_and_as_if_it_had_been_at_once(
    transport: Transport,
) -> None:
    disk, endpoint, _ = waiting(transport)
    deadline = endpoint.next_deadline()
    assert deadline is not None
    assert deadline > 1000.0
    for now in (1000.0, 1000.5, 1003.0):
        assert endpoint.handle_timeout(now) == b""
    disk.settle()
    deadline = endpoint.next_deadline()
    assert deadline is not None
    assert deadline <= 1003.0
    answer = endpoint.handle_timeout(1003.0)
    assert SUCCESS in answer
    assert answer == twin(transport)[2]
    assert endpoint.later is None
    assert endpoint.next_deadline() == 1123.0
    assert endpoint.handle_timeout(1003.0) == b""


@pytest.mark.parametrize("transport", BOTH)
def test_a_set_that_could_not_be_kept_is_a_temporary_failure_and_an_event(transport: Transport) -> None:
    disk, endpoint, line = waiting(transport)
    disk.settle(FULL)
    assert TEMPORARY_FAILURE in endpoint.handle_timeout(1000.0)
    assert ("Time set over ETHERNET", "client 1 refused: the disk is full") in events(disk)
    # It is none of the next one's affairs.
    assert endpoint.receive_data(line("set"), 1000.0) == b""
    assert SUCCESS in all_answers(disk, endpoint)


@pytest.mark.parametrize("transport", BOTH)
def test_nothing_takes_the_short_way_while_an_answer_waits(transport: Transport) -> None:
    disk, endpoint, line = waiting(transport)
    asked = line("get")
    assert endpoint.follow(asked, 1000.0) is None
    assert endpoint.receive_data(asked, 1000.0) == b""
    assert endpoint.receive_data(line("rows"), 1000.0) == b""
    said = all_answers(disk, endpoint)
    assert SUCCESS in said
    if transport == "hdlc":
        assert endpoint._line is not None
        assert endpoint._line.foreseen is not None, "of rows that have waited the next block is foreseen too"
        assert endpoint.follow(line("next"), 1000.0) is not None


def test_who_asks_on_without_the_answer_to_the_first_does_not_overtake_it() -> None:
    disk, endpoint, line = waiting("hdlc")
    immediate, other, before = twin("hdlc")
    asked = []
    for each in (line, other):
        send, receive = each.clients[1]
        each.clients[1] = send, receive - 1 & 7  # it does not acknowledge what it has not got
        asked.append(each("get"))
    assert endpoint.follow(asked[0], 1000.0) is None
    assert endpoint.receive_data(asked[0], 1000.0) == b""
    assert all_answers(disk, endpoint) == before + immediate.receive_data(asked[1], 1000.0)


def test_a_set_on_the_short_way_waits_too() -> None:
    disk, line = SlowDisk(), Line("hdlc")
    endpoint = meter_on(disk)
    endpoint.receive_data(line.open(), 1000.0)
    endpoint.receive_data(line("get"), 1000.0)
    assert endpoint.follow(line("set"), 1000.0) == b""
    assert endpoint.later is disk.steps[0]
    assert SUCCESS in all_answers(disk, endpoint)


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("sap", [1, 16])
@pytest.mark.parametrize("transport", BOTH)
def test_each_request_behind_is_answered_in_its_turn_as_if_nothing_had_waited(
    what: str, sap: int, transport: Transport
) -> None:
    for cut in (0, 1, -1):  # behind it in another chunk, and with a part of it in the same
        disk, line = SlowDisk(), Line(transport)
        endpoint = meter_on(disk)
        endpoint.receive_data(line.open(), 1000.0)
        octets = line("set"), line(what, sap) + line("get")
        at = len(octets[0]) + cut
        joined = b"".join(octets)
        assert endpoint.receive_data(joined[:at], 1000.0) == b""
        assert endpoint.receive_data(joined[at:], 1000.0) == b""
        said = all_answers(disk, endpoint)
        immediate, other, before = twin(transport)
        assert said == before + immediate.receive_data(other(what, sap) + other("get"), 1000.0)
        assert len(said) > len(before)


@pytest.mark.parametrize("transport", BOTH)
@given(data=st.data())
@settings(max_examples=40)
def test_any_requests_cut_anywhere_are_answered_as_without_waiting(
    transport: Transport, data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.tuples(st.sampled_from(ASKED), st.sampled_from((1, 1, 16))), max_size=14))
    line = Line(transport)
    octets = line.open() + line("set") + b"".join(line(what, sap) for what, sap in asked)
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=8))
    short = data.draw(st.booleans())  # as a TCP port gives octets
    said: list[bytes] = []
    told: list[list[tuple[str, str]]] = []
    for slow in (False, True):
        disk = SlowDisk()
        endpoint = meter_on(disk)
        disk.slow = slow
        answer = b""
        for begin, end in pairwise(sorted({0, len(octets), *cuts})):
            chunk = octets[begin:end]
            got = endpoint.follow(chunk, 1000.0) if short else None
            answer += endpoint.receive_data(chunk, 1000.0) if got is None else got
            if slow and disk.busy and data.draw(st.booleans()):
                disk.settle()
                answer += endpoint.handle_timeout(1000.0)
        answer += all_answers(disk, endpoint)
        assert disk.waited >= slow
        said.append(answer)
        told.append(events(disk))
    assert said[0] == said[1]
    assert told[0] == told[1]


@pytest.mark.parametrize("transport", BOTH)
def test_what_waits_behind_is_bounded(transport: Transport) -> None:
    disk, endpoint, line = waiting(transport)
    for _ in range(1000):
        assert endpoint.receive_data(line("get"), 1000.0) == b""
    assert endpoint._line is not None
    assert len(endpoint._line.requests._behind) == MOST
    said = all_answers(disk, endpoint)
    immediate, other, before = twin(transport)
    assert said == before + b"".join(immediate.receive_data(other("get"), 1000.0) for _ in range(MOST))


# --- whoever asked is gone ------------------------------------------------------------------------------


def over(transport: Transport, endpoint: MeterEndpoint, now: float) -> None:
    """Nothing is left of a session, and a new one works."""
    line = Line(transport)
    if transport == "hdlc":
        (answer,) = Deframer().feed(endpoint.receive_data(line("rr"), now))
        assert answer.kind is Kind.DM
    else:
        assert bytes.fromhex("D80102") in endpoint.receive_data(line("get"), now)
    assert endpoint.later is None
    assert endpoint.receive_data(line.open() + line("get"), now)


@pytest.mark.parametrize("settled", ["before", "after", "never"])
@pytest.mark.parametrize("timers", [True, False])
@pytest.mark.parametrize("transport", BOTH)
def test_an_answer_that_waits_too_long_is_gone(transport: Transport, timers: bool, settled: str) -> None:
    disk, endpoint, line = waiting(transport)
    assert endpoint.receive_data(line("get"), 1000.0) == b""
    if settled == "before":
        disk.settle()
    if timers:
        assert endpoint.handle_timeout(1120.0) == b""
        assert endpoint.idle
        assert endpoint.next_deadline() is None
        assert endpoint.later is None
    if settled == "after":
        disk.settle()
        if timers:
            assert endpoint.next_deadline() is None
            assert endpoint.handle_timeout(1121.0) == b""
    over(transport, endpoint, 1130.0)


@pytest.mark.parametrize("settled", ["before", "dark", "after"])
@pytest.mark.parametrize("transport", BOTH)
def test_an_answer_is_gone_with_the_power(transport: Transport, settled: str) -> None:
    disk, endpoint, line = waiting(transport)
    assert endpoint.receive_data(line("get"), 1000.0) == b""
    if settled == "before":
        disk.settle()
    disk.meter.power_down(1001.0)
    if settled == "dark":
        disk.settle()
        assert endpoint.handle_timeout(1001.5) == b""
        assert endpoint.later is None
    disk.meter.power_up(1002.0)
    if settled == "after":
        disk.settle()
    assert endpoint.handle_timeout(1003.0) == b""
    over(transport, endpoint, 1003.0)


@pytest.mark.parametrize("transport", BOTH)
def test_a_late_word_is_nothing_to_a_session_that_began_since(transport: Transport) -> None:
    disk, endpoint, line = waiting(transport)
    endpoint.handle_timeout(1120.0)
    line = Line(transport)
    endpoint.receive_data(line.open(), 1121.0)
    line.minutes = 30
    assert endpoint.receive_data(line("set"), 1121.0) == b""
    disk.settle()  # that of the session before
    assert endpoint.later is not None
    assert not endpoint.later.done
    assert endpoint.handle_timeout(1121.0) == b""
    disk.settle()
    assert SUCCESS in endpoint.handle_timeout(1121.0)


def test_what_cannot_be_delimited_behind_a_request_that_waits_ends_the_connection_after_its_answer() -> None:
    disk, line = SlowDisk(), Line("wrapper")
    endpoint = meter_on(disk)
    endpoint.receive_data(line.open(), 1000.0)
    assert endpoint.receive_data(line("set") + bytes.fromhex("00020010000100010000"), 1000.0) == b""
    assert not endpoint.closed
    disk.settle()
    assert SUCCESS in endpoint.handle_timeout(1000.0)
    assert endpoint.closed
    assert endpoint.receive_data(line("get"), 1000.0) == b""


def test_a_connection_that_cannot_be_delimited_is_closed_where_its_answer_is_gone() -> None:
    disk, line = SlowDisk(), Line("wrapper")
    endpoint = meter_on(disk)
    endpoint.receive_data(line.open(), 1000.0)
    endpoint.receive_data(line("set") + bytes.fromhex("00020010000100010000"), 1000.0)
    endpoint.handle_timeout(1120.0)
    assert endpoint.later is None
    assert endpoint.closed


# --- nothing before `after` -----------------------------------------------------------------------------


def after(transport: Transport) -> tuple[Later, MeterEndpoint, Line]:
    disk, later = SlowDisk(), Later()
    meter_on(disk)
    return later, disk.meter.endpoint(now=1000.0, after=later), Line(transport)


@pytest.mark.parametrize("transport", BOTH)
def test_nothing_is_answered_before_after_and_then_everything(transport: Transport) -> None:
    later, endpoint, line = after(transport)
    asked = line.open() + line("get")
    assert endpoint.receive_data(asked[:40], 1000.0) == b""
    assert endpoint.later is later
    assert endpoint.receive_data(asked[40:], 1000.0) == b""
    assert endpoint.handle_timeout(1001.0) == b""
    later.settle()
    said = endpoint.handle_timeout(1001.0)
    plain = SlowDisk()
    assert said == meter_on(plain).receive_data(asked, 1000.0)
    assert endpoint.later is None
    assert endpoint.receive_data(line("get"), 1001.0)


def test_an_after_that_is_over_is_none() -> None:
    later, endpoint, line = after("hdlc")
    later.settle()
    assert endpoint.receive_data(line.open(), 1000.0)
    assert endpoint.later is None


@pytest.mark.parametrize("transport", BOTH)
def test_nothing_is_answered_before_after_to_those_either_who_come_when_the_first_are_gone(
    transport: Transport,
) -> None:
    later, endpoint, line = after(transport)
    endpoint.receive_data(line.open(), 1000.0)
    endpoint.handle_timeout(1120.0)
    assert endpoint.idle
    assert endpoint.next_deadline() is None
    line = Line(transport)
    assert endpoint.receive_data(line.open(), 1130.0) == b""
    endpoint.handle_timeout(1250.0)
    assert endpoint.idle
    later.settle()
    # Whoever holds octets back meanwhile is told even where nobody has asked.
    assert endpoint.next_deadline() is not None
    assert endpoint.handle_timeout(1251.0) == b""
    assert endpoint.later is None
    line = Line(transport)
    assert endpoint.receive_data(line.open(), 1252.0)


# --- rows that have to be read --------------------------------------------------------------------------

RANGE: Final = between(START - timedelta(hours=3), START)
ENTRIES: Final = "0202040600000002060000000912000112 0000".replace(" ", "")
READINGS: Final = [
    (7, LOAD_PROFILE, 2, ""),
    (7, LOAD_PROFILE, 0, ""),
    (7, LOAD_PROFILE, 2, RANGE),
    (7, LOAD_PROFILE, 2, ENTRIES),
    (7, BILLING, 2, ""),
    (1, "0-0:97.97.0*255", 2, ""),
]


@pytest.mark.parametrize(
    "reading", READINGS, ids=["all", "attribute 0", "range", "entries", "billing", "word"]
)
@pytest.mark.parametrize(
    ("long_answers", "aarq"),
    [("block", AARQ), ("segment", AARQ), ("segment", AARQ[:-4] + "0000")],
    ids=["blocks", "segments", "of any length"],
)
@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("times", [1, 2])
def test_rows_are_sent_once_they_were_read_as_if_they_had_been_there(
    reading: tuple[int, str, int, str], long_answers: str, aarq: str, transport: Transport, times: int
) -> None:
    more = [("long_answers", long_answers)]
    slow, fast = SlowBench(transport, 16, more, times), Bench(transport, 16, more)
    for bench in (slow, fast):
        bench.enter("A" if transport == "hdlc" else "TA", aarq)
    assert slow.read(*reading) == fast.read(*reading)
    assert slow.answers == fast.answers
    assert slow.disk.waited >= times
    assert slow.read(8, "0-0:1.0.0*255") == fast.read(8, "0-0:1.0.0*255")


@pytest.mark.parametrize("reading", READINGS[:5], ids=["all", "attribute 0", "range", "entries", "billing"])
@pytest.mark.parametrize("transport", BOTH)
def test_rows_that_cannot_be_read_are_a_temporary_failure(
    reading: tuple[int, str, int, str], transport: Transport
) -> None:
    bench = SlowBench(transport, 16)
    bench.enter("A" if transport == "hdlc" else "TA")
    bench.error = LocalError("the disk is gone")
    assert bench.apdu(get_request(*reading)) == bytes.fromhex("C401C10102")
    bench.error = None
    assert bench.read(*reading)


@pytest.mark.parametrize("transport", BOTH)
def test_what_comes_behind_rows_waits_as_long_as_they_do(transport: Transport) -> None:
    disk, line = SlowDisk(times=2), Line(transport)
    endpoint = meter_on(disk)
    endpoint.receive_data(line.open(), 1000.0)
    assert endpoint.receive_data(line("rows") + line("get", 16), 1000.0) == b""
    disk.settle()
    assert endpoint.handle_timeout(1000.0) == b"", "they wait once more"
    assert endpoint.later is not None
    assert endpoint.receive_data(line("rr"), 1000.0) == b""
    said = all_answers(disk, endpoint)
    plain, other = SlowDisk(), Line(transport)
    immediate = meter_on(plain)
    plain.slow = False
    immediate.receive_data(other.open(), 1000.0)
    assert said == immediate.receive_data(other("rows") + other("get", 16) + other("rr"), 1000.0)


# --- the queue itself -----------------------------------------------------------------------------------


@given(
    laters=st.lists(st.booleans(), max_size=20),
    chunks=st.lists(st.integers(1, 5), max_size=20),
    settles=st.lists(st.booleans(), max_size=40),
)
def test_requests_are_served_each_once_and_in_their_order(
    laters: list[bool], chunks: list[int], settles: list[bool]
) -> None:
    queue: Waiting[int] = Waiting()
    under_way: list[Later] = []

    def serve(request: int, now: float) -> bytes:
        assert now == 1.0
        if not laters[request]:
            return bytes((request,))
        under_way.append(Later())
        queue.wait(under_way[-1], lambda now: bytes((request,)))
        return b""

    def cut() -> Iterator[list[int]]:
        rest = list(range(len(laters)))
        for size in [*chunks, len(rest)]:
            yield rest[:size]
            rest = rest[size:]

    said, choices = b"", iter(settles)
    for requests in cut():
        said += queue.take(requests, 1.0, serve)
        if next(choices, False) and under_way:
            under_way[-1].settle()
            said += queue.go_on(1.0, serve)
    while queue.later is not None:
        assert queue.go_on(1.0, serve) == b""
        under_way[-1].settle()
        said += queue.go_on(1.0, serve)
    assert said == bytes(range(len(laters)))


def test_a_request_may_wait_again_and_keeps_those_behind_it() -> None:
    queue: Waiting[str] = Waiting()
    first, second = Later(), Later()
    answers: list[Callable[[float], bytes]] = []

    def resume(now: float) -> bytes:
        queue.wait(second, lambda now: b"first")
        return b""

    def serve(request: str, now: float) -> bytes:
        if request == "first":
            queue.wait(first, resume)
            return b""
        return request.encode()

    assert not answers
    assert queue.take(["first", " second"], 0.0, serve) == b""
    first.settle()
    assert queue.go_on(0.0, serve) == b""
    assert queue.later is second
    assert queue.take([" third"], 0.0, serve) == b""
    second.settle()
    assert queue.go_on(0.0, serve) == b"first second third"


@pytest.mark.parametrize("transport", ["hdlc", "wrapper"])
def test_a_session_whose_answers_have_waited_leaves_nothing_for_the_collector(transport: Transport) -> None:
    """As `ports/loop.settle` reckons with: a fleet's sessions would be thousands of cycles."""

    def associations() -> int:
        return sum(isinstance(each, Association) for each in gc.get_objects())

    disk, line = SlowDisk(), Line(transport)
    endpoint: MeterEndpoint | None = meter_on(disk)
    assert endpoint is not None
    endpoint.receive_data(line.open(), 1000.0)
    gc.collect()
    before = associations()
    assert before >= 2
    gc.disable()
    try:
        for what in ("set", "rows"):
            answer = endpoint.receive_data(line(what), 1000.0)
            assert answer == b""
            while endpoint.later is not None:
                disk.settle()
                answer = endpoint.handle_timeout(1000.0)
            assert answer
        del endpoint
        assert associations() == before - 2
    finally:
        gc.enable()
