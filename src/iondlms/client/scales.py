"""What the integers of a register stand for: where its scaler and unit are read, and what they say."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from iondlms.codec.axdr import Data
from iondlms.cosem import CaptureObject
from iondlms.cosem.units import unit_name
from iondlms.errors import DecodeError
from iondlms.xdlms import AttributeDescriptor

__all__ = [
    "UNSCALED",
    "Quantity",
    "Scale",
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
