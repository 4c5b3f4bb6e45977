"""One meter on all its ports at once, devices of the kernel and TCP; ports switched while it runs."""

from __future__ import annotations

import asyncio
import logging
import termios
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from tests.ports import telephone
from tests.ports.exchange import real_time
from tests.ports.ptys import Pty, Wire
from tests.ports.telephone import HayesModem, Network

from iondlms.client import Client, blocking
from iondlms.errors import DlmsError, PortError
from iondlms.hdlc import Frame, ServerAddress
from iondlms.meter import Config, SiteHost
from iondlms.meter.config import ClockSection, MeterSection
from iondlms.ports.dial import DialSetup, ModemTransport
from iondlms.ports.endpoint import Transport
from iondlms.ports.modem import ModemEndpoint
from iondlms.ports.optical import OpticalTransport, SignOnEndpoint
from iondlms.ports.serial import LineSettings, SerialTransport
from iondlms.ports.serial_port import SerialPort
from iondlms.ports.sign_on import SignOnOptions

LONG_S = 10.0
UA, DM = 0x73, 0x1F
WHEN = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
PASSWORD = "secret"

pytestmark = pytest.mark.timeout(60)


def config(*ports: dict[str, Any], source: str = "ETHERNET", **meter: Any) -> Config:
    ethernet = {"name": "ETHERNET", "listen": "127.0.0.1:0"}
    return Config.model_validate(
        {
            "meter": {"password": PASSWORD, "history": 20} | meter,
            "clock": {"time_sync_source": source},
            "port": [ethernet, *ports],
        }
    )


def frame(unit: int, control: int) -> bytes:
    return Frame(ServerAddress(1, unit, 4).encode(), b"\x21", control).encode()


async def said(pty: Pty, octets: bytes, seconds: float = LONG_S) -> int | None:
    """Return the control field of the answer, None if there is none."""
    await asyncio.to_thread(pty.write, octets)
    got = b""
    while len(got) < 3 or not got.endswith(b"~"):
        more = await asyncio.to_thread(pty.read, seconds)
        if not more:
            return None
        got += more
    return Frame.decode(got).control


def over(connect: Callable[[], Transport], unit: int, client: int = 16) -> blocking.Client:
    url = f"hdlc://line?unit={unit}&client={client}&timeout=3s"
    return blocking.Client(url, password=PASSWORD if client == 1 else None, connector=connect)


def instant(client: blocking.Client) -> datetime:
    with client:
        read = client.clock().instant
    assert read is not None
    return read


def on(wire: Wire, **settings: Any) -> Callable[[], SerialTransport]:
    return lambda: SerialTransport.connect(LineSettings(wire.client.path, **settings))


async def set_time(client: blocking.Client) -> None:
    def work() -> None:
        with client:
            client.set_clock(WHEN)

    await asyncio.to_thread(work)


async def test_all_ports_are_one_meter_each_with_its_own_links() -> None:
    with Wire() as one, Wire() as four:
        ports = (
            {"name": "COM1", "device": one.meter.path, "baud": 115200, "framing": "8E1"},
            {"name": "COM4", "device": four.meter.path, "unit_id": 9999},
        )
        async with SiteHost(config(*ports, source="COM4")) as host:
            assert [(port.name, port.url.partition("?")[2]) for port in host.ports] == [
                ("ETHERNET", ""),
                ("COM1", "baud=115200&framing=8E1&unit=100"),
                ("COM4", "baud=9600&framing=8N1&unit=9999"),
            ]
            # A clock that is set through one port is seen through the others.
            await set_time(over(on(four), 9999, client=1))
            com1 = over(on(one, baud=115200, framing="8E1"), 100)
            assert abs(await asyncio.to_thread(instant, com1) - WHEN) < timedelta(seconds=30)
            async with Client(host.ports[0].url.replace("tcp:", "wrapper:")) as client:
                seen = (await client.clock()).instant
                assert seen is not None
                assert abs(seen - WHEN) < timedelta(seconds=30)
            # It is taken on the Time Sync Source alone.
            with pytest.raises(DlmsError):
                await set_time(over(on(one, baud=115200, framing="8E1"), 100, client=1))


async def test_links_are_a_ports_own() -> None:
    with Pty() as one, Pty() as four:
        ports = ({"name": "COM1", "device": one.path}, {"name": "COM4", "device": four.path})
        async with SiteHost(config(*ports)):
            assert await said(one, frame(100, 0x93)) == UA
            assert await said(four, frame(103, 0x11)) == DM  # RR, on a port where nobody has connected
            assert await said(one, frame(103, 0x93), 0.1) is None  # another port's Unit ID
            assert await said(four, frame(103, 0x93)) == UA
            assert await said(four, frame(103, 0x53)) == UA  # DISC
            rr = await said(one, frame(100, 0x11))
            assert rr is not None
            assert rr & 0x0F == 0x01  # the first one's link is there still


async def test_the_optical_port_with_its_sign_on() -> None:
    with Wire() as wire:
        port = {"name": "COM3", "device": wire.meter.path, "baud": 19200, "sign_on": True}
        async with SiteHost(config(port, model="ION8800", manufacturer="ABC")) as host:
            assert host.ports[1].url == f"optical:{wire.meter.path}?mode_e=1&baud=19200&unit=102"
            while wire.meter.speed != termios.B300:
                await asyncio.sleep(0.01)
            identified = []

            def connect() -> OpticalTransport:
                line = SerialTransport.connect(LineSettings(wire.client.path, baud=300))
                transport = OpticalTransport.connect(line, SignOnOptions(address="102", max_baud=9600))
                identified.append(transport.identification)
                return transport

            assert await asyncio.to_thread(instant, over(connect, 102)) is not None
            (identification,) = identified
            assert identification is not None
            told = (
                identification.manufacturer,
                identification.model,
                identification.baud,
                identification.hdlc,
            )
            assert told == ("ABC", "ION8800", 19200, True)
            assert wire.meter.speed == termios.B9600


async def test_the_optical_port_without_sign_on() -> None:
    with Wire() as wire:
        async with SiteHost(config({"name": "COM2", "device": wire.meter.path}, model="ION7400")):
            assert await asyncio.to_thread(instant, over(on(wire), 102)) is not None


@pytest.fixture
def quick_telephone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long against what a loaded machine takes to answer, or one more ring is counted than was meant.
    monkeypatch.setattr(telephone, "RING_S", 0.6)
    monkeypatch.setattr(telephone, "CONNECT_S", 0.1)


async def test_the_modem_port_answers_by_the_meters_own_clock(quick_telephone: None) -> None:
    network = Network()
    network.now = time.monotonic()
    caller, called = HayesModem(network, "1", pins=False), HayesModem(network, "2", pins=False)
    with Pty() as mine, Pty() as its, real_time(network, {caller: mine, called: its}):
        modem = {
            "name": "COM2", "device": its.path, "init": "AT&F0S0=0", "rings": 2, "rings_outside": 3,
            "answer_hours": "07:00-08:00",
        }  # fmt: skip
        made = config(modem, source="ETHERNET")
        made = made.model_copy(update={"clock": ClockSection(zone="Asia/Tokyo")})
        # 22:30 in London is 07:30 in Tokyo, and half an hour on it is outside the answer hours.
        for hour, rings in ((22, 2), (23, 3)):
            network.rings = 0
            called.commands.clear()
            at_ms = round(datetime(2026, 3, 4, hour, 30, tzinfo=UTC).timestamp() * 1000)
            async with SiteHost(made, utc_ms=at_ms) as host:
                assert host.ports[1].url == f"modem:{its.path}?baud=9600&framing=8N1&unit=101"

                def connect() -> ModemTransport:
                    line = SerialTransport.connect(LineSettings(mine.path))
                    return ModemTransport.connect(line, DialSetup("2"))

                assert await asyncio.to_thread(instant, over(connect, 101)) is not None
                assert network.rings == rings
                # Of the call before the last init string may still have been on its way.
                before = called.commands[: called.commands.index("ATA")]
                assert set(before) == {"AT&F0S0=0"}


def port_of(host: SiteHost, name: str) -> SerialPort:
    (port,) = [port for port in host.ports if port.name == name]
    assert isinstance(port, SerialPort)
    return port


async def test_settings_of_a_line_reach_it() -> None:
    settings = {
        "name": "COM1", "device": "/dev/none1", "baud": 300, "framing": "8O2", "rts": "rts_delay",
        "transmit_delay": 0.5, "echo": "on",
    }  # fmt: skip
    rs485 = {"name": "COM4", "device": "/dev/none4", "direction": "driver", "bias": True}
    optical = {"name": "COM3", "device": "/dev/none3", "sign_on": True}
    modem = {"name": "COM2", "device": "/dev/none2", "rts": "rts_cts", "answer_timeout": 30}
    host = SiteHost(config(settings, rs485, optical, modem))
    assert port_of(host, "COM1").settings == LineSettings(
        "/dev/none1", 300, "8O2", "rts_delay", 0.5, echo="on"
    )
    assert port_of(host, "COM4").settings == LineSettings("/dev/none4", rs485=True, bias=True)
    by_rts = SiteHost(config(rs485 | {"direction": "rts"}))
    assert port_of(by_rts, "COM4").settings == LineSettings("/dev/none4", handshake="rts_delay", bias=True)
    assert isinstance(port_of(host, "COM3")._make_endpoint(0.0), SignOnEndpoint)
    assert isinstance(port_of(host, "COM2")._make_endpoint(0.0), ModemEndpoint)
    assert port_of(host, "COM2").settings.handshake == "rts_cts"


# --- switched while it runs -----------------------------------------------------------------------------


def changed(config: Config, **protocols: str) -> Config:
    ports = [
        port.model_copy(update={"protocol": protocols.get(port.name, port.protocol)}) for port in config.port
    ]
    return Config(meter=config.meter, clock=config.clock, port=tuple(ports))


async def connects(host: SiteHost) -> bool:
    url = host.ports[0].url.removeprefix("tcp://")
    address, _, port = url.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(address, int(port))
        writer.write(frame(100, 0x93))
        answered = bool(await reader.read(100))
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    return answered


async def eventually(happens: Callable[[], Awaitable[bool]], wanted: bool) -> None:
    async with asyncio.timeout(LONG_S):
        while await happens() is not wanted:
            await asyncio.sleep(0.02)


async def test_ethernet_is_switched_off_and_on(caplog: pytest.LogCaptureFixture) -> None:
    first = config()
    with caplog.at_level(logging.WARNING):
        async with SiteHost(first) as host:
            url = host.ports[0].url.replace("tcp:", "hdlc:")
            async with Client(url) as client:
                assert await host.apply(changed(first, ETHERNET="NONE")) == []
                assert "ETHERNET is silent; what is connected stays" in caplog.text
                assert (await client.clock()).instant is not None  # the open connection is left
            assert await connects(host) is False
            assert await connects(host) is False
            assert await host.apply(changed(first, ETHERNET="NONE")) == []
            assert await host.apply(first) == []
            assert "ETHERNET answers DLMS again" in caplog.text
            await eventually(lambda: connects(host), True)
    assert len(caplog.records) == 2


async def test_a_serial_port_is_switched_off_and_on_and_opened_when_it_is_needed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Pty() as one, Pty() as four:
        ports = (
            {"name": "COM1", "device": one.path},
            {"name": "COM4", "device": four.path, "protocol": "MODBUS"},
        )
        first = config(*ports)
        async with SiteHost(first) as host:
            assert [port.name for port in host.ports] == ["ETHERNET", "COM1"]
            assert await said(four, frame(103, 0x93), 0.1) is None
            assert await host.apply(changed(first, COM1="ION", COM4="DLMS")) == []
            assert await said(one, frame(100, 0x93), 0.1) is None
            assert await said(four, frame(103, 0x93)) == UA
            assert await host.apply(changed(first, COM4="DLMS")) == []
            assert await said(one, frame(100, 0x93)) == UA
        # One whose device is not to be had is told of, tried again the next time, and costs no other port.
        missing = config(ports[0], ports[1] | {"device": "/nowhere/tty"})
        async with SiteHost(missing) as host:
            for _ in range(2):
                caplog.clear()
                assert await host.apply(changed(missing, COM4="DLMS")) == []
                assert "COM4: /nowhere/tty: cannot be opened" in caplog.text
            assert await said(one, frame(100, 0x93)) == UA


def at_line(config: Config, name: str, baud: int, framing: str = "8N1") -> Config:
    ports = [
        port.model_copy(update={"baud": baud, "framing": framing} if port.name == name else {})
        for port in config.port
    ]
    return Config(meter=config.meter, clock=config.clock, port=tuple(ports))


async def test_a_serial_port_is_set_to_another_baud_and_framing_while_it_is_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Pty() as one:
        first = config({"name": "COM1", "device": one.path})
        async with SiteHost(first) as host:
            assert await said(one, frame(100, 0x93)) == UA
            for baud, framing in ((19200, "8E1"), (19200, "8N1"), (300, "8N1")):
                caplog.clear()
                assert await host.apply(at_line(first, "COM1", baud, framing)) == []
                assert f"COM1 works at {baud} baud, {framing} now; its links are over" in caplog.text
                assert one.speed == {300: termios.B300, 19200: termios.B19200}[baud]
                assert port_of(host, "COM1").url.endswith(f"?baud={baud}&framing={framing}&unit=100")
                assert await said(one, frame(100, 0x11)) == DM
                assert await said(one, frame(100, 0x93)) == UA
            caplog.clear()
            assert await host.apply(at_line(first, "COM1", 300)) == []
            assert not caplog.records
            assert await said(one, frame(100, 0x11)) != DM  # what has not changed ends no link
            # Another Unit ID in the same breath is for the next start, and is not taken half.
            other = at_line(first, "COM1", 1200)
            port = other.port[1].model_copy(update={"unit_id": 7})
            other = Config(meter=other.meter, clock=other.clock, port=(other.port[0], port))
            assert await host.apply(other) == ["port.COM1.unit_id has changed: that takes a restart"]
            assert await said(one, frame(7, 0x93), 0.1) is None
            assert await said(one, frame(100, 0x93)) == UA


async def test_a_modem_gets_its_init_string_again_when_its_port_is_set_to_another_baud() -> None:
    network = Network()
    network.now = time.monotonic()
    modem = HayesModem(network, "1", pins=False)

    async def initialized(times: int) -> None:
        async with asyncio.timeout(LONG_S):
            while len(modem.commands) < times:
                await asyncio.sleep(0.02)

    with Pty() as pty, real_time(network, {modem: pty}):
        first = config({"name": "COM2", "device": pty.path, "init": "AT&F0S0=0"})
        async with SiteHost(first) as host:
            await initialized(1)
            assert await host.apply(at_line(first, "COM2", 19200)) == []
            await initialized(2)
            assert pty.speed == termios.B19200
            assert modem.commands == ["AT&F0S0=0"] * 2


async def test_what_takes_a_restart_is_told() -> None:
    with ExitStack() as stack:
        one = stack.enter_context(Pty())
        first = config({"name": "COM1", "device": one.path})
        async with SiteHost(first) as host:
            other = Config(
                meter=MeterSection(password=SecretStr("another"), history=20, seed=9),
                clock=ClockSection(zone="Asia/Tokyo"),
                port=(first.port[0], first.port[1].model_copy(update={"unit_id": 7, "protocol": "ION"})),
            )
            told = await host.apply(other)
            waiting = "Clock: changed; waits for --apply or a restart"
            keys = ["meter.password", "meter.seed", "port.COM1.unit_id"]
            assert told == [waiting, *(f"{key} has changed: that takes a restart" for key in keys)]
            assert await host.apply(other) == told  # it waits still
            assert await said(one, frame(100, 0x93), 0.1) is None  # but what can be done is
            fewer = Config(meter=other.meter, clock=other.clock, port=other.port[:1])
            assert "port.COM1.device has changed: that takes a restart" in await host.apply(fewer)


async def test_a_device_that_cannot_be_had_leaves_nothing_open() -> None:
    with Pty() as one:
        ports = {"name": "COM1", "device": one.path}, {"name": "COM4", "device": "/nowhere/tty"}
        with pytest.raises(PortError, match=r"^COM4: /nowhere/tty: cannot be opened: No such file"):
            async with SiteHost(config(*ports)):
                pass
        async with SiteHost(config(ports[0])):
            assert await said(one, frame(100, 0x93)) == UA
