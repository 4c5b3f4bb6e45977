"""Rows of a log as a profile sends them: the columns' way against a row made by hand from each record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.meter.test_objects import view

from iondlms.codec.axdr import NULL, Data, Tag, encode_data
from iondlms.ion.log import NO_VALUE, Row, RowFormat
from iondlms.meter import log_rows
from iondlms.meter.log_rows import ExportColumns, LogRows
from iondlms.meter.objects import ClockView

AUTUMN: Final = int(datetime(2026, 10, 25, 0, tzinfo=UTC).timestamp() * 1000)  # an hour before DST ends
TAGS: Final = (Tag.OCTET_STRING, Tag.LONG_UNSIGNED, Tag.DOUBLE_LONG, Tag.LONG64, Tag.DOUBLE_LONG)
LIMITS: Final = {Tag.DOUBLE_LONG: 1 << 31, Tag.LONG64: 1 << 63}
MADRID: Final = view("Europe/Madrid")[0]
EDGES: Final = [
    0,
    -1,
    1,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 31),
    -(1 << 31) - 1,
    (1 << 63) - 1,
    NO_VALUE + 1,
    NO_VALUE,
]


def by_hand(
    row: Row, sources: tuple[int, ...], shown: ClockView, tag_of_time: Tag = Tag.OCTET_STRING
) -> bytes:
    cells = [Data(tag_of_time, shown.shown(row.utc_ms)), Data(Tag.LONG_UNSIGNED, row.status)]
    for source, tag in zip(sources, TAGS[2:], strict=True):
        value = row.values[source]
        fits = value is not None and -LIMITS[tag] <= value < LIMITS[tag]
        cells.append(Data(tag, value) if fits else NULL)
    return encode_data(Data(Tag.STRUCTURE, tuple(cells)))


def packed(rows: list[Row], piece: int = 7) -> list[bytes]:
    """Return the rows as a log hands them out: pieces of a few."""
    each = list(map(RowFormat(3).pack, rows))
    return [b"".join(each[at : at + piece]) for at in range(0, len(each), piece)]


values = st.one_of(st.none(), st.sampled_from(EDGES), st.integers(-100, 100)).map(
    lambda value: None if value == NO_VALUE else value
)
records = st.builds(
    Row,
    st.integers(0, 8).map(lambda n: AUTUMN + n * 900_000) | st.integers(0, 4_000_000_000_000),
    st.integers(0, 0xFFFF),
    st.tuples(values, values, values),
)


@settings(max_examples=200)
@given(st.lists(records, max_size=6), st.permutations(range(3)), st.booleans())
def test_rows_are_those_made_by_hand(rows: list[Row], order: list[int], in_order: bool) -> None:
    rows = sorted(rows) if in_order and all(None not in row.values for row in rows) else rows
    sources = tuple(order)
    found = LogRows(packed(rows), RowFormat(3), ExportColumns(sources, TAGS, True, MADRID))
    assert len(found) == len(rows)
    assert b"".join(found.encoded(None)) == b"".join(by_hand(row, sources, MADRID) for row in rows)


@pytest.mark.parametrize("piece", [1, 3, 64, 200, 1024])
def test_pieces_of_any_length_are_the_same_rows(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        Row(
            AUTUMN - 50 * 900_000 + n * 900_000,
            n,
            (n, None if n == 90 else -n, 1 << 31 if n % 50 == 3 else n),
        )
        for n in range(200)
    ]
    monkeypatch.setattr(log_rows, "_PIECE", piece)
    found = LogRows(packed(rows), RowFormat(3), ExportColumns((0, 1, 2), TAGS, True, MADRID))
    pieces = list(found.encoded(None))
    assert b"".join(pieces) == b"".join(by_hand(row, (0, 1, 2), MADRID) for row in rows)
    assert len(pieces) == 1 + -(-(200 - 64) // piece)


def test_a_choice_of_columns_and_no_status() -> None:
    rows = [Row(AUTUMN + n * 900_000, 7, (n, n + 1, n + 2)) for n in range(5)]
    tags = (Tag.DATE_TIME, Tag.LONG64, Tag.DOUBLE_LONG)
    found = LogRows(packed(rows), RowFormat(3), ExportColumns((2, 0), tags, False, MADRID))
    whole = [
        Data(
            Tag.STRUCTURE,
            (
                Data(Tag.DATE_TIME, MADRID.shown(row.utc_ms)),
                Data(Tag.LONG64, row.values[2]),
                Data(Tag.DOUBLE_LONG, row.values[0]),
            ),
        )
        for row in rows
    ]
    assert b"".join(found.encoded(None)) == b"".join(map(encode_data, whole))
    chosen = [Data(Tag.STRUCTURE, (row.items()[0], row.items()[2])) for row in whole]
    assert b"".join(found.encoded((0, 2))) == b"".join(map(encode_data, chosen))


def test_rows_that_fit_are_made_no_columns_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> object:
        raise AssertionError("columns were made")

    monkeypatch.setattr(log_rows._Layout, "_cells", slow)
    fit = [
        Row(AUTUMN, 7, ((1 << 31) - 1, -(1 << 62), -(1 << 31))),
        Row(AUTUMN + 900_000, 0xFFFF, (-1, -1, 0)),
    ]
    found = LogRows(packed(fit), RowFormat(3), ExportColumns((0, 1, 2), TAGS, True, MADRID))
    assert b"".join(found.encoded(None)) == b"".join(by_hand(row, (0, 1, 2), MADRID) for row in fit)
    for values in ((1 << 31, 0, 0), (0, None, 0), (0, 0, -(1 << 31) - 1)):
        one = LogRows(packed([*fit, Row(AUTUMN, 7, values)]), RowFormat(3), found._columns)
        with pytest.raises(AssertionError, match="columns"):
            list(one.encoded(None))


def test_the_first_piece_is_small_for_whoever_waits_for_it() -> None:
    rows = [Row(AUTUMN + n * 900_000, 0, (1, 2, 3)) for n in range(3000)]
    found = LogRows(packed(rows), RowFormat(3), ExportColumns((0, 1, 2), TAGS, True, MADRID))
    sizes = [len(piece) for piece in found.encoded(None)]
    assert sizes[0] < 4096
    assert len(sizes) == 4


def test_a_day_is_one_piece_and_no_rows_are_none() -> None:
    rows = [Row(AUTUMN + n * 900_000, 0, (1, None, n)) for n in range(129)]
    for count, pieces in ((0, 0), (1, 1), (96, 1), (128, 1), (129, 2)):
        found = LogRows(packed(rows[:count]), RowFormat(3), ExportColumns((0, 1, 2), TAGS, True, MADRID))
        encoded = list(found.encoded(None))
        assert len(encoded) == pieces
        assert b"".join(encoded) == b"".join(by_hand(row, (0, 1, 2), MADRID) for row in rows[:count])


def turned(instants: list[int]) -> bytes:
    """Return the lowest octets of all, then the second ones, and so on."""
    return bytes(
        octet for place in zip(*(n.to_bytes(8, "little") for n in instants), strict=True) for octet in place
    )


@pytest.mark.parametrize("deviation", ["normal", "reversed", "unspecified", "utc"])
def test_many_instants_are_shown_as_each(deviation: str) -> None:
    shown, _ = view("Europe/Madrid", deviation=deviation)
    quarters = [AUTUMN + n * 900_000 for n in range(-4, 8)]
    winter, _ = view("America/Lima", deviation=deviation)  # other octets of the same instants
    year = [AUTUMN + n * 900_000 for n in range(4, 400)]  # longer than what is remembered
    days = (quarters, quarters[:3], quarters[6:], quarters[::-1], quarters[:2] * 2, [AUTUMN + 10])
    for instants in (*days, year, year[::-1]):
        for each in (shown, winter, shown):
            assert each.shown_all(turned(instants)) == [each.shown(instant) for instant in instants]
