"""What a serial port does to a device with pins, which no pty has: a stand-in notes it, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest
from serialx import ModemPins, PinState, UnsupportedSetting
from tests.ports.reading import endpoint, make_meter
from tests.ports.serial_line import DM, RR, SNRM, UA, line, served, until

from iondlms.errors import PortError
from iondlms.hdlc import Frame
from iondlms.ports import Endpoint
from iondlms.ports.modem import ModemEndpoint, ModemSetup
from iondlms.ports.optical import SignOnEndpoint, SignOnSetup
from iondlms.ports.parity import strip_parity
from iondlms.ports.serial import LineSettings
from iondlms.ports.sign_on import Identification, request

pytestmark = pytest.mark.timeout(60)


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
