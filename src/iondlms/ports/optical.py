"""The front optical port with its opening sequence, mode E: the meter's side and the reader's.

Without the sign-on an optical port is a serial port like any other, and nothing of this is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer, Frame, Kind
from iondlms.later import Later
from iondlms.ports.dialogue import Watch, converse, converse_async
from iondlms.ports.endpoint import AsyncLine, Endpoint, Line, LineState
from iondlms.ports.sign_on import (
    SIGN_ON_BAUD,
    Identification,
    Messages,
    SignOn,
    SignOnInput,
    SignOnOptions,
    acknowledge,
    chosen_baud,
    request,
    requested_address,
    sign_on_s,
)
from iondlms.ports.table import Step, rows

__all__ = [
    "SIGN_ON",
    "AsyncOpticalTransport",
    "OpticalTransport",
    "SignOnEndpoint",
    "SignOnSetup",
    "SignOnState",
]

_ACK: Final = b"\x06"
_CHARACTER_S: Final = 1.5  # the longest pause within a message, 6.4.3.2


class SignOnState(Enum):
    """Of the meter's side."""

    START = "at 300 baud, waiting for a request"
    OFFERED = "the identification was sent"
    HDLC = "at the chosen baud"


_START, _OFFERED, _HDLC = SignOnState

# All that is not named leads back to the start, where the next request finds it.
SIGN_ON: Final[dict[tuple[SignOnState, SignOnInput], Step[SignOnState]]] = {
    **rows(_START, SignOnInput, Step("ignore", _START), REQUEST=Step("offer", _OFFERED)),
    **rows(
        _OFFERED,
        SignOnInput,
        Step("restart", _START),
        # The reader has not understood the identification.
        REQUEST=Step("offer", _OFFERED),
        ACKNOWLEDGE=Step("confirm", _HDLC),
    ),
    # Messages are 300 baud and 7E1; here they are noise between frames.
    **rows(_HDLC, SignOnInput, Step("ignore", _HDLC), RELEASED=Step("restart", _START)),
}


@dataclass(frozen=True, slots=True)
class SignOnSetup:
    """The meter's side; LocalError for an address that no request can name."""

    identification: Identification
    address: str = ""  # the device address it answers besides "any"
    confirm: bool = True  # answer the acknowledge
    acknowledge_s: float = 5.0  # for the acknowledge to come, after the identification is out
    # After DISC was answered, how long the next SNRM may take at the same baud: readers that clear a link
    # before they set up their own send both.
    release_s: float = 5.0
    inactivity_s: float = 120.0  # without a frame; the endpoint's own is put off by noise as well

    def __post_init__(self) -> None:
        request(self.address)


class SignOnEndpoint:
    """An endpoint that is signed on to before it speaks HDLC; it steers the port's baud by `wanted`."""

    def __init__(self, make_endpoint: Callable[[float], Endpoint], setup: SignOnSetup) -> None:
        self._make_endpoint = make_endpoint
        self._setup = setup
        self._messages = Messages()
        self._endpoint: Endpoint | None = None
        self._frames = Deframer()
        self._baud = SIGN_ON_BAUD
        self._heard = 0.0
        # Of the acknowledge, of the next frame, or of the next SNRM after DISC.
        self._deadline: float | None = None
        self._disconnected = False  # DISC was answered, and nothing of a link since
        self._last: Frame | None = None  # behind an answer that waits: the last that was said
        self.state = _START

    @property
    def wanted(self) -> LineState:
        """300 baud until the acknowledge was confirmed, then the baud it chose."""
        return LineState(self._baud)

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take octets and return the answer to them."""
        if self._messages.pending and now - self._heard >= _CHARACTER_S:
            self._messages.flush()
        self._heard = now
        answer = bytearray()
        start = 0
        # What stands behind the acknowledge is HDLC already, so messages are taken one by one.
        while start < len(data) and self._endpoint is None:
            end = data.find(b"\n", start) + 1 or len(data)
            for message in self._messages.feed(data[start:end]):
                answer += self._react(self._classify(message), now, message or b"")
            start = end
        if start < len(data) and self._endpoint is not None:
            answer += self._hdlc(self._endpoint, data[start:] if start else data, now)
        return bytes(answer)

    def next_deadline(self) -> float | None:
        """Return the first of: a message, an acknowledge, a link takes too long."""
        deadlines = [self._deadline]
        if self._endpoint is not None:
            deadlines.append(self._endpoint.next_deadline())
        elif self._messages.pending:
            deadlines.append(self._heard + _CHARACTER_S)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> bytes:
        """Go back to the start where something took too long."""
        if self._messages.pending and now >= self._heard + _CHARACTER_S:
            self._messages.flush()
        answer = b""
        if self._endpoint is not None:
            self._forget_half_frame(self._endpoint, now)
            answer = self._endpoint.handle_timeout(now)
            if self._last is not None and self._endpoint.later is None:
                self._judge(self._last, answer, now)
                self._last = None
            if self._endpoint.idle or (self._deadline is not None and now >= self._deadline):
                answer += self._react(SignOnInput.RELEASED, now)
        elif self._deadline is not None and now >= self._deadline:
            answer = self._react(SignOnInput.TIMEOUT, now)
        return answer

    @property
    def idle(self) -> bool:
        """True while nobody is signed on."""
        return self.state is _START

    @property
    def closed(self) -> bool:
        """Never: whatever went wrong, it goes back to the start."""
        return False

    @property
    def later(self) -> Later | None:
        """That of the endpoint behind the sign-on."""
        return None if self._endpoint is None else self._endpoint.later

    def _classify(self, message: bytes | None) -> SignOnInput:
        if message is None:
            return SignOnInput.BAD
        address = requested_address(message)
        if address is not None:
            ours = address in ("", self._setup.address.strip().lstrip("0"))
            return SignOnInput.REQUEST if ours else SignOnInput.OTHER_REQUEST
        if message.startswith(_ACK):
            baud = chosen_baud(message)
            offered = baud is not None and baud <= self._setup.identification.baud
            return SignOnInput.ACKNOWLEDGE if offered else SignOnInput.WRONG_ACKNOWLEDGE
        return SignOnInput.IDENTIFICATION if Identification.decode(message) else SignOnInput.BAD

    def _react(self, received: SignOnInput, now: float, message: bytes = b"") -> bytes:
        action, self.state = SIGN_ON[self.state, received]
        match action:
            case "offer":
                octets = self._setup.identification.encode()
                # `now` is when it is handed over; it takes its time at 300 baud.
                self._deadline = now + sign_on_s(octets) + self._setup.acknowledge_s
                return octets
            case "confirm":
                self._baud = chosen_baud(message) or SIGN_ON_BAUD
                self._deadline, self._disconnected = now + self._setup.inactivity_s, False
                self._endpoint = self._make_endpoint(now)
                self._frames = Deframer()
                return acknowledge(self._baud) if self._setup.confirm else b""
            case "restart":
                self._endpoint, self._deadline, self._baud, self._last = None, None, SIGN_ON_BAUD, None
                self._messages.flush()
            case "ignore":
                pass
            case _:
                raise LocalError(f"the table names an action that there is not: {action}")
        return b""

    def _hdlc(self, endpoint: Endpoint, data: bytes, now: float) -> bytes:
        self._forget_half_frame(endpoint, now)
        frames = self._frames.feed(data)
        answer = endpoint.receive_data(data, now)
        # Only frames count: a reader that asks at 300 baud is noise here, and would never be heard again.
        if frames:
            self._judge(frames[-1], answer, now)
            self._last = None if endpoint.later is None else frames[-1]
        if endpoint.closed:
            self._react(SignOnInput.RELEASED, now)
        return answer

    def _judge(self, last: Frame, answer: bytes, now: float) -> None:
        """See from the last frame and its answer how long the baud is kept."""
        if answer and last.kind is Kind.DISC:
            self._disconnected, self._deadline = True, now + self._setup.release_s
        elif not self._disconnected or _answers_a_link(answer):
            self._disconnected, self._deadline = False, now + self._setup.inactivity_s

    def _forget_half_frame(self, endpoint: Endpoint, now: float) -> None:
        """Let the endpoint's RxTimeout end a half frame here as well, else it hides the frame behind it."""
        due = endpoint.next_deadline()
        if due is not None and now >= due and endpoint.later is None:
            self._frames.flush()


def _answers_a_link(answer: bytes) -> bool:
    return any(frame.kind is not Kind.DM for frame in Deframer().feed(answer))


class OpticalTransport:
    """The reader's line behind a sign-on, blocking."""

    def __init__(self, line: Line, identification: Identification | None) -> None:
        self.identification = identification  # what the meter said it is
        self._line = line

    @classmethod
    def connect(
        cls, line: Line, options: SignOnOptions | None = None, watch: Watch | None = None
    ) -> OpticalTransport:
        """Sign on over a line; NoSignOn if that fails, and then, as for PortError, the line is closed."""
        sign_on = SignOn(options)
        try:
            converse(sign_on, line, watch)
        except BaseException:
            line.close()
            raise
        return cls(line, sign_on.identification)

    def now(self) -> float:
        """Return the line's clock."""
        return self._line.now()

    def send(self, octets: bytes) -> None:
        """Send."""
        self._line.send(octets)

    def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline."""
        return self._line.receive(deadline)

    def close(self) -> None:
        """Close the line; the meter goes back to 300 baud by itself."""
        self._line.close()


class AsyncOpticalTransport:
    """The reader's line behind a sign-on, for asyncio."""

    def __init__(self, line: AsyncLine, identification: Identification | None) -> None:
        self.identification = identification
        self._line = line

    @classmethod
    async def connect(
        cls, line: AsyncLine, options: SignOnOptions | None = None, watch: Watch | None = None
    ) -> AsyncOpticalTransport:
        """Sign on over a line; NoSignOn if that fails, and then, as for PortError, the line is closed."""
        sign_on = SignOn(options)
        try:
            await converse_async(sign_on, line, watch)
        except BaseException:
            await line.close()
            raise
        return cls(line, sign_on.identification)

    def now(self) -> float:
        """Return the line's clock."""
        return self._line.now()

    async def send(self, octets: bytes) -> None:
        """Send."""
        await self._line.send(octets)

    async def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline."""
        return await self._line.receive(deadline)

    async def close(self) -> None:
        """Close the line."""
        await self._line.close()
