"""Two real recordings, replayed as they are: energy by day as plain arithmetic on the file has it.

The files may be used but not copied, so that without them these tests skip.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.ion.builders import QUARTER, Host, small_framework

from iondlms.ion import Row, Status, setup_from_zone
from iondlms.sources import Replay, ReplaySettings, replay

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
ANGELES = ZoneInfo("America/Los_Angeles")
BUILDING, MICROGRID = "building-load-15min.csv", "microgrid-net-15min.csv"


@dataclass(frozen=True)
class Replayed:
    source: Replay
    host: Host
    rows: list[Row]

    @property
    def outages(self) -> list[tuple[int, int]]:
        found, at = [], self.source.first_ms
        while (outage := self.source.outage(at)) is not None:
            found.append(outage)
            at = outage[1]
        return found


def replayed(name: str) -> Replayed:
    if not (DATA / name).is_file():
        pytest.skip(f"the recording {name} is not here; it may not be copied into the project")
    return whole(name)


@cache
def whole(name: str) -> Replayed:
    """Run a meter through all of the file, from new."""
    source = replay(ReplaySettings(DATA / name, zone="America/Los_Angeles"))
    clock = setup_from_zone("America/Los_Angeles", 2016)
    names = ("kWh del int", "kWh rec int", "kVARh del int", "kVARh rec int")
    host = Host(source.first_ms, small_framework(clock=clock, depth=100_000, sources=names), source)
    assert source.last_ms is not None
    host.start().jump((source.last_ms - source.first_ms) / 1000)
    return Replayed(source, host, host.log())


def lines(name: str) -> list[dict[str, str]]:
    """The file's rows but those that say there is no value: 68 of the microgrid."""
    with (DATA / name).open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["RealPower"] != "NaN"]


def by_day(name: str) -> dict[str, list[int]]:
    """Quarters of a Wh by local day as written: delivered, received, lagging, leading."""
    days: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
    for row in lines(name):
        active = round(float(row["RealPower"]) * 1000)
        reactive = round(float(row.get("ReactivePower") or 0) * 1000)
        sums = days[row["DateTime"].split()[0]]
        for channel, watts in enumerate((active, -active, reactive, -reactive)):
            sums[channel] += max(watts, 0)
    return days


@pytest.mark.parametrize("name", [BUILDING, MICROGRID])
def test_energy_by_day_is_that_of_the_file(name: str) -> None:
    made = replayed(name)
    found: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
    for row in made.rows:
        local = datetime.fromtimestamp((row.utc_ms - QUARTER) / 1000, ANGELES)
        sums = found[f"{local.month}/{local.day}/{local.year}"]
        for channel, value in enumerate(row.values):
            assert value is not None
            sums[channel] += value
    expected = by_day(name)
    assert found.keys() == expected.keys()
    # Registers are rounded from their exact sums, so the days are right together, not only each.
    exact, shown = [0] * 4, [0] * 4
    for day in sorted(expected, key=lambda text: datetime.strptime(text, "%m/%d/%Y")):
        for channel in range(4):
            exact[channel] += expected[day][channel]
            shown[channel] += found[day][channel]
            assert shown[channel] == (exact[channel] + 2) // 4, (day, channel)
    if name == MICROGRID:
        assert shown[1] > 0


@pytest.mark.parametrize(("name", "gaps"), [(BUILDING, 2), (MICROGRID, None)])
def test_every_row_is_recorded_once_and_every_gap_is_an_outage(name: str, gaps: int | None) -> None:
    made = replayed(name)
    if gaps is not None:
        assert len(made.outages) == gaps
    assert made.source.last_ms is not None
    dark = sum(end - begin for begin, end in made.outages)
    covered = made.source.last_ms - made.source.first_ms - dark
    assert len(made.rows) == len(lines(name)) == covered // QUARTER
    assert len({row.utc_ms for row in made.rows}) == len(made.rows)
    marked = [row.utc_ms for row in made.rows if row.status & Status.POWER_DOWN]
    assert marked == [end + QUARTER for _, end in made.outages]


@pytest.mark.parametrize("name", [BUILDING, MICROGRID])
def test_the_days_of_the_switch_have_23_and_25_hours(name: str) -> None:
    rows = replayed(name).rows
    days = Counter(
        datetime.fromtimestamp((row.utc_ms - QUARTER) / 1000, ANGELES).strftime("%Y-%m-%d") for row in rows
    )
    assert days["2018-11-04"] == 100
    assert days["2018-03-11"] == 92
    switched = [row for row in rows if row.status & (Status.DST_STARTED | Status.DST_ENDED)]
    assert len(switched) == 4


def test_the_building_in_detail() -> None:
    source = replayed(BUILDING).source
    first = datetime.fromtimestamp(source.first_ms / 1000, ANGELES)
    assert first.strftime("%m/%d/%Y %H:%M") == "01/01/2018 00:00"
    # 11/4/2018: 01:00 PDT is the row further down the file, 01:00 PST the one further up
    pdt = int(datetime(2018, 11, 4, 1, tzinfo=ANGELES).timestamp()) * 1000
    assert source.readings(pdt) == {"kW tot": 84_030, "kVAR tot": 19_020, "kVA tot": 86_156}
    assert source.readings(pdt + 4 * QUARTER)["kW tot"] == 83_978
    begin, end = source.outage(source.first_ms) or (0, 0)
    text = [f"{datetime.fromtimestamp(at / 1000, ANGELES):%m/%d/%Y %H:%M}" for at in (begin, end)]
    assert text == ["12/15/2018 21:15", "02/12/2019 10:15"]
