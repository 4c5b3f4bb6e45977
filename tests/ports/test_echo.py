from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ports.reading import expected, make_meter, read

from iondlms.errors import PortError
from iondlms.hdlc import Deframer, Frame
from iondlms.ports.echo import AsyncEchoTransport, EchoCanceller, EchoEndpoint, EchoMode, EchoTransport
from iondlms.ports.endpoint import LineState
from iondlms.ports.line import Pace
from iondlms.ports.memory import AsyncNullModem, Fault, FaultKind, Faults, NullModem

# SNRM from client 16 to Unit ID 100, and the meter's UA: frames of conformance DL-01's form.
REQUEST = Frame(bytes.fromhex("000200C9"), b"\x21", 0x93).encode()
ANSWER = Frame(b"\x21", bytes.fromhex("000200C9"), 0x73, bytes.fromhex("8180")).encode()
SECOND = Frame(bytes.fromhex("000200C9"), b"\x21", 0x53).encode()


def in_pieces(canceller: EchoCanceller, octets: bytes, cuts: list[int]) -> bytes:
    places = sorted({cut % (len(octets) + 1) for cut in cuts} | {0, len(octets)})
    return b"".join(canceller.received(octets[start:end]) for start, end in itertools.pairwise(places))


cuts = st.lists(st.integers(0, 200), max_size=12)


@given(cuts, cuts, st.sampled_from(("auto", "on")))
def test_an_echo_is_taken_away_however_it_is_cut(first: list[int], second: list[int], mode: EchoMode) -> None:
    canceller = EchoCanceller(mode)
    for cut in (first, second):
        canceller.sent(REQUEST)
        assert in_pieces(canceller, REQUEST + ANSWER, cut) == ANSWER
    assert canceller.echoing
    assert canceller.cancelled == 2


@given(cuts)
def test_without_echo_nothing_is_taken_and_the_first_answer_tells(cut: list[int]) -> None:
    canceller = EchoCanceller("auto")
    canceller.sent(REQUEST)
    assert in_pieces(canceller, ANSWER, cut) == ANSWER
    assert canceller.echoing is False


def test_off_takes_nothing() -> None:
    canceller = EchoCanceller("off")
    canceller.sent(REQUEST)
    assert canceller.received(REQUEST + ANSWER) == REQUEST + ANSWER


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("kind", ["damaged", "dropped", "doubled"])
def test_a_damaged_echo_never_eats_the_answer(mode: EchoMode, kind: str) -> None:
    for at in range(len(REQUEST)):
        echo = {
            "damaged": REQUEST[:at] + bytes((REQUEST[at] ^ 0x10,)) + REQUEST[at + 1 :],
            "dropped": REQUEST[:at] + REQUEST[at + 1 :],
            "doubled": REQUEST[: at + 1] + REQUEST[at:],
        }[kind]
        canceller = EchoCanceller(mode)
        canceller.sent(REQUEST)
        through = b"".join(canceller.received(bytes((octet,))) for octet in echo + ANSWER)
        assert through.endswith(ANSWER), at
        assert Frame.decode(ANSWER) in Deframer().feed(through), at


@pytest.mark.parametrize("at", [REQUEST.__len__() - 2, REQUEST.__len__() - 4])
def test_an_echo_that_was_damaged_late_leaves_the_question_open(at: int) -> None:
    canceller = EchoCanceller("auto")
    canceller.sent(REQUEST)
    canceller.received(REQUEST[:at] + b"\xff" + REQUEST[at + 1 :] + ANSWER)
    assert canceller.echoing is None
    canceller.sent(SECOND)
    assert canceller.received(SECOND + ANSWER) == ANSWER
    assert canceller.echoing


def test_a_glitch_before_the_echo() -> None:
    canceller = EchoCanceller("on")
    canceller.sent(REQUEST)
    assert canceller.received(b"\x00\xff" + REQUEST + ANSWER) == b"\x00\xff" + ANSWER
    assert canceller.cancelled == 1


def test_an_echo_that_was_lost_does_not_hide_the_next() -> None:
    canceller = EchoCanceller("on")
    canceller.sent(REQUEST)
    canceller.sent(SECOND)
    assert canceller.received(SECOND + ANSWER) == ANSWER


def test_what_is_never_echoed_is_not_remembered_for_ever() -> None:
    canceller = EchoCanceller("on")
    for _ in range(10_000):
        canceller.sent(REQUEST)
    assert len(canceller._awaited) <= 4
    assert canceller.received(ANSWER) == ANSWER


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from((REQUEST, ANSWER, SECOND))), max_size=20))
def test_whatever_comes_nothing_but_echoes_is_lost(chunks: list[bytes]) -> None:
    canceller = EchoCanceller("on")
    came = through = b""
    for chunk in chunks:
        canceller.sent(REQUEST)
        came += chunk
        through += canceller.received(chunk)
    through += canceller._held
    # A flag may be put back before an answer whose own was taken for the end of an echo.
    surplus = len(through) + canceller.cancelled * len(REQUEST) - len(came)
    assert 0 <= surplus <= canceller.cancelled


def test_a_meter_is_read_over_an_echoing_line() -> None:
    assert read(lambda: EchoTransport(NullModem(make_meter().endpoint(), Faults(echo=True)))) == expected()


def test_the_meters_side_does_not_hear_itself() -> None:
    meter = make_meter()
    heard: list[bytes] = []

    class Listening:
        idle = closed = False
        later = None

        def receive_data(self, data: bytes, now: float) -> bytes:
            heard.append(data)
            return own.receive_data(data, now)

        def next_deadline(self) -> float | None:
            return own.next_deadline()

        def handle_timeout(self, now: float) -> bytes:
            return own.handle_timeout(now)

    own = meter.endpoint()
    endpoint = EchoEndpoint(Listening())
    answer = endpoint.receive_data(REQUEST, 0.0)
    assert Frame.decode(answer).control == 0x73
    deadline = endpoint.next_deadline()
    assert endpoint.receive_data(answer[:5], 100.0) + endpoint.receive_data(answer[5:], 100.0) == b""
    assert heard == [REQUEST]
    assert endpoint.next_deadline() == deadline  # an echo keeps no association alive
    assert not endpoint.idle
    assert not endpoint.closed
    assert endpoint.handle_timeout(120.0) == b""
    assert own.idle


def test_a_damaged_octet_of_the_echo_costs_nothing_but_that_echo() -> None:
    # Every octet of the client's first 60 is damaged on its way to the meter, one after the other: repeated.
    for at in range(0, 60, 7):
        faults = Faults({at: Fault(FaultKind.DAMAGE)}, echo=True)
        got = read(lambda faults=faults: EchoTransport(NullModem(make_meter().endpoint(), faults)))  # type: ignore[misc]
        assert got == expected()


async def test_the_same_for_asyncio() -> None:
    line = AsyncEchoTransport(
        AsyncNullModem(NullModem(make_meter().endpoint(), Faults(echo=True, chunk=3), pace=Pace(9600)))
    )
    await line.configure(LineState(9600))
    assert await line.carrier() is None
    await line.send(REQUEST)
    got = b""
    while len(got) < 3 or not got.endswith(b"~"):
        got += await line.receive(line.now() + 5)
    assert Frame.decode(got).control == 0x73
    assert line.canceller.cancelled == 1
    assert await line.receive(line.now() + 1) == b""
    await line.close()
    with pytest.raises(PortError):
        await line.send(b"x")


def test_the_line_below_is_steered_through_it() -> None:
    line = EchoTransport(NullModem(make_meter().endpoint(), pace=Pace(9600)))
    line.configure(LineState(300))
    line.send(REQUEST)
    assert line.receive(line.now() + 10) == b""  # the meter is at 9600 baud
    assert line.carrier() is None


def test_closing() -> None:
    line = NullModem(make_meter().endpoint())
    EchoTransport(line).close()
    with pytest.raises(PortError):
        line.send(b"x")
