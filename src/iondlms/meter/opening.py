"""What an AARQ comes to: granted, refused or not answered; by its octets, and by nothing that moves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from iondlms.acse import (
    Aare,
    Aarq,
    AssociationResult,
    Diagnostic,
    MechanismName,
    Policy,
    ServerInput,
    ServiceUser,
    check,
)
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import Reader
from iondlms.cosem import AssociationView
from iondlms.errors import DecodeError
from iondlms.xdlms.apdu import decode_apdu
from iondlms.xdlms.initiate import (
    ConfirmedServiceError,
    Conformance,
    InitiateError,
    InitiateRequest,
    InitiateResponse,
    negotiate,
)

__all__ = ["MANAGEMENT_LOGICAL_DEVICE", "ClientAccess", "Opening", "opening_of"]

MANAGEMENT_LOGICAL_DEVICE: Final = 1  # server SAP; the only one
_PASSWORD: Final = b"\xac"  # the tag in front of one
_OTHER: Final = ConfirmedServiceError.of_initiate(InitiateError.OTHER)


@dataclass(frozen=True, slots=True, eq=False)  # known by itself: what it comes to is remembered
class ClientAccess:
    """What one client SAP must show, is offered, and may write."""

    policy: Policy
    conformance: Conformance
    writable: frozenset[tuple[ObisCode, int]] = frozenset()


class Opening(NamedTuple):
    """What becomes of the association, and what is answered."""

    input: ServerInput
    answer: bytes | None
    view: AssociationView | None = None  # of the association that was granted
    refused: str = ""  # why, in words
    event: bool = False  # whether the refusal belongs into the event log


def opening_of(octets: bytes, client: ClientAccess | None, client_sap: int, max_request: int) -> Opening:
    """Return what an AARQ of this client SAP comes to; None is a client that there is not."""
    # One with a password, right or wrong, is kept nowhere.
    find = _opening_of if _PASSWORD in octets else _usual_opening
    return find(octets, client, client_sap, max_request)


def _opening_of(octets: bytes, client: ClientAccess | None, client_sap: int, max_request: int) -> Opening:
    try:
        aarq = Aarq.decode(octets)
        request = _initiate_request(aarq)
    except DecodeError:
        return _refused(ServiceUser.NO_REASON_GIVEN, _OTHER)
    if request is not None and not request.response_allowed:
        return Opening(ServerInput.AARQ_UNCONFIRMED, None)
    if client is None:
        return _refused(ServiceUser.NO_REASON_GIVEN, _OTHER)
    # Asked first: an AARQ of a ciphered context carries an InitiateRequest that nobody here can open.
    diagnostic = check(aarq, client.policy)
    if request is None:
        return _refused(diagnostic or ServiceUser.NO_REASON_GIVEN, _OTHER)
    response = negotiate(request, client.conformance, max_request)
    if diagnostic is not None or isinstance(response, ConfirmedServiceError):
        # An event only here: of clients that are not there, or of noise, anybody can make any number.
        return _refused(diagnostic or ServiceUser.NO_REASON_GIVEN, response, event=diagnostic is not None)
    view = AssociationView(
        client_sap=client_sap,
        server_sap=MANAGEMENT_LOGICAL_DEVICE,
        conformance=int(response.negotiated_conformance),
        max_receive_pdu=max_request,
        max_send_pdu=request.client_max_receive_pdu_size,
        authentication_mechanism=int(client.policy.mechanism is MechanismName.LOW),
        quality_of_service=response.negotiated_quality_of_service or 0,
        writable=client.writable if Conformance.SET in response.negotiated_conformance else frozenset(),
    )
    answer = Aare(AssociationResult.ACCEPTED, user_information=response.encode()).encode()
    return Opening(ServerInput.AARQ_ACCEPTED, answer, view)


# A client proposes the same each time, and all clients of one program do.
_usual_opening: Final = lru_cache(maxsize=64)(_opening_of)


def _refused(
    diagnostic: Diagnostic, information: InitiateResponse | ConfirmedServiceError, *, event: bool = False
) -> Opening:
    result = AssociationResult.REJECTED_PERMANENT
    answer = Aare(result, diagnostic, user_information=information.encode()).encode()
    words = diagnostic.name.lower().replace("_", "-")
    return Opening(ServerInput.AARQ_REFUSED, answer, refused=words, event=event)


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
