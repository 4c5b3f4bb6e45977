"""One year of load profile as an encoded buffer, the same octets for every program that is timed on it.

An A-XDR array of structures: octet-string(12) date-time, long-unsigned status, 4 x double-long, 39 octets a
row. Standard library alone, so that the peers' programs can be fed without iondlms.

    buffer.py [--rows 35040] [FILE]     writes FILE; without one, tells the size and digest
"""

from __future__ import annotations

import argparse
import hashlib
import random
import struct
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

YEAR_ROWS: Final = 35_040  # 365 days of 900 s
PERIOD: Final = timedelta(seconds=900)
START: Final = datetime(2025, 1, 1, tzinfo=UTC)
# structure of 6; octet-string 12: year, 7 octets, deviation, clock status; long-unsigned; 4 x double-long
ROW: Final = struct.Struct(">BBBBHBBBBBBBhBBHBiBiBiBi")


def last_sunday(year: int, month: int) -> datetime:
    """Return 01:00 UTC of the last Sunday, when Europe changes its clocks."""
    day = date(year, month, 31)
    day -= timedelta(days=day.isoweekday() % 7)
    return datetime(day.year, day.month, day.day, 1, tzinfo=UTC)


def encoded_buffer(rows: int = YEAR_ROWS) -> bytes:
    """Return the buffer: Central European time with its summer, moving values, now and then a status bit."""
    dice = random.Random(62056)
    parts = [b"\x01" + (bytes((rows,)) if rows < 0x80 else b"\x82" + rows.to_bytes(2, "big"))]
    for n in range(rows):
        utc = START + n * PERIOD
        summer = last_sunday(utc.year, 3) <= utc < last_sunday(utc.year, 10)
        local = utc + timedelta(hours=2 if summer else 1)
        status = 1 << dice.randrange(5, 10) if n % 1000 == 999 else 0
        values = [dice.randrange(2_000_000) - (500_000 if n % 7 == 0 else 0) for _ in range(4)]
        stamp = (local.year, local.month, local.day, local.isoweekday(), local.hour, local.minute, 0, 0)
        zone = (-120, 0x80) if summer else (-60, 0)
        cells = [octet for value in values for octet in (5, value)]
        parts.append(ROW.pack(2, 6, 9, 12, *stamp, *zone, 0x12, status, *cells))
    return b"".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=YEAR_ROWS, help="1 to 65535")
    parser.add_argument("file", type=Path, nargs="?")
    arguments = parser.parse_args()
    if not 1 <= arguments.rows <= 0xFFFF:
        parser.error("--rows: 1 to 65535")
    octets = encoded_buffer(arguments.rows)
    if arguments.file is None:
        print(
            f"{arguments.rows} rows, {len(octets)} octets, sha256 {hashlib.sha256(octets).hexdigest()[:16]}"
        )
    else:
        arguments.file.write_bytes(octets)


if __name__ == "__main__":
    main()
