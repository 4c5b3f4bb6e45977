"""gurux-dlms on an encoded profile buffer: decode to plain and to typed rows, encode; see answer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from answer import answer, buffer_works
from gurux_dlms import GXByteBuffer, GXDLMSClient
from gurux_dlms.enums import DataType
from gurux_dlms.objects import GXDLMSClock, GXDLMSData, GXDLMSProfileGeneric, GXDLMSRegister
from gurux_dlms.ValueEventArgs import ValueEventArgs

PEER = "gurux-dlms"

CLIENT = GXDLMSClient(True)


def profile(name: str, registers: list[tuple[str, DataType]]) -> GXDLMSProfileGeneric:
    """A profile object: clock, status word, registers."""
    made = GXDLMSProfileGeneric(name)
    made.addCaptureObject(GXDLMSClock(), 2, 0)
    status = GXDLMSData("0.0.97.97.0.255")
    status.setDataType(2, DataType.UINT16)
    made.addCaptureObject(status, 2, 0)
    for code, kind in registers:
        register = GXDLMSRegister(code)
        register.setDataType(2, kind)
        made.addCaptureObject(register, 2, 0)
    return made


LOAD = profile("1.0.99.1.0.255", [(f"1.1.{group}.29.0.255", DataType.INT32) for group in (1, 3, 2, 4)])
BILLING = profile(
    "1.0.98.1.0.255",
    [
        *((f"1.1.{group}.8.0.255", DataType.INT64) for group in (1, 2, 16, 3, 4, 128, 9)),
        *((code, DataType.INT32) for code in ("1.1.16.4.0.255", "1.1.128.4.0.255", "1.1.9.4.0.255")),
        ("1.1.13.0.0.255", DataType.INT32),
    ],
)


def decode_plain(octets: bytes) -> list[Any]:
    """Rows of bytearray(12) and ints."""
    rows: list[Any] = GXDLMSClient.getValue(GXByteBuffer(octets), False)
    return rows


def decode_typed(octets: bytes) -> list[tuple[datetime, ...]]:
    """Rows of an aware datetime and ints, its date-time conversion alone being called for the first column.

    (`updateValue` of the profile object does the same and looks at each other cell too: slower.)
    """
    change = GXDLMSClient.changeType
    return [
        (change(row[0], DataType.DATETIME).value, *row[1:])
        for row in GXDLMSClient.getValue(GXByteBuffer(octets), False)
    ]


def encode(rows: list[Any]) -> bytes:
    """The buffer as its profile object answers a GET of it, 64 rows at a time.

    All rows at once take some eight times as long: its GXByteBuffer grows a few octets at a time, by copying.
    """
    settings = CLIENT.settings
    source = BILLING if len(rows[0]) == 13 else LOAD
    event = ValueEventArgs(settings, source, 2, 0, None)
    count = len(rows)
    parts = [b"\x01" + (bytes((count,)) if count < 0x80 else b"\x82" + count.to_bytes(2, "big"))]
    for at in range(0, len(rows), 64):
        settings.index = 1  # not the first call of an answer, so no tag and count of the array
        parts.append(bytes(source.getData(settings, event, rows[at : at + 64], source.captureObjects)))
    return b"".join(parts)


if __name__ == "__main__":
    answer(PEER, buffer_works(decode_plain, decode_typed, encode))
