"""Serial lines over TCP: the raw ports and RFC 2217 of serial servers written by others."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.ports.ptys import Wire
from tests.ports.reading import URL, endpoint, expected, make_meter, read
from tests.ports.serial_line import line, served
from tests.ports.serial_servers import free_port, missing, pyserials_server, running

from iondlms.client import Client
from iondlms.ports import Endpoint
from iondlms.ports.optical import OpticalTransport, SignOnEndpoint, SignOnSetup
from iondlms.ports.serial import AsyncSerialTransport, LineSettings, SerialTransport
from iondlms.ports.sign_on import Identification
from iondlms.ports.tcp import TcpPort
from iondlms.ports.tcp_line import TcpTransport

pytestmark = pytest.mark.timeout(60)


async def test_a_client_over_a_serial_servers_raw_port() -> None:
    port = TcpPort("ETHERNET", "127.0.0.1", 0, endpoint(make_meter()))
    await port.bind()
    await port.start()
    device = f"socket://127.0.0.1:{port.address[1]}"
    assert await asyncio.to_thread(read, lambda: SerialTransport.connect(line(device))) == expected()

    async def connect() -> AsyncSerialTransport:
        return await AsyncSerialTransport.connect(line(device))

    async with Client(URL.format(unit=100, timeout="5s"), connector=connect) as client:
        assert len(await client.objects()) == expected().objects
    await port.stop()


async def test_a_meter_on_a_serial_servers_raw_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with served(line(f"socket://127.0.0.1:{server.getsockname()[1]}")):

            def connect() -> TcpTransport:
                return TcpTransport(server.accept()[0])

            assert await asyncio.to_thread(read, connect) == expected()


@asynccontextmanager
async def ser2net(folder: Path, accepter: str) -> AsyncIterator[tuple[int, Wire]]:
    """Have ser2net give a meter's serial line to a TCP port."""
    program = shutil.which("ser2net", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        missing("ser2net")
    port = free_port()
    config = folder / "ser2net.yaml"
    with Wire() as wire:
        config.write_text(
            "connection: &one\n"
            f"  accepter: {accepter},127.0.0.1,{port}\n"
            f"  connector: serialdev,{wire.client.path},9600n81,local\n"
        )
        with running([program, "-n", "-u", "-c", str(config)], port):
            async with served(line(wire.meter.path)):
                yield port, wire


async def test_a_client_over_the_raw_port_of_ser2net(tmp_path: Path) -> None:
    async with ser2net(tmp_path, "tcp") as (port, _):
        settings = line(f"socket://127.0.0.1:{port}")
        assert await asyncio.to_thread(read, lambda: SerialTransport.connect(settings)) == expected()


class Looking:
    """Sees the speed of a server's line while a client has it: ser2net gives it back as it was."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.speed = 0

    def connect(self, settings: LineSettings) -> SerialTransport:
        transport = SerialTransport.connect(settings)
        close = transport.close

        def looked_at_and_closed() -> None:
            self.speed = self.speed or self.wire.client.speed
            close()

        transport.close = looked_at_and_closed  # type: ignore[method-assign]
        return transport


@pytest.mark.parametrize("baud", [300, 19200])
async def test_a_client_over_rfc_2217_to_ser2net(tmp_path: Path, baud: int) -> None:
    async with ser2net(tmp_path, "telnet(rfc2217),tcp") as (port, wire):
        settings = line(f"rfc2217://127.0.0.1:{port}", baud=baud)
        found = Looking(wire)
        assert await asyncio.to_thread(read, lambda: found.connect(settings)) == expected()
        assert found.speed == (termios.B300 if baud == 300 else termios.B19200)


@pytest.mark.parametrize("baud", [300, 19200])
async def test_a_client_over_rfc_2217_to_pyserials_server(baud: int) -> None:
    port = free_port()
    with Wire() as wire, running(pyserials_server(wire.client.path, port), port):
        async with served(line(wire.meter.path)):
            settings = line(f"rfc2217://127.0.0.1:{port}", baud=baud)
            found = Looking(wire)
            assert await asyncio.to_thread(read, lambda: found.connect(settings)) == expected()
            assert found.speed == (termios.B300 if baud == 300 else termios.B19200)

            async def connect() -> AsyncSerialTransport:
                return await AsyncSerialTransport.connect(settings)

            async with Client(URL.format(unit=100, timeout="5s"), connector=connect) as client:
                assert len(await client.objects()) == expected().objects


async def test_a_sign_on_over_rfc_2217() -> None:
    port = free_port()

    def make(now: float) -> Endpoint:
        setup = SignOnSetup(Identification("SCH", 4800, "ION8650"))
        return SignOnEndpoint(endpoint(make_meter()), setup)

    with Wire() as wire, running(pyserials_server(wire.client.path, port), port):
        async with served(line(wire.meter.path), make):
            settings = line(f"rfc2217://127.0.0.1:{port}")

            def connect() -> OpticalTransport:
                return OpticalTransport.connect(SerialTransport.connect(settings))

            assert await asyncio.to_thread(read, connect) == expected()
            assert wire.client.speed == termios.B4800
