"""The ways to a meter under test: a line that can be opened again, and what a socket can do beyond that."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from iondlms.errors import PortError
from iondlms.ports import Transport
from iondlms.ports.tcp_line import TcpTransport

__all__ = ["Access", "LineAccess", "TcpAccess", "TcpLine"]

_TRIES: Final = 10  # a meter with one connection may see the end of the last after the start of the next
_LOOK: Final = 65536  # octets
_LOOK_S: Final = 0.005  # and two round trips: a refusal is there by then
_PAUSE_S: Final = 0.05
_CLOSING_S: Final = 0.1  # a meter that closes when its client does is quicker


class Access(Protocol):
    """What a bench connects through."""

    @property
    def sockets(self) -> bool:
        """Whether each line is a TCP connection, of which there can be several."""

    @property
    def virtual(self) -> bool:
        """Whether waiting takes no time: the line has a clock of its own."""

    def connect(self) -> Transport:
        """Return a line to the meter; PortError if there is none."""


class LineAccess:
    """A line of which there is one: a serial port, a modem. It stays open from case to case."""

    sockets = False
    virtual = False

    def __init__(self, connector: Callable[[], Transport]) -> None:
        self._connector = connector
        self._line: _KeptLine | None = None

    def connect(self) -> Transport:
        """Return the line, opened anew only where it has broken."""
        if self._line is None or self._line.broken:
            self.close()
            self._line = _KeptLine(self._connector())
        return self._line

    def close(self) -> None:
        """Give the line back."""
        line, self._line = self._line, None
        if line is not None:
            line.really_close()


class _KeptLine:
    """A transport that is not closed with the case that used it."""

    def __init__(self, line: Transport) -> None:
        self._line = line
        self.broken = False

    def now(self) -> float:
        return self._line.now()

    def send(self, octets: bytes) -> None:
        try:
            self._line.send(octets)
        except PortError:
            self.broken = True
            raise

    def receive(self, deadline: float | None) -> bytes:
        try:
            return self._line.receive(deadline)
        except PortError:
            self.broken = True
            raise

    def close(self) -> None:
        """Keep it."""

    def really_close(self) -> None:
        with suppress(PortError):
            self._line.close()


class TcpLine(TcpTransport):
    """A TCP connection that can also be ended rudely."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sock = sock

    def receive(self, deadline: float | None) -> bytes:
        """Return what has come, b"" at the deadline; PortError if the peer has closed."""
        if deadline is None or deadline > self.now():
            return super().receive(deadline)
        # A look, and no wait: the system's shortest one is some milliseconds, and there is a look before each
        # of the thousand questions that a profile of weeks takes.
        try:
            octets = self._sock.recv(_LOOK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortError(f"the connection broke: {error.strerror or error}") from error
        if not octets:
            raise PortError("the meter closed the connection")
        return octets

    def shut(self) -> None:
        """Close our sending side; PortError if the connection is gone."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise PortError(f"the connection broke: {error}") from error

    def reset(self) -> None:
        """End the connection by RST, whatever is under way."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        super().close()

    def close(self) -> None:
        """Close it, and wait for the meter to: one that takes one connection refuses the next till then."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(_CLOSING_S)
            while self._sock.recv(4096):
                pass
        super().close()


class TcpAccess:
    """A meter at an address."""

    sockets = True
    virtual = False

    def __init__(self, host: str, port: int, timeout_s: float = 5.0) -> None:
        self._address = host, port
        self._timeout_s = timeout_s

    def connect(self) -> TcpLine:
        """Return a connection that the meter has not refused at once; PortError if it refuses all."""
        for _ in range(_TRIES):
            start = time.monotonic()
            line = self.knock()
            round_trip = time.monotonic() - start
            try:
                line.receive(line.now() + _LOOK_S + 2 * round_trip)
            except PortError:
                line.close()
                time.sleep(_PAUSE_S)
            else:
                return line
        host, port = self._address
        raise PortError(f"{host}:{port} closes each connection at once: another client has it")

    def knock(self) -> TcpLine:
        """Return a connection, whether the meter keeps it or not; PortError where nobody listens."""
        host, port = self._address
        try:
            sock = socket.create_connection(self._address, self._timeout_s)
        except OSError as error:
            raise PortError(f"no connection to {host}:{port}: {error.strerror or error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return TcpLine(sock)
