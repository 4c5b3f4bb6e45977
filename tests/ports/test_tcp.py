"""The meter's TCP port over real loopback sockets: one connection, who gets it, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests.meter.bench import AARQ, START_MS, get_request
from tests.meter.octets import DISC, DM, SNRM, UA, W_AARE, W_AARQ, W_GET

from iondlms.errors import PortError
from iondlms.later import Later
from iondlms.meter import Meter, load
from iondlms.ports import tcp, tcp_line
from iondlms.ports.endpoint import Endpoint
from iondlms.ports.tcp import TcpPort
from iondlms.ports.tcp_line import AsyncTcpTransport, TcpTransport

LONG_S = 10.0  # nothing here takes a tenth of it


@asynccontextmanager
async def port(**section: Any) -> AsyncIterator[TcpPort]:
    """A listening port of a meter of Unit ID 17."""
    settings = [("history", 20), ("port.ETHERNET.unit_id", 17), ("port.ETHERNET.listen", "127.0.0.1:0")]
    settings += [(f"port.ETHERNET.{key}", value) for key, value in section.items()]
    meter = Meter(load(None, settings))
    loop = asyncio.get_running_loop()
    meter.start(START_MS, loop.time())
    made = TcpPort("ETHERNET", "127.0.0.1", 0, lambda now: meter.endpoint(now=now))
    await made.bind()
    await made.start()
    try:
        async with asyncio.timeout(LONG_S):
            yield made
    finally:
        await made.stop()


class Peer:
    """A client's socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, to: TcpPort) -> Peer:
        return cls(*await asyncio.open_connection(*to.address))

    async def ask(self, octets: str, expected: str) -> None:
        self.writer.write(bytes.fromhex(octets))
        assert (await self.reader.readexactly(len(expected) // 2)).hex().upper() == expected

    async def ended(self) -> bool:
        """Whether the meter has closed, without a further octet."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def until_admitted(to: TcpPort) -> Peer:
    """Connect again and again until the port is given to us."""
    while True:
        peer = await Peer.connect(to)
        peer.writer.write(bytes.fromhex(SNRM))
        try:
            if await peer.reader.readexactly(len(UA) // 2) == bytes.fromhex(UA):
                return peer
        except (asyncio.IncompleteReadError, ConnectionError):
            await peer.close()


async def test_hdlc_and_wrapper_are_told_apart() -> None:
    async with port() as to:
        first = await Peer.connect(to)
        await first.ask(SNRM, UA)
        await first.close()
        second = await until_admitted(to)
        await second.close()
    async with port() as to:
        first = await Peer.connect(to)
        await first.ask(W_AARQ, W_AARE)
        await first.close()


async def test_wr_13_a_second_connection_is_refused_at_once() -> None:
    async with port() as to:
        first = await Peer.connect(to)
        await first.ask(W_AARQ, W_AARE)
        for number in range(1, 4):
            second = await Peer.connect(to)
            assert await second.ended()
            await second.close()
            assert to.refused == number
        await first.ask("0001001000010000" + "00010010000100056203800100", "00010001001000056303800100")
        await first.close()


async def test_switched_off_new_ones_are_refused_and_the_open_one_stays() -> None:
    async with port() as to:
        first = await Peer.connect(to)
        await first.ask(SNRM, UA)
        to.enabled = False
        second = await Peer.connect(to)
        assert await second.ended()
        await first.ask(SNRM, UA)
        await first.close()
        await second.close()


async def test_the_slot_is_free_after_close_and_after_reset() -> None:
    async with port() as to:
        for end in ("close", "reset") * 3:
            peer = await until_admitted(to)
            if end == "reset":
                peer.reset()
            else:
                await peer.close()


async def test_wr_16_reset_while_a_long_answer_is_sent() -> None:
    async with port() as to:
        first = await Peer.connect(to)
        await first.ask(W_AARQ[:-4] + "FFFF", W_AARE)
        request = bytes.fromhex("000100100001000D" + get_request(15, "0-0:40.0.0*255", 2))
        first.writer.write(request * 100)
        await first.reader.readexactly(10)
        first.reset()
        await (await until_admitted(to)).close()


async def test_the_slot_is_free_after_inactivity_and_not_before() -> None:
    async with port(inactivity=0.3) as to:
        first = await Peer.connect(to)
        await first.ask(SNRM, UA)
        begin = asyncio.get_running_loop().time()
        second = await until_admitted(to)
        assert asyncio.get_running_loop().time() - begin >= 0.29
        assert await first.ended()  # the newcomer has the port, the silent one is closed
        await first.close()
        await second.ask(DISC, "7EA00A2100020023734CE77E")
        await second.close()


async def test_an_idle_connection_that_nobody_wants_stays_and_may_begin_again() -> None:
    async with port(inactivity=0.1) as to:
        first = await Peer.connect(to)
        await first.ask(SNRM, UA)
        assert to._active is not None
        while not to._active.endpoint_idle:
            await asyncio.sleep(0)
        await first.ask(DISC, DM)  # the link is gone
        await first.ask(SNRM, UA)
        await first.close()


async def test_wr_17_half_close_gets_its_answer_then_the_end() -> None:
    async with port() as to:
        peer = await Peer.connect(to)
        peer.writer.write(bytes.fromhex(W_AARQ))
        peer.writer.write_eof()
        assert (await peer.reader.read()).hex().upper() == W_AARE
        await peer.close()


async def test_an_unknown_wrapper_version_closes_the_connection() -> None:
    async with port() as to:
        peer = await Peer.connect(to)
        await peer.ask(W_AARQ + "0002" + W_AARQ[4:], W_AARE)
        assert await peer.ended()
        await peer.close()
        await (await until_admitted(to)).close()


async def test_stop_lets_the_answer_out_and_closes() -> None:
    async with port() as to:
        peer = await Peer.connect(to)
        await peer.ask(W_AARQ, W_AARE)
        peer.writer.write(bytes.fromhex(W_GET))
        answer = await peer.reader.readexactly(8)
        await to.stop()
        rest = await peer.reader.read()
        assert len(rest) == int.from_bytes(answer[6:], "big")
        with pytest.raises(ConnectionRefusedError):
            await Peer.connect(to)
        await peer.close()


class Flood:
    """An endpoint that answers each octet with many."""

    idle = False
    closed = False
    later = None

    def __init__(self, now: float, inactivity_s: float = 60.0) -> None:
        self.taken = 0
        self.largest = 0
        self.heard = now
        self.inactivity_s = inactivity_s

    def receive_data(self, data: bytes, now: float) -> bytes:
        self.taken += len(data)
        self.largest = max(self.largest, len(data))
        self.heard = now
        return b"x" * (1000 * len(data))

    def next_deadline(self) -> float | None:
        return None if self.idle else self.heard + self.inactivity_s

    def handle_timeout(self, now: float) -> bytes:
        self.idle = True
        return b""


@asynccontextmanager
async def flooded(inactivity_s: float = 60.0) -> AsyncIterator[tuple[TcpPort, Flood, Peer]]:
    """A client that has asked for much more than any socket buffers, and reads nothing."""
    made: list[Flood] = []

    def make(now: float) -> Endpoint:
        made.append(Flood(now, inactivity_s))
        return made[-1]

    to = TcpPort("ETHERNET", "127.0.0.1", 0, make)
    await to.bind()
    await to.start()
    peer = await Peer.connect(to)
    peer.writer.write(b"?" * 1_000_000)
    async with asyncio.timeout(LONG_S):
        while not made or not made[0].taken:
            await asyncio.sleep(0)
        try:
            yield to, made[0], peer
        finally:
            await to.stop()
            peer.reset()


async def settled(value: Callable[[], int]) -> int:
    """A number that no longer changes for a while of the loop."""
    last, same = -1, 0
    while same < 200:
        same = same + 1 if value() == last else 0
        last = value()
        await asyncio.sleep(0)
    return last


async def test_a_client_that_asks_and_does_not_read_fills_no_memory() -> None:
    async with flooded() as (_, endpoint, _peer):
        taken = await settled(lambda: endpoint.taken)
        assert endpoint.largest <= 2048
        assert taken < 50_000  # of a million: what socket buffers and one more answer hold


class Echo(Flood):
    """An endpoint that says what it hears, and notes in which turn of the loop."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.turns: list[int] = []
        self.turn = 0
        self.counted = asyncio.get_running_loop().create_task(self.count())

    async def count(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    def receive_data(self, data: bytes, now: float) -> bytes:
        super().receive_data(data, now)
        self.turns.append(self.turn)
        return data


async def test_much_at_once_is_taken_a_chunk_in_a_turn_and_loses_nothing() -> None:
    made: list[Echo] = []

    def make(now: float) -> Endpoint:
        made.append(Echo(now))
        return made[-1]

    to = TcpPort("ETHERNET", "127.0.0.1", 0, make)
    await to.bind()
    await to.start()
    asked = bytes(range(256)) * 40 + b"the end"
    async with asyncio.timeout(LONG_S):
        peer = await Peer.connect(to)
        peer.writer.write(asked)
        assert await peer.reader.readexactly(len(asked)) == asked
        peer.writer.write(asked)  # it goes on
        peer.writer.write_eof()
        assert await peer.reader.read(-1) == asked
        await peer.close()
    (echo,) = made
    echo.counted.cancel()
    assert echo.largest <= 256
    assert len(echo.turns) == len(set(echo.turns)), "others have their turn between two chunks"
    await to.stop()


async def test_stop_does_not_wait_for_a_client_that_does_not_read() -> None:
    async with flooded() as (to, endpoint, _peer):
        await settled(lambda: endpoint.taken)
        begin = asyncio.get_running_loop().time()
        await to.stop()
        assert asyncio.get_running_loop().time() - begin < 3.0


async def test_a_half_closed_client_that_does_not_read_loses_the_slot_to_inactivity() -> None:
    async with flooded(0.2) as (to, endpoint, peer):
        await settled(lambda: endpoint.taken)
        peer.writer.write_eof()
        while not endpoint.idle:
            await asyncio.sleep(0)
        newcomer = await Peer.connect(to)
        newcomer.writer.write(b"?")
        assert len(await newcomer.reader.readexactly(1000)) == 1000
        newcomer.reset()


class Broken(Flood):
    """One whose line breaks with the first octets, behind an answer of more than any socket buffers."""

    def receive_data(self, data: bytes, now: float) -> bytes:
        self.closed = True
        return super().receive_data(data, now) * 20_000


async def test_a_broken_line_whose_rest_is_not_read_loses_the_slot_to_inactivity() -> None:
    made: list[Flood] = []

    def make(now: float) -> Endpoint:
        made.append(Flood(now) if made else Broken(now, 0.2))
        return made[-1]

    to = TcpPort("ETHERNET", "127.0.0.1", 0, make)
    await to.bind()
    await to.start()
    async with asyncio.timeout(LONG_S):
        peer = await Peer.connect(to)
        begin = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < begin + 0.05:
            await asyncio.sleep(0)  # the timer is set for the connection, and these octets come later
        peer.writer.write(b"?")
        while not made[0].idle:
            await asyncio.sleep(0)
        newcomer = await Peer.connect(to)
        newcomer.writer.write(b"?")
        assert len(await newcomer.reader.readexactly(1000)) == 1000
    newcomer.reset()
    peer.reset()
    await to.stop()


async def test_connections_share_the_timer_of_their_port(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *call: Any, **named: Any) -> asyncio.TimerHandle:
        timers.append(when - loop.time())
        return call_at(when, *call, **named)

    monkeypatch.setattr(loop, "call_at", counted)
    async with port(inactivity=120) as to:
        for _ in range(3):
            peer = await until_admitted(to)
            await peer.close()
        assert len([each for each in timers if each > 100]) == 1
        assert to._alarm._handle is not None
    assert to._alarm._handle is None  # nothing is left of a port that is closed


async def test_a_timer_of_the_connection_before_does_not_ring_too_late_or_too_early() -> None:
    made: list[Flood] = []

    def make(now: float) -> Endpoint:
        made.append(Flood(now, 0.3 if made else 0.1))
        return made[-1]

    to = TcpPort("ETHERNET", "127.0.0.1", 0, make)
    await to.bind()
    await to.start()
    async with asyncio.timeout(LONG_S):
        first = await Peer.connect(to)
        first.writer.write(b"?")
        await first.reader.readexactly(1000)
        await first.close()
        while to.connected:
            await asyncio.sleep(0)
        second = await Peer.connect(to)
        while len(made) < 2:
            await asyncio.sleep(0)
        rung: list[float] = []
        handle_timeout = made[1].handle_timeout

        def heard(now: float) -> bytes:
            rung.append(now - made[1].heard)
            return handle_timeout(now)

        made[1].handle_timeout = heard  # type: ignore[method-assign]
        while not made[1].idle:
            await asyncio.sleep(0)
        assert not made[0].idle  # of who has gone nobody is told
        assert len(rung) == 1
        assert rung[0] >= 0.3
        await second.close()
        await to.stop()


async def test_a_port_without_a_listener_keeps_no_timer_when_its_connection_is_gone() -> None:
    to = TcpPort("ETHERNET", "127.0.0.1", 0, Flood)
    ours, theirs = socket.socketpair()
    gone = asyncio.Event()
    async with asyncio.timeout(LONG_S):
        with theirs:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: to.protocol(gone.set), ours)
            assert to._alarm._handle is not None
        await gone.wait()
        assert to._alarm._handle is None


async def test_a_bug_costs_the_connection_and_not_the_port(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Flood):
        def receive_data(self, data: bytes, now: float) -> bytes:
            raise ZeroDivisionError

    to = TcpPort("ETHERNET", "127.0.0.1", 0, Broken)
    await to.bind()
    await to.start()
    for _ in range(3):
        peer = await Peer.connect(to)
        peer.writer.write(b"?")
        assert await peer.ended()
        await peer.close()
    await to.stop()
    assert caplog.text.count("the endpoint failed; connection closed") == 3


async def test_rb_09_connection_storm() -> None:
    async with port() as to:
        for _ in range(100):
            peer = await until_admitted(to)
            await peer.ask("7EA00A00020023215314B77E", "7EA00A2100020023734CE77E")
            await peer.close()


async def test_a_taken_address_is_named() -> None:
    async with port() as to:
        host, number = to.address
        other = TcpPort("ETHERNET", host, number, Flood)
        with pytest.raises(PortError, match=f"ETHERNET: cannot listen on {host}:{number}: "):
            await other.bind()
        assert to.url == f"tcp://{host}:{number}"


async def test_who_starts_second_on_an_address_is_told() -> None:
    # Linux lets two bind one address while neither listens.
    first = TcpPort("ETHERNET", "127.0.0.1", 0, Flood)
    await first.bind()
    second = TcpPort("other", *first.address, Flood)
    await second.bind()
    await second.start()
    try:
        with pytest.raises(
            PortError, match=r"^ETHERNET: cannot listen on 127.0.0.1:0: Address already in use$"
        ):
            await first.start()
    finally:
        for each in (first, second):
            await each.stop()


def test_a_system_that_does_not_tell_who_listens_is_believed() -> None:
    class Untold:
        def getsockopt(self, *_: int) -> int:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    assert tcp._listens(cast("socket.socket", Untold()))


async def test_bound_is_not_yet_listening() -> None:
    to = TcpPort("ETHERNET", "127.0.0.1", 0, Flood)
    await to.bind()
    with pytest.raises(ConnectionRefusedError):
        await Peer.connect(to)
    await to.start()
    await (await Peer.connect(to)).close()
    await to.stop()


def keep_alive_of(sock: Any) -> tuple[int, ...]:
    """Whether it is on, and after how long, how often and how many times it asks."""
    tcp = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    asked = [sock.getsockopt(socket.IPPROTO_TCP, option) for option in tcp]
    return (sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *asked)


async def test_each_connection_has_keep_alive_that_finds_a_dead_peer_within_two_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = (1, 60, 20, 3)
    monkeypatch.setattr(tcp_line, "_YOUNG_S", 0.3)  # of our own asyncio client: once it is no longer young
    async with port() as to:
        line = await AsyncTcpTransport.connect(*to.address, 5.0)
        await line.send(bytes.fromhex(SNRM))
        assert await line.receive(line.now() + 5)
        assert to._active is not None
        assert line._transport is not None
        assert not keep_alive_of(line._transport.get_extra_info("socket"))[0]
        while not keep_alive_of(line._transport.get_extra_info("socket"))[0]:
            await asyncio.sleep(0)
        for connected in (line._transport, to._active._transport):
            assert connected is not None
            assert keep_alive_of(connected.get_extra_info("socket")) == wanted
        await line.close()
        await settled(lambda: to._active is None)
        other = await asyncio.to_thread(TcpTransport.connect, *to.address, 5.0)
        assert keep_alive_of(other._socket) == wanted
        other.send(bytes.fromhex(SNRM))  # answered, it is admitted: what is not yet cannot be closed by us
        assert await asyncio.to_thread(other.receive, other.now() + 5)
        other.close()


# --- the client's side --------------------------------------------------------------------------------


async def test_async_transport() -> None:
    async with port() as to:
        line = await AsyncTcpTransport.connect(*to.address, 5.0)
        await line.send(bytes.fromhex(SNRM))
        assert (await line.receive(line.now() + 5)).hex().upper() == UA
        assert await line.receive(line.now() + 0.02) == b""
        await to.stop()
        with pytest.raises(PortError, match=r"closed|broke"):
            await line.receive(None)
        await line.close()
        await line.close()


async def test_blocking_transport() -> None:
    async with port() as to:

        def talk() -> tuple[bytes, bytes]:
            line = TcpTransport.connect(*to.address, 5.0)
            line.send(bytes.fromhex(SNRM))
            answer = line.receive(line.now() + 5)
            nothing = line.receive(line.now() - 1)
            line.close()
            line.close()
            return answer, nothing

        answer, nothing = await asyncio.to_thread(talk)
        assert answer.hex().upper() == UA
        assert nothing == b""


async def test_transports_name_an_address_that_does_not_answer() -> None:
    async with port() as to:
        address = to.address
    with pytest.raises(PortError, match=f"no connection to {address[0]}:{address[1]}: "):
        await AsyncTcpTransport.connect(*address, 1.0)
    with pytest.raises(PortError, match=f"no connection to {address[0]}:{address[1]}: "):
        await asyncio.to_thread(TcpTransport.connect, *address, 1.0)


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
async def test_a_name_that_no_host_can_have_is_a_plain_error(host: str) -> None:
    expected = f"no connection to {host}:4059: no host can have that name"
    with pytest.raises(PortError, match=expected):
        await AsyncTcpTransport.connect(host, 4059, 1.0)
    with pytest.raises(PortError, match=expected):
        TcpTransport.connect(host, 4059, 1.0)


async def test_a_refused_connection_says_so_in_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    expected = f"no connection to 127.0.0.1:{port}: Connection refused$"
    with pytest.raises(PortError, match=expected):
        await AsyncTcpTransport.connect("127.0.0.1", port, 1.0)
    with pytest.raises(PortError, match=expected):
        TcpTransport.connect("127.0.0.1", port, 1.0)


def test_the_longest_requests_fit_what_is_taken_at_once() -> None:
    assert len(AARQ) // 2 < 2048


class DeadPeer:
    """A socket whose keep-alive has found the peer dead."""

    def settimeout(self, _seconds: float | None) -> None:
        pass

    def setsockopt(self, *_option: object) -> None:
        pass

    def recv(self, _count: int) -> bytes:
        raise TimeoutError(110, "Connection timed out")


async def test_a_peer_that_keep_alive_finds_dead_is_an_error_and_not_silence() -> None:
    blocking = TcpTransport(cast("socket.socket", DeadPeer()))
    with pytest.raises(PortError):
        blocking.receive(None)
    transport = AsyncTcpTransport()
    transport.connection_lost(TimeoutError(110, "Connection timed out"))
    with pytest.raises(PortError, match="broke"):
        await transport.receive(transport.now() + 60)


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "a\0b"])
async def test_a_host_that_cannot_be_is_an_error_of_the_port(host: str) -> None:
    with pytest.raises(PortError, match="ETHERNET: cannot listen on a"):
        await TcpPort("ETHERNET", host, 0, Flood).bind()


# --- an answer that waits -----------------------------------------------------------------------------


class Writer(Flood):
    """An endpoint that says what it hears, once that is written: each chunk waits."""

    def __init__(self, now: float, inactivity_s: float = 60.0) -> None:
        super().__init__(now, inactivity_s)
        self.later: Later | None = None  # type: ignore[assignment]  # Flood's is none
        self.waits = True
        self.short = False  # by the short way
        self._due = b""

    def receive_data(self, data: bytes, now: float) -> bytes:
        super().receive_data(data, now)
        assert self.later is None, "more was brought while an answer waited"
        if not self.waits:
            return data
        self._due, self.later = data, Later()
        return b""

    def follow(self, data: bytes, now: float) -> bytes | None:
        return self.receive_data(data, now) if self.short else None

    def next_deadline(self) -> float | None:
        if self.later is not None and self.later.done:
            return self.heard
        return super().next_deadline()

    def handle_timeout(self, now: float) -> bytes:
        if self.later is not None and self.later.done:
            self.later, self.heard = None, now
            return self._due
        self.idle = now >= self.heard + self.inactivity_s
        if self.idle:
            self.later = None
        return b""

    async def waiting(self) -> Later:
        while self.later is None:
            await asyncio.sleep(0)
        return self.later


@asynccontextmanager
async def written(inactivity_s: float = 60.0) -> AsyncIterator[tuple[TcpPort, list[Writer], Peer]]:
    """A client, and the endpoints that its port has made."""
    made: list[Writer] = []

    def make(now: float) -> Endpoint:
        made.append(Writer(now, inactivity_s))
        return made[-1]

    to = TcpPort("ETHERNET", "127.0.0.1", 0, make)
    await to.bind()
    await to.start()
    async with asyncio.timeout(LONG_S):
        peer = await Peer.connect(to)
        while not made:
            await asyncio.sleep(0)
        try:
            yield to, made, peer
        finally:
            await to.stop()
            await peer.close()


@pytest.mark.parametrize("short", [False, True])
async def test_nothing_more_is_taken_while_an_answer_waits_and_all_is_answered_in_order(short: bool) -> None:
    asked = bytes(range(256)) * 4000
    async with written() as (to, (endpoint,), peer):
        endpoint.short = short
        peer.writer.write(asked)
        later = await endpoint.waiting()
        assert await settled(lambda: endpoint.taken) <= 256
        # Most of it is where it was: with the client, or in the sockets' buffers.
        assert to._active is not None
        assert len(to._active._held) <= 1 << 18
        first = endpoint.taken
        later.settle()
        later = await endpoint.waiting()
        assert first < await settled(lambda: endpoint.taken) <= first + 256
        endpoint.waits = False
        later.settle()
        assert await peer.reader.readexactly(len(asked)) == asked


async def test_nothing_more_is_taken_while_the_last_of_what_came_at_once_waits() -> None:
    asked = bytes(300)
    async with written() as (_, (endpoint,), peer):
        peer.writer.write(asked)
        while endpoint.taken < len(asked):
            (await endpoint.waiting()).settle()
            while endpoint.later is not None and endpoint.later.done:
                await asyncio.sleep(0)
            await settled(lambda: endpoint.taken)
        later = await endpoint.waiting()
        peer.writer.write(b"more")
        assert await settled(lambda: endpoint.taken) == len(asked)
        later.settle()
        (await endpoint.waiting()).settle()
        assert await peer.reader.readexactly(len(asked) + 4) == asked + b"more"


async def test_each_of_many_small_requests_waits_in_its_turn() -> None:
    async with written() as (_, (endpoint,), peer):
        for number in range(20):
            peer.writer.write(b"%d" % number)
            (await endpoint.waiting()).settle()
            assert await peer.reader.readexactly(len(b"%d" % number)) == b"%d" % number


async def test_an_answer_whose_wait_is_over_at_once_goes_out_at_once() -> None:
    class Quick(Writer):
        def receive_data(self, data: bytes, now: float) -> bytes:
            answer = super().receive_data(data, now)
            assert self.later is not None
            self.later.settle()
            return answer

    to = TcpPort("ETHERNET", "127.0.0.1", 0, Quick)
    await to.bind()
    await to.start()
    async with asyncio.timeout(LONG_S):
        peer = await Peer.connect(to)
        for _ in range(3):
            peer.writer.write(b"quick")
            assert await peer.reader.readexactly(5) == b"quick"
        peer.reset()
    await to.stop()


async def test_inactivity_while_an_answer_waits_lets_reading_go_on() -> None:
    async with written(0.2) as (to, (endpoint,), peer):
        peer.writer.write(b"lost")
        later = await endpoint.waiting()
        while not endpoint.idle:
            await asyncio.sleep(0)
        endpoint.idle, endpoint.waits = False, False
        peer.writer.write(b"heard")
        assert await peer.reader.readexactly(5) == b"heard"
        later.settle()
        assert to._active is not None
        peer.writer.write(b"again")
        assert await peer.reader.readexactly(5) == b"again"


async def test_a_connection_whose_meter_is_gone_while_an_answer_waits_is_closed() -> None:
    # A tap's endpoint knows nothing any more after a power cut: no answer, no deadline, closed.
    async with written() as (_, (endpoint,), peer):
        peer.writer.write(b"lost")
        later = await endpoint.waiting()
        endpoint.later, endpoint.closed, endpoint.idle = None, True, True
        later.settle()
        assert await peer.ended()


@pytest.mark.parametrize("rest", [b"", b"and more"])
async def test_who_hangs_up_while_his_answer_waits_leaves_the_port_to_others(
    monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    monkeypatch.setattr(tcp, "_GRACE_S", 0.05)
    async with written() as (to, made, peer):
        peer.writer.write(b"lost")
        await made[0].waiting()
        peer.writer.write(rest)
        peer.writer.close()
        while to._active is not None:
            await asyncio.sleep(0)
        newcomer = await Peer.connect(to)
        newcomer.writer.write(b"found")
        while len(made) < 2:
            await asyncio.sleep(0)
        (await made[1].waiting()).settle()
        assert await newcomer.reader.readexactly(5) == b"found"
        newcomer.reset()


async def test_what_came_before_the_end_is_answered_behind_an_answer_that_waits() -> None:
    async with written() as (_, (endpoint,), peer):
        peer.writer.write(b"first")
        later = await endpoint.waiting()
        peer.writer.write(b"second")
        peer.writer.write_eof()
        await settled(lambda: endpoint.taken)
        endpoint.waits = False
        later.settle()
        assert await peer.reader.read() == b"firstsecond"


async def test_what_waited_for_a_client_that_is_gone_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    async with written() as (to, made, peer):
        peer.writer.write(b"lost")
        later = await made[0].waiting()
        assert to._active is not None
        to._active.abort()
        while to._active is not None:
            await asyncio.sleep(0)
        later.settle()
        assert made[0].later is later, "nobody has asked it for its answer"
        newcomer = await Peer.connect(to)
        newcomer.writer.write(b"found")
        while len(made) < 2:
            await asyncio.sleep(0)
        (await made[1].waiting()).settle()
        assert await newcomer.reader.readexactly(5) == b"found"
        newcomer.reset()
    assert not caplog.records


async def test_a_client_that_resets_while_its_answer_waits_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with written() as (to, made, peer):
        peer.writer.write(b"lost")
        later = await made[0].waiting()
        peer.reset()
        later.settle()
        while to._active is not None:
            await asyncio.sleep(0)
    assert not caplog.records


async def test_who_asks_and_half_closes_has_the_answer_that_waited_and_then_the_end() -> None:
    async with written() as (_, (endpoint,), peer):
        peer.writer.write(b"asked")
        peer.writer.write_eof()
        (await endpoint.waiting()).settle()
        assert await peer.reader.read() == b"asked"


async def test_stop_lets_the_answer_out_that_waits() -> None:
    async with written() as (to, (endpoint,), peer):
        peer.writer.write(b"asked")
        later = await endpoint.waiting()
        stopping = asyncio.create_task(to.stop())
        await settled(lambda: endpoint.taken)
        assert not stopping.done()
        later.settle()
        await stopping
        assert await peer.reader.read() == b"asked"


async def test_stop_lets_all_answers_out_that_wait_one_behind_the_other() -> None:
    async with written() as (to, (endpoint,), peer):
        peer.writer.write(bytes(256))
        first = await endpoint.waiting()
        peer.writer.write(b"second")
        await settled(lambda: endpoint.taken)
        stopping = asyncio.create_task(to.stop())
        await settled(lambda: endpoint.taken)
        first.settle()
        (await endpoint.waiting()).settle()
        await stopping
        assert await peer.reader.read() == bytes(256) + b"second"


async def test_stop_does_not_wait_for_ever_for_an_answer_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_GRACE_S", 0.05)
    async with written() as (to, (endpoint,), peer):
        peer.writer.write(b"asked")
        await endpoint.waiting()
        begin = asyncio.get_running_loop().time()
        await to.stop()
        assert 0.04 < asyncio.get_running_loop().time() - begin < 3.0
        assert await peer.ended()
