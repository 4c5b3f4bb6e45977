"""What a meter tells of itself: its objects with their rights, and its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from iondlms.client.instants import TimeRules, instant_of
from iondlms.client.names import name_of
from iondlms.codec.axdr import Data
from iondlms.codec.datetimes import ClockStatus, DateTime
from iondlms.codec.obis import ObisCode
from iondlms.errors import DecodeError

__all__ = ["ClockReading", "ClockSetting", "ClockStep", "MeterObject"]

_READ = 1
_WRITE = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class MeterObject:
    """An element of the object list, with the access modes this association has."""

    class_id: int
    version: int
    logical_name: ObisCode
    attributes: Mapping[int, int]  # attribute -> access mode: 0 none, 1 read, 2 write, 3 both
    methods: Mapping[int, int]  # method -> access mode
    selectors: Mapping[int, tuple[int, ...]]  # attribute -> selectors, of those that have some

    @property
    def name(self) -> str | None:
        """The ION name, None if it has none."""
        return name_of(self.logical_name)

    def readable(self, attribute: int) -> bool:
        """Whether GET of the attribute is allowed."""
        return bool(self.attributes.get(attribute, 0) & _READ)

    def writable(self, attribute: int) -> bool:
        """Whether SET of the attribute is allowed."""
        return bool(self.attributes.get(attribute, 0) & _WRITE)

    @classmethod
    def of(cls, element: Data) -> MeterObject:
        """Read an object_list_element; DecodeError if it is none. 62056-62 5.9."""
        parts = element.items()
        if len(parts) != 4:
            raise DecodeError(f"an element of the object list has 4 parts, not {len(parts)}")
        class_id, version, name, rights = parts
        both = rights.items()
        if len(both) != 2:
            raise DecodeError(f"access rights have 2 parts, not {len(both)}")
        attributes: dict[int, int] = {}
        selectors: dict[int, tuple[int, ...]] = {}
        for item in both[0].items():
            attribute, mode, *rest = item.items() or (item,)
            attributes[attribute.integer()] = mode.integer()
            if rest and rest[0].value is not None:
                selectors[attribute.integer()] = tuple([part.integer() for part in rest[0].items()])
        methods: dict[int, int] = {}
        for item in both[1].items():
            method, mode, *_ = item.items()
            # An enum by the book; a boolean in lists of the first edition.
            methods[method.integer()] = int(mode.value) if isinstance(mode.value, bool) else mode.integer()
        return cls(
            class_id.integer(), version.integer(), ObisCode(name.octets()), attributes, methods, selectors
        )


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The meter's time: the UTC instant (None where it cannot be known), and the date-time as sent."""

    instant: datetime | None
    local: DateTime

    @classmethod
    def of(cls, time: DateTime, rules: TimeRules) -> ClockReading:
        """Return the reading of a date-time."""
        return cls(instant_of(time, rules), time)

    @property
    def deviation(self) -> int | None:
        """Minutes from local time to UTC as sent; None where not specified."""
        return self.local.deviation

    @property
    def status(self) -> ClockStatus | None:
        """The clock status; None where not specified."""
        return self.local.status

    def suggests_inverted(self, now: datetime, tolerance: timedelta = timedelta(minutes=5)) -> bool:
        """Whether the time is right only if the deviation is read with the opposite sign.

        `now` is an aware time to compare with. True is a hint to try `inverted=1`.
        """
        if self.instant is None or not self.deviation:
            return False
        other = [instant_of(self.local, TimeRules(inverted)) for inverted in (False, True)]
        apart = [instant for instant in other if instant is not None and instant != self.instant]
        return abs(self.instant - now) > tolerance and any(abs(item - now) <= tolerance for item in apart)


@dataclass(frozen=True, slots=True)
class ClockStep:
    """What a SET of the clock would do: from the meter's time to another, and what that does to its rows.

    `time_zone` is minutes from the meter's standard time to UTC, `period` that of the load profile; each None
    where it could not be read. 0 is the period of a recorder that no Periodic Timer drives.
    """

    before: ClockReading
    wanted: datetime
    period: timedelta | None
    time_zone: int | None

    @property
    def length(self) -> timedelta | None:
        """How far the clock goes, negative for back; None where the meter's instant is not known."""
        return None if self.before.instant is None else self.wanted - self.before.instant

    @property
    def touched(self) -> range | None:
        """The ends of intervals, in seconds of UTC since 1970, that the step jumps over or brings again.

        They stand at whole periods from midnight in standard time. A step forward onto or over one leaves it
        without a row; a step back over one makes its row a second time. None where that cannot be told.
        """
        instant = self.before.instant
        if instant is None or self.period is None or self.time_zone is None:
            return None
        period = round(self.period.total_seconds())
        if not period:
            return range(0)
        low, high = sorted((instant, self.wanted))
        shift = -self.time_zone * 60
        first = ((low - _EPOCH) // _SECOND + shift) // period + 1
        end = ((high - _EPOCH) // _SECOND + shift) // period + 1
        return range(first * period - shift, end * period - shift, period)


@dataclass(frozen=True, slots=True)
class ClockSetting:
    """What a SET of the clock sent, or would send; the time before it, and after it where it was sent."""

    sent: DateTime
    before: ClockReading
    after: ClockReading | None
