"""The hub of the client: one connection to one meter, octets and time in, octets out.

A call (`open`, `get`, `set`, `release`) returns octets to send and leaves its end in `outcome`; until then
the caller feeds what arrives to `receive_data` and wakes `handle_timeout` at `next_deadline`. The link below
asks again what got lost; whether to connect anew and ask once more is for `session.py` to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from iondlms.acse import CLIENT, ClientInput, ClientState
from iondlms.client.answers import (
    CONFIRMED,
    RLRQ,
    WHOLE_ANSWERS,
    Answer,
    Outcome,
    Waiting,
    answer_of,
    classified,
    outcome_of,
)
from iondlms.client.association import aarq, proposed_by
from iondlms.client.errors import LinkError, NoAnswer, ServiceRefused
from iondlms.client.foreseen import Follow, Foreseen, foresee_nothing
from iondlms.client.links import HdlcLink, Link, WrapperLink
from iondlms.client.url import Target
from iondlms.codec.axdr import Data
from iondlms.errors import DataAccessResult, DlmsError, LocalError, RemoteError
from iondlms.hdlc import Event, Reaction
from iondlms.xdlms import (
    AttributeDescriptor,
    BlockJoiner,
    ConfirmedServiceError,
    Conformance,
    ExceptionResponse,
    GetResponseNormal,
    GetResponseWithDatablock,
    InitiateResponse,
    SelectiveAccess,
    SetRequestNormal,
    SetResponseNormal,
)
from iondlms.xdlms.get import get_request

__all__ = ["ClientEndpoint", "Direction", "Outcome"]

Direction = Literal["TX", "RX"]

_LONGEST: Final = 10  # time-outs that one answer may take while its octets keep coming
_BUSY_POLL_S: Final = 0.5
_BUSY_TIMEOUTS: Final = 12  # a server may be busy that many time-outs before it counts as silent
_DISC_TRIES: Final = 1  # our side is closed whether or not the meter says so


# Of an enum's class each member is looked up by a function; these are looked at for each frame.
_NOTHING: Final = Waiting.NOTHING
_ANSWER: Final = Waiting.ANSWER
_ASSOCIATED: Final = ClientState.ASSOCIATED
_LSDU: Final = Event.LSDU


class ClientEndpoint:
    """One client association over one connection."""

    def __init__(
        self,
        target: Target,
        framing: Literal["hdlc", "wrapper"],
        password: bytes | None = None,
        *,
        tries: int | None = None,
        on_apdu: Callable[[Direction, bytes, float], None] | None = None,
    ) -> None:
        """Speak `framing`; `tries` instead of the target's `retries` counts repetitions of a frame."""
        self._target = target
        self._password = password
        self._on_apdu = on_apdu
        self._timeout_s = target.timeout_s
        self._proposed = proposed_by(target.client)
        repeats = target.retries if tries is None else tries
        self._link: Link = HdlcLink(target, repeats) if framing == "hdlc" else WrapperLink(target)
        self._state = ClientState.IDLE
        self._waiting = Waiting.NOTHING
        self._deadline: float | None = None
        self._limit = 0.0  # no deadline moves beyond it, whatever noise comes
        self._busy_until: float | None = None
        self._poll_at: float | None = None
        self._disc_left = 0
        self._invoke = 0
        self._writing = False  # what is under way is a SET
        self._joiner: BlockJoiner | None = None
        self._whole = b""  # how a response begins that carries all that a GET has asked for
        self._foreseen: Foreseen | None = None  # the next block, where nothing else may come in turn
        # Answers the octets that were foreseen as `receive_data` would, the shortest way; None for others.
        self.follow: Follow = foresee_nothing
        self.outcome: Outcome | None = None  # of the last call, once it has ended
        self.heard = False  # the peer said something that this framing understands
        self.initiate: InitiateResponse | None = None  # what was negotiated
        self.progress: Callable[[bytes, int], None] | None = None  # (first block, octets so far)

    @property
    def associated(self) -> bool:
        """Whether requests can be sent."""
        return self._state is _ASSOCIATED and self._waiting is _NOTHING

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._waiting is not _NOTHING

    @property
    def conformance(self) -> Conformance:
        """What was negotiated; nothing before."""
        return Conformance(0) if self.initiate is None else self.initiate.negotiated_conformance

    @property
    def partial(self) -> bytes:
        """What came of the last GET's value before it ended, in order."""
        self.settle()
        return b"" if self._joiner is None else self._joiner.octets

    @property
    def foreign(self) -> bytes:
        """How an answer begins that is of neither framing; empty where there is none."""
        return b"" if self.heard else self._link.foreign

    def fits(self, apdu_octets: int) -> bool:
        """Whether a request of that length reaches the meter in one piece and is not too long for it."""
        longest = 0 if self.initiate is None else self.initiate.server_max_receive_pdu_size
        return apdu_octets <= min(self._link.max_request or apdu_octets, longest or apdu_octets)

    # --- calls ------------------------------------------------------------------------------------

    def open(self, now: float) -> bytes:
        """Connect and associate, whatever was before."""
        self._state = ClientState.IDLE
        self.initiate = None
        self._begin(Waiting.LINK)
        return self._react(self._link.connect(), now)

    def expect(self, progress: Callable[[bytes, int], None] | None) -> None:
        """Take who is told how far the next call is; what came of the one before is forgotten."""
        self.progress = progress
        if self._foreseen is not None:
            self._leave()
        self._joiner = None

    def get(self, attribute: AttributeDescriptor, access: SelectiveAccess | None, now: float) -> bytes:
        """Read an attribute; the outcome is its encoded value, whether it came whole or in blocks."""
        invoke = CONFIRMED | (self._invoke + 1) & 0x0F
        octets = self._ask(ClientInput.SERVICE, get_request(invoke, attribute, access), now, invoke)
        self._whole = WHOLE_ANSWERS[invoke & 0x0F]
        return octets

    def set(self, attribute: AttributeDescriptor, value: Data, now: float) -> bytes:
        """Write an attribute."""
        invoke = CONFIRMED | (self._invoke + 1) & 0x0F
        request = SetRequestNormal(invoke, attribute, None, value).encode()
        return self._ask(ClientInput.SERVICE, request, now, invoke, writing=True)

    def release(self, now: float) -> bytes:
        """End the association, then the link; it always ends well: silence closes it too."""
        if self._state is not _ASSOCIATED:
            return self.disconnect(now)
        return self._ask(ClientInput.RELEASE, RLRQ, now, self._invoke)

    def disconnect(self, now: float) -> bytes:
        """End the link."""
        self._begin(Waiting.UNLINK)
        self._state = ClientState.IDLE
        self._disc_left = _DISC_TRIES
        return self._react(self._link.disconnect(), now)

    def _begin(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.outcome = None
        if self._foreseen is not None:
            self._leave()
        self._joiner = None
        self._busy_until = None
        self._whole = b""

    def _ask(
        self, call: ClientInput, apdu: bytes, now: float, invoke: int, *, writing: bool = False
    ) -> bytes:
        step = CLIENT[self._state, call]
        if step.action == "misuse" or self._waiting is not _NOTHING:
            raise LocalError("there is no association, or it is busy with another request")
        longest = 0 if self.initiate is None else self.initiate.server_max_receive_pdu_size
        if longest and len(apdu) > longest:
            raise LocalError(f"a request of {len(apdu)} octets; the meter takes {longest}")
        self._state, self._invoke, self._writing = step.state, invoke & 0x0F, writing
        self._begin(_ANSWER)
        return self._send(apdu, now)

    def _send(self, apdu: bytes, now: float) -> bytes:
        if self._on_apdu is not None:
            self._on_apdu("TX", apdu, now)
        octets = self._link.send(apdu)
        self._busy_until = None
        self._arm(now)
        return octets

    # --- octets and time ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Have all parts know of the blocks that were foreseen and came."""
        foreseen = self._foreseen
        if foreseen is not None and foreseen.heard_at is not None:
            foreseen.settle()
            self._arm(foreseen.heard_at)  # nothing was polled for

    def _leave(self) -> None:
        """Foresee nothing any more."""
        if self._foreseen is not None:  # asked before as well, where it is called for each request
            self.settle()
            self._foreseen = None
            self.follow = foresee_nothing

    def _foresee(self, link: HdlcLink, joiner: BlockJoiner) -> None:
        """See the next block coming, where nothing else may come in turn."""
        foreseen = self._foreseen = Foreseen.of(link, joiner, CONFIRMED | self._invoke)
        if foreseen is not None:
            self.follow = foreseen.shown_to(self._on_apdu, self.progress)

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Take octets and return what is to be sent now; never raises for what was received."""
        if self._foreseen is not None:
            self._leave()
        link, answer = self._link, b""
        apdu = link.take(data)
        if apdu is not None:
            self.heard = True
            if self._waiting is not _NOTHING:
                answer = self._receive_apdu(apdu, now)
        else:
            for reaction in link.receive(data):
                if not self.heard and reaction.event is not None:
                    # What breaks the wrapper was not understood; what fails a link was a frame for us.
                    self.heard = reaction.event is not Event.FAILED or isinstance(link, HdlcLink)
                answer += self._react(reaction, now)
        if not answer and self._waiting is not _NOTHING and self._poll_at is None:
            self._deadline = min(now + self._timeout_s, self._limit)
        joiner = self._joiner
        if (
            joiner is not None
            and self._waiting is _ANSWER
            and self._busy_until is None
            and isinstance(link, HdlcLink)
        ):
            self._foresee(link, joiner)
        return answer

    def next_deadline(self) -> float | None:
        """Return when `handle_timeout` wants to be called; None while no call is under way."""
        if self._waiting is _NOTHING:
            return None
        foreseen = self._foreseen
        if foreseen is not None and foreseen.heard_at is not None:
            return foreseen.heard_at + self._timeout_s
        return self._deadline if self._poll_at is None else self._poll_at

    def handle_timeout(self, now: float) -> bytes:
        """Ask again, poll a busy meter, or end the call."""
        self._leave()
        if not self.busy or now < (self.next_deadline() or now):
            return b""
        if self._poll_at is not None and (self._busy_until is None or now < self._busy_until):
            octets = self._link.poll()
            self._arm(now)
            return octets
        if self._state is ClientState.RELEASING:
            return self._released(ClientInput.TIMEOUT, now)
        if self._waiting is Waiting.UNLINK:
            if self._disc_left == 0:
                return self._end(Outcome())
            self._disc_left -= 1
        reaction = self._link.timeout()
        if reaction.event is Event.FAILED or reaction == Reaction():
            # A link that has nothing to repeat will not come to anything by waiting either.
            self._lost(NoAnswer.of(reaction.reason or "no answer", self._target, heard=self.heard))
            return b""
        return self._react(reaction, now)

    def abandon(self) -> None:
        """Forget the call under way and the association: the connection is gone, or not to be trusted."""
        self._state = CLIENT[self._state, ClientInput.LINK_LOST].state
        self._waiting = Waiting.NOTHING
        self._leave()
        self._whole = b""

    def _arm(self, now: float) -> None:
        self._poll_at = None
        self._deadline = now + self._timeout_s
        self._limit = now + self._timeout_s * _LONGEST

    def _react(self, reaction: Reaction, now: float) -> bytes:
        """Do what a link's reaction asks for; return the octets to send."""
        octets, event = reaction.octets, reaction.event
        if octets:
            self._arm(now)
        if event is None or self._waiting is _NOTHING:
            return octets
        if event is _LSDU:
            return octets + self._receive_apdu(reaction.lsdu, now)
        match event:
            case Event.CONNECTED:
                return octets + (self._associate(now) if self._waiting is Waiting.LINK else b"")
            case Event.BUSY:
                self._busy(now)
            case Event.DISCONNECTED if self._waiting is Waiting.UNLINK:
                self._end(Outcome())
            case Event.DISCONNECTED:
                self._lost(LinkError("the meter has closed the link: it was silent too long, or restarted"))
            case Event.FAILED:
                self._lost(LinkError.of(reaction.reason))
            case _:
                pass  # UI frames are outside of the conversation, and nothing here wants them
        return octets

    def _busy(self, now: float) -> None:
        if self._busy_until is None:
            self._busy_until = now + self._timeout_s * _BUSY_TIMEOUTS
        self._poll_at = now + min(_BUSY_POLL_S, self._timeout_s)

    def _lost(self, error: DlmsError) -> None:
        action, self._state = CLIENT[self._state, ClientInput.LINK_LOST]
        self._end(Outcome() if action == "released" else Outcome(error=error))

    def _end(self, outcome: Outcome) -> bytes:
        self._waiting = _NOTHING
        self._poll_at = None
        self.outcome = outcome
        return b""

    # --- association --------------------------------------------------------------------------------

    def _associate(self, now: float) -> bytes:
        self._waiting = _ANSWER
        self._state = CLIENT[self._state, ClientInput.OPEN].state
        return self._send(aarq(self._proposed, self._target.max_pdu, self._password), now)

    def _released(self, received: ClientInput, now: float) -> bytes:
        self._state = CLIENT[self._state, received].state
        return self.disconnect(now)

    # --- answers ------------------------------------------------------------------------------------

    def _receive_apdu(self, octets: bytes, now: float) -> bytes:
        if self._on_apdu is not None:
            self._on_apdu("RX", octets, now)
        if self._waiting is not _ANSWER:
            return b""
        joiner, whole = self._joiner, self._whole
        if joiner is None and whole:
            # What the way through decoder and table comes to; nearly all attributes come so.
            if octets.startswith(whole) and len(octets) > len(whole):
                value = octets[len(whole) :]
                if self.progress is not None:
                    self.progress(value, len(value))
                return self._end(Outcome(value))
            joiner = BlockJoiner()
            joiner.begin(CONFIRMED | self._invoke)
        if joiner is not None and self._state is _ASSOCIATED:
            # The block that is due, of a transfer that goes on: twelve thousand times in a year of rows.
            raw = joiner.take(octets)
            if raw is not None:
                self._joiner = joiner
                if self.progress is not None:
                    self.progress(raw, joiner.received)
                if joiner.complete:
                    return self._end(Outcome(joiner.octets))
                return self._send(joiner.next_request(CONFIRMED | self._invoke), now)
        if not octets:
            return self._out_of_turn()
        try:
            apdu = answer_of(octets)
        except RemoteError as error:
            return self._unreadable(error, now)
        received, refusal, initiate = classified(apdu, self._state, self._proposed)
        if initiate is not None:
            self.initiate = initiate
        action, self._state = CLIENT[self._state, received]
        match action:
            case "opened":
                self._end(Outcome())
            case "refused":
                self._end(Outcome(error=refusal))
            case "deliver":
                return self._deliver(apdu, now)
            case "released" | "disconnect":
                return self.disconnect(now)
            case "lost":
                self._end(Outcome(error=LinkError("the meter has ended the association")))
            case _:
                # An answer to nothing that was asked; over HDLC it stands where ours would have been.
                return self._out_of_turn()
        return b""

    def _unreadable(self, error: RemoteError, now: float) -> bytes:
        if self._state is ClientState.RELEASING:
            return self._released(ClientInput.RESPONSE, now)
        if self._state is ClientState.PENDING:
            self._state = CLIENT[self._state, ClientInput.AARE_REFUSED].state
        return self._end(Outcome(error=error))

    def _out_of_turn(self) -> bytes:
        if isinstance(self._link, HdlcLink):
            self._lost(LinkError("the meter answered something that was not asked"))
        return b""

    def _deliver(self, apdu: Answer, now: float) -> bytes:
        match apdu:
            case ExceptionResponse() | ConfirmedServiceError():
                return self._end(Outcome(error=ServiceRefused.of(apdu)))
            case GetResponseNormal() | GetResponseWithDatablock() | SetResponseNormal():
                of_set = isinstance(apdu, SetResponseNormal)
                if (apdu.invoke ^ self._invoke) & 0x0F or of_set is not self._writing:
                    return self._out_of_turn()
            case _:
                return self._out_of_turn()
        match apdu:
            case GetResponseWithDatablock():
                return self._join(apdu, now)
            case SetResponseNormal(result=result) | GetResponseNormal(result=DataAccessResult() as result):
                return self._end(outcome_of(result))
            case GetResponseNormal(result=bytes() as value) if self._joiner is None:
                if self.progress is not None:
                    self.progress(value, len(value))
                return self._end(Outcome(value))
        return self._end(Outcome(error=RemoteError("a whole answer came in the middle of a block transfer")))

    def _join(self, block: GetResponseWithDatablock, now: float) -> bytes:
        if self._joiner is None:
            self._joiner = BlockJoiner()
        joiner = self._joiner
        try:
            more = joiner.receive(block)
        except RemoteError as error:
            return self._end(Outcome(error=error))
        if joiner.error is not None:
            return self._end(outcome_of(joiner.error))
        if self.progress is not None:
            self.progress(block.result if isinstance(block.result, bytes) else b"", joiner.received)
        if more:
            return self._send(joiner.next_request(CONFIRMED | self._invoke), now)
        return self._end(Outcome(joiner.octets))
