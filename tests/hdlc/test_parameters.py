from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.errors import DecodeError, LocalError
from iondlms.hdlc import FrameReject, LinkParameters, RejectReason

VECTORS = [  # (octets, value, source); encoded back as we write them
    ("818012 050180 060180 070400000001 080400000001", LinkParameters(), "IEC 62056-46 6.4.4.4.3.2"),
    (
        "818012 0501EF 0601EF 070400000001 080400000001",
        LinkParameters(239, 239),
        "gocosem: a meter over serial",
    ),
    ("818012 050180 060180 070400000001 080400000007", LinkParameters(128, 128, 1, 7), "cosemlib self-test"),
    (
        "818014 05020194 06020174 070400000001 080400000001",
        LinkParameters(404, 372),
        "Chinese DLMS training note",
    ),
    (
        "818014 050207EE 060207EE 070400000007 080400000007",
        LinkParameters(2030, 2030, 7, 7),
        "conformance DL-36",
    ),
]


@pytest.mark.parametrize(("octets", "value", "source"), VECTORS)
def test_vector(octets: str, value: LinkParameters, source: str) -> None:
    assert value.encode() == bytes.fromhex(octets), source
    assert LinkParameters.decode(bytes.fromhex(octets)) == value, source


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        ("", LinkParameters()),
        ("81", LinkParameters()),
        ("818000", LinkParameters()),
        ("818014 05020080 06020080 070400000001 080400000001", LinkParameters()),
        ("81800C 050140 060120 070101 080101", LinkParameters(64, 32)),  # windows of one octet
        ("818008 050400000040 0600", LinkParameters(64)),
        ("818004 05000600", LinkParameters()),  # DL-41
        ("818003 050180 F0021122", LinkParameters()),  # DL-43: user data
        ("81F0 8080", LinkParameters()),
        ("818003 050140 8003 060140", LinkParameters(64, 64)),
    ],
)
def test_other_forms(octets: str, value: LinkParameters) -> None:
    assert LinkParameters.decode(bytes.fromhex(octets)) == value
    assert LinkParameters.decode(bytes.fromhex(octets), strict=False) == value


@pytest.mark.parametrize(
    "octets",
    ["82 8003 050180", "818020 050180", "8180", "818003 0502 80", "818002 0501", "818003 050110",
     "818003 050100", "818003 070100", "818003 070108", "818004 050207EF", "818007 05050000000080"],
)  # fmt: skip
def test_malformed(octets: str) -> None:
    for strict in (True, False):
        with pytest.raises(DecodeError):
            LinkParameters.decode(bytes.fromhex(octets), strict=strict)


@pytest.mark.parametrize(
    "octets", ["818003 090180", "818006 050180 0B0100", "8101 01AA", "81 8003 050180 00"]
)
def test_unknown_identifiers_are_refused_by_a_server_only(octets: str) -> None:
    with pytest.raises(DecodeError):
        LinkParameters.decode(bytes.fromhex(octets))


def test_a_client_passes_over_what_it_does_not_know() -> None:
    octets = bytes.fromhex("8101 01AA 8006 090140 050140")
    assert LinkParameters.decode(octets, strict=False) == LinkParameters(64)


PARAMETERS = st.builds(
    LinkParameters, st.integers(32, 2030), st.integers(32, 2030), st.integers(1, 7), st.integers(1, 7)
)


@given(PARAMETERS)
def test_round_trip_and_no_shorter_reading(value: LinkParameters) -> None:
    octets = value.encode()
    assert LinkParameters.decode(octets) == value
    for cut in range(2, len(octets)):
        with pytest.raises(DecodeError):
            LinkParameters.decode(octets[:cut])


@given(st.binary(max_size=30), st.booleans())
def test_random_octets_raise_only_decode_errors(octets: bytes, strict: bool) -> None:
    try:
        LinkParameters.decode(b"\x81\x80" + octets, strict=strict)
    except DecodeError:
        return


@given(PARAMETERS, PARAMETERS)
def test_both_sides_agree_on_the_smaller(ours: LinkParameters, theirs: LinkParameters) -> None:
    agreed = ours.negotiate(theirs)
    seen = theirs.negotiate(agreed)
    assert agreed.transmit_information == min(ours.transmit_information, theirs.receive_information)
    assert agreed.receive_window == min(ours.receive_window, theirs.transmit_window)
    assert (seen.transmit_information, seen.receive_information) == (
        agreed.receive_information,
        agreed.transmit_information,
    )
    assert (seen.transmit_window, seen.receive_window) == (agreed.receive_window, agreed.transmit_window)


@pytest.mark.parametrize("values", [(31, 128, 1, 1), (128, 2031, 1, 1), (128, 128, 0, 1), (128, 128, 1, 8)])
def test_illegal_values_do_not_exist(values: tuple[int, int, int, int]) -> None:
    with pytest.raises(LocalError):
        LinkParameters(*values)


REJECTS = [  # (octets, value, source)
    ("FF 00 01", FrameReject(0xFF, 0, 0, RejectReason.UNKNOWN_CONTROL), "DL-13"),
    ("10 00 04", FrameReject(0x10, 0, 0, RejectReason.INFORMATION_TOO_LONG), "DL-53"),
    ("11 00 03", FrameReject(0x11, 0, 0, RejectReason(3)), "DL-65"),
    ("54 52 08", FrameReject(0x54, 1, 2, RejectReason.WRONG_RECEIVE_NUMBER, True), "ISO/IEC 13239 5.5.3.4.2"),
]


@pytest.mark.parametrize(("octets", "value", "source"), REJECTS)
def test_frame_reject(octets: str, value: FrameReject, source: str) -> None:
    assert value.encode() == bytes.fromhex(octets), source
    assert FrameReject.decode(bytes.fromhex(octets)) == value, source


def test_frame_reject_of_other_meters() -> None:
    assert FrameReject.decode(bytes.fromhex("540010")).reasons is RejectReason.UNKNOWN_CONTROL
    assert str(FrameReject.decode(bytes.fromhex("110003"))) == (
        "RR N(R)=0 P/F rejected: unknown control field, information not permitted"
    )
    assert "no reason" in str(FrameReject.decode(bytes(3)))
    for octets in (b"", b"\x54\x00", bytes(4)):
        with pytest.raises(DecodeError):
            FrameReject.decode(octets)
