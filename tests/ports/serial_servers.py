"""Serial servers written by others: what runs them, and where they are missing."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from tests.ports.serial_line import LONG_S


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def missing(what: str) -> NoReturn:
    """Skip here, and fail where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; .ci/run installs it")
    pytest.skip(f"{what} is not installed")


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a serial server until it is done with; it listens when this begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + LONG_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        time.sleep(0.2)  # it lets the first caller go
        yield
    finally:
        process.terminate()
        process.wait(LONG_S)


def pyserials_server(device: str, port: int) -> list[str]:
    """Return how to run it: by Debian's Python, which has Debian's python3-serial."""
    python = "/usr/bin/python3"
    if not Path(python).exists() or subprocess.run([python, "-c", "import serial"], check=False).returncode:
        missing("python3-serial")
    return [python, str(Path(__file__).parent / "peers" / "rfc2217_server.py"), device, str(port)]
