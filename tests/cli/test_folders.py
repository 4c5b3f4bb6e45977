"""Verbs that look into data folders: export, import-history, backup, events; `serve` on folders gone bad."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from tests.extras import needs
from tests.interop.running import started
from tests.store.builders import as_of_schema_1, contents

from iondlms.cli.backup import backup
from iondlms.cli.events import events
from iondlms.cli.export import export, recorder_of
from iondlms.cli.history import import_history
from iondlms.cli.main import VERBS
from iondlms.client.blocking import connect
from iondlms.errors import LocalError, ObjectUndefined
from iondlms.ion import Event, default_framework
from iondlms.store import Archive, Store

export_module = importlib.import_module("iondlms.cli.export")  # its verb has its name
SERVE = [sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0"]


def run(command: Any, *words: object) -> Result:
    plain = [str(word) for word in words]
    return CliRunner().invoke(command, plain, catch_exceptions=False, standalone_mode=False)


def refused(command: Any, *words: object) -> str:
    with pytest.raises(LocalError) as caught:
        run(command, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a meter with 60 rows that does not run; for reading."""
    folder = tmp_path_factory.mktemp("stopped") / "meter"
    with started([*SERVE, "--data", str(folder), "--history", "60"], "ready"):
        pass
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(stopped, tmp_path / "meter"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The data folder of a running meter, and its URL."""
    folder = tmp_path_factory.mktemp("running") / "meter"
    keys = ("load_profile.period=1", "event_log.profile_obis=1-0:99.98.0*255")
    settings = ("--history", "60", *(word for key in keys for word in ("--set", key)))
    with started([*SERVE, "--data", str(folder), *settings], "ready") as (_, lines):
        yield folder, lines[0].split()[-1]


def test_they_are_verbs() -> None:
    assert {"export", "import-history", "backup", "events"} <= set(VERBS)
    command = [sys.executable, "-m", "iondlms", "import-history", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "iondlms import-history meter.toml billing" in done.stdout


# --- export -------------------------------------------------------------------------------------------


def test_export_of_a_running_meter_is_what_a_client_reads(running: tuple[Path, str]) -> None:
    folder, url = running
    with connect(url) as meter:
        read = meter.profile("load")
    rows = list(csv.DictReader(io.StringIO(run(export, folder, "load").stdout)))
    names = ["kWh del int", "kVARh del int", "kWh rec int", "kVARh rec int"]
    assert list(rows[0]) == ["time", "status", *names]
    assert len(read.rows) >= 60
    for row, exported in zip(read.rows, rows, strict=False):
        assert row.instant == datetime.fromisoformat(exported["time"])
        assert row.status == int(exported["status"])
        assert [Decimal(str(value)) for value in row.values] == [
            Decimal(exported[name]) * 1000 for name in names
        ]


def test_export_in_every_form(stopped: Path, tmp_path: Path) -> None:
    needs("duckdb")
    text = run(export, stopped, "billing").stdout
    assert len(text.splitlines()) == 61
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert run(export, stopped, "billing", tmp_path / name).stderr == f"wrote {tmp_path / name}\n"
    assert (tmp_path / "a.csv").read_text() == text
    documents = [
        json.loads(line, parse_float=Decimal) for line in (tmp_path / "a.jsonl").read_text().splitlines()
    ]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [str(document["kWh del"]) for document in documents] == [row["kWh del"] for row in rows]
    assert run(export, stopped, "billing", "-", "-o", "jsonl").stdout == (tmp_path / "a.jsonl").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "a.parquet"]


def test_export_of_a_span(stopped: Path) -> None:
    times = [line.split(",")[0] for line in run(export, stopped, "load").stdout.splitlines()[1:]]
    part = run(export, stopped, "load", "--from", times[10], "--to", times[20].removesuffix("Z")).stdout
    assert [line.split(",")[0] for line in part.splitlines()[1:]] == times[10:21]


def test_export_of_all_recorders(stopped: Path, tmp_path: Path) -> None:
    run(export, stopped, "--all", tmp_path / "x")
    names = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert names == ["Billing.csv", "Load Profile.csv"]
    assert (tmp_path / "x" / "Load Profile.csv").read_text() == run(export, stopped, "load").stdout


def test_export_of_a_site(stopped: Path, tmp_path: Path) -> None:
    for unit in ("0001", "0002"):
        shutil.copytree(stopped, tmp_path / "site" / "loop" / unit)
    run(export, tmp_path / "site", "load", tmp_path / "x")
    run(export, tmp_path / "site" / "loop", "--all", tmp_path / "y", "-o", "jsonl")
    assert (tmp_path / "x/loop/0002/Load Profile.csv").read_text() == run(export, stopped, "load").stdout
    assert sorted(path.name for path in (tmp_path / "y/0001").iterdir()) == [
        "Billing.jsonl",
        "Load Profile.jsonl",
    ]
    assert "2 meters: name a folder" in refused(export, tmp_path / "site", "load")


def test_a_recorder_is_found_by_its_name() -> None:
    there = ["Load Profile", "Billing", "Billing 2", "load profile"]
    assert recorder_of("load profile", there) == "load profile"
    assert recorder_of("Load-Profile", there[:3]) == "Load Profile"
    assert recorder_of("billing", there) == "Billing"
    assert recorder_of("l", there[:2]) == "Load Profile"
    for wanted in ("bill", "", "x"):
        with pytest.raises(LocalError, match="there are 'Load Profile', 'Billing'"):
            recorder_of(wanted, there)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["FOLDER"], "name the recorder ('Load Profile', 'Billing'), or --all"),
        (["FOLDER", "volts"], "no recorder is called 'volts'"),
        (["FOLDER", "--all"], "name a folder for the files"),
        (["FOLDER", "--all", "a", "b"], "name only the folder"),
        (["FOLDER", "load", "-o", "parquet"], "Parquet goes into a file"),
        (["FOLDER", "load", "load.xls"], "which form?"),
        (["FOLDER", "load", "FOLDER"], "is a folder: name a file"),
        (["FOLDER", "load", "FOLDER/meter.sqlite/x.csv"], "cannot be written: File exists"),
        (["FOLDER", "load", "FOLDER/meter.sqlite", "-o", "csv"], "is a file of the meter's own"),
        (["FOLDER", "load", "--from", "soon"], "is no time"),
        (["FOLDER/none", "load"], "is no folder"),
    ],
)
def test_what_cannot_be_exported(stopped: Path, words: list[str], told: str) -> None:
    before = contents(stopped)
    assert told in refused(export, *(word.replace("FOLDER", str(stopped)) for word in words))
    assert contents(stopped) == before


def test_a_file_of_before_stays_when_an_export_fails(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_text("of before")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    file = tmp_path / "a.parquet"
    told = refused(export, stopped, "load", file, "--force")
    assert told.startswith(f"{file}: Parquet needs the extra 'data'")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
    assert (tmp_path / "a.parquet").read_text() == "of before"


def test_a_file_that_is_there_is_written_over_by_force_alone(stopped: Path, tmp_path: Path) -> None:
    file = tmp_path / "load.csv"
    run(export, stopped, "load", file)
    whole = file.read_text()
    assert f"{file} is there already" in refused(export, stopped, "billing", file)
    assert file.read_text() == whole
    run(export, stopped, "billing", file, "--force")
    assert file.read_text() == run(export, stopped, "billing").stdout
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "Load Profile.csv").write_text("of before")
    assert "is there already" in refused(export, stopped, "--all", tmp_path / "all")
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["Load Profile.csv"]  # not one of them
    run(export, stopped, "--all", tmp_path / "all", "--force")
    assert (tmp_path / "all" / "Load Profile.csv").read_text() == whole


# --- import-history -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_out_in_and_out_are_the_same_octets(folder: Path, tmp_path: Path, form: str) -> None:
    if form == "parquet":
        needs("duckdb")
    first, second = tmp_path / f"first.{form}", tmp_path / f"second.{form}"
    run(export, folder, "billing", first)
    config = tmp_path / "other.toml"
    config.write_text(f'[meter]\ndata = "{tmp_path / "other"}"\n', encoding="utf-8")
    done = run(import_history, config, "billing", first)
    assert done.stderr.startswith(
        "60 rows imported into 'Billing'; registers go on from its last row: kWh del "
    )
    run(export, tmp_path / "other", "billing", second)
    assert second.read_bytes() == first.read_bytes()


def test_a_meter_starts_on_what_was_imported(folder: Path, tmp_path: Path) -> None:
    run(export, folder, "load", tmp_path / "load.csv")
    config = tmp_path / "other.toml"
    config.write_text(f'[meter]\nhistory = 500\ndata = "{tmp_path / "other"}"\n', encoding="utf-8")
    run(import_history, config, "load", tmp_path / "load.csv")
    command = [*SERVE[:4], str(config), *SERVE[4:]]
    with started(command, "ready") as (_, lines), connect(lines[0].split()[-1]) as meter:
        read = meter.profile("load")
    exported = list(csv.reader((tmp_path / "load.csv").read_text().splitlines()))[1:]
    assert [row.instant for row in read.rows] == [datetime.fromisoformat(line[0]) for line in exported]


def test_the_registers_go_on_from_what_was_imported(folder: Path, tmp_path: Path) -> None:
    file, config = tmp_path / "billing.csv", tmp_path / "other.toml"
    run(export, folder, "billing", file)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    for number, row in enumerate(rows):
        row["kWh del"] = f"{4321.5 + number:.3f}"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    config.write_text(f'[meter]\ndata = "{tmp_path / "other"}"\n[billing]\nperiod = 1\n', encoding="utf-8")
    told = run(import_history, config, "billing", file).stderr
    assert "registers go on from its last row: kWh del 4380.500, " in told
    command = [*SERVE[:4], str(config), *SERVE[4:]]
    with started(command, "ready") as (_, lines), connect(lines[0].split()[-1]) as meter:
        assert 4380_500 <= cast("int", meter.get("1-1:1.8.0*255").value) < 4390_000
        until = time.monotonic() + 10
        while len(meter.profile("billing").rows) == 60:
            assert time.monotonic() < until
    after = list(csv.DictReader(run(export, tmp_path / "other", "billing").stdout.splitlines()))[59:]
    energies = [float(row["kWh del"]) for row in after]
    assert energies[0] == 4380.5
    assert energies == sorted(energies)


def billing_row(path: Path, **values: str) -> Path:
    """Write a file of one row of the billing recorder, these values in it and no others."""
    columns = ["time", "status", *default_framework().data_recorders[1].sources]
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerow(
            {"time": "2026-01-01T00:00:00Z", "status": "0"}
            | {name.replace("_", " "): each for name, each in values.items()}
        )
    return path


def test_the_registers_turn_over_where_the_configuration_says(tmp_path: Path) -> None:
    config, data = tmp_path / "meter.toml", tmp_path / "data"
    text = f'[meter]\ndata = "{data}"\n[power_meter]\nrollover = '
    config.write_text(text + "100000000\n", encoding="utf-8")
    file = billing_row(tmp_path / "a.csv", kWh_del="12000000")
    told = "registers go on from its last row: kWh del 12000000.000\n"
    assert run(import_history, config, "billing", file).stderr.endswith(told)
    assert kept_kwh(data) == 12_000_000
    # The folder knows it from then on.
    assert run(import_history, data, "billing", file, "--replace").stderr.endswith(told)
    assert kept_kwh(data) == 12_000_000
    config.write_text(text + "10000000\n", encoding="utf-8")
    before = contents(data)
    assert "kWh del is 12000000.000, but a register turns from 10000000 to 0" in refused(
        import_history, config, "billing", file, "--replace"
    )
    file = billing_row(tmp_path / "b.csv", kWh_del="-0.001")
    told = refused(import_history, data, "billing", file, "--replace")
    assert told.startswith("row 2026-01-01T00:00:00.000Z: kWh del is -0.001, ")
    assert told.endswith("never negative; correct the row")
    assert contents(data) == before


def test_a_corrected_file_takes_back_what_the_wrong_one_raised(tmp_path: Path) -> None:
    config, data = tmp_path / "meter.toml", tmp_path / "data"
    config.write_text(f'[meter]\ndata = "{data}"\n', encoding="utf-8")
    run(import_history, config, "billing", billing_row(tmp_path / "a.csv", kWh_del="9000000", kWh_rec="5"))
    done = run(
        import_history,
        data,
        "billing",
        billing_row(tmp_path / "b.csv", kWh_del="90", kWh_rec="0"),
        "--replace",
    )
    assert done.stderr == (
        "1 rows imported into 'Billing'; 1 replaced; registers go on from its last row: kWh del 90.000;"
        " registers go on as before the replaced rows: kWh rec 0.000\n"
    )
    assert kept_kwh(data) == 90


def kept_kwh(data: Path) -> float:
    with Archive.open(data) as archive:
        state = archive.state()
    assert state is not None
    return state.power_meter.totals.w_delivered / 3.6e9


def test_a_running_meter_is_left_alone(running: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = running
    run(export, folder, "load", tmp_path / "load.csv")
    assert "in use by another process" in refused(import_history, folder, "load", tmp_path / "load.csv")


def test_rows_there_stay_without_replace(folder: Path, tmp_path: Path) -> None:
    run(export, folder, "load", tmp_path / "load.csv")
    before = run(export, folder, "load").stdout
    told = refused(import_history, folder, "load", tmp_path / "load.csv")
    assert told.startswith("60 rows of 'Load Profile' are within the span of the file; --replace")
    done = run(import_history, folder, "load", tmp_path / "load.csv", "--replace")
    assert done.stderr == "60 rows imported into 'Load Profile'; 60 replaced\n"
    assert run(export, folder, "load").stdout == before


def test_a_fault_in_the_file_changes_nothing(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    lines = run(export, folder, "load").stdout.splitlines()
    path.write_text("\n".join([*lines[:40], lines[40] + "9", *lines[41:]]))
    before = contents(folder)
    assert "line 41: " in refused(import_history, folder, "load", path, "--replace")
    run(export, folder, "billing", path, "--force")
    assert "its columns are not the recorder's" in refused(import_history, folder, "load", path, "--replace")
    assert contents(folder) == before


def test_a_configuration_that_does_not_fit(folder: Path, tmp_path: Path) -> None:
    path, config = tmp_path / "load.csv", tmp_path / "meter.toml"
    run(export, folder, "load", path)
    config.write_text(f'[meter]\ndata = "{folder}"\n[load_profile]\ndepth = 77\n', encoding="utf-8")
    assert "has other settings in the configuration" in refused(import_history, config, "load", path)
    config.write_text("", encoding="utf-8")
    assert "meter.data names no folder" in refused(import_history, config, "load", path)
    config.write_text(
        '[[meter]]\nline = "loop"\nunit_id = 1\n[[line]]\nkind = "tcp"\nname = "loop"\n', encoding="utf-8"
    )
    assert "is of several meters" in refused(import_history, config, "load", path)
    site = tmp_path / "site"
    for unit in ("0001", "0002"):
        shutil.copytree(folder, site / "loop" / unit)
    assert f"name one, such as {site / 'loop' / '0001'}" in refused(import_history, site, "load", path)


def test_a_folder_of_before_the_names_takes_its_configuration(folder: Path, tmp_path: Path) -> None:
    path, config = tmp_path / "load.csv", tmp_path / "meter.toml"
    run(export, folder, "load", path)
    as_of_schema_1(folder)
    assert "start its meter on it once" in refused(export, folder, "load")
    assert "start its meter on it once" in refused(import_history, folder, "load", path)
    # The folder's recorders were deepened by no history: 60 rows fit the default.
    config.write_text(f'[meter]\ndata = "{folder}"\n', encoding="utf-8")
    run(import_history, config, "load", path, "--replace")
    assert run(export, folder, "load").stdout == path.read_text()


# --- backup -------------------------------------------------------------------------------------------


def test_a_backup_of_a_running_meter(running: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = running
    before = run(export, folder, "load").stdout
    done = run(backup, folder, tmp_path / "copy")
    assert done.stderr == f"copied {folder} to {tmp_path / 'copy'}\n"
    assert run(export, tmp_path / "copy", "load").stdout.startswith(before)
    with started([*SERVE, "--data", str(tmp_path / "copy"), "--set", "load_profile.period=1"], "ready"):
        pass
    assert run(export, tmp_path / "copy", "load").stdout.startswith(before)
    assert "overwrites nothing" in refused(backup, folder, tmp_path / "copy")


def test_a_backup_of_a_site(stopped: Path, tmp_path: Path) -> None:
    for unit in ("0001", "0002"):
        shutil.copytree(stopped, tmp_path / "site" / "loop" / unit)
    run(backup, tmp_path / "site", tmp_path / "copy")
    assert run(export, tmp_path / "copy/loop/0002", "load").stdout == run(export, stopped, "load").stdout


# --- events -------------------------------------------------------------------------------------------


def documents(*words: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(events, *words, "-o", "json").stdout)
    return found


def test_events_of_a_folder(folder: Path) -> None:
    found = documents(folder)
    assert [(each["priority"], each["priority_words"], each["cause"]) for each in found] == [
        (30, "warning", "Power up"),
        (30, "warning", "Power down"),
    ]
    assert found[0]["effect"] == "ION8650 started"
    times = [datetime.fromisoformat(each["time"]) for each in found]
    assert times == sorted(times)
    assert abs(times[1] - datetime.now(UTC)) < timedelta(minutes=5)
    assert "Power down" in run(events, folder).stdout
    assert [json.loads(line) for line in run(events, folder, "-o", "jsonl").stdout.splitlines()] == found


def test_events_by_priority_and_time(folder: Path) -> None:
    kinds = [
        (5, "reset"),
        (10, "setup change"),
        (25, "information"),
        (30, "warning"),
        (255, "failure"),
        (77, ""),
    ]
    with closing(sqlite3.connect(folder / "meter.sqlite", isolation_level=None)) as database:
        database.execute("delete from event")
        for number, (priority, words) in enumerate(kinds):
            row = (number, 1_773_136_800_000 + number * 60_000, priority, words, "")
            database.execute("insert into event values (?, ?, ?, ?, ?)", row)
    assert [(each["priority"], each["priority_words"]) for each in documents(folder)] == kinds
    assert len(documents(folder, "--priority", "warning")) == 3
    assert len(documents(folder, "--priority", "setup-change")) == 5
    assert len(documents(folder, "--priority", "200")) == 1
    span = ("--from", "2026-03-10T10:01", "--to", "2026-03-10T11:03:00+01:00")
    assert [each["cause"] for each in documents(folder, *span)] == ["setup change", "information", "warning"]
    assert "note: no events" in run(events, folder, "--from", "2030-01-01").stderr
    for wrong in ("256", "loud", "-1"):
        assert f"--priority {wrong}: write 0 to 255, or reset" in refused(
            events, folder, f"--priority={wrong}"
        )


def test_events_of_a_site_tell_whose_they_are(stopped: Path, tmp_path: Path) -> None:
    for unit in ("0001", "0002"):
        shutil.copytree(stopped, tmp_path / "site" / "loop" / unit)
    found = documents(tmp_path / "site")
    assert [each["meter"] for each in found] == ["loop/0001", "loop/0002"] * 2
    shutil.copytree(tmp_path / "site" / "loop" / "0002", tmp_path / "site" / "roof" / "0002")
    assert len(documents(tmp_path / "site", "--unit", "2")) == 4
    assert {each["meter"] for each in documents(tmp_path / "site", "-s", "2")} == {"loop/0002", "roof/0002"}
    assert {each["meter"] for each in documents(tmp_path / "site", "--line", "loop")} == {
        "loop/0001",
        "loop/0002",
    }
    # Of one, the form is that of one.
    (one, _) = documents(tmp_path / "site", "--unit", "2", "--line", "roof")
    assert "meter" not in one
    told = "no meter has --unit 3; there are loop/0001, loop/0002, roof/0002"
    assert told in refused(events, tmp_path / "site", "--unit", "3")
    assert "no meter has --unit 1 --line roof" in refused(
        events, tmp_path / "site", "--unit=1", "--line=roof"
    )
    assert "the folder is of one meter" in refused(events, stopped, "--unit", "1")
    assert "a URL names its line itself" in refused(events, "tcp://127.0.0.1:1", "--line", "loop")


@pytest.mark.parametrize("more", [(), ("-w",)])
def test_events_over_dlms_are_those_of_the_folder(running: tuple[Path, str], more: tuple[str, ...]) -> None:
    folder, url = running
    # The association that is opened to read is shown once it is durable, which the answer does not wait for.
    while len(over_dlms := documents(url, *more)) < 2:
        pass
    assert over_dlms[0]["cause"] == "Power up"
    kept = documents(folder)[: len(over_dlms)]
    assert len(kept) == len(over_dlms)
    for mine, theirs in zip(kept, over_dlms, strict=True):
        times = [datetime.fromisoformat(each["time"]) for each in (mine, theirs)]
        assert timedelta(0) <= times[0] - times[1] < timedelta(milliseconds=10)  # date-times have hundredths
        assert mine | {"time": ""} == theirs | {"time": ""}
    assert [each["cause"] for each in documents(url, "--priority", "warning")] == ["Power up"]
    since = over_dlms[1]["time"]  # of the first association
    assert [each["time"] for each in documents(url, "--from", since, "--to", since)] == [since]
    assert documents(url, "--from", "2030-01-01") == []


def test_a_meter_that_shows_no_events(running: tuple[Path, str]) -> None:
    _, url = running
    with pytest.raises(ObjectUndefined, match=r'shows no events at 1-0:99\.97\.0.*`profile_obis = "1-0:99'):
        run(events, url, "--obis", "1-0:99.97.0*255")
    assert "is no profile of events" in refused(events, url, "--obis", "1-0:99.1.0*255")


def test_events_of_a_folder_that_is_none(tmp_path: Path) -> None:
    assert "is no folder" in refused(events, tmp_path / "nothing")
    assert "is no URL" in refused(events, "what:ever")


# --- serve on folders gone bad, and on a full disk ----------------------------------------------------


def _torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table other (x)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 99")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_torn, "is damaged or no database"),
        (_foreign, "is a database of another program; choose another data folder"),
        (_newer, "was written by a newer iondlms (schema 99); use that one"),
    ],
)
def test_a_meter_does_not_start_on_it_and_leaves_it_alone(
    folder: Path, harm: Callable[[Path], None], told: str
) -> None:
    harm(folder / "meter.sqlite")
    before = contents(folder)
    done = subprocess.run(
        [*SERVE, "--data", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert contents(folder) == before
    assert done.stdout == ""


def test_a_meter_on_a_full_disk_goes_on_says_so_and_catches_up(tmp_path: Path) -> None:
    """A limit on the size of its files stands for the disk: its writes fail in the same place."""
    folder = tmp_path / "meter"
    settings = ("load_profile.period=1", "load_profile.depth=100000")
    command = [*SERVE, "--data", str(folder), *(word for each in settings for word in ("--set", each))]
    with started(command, "ready") as (process, lines):
        url = lines[0].split()[-1]
        wal = folder / "meter.sqlite-wal"
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (wal.stat().st_size, most))
        with connect(url) as meter:
            begin = datetime.now(UTC)
            rows = 0
            while datetime.now(UTC) - begin < timedelta(seconds=3.5):
                rows = len(meter.profile("load").rows)  # it answers
            stuck = rows
            assert stuck < 4
            assert not [event for event in _kept_events(folder) if event.cause == "Data folder"]
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
            while rows < stuck + 3:
                rows = len(meter.profile("load").rows)
                assert datetime.now(UTC) - begin < timedelta(seconds=30)
            times = [row.instant for row in meter.profile("load").rows if row.instant is not None]
        assert times == [times[0] + number * timedelta(seconds=1) for number in range(len(times))]
    told = [(event.priority, event.effect) for event in _kept_events(folder) if event.cause == "Data folder"]
    assert [priority for priority, _ in told] == [255, 25]
    assert re.search("disk I/O error|full|limit", told[0][1])
    with Store.open(folder) as store:
        assert store.load() is not None


def _kept_events(folder: Path) -> tuple[Event, ...]:
    with Archive.open(folder) as archive:
        return archive.events()


@pytest.mark.parametrize("utc_ms", [2**63 - 1, -(2**63), 253_370_764_800_000])
def test_events_at_no_time(folder: Path, utc_ms: int) -> None:
    with closing(sqlite3.connect(folder / "meter.sqlite", isolation_level=None)) as database:
        database.execute("update event set utc_ms = ? where sequence = 1", (utc_ms,))
    assert "meter.sqlite is damaged: event 1 has no time" in refused(events, folder)


def test_two_exports_at_once_into_one_file(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "load.csv"
    write_text = export_module.write_text
    begun: list[int] = []

    def while_another_does(rows: Any, sources: Any, form: Any, stream: Any) -> None:
        begun.append(1)
        if len(begun) == 1:
            run(export, stopped, "load", file)
        write_text(rows, sources, form, stream)

    monkeypatch.setattr(export_module, "write_text", while_another_does)
    run(export, stopped, "load", file)
    assert len(begun) == 2
    assert file.read_text().count("\n") == 61
    assert list(tmp_path.iterdir()) == [file]


def test_a_broken_export_leaves_nothing(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "write_text", full)
    assert "cannot be written: No space left" in refused(export, stopped, "load", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []
