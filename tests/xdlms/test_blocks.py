"""Block transfer: sizes at their edges, cutter against joiner, numbers, repeats, errors half way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.codec.reader import Reader
from iondlms.errors import (
    AccessError,
    DataAccessResult,
    DataBlockNumberInvalid,
    LocalError,
    NoLongGetInProgress,
    ObjectUnavailable,
    RemoteError,
)
from iondlms.xdlms import (
    BlockCutter,
    BlockJoiner,
    GetRequestNext,
    GetResponseWithDatablock,
    datablock_overhead,
    decode_apdu,
    raw_room,
)


def decode(octets: bytes) -> GetResponseWithDatablock:
    reader = Reader(octets)
    block = decode_apdu(reader)
    reader.end()
    assert isinstance(block, GetResponseWithDatablock)
    return block


# --- sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pdu_size", "room"),
    [
        (11, 1),
        (12, 2),  # BT-04
        (125, 115),  # HDLC, 128 octets of information
        (136, 126),
        (137, 127),
        (138, 127),  # 128 raw octets make 139
        (139, 128),
        (265, 254),
        (266, 255),
        (267, 255),  # 256 raw octets make 268
        (268, 256),
        (1024, 1012),
        (65535, 65523),
        (0, 65523),
    ],
)
def test_room_at_the_edges(pdu_size: int, room: int) -> None:
    assert raw_room(pdu_size) == room


@pytest.mark.parametrize("pdu_size", range(1, 11))
def test_no_room(pdu_size: int) -> None:
    with pytest.raises(LocalError):
        raw_room(pdu_size)


def test_room_is_exact() -> None:
    def size(raw: int) -> int:
        return len(GetResponseWithDatablock(0xC1, False, 1, bytes(raw)).encode())

    for raw in (0, 1, 126, 127, 128, 129, 254, 255, 256, 257, 65535):
        assert size(raw) == raw + datablock_overhead(raw)
    for pdu_size in [*range(11, 600), *range(65300, 65536)]:
        room = raw_room(pdu_size)
        assert size(room) <= pdu_size < size(room + 1)


# --- cutter and joiner -------------------------------------------------------------------------------

sizes = st.one_of(st.integers(12, 140), st.sampled_from([266, 267, 268, 65535, 0]))


@st.composite
def chunked(draw: st.DrawFn) -> list[bytes]:
    """An answer in pieces of any length, none and nothing included; long ones from a seed."""
    pieces = draw(st.lists(st.binary(max_size=40), max_size=12))
    if draw(st.booleans()):
        pieces.append(draw(st.randoms(use_true_random=False)).randbytes(draw(st.integers(0, 1500))))
    return pieces


@given(chunked(), sizes, st.integers(0, 255))
def test_what_is_cut_joins(chunks: list[bytes], pdu_size: int, invoke: int) -> None:
    whole = b"".join(chunks)
    cutter = BlockCutter(map(memoryview, chunks), invoke, pdu_size)
    joiner = BlockJoiner()
    octets = cutter.next_block()
    count = 1
    while True:
        assert len(octets) <= (pdu_size or 65535)
        block = decode(octets)
        assert (block.invoke, block.block_number, block.last) == (invoke, count, cutter.last)
        assert isinstance(block.result, bytes)
        if not block.last:
            assert len(block.result) == raw_room(pdu_size), "only the last block may be short"
        if not joiner.receive(block):
            break
        count += 1
        octets = cutter.answer(GetRequestNext(invoke, joiner.block_number))
    assert joiner.complete
    assert joiner.octets == whole
    assert joiner.received == len(whole)
    assert count == max(1, -(-len(whole) // raw_room(pdu_size)))
    with pytest.raises(NoLongGetInProgress):
        cutter.answer(GetRequestNext(invoke, count))


def test_green_book_example() -> None:  # vectors 84 to 86; BT-05
    value = bytes.fromhex(
        "0932"
        "01020304050607080910111213141516171819202122232425262728"
        "29303132333435363738394041424344454647484950"
    )
    cutter = BlockCutter([value], 0x81, 40)
    first = "C402810000000001001E093201020304050607080910111213141516171819202122232425262728"
    last = "C402810100000002001629303132333435363738394041424344454647484950"
    assert cutter.next_block() == bytes.fromhex(first)
    request = decode_apdu(Reader(bytes.fromhex("C0028100000001")))
    assert isinstance(request, GetRequestNext)
    assert cutter.answer(request) == bytes.fromhex(last)
    joiner = BlockJoiner()
    assert joiner.receive(decode(bytes.fromhex(first)))
    assert GetRequestNext(0x81, joiner.block_number) == request
    assert not joiner.receive(decode(bytes.fromhex(last)))
    assert joiner.octets == value


def test_smallest_blocks() -> None:  # BT-04: 16 octets of name are 18 of data
    cutter = BlockCutter([b"\x09\x10" + bytes(16)], 0xC1, 12)
    blocks = [decode(cutter.next_block())]
    while not cutter.last:
        blocks.append(decode(cutter.next_block()))
    assert [block.result for block in blocks] == [b"\x09\x10"] + [bytes(2)] * 8


# --- the server's side -------------------------------------------------------------------------------


def test_cut_lazily() -> None:
    taken = 0

    def rows() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(10)

    cutter = BlockCutter(rows(), 0xC1, 30)  # 20 raw octets: two rows, and the look at the next
    assert taken == 0
    for block in range(1, 10):
        cutter.next_block()
        assert taken == 2 * block + 1


def test_memory_is_one_block() -> None:
    cutter = BlockCutter((bytes(100) for _ in range(20_000)), 0xC1, 125)
    largest = 0
    while not cutter.last:
        cutter.next_block()
        largest = max(largest, len(cutter._buffer))
    assert largest <= 115 + 100  # less than a block, and a chunk


@pytest.mark.parametrize(("length", "fits"), [(0, True), (59, True), (60, True), (61, False), (500, False)])
def test_whole(length: int, fits: bool) -> None:  # BT-03, P = 64: C4 01 invoke 00 take four
    whole = bytes(range(256)) * 2
    chunks = [whole[:length][at : at + 7] for at in range(0, length, 7)]
    cutter = BlockCutter(chunks, 0xC1, 64)
    assert cutter.whole(60) == (whole[:length] if fits else None)
    joiner = BlockJoiner()  # the question has lost nothing
    while joiner.receive(decode(cutter.next_block())):
        pass
    assert joiner.octets == whole[:length]


def test_repeated_octet_for_octet() -> None:  # BT-08
    cutter = BlockCutter([bytes(range(100))], 0xC1, 40)
    first = cutter.next_block()
    assert cutter.previous == first
    second = cutter.answer(GetRequestNext(0xC1, 1))
    assert cutter.answer(GetRequestNext(0xC1, 1)) == second
    third = cutter.answer(GetRequestNext(0xC1, 2))
    assert decode(third).block_number == 3
    last = cutter.answer(GetRequestNext(0xC1, 3))
    assert cutter.last
    assert cutter.answer(GetRequestNext(0xC1, 3)) == last  # the last one too
    with pytest.raises(NoLongGetInProgress):
        cutter.answer(GetRequestNext(0xC1, 4))


@pytest.mark.parametrize("number", [0, 1, 4, 0xFFFFFFFF])
def test_wrong_number(number: int) -> None:  # BT-07
    cutter = BlockCutter([bytes(200)], 0xC1, 40)
    for _ in range(3):
        cutter.next_block()
    with pytest.raises(DataBlockNumberInvalid):
        cutter.answer(GetRequestNext(0xC1, number))


def test_number_0_is_no_repeat_of_the_first() -> None:
    cutter = BlockCutter([bytes(200)], 0xC1, 40)
    cutter.next_block()
    with pytest.raises(DataBlockNumberInvalid):
        cutter.answer(GetRequestNext(0xC1, 0))


def breaking() -> Iterator[bytes]:
    yield bytes(70)
    raise ObjectUnavailable("gone while it was being read")


def test_error_half_way() -> None:  # BT-20, in the form of vector 92
    cutter = BlockCutter(breaking(), 0xC1, 40)
    joiner = BlockJoiner()
    octets = cutter.next_block()
    while joiner.receive(decode(octets)):
        octets = cutter.answer(GetRequestNext(0xC1, joiner.block_number))
    assert octets == bytes.fromhex("C402C10100000003010B")
    assert cutter.last
    assert joiner.error is DataAccessResult.OBJECT_UNAVAILABLE
    assert not joiner.complete
    assert joiner.octets == bytes(60), "what came before is kept"
    with pytest.raises(NoLongGetInProgress):
        cutter.next_block()


def test_error_before_the_first_block_is_the_callers() -> None:
    with pytest.raises(AccessError):
        BlockCutter(breaking(), 0xC1, 200).whole(196)


# --- the client's side -------------------------------------------------------------------------------


def block(number: int, raw: bytes = b"x", last: bool = False) -> GetResponseWithDatablock:
    return GetResponseWithDatablock(0xC1, last, number, raw)


def test_first_is_last() -> None:  # interop trap B1
    joiner = BlockJoiner()
    assert not joiner.receive(block(1, b"abc", True))
    assert joiner.complete
    assert joiner.octets == b"abc"


@pytest.mark.parametrize("number", [0, 1, 2, 4, 0xFFFFFFFF])
def test_a_block_out_of_turn(number: int) -> None:
    joiner = BlockJoiner()
    joiner.receive(block(1, b"a"))
    joiner.receive(block(2, b"b"))
    with pytest.raises(RemoteError):
        joiner.receive(block(number))
    assert joiner.octets == b"ab"
    assert joiner.receive(block(3, b"c")), "what was due is still taken"


@pytest.mark.parametrize("number", [0, 2])
def test_the_first_number_is_1(number: int) -> None:
    with pytest.raises(RemoteError):
        BlockJoiner().receive(block(number))


@pytest.mark.parametrize(
    "end", [block(2, b"", True), block(9)._replace(result=DataAccessResult.OTHER_REASON)]
)
def test_nothing_after_the_end(end: GetResponseWithDatablock) -> None:
    joiner = BlockJoiner()
    joiner.receive(block(1))
    assert not joiner.receive(end)
    with pytest.raises(RemoteError):
        joiner.receive(block(2))
    assert joiner.octets == b"x"


def test_an_answer_without_end() -> None:
    joiner = BlockJoiner(limit=10)
    joiner.receive(block(1, bytes(6)))
    with pytest.raises(RemoteError):
        joiner.receive(block(2, bytes(5)))
    assert joiner.received == 6


def test_one_empty_block_is_taken_and_a_row_of_them_is_not() -> None:
    joiner = BlockJoiner()
    assert joiner.receive(block(1, b""))
    assert joiner.receive(block(2, b"a"))
    assert joiner.receive(block(3, b""))
    with pytest.raises(RemoteError):
        joiner.receive(block(4, b""))


def test_octets_can_be_looked_at_half_way() -> None:
    joiner = BlockJoiner()
    assert joiner.octets == b""
    for number in range(1, 6):
        joiner.receive(block(number, bytes((number,))))
        assert joiner.octets == bytes(range(1, number + 1))
