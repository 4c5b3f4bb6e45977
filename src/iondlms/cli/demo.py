"""`iondlms demo`: a meter filled on a fast clock, read by a client, compared with what it recorded."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

from iondlms.cli.output import Column, Table, write
from iondlms.cli.profile import profile_table
from iondlms.client import ClockReading, Hooks, Profile, connect
from iondlms.codec.datetimes import milliseconds_of
from iondlms.meter.config import load
from iondlms.meter.host import MeterHost
from iondlms.ports.loop import run

__all__ = ["demo"]

_HOURS: Final = 25  # a day, and the hour that the clock needs to come to it
_FILL_S: Final = 2.0  # of our time
_CUT: Final = 0.35  # of the way: an hour without power, so that status words have something to say
_OUTAGE_MS: Final = 3_600_000
_LANDING: Final = (
    (8000.0, 1_800_000),
    (2000.0, 600_000),
    (20.0, 5_000),
    (1.0, 0),
)  # next speed, at milliseconds before the present
_SHOWN_ROWS: Final = 8
_PLOT_ROWS: Final = 6
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one client got over one framing."""

    framing: str
    name: str
    services: str
    max_pdu: int | None
    clock: ClockReading
    apart_s: float  # the meter's clock against ours
    load: Profile
    billing: Profile
    octets: int
    seconds: float


@click.command()
@click.option("--model", default="ION8650", show_default=True, help="ION9000, ION8650, ION7400 or ION8800.")
@click.option("--seed", default=7, show_default=True, help="Of the simulated load.")
@click.option("--zone", default="Europe/Madrid", show_default=True, help="The meter's time zone.")
def demo(model: str, seed: int, zone: str) -> int:
    """Start a meter on a free port, let it record a day in two seconds, and read it over TCP.

    Ends 0 if what was read is what was recorded, 1 if not, saying what differs.
    """
    return run(_demo(model, seed, zone))


async def _demo(model: str, seed: int, zone: str) -> int:
    with tempfile.TemporaryDirectory(prefix="iondlms-demo-") as folder:
        settings = {"model": model, "seed": seed, "clock.zone": zone, "data": Path(folder) / "meter"}
        config = load(None, [*settings.items(), ("port.ETHERNET.listen", "127.0.0.1:0")])
        begin_ms = _now_ms() - _HOURS * 3_600_000
        async with MeterHost(config, utc_ms=begin_ms, speed=_HOURS * 3600 / _FILL_S) as host:
            url = host.ports[0].url
            click.echo(f"A virtual {model} listens at {url}, Unit ID {config.port[0].unit_id}.")
            await _fill(host, begin_ms)
            readings = [await _read(url, framing) for framing in ("hdlc", "wrapper")]
            faults = [fault for reading in readings for fault in _compare(host, reading)]
    _show(readings)
    for fault in faults:
        click.echo(f"differs: {fault}", err=True)
    rows = sum(len(reading.load) + len(reading.billing) for reading in readings)
    if not faults:
        click.echo(f"All {rows} rows that were read, over HDLC and over the wrapper, are as recorded.")
    return 1 if faults else 0


async def _fill(host: MeterHost, begin_ms: int) -> None:
    """Let the meter record on its fast clock up to the present, with an hour without power on the way."""
    meter, loop = host.meter, asyncio.get_running_loop()
    span_ms = _HOURS * 3_600_000

    async def until(utc_ms: float) -> float:
        while (left := utc_ms - meter.present_ms(loop.time())) > 0:
            await asyncio.sleep(left / 1000 / meter.speed)
        return loop.time()

    dark = await until(begin_ms + _CUT * span_ms)
    meter.power_down(dark)
    back_ms = meter.present_ms(dark) + _OUTAGE_MS
    await until(back_ms)
    # At its time, and not now: a busy machine wakes us later, and a millisecond is most of a minute.
    meter.power_up(meter.now_at(back_ms))
    # Ever slower towards the end, for the same reason.
    for speed, left_ms in _LANDING:
        while (left := _now_ms() - meter.present_ms(loop.time()) - left_ms) > 0:
            await asyncio.sleep(left / 1000 / meter.speed)
        meter.run_at(speed, loop.time())
    meter.advance(loop.time())
    await host.settled()
    click.echo(f"It recorded {_HOURS} hours in {_FILL_S:g} seconds, one of them without power.\n")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _read(url: str, framing: str) -> _Reading:
    octets = 0

    def count(_direction: str, piece: bytes, _now: float) -> None:
        nonlocal octets
        octets += len(piece)

    begin = time.perf_counter()
    async with connect(f"{url}?framing={framing}", hooks=Hooks(on_octets=count)) as meter:
        name = (await meter.get("name")).octets().decode("ascii")
        clock = await meter.clock()
        apart_s = 0.0 if clock.instant is None else (clock.instant - datetime.now(UTC)).total_seconds()
        load_profile = await meter.profile("load")
        billing = await meter.profile("billing")
        session = meter.session
        services = ", ".join((flag.name or "").lower().replace("_", "-") for flag in session.conformance)
        max_pdu = session.max_pdu
    seconds = time.perf_counter() - begin
    return _Reading(framing, name, services, max_pdu, clock, apart_s, load_profile, billing, octets, seconds)


def _compare(host: MeterHost, reading: _Reading) -> list[str]:
    """Return how what was read differs from what the recorders hold."""
    faults: list[str] = []
    for name, profile in (("Load Profile", reading.load), ("Billing", reading.billing)):
        recorder = host.meter.ion.recorders[name]
        recorded = [tuple(row) for row in recorder.rows(recorder.log.first, recorder.log.end)]
        read = [_as_recorded(profile, row) for row in profile.rows]
        where = f"{name} over {reading.framing}"
        if len(read) != len(recorded):
            faults.append(f"{where}: {len(read)} rows read, {len(recorded)} recorded")
        faults += [
            f"{where}, row {number}: read {one}, recorded {other}"
            for number, (one, other) in enumerate(zip(read, recorded, strict=False), 1)
            if one != other
        ]
    return faults


def _as_recorded(profile: Profile, row: Any) -> tuple[int, int, tuple[Any, ...]]:
    """Return a typed row as the recorder keeps it: milliseconds, status word, integers of quantity x 1000."""
    values = [
        int(value.scaleb(-(column.scaler or 0))) if isinstance(value, Decimal) else value
        for value, column in zip(row.values, profile.columns, strict=True)
    ]
    status = 0xFFFF if row.status is None else int(row.status)
    return milliseconds_of(row.instant), status, tuple(values)


# --- what a person sees -----------------------------------------------------------------------------


def _show(readings: Sequence[_Reading]) -> None:
    columns = ["", *(reading.framing for reading in readings)]
    facts: list[tuple[str, list[Any]]] = [
        ("logical device", [reading.name for reading in readings]),
        ("largest PDU it takes", [f"{reading.max_pdu} octets" for reading in readings]),
        ("clock", [str(reading.clock.local) for reading in readings]),
        ("its clock is apart", [f"{reading.apart_s:+.2f} s" for reading in readings]),
        ("load profile", [f"{len(reading.load)} rows" for reading in readings]),
        ("billing data", [f"{len(reading.billing)} rows" for reading in readings]),
        ("octets on the line", [f"{reading.octets}" for reading in readings]),
        ("time it took", [f"{reading.seconds * 1000:.0f} ms" for reading in readings]),
    ]
    title = "Association with the public client"
    write(
        Table([Column(name) for name in columns], [[name, *values] for name, values in facts], title), "table"
    )
    first = readings[0]
    click.echo(f"Services: {first.services}\n")
    _show_rows("Load profile", first.load)
    _plot(first.load)
    _show_billing(first.billing)


def _show_rows(title: str, profile: Profile, most: int = _SHOWN_ROWS) -> None:
    """Show the newest rows, and before them those whose status word says something."""
    table = profile_table(profile)
    rows = list(table.rows)
    older = [row for row in rows[:-most] if row[1]]
    shown = [*older, *rows[-most:]]
    write(Table(table.columns, shown, f"{title}: {len(shown)} of {len(rows)} rows"), "table")


def _show_billing(profile: Profile) -> None:
    """Show the newest rows on end: thirteen columns side by side suit no screen."""
    rows = list(profile_table(profile).rows)[-3:]
    heads = [Column("quantity"), Column("unit"), *(Column(row[0]) for row in rows)]
    body = [
        [column.title, column.unit, *(row[3 + index] for row in rows)]
        for index, column in enumerate(profile.columns)
    ]
    write(Table(heads, body, f"Billing data: {len(rows)} of {len(profile)} rows"), "table")


def _plot(profile: Profile) -> None:
    """Plot the last day: energy delivered upwards, received downwards, one column a row."""
    titles = [column.title for column in profile.columns]
    delivered, received = titles.index("kWh-del-int"), titles.index("kWh-rec-int")
    rows = profile.rows[-96:]
    net = [_number(row.values[delivered]) - _number(row.values[received]) for row in rows]
    top, bottom = max(0, *net), max(0, *(-value for value in net))
    scale = max(top, bottom, 1)
    click.echo(f"The last {len(rows)} intervals, kWh delivered above the line and received below it:")
    up = max(1, round(_PLOT_ROWS * top / scale))
    for level in reversed(range(up)):
        label = f"{top / 1000:8.1f} ┤" if level == up - 1 else "         │"
        click.echo(label + "".join(_cell(value * _PLOT_ROWS / scale - level) for value in net))
    click.echo("         ┼" + "─" * len(net))
    for level in range(round(_PLOT_ROWS * bottom / scale + 0.49)):
        last = level == round(_PLOT_ROWS * bottom / scale + 0.49) - 1
        label = f"{-bottom / 1000:8.1f} ┤" if last else "         │"
        # A block that hangs from above: the inverse of what is left of it below.
        line = "".join("█" if -value * _PLOT_ROWS / scale - level > 0.5 else " " for value in net)
        click.echo(label + line)
    click.echo("          " + _hours(rows) + "\n")


def _number(value: object) -> int:
    return int(value) if isinstance(value, Decimal) else 0


def _cell(height: float) -> str:
    return _EIGHTHS[max(0, min(8, round(height * 8)))]


def _hours(rows: Sequence[Any]) -> str:
    """Return the axis: the hour under each row that begins every third."""
    line = [" "] * (len(rows) + 2)
    for index, row in enumerate(rows):
        local = row.local
        if local is not None and local.minute == 0 and local.hour is not None and local.hour % 3 == 0:
            line[index : index + 2] = f"{local.hour:02d}"
    return "".join(line).rstrip()
