"""Date-times of one meter -> instants, a whole column at once.

Three things can be known of a date-time without looking at another: it has a deviation and is an instant; it
has none, and only the meter's zone makes it one; or it is none at all.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from iondlms.codec.datetimes import ClockStatus, DateTime
from iondlms.errors import DecodeError

__all__ = ["TimeRules", "instant_of", "instants_of"]

# Where the parts stand in the 12 octets; day of week and clock status say nothing that is needed.
_DATE_AND_DEVIATION: Final = (0, 1, 2, 3, 9, 10)
_TIME: Final = (5, 6, 7, 8)
_CACHED: Final = 10_000  # days, or times of day; a year at 900 s has 365 and 96


@dataclass(frozen=True, slots=True)
class TimeRules:
    """How the date-times of one meter are meant."""

    inverted: bool = False  # the deviation has the wrong sign
    zone: tzinfo | None = None  # of date-times without deviation


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
    if set(map(type, cells)) == {bytes} and set(map(len, cells)) == {12}:
        days = _Days(rules)
        octets = b"".join(cells)
        try:
            dates = map(days.__getitem__, _integers(octets, _DATE_AND_DEVIATION))
            times = map(_TIMES.__getitem__, _integers(octets, _TIME))
            return list(map(operator.add, dates, times)), 0
        except (DecodeError, OverflowError):
            pass  # one of them is no instant by itself
    instants: list[datetime | None] = []
    unknown = 0
    previous: datetime | None = None
    period = timedelta(seconds=capture_period)
    for cell in cells:
        instant: datetime | None = None
        if isinstance(cell, bytes) and len(cell) == 12:
            instant = instant_of(DateTime(cell), rules, previous)
        elif cell is None and previous is not None and period:
            instant = previous + period
        unknown += instant is None
        instants.append(instant)
        previous = instant
    return instants, unknown


def _integers(octets: bytes, places: tuple[int, ...]) -> tuple[int, ...]:
    """Return, of each 12 octets, those at `places` as one integer."""
    count = len(octets) // 12
    picked = bytearray(count * 8)
    for at, place in enumerate(places, 8 - len(places)):
        picked[at::8] = octets[place::12]
    return struct.unpack(f">{count}Q", picked)


def _spread(integer: int, places: tuple[int, ...], midnight: bytes) -> DateTime:
    """Return the date-time that has these octets at `places`, and `midnight`'s elsewhere."""
    octets = bytearray(midnight)
    for place, octet in zip(places, integer.to_bytes(len(places), "big"), strict=True):
        octets[place] = octet
    return DateTime(bytes(octets))


_MIDNIGHT: Final = bytes.fromhex("07D0 01 01 FF 00 00 00 00 0000 FF")  # of some day


class _Days(dict[int, datetime]):
    """UTC instant of local midnight, by the octets of date and deviation."""

    def __init__(self, rules: TimeRules) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, key: int) -> datetime:
        instant = _spread(key, _DATE_AND_DEVIATION, _MIDNIGHT).utc(reversed_sign=self._rules.inverted)
        if len(self) < _CACHED:
            self[key] = instant
        return instant


class _Times(dict[int, timedelta]):
    """Time since midnight, by the octets of hour, minute, second and hundredths."""

    def __missing__(self, key: int) -> timedelta:
        time = _spread(key, _TIME, _MIDNIGHT).local() - datetime(2000, 1, 1)
        if len(self) < _CACHED:
            self[key] = time
        return time


_TIMES: Final = _Times()
