"""Results of the programs here: the page docs/performance.md, the baseline of ratios, the check against it.

python -m bench.report page FILE...          writes docs/performance.md
python -m bench.report baseline FILE...      writes bench/baseline.json
python -m bench.report check FILE...         fails where a ratio is more than 20 % worse than the baseline
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
BASELINE: Final = Path(__file__).with_name("baseline.json")
LOSS: Final = 0.2
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
- **due** is what we hold ourselves to. `make bench-check` fails where a ratio is more than 20 % worse than
  the committed `bench/baseline.json`, measured twice.
"""


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


def merged(reports: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the better ratio where something was measured more than once."""
    best: dict[str, dict[str, float]] = {}
    for report in reports:
        for name, found in report.items():
            kept = best.setdefault(name, {})
            for kind, better in (("peer", max), ("floor", min)):
                if kind in found:
                    kept[kind] = better(found[kind], kept.get(kind, found[kind]))
    return best


def ratios(reports: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the ratios by program and name; `peer` should be high, `floor` low.

    Without those whose rounds differ by more than a factor of two: they tell of the machine's other work.
    """
    return {
        f"{report['bench']}: {result['name']}": {
            name: round(result[key]["median"], 3)
            for name, key in (("peer", "to_peer"), ("floor", "to_floor"))
            if result[key] is not None and result[key]["high"] <= 2 * result[key]["low"]
        }
        for report in reports
        for result in report["results"]
    }


def losses(found: dict[str, dict[str, float]], baseline: dict[str, dict[str, float]]) -> list[str]:
    """Return what is worse than the baseline allows, a line each."""
    lost = []
    for name, kept in baseline.items():
        now = found.get(name, {})
        if "peer" in kept and "peer" in now and now["peer"] < kept["peer"] * (1 - LOSS):
            lost.append(
                f"{name}: {now['peer']:.3g} times as fast as the fastest peer; it was {kept['peer']:.3g}"
            )
        if "floor" in kept and "floor" in now and now["floor"] * (1 - LOSS) > kept["floor"]:
            lost.append(f"{name}: {now['floor']:.3g} times the floor; it was {kept['floor']:.3g}")
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("page", "baseline", "check"))
    parser.add_argument("files", type=Path, nargs="+", help="written by --json of the programs")
    arguments = parser.parse_args()
    reports = [json.loads(file.read_text("utf-8")) for file in sorted(arguments.files)]
    if arguments.what == "page":
        PAGE.write_text(page(reports), "utf-8")
    elif arguments.what == "baseline":
        BASELINE.write_text(json.dumps(ratios(reports), indent=1, sort_keys=True) + "\n", "utf-8")
    else:
        lost = losses(
            merged([ratios([report]) for report in reports]), json.loads(BASELINE.read_text("utf-8"))
        )
        if lost:
            sys.exit("\n".join(["worse than bench/baseline.json by more than 20 %:", *lost]))
        print("no ratio is more than 20 % worse than bench/baseline.json")


if __name__ == "__main__":
    main()
