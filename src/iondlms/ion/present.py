"""Present values: those that the source knows, and those that follow from them; largest and smallest ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Final, Literal

from .quantities import QUANTITIES, Kind, rounded

__all__ = ["Extremes", "PfSign", "power_factor", "present"]

PfSign = Literal["IEC", "IEEE"]

_PHASES: Final = {"Vln": "abc", "I": "abc", "kW": "abc", "kVAR": "abc", "Vll": ("ab", "bc", "ca")}


def present(name: str, readings: Mapping[str, int | None], pf_sign: PfSign) -> int | None:
    """Return a quantity times 1000 from the readings of one moment, None where they do not tell.

    What the source says itself goes first. Worked out are only values that follow exactly from others:
    sums and means of all three phases, unbalance, apparent power, power factor. Volts between phases are
    not among them, since nobody knows the angles.
    """
    what, _, where = name.rpartition(" ")
    if name in readings and not (what == "PF sign" and pf_sign == "IEEE"):
        return readings[name]  # a source writes its power factor with IEC's sign
    if what == "PF sign":
        active, reactive = (
            present(f"kW {where}", readings, pf_sign),
            present(f"kVAR {where}", readings, "IEC"),
        )
        apparent = present(f"kVA {where}", readings, pf_sign)
        if active is None or reactive is None or apparent is None:
            return None
        return power_factor(active, reactive, apparent, pf_sign)
    if what == "kVA":
        active, reactive = (
            present(f"kW {where}", readings, pf_sign),
            present(f"kVAR {where}", readings, "IEC"),
        )
        return None if active is None or reactive is None else _root(active * active + reactive * reactive)
    if where == "unbal":
        # By phase in a star, between phases where only those are known.
        groups = ("I",) if what == "I" else ("Vln", "Vll")
        return next((_unbalance(each) for group in groups if (each := _three(group, readings))), None)
    phases = _three(what, readings) if where in ("tot", "avg") else None
    if phases is None:
        return None
    return sum(phases) if where == "tot" else rounded(sum(phases), 3)


def power_factor(active: int, reactive: int, apparent: int, pf_sign: PfSign) -> int | None:
    """Return the signed power factor times 1000; None without load."""
    if apparent <= 0:
        return None
    size = min(1000, rounded(abs(active) * 1000, apparent))
    negative = active < 0 if pf_sign == "IEC" else active * reactive > 0
    return -size if negative else size


def _three(what: str, readings: Mapping[str, int | None]) -> tuple[int, int, int] | None:
    a, b, c = (readings.get(f"{what} {phase}") for phase in _PHASES.get(what, "abc"))
    return None if a is None or b is None or c is None else (a, b, c)


def _unbalance(phases: tuple[int, int, int]) -> int | None:
    """Return the largest deviation from the mean, in thousandths of a percent of it; None if that is 0.

    NEMA MG1 14.34, which is how the Power Meter module does it.
    """
    whole = sum(phases)
    if whole <= 0:
        return None
    return rounded(max(abs(3 * each - whole) for each in phases) * 100_000, whole)


def _root(square: int) -> int:
    """Return the square root to the nearest integer."""
    low = isqrt(square)
    return low + (square - low * low > low)


class Extremes:
    """The largest and smallest values, since the last reset, of the quantities that are watched."""

    __slots__ = ("_watched", "values")

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self._watched: dict[Kind, list[str]] = {}  # by the kind of what they are the extremes of

    def watch(self, name: str) -> None:
        """Begin to watch a maximum or minimum."""
        of = self._watched.setdefault(QUANTITIES[QUANTITIES[name].of].kind, [])
        if name not in of:
            of.append(name)

    def watches(self, kind: Kind) -> bool:
        """Return whether anything of that kind is watched."""
        return kind in self._watched

    def look(self, kind: Kind, value: Callable[[str], int | None]) -> None:
        """Take the present values of what is watched of that kind; "no value" is no extreme."""
        for name in self._watched.get(kind, ()):
            item = QUANTITIES[name]
            now = value(item.of)
            if now is None:
                continue
            kept = self.values.get(name, now)
            self.values[name] = max(kept, now) if item.kind is Kind.MAXIMUM else min(kept, now)

    def restore(self, values: Mapping[str, int]) -> None:
        """Go on from kept values. Those that were not watched meanwhile are not of all the time: they go."""
        watched = {name for names in self._watched.values() for name in names}
        self.values = {name: value for name, value in values.items() if name in watched}
