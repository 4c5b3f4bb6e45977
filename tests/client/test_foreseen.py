"""The block that is foreseen comes to the same as one that is not: a twin that foresees nothing lives beside.

Both are asked the same, hear the same, and must say and be the same after each step, with what a line does
to frames in between: cut, damaged, lost, repeated, with noise around.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.client.joined import Scripted, make_meter

from iondlms.client import endpoint, foreseen
from iondlms.client.endpoint import ClientEndpoint, Outcome
from iondlms.client.links import HdlcLink
from iondlms.client.names import resolve
from iondlms.client.url import Target
from iondlms.codec.axdr import NULL
from iondlms.errors import LocalError
from iondlms.hdlc import Control, Deframer, Frame, Primary
from iondlms.hdlc.frame import POLL
from iondlms.hdlc.transfer import Transfer
from iondlms.ports import Endpoint
from iondlms.xdlms import AttributeDescriptor, BlockJoiner, blocks

METER: Final = make_meter(60)
LOAD: Final = AttributeDescriptor(7, resolve("load").logical_name, 2)
CAPTURED: Final = LOAD._replace(attribute_id=3)
PERIOD: Final = LOAD._replace(attribute_id=4)
NOWHERE: Final = LOAD._replace(attribute_id=9)  # refused
TARGET: Final = Target.parse("hdlc://meter?timeout=2s&retries=3")
PARTS: Final = (ClientEndpoint, HdlcLink, Deframer, Primary, Transfer, BlockJoiner)


class GeneralLink(HdlcLink):
    def take(self, data: bytes) -> None:
        return None


class General(ClientEndpoint):
    def __init__(self, target: Target, *arguments: Any, **more: Any) -> None:
        super().__init__(target, *arguments, **more)
        self._link = GeneralLink(target, target.retries)

    def _foresee(self, *_: object) -> None:
        pass

    def get(self, *arguments: Any) -> bytes:
        octets = super().get(*arguments)
        self._whole = b""
        return octets


def fields(one: Any) -> Any:
    """All that an endpoint is made of, its parts likewise."""
    if isinstance(one, Outcome):
        return one.value, repr(one.error)
    if not isinstance(one, PARTS):
        return bytes(one) if isinstance(one, bytearray) else one
    named = [*getattr(type(one), "__slots__", ()), *getattr(one, "__dict__", {})]
    # They differ in what is foreseen, and in the deframer's guess of the next head; the hooks are their own.
    own = ("_foreseen", "follow", "_size", "_on_apdu", "progress", "_whole", "send")
    return {name: fields(getattr(one, name)) for name in named if name not in own}


class Pair:
    """The two, and the meter that answers them, on one clock."""

    def __init__(
        self, meter: Endpoint | None = None, target: Target = TARGET, *, watched: bool = True
    ) -> None:
        self.now = 0.0
        self.followed = 0
        self.meter = METER.endpoint(now=0.0) if meter is None else meter
        self.seen: tuple[list[Any], list[Any]] = ([], [])
        self.short, self.general = (
            kind(target, "hdlc", on_apdu=(lambda *apdu, seen=seen: seen.append(apdu)) if watched else None)
            for kind, seen in zip((ClientEndpoint, General), self.seen, strict=True)
        )
        for each, seen in zip((self.short, self.general), self.seen, strict=True):
            if watched:
                each.progress = lambda block, octets, seen=seen: seen.append((block, octets))

    def same(self, octets: list[bytes], *, settled: bool = True) -> bytes:
        assert octets[0] == octets[1]
        assert self.seen[0] == self.seen[1]
        assert self.short.next_deadline() == self.general.next_deadline()
        if settled:
            self.look()
        return octets[0]

    def look(self) -> None:
        self.short.settle()
        assert fields(self.short) == fields(self.general)

    def begin(self, call: str, *arguments: Any) -> bytes:
        return self.same([getattr(each, call)(*arguments, self.now) for each in (self.short, self.general)])

    def hear(self, data: bytes) -> bytes:
        """What a line does with octets."""
        said = []
        followed = self.followed
        for each in (self.short, self.general):
            answer = each.follow(data, self.now)
            self.followed += answer is not None
            said.append(each.receive_data(data, self.now) if answer is None else answer)
        # What was foreseen is told when the next thing comes, or when somebody looks.
        return self.same(said, settled=followed == self.followed)

    def silence(self) -> bytes:
        deadline = self.short.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self.same([each.handle_timeout(self.now) for each in (self.short, self.general)])

    def carry(self, octets: bytes, *steps: tuple[str, int]) -> None:
        """Carry a call to its end; each step is what becomes of an answer, none that it comes as it is."""
        left = iter(steps)
        while self.short.outcome is None:
            self.now += 0.01
            answer = self.meter.receive_data(octets, self.now) if octets else b""
            octets = self.arrive(answer, *next(left, ("whole", 0))) if answer else self.silence()

    def arrive(self, answer: bytes, kind: str, at: int) -> bytes:
        place = at % len(answer)
        if kind == "cut":
            return self.hear(answer[:place] or b"~") + self.hear(answer[place:])
        if kind == "damaged":
            answer = answer[:place] + bytes((answer[place] ^ 1 << at % 8,)) + answer[place + 1 :]
        elif kind == "lost":
            return b""
        elif kind == "repeated":
            return self.hear(answer) + self.hear(answer)
        elif kind == "twice":
            answer *= 2
        elif kind == "noise before":
            answer = bytes(range(place % 16)) + answer
        elif kind == "noise behind":
            answer += b"\x7e\xa0\x0f"[: place % 4]
        elif kind == "one flag":
            answer = answer[1:]
        elif kind == "look":
            self.look()
        elif kind == "silence":
            return self.silence() or self.hear(answer)
        return self.hear(answer)


TROUBLE: Final = (
    *("cut", "damaged", "lost", "repeated", "twice"),
    *("noise before", "noise behind", "one flag", "silence", "look"),
)
kinds = st.one_of(st.just("whole"), st.sampled_from(TROUBLE))


def opened(**more: Any) -> Pair:
    pair = Pair(**more)
    pair.carry(pair.begin("open"))
    assert pair.short.associated
    return pair


@example([], True)
@example([], False)
@example([("whole", 0)] * 3 + [("silence", 0), ("whole", 0), ("whole", 0)], False)
@example([("whole", 0)] * 3 + [("noise behind", 2), ("whole", 0), ("one flag", 0)], False)
@example([("whole", 0)] * 3 + [("look", 0), ("whole", 0), ("look", 0), ("lost", 0)], False)
@given(st.lists(st.tuples(kinds, st.integers(0, 300)), max_size=40), st.booleans())
def test_both_live_through_the_same(steps: list[tuple[str, int]], watched: bool) -> None:
    pair = opened(watched=watched)
    pair.carry(pair.begin("get", LOAD, None), *steps)
    if not pair.short.associated:
        return
    pair.carry(pair.begin("get", LOAD, None))  # and nothing is left over from before
    assert pair.followed, "nothing was foreseen"
    pair.carry(pair.begin("release"))


@example([], [])
@example([("whole", 0), ("silence", 0)], [("twice", 0)])
@given(*[st.lists(st.tuples(kinds, st.integers(0, 300)), max_size=12)] * 2)
def test_both_take_whole_answers_alike(first: list[tuple[str, int]], second: list[tuple[str, int]]) -> None:
    pair = opened()
    asked: tuple[tuple[AttributeDescriptor, list[tuple[str, int]]], ...] = (
        (PERIOD, first),
        (NOWHERE, second),
        (PERIOD, second),
        (CAPTURED, first),
        (PERIOD, []),
    )
    for attribute, steps in asked:
        pair.carry(pair.begin("get", attribute, None), *steps)
        if not pair.short.associated:
            return
    assert pair.short.outcome is not None
    assert pair.short.outcome.value == bytes.fromhex("06 00000384")
    pair.carry(pair.begin("release"))


def test_each_damaged_octet_of_a_whole_answer_is_seen() -> None:
    pair = opened()
    asked = pair.begin("get", PERIOD, None)
    due = pair.meter.receive_data(asked, pair.now)
    before = fields(pair.short)
    damaged = [due[:place] + bytes((due[place] ^ 1,)) + due[place + 1 :] for place in range(len(due))]
    for octets in (*damaged, *[due[:cut] for cut in range(len(due))], due + b"~", due * 2, due * 40):
        assert pair.short._link.take(octets) is None
    assert fields(pair.short) == before
    assert pair.short._link.take(due) == bytes.fromhex("C401C1 00 06 00000384")


def test_a_whole_answer_is_taken_without_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = opened()
    asked = pair.begin("get", PERIOD, None)
    due = pair.meter.receive_data(asked, pair.now)
    monkeypatch.setattr(endpoint, "answer_of", None)
    assert pair.short.receive_data(due, pair.now) == b""
    assert pair.short.outcome == Outcome(bytes.fromhex("06 00000384"))


def test_no_block_goes_through_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = opened()
    octets = pair.short.get(LOAD, None, pair.now)
    monkeypatch.setattr(endpoint, "answer_of", None)
    while octets:
        due = pair.meter.receive_data(octets, pair.now)
        followed = pair.short.follow(due, pair.now)
        octets = pair.short.receive_data(due, pair.now) if followed is None else followed
    assert pair.short.outcome is not None
    assert len(pair.short.outcome.value) > 2000


def test_nearly_all_blocks_are_foreseen() -> None:
    pair = opened()
    pair.carry(pair.begin("get", LOAD, None))
    came = sum(seen[0] == "RX" for seen in pair.seen[0] if len(seen) == 3) - 1
    assert came > 15
    assert pair.followed == came - 2, "all but the first, and the last, which is shorter"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """What is kept of transfers, by their kind, and nothing of before."""
    ladders: dict[Any, Any] = {}
    monkeypatch.setattr(foreseen, "_ladder", lambda *kind: ladders.setdefault(kind, {}))
    return ladders


def test_what_is_known_of_one_transfer_is_not_taken_for_another() -> None:
    # One after the other, in the one cache of the process. What was read before moves V(S) and the invoke id:
    # eight short values bring V(S) around but not the invoke id, a long one V(S) further than the invoke id.
    others = make_meter(60, ("port.ETHERNET.unit_id", 17))
    small, other = (Target.parse(f"hdlc://meter?timeout=2s&{word}") for word in ("pdu=60", "unit=17"))
    for meter, target, before in (
        (METER, TARGET, []),
        (METER, TARGET, [PERIOD]),
        (METER, TARGET, [LOAD]),
        (METER, TARGET, [PERIOD] * 8),
        (METER, small, []),
        (others, other, []),
    ):
        pair = opened(meter=meter.endpoint(now=0.0), target=target)
        for attribute in before:
            pair.carry(pair.begin("get", attribute, None))
        followed = pair.followed
        pair.carry(pair.begin("get", LOAD, None))
        assert pair.followed > followed + 10
        assert pair.short.outcome is not None
        assert pair.short.outcome.error is None


def test_what_follows_a_block_is_made_once_for_transfers_that_are_alike(kept: dict[Any, Any]) -> None:
    rungs = []
    for _ in range(2):
        pair = opened()
        pair.carry(pair.begin("get", LOAD, None))
        rungs.append([id(rung) for ladder in kept.values() for rung in ladder.values()])
    assert rungs[0] == rungs[1]
    assert len(rungs[0]) == pair.followed


def test_of_a_long_transfer_its_beginning_is_kept(kept: dict[Any, Any]) -> None:
    target = Target.parse("hdlc://meter?timeout=2s&pdu=60")
    pair = opened(meter=make_meter(250).endpoint(now=0.0), target=target)
    pair.carry(pair.begin("get", LOAD, None))
    (ladder,) = kept.values()
    assert pair.followed > len(ladder) == 127, "the second block to the 128th"


def middle() -> tuple[Pair, bytes]:
    """A pair in the middle of a transfer, and the frame that is due."""
    pair = opened()
    octets = pair.begin("get", LOAD, None)
    for _ in range(3):
        octets = pair.hear(pair.meter.receive_data(octets, pair.now))
    assert pair.followed
    return pair, pair.meter.receive_data(octets, pair.now)


def test_each_damaged_octet_is_seen() -> None:
    pair, due = middle()
    before = fields(pair.short)
    for place in range(len(due)):
        for bit in (1, 0x80):
            damaged = due[:place] + bytes((due[place] ^ bit,)) + due[place + 1 :]
            assert pair.short.follow(damaged, pair.now) is None
    for cut in range(len(due)):
        assert pair.short.follow(due[:cut], pair.now) is None
    assert pair.short.follow(due + b"~", pair.now) is None
    assert fields(pair.short) == before
    assert pair.short.follow(due, pair.now) is not None


@pytest.mark.parametrize("meanwhile", ["receive_data", "handle_timeout", "abandon", "disconnect"])
def test_what_happens_meanwhile_takes_the_foresight_away(meanwhile: str) -> None:
    pair, due = middle()
    match meanwhile:
        case "receive_data":
            pair.hear(due[:2])
        case "handle_timeout":
            pair.silence()
        case "abandon":
            pair.short.abandon()
        case "disconnect":
            pair.begin("disconnect")
    assert pair.short.follow(due, pair.now) is None


def test_a_busy_meter_is_not_foreseen() -> None:
    # RNR: the block may come unasked or after a poll, and the deadline that counts is that of being busy.
    pair, due = middle()
    (block,) = Deframer().feed(due)
    acknowledged = block.control & 0xE0
    pair.hear(Frame(block.destination, block.source, acknowledged | Control.RNR | POLL).encode())
    assert pair.short.follow(due, pair.now) is None
    assert pair.hear(due)


def test_a_limit_is_kept() -> None:
    pair, due = middle()
    for each in (pair.short, pair.general):
        assert each._joiner is not None
        each._joiner.limit = each._joiner.received + 2 * len(each._joiner.octets) // 3 + 5
    pair.hear(due[:9])  # what is foreseen from here on knows of the limit
    octets = pair.hear(due[9:])
    followed = pair.followed
    while pair.short.outcome is None:
        octets = pair.hear(pair.meter.receive_data(octets, pair.now))
    assert pair.followed == followed + 1, "three blocks had come, and two more were allowed"
    assert pair.short.outcome is not None
    assert pair.short.outcome.error is not None


@pytest.mark.parametrize("call", ["get", "set"])
def test_a_call_that_is_refused_leaves_the_one_under_way_as_it_is(call: str) -> None:
    pair = opened()
    asked = pair.begin("get", PERIOD, None)
    due = pair.meter.receive_data(asked, pair.now)
    for each in (pair.short, pair.general):
        with pytest.raises(LocalError, match="busy"):
            getattr(each, call)(PERIOD, NULL if call == "set" else None, pair.now)
    pair.hear(due)
    assert pair.short.outcome == Outcome(bytes.fromhex("06 00000384"))


def test_what_comes_after_all_was_abandoned_is_nothing() -> None:
    pair = opened()
    due = pair.meter.receive_data(pair.begin("get", PERIOD, None), pair.now)
    for each in (pair.short, pair.general):
        each.abandon()
    pair.hear(due)
    assert pair.short.outcome is None


def test_a_silent_peer_is_no_block() -> None:
    pair = Pair(Scripted(lambda _: b""))
    assert pair.short.follow(b"", 0.0) is None


def test_an_interrupt_while_blocks_are_told_tells_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = opened(watched=False)
    octets = pair.begin("get", LOAD, None)
    for _ in range(4):
        octets = pair.hear(pair.meter.receive_data(octets, pair.now))
    assert pair.followed == 3

    def interrupted(_: object) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt  # as its signal does behind any call

    monkeypatch.setattr(blocks, "sum", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        pair.short.settle()
    pair.short.abandon()
    assert pair.short.partial == pair.general.partial


def test_what_came_so_far_is_told_in_the_middle_of_a_transfer() -> None:
    pair = opened(watched=False)
    octets = pair.begin("get", LOAD, None)
    for _ in range(5):
        octets = pair.hear(pair.meter.receive_data(octets, pair.now))
    assert pair.followed == 4
    assert pair.short.partial == pair.general.partial
    assert len(pair.short.partial) > 500


def test_of_a_long_transfer_the_joiner_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreseen, "_AT_ONCE", 3)
    pair = opened(watched=False)
    pair.carry(pair.begin("get", LOAD, None))
    blocks_taken = pair.followed
    assert pair.short.outcome == pair.general.outcome
    monkeypatch.undo()
    whole = opened(watched=False)
    whole.carry(whole.begin("get", LOAD, None))
    assert blocks_taken < whole.followed, "each fourth goes the general way"
