"""`iondlms config`: what it prints, and that what it prints is a configuration again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from iondlms.meter import Site, load_site

FULL = """
[meter]
model = "ion9000"
owner = 'a "quoted" name\\u007F'
history = 5
[clock]
zone = "Europe/Madrid"
[source]
peak_kw = 5
[[source.fault]]
kind = "phase_loss"
begin = "2026-03-01T00:00:00Z"
duration = "90s"
[[source.fault]]
kind = "power_cut"
begin = 2026-03-02T00:00:00+01:00
duration = 1
every = "1d"
[[port]]
name = "ETHERNET"
unit_id = 7
"""
REPLAY = """
[source]
kind = "replay"
path = "load.csv"
scale = 0.001
begin = 2026-03-02
[source.columns]
"kW tot" = "Power"
time = "Time"
"""
SITE = """
[[line]]
kind = "tcp"
name = "bus"
[[meter]]
line = "bus"
unit_id = 5
count = 2
[[meter]]
line = "bus"
unit_id = 9
seed = 4
[clock]
time_sync_source = "COM1"
"""

WRONG = """
[meter]
password_file = "no"
[clock]
zone = "Mars"
[source]
kind = "replay"
path = "no.csv"
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iondlms", "config", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "meter.toml"
    file.write_text(text.replace("begin = 2026-03-02\n", 'begin = "2026-03-02"\n'), "utf-8")
    return file


@pytest.mark.parametrize("text", ["", FULL, REPLAY, SITE], ids=["defaults", "simulated", "replay", "site"])
def test_what_is_shown_is_the_same_configuration(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    done = run("show", str(file))
    assert done.returncode == 0, done.stderr
    again = tmp_path / "again.toml"
    again.write_text(done.stdout, "utf-8")
    shown, made = load_site(again), load_site(file)
    assert shown == made
    if isinstance(made, Site) and isinstance(shown, Site):
        assert [each.meter.seed for _, each in shown.meters()] == [5, 6, 4]
        assert list(shown.meters()) == list(made.meters())


def test_all_defaults_are_shown_and_the_password_is_not(tmp_path: Path) -> None:
    done = run("show", "--set", "password=sesame", "--set", "port.ETHERNET.listen=[::1]:0")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    for line in ("[load_profile]", "period = 900.0", 'shape = "office"', "unit_id = 100", "# data ="):
        assert line in lines, line
    assert 'listen = "[::1]:0"' in lines
    assert "sesame" not in done.stdout
    assert "# password = is given, and not shown" in lines


def test_check_tells_that_a_file_is_right(tmp_path: Path) -> None:
    file = written(tmp_path, FULL)
    done = run("check", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: right\n", "")
    done = run("check", str(written(tmp_path, SITE)))
    assert (done.returncode, done.stdout) == (0, f"{file}: right, 3 meters\n")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (
            "[meter]\nmax_pdu = 1\ncolour = 1\n[source]\nshape = 'x'\n",
            ["meter.max_pdu", "meter.colour", "source.shape"],
        ),
        (
            WRONG,
            ["clock.zone", "source.path", "meter.password_file"],
        ),
        (SITE + "zone = 'Mars'\n[source]\nkind = 'replay'\npath = 'no.csv'\n", ["clock.zone", "source.path"]),
        ("[meter]\nserial = '--'\n", ["meter.serial"]),
    ],
)
def test_check_tells_all_that_is_wrong(tmp_path: Path, text: str, keys: list[str]) -> None:
    file = written(tmp_path, text)
    done = run("check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.removeprefix(f"iondlms: {file}: ").split(":")[0] for line in lines] == keys


def test_check_opens_no_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run("check", str(written(tmp_path, f"[meter]\ndata = '{data}'\n"))).returncode == 0
    assert not data.exists()


def test_the_schema_knows_every_kind_of_source() -> None:
    done = run("schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    kinds = [
        section["properties"]["kind"]["const"]
        for name, section in schema["$defs"].items()
        if name in ("SimulatedSection", "ReplaySection", "ModbusSection")
    ]
    assert sorted(kinds) == ["modbus", "replay", "simulated"]
    assert schema["$defs"]["MeterSection"]["additionalProperties"] is False
