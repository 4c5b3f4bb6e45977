"""The Event Log Controller: what happened to the meter, by priority."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import NamedTuple

from iondlms.errors import LocalError

__all__ = ["Event", "EventLog", "EventLogSetup", "Priority"]


@unique
class Priority(IntEnum):
    """The priorities that ION meters give their own events."""

    RESET = 5
    SETUP_CHANGE = 10
    INFORMATION = 25
    WARNING = 30  # power up, power down
    FAILURE = 255


class Event(NamedTuple):
    """One entry: sequence number, instant, priority, and cause and effect in words."""

    sequence: int
    utc_ms: int
    priority: int
    cause: str
    effect: str


@dataclass(frozen=True, slots=True)
class EventLogSetup:
    """Settings of the Event Log Controller; LocalError for a value out of its range."""

    depth: int = 500
    cutoff: int = 5  # only events above it are logged: by default a reset is not

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 65_535:
            raise LocalError(f"an event log depth of {self.depth} is not within 1 to 65535")
        if not 0 <= self.cutoff <= 255:
            raise LocalError(f"an event cutoff of {self.cutoff} is not within 0 to 255")


class EventLog:
    """The events that are durable, newest last; the oldest goes when the depth is reached."""

    __slots__ = ("_events", "next_sequence", "setup")

    def __init__(self, setup: EventLogSetup | None = None) -> None:
        self.setup = EventLogSetup() if setup is None else setup
        self.next_sequence = 0
        self._events: list[Event] = []  # a deque takes 600 octets before there is one

    def change(self, setup: EventLogSetup) -> None:
        """Take other settings; the oldest events go if they are more than the depth."""
        self.setup = setup
        del self._events[: -setup.depth]

    @property
    def events(self) -> tuple[Event, ...]:
        """All events kept, oldest first."""
        return tuple(self._events)

    def make(self, utc_ms: int, priority: int, cause: str, effect: str) -> Event | None:
        """Return the event to be logged, None if its priority is not above the cutoff."""
        if priority <= self.setup.cutoff:
            return None
        event = Event(self.next_sequence, utc_ms, int(priority), cause, effect)
        self.next_sequence += 1
        return event

    def publish(self, events: list[Event]) -> None:
        """Let readers see events that are now durable."""
        self._events += events
        del self._events[: -self.setup.depth]
        if events:
            self.next_sequence = max(self.next_sequence, events[-1].sequence + 1)
