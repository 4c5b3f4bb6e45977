"""The Clock module: the meter's UTC, its time zone and daylight saving, and the steps it was made to take.

UTC is an integer of milliseconds since 1970; local time is written the same way, as if it were UTC.
`now` is the host's monotonic clock in seconds, passed in.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from iondlms.errors import LocalError

__all__ = ["CALENDAR_MS", "MAX_DST_PAIRS", "Clock", "ClockSetup", "known_zone", "setup_from_zone"]

MAX_DST_PAIRS: Final = 20
# The years 2 to 9998 in UTC milliseconds: of these a date can be made in every zone.
CALENDAR_MS: Final = range(-62_104_060_800_000, 253_370_764_800_000)
_MINUTE_MS: Final = 60_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClockSetup:
    """The setup registers of the Clock module; LocalError for a value out of its range."""

    tz_offset_min: int = 0  # minutes ahead of UTC in standard time
    dst_offset_min: int = 0  # added while DST is active; 0 switches DST off
    dst_pairs: tuple[tuple[int, int], ...] = ()  # (start, end) in UTC milliseconds
    time_sync_source: str = "ETHERNET"  # the one port whose clients may set the time
    time_sync_type: Literal["UTC", "LOCAL"] = "UTC"  # what a time without a deviation is
    event_threshold_ms: int = 1000  # a step above this sets the status bit
    # What makes the meter's second: its crystal, the mains' frequency, or who sets the time. Here it is
    # always the host's clock that counts, so this is what the meter says of itself (COSEM's clock base).
    clock_source: Literal["INTERNAL", "LINE FREQ", "COMM"] = "INTERNAL"
    # Whether the time is known to be right when the meter starts; otherwise only once it was set.
    trusted: bool = True

    def __post_init__(self) -> None:
        if not -720 <= self.tz_offset_min <= 840:
            raise LocalError(f"a TZ offset of {self.tz_offset_min} min is not within -12:00 to +14:00")
        if not -180 <= self.dst_offset_min <= 180:
            raise LocalError(f"a DST offset of {self.dst_offset_min} min is not within -3:00 to +3:00")
        if len(self.dst_pairs) > MAX_DST_PAIRS:
            raise LocalError(f"{len(self.dst_pairs)} DST pairs; the Clock module has {MAX_DST_PAIRS}")
        instants = [instant for pair in self.dst_pairs for instant in pair]
        if any(later <= earlier for earlier, later in pairwise(instants)):
            raise LocalError(
                "DST pairs must be in order: each start before its end, each end before the next start"
            )
        if self.clock_source not in ("INTERNAL", "LINE FREQ", "COMM"):
            raise LocalError(
                f"no Clock Source is called {self.clock_source!r}; there are INTERNAL, LINE FREQ and COMM"
            )
        if self.event_threshold_ms < 0:
            raise LocalError(f"an event threshold of {self.event_threshold_ms} ms is negative")


class Clock:
    """The running clock, made by `set` or started by the meter."""

    __slots__ = ("_base_ms", "_base_now", "_switches", "setup", "steps", "valid")

    def __init__(self, setup: ClockSetup | None = None) -> None:
        self.change(ClockSetup() if setup is None else setup)
        self.valid = False  # "the time is known to be right"; true once the clock was started or set
        self.steps = 0  # how often it was set
        self._base_ms = 0
        self._base_now = 0.0

    def change(self, setup: ClockSetup) -> None:
        """Take other settings; the time runs on."""
        self.setup = setup
        # Starts and ends in one ascending list: an odd count of those passed is DST.
        self._switches = _switches(setup.dst_pairs) if setup.dst_offset_min else ()

    @property
    def tz_offset_min(self) -> int:
        """Minutes that standard time is ahead of UTC."""
        return self.setup.tz_offset_min

    def start(self, utc_ms: int, now: float, *, valid: bool = True) -> None:
        """Let the clock run from `utc_ms` at `now`; no step is counted."""
        self._base_ms, self._base_now = utc_ms, now
        self.valid = valid

    def utc_ms(self, now: float) -> int:
        """Return the meter's UTC at `now`."""
        # Rounded, not cut: at the deadline of an instant the clock must show that instant.
        return self._base_ms + round((now - self._base_now) * 1000)

    def now_at(self, utc_ms: int) -> float:
        """Return the `now` at which the clock will show the instant, if nobody steps it."""
        return self._base_now + (utc_ms - self._base_ms) / 1000

    def step(self, utc_ms: int, now: float) -> int:
        """Set the time; return the step in milliseconds, positive forward."""
        step_ms = utc_ms - self.utc_ms(now)
        self.start(utc_ms, now)
        self.steps += 1
        return step_ms

    def noticed(self, step_ms: int) -> bool:
        """Return whether a step is above the event threshold."""
        return abs(step_ms) > self.setup.event_threshold_ms

    def accepts(self, port: str) -> bool:
        """Return whether the port is the Time Sync Source."""
        return port.upper() == self.setup.time_sync_source.upper()

    def dst_active(self, utc_ms: int) -> bool:
        """Return whether daylight saving is in force at the instant."""
        return bisect_right(self._switches, utc_ms) % 2 == 1

    def next_dst_switch(self, utc_ms: int) -> int | None:
        """Return the first DST start or end strictly after the instant, None after the last."""
        index = bisect_right(self._switches, utc_ms)
        return self._switches[index] if index < len(self._switches) else None

    def dst_switches(self, year: int) -> tuple[int | None, int | None]:
        """Return DST's start and end that fall in the local calendar year, in UTC; None where there is none.

        South of the equator the end comes first, and belongs to the pair of the year before.
        """
        found: list[int | None] = [None, None]
        for index, instant in enumerate(self._switches):
            standard = _EPOCH + timedelta(milliseconds=instant + self.setup.tz_offset_min * _MINUTE_MS)
            if standard.year == year and found[index % 2] is None:
                found[index % 2] = instant
        return found[0], found[1]

    def offset_min(self, utc_ms: int) -> int:
        """Return the minutes that local time is ahead of UTC at the instant."""
        dst = self.setup.dst_offset_min if self.dst_active(utc_ms) else 0
        return self.setup.tz_offset_min + dst

    def local_ms(self, utc_ms: int) -> int:
        """Return local time at the instant."""
        return utc_ms + self.offset_min(utc_ms) * _MINUTE_MS

    def utc_from_local(self, local_ms: int) -> int:
        """Return the instant of a local time.

        Of the hour that comes twice when DST ends, the first; of the hour that DST skips, what a clock
        left on standard time would show.
        """
        standard = local_ms - self.setup.tz_offset_min * _MINUTE_MS
        daylight = standard - self.setup.dst_offset_min * _MINUTE_MS
        fits = [instant for instant in (standard, daylight) if self.local_ms(instant) == local_ms]
        return min(fits, default=standard)


@lru_cache(maxsize=16)  # many meters are of one zone
def _switches(pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple([instant for pair in pairs for instant in pair])


def setup_from_zone(
    zone: str,
    first_year: int,
    *,
    needed_year: int | None = None,
    time_sync_source: str = "ETHERNET",
    time_sync_type: Literal["UTC", "LOCAL"] = "UTC",
    event_threshold_ms: int = 1000,
) -> ClockSetup:
    """Return the Clock settings of an IANA zone, its DST pairs from `first_year` on, 20 at most.

    The smaller offset of the zone is taken as standard time, so Dublin and Casablanca, which the zone
    rules describe as "negative DST", look like all others; where a zone changes no more, it is the one it
    stays on. The module has one standard time: of a zone that has moved to another (Nuuk in 2023) the pairs
    begin later, but not after `needed_year` has begun. LocalError for an unknown zone, and for one that
    still has more than two offsets.
    """
    info = known_zone(zone)
    if not 1970 < first_year < 2200:
        raise LocalError(f"the year {first_year} is not within 1971 to 2199")
    needed = first_year if needed_year is None else needed_year
    changes = _offset_changes(info, first_year)
    while len({offset for _, offset in changes}) > 2 and changes[1][0] <= _year_begin_s(needed) * 1000:
        del changes[0]
    offsets = {offset for _, offset in changes}
    if len(offsets) > 2:
        raise LocalError(
            f"{zone} changes its standard time after {needed} began, and the Clock module has one;"
            " give TZ offset, DST offset and DST pairs by hand (tz_offset, dst_offset, dst)"
        )
    # No change in the last year looked at: the zone has settled (Amman on its summer time, in 2022), and
    # what it left, be it the smaller offset, is what the pairs tell of.
    settled = changes[-1][0] < _year_begin_s(first_year + MAX_DST_PAIRS) * 1000
    standard = changes[-1][1] if settled else min(offsets)
    pairs: list[tuple[int, int]] = []
    start: int | None = None
    for instant, offset in changes:
        if offset != standard:
            start = instant
        elif start is not None:
            pairs.append((start, instant))
            start = None
    return ClockSetup(
        tz_offset_min=standard,
        dst_offset_min=sum(offset - standard for offset in offsets),  # there are two at most
        dst_pairs=tuple(pairs[:MAX_DST_PAIRS]),
        time_sync_source=time_sync_source,
        time_sync_type=time_sync_type,
        event_threshold_ms=event_threshold_ms,
    )


def known_zone(zone: str) -> ZoneInfo:
    """Return the rules of an IANA zone; LocalError if there is none of that name."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LocalError(f"no time zone is called {zone!r}; names look like Europe/Madrid") from error


def _offset_changes(info: ZoneInfo, first_year: int) -> list[tuple[int, int]]:
    """Return (instant, new offset in minutes), the first being the offset when `first_year` begins.

    If that year begins in DST, as it does south of the equator, the instant is its first.
    """

    def offset(instant_s: int) -> int:
        delta = info.utcoffset((_EPOCH + timedelta(seconds=instant_s)).astimezone(info))
        return 0 if delta is None else int(delta.total_seconds()) // 60

    # One year above the pairs, for a last pair that ends in the year after it began.
    begin, end = _year_begin_s(first_year), _year_begin_s(first_year + MAX_DST_PAIRS + 1)
    changes = [(begin * 1000, offset(begin))]
    # Four days: shorter than any DST period on record, and 2,000 looks in all.
    for low in range(begin, end, 4 * 86_400):
        high = low + 4 * 86_400
        if offset(low) != offset(high):
            left, right = low, high
            while right - left > 1:
                middle = (left + right) // 2
                left, right = (middle, right) if offset(middle) == offset(low) else (left, middle)
            changes.append((right * 1000, offset(right)))
    return changes


def _year_begin_s(year: int) -> int:
    return int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
