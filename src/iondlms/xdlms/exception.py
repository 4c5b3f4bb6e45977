"""ExceptionResponse: the answer to a request that cannot be served at all (IEC 62056-53, Green Book 9.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError

__all__ = ["ExceptionResponse", "ServiceError", "StateError"]


class StateError(IntEnum):
    """The first octet: is it the state, or the service itself?"""

    SERVICE_NOT_ALLOWED = 1
    SERVICE_UNKNOWN = 2


class ServiceError(IntEnum):
    """The second octet: what is the matter."""

    OPERATION_NOT_POSSIBLE = 1
    SERVICE_NOT_SUPPORTED = 2
    OTHER_REASON = 3
    PDU_TOO_LONG = 4
    DECIPHERING_ERROR = 5
    INVOCATION_COUNTER_ERROR = 6


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """`D8` and two codes. It has no invoke-id: the request it answers may have had none."""

    state_error: StateError
    service_error: ServiceError
    invocation_counter: int | None = None  # Unsigned32, with INVOCATION_COUNTER_ERROR alone

    @classmethod
    def decode_body(cls, reader: Reader) -> ExceptionResponse:
        """Read what follows D8; DecodeError if the standard does not name a code."""
        state, service = reader.u8(), reader.u8()
        try:
            state_error, service_error = StateError(state), ServiceError(service)
        except ValueError as error:
            raise DecodeError(f"exception-response {state} {service} is not defined") from error
        if service_error is ServiceError.INVOCATION_COUNTER_ERROR:
            return cls(state_error, service_error, reader.u32())
        return cls(state_error, service_error)

    def encode(self) -> bytes:
        """Return the APDU, 3 octets or 7."""
        octets = bytes((0xD8, self.state_error, self.service_error))
        if self.service_error is ServiceError.INVOCATION_COUNTER_ERROR:
            octets += (self.invocation_counter or 0).to_bytes(4, "big")
        return octets
