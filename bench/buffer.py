"""Profiles as encoded buffers, the same octets for every program that is timed on them.

An A-XDR array of structures: octet-string(12) date-time, long-unsigned status, then 4 x double-long in the
load profile (39 octets a row), 7 x long64 and 4 x double-long in the billing data (102). `null_buffer` and
`mixed_buffer` are shapes that no ION meter sends. Standard library alone, so that peers can be fed without
iondlms.

    buffer.py [--rows 35040] [--billing] [FILE]     writes FILE; without one, tells the size and digest
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
BILLING_ROW: Final = struct.Struct(">BBBBHBBBBBBBhBBH" + "Bq" * 7 + "Bi" * 4)


def last_sunday(year: int, month: int) -> datetime:
    """Return 01:00 UTC of the last Sunday, when Europe changes its clocks."""
    day = date(year, month, 31)
    day -= timedelta(days=day.isoweekday() % 7)
    return datetime(day.year, day.month, day.day, 1, tzinfo=UTC)


def header(rows: int) -> bytes:
    """Return the tag and count of the array."""
    return b"\x01" + (bytes((rows,)) if rows < 0x80 else b"\x82" + rows.to_bytes(2, "big"))


def encoded_rows(rows: int = YEAR_ROWS, *, billing: bool = False) -> list[bytes]:
    """Return the rows: Central European time with its summer, moving values, now and then a status bit."""
    dice = random.Random(62056)
    form = BILLING_ROW if billing else ROW
    parts = []
    for n in range(rows):
        utc = START + n * PERIOD
        summer = last_sunday(utc.year, 3) <= utc < last_sunday(utc.year, 10)
        local = utc + timedelta(hours=2 if summer else 1)
        status = 1 << dice.randrange(5, 10) if n % 1000 == 999 else 0
        values = [dice.randrange(2_000_000) - (500_000 if n % 7 == 0 else 0) for _ in range(4)]
        stamp = (local.year, local.month, local.day, local.isoweekday(), local.hour, local.minute, 0, 0)
        zone = (-120, 0x80) if summer else (-60, 0)
        cells = [octet for value in values for octet in (5, value)]
        if billing:  # registers that count up, below the rollover of 10,000,000 k-units
            registers = [(n * 250_000 * step + values[0]) % 10_000_000_000 for step in range(1, 8)]
            cells = [*(octet for value in registers for octet in (20, value)), *cells]
        parts.append(form.pack(2, 13 if billing else 6, 9, 12, *stamp, *zone, 0x12, status, *cells))
    return parts


def encoded_buffer(rows: int = YEAR_ROWS, *, billing: bool = False) -> bytes:
    """Return so many rows of the load profile, or of the billing data."""
    return header(rows) + b"".join(encoded_rows(rows, billing=billing))


def null_buffer(rows: int) -> bytes:
    """Return rows of the load profile in which a tenth of the values is null-data."""
    dice = random.Random(9)
    parts = []
    for row in encoded_rows(rows):
        cells = [row[19 + 5 * at : 24 + 5 * at] for at in range(4)]
        parts += [row[:19], *(b"\x00" if dice.random() < 0.1 else cell for cell in cells)]
    return header(rows) + b"".join(parts)


def mixed_buffer(rows: int) -> bytes:
    """Return rows with a text of any length, a structure with scaler, a long and an enum in them."""
    dice = random.Random(11)
    parts = []
    for row in encoded_rows(rows):
        text = bytes(dice.choices(range(65, 91), k=dice.randrange(4, 12)))
        parts += [b"\x02\x06", row[2:16], b"\x0a", bytes((len(text),)), text]
        parts += [b"\x02\x02", row[19:24], b"\x0f\xfd", row[24:29], b"\x10\x12\x34", b"\x16\x1e"]
    return header(rows) + b"".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=YEAR_ROWS, help="1 to 65535")
    parser.add_argument("--billing", action="store_true", help="billing data, not the load profile")
    parser.add_argument("file", type=Path, nargs="?")
    arguments = parser.parse_args()
    if not 1 <= arguments.rows <= 0xFFFF:
        parser.error("--rows: 1 to 65535")
    octets = encoded_buffer(arguments.rows, billing=arguments.billing)
    if arguments.file is None:
        print(
            f"{arguments.rows} rows, {len(octets)} octets, sha256 {hashlib.sha256(octets).hexdigest()[:16]}"
        )
    else:
        arguments.file.write_bytes(octets)


if __name__ == "__main__":
    main()
