from __future__ import annotations

import io
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.errors import LocalError
from iondlms.trace import Piece, TraceWriter, explain_pieces, read_text, render, trace_line

SNRM = bytes.fromhex("7EA0070303938C117E")
UA = bytes.fromhex("7EA01E03037340CC818012050180060180070400000001080400000001533B7E")
WHEN = datetime(2026, 3, 29, 14, 56, 2, 123_456, tzinfo=UTC)

FORMS = [  # (text, why)
    ("7EA0070303938C117E", "solid"),
    ("7e a0 07 03 03 93 8c 11 7e", "spaced, lower case"),
    ("7E,A0,07,03,03,93,8C,11,7E,", "commas"),
    ("0x7E, 0xA0, 0x07, 0x03, 0x03, 0x93, 0x8C, 0x11, 0x7E", "C"),
    (r"\x7e\xa0\x07\x03\x03\x93\x8c\x11\x7e", "Python"),
    ("7E:A0:07:03:03:93:8C:11:7E", "colons"),
    ("7E-A0-07-03-03-93-8C-11-7E", "as .NET prints octets"),
    ("7E A0 07\r\n03 03 93\r\n\r\n8C 11 7E\r\n", "lines"),
    ("# from the bench\n7EA00703\n03938C117E\n", "comment"),
    ("TX: 14:56:02.123 7E A0 07 03 03 93 8C 11 7E", "--trace"),
    ("TX: 14:56:02\t7E A0 07 03 03 93 8C 11 7E", "Gurux"),
    ("14:56:02 TX 7E A0 07 03 03 93 8C 11 7E", "time in front"),
    ("2026-03-29 14:56:02,123 TX: 7EA0070303938C117E", "Python's logging"),
    ("[29.03.2026 14:56:02] [TX] 7EA0070303938C117E", "brackets"),
    ("14:56:02.5 7EA0070303938C117E", "time alone"),
    ("14:56:02 7E A0 07 03 03 93 8C 11 7E", "time alone, whole seconds"),
    (">> 7E A0 07 03 03 93 8C 11 7E", "arrows"),
    ("TX: 14:56:02 7E A0 07 03 03\n    93 8C 11 7E\nSend ok", "wrapped, and talk"),
    ('{"time": "14:56", "direction": "TX", "octets": "7E A0 07 03 03 93 8C 11 7E"}', "JSON"),
]


@pytest.mark.parametrize(("text", "why"), FORMS)
def test_every_form_is_read(text: str, why: str) -> None:
    for raw in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16")):
        pieces = read_text(raw)
        assert b"".join(piece.octets for piece in pieces) == SNRM, why
    assert "SNRM" in render(explain_pieces(pieces))


@pytest.mark.parametrize(("text", "why"), FORMS[9:13])
def test_the_direction_is_read(text: str, why: str) -> None:
    (piece,) = read_text(text.encode())
    assert piece.direction == "TX", why
    assert "14:56:02" in piece.time, why
    (received,) = read_text(text.replace("TX", "RX").encode())
    assert received.direction == "RX", why


def test_raw_octets_are_taken_as_they_are() -> None:
    assert read_text(SNRM + UA) == [Piece(SNRM + UA)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7E A0 0G", "line 1, column 8: 'G' is not a hex digit"),
        ("7E A0\n07 0x0z", "line 2, column 7: 'z' is not a hex digit"),
        ("7E A", "line 1, column 4: half an octet"),
        ("TX: 14:56:02 7E A0 XY", "line 1, column 20: 'X' is not a hex digit"),
        ("", "there are no octets"),
        ("# nothing\n", "there are no octets"),
        ('{"octets": 5}', "line 1: octets are not hex"),
        ('{"direction": "TX"}', "line 1: not a line of a JSON trace"),
        ("hello", "line 1, column 1: 'h' is not a hex digit"),
    ],
)
def test_what_is_no_hex_is_named(text: str, message: str) -> None:
    with pytest.raises(LocalError) as error:
        read_text(text.encode())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_message_a_line() -> None:
    nodes = explain_pieces(read_text(b"C001C1000100002A0000FF0200\nC401C1000903414243\n"))
    assert [node.label for node in nodes] == ["get-request-normal", "get-response-normal"]
    (node,) = explain_pieces(read_text(b"C001C1000100002A\n0000FF0200\n"))
    assert node.label == "get-request-normal"
    assert node.error is None


def test_the_line_that_is_printed() -> None:
    assert trace_line("TX", SNRM, WHEN) == "TX: 14:56:02.123 7E A0 07 03 03 93 8C 11 7E"
    assert trace_line("RX", b"", WHEN) == "RX: 14:56:02.123"


pieces_of = st.lists(st.tuples(st.sampled_from(("TX", "RX")), st.binary(min_size=1, max_size=60)), min_size=1)


@given(pieces_of, st.sampled_from(("txt", "jsonl")))
def test_round_trip(pieces: list[tuple[str, bytes]], form: str) -> None:
    stream = io.StringIO()
    writer = TraceWriter(stream, secrets=True, form="jsonl" if form == "jsonl" else "txt")
    for direction, octets in pieces:
        writer.write(direction, octets, WHEN)
    writer.close()
    read = read_text(stream.getvalue().encode())
    assert [(piece.direction, piece.octets) for piece in read] == pieces
    assert all("14:56:02.123" in piece.time for piece in read)


@pytest.mark.parametrize("name", ["session.txt", "session.jsonl"])
def test_the_name_decides_the_form(tmp_path: Path, name: str) -> None:
    with TraceWriter(tmp_path / name) as writer:
        writer.write("TX", SNRM, WHEN)
        writer.write("RX", UA, WHEN)
    raw = (tmp_path / name).read_bytes()
    assert raw.startswith(b"{") == name.endswith("jsonl")
    text = render(explain_pieces(read_text(raw)))
    assert "TX HDLC frame: SNRM" in text
    assert "RX HDLC frame: UA" in text


@given(st.binary(max_size=80))
def test_no_input_raises_anything_else(raw: bytes) -> None:
    try:
        pieces = read_text(raw)
    except LocalError:
        return
    explain_pieces(pieces)


@given(st.text(alphabet='0123456789abcdefABCDEF xTX:RX,{}\n"<>-[].GZ', max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        pieces = read_text(text.encode())
    except LocalError:
        return
    explain_pieces(pieces)


@given(st.lists(st.integers(0, 40), max_size=5))
def test_pieces_of_a_log_may_be_cut_anywhere(cuts: list[int]) -> None:
    places = sorted({0, len(UA), *(cut % len(UA) for cut in cuts)})
    lines = [f"RX: {UA[start:stop].hex()}" for start, stop in pairwise(places)]
    (node,) = explain_pieces(read_text("\n".join(lines).encode()))
    assert node.octets == UA
    assert not node.errors
