"""The short ways of the data link come to the same as the long ones, which they leave out.

Each has a twin that knows no short way: a station whose `_expected` expects nothing, a deframer that gets one
octet at a time. All live through the same script, and must say and be the same after each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.hdlc.builders import CLIENT, SERVER

from iondlms.errors import LocalError
from iondlms.hdlc import (
    Control,
    Deframer,
    Event,
    Frame,
    Kind,
    Primary,
    Reaction,
    Secondary,
    ServerAddress,
    known,
    secondary,
)
from iondlms.hdlc.deframer import known_frame
from iondlms.hdlc.frame import POLL
from iondlms.hdlc.secondary import _Link
from iondlms.hdlc.transfer import Transfer

COMMAND, RESPONSE = bytes.fromhex("E6E600"), bytes.fromhex("E6E700")
OTHER = bytes.fromhex("03")  # SAP 1


class LongSecondary(Secondary):
    def _expected(self, link: Any, frame: Frame) -> Reaction | None:
        return None


class LongPrimary(Primary):
    def _expected(self, frame: Frame) -> Reaction | None:
        return None


class ShortestSecondary(Secondary):
    """Takes octets, where those of the frame are the request that is due, before anybody cuts it out."""

    def receive(self, frame: Frame) -> Reaction:
        return self.whole(frame.encode()) or super().receive(frame)


PARTS = (Secondary, Primary, Transfer, _Link)


def fields(one: Any) -> Any:
    """All that an object is made of, its parts likewise."""
    if isinstance(one, PARTS):
        named = [*getattr(type(one).__mro__[-2], "__slots__", ()), *getattr(one, "__dict__", {})]
        # Who spoke last is remembered for the short way alone; iterators are never equal.
        return {name: fields(getattr(one, name)) for name in named if name not in ("_talking", "_pieces")}
    if isinstance(one, dict):
        return {key: fields(value) for key, value in one.items()}
    return bytes(one) if isinstance(one, bytearray) else one


# --- frames -----------------------------------------------------------------------------------------

# Small numbers, so that what is in turn comes as often as what is not.
numbers = st.integers(0, 3)
polls = st.sampled_from((POLL, POLL, 0))
controls = st.one_of(
    st.builds(lambda n, s, poll: n << 5 | s << 1 | poll, numbers, numbers, polls),
    st.builds(lambda n, poll: n << 5 | Control.RR | poll, numbers, polls),
    st.sampled_from((Control.RNR | POLL, Control.UI | POLL, Control.DISC | POLL, Control.UA, 0xFF)),
    st.sampled_from((Control.SNRM | POLL, Control.UA | POLL, Control.DM | POLL, Control.FRMR | POLL)),
)
contents = st.one_of(
    st.builds(bytes.__add__, st.sampled_from((COMMAND, RESPONSE)), st.binary(max_size=3)),
    st.sampled_from((b"", b"\xe6\xe6", bytes(128), COMMAND + bytes(125), RESPONSE + bytes(200))),
)


@st.composite
def frames(draw: st.DrawFn, to: bytes, of: bytes) -> Frame:
    station = draw(st.sampled_from((of, of, of, OTHER if len(of) == 1 else of[:2] + bytes((0, 0x25)))))
    return Frame(to, station, draw(controls), draw(contents), draw(st.booleans()) and draw(st.booleans()))


class Due:
    """Placeholder of the frame that is due just then: without it, long conversations hardly come up."""

    def __init__(self, information: bytes, segmented: bool, polled: int) -> None:
        self.information = information
        self.segmented = segmented
        self.polled = polled


def due(llc: bytes) -> st.SearchStrategy[Due]:
    lengths = st.sampled_from((0, 1, 90, 98, 101, 125, 126, 200))
    return st.builds(
        lambda length, more, poll: Due(llc + bytes(length), more, poll), lengths, st.booleans(), polls
    )


answers = st.sampled_from((None, b"", b"answer", bytes(125), bytes(126), bytes(400)))


# Segments beyond what is held, then a whole request; an RR that is due and has information.
LONG_REQUEST = [
    (Due(COMMAND + bytes(90), True, POLL), None),
    (Due(bytes(90), True, POLL), None),
    (Due(COMMAND + b"?", False, POLL), b"answer"),
]
# As long as may be held, and an octet more.
LONGEST_REQUEST = [(Due(COMMAND + bytes(length), False, POLL), b"answer") for length in (100, 101)]
# A request without P, whose answer waits, and another.
UNSENT = [(Due(COMMAND + b"?", False, 0), b"answer"), (Due(COMMAND + b"!", False, POLL), b"other")]
FULL_RR = [(Frame(SERVER, CLIENT, Control.RR | POLL, b"?"), None)]


@example(LONG_REQUEST, False)
@example(LONGEST_REQUEST, False)
@example(FULL_RR, False)
@example(UNSENT, False)
@given(
    st.lists(
        st.tuples(
            st.one_of(due(COMMAND), due(COMMAND), due(b""), st.just("RR"), frames(SERVER, CLIENT)), answers
        )
    ),
    st.booleans(),
)
def test_the_secondary(script: list[tuple[Frame | Due | str, bytes | None]], piecewise: bool) -> None:
    kinds = (ShortestSecondary, Secondary, LongSecondary)
    shortest, short, long = (kind(17, max_lsdu=100) for kind in kinds)
    snrm = Frame(SERVER, CLIENT, Control.SNRM | POLL)
    assert shortest.receive(snrm) == short.receive(snrm) == long.receive(snrm)
    for step, answer in script:
        frame = step if isinstance(step, Frame) else in_turn(long, step)
        reaction = short.receive(frame)
        assert shortest.receive(frame) == reaction == long.receive(frame)
        if reaction.event in (Event.LSDU, Event.TOO_LONG):
            said = [
                each.answer(reaction.client, answer, cut(answer) if piecewise else None)
                for each in (shortest, short, long)
            ]
            assert said[0] == said[1] == said[2]
        assert fields(shortest) == fields(short) == fields(long)


def cut(answer: bytes | None) -> Iterator[bytes] | None:
    return None if answer is None else iter([b"", b"more", bytes(150)])


def in_turn(station: Secondary, step: Due | str) -> Frame:
    """The client's next frame in a conversation without trouble."""
    link = (station._links or {}).get(16)
    sent, received = (0, 0) if link is None else (link.transfer.send_number, link.transfer.receive_number)
    if isinstance(step, str):
        return Frame(SERVER, CLIENT, sent << 5 | Control.RR | POLL)
    return Frame(SERVER, CLIENT, sent << 5 | step.polled | received << 1, step.information, step.segmented)


calls = st.sampled_from(("ask", "ask", "time-out"))


@example(["ask", "time-out", Due(RESPONSE + b"!", False, POLL), "ask"])
@example(["ask", Due(RESPONSE + bytes(200), False, POLL)])
@example(["ask", Due(RESPONSE + b"an", True, POLL), Due(b"swer", False, POLL)])
@given(st.lists(st.one_of(calls, due(RESPONSE), calls, due(RESPONSE), due(b""), frames(CLIENT, SERVER))))
def test_the_primary(script: list[Frame | Due | str]) -> None:
    short, long = (kind(16, ServerAddress(1, 17), tries=2, max_lsdu=150) for kind in (Primary, LongPrimary))
    assert short.connect() == long.connect()
    ua = Frame(CLIENT, SERVER, Control.UA | POLL)
    assert short.receive(ua) == long.receive(ua)
    for step in script:
        if step == "time-out":
            assert short.timeout() == long.timeout()
        elif step == "ask":
            said = [asked(each) for each in (short, long)]
            assert said[0] == said[1]
        else:
            frame = step if isinstance(step, Frame) else answer_in_turn(long, step)
            assert short.receive(frame) == long.receive(frame)
        assert fields(short) == fields(long)


def asked(station: Primary) -> bytes | str:
    try:
        return station.send(bytes(130))
    except LocalError as error:
        return str(error)


def answer_in_turn(station: Primary, step: Any) -> Frame:
    transfer = station._transfer
    control = transfer.send_number << 5 | step.polled | transfer.receive_number << 1
    return Frame(CLIENT, SERVER, control, step.information, step.segmented)


@pytest.mark.parametrize("length", [20, 88, 89])
def test_a_request_that_came_before_is_not_read_again(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "KNOWN", {})
    monkeypatch.setattr(secondary, "KNOWN", known.KNOWN)
    lsdu = b"\xc0" + bytes(length - 1)
    request = Frame(SERVER, CLIENT, POLL, COMMAND + lsdu).encode()
    snrm = Frame(SERVER, CLIENT, Control.SNRM | POLL)
    stations = [Secondary(17), Secondary(17), Secondary(18)]
    for station in stations:
        station.receive(snrm._replace(destination=station._address))
    first = stations[0].whole(request)
    assert first == Reaction(b"", Event.LSDU, 16, lsdu)
    read: list[bytes] = []
    whole = Transfer.whole

    def reads(transfer: Transfer, data: bytes, begin: bytes) -> bytes | None:
        read.append(data)
        return whole(transfer, data, begin)

    monkeypatch.setattr(Transfer, "whole", reads)
    assert stations[1].whole(request) == first
    assert len(read) == (len(request) > 100)  # what is long is not remembered
    for station in stations:  # it was taken already, or is for another
        assert station.whole(request) is None
    # Of another client it is another.
    stations[1].receive(snrm._replace(source=OTHER))
    assert stations[1].whole(request) is None


def test_few_requests_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[bytes, known.KnownRequest] = {}
    monkeypatch.setattr(known, "KNOWN", kept)
    for number in range(3 * 512 + 1):
        request = known.KnownRequest(SERVER, CLIENT, 0, Reaction(lsdu=b"\xc0"))
        assert known.keep(number.to_bytes(2, "big"), request) is request
        assert 0 < len(kept) <= 512


@pytest.mark.parametrize(
    ("lsdu", "is_kept"),
    [
        ("62 03 800100", True),
        ("60 1D A109060760857405080101 BE10040E01000000065F1F0400001E5D0000", True),
        ("60 36 A109060760857405080101 8A020780 8B0760857405080201 AC0A80083132333435363738", False),
        ("C1 01 C1 000F0000280000FF0700 09083132333435363738", False),
        ("C3 01 C1 000F0000280000FF01 0109083132333435363738", False),
    ],
)
def test_no_request_with_a_secret_is_remembered(
    lsdu: str, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[bytes, known.KnownRequest] = {}
    monkeypatch.setattr(known, "KNOWN", kept)
    known.keep(b"octets", known.KnownRequest(SERVER, CLIENT, 0, Reaction(lsdu=bytes.fromhex(lsdu))))
    assert bool(kept) is is_kept


# --- octets -----------------------------------------------------------------------------------------

WHOLE = Frame(CLIENT, SERVER, POLL, RESPONSE + b"whole").encode()
chunks = st.one_of(
    st.builds(
        lambda number, data: Frame(CLIENT, SERVER, number << 5 | POLL, data).encode(),
        st.integers(0, 1),
        st.sampled_from((b"", RESPONSE + b"~A\xa0", bytes(40))),
    ),
    st.sampled_from((b"~", b"~~", b"~\xa0", b"~\xa0\x0a\x00", b"noise", b"")),
    # A header that is known, and another length than it says.
    st.builds(
        lambda cut, more: (WHOLE + more)[: cut or None],
        st.integers(-3, 0),
        st.sampled_from((b"", b"x", WHOLE)),
    ),
)

damage = st.sampled_from((None, None, None, 0, 2, 9, -1, -2))


@example([(WHOLE, -1, False), (WHOLE + WHOLE, None, False), (WHOLE + WHOLE[:1], None, True)])
@example([(WHOLE[:-2] + b"~", None, False), (WHOLE, None, False)])
@given(st.lists(st.tuples(chunks, damage, st.booleans()), max_size=12))
def test_the_deframer(script: list[tuple[bytes, int | None, bool]]) -> None:
    short, long = Deframer(), Deframer()
    assert short.feed(WHOLE) == [frame for octet in WHOLE for frame in long.feed(bytes((octet,)))]
    for octets, at, shared_flag in script:
        data = bytearray(octets[1:] if shared_flag and octets.startswith(b"~") else octets)
        if at is not None and len(data) > 10:
            data[at] ^= 0x40
        found = short.feed(bytes(data))
        assert found == [frame for octet in data for frame in long.feed(bytes((octet,)))]
        for name in ("frames", "fcs_errors", "damaged_frames", "noise", "timeouts", "pending"):
            assert getattr(short, name) == getattr(long, name), name


MODES = [Frame(SERVER, CLIENT, control | POLL) for control in (Control.SNRM, Control.DISC, Control.UA)]
MODES += [Frame(SERVER, CLIENT, Control.SNRM | POLL, b"~A\xa0"), Frame(SERVER, CLIENT, POLL, COMMAND + b"?")]


@given(
    st.lists(st.sampled_from([*[each.encode() for each in MODES], b"~", b"\0", WHOLE[:5]]), max_size=2),
    st.tuples(st.integers(-60, 60), damage),
)
def test_a_known_frame_is_that_frame_alone(parts: list[bytes], spoilt: tuple[int, int | None]) -> None:
    data = bytearray(b"".join(parts))
    place, bit = spoilt
    if bit is not None and -len(data) <= place < len(data):
        data[place] ^= 1 << bit % 8
    octets = bytes(data)
    with patch("iondlms.hdlc.deframer._KNOWN", {}):
        assert known_frame(octets) is None
        Deframer().feed(octets)
        frame = known_frame(octets)
        found = [each for each in MODES if each.encode() == octets and each.kind is not Kind.I]
        assert frame == (found[0] if found else None)
    if found:
        for held in (b"", b"~"):  # nothing, or the flag of the frame before
            deframer = Deframer()
            deframer.feed(held)
            assert deframer.feed(octets) == found
            assert deframer.between_frames


# --- a long answer in pieces ------------------------------------------------------------------------


def test_pieces_are_taken_as_the_frames_go_out() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield bytes((number,)) * 300

    station = Secondary(17)
    station.receive(Frame(SERVER, CLIENT, Control.SNRM | POLL))
    station.receive(Frame(SERVER, CLIENT, POLL, COMMAND + b"?"))
    reader = Deframer()
    octets = station.answer(16, b"head", pieces())
    assert taken == 1
    received, more, number = b"", True, 0
    while more:
        (frame,) = reader.feed(octets)
        received += frame.information
        assert taken <= len(received) // 300 + 2
        more, number = frame.segmented, number + 1
        octets = station.receive(Frame(SERVER, CLIENT, (number & 7) << 5 | Control.RR | POLL)).octets
    assert received == RESPONSE + b"head" + b"".join(bytes((each,)) * 300 for each in range(100))
    (frame,) = reader.feed(octets)
    assert frame.control & 0x0F == Control.RR  # nothing is left to say
