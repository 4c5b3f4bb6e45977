"""What a client proposes in its AARQ, and what an AARE grants of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from iondlms.acse import (
    AUTHENTICATION,
    Aare,
    Aarq,
    AcseApdu,
    ApplicationContextName,
    AssociationResult,
    AuthenticationValue,
    MechanismName,
    ServiceUser,
    decode_acse_apdu,
)
from iondlms.client.errors import AssociationRefused
from iondlms.codec.reader import Reader
from iondlms.xdlms import Apdu, Conformance, InitiateRequest, InitiateResponse, decode_apdu

__all__ = ["aarq", "acse_apdu", "granted", "proposed_by"]

# What the client handles, and so all that it proposes.
_READING: Final = (
    Conformance.ATTRIBUTE0_SUPPORTED_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.GET
    | Conformance.SELECTIVE_ACCESS
)
_PUBLIC_CLIENT: Final = 16
_USUAL_APDU: Final = 128  # octets; a longer one is not worth keeping


def proposed_by(client: int) -> Conformance:
    """Return the conformance that a client proposes; the public client only reads."""
    return _READING if client == _PUBLIC_CLIENT else _READING | Conformance.SET


def aarq(proposed: Conformance, max_pdu: int, password: bytes | None) -> bytes:
    """Return the AARQ: long names without ciphering, with low level security where there is a password."""
    if password is None:
        return _public_aarq(int(proposed), max_pdu)
    return Aarq(
        ApplicationContextName.LOGICAL_NAME,
        InitiateRequest(proposed, max_pdu).encode(),
        AUTHENTICATION,
        MechanismName.LOW,
        AuthenticationValue(password),
    ).encode()


@lru_cache(maxsize=16)  # all of a fleet are asked the same; one with a password is not kept anywhere
def _public_aarq(proposed: int, max_pdu: int) -> bytes:
    information = InitiateRequest(Conformance(proposed), max_pdu).encode()
    return Aarq(ApplicationContextName.LOGICAL_NAME, information).encode()


def acse_apdu(octets: bytes) -> AcseApdu:
    """Return an AARE or RLRE; DecodeError if it cannot be read."""
    return _known_apdu(octets) if len(octets) <= _USUAL_APDU else decode_acse_apdu(octets)


# A meter grants the same each time, and all of a fleet do.
_known_apdu: Final = lru_cache(maxsize=64)(decode_acse_apdu)


def granted(aare: Aare, proposed: Conformance) -> InitiateResponse:
    """Return what an AARE grants; AssociationRefused if that is nothing, RemoteError if it cannot be read.

    Accepted is accepted, whatever the diagnostic says beside it: meters in the field send 1 with it. One that
    says nothing of what it grants is taken to grant all, and to set no limit.
    """
    if aare.result is not AssociationResult.ACCEPTED:
        raise AssociationRefused.of(aare.diagnostic)
    if aare.diagnostic is ServiceUser.AUTHENTICATION_REQUIRED and aare.responding_authentication_value:
        raise AssociationRefused(aare.diagnostic, "the meter wants high level security; there is none here")
    if aare.user_information is None:
        return InitiateResponse(proposed, 0)
    information = aare.user_information
    answer = _known_initiate(information) if len(information) <= _USUAL_APDU else _initiate(information)
    if not isinstance(answer, InitiateResponse):
        raise AssociationRefused(aare.diagnostic, "the meter accepts, and refuses what was proposed")
    return answer


def _initiate(information: bytes) -> Apdu:
    return decode_apdu(Reader(information))


_known_initiate: Final = lru_cache(maxsize=64)(_initiate)
