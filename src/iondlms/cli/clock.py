"""`iondlms clock`: read the meter's time, or set it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from iondlms.cli.options import Asker, instant_of, meter_options, output_option
from iondlms.cli.output import Column, Form, Table, moment, write
from iondlms.cli.refusals import refusing
from iondlms.client import ClockReading, ClockStep
from iondlms.client.url import seconds_of
from iondlms.codec.datetimes import ClockStatus
from iondlms.errors import LocalError, ReadWriteDenied

__all__ = ["clock"]

_ENDS_TOLD: Final = 4
_FORMS: Final = "now, or ISO 8601 with its offset, as 2026-11-22T14:00:00+01:00 or 2026-11-22T13:00:00Z"
_DENIED: Final = (
    "the port may not be the meter's Time Sync Source (then use that one), "
    "or client 1 with its password is needed"
)


@click.command()
@meter_options
@click.option("--set", "wanted", metavar="now|T", help="Set it, as client 1, to ISO 8601 with its offset.")
@click.option("--dry-run", is_flag=True, help="With --set: say all that would happen, and send nothing.")
@click.option("--limit", metavar="T", default="5m", show_default=True, help="The longest step, either way.")
@click.option("--force", is_flag=True, help="With --set: whatever the step.")
@output_option
@click.option("--utc", is_flag=True, help="Times in UTC.")
def clock(
    asker: Asker, wanted: str | None, dry_run: bool, limit: str, force: bool, form: Form, utc: bool
) -> None:
    """Read the clock, or set it.

    Before it is set it is told how far it is off, and which intervals of the load profile that touches: a
    step forward leaves out the rows it jumps over, a step back makes some a second time. A step of more than
    --limit is refused without --force: a clock so far off is a reason to look first.

    \b
    iondlms clock "tcp://127.0.0.1:4059?unit=100"
    iondlms clock "tcp://127.0.0.1:4059?unit=100" --set now --password-file meter.password
    """
    if wanted is None:
        if dry_run or force:
            raise LocalError(f"{'--dry-run' if dry_run else '--force'} goes with --set")
        with refusing("clock"), asker.meter() as meter:
            reading = meter.clock()
        _tell({"": reading}, form, utc)
        if reading.suggests_inverted(datetime.now(UTC)):
            click.echo("W! the deviation seems to have the wrong sign; try inverted=1 in the URL", err=True)
        return
    when = None if wanted == "now" else _aware(wanted)
    most = timedelta(seconds=seconds_of("--limit", limit))
    with asker.meter(setting=True) as meter:
        # "now" is when the association stands, not when the command was typed.
        with refusing("clock"):
            step = meter.clock_step(datetime.now(UTC) if when is None else when)
        for line in _effects(step):
            click.echo(line, err=True)
        # Of the wrong meter no force makes the right one.
        doubt = meter.session.doubt
        refusal = f"nothing is set: {doubt}" if doubt else None if force else _refusal(step, most)
        if refusal is not None:
            if not dry_run:
                raise LocalError(refusal)
            click.echo(f"W! without --dry-run: {refusal}", err=True)
        try:
            setting = meter.set_clock(
                datetime.now(UTC) if when is None else when,
                dry_run=dry_run,
                limit=None if force or dry_run else most,
            )
        except ReadWriteDenied as error:
            raise ReadWriteDenied(f"{error}; {_DENIED}") from error
    click.echo(f"{'would send' if dry_run else 'sent'} {setting.sent}", err=True)
    readings = {"before": setting.before}
    if setting.after is not None:
        readings["after"] = setting.after
    _tell(readings, form, utc)


def _aware(text: str) -> datetime:
    try:
        when = instant_of(text, "--set")
    except LocalError as error:
        raise LocalError(f"--set {text!r} is no time to set; write {_FORMS}") from error
    if when.tzinfo is None:
        raise LocalError(
            f"--set {text}: a clock is set to an instant; add the offset, as in {text}+01:00 or Z"
        )
    return when


def _effects(step: ClockStep) -> Iterator[str]:
    """Yield what setting the clock does, in words."""
    length = step.length
    if length is None:
        yield "how far the clock is off cannot be told: the meter does not say how its time is off UTC"
        return
    direction = "forward" if length > timedelta(0) else "back"
    shown = moment(step.before.instant, utc=True)
    yield f"the meter shows {shown}; its clock goes {_span(length)} {direction}"
    touched = step.touched
    if touched is None:
        what = "its capture period" if step.period is None else "its time zone"
        yield f"which intervals of the load profile that touches cannot be told: {what} cannot be read"
    elif not touched and not step.period:
        yield "no Periodic Timer drives the load profile: it has no intervals"
    elif not touched:
        yield f"no interval of the load profile ({touched.step} s) ends within the step"
    else:
        times = [datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%d %H:%M:%S") for each in _some(touched)]
        if len(touched) > len(times):
            times.insert(-1, "...")
        what = "left out" if length > timedelta(0) else "made a second time"
        rows = f"rows of the load profile ({touched.step} s) {what}: {len(touched)}"
        yield f"{rows}, of {', '.join(times)} UTC"


def _some(each: range) -> list[int]:
    return list(each) if len(each) <= _ENDS_TOLD else [*each[: _ENDS_TOLD - 1], each[-1]]


def _refusal(step: ClockStep, most: timedelta) -> str | None:
    """Return why the clock should not be set without --force."""
    length = step.length
    if length is None:
        return "the step cannot be told, so --limit cannot be kept; --force sets the clock all the same"
    if abs(length) <= most:
        return None
    hint = ""
    if step.before.suggests_inverted(step.wanted):
        hint = ", or inverted=1 in the URL, since the deviation seems to have the wrong sign"
    return (
        f"a step of {_span(length)} is more than {_span(most)}; look why, then give --force or --limit{hint}"
    )


def _span(length: timedelta) -> str:
    seconds = abs(length.total_seconds())
    return f"{seconds:.2f} s" if seconds < 120 else f"{seconds:.0f} s ({timedelta(seconds=round(seconds))})"


def _tell(readings: dict[str, ClockReading], form: Form, utc: bool) -> None:
    rows: list[list[Any]] = []
    now = datetime.now(UTC)
    for which, reading in readings.items():
        apart = None if reading.instant is None else round((reading.instant - now).total_seconds(), 2) + 0.0
        shown = moment(reading.instant, utc=True) if utc else str(reading.local)
        row: list[Any] = [
            shown,
            moment(reading.instant, utc=True),
            reading.deviation,
            _status(reading),
            apart,
        ]
        rows.append([which, *row] if len(readings) > 1 or which else row)
    names = ["time", "utc", "deviation_min", "status", "clock_apart_s"]
    if rows and len(rows[0]) > len(names):
        names.insert(0, "when")
    write(Table([Column(name) for name in names], rows), form)


def _status(reading: ClockReading) -> str:
    if reading.status is None:
        return "not specified"
    words = [(flag.name or "").lower().replace("_", " ") for flag in ClockStatus if flag in reading.status]
    return ", ".join(words) or "ok"
