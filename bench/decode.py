"""Decode one year of load profile: rows a second, as plain values and as typed rows.

python bench/decode.py [--rows 35040] [--runs 7]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import buffer  # beside this program

from iondlms.client.instants import TimeRules
from iondlms.client.names import NAMES
from iondlms.client.profile import Shape, column_of, typed_profile
from iondlms.codec import decode_rows
from iondlms.cosem import CaptureObject

CAPTURED = tuple(
    CaptureObject(NAMES[name].class_id or 0, NAMES[name].logical_name, 2)
    for name in ("clock", "status", "kWh-del-int", "kVARh-del-int", "kWh-rec-int", "kVARh-rec-int")
)


def best(work: Callable[[], object], rows: int, runs: int) -> float:
    """Return rows a second of CPU, the best run: the others were disturbed."""
    rates = []
    for _ in range(runs):
        start = time.process_time()
        work()
        rates.append(rows / (time.process_time() - start))
    return max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=buffer.YEAR_ROWS)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    octets = buffer.encoded_buffer(arguments.rows)

    def shape(scaler: int) -> Shape:
        columns = tuple(column_of(captured, "Wh", scaler) for captured in CAPTURED[2:])
        return Shape(CAPTURED, columns, 900, TimeRules(), "keep")

    profile = typed_profile(octets, shape(0))
    plain = decode_rows(octets)
    # What is timed is right: the first and the last row say so.
    assert profile.rows[0].instant == datetime(2025, 1, 1, tzinfo=UTC)
    assert profile.rows[-1].values == tuple(Decimal(value) for value in plain[-1][2:])  # type: ignore[arg-type]

    for name, work in (
        ("plain values", lambda: decode_rows(octets)),
        ("typed rows, scaler 0", lambda: typed_profile(octets, shape(0))),
        ("typed rows, scaler -3", lambda: typed_profile(octets, shape(-3))),
    ):
        print(f"iondlms, {name:24} {best(work, arguments.rows, arguments.runs):12,.0f} rows/s")


if __name__ == "__main__":
    main()
