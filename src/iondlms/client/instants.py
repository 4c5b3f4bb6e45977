"""Date-times of one meter -> instants, a whole column at once.

Three things can be known of a date-time without looking at another: it has a deviation and is an instant; it
has none, and only the meter's zone makes it one; or it is none at all.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from iondlms.codec.datetimes import ClockStatus, DateTime, milliseconds_of
from iondlms.codec.instants import UNKNOWN, utc_instants, utc_milliseconds
from iondlms.codec.octets import Octets
from iondlms.errors import DecodeError

__all__ = [
    "TimeRules",
    "Times",
    "date_times",
    "instant_of",
    "instants_of",
    "milliseconds_of_all",
    "steps_back",
    "times_of",
]

_DAYS_KEPT: Final = 64
_DAY: Final = 192 * 12  # octets: a day of quarter hours, and the same again. More are not worth keeping


@dataclass(frozen=True, slots=True, eq=False)
class TimeRules:
    """How the date-times of one meter are meant; equal only with the very same zone."""

    inverted: bool = False  # the deviation has the wrong sign
    zone: tzinfo | None = None  # of date-times without deviation

    # What was read by these rules is remembered, and there are zones that have no hash.
    def __hash__(self) -> int:
        return hash((self.inverted, id(self.zone)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeRules):
            return NotImplemented
        return self.inverted is other.inverted and self.zone is other.zone


def instant_of(time: DateTime, rules: TimeRules, previous: datetime | None = None) -> datetime | None:
    """Return the UTC instant, None where it cannot be known.

    In the hour that comes twice, a date-time without deviation is the first where the clock status says
    daylight saving, or, with no status, unless that were not after `previous`.
    """
    try:
        if time.deviation is not None:
            return time.utc(reversed_sign=rules.inverted)
        local = time.local()
    except DecodeError:
        return None
    if rules.zone is None:
        return None
    try:
        first, second = (local.replace(tzinfo=rules.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        return None
    # Where clocks leap forward fold=1 is the earlier one; no row should have such a local time.
    if second <= first:
        return first
    if time.status is not None:
        return first if ClockStatus.DAYLIGHT_SAVING in time.status else second
    return second if previous is not None and first <= previous else first


def instants_of(
    cells: Sequence[Any], rules: TimeRules, capture_period: int
) -> tuple[Sequence[datetime | None], int]:
    """Return an instant a cell, and how many are not known.

    A cell of null-data is one capture period after the one before, where there is a period (s); None
    otherwise.
    """
    times = date_times(cells)
    if times is not None:
        try:
            return utc_instants(times, reversed_sign=rules.inverted), 0
        except DecodeError:
            pass  # one of them is no instant by itself
    instants: list[datetime | None] = []
    unknown = 0
    previous: datetime | None = None
    for cell in cells:
        instant: datetime | None = None
        if isinstance(cell, bytes) and len(cell) == 12:
            instant = instant_of(DateTime(cell), rules, previous)
        elif cell is None and previous is not None and capture_period:
            instant = _later(previous, capture_period)
        unknown += instant is None
        instants.append(instant)
        previous = instant
    return instants, unknown


class Times(NamedTuple):
    """A column of a clock, read."""

    instants: Sequence[datetime | None]
    clocks: Sequence[bytes | None]  # the 12 octets as sent; None where they were not
    unknown: int  # how many instants are not known
    back: int  # how many of the known ones are not later than the one before


def times_of(cells: Sequence[Any], rules: TimeRules, capture_period: int) -> Times:
    """Return what a column of a clock says; of null-data as `instants_of` has it."""
    if isinstance(cells, Octets) and cells.width == 12 and len(cells) * 12 <= _DAY:
        return _of_a_day(cells.turned(), rules, capture_period)
    return _times(cells, rules, capture_period)


def _times(cells: Sequence[Any], rules: TimeRules, capture_period: int) -> Times:
    instants, unknown = instants_of(cells, rules, capture_period)
    times = date_times(cells)
    clocks: Sequence[bytes | None] = [_clock(cell) for cell in cells] if times is None else times
    # Not told by looking for None, which takes as long as to make an instant.
    known: Sequence[Any] = [instant for instant in instants if instant is not None] if unknown else instants
    return Times(instants, clocks, unknown, steps_back(known))


def steps_back(instants: Sequence[Any]) -> int:
    """Return how many are not later than the one before."""
    return sum(map(operator.ge, instants, islice(instants, 1, None)))


@lru_cache(_DAYS_KEPT)
def _of_a_day(turned: bytes, rules: TimeRules, capture_period: int) -> Times:
    """Do the same for a column that thousands of meters have alike: all that is read off it is shared."""
    found = _times(Octets.of_turned(turned, 12), rules, capture_period)
    return found._replace(instants=tuple(found.instants), clocks=tuple(found.clocks))


def _clock(cell: object) -> bytes | None:
    return cell if isinstance(cell, bytes) and len(cell) == 12 else None


def _later(instant: datetime, seconds: int) -> datetime | None:
    try:
        return instant + timedelta(seconds=seconds)
    except OverflowError:  # behind the end of the year 9999, or of what a timedelta holds
        return None


def milliseconds_of_all(cells: Sequence[Any], rules: TimeRules, capture_period: int) -> array[int]:
    """Return the same as UTC milliseconds since 1970, UNKNOWN where an instant is not known."""
    if isinstance(cells, Octets) and cells.width == 12 and len(cells) * 12 <= _DAY:
        return _milliseconds_of_a_day(cells.turned(), rules, capture_period)[:]  # an array of one's own
    return _milliseconds(cells, rules, capture_period)


@lru_cache(_DAYS_KEPT)
def _milliseconds_of_a_day(turned: bytes, rules: TimeRules, capture_period: int) -> array[int]:
    return _milliseconds(Octets.of_turned(turned, 12), rules, capture_period)


def _milliseconds(cells: Sequence[Any], rules: TimeRules, capture_period: int) -> array[int]:
    times = date_times(cells)
    if times is not None:
        try:
            return utc_milliseconds(times, reversed_sign=rules.inverted)
        except DecodeError:
            pass
    instants, _ = instants_of(cells, rules, capture_period)
    return array("q", [UNKNOWN if instant is None else milliseconds_of(instant) for instant in instants])


def date_times(cells: Sequence[Any]) -> Octets | None:
    """Return a column of which each cell is a date-time; None if one is not."""
    if isinstance(cells, Octets):
        return cells if cells.width == 12 else None
    if set(map(type, cells)) == {bytes} and set(map(len, cells)) == {12}:
        return Octets(b"".join(cells), 12)
    return None
