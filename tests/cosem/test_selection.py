"""Range and entry descriptors: vectors both ways, every malformed part, what bounds may leave open."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.cosem.data import any_data, nearly
from tests.cosem.device import CLOCK_COLUMN, LOAD_COLUMNS

from iondlms.codec import axdr, make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject, EntryDescriptor, RangeDescriptor
from iondlms.errors import OtherReason, ScopeOfAccessViolated, TypeUnmatched

CAPTURED = [  # (octets, value, source)
    ("0204 120008 0906 0000010000FF 0F02 120000", CLOCK_COLUMN, "vectors.md 45"),
    (
        "0204 120003 0906 0101151900FF 0F02 120000",
        CaptureObject(3, ObisCode.parse("1-1:21.25.0*255"), 2),
        "vectors.md 45",
    ),
    (
        "0204 120004 0906 0100010604FF 0F05 120000",
        CaptureObject(4, ObisCode.parse("1-0:1.6.4*255"), 5),
        "vectors.md 40",
    ),
    (
        "0204 120001 0906 0000600100FF 0FFF 12FFFF",
        CaptureObject(1, ObisCode.parse("0-0:96.1.0*255"), -1, 0xFFFF),
        "the ends of the types",
    ),
]


@pytest.mark.parametrize(("octets", "value", "source"), CAPTURED)
def test_capture_object_vector(octets: str, value: CaptureObject, source: str) -> None:
    assert CaptureObject.of(axdr.decode(bytes.fromhex(octets))) == value, source
    assert axdr.encode_data(value.data()) == bytes.fromhex(octets), source


BAD_CAPTURED = [  # (octets, what is wrong)
    ("0203 120008 0906 0000010000FF 0F02", "three members"),
    ("0205 120008 0906 0000010000FF 0F02 120000 120000", "five members"),
    ("0200", "none"),
    ("0104 120008 0906 0000010000FF 0F02 120000", "an array"),
    ("0204 1108 0906 0000010000FF 0F02 120000", "class unsigned"),
    ("0204 120008 0905 0000010000 0F02 120000", "name of 5"),
    ("0204 120008 0907 0000010000FFFF 0F02 120000", "name of 7"),
    ("0204 120008 0A06 303030303030 0F02 120000", "name a visible-string"),
    ("0204 120008 0906 0000010000FF 1102 120000", "attribute unsigned"),
    ("0204 120008 0906 0000010000FF 0F02 0F00", "index integer"),
    ("00", "null-data"),
]


@pytest.mark.parametrize(("octets", "wrong"), BAD_CAPTURED)
def test_capture_object_malformed(octets: str, wrong: str) -> None:
    with pytest.raises(TypeUnmatched):
        CaptureObject.of(axdr.decode(bytes.fromhex(octets)))
    # The same is no restricting object and no column either.
    start = make.octet_string(bytes.fromhex("07D00101FF00000000000000"))
    bad = axdr.decode(bytes.fromhex(octets))
    for parameters in (
        make.structure(bad, start, start, make.array(())),
        make.structure(CLOCK_COLUMN.data(), start, start, make.array((CLOCK_COLUMN.data(), bad))),
    ):
        with pytest.raises(TypeUnmatched):
            RangeDescriptor.of(parameters)


RESTRICTING = "0204 120008 0906 0000010000FF 0F02 120000"
WITH_COLUMNS = (
    f"0204 {RESTRICTING} 090C 07D00101FF00000000000000 090C 08330C1FFF173B3B00000000"
    f" 0102 {RESTRICTING} 0204 120003 0906 01011D1D00FF 0F02 120000"
)
RANGES = [  # (octets, first bound, last bound, columns, source)
    (
        f"0204 {RESTRICTING} 090C 07E10A010700000000FFC480 090C 07E10A010701000000FFC480 0100",
        "09 07E10A010700000000FFC480", "09 07E10A010701000000FFC480", (), "vectors.md 90",
    ),
    (
        f"0204 {RESTRICTING} 19 07E2010A03131C2A47FFC400 19 07E2010A03141C2A47FFC400 0100",
        "19 07E2010A03131C2A47FFC400", "19 07E2010A03141C2A47FFC400", (), "vectors.md 60",
    ),
    (
        WITH_COLUMNS,
        "09 07D00101FF00000000000000", "09 08330C1FFF173B3B00000000",
        (CLOCK_COLUMN, CaptureObject(3, ObisCode.parse("1-1:29.29.0*255"), 2)), "SA-05's form",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "start", "end", "columns", "source"), RANGES)
def test_range_vector(
    octets: str, start: str, end: str, columns: tuple[CaptureObject, ...], source: str
) -> None:
    def bound(text: str) -> Data:
        tag, *rest = bytes.fromhex(text)
        return Data(Tag(tag), bytes(rest))

    value = RangeDescriptor(CLOCK_COLUMN, bound(start), bound(end), columns)
    assert RangeDescriptor.of(axdr.decode(bytes.fromhex(octets))) == value, source
    assert axdr.encode_data(value.data()) == bytes.fromhex(octets), source


BOUND = "090C 07D00101FF00000000000000"
BAD_RANGES = [  # (octets, what is wrong)
    (f"0203 {RESTRICTING} {BOUND} {BOUND}", "SA-20: three members"),
    (f"0205 {RESTRICTING} {BOUND} {BOUND} 0100 0100", "five members"),
    (f"0204 {RESTRICTING} {BOUND} {BOUND} 00", "columns null-data"),
    (f"0204 {RESTRICTING} {BOUND} {BOUND} 0200", "columns a structure"),
    (f"0204 {RESTRICTING} {BOUND} {BOUND} 1312 04 00010002", "columns a compact-array"),
    (f"0204 {RESTRICTING} {BOUND} {BOUND} 0101 120000", "a column that is a number"),
    (f"0204 00 {BOUND} {BOUND} 0100", "no restricting object"),
    (f"0104 {RESTRICTING} {BOUND} {BOUND} 0100", "an array"),
    ("0204 0600000001 0600000001 120001 120000", "an entry descriptor"),
    ("00", "null-data"),
]


@pytest.mark.parametrize(("octets", "wrong"), BAD_RANGES)
def test_range_malformed(octets: str, wrong: str) -> None:
    with pytest.raises(TypeUnmatched):
        RangeDescriptor.of(axdr.decode(bytes.fromhex(octets)))


# --- bounds -----------------------------------------------------------------------------------------

FILLED = [  # (bound, as a start, as an end, why)
    ("07EA0B16070D223800FFC400", "07EA0B16FF0D223800FFC400", "07EA0B16FF0D223800FFC400", "whole"),
    ("07EA0B16FF0D2238FFFFC400", "07EA0B16FF0D223800FFC400", "07EA0B16FF0D223863FFC400", "hundredths open"),
    ("07EA0B16FF0D22FFFFFFC400", "07EA0B16FF0D220000FFC400", "07EA0B16FF0D223B63FFC400", "seconds open"),
    ("07EA0B16FF0D22FF07FFC400", "07EA0B16FF0D220000FFC400", "07EA0B16FF0D223B63FFC400",
     "hundredths of no second"),
    ("07EA0B16010D22381A8000FF", "07EA0B16FF0D22381A8000FF", "07EA0B16FF0D22381A8000FF",
     "wrong day of week, no deviation, no status"),
    ("07EA0B16FE0D223863034880", "07EA0B16FF0D223863034880", "07EA0B16FF0D223863034880", "deviation 840"),
]  # fmt: skip


@pytest.mark.parametrize(("bound", "start", "end", "why"), FILLED)
@pytest.mark.parametrize("form", [Tag.OCTET_STRING, Tag.DATE_TIME])
def test_bound_filled(bound: str, start: str, end: str, why: str, form: Tag) -> None:
    value = Data(form, bytes.fromhex(bound))
    first, last = RangeDescriptor(CLOCK_COLUMN, value, value, ()).instants()
    assert first.octets == bytes.fromhex(start), why
    assert last.octets == bytes.fromhex(end), why


NO_INSTANT = [  # (bound, what is wrong)
    ("FFFF0B16FF0D223800FFC400", "year open"),
    ("07EAFF16FF0D223800FFC400", "month open"),
    ("07EA0BFFFF0D223800FFC400", "day open"),
    ("07EA0B16FFFF223800FFC400", "hour open"),
    ("07EA0B16FF0DFF3800FFC400", "minute open"),
    ("07EA0B16FF0DFFFFFFFFC400", "minute and what is below it open"),
    ("FFFFFFFFFFFFFFFFFF8000FF", "all open"),
    ("07EAFD16FF0D223800FFC400", "month FD, end of daylight saving"),
    ("07EAFE16FF0D223800FFC400", "month FE, begin of daylight saving"),
    ("07EA0BFDFF0D223800FFC400", "second last day"),
    ("07EA0BFEFF0D223800FFC400", "last day"),
    ("07EA0016FF0D223800FFC400", "month 0"),
    ("07EA0D16FF0D223800FFC400", "month 13"),
    ("07EA0B00FF0D223800FFC400", "day 0"),
    ("07EA0B1FFF0D223800FFC400", "31 November"),
    ("07EA021DFF0D223800FFC400", "29 February 2026"),
    ("07EA0B16FF18223800FFC400", "hour 24"),
    ("07EA0B16FF0D3C3800FFC400", "minute 60"),
    ("07EA0B16FF0D223C00FFC400", "second 60"),
    ("07EA0B16FF0D223864FFC400", "100 hundredths"),
    ("07EA0B16FF0D2238FEFFC400", "254 hundredths"),
    ("00000B16FF0D223800FFC400", "year 0"),
    ("FFFE0B16FF0D223800FFC400", "year 65534"),
    ("07EA0B16FF0D223800034900", "deviation 841"),
    ("07EA0B16FF0D223800FCB700", "deviation -841"),
    ("07EA0B16FF0D2238007FFF00", "deviation 32767"),
    ("00010101FF00000000FFC400", "before the calendar in UTC"),
    ("270F0C1FFF173B3B00003C00", "after the calendar in UTC"),
]


@pytest.mark.parametrize(("bound", "wrong"), NO_INSTANT)
@pytest.mark.parametrize("form", [Tag.OCTET_STRING, Tag.DATE_TIME])
def test_bound_is_no_instant(bound: str, wrong: str, form: Tag) -> None:
    good = make.octet_string(bytes.fromhex("07EA0B16FF0D223800FFC400"))
    bad = Data(form, bytes.fromhex(bound))
    for start, end in ((good, bad), (bad, good)):
        with pytest.raises(OtherReason):
            RangeDescriptor(CLOCK_COLUMN, start, end, ()).instants()


@pytest.mark.parametrize(
    "bound",
    ["0600000001", "090B 07EA0B16FF0D223800FFC4", "090D 07EA0B16FF0D223800FFC40000", "1A07EA0B1607",
     "1B0D223800", "00", "0900", "0A0C 303132333435363738394142", "0201 090C 07EA0B16FF0D223800FFC400"],
)  # fmt: skip
def test_bound_of_another_type(bound: str) -> None:
    """SA-20."""
    good = make.octet_string(bytes.fromhex("07EA0B16FF0D223800FFC400"))
    bad = axdr.decode(bytes.fromhex(bound))
    for start, end in ((good, bad), (bad, good)):
        with pytest.raises(TypeUnmatched):
            RangeDescriptor(CLOCK_COLUMN, start, end, ()).instants()


def plausible_octets() -> st.SearchStrategy[bytes]:
    """Return 12 octets that are a date-time more often than chance would make them."""
    field = st.one_of(st.integers(0, 60), st.sampled_from([0x63, 0x64, 0xFD, 0xFE, 0xFF]))
    year = st.sampled_from(
        [b"\0\0", b"\0\1", b"\x07\xea", b"\x07\xd0", b"\x27\x0f", b"\x27\x10", b"\xff\xff"]
    )
    deviation = st.one_of(
        st.sampled_from([b"\x80\0", b"\0\0", b"\xff\xc4", b"\x7f\xff"]), st.binary(min_size=2, max_size=2)
    )
    fields = st.tuples(st.integers(0, 13), st.integers(0, 32), field, field, field, field, field).map(bytes)
    return st.tuples(year, fields, deviation, st.binary(min_size=1, max_size=1)).map(b"".join)


@given(st.one_of(plausible_octets(), st.binary(min_size=12, max_size=12)))
def test_a_bound_is_an_instant_or_refused(octets: bytes) -> None:
    bound = make.octet_string(octets)
    try:
        start, end = RangeDescriptor(CLOCK_COLUMN, bound, bound, ()).instants()
    except OtherReason:
        return
    # What a buffer does next must not fail, whatever the zone of the meter is taken to be.
    assert start.utc(0) <= end.utc(0)
    assert (start.deviation, start.status) == (end.deviation, end.status)
    sent = DateTime(octets)
    for part in ("year", "month", "day", "hour", "minute", "deviation", "status"):
        assert getattr(start, part) == getattr(end, part) == getattr(sent, part)
    if sent.second is not None:
        assert start.second == end.second == sent.second


# --- entries ----------------------------------------------------------------------------------------

ENTRIES = [  # (octets, value, source)
    ("0204 0600000001 0600000000 120001 120000", EntryDescriptor(1, 0), "SA-23"),
    ("0204 0600000001 0600000002 120002 120003", EntryDescriptor(1, 2, 2, 3), "SA-25"),
    ("0204 0600000000 0600000001 120001 120000", EntryDescriptor(0, 1), "SA-29"),
    (
        "0204 06FFFFFFFF 06FFFFFFFF 12FFFF 12FFFF",
        EntryDescriptor(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0xFFFF),
        "ends",
    ),
]


@pytest.mark.parametrize(("octets", "value", "source"), ENTRIES)
def test_entry_vector(octets: str, value: EntryDescriptor, source: str) -> None:
    assert EntryDescriptor.of(axdr.decode(bytes.fromhex(octets))) == value, source
    assert axdr.encode_data(value.data()) == bytes.fromhex(octets), source


BAD_ENTRIES = [  # (octets, what is wrong)
    ("0203 0600000001 0600000000 120001", "three members"),
    ("0205 0600000001 0600000000 120001 120000 120000", "five members"),
    ("0204 120001 0600000000 120001 120000", "from as long-unsigned"),
    ("0204 0600000001 120000 120001 120000", "to as long-unsigned"),
    ("0204 0600000001 0600000000 0600000001 120000", "from column as double-long-unsigned"),
    ("0204 0600000001 0600000000 120001 1100", "to column as unsigned"),
    ("0204 0500000001 0600000000 120001 120000", "signed"),
    ("0204 0600000001 00 120001 120000", "null-data"),
    ("0104 0600000001 0600000000 120001 120000", "an array"),
    (f"0204 {RESTRICTING} {BOUND} {BOUND} 0100", "a range descriptor"),
    ("00", "null-data"),
]


@pytest.mark.parametrize(("octets", "wrong"), BAD_ENTRIES)
def test_entry_malformed(octets: str, wrong: str) -> None:
    with pytest.raises(TypeUnmatched):
        EntryDescriptor.of(axdr.decode(bytes.fromhex(octets)))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 20))
@example(1, 0, 0)
@example(0xFFFFFFFF, 0xFFFFFFFF, 20)
@example(1, 0xFFFFFFFF, 20)
def test_row_numbers(first: int, last: int, count: int) -> None:
    descriptor = EntryDescriptor(first, last)
    if first == 0:
        with pytest.raises(ScopeOfAccessViolated):
            descriptor.rows(count)
        return
    low, high = descriptor.rows(count)
    expected = [number for number in range(1, count + 1) if first <= number <= (last or count)]
    assert list(range(low, high + 1)) == expected
    assert high <= count


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 8))
def test_column_numbers(first: int, last: int, count: int) -> None:
    descriptor = EntryDescriptor(1, 0, first, last)
    numbers = [number for number in range(1, count + 1) if first <= number <= (last or count)]
    if first == 0 or last > count or not numbers:
        with pytest.raises(ScopeOfAccessViolated):
            descriptor.columns(count)
        return
    columns = descriptor.columns(count)
    assert (range(count) if columns is None else list(columns)) == (
        range(count) if len(numbers) == count else [number - 1 for number in numbers]
    )


# --- whatever comes ---------------------------------------------------------------------------------

WHOLE_RANGE = RangeDescriptor(
    CLOCK_COLUMN,
    make.octet_string(bytes.fromhex("07D00101FF00000000000000")),
    Data(Tag.DATE_TIME, bytes.fromhex("08330C1FFF173B3B00000000")),
    LOAD_COLUMNS[:2],
)


@given(st.one_of(any_data(), nearly(WHOLE_RANGE.data())))
def test_any_data_is_a_range_or_refused(parameters: Data) -> None:
    try:
        descriptor = RangeDescriptor.of(parameters)
    except TypeUnmatched:
        return
    assert descriptor.data() == parameters
    with suppress(TypeUnmatched, OtherReason):
        descriptor.instants()


@given(st.one_of(any_data(), nearly(EntryDescriptor(1, 0).data())))
def test_any_data_is_an_entry_descriptor_or_refused(parameters: Data) -> None:
    try:
        descriptor = EntryDescriptor.of(parameters)
    except TypeUnmatched:
        return
    assert descriptor.data() == parameters


@given(
    st.integers(0, 0xFFFF), st.binary(min_size=6, max_size=6), st.integers(-128, 127), st.integers(0, 0xFFFF)
)
def test_capture_object_round_trip(class_id: int, name: bytes, attribute_id: int, index: int) -> None:
    value = CaptureObject(class_id, ObisCode(name), attribute_id, index)
    assert CaptureObject.of(axdr.decode(axdr.encode_data(value.data()))) == value
