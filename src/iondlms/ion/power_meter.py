"""The Power Meter module: energy registers, interval energies, sliding-window demand, present values.

Everything is integrated in integers of W·ms and rounded only when a value is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Final, Literal

from iondlms.errors import LocalError

from .quantities import quantity, rounded
from .source import NO_FLOW, Flow, Source

__all__ = ["PowerMeter", "PowerMeterSetup", "PowerMeterState"]

_MS_PER_HOUR: Final = 3_600_000

# Registers in Wh, varh and VAh: delivered, received, delivered, received, total.
_Registers = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class PowerMeterSetup:
    """Settings of the registers and of the sliding window; LocalError for a value out of its range."""

    sub_interval_s: int = 300
    sub_intervals: int = 3  # 15 minutes, the usual billing window
    rollover: int = 10_000_000  # in k-units
    # IEC: the sign of the active power. IEEE: negative while the current lags.
    pf_sign: Literal["IEC", "IEEE"] = "IEC"

    def __post_init__(self) -> None:
        if not 1 <= self.sub_interval_s <= 5940:
            raise LocalError(f"a demand sub-interval of {self.sub_interval_s} s is not within 1 to 5940")
        if not 1 <= self.sub_intervals <= 15:
            raise LocalError(f"{self.sub_intervals} demand sub-intervals are not within 1 to 15")
        # The kept values must fit long64 with room for sums; 10**15 k-units do.
        if not 1 <= self.rollover <= 10**15:
            raise LocalError(f"a rollover of {self.rollover} is not within 1 to 10**15")


@dataclass(frozen=True, slots=True)
class PowerMeterState:
    """What the Power Meter must still know after a power cut."""

    totals: Flow = NO_FLOW
    interval_begin: _Registers = (0, 0, 0, 0, 0)
    interval: _Registers | None = None


class PowerMeter:
    """Integrates a source.

    Registers are rounded to Wh on reading and an interval energy is the difference of two such
    readings, so its remainder is in the next interval, and intervals add up to the register to the last
    Wh. Net values are differences of the registers shown, so del - rec is del-rec in every record.
    """

    def __init__(self, source: Source, setup: PowerMeterSetup | None = None) -> None:
        self.setup = PowerMeterSetup() if setup is None else setup
        self.source = source
        self._roll = self.setup.rollover * 1000
        self._totals = NO_FLOW
        self._elapsed_ms = 0
        self._present = True  # whether the source answered last time; not asked yet is no silence
        self._interval_begin: _Registers = (0, 0, 0, 0, 0)
        self._interval: _Registers | None = None
        self._read: _Registers | None = None  # registers of `_totals`, until they move
        # (elapsed, totals) at the sub-interval boundaries that the window spans
        self._window: deque[tuple[int, Flow]] = deque(maxlen=self.setup.sub_intervals + 1)
        self._window.append((0, NO_FLOW))
        self._readers: dict[str, Callable[[int], int | None]] = self._make_readers()

    @property
    def state(self) -> PowerMeterState:
        """What to keep for `restore`."""
        return PowerMeterState(self._totals, self._interval_begin, self._interval)

    def restore(self, state: PowerMeterState) -> None:
        """Go on from kept registers; the sliding window begins anew, as it does after a power cut."""
        self._totals, self._interval_begin, self._interval = (
            state.totals,
            state.interval_begin,
            state.interval,
        )
        self._read = None
        self.restart_window()

    def restart_window(self) -> None:
        """Forget the demand of the time before."""
        self._window.clear()
        self._window.append((self._elapsed_ms, self._totals))

    def master_reset(self) -> None:
        """Set every register to 0, and begin interval and window anew."""
        self.restore(PowerMeterState())

    def integrate(self, start_ms: int, end_ms: int) -> None:
        """Add what flowed between two instants of the meter's UTC."""
        if end_ms <= start_ms:
            return
        self._elapsed_ms += end_ms - start_ms
        flow = self.source.flow(start_ms, end_ms)
        self._present = flow is not None
        if flow is not None:
            a, b, c, d, e = self._totals
            self._totals = Flow(a + flow[0], b + flow[1], c + flow[2], d + flow[3], e + flow[4])
            self._read = None

    def end_sub_interval(self) -> None:
        """Move the sliding window on."""
        self._window.append((self._elapsed_ms, self._totals))

    def end_interval(self) -> None:
        """Latch the interval energies.

        While the source is silent the interval has no value, and what came until then is carried into
        the next that has one.
        """
        if not self._present:
            self._interval = None
            return
        now, begin = self._registers(), self._interval_begin
        self._interval = (
            now[0] - begin[0],
            now[1] - begin[1],
            now[2] - begin[2],
            now[3] - begin[3],
            now[4] - begin[4],
        )
        self._interval_begin = now

    def reader(self, name: str) -> Callable[[int], int | None]:
        """Return a function from the instant to the value of that quantity; LocalError for no such name."""
        return self._readers[quantity(name).name]

    def value(self, name: str, utc_ms: int) -> int | None:
        """Return the quantity times 1000, None while it has no value; LocalError for no such name."""
        return self.reader(name)(utc_ms)

    def _make_readers(self) -> dict[str, Callable[[int], int | None]]:
        readers: dict[str, Callable[[int], int | None]] = {
            "kW sd del-rec": lambda _: self._demand(lambda flow: flow.w_delivered - flow.w_received),
            "kVAR sd del-rec": lambda _: self._demand(lambda flow: flow.var_delivered - flow.var_received),
            "kVA sd del+rec": lambda _: self._demand(lambda flow: flow.va),
            "PF sign mean": lambda _: self._mean_power_factor(),
        }
        for name, of in _ENERGIES.items():
            readers[name] = self._energy_reader(of)
            readers[f"{name} int"] = self._interval_reader(of)
        for where in ("a", "b", "c", "tot"):
            for unit in ("kW", "kVAR", "kVA"):
                readers[f"{unit} {where}"] = self._present_reader(f"{unit} {where}")
        for name in ("PF sign tot", "Vln a", "Vln b", "Vln c", "I a", "I b", "I c", "Freq"):
            readers[name] = self._present_reader(name)
        return readers

    def _energy_reader(self, of: Callable[[_Registers], int]) -> Callable[[int], int | None]:
        def read(_: int) -> int | None:
            if not self._present:
                return None
            total = of(self._registers())
            # A net register rolls over at both ends.
            return total % self._roll if total >= 0 else -(-total % self._roll)

        return read

    def _interval_reader(self, of: Callable[[_Registers], int]) -> Callable[[int], int | None]:
        return lambda _: None if self._interval is None else of(self._interval)

    def _present_reader(self, name: str) -> Callable[[int], int | None]:
        return lambda utc_ms: self._reading(name, self.source.readings(utc_ms))

    def _registers(self) -> _Registers:
        if self._read is None:
            a, b, c, d, e = self._totals
            # `rounded`, written out: totals are never negative, and this runs at every boundary.
            self._read = (
                (a + 1_800_000) // _MS_PER_HOUR,
                (b + 1_800_000) // _MS_PER_HOUR,
                (c + 1_800_000) // _MS_PER_HOUR,
                (d + 1_800_000) // _MS_PER_HOUR,
                (e + 1_800_000) // _MS_PER_HOUR,
            )
        return self._read

    def _demand(self, of: Callable[[Flow], int]) -> int | None:
        """Return the mean over the window's completed sub-intervals; None before the first has ended."""
        (begin_ms, begin), (end_ms, end) = self._window[0], self._window[-1]
        if end_ms == begin_ms or not self._present:
            return None
        return rounded(of(end) - of(begin), end_ms - begin_ms)

    def _mean_power_factor(self) -> int | None:
        begin, end = self._window[0][1], self._window[-1][1]
        if not self._present:
            return None
        active = end.w_delivered - end.w_received - begin.w_delivered + begin.w_received
        reactive = end.var_delivered - end.var_received - begin.var_delivered + begin.var_received
        return self._power_factor(active, reactive, end.va - begin.va)

    def _power_factor(self, active: int, reactive: int, apparent: int) -> int | None:
        """Return the signed power factor times 1000; None without load."""
        if apparent <= 0:
            return None
        size = min(1000, rounded(abs(active) * 1000, apparent))
        negative = active < 0 if self.setup.pf_sign == "IEC" else active * reactive > 0
        return -size if negative else size

    def _reading(self, name: str, readings: Mapping[str, int | None]) -> int | None:
        if name in readings:
            return readings[name]
        what, _, where = name.rpartition(" ")
        active, reactive = readings.get(f"kW {where}"), readings.get(f"kVAR {where}")
        if what not in ("kVA", "PF sign") or active is None or reactive is None:
            return None
        apparent = _root(active * active + reactive * reactive)
        return apparent if what == "kVA" else self._power_factor(active, reactive, apparent)


_ENERGIES: Final[dict[str, Callable[[_Registers], int]]] = {
    "kWh del": lambda r: r[0],
    "kWh rec": lambda r: r[1],
    "kWh del-rec": lambda r: r[0] - r[1],
    "kWh del+rec": lambda r: r[0] + r[1],
    "kVARh del": lambda r: r[2],
    "kVARh rec": lambda r: r[3],
    "kVARh del-rec": lambda r: r[2] - r[3],
    "kVARh del+rec": lambda r: r[2] + r[3],
    "kVAh del+rec": lambda r: r[4],
}


def _root(square: int) -> int:
    """Return the square root to the nearest integer."""
    low = isqrt(square)
    return low + (square - low * low > low)
