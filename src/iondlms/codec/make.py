"""Making values of the Data CHOICE: one function a type, named as the standard names it."""

from __future__ import annotations

from collections.abc import Iterable

from iondlms.codec.axdr import BitString, Data, Tag
from iondlms.errors import LocalError

__all__ = [
    "array",
    "bit_string",
    "boolean",
    "double_long",
    "double_long_unsigned",
    "enum",
    "integer",
    "long",
    "long64",
    "long64_unsigned",
    "long_unsigned",
    "octet_string",
    "structure",
    "unsigned",
    "visible_string",
]


def array(items: Iterable[Data]) -> Data:
    """Return an array of the items."""
    return Data(Tag.ARRAY, tuple(items))


def structure(*items: Data) -> Data:
    """Return a structure of the items."""
    return Data(Tag.STRUCTURE, items)


def boolean(value: bool) -> Data:
    """Return a boolean."""
    return Data(Tag.BOOLEAN, value)


def bit_string(length: int, value: int) -> Data:
    """Return a bit-string of `length` bits; bit 0 of the string is the top bit of `value`.

    LocalError if the value has more bits than that.
    """
    if length < 0 or not 0 <= value < 1 << length:
        raise LocalError(f"{value} does not fit a bit-string of {length} bits")
    octets = (length + 7) // 8
    return Data(Tag.BIT_STRING, BitString(length, (value << (octets * 8 - length)).to_bytes(octets, "big")))


def octet_string(octets: bytes) -> Data:
    """Return an octet-string."""
    return Data(Tag.OCTET_STRING, octets)


def visible_string(text: str) -> Data:
    """Return a visible-string."""
    return Data(Tag.VISIBLE_STRING, text)


def enum(value: int) -> Data:
    """Return an enum (Unsigned8)."""
    return Data(Tag.ENUM, value)


def integer(value: int) -> Data:
    """Return an Integer8."""
    return Data(Tag.INTEGER, value)


def long(value: int) -> Data:
    """Return an Integer16."""
    return Data(Tag.LONG, value)


def double_long(value: int) -> Data:
    """Return an Integer32."""
    return Data(Tag.DOUBLE_LONG, value)


def long64(value: int) -> Data:
    """Return an Integer64."""
    return Data(Tag.LONG64, value)


def unsigned(value: int) -> Data:
    """Return an Unsigned8."""
    return Data(Tag.UNSIGNED, value)


def long_unsigned(value: int) -> Data:
    """Return an Unsigned16."""
    return Data(Tag.LONG_UNSIGNED, value)


def double_long_unsigned(value: int) -> Data:
    """Return an Unsigned32."""
    return Data(Tag.DOUBLE_LONG_UNSIGNED, value)


def long64_unsigned(value: int) -> Data:
    """Return an Unsigned64."""
    return Data(Tag.LONG64_UNSIGNED, value)
