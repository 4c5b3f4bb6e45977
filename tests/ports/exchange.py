"""The telephone network of `telephone.py` behind devices of the kernel, by the wall clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.ports.ptys import Pty
from tests.ports.telephone import HayesModem, Network


@contextmanager
def real_time(network: Network, ends: dict[HayesModem, Pty]) -> Iterator[None]:
    """Run modems on devices, with the wall clock."""
    stop = threading.Event()
    for modem, pty in ends.items():
        modem.say = pty.write

    def run() -> None:
        while not stop.is_set():
            network.run(time.monotonic())
            for modem, pty in ends.items():
                octets = pty.read(0.005)
                if octets:
                    modem.computer_says(octets, time.monotonic())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
