"""`iondlms scan` as a person uses it: a device, a host, a line with many meters; and when nobody answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.ports.ptys import Pty, Wire
from tests.ports.reading import endpoint, make_meter
from tests.ports.test_bus import at_unit

from iondlms.cli.main import VERBS, ExitStatus, status_of
from iondlms.cli.scan import scan
from iondlms.client import blocking
from iondlms.errors import LocalError, PortError
from iondlms.ports import Endpoint
from iondlms.ports.bus import BusEndpoint
from iondlms.ports.serial import LineSettings
from iondlms.ports.serial_port import SerialPort
from iondlms.ports.tcp import TcpPort

pytestmark = pytest.mark.timeout(60)


def run(*words: str) -> Result:
    return CliRunner().invoke(scan, words, catch_exceptions=False, standalone_mode=False)


def found(*words: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = json.loads(run(*words, "-o", "json").stdout)
    return documents


@asynccontextmanager
async def served(path: str, make: Callable[[float], Endpoint]) -> AsyncIterator[None]:
    port = SerialPort("COM1", LineSettings(path), make)
    await port.bind()
    await port.start()
    try:
        yield
    finally:
        await port.stop()


@asynccontextmanager
async def listening(make: Callable[[float], Endpoint]) -> AsyncIterator[str]:
    port = TcpPort("ETHERNET", "127.0.0.1", 0, make)
    await port.bind()
    await port.start()
    try:
        yield f"127.0.0.1:{port.address[1]}"
    finally:
        await port.stop()


async def test_a_device() -> None:
    with Wire() as wire:
        async with served(wire.meter.path, endpoint(make_meter())):
            done = await asyncio.to_thread(run, wire.client.path, "--fast")
            url = f"serial:{wire.client.path}?baud=9600&framing=8N1&unit=100&client=16"
            lines = done.stdout.splitlines()
            assert lines[0].startswith("SCH8650W0100A001 answers at ")
            assert "HDLC, unit 100, 9600 8N1" in lines[0]
            assert lines[1:3] == ["  client 16: reads", "  client 1: wants a password"]
            assert lines[-1] == f"  '{url}'"  # as a shell takes it
            assert "9600 8N1: 5 addresses" in done.stderr

            def read() -> bytes:
                with blocking.connect(url) as client:
                    return client.get("name").octets()

            assert await asyncio.to_thread(read) == b"SCH8650W0100A001"


async def test_a_line_with_many() -> None:
    units = {unit: at_unit(unit) for unit in (2, 5, 100)}
    with Wire() as wire:
        async with served(wire.meter.path, lambda now: BusEndpoint(units, now)):
            words = (f"serial:{wire.client.path}?baud=9600", "--units", "1-6,100", "--all", "--fast", "-q")
            documents = await asyncio.to_thread(found, *words)
    assert [each["unit"] for each in documents] == [100, 2, 5]
    assert {each["baud"] for each in documents} == {9600}


@pytest.mark.parametrize("framing", ["auto", "wrapper"])
async def test_a_host(framing: str) -> None:
    meter = make_meter()
    port = meter.config.port[0].model_copy(update={"framing": framing})
    async with listening(lambda now: meter.endpoint(port, now)) as place:
        (document,) = await asyncio.to_thread(found, place, "--fast")
        as_url = await asyncio.to_thread(found, f"tcp://{place}?framing=wrapper", "--clients", "1,16")
    assert document["framing"] == ("hdlc" if framing == "auto" else "wrapper")
    assert document["clients"] == ["16: reads", "1: wants a password"]
    assert (document["baud"], document["name"]) == (None, "SCH8650W0100A001")
    assert as_url[0]["client"] == 16  # the one that reads
    assert as_url[0]["unit"] is None


async def test_a_serial_server() -> None:
    async with listening(endpoint(make_meter())) as place:
        (document,) = await asyncio.to_thread(found, f"socket://{place}", "--fast")
    assert document["url"].startswith(f"serial:socket://{place}?")


def test_nobody() -> None:
    with (
        Pty() as pty,
        pytest.raises(PortError, match=r"nobody answered \(2 addresses tried\).*without --fast") as error,
    ):
        run(pty.path, "--fast", "--timeout", "20ms", "--units", "100", "--bauds", "9600,19200")
    assert status_of(error.value) is ExitStatus.NO_CONNECTION
    assert "\n" not in str(error.value)


def test_no_device() -> None:
    with pytest.raises(PortError, match="/dev/not-there: cannot be opened"):
        run("/dev/not-there")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["/dev/x", "--units", "a"], "--units 'a' is no list of numbers"),
        (["/dev/x", "--units", "9-1"], "'9-1' is no range"),
        (["/dev/x", "--units", "0"], "--units: 0 is not in 1"),
        (["/dev/x", "--clients", "200"], "client SAP 200"),
        (["/dev/x", "--framings", "9N1"], "--framings '9N1'"),
        (["/dev/x", "--timeout", "soon"], "is no time"),
        (["ftp://x"], "no URL of a meter"),
    ],
)
def test_errors_are_one_line(words: list[str], part: str) -> None:
    with pytest.raises(LocalError, match=part) as caught:
        run(*words)
    assert "\n" not in str(caught.value)


def test_it_is_a_verb() -> None:
    assert {"scan", "sniff"} <= set(VERBS)


def test_a_device_of_this_folder_is_no_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Pty() as pty:
        (tmp_path / "tB").symlink_to(pty.path)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(LocalError, match=r"^tB is a device here: write \./tB or serial:tB"):
            run("tB", "--fast")
