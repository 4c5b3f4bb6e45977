"""Rows of a Data Recorder as a profile sends them: packed octets to encoded structures, column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from iondlms.codec.datetimes import DateTime
from iondlms.codec.octets import Octets, numbers
from iondlms.codec.plan import Cells, RecordPlan, RowPlan
from iondlms.codec.tags import Tag
from iondlms.ion.log import NO_VALUE, RowFormat

__all__ = ["ExportColumns", "LogRows"]

# The first piece is small, since a client waits for it: some 2.5 kB encoded, twenty blocks of one frame each.
_FIRST_PIECE: Final = 64  # rows
_WHOLE: Final = 128  # rows that are one piece: what a second one costs is as much as these take longer
_PIECE: Final = 1024  # a third of a millisecond of work, so that other meters do not wait for it
_UTC_MS: Final = 0  # offsets in a packed row, see `ion/log.py`
_STATUS: Final = 8
_VALUES: Final = 10
_LIMITS: Final = {Tag.DOUBLE_LONG: 1 << 31, Tag.LONG64: 1 << 63}
_SIGN: Final = bytes(128) + b"\xff" * 128  # of a number, by its top octet


class _View(Protocol):
    def shown_all(self, turned: bytes) -> Octets:
        """Return the date-times of UTC milliseconds: the lowest octets of all, the second ones, and so on."""

    def instant(self, time: DateTime, *, last: bool = False) -> int:
        """Return the UTC milliseconds of a bound."""


@dataclass(frozen=True, slots=True)
class ExportColumns:
    """The columns of one export: timestamp, status where it is enabled, then chosen sources."""

    sources: tuple[int, ...]  # index of the recorder's source, by column
    tags: tuple[Tag, ...]
    status: bool
    view: _View
    places: tuple[int, ...] = field(init=False)  # offset in a packed row, by column

    def __post_init__(self) -> None:
        values = [_VALUES + 8 * source for source in self.sources]
        object.__setattr__(self, "places", (_UTC_MS, *((_STATUS,) if self.status else ()), *values))


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
        tags, places = self._columns.tags, self._columns.places
        if columns is not None:
            tags, places = tuple([tags[at] for at in columns]), tuple([places[at] for at in columns])
        layout = _layout(tags, places, self._stride)
        for packed in self._cut():
            turned = b"".join([packed[octet] for octet in layout.times])
            yield layout.encode(packed, self._columns.view.shown_all(turned) if turned else None)

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


class _Layout:
    """Where the columns of an export stand in packed rows, and how they are sent."""

    __slots__ = ("_places", "_records", "_rows", "_stride", "_tags", "_tops", "_uppers", "times")

    def __init__(self, tags: tuple[Tag, ...], places: tuple[int, ...], stride: int) -> None:
        self._tags, self._places, self._stride = tags, places, stride
        self._rows = RowPlan(tags)
        self._records = RecordPlan(tags, [None if place == _UTC_MS else place for place in places], stride)
        # Octets of the columns, as slices of packed rows: of the times from the lowest on; of long64 the top
        # one; of double-long that with the sign, and the four above it.
        self.times = _octets(_UTC_MS, 8, stride) if _UTC_MS in places else ()
        values = [each for each in zip(places, tags, strict=True) if each[0] >= _VALUES]
        self._tops = tuple([slice(at + 7, None, stride) for at, tag in values if tag is Tag.LONG64])
        self._uppers = tuple([_octets(at + 3, 5, stride) for at, tag in values if tag is Tag.DOUBLE_LONG])

    def encode(self, packed: bytes, times: Octets | None) -> bytes:
        """Return the rows with these date-times, None where that column is not asked for."""
        if self._fit(packed):
            return self._records.encode(packed, times)
        columns = zip(self._places, self._tags, strict=True)
        return self._rows.encode_columns([self._cells(packed, place, tag, times) for place, tag in columns])

    def _fit(self, packed: bytes) -> bool:
        """Whether int64 numbers surely fit their types, by whole columns of octets; False where in doubt."""
        for top in self._tops:
            if 0x80 in packed[top]:  # as in NO_VALUE, which no other number is near
                return False
        for lowest, first, second, third, fourth in self._uppers:
            # The upper 4 octets must be what the sign of the lower 4 makes them; those of NO_VALUE are not.
            signs = packed[lowest].translate(_SIGN)
            if not (packed[first] == packed[second] == packed[third] == packed[fourth] == signs):
                return False
        return True

    def _cells(self, packed: bytes, place: int, tag: Tag, times: Octets | None) -> Cells:
        if place == _UTC_MS and times is not None:
            return times
        count = len(packed) // self._stride
        if place == _STATUS:
            return numbers(packed, place, self._stride, count, "H", "little")
        # In the width of their type; null-data for none, and for one beyond it.
        limit = _LIMITS[tag]
        wide = numbers(packed, place, self._stride, count, "q", "little").tolist()
        return [None if value == NO_VALUE or not -limit <= value < limit else value for value in wide]


def _octets(place: int, count: int, stride: int) -> tuple[slice, ...]:
    return tuple([slice(at, None, stride) for at in range(place, place + count)])


# A layout is some microseconds of work, and every meter of a fleet has the same few.
_layout: Final = lru_cache(maxsize=64)(_Layout)
