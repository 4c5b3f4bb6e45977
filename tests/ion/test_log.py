"""Packed rows and the memory log, against a plain list."""

from __future__ import annotations

import itertools
import struct
import sys
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.extras import needs

from iondlms.errors import LocalError
from iondlms.ion import MemoryLog, Row, RowFormat
from iondlms.ion.log import found_in

values = st.none() | st.integers(-(1 << 63) + 1, (1 << 63) - 1)


@given(st.lists(st.builds(Row, st.integers(0, 1 << 60), st.integers(0, 0xFFFF), st.tuples(values, values))))
def test_rows_go_in_and_come_out(rows: list[Row]) -> None:
    form = RowFormat(2)
    octets = b"".join(form.pack(row) for row in rows)
    assert len(octets) == form.stride * len(rows)
    assert list(form.unpack(octets)) == rows


def test_the_packed_form_is_little_endian_without_padding() -> None:
    octets = RowFormat(2).pack(Row(1_800_000_000_000, 0x0320, (-1, None)))
    assert octets.hex() == "00505c18a3010000" + "2003" + "ff" * 8 + "00" * 7 + "80"


def test_numpy_sees_the_columns() -> None:
    numpy = needs("numpy")
    octets = RowFormat(3).pack(Row(5, 6, (7, 8, None))) * 2
    table = numpy.frombuffer(octets, [("utc_ms", "<i8"), ("status", "<u2"), ("values", "<i8", 3)])
    assert table["values"].tolist() == [[7, 8, -(1 << 63)]] * 2


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(LocalError):
        RowFormat(2).pack(Row(0, 0, (1,)))
    with pytest.raises(LocalError):
        MemoryLog(RowFormat(1), 10).extend(bytes(19))
    with pytest.raises(LocalError):
        MemoryLog(RowFormat(1), 0)


def rows_at(instants: list[int]) -> bytes:
    return b"".join(RowFormat(1).pack(Row(instant, 0, (instant,))) for instant in instants)


@given(
    batches=st.lists(st.lists(st.integers(0, 30), max_size=6), max_size=12),
    depth=st.integers(1, 20),
    window=st.tuples(st.integers(-1, 31), st.integers(-1, 31)),
    clear_after=st.none() | st.integers(0, 11),
    resize=st.integers(1, 20),
    chunk=st.sampled_from((1, 2, 5, 128)),
)
def test_it_is_a_ring_that_finds_rows_in_any_order(
    batches: list[list[int]],
    depth: int,
    window: tuple[int, int],
    clear_after: int | None,
    resize: int,
    chunk: int,
) -> None:
    with mock.patch("iondlms.ion.log._CHUNK", chunk):
        ring(batches, depth, window, clear_after, resize)


def ring(
    batches: list[list[int]], depth: int, window: tuple[int, int], clear_after: int | None, resize: int
) -> None:
    log = MemoryLog(RowFormat(1), depth)
    kept: list[tuple[int, int]] = []  # (sequence, instant)
    number = 0
    for index, batch in enumerate(batches):
        log.extend(rows_at(batch))
        for instant in batch:
            kept.append((number, instant))
            number += 1
        kept = kept[-depth:]
        if index == clear_after:
            number += 3
            log.clear(number)
            kept = []
        if index == 5:
            depth = resize
            log.resize(depth)
            kept = kept[-depth:]
        assert (log.count, log.end) == (len(kept), number)
        assert log.first == (kept[0][0] if kept else number)
        assert list(log.instants(log.first, log.end)) == [instant for _, instant in kept]
        for first in range(number - 4, number + 1):
            pieces = log.pieces(first, number - 1)
            assert b"".join(pieces) == rows_at([at for n, at in kept if first <= n < number - 1])
            assert all(pieces)
        runs = log.find(*window)
        found = [sequence for first, end in runs for sequence in range(first, end)]
        assert found == [number for number, instant in kept if window[0] <= instant <= window[1]]
        assert all(end < first for (_, end), (first, _) in itertools.pairwise(runs))


@given(
    st.lists(st.sampled_from((900, 900, 900, 0, 1, 3600, 86_400)), max_size=40),
    st.integers(-1000, 100_000),
    st.integers(-1000, 100_000),
)
def test_where_a_range_begins_is_guessed_or_found(steps: list[int], start: int, end: int) -> None:
    instants = list(itertools.accumulate(steps, initial=0))
    log = MemoryLog(RowFormat(1), 100)
    log.extend(rows_at(instants))
    for window in ((start, end), (instants[len(instants) // 2], instants[-1]), (900 * 3, 900 * 11)):
        found = [number for first, stop in log.find(*window) for number in range(first, stop)]
        assert found == [n for n, instant in enumerate(instants) if window[0] <= instant <= window[1]]


def test_rows_that_are_evenly_apart_are_looked_at_a_few_times() -> None:
    looked: list[int] = []

    def instant(number: int) -> int:
        looked.append(number)
        return number * 900

    assert found_in(0, [], 350_400, instant, 900 * 100_000, 900 * 100_095) == ((100_000, 100_096),)
    assert len(looked) == 6


def test_a_snapshot_is_cut_where_the_ring_went_on() -> None:
    log = MemoryLog(RowFormat(1), 3)
    log.extend(rows_at([1, 2, 3]))
    snapshot = (log.first, log.end)
    log.extend(rows_at([4]))
    assert list(log.instants(*snapshot)) == [2, 3]
    assert log.packed(0, 1) == log.packed(7, 9) == log.packed(3, 2) == b""


def test_who_asks_for_rows_holds_those_of_the_log_and_no_copy() -> None:
    log = MemoryLog(RowFormat(1), 1000)
    log.extend(rows_at(list(range(1000))))
    one, other = log.pieces(100, 900), log.pieces(0, 1000)
    assert sum(piece is same for piece in one for same in other) >= 5
    packed = b"".join(one)
    log.extend(rows_at(list(range(1000, 2000))))
    log.clear(5000)
    assert b"".join(one) == packed == rows_at(list(range(100, 900)))


def test_a_year_is_found_by_bisection_and_an_empty_log_costs_nothing() -> None:
    log = MemoryLog(RowFormat(4), 40_000)
    # 104 octets is a bytearray's slack, where it has one; 10,000 empty logs stay within a few MB.
    assert sys.getsizeof(log) + sys.getsizeof(bytearray()) + sys.getsizeof([]) < 400
    log.extend(b"".join(struct.pack("<qH4q", n * 900_000, 0, n, n, n, n) for n in range(35_040)))
    assert log.find(900_000 * 20_000, 900_000 * 20_095) == ((20_000, 20_096),)
