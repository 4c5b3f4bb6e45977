"""How cost grows: from 1 to 10,000 meters in one process, and from a day to ten years of rows in a recorder.

Of each fleet: seconds to start, memory of an idle meter beyond the first, and how long the recorders of all
take at a quarter hour. While the largest fires, a thousand of its meters, chosen at random, are read for a
day over TCP. Of each depth of rows: the time from a request for one day in the middle to its first block,
and from a request for all to theirs. Slopes are those of the last tenfold step in a log-log plot: 0 costs the
same however many there are, 1 grows with them.

    python -m bench.scale [--json FILE] [--plot docs/scale.svg] [--most 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from iondlms.client import Client, Hooks, blocking
from iondlms.ion import Log, Pending, RowFormat
from iondlms.ion.recorder import DataRecorderSetup, NewRows, memory_log
from iondlms.meter import load
from iondlms.meter.fleet_host import FleetHost
from iondlms.meter.meter import Meter
from iondlms.ports.memory import NullModem
from iondlms.store import FleetLog, FleetStore, Place

METERS: Final = (1, 10, 100, 1000, 10_000)
ROWS: Final = (96, 960, 3360, 35_040, 350_400)
DAY: Final = 96  # rows
LISTEN: Final = "127.9.9.9:20000"  # an address of this machine where nobody else is
READERS: Final = 20
READINGS: Final = 1000
QUARTER_MS: Final = 900_000
LEAD_S: Final = 3.0  # from the start of the readers to the quarter hour
BEGIN_MS: Final = 1_767_225_600_000  # 2026-01-01
COLUMNS: Final = 4
TIMES: Final = 25
KIB: Final = 1024
DUE: Final = {"start_cpu_s": 10.0, "fire_cpu_s": 5.0, "memory_kib": 10.0, "first_ms": 5.0}


COLUMNS_OF_FLEETS: Final = ("meters", "start_s", "start_cpu_s", "fire_s", "fire_cpu_s", "memory_kib")


# --- a fleet, in a process of its own -----------------------------------------------------------------


class Loop(asyncio.SelectorEventLoop):
    """One whose time can be moved on, so that a day of rows takes no day."""

    moved_s = 0.0

    def time(self) -> float:
        return super().time() + self.moved_s


def memory() -> int:
    """Return the resident octets of this process."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def serve(count: int, days: int) -> None:
    """Be a fleet: tell what the start took, fill the rows, then fire at a quarter hour and tell of that."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    # Not port 0: to find ten thousand free ones takes the kernel twice as long as all the rest.
    config = load(None, [("port.ETHERNET.listen", LISTEN)])
    wall, cpu = time.perf_counter(), time.process_time()
    async with FleetHost(config, count, utc_ms=BEGIN_MS) as host:
        told: dict[str, Any] = {
            "start_s": time.perf_counter() - wall,
            "start_cpu_s": time.process_time() - cpu,
        }
        meter = host.fleet.meter(0)
        rows = max(2, days * DAY)
        # Two, after which registers, windows and the day's load are there; then the rest at once.
        for quarter in (1, 2, rows):
            loop.moved_s += max(0.0, meter.now_at(BEGIN_MS + quarter * QUARTER_MS) - loop.time() + 1)
            cpu = time.process_time()
            await host.fleet.catch_up()
            if quarter == 2 and "memory" not in told:
                told |= {"quarter_cpu_s": time.process_time() - cpu, "memory": memory()}
        told["urls"] = [member.url for member in host.members()]
        due = meter.now_at(BEGIN_MS + (rows + 1) * QUARTER_MS)
        loop.moved_s += due - LEAD_S - loop.time()
        print(json.dumps(told), flush=True)
        while loop.time() < due - 0.05:
            await asyncio.sleep(0.002)
        time.sleep(max(0.0, due - loop.time()) + 0.001)  # or a small fleet is done before it is measured
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(0)
        while host.fleet.behind:
            await asyncio.sleep(0)
        await host.fleet.settled()
        fired = {"fire_s": time.perf_counter() - wall, "fire_cpu_s": time.process_time() - cpu}
        print(json.dumps(fired), flush=True)
        await asyncio.Event().wait()


class FleetProcess:
    """That process."""

    def __init__(self, count: int, days: int) -> None:
        command = [sys.executable, "-m", "bench.scale", "--serve", str(count), "--days", str(days)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.told = self.line()

    def line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        return told

    def cpu_s(self) -> float:
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


async def read_many(urls: Sequence[str]) -> list[float]:
    """Read a day from each of them, `READERS` at a time; return the seconds that each took."""
    waiting = list(urls)
    seconds: list[float] = []

    async def reader() -> None:
        while waiting:
            url = waiting.pop()
            begin = time.perf_counter()
            async with Client(f"{url}?unit=100&framing=hdlc&timeout=5s&retries=0") as client:
                rows = len((await client.profile("load", entries=(1, DAY))).rows)
            seconds.append(time.perf_counter() - begin)
            if rows != DAY:
                raise SystemExit(f"{url}: {rows} rows of {DAY}")

    async with asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(reader())
    return seconds


def fleets(most: int) -> dict[str, Any]:
    """Measure fleets of growing size."""
    found: dict[str, Any] = {key: [] for key in COLUMNS_OF_FLEETS}
    first = 0
    for count in (each for each in METERS if each <= most):
        largest = count == max(each for each in METERS if each <= most)
        served = FleetProcess(count, 1 if largest else 0)
        try:
            told = served.told
            first = first or told["memory"]
            if largest:
                urls = random.Random(6).sample(told["urls"], min(count, READINGS))
                own, other = time.process_time(), served.cpu_s()
                seconds = asyncio.run(read_many(urls))
                reading = {"client_cpu_s": time.process_time() - own, "read": len(urls)}
                fired = served.line()
                reading["server_cpu_s"] = served.cpu_s() - other - fired["fire_cpu_s"]
                reading |= {"p50_ms": percentile(seconds, 0.5), "p99_ms": percentile(seconds, 0.99)}
                reading |= {"most_ms": max(seconds) * 1000, "client_memory": memory()}
                found["reading"] = reading
                found["quarter_cpu_s"] = told["quarter_cpu_s"] / count
            else:
                fired = served.line()
        finally:
            served.close()
        found["meters"].append(count)
        for key in ("start_s", "start_cpu_s"):
            found[key].append(told[key])
        for key in ("fire_s", "fire_cpu_s"):
            found[key].append(fired[key])
        found["memory_kib"].append((told["memory"] - first) / KIB / max(count - 1, 1))
        print(
            f"{count:8,} meters: start {told['start_s']:7.3f} s ({told['start_cpu_s']:.3f} of CPU),"
            f" quarter hour {fired['fire_s']:7.3f} s ({fired['fire_cpu_s']:.3f}),"
            f" {found['memory_kib'][-1]:8.1f} KiB a meter beyond the first",
            flush=True,
        )
    return found


def percentile(seconds: list[float], part: float) -> float:
    """Return it in milliseconds."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * part))] * 1000


# --- rows of one recorder -----------------------------------------------------------------------------


def rows_of(count: int) -> bytes:
    """Return packed load-profile rows."""
    pack = struct.Struct(f"<qH{COLUMNS}q").pack
    return b"".join([pack(BEGIN_MS + row * QUARTER_MS, 0, 9000 + row % 700, 1, 2, 3) for row in range(count)])


@contextmanager
def filled(count: int, stored: bool) -> Iterator[Meter]:
    """Give a meter whose load profile holds so many rows, in memory or in a fleet's store."""
    config = load(None, [("load_profile.depth", count)])
    stride = RowFormat(COLUMNS).stride
    with tempfile.TemporaryDirectory(prefix="iondlms-scale-") as folder:
        store = FleetStore.open(folder, "scale", lasting=False) if stored else None

        def make_log(setup: DataRecorderSetup) -> Log:
            if store is None:
                return memory_log(setup)
            place = Place(0, store.recorder(setup.name))
            return FleetLog(store, place, RowFormat(len(setup.sources)), setup.depth)

        meter = Meter(config, make_log=make_log, heartbeat_s=None)
        meter.start(BEGIN_MS + count * QUARTER_MS, 0.0)
        recorder = meter.ion.recorders["Load Profile"]
        new = NewRows(0, stride, count, octets=bytearray(rows_of(count)))
        if store is not None:
            store.write({0: Pending(rows={"Load Profile": new})})
        recorder.publish(new)
        yield meter
        if store is not None:
            store.close()


def first_block_ms(meter: Meter, first: int, count: int) -> float:
    """Return the milliseconds from the request for rows to their first block, at the meter's endpoint."""
    questions: list[bytes] = []

    def watch(direction: str, octets: bytes, _now: float) -> None:
        if direction == "TX":
            questions.append(octets)

    start = datetime.fromtimestamp((BEGIN_MS + first * QUARTER_MS) / 1000, UTC)
    end = start + timedelta(milliseconds=(count - 1) * QUARTER_MS)
    url = "hdlc://line?unit=100"
    with blocking.Client(
        url, hooks=Hooks(on_octets=watch), connector=lambda: NullModem(meter.endpoint())
    ) as client:
        if len(client.profile("load", start=start, end=end + timedelta(seconds=1)).rows) != count:
            raise SystemExit(f"not {count} rows")
    asked = max(range(len(questions)), key=lambda index: len(questions[index]))  # the range is the longest
    seconds = []
    for _ in range(TIMES):
        endpoint = meter.endpoint()
        for question in questions[:asked]:
            endpoint.receive_data(question, 0.0)
        begin = time.perf_counter()
        endpoint.receive_data(questions[asked], 0.0)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds) * 1000


def depths(most: int) -> dict[str, Any]:
    """Measure recorders of growing depth."""
    found: dict[str, Any] = {"rows": [], "day_ms": [], "all_ms": [], "stored_day_ms": []}
    for count in (each for each in ROWS if each <= most):
        with filled(count, stored=False) as meter:
            day = first_block_ms(meter, (count - DAY) // 2, DAY)
            whole = first_block_ms(meter, 0, count)
        with filled(count, stored=True) as meter:
            stored = first_block_ms(meter, (count - DAY) // 2, DAY)
        found["rows"].append(count)
        found["day_ms"].append(day)
        found["all_ms"].append(whole)
        found["stored_day_ms"].append(stored)
        print(
            f"{count:8,} rows: first block of a day in the middle {day:6.3f} ms, of all {whole:6.3f} ms;"
            f" of a day from a fleet's store {stored:6.3f} ms",
            flush=True,
        )
    return found


# --- what came of it ----------------------------------------------------------------------------------


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of the last step of at least tenfold, in a log-log plot."""
    last = len(x) - 1
    before = max(index for index in range(last) if x[index] * 9 <= x[last])
    return math.log(y[last] / y[before]) / math.log(x[last] / x[before])


def page(fleet: dict[str, Any], depth: dict[str, Any]) -> list[str]:
    """Return what docs/performance.md tells."""
    reading = fleet["reading"]
    million = 1_000_000 / DAY / reading["read"]
    lines = [
        "How cost grows, and what a day costs (`python -m bench.scale`). Slopes are those of the last",
        "tenfold step: 0 costs the same however many there are, 1 grows with them.",
        "",
        "![Cost against the number of meters and of rows](scale.svg)",
        "",
        "| meters in one process | start, s (CPU) | a quarter hour, s (CPU) | KiB a meter but the first |",
        "| --- | --- | --- | --- |",
    ]
    for row in zip(*(fleet[key] for key in COLUMNS_OF_FLEETS), strict=True):
        kib = "" if row[0] == 1 else f"{row[5]:.1f}"
        lines.append(f"| {row[0]:,} | {row[1]:.2f} ({row[2]:.2f}) | {row[3]:.3f} ({row[4]:.3f}) | {kib} |")
    lines += [
        (
            f"| slope | {slope(fleet['meters'], fleet['start_cpu_s']):.2f} |"
            f" {slope(fleet['meters'], fleet['fire_cpu_s']):.2f} |  |"
        ),
        f"| due at 10,000 | {DUE['start_cpu_s']:g} | {DUE['fire_cpu_s']:g} | {DUE['memory_kib']:g} |",
        "",
        (
            f"While the {fleet['meters'][-1]:,} record, {reading['read']:,} of them are read for a day over"
            f" TCP, {READERS} at a time: {reading['p50_ms']:.0f} ms in the"
        ),
        (
            f"median, {reading['p99_ms']:.0f} ms at the 99th percentile, {reading['most_ms']:.0f} ms at most,"
            " and none timed out."
        ),
        "",
        "| rows in a recorder | a day in the middle, ms | all of them, ms | a day from a fleet's store, ms |",
        "| --- | --- | --- | --- |",
    ]
    keys = ("rows", "day_ms", "all_ms", "stored_day_ms")
    for row in zip(*(depth[key] for key in keys), strict=True):
        lines.append(f"| {row[0]:,} | {row[1]:.3f} | {row[2]:.3f} | {row[3]:.3f} |")
    slopes = [f"{slope(depth['rows'], depth[key]):.2f}" for key in keys[1:]]
    lines += [
        f"| slope | {' | '.join(slopes)} |",
        "",
        "Times are from a request to its first block, at the meter's endpoint.",
        "",
        "| what | CPU seconds of a core | memory |",
        "| --- | --- | --- |",
        (
            f"| a simulated meter for a day: 96 rows of each recorder, kept |"
            f" {fleet['quarter_cpu_s'] * DAY:.4f} | {fleet['memory_kib'][-1]:.1f} KiB |"
        ),
        f"| such a day read from it, its side | {reading['server_cpu_s'] / reading['read']:.4f} |  |",
        (
            f"| collecting a million intervals, a day at a time, the client's side |"
            f" {reading['client_cpu_s'] * million:.0f} | {reading['client_memory'] / KIB / KIB:.0f} MiB |"
        ),
        "",
    ]
    return lines


def plot(fleet: dict[str, Any], depth: dict[str, Any], path: Path) -> None:
    """Draw both, log-log."""
    matplotlib = import_module("matplotlib")  # of the docs extra; without it nothing else is missing

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "scale", "font.size": 9})
    pyplot = import_module("matplotlib.pyplot")

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for axes, x, curves, label in (
        (
            left,
            "meters",
            (("start_cpu_s", "start, CPU s"), ("fire_cpu_s", "all record, CPU s")),
            "meters in one process",
        ),
        (
            right,
            "rows",
            (
                ("day_ms", "a day in the middle, ms"),
                ("all_ms", "all, ms"),
                ("stored_day_ms", "a day from a fleet's store, ms"),
            ),
            "rows in a recorder, first block",
        ),
    ):
        data = fleet if x == "meters" else depth
        for key, name in curves:
            axes.loglog(
                data[x], data[key], marker="o", label=f"{name} (slope {slope(data[x], data[key]):.2f})"
            )
        axes.set_xlabel(label)
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="an SVG; needs matplotlib")
    parser.add_argument("--most", type=int, default=METERS[-1], help="meters of the largest fleet")
    parser.add_argument("--runs", help=argparse.SUPPRESS)  # as the other programs here; this measures once
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--days", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(serve(options.serve, options.days))
        return
    fleet = fleets(options.most)  # first: what the rows leave in memory is not the client's
    depth = depths(ROWS[-1])
    lines = page(fleet, depth)
    print("\n".join(lines))
    if options.plot is not None:
        plot(fleet, depth, options.plot)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"bench": "scale", "results": [], "page": lines, "fleet": fleet, "depth": depth}
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    reached = {
        # Of CPU: the seconds of a core. Wall time is that as well where nobody else has the core.
        "start_cpu_s": fleet["start_cpu_s"][-1],
        "fire_cpu_s": fleet["fire_cpu_s"][-1],
        "memory_kib": fleet["memory_kib"][-1],
        "first_ms": max(depth["day_ms"] + depth["all_ms"] + depth["stored_day_ms"]),
    }
    missed = [f"{name}: {reached[name]:.3g}, due {due:g}" for name, due in DUE.items() if reached[name] > due]
    if missed:
        sys.exit(f"targets missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
