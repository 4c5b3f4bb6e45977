"""When triggers pulse: Periodic Timers by the hour, or from the last pulse on their Sync input on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from iondlms.errors import LocalError

from .clock import Clock
from .periodic_timer import MonthEnd, PeriodicTimer, Trigger
from .recorder import DataRecorder

__all__ = ["NEVER", "Alarm", "Boundaries", "Pulses", "Recording", "by_name", "timer_of"]

NEVER: Final = 1 << 62


@dataclass(slots=True)
class Alarm:
    """Something that happens at instants of the meter's UTC; `follow` gives the next."""

    fire: Callable[[int], None]
    follow: Callable[[int], int | None]
    trigger: str = ""  # the module whose pulses these are
    due_ms: int = NEVER

    def arm(self, at_ms: int) -> None:
        """Be due at the first instant after this one."""
        due_ms = self.follow(at_ms)
        self.due_ms = NEVER if due_ms is None else due_ms


# In place of closures, which are three times as large: each meter has half a dozen of these.
@dataclass(slots=True)
class Boundaries:
    """The pulses of a timer that nobody synchronizes."""

    timer: PeriodicTimer
    clock: Clock

    def __call__(self, at_ms: int) -> int:
        """Return the first after the instant."""
        return self.timer.next_boundary(at_ms, self.clock)


@dataclass(slots=True)
class Recording:
    """What the pulse on a Data Recorder's Record input does."""

    record: Callable[[DataRecorder, int], None]
    recorder: DataRecorder

    def __call__(self, at_ms: int) -> None:
        """Make a row."""
        self.record(self.recorder, at_ms)


@dataclass(slots=True)
class _Following:
    pulses: Pulses
    name: str

    def __call__(self, at_ms: int) -> int | None:
        return self.pulses.following(self.name, at_ms)


class Pulses:
    """The triggers of a meter, and from where those timers count that were synchronized."""

    __slots__ = ("_clock", "_origins", "_triggers")

    def __init__(self, triggers: Mapping[str, Trigger], clock: Clock) -> None:
        self._triggers = triggers
        self._clock = clock
        self._origins: dict[str, int] = {}

    def alarm(self, fire: Callable[[int], None], name: str) -> Alarm:
        """Return an alarm at each pulse of that trigger; one that never comes where there is none."""
        return Alarm(fire, _Following(self, name), name)

    def following(self, name: str, utc_ms: int) -> int | None:
        """Return the first pulse strictly after the instant."""
        trigger = self._triggers.get(name)
        if trigger is None:
            return None
        origin_ms = self._origins.get(name)
        if origin_ms is None:
            return trigger.next_boundary(utc_ms, self._clock)
        period_ms = trigger.period_s * 1000
        return origin_ms + ((utc_ms - origin_ms) // period_ms + 1) * period_ms

    def timer(self, name: str) -> PeriodicTimer:
        """Return the Periodic Timer of that name; LocalError if there is none."""
        found = self._triggers.get(name)
        if not isinstance(found, PeriodicTimer):
            raise LocalError(f"no Periodic Timer is called {name!r}; there are {', '.join(self._triggers)}")
        return found

    @property
    def synchronized(self) -> list[PeriodicTimer]:
        """The timers whose Sync input is linked."""
        return [
            each for each in self._triggers.values() if isinstance(each, PeriodicTimer) and each.sync_input
        ]

    def synchronize(self, timer: PeriodicTimer, at_ms: int, alarms: list[Alarm]) -> None:
        """Let a timer count from here, as its Sync input does; with TRIGGER ON SYNC it pulses at once."""
        self._origins[timer.name] = at_ms
        for alarm in alarms:
            # One that is due at this very instant was due anyway, and pulses once.
            if alarm.trigger == timer.name and alarm.due_ms != at_ms:
                alarm.arm(at_ms)
                if timer.sync_mode == "TRIGGER ON SYNC":
                    alarm.due_ms = at_ms

    def forget(self) -> None:
        """Count by the hour again: a power cut leaves no timer running."""
        self._origins.clear()


# Thousands of meters have the same modules; only when each pulses next is its own.
@lru_cache(maxsize=64)
def timer_of(name: str, period_s: int) -> PeriodicTimer:
    """Return a timer of the Power Meter's own."""
    return PeriodicTimer(name, period_s)


@lru_cache(maxsize=64)
def by_name(triggers: tuple[PeriodicTimer | MonthEnd, ...]) -> Mapping[str, Trigger]:
    """Return triggers by their names."""
    return MappingProxyType({each.name: each for each in triggers})
