"""Every xDLMS APDU: one table from tag to decoder (IEC 62056-53, XDLMS-APDU CHOICE)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError
from iondlms.xdlms.action import (
    ActionRequest,
    ActionRequestNextPblock,
    ActionRequestNormal,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponse,
    ActionResponseNextPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
)
from iondlms.xdlms.exception import ExceptionResponse
from iondlms.xdlms.get import (
    GetRequest,
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponse,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
)
from iondlms.xdlms.initiate import ConfirmedServiceError, InitiateRequest, InitiateResponse
from iondlms.xdlms.set import (
    SetRequest,
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponse,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseLastDatablockWithList,
    SetResponseNormal,
    SetResponseWithList,
)

__all__ = ["APDU_NAMES", "SENT_BY_SERVERS", "Apdu", "OtherApdu", "UnknownApdu", "decode_apdu"]

APDU_NAMES: Final[dict[int, str]] = {
    0x01: "initiate-request",
    0x05: "read-request",
    0x06: "write-request",
    0x08: "initiate-response",
    0x0C: "read-response",
    0x0D: "write-response",
    0x0E: "confirmed-service-error",
    0x0F: "data-notification",
    0x16: "unconfirmed-write-request",
    0x18: "information-report-request",
    0x21: "glo-initiate-request",
    0x25: "glo-read-request",
    0x26: "glo-write-request",
    0x28: "glo-initiate-response",
    0x2C: "glo-read-response",
    0x2D: "glo-write-response",
    0x2E: "glo-confirmed-service-error",
    0x36: "glo-unconfirmed-write-request",
    0x38: "glo-information-report-request",
    0x41: "ded-initiate-request",
    0x45: "ded-read-request",
    0x46: "ded-write-request",
    0x48: "ded-initiate-response",
    0x4C: "ded-read-response",
    0x4D: "ded-write-response",
    0x4E: "ded-confirmed-service-error",
    0x56: "ded-unconfirmed-write-request",
    0x58: "ded-information-report-request",
    0xC0: "get-request",
    0xC1: "set-request",
    0xC2: "event-notification-request",
    0xC3: "action-request",
    0xC4: "get-response",
    0xC5: "set-response",
    0xC7: "action-response",
    0xC8: "glo-get-request",
    0xC9: "glo-set-request",
    0xCA: "glo-event-notification-request",
    0xCB: "glo-action-request",
    0xCC: "glo-get-response",
    0xCD: "glo-set-response",
    0xCF: "glo-action-response",
    0xD0: "ded-get-request",
    0xD1: "ded-set-request",
    0xD2: "ded-event-notification-request",
    0xD3: "ded-action-request",
    0xD4: "ded-get-response",
    0xD5: "ded-set-response",
    0xD7: "ded-action-response",
    0xD8: "exception-response",
    0xD9: "access-request",
    0xDA: "access-response",
    0xDB: "general-glo-ciphering",
    0xDC: "general-ded-ciphering",
    0xDD: "general-ciphering",
    0xDF: "general-signing",
    0xE0: "general-block-transfer",
}

# A server gives these no answer, however well or badly they are formed: two servers on one line would
# otherwise answer each other. The general- ones go both ways and are no part of it.
SENT_BY_SERVERS: Final = frozenset(
    tag
    for tag, name in APDU_NAMES.items()
    if name.endswith(("-response", "-service-error", "-notification", "-notification-request"))
    or "information-report" in name
)


class UnknownApdu(DecodeError):
    """The first octet is no tag of an xDLMS APDU."""


@dataclass(frozen=True, slots=True)
class OtherApdu:
    """An APDU that this profile names but never opens: ciphered, short name, notifications, ACCESS."""

    tag: int
    name: str
    octets: bytes  # all that follows the tag, surplus and shortage unnoticed

    def encode(self) -> bytes:
        """Return the octets as they came."""
        return bytes((self.tag,)) + self.octets


Apdu: TypeAlias = (
    InitiateRequest
    | InitiateResponse
    | ConfirmedServiceError
    | GetRequest
    | GetResponse
    | SetRequest
    | SetResponse
    | ActionRequest
    | ActionResponse
    | ExceptionResponse
    | OtherApdu
)

Decoder: TypeAlias = Callable[[Reader], Apdu]


def decode_apdu(reader: Reader) -> Apdu:
    """Read one APDU; surplus octets are the caller's, who calls `reader.end()`.

    `UnknownApdu` if the tag is not in `APDU_NAMES`, `DecodeError` for an undefined choice or a shortage.
    """
    tag = reader.u8()
    decoder = _DECODERS.get(tag)
    if decoder is not None:
        return decoder(reader)
    name = APDU_NAMES.get(tag)
    if name is None:
        raise UnknownApdu(f"{tag:02X} is not the tag of an xDLMS APDU")
    return OtherApdu(tag, name, reader.rest())


def _choice(name: str, decoders: dict[int, Decoder]) -> Decoder:
    def decode(reader: Reader) -> Apdu:
        choice = reader.u8()
        decoder = decoders.get(choice)
        if decoder is None:
            raise DecodeError(f"choice {choice} of a {name} is not defined")
        return decoder(reader)

    return decode


_DECODERS: Final[dict[int, Decoder]] = {
    0x01: InitiateRequest.decode_body,
    0x08: InitiateResponse.decode_body,
    0x0E: ConfirmedServiceError.decode_body,
    0xC0: _choice(
        "get-request",
        {
            1: GetRequestNormal.decode_body,
            2: GetRequestNext.decode_body,
            3: GetRequestWithList.decode_body,
        },
    ),
    0xC1: _choice(
        "set-request",
        {
            1: SetRequestNormal.decode_body,
            2: SetRequestWithFirstDatablock.decode_body,
            3: SetRequestWithDatablock.decode_body,
            4: SetRequestWithList.decode_body,
            5: SetRequestWithListAndFirstDatablock.decode_body,
        },
    ),
    0xC3: _choice(
        "action-request",
        {
            1: ActionRequestNormal.decode_body,
            2: ActionRequestNextPblock.decode_body,
            3: ActionRequestWithList.decode_body,
            4: ActionRequestWithFirstPblock.decode_body,
            5: ActionRequestWithListAndFirstPblock.decode_body,
            6: ActionRequestWithPblock.decode_body,
        },
    ),
    0xC4: _choice(
        "get-response",
        {
            1: GetResponseNormal.decode_body,
            2: GetResponseWithDatablock.decode_body,
            3: GetResponseWithList.decode_body,
        },
    ),
    0xC5: _choice(
        "set-response",
        {
            1: SetResponseNormal.decode_body,
            2: SetResponseDatablock.decode_body,
            3: SetResponseLastDatablock.decode_body,
            4: SetResponseLastDatablockWithList.decode_body,
            5: SetResponseWithList.decode_body,
        },
    ),
    0xC7: _choice(
        "action-response",
        {
            1: ActionResponseNormal.decode_body,
            2: ActionResponseWithPblock.decode_body,
            3: ActionResponseWithList.decode_body,
            4: ActionResponseNextPblock.decode_body,
        },
    ),
    0xD8: ExceptionResponse.decode_body,
}
