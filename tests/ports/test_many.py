"""Ports for thousands of meters: the ordinary one, but only while a client is there."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress
from unittest import mock

import pytest
from tests.meter.bench import START_MS
from tests.meter.octets import SNRM, UA

from iondlms.errors import LocalError, PortError
from iondlms.meter import Meter, load
from iondlms.ports.endpoint import Endpoint
from iondlms.ports.many import ManyTcpPorts, allow_files

HOST = "127.0.0.1"


def made(count: int, port: int = 0) -> ManyTcpPorts:
    """Return ports of one meter of Unit ID 17; the last is of one that cannot be had."""
    meter = Meter(load(None, [("port.ETHERNET.unit_id", 17)]))
    meter.start(START_MS, 0.0)

    def endpoint(number: int, now: float) -> Endpoint | None:
        return None if number == count - 1 else meter.endpoint(now=now)

    return ManyTcpPorts(HOST, port, count, endpoint)


async def exchange(ports: ManyTcpPorts, number: int, open_ones: list[asyncio.StreamWriter]) -> bytes:
    reader, writer = await asyncio.open_connection(*ports.address(number))
    open_ones.append(writer)
    writer.write(bytes.fromhex(SNRM))
    try:
        return await reader.read(100)
    except ConnectionError:
        return b""


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_each_takes_one_client_at_a_time_and_forgets_it() -> None:
    ua = bytes.fromhex(UA)
    writers: list[asyncio.StreamWriter] = []
    ports = made(20)
    await ports.bind()
    await ports.start()
    assert await exchange(ports, 3, writers) == ua
    assert await exchange(ports, 3, writers) == b""  # taken
    assert await exchange(ports, 4, writers) == ua
    assert await exchange(ports, 19, writers) == b""  # refused by whoever makes the endpoint
    assert ports.connections == 2
    await closed(writers[0])
    async with asyncio.timeout(5):
        while ports.connections > 1:
            await asyncio.sleep(0)
    assert await exchange(ports, 3, writers) == ua
    ports.enabled = False
    assert await exchange(ports, 5, writers) == b""
    address = ports.address(7)
    await ports.stop()
    assert ports.connections == 0
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection(*address)
    for writer in writers:
        await closed(writer)


async def test_who_connects_as_another_goes_has_the_port_alone() -> None:
    ports = made(2)
    await ports.bind()
    await ports.start()
    loop = asyncio.get_running_loop()

    async def asked(sock: socket.socket) -> bytes:
        try:
            await loop.sock_sendall(sock, bytes.fromhex(SNRM))
            return await loop.sock_recv(sock, 100)
        except ConnectionError:
            return b""

    def connected() -> socket.socket:
        sock = socket.create_connection(ports.address(0))
        sock.setblocking(False)
        return sock

    async with asyncio.timeout(10):
        first = connected()
        assert await asked(first) == bytes.fromhex(UA)
        first.close()
        second = connected()  # both are news of one turn of the loop
        assert await asked(second) == bytes.fromhex(UA)
        assert ports.connections == 1
        third = connected()
        assert await asked(third) == b""
        assert ports.connections == 1
        await ports.stop()
        assert await asked(second) == b""
    second.close()
    third.close()


async def test_an_address_that_is_taken_is_named_and_nothing_stays_open() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(PortError, match=f"{HOST}:{taken}: Address already in use"):
            await made(1, taken).bind()
    again = made(1, taken)
    await again.bind()
    await again.stop()


def test_open_files_are_raised_as_far_as_they_go() -> None:
    def limits(soft: int, hard: int, wanted: int, least: int) -> mock.Mock:
        with (
            mock.patch.object(resource, "getrlimit", return_value=(soft, hard)),
            mock.patch.object(resource, "setrlimit") as told,
        ):
            allow_files(wanted, least)
        return told

    limits(1024, 4096, 1000, 900).assert_not_called()
    limits(1024, 4096, 3000, 2000).assert_called_with(resource.RLIMIT_NOFILE, (3000, 4096))
    limits(1024, 4096, 9000, 4000).assert_called_with(resource.RLIMIT_NOFILE, (4096, 4096))
    limits(1024, resource.RLIM_INFINITY, 9000, 4000).assert_called_with(
        resource.RLIMIT_NOFILE, (9000, resource.RLIM_INFINITY)
    )
    with pytest.raises(LocalError, match=r"5000 open files are needed.*4096; raise it with `ulimit -n 5000`"):
        limits(1024, 4096, 9000, 5000)


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "a\0b"])
async def test_a_host_that_cannot_be_is_an_error_of_the_port(host: str) -> None:
    with pytest.raises(PortError, match="cannot listen on a"):
        await ManyTcpPorts(host, 0, 1, lambda _, __: None).bind()


async def test_slow_ones_are_made_one_at_a_time_for_those_who_still_wait() -> None:
    meter = Meter(load(None, [("port.ETHERNET.unit_id", 17)]))
    meter.start(START_MS, 0.0)
    happened: list[int | str] = []

    def endpoint(number: int, now: float) -> Endpoint | None:
        happened.append(number)
        return meter.endpoint(now=now)

    ports = ManyTcpPorts(HOST, 0, 9, endpoint, slow=lambda number: number != 8 and number not in happened)
    await ports.bind()
    await ports.start()
    # Before the loop looks at any of them: seven wait for slow ones, of whom two have given up.
    clients = [socket.create_connection(ports.address(number)) for number in range(7)]
    for client in clients:
        client.sendall(bytes.fromhex(SNRM))
    for number in (2, 5):
        clients[number].close()
    running = True

    def tick() -> None:
        happened.append("others")
        if running:
            asyncio.get_running_loop().call_soon(tick)

    tick()
    writers: list[asyncio.StreamWriter] = []
    async with asyncio.timeout(5):
        assert await exchange(ports, 6, writers) == b""  # taken, by who waits for it already
        assert await exchange(ports, 8, writers) == bytes.fromhex(UA)
        while ports.connections < 6:
            await asyncio.sleep(0)
    running = False
    slow = [each for each in happened if each in range(8)]
    assert slow == [0, 1, 3, 4, 6]
    between = "".join("x" if each in range(8) else " " for each in happened)
    assert "xx" not in between
    for number in (0, 1, 3, 4, 6):
        clients[number].settimeout(0)
        assert clients[number].recv(100) == bytes.fromhex(UA)
        clients[number].close()
    for writer in writers:
        await closed(writer)
    await ports.stop()


async def test_who_waits_for_a_slow_one_is_let_go_at_the_end() -> None:
    ports = ManyTcpPorts(HOST, 0, 3, lambda _number, _now: None, slow=lambda _number: True)
    await ports.bind()
    await ports.start()
    async with ports._turn:
        clients = [socket.create_connection(ports.address(number)) for number in range(3)]
        async with asyncio.timeout(5):
            while len(ports._accepting) < 3:
                await asyncio.sleep(0)
        await ports.stop()
        async with asyncio.timeout(5):
            while ports._accepting:
                await asyncio.sleep(0)
    for client in clients:
        client.settimeout(5)
        assert client.recv(1) == b""
        client.close()
    assert ports.connections == 0
