"""Meters in a process of their own, and beside them the floor: the same octets with nothing but the loop.

Shared by the programs here that read over TCP. Run by itself it is that process:

    serving.py meters COUNT LOOP ROWS [KEY=VALUE ...]    meters on ports of their own; prints the ports
    serving.py bare COUNT LOOP FILE                      answers each chunk with the next recorded one
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, TypeAlias, TypeVar

from iondlms.client import Hooks, Target, blocking
from iondlms.meter import load
from iondlms.meter.host import MeterHost
from iondlms.ports.loop import settle

__all__ = [
    "LOOPS",
    "Conversation",
    "Server",
    "apart",
    "bare",
    "bare_blocking",
    "own_cpu_s",
    "record",
    "run",
    "target",
]

_T = TypeVar("_T")
Conversation: TypeAlias = list[tuple[bytes, bytes]]  # what the client sends, and what it gets for it

_CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
LOOPS: Final = ("asyncio", "uvloop") if find_spec("uvloop") else ("asyncio",)


def run(main: Coroutine[Any, Any, _T], loop: str) -> _T:
    """Run on this loop, whatever the product would choose."""
    factory = None if loop == "asyncio" else import_module(loop).new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def own_cpu_s() -> float:
    """Return user and system seconds of this process."""
    return time.process_time()


def apart(pid: int | None = None) -> None:
    """Keep this process, and those it starts, on one core; one that is named by its number on another.

    Left alone a scheduler has both on one core in one round and on two in the next, and they take half as
    much time again in the one as in the other. Nothing is done where there is one core.
    """
    if len(_CORES) > 1:
        os.sched_setaffinity(pid or 0, {_CORES[0] if pid is None else _CORES[1]})


class Server:
    """The other process; it inherits the cores that this one may use."""

    def __init__(self, kind: str, count: int, loop: str, *more: str) -> None:
        command = [sys.executable, __file__, kind, str(count), loop, *more]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.ports = [int(port) for port in self._process.stdout.readline().split()]
        if len(self.ports) != count:
            raise RuntimeError(f"{command} did not start")

    @classmethod
    def bare(cls, count: int, loop: str, conversation: Conversation) -> Server:
        """Serve the answers of a recorded conversation."""
        with NamedTemporaryFile("w", suffix=".json") as file:
            json.dump([answer.hex() for _, answer in conversation], file)
            file.flush()
            return cls("bare", count, loop, file.name)

    def apart(self) -> None:
        """Keep it on a core of its own; this process is on another, by the function of this name."""
        apart(self._process.pid)

    def cpu_s(self) -> float:
        """Return the seconds that it was on a core, all threads; finer than the 10 ms of its `stat`."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def target(port: int) -> Target:
    return Target.parse(f"hdlc://127.0.0.1:{port}?unit=100")


def record(port: int, read: Callable[[blocking.Client], object], *, known: bool = False) -> Conversation:
    """Return the octets of one session that connects, reads so, and closes; the second, of a known meter."""
    conversation: Conversation = []

    def watch(direction: str, octets: bytes, _now: float) -> None:
        if direction == "TX":
            conversation.append((octets, b""))
        else:
            question, answer = conversation[-1]
            conversation[-1] = question, answer + octets

    client = blocking.Client(target(port), hooks=Hooks(on_octets=watch))
    for _ in range(2 if known else 1):
        conversation.clear()
        with client:
            read(client)
    return conversation


# --- the floor --------------------------------------------------------------------------------------

_BUFFER: Final = 4096  # more than any frame or answer that is recorded here


class _Bare(asyncio.BufferedProtocol):
    """Sends a chunk for each chunk. Buffered: of asyncio's two kinds it takes half the time."""

    def __init__(self, chunks: Sequence[bytes], done: asyncio.Future[None] | None = None) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._done = done
        self._buffer = memoryview(bytearray(_BUFFER))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport: Any = transport
        if self._done is not None:
            self._say()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # an asyncio signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        bytes(self._buffer[:nbytes])  # whoever looks at them takes them
        self._say()

    def _say(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is not None:
            self._transport.write(chunk)
        elif self._done is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._done is not None:
            self._done.set_result(None)


async def bare(port: int, conversation: Conversation) -> None:
    """Have the recorded conversation on a connection of its own."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    questions = [question for question, _ in conversation]
    await loop.create_connection(lambda: _Bare(questions, done), "127.0.0.1", port)
    await done


def bare_blocking(port: int, conversation: Conversation) -> None:
    """The same without a loop."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for question, answer in conversation:
            line.sendall(question)
            received = 0
            while received < len(answer):
                received += len(line.recv(65536))


# --- the process ------------------------------------------------------------------------------------


async def _serve_bare(count: int, file: str) -> None:
    answers = [bytes.fromhex(answer) for answer in json.loads(Path(file).read_text("ascii"))]
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: _Bare(answers), "127.0.0.1", 0) for _ in range(count)]
    settle()
    print(*[server.sockets[0].getsockname()[1] for server in servers], flush=True)
    await asyncio.Event().wait()


async def _serve_meters(count: int, rows: str, settings: Sequence[str]) -> None:
    hosts: list[MeterHost] = []
    for seed in range(1, count + 1):
        given = [("history", rows), ("seed", seed), ("port.ETHERNET.listen", "127.0.0.1:0")]
        given += [(key, value) for key, _, value in (setting.partition("=") for setting in settings)]
        host = MeterHost(load(None, given))
        await host.start()
        hosts.append(host)
    settle()
    print(*[host.ports[0].url.rpartition(":")[2] for host in hosts], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    if len(sys.argv) < 5:
        print(__doc__)
        return
    kind, count, loop, what = sys.argv[1:5]
    if kind == "bare":
        run(_serve_bare(int(count), what), loop)
    else:
        run(_serve_meters(int(count), what, sys.argv[5:]), loop)


if __name__ == "__main__":
    main()
