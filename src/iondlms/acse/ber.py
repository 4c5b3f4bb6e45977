"""The part of BER that the ACSE uses: one-octet tags, definite lengths (ISO/IEC 8825-1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from iondlms.codec.reader import Reader, encode_length
from iondlms.errors import DecodeError

__all__ = [
    "BitString",
    "Element",
    "Elements",
    "decode_bit_string",
    "decode_integer",
    "decode_object_identifier",
    "encode_element",
    "encode_integer",
    "explicit",
    "tag_number",
]

_T = TypeVar("_T")


class BitString(NamedTuple):
    """BIT STRING: bit 0 is the top bit of the first octet; `unused` bits (0 to 7) end the last one."""

    octets: bytes
    unused: int = 0

    @property
    def bit_0(self) -> bool:
        """True if the first bit is there and set; the ACSE gives meaning to no other."""
        return bool(self.octets) and self.octets[0] & 0x80 != 0

    def encode(self) -> bytes:
        """Return the contents octets."""
        return bytes((self.unused,)) + self.octets


class Element(NamedTuple):
    """An element that is carried and not opened."""

    tag: int
    contents: bytes


class Elements:
    """The elements of one SEQUENCE by tag, so that those nobody asked for can be kept or skipped.

    Order is not enforced (X.690 wants it; nothing here depends on it), a repeated tag is refused, since
    either of the two could be the one that was meant.
    """

    __slots__ = ("_by_tag", "_name")

    def __init__(self, reader: Reader, name: str) -> None:
        self._name = name
        self._by_tag: dict[int, Reader] = {}
        while reader.remaining:
            tag = reader.u8()
            if tag & 0xC0 != 0x80 or tag & 0x1F == 0x1F:
                raise DecodeError(f"tag {tag:02X} at offset {reader.position - 1} cannot stand in the {name}")
            if tag in self._by_tag:
                raise DecodeError(f"element {tag:02X} twice in the {name}")
            self._by_tag[tag] = reader.sub(reader.length())

    def optional(self, tag: int, parse: Callable[[Reader], _T]) -> _T | None:
        """Take element `tag`, all of it, or return None; DecodeError if its contents do not parse."""
        contents = self._by_tag.pop(tag, None)
        if contents is None:
            return None
        value = parse(contents)
        contents.end()
        return value

    def required(self, tag: int, parse: Callable[[Reader], _T]) -> _T:
        """Take element `tag`; DecodeError if there is none."""
        value = self.optional(tag, parse)
        if value is None:
            raise DecodeError(f"no element {tag:02X} in the {self._name}")
        return value

    def rest(self) -> tuple[Element, ...]:
        """Return what was not taken, unopened, in the order of the tag numbers."""
        tags = sorted(self._by_tag, key=tag_number)
        return tuple([Element(tag, self._by_tag[tag].rest()) for tag in tags])


def tag_number(tag: int) -> int:
    """Return the number in a tag octet, by which the elements of a SEQUENCE are ordered here."""
    return tag & 0x1F


def encode_element(tag: int, contents: bytes) -> bytes:
    """Return tag, shortest definite length and contents."""
    return bytes((tag,)) + encode_length(len(contents)) + contents


def explicit(tag: int, parse: Callable[[Reader], _T]) -> Callable[[Reader], _T]:
    """Return a parser for an EXPLICIT element: inside is exactly one element, of this tag."""

    def parse_inner(reader: Reader) -> _T:
        found = reader.u8()
        if found != tag:
            raise DecodeError(f"tag {found:02X} at offset {reader.position - 1} where {tag:02X} belongs")
        inner = reader.sub(reader.length())
        value = parse(inner)
        inner.end()
        return value

    return parse_inner


def decode_bit_string(reader: Reader) -> BitString:
    """Read the contents of a BIT STRING."""
    unused = reader.u8()
    octets = reader.rest()
    if unused > 7 or (unused and not octets):
        raise DecodeError(f"a bit string of {len(octets)} octets cannot have {unused} unused bits")
    return BitString(octets, unused)


def decode_integer(reader: Reader) -> int:
    """Read the contents of an INTEGER of 1 to 4 octets; the ACSE has none that needs more."""
    if not 1 <= reader.remaining <= 4:
        raise DecodeError(f"an integer of {reader.remaining} octets")
    return reader.signed(reader.remaining)


def encode_integer(value: int) -> bytes:
    """Return the contents of an INTEGER, in the fewest octets."""
    magnitude = value if value >= 0 else ~value  # -128 fits one octet, as 127 does
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def decode_object_identifier(reader: Reader) -> bytes:
    """Read the contents of an OBJECT IDENTIFIER, which are compared and never taken apart."""
    if not reader.remaining:
        raise DecodeError("an object identifier without octets")
    return reader.rest()
