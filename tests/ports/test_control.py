"""The socket for commands: who may have it, and what comes over it."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from iondlms.errors import LocalError, PortError
from iondlms.ports.control import ControlServer, ask

Answer = Callable[[dict[str, Any]], Awaitable[Any]]


async def echo(request: dict[str, Any]) -> Any:
    if request.get("command") == "refuse":
        raise LocalError("that cannot be")
    if request.get("command") == "fail":
        raise ZeroDivisionError
    return request


@asynccontextmanager
async def serving(path: Path, answer: Answer = echo) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, answer)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def asked(path: Path, request: dict[str, Any]) -> Any:
    return await asyncio.to_thread(ask, path, request, 5.0)


async def raw(path: Path, octets: bytes) -> list[dict[str, Any]]:
    """Send octets and return what comes until nothing more does."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(octets)
    writer.write_eof()
    answers = [json.loads(line) for line in (await reader.read()).splitlines()]
    writer.close()
    return answers


async def test_it_is_the_owners_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await asked(path, {"command": "x", "unit": 1}) == {"command": "x", "unit": 1}
        with pytest.raises(LocalError, match="that cannot be"):
            await asked(path, {"command": "refuse"})
    assert not path.exists()


async def test_a_bug_costs_the_request_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path / "control.sock") as server:
        with pytest.raises(LocalError, match="the command failed"):
            await asked(server.path, {"command": "fail"})
        assert "ZeroDivisionError" in caplog.text
        assert await asked(server.path, {}) == {}


async def test_what_a_killed_process_left_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(PortError, match="is it running"):
        await asked(path, {})
    async with serving(path):
        assert await asked(path, {}) == {}


async def test_a_live_one_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        with pytest.raises(PortError, match="another process does"):
            await ControlServer(path, echo).start()
        assert await asked(path, {}) == {}


async def test_a_file_that_is_no_socket_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine", "utf-8")
    with pytest.raises(PortError, match="no socket"):
        await ControlServer(path, echo).start()
    assert path.read_text("utf-8") == "mine"


async def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="No such file"):
        await ControlServer(tmp_path / "nowhere" / "control.sock", echo).start()
    with pytest.raises(PortError, match="is it running"):
        ask(tmp_path / "control.sock", {})


async def test_what_another_process_put_there_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path):
        path.unlink()
        path.write_text("another's", "utf-8")
    assert path.exists()


async def test_a_path_that_is_longer_than_an_address(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    async with serving(folder / "control.sock") as server:
        assert await asked(server.path, {}) == {}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "octets", [b"\n", b"{\n", b"[1]\n", b"\xff\xfe\n", b"[" * 60_000 + b"\n", b'"x"\n', b"\0" * 100 + b"\n"]
)
async def test_what_is_no_request_is_told_and_the_next_one_served(tmp_path: Path, octets: bytes) -> None:
    async with serving(tmp_path / "control.sock") as server:
        answers = await raw(server.path, octets + b'{"command": "x"}\n')
        assert answers == [
            {"ok": False, "error": "a request is one JSON object in one line"},
            {"ok": True, "result": {"command": "x"}},
        ]


async def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path / "control.sock") as server:
        reader, writer = await asyncio.open_unix_connection(server.path)
        writer.write(b"x" * 200_000)
        (answer,) = [json.loads(line) for line in (await reader.read(1000)).splitlines()]
        assert answer["error"] == "a line has 65536 octets at most"
        writer.close()


async def test_half_a_line_and_gone(tmp_path: Path) -> None:
    async with serving(tmp_path / "control.sock") as server:
        assert await raw(server.path, b'{"command"') == []
        assert await asked(server.path, {}) == {}


async def test_only_so_many_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path / "control.sock") as server:
        there = [await asyncio.open_unix_connection(server.path) for _ in range(16)]
        await asyncio.sleep(0)
        assert await raw(server.path, b"") == [
            {"ok": False, "busy": True, "error": "16 others give it commands; try again in a moment"}
        ]
        with pytest.raises(PortError, match=rf"^the meter on {server.path} is busy: 16 others .*; try again"):
            await asked(server.path, {})
        for _, writer in there:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(5):
            while server._clients:
                await asyncio.sleep(0)
        assert await asked(server.path, {}) == {}


@pytest.mark.parametrize("size", [0, 60_000], ids=["short", "long"])
async def test_however_many_come_each_is_answered_or_told(tmp_path: Path, size: int) -> None:
    release = asyncio.Event()

    async def held(request: dict[str, Any]) -> Any:
        await release.wait()
        return request

    request = {"command": "x", "more": "x" * size}
    async with serving(tmp_path / "control.sock", held) as server:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(48) as callers:
            calls = [loop.run_in_executor(callers, ask, server.path, request, 5.0) for _ in range(48)]
            async with asyncio.timeout(5):
                done: set[asyncio.Future[Any]] = set()
                while len(done) < 32:  # none of them waits for the others
                    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
            release.set()
            results = await asyncio.gather(*calls, return_exceptions=True)
    refused = {str(result) for result in results if isinstance(result, BaseException)}
    assert refused == {
        f"the meter on {server.path} is busy: 16 others give it commands; try again in a moment"
    }
    assert results.count(request) == 16


async def test_who_is_refused_before_it_has_written_reads_why(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def refuse(octets: bytes) -> None:
            with listening.accept()[0] as caller:
                caller.sendall(octets)

        for octets, kind, said in (
            (b'{"ok": false, "busy": true, "error": "no time"}\n', PortError, "is busy: no time$"),
            (b'{"ok": false, "error": "no"}\n', LocalError, "^no$"),
            (b"", PortError, "took no command: it may be stopping; try again$"),
        ):
            refusing = asyncio.create_task(asyncio.to_thread(refuse, octets))
            # More than a socket takes in: it is still being written when the other end is gone.
            with pytest.raises(kind, match=said):
                await asked(path, {"command": "x" * 4_000_000})
            await refusing


@pytest.mark.parametrize(
    "octets",
    [b"", b"{}\n", b"[]\n", b'{"ok": 1}\n', b'"x"\n', b"hello\n", b'{"ok": true', b"[" * 99_999 + b"\n"],
)
async def test_something_else_answers(tmp_path: Path, octets: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(octets)
        writer.close()

    path = tmp_path / "control.sock"
    async with await asyncio.start_unix_server(serve, path):
        with pytest.raises(PortError):
            await asked(path, {})


async def test_an_answer_that_never_ends_is_waited_for_no_longer_than_one_that_never_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "control.sock"

    async def dribble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                writer.write(b" ")
                await writer.drain()
        writer.close()

    ticks = count()
    async with await asyncio.start_unix_server(dribble, path):
        monkeypatch.setattr("iondlms.ports.control.monotonic", lambda: next(ticks) / 10)
        with pytest.raises(PortError, match=r"no answer on .*: timed out"):
            await asyncio.to_thread(ask, path, {"command": "status"}, 5.0)
    assert next(ticks) < 60


@pytest.mark.parametrize("octets", [b"", b'{"command"'])
async def test_who_says_nothing_does_not_keep_others_out(tmp_path: Path, octets: bytes) -> None:
    server = ControlServer(tmp_path / "control.sock", echo, idle_s=0.05)
    await server.start()
    idle = [await asyncio.open_unix_connection(server.path) for _ in range(16)]
    for _, writer in idle:
        writer.write(octets)
    async with asyncio.timeout(5):
        assert [await reader.read() for reader, _ in idle] == [b""] * 16
    assert await asked(server.path, {}) == {}
    for _, writer in idle:
        writer.close()
    await server.stop()


async def test_who_does_not_read_its_answer_loses_the_connection(tmp_path: Path) -> None:
    async def long(request: dict[str, Any]) -> Any:
        return "x" * 4_000_000

    server = ControlServer(tmp_path / "control.sock", long, idle_s=0.05)
    await server.start()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(server.path))
        sock.sendall(b"{}\n")
        async with asyncio.timeout(5):
            while not server._clients:
                await asyncio.sleep(0)
            while server._clients:
                await asyncio.sleep(0)
    await server.stop()


async def test_a_full_backlog_is_busy_and_alive(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as waiting:
        listening.bind(str(path))
        listening.listen(0)
        with suppress(BlockingIOError):
            for _ in range(10):
                sock = waiting.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                sock.connect(str(path))
        with pytest.raises(PortError, match=r"control\.sock is busy: .*; try again in a moment$"):
            ask(path, {}, 0.2)
        with pytest.raises(PortError, match="another process does"):
            await ControlServer(path, echo).start()
        assert path.is_socket()
