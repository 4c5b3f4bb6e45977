"""A profile as rows that a program can use: instants, flags, decimals, each column with its unit.

The way from an encoded buffer goes by columns and not cell by cell: `codec.columns` gives columns of plain
values, each is converted by one pass that runs in C, and then the rows are put together.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntFlag
from functools import partial
from itertools import chain, repeat
from typing import Any, Final, Literal, NamedTuple, TypeAlias, overload

from iondlms.client.instants import TimeRules, Times, times_of
from iondlms.client.names import CLOCK_CLASS, DATA_CLASS, STATUS_WORD, name_of
from iondlms.client.scales import are_integers, decimals, is_numeric
from iondlms.codec.axdr import Value
from iondlms.codec.columns import Cells, StridedTable, Table, decode_table, uncollected
from iondlms.codec.datetimes import DateTime
from iondlms.codec.octets import alike
from iondlms.cosem import CaptureObject
from iondlms.errors import RemoteError

__all__ = [
    "Cell",
    "Column",
    "Profile",
    "ProfileRow",
    "ProfileRows",
    "Shape",
    "StatusWord",
    "TimeRules",
    "column_of",
    "is_clock",
    "is_status",
    "profile_of",
    "typed_profile",
]

STATUS_INVALID: Final = 0xFFFF
# Rows that are made at once: with what they hold they stay in the cache of a core, and what is done once for
# all of them does not count.
_AT_ONCE: Final = 512

Cell: TypeAlias = "Decimal | Value"


class StatusWord(IntFlag):
    """The status word of a record (technical note); reserved bits are kept."""

    MASTER_RESET = 1 << 3
    TIME_CHANGED = 1 << 5
    POWER_UP = 1 << 6
    POWER_DOWN = 1 << 7
    DST_STARTED = 1 << 8
    DST_ENDED = 1 << 9


@dataclass(frozen=True, slots=True)
class Column:
    """A column of values: what stands in it, its ION name if it has one, how its integers are scaled.

    `scaler` None: not known, or nothing that is scaled. The unit is text; empty where there is none.
    """

    captured: CaptureObject
    name: str | None = None
    unit: str = ""
    scaler: int | None = None

    @property
    def title(self) -> str:
        """The ION name, or the OBIS code with its attribute where that is not 2."""
        attribute = self.captured.attribute_id
        text = self.name or str(self.captured.logical_name)
        return text if attribute == 2 else f"{text}:{attribute}"


class ProfileRow(NamedTuple):
    """One record.

    `instant` is UTC, None where it cannot be known. `clock` is the 12 octets as sent, None where they were
    not. `status` is None where the meter says it is not valid, or has no such column.
    """

    instant: datetime | None
    clock: bytes | None
    status: StatusWord | None
    values: tuple[Cell, ...]

    @property
    def local(self) -> DateTime | None:
        """The date-time as sent."""
        return None if self.clock is None else DateTime(self.clock)


@dataclass(frozen=True, slots=True)
class Profile:
    """Rows of a profile, in the order of the buffer; iterating gives them, `list()` keeps them.

    `columns` goes with the `values` of each row; the clock and the status word have places of their own.
    `raw` is the encoded buffer; where the profile was read in pieces, the first piece.
    """

    columns: tuple[Column, ...]
    rows: Sequence[ProfileRow]
    capture_period: int = 0  # s; 0 where no timer drives the recorder, and then nothing is inferred from it
    notes: tuple[str, ...] = ()
    raw: bytes = field(default=b"", repr=False)
    has_status: bool = False  # whether the rows have a status word: without one, None means nothing

    def __iter__(self) -> Iterator[ProfileRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def dicts(self) -> list[dict[str, object]]:
        """Return a dict a row: time (UTC), local, status, and the columns by title."""
        titles = [column.title for column in self.columns]
        return [
            {
                "time": row.instant,
                "local": row.local,
                "status": row.status,
                **dict(zip(titles, row.values, strict=True)),
            }
            for row in self.rows
        ]

    def columns_dict(self) -> dict[str, list[Any]]:
        """Return a list a column: time (UTC), status, and the columns by title."""
        rows = list(self.rows)
        values = zip(*[row.values for row in rows], strict=True) if rows else repeat(())
        return {
            "time": [row.instant for row in rows],
            "status": [row.status for row in rows],
            **{column.title: list(cells) for column, cells in zip(self.columns, values, strict=False)},
        }


def is_status(captured: CaptureObject) -> bool:
    """Whether a column is the ION status word."""
    return (
        captured.class_id == DATA_CLASS
        and captured.logical_name == STATUS_WORD
        and captured.attribute_id == 2
    )


def is_clock(captured: CaptureObject) -> bool:
    """Whether a column is the time of a clock."""
    return captured.class_id == CLOCK_CLASS and captured.attribute_id == 2


def column_of(captured: CaptureObject, unit: str = "", scaler: int | None = None) -> Column:
    """Return the column of a capture object, with its ION name."""
    return Column(captured, name_of(captured.logical_name), unit, scaler)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the cells of a row are, and how they are read."""

    captured: tuple[CaptureObject, ...]  # one a cell
    columns: tuple[Column, ...]  # of those that are values, in the same order
    capture_period: int
    times: TimeRules
    nulls: Literal["keep", "repeat"]
    places: Places = field(init=False)
    numeric: tuple[bool, ...] = field(init=False)  # one a column of values

    def __post_init__(self) -> None:
        # Told once: thousands of meters have the same shape.
        object.__setattr__(self, "places", places_of(self.captured))
        object.__setattr__(self, "numeric", tuple([is_numeric(item.captured) for item in self.columns]))

    @property
    def has_status(self) -> bool:
        """Whether one of the cells is the status word."""
        return self.places.status is not None


def typed_profile(octets: bytes, shape: Shape, *, partial: bool = False) -> Profile:
    """Return the profile of an encoded buffer; see `codec.columns.decode_rows` for `partial`."""
    return profile_of([decode_table(octets, partial=partial)], shape, raw=octets)


def profile_of(tables: Sequence[Table], shape: Shape, notes: Sequence[str] = (), raw: bytes = b"") -> Profile:
    """Return the profile of buffers, one after the other; RemoteError if a row has other columns."""
    rows = ProfileRows(checked_tables(tables, shape), shape)
    notes = (*notes, *rows.notes)
    return Profile(shape.columns, rows, shape.capture_period, notes, raw, shape.has_status)


class Places(NamedTuple):
    """Which cell of a row is what."""

    clock: int | None
    status: int | None
    values: tuple[int, ...]


def places_of(captured: Sequence[CaptureObject]) -> Places:
    """Return where the first clock and the first status word stand; all the others are values."""
    clock = next((at for at, item in enumerate(captured) if is_clock(item)), None)
    status = next((at for at, item in enumerate(captured) if is_status(item)), None)
    return Places(clock, status, tuple([at for at in range(len(captured)) if at not in (clock, status)]))


def checked_tables(tables: Sequence[Table], shape: Shape) -> tuple[Table, ...]:
    """Return the buffers that have rows; RemoteError if these have other columns than those of the shape."""
    if len(tables) == 1 and len(tables[0]) and tables[0].width == len(shape.captured):
        return (tables[0],)  # as nearly always
    found = tuple([table for table in tables if len(table)])
    widths = {table.width for table in found}
    if len(widths) > 1:
        raise RemoteError("the rows of the buffer differ in width")
    if widths and widths != {len(shape.captured)}:
        raise RemoteError(f"the rows have {found[0].width} cells for {len(shape.captured)} columns")
    return found


def column_at(tables: Sequence[Table], at: int, shape: Shape) -> Cells:
    """Return a column of buffers, one after the other, null-data as the shape has it."""
    cells = _joined([table.column(at) for table in tables])
    repeats = shape.nulls == "repeat" and not is_clock(shape.captured[at])
    return _repeated(cells) if repeats and isinstance(cells, list) and None in cells else cells


def _joined(parts: Sequence[Cells]) -> Cells:
    if len(parts) == 1:
        return parts[0]
    codes = {part.typecode if isinstance(part, array) else None for part in parts}
    if len(codes) == 1 and (code := codes.pop()) is not None:
        joined: array[int] = array(code)
        for part in parts:
            joined.frombytes(part.tobytes())  # type: ignore[union-attr]  # all are arrays
        return joined
    return [cell for part in parts for cell in part]


class ProfileRows(Sequence[ProfileRow]):
    """The rows of a profile, each made when it is looked at, and not kept.

    A year gone through takes a fifth to a tenth of the memory of one kept, and less time: what is made in the
    place of what has just been thrown away is in the cache of the core. `list()` has them all at once.
    `notes` tells what was odd about their times. Equal to any sequence of equal rows.
    """

    __slots__ = ("_columns", "_count", "_made", "_shape", "_tables", "_times", "notes")

    def __init__(self, tables: Sequence[Table], shape: Shape) -> None:
        """Take tables that `checked_tables` gave."""
        self._tables = tables
        self._shape = shape
        self._count = sum(map(len, tables))
        self._times: Times | None = None
        self.notes: tuple[str, ...] = ()
        if shape.places.clock is not None and self._count:
            with uncollected():
                clock = column_at(tables, shape.places.clock, shape)
                times = self._times = times_of(clock, shape.times, shape.capture_period)
            self.notes = (*times_note(times.unknown), *order_note(times.back))
        self._columns: dict[int, Cells] = {}  # those that are not taken from the buffer as they are needed
        # The last that were looked at, two at most, the very last first, each with where it begins. It is
        # replaced and never changed, for several threads may look.
        self._made: tuple[tuple[int, list[ProfileRow]], ...] = ()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ProfileRow]:
        # No generator: a row would be handed on through it.
        return chain.from_iterable(map(partial(self._some, beside=0), range(0, self._count, _AT_ONCE)))

    def __reversed__(self) -> Iterator[ProfileRow]:
        for first in reversed(range(0, self._count, _AT_ONCE)):
            yield from reversed(self._some(first, beside=0))

    @overload
    def __getitem__(self, index: int) -> ProfileRow: ...

    @overload
    def __getitem__(self, index: slice) -> list[ProfileRow]: ...

    def __getitem__(self, index: int | slice) -> ProfileRow | list[ProfileRow]:
        places = range(self._count)[index]
        if isinstance(places, range):
            return [self[place] for place in places]
        # What was looked at before stays: both ends in turn, or rows a day apart, are made once.
        return self._some(places - places % _AT_ONCE, beside=1)[places % _AT_ONCE]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __repr__(self) -> str:
        return f"<{self._count} rows>"

    def __reduce__(self) -> tuple[type[list[ProfileRow]], tuple[list[ProfileRow]]]:
        """Be pickled, and copied deeply, as a list."""
        return list, (list(self),)

    def _some(self, first: int, *, beside: int) -> list[ProfileRow]:
        """Return rows from this one on, a multiple of `_AT_ONCE`; keep so many of the last beside them."""
        rows = self._looked_at(first)
        if rows is None:
            # The old ones go first: the new ones take their place.
            self._made = self._made[:beside]
            rows = self._make(first)
            self._made = ((first, rows), *self._made[:beside])
        return rows

    def _looked_at(self, first: int) -> list[ProfileRow] | None:
        made = self._made
        if made and made[0][0] == first:
            return made[0][1]
        if len(made) > 1 and made[1][0] == first:
            self._made = made[1], made[0]
            return made[1][1]
        return None

    def _make(self, first: int) -> list[ProfileRow]:
        shape = self._shape
        end = min(first + _AT_ONCE, self._count)
        some = slice(first, end)
        status, values = shape.places.status, shape.places.values
        with uncollected():
            words = repeat(None, end - first) if status is None else _status_words(self._cells(status, some))
            cells = [
                decimals(self._cells(at, some), described.scaler) if numeric else self._cells(at, some)
                for described, numeric, at in zip(shape.columns, shape.numeric, values, strict=True)
            ]
            times = self._times
            lines = zip(
                repeat(None, end - first) if times is None else times.instants[some],
                repeat(None, end - first) if times is None else times.clocks[some],
                words,
                zip(*cells, strict=True) if cells else repeat((), end - first),
                strict=True,
            )
            return list(map(tuple.__new__, repeat(ProfileRow), lines))

    def _cells(self, at: int, some: slice) -> Sequence[Any]:
        """Return some cells of a column: a tuple where they are integers of one buffer."""
        tables = self._tables
        if len(tables) == 1 and isinstance(tables[0], StridedTable):
            cells = tables[0].integers(at, some.start, some.stop)
            if cells is not None:
                return cells
        column = self._columns.get(at)
        if column is None:
            column = self._columns[at] = column_at(tables, at, self._shape)
        return column[some]


class _Statuses(dict[int, "StatusWord | None"]):
    """Status words by their integer; a year of rows has a handful of them."""

    def __missing__(self, word: int) -> StatusWord | None:
        if not 0 <= word < STATUS_INVALID:  # no other is a status word; and each would be kept for ever
            return None
        status = StatusWord(word)
        if len(self) < 0x400:
            self[word] = status
        return status


_statuses: Final = _Statuses()


def _status_words(words: Sequence[Any]) -> Iterable[StatusWord | None]:
    if not are_integers(words):  # a float that equals a word is none
        return [_statuses[word] if type(word) is int else None for word in words]
    if alike(words):
        return repeat(_statuses[words[0]], len(words))
    return map(_statuses.__getitem__, words)


def times_note(unknown: int) -> tuple[str, ...]:
    """Note rows whose time is not known."""
    return (f"{unknown} rows have a time that makes no instant; zone= may help",) if unknown else ()


def order_note(back: int) -> tuple[str, ...]:
    """Note rows whose time is not later than that of the row before: the clock was set back."""
    return (f"{back} rows are not later than the row before: the clock was set back",) if back else ()


def _repeated(cells: Sequence[Any]) -> list[Any]:
    filled: list[Any] = []
    last = None
    for cell in cells:
        last = last if cell is None else cell
        filled.append(last)
    return filled
