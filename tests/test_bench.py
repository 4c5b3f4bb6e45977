"""The bench programs' own arithmetic: ratios, the page, and what is asked of peers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import frames, harness, report, sessions
from bench.harness import Bench, PeerProgram, Ratio, timed
from bench.peers import answer
from bench.serving import Server
from tests.interop.running import peers_python

from iondlms.hdlc import Frame

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
    assert report.ratios([written, written]) == {"example: work": {"peer": [10, 10], "floor": [2, 2]}}
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
    assert "Time is that of the busier of the two on its core" in text
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


def test_the_page_tells_of_all_that_the_baseline_keeps() -> None:
    baseline = report.read()
    page = (ROOT / "docs" / "performance.md").read_text("utf-8").splitlines()
    assert len(baseline) > 40
    for name in baseline:
        program, _, what = name.partition(": ")
        assert f"## bench.{program}" in page
        assert [line for line in page if line.startswith(f"| {what} |")], name


# --- what is asked of programs by others ------------------------------------------------------------


def asked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prepare: answer.Prepare,
    *questions: dict[str, str],
) -> list[dict[str, Any]]:
    """Return what the loop of a peer program answers; pytest is the peer."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    answer.answer("pytest", prepare)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_loop_of_a_peer_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared: list[Path] = []

    def prepare(file: Path) -> answer.Works:
        prepared.append(file)
        # Libraries print now and then: that is no answer.
        return {"work": lambda: print("noise", sum(range(10_000))), "check": lambda: {"rows": 3}}

    name, check, work, unknown = asked(
        monkeypatch, capsys, prepare, {}, {"work": "check", "file": "a"}, {"work": "work", "file": "a"},
        {"work": "other", "file": "a"},
    )  # fmt: skip
    assert name == {"peer": f"pytest {pytest.__version__}"}
    assert check == {"rows": 3}
    assert work["runs"] > 1
    assert 0.5 * answer.SHORTEST < work["seconds"] * work["runs"] < 50 * answer.SHORTEST
    assert unknown == {"error": "KeyError: 'other'"}
    assert prepared == [Path("a")]


def test_works_on_a_buffer(tmp_path: Path) -> None:
    file = tmp_path / "buffer"
    file.write_bytes(bytes((1, 2, 3)))

    def typed(octets: bytes) -> list[Any]:
        return [(datetime.fromtimestamp(octet, UTC), octet) for octet in octets]

    works = answer.buffer_works(lambda octets: [[b"", it] for it in octets], typed, lambda rows: b"")(file)
    assert works["check"]() == {"rows": 3, "checksum": 6, "instants": 6, "round_trip": False}
    assert works["plain"]() == [[b"", 1], [b"", 2], [b"", 3]]
    assert works["typed"]()[2][1] == 3
    assert works["encode"]() == b""


def ours(control: int, information: bytes) -> bytes:
    return Frame(frames.CLIENT, frames.SERVER, control, information).encode()


def read_by_us(octets: bytes) -> tuple[int, bytes]:
    frame = Frame.decode(octets)
    return frame.control, frame.information


class InOneProcess(PeerProgram):
    """A peer program of one kind of works, without the process."""

    def __init__(self, prepare: answer.Prepare) -> None:
        self.name = "peer 1.0"
        self.prepare = prepare

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            told: dict[str, Any] = self.prepare(Path(question["file"]))[question["work"]]()
        except ValueError as error:
            raise RuntimeError(str(error)) from error
        return told


@pytest.mark.parametrize("kind", frames.FIELDS)
def test_who_builds_and_reads_frames_as_we_do(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = frames.FIELDS[kind]
    calls: list[object] = []

    def able(
        build: Callable[[int, bytes], bytes], parse: Callable[[bytes], tuple[int, bytes]]
    ) -> list[PeerProgram]:
        peer = InOneProcess(answer.frame_works(build, parse))
        return frames.able([peer], tmp_path / kind, fields)

    def cannot(octets: bytes) -> tuple[int, bytes]:
        raise ValueError("no such frame")

    (peer,) = able(ours, read_by_us)
    assert able(ours, cannot) == []
    assert "peer 1.0 is left out: no such frame" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"peer 1\.0 makes .* of what we make"):
        able(lambda control, information: b"", read_by_us)
    with pytest.raises(SystemExit):
        able(ours, lambda octets: (0, b""))

    # Each frame is built, and each is read, in every run of the works.
    def built(control: int, information: bytes) -> bytes:
        calls.append((control, information))
        return b""

    def parsed(octets: bytes) -> tuple[int, bytes]:
        calls.append(octets)
        return 0, b""

    works = answer.frame_works(built, parsed)(tmp_path / kind)
    works["build"]()
    works["parse"]()
    assert calls == [*fields, *[ours(*each) for each in fields]]
    assert peer.name == "peer 1.0"


def test_seconds_of_a_peer_are_for_as_many_frames_as_ours() -> None:
    assert frames.scaled(lambda: 0.5, frames.FRAMES // 4)() == 2


class Meters:
    """Stands for clients and meters: each session is noted, and gives rows from `start` on."""

    def __init__(self, rows: int = sessions.ROWS, zone: Any = UTC) -> None:
        self.rows, self.zone = rows, zone
        self.ports: list[int] = []

    @contextmanager
    def connected(self, options: Namespace) -> Iterator[int]:
        assert (options.framing, options.client, options.server_physical) == ("hdlc", 16, 100)
        self.ports.append(options.port)
        yield options.port

    def clock(self, session: int) -> datetime:
        return datetime.now(UTC).replace(tzinfo=self.zone)

    def read(self, session: int, start: datetime, end: datetime) -> list[Any]:
        assert end - start == timedelta(days=1) - timedelta(minutes=15)
        quarters = [start + timedelta(minutes=15 * row) for row in range(self.rows)]
        return [(instant.replace(tzinfo=self.zone), 1) for instant in quarters]

    def prepare(self, file: Path) -> answer.Works:
        return answer.session_works(self.connected, self.clock, self.read)(file)


class Served(Server):
    """Ports, and a second of CPU each time somebody asks."""

    def __init__(self) -> None:
        self.ports = [4059, 4060]
        self.spent = 0.0

    def cpu_s(self) -> float:
        self.spent += 1.0
        return self.spent


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("zone", [UTC, None], ids=["aware", "naive: as sent in UTC"])
def test_sessions_of_a_peer(rows: bool, zone: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    meters = Meters(zone=zone)
    peer, file = InOneProcess(meters.prepare), tmp_path / "asked"
    found = sessions.others([peer], Served(), 400, file, rows=rows)
    assert meters.ports == [4059], "one session, as a check"
    meters.prepare(file)["sessions"]()
    assert meters.ports[1:] == [4059, 4060] * (sessions.PEERS_TIMES // 2)
    # The busier of the two: the server with a second for two runs, or the peer with its own.
    for seconds, busier in ((0.25, 0.5), (0.75, 0.75)):
        monkeypatch.setattr(peer, "turn", lambda work, file, seconds=seconds: (seconds, 2))
        assert found["peer 1.0"]() == busier / sessions.PEERS_TIMES * 400


def test_a_peer_with_other_rows_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer = InOneProcess(Meters(rows=95).prepare)
    assert sessions.others([peer], Served(), 400, tmp_path / "asked", rows=True) == {}
    assert "peer 1.0 is left out: 95 rows of 96 were read" in capsys.readouterr().err


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[PeerProgram]]]:
    monkeypatch.setattr(harness, "PEERS_PYTHON", peers_python())
    with ExitStack() as stack:
        yield lambda *programs: [stack.enter_context(closing(PeerProgram(it))) for it in programs]


@pytest.mark.interop
def test_peers_do_the_same_frames(peers: Callable[..., list[PeerProgram]], tmp_path: Path) -> None:
    programs = peers(*frames.PEERS)
    for kind, fields in frames.FIELDS.items():
        assert frames.able(programs, tmp_path / kind, fields) == programs
    for program in programs:
        seconds, runs = program.turn("parse", tmp_path / "I")
        assert seconds > 0
        assert runs >= 1


@pytest.mark.interop
def test_peers_read_the_same_meters(peers: Callable[..., list[PeerProgram]], tmp_path: Path) -> None:
    programs = peers(*sessions.PEERS)
    served = Server("meters", 2, "asyncio", "300", "port.ETHERNET.framing=hdlc")
    with served._process, closing(served):
        for rows in (False, True):
            found = sessions.others(programs, served, 2, tmp_path / str(rows), rows=rows)
            assert list(found) == [program.name for program in programs]


@pytest.mark.interop
def test_the_program_of_sessions_compares_with_peers(tmp_path: Path) -> None:
    if peers_python() != harness.PEERS_PYTHON:
        pytest.skip("the program takes those of `make peers`")
    file = tmp_path / "sessions.json"
    command = [sys.executable, "-m", "bench.sessions", "--runs", "1", "--only", "session, asyncio"]
    done = subprocess.run(
        [*command, "--json", str(file)], cwd=ROOT, capture_output=True, timeout=100, check=False
    )
    assert done.returncode in (0, 3), done.stderr
    (found,) = json.loads(file.read_text("utf-8"))["results"]
    assert [name.split()[0] for name in found["rates"]] == [
        "dlms-cosem", "pydlms-client", "gurux-dlms", "gurux-dlms",
    ]  # fmt: skip
    assert found["to_peer"]["median"] > 0
