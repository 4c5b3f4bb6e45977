"""Connections that keep the panel waiting, over real sockets: they end, and the others go on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.extras import needs
from tests.web.panels import Clock, Meters, told

from iondlms.web import Asker, Listening, Watch, make_app
from iondlms.web.watch import Which

needs("uvicorn")

from iondlms.web.server import _config, _Connection, _Server  # noqa: E402  # only where the extra is

HEAD = b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
ASK = b"GET /api/meter HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Hasty(_Connection):
    """One that waits a fifth of a second for a request, and long for all else."""

    request_s = 0.2


class Read(_Connection):
    """One that waits a fifth of a second for its answer to be read."""

    write_s = 0.2


@dataclass
class Served:
    """A server, and who looks at what."""

    server: _Server
    address: tuple[str, int]
    watch: Watch

    async def connect(self, *sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        for each in sent:
            writer.write(each)
        return reader, writer

    async def first(self) -> _Connection:
        while not self.server.server_state.connections:
            await asyncio.sleep(0.01)
        (connection,) = self.server.server_state.connections
        assert isinstance(connection, _Connection)
        return connection

    async def until_nobody(self) -> None:
        while self.server.server_state.connections or self.watch._lookers:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def served(http: type[_Connection], **panel: Any) -> AsyncIterator[Served]:
    clock = Clock()
    ask = Asker(Meters({"panel": told(**panel)}), clock, apart_s=0.0)
    watch = Watch(ask, clock)
    server = _Server(_config(make_app(ask, watch, Which(100), ["127.0.0.1"]), http=http), lambda: None)
    with Listening("127.0.0.1", 0).open() as listening:
        async with asyncio.timeout(20):
            serving = asyncio.create_task(server.serve([listening]))
            while not server.started:
                await asyncio.sleep(0)
            yield Served(server, listening.getsockname(), watch)
            watch.close()
            server.should_exit = True
            await serving


def test_serve_has_the_limits() -> None:
    config = _config(make_app(None, None, Which(1), []))  # type: ignore[arg-type]  # nobody asks it
    config.load()
    assert config.http_protocol_class is _Connection
    assert (_Connection.request_s, _Connection.write_s) == (10.0, 30.0)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        HEAD,
        HEAD + b"Content-Length: 9\r\n\r\n",  # a stream whose request never ends
        ASK + HEAD,
        ASK + ASK + b"G",
    ],
)
async def test_a_request_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    async with served(Hasty) as here:
        reader, writer = await here.connect(sent)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1 << 20)
        await here.until_nobody()
        writer.close()


@pytest.mark.parametrize("begin", [b"", ASK, ASK[:-2] + b"Content-Length: 99999\r\n\r\n"])
async def test_octets_that_drip_make_it_no_longer(begin: bytes) -> None:
    async with served(Hasty) as here:
        _, writer = await here.connect(begin)
        while not here.server.server_state.connections:
            await asyncio.sleep(0.01)
        dripping = asyncio.create_task(_drip(writer))
        await here.until_nobody()
        dripping.cancel()
        await asyncio.wait([dripping])
        writer.close()


async def _drip(writer: asyncio.StreamWriter) -> None:
    for octet in HEAD * 1000:
        writer.write(bytes((octet,)))
        await asyncio.sleep(0.02)


async def test_many_that_say_nothing_keep_nobody_out() -> None:
    async with served(Hasty) as here:
        idle = [await here.connect() for _ in range(205)]
        while True:
            reader, writer = await here.connect(ASK)
            status = await reader.readline()
            writer.close()
            if status == b"HTTP/1.1 200 OK\r\n":
                break
            assert b" 503 " in status
            await asyncio.sleep(0.05)
        for _, writer in idle:
            writer.close()


async def test_who_asks_and_reads_is_kept() -> None:
    async with served(Hasty) as here:
        stream, looker = await here.connect(HEAD + b"\r\n")
        reader, writer = await here.connect()
        for _ in range(6):  # three limits in all, each request in its own
            writer.write(ASK)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await _rest(reader)
            await here.watch.ask_all()
            assert b"SCH1" in await stream.readuntil(b"}\n\n")
            await asyncio.sleep(0.1)
        writer.close()
        looker.close()


async def _rest(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(each for each in head.lower().split(b"\r\n") if each.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))


async def test_a_stream_that_is_not_read_gives_its_place_back() -> None:
    async with served(Read, owner="x" * 50_000) as here:
        unread = await _deaf(here.address, HEAD + b"\r\n")
        reader, writer = await here.connect(HEAD + b"\r\n")
        while here.watch._lookers < 2:
            await asyncio.sleep(0.01)
        sent = 0
        while here.watch._lookers == 2:
            await here.watch.ask_all()
            await reader.readuntil(b"}\n\n")
            sent += 50_000
            await asyncio.sleep(0.01)
        assert sent < 5_000_000
        assert here.watch._lookers == 1  # who reads is kept
        writer.close()
        unread.close()


async def test_an_answer_that_is_not_read_ends_its_connection() -> None:
    async with served(Read, owner="x" * 30_000) as here:
        unread = await _deaf(here.address, ASK * 50)
        last = await _deaf(here.address, ASK * 12 + ASK[:-2] + b"Connection: close\r\n\r\n")
        while len(here.server.server_state.connections) < 2:
            await asyncio.sleep(0.01)
        await here.until_nobody()
        unread.close()
        last.close()


@pytest.mark.parametrize(
    "sent", [ASK[:-2] + b"Connection: close\r\n\r\n", b"no HTTP\r\n\r\n"], ids=["close", "refused"]
)
async def test_what_is_left_at_the_close_is_kept_no_longer(sent: bytes) -> None:
    async with served(Read) as here:
        unread = await _deaf(here.address, b"")
        connection = await here.first()
        # Little enough that nobody is told to pause, as it were: the system is full, the rest waits here.
        connection.transport.set_write_buffer_limits(high=1 << 30)
        connection.transport.write(b"x" * 1_000_000)
        await asyncio.get_running_loop().sock_sendall(unread, sent)
        await here.until_nobody()
        unread.close()


async def test_who_reads_again_is_kept() -> None:
    async with served(Read) as here:
        reader, writer = await here.connect()
        connection = await here.first()
        connection.pause_writing()
        connection.resume_writing()
        await asyncio.sleep(2 * Read.write_s)
        writer.write(ASK)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()


def test_the_system_takes_little_for_one_who_does_not_read() -> None:
    with Listening("127.0.0.1", 0).open() as listening:
        # Linux tells twice of what it was given.
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (65536, 2 * 65536)


async def _deaf(address: tuple[str, int], sent: bytes) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, sent)
    return sock
