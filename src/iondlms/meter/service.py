"""One association on the server's side: APDU in, APDU out. Knows neither octets on a line nor time.

Each service is one row of `SERVICES`: its handler and what it must have negotiated. Whatever has no row, or
comes in the wrong state, or cannot be read, is refused in `handle`, from the table in `refusals.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from iondlms.acse import (
    Aare,
    Aarq,
    AssociationResult,
    Diagnostic,
    MechanismName,
    Policy,
    Rlre,
    ServerInput,
    ServerState,
    ServiceUser,
    check,
)
from iondlms.acse.association import SERVER
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import Reader
from iondlms.cosem import AssociationView, LogicalDevice, Selection
from iondlms.errors import (
    AccessError,
    DataAccessResult,
    DataBlockNumberInvalid,
    DataBlockUnavailable,
    DecodeError,
    NoLongGetInProgress,
    ObjectUndefined,
)
from iondlms.ion.event_log import Priority
from iondlms.meter.objects import CLOCK
from iondlms.meter.refusals import Cause, refusal
from iondlms.xdlms.apdu import SENT_BY_SERVERS, Apdu, decode_apdu
from iondlms.xdlms.blocks import BlockCutter
from iondlms.xdlms.get import (
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    SelectiveAccess,
)
from iondlms.xdlms.initiate import (
    ConfirmedServiceError,
    Conformance,
    InitiateError,
    InitiateRequest,
    InitiateResponse,
    negotiate,
)
from iondlms.xdlms.set import SetRequestNormal, SetResponseNormal

__all__ = ["MANAGEMENT_LOGICAL_DEVICE", "Application", "Association", "ClientAccess", "Instead", "LinkLimits"]

_LOG: Final = logging.getLogger("iondlms.meter.service")

MANAGEMENT_LOGICAL_DEVICE: Final = 1  # server SAP; the only one
_AARQ: Final = 0x60
_RLRQ: Final = 0x62
_SERVER_ACSE: Final = frozenset((0x61, 0x63))  # AARE, RLRE
_RESPONSE_NORMAL_OVERHEAD: Final = 4  # C4 01 invoke 00
_SMALLEST_BLOCK_PDU: Final = 12  # less is no PDU size (Green Book 9.4.4.1)
_NO_LIMIT: Final = 1 << 31  # beyond any answer of a meter


@dataclass(frozen=True, slots=True)
class ClientAccess:
    """What one client SAP must show, is offered, and may write."""

    policy: Policy
    conformance: Conformance
    writable: frozenset[tuple[ObisCode, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Application:
    """What all associations on one port share."""

    device: LogicalDevice
    clients: Mapping[int, ClientAccess]  # by client SAP
    segment_long_answers: bool = False
    unknown_object: DataAccessResult = DataAccessResult.OBJECT_UNDEFINED
    # Around each SET: what it did is durable before it is answered; AccessError where it cannot be.
    kept: Callable[[], AbstractContextManager[None]] = nullcontext
    port: str = ""  # its name
    # Takes what belongs into the event log: an event's priority, cause and effect.
    report: Callable[[int, str, str], None] = lambda *_: None
    instead: Instead = field(default_factory=lambda: Instead())


class Instead:
    """What the next APDU of a meter is answered with in place of being served: a fault on demand."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: Callable[[bytes], bytes] | None = None


class LinkLimits(NamedTuple):
    """What the link below carries, in octets of APDU."""

    max_request: int  # the server's max receive PDU size
    frame: int  # an answer that fits one frame; 0: frames do not count (the wrapper)
    largest: int  # the longest answer that can be carried at all; 0: no limit (segments)


class Association:
    """The association of one client SAP, from the first AARQ to whatever ends it."""

    __slots__ = ("_application", "_client", "_client_sap", "_cutter", "_limits", "_state", "_view", "rest")

    def __init__(self, application: Application, client_sap: int) -> None:
        self._application = application
        self._client_sap = client_sap
        self._client = application.clients.get(client_sap)
        self._state = ServerState.IDLE
        self._view: AssociationView | None = None
        self._cutter: BlockCutter | None = None
        self._limits = LinkLimits(0, 0, 0)
        # What follows the octets that `handle` returned last: an answer that may have any length is not made
        # before the link has carried what comes before it.
        self.rest: Iterator[bytes] | None = None

    @property
    def associated(self) -> bool:
        """Whether an association is open."""
        return self._state is ServerState.ASSOCIATED

    def abort(self) -> None:
        """The link is gone: DISC, SNRM, inactivity, a closed connection."""
        self._step(ServerInput.LINK_LOST)

    def handle(self, apdu: bytes, limits: LinkLimits) -> bytes | None:
        """Return the answer to an APDU, None where there is none; never raises for what was received."""
        self.rest = None
        if not apdu:
            return None
        self._limits = limits
        if self._application.instead.answer is not None:
            return self._answer_instead(apdu, self._application.instead)
        tag = apdu[0]
        if tag == _AARQ:
            return self._associate(apdu)
        if tag == _RLRQ:
            return self._release()
        if tag in SENT_BY_SERVERS or tag in _SERVER_ACSE:
            self._step(ServerInput.SERVER_APDU)
            return refusal(Cause.SERVER_ONLY)
        return self._serve(apdu)

    def next_block(self, apdu: bytes) -> bytes | None:
        """Return the block that the APDU asks for if it is just the request that is due, None for all else.

        The same as `handle` would return, without the way there: while there is a transfer the association
        is open and has negotiated it.
        """
        cutter = self._cutter
        if cutter is None or apdu != cutter.due or self._application.instead.answer is not None:
            return None
        self.rest = None
        return cutter.next_block()

    def _answer_instead(self, apdu: bytes, instead: Instead) -> bytes | None:
        answer, instead.answer = instead.answer, None
        self._cutter = None  # a meter that fails has lost its place too
        return None if answer is None else answer(apdu)

    def _step(self, event: ServerInput) -> str:
        step = SERVER[self._state, event]
        self._state = step.state
        if step.state is ServerState.IDLE:
            self._cutter = None
            self._view = None
        return step.action

    # --- association ------------------------------------------------------------------------------

    def _associate(self, octets: bytes) -> bytes | None:
        try:
            aarq, request = _proposal(octets)
        except DecodeError:
            return self._refuse_association(ServiceUser.NO_REASON_GIVEN, _initiate_error(InitiateError.OTHER))
        if request is not None and not request.response_allowed:
            self._step(ServerInput.AARQ_UNCONFIRMED)
            return None
        client = self._client
        if client is None:
            return self._refuse_association(ServiceUser.NO_REASON_GIVEN, _initiate_error(InitiateError.OTHER))
        # Asked first: an AARQ of a ciphered context carries an InitiateRequest that nobody here can open.
        diagnostic = check(aarq, client.policy)
        if request is None:
            return self._refuse_association(
                diagnostic or ServiceUser.NO_REASON_GIVEN, _initiate_error(InitiateError.OTHER)
            )
        response = negotiate(request, client.conformance, self._limits.max_request)
        if diagnostic is not None or isinstance(response, ConfirmedServiceError):
            if diagnostic is not None:
                # An event only here: of clients that are not there, or of noise, anybody can make any number.
                effect = f"client {self._client_sap} refused: {_words(diagnostic)}"
                self._report(Priority.WARNING, "Association", effect)
            return self._refuse_association(diagnostic or ServiceUser.NO_REASON_GIVEN, response)
        self._step(ServerInput.AARQ_ACCEPTED)
        self._cutter = None
        self._view = AssociationView(
            client_sap=self._client_sap,
            server_sap=MANAGEMENT_LOGICAL_DEVICE,
            conformance=response.negotiated_conformance,
            max_receive_pdu=self._limits.max_request,
            max_send_pdu=request.client_max_receive_pdu_size,
            authentication_mechanism=int(client.policy.mechanism is MechanismName.LOW),
            quality_of_service=response.negotiated_quality_of_service or 0,
            writable=client.writable if Conformance.SET in response.negotiated_conformance else frozenset(),
        )
        _LOG.info("client %d associated", self._client_sap)
        self._report(Priority.INFORMATION, "Association", f"opened by client {self._client_sap}")
        return Aare(AssociationResult.ACCEPTED, user_information=response.encode()).encode()

    def _refuse_association(
        self, diagnostic: Diagnostic, information: InitiateResponse | ConfirmedServiceError
    ) -> bytes:
        self._step(ServerInput.AARQ_REFUSED)
        _LOG.info("client %d refused: %s", self._client_sap, _words(diagnostic))
        result = AssociationResult.REJECTED_PERMANENT
        return Aare(result, diagnostic, user_information=information.encode()).encode()

    def _release(self) -> bytes | None:
        # The reason, and an InitiateRequest that some clients add, change nothing.
        if self._step(ServerInput.RLRQ) == "send_rlre":
            return Rlre(reason=0).encode()
        return None

    # --- the event log ----------------------------------------------------------------------------

    def _report(self, priority: Priority, what: str, effect: str) -> None:
        self._application.report(priority, f"{what} over {self._application.port}", effect)

    def _report_refused(self, request: Apdu | None, why: str) -> None:
        """Tell of an attempt to set the time that came to nothing; what succeeds the Clock module tells."""
        if isinstance(request, SetRequestNormal):
            attribute = request.attribute
            if (attribute.instance_id, attribute.attribute_id) == (CLOCK, 2):
                self._report(Priority.WARNING, "Time set", f"client {self._client_sap} refused: {why}")

    # --- services ---------------------------------------------------------------------------------

    def _serve(self, octets: bytes) -> bytes | None:
        if len(octets) > self._limits.max_request:
            self._step(ServerInput.FOREIGN_SERVICE)
            return refusal(Cause.TOO_LONG)
        reader = Reader(octets)
        request: Apdu | None
        try:
            request = decode_apdu(reader)
            service = SERVICES.get(type(request))
            if service is None or not service.surplus_allowed:
                reader.end()
        except DecodeError:
            request, service = None, None
        event = ServerInput.FOREIGN_SERVICE if service is None else ServerInput.SERVICE
        view = self._view
        if self._step(event) != "serve" or service is None or view is None:
            if self._state is ServerState.IDLE:
                self._report_refused(request, "there is no association")
                return refusal(Cause.NOT_ASSOCIATED)
            return refusal(Cause.MALFORMED if request is None else Cause.NOT_OFFERED)
        if service.needs(request) & ~view.conformance:
            self._report_refused(request, "SET was not negotiated")
            return refusal(Cause.NOT_NEGOTIATED)
        return service.handler(self, request, view)

    def _get(self, request: GetRequestNormal, view: AssociationView) -> bytes:
        self._cutter = None  # a new GET ends whatever transfer was left running
        attribute = request.attribute
        limit, blocks = self._answer_limit(view)
        try:
            chunks = self._application.device.get(
                attribute.class_id,
                attribute.instance_id,
                attribute.attribute_id,
                _selection(request.access),
                view,
            )
            cutter = BlockCutter(chunks, request.invoke, limit)
            if limit >= _NO_LIMIT:
                self.rest = cutter.pieces()
                return GetResponseNormal(request.invoke, next(self.rest, b"")).encode()
            whole = cutter.whole(limit - _RESPONSE_NORMAL_OVERHEAD)
            if whole is not None:
                return GetResponseNormal(request.invoke, whole).encode()
            if not blocks:
                raise DataBlockUnavailable("the answer is too long for this client, and it takes no blocks")
        except AccessError as error:
            return GetResponseNormal(request.invoke, self._result(error)).encode()
        self._cutter = cutter
        return cutter.next_block()

    def _answer_limit(self, view: AssociationView) -> tuple[int, bool]:
        """Return the longest APDU to send, and whether a longer answer may go in blocks.

        An answer in blocks keeps each in one frame. Without block transfer, or where the frame negotiated is
        too small for any block, nothing but segmentation can carry it, and then the client's size counts.
        """
        limits = self._limits
        blocks = bool(view.conformance & Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ)
        client = min(view.max_send_pdu or _NO_LIMIT, limits.largest or _NO_LIMIT)
        in_frames = blocks and not self._application.segment_long_answers
        if in_frames and limits.frame >= _SMALLEST_BLOCK_PDU:
            return min(client, limits.frame), True
        return client, blocks

    def _result(self, error: AccessError) -> DataAccessResult:
        if type(error) is ObjectUndefined:
            return self._application.unknown_object
        return error.result

    def _get_next(self, request: GetRequestNext, _view: AssociationView) -> bytes:
        cutter = self._cutter
        number = request.block_number
        try:
            # Only the id counts: some clients raise or lower the priority on the way.
            if cutter is None or (cutter.invoke ^ request.invoke) & 0x0F:
                raise NoLongGetInProgress("no GET under this invoke-id is waiting for its next block")
            return cutter.answer(request)
        except DataBlockNumberInvalid as error:
            self._cutter = None
            result = error.result
        except AccessError as error:
            result = error.result
        return GetResponseWithDatablock(request.invoke, True, number, result).encode()

    def _set(self, request: SetRequestNormal, view: AssociationView) -> bytes:
        self._cutter = None
        attribute = request.attribute
        result = DataAccessResult.SUCCESS
        try:
            with self._application.kept():
                self._application.device.set(
                    attribute.class_id,
                    attribute.instance_id,
                    attribute.attribute_id,
                    _selection(request.access),
                    request.value,
                    view,
                )
        except AccessError as error:
            result = self._result(error)
            # Who may set at all, but not here, is on the wrong port.
            self._report_refused(
                request, str(error) if view.writable else "the port is not the Time Sync Source"
            )
        return SetResponseNormal(request.invoke, result).encode()


def _words(diagnostic: Diagnostic) -> str:
    return diagnostic.name.lower().replace("_", "-")


def _initiate_error(error: InitiateError) -> ConfirmedServiceError:
    return ConfirmedServiceError.of_initiate(error)


# A client proposes the same each time, and all clients of one program do.
@lru_cache(maxsize=32)
def _proposal(octets: bytes) -> tuple[Aarq, InitiateRequest | None]:
    aarq = Aarq.decode(octets)
    return aarq, _initiate_request(aarq)


def _initiate_request(aarq: Aarq) -> InitiateRequest | None:
    if aarq.user_information is None:
        return None
    try:
        reader = Reader(aarq.user_information)
        request = decode_apdu(reader)
        reader.end()
    except DecodeError:
        return None
    return request if isinstance(request, InitiateRequest) else None


def _selection(access: SelectiveAccess | None) -> Selection | None:
    return None if access is None else Selection(access.selector, access.parameters)


# --- the table of services --------------------------------------------------------------------------


class _Service(NamedTuple):
    handler: Callable[[Association, Any, AssociationView], bytes]
    needs: Callable[[Any], Conformance]
    surplus_allowed: bool = False


def _needs_of_get(request: GetRequestNormal) -> Conformance:
    needs = Conformance.GET
    if request.access is not None:
        needs |= Conformance.SELECTIVE_ACCESS
    if request.attribute.attribute_id == 0:
        needs |= Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET
    return needs


def _needs_of_set(request: SetRequestNormal) -> Conformance:
    needs = Conformance.SET
    if request.access is not None:
        needs |= Conformance.SELECTIVE_ACCESS
    if request.attribute.attribute_id == 0:
        needs |= Conformance.ATTRIBUTE0_SUPPORTED_WITH_SET
    return needs


SERVICES: Final[dict[type, _Service]] = {
    # Octets after a whole GET do no harm, and clients in the field pad (conformance case AP-65).
    GetRequestNormal: _Service(Association._get, _needs_of_get, surplus_allowed=True),
    GetRequestNext: _Service(
        Association._get_next, lambda _: Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    ),
    SetRequestNormal: _Service(Association._set, _needs_of_set),
}
