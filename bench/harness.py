"""What every program here shares: contenders run in turn, medians, ranges and ratios, a table, JSON, targets.

    bench = Bench("codec", __doc__)
    bench.compare("decode a year", amount=35_040, unit="rows", ours=timed(lambda: decode_rows(octets)),
                  peers={"gurux-dlms": peer.work("plain", file)}, floor=timed(...), least=15, most=1.5)
    bench.finish()

A contender is a function that does its work once and returns the seconds that took. In each round every one
has its turn, so what the machine does to one it does to all; a ratio is the median of the rounds' ratios.
`least` is how many times as fast as the fastest peer we must be, `least_rate` how fast without one, `most`
how many times the floor's seconds we may take: the same octets with nothing but what cannot be left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

Work: TypeAlias = Callable[[], float]  # seconds of one run

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SHORTEST = 0.02  # s of a turn; shorter work is repeated, for the clock and for the caches
AGAIN = 2  # times a ratio that misses its target is measured again before it counts


def timed(work: Callable[[], object]) -> Work:
    """Return a contender: seconds of CPU of this process for one run of the work, repeated if it is short."""
    times = 0

    def run() -> float:
        nonlocal times
        if not times:  # the first two are not counted: imports, caches, first allocations
            work()
            begin = time.process_time()
            work()
            times = max(1, round(SHORTEST / max(time.process_time() - begin, 1e-6)))
        gc.collect()
        begin = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - begin) / times

    return run


class PeerProgram:
    """A program of bench/peers under the peers' own interpreter, told line by line what to do."""

    def __init__(self, program: str) -> None:
        command = [str(PEERS_PYTHON), str(ROOT / "bench" / "peers" / program)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = str(self._ask({})["peer"])

    @staticmethod
    def are_there() -> bool:
        """Whether `make peers` was run."""
        return PEERS_PYTHON.is_file()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(f"{self._process.args!r}: {answer['error']}")
        return answer

    def check(self, file: Path) -> dict[str, Any]:
        """Return what it makes of the file, to be compared with what we make of it."""
        return self._ask({"work": "check", "file": str(file)})

    def does(self, file: Path, own: Mapping[str, object]) -> bool:
        """Whether it makes of the file what we do; where it cannot do it at all, that is told, and False."""
        try:
            told = self.check(file)
        except RuntimeError as error:
            print(f"{self.name} is left out: {error}", file=sys.stderr)
            return False
        if told != own:
            raise SystemExit(f"{self.name} makes {told!s:.300} of what we make {own!s:.300} of")
        return True

    def turn(self, work: str, file: Path) -> tuple[float, int]:
        """Return the seconds of one run of one of its works on a file, and of how many that is the mean."""
        told = self._ask({"work": work, "file": str(file)})
        return float(told["seconds"]), int(told["runs"])

    def work(self, work: str, file: Path) -> Work:
        """Return a contender: one run of one of its works on a file."""
        return lambda: self.turn(work, file)[0]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(20)
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median and range of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: list[float]) -> Ratio:
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1 if self.median >= 10 else 2
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(slots=True)
class Result:
    """One comparison; rates are amounts a second, medians of the rounds."""

    name: str
    amount: int
    unit: str
    rate: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)  # of the peers
    peer: str | None = None  # the fastest
    to_peer: Ratio | None = None  # times as fast as that one
    floor: str | None = None
    floor_rate: float | None = None
    to_floor: Ratio | None = None  # times the floor's seconds
    least: float | None = None
    most: float | None = None
    least_rate: float | None = None

    @property
    def misses(self) -> bool:
        """Whether a target is missed."""
        slow = self.least_rate is not None and self.rate < self.least_rate
        short = self.least is not None and self.to_peer is not None and self.to_peer.median < self.least
        long = self.most is not None and self.to_floor is not None and self.to_floor.median > self.most
        return slow or short or long


class Bench:
    """One program's comparisons: `compare` each, then `finish`."""

    def __init__(self, name: str, description: str | None, runs: int = 7) -> None:
        """Read the command line."""
        parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--runs", type=int, default=runs, help="rounds; each contender runs once in each")
        parser.add_argument("--only", default="", metavar="TEXT", help="comparisons with this in their name")
        parser.add_argument("--no-peers", action="store_true", help="do without the programs by others")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
        self.options = parser.parse_args()
        self.name = name
        self.results: list[Result] = []
        self.peers = PeerProgram.are_there() and not self.options.no_peers
        if not self.peers and not self.options.no_peers:
            print("no .venv-peers (make peers): there are no ratios to programs by others", file=sys.stderr)

    def wants(self, name: str) -> bool:
        """Whether a comparison of this name was asked for; `compare` asks as well."""
        return self.options.only in name

    def compare(
        self,
        name: str,
        *,
        amount: int,
        unit: str,
        ours: Work,
        peers: Mapping[str, Work] | None = None,
        floor: Work | None = None,
        floor_name: str = "floor",
        least: float | None = None,
        most: float | None = None,
        least_rate: float | None = None,
        runs: int | None = None,
    ) -> Result | None:
        """Measure and print; again where a target is missed, and the best of these counts."""
        if not self.wants(name):
            return None
        rounds = self.options.runs if runs is None else min(runs, self.options.runs)
        blank = Result(name, amount, unit, floor=floor_name if floor else None)
        blank.least, blank.most, blank.least_rate = least, most, least_rate
        result = _measured(blank, ours, peers or {}, floor, rounds)
        for _ in range(AGAIN if rounds > 1 else 0):
            if not result.misses:
                break
            result = _measured(blank, ours, peers or {}, floor, rounds)
        self.results.append(result)
        _print(result)
        return result

    def finish(self) -> None:
        """Write the JSON that was asked for, and tell of the targets that were missed: exit status 3."""
        if self.options.json is not None:
            self.options.json.parent.mkdir(parents=True, exist_ok=True)
            report = {"bench": self.name, "results": [asdict(result) for result in self.results]}
            self.options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        missed = [result.name for result in self.results if result.misses]
        if missed:
            print(f"targets missed: {'; '.join(missed)}", file=sys.stderr)
            sys.exit(3)


def _measured(
    blank: Result, ours: Work, peers: Mapping[str, Work], floor: Work | None, rounds: int
) -> Result:
    seconds: dict[str, list[float]] = {name: [] for name in ("", *peers, "floor")}
    present = dict(peers)
    for _ in range(rounds):
        # The floor beside ours, since their ratio is near to one and noise counts most.
        seconds[""].append(ours())
        if floor is not None:
            seconds["floor"].append(floor())
        for name, peer in present.items():
            seconds[name].append(peer())
        # Who takes twice as long as the fastest has had its only turn: it would take most of the time.
        fastest = min((seconds[name][0] for name in present), default=0.0)
        present = {name: peer for name, peer in present.items() if seconds[name][0] < 2 * fastest}
    result = replace(blank)
    own = seconds[""]
    result.rate = blank.amount / statistics.median(own)
    result.rates = {name: blank.amount / statistics.median(seconds[name]) for name in peers}
    if peers:
        result.peer = max(result.rates, key=result.rates.__getitem__)
        result.to_peer = Ratio.of([a / b for a, b in zip(seconds[result.peer], own, strict=False)])
    if floor is not None:
        result.floor_rate = blank.amount / statistics.median(seconds["floor"])
        result.to_floor = Ratio.of([a / b for a, b in zip(own, seconds["floor"], strict=True)])
    return result


def _print(result: Result) -> None:
    needed = "" if result.least_rate is None else f"; {result.least_rate:,.0f} are due"
    print(f"{result.name:48} {result.rate:14,.0f} {result.unit}/s{needed}", flush=True)
    for name, rate in result.rates.items():
        if name == result.peer:
            needed = "" if result.least is None else f"; {result.least:g} are due"
            print(f"    {name:44} {rate:14,.0f}   we are {result.to_peer} times as fast{needed}")
        else:
            print(f"    {name:44} {rate:14,.0f}")
    if result.to_floor is not None:
        needed = "" if result.most is None else f"; {result.most:g} at most"
        name, taken = result.floor or "", f"we take {result.to_floor} times that"
        print(f"    {name:44} {result.floor_rate:14,.0f}   {taken}{needed}")
    if result.misses:
        print("    MISSED")
