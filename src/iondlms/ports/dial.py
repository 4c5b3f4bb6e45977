"""The client's modem: dial, be connected, and hang up on every way out."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Self

from iondlms.errors import LocalError, PortError
from iondlms.ports.dialogue import Watch, converse, converse_async
from iondlms.ports.endpoint import AsyncLine, Line, LineState
from iondlms.ports.hayes import EndOfCall, HangUp, Result, ResultReader, command
from iondlms.ports.table import Step, rows

__all__ = ["DIAL", "AsyncModemTransport", "Dial", "DialInput", "DialSetup", "DialState", "ModemTransport"]

# With the colon it is HOST:PORT, for modems whose telephone network is TCP.
_NUMBER: Final = re.compile(r"[0-9*#,+WwTtPp@!;:()./ -]{1,64}")
_ABORT: Final = b"\r"  # any character ends dialling
_LONGEST_PAUSE_S: Final = 300.0
_CARRIER_LOST: Final = "the other end has hung up (NO CARRIER)"


class DialState(Enum):
    """Of a call to be made."""

    INITIALIZING = "the init string was sent"
    ESCAPING = "the escape was sent, to a modem that may be in a call still"
    DIALLING = "the number was sent"
    PAUSING = "the call failed; the next try comes later"
    ENDED = "connected, or given up"


class DialInput(Enum):
    """What the modem says to it."""

    OK = "OK"
    ERROR = "ERROR"
    CONNECT = "CONNECT"
    BUSY = "BUSY"
    NO_ANSWER = "NO ANSWER"
    NO_DIALTONE = "NO DIALTONE"
    NO_CARRIER = "NO CARRIER"
    RING = "RING"
    OTHER = "a line that says nothing"
    TIMEOUT = "nothing came in time"


_INITIALIZING, _ESCAPING, _DIALLING, _PAUSING, _ENDED = DialState

DIAL: Final[dict[tuple[DialState, DialInput], Step[DialState]]] = {
    **rows(
        _INITIALIZING,
        DialInput,
        OK=Step("dial", _DIALLING),
        ERROR=Step("pause", _PAUSING),
        # It may be in a call that a program left behind: then it hears nothing but the escape.
        TIMEOUT=Step("escape", _ESCAPING),
    ),
    **rows(
        _ESCAPING,
        DialInput,
        OK=Step("pause", _PAUSING),
        NO_CARRIER=Step("pause", _PAUSING),
        ERROR=Step("pause", _PAUSING),
        TIMEOUT=Step("pause", _PAUSING),
    ),
    **rows(
        _DIALLING,
        DialInput,
        CONNECT=Step("connect", _ENDED),
        BUSY=Step("pause", _PAUSING),
        NO_ANSWER=Step("pause", _PAUSING),
        NO_DIALTONE=Step("pause", _PAUSING),
        NO_CARRIER=Step("pause", _PAUSING),
        ERROR=Step("pause", _PAUSING),
        TIMEOUT=Step("abort", _PAUSING),
    ),
    **rows(_PAUSING, DialInput, TIMEOUT=Step("initialize", _INITIALIZING)),
    **rows(_ENDED, DialInput),
}


@dataclass(frozen=True, slots=True)
class DialSetup:
    """A call; LocalError for a number or an init string that cannot be sent."""

    number: str
    init: str = "AT&F0E0V1X4&C1&D2"
    baud: int = 9600
    dial: str = "ATD"  # ATDT and ATDP force tones and pulses
    retries: int = 2
    back_off_s: float = 10.0  # before the second try; doubled for each further one
    init_s: float = 5.0
    dial_s: float = 60.0  # from the number to CONNECT

    def __post_init__(self) -> None:
        if not _NUMBER.fullmatch(self.number):
            raise LocalError(f"{self.number!r} is no number to dial: figures, and , * # + W T P")
        command(self.init)
        command(self.dial)
        if self.retries < 0 or min(self.back_off_s, self.init_s, self.dial_s) < 0:
            raise LocalError("a call is tried once at least, and no time is below 0")


class Dial:
    """A `Dialogue` that ends connected, or with a PortError that says what the modem said last."""

    def __init__(self, setup: DialSetup) -> None:
        self._setup = setup
        self._reader = ResultReader()
        self._tries = 0
        self._deadline = 0.0
        self._reason = ""
        self.state = _PAUSING
        self.done = False
        self.error: PortError | None = None
        self.rest = b""

    @property
    def wanted(self) -> LineState:
        """The modem's baud, and DTR."""
        return LineState(self._setup.baud)

    def start(self, now: float) -> bytes:
        """Send the init string."""
        self._deadline = now
        return self.handle_timeout(now)

    def next_deadline(self) -> float:
        """Return when the modem has been silent for too long, or the pause is over."""
        return self._deadline

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take what the modem says."""
        octets = b""
        results, rest = self._reader.feed(data)
        for result in results:
            octets += self._react(DialInput[result.name], now)
        if self.done:
            self.rest += rest
        return octets

    def handle_timeout(self, now: float) -> bytes:
        """Do what was due."""
        return b"" if self.done or now < self._deadline else self._react(DialInput.TIMEOUT, now)

    def _react(self, received: DialInput, now: float) -> bytes:
        before = self.state
        action, self.state = DIAL[before, received]
        match action:
            case "initialize":
                self._tries += 1
                self._deadline = now + self._setup.init_s
                return command(self._setup.init)
            case "escape":
                # The silence before it was the wait for OK.
                self._reason = "the modem does not answer; check the device and the baud"
                self._deadline = now + self._setup.init_s
                return b"+++"
            case "dial":
                self._deadline = now + self._setup.dial_s
                return command(self._setup.dial + self._setup.number)
            case "connect":
                self.done = True
            case "pause":
                if before is _INITIALIZING:
                    self._reason = f"the modem does not take {self._setup.init}"
                elif before is _DIALLING:
                    self._reason = received.value
                self._pause(now)
            case "abort":
                self._reason = f"no connection within {self._setup.dial_s:g} s"
                self._pause(now)
                return _ABORT
            case "ignore":
                pass
            case _:
                raise LocalError(f"the table names an action that there is not: {action}")
        return b""

    def _pause(self, now: float) -> None:
        if self._tries > self._setup.retries:
            tries = "1 try" if self._tries == 1 else f"{self._tries} tries"
            self.error = PortError(f"no connection to {self._setup.number}: {self._reason} ({tries})")
            self.done, self.state = True, _ENDED
            return
        self._deadline = now + min(self._setup.back_off_s * 2 ** (self._tries - 1), _LONGEST_PAUSE_S)


class ModemTransport:
    """The client's call, blocking; also a context manager."""

    def __init__(self, line: Line, baud: int, rest: bytes = b"", watch: Watch | None = None) -> None:
        self._line = line
        self._baud = baud
        self._rest = rest
        self._watch = watch
        self._end = EndOfCall(line.now())
        self._carrier = False
        self._over = False  # the modem says that the other end has hung up
        self._open = True

    @classmethod
    def connect(cls, line: Line, setup: DialSetup, watch: Watch | None = None) -> ModemTransport:
        """Dial over a line; PortError if nobody is reached. Then, or if interrupted, the line is closed."""
        dial = Dial(setup)
        try:
            return cls(line, setup.baud, converse(dial, line, watch), watch)
        except BaseException:
            cls(line, setup.baud, watch=watch).close()
            raise

    def now(self) -> float:
        """Return the line's clock."""
        return self._line.now()

    def send(self, octets: bytes) -> None:
        """Send."""
        self._line.send(octets)

    def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the call has ended."""
        octets, self._rest = self._rest, b""
        octets = octets or self._line.receive(deadline)
        self._over |= self._end.receive(octets, self._line.now()) is Result.NO_CARRIER
        if self._over:
            if octets and self._watch is not None:
                self._watch("RX", octets, self._line.now())  # nobody else will see it
            raise PortError(_CARRIER_LOST)
        if not octets:
            carrier = self._line.carrier()
            self._over = self._carrier and carrier is False
            if self._over:
                raise PortError(_CARRIER_LOST)
            self._carrier = bool(carrier)
        return octets

    def close(self) -> None:
        """Hang up and close the line; closing twice is no fault."""
        if not self._open:
            return
        self._open = False
        try:
            self._hang_up()
        except BaseException:
            self._hang_up()  # interrupted in the middle: a call costs money; the second interrupt counts
            raise
        finally:
            self._line.close()

    def _hang_up(self) -> None:
        with contextlib.suppress(PortError):  # the line is dead, and so is the call
            converse(HangUp(self._baud, over=self._over), self._line, self._watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncModemTransport:
    """The client's call, for asyncio; also an async context manager."""

    def __init__(self, line: AsyncLine, baud: int, rest: bytes = b"", watch: Watch | None = None) -> None:
        self._line = line
        self._baud = baud
        self._rest = rest
        self._watch = watch
        self._end = EndOfCall(line.now())
        self._carrier = False
        self._over = False  # the modem says that the other end has hung up
        self._open = True

    @classmethod
    async def connect(
        cls, line: AsyncLine, setup: DialSetup, watch: Watch | None = None
    ) -> AsyncModemTransport:
        """Dial over a line; PortError if nobody is reached. Then, or if cancelled, the line is closed."""
        dial = Dial(setup)
        try:
            return cls(line, setup.baud, await converse_async(dial, line, watch), watch)
        except BaseException:
            await cls(line, setup.baud, watch=watch).close()
            raise

    def now(self) -> float:
        """Return the line's clock."""
        return self._line.now()

    async def send(self, octets: bytes) -> None:
        """Send."""
        await self._line.send(octets)

    async def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the call has ended."""
        octets, self._rest = self._rest, b""
        octets = octets or await self._line.receive(deadline)
        self._over |= self._end.receive(octets, self._line.now()) is Result.NO_CARRIER
        if self._over:
            if octets and self._watch is not None:
                self._watch("RX", octets, self._line.now())  # nobody else will see it
            raise PortError(_CARRIER_LOST)
        if not octets:
            carrier = await self._line.carrier()
            self._over = self._carrier and carrier is False
            if self._over:
                raise PortError(_CARRIER_LOST)
            self._carrier = bool(carrier)
        return octets

    async def close(self) -> None:
        """Hang up and close the line; closing twice is no fault."""
        if not self._open:
            return
        self._open = False
        try:
            await self._hang_up()
        except BaseException:
            await self._hang_up()  # cancelled in the middle: a call costs money; the second time counts
            raise
        finally:
            await self._line.close()

    async def _hang_up(self) -> None:
        with contextlib.suppress(PortError):  # the line is dead, and so is the call
            await converse_async(HangUp(self._baud, over=self._over), self._line, self._watch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
