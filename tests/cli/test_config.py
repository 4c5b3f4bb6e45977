"""`iondlms config`: what it prints, and that what it prints is a configuration again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from iondlms.ion import MODELS, Framework
from iondlms.meter import Config, MeterHost, Site, load, load_site
from iondlms.meter.framework import framework_of
from iondlms.meter.written import as_toml, first_file
from iondlms.sources.modbus_map import BUILT_IN, load_map

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
OFF = "default_framework = false\n"
MODULES = """
[meter]
default_framework = false
[power_meter]
interval_timer = "Every \\"minute\\""
[event_log]
profile_obis = "1-0:99.98.0"
[[periodic_timer]]
name = "Every \\"minute\\""
period = "1m"
[[month_end]]
name = "Month"
[[data_recorder]]
name = "Volts"
record = "Month"
sources = ["Vln a", "V unbal", "kWh del"]
mode = "stop-when-full"
[[data_recorder]]
name = "By hand"
sources = ["kWh rec"]
[[dlms_log_export]]
data_recorder = "Volts"
profile_obis = "1-0:99.2.0"
obis_codes = ["1-1:32.7.0", "none"]
[[dlms_log_export]]
data_recorder = "By hand"
profile_obis = "1-0:99.3.0"
status_register = false
"""
BY_HAND = """
[clock]
dst_offset = 60
dst = [["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"], [2027-03-28T01:00:00Z, 2027-10-31T01:00:00Z]]
[billing]
period = "1d"
depth = 40
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


@pytest.mark.parametrize(
    "text",
    ["", FULL, REPLAY, SITE, MODULES, BY_HAND, SITE + MODULES.replace("[meter]\n", "").replace(OFF, "")],
    ids=["defaults", "simulated", "replay", "site", "modules", "clock by hand", "modules of a site"],
)
def test_what_is_shown_is_the_same_configuration(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    done = run("show", str(file))
    assert done.returncode == 0, done.stderr
    again = tmp_path / "again.toml"
    again.write_text(done.stdout, "utf-8")
    shown, made = load_site(again), load_site(file)
    assert frameworks(shown) == frameworks(made)
    changed = {"load_profile", "billing", "periodic_timer", "month_end", "data_recorder", "dlms_log_export"}
    assert {key: value for key, value in shown if key not in changed} == {
        key: value for key, value in made if key not in changed
    }
    assert list(as_toml(shown)) == list(as_toml(made))
    assert "\n".join(as_toml(made)) + "\n" == done.stdout
    if isinstance(made, Site) and isinstance(shown, Site):
        assert [each.meter.seed for _, each in shown.meters()] == [5, 6, 4]


def frameworks(made: Config | Site) -> list[Framework]:
    meters = [made] if isinstance(made, Config) else [config for _, config in made.meters()]
    return [framework_of(config, 2026) for config in meters]


def test_all_defaults_are_shown_and_the_password_is_not(tmp_path: Path) -> None:
    done = run("show", "--set", "password=sesame", "--set", "port.ETHERNET.listen=[::1]:0")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    for line in ("[[data_recorder]]", "period = 900.0", 'shape = "office"', "unit_id = 100", "# data ="):
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


CODES = """
[[data_recorder]]
name = "Volts"
sources = ["Vln a", "Vln b", "Vln c"]
[[dlms_log_export]]
data_recorder = "Volts"
profile_obis = "1-0:99.2.0"
obis_codes = ["1-1:32.7.0"{more}]
"""


def test_check_notes_sources_that_no_code_exports(tmp_path: Path) -> None:
    done = run("check", str(written(tmp_path, CODES.format(more=""))))
    assert done.returncode == 0
    note = "note: dlms_log_export[0].obis_codes: 2 of 3 sources are not exported; 'none' for each"
    assert done.stderr.startswith(note)
    done = run("check", str(written(tmp_path, CODES.format(more=", 'none', 'none'"))))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (
            "[meter]\nmax_pdu = 1\ncolour = 1\n[source]\nshape = 'x'\n",
            ["meter.max_pdu", "meter.colour", "source.shape"],
        ),
        (
            WRONG,
            ["meter.password_file", "clock.zone", "source.path"],
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
    begin = re.escape(str(file))
    assert [re.sub(rf"^(iondlms: )?{begin}:\d+: ", "", line).split(":")[0] for line in lines] == keys


def test_check_opens_no_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run("check", str(written(tmp_path, f"[meter]\ndata = '{data}'\n"))).returncode == 0
    assert not data.exists()


# --- init -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_first_file_is_what_the_model_is_without_one(tmp_path: Path, model: str) -> None:
    file = tmp_path / "meter.toml"
    done = run("init", "--model", model.lower(), "-o", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert str(file) in done.stderr
    assert file.read_text("utf-8") == first_file(model)
    made, plain = load(file), load(None, [("model", model)])
    assert framework_of(made, 2026) == framework_of(plain, 2026)
    assert list(as_toml(made)) == list(as_toml(plain))
    assert run("check", str(file)).stdout == f"{file}: right\n"


@pytest.mark.parametrize("model", MODELS)
def test_what_is_switched_off_in_the_first_file_can_be_switched_on(tmp_path: Path, model: str) -> None:
    groups = re.split(r"(\n(?!#\S|#\n))", first_file(model))
    asleep = [index for index, group in enumerate(groups) if re.search(r"^#\S", group, re.MULTILINE)]
    assert len(asleep) > 5
    (tmp_path / "meter.password").write_text("12345678\n")
    for index in asleep:
        group = re.sub(r"^#(?=\S)", "", groups[index], flags=re.MULTILINE)
        file = tmp_path / "meter.toml"
        file.write_text("".join([*groups[:index], group, *groups[index + 1 :]]), "utf-8")
        assert list(as_toml(load(file))) != list(as_toml(load(None, [("model", model)]))), group


def test_the_first_file_explains_itself() -> None:
    text = first_file("ION8650")
    for section in ("meter", "clock", "source", "power_meter", "event_log"):
        assert re.search(rf"^# .*\n\[{section}\]$", text, re.MULTILINE), section
    assert '    "1-1:1.29.0*255",  # kWh del int\n' in text
    assert max(map(len, text.splitlines())) <= 130


def test_init_never_writes_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "meter.toml"
    file.write_text("mine", "utf-8")
    done = run("init", "-o", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"iondlms: {file} is there already; name another file, or move that one away\n"
    assert file.read_text("utf-8") == "mine"
    assert run("init", "-o", str(tmp_path / "no" / "meter.toml")).returncode == 2
    done = run("init", "--model", "ION9")
    assert (done.returncode, done.stderr) == (2, f"iondlms: no model 'ION9'; there are {', '.join(MODELS)}\n")


def test_init_prints_without_a_file() -> None:
    assert run("init").stdout == first_file("ION8650")


# --- maps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_map_is_written_to_be_changed(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.toml"
    done = run("map", name.upper(), "-o", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert f'map = "{file}"' in done.stderr
    assert load_map(str(file)) == load_map(name)
    assert run("map", name).stdout == file.read_text("utf-8")
    assert "is there already" in run("map", name, "-o", str(file)).stderr


def test_a_map_that_there_is_not() -> None:
    done = run("map", "pm5000")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"iondlms: no map is called 'pm5000'; there are {', '.join(BUILT_IN)}\n"


# --- who may set the clock --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[port]]\nname = 'COM1'\ndevice = '/dev/x'\n", True),
        ("[[port]]\nprotocol = 'ION'\n[[port]]\nname = 'COM1'\ndevice = '/dev/x'\n", True),
        ("[[port]]\nname = 'COM1'\ndevice = '/dev/x'\n[[port]]\nname = 'ETHERNET'\n", False),
        ("[[port]]\nname = 'COM1'\ndevice = '/dev/x'\n[clock]\ntime_sync_source = 'COM1'\n", False),
    ],
)
def test_check_notes_that_nobody_may_set_the_clock(tmp_path: Path, text: str, told: bool) -> None:
    note = (
        "note: clock.time_sync_source: only ETHERNET may set the clock, and no port here is that; write"
        ' time_sync_source = "COM1" to let it\n'
    )
    with_password = run("check", str(written(tmp_path, "[meter]\npassword = '1234'\n" + text)))
    assert (with_password.returncode, with_password.stderr) == (0, note if told else "")
    # Without a password there is no client that could.
    assert run("check", str(written(tmp_path, text))).stderr == ""


def test_check_notes_it_once_for_the_meters_of_a_line(tmp_path: Path) -> None:
    text = SITE.replace("count = 2", "count = 2\npassword = 'x'").replace(
        'source = "COM1"', 'source = "ETHERNET"'
    )
    done = run("check", str(written(tmp_path, text)))
    assert (done.returncode, done.stderr.count("only ETHERNET may set the clock")) == (0, 1)


# --- what a change clears -----------------------------------------------------------------------------------


async def test_check_tells_which_rows_a_change_clears(tmp_path: Path) -> None:
    data = tmp_path / "data"
    text = f"[meter]\ndata = '{data}'\nhistory = 20\n"
    file = written(tmp_path, text)
    async with MeterHost(load(file), own_ports=False):
        pass
    assert run("check", str(file)).stderr == ""
    deeper = text + "[billing]\ndepth = 50\n[[data_recorder]]\nname = 'New'\nsources = ['kWh del']\n"
    done = run("check", str(written(tmp_path, deeper)))
    assert (done.returncode, done.stdout) == (0, f"{file}: right\n")
    assert done.stderr == (
        "note: Data Recorder 'Billing': inputs or settings changed; its 20 rows are cleared at the next"
        " start\n"
    )
    codes = text + "[[dlms_log_export]]\ndata_recorder = 'Billing'\nprofile_obis = '1-0:98.2.0'\n"
    assert run("check", str(written(tmp_path, codes))).stderr == ""
    (data / "meter.sqlite").write_bytes(b"no database at all" * 100)
    done = run("check", str(written(tmp_path, text)))
    assert done.returncode == 0
    assert "note: " in done.stderr
    assert "meter.sqlite is damaged or no database" in done.stderr


# --- the schema ---------------------------------------------------------------------------------------------


def test_the_schema_takes_durations_as_text_and_the_names_of_modules() -> None:
    definitions = json.loads(run("schema").stdout)["$defs"]
    period = definitions["PeriodicTimerSection"]["properties"]["period"]
    number, text = period["anyOf"]
    assert (number["type"], number["minimum"], number["maximum"]) == ("number", 1, 2_678_400)
    assert re.fullmatch(text["pattern"], "15m")
    assert not re.fullmatch(text["pattern"], "15x")
    assert period["default"] == 900.0
    assert definitions["DataRecorderSection"]["required"] == ["name", "sources"]
    assert definitions["DataRecorderSection"]["properties"]["mode"]["enum"] == ["circular", "stop-when-full"]


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
