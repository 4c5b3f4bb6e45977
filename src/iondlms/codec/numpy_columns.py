"""The columns of a buffer as NumPy arrays: a view each, turned to the machine's order in one pass.

The only module that knows NumPy, which is an extra: nothing else imports this one but to give arrays to a
program that asked for them.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from iondlms.codec.columns import StridedTable, Table
from iondlms.codec.instants import days_ms
from iondlms.codec.octets import Octets
from iondlms.codec.plan import Cells
from iondlms.errors import DecodeError

__all__ = ["Instants", "column", "instants"]

Instants: TypeAlias = "NDArray[np.datetime64]"

_EXACT: Final = 1 << 53  # integers up to here are what they are as float64 as well
_MINUTE_MS: Final = 60_000
# Milliseconds by the two octets of hour and minute, and by those of second and hundredths; NONE where they
# are none. Two look-ups a row instead of a dozen passes over the column.
_NONE: Final = 1 << 40


def _hours_and_minutes() -> NDArray[np.int64]:
    table = np.full((256, 256), _NONE, np.int64)
    table[:24, :60] = (np.arange(24)[:, None] * 60 + np.arange(60)) * _MINUTE_MS
    return table.ravel()


def _seconds_and_hundredths() -> NDArray[np.int64]:
    table = np.full((256, 256), _NONE, np.int64)
    table[:60, :100] = np.arange(60)[:, None] * 1000 + np.arange(100) * 10
    table[:60, 0xFF] = np.arange(60) * 1000  # hundredths that are not specified count as 0
    return table.ravel()


_HOURS_AND_MINUTES: Final = _hours_and_minutes()
_SECONDS_AND_HUNDREDTHS: Final = _seconds_and_hundredths()


def column(table: Table, at: int) -> NDArray[Any]:
    """Return a column: numbers in their own width, octet-strings as bytes objects.

    Numbers with null-data among them are float64 with NaN, if that tells them exactly; cells of any other
    kind are objects.
    """
    if isinstance(table, StridedTable):
        field = table.fields[at]
        if field.code:
            sent, kept = _kinds(field.code)
            strides = (table.shape.stride,)
            view: NDArray[Any] = np.ndarray(
                (len(table),), sent, table.octets, table.start + field.offset, strides
            )
            return view.astype(kept)
    return of_cells(table.column(at))


@cache
def _kinds(code: str) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return the types of a number as it is sent and as the machine has it; there are ten codes."""
    kind = np.dtype(code)
    return kind.newbyteorder(">"), kind.newbyteorder("=")


def of_cells(cells: Cells) -> NDArray[Any]:
    """Return cells as an array, as `column` does."""
    if isinstance(cells, (list, Octets)):
        listed = cells.tolist() if isinstance(cells, Octets) else cells
        kinds = set(map(type, listed))
        if kinds <= {int} and all(-(1 << 63) <= cell < 1 << 63 for cell in listed):  # type: ignore[operator]
            return np.array(listed, np.int64)
        exact = kinds <= {int, float, type(None)} and all(
            abs(cell) <= _EXACT for cell in listed if isinstance(cell, int)
        )
        if listed and exact and kinds != {type(None)}:
            return np.array([np.nan if cell is None else cell for cell in listed], np.float64)
        objects = np.empty(len(listed), object)
        objects[:] = listed
        return objects
    return np.array(cells)


def instants(times: Octets, *, reversed_sign: bool = False) -> Instants:
    """Return the UTC instants of date-times as datetime64[ms]; the same as `utc_milliseconds`.

    DecodeError where that raises it.
    """
    if times.width != 12:
        raise DecodeError(f"a date-time has 12 octets, not {times.width}")
    if not len(times):
        return np.empty(0, "datetime64[ms]")

    def view(kind: str, place: int) -> NDArray[Any]:
        return np.ndarray((len(times),), kind, times.data, times.start + place, (times.stride,))

    # Many rows have one date and one deviation: those are worked out where they change.
    keys = view(">u4", 0).astype(np.uint64)  # year, month, day
    keys <<= 16
    keys |= view(">u2", 9)
    changed = np.empty(len(times), bool)
    changed[0] = True
    np.not_equal(keys[1:], keys[:-1], out=changed[1:])
    begins = np.flatnonzero(changed)
    midnights = list(days_ms(keys[begins].tolist(), reversed_sign=reversed_sign))
    lengths = np.empty_like(begins)
    lengths[:-1] = begins[1:]
    lengths[-1] = len(times)
    lengths -= begins
    milliseconds = np.repeat(np.array(midnights, np.int64), lengths)
    times_of_day = _HOURS_AND_MINUTES.take(view(">u2", 5).astype(np.uint16))
    times_of_day += _SECONDS_AND_HUNDREDTHS.take(view(">u2", 7).astype(np.uint16))
    if int(times_of_day.max()) >= _NONE:
        raise DecodeError("a date-time has an hour, minute, second or hundredths that are none")
    milliseconds += times_of_day
    return milliseconds.view("datetime64[ms]")
