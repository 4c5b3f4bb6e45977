"""Whole profile buffers -> columns and rows of plain values: the fast way, same results as `axdr`.

The rows of one profile have one shape: tags and lengths stand at fixed offsets, so a row is a record of
fixed stride. Decoding checks the tags of *all* rows with one strided comparison an offset, in C, and then
takes out a column, or unpacks rows without their tags. Rows of several shapes are read one by one with the
shapes that were seen before, rows with strings of any length by what stands between those (`patterns`), all
others by `axdr`. Property tests hold all equal.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final, Protocol

from iondlms.codec.axdr import MAX_DEPTH, Data, decode, decode_data, decode_structures
from iondlms.codec.octets import Octets, integers, numbers
from iondlms.codec.patterns import Pattern
from iondlms.codec.plan import Cells, Row
from iondlms.codec.reader import Reader
from iondlms.codec.shapes import KEPT, MAX_COLUMNS, Field, Shape, cells_of, shape_of
from iondlms.codec.tags import Tag
from iondlms.errors import DecodeError

__all__ = [
    "Cells",
    "ListedTable",
    "Row",
    "StridedTable",
    "Table",
    "decode_rows",
    "decode_table",
]

_INTEGERS: Final = frozenset("bBhHiIqQ")  # codes of `struct`
_HEAD: Final = 2  # octets of an array of fewer than 128 elements, before the first
_BEGIN: Final = 4  # octets that nearly tell shapes apart: structure, columns, type and length of the first
_MOST_SHAPES: Final = 8  # that a row is tried with before it goes the general way
_AT_FIRST: Final = 32  # rows that a pattern is tried with at once, more each time it was right
_MOST_AT_ONCE: Final = 1024
_FEW: Final = 4  # rows that are not worth a trial of several at once
_MOST_MISSED: Final = 64  # rows more that no shape fits than that one fits, before all are given up
_MOST_TRIED: Final = 32  # rows of one buffer that shapes are made of: one of ever new shapes is not worth it


class Table(Protocol):
    """The rows of a buffer, by row or by column."""

    @property
    def width(self) -> int:
        """Columns; 0 where there are no rows."""
        ...

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def column(self, at: int) -> Cells:
        """Return a column; IndexError if there is none."""
        ...

    def rows(self) -> list[Row]:
        """Return the rows as tuples of plain values."""
        ...

    def part(self, first: int | None, end: int | None) -> Table:
        """Return rows `first` to `end` - 1, as slices do."""
        ...

    def chosen(self, places: Sequence[int]) -> Table:
        """Return these columns alone, in this order; IndexError if one is not there."""
        ...


@dataclass(frozen=True, slots=True)
class StridedTable:
    """Rows of one shape, where they stand in the buffer; a column is made when it is asked for.

    An integer column is an array of its own width, a column of octet-strings or date-times is Octets.
    """

    octets: bytes
    start: int
    count: int
    shape: Shape
    places: tuple[int, ...] | None = None  # the columns that were chosen; None: all

    @property
    def fields(self) -> tuple[Field, ...]:
        """Where the columns stand."""
        fields = self.shape.fields
        return fields if self.places is None else tuple([fields[place] for place in self.places])

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.shape.fields if self.places is None else self.places)

    def __len__(self) -> int:
        return self.count

    def column(self, at: int) -> Cells:
        """Return a column."""
        field = self.fields[at]
        begin = self.start + field.offset
        if field.code:
            return numbers(self.octets, begin, self.shape.stride, self.count, field.code)
        if field.size:
            return Octets(self.octets, field.size, begin, self.shape.stride, self.count)
        return [None if field.tag is Tag.NULL_DATA else b""] * self.count

    def integers(self, at: int, first: int, end: int) -> tuple[int, ...] | None:
        """Return rows `first` to `end` - 1 of a column, a few hundred; None where it has no integers."""
        field = self.fields[at]
        if field.code not in _INTEGERS:
            return None
        shape = self.shape
        begin = self.start + first * shape.stride + field.offset
        return integers(self.octets, begin, shape.stride, end - first, field.code)

    def rows(self) -> list[Row]:
        """Return the rows."""
        stop = self.start + self.count * self.shape.stride
        rows = self.shape.rows(memoryview(self.octets)[self.start : stop])
        return rows if self.places is None else _picked(rows, self.places)

    def part(self, first: int | None, end: int | None) -> StridedTable:
        """Return some of the rows."""
        begin, stop, _ = slice(first, end).indices(self.count)
        start = self.start + begin * self.shape.stride
        return replace(self, start=start, count=max(0, stop - begin))

    def chosen(self, places: Sequence[int]) -> StridedTable:
        """Return some of the columns."""
        present = range(len(self.shape.fields)) if self.places is None else self.places
        return replace(self, places=tuple([present[place] for place in places]))


class ListedTable:
    """Rows of any cells, one by one; DecodeError if they differ in width."""

    __slots__ = ("_rows", "width")

    def __init__(self, rows: Sequence[Row]) -> None:
        widths = set(map(len, rows))
        if len(widths) > 1:
            raise DecodeError("the rows of the buffer differ in width")
        self.width = widths.pop() if widths else 0
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, at: int) -> Cells:
        """Return a column as the list of its cells."""
        if not 0 <= at < self.width:
            raise IndexError(f"column {at} of {self.width}")
        return list(map(itemgetter(at), self._rows))

    def rows(self) -> list[Row]:
        """Return the rows."""
        return self._rows

    def part(self, first: int | None, end: int | None) -> ListedTable:
        """Return some of the rows."""
        return ListedTable(self._rows[first:end])

    def chosen(self, places: Sequence[int]) -> ListedTable:
        """Return some of the columns."""
        return ListedTable(_picked(self._rows, places))


def _picked(rows: list[Row], places: Sequence[int]) -> list[Row]:
    if len(places) > 1:
        return list(map(itemgetter(*places), rows))
    return [tuple([row[place] for place in places]) for row in rows]


def decode_table(octets: bytes, *, partial: bool = False) -> Table:
    """Return the rows of an encoded array of structures, to be taken by column.

    `partial` as for `decode_rows`. DecodeError if the octets are no array of structures of equal width.
    """
    found = _decode(octets, partial=partial)
    return ListedTable(found) if isinstance(found, list) else found


def decode_rows(octets: bytes, *, partial: bool = False) -> list[Row]:
    """Return the rows of an encoded array of structures as tuples of plain values.

    The same as `tuple(cell.value for cell in row.items())` for each row that `axdr.decode` gives. With
    `partial` the octets may stop anywhere and the rows that are whole are returned: what a broken block
    transfer leaves (none of a compact-array, which no ION sends). DecodeError if the octets are no array
    of structures.
    """
    found = _decode(octets, partial=partial)
    return found if isinstance(found, list) else found.rows()


def _decode(octets: bytes, *, partial: bool) -> list[Row] | StridedTable:
    # A day of rows: fewer than 128, and as those of meters before. Else it is looked at bit by bit.
    if len(octets) > _HEAD and octets[0] == Tag.ARRAY and 0 < octets[1] < 0x80:
        table = _usual(octets, _HEAD, octets[1])
        if table is not None:
            return table
    reader = Reader(octets)
    if partial and not reader.remaining:
        return []
    tag = reader.u8()
    if tag == Tag.COMPACT_ARRAY:
        return _decode_compact(octets, partial=partial)
    if tag != Tag.ARRAY:
        raise DecodeError("a profile buffer is an array")
    try:
        count = reader.length()
    except DecodeError:
        if partial:
            return []
        raise
    # Bounded before anything is made of it: a row takes two octets at least.
    if not partial and count * 2 > reader.remaining:
        raise DecodeError(f"{count} rows declared, {reader.remaining} octets are left")
    table = _decode_alike(reader, octets, count, partial=partial) if count else None
    if table is None:
        with uncollected():
            return _decode_any(octets, reader.position, count, partial=partial)
    if table.count == count:
        return table
    # A last row with null-data is shorter than the others and may be whole.
    stop = table.start + table.count * table.shape.stride
    more = _decode_any(octets, stop, count - table.count, partial=True)
    return table.rows() + more if more else table


def _decode_compact(octets: bytes, *, partial: bool) -> list[Row]:
    try:
        rows = decode(octets).items()
    except DecodeError:
        if partial:
            return []
        raise
    return [tuple([cell.value for cell in row.items()]) for row in rows]


class uncollected:  # noqa: N801  # used as a function
    """Keep the garbage collector out: it takes a third of the time and finds nothing.

    Rows hold no cycles; there are only many of them at once, which is what it counts. Several threads may be
    in here: whoever is the last to leave switches it on again, if one of them has found it on.
    """

    __slots__ = ()
    _holding: Final[list[None]] = []  # one for each that is inside; both ends of a list are atomic
    _found_on: Final[list[None]] = []

    def __enter__(self) -> None:
        self._holding.append(None)
        if gc.isenabled():
            gc.disable()
            self._found_on.append(None)

    def __exit__(self, *_: object) -> None:
        self._holding.pop()
        if self._found_on and not self._holding:
            self._found_on.clear()
            gc.enable()


def _decode_alike(reader: Reader, octets: bytes, count: int, *, partial: bool) -> StridedTable | None:
    """Return rows that all look like the first; None if they do not."""
    start = reader.position
    table = _usual(octets, start, count)
    if table is not None:
        return table
    left = len(octets) - start
    first = Reader(octets, start)
    try:
        row = decode_data(first, MAX_DEPTH - 1)
    except DecodeError:
        return None
    stride = first.position - start
    if partial:
        count = min(count, left // stride)
    elif left != count * stride:
        return None
    shape = shape_of(row, stride)
    if shape is None or not shape.fits(octets, start, count):
        return None
    if len(_usual_shapes) >= KEPT:
        _usual_shapes.clear()
    _usual_shapes[octets[start : start + _BEGIN]] = shape
    return StridedTable(octets, start, count, shape)


def _usual(octets: bytes, start: int, count: int) -> StridedTable | None:
    """Return rows that all have the shape which those had last that began like them; None if they do not."""
    usual = _usual_shapes.get(octets[start : start + _BEGIN])
    if usual is None or len(octets) - start != count * usual.stride or not usual.fits(octets, start, count):
        return None
    return StridedTable(octets, start, count, usual)


def _decode_any(octets: bytes, position: int, count: int, *, partial: bool) -> list[Row]:
    """Return rows of any shapes: each by a shape that was seen before, or the general way."""
    rows: list[Row] = []
    shapes: list[Shape | Pattern] = []  # that which fitted last in front
    tried = 0
    at_once = _AT_FIRST  # rows that a pattern is tried with; 0 once it is not worth it
    missed = 0  # how many more rows had none of the shapes than had one
    while len(rows) < count:
        for shape in shapes:
            whole = shape.row(octets, position)
            if whole is not None:
                row, position = whole
                rows.append(row)
                missed = max(0, missed - 1)
                if shape is not shapes[0]:
                    shapes.remove(shape)
                    shapes.insert(0, shape)
                if at_once and isinstance(shape, Pattern) and count - len(rows) >= _FEW:
                    several = shape.rows(octets, position, min(at_once, count - len(rows)))
                    at_once = at_once // 4 if several is None else min(at_once * 2, _MOST_AT_ONCE)
                    if several is not None:
                        rows += several[0]
                        position = several[1]
                break
        else:
            if partial and position == len(octets):
                return rows
            missed += 1
            if missed > _MOST_MISSED:  # shapes that fit nothing are not worth their trial
                shapes.clear()
                tried = _MOST_TRIED
            begin = position
            try:
                # All at once where no shape was found, since then none will be.
                alone = 1 if partial or shapes or tried < _MOST_TRIED else count - len(rows)
                found, position = decode_structures(octets, begin, alone, MAX_DEPTH - 1)
            except DecodeError:
                if partial and not _is_whole(octets, begin):
                    return rows
                raise
            rows += found
            if tried < _MOST_TRIED:
                tried += 1
                learnt = _learnt(decode_data(Reader(octets, begin), MAX_DEPTH - 1), position - begin)
                if learnt is not None:
                    shapes.insert(0, learnt)
                    del shapes[_MOST_SHAPES:]
    if not partial:
        Reader(octets, position).end()
    return rows


def _is_whole(octets: bytes, position: int) -> bool:
    """Whether there is a value that did not break off, which is no row then."""
    try:
        decode_data(Reader(octets, position), MAX_DEPTH - 1)
    except DecodeError:
        return False
    return True


def _learnt(row: Data, size: int) -> Shape | Pattern | None:
    """Return what other rows may have in common with one; None if nothing is worth to be tried with them."""
    cells = cells_of(row)
    if cells is not None and all(tag is not Tag.OCTET_STRING or octets == 12 for tag, octets in cells):
        return shape_of(row, size)
    return Pattern.of(row, MAX_COLUMNS)  # strings that are no date-times vary in length


# By how their rows begin: a buffer that begins so is tried with the shape before its first row is read.
_usual_shapes: Final[dict[bytes, Shape]] = {}
