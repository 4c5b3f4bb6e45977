"""What counts as lost since the baseline of bench/, and the words of the Makefile that take and check it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from bench import report

ROOT = Path(__file__).parents[1]

STEADY, SWINGING, WILD = [98.0, 100.0, 104.0], [60.0, 100.0, 118.0], [45.0, 100.0, 110.0]
AGAINST = [  # (runs of the baseline, what is measured now, whether it is lost): a ratio to a peer
    (STEADY, [81.0], False),
    (STEADY, [79.0], True),
    (STEADY, [70.0, 69.0, 71.0], True),
    (STEADY, [70.0, 69.0, 97.0], False),  # an hour passed
    ([79.0, 100.0, 101.0], [70.0], True),  # 30 % less, though a run was 21 % below the median
    (SWINGING, [61.0], False),  # as was seen of the same code
    (SWINGING, [55.0], False),  # not 10 % worse than that
    (SWINGING, [53.0], True),
    (SWINGING, [30.0, 53.0, 50.0], True),
    (WILD, [1.0], False),  # tells of the machine alone
    ([100.0], [79.0], True),  # one run: nothing is known of how it swings
    ([98.0, 100.0, 160.0], [81.0], False),  # one sharp hour is not what it is held to
]


@pytest.mark.parametrize(("runs", "now", "is_lost"), AGAINST)
@pytest.mark.parametrize("kind", ["peer", "floor"])
def test_what_counts_as_lost(kind: str, runs: list[float], now: list[float], is_lost: bool) -> None:
    if kind == "floor":  # of which less is better
        runs, now = [100 / value for value in runs], [100 / value for value in now]
    baseline = report.kept({"codec: a": {kind: runs}})
    lost = report.losses({"codec: a": {kind: now}}, baseline)
    assert len(lost) == is_lost
    assert bool(report.swinging(baseline)) == (max(runs) > 2 * min(runs))


def test_a_loss_tells_what_it_was_and_what_it_is() -> None:
    kept = report.kept({"codec: a": {"peer": [84.51, 80.0, 90.0], "floor": [1.0]}})
    assert report.losses({"codec: a": {"peer": [60.0, 63.25], "floor": [1.26]}}, kept) == [
        "codec: a: 63.25 times as fast as the fastest peer, the best of 2; it was 84.5 (80.0-90.0) in 3 runs",
        "codec: a: 1.26 times the floor, the best of 1; it was 1.00 (1.00-1.00) in 1 runs",
    ]


Reported: TypeAlias = Callable[..., tuple[object, str, list[str]]]
Made: TypeAlias = Callable[..., tuple[int, str, str]]


def example(bench: str = "codec", **results: tuple[float | None, float | None]) -> dict[str, Any]:
    """Return what a program writes: its results, each with a ratio to a peer and one to a floor, if any."""

    def ratio(value: float | None) -> dict[str, float] | None:
        # Rounds far apart: the runs tell how the ratio swings.
        return None if value is None else {"median": value, "low": value / 3, "high": value * 3}

    found = [
        {"name": name, "to_peer": ratio(peer), "to_floor": ratio(floor)}
        for name, (peer, floor) in results.items()
    ]
    return {"bench": bench, "results": found}


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Reported:
    """Return a function that runs bench.report with results: its status, stdout, and lines of stderr."""
    monkeypatch.setattr(report, "BASELINE", tmp_path / "baseline.json")

    def run(what: str, *results: dict[str, Any]) -> tuple[object, str, list[str]]:
        files = [tmp_path / f"{number}.json" for number in range(len(results))]
        for file, result in zip(files, results, strict=True):
            file.write_text(json.dumps(result))
        monkeypatch.setattr(sys, "argv", ["report", what, *map(str, files)])
        status: object = 0
        try:
            report.main()
        except SystemExit as ended:
            status = ended.code
        told_of = capsys.readouterr()
        return status, told_of.out, told_of.err.splitlines()

    return run


def test_a_baseline_has_how_far_its_runs_were_apart(reported: Reported, tmp_path: Path) -> None:
    runs = [example(rows=(40.0, 1.5)), example(rows=(90.0, 1.1), few=(None, None)), example(rows=(80.0, 1.2))]
    status, out, told_of = reported("baseline", *runs, example("line", month=(None, 1.00449)))
    assert (status, out) == (0, "")
    assert told_of[1:] == ["  codec: rows: 80.0 (40.0-90.0) in 3 runs, times as fast as the fastest peer"]
    assert json.loads((tmp_path / "baseline.json").read_text()) == {
        "codec: rows": {
            "floor": {"median": 1.2, "low": 1.1, "high": 1.5, "runs": 3, "held": True},
            "peer": {"median": 80, "low": 40, "high": 90, "runs": 3, "held": False},
        },
        "line: month": {"floor": {"median": 1.004, "low": 1.004, "high": 1.004, "runs": 1, "held": True}},
    }


def test_a_check(reported: Reported) -> None:
    reported(
        "baseline", example(rows=(40.0, 1.0), wild=(50.0, None)), example(rows=(41.0, 1.1), wild=(5.0, None))
    )
    same = example(rows=(39.0, 1.2), wild=(1.0, None))
    assert reported("check", same) == (0, "", ["of 2 ratios none is lost; 1 swing too much to tell"])
    # One that is lost is worth another look; the best of all looks counts.
    slow = example(rows=(20.0, 1.0), wild=(9.0, None))
    status, again, told_of = reported("check", slow, example("line", month=(None, 1.0)))
    assert (status, again) == (1, "codec\n")
    assert told_of[0] == "worse than bench/baseline.json allows:"
    assert told_of[1].startswith(
        "  codec: rows: 20 times as fast as the fastest peer, the best of 1; it was 40.5 ("
    )
    assert told_of[2:] == ["new since bench/baseline.json:", "  line: month: times the floor"]
    assert reported("check", slow, same)[:2] == (0, "")
    # One that is gone is not, even where it was not held against anybody.
    for less, what in (
        (example(rows=(40.0, None), wild=(9.0, None)), "rows: times the floor"),
        (example(rows=(40.0, 1.0)), "wild: times as fast as the fastest peer"),
    ):
        status, again, told_of = reported("check", less)
        assert (status, again, told_of[1:]) == (1, "", [f"  codec: {what}"])
        assert told_of[0].startswith("gone since bench/baseline.json")


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", '{"a": 1}', '{"a": {"peer": 0.86}}', '{"a": {"peer": {}}}']
)
def test_a_check_against_no_baseline(text: str | None, reported: Reported, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "baseline.json").write_text(text)
    said = "there is no valid bench/baseline.json: take one by `make bench-baseline`"
    assert reported("check")[0] == reported("check", example(rows=(40.0, 1.0)))[0] == said
    assert reported("baseline")[0] == 2, "of no files"
    assert reported("baseline", example(rows=(None, None)))[0] != 0
    assert reported("check")[0] == said
    assert reported("baseline", example(rows=(40.0, 1.0)))[0] == 0
    assert reported("check") == (0, "", [])


STANDS_FOR_PYTHON = """\
import json, sys
from pathlib import Path

sys.path.insert(0, {root!r})
from bench import report

module, arguments = sys.argv[2], sys.argv[3:]
if module == "bench.report":
    report.BASELINE = Path("baseline.json")
    sys.argv[1:] = arguments
    report.main()
else:
    with open("asked", "a+") as asked:
        asked.seek(0)
        turn = asked.read().split().count(module)
        asked.write(module + " ")
    ratio = json.loads(Path("ratios.json").read_text())[module][turn]
    file = Path(arguments[arguments.index("--json") + 1])
    file.parent.mkdir(parents=True, exist_ok=True)
    if ratio == "interrupted":
        file.write_text("{{")
        sys.exit(1)
    result = {{"name": "work", "to_peer": {{"median": ratio}}, "to_floor": None}}
    file.write_text(json.dumps({{"bench": module[6:], "results": [result] if ratio else []}}))
    sys.exit(3 if ratio == 3 else 0)
"""


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return a function that runs a word of the Makefile over two programs whose ratios it is given.

    It returns the status, which programs were run, and stderr.
    """
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    (tmp_path / "python.py").write_text(STANDS_FOR_PYTHON.format(root=str(ROOT)))
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    def run(word: str, **of: list[object]) -> tuple[int, str, str]:
        (tmp_path / "ratios.json").write_text(json.dumps({f"bench.{name}": it for name, it in of.items()}))
        (tmp_path / "asked").unlink(missing_ok=True)
        python = f"PYTHON={sys.executable} {tmp_path / 'python.py'}"
        command = ["make", "-f", str(ROOT / "Makefile"), word, python, "BENCHES=codec line", "RUNS=2"]
        done = subprocess.run(
            command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=60, check=False
        )
        asked = tmp_path / "asked"
        text = asked.read_text().replace("bench.", "").rstrip() if asked.is_file() else ""
        return done.returncode, text, done.stderr

    return run


def test_a_baseline_goes_on_where_it_was_interrupted(made: Made, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    status, asked, _ = made("bench-baseline", codec=[10, 12], line=["interrupted"])
    assert (status, asked, baseline.is_file()) == (2, "codec line", False)
    status, asked, _ = made("bench-baseline", codec=[12], line=[3, 4])  # 3: a target was missed as well
    assert (status, asked) == (0, "line codec line")
    kept = json.loads(baseline.read_text())
    assert [(it["peer"]["low"], it["peer"]["high"]) for it in kept.values()] == [(10, 12), (3, 4)]


def test_a_check_measures_again_what_is_lost(made: Made) -> None:
    status, asked, told_of = made("bench-check")
    assert (status, asked) == (2, ""), "nothing is measured where there is nothing to compare with"
    assert "take one by `make bench-baseline`" in told_of
    made("bench-baseline", codec=[10, 11], line=[3, 3])
    assert made("bench-check", codec=[10], line=[3])[:2] == (0, "codec line")
    assert made("bench-check", codec=[7, 6, 10], line=[3])[:2] == (0, "codec line codec codec")
    status, asked, told_of = made("bench-check", codec=[10], line=[2, 1.9, 1.8])
    assert (status, asked) == (2, "codec line line line")
    assert (
        "line: work: 2 times as fast as the fastest peer, the best of 3; it was 3.00 (3.00-3.00)" in told_of
    )
    assert made("bench-check", codec=[7, 10], line=[0])[:2] == (2, "codec line codec"), "gone is gone"
    assert made("bench-check", codec=[10], line=["interrupted"])[:2] == (2, "codec line")
