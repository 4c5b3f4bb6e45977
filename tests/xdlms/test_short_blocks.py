"""The blocks that are taken and asked for without being taken to pieces, against the PDUs they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iondlms.codec.reader import Reader
from iondlms.errors import ObjectUnavailable, RemoteError
from iondlms.xdlms import (
    BlockCutter,
    BlockJoiner,
    GetRequestNext,
    GetResponseWithDatablock,
    decode_apdu,
)

INVOKE = 0xC3
sizes = st.sampled_from((0, 1, 2, 115, 126, 127, 128, 200, 300))


def state(joiner: BlockJoiner) -> tuple[object, ...]:
    return joiner.octets, joiner.block_number, joiner.received, joiner.complete, joiner.error, joiner._stalled


def taken_to_pieces(joiner: BlockJoiner, apdu: bytes) -> bool | None:
    """Whether another block is to be asked for; None for what is no block of this transfer."""
    reader = Reader(apdu)
    try:
        block = decode_apdu(reader)
        reader.end()
        if not isinstance(block, GetResponseWithDatablock) or (block.invoke ^ INVOKE) & 0x0F:
            return None
        return joiner.receive(block)
    except RemoteError:
        return None


@given(st.integers(1, 600), st.integers(12, 140), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_blocks_that_somebody_else_has_cut_were_sent(size: int, pdu: int, script: list[int]) -> None:
    octets = bytes(range(256)) * 3
    short, long = (BlockCutter([octets[:size], octets[size : size * 2]], INVOKE, pdu) for _ in range(2))
    for count in script:
        if short.last:
            break
        short.next_block()
        blocks = [long.next_block()]
        buffer, at = short.at_hand
        whole = max(0, (len(buffer) - 1 - at) // short.room)
        if count := min(count, whole):
            short.cut(count)
            blocks += [long.next_block() for _ in range(count)]
        assert short.previous == blocks[-1]
        assert (short.block_number, short.last, short.due) == (long.block_number, long.last, long.due)
        assert short.at_hand == long.at_hand


@given(
    st.lists(
        st.tuples(sizes, st.sampled_from(("", "", "", "last", "number", "invoke", "cut", "more", "any")))
    ),
    st.binary(max_size=20),
)
@example([(115, ""), (115, "last")], b"")
@example([(300, ""), (300, ""), (2, "")], b"")
@example([(128, ""), (127, "")], b"")
@example([(0, ""), (1, ""), (0, "")], b"")
def test_a_block_that_is_taken_would_have_been(script: list[tuple[int, str]], noise: bytes) -> None:
    short, long = BlockJoiner(limit=600), BlockJoiner(limit=600)
    for size, fault in script:
        request = short.next_request(INVOKE)
        assert request == long.next_request(INVOKE) == GetRequestNext(INVOKE, short.block_number).encode()
        number = short.block_number + (2 if fault == "number" else 1)
        invoke = INVOKE ^ (0x04 if fault == "invoke" else 0)
        apdu = GetResponseWithDatablock(invoke, fault == "last", number, bytes(size)).encode()
        apdu = {"cut": apdu[:-1], "more": apdu + b"\0", "any": noise}.get(fault, apdu)
        raw = short.take(apdu)
        if raw is None:
            assert taken_to_pieces(short, apdu) == taken_to_pieces(long, apdu)
        else:
            assert apdu.endswith(raw)
            assert taken_to_pieces(long, apdu) is (fault != "last") is not short.complete
        assert state(short) == state(long)
        if short.complete:
            break


def test_the_usual_block_is_taken() -> None:
    joiner = BlockJoiner()
    joiner.receive(GetResponseWithDatablock(INVOKE, False, 1, b"a"))
    joiner.next_request(INVOKE)
    block = GetResponseWithDatablock(INVOKE, False, 2, bytes(115)).encode()
    assert joiner.take(block) == bytes(115)
    assert joiner.take(block) is None, "it was asked for once"
    assert joiner.octets == b"a" + bytes(115)


def test_the_first_block_and_the_last_are_taken() -> None:
    joiner = BlockJoiner()
    joiner.begin(INVOKE)
    assert joiner.take(GetResponseWithDatablock(INVOKE, False, 1, b"ab").encode()) == b"ab"
    assert not joiner.complete
    joiner.next_request(INVOKE)
    last = GetResponseWithDatablock(INVOKE, True, 2, b"c").encode()
    assert joiner.take(last[:3] + b"\x02" + last[4:]) is None, "that is no boolean of ours"
    assert joiner.take(last) == b"c"
    assert joiner.complete
    assert joiner.octets == b"abc"


@given(st.binary(min_size=1, max_size=700), st.integers(11, 300), st.integers(0, 0xFF))
def test_what_is_due_asks_for_the_next_block(octets: bytes, pdu_size: int, invoke: int) -> None:
    cutter = BlockCutter([octets], invoke, pdu_size)
    assert cutter.due is None, "before the first block none can be asked for"
    while not cutter.last:
        apdu = cutter.next_block()
        reader = Reader(apdu)
        assert decode_apdu(reader).encode() == apdu
        if not cutter.last:
            assert cutter.due == GetRequestNext(invoke, cutter.block_number).encode()
    assert cutter.due is None


# --- an answer of any length in one piece -----------------------------------------------------------


def test_pieces_are_made_when_they_are_taken() -> None:
    taken = 0

    def rows() -> Iterator[bytes]:
        nonlocal taken
        for number in range(10):
            taken += 1
            yield bytes((number,))

    pieces = BlockCutter(rows(), INVOKE, 0).pieces()
    assert taken == 1
    assert next(pieces) == b"\0"
    assert next(pieces) == b"\1"
    assert taken == 2
    assert b"".join(pieces) == bytes(range(2, 10))


def failing(after: int) -> Iterator[bytes]:
    yield from [b"row"] * after
    raise ObjectUnavailable("gone")


def test_an_error_before_the_first_piece_is_told_and_one_after_it_ends_the_answer() -> None:
    with pytest.raises(ObjectUnavailable):
        BlockCutter(failing(0), INVOKE, 0).pieces()
    assert b"".join(BlockCutter(failing(3), INVOKE, 0).pieces()) == b"rowrowrow"
