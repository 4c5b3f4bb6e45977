"""What a day of a load looks like: watts by the hour, drawn from a seed and the day's number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final

__all__ = ["SHAPES", "Shape"]

_TAU: Final = 2 * math.pi

# Seed, day since 1970, hour in the middle of each step, watts at the peak, and the day's dice.
_Load = Callable[[int, int, Sequence[float], int, Random], list[float]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of load: its course of watts, its usual size, and what it does to the reactive power."""

    load: _Load
    peak_kw: int
    solar_kw: int
    lag: float  # var a watt, lagging
    bank: float  # leading var of a capacitor bank that is always on, of the peak


def _weekday(number: int) -> int:
    """Return 0 for Monday; day 0 was a Thursday."""
    return (number + 3) % 7


def _winter(number: int) -> float:
    """Return 1 in the middle of January and -1 in that of July."""
    return math.cos(_TAU * (number % 365.25 - 15) / 365.25)


def _office(_seed: int, number: int, hours: Sequence[float], peak_w: int, random: Random) -> list[float]:
    """A base, people by working day, and heating or cooling by season."""
    weekday = _weekday(number)
    presence = 1.0 if weekday < 5 else (0.45 if weekday == 5 else 0.08)
    climate = 0.16 * abs(_winter(number)) + 0.05
    opens, closes = 6.6 + random.random() * 0.8, 17.8 + random.random() * 1.4
    height = peak_w * (0.92 + 0.16 * random.random())
    base = 0.17 * height
    swing = height * presence * (0.62 + climate)
    steps = len(hours)
    shape = [base] * steps
    lunch = _lunch(steps)
    first, end = int(opens * steps / 24), int(closes * steps / 24) + 1
    for step in range(first, end):
        hour = hours[step]
        people = min((hour - opens) / 1.6, (closes - hour) / 2.2, 1.0)
        if people > 0:
            shape[step] = base + swing * people * lunch[step]
    return shape


def _household(_seed: int, number: int, hours: Sequence[float], peak_w: int, random: Random) -> list[float]:
    """A refrigerator's base, people in the morning and the evening, and the pulses of kettle and oven."""
    free = _weekday(number) >= 5
    dark = 1.0 + 0.35 * _winter(number)
    wakes, sleeps = (8.0 if free else 6.3) + random.random(), 22.0 + random.random() * 1.5
    shape = []
    for hour in hours:
        morning = math.exp(-((hour - wakes - 0.7) ** 2) / 0.6) * 0.28
        evening = math.exp(-((hour - 19.3) ** 2) / 5.0) * 0.34 * dark
        home = 0.10 if free and wakes < hour < sleeps else 0.0
        shape.append(peak_w * (0.04 + morning + evening + home))
    length = 24 / len(hours)
    for _ in range(random.randint(6, 14)):
        begin = wakes + random.random() ** 0.7 * (sleeps - wakes)
        _pulse(shape, begin, 0.05 + random.random() * 0.6, peak_w * (0.12 + 0.2 * random.random()), length)
    return shape


def _factory(_seed: int, number: int, hours: Sequence[float], peak_w: int, random: Random) -> list[float]:
    """Three shifts from Monday to Friday, one on Saturday, a dip when they change, a base on Sunday."""
    weekday = _weekday(number)
    shifts = {5: ((6.0, 14.0),), 6: ()}.get(weekday, ((0.0, 6.0), (6.0, 14.0), (14.0, 22.0), (22.0, 24.0)))
    shape = [0.22 * peak_w] * len(hours)
    for begin, end in shifts:
        busy = peak_w * (0.62 + 0.12 * random.random())
        for step, hour in enumerate(hours):
            if begin <= hour < end:
                # Machines stop a quarter of an hour before a change, but not at midnight.
                edge = min(hour - begin if begin else 1.0, end - hour if end < 24.0 else 1.0)
                shape[step] += busy * min(1.0, max(0.15, edge / 0.25))
    return shape


def _ev_charging(seed: int, number: int, hours: Sequence[float], peak_w: int, _random: Random) -> list[float]:
    """Charging points: cars come in the morning and after work, and some stay over midnight."""
    shape = [0.01 * peak_w] * len(hours)
    length = 24 / len(hours)
    for day, late in ((number - 1, 24.0), (number, 0.0)):
        random = Random(f"{seed}:cars:{day}")
        cars = random.randint(10, 22) if _weekday(day) < 5 else random.randint(5, 12)
        for _ in range(cars):
            comes = random.gauss(8.6, 1.1) if random.random() < 0.45 else random.gauss(18.2, 2.6)
            power = peak_w * random.choice((0.07, 0.07, 0.14, 0.3))
            stays = random.uniform(0.4, 5.0)
            _pulse(shape, comes - late, stays, power, length)
    return [min(watts, float(peak_w)) for watts in shape]  # the load management of the site


def _pulse(shape: list[float], begin: float, lasts: float, watts: float, length: float) -> None:
    """Add a load from one hour on, in whole steps, as far as it is in this day."""
    first = max(0, round(begin / length))
    for step in range(first, min(len(shape), max(round((begin + lasts) / length), first))):
        shape[step] += watts


@cache
def _lunch(steps: int) -> list[float]:
    return [1.0 - 0.14 * math.exp(-(((step + 0.5) * 24 / steps - 12.6) ** 2) / 0.5) for step in range(steps)]


SHAPES: Final[dict[str, Shape]] = {
    # Motors and air conditioning lag; a capacitor bank, which nobody switches off at night, leads.
    "office": Shape(_office, 240, 400, 0.40, 0.13),
    "household": Shape(_household, 9, 6, 0.12, 0.0),
    "factory": Shape(_factory, 1500, 0, 0.62, 0.25),
    # The inputs of chargers lead a little.
    "ev_charging": Shape(_ev_charging, 300, 0, -0.08, 0.0),
}
