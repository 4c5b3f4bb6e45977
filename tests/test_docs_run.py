"""What the docs show is run: commands and Python blocks against a live meter, settings against the code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
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
    asking = [line for line in here if verb(line) != "serve"]
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
        assert run.stdout or ">" in line, f"{line} printed nothing"


@pytest.mark.parametrize("command", [c for c in commands(METER) if verb(c) == "serve"])
def test_the_meters_of_the_page_start_and_end(command: str, tmp_path: Path) -> None:
    process, _ = served(command, tmp_path)
    ended(process)


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in (README, READ, METER) for number in range(len(blocks(page, "python")))],
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


def test_the_shown_configuration_is_a_configuration(tmp_path: Path) -> None:
    shown = blocks(METER, "toml")[0]
    file = tmp_path / "meter.toml"
    file.write_text(shown, "utf-8")
    config = load(file)
    assert config.meter.model == "ION9000"
    assert config.port[0].unit_id == 7
    assert config.billing.period == 86_400


async def test_the_shown_gateway_shows_the_other_meters_registers(tmp_path: Path) -> None:
    _, shown, _ = blocks(METER, "toml")
    async with asyncio.timeout(30), OtherMeter() as other:
        other.energies(123_456_789, 5, 6, 7, 8)
        file = tmp_path / "gateway.toml"
        file.write_text(shown.replace("tcp://192.0.2.10:502", other.url).replace(SHOWN, "127.0.0.1:0"))
        command = (sys.executable, "-m", "iondlms", "serve", str(file))
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            address = (await process.stdout.readline()).split()[2].decode()
            async with connect(f"{address}?unit=100") as client:
                while (energy := await client.get("kWh-del")).value is None:
                    await asyncio.sleep(0.02)  # until its first poll
                assert energy.integer() == 123_456_789
        finally:
            process.terminate()
            assert await process.wait() == 0


def test_the_shown_replay_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, shown = blocks(METER, "toml")
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


def settings() -> list[str]:
    """Key, default and values of each setting, as rows of docs/meter.md begin."""
    schema = Config.model_json_schema()
    rows: dict[str, None] = {}  # ordered, and each once
    for name, node in schema["properties"].items():
        for section in sections(node, schema["$defs"]):
            for key, item in section["properties"].items():
                place = f"port.NAME.{key}" if name == "port" else f"{name}.{key}"
                default = item.get("default")
                shown = "none" if default is None else f"`{json.dumps(default)}`"
                kinds = [part for part in item.get("anyOf", [item]) if part.get("type") != "null"]
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
