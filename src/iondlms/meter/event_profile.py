"""The Event Log Controller as a Profile Generic: instant, priority, cause and effect of each event.

The meters have no such profile of their own; it is there where the user asks for it. Cause and effect are
what ION writes, in words, so they are visible-strings; their logical names are of the manufacturer's range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data, Tag, encode_data
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject, Clock, DataObject, Interface, ProfileGeneric, Rows
from iondlms.ion.event_log import Event, EventLog

__all__ = ["CAUSE", "EFFECT", "PRIORITY", "event_objects"]

CLOCK: Final = ObisCode.parse("0-0:1.0.0*255")
# 0-0:96.11.x is "event code" (IEC 62056-61); groups E from 128 on are the manufacturer's.
PRIORITY: Final = ObisCode.parse("0-0:96.11.0*255")
CAUSE: Final = ObisCode.parse("0-0:96.11.128*255")
EFFECT: Final = ObisCode.parse("0-0:96.11.129*255")


class TimeView(Protocol):
    """How the meter writes instants, and reads those of a range."""

    def shown(self, utc_ms: int) -> bytes:
        """Return the 12 octets of an instant."""

    def instant(self, time: DateTime, *, last: bool = False) -> int:
        """Return the UTC milliseconds of a bound."""


class _EventRows:
    def __init__(self, events: Sequence[Event], view: TimeView, date_time: Tag) -> None:
        self._events = events
        self._view = view
        self._date_time = date_time

    def __len__(self) -> int:
        return len(self._events)

    def encoded(self, columns: Sequence[int] | None) -> Iterator[bytes]:
        """Yield each event as an encoded structure."""
        for event in self._events:
            row = (
                Data(self._date_time, self._view.shown(event.utc_ms)),
                make.unsigned(event.priority),
                _text(event.cause),
                _text(event.effect),
            )
            yield encode_data(make.structure(*(row if columns is None else [row[each] for each in columns])))


class _EventBuffer:
    """The events kept, as the buffer of a profile."""

    def __init__(self, log: EventLog, view: TimeView, date_time: Tag) -> None:
        self._log = log
        self._view = view
        self._date_time = date_time

    def __len__(self) -> int:
        return len(self._log.events)

    def entries(self, first: int, last: int) -> Rows:
        """Return events by number, from 1."""
        return _EventRows(self._log.events[first - 1 : last], self._view, self._date_time)

    def between(self, start: DateTime, end: DateTime) -> Rows:
        """Return the events of a range, in the order in which they were logged."""
        first, last = self._view.instant(start), self._view.instant(end, last=True)
        found = [event for event in self._log.events if first <= event.utc_ms <= last]
        return _EventRows(found, self._view, self._date_time)

    def capture_period(self) -> int:
        """Return 0: events come when they come."""
        return 0

    def profile_entries(self) -> int:
        """Return the depth."""
        return self._log.setup.depth


def event_objects(log: EventLog, profile: ObisCode, view: TimeView, date_time: Tag) -> tuple[Interface, ...]:
    """Return the profile of the events, and the three objects that it captures: the latest event."""

    def latest(of: Callable[[Event], Data]) -> Callable[[], Data]:
        return lambda: of(log.events[-1]) if log.events else NULL

    captured = [
        CaptureObject(Clock.class_id, CLOCK, 2),
        *(CaptureObject(DataObject.class_id, code, 2) for code in (PRIORITY, CAUSE, EFFECT)),
    ]
    return (
        ProfileGeneric(profile, captured, _EventBuffer(log, view, date_time)),
        DataObject(PRIORITY, latest(lambda event: make.unsigned(event.priority))),
        DataObject(CAUSE, latest(lambda event: _text(event.cause))),
        DataObject(EFFECT, latest(lambda event: _text(event.effect))),
    )


def _text(text: str) -> Data:
    # A visible-string is ASCII; the texts of a host, a file's name for one, may have more.
    return make.visible_string(text.encode("ascii", "replace").decode("ascii"))
