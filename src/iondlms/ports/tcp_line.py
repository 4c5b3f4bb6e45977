"""TCP, the client's side: the lines to a meter, blocking and for asyncio.

A peer that died without a word is found by TCP keep-alive.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from contextlib import suppress
from typing import Final, cast

from iondlms.errors import LocalError, PortError
from iondlms.ports.endpoint import Asker, Following
from iondlms.ports.loop import Alarm

__all__ = ["AsyncTcpTransport", "TcpTransport", "keep_alive"]

# A dead peer is noticed after 60 + 3 x 20 s: about the 120 s that its silence would take to free the port.
_KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *[
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)  # not every platform has all three
    ],
)
_CHUNK: Final = 8192  # octets taken from the socket at once; each connection has a buffer of that size
_TIMEVAL: Final = struct.Struct("@ll")  # of SO_RCVTIMEO: seconds, microseconds
_TICK_S: Final = 0.0001  # the shortest wait; 0 would be "for ever"
_GRACE_S: Final = 1.0  # for what was sent to a peer that reads slowly, or no longer
# A connection that has lived so long gets keep-alive. Most are over by then, and five calls of the system are
# a fiftieth of a short session.
_YOUNG_S: Final = 5.0
_HELD: Final = 65536  # octets that are taken from a peer that does not wait for its turn


def keep_alive(sock: socket.socket) -> None:
    """Let TCP find a peer that has gone without a word."""
    for level, option, value in _KEEP_ALIVE:
        sock.setsockopt(level, option, value)


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    """Do so with the socket of a transport, which may be one that makes a socket for each option."""
    shown = transport.get_extra_info("socket")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, shown.fileno())
    try:
        keep_alive(sock)
    finally:
        sock.detach()


class TcpTransport:
    """The client's line, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        # The system's own time-out and not `settimeout`: that makes three calls of `recv` (set, poll, read),
        # and the answers of a meter are short and many. 0 is none.
        self._socket.settimeout(None)
        self._patience_s = 0.0

    @classmethod
    def connect(cls, host: str, port: int, timeout_s: float) -> TcpTransport:
        """Connect; PortError naming the address if that fails."""
        try:
            sock = socket.create_connection((host, port), timeout_s)
        except (OSError, ValueError) as error:  # ValueError: a name that no host can have
            raise PortError(f"no connection to {host}:{port}: {_reason(error)}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that takes nothing: a request fits the buffers of both sides, so this is a dead line.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(max(timeout_s, _TICK_S)))
        keep_alive(sock)
        return cls(sock)

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()

    def send(self, octets: bytes) -> None:
        """Send all; PortError if the connection is gone."""
        try:
            self._socket.sendall(octets)
        except OSError as error:
            raise PortError(f"the connection broke while sending: {_reason(error)}") from error

    def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the peer has closed."""
        try:
            if deadline is None:
                self._wait(0.0)
                octets = self._socket.recv(_CHUNK)
            else:
                octets = self._receive_until(deadline)
        except OSError as error:
            raise PortError(f"the connection broke: {_reason(error)}") from error
        except _Silence:
            return b""
        if not octets:
            raise PortError("the meter closed the connection")
        return octets

    def _receive_until(self, deadline: float) -> bytes:
        left_s = max(deadline - time.monotonic(), _TICK_S)
        # One set before that ends sooner is left as it is, and set anew once it has ended: a meter has the
        # same time for each answer, and nearly always it has answered by then.
        if not 0.0 < self._patience_s <= left_s:
            self._wait(left_s)
        while True:
            try:
                return self._socket.recv(_CHUNK)
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise _Silence from None
                self._wait(max(left_s, _TICK_S))

    def _wait(self, seconds: float) -> None:
        """Set how long `recv` waits; 0 is for ever."""
        if seconds != self._patience_s:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
            self._patience_s = seconds

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class _Silence(Exception):
    """Nothing came until the deadline."""


class AsyncTcpTransport(asyncio.BufferedProtocol, asyncio.Protocol):
    """The client's line, for asyncio: a protocol and no stream, for each layer between is paid per frame.

    Of both kinds, and the loop takes the one it prefers: asyncio's own the buffered, which takes a third of
    the time there, uvloop the other, which takes a tenth less.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(b"")  # made when the loop wants one
        self._held = bytearray()  # what came while nobody asked
        self._paused = False
        self._error: PortError | None = None  # why the line is dead
        self._asker: Asker | None = None
        self._following: Following = _nothing_follows
        self._done: asyncio.Future[None] | None = None  # of the conversation under way
        self._alarm = Alarm(self._wake)
        self._young = True  # and without keep-alive
        self._closing: list[asyncio.Future[None]] = []  # of those who wait for the end

    @classmethod
    async def connect(cls, host: str, port: int, timeout_s: float) -> AsyncTcpTransport:
        """Connect; PortError naming the address if that fails."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, line = await loop.create_connection(cls, host, port)
        except (OSError, ValueError) as error:  # TimeoutError is one of them; a name that no host can have
            raise PortError(f"no connection to {host}:{port}: {_reason(error)}") from error
        return line

    def now(self) -> float:
        """Return the loop's clock."""
        return self._loop.time()

    async def send(self, octets: bytes) -> None:
        """Send all; PortError if the connection is gone."""
        self._write(octets)

    async def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the peer has closed."""
        listener = _Listener(deadline)
        await self.converse(listener, b"", _nothing_follows)
        return listener.came

    async def converse(self, asker: Asker, octets: bytes, following: Following) -> None:
        """Send, give what comes to `asker` and send what it returns; `following` is called at each outcome.

        All is done as the octets come: a task that is woken for each answer and asks again takes twice the
        time. PortError if the connection is gone or the peer has closed; what `asker` and `following` raise
        ends it too.
        """
        if self._done is not None:
            raise LocalError("this line is in use: one conversation at a time")
        if octets:
            self._write(octets)
        self._asker, self._following = asker, following
        done = self._done = self._loop.create_future()
        try:
            if self._held:
                held = bytes(self._held)
                self._held.clear()
                if self._paused and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
                self.data_received(held)
            elif self._error is not None:
                self._end(self._error)
            else:
                self._arm(asker)
            await done
        finally:
            self._asker = self._done = None
            self._following = _nothing_follows  # it holds on to whoever asked

    async def close(self) -> None:
        """Close the socket and wait until it is closed; a peer that does not read cannot hold it up."""
        self._alarm.cancel()
        transport = self._transport
        if transport is None:
            return
        unsent = transport.get_write_buffer_size()
        transport.close()
        if self._error is None:
            lost = self._loop.create_future()
            self._closing.append(lost)
            if unsent:
                try:
                    await asyncio.wait((lost,), timeout=_GRACE_S)
                finally:
                    transport.abort()
            await lost

    # --- what asyncio calls -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._alarm.no_later(self._loop.time() + _YOUNG_S)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # an asyncio signature
        """Return where to put octets: always the same place, or each read would make 256 kB anew."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(_CHUNK))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take octets from there."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take octets."""
        asker, transport = self._asker, self._transport
        if asker is None or transport is None:
            self._hold(data)
            return
        now = self._loop.time()
        try:
            answer = asker.follow(data, now)
            if answer is None:
                self._came(data, now, asker)
            else:
                transport.write(answer)
        except (Exception, asyncio.CancelledError) as error:  # of the caller's own: raised where he waits
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take that the connection is gone."""
        self._alarm.cancel()
        if isinstance(exc, OSError):
            self._error = PortError(f"the connection broke: {_reason(exc)}")
        else:
            self._error = PortError("the meter closed the connection")
        self._end(self._error)
        for lost in self._closing:
            if not lost.done():
                lost.set_result(None)

    # --- how ----------------------------------------------------------------------------------------

    def _write(self, octets: bytes) -> None:
        if self._error is not None or self._transport is None:
            raise PortError(f"the connection broke while sending: {self._error}") from self._error
        self._transport.write(octets)

    def _hold(self, data: bytes) -> None:
        """Keep what nobody has asked for; a peer that does not wait for its turn is read no further."""
        self._held += data
        if len(self._held) > _HELD and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _came(self, octets: bytes, now: float, asker: Asker) -> None:
        """Have what came answered, or that nothing came."""
        answer = asker.receive_data(octets, now) if octets else asker.handle_timeout(now)
        while asker.outcome is not None:
            following = self._following(now)
            if following is None:
                self._end(None)
                return
            answer = following
        if answer:
            self._write(answer)
        self._arm(asker)

    def _end(self, error: Exception | asyncio.CancelledError | None) -> None:
        self._asker = None
        done = self._done
        if done is None or done.done():
            return
        if error is None:
            done.set_result(None)
        elif isinstance(error, StopIteration):  # no future takes one
            done.set_exception(RuntimeError(f"a caller of this line raised {error!r}"))
        else:
            done.set_exception(error)

    def _arm(self, asker: Asker) -> None:
        deadline = asker.next_deadline()
        if deadline is not None and deadline < self._alarm.at:  # nearly never: so it is asked here
            self._alarm.no_later(deadline)

    def _wake(self) -> None:
        if self._young and self._transport is not None:
            self._young = False
            with suppress(OSError):  # of a peer that is gone: who reads is told
                _keep_alive(self._transport)
        asker = self._asker
        if asker is None:
            return
        deadline, now = asker.next_deadline(), self._loop.time()
        if deadline is None or deadline > now:
            self._arm(asker)
            return
        try:
            self._came(b"", now, asker)
        except (Exception, asyncio.CancelledError) as error:  # as in `data_received`
            self._end(error)


class _Listener:
    """Asks nothing: its outcome is what comes first."""

    def __init__(self, deadline: float | None) -> None:
        self.outcome: bytes | None = None
        self.came = b""
        self._deadline = deadline

    def follow(self, data: bytes, now: float) -> None:  # noqa: ARG002
        return None

    def receive_data(self, data: bytes, now: float) -> bytes:  # noqa: ARG002
        self.came = self.outcome = data
        return b""

    def next_deadline(self) -> float | None:
        return self._deadline

    def handle_timeout(self, now: float) -> bytes:  # noqa: ARG002
        self.outcome = b""
        return b""


def _nothing_follows(_now: float) -> None:
    """Say so."""


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return _TIMEVAL.pack(whole, int((seconds - whole) * 1_000_000))


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if not isinstance(error, OSError):
        return "no host can have that name"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio writes a whole sentence of its own into `strerror`
    return error.strerror or str(error)
