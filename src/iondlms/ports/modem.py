"""The meter's internal modem, or one beside it: it answers calls, one at a time, and gives each an endpoint.

The init string goes out at the start, after each call and at a change of the baud. The meter lets it ring as
often as the answer hours say, answers, and hangs up when the carrier is lost, the other end says so, or
nothing was heard for the inactivity time-out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from iondlms.errors import LocalError
from iondlms.later import Later
from iondlms.ports.endpoint import Endpoint, LineState
from iondlms.ports.hayes import LONGEST_INIT, SETTLE_S, EndOfCall, HangUp, Result, ResultReader, command
from iondlms.ports.table import Step, rows

__all__ = ["MODEM", "AnswerHours", "ModemEndpoint", "ModemInput", "ModemSetup", "ModemState"]

_LOG: Final = logging.getLogger("iondlms.ports.modem")

_MINUTES: Final = 24 * 60
_MOST_RINGS: Final = 99


class ModemState(Enum):
    """Of the meter's side."""

    INITIALIZING = "the init string was sent"
    WAITING = "ready for a call"
    ANSWERING = "ATA was sent"
    ONLINE = "a call is up"
    HANGING_UP = "the call is being ended"


class ModemInput(Enum):
    """What happens to it."""

    OK = "OK"
    ERROR = "ERROR"
    RING = "RING, and there shall be more"
    LAST_RING = "RING, and it is to be answered"
    CONNECT = "CONNECT"
    ENDED = "NO CARRIER, NO ANSWER, BUSY, NO DIALTONE"
    OTHER = "a line that says nothing"
    TIMEOUT = "nothing came in time"
    CARRIER_LOST = "the carrier pin fell"
    IDLE = "the inactivity time-out of the endpoint has passed"
    ESCAPE = "+++ATH from the other end"
    HUNG_UP = "the hang-up is through"
    BAUD_CHANGE = "the port is to work at another baud"


_INITIALIZING, _WAITING, _ANSWERING, _ONLINE, _HANGING_UP = ModemState

MODEM: Final[dict[tuple[ModemState, ModemInput], Step[ModemState]]] = {
    **rows(
        _INITIALIZING,
        ModemInput,
        OK=Step("ready", _WAITING),
        # Said once, tried for ever: a modem that is switched on later is found.
        ERROR=Step("complain", _INITIALIZING),
        TIMEOUT=Step("initialize", _INITIALIZING),
        BAUD_CHANGE=Step("restart", _INITIALIZING),
        # It answered by itself (S0 in its profile).
        CONNECT=Step("connect", _ONLINE),
    ),
    **rows(
        _WAITING,
        ModemInput,
        RING=Step("ring", _WAITING),
        LAST_RING=Step("answer", _ANSWERING),
        # The caller has given up: the next one starts from the first ring.
        TIMEOUT=Step("forget_rings", _WAITING),
        ENDED=Step("forget_rings", _WAITING),
        BAUD_CHANGE=Step("restart", _INITIALIZING),
        CONNECT=Step("connect", _ONLINE),
    ),
    **rows(
        _ANSWERING,
        ModemInput,
        CONNECT=Step("connect", _ONLINE),
        ENDED=Step("initialize", _INITIALIZING),
        ERROR=Step("initialize", _INITIALIZING),
        TIMEOUT=Step("hang_up", _HANGING_UP),
        BAUD_CHANGE=Step("hang_up", _HANGING_UP),
    ),
    **rows(
        _ONLINE,
        ModemInput,
        # There is nothing left to hang up, unless it was the caller who said so.
        ENDED=Step("make_sure", _HANGING_UP),
        CARRIER_LOST=Step("hang_up", _HANGING_UP),
        IDLE=Step("hang_up", _HANGING_UP),
        ESCAPE=Step("hang_up", _HANGING_UP),
        BAUD_CHANGE=Step("hang_up", _HANGING_UP),
    ),
    **rows(_HANGING_UP, ModemInput, HUNG_UP=Step("restart", _INITIALIZING)),
}

_RESULTS: Final = {
    Result.OK: ModemInput.OK,
    Result.ERROR: ModemInput.ERROR,
    Result.CONNECT: ModemInput.CONNECT,
    Result.NO_CARRIER: ModemInput.ENDED,
    Result.NO_ANSWER: ModemInput.ENDED,
    Result.NO_DIALTONE: ModemInput.ENDED,
    Result.BUSY: ModemInput.ENDED,
    Result.OTHER: ModemInput.OTHER,
}


@dataclass(frozen=True, slots=True)
class AnswerHours:
    """How often it rings before the meter answers; 0 rings: it does not answer. LocalError out of range.

    Equal start and end: all day. A window may run over midnight.
    """

    start: int = 0  # minutes of the local day
    end: int = 0
    rings_within: int = 1
    rings_outside: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.start < _MINUTES and 0 <= self.end < _MINUTES):
            raise LocalError(f"answer hours {self.start}..{self.end} are not minutes of a day, 0..1439")
        if not (0 <= self.rings_within <= _MOST_RINGS and 0 <= self.rings_outside <= _MOST_RINGS):
            raise LocalError(f"a meter answers after 1 to {_MOST_RINGS} rings, or after 0 not at all")

    def rings(self, minute: int) -> int:
        """Return the rings before the answer at a minute of the local day."""
        if self.start == self.end:
            return self.rings_within
        within = (minute - self.start) % _MINUTES < (self.end - self.start) % _MINUTES
        return self.rings_within if within else self.rings_outside


@dataclass(frozen=True, slots=True)
class ModemSetup:
    """The settings of a modem port; LocalError for an init string that no meter takes."""

    init: str = "AT&F0E0V1X4&C1&D2S0=0"
    baud: int = 9600
    init_s: float = 5.0  # for OK; then the init string is sent again
    init_again_s: float = 30.0  # after ERROR
    answer_s: float = 60.0  # from ATA to CONNECT
    ring_gap_s: float = 8.0  # between two rings; the longest cadence in use is 6 s

    def __post_init__(self) -> None:
        command(self.init, LONGEST_INIT)


class ModemEndpoint:
    """A modem as an endpoint: AT dialogue and calls outside, an endpoint for each call inside."""

    def __init__(
        self,
        make_endpoint: Callable[[float], Endpoint],
        setup: ModemSetup,
        now: float,
        rings: Callable[[float], int] = lambda now: 1,  # noqa: ARG005
    ) -> None:
        """`rings(now)`: how many it takes now, as the meter's clock and its answer hours say."""
        self._make_endpoint = make_endpoint
        self._setup = setup
        self._rings = rings
        self._baud = setup.baud
        self._next_baud = setup.baud  # of the port, once a call that is up has ended
        self._reader = ResultReader()
        self._endpoint: Endpoint | None = None
        self._end = EndOfCall(now)
        self._hang_up: HangUp | None = None
        self._rung = 0
        self._carrier = False
        self._complained = False
        self._deadline: float | None = now  # the init string is the first thing a modem hears
        self.state = _INITIALIZING
        self.calls = 0

    @property
    def wanted(self) -> LineState:
        """The modem's baud; DTR falls while a call is ended."""
        return LineState(self._baud) if self._hang_up is None else self._hang_up.wanted

    @property
    def idle(self) -> bool:
        """True while there is no call."""
        return self.state is not _ONLINE

    @property
    def closed(self) -> bool:
        """Never: it is ready for the next call."""
        return False

    @property
    def later(self) -> Later | None:
        """That of the endpoint of the call."""
        return None if self._endpoint is None else self._endpoint.later

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take what the modem says, or through it the caller; return what is to be sent."""
        if self._hang_up is not None:
            return self._hanging_up(self._hang_up, self._hang_up.receive_data(data, now), now)
        if self._endpoint is not None:
            return self._online(self._endpoint, data, now)
        octets = b""
        results, rest = self._reader.feed(data)
        for result in results:
            octets += self._react(self._classify(result, now), now)
        if rest:
            octets += self.receive_data(rest, now)
        return octets

    def next_deadline(self) -> float | None:
        """Return when the modem, or the endpoint of the call, has waited long enough."""
        if self._hang_up is not None:
            return self._hang_up.next_deadline()
        if self._endpoint is not None:
            return self._endpoint.next_deadline()
        return self._deadline

    def handle_timeout(self, now: float) -> bytes:
        """Do what was due."""
        if self._hang_up is not None:
            return self._hanging_up(self._hang_up, self._hang_up.handle_timeout(now), now)
        if self._endpoint is not None:
            if self._end.receive(b"", now) is not None:
                return self._react(ModemInput.ENDED, now)
            octets = self._endpoint.handle_timeout(now)
            return octets + (self._react(ModemInput.IDLE, now) if self._endpoint.idle else b"")
        if self._deadline is not None and now >= self._deadline:
            return self._react(ModemInput.TIMEOUT, now)
        return b""

    def carrier_is(self, present: bool, now: float) -> bytes:
        """Take the state of the pin; it counts once it was on during the call."""
        fell = self._carrier and not present
        self._carrier = present and self.state is _ONLINE
        return self._react(ModemInput.CARRIER_LOST, now) if fell else b""

    def configure(self, baud: int, now: float) -> bytes:
        """Change the baud; the modem gets its init string once the port works at the new one.

        A call is hung up first, at the baud that the modem listens to.
        """
        self._next_baud = baud
        return self._react(ModemInput.BAUD_CHANGE, now)

    def _classify(self, result: Result, now: float) -> ModemInput:
        if result is not Result.RING:
            return _RESULTS[result]
        rings = self._rings(now)
        return ModemInput.LAST_RING if 0 < rings <= self._rung + 1 else ModemInput.RING

    def _react(self, received: ModemInput, now: float) -> bytes:
        action, self.state = MODEM[self.state, received]
        match action:
            case "initialize":
                return self._initialize(now)
            case "restart":
                # What is returned now would go out before the baud, or DTR, is what it is to be.
                self._baud = self._next_baud
                self._initialize(now)
                self._deadline = now + SETTLE_S
            case "ready":
                self._complained = False
                self._rung, self._deadline = 0, None
            case "complain":
                if not self._complained:
                    _LOG.warning("the modem does not take the init string %s", self._setup.init)
                self._complained = True
                self._deadline = now + self._setup.init_again_s
            case "ring":
                self._rung += 1
                self._deadline = now + self._setup.ring_gap_s
            case "forget_rings":
                self._rung, self._deadline = 0, None
            case "answer":
                self._rung = 0
                self._deadline = now + self._setup.answer_s
                return command("ATA")
            case "connect":
                self._deadline, self._carrier = None, False
                self._endpoint = self._make_endpoint(now)
                self._end = EndOfCall(now)
                self.calls += 1
            case "hang_up" | "make_sure":
                self._endpoint, self._deadline = None, None
                self._hang_up = HangUp(self._baud, over=action == "make_sure")
                return self._hang_up.start(now)
            case "ignore":
                pass
            case _:
                raise LocalError(f"the table names an action that there is not: {action}")
        return b""

    def _initialize(self, now: float) -> bytes:
        self._endpoint, self._hang_up = None, None
        self._reader = ResultReader()
        self._rung = 0
        self._deadline = now + self._setup.init_s
        return command(self._setup.init)

    def _online(self, endpoint: Endpoint, data: bytes, now: float) -> bytes:
        end = self._end.receive(data, now)
        if end is not None:
            return self._react(ModemInput.ENDED if end is Result.NO_CARRIER else ModemInput.ESCAPE, now)
        octets = endpoint.receive_data(data, now)
        return octets + (self._react(ModemInput.IDLE, now) if endpoint.closed else b"")

    def _hanging_up(self, hang_up: HangUp, octets: bytes, now: float) -> bytes:
        if hang_up.done:
            octets += self._react(ModemInput.HUNG_UP, now)
        return octets
