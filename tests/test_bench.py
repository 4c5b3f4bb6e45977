"""The bench programs' own arithmetic: ratios, what counts as lost, and the page that tells them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bench import report
from bench.harness import Bench, Ratio, timed

ROOT = Path(__file__).parents[1]


def told(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Bench:
    monkeypatch.setattr(sys, "argv", ["bench", "--no-peers", *arguments])
    return Bench("example", "what it does", runs=3)


def test_a_comparison_of_known_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = told(monkeypatch, "--json", str(tmp_path / "a" / "example.json"))
    own = iter((0.5, 1.0, 2.0))
    found = bench.compare(
        "work", amount=100, unit="rows", ours=lambda: next(own), floor=lambda: 0.5, least=10, most=2,
        peers={"slow 1.0": lambda: 30.0, "quick 2.0": lambda: 10.0},
    )  # fmt: skip
    assert found is not None
    assert (found.rate, found.rates) == (100, {"slow 1.0": 100 / 30, "quick 2.0": 10})
    assert (found.peer, found.to_peer) == ("quick 2.0", Ratio(10, 5, 20))
    assert (found.to_floor, found.floor_rate) == (Ratio(2, 1, 4), 200)
    assert not found.misses
    bench.finish()
    written = json.loads((tmp_path / "a" / "example.json").read_text())
    assert written["bench"] == "example"
    page = report.page([written])
    row = (
        "| work | 100 rows | quick 10 | 10.0 (5.0-20.0), due 10 | floor 200 | 2.00 (1.00-4.00), due at most 2"
    )
    assert f"{row} |" in page.splitlines()
    assert "Peers: quick 2.0, slow 1.0." in page
    assert report.ratios([written]) == {"example: work": {}}, "they range from 5 to 20, and from 1 to 4"
    written["results"][0]["to_peer"].update(low=8, high=16)
    written["results"][0]["to_floor"].update(low=1.5, high=3)
    assert report.ratios([written]) == {"example: work": {"peer": 10, "floor": 2}}
    assert "MISSED" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("least", "most", "least_rate"), [(11, None, None), (None, 0.9, None), (None, None, 101)]
)
def test_a_target_that_is_missed_is_measured_again_and_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    least: float | None,
    most: float | None,
    least_rate: float | None,
) -> None:
    bench = told(monkeypatch)
    turns: list[float] = []

    def ours() -> float:
        turns.append(1.0)
        return 1.0

    found = bench.compare(
        "work", amount=100, unit="rows", ours=ours, peers={"peer": lambda: 10.0}, floor=lambda: 1.0,
        least=least, most=most, least_rate=least_rate,
    )  # fmt: skip
    assert found is not None
    assert found.misses
    assert len(turns) == 9
    with pytest.raises(SystemExit) as ended:
        bench.finish()
    assert ended.value.code == 3
    told_of = capsys.readouterr()
    assert "MISSED" in told_of.out
    assert "targets missed: work" in told_of.err


def test_the_page_has_what_each_program_says_of_itself() -> None:
    text = report.page([{"bench": "sessions", "results": []}])
    assert "Time is that of the busier of the two processes" in text
    assert "python -m bench.sessions" not in text
    assert report.about("none of ours") == []


def test_only_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = told(monkeypatch, "--only", "row")
    assert bench.compare("columns", amount=1, unit="rows", ours=lambda: 1.0) is None
    assert bench.compare("rows", amount=1, unit="rows", ours=lambda: 1.0) is not None


def test_short_work_is_repeated() -> None:
    runs = []
    seconds = timed(lambda: runs.append(sum(range(1000))))()
    assert 0 < seconds < 0.01
    assert len(runs) > 10


def test_what_counts_as_lost() -> None:
    kept = {"a": {"peer": 10.0, "floor": 1.0}, "b": {"peer": 5.0}}
    assert report.losses({"a": {"peer": 8.1, "floor": 1.24}, "b": {}}, kept) == []
    lost = report.losses({"a": {"peer": 7.9, "floor": 1.26}, "b": {"peer": 1.0}}, kept)
    assert [line.partition(":")[0] for line in lost] == ["a", "a", "b"]
    twice = report.merged([{"a": {"peer": 7.0, "floor": 2.0}}, {"a": {"peer": 9.0, "floor": 3.0}}])
    assert twice == {"a": {"peer": 9.0, "floor": 2.0}}


def test_the_page_tells_of_all_that_the_baseline_keeps() -> None:
    baseline = json.loads((ROOT / "bench" / "baseline.json").read_text("utf-8"))
    page = (ROOT / "docs" / "performance.md").read_text("utf-8").splitlines()
    assert len(baseline) > 40
    for name in baseline:
        program, _, what = name.partition(": ")
        assert f"## bench.{program}" in page
        assert [line for line in page if line.startswith(f"| {what} |")], name
