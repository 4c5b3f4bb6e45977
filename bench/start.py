"""How long the command takes to start: `iondlms --version`, and `iondlms serve` until it is ready.

`serve` starts on a data folder that holds 35 days of rows. Wall time, the best of the runs beside the median:
what else the machine does can only add to it. The floor is the bare interpreter.

    python -m bench.start [--runs 15]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROWS = 3360  # 35 days of 900 s
IONDLMS = [sys.executable, "-m", "iondlms"]
DUE_S = {"iondlms --version": 0.060, "iondlms serve, ready": 1.0}


def ended(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def ready(folder: str) -> float:
    """Return the seconds until `ready`, and stop it."""
    command = [*IONDLMS, "serve", "--listen", "127.0.0.1:0", "--data", folder, "--history", str(ROWS)]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in ("ready\n", ""):
            pass
        seconds = time.perf_counter() - begin
        process.terminate()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--no-peers", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    page = ["| start | best, ms | median, ms | due, ms |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory(prefix="iondlms-start-") as folder:
        works: dict[str, Callable[[], float]] = {
            "python -c pass": lambda: ended([sys.executable, "-c", "pass"]),
            "python -c 'import click'": lambda: ended([sys.executable, "-c", "import click"]),
            "iondlms --version": lambda: ended([*IONDLMS, "--version"]),
            "iondlms serve, ready": lambda: ready(f"{folder}/meter"),
        }
        times: dict[str, list[float]] = {name: [] for name in works}
        for work in works.values():
            work()  # once unmeasured: the files' way into memory, and the first start, which makes the rows
        for _ in range(options.runs):
            for name, work in works.items():
                times[name].append(work())
    print(f"{'':28}{'best ms':>10}{'median ms':>12}{'due ms':>9}")
    missed = []
    for name, seconds in times.items():
        best, median, due = min(seconds), statistics.median(seconds), DUE_S.get(name)
        due_ms = "" if due is None else f"{due * 1000:.0f}"
        page.append(f"| `{name}` | {best * 1000:.0f} | {median * 1000:.0f} | {due_ms} |")
        print(
            f"{name:28}{best * 1000:10.0f}{median * 1000:12.0f}{'' if due is None else f'{due * 1000:9.0f}'}"
        )
        if due is not None and best > due:
            missed.append(name)
    if options.json is not None:
        report = {"bench": "start", "results": [], "page": [*page, ""]}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if missed:
        print(f"later than due: {'; '.join(missed)}", file=sys.stderr)
        sys.exit(3)  # as of all programs here that miss a target


if __name__ == "__main__":
    main()
