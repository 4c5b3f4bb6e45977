"""Many meters on one line: RS-485, a serial server, one modem for a whole building.

All hear everything, and the one that is meant answers. So that a thousand meters cost no more than one, the
line is cut into frames once, and a frame goes to the meter whose Unit ID it names; a special address (all
stations, no station, or one without a Unit ID) goes to every meter that may have a link, whose own rules say
what to do with it. A meter without a link has nothing to say or to do there, and is not woken for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from iondlms.errors import DecodeError, LocalError
from iondlms.hdlc import Deframer, Frame, ServerAddress
from iondlms.later import Later

__all__ = ["BusEndpoint", "Station"]

# How exactly a meter knows when the line was last heard, while the octets are not for it.
_REFRESH_S: Final = 1.0
_UNIT_IDS: Final = range(1, 10_000)


class Station(Protocol):
    """One meter of the line. `now` is seconds, monotonic."""

    def receive_frame(self, frame: Frame, now: float) -> bytes:
        """Take a frame with good check sequences and return the answer; never raises for what it holds."""

    def heard(self, now: float) -> None:
        """Take that something was said on the line, to whomever."""

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called; None: there is nothing to wait for."""

    def handle_timeout(self, now: float) -> bytes:
        """Do what was due at `now`; return the answer that has waited, if any."""

    @property
    def idle(self) -> bool:
        """True once the inactivity time-out has passed: it has no link."""

    @property
    def later(self) -> Later | None:
        """What an answer of it waits for."""

    @property
    def linked(self) -> bool:
        """Whether it has a link, and so something to remember."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What its link has counted, by name."""


class BusEndpoint:
    """The meters of one line, each made when it is first spoken to; HDLC only.

    `meters` makes an endpoint by Unit ID. The inter-frame and the inactivity time-out are the line's; each
    meter ends its own links by its own.
    """

    def __init__(
        self,
        meters: Mapping[int, Callable[[float], Station]],
        now: float,
        *,
        rx_timeout_s: float = 1.5,
        inactivity_s: float = 120.0,
    ) -> None:
        for unit_id in meters:
            if unit_id not in _UNIT_IDS:
                raise LocalError(f"Unit ID {unit_id} is not in 1..9999")
        self._meters = meters
        self._rx_timeout_s = rx_timeout_s
        self._inactivity_s = inactivity_s
        self._deframer = Deframer()
        self._made: dict[int, Station] = {}
        self._awake: dict[int, Station] = {}  # those that were spoken to, and may have a link
        self._heard = now
        self._refreshed = now
        self._repeats = 0  # of stations that are no more
        self._waits: list[Later] = []  # for what the answers of more than one wait
        self._first = Later()  # of these
        self.collisions = 0  # frames that more than one meter answered
        self.idle = False
        self.closed = False

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take octets and return the answer of the meter they are for."""
        silence_s = now - self._heard
        if silence_s >= min(self._rx_timeout_s, self._inactivity_s):
            self._deframer.flush()
        if now - self._refreshed >= _REFRESH_S:
            self._refresh(self._heard)
            self._refresh(now)
        self._heard = now
        self.idle = False
        return b"".join([self._give(frame, now) for frame in self._deframer.feed(data)])

    def follow(self, data: bytes, now: float) -> None:
        """Foresee nothing: which of the stations is asked next is not known."""

    def next_deadline(self) -> float | None:
        """Return the first of: a half frame, a meter's link, the line takes too long; None once idle.

        It lies in the past where the answer of a meter has waited and is due.
        """
        if self.idle and self.later is None:
            return None
        deadlines = [] if self.idle else [self._heard + self._inactivity_s]
        if self._deframer.in_frame:  # a flag alone is none to wake up for
            deadlines.append(self._heard + self._rx_timeout_s)
        for endpoint in self._awake.values():
            deadline = endpoint.next_deadline()
            if deadline is not None:
                deadlines.append(deadline)
        return min(deadlines, default=None)

    def handle_timeout(self, now: float) -> bytes:
        """Throw a half frame away, let meters end their links; return the answer that has waited, if any."""
        if self._deframer.in_frame and now >= self._heard + self._rx_timeout_s:
            self._deframer.flush()
        self._refresh(self._heard)
        answers = []
        for unit_id, endpoint in list(self._awake.items()):
            deadline, later = endpoint.next_deadline(), endpoint.later
            if later is not None and later.done:
                self._heard = now  # as the station has it: its answer goes out
            if deadline is not None and deadline <= now:
                answers.append(endpoint.handle_timeout(now))
            if endpoint.idle or not _remembers(endpoint):
                self._forget(unit_id)
        if now >= self._heard + self._inactivity_s:
            self.idle = True
        return b"".join(answers)

    @property
    def later(self) -> Later | None:
        """What the answer of a meter waits for."""
        waits = [later for endpoint in self._awake.values() if (later := endpoint.later) is not None]
        if len(waits) < 2:
            return waits[0] if waits else None
        if waits != self._waits:  # of several the first that is over brings its answer
            self._waits, self._first = waits, Later()
            for later in waits:
                later.then(self._first.settle)
        return self._first

    @property
    def counters(self) -> Mapping[str, int]:
        """What the line has counted, by name."""
        counted = self._deframer.counters | {"repeats": self._repeats, "collisions": self.collisions}
        for endpoint in self._made.values():
            counted["repeats"] += endpoint.counters.get("repeats", 0)
        return counted

    @property
    def in_frame(self) -> bool:
        """Whether the beginning of a frame is held."""
        return self._deframer.in_frame

    def _refresh(self, heard: float) -> None:
        """Tell the meters that have links when the line was heard: any octet keeps them (6.4.4.10.3)."""
        if heard <= self._refreshed:
            return
        self._refreshed = heard
        for endpoint in self._awake.values():
            endpoint.heard(heard)

    def _give(self, frame: Frame, now: float) -> bytes:
        octets = b""
        for unit_id in self._meant(frame.destination):
            endpoint = self._endpoint(unit_id, now)
            answer = endpoint.receive_frame(frame, now)
            if not _remembers(endpoint):
                self._forget(unit_id)
            if answer and octets:
                self.collisions += 1
                return b""  # both spoke at once, and nobody can read either
            octets = octets or answer
        return octets

    def _forget(self, unit_id: int) -> None:
        """Let a station go that remembers nothing: of ten thousand on a line a few are spoken to at once."""
        self._awake.pop(unit_id, None)
        endpoint = self._made.pop(unit_id, None)
        if endpoint is not None:
            self._repeats += endpoint.counters.get("repeats", 0)

    def _meant(self, destination: bytes) -> list[int]:
        try:
            address = ServerAddress.decode(destination)
        except DecodeError:
            return []
        if address.special or address.lower is None:
            return list(self._awake)
        return [address.lower] if address.lower in self._meters else []

    def _endpoint(self, unit_id: int, now: float) -> Station:
        endpoint = self._made.get(unit_id)
        if endpoint is None:
            endpoint = self._made[unit_id] = self._meters[unit_id](now)
        self._awake[unit_id] = endpoint
        return endpoint


def _remembers(endpoint: Station) -> bool:
    return endpoint.linked or endpoint.later is not None
