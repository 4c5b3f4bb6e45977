"""`iondlms web`: the front panel of a running meter."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import click

from iondlms.cli.ctl import socket_of
from iondlms.client.url import seconds_of
from iondlms.errors import LocalError, extra_hint
from iondlms.ports.loop import run

__all__ = ["web"]


@click.command()
@click.argument("place", metavar="DATA_DIR|SOCKET", type=click.Path(path_type=Path))
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8080", show_default=True)
@click.option("-s", "-u", "--unit", type=int, help="Unit ID of the meter to show first.")
@click.option(
    "--line", metavar="NAME", default="", help="Its line, where meters of several have that Unit ID."
)
@click.option("--every", metavar="T", default="1s", show_default=True, help="How often the meter is asked.")
@click.option("--host-name", "names", metavar="NAME", multiple=True, help="Another name it is asked for by.")
@click.option("-v", "--verbose", count=True, help="Log requests; twice: everything.")
def web(
    place: Path, listen: str, unit: int | None, line: str, every: str, names: tuple[str, ...], verbose: int
) -> None:
    """Show the meter that runs on DATA_DIR, or on the socket of `serve --control`, as a web page.

    Prints `listening URL`, then `ready`, and runs until SIGTERM or Ctrl-C. The page only looks: it has the
    values of the meter, live, its recorders, events and ports, and what `iondlms ctl` does is not offered. A
    meter that ends and comes back is shown as gone meanwhile. It needs the extra `web`.

    \b
    iondlms web ./meter
    iondlms web ./meter --listen 127.0.0.1:8090 --every 5s
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=level)
    try:
        from iondlms.web import Listening, serve  # here: the help needs no extra
    except ImportError as error:
        if (error.name or "").startswith("iondlms"):
            raise
        raise LocalError(
            f"the front panel needs the extra 'web'; install it with: {extra_hint('web')}"
        ) from error
    path, every_s = socket_of(place), seconds_of("--every", every)
    if not 0.1 <= every_s <= 3600:
        raise LocalError(f"--every {every}: write 100ms to 1h")
    listening = Listening.parse(listen)
    for name in names:
        if not re.fullmatch(r"[\w.-]+", name):
            raise LocalError(f"--host-name {name}: write the name alone, such as panel.example")

    def ready(there: Listening) -> None:
        click.echo(f"listening {there.url}")
        click.echo("ready")

    if not listening.loopback:
        click.echo(
            f"W! anyone who reaches {listen} can look at the meter: the page asks for no password", err=True
        )
    run(
        serve(
            path,
            listening,
            unit=unit,
            line=line,
            every_s=every_s,
            names=names,
            ready=ready,
            log_requests=bool(verbose),
        )
    )
