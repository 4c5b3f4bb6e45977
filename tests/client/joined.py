"""A client and a meter on one line in memory, in virtual time: what the tests of this room are made with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from iondlms.client import Client, Hooks, blocking
from iondlms.errors import PortError
from iondlms.meter.config import load
from iondlms.meter.meter import Meter
from iondlms.ports import Endpoint
from iondlms.ports.memory import AsyncNullModem, Faults, NullModem

PASSWORD: Final = "12345678"
START: Final = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)


def make_meter(history: int = 20, *settings: tuple[str, Any], start: datetime = START) -> Meter:
    """Return a running meter with that many rows, at `start` when the line's clock is 0."""
    meter = Meter(load(None, [("history", history), ("password", PASSWORD), *settings]))
    meter.start(int(start.timestamp() * 1000), 0.0)
    return meter


class Lines:
    """The lines of one client, one after the other, on one clock.

    `faults` are those of each connection in turn; the last goes on. `endpoints` makes what answers.
    """

    def __init__(
        self,
        endpoints: Callable[[float], Endpoint] | Meter,
        faults: Sequence[Faults] = (Faults(),),
        most: int = 8,
    ) -> None:
        meter = endpoints
        if isinstance(meter, Meter):
            self._make: Callable[[float], Endpoint] = lambda now: meter.endpoint(now=now)
        else:
            self._make = meter
        self._faults = faults
        self._most = most
        self.lines: list[NullModem] = []
        self.start = 0.0

    @property
    def now(self) -> float:
        return self.lines[-1].now() if self.lines else self.start

    def connect(self) -> NullModem:
        if len(self.lines) >= self._most:
            raise PortError("more connections than any client needs")
        faults = self._faults[min(len(self.lines), len(self._faults) - 1)]
        line = NullModem(self._make(self.now), faults, self.now)
        self.lines.append(line)
        return line

    async def connect_async(self) -> AsyncNullModem:
        return AsyncNullModem(self.connect())

    def client(self, url: str, password: str | bytes | None = None, **more: Any) -> blocking.Client:
        return blocking.Client(url, password=password, connector=self.connect, **more)

    def async_client(self, url: str, password: str | bytes | None = None, **more: Any) -> Client:
        return Client(url, password=password, connector=self.connect_async, **more)

    def wait(self, seconds: float) -> None:
        """Let time pass while the client does nothing."""
        self.lines[-1].wait(seconds)


class Scripted:
    """An endpoint that answers each chunk by a function; for what no meter of ours says."""

    idle = False
    later = None

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self.received: list[bytes] = []
        self.closed = False

    def receive_data(self, data: bytes, now: float) -> bytes:
        self.received.append(data)
        answer = self._answer(data)
        self.closed = answer is None
        return answer or b""

    def next_deadline(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> bytes:
        return b""


def watched() -> tuple[Hooks, list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Return hooks, and what they will have seen: octets and APDUs."""
    octets: list[tuple[str, bytes]] = []
    apdus: list[tuple[str, bytes]] = []
    hooks = Hooks(
        lambda direction, data, now: octets.append((direction, data)),
        lambda direction, data, now: apdus.append((direction, data)),
    )
    return hooks, octets, apdus


def run_both(
    meter: Callable[[], Meter], url: str, password: str | None, method: str, *args: Any, **kwargs: Any
) -> Any:
    """Run one method with each driver, on a meter of its own; return the result, the same from both."""
    with Lines(meter()).client(url, password) as client:
        first = getattr(client, method)(*args, **kwargs)

    async def second() -> Any:
        async with Lines(meter()).async_client(url, password) as client:
            return await getattr(client, method)(*args, **kwargs)

    assert asyncio.run(second()) == first
    return first
