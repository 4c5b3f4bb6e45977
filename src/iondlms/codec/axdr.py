"""The Data CHOICE in A-XDR (IEC 62056-53 abstract syntax, IEC 61334-6): values <-> octets.

A value is a `Data(tag, value)`. What `value` holds for each tag:

====================================  =========================================================
null-data, don't-care                 None
boolean                               bool
bit-string                            BitString(length in bits, octets)
integers of all widths, enum, bcd     int
delta integers (28 to 33)             int
octet-string, date-time, date, time   bytes (any length; 12, 5, 4)
visible-string                        str, one character an octet (Latin-1, so nothing is lost)
utf8-string                           str
float32, float64                      float
array, structure                      tuple of Data
compact-array                         CompactArray(description, contents)
====================================  =========================================================
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias, TypeVar

from iondlms.codec.reader import Reader, encode_length
from iondlms.codec.tags import FIXED, Tag
from iondlms.errors import DecodeError, LocalError

__all__ = [
    "NULL",
    "BitString",
    "CompactArray",
    "Data",
    "Tag",
    "TypeDescription",
    "Value",
    "decode",
    "decode_data",
    "decode_each",
    "decode_structures",
    "encode_data",
]

MAX_DEPTH: Final = 16  # nothing in IEC 62056-62 nests deeper than 6; recursion must stay bounded
# In a compact-array null-data and empty structures take no octet, so a short message could describe
# any number of them. As many values an octet as one that is nested to the limit brings along.
VALUES_PER_OCTET: Final = MAX_DEPTH + 1

_T = TypeVar("_T")


class BitString(NamedTuple):
    """`length` bits, the first in the top bit of the first octet; unused bits of the last are zero."""

    length: int
    octets: bytes


class TypeDescription(NamedTuple):
    """Element type of a compact-array: a tag, the members of array and structure, the count of an array."""

    tag: Tag
    members: tuple[TypeDescription, ...] = ()
    elements: int = 0


class CompactArray(NamedTuple):
    """An array whose element type is given once; `items()` gives the elements as ordinary Data."""

    description: TypeDescription
    contents: bytes

    def items(self) -> tuple[Data, ...]:
        """Return the elements; DecodeError if the contents are not a whole number of them."""
        return tuple(self._each(_decode_described))

    def check(self) -> None:
        """Raise the DecodeError that `items()` would, without making the elements."""
        for _ in self._each(_step_over_described):
            pass

    def _each(self, read: Callable[[Reader, TypeDescription, _Budget], _T]) -> Iterator[_T]:
        reader = Reader(self.contents)
        budget = _Budget(len(self.contents) * VALUES_PER_OCTET)
        while reader.remaining:
            yield read(reader, self.description, budget)


# By tag, as in the table above.
Value: TypeAlias = "bool | int | float | str | bytes | BitString | CompactArray | tuple[Data, ...] | None"


class Data(NamedTuple):
    """A tagged value."""

    tag: Tag
    value: Value

    def __str__(self) -> str:
        name = self.tag.name.lower().replace("_", "-")
        if self.tag in (Tag.ARRAY, Tag.STRUCTURE):
            return f"{name} {{{', '.join(str(item) for item in self.items())}}}"
        if isinstance(self.value, bytes):
            return f"{name} {self.value.hex(' ').upper()}"
        return name if self.value is None else f"{name} {self.value}"

    def items(self) -> tuple[Data, ...]:
        """Return the elements of an array or structure; DecodeError if it is neither."""
        if self.tag is Tag.COMPACT_ARRAY and isinstance(self.value, CompactArray):
            return self.value.items()
        if self.tag is not Tag.ARRAY and self.tag is not Tag.STRUCTURE:
            raise DecodeError(f"an array or structure expected, not {self.tag.name.lower()}")
        return self.value  # type: ignore[return-value]  # by the table above

    def integer(self) -> int:
        """Return the value of an integer type or enum; DecodeError if it is none."""
        if self.tag not in _INTEGERS:
            raise DecodeError(f"an integer expected, not {self.tag.name.lower()}")
        return self.value  # type: ignore[return-value]  # by the table above

    def octets(self) -> bytes:
        """Return the octets of an octet-string, date-time, date or time; DecodeError if it is none."""
        if not isinstance(self.value, bytes):
            raise DecodeError(f"an octet-string expected, not {self.tag.name.lower()}")
        return self.value


_FORMS: Final = {tag: struct.Struct(f">{code}") for tag, code in FIXED.items()}
_SIGNED: Final = {tag: _FORMS[tag].size for tag, code in FIXED.items() if code in "bhiq"}
_UNSIGNED: Final = {tag: _FORMS[tag].size for tag, code in FIXED.items() if code in "BHIQ"}
_BOOLEAN: Final = struct.Struct(">?")
_FLOATS: Final = {tag: _FORMS[tag] for tag, code in FIXED.items() if code in "fd"}
_FIXED_OCTETS: Final = {tag: _FORMS[tag].size for tag, code in FIXED.items() if code.endswith("s")}
_INTEGERS: Final = frozenset((*_SIGNED, *_UNSIGNED))

NULL: Final = Data(Tag.NULL_DATA, None)


# --- decoding --------------------------------------------------------------------------------------


def decode(octets: bytes | memoryview) -> Data:
    """Read one Data that fills `octets` exactly; DecodeError otherwise."""
    reader = Reader(octets)
    data = decode_data(reader)
    reader.end()
    return data


def decode_data(reader: Reader, depth: int = MAX_DEPTH) -> Data:
    """Read one Data; DecodeError on an unknown tag, a shortage, or nesting beyond `depth`."""
    number = reader.u8()
    decoder = _DECODERS.get(number)
    if decoder is None:
        raise DecodeError(f"data tag {number} at offset {reader.position - 1} is not defined")
    return decoder(reader, depth)


def _bounded(reader: Reader, depth: int) -> int:
    if depth <= 0:
        raise DecodeError(f"arrays and structures nested deeper than {MAX_DEPTH}")
    count = reader.length()
    if count > reader.remaining:  # each element takes an octet at least: a lying count dies here
        raise DecodeError(
            f"{count} elements declared at offset {reader.position}, {reader.remaining} octets are left"
        )
    return count


def _elements_decoder(tag: Tag) -> Callable[[Reader, int], Data]:
    return lambda reader, depth: Data(tag, decode_each(reader, _bounded(reader, depth), depth - 1))


def decode_each(reader: Reader, count: int, depth: int = MAX_DEPTH) -> tuple[Data, ...]:
    """Read `count` Data one after the other; DecodeError as `decode_data`."""
    octets, at, end = reader.window
    items, stop = _decode_each(octets, at, end, count, depth, False)
    reader.skip(stop - at)
    return items  # type: ignore[return-value]  # not plain


def decode_structures(
    octets: bytes, at: int, count: int, depth: int = MAX_DEPTH
) -> tuple[list[tuple[Value, ...]], int]:
    """Read `count` structures, each to the values of its elements without their tags; say where they stop.

    DecodeError as `decode_data`, or if one is no structure.
    """
    found: list[tuple[Value, ...]] = []
    end = len(octets)
    for _ in range(count):
        # Nearly always: few elements, whose count `_decode_each` need not believe.
        if at + 1 < end and octets[at] == 2 and depth > 0 and octets[at + 1] < 0x80:
            row, at = _decode_each(octets, at + 2, end, octets[at + 1], depth - 1, True)
        else:
            reader = Reader(octets, at)
            row = tuple([value for _, value in decode_data(reader, depth).items()])
            at = reader.position
        found.append(row)  # type: ignore[arg-type]  # plain values
    return found, at


def _decode_each(
    octets: bytes, at: int, end: int, count: int, depth: int, plain: bool
) -> tuple[tuple[Data | Value, ...], int]:
    """Read `count` Data of octets `at` to `end`, only their values if `plain`; say where they stop.

    The calls of a cursor take most of the time of a large value. So what is common is read here without
    one, if it is whole: numbers, short strings, short structures of these. The rest is left to the cursor,
    which also says what is wrong with it. Kinds are told by plain numbers here: asking an
    enumeration takes as long as the rest.
    """
    found: list[Data | Value] = []
    add, make, scalars, short = found.append, tuple.__new__, _SCALARS, _SHORT
    value: Value
    for _ in range(count):
        number = octets[at] if at < end else -1
        scalar = scalars[number]
        if scalar is not None:
            tag, unpack, size = scalar
            if at + size <= end:
                (value,) = unpack(octets, at)
                add(value if plain else make(Data, (tag, value)))
                at += size
                continue
        elif number in short and at + 1 < end:
            length = octets[at + 1]
            begin = at + 2
            stop = begin + length
            if length < 0x80 and stop <= end:
                if number == 9:
                    add(octets[begin:stop] if plain else make(Data, (short[9], octets[begin:stop])))
                    at = stop
                    continue
                if number == 10:
                    value = str(octets[begin:stop], "latin-1")
                    add(value if plain else make(Data, (short[10], value)))
                    at = stop
                    continue
                if depth > 0:  # each element takes an octet at least, so `stop` bounds their count
                    items, at = _decode_each(octets, begin, end, length, depth - 1, False)
                    add(items if plain else make(Data, (short[number], items)))  # type: ignore[arg-type]
                    continue
        elif number == 0:
            add(None if plain else NULL)
            at += 1
            continue
        reader = Reader(octets, at, end)
        data = decode_data(reader, depth)
        add(data.value if plain else data)
        at = reader.position
    return tuple(found), at


def _decode_bit_string(reader: Reader, _depth: int) -> Data:
    length = reader.length()
    octets = reader.take((length + 7) // 8)
    unused = -length % 8
    if unused and octets[-1] & ((1 << unused) - 1):
        # X.690 8.6.2.4 lets the sender fill them as it likes; one value has one form here.
        octets = octets[:-1] + bytes((octets[-1] >> unused << unused,))
    return Data(Tag.BIT_STRING, BitString(length, octets))


def _decode_octet_string(reader: Reader, _depth: int) -> Data:
    return Data(Tag.OCTET_STRING, reader.take(reader.length()))


def _decode_visible_string(reader: Reader, _depth: int) -> Data:
    return Data(Tag.VISIBLE_STRING, str(reader.take(reader.length()), "latin-1"))


def _decode_utf8_string(reader: Reader, _depth: int) -> Data:
    octets = reader.take(reader.length())
    try:
        return Data(Tag.UTF8_STRING, octets.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DecodeError(f"a utf8-string that is not UTF-8: {error.reason}") from error


def _decode_compact_array(reader: Reader, depth: int) -> Data:
    description = _decode_description(reader, depth - 1)
    value = CompactArray(description, reader.take(reader.length()))
    value.check()  # parse, don't validate: a compact-array that exists can be expanded
    return Data(Tag.COMPACT_ARRAY, value)


def _decode_description(reader: Reader, depth: int) -> TypeDescription:
    if depth < 0:
        raise DecodeError(f"a type description nested deeper than {MAX_DEPTH}")
    number = reader.u8()
    if number == Tag.ARRAY:
        count = reader.u16()
        return TypeDescription(Tag.ARRAY, (_decode_description(reader, depth - 1),), count)
    if number == Tag.STRUCTURE:
        members = tuple([_decode_description(reader, depth - 1) for _ in range(_bounded(reader, depth + 1))])
        return TypeDescription(Tag.STRUCTURE, members)
    if number not in _DECODERS or number == Tag.COMPACT_ARRAY:
        raise DecodeError(f"type {number} at offset {reader.position - 1} cannot stand in a compact-array")
    return TypeDescription(Tag(number))


class _Budget:
    """How many values may still be made of one compact-array."""

    __slots__ = ("values",)

    def __init__(self, values: int) -> None:
        self.values = values

    def spend(self) -> None:
        if self.values <= 0:
            raise DecodeError(f"a compact-array of more than {VALUES_PER_OCTET} values an octet")
        self.values -= 1


def _step_over_described(reader: Reader, description: TypeDescription, budget: _Budget) -> None:
    tag, members, count = description
    budget.spend()
    if tag is Tag.ARRAY:
        for _ in range(count):
            _step_over_described(reader, members[0], budget)
    elif tag is Tag.STRUCTURE:
        for member in members:
            _step_over_described(reader, member, budget)
    else:
        _DECODERS[tag](reader, 0)


def _decode_described(reader: Reader, description: TypeDescription, budget: _Budget) -> Data:
    tag, members, count = description
    budget.spend()
    if tag is Tag.ARRAY:
        return Data(tag, tuple([_decode_described(reader, members[0], budget) for _ in range(count)]))
    if tag is Tag.STRUCTURE:
        return Data(tag, tuple([_decode_described(reader, member, budget) for member in members]))
    return _DECODERS[tag](reader, 0)


def _fixed_decoder(tag: Tag, form: struct.Struct) -> Callable[[Reader, int], Data]:
    return lambda reader, _depth: Data(tag, form.unpack(reader.take(form.size))[0])


_DECODERS: Final[dict[int, Callable[[Reader, int], Data]]] = {
    Tag.NULL_DATA: lambda _reader, _depth: NULL,
    Tag.DONT_CARE: lambda _reader, _depth: Data(Tag.DONT_CARE, None),
    Tag.ARRAY: _elements_decoder(Tag.ARRAY),
    Tag.STRUCTURE: _elements_decoder(Tag.STRUCTURE),
    Tag.BOOLEAN: _fixed_decoder(Tag.BOOLEAN, _BOOLEAN),
    Tag.BIT_STRING: _decode_bit_string,
    Tag.OCTET_STRING: _decode_octet_string,
    Tag.VISIBLE_STRING: _decode_visible_string,
    Tag.UTF8_STRING: _decode_utf8_string,
    Tag.COMPACT_ARRAY: _decode_compact_array,
    **{tag: _fixed_decoder(tag, form) for tag, form in _FORMS.items()},
}
# By the octet of the tag: the tag, what unpacks the value behind it, and the octets of both. The last is for
# no octet at all.
_SCALARS: Final[list[tuple[Tag, Callable[[bytes, int], tuple[Value, ...]], int] | None]] = [None] * 257
for _tag, _code in {**FIXED, Tag.BOOLEAN: "?"}.items():
    _with_tag = struct.Struct(f">x{_code}")
    _SCALARS[_tag] = (_tag, _with_tag.unpack_from, _with_tag.size)
# What has its length in front, by the octet of the tag.
_SHORT: Final = {int(tag): tag for tag in (Tag.OCTET_STRING, Tag.VISIBLE_STRING, Tag.ARRAY, Tag.STRUCTURE)}


# --- encoding --------------------------------------------------------------------------------------


def encode_data(data: Data) -> bytes:
    """Return the octets of `data`; LocalError if the value does not fit its tag or nests too deep."""
    octets = bytearray()
    _encode(octets, data, MAX_DEPTH)
    return bytes(octets)


def _encode(octets: bytearray, data: Data, depth: int) -> None:
    tag, value = data
    octets.append(tag)
    try:
        if tag is Tag.ARRAY or tag is Tag.STRUCTURE:
            if depth <= 0:
                raise LocalError(f"arrays and structures nested deeper than {MAX_DEPTH}")
            octets += encode_length(len(value))  # type: ignore[arg-type]  # TypeError is caught below
            for item in value:  # type: ignore[union-attr]
                _encode(octets, item, depth - 1)  # type: ignore[arg-type]
        elif tag in _SIGNED:
            octets += value.to_bytes(_SIGNED[tag], "big", signed=True)  # type: ignore[union-attr]
        elif tag in _UNSIGNED:
            octets += value.to_bytes(_UNSIGNED[tag], "big")  # type: ignore[union-attr]
        elif tag is Tag.COMPACT_ARRAY and isinstance(value, CompactArray):
            octets += _encode_compact_array(value, depth)
        else:
            octets += _encode_plain(tag, value)
    except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise LocalError(f"{value!r} cannot be sent as {tag.name.lower()}: {error}") from error


def _encode_plain(tag: Tag, value: Value) -> bytes:
    if (tag is Tag.NULL_DATA or tag is Tag.DONT_CARE) and value is None:
        return b""
    if tag is Tag.BOOLEAN and isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    if tag is Tag.VISIBLE_STRING and isinstance(value, str):
        return encode_length(len(value)) + value.encode("latin-1")
    if tag is Tag.UTF8_STRING and isinstance(value, str):
        text = value.encode("utf-8")
        return encode_length(len(text)) + text
    if tag is Tag.OCTET_STRING and isinstance(value, bytes):
        return encode_length(len(value)) + value
    if tag in _FIXED_OCTETS and isinstance(value, bytes) and len(value) == _FIXED_OCTETS[tag]:
        return value
    if tag in _FLOATS and isinstance(value, float):
        return _FLOATS[tag].pack(value)
    if tag is Tag.BIT_STRING and isinstance(value, BitString) and _is_canonical(value):
        return encode_length(value.length) + value.octets
    raise TypeError("the value is not of the kind its tag asks for")


def _is_canonical(bits: BitString) -> bool:
    """Say whether the octets are as many as the bits need, and the unused bits of the last are zero."""
    length, octets = bits
    if length < 0 or len(octets) != (length + 7) // 8:
        return False
    return not octets or octets[-1] & ((1 << -length % 8) - 1) == 0


def _encode_compact_array(value: CompactArray, depth: int) -> bytes:
    octets = _encode_description(value.description) + encode_length(len(value.contents)) + value.contents
    try:
        _decode_compact_array(Reader(octets), depth)  # nothing else tells whether the contents fit
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return octets


def _encode_description(description: TypeDescription) -> bytes:
    tag, members, count = description
    if tag is Tag.ARRAY:
        (member,) = members
        return bytes((tag,)) + count.to_bytes(2, "big") + _encode_description(member)
    if tag is Tag.STRUCTURE:
        return bytes((tag,)) + encode_length(len(members)) + b"".join(map(_encode_description, members))
    return bytes((tag,))
