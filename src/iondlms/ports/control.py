"""A local socket that takes commands: one JSON object a line each way, for the owner of the process alone."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

from iondlms.errors import DlmsError, LocalError, PortError

__all__ = ["ControlServer", "ask"]

_LOG: Final = logging.getLogger("iondlms.ports.control")
_LONGEST_LINE: Final = 65536  # octets of a request: a command is some hundred
_LONGEST_ANSWER: Final = 64 << 20  # the status of ten thousand meters is some megabytes
_MOST_CLIENTS: Final = 16
_LONGEST_PATH: Final = 100  # octets: the system's own limit is 104 to 108
_CHUNK: Final = 65536
_BUSY: Final = f"{_MOST_CLIENTS} others give it commands; try again in a moment"
_IDLE_S: Final = 10.0  # for a request to come, and for its answer to be read; `ask` needs milliseconds

Request = dict[str, Any]


class ControlServer:
    """Commands taken on a Unix socket, between `start` and `stop`.

    `answer` makes the result of a request, or raises DlmsError; only its text is told.
    """

    def __init__(
        self, path: Path, answer: Callable[[Request], Awaitable[Any]], idle_s: float = _IDLE_S
    ) -> None:
        self.path = path
        self._idle_s = idle_s
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._file: tuple[int, int] | None = None  # what was made there: it may be another's by the end

    async def start(self) -> None:
        """Listen; PortError if somebody else does, or something else is there."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._clear_the_way()
            with _short(self.path) as address:
                sock.bind(address)
            # Between the two nobody can connect yet: it does not listen.
            self.path.chmod(0o600)
            self._file = _file(self.path)
            self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=_LONGEST_LINE)
        except OSError as error:
            sock.close()
            reason = error.strerror or str(error)
            raise PortError(f"cannot take commands on {self.path}: {reason}") from error
        except BaseException:
            sock.close()
            raise

    async def stop(self) -> None:
        """Listen no longer, and take the socket away."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._clients:
            writer.close()
        with suppress(OSError):
            if _file(self.path) == self._file:
                self.path.unlink()
        self._server = None

    def _clear_the_way(self) -> None:
        """Remove what a process left that was killed; PortError for anything that is in use, or no socket."""
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise PortError(f"cannot take commands on {self.path}: a file is there that is no socket")
            try:
                _connected(self.path, 1.0).close()
            except ConnectionRefusedError:
                self.path.unlink()
                return
            except BlockingIOError:
                pass  # it lives: it has as many callers as may wait
            raise PortError(f"cannot take commands on {self.path}: another process does")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _MOST_CLIENTS:
            # Told before it is asked: what it writes has no reader then, and `ask` looks for this even so.
            with suppress(OSError, TimeoutError):
                await self._tell(writer, {"ok": False, "busy": True, "error": _BUSY})
            writer.close()
            return
        self._clients.add(writer)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._idle_s):
                        line = await reader.readuntil(b"\n")
                except asyncio.LimitOverrunError:
                    await self._tell(
                        writer, {"ok": False, "error": f"a line has {_LONGEST_LINE} octets at most"}
                    )
                    return
                await self._tell(writer, await self._answered(line))
        except TimeoutError:
            # So few may be connected that those who say nothing, or do not read, would keep the owner out.
            writer.transport.abort()
        except (asyncio.IncompleteReadError, OSError):
            pass  # gone, perhaps in the middle of a line
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _tell(self, writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
        writer.write(json.dumps(answer).encode() + b"\n")
        async with asyncio.timeout(self._idle_s):
            await writer.drain()

    async def _answered(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError):
            return {"ok": False, "error": "a request is one JSON object in one line"}
        try:
            return {"ok": True, "result": await self._answer(request)}
        except DlmsError as error:
            return {"ok": False, "error": str(error)}
        except Exception:
            # A bug of ours. It costs this request, not the meter.
            _LOG.exception("a command failed")
            return {"ok": False, "error": "the command failed; the log of the meter says why"}


def ask(path: Path, request: Request, timeout_s: float = 60.0) -> Any:
    """Return the result of a request, blocking.

    PortError if nobody answers there, or has the time; LocalError with the text of who refuses it.
    """
    octets = bytearray()
    until = monotonic() + timeout_s
    try:
        with closing(_connected(path, timeout_s)) as sock:
            # Who refuses before it has read leaves its answer, and no reader for the request.
            with suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(json.dumps(request).encode() + b"\n")
            while not octets.endswith(b"\n"):
                # For all of it: one that sends an octet now and then would hold us for ever.
                left_s = until - monotonic()
                if left_s <= 0:
                    raise TimeoutError("timed out")
                sock.settimeout(left_s)
                chunk = _received(sock)
                octets += chunk
                if not octets:
                    raise PortError(f"the meter on {path} took no command: it may be stopping; try again")
                if not chunk or len(octets) > _LONGEST_ANSWER:
                    raise PortError(f"the meter on {path} broke off its answer; try again")
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise PortError(f"no meter takes commands on {path}; is it running?") from error
    except BlockingIOError as error:
        raise PortError(f"the meter on {path} is busy: {_BUSY}") from error
    except OSError as error:
        raise PortError(f"no answer on {path}: {error.strerror or error}") from error
    try:
        answer = json.loads(octets)
        refused = None if answer["ok"] else str(answer["error"])
        busy = bool(answer.get("busy"))
        result = answer["result"] if refused is None else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PortError(f"what answers on {path} is no meter") from error
    if refused is None:
        return result
    raise PortError(f"the meter on {path} is busy: {refused}") if busy else LocalError(refused)


def _received(sock: socket.socket) -> bytes:
    """Return what has come; b"" at the end, also where the other end has not read all that it was sent."""
    try:
        return sock.recv(_CHUNK)
    except ConnectionResetError:
        return b""


def _connected(path: Path, timeout_s: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        with _short(path) as address:
            sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Within it, the path as an address: a long one by way of its opened folder, where the system can."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _file(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
