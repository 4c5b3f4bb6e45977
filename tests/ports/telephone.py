"""A telephone network with Hayes modems on it: no wire, no waiting, but the manners of the real thing."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from iondlms.errors import PortError
from iondlms.ports.endpoint import HearsCarrier, LineState, SteersLine

GUARD_S = 1.0
RING_S = 6.0
CONNECT_S = 2.0


class HayesModem:
    """A modem as its computer sees it. `say` takes what it says; `pins` is whether it has pins at all."""

    def __init__(self, network: Network, number: str, pins: bool = True) -> None:
        self.network = network
        self.number = number
        self.pins = pins
        self.say: Callable[[bytes], None] = lambda octets: None
        self.commands: list[str] = []
        self.peer: HayesModem | None = None
        self.caller: HayesModem | None = None  # who lets it ring
        self.called: HayesModem | None = None  # whom it dials
        self.online = False  # the computer's octets go to the peer
        self.refuse = False  # it answers ERROR
        self.deaf = False  # it is switched off
        self._line = b""
        self._heard = 0.0
        self._plus = b""
        self._ready = True
        network.modems[number] = self

    def computer_says(self, octets: bytes, now: float) -> None:
        if self.deaf:
            return
        silence = now - self._heard
        self._heard = now
        if self.called is not None and octets:
            self.abort()
            octets = octets[1:]  # any character ends dialling, and is taken for nothing else
        if self.online and self.peer is not None:
            self._plus = self._plus + octets if self._plus or silence >= GUARD_S else b""
            if self._plus == b"+++":
                self._plus = b""
                self.online = False  # the guard behind it is taken for granted
                self.result("OK")
            elif not b"+++".startswith(self._plus) or not self._plus:
                self._plus = b""
                self.peer.say(octets)
            return
        for octet in octets:
            if octet == 13:
                text, self._line = self._line.decode("latin-1"), b""
                self._command(text[max(text.upper().find("AT"), 0) :])
            else:
                self._line += bytes((octet,))

    def terminal_ready(self, ready: bool) -> None:
        if self.pins and self._ready and not ready:
            if self.peer is not None:
                self.hang_up()
            elif self.called is not None:
                self.abort()
        self._ready = ready

    def carrier(self) -> bool | None:
        return self.peer is not None if self.pins else None

    def result(self, text: str) -> None:
        self.say(f"\r\n{text}\r\n".encode())

    def _command(self, text: str) -> None:
        if not text.upper().startswith("AT"):
            return
        self.commands.append(text)
        words = text.upper()[2:]
        if self.refuse:
            self.result("ERROR")
        elif words.startswith("D"):
            self.network.dial(self, words.lstrip("DTP"))
        elif words == "A":
            self.network.answer(self)
        elif words.startswith("H"):
            if self.peer is not None:
                self.hang_up(say=False)
            self.result("OK")
        else:
            self.result("OK")

    def abort(self) -> None:
        if self.called is not None:
            self.called.caller = None
            self.called = None
            self.result("NO CARRIER")

    def hang_up(self, say: bool = True) -> None:
        peer, self.peer, self.online = self.peer, None, False
        if say:
            self.result("NO CARRIER")
        if peer is not None and peer.peer is self:
            peer.peer, peer.online = None, False
            peer.result("NO CARRIER")


class Network:
    """The exchange, and the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.modems: dict[str, HayesModem] = {}
        self.say_to_caller: list[str] = []  # what callers get instead of a connection, in turn
        self.rings = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def next_event(self) -> float | None:
        return self._events[0][0] if self._events else None

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = max(self.now, until)

    def dial(self, caller: HayesModem, number: str) -> None:
        called = self.modems.get(number)
        if self.say_to_caller:
            word = self.say_to_caller.pop(0)
            if word:
                self.at(1.0, lambda: caller.result(word))
        elif called is None or called.peer is not None:
            self.at(1.0, lambda: caller.result("BUSY"))
        else:
            called.caller, caller.called = caller, called
            self._ring(called, 8)

    def _ring(self, called: HayesModem, left: int) -> None:
        if called.caller is None:
            return
        if not left:
            called.caller.called = None
            called.caller.result("NO ANSWER")
            called.caller = None
            return
        self.rings += 1
        called.result("RING")
        self.at(RING_S, lambda: self._ring(called, left - 1))

    def answer(self, called: HayesModem) -> None:
        caller, called.caller = called.caller, None
        if caller is None:
            called.result("NO CARRIER")
            return
        self.at(CONNECT_S, lambda: self._connect(caller, called))

    def _connect(self, caller: HayesModem, called: HayesModem) -> None:
        if caller.called is not called:
            called.result("NO CARRIER")  # the caller has given up meanwhile
            return
        caller.called = None
        for one, other, word in ((called, caller, "CONNECT 9600"), (caller, called, "CONNECT")):
            one.result(word)
            one.peer, one.online = other, True


class Subscriber:
    """An endpoint behind a modem: the port in virtual time."""

    def __init__(self, modem: HayesModem, endpoint: SteersLine) -> None:
        self._modem = modem
        self._endpoint = endpoint
        modem.say = self._heard
        self.wake()

    def _heard(self, octets: bytes) -> None:
        network = self._modem.network
        # The modem's words take a moment, so that nothing is answered before it was said.
        network.at(0.001, lambda: self._answer(self._endpoint.receive_data(octets, network.now)))

    def _answer(self, octets: bytes) -> None:
        if octets:
            self._modem.computer_says(octets, self._modem.network.now)
        self._modem.terminal_ready(self._endpoint.wanted.terminal_ready)

    def wake(self) -> None:
        """Do what is due; the network's clock drives it."""
        network = self._modem.network
        carrier = self._modem.carrier()
        if carrier is not None and isinstance(self._endpoint, HearsCarrier):
            self._answer(self._endpoint.carrier_is(carrier, network.now))
        for _ in range(5):
            deadline = self._endpoint.next_deadline()
            if deadline is None or deadline > network.now:
                break
            self._answer(self._endpoint.handle_timeout(network.now))
        network.at(0.1, self.wake)


class CallingLine:
    """The client's serial line to its modem; a `Line`."""

    def __init__(self, modem: HayesModem) -> None:
        self._modem = modem
        self._network = modem.network
        self._arrived = b""
        self.states: list[LineState] = []
        self.closed = 0
        self.interrupt_at: float | None = None
        modem.say = self._heard

    def _heard(self, octets: bytes) -> None:
        self._arrived += octets

    def now(self) -> float:
        return self._network.now

    def send(self, octets: bytes) -> None:
        if self.closed:
            raise PortError("closed")
        self._modem.computer_says(octets, self._network.now)

    def receive(self, deadline: float | None) -> bytes:
        if self.closed:
            raise PortError("closed")
        while not self._arrived:
            event = self._network.next_event()
            if event is None or (deadline is not None and event > deadline):
                if deadline is None:
                    raise PortError("nothing will ever come")
                self._network.run(deadline)
                return b""
            if self.interrupt_at is not None and event >= self.interrupt_at:
                self.interrupt_at = None
                raise KeyboardInterrupt
            self._network.run(event)
        arrived, self._arrived = self._arrived, b""
        return arrived

    def configure(self, state: LineState) -> None:
        self.states.append(state)
        self._modem.terminal_ready(state.terminal_ready)

    def carrier(self) -> bool | None:
        return self._modem.carrier()

    def close(self) -> None:
        self.closed += 1


class AsyncCallingLine:
    """The same for asyncio."""

    def __init__(self, line: CallingLine) -> None:
        self.line = line

    def now(self) -> float:
        return self.line.now()

    async def send(self, octets: bytes) -> None:
        self.line.send(octets)

    async def receive(self, deadline: float | None) -> bytes:
        return self.line.receive(deadline)

    async def configure(self, state: LineState) -> None:
        self.line.configure(state)

    async def carrier(self) -> bool | None:
        return self.line.carrier()

    async def close(self) -> None:
        self.line.close()
