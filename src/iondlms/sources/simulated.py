"""A load, perhaps with photovoltaics: believable, seeded, and the same however it is asked.

Power is constant in integer watts within each step, so flows are exact and any division of a span adds
up to the same. What happens in a step depends on the seed and the day alone.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from functools import cache
from random import Random
from typing import Final, NamedTuple

from iondlms.errors import LocalError
from iondlms.ion import Flow, Quadrants, rounded

from .shapes import SHAPES

__all__ = ["PHASE_SHARES", "SimulatedLoad", "between_phases"]

# Of the total, in thousandths.
PHASE_SHARES: Final = {"a": 340, "b": 345, "c": 315}

_DAY_MS: Final = 86_400_000
_TAU: Final = 2 * math.pi


class _Day(NamedTuple):
    """One local day: the power in each step. Four octets a number: thousands of meters keep one day each."""

    active: array[int]  # W, positive is delivered
    reactive: array[int]  # var


_NO_DAY: Final = _Day(array("i"), array("i"))


class SimulatedLoad:
    """A `Source`: three-phase load of `peak_kw` with solar panels of `solar_kw` on its roof.

    `shape` is what the load is of: office, household, factory or ev_charging; it has its own usual sizes.
    `utc_offset_min` is the local standard time that people and sun keep. `step_s` divides the day; with
    900 instead of 60 a meter of a fleet of thousands takes 1 kB instead of 12.
    """

    __slots__ = (
        "_day_number", "_hours", "_latitude", "_made", "_nominal_hz", "_nominal_v", "_peak_w", "_seed",
        "_shape", "_shift_ms", "_solar_w", "_step_ms", "_sun",
    )  # fmt: skip

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
        self._day_number: int | None = None  # which day is kept
        self._made = _NO_DAY
        self._hours, self._sun = _courses(86_400 // step_s)

    def flow(self, start_ms: int, end_ms: int) -> Flow:
        """Return what flowed from `start_ms` to `end_ms`."""
        length = end_ms - start_ms
        number, at = divmod(start_ms + self._shift_ms, _DAY_MS)
        step, into = divmod(at, self._step_ms)
        if 0 < length <= self._step_ms - into:  # of one step, as where a meter is asked again and again
            day = self._day(number)
            active, reactive = day.active[step], day.reactive[step]
            return Flow(
                active * length if active > 0 else 0,
                0 if active > 0 else -active * length,
                reactive * length if reactive > 0 else 0,
                0 if reactive > 0 else -reactive * length,
                _apparent(active, reactive) * length,
            )
        a = b = c = d = e = 0
        for active, reactive, length in self._steps(start_ms, end_ms):
            if active > 0:
                a += active * length
            else:
                b -= active * length
            if reactive > 0:
                c += reactive * length
            else:
                d -= reactive * length
            e += _apparent(active, reactive) * length
        return Flow(a, b, c, d, e)

    def quadrants(self, start_ms: int, end_ms: int) -> Quadrants:
        """Return the reactive energy that flowed from `start_ms` to `end_ms`, by quadrant."""
        totals = [0, 0, 0, 0]
        for active, reactive, length in self._steps(start_ms, end_ms):
            totals[_quadrant(active, reactive)] += abs(reactive) * length
        return Quadrants(*totals)

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        """Return present values of the three phases, which add up to the totals; and those are what flows.

        Averages, unbalance and power factors follow from them in the Power Meter.
        """
        day_number, of_day = divmod(utc_ms + self._shift_ms, _DAY_MS)
        day, step = self._day(day_number), of_day // self._step_ms
        # A string seeds alike on every machine and in every process, which hash() does not.
        random = Random(f"{self._seed}:readings:{utc_ms // 1000}")
        readings: dict[str, int | None] = {
            "kW tot": day.active[step],
            "kVAR tot": day.reactive[step],
            "kVA tot": _apparent(*_totals(day, step)),
            "Freq": self._nominal_hz * 1000 + round(random.gauss(0, 12)),
        }
        rest = [day.active[step], day.reactive[step]]
        sag = day.active[step] / (self._peak_w or 1)  # the feeder's voltage falls a little with load
        for phase, share in (("a", PHASE_SHARES["a"]), ("b", PHASE_SHARES["b"]), ("c", None)):
            active, reactive = (
                rest if share is None else [total * share // 1000 for total in _totals(day, step)]
            )
            rest = [rest[0] - active, rest[1] - reactive]
            apparent = int(math.hypot(active, reactive) + 0.5)
            volts_m = round(self._nominal_v * 1000 * (1.008 - 0.018 * sag + random.gauss(0, 0.0012)))
            readings[f"kW {phase}"] = active
            readings[f"kVAR {phase}"] = reactive
            readings[f"kVA {phase}"] = apparent
            readings[f"Vln {phase}"] = volts_m
            readings[f"I {phase}"] = rounded(apparent * 1_000_000, volts_m)
        return readings | between_phases(readings)

    def _steps(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int, int]]:
        """Yield active and reactive power of each step of a span, W and var, and how long it is in it, ms."""
        step_ms, left = self._step_ms, end_ms - start_ms
        number, at = divmod(start_ms + self._shift_ms, _DAY_MS)
        while left > 0:
            first, into = divmod(at, step_ms)
            end = first + (into + left - 1) // step_ms + 1
            day = self._day(number)
            for active, reactive in zip(day.active[first:end], day.reactive[first:end], strict=True):
                length = min(step_ms - into, left)
                yield active, reactive, length
                left -= length
                into = 0
            number, at = number + 1, 0

    def _day(self, number: int) -> _Day:
        if number != self._day_number:
            self._made, self._day_number = self._make_day(number), number
        return self._made

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
        return _Day(array("i", active), array("i", reactive))

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


def between_phases(readings: Mapping[str, int | None]) -> dict[str, int | None]:
    """Return the volts between phases that are 120 degrees apart, from those of each phase."""
    found: dict[str, int | None] = {}
    for first, second in ("ab", "bc", "ca"):
        one, other = readings[f"Vln {first}"] or 0, readings[f"Vln {second}"] or 0
        found[f"Vll {first}{second}"] = int(math.sqrt(one * one + other * other + one * other) + 0.5)
    return found


def _quadrant(active: int, reactive: int) -> int:
    """Return 0 to 3, against the clock from both delivered."""
    if reactive >= 0:
        return 0 if active >= 0 else 1
    return 3 if active >= 0 else 2


def _totals(day: _Day, step: int) -> tuple[int, int]:
    return day.active[step], day.reactive[step]


def _apparent(active: int, reactive: int) -> int:
    return int(math.hypot(active, reactive) + 0.5)


@cache
def _courses(steps: int) -> tuple[list[float], list[float]]:
    """Return the hour and the sun's way in the middle of each step; all loads share them."""
    hours = [(step + 0.5) * 24 / steps for step in range(steps)]
    return hours, [math.cos(_TAU * hour / 24) for hour in hours]
