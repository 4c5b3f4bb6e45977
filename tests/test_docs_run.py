"""What the docs show is run: commands and Python blocks against a live meter, settings against the code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient
from tests.sources.modbus_meter import OtherMeter

from iondlms.client import connect
from iondlms.meter import Meter
from iondlms.meter.config import Config, load
from iondlms.sources import Replay

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
METER = ROOT / "docs" / "meter.md"
READ = ROOT / "docs" / "read.md"
SHOWN = "127.0.0.1:4059"  # the address in all examples


def blocks(page: Path, language: str = "") -> list[str]:
    # All are matched, so that the fence that ends one is not taken for the begin of another.
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for of, block in found if of == language]


def commands(page: Path) -> list[str]:
    return [line for block in blocks(page) for line in block.splitlines() if line.startswith("iondlms ")]


def verb(command: str) -> str:
    return command.split()[1]


def as_run(command: str, address: str) -> str:
    """The command as a shell runs it here, with another address."""
    program = f'"{sys.executable}" -m iondlms '
    return program + command.removeprefix("iondlms ").replace(SHOWN, address)


@dataclass(frozen=True)
class Running:
    address: str
    folder: Path


def served(command: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A meter by a command of the docs, on a free port: the process, and where it listens."""
    process = subprocess.Popen(
        ["bash", "-c", "exec " + as_run(command, "127.0.0.1:0")],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline(), process.stdout.readline()]
    found = re.fullmatch(r"listening ETHERNET tcp://(\S+)\n", told[0])
    if found is None or told[1] != "ready\n":
        process.kill()
        pytest.fail(f"{command}: {told} {process.communicate()}")
    return process, found[1]


def ended(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=20)
    assert process.returncode == 0, talk


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The meter that README.md starts; its password file comes from README.md too."""
    folder = tmp_path_factory.mktemp("docs")
    lines = [line for block in blocks(README) for line in block.splitlines()]
    secret = next(line for line in lines if line.startswith("echo "))
    subprocess.run(["bash", "-c", secret], cwd=folder, check=True)
    process, address = served(next(line for line in commands(README) if verb(line) == "serve"), folder)
    try:
        yield Running(address, folder)
    finally:
        ended(process)


# Devices, hosts and captures that no test machine has; tests/cli runs scan and sniff on pairs of its own.
NOT_HERE = ("/dev/", "192.168.", "capture.pcapng", "session.txt")


@pytest.mark.parametrize("page", [README, READ], ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_they_are_shown_for(page: Path, meter: Running) -> None:
    here = [line for line in commands(page) if not any(part in line for part in NOT_HERE)]
    asking = [line for line in here if verb(line) not in ("serve", "fleet", "web")]
    assert len(asking) > 5, "no commands found"
    for line in asking:
        run = subprocess.run(
            ["bash", "-c", as_run(line, meter.address)],
            cwd=meter.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "200"},
        )
        assert run.returncode == 0, f"{line}: {run.stderr}"
        assert run.stdout or run.stderr or ">" in line, f"{line} printed nothing"


def test_the_fleet_starts(tmp_path: Path) -> None:
    (command,) = [line for line in commands(README) if verb(line) == "fleet"]
    process = subprocess.Popen(
        ["bash", "-c", "exec " + as_run(command.replace("127.0.0.1:20000", "127.0.0.1:0"), SHOWN)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline().split()[:1] for _ in range(3)]
    ended(process)
    assert told == [["listening"], ["listening"], ["ready:"]]
    assert len((tmp_path / "fleet.csv").read_text("utf-8").splitlines()) == 1001


def test_the_meter_of_ones_own_making_starts(tmp_path: Path) -> None:
    init, serve = (
        next(
            line for line in commands(README) if line.startswith(f"iondlms {words}") and "meter.toml" in line
        )
        for words in ("config init", "serve")
    )
    ran(init, tmp_path)
    process, _ = served(serve, tmp_path)
    ended(process)


@pytest.mark.parametrize("command", [c for c in commands(METER) if verb(c) == "serve" and ".toml" not in c])
def test_the_meters_of_the_page_start_and_end(command: str, tmp_path: Path) -> None:
    process, _ = served(command, tmp_path)
    ended(process)


def test_the_verbs_on_data_folders_do_what_the_page_shows(tmp_path: Path) -> None:
    process, _ = served("iondlms serve --data meter --history 96 --listen 127.0.0.1:0", tmp_path)
    ended(process)
    on_folders = {"export", "import-history", "backup", "events"}
    here = [line for line in commands(METER) if verb(line) in on_folders]
    assert {verb(line) for line in here} == on_folders
    for line in here:
        run = subprocess.run(
            ["bash", "-c", as_run(line, SHOWN)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, f"{line}: {run.stderr}"
        assert run.stdout or run.stderr, line


SERVES = "StartAsyncTcpServer"  # a program that ends when it is told to


@pytest.mark.parametrize(
    ("page", "number"),
    [
        (page, number)
        for page in (README, READ, METER)
        for number, program in enumerate(blocks(page, "python"))
        if SERVES not in program
    ],
    ids=lambda value: value.name if isinstance(value, Path) else str(value),
)
def test_python_of_the_docs_runs(page: Path, number: int, meter: Running) -> None:
    program = blocks(page, "python")[number].replace(SHOWN, meter.address)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip(), "it prints nothing"


def test_the_shown_modbus_server_has_the_registers_that_it_says() -> None:
    (program,) = [each for each in blocks(METER, "python") if SERVES in each]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = program.replace("5020", str(port))
    assert shown != program
    with subprocess.Popen([sys.executable, "-c", shown]) as process:
        try:
            client = ModbusTcpClient("127.0.0.1", port=port)
            end = time.monotonic() + 30
            while not client.connect():  # type: ignore[no-untyped-call]
                assert process.poll() is None
                assert time.monotonic() < end
            answer = client.read_holding_registers(3203, count=4, device_id=1)
            client.close()  # type: ignore[no-untyped-call]
            assert answer.registers == [0, 0, 1_234_567 >> 16, 1_234_567 & 0xFFFF]
        finally:
            process.kill()


def test_the_shown_configuration_is_a_configuration(tmp_path: Path) -> None:
    shown = blocks(METER, "toml")[0]
    file = tmp_path / "meter.toml"
    file.write_text(shown, "utf-8")
    config = load(file)
    assert config.meter.model == "ION9000"
    assert config.port[0].unit_id == 7
    assert config.billing.period == 86_400


def section(page: Path, heading: str) -> str:
    return page.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def ran(command: str, folder: Path, address: str = SHOWN) -> str:
    run = subprocess.run(
        ["bash", "-c", as_run(command, address)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert run.returncode == 0, f"{command}: {run.stderr}"
    return run.stdout + run.stderr


def test_the_verbs_on_configurations_do_what_the_page_shows(tmp_path: Path) -> None:
    here = [line for line in section(METER, "Configuration").splitlines() if line.startswith("iondlms ")]
    assert [line.split()[2] for line in here] == ["init", "check", "show", "schema", "map"]
    said = [ran(line, tmp_path) for line in here]
    assert "meter.toml: right" in said[1]
    assert "period = 86400.0" in said[2]


def test_the_exported_data_is_changed_as_the_page_shows(tmp_path: Path) -> None:
    text = section(METER, "Change the exported data")
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "meter.toml").write_text(shown.replace(SHOWN, "127.0.0.1:0"), "utf-8")
    serving, *asking = [line for line in text.splitlines() if line.startswith("iondlms ")]
    process, address = served(serving, tmp_path)
    try:
        volts, events, present = (ran(line, tmp_path, address) for line in asking)
    finally:
        ended(process)
    heading, *rows = [line for line in volts.splitlines() if line.strip()]
    assert len(rows) >= 5
    assert "1-1:32.7.0*255" in volts or "Vln" in volts, heading
    assert "ION9000 started" in events
    assert "V" in present


@pytest.mark.parametrize(("number", "unit"), [(0, 100), (1, 1), (1, 2)])
async def test_the_shown_gateways_show_the_other_meters_registers(
    number: int, unit: int, tmp_path: Path
) -> None:
    shown = [block for block in blocks(METER, "toml") if "gateway" in block][number]
    async with asyncio.timeout(30), OtherMeter() as other:
        other.energies(123_456_789, 5, 6, 7, 8)
        file = tmp_path / "gateway.toml"
        here = re.sub(r'(?<=url = ")[^"]+', other.url, shown).replace(SHOWN, "127.0.0.1:0")
        file.write_text(re.sub(r"unit_id = 1\d", "unit_id = 1", here))  # the other meter has Modbus unit 1
        command = (sys.executable, "-m", "iondlms", "serve", str(file))
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            address = (await process.stdout.readline()).split()[2].decode()
            async with connect(f"{address}?unit={unit}") as client:
                while (energy := await client.get("kWh-del")).value is None:
                    await asyncio.sleep(0.02)  # until its first poll
                assert energy.integer() == 123_456_789
        finally:
            process.terminate()
            assert await process.wait() == 0


def test_the_shown_replay_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = [block for block in blocks(METER, "toml") if 'kind = "replay"' in block]
    rows = "".join(f"2026-03-0{day} {hour:02}:00,{hour}\n" for day in (2, 3) for hour in range(24))
    (tmp_path / "load.csv").write_text("Time,Power\n" + rows)
    (tmp_path / "meter.toml").write_text(shown)
    monkeypatch.chdir(tmp_path)
    source = Meter(load(tmp_path / "meter.toml")).ion.power_meter.source
    assert isinstance(source, Replay)
    assert source.first_ms == datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp() * 1000  # midnight there
    assert source.last_ms is None


# --- the table of settings ------------------------------------------------------------------------


def sections(node: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections that a part of the schema leads to: one, or each of those that may stand there."""
    if "$ref" in node:
        yield definitions[node["$ref"].rpartition("/")[2]]
    for part in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("prefixItems", ())):
        yield from sections(part, definitions)
    if isinstance(node.get("items"), dict):
        yield from sections(node["items"], definitions)


def values(item: dict[str, Any]) -> str:
    # A duration is a number, or text with a unit, as each page says once for all.
    item = next((one for one in item.get("anyOf", ()) if one.get("type") in ("number", "integer")), item)
    choices = item.get("enum", [item["const"]] if "const" in item else [])
    if choices:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in choices)
    kind = str(item.get("type", "text")).replace("string", "text")
    if item.get("format") == "path":
        return "path"
    low, high = item.get("minimum"), item.get("maximum")
    if low is None:
        return kind
    return f"{kind}, from {low:g}" if high is None else f"{kind}, {low:g} to {high:.9g}"


def settings(of: str = "") -> list[str]:
    """Key, default and values of each setting, as rows of docs/meter.md begin; `fault` has its own table."""
    schema = Config.model_json_schema()
    rows: dict[str, None] = {}  # ordered, and each once
    for name, node in schema["properties"].items():
        for section in sections(node, schema["$defs"]) if (name == "fault") is (of == "fault") else ():
            for key, item in section["properties"].items():
                place = f"port.NAME.{key}" if name == "port" else f"{name}.{key}"
                default = item.get("default")
                shown = "none" if default is None else f"`{json.dumps(default)}`"
                # Durations are numbers, or text such as "15m": the page says so once.
                kinds = [
                    part
                    for part in item.get("anyOf", [item])
                    if part.get("type") != "null" and "ms|s|m|h|d" not in part.get("pattern", "")
                ]
                rows[f"| `{place}` | {shown} | {' or '.join(map(values, kinds))} |"] = None
    return list(rows)


def test_every_setting_is_in_the_table() -> None:
    table = METER.read_text("utf-8").partition("## Configuration")[2].partition("\n## ")[0]
    shown = re.findall(r"^(\| `[^|]*\|[^|]*\|[^|]*\|) ([^|]+) \|$", table, re.MULTILINE)
    expected = settings()
    assert len(expected) > 20, "no settings found"
    # A difference shows the row as it must begin; its meaning is for a person to write.
    assert [begin for begin, _ in shown] == expected
    assert all(meaning.strip() for _, meaning in shown)
