from __future__ import annotations

import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codec.strategies import INTEGERS, bounds, data_values, values_of

from iondlms.codec import columns
from iondlms.codec import shapes as shapes_module
from iondlms.codec.axdr import NULL, CompactArray, Data, Tag, Value, decode, encode_data
from iondlms.codec.columns import decode_rows
from iondlms.codec.datetimes import DateTime
from iondlms.codec.make import array, double_long, octet_string, structure, unsigned
from iondlms.codec.plan import Row, RowPlan, array_header
from iondlms.codec.reader import encode_length
from iondlms.errors import DecodeError, LocalError

FIXED_TAGS = [
    *(tag for tag, _, _ in INTEGERS),
    Tag.FLOAT32, Tag.FLOAT64, Tag.DATE_TIME, Tag.DATE, Tag.TIME,
]  # fmt: skip
ION_LOAD_PROFILE = [Tag.OCTET_STRING, Tag.LONG_UNSIGNED, *[Tag.DOUBLE_LONG] * 4]


def expected_rows(octets: bytes) -> list[Row]:
    """What `decode_rows` promises: the values of the cells that `axdr` gives."""
    return [tuple(cell.value for cell in row.items()) for row in decode(octets).items()]


def ion_rows(count: int) -> list[Row]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        (
            DateTime.of_utc(start + timedelta(minutes=15 * i), -60).octets,
            0x40 * (i % 3),
            i * 1000, -i, 0, 0x7FFFFFFF - i,
        )
        for i in range(count)
    ]  # fmt: skip


def buffer(rows: list[Row]) -> bytes:
    return array_header(len(rows)) + RowPlan(ION_LOAD_PROFILE).encode(rows)


VECTORS: list[tuple[str, list[Tag], list[Row], str]] = [
    (
        """010B
        0202090C07E2010A031319033E003C000500002705 0202090C07E2010A03131E033E003C000500002706
        0202090C07E2010A031323033E003C000500002707 0202090C07E2010A031328033E003C000500002708
        0202090C07E2010A03132D033E003C000500002709 0202090C07E2010A031332033E003C00050000270A
        0202090C07E2010A031337033E003C00050000270B 0202090C07E2010A031400033E003C00050000270C
        0202090C07E2010A031405033E003C00050000270D 0202090C07E2010A03140A033E003C00050000270E
        0202090C07E2010A03140F033E003C00050000270F""",
        [Tag.OCTET_STRING, Tag.DOUBLE_LONG],
        [
            (bytes.fromhex(f"07E2010A03{hour:02X}{minute:02X}033E003C00"), 0x2705 + row)
            for row, (hour, minute) in enumerate(
                [*((19, minute) for minute in range(25, 60, 5)), (20, 0), (20, 5), (20, 10), (20, 15)]
            )
        ],
        "vectors.md 62: by-range answer",
    ),
    ("0100", [Tag.OCTET_STRING], [], "vectors.md 61: a range without rows"),
    (
        "0102 0203 1907E2010A03131C2A47FFC400 12FFFF 14FFFFFFFFFFFFFFFE 0203 00 12 0000 00",
        [Tag.DATE_TIME, Tag.LONG_UNSIGNED, Tag.LONG64],
        [(bytes.fromhex("07E2010A03131C2A47FFC400"), 0xFFFF, -2), (None, 0, None)],
        "by hand: trap T6, a date-time tag; trap P1, null-data",
    ),
]


@pytest.mark.parametrize(("octets", "tags", "rows", "source"), VECTORS)
def test_vector(octets: str, tags: list[Tag], rows: list[Row], source: str) -> None:
    whole = bytes.fromhex(octets)
    assert decode_rows(whole) == rows, source
    assert decode_rows(whole) == expected_rows(whole), source
    assert array_header(len(rows)) + RowPlan(tags).encode(rows) == whole, source


def test_ion_load_profile_takes_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ion_rows(300)
    octets = buffer(rows)
    assert octets == encode_data(
        array(
            structure(*(Data(tag, value) for tag, value in zip(ION_LOAD_PROFILE, row, strict=True)))
            for row in rows
        )
    )

    def slow(*_: object, **__: object) -> list[Row]:
        raise AssertionError("rows of one shape went the general way")

    monkeypatch.setattr(columns, "_decode_any", slow)
    assert decode_rows(octets) == rows
    assert decode_rows(octets, partial=True) == rows


# --- equal to axdr for any buffer ------------------------------------------------------------------


def cells(tag: Tag) -> st.SearchStrategy[Data]:
    if tag is Tag.OCTET_STRING:
        return st.binary(min_size=12, max_size=12).map(octet_string)
    return values_of(tag)


@st.composite
def uniform_rows(draw: st.DrawFn, tags: list[Tag], nulls: bool) -> list[Data]:
    row = [st.one_of(cells(tag), st.just(NULL)) if nulls else cells(tag) for tag in tags]
    return [structure(*items) for items in draw(st.lists(st.tuples(*row), max_size=5))]


def shapes() -> st.SearchStrategy[list[Tag]]:
    return st.lists(st.sampled_from([*FIXED_TAGS, Tag.OCTET_STRING]), min_size=1, max_size=6)


@given(shapes().flatmap(lambda tags: uniform_rows(tags, nulls=False)))
def test_uniform_rows_are_equal_to_axdr(rows: list[Data]) -> None:
    octets = encode_data(array(rows))
    assert decode_rows(octets) == expected_rows(octets)
    assert len(decode_rows(octets)) == len(rows)


@given(shapes().flatmap(lambda tags: uniform_rows(tags, nulls=True)))
def test_rows_with_null_data_are_equal_to_axdr_and_never_shift(rows: list[Data]) -> None:
    octets = encode_data(array(rows))
    assert decode_rows(octets) == expected_rows(octets)
    assert [len(row) for row in decode_rows(octets)] == [len(row.items()) for row in rows]


@settings(max_examples=50)
@given(st.lists(st.lists(data_values(max_leaves=3), max_size=4).map(lambda row: structure(*row)), max_size=5))
def test_rows_of_any_shape_are_equal_to_axdr(rows: list[Data]) -> None:
    octets = encode_data(array(rows))
    assert decode_rows(octets) == expected_rows(octets)


@given(shapes(), st.data())
def test_one_changed_octet_is_equal_to_axdr(tags: list[Tag], data: st.DataObject) -> None:
    rows = data.draw(uniform_rows(tags, nulls=False))
    octets = bytearray(encode_data(array(rows)))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    same_as_axdr(bytes(octets))


@given(st.binary(max_size=60))
def test_random_octets_are_equal_to_axdr(octets: bytes) -> None:
    same_as_axdr(octets)
    same_as_axdr(b"\x01" + octets)


def same_as_axdr(octets: bytes) -> None:
    try:
        expected = expected_rows(octets)
    except DecodeError:
        with pytest.raises(DecodeError):
            decode_rows(octets)
    else:
        assert repr(decode_rows(octets)) == repr(expected)  # repr: NaN equals itself there
    with suppress(DecodeError):  # and nothing else
        decode_rows(octets, partial=True)


ODD_BUFFERS = [  # (octets, what): each must not be mistaken for rows of the first one's shape
    ("0102 0201 11 05 0281 01 11 06", "a count longer than it need be, second row"),
    ("0102 0281 01 11 05 0281 01 11 06", "a count longer than it need be, all rows"),
    ("0102 0201 0981 01 41 0201 0981 01 42", "an octet-string's length likewise, all rows"),
    ("0182 0002 0201 11 05 0201 11 06", "the array's count likewise"),
    ("0102 0201 0902 4142 0201 0903 414243", "octet-strings of unequal length"),
    ("0102 0201 0902 4142 0201 0A02 4142", "another type of the same length"),
    ("0102 0202 11 05 11 06 0201 12 0506", "another number of cells"),
    ("0102 0201 0900 0201 0900", "empty octet-strings"),
    ("0102 0200 0200", "rows without cells"),
    ("0102 0201 12 0102 0102 11 01 11 02", "an array for a row"),
    ("0102 0201 02 01 11 01 0201 02 01 11 02", "nested structures"),
    ("0102 0201 03 FF 0201 03 01", "booleans"),
    ("0102 0201 04 03 FF 0201 04 03 A0", "bit-strings"),
    ("0102 0201 0A 02 41 42 0201 0C 02 C3 A9", "texts"),
    ("0102 0201 FF 0201 00", "don't-care and null-data"),
    ("0101 0201 13 11 02 01 02", "a compact-array in a cell"),
    ("0101 13 11 02 01 02", "a compact-array for a row"),
    ("13 0202 12 11 06 0001 02 0003 04", "the whole buffer as a compact-array"),
]


@pytest.mark.parametrize(("octets", "what"), ODD_BUFFERS)
def test_odd_buffers_are_equal_to_axdr(octets: str, what: str) -> None:
    whole = bytes.fromhex(octets)
    assert decode_rows(whole) == expected_rows(whole), what
    with pytest.raises(DecodeError):
        decode_rows(whole + b"\x00")
    for cut in range(len(whole)):
        with pytest.raises(DecodeError):
            decode_rows(whole[:cut])


def test_rows_of_many_columns() -> None:
    for width in (127, 128, 129, 300):
        octets = encode_data(array([structure(*map(double_long, range(width)))] * 3))
        assert decode_rows(octets) == [tuple(range(width))] * 3


NO_ROWS = [
    ("", "nothing"),
    ("00", "null-data"),
    ("0200", "a structure"),
    ("0901 00", "an octet-string"),
    ("0101 00", "null-data for a row"),
    ("0101 11 05", "a number for a row"),
    ("0102 0201 11 05 11 06", "a number for a later row"),
    ("0101 0201 07", "an unknown tag"),
    ("0180", "the indefinite form"),
    ("01 84FFFFFFFF", "a count that lies"),
    ("01 84FFFFFFFF 0201 11 05", "a count that lies, before a row"),
    ("0103 0201 11 05 0201 11 06", "a row too few"),
    ("0101 0201 11 05 0201 11 06", "a row too many"),
    ("0100 00", "an octet after no rows"),
    ("13 11 03 01 02 03", "a compact-array of no rows"),
]


@pytest.mark.parametrize(("octets", "what"), NO_ROWS)
def test_what_is_no_buffer(octets: str, what: str) -> None:
    with pytest.raises(DecodeError):
        decode_rows(bytes.fromhex(octets))


def test_a_count_that_lies_costs_nothing() -> None:
    octets = bytes.fromhex("01 84FFFFFFFF") + bytes.fromhex("0201 11 05") * 100
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode_rows(octets)
        assert decode_rows(octets, partial=True) == [(5,)] * 100
        assert decode_rows(octets + b"\x02", partial=True) == [(5,)] * 100
        assert decode_rows(octets[:6] + b"\x02\x01\x00" * 100, partial=True) == [(None,)] * 100
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_shapes_that_a_peer_chooses_are_not_hoarded() -> None:
    def wide(width: int) -> bytes:
        return encode_data(array([structure(*[unsigned(1)] * width)] * 2))

    shapes_module._shape.cache_clear()
    for width in range(2000, 2010):
        decode_rows(wide(width))
    assert shapes_module._shape.cache_info().currsize == 0
    for width in range(1, 101):
        decode_rows(wide(width))
    assert shapes_module._shape.cache_info().currsize <= 64


# --- what a broken transfer leaves -----------------------------------------------------------------


@st.composite
def row_octets(draw: st.DrawFn) -> list[bytes]:
    tags = draw(shapes())
    return [encode_data(row) for row in draw(uniform_rows(tags, nulls=draw(st.booleans())))]


@given(row_octets())
def test_a_cut_at_every_octet_gives_the_rows_that_are_whole(rows: list[bytes]) -> None:
    header = array_header(len(rows))
    whole = header + b"".join(rows)
    values = expected_rows(whole)
    ends = [len(header) + sum(map(len, rows[: i + 1])) for i in range(len(rows))]
    for cut in range(len(whole) + 1):
        assert decode_rows(whole[:cut], partial=True) == values[: sum(end <= cut for end in ends)]


def test_a_cut_in_a_long_header_gives_no_rows() -> None:
    rows = ion_rows(300)
    octets = buffer(rows)
    assert octets[:4].hex() == "0182012c"
    for cut in range(4):
        assert decode_rows(octets[:cut], partial=True) == []
    stride = (len(octets) - 4) // 300
    for cut in range(4, 4 + 3 * stride):
        assert decode_rows(octets[:cut], partial=True) == rows[: (cut - 4) // stride]


def test_partial_does_not_make_rows_of_something_else() -> None:
    for octets in ("00", "02", "0200", "0904 01020304", "0101 11 05"):
        with pytest.raises(DecodeError):
            decode_rows(bytes.fromhex(octets), partial=True)


def test_a_compact_array_is_whole_or_nothing() -> None:
    octets = bytes.fromhex("13 0202 12 11 06 0001 02 0003 04")
    assert decode_rows(octets, partial=True) == [(1, 2), (3, 4)]
    for cut in range(len(octets)):
        assert decode_rows(octets[:cut], partial=True) == []


# --- encoding --------------------------------------------------------------------------------------


@given(shapes(), st.data())
def test_a_plan_writes_what_axdr_writes(tags: list[Tag], data: st.DataObject) -> None:
    rows = data.draw(uniform_rows(tags, nulls=True))
    values: list[Row] = [tuple(cell.value for cell in row.items()) for row in rows]
    octets = RowPlan(tags).encode(values)
    assert octets == b"".join(map(encode_data, rows))
    assert decode_rows(array_header(len(rows)) + octets) == values


@pytest.mark.parametrize("tag", FIXED_TAGS)
def test_every_type_of_fixed_length_has_a_column(tag: Tag) -> None:
    octets = {Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}.get(tag)
    value: Value = bytes(octets) if octets is not None else 1.0 if tag.name.startswith("FLOAT") else 1
    assert RowPlan([tag]).encode([(value,)]) == encode_data(structure(Data(tag, value)))


def test_octet_strings_of_other_lengths_are_neither_cut_nor_filled() -> None:
    for length in (0, 5, 11, 13, 300):
        row: Row = (bytes(range(1, 256))[:length], 7)
        octets = RowPlan([Tag.OCTET_STRING, Tag.UNSIGNED]).encode([row])
        assert decode_rows(array_header(1) + octets) == [row]


UNSENDABLE: list[tuple[Tag, Value]] = [
    *((tag, bounds(octets, signed)[1] + 1) for tag, octets, signed in INTEGERS),
    *((tag, bounds(octets, signed)[0] - 1) for tag, octets, signed in INTEGERS),
    (Tag.LONG, 1.5),
    (Tag.LONG, "1"),
    (Tag.FLOAT32, 1e300),
    (Tag.FLOAT32, "1"),
    (Tag.DATE_TIME, bytes(11)),
    (Tag.DATE_TIME, bytes(13)),
    (Tag.DATE, bytes(4)),
    (Tag.TIME, bytes(5)),
    (Tag.TIME, "time"),
    (Tag.OCTET_STRING, 12),
    (Tag.OCTET_STRING, "0123456789AB"),
]


@pytest.mark.parametrize(("tag", "value"), UNSENDABLE)
def test_a_value_that_does_not_fit_its_column_is_a_local_error(tag: Tag, value: Value) -> None:
    with pytest.raises(LocalError, match=tag.name.lower()):
        RowPlan([tag]).encode([(value,)])


@pytest.mark.parametrize("row", [(), (1,), (1, 2, 3), (None,)])
def test_a_row_of_another_width_is_a_local_error(row: Row) -> None:
    for tags in ([Tag.UNSIGNED, Tag.UNSIGNED], [Tag.OCTET_STRING, Tag.OCTET_STRING]):
        with pytest.raises(LocalError, match="2 columns"):
            RowPlan(tags).encode([row])


@pytest.mark.parametrize("tag", sorted(set(Tag) - set(FIXED_TAGS) - {Tag.OCTET_STRING}))
def test_types_without_fixed_length_have_no_column(tag: Tag) -> None:
    with pytest.raises(LocalError, match="no fixed length"):
        RowPlan([tag])


@pytest.mark.parametrize("count", [0, 1, 127, 128, 255, 256, 35_040, 65_536])
def test_array_header(count: int) -> None:
    assert array_header(count) == b"\x01" + encode_length(count)


def test_compact_items_of_a_row_stay_one_value() -> None:
    value = decode_rows(bytes.fromhex("0101 0202 13 11 02 01 02 12 0007"))[0][0]
    assert isinstance(value, CompactArray)
    assert value.items() == (unsigned(1), unsigned(2))
