"""`iondlms events`: the event log of a meter, over DLMS or out of its data folder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from iondlms.cli.export import utc_ms_of
from iondlms.cli.options import Asker, instant_of, meter_or_folder_options, output_option
from iondlms.cli.output import Column, Form, Table, write
from iondlms.errors import AccessError, LocalError
from iondlms.ion import Priority
from iondlms.store import Archive, meters_in

__all__ = ["events"]

_OBIS: Final = "1-0:99.98.0*255"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NAMED: Final = 20  # meters in an error's line
_HUNDREDTH: Final = timedelta(milliseconds=10)
_WORDS: Final = {int(each): each.name.lower().replace("_", " ") for each in Priority}


class _Entry(NamedTuple):
    meter: str
    when: datetime | None
    priority: int
    cause: str
    effect: str


@click.command()
@meter_or_folder_options
@click.option("--priority", metavar="P", help="This priority and above: a number, or reset ... failure.")
@click.option("--from", "start", metavar="T", help="First instant; without offset UTC.")
@click.option("--to", "end", metavar="T", help="Last instant, itself included.")
@click.option("--line", metavar="NAME", help="Of a folder of several lines: the meter's line.")
@click.option("--obis", default=_OBIS, show_default=True, help="Of the events' profile, where a URL is read.")
@output_option
def events(
    where: Asker | Path,
    unit: int | None,
    line: str | None,
    priority: str | None,
    start: str | None,
    end: str | None,
    obis: str,
    form: Form,
) -> None:
    """Show what happened to a meter, newest last, in UTC.

    The priorities are reset (5), setup change (10), information (25), warning (30) and failure (255). A data
    folder may be that of a running meter; of several meters, --unit and --line say which. Over DLMS the meter
    must have a profile of its events.

    \b
    iondlms events meter --priority warning
    iondlms events "tcp://127.0.0.1:4059?unit=100" --from -24h -o jsonl
    """
    least = 0 if priority is None else _priority(priority)
    first = None if start is None else utc_ms_of(start, "--from")
    last = None if end is None else utc_ms_of(end, "--to")
    if isinstance(where, Path):
        found = list(_of_folder(where, unit, line))
    else:
        if line is not None:
            raise LocalError("--line is of a data folder; a URL names its line itself")
        begin = None if start is None else _aware(start, "--from")
        # Events are shown by hundredths and compared by milliseconds: one more, and then look again.
        beyond = None if end is None else _aware(end, "--to") + _HUNDREDTH
        found = list(_of_meter(where, obis, begin, beyond))
    rows = [entry for entry in found if entry.priority >= least and _within(entry.when, first, last)]
    names = ["time", "priority", "priority_words", "cause", "effect"]
    several = len({entry.meter for entry in found}) > 1
    table = [
        [
            *([entry.meter] if several else []),
            entry.when,
            entry.priority,
            _WORDS.get(entry.priority, ""),
            entry.cause,
            entry.effect,
        ]
        for entry in rows
    ]
    write(Table([Column(name) for name in (["meter", *names] if several else names)], table), form)
    if not rows:
        click.echo("note: no events", err=True)


def _of_folder(folder: Path, unit: int | None, line: str | None) -> Iterator[_Entry]:
    entries: list[_Entry] = []
    for name, each in _meant(meters_in(folder), unit, line).items():
        with Archive.open(each) as archive:
            entries += [
                _Entry(name, _EPOCH + timedelta(milliseconds=event.utc_ms), *event[2:])
                for event in archive.events()
            ]
    # A single meter's stay as they were logged: a clock that was set back is seen.
    several = len({entry.meter for entry in entries}) > 1
    yield from sorted(entries, key=lambda entry: entry.when or _EPOCH) if several else entries


def _meant(meters: dict[str, Path], unit: int | None, line: str | None) -> dict[str, Path]:
    """Return the folders of the meters that were asked for; LocalError where there are none."""
    if unit is None and line is None:
        return meters
    if "" in meters:
        raise LocalError("the folder is of one meter: --unit and --line are for those of several")
    places = {name: name.split("/") for name in meters}  # LINE/NNNN
    found = {
        name: each
        for name, each in meters.items()
        if (unit is None or (places[name][-1].isdecimal() and int(places[name][-1]) == unit))
        and line in (None, places[name][0])
    }
    if not found:
        what = " ".join(
            f"{option} {value}" for option, value in (("--unit", unit), ("--line", line)) if value is not None
        )
        raise LocalError(f"no meter has {what}; there are {', '.join(list(meters)[:_MOST_NAMED])}")
    return found


def _of_meter(asker: Asker, obis: str, start: datetime | None, end: datetime | None) -> Iterator[_Entry]:
    with asker.meter() as meter:
        try:
            found = meter.profile(obis, start, end)
        except AccessError as error:
            raise type(error)(
                f"the meter shows no events at {obis}: {error};"
                f' one of iondlms does with `profile_obis = "{obis}"` in [event_log]'
            ) from error
    for row in found.rows:
        values = [_plain(value) for value in row.values]
        if len(values) != 3 or not isinstance(values[0], int):
            raise LocalError(
                f"{obis} is no profile of events: its columns are not clock, priority, cause, effect"
            )
        yield _Entry("", row.instant, values[0], str(values[1]), str(values[2]))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    try:
        return int(value) if not isinstance(value, str) else value
    except (TypeError, ValueError):
        return value


def _aware(text: str, option: str) -> datetime:
    when = instant_of(text, option)
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _within(when: datetime | None, first: int | None, last: int | None) -> bool:
    if when is None:
        return first is None and last is None
    ms = (when - _EPOCH) // timedelta(milliseconds=1)
    return (first is None or ms >= first) and (last is None or ms <= last)


def _priority(text: str) -> int:
    word = text.strip().lower().replace("-", " ").replace("_", " ")
    if word.isdecimal() and int(word) <= 255:
        return int(word)
    for number, name in _WORDS.items():
        if name == word:
            return number
    raise LocalError(f"--priority {text}: write 0 to 255, or {', '.join(_WORDS.values())}")
