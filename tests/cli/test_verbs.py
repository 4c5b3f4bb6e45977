"""The verbs that read a meter, as processes against `iondlms serve`: output, exit status, one-line errors."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.interop.running import meter

from iondlms.cli.read import _scaled
from iondlms.client import NAMES
from iondlms.codec import make

PASSWORD = "verbs-12"


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iondlms", *words]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("IONDLMS_")}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=plain | environment,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("verbs")
    with meter(folder, "--history", "200", "--set", "clock.zone=Europe/Madrid", password=PASSWORD) as port:
        yield f"tcp://127.0.0.1:{port}?unit=100"


def ok(*words: str, **environment: str) -> str:
    done = run(*words, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_ping(url: str) -> None:
    assert "SCH8650W0100A001 answers" in ok("ping", url)
    (facts,) = documents(ok("ping", url, "-w", "-o", "json"))
    assert (facts["framing"], facts["client"], facts["max_pdu"]) == ("wrapper", 16, 1024)
    assert facts["unit"] is None  # the wrapper carries none
    assert abs(facts["clock_apart_s"]) < 5


def test_objects(url: str) -> None:
    found = {item["logical_name"]: item for item in documents(ok("objects", url, "-o", "json"))}
    assert len(found) == 22
    assert found["0-0:40.0.0*255"]["attributes"] == "1-6:r 7:- 8-9:r"
    assert found["0-0:1.0.0*255"]["attributes"] == "1-9:r"
    assert found["1-1:1.29.0*255"]["name"] == "kWh-del-int"
    setting = documents(ok("objects", url, "-c", "1", "-o", "json", IONDLMS_PASSWORD=PASSWORD))
    assert [item["attributes"] for item in setting if item["class"] == 8] == ["1:r 2:rw 3-9:r"]


def test_the_load_profile_in_every_form(url: str) -> None:
    words = ("profile", url, "load", "--last", "4")
    rows = documents(ok(*words, "-o", "json"))
    names = ["time", "status", "status_words", "kWh-del-int", "kVARh-del-int", "kWh-rec-int", "kVARh-rec-int"]
    assert [list(row) for row in rows] == [[*names, "units"]] * 4
    assert [json.loads(line) for line in ok(*words, "-o", "jsonl").splitlines()] == rows
    header, *lines = csv.reader(io.StringIO(ok(*words, "-o", "csv")))
    assert header[3] == "kWh-del-int (Wh)"
    assert [[line[0], int(line[3])] for line in lines] == [[row["time"], row["kWh-del-int"]] for row in rows]
    table = ok(*words)
    assert "kWh-del-int (Wh)" in table
    assert all(row["time"] in table for row in rows)
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(minutes=15)}
    assert all(time.utcoffset() in (timedelta(hours=1), timedelta(hours=2)) for time in times)
    in_utc = documents(ok(*words, "-o", "json", "--utc"))
    assert [row["time"] for row in in_utc] == [time.astimezone(UTC).isoformat() for time in times]


def test_parts_of_a_profile(url: str) -> None:
    rows = documents(ok("profile", url, "billing", "-o", "json"))
    assert len(rows) == 200
    assert documents(ok("profile", url, "billing", "--entries", "3-5", "-o", "json")) == rows[2:5]
    assert documents(ok("profile", url, "billing", "--entries", "198-", "-o", "json")) == rows[197:]
    first, last = rows[10]["time"], rows[20]["time"]
    part = ok("profile", url, "billing", "--from", first, "--to", last, "-o", "json", "-w")
    assert documents(part) == rows[10:21]
    chosen = ok("profile", url, "billing", "--last", "2", "--columns", "kWh-del,PF-sign-mean", "-o", "json")
    assert documents(chosen) == [
        {key: row[key] for key in ("time", "kWh-del", "PF-sign-mean")} | {"units": {"kWh-del": "Wh"}}
        for row in rows[-2:]
    ]
    (raw,) = documents(ok("profile", url, "billing", "--last", "1", "--raw", "-o", "json"))
    assert raw["PF-sign-mean"] == round(rows[-1]["PF-sign-mean"] * 1000)


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(each)


@pytest.mark.parametrize(
    "words", [("ping",), ("objects",), ("read", "clock:0", "kWh-del"), ("profile", "billing"), ("clock",)]
)
def test_keys_in_json_are_snake_case_and_columns_the_names_of_the_ion_map(
    url: str, words: tuple[str, ...]
) -> None:
    verb, *rest = words
    found = set(keys_of(documents(ok(verb, url, *rest, "-o", "json"))))
    assert found
    assert [key for key in found - set(NAMES) if re.fullmatch("[a-z]+(_[a-z]+)*", key) is None] == []


def test_a_range_without_offset_is_local_time_of_the_meter(url: str) -> None:
    rows = documents(ok("profile", url, "load", "--last", "8", "-o", "json"))
    local = rows[0]["time"][:19]
    assert documents(ok("profile", url, "load", "--from", local, "-o", "json")) == rows


def test_read(url: str) -> None:
    values = documents(
        ok("read", url, "kWh-del", "1-1:13.0.0*255", "name", "load:7", "1.1.1.8.0.255:3", "-o", "json")
    )
    assert [item["attribute"] for item in values] == [2, 2, 2, 7, 3]
    assert values[0]["unit"] == "Wh"
    assert -1 <= values[1]["value"] <= 1
    assert values[2]["value"] == "SCH8650W0100A001"
    assert values[3]["value"] == 200
    assert values[4]["value"] == [0, 30]
    everything = documents(ok("read", url, "clock:0", "-o", "json"))
    assert [item["attribute"] for item in everything] == list(range(1, 10))


def test_the_clock_is_read_and_set(url: str, tmp_path: Path) -> None:
    (reading,) = documents(ok("clock", url, "-o", "json"))
    assert reading["deviation_min"] in (-60, -120)
    assert abs(reading["clock_apart_s"]) < 5
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    wanted = datetime.now(UTC) + timedelta(hours=3)
    words = ("clock", url, "--set", wanted.isoformat(), "--password-file", str(secret), "-o", "json")
    (before,) = documents(ok(*words, "--dry-run"))
    assert abs(before["clock_apart_s"]) < 5
    before, after = documents(ok(*words, "--force"))
    assert (before["when"], after["when"]) == ("before", "after")
    assert abs(datetime.fromisoformat(after["utc"]) - wanted) < timedelta(seconds=5)
    back = ("clock", url, "--set", "now", "--limit", "181m", "-o", "json")
    (set_back,) = documents(ok(*back, IONDLMS_PASSWORD=PASSWORD))[1:]
    assert abs(set_back["clock_apart_s"]) < 2


def test_a_long_step_is_told_and_not_made(url: str) -> None:
    wanted = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    words = ("clock", url, "--set", wanted.isoformat(), "-o", "json")
    dry = run(*words, "--dry-run", IONDLMS_PASSWORD=PASSWORD)
    told = dry.stderr.splitlines()
    assert dry.returncode == 0
    assert re.fullmatch(r"the meter shows .*; its clock goes 1(079\d|0800) s \([23]:.*\) forward", told[0])
    # As the recorder counts: the quarters of an hour that the step goes onto or over.
    begin = datetime.fromisoformat(documents(dry.stdout)[0]["utc"])
    quarters = int(wanted.timestamp() // 900) - int(begin.timestamp() // 900)
    assert told[1].startswith(f"rows of the load profile (900 s) left out: {quarters}, of ")
    assert told[1].endswith(
        f", ..., {datetime.fromtimestamp(wanted.timestamp() // 900 * 900, UTC):%F %T} UTC"
    )
    assert told[2].startswith("W! without --dry-run: a step of 10")
    assert told[3].startswith("would send ")
    done = run(*words, IONDLMS_PASSWORD=PASSWORD)
    assert done.returncode == 2
    assert done.stderr.splitlines()[2].startswith("iondlms: a step of 10")
    assert "give --force or --limit" in done.stderr
    assert done.stdout == ""
    (reading,) = documents(ok("clock", url, "-o", "json"))
    assert abs(reading["clock_apart_s"]) < 5


def test_the_trace_shows_octets_and_hides_the_password(url: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    done = run(
        "clock",
        url,
        "-c",
        "1",
        "--trace",
        "--trace-explain",
        "--trace-file",
        str(path),
        IONDLMS_PASSWORD=PASSWORD,
    )
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert any(line.startswith("TX: ") and " 7E A0 0A " in line for line in lines)
    assert any(line.startswith("RX: ") for line in lines)
    assert "SNRM" in done.stderr
    secret = PASSWORD.encode().hex(" ").upper()
    kept = path.read_text(encoding="utf-8")
    for text in (done.stderr, kept):
        assert secret not in text
        assert PASSWORD not in text
    assert {json.loads(line)["direction"] for line in kept.splitlines()} == {"TX", "RX"}
    assert secret in run("ping", url, "-c", "1", "-t", "--trace-secrets", IONDLMS_PASSWORD=PASSWORD).stderr


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["ping", "nonsense"], 2, "is no URL of a meter"),
        (["ping", "URL&colour=red"], 2, "colour= is no option of a URL"),
        (["read", "URL", "kWh-dell"], 2, "did you mean kWh-del"),
        (["read", "URL", "1-1:1.99.0*255"], 1, "object"),
        (["profile", "URL", "load", "--from", "yesterday-ish"], 2, "is no time"),
        (["profile", "URL", "load", "--entries", "9-3"], 2, "--entries"),
        (["profile", "URL", "load", "--columns", "kWh-del"], 2, "is no column of this profile"),
        (["profile", "URL", "1-0:77.7.7*255"], 1, ""),
        (["clock", "URL", "--dry-run"], 2, "--dry-run goes with --set"),
        (["clock", "URL", "--force"], 2, "--force goes with --set"),
        (["clock", "URL", "--set", "now", "--limit", "much"], 2, "--limit=much is no time"),
        (["clock", "URL", "--set", "2026-11-22T10:00", "--password-file", "PASSWORD"], 2, "add the offset"),
        (["clock", "URL", "--set", "now"], 2, "client 1 needs a password"),
        (["ping", "URL", "-c", "1", "--password-file", "WRONG"], 4, "authentication-failure"),
        (["ping", "URL", "-c", "5"], 4, "refused the association"),
        (["ping", "URL", "--password-file", "MISSING"], 2, "cannot be read"),
        (["ping", "hdlc://127.0.0.1:1?timeout=1s"], 3, "no connection to 127.0.0.1:1"),
        (["ping", "URL&framing=hdlc", "-s", "101", "--timeout", "0.1", "--retries", "1"], 3, ""),
        (["ping", "SILENT", "--timeout", "0.1", "--retries", "1"], 3, ""),
    ],
)
def test_an_error_is_one_line_and_an_exit_status(
    url: str, tmp_path: Path, words: list[str], status: int, told: str
) -> None:
    (tmp_path / "right").write_text(PASSWORD, encoding="utf-8")
    (tmp_path / "wrong").write_text("guess", encoding="utf-8")
    with silent() as silent_url:
        stand_in = {
            "URL": url,
            "SILENT": silent_url,
            "PASSWORD": str(tmp_path / "right"),
            "WRONG": str(tmp_path / "wrong"),
            "MISSING": str(tmp_path / "missing"),
        }
        done = run(*(stand_in.get(word, word.replace("URL", url)) for word in words))
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("iondlms: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@contextmanager
def silent() -> Iterator[str]:
    """A host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        for line in taken:
            line.close()


def test_usage_errors_of_the_command_line_itself() -> None:
    assert run("profile").returncode == 2
    assert run("nonsense").returncode == 2
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("iondlms, version ")


def test_demo_reads_what_was_recorded() -> None:
    done = run("demo", "--seed", "3", "--zone", "Pacific/Auckland")
    assert done.returncode == 0, done.stderr
    assert "All 384 rows that were read, over HDLC and over the wrapper, are as recorded." in done.stdout
    assert "power up, power down" in done.stdout
    assert "kWh-del-int (Wh)" in done.stdout


def test_attribute_0_is_scaled_like_the_value_itself(url: str) -> None:
    (value,) = documents(ok("read", url, "PF-sign-mean", "-o", "json"))
    everything = documents(ok("read", url, "PF-sign-mean:0", "-o", "json"))
    assert [item["what"] for item in everything] == ["logical_name", "value", "scaler_unit"]
    assert abs(everything[1]["value"]) <= 1
    assert everything[1]["unit"] == value["unit"]
    assert everything[0]["value"] == "1-1:13.0.0*255"


def test_a_scaler_that_no_decimal_takes_leaves_the_number_as_it_is() -> None:
    energy = make.double_long(5)
    assert _scaled(energy, make.structure(make.integer(-1), make.enum(30))) == (Decimal("0.5"), "Wh")
    assert _scaled(energy, make.structure(make.double_long(1 << 30), make.enum(30))) == (5, "")


def test_json_rows_carry_their_units(url: str) -> None:
    (row,) = documents(ok("profile", url, "load", "--last", "1", "-o", "json"))
    assert row["units"]["kWh-del-int"] == "Wh"
    (row,) = documents(ok("profile", url, "load", "--last", "1", "-o", "json", "--raw"))
    assert "units" not in row


def test_whoever_has_read_enough_of_us_is_no_failure(url: str) -> None:
    command = f"{sys.executable} -m iondlms profile '{url}' load -o csv | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


@pytest.mark.parametrize("redirection", [">&-", "> /dev/full"])
def test_an_output_that_cannot_be_written_is_one_line(url: str, redirection: str) -> None:
    command = f"{sys.executable} -m iondlms ping '{url}' {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_range_says_so_and_a_reversed_one_is_refused(url: str) -> None:
    done = run("profile", url, "load", "--from", "2020-01-01", "--to", "2020-01-02", "-o", "jsonl")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "note: no rows\n")
    done = run("profile", url, "load", "--from", "2020-01-02", "--to", "2020-01-01")
    assert done.returncode == 2


def test_the_wrapper_says_that_it_knows_no_unit(url: str) -> None:
    assert "over wrapper, any unit" in ok("ping", url, "-w")


def test_a_denied_clock_set_and_refused_profiles_say_what_to_try(url: str, tmp_path: Path) -> None:
    done = run("profile", url, "1-0:99.77.0*255")
    assert "lists what it has" in done.stderr
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    with meter(tmp_path, "--set", "clock.time_sync_source=COM1", password=PASSWORD) as port:
        words = ("--set", "now", "--limit", "1h", "--password-file", str(tmp_path / "password"))
        done = run("clock", f"tcp://127.0.0.1:{port}?unit=100", *words)
    assert done.returncode != 0
    assert "read-write-denied (3); the port may not be the meter's Time Sync Source" in done.stderr


WRONG_UNIT = "unit=101 did not answer over HDLC, and the TCP wrapper, over which somebody does, names no unit"


def test_another_meter_that_answers_over_the_wrapper_is_told_and_never_set(url: str, tmp_path: Path) -> None:
    other = f"{url.replace('unit=100', 'unit=101')}&timeout=300ms"
    done = run("profile", other, "load", "--last", "1", "-o", "jsonl")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.count(WRONG_UNIT) == 1
    assert done.stderr.startswith("W! ")
    assert run("profile", other, "load", "--last", "1", "-w").stderr == ""  # any will do
    assert WRONG_UNIT not in run("ping", url.partition("?")[0]).stderr
    by_option = run("read", f"{url.partition('?')[0]}?timeout=300ms", "kWh-del", "-s", "101")
    assert WRONG_UNIT in by_option.stderr
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    words = ("clock", other, "--set", "now", "--force", "--password-file", str(tmp_path / "password"))
    refusal = run(*words)
    assert refusal.returncode == 2
    assert f"iondlms: nothing is set: {WRONG_UNIT}" in refusal.stderr
    assert "sent" not in refusal.stderr
    dry = run(*words, "--dry-run")
    assert f"W! without --dry-run: nothing is set: {WRONG_UNIT}" in dry.stderr


def test_a_scan_of_units_that_finds_the_wrapper_names_no_unit(url: str) -> None:
    place = url.partition("?")[0]
    (found,) = documents(ok("scan", place, "--units", "2-4", "--fast", "-o", "json"))
    assert found["framing"] == "wrapper"
    assert "unit=" not in found["url"]
    assert found["unit"] is None
    assert "the wrapper, which names no unit" in ok("scan", f"{place}?unit=7", "--fast")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("+30s", "--set '+30s' is no time to set; write now, or ISO 8601 with its offset"),
        ("2026-11-22T14:00", "add the offset, as in 2026-11-22T14:00+01:00 or Z"),
    ],
)
def test_a_time_to_set_that_is_none_says_what_would_be(url: str, text: str, told: str) -> None:
    done = run("clock", url, "--set", text)
    assert done.returncode == 2
    assert told in done.stderr
    assert "2026-11-22," not in done.stderr
