from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.codec.strategies import obis_codes

from iondlms.codec.obis import ObisCode
from iondlms.errors import DecodeError, LocalError

VECTORS = [  # (octets, text, source)
    ("0000010000FF", "0-0:1.0.0*255", "ION profile 4: Clock"),
    ("01011D0000FF", "1-1:29.0.0*255", "written by hand"),
    ("0101011D00FF", "1-1:1.29.0*255", "ION profile 4: kWh del int"),
    ("0101801D00FF", "1-1:128.29.0*255", "written by hand: a manufacturer's C"),
    ("0100630100FF", "1-0:99.1.0*255", "ION profile 4: load profile; vectors.md 90"),
    ("0000616100FF", "0-0:97.97.0*255", "ION profile 4: status word"),
    ("000000000000", "0-0:0.0.0*0", "62056-62 5.6: sort object none"),
    ("FFFFFFFFFFFF", "255-255:255.255.255*255", "the upper end"),
]


@pytest.mark.parametrize(("octets", "text", "source"), VECTORS)
def test_vector(octets: str, text: str, source: str) -> None:
    code = ObisCode(bytes.fromhex(octets))
    assert str(code) == text, source
    assert repr(code) == f"ObisCode({text!r})"
    assert ObisCode.parse(text) == code, source


@pytest.mark.parametrize(
    "text",
    [
        "1-1:1.29.0*255",
        "1-1:1.29.0.255",
        "1-1:1.29.0",
        "1.1.1.29.0.255",
        "  1-1:1.29.0*255\n",
        "001-001:001.029.000*255",
    ],
)
def test_the_ways_to_write_one(text: str) -> None:
    assert ObisCode.parse(text) == ObisCode(bytes.fromhex("0101011D00FF"))


def test_f_of_zero_is_not_taken_for_left_out() -> None:
    assert ObisCode.parse("1-1:1.29.0*0").octets[5] == 0
    assert ObisCode.parse("1.1.1.29.0.0").octets[5] == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kWh-del-int",
        "1-1:1.29",
        "1-1:1.29.0*",
        "1-1:1.29.0*256",
        "256-1:1.29.0*255",
        "1-1:1.29.0*2555",
        "1-1:1.29.0*-1",
        "1.1.1.29.0",
        "1.1.1.29.0.255.0",
        "1-1:1.29.0*255:2",
        "1-1:1 .29.0*255",
        "0101011D00FF",
        "١-١:١.٢.٠*٢٥٥",  # digits, but not ours
        "1-1:1.29.0*255\x00",
    ],
)
def test_what_is_no_obis_code_is_named(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        ObisCode.parse(text)
    assert repr(text) in str(caught.value)
    assert "1-1:1.29.0*255" in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 5, 7, 12])
def test_a_name_from_the_line_of_another_length_is_the_peers_fault(length: int) -> None:
    with pytest.raises(DecodeError, match="6 octets"):
        ObisCode(bytes(length))


@given(obis_codes())
def test_round_trip(code: ObisCode) -> None:
    assert ObisCode.parse(str(code)) == code
    assert ObisCode.parse(str(code).replace("*", ".")) == code
    assert ObisCode.parse(".".join(map(str, code.octets))) == code


@given(st.lists(obis_codes()))
def test_orders_and_hashes_by_octets(codes: list[ObisCode]) -> None:
    assert [code.octets for code in sorted(codes)] == sorted(code.octets for code in codes)
    assert len(set(codes)) == len({code.octets for code in codes})


@given(st.text(max_size=30))
def test_any_text_parses_or_is_a_local_error(text: str) -> None:
    try:
        code = ObisCode.parse(text)
    except LocalError:
        return
    assert len(code.octets) == 6
