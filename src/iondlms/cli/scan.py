"""`iondlms scan`: somebody answers on that line; how does he want to be asked?"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, get_args

import click

from iondlms.cli.options import output_option, password_of
from iondlms.cli.output import Column, Form, Table, tenths, write
from iondlms.cli.stopping import stopped_politely
from iondlms.cli.tracing import Trace
from iondlms.client import Hooks, NoAnswer, Target
from iondlms.client.blocking import open_port
from iondlms.client.scan import UNITS, Found, Scan, Scanner
from iondlms.client.url import seconds_of
from iondlms.errors import LocalError
from iondlms.ports.serial import Framing as Characters

__all__ = ["scan"]

_COLUMNS = (
    "url", "name", "framing", "baud", "characters", "sign_on", "unit", "address", "client", "clients",
    "clock", "clock_apart_s",
)  # fmt: skip


@click.command()
@click.argument("url", metavar="URL|DEVICE|HOST")
@click.option("--units", metavar="LIST", help="Unit IDs, as 1-247 or 1,100-103; default: the usual ones.")
@click.option("--clients", metavar="LIST", default="16,1", show_default=True, help="Client SAPs.")
@click.option("--bauds", metavar="LIST", help="As 9600,19200; default: 300 to 115200, the usual ones first.")
@click.option("--framings", metavar="LIST", help="As 8N1,8E1; default: these and 8O1.")
@click.option("--fast", is_flag=True, help="Usual bauds, 8N1, addresses of four octets; short waits.")
@click.option("--all", "everything", is_flag=True, help="Go on behind the first meter: a line with many.")
@click.option("--timeout", metavar="T", help="Wait so long for each answer, as 500ms; default by baud.")
@click.option("--password-file", type=click.Path(path_type=Path), help="For the clients that want one.")
@click.option("-t", "--trace", is_flag=True, help="Show the octets on stderr.")
@click.option("--trace-file", type=click.Path(path_type=Path), help="Keep them, as .txt or .jsonl.")
@click.option("-q", "--quiet", is_flag=True, help="Do not tell on stderr what is being tried.")
@output_option
def scan(url: str, form: Form, password_file: Path | None, quiet: bool, **options: Any) -> None:
    """Find out how a meter wants to be asked, and print the URL for it.

    Tries baud, parity, Unit ID, length of the address, HDLC and wrapper, the sign-on of the optical port, and
    which clients are let in. It sets nothing in the meter, waits for each answer about as long as it takes,
    and stops at the first meter. Ends with 3 if there is none.

    \b
    iondlms scan /dev/ttyUSB0
    iondlms scan serial:/dev/ttyUSB0 --units 1-247 --all
    iondlms scan optical:/dev/ttyUSB0 --fast
    iondlms scan 192.168.1.20
    iondlms scan "modem:/dev/ttyS0?dial=5551234" --units 1-31 --all
    """
    plan = _plan(url, **options)
    password = password_of(None, password_file)
    trace = Trace(options["trace"], False, options["trace_file"])
    hooks = Hooks(on_octets=trace.octets) if trace.active else Hooks()

    def report(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    scanner = Scanner(plan, partial(open_port, watch=hooks.on_octets), report, password=password, hooks=hooks)
    found: list[Found] = []
    try:
        with stopped_politely():
            for each in scanner.run():
                found.append(each)
                if form == "table":
                    click.echo(_told(each))
    finally:
        trace.close()
        if form != "table":
            write(Table([Column(name) for name in _COLUMNS], map(_row, found)), form)
    if not found:
        raise NoAnswer(f"nobody answered ({scanner.knocks} addresses tried): {_advice(plan)}")


def _plan(
    url: str,
    units: str | None,
    clients: str,
    bauds: str | None,
    framings: str | None,
    fast: bool,
    everything: bool,
    timeout: str | None,
    **_: Any,
) -> Scan:
    target = Target.parse(_url(url))
    given = {word.partition("=")[0] for word in url.partition("?")[2].split("&")}
    unit_ids = UNITS if units is None else _numbers("--units", units)
    if units is None and "unit" in given:
        unit_ids = (target.unit,)
    speeds: tuple[int, ...] = ()
    characters: tuple[Characters, ...] = ()
    if target.line is not None:
        speeds = (target.line.settings.baud,) if "baud" in given else ()
        characters = (target.line.settings.framing,) if "framing" in given else ()
    speeds = speeds if bauds is None else _numbers("--bauds", bauds)
    characters = characters if framings is None else _framings(framings)
    saps = (target.client,) if "client" in given else _numbers("--clients", clients)
    addresses = (target.address,) if "address" in given else (4, 2, 1)
    patience_s = None if timeout is None else seconds_of("--timeout", timeout)
    return Scan(target, unit_ids, saps, speeds, characters, addresses, fast, everything, patience_s)


def _url(text: str) -> str:
    """Return a URL for what a technician types: a device, a host, or a URL."""
    if text.startswith(("/", ".")):
        return f"serial:{text}"
    if "://" in text or text.partition(":")[0].lower() in ("serial", "optical", "modem"):
        return text
    if Path(text.partition("?")[0]).is_char_device():
        raise LocalError(f"{text} is a device here: write ./{text} or serial:{text}; a host is tcp://{text}")
    return f"tcp://{text}"


def _numbers(option: str, text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise LocalError(f"{option} {text!r} is no list of numbers; write it as 1-247 or 1,100-103")
        low, high = int(first), int(last or first)
        if high < low or high > 1_000_000:
            raise LocalError(f"{option} {part.strip()!r} is no range; write it as 1-247")
        if high - low > 0x4000:
            raise LocalError(f"{option} {part.strip()!r} is too much for one scan")
        numbers += range(low, high + 1)
    return tuple(dict.fromkeys(numbers))


def _framings(text: str) -> tuple[Characters, ...]:
    known: tuple[Characters, ...] = get_args(Characters)
    words = [part.strip().upper() for part in text.split(",")]
    unknown = [word for word in words if word not in known]
    if unknown:
        raise LocalError(f"--framings {unknown[0]!r}: there are {', '.join(known)}")
    return tuple(word for word in known if word in words)


def _told(found: Found) -> str:
    target, line = found.target, found.target.line
    way = "the wrapper, which names no unit" if target.framing == "wrapper" else f"HDLC, unit {target.unit}"
    if target.address != 4:
        way += f", address of {target.address} octet{'s' * (target.address != 1)}"
    if found.identification is not None:
        way += f", behind a sign-on ({found.identification})"
    elif line is not None and line.call is None:
        way += f", {line.settings.baud} {line.settings.framing}"
    lines = [f"{found.name or 'a meter'} answers at {target.place}: {way}"]
    lines += [f"  client {client.client}: {client.says}" for client in found.clients]
    apart = _apart(found)
    if apart is not None:
        lines.append(f"  clock {abs(apart):.1f} s {'ahead' if apart >= 0 else 'behind'}")
    return "\n".join([*lines, f"  {quote(str(target))}"])  # as a shell takes it


def _apart(found: Found) -> float | None:
    return None if found.clock is None else (found.clock - datetime.now(UTC)).total_seconds()


def _row(found: Found) -> list[Any]:
    target, line = found.target, found.target.line
    apart = _apart(found)
    return [
        str(target),
        found.name,
        target.framing,
        None if line is None else line.settings.baud,
        None if line is None else line.settings.framing,
        found.identification,
        None if target.framing == "wrapper" else target.unit,
        None if target.framing == "wrapper" else target.address,
        target.client,
        [f"{client.client}: {client.says}" for client in found.clients],
        found.clock,
        None if apart is None else tenths(apart),
    ]


def _advice(plan: Scan) -> str:
    line = plan.target.line
    if line is None:
        return "check that DLMS over Ethernet is on and that no other client is connected; try --units 1-9999"
    more = "try without --fast" if plan.fast else "try --units 1-247"
    if plan.bauds:
        more += ", or other --bauds"
    return f"check the wires (A and B), the power and that the port is set to DLMS; {more}"
