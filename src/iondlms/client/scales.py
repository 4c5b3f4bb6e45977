"""What the integers of a register stand for: where its scaler and unit are read, and what they say."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from decimal import Context, Decimal
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeAlias

from iondlms.codec.axdr import Data
from iondlms.codec.octets import alike
from iondlms.cosem import CaptureObject
from iondlms.cosem.units import unit_name
from iondlms.errors import DecodeError
from iondlms.xdlms import AttributeDescriptor

__all__ = [
    "UNSCALED",
    "Quantity",
    "Scale",
    "are_integers",
    "decimals",
    "is_numeric",
    "is_scaler_unit",
    "scale_of",
    "scaler_unit_of",
]

Scale: TypeAlias = "tuple[int | None, str]"  # scaler, None where it could not be read, and unit

UNSCALED: Final[Scale] = (None, "")
# Register, Extended register, Demand register (62056-62 5.2 to 5.4): the attributes that are numbers, and
# the one with their scaler and unit.
_REGISTERS: Final[dict[int, tuple[tuple[int, ...], int]]] = {3: ((2,), 3), 4: ((2,), 3), 5: ((2, 3), 4)}
_NONE: Final = ((), 0)
_EXACT: Final = Context(prec=60)  # a long64 has 19 digits: nothing is ever rounded
_SMALL: Final = 1 << 14  # integers below it have decimals that are kept: 2 MB of a scaler, at most
_SCALERS: Final = 16  # of which some are kept: more than one profile mixes
_SAMPLE: Final = 16  # cells that tell whether it may pay to look for equal ones in a column
# Cells from which on small integers are looked up: of a day of one meter after the other each comes from
# elsewhere in 2 MB, and takes twice the time of making it.
_LONG: Final = 256


class Quantity(NamedTuple):
    """A value of a register, scaled and exact, in its unit; the unit is empty where there is none."""

    value: Decimal
    unit: str

    def __str__(self) -> str:
        return f"{self.value:f} {self.unit}".rstrip()


def scaler_unit_of(captured: CaptureObject) -> AttributeDescriptor | None:
    """Return where the scaler and unit of a column are read; None where its values are not scaled."""
    numbers, scaler_unit = _REGISTERS.get(captured.class_id, _NONE)
    if captured.attribute_id not in numbers:
        return None
    return AttributeDescriptor(captured.class_id, captured.logical_name, scaler_unit)


def is_numeric(captured: CaptureObject) -> bool:
    """Whether a column is a value that a scaler goes with."""
    return captured.attribute_id in _REGISTERS.get(captured.class_id, _NONE)[0]


def is_scaler_unit(class_id: int, attribute: int) -> bool:
    """Whether an attribute of a class is its scaler_unit."""
    return class_id in _REGISTERS and attribute == _REGISTERS[class_id][1]


def scale_of(scaler_unit: Data) -> tuple[int, str]:
    """Return scaler and unit; DecodeError if it is no scaler_unit."""
    parts = scaler_unit.items()
    if len(parts) != 2:
        raise DecodeError(f"a scaler_unit has two parts, not {len(parts)}")
    scaler, unit = parts[0].integer(), parts[1].integer()
    if not -128 <= scaler <= 127:  # Integer8; of others there are such as no Decimal takes
        raise DecodeError(f"a scaler of {scaler} is no Integer8")
    return scaler, unit_name(unit)


def are_integers(cells: Sequence[Any]) -> bool:
    """Whether each cell is an integer, and there is one."""
    if isinstance(cells, tuple):  # of a table, which gives integers alone so
        return bool(cells)
    if isinstance(cells, array):
        return bool(cells) and cells.typecode not in "fd"
    return set(map(type, cells)) == {int}


def decimals(cells: Sequence[Any], scaler: int | None) -> Sequence[Any]:
    """Return integers as decimals, scaled; what is no integer stays as it is."""
    if not are_integers(cells):
        return [_decimal(cell, scaler) if type(cell) is int else cell for cell in cells]
    if alike(cells):
        return _each_decimal(cells[:1], scaler) * len(cells)
    sample = cells[:: len(cells) // _SAMPLE + 1]
    # If others are not as small as these, they are made, in twice the time.
    if len(cells) >= _LONG and min(sample) >= 0 and max(sample) < _SMALL:
        return list(map(_small(scaler or 0).__getitem__, cells))
    # A column that stands still, as the import of a meter that exports: one Decimal for all that are equal.
    if len(set(cells[:_SAMPLE])) * 2 <= _SAMPLE and len(some := set(cells)) * 4 <= len(cells):
        shared = dict(zip(some, _each_decimal(list(some), scaler), strict=True))
        return list(map(shared.__getitem__, cells))
    return _each_decimal(cells, scaler)


def _each_decimal(cells: Sequence[int], scaler: int | None) -> list[Decimal]:
    if not scaler:
        # It takes integers too, and two thirds of the time of Decimal(cell).
        return list(map(Decimal.from_float, cells))
    # By the context's own `multiply`: a third less than entering the context and asking the Decimal.
    return list(map(_EXACT.multiply, repeat(_EXACT.scaleb(Decimal(1), scaler)), cells))


class _Small(dict[int, Decimal]):
    """The decimals of small integers by one scaler: the energies of intervals are such, and most come again.

    What is shared is found in less time than another is made, takes no memory, and is not thrown away again.
    """

    __slots__ = ("_scaler",)

    def __init__(self, scaler: int) -> None:
        super().__init__()
        self._scaler = scaler

    def __missing__(self, cell: int) -> Decimal:
        made = _decimal(cell, self._scaler)
        if 0 <= cell < _SMALL:
            self[cell] = made
        return made


@lru_cache(_SCALERS)
def _small(scaler: int) -> _Small:
    return _Small(scaler)


def _decimal(cell: int, scaler: int | None) -> Decimal:
    return _EXACT.scaleb(Decimal(cell), scaler) if scaler else Decimal(cell)
