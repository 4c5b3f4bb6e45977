"""Maps of Modbus registers: decoding, planning, and what is said about a wrong file."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.errors import LocalError
from iondlms.ion import QUANTITIES
from iondlms.sources import load_map
from iondlms.sources.modbus_map import BUILT_IN, ModbusMap


def words(form: str, value: float) -> list[int]:
    octets = struct.pack(">" + form, value)
    return [int.from_bytes(octets[index : index + 2], "big") for index in range(0, len(octets), 2)]


def mapped(tmp_path: Path, entry: str, top: str = "") -> ModbusMap:
    file = tmp_path / "own.toml"
    file.write_text(f'{top}\n[values]\n"kWh del" = {{ register = 1, type = "int64" }}\n{entry}\n', "utf-8")
    return load_map(str(file))


# (quantity, type code, raw value, kept value or None), over the map of ION9000
ION9000 = [
    ("kWh del", "q", 10_000_000_123, 10_000_000_123),
    ("kWh rec", "q", -(2**63), None),
    ("kWh rec", "q", -1, None),
    ("kVAh del+rec", "q", 2**53 + 1, 2**53 + 1),
    ("kW tot", "f", -1.5, -1500),
    ("kW tot", "f", float("nan"), None),
    ("kW tot", "f", float("inf"), None),
    ("kW tot", "f", 3.0e38, None),
    ("Vln a", "f", 230.5, 230_500),
    ("PF sign tot", "f", 0.5, 500),
    ("PF sign tot", "f", -0.5, -500),
    ("PF sign tot", "f", 1.25, 750),
    ("PF sign tot", "f", -1.25, -750),
    ("PF sign tot", "f", -2.0, 0),
    ("PF sign tot", "f", 1.0, 1000),
    ("PF sign tot", "f", 2.5, None),
]
ION8650 = [
    ("kWh del", "i", 9_999_999, 9_999_999_000),
    ("kWh del", "i", -(2**31), None),
    ("kW sd del-rec", "i", -123, -12_300),
    ("Vln a", "H", 2401, 240_100),
    ("Vln a", "H", 0xFFFF, None),
    ("PF sign tot", "h", -9850, -985),
    ("PF sign tot", "h", -32768, None),
]


@pytest.mark.parametrize(
    ("name", "quantity", "form", "raw", "kept"),
    [("ion9000", *row) for row in ION9000] + [("ion8650", *row) for row in ION8650],
)
def test_decoding(name: str, quantity: str, form: str, raw: float, kept: int | None) -> None:
    value = next(value for value in load_map(name).values if value.quantity == quantity)
    assert value.decode(words(form, raw)) == kept


# ion-profile.md, section 6: register numbers, each sent less 1
ADDRESSES = {
    "ion9000": {
        "kWh del": 3203,
        "kWh rec": 3207,
        "kVARh del": 3219,
        "kVARh rec": 3223,
        "kVAh del+rec": 3243,
        "kW tot": 3059,
        "kVAR tot": 3067,
        "kVA tot": 3075,
        "kW sd del-rec": 3765,
        "kVAR sd del-rec": 3781,
        "kVA sd del+rec": 3797,
        "PF sign tot": 3083,
    },
    "ion8650": {
        "kWh del": 229,
        "kWh rec": 231,
        "kVARh del": 233,
        "kVARh rec": 235,
        "kVAh del+rec": 237,
        "kW sd del-rec": 76,
        "kVA sd del+rec": 78,
        "kVAR sd del-rec": 80,
        "PF sign tot": 264,
    },
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_addresses_as_sent(name: str) -> None:
    found = {value.quantity: value.address for value in load_map(name).values}
    assert {quantity: found[quantity] for quantity in ADDRESSES[name]} == ADDRESSES[name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_plan_reads_every_value_once_and_energies_together(name: str) -> None:
    made = load_map(name)
    blocks = made.plan()
    assert sorted(v.quantity for b in blocks for v in b.values) == sorted(v.quantity for v in made.values)
    energies = [b for b in blocks if any("Wh" in v.quantity or "Rh" in v.quantity for v in b.values)]
    assert len(energies) == 1
    assert all(block.count <= 125 for block in blocks)


@given(
    st.lists(st.integers(0, 600), min_size=1, max_size=30, unique=True),
    st.integers(4, 125),
    st.integers(0, 30),
)
def test_any_plan_covers_all_and_keeps_its_limits(registers: list[int], largest: int, gap: int) -> None:
    from iondlms.sources.modbus_map import MappedValue, _plan

    names = list(QUANTITIES)
    values = [MappedValue(names[i], register, "int32", 1) for i, register in enumerate(registers)]  # type: ignore[arg-type]
    blocks = _plan(values, largest, gap)
    answer = {register: (register * 7) % 65536 for register in range(700)}
    found: dict[str, int | None] = {}
    for block in blocks:
        assert block.count <= largest
        found |= block.decode([answer[block.address + index] for index in range(block.count)])
    assert found == {v.quantity: v.decode([answer[v.address], answer[v.address + 1]]) for v in values}
    if gap == 0:
        for block in blocks:
            covered = {v.address + index for v in block.values for index in range(2)}
            assert covered == set(range(block.address, block.address + block.count))


def test_a_map_of_ones_own(tmp_path: Path) -> None:
    made = mapped(
        tmp_path,
        '"kW tot" = { register = 30, type = "int32", scale = "0.01",'
        ' words = "low-first", function = "input" }',
        "base = 0\nrollover = 1000",
    )
    value = next(value for value in made.values if value.quantity == "kW tot")
    assert (value.address, value.function, made.rollover) == (30, "input", 1000)
    assert value.decode(words("i", 123)[::-1]) == 1230
    assert {block.function for block in made.plan()} == {"holding", "input"}


WRONG = [
    ('"kW total" = { register = 3, type = "int16" }', "", "kW total"),
    ('"kWh del int" = { register = 3, type = "int16" }', "", "kWh del int"),
    ('"kW tot" = { register = 3 }', "", "type"),
    ('"kW tot" = { register = 0, type = "int16" }', "", "register"),
    ('"kW tot" = { register = 3, type = "int16", scale = "x" }', "", "scale"),
    ('"kW tot" = { register = 3, type = "int16", scale = 0 }', "", "scale"),
    ('"kW tot" = { register = 3, type = "int16", sale = 1 }', "", "sale"),
    ('"kW tot" = 3', "", "kW tot"),
    ("", 'words = "middle-first"', "words"),
    ("", "largest_request = 126", "largest_request"),
    ("", "colour = 1", "colour"),
]


@pytest.mark.parametrize(("entry", "top", "named"), WRONG)
def test_a_wrong_map_is_told_by_key(tmp_path: Path, entry: str, top: str, named: str) -> None:
    with pytest.raises(LocalError, match=named):
        mapped(tmp_path, entry, top)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('base = -1\n[values]\n"x" = 1\n"kW tot" = { type = "int8" }\n', "utf-8")
    with pytest.raises(LocalError) as caught:
        load_map(str(file))
    assert len(str(caught.value).splitlines()) == 5  # base, x, register, type, and no "kWh del"


@pytest.mark.parametrize("name", ["ion9999", "nowhere.toml"])
def test_no_such_map(name: str) -> None:
    with pytest.raises(LocalError, match=name):
        load_map(name)
