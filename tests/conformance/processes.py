"""`iondlms serve` as processes for the conformance cases: some at once, since most of a case is waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from subprocess import Popen
from typing import Final

from tests.interop.running import meter, started
from tests.ports.ptys import Wire

from iondlms.conformance import (
    Access,
    Cti,
    LineAccess,
    Meter,
    Result,
    Run,
    TcpAccess,
    draft,
    first_cti,
    run_case,
)
from iondlms.conformance.cti import Framing, HdlcSection, LineSection
from iondlms.ports.serial import LineSettings, SerialTransport

PASSWORD: Final = "interop"
RX_TIMEOUT_S: Final = 0.15
INACTIVITY_S: Final = 3.0
COM4: Final = 103  # its Unit ID
BOTH: Final[tuple[Framing, ...]] = ("hdlc", "wrapper")
LINE: Final = LineSection(framings=BOTH, answer_s=2.0, quiet_s=0.05, inactivity_s=INACTIVITY_S)
TIMES: Final = ("--rx-timeout", str(RX_TIMEOUT_S), "--inactivity", str(INACTIVITY_S))
KEPT: Final = ("--history", "20", "--set", "billing.period=2h")


def drafted(port: int, framings: tuple[Framing, ...] = BOTH) -> Cti:
    """Return the CTI that a meter on TCP gives of itself, strict."""
    start = first_cti(framings, HdlcSection(unit=100, inter_frame_s=RX_TIMEOUT_S), 16, LINE)
    return _strict(draft(TcpAccess("127.0.0.1", port), start, PASSWORD.encode()))


def _strict(cti: Cti) -> Cti:
    return cti.model_copy(update={"strict": True})


@contextmanager
def on_tcp(
    folder: Path, settings: Sequence[str] = (), framings: tuple[Framing, ...] = BOTH
) -> Iterator[Meter]:
    """Run a meter on TCP, tested by the CTI that it gives of itself."""
    words = [word for setting in settings if "[" not in setting for word in ("--set", setting)]
    # `--set` gives text; what is a choice of numbers is written as TOML, in a file.
    file = folder / "meter.toml"
    file.write_text("\n".join(setting for setting in settings if "[" in setting), encoding="utf-8")
    with meter(folder, *TIMES, *KEPT, *words, str(file), password=PASSWORD) as port:
        yield _tested(drafted(port, framings), TcpAccess("127.0.0.1", port))


@contextmanager
def killed_and_started(folder: Path, settings: Sequence[str]) -> Iterator[Meter]:
    """Run a meter on TCP that waits are made for, and of which a power cycle is SIGKILL and a start."""
    words = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "iondlms", "serve", "--password", PASSWORD, "--data", str(folder)]
    command += [*TIMES, *KEPT, *words]
    running = ExitStack()

    def start(port: int) -> tuple[Popen[str], int]:
        process, lines = running.enter_context(
            started([*command, "--listen", f"127.0.0.1:{port}"], "^ready$")
        )
        return process, int(lines[0].rpartition(":")[2])

    process, port = start(0)

    def power_cycle() -> None:
        nonlocal process
        process.kill()
        running.close()
        process, _ = start(port)

    with running:
        tested = _tested(drafted(port), TcpAccess("127.0.0.1", port))
        yield replace(tested, fast=False, cut_power=power_cycle)


@contextmanager
def on_a_pty(folder: Path) -> Iterator[Meter]:
    """Run a meter on one end of a wire of two ptys; the other end is the line of the cases."""
    with Wire() as wire:
        file = folder / "meter.toml"
        file.write_text(
            f"[meter]\nhistory = 20\npassword = '{PASSWORD}'\ndata = '{folder / 'data'}'\n"
            "[billing]\nperiod = '2h'\n[clock]\ntime_sync_source = 'COM4'\n[[port]]\nlisten = '127.0.0.1:0'\n"
            f"[[port]]\nname = 'COM4'\ndevice = '{wire.meter.path}'\nbaud = 115200\n"
            f"transmit_delay = 0\nrx_timeout = {RX_TIMEOUT_S}\ninactivity = {INACTIVITY_S}\n",
            encoding="utf-8",
        )
        settings = LineSettings(wire.client.path, baud=115200)
        access = LineAccess(lambda: SerialTransport.connect(settings))
        with started([sys.executable, "-m", "iondlms", "serve", str(file)], "^ready$"):
            try:
                start = first_cti(("hdlc",), HdlcSection(unit=COM4, inter_frame_s=RX_TIMEOUT_S), 16, LINE)
                yield _tested(_strict(draft(access, start, PASSWORD.encode())), access)
            finally:
                access.close()


def _tested(cti: Cti, access: Access) -> Meter:
    return Meter(cti, access, PASSWORD.encode(), fast=True, clock_set_allowed=True)


def shared_out(meters: Sequence[Meter], runs: Iterable[Run]) -> list[Result]:
    """Run each case on whichever meter is free; the order is kept on each of them."""
    waiting: SimpleQueue[Run] = SimpleQueue()
    for one in runs:
        waiting.put(one)

    def work(tested: Meter) -> list[Result]:
        found: list[Result] = []
        while True:
            try:
                one = waiting.get_nowait()
            except Empty:
                return found
            found.append(run_case(tested, one))

    with ThreadPoolExecutor(len(meters)) as pool:
        return [result for found in pool.map(work, meters) for result in found]


@contextmanager
def several(
    number: int, folder: Path, make: Callable[[Path], AbstractContextManager[Meter]]
) -> Iterator[list[Meter]]:
    """Run so many meters at once, each with a folder of its own."""
    with ExitStack() as stack:
        found: list[Meter] = []
        for index in range(number):
            own = folder / str(index)
            own.mkdir()
            found.append(stack.enter_context(make(own)))
        yield found
