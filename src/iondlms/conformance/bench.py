"""The client at the near end of the line: links, associations and what is read through them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from iondlms.codec.axdr import Data, Tag, decode
from iondlms.codec.datetimes import DateTime
from iondlms.codec.reader import Reader
from iondlms.conformance.apdus import (
    CLOCK,
    GET_NAME,
    GET_OWN_NAME,
    PROPOSED,
    aarq,
    date_time,
    get_request,
    initiate,
    low_level,
    set_request,
)
from iondlms.conformance.cti import ClientSection, Cti, Framing
from iondlms.conformance.line import Access
from iondlms.conformance.verdict import Failure, Inapplicable, Inconclusive, require
from iondlms.conformance.wire import HEADER, Wire
from iondlms.errors import DecodeError
from iondlms.xdlms import Conformance

__all__ = ["Bench", "Role", "Row"]

Role: TypeAlias = Literal["public", "setting"]
Row: TypeAlias = tuple[Data, ...]

COMMAND_LLC: Final = bytes.fromhex("E6E600")
RESPONSE_LLC: Final = bytes.fromhex("E6E700")
DM: Final = 0x1F
UA: Final = 0x73
_ACCEPTED: Final = bytes.fromhex("A203020100")
_TOLERANCE: Final = timedelta(seconds=2)
_MOST_BLOCKS: Final = 1 << 20
_TRIES_AFTER_POWER: Final = 120
_PAUSE_AFTER_POWER_S: Final = 0.5  # a meter needs up to a minute to start
_MOST_DIGITS: Final = 120  # of an answer that is shown in a verdict


class Bench(Wire):
    """One client on one line; a case has a bench of its own."""

    def __init__(
        self,
        access: Access,
        cti: Cti,
        framing: Framing,
        role: Role = "public",
        *,
        password: bytes | None = None,
        fast: bool = False,
        clock_set_allowed: bool = False,
        cut_power: Callable[[], None] | None = None,
        watch: Callable[[Literal["TX", "RX"], bytes, float], None] | None = None,
        kept: dict[str, list[Row]] | None = None,
    ) -> None:
        super().__init__(access, cti, framing, fast=fast, watch=watch)
        self.kept = {} if kept is None else kept  # rows by profile, as a case before has read them
        self.role: Role = role
        self.password = password
        self.clock_set_allowed = clock_set_allowed
        self.cut_power = cut_power
        self.send_number = self.receive_number = 0
        self.answers: list[bytes] = []  # APDUs of the meter, as sent; a script may clear it
        self._before_set: tuple[datetime, float] | None = None
        client = self.client_section
        if client is not None:
            self.sap = client.sap
        if framing == "hdlc" and not access.virtual and not access.sockets:
            self._settle()

    def _settle(self) -> None:
        """A line that was in use before may still have a link, and half a frame on it."""
        if not self.send(self.frame(0x53)):
            self.wait_inter_frame()  # the half frame has swallowed DISC
            self.send(self.frame(0x53))
        # Nor may the flag that closed DISC open what a case sends without one.
        self.put("00")
        self.wait_inter_frame()

    # --- who asks -------------------------------------------------------------------------------------

    @property
    def client_section(self) -> ClientSection | None:
        """What the CTI says of this client; None where there is none."""
        return self.cti.public if self.role == "public" else self.cti.setting

    @property
    def secret(self) -> bytes:
        """The password of the setting client; some octets where none is known."""
        return b"12345678" if self.password is None else self.password

    @property
    def conformance(self) -> int:
        """What this client is granted at most."""
        client = self.client_section
        return 0 if client is None else int(client.conformance, 16)

    def offers(self, bits: Conformance) -> bool:
        """Whether the meter grants this client all of these."""
        return self.conformance & bits == bits

    def granted(self, proposed: str = PROPOSED) -> str:
        """Return what is granted of a proposal, as hex."""
        return f"{self.conformance & int(proposed, 16):06X}"

    def own_aarq(self, conformance: str = PROPOSED, size: int = 0x04B0) -> str:
        """Return the AARQ by which this client is let in."""
        elements = low_level(self.secret) if self.role == "setting" else ""
        return aarq(elements, initiate(conformance, f"{size:04X}"))

    @property
    def server_pdu(self) -> int:
        """The server's max receive PDU size, as it must be told: over HDLC it shrinks with the frame."""
        application = self.cti.application
        if self.framing == "wrapper":
            return application.max_pdu_wrapper
        return application.max_pdu_hdlc - (self.cti.hdlc.max_information - self.information)

    # --- HDLC ---------------------------------------------------------------------------------------

    def snrm(self, information: str = "") -> bytes:
        """Open the link, and return the information field of UA."""
        answer = self.frames(self.send(self.frame(0x93, bytes.fromhex(information))))
        require(len(answer) == 1 and answer[0].control == UA, f"UA expected: {answer}")
        self.send_number = self.receive_number = 0
        return answer[0].information

    def disc(self) -> None:
        """Close the link."""
        answer = self.frames(self.send(self.frame(0x53)))
        require([frame.control for frame in answer] in ([UA], [DM]), f"UA or DM expected: {answer}")

    def receive_ready(self) -> bytes:
        """Return an RR of this client."""
        return self.frame(self.receive_number << 5 | 0x11)

    def i_frame(self, apdu: bytes | str, *, poll: bool = True) -> bytes:
        """Return the next I frame of this client, and count it."""
        octets = bytes.fromhex(apdu) if isinstance(apdu, str) else apdu
        return self.i_segment(COMMAND_LLC + octets, poll=poll)

    def i_segment(self, information: bytes, *, segmented: bool = False, poll: bool = True) -> bytes:
        """Return an I frame with a piece of an LSDU, and count it."""
        control = self.receive_number << 5 | (0x10 if poll else 0) | self.send_number << 1
        self.send_number = (self.send_number + 1) & 7
        return self.frame(control, information, segmented=segmented)

    def _over_hdlc(self, octets: bytes) -> bytes | None:
        room = self.information
        lsdu = COMMAND_LLC + octets
        pieces = [lsdu[at : at + room] for at in range(0, len(lsdu), room)]
        for piece in pieces[:-1]:
            (ready,) = self.one_frame(self.send(self.i_segment(piece, segmented=True)))
            require(ready & 0x1F == 0x11, f"RR expected for a segment, not {ready:02X}")
        return self.lsdu(self.send(self.i_segment(pieces[-1])))

    def one_frame(self, answer: bytes) -> tuple[int]:
        """Return the control octet of the only frame of an answer."""
        frames = self.frames(answer)
        require(len(frames) == 1, f"one frame expected: {frames or 'nothing came'}")
        return (frames[0].control,)

    def lsdu(self, octets: bytes) -> bytes | None:
        """Return the APDU that an I frame begins, its segments fetched; None for RR."""
        lsdu = b""
        while True:
            answer = self.frames(octets)
            require(len(answer) == 1, f"one frame expected: {answer or 'nothing came'}")
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
            octets = self.send(self.receive_ready())
        require(lsdu.startswith(RESPONSE_LLC), f"LLC {lsdu[:3].hex()}")
        return lsdu[3:]

    # --- APDUs ----------------------------------------------------------------------------------------

    def apdu(self, request: bytes | str, *, silent: bool = False) -> bytes | None:
        """Send an APDU and return the one that answers it; None where there is none.

        `silent` where none is expected: over the wrapper it is then not waited for so long.
        """
        octets = bytes.fromhex(request) if isinstance(request, str) else request
        answer = self._over_hdlc(octets) if self.framing == "hdlc" else self._over_wrapper(octets, silent)
        if answer is not None:
            self.answers.append(answer)
        return answer

    def _over_wrapper(self, octets: bytes, silent: bool) -> bytes | None:
        answer = self.send(self.wpdu(octets), 0 if silent else 1)
        return self.opened(answer) if answer else None

    def opened(self, wpdu: bytes) -> bytes:
        """Return the APDU of a WPDU to this client; Failure where it is none."""
        if len(wpdu) < HEADER:
            what = wpdu.hex() or f"nothing came{' (the connection was closed)' if self.closed else ''}"
            raise Failure(f"a WPDU is due: {what}")
        due = (1, self.cti.hdlc.logical, self.sap, len(wpdu) - HEADER)
        head = b"".join(number.to_bytes(2, "big") for number in due)
        require(wpdu[:HEADER] == head, f"wrapper header {wpdu[:HEADER].hex()}, {head.hex()} expected")
        return wpdu[HEADER:]

    def ask(self, request: bytes | str, why: str = "") -> bytes:
        """Send an APDU and return the one that answers it; Failure where there is none."""
        answer = self.apdu(request)
        if answer is None:
            text = request if isinstance(request, str) else request.hex().upper()
            raise Failure(f"{why or text}: no answer{' (the connection was closed)' if self.closed else ''}")
        return answer

    def expect(self, request: bytes | str, expected: str, *also: str, why: str = "") -> None:
        """Send an APDU; the answer must be `expected`, or one of `also` with a remark. Empty: no answer."""
        answer = self.apdu(request, silent=not expected)
        text = "" if answer is None else answer.hex().upper()
        self.match(text, expected, *also, why=why or (request if isinstance(request, str) else request.hex()))

    def match(self, text: str, expected: str, *also: str, why: str = "") -> None:
        """Hold an answer against what is expected; `?` stands for any digit, a final `*` for the rest."""
        text, expected = text.upper(), expected.upper()
        if _matches(text, expected):
            return
        shown = f"{why}: {_short(text) or 'no answer'}; {_short(expected) or 'none'} expected"
        if any(_matches(text, other) for other in also):
            self.remark(f"tolerated: {shown}")
        else:
            raise Failure(shown)

    def associate(self, request: str = "") -> bytes:
        """Open the association, and return the AARE; Failure if it is refused."""
        answer = self.ask(request or self.own_aarq(), "AARQ")
        require(answer[:1] == b"\x61" and _ACCEPTED in answer, f"refused: {answer.hex().upper()}")
        return answer

    def enter(self, state: str, request: str = "") -> None:
        """Go into a state of the case list: N, R, A, T or TA."""
        if state in ("R", "A"):
            self.snrm()
        if state in ("A", "TA"):
            self.associate(request)

    def renew(self, request: str = "") -> None:
        """Have a new association on a new link, or a new connection."""
        if self.framing == "hdlc":
            self.snrm()
        elif self.access.sockets or self.closed:
            self.connect()
        self.associate(request)

    def power_cycle(self) -> None:
        """Cut the meter's power and restore it, and wait until there is a line again; it has no link."""
        if self.cut_power is None:
            raise Inapplicable("no --power-cycle command was given")
        self.hang()
        self.cut_power()
        for _ in range(_TRIES_AFTER_POWER):
            try:
                self.connect()
                break
            except Inconclusive:
                time.sleep(_PAUSE_AFTER_POWER_S)
        else:
            raise Inconclusive("no line to the meter after the power cycle")
        self.send_number = self.receive_number = 0

    def works(self) -> None:
        """The association can be opened and asked: whatever was before has done no lasting harm."""
        if self.closed:
            self.connect()
            self.renew()
        else:
            self.associate()
        answer = self.ask(GET_NAME)
        require(answer[:4].hex() == "c401c100", f"GET after it: {answer.hex()}")

    def linger(self, seconds: float) -> None:
        """Let time pass, with a poll or a GET now and then lest inactivity end the association."""
        pause = self.cti.line.inactivity_s * 0.5
        while seconds > 0:
            self.wait(min(pause, seconds))
            seconds -= pause
            if seconds > 0 and self.framing == "hdlc":
                self.send(self.receive_ready())
            elif seconds > 0:
                self.apdu(GET_OWN_NAME)

    # --- values ---------------------------------------------------------------------------------------

    def read(self, class_id: int, name: str, attribute: int = 2, selection: str = "") -> bytes:
        """Return the encoded value of an attribute, joined where it comes in blocks; Failure if refused."""
        answer = self.ask(get_request(class_id, name, attribute, selection))
        return self.value_of(answer, f"{name} attribute {attribute}")

    def value_of(self, answer: bytes, what: str = "GET") -> bytes:
        """Return the encoded value that an answer carries, or begins."""
        if answer[:2].hex() == "c401" and answer[3:4] == b"\0":
            return answer[4:]
        require(answer[:2].hex() == "c402", f"{what} refused: {answer.hex()}")
        return self.joined(answer)

    def joined(self, answer: bytes) -> bytes:
        """Return the raw octets of the block transfer that this answer begins."""
        raw: list[bytes] = []
        for number in range(1, _MOST_BLOCKS):
            try:
                reader = Reader(answer)
                head, last, counted, choice = reader.take(3), reader.u8(), reader.u32(), reader.u8()
                require(head.hex() == "c402c1", f"a block expected: {answer.hex()}")
                require(counted == number, f"block {number} expected: {answer.hex()}")
                require(choice == 0, f"refused: {answer.hex()}")
                raw.append(reader.take(reader.length()))
                reader.end()
            except DecodeError as error:
                raise Failure(f"block {number}: {error}: {answer.hex()}") from error
            if last:
                break
            answer = self.ask(f"C002C1{number:08X}")
        return b"".join(raw)

    def value(self, class_id: int, name: str, attribute: int = 2, selection: str = "") -> Data:
        """Return the value of an attribute; Failure where its octets are no Data."""
        octets = self.read(class_id, name, attribute, selection)
        try:
            return decode(octets)
        except DecodeError as error:
            raise Failure(f"{name} attribute {attribute}: {error}: {octets.hex()}") from error

    def rows(self, name: str = "", selection: str = "") -> list[Row]:
        """Return rows of a profile, the load profile unless another is named."""
        value = self.value(7, name or self.profile, 2, selection)
        require(value.tag is Tag.ARRAY, f"an array expected: {value}")
        return [row.items() for row in value.items()]

    def some_rows(self, least: int, name: str = "") -> list[Row]:
        """Return all rows of a profile; Inapplicable where it has too few."""
        rows = self.rows(name)
        if len(rows) < least:
            raise Inapplicable(f"{name or self.profile} has {len(rows)} rows, this case needs {least}")
        return rows

    @property
    def profile(self) -> str:
        """The load profile of the CTI; Inapplicable where it names none."""
        if not self.cti.objects.load_profile:
            raise Inapplicable("the CTI names no load profile")
        return self.cti.objects.load_profile

    @property
    def second_profile(self) -> str:
        """The billing profile of the CTI; Inapplicable where it names none."""
        if not self.cti.objects.billing:
            raise Inapplicable("the CTI names no second profile")
        return self.cti.objects.billing

    # --- the clock --------------------------------------------------------------------------------------

    def instant(self, octets: bytes, zone: int | None = None) -> datetime:
        """Return the UTC instant of a date-time of this meter; `zone` is for those without deviation."""
        try:
            time = DateTime(octets)
            if self.cti.clock.deviation == "unspecified" and time.deviation is None:
                daylight = 60 if octets[11] & 0x80 else 0
                return time.utc(self.zone() - daylight if zone is None else zone - daylight)
            return time.utc(0, reversed_sign=self.cti.clock.deviation == "reversed")
        except DecodeError as error:
            raise Failure(f"no date-time: {error}") from error

    def zone(self) -> int:
        """Return attribute 3 of the clock: minutes from local standard time to UTC."""
        value = self.value(8, CLOCK, 3).integer()
        return -value if self.cti.clock.deviation == "reversed" else value

    def clock(self) -> datetime:
        """Return the meter's time, UTC."""
        return self.instant(self.value(8, CLOCK).octets())

    def shows(self, due: datetime, why: str) -> None:
        """Require that the clock shows this instant, give or take two seconds."""
        shown = self.clock()
        require(abs(shown - due) <= _TOLERANCE, f"{why}: the clock shows {shown}, {due} due")

    def bound(self, when: datetime, deviation: int = 0) -> str:
        """Return the 12 octets by which this meter is told an instant, in local time of a deviation."""
        shown = -deviation if self.cti.clock.deviation == "reversed" else deviation
        return date_time(when, deviation, shown=shown)

    def set_clock(self, value: str) -> str:
        """SET the time to encoded Data and return the answer; the first time is remembered to be restored."""
        if not self.clock_set_allowed:
            raise Inapplicable("sets the meter's clock; run with --allow-clock-set")
        if self._before_set is None:
            self._before_set = self.clock(), self.now()
        return self.ask(set_request(value)).hex().upper()

    def restore_clock(self) -> None:
        """Give the meter back the time it would have, had no case set it; Inconclusive if it refuses."""
        if self._before_set is None:
            return
        (before, at), self._before_set = self._before_set, None
        self.role = "setting"
        try:
            self.sap = 1 if self.client_section is None else self.client_section.sap
            self.connect()
            self.enter("A" if self.framing == "hdlc" else "TA")
            due = before + timedelta(seconds=self.now() - at)
            answer = self.ask(set_request(f"090C{self.bound(due)}")).hex().upper()
        except Failure as error:
            raise Inconclusive(f"the clock could not be set back: {error}") from error
        if answer != "C501C100":
            raise Inconclusive(f"the clock could not be set back: {answer}")

    def date_at(self, when: datetime) -> str:
        """Return encoded Data that sets the clock to an instant, in UTC."""
        return f"090C{self.bound(when.astimezone(UTC))}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_DIGITS else f"{text[:_MOST_DIGITS]}... ({len(text) // 2} octets)"


def _matches(text: str, pattern: str) -> bool:
    if pattern.endswith("*") and len(text) >= len(pattern) - 1:
        text, pattern = text[: len(pattern) - 1], pattern[:-1]
    return len(text) == len(pattern) and all(
        want in ("?", have) for have, want in zip(text, pattern.upper(), strict=True)
    )
