"""What is said on a line before a meter can be asked: a sign-on, a call. Sans-I/O, with two drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from iondlms.errors import PortError
from iondlms.ports.endpoint import AsyncLine, Line, LineState

__all__ = ["Dialogue", "Watch", "converse", "converse_async"]

Watch: TypeAlias = Callable[[Literal["TX", "RX"], bytes, float], None]
"""Is shown the octets as they travel, with their direction and the time."""


class Dialogue(Protocol):
    """A conversation with an end: octets and time in, octets out."""

    def start(self, now: float) -> bytes:
        """Return the first octets to send."""

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take received octets and return what is to be sent; never raises for what was received."""

    def next_deadline(self) -> float:
        """Return when `handle_timeout` wants to be called."""

    def handle_timeout(self, now: float) -> bytes:
        """Do what was due at `now` and return what is to be sent."""

    @property
    def wanted(self) -> LineState:
        """The state to give the line once the octets returned so far have left it."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    @property
    def error(self) -> PortError | None:
        """Why it ended badly, None where it did not."""

    @property
    def rest(self) -> bytes:
        """Octets that came behind its end: the meter's already."""


def converse(dialogue: Dialogue, line: Line, watch: Watch | None = None) -> bytes:
    """Carry a dialogue to its end; return its rest. PortError if it ends badly or the line is dead."""
    state = dialogue.wanted
    line.configure(state)
    octets = dialogue.start(line.now())
    while True:
        if octets:
            if watch is not None:
                watch("TX", octets, line.now())
            line.send(octets)
        if dialogue.wanted != state:
            state = dialogue.wanted
            line.configure(state)
        if dialogue.error is not None:
            raise dialogue.error
        if dialogue.done:
            return dialogue.rest
        data = line.receive(dialogue.next_deadline())
        now = line.now()
        octets = dialogue.receive_data(data, now) if data else dialogue.handle_timeout(now)
        if data and watch is not None:
            # The rest is shown by whoever receives it.
            watch("RX", data[: len(data) - len(dialogue.rest)], now)


async def converse_async(dialogue: Dialogue, line: AsyncLine, watch: Watch | None = None) -> bytes:
    """Carry a dialogue to its end, for asyncio; see `converse`."""
    state = dialogue.wanted
    await line.configure(state)
    octets = dialogue.start(line.now())
    while True:
        if octets:
            if watch is not None:
                watch("TX", octets, line.now())
            await line.send(octets)
        if dialogue.wanted != state:
            state = dialogue.wanted
            await line.configure(state)
        if dialogue.error is not None:
            raise dialogue.error
        if dialogue.done:
            return dialogue.rest
        data = await line.receive(dialogue.next_deadline())
        now = line.now()
        octets = dialogue.receive_data(data, now) if data else dialogue.handle_timeout(now)
        if data and watch is not None:
            # The rest is shown by whoever receives it.
            watch("RX", data[: len(data) - len(dialogue.rest)], now)
