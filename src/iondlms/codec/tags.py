"""The tags of the Data CHOICE, and which values have a fixed number of octets (IEC 62056-53)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["FIXED", "Tag"]


class Tag(IntEnum):
    """Tags of the Data CHOICE."""

    NULL_DATA = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DELTA_INTEGER = 28
    DELTA_LONG = 29
    DELTA_DOUBLE_LONG = 30
    DELTA_UNSIGNED = 31
    DELTA_LONG_UNSIGNED = 32
    DELTA_DOUBLE_LONG_UNSIGNED = 33
    DONT_CARE = 255


# Tag -> struct code of its value, of the types whose octets never vary in number.
FIXED: Final = {
    Tag.DOUBLE_LONG: "i", Tag.DOUBLE_LONG_UNSIGNED: "I", Tag.BCD: "B", Tag.INTEGER: "b", Tag.LONG: "h",
    Tag.UNSIGNED: "B", Tag.LONG_UNSIGNED: "H", Tag.LONG64: "q", Tag.LONG64_UNSIGNED: "Q", Tag.ENUM: "B",
    Tag.FLOAT32: "f", Tag.FLOAT64: "d", Tag.DATE_TIME: "12s", Tag.DATE: "5s", Tag.TIME: "4s",
    Tag.DELTA_INTEGER: "b", Tag.DELTA_LONG: "h", Tag.DELTA_DOUBLE_LONG: "i", Tag.DELTA_UNSIGNED: "B",
    Tag.DELTA_LONG_UNSIGNED: "H", Tag.DELTA_DOUBLE_LONG_UNSIGNED: "I",
}  # fmt: skip
