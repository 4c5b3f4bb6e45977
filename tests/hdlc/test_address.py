from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hdlc.builders import addresses

from iondlms.errors import DecodeError, LocalError
from iondlms.hdlc import ServerAddress
from iondlms.hdlc.address import client_octet, client_sap

VECTORS = [  # (octets, value, source)
    ("00 02 00 C9", ServerAddress(1, 100), "profile: Unit ID 100"),
    ("00 02 00 CD", ServerAddress(1, 102), "profile: Unit ID 102"),
    ("00 02 9C 1F", ServerAddress(1, 9999), "profile: Unit ID 9999"),
    ("00 02 00 23", ServerAddress(1, 17), "conformance: conventions"),
    ("00 02 94 B3", ServerAddress(1, 9561), "gocosem: a meter over serial"),
    ("48 68 FE FF", ServerAddress(0x1234, 0x3FFF), "IEC 62056-46: address example"),
    ("02 23", ServerAddress(1, 17, 2), "conformance DL-28"),
    ("03", ServerAddress(1, None, 1), "wireshark-dlms sample capture"),
]


@pytest.mark.parametrize(("octets", "value", "source"), VECTORS)
def test_vector(octets: str, value: ServerAddress, source: str) -> None:
    assert value.encode() == bytes.fromhex(octets), source
    assert ServerAddress.decode(bytes.fromhex(octets)) == value, source


@given(addresses())
def test_round_trip(octets: bytes) -> None:
    assert ServerAddress.decode(octets).encode() == octets


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "00",
        "00 02 23",
        "00 02 00 00 23",
        "03 02",
        "01 02 00 23",
        "00 03 00 23",
        "00 02 01 23",
        "00 02 00 22",
    ],
)
def test_no_address(octets: str) -> None:
    with pytest.raises(DecodeError):
        ServerAddress.decode(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "parts",
    [
        (1, 2, 3),
        (1, 2, 1),
        (1, None, 4),
        (1, None, 2),
        (128, None, 1),
        (0x4000, 1, 4),
        (1, 0x4000, 4),
        (-1, 1, 4),
    ],
)
def test_illegal_values_do_not_exist(parts: tuple[int, int | None, int]) -> None:
    with pytest.raises(LocalError):
        ServerAddress(*parts)


def test_same_station_is_by_value() -> None:
    assert ServerAddress(1, 17).same_station(ServerAddress(1, 17, 2))
    assert ServerAddress(1, 17).same_station(ServerAddress(1, None, 1))
    assert not ServerAddress(1, 17).same_station(ServerAddress(1, 18))
    assert not ServerAddress(1, 17).same_station(ServerAddress(2, 17))
    # 7F is all stations in two octets, and a station like others in four.
    assert not ServerAddress(1, 0x7F, 2).same_station(ServerAddress(1, 0x7F, 4))


def test_special_addresses() -> None:
    special = [
        (0, 1, 4),
        (1, 0, 4),
        (1, 0x3FFE, 4),
        (1, 0x3FFF, 4),
        (0x3FFF, 1, 4),
        (1, 0x7E, 2),
        (0x7F, None, 1),
    ]
    assert all(ServerAddress(*parts).special for parts in special)
    assert not any(
        ServerAddress(*parts).special for parts in [(1, 0x7F, 4), (1, 1, 2), (1, None, 1), (1, 9999, 4)]
    )
    assert str(ServerAddress(1, 17)) == "1/17"
    assert str(ServerAddress(1, None, 1)) == "1"


@given(st.integers(1, 126))
def test_client_round_trip(sap: int) -> None:
    assert client_sap(client_octet(sap)) == sap


@pytest.mark.parametrize("sap", [-1, 0, 127, 128])
def test_no_client(sap: int) -> None:
    with pytest.raises(LocalError):
        client_octet(sap)


@pytest.mark.parametrize("octets", ["01", "FF", "20", "00 21", ""])
def test_no_client_octets(octets: str) -> None:
    assert client_sap(bytes.fromhex(octets)) is None
