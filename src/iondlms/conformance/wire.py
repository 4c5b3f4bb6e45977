"""The line of a bench: octets and time, a trace of both, and the rules that every frame of a meter must keep.

Nothing here knows a case. What breaks one of the rules of case DL-00 raises `Failure` wherever it happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from iondlms.conformance.cti import Cti, Framing
from iondlms.conformance.line import Access, TcpLine
from iondlms.conformance.verdict import Failure, Inapplicable, Inconclusive, TracePiece, require
from iondlms.errors import LocalError, PortError
from iondlms.hdlc import ServerAddress
from iondlms.hdlc.frame import build, fcs16
from iondlms.ports import Transport

__all__ = ["MeterFrame", "Wire"]

_FIRST: Final = 30  # pieces of a trace kept from its start, and as many from its end
_LONGEST: Final = 2048  # octets of one piece that are kept
_SHORT_S: Final = 5.0  # `--fast` waits no longer than this
HEADER: Final = 8  # octets of a wrapper header


class MeterFrame(NamedTuple):
    """A frame of the meter that keeps the rules."""

    control: int
    information: bytes
    segmented: bool


class Wire:
    """One line to the meter."""

    def __init__(
        self,
        access: Access,
        cti: Cti,
        framing: Framing,
        *,
        fast: bool = False,
        watch: Callable[[Literal["TX", "RX"], bytes, float], None] | None = None,
    ) -> None:
        self._watch = watch
        self.access = access
        self.cti = cti
        self.framing: Framing = framing
        self.fast = fast
        self.sap = 16
        self.information = cti.hdlc.max_information  # the most octets that an I frame may carry now
        self.closed = False
        self.remarks: list[str] = []
        self.left_out = 0
        self._head: list[TracePiece] = []
        self._tail: deque[TracePiece] = deque(maxlen=_FIRST)
        self._buffer = b""
        self._line: Transport | None = None
        self._start = 0.0
        self.connect()
        self._start = self.now()

    # --- the line and its time ------------------------------------------------------------------------

    @property
    def line(self) -> Transport:
        """The transport; Inconclusive where there is none."""
        if self._line is None:
            raise Inconclusive("the line is not open")
        return self._line

    @property
    def socket(self) -> TcpLine:
        """The TCP connection; Inapplicable on any other line."""
        line = self.line
        if not isinstance(line, TcpLine):
            raise Inapplicable("this line is no TCP connection")
        return line

    def connect(self) -> None:
        """Open a new line, whatever was before: what TCP calls a connection."""
        self.hang()
        try:
            self._line = self.access.connect()
        except PortError as error:
            raise Inconclusive(f"no line to the meter: {error}") from error
        self.closed = False
        self._buffer = b""

    def hang(self) -> None:
        """Close the line."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def now(self) -> float:
        """Return seconds of the line's clock."""
        return self.line.now()

    def put(self, octets: bytes | str) -> None:
        """Put octets on the line and listen to nothing."""
        data = bytes.fromhex(octets) if isinstance(octets, str) else octets
        self._note("TX", data)
        try:
            self.line.send(data)
        except PortError:
            self.closed = True

    def send(self, octets: bytes | str, count: int = 1) -> bytes:
        """Put octets on the line and return the meter's answer: `count` frames or WPDUs, or what came.

        With a count of 0 it is whatever comes before the line has been quiet for long enough.
        """
        stray = self._receive(self.now()) if self._line is not None and not self.closed else b""
        require(not self._buffer and not stray, f"the meter spoke without being asked: {stray.hex()}")
        self.put(octets)
        return self.take(count)

    def take(self, count: int = 1) -> bytes:
        """Return the next `count` frames or WPDUs, fewer if no more come in time."""
        patience = self.cti.line.answer_s if count else self.cti.line.quiet_s
        data, self._buffer = self._buffer, b""
        deadline = self.now() + patience
        while not count or self._units(data) < count:
            octets = self._receive(deadline)
            if not octets:
                break
            data += octets
            deadline = self.now() + patience
        if self.framing == "hdlc":
            self.frames(data)
        return data

    def wait(self, seconds: float) -> None:
        """Let time pass in silence; Inconclusive where `fast` has no time for it."""
        if self.fast and seconds > _SHORT_S and not self.access.virtual:
            raise Inconclusive(f"{seconds:g} s of silence are too long for --fast")
        until = self.now() + seconds
        while not self.closed and self.now() < until:
            octets = self._receive(until)
            require(not octets, f"the meter spoke without being asked: {octets.hex()}")

    @property
    def hurried(self) -> bool:
        """Whether a case may try a few of its many values only: `fast`, on a line where time is real."""
        return self.fast and not self.access.virtual

    def wait_inter_frame(self) -> None:
        """Wait until a half frame is certainly thrown away: the time-out and a tenth."""
        self.wait(self.cti.hdlc.inter_frame_s * 1.1)

    def wait_inactive(self) -> None:
        """Wait until an association that is left alone is certainly gone: the time-out and a tenth."""
        self.wait(self.cti.line.inactivity_s * 1.1)

    def _receive(self, deadline: float) -> bytes:
        if self.closed:
            return b""
        try:
            octets = self.line.receive(deadline)
        except PortError:
            self.closed = True
            return b""
        if octets:
            self._note("RX", octets)
        return octets

    def _units(self, data: bytes) -> int:
        return len(self._cut_frames(data)[0]) if self.framing == "hdlc" else len(self.wpdus(data))

    def _note(self, direction: Literal["TX", "RX"], octets: bytes) -> None:
        if self._watch is not None:
            self._watch(direction, octets, self.now())
        piece = TracePiece(self.now() - self._start, direction, octets[:_LONGEST])
        if len(self._head) < _FIRST:
            self._head.append(piece)
        else:
            self.left_out += len(self._tail) == _FIRST
            self._tail.append(piece)

    @property
    def trace(self) -> tuple[TracePiece, ...]:
        """What has travelled; the middle is missing where it was too much."""
        return (*self._head, *self._tail)

    def remark(self, text: str) -> None:
        """Let something pass that is not what was expected; Failure where the CTI is strict."""
        if self.cti.strict:
            raise Failure(text)
        if text not in self.remarks:
            self.remarks.append(text)

    # --- HDLC ---------------------------------------------------------------------------------------

    @property
    def server_address(self) -> bytes:
        """The address field of the meter."""
        hdlc = self.cti.hdlc
        try:
            return ServerAddress(
                hdlc.logical, None if hdlc.address == 1 else hdlc.unit, hdlc.address
            ).encode()
        except LocalError as error:
            raise Inconclusive(f"the CTI's address: {error}") from error

    @property
    def client_address(self) -> bytes:
        """The address field of the client."""
        return bytes((self.sap << 1 | 1,))

    def frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
        """Return a frame of this client to the meter."""
        return build(self.server_address, self.client_address, control, information, segmented)

    @staticmethod
    def _cut_frames(answer: bytes) -> tuple[list[bytes], bytes]:
        """Return whole frames, each with both flags (one may be shared), and the rest."""
        found: list[bytes] = []
        rest = answer
        while len(rest) >= 3:
            length = (rest[1] & 7) << 8 | rest[2]
            if rest[0] != 0x7E or len(rest) < length + 2:
                break
            found.append(rest[: length + 2])
            following = rest[length + 2 :]
            shared = following[:1] and following[:1] != b"\x7e"
            rest = rest[length + 1 :] if shared else following
        return found, rest

    def frames(self, answer: bytes) -> list[MeterFrame]:
        """Return the frames of an answer; Failure where one breaks DL-00."""
        cut, rest = self._cut_frames(answer)
        require(not rest, f"no whole frame: {rest.hex()}, of {answer.hex()}")
        found = [self._checked(frame) for frame in cut]
        if found:
            require(found[-1].control & 0x10, f"F is not set in the last frame of {answer.hex()}")
            if self.cti.hdlc.window == 1:
                require(all(frame.control & 0x10 for frame in found), f"F is not set in {answer.hex()}")
        return found

    def _checked(self, frame: bytes) -> MeterFrame:
        text = frame.hex()
        require(frame[1] >> 4 == 0xA, f"format type {frame[1]:02X}")
        require(frame[-1] == 0x7E, f"length field of {text}")
        body = frame[1:-1]
        require(len(body) >= 6 and fcs16(body[:-2]) == body[-2:], f"FCS of {text}")
        require(body[2] & 1 == 1, "the client's address has one octet")
        own = self.server_address
        source_end = next((place for place in range(3, 7) if body[place] & 1), 6) + 1
        source = body[3:source_end]
        # A short address is converted: a meter may answer in four octets (62056-46 table 5).
        require(source == own or len(own) < 4, f"source {source.hex()} is not the meter's {own.hex()}")
        control, information = body[source_end], body[source_end + 1 : -2]
        if information:
            good = len(information) > 2 and fcs16(body[: source_end + 1]) == information[:2]
            require(good, f"HCS of {text}")
            information = information[2:]
        if control & 1 == 0:
            require(len(information) <= self.information, f"{len(information)} octets of information")
        return MeterFrame(control, information, bool(body[0] & 8))

    # --- the wrapper ----------------------------------------------------------------------------------

    @staticmethod
    def wpdus(answer: bytes) -> list[bytes]:
        """Return the whole WPDUs at the start of an answer."""
        found: list[bytes] = []
        while len(answer) >= HEADER:
            end = HEADER + int.from_bytes(answer[6:8], "big")
            if len(answer) < end:
                break
            found.append(answer[:end])
            answer = answer[end:]
        return found

    def wpdu(
        self,
        apdu: bytes | str,
        *,
        source: int | None = None,
        destination: int | None = None,
        version: int = 1,
    ) -> bytes:
        """Return a WPDU of this client."""
        octets = bytes.fromhex(apdu) if isinstance(apdu, str) else apdu
        ports = (
            self.sap if source is None else source,
            self.cti.hdlc.logical if destination is None else destination,
        )
        return b"".join(number.to_bytes(2, "big") for number in (version, *ports, len(octets))) + octets
