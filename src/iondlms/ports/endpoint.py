"""What a port needs of whatever answers on it, and what a client needs of whatever carries its octets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from iondlms.later import Later

__all__ = [
    "Asker",
    "AsyncLine",
    "AsyncTransport",
    "Converses",
    "Endpoint",
    "Following",
    "FollowsBaud",
    "HearsCarrier",
    "Line",
    "LineState",
    "SteersLine",
    "Transport",
]


class Endpoint(Protocol):
    """Octets and time in, octets out. `now` is seconds, monotonic; the caller owns the clock."""

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take received octets and return what is to be sent; never raises for what was received."""

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called; None: there is nothing to wait for."""

    def handle_timeout(self, now: float) -> bytes:
        """Do what was due at `now` and return what is to be sent."""

    @property
    def idle(self) -> bool:
        """True once the inactivity time-out has passed: another caller may have the port."""

    @property
    def closed(self) -> bool:
        """True once the peer can get no further answer on this connection."""

    @property
    def later(self) -> Later | None:
        """What an answer waits for, None where none does: to be looked at after each step.

        Once it is over, `next_deadline` lies in the past and `handle_timeout` returns the answer. Who can
        hold back what else comes does so meanwhile.
        """


class Follows(Endpoint, Protocol):
    """An endpoint that has a shorter way for what is just due."""

    def follow(self, data: bytes, now: float) -> bytes | None:
        """Answer octets that are just what is due as `receive_data` would; for others None, and nothing done.

        Where it answers, no deadline has come nearer and `closed` has not changed; b"" has to wait for
        `later`.
        """


class Transport(Protocol):
    """A line, blocking: what `client/blocking.py` talks through."""

    def now(self) -> float:
        """Return seconds of the clock that deadlines are given in."""

    def send(self, octets: bytes) -> None:
        """Send; PortError if the line is dead."""

    def receive(self, deadline: float | None) -> bytes:
        """Return octets as soon as there are some, b"" at the deadline; PortError if the line is dead."""

    def close(self) -> None:
        """Give the line back; closing twice is no fault."""


class AsyncTransport(Protocol):
    """A line, for asyncio: what `client/client.py` talks through."""

    def now(self) -> float:
        """Return seconds of the clock that deadlines are given in."""

    async def send(self, octets: bytes) -> None:
        """Send; PortError if the line is dead."""

    async def receive(self, deadline: float | None) -> bytes:
        """Return octets as soon as there are some, b"" at the deadline; PortError if the line is dead."""

    async def close(self) -> None:
        """Give the line back; closing twice is no fault."""


class Asker(Protocol):
    """Whoever asks over a line: octets and time in, octets out, until there is an outcome."""

    @property
    def outcome(self) -> object | None:
        """How the call under way ended; None until it has."""

    def follow(self, data: bytes, now: float) -> bytes | None:
        """Answer the octets that were foreseen as `receive_data` would; None, and nothing done, for others.

        Where it answers, no deadline has come nearer and there is no outcome.
        """

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take received octets and return what is to be sent; never raises for what was received."""

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called."""

    def handle_timeout(self, now: float) -> bytes:
        """Do what was due at `now` and return what is to be sent."""


Following: TypeAlias = "Callable[[float], bytes | None]"
"""The time at which a call ended -> the first octets of the asker's next one; None: that was all."""


class Converses(AsyncTransport, Protocol):
    """A line that can carry a whole conversation by itself, without waking a task for each answer."""

    async def converse(self, asker: Asker, octets: bytes, following: Following) -> None:
        """Send, give what comes to `asker` and send what it returns; `following` is called at each outcome.

        PortError if the line is dead; what `asker` and `following` raise ends it too.
        """


class LineState(NamedTuple):
    """What a sign-on or a modem may change of the line beneath it."""

    baud: int
    terminal_ready: bool = True  # the pin DTR; a modem hangs up where it falls


@runtime_checkable
class SteersLine(Endpoint, Protocol):
    """An endpoint that also steers its line: a sign-on, a modem."""

    @property
    def wanted(self) -> LineState:
        """The state to give the line once the octets returned so far have left it."""


@runtime_checkable
class HearsCarrier(Protocol):
    """An endpoint that wants to know the state of the carrier pin: a modem."""

    def carrier_is(self, present: bool, now: float) -> bytes:
        """Take the state of the pin (DCD), as often as it is read; return what is to be sent."""


@runtime_checkable
class FollowsBaud(Protocol):
    """An endpoint that has something to do when its port is set to another baud: a modem."""

    def configure(self, baud: int, now: float) -> bytes:
        """Take the port's baud from now on; return what is to be sent."""


class Line(Transport, Protocol):
    """A transport whose line can be steered: what a sign-on and a modem are driven over."""

    def configure(self, state: LineState) -> None:
        """Give the line this state once all that was sent has left it; PortError if it is dead."""

    def carrier(self) -> bool | None:
        """Return whether the carrier pin (DCD) is on; None where the device does not tell."""


class AsyncLine(AsyncTransport, Protocol):
    """The same, for asyncio."""

    async def configure(self, state: LineState) -> None:
        """Give the line this state once all that was sent has left it; PortError if it is dead."""

    async def carrier(self) -> bool | None:
        """Return whether the carrier pin (DCD) is on; None where the device does not tell."""
