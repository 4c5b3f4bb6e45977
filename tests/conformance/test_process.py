"""The cases against `iondlms serve` as a process over TCP, and over a pseudo-terminal; the command itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.conformance.memory import our_meter
from tests.interop.running import meter
from tests.ports.ptys import Pty

from iondlms.conformance import (
    Cti,
    LineAccess,
    Meter,
    TcpAccess,
    Verdict,
    draft,
    first_cti,
    planned,
    run_case,
)
from iondlms.conformance.cti import HdlcSection, LineSection
from iondlms.ports.serial import LineSettings, SerialTransport

PASSWORD = "interop"
RX_TIMEOUT_S = 0.15
INACTIVITY_S = 3.0
OPTIONS = (
    "--rx-timeout", str(RX_TIMEOUT_S), "--inactivity", str(INACTIVITY_S), "--history", "20",
    "--set", "billing.period=2h",
)  # fmt: skip
LINE = LineSection(framings=("hdlc", "wrapper"), answer_s=2.0, quiet_s=0.05, inactivity_s=INACTIVITY_S)
FULL = os.environ.get("IONDLMS_CONFORMANCE") == "full" or bool(os.environ.get("CI"))
SOME = (
    "DL-01", "DL-02", "DL-03", "DL-04", "DL-07", "DL-12", "DL-25", "DL-51", "DL-57", "DL-71",
    "DL-72", "WR-01", "WR-03", "WR-04", "WR-05", "WR-08", "WR-13", "WR-15", "WR-16", "WR-17",
    "WR-33", "AP-04", "AP-14-lls", "AP-15-lls", "AP-44", "CO-02", "CO-16", "SA-05", "SA-25",
    "BT-01", "BT-07", "BT-12", "RB-100", "RB-109", "TS-01", "TS-05b", "TS-06",
)  # fmt: skip
ON_A_PTY = ("DL-01", "DL-07", "DL-12", "DL-51", "DL-71", "AP-04", "BT-01", "SA-05")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with meter(tmp_path_factory.mktemp("meter"), *OPTIONS, password=PASSWORD) as found:
        yield found


def drafted(port: int) -> Cti:
    start = first_cti(("hdlc", "wrapper"), HdlcSection(unit=100), 16, LINE)
    cti = draft(TcpAccess("127.0.0.1", port), start, PASSWORD.encode())
    timed = cti.hdlc.model_copy(update={"inter_frame_s": RX_TIMEOUT_S})
    return cti.model_copy(update={"hdlc": timed, "strict": True})


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


@pytest.mark.timeout(600)
def test_over_tcp(port: int) -> None:
    cti = drafted(port)
    access = TcpAccess("127.0.0.1", port)
    for one in planned(cti.line.framings, only=() if FULL else SOME):
        result = run_case(Meter(cti, access, PASSWORD.encode(), fast=True, clock_set_allowed=True), one)
        where = f"{one.case.id} over {one.framing}: {result.reason}"
        assert result.verdict is not Verdict.FAILED, where
        assert result.verdict is Verdict.PASSED or FULL, where


def test_over_a_pseudo_terminal() -> None:
    """The meter's endpoint on one end of a pty, our serial line on the other."""
    ours = our_meter((("port.ETHERNET.rx_timeout", RX_TIMEOUT_S), ("port.ETHERNET.inactivity", INACTIVITY_S)))
    endpoint = ours.endpoint(now=time.monotonic())
    stop = threading.Event()
    with Pty() as pty:

        def serve() -> None:
            while not stop.is_set():
                octets = pty.read(0.01)
                now = time.monotonic()
                deadline = endpoint.next_deadline()
                if octets:
                    answer = endpoint.receive_data(octets, now)
                    if answer:
                        pty.write(answer)
                elif deadline is not None and deadline <= now:
                    endpoint.handle_timeout(now)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        access = LineAccess(lambda: SerialTransport.connect(LineSettings(pty.path, baud=115200)))
        try:
            start = first_cti(("hdlc",), HdlcSection(unit=17, inter_frame_s=RX_TIMEOUT_S), 16, LINE)
            cti = draft(access, start).model_copy(update={"strict": True})
            for one in planned(("hdlc",), only=ON_A_PTY):
                result = run_case(Meter(cti, access, fast=True), one)
                assert result.verdict is Verdict.PASSED, f"{one.case.id}: {result.reason}"
        finally:
            access.close()
            stop.set()
            thread.join()


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
