"""Rows of a Data Recorder as a profile sends them: packed octets to encoded structures, column by column."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, cast

from iondlms.codec.datetimes import DateTime
from iondlms.codec.octets import Octets, Stored, numbers
from iondlms.codec.plan import Cells, RowPlan
from iondlms.codec.tags import FIXED, Tag
from iondlms.ion.log import NO_VALUE, RowFormat

__all__ = ["ExportColumns", "LogRows"]

# The first piece is small, since a client waits for it: some 2.5 kB encoded, twenty blocks of one frame each.
_FIRST_PIECE: Final = 64  # rows
_WHOLE: Final = 128  # rows that are one piece: what a second one costs is as much as these take longer
_PIECE: Final = 1024  # a third of a millisecond of work, so that other meters do not wait for it
_UTC_MS: Final = 0  # offsets in a packed row, see `ion/log.py`
_STATUS: Final = 8
_VALUES: Final = 10
_SIGN: Final = bytes(128) + b"\xff" * 128  # of a number, by its top octet


class _View(Protocol):
    def shown_all(self, instants: array[int]) -> Octets:
        """Return the date-times of UTC milliseconds."""

    def instant(self, time: DateTime, *, last: bool = False) -> int:
        """Return the UTC milliseconds of a bound."""


@dataclass(frozen=True, slots=True)
class ExportColumns:
    """The columns of one export: timestamp, status where it is enabled, then chosen sources."""

    sources: tuple[int, ...]  # index of the recorder's source, by column
    tags: tuple[Tag, ...]
    status: bool
    view: _View

    def places(self) -> tuple[int, ...]:
        """Return, of each column, the offset of its value in a packed row."""
        values = [_VALUES + 8 * source for source in self.sources]
        return (_UTC_MS, *((_STATUS,) if self.status else ()), *values)


class LogRows:
    """Some rows as they were when they were asked for: pieces of octets that nobody changes."""

    def __init__(self, pieces: Sequence[bytes], row_format: RowFormat, columns: ExportColumns) -> None:
        self._pieces = pieces
        self._stride = row_format.stride
        self._count = sum(map(len, pieces)) // self._stride
        self._columns = columns

    def __len__(self) -> int:
        return self._count

    def encoded(self, columns: Sequence[int] | None) -> Iterator[bytes]:
        """Yield the encoded rows of these columns, None for all, some rows at a time."""
        tags, places = self._columns.tags, self._columns.places()
        if columns is not None:
            tags, places = tuple([tags[at] for at in columns]), tuple([places[at] for at in columns])
        plan = _plan(tags)
        for packed in self._cut():
            yield plan.encode_columns(
                [self._cells(packed, place, tag) for place, tag in zip(places, tags, strict=True)]
            )

    def _cut(self) -> Iterator[bytes]:
        """Yield the octets of the first piece to be encoded, then of the others."""
        if self._count <= _WHOLE:
            if self._count:
                yield b"".join(self._pieces)
            return
        held: list[bytes] = []
        size, wanted = 0, _FIRST_PIECE * self._stride
        for piece in self._pieces:
            held.append(piece)
            size += len(piece)
            if size < wanted:
                continue
            octets = b"".join(held)
            at = 0
            while len(octets) - at >= wanted:
                yield octets[at : at + wanted]
                at, wanted = at + wanted, _PIECE * self._stride
            held, size = [octets[at:]], len(octets) - at
        if size:
            yield b"".join(held)

    def _cells(self, packed: bytes, place: int, tag: Tag) -> Cells | Stored:
        stride = self._stride
        count = len(packed) // stride
        if place == _STATUS:
            return Stored(packed, place, stride, count, "H")
        if place != _UTC_MS and _fit(packed, place, stride, tag):
            return Stored(packed, place, stride, count, FIXED[tag])
        wide = cast("array[int]", numbers(packed, place, stride, count, "q", "little"))
        return self._columns.view.shown_all(wide) if place == _UTC_MS else _fitting(wide.tolist(), tag)


# A plan is some microseconds of work, and every meter of a fleet has the same few.
_plan: Final = lru_cache(maxsize=64)(RowPlan)


def _fit(packed: bytes, place: int, stride: int, tag: Tag) -> bool:
    """Whether int64 numbers surely fit a type, by whole columns of their octets; False where in doubt."""
    if tag is Tag.LONG64:  # all but NO_VALUE, which no other number is near
        return 0x80 not in packed[place + 7 :: stride]
    if tag is not Tag.DOUBLE_LONG:
        return False
    # The upper 4 octets must be what the sign of the lower 4 makes them; those of NO_VALUE are not.
    signs = packed[place + 3 :: stride].translate(_SIGN)
    return (
        packed[place + 4 :: stride] == signs
        and packed[place + 5 :: stride] == signs
        and packed[place + 6 :: stride] == signs
        and packed[place + 7 :: stride] == signs
    )


def _fitting(wide: list[int], tag: Tag) -> Cells:
    """Return the values of a source in the width of their type; null-data for none, and for one beyond it."""
    code = FIXED[tag]
    limit = 1 << (8 * array(code).itemsize - 1)
    return [None if value == NO_VALUE or not -limit <= value < limit else value for value in wide]
