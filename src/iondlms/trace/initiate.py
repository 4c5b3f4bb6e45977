"""InitiateRequest and InitiateResponse, the service errors, and the exception-response, explained."""

from __future__ import annotations

from functools import partial
from typing import Final

from iondlms.trace.names import code_name
from iondlms.trace.scribe import Scribe
from iondlms.xdlms import (
    DLMS_VERSION,
    SMALLEST_PDU_SIZE,
    Conformance,
    InitiateError,
    ServiceError,
    StateError,
)

__all__ = [
    "write_confirmed_service_error",
    "write_exception_response",
    "write_initiate_request",
    "write_initiate_response",
]

_SERVICES: Final = {1: "initiate", 2: "get-status", 5: "read", 6: "write"}
_ALTERNATIVES: Final = {
    0: "application-reference", 1: "hardware-resource", 2: "vde-state-error", 3: "service",
    4: "definition", 5: "access", 6: "initiate", 7: "load-data-set", 9: "task",
}  # fmt: skip
_INVOCATION_COUNTER_ERROR: Final = 6


def write_initiate_request(scribe: Scribe) -> None:
    """Write what follows tag 01."""
    if scribe.unsigned(1, "dedicated key", _present):
        count = scribe.length("length of the key")
        scribe.take(count, "key", f"{count} octets")
    if scribe.unsigned(1, "response-allowed given", _present):
        scribe.unsigned(1, "response-allowed", lambda octet: "yes" if octet else "no")
    _quality_of_service(scribe, "proposed")
    _version(scribe, "proposed")
    _conformance(scribe, "proposed conformance")
    scribe.unsigned(2, "client max receive PDU size", _size_text)


def write_initiate_response(scribe: Scribe) -> None:
    """Write what follows tag 08."""
    _quality_of_service(scribe, "negotiated")
    _version(scribe, "negotiated")
    _conformance(scribe, "negotiated conformance")
    scribe.unsigned(2, "server max receive PDU size", _size_text)
    names = {0x0007: "logical names", 0xFA00: "short names"}
    scribe.unsigned(2, "VAA name", lambda name: f"{name:04X} {names.get(name, '')}".rstrip())


def write_confirmed_service_error(scribe: Scribe) -> None:
    """Write what follows tag 0E."""
    scribe.unsigned(1, "service", lambda number: f"{_SERVICES.get(number, 'service')} ({number})")
    alternative = scribe.unsigned(
        1, "alternative", lambda number: f"{_ALTERNATIVES.get(number, 'alternative')} ({number})"
    )
    names = partial(code_name, InitiateError) if alternative == 6 else lambda _: None
    scribe.unsigned(1, "code", lambda code: f"{names(code) or 'code'} ({code})")


def write_exception_response(scribe: Scribe) -> None:
    """Write what follows D8."""
    scribe.code("state error", partial(code_name, StateError))
    if scribe.code("service error", partial(code_name, ServiceError)) == _INVOCATION_COUNTER_ERROR:
        scribe.unsigned(4, "invocation counter")


def _present(octet: int) -> str:
    return "yes" if octet else "no"


def _size_text(size: int) -> str:
    if size == 0:
        return "0, no limit"
    return f"{size}" + (
        f", below the {SMALLEST_PDU_SIZE} that are needed" if size < SMALLEST_PDU_SIZE else ""
    )


def _quality_of_service(scribe: Scribe, which: str) -> None:
    if scribe.unsigned(1, f"{which} quality of service given", _present):
        scribe.take(1, "quality of service", lambda octet: str(int.from_bytes(octet, "big", signed=True)))


def _version(scribe: Scribe, which: str) -> None:
    scribe.unsigned(
        1,
        f"{which} DLMS version",
        lambda version: f"{version}" + (f", {DLMS_VERSION} is usual" if version != DLMS_VERSION else ""),
    )


def _conformance(scribe: Scribe, label: str) -> None:
    """Write [APPLICATION 31] BIT STRING (24), in the forms 5F 1F 04 00 and 5F 04 00."""
    with scribe.group(label) as node:
        if scribe.remaining and scribe.reader.peek() != 0x5F:
            raise scribe.refuse("tag", f"{scribe.reader.peek():02X} where the conformance block, 5F, belongs")
        scribe.take(1, "tag", "conformance block")
        if scribe.remaining and scribe.reader.peek() == 0x1F:
            scribe.take(1, "tag", "second octet")
        for name, right in (("length", 4), ("unused bits", 0)):
            if scribe.remaining and scribe.reader.peek() != right:
                raise scribe.refuse(name, f"{scribe.reader.peek()}, and a conformance block has {right}")
            scribe.unsigned(1, name)
        bits = Conformance(
            int.from_bytes(scribe.take(3, "bits", lambda octets: octets.hex(" ").upper()), "big")
        )
        names = [bit.name.lower().replace("_", "-") for bit in Conformance if bits & bit and bit.name]
        node.value = ", ".join(reversed(names)) or "none"
