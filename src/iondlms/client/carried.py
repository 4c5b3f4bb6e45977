"""A call carried over a line: by the line itself where it can, by these loops where it cannot."""

from __future__ import annotations

from collections.abc import Callable

from iondlms.client.endpoint import ClientEndpoint, Direction
from iondlms.ports import AsyncTransport, Transport
from iondlms.ports.endpoint import Asker

__all__ = ["Watched", "carry", "carry_async"]


class Watched:
    """An endpoint whose octets are shown as they come and go."""

    def __init__(self, endpoint: ClientEndpoint, watch: Callable[[Direction, bytes, float], None]) -> None:
        self._endpoint = endpoint
        self._watch = watch

    @property
    def outcome(self) -> object:
        """That of the endpoint."""
        return self._endpoint.outcome

    def follow(self, data: bytes, now: float) -> None:
        """Foresee nothing: who looks on has time."""

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Show what came, and what is answered."""
        self._watch("RX", data, now)
        return self.sent(self._endpoint.receive_data(data, now), now)

    def next_deadline(self) -> float | None:
        """That of the endpoint."""
        return self._endpoint.next_deadline()

    def handle_timeout(self, now: float) -> bytes:
        """Show what is said into the silence."""
        return self.sent(self._endpoint.handle_timeout(now), now)

    def sent(self, octets: bytes, now: float) -> bytes:
        """Show octets that are sent now, and return them."""
        if octets and self._endpoint.outcome is None:
            self._watch("TX", octets, now)
        return octets


def carry(asker: Asker, octets: bytes, line: Transport) -> None:
    """Send, and give the asker what comes, until it has an outcome; PortError if the line is dead."""
    while asker.outcome is None:
        if octets:
            line.send(octets)
        data = line.receive(asker.next_deadline())
        now = line.now()
        answer = asker.follow(data, now)
        if answer is None:
            answer = asker.receive_data(data, now) if data else asker.handle_timeout(now)
        octets = answer


async def carry_async(asker: Asker, octets: bytes, line: AsyncTransport) -> None:
    """Do the same, for asyncio."""
    while asker.outcome is None:
        if octets:
            await line.send(octets)
        data = await line.receive(asker.next_deadline())
        now = line.now()
        answer = asker.follow(data, now)
        if answer is None:
            answer = asker.receive_data(data, now) if data else asker.handle_timeout(now)
        octets = answer
