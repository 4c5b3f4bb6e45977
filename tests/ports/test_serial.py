"""Serial lines over devices of the kernel (pty), over TCP, and over a serial server written by others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from serialx import ModemPins, PinState, UnsupportedSetting
from tests.ports import telephone
from tests.ports.exchange import real_time
from tests.ports.ptys import Pty, Wire
from tests.ports.reading import URL, endpoint, expected, make_meter, read
from tests.ports.telephone import HayesModem, Network

from iondlms.client import Client
from iondlms.errors import LocalError, PortError
from iondlms.hdlc import Frame, ServerAddress
from iondlms.meter.endpoint import MeterEndpoint
from iondlms.ports import Endpoint
from iondlms.ports.bus import BusEndpoint
from iondlms.ports.dial import DialSetup, ModemTransport
from iondlms.ports.endpoint import LineState
from iondlms.ports.modem import ModemEndpoint, ModemSetup
from iondlms.ports.optical import OpticalTransport, SignOnEndpoint, SignOnSetup
from iondlms.ports.parity import strip_parity
from iondlms.ports.serial import AsyncSerialTransport, Framing, LineSettings, SerialTransport
from iondlms.ports.serial_port import SerialPort
from iondlms.ports.sign_on import Identification, request
from iondlms.ports.tcp import TcpPort
from iondlms.ports.tcp_line import TcpTransport

SNRM = Frame(bytes.fromhex("000200C9"), b"\x21", 0x93).encode()
RR = Frame(bytes.fromhex("000200C9"), b"\x21", 0x11).encode()
UA, DM = 0x73, 0x1F
LONG_S = 10.0  # what no test comes near, unless something hangs

pytestmark = pytest.mark.timeout(60)


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


# --- what cannot be had ---------------------------------------------------------------------------------


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


# --- sign-on and modem over devices ---------------------------------------------------------------------


async def test_a_sign_on_over_a_pty_changes_the_baud_of_both() -> None:
    def make(now: float) -> Endpoint:
        return SignOnEndpoint(endpoint(make_meter()), SignOnSetup(Identification("SCH", 9600, "ION8650")))

    with Wire() as wire:
        async with served(line(wire.meter.path), make):
            while wire.meter.speed != termios.B300:
                await asyncio.sleep(0.01)
            speeds: list[tuple[int, int]] = []

            def connect() -> OpticalTransport:
                transport = OpticalTransport.connect(SerialTransport.connect(line(wire.client.path)))
                speeds.append((wire.client.speed, wire.meter.speed))
                return transport

            assert await asyncio.to_thread(read, connect) == expected()
            assert speeds == [(termios.B9600, termios.B9600)]
    # At 300 baud all went with even parity, and the identification before HDLC.
    assert wire.log[0][2] == bytes.fromhex("AF 3F 21 8D 0A")


async def test_two_hundred_and_forty_seven_meters_on_a_pty() -> None:
    meter = make_meter(history=0)

    def at_unit(unit: int) -> Callable[[float], MeterEndpoint]:
        port = meter.config.port[0].model_copy(update={"unit_id": unit, "framing": "hdlc"})
        return lambda now: meter.endpoint(port, now)

    def make(now: float) -> Endpoint:
        return BusEndpoint({unit: at_unit(unit) for unit in range(1, 248)}, now)

    with Pty() as pty:
        async with served(line(pty.path, transmit_delay_s=0.0), make):
            for unit in range(1, 249):
                address = ServerAddress(1, unit)
                snrm = Frame(address.encode(), b"\x21", 0x93).encode()
                got = await answer(pty, snrm, 0.2 if unit > 247 else LONG_S)
                assert got == b"" if unit > 247 else Frame.decode(got).source == address.encode()


async def test_the_line_of_asyncio_changes_its_baud_too() -> None:
    with Pty() as pty:
        aline = await AsyncSerialTransport.connect(line(pty.path, handshake="rts_delay"))
        await aline.send(b"abc")
        assert await asyncio.to_thread(pty.read, LONG_S) == b"abc"
        await aline.configure(LineState(1200, terminal_ready=False))
        assert pty.speed == termios.B1200
        assert await aline.carrier() is None
        assert await aline.receive(aline.now() + 0.01) == b""
        await aline.close()


class FakeDevice(asyncio.Transport):
    """A device with pins, which no pty has: it writes down what is done to it, in order."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.did: list[object] = []
        self.carrier = True
        self.refuses = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.did.append(bytes(data))

    async def flush(self) -> None:
        self.did.append("flush")

    async def set_modem_pins(self, **pins: bool) -> None:
        self.did.append(pins)

    async def get_modem_pins(self) -> ModemPins:
        return ModemPins(car=PinState.convert(self.carrier))

    async def reconfigure_port(self, **settings: Any) -> None:
        if self.refuses:
            raise UnsupportedSetting("no such baud")
        self.did.append(settings["baudrate"] if [*settings] == ["baudrate"] else settings)

    def close(self) -> None:
        self.did.append("close")

    def is_closing(self) -> bool:
        return False

    async def wait_closed(self) -> None:
        pass


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[FakeDevice]:
    made: list[FakeDevice] = []

    async def open_device(settings: LineSettings, protocol: Callable[[], asyncio.Protocol]) -> FakeDevice:
        made.append(FakeDevice(protocol()))
        return made[-1]

    monkeypatch.setattr("iondlms.ports.serial_port.open_device", open_device)
    monkeypatch.setattr("iondlms.ports.serial_port._CARRIER_S", 0.01)
    return made


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not happened():
            await asyncio.sleep(0.005)


async def test_rts_is_on_while_sending(devices: list[FakeDevice]) -> None:
    async with served(line("fake", handshake="rts_delay", baud=115200)):
        (device,) = devices
        device.protocol.data_received(SNRM)
        await until(lambda: len(device.did) >= 4)
        assert device.did[0] == {"rts": True}
        assert Frame.decode(device.did[1]).control == UA  # type: ignore[arg-type]
        assert device.did[2:] == ["flush", {"rts": False}]


async def test_a_carrier_that_falls_hangs_the_modem_up(
    devices: list[FakeDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iondlms.ports.hayes.GUARD_S", 0.1)
    modems: list[ModemEndpoint] = []

    def make(now: float) -> Endpoint:
        modems.append(ModemEndpoint(endpoint(make_meter()), ModemSetup(baud=19200), now))
        return modems[-1]

    async with served(line("fake", transmit_delay_s=0.0), make):
        (device,) = devices
        await until(lambda: len(device.did) == 3)
        # The modem's baud comes first, and with it DTR; then its init string.
        assert device.did == [19200, {"dtr": True}, ModemSetup().init.encode() + b"\r"]
        device.protocol.data_received(b"OK\r\nRING\r\n")
        device.protocol.data_received(b"CONNECT\r\n")
        assert modems[0].state.name == "ONLINE"
        await asyncio.sleep(0.05)
        device.did.clear()
        device.carrier = False
        await until(lambda: len(device.did) >= 3)
        assert device.did[:3] == [{"dtr": False}, {"dtr": True}, b"+++"]


async def test_a_baud_that_the_device_refuses_is_said(
    devices: list[FakeDevice], caplog: pytest.LogCaptureFixture
) -> None:
    async with served(
        line("fake"), lambda now: ModemEndpoint(endpoint(make_meter()), ModemSetup(), now)
    ) as port:
        (device,) = devices
        device.refuses = True
        modem = port._endpoint
        assert isinstance(modem, ModemEndpoint)
        modem.configure(1200, 0.0)
        port._queue(b"")
        with caplog.at_level(logging.WARNING):
            await until(lambda: "no such baud" in caplog.text)


CHARACTERS_8E2 = {"byte_size": 8, "parity": "E", "stopbits": 2}


async def test_a_port_is_set_to_another_baud_and_framing(devices: list[FakeDevice]) -> None:
    meter = make_meter()
    async with served(line("fake", transmit_delay_s=0.0), endpoint(meter)) as port:
        (device,) = devices
        device.protocol.data_received(SNRM)
        await until(lambda: len(device.did) == 1)
        device.did.clear()
        other = endpoint(meter)
        await port.change(19200, "8E2", other)
        assert device.did == [{"baudrate": 19200, **CHARACTERS_8E2}]
        assert port.settings == line("fake", baud=19200, framing="8E2", transmit_delay_s=0.0)
        assert port._make_endpoint is other  # from which a device that was away gets its endpoint
        device.protocol.data_received(RR)
        await until(lambda: len(device.did) == 2)
        assert Frame.decode(device.did[1]).control == DM  # type: ignore[arg-type]


async def test_a_port_whose_device_refuses_stays_as_it_was(devices: list[FakeDevice]) -> None:
    async with served(line("fake", transmit_delay_s=0.0)) as port:
        (device,) = devices
        before = port.settings, port._make_endpoint
        device.protocol.data_received(SNRM)
        await until(lambda: len(device.did) == 1)
        device.refuses = True
        with pytest.raises(PortError, match=r"^COM1: fake: cannot be set to 19200 baud, 8E2: no such baud$"):
            await port.change(19200, "8E2", endpoint(make_meter()))
        assert (port.settings, port._make_endpoint) == before
        device.protocol.data_received(RR)
        await until(lambda: len(device.did) == 2)
        assert Frame.decode(device.did[1]).control != DM  # type: ignore[arg-type]


async def test_a_call_is_hung_up_before_the_modem_works_at_another_baud(
    devices: list[FakeDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iondlms.ports.hayes.GUARD_S", 0.1)
    init = ModemSetup().init.encode() + b"\r"

    def make(now: float) -> Endpoint:
        return ModemEndpoint(endpoint(make_meter()), ModemSetup(), now)

    async with served(line("fake", transmit_delay_s=0.0), make) as port:
        (device,) = devices
        await until(lambda: device.did == [init])
        device.protocol.data_received(b"OK\r\n")
        await port.change(19200, "8N1", make)
        await until(lambda: init in device.did[1:])
        plain = {"byte_size": 8, "parity": "N", "stopbits": 1}
        assert device.did[1:] == [plain, 19200, {"dtr": True}, init]
        device.protocol.data_received(b"OK\r\nCONNECT\r\n")
        device.did.clear()
        await port.change(1200, "8N1", make)
        await until(lambda: b"+++" in device.did)
        device.protocol.data_received(b"OK\r\n")
        await until(lambda: b"ATH\r" in device.did)
        device.protocol.data_received(b"OK\r\n")
        await until(lambda: init in device.did)
        said = [plain, {"dtr": False}, {"dtr": True}, b"+++", b"ATH\r", 1200, {"dtr": True}, init]
        assert device.did == said


async def test_a_sign_on_offers_the_baud_that_its_port_was_set_to(devices: list[FakeDevice]) -> None:
    def offering(baud: int) -> Callable[[float], Endpoint]:
        setup = SignOnSetup(Identification("SCH", baud, "ION8650"))
        return lambda now: SignOnEndpoint(endpoint(make_meter()), setup)

    async with served(line("fake", transmit_delay_s=0.0), offering(9600)) as port:
        (device,) = devices
        await until(lambda: len(device.did) == 2)
        assert device.did == [300, {"dtr": True}]
        await port.change(19200, "8N1", offering(19200))
        assert device.did[2:] == [{"byte_size": 8, "parity": "N", "stopbits": 1}]  # and 300 baud it stays
        device.protocol.data_received(request(""))
        await until(lambda: len(device.did) == 4)
        offered = Identification.decode(strip_parity(cast("bytes", device.did[3])).rstrip(b"\r\n"))
        assert offered == Identification("SCH", 19200, "ION8650")


async def test_a_device_that_is_away_comes_back_at_the_baud_it_was_set_to(
    devices: list[FakeDevice],
) -> None:
    async with served(line("fake"), back_off_s=(0.01,)) as port:
        devices[0].protocol.connection_lost(None)
        await port.change(300, "8E2", endpoint(make_meter()))
        await until(lambda: len(devices) == 2)
        assert (port.settings.baud, port.settings.framing) == (300, "8E2")


async def test_a_meter_is_called_over_modems_on_ptys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telephone, "RING_S", 0.2)
    monkeypatch.setattr(telephone, "CONNECT_S", 0.1)
    network = Network()
    network.now = time.monotonic()
    caller, called = HayesModem(network, "1", pins=False), HayesModem(network, "2", pins=False)

    modems: list[ModemEndpoint] = []

    def make(now: float) -> Endpoint:
        modems.append(ModemEndpoint(endpoint(make_meter()), ModemSetup(), now, lambda now: 2))
        return modems[-1]

    with Pty() as mine, Pty() as its, real_time(network, {caller: mine, called: its}):
        async with served(line(its.path), make):

            def connect() -> ModemTransport:
                return ModemTransport.connect(SerialTransport.connect(line(mine.path)), DialSetup("2"))

            assert await asyncio.to_thread(read, connect) == expected()
            assert called.peer is None
            assert network.rings == 2
            assert caller.commands == [DialSetup("2").init, "ATD2", "ATH"]
            while modems[0].state.name != "WAITING":  # the next call
                await asyncio.sleep(0.02)


# --- over TCP -------------------------------------------------------------------------------------------


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def missing(what: str) -> None:
    """Skip here, and fail where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; .ci/run installs it")
    pytest.skip(f"{what} is not installed")


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a serial server until it is done with; it listens when this begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + LONG_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        time.sleep(0.2)  # it lets the first caller go
        yield
    finally:
        process.terminate()
        process.wait(LONG_S)


async def test_a_client_over_the_raw_port_of_ser2net(tmp_path: Path) -> None:
    program = shutil.which("ser2net", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        missing("ser2net")
        return
    port = free_port()
    config = tmp_path / "ser2net.yaml"
    with Wire() as wire:
        config.write_text(
            "connection: &one\n"
            f"  accepter: tcp,127.0.0.1,{port}\n"
            f"  connector: serialdev,{wire.client.path},9600n81,local\n"
        )
        with running([program, "-n", "-u", "-c", str(config)], port):
            async with served(line(wire.meter.path)):
                settings = line(f"socket://127.0.0.1:{port}")
                assert await asyncio.to_thread(read, lambda: SerialTransport.connect(settings)) == expected()


@pytest.mark.parametrize("baud", [300, 19200])
async def test_a_client_over_rfc_2217_to_ser2net(tmp_path: Path, baud: int) -> None:
    program = shutil.which("ser2net", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        missing("ser2net")
        return
    port = free_port()
    config = tmp_path / "ser2net.yaml"
    with Wire() as wire:
        config.write_text(
            "connection: &one\n"
            f"  accepter: telnet(rfc2217),tcp,127.0.0.1,{port}\n"
            f"  connector: serialdev,{wire.client.path},9600n81,local\n"
        )
        with running([program, "-n", "-u", "-c", str(config)], port):
            async with served(line(wire.meter.path)):
                settings = line(f"rfc2217://127.0.0.1:{port}", baud=baud)
                assert await asyncio.to_thread(read, lambda: SerialTransport.connect(settings)) == expected()
                assert wire.client.speed == (termios.B300 if baud == 300 else termios.B19200)


def pyserials_server(device: str, port: int) -> list[str]:
    """Return how to run it: by Debian's Python, which has Debian's python3-serial."""
    python = "/usr/bin/python3"
    if not Path(python).exists() or subprocess.run([python, "-c", "import serial"], check=False).returncode:
        missing("python3-serial")
    return [python, str(Path(__file__).parent / "peers" / "rfc2217_server.py"), device, str(port)]


@pytest.mark.parametrize("baud", [300, 19200])
async def test_a_client_over_rfc_2217_to_pyserials_server(baud: int) -> None:
    port = free_port()
    with Wire() as wire, running(pyserials_server(wire.client.path, port), port):
        async with served(line(wire.meter.path)):
            settings = line(f"rfc2217://127.0.0.1:{port}", baud=baud)
            assert await asyncio.to_thread(read, lambda: SerialTransport.connect(settings)) == expected()
            assert wire.client.speed == (termios.B300 if baud == 300 else termios.B19200)

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
