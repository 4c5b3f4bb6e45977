"""The same over real sockets: both drivers, on TCP, against the meter's own port."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from tests.client.joined import START, make_meter

from iondlms.client import Client, ClosedAtOnce, NoAnswer, NotDlms, blocking, connect
from iondlms.errors import PortError
from iondlms.later import Later
from iondlms.ports.tcp import TcpPort


async def served() -> TcpPort:
    meter = make_meter()
    start = asyncio.get_running_loop().time()
    meter.advance(0.0)
    # The meter's clock starts at 0 with START; the loop's is anywhere.
    port = TcpPort("ETHERNET", "127.0.0.1", 0, lambda now: _Shifted(meter.endpoint(now=now - start), start))
    await port.bind()
    await port.start()
    return port


class _Shifted:
    """An endpoint on a clock that began at `start`."""

    def __init__(self, endpoint: object, start: float) -> None:
        self._endpoint: Any = endpoint
        self._start = start

    def receive_data(self, data: bytes, now: float) -> bytes:
        answer: bytes = self._endpoint.receive_data(data, now - self._start)
        return answer

    def next_deadline(self) -> float | None:
        deadline: float | None = self._endpoint.next_deadline()
        return None if deadline is None else deadline + self._start

    def handle_timeout(self, now: float) -> bytes:
        answer: bytes = self._endpoint.handle_timeout(now - self._start)
        return answer

    @property
    def idle(self) -> bool:
        return bool(self._endpoint.idle)

    @property
    def closed(self) -> bool:
        return bool(self._endpoint.closed)

    @property
    def later(self) -> Later | None:
        later: Later | None = self._endpoint.later
        return later


@pytest.mark.parametrize("scheme", ["tcp", "hdlc", "wrapper"])
async def test_both_drivers(scheme: str) -> None:
    port = await served()
    host, number = port.address
    url = f"{scheme}://{host}:{number}?timeout=5s"
    async with connect(url) as client:
        instant = (await client.clock()).instant
        rows = (await client.profile("load")).rows
    assert instant is not None
    assert abs((instant - START).total_seconds()) < 60
    assert len(rows) == 20

    def blocked() -> object:
        with blocking.connect(url) as client:
            return client.profile("load").rows

    assert await asyncio.to_thread(blocked) == rows
    await port.stop()


@pytest.mark.parametrize("scheme", ["tcp", "hdlc", "wrapper"])
async def test_a_second_client_is_told_why_it_is_refused(scheme: str) -> None:
    port = await served()
    host, number = port.address
    why = (
        f"^{host}:{number} closed the connection at once: an ION takes one DLMS connection at a time,"
        " and none while DLMS over Ethernet is off or it has no power$"
    )
    async with connect(f"hdlc://{host}:{number}") as first:
        with pytest.raises(ClosedAtOnce, match=why):
            await Client(f"{scheme}://{host}:{number}?timeout=5s").open()
        with pytest.raises(ClosedAtOnce, match=why):
            await asyncio.to_thread(blocking.Client(f"{scheme}://{host}:{number}?timeout=5s").open)
        assert (await first.clock()).instant is not None
    await port.stop()


async def test_a_meter_of_the_wrapper_alone_may_close_what_is_no_wpdu() -> None:
    meter = make_meter()
    section = meter.config.port[0].model_copy(update={"framing": "wrapper"})
    port = TcpPort("ETHERNET", "127.0.0.1", 0, lambda now: meter.endpoint(section, 0.0))
    await port.bind()
    await port.start()
    host, number = port.address
    async with connect(f"tcp://{host}:{number}?timeout=5s") as client:
        assert client.session.framing == "wrapper"
    await port.stop()


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        number = unused.getsockname()[1]
        with pytest.raises(PortError, match=f"127.0.0.1:{number}"):
            await Client(f"tcp://127.0.0.1:{number}").open()
        with pytest.raises(PortError, match=f"127.0.0.1:{number}"):
            blocking.Client(f"tcp://127.0.0.1:{number}").open()


async def test_a_port_that_says_nothing() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    number = server.sockets[0].getsockname()[1]
    url = f"tcp://127.0.0.1:{number}?timeout=20ms&retries=1"
    with pytest.raises(NoAnswer, match=r"not as HDLC: .*; nor as wrapper: "):
        await Client(url).open()
    with pytest.raises(NoAnswer):
        await asyncio.to_thread(blocking.Client(url).open)
    server.close()


class _Web(asyncio.Protocol):
    """A web server that is asked for what it does not know."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")
        self._transport.close()


@pytest.mark.parametrize("scheme", ["tcp", "hdlc", "wrapper"])
async def test_what_is_no_meter_is_quoted(scheme: str) -> None:
    server = await asyncio.get_running_loop().create_server(_Web, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    url = f"{scheme}://{place}?timeout=1s&retries=0"
    told = f"^no DLMS meter is at {place}: what answers there begins with 'HTTP/1.1 400 Bad Request';"
    with pytest.raises(NotDlms, match=told):
        await Client(url).open()
    with pytest.raises(NotDlms, match=told):
        await asyncio.to_thread(blocking.Client(url).open)
    server.close()
