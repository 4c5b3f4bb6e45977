from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.errors import DecodeError, LocalError
from iondlms.wrapper import HEADER_OCTETS, Oversized, Wpdu, WrapperDeframer

AARQ = bytes.fromhex("000100100001001F601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0")
GET = bytes.fromhex("000100100001000DC001C1000100002A0000FF0200")

VECTORS = [
    line.split(" | ")
    for line in (Path(__file__).parent / "vectors/wrapper.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize(("octets", "source", "destination", "length", "meaning", "where"), VECTORS)
def test_published(octets: str, source: str, destination: str, length: str, meaning: str, where: str) -> None:
    data = bytes.fromhex(octets)
    wpdu = Wpdu(int(source), int(destination), data[8:])
    assert wpdu.encode() == data, (meaning, where)
    assert Wpdu.decode(data) == wpdu, (meaning, where)
    assert len(wpdu.apdu) == int(length)
    deframer = WrapperDeframer(1024)
    assert [found for octet in data for found in deframer.feed(bytes((octet,)))] == [wpdu]


def test_there_are_all_published_wpdus() -> None:
    assert len(VECTORS) == 18


def test_reply_swaps_the_ports() -> None:
    assert Wpdu.decode(AARQ).reply(b"\x61\x00") == bytes.fromhex("00010001001000026100")


@pytest.mark.parametrize("wpdu", [Wpdu(0x10000, 1, b""), Wpdu(1, -1, b""), Wpdu(1, 1, bytes(0x10000))])
def test_what_does_not_fit_is_not_sent(wpdu: Wpdu) -> None:
    with pytest.raises(LocalError):
        wpdu.encode()


def test_no_part_and_no_surplus_is_a_wpdu() -> None:
    for cut in range(len(GET)):
        with pytest.raises(DecodeError):
            Wpdu.decode(GET[:cut])
    for octets in (GET + b"\0", b"\0\2" + GET[2:]):
        with pytest.raises(DecodeError):
            Wpdu.decode(octets)


def test_two_in_one_segment() -> None:  # WR-05
    second = GET.replace(b"\xc1\x00\x01", b"\xc2\x00\x01")
    assert WrapperDeframer(1024).feed(GET + second) == [Wpdu.decode(GET), Wpdu.decode(second)]


def test_unknown_version_breaks_the_stream() -> None:  # WR-03
    for octets in (b"\x00\x02" + AARQ[2:], b"\x01", b"\x00\x00", b"\x7e\xa0"):
        deframer = WrapperDeframer(1024)
        assert deframer.feed(GET + octets + GET) == [Wpdu.decode(GET)]
        assert deframer.broken
        assert deframer.feed(GET) == []
        assert not deframer.pending


def test_length_zero_is_passed_over() -> None:  # WR-07
    deframer = WrapperDeframer(1024)
    assert deframer.feed(bytes.fromhex("0001001000010000") + GET) == [Wpdu.decode(GET)]
    assert (deframer.empty, deframer.wpdus) == (1, 1)


def test_too_long_is_skipped_and_told_once() -> None:  # WR-08
    deframer = WrapperDeframer(1024)
    assert deframer.feed(bytes.fromhex("000100100001FFFF")) == []
    for _ in range(65534):
        assert deframer.feed(b"\0") == []
        assert len(deframer._held) == 0
        assert deframer.pending
    assert deframer.feed(b"\0" + GET) == [Oversized(16, 1, 65535), Wpdu.decode(GET)]
    assert deframer.oversized == 1
    assert Oversized(16, 1, 65535).reply(b"\xd8\x01\x04") == bytes.fromhex("0001000100100003D80104")


def test_the_largest_is_taken() -> None:
    deframer = WrapperDeframer(13)
    assert deframer.feed(GET) == [Wpdu.decode(GET)]
    assert WrapperDeframer(12).feed(GET) == [Oversized(16, 1, 13)]


PIECES = st.one_of(
    st.builds(Wpdu, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=60)).map(Wpdu.encode),
    st.sampled_from(
        [AARQ, GET, bytes.fromhex("0001001000010000"), AARQ[:5], bytes.fromhex("000100100001FFFF")]
    ),
    st.binary(max_size=10),
)


def run(chunks: list[bytes]) -> tuple[object, ...]:
    deframer = WrapperDeframer(50)
    found: list[Wpdu | Oversized] = []
    for chunk in chunks:
        found += deframer.feed(chunk)
        assert len(deframer._held) < HEADER_OCTETS + 50
    return found, deframer.broken, bytes(deframer._held), deframer.pending, deframer.oversized, deframer.empty


@given(st.lists(PIECES, max_size=8).map(b"".join), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_same(stream: bytes, cuts: list[int]) -> None:
    whole = run([stream])
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    assert run([stream[start:stop] for start, stop in itertools.pairwise(places)]) == whole
    assert run([stream[place : place + 1] for place in range(len(stream))]) == whole


@given(
    st.lists(
        st.builds(Wpdu, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=50))
    )
)
def test_what_is_sent_is_found(wpdus: list[Wpdu]) -> None:
    assert WrapperDeframer(50).feed(b"".join(wpdu.encode() for wpdu in wpdus)) == wpdus
