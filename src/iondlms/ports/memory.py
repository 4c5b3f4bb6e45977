"""A null modem in memory, with a clock of its own and faults on demand: no socket, no waiting.

It joins a client's `Transport` to a meter's `Endpoint`. Time stands still while octets travel and jumps to
the next deadline of either side when nothing travels, so a session of hours takes no time and always runs
the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from iondlms.errors import PortError
from iondlms.ports.endpoint import Endpoint, LineState, SteersLine
from iondlms.ports.line import Pace

__all__ = ["AsyncNullModem", "Fault", "FaultKind", "Faults", "NullModem"]


class FaultKind(Enum):
    """What can befall an octet."""

    DROP = auto()
    DAMAGE = auto()  # `octets[0]` is exclusive-ored into it
    DOUBLE = auto()
    INSERT = auto()  # `octets` come before it
    PAUSE = auto()  # `seconds` of silence come before it
    CUT = auto()  # it and all that follows in this direction are lost for `seconds`; 0 is for ever


class Fault(NamedTuple):
    """One fault; which octet it befalls is the key it is kept under."""

    kind: FaultKind
    octets: bytes = b"\xff"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of a line, by offset of the octet in each direction, counted from the first one sent."""

    to_meter: Mapping[int, Fault] = field(default_factory=dict)
    to_client: Mapping[int, Fault] = field(default_factory=dict)
    echo: bool = False  # the client hears what it sends, as with some RS-485 adapters
    chunk: int | None = None  # octets delivered at once; None: as sent


class _Piece(NamedTuple):
    """Octets on their way."""

    arrival: float
    octets: bytes
    start: float  # when its first bit is on the line
    end: float  # when its last bit has left the sender
    baud: int  # of the sender
    destroyed: bool = False  # by the other side's octets at the same time


class _Side:
    """The baud that one end of the line works at, and from when."""

    def __init__(self, baud: int) -> None:
        self._baud = baud
        self._before = baud
        self._since = 0.0

    def change(self, baud: int, at: float) -> None:
        """Work at another baud from `at` on."""
        if baud != self._baud:
            self._before, self._baud, self._since = self._baud, baud, at

    def baud(self, at: float) -> int:
        """Return the baud at a time not before the last change but one."""
        return self._baud if at >= self._since else self._before


class _Direction:
    """Octets on their way one way."""

    def __init__(
        self,
        faults: Mapping[int, Fault],
        chunk: int | None,
        pace: Pace | None,
        sender: _Side,
        receiver: _Side,
    ) -> None:
        self._faults = faults
        self._chunk = 1 if chunk is None and pace is not None else chunk
        self._pace = pace
        self._sender = sender
        self._receiver = receiver
        self._offset = 0
        self._cut_until = 0.0
        self._queue: deque[_Piece] = deque()
        self.free_at = 0.0  # when all that was sent has left the sender

    def put(self, octets: bytes, now: float) -> None:
        """Send octets at `now`, or behind what is still being sent."""
        self.free_at = max(now, self.free_at)
        piece = bytearray()
        for octet in octets:
            fault = self._faults.get(self._offset)
            self._offset += 1
            if fault is not None:
                if fault.kind is FaultKind.PAUSE:
                    self._depart(piece)
                    piece.clear()
                    self.free_at += fault.seconds
                elif fault.kind is FaultKind.CUT:
                    self._cut_until = self.free_at + fault.seconds if fault.seconds else float("inf")
            if self.free_at < self._cut_until:
                continue
            piece += self._befallen(octet, fault)
        self._depart(piece)

    @staticmethod
    def _befallen(octet: int, fault: Fault | None) -> bytes:
        if fault is None or fault.kind in (FaultKind.PAUSE, FaultKind.CUT):
            return bytes((octet,))
        if fault.kind is FaultKind.DROP:
            return b""
        if fault.kind is FaultKind.DAMAGE:
            return bytes((octet ^ fault.octets[0],))
        if fault.kind is FaultKind.DOUBLE:
            return bytes((octet, octet))
        return fault.octets + bytes((octet,))

    def _depart(self, octets: bytearray) -> None:
        step = self._chunk or len(octets) or 1
        pace, latency = self._pace, 0.0 if self._pace is None else self._pace.latency_s
        for first in range(0, len(octets), step):
            cut = bytes(octets[first : first + step])
            start = self.free_at
            baud = self._sender.baud(start)
            if pace is not None:
                self.free_at += pace.octets_s(len(cut), baud)
            self._queue.append(_Piece(self.free_at + latency, cut, start, self.free_at, baud))

    def collide(self, other: _Direction) -> None:
        """Destroy what both directions have on the line at the same time."""
        mine = [(piece.start, piece.end) for piece in self._queue]
        for direction, slots in ((self, [(piece.start, piece.end) for piece in other._queue]), (other, mine)):
            for at, piece in enumerate(direction._queue):
                if any(start < piece.end and piece.start < end for start, end in slots):
                    direction._queue[at] = piece._replace(destroyed=True)

    def arrival(self) -> float | None:
        """Return when the next piece arrives, None if nothing travels."""
        return self._queue[0].arrival if self._queue else None

    def take(self) -> bytes:
        """Return the next piece; at another baud than the sender's it is something else."""
        piece = self._queue.popleft()
        if piece.destroyed:
            # Never the same octet again, and not when it is destroyed on its way back either.
            return bytes((7 * octet + 59) & 0xFF for octet in piece.octets)
        if piece.baud == self._receiver.baud(piece.end):
            return piece.octets
        # As a UART would: other octets, and fewer of them where the receiver is the slower one.
        slower = self._receiver.baud(piece.end) < piece.baud
        return (
            b""
            if slower and piece.octets[0] & 1
            else bytes(octet << 1 & 0xFF ^ 0x55 for octet in piece.octets)
        )


class NullModem:
    """The line between a client and one meter endpoint; a `Line` for the client."""

    def __init__(
        self,
        meter: Endpoint,
        faults: Faults | None = None,
        now: float = 0.0,
        pace: Pace | None = None,
    ) -> None:
        """Without `pace` octets arrive as soon as they are sent."""
        faults = Faults() if faults is None else faults
        self._meter = meter
        self._now = now
        self._pace = pace
        self._client = _Side(0 if pace is None else pace.baud)
        self._served = _Side(0 if pace is None else pace.baud)
        self._up = _Direction(faults.to_meter, faults.chunk, pace, self._client, self._served)
        self._down = _Direction(faults.to_client, faults.chunk, pace, self._served, self._client)
        self._echo = _Direction({}, faults.chunk, pace, self._client, self._client) if faults.echo else None
        self._closed = False
        self._steered = meter if isinstance(meter, SteersLine) else None
        self.collisions = 0  # times that both sides spoke at once
        self._steer()

    def now(self) -> float:
        """Return the line's own clock, in seconds."""
        return self._now

    def send(self, octets: bytes) -> None:
        """Put octets on the line; PortError once it is closed."""
        if self._closed:
            raise PortError("the line is closed")
        if self._echo is not None:
            self._echo.put(octets, self._now)
        self._up.put(octets, self._now)
        self._collide()

    def receive(self, deadline: float | None) -> bytes:
        """Return what arrives at the client first; b"" at the deadline.

        PortError where there is no deadline and nothing can ever arrive, or the meter has closed.
        """
        while True:
            if self._meter.closed and self._down.arrival() is None:
                raise PortError("the meter closed the connection")
            wake = self._meter.next_deadline()
            arrivals = (self._up.arrival(), self._down.arrival(), self._echoed())
            due = [at for at in (*arrivals, wake) if at is not None]
            at = max(self._now, min(due)) if due else None
            if at is None or (deadline is not None and at > deadline):
                if deadline is None:
                    raise PortError("nothing is on the line and nobody will send")
                self._now = max(self._now, deadline)
                return b""
            self._now = at
            for direction in (self._echo, self._down):
                arrival = None if direction is None else direction.arrival()
                if direction is not None and arrival is not None and arrival <= at:
                    octets = direction.take()
                    if octets:
                        return octets
                    break
            else:
                self._step_meter(wake)

    def configure(self, state: LineState) -> None:
        """Work at another baud once all that was sent is out. Paced lines only: others have no speed."""
        if self._pace is not None:
            self._client.change(state.baud, self._up.free_at)

    def carrier(self) -> bool | None:
        """Return None: there is no modem here."""
        return None

    def _echoed(self) -> float | None:
        return None if self._echo is None else self._echo.arrival()

    def _step_meter(self, wake: float | None) -> None:
        arrival = self._up.arrival()
        if arrival is not None and arrival <= self._now:
            octets = self._up.take()
            answer = self._meter.receive_data(octets, self._now) if octets else b""
        elif wake is not None and wake <= self._now:
            answer = self._meter.handle_timeout(self._now)
        else:
            return
        if answer:
            turnaround = 0.0 if self._pace is None else self._pace.turnaround_s
            self._down.put(answer, self._now + turnaround)
            self._collide()
        self._steer()

    def _steer(self) -> None:
        if self._pace is not None and self._steered is not None:
            self._served.change(self._steered.wanted.baud, max(self._now, self._down.free_at))

    def _collide(self) -> None:
        if self._pace is None or not self._pace.half_duplex:
            return
        if self._up.free_at > self._now and self._down.free_at > self._now:
            self._up.collide(self._down)
            self.collisions += 1

    def wait(self, seconds: float) -> bytes:
        """Let time pass; return all that arrived meanwhile."""
        deadline = self._now + seconds
        octets = b""
        while self._now < deadline:
            octets += self.receive(deadline)
        return octets

    def close(self) -> None:
        """Close the line."""
        self._closed = True


class AsyncNullModem:
    """The same line for the async client."""

    def __init__(self, line: NullModem) -> None:
        self._line = line

    def now(self) -> float:
        """Return the line's own clock, in seconds."""
        return self._line.now()

    async def send(self, octets: bytes) -> None:
        """Put octets on the line."""
        self._line.send(octets)

    async def receive(self, deadline: float | None) -> bytes:
        """Return what arrives first; see `NullModem.receive`."""
        return self._line.receive(deadline)

    async def configure(self, state: LineState) -> None:
        """Change the baud; see `NullModem.configure`."""
        self._line.configure(state)

    async def carrier(self) -> bool | None:
        """Return None: there is no modem here."""
        return None

    async def close(self) -> None:
        """Close the line."""
        self._line.close()
