"""InitiateRequest, InitiateResponse, ConfirmedServiceError and the conformance block (IEC 62056-53 clause 8).

`decode_body` of a PDU reads what follows its tag; `iondlms.xdlms.apdu` reads the tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Final

from iondlms.codec.reader import Reader, encode_length
from iondlms.errors import DecodeError

__all__ = [
    "DLMS_VERSION",
    "LN_VAA_NAME",
    "SMALLEST_PDU_SIZE",
    "ConfirmedServiceError",
    "Conformance",
    "InitiateError",
    "InitiateRequest",
    "InitiateResponse",
    "negotiate",
]

DLMS_VERSION: Final = 6
LN_VAA_NAME: Final = 0x0007  # what the standard fixes for logical name referencing
SMALLEST_PDU_SIZE: Final = 12  # Green Book 9.4.4.1: 0 is "no limit", 1 to 11 are refused


class Conformance(IntFlag):
    """The conformance block, 24 bits; the standard's bit 0 is the top one. Reserved bits are kept."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    ATTRIBUTE0_SUPPORTED_WITH_SET = 1 << 15
    PRIORITY_MGMT_SUPPORTED = 1 << 14
    ATTRIBUTE0_SUPPORTED_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET_OR_READ = 1 << 12
    BLOCK_TRANSFER_WITH_SET_OR_WRITE = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0

    @classmethod
    def decode(cls, reader: Reader) -> Conformance:
        """Read [APPLICATION 31] IMPLICIT BIT STRING (SIZE(24)), in BER even inside A-XDR.

        The tag has two octets, 5F 1F. Encoders of the first edition wrote 5F alone; both are taken.
        """
        first = reader.u8()
        if first != 0x5F:
            raise DecodeError(f"{first:02X} at offset {reader.position - 1} is not the conformance block")
        length = reader.u8()
        if length == 0x1F:
            length = reader.u8()
        unused = reader.u8() if length == 4 else None
        if unused != 0:
            raise DecodeError(f"a conformance block has 24 bits (offset {reader.position - 1})")
        return cls(reader.unsigned(3))

    def encode(self) -> bytes:
        """Return 5F 1F 04 00 and three octets."""
        return b"\x5f\x1f\x04\x00" + self.to_bytes(3, "big")


@dataclass(frozen=True, slots=True)
class InitiateRequest:
    """What the client proposes; the user-information of an AARQ."""

    proposed_conformance: Conformance
    client_max_receive_pdu_size: int = 0xFFFF  # 0: no limit
    proposed_dlms_version_number: int = DLMS_VERSION
    response_allowed: bool = True
    proposed_quality_of_service: int | None = None  # Integer8
    dedicated_key: bytes | None = field(default=None, repr=False)  # reprs end in logs

    @classmethod
    def decode_body(cls, reader: Reader) -> InitiateRequest:
        """Read what follows tag 01."""
        dedicated_key = reader.take(reader.length()) if reader.u8() else None
        response_allowed = bool(reader.u8()) if reader.u8() else True
        quality_of_service = reader.signed(1) if reader.u8() else None
        version = reader.u8()
        conformance = Conformance.decode(reader)
        return cls(conformance, reader.u16(), version, response_allowed, quality_of_service, dedicated_key)

    def encode(self) -> bytes:
        """Return the PDU; response-allowed is left out where it has its default, TRUE."""
        octets = bytearray((0x01,))
        if self.dedicated_key is None:
            octets.append(0)
        else:
            octets += b"\x01" + encode_length(len(self.dedicated_key)) + self.dedicated_key
        octets += b"\x00" if self.response_allowed else b"\x01\x00"
        octets += _encode_quality_of_service(self.proposed_quality_of_service)
        octets.append(self.proposed_dlms_version_number)
        octets += self.proposed_conformance.encode()
        octets += self.client_max_receive_pdu_size.to_bytes(2, "big")
        return bytes(octets)


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """What the server grants; the user-information of an AARE."""

    negotiated_conformance: Conformance
    server_max_receive_pdu_size: int  # 0: no limit
    negotiated_dlms_version_number: int = DLMS_VERSION
    vaa_name: int = LN_VAA_NAME
    negotiated_quality_of_service: int | None = None  # Integer8

    @classmethod
    def decode_body(cls, reader: Reader) -> InitiateResponse:
        """Read what follows tag 08."""
        quality_of_service = reader.signed(1) if reader.u8() else None
        version = reader.u8()
        conformance = Conformance.decode(reader)
        return cls(conformance, reader.u16(), version, reader.u16(), quality_of_service)

    def encode(self) -> bytes:
        """Return the PDU."""
        return (
            b"\x08"
            + _encode_quality_of_service(self.negotiated_quality_of_service)
            + bytes((self.negotiated_dlms_version_number,))
            + self.negotiated_conformance.encode()
            + self.server_max_receive_pdu_size.to_bytes(2, "big")
            + self.vaa_name.to_bytes(2, "big")
        )


class InitiateError(IntEnum):
    """The initiate alternative of ServiceError."""

    OTHER = 0
    DLMS_VERSION_TOO_LOW = 1
    INCOMPATIBLE_CONFORMANCE = 2
    PDU_SIZE_TOO_SHORT = 3
    REFUSED_BY_THE_VDE_HANDLER = 4


@dataclass(frozen=True, slots=True)
class ConfirmedServiceError:
    """Three numbers: the service that failed, the alternative of ServiceError, the code within it."""

    service: int  # 1: initiate
    alternative: int  # 6: initiate
    code: int

    @classmethod
    def of_initiate(cls, error: InitiateError) -> ConfirmedServiceError:
        """Return `0E 01 06 xx`, the user-information of an AARE that refuses for a reason of xDLMS."""
        return cls(1, 6, error)

    @property
    def initiate_error(self) -> InitiateError | None:
        """The reason, where it was an InitiateRequest that was refused and the code is a known one."""
        if self.service != 1 or self.alternative != 6:
            return None
        try:
            return InitiateError(self.code)
        except ValueError:
            return None

    @classmethod
    def decode_body(cls, reader: Reader) -> ConfirmedServiceError:
        """Read what follows tag 0E."""
        return cls(reader.u8(), reader.u8(), reader.u8())

    def encode(self) -> bytes:
        """Return the PDU."""
        return bytes((0x0E, self.service, self.alternative, self.code))


def negotiate(
    request: InitiateRequest, offered: Conformance, server_max_receive_pdu_size: int
) -> InitiateResponse | ConfirmedServiceError:
    """Return what a server that offers `offered` answers (Green Book 9.4.4.1).

    The conformance is the intersection. The version is ours even if the client speaks a later one. A
    dedicated key is for ciphering, which nothing here does, so the client must not believe it was taken.
    """
    if request.proposed_dlms_version_number < DLMS_VERSION:
        return ConfirmedServiceError.of_initiate(InitiateError.DLMS_VERSION_TOO_LOW)
    if request.dedicated_key is not None:
        return ConfirmedServiceError.of_initiate(InitiateError.OTHER)
    conformance = request.proposed_conformance & offered
    if not conformance:
        return ConfirmedServiceError.of_initiate(InitiateError.INCOMPATIBLE_CONFORMANCE)
    if 0 < request.client_max_receive_pdu_size < SMALLEST_PDU_SIZE:
        return ConfirmedServiceError.of_initiate(InitiateError.PDU_SIZE_TOO_SHORT)
    return InitiateResponse(conformance, server_max_receive_pdu_size)


def _encode_quality_of_service(value: int | None) -> bytes:
    return b"\x00" if value is None else b"\x01" + value.to_bytes(1, "big", signed=True)
