"""What the server leaves out: taking requests to pieces, octets before they are due, waiting for disks."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.meter.bench import AARQ, ASSOCIATION, LOAD_PROFILE, SERVER, START_MS, Bench, get_request

from iondlms.client import Client
from iondlms.hdlc.frame import build
from iondlms.ion.log import RowFormat
from iondlms.meter import MeterHost, foreseen, load
from iondlms.meter.foreseen import Foreseen
from iondlms.meter.service import Association, LinkLimits
from iondlms.store import Store
from iondlms.xdlms import Conformance, GetRequestNext, InitiateRequest

HDLC = LinkLimits(125, 125, 0)
FOREVER = (b"", b"\xc0", bytes.fromhex("6203800100"), bytes.fromhex(get_request(15, ASSOCIATION, 1)))


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("hdlc")


# --- the block that is due --------------------------------------------------------------------------

steps = st.one_of(
    st.just(0),  # the next block
    st.just(0),
    st.sampled_from((-2, -1, 1)),  # another than the next
    st.sampled_from(FOREVER),
    st.sampled_from((bytes.fromhex(AARQ), bytes.fromhex(get_request(7, LOAD_PROFILE, 2)))),
)


@example(script=[*[0] * 20, b""], invoke=0xC1)  # nothing is due after the last block, and b"" is not it
@given(script=st.lists(steps, max_size=12), invoke=st.sampled_from((0xC1, 0xC1, 0x41, 0xC2)))
def test_the_due_block_is_what_handle_returns(bench: Bench, script: list[int | bytes], invoke: int) -> None:
    short, long = (Association(bench.meter.application("ETHERNET"), 16) for _ in range(2))
    for octets in (AARQ, get_request(7, LOAD_PROFILE, 2)):
        assert short.handle(bytes.fromhex(octets), HDLC) == long.handle(bytes.fromhex(octets), HDLC)
    number = 1
    for step in script:
        apdu = step if isinstance(step, bytes) else GetRequestNext(invoke, max(0, number + step)).encode()
        answer = short.next_block() if short.cutter is not None and apdu == short.cutter.due else None
        if answer is None:
            answer = short.handle(apdu, HDLC)
        assert answer == long.handle(apdu, HDLC)
        if answer is not None and answer.startswith(bytes.fromhex("C402")):
            number = int.from_bytes(answer[4:8], "big")


def test_the_due_block_is_asked_for_in_the_short_way(bench: Bench) -> None:
    one = Association(bench.meter.application("ETHERNET"), 16)
    one.handle(bytes.fromhex(AARQ), HDLC)
    block = one.handle(bytes.fromhex(get_request(7, LOAD_PROFILE, 2)), HDLC) or b""
    assert block.startswith(bytes.fromhex("C402C1"))
    assert one.cutter is not None
    assert one.cutter.due == GetRequestNext(0xC1, 1).encode()
    assert (one.next_block() or b"")[4:8] == bytes((0, 0, 0, 2))
    assert one.cutter.due == GetRequestNext(0xC1, 2).encode()


def test_a_fault_in_place_of_the_answer_comes_first(bench: Bench) -> None:
    application = bench.meter.application("ETHERNET")
    one = Association(application, 16)
    one.handle(bytes.fromhex(AARQ), HDLC)
    one.handle(bytes.fromhex(get_request(7, LOAD_PROFILE, 2)), HDLC)
    application.instead.answer = lambda _apdu: b"instead"
    request = GetRequestNext(0xC1, 1).encode()
    assert one.cutter is not None
    assert one.cutter.due == request
    assert one.next_block() is None
    assert one.handle(request, HDLC) == b"instead"


# --- the frame that is foreseen ---------------------------------------------------------------------


FORESEEN = Foreseen.answer


class Ends:
    """Two lines to one meter: one takes the short way wherever it is offered, the other never."""

    def __init__(self, bench: Bench, aarq: str = AARQ) -> None:
        self.bench = bench
        self.short, self.long = (bench.meter.endpoint(now=bench.now) for _ in range(2))
        self.send_number = self.receive_number = self.number = self.followed = self.foreseen = 0
        self.last = self.kept = b""
        self.say(bench.frame(0x93))
        for apdu in (aarq, get_request(7, LOAD_PROFILE, 2)):
            self.say(self.i_frame(bytes.fromhex(apdu)))

    def counted(self, foreseen: Foreseen) -> bytes:
        self.foreseen += 1
        return FORESEEN(foreseen)

    def i_frame(self, apdu: bytes) -> bytes:
        control = self.receive_number << 5 | 0x10 | self.send_number << 1
        return self.bench.frame(control, bytes.fromhex("E6E600") + apdu)

    def next_block(self, step: int = 0) -> bytes:
        return self.i_frame(GetRequestNext(0xC1, max(0, self.number + step)).encode())

    def say(self, octets: bytes, instead: bytes = b"") -> None:
        now = self.bench.now
        application = self.bench.meter.application("ETHERNET")
        application.instead.answer = (lambda _apdu: instead) if instead else None
        with patch("iondlms.hdlc.deframer._KNOWN", {}):
            said = self.long.receive_data(octets, now)
        application.instead.answer = (lambda _apdu: instead) if instead else None
        with patch.object(Foreseen, "answer", lambda foreseen: self.counted(foreseen)):
            answer = self.short.follow(octets, now)
        if answer is None:
            answer = self.short.receive_data(octets, now)
        else:
            self.followed += 1
        application.instead.answer = None
        assert answer == said
        assert self.short.next_deadline() == self.long.next_deadline()
        assert (self.short.linked, self.short.closed) == (self.long.linked, self.long.closed)
        self.last = octets
        for control, information, _ in self.bench.frames(answer)[-1:]:
            if not control & 1:
                self.send_number, self.receive_number = control >> 5, (control >> 1 & 7) + 1 & 7
            if information.startswith(bytes.fromhex("E6E700C402")):
                self.number = int.from_bytes(information[7:11], "big")

    def look(self) -> None:
        """See what was counted, which is told late where requests were foreseen."""
        assert self.short.counters == self.long.counters

    def wait(self, seconds: float) -> None:
        self.bench.now += seconds
        for each in (self.short, self.long):
            deadline = each.next_deadline()
            if deadline is not None and deadline <= self.bench.now:
                each.handle_timeout(self.bench.now)
        self.bench.meter.advance(self.bench.now)


def cut(octets: bytes, at: int) -> tuple[bytes, bytes]:
    return octets[:at], octets[at:]


ACTIONS: dict[str, Any] = {
    "next": lambda ends: ends.say(ends.next_block()),
    "earlier": lambda ends: ends.say(ends.next_block(-1)),
    "later": lambda ends: ends.say(ends.next_block(1)),
    "again": lambda ends: ends.say(ends.last),
    "ready": lambda ends: ends.say(ends.bench.frame(ends.receive_number << 5 | 0x11)),
    "twice at once": lambda ends: ends.say(ends.next_block() * 2),
    "in halves": lambda ends: [ends.say(each) for each in cut(ends.next_block(), 9)],
    "half": lambda ends: ends.say(ends.next_block()[:12]),
    "without its flag": lambda ends: ends.say(ends.next_block()[1:]),
    "damaged": lambda ends: ends.say(ends.next_block().replace(b"\xc0\x02", b"\xc0\x03")),
    "noise": lambda ends: ends.say(b"\x00\x7e\xff"),
    "another GET": lambda ends: ends.say(ends.i_frame(bytes.fromhex(get_request(15, ASSOCIATION, 1)))),
    "the buffer anew": lambda ends: ends.say(ends.i_frame(bytes.fromhex(get_request(7, LOAD_PROFILE, 2)))),
    "the buffer anew, and half of what follows": lambda ends: ends.say(
        ends.i_frame(bytes.fromhex(get_request(7, LOAD_PROFILE, 2))) + ends.next_block()[1:13]
    ),
    "too long": lambda ends: ends.say(ends.i_frame(bytes(140))),
    "another LLC": lambda ends: ends.say(ends.next_block().replace(b"\xe6\xe6\x00", b"\xe6\xe7\x00")),
    "eight others": lambda ends: [ACTIONS["another GET"](ends) for _ in range(8)],
    "the same octets": lambda ends: ends.say(ends.kept),
    "keep the next": lambda ends: setattr(ends, "kept", ends.next_block()),
    "another client": lambda ends: ends.say(build(SERVER, b"\x03", 0x93)),
    "a fault": lambda ends: ends.say(ends.next_block(), instead=bytes.fromhex("D80102")),
    "look": lambda ends: ends.look(),
    "DISC": lambda ends: ends.say(ends.bench.frame(0x53)),
    "a pause": lambda ends: ends.wait(1.6),
    "a long pause": lambda ends: ends.wait(121.0),
    "asleep": lambda ends: setattr(
        ends.bench, "now", ends.bench.now + 121.0
    ),  # nobody looked at the deadline
}
usual = st.sampled_from(("next", "next", "next", *ACTIONS))


@example(script=["next"] * 12)
@example(script=["next", "a fault", "next", "next"])
@example(script=["next", "asleep", "next"])
@example(script=["a pause", "next", "without its flag"])
@example(script=["next", "too long", "next", "ready"])
@example(script=["next", "half", "next", "next"])
@example(script=["next", "another client", "next", "next"])
@example(script=["keep the next", "eight others", "the same octets"])  # all that is numbered is as it was
@example(script=["the buffer anew, and half of what follows", "next", "next"])
@example(script=["next", "next", "look", "next", "again", "look"])
@example(script=["next", "next", "ready", "next", "earlier"])
@given(script=st.lists(usual, max_size=14))
def test_what_is_foreseen_is_answered_as_what_is_read(bench: Bench, script: list[str]) -> None:
    ends = Ends(bench)
    for name in script:
        ACTIONS[name](ends)
    ends.look()
    if script and set(script) == {"next"}:
        # The AARQ, the GET, and each request for a block, the one that comes too late included.
        assert ends.followed == 2 + len(script)
        assert ends.foreseen == min(len(script), ends.number - 1)


@pytest.fixture(scope="module")
def framed() -> Bench:
    return Bench("hdlc", settings=(("port.ETHERNET.framing", "hdlc"),))


MODES: dict[str, Any] = {
    **ACTIONS,
    "SNRM": lambda ends: ends.say(ends.bench.frame(0x93)),
    "SNRM in halves": lambda ends: [ends.say(each) for each in cut(ends.bench.frame(0x93), 5)],
    "SNRM damaged": lambda ends: ends.say(ends.bench.frame(0x93)[:-3] + b"??~"),
    "SNRM without P": lambda ends: ends.say(ends.bench.frame(0x83)),
    "SNRM, and half of a frame": lambda ends: ends.say(ends.bench.frame(0x93) + ends.next_block()[1:13]),
    "SNRM of another": lambda ends: ends.say(build(SERVER, b"\x03", 0x93)),
    "SNRM for another": lambda ends: ends.say(build(b"\x02\x23", b"\x21", 0x93)),
    "DISC twice": lambda ends: ends.say(ends.bench.frame(0x53) * 2),
}


@example(script=["SNRM", "the buffer anew", "DISC", "DISC", "SNRM"])
@example(script=["half", "SNRM", "a pause", "SNRM", "next"])
@example(script=["asleep", "SNRM", "next"])
@given(script=st.lists(st.sampled_from(list(MODES)), max_size=10))
def test_what_sets_the_mode_is_followed_as_it_is_received(framed: Bench, script: list[str]) -> None:
    ends = Ends(framed)
    assert ends.followed == 3  # SNRM as the first octets of all, AARQ, GET
    for name in script:
        MODES[name](ends)
    ends.look()
    if set(script) <= {"SNRM", "DISC", "SNRM of another"}:
        assert ends.followed == 3 + len(script)


def test_what_comes_at_the_very_end_of_the_inactivity_ends_it(framed: Bench) -> None:
    # By floats the sum is reached before the difference is.
    heard = next(at for at in (1000.0 + k * 0.1 for k in range(10_000)) if at + 120.0 - at < 120.0)
    snrm = framed.frame(0x93)
    framed.meter.endpoint(now=heard).receive_data(snrm, heard)  # so that it is known
    endpoint = framed.meter.endpoint(now=heard)
    endpoint.handle_timeout(heard + 120.0)
    assert endpoint.idle
    assert endpoint.follow(snrm, heard + 120.0) is None
    assert endpoint.receive_data(snrm, heard + 120.0)
    assert not endpoint.idle
    assert endpoint.next_deadline() == heard + 120.0 + 120.0


def test_what_is_said_of_blocks_is_made_once_for_transfers_that_are_alike(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[Any, Any] = {}
    monkeypatch.setattr(foreseen, "_ladder", lambda *kind: kept.setdefault(kind, {}))
    made = []
    for _ in range(2):
        ends = Ends(bench)
        for _ in range(6):
            ends.say(ends.next_block())
        assert ends.foreseen == 6
        made.append([id(rung) for ladder in kept.values() for rung in ladder.values()])
    assert made[0] == made[1]
    assert len(made[0]) == 6


def test_blocks_that_take_more_than_a_frame_are_not_foreseen() -> None:
    own = Bench("hdlc", settings=(("meter.long_answers", "segment"),))
    ends = Ends(own, AARQ[:-4] + "0082")  # blocks of 130 octets; with LLC a frame has no room for them
    assert ends.number == 1
    ends.say(own.frame(ends.receive_number << 5 | 0x11))
    # What cannot be read is refused in one frame, and the transfer goes on.
    ends.say(ends.i_frame(bytes.fromhex("C002C1")))
    ends.say(ends.next_block())
    ends.say(own.frame(ends.receive_number << 5 | 0x11))
    assert (ends.number, ends.foreseen) == (2, 0)


def test_a_meter_without_power_follows_nothing() -> None:
    own = Bench("hdlc")
    ends = Ends(own)
    own.meter.power_down(own.now)
    assert ends.short.follow(ends.next_block(), own.now) is None
    ends.say(ends.next_block())


# --- an answer without limit ------------------------------------------------------------------------

ROWS = 20_000
# It takes no blocks and sets no limit: nothing but segments can carry the buffer.
NO_BLOCKS = InitiateRequest(Conformance.GET | Conformance.SELECTIVE_ACCESS, 0).encode()
AARQ_NO_BLOCKS = f"601DA109060760857405080101BE10040E{NO_BLOCKS.hex()}"


def test_an_answer_without_limit_is_made_as_it_goes_out() -> None:
    large = Bench("hdlc", settings=(("history", ROWS),))
    expected = Bench("wrapper", settings=(("history", ROWS),))
    expected.associate()
    whole = expected.read(7, LOAD_PROFILE)
    assert len(whole) > 700_000
    large.snrm()
    large.associate(AARQ_NO_BLOCKS)
    # The rows are copied as they are at this moment; beside that only what is at hand for some frames.
    snapshot = RowFormat(4).stride * ROWS
    digest = hashlib.sha256()
    tracemalloc.start()
    try:
        octets = large.i_frame(bytes.fromhex(get_request(7, LOAD_PROFILE, 2)))
        more = True
        while more:
            ((_, information, more),) = large.frames(large.send(octets))
            digest.update(information)
            large.receive_number = large.receive_number + 1 & 7
            octets = large.receive_ready()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert digest.digest() == hashlib.sha256(bytes.fromhex("E6E700C401C100") + whole).digest()
    assert peak < snapshot + len(whole) / 3


# --- the disk ---------------------------------------------------------------------------------------


async def test_no_write_holds_up_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row each 50 ms, and requests all the while: all that is written is written by another thread."""
    writers: list[int] = []
    original = Store.write

    def watched(self: Store, batch: Any) -> None:
        writers.append(threading.get_ident())
        original(self, batch)

    settings = [("data", str(tmp_path)), ("history", 20), ("port.ETHERNET.listen", "127.0.0.1:0")]
    config = load(None, [*settings, ("load_profile.period", 1)])
    async with asyncio.timeout(20), MeterHost(config, utc_ms=START_MS, speed=20.0) as host:
        monkeypatch.setattr(Store, "write", watched)
        async with Client(f"{host.ports[0].url}?unit=100") as client:
            before = (await client.get("1-0:99.1.0*255", 7)).integer()
            while (await client.get("1-0:99.1.0*255", 7)).integer() < before + 5:
                await client.profile("load", last=3)
        assert len(writers) >= 5
        assert threading.get_ident() not in writers
        monkeypatch.undo()
