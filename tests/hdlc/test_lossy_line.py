"""Primary and Secondary joined by a line that loses, doubles and damages frames.

Whatever the line does, no request is executed twice, no answer is another's, none has a gap; what cannot be
had is reported as an error.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from iondlms.hdlc import Deframer, Event, LinkParameters, Primary, Secondary, ServerAddress
from iondlms.hdlc.primary import State


class Fate(Enum):
    """What the line does to a frame."""

    ARRIVES = "arrives"
    LOST = "lost"
    DOUBLED = "doubled"
    DAMAGED = "damaged"
    TORN = "torn"


FATES = st.lists(st.sampled_from([*Fate, Fate.ARRIVES, Fate.ARRIVES, Fate.ARRIVES]), max_size=25)
CLEAN: list[Fate] = []
SIZES = st.sampled_from([32, 40, 128])


class Line:
    """A client and a meter, and the frames under way between them."""

    def __init__(self, client: LinkParameters, meter: LinkParameters) -> None:
        self.primary = Primary(16, ServerAddress(1, 17), client, tries=4)
        self.secondary = Secondary(17, parameters=meter, max_lsdu=2000)
        self.at_client = Deframer()
        self.at_meter = Deframer()
        self.fates: deque[Fate] = deque()
        self.flip = 0
        self.executed: list[bytes] = []
        self.answer_size = 0

    def carry(self, octets: bytes) -> bytes:
        fate = self.fates.popleft() if self.fates else Fate.ARRIVES
        if fate is Fate.LOST:
            return b""
        if fate is Fate.DOUBLED:
            return octets + octets
        if fate is Fate.DAMAGED:
            self.flip = self.flip * 31 + 7 & 0xFFFF
            place = self.flip % len(octets)
            return octets[:place] + bytes((octets[place] ^ 1 << (self.flip & 7),)) + octets[place + 1 :]
        if fate is Fate.TORN:
            return octets[: len(octets) // 2]
        return octets

    def exchange(self, octets: bytes, fates: list[Fate]) -> tuple[Event, bytes]:
        """Send, and let time pass until something is told; return that, and an LSDU."""
        self.fates = deque(fates)
        told: tuple[Event, bytes] | None = None
        under_way = deque([octets])
        # Frames that were doubled are carried to their end, as they would be on the line.
        for _ in range(2000):
            if not under_way:
                if told is not None:
                    return told
                self.at_client.flush()
                self.at_meter.flush()
                reaction = self.primary.timeout()
                assert reaction.octets or reaction.event
                if reaction.event is not None:
                    return reaction.event, reaction.lsdu
                under_way.append(reaction.octets)
            for answer in self.meter(self.carry(under_way.popleft())):
                for frame in self.at_client.feed(self.carry(answer)):
                    reaction = self.primary.receive(frame)
                    if reaction.octets:
                        under_way.append(reaction.octets)
                    if reaction.event is Event.BUSY:
                        continue
                    if reaction.event is not None:
                        assert told is None, "two things are told of one request"
                        told = reaction.event, reaction.lsdu
        raise AssertionError("the exchange does not end")

    def meter(self, octets: bytes) -> list[bytes]:
        answers = []
        for frame in self.at_meter.feed(octets):
            reaction = self.secondary.receive(frame)
            answer = reaction.octets
            if reaction.event is Event.LSDU:
                self.executed.append(reaction.lsdu)
                answer = self.secondary.answer(reaction.client, self.apply(reaction.lsdu))
            if answer:
                answers.append(answer)
        return answers

    def apply(self, request: bytes) -> bytes:
        return request[:4] + b"~" * self.answer_size + request[:4]


class LossyLine(RuleBasedStateMachine):
    """A client's life: connect, ask, disconnect, in any order the link allows."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(LinkParameters(), LinkParameters())
        self.number = 0

    @property
    def state(self) -> State:
        return self.line.primary.state

    @rule(client=SIZES, meter=SIZES)
    @precondition(lambda self: self.state is State.NDM)
    def other_sizes(self, client: int, meter: int) -> None:
        """New stations, that split what they send in other places."""
        executed = self.line.executed
        self.line = Line(LinkParameters(client, client), LinkParameters(meter, meter))
        self.line.executed = executed

    @rule(fates=FATES)
    def connect(self, fates: list[Fate]) -> None:
        event, _ = self.line.exchange(self.line.primary.connect(), fates)
        assert event in (Event.CONNECTED, Event.FAILED)
        assert (self.state is State.NRM) is (event is Event.CONNECTED)

    @rule(fates=FATES, size=st.integers(0, 300), answer_size=st.integers(0, 300))
    @precondition(lambda self: self.state is State.NRM)
    def request(self, fates: list[Fate], size: int, answer_size: int) -> None:
        self.number += 1
        request = self.number.to_bytes(4, "big") + bytes(size)
        self.line.answer_size = answer_size
        event, lsdu = self.line.exchange(self.line.primary.send(request), fates)
        if event is Event.LSDU:
            assert lsdu == self.line.apply(request)
            assert self.line.executed[-1] == request
        else:
            assert event in (Event.FAILED, Event.DISCONNECTED)
            assert self.state is State.NDM
        if not set(fates) - {Fate.ARRIVES, Fate.DOUBLED} and event is not Event.LSDU:
            # Nothing was lost: only a meter that has dropped the link may fail us.
            assert not self.line.secondary.clients

    @rule(fates=FATES)
    def disconnect(self, fates: list[Fate]) -> None:
        event, _ = self.line.exchange(self.line.primary.disconnect(), fates)
        assert event is Event.DISCONNECTED
        assert self.state is State.NDM

    @rule()
    def meter_forgets(self) -> None:
        self.line.secondary.abort()

    @rule()
    @precondition(lambda self: self.state is State.NDM)
    def a_clean_line_always_works(self) -> None:
        self.connect(CLEAN)
        assert self.state is State.NRM
        self.request(CLEAN, 200, 200)
        assert self.state is State.NRM

    @invariant()
    def nothing_is_executed_twice(self) -> None:
        assert len(self.line.executed) == len(set(self.line.executed))


TestLossyLine = LossyLine.TestCase
TestLossyLine.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)


def test_a_clean_line_in_segments_both_ways() -> None:
    line = Line(LinkParameters(32, 32), LinkParameters(128, 128))
    line.answer_size = 1000
    assert line.exchange(line.primary.connect(), CLEAN)[0] is Event.CONNECTED
    request = b"0001" + bytes(500)
    assert line.exchange(line.primary.send(request), CLEAN) == (Event.LSDU, line.apply(request))
    # Progress starts the count of tries anew, so a bad line is slow and not dead.
    request = b"0002" + bytes(100)
    line.answer_size = 100
    fates = [Fate.LOST, *[Fate.ARRIVES] * 3, Fate.DAMAGED, *[Fate.ARRIVES] * 2] * 100
    assert line.exchange(line.primary.send(request), fates) == (Event.LSDU, line.apply(request))
    assert line.executed == [b"0001" + bytes(500), request]


def test_a_dead_line_is_reported() -> None:
    line = Line(LinkParameters(), LinkParameters())
    assert line.exchange(line.primary.connect(), [Fate.LOST] * 50)[0] is Event.FAILED
    assert line.exchange(line.primary.connect(), CLEAN)[0] is Event.CONNECTED
    assert line.exchange(line.primary.send(b"0001"), [Fate.LOST] * 50)[0] is Event.FAILED
    assert line.exchange(line.primary.disconnect(), [Fate.LOST] * 50)[0] is Event.DISCONNECTED
    assert line.executed == []
