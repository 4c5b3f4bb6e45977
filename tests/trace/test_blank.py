from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.acse import Aarq
from iondlms.codec import make
from iondlms.codec.axdr import encode_data
from iondlms.codec.obis import ObisCode
from iondlms.hdlc import Deframer, Frame
from iondlms.trace import Blanker, Explainer, TraceWriter, blanked, explain, explain_pieces, read_text, render
from iondlms.wrapper import Wpdu
from iondlms.xdlms import (
    AttributeDescriptor,
    Conformance,
    GetRequestNormal,
    GetResponseNormal,
    InitiateRequest,
    SetRequestNormal,
)

PASSWORD = b"Sesame-4711"
SERVER, CLIENT = bytes.fromhex("000200C9"), b"\x03"
WHEN = datetime(2026, 3, 29, 14, 56, 2, tzinfo=UTC)
AARQ = Aarq.low(InitiateRequest(Conformance.GET).encode(), PASSWORD).encode()
LSDU = bytes.fromhex("E6E600") + AARQ
SECRET = AttributeDescriptor(15, ObisCode.parse("0-0:40.0.0*255"), 7)


def framed(lsdu: bytes, size: int = 128) -> list[bytes]:
    pieces = [lsdu[at : at + size] for at in range(0, len(lsdu), size)]
    return [
        Frame(SERVER, CLIENT, 0x10 | (number & 7) << 1, piece, number < len(pieces) - 1).encode()
        for number, piece in enumerate(pieces)
    ]


def traces(octets: bytes) -> set[str]:
    """All ways in which octets may show themselves in a text."""
    return {
        octets.decode("latin-1"),
        octets.hex(),
        octets.hex().upper(),
        octets.hex(" "),
        octets.hex(" ").upper(),
    }


def assert_hidden(text: str, secret: bytes = PASSWORD) -> None:
    for form in traces(secret) | traces(secret[:6]) | traces(secret[-6:]):
        assert form not in text, form


FORMS = [  # (octets, what)
    (AARQ, "bare"),
    (LSDU, "with LLC"),
    (Wpdu(1, 1, AARQ).encode(), "wrapper"),
    (framed(LSDU)[0], "HDLC"),
    (framed(LSDU)[0][1:-1], "HDLC without flags"),
    (framed(LSDU)[0][:-1], "HDLC without its end"),
    (framed(LSDU)[0][:-20], "HDLC that breaks off"),
    (framed(LSDU)[0][12:], "the end of HDLC"),
    (b"".join(framed(LSDU, 32)), "segments of 32"),
    (b"".join(framed(LSDU, 46)), "segments cut in the head of the value"),
    (framed(LSDU, 60)[0], "the first segment alone"),
    (b"noise \xff" + framed(LSDU)[0] + b"noise", "noise around"),
    (framed(LSDU)[0].replace(b"\x60\x3d\xa1", b"\x60\x7f\xa1"), "a wrong length"),
    (framed(LSDU)[0][:9] + b"\0\0" + framed(LSDU)[0][11:], "a wrong HCS"),
    (AARQ.replace(b"\xac\x0d\x80\x0b", b"\xac\x0f\x80\x0b"), "a wrong inner length"),
    (SetRequestNormal(0xC1, SECRET, None, make.octet_string(PASSWORD)).encode(), "SET of the secret"),
    (bytes.fromhex("C301C1000F0000280000FF0201090B") + PASSWORD, "change_HLS_secret"),
    (
        Wpdu(1, 1, GetRequestNormal(0xC1, SECRET).encode()).encode()
        + Wpdu(1, 1, GetResponseNormal(0xC1, encode_data(make.octet_string(PASSWORD))).encode()).encode(),
        "the answer to a GET of the secret",
    ),
]


@pytest.mark.parametrize(("octets", "what"), FORMS)
def test_no_password_in_text_tree_or_hex(octets: bytes, what: str) -> None:
    assert any(
        form in render(explain(octets, secrets=True)) + octets.hex() for form in traces(PASSWORD[:4])
    ), what
    nodes = explain(octets)
    assert_hidden(render(nodes))
    assert_hidden(json.dumps([node.as_dict() for node in nodes], ensure_ascii=False))


@pytest.mark.parametrize(("octets", "what"), FORMS)
def test_no_password_in_a_trace_file(octets: bytes, what: str) -> None:
    for form in ("txt", "jsonl"):
        stream = io.StringIO()
        writer = TraceWriter(stream, form="jsonl" if form == "jsonl" else "txt")
        for at in range(0, len(octets), 13):
            writer.write("TX", octets[at : at + 13], WHEN)
        assert_hidden(stream.getvalue())
        assert_hidden(
            b"".join(piece.octets for piece in read_text(stream.getvalue().encode())).hex(), PASSWORD
        )


def test_asked_for_it_is_shown() -> None:
    assert f'"{PASSWORD.decode()}"' in render(explain(framed(LSDU)[0], secrets=True))
    assert "********" in render(explain(framed(LSDU)[0]))
    stream = io.StringIO()
    TraceWriter(stream, secrets=True).write("TX", AARQ, WHEN)
    assert PASSWORD.hex(" ").upper() in stream.getvalue()


@pytest.mark.parametrize("size", [128, 46, 32])
def test_a_blanked_frame_is_a_frame(size: int) -> None:
    octets = b"".join(framed(LSDU, size))
    shown = blanked(octets)
    assert len(shown) == len(octets)
    deframer = Deframer()
    frames = deframer.feed(shown)
    assert deframer.fcs_errors == 0
    information = b"".join(frame.information for frame in frames)
    assert information == LSDU.replace(PASSWORD, b"*" * len(PASSWORD))


def test_a_wrong_fcs_stays_wrong() -> None:
    octets = bytearray(framed(LSDU)[0])
    octets[-2] ^= 0x55
    assert "FCS: wrong" in render(explain(bytes(octets)))


@given(st.lists(st.integers(0, 300), max_size=10), st.sampled_from((128, 60, 46, 32)))
def test_pieces_are_blanked_as_the_whole(cuts: list[int], size: int) -> None:
    octets = b"".join(framed(LSDU, size)) + framed(bytes.fromhex("E6E600C001C1000100002A0000FF0200"))[0]
    places = sorted({0, len(octets), *(cut % len(octets) for cut in cuts)})
    blanker = Blanker()
    assert b"".join(blanker.feed("TX", octets[a:b]) for a, b in pairwise(places)) == blanked(octets)


@given(st.binary(min_size=1, max_size=120), st.booleans())
def test_any_password_is_blanked(password: bytes, hdlc: bool) -> None:
    aarq = Aarq.low(InitiateRequest(Conformance.GET).encode(), password).encode()
    octets = framed(bytes.fromhex("E6E600") + aarq, 2000)[0] if hdlc else Wpdu(1, 1, aarq).encode()
    expected = aarq.replace(
        b"\x80" + bytes((len(password),)) + password, b"\x80" + bytes((len(password),)) + b"*" * len(password)
    )
    assert expected in blanked(octets)


@given(st.lists(st.tuples(st.sampled_from(("TX", "RX")), st.binary(max_size=200)), max_size=8))
def test_nothing_else_is_touched_and_little_is_held(pieces: list[tuple[str, bytes]]) -> None:
    blanker = Blanker()
    for direction, octets in pieces:
        assert len(blanker.feed(direction, octets)) == len(octets)


def test_values_of_a_profile_are_not_taken_for_passwords() -> None:
    value = encode_data(make.array(make.double_long(number * 7919) for number in range(5000)))
    octets = Wpdu(1, 1, GetResponseNormal(0xC1, value).encode()).encode()
    assert blanked(octets) == octets


def test_only_the_answer_to_the_secret_is_blanked() -> None:
    name = AttributeDescriptor(1, ObisCode.parse("0-0:42.0.0*255"), 2)
    answer = GetResponseNormal(0xC1, encode_data(make.octet_string(b"ION00017"))).encode()
    explainer = Explainer()
    explainer.feed(Wpdu(1, 1, GetRequestNormal(0xC1, SECRET).encode()).encode(), "TX")
    assert_hidden(render(explainer.feed(Wpdu(1, 1, answer).encode(), "RX")), b"ION00017")
    explainer.feed(Wpdu(1, 1, GetRequestNormal(0xC1, name).encode()).encode(), "TX")
    assert '"ION00017"' in render(explainer.feed(Wpdu(1, 1, answer).encode(), "RX"))


def test_a_dedicated_key_is_blanked() -> None:
    key = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
    request = InitiateRequest(Conformance.GET, dedicated_key=key).encode()
    assert_hidden(render(explain(request)) + blanked(Aarq.lowest(request).encode()).hex(), key)
    assert_hidden(json.dumps([node.as_dict() for node in explain(Aarq.lowest(request).encode())]), key)


def test_a_log_with_a_password_is_hidden() -> None:
    log = f"TX: 14:56:02 {framed(LSDU)[0].hex(' ')}\nRX: 14:56:03 7EA00703039F\n"
    assert_hidden(render(explain_pieces(read_text(log.encode()))))
