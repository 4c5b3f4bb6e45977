"""The hub of the server: octets and time in, octets out. Read it from top to bottom.

A chunk goes through the deframer of its framing, the link, and the association of its client; the answer is
the return value. Nothing here waits, and nothing that is received makes it raise. Where an answer depends on
a disk, `later` says so, and once that is done the answer is due, as if by a time-out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from iondlms.hdlc import Deframer, Event, Frame, Kind, Reaction, Secondary
from iondlms.hdlc.deframer import known_frame
from iondlms.later import Later
from iondlms.meter.foreseen import Foreseen
from iondlms.meter.refusals import Cause, refusal
from iondlms.meter.served import PortSetup, Served
from iondlms.meter.service import MANAGEMENT_LOGICAL_DEVICE, Application, Association, LinkLimits
from iondlms.meter.waiting import Waiting
from iondlms.meter.wrapper_line import WrapperLine

__all__ = ["MeterEndpoint", "framing_of"]

_FLAG: Final = 0x7E
_LSDU: Final = Event.LSDU  # of an enum's class each member is looked up by a function
_WRAPPER_START: Final = b"\x00\x01"
_STILL: Final = (b"\xc0", b"\x62")  # how GET and RLRQ begin, which leave the meter as it is
_TOO_LONG: Final = refusal(Cause.TOO_LONG)


class MeterEndpoint:
    """One line of the meter: a serial port, or one TCP connection."""

    __slots__ = (
        "_after",
        "_application",
        "_heard",
        "_inactivity_s",
        "_line",
        "_meter",
        "_outages",
        "_prefix",
        "_setup",
        "_supply",
        "closed",
        "idle",
    )

    def __init__(self, meter: Served, setup: PortSetup, now: float, after: Later | None = None) -> None:
        """Nothing is answered before `after` is over."""
        self._after = after
        self._meter = meter
        self._setup = setup
        self._inactivity_s = setup.inactivity_s  # here too: a field of a tuple is found by a call
        self._application = meter.application(setup.name)
        self._supply = meter.supply
        self._outages = self._supply.outages  # that it knows of
        self._heard = now  # when the last octet came or went
        self._prefix = b""  # octets that do not tell yet which framing they are of
        self._line: _HdlcLine | WrapperLine | None = None
        self.idle = False  # the inactivity time-out has passed
        self.closed = False  # nothing that comes can be understood any more
        if setup.framing != "auto":
            self._line = self._make_line(setup.framing)

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take octets and return the answer to them; nothing once `closed`."""
        if not self._hears(now):
            return b""
        line = self._line
        if line is None:
            data = self._prefix + data
            framing = framing_of(data)
            if framing is None:
                self._prefix = data
                return b""
            self._prefix = b""
            if framing == "unknown":
                self.closed = True
                return b""
            line = self._line = self._make_line(framing)
        answer = line.receive(data, now)
        self._look(line)
        return answer

    def follow(self, data: bytes, now: float) -> bytes | None:
        """Answer the request that is due over HDLC: an undamaged frame, whole and alone, in its turn.

        None for anything else, and then nothing has changed: that is for `receive_data`, which says the same
        of these octets. After an answer from here no deadline has come nearer, and the line is not closed.
        """
        line, supply = self._line, self._supply
        if (
            line is None
            or self.idle  # else it would stay so: by the clock it may be over before it is reached
            or now - self._heard >= self._inactivity_s
            or not supply.powered
            or supply.outages != self._outages
        ):
            return None
        foreseen = line.foreseen
        if foreseen is not None and data == foreseen.due and self._application.instead.answer is None:
            self._heard = now
            return foreseen.answer()
        answer = line.follow(data, now)
        if answer is not None:
            self._heard = now
        return answer

    def receive_frame(self, frame: Frame, now: float) -> bytes:
        """Take a frame of a line whose frames are cut for many stations; return the answer to it. HDLC."""
        if not self._hears(now):
            return b""
        line = self._line
        if not isinstance(line, _HdlcLine):
            line = self._line = _HdlcLine(self._meter, self._application, self._setup, self._after)
        return line.take(frame, now)

    def heard(self, now: float) -> None:
        """Take that something was said on the line, to whomever: it keeps the links (62056-46 6.4.4.10.3)."""
        self._hears(now)

    def next_deadline(self) -> float | None:
        """Return when the half frame or the silence has lasted too long; None once idle.

        It lies in the past where an answer has waited and is due.
        """
        later = self.later
        if later is not None and later.done:
            return self._heard
        if self.idle:
            return None
        if self._line is not None and self._line.half_frame:
            return self._heard + min(self._setup.rx_timeout_s, self._setup.inactivity_s)
        return self._heard + self._setup.inactivity_s

    def handle_timeout(self, now: float) -> bytes:
        """Throw a half frame away, end what was idle too long; return the answer that has waited, if any.

        The meter never speaks first.
        """
        if self._line is not None and self._line.half_frame and now >= self._heard + self._setup.rx_timeout_s:
            self._line.flush()
        if now >= self._heard + self._setup.inactivity_s:
            self._abort()
            self.idle = True
        line, later = self._line, self.later
        answer = b""
        if line is not None:
            if later is not None and later.done and self._hears(now):
                answer = line.go_on(now)
            self._look(line)
        return answer

    @property
    def later(self) -> Later | None:
        """What an answer waits for; None where none does. More octets are better not brought meanwhile."""
        return None if self._line is None else self._line.requests.later

    @property
    def counters(self) -> Mapping[str, int]:
        """What the link has counted, by name."""
        return {} if self._line is None else self._line.counters

    @property
    def linked(self) -> bool:
        """Whether a client has a link, or an association over the wrapper."""
        return self._line is not None and self._line.linked and self._supply.outages == self._outages

    @property
    def in_frame(self) -> bool:
        """Whether the beginning of a frame is held."""
        return bool(self._prefix) if self._line is None else self._line.in_frame

    def _hears(self, now: float) -> bool:
        """End what was silent for too long, and return whether what comes now is listened to."""
        if self.closed:
            return False
        if not self._supply.powered:
            self._abort()
            return False
        if self._supply.outages != self._outages:  # nobody spoke meanwhile, but the links are gone
            self._outages = self._supply.outages
            self._abort()
        line = self._line
        if self.idle:
            self.idle = False
        elif now - self._heard >= self._setup.inactivity_s:
            self._abort()
        elif line is not None and now - self._heard >= self._setup.rx_timeout_s:
            line.flush()
        self._heard = now
        return True

    def _look(self, line: _HdlcLine | WrapperLine) -> None:
        # What came before it broke is answered yet.
        self.closed = line.broken and line.requests.later is None

    def _abort(self) -> None:
        self._prefix = b""
        if self._line is not None:
            self._line.flush()
            self._line.abort()

    def _make_line(self, framing: Literal["hdlc", "wrapper"]) -> _HdlcLine | WrapperLine:
        made = _HdlcLine if framing == "hdlc" else WrapperLine
        return made(self._meter, self._application, self._setup, self._after)


def framing_of(data: bytes) -> Literal["hdlc", "wrapper", "unknown"] | None:
    """Return the framing that the first octets of a connection are of; None while they do not tell.

    0x7E is HDLC and 00 01 is version 1 of the wrapper. 00 and another version, with ports and length that a
    wrapper header could have, cannot be delimited: unknown. All else is noise, which HDLC knows to skip.
    """
    if data[:1] != b"\x00":
        return "hdlc" if data else None
    if len(data) < 2:
        return None
    if data.startswith(_WRAPPER_START):
        return "wrapper"
    if _FLAG in data[:5] or data[2:3] > b"\x00" or data[4:5] > b"\x00":
        return "hdlc"
    return "unknown" if len(data) >= 5 else None


class _HdlcLine:
    """Frames of all clients on one line."""

    __slots__ = (
        "_application",
        "_associations",
        "_deframer",
        "_meter",
        "_secondary",
        "_silent_before_snrm",
        "foreseen",
        "requests",
    )

    broken = False  # HDLC finds its way back from anything

    def __init__(
        self, meter: Served, application: Application, setup: PortSetup, after: Later | None
    ) -> None:
        self.requests: Waiting[Frame] = Waiting(after)
        self._meter = meter
        self._application = application
        self._deframer = Deframer()
        self._secondary = Secondary(setup.unit_id, MANAGEMENT_LOGICAL_DEVICE)
        # Of the clients that have a link, with what that link carries.
        self._associations: dict[int, tuple[Association, LinkLimits]] = {}
        self._silent_before_snrm = setup.silent_before_snrm
        self.foreseen: Foreseen | None = None  # the request for the next block, where that is due

    @property
    def half_frame(self) -> bool:
        # A flag alone is none to wake up for: what comes next tells by its time whether it still counts.
        return self._deframer.in_frame

    @property
    def linked(self) -> bool:
        return bool(self._associations)

    @property
    def in_frame(self) -> bool:
        return self._deframer.in_frame

    @property
    def counters(self) -> Mapping[str, int]:
        if self.foreseen is not None:
            self.foreseen.settle()
        counted: dict[str, int] = self._deframer.counters
        counted["repeats"] = self._secondary.repeats
        return counted

    def flush(self) -> None:
        self._leave()
        self._deframer.flush()

    def abort(self) -> None:
        self._leave()
        self._secondary.abort()
        self._associations.clear()
        self.requests.forget()

    def follow(self, data: bytes, now: float) -> bytes | None:
        """Answer a request in its turn, whole and alone, or an SNRM or DISC that came before.

        None, and nothing done, for all else.
        """
        if self.foreseen is not None:
            self._leave()  # the same octets may come again eight frames later, and ask for nothing then
        if self.requests.later is not None:
            return None
        deframer = self._deframer
        # Half a frame is held, or not even the flag of before: then this frame's own is to be kept.
        reaction = self._secondary.whole(data) if deframer.between_frames else None
        if reaction is not None:
            deframer.frames += 1
            return self._react(reaction, now)
        if deframer.pending and not deframer.between_frames:
            return None
        known = known_frame(data)
        if known is None or (known.kind is not Kind.SNRM and known.kind is not Kind.DISC):
            return None
        (frame,) = deframer.feed(data)
        return self._answer(frame, now)

    def receive(self, data: bytes, now: float) -> bytes:
        self._leave()
        return self.requests.take(self._deframer.feed(data), now, self._answer)

    def take(self, frame: Frame, now: float) -> bytes:
        return self.requests.take((frame,), now, self._answer)

    def go_on(self, now: float) -> bytes:
        return self.requests.go_on(now, self._answer)

    def _answer(self, frame: Frame, now: float) -> bytes:
        self._leave()
        reaction = self._secondary.receive(frame)
        if reaction.event is None:
            return b"" if self._kept_silent(frame) else reaction.octets
        return self._react(reaction, now)

    def _leave(self) -> None:
        """Foresee nothing any more."""
        if self.foreseen is not None:
            self.foreseen.settle()
            self.foreseen = None

    def _react(self, reaction: Reaction, now: float) -> bytes:
        event, client = reaction.event, reaction.client
        if event is _LSDU:
            association, limits = self._associations[client]
            cutter = association.cutter
            block = None
            if cutter is not None and reaction.lsdu == cutter.due:
                block = association.next_block()
            if block is not None:
                # Of rows that were snapped before: no time passes for it.
                octets = self._secondary.answer(client, block)
            else:
                self._meter.pass_time(now)
                lsdu = association.handle(reaction.lsdu, limits)
                if reaction.lsdu[:1] not in _STILL:
                    self._meter.pass_time(now)  # what it has logged is kept at once: a refused SET, an AARQ
                if lsdu is None and association.later is not None:
                    return self._wait(association.later, reaction, association)
                octets = reaction.octets + self._secondary.answer(client, lsdu, association.rest)
            self._foresee(association)
            return octets
        if event is Event.TOO_LONG:
            return reaction.octets + self._secondary.answer(client, _TOO_LONG)
        # A link that begins or ends takes the association of before with it.
        self._associations.pop(client, None)
        if event is Event.CONNECTED:
            secondary = self._secondary
            limits = LinkLimits(secondary.max_request(client), secondary.max_answer(client), 0)
            self._associations[client] = Association(self._application, client), limits
        return reaction.octets

    def _wait(self, later: Later, reaction: Reaction, association: Association) -> bytes:
        self.requests.wait(later, lambda now: self._resumed(reaction, association, now))
        return b""

    def _resumed(self, reaction: Reaction, association: Association, now: float) -> bytes:
        """Return the answer that has waited; nothing where it has to wait again."""
        self._meter.pass_time(now)
        lsdu = association.resumed()
        if association.later is not None:
            return self._wait(association.later, reaction, association)
        self._meter.pass_time(now)  # a SET that came to nothing is logged
        octets = reaction.octets + self._secondary.answer(reaction.client, lsdu, association.rest)
        self._foresee(association)
        return octets

    def _foresee(self, association: Association) -> None:
        cutter = association.cutter
        # Behind the frame whose answer this is there may be the beginning of another.
        if cutter is None or cutter.due is None or not self._deframer.between_frames:
            return
        transfer = self._secondary.in_turn(cutter.largest)
        if transfer is not None:
            self.foreseen = Foreseen(cutter, transfer, self._deframer, cutter.due)

    def _kept_silent(self, frame: Frame) -> bool:
        if not self._silent_before_snrm or frame.kind is Kind.DISC or frame.kind is Kind.SNRM:
            return False
        return frame.source[0] >> 1 not in self._secondary.clients
