"""Rows of plain values -> encoded structures: the fast way, same octets as `axdr`.

The rows of one profile have one shape, so the tags and lengths stand at fixed offsets of a fixed stride. The
values are written by `struct` or a column at a time, and the tags of *all* rows with one strided assignment
an offset, in C.
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
from iondlms.codec.octets import Octets, Stored
from iondlms.codec.reader import encode_length
from iondlms.codec.tags import FIXED, Tag
from iondlms.errors import LocalError

__all__ = ["Cells", "Row", "RowPlan", "array_header"]

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

    def encode_columns(self, columns: Sequence[Cells | Stored]) -> bytes:
        """Return the structures of the rows that these columns are, the same as `encode(zip(*columns))`.

        What makes it fast is an array or Stored of the code of its column's type, and Octets of the right
        width.
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


class _Form:
    """One shape of rows; its null-data are no values, so its rows come without them."""

    __slots__ = ("_constants", "_lengths", "_pack", "_places", "_stride", "_template")

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
        self._stride = len(template)
        self._template = bytes(template)
        self._constants = tuple(constants)
        self._places = tuple(places)
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
            octets[at :: self._stride] = self._template[at : at + 1] * len(rows)
        return octets

    def columns(self, columns: Sequence[Cells | Stored]) -> bytes:
        """Return the octets of columns that are ready for it."""
        stride = self._stride
        octets = bytearray(self._template * len(columns[0]))
        for column, (offset, size) in zip(columns, self._places, strict=True):
            if isinstance(column, Stored):
                data, first, apart = column.data, column.start, column.stride
                stop = first + len(column) * apart
                for at in range(size):
                    octets[offset + size - 1 - at :: stride] = data[first + at : stop + at : apart]
            elif isinstance(column, Octets):
                for at in range(size):
                    octets[offset + at :: stride] = column.at(at)
            elif isinstance(column, array):
                native = column.tobytes()
                for at in range(size):
                    octets[offset + at :: stride] = native[size - 1 - at if _BACKWARDS else at :: size]
        return bytes(octets)


def _is_ready(column: Cells | Stored, tag: Tag) -> bool:
    if isinstance(column, Stored):
        return column.code == FIXED.get(tag)
    if isinstance(column, Octets):
        return _OCTETS.get(tag) == column.width
    return isinstance(column, array) and column.typecode == FIXED.get(tag)


def _nulls(row: Row) -> tuple[bool, ...]:
    return tuple([cell is None for cell in row])
