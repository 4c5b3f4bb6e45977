"""What pulses a Data Recorder's Record input: the Periodic Timer, and triggers that are none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from iondlms.errors import LocalError

from .clock import Clock

__all__ = ["MonthEnd", "PeriodicTimer", "Trigger"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Trigger(Protocol):
    """A module whose output pulses at instants that can be told beforehand."""

    @property
    def name(self) -> str:
        """The module's label."""
        ...

    @property
    def period_s(self) -> int:
        """Seconds between pulses; 0 where the trigger is no Periodic Timer."""
        ...

    def next_boundary(self, utc_ms: int, clock: Clock) -> int:
        """Return the first pulse strictly after the instant."""
        ...


@dataclass(frozen=True, slots=True)
class PeriodicTimer:
    """Pulses every `period_s` seconds, aligned to the hour of the meter's standard time.

    Standard and not daylight time: a DST switch makes neither a gap nor a double pulse, and a daily
    timer pulses once in each 24 hours. A pulse on the Sync input, which is another trigger or
    `IonMeter.synchronize`, lets it count from there, until the next one or a power cut.
    """

    name: str
    period_s: int = 900
    # Whether it pulses when Sync does, or only once the period has passed since (ION Reference).
    sync_mode: Literal["TRIGGER ON SYNC", "NO TRIG ON SYNC"] = "NO TRIG ON SYNC"
    sync_input: str = ""  # name of another trigger; empty where it is not linked

    def __post_init__(self) -> None:
        # A month is the longest that Log Export's users read; a second the shortest the meter counts.
        if not 1 <= self.period_s <= 31 * 86_400:
            raise LocalError(
                f"Periodic Timer {self.name!r}: a period of {self.period_s} s is not 1 s to 31 days"
            )
        if self.sync_mode not in ("TRIGGER ON SYNC", "NO TRIG ON SYNC"):
            raise LocalError(
                f"Periodic Timer {self.name!r}: no Sync Mode is called {self.sync_mode!r};"
                " there are TRIGGER ON SYNC and NO TRIG ON SYNC"
            )

    def next_boundary(self, utc_ms: int, clock: Clock) -> int:
        """Return the first boundary strictly after the instant."""
        period_ms = self.period_s * 1000
        shift_ms = clock.tz_offset_min * 60_000
        return ((utc_ms + shift_ms) // period_ms + 1) * period_ms - shift_ms


@dataclass(frozen=True, slots=True)
class MonthEnd:
    """Pulses at local midnight when a month begins; no Periodic Timer, so records carry status 0xFFFF."""

    name: str

    @property
    def period_s(self) -> int:
        """Always 0: months have no period in seconds."""
        return 0

    def next_boundary(self, utc_ms: int, clock: Clock) -> int:
        """Return the first month's beginning strictly after the instant."""
        local = _EPOCH + timedelta(milliseconds=clock.local_ms(utc_ms))
        year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
        begin = datetime(year, month, 1, tzinfo=UTC) - _EPOCH
        return clock.utc_from_local(begin // timedelta(milliseconds=1))
