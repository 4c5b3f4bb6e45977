"""The local echo of two-wire adapters: each octet sent is heard again, and is not the other side's.

An echo is taken away only where it is, octet for octet, what was sent. All else goes through: an echo that
was damaged on its way, an answer, noise. A damaged echo is a damaged frame to the deframer above, which finds
the answer behind it; taking away "about as much as was sent" could take the answer with it.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from iondlms.later import Later
from iondlms.ports.endpoint import AsyncLine, Endpoint, Line, LineState

__all__ = ["AsyncEchoTransport", "EchoCanceller", "EchoEndpoint", "EchoMode", "EchoTransport"]

EchoMode = Literal["auto", "on", "off"]

# Switching a driver on can give a glitch or two ahead of the echo; an answer's first octets are not mistaken
# for them, since no frame is that short.
_GLITCHES: Final = 4
_FLAG: Final = b"~"
_FRAMES: Final = 4  # frames whose echo is still awaited; more means that no echo comes


class EchoCanceller:
    """Takes the echo out of what is received.

    `auto` finds out by the first frame that is answered: until then, and where echoes come, what is received
    is compared with what was sent. On a line without echo that costs nothing but holding back as many octets
    of an answer as it has in common with the request: the flag and the length at most.
    """

    __slots__ = ("_awaited", "_glitches", "_held", "_owes_flag", "cancelled", "echoing", "mode")

    def __init__(self, mode: EchoMode = "auto") -> None:
        self.mode = mode
        self.echoing: bool | None = {"on": True, "off": False}.get(mode)  # None: not known yet
        self.cancelled = 0  # frames
        self._awaited: deque[bytes] = deque()
        self._glitches = 0
        self._held = b""  # the start of an echo, or of an answer that still looks like one
        self._owes_flag = False  # the flag that ended an echo may have been the one that begins the answer

    def sent(self, octets: bytes) -> None:
        """Remember what was sent. Call it before the first octet can be heard again."""
        if self.echoing is False or not octets:
            return
        self._owes_flag = False
        if len(self._awaited) >= _FRAMES:
            self._awaited.clear()  # nothing of it came: what comes now belongs to none of it
        self._awaited.append(octets)

    def received(self, octets: bytes) -> bytes:
        """Return what of it, and of what was held back, is not our own."""
        passed = self._without_echo(self._held + octets) if self._awaited else octets
        if self._owes_flag and passed:
            self._owes_flag = False
            # An echo that lost its last flag ends with the answer's first. One flag too many is no fault.
            return passed if passed.startswith(_FLAG) else _FLAG + passed
        return passed

    def _without_echo(self, data: bytes) -> bytes:
        self._held = b""
        passed = b""
        while self._awaited:
            awaited = self._awaited[0]
            if data.startswith(awaited):
                self._awaited.popleft()
                self._glitches = 0
                data = data[len(awaited) :]
                self.cancelled += 1
                if self.mode == "auto":
                    self.echoing = True
                if awaited.endswith(_FLAG) and not self._awaited:
                    self._owes_flag = not data.startswith(_FLAG)
            elif awaited.startswith(data):
                self._held = data
                return passed
            elif len(self._awaited) > 1 and _may_start(self._awaited[1], data):
                self._awaited.popleft()  # the echo of a frame before was lost, and this is the next one's
            elif data[0] != awaited[0] and self._glitches < _GLITCHES:
                self._glitches += 1
                passed, data = passed + data[:1], data[1:]
            else:
                self._missed(awaited, data)
        return passed + data

    def _missed(self, awaited: bytes, data: bytes) -> None:
        """No echo came, or it was damaged: wait for it no longer."""
        self._awaited.clear()
        self._glitches = 0
        # Half a frame that is right and then an error is an echo all the same: the question stays open.
        common = next(
            (at for at, (one, other) in enumerate(zip(awaited, data, strict=False)) if one != other), 0
        )
        if self.echoing is None and common * 2 < len(awaited):
            self.echoing = False


def _may_start(awaited: bytes, data: bytes) -> bool:
    return data.startswith(awaited) or awaited.startswith(data)


class EchoEndpoint:
    """The meter's side: an endpoint that does not hear itself."""

    def __init__(self, endpoint: Endpoint, mode: EchoMode = "auto") -> None:
        self.canceller = EchoCanceller(mode)
        self._endpoint = endpoint

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Give on what is not our own echo; an echo is nothing heard and keeps no association alive."""
        data = self.canceller.received(data)
        return self._sent(self._endpoint.receive_data(data, now)) if data else b""

    def next_deadline(self) -> float | None:
        """Return the endpoint's own."""
        return self._endpoint.next_deadline()

    def handle_timeout(self, now: float) -> bytes:
        """Give it on."""
        return self._sent(self._endpoint.handle_timeout(now))

    @property
    def idle(self) -> bool:
        """The endpoint's own."""
        return self._endpoint.idle

    @property
    def closed(self) -> bool:
        """The endpoint's own."""
        return self._endpoint.closed

    @property
    def later(self) -> Later | None:
        """The endpoint's own."""
        return self._endpoint.later

    def _sent(self, octets: bytes) -> bytes:
        self.canceller.sent(octets)
        return octets


class EchoTransport:
    """The client's side, blocking: a transport that does not hear itself."""

    def __init__(self, line: Line, mode: EchoMode = "auto") -> None:
        self.canceller = EchoCanceller(mode)
        self._line = line

    def now(self) -> float:
        """Return the line's clock."""
        return self._line.now()

    def send(self, octets: bytes) -> None:
        """Send."""
        self.canceller.sent(octets)
        self._line.send(octets)

    def receive(self, deadline: float | None) -> bytes:
        """Return what is not our own; b"" at the deadline."""
        while True:
            octets = self._line.receive(deadline)
            own = self.canceller.received(octets) if octets else b""
            if own or not octets:
                return own

    def configure(self, state: LineState) -> None:
        """Give the line another state."""
        self._line.configure(state)

    def carrier(self) -> bool | None:
        """Return the line's."""
        return self._line.carrier()

    def close(self) -> None:
        """Close the line."""
        self._line.close()


class AsyncEchoTransport:
    """The client's side, for asyncio."""

    def __init__(self, line: AsyncLine, mode: EchoMode = "auto") -> None:
        self.canceller = EchoCanceller(mode)
        self._line = line

    def now(self) -> float:
        """Return the line's clock."""
        return self._line.now()

    async def send(self, octets: bytes) -> None:
        """Send."""
        self.canceller.sent(octets)
        await self._line.send(octets)

    async def receive(self, deadline: float | None) -> bytes:
        """Return what is not our own; b"" at the deadline."""
        while True:
            octets = await self._line.receive(deadline)
            own = self.canceller.received(octets) if octets else b""
            if own or not octets:
                return own

    async def configure(self, state: LineState) -> None:
        """Give the line another state."""
        await self._line.configure(state)

    async def carrier(self) -> bool | None:
        """Return the line's."""
        return await self._line.carrier()

    async def close(self) -> None:
        """Close the line."""
        await self._line.close()
