"""A meter's port on a device, and what is said to it from the other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.ports.ptys import Pty
from tests.ports.reading import endpoint, make_meter

from iondlms.hdlc import Frame
from iondlms.ports import Endpoint
from iondlms.ports.serial import LineSettings
from iondlms.ports.serial_port import SerialPort

SNRM = Frame(bytes.fromhex("000200C9"), b"\x21", 0x93).encode()
RR = Frame(bytes.fromhex("000200C9"), b"\x21", 0x11).encode()
UA, DM = 0x73, 0x1F
LONG_S = 10.0  # what no test comes near, unless something hangs


def line(device: str, **more: Any) -> LineSettings:
    return LineSettings(device, **more)


@asynccontextmanager
async def served(
    settings: LineSettings, make: Callable[[float], Endpoint] | None = None, **more: Any
) -> AsyncIterator[SerialPort]:
    """Return a meter's port on a device."""
    port = SerialPort("COM1", settings, make or endpoint(make_meter()), **more)
    await port.bind()
    await port.start()
    try:
        yield port
    finally:
        await port.stop()


async def answer(pty: Pty, octets: bytes, seconds: float = LONG_S) -> bytes:
    """Say something at the other end of a device, and return what comes first, to its last flag."""

    def talk() -> bytes:
        pty.write(octets)
        got = b""
        while len(got) < 3 or not got.endswith(b"~"):
            more = pty.read(seconds)
            if not more:
                break
            got += more
        return got

    return await asyncio.to_thread(talk)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not happened():
            await asyncio.sleep(0.005)
