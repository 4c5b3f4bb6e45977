"""`iondlms fleet simulate` as a process."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.interop.running import started

from iondlms.cli import fleet as module
from iondlms.client import blocking
from iondlms.meter.fleet_host import FleetHost

COMMAND = [sys.executable, "-m", "iondlms", "fleet", "simulate"]


@pytest.mark.parametrize("line", [False, True])
def test_fifty_meters_answer_and_end_in_good_order(tmp_path: Path, line: bool) -> None:
    inventory = tmp_path / "fleet.csv"
    words = ["--meters", "50", "--listen", "127.0.0.1:0", "--history", "4", "--inventory", str(inventory)]
    if line:
        words.append("--line")
    with started([*COMMAND, *words], r"ready") as (process, lines):
        assert re.fullmatch(r"ready: 50 meters in \d+\.\d s", lines[-1].strip())
        assert len(lines) == (2 if line else 3)
        with inventory.open(encoding="utf-8", newline="") as file:
            members = list(csv.DictReader(file))
        assert len(members) == 50
        for member in (members[0], members[49]):
            with blocking.Client(f"{member['url']}?unit={member['unit']}&framing=hdlc") as client:
                assert client.get("0-0:42.0.0*255").octets().decode() == member["logical_device_name"]
                assert len(client.profile("load").rows) == 4
        process.terminate()
        assert process.wait(10) == 0


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    def told(*words: str) -> str:
        done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        return done.stderr

    assert told("--listen", "127.0.0.1:65000").startswith("iondlms: 1000 ports from 65000 on end above 65535")
    assert told("--meters", "2", "--seed", "-1").startswith("iondlms: meter.seed")
    missing = tmp_path / "no" / "where.csv"
    assert "cannot be written" in told(
        "--meters", "2", "--listen", "127.0.0.1:0", "--inventory", str(missing)
    )


def test_too_few_open_files_are_told() -> None:
    command = ["bash", "-c", 'ulimit -n 300 && exec "$@"', "-", *COMMAND, "--listen", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert re.match(r"iondlms: 1256 open files are needed, .* `ulimit -n 1256`", done.stderr)


@pytest.mark.parametrize("now", [False, True])
def test_rows_are_made_before_it_is_ready_where_that_is_wanted(
    now: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    async def ended(host: FleetHost, count: int, inventory: Path | None) -> None:
        async with host:
            made.append(host.fleet.made)

    monkeypatch.setattr(module, "_simulate", ended)
    monkeypatch.setattr(module, "_TELL_S", 0.0)
    words = ["simulate", "--meters", "3", "--listen", "127.0.0.1:0", "--history", "4"]
    done = CliRunner().invoke(module.fleet, [*words, "--history-now"] if now else words)
    assert (done.exit_code, made) == (0, [3 if now else 0])
    assert ("rows made for 2 of 3 meters" in done.output) is now
