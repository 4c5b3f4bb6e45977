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

from iondlms.acse import Rlre, ServerInput, ServerState
from iondlms.acse.association import SERVER
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
    TemporaryFailure,
)
from iondlms.ion.event_log import Priority
from iondlms.later import Later, NotYet
from iondlms.meter.objects import CLOCK
from iondlms.meter.opening import MANAGEMENT_LOGICAL_DEVICE, ClientAccess, opening_of
from iondlms.meter.refusals import Cause, refusal
from iondlms.xdlms.apdu import SENT_BY_SERVERS, Apdu, decode_apdu
from iondlms.xdlms.blocks import BlockCutter
from iondlms.xdlms.get import (
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
)
from iondlms.xdlms.initiate import Conformance
from iondlms.xdlms.set import SetRequestNormal, SetResponseNormal

__all__ = ["MANAGEMENT_LOGICAL_DEVICE", "Application", "Association", "ClientAccess", "Instead", "LinkLimits"]

_LOG: Final = logging.getLogger("iondlms.meter.service")

_AARQ: Final = 0x60
_RLRQ: Final = 0x62
_RLRE: Final = Rlre(reason=0).encode()
_SERVER_ACSE: Final = frozenset((0x61, 0x63))  # AARE, RLRE
_RESPONSE_NORMAL_OVERHEAD: Final = 4  # C4 01 invoke 00
_SMALLEST_BLOCK_PDU: Final = 12  # less is no PDU size (Green Book 9.4.4.1)
_SHORT: Final = 100  # octets of a request that is remembered
_NO_LIMIT: Final = 1 << 31  # beyond any answer of a meter


@dataclass(slots=True)  # not frozen: one is made for each connection, and that would take three times as long
class Application:
    """What all associations on one port share."""

    device: LogicalDevice
    clients: Mapping[int, ClientAccess]  # by client SAP
    segment_long_answers: bool = False
    unknown_object: DataAccessResult = DataAccessResult.OBJECT_UNDEFINED
    # Around each SET: what it did is durable before it is answered, or NotYet says when it will be;
    # AccessError where it cannot be.
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

    __slots__ = (
        "_application",
        "_client",
        "_client_sap",
        "_cutter",
        "_limits",
        "_resume",
        "_state",
        "_view",
        "later",
        "rest",
    )

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
        self.later: Later | None = None  # what the answer to the last request waits for; then see `resumed`
        self._resume: Callable[[AccessError | None], bytes | None] = _no_answer

    @property
    def associated(self) -> bool:
        """Whether an association is open."""
        return self._state is ServerState.ASSOCIATED

    def abort(self) -> None:
        """The link is gone: DISC, SNRM, inactivity, a closed connection."""
        self._step(ServerInput.LINK_LOST)

    def handle(self, apdu: bytes, limits: LinkLimits) -> bytes | None:
        """Return the answer to an APDU, None where there is none; never raises for what was received.

        None also where it waits for something, and then nothing else is handled before `resumed`.
        """
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

    def resumed(self) -> bytes | None:
        """Return the answer that has waited, as `handle` would have."""
        later, self.later = self.later, None
        error = None if later is None else later.error
        if error is not None:
            _LOG.error("%s; the client is told of a temporary failure", error)
        resume, self._resume = self._resume, _no_answer  # which may hold this association
        return resume(None if error is None else TemporaryFailure(str(error)))

    def _wait(self, later: Later, resume: Callable[[AccessError | None], bytes | None]) -> None:
        self.later, self._resume = later, resume

    @property
    def cutter(self) -> BlockCutter | None:
        """The long answer under way; None where there is none."""
        return self._cutter

    def next_block(self) -> bytes | None:
        """Return the block that the request which is due asks for; None if it is not to be served.

        The same as `handle` would return, without the way there: while there is a transfer the association
        is open and has negotiated it.
        """
        cutter = self._cutter
        if cutter is None or self._application.instead.answer is not None:
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
        opening = opening_of(octets, self._client, self._client_sap, self._limits.max_request)
        self._step(opening.input)
        if opening.view is not None:
            self._cutter = None
            self._view = opening.view
            _LOG.info("client %d associated", self._client_sap)
            self._report(Priority.INFORMATION, "Association", f"opened by client {self._client_sap}")
        elif opening.refused:
            if opening.event:
                effect = f"client {self._client_sap} refused: {opening.refused}"
                self._report(Priority.WARNING, "Association", effect)
            _LOG.info("client %d refused: %s", self._client_sap, opening.refused)
        return opening.answer

    def _release(self) -> bytes | None:
        # The reason, and an InitiateRequest that some clients add, change nothing.
        if self._step(ServerInput.RLRQ) == "send_rlre":
            return _RLRE
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
        request, service, selection = _request(octets) if len(octets) <= _SHORT else _decoded(octets)
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
        return service.handler(self, request, selection, view)

    def _get(
        self,
        request: GetRequestNormal,
        selection: Selection | None,
        view: AssociationView,
        failed: AccessError | None = None,
    ) -> bytes | None:
        self._cutter = None  # a new GET ends whatever transfer was left running
        attribute = request.attribute
        limit, blocks = self._answer_limit(view)
        room = limit - _RESPONSE_NORMAL_OVERHEAD
        try:
            if failed is not None:
                raise failed
            chunks = self._application.device.get(
                attribute.class_id,
                attribute.instance_id,
                attribute.attribute_id,
                selection,
                view,
            )
            if type(chunks) is tuple and len(chunks) == 1 and len(chunks[0]) <= room:
                return GetResponseNormal(request.invoke, chunks[0]).encode()  # as nearly all but buffers
            cutter = BlockCutter(chunks, request.invoke, limit)
            if limit >= _NO_LIMIT:
                self.rest = cutter.pieces()
                return GetResponseNormal(request.invoke, next(self.rest, b"")).encode()
            whole = cutter.whole(room)
            if whole is not None:
                return GetResponseNormal(request.invoke, whole).encode()
            if not blocks:
                raise DataBlockUnavailable("the answer is too long for this client, and it takes no blocks")
        except AccessError as error:
            return GetResponseNormal(request.invoke, self._result(error)).encode()
        except NotYet as waits:
            again = waits.again  # the name of an exception ends with its clause

            def ask(error: AccessError | None) -> bytes | None:
                with again():
                    return self._get(request, selection, view, error)

            self._wait(waits.later, ask)
            return None
        self._cutter = cutter
        return cutter.next_block()

    def _answer_limit(self, view: AssociationView) -> tuple[int, bool]:
        """Return the longest APDU to send, and whether a longer answer may go in blocks.

        An answer in blocks keeps each in one frame. Without block transfer, or where the frame negotiated is
        too small for any block, nothing but segmentation can carry it, and then the client's size counts.
        """
        limits = self._limits
        blocks = bool(view.conformance & _BLOCKS)
        client = min(view.max_send_pdu or _NO_LIMIT, limits.largest or _NO_LIMIT)
        in_frames = blocks and not self._application.segment_long_answers
        if in_frames and limits.frame >= _SMALLEST_BLOCK_PDU:
            return min(client, limits.frame), True
        return client, blocks

    def _result(self, error: AccessError) -> DataAccessResult:
        if type(error) is ObjectUndefined:
            return self._application.unknown_object
        return error.result

    def _get_next(self, request: GetRequestNext, _selection: None, _view: AssociationView) -> bytes:
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

    def _set(
        self, request: SetRequestNormal, selection: Selection | None, view: AssociationView
    ) -> bytes | None:
        self._cutter = None
        attribute = request.attribute
        try:
            with self._application.kept():
                self._application.device.set(
                    attribute.class_id,
                    attribute.instance_id,
                    attribute.attribute_id,
                    selection,
                    request.value,
                    view,
                )
        except AccessError as error:
            return self._was_set(request, view, error)
        except NotYet as waits:
            self._wait(waits.later, lambda error: self._was_set(request, view, error))
            return None
        return self._was_set(request, view, None)

    def _was_set(self, request: SetRequestNormal, view: AssociationView, error: AccessError | None) -> bytes:
        if error is None:
            return SetResponseNormal(request.invoke, DataAccessResult.SUCCESS).encode()
        # Who may set at all, but not here, is on the wrong port.
        self._report_refused(request, str(error) if view.writable else "the port is not the Time Sync Source")
        return SetResponseNormal(request.invoke, self._result(error)).encode()


def _no_answer(_: AccessError | None) -> None:
    """Return what an association answers that waits for nothing."""


def _decoded(octets: bytes) -> tuple[Apdu | None, _Service | None, Selection | None]:
    """Return a request, who serves it, and what it selects; None for what is not there, or cannot be read."""
    reader = Reader(octets)
    try:
        request = decode_apdu(reader)
        service = SERVICES.get(type(request))
        if service is None or not service.surplus_allowed:
            reader.end()
    except DecodeError:
        return None, None, None
    access = request.access if isinstance(request, GetRequestNormal | SetRequestNormal) else None
    return request, service, None if access is None else Selection(access.selector, access.parameters)


# Those who read many meters ask each the same. Only short requests: a peer may make each one new.
_request: Final = lru_cache(maxsize=256)(_decoded)


# --- the table of services --------------------------------------------------------------------------


class _Service(NamedTuple):
    handler: Callable[[Association, Any, Any, AssociationView], bytes | None]
    needs: Callable[[Any], int]  # bits of the conformance block
    surplus_allowed: bool = False


# As plain numbers: a Flag takes a microsecond for each operation.
_GET: Final = int(Conformance.GET)
_SET: Final = int(Conformance.SET)
_SELECTIVE: Final = int(Conformance.SELECTIVE_ACCESS)
_BLOCKS: Final = int(Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ)
_ALL_BY_GET: Final = int(Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET)
_ALL_BY_SET: Final = int(Conformance.ATTRIBUTE0_SUPPORTED_WITH_SET)


def _needs_of_get(request: GetRequestNormal) -> int:
    needs = _GET if request.access is None else _GET | _SELECTIVE
    return needs if request.attribute.attribute_id else needs | _ALL_BY_GET


def _needs_of_set(request: SetRequestNormal) -> int:
    needs = _SET if request.access is None else _SET | _SELECTIVE
    return needs if request.attribute.attribute_id else needs | _ALL_BY_SET


SERVICES: Final[dict[type, _Service]] = {
    # Octets after a whole GET do no harm, and clients in the field pad (conformance case AP-65).
    GetRequestNormal: _Service(Association._get, _needs_of_get, surplus_allowed=True),
    GetRequestNext: _Service(Association._get_next, lambda _: _GET | _BLOCKS),
    SetRequestNormal: _Service(Association._set, _needs_of_set),
}
