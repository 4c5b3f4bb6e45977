"""The two real recordings, whole: replayed by a meter, read over DLMS, and held against the files by DuckDB.

The page docs/replay.md is written from this run; the files may be used but not copied, so that without
them these tests skip.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.meter import replay_page
from tests.meter.replay_page import Day, Recording
from tests.sources.test_real_files import ANGELES, BUILDING, DATA, MICROGRID

from iondlms.client import connect
from iondlms.ion import Status
from iondlms.meter import MeterHost, load

QUARTER = timedelta(minutes=15)
# How far a day of rounded registers may be from the file: less than one Wh at each of its ends.
ONE_WH = Decimal(1)
FILES = [BUILDING, MICROGRID]


@dataclass(frozen=True)
class FromFile:
    """A day as SQL has it: Wh exactly, and rows with a value."""

    delivered: Decimal
    received: Decimal
    rows: int


def by_sql(path: Path) -> dict[date, FromFile]:
    """Energy by local day as written: a mean kW over a quarter of an hour is as many times 250 Wh."""
    rows = duckdb.execute(
        """
        with read as (
            select strptime(DateTime, '%m/%d/%Y %H:%M')::date as day, nullif(RealPower, 'NaN') as kw
            from read_csv(?, all_varchar = true)
        ), exact as (select day, kw::decimal(18, 6) as kw from read where kw is not null)
        select day, sum(greatest(kw, 0)) * 250, sum(greatest(-kw, 0)) * 250, count(*)
        from exact group by day order by day
        """,
        [str(path)],
    ).fetchall()
    return {day: FromFile(delivered, received, count) for day, delivered, received, count in rows}


@cache
def read_back(name: str) -> Recording:
    """Run a meter over all of the file, and read its load profile as a client does."""
    if not (DATA / name).is_file():
        pytest.skip(f"the recording {name} is not here; it may not be copied into the project")
    expected = by_sql(DATA / name)
    first, last = min(expected), max(expected)
    end = datetime(last.year, last.month, last.day, tzinfo=ANGELES) + timedelta(days=1)
    begin = datetime(first.year, first.month, first.day, tzinfo=ANGELES)
    history = round((end.astimezone(UTC) - begin.astimezone(UTC)) / QUARTER)
    settings: list[tuple[str, Any]] = [
        ("port.ETHERNET.listen", "127.0.0.1:0"),
        ("source.kind", "replay"),
        ("source.path", str(DATA / name)),
        ("source.zone", "America/Los_Angeles"),
        ("clock.zone", "America/Los_Angeles"),
        ("history", history),
    ]
    return asyncio.run(_read(settings, end))


async def _read(settings: Sequence[tuple[str, Any]], end: datetime) -> Recording:
    host = MeterHost(load(None, settings), utc_ms=int(end.timestamp() * 1000) + 1000)
    async with asyncio.timeout(110), host, connect(f"{host.ports[0].url}?unit=100&timeout=30s") as meter:
        profile = await meter.profile("load")
    places = [[each.title for each in profile.columns].index(it) for it in ("kWh-del-int", "kWh-rec-int")]
    sums: dict[date, Day] = {}
    stamps: list[datetime] = []
    statuses: list[int] = []
    for row in profile:
        assert row.instant is not None
        assert row.status is not None
        delivered, received = (row.values[place] for place in places)
        assert isinstance(delivered, Decimal)
        assert isinstance(received, Decimal)
        stamps.append(row.instant)
        statuses.append(row.status)
        day = sums.setdefault((row.instant - QUARTER).astimezone(ANGELES).date(), Day())
        day.add(delivered, received, (row.instant - QUARTER).astimezone(ANGELES))
    return Recording(sums, stamps, statuses)


@pytest.mark.parametrize("name", FILES)
def test_energy_of_each_day_is_the_files(name: str) -> None:
    made = read_back(name)
    expected = by_sql(DATA / name)
    assert made.days.keys() == expected.keys()
    wrong = {
        day: (found.delivered, expected[day].delivered)
        for day, found in made.days.items()
        if abs(found.delivered - expected[day].delivered) >= ONE_WH
        or abs(found.received - expected[day].received) >= ONE_WH
        or found.rows != expected[day].rows
    }
    assert not wrong
    # Interval energies carry their remainder, so that over all days not even one Wh goes missing.
    for of in ("delivered", "received"):
        found = sum((getattr(day, of) for day in made.days.values()), Decimal(0))
        there = sum((getattr(day, of) for day in expected.values()), Decimal(0))
        assert abs(found - there) < ONE_WH


@pytest.mark.parametrize("name", FILES)
def test_the_days_of_the_switch_have_an_hour_less_and_an_hour_more(name: str) -> None:
    made = read_back(name)
    for day, rows, bit in (
        (date(2018, 3, 11), 92, Status.DST_STARTED),
        (date(2018, 11, 4), 100, Status.DST_ENDED),
    ):
        assert made.days[day].rows == rows
        of_day = [
            status
            for at, status in zip(made.stamps, made.statuses, strict=True)
            if (at - QUARTER).astimezone(ANGELES).date() == day
        ]
        assert [bool(status & bit) for status in of_day].count(True) == 1


@pytest.mark.parametrize("name", FILES)
def test_a_gap_of_the_file_is_an_outage_and_nothing_is_twice(name: str) -> None:
    made = read_back(name)
    assert made.stamps == sorted(set(made.stamps))
    begins = {at for at, before in zip(made.stamps[1:], made.stamps, strict=False) if at - before > QUARTER}
    lost = int(Status.POWER_DOWN | Status.POWER_UP)
    marked = {at for at, status in zip(made.stamps, made.statuses, strict=True) if status & lost == lost}
    assert begins == marked
    assert len(made.gaps) == len(begins)


def test_the_page_tells_what_this_run_saw() -> None:
    recordings = {name: read_back(name) for name in FILES}
    if os.environ.get("IONDLMS_WRITE_DOCS"):
        replay_page.write(recordings)
    assert replay_page.PAGE.read_text("utf-8") == replay_page.page_of(recordings), replay_page.REMEDY
