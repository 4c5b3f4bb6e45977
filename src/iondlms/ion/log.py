"""Recorder logs: rows packed at a fixed stride, oldest first, each with a sequence number.

A row is, little-endian and without padding, the UTC in milliseconds (int64), the status word (uint16),
and one int64 a source, of which the smallest stands for "no value". So a log is a table that `struct`
or NumPy can view as it is: `[("utc_ms", "<i8"), ("status", "<u2"), ("values", "<i8", columns)]`.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from iondlms.errors import LocalError

__all__ = ["NO_VALUE", "Log", "MemoryLog", "Row", "RowFormat", "found_in"]

_UTC_MS: Final = struct.Struct("<q")
_FEW: Final = 8  # rows that are halved rather than guessed at
_CHUNK: Final = 128  # rows: what a snapshot of a range copies of its two ends, against one reference each
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
        return _struct(self.columns)

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


@lru_cache(maxsize=64)
def _struct(columns: int) -> struct.Struct:
    return struct.Struct(f"<qH{columns}q")


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

    def pieces(self, first: int, end: int) -> list[bytes]:
        """Return the same rows in some pieces, none empty, in order: a snapshot, hardly copied."""
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
    """A `Log` in chunks of 128 rows that are never changed, and a tail that grows.

    So whoever has asked for rows holds chunks, and no copy of a year; an empty log is a few hundred octets.
    """

    __slots__ = ("_chunks", "_depth", "_end", "_falls", "_first", "_origin", "_stride", "_tail")

    def __init__(self, row_format: RowFormat, depth: int) -> None:
        if depth < 1:
            raise LocalError(f"a log of {depth} rows keeps nothing")
        self._stride = row_format.stride
        self._depth = depth
        self._chunks: list[bytes] = []  # full ones; the first may begin with rows that are forgotten
        self._tail = bytearray()
        self._origin = 0  # the number of the first row of the first chunk
        self._first = 0
        self._end = 0
        # Rows that are earlier than the row before: between two of them the log is sorted.
        self._falls: list[int] = []

    @property
    def first(self) -> int:
        """Sequence number of the oldest row kept; `end` if there is none."""
        return self._first

    @property
    def end(self) -> int:
        """The sequence number that the next row will have."""
        return self._end

    @property
    def count(self) -> int:
        """Rows kept."""
        return self._end - self._first

    def extend(self, rows: bytes | bytearray) -> None:
        """Append whole packed rows, and forget the oldest above the depth."""
        if len(rows) % self._stride:
            raise LocalError(f"{len(rows)} octets are not whole rows of {self._stride}")
        number = self._end
        self._tail += rows
        self._end += len(rows) // self._stride
        size = _CHUNK * self._stride
        if len(self._tail) >= size:
            whole = len(self._tail) - len(self._tail) % size
            octets = bytes(self._tail)
            self._chunks += [octets[at : at + size] for at in range(0, whole, size)]
            self._tail = bytearray(octets[whole:])
        begin = max(number - 1, self._first)
        instants = self.instants(begin, self._end)
        self._falls += [begin + 1 + index for index, (old, new) in enumerate(pairwise(instants)) if new < old]
        self._trim()

    def clear(self, end: int) -> None:
        """Forget all rows; the next will be number `end`."""
        self._chunks = []
        self._tail = bytearray()
        self._falls = []
        self._origin = self._first = self._end = end

    def resize(self, depth: int) -> None:
        """Keep at most `depth` rows from now on, and forget the oldest above it."""
        if depth < 1:
            raise LocalError(f"a log of {depth} rows keeps nothing")
        self._depth = depth
        self._trim()

    def packed(self, first: int, end: int) -> bytes:
        """Return rows `first` to `end` - 1, less those forgotten or not yet there."""
        return b"".join(self.pieces(first, end))

    def pieces(self, first: int, end: int) -> list[bytes]:
        """Return the same rows in pieces: whole chunks are those of the log itself."""
        low, high = max(first, self._first) - self._origin, min(end, self._end) - self._origin
        if low >= high:
            return []
        stride = self._stride
        from_chunk, until_chunk = low // _CHUNK, min(-(-high // _CHUNK), len(self._chunks))
        found = self._chunks[from_chunk:until_chunk]
        if found:
            # The last first: it may be the same.
            found[-1] = found[-1][: (high - (until_chunk - 1) * _CHUNK) * stride]
            found[0] = found[0][(low - from_chunk * _CHUNK) * stride :]
        chunked = len(self._chunks) * _CHUNK
        rest = bytes(self._tail[max(low - chunked, 0) * stride : max(high - chunked, 0) * stride])
        return [*found, rest] if rest else found

    def instants(self, first: int, end: int) -> Sequence[int]:
        """Return the UTC milliseconds of the same rows."""
        each = struct.Struct(f"<q{self._stride - 8}x")
        return [utc_ms for (utc_ms,) in each.iter_unpack(self.packed(first, end))]

    def find(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
        """Return the rows with `start_ms <= utc_ms <= end_ms` as runs (first, end)."""
        return found_in(self._first, self._falls, self._end, self._instant, start_ms, end_ms)

    def _instant(self, sequence: int) -> int:
        chunk, row = divmod(sequence - self._origin, _CHUNK)
        octets = self._chunks[chunk] if chunk < len(self._chunks) else self._tail
        instant: int = _UTC_MS.unpack_from(octets, row * self._stride)[0]
        return instant

    def _trim(self) -> None:
        surplus = self.count - self._depth
        if surplus <= 0:
            return
        self._first += surplus
        gone = (self._first - self._origin) // _CHUNK
        del self._chunks[:gone]
        self._origin += gone * _CHUNK
        while self._falls and self._falls[0] <= self._first:
            del self._falls[0]


def _place(low: int, high: int, begins: int, ends: int, instant: Callable[[int], int], wanted_ms: int) -> int:
    """Return the first of the rows whose instant is not before the wanted one, `high` for none.

    The first row is of the instant `begins`, and the last one of `ends`.
    """
    if wanted_ms <= begins:
        return low
    if wanted_ms > ends:
        return high
    if high - low > _FEW:
        guess = low + -(-(wanted_ms - begins) * (high - 1 - low) // (ends - begins))
        if instant(guess) >= wanted_ms > instant(guess - 1):
            return guess
    return low + bisect_left(range(low, high), wanted_ms, key=instant)


def found_in(
    first: int, falls: Sequence[int], end: int, instant: Callable[[int], int], start_ms: int, end_ms: int
) -> tuple[tuple[int, int], ...]:
    """Return the rows within two instants as runs (first, end): by halving, between the falls.

    Where rows are as far apart as they mostly are, both ends are where the times of first and last row say.
    """
    found: list[tuple[int, int]] = []
    for low, high in pairwise([first, *falls, end]):
        if low >= high:
            continue
        begins, ends = instant(low), instant(high - 1)
        begin = _place(low, high, begins, ends, instant, start_ms)
        stop = _place(low, high, begins, ends, instant, end_ms + 1)
        if begin >= stop:
            continue
        if found and found[-1][1] == begin:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((begin, stop))
    return tuple(found)
