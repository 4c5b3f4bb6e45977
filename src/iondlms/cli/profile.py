"""`iondlms profile`: rows of the load profile, the billing data, or any other profile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import click

from iondlms.cli.completion import offer_columns, offer_profiles
from iondlms.cli.options import Asker, instant_of, meter_options, output_option
from iondlms.cli.output import Column, Form, Table, moment, write
from iondlms.cli.progress import progress
from iondlms.cli.refusals import refusing
from iondlms.client import Profile, ProfileRow, StatusWord, TransferBroken
from iondlms.client.blocking import Client
from iondlms.errors import LocalError

__all__ = ["profile", "profile_table", "status_words"]

INVALID = 0xFFFF


@click.command()
@meter_options
@click.argument("name", metavar="load|billing|OBIS", shell_complete=offer_profiles)
@click.option("--from", "start", metavar="T", help="First instant; without offset the meter's local time.")
@click.option("--to", "end", metavar="T", help="Last instant, itself included.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="The N newest rows.")
@click.option("--entries", metavar="A-B", help="Rows by number, the oldest is 1; `A-` goes to the newest.")
@click.option(
    "--columns",
    multiple=True,
    metavar="NAMES",
    shell_complete=offer_columns,
    help="Only these: names or OBIS codes, by commas.",
)
@output_option
@click.option("--raw", is_flag=True, help="Integers as sent, not scaled.")
@click.option("--utc", is_flag=True, help="Times in UTC; otherwise as the meter shows them.")
@click.option("-q", "--quiet", "--no-progress", is_flag=True, help="No progress on stderr.")
def profile(
    asker: Asker,
    name: str,
    start: str | None,
    end: str | None,
    last: int | None,
    entries: str | None,
    columns: tuple[str, ...],
    form: Form,
    raw: bool,
    utc: bool,
    quiet: bool,
) -> None:
    """Read a profile: all of it, a range of time, or rows by number.

    \b
    iondlms profile "tcp://127.0.0.1:4059?unit=100" load --last 96
    iondlms profile "tcp://127.0.0.1:4059?unit=100" billing --from 2026-10-01 --to 2026-11-01 -o csv
    iondlms profile "tcp://127.0.0.1:4059?unit=100" load --from -24h --columns kWh-del-int,kWh-rec-int
    """
    chosen = [column.strip() for group in columns for column in group.split(",") if column.strip()]
    first = None if start is None else instant_of(start, "--from")
    final = None if end is None else instant_of(end, "--to")
    numbers = None if entries is None else _numbers(entries)
    _check_order(first, final)

    def came(part: Profile | None, why: str = "") -> None:
        if part is not None and part.rows:
            write(profile_table(part, raw=raw, utc=utc), form)
            click.echo(f"note: {why}the {len(part.rows)} rows that came are shown", err=True)

    reading: Client | None = None
    found: Profile | None = None
    try:
        with refusing(name), asker.meter() as meter, progress(quiet) as report:
            reading = meter
            found = meter.profile(name, first, final, numbers, chosen, last=last, progress=report)
    except TransferBroken as error:
        came(error.profile)
        raise
    except (KeyboardInterrupt, SystemExit):  # the line is given back already
        came(found or (None if reading is None else reading.rescued), "interrupted; ")
        raise
    if not found.rows:
        click.echo("note: no rows", err=True)
    for note in found.notes:
        if note == reading.session.doubt:
            continue  # said when the meter answered
        click.echo(f"note: {note}", err=True)
    try:
        write(profile_table(found, raw=raw, utc=utc), form)
    except KeyboardInterrupt:
        click.echo(
            f"note: interrupted; {len(found.rows)} rows came, and those until here are shown", err=True
        )
        raise


def _check_order(first: datetime | None, final: datetime | None) -> None:
    if first is None or final is None or (first.tzinfo is None) != (final.tzinfo is None):
        return
    if final < first:
        raise LocalError(f"--to {moment(final)} is before --from {moment(first)}")


def _numbers(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:-(\d*))?", text.strip())
    if match is None or int(match[1]) < 1:
        raise LocalError(f"--entries {text!r}: write it as 1-96, or 97- for all from there on")
    first = int(match[1])
    last = first if match[2] is None else int(match[2] or 0)
    if 0 < last < first:
        raise LocalError(f"--entries {text!r}: the last row comes before the first")
    return first, last


def status_words(status: StatusWord | None) -> str:
    """Return the status word in words: empty where nothing happened, `invalid` for 0xFFFF."""
    if status is None:
        return "invalid"
    words = [(flag.name or "").lower().replace("_", " ") for flag in StatusWord if flag in status]
    return ", ".join(words)


def profile_table(found: Profile, *, raw: bool = False, utc: bool = False) -> Table:
    """Return a profile as a table: time, status as number and in words, values with their units.

    `raw` gives the integers that were sent, and no units.
    """
    columns = [Column("time")]
    if found.has_status:
        columns += [Column("status"), Column("status_words")]
    columns += [Column(column.title, "" if raw else column.unit) for column in found.columns]
    return Table(columns, _rows(found, raw=raw, utc=utc))


def _rows(found: Profile, *, raw: bool, utc: bool) -> Iterator[list[Any]]:
    scalers = [column.scaler for column in found.columns]
    for row in found.rows:
        status: list[Any] = []
        if found.has_status:
            status = [INVALID if row.status is None else int(row.status), status_words(row.status)]
        values = row.values if not raw else map(_as_sent, row.values, scalers)
        yield [_time(row, utc), *status, *values]


def _as_sent(value: Any, scaler: int | None) -> Any:
    return int(value.scaleb(-(scaler or 0))) if isinstance(value, Decimal) else value


def _time(row: ProfileRow, utc: bool) -> str | None:
    """Return the time as the meter showed it, with its offset; in UTC where that was asked for."""
    local = row.local
    if row.instant is not None and (utc or local is None):
        return moment(row.instant.astimezone(UTC))
    if row.instant is not None and local is not None and local.deviation is not None:
        return moment(row.instant.astimezone(timezone(timedelta(minutes=-local.deviation))))
    return None if local is None else str(local).replace(" ", "T")
