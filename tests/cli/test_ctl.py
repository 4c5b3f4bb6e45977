"""`iondlms ctl` as a process, on a meter that is one too."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.interop.running import started

from iondlms.client import blocking
from iondlms.client.errors import ServiceRefused
from iondlms.errors import DlmsError

NAME = "0-0:42.0.0*255"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iondlms", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


class Served:
    """A running meter, and its commands."""

    def __init__(self, process: subprocess.Popen[str], lines: list[str], place: Path) -> None:
        self.process = process
        self.lines = lines
        self.place = place
        self.url = next(line.split()[2] for line in lines if line.startswith("listening"))

    def ctl(self, *words: str) -> str:
        done = run("ctl", str(self.place), *words)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def refused(self, *words: str) -> str:
        done = run("ctl", str(self.place), *words)
        assert done.returncode == 2, done.stdout
        (line,) = done.stderr.splitlines()
        return line.removeprefix("iondlms: ")

    def client(self) -> blocking.Client:
        return blocking.Client(f"{self.url}?framing=hdlc&timeout=500ms&retries=3")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("meter")
    command = [sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0", "--history", "5"]
    with started([*command, "--data", str(folder)], "^ready$") as (process, lines):
        yield Served(process, lines, folder)


def test_status_as_tables_and_as_json(served: Served) -> None:
    with served.client() as client:
        client.get(NAME)
        tables = served.ctl("status")
        found = json.loads(served.ctl("status", "-o", "json"))
    for word in ("ETHERNET", served.url, "ION8650", "simulated", "Load Profile", "Billing", "written"):
        assert word in tables
    (port,) = found["ports"]
    assert port["connected"].startswith("127.0.0.1:")
    assert port["frames"] == 3  # SNRM, AARQ, GET
    assert {each["rows"] for each in found["meters"][0]["recorders"]} == {5}


def test_dropped_frames_are_asked_for_again(served: Served) -> None:
    with served.client() as client:
        expected = client.get(NAME)
        served.ctl("fault", "drop", "--count", "2")
        began = time.monotonic()
        assert client.get(NAME) == expected
        assert time.monotonic() - began > 0.9
    assert "done" in served.ctl("faults")
    assert json.loads(served.ctl("status", "-o", "json"))["ports"][0]["repeats"] == 2


def test_an_exception_for_one_object(served: Served) -> None:
    words = ["--service", "get", "--obis", NAME, "--state-error", "2", "--service-error", "3"]
    served.ctl("fault", "exception", *words)
    with served.client() as client:
        client.get("0-0:1.0.0*255")
        with pytest.raises(ServiceRefused):
            client.get(NAME)
        client.get(NAME)


def test_disconnect_closes_the_connection_and_the_client_comes_again(served: Served) -> None:
    served.ctl("fault", "disconnect", "--service", "get")
    before = json.loads(served.ctl("status", "-o", "json"))["ports"][0]["opened"]
    with served.client() as client:
        client.get(NAME)
    assert json.loads(served.ctl("status", "-o", "json"))["ports"][0]["opened"] == before + 2


def test_a_power_cut_is_an_outage_for_whoever_reads(served: Served) -> None:
    cut = json.loads(served.ctl("power", "cut", "700ms", "-o", "json"))
    assert cut["power"] is False
    with pytest.raises(DlmsError), served.client():
        pass
    while not json.loads(served.ctl("status", "-o", "json"))["meters"][0]["power"]:
        time.sleep(0.05)
    with served.client() as client:
        client.get(NAME)


def test_the_clock_the_source_and_the_records(served: Served) -> None:
    assert "cut" not in served.ctl("clock", "step", "-90s")
    assert "frozen, values missing" in served.ctl("source", "freeze", "--values", "missing")
    served.ctl("pulse", "Load Profile")
    served.ctl("source", "resume")
    meter = json.loads(served.ctl("status", "-o", "json"))["meters"][0]
    last = next(each["last"] for each in meter["recorders"] if each["recorder"] == "Load Profile")
    assert last["status"] == 0xFFFF
    served.ctl("master-reset")
    meter = json.loads(served.ctl("status", "-o", "json"))["meters"][0]
    assert {each["rows"] for each in meter["recorders"]} == {0}
    assert (
        served.refused("rearm", "Billing") == "Data Recorder 'Billing' is circular: it has nothing to rearm"
    )


def test_the_ethernet_switch(served: Served) -> None:
    served.ctl("ethernet", "off")
    with pytest.raises(DlmsError), served.client():
        pass
    served.ctl("ethernet", "on")
    with served.client() as client:
        client.get(NAME)


def test_faults_are_cleared(served: Served) -> None:
    served.ctl("clear")
    served.ctl("fault", "silence", "--for", "1h", "--port", "ETHERNET")
    served.ctl("fault", "delay", "100ms", "--for", "1m", "--after", "3")
    assert "silence" in served.ctl("faults")
    assert "after 3 lasts 60" in served.ctl("faults")
    assert json.loads(served.ctl("clear", "-o", "json")) == {"cleared": 2}


def test_reload_reads_the_configuration_again(served: Served) -> None:
    assert "the configuration was read again" in served.ctl("reload")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sleep"], "there is no command 'sleep'; there are status, fault"),
        (["value"], "there is no command 'value'; did you mean values?"),
        (["--unit", "5", "status"], "there is no command '--unit'; options stand behind the command"),
        (["fault", "explode"], "ACTION: 'explode' is none; there are 'drop', 'delay'"),
        (["fault", "drop", "3"], "drop takes no VALUE; delay, silence"),
        (["fault", "clock-stepp"], "ACTION: 'clock-stepp' is none; did you mean 'clock-step'?"),
        (["fault", "power-cut", "1s", "--at", "2001-01-01"], "--at 2001-01-01T00:00:00.000+00:00 is past"),
        (["fault", "power-cut", "5s"], "power-cut: say when: --at now, --at TIME, or at which frames"),
        (["fault", "delay"], "VALUE or --for: delay takes some time; say how long"),
        (["fault", "drop", "--port", "COM7"], "there is no port 'COM7'; there are ETHERNET, and all"),
        (["fault", "drop", "--obis", "1.2"], "--obis:"),
        (["power", "off"], "power off: write cut or on"),
        (["power", "restore"], "power restore: write cut or on"),
        (["source", "stop"], "source stop: write freeze or resume"),
        (["clock", "set", "1"], "clock set: there is `clock step SECONDS` alone"),
        (["clock", "step", "soon"], "step: 'soon' is no step"),
        (["ethernet", "perhaps"], "ethernet perhaps: write on or off"),
        (["pulse", "X"], "no Data Recorder is called 'X'; there are Load Profile, Billing"),
        (["clear", "999"], "no fault has number 999"),
        (["status", "--unit", "7"], "no meter here has Unit ID 7"),
    ],
)
def test_what_is_no_command_is_one_line(served: Served, words: list[str], message: str) -> None:
    assert served.refused(*words).startswith(message)


@pytest.mark.parametrize(
    ("words", "at_once"),
    [
        (["power_cut", "5s"], "power cut 5s"),
        (["clock-step", "30"], "clock step 30"),
        (["master-reset"], "master-reset"),
        (["freeze", "5m", "--port", "ETHERNET"], "source freeze 5m"),
        (["ethernet-off", "5s"], "ethernet off"),
    ],
)
def test_a_fault_of_the_meter_names_the_command_that_does_it_at_once(
    served: Served, words: list[str], at_once: str
) -> None:
    assert served.refused("fault", *words).endswith(f"`iondlms ctl {served.place} {at_once}`")


def test_now_is_an_instant(served: Served) -> None:
    armed = served.ctl("fault", "freeze", "1s", "--at", "now", "-o", "json")
    number = json.loads(armed)[0]["number"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        (fault,) = [
            each for each in json.loads(served.ctl("faults", "-o", "json")) if each["number"] == number
        ]
        if fault["fired"]:
            break
    assert fault["fired"] == 1
    served.ctl("clear", str(number))


def test_the_seventeenth_at_once_is_told_and_gets_the_status_of_no_connection(served: Served) -> None:
    with ExitStack() as others:
        for _ in range(16):
            sock = others.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(served.place / "control.sock"))
        done = run("ctl", str(served.place), "status")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"iondlms: the meter on {served.place / 'control.sock'} is busy: 16 others give it commands;"
        " try again in a moment\n"
    )


def test_no_meter_there(tmp_path: Path) -> None:
    done = run("ctl", str(tmp_path), "status")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "is it running?" in done.stderr
    done = run("ctl", str(tmp_path / "nowhere"), "status")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no data folder" in done.stderr


def test_the_socket_of_a_meter_in_memory_and_one_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "desk.sock"
    command = [sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0", "--control", str(path)]
    with started(command, "^ready$") as (process, lines):
        assert "memory only" in Served(process, lines, path).ctl("status")
        taken = run("serve", "--listen", "127.0.0.1:0", "--control", str(path))
        assert taken.returncode == 2
        assert re.search("cannot take commands on .*: another process does", taken.stderr)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert path.exists()
    with started(command, "^ready$") as (process, lines):
        Served(process, lines, path).ctl("status")
    assert not path.exists()


def test_faults_in_a_file_befall_who_reads(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(
        '[[port]]\nname = "ETHERNET"\nlisten = "127.0.0.1:0"\n\n'
        '[[fault]]\naction = "refuse"\nservice = "get"\nobis = "0-0:42.0.0*255"\nresult = 1\n',
        "utf-8",
    )
    command = [sys.executable, "-m", "iondlms", "serve", str(file)]
    command += ["--control", str(tmp_path / "desk.sock")]
    with started(command, "^ready$") as (process, lines):
        served = Served(process, lines, tmp_path / "desk.sock")
        with served.client() as client:
            with pytest.raises(DlmsError, match="hardware"):
                client.get(NAME)
            client.get(NAME)
        file.write_text(file.read_text("utf-8").replace("result = 1", "result = 11"), "utf-8")
        assert served.ctl("reload").splitlines() == [
            "Faults: those of the file are armed anew",
            "the configuration was read again",
        ]
        with served.client() as client, pytest.raises(DlmsError, match="unavailable"):
            client.get(NAME)


STOPPING = """
[[data_recorder]]
name = "Test Log"
sources = ["kWh del"]
mode = "stop-when-full"
depth = 1
"""


def test_a_recorder_that_has_stopped_is_told(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(STOPPING, encoding="utf-8")
    data = tmp_path / "data"
    command = [
        sys.executable,
        "-m",
        "iondlms",
        "serve",
        str(file),
        "--listen",
        "127.0.0.1:0",
        "--data",
        str(data),
    ]
    rearm = f"`iondlms ctl {data} rearm 'Test Log'`"
    with started(command, "^ready$") as (process, lines):
        served = Served(process, lines, data)
        assert "full" not in served.ctl("status")
        served.ctl("pulse", "Test Log")
        assert f"full: stopped; {rearm}" in served.ctl("status", "-o", "csv")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    again = subprocess.Popen([*command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert again.stdout is not None
    while again.stdout.readline() not in ("ready\n", ""):
        pass
    again.send_signal(signal.SIGTERM)
    _, told = again.communicate(timeout=20)
    assert f"Data Recorder 'Test Log' is full and has stopped; {rearm} clears it" in told


def test_the_values_are_those_that_a_client_reads(served: Served) -> None:
    table = served.ctl("values")
    assert all(word in table for word in ("kWh del", "Vln a", "PF sign tot", "kVAR"))
    found = {each["quantity"]: each for each in json.loads(served.ctl("values", "-o", "json"))}
    with served.client() as client:
        read = client.get("kWh-del").integer()
    assert found["kWh del"]["unit"] == "kWh"
    assert 0 <= read - found["kWh del"]["value"] * 1000 < 1000  # some Wh have flowed since
    assert 200 < found["Vln a"]["value"] < 260
    served.ctl("power", "cut")
    done = run("ctl", str(served.place), "values", "-o", "csv")
    assert (done.stdout, done.stderr) == ("quantity,value,unit\n", "note: the meter has no power\n")
    served.ctl("power", "on")
