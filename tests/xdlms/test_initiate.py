"""Initiate: vectors both ways, the conformance block, negotiation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.xdlms.strategies import initiate_requests

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError
from iondlms.xdlms import (
    Apdu,
    ConfirmedServiceError,
    Conformance,
    InitiateError,
    InitiateRequest,
    InitiateResponse,
    decode_apdu,
    negotiate,
)

ION = Conformance(0x00301C)
C7E1F = Conformance(0x007E1F)
KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")

VECTORS: list[tuple[str, Apdu, str]] = [
    ("01000000065F1F0400007E1F04B0", InitiateRequest(C7E1F, 0x04B0), "AP-04, in vector 64"),
    (
        "01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0",
        InitiateRequest(C7E1F, 0x04B0, dedicated_key=KEY),
        "vector 73, Green Book: dedicated key",
    ),
    (
        "0100000100065F1F0400007E1F04B0",
        InitiateRequest(C7E1F, 0x04B0, proposed_quality_of_service=0),
        "AP-23: quality of service",
    ),
    (
        "0100010000065F1F0400007E1F04B0",
        InitiateRequest(C7E1F, 0x04B0, response_allowed=False),
        "AP-39: response-allowed FALSE",
    ),
    ("01000000065F1F0400FFFFFFFFFF", InitiateRequest(Conformance(0xFFFFFF)), "vector 5: every bit"),
    (
        "01000000055F1F0400007E1F04B0",
        InitiateRequest(C7E1F, 0x04B0, proposed_dlms_version_number=5),
        "AP-24",
    ),
    (
        "0800065F1F040000501F01F40007",
        InitiateResponse(Conformance(0x00501F), 0x01F4),
        "vector 72, Green Book: InitiateResponse",
    ),
    ("0800065F1F040000301C04000007", InitiateResponse(ION, 0x0400), "AP-04"),
    (
        "080100065F1F040000301C0400FA00",
        InitiateResponse(ION, 0x0400, vaa_name=0xFA00, negotiated_quality_of_service=0),
        "abstract syntax: quality of service; the SN name",
    ),
    (
        "0E010601",
        ConfirmedServiceError.of_initiate(InitiateError.DLMS_VERSION_TOO_LOW),
        "vector 69, Green Book",
    ),
    ("0E010602", ConfirmedServiceError.of_initiate(InitiateError.INCOMPATIBLE_CONFORMANCE), "AP-27"),
    ("0E010600", ConfirmedServiceError.of_initiate(InitiateError.OTHER), "AP-27, the other answer"),
    ("0E050201", ConfirmedServiceError(5, 2, 1), "abstract syntax: read, definition, object-undefined"),
]


@pytest.mark.parametrize(("octets", "value", "source"), VECTORS, ids=[row[2] for row in VECTORS])
def test_vector(octets: str, value: Apdu, source: str) -> None:
    raw = bytes.fromhex(octets)
    assert value.encode().hex() == raw.hex(), source
    reader = Reader(raw)
    assert decode_apdu(reader) == value, source
    reader.end()


@pytest.mark.parametrize(
    ("octets", "source"),
    [
        ("01000000065F0400007E1F04B0", "AP-29: the tag in one octet"),
        ("0100010100065F1F0400007E1F04B0", "response-allowed TRUE, written out"),
        ("01000100"[:4] + "01FF00065F1F0400007E1F04B0", "TRUE as FF"),
    ],
)
def test_other_forms_of_the_same_request(octets: str, source: str) -> None:
    assert decode_apdu(Reader(bytes.fromhex(octets))) == InitiateRequest(C7E1F, 0x04B0), source


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("5E1F0400007E1F", "another tag"),
        ("5F1F0300007E1F", "23 bits or fewer"),
        ("5F1F0401007E1F", "an unused bit"),
        ("5F0500007E1F00", "five octets"),
        ("5F1F0400007E", "cut short"),
    ],
)
def test_a_conformance_block_that_is_none(octets: str, why: str) -> None:
    with pytest.raises(DecodeError):
        Conformance.decode(Reader(bytes.fromhex(octets)))


# Bit numbers of the standard, written down from it.
BITS = [
    (1, Conformance.GENERAL_PROTECTION),
    (2, Conformance.GENERAL_BLOCK_TRANSFER),
    (3, Conformance.READ),
    (4, Conformance.WRITE),
    (5, Conformance.UNCONFIRMED_WRITE),
    (8, Conformance.ATTRIBUTE0_SUPPORTED_WITH_SET),
    (9, Conformance.PRIORITY_MGMT_SUPPORTED),
    (10, Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET),
    (11, Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ),
    (12, Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE),
    (13, Conformance.BLOCK_TRANSFER_WITH_ACTION),
    (14, Conformance.MULTIPLE_REFERENCES),
    (15, Conformance.INFORMATION_REPORT),
    (16, Conformance.DATA_NOTIFICATION),
    (17, Conformance.ACCESS),
    (18, Conformance.PARAMETERIZED_ACCESS),
    (19, Conformance.GET),
    (20, Conformance.SET),
    (21, Conformance.SELECTIVE_ACCESS),
    (22, Conformance.EVENT_NOTIFICATION),
    (23, Conformance.ACTION),
]


def test_bits() -> None:
    assert {flag for _, flag in BITS} == set(Conformance)
    for number, flag in BITS:
        octets = bytearray(3)
        octets[number // 8] = 0x80 >> number % 8
        assert flag.encode() == bytes.fromhex("5F1F0400") + octets, flag
        assert Conformance.decode(Reader(flag.encode())) is flag


def test_the_profile_in_words() -> None:  # tech note: bits 10, 11, 19, 20, 21 are 00 30 1C
    assert set(ION) == {flag for number, flag in BITS if number in (10, 11, 19, 20, 21)}


@given(st.integers(0, 0xFFFFFF))
def test_reserved_bits_are_kept(bits: int) -> None:
    assert Conformance.decode(Reader(Conformance(bits).encode())) == bits


def error(code: InitiateError) -> ConfirmedServiceError:
    return ConfirmedServiceError.of_initiate(code)


NEGOTIATIONS = [
    ("01000000065F1F0400007E1F04B0", InitiateResponse(Conformance(0x00301C & 0x7E1F), 0x7D), "AP-04"),
    ("0100000100065F1F0400007E1F04B0", InitiateResponse(ION & C7E1F, 0x7D), "AP-23"),
    ("01000000055F1F0400007E1F04B0", error(InitiateError.DLMS_VERSION_TOO_LOW), "AP-24"),
    ("01000000075F1F0400007E1F04B0", InitiateResponse(ION & C7E1F, 0x7D), "AP-25: ours is 6"),
    ("01000000065F1F040000000004B0", error(InitiateError.INCOMPATIBLE_CONFORMANCE), "AP-27, no bit"),
    ("01000000065F1F04001C032004B0", error(InitiateError.INCOMPATIBLE_CONFORMANCE), "AP-27, SN bits"),
    ("01000000065F1F040000001004B0", InitiateResponse(Conformance.GET, 0x7D), "AP-28"),
    ("01000000065F1F0400007E1F000C", InitiateResponse(ION & C7E1F, 0x7D), "AP-31"),
    ("01000000065F1F0400007E1F0000", InitiateResponse(ION & C7E1F, 0x7D), "AP-32: no limit"),
    ("01000000065F1F040060FE9F000B", error(InitiateError.PDU_SIZE_TOO_SHORT), "vector 77"),
    ("01000000065F1F0400007E1F0001", error(InitiateError.PDU_SIZE_TOO_SHORT), "shorter still"),
    (
        "01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0",
        error(InitiateError.OTHER),
        "vector 73: a dedicated key without ciphering",
    ),
]


@pytest.mark.parametrize(("octets", "answer", "case"), NEGOTIATIONS, ids=[row[2] for row in NEGOTIATIONS])
def test_negotiation(octets: str, answer: Apdu, case: str) -> None:
    request = decode_apdu(Reader(bytes.fromhex(octets)))
    assert isinstance(request, InitiateRequest)
    assert negotiate(request, ION, 0x7D) == answer, case


@given(initiate_requests, st.integers(0, 0xFFFFFF).map(Conformance))
def test_never_more_than_both_want(request: InitiateRequest, offered: Conformance) -> None:
    answer = negotiate(request, offered, 125)
    if isinstance(answer, InitiateResponse):
        assert answer.negotiated_conformance == request.proposed_conformance & offered
        assert answer.negotiated_dlms_version_number == 6 <= request.proposed_dlms_version_number
    else:
        assert answer.initiate_error is not None


def test_initiate_error_of_other_services_is_none() -> None:
    assert ConfirmedServiceError(5, 6, 1).initiate_error is None
    assert ConfirmedServiceError(1, 2, 1).initiate_error is None
    assert ConfirmedServiceError(1, 6, 99).initiate_error is None
    assert ConfirmedServiceError(1, 6, 3).initiate_error is InitiateError.PDU_SIZE_TOO_SHORT


def test_the_dedicated_key_stays_out_of_repr() -> None:
    assert repr(KEY) not in repr(InitiateRequest(ION, dedicated_key=KEY))
