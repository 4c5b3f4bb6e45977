"""Whole columns of date-times <-> milliseconds, the same as `DateTime` tells one by one.

Days and times of day come again and again: a year of 15 minutes has 365 of the ones and 96 of the others, and
ten thousand meters have the same. Each is worked out once; a row is then two look-ups and a sum.
"""

from __future__ import annotations

import operator
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar

from iondlms.codec.datetimes import EPOCH, DateTime, milliseconds_of
from iondlms.codec.octets import Octets
from iondlms.errors import DecodeError

__all__ = [
    "DATE_AND_DEVIATION",
    "TIME",
    "UNKNOWN",
    "date_times",
    "days_ms",
    "even_date_times",
    "local_octets",
    "step_of",
    "utc_instants",
    "utc_milliseconds",
]

UNKNOWN: Final = -(1 << 63)  # stands for an instant that is not known; NumPy's "not a time" is the same

# Where the parts stand in the 12 octets; day of week and clock status say nothing that is needed.
DATE_AND_DEVIATION: Final = (0, 1, 2, 3, 9, 10)
TIME: Final = (5, 6, 7, 8)
_CACHED: Final = 10_000  # days, or times of day
_MIDNIGHT: Final = bytes.fromhex("07D0 01 01 FF 00 00 00 00 0000 FF")  # of some day
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 86_400_000
# A time of day may be added to midnights between these two, and no sum need be checked.
_FIRST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)


_Key = TypeVar("_Key")
_Found = TypeVar("_Found")


class _Remembered(dict[_Key, _Found]):
    """Remembers what `find` found, for as many as `_CACHED` keys; then it begins anew.

    It must not stop instead: one meter with strange times would spoil it for all that come after.
    """

    def __init__(self, find: Callable[[_Key], _Found]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: _Key) -> _Found:
        found = self._find(key)
        if len(self) >= _CACHED:
            self.clear()
        self[key] = found
        return found


def _spread(integer: int, places: Sequence[int]) -> DateTime:
    """Return midnight of some day, with these octets at `places`."""
    octets = bytearray(_MIDNIGHT)
    for place, octet in zip(places, integer.to_bytes(len(places), "big"), strict=True):
        octets[place] = octet
    return DateTime(bytes(octets))


def _day(key: int, *, reversed_sign: bool = False) -> datetime:
    midnight = _spread(key, DATE_AND_DEVIATION).utc(reversed_sign=reversed_sign)
    if not _FIRST <= midnight <= _LAST:
        raise DecodeError(f"{midnight} is at the edge of the calendar")
    return midnight


def _day_reversed(key: int) -> datetime:
    return _day(key, reversed_sign=True)


def _day_ms(key: int) -> int:
    return milliseconds_of(_day(key))


def _day_reversed_ms(key: int) -> int:
    return milliseconds_of(_day_reversed(key))


def _time(key: int) -> timedelta:
    return _spread(key, TIME).local() - datetime(2000, 1, 1)


def _time_ms(key: int) -> int:
    return _time(key) // _MILLISECOND


def _date_octets(day: int) -> bytes:
    date = EPOCH + timedelta(days=day)
    return date.year.to_bytes(2, "big") + bytes((date.month, date.day, date.isoweekday()))


def _time_octets(milliseconds: int) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    return bytes((*divmod(minutes, 60), second, rest // 10))


# By the octets at DATE_AND_DEVIATION: the UTC instant of local midnight, as datetimes and in milliseconds,
# for the deviation as it should be and with its sign reversed; and the time since midnight by those at TIME.
# DecodeError for a key that is none.
_DAYS: Final = {False: _Remembered(_day), True: _Remembered(_day_reversed)}
_DAYS_MS: Final = {False: _Remembered(_day_ms), True: _Remembered(_day_reversed_ms)}
_TIMES: Final = _Remembered(_time)
_TIMES_MS: Final = _Remembered(_time_ms)
# By days since 1970, and by milliseconds since midnight.
_DATE_OCTETS: Final = _Remembered(_date_octets)
_TIME_OCTETS: Final = _Remembered(_time_octets)


def days_ms(keys: Sequence[int], *, reversed_sign: bool) -> Iterator[int]:
    """Yield the UTC milliseconds of local midnight, by the octets at DATE_AND_DEVIATION."""
    return map(_DAYS_MS[reversed_sign].__getitem__, keys)


def utc_milliseconds(times: Octets, *, reversed_sign: bool = False) -> array[int]:
    """Return the UTC milliseconds since 1970 of date-times, exactly: they tell hundredths.

    DecodeError if one of them is no instant by itself, or is of the first or the last days of the calendar.
    """
    _check_width(times)
    days = days_ms(times.integers(DATE_AND_DEVIATION), reversed_sign=reversed_sign)
    instants = array("q")
    # Not array("q", ...), which takes twice the time for numbers that come one by one.
    sums = map(operator.add, days, map(_TIMES_MS.__getitem__, times.integers(TIME)))
    instants.frombytes(struct.pack(f"{len(times)}q", *sums))
    return instants


def utc_instants(times: Octets, *, reversed_sign: bool = False) -> list[datetime]:
    """Return the same as aware datetimes."""
    _check_width(times)
    days = map(_DAYS[reversed_sign].__getitem__, times.integers(DATE_AND_DEVIATION))
    return list(map(operator.add, days, map(_TIMES.__getitem__, times.integers(TIME))))


def local_octets(local_ms: int) -> bytes:
    """Return year to hundredths, the first 9 of the 12 octets, of a local time in milliseconds since 1970."""
    day, time = divmod(local_ms, _DAY_MS)
    return _DATE_OCTETS[day] + _TIME_OCTETS[time]


def date_times(local_ms: list[int], tail: bytes) -> Octets:
    """Return the date-times of local times that have the last 3 octets, deviation and status, in common.

    Quickest where they ascend.
    """
    parts: list[bytes] = []
    first = 0
    ascend = local_ms == sorted(local_ms)
    while first < len(local_ms):
        day = local_ms[first] // _DAY_MS
        midnight = day * _DAY_MS
        end = bisect_left(local_ms, midnight + _DAY_MS, first) if ascend else first + 1
        date = _DATE_OCTETS[day]
        times = map(_TIME_OCTETS.__getitem__, map((-midnight).__add__, local_ms[first:end]))
        # Of one day the times alone differ: what stands between two of them is always the same.
        parts += (date, (tail + date).join(times), tail)
        first = end
    return Octets(b"".join(parts), 12)


def step_of(column: bytes) -> int:
    """Return how far apart the instants of a column are (8 octets, lowest first); 0 where not all alike.

    Found out by one subtraction of the whole column from itself, an instant further: in C, and a third of the
    time of looking at each. As unsigned and of 56 bits no difference borrows from the next.
    """
    count = len(column) // 8
    if count < 3 or column[7::8].strip(b"\0"):
        return 0
    step = int.from_bytes(column[8:16], "little") - int.from_bytes(column[:8], "little")
    if step <= 0:
        return 0
    apart = int.from_bytes(column[8:], "little") - int.from_bytes(column[:-8], "little")
    return step if apart == int.from_bytes(step.to_bytes(8, "little") * (count - 1), "little") else 0


def even_date_times(local_ms: int, step_ms: int, count: int, tail: bytes) -> Octets:
    """Return what `date_times` does of so many local times, the first of them and how far apart they are."""
    parts: list[bytes] = []
    while count:
        day, time = divmod(local_ms, _DAY_MS)
        here = min(count, (_DAY_MS - 1 - time) // step_ms + 1)
        date = _DATE_OCTETS[day]
        parts += (date, (tail + date).join(_even_times(time, step_ms, here)), tail)
        local_ms += here * step_ms
        count -= here
    return Octets(b"".join(parts), 12)


# Of one day after the other they are the same, of each recorder of each meter.
@lru_cache(64)
def _even_times(time: int, step_ms: int, count: int) -> tuple[bytes, ...]:
    return tuple(map(_TIME_OCTETS.__getitem__, range(time, time + count * step_ms, step_ms)))


def _check_width(times: Octets) -> None:
    if times.width != 12:
        raise DecodeError(f"a date-time has 12 octets, not {times.width}")
