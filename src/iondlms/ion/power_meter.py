"""The Power Meter module: energy registers, interval energies, sliding-window demand, present values.

Everything is integrated in integers of W·ms and rounded only when a value is read. Over a source with
registers of its own, another meter's, those are shown as they are, and energies are their differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final, TypeAlias, TypeVar

from iondlms.errors import LocalError

from .event_log import Priority
from .present import Extremes, PfSign, power_factor, present
from .quadrants import QUADRANTS, QuadrantRegisters, QuadrantState
from .quantities import QUANTITIES, Kind, Quantity, quantity, rounded
from .source import NO_FLOW, Flow, Registers, RegisterSource, Source, TellingSource, moved

__all__ = ["PowerMeter", "PowerMeterSetup", "PowerMeterState", "Reader"]

_MS_PER_HOUR: Final = 3_600_000
_T = TypeVar("_T")

# Registers in Wh, varh and VAh: delivered, received, delivered, received, total.
_Registers = tuple[int, int, int, int, int]
_Interval = tuple[int | None, int | None, int | None, int | None, int | None]
_Flags = tuple[bool, bool, bool, bool, bool]  # one for each register

Reader: TypeAlias = "Callable[[PowerMeter, int], int | None]"  # the instant; a quantity times 1000

_ALL: Final[_Flags] = (True, True, True, True, True)
_NONE: Final[_Flags] = (False, False, False, False, False)


@dataclass(frozen=True, slots=True)
class PowerMeterSetup:
    """Settings of the registers and of the sliding window; LocalError for a value out of its range."""

    sub_interval_s: int = 300
    sub_intervals: int = 3  # 15 minutes, the usual billing window
    rollover: int = 10_000_000  # in k-units
    # IEC: the sign of the active power. IEEE: negative while the current lags.
    pf_sign: PfSign = "IEC"
    # How often present values are looked at for their maxima and minima, where any is recorded. The
    # meters do it each second; a minute is what a simulated load changes in, and a year of it takes seconds.
    sample_s: int = 60

    def __post_init__(self) -> None:
        if not 1 <= self.sub_interval_s <= 5940:
            raise LocalError(f"a demand sub-interval of {self.sub_interval_s} s is not within 1 to 5940")
        if not 1 <= self.sub_intervals <= 15:
            raise LocalError(f"{self.sub_intervals} demand sub-intervals are not within 1 to 15")
        if not 1 <= self.sample_s <= 3600:
            raise LocalError(f"a sample each {self.sample_s} s is not within 1 to 3600")
        # The kept values must fit long64 with room for sums; 10**15 k-units do.
        if not 1 <= self.rollover <= 10**15:
            raise LocalError(f"a rollover of {self.rollover} is not within 1 to 10**15")


@dataclass(frozen=True, slots=True)
class PowerMeterState:
    """What the Power Meter must still know after a power cut."""

    totals: Flow = NO_FLOW
    interval_begin: _Registers = (0, 0, 0, 0, 0)
    interval: _Interval | None = None
    followed: _Flags = _NONE  # registers that show those of the source
    extremes: Mapping[str, int] = field(default_factory=dict)  # maxima and minima by name
    quadrants: QuadrantState = field(default_factory=QuadrantState)
    rollover: int = 0  # k-units, as the settings had it; 0 in states written before it was kept


class PowerMeter:
    """Integrates a source.

    Registers are rounded to Wh on reading and an interval energy is the difference of two such
    readings, so its remainder is in the next interval, and intervals add up to the register to the last
    Wh. Net values are differences of the registers shown, so del - rec is del-rec in every record.

    `notice` is told when registers turn over or become another meter's, and when a source that does not
    tell it itself falls silent or is back: the instant, an event's priority, cause and effect.
    """

    # Ten thousand meters may be in one process: no dict each, and no reader of their own each (`_READERS`).
    __slots__ = (
        "_elapsed_ms", "_extremes", "_followed", "_interval", "_interval_begin", "_known", "_meter",
        "_notice", "_quadrants", "_read", "_roll", "_silent", "_source", "_totals", "_window", "setup",
    )  # fmt: skip

    def __init__(
        self,
        source: Source,
        setup: PowerMeterSetup | None = None,
        notice: Callable[[int, int, str, str], None] = lambda *_: None,
    ) -> None:
        self.setup = PowerMeterSetup() if setup is None else setup
        self.source = source
        self._notice = notice
        self._roll = self.setup.rollover * 1000
        self._totals = NO_FLOW
        self._elapsed_ms = 0
        self._known = _ALL  # which registers the source knew last time; not asked yet is no silence
        self._silent = False  # whether it knew none, as last told
        self._followed = _NONE
        self._interval_begin: _Registers = (0, 0, 0, 0, 0)
        self._interval: _Interval | None = None
        self._read: _Registers | None = None  # registers of `_totals`, until they move
        # (elapsed, totals) at the sub-interval boundaries that the window spans
        self._window: list[tuple[int, Flow]] = [(0, NO_FLOW)]
        self._extremes = Extremes()
        self._quadrants = QuadrantRegisters()

    def change(self, setup: PowerMeterSetup) -> None:
        """Take other settings; the registers go on, and the sliding window begins anew if it is another."""
        before, self.setup = self.setup, setup
        self._roll = setup.rollover * 1000
        if (before.sub_interval_s, before.sub_intervals) != (setup.sub_interval_s, setup.sub_intervals):
            self.restart_window()

    @property
    def source(self) -> Source:
        """What is measured."""
        return self._source

    @source.setter
    def source(self, source: Source) -> None:
        self._source = source
        self._meter = source if isinstance(source, RegisterSource) else None

    @property
    def state(self) -> PowerMeterState:
        """What to keep for `restore`."""
        return PowerMeterState(
            self._totals,
            self._interval_begin,
            self._interval,
            self._followed,
            dict(self._extremes.values),
            self._quadrants.state,
            self.setup.rollover,
        )

    def restore(self, state: PowerMeterState) -> None:
        """Go on from kept registers; the sliding window begins anew, as it does after a power cut."""
        self._totals, self._followed = state.totals, state.followed
        self._interval_begin, self._interval = state.interval_begin, state.interval
        self._extremes.restore(state.extremes)
        self._quadrants.state = state.quadrants
        self._read = None
        self.restart_window()

    def restart_window(self) -> None:
        """Forget the demand of the time before."""
        if self._meter is not None:
            self._known = _NONE  # its next answer tells of that time too
        self._window = [(self._elapsed_ms, self._totals)]

    def master_reset(self) -> None:
        """Set every register to 0, and begin interval, window, maxima and minima anew.

        Registers of the source are its own: they are shown again with its next answer.
        """
        self.restore(PowerMeterState())

    def integrate(self, start_ms: int, end_ms: int) -> None:
        """Add what flowed between two instants of the meter's UTC."""
        if end_ms <= start_ms:
            return
        if self._meter is not None:
            self._elapsed_ms += end_ms - start_ms
            modulus = self._meter.rollover * 1000
            if self._followed is not _ALL:
                self._follow(self._meter.registers(start_ms), modulus, start_ms)
            self._follow(self._meter.registers(end_ms), modulus, end_ms)
            return
        self._quadrants.integrate(self._source, start_ms, end_ms)
        flow = self._source.flow(start_ms, end_ms)
        # First: after a silence the window begins with this span, however long it happens to be.
        self._now_known(_NONE if flow is None else _ALL, start_ms)
        self._elapsed_ms += end_ms - start_ms
        if flow is not None:
            a, b, c, d, e = self._totals
            self._totals = Flow(a + flow[0], b + flow[1], c + flow[2], d + flow[3], e + flow[4])
            self._read = None
            self._followed = _NONE

    def end_sub_interval(self, at_ms: int = 0) -> None:
        """Move the sliding window on."""
        self._window = [*self._window[-self.setup.sub_intervals :], (self._elapsed_ms, self._totals)]
        self._extremes.look(Kind.DEMAND, lambda name: self.value(name, at_ms))

    @property
    def samples(self) -> bool:
        """Whether anybody records a maximum or minimum of present values."""
        return self._extremes.watches(Kind.PRESENT)

    def sample(self, at_ms: int) -> None:
        """Look at the present values for their maxima and minima."""
        readings = self._source.readings(at_ms)
        self._extremes.look(Kind.PRESENT, lambda name: present(name, readings, self.setup.pf_sign))

    def end_interval(self, at_ms: int = 0) -> None:
        """Latch the interval energies.

        While the source is silent the interval has no value, and what came until then is carried into
        the next that has one.
        """
        self._quadrants.end_interval()
        if self._known is _NONE:
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
        if self._meter is None:
            self._tell_rollovers(begin, now, at_ms)
        if self._known is not _ALL:
            self._interval = _five(
                [None if not known else each for known, each in zip(self._known, self._interval, strict=True)]
            )
            self._interval_begin = _five(
                [new if known else old for known, new, old in zip(self._known, now, begin, strict=True)]
            )

    def reader(self, name: str) -> Callable[[int], int | None]:
        """Return a function from the instant to the value of that quantity; LocalError for no such name.

        A maximum or minimum, and what is told by quadrant, begins with the first that asks for its reader.
        """
        (read,) = self.readers((name,))
        return partial(read, self)

    def readers(self, names: tuple[str, ...]) -> tuple[Reader, ...]:
        """Return the same for many, as functions of any Power Meter and the instant: all share them."""
        for name in names:
            if quantity(name).of:
                self._extremes.watch(name)
            if name.startswith(QUADRANTS):
                self._quadrants.watched = True
        return _readers_of(names)

    def value(self, name: str, utc_ms: int) -> int | None:
        """Return the quantity times 1000, None while it has no value; LocalError for no such name."""
        return _READERS[quantity(name).name](self, utc_ms)

    def _energy(self, channels: tuple[int, ...], of: Callable[[_Registers], int]) -> int | None:
        if not self._knows(channels):
            return None
        total = of(self._registers())
        if self._meter is not None:
            return total  # it turns over where the meter's own does
        # A net register rolls over at both ends.
        return total % self._roll if total >= 0 else -(-total % self._roll)

    def _interval_energy(self, channels: tuple[int, ...], of: Callable[[_Registers], int]) -> int | None:
        interval = self._interval
        if interval is None or any(interval[channel] is None for channel in channels):
            return None
        # What is None is of a channel that `of` does not look at.
        return of(_five([each or 0 for each in interval]))

    def _present(self, name: str, utc_ms: int) -> int | None:
        return present(name, self._source.readings(utc_ms), self.setup.pf_sign)

    def _shown(self, name: str, of: Reader, utc_ms: int) -> int | None:
        """Return the source's own value where another meter is shown and has one."""
        if self._meter is not None:
            shown = self._meter.readings(utc_ms)
            if name in shown:
                return shown[name]
        return of(self, utc_ms)

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

    def _knows(self, channels: tuple[int, ...]) -> bool:
        known = self._known
        return known is _ALL or all(known[channel] for channel in channels)

    def _now_known(self, known: _Flags, at_ms: int) -> None:
        """Take which registers the source knows now.

        What flowed while it was silent is energy, but nobody's demand: the window begins anew.
        """
        silent = known is _NONE
        if silent is not self._silent:
            self._silent = silent
            if not isinstance(self._source, TellingSource):
                priority = Priority.WARNING if silent else Priority.INFORMATION
                self._notice(at_ms, priority, "Source", "has no values" if silent else "has values again")
        if known is not self._known:
            if any(now and not before for now, before in zip(known, self._known, strict=True)):
                self.restart_window()
            self._known = known

    def _tell_rollovers(self, before: _Registers, now: _Registers, at_ms: int) -> None:
        for name, old, new in zip(_NAMES, before, now, strict=True):
            if old // self._roll != new // self._roll:
                text = f"{name} rolled over at {self.setup.rollover}"
                self._notice(at_ms, Priority.INFORMATION, "Power Meter", text)

    def _follow(self, shown: Registers | None, modulus: int, at_ms: int) -> None:
        """Show the registers of the source, which turn over at `modulus`, as they are.

        How far they moved since they were seen last is energy, be it that this meter or the way to the
        other was dead meanwhile. Their first reading, or that of another meter, is none: interval and
        window are shifted along with it.
        """
        if shown is None:
            self._now_known(_NONE, at_ms)
            return
        known = _five([each is not None for each in shown])
        before, followed = self._registers(), self._followed
        now = _five([old if new is None else new for old, new in zip(before, shown, strict=True)])
        moves = [moved(old, new, modulus) for old, new in zip(before, now, strict=True)]
        if any(each is None and mine for each, mine in zip(moves, followed, strict=True)):
            shifts = [new - old for old, new in zip(before, now, strict=True)]
            text = f"registers went back from {before} to {now}: another meter, or one that was reset"
            self._notice(at_ms, Priority.WARNING, "Source meter", text)
        else:
            shifts = [
                new - old - (move if mine and move is not None else 0)
                for old, new, move, mine in zip(before, now, moves, followed, strict=True)
            ]
            for name, shift, old, new, mine in zip(_NAMES, shifts, before, now, followed, strict=True):
                if shift and mine:
                    text = f"{name} rolled over from {old} to {new}"
                    self._notice(at_ms, Priority.INFORMATION, "Source meter", text)
        if known != _ALL:
            self._followed = _five([a or b for a, b in zip(followed, known, strict=True)])
        else:
            known = self._followed = _ALL  # the very object: the fast paths look for it
        self._totals = Flow(*(each * _MS_PER_HOUR for each in now))
        self._read = now
        if any(shifts):
            self._shift(shifts)
        self._now_known(known, at_ms)

    def _shift(self, shifts: list[int]) -> None:
        """Move what interval and window began with, Wh, so that a jump of the registers is no energy."""
        begin = zip(self._interval_begin, shifts, strict=True)
        self._interval_begin = _five([each + shift for each, shift in begin])
        for index, (elapsed_ms, totals) in enumerate(self._window):
            jumped = zip(totals, shifts, strict=True)
            self._window[index] = (
                elapsed_ms,
                Flow(*(each + shift * _MS_PER_HOUR for each, shift in jumped)),
            )

    def _active_demand(self, _: int) -> int | None:
        return self._demand((0, 1), lambda flow: flow.w_delivered - flow.w_received)

    def _reactive_demand(self, _: int) -> int | None:
        return self._demand((2, 3), lambda flow: flow.var_delivered - flow.var_received)

    def _apparent_demand(self, _: int) -> int | None:
        return self._demand((4,), lambda flow: flow.va)

    def _demand(self, channels: tuple[int, ...], of: Callable[[Flow], int]) -> int | None:
        """Return the mean over the window's completed sub-intervals; None before the first has ended."""
        (begin_ms, begin), (end_ms, end) = self._window[0], self._window[-1]
        if end_ms == begin_ms or not self._knows(channels):
            return None
        return rounded(of(end) - of(begin), end_ms - begin_ms)

    def _mean_power_factor(self, _: int) -> int | None:
        begin, end = self._window[0][1], self._window[-1][1]
        if self._known is not _ALL:
            return None
        active = end.w_delivered - end.w_received - begin.w_delivered + begin.w_received
        reactive = end.var_delivered - end.var_received - begin.var_delivered + begin.var_received
        return power_factor(active, reactive, end.va - begin.va, self.setup.pf_sign)


# Which registers a quantity is made of, and how.
_ENERGIES: Final[dict[str, tuple[tuple[int, ...], Callable[[_Registers], int]]]] = {
    "kWh del": ((0,), lambda r: r[0]),
    "kWh rec": ((1,), lambda r: r[1]),
    "kWh del-rec": ((0, 1), lambda r: r[0] - r[1]),
    "kWh del+rec": ((0, 1), lambda r: r[0] + r[1]),
    "kVARh del": ((2,), lambda r: r[2]),
    "kVARh rec": ((3,), lambda r: r[3]),
    "kVARh del-rec": ((2, 3), lambda r: r[2] - r[3]),
    "kVARh del+rec": ((2, 3), lambda r: r[2] + r[3]),
    "kVAh del+rec": ((4,), lambda r: r[4]),
}
_WINDOW: Final = {
    "kW sd del-rec": PowerMeter._active_demand,
    "kVAR sd del-rec": PowerMeter._reactive_demand,
    "kVA sd del+rec": PowerMeter._apparent_demand,
    "PF sign mean": PowerMeter._mean_power_factor,
}
_NAMES: Final = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")


def _five(each: list[_T]) -> tuple[_T, _T, _T, _T, _T]:
    a, b, c, d, e = each
    return a, b, c, d, e


def _make_reader(item: Quantity) -> Reader:
    name = item.name
    if name.startswith(QUADRANTS):
        return _or_shown(name, lambda meter, _: meter._quadrants.value(name, meter._roll))
    if name in _WINDOW:
        return _or_shown(name, _WINDOW[name])
    if item.kind is Kind.ENERGY:
        channels, of = _ENERGIES[name]
        return lambda meter, _: meter._energy(channels, of)
    if item.kind is Kind.INTERVAL_ENERGY:
        channels, of = _ENERGIES[name.removesuffix(" int")]
        return lambda meter, _: meter._interval_energy(channels, of)
    if item.of:
        return _or_shown(name, lambda meter, _: meter._extremes.values.get(name))
    return lambda meter, utc_ms: meter._present(name, utc_ms)


def _or_shown(name: str, of: Reader) -> Reader:
    return lambda meter, utc_ms: meter._shown(name, of, utc_ms)


_READERS: Final = {name: _make_reader(item) for name, item in QUANTITIES.items()}


@lru_cache(maxsize=64)
def _readers_of(names: tuple[str, ...]) -> tuple[Reader, ...]:
    return tuple([_READERS[name] for name in names])
