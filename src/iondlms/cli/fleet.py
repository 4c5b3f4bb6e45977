"""`iondlms fleet`: many meters at once."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import Any, Final

import click

from iondlms.cli.serve import settings_of
from iondlms.errors import LocalError, PortError
from iondlms.meter.config import load
from iondlms.meter.fleet_host import FleetHost
from iondlms.ports.loop import run

__all__ = ["fleet"]

_TELL_S: Final = 5.0


@click.group()
def fleet() -> None:
    """Many meters at once."""


@fleet.command()
@click.option("--meters", "count", type=click.IntRange(1), default=1000, show_default=True)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:20000",
    show_default=True,
    help="Of the first meter; the others have the ports that follow. Port 0: each a free one.",
)
@click.option("--line", is_flag=True, help="All on that one port, told apart by Unit IDs from 1 on; HDLC.")
@click.option("--config", type=click.Path(path_type=Path), help="What all of them are, as for `serve`.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Any key, by its dotted path.")
@click.option("--seed", type=int, help="Of the first meter's load; the others' follow. Default 1.")
@click.option("--history", type=int, help="Load-profile rows that each meter has, ending now.")
@click.option(
    "--history-now",
    is_flag=True,
    help="Make the rows of all before `ready`, and not of each when it is first asked.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder of what outlives a restart.")
@click.option(
    "--speed",
    type=click.FloatRange(0.001, 100_000),
    default=1.0,
    show_default=True,
    help="Seconds of the meters in one of ours.",
)
@click.option("--inventory", type=click.Path(path_type=Path), help="Write url, unit, serial and name there.")
@click.option("-v", "--verbose", count=True, help="Log connections; twice: everything.")
def simulate(
    count: int,
    listen: str,
    line: bool,
    config: Path | None,
    settings: tuple[str, ...],
    history_now: bool,
    speed: float,
    inventory: Path | None,
    verbose: int,
    **keys: Any,
) -> None:
    """Be thousands of meters in one process, until SIGTERM or Ctrl-C.

    Each has its own load, serial number and rows, and takes one connection. Prints `listening URL` of the
    first and the last meter, then `ready`.

    35 days of rows take a third of a second for each meter, when it is first asked: so many that are asked at
    once wait for each other. With --history-now all wait once, before `ready`.

    \b
    iondlms fleet simulate --meters 10000 --inventory fleet.csv
    iondlms fleet simulate --meters 200 --line --listen 127.0.0.1:4059 --history 3360
    """  # fmt: skip
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=level)
    given: list[tuple[str, Any]] = [("port.ETHERNET.listen", listen)]
    given += [(f"meter.{key}", value) for key, value in keys.items() if value is not None]
    made = load(config, given + settings_of(settings))
    host = FleetHost(made, count, line=line, speed=speed, told=_Progress(count) if history_now else None)
    run(_simulate(host, count, inventory))


class _Progress:
    """Tells on stderr how many meters are made, every few seconds."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._told = time.monotonic()

    def __call__(self, made: int) -> None:
        if time.monotonic() - self._told >= _TELL_S:
            self._told = time.monotonic()
            click.echo(f"rows made for {made} of {self._count} meters", err=True)


async def _simulate(fleet_host: FleetHost, count: int, inventory: Path | None) -> None:
    task = asyncio.current_task()

    def end() -> None:
        # Once: a second signal must not break off the writing that the first one began.
        if task is not None and not task.cancelling():
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    begin = time.perf_counter()
    try:
        async with fleet_host as host:
            if inventory is not None:
                host.write_inventory(inventory)
            urls = dict.fromkeys([each.url for each in host.members()])
            first, *_, last = [*urls, *urls]
            for url in dict.fromkeys((first, last)):
                click.echo(f"listening {url}")
            click.echo(f"ready: {count} meters in {time.perf_counter() - begin:.1f} s")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass  # by one of the signals: the end that was asked for
    except PortError as error:
        # Nobody failed to answer: the address that was configured is not to be had.
        raise LocalError(str(error)) from error
