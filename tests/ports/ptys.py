"""Two serial devices of the kernel, joined by a wire that a test can look at."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import termios
import threading
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Pty:
    """One end of a wire: a device for the program under test, and the test's side of it."""

    def __init__(self) -> None:
        # The device's own side stays open too: a pty nobody has open hangs up.
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    @property
    def speed(self) -> int:
        """The speed that was set, as termios writes it."""
        return int(termios.tcgetattr(self._slave)[4])

    def read(self, seconds: float) -> bytes:
        """Return what has come, b"" after that time."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        return os.read(self.master, 4096) if ready else b""

    def write(self, octets: bytes) -> None:
        os.write(self.master, octets)

    def close(self) -> None:
        for descriptor in (self.master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Wire:
    """Two ptys and a thread that carries octets; the client's end may hear itself.

    `change` is what becomes of the client's octets on their way.
    """

    def __init__(self, *, echo: bool = False, change: Callable[[bytes], bytes] | None = None) -> None:
        self.client, self.meter = Pty(), Pty()
        self.log: list[tuple[float, str, bytes]] = []
        self._echo = echo
        self._change = change
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        ends = {self.client.master: self.meter.master, self.meter.master: self.client.master}
        while True:
            ready, _, _ = select.select([*ends, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            for source in ready:
                octets = os.read(source, 4096)
                up = source == self.client.master
                self.log.append((time.monotonic(), "TX" if up else "RX", octets))
                if up and self._echo:
                    os.write(source, octets)
                os.write(ends[source], self._change(octets) if self._change and up else octets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        self.client.close()
        self.meter.close()
        os.close(self._stop_read)
        os.close(self._stop_write)
