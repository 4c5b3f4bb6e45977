"""Strategies for Data: any that a decoder can give, and one that is nearly what was asked for."""

from __future__ import annotations

from hypothesis import strategies as st

from iondlms.codec import make
from iondlms.codec.axdr import NULL, BitString, CompactArray, Data, Tag, TypeDescription

_SIGNED = {Tag.INTEGER: 8, Tag.LONG: 16, Tag.DOUBLE_LONG: 32, Tag.LONG64: 64, Tag.DELTA_INTEGER: 8}
_UNSIGNED = {
    Tag.UNSIGNED: 8, Tag.ENUM: 8, Tag.BCD: 8, Tag.LONG_UNSIGNED: 16, Tag.DOUBLE_LONG_UNSIGNED: 32,
    Tag.LONG64_UNSIGNED: 64, Tag.DELTA_UNSIGNED: 8,
}  # fmt: skip
_OCTETS = {Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}


def _tagged(tag: Tag, values: st.SearchStrategy[int] | st.SearchStrategy[bytes]) -> st.SearchStrategy[Data]:
    return values.map(lambda value: Data(tag, value))


def scalars() -> st.SearchStrategy[Data]:
    """Return Data of every type but array and structure."""
    return st.one_of(
        st.just(NULL),
        st.just(Data(Tag.DONT_CARE, None)),
        st.booleans().map(make.boolean),
        *(_tagged(tag, st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)) for tag, bits in _SIGNED.items()),
        *(_tagged(tag, st.integers(0, (1 << bits) - 1)) for tag, bits in _UNSIGNED.items()),
        *(_tagged(tag, st.binary(min_size=size, max_size=size)) for tag, size in _OCTETS.items()),
        st.binary(max_size=14).map(make.octet_string),
        st.binary(min_size=6, max_size=6).map(make.octet_string),
        st.binary(min_size=12, max_size=12).map(make.octet_string),
        st.text(max_size=3).map(lambda text: Data(Tag.UTF8_STRING, text)),
        st.just(make.visible_string("ABC")),
        st.just(Data(Tag.BIT_STRING, BitString(3, b"\xa0"))),
        st.floats().map(lambda value: Data(Tag.FLOAT64, value)),
        st.just(
            Data(
                Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.LONG_UNSIGNED), bytes.fromhex("00010002"))
            )
        ),
    )


def any_data() -> st.SearchStrategy[Data]:
    """Return Data of any type, nested a little."""
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=5).map(make.array),
            st.lists(inner, max_size=5).map(lambda items: make.structure(*items)),
        ),
        max_leaves=8,
    )


@st.composite
def nearly(draw: st.DrawFn, value: Data) -> Data:
    """Return `value` with one of its parts, or itself, put in place by any Data, left out, or doubled."""
    if value.tag not in (Tag.ARRAY, Tag.STRUCTURE) or not value.items() or draw(st.integers(0, 4)) == 0:
        return draw(any_data())
    items = list(value.items())
    at = draw(st.integers(0, len(items) - 1))
    change = draw(st.sampled_from(["inner", "inner", "inner", "drop", "double", "kind"]))
    if change == "inner":
        items[at] = draw(nearly(items[at]))
    elif change == "drop":
        del items[at]
    elif change == "double":
        items.insert(at, items[at])
    tag = value.tag
    if change == "kind":
        tag = Tag.ARRAY if tag is Tag.STRUCTURE else Tag.STRUCTURE
    return Data(tag, tuple(items))
