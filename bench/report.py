"""Results of the programs here: the page docs/performance.md, the baseline of ratios, the check against it.

python -m bench.report page FILE...          writes docs/performance.md
python -m bench.report baseline FILE...      writes bench/baseline.json, of several runs of each program
python -m bench.report check FILE...         fails where a ratio is lost, or gone since the baseline
python -m bench.report check                 fails where there is no baseline to check against

Where `check` fails, it tells why on stderr, and on stdout which programs are worth measuring again.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
BASELINE: Final = Path(__file__).with_name("baseline.json")
LOSS: Final = 0.2  # of the median that may be lost
# Of the worst run of the baseline: now and then the next one is worse than all before, by a little. A loss of
# 30 % is still seen wherever that run came within 22 % of the median.
MARGIN: Final = 0.1
KINDS: Final = {"peer": "times as fast as the fastest peer", "floor": "times the floor"}
INTRODUCTION: Final = """\
# Performance

How fast iondlms is beside programs by others, and beside what the machine allows. `make bench` measures,
prints and writes this page; do not edit it. Rates depend on the machine and its mood. Ratios much less: in
each round every contender has its turn, and a ratio is the median of the rounds' ratios, with their range.

- **times as fast** compares with the fastest of gurux-dlms, dlms-cosem and pydlms-client on the same octets,
  or the same meters. Each runs in a process of its own (`make peers`), at its best; all are checked to have
  read the same.
- **of the floor** is how many times the seconds of the *floor* we take: the same octets by `struct`, `array`,
  `datetime` or NumPy, written for this one shape of row; a line that does nothing but carry them; the check
  sequences alone. Below 1 we are faster than that.
- **due** is what we hold ourselves to.

`make bench-check` fails where a ratio is lost since the committed `bench/baseline.json`, which has the median
of several runs, the lowest and the highest. Lost is what, at the best of up to three measurements, is more
than 20 % worse than the median and more than 10 % worse than the worst run. Worse is slower: 20 % are 0.8
times as fast as a peer, or 1.25 times of the floor. Where the runs lie more than a factor of two apart they
tell of the machine's other work: such a ratio is listed, and not held against anybody.
"""

Ratios: TypeAlias = dict[str, dict[str, list[float]]]  # by program and name, by kind: one of each run


@dataclass(frozen=True, slots=True)
class Kept:
    """A ratio of the baseline: the median of its runs, and how far these lie apart."""

    median: float
    low: float
    high: float
    runs: int
    held: bool  # not where more than a factor of two is between them: they tell of the machine's other work

    @classmethod
    def of(cls, runs: list[float]) -> Kept:
        low, high = min(runs), max(runs)
        median = round(statistics.median(runs), 3)
        return cls(median, round(low, 3), round(high, 3), len(runs), high <= 2 * low)

    def loses(self, kind: str, now: float) -> bool:
        """Whether it is worse by more than LOSS than the median, and by more than MARGIN than the worst."""
        if kind == "peer":
            return self.held and now < min(self.median * (1 - LOSS), self.low * (1 - MARGIN))
        return self.held and now > max(self.median / (1 - LOSS), self.high / (1 - MARGIN))

    def __str__(self) -> str:
        return f"{shown(asdict(self), None, '')} in {self.runs} runs"


Baseline: TypeAlias = dict[str, dict[str, Kept]]


def machine() -> str:
    """Return what was measured on, without names."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text("utf-8").splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    numpy = f", NumPy {version('numpy')}" if importlib.util.find_spec("numpy") else ""
    return (
        f"Measured on {os.cpu_count()} cores ({model}), {platform.system()},"
        f" {platform.python_implementation()} {platform.python_version()}{numpy},"
        f" iondlms {version('iondlms')}, while other programs ran as well."
    )


def shown(ratio: dict[str, float] | None, due: float | None, sign: str) -> str:
    """Return a ratio with its range and its target."""
    if ratio is None:
        return ""
    digits = 0 if ratio["median"] >= 100 else 1 if ratio["median"] >= 10 else 2
    text = f"{ratio['median']:.{digits}f} ({ratio['low']:.{digits}f}-{ratio['high']:.{digits}f})"
    return text if due is None else f"{text}, due {sign}{due:.3g}"


def rate(value: float | None) -> str:
    """Return a rate with three digits that count."""
    if value is None:
        return ""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g}"


def about(name: str) -> list[str]:
    """Return what a program says of itself, but how it is called."""
    file = Path(__file__).with_name(f"{name}.py")
    said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) if file.is_file() else None
    lines = [line for line in (said or "").splitlines() if not line.startswith("    ")]
    return [*"\n".join(lines).strip().splitlines(), ""] if lines else []


def page(reports: list[dict[str, Any]]) -> str:
    """Return the page."""
    lines = [INTRODUCTION, machine(), ""]
    peers = sorted({name for report in reports for result in report["results"] for name in result["rates"]})
    if any(" " in name for name in peers):
        lines += [f"Peers: {', '.join(name for name in peers if ' ' in name)}.", ""]
    for report in reports:
        lines += [f"## bench.{report['bench']}", "", *about(report["bench"])]
        if "page" in report:  # of a program that compares with nobody, and tells it in its own words
            lines += report["page"]
            continue
        lines += ["| what | a second | fastest peer | times as fast | floor | of the floor |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for result in report["results"]:
            peer = (
                ""
                if result["peer"] is None
                else f"{result['peer'].split()[0]} {rate(result['rates'][result['peer']])}"
            )
            floor = "" if result["floor"] is None else f"{result['floor']} {rate(result['floor_rate'])}"
            due = "" if result["least_rate"] is None else f", due {rate(result['least_rate'])}"
            lines.append(
                f"| {result['name']} | {rate(result['rate'])} {result['unit']}{due} | {peer}"
                f" | {shown(result['to_peer'], result['least'], '')} | {floor}"
                f" | {shown(result['to_floor'], result['most'], 'at most ')} |"
            )
        lines.append("")
    return "\n".join(lines)


def ratios(reports: list[dict[str, Any]]) -> Ratios:
    """Return the median of each run's rounds; `peer` should be high, `floor` low."""
    found: Ratios = {}
    for report in reports:
        for result in report["results"]:
            for kind in KINDS:
                if (ratio := result[f"to_{kind}"]) is not None:
                    runs = found.setdefault(f"{report['bench']}: {result['name']}", {}).setdefault(kind, [])
                    runs.append(ratio["median"])
    return found


def kept(found: Ratios) -> Baseline:
    """Return the baseline of these runs."""
    return {name: {kind: Kept.of(runs) for kind, runs in kinds.items()} for name, kinds in found.items()}


def read() -> Baseline:
    """Return the committed baseline; where there is none to check against, end the program."""
    try:
        entries = json.loads(BASELINE.read_text("utf-8")).items()
        found = {name: {kind: Kept(**it) for kind, it in kinds.items()} for name, kinds in entries}
    except (OSError, ValueError, AttributeError, TypeError):
        found = {}
    if not found:
        sys.exit("there is no valid bench/baseline.json: take one by `make bench-baseline`")
    return found


def swinging(baseline: Baseline) -> list[str]:
    """Return what is not held against anybody, a line each."""
    return [
        f"{name}: {ratio}, {KINDS[kind]}"
        for name, kinds in baseline.items()
        for kind, ratio in kinds.items()
        if not ratio.held
    ]


def losses(found: Ratios, baseline: Baseline) -> list[str]:
    """Return what is lost, a line each that begins with the program."""
    lost = []
    for name, kinds in baseline.items():
        for kind, ratio in kinds.items():
            if not (runs := found.get(name, {}).get(kind)):
                continue  # gone, and told as that
            best = max(runs) if kind == "peer" else min(runs)
            if ratio.loses(kind, best):
                lost.append(f"{name}: {best:.4g} {KINDS[kind]}, the best of {len(runs)}; it was {ratio}")
    return lost


def only(these: Mapping[str, Iterable[str]], those: Mapping[str, Iterable[str]]) -> list[str]:
    """Return what these have and those do not, a line each."""
    return [
        f"{name}: {KINDS[kind]}"
        for name, kinds in these.items()
        for kind in kinds
        if kind not in those.get(name, ())
    ]


def tell(what: str, lines: list[str]) -> None:
    """Print lines to who looks on, if there are any."""
    if lines:
        print("\n  ".join([f"{what}:", *lines]), file=sys.stderr)


def check(found: Ratios, baseline: Baseline) -> None:
    """Tell what is lost or gone, and end the program with 1 if anything is."""
    lost, gone = losses(found, baseline), only(baseline, found)
    tell("worse than bench/baseline.json allows", lost)
    tell("gone since bench/baseline.json (what compares with peers needs `make peers`)", gone)
    tell("new since bench/baseline.json", only(found, baseline))
    if lost:
        print(*sorted({line.partition(":")[0] for line in lost}))
    if lost or gone:
        sys.exit(1)
    held = [ratio.held for kinds in baseline.values() for ratio in kinds.values()]
    print(f"of {sum(held)} ratios none is lost; {held.count(False)} swing too much to tell", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("page", "baseline", "check"))
    parser.add_argument("files", type=Path, nargs="*", help="written by --json of the programs")
    arguments = parser.parse_args()
    if not arguments.files and arguments.what != "check":
        parser.error("of which files?")
    reports = [json.loads(file.read_text("utf-8")) for file in sorted(arguments.files)]
    if arguments.what == "page":
        PAGE.write_text(page(reports), "utf-8")
    elif arguments.what == "baseline":
        baseline = kept(ratios(reports))
        if not baseline:
            sys.exit("there is no ratio in these files: bench/baseline.json stays as it is")
        BASELINE.write_text(json.dumps(baseline, indent=1, sort_keys=True, default=asdict) + "\n", "utf-8")
        tell("not held against anybody, for the runs lie more than a factor of two apart", swinging(baseline))
    else:
        baseline = read()
        if reports:
            check(ratios(reports), baseline)


if __name__ == "__main__":
    main()
