"""Sign-on, calls and many meters on devices of the kernel (pty)."""

from __future__ import annotations

import asyncio
import termios
import time
from collections.abc import Callable

import pytest
from tests.ports import telephone
from tests.ports.exchange import real_time
from tests.ports.ptys import Pty, Wire
from tests.ports.reading import endpoint, expected, make_meter, read
from tests.ports.serial_line import LONG_S, SNRM, answer, line, served
from tests.ports.telephone import HayesModem, Network

from iondlms.hdlc import Frame, ServerAddress
from iondlms.later import Later
from iondlms.meter.endpoint import MeterEndpoint
from iondlms.ports import Endpoint
from iondlms.ports.bus import BusEndpoint
from iondlms.ports.dial import DialSetup, ModemTransport
from iondlms.ports.echo import EchoEndpoint
from iondlms.ports.endpoint import LineState
from iondlms.ports.modem import ModemEndpoint, ModemSetup
from iondlms.ports.optical import OpticalTransport, SignOnEndpoint, SignOnSetup
from iondlms.ports.serial import AsyncSerialTransport, SerialTransport
from iondlms.ports.sign_on import Identification, acknowledge, request

pytestmark = pytest.mark.timeout(60)


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


class Writer:
    """An endpoint whose answers wait."""

    idle = closed = False

    def __init__(self) -> None:
        self.later: Later | None = None
        self._due = b""

    def receive_data(self, data: bytes, now: float) -> bytes:
        self._due, self.later = data, Later()
        return b""

    def next_deadline(self) -> float | None:
        return 0.0 if self.later is not None and self.later.done else 1e9

    def handle_timeout(self, now: float) -> bytes:
        if self.later is None or not self.later.done:
            return b""
        self.later = None
        return self._due


def called(inner: Endpoint) -> Endpoint:
    modem = ModemEndpoint(lambda now: inner, ModemSetup(), 0.0, lambda now: 1)
    modem.handle_timeout(0.0)
    for said in ("OK", "RING", "CONNECT 9600"):
        modem.receive_data(f"\r\n{said}\r\n".encode(), 1.0)
    return modem


def signed_on(inner: Endpoint) -> Endpoint:
    endpoint = SignOnEndpoint(lambda now: inner, SignOnSetup(Identification("SCH", 9600, "ION8650")))
    assert endpoint.later is None
    endpoint.receive_data(request(""), 0.0)
    endpoint.receive_data(acknowledge(9600), 1.0)
    return endpoint


@pytest.mark.parametrize("around", [called, signed_on, lambda inner: EchoEndpoint(inner, "off")])
def test_an_answer_waits_behind_a_modem_a_sign_on_and_an_echo_too(
    around: Callable[[Endpoint], Endpoint],
) -> None:
    inner = Writer()
    endpoint = around(inner)
    assert endpoint.later is None
    assert endpoint.receive_data(SNRM, 2.0) == b""
    assert endpoint.later is inner.later
    assert inner.later is not None
    assert endpoint.handle_timeout(3.0) == b""
    inner.later.settle()
    deadline = endpoint.next_deadline()
    assert deadline is not None
    assert deadline <= 3.0
    assert endpoint.handle_timeout(3.0) == SNRM
    assert endpoint.later is None
