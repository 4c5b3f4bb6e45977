"""Programs as processes: the interop peers under their own interpreter, and `iondlms serve`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = Path(__file__).parent / "peers"
START_S: Final = 30.0  # a loaded machine starts a server in 3 s; this is the sign of a hang


@dataclass(frozen=True, slots=True)
class Peer:
    """A program by others: its name on the package index, and our program around it."""

    name: str
    program: str


GURUX: Final = Peer("gurux-dlms", "gurux_peer.py")
PYDLMS: Final = Peer("pydlms-client", "pydlms_peer.py")
DLMS_COSEM: Final = Peer("dlms-cosem", "dlms_cosem_peer.py")
PEERS: Final = (GURUX, PYDLMS, DLMS_COSEM)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer made of one task: a result, or an error and whether the peer is able to at all."""

    task: str
    result: Any
    notes: tuple[str, ...]
    error: str | None
    unsupported: bool

    @classmethod
    def of(cls, document: dict[str, Any]) -> Answer:
        return cls(
            document["task"],
            document.get("result"),
            tuple(document.get("notes", ())),
            document.get("error"),
            document.get("unsupported", False),
        )


@dataclass(frozen=True, slots=True)
class Target:
    """Where a peer connects, and as whom."""

    port: int
    framing: str  # hdlc or wrapper
    client: int = 16
    password: str | None = None
    host: str = "127.0.0.1"
    server_logical: int = 1
    server_physical: int = 100
    device: str | None = None  # in place of host and port
    baud: int = 9600
    sign_on: bool = False

    def options(self) -> list[str]:
        options = {
            "--host": self.host,
            "--port": str(self.port),
            "--framing": self.framing,
            "--client": str(self.client),
            "--server-logical": str(self.server_logical),
            "--server-physical": str(self.server_physical),
        }
        if self.password is not None:
            options["--password"] = self.password
        if self.device is not None:
            options |= {"--device": self.device, "--baud": str(self.baud)}
        words = [word for pair in options.items() for word in pair]
        return [*words, "--sign-on"] if self.sign_on else words


def peers_python() -> Path:
    """Return the interpreter that has the peers; where there is none, a skip, and under CI a failure."""
    named = os.environ.get("IONDLMS_PEERS_PYTHON")
    python = Path(named) if named else ROOT / ".venv-peers" / "bin" / "python"
    if python.is_file():
        return python
    reason = f"no interop peers at {python}: run `make peers`, or set IONDLMS_PEERS_PYTHON"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run_peer(
    python: Path, peer: Peer, target: Target, *tasks: list[str], timeout_s: float = 60.0
) -> list[Answer]:
    """Run the peer's program on the tasks, in one association; return an answer for each."""
    words = [word for task in tasks for word in ("then", *task)][1:]
    document = _run(python, peer, [*target.options(), *words], timeout_s)
    return [Answer.of(it) for it in document.get("answers", [document])]


def peer_version(python: Path, peer: Peer) -> str:
    return str(_run(python, peer, ["versions"], 30.0)["version"])


def _run(python: Path, peer: Peer, words: list[str], timeout_s: float) -> dict[str, Any]:
    command = [str(python), str(PROGRAMS / peer.program), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{peer.name} did not end in {timeout_s:g} s: {' '.join(words)}\n{_text(error.stderr)}")
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        pytest.fail(f"{peer.name} printed no JSON (exit {done.returncode}): {done.stdout!r}\n{done.stderr}")
    return document


def _text(octets: bytes | str | None) -> str:
    return octets.decode(errors="replace") if isinstance(octets, bytes) else octets or ""


@contextmanager
def started(
    command: list[str], ready: str, *, stream: str = "stdout"
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run a server until it prints a line that matches `ready`; yield it and its lines, and end it after.

    The end is SIGTERM; a server that has not ended 10 s later is killed, and that is a failure.
    """
    with tempfile.TemporaryFile("w+") as other:
        pipes: dict[str, Any] = {"stdout": other, "stderr": other, stream: subprocess.PIPE}
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, env=environment, **pipes)
        output = process.stdout if stream == "stdout" else process.stderr
        assert output is not None
        watchdog = threading.Timer(START_S, process.kill)
        watchdog.start()
        lines: list[str] = []
        try:
            for line in output:
                lines.append(line.rstrip("\n"))
                if re.search(ready, lines[-1]):
                    break
            else:
                process.wait()
                other.seek(0)
                pytest.fail(
                    f"{' '.join(command)} ended with {process.returncode} before it was ready\n"
                    + "\n".join([*lines, other.read()])
                )
            watchdog.cancel()
            # What it still prints must not fill the pipe and stop it.
            drain = threading.Thread(target=lambda: lines.extend(output), daemon=True)
            drain.start()
            yield process, lines
        finally:
            watchdog.cancel()
            stop(process)
            output.close()


def stop(process: subprocess.Popen[str]) -> int:
    """End the process with SIGTERM; return its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail("SIGTERM did not end the server in 10 s")
    return process.returncode


@contextmanager
def meter(
    data: Path, *options: str, framing: str = "auto", password: str | None = "interop"
) -> Iterator[int]:
    """Run `iondlms serve` as an ION8650, Unit ID 100; yield its TCP port."""
    command = [sys.executable, "-m", "iondlms", "serve", "--model", "ION8650", "--unit-id", "100"]
    command += ["--listen", "127.0.0.1:0", "--framing", framing, "--data", str(data), *options]
    if password is not None:
        command += ["--password", password]
    with started(command, "^ready$") as (process, lines):
        urls = [line.split()[2] for line in lines if line.startswith("listening ETHERNET ")]
        if len(urls) != 1:
            pytest.fail(f"not one line `listening ETHERNET URL`: {lines}")
        yield int(urls[0].rpartition(":")[2])
        assert stop(process) == 0, "SIGTERM must end the meter with 0"
