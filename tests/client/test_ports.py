"""Both clients on every kind of line, each named by its URL: kernel devices, serial servers, modems."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Final

import pytest
from tests.ports import telephone
from tests.ports.exchange import real_time
from tests.ports.ptys import Pty, Wire
from tests.ports.reading import ROWS, endpoint, expected, make_meter
from tests.ports.serial_servers import free_port, pyserials_server, running
from tests.ports.telephone import CallingLine, HayesModem, Network, Subscriber

from iondlms.client import Client, Hooks, NoAnswer, Target, blocking
from iondlms.client import client as async_client
from iondlms.client.line import SerialLine
from iondlms.errors import PortError
from iondlms.ports import Endpoint
from iondlms.ports.dial import AsyncModemTransport, ModemTransport
from iondlms.ports.dialogue import Watch
from iondlms.ports.endpoint import LineState
from iondlms.ports.modem import ModemEndpoint, ModemSetup, ModemState
from iondlms.ports.optical import SignOnEndpoint, SignOnSetup
from iondlms.ports.serial import LineSettings
from iondlms.ports.serial_port import SerialPort
from iondlms.ports.sign_on import Identification, acknowledge, request
from iondlms.ports.tcp import TcpPort

NUMBER: Final = "5551234"
pytestmark = pytest.mark.timeout(90)


@asynccontextmanager
async def served(
    settings: LineSettings, make: Callable[[float], Endpoint] | None = None
) -> AsyncIterator[SerialPort]:
    port = SerialPort("COM1", settings, make or endpoint(make_meter()))
    await port.bind()
    await port.start()
    try:
        yield port
    finally:
        await port.stop()


def rows_of(client: blocking.Client) -> list[dict[str, object]]:
    return [dict(row) for row in client.profile("load", entries=(1, ROWS)).dicts()]


def read(url: str) -> list[dict[str, object]]:
    with blocking.connect(url) as client:
        return rows_of(client)


async def read_by_both(url: str) -> None:
    """Read with the one client and then with the other; the port is free again in between."""
    assert await asyncio.to_thread(read, url) == expected().rows
    async with Client(url) as client:
        profile = await client.profile("load", entries=(1, ROWS))
        assert [dict(row) for row in profile.dicts()] == expected().rows


@pytest.mark.parametrize(
    "query", ["", "?baud=19200&framing=8N2&timeout=5s", "?baud=115200&echo=off", "?baud=300"]
)
async def test_serial(query: str) -> None:
    with Wire() as wire:
        url = f"serial:{wire.client.path}{query}"
        line = Target.parse(url).line
        assert line is not None
        async with served(LineSettings(wire.meter.path, line.settings.baud, line.settings.framing)):
            await read_by_both(url)
        assert wire.client.speed == getattr(termios, f"B{line.settings.baud}")


@pytest.mark.parametrize("echo", ["auto", "on"])
async def test_serial_with_echo(echo: str) -> None:
    with Wire(echo=True) as wire:
        async with served(LineSettings(wire.meter.path)):
            await read_by_both(f"serial:{wire.client.path}?echo={echo}")


@pytest.mark.parametrize("most", [4800, 9600])
async def test_optical_with_sign_on(most: int) -> None:
    def make(now: float) -> Endpoint:
        setup = SignOnSetup(Identification("SCH", 9600, "ION8650"), release_s=0.2)
        return SignOnEndpoint(endpoint(make_meter()), setup)

    with Wire() as wire:
        async with served(LineSettings(wire.meter.path, baud=300), make):
            url = f"optical:{wire.client.path}?mode_e=1&baud={most}"
            assert await asyncio.to_thread(read, url) == expected().rows
            assert wire.client.speed == getattr(termios, f"B{most}")
            await asyncio.sleep(0.5)  # the meter goes back to 300 baud
            async with Client(url) as client:
                assert len(await client.objects()) == expected().objects


async def test_the_octets_of_a_sign_on_are_shown() -> None:
    def make(now: float) -> Endpoint:
        setup = SignOnSetup(Identification("SCH", 9600, "ION8650"), release_s=0.0)
        return SignOnEndpoint(endpoint(make_meter()), setup)

    seen: list[bytes] = []
    hooks = Hooks(on_octets=lambda direction, octets, now: seen.append(octets))
    with Wire() as wire:
        async with served(LineSettings(wire.meter.path, baud=300), make):
            url = f"optical:{wire.client.path}?mode_e=1"

            def open_blocking() -> None:
                with blocking.connect(url, hooks=hooks):
                    pass

            await asyncio.to_thread(open_blocking)
            assert b"".join(seen).count(request("")) == 1
            assert b"".join(seen).count(acknowledge(9600)) == 2  # and its confirmation
            seen.clear()
            async with Client(url, hooks=hooks):
                pass
            assert b"".join(seen).count(acknowledge(9600)) == 2


async def test_optical_without_sign_on() -> None:
    with Wire() as wire:
        async with served(LineSettings(wire.meter.path)):
            await read_by_both(f"optical:{wire.client.path}?baud=9600")


async def test_socket() -> None:
    port = TcpPort("ETHERNET", "127.0.0.1", 0, endpoint(make_meter()))
    await port.bind()
    await port.start()
    place = f"socket://127.0.0.1:{port.address[1]}"
    await read_by_both(place)
    await read_by_both(f"serial:{place}?timeout=3s")
    await port.stop()


async def test_rfc2217() -> None:
    port = free_port()
    with Wire() as wire, running(pyserials_server(wire.client.path, port), port):
        async with served(LineSettings(wire.meter.path)):
            await read_by_both(f"rfc2217://127.0.0.1:{port}?baud=19200")
            assert wire.client.speed == termios.B19200


@pytest.mark.parametrize(
    "url",
    [
        "serial:/dev/not-there",
        "optical:/dev/not-there?mode_e=1",
        "modem:/dev/not-there?dial=1",
        "socket://127.0.0.1:1",
        "rfc2217://127.0.0.1:1",
    ],
)
async def test_a_line_that_is_not_there_is_one_line(url: str) -> None:
    for attempt in (asyncio.to_thread(read, url), Client(url).open()):
        with pytest.raises(PortError, match=r"not-there|127\.0\.0\.1:1") as caught:
            await attempt
        assert "\n" not in str(caught.value)


async def test_silence_on_a_line_names_what_to_check() -> None:
    with Pty() as pty:
        with pytest.raises(NoAnswer, match=r"check the address \(unit=100, client=16\)"):
            await asyncio.to_thread(read, f"serial:{pty.path}?timeout=20ms&retries=1")
        # And the device is free again.
        with pytest.raises(NoAnswer):
            await Client(f"serial:{pty.path}?timeout=20ms&retries=1").open()


async def test_a_device_that_comes_back_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a read that failed is not used again: the next one opens the device anew."""
    with Wire() as wire:
        async with served(LineSettings(wire.meter.path)):
            client = blocking.Client(f"serial:{wire.client.path}")

            def pulled(octets: bytes) -> None:
                raise PortError("the device is gone")

            def again() -> None:
                with client:
                    first = client._transport
                    assert first is not None
                    monkeypatch.setattr(first, "send", pulled)
                    assert rows_of(client) == expected().rows
                    assert client._transport is not first

            await asyncio.to_thread(again)


# --- modems ---------------------------------------------------------------------------------------------


class Call:
    """Two modems on one exchange, in virtual time; the client's device is `line`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.network = Network()
        self.modem = HayesModem(self.network, "1")
        self.called = HayesModem(self.network, NUMBER)
        self.meter = ModemEndpoint(endpoint(make_meter()), ModemSetup(), 0.0, lambda now: 1)
        Subscriber(self.called, self.meter)
        self.network.run(1.0)
        self.lines: list[CallingLine] = []

        def open_line(line: SerialLine, watch: Watch | None) -> ModemTransport:
            assert line.call is not None
            self.lines.append(CallingLine(self.modem))
            return ModemTransport.connect(self.lines[-1], line.call, watch)

        async def open_line_async(line: SerialLine, watch: Watch | None) -> AsyncModemTransport:
            assert line.call is not None
            self.lines.append(CallingLine(self.modem))
            calling = telephone.AsyncCallingLine(self.lines[-1])
            return await AsyncModemTransport.connect(calling, line.call, watch)

        monkeypatch.setattr(blocking, "open_line", open_line)
        monkeypatch.setattr(async_client, "open_line_async", open_line_async)

    def hung_up(self) -> bool:
        self.network.run(self.network.now + 15)
        free = self.modem.peer is None and self.called.peer is None
        return free and self.meter.state is ModemState.WAITING and all(line.closed for line in self.lines)


URL: Final = f"modem:/dev/ttyS0?dial={NUMBER}&back_off=5s"


def test_a_call_is_hung_up_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch)
    assert read(URL) == expected().rows
    assert call.hung_up()
    assert len(call.lines) == 1


async def test_a_call_of_the_other_client(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch)
    async with Client(URL) as client:
        assert len(await client.objects()) == expected().objects
    assert call.hung_up()
    assert LineState(9600, terminal_ready=False) in call.lines[0].states


def test_a_call_that_breaks_is_dialled_again_and_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch)
    with blocking.connect(URL) as client:
        assert rows_of(client) == expected().rows
        call.modem.hang_up()
        assert rows_of(client) == expected().rows
    assert call.hung_up()
    assert call.meter.calls == 2


def test_a_busy_number_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch)
    call.network.say_to_caller = ["BUSY", "NO ANSWER"]
    assert read(URL) == expected().rows
    assert call.network.now > 15  # 5 s, then 10 s
    call.network.say_to_caller = ["BUSY"] * 3
    with pytest.raises(PortError, match=f"no connection to {NUMBER}: BUSY"):
        read(URL)
    assert call.hung_up()


class Bug(Exception):
    """An error of our caller's own."""


@pytest.mark.parametrize("error", [Bug, KeyboardInterrupt, SystemExit])
def test_a_call_is_hung_up_whatever_ends_it(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    call = Call(monkeypatch)

    def job() -> None:
        with blocking.connect(URL) as client:
            client.get("name")
            raise error

    with pytest.raises(error):
        job()
    assert call.hung_up()


@pytest.mark.parametrize("after", [0.001, 0.5, 1.9, 2.1, 2.5, 3.1])
def test_a_call_is_hung_up_wherever_it_is_interrupted(monkeypatch: pytest.MonkeyPatch, after: float) -> None:
    call = Call(monkeypatch)
    made = CallingLine.__init__

    def make(self: CallingLine, modem: HayesModem) -> None:
        made(self, modem)
        self.interrupt_at = modem.network.now + after

    monkeypatch.setattr(CallingLine, "__init__", make)
    with pytest.raises(KeyboardInterrupt):
        read(URL)
    call.network.run(call.network.now + 60)  # what rings still gives up
    assert call.hung_up()


async def test_a_cancelled_task_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(monkeypatch)
    reading = asyncio.Event()

    async def task() -> None:
        async with Client(URL):
            reading.set()
            await asyncio.Event().wait()

    running_task = asyncio.create_task(task())
    await reading.wait()
    running_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_task
    assert call.hung_up()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, None], ids=str)
async def test_the_command_hangs_up_on_every_signal(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals | None
) -> None:
    monkeypatch.setattr(telephone, "RING_S", 0.1)
    monkeypatch.setattr(telephone, "CONNECT_S", 0.05)
    network = Network()
    network.now = time.monotonic()
    caller, called = HayesModem(network, "1", pins=False), HayesModem(network, "2", pins=False)

    def make(now: float) -> Endpoint:
        return ModemEndpoint(endpoint(make_meter(2000)), ModemSetup(), now, lambda now: 1)

    with ExitStack() as stack:
        mine, its = stack.enter_context(Pty()), stack.enter_context(Pty())
        heard: list[bytes] = []
        write = mine.write

        def overhear(octets: bytes) -> None:
            heard.append(octets)
            write(octets)

        monkeypatch.setattr(mine, "write", overhear)
        stack.enter_context(real_time(network, {caller: mine, called: its}))
        # 300 baud in the meter's transmit delay: the reading takes long enough to be interrupted.
        async with served(LineSettings(its.path, transmit_delay_s=0.05 if number else 0.0), make):
            url = f"modem:{mine.path}?dial=2"
            what = ["profile", url, "load"] if number else ["profile", url, "load", "--last", "2"]
            command = [sys.executable, "-m", "iondlms", *what, "-o", "json", "-q"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                if number is not None:
                    while len(b"".join(heard)) < 4000:  # the columns and their scalers, and then some rows
                        await asyncio.sleep(0.05)
                        assert process.poll() is None
                    process.send_signal(number)
                stdout, stderr = await asyncio.to_thread(process.communicate, timeout=40)
            if number is None:
                assert (process.returncode, len(json.loads(stdout))) == (0, 2), stderr
            else:
                status = 130 if number is signal.SIGINT else 128 + number
                assert process.returncode == status, stderr
                count = len(json.loads(stdout))
                assert 10 < count < 2000
                assert stderr == f"note: interrupted; the {count} rows that came are shown\n".encode()
            assert caller.commands[-1] == "ATH"
            assert caller.peer is None
