"""Every refusal of the meter in one table: what was wrong -> what goes on the wire.

Objects refuse with an `AccessError`, which owns its Data-Access-Result (`iondlms.errors`); associations are
refused with the diagnostics of `acse.authentication` and `xdlms.initiate`. What remains is here.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from iondlms.xdlms.exception import ExceptionResponse, ServiceError, StateError

__all__ = ["REFUSALS", "Cause", "refusal"]


class Cause(Enum):
    """Why an APDU is not served."""

    NOT_ASSOCIATED = auto()
    NOT_NEGOTIATED = auto()
    NOT_OFFERED = auto()  # a service these meters do not have
    MALFORMED = auto()  # cut short, surplus octets, an undefined choice
    TOO_LONG = auto()  # more octets than the meter announced to take
    SERVER_ONLY = auto()  # an APDU that only a server sends


_NOT_ALLOWED: Final = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)

# Public conformance tests take nothing but an exception-response (or silence) for a service that was not
# negotiated; a data-access-result counts as failure. D8 01 02 is right for all of them.
REFUSALS: Final[dict[Cause, ExceptionResponse | None]] = {
    Cause.NOT_ASSOCIATED: _NOT_ALLOWED,
    Cause.NOT_NEGOTIATED: _NOT_ALLOWED,
    Cause.NOT_OFFERED: _NOT_ALLOWED,
    Cause.MALFORMED: _NOT_ALLOWED,
    Cause.TOO_LONG: ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG),
    Cause.SERVER_ONLY: None,  # an answer to an answer would start a conversation of two servers
}


def refusal(cause: Cause) -> bytes | None:
    """Return the octets that answer an APDU refused for this cause, None for silence."""
    answer = REFUSALS[cause]
    return None if answer is None else answer.encode()
