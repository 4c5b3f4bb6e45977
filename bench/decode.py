"""Decode and encode one year of load profile: rows a second, ours and the peers', and the ratio.

Plain values are lists or tuples of Python values; typed rows have an instant in UTC (ours also the status
word and Decimals with their scaler). Peers run under their own interpreter (`make peers`), each at its best.

    python bench/decode.py [--rows 35040] [--runs 7]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import buffer  # beside this program

from iondlms.client.instants import TimeRules
from iondlms.client.names import NAMES
from iondlms.client.profile import Shape, column_of, typed_profile
from iondlms.codec import RowPlan, Tag, decode_rows
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


PEERS = ("gurux", "dlms_cosem", "pydlms")


def peers(octets: bytes) -> dict[str, dict[str, float]]:
    """Return rows a second of each peer that is there, by its name."""
    here = Path(__file__).parent
    python = here.parent / ".venv-peers" / "bin" / "python"
    found: dict[str, dict[str, float]] = {}
    if not python.is_file():
        return found
    with tempfile.NamedTemporaryFile() as file:
        file.write(octets)
        file.flush()
        for name in PEERS:
            command = [str(python), str(here / "peers" / f"decode_{name}.py"), file.name]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
            told = json.loads(done.stdout)
            found[f"{told['peer']} {told['version']}"] = {
                work: told["rows"] / told[key]
                for work, key in (
                    ("plain values", "seconds_decode_plain"),
                    ("typed rows", "seconds_decode_typed"),
                    ("encode", "seconds_encode"),
                )
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=buffer.YEAR_ROWS)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    octets = buffer.encoded_buffer(arguments.rows)
    columns = tuple(column_of(captured, "Wh", 0) for captured in CAPTURED[2:])
    shape = Shape(CAPTURED, columns, 900, TimeRules(), "keep")
    plan = RowPlan([Tag.OCTET_STRING, Tag.LONG_UNSIGNED, *[Tag.DOUBLE_LONG] * 4])

    profile = typed_profile(octets, shape)
    plain = decode_rows(octets)
    # What is timed is right: the first and the last row say so, and the octets come back.
    assert profile.rows[0].instant == datetime(2025, 1, 1, tzinfo=UTC)
    assert profile.rows[-1].values == tuple(Decimal(value) for value in plain[-1][2:])  # type: ignore[arg-type]
    assert octets.endswith(plan.encode(plain))

    works: dict[str, Callable[[], object]] = {
        "plain values": lambda: decode_rows(octets),
        "typed rows": lambda: typed_profile(octets, shape),
        "encode": lambda: plan.encode(plain),
    }
    ours = {name: best(work, arguments.rows, arguments.runs) for name, work in works.items()}
    others = peers(octets)
    print(f"{arguments.rows} rows, {len(octets)} octets; rows a second (ours is so many times as fast)")
    print(f"{'':24}" + "".join(f"{name:>22}" for name in works))
    print(f"{'iondlms':24}" + "".join(f"{ours[name]:>22,.0f}" for name in works))
    for peer, rates in others.items():
        cells = (f"{rates[name]:,.0f} ({ours[name] / rates[name]:.1f})" for name in works)
        print(f"{peer:24}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
