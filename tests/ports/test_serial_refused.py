"""Serial lines that cannot be had: devices, settings, and what is loaded for them."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.ports.ptys import Pty
from tests.ports.reading import endpoint, make_meter
from tests.ports.serial_line import LONG_S, line, served

from iondlms.errors import LocalError, PortError
from iondlms.ports.serial import AsyncSerialTransport, LineSettings, SerialTransport
from iondlms.ports.serial_port import SerialPort

pytestmark = pytest.mark.timeout(60)


async def test_devices_that_cannot_be_opened(tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = f"socket://127.0.0.1:{gone.getsockname()[1]}"
    for device, reason in (
        (str(tmp_path / "none"), "No such file"),
        (str(plain), "Inappropriate ioctl"),
        ("foo://x", "No handler"),
        ("socket://x", "host and port"),
        (closed, "refused|failed"),
    ):
        with pytest.raises(PortError, match=f"(?s)cannot be opened: .*({reason})"):
            SerialTransport.connect(line(device))
        with pytest.raises(PortError, match=reason):
            await AsyncSerialTransport.connect(line(device))
        with pytest.raises(PortError, match=r"^COM1: "):
            await SerialPort("COM1", line(device), endpoint(make_meter())).bind()


async def test_a_device_is_one_programs() -> None:
    with Pty() as pty:
        async with served(line(pty.path)):
            with pytest.raises(PortError, match=r"(?i)busy|locked"):
                SerialTransport.connect(line(pty.path))
            with pytest.raises(PortError, match=r"(?i)COM2: .*(busy|locked)"):
                await SerialPort("COM2", line(pty.path), endpoint(make_meter())).bind()


async def test_the_driver_is_asked_for_rs485_only_where_it_is_set() -> None:
    with Pty() as pty:
        with pytest.raises(PortError, match="cannot switch RS-485"):
            SerialTransport.connect(line(pty.path, rs485=True))
        with pytest.raises(PortError, match="cannot switch RS-485"):
            await AsyncSerialTransport.connect(line(pty.path, rs485=True))
        SerialTransport.connect(line(pty.path)).close()  # and it was closed


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": ""},
        {"baud": 0},
        {"framing": "8X1"},
        {"handshake": "dtr"},
        {"transmit_delay_s": 1.5},
        {"transmit_delay_s": -0.1},
    ],
    ids=str,
)
def test_settings_that_no_line_has(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        LineSettings(**{"device": "/dev/null", **wrong})


@pytest.mark.parametrize(
    ("framing", "bits"), [("8N1", 10), ("7E1", 10), ("8N2", 11), ("8E1", 11), ("8E2", 12), ("8O2", 12)]
)
def test_bits_of_an_octet(framing: Any, bits: int) -> None:
    assert line("x", framing=framing, baud=1000).octets_s(100) == pytest.approx(bits / 10)


def test_nothing_of_serialx_is_loaded_until_a_device_is_opened() -> None:
    script = (
        "import sys, iondlms.client, iondlms.ports.serial, iondlms.ports.serial_port, iondlms.ports.optical,"
        " iondlms.ports.modem, iondlms.ports.dial, iondlms.ports.bus; sys.exit('serialx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=LONG_S * 3).returncode == 0
