from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.codec.reader import Reader, encode_length
from iondlms.errors import DecodeError, LocalError

LENGTHS = [  # (octets, length, is this the form we write)
    ("00", 0, True),
    ("01", 1, True),
    ("7F", 127, True),
    ("8100", 0, False),
    ("817F", 127, False),
    ("8180", 128, True),
    ("81FF", 255, True),
    ("820005", 5, False),
    ("8200FF", 255, False),
    ("820100", 256, True),
    ("82FFFF", 65535, True),
    ("83000001", 1, False),
    ("83010000", 65536, False),
    ("8400000001", 1, False),
    ("8400010000", 65536, True),
    ("84FFFFFFFF", 0xFFFFFFFF, True),
]


@pytest.mark.parametrize(("octets", "length", "ours"), LENGTHS)
def test_length_forms(octets: str, length: int, ours: bool) -> None:
    reader = Reader(bytes.fromhex(octets))
    assert reader.length() == length
    reader.end()
    assert (encode_length(length) == bytes.fromhex(octets)) == ours


@pytest.mark.parametrize("octets", [row[0] for row in LENGTHS])
def test_no_prefix_of_a_length_is_one(octets: str) -> None:
    whole = bytes.fromhex(octets)
    for cut in range(len(whole)):
        with pytest.raises(DecodeError):
            Reader(whole[:cut]).length()


@pytest.mark.parametrize("first", [0x80, *range(0x85, 0x100)])
def test_indefinite_and_overlong_lengths_are_refused(first: int) -> None:
    # 80 is BER's indefinite form; nothing over 4 octets can be true (conformance RB-04)
    with pytest.raises(DecodeError, match=f"{first:02X} at offset 0"):
        Reader(bytes((first,)) + bytes(200)).length()


@pytest.mark.parametrize("length", [-1, -128, 1 << 32, 1 << 64])
def test_a_length_that_has_no_octets_is_a_local_error(length: int) -> None:
    with pytest.raises(LocalError):
        encode_length(length)


@given(st.integers(0, 0xFFFFFFFF))
def test_length_round_trip_in_the_shortest_usual_form(length: int) -> None:
    octets = encode_length(length)
    reader = Reader(octets)
    assert reader.length() == length
    reader.end()
    assert len(octets) == (1 if length < 0x80 else 2 if length < 0x100 else 3 if length < 0x10000 else 5)


def test_values_one_after_the_other() -> None:
    reader = Reader(bytes.fromhex("01 0203 04050607 FE FFFE 8000000000000000 AABB CC"))
    assert (reader.position, reader.remaining) == (0, 20 + 1)
    assert (reader.peek(), reader.u8(), reader.u16(), reader.u32()) == (1, 1, 0x0203, 0x04050607)
    assert (reader.signed(1), reader.signed(2), reader.signed(8)) == (-2, -2, -(1 << 63))
    assert reader.take(2) == b"\xaa\xbb"
    assert (reader.position, reader.remaining) == (20, 1)
    assert reader.rest() == b"\xcc"
    assert reader.rest() == b""
    reader.end()


@given(st.binary(max_size=9))
def test_integers_are_big_endian(octets: bytes) -> None:
    assert Reader(octets).unsigned(len(octets)) == int.from_bytes(octets, "big")
    assert Reader(octets).signed(len(octets)) == int.from_bytes(octets, "big", signed=True)


TAKERS: list[tuple[Callable[[Reader], object], int]] = [
    (Reader.peek, 1),
    (Reader.u8, 1),
    (Reader.u16, 2),
    (Reader.u32, 4),
    (lambda reader: reader.unsigned(8), 8),
    (lambda reader: reader.signed(8), 8),
    (lambda reader: reader.take(5), 5),
    (lambda reader: reader.sub(5), 5),
]


@pytest.mark.parametrize(("taker", "need"), TAKERS)
def test_a_shortage_is_an_error_and_takes_nothing(taker: Callable[[Reader], object], need: int) -> None:
    data = bytes(32)
    for have, position in itertools.product(range(need), (0, 3)):
        # octets follow the end: they must be out of reach all the same
        reader = Reader(data, position, position + have)
        with pytest.raises(DecodeError):
            taker(reader)
        assert (reader.position, reader.remaining) == (position, have)
    reader = Reader(data, 3, 3 + need)
    taker(reader)


def test_negative_counts_do_not_step_back() -> None:
    reader = Reader(b"abcd")
    reader.take(2)
    for step_back in (lambda: reader.take(-1), lambda: reader.sub(-1), lambda: reader.unsigned(-2)):
        with pytest.raises(DecodeError):
            step_back()
    assert reader.position == 2


@pytest.mark.parametrize(("position", "end"), [(0, 5), (5, None), (3, 2), (-1, None), (0, -1)])
def test_bounds_outside_the_data_are_refused(position: int, end: int | None) -> None:
    with pytest.raises(DecodeError):
        Reader(b"abcd", position, end)


def test_surplus_octets_are_an_error() -> None:
    reader = Reader(b"abc")
    reader.u8()
    with pytest.raises(DecodeError, match="2 surplus octets at offset 1"):
        reader.end()
    reader.take(2)
    reader.end()


def test_sub_keeps_within_its_octets_and_steps_over_them() -> None:
    reader = Reader(b"abcdef")
    reader.u8()
    inner = reader.sub(3)
    assert (reader.position, reader.rest()) == (4, b"ef")
    assert inner.take(3) == b"bcd"
    inner.end()
    with pytest.raises(DecodeError):
        inner.u8()
    innermost = Reader(b"abcdef").sub(4).sub(2)
    assert (innermost.position, innermost.remaining) == (0, 2)


@given(st.binary(max_size=20))
def test_bytes_bytearray_and_memoryview_read_alike(octets: bytes) -> None:
    wider = memoryview(b"xx" + octets + b"yy")[2 : 2 + len(octets)]
    for form in (octets, bytearray(octets), memoryview(octets), wider):
        taken = Reader(form).rest()
        assert taken == octets
        assert type(taken) is bytes


def test_what_was_handed_in_may_change_afterwards() -> None:
    line = bytearray(b"\x01\x02")
    reader = Reader(line)
    line[:] = b"\xff\xff"
    assert reader.u16() == 0x0102
