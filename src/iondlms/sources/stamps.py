"""Time stamps as recorders write them: their form found out, local time turned into UTC.

When daylight saving ends, an hour of local stamps comes twice. Which is which only the order of the rows
can tell, so stamps are read as a whole column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from iondlms.errors import LocalError

__all__ = ["instants", "resolve", "zone_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
# Tried in this order on the whole column; ISO 8601 comes before all of them.
_FORMATS: Final = (
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
)
_TWINS: Final = {"%m/%d/%Y %H:%M": "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S": "%d/%m/%Y %H:%M:%S"}
_SECONDS: Final = re.compile(r"\d{9,10}")
_MILLISECONDS: Final = re.compile(r"\d{12,13}")


def zone_of(name: str) -> ZoneInfo:
    """Return an IANA zone; LocalError if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LocalError(f"no time zone is called {name!r}; names look like America/Los_Angeles") from error


def instants(texts: Sequence[str], zone: ZoneInfo, form: str = "") -> list[int]:
    """Return the UTC milliseconds of a column of stamps, row by row.

    `form` is a strptime format, or empty to find it out: ISO 8601, seconds or milliseconds since 1970,
    or a usual form with slashes or dots. A stamp that brings its own offset needs no zone. LocalError
    names the row, from 0, that cannot be read.
    """
    if not form and texts:
        for pattern, unit in ((_SECONDS, 1000), (_MILLISECONDS, 1)):
            if all(map(pattern.fullmatch, texts)):
                return [int(text) * unit for text in texts]
    times = _read(texts, form)
    aware = [each.tzinfo is not None for each in times]
    if all(aware):
        return [(each - _EPOCH) // _MS for each in times]
    if any(aware):
        raise LocalError(f"row {aware.index(True)} has an offset from UTC and row {aware.index(False)} none")
    return resolve(times, zone)


def resolve(times: Sequence[datetime], zone: ZoneInfo) -> list[int]:
    """Return the UTC milliseconds of local times, row by row, oldest or newest first.

    In the hour that comes twice, rows in the order in which they were made tell by their going back
    where its second time begins. Rows sorted by their stamps come in pairs, the earlier one first (or,
    newest first, last). A stamp that is there once, and that no neighbour places, is of the first time.
    LocalError for a stamp in the hour that daylight saving skips, and for one that comes too often.
    """
    ups = sum(a < b for a, b in pairwise(times))
    newest_first = sum(a > b for a, b in pairwise(times)) > ups
    order = range(len(times) - 1, -1, -1) if newest_first else range(len(times))
    found = [0] * len(times)
    run: list[tuple[int, int, int]] = []  # row and its two instants, within one hour that comes twice
    for row in order:
        time = times[row]
        first = (time.replace(tzinfo=zone) - _EPOCH) // _MS
        second = (time.replace(tzinfo=zone, fold=1) - _EPOCH) // _MS
        if second < first:
            raise LocalError(
                f"row {row}: {time} does not exist in {zone.key}, daylight saving skips it;"
                " are the stamps in standard time (a zone like Etc/GMT+8) or in UTC?"
            )
        if run and (second == first or abs(run[-1][1] - first) > 86_400_000):
            _settle(run, times, found)
            run = []
        found[row] = first
        if second != first:
            run.append((row, first, second))
    _settle(run, times, found)
    return found


def _settle(run: list[tuple[int, int, int]], times: Sequence[datetime], found: list[int]) -> None:
    """Place the rows of an hour that comes twice, given oldest first."""
    last = -1
    placed: dict[int, int] = {}
    for row, first, second in run:
        last = first if first > last else second if second > last else -1
        if last < 0:
            break
        placed[row] = last
    if len(placed) < len(run):
        # Sorted by stamp: as rows made in order, time would go back.
        placed, seen = {}, set[int]()
        for row, first, second in run:
            instant = second if first in seen else first
            if instant in seen:
                raise LocalError(f"row {row}: {times[row]} is there more than twice")
            seen.add(instant)
            placed[row] = instant
    for row, instant in placed.items():
        found[row] = instant


def _read(texts: Sequence[str], form: str) -> list[datetime]:
    if form:
        return _read_as(texts, form)
    fault = ""
    for each in ("", *_FORMATS):
        try:
            times = _read_as(texts, each)
        except LocalError as error:
            fault = fault or str(error)
            continue
        twin = _TWINS.get(each)
        if twin is not None and _fits(texts, twin):
            raise LocalError(f"the stamps may be month/day or day/month; set the time format, as in {each!r}")
        return times
    raise LocalError(f"{fault}; set the time format, as in {_FORMATS[0]!r}")


def _read_as(texts: Sequence[str], form: str) -> list[datetime]:
    times = []
    for row, text in enumerate(texts):
        try:
            times.append(datetime.strptime(text, form) if form else datetime.fromisoformat(text))
        except ValueError as error:
            raise LocalError(f"row {row}: {text!r} is no time {f'like {form!r}' if form else ''}") from error
    return times


def _fits(texts: Sequence[str], form: str) -> bool:
    try:
        _read_as(texts, form)
    except LocalError:
        return False
    return True
