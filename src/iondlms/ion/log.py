"""Recorder logs: rows packed at a fixed stride, oldest first, each with a sequence number.

A row is, little-endian and without padding, the UTC in milliseconds (int64), the status word (uint16),
and one int64 a source, of which the smallest stands for "no value". So a log is a table that `struct`
or NumPy can view as it is: `[("utc_ms", "<i8"), ("status", "<u2"), ("values", "<i8", columns)]`.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from iondlms.errors import LocalError

__all__ = ["NO_VALUE", "Log", "MemoryLog", "Row", "RowFormat"]

NO_VALUE: Final = -(1 << 63)  # stands for None in a packed row


class Row(NamedTuple):
    """One record."""

    utc_ms: int
    status: int  # 16 bits
    values: tuple[int | None, ...]  # times 1000


@dataclass(frozen=True, slots=True)
class RowFormat:
    """The packed form of rows with that many sources."""

    columns: int

    @property
    def stride(self) -> int:
        """Octets of one row."""
        return 10 + 8 * self.columns

    @property
    def struct(self) -> struct.Struct:
        """The form as `struct` writes it: utc_ms, status, values."""
        return struct.Struct(f"<qH{self.columns}q")

    def pack(self, row: Row) -> bytes:
        """Return the octets of a row; LocalError if its values are not as many as the columns."""
        if len(row.values) != self.columns:
            raise LocalError(f"a row of {len(row.values)} values for a log of {self.columns}")
        values = [NO_VALUE if value is None else value for value in row.values]
        return self.struct.pack(row.utc_ms, row.status, *values)

    def unpack(self, octets: bytes) -> Iterator[Row]:
        """Yield the rows of whole packed octets."""
        for utc_ms, status, *values in self.struct.iter_unpack(octets):
            yield Row(utc_ms, status, tuple(None if value == NO_VALUE else value for value in values))


class Log(Protocol):
    """Rows `first` to `end` - 1 by sequence number; numbers grow by 1 and are never used again.

    A pair (first, end) is a snapshot: rows are never changed, only forgotten, oldest first.
    """

    @property
    def first(self) -> int:
        """Sequence number of the oldest row kept; `end` if there is none."""
        ...

    @property
    def end(self) -> int:
        """The sequence number that the next row will have."""
        ...

    @property
    def count(self) -> int:
        """Rows kept."""
        ...

    def extend(self, rows: bytes | bytearray) -> None:
        """Append whole packed rows, and forget the oldest above the depth."""
        ...

    def clear(self, end: int) -> None:
        """Forget all rows; the next will be number `end`."""
        ...

    def resize(self, depth: int) -> None:
        """Keep at most `depth` rows from now on, and forget the oldest above it."""
        ...

    def packed(self, first: int, end: int) -> bytes:
        """Return rows `first` to `end` - 1, less those forgotten or not yet there."""
        ...

    def instants(self, first: int, end: int) -> Sequence[int]:
        """Return the UTC milliseconds of the same rows."""
        ...

    def find(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
        """Return the rows with `start_ms <= utc_ms <= end_ms` as runs (first, end), in order of recording.

        One run while the clock was never set back; none where no row fits.
        """
        ...


class MemoryLog:
    """A `Log` in one bytearray; an empty one costs a few hundred octets."""

    __slots__ = ("_data", "_depth", "_falls", "_first", "_stride")

    def __init__(self, row_format: RowFormat, depth: int) -> None:
        if depth < 1:
            raise LocalError(f"a log of {depth} rows keeps nothing")
        self._stride = row_format.stride
        self._depth = depth
        self._data = bytearray()
        self._first = 0
        # Rows that are earlier than the row before: between two of them the log is sorted.
        self._falls: list[int] = []

    @property
    def first(self) -> int:
        """Sequence number of the oldest row kept; `end` if there is none."""
        return self._first

    @property
    def end(self) -> int:
        """The sequence number that the next row will have."""
        return self._first + len(self._data) // self._stride

    @property
    def count(self) -> int:
        """Rows kept."""
        return len(self._data) // self._stride

    def extend(self, rows: bytes | bytearray) -> None:
        """Append whole packed rows, and forget the oldest above the depth."""
        if len(rows) % self._stride:
            raise LocalError(f"{len(rows)} octets are not whole rows of {self._stride}")
        number = self.end
        self._data += rows
        begin = max(number - 1, self._first)
        instants = self.instants(begin, self.end)
        for index in range(1, len(instants)):
            if instants[index] < instants[index - 1]:
                self._falls.append(begin + index)
        self._trim()

    def clear(self, end: int) -> None:
        """Forget all rows; the next will be number `end`."""
        self._data = bytearray()
        self._falls = []
        self._first = end

    def resize(self, depth: int) -> None:
        """Keep at most `depth` rows from now on, and forget the oldest above it."""
        if depth < 1:
            raise LocalError(f"a log of {depth} rows keeps nothing")
        self._depth = depth
        self._trim()

    def packed(self, first: int, end: int) -> bytes:
        """Return rows `first` to `end` - 1, less those forgotten or not yet there."""
        low, high = max(first, self._first) - self._first, min(end, self.end) - self._first
        return bytes(memoryview(self._data)[low * self._stride : max(low, high) * self._stride])

    def instants(self, first: int, end: int) -> Sequence[int]:
        """Return the UTC milliseconds of the same rows."""
        each = struct.Struct(f"<q{self._stride - 8}x")
        return [utc_ms for (utc_ms,) in each.iter_unpack(self.packed(first, end))]

    def find(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
        """Return the rows with `start_ms <= utc_ms <= end_ms` as runs (first, end)."""
        found: list[tuple[int, int]] = []
        borders = [self._first, *self._falls, self.end]
        for low, high in pairwise(borders):
            numbers = range(low, high)
            first = low + bisect_left(numbers, start_ms, key=self._instant)
            end = low + bisect_right(numbers, end_ms, key=self._instant)
            if first >= end:
                continue
            if found and found[-1][1] == first:
                found[-1] = (found[-1][0], end)
            else:
                found.append((first, end))
        return tuple(found)

    def _instant(self, sequence: int) -> int:
        offset = (sequence - self._first) * self._stride
        return int.from_bytes(self._data[offset : offset + 8], "little", signed=True)

    def _trim(self) -> None:
        surplus = self.count - self._depth
        if surplus <= 0:
            return
        # Cheap: a bytearray gives up its front without moving the rest.
        del self._data[: surplus * self._stride]
        self._first += surplus
        while self._falls and self._falls[0] <= self._first:
            del self._falls[0]
