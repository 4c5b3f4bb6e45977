"""Hypothesis strategies of the codec's values, for the tests of every room."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st

from iondlms.codec.axdr import (
    NULL,
    VALUES_PER_OCTET,
    BitString,
    CompactArray,
    Data,
    Tag,
    TypeDescription,
    encode_data,
)
from iondlms.codec.datetimes import DateTime
from iondlms.codec.make import array
from iondlms.codec.obis import ObisCode

# (tag, octets, signed), written down from the abstract syntax and not taken from the code under test.
INTEGERS: list[tuple[Tag, int, bool]] = [
    (Tag.DOUBLE_LONG, 4, True),
    (Tag.DOUBLE_LONG_UNSIGNED, 4, False),
    (Tag.BCD, 1, False),
    (Tag.INTEGER, 1, True),
    (Tag.LONG, 2, True),
    (Tag.UNSIGNED, 1, False),
    (Tag.LONG_UNSIGNED, 2, False),
    (Tag.LONG64, 8, True),
    (Tag.LONG64_UNSIGNED, 8, False),
    (Tag.ENUM, 1, False),
    (Tag.DELTA_INTEGER, 1, True),
    (Tag.DELTA_LONG, 2, True),
    (Tag.DELTA_DOUBLE_LONG, 4, True),
    (Tag.DELTA_UNSIGNED, 1, False),
    (Tag.DELTA_LONG_UNSIGNED, 2, False),
    (Tag.DELTA_DOUBLE_LONG_UNSIGNED, 4, False),
]


def bounds(octets: int, signed: bool) -> tuple[int, int]:
    """Return the least and the greatest integer of that many octets."""
    bits = octets * 8
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def obis_codes() -> st.SearchStrategy[ObisCode]:
    """Any logical name."""
    return st.binary(min_size=6, max_size=6).map(ObisCode)


@st.composite
def bit_strings(draw: st.DrawFn) -> BitString:
    """A bit-string whose unused bits are zero."""
    length = draw(st.integers(0, 40))
    octets = (length + 7) // 8
    bits = draw(st.integers(0, (1 << length) - 1)) << (octets * 8 - length)
    return BitString(length, bits.to_bytes(octets, "big"))


def values_of(tag: Tag) -> st.SearchStrategy[Data]:
    """Any Data of a type that has no members. NaN is left out: it equals nothing, itself included."""
    for name, octets, signed in INTEGERS:
        if tag is name:
            return st.integers(*bounds(octets, signed)).map(lambda value: Data(tag, value))
    if tag in (Tag.NULL_DATA, Tag.DONT_CARE):
        return st.just(Data(tag, None))
    if tag is Tag.BOOLEAN:
        return st.booleans().map(lambda value: Data(tag, value))
    if tag is Tag.BIT_STRING:
        return bit_strings().map(lambda value: Data(tag, value))
    if tag is Tag.VISIBLE_STRING:
        return st.text(st.characters(max_codepoint=0xFF), max_size=20).map(lambda value: Data(tag, value))
    if tag is Tag.UTF8_STRING:
        return st.text(max_size=20).map(lambda value: Data(tag, value))
    if tag is Tag.FLOAT32:
        return st.floats(allow_nan=False, width=32).map(lambda value: Data(tag, value))
    if tag is Tag.FLOAT64:
        return st.floats(allow_nan=False).map(lambda value: Data(tag, value))
    size = {Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}.get(tag)
    octet_strings = st.binary(min_size=size or 0, max_size=20 if size is None else size)
    return octet_strings.map(lambda value: Data(tag, value))


SIMPLE_TAGS = [tag for tag in Tag if tag not in (Tag.ARRAY, Tag.STRUCTURE, Tag.COMPACT_ARRAY)]


def simple_values() -> st.SearchStrategy[Data]:
    """Any Data without members."""
    return st.sampled_from(SIMPLE_TAGS).flatmap(values_of)


def _descriptions() -> st.SearchStrategy[TypeDescription]:
    def extend(inner: st.SearchStrategy[TypeDescription]) -> st.SearchStrategy[TypeDescription]:
        members = st.lists(inner, max_size=3).map(tuple)
        return st.one_of(
            members.map(lambda some: TypeDescription(Tag.STRUCTURE, some)),
            st.builds(lambda one, n: TypeDescription(Tag.ARRAY, (one,), n), inner, st.integers(0, 3)),
        )

    return st.recursive(st.sampled_from(SIMPLE_TAGS).map(TypeDescription), extend, max_leaves=5)


def described(description: TypeDescription) -> st.SearchStrategy[Data]:
    """Any Data that has the described type."""
    tag, members, elements = description
    if tag is Tag.ARRAY:
        members = members * elements
    if tag in (Tag.ARRAY, Tag.STRUCTURE):
        return st.tuples(*map(described, members)).map(lambda items: Data(tag, items))
    return values_of(tag)


def contents_of(item: Data) -> bytes:
    """Return the octets of an element in a compact-array: no tags, and no counts of arrays and structures."""
    if item.tag in (Tag.ARRAY, Tag.STRUCTURE):
        return b"".join(map(contents_of, item.items()))
    return encode_data(item)[1:]


def values_in(item: Data) -> int:
    """Return how many Data there are in `item`, itself counted."""
    nested = item.items() if item.tag in (Tag.ARRAY, Tag.STRUCTURE) else ()
    return 1 + sum(map(values_in, nested))


@st.composite
def compact_arrays(draw: st.DrawFn) -> tuple[CompactArray, tuple[Data, ...]]:
    """A compact-array and the elements that it holds."""
    description = draw(_descriptions())
    items = draw(st.lists(described(description), max_size=4))
    items = [item for item in items if 0 < values_in(item) <= VALUES_PER_OCTET * len(contents_of(item))]
    return CompactArray(description, b"".join(map(contents_of, items))), tuple(items)


def data_values(max_leaves: int = 12) -> st.SearchStrategy[Data]:
    """Any Data of the CHOICE, nested as deep as `max_leaves` makes likely (never beyond the limit)."""
    leaves = st.one_of(
        simple_values(), compact_arrays().map(lambda pair: Data(Tag.COMPACT_ARRAY, pair[0])), st.just(NULL)
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=5).flatmap(
            lambda items: st.sampled_from([array(items), Data(Tag.STRUCTURE, tuple(items))])
        ),
        max_leaves=max_leaves,
    )


def definite_date_times() -> st.SearchStrategy[DateTime]:
    """Date-times that are instants: every field but status given, deviation within -840 to +840."""
    locals_ = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29))
    return st.builds(
        DateTime.of_local, locals_, st.integers(-840, 840), st.one_of(st.none(), st.integers(0, 0xFF))
    )


@st.composite
def date_times(draw: st.DrawFn) -> DateTime:
    """Any date-time: instants, with some fields "not specified" or special, and sheer noise."""
    if draw(st.integers(0, 9)) == 0:
        return DateTime(draw(st.binary(min_size=12, max_size=12)))
    octets = bytearray(draw(definite_date_times()).octets)
    for field in draw(st.sets(st.sampled_from([0, 2, 3, 4, 5, 6, 7, 8, 9, 11]), max_size=4)):
        if field == 0:
            octets[0:2] = b"\xff\xff"
        elif field == 9:
            octets[9:11] = b"\x80\x00"
        elif field in (2, 3):
            octets[field] = draw(st.sampled_from([0xFD, 0xFE, 0xFF]))
        else:
            octets[field] = 0xFF
    return DateTime(bytes(octets))
