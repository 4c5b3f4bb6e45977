"""The client's side of the data link: a table, and one link to one server (IEC 62056-46 6.4.4).

The primary owns time: each frame it sends has P set and is answered once, or not at all. After a silence it
does not repeat an I frame blindly but polls with RR: the server's next frame tells by its N(R) whether the I
frame came, and brings the answer again if that was what got lost.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from iondlms.errors import DecodeError, LocalError
from iondlms.hdlc.address import ServerAddress, client_octet
from iondlms.hdlc.frame import POLL, Control, Frame, Kind, build_again
from iondlms.hdlc.parameters import FrameReject, LinkParameters
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC, Acknowledgement, Event, Reaction, Transfer

__all__ = ["PRIMARY", "Input", "Primary", "State", "Step"]


class State(Enum):
    """Of the link, as the client sees it."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    NDM = "disconnected"
    CONNECTING = "SNRM sent"
    NRM = "connected, nothing asked"
    WAITING = "I sent, in whole or in segments"
    RECEIVING = "first segments of the answer are here"
    DISCONNECTING = "DISC sent"


class Input(Enum):
    """What a frame, or its absence, is to the link; the conditions are tested in `Primary._classify`."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    UA = "UA"
    UA_BAD = "UA to our SNRM whose parameters are malformed"
    DM = "DM"
    FRMR = "FRMR"
    I_LAST = "I in sequence, the end of an LSDU"
    I_MORE = "I in sequence, more segments follow"
    I_STALE = "I in sequence that does not acknowledge our I"
    I_REPEATED = "I with another N(S)"
    I_STRANGE = "I without the LLC octets of a response, or beyond what we hold"
    RR = "RR that acknowledges all we sent"
    RR_MISSED = "RR or RNR that misses our I"
    RNR = "RNR that acknowledges all we sent"
    UI = "UI"
    WRONG_NUMBER = "N(R) of a frame that was never sent"
    UNKNOWN = "any other frame"
    TIMEOUT = "nothing came"
    EXHAUSTED = "nothing came, and no try is left"


class Step(NamedTuple):
    """A row's right side."""

    action: str
    state: State


_IGNORE: Final = ("ignore", None)
_POLL: Final = ("poll", None)
_BUSY: Final = ("busy", None)
_HAND_OUT: Final = ("hand_out", None)
_REPEAT: Final = ("repeat_if_polled", None)
_CLOSED: Final = ("disconnected", State.NDM)
_DELIVER: Final = ("deliver", State.NRM)
_KEEP: Final = ("keep", State.RECEIVING)
_SILENT: Final = ("fail_silent", State.NDM)
_REJECTED: Final = ("fail_rejected", State.NDM)
_NUMBER: Final = ("fail_number", State.NDM)
_STRANGE: Final = ("fail_strange", State.NDM)

# One row an input, one column a state, in the order of `State`; None for the new state: as before.
# fmt: off
_ROWS: Final[dict[Input, tuple[tuple[str, State | None], ...]]] = {
    #              NDM      CONNECTING  NRM      WAITING   RECEIVING  DISCONNECTING
    # In NRM and later it is the second UA to an SNRM that was sent twice.
    Input.UA:     (_IGNORE, ("connected", State.NRM), _IGNORE, _IGNORE, _IGNORE, _CLOSED),
    Input.UA_BAD: (_IGNORE, ("fail_parameters", State.NDM), _IGNORE, _IGNORE, _IGNORE, _CLOSED),
    Input.DM:     (_IGNORE, ("fail_refused", State.NDM), _CLOSED, _CLOSED, _CLOSED, _CLOSED),
    # While connecting it is of the link before this one.
    Input.FRMR:   (_IGNORE, _IGNORE, _REJECTED, _REJECTED, _REJECTED, _IGNORE),
    # In NRM nothing was asked.
    Input.I_LAST: (_IGNORE, _IGNORE, _IGNORE, _DELIVER, _DELIVER, _IGNORE),
    Input.I_MORE: (_IGNORE, _IGNORE, _IGNORE, _KEEP, _KEEP, _IGNORE),
    # The answer to something else; counted, or the server would send it for ever. The next poll sorts it out.
    Input.I_STALE: (_IGNORE, _IGNORE, _IGNORE, ("pass_over", None), _IGNORE, _IGNORE),
    # Only after a poll of ours does it mean that our I was lost. Answering each repeated frame at once would
    # make every doubled frame double the traffic for the rest of the session.
    Input.I_REPEATED: (_IGNORE, _IGNORE, _IGNORE, _REPEAT, _IGNORE, _IGNORE),
    Input.I_STRANGE: (_IGNORE, _IGNORE, _IGNORE, _STRANGE, _STRANGE, _IGNORE),
    Input.RR:     (_IGNORE, _IGNORE, _IGNORE, ("go_on", None), _BUSY, _IGNORE),
    Input.RR_MISSED: (_IGNORE, _IGNORE, _IGNORE, _REPEAT, _IGNORE, _IGNORE),
    Input.RNR:    (_IGNORE, _IGNORE, _IGNORE, ("hold", None), _BUSY, _IGNORE),
    Input.UI:     (_HAND_OUT, _HAND_OUT, _HAND_OUT, _HAND_OUT, _HAND_OUT, _HAND_OUT),
    Input.WRONG_NUMBER: (_IGNORE, _IGNORE, _NUMBER, _NUMBER, _NUMBER, _IGNORE),
    Input.UNKNOWN: (_IGNORE, _IGNORE, _IGNORE, _IGNORE, _IGNORE, _IGNORE),
    Input.TIMEOUT: (_IGNORE, ("send_snrm", None), _IGNORE, _POLL, _POLL, ("send_disc", None)),
    # Whatever the server thinks after an unanswered DISC, our side is closed.
    Input.EXHAUSTED: (_IGNORE, _SILENT, _IGNORE, _SILENT, _SILENT, _CLOSED),
}
# fmt: on

PRIMARY: Final[dict[tuple[State, Input], Step]] = {
    (state, received): Step(action, state if following is None else following)
    for received, row in _ROWS.items()
    for state, (action, following) in zip(State, row, strict=True)
}

# Of an enum's class each member is looked up by a function; these are looked at for each frame.
_NRM: Final = State.NRM
_WAITING: Final = State.WAITING
_RECEIVING: Final = State.RECEIVING
_LSDU: Final = Event.LSDU
_SILENCE: Final = Reaction()
_DEFAULTS: Final = LinkParameters()


class Primary:
    """One link to one server, made anew by each `connect`.

    The caller sends the octets, feeds the frames, and calls `timeout` when none has come for too long.
    """

    def __init__(
        self,
        client: int,
        server: ServerAddress,
        parameters: LinkParameters | None = None,
        *,
        tries: int = 3,
        max_lsdu: int = 0x10000,
        segment_requests: bool = True,
        any_address_length: bool = False,
        repeated_llc: bool = False,
    ) -> None:
        """Name the two stations and the parameters to propose.

        `tries`: time-outs in one exchange before it fails. `max_lsdu`: octets of a segmented answer that
        are kept. `any_address_length`: the server may write its own address in another length.
        `repeated_llc`: the server puts LLC octets in front of each segment, not only the first.
        """
        self._parameters = _DEFAULTS if parameters is None else parameters
        if self._parameters.transmit_window != 1 or self._parameters.receive_window != 1:
            raise LocalError("this station keeps one frame in flight: both windows are 1")
        self._client = client
        self._source = client_octet(client)
        self._server = server
        self._destination = server.encode()
        self._tries = tries
        self._max_lsdu = max_lsdu
        self._segment_requests = segment_requests
        self._any_address_length = any_address_length
        self._repeated_llc = repeated_llc
        self.state = State.NDM
        self.timeouts = 0  # in this exchange
        self._negotiated = self._parameters
        self._transfer = Transfer(self._destination, self._source, self._parameters.transmit_information)
        self._polled = False  # an RR of ours went out because nothing came

    @property
    def negotiated(self) -> LinkParameters:
        """What both sides agreed on, as we see it; what we propose while there is no link."""
        return self._negotiated

    @property
    def max_request(self) -> int:
        """Octets of the largest APDU that fits one I frame; 125 with the default parameters."""
        return self._negotiated.transmit_information - len(COMMAND_LLC)

    def connect(self) -> bytes:
        """Return SNRM, in whatever state; its parameters are stated only where they are not the defaults."""
        self.state = State.CONNECTING
        self.timeouts = 0
        self._negotiated = self._parameters
        return self._snrm()

    def disconnect(self) -> bytes:
        """Return DISC, in whatever state."""
        self.state = State.DISCONNECTING
        self.timeouts = 0
        return self._disc()

    def send(self, lsdu: bytes) -> bytes:
        """Return the I frame, or the first segment, that carries a request; the LLC octets are added here.

        LocalError where a request is out already, or this one is longer than `max_request` and segments are
        switched off.
        """
        if self.state is not _NRM:
            raise LocalError(f"a request cannot be sent now: {self.state.value}")
        if not self._segment_requests and len(lsdu) > self.max_request:
            raise LocalError(f"a request of {len(lsdu)} octets; {self.max_request} fit one frame")
        self.state = _WAITING
        self.timeouts = 0
        self._polled = False
        transfer, information = self._transfer, COMMAND_LLC + lsdu
        if transfer.at_rest and len(information) <= transfer.send_size:
            return transfer.say(information)
        transfer.give(information)
        return transfer.next_frame()

    def poll(self) -> bytes:
        """Return RR: ask again, after `BUSY`. LocalError if nothing is awaited."""
        if self.state not in (State.WAITING, State.RECEIVING):
            raise LocalError(f"there is nothing to poll for: {self.state.value}")
        self._polled = True
        return self._transfer.receive_ready()

    def receive(self, frame: Frame) -> Reaction:
        """Take a frame; one that is not from our server to us does nothing."""
        if frame.source == self._destination and frame.destination == self._source:
            reaction = self._expected(frame)
            return self._step(self._classify(frame), frame) if reaction is None else reaction
        if frame.destination != self._source or not self._is_server(frame.source):
            return _SILENCE
        return self._step(self._classify(frame), frame)

    def _expected(self, frame: Frame) -> Reaction | None:
        """Take the one frame that is due in a conversation without trouble; None for any other.

        That is the whole answer to our request, or a segment of it while more are to come. It is what the
        rows I_LAST and I_MORE of the table come to, without the way there: of the frames of a long answer
        all but the last are such.
        """
        transfer = self._transfer
        information = frame.information
        receiving = self.state is _RECEIVING
        if (
            not (receiving or self.state is _WAITING)
            or frame.control != transfer.send_number << 5 | POLL | transfer.receive_number << 1
            or transfer.received + len(information) > self._max_lsdu + len(RESPONSE_LLC)
            or self._repeated_llc
        ):
            return None
        segmented = frame.segmented
        if receiving:
            if not segmented or not transfer.received:
                return None
        elif transfer.received or not information.startswith(RESPONSE_LLC):
            return None
        self.timeouts = 0
        transfer.acknowledge()
        transfer.give(b"")
        if segmented:
            self.state = _RECEIVING
            transfer.accept(information, True)
            return Reaction(transfer.receive_ready())
        self.state = _NRM
        transfer.accept(information, False)
        return Reaction(b"", _LSDU, self._client, information[len(RESPONSE_LLC) :])

    def in_turn(self, lsdu: int) -> Transfer | None:
        """Return the exchange where nothing but a frame with an LSDU of that length, whole, is due.

        What `receive` and `send` do with such a frame and the request that follows it, its `turn` does too,
        as long as nothing else comes. None where the server may send something else in good order, and where
        a request was repeated or polled for.
        """
        transfer = self._transfer
        if self.state is not _WAITING or self.timeouts or self._polled or lsdu > self._max_lsdu:
            return None
        return transfer if transfer.at_rest else None

    def take(self, data: bytes) -> bytes | None:
        """Take octets that are the one frame that is due, whole and alone, and return its LSDU.

        What the deframer and `receive` come to, who must not hold the beginning of another frame. None, and
        nothing has changed, for any others.
        """
        if self.state is not _WAITING or self.timeouts or self._polled:
            return None
        lsdu = self._transfer.take(data, RESPONSE_LLC, self._max_lsdu + len(RESPONSE_LLC))
        if lsdu is not None:
            self.state = _NRM
        return lsdu

    def timeout(self) -> Reaction:
        """Nothing came for too long: repeat, poll, or give up with a `FAILED` event."""
        self.timeouts += 1
        return self._step(Input.TIMEOUT if self.timeouts <= self._tries else Input.EXHAUSTED, _NOTHING)

    def _step(self, received: Input, frame: Frame) -> Reaction:
        step = PRIMARY[self.state, received]
        self.state = step.state
        return self._act(step.action, frame)

    def _is_server(self, source: bytes) -> bool:
        if source == self._destination:
            return True
        return self._any_address_length and self._server.same_station(ServerAddress.decode(source))

    def _classify(self, frame: Frame) -> Input:
        kind = frame.kind
        if kind is Kind.UA:
            return Input.UA if _parameters(frame) is not None else Input.UA_BAD
        if kind not in (Kind.I, Kind.RR, Kind.RNR):
            return {Kind.DM: Input.DM, Kind.FRMR: Input.FRMR, Kind.UI: Input.UI}.get(kind, Input.UNKNOWN)
        transfer = self._transfer
        acknowledgement = transfer.check(Control.receive_number(frame.control))
        if acknowledgement is Acknowledgement.WRONG:
            return Input.WRONG_NUMBER
        missed = acknowledgement is Acknowledgement.MISSED
        if kind is not Kind.I:
            return Input.RR_MISSED if missed else Input.RR if kind is Kind.RR else Input.RNR
        if Control.send_number(frame.control) != transfer.receive_number:
            return Input.I_REPEATED
        if missed:
            return Input.I_STALE
        first = not transfer.received
        too_long = transfer.received + len(frame.information) > self._max_lsdu + len(RESPONSE_LLC)
        if too_long or (first and not frame.information.startswith(RESPONSE_LLC)):
            return Input.I_STRANGE
        return Input.I_MORE if frame.segmented else Input.I_LAST

    def _snrm(self) -> bytes:
        information = b"" if self._parameters == _DEFAULTS else self._parameters.encode()
        return build_again(self._destination, self._source, Control.SNRM | POLL, information)

    def _disc(self) -> bytes:
        return build_again(self._destination, self._source, Control.DISC | POLL)

    def _act(self, action: str, frame: Frame) -> Reaction:
        """Do a row's action: what is said, and what is told. The state is the table's."""
        match action:
            case "ignore":
                return _SILENCE
            case "deliver":
                return Reaction(b"", _LSDU, self._client, self._accept(frame)[len(RESPONSE_LLC) :])
            case "keep":
                self._accept(frame)
                return Reaction(self._transfer.receive_ready()) if frame.poll else _SILENCE
            case "go_on":
                return self._go_on(frame)
            case "connected":
                return self._connected(frame)
            case "disconnected":
                return Reaction(b"", Event.DISCONNECTED, self._client)
            case "poll":
                return Reaction(self.poll())
            case "repeat_if_polled":
                return self._repeat(frame) if self._polled else _SILENCE
            case "pass_over":
                self._transfer.accept(b"", False)
                return _SILENCE
            case "hold":
                self._transfer.acknowledge()
                return Reaction(b"", Event.BUSY, self._client)
            case "busy":
                return Reaction(b"", Event.BUSY, self._client)
            case "hand_out":
                lsdu = frame.information.removeprefix(RESPONSE_LLC)
                return Reaction(b"", Event.UNNUMBERED, self._client, lsdu)
            case "send_snrm":
                return Reaction(self._snrm())
            case "send_disc":
                return Reaction(self._disc())
        return Reaction(b"", Event.FAILED, self._client, reason=self._failure(action, frame))

    def _failure(self, action: str, frame: Frame) -> str:
        """Return what a person is told of an action that fails."""
        octets = frame.information.hex(" ").upper() or "nothing"
        match action:
            case "fail_silent":
                times = f" after {self._tries} repetition{'s' * (self._tries > 1)}" if self._tries else ""
                return f"no answer{times}"
            case "fail_refused":
                return "the server refused the link (DM)"
            case "fail_parameters":
                return f"the server's link parameters cannot be read: {octets}"
            case "fail_rejected":
                return f"the server sent FRMR: {_reject_text(frame.information) or octets}"
            case "fail_strange" if self._transfer.received:
                return f"the answer is longer than {self._max_lsdu} octets"
            case "fail_strange":
                return f"an answer without the LLC octets E6 E7 00: {octets}"
            case "fail_number":
                return f"the server acknowledges a frame that was not sent: {Control.name(frame.control)}"
        raise LocalError(f"the table names an action that there is not: {action}")

    def _connected(self, frame: Frame) -> Reaction:
        self._negotiated = self._parameters.negotiate(_parameters(frame) or LinkParameters())
        # A new transfer and not the old one reset: the numbers start at 0 with each SNRM.
        self._transfer = Transfer(self._destination, self._source, self._negotiated.transmit_information)
        self.timeouts = 0
        return Reaction(b"", Event.CONNECTED, self._client)

    def _accept(self, frame: Frame) -> bytes:
        """Count an I frame; return the LSDU with its LLC, or nothing while segments are to come."""
        information = frame.information
        transfer = self._transfer
        if self._repeated_llc and transfer.received:
            information = information.removeprefix(RESPONSE_LLC)
        transfer.acknowledge()
        transfer.give(b"")  # a server that answers before it has the whole request wants no more of it
        self.timeouts = 0
        return transfer.accept(information, frame.segmented) or b""

    def _go_on(self, frame: Frame) -> Reaction:
        transfer = self._transfer
        if not transfer.idle:
            transfer.acknowledge()
            self.timeouts = 0
        if not transfer.unsent:
            return Reaction(b"", Event.BUSY, self._client)
        if not frame.poll:
            return _SILENCE
        self._polled = False
        return Reaction(transfer.next_frame())

    def _repeat(self, frame: Frame) -> Reaction:
        # Once for each poll of ours, so this cannot go round and round by itself.
        self._polled = False
        return Reaction(self._transfer.repeat()) if frame.poll and not self._transfer.idle else _SILENCE


_NOTHING: Final = Frame(b"", b"", 0)


def _parameters(frame: Frame) -> LinkParameters | None:
    """Return the parameters a UA states, None if it is malformed; an empty one states the defaults."""
    try:
        return LinkParameters.decode(frame.information, strict=False)
    except DecodeError:
        return None


def _reject_text(information: bytes) -> str:
    try:
        return str(FrameReject.decode(information))
    except DecodeError:
        return ""
