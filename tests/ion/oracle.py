"""What a meter must have recorded, worked out a second time, from the profile's rules alone.

Nothing of `iondlms` is used here, and no table of daylight saving either: `zoneinfo` says when clocks
change. The oracle is told what is done to the meter, in the meter's own UTC, and says which rows there
must be, with which status word and values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DST_ENDED: Final = 0x200
DST_STARTED: Final = 0x100
POWER_DOWN: Final = 0x80
POWER_UP: Final = 0x40
TIME_CHANGED: Final = 0x20
MASTER_RESET: Final = 0x08
INVALID: Final = 0xFFFF

Amounts = tuple[int, int, int, int]  # W·ms delivered and received, var·ms delivered and received
ExpectedRow = tuple[int, int, tuple[int | None, ...]]

# At one instant: demand, then the interval, then the recorders: a row has the values that end with it.
_DEMAND, _INTERVAL, _RECORD = range(3)


@dataclass
class Recorder:
    """A Data Recorder as its owner set it up, and the rows that it must have."""

    name: str
    columns: tuple[str, ...]
    period_s: int = 0  # of its Periodic Timer; 0: none
    monthly: bool = False  # recorded when a month begins
    depth: int = 3360
    circular: bool = True
    fill: bool = False  # insert outage records
    rows: list[ExpectedRow] = field(default_factory=list)
    bits: int = POWER_UP  # what happened since the row before

    def add(self, utc_ms: int, status: int, values: tuple[int | None, ...]) -> bool:
        """Keep a row; return whether there was room."""
        if len(self.rows) >= self.depth:
            if not self.circular:
                return False
            del self.rows[: len(self.rows) - self.depth + 1]
        self.rows.append((utc_ms, status, values))
        return True


class Zone:
    """Local time by the zone's own rules; without a name UTC."""

    def __init__(self, name: str | None, first_year: int, last_year: int) -> None:
        self._zone = UTC if name is None else ZoneInfo(name)
        hours = [
            datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day)
            for year in range(first_year, last_year + 1)
            for day in range(365)
        ]
        self.standard_ms = min(self.offset_ms(_ms(hour)) for hour in hours)
        self.switches: list[int] = []  # instants at which the offset changes
        for day in hours:
            begin = _ms(day)
            if self.offset_ms(begin) != self.offset_ms(begin + 86_400_000):
                self.switches.append(
                    next(
                        begin + minute * 60_000
                        for minute in range(1, 1441)
                        if self.offset_ms(begin + minute * 60_000) != self.offset_ms(begin)
                    )
                )
        self.switches = sorted(set(self.switches))

    def offset_ms(self, utc_ms: int) -> int:
        """Return how far local time is ahead of UTC."""
        moment = datetime.fromtimestamp(utc_ms // 1000, UTC).astimezone(self._zone)
        offset = moment.utcoffset()
        assert offset is not None
        return int(offset.total_seconds()) * 1000

    def summer(self, utc_ms: int) -> bool:
        """Return whether daylight saving is in force."""
        return self.offset_ms(utc_ms) != self.standard_ms

    def months(self, after_ms: int, until_ms: int) -> list[int]:
        """Return the local beginnings of months in a span, its begin excluded."""
        first = datetime.fromtimestamp(after_ms // 1000, UTC) - timedelta(days=2)
        last = datetime.fromtimestamp(until_ms // 1000, UTC) + timedelta(days=2)
        begins = [
            _ms(datetime(year, month, 1, tzinfo=self._zone))
            for year in range(first.year, last.year + 1)
            for month in range(1, 13)
        ]
        return [begin for begin in begins if after_ms < begin <= until_ms]


@dataclass
class Oracle:
    """A meter in power from `at_ms` on, with registers of 0."""

    zone: Zone
    at_ms: int
    energy: Callable[[int, int], Amounts]  # what flows between two instants
    recorders: list[Recorder]
    interval_s: int = 900
    sub_interval_s: int = 900
    sub_intervals: int = 3
    rollover: int = 10_000_000  # k-units
    threshold_ms: int = 1000

    def __post_init__(self) -> None:
        self._flowed: Amounts = (0, 0, 0, 0)  # since the registers were 0
        self._latched: tuple[int, ...] = (0, 0, 0, 0)  # registers when the last interval ended
        self._interval: tuple[int, ...] | None = None
        self._lit_ms = 0  # time in power
        self._window = [(0, self._flowed)]  # (time in power, flowed) where sub-intervals ended
        self._demand: int | None = None  # of the window, W
        self._most: int | None = None  # the largest of them
        self._summer = self.zone.summer(self.at_ms)

    # What is done to it

    def run(self, until_ms: int) -> None:
        """Let it measure and record until an instant, the rows of that instant included."""
        if until_ms == self.at_ms:
            return
        due: list[tuple[int, int, Recorder | None]] = [
            (instant, _DEMAND, None) for instant in self._boundaries(self.sub_interval_s, until_ms)
        ]
        due += [(instant, _INTERVAL, None) for instant in self._boundaries(self.interval_s, until_ms)]
        for recorder in self.recorders:
            pulses = self._pulses(recorder, self.at_ms, until_ms)
            due += [(instant, _RECORD, recorder) for instant in pulses]
        due.sort(key=lambda each: each[:2])
        switches = [instant for instant in self.zone.switches if self.at_ms < instant <= until_ms]
        for instant, what, driven in due:
            while switches and switches[0] <= instant:
                self._look_at_the_season(switches.pop(0))
            self._measure(instant)
            if what == _DEMAND:
                self._window = [*self._window, (self._lit_ms, self._flowed)][-self.sub_intervals - 1 :]
                self._demand = _mean(self._window[0], self._window[-1])
                self._most = self._demand if self._most is None else max(self._most, self._demand)
            elif what == _INTERVAL:
                registers = _registers(self._flowed)
                pairs = zip(registers, self._latched, strict=True)
                self._interval, self._latched = tuple(now - then for now, then in pairs), registers
            elif driven is not None:
                self._record(driven, INVALID if driven.monthly else driven.bits)
        for instant in switches:
            self._look_at_the_season(instant)
        self._measure(until_ms)

    def cut(self, up_ms: int) -> None:
        """Cut the power now, until an instant."""
        for recorder in self.recorders:
            if recorder.fill:
                nothing = (0,) * len(recorder.columns)
                status = INVALID if recorder.monthly else POWER_DOWN
                for instant in self._pulses(recorder, self.at_ms, up_ms):
                    recorder.add(instant, status, nothing)
        self.at_ms = up_ms
        self._gather(POWER_DOWN | POWER_UP)
        self._look_at_the_season(up_ms)
        self._begin_window()

    def step(self, to_ms: int) -> None:
        """Set the clock."""
        if abs(to_ms - self.at_ms) > self.threshold_ms:
            self._gather(TIME_CHANGED)
        self.at_ms = to_ms
        self._look_at_the_season(to_ms)

    def master_reset(self) -> None:
        """Set all registers to 0 and clear all logs."""
        self._flowed = self._latched = (0, 0, 0, 0)
        self._interval = self._most = None
        self._begin_window()
        for recorder in self.recorders:
            recorder.rows.clear()
        self._gather(MASTER_RESET)

    def rearm(self, name: str) -> None:
        """Pulse a recorder's Rearm input."""
        recorder = next(each for each in self.recorders if each.name == name)
        if not recorder.circular:
            recorder.rows.clear()

    def pulse(self, name: str) -> None:
        """Pulse a recorder's Record input by hand."""
        recorder = next(each for each in self.recorders if each.name == name)
        recorder.add(self.at_ms, INVALID, self._values(recorder))

    # How it follows

    def _boundaries(self, period_s: int, until_ms: int, after_ms: int | None = None) -> range:
        """Return the instants, by the hour of standard time, that a timer pulses at."""
        after_ms = self.at_ms if after_ms is None else after_ms
        period_ms, ahead_ms = period_s * 1000, self.zone.standard_ms
        first = after_ms + period_ms - (after_ms + ahead_ms) % period_ms
        return range(first, until_ms + 1, period_ms)

    def _pulses(self, recorder: Recorder, after_ms: int, until_ms: int) -> list[int]:
        if recorder.monthly:
            return self.zone.months(after_ms, until_ms)
        return list(self._boundaries(recorder.period_s, until_ms, after_ms)) if recorder.period_s else []

    def _measure(self, until_ms: int) -> None:
        if until_ms > self.at_ms:
            a, b, c, d = self._flowed
            e, f, g, h = self.energy(self.at_ms, until_ms)
            self._flowed = (a + e, b + f, c + g, d + h)
            self._lit_ms += until_ms - self.at_ms
            self.at_ms = until_ms

    def _begin_window(self) -> None:
        """Forget the demand of the time before; there is none until a sub-interval has ended."""
        self._window, self._demand = [(self._lit_ms, self._flowed)], None

    def _look_at_the_season(self, utc_ms: int) -> None:
        summer = self.zone.summer(utc_ms)
        if summer is not self._summer:
            self._summer = summer
            self._gather(DST_STARTED if summer else DST_ENDED)

    def _gather(self, bits: int) -> None:
        for recorder in self.recorders:
            recorder.bits |= bits

    def _record(self, recorder: Recorder, status: int) -> None:
        if recorder.add(self.at_ms, status, self._values(recorder)) and status != INVALID:
            recorder.bits = 0

    def _values(self, recorder: Recorder) -> tuple[int | None, ...]:
        registers = _registers(self._flowed)
        return tuple([self._value(name, registers) for name in recorder.columns])

    def _value(self, name: str, registers: tuple[int, ...]) -> int | None:
        if name == "kW sd del-rec":
            return self._demand
        if name == "kW sd mx d-r":
            return self._most
        which = ("kWh del", "kWh rec", "kVARh del", "kVARh rec")
        plain = name.removesuffix(" int")
        values = registers if plain == name else self._interval
        if values is None:
            return None
        if plain in which:
            value = values[which.index(plain)]
        else:  # del-rec
            value = values[0] - values[1] if plain.startswith("kWh") else values[2] - values[3]
        if plain != name:
            return value
        turned = abs(value) % (self.rollover * 1000)
        return turned if value >= 0 else -turned


def _registers(flowed: Amounts) -> tuple[int, ...]:
    """Return Wh and varh, to the nearest, halves up."""
    return tuple([(2 * each + 3_600_000) // 7_200_000 for each in flowed])


def _mean(begin: tuple[int, Amounts], end: tuple[int, Amounts]) -> int:
    """Return the mean power between two instants, del-rec, to the nearest W, halves away from zero."""
    length = end[0] - begin[0]
    energy = end[1][0] - end[1][1] - begin[1][0] + begin[1][1]
    size = (2 * abs(energy) + length) // (2 * length)
    return size if energy >= 0 else -size


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
