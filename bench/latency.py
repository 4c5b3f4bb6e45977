"""How long a client waits for the first octet of an answer, while the meter records and writes to its disk.

`iondlms serve` with a data folder and 3,360 rows makes a row each second; a blocking client asks it for
every attribute of every object, for a row, 96 rows and all of them, again and again over loopback.
Meanwhile `iondlms web` shows the meter, and a page of it is open in a third process: it has asked for all
that a browser asks for, stays on the stream, and asks for the last rows and the events each time the stream
says something, which a page does only where there are new ones. Told are the median and the 99th percentile
by kind of request. Due: 1 ms for all but the first block of a long range, 5 ms for that,
beyond what a bare pair waits on the same machine at the same time: where others have the cores, that is their
time and not the meter's. SNRM, AARQ and DISC are requests like all others. A SET of the clock is not: it is
durable before it is answered, so it takes what the disk takes, and nobody else waits for that.

    python -m bench.latency [--rounds 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

from bench.serving import LOOPS, Server, target

from iondlms.client import Hooks, blocking
from iondlms.errors import AccessError

ROWS = 3360
BARE = 2000  # exchanges of the floor in a round
CALLS = 20  # that ask for nothing
FLOOR = "bare pair"
# The command as it is, on the loop that it takes with the extra `fast` or without.
COMMAND = "from iondlms.cli.entry import main; main()"
ON = {"uvloop": COMMAND, "asyncio": f"import sys; sys.modules['uvloop'] = None; {COMMAND}"}
PAGE = """
import re, sys
from http.client import HTTPConnection

def asked(path):
    line = HTTPConnection(sys.argv[1])
    line.request("GET", path)
    answer = line.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    return answer

page = asked("/").read().decode()
parts = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
assert parts, "a page without scripts is not the one that a browser shows"
for part in parts:
    asked(part).read()
stream = asked("/api/stream")
while line := stream.readline():
    if line.startswith(b"data:"):
        asked("/api/rows").read()
        asked("/api/events").read()
        print(flush=True)
raise SystemExit("the stream has ended")
"""
DUE_MS = {"long range, first block": 5.0}
OTHERS_MS = 1.0


class Served:
    """`iondlms serve` and `iondlms web` in processes of their own, and an open page in another."""

    def __init__(self, folder: Path, loop: str) -> None:
        options = ["--listen", "127.0.0.1:0", "--framing", "hdlc", "--data", str(folder)]
        options += ["--history", str(ROWS), "--set", "load_profile.period=1"]
        command = [sys.executable, "-c", ON[loop], "serve", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = 0
        for line in self._process.stdout:
            if line.startswith("listening"):
                self.port = int(line.rpartition(":")[2])
            elif line == "ready\n":
                break
        if not self.port:
            raise RuntimeError(f"{command} did not start")
        panel = [sys.executable, "-c", COMMAND, "web", str(folder), "--listen", "127.0.0.1:0"]
        self._panel = subprocess.Popen(panel, stdout=subprocess.PIPE, text=True)
        assert self._panel.stdout is not None
        self.url = self._panel.stdout.readline().strip().removeprefix("listening ")
        if self._panel.stdout.readline() != "ready\n":
            raise RuntimeError(f"{panel} did not start")
        page = [sys.executable, "-c", PAGE, self.url.removeprefix("http://")]
        self._page = subprocess.Popen(page, stdout=subprocess.PIPE, text=True)
        assert self._page.stdout is not None
        if not self._page.stdout.readline():
            raise RuntimeError("the page shows nothing")
        self._drained = Thread(target=self._page.stdout.read, daemon=True)
        self._drained.start()

    def close(self) -> None:
        if self._page.poll() is not None or self._panel.poll() is not None:
            raise RuntimeError("the page was not open all the time")
        for process in (self._page, self._panel, self._process):
            process.kill()
            process.wait()


class Watch:
    """Times of questions and answers, by what is asked for."""

    def __init__(self) -> None:
        self.kind = ""
        self.first = ""  # of the kind, for its first exchange alone
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._asked = 0.0

    def octets(self, direction: str, _octets: bytes, now: float) -> None:
        if direction == "TX":
            self._asked = now
        else:
            self.seconds[self.first or self.kind].append(now - self._asked)
            self.first = ""

    def about(self, kind: str) -> None:
        self.kind = kind


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def ask(port: int, watch: Watch, rounds: int) -> None:
    for _ in range(rounds):
        watch.about("link and association")  # and their ends
        for _ in range(CALLS):
            with blocking.Client(target(port), hooks=Hooks(on_octets=watch.octets)):
                pass
        with blocking.Client(target(port), hooks=Hooks(on_octets=watch.octets)) as client:
            watch.about("further block")
            objects = client.objects()
            for item in objects:
                for attribute in item.attributes:
                    if (item.class_id, attribute) == (7, 2):
                        continue
                    watch.about("further block")
                    watch.first = "attribute"
                    with suppress(AccessError):  # a refusal is an answer too
                        client.get_raw(str(item.logical_name), attribute, item.class_id)
            now = datetime.now(UTC)
            for first, rows, last, times in (
                ("one row", None, 1, 50),
                ("96 rows, first block", 96, None, 50),
                ("long range, first block", ROWS, None, 2),
            ):
                for _ in range(times):
                    client.profile("load", last=1)  # capture objects and scalers are attributes like others
                    watch.about("further block")
                    begin = None if rows is None else now - timedelta(seconds=rows)
                    range_of(client, watch, first, begin, now if begin else None, last)


def ask_bare(port: int, watch: Watch) -> None:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(BARE):
            begin = time.monotonic()
            line.sendall(b"?" * 24)
            line.recv(4096)
            watch.seconds[FLOOR].append(time.monotonic() - begin)


def range_of(
    client: blocking.Client,
    watch: Watch,
    kind: str,
    start: datetime | None,
    end: datetime | None,
    last: int | None,
) -> None:
    """Read rows; the exchange that asks for the buffer is the one that a block or a row answers first."""
    seen = 0

    def progress(_octets: int, _rows: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:  # the exchange that has just been timed
            times = watch.seconds[watch.kind]
            watch.seconds[kind].append(times.pop())

    client.profile("load", start, end, last=last, progress=progress)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    # What the programs with peers and floors take, and this one has no use for.
    parser.add_argument("--no-peers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    missed: list[str] = []
    page = [
        "| request | loop | requests | median, ms | p99, ms | due, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for loop in LOOPS:
        watch = Watch()
        with tempfile.TemporaryDirectory(prefix="iondlms-latency-") as folder:
            served = Served(Path(folder) / "meter", loop)
            floor = Server.bare(1, loop, [(b"?" * 24, b"!" * 140)] * BARE)
            try:
                ask(served.port, Watch(), 1)  # once unmeasured: first allocations
                for _ in range(options.rounds):
                    ask(served.port, watch, 1)
                    ask_bare(floor.ports[0], watch)
            finally:
                served.close()
                floor.close()
        print(f"{loop:28}{'requests':>10}{'median ms':>12}{'p99 ms':>10}{'due ms':>9}")
        for kind, seconds in watch.seconds.items():
            median, p99 = (1000 * percentile(seconds, part) for part in (0.5, 0.99))
            due = DUE_MS.get(kind, OTHERS_MS) + 1000 * percentile(watch.seconds[FLOOR], 0.99)
            page.append(f"| {kind} | {loop} | {len(seconds):,} | {median:.3f} | {p99:.3f} | {due:.1f} |")
            print(f"  {kind:26}{len(seconds):10,}{median:12.3f}{p99:10.3f}{due:9.1f}")
            if kind != FLOOR and p99 > due:
                missed.append(f"{kind}, {loop}")
    if options.json is not None:
        report = {"bench": "latency", "results": [], "page": [*page, ""]}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if missed:
        print(f"later than due: {'; '.join(missed)}", file=sys.stderr)
        sys.exit(3)  # as of all programs here that miss a target


if __name__ == "__main__":
    main()
