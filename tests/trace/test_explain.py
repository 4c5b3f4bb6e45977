from __future__ import annotations

import json
import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codec.strategies import data_values
from tests.trace.published import BARE, FAULTY, WRONG, framed
from tests.xdlms.strategies import BOUNDED, get_responses_normal

from iondlms.codec import make
from iondlms.codec.axdr import Data, encode_data
from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError
from iondlms.hdlc import Frame, fcs16
from iondlms.trace import Explainer, Node, explain, render
from iondlms.trace.data import SHOWN_ROWS
from iondlms.wrapper import Wpdu
from iondlms.xdlms import Apdu, GetResponseNormal, GetResponseWithDatablock, decode_apdu

SERVER, CLIENT = bytes.fromhex("000200C9"), bytes.fromhex("21")
GET_NAME = bytes.fromhex("7EA01C0002002321329F28E6E600C001C1000100002A0000FF020012807E")
GET_LOAD = "C001C100070100630100FF0200"


def errors(nodes: list[Node]) -> list[Node]:
    return [error for node in nodes for error in node.errors]


def covered(nodes: list[Node]) -> bytes:
    return b"".join(node.octets for node in nodes)


# --- published octets ------------------------------------------------------------------------------


@pytest.mark.parametrize(("octets", "meaning"), framed())
def test_every_published_frame_is_explained(octets: str, meaning: str) -> None:
    nodes = explain(bytes.fromhex(octets), secrets=True)
    assert bool(errors(nodes)) == (octets in FAULTY), render(nodes)
    assert len(nodes) == 1
    assert nodes[0].octets == bytes.fromhex(octets)
    text = render(nodes)
    for word, fact in (
        ("AARQ", "AARQ"), ("AARE", "AARE"), ("SNRM", "SNRM"), ("UA ", "UA"), ("DISC", "DISC"),
        ("DM answer", "DM P/F"),
        ("GET response", "get-response"), ("RLRQ", "RLRQ"), ("RLRE", "RLRE"), ("accepted", "accepted (0)"),
        ("other-reason", "other-reason (250)"), ("N(R)=2 N(S)=2", "N(R)=2 N(S)=2"), ("RR", "RR N(R)=6"),
        ("9561", "physical 9561"), ("wrapper", "WPDU"), ("scaler_unit {0, V", "scaler 10^0, V"),
        ("11 rows", "row 11: Wed 2018-01-10 20:15:03.62-01:00 | 9999"), ("404/372", "transmit: 404"),
        ("two columns", "Register (3) 1-1:21.25.0*255, attribute value (2)"), ("0x1234", "logical 4660"),
    ):  # fmt: skip
        if word in meaning and not re.search("to it|the closing", meaning):
            assert fact in text, (word, text)


@pytest.mark.parametrize(("octets", "facts", "source"), BARE)
def test_every_published_apdu_is_explained(octets: str, facts: list[str], source: str) -> None:
    nodes = explain(bytes.fromhex(octets))
    text = render(nodes)
    assert not errors(nodes), text
    for fact in facts:
        assert fact in text, (source, text)


@pytest.mark.parametrize(("octets", "offset", "message", "source"), WRONG)
def test_the_error_is_pointed_at(octets: str, offset: int, message: str, source: str) -> None:
    nodes = explain(bytes.fromhex(octets))
    found = [(error.offset, error.error or "") for error in errors(nodes)]
    assert any(at == offset and message in text for at, text in found), (source, render(nodes))
    assert f"! {offset:5d}" in render(nodes)


def test_any_flipped_bit_of_a_frame_is_noticed_and_the_rest_explained() -> None:
    for place in range(1, len(GET_NAME) - 1):
        for bit in range(8):
            octets = bytearray(GET_NAME)
            octets[place] ^= 1 << bit
            nodes = explain(bytes(octets))
            assert errors(nodes), (place, bit)
            if place > 10:  # behind the header, nothing else of the frame is in doubt
                assert [error.offset for error in errors(nodes)][-1] == 27, (place, bit)
                assert "logical 1, physical 17" in render(nodes)


def test_data_is_taken_for_data_where_asked() -> None:
    octets = bytes.fromhex("050102FA00")
    assert "double-long 16972288" in render(explain(octets, data=True))
    assert "read-request" in render(explain(octets))


def test_roles_by_the_addresses_of_either_side() -> None:
    text = render(explain(GET_NAME))
    assert "client 16 (public client) to meter: logical 1, physical 17" in text
    answer = Frame(CLIENT, SERVER, 0x30, bytes.fromhex("E6E700C501C100")).encode()
    assert "meter: logical 1, physical 100 to client 16" in render(explain(answer))
    unnumbered = Frame(b"\x03", b"\x21", 0x93).encode()
    assert "client 16 (public client) to meter: logical 1" in render(explain(unnumbered))


def test_frmr_says_why() -> None:
    text = render(explain(Frame(CLIENT, SERVER, 0x97, bytes.fromhex("32 40 08")).encode()))
    assert "I N(R)=1 N(S)=1 P/F rejected: wrong N(R)" in text


def test_the_tree_as_plain_values() -> None:
    (node,) = explain(bytes.fromhex("C004"))
    tree = json.loads(json.dumps(node.as_dict()))
    assert tree["octets"] == "C004"
    assert tree["children"][0] == {"offset": 0, "octets": "C0", "label": "tag", "value": "get-request"}
    assert tree["children"][1]["error"] == "choice 4 of a get-request is not defined"


# --- pieces ----------------------------------------------------------------------------------------

STREAM = (
    b"noise"
    + GET_NAME
    + GET_NAME[1:]  # shared flag
    + b"\x7e\x7e"
    + bytes.fromhex("7EA0070303938C107E")  # bad FCS
    + bytes.fromhex("7EA01C0002002321329F28E6E6")  # breaks off
    + GET_NAME
    + b"\x55\x7e\xa5"
)


def test_frames_with_all_kinds_of_things_between() -> None:
    nodes = explain(STREAM)
    labels = [node.label for node in nodes]
    assert labels == ["noise", *["HDLC frame"] * 5, "noise"]
    assert [bool(node.errors) for node in nodes] == [True, False, False, True, True, False, True]
    assert nodes[0].value == '"noise"'
    assert nodes[1].offset == 5


def wrapped() -> bytes:
    return b"".join(bytes.fromhex(octets) for octets, _ in framed() if octets.startswith("0001"))


@given(
    st.sampled_from((STREAM, wrapped(), wrapped() + STREAM[5:])), st.lists(st.integers(0, 400), max_size=12)
)
def test_any_split_gives_the_same_trees(octets: bytes, cuts: list[int]) -> None:
    explainer = Explainer()
    places = sorted({0, len(octets), *(cut % len(octets) for cut in cuts)})
    nodes = [node for start, stop in pairwise(places) for node in explainer.feed(octets[start:stop])]
    assert nodes + explainer.finish() == explain(octets)


def test_octet_by_octet_gives_the_same_trees() -> None:
    explainer = Explainer()
    nodes = [node for octet in STREAM for node in explainer.feed(bytes((octet,)))]
    assert nodes + explainer.finish() == explain(STREAM)


def test_noise_does_not_pile_up() -> None:
    explainer = Explainer()
    noise = bytes(range(0x7F, 0xFF)) * 100
    nodes = explainer.feed(GET_NAME + noise) + explainer.feed(noise) + explainer.finish()
    assert nodes == explain(GET_NAME + noise + noise)
    assert covered(nodes) == GET_NAME + noise + noise
    assert len(nodes) > 4


def rows(count: int) -> Data:
    start = bytes.fromhex("07EA0101 04 000000 00 FFC4 00")
    return make.array(
        make.structure(
            make.octet_string(start[:6] + bytes((row % 60,)) + start[7:]),
            make.long_unsigned(0xC0 if row == 1 else 0),
            *(make.double_long(1000 * row + column) for column in range(4)),
        )
        for row in range(count)
    )


def test_rows_of_a_buffer_are_a_table_that_is_cut() -> None:
    explainer = Explainer()
    explainer.feed(Wpdu(16, 1, bytes.fromhex(GET_LOAD)).encode(), "TX")
    answer = GetResponseNormal(0xC1, encode_data(rows(50))).encode()
    text = render(explainer.feed(Wpdu(1, 16, answer).encode(), "RX"))
    columns = "record timestamp | status | kWh del int | kVARh del int | kWh rec int | kVARh rec int"
    assert f"columns: {columns}" in text
    assert "row 2: Thu 2026-01-01 00:01:00+01:00 | 00C0 power down, power up | 1000 | 1001" in text
    assert f"row {SHOWN_ROWS}:" in text
    assert f"row {SHOWN_ROWS + 1}:" not in text
    assert f"{50 - SHOWN_ROWS} more rows" in text
    assert "RX WPDU" in text


def test_segments_and_blocks_are_joined_and_the_value_shown() -> None:
    value = encode_data(rows(9))
    octets = Frame(SERVER, CLIENT, 0x10, bytes.fromhex("E6E600" + GET_LOAD)).encode()
    number = 0
    size = 150
    blocks = [value[at : at + size] for at in range(0, len(value), size)]
    for block, raw in enumerate(blocks, 1):
        apdu = GetResponseWithDatablock(0xC1, block == len(blocks), block, raw).encode()
        lsdu = bytes.fromhex("E6E700") + apdu
        pieces = [lsdu[at : at + 64] for at in range(0, len(lsdu), 64)]
        for place, piece in enumerate(pieces):
            control = 0x30 | number << 1
            number = number + 1 & 7
            frame = Frame(CLIENT, SERVER, control, piece, place < len(pieces) - 1).encode()
            octets += frame * (2 if place == 0 else 1)  # the first of each was repeated
    nodes = explain(octets)
    text = render(nodes)
    assert not errors(nodes), text
    assert "LSDU, joined from 3 segments" in text
    assert "first segment" in text
    assert "repeated" in text
    assert f"value of the answer, joined from {len(blocks)} blocks: {len(value)} octets" in text
    assert "Profile generic (7) 1-0:99.1.0*255 load profile, attribute buffer (2): array of 9" in text
    assert "row 9:" in text
    assert text.count("row 1:") == 1


def test_published_blocks_are_joined() -> None:
    blocks = (
        "C402810000000001001E093201020304050607080910111213141516171819202122232425262728",
        "C402810100000002001629303132333435363738394041424344454647484950",
    )
    nodes = explain(b"".join(Wpdu(1, 16, bytes.fromhex(block)).encode() for block in blocks))
    assert [node.label for node in nodes] == ["WPDU", "WPDU", "value of the answer, joined from 2 blocks"]
    assert not errors(nodes)
    assert "octet-string of 50 octets" in render(nodes)


def test_a_set_in_blocks_is_joined() -> None:
    value = encode_data(make.octet_string(bytes.fromhex("07E20206FF091D0200000000")))
    first = bytes.fromhex("C102C100080000010000FF0200 00 00000001 05") + value[:5]
    second = bytes.fromhex("C103C1 01 00000002 09") + value[5:]
    nodes = explain(Wpdu(16, 1, first).encode() + Wpdu(16, 1, second).encode())
    assert not errors(nodes)
    assert "Clock (8) 0-0:1.0.0*255 clock, attribute time (2): octet-string 2018-02-06 09:29:02" in render(
        nodes
    )


def test_a_block_out_of_turn_is_pointed_at() -> None:
    blocks = [GetResponseWithDatablock(0xC1, False, number, b"\x01\x02").encode() for number in (1, 3)]
    nodes = explain(b"".join(Wpdu(1, 16, block).encode() for block in blocks))
    assert [error.error for error in errors(nodes)] == ["block 3 came where 2 was due"]


def test_apdus_without_frames_in_both_directions() -> None:
    explainer = Explainer()
    nodes = explainer.feed(bytes.fromhex(GET_LOAD), "TX")
    nodes += explainer.feed(GetResponseNormal(0xC1, encode_data(rows(1))).encode(), "RX")
    nodes += explainer.finish()
    assert [node.label for node in nodes] == ["TX get-request-normal", "RX get-response-normal"]
    assert "kWh del int" in render(nodes)


def test_the_answer_to_attribute_0_names_its_members() -> None:
    explainer = Explainer()
    explainer.feed(bytes.fromhex("C001C100030101010800FF0000"), "TX")
    value = make.structure(
        make.octet_string(bytes.fromhex("0101010800FF")),
        make.long64(5),
        make.structure(make.integer(0), make.enum(30)),
    )
    text = render(
        [*explainer.feed(GetResponseNormal(0xC1, encode_data(value)).encode(), "RX"), *explainer.finish()]
    )
    assert "logical_name (1): octet-string 1-1:1.8.0*255 kWh del" in text
    assert "scaler_unit (3): scaler 10^0, Wh" in text


# --- properties ------------------------------------------------------------------------------------


@given(st.binary(max_size=120))
def test_no_octets_raise(octets: bytes) -> None:
    for data in (False, True):
        nodes = explain(octets, secrets=True, data=data)
        render(nodes)
        assert covered(nodes) in (octets, octets.strip(b"\x7e")) or octets[:1] == b"\x7e" or b"\x7e" in octets


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.sampled_from([octets for octets, _ in framed()]))
def test_damaged_frames_never_raise(chance: random.Random, published: str) -> None:
    octets = bytearray.fromhex(published)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(octets))
        octets[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        octets = octets or bytearray(b"\x7e")
    render(explain(bytes(octets)))


@given(st.one_of(*BOUNDED, get_responses_normal))
def test_what_the_decoders_take_has_no_error(apdu: Apdu) -> None:
    # What a lone block carries need not be Data, and its number need not be 1: that is another matter.
    (first, *_) = explain(Wpdu(1, 16, apdu.encode()).encode(), secrets=True)
    assert not [error for error in first.errors if error.label != "block transfer"], render([first])


@given(st.sampled_from((0x01, 0x08, 0x0E, 0xC0, 0xC1, 0xC3, 0xC4, 0xC5, 0xC7, 0xD8)), st.binary(max_size=40))
def test_what_the_decoders_refuse_has_an_error(tag: int, octets: bytes) -> None:
    apdu = bytes((tag,)) + octets
    reader = Reader(apdu)
    try:
        decode_apdu(reader)
        reader.end()
    except DecodeError:
        assert errors(explain(Wpdu(1, 16, apdu).encode(), secrets=True))


@given(data_values())
def test_data_of_every_type_is_explained(data: Data) -> None:
    nodes = explain(encode_data(data), data=True, secrets=True)
    assert not errors(nodes)
    assert data.tag.name.lower().replace("_", "-") in render(nodes) or "scaler" in render(nodes)


def test_nesting_without_end_is_an_error() -> None:
    nodes = explain(b"\x01\x01" * 200, data=True)
    assert "nested deeper than 16" in render(nodes)


def test_a_frame_with_a_lying_count_is_small() -> None:
    apdu = bytes.fromhex("C401C100 01 84 FFFFFFFF 00 00")
    nodes = explain(Wpdu(1, 16, apdu).encode())
    assert errors(nodes)
    assert sum(1 for node in nodes for _ in node.walk()) < 30


def test_a_check_sequence_is_that_of_the_data_link() -> None:
    body = GET_NAME[1:-3]
    assert fcs16(body).hex(" ").upper() in render(explain(GET_NAME))
