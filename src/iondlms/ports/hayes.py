"""What computer and modem say to each other: AT commands, result codes, the escape (ITU-T V.250, Hayes)."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from iondlms.errors import LocalError
from iondlms.hdlc import Deframer
from iondlms.ports.endpoint import LineState

__all__ = ["LONGEST_INIT", "EndOfCall", "HangUp", "Result", "ResultReader", "command"]

LONGEST_INIT: Final = 47  # characters, as the meter's own setup register
GUARD_S: Final = 1.1  # silence around the escape; modems want 1 s (S12 = 50)
SETTLE_S: Final = 0.2  # from a pin or a baud that changed to the first octet
_ANSWER_S: Final = 5.0  # for OK behind ATH: the line has to fall
_ESCAPE: Final = b"+++"
_LONGEST_LINE: Final = 80
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")
_NO_CARRIER: Final = re.compile(rb"[\r\n~]NO CARRIER(?=[\r\n])")
_SHORT_OF_IT: Final = len(b"~NO CARRIER\r") - 1


class Result(Enum):
    """What a modem says. Its words, or with V0 its numbers."""

    OK = "OK"
    CONNECT = "CONNECT"
    RING = "RING"
    NO_CARRIER = "NO CARRIER"
    ERROR = "ERROR"
    NO_DIALTONE = "NO DIALTONE"
    BUSY = "BUSY"
    NO_ANSWER = "NO ANSWER"
    OTHER = "anything else: our own command, a caller's number"


_NUMBERS: Final = {
    "0": Result.OK,
    "1": Result.CONNECT,
    "2": Result.RING,
    "3": Result.NO_CARRIER,
    "4": Result.ERROR,
    "6": Result.NO_DIALTONE,
    "7": Result.BUSY,
    "8": Result.NO_ANSWER,
}
_ERRORS: Final = ("ERROR", "+CME ERROR", "+CMS ERROR")  # some say behind it what is wrong; + is GSM's
_WORDS: Final = {result.value: result for result in Result if result is not Result.OTHER}


def command(text: str, longest: int = 255) -> bytes:
    """Return a command line to send; LocalError if it is none."""
    if not text.upper().startswith("AT") or not _PRINTABLE.fullmatch(text):
        raise LocalError(f"{text!r} is no modem command: it starts with AT and is plain ASCII")
    if len(text) > longest:
        raise LocalError(f"{text!r} has {len(text)} characters; {longest} is the most")
    return text.encode("ascii") + b"\r"


def _result(line: str) -> Result:
    if line in _NUMBERS:
        return _NUMBERS[line]
    words = line.upper()
    if words.startswith("CONNECT"):  # with the speed behind it, or not
        return Result.CONNECT
    if words.startswith(_ERRORS):
        return Result.ERROR
    if words == "NO DIAL TONE":
        return Result.NO_DIALTONE
    if words.startswith("RING") and words[4:].strip(" 123456789") == "":
        return Result.RING
    return _WORDS.get(words, Result.OTHER)


class ResultReader:
    """Octets of a modem in command state -> results; holds one line of 80 characters at most."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, octets: bytes) -> tuple[list[Result], bytes]:
        """Return the results that are complete, and what stands behind CONNECT: that is the other end's."""
        results = []
        for at, octet in enumerate(octets):
            if octet not in b"\r\n":
                self._held.append(octet & 0x7F)  # a modem answers in the parity that it was spoken to in
                del self._held[:-_LONGEST_LINE]
                continue
            line = self._held.decode("ascii").strip(" \0")
            self._held.clear()
            if line:
                results.append(_result(line))
                if results[-1] is Result.CONNECT:
                    return results, octets[at + 1 :].removeprefix(b"\n")
        return results, b""


class EndOfCall:
    """Finds the end of a call in what the other end sends.

    NO CARRIER comes from our own modem, on a line of its own; some write no line end before it, and then it
    follows on CONNECT or on the flag that ends a frame. A frame may carry the same octets, which its check
    proves to be its own; where the call ended within a frame, the silence behind tells.

    `+++ATH` comes after a second of silence, from a program that takes the line for its modem: on a null
    modem, or a serial server that has none.
    """

    _HANG_UP: Final = _ESCAPE + b"ATH"

    def __init__(self, now: float) -> None:
        self._tail = b"\n"  # of CONNECT
        self._frames = Deframer()
        self._said = 0  # NO CARRIER as often as no frame has claimed it
        self._heard = now
        self._escape: bytes | None = None  # what came since the silence, while it may be an escape

    def receive(self, octets: bytes, now: float) -> Result | None:
        """Return NO_CARRIER or, for the escape, OTHER; None while the call goes on.

        No octets: a deadline has passed without any.
        """
        if not octets:
            self._frames.flush()
            return Result.NO_CARRIER if self._said else None
        if now - self._heard >= GUARD_S and self._escape != _ESCAPE:
            self._escape = b""
        self._heard = now
        if self._escape is not None:
            self._escape = (self._escape + octets).translate(None, b"\r\n ").upper()
            if self._escape.startswith(self._HANG_UP):
                return Result.OTHER
            if not self._HANG_UP.startswith(self._escape):
                self._escape = None
        tail = self._tail + octets
        self._tail = tail[-_SHORT_OF_IT:]
        self._said += len(_NO_CARRIER.findall(tail))
        for frame in self._frames.feed(octets):
            if self._said:
                self._said = max(0, self._said - len(_NO_CARRIER.findall(frame.encode())))
        return Result.NO_CARRIER if self._said and not self._frames.in_frame else None


class HangUp:
    """A `Dialogue` that ends a call, whatever the modem understands, and always ends well.

    DTR falls for a second, and most modems hang up at that; then the escape and ATH for those that are set,
    or wired, to ignore it. A modem that has said that the call is `over` listens to commands already: there
    is nothing to escape from, and no line that has yet to fall. If it then answers nothing, it was not the
    modem who said so, and all is done as for any other call.
    """

    def __init__(self, baud: int, *, over: bool = False) -> None:
        self._baud = baud
        self._reader = ResultReader()
        # What was sent before it was heard that the call is over is a line begun, which CR ends.
        # Then any answer will do: it shows that commands are heard, and some modems have none to ATH.
        self._steps = [b"\r" + command("ATH"), command("AT")] if over else [_ESCAPE, command("ATH")]
        self._over = over
        self._ready = True
        self._deadline = 0.0
        self._asked = False  # something was sent that the modem answers
        self._hung_up = False
        self.done = False
        self.error = None
        self.rest = b""

    @property
    def wanted(self) -> LineState:
        """DTR off at first, then on again for the next call."""
        return LineState(self._baud, self._ready)

    def start(self, now: float) -> bytes:
        """Let DTR fall; the silence before the escape begins."""
        self._ready = False
        self._deadline = now + GUARD_S
        return b""

    def next_deadline(self) -> float:
        """Return when the next step is due."""
        return self._deadline

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take what the modem says; the rest of what the other end said is not listened to."""
        results, _ = self._reader.feed(data)
        if not set(results) & {Result.OK, Result.NO_CARRIER, Result.ERROR}:
            return b""
        if Result.NO_CARRIER in results or (self._over and self._asked) or not self._steps:
            self._hung_up = True
        # Unasked it speaks of DTR, which stays off for its second.
        return self._next(now) if self._asked else b""

    def handle_timeout(self, now: float) -> bytes:
        """Do the next step."""
        if self.done or now < self._deadline:
            return b""
        return self._next(now)

    def _next(self, now: float) -> bytes:
        if not self._ready:
            self._ready = True
            self._deadline = now + SETTLE_S
            return b""
        if self._over and not self._steps and not self._hung_up:
            self._over = False
            self._steps = [_ESCAPE, command("ATH")]  # the silence before it was the wait for the answer
        if self._hung_up or not self._steps:
            self.done = True
            return b""
        self._asked = True
        octets = self._steps.pop(0)
        if self._over:
            self._deadline = now + GUARD_S
        else:
            self._deadline = now + (2 * GUARD_S if self._steps else _ANSWER_S)
        return octets
