"""TCP: the meter's listening port with its single connection. The client's lines are in `tcp_line.py`.

These meters take one DLMS connection at a time. A further one is refused at once, unless the one there has
been silent for the inactivity time-out: then its association is gone and the newcomer gets the port. A peer
that died without a word is found by TCP keep-alive.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import Final, cast

from iondlms.errors import PortError
from iondlms.later import Later
from iondlms.ports.endpoint import Endpoint, Follows
from iondlms.ports.loop import Alarm, over
from iondlms.ports.tcp_line import keep_alive

__all__ = ["TcpPort"]

_LOG: Final = logging.getLogger("iondlms.ports.tcp")

# Octets taken from the socket at once. A request of 21 octets may ask for 64 kB, so what is taken before
# anybody looks whether the answers are read is kept small; and between two chunks the others have their turn,
# so that a client that sends a hundred requests at once holds nobody up. The longest frame fits.
_METER_CHUNK: Final = 256
_MOST_HELD: Final = 1024  # octets behind a request whose answer waits; beyond that nothing more is read
_GRACE_S: Final = 1.0  # for the last answer to a client that reads slowly, or no longer


class TcpPort:
    """A listening TCP port that gives one connection at a time to an endpoint of its own."""

    def __init__(
        self, name: str, host: str, port: int, make_endpoint: Callable[[float], Endpoint | None]
    ) -> None:
        """`make_endpoint` may refuse a connection, with None."""
        self.name = name
        self.enabled = True  # DLMS over Ethernet; off refuses new connections and leaves the open one
        self.refused = 0
        self._host = host
        self._port = port
        self._make_endpoint = make_endpoint
        self._server: asyncio.Server | None = None
        self._active: _Connection | None = None
        # Of the port and not of each connection: what the one before has set serves the next as well, and
        # most connections are over long before any deadline.
        self._alarm = Alarm(self._wake)

    @property
    def address(self) -> tuple[str, int]:
        """Host, and the port that was bound; the configured one before `bind`."""
        if self._server is None or not self._server.sockets:
            return self._host, self._port
        return self._host, int(self._server.sockets[0].getsockname()[1])

    @property
    def connected(self) -> str:
        """The client that has the port, as HOST:PORT; empty without one."""
        return "" if self._active is None else self._active.peer

    @property
    def url(self) -> str:
        """Where a client finds it."""
        host, port = self.address
        return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"

    async def bind(self) -> None:
        """Take the address, without listening yet; PortError if it cannot be had."""
        loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._wake)  # one that was set in another loop never rings
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self), self._host, self._port, start_serving=False
            )
            for sock in self._server.sockets:
                keep_alive(sock)  # and what is accepted is as its listener
        except (OSError, ValueError) as error:  # ValueError: a name that no host can have
            raise self._error(error) from error

    async def start(self) -> None:
        """Listen on the address that was bound; PortError if another program came first."""
        if self._server is None:
            return
        try:
            await self._server.start_serving()
            # uvloop says nothing of a socket that cannot listen, and there is one reason for that.
            if not all(map(_listens, self._server.sockets)):
                raise OSError(errno.EADDRINUSE, "taken")
        except OSError as error:
            raise self._error(error) from error

    async def stop(self) -> None:
        """Listen no longer, let the answer under way go out, and close; no client can hold it up."""
        if self._server is not None:
            self._server.close()
        if self._active is not None:
            await self._active.finish()
        if self._server is not None:
            await self._server.wait_closed()
        self._alarm.cancel()

    def protocol(self, gone: Callable[[], None]) -> asyncio.BaseProtocol:
        """Return what takes a connection that somebody else has accepted; `gone` is called at its end."""
        return _Connection(self, gone)

    def _error(self, error: OSError | ValueError) -> PortError:
        # asyncio writes a whole sentence of its own into strerror; the number says it in three words.
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number and number > 0 else str(error)
        return PortError(f"{self.name}: cannot listen on {self._host:.80}:{self._port}: {reason}")

    def _admit(self, newcomer: _Connection, now: float) -> Endpoint | None:
        """Return an endpoint for a new connection, or None if it is refused."""
        active = self._active
        taken = active is not None and not active.endpoint_idle
        endpoint = self._make_endpoint(now) if self.enabled and not taken else None
        if endpoint is None:
            self.refused += 1
            why = "the port is taken" if taken else "DLMS over Ethernet is off, or the meter has no power"
            _LOG.info("%s: %s refused, %s", self.name, newcomer.peer, why)
            return None
        if active is not None:
            active.abort()  # whatever it has not read by now it never will
        self._active = newcomer
        if _LOG.isEnabledFor(logging.INFO):
            _LOG.info("%s: connected from %s", self.name, newcomer.peer)
        return endpoint

    def _gone(self, connection: _Connection) -> None:
        if self._active is connection:
            self._active = None
            if self._server is None:  # a port that goes with its connection, and not two minutes later
                self._alarm.cancel()

    def _wake(self) -> None:
        if self._active is not None:
            self._active.wake()


def _listens(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except ValueError:  # it was closed: it has no number any more
        return False
    except OSError as error:
        return error.errno != errno.EBADF  # others than closed ones: not every system tells


class _Connection(asyncio.BufferedProtocol, asyncio.Protocol):
    """One accepted connection: carries octets to the endpoint and wakes it at its deadlines.

    Of both kinds, as the client's line is: asyncio's own loop takes the buffered, uvloop the other.
    """

    # What most connections begin and end with stands here, and is not set for each.
    _transport: asyncio.Transport | None = None
    _endpoint: Endpoint | None = None
    _follows: Follows | None = None  # the endpoint, if it has a short way
    _received = memoryview(b"")  # made when the loop wants one
    _held = b""  # what came behind a chunk, in the order it came
    _at = 0  # of it: where the next chunk begins
    _next: asyncio.Handle | None = None  # of its turn
    _unread = False  # the client does not read what it has asked for
    _waits: Later | None = None  # for what an answer waits: what comes is held meanwhile
    _ended = False  # nothing more will come
    _lost: asyncio.Future[None] | None = None  # for whoever waits for the end

    def __init__(self, port: TcpPort, gone: Callable[[], None] = lambda: None) -> None:
        self._port = port
        self._gone = gone
        self._loop = asyncio.get_running_loop()

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
        if hasattr(self._endpoint, "follow"):
            self._follows = cast("Follows", self._endpoint)
        self._arm(self._endpoint)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # an asyncio signature
        if not self._received:
            self._received = memoryview(bytearray(_METER_CHUNK))
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._received[:nbytes]))

    def data_received(self, data: bytes) -> None:
        endpoint, transport, follows = self._endpoint, self._transport, self._follows
        if endpoint is None or transport is None:
            return
        if len(data) > _METER_CHUNK or self._held or self._waits is not None:
            self._hold(data, transport)
            return
        now = self._loop.time()
        try:
            answer = None if follows is None else follows.follow(data, now)
            if answer:
                transport.write(answer)
                return
            if answer is None:
                answer = endpoint.receive_data(data, now)
        except Exception:
            self._failed()
        else:
            self._answered(endpoint, answer)

    def _hold(self, data: bytes, transport: asyncio.Transport) -> None:
        """Read no further before these octets have had their turn, a chunk at a time.

        While an answer waits, go on with few: who hangs up is to be heard.
        """
        self._held, self._at = self._held[self._at :] + data, 0
        if self._waits is None or len(self._held) > _MOST_HELD:
            transport.pause_reading()
        self._go_on()

    def _go_on(self) -> None:
        """Have the next chunk in its turn, and read again where there is none."""
        transport = self._transport
        if transport is None or self._unread or self._waits is not None:
            return  # `resume_writing` goes on, or `_look`
        if transport.is_closing() or self._next is not None:
            return
        if self._held:
            self._next = self._loop.call_soon(self._next_chunk)
        elif self._ended:
            transport.close()
        else:
            transport.resume_reading()

    def _next_chunk(self) -> None:
        self._next = None
        if self._unread or self._waits is not None:
            return  # `resume_writing` goes on, or `_look`
        if self._transport is None or self._transport.is_closing():
            return  # to one who is closed nothing is said
        held, at = self._held, self._at
        self._held = b""  # so that it is taken and not held
        self.data_received(held[at : at + _METER_CHUNK])
        at += _METER_CHUNK
        if at < len(held):
            self._held, self._at = held, at
        self._go_on()

    def eof_received(self) -> bool:
        # What was answered still goes out, then the connection is closed.
        if self._waits is None and not self._held:
            return False
        # Whoever has said all may still read, and an answer is under way; but most have hung up.
        self._ended = True
        self._loop.call_later(_GRACE_S, self.abort)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._endpoint is not None and _LOG.isEnabledFor(logging.INFO):
            _LOG.info("%s: %s is gone%s", self._port.name, self.peer, f": {exc}" if exc else "")
        self._endpoint = self._follows = self._waits = None
        self._port._gone(self)
        self._gone()
        self._transport = None
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    # A client that asks and does not read must not fill our memory: nothing more is taken from it meanwhile.
    def pause_writing(self) -> None:
        self._unread = True
        if self._transport is not None and not self._held:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._unread = False
        self._go_on()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def finish(self) -> None:
        """Close once the answer under way is out, or not read for too long."""
        if self._transport is None:
            return
        if self._lost is None:
            self._lost = self._loop.create_future()
        until = self._loop.time() + _GRACE_S
        while self._waits is not None and not self._waits.done and until > self._loop.time():
            await over(self._waits, until - self._loop.time())
        if self._transport is not None:
            self._transport.close()
        done, _ = await asyncio.wait((self._lost,), timeout=_GRACE_S)
        if not done:
            self.abort()
            await asyncio.wait((self._lost,))

    def _time_out(self) -> None:
        endpoint = self._endpoint
        # Of one that is closing no octets come; but its time goes on, for it may never read the rest.
        if endpoint is None:
            return
        try:
            answer = endpoint.handle_timeout(self._loop.time())
        except Exception:
            self._failed()
        else:
            self._answered(endpoint, answer)

    def _failed(self) -> None:
        # Never for what was received: this is a bug of ours. It costs this connection, not the meter.
        _LOG.exception("%s: the endpoint failed; connection closed", self._port.name)
        self.abort()

    def _answered(self, endpoint: Endpoint, answer: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if answer:
            transport.write(answer)
        self._arm(endpoint)  # for one that is closed too: its client may never read the rest
        if endpoint.closed:
            transport.close()
            return
        if endpoint.later is not self._waits:
            self._look(endpoint.later)

    def _look(self, later: Later | None) -> None:
        """Hold what comes while an answer waits, and go on when none does any more."""
        self._waits = later
        if later is None:
            self._go_on()
        else:
            later.then(self.wake)  # who is woken in vain looks, and finds nothing due

    def _arm(self, endpoint: Endpoint) -> None:
        deadline = endpoint.next_deadline()
        if deadline is not None:
            self._port._alarm.no_later(deadline)

    def wake(self) -> None:
        """Look whether the time of the endpoint has come, or what its answer waits for is over."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        deadline = endpoint.next_deadline()
        if deadline is not None and deadline <= self._loop.time():
            self._time_out()
        else:  # what an answer waited for may have gone with whoever was to answer
            self._answered(endpoint, b"")
