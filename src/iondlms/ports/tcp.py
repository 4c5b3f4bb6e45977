"""TCP: the meter's listening port with its single connection, and the client's lines.

These meters take one DLMS connection at a time. A further one is refused at once, unless the one there has
been silent for the inactivity time-out: then its association is gone and the newcomer gets the port. A peer
that died without a word is found by TCP keep-alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Final, cast

from iondlms.errors import PortError
from iondlms.ports.endpoint import Endpoint

__all__ = ["AsyncTcpTransport", "TcpPort", "TcpTransport"]

_LOG: Final = logging.getLogger("iondlms.ports.tcp")

# A dead peer is noticed after 60 + 3 x 20 s: about the 120 s that its silence would take to free the port.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
_CHUNK: Final = 65536  # octets taken from the socket at once
# By the meter: a request of 21 octets may ask for 64 kB, so what is taken before anybody looks whether the
# answers are read is kept small. The longest frame and the usual longest WPDU fit.
_METER_CHUNK: Final = 2048
_GRACE_S: Final = 1.0  # for the last answer to a client that reads slowly, or no longer


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):  # not every platform has all three
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class TcpPort:
    """A listening TCP port that gives one connection at a time to an endpoint of its own."""

    def __init__(self, name: str, host: str, port: int, make_endpoint: Callable[[float], Endpoint]) -> None:
        self.name = name
        self.enabled = True  # DLMS over Ethernet; off refuses new connections and leaves the open one
        self.refused = 0
        self._host = host
        self._port = port
        self._make_endpoint = make_endpoint
        self._server: asyncio.Server | None = None
        self._active: _Connection | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host, and the port that was bound; the configured one before `bind`."""
        if self._server is None or not self._server.sockets:
            return self._host, self._port
        return self._host, int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where a client finds it."""
        host, port = self.address
        return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"

    async def bind(self) -> None:
        """Take the address, without listening yet; PortError if it cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self), self._host, self._port, start_serving=False
            )
        except OSError as error:
            # asyncio writes a whole sentence of its own into strerror; the number says it in three words.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise PortError(f"{self.name}: cannot listen on {self._host}:{self._port}: {reason}") from error

    async def start(self) -> None:
        """Listen on the address that was bound."""
        if self._server is not None:
            await self._server.start_serving()

    async def stop(self) -> None:
        """Listen no longer, let the answer under way go out, and close; no client can hold it up."""
        if self._server is not None:
            self._server.close()
        if self._active is not None:
            await self._active.finish()
        if self._server is not None:
            await self._server.wait_closed()

    def _admit(self, newcomer: _Connection, now: float) -> Endpoint | None:
        """Return an endpoint for a new connection, or None if it is refused."""
        active = self._active
        if not self.enabled or (active is not None and not active.endpoint_idle):
            self.refused += 1
            why = "the port is taken" if self.enabled else "DLMS over Ethernet is off"
            _LOG.info("%s: %s refused, %s", self.name, newcomer.peer, why)
            return None
        if active is not None:
            active.abort()  # whatever it has not read by now it never will
        self._active = newcomer
        _LOG.info("%s: connected from %s", self.name, newcomer.peer)
        return self._make_endpoint(now)

    def _gone(self, connection: _Connection) -> None:
        if self._active is connection:
            self._active = None


class _Connection(asyncio.BufferedProtocol):
    """One accepted connection: carries octets to the endpoint and wakes it at its deadlines."""

    def __init__(self, port: TcpPort) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._endpoint: Endpoint | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = memoryview(bytearray(_METER_CHUNK))
        self._lost = asyncio.Event()

    @property
    def endpoint_idle(self) -> bool:
        return self._endpoint is None or self._endpoint.idle

    @property
    def peer(self) -> str:
        """Address and port of the other side, as text."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if name else "nowhere"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._endpoint = self._port._admit(self, self._loop.time())
        if self._endpoint is None:
            self._transport.abort()
            return
        _keep_alive(self._transport.get_extra_info("socket"))
        self._arm()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # an asyncio signature
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._received[:nbytes])
        self._run(lambda endpoint, now: endpoint.receive_data(data, now))

    def eof_received(self) -> bool:
        return False  # what was answered still goes out, then the connection is closed

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._endpoint is not None:
            _LOG.info("%s: %s is gone%s", self._port.name, self.peer, f": {exc}" if exc else "")
        self._endpoint = None
        self._port._gone(self)
        self._lost.set()

    # A client that asks and does not read must not fill our memory: nothing more is taken from it meanwhile.
    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def finish(self) -> None:
        """Close once the answer under way is out, or not read for too long."""
        if self._transport is None:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._lost.wait()
        except TimeoutError:
            self._transport.abort()
            await self._lost.wait()

    def _run(self, step: Callable[[Endpoint, float], bytes]) -> None:
        endpoint, transport = self._endpoint, self._transport
        # Of one that is closing no octets come; but its time goes on, for it may never read the rest.
        if endpoint is None or transport is None:
            return
        try:
            answer = step(endpoint, self._loop.time())
        except Exception:
            # Never for what was received: this is a bug of ours. It costs this connection, not the meter.
            _LOG.exception("%s: the endpoint failed; connection closed", self._port.name)
            transport.abort()
            return
        if answer:
            transport.write(answer)
        if endpoint.closed:
            transport.close()
        else:
            self._arm()

    def _arm(self) -> None:
        """Have a timer no later than the endpoint's deadline; one that is early looks again."""
        deadline = None if self._endpoint is None else self._endpoint.next_deadline()
        if deadline is None:
            return
        if self._timer is not None and not self._timer.cancelled():
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer = None
        deadline = None if self._endpoint is None else self._endpoint.next_deadline()
        if deadline is not None and deadline <= self._loop.time():
            self._run(lambda endpoint, now: endpoint.handle_timeout(now))
        else:
            self._arm()


class TcpTransport:
    """The client's line, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def connect(cls, host: str, port: int, timeout_s: float) -> TcpTransport:
        """Connect; PortError naming the address if that fails."""
        try:
            sock = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise PortError(f"no connection to {host}:{port}: {_reason(error)}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(sock)
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
            # A timeout of 0 would mean "do not block" and raise another error.
            self._socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.0001))
            octets = self._socket.recv(_CHUNK)
        except OSError as error:
            # Keep-alive that finds the peer dead is a TimeoutError too, but one with a number.
            if isinstance(error, TimeoutError) and error.errno is None:
                return b""
            raise PortError(f"the connection broke: {_reason(error)}") from error
        if not octets:
            raise PortError("the meter closed the connection")
        return octets

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class AsyncTcpTransport:
    """The client's line, for asyncio."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, host: str, port: int, timeout_s: float) -> AsyncTcpTransport:
        """Connect; PortError naming the address if that fails."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(host, port)
        except OSError as error:  # TimeoutError is one of them
            raise PortError(f"no connection to {host}:{port}: {_reason(error)}") from error
        _keep_alive(writer.get_extra_info("socket"))
        return cls(reader, writer)

    def now(self) -> float:
        """Return the loop's clock."""
        return self._loop.time()

    async def send(self, octets: bytes) -> None:
        """Send all; PortError if the connection is gone."""
        try:
            self._writer.write(octets)
            await self._writer.drain()
        except OSError as error:
            raise PortError(f"the connection broke while sending: {_reason(error)}") from error

    async def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the peer has closed."""
        try:
            async with asyncio.timeout_at(deadline) as limit:
                octets = await self._reader.read(_CHUNK)
        except OSError as error:
            # Keep-alive that finds the peer dead is a TimeoutError too, and no reason to ask again.
            if isinstance(error, TimeoutError) and limit.expired():
                return b""
            raise PortError(f"the connection broke: {_reason(error)}") from error
        if not octets:
            raise PortError("the meter closed the connection")
        return octets

    async def close(self) -> None:
        """Close the socket and wait until it is closed."""
        self._writer.close()
        with contextlib.suppress(OSError):  # it was broken already, and closed it is
            await self._writer.wait_closed()


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error)
