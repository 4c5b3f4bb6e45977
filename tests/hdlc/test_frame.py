from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hdlc.builders import CLIENT, SERVER, Published, frames, published, slow_fcs, slow_frame

from iondlms.errors import DecodeError, LocalError
from iondlms.hdlc import Control, Frame, Kind, fcs16
from iondlms.hdlc import frame as frame_module
from iondlms.hdlc.frame import build, read_header


def test_fcs_of_the_check_string() -> None:
    assert fcs16(b"123456789") == bytes.fromhex("6E 90")


@given(st.binary(max_size=300))
def test_fcs_is_the_book_s(octets: bytes) -> None:
    assert fcs16(octets) == slow_fcs(octets)


@pytest.mark.parametrize("row", published(), ids=lambda row: row.octets[:12].hex())
def test_published(row: Published) -> None:
    frame = Frame.decode(row.octets)
    assert (frame.destination, frame.source) == (row.destination, row.source), row.meaning
    assert Control.name(frame.control) == row.control, row.meaning
    assert frame.information == (row.octets[-3 - row.information : -3] if row.information else b""), (
        row.meaning
    )
    assert frame.segmented is row.segmented, row.meaning
    assert frame.encode() == row.octets, row.meaning


def test_there_are_all_published_frames() -> None:
    assert len(published()) == 42


@given(frames(2000))
def test_round_trip_by_the_definition(frame: Frame) -> None:
    octets = frame.encode()
    assert octets == slow_frame(frame)
    assert Frame.decode(octets) == frame


@given(frames(30))
def test_no_part_and_no_surplus_is_a_frame(frame: Frame) -> None:
    octets = frame.encode()
    for cut in range(len(octets)):
        with pytest.raises(DecodeError):
            Frame.decode(octets[:cut])
    with pytest.raises(DecodeError):
        Frame.decode(octets + b"~")


@given(frames(30), st.data())
def test_each_damaged_octet_is_seen(frame: Frame, data: st.DataObject) -> None:
    octets = bytearray(frame.encode())
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DecodeError):
        Frame.decode(bytes(octets))


@given(st.binary(max_size=40))
def test_random_octets_are_refused_or_read(octets: bytes) -> None:
    try:
        frame = Frame.decode(b"~" + octets)
    except DecodeError:
        return
    assert frame.encode() == b"~" + octets


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
@given(st.binary(min_size=14, max_size=14))
def test_a_header_is_read_no_further_than_its_limit(size: int, octets: bytes) -> None:
    data = b"~\xa0" + octets
    other = data[:size] + bytes(octet ^ 0xFF for octet in data[size:])
    assert read_header(data, 0, size) == read_header(other, 0, size)


@given(st.binary(min_size=13, max_size=13))
def test_what_is_said_of_a_header_stays_said(octets: bytes) -> None:
    data = b"~\xa0" + octets
    said = [read_header(data, 0, limit) for limit in range(1, len(data) + 1)]
    decided = [header for header in said if header is not None]
    assert len(set(decided)) == 1
    assert said[-len(decided) :] == decided


@pytest.mark.parametrize("information", [b"", b"x"])
def test_a_header_check_without_information_is_no_frame(information: bytes) -> None:
    head = (
        bytes.fromhex("A0 0C 00 02 00 23 21 11")
        if not information
        else bytes.fromhex("A0 0D 00 02 00 23 21 11")
    )
    octets = head + slow_fcs(head) + information
    octets = b"~" + octets + slow_fcs(octets) + b"~"
    if information:
        assert Frame.decode(octets).information == information
        return
    with pytest.raises(DecodeError):
        Frame.decode(octets)


def test_kinds_of_all_control_octets() -> None:
    kinds = [Control.kind(control) for control in range(256)]
    assert all(kind is Kind.I for kind in kinds[::2])
    assert {control for control in range(256) if kinds[control] is Kind.RR} == set(range(0x01, 0x100, 0x10))
    assert {control for control in range(256) if kinds[control] is Kind.RNR} == set(range(0x05, 0x100, 0x10))
    unnumbered = {
        control: kind.value
        for control, kind in enumerate(kinds)
        if control & 3 == 3 and kind is not Kind.OTHER
    }
    assert unnumbered == {
        0x93: "SNRM", 0x83: "SNRM", 0x53: "DISC", 0x43: "DISC", 0x73: "UA", 0x63: "UA",
        0x1F: "DM", 0x0F: "DM", 0x97: "FRMR", 0x87: "FRMR", 0x13: "UI", 0x03: "UI",
    }  # fmt: skip
    assert kinds.count(Kind.OTHER) == 128 - 32 - 12
    assert Control.name(0xFF) == "control FF P/F"


def test_too_long_information_is_refused() -> None:
    longest = 2047 - 12
    assert len(Frame(CLIENT, SERVER, 0x10, bytes(longest)).encode()) == 2049
    with pytest.raises(LocalError):
        Frame(CLIENT, SERVER, 0x10, bytes(longest + 1)).encode()


@pytest.mark.parametrize("address", ["", "20", "00 02 23", "00 02 00 22", "21 21", "00 02 00 00 23"])
def test_what_is_no_address_is_not_sent(address: str) -> None:
    with pytest.raises(LocalError):
        build(bytes.fromhex(address), CLIENT, 0x93)
    with pytest.raises(LocalError):
        build(CLIENT, bytes.fromhex(address), 0x93)


def test_what_is_remembered_is_bounded() -> None:
    for number in range(10_000):
        address = bytes((number >> 7 << 1 & 0xFE, number << 1 & 0xFE, 0, 1))
        assert Frame.decode(build(address, CLIENT, 0x93)).destination == address
    limit = frame_module._CACHED_HEADERS
    assert len(frame_module.KNOWN_HEADERS) <= limit
    assert len(frame_module._BUILT) <= limit


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("", "flag"),
        ("7EA00A000200", "too few"),
        ("A00A00020023219318717E", "flag"),
        ("7E000A0002002321930A0C7E", "format type"),
        ("7EA00900022321934D057E", "addresses"),
        ("7EA00B00020000232193955D7E", "addresses"),
        ("7EA00B000200232193CDEE7E", "length"),
        ("7EA00E000200232193CDEE7E", "length field says 14"),
        ("7EA00A00020023219319717E", "FCS"),
        ("7EA01C0002002321329E28E6E600C001C1000100002A0000FF020012807E", "HCS"),
        ("7EA01C0002002321329F28E6E600C001C1000100002A0000FF020112807E", "FCS"),
        ("7EA0110002002321329F28E6E600C00112", "there are"),
    ],
)
def test_the_error_says_what_is_wrong(octets: str, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        Frame.decode(bytes.fromhex(octets))
