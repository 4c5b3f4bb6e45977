from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iondlms.ports.parity import ERROR, add_parity, strip_parity


def test_the_request_as_it_is_on_the_line() -> None:
    # IEC 62056-21 6.3.1: "/?!" CR LF; even parity makes AF 3F 21 8D 0A of it.
    assert add_parity(b"/?!\r\n") == bytes.fromhex("AF 3F 21 8D 0A")
    assert strip_parity(bytes.fromhex("AF 3F 21 8D 0A")) == b"/?!\r\n"


def test_every_octet_on_the_line_has_an_even_number_of_ones() -> None:
    for octet in add_parity(bytes(range(256))):
        assert octet.bit_count() % 2 == 0


@given(st.binary().map(lambda octets: bytes(octet & 0x7F for octet in octets)))
def test_round_trip(characters: bytes) -> None:
    assert strip_parity(add_parity(characters)) == characters


@given(st.integers(0, 127), st.integers(0, 7))
def test_any_single_wrong_bit_is_seen(character: int, bit: int) -> None:
    damaged = bytes((add_parity(bytes((character,)))[0] ^ 1 << bit,))
    assert strip_parity(damaged)[0] & ERROR
    assert not strip_parity(damaged).isascii()
