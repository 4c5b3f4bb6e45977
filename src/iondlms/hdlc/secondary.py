"""The server's side of the data link: a table, and a link for each client (IEC 62056-46 6.4.4).

Unbalanced, normal response mode, two-way alternate: the server speaks only when it has been given a P bit,
and once. What a command without P leaves to say is said at the next P.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from iondlms.errors import DecodeError, LocalError
from iondlms.hdlc.address import addresses_of, client_sap
from iondlms.hdlc.frame import POLL, Control, Frame, Kind, build_again
from iondlms.hdlc.known import KNOWN, KnownRequest, keep
from iondlms.hdlc.parameters import FrameReject, LinkParameters, RejectReason
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC, Acknowledgement, Event, Reaction, Transfer

__all__ = ["SECONDARY", "Input", "Secondary", "State", "Step"]


class State(Enum):
    """Of the link to one client."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    NDM = "normal disconnected mode"
    NRM = "normal response mode"
    REJECTED = "FRMR condition"  # until SNRM or DISC; ISO/IEC 13239 5.6.4


class Input(Enum):
    """What a frame is to a link; the conditions are tested in `Secondary._classify`."""

    __hash__ = object.__hash__  # a member is only itself, and Enum's own takes ten times as long

    SNRM = "SNRM"
    SNRM_REFUSED = "SNRM whose parameters are malformed or unknown"
    DISC = "DISC"
    UNPOLLED_MODE = "SNRM or DISC without P"
    I = "I in turn"  # noqa: E741  # the standard's name
    I_OUT_OF_TURN = "I repeated, out of sequence, or before our last I was acknowledged"
    RR = "RR"
    RNR = "RNR"
    UI = "UI"
    UNKNOWN = "control field outside the repertoire"
    NOT_PERMITTED = "information where none is permitted"
    TOO_LONG = "information longer than negotiated"
    WRONG_NUMBER = "N(R) of a frame that was never sent"
    INACTIVITY = "inactivity time-out"


class Step(NamedTuple):
    """A row's right side."""

    action: str
    state: State


_NDM, _NRM, _REJECTED = State.NDM, State.NRM, State.REJECTED

SECONDARY: Final[dict[tuple[State, Input], Step]] = {
    (_NDM, Input.SNRM): Step("connect", _NRM),
    (_NDM, Input.SNRM_REFUSED): Step("send_dm", _NDM),
    (_NDM, Input.DISC): Step("send_dm", _NDM),
    (_NDM, Input.UNPOLLED_MODE): Step("ignore", _NDM),
    # In NDM there is nothing but DM to say, and never FRMR (ISO 5.2.2.1).
    (_NDM, Input.I): Step("send_dm", _NDM),
    (_NDM, Input.I_OUT_OF_TURN): Step("send_dm", _NDM),
    (_NDM, Input.RR): Step("send_dm", _NDM),
    (_NDM, Input.RNR): Step("send_dm", _NDM),
    (_NDM, Input.UI): Step("send_dm", _NDM),
    (_NDM, Input.UNKNOWN): Step("send_dm", _NDM),
    (_NDM, Input.NOT_PERMITTED): Step("send_dm", _NDM),
    (_NDM, Input.TOO_LONG): Step("send_dm", _NDM),
    (_NDM, Input.WRONG_NUMBER): Step("send_dm", _NDM),
    (_NDM, Input.INACTIVITY): Step("ignore", _NDM),
    (_NRM, Input.SNRM): Step("connect", _NRM),
    # The client believes the old link gone, and was told that there is no new one.
    (_NRM, Input.SNRM_REFUSED): Step("refuse", _NDM),
    (_NRM, Input.DISC): Step("disconnect", _NDM),
    # Executing what cannot be confirmed leaves the two sides apart.
    (_NRM, Input.UNPOLLED_MODE): Step("ignore", _NRM),
    (_NRM, Input.I): Step("accept", _NRM),
    (_NRM, Input.I_OUT_OF_TURN): Step("poll", _NRM),
    (_NRM, Input.RR): Step("poll", _NRM),
    (_NRM, Input.RNR): Step("hold", _NRM),
    # No unconfirmed service is offered: a UI frame is taken and does nothing.
    (_NRM, Input.UI): Step("poll_unnumbered", _NRM),
    (_NRM, Input.UNKNOWN): Step("reject", _REJECTED),
    (_NRM, Input.NOT_PERMITTED): Step("reject", _REJECTED),
    (_NRM, Input.TOO_LONG): Step("reject", _REJECTED),
    (_NRM, Input.WRONG_NUMBER): Step("reject", _REJECTED),
    # Nobody is told: the client is gone. Its next frame but SNRM gets DM.
    (_NRM, Input.INACTIVITY): Step("abort", _NDM),
    (_REJECTED, Input.SNRM): Step("connect", _NRM),
    (_REJECTED, Input.SNRM_REFUSED): Step("refuse", _NDM),
    (_REJECTED, Input.DISC): Step("disconnect", _NDM),
    (_REJECTED, Input.UNPOLLED_MODE): Step("ignore", _REJECTED),
    (_REJECTED, Input.I): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.I_OUT_OF_TURN): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.RR): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.RNR): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.UI): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.UNKNOWN): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.NOT_PERMITTED): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.TOO_LONG): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.WRONG_NUMBER): Step("send_frmr", _REJECTED),
    (_REJECTED, Input.INACTIVITY): Step("abort", _NDM),
}

_REASONS: Final = {
    Input.UNKNOWN: RejectReason.UNKNOWN_CONTROL,
    # X is given together with W (ISO 5.5.3.4.2 d).
    Input.NOT_PERMITTED: RejectReason.INFORMATION_NOT_PERMITTED | RejectReason.UNKNOWN_CONTROL,
    Input.TOO_LONG: RejectReason.INFORMATION_TOO_LONG,
    Input.WRONG_NUMBER: RejectReason.WRONG_RECEIVE_NUMBER,
}
_LSDU: Final = Event.LSDU  # of an enum's class each member is looked up by a function
_SILENCE: Final = Reaction()
_DEFAULTS: Final = LinkParameters()


class _Link:
    """One client's link. In NDM there is nothing to remember, so none is kept."""

    __slots__ = (
        "address",
        "client",
        "negotiated",
        "overflowed",
        "polled",
        "reject",
        "state",
        "transfer",
        "whole_request",
    )

    def __init__(
        self, address: bytes, own_address: bytes, negotiated: LinkParameters, max_information: int
    ) -> None:
        self.address = address
        self.client = address[0] >> 1
        self.negotiated = negotiated
        self.whole_request = min(negotiated.receive_information, max_information)  # octets, in one frame
        self.state = _NDM
        self.transfer = Transfer(address, own_address, negotiated.transmit_information)
        self.polled = False  # an LSDU was handed up, and its last frame gave us the right to talk
        self.overflowed = False  # the LSDU coming in is too long to be kept
        self.reject = b""  # information of FRMR


class Secondary:
    """All links of one meter. Octets come in as frames, go out as octets; each input is answered at once.

    An `LSDU` or `TOO_LONG` event wants one call of `answer`, before the next frame is given.
    """

    __slots__ = ("_address", "_destinations", "_links", "_max_lsdu", "_parameters", "_talking", "repeats")

    def __init__(
        self, unit_id: int, upper: int = 1, parameters: LinkParameters | None = None, max_lsdu: int = 1024
    ) -> None:
        """`max_lsdu`: octets of a segmented request that are kept, chosen against the wrapper's PDU size."""
        self._destinations = addresses_of(upper, unit_id)
        self._address = self._destinations[0]
        self._parameters = _DEFAULTS if parameters is None else parameters
        if self._parameters.transmit_window != 1 or self._parameters.receive_window != 1:
            raise LocalError("this station keeps one frame in flight: both windows are 1")
        self._max_lsdu = max_lsdu
        self._links: dict[int, _Link] | None = None  # None: a meter nobody talks to is small
        self._talking: _Link | None = None  # the link that spoke last: nearly always the next frame is of it
        self.repeats = 0  # I frames sent again

    def receive(self, frame: Frame) -> Reaction:
        """Take a frame; one that is not for us, or not from a single client, does nothing."""
        link = self._talking
        if (
            link is not None
            and frame.source == link.address
            and frame.destination == self._address
            and link.state is _NRM
        ):
            reaction = self._expected(link, frame)
            if reaction is not None:
                return reaction
        if frame.destination not in self._destinations:
            return _SILENCE
        client = client_sap(frame.source)
        if client is None:
            return _SILENCE
        link = None if self._links is None else self._links.get(client)
        if link is None:
            link = self._new_link(frame.source, self._parameters)
        received = self._classify(frame, link)
        step = SECONDARY[link.state, received]
        link.state = step.state
        reaction = self._act(step.action, link, frame, received)
        if step.state is _NDM and self._links is not None:
            self._links.pop(client, None)
        self._talking = None if self._links is None else self._links.get(client)
        return reaction

    def whole(self, data: bytes) -> Reaction | None:
        """Take octets that are the one request that is due, whole, in a frame; None for any others.

        What the deframer and `receive` come to, who must not hold the beginning of another frame.
        """
        link = self._talking
        if link is None or link.state is not _NRM or not link.transfer.at_rest:
            return None
        transfer = link.transfer
        control = transfer.send_number << 5 | POLL | transfer.receive_number << 1  # that is due
        known = KNOWN.get(data)
        if known is None:
            lsdu = transfer.whole(data, COMMAND_LLC)
            if lsdu is None:
                return None
            reaction = Reaction(b"", _LSDU, link.client, lsdu)
            known = keep(data, KnownRequest(self._address, link.address, control, reaction))
        elif known.control != control or known.source != link.address or known.destination != self._address:
            return None
        if len(COMMAND_LLC) + len(known.reaction.lsdu) > link.whole_request:
            return None
        transfer.come()
        link.polled = True
        return known.reaction

    def _expected(self, link: _Link, frame: Frame) -> Reaction | None:
        """Take the one frame that is due in a conversation without trouble; None for any other.

        That is a whole request that acknowledges all we sent, or the RR that calls for our next segment. It
        is what the rows (NRM, I) and (NRM, RR) of the table come to, without the way there: of the frames
        of a long answer all but the first are such.
        """
        transfer = link.transfer
        due = transfer.send_number << 5 | POLL
        information = frame.information
        if frame.control == due | Control.RR:
            if information:
                return None
            transfer.acknowledge()
            return Reaction(self._talk(transfer))
        if (
            frame.control != due | transfer.receive_number << 1
            or frame.segmented
            or len(information) > link.whole_request
            or not information.startswith(COMMAND_LLC)
            or transfer.received
            or (transfer.idle and transfer.unsent)
        ):
            return None
        transfer.acknowledge()
        transfer.give(b"")
        transfer.accept(information, False)
        link.polled = True
        return Reaction(b"", _LSDU, link.client, information[len(COMMAND_LLC) :])

    def answer(self, client: int, lsdu: bytes | None, pieces: Iterator[bytes] | None = None) -> bytes:
        """Answer the client's request, with None by RR. Return what to send now.

        Empty if the request gave no right to talk: then the answer goes out at the client's next poll. An
        LSDU longer than `max_answer` goes out in segments, each at the client's RR; `pieces` are the rest of
        one that nobody wants to hold whole.
        """
        link = self._link(client)
        transfer = link.transfer
        if lsdu is not None:
            information = RESPONSE_LLC + lsdu
            if link.polled and pieces is None and len(information) <= transfer.send_size and transfer.idle:
                link.polled = False
                return transfer.say(information)
            transfer.give(information, pieces)
        if not link.polled:
            return b""
        link.polled = False
        return self._talk(transfer)

    def in_turn(self, answer: int) -> Transfer | None:
        """Return the exchange with the client that spoke last, where only whole frames in turn are due.

        `answer`: octets of the longest LSDU that is to be said in one.

        What `receive` and `answer` do with such a frame, its `turn` does too, as long as nothing else comes.
        None where an answer is on its way in segments, or waits for the right to talk.
        """
        link = self._talking
        if link is None or not link.transfer.at_rest:
            return None
        return link.transfer if len(RESPONSE_LLC) + answer <= link.transfer.send_size else None

    def abort(self) -> tuple[int, ...]:
        """Drop all links silently, on inactivity or a closed port; return their clients."""
        links = list((self._links or {}).values())
        self._links = self._talking = None
        return tuple(
            link.client for link in links if SECONDARY[link.state, Input.INACTIVITY].action == "abort"
        )

    @property
    def clients(self) -> tuple[int, ...]:
        """The clients that have a link."""
        return tuple(self._links or ())

    def max_answer(self, client: int) -> int:
        """Octets of the largest APDU that fits one I frame to this client; 125 by default."""
        return self._link(client).negotiated.transmit_information - len(RESPONSE_LLC)

    def max_request(self, client: int) -> int:
        """Octets of the largest APDU that fits one I frame from this client."""
        return self._link(client).negotiated.receive_information - len(COMMAND_LLC)

    def _new_link(self, address: bytes, negotiated: LinkParameters) -> _Link:
        return _Link(address, self._address, negotiated, self._max_lsdu + len(COMMAND_LLC))

    def _link(self, client: int) -> _Link:
        link = None if self._links is None else self._links.get(client)
        if link is None:
            raise LocalError(f"client {client} has no link")
        return link

    @staticmethod
    def _classify(frame: Frame, link: _Link) -> Input:
        kind = frame.kind
        if kind is Kind.SNRM or kind is Kind.DISC:
            if not frame.poll:
                return Input.UNPOLLED_MODE
            if kind is Kind.DISC:
                return Input.DISC
            return Input.SNRM if _parameters_are_good(frame.information) else Input.SNRM_REFUSED
        supervisory = kind is Kind.RR or kind is Kind.RNR
        # UA, DM and FRMR are responses: as commands they are not in the repertoire.
        if not (supervisory or kind is Kind.I or kind is Kind.UI):
            return Input.UNKNOWN
        if supervisory and frame.information:
            return Input.NOT_PERMITTED
        if len(frame.information) > link.negotiated.receive_information:
            return Input.TOO_LONG
        if kind is Kind.UI:
            return Input.UI
        transfer = link.transfer
        acknowledgement = transfer.check(Control.receive_number(frame.control))
        if acknowledgement is Acknowledgement.WRONG:
            return Input.WRONG_NUMBER
        if supervisory:
            return Input.RR if kind is Kind.RR else Input.RNR
        # A new request that leaves our last frame unacknowledged, or comes before the answer to the one
        # before could be sent, is not counted, as if it had been lost: the client gets what it has not got,
        # sees by N(R) that we miss its frame, and there is never more than one answer to keep.
        full = acknowledgement is Acknowledgement.MISSED or (transfer.idle and transfer.unsent)
        in_turn = Control.send_number(frame.control) == transfer.receive_number
        return Input.I if in_turn and not full else Input.I_OUT_OF_TURN

    def _act(self, action: str, link: _Link, frame: Frame, received: Input) -> Reaction:
        """Do a row's action: what is said, and what is told. The state is the table's."""
        transfer = link.transfer
        match action:
            case "accept":
                return self._accept(link, frame)
            case "poll":
                self._acknowledge(transfer, frame)
                octets = self._talk(transfer) if frame.poll else b""
            case "hold":
                self._acknowledge(transfer, frame)
                octets = transfer.receive_ready()
            case "poll_unnumbered":
                # UI has no N(R): whether our last frame has come is not known, so it is not sent again.
                octets = b""
                if frame.poll:
                    octets = self._talk(transfer) if transfer.idle else transfer.receive_ready()
            case "connect":
                return self._connect(frame)
            case "disconnect":
                return Reaction(self._unnumbered(link, Control.UA), Event.DISCONNECTED, link.client)
            case "refuse":
                return Reaction(self._unnumbered(link, Control.DM), Event.DISCONNECTED, link.client)
            case "send_dm":
                octets = self._unnumbered(link, Control.DM)
            case "reject":
                numbers = transfer.send_number, transfer.receive_number
                link.reject = FrameReject(frame.control, *numbers, _REASONS[received]).encode()
                octets = self._unnumbered(link, Control.FRMR, link.reject)
            case "send_frmr":
                octets = self._unnumbered(link, Control.FRMR, link.reject)
            case "ignore":
                octets = b""
            case _:
                raise LocalError(f"the table names an action that there is not: {action}")
        return Reaction(octets) if frame.poll else _SILENCE

    def _connect(self, frame: Frame) -> Reaction:
        # A new link and not the old one reset: nothing of the old one can be forgotten to be cleared.
        negotiated = self._parameters.negotiate(LinkParameters.decode(frame.information))
        link = self._new_link(frame.source, negotiated)
        link.state = _NRM
        if self._links is None:
            self._links = {}
        self._links[link.client] = link
        return Reaction(self._unnumbered(link, Control.UA, negotiated.encode()), Event.CONNECTED, link.client)

    def _accept(self, link: _Link, frame: Frame) -> Reaction:
        transfer = link.transfer
        transfer.acknowledge()
        transfer.give(b"")  # a new request ends an answer that was on its way in segments
        if transfer.received + len(frame.information) > self._max_lsdu + len(COMMAND_LLC):
            transfer.discard()
            link.overflowed = True
        whole = transfer.accept(frame.information, frame.segmented)
        if whole is not None:
            overflowed, link.overflowed = link.overflowed, False
            if overflowed or whole.startswith(COMMAND_LLC):
                link.polled = frame.poll
                event = Event.TOO_LONG if overflowed else Event.LSDU
                lsdu = b"" if overflowed else whole[len(COMMAND_LLC) :]
                return Reaction(b"", event, link.client, lsdu)
            # Another LLC header is no request to us; the frame is counted all the same.
        return Reaction(transfer.receive_ready()) if frame.poll else _SILENCE

    def _unnumbered(self, link: _Link, control: int, information: bytes = b"") -> bytes:
        return build_again(link.address, self._address, control | POLL, information)

    @staticmethod
    def _acknowledge(transfer: Transfer, frame: Frame) -> None:
        if transfer.check(Control.receive_number(frame.control)) is Acknowledgement.ALL:
            transfer.acknowledge()

    def _talk(self, transfer: Transfer) -> bytes:
        """Return the one frame that a P bit calls for: what was not acknowledged, what is next, or RR."""
        if not transfer.idle:
            self.repeats += 1
            return transfer.repeat()
        return transfer.next_frame() or transfer.receive_ready()


def _parameters_are_good(information: bytes) -> bool:
    try:
        LinkParameters.decode(information)
    except DecodeError:
        return False
    return True
