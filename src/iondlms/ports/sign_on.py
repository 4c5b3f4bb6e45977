"""The opening sequence of mode E (IEC 62056-21 6.3, annex E): its messages, and the reader's side of it.

All at 300 baud, 7E1, two-way alternate:

    reader   / ? ADDRESS ! CR LF                request
    meter    / XXX Z \\ 2 IDENTIFICATION CR LF   XXX manufacturer, Z the baud it offers, \\2: HDLC is spoken
    reader   ACK 2 Z 2 CR LF                    HDLC procedure, the baud chosen, binary mode
    meter    ACK 2 Z 2 CR LF                    confirmation; not every meter sends it

Then both work at the chosen baud, 8N1, HDLC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from iondlms.errors import LocalError, PortError
from iondlms.ports.endpoint import LineState
from iondlms.ports.parity import ERROR, add_parity, strip_parity
from iondlms.ports.table import Step, rows

__all__ = [
    "BAUD_CODES",
    "READER",
    "SIGN_ON_BAUD",
    "Identification",
    "Messages",
    "NoSignOn",
    "ReaderState",
    "SignOn",
    "SignOnInput",
    "SignOnOptions",
    "acknowledge",
    "baud_code",
    "chosen_baud",
    "request",
    "requested_address",
    "sign_on_s",
]

SIGN_ON_BAUD: Final = 300
# 0 to 6 are the standard's (6.3.14, 13c). 7 to 9 it keeps for later; ION meters work at 38400 and more, and
# those three are what readers in the field take them for. They are offered only by a port set to them.
BAUD_CODES: Final = {
    "0": 300,
    "1": 600,
    "2": 1200,
    "3": 2400,
    "4": 4800,
    "5": 9600,
    "6": 19200,
    "7": 38400,
    "8": 57600,
    "9": 115200,
}
# Request: "/?", 32 characters of address and "!" (6.3.1); identification: "/XXXZ", "\2" and 16 (6.3.2).
_LONGEST: Final = 40
_ACK: Final = 0x06
_BITS: Final = 10  # of a character of 7E1
_REACTION_S: Final = 1.5  # the longest time to an answer, 6.4.3.1
_REQUEST: Final = re.compile(rb"/\?([ 0-9A-Za-z]{0,32})!")
_IDENTIFICATION: Final = re.compile(rb"/([A-Za-z]{3})([0-9A-Z])((?:\\[0-9])?)([\x20\x22-\x2e0-~]{0,16})")
_ACKNOWLEDGE: Final = re.compile(rb"\x062([0-9])2")


def baud_code(baud: int) -> str:
    """Return the character Z of a baud; LocalError if there is none."""
    for code, value in BAUD_CODES.items():
        if value == baud:
            return code
    known = ", ".join(str(value) for value in BAUD_CODES.values())
    raise LocalError(f"the sign-on cannot name {baud} baud; it can {known}")


@dataclass(frozen=True, slots=True)
class Identification:
    """Who answers the request, and how fast it can; LocalError for what cannot be sent."""

    manufacturer: str  # three letters
    baud: int  # the highest offered
    model: str = ""  # up to 16 printable characters, without / and !
    hdlc: bool = True  # the mark \2: mode E is spoken

    def __post_init__(self) -> None:
        code = baud_code(self.baud)
        if not _IDENTIFICATION.fullmatch(
            f"/{self.manufacturer}{code}{self.model}".encode("ascii", "replace")
        ):
            raise LocalError(
                f"{self.manufacturer!r}, {self.model!r}: three letters, then up to 16 characters"
            )

    @classmethod
    def decode(cls, line: bytes) -> Identification | None:
        """Read a message without its CR LF; None where it is no identification."""
        match = _IDENTIFICATION.fullmatch(line)
        if match is None:
            return None
        code = match[2].decode()
        if code not in BAUD_CODES:
            return None  # A to I are mode B, which has no HDLC
        model = match[4].decode("ascii", "replace")
        return cls(match[1].decode(), BAUD_CODES[code], model, match[3] == rb"\2")

    def encode(self) -> bytes:
        """Return the message on the line."""
        mark = r"\2" if self.hdlc else ""
        return add_parity(f"/{self.manufacturer}{baud_code(self.baud)}{mark}{self.model}\r\n".encode())


def sign_on_s(octets: bytes) -> float:
    """Return the seconds that octets take at 300 baud."""
    return len(octets) * _BITS / SIGN_ON_BAUD


def requested_address(line: bytes) -> str | None:
    """Return the device address that a request names, "" for any; None where it is no request."""
    match = _REQUEST.fullmatch(line)
    # Leading zeros do not count, 6.3.14 22.
    return None if match is None else match[1].decode().strip().lstrip("0")


def request(address: str) -> bytes:
    """Return the request on the line; LocalError for an address that has other characters."""
    message = f"/?{address}!".encode("ascii", "replace")
    if _REQUEST.fullmatch(message) is None:
        raise LocalError(f"{address!r} is no device address: up to 32 letters, figures and spaces")
    return add_parity(message + b"\r\n")


def acknowledge(baud: int) -> bytes:
    """Return the acknowledge, and its confirmation, on the line."""
    return add_parity(f"\x062{baud_code(baud)}2\r\n".encode())


def chosen_baud(line: bytes) -> int | None:
    """Return the baud that an acknowledge chooses; None where it does not choose HDLC."""
    match = _ACKNOWLEDGE.fullmatch(line)
    return None if match is None else BAUD_CODES[match[1].decode()]


class Messages:
    """Octets of the line -> messages, without their CR LF; holds at most one."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def pending(self) -> bool:
        """Whether the start of a message is held."""
        return bool(self._held)

    def flush(self) -> None:
        """Throw the half message away."""
        self._held = b""

    def feed(self, octets: bytes) -> list[bytes | None]:
        """Return the messages that are complete, None for one with a parity error or none at all.

        What stands before a "/" or ACK is no part of a message: a wake-up, the end of noise.
        """
        found: list[bytes | None] = []
        for character in strip_parity(octets):
            if character == 0x0A:
                line = _without_noise(self._held.rstrip(b"\r"))
                self._held = b""
                if line:
                    found.append(None if any(one & ERROR for one in line) else line)
            elif character or self._held:  # NULs wake battery meters up, 6.3.14; they say nothing
                self._held += bytes((character,))
                if len(self._held) > _LONGEST:
                    start = _start(self._held, 1)
                    self._held = self._held[start:] if start > 0 else b""
                    found.append(None)
        return found


def _start(line: bytes, at: int) -> int:
    starts = [place for place in (line.find(b"/", at), line.find(_ACK, at)) if place >= 0]
    return min(starts, default=-1)


def _without_noise(line: bytes) -> bytes:
    start = _start(line, 0)
    return line[start:] if start > 0 else line


class SignOnInput(Enum):
    """What a message is to either side."""

    REQUEST = "a request to this device, or to any"
    OTHER_REQUEST = "a request to another device"
    IDENTIFICATION = "an identification"
    ACKNOWLEDGE = "an acknowledge that chooses HDLC and a baud that was offered"
    WRONG_ACKNOWLEDGE = "any other acknowledge"
    BAD = "a parity error, or no message at all"
    TIMEOUT = "nothing came in time"
    RELEASED = "the link has ended"


class ReaderState(Enum):
    """Of the reader's side."""

    START = "nothing was sent"
    ASKED = "the request was sent"
    CHOSEN = "the acknowledge was sent"
    SETTLING = "both change their baud; then it is done"


_START, _ASKED, _CHOSEN, _SETTLING = ReaderState

READER: Final[dict[tuple[ReaderState, SignOnInput], Step[ReaderState]]] = {
    **rows(_START, SignOnInput, Step("ignore", _START), TIMEOUT=Step("request", _ASKED)),
    **rows(
        _ASKED,
        SignOnInput,
        # A damaged identification is waited out: the meter must not be spoken over.
        Step("misheard", _ASKED),
        # Our own request is heard where the optical head reflects.
        REQUEST=Step("echo", _ASKED),
        IDENTIFICATION=Step("acknowledge", _CHOSEN),
        TIMEOUT=Step("request", _ASKED),
    ),
    **rows(
        _CHOSEN,
        SignOnInput,
        Step("ignore", _CHOSEN),
        ACKNOWLEDGE=Step("confirmed", _SETTLING),
        # It asks for another baud than ours, or for no HDLC: what it does now is not known.
        WRONG_ACKNOWLEDGE=Step("request", _ASKED),
        # Meters that send no confirmation have switched all the same.
        TIMEOUT=Step("unconfirmed", _SETTLING),
        # It repeats itself: our acknowledge was lost.
        IDENTIFICATION=Step("acknowledge", _CHOSEN),
    ),
    # What is heard now came from another baud.
    **rows(_SETTLING, SignOnInput, Step("ignore", _SETTLING), TIMEOUT=Step("end", _SETTLING)),
}


@dataclass(frozen=True, slots=True)
class SignOnOptions:
    """The reader's side."""

    address: str = ""  # the device address; empty asks whoever is there
    max_baud: int = 115200  # never choose more than that
    # Of the request. Three take 10 s: meters that were just read stay at their baud for up to 5 s.
    tries: int = 3
    # 0.2 s from one side's last character to the other's first, 6.4.3.1.
    settle_s: float = 0.2

    def __post_init__(self) -> None:
        request(self.address)
        baud_code(self.max_baud)


class NoSignOn(PortError):
    """The device is there, and nobody signs on over it."""


class SignOn:
    """The reader's side: a `Dialogue` that ends with the line at the baud agreed on."""

    def __init__(self, options: SignOnOptions | None = None) -> None:
        self._options = SignOnOptions() if options is None else options
        self._messages = Messages()
        self._tries = 0
        self._acknowledged = 0
        self._deadline = 0.0
        self._baud = SIGN_ON_BAUD
        self._chosen = SIGN_ON_BAUD
        self._echoing = False  # our own request was heard
        self._misheard = False
        self.state = _START
        self.identification: Identification | None = None
        self.error: PortError | None = None
        self.done = False
        self.rest = b""

    @property
    def wanted(self) -> LineState:
        """300 baud until it is done."""
        return LineState(self._baud)

    def start(self, now: float) -> bytes:
        """Send the request."""
        return self._react(SignOnInput.TIMEOUT, now)

    def next_deadline(self) -> float:
        """Return when the answer is late."""
        return self._deadline

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take what the meter says."""
        octets = b""
        for message in self._messages.feed(data):
            octets += self._react(self._classify(message), now, message or b"")
        return octets

    def handle_timeout(self, now: float) -> bytes:
        """Ask again, go on without confirmation, or end."""
        if now < self._deadline or self.done:
            return b""
        self._messages.flush()
        return self._react(SignOnInput.TIMEOUT, now)

    def _classify(self, message: bytes | None) -> SignOnInput:
        if message is None:
            return SignOnInput.BAD
        if requested_address(message) is not None:
            return SignOnInput.REQUEST
        if message[0] == _ACK:
            right = chosen_baud(message) == self._chosen
            return SignOnInput.ACKNOWLEDGE if right else SignOnInput.WRONG_ACKNOWLEDGE
        return SignOnInput.IDENTIFICATION if Identification.decode(message) else SignOnInput.BAD

    def _react(self, received: SignOnInput, now: float, message: bytes = b"") -> bytes:
        before = self.state
        action, self.state = READER[before, received]
        match action:
            case "request":
                return self._request(now)
            case "acknowledge":
                return self._acknowledge(message, now)
            case "misheard":
                self._misheard = True
            case "echo":
                self._echoing = True
            case "confirmed" if self._echoing:
                # Where the request came back, this is our own message as well.
                self._echoing, self.state = False, before
            case "confirmed" | "unconfirmed":
                self._baud = self._chosen
                self._deadline = now + self._options.settle_s
            case "end":
                self.done = True
            case "ignore":
                pass
            case _:
                raise LocalError(f"the table names an action that there is not: {action}")
        return b""

    def _request(self, now: float) -> bytes:
        if self._tries >= self._options.tries:
            heard = "its answer cannot be read" if self._misheard else "nothing answers"
            self.error = NoSignOn(
                f"no sign-on: {heard} at 300 baud, 7E1; see how the optical head sits, try without mode_e;"
                " a meter whose reading broke off hears 300 baud again after its inactivity time, 2 minutes"
            )
            self.done = True
            return b""
        self._tries += 1
        octets = request(self._options.address)
        # The request, the longest reaction, the longest identification, and a second for what lies between.
        longest = Identification("XXX", SIGN_ON_BAUD, "." * 16).encode()
        self._deadline = now + sign_on_s(octets + longest) + _REACTION_S + 1.0
        return octets

    def _acknowledge(self, message: bytes, now: float) -> bytes:
        identification = Identification.decode(message)
        if identification is None:
            return b""
        self._acknowledged += 1
        if self._acknowledged > self._options.tries:
            self.error = NoSignOn("no sign-on: the meter repeats its identification, whatever it is told")
            self.done = True
            return b""
        self.identification = identification
        self._chosen = min(identification.baud, self._options.max_baud)
        octets = acknowledge(self._chosen)
        self._deadline = now + sign_on_s(2 * octets) + _REACTION_S
        return octets
