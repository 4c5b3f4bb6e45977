"""A load, perhaps with photovoltaics: believable, seeded, and the same however it is asked.

Power is constant in integer watts within each step, so flows are exact and any division of a span adds
up to the same. What happens in a step depends on the seed and the day alone.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from random import Random
from typing import Final

from iondlms.errors import LocalError
from iondlms.ion import Flow

from .shapes import SHAPES

__all__ = ["PHASE_SHARES", "SimulatedLoad"]

# Of the total, in thousandths.
PHASE_SHARES: Final = {"a": 340, "b": 345, "c": 315}

_DAY_MS: Final = 86_400_000
_DAYS_KEPT: Final = 2  # today and, at midnight, yesterday; 90 kB each with steps of a minute
_TAU: Final = 2 * math.pi


@dataclass(frozen=True, slots=True)
class _Day:
    """One local day: power in each step, and what flowed from midnight to each step's begin."""

    active: array[int]  # W, positive is delivered
    reactive: array[int]  # var
    apparent: array[int]  # VA
    sums: tuple[array[int], array[int], array[int], array[int], array[int]]  # in the order of Flow, W·step


class SimulatedLoad:
    """A `Source`: three-phase load of `peak_kw` with solar panels of `solar_kw` on its roof.

    `shape` is what the load is of: office, household, factory or ev_charging; it has its own usual sizes.
    `utc_offset_min` is the local standard time that people and sun keep. `step_s` divides the day; with
    900 instead of 60 a fleet of thousands takes 12 kB a meter instead of 180.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        shape: str = "office",
        peak_kw: int | None = None,
        solar_kw: int | None = None,
        latitude: float = 40.0,
        utc_offset_min: int = 0,
        nominal_v: int = 230,
        nominal_hz: int = 50,
        step_s: int = 60,
    ) -> None:
        if step_s < 1 or 86_400 % step_s:
            raise LocalError(f"a step of {step_s} s does not divide the day")
        if shape not in SHAPES:
            raise LocalError(f"no load shape is called {shape!r}; there are {', '.join(SHAPES)}")
        self._shape = SHAPES[shape]
        peak_kw = self._shape.peak_kw if peak_kw is None else peak_kw
        solar_kw = self._shape.solar_kw if solar_kw is None else solar_kw
        if not 0 <= peak_kw <= 1_000_000 or not 0 <= solar_kw <= 1_000_000:
            raise LocalError("peak and solar power must be within 0 to 1000000 kW")
        if not -66.0 <= latitude <= 66.0:
            raise LocalError(f"a latitude of {latitude} has days without sunrise; take -66 to 66")
        self._seed = seed
        self._peak_w = peak_kw * 1000
        self._solar_w = solar_kw * 1000
        self._latitude = math.radians(latitude)
        self._shift_ms = utc_offset_min * 60_000
        self._nominal_v = nominal_v
        self._nominal_hz = nominal_hz
        self._step_ms = step_s * 1000
        self._days: OrderedDict[int, _Day] = OrderedDict()
        self._hours, self._sun = _courses(86_400 // step_s)

    def flow(self, start_ms: int, end_ms: int) -> Flow:
        """Return what flowed from `start_ms` to `end_ms`."""
        day, start = divmod(start_ms + self._shift_ms, _DAY_MS)
        last_day, end = divmod(end_ms + self._shift_ms, _DAY_MS)
        if day == last_day:
            a, b = self._since_midnight(day, start), self._since_midnight(day, end)
            return Flow(b[0] - a[0], b[1] - a[1], b[2] - a[2], b[3] - a[3], b[4] - a[4])
        totals = [-amount for amount in self._since_midnight(day, start)]
        for each in range(day, last_day):
            for channel, amount in enumerate(self._since_midnight(each, _DAY_MS)):
                totals[channel] += amount
        for channel, amount in enumerate(self._since_midnight(last_day, end)):
            totals[channel] += amount
        return Flow(*totals)

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        """Return present values of the three phases; the totals are those that flow."""
        day_number, of_day = divmod(utc_ms + self._shift_ms, _DAY_MS)
        day, step = self._day(day_number), of_day // self._step_ms
        # A string seeds alike on every machine and in every process, which hash() does not.
        random = Random(f"{self._seed}:readings:{utc_ms // 1000}")
        readings: dict[str, int | None] = {
            "kW tot": day.active[step],
            "kVAR tot": day.reactive[step],
            "kVA tot": day.apparent[step],
            "Freq": self._nominal_hz * 1000 + round(random.gauss(0, 12)),
        }
        rest = [day.active[step], day.reactive[step]]
        sag = day.active[step] / (self._peak_w or 1)  # the feeder's voltage falls a little with load
        for phase, share in (("a", PHASE_SHARES["a"]), ("b", PHASE_SHARES["b"]), ("c", None)):
            active, reactive = (
                rest if share is None else [total * share // 1000 for total in _totals(day, step)]
            )
            rest = [rest[0] - active, rest[1] - reactive]
            apparent = math.isqrt(active * active + reactive * reactive)
            volts_m = round(self._nominal_v * 1000 * (1.008 - 0.018 * sag + random.gauss(0, 0.0012)))
            readings[f"kW {phase}"] = active
            readings[f"kVAR {phase}"] = reactive
            readings[f"kVA {phase}"] = apparent
            readings[f"Vln {phase}"] = volts_m
            readings[f"I {phase}"] = apparent * 1_000_000 // volts_m
        return readings

    def _since_midnight(self, day_number: int, of_day_ms: int) -> tuple[int, int, int, int, int]:
        day = self._day(day_number)
        step, rest = divmod(of_day_ms, self._step_ms)
        length = self._step_ms
        a, b, c, d, e = day.sums
        if not rest:
            return a[step] * length, b[step] * length, c[step] * length, d[step] * length, e[step] * length
        active, reactive = day.active[step], day.reactive[step]
        return (
            a[step] * length + max(active, 0) * rest,
            b[step] * length + max(-active, 0) * rest,
            c[step] * length + max(reactive, 0) * rest,
            d[step] * length + max(-reactive, 0) * rest,
            e[step] * length + day.apparent[step] * rest,
        )

    def _day(self, number: int) -> _Day:
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = self._make_day(number)
            if len(self._days) > _DAYS_KEPT:
                self._days.popitem(last=False)
        return day

    def _make_day(self, number: int) -> _Day:
        random = Random(f"{self._seed}:day:{number}")
        steps = _DAY_MS // self._step_ms
        load = self._shape.load(self._seed, number, self._hours, self._peak_w, random)
        solar = self._solar(number, steps, random)
        noise = [random.random() for _ in range(steps)]
        active = [
            int(use * (0.97 + 0.06 * dice)) - sun for use, sun, dice in zip(load, solar, noise, strict=True)
        ]
        # Motors and air conditioning lag; a capacitor bank, which nobody switches off at night, leads.
        bank = int(self._shape.bank * self._peak_w)
        lag = self._shape.lag + 0.08 * random.random()
        reactive = [
            int(use * lag * (0.94 + 0.12 * dice) - bank)
            for use, dice in zip(load, reversed(noise), strict=True)
        ]
        apparent = [int(math.hypot(p, q) + 0.5) for p, q in zip(active, reactive, strict=True)]
        return _Day(
            array("q", active),
            array("q", reactive),
            array("q", apparent),
            (
                _sums([power if power > 0 else 0 for power in active]),
                _sums([-power if power < 0 else 0 for power in active]),
                _sums([power if power > 0 else 0 for power in reactive]),
                _sums([-power if power < 0 else 0 for power in reactive]),
                _sums(apparent),
            ),
        )

    def _solar(self, number: int, steps: int, random: Random) -> list[int]:
        """Return watts in each step: the sun's height over the horizon, dimmed by the day's clouds."""
        declination = -0.4091 * math.cos(_TAU * (number % 365.25 + 10) / 365.25)
        vertical = math.sin(self._latitude) * math.sin(declination)
        horizontal = math.cos(self._latitude) * math.cos(declination)
        clear = random.random() ** 0.6  # most days are fair
        # Clouds drift: their shade is drawn for every ten minutes and goes over from one to the next.
        shade = [clear + (1 - clear) * random.random() * 0.5 for _ in range(146)]
        scale = self._solar_w * 0.92
        watts = [0] * steps
        for step, sun in enumerate(self._sun):
            height = vertical - horizontal * sun
            if height > 0:
                place = self._hours[step] * 6
                index = int(place)
                sky = shade[index] + (shade[index + 1] - shade[index]) * (place - index)
                watts[step] = int(scale * height * sky)
        return watts


def _totals(day: _Day, step: int) -> tuple[int, int]:
    return day.active[step], day.reactive[step]


def _sums(powers: list[int]) -> array[int]:
    return array("q", accumulate(powers, initial=0))


@cache
def _courses(steps: int) -> tuple[list[float], list[float]]:
    """Return the hour and the sun's way in the middle of each step; all loads share them."""
    hours = [(step + 0.5) * 24 / steps for step in range(steps)]
    return hours, [math.cos(_TAU * hour / 24) for hour in hours]
