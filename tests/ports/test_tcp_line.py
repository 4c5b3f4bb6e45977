"""The client's TCP line by itself: conversations carried without a task, and what can break them."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest

from iondlms.errors import LocalError, PortError
from iondlms.ports.loop import run
from iondlms.ports.tcp_line import AsyncTcpTransport, TcpTransport

FOREVER = 10.0  # s; no test takes a tenth of it


@asynccontextmanager
async def line(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[AsyncTcpTransport]:
    """A line to a server that does so with each connection."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]
    async with asyncio.timeout(FOREVER):
        made = await AsyncTcpTransport.connect("127.0.0.1", server.sockets[0].getsockname()[1], FOREVER)
        try:
            yield made
        finally:
            await made.close()
            server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(100):
        writer.write(octets)
    writer.close()


async def test_a_conversation_goes_on_until_its_answer_is_none() -> None:
    heard: list[bytes] = []
    awake = 0

    def answer(octets: bytes, now: float) -> tuple[bytes, float | None] | None:
        heard.append(octets)
        nonlocal awake
        awake += asyncio.current_task() is not None
        number = octets[0] + 1
        return None if number == 100 else (bytes((number,)), now + FOREVER)

    async with line(echo) as to:
        await to.converse(b"\0", to.now() + FOREVER, answer)
    assert heard == [bytes((number,)) for number in range(100)]
    assert not awake, "a task was woken for an answer"


async def test_silence_comes_at_the_deadline_and_at_a_later_one_of_the_answer() -> None:
    came: list[tuple[bytes, float]] = []

    def answer(octets: bytes, now: float) -> tuple[bytes, float | None] | None:
        came.append((octets, now))
        return (b"", now + 0.02) if len(came) < 3 else None

    async with line(echo) as to:
        begin = to.now()
        await to.converse(b"x", begin + FOREVER, answer)
    assert [octets for octets, _ in came] == [b"x", b"", b""]
    assert came[1][1] >= came[0][1] + 0.02
    assert came[2][1] >= came[1][1] + 0.02


async def test_what_came_unasked_is_kept_and_comes_first() -> None:
    async def push(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"unasked")
        writer.close()

    async with line(push) as to:
        await to._lost
        assert await to.receive(to.now() + FOREVER) == b"unasked"
        with pytest.raises(PortError, match="closed"):
            await to.receive(to.now() + FOREVER)
        with pytest.raises(PortError, match="sending"):
            await to.send(b"?")


async def test_a_peer_that_does_not_stop_is_not_read_on() -> None:
    flooded = asyncio.Event()

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(1000):
            writer.write(bytes(65536))
            if writer.transport.get_write_buffer_size():
                flooded.set()
                break
        await writer.drain()
        writer.close()

    async with line(flood) as to:
        await flooded.wait()
        while not to._paused:
            await asyncio.sleep(0)
        assert len(to._held) <= 3 * 65536
        received = 0
        while received < 65536 * 10:
            received += len(await to.receive(to.now() + FOREVER))
            if flooded.is_set() and not to._held and to._error is not None:
                break
        assert received > 65536, "it was read on once somebody asked"


async def test_an_error_of_the_answer_reaches_who_waits() -> None:
    def answer(_octets: bytes, _now: float) -> None:
        raise ValueError("of the caller's own")

    async with line(echo) as to:
        with pytest.raises(ValueError, match="own"):
            await to.converse(b"x", to.now() + FOREVER, answer)
        assert await echoed(to) == b"again", "the line is as good as before"


async def echoed(to: AsyncTcpTransport) -> bytes:
    await to.send(b"again")
    return await to.receive(to.now() + FOREVER)


async def test_one_conversation_at_a_time_and_a_cancelled_one_is_over() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with line(deaf) as to:
        first = asyncio.create_task(to.receive(None))
        await asyncio.sleep(0)
        with pytest.raises(LocalError, match="one conversation"):
            await to.receive(None)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await to.receive(to.now()) == b""


async def test_closed_while_somebody_waits() -> None:
    async with line(echo) as to:
        waiting = asyncio.create_task(to.receive(None))
        await asyncio.sleep(0)
        await to.close()
        with pytest.raises(PortError, match="closed"):
            await waiting


# --- blocking ---------------------------------------------------------------------------------------


def pair() -> tuple[TcpTransport, socket.socket]:
    ours, theirs = socket.socketpair()
    return TcpTransport(ours), theirs


def test_the_time_out_is_set_anew_only_where_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    to, peer = pair()
    calls: list[float] = []
    wait = TcpTransport._wait

    def counted(self: TcpTransport, seconds: float) -> None:
        calls.append(seconds)
        wait(self, seconds)

    monkeypatch.setattr(TcpTransport, "_wait", counted)
    with peer:
        for deadline in (to.now() + 5, to.now() + 5.1, to.now() + 6):
            peer.send(b"x")
            assert to.receive(deadline) == b"x"
        assert len(calls) == 1, "each deadline that is not sooner is served by the time-out that is set"
        begin = time.monotonic()
        assert to.receive(begin + 0.03) == b""
        assert 0.03 <= time.monotonic() - begin < 2
        begin, before = time.monotonic(), len(calls)
        assert to.receive(begin + 0.06) == b"", "one that is set too short is not the end"
        assert time.monotonic() - begin >= 0.06
        assert len(calls) > before
        peer.send(b"y")
        assert to.receive(None) == b"y"
        assert to._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) == bytes(16)
    with pytest.raises(PortError, match="closed"):
        to.receive(None)
    to.close()


# --- the loop ---------------------------------------------------------------------------------------


def test_the_fast_loop_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop(asyncio.SelectorEventLoop):
        pass

    async def which() -> type:
        return type(asyncio.get_running_loop())

    module = ModuleType("uvloop")
    module.new_event_loop = Loop  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uvloop", module)
    assert run(which()) is Loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(which()) is not Loop
