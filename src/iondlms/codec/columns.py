"""Whole profile buffers <-> rows of plain values: the fast path, same results as `axdr`.

The rows of one profile have one shape: tags and lengths stand at fixed offsets, so a row is a record of
fixed stride. Encoding writes the tags from one `struct` plan. Decoding checks the tags of *all* rows with one
strided comparison an offset, in C, and then unpacks only the values. A buffer with null-data or rows of
unequal shape goes through `axdr`; a property test holds both equal.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from iondlms.codec.axdr import MAX_DEPTH, Data, Tag, Value, decode, decode_data, encode_data
from iondlms.codec.reader import Reader, encode_length
from iondlms.errors import DecodeError, LocalError

__all__ = ["Row", "RowPlan", "array_header", "decode_rows"]

Row: TypeAlias = "tuple[Value, ...]"

# Tag -> struct code of its value; only types whose octets never vary in number.
_FIXED: Final = {
    Tag.DOUBLE_LONG: "i", Tag.DOUBLE_LONG_UNSIGNED: "I", Tag.BCD: "B", Tag.INTEGER: "b", Tag.LONG: "h",
    Tag.UNSIGNED: "B", Tag.LONG_UNSIGNED: "H", Tag.LONG64: "q", Tag.LONG64_UNSIGNED: "Q", Tag.ENUM: "B",
    Tag.FLOAT32: "f", Tag.FLOAT64: "d", Tag.DATE_TIME: "12s", Tag.DATE: "5s", Tag.TIME: "4s",
    Tag.DELTA_INTEGER: "b", Tag.DELTA_LONG: "h", Tag.DELTA_DOUBLE_LONG: "i", Tag.DELTA_UNSIGNED: "B",
    Tag.DELTA_LONG_UNSIGNED: "H", Tag.DELTA_DOUBLE_LONG_UNSIGNED: "I",
}  # fmt: skip
# Tag -> octets of those columns that struct would pad or cut without a word.
_OCTETS: Final = {Tag.OCTET_STRING: 12, Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}
# Wider rows go the general way: plans are remembered, and a peer must not choose how large they get.
MAX_COLUMNS: Final = 128


def array_header(count: int) -> bytes:
    """Return the tag and count that stand before `count` rows."""
    return bytes((Tag.ARRAY,)) + encode_length(count)


class RowPlan:
    """How rows of one shape are written: one tag a column; octet-strings are date-times of 12 octets.

    LocalError if a column's type is none of fixed length.
    """

    __slots__ = ("_constants", "_octets", "_pack", "tags")

    def __init__(self, tags: Sequence[Tag]) -> None:
        self.tags = tuple(tags)
        count = encode_length(len(self.tags))
        form = [f">B{len(count)}s"]
        constants: list[int | bytes] = [Tag.STRUCTURE, count]
        for tag in self.tags:
            if tag is Tag.OCTET_STRING:
                form.append("H12s")
                constants.append(Tag.OCTET_STRING << 8 | 12)
            elif tag in _FIXED:
                form.append("B" + _FIXED[tag])
                constants.append(int(tag))
            else:
                raise LocalError(f"a column of {tag.name.lower()} has no fixed length")
        self._pack = struct.Struct("".join(form)).pack
        self._constants = tuple(constants)
        self._octets = tuple((at, _OCTETS[tag]) for at, tag in enumerate(self.tags) if tag in _OCTETS)

    def encode(self, rows: Iterable[Row]) -> bytes:
        """Return the structures of the rows, one after the other; None in a row is sent as null-data.

        LocalError if a row has other than one value a column, or a value does not fit its column.
        """
        pack = self._pack
        lengths = self._octets
        head, count, *tags = self._constants
        chunks: list[bytes] = []
        for row in rows:
            try:
                for at, length in lengths:
                    if len(row[at]) != length:  # type: ignore[arg-type]  # TypeError is caught below
                        raise ValueError
                values = [part for pair in zip(tags, row, strict=True) for part in pair]
                chunks.append(pack(head, count, *values))
            except (struct.error, TypeError, ValueError, IndexError, OverflowError):
                # A value that is missing, or one that its column does not fit: the general encoder decides.
                chunks.append(self._encode_odd(row))
        return b"".join(chunks)

    def _encode_odd(self, row: Row) -> bytes:
        if len(row) != len(self.tags):
            raise LocalError(f"a row of {len(row)} values for {len(self.tags)} columns")
        cells = (
            Data(Tag.NULL_DATA if value is None else tag, value)
            for tag, value in zip(self.tags, row, strict=True)
        )
        return encode_data(Data(Tag.STRUCTURE, tuple(cells)))


def decode_rows(octets: bytes, *, partial: bool = False) -> list[Row]:
    """Return the rows of an encoded array of structures as tuples of plain values.

    The same as `tuple(cell.value for cell in row.items())` for each row that `axdr.decode` gives. With
    `partial` the octets may stop anywhere and the rows that are whole are returned: what a broken block
    transfer leaves (none of a compact-array, which no ION sends). DecodeError if the octets are no array
    of structures.
    """
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
    start = reader.position
    # Bounded before anything is made of it: a row takes two octets at least.
    if not partial and count * 2 > reader.remaining:
        raise DecodeError(f"{count} rows declared, {reader.remaining} octets are left")
    rows = _decode_alike(octets, start, count, partial=partial) if count else None
    if rows is None:
        return _decode_any(reader, count, partial=partial)
    return rows


def _decode_compact(octets: bytes, *, partial: bool) -> list[Row]:
    try:
        rows = decode(octets).items()
    except DecodeError:
        if partial:
            return []
        raise
    return [tuple([cell.value for cell in row.items()]) for row in rows]


def _decode_any(reader: Reader, count: int, *, partial: bool) -> list[Row]:
    rows: list[Row] = []
    for _ in range(count):
        if partial and not reader.remaining:
            return rows
        try:
            row = decode_data(reader, MAX_DEPTH - 1)
        except DecodeError:
            if partial:
                return rows
            raise
        rows.append(tuple([cell.value for cell in row.items()]))
    if not partial:
        reader.end()
    return rows


def _decode_alike(octets: bytes, start: int, count: int, *, partial: bool) -> list[Row] | None:
    """Decode rows that all look like the first; None if they do not."""
    first = Reader(octets, start)
    try:
        row = decode_data(first, MAX_DEPTH - 1)
    except DecodeError:
        return None
    stride = first.position - start
    left = len(octets) - start
    declared = count
    if partial:
        count = min(count, left // stride)
    elif left != count * stride:
        return None
    shape = _shape(row)
    if shape is None:
        return None
    unpack, constants = _plan(shape)
    if unpack.size != stride:  # a length written longer than it need be
        return None
    stop = start + count * stride
    for offset, octet in constants:
        if octets[start + offset : stop : stride] != bytes((octet,)) * count:
            return None
    rows = list(unpack.iter_unpack(memoryview(octets)[start:stop]))
    if count < declared:  # a last row with null-data is shorter than the others and may be whole
        rows += _decode_any(Reader(octets, stop), declared - count, partial=True)
    return rows


def _shape(row: Data) -> tuple[tuple[Tag, int], ...] | None:
    """Return tag and octets of each cell, or None if a cell's length could vary unseen."""
    if row.tag is not Tag.STRUCTURE or not 0 < len(row.items()) <= MAX_COLUMNS:
        return None
    shape: list[tuple[Tag, int]] = []
    for cell in row.items():
        if cell.tag is Tag.OCTET_STRING and isinstance(cell.value, bytes) and len(cell.value) < 0x80:
            shape.append((cell.tag, len(cell.value)))
        elif cell.tag in _FIXED:
            shape.append((cell.tag, 0))
        else:
            return None
    return tuple(shape)


@lru_cache(maxsize=64)
def _plan(shape: tuple[tuple[Tag, int], ...]) -> tuple[struct.Struct, tuple[tuple[int, int], ...]]:
    """Return what unpacks one row, and the (offset, octet) pairs that must stand in every row."""
    count = encode_length(len(shape))
    constants = [(0, int(Tag.STRUCTURE)), *((1 + at, octet) for at, octet in enumerate(count))]
    form = [f">{1 + len(count)}x"]
    offset = 1 + len(count)
    for tag, length in shape:
        constants.append((offset, int(tag)))
        if tag is Tag.OCTET_STRING:
            constants.append((offset + 1, length))
            form.append(f"2x{length}s")
            offset += 2 + length
        else:
            form.append("x" + _FIXED[tag])
            offset += 1 + struct.calcsize(">" + _FIXED[tag])
    return struct.Struct("".join(form)), tuple(constants)
