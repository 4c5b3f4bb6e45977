"""What a call waits for and what comes back of it: APDUs of any kind, read, and the outcome they make."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from iondlms.acse import (
    Aare,
    AcseApdu,
    AssociationResult,
    ClientInput,
    ClientState,
    ReleaseRequestReason,
    Rlre,
    Rlrq,
)
from iondlms.client.association import acse_apdu, granted
from iondlms.client.errors import AssociationRefused, ServiceRefused
from iondlms.codec.reader import Reader
from iondlms.errors import DataAccessResult, DlmsError, RemoteError, access_error
from iondlms.xdlms import (
    Apdu,
    ConfirmedServiceError,
    Conformance,
    ExceptionResponse,
    InitiateResponse,
    decode_apdu,
)

__all__ = [
    "CONFIRMED",
    "RLRQ",
    "WHOLE_ANSWERS",
    "Answer",
    "Outcome",
    "Waiting",
    "answer_of",
    "classified",
    "outcome_of",
]

Answer: TypeAlias = Apdu | AcseApdu

CONFIRMED: Final = 0xC0  # invoke-id-and-priority: high priority, confirmed, as most clients send
RLRQ: Final = Rlrq(ReleaseRequestReason.NORMAL).encode()  # the one that is ever sent
_ACSE: Final = range(0x60, 0x64)
# How a response begins that carries all that a GET has asked for, by the GET's number: C4 01, invoke, 00.
WHOLE_ANSWERS: Final = tuple([b"\xc4\x01%c\0" % (CONFIRMED | number) for number in range(16)])


class Outcome(NamedTuple):
    """How a call ended: a value (the encoded Data of a GET), or an error."""

    value: bytes = b""
    error: DlmsError | None = None


class Waiting(Enum):
    """What the call under way waits for."""

    NOTHING = auto()
    LINK = auto()  # UA
    ANSWER = auto()  # AARE, RLRE or a response
    UNLINK = auto()  # UA or DM to our DISC


def answer_of(octets: bytes) -> Answer:
    """Return the APDU, whose octets are one at least; DecodeError if it cannot be read."""
    if octets[0] in _ACSE:
        return acse_apdu(octets)
    reader = Reader(octets)
    apdu = decode_apdu(reader)
    reader.end()
    return apdu


def classified(
    apdu: Answer, state: ClientState, proposed: Conformance
) -> tuple[ClientInput, DlmsError | None, InitiateResponse | None]:
    """Return what an answer is to the client's table, why it refuses if it does, and what it grants."""
    if isinstance(apdu, Aare):
        if state is not ClientState.PENDING:
            accepted = apdu.result is AssociationResult.ACCEPTED
            return (ClientInput.AARE_ACCEPTED if accepted else ClientInput.AARE_REFUSED), None, None
        try:
            return ClientInput.AARE_ACCEPTED, None, granted(apdu, proposed)
        except RemoteError as error:
            return ClientInput.AARE_REFUSED, error, None
    if isinstance(apdu, Rlre):
        return ClientInput.RLRE, None, None
    refusal: DlmsError = RemoteError("the meter's answer to the AARQ is no AARE")
    if isinstance(apdu, (ExceptionResponse, ConfirmedServiceError)):
        refused = ServiceRefused.of(apdu)
        refusal = AssociationRefused(None, f"the meter refused the association: {refused}")
    return ClientInput.RESPONSE, refusal, None


def outcome_of(result: DataAccessResult) -> Outcome:
    """Return how a call ends that has this result in place of data."""
    if result is DataAccessResult.SUCCESS:
        return Outcome()
    name = result.name.lower().replace("_", "-")
    return Outcome(error=access_error(result, f"{name} ({int(result)})"))
