"""A meter and its oracle side by side: worlds to live in, and what can happen there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import isqrt
from random import Random
from typing import Final

from hypothesis import strategies as st
from tests.ion.builders import HOUR, Host, utc
from tests.ion.oracle import Amounts, ExpectedRow, Oracle, Recorder, Zone

from iondlms.ion import (
    MODELS,
    ClockSetup,
    DataRecorderSetup,
    DlmsLogExport,
    Factory,
    Flow,
    Framework,
    MonthEnd,
    PeriodicTimer,
    PowerMeterSetup,
    Priority,
    setup_from_zone,
)

DAY: Final = 86_400
FIRST_YEAR: Final = 2026
ZONES: Final = ("Europe/Berlin", "Pacific/Auckland", "Asia/Kolkata", None)
COLUMNS: Final = (
    "kWh del int",
    "kVARh rec int",
    "kWh del-rec int",
    "kWh del",
    "kWh rec",
    "kVARh del",
    "kWh del-rec",
    "kW sd del-rec",
    "kW sd mx d-r",
)
LOG_CODES: Final = tuple(f"1-1:{number}.128.0*255" for number in range(1, len(COLUMNS) + 1))
_CYCLE: Final = 1009  # hours; a prime, so that no day is like another


class HourlyLoad:
    """Power that changes on the hour, delivered and received, lagging and leading, from a seed."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self._powers = [
            (random.randint(-90_000, 250_000), random.randint(-70_001, 70_001)) for _ in range(_CYCLE)
        ]
        columns = [
            [max(active, 0) for active, _ in self._powers],
            [max(-active, 0) for active, _ in self._powers],
            [max(reactive, 0) for _, reactive in self._powers],
            [max(-reactive, 0) for _, reactive in self._powers],
            [isqrt(active**2 + reactive**2) for active, reactive in self._powers],
        ]
        self._columns = columns
        self._sums = [list(accumulate(column, initial=0)) for column in columns]

    def _since_epoch(self, utc_ms: int) -> list[int]:
        hours, rest = divmod(utc_ms, HOUR)
        turns, hour = divmod(hours, _CYCLE)
        return [
            (turns * sums[-1] + sums[hour]) * HOUR + column[hour] * rest
            for column, sums in zip(self._columns, self._sums, strict=True)
        ]

    def flow(self, start_ms: int, end_ms: int) -> Flow:
        before, after = self._since_epoch(start_ms), self._since_epoch(end_ms)
        return Flow(*(b - a for a, b in zip(before, after, strict=True)))

    def energy(self, start_ms: int, end_ms: int) -> Amounts:
        """The same, as the oracle wants it."""
        a, b, c, d, _ = self.flow(start_ms, end_ms)
        return a, b, c, d

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        active, reactive = self._powers[utc_ms // HOUR % _CYCLE]
        return {"kW tot": active, "kVAR tot": reactive}


@dataclass(frozen=True)
class World:
    """Where a meter stands, and how it is set up."""

    model: str = "ION9000"
    zone: str | None = None
    period_s: int = 900
    depth: int = 40_000
    circular: bool = True
    fill: bool = False
    sub_interval_s: int = 900
    rollover: int = 10_000_000
    seed: int = 1
    begin_ms: int = utc(FIRST_YEAR, 1, 1) + 321

    def framework(self) -> Framework:
        """Recorders on a timer, at month end and by hand; the first two are exported."""
        clock = ClockSetup() if self.zone is None else setup_from_zone(self.zone, FIRST_YEAR - 1)
        return Framework(
            factory=Factory(self.model),
            triggers=(PeriodicTimer("timer", self.period_s), MonthEnd("month end")),
            interval_timer="timer",
            data_recorders=(
                DataRecorderSetup("log", COLUMNS, "timer", self.depth, self.circular, self.fill),
                DataRecorderSetup("months", ("kWh del", "kWh del int"), "month end", 36, True, self.fill),
                DataRecorderSetup("hand", ("kWh del",), "", 3, self.circular),
            ),
            dlms_log_exports=(
                DlmsLogExport("log", "1-0:99.1.0*255", LOG_CODES),
                DlmsLogExport("months", "1-0:98.1.0*255", ("1-1:1.8.0*255", "1-1:1.29.0*255")),
            ),
            clock=clock,
            power_meter=PowerMeterSetup(self.sub_interval_s, 3, self.rollover),
        )

    def recorders(self) -> list[Recorder]:
        """The same, as the oracle wants them."""
        return [
            Recorder("log", COLUMNS, self.period_s, False, self.depth, self.circular, self.fill),
            Recorder("months", ("kWh del", "kWh del int"), 0, True, 36, True, self.fill),
            Recorder("hand", ("kWh del",), 0, False, 3, self.circular),
        ]


@cache
def _zone(name: str | None) -> Zone:
    return Zone(name, FIRST_YEAR - 1, FIRST_YEAR + 5)


class Life:
    """A meter and its oracle, to which the same happens."""

    def __init__(self, world: World) -> None:
        load = HourlyLoad(world.seed)
        self.world = world
        self.zone = _zone(world.zone)
        self.host = Host(world.begin_ms, world.framework(), load).start()
        self.oracle = Oracle(
            self.zone,
            world.begin_ms,
            load.energy,
            world.recorders(),
            world.period_s,
            world.sub_interval_s,
            rollover=world.rollover,
        )

    @property
    def present_ms(self) -> int:
        """The meter's UTC."""
        return self.host.meter.clock.utc_ms(self.host.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, and look at the end only."""
        self.host.jump(seconds)

    def visit(self) -> None:
        """Bring both up to now, as whoever reads the meter does: an association is an event, and is kept."""
        self.host.meter.log_event(Priority.INFORMATION, "Association", "", self.host.now)
        self.host.keep()
        self.oracle.run(self.present_ms)

    def happen(self, what: str, number: int) -> None:
        """Let one thing happen; `number` says how much of it."""
        host, meter, oracle = self.host, self.host.meter, self.oracle
        if what != "crash":
            self.visit()
        if what == "cut":
            seconds = _logarithmic(number, 20 * DAY)
            meter.power_down(host.now)
            host.jump(seconds)
            oracle.cut(meter.clock.utc_ms(host.now))
            meter.power_up(host.now)
            host.keep()
        elif what == "restart":
            meter.power_down(host.now)
            host.keep().restart(_logarithmic(number, 20 * DAY))
            oracle.cut(self.present_ms)
        elif what == "crash":
            # Alive for less than a minute after it was kept last, and looked at whenever it wants to be.
            host.wait(number % 59)
            assert host.saved is not None
            alive_ms = host.saved.state.alive_ms
            assert 0 <= self.present_ms - alive_ms <= 60_000
            oracle.run(alive_ms)
            host.restart(_logarithmic(number, 20 * DAY))
            oracle.cut(self.present_ms)
        elif what == "step":
            ahead = number % 2 == 0
            seconds = _logarithmic(number, 10 * DAY)
            to_ms = self.present_ms + (seconds if ahead else -seconds) * 1000 + number % 1000
            meter.set_time(to_ms, host.now, "ETHERNET")
            host.keep()
            oracle.step(to_ms)
        elif what == "nudge":
            to_ms = self.present_ms + number % 3001 - 1500
            meter.set_time(to_ms, host.now, "ETHERNET")
            host.keep()
            oracle.step(to_ms)
        elif what == "reset":
            meter.master_reset(host.now)
            host.keep()
            oracle.master_reset()
        elif what == "rearm":
            for name in ("log", "hand"):
                meter.rearm(name, host.now)
                oracle.rearm(name)
            host.keep()
        elif what == "pulse":
            name = ("log", "hand")[number % 2]
            meter.pulse(name, host.now)
            host.keep()
            oracle.pulse(name)
        else:
            self.compare()

    def compare(self) -> None:
        """Hold every recorder against the oracle."""
        self.visit()
        for recorder in self.oracle.recorders:
            found = [(row.utc_ms, row.status, row.values) for row in self.host.log(recorder.name)]
            if found != recorder.rows:
                raise AssertionError(_difference(recorder, found))


def _difference(recorder: Recorder, found: list[ExpectedRow]) -> str:
    """Tell the first difference; two lists of a year's rows side by side help nobody."""
    expected = recorder.rows
    first = next(
        (index for index, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
        min(len(found), len(expected)),
    )
    return (
        f"{recorder.name}: {len(found)} rows, {len(expected)} expected; row {first} is"
        f" {found[first : first + 1]}, {expected[first : first + 1]} expected"
    )


def _logarithmic(number: int, most: int) -> int:
    """Return 1 to `most` seconds: as many short ones as long ones, and often whole quarters of an hour."""
    seconds = max(1, int(most ** (number % 1000 / 999)))
    return max(900, seconds // 900 * 900) if number % 5 == 0 else seconds


DEEDS: Final = st.sampled_from(
    ["cut", "cut", "crash", "restart", "step", "step", "nudge", "reset", "rearm", "pulse", "read"]
)


def stories(most: int, longest_s: int, least: int = 0) -> st.SearchStrategy[list[tuple[int, str, int]]]:
    """Waits in seconds, each followed by a deed."""
    waits = st.one_of(
        st.integers(0, 7200),
        st.integers(0, longest_s // 900).map(lambda n: n * 900),
        st.integers(0, longest_s),
    )
    return st.lists(st.tuples(waits, DEEDS, st.integers(0, 99_999)), min_size=least, max_size=most)


def live(world: World, story: list[tuple[int, str, int]], last_s: int) -> Life:
    """Live through a story and the time after it, and hold the rows against the oracle."""
    life = Life(world)
    for wait_s, deed, number in story:
        life.wait(wait_s)
        life.happen(deed, number)
    life.wait(last_s)
    life.compare()
    return life


WORLDS: Final = st.builds(
    World,
    model=st.sampled_from(sorted(MODELS)),
    zone=st.sampled_from(ZONES),
    period_s=st.sampled_from([60, 300, 900, 900, 1800, 3600, 7200, 86_400]),
    depth=st.sampled_from([1, 5, 100, 3360]),
    circular=st.booleans(),
    fill=st.booleans(),
    sub_interval_s=st.sampled_from([60, 300, 900, 1800]),
    rollover=st.sampled_from([10_000_000, 20_000, 500]),
    seed=st.integers(1, 1000),
    # Days around the switches of both hemispheres are drawn more often than others.
    begin_ms=st.one_of(
        st.sampled_from(
            [utc(2026, 3, 28, 23, 50), utc(2026, 10, 24, 20), utc(2026, 4, 3), utc(2026, 9, 25, 12)]
        ),
        st.integers(utc(2026, 1, 1), utc(2027, 12, 31)),
    ),
)
