"""`iondlms serve`: the meter on the desk."""

from __future__ import annotations

import asyncio
import logging
import resource
import shlex
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from iondlms.cli.ctl import SOCKET
from iondlms.errors import DlmsError, LocalError, PortError
from iondlms.meter.config import Config
from iondlms.meter.control import Control
from iondlms.meter.site import Site, load_checked
from iondlms.meter.site_host import SiteHost
from iondlms.ports.control import ControlServer
from iondlms.ports.loop import run, settle

__all__ = ["serve", "settings_of"]

_LOG: Final = logging.getLogger("iondlms.serve")
_FILES: Final = 8  # that a meter with a data folder may hold open


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--model", help="ION9000, ION8650 (default), ION7400 or ION8800.")
@click.option("--unit-id", type=int, help="Physical HDLC address, 1 to 9999; default 100.")
@click.option("--listen", metavar="HOST:PORT", help="Default 127.0.0.1:4059; port 0 takes a free one.")
@click.option(
    "--framing", type=click.Choice(["auto", "hdlc", "wrapper"]), help="Default: by the first octet."
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder of what outlives a restart.")
@click.option("--history", type=int, help="Load-profile rows to make at the first start, ending now.")
@click.option("--password-file", type=click.Path(path_type=Path), help="First line: the password of SAP 1.")
@click.option("-P", "--password", envvar="IONDLMS_PASSWORD", help="The same, seen in the process list.")
@click.option("--seed", type=int, help="Of the simulated load; default 1.")
@click.option("--rx-timeout", metavar="S", help="Silence that ends a half frame; default 1.5.")
@click.option("--inactivity", metavar="S", help="Silence that ends an association; default 120.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Any key, by its dotted path.")
@click.option(
    "--control", type=click.Path(path_type=Path), help="Socket for `ctl`; one is in the data folder."
)
@click.option("-v", "--verbose", count=True, help="Log connections; twice: everything.")
def serve(
    config: Path | None, settings: tuple[str, ...], control: Path | None, verbose: int, **options: Any
) -> None:
    """Be a meter, or the meters of CONFIG, until SIGTERM or Ctrl-C.

    Prints `listening PORT URL` for each open port, then `ready`; before them `meter ...` where it has texts
    of its owner. On SIGHUP the file is read again: ports are switched on and off by their `protocol`, and set
    to their `baud` and `framing`; exports and OBIS codes change. What would clear a recorder waits for
    `iondlms ctl DATA_DIR reload --apply`; what else has changed is told, and takes a restart.

    \b
    iondlms serve --history 3360 --password 12345678
    iondlms serve meter.toml --set long_answers=segment
    iondlms serve --set port.COM1.device=/dev/ttyUSB0 --set port.COM1.baud=19200
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=_level(verbose))
    overrides = _overrides(settings, options)
    year = datetime.now(UTC).year
    run(_serve(lambda: load_checked(config, overrides, year=year), control))


def _level(verbose: int) -> int:
    return {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)


# Option -> key of the configuration.
_KEYS = {
    "model": "meter.model",
    "unit_id": "port.ETHERNET.unit_id",
    "listen": "port.ETHERNET.listen",
    "framing": "port.ETHERNET.framing",
    "data": "meter.data",
    "history": "meter.history",
    "password_file": "meter.password_file",
    "password": "meter.password",
    "seed": "meter.seed",
    "rx_timeout": "port.ETHERNET.rx_timeout",
    "inactivity": "port.ETHERNET.inactivity",
}


def _overrides(settings: tuple[str, ...], options: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(_KEYS[name], value) for name, value in options.items() if value is not None] + settings_of(
        settings
    )


def settings_of(settings: Iterable[str]) -> list[tuple[str, Any]]:
    """Return keys and values of `--set`; LocalError for one that is no KEY=VALUE."""
    found: list[tuple[str, Any]] = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise LocalError(f"--set {setting}: write it as KEY=VALUE, such as long_answers=segment")
        found.append((key.strip(), value))
    return found


async def _serve(load: Callable[[], Config | Site], control: Path | None) -> None:
    task = asyncio.current_task()
    running: list[SiteHost] = []
    reloads: set[asyncio.Task[None]] = set()

    def end() -> None:
        # Once: a second signal must not break off the writing that the first one began.
        if task is not None and not task.cancelling():
            task.cancel()

    def again() -> None:
        if running:
            reload = asyncio.get_running_loop().create_task(_reload(running[0], load))
            reloads.add(reload)
            reload.add_done_callback(reloads.discard)

    def ready(host: SiteHost) -> None:
        running.append(host)
        for title in host.titles:
            click.echo(f"meter {title}")
        for port in host.ports:
            click.echo(f"listening {port.name} {port.url}")
        for line in _stopped_recorders(host):
            _LOG.warning("%s", line)
        settle()
        click.echo("ready")

    config = load()
    if isinstance(config, Site):
        _allow_files(_FILES * sum(member.count for member in config.meter) + 100)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again)
    try:
        async with SiteHost(config) as host, AsyncExitStack() as sockets:
            commands = Control(host, lambda apply: _read_again(host, load, apply))
            for path in _sockets(config, control):
                server = ControlServer(path, commands.answer)
                await server.start()
                sockets.push_async_callback(server.stop)
            ready(host)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass  # by one of the signals: the end that was asked for
    except PortError as error:
        # Nobody failed to answer: the address that was configured is not to be had.
        raise LocalError(str(error)) from error


def _stopped_recorders(host: SiteHost) -> Iterator[str]:
    """Yield a line for each Data Recorder that is full and has stopped."""
    for each in host.meters:
        config = each.meter.config
        # None of the default framework stops: thousands of meters need not be looked at.
        for name in [own.name for own in config.data_recorder if own.mode == "stop-when-full"]:
            if each.meter.ion.recorders[name].full:
                place = config.meter.data or "DATA_DIR"
                rearm = shlex.join(["iondlms", "ctl", str(place), "rearm", name])
                unit = config.port[0].unit_id
                yield f"Unit ID {unit}: Data Recorder {name!r} is full and has stopped; `{rearm}` clears it"


def _sockets(config: Config | Site, control: Path | None) -> list[Path]:
    """Return where commands are taken: in each data folder that was named, and where it was asked for."""
    sections = (config.meter,) if isinstance(config, Config) else config.meter
    folders = [section.data for section in sections if section.data is not None]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)  # of several meters, each has its own below it
    return list(dict.fromkeys([*(folder / SOCKET for folder in folders), *([control] if control else [])]))


async def _reload(host: SiteHost, load: Callable[[], Config | Site]) -> None:
    try:
        for line in await _read_again(host, load, False):
            _LOG.warning("%s", line)
    except DlmsError as error:
        _LOG.error("the configuration stays as it was: %s", error)


async def _read_again(host: SiteHost, load: Callable[[], Config | Site], apply: bool) -> list[str]:
    """Read the file and do what can be done while running; return what came of it, a line each."""
    told = await host.apply(load(), clearing=apply)
    settle()
    return [*told, "the configuration was read again"]


def _allow_files(wanted: int) -> None:
    """Let the process hold so many files open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with suppress(OSError, ValueError):
            limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
