"""`[source]`: each kind's keys, what they become, and that every error names its key."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iondlms.ion.log import RowFormat
from iondlms.meter import Config, ConfigError, Meter, load, load_site
from iondlms.sources import ModbusSettings, ReplaySettings, SimulatedSettings

BEGIN = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
DAY_S = 86_400


def config(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "meter.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def refused(tmp_path: Path, text: str) -> list[str]:
    """The lines that loading, or else making the meter, ends with, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        Meter(config(tmp_path, text))
    return [re.sub(r"^.*?\.toml:(\d+:)? ", "", line) for line in str(caught.value).split("\n")]


def settings(made: Config, seed: int = 1) -> object:
    return made.source.settings(seed, 60)


def test_a_simulated_load_is_the_default_and_keeps_the_meters_hours() -> None:
    assert settings(Config(), 5) == SimulatedSettings(seed=5, utc_offset_min=60)


def test_all_keys_of_a_simulated_load(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        '[source]\nkind = "simulated"\nshape = "factory"\npeak_kw = 800\nsolar_kw = 0\nlatitude = -41.5\n'
        '[[source.fault]]\nkind = "power_cut"\nbegin = "2026-03-01T00:00:00+01:00"\nduration = "30m"\n'
        '[[source.fault]]\nkind = "phase_loss"\nbegin = 2026-03-01T00:00:00\nduration = 5\n'
        'every = "1d"\nphase = "c"\n',
    )
    wanted = settings(made)
    assert isinstance(wanted, SimulatedSettings)
    assert (wanted.shape, wanted.peak_kw, wanted.solar_kw, wanted.latitude) == ("factory", 800, 0, -41.5)
    faults = [(it.kind, it.begin_ms, it.duration_s, it.every_s, it.phase) for it in wanted.faults]
    assert faults == [
        ("power_cut", BEGIN - 3_600_000, 1800.0, 0.0, "a"),
        ("phase_loss", BEGIN, 5.0, 86_400.0, "c"),
    ]


def test_all_keys_of_a_replay(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        '[source]\nkind = "replay"\npath = "load.csv"\ntime = "When"\ntime_format = "%d.%m.%Y %H:%M"\n'
        'zone = "Europe/Madrid"\nstamp = "end"\nstep = "15m"\nscale = 0.001\ngaps = "silence"\n'
        'at_end = "loop"\nbegin = "2026-03-01"\n[source.columns]\n"kW tot" = "Power"\n',
    )
    assert settings(made) == ReplaySettings(
        Path("load.csv"),
        {"kW tot": "Power"},
        "When",
        "%d.%m.%Y %H:%M",
        "Europe/Madrid",
        "end",
        900,
        "0.001",
        "silence",
        "loop",
        BEGIN,
    )


def test_all_keys_of_a_modbus_meter(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        '[source]\nkind = "modbus"\nurl = "rtu:/dev/ttyUSB0?baud=9600&framing=8N1"\nunit_id = 7\n'
        'map = "ion8650"\npoll = "500ms"\ntimeout = 1\nretries = 0\n',
    )
    assert settings(made) == ModbusSettings(
        "rtu:/dev/ttyUSB0?baud=9600&framing=8N1", 7, "ion8650", 0.5, 1.0, 0
    )


def test_what_is_not_given_is_as_the_source_itself_has_it(tmp_path: Path) -> None:
    replay = config(tmp_path, '[source]\nkind = "replay"\npath = "a.csv"\n')
    assert settings(replay) == ReplaySettings(Path("a.csv"))
    modbus = config(tmp_path, '[source]\nkind = "modbus"\nurl = "tcp://meter"\n')
    assert settings(modbus) == ModbusSettings("tcp://meter")


FAULT = '[[source.fault]]\nkind = "power_cut"\nbegin = "2026-03-01"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "nuclear"', ["source.kind: 'nuclear' is no kind of source; there are simulated, replay"]),
        ("kind = 1", ["source.kind: 1 is no kind of source"]),
        ('url = "tcp://meter"', ["source.url: there is no such key"]),
        ('shape = "castle"', ["source.shape: 'castle' is not possible; write 'office'"]),
        ("peak_kw = -1\nlatitude = 67", ["source.peak_kw: ", "source.latitude: "]),
        ("fault = 1", ["source.fault: "]),
        (FAULT, ["source.fault[0].duration: must be given"]),
        (FAULT + "duration = 0", ["source.fault[0].duration: "]),
        (FAULT + 'duration = "1h"\nevery = "1h"', ["source.fault[0].every: a fault of 3600.0 s cannot come"]),
        (FAULT.replace("2026-03-01", "soon") + "duration = 1", ["source.fault[0].begin: 'soon' is no date"]),
        (FAULT.replace('"2026-03-01"', "2026") + "duration = 1", ["source.fault[0].begin: 2026 is no date"]),
        ('kind = "replay"', ["source.path: must be given"]),
        ('kind = "replay"\npath = "no.csv"\n', ["source.path: no.csv: cannot be read"]),
        ('kind = "replay"\npath = "a.csv"\nscale = "x"', ["source.scale: 'x' is no number"]),
        ('kind = "replay"\npath = "a.csv"\nscale = 0', ["source.scale: '0' is no scale"]),
        ('kind = "replay"\npath = "a.csv"\nscale = nan', ["source.scale: 'nan' is no scale"]),
        ('kind = "replay"\npath = "a.csv"\nzone = "Mars"', ["source.zone: no time zone is called 'Mars'"]),
        ('kind = "replay"\npath = "a.csv"\nstep = 0.5', ["source.step: rows are whole seconds apart"]),
        ('kind = "replay"\npath = "a.csv"\npoll = 1', ["source.poll: there is no such key"]),
        ('kind = "modbus"', ["source.url: must be given"]),
        ('kind = "modbus"\nurl = "http://a"', ["source.url: 'http://a' is no Modbus URL; write tcp://HOST"]),
        (
            'kind = "modbus"\nurl = "tcp://a"\nmap = "none"',
            ["source.map: no map is called 'none'; there are"],
        ),
        (
            'kind = "modbus"\nurl = "tcp://a"\nunit_id = 256\npoll = 0\ntimeout = 0\nretries = 11',
            ["source.unit_id: ", "source.poll: ", "source.timeout: ", "source.retries: "],
        ),
        (
            'kind = "modbus"\nurl = "tcp://a"\n[meter]\nhistory = 9',
            ["meter.history: what another meter measured before"],
        ),
    ],
)
def test_an_error_begins_with_its_key(tmp_path: Path, text: str, told: list[str]) -> None:
    lines = refused(tmp_path, "[source]\n" + text)
    assert len(lines) == len(told), lines
    assert all(line.startswith(begin) for line, begin in zip(lines, told, strict=True)), lines


@pytest.mark.parametrize("text", ["source = 5", '[[source]]\nkind = "simulated"'])
def test_it_is_one_section(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text) == ["source: write it as one section, headed [source]"]


def test_all_that_is_wrong_in_a_map_a_line_each(tmp_path: Path) -> None:
    map_ = tmp_path / "map.toml"
    map_.write_text('base = -1\ncolour = 1\n[values]\n"kWh del" = { register = 5, type = "int64" }\n')
    lines = refused(tmp_path, f'[source]\nkind = "modbus"\nurl = "tcp://a"\nmap = "{map_}"\n')
    assert len(lines) >= 2
    assert all(line.startswith(f"source.map: {map_}: ") for line in lines)


def test_all_that_is_wrong_in_a_file_a_line_each(tmp_path: Path) -> None:
    rows = tmp_path / "load.csv"
    rows.write_text("time,kW\n2026-03-01T00:00,x\n2026-03-01T00:15,y\n")
    lines = refused(tmp_path, f'[source]\nkind = "replay"\npath = "{rows}"\n')
    assert len(lines) == 2
    assert all(line.startswith(f"source.path: {rows}, ") for line in lines)


@pytest.mark.parametrize(
    ("module", "text", "told"),
    [
        ("pymodbus", 'kind = "modbus"\nurl = "tcp://a"', "pip install 'iondlms[modbus]'"),
        ("duckdb", 'kind = "replay"\npath = "{0}"', "pip install 'iondlms[data]'"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, text: str, told: str
) -> None:
    file = tmp_path / "load.parquet"
    file.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, module, None)
    (line,) = refused(tmp_path, "[source]\n" + text.format(file))
    assert line.startswith("source.")
    assert told in line


def rows(settings: list[tuple[str, Any]] | Config, seconds: int) -> list[tuple[int, list[int | None]]]:
    """Status word and values of the load profile after some time from BEGIN on."""
    meter = Meter(settings if isinstance(settings, Config) else load(None, settings))
    meter.start(BEGIN, 0.0)
    for quarter in range(900, seconds + 1, 900):
        meter.advance(float(quarter))
    log = meter.ion.recorders["Load Profile"].log
    found = RowFormat(4).unpack(log.packed(0, log.count))
    return [(row.status, list(row.values)) for row in found]


def test_the_shape_and_the_size_reach_the_rows(tmp_path: Path) -> None:
    asleep = rows([("source.peak_kw", 0), ("source.solar_kw", 0)], DAY_S)
    assert len(asleep) == 96
    assert {value for _, values in asleep for value in values} == {0}
    office = rows([("source.peak_kw", 100)], DAY_S)
    factory = rows([("source.peak_kw", 100), ("source.shape", "factory")], DAY_S)
    assert sum(values[0] or 0 for _, values in office) > 0
    assert office != factory


def test_a_power_cut_of_the_file_is_in_the_status_word(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        '[[source.fault]]\nkind = "power_cut"\nbegin = "2026-03-01T00:50:00Z"\nduration = "20m"\n',
    )
    found = [status for status, _ in rows(made, 7200)]
    assert len(found) == 7  # that of one o'clock is missing
    assert [bool(status & 0xC0) for status in found] == [True] + [False] * 2 + [True] + [False] * 3


def test_the_meters_of_a_site_have_the_source_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(
        '[[line]]\nkind = "tcp"\nname = "bus"\n[[meter]]\nline = "bus"\nunit_id = 1\ncount = 3\n'
        '[clock]\ntime_sync_source = "COM1"\n[source]\nshape = "household"\n'
    )
    site = load_site(file)
    assert not isinstance(site, Config)
    shapes = [(made.source.settings(made.meter.seed, 0)) for _, made in site.meters()]
    assert shapes == [SimulatedSettings(seed=seed, shape="household") for seed in (1, 2, 3)]
