"""The client's TCP line by itself: conversations carried without a task, and what can break them."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest

from iondlms.errors import LocalError, PortError
from iondlms.ports import tcp_line
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


class Counting:
    """Answers each octet by the next one, up to 99; the last of a call is a multiple of 10."""

    def __init__(self, wait_s: float = FOREVER, foresees: bool = False) -> None:
        self.outcome: bool | None = None
        self.heard: list[tuple[bytes, float]] = []
        self.foreseen = 0
        self.awake = 0
        self._wait_s = wait_s
        self._foresees = foresees
        self._deadline = 0.0

    def begin(self, octet: int, now: float) -> bytes:
        self.outcome = None
        self._deadline = now + self._wait_s
        return bytes((octet,))

    def follow(self, data: bytes, now: float) -> bytes | None:
        if not self._foresees or not data or data[0] % 10 == 9:
            return None
        self.foreseen += 1
        return self._next(data, now)

    def receive_data(self, data: bytes, now: float) -> bytes:
        answer = self._next(data, now)
        self.outcome = True if answer[0] % 10 == 0 else None
        return b"" if self.outcome else answer

    def _next(self, data: bytes, now: float) -> bytes:
        self.heard.append((data, now))
        self.awake += asyncio.current_task() is not None
        self._deadline = now + self._wait_s
        return bytes((data[0] + 1,))

    def next_deadline(self) -> float:
        return self._deadline

    def handle_timeout(self, now: float) -> bytes:
        self.heard.append((b"", now))
        self._deadline = now + self._wait_s
        self.outcome = True if len(self.heard) == 3 else None
        return b""


@pytest.mark.parametrize("foresees", [False, True])
async def test_a_conversation_goes_on_until_nothing_follows(foresees: bool) -> None:
    asker = Counting(foresees=foresees)

    def following(now: float) -> bytes | None:
        number = asker.heard[-1][0][0] + 1
        return None if number == 100 else asker.begin(number, now)

    async with line(echo) as to:
        await to.converse(asker, asker.begin(0, to.now()), following)
    assert [octets for octets, _ in asker.heard] == [bytes((number,)) for number in range(100)]
    assert asker.foreseen == (90 if foresees else 0)
    assert not asker.awake, "a task was woken for an answer"


async def test_a_call_that_ends_as_it_begins_is_followed_by_the_next() -> None:
    asker = Counting()
    calls = 0

    def following(now: float) -> bytes | None:
        nonlocal calls
        calls += 1
        if calls == 4:
            return None
        octets = asker.begin(8, now)
        asker.outcome = None if calls == 3 else True
        return octets

    async with line(echo) as to:
        await to.converse(asker, asker.begin(9, to.now()), following)
    assert [octets for octets, _ in asker.heard] == [b"\x09", b"\x08", b"\x09"]


async def test_silence_comes_at_the_deadline_and_at_a_later_one_of_the_answer() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1))
        await reader.read()
        writer.close()

    asker = Counting(wait_s=0.02)
    async with line(once) as to:
        begin = to.now()
        await to.converse(asker, asker.begin(1, begin), lambda _now: None)
    assert [octets for octets, _ in asker.heard] == [b"\x01", b"", b""]
    times = [now for _, now in asker.heard]
    assert times[1] >= times[0] + 0.02
    assert times[2] >= times[1] + 0.02


async def test_what_came_unasked_is_kept_and_comes_first() -> None:
    async def push(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"unasked")
        writer.close()

    async with line(push) as to:
        while to._error is None:
            await asyncio.sleep(0)
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


@pytest.mark.parametrize("method", ["follow", "receive_data", "following"])
async def test_an_error_of_who_asks_reaches_who_waits(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> bytes | None:
        raise ValueError("of the caller's own")

    asker = Counting()
    if method != "following":
        monkeypatch.setattr(asker, method, wrong)
    async with line(echo) as to:
        with pytest.raises(ValueError, match="own"):
            await to.converse(asker, asker.begin(9, to.now()), wrong)
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


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_peer_that_reads_nothing_cannot_hold_up_the_end(
    cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await gone.wait()
        writer.close()

    monkeypatch.setattr("iondlms.ports.tcp_line._GRACE_S", FOREVER * 2 if cancelled else 0.01)
    async with line(deaf) as made:
        await made.send(bytes(20_000_000))  # more than any buffers on the way
        closing = asyncio.create_task(made.close())
        if cancelled:
            await asyncio.sleep(0)
            closing.cancel()
        try:
            await asyncio.wait((closing,), timeout=FOREVER / 2)
            assert closing.done()
            assert closing.cancelled() is cancelled
            await asyncio.wait_for(made.close(), FOREVER / 2)  # it has ended, and not only been given up
        finally:
            gone.set()


async def test_what_was_sent_before_the_end_still_goes_out() -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read(-1))
        writer.close()

    async with line(late) as made:
        await made.send(bytes(3_000_000))
        await made.close()
        assert await heard == bytes(3_000_000)


async def test_a_keep_alive_that_is_refused_costs_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(tcp_line, "_keep_alive", refused)
    monkeypatch.setattr(tcp_line, "_YOUNG_S", 0.01)
    async with line(echo) as made:
        assert await made.receive(made.now() + 0.05) == b""
