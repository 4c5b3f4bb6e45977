"""Rows of one shape: tags and lengths at fixed offsets, so that a row is a record of fixed stride."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from iondlms.codec.axdr import Data
from iondlms.codec.plan import Row
from iondlms.codec.reader import encode_length
from iondlms.codec.tags import FIXED, Tag

__all__ = ["KEPT", "MAX_COLUMNS", "Field", "Shape", "cells_of", "shape_of"]

# Wider rows go the general way: plans are remembered, and a peer must not choose how large they get.
MAX_COLUMNS: Final = 128
KEPT: Final = 64  # shapes that are remembered


class Field(NamedTuple):
    """Where the value of a column stands in a row."""

    tag: Tag
    offset: int
    size: int  # octets
    code: str  # of a number in `struct` and `array`; empty for octets and null-data


class Shape:
    """What rows of one shape have in common: the octets that are the same, and where the values stand."""

    __slots__ = ("_checked", "_heads", "_picked", "_values", "constants", "fields", "stride")

    def __init__(self, cells: Sequence[tuple[Tag, int]]) -> None:
        """Take tag and octets of each cell; the octets are believed for octet-strings only."""
        head = bytes((Tag.STRUCTURE,)) + encode_length(len(cells))
        checked, values = ">", ">"
        heads: list[bytes] = []
        constants: list[tuple[int, bytes]] = []
        fields: list[Field] = []
        picked: list[int] = []
        offset = 0
        for tag, length in cells:
            head += bytes((tag, length) if tag is Tag.OCTET_STRING else (tag,))
            if tag is Tag.NULL_DATA:
                fields.append(Field(tag, offset + len(head), 0, ""))
                picked.append(-1)
                continue
            code = f"{length}s" if tag is Tag.OCTET_STRING else FIXED[tag]
            size = struct.calcsize(f">{code}")
            checked += f"{len(head)}s{code}"
            values += f"{len(head)}x{code}"
            constants += [(offset + at, head[at : at + 1]) for at in range(len(head))]
            picked.append(len(heads))
            heads.append(head)
            offset += len(head)
            fields.append(Field(tag, offset, size, "" if code.endswith("s") else code))
            offset += size
            head = b""
        if head:  # null-data behind the last value
            checked += f"{len(head)}s"
            values += f"{len(head)}x"
            constants += [(offset + at, head[at : at + 1]) for at in range(len(head))]
            heads.append(head)
            offset += len(head)
        self.stride = offset
        self.fields = tuple(fields)
        self.constants = tuple(constants)  # offset, and the octet that must stand there in each row
        self._heads = tuple(heads)
        self._checked = struct.Struct(checked)  # what must be the same, a value, what must be the same, ...
        self._values = struct.Struct(values)
        self._picked = tuple(picked) if -1 in picked else None  # null-data have no value to unpack

    def __reduce__(self) -> tuple[type[Shape], tuple[list[tuple[Tag, int]]]]:
        """Be pickled by what it was made of: a `struct.Struct` cannot be."""
        return Shape, ([(field.tag, field.size) for field in self.fields],)

    def fits(self, octets: bytes, start: int, count: int) -> bool:
        """Whether so many rows of this shape stand there."""
        stop = start + count * self.stride
        for offset, octet in self.constants:
            if octets[start + offset : stop : self.stride] != octet * count:
                return False
        return True

    def rows(self, octets: memoryview) -> list[Row]:
        """Return the rows of octets that are whole rows of this shape."""
        found = self._values.iter_unpack(octets)
        if self._picked is None:
            return list(found)
        picked = self._picked
        return [tuple([(*row, None)[at] for at in picked]) for row in found]

    def row(self, octets: bytes, position: int) -> tuple[Row, int] | None:
        """Return the row at this position if there is one of this shape, and where it ends."""
        if len(octets) - position < self.stride:
            return None
        found = self._checked.unpack_from(octets, position)
        if found[::2] != self._heads:
            return None
        row, stop = found[1::2], position + self.stride
        if self._picked is None:
            return row, stop
        row += (None,)
        return tuple([row[at] for at in self._picked]), stop


def cells_of(row: Data) -> tuple[tuple[Tag, int], ...] | None:
    """Return tag and octets of each cell, or None if a cell's length could vary unseen."""
    if row.tag is not Tag.STRUCTURE or not 0 < len(row.items()) <= MAX_COLUMNS:
        return None
    cells: list[tuple[Tag, int]] = []
    for cell in row.items():
        if cell.tag is Tag.OCTET_STRING and isinstance(cell.value, bytes) and len(cell.value) < 0x80:
            cells.append((cell.tag, len(cell.value)))
        elif cell.tag in FIXED or cell.tag is Tag.NULL_DATA:
            cells.append((cell.tag, 0))
        else:
            return None
    return tuple(cells)


# Remembered, since most buffers have one of a few shapes; few, since a peer may choose them.
_shape: Final = lru_cache(maxsize=KEPT)(Shape)


def shape_of(row: Data, size: int) -> Shape | None:
    """Return the shape of a row of that many octets; None if rows like it can differ in length."""
    cells = cells_of(row)
    if cells is None:
        return None
    shape = _shape(cells)
    return shape if shape.stride == size else None  # a length was written longer than it need be
