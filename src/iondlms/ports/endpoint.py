"""What a port needs of whatever answers on it, and what a client needs of whatever carries its octets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "Answerer",
    "AsyncLine",
    "AsyncTransport",
    "Converses",
    "Endpoint",
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


Answerer: TypeAlias = "Callable[[bytes, float], tuple[bytes, float | None] | None]"
"""What came and the time -> octets to send and the next deadline (as `receive` has it), or None: done."""


class Converses(AsyncTransport, Protocol):
    """A line that can carry a whole conversation by itself, without waking a task for each answer."""

    async def converse(self, octets: bytes, deadline: float | None, answer: Answerer) -> None:
        """Send, hand what comes to `answer` and send what it returns, until it returns None.

        b"" comes at the deadline. PortError if the line is dead; what `answer` raises ends it too.
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
