"""Octets of requests as the case list writes them: hex, so that a case can be laid beside the list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from iondlms.codec.obis import ObisCode

__all__ = [
    "ASSOCIATION",
    "CLOCK",
    "DEVICE_NAME",
    "GET_LIST",
    "GET_NAME",
    "GET_OWN_NAME",
    "LN_CONTEXT",
    "PROPOSED",
    "RELEASE",
    "SAP_ASSIGNMENT",
    "aarq",
    "capture_object",
    "date_time",
    "get_request",
    "initiate",
    "low_level",
    "set_request",
]

CLOCK: Final = "0-0:1.0.0*255"
ASSOCIATION: Final = "0-0:40.0.0*255"
SAP_ASSIGNMENT: Final = "0-0:41.0.0*255"
DEVICE_NAME: Final = "0-0:42.0.0*255"

LN_CONTEXT: Final = "60857405080101"
PROPOSED: Final = "007E1F"  # what the AARQs of the list propose
GET_NAME: Final = "C001C1000100002A0000FF0200"
GET_OWN_NAME: Final = "C001C1000F0000280000FF0100"
GET_LIST: Final = "C001C1000F0000280000FF0200"
RELEASE: Final = "6203800100"


def initiate(
    conformance: str = PROPOSED, size: str = "04B0", *, version: str = "06", head: str = "000000"
) -> str:
    """Return an InitiateRequest; `head` is dedicated-key, response-allowed and quality-of-service."""
    return f"01{head}{version}5F1F0400{conformance}{size}"


def low_level(secret: bytes) -> str:
    """Return ACSE requirements, the mechanism of low level security, and the secret."""
    length = len(secret)
    return f"8A0207808B0760857405080201AC{length + 2:02X}80{length:02X}{secret.hex()}".upper()


def aarq(elements: str = "", information: str = "", *, context: str = LN_CONTEXT, before: str = "") -> str:
    """Return an AARQ: `before` the context, `elements` behind it, and an InitiateRequest."""
    request = information or initiate()
    length = len(request) // 2
    body = f"{before}A1090607{context}{elements}BE{length + 2:02X}04{length:02X}{request}"
    return f"60{_length(len(body) // 2)}{body}"


def _length(octets: int) -> str:
    return f"{octets:02X}" if octets < 0x80 else f"81{octets:02X}"


def get_request(class_id: int, name: str, attribute: int, selection: str = "", invoke: str = "C1") -> str:
    """Return a GET-request-normal; `selection` is selector and parameters."""
    octets = class_id.to_bytes(2, "big") + ObisCode.parse(name).octets + (attribute & 0xFF).to_bytes(1, "big")
    return f"C001{invoke}{octets.hex()}{'01' + selection if selection else '00'}".upper()


def set_request(value: str, class_id: int = 8, name: str = CLOCK, attribute: int = 2) -> str:
    """Return a SET-request-normal of encoded Data; without a name it is the clock's time."""
    octets = class_id.to_bytes(2, "big") + ObisCode.parse(name).octets + (attribute & 0xFF).to_bytes(1, "big")
    return f"C101C1{octets.hex()}00{value}".upper()


def capture_object(class_id: int, name: str, attribute: int = 2, index: int = 0) -> str:
    """Return a capture object definition."""
    code = ObisCode.parse(name).octets.hex().upper()
    return f"020412{class_id:04X}0906{code}0F{attribute:02X}12{index:04X}"


def date_time(
    when: datetime, deviation: int = 0, *, day_of_week: int = 0xFF, shown: int | None = None
) -> str:
    """Return the 12 octets of an instant in the local time of a deviation (minutes, local to UTC).

    `shown` writes another deviation than the local time has: the wrong sign, or 8000 for not specified.
    """
    local = datetime.fromtimestamp(when.timestamp() - deviation * 60, UTC)
    written = (deviation if shown is None else shown) & 0xFFFF
    return (
        f"{local.year:04X}{local.month:02X}{local.day:02X}{day_of_week:02X}"
        f"{local.hour:02X}{local.minute:02X}{local.second:02X}00{written:04X}00"
    )
