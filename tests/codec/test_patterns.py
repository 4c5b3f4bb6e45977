"""Rows with strings of any length and structures in them are read as axdr reads them, however many."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.codec.strategies import data_values, values_of
from tests.codec.test_columns import expected_rows, same_as_axdr

from iondlms.codec.axdr import NULL, Data, decode_structures, encode_data
from iondlms.codec.columns import _usual_shapes, decode_rows
from iondlms.codec.make import array, double_long, integer, octet_string, structure, visible_string
from iondlms.codec.patterns import Pattern
from iondlms.codec.shapes import MAX_COLUMNS
from iondlms.codec.tags import FIXED, Tag

LEAVES = (*FIXED, Tag.BOOLEAN, Tag.NULL_DATA, *[Tag.OCTET_STRING, Tag.VISIBLE_STRING] * 6)


def kinds() -> st.SearchStrategy[Any]:
    """Types of a row: a tag, or a list of kinds for a structure."""
    inner = st.recursive(st.sampled_from(LEAVES), lambda some: st.lists(some, max_size=3), max_leaves=5)
    return st.lists(inner, min_size=1, max_size=5)


def of_kind(kind: Any) -> st.SearchStrategy[Data]:
    if isinstance(kind, list):
        return st.tuples(*map(of_kind, kind)).map(lambda items: Data(Tag.STRUCTURE, items))
    found: st.SearchStrategy[Data] = values_of(kind)
    return found


def buffers() -> st.SearchStrategy[list[Data]]:
    """Many rows of one kind, made of a few."""

    def many(kind: Any) -> st.SearchStrategy[list[Data]]:
        few = st.lists(of_kind(kind), min_size=1, max_size=4)
        places = st.lists(st.integers(0, 3), max_size=90)
        return st.builds(lambda rows, at: [rows[n % len(rows)] for n in at], few, places)

    return kinds().flatmap(many)


@given(buffers())
def test_rows_of_one_kind_are_those_of_axdr(rows: list[Data]) -> None:
    same_as_axdr(encode_data(array(rows)))


@given(buffers(), data_values(max_leaves=3), st.integers(0, 90))
def test_odd_ones_among_them_are_too(rows: list[Data], other: Data, at: int) -> None:
    odd = structure(octet_string(b"odd"), other)
    same_as_axdr(encode_data(array([*rows[:at], odd, *rows[at:], structure(NULL), *rows])))


@settings(max_examples=300)
@given(buffers(), st.data())
def test_damaged_ones_are_too(rows: list[Data], data: st.DataObject) -> None:
    octets = bytearray(encode_data(array(rows)))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(1, len(octets) - 1))] = data.draw(st.integers(0, 255))
    same_as_axdr(bytes(octets))


@example([structure(visible_string("x"), double_long(1), octet_string(b""))] * 40, 300)
@given(buffers(), st.integers(0, 2000))
def test_of_a_broken_transfer_all_that_is_whole_is_there(rows: list[Data], cut: int) -> None:
    octets = encode_data(array(rows))
    whole = expected_rows(octets)
    part = decode_rows(octets[:cut], partial=True)
    assert repr(part) == repr(whole[: len(part)])
    length = 1 + (1 if len(rows) < 128 else 2)
    for done, row in enumerate(rows):
        length += len(encode_data(row))
        assert (done < len(part)) == (length <= min(cut, len(octets)))


def texts(count: int) -> list[Data]:
    return [
        structure(visible_string("x" * (n % 9)), structure(double_long(n), integer(-3)), NULL)
        for n in range(count)
    ]


def test_rows_with_texts_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    general: list[int] = []

    def counted(octets: bytes, at: int, count: int, depth: int) -> Any:
        general.append(count)
        return decode_structures(octets, at, count, depth)

    alone: list[int] = []
    row = Pattern.row

    def counted_alone(pattern: Pattern, octets: bytes, at: int) -> Any:
        alone.append(at)
        return row(pattern, octets, at)

    monkeypatch.setattr("iondlms.codec.columns.decode_structures", counted)
    monkeypatch.setattr(Pattern, "row", counted_alone)
    rows = texts(3000)
    octets = encode_data(array(rows))
    assert decode_rows(octets) == [tuple([cell.value for cell in row.items()]) for row in rows]
    assert general == [1]
    assert len(alone) < 12


def test_what_no_pattern_is_made_of() -> None:
    fit = structure(octet_string(b"a"))
    assert Pattern.of(fit, MAX_COLUMNS) is not None
    for other in (
        NULL,
        structure(),
        structure(array([fit])),
        structure(Data(Tag.UTF8_STRING, "a")),
        structure(structure(array([]))),
        structure(*[octet_string(b"a")] * (MAX_COLUMNS + 1)),
        structure(structure(*[NULL] * 128)),
        structure(octet_string(b"a"), *[NULL] * MAX_COLUMNS),
        structure(octet_string(b"a"), *[structure(NULL)] * (MAX_COLUMNS // 2)),
    ):
        assert Pattern.of(other, MAX_COLUMNS) is None


def test_rows_that_are_not_of_the_pattern_are_left() -> None:
    octets = b"".join(map(encode_data, texts(8)))
    pattern = Pattern.of(texts(1)[0], MAX_COLUMNS)
    assert pattern is not None
    found = pattern.rows(octets, 0, 8)
    assert found is not None
    assert found[1] == len(octets)
    assert pattern.rows(octets, 0, 9) is None
    for cut in range(len(octets)):
        assert pattern.rows(octets[:cut], 0, 8) is None
    for at in range(len(octets)):
        changed = octets[:at] + bytes((octets[at] ^ 0x80,)) + octets[at + 1 :]
        there = pattern.rows(changed, 0, 8)
        if there is not None:  # a value has changed, and no tag or length
            assert there[1] == len(octets)
            assert repr(there[0]) == repr(decode_structures(changed, 0, 8)[0])


def test_shapes_that_fit_nothing_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    row = Pattern.row

    def counted(pattern: Pattern, octets: bytes, at: int) -> Any:
        tried.append(at)
        return row(pattern, octets, at)

    monkeypatch.setattr(Pattern, "row", counted)
    few = [structure(octet_string(b"a"), *[NULL] * n) for n in range(8)]
    rows = [*few, *[structure(array([])) for _ in range(5000)]]
    octets = encode_data(array(rows))
    assert decode_rows(octets) == expected_rows(octets)
    assert len(tried) < 700


def test_beginnings_that_a_peer_chooses_are_not_hoarded() -> None:
    for n in range(200):
        decode_rows(
            encode_data(array([structure(double_long(n), *[NULL] * (n % 100), octet_string(bytes(n % 50)))]))
        )
    assert len(_usual_shapes) <= 64
