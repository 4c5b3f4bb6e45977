"""`iondlms clock`: read the meter's time, or set it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from iondlms.cli.options import Asker, instant_of, meter_options, output_option
from iondlms.cli.output import Column, Form, Table, moment, write
from iondlms.client import ClockReading
from iondlms.codec.datetimes import ClockStatus
from iondlms.errors import LocalError

__all__ = ["clock"]


@click.command()
@meter_options
@click.option("--set", "wanted", metavar="now|T", help="Set it, as client 1: to now, or to an ISO 8601 time.")
@click.option("--dry-run", is_flag=True, help="With --set: say what would be sent, and send nothing.")
@output_option
@click.option("--utc", is_flag=True, help="Times in UTC.")
def clock(asker: Asker, wanted: str | None, dry_run: bool, form: Form, utc: bool) -> None:
    """Read the clock, or set it.

    \b
    iondlms clock tcp://127.0.0.1:4059?unit=100
    iondlms clock tcp://127.0.0.1:4059?unit=100 --set now --password-file meter.password
    """
    if wanted is None:
        if dry_run:
            raise LocalError("--dry-run goes with --set")
        with asker.meter() as meter:
            reading = meter.clock()
        _tell({"": reading}, form, utc)
        if reading.suggests_inverted(datetime.now(UTC)):
            click.echo("W! the deviation seems to have the wrong sign; try inverted=1 in the URL", err=True)
        return
    when = None if wanted == "now" else _aware(wanted)
    with asker.meter(setting=True) as meter:
        # "now" is when the association stands, not when the command was typed.
        setting = meter.set_clock(datetime.now(UTC) if when is None else when, dry_run=dry_run)
    click.echo(f"{'would send' if dry_run else 'sent'} {setting.sent}", err=True)
    readings = {"before": setting.before}
    if setting.after is not None:
        readings["after"] = setting.after
    _tell(readings, form, utc)


def _aware(text: str) -> datetime:
    when = instant_of(text, "--set")
    if when.tzinfo is None:
        raise LocalError(
            f"--set {text}: a clock is set to an instant; add the offset, as in {text}+01:00 or Z"
        )
    return when


def _tell(readings: dict[str, ClockReading], form: Form, utc: bool) -> None:
    rows: list[list[Any]] = []
    now = datetime.now(UTC)
    for which, reading in readings.items():
        apart = None if reading.instant is None else round((reading.instant - now).total_seconds(), 2)
        shown = moment(reading.instant, utc=True) if utc else str(reading.local)
        row: list[Any] = [
            shown,
            moment(reading.instant, utc=True),
            reading.deviation,
            _status(reading),
            apart,
        ]
        rows.append([which, *row] if len(readings) > 1 or which else row)
    names = ["time", "utc", "deviation_min", "status", "apart_s"]
    if rows and len(rows[0]) > len(names):
        names.insert(0, "when")
    write(Table([Column(name) for name in names], rows), form)


def _status(reading: ClockReading) -> str:
    if reading.status is None:
        return "not specified"
    words = [(flag.name or "").lower().replace("_", " ") for flag in ClockStatus if flag in reading.status]
    return ", ".join(words) or "ok"
