"""Time gurux-dlms on an encoded load profile: decode to plain and to typed rows, encode; prints JSON."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from gurux_dlms import GXByteBuffer, GXDLMSClient
from gurux_dlms.enums import DataType
from gurux_dlms.objects import GXDLMSClock, GXDLMSData, GXDLMSProfileGeneric, GXDLMSRegister
from gurux_dlms.ValueEventArgs import ValueEventArgs

PEER = "gurux-dlms"

CLIENT = GXDLMSClient(True)
PROFILE = GXDLMSProfileGeneric("1.0.99.1.0.255")
PROFILE.addCaptureObject(GXDLMSClock(), 2, 0)
STATUS = GXDLMSData("0.0.97.97.0.255")
STATUS.setDataType(2, DataType.UINT16)
PROFILE.addCaptureObject(STATUS, 2, 0)
for _group in (1, 3, 2, 4):
    _register = GXDLMSRegister(f"1.1.{_group}.29.0.255")
    _register.setDataType(2, DataType.INT32)
    PROFILE.addCaptureObject(_register, 2, 0)


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


def prepared(rows: list[Any]) -> list[Any]:
    """What `encode` starts from; made before the clock runs."""
    return rows


def encode(rows: list[Any]) -> bytes:
    """The buffer as its profile object answers a GET of it, 64 rows at a time.

    All rows at once take some eight times as long: its GXByteBuffer grows a few octets at a time, by copying.
    """
    settings = CLIENT.settings
    event = ValueEventArgs(settings, PROFILE, 2, 0, None)
    parts = [b"\x01\x82" + len(rows).to_bytes(2, "big")]
    for at in range(0, len(rows), 64):
        settings.index = 1  # not the first call of an answer, so no tag and count of the array
        parts.append(bytes(PROFILE.getData(settings, event, rows[at : at + 64], PROFILE.captureObjects)))
    return b"".join(parts)


# --- timing: the same text in every program here, so that each stands alone


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Return the least of some runs, wall clock: what the others lost to the machine is not theirs."""
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def checksum(rows: list[Any]) -> int:
    """Return the sum of all integers of the rows: programs that agree on it have read the same."""
    return sum(int(value) for row in rows for value in row[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="written by bench/buffer.py")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    octets = arguments.file.read_bytes()
    with contextlib.redirect_stdout(sys.stderr):
        rows, typed = decode_plain(octets), decode_typed(octets)
        report = {
            "peer": PEER,
            "version": importlib.metadata.version(PEER),
            "rows": len(rows),
            "checksum": checksum(rows),
            "instants": sum(int(row[0].timestamp()) for row in typed),
            "round_trip": encode(prepared(rows)) == octets,
            "seconds_decode_plain": seconds(lambda: decode_plain(octets), arguments.repeats),
            "seconds_decode_typed": seconds(lambda: decode_typed(octets), arguments.repeats),
        }
        ready = prepared(rows)
        report["seconds_encode"] = seconds(lambda: encode(ready), arguments.repeats)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
