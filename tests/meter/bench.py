"""A meter in memory, the two lines to it, and the clock of both: what the conformance cases are run on.

Nothing here knows pytest. A case that goes wrong raises `Failure`. Every frame that the meter sends is
held against the invariants of case DL-00.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from iondlms.codec.axdr import Data, Tag, decode_data
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import Reader
from iondlms.hdlc.frame import build, fcs16
from iondlms.ion.source import Source
from iondlms.meter import Meter, MeterEndpoint, load

Transport = Literal["hdlc", "wrapper"]

UNIT_ID: Final = 17
SERVER: Final = bytes.fromhex("00020023")
PASSWORD: Final = "12345678"
START: Final = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
START_MS: Final = int(START.timestamp()) * 1000

AARQ: Final = "601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0"
AARQ_LLS: Final = (
    "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738"
    "BE10040E01000000065F1F0400007E1F04B0"
)
GET_NAME: Final = "C001C1000100002A0000FF0200"
SET_TIME: Final = "C101C100080000010000FF0200090C07EA0B16FF0C223800000000"  # case TS-01
ALREADY_GONE: Final = "D80102"

COMMAND_LLC: Final = bytes.fromhex("E6E600")
RESPONSE_LLC: Final = bytes.fromhex("E6E700")
CLOCK: Final = "0-0:1.0.0*255"
ASSOCIATION: Final = "0-0:40.0.0*255"
DEVICE_NAME: Final = "0-0:42.0.0*255"
LOAD_PROFILE: Final = "1-0:99.1.0*255"
BILLING: Final = "1-0:98.1.0*255"


class Failure(AssertionError):
    """The meter did not answer as the case wants."""


def require(condition: object, what: str) -> None:
    """Raise `Failure` unless the condition holds."""
    if not condition:
        raise Failure(what)


def aare(result: int, diagnostic: int, *, context: bytes, client: int, conformance: str = "") -> str:
    """Return the AARE of a case as hex; `context` is the server's PDU size."""
    granted = conformance or ("003014" if client == 16 else "00301C")
    return (
        f"6129A109060760857405080101A20302010{result}A305A1030201{diagnostic:02X}"
        f"BE10040E0800065F1F0400{granted}{context.hex()}0007"
    ).upper()


def get_request(class_id: int, name: str, attribute: int, selection: str = "") -> str:
    """Return a GET-request-normal as hex; `selection` is selector and parameters."""
    octets = class_id.to_bytes(2, "big") + ObisCode.parse(name).octets + (attribute & 0xFF).to_bytes(1, "big")
    return f"C001C1{octets.hex()}{'01' + selection if selection else '00'}".upper()


def decoded(octets: bytes) -> Data:
    """Read one Data that fills the octets exactly."""
    reader = Reader(octets)
    data = decode_data(reader)
    reader.end()
    return data


class Bench:
    """One meter, one line to it, and the client at its other end."""

    def __init__(
        self,
        transport: Transport = "hdlc",
        client: int = 16,
        settings: Sequence[tuple[str, Any]] = (),
        *,
        utc_ms: int = START_MS,
        source: Source | None = None,
    ) -> None:
        self.transport: Transport = transport
        self.client = client
        self.settings = (
            ("history", 20),
            ("password", PASSWORD),
            ("port.ETHERNET.unit_id", UNIT_ID),
            ("billing.period", "2h"),
            *settings,
        )
        self.now = 1000.0
        config = load(None, self.settings)
        self.meter = Meter(config, source=source)
        self.meter.start(utc_ms, self.now)
        self.information = 128  # the most octets that an I frame of the meter may carry
        self.send_number = self.receive_number = 0
        self.answers: list[bytes] = []  # every APDU of the meter, as sent
        self.endpoint: MeterEndpoint
        self.connect()

    # The line and its time

    def connect(self) -> None:
        """Open a new line: what TCP calls a connection."""
        self.endpoint = self.meter.endpoint(now=self.now)

    def send(self, octets: bytes | str) -> bytes:
        """Put octets on the line and return the meter's answer."""
        data = bytes.fromhex(octets) if isinstance(octets, str) else octets
        answer = self.endpoint.receive_data(data, self.now)
        if self.transport == "hdlc":
            self.frames(answer)
        return answer

    def wait(self, seconds: float) -> None:
        """Let time pass on the line and in the meter, waking both when they want it."""
        until = self.now + seconds
        while True:
            wakes = [
                at for at in (self.endpoint.next_deadline(), self.meter.next_deadline()) if at is not None
            ]
            at = min(wakes, default=until)
            if at >= until:
                break
            self.now = max(self.now, at)
            self.wake()
        self.now = until
        self.wake()

    def wake(self) -> None:
        deadline = self.endpoint.next_deadline()
        if deadline is not None and deadline <= self.now:
            require(self.endpoint.handle_timeout(self.now) == b"", "the meter spoke without being asked")
        self.meter.advance(self.now)

    def frames(self, answer: bytes) -> list[tuple[int, bytes, bool]]:
        """Return (control, information, segmented) of each frame; Failure where one breaks DL-00."""
        found: list[tuple[int, bytes, bool]] = []
        rest = answer
        while rest:
            require(rest[0] == 0x7E and len(rest) >= 2, f"no opening flag: {rest.hex()}")
            require(rest[1] >> 4 == 0xA, f"format type {rest[1]:02X}")
            length = (rest[1] & 7) << 8 | rest[2]
            frame, rest = rest[: length + 2], rest[length + 2 :]
            require(len(frame) == length + 2 and frame[-1] == 0x7E, f"length field {length} of {frame.hex()}")
            body = frame[1:-1]
            require(fcs16(body[:-2]) == body[-2:], f"FCS of {frame.hex()}")
            require(body[2] & 1 == 1, "the client's address has one octet")
            require(body[3:7] == SERVER, f"source {body[3:7].hex()} is not the meter's")
            control, information = body[7], body[8:-2]
            if information:
                require(len(information) > 2 and fcs16(body[:8]) == information[:2], f"HCS of {frame.hex()}")
                information = information[2:]
            require(len(information) <= self.information, f"{len(information)} octets of information")
            # With a window of one each frame is the last of its transmission.
            require(control & 0x10, f"F is not set in {frame.hex()}")
            found.append((control, information, bool(body[0] & 8)))
        return found

    # The client

    @property
    def server_pdu(self) -> bytes:
        """The server's max receive PDU size as the AARE tells it."""
        return (
            bytes.fromhex("0400")
            if self.transport == "wrapper"
            else (self.information - 3).to_bytes(2, "big")
        )

    def frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
        """Return a frame of this client to the meter."""
        return build(SERVER, bytes((self.client << 1 | 1,)), control, information, segmented)

    def snrm(self, information: str = "") -> bytes:
        """Open the link, and return the information field of UA."""
        answer = self.frames(self.send(self.frame(0x93, bytes.fromhex(information))))
        require(len(answer) == 1 and answer[0][0] == 0x73, f"UA expected: {answer}")
        self.send_number = self.receive_number = 0
        return answer[0][1]

    def disc(self) -> None:
        """Close the link."""
        answer = self.frames(self.send(self.frame(0x53)))
        require([control for control, _, _ in answer] in ([0x73], [0x1F]), f"UA or DM expected: {answer}")

    def receive_ready(self) -> bytes:
        """Return an RR of this client."""
        return self.frame(self.receive_number << 5 | 0x11)

    def i_frame(self, apdu: bytes) -> bytes:
        """Return the next I frame of this client, and count it."""
        control = self.receive_number << 5 | 0x10 | self.send_number << 1
        self.send_number = (self.send_number + 1) & 7
        return self.frame(control, COMMAND_LLC + apdu)

    def apdu(self, request: bytes | str) -> bytes | None:
        """Send an APDU and return the one that answers it; None where there is none."""
        octets = bytes.fromhex(request) if isinstance(request, str) else request
        answer = self._over_hdlc(octets) if self.transport == "hdlc" else self._over_wrapper(octets)
        if answer is not None:
            self.answers.append(answer)
        return answer

    def _over_hdlc(self, octets: bytes) -> bytes | None:
        answer = self.frames(self.send(self.i_frame(octets)))
        lsdu = b""
        while True:
            require(len(answer) == 1, f"one frame expected: {answer}")
            control, information, segmented = answer[0]
            require(control >> 5 == self.send_number, f"N(R) of control {control:02X}")
            if control & 1:
                require(control & 0x1F == 0x11 and not lsdu, f"RR or I expected: {control:02X}")
                return None
            require(control >> 1 & 7 == self.receive_number, f"N(S) of control {control:02X}")
            self.receive_number = (self.receive_number + 1) & 7
            lsdu += information
            if not segmented:
                break
            answer = self.frames(self.send(self.receive_ready()))
        require(lsdu.startswith(RESPONSE_LLC), f"LLC {lsdu[:3].hex()}")
        return lsdu[3:]

    def wpdu(self, apdu: bytes, destination: int = 1) -> bytes:
        """Return a WPDU of this client."""
        head = b"".join(n.to_bytes(2, "big") for n in (1, self.client, destination, len(apdu)))
        return head + apdu

    def _over_wrapper(self, octets: bytes) -> bytes | None:
        answer = self.send(self.wpdu(octets))
        if not answer:
            return None
        head = b"".join(n.to_bytes(2, "big") for n in (1, 1, self.client, len(answer) - 8))
        require(answer[:8] == head, f"wrapper header {answer[:8].hex()}, {head.hex()} expected")
        return answer[8:]

    def associate(self, aarq: str = "") -> bytes:
        """Open the association, and return the AARE."""
        answer = self.apdu(aarq or (AARQ if self.client == 16 else AARQ_LLS))
        require(answer is not None and b"\xa2\x03\x02\x01\x00" in answer, f"refused: {answer!r}")
        return answer or b""

    def enter(self, state: str, aarq: str = "") -> None:
        """Go into a state of the case list: N, R, A, T or TA."""
        if state in ("R", "A"):
            self.snrm()
        if state in ("A", "TA"):
            self.associate(aarq)

    def read(self, class_id: int, name: str, attribute: int = 2, selection: str = "") -> bytes:
        """Return the encoded value of an attribute, joined where it comes in blocks; Failure if refused."""
        answer = self.apdu(get_request(class_id, name, attribute, selection))
        require(answer is not None, "no answer to a GET")
        answer = answer or b""
        if answer[:4] == bytes.fromhex("C401C100"):
            return answer[4:]
        return self.joined(answer)

    def joined(self, answer: bytes) -> bytes:
        """Return the raw octets of a block transfer that begins with this answer."""
        raw, number = b"", 1
        while True:
            reader = Reader(answer)
            require(reader.take(3) == bytes.fromhex("C402C1"), f"a block expected: {answer.hex()}")
            last = reader.u8()
            require(reader.u32() == number, f"block {number} expected: {answer.hex()}")
            require(reader.u8() == 0, f"refused: {answer.hex()}")
            raw += reader.take(reader.length())
            reader.end()
            if last:
                return raw
            answer = self.apdu(f"C002C1{number:08X}") or b""
            number += 1

    def value(self, class_id: int, name: str, attribute: int = 2, selection: str = "") -> Data:
        """Return the value of an attribute."""
        return decoded(self.read(class_id, name, attribute, selection))

    def clock(self) -> datetime:
        """Return the meter's time, UTC, as a client reads it."""
        octets = self.value(8, CLOCK).octets()
        year, deviation = int.from_bytes(octets[:2], "big"), int.from_bytes(octets[9:11], "big", signed=True)
        require(deviation == 0, f"the bench's meter is in UTC, not {deviation}")
        return datetime(year, octets[2], octets[3], octets[5], octets[6], octets[7], tzinfo=UTC)

    def rows(self, name: str = LOAD_PROFILE, selection: str = "") -> list[tuple[Data, ...]]:
        """Return the rows of a profile."""
        value = self.value(7, name, 2, selection)
        require(value.tag is Tag.ARRAY, f"an array expected: {value}")
        return [row.items() for row in value.items()]


def date_time(when: datetime, deviation: int = 0, *, day_of_week: int = 0xFF) -> bytes:
    """Return the 12 octets of an instant, shown with a deviation in minutes."""
    from_utc = when.timestamp() - deviation * 60
    local = datetime.fromtimestamp(from_utc, UTC)
    return (
        local.year.to_bytes(2, "big")
        + bytes((local.month, local.day, day_of_week, local.hour, local.minute, local.second, 0))
        + deviation.to_bytes(2, "big", signed=True)
        + b"\x00"
    )
