"""A TCP port for each of thousands of meters, on addresses that follow each other.

Each is an ordinary `TcpPort`, with its single connection, but only while there is one: until then a meter
costs a listening socket, and one function accepts for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import select
import selectors
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from iondlms.errors import LocalError, PortError
from iondlms.ports.endpoint import Endpoint
from iondlms.ports.tcp import TcpPort
from iondlms.ports.tcp_line import keep_alive

__all__ = ["ManyTcpPorts", "allow_files"]

_LOG: Final = logging.getLogger("iondlms.ports.many")
_BACKLOG: Final = 4  # a meter takes one connection; those that wait here are refused one by one
_SPARE_FILES: Final = 256
_PAUSE_S: Final = 0.1  # before the next try, when the process can open no more files


class ManyTcpPorts:
    """`count` ports from HOST:PORT on; with port 0 each takes a free one.

    `make_endpoint` gets the number of a port, from 0, and `now`; it may refuse a connection, with None.
    """

    def __init__(
        self,
        host: str,
        port: int,
        count: int,
        make_endpoint: Callable[[int, float], Endpoint | None],
        *,
        slow: Callable[[int], bool] = lambda _number: False,
    ) -> None:
        """`slow` tells of which port an endpoint takes long to make now.

        Such are made one at a time, in the order in which they were asked for and for those who still wait;
        between two of them all others are served.
        """
        if port and port + count - 1 > 65_535:
            raise LocalError(
                f"{count} ports from {port} on end above 65535; begin at {65_536 - count} or below"
            )
        self.enabled = True
        self._host = host
        self._port = port
        self._count = count
        self._make_endpoint = make_endpoint
        self._slow = slow
        self._turn = asyncio.Lock()  # of those who want a slow one
        self._sockets: list[socket.socket] = []
        # One of our own, which the loop looks at like at a socket: the loop's would keep three times as much.
        self._selector = selectors.DefaultSelector()
        self._connected: dict[int, TcpPort] = {}
        self._coming: Counter[int] = Counter()  # by number: connections on their way to a port
        self._accepting: set[asyncio.Task[None]] = set()
        self._held: set[socket.socket] = set()  # accepted, and no connection yet

    def address(self, number: int) -> tuple[str, int]:
        """Host and port of one of them, once bound."""
        return self._host, int(self._sockets[number].getsockname()[1])

    def url(self, number: int) -> str:
        """Where a client finds it."""
        host, port = self.address(number)
        return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return sum(bool(port.connected) for port in self._connected.values())

    async def bind(self) -> None:
        """Take the addresses; PortError if one cannot be had, LocalError if there are too few open files."""
        # Each port may have its connection.
        allow_files(2 * self._count + _SPARE_FILES, self._count + _SPARE_FILES)
        try:
            family, *_, address = (
                await asyncio.get_running_loop().getaddrinfo(
                    self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                )
            )[0]
            for number in range(self._count):
                sock = socket.socket(family, socket.SOCK_STREAM)
                self._sockets.append(sock)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                keep_alive(sock)  # and what is accepted is as its listener
                sock.bind((address[0], self._port + number if self._port else 0, *address[2:]))
        except (OSError, ValueError) as error:  # ValueError: a name that no host can have
            taken = self._port + len(self._sockets) - 1 if self._port else 0
            self._close()
            errno = error.errno if isinstance(error, OSError) else None
            reason = os.strerror(errno) if errno and errno > 0 else str(error)
            raise PortError(f"cannot listen on {self._host:.80}:{taken}: {reason}") from error

    async def start(self) -> None:
        """Listen on the addresses that were bound."""
        for number, sock in enumerate(self._sockets):
            sock.listen(_BACKLOG)
            self._selector.register(sock, selectors.EVENT_READ, number)
        asyncio.get_running_loop().add_reader(self._selector, self._accept_all)

    async def stop(self) -> None:
        """Listen no longer, let the answers under way go out, and close."""
        self._close()
        for task in self._accepting:
            task.cancel()
        for sock in self._held:  # of those too that had not even begun
            sock.close()
        await asyncio.gather(*(port.stop() for port in self._connected.values()))

    def _close(self) -> None:
        if self._selector.get_map() is not None:
            asyncio.get_running_loop().remove_reader(self._selector)
            self._selector.close()
        for sock in self._sockets:
            sock.close()

    def _accept_all(self) -> None:
        for key, _ in self._selector.select(0):
            self._accept(key.data)

    def _accept(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        sock = self._sockets[number]
        try:
            accepted, _ = sock.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        except OSError as error:  # no more files, most likely
            _LOG.error("a connection could not be accepted: %s", error)
            self._selector.unregister(sock)
            loop.call_later(_PAUSE_S, self._again, number)
            return
        accepted.setblocking(False)
        port = self._connected.get(number)
        if port is None:
            port = self._connected[number] = TcpPort(
                f"{self._host}:{self._port + number if self._port else number}",
                *self.address(number),
                lambda now: self._make_endpoint(number, now),
            )
        port.enabled = self.enabled
        self._coming[number] += 1
        self._held.add(accepted)
        task = loop.create_task(self._connect(number, port, accepted))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _again(self, number: int) -> None:
        sock = self._sockets[number]
        if sock.fileno() >= 0:
            self._selector.register(sock, selectors.EVENT_READ, number)

    async def _connect(self, number: int, port: TcpPort, accepted: socket.socket) -> None:
        def gone() -> None:
            # Whoever is on his way to this port has it next: with another he would be let in beside him.
            if not port.connected and not self._coming[number] and self._connected.get(number) is port:
                del self._connected[number], self._coming[number]

        slow = self._slow(number)
        try:
            async with self._turn if slow else nullcontext():
                if slow:
                    await asyncio.sleep(0)  # all others are served between two
                if not slow or not _hung_up(accepted):
                    self._held.discard(accepted)
                    loop = asyncio.get_running_loop()
                    await loop.connect_accepted_socket(lambda: port.protocol(gone), accepted)
        finally:
            if accepted in self._held:
                self._held.discard(accepted)
                accepted.close()
            self._coming[number] -= 1
            gone()


def _hung_up(sock: socket.socket) -> bool:
    """Whether the other end has closed its side, whatever it has said before."""
    if not hasattr(select, "POLLRDHUP"):  # not on every platform; then it is found out later
        return False
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def allow_files(wanted: int, least: int = 0) -> None:
    """Let the process hold so many files open, as far as the system lets it; LocalError below `least`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, soft), hard))
            soft = max(limit, soft)
        except (OSError, ValueError):
            pass  # what it is now may do
    if soft < least:
        raise LocalError(
            f"{least} open files are needed, and the system lets a process have {soft}; raise it with"
            f" `ulimit -n {least}`, or put the meters on one line"
        )
