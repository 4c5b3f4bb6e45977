"""Serial lines over devices of the kernel (pty): how they are read, and a port's life."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.ports.ptys import Pty, Wire
from tests.ports.reading import URL, endpoint, expected, make_meter, read
from tests.ports.serial_line import LONG_S, SNRM, UA, answer, line, served, until

from iondlms.client import Client
from iondlms.errors import PortError
from iondlms.hdlc import Frame
from iondlms.later import Later
from iondlms.ports import Endpoint, serial_port
from iondlms.ports.serial import AsyncSerialTransport, Framing, SerialTransport
from iondlms.ports.serial_port import SerialPort

pytestmark = pytest.mark.timeout(60)


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"baud": 300, "framing": "8E2"},
        {"baud": 115200, "framing": "8O1"},
        {"handshake": "rts_cts"},
        {"handshake": "rts_delay", "transmit_delay_s": 0.0, "baud": 115200},
        {"echo": "on"},
        {"echo": "off"},
    ],
    ids=str,
)
async def test_a_meter_is_read_over_a_pty(settings: dict[str, Any]) -> None:
    with Wire(echo=settings.get("echo") == "on") as wire:
        async with served(line(wire.meter.path, **settings)):
            client = line(wire.client.path, **settings)
            assert await asyncio.to_thread(read, lambda: SerialTransport.connect(client)) == expected()


@pytest.mark.parametrize("framing", ["8E1", "8O2"])
async def test_a_pty_takes_any_framing_again_and_again(framing: Framing) -> None:
    # It has no parity, and refuses it where nothing else is to change: the second time.
    with Wire() as wire:
        settings = line(wire.client.path, framing=framing)
        async with served(line(wire.meter.path)) as port:
            for _ in range(2):
                await port.change(9600, "8N1", port._make_endpoint)
                await port.change(9600, framing, port._make_endpoint)
                await (await AsyncSerialTransport.connect(settings)).close()
                assert await asyncio.to_thread(read, lambda: SerialTransport.connect(settings)) == expected()


async def test_an_echo_is_found_by_itself() -> None:
    with Wire(echo=True) as wire:
        async with served(line(wire.meter.path)):
            lines: list[SerialTransport] = []

            def connect() -> SerialTransport:
                lines.append(SerialTransport.connect(line(wire.client.path)))
                return lines[-1]

            assert await asyncio.to_thread(read, connect) == expected()
        assert lines[0].canceller.echoing
        assert lines[0].canceller.cancelled > 20


async def test_the_client_for_asyncio() -> None:
    with Wire(echo=True) as wire:

        async def connect() -> AsyncSerialTransport:
            return await AsyncSerialTransport.connect(line(wire.client.path))

        async with (
            served(line(wire.meter.path)),
            Client(URL.format(unit=100, timeout="5s"), connector=connect) as client,
        ):
            assert len(await client.objects()) == expected().objects


async def test_the_turnaround() -> None:
    with Pty() as pty:
        async with served(line(pty.path, transmit_delay_s=0.25)):
            for cut in (1, len(SNRM) - 1):
                await asyncio.to_thread(pty.write, SNRM[:cut])
                # Never a first octet before the request's last one.
                assert await asyncio.to_thread(pty.read, 0.3) == b""
                start = time.monotonic()
                got = await answer(pty, SNRM[cut:])
                assert Frame.decode(got).control == UA
                assert 0.25 <= time.monotonic() - start < 2.0


async def test_half_a_frame_is_ended_by_the_endpoints_timer() -> None:
    meter = make_meter()
    port = meter.config.port[0].model_copy(update={"rx_timeout": 0.1, "inactivity": 0.5})
    with Pty() as pty:
        made: list[Endpoint] = []

        def make(now: float) -> Endpoint:
            made.append(meter.endpoint(port, now))
            return made[-1]

        async with served(line(pty.path), make):
            # A frame that announces 2047 octets would swallow what follows for ever.
            await asyncio.to_thread(pty.write, bytes.fromhex("7E A7 FF 00 02 00 C9 21 13"))
            await asyncio.sleep(0.3)
            assert Frame.decode(await answer(pty, SNRM)).control == UA
            while not made[0].idle:  # 0.5 s after the last octet
                await asyncio.sleep(0.05)


async def test_seven_bits_by_software() -> None:
    class Capitals:
        idle = closed = False
        later = None

        def receive_data(self, data: bytes, now: float) -> bytes:
            return data.upper()

        def next_deadline(self) -> float | None:
            return None

        def handle_timeout(self, now: float) -> bytes:
            return b""

    with Wire() as wire:
        async with served(line(wire.meter.path, framing="7E1"), lambda now: Capitals()):
            transport = await asyncio.to_thread(
                SerialTransport.connect, line(wire.client.path, framing="7E1", echo="off")
            )

            def talk() -> bytes:
                transport.send(b"abc")
                got = b""
                while len(got) < 3:
                    got += transport.receive(transport.now() + LONG_S)
                return got

            assert await asyncio.to_thread(talk) == b"ABC"
            transport.close()
        # On the wire: eight bits, and an even number of them set.
        assert b"".join(octets for _, way, octets in wire.log if way == "RX") == bytes.fromhex("41 42 C3")


# --- a port's life --------------------------------------------------------------------------------------


async def test_a_port_that_is_off_hears_nothing() -> None:
    with Pty() as pty:
        async with served(line(pty.path)) as port:
            port.enabled = False
            assert await answer(pty, SNRM, 0.2) == b""
            port.enabled = True
            assert Frame.decode(await answer(pty, SNRM)).control == UA
            assert port.url == f"serial:{pty.path}?baud=9600&framing=8N1"


async def test_a_bug_of_ours_costs_the_links_and_not_the_port(caplog: pytest.LogCaptureFixture) -> None:
    made = []

    class Broken:
        idle = closed = False
        later = None

        def receive_data(self, data: bytes, now: float) -> bytes:
            raise RuntimeError("a bug")

        def next_deadline(self) -> float | None:
            return None

        def handle_timeout(self, now: float) -> bytes:
            return b""

    def make(now: float) -> Endpoint:
        made.append(now)
        return Broken() if len(made) == 1 else endpoint(make_meter())(now)

    with Pty() as pty, caplog.at_level(logging.ERROR):
        async with served(line(pty.path), make):
            assert await answer(pty, SNRM, 0.2) == b""
            assert Frame.decode(await answer(pty, SNRM)).control == UA
    assert "a bug" in caplog.text


async def test_the_answer_under_way_goes_out_when_the_port_stops() -> None:
    with Pty() as pty:
        async with served(line(pty.path, transmit_delay_s=0.3)):
            await asyncio.to_thread(pty.write, SNRM)
            await asyncio.sleep(0.1)
        assert Frame.decode(await asyncio.to_thread(pty.read, LONG_S)).control == UA


async def test_who_asks_without_listening_gets_no_more_and_no_less_memory() -> None:
    with Pty() as pty:
        async with served(line(pty.path, transmit_delay_s=0.3)) as port:
            await asyncio.to_thread(pty.write, SNRM)
            for _ in range(2000):
                port._received(SNRM)
            assert port.dropped > 1000
            assert sum(len(sending.octets) for sending in port._outgoing) < 9000


async def test_a_device_that_goes_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    device = tmp_path / "ttyUSB0"
    first, second = Pty(), Pty()
    device.symlink_to(first.path)
    with caplog.at_level(logging.WARNING), second:
        async with served(line(str(device)), back_off_s=(0.05,)):
            assert Frame.decode(await answer(first, SNRM)).control == UA
            device.unlink()
            first.close()
            await asyncio.sleep(0.5)  # ten tries that find nothing
            device.symlink_to(second.path)
            while "is back" not in caplog.text:
                await asyncio.sleep(0.02)
            # The meter was never switched off: its link is there still.
            rr = Frame(bytes.fromhex("000200C9"), b"\x21", 0x11).encode()
            assert Frame.decode(await answer(second, rr)).control & 0x0F == 0x01
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "is gone" in said[0]
    assert said[1] == f"COM1: {device} is back"


async def test_a_client_whose_device_goes_says_so() -> None:
    for make_async in (False, True):
        pty = Pty()
        if make_async:
            aline = await AsyncSerialTransport.connect(line(pty.path))
            asyncio.get_running_loop().call_later(0.1, pty.close)
            with pytest.raises(PortError, match="the device is gone"):
                await aline.receive(aline.now() + LONG_S)
            await aline.close()
            await aline.close()
        else:
            bline = SerialTransport.connect(line(pty.path))
            threading.Timer(0.1, pty.close).start()
            with pytest.raises(PortError, match="the device is gone"):
                await asyncio.to_thread(bline.receive, bline.now() + LONG_S)
            with pytest.raises(PortError):
                bline.send(b"x")
            bline.close()
            bline.close()


# --- an answer that waits -------------------------------------------------------------------------------


class Writer:
    """An endpoint that says what it hears, once that is written."""

    idle = closed = False

    def __init__(self, now: float) -> None:
        self.heard = now
        self.later: Later | None = None
        self._due = b""

    def receive_data(self, data: bytes, now: float) -> bytes:
        self.heard, self._due = now, self._due + data
        self.later = self.later or Later()
        return b""

    def next_deadline(self) -> float | None:
        return self.heard if self.later is not None and self.later.done else self.heard + 60.0

    def handle_timeout(self, now: float) -> bytes:
        if self.later is None or not self.later.done:
            return b""
        self.later, due, self._due = None, self._due, b""
        return due

    async def waiting(self) -> Later:
        await until(lambda: self.later is not None)
        assert self.later is not None
        return self.later


@asynccontextmanager
async def written() -> AsyncIterator[tuple[Pty, SerialPort, Writer]]:
    made: list[Writer] = []

    def make(now: float) -> Endpoint:
        made.append(Writer(now))
        return made[-1]

    with Pty() as pty:
        async with served(line(pty.path), make) as port:
            yield pty, port, made[0]


async def test_an_answer_that_waits_goes_out_when_it_is_settled() -> None:
    async with written() as (pty, _, endpoint):
        for asked in (b"first~", b"second~"):
            await asyncio.to_thread(pty.write, asked)
            later = await endpoint.waiting()
            assert await asyncio.to_thread(pty.read, 0.05) == b""
            later.settle()
            assert await asyncio.to_thread(pty.read, LONG_S) == asked


async def test_stop_waits_for_the_answer_that_waits() -> None:
    async with written() as (pty, port, endpoint):
        await asyncio.to_thread(pty.write, b"asked~")
        later = await endpoint.waiting()
        stopping = asyncio.create_task(port.stop())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not stopping.done()
        later.settle()
        await stopping
        assert await asyncio.to_thread(pty.read, LONG_S) == b"asked~"


async def test_a_port_that_is_set_to_another_baud_lets_the_answer_out_first() -> None:
    async with written() as (pty, port, endpoint):
        await asyncio.to_thread(pty.write, b"asked~")
        later = await endpoint.waiting()
        changing = asyncio.create_task(port.change(19200, "8N1", Writer))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not changing.done()
        later.settle()
        await changing
        assert await asyncio.to_thread(pty.read, LONG_S) == b"asked~"


async def test_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_port, "_LAST_WORDS_S", 0.05)
    async with written() as (pty, port, endpoint):
        await asyncio.to_thread(pty.write, b"asked~")
        later = await endpoint.waiting()
        begin = time.monotonic()
        await port.stop()
        assert 0.04 < time.monotonic() - begin < 3.0
        later.settle()
        assert await asyncio.to_thread(pty.read, 0.05) == b""
