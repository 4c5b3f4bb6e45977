"""Tables of a buffer by column, by the standard library and by NumPy: what the general decoder says."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codec.strategies import data_values
from tests.codec.test_columns import expected_rows, ion_rows, shapes, uniform_rows

from iondlms.codec import numpy_columns
from iondlms.codec.axdr import NULL, Data, Tag, decode, decode_structures, encode_data
from iondlms.codec.columns import ListedTable, Row, StridedTable, Table, decode_rows, decode_table
from iondlms.codec.make import array as data_array
from iondlms.codec.make import double_long, octet_string, structure, visible_string
from iondlms.codec.octets import Octets, alike, integers, numbers
from iondlms.codec.plan import RecordPlan, RowPlan, array_header
from iondlms.codec.shapes import shape_of
from iondlms.errors import DecodeError, LocalError

LOAD = [Tag.OCTET_STRING, Tag.LONG_UNSIGNED, *[Tag.DOUBLE_LONG] * 4]


def load_buffer(count: int) -> bytes:
    return array_header(count) + RowPlan(LOAD).encode(ion_rows(count))


def same(left: Any, right: Any) -> bool:
    """Equal, and NaN equals NaN."""
    return repr(list(left)) == repr(list(right))


def by_column(rows: list[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def test_a_load_profile_is_seen_where_it_stands() -> None:
    octets = load_buffer(300)
    table = decode_table(octets)
    assert isinstance(table, StridedTable)
    assert table.octets is octets
    times, status, *energies = [table.column(at) for at in range(table.width)]
    assert isinstance(times, Octets)
    assert times.data is octets
    assert isinstance(status, array)
    assert status.typecode == "H"
    assert [column.typecode for column in energies if isinstance(column, array)] == ["i"] * 4
    assert by_column(ion_rows(300)) == [list(times), list(status), *map(list, energies)]


@given(shapes().flatmap(lambda tags: uniform_rows(tags, nulls=False)))
def test_columns_of_alike_rows_are_those_of_axdr(rows: list[Data]) -> None:
    octets = encode_data(data_array(rows))
    table = decode_table(octets)
    expected = expected_rows(octets)
    assert isinstance(table, StridedTable) or not rows
    assert len(table) == len(rows)
    assert same(table.rows(), expected)
    for at, column in enumerate(by_column(expected)):
        assert same(table.column(at), column)
        if column and isinstance(column[0], int):
            assert numpy_columns.column(table, at).tolist() == column


@given(shapes().flatmap(lambda tags: uniform_rows(tags, nulls=True)), st.data())
def test_columns_with_null_data_are_those_of_axdr(rows: list[Data], data: st.DataObject) -> None:
    octets = encode_data(data_array(rows))
    table = decode_table(octets)
    expected = decode_rows(octets)
    for at, column in enumerate(by_column(expected)):
        assert same(table.column(at), column)
        arrayed = numpy_columns.column(table, at)
        for cell, found in zip(column, arrayed.tolist(), strict=True):
            missing = isinstance(found, float) and math.isnan(found)
            assert missing if cell is None and found is not None else same([cell], [found]) or cell == found
    if rows:
        places = data.draw(st.lists(st.integers(0, table.width - 1), min_size=1, max_size=3))
        first, end = data.draw(st.tuples(st.integers(-6, 6), st.integers(-6, 6)))
        some = table.chosen(places).part(first, end)
        wanted = [tuple(row[at] for at in places) for row in expected][first:end]
        assert same(some.rows(), wanted)
        assert len(some) == len(wanted)
        for at in range(some.width if wanted else 0):
            assert same(some.column(at), [row[at] for row in wanted])
        assert same(table.chosen(places).chosen([0]).rows(), [(row[places[0]],) for row in expected])


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(data_values(max_leaves=2), min_size=2, max_size=2).map(lambda r: structure(*r)), max_size=3
    )
)
def test_columns_of_any_rows_are_those_of_axdr(rows: list[Data]) -> None:
    octets = encode_data(data_array(rows))
    table = decode_table(octets)
    expected = expected_rows(octets)
    for at, column in enumerate(by_column(expected)):
        assert same(table.column(at), column)
        assert len(numpy_columns.column(table, at)) == len(rows)


@given(shapes(), st.data())
def test_a_damaged_buffer_is_read_as_axdr_reads_it_or_not_at_all(
    tags: list[Tag], data: st.DataObject
) -> None:
    octets = bytearray(encode_data(data_array(data.draw(uniform_rows(tags, nulls=data.draw(st.booleans()))))))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    try:
        whole = decode(damaged)
        expected = [tuple(cell.value for cell in row.items()) for row in whole.items()]
        if whole.tag is Tag.STRUCTURE or len(set(map(len, expected))) > 1:
            raise DecodeError("no rows, or of different width")
    except DecodeError:
        with pytest.raises(DecodeError):
            decode_table(damaged)
        return
    table = decode_table(damaged)
    assert same(table.rows(), expected)
    for at, column in enumerate(by_column(expected)):
        assert same(table.column(at), column)


def test_rows_of_unequal_width_have_no_columns() -> None:
    octets = encode_data(data_array([structure(double_long(1)), structure(NULL, NULL)]))
    assert decode_rows(octets) == [(1,), (None, None)]
    with pytest.raises(DecodeError, match="differ in width"):
        decode_table(octets)


def test_no_rows_have_no_columns() -> None:
    for table in (decode_table(b"\x01\x00"), decode_table(b"", partial=True)):
        assert (len(table), table.width, table.rows()) == (0, 0, [])
        with pytest.raises(IndexError):
            table.column(0)


@pytest.mark.parametrize("table", [decode_table(load_buffer(3)), ListedTable(ion_rows(3))])
def test_a_column_that_is_not_there(table: Table) -> None:
    with pytest.raises(IndexError):
        table.column(6)
    with pytest.raises(IndexError):
        table.chosen([6])


def test_what_broke_off_is_a_table_of_what_is_whole() -> None:
    octets = load_buffer(5)
    stride = (len(octets) - 2) // 5
    for cut in range(2, len(octets) + 1):
        table = decode_table(octets[:cut], partial=True)
        assert len(table) == (cut - 2) // stride
        assert isinstance(table, StridedTable) or not len(table)


# --- rows of several shapes --------------------------------------------------------------------------


def test_rows_of_a_few_shapes_are_read_by_shapes_once_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        structure(
            octet_string(bytes(12)), *(NULL if n >> at & 1 else double_long(n) for at in range(3))
        )
        for n in range(200)
    ]  # fmt: skip
    octets = encode_data(data_array(rows))
    calls = 0

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return decode_structures(*arguments)

    monkeypatch.setattr("iondlms.codec.columns.decode_structures", counted)
    assert decode_rows(octets) == [tuple(cell.value for cell in row.items()) for row in rows]
    assert calls <= 8 + 1, "a shape that was seen is read without the general decoder"


def test_rows_of_ever_new_shapes_are_not_all_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [structure(*[NULL if n >> at & 1 else double_long(n) for at in range(9)]) for n in range(500)]
    shapes_made = 0

    def counted(row: Data, size: int) -> Any:
        nonlocal shapes_made
        shapes_made += 1
        return shape_of(row, size)

    monkeypatch.setattr("iondlms.codec.columns.shape_of", counted)
    octets = encode_data(data_array(rows))
    assert decode_rows(octets) == [tuple(cell.value for cell in row.items()) for row in rows]
    assert shapes_made <= 40


@settings(max_examples=40)
@given(st.lists(data_values(max_leaves=3), max_size=4).map(lambda row: structure(*row)))
def test_a_row_alone_is_that_of_axdr(row: Data) -> None:
    octets = b"\xff" + encode_data(row) + b"\x00"
    (values,), stop = decode_structures(octets, 1, 1)
    assert same(values, [cell.value for cell in row.items()])
    assert stop == len(octets) - 1
    for cut in range(1, len(octets) - 1):
        with pytest.raises(DecodeError):
            decode_structures(octets[:cut], 1, 1)


# --- octet-strings side by side ----------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 4), st.integers(0, 6), st.data())
def test_octets_are_the_strings_that_stand_there(
    width: int, gap: int, start: int, count: int, data: st.DataObject
) -> None:
    stride = width + gap
    octets = data.draw(st.binary(min_size=start + max(0, count * stride - gap), max_size=60))
    found = Octets(octets, width, start, stride, count)
    expected = [octets[start + n * stride :][:width] for n in range(count)]
    assert list(found) == found.tolist() == expected
    assert found == expected
    assert [found[n] for n in range(-count, count)] == expected * 2
    assert [found.at(place) for place in range(width)] == [
        bytes(string[place] for string in expected) for place in range(width)
    ]
    part = slice(
        data.draw(st.integers(-7, 7)), data.draw(st.integers(-7, 7)), data.draw(st.sampled_from((1, 2, -1)))
    )
    assert found[part] == expected[part]
    places = data.draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=8))
    assert found.integers(places) == [
        int.from_bytes(bytes(string[at] for at in places)) for string in expected
    ]
    assert Octets.of(expected, width) == expected
    assert found.turned() == b"".join(bytes(string[at] for string in expected) for at in range(width))
    assert Octets.of_turned(found.turned(), width) == expected


@given(st.sampled_from("bBhHiIqQ"), st.integers(0, 3), st.integers(1, 5), st.integers(0, 6), st.data())
def test_integers_are_those_of_the_array(
    code: str, start: int, gap: int, count: int, data: st.DataObject
) -> None:
    stride = array(code).itemsize + gap
    octets = data.draw(st.binary(min_size=start + count * stride, max_size=80))
    assert list(integers(octets, start, stride, count, code)) == list(
        numbers(octets, start, stride, count, code)
    )


def test_octets_that_are_not_there() -> None:
    for width, start, stride, count in (
        (12, 0, 12, 3),
        (12, 1, 12, 2),
        (0, 0, 1, 1),
        (5, 0, 4, 1),
        (5, -1, 5, 1),
    ):
        with pytest.raises(LocalError):
            Octets(bytes(24), width, start, stride, count)
    with pytest.raises(LocalError, match="12 octets"):
        Octets.of([bytes(12), bytes(11)], 12)
    with pytest.raises(IndexError):
        Octets(bytes(24), 12)[2]
    assert Octets(bytes(24), 12) != [bytes(12)]
    assert Octets(bytes(24), 12) != 5


@pytest.mark.parametrize("code", "bBhHiIqQ")
@pytest.mark.parametrize("byteorder", ["big", "little"])
def test_numbers_of_both_orders(code: str, byteorder: Any) -> None:
    size = array(code).itemsize
    octets = bytes(range(1, 1 + 3 * (size + 2)))
    found = numbers(octets, 1, size + 2, 2, code, byteorder)
    signed = code.islower()
    assert found.tolist() == [
        int.from_bytes(octets[1 + n * (size + 2) :][:size], byteorder, signed=signed) for n in range(2)
    ]
    assert numbers(octets, 0, size + 2, 0, code).tolist() == []
    assert sys.byteorder in ("big", "little")


# --- encoding ------------------------------------------------------------------------------------------


@given(shapes().flatmap(lambda tags: st.tuples(st.just(tags), uniform_rows(tags, nulls=False))))
def test_columns_are_encoded_as_their_rows(drawn: tuple[list[Tag], list[Data]]) -> None:
    tags, rows = drawn
    octets = encode_data(data_array(rows))
    table = decode_table(octets)
    columns = [table.column(at) for at in range(table.width)] if rows else [[] for _ in tags]
    plan = RowPlan(tags)
    assert plan.encode_columns(columns) == b"".join(map(encode_data, rows))
    listed = [list(column) for column in columns]
    assert plan.encode_columns(listed) == b"".join(map(encode_data, rows))


def test_columns_that_are_ready_make_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = load_buffer(300)
    table = decode_table(octets)

    def slow(*_: object) -> bytes:
        raise AssertionError("columns that are ready were made rows of")

    monkeypatch.setattr(RowPlan, "encode", slow)
    columns = [table.column(at) for at in range(table.width)]
    assert array_header(300) + RowPlan(LOAD).encode_columns(columns) == octets


integers_of = {
    Tag.LONG64: (st.integers(-(1 << 63), (1 << 63) - 1), "q"),
    Tag.DOUBLE_LONG: (st.integers(-(1 << 31), (1 << 31) - 1), "i"),
    Tag.LONG_UNSIGNED: (st.integers(0, 0xFFFF), "H"),
}


@given(st.data(), st.sampled_from((Tag.OCTET_STRING, Tag.DATE_TIME)))
def test_records_are_sent_from_where_they_are_stored(data: st.DataObject, date_time: Tag) -> None:
    stored = data.draw(st.lists(st.sampled_from(list(integers_of)), min_size=1, max_size=4))
    records = st.tuples(*[integers_of[tag][0] for tag in stored])
    pack = struct.Struct("<x" + "".join(integers_of[tag][1] for tag in stored) + "xx")
    places = [
        struct.calcsize("<x" + "".join(integers_of[tag][1] for tag in stored[:at]))
        for at in range(len(stored))
    ]
    order = data.draw(st.permutations([None, *range(len(stored))]))
    tags = [date_time if at is None else stored[at] for at in order]
    plan = RecordPlan(tags, [None if at is None else places[at] for at in order], pack.size)
    # One after the other, as many meters have them: the same times or others, and as many rows or not.
    times = [Octets(bytes((n,)) * 12 * count, 12) for n, count in ((1, 5), (2, 5), (3, 2), (4, 0))]
    for strings in data.draw(st.lists(st.sampled_from(times), min_size=1, max_size=6)):
        rows = data.draw(st.lists(records, min_size=len(strings), max_size=len(strings)))
        octets = b"".join([pack.pack(*row) for row in rows])
        expected = [
            tuple([text if at is None else row[at] for at in order])
            for text, row in zip(strings, rows, strict=True)
        ]
        assert plan.encode(octets, strings) == RowPlan(tags).encode(expected)
    alone = RecordPlan(stored, places, pack.size)
    for count in data.draw(st.lists(st.integers(0, 4), max_size=4)):
        rows = data.draw(st.lists(records, min_size=count, max_size=count))
        assert alone.encode(b"".join([pack.pack(*row) for row in rows])) == RowPlan(stored).encode(rows)


def test_times_that_are_the_same_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = [Tag.OCTET_STRING, Tag.LONG_UNSIGNED]
    plan = RecordPlan(tags, [None, 0], 2)
    times = Octets(bytes(range(24)), 12)
    plan.encode(b"\1\0\2\0", times)

    def slow(*_: object) -> bytes:
        raise AssertionError("they were written again")

    monkeypatch.setattr(Octets, "at", slow)
    rows = [(bytes(range(12)), 3), (bytes(range(12, 24)), 4)]
    assert plan.encode(b"\3\0\4\0", times) == RowPlan(tags).encode(rows)
    with pytest.raises(AssertionError, match="again"):
        plan.encode(b"\3\0\4\0", Octets(bytes(range(24)), 12))


def test_columns_that_are_not_ready_are_encoded_all_the_same() -> None:
    plan = RowPlan([Tag.DOUBLE_LONG, Tag.LONG64])
    rows = [structure(double_long(5), Data(Tag.LONG64, 6)), structure(NULL, Data(Tag.LONG64, 7))]
    assert plan.encode_columns([[5, None], array("i", [6, 7])]) == b"".join(map(encode_data, rows))
    with pytest.raises(LocalError, match="double_long"):
        plan.encode_columns([array("q", [1 << 31]), array("q", [0])])
    texts = RowPlan([Tag.OCTET_STRING])
    assert texts.encode_columns([Octets(b"abcde", 5)]) == encode_data(structure(octet_string(b"abcde")))


@pytest.mark.parametrize("columns", [[], [[1]], [[1], [1, 2]], [[1], [1], [1]]])
def test_columns_that_are_no_rows(columns: list[list[int]]) -> None:
    with pytest.raises(LocalError, match="2 columns"):
        RowPlan([Tag.UNSIGNED, Tag.UNSIGNED]).encode_columns(columns)  # type: ignore[arg-type]


def test_a_source_without_values_is_written_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> bytes:
        raise AssertionError("null-data in the same place went the general way")

    monkeypatch.setattr(RowPlan, "_general", slow)
    rows: list[Row] = [(bytes(12), None if n % 3 else n, None) for n in range(700)]
    octets = array_header(700) + RowPlan([Tag.OCTET_STRING, Tag.DOUBLE_LONG, Tag.LONG64]).encode(rows)
    monkeypatch.undo()
    assert decode_rows(octets) == rows
    assert decode(octets).items()[4].items() == (octet_string(bytes(12)), NULL, NULL)


def test_one_value_that_does_not_fit_spoils_no_other() -> None:
    rows: list[Row] = [(bytes(5 if n == 300 else 12), n) for n in range(600)]
    octets = array_header(600) + RowPlan([Tag.OCTET_STRING, Tag.LONG]).encode(rows)
    assert decode_rows(octets) == rows


def test_texts_make_rows_of_variable_length() -> None:
    rows = [structure(visible_string("x" * n), structure(double_long(n))) for n in range(300)]
    octets = encode_data(data_array(rows))
    table = decode_table(octets)
    assert table.column(0) == ["x" * n for n in range(300)]
    assert table.column(1) == [(double_long(n),) for n in range(300)]
    assert numpy_columns.column(table, 0).dtype == np.dtype(object)


@given(st.lists(st.integers(0, 300), max_size=6), st.sampled_from("Hiq"))
def test_alike_is_one_number_again_and_again(cells: list[int], code: str) -> None:
    assert alike(array(code, cells)) == (len(set(cells)) == 1)
    assert not alike(cells)
