"""The process: one listening socket, one server, one who asks the meter, and an end in good order."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from iondlms.errors import LocalError
from iondlms.ports.control import ask as ask_socket

from .answers import panel_of
from .app import everybody, make_app
from .asking import Asker
from .guard import Guard
from .watch import Watch, Which

__all__ = ["Listening", "serve"]

_ANSWER_S: Final = 5.0  # for an answer of the meter, which takes milliseconds
_END_S: Final = 3  # for those who still read
_MOST_CONNECTIONS: Final = 200
_UNSENT: Final = 65536  # octets of a connection that wait in the system
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Listening:
    """An address to listen on; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listening:
        """Read HOST:PORT, an IPv6 address in brackets; LocalError if it is none."""
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        if not host or (":" in host) is not bracketed or not _PORT.fullmatch(port) or int(port) > 65535:
            raise LocalError(f"--listen {text!r:.80} is no listening address; write it as 127.0.0.1:8080")
        return cls(host, int(port))

    @property
    def url(self) -> str:
        """The address as browsers take it."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def open(self) -> socket.socket:
        """Return a bound socket; LocalError if the address is not to be had."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Of each connection too. The system would take megabytes for one who does not read, a quarter
                # of an hour of a stream, before anybody saw it.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT)
                sock.bind(address)
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            raise LocalError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}"
            ) from error
        except UnicodeError as error:  # before anybody is asked: an empty or a very long part between dots
            raise LocalError(f"cannot listen on {self.host!r:.80}: that is no name of a host") from error
        return sock


async def serve(
    path: Path,
    listening: Listening,
    *,
    unit: int | None = None,
    line: str = "",
    every_s: float = 1.0,
    names: tuple[str, ...] = (),
    ready: Callable[[Listening], None] = lambda _: None,
    log_requests: bool = False,
) -> None:
    """Show the meters of a control socket until SIGTERM or Ctrl-C; `ready` gets the address.

    PortError if the meter does not answer at the start, LocalError if there is none of that Unit ID, or the
    address is not to be had.
    """

    async def asking(request: dict[str, Any]) -> Any:
        return await asyncio.to_thread(ask_socket, path, request, _ANSWER_S)

    ask = Asker(asking, time.monotonic, keep_s=every_s)
    first = await _first(ask, unit, line)
    sock = listening.open()
    try:
        there = Listening(listening.host, sock.getsockname()[1])
        watch = Watch(ask, time.monotonic, every_s=every_s)
        own = [listening.host, *(_LOOPBACK if listening.loopback else ("localhost",)), *names]
        config = _config(make_app(ask, watch, first, own), log_requests=log_requests)
        server = _Server(config, partial(ready, there))

        def end() -> None:
            watch.close()  # streams never end by themselves
            server.should_exit = True

        # The loop hears of them beside uvicorn, which raises them once more when it has ended: they must be
        # ours by then, or the process would die of them.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        poller = asyncio.create_task(watch.run())
        # Its end, which only a bug of ours can bring, must not leave a page that stands still.
        poller.add_done_callback(lambda _: end())
        try:
            await server.serve([sock])
        finally:
            poller.cancel()
            with suppress(asyncio.CancelledError):
                await poller
    finally:
        sock.close()


async def _first(ask: Asker, unit: int | None, line: str) -> Which:
    """Return the meter to show first; LocalError if there is no such one."""
    if unit is not None:
        told = await ask("panel", panel_of, unit=unit, line=line or None)
        return Which(told.unit, told.line)
    meters = (await everybody(ask)).meters
    found = [each for each in meters if line in ("", each.line)]
    if not found:
        raise LocalError(f"no meter here stands on {line}" if line else "no meter runs there")
    return Which(found[0].unit, found[0].line)


class _Connection(H11Protocol):
    """A connection that ends where its other end keeps it waiting.

    uvicorn has such a limit after an answer alone, and until the next octet. But as few connections are let
    in, those that say nothing, or do not read, would keep everybody out.
    """

    request_s: ClassVar[float] = 10.0  # for a whole request to come; browsers need milliseconds
    write_s: ClassVar[float] = 30.0  # for what waits to be sent to go; a phone may lose its net for a while

    _request: asyncio.TimerHandle | None = None
    _write: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._limit_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        for timer in (self._request, self._write):
            if timer is not None:
                timer.cancel()

    def handle_events(self) -> None:
        """Take what has come of a request."""
        super().handle_events()
        self._limit_request()

    def pause_writing(self) -> None:
        """Send no more for now."""
        super().pause_writing()
        self._limit_write()

    def resume_writing(self) -> None:
        """Send again."""
        super().resume_writing()
        if self._write is not None and not self.transport.is_closing():
            self._write.cancel()
            self._write = None

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the last answer to go."""
        super().on_response_complete()
        self._limit_closing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and close."""
        super().send_400_response(msg)
        self._limit_closing()

    def _limit_request(self) -> None:
        # Also for its body, although nothing here takes one; octets that drip make it no longer.
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            if self._request is not None:
                self._request.cancel()
                self._request = None
        elif self._request is None:
            self._request = self.loop.call_later(self.request_s, self.transport.abort)

    def _limit_write(self) -> None:
        if self._write is None:
            self._write = self.loop.call_later(self.write_s, self.transport.abort)

    def _limit_closing(self) -> None:
        # A transport that is closed stays until all that it has left is read.
        if self.transport.is_closing():
            self._limit_write()


def _config(
    app: Guard, *, log_requests: bool = False, http: type[_Connection] = _Connection
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=log_requests,
        proxy_headers=False,  # nobody else says who asks
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_END_S,
    )


class _Server(uvicorn.Server):
    """uvicorn, but it says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell."""
        await super().startup(sockets)
        self._ready()
