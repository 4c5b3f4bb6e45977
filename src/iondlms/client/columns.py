"""A profile by column: instants in milliseconds, integers as sent with the scaler that goes with them.

A tenth of the time and of the memory of typed rows, for programs that store or sum up: an array goes into
NumPy, pandas, polars or a database driver as it is. With the `fast` extra, `numpy()` is faster again.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from iondlms.client.instants import date_times, milliseconds_of_all, steps_back
from iondlms.client.profile import (
    Column,
    Profile,
    Shape,
    checked_tables,
    column_at,
    order_note,
    profile_of,
    times_note,
)
from iondlms.client.scales import decimals
from iondlms.codec.columns import Cells, ListedTable, StridedTable, Table
from iondlms.codec.datetimes import EPOCH, milliseconds_of
from iondlms.codec.instants import UNKNOWN
from iondlms.errors import DecodeError, LocalError, extra_hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ProfileColumns"]

_MILLISECOND: Final = timedelta(milliseconds=1)


class ProfileColumns:
    """Rows of a profile by column, in the order of the buffer; each column is made when it is asked for.

    `columns` tells of the `values`. `raw` is the encoded buffer; where the profile was read in pieces, the
    first piece.
    """

    def __init__(
        self, tables: Sequence[Table], shape: Shape, notes: tuple[str, ...] = (), raw: bytes = b""
    ) -> None:
        """Take the rows of one or more buffers; RemoteError if a row has other columns than the shape."""
        self.columns: tuple[Column, ...] = shape.columns
        self.capture_period = shape.capture_period  # s; 0 where no timer drives the recorder
        self.raw = raw
        self._tables = checked_tables(tables, shape)
        self._shape = shape
        self._places = shape.places
        self._notes = notes
        self._count = sum(map(len, self._tables))

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        kept = [] if self._places.status is None else ["status"]
        names = ", ".join(["time", *kept, *[column.title for column in self.columns]])
        return f"<ProfileColumns: {self._count} rows of {names}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProfileColumns):
            return NotImplemented
        own = (self.columns, self.instants, self.status, self.values)
        return own == (other.columns, other.instants, other.status, other.values)

    __hash__ = None  # type: ignore[assignment]  # its arrays have none

    @cached_property
    def instants(self) -> array[int]:
        """UTC milliseconds since 1970 of each row; -2**63 where it cannot be known."""
        if self._places.clock is None:
            return array("q", [UNKNOWN]) * self._count
        return milliseconds_of_all(self._cells(self._places.clock), self._shape.times, self.capture_period)

    @cached_property
    def status(self) -> Cells | None:
        """The status words as sent, 0xFFFF where one is not valid; None where there is no such column."""
        return None if self._places.status is None else self._cells(self._places.status)

    @cached_property
    def values(self) -> tuple[Cells, ...]:
        """The cells of each value column: an array of the integers as sent, a list if one cell is none."""
        return tuple(map(self._cells, self._places.values))

    def decimals(self, at: int) -> list[Any]:
        """Return a value column with its integers as exact Decimals, scaled where the scaler is known."""
        return list(decimals(self.values[at], self.columns[at].scaler))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd about the reading, and about its times."""
        if self._places.clock is None:
            return self._notes
        unknown = self.instants.count(UNKNOWN)
        known = array("q", [at for at in self.instants if at != UNKNOWN]) if unknown else self.instants
        return (*self._notes, *times_note(unknown), *order_note(steps_back(known)))

    def profile(self) -> Profile:
        """Return the same as typed rows."""
        return profile_of(self._tables, self._shape, self._notes, self.raw)

    def numpy(self) -> dict[str, NDArray[Any]]:
        """Return an array a column: `time` (UTC, datetime64[ms]), `status` if there is one, values by title.

        Integers are as sent; null-data among them makes the column float64 with NaN. LocalError where NumPy
        is not installed.
        """
        try:
            from iondlms.codec import numpy_columns
        except ImportError as error:
            raise LocalError(f"NumPy is not installed: {extra_hint('fast')}") from error

        def column(at: int) -> NDArray[Any]:
            if len(self._tables) == 1 and isinstance(self._tables[0], StridedTable):
                return numpy_columns.column(self._tables[0], at)
            return numpy_columns.of_cells(self._cells(at))

        arrays: dict[str, NDArray[Any]] = {}
        times = None if self._places.clock is None else date_times(self._cells(self._places.clock))
        if times is not None and "instants" not in self.__dict__:
            with suppress(DecodeError):  # one of them is no instant by itself
                arrays["time"] = numpy_columns.instants(times, reversed_sign=self._shape.times.inverted)
        if not arrays:
            arrays["time"] = numpy_columns.of_cells(self.instants).view("datetime64[ms]")
        if self._places.status is not None:
            arrays["status"] = column(self._places.status)
        for described, at in zip(self.columns, self._places.values, strict=True):
            arrays[described.title] = column(at)
        return arrays

    def between(self, start: datetime | None, end: datetime | None) -> ProfileColumns:
        """Return the rows with `start <= instant <= end`, aware datetimes, None where it is open.

        A row whose instant is not known is not among them.
        """
        first = UNKNOWN + 1 if start is None else -(-(start - EPOCH) // _MILLISECOND)  # rounded up
        last = (1 << 63) - 1 if end is None else milliseconds_of(end)
        inside = [first <= instant <= last for instant in self.instants]
        rows = list(compress([row for table in self._tables for row in table.rows()], inside))
        found = ProfileColumns([ListedTable(rows)], self._shape, self._notes, self.raw)
        # Not worked out anew: a row with null-data for a time had it from the row before, which may be gone.
        found.instants = array("q", compress(self.instants, inside))
        return found

    def _cells(self, at: int) -> Cells:
        return column_at(self._tables, at, self._shape)
