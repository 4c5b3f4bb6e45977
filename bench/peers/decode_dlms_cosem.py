"""Time dlms-cosem on an encoded load profile: decode to plain and to typed rows, encode; prints JSON."""

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

import structlog
from dlms_cosem import utils
from dlms_cosem.dlms_data import DataArray, DataStructure, DoubleLongData, OctetStringData, UnsignedLongData
from dlms_cosem.time import datetime_from_bytes

PEER = "dlms-cosem"
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def decode_plain(octets: bytes) -> list[Any]:
    """Rows of bytearray(12) and ints."""
    rows: list[Any] = utils.parse_as_dlms_data(octets)
    return rows


def decode_typed(octets: bytes) -> list[tuple[datetime, ...]]:
    """Rows of an aware datetime and ints (its ProfileGenericBufferParser wraps each cell as well: slower)."""
    return [(datetime_from_bytes(row[0])[0], *row[1:]) for row in utils.parse_as_dlms_data(octets)]


def prepared(rows: list[Any]) -> list[Any]:
    """What `encode` starts from; made before the clock runs."""
    return rows


def encode(rows: list[Any]) -> bytes:
    """The buffer, through its data types."""
    return bytes(
        DataArray(
            [
                DataStructure(
                    [OctetStringData(row[0]), UnsignedLongData(row[1]), *(DoubleLongData(v) for v in row[2:])]
                )
                for row in rows
            ]
        ).to_bytes()
    )


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
