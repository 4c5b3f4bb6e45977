"""Replay: the meter measures again what a file says another one measured."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isqrt
from pathlib import Path
from typing import Final, Literal

from iondlms.errors import LocalError
from iondlms.ion import Flow, Registers, rounded

from .recording import Recording, read_recording

__all__ = ["Replay", "ReplaySettings", "ReplayedRegisters", "replay"]

_MS_PER_HOUR: Final = 3_600_000
_DAY_MS: Final = 86_400_000
_ENERGIES: Final = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")

_Amounts = tuple[int, int, int, int, int]
_ZERO: Final[_Amounts] = (0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Which file is replayed, and how.

    With a column of "kW tot" (and "kVAR tot", "kVA tot") the rows are mean powers, positive when
    delivered; without reactive power they are replayed as a load of power factor 1. With one of
    "kWh del" they are readings of registers, which the meter then shows as its own. Columns of other
    quantities are present values.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)  # ION name: heading; empty: found out
    time: str = ""  # heading of the stamps; empty: found out
    time_format: str = ""  # strptime; empty: found out
    zone: str = "UTC"  # IANA zone of stamps that have no offset of their own
    stamp: Literal["begin", "end"] = "begin"  # which end of its interval a row of mean power is stamped with
    step_s: int = 0  # how long a row lasts; 0: the usual distance of two rows
    scale: str = "1"  # makes kW and kWh of the powers and energies in the file; "0.001" where they are W
    gaps: Literal["outage", "silence"] = "outage"  # the meter has no power in them, or no values
    at_end: Literal["stop", "loop"] = "stop"
    begin_ms: int | None = None  # UTC at which the first row is replayed; None: when it was recorded


@dataclass(frozen=True, slots=True)
class _Spans:
    """What happened in file time: spans without overlap, oldest first, each with what flowed in it."""

    begins: list[int]
    ends: list[int]  # a span of no length is an instant at which registers were read
    starts: list[_Amounts]  # the sum, or the registers, at each begin
    amounts: list[_Amounts]  # in the order of Flow, W·ms

    def sum(self, at_ms: int) -> _Amounts:
        """Return all that had flowed until an instant."""
        index = bisect_right(self.begins, at_ms) - 1
        if index < 0:
            return self.starts[0]
        begin, start, amount = self.begins[index], self.starts[index], self.amounts[index]
        past, length = min(at_ms, self.ends[index]) - begin, self.ends[index] - begin
        if past <= 0:
            return start
        return (
            start[0] + amount[0] * past // length,
            start[1] + amount[1] * past // length,
            start[2] + amount[2] * past // length,
            start[3] + amount[3] * past // length,
            start[4] + amount[4] * past // length,
        )

    def index(self, at_ms: int) -> int | None:
        """Return the span that an instant, or its very end, is in."""
        index = bisect_right(self.begins, at_ms) - 1
        return index if index >= 0 and at_ms <= self.ends[index] else None


class Replay:
    """A `Source` and `SupplySource` of recorded mean powers.

    Before the first row and, unless it loops, after the last one nothing is known. A loop lasts whole
    weeks where the file does, or else whole days, so that Monday noon stays Monday noon; what is left of
    the file over that is not replayed.
    """

    def __init__(
        self,
        spans: _Spans,
        present: Mapping[str, Sequence[int]],
        settings: ReplaySettings,
    ) -> None:
        self._first = spans.begins[0]
        last = spans.ends[-1]
        self._loop_ms = _whole(last - self._first) if settings.at_end == "loop" else None
        if self._loop_ms is not None:
            spans = _cut(spans, self._first + self._loop_ms)
            last = self._first + self._loop_ms
        self._spans = spans
        self._present = present
        self._shift = 0 if settings.begin_ms is None else settings.begin_ms - self._first
        self._whole_sum = tuple(b - a for a, b in zip(spans.sum(self._first), spans.sum(last), strict=True))
        self._gaps: list[tuple[int, int]] = []
        if settings.gaps == "outage":
            ends_and_begins = zip(spans.ends, [*spans.begins[1:], last], strict=True)
            self._gaps = [(end, begin) for end, begin in ends_and_begins if end < begin]
        self._gap_ends = [end for _, end in self._gaps]

    @property
    def first_ms(self) -> int:
        """The meter's UTC at which the replay begins."""
        return self._first + self._shift

    @property
    def last_ms(self) -> int | None:
        """The meter's UTC at which it ends; None for a loop."""
        return None if self._loop_ms is not None else self._spans.ends[-1] + self._shift

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        """Return what flowed from `start_ms` to `end_ms`; None where the file knows nothing of it."""
        if not self._covers(start_ms, end_ms):
            return None
        a, b = self._sum(start_ms), self._sum(end_ms)
        return Flow(b[0] - a[0], b[1] - a[1], b[2] - a[2], b[3] - a[3], b[4] - a[4])

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        """Return the row's powers, and what else it has."""
        _, at_ms = self._place(utc_ms)
        index = self._spans.index(at_ms)
        if index is None:
            return {}
        length = self._spans.ends[index] - self._spans.begins[index]
        readings: dict[str, int | None] = {name: values[index] for name, values in self._present.items()}
        if length:
            amount = self._spans.amounts[index]
            readings.setdefault("kW tot", rounded(amount[0] - amount[1], length))
            readings.setdefault("kVAR tot", rounded(amount[2] - amount[3], length))
            readings.setdefault("kVA tot", rounded(amount[4], length))
        return readings

    def outage(self, utc_ms: int) -> tuple[int, int] | None:
        """Return the first gap between rows that ends after the instant."""
        if not self._gaps:
            return None
        turn, at_ms = self._place(utc_ms)
        index = bisect_right(self._gap_ends, at_ms)
        if index == len(self._gaps):
            if self._loop_ms is None:
                return None
            turn, index = turn + 1, 0
        shift = self._shift + turn * (self._loop_ms or 0)
        begin, end = self._gaps[index]
        return begin + shift, end + shift

    def _place(self, utc_ms: int) -> tuple[int, int]:
        """Return how often the file has begun again, and the instant in it."""
        at_ms = utc_ms - self._shift
        if self._loop_ms is None:
            return 0, at_ms
        turn, past = divmod(at_ms - self._first, self._loop_ms)
        return turn, self._first + past

    def _sum(self, utc_ms: int) -> _Amounts:
        turn, at_ms = self._place(utc_ms)
        sums = self._spans.sum(at_ms)
        if not turn:
            return sums
        a, b, c, d, e = (one + turn * all_ for one, all_ in zip(sums, self._whole_sum, strict=True))
        return a, b, c, d, e

    def _covers(self, start_ms: int, end_ms: int) -> bool:
        """Return whether the file knows of any part of a span."""
        if self._loop_ms is not None and end_ms - start_ms >= self._loop_ms:
            return True
        (turn, start), (last_turn, end) = self._place(start_ms), self._place(end_ms)
        if turn != last_turn and self._loop_ms is not None:
            return start < self._spans.ends[-1] or end > self._first
        index = bisect_right(self._spans.begins, end - 1) - 1
        return index >= 0 and self._spans.ends[index] > start


class ReplayedRegisters(Replay):
    """A `RegisterSource` of recorded readings of registers.

    Between two readings the registers move evenly. Over a gap nobody knows how they did: they jump at
    its end, and what flowed in it is in the interval after it. So does a register that falls.
    """

    rollover = 10_000_000  # k-units: what ION meters come with

    def __init__(
        self,
        spans: _Spans,
        present: Mapping[str, Sequence[int]],
        settings: ReplaySettings,
        recorded: Iterable[str],
    ) -> None:
        super().__init__(spans, present, settings)
        self._recorded = [name in recorded for name in _ENERGIES]

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        """Return how far the registers moved; None where there is no reading at the end of the span."""
        if self._spans.index(self._place(end_ms)[1]) is None:
            return None
        moves = [max(0, b - a) for a, b in zip(self._sum(start_ms), self._sum(end_ms), strict=True)]
        return Flow(*moves)

    def registers(self, utc_ms: int) -> Registers | None:
        """Return what the registers show; None in a gap, before the first reading and after the last."""
        if self._spans.index(self._place(utc_ms)[1]) is None:
            return None
        shown = zip(self._sum(utc_ms), self._recorded, strict=True)
        return Registers(*(amount // _MS_PER_HOUR if there else None for amount, there in shown))


def replay(settings: ReplaySettings) -> Replay:
    """Read the file and return its source; LocalError tells what is wrong with it."""
    if settings.step_s < 0:
        raise LocalError(f"a step of {settings.step_s} s is negative")
    recording = read_recording(
        settings.path,
        settings.columns,
        time=settings.time,
        time_format=settings.time_format,
        zone=settings.zone,
        scale=settings.scale,
    )
    step_ms = settings.step_s * 1000 or recording.step_ms
    values = recording.values
    energies = [name for name in values if name in _ENERGIES]
    powers = [name for name in ("kW tot", "kVAR tot", "kVA tot") if name in values]
    if "kWh del" in values:
        others = _others(values, {*energies})
        made: Replay = ReplayedRegisters(_readings_of(recording, step_ms), others, settings, energies)
    elif "kW tot" in values and not energies:
        made = Replay(_powers_of(recording, step_ms, settings.stamp), _others(values, set(powers)), settings)
    else:
        raise LocalError(
            f"{settings.path}: neither mean power ('kW tot') nor a register ('kWh del') is there"
        )
    return made


def _powers_of(recording: Recording, step_ms: int, stamp: str) -> _Spans:
    """Return the spans of mean powers: a row lasts a step, or until the next if that is sooner."""
    ahead = step_ms if stamp == "end" else 0
    begins = [each - ahead for each in recording.stamps]
    ends = [min(begin + step_ms, after) for begin, after in pairwise(begins)] + [begins[-1] + step_ms]
    active = recording.values["kW tot"]
    reactive = recording.values.get("kVAR tot", [0] * len(active))
    apparent = recording.values.get("kVA tot")
    if apparent is None:
        apparent = [_root(p * p + q * q) for p, q in zip(active, reactive, strict=True)]
    amounts: list[_Amounts] = []
    starts: list[_Amounts] = []
    sums = _ZERO
    for begin, end, p, q, s in zip(begins, ends, active, reactive, apparent, strict=True):
        span = end - begin
        amount = (max(p, 0) * span, max(-p, 0) * span, max(q, 0) * span, max(-q, 0) * span, abs(s) * span)
        starts.append(sums)
        amounts.append(amount)
        sums = _add(sums, amount)
    return _Spans(begins, ends, starts, amounts)


def _readings_of(recording: Recording, step_ms: int) -> _Spans:
    """Return the spans between readings, or single instants where the next is too far away."""
    columns = [recording.values.get(name) for name in _ENERGIES]
    stamps = recording.stamps
    starts: list[_Amounts] = []
    for index in range(len(stamps)):
        a, b, c, d, e = (0 if column is None else column[index] * _MS_PER_HOUR for column in columns)
        starts.append((a, b, c, d, e))
    ends, amounts = [], []
    for index, stamp in enumerate(stamps):
        here, there = starts[index], starts[min(index + 1, len(stamps) - 1)]
        after = stamps[min(index + 1, len(stamps) - 1)]
        a, b, c, d, e = (y - x for x, y in zip(here, there, strict=True))
        # Half a step late is still the next reading and no gap: recorders are not that punctual.
        near = after - stamp <= step_ms * 3 // 2
        ends.append(after if near else stamp)
        # Where registers fall, nobody knows how they did.
        amounts.append((a, b, c, d, e) if near and min(a, b, c, d, e) >= 0 else _ZERO)
    return _Spans(list(stamps), ends, starts, amounts)


def _others(values: Mapping[str, Sequence[int]], used: set[str]) -> dict[str, Sequence[int]]:
    return {name: column for name, column in values.items() if name not in used}


def _whole(length_ms: int) -> int:
    """Return the weeks or days that fit a length; a shorter one as it is."""
    for unit in (7 * _DAY_MS, _DAY_MS):
        if length_ms >= unit:
            return length_ms // unit * unit
    return length_ms


def _cut(spans: _Spans, end_ms: int) -> _Spans:
    """Return the spans before an instant; the last is cut there."""
    count = bisect_right(spans.begins, end_ms - 1)
    begins, ends = spans.begins[:count], spans.ends[:count]
    starts, amounts = spans.starts[:count], spans.amounts[:count]
    if ends[-1] > end_ms:
        a, b, c, d, e = (y - x for x, y in zip(starts[-1], spans.sum(end_ms), strict=True))
        ends[-1], amounts[-1] = end_ms, (a, b, c, d, e)
    return _Spans(begins, ends, starts, amounts)


def _add(a: _Amounts, b: _Amounts) -> _Amounts:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]


def _root(square: int) -> int:
    """Return the square root to the nearest integer."""
    low = isqrt(square)
    return low + (square - low * low > low)
