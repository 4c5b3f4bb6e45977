"""The cases against `iondlms serve` as a process over TCP, and over a pseudo-terminal; the command itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.conformance.processes import (
    BOTH,
    KEPT,
    PASSWORD,
    TIMES,
    drafted,
    killed_and_started,
    on_a_pty,
    on_tcp,
    several,
    shared_out,
)
from tests.interop.running import meter

from iondlms.conformance import Cti, Result, Verdict, planned, run_case
from iondlms.conformance.cti import Framing

FULL = os.environ.get("IONDLMS_CONFORMANCE") == "full" or bool(os.environ.get("CI"))
AT_ONCE = 6  # meters; a case mostly waits
SOME = (
    "DL-01", "DL-02", "DL-03", "DL-04", "DL-07", "DL-12", "DL-25", "DL-51", "DL-57", "DL-71",
    "DL-72", "WR-01", "WR-03", "WR-04", "WR-05", "WR-08", "WR-13", "WR-15", "WR-16", "WR-17",
    "WR-33", "AP-04", "AP-14-lls", "AP-15-lls", "AP-44", "CO-02", "CO-16", "SA-05", "SA-25",
    "BT-01", "BT-07", "BT-12", "RB-100", "RB-109", "TS-01", "TS-05b", "TS-06",
)  # fmt: skip
ON_A_PTY = (
    "DL-01", "DL-02", "DL-07", "DL-12", "DL-51", "DL-57", "DL-61", "DL-71", "DL-72", "AP-04", "AP-14-lls",
    "CO-02", "BT-01", "SA-05", "RB-100", "RB-102", "TS-01",
)  # fmt: skip
# What does not apply to our meter as a process, and what `--fast` has no time for.
INAPPLICABLE = {
    **dict.fromkeys(("RB-11", "RB-11b", "RB-11c"), "no --power-cycle command was given"),
    "RB-12": "the meter takes one connection at a time",
    "SA-21": "the buffer is not empty",
    "SA-102": "such a request is longer than the 125 octets that the meter takes",
}
INCONCLUSIVE = {"TS-15": "waits for two captures, 1800 s", "SA-37": "waits for a capture, 900 s"}
TIMES_OF = (
    "CO-15", "CO-17", "CO-18", "CO-25", "TS-01", "TS-02", "TS-03", "TS-05", "TS-10", "SA-04", "SA-12",
    "SA-13", "SA-15", "SA-32", "SA-106",
)  # fmt: skip
# A setting that changes the wire, the framings that are left, cases that can tell. In memory each of them
# runs with whole suites (test_cases.py).
OPTIONS: dict[str, tuple[tuple[str, ...], tuple[Framing, ...], tuple[str, ...]]] = {
    "segments": (
        ("long_answers=segment",),
        BOTH,
        ("DL-39", "DL-61", "DL-63", "AP-33", "BT-13", "BT-14", "BT-15", "BT-106", "CO-02", "CO-106"),
    ),
    "deviation reversed": (("deviation=reversed", "clock.zone=Asia/Tokyo"), BOTH, TIMES_OF),
    "deviation unspecified": (("deviation=unspecified", "clock.zone=Asia/Tokyo"), BOTH, TIMES_OF),
    "times in UTC": (("deviation=utc", "clock.zone=Asia/Tokyo"), BOTH, TIMES_OF),
    "HDLC forced": (
        ("port.ETHERNET.framing=hdlc",),
        ("hdlc",),
        ("DL-01", "DL-35", "DL-51", "DL-71", "AP-04", "AP-14-lls", "CO-01", "BT-01"),
    ),
    "wrapper forced": (
        ("port.ETHERNET.framing=wrapper",),
        ("wrapper",),
        ("WR-01", "WR-02", "WR-03", "WR-05", "WR-33", "AP-04", "AP-14-lls", "CO-01", "BT-01"),
    ),
    "date-time": (("date_time=date-time",), BOTH, (*TIMES_OF, "TS-09", "CO-22")),
    "scaler -3": (("[meter]\nscaler = -3",), BOTH, ("CO-02", "CO-22", "CO-27", "CO-27b", "CO-28")),
    "unknown object 3": (("[meter]\nunknown_object = 3",), BOTH, ("AP-47", "AP-49", "CO-02", "CO-103")),
    "silence before SNRM": (
        ("before_snrm=silence",),
        ("hdlc",),
        ("DL-17", "DL-47", "DL-48", "DL-49", "DL-112"),
    ),
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with meter(tmp_path_factory.mktemp("meter"), *TIMES, *KEPT, password=PASSWORD) as found:
        yield found


def test_a_draft_says_what_the_meter_is(port: int) -> None:
    cti = drafted(port)
    assert cti.line.framings == ("hdlc", "wrapper")
    assert (cti.hdlc.max_information, cti.hdlc.window, cti.hdlc.before_snrm) == (128, 1, "dm")
    assert cti.public is not None
    assert cti.public.conformance == "003014"
    assert cti.setting is not None
    assert cti.setting.conformance == "00301C"
    assert (cti.application.max_pdu_hdlc, cti.application.max_pdu_wrapper) == (125, 1024)
    assert cti.objects.ion
    assert (cti.objects.load_profile, cti.objects.billing) == ("1-0:99.1.0*255", "1-0:98.1.0*255")


def judged(results: Sequence[Result]) -> None:
    """None has failed, and each that does not apply is one that is known not to."""
    for result in results:
        where = f"{result.id} over {result.framing}: {result.verdict} {result.reason}"
        if result.verdict is Verdict.INAPPLICABLE:
            assert result.reason == INAPPLICABLE.get(result.id), where
        elif result.verdict is Verdict.INCONCLUSIVE:
            assert result.reason == INCONCLUSIVE.get(result.id), where
        else:
            assert result.verdict is Verdict.PASSED, where


@pytest.mark.timeout(300)
def test_over_tcp(tmp_path: Path) -> None:
    """All cases in CI; a choice of them elsewhere."""
    with several(AT_ONCE if FULL else 2, tmp_path, on_tcp) as meters:
        runs = planned(BOTH, only=() if FULL else SOME)
        results = shared_out(meters, runs)
    assert len(results) == len(runs)
    judged(results)


@pytest.mark.timeout(300)
def test_over_a_pseudo_terminal(tmp_path: Path) -> None:
    """The meter's serial port at one end of a wire, ours at the other; all that is met over HDLC."""
    with several(AT_ONCE if FULL else 2, tmp_path, on_a_pty) as meters:
        runs = planned(("hdlc",), only=() if FULL else ON_A_PTY)
        results = shared_out(meters, runs)
    assert len(results) == len(runs)
    judged([it for it in results if it.id != "RB-12"])
    assert {it.reason for it in results if it.id == "RB-12"} <= {"the line is no TCP connection"}


@pytest.mark.skipif(not FULL, reason="in CI, and with IONDLMS_CONFORMANCE=full: a process for each option")
@pytest.mark.timeout(300)
def test_after_each_option_that_changes_the_wire(tmp_path: Path) -> None:
    def one(name: str) -> list[Result]:
        settings, framings, cases = OPTIONS[name]
        own = tmp_path / name
        own.mkdir()
        with on_tcp(own, settings, framings) as tested:
            assert tested.cti.line.framings == framings, name
            return [run_case(tested, run) for run in planned(framings, only=cases)]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, results in zip(OPTIONS, pool.map(one, OPTIONS), strict=True):
            wrong = [(it.id, it.framing, it.reason) for it in results if it.verdict is not Verdict.PASSED]
            assert not wrong, f"{name}: {wrong}"


@pytest.mark.skipif(not FULL, reason="in CI, and with IONDLMS_CONFORMANCE=full: waits for captures")
@pytest.mark.timeout(120)
def test_captures_and_power_cuts(tmp_path: Path) -> None:
    """What `--fast` leaves out: a meter that captures each three seconds, and loses its power."""
    with killed_and_started(tmp_path, ("load_profile.period=3",)) as tested:
        ids = ("TS-15", "SA-37", "RB-11", "RB-11b", "RB-11c")
        results = [run_case(tested, one) for one in planned(("hdlc",), only=ids)]
    assert {it.id: (it.verdict, it.reason) for it in results} == dict.fromkeys(ids, (Verdict.PASSED, ""))


def iondlms(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"IONDLMS_PASSWORD": PASSWORD}
    command = [sys.executable, "-m", "iondlms", "conformance", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_the_command_writes_a_cti_that_it_reads(port: int, tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{port}?unit=100"
    written = iondlms(url, "--write-cti")
    assert written.returncode == 0, written.stderr
    path = tmp_path / "cti.toml"
    path.write_text(written.stdout)
    assert Cti.load(path).to_toml() == written.stdout
    run = iondlms(url, "--cti", str(path), "--only", "AP-04", "--only", "WR-01", "--all")
    assert run.returncode == 0, run.stderr
    assert len(re.findall("PASSED", run.stdout)) == 3
    assert run.stderr.splitlines()[-1] == "3 passed, 0 failed, 0 inapplicable, 0 inconclusive"


def test_a_failure_is_told_everywhere(port: int, tmp_path: Path) -> None:
    """A CTI that says something else than the meter does."""
    path = tmp_path / "cti.toml"
    url = f"wrapper://127.0.0.1:{port}"
    path.write_text(
        'strict = true\n[line]\nframings = ["wrapper"]\n[public]\nconformance = "00 30 1D"\n[application]\n'
    )
    words = (url, "--cti", str(path), "--only", "AP-04", "--only", "AP-43", "--only", "TS-01")
    run = iondlms(*words, "-o", "json", "--report", str(tmp_path / "out"))
    assert run.returncode == 1
    assert "FAILED AP-04" in run.stderr
    document = json.loads(run.stdout)
    assert document["counts"] == {"PASSED": 1, "FAILED": 1, "INAPPLICABLE": 1, "INCONCLUSIVE": 0}
    cases = {case["id"]: case for case in document["cases"]}
    assert "00301D" in cases["AP-04"]["reason"]
    assert cases["AP-04"]["trace"][0]["direction"] == "TX"
    assert cases["TS-01"]["reason"] == "the CTI names no [setting] client"
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(word in page for word in ("AP-04", "00301D", "AARE", "conformance = &quot;00301D&quot;"))
    assert not re.search(r'(?:src|href)="(?!#)|@import|url\(', page), "nothing is loaded from anywhere"
    xml = iondlms(*words, "-o", "junit")
    root = ET.fromstring(xml.stdout)
    assert [len(root.findall(f".//{kind}")) for kind in ("testcase", "failure", "skipped")] == [3, 1, 1]


def test_passwords_are_in_no_report(port: int, tmp_path: Path) -> None:
    run = iondlms(
        f"tcp://127.0.0.1:{port}?unit=100", "--only", "AP-14-lls", "--report", str(tmp_path), "-o", "json"
    )
    assert run.returncode == 0, run.stderr
    secret = PASSWORD.encode().hex(" ").upper()
    for text in (run.stdout, *(path.read_text() for path in tmp_path.iterdir())):
        assert secret not in text
        assert PASSWORD not in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "XX-1"), "there is no case XX-1"),
        (("--suite", "nothing"), "there is no suite nothing"),
        (("--cti", "nowhere.toml"), "cannot be read"),
    ],
)
def test_mistakes_are_one_line(port: int, words: tuple[str, ...], told: str) -> None:
    run = iondlms(f"tcp://127.0.0.1:{port}?unit=100", *words)
    assert run.returncode == 2
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_nobody_there() -> None:
    run = iondlms("tcp://127.0.0.1:1?unit=100")
    assert run.returncode == 3, run.stderr
