"""Maps of Modbus registers: which registers hold which quantity, and in what requests to read them.

Maps are TOML files that users may copy and edit; what their keys mean is written in maps/ion9000.toml.
"""

from __future__ import annotations

import math
import struct
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, Final

from iondlms.errors import LocalError
from iondlms.ion import QUANTITIES, Kind, rounded

__all__ = ["BUILT_IN", "Block", "MappedValue", "ModbusMap", "load_map", "map_text"]

BUILT_IN: Final = {
    "ion9000": "ion9000",
    "ion7400": "ion9000",
    "pm8000": "ion9000",
    "ion8650": "ion8650",
    "ion8800": "ion8650",
}
_FORMATS: Final = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_TOP: Final = {"name", "base", "words", "rollover", "largest_request", "largest_gap", "values"}
_KEYS: Final = {"register", "type", "scale", "code", "words", "function"}
_MOST_REGISTERS: Final = 125  # a Read Holding Registers response holds no more
_WORDS: Final = ("high-first", "low-first")
_FUNCTIONS: Final = ("holding", "input")
_CODES: Final = ("plain", "four-quadrant")


@dataclass(frozen=True, slots=True)
class MappedValue:
    """Where a quantity is, and how it is written there."""

    quantity: str  # ION name
    address: int  # as sent
    type: str
    scale: Fraction  # what makes the ION unit of the register
    code: str = "plain"
    words: str = "high-first"
    function: str = "holding"

    @property
    def count(self) -> int:
        """How many registers it takes."""
        return struct.calcsize(">" + _FORMATS[self.type]) // 2

    def decode(self, registers: Sequence[int]) -> int | None:
        """Return the quantity times 1000; None for what meters write where they have no value."""
        ordered = registers if self.words == "high-first" else registers[::-1]
        octets = b"".join(register.to_bytes(2, "big") for register in ordered)
        (raw,) = struct.unpack(">" + _FORMATS[self.type], octets)
        if isinstance(raw, float) and not math.isfinite(raw):
            return None
        if isinstance(raw, int) and raw == self._absent:
            return None
        value = Fraction(raw) * self.scale
        if self.code == "four-quadrant":
            unfolded = _four_quadrant(value)
            if unfolded is None:
                return None
            value = unfolded
        if self.type.startswith("float") and abs(value) > 10**15:
            return None  # noise: no meter is that large
        if QUANTITIES[self.quantity].kind is Kind.ENERGY and value < 0:
            return None
        value *= 1000
        return rounded(value.numerator, value.denominator)

    @property
    def _absent(self) -> int:
        """What stands for "no value": the lowest of a signed type, the highest of an unsigned one."""
        bits = 16 * self.count
        return -(1 << bits - 1) if self.type.startswith("int") else (1 << bits) - 1


@dataclass(frozen=True, slots=True)
class Block:
    """Registers read by one request."""

    function: str
    address: int
    count: int
    values: tuple[MappedValue, ...]

    def decode(self, registers: Sequence[int]) -> dict[str, int | None]:
        """Return all values of the answer."""
        found = {}
        for value in self.values:
            start = value.address - self.address
            found[value.quantity] = value.decode(registers[start : start + value.count])
        return found

    def parts(self) -> tuple[Block, ...]:
        """Return smaller blocks for a meter that refuses this one: without gaps, and then value by value."""
        parts = _plan(self.values, self.count, 0)
        return parts if len(parts) > 1 else _plan(self.values, 0, 0)


@dataclass(frozen=True, slots=True)
class ModbusMap:
    """A whole map."""

    name: str
    values: tuple[MappedValue, ...]
    rollover: int  # k-units
    largest_request: int
    largest_gap: int

    def plan(self) -> tuple[Block, ...]:
        """Return the requests that read all values, neighbours together."""
        return _plan(self.values, self.largest_request, self.largest_gap)


def map_text(name: str) -> str:
    """Return the file of a map that comes with the program, to change a copy of it; LocalError for none."""
    built_in = BUILT_IN.get(name.lower())
    if built_in is None:
        raise LocalError(f"no map is called {name!r}; there are {', '.join(BUILT_IN)}")
    return (resources.files(__package__) / "maps" / f"{built_in}.toml").read_text(encoding="utf-8")


def load_map(name: str) -> ModbusMap:
    """Return a map that comes with the program, or that of a file; LocalError lists all that is wrong."""
    try:
        if name.lower() in BUILT_IN:
            text = map_text(name)
        elif name.endswith(".toml"):
            text = Path(name).read_text(encoding="utf-8")
        else:
            raise LocalError(
                f"no map is called {name!r}; there are {', '.join(BUILT_IN)}, or name a .toml file"
            )
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LocalError(f"{name}: cannot be read: {error}") from error
    faults: list[str] = []
    made = _map(document, faults)
    if made is None or faults:
        raise LocalError("\n".join(f"{name}: {fault}" for fault in faults))
    return made


def _map(document: Mapping[str, Any], faults: list[str]) -> ModbusMap | None:
    faults += [f"{key}: there is no such key" for key in document if key not in _TOP]
    base = _whole(document, "base", 1, (0, 100_000), faults)
    words = _one_of(document, "words", _WORDS, "high-first", faults)
    rollover = _whole(document, "rollover", 10_000_000, (1, 10**15), faults)
    largest = _whole(document, "largest_request", _MOST_REGISTERS, (4, _MOST_REGISTERS), faults)
    gap = _whole(document, "largest_gap", 16, (0, _MOST_REGISTERS), faults)
    entries = document.get("values", {})
    if not isinstance(entries, dict) or not entries:
        faults.append("values: there are none")
        return None
    values = []
    for name, entry in entries.items():
        value = _value(name, entry, base, words, faults)
        if value is not None:
            values.append(value)
    if "kWh del" not in entries:
        faults.append("values: 'kWh del' is not among them, and it is what a meter is for")
    return ModbusMap(str(document.get("name", "")), tuple(values), rollover, largest, gap)


def _value(name: str, entry: object, base: int, words: str, faults: list[str]) -> MappedValue | None:
    before = len(faults)
    known = QUANTITIES.get(name)
    if known is None or known.kind is Kind.INTERVAL_ENERGY:
        faults.append(f"values.{name!r}: no quantity that can be read is called that")
        return None
    if not isinstance(entry, dict):
        faults.append(f'values.{name!r}: write it as {{ register = 3204, type = "int64" }}')
        return None
    own: list[str] = [f"{key}: there is no such key" for key in entry if key not in _KEYS]
    register = _whole(entry, "register", -1, (base, base + 65_535), own)
    kind = _one_of(entry, "type", tuple(_FORMATS), "", own)
    try:
        scale = Fraction(str(entry.get("scale", "1")))
    except (ValueError, ZeroDivisionError):
        scale = Fraction(0)
    if not scale:
        own.append(f"scale: {entry.get('scale')!r} is no number but 0")
    made = MappedValue(
        name,
        register - base,
        kind or "int16",
        scale,
        _one_of(entry, "code", _CODES, "plain", own),
        _one_of(entry, "words", _WORDS, words, own),
        _one_of(entry, "function", _FUNCTIONS, "holding", own),
    )
    faults += [f"values.{name!r}.{fault}" for fault in own]
    return made if len(faults) == before else None


def _whole(
    table: Mapping[str, Any], key: str, default: int, between: tuple[int, int], faults: list[str]
) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not between[0] <= value <= between[1]:
        faults.append(f"{key}: {value!r} is no whole number from {between[0]} to {between[1]}")
        return default
    return value


def _one_of(
    table: Mapping[str, Any], key: str, known: tuple[str, ...], default: str, faults: list[str]
) -> str:
    value = table.get(key, default)
    if value not in known:
        faults.append(f"{key}: {value!r} is not one of {', '.join(known)}")
        return known[0]
    return str(value)


def _plan(values: Sequence[MappedValue], largest: int, gap: int) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for value in sorted(values, key=lambda each: (each.function, each.address)):
        last = blocks[-1] if blocks else None
        if last is not None and last.function == value.function:
            end = last.address + last.count
            count = max(last.count, value.address + value.count - last.address)
            if value.address - end <= gap and count <= largest:
                blocks[-1] = Block(last.function, last.address, count, (*last.values, value))
                continue
        blocks.append(Block(value.function, value.address, value.count, (value,)))
    return tuple(blocks)


def _four_quadrant(value: Fraction) -> Fraction | None:
    """Return the power factor with the sign of the active power; None for what is none."""
    if abs(value) > 2:
        return None
    if value > 1:
        return 2 - value  # quadrant 4: delivered, leading
    if value < -1:
        return -2 - value  # quadrant 2: received
    return value
