"""Rows of plain values -> encoded structures: the fast way, same octets as `axdr`.

The rows of one profile have one shape, so the tags and lengths stand at fixed offsets of a fixed stride. The
values are written by `struct` or a column at a time, or where they stand packed in records, an octet of all
rows at a time; and the tags of *all* rows with one strided assignment an offset, in C.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice, starmap
from operator import itemgetter
from typing import Final, TypeAlias

from iondlms.codec.axdr import Data, Value, encode_data
from iondlms.codec.octets import Octets
from iondlms.codec.reader import encode_length
from iondlms.codec.tags import FIXED, Tag
from iondlms.errors import LocalError

__all__ = ["Cells", "RecordPlan", "Row", "RowPlan", "array_header"]

Row: TypeAlias = "tuple[Value, ...]"
# A column: integers and floats side by side, octet-strings of one length, or cells of any kind.
Cells: TypeAlias = "array[int] | array[float] | Octets | list[Value]"

# Tag -> octets of those columns that struct would pad or cut without a word.
_OCTETS: Final = {Tag.OCTET_STRING: 12, Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}
# Rows that are written at once: enough that what is done once a batch does not count, and a row with
# null-data slows down no more than these.
_BATCH: Final = 256
_MOST_PATTERNS: Final = 64  # of null-data that one plan remembers
_BACKWARDS: Final = sys.byteorder == "little"
_DOES_NOT_FIT: Final = (struct.error, TypeError, ValueError, IndexError, OverflowError)


def array_header(count: int) -> bytes:
    """Return the tag and count that stand before `count` rows."""
    return bytes((Tag.ARRAY,)) + encode_length(count)


class RowPlan:
    """How rows of one shape are written: one tag a column; octet-strings are date-times of 12 octets.

    LocalError if a column's type is none of fixed length.
    """

    __slots__ = ("_form", "_forms", "tags")

    def __init__(self, tags: Sequence[Tag]) -> None:
        self.tags = tuple(tags)
        for tag in self.tags:
            if tag not in FIXED and tag is not Tag.OCTET_STRING:
                raise LocalError(f"a column of {tag.name.lower()} has no fixed length")
        self._form = _Form(self.tags)
        self._forms: dict[tuple[bool, ...], _Form] = {}

    def encode(self, rows: Iterable[Row]) -> bytes:
        """Return the structures of the rows, one after the other; None in a row is sent as null-data.

        LocalError if a row has other than one value a column, or a value does not fit its column.
        """
        left = iter(rows)
        chunks: list[bytes | bytearray] = []
        while batch := list(islice(left, _BATCH)):
            chunks += self._batch(batch)
        return b"".join(chunks)

    def encode_columns(self, columns: Sequence[Cells]) -> bytes:
        """Return the structures of the rows that these columns are, the same as `encode(zip(*columns))`.

        What makes it fast is an array of the code of its column's type, and Octets of the right width.
        LocalError if the columns are not one a tag and of one length.
        """
        if len(columns) != len(self.tags) or len(set(map(len, columns))) > 1:
            lengths = ", ".join(str(len(column)) for column in columns)
            raise LocalError(f"columns of {lengths or 'no'} cells for {len(self.tags)} columns")
        if columns and all(map(_is_ready, columns, self.tags)):
            return self._form.columns(columns)
        return self.encode(zip(*columns, strict=True))

    def _batch(self, rows: list[Row]) -> Iterator[bytes | bytearray]:
        try:
            yield self._form.rows(rows)
        except _DOES_NOT_FIT:
            # A value that is missing, or one that its column does not fit.
            yield from self._odd_batch(rows)

    def _odd_batch(self, rows: list[Row]) -> Iterator[bytes | bytearray]:
        """Yield rows that are not all of the one form; a run with null-data in the same places is of one."""
        for nulls, grouped in groupby(rows, _nulls):
            run = list(grouped)
            try:
                yield self._without(nulls).rows([tuple([v for v in row if v is not None]) for row in run])
            except _DOES_NOT_FIT:
                if len(run) == 1:
                    yield self._general(run[0])
                else:
                    half = len(run) // 2
                    yield from self._odd_batch(run[:half])
                    yield from self._odd_batch(run[half:])

    def _without(self, nulls: tuple[bool, ...]) -> _Form:
        """Return the form of rows with null-data in these places."""
        form = self._forms.get(nulls)
        if form is None:
            tags = zip(self.tags, nulls, strict=True)  # ValueError: a row of another width
            form = _Form([Tag.NULL_DATA if null else tag for tag, null in tags])
            if len(self._forms) < _MOST_PATTERNS:
                self._forms[nulls] = form
        return form

    def _general(self, row: Row) -> bytes:
        """Return a row by the general encoder, which says what does not fit."""
        if len(row) != len(self.tags):
            raise LocalError(f"a row of {len(row)} values for {len(self.tags)} columns")
        cells = (
            Data(Tag.NULL_DATA if value is None else tag, value)
            for tag, value in zip(self.tags, row, strict=True)
        )
        return encode_data(Data(Tag.STRUCTURE, tuple(cells)))


class RecordPlan:
    """How packed records are written as rows: one tag a column, and where in a record its integer begins.

    Records are `stride` octets long, and little-endian. A column whose place is None does not stand there:
    one at most, of octet-strings that are given. Each integer is as wide as its column's type.
    """

    __slots__ = ("_begun", "_form", "_moves", "_stride", "_strings")

    def __init__(self, tags: Sequence[Tag], places: Sequence[int | None], stride: int) -> None:
        self._form = _Form(tags)
        self._stride = stride
        self._strings: tuple[int, int] | None = None  # where in a row those stand that are given
        # From where to where each octet of an integer goes, in all rows: slices that are made once, since
        # to make one takes as long as what it is made for.
        moves: list[tuple[slice, slice]] = []
        for (offset, size), place in zip(self._form.places, places, strict=True):
            if place is None:
                self._strings = offset, size
                continue
            for at in range(size):
                there = slice(offset + size - 1 - at, None, self._form.stride)
                moves.append((there, slice(place + at, None, stride)))
        self._moves = tuple(moves)
        # Rows with all but the integers, and the octet-strings that are in them.
        self._begun: tuple[Octets | None, bytearray] = None, bytearray()

    def encode(self, records: bytes, strings: Octets | None = None) -> bytes:
        """Return the structures of whole records, one after the other, with as many octet-strings."""
        # Who reads many meters asks each for the same time, and the date-times of that are one object.
        of, begun = self._begun
        if strings is None or strings is not of:
            begun = self._begin(len(records) // self._stride, strings)
            self._begun = strings, begun
        octets = begun.copy()
        source = bytearray(records)  # what is assigned to a bytearray would be made one each time
        for there, here in self._moves:
            octets[there] = source[here]
        return bytes(octets)

    def _begin(self, count: int, strings: Octets | None) -> bytearray:
        begun = bytearray(self._form.template * count)
        if self._strings is not None and strings is not None:
            offset, size = self._strings
            for at in range(size):
                begun[offset + at :: self._form.stride] = strings.at(at)
        return begun


class _Form:
    """One shape of rows; its null-data are no values, so its rows come without them."""

    __slots__ = ("_constants", "_lengths", "_pack", "places", "stride", "template")

    def __init__(self, tags: Sequence[Tag]) -> None:
        template = bytearray((Tag.STRUCTURE,)) + encode_length(len(tags))
        form = [f">{len(template)}x"]
        constants = list(range(len(template)))  # offsets of what is the same in each row
        places: list[tuple[int, int]] = []  # offset and octets of each value
        lengths: list[tuple[int, int]] = []  # which value must have how many octets
        for tag in tags:
            head = bytes((tag, 12) if tag is Tag.OCTET_STRING else (tag,))
            constants += range(len(template), len(template) + len(head))
            template += head
            form.append(f"{len(head)}x")
            if tag is Tag.NULL_DATA:
                continue
            if tag in _OCTETS:
                lengths.append((len(places), _OCTETS[tag]))
            code = FIXED.get(tag, "12s")
            size = struct.calcsize(f">{code}")
            form.append(code)
            places.append((len(template), size))
            template += bytes(size)
        self.stride = len(template)
        self.template = bytes(template)  # a row with all but the values
        self._constants = tuple(constants)
        self.places = tuple(places)
        self._lengths = tuple(lengths)
        # Tags are gaps here and not values: half as many values to pack.
        self._pack = struct.Struct("".join(form)).pack

    def rows(self, rows: list[Row]) -> bytearray:
        """Return the octets of rows; one of `_DOES_NOT_FIT` if one is not of this form."""
        for at, length in self._lengths:
            if set(map(len, map(itemgetter(at), rows))) != {length}:
                raise ValueError
        octets = bytearray().join(starmap(self._pack, rows))
        for at in self._constants:
            octets[at :: self.stride] = self.template[at : at + 1] * len(rows)
        return octets

    def columns(self, columns: Sequence[Cells]) -> bytes:
        """Return the octets of columns that are ready for it."""
        stride = self.stride
        octets = bytearray(self.template * len(columns[0]))
        for column, (offset, size) in zip(columns, self.places, strict=True):
            if isinstance(column, Octets):
                for at in range(size):
                    octets[offset + at :: stride] = column.at(at)
            elif isinstance(column, array):
                native = column.tobytes()
                for at in range(size):
                    octets[offset + at :: stride] = native[size - 1 - at if _BACKWARDS else at :: size]
        return bytes(octets)


def _is_ready(column: Cells, tag: Tag) -> bool:
    if isinstance(column, Octets):
        return _OCTETS.get(tag) == column.width
    return isinstance(column, array) and column.typecode == FIXED.get(tag)


def _nulls(row: Row) -> tuple[bool, ...]:
    return tuple([cell is None for cell in row])
