"""Functions as sources, for programs that embed a meter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Final

from iondlms.errors import LocalError
from iondlms.ion import QUANTITIES, Flow, Kind, Registers, quantity, rounded

__all__ = ["CallableLoad", "CallableMeter", "Number"]

_LOG: Final = logging.getLogger("iondlms.sources.callable")
_ENERGIES: Final = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")

Number = int | float | Decimal | Fraction
_Values = Callable[[int], Mapping[str, Number | None] | None]


class CallableLoad:
    """A `Source` of a function of time that returns kW and kVAR, positive when delivered; None: unknown.

    The function gets UTC milliseconds. It is asked at the beginning of each step, perhaps for a time that
    has passed, and its power holds for the step. For a sensor that knows only the present take
    `CallableMeter`. `readings` may return present values by ION name, in ION's units.
    """

    def __init__(
        self,
        power: Callable[[int], tuple[Number, Number] | None],
        *,
        readings: _Values | None = None,
        step_s: int = 60,
    ) -> None:
        if step_s < 1:
            raise LocalError(f"a step of {step_s} s is none")
        self._power = power
        self._more = _Guarded(readings)
        self._step_ms = step_s * 1000
        self._faults = _Faults("power")
        self._known: dict[int, tuple[int, int] | None] = {}

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        """Return what flowed from `start_ms` to `end_ms`; None if no step of it is known."""
        sums: list[int] | None = None
        while start_ms < end_ms:
            step = start_ms // self._step_ms
            until_ms = min(end_ms, (step + 1) * self._step_ms)
            power = self._at(step)
            if power is not None:
                span, (active, reactive) = until_ms - start_ms, power
                sums = [0] * 5 if sums is None else sums
                sums[0 if active > 0 else 1] += abs(active) * span
                sums[2 if reactive > 0 else 3] += abs(reactive) * span
                sums[4] += _root(active * active + reactive * reactive) * span
            start_ms = until_ms
        return None if sums is None else Flow(*sums)

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        """Return the power of the step, and what `readings` returns."""
        power = self._at(utc_ms // self._step_ms)
        more = self._more(utc_ms) or {}
        return more if power is None else {"kW tot": power[0], "kVAR tot": power[1], **more}

    def _at(self, step: int) -> tuple[int, int] | None:
        if step not in self._known:
            if len(self._known) > 2:  # the present step and its neighbours are asked for again
                self._known.clear()
            try:
                power = self._power(step * self._step_ms)
                self._known[step] = None if power is None else (_kept(power[0]), _kept(power[1]))
                self._faults.none()
            except Exception as error:  # theirs, and a meter that runs for years outlives it
                self._faults.one(error)
                self._known[step] = None
        return self._known[step]


class CallableMeter:
    """A `RegisterSource` of a function that returns values by ION name, in ION's units: kWh, kW, V, A, Hz.

    Of the energies "kWh del", "kWh rec", "kVARh del", "kVARh rec" and "kVAh del+rec" those that it returns
    are shown as the meter's own registers. None, or an exception, which is logged: nothing is known now.
    """

    def __init__(self, values: _Values, *, rollover: int = 10_000_000) -> None:
        self.rollover = rollover  # k-units
        self._values = _Guarded(values)
        self._flowed: Registers | None = None

    def registers(self, utc_ms: int) -> Registers | None:
        """Return the registers; None while nothing is known."""
        values = self._values(utc_ms)
        return None if values is None else Registers(*(values.get(name) for name in _ENERGIES))

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        """Return all that is no energy."""
        values = self._values(utc_ms) or {}
        return {name: value for name, value in values.items() if QUANTITIES[name].kind is not Kind.ENERGY}

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:  # noqa: ARG002 - registers tell more
        """Return nothing: the Power Meter asks for the registers."""
        return None


class _Guarded:
    """A function's values times 1000; None where it has none or fails."""

    def __init__(self, values: _Values | None) -> None:
        self._values = values
        self._faults = _Faults("values")

    def __call__(self, utc_ms: int) -> dict[str, int | None] | None:
        if self._values is None:
            return None
        try:
            values = self._values(utc_ms)
            if values is None:
                return None
            kept = {
                quantity(name).name: None if value is None else _kept(value) for name, value in values.items()
            }
        except Exception as error:  # theirs, and a meter that runs for years outlives it
            self._faults.one(error)
            return None
        self._faults.none()
        return kept


class _Faults:
    """Tells of the first of a row of exceptions."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failing = False

    def one(self, error: Exception) -> None:
        if not self._failing:
            _LOG.error("the source's %s failed: %r; nothing is known until it answers", self._what, error)
        self._failing = True

    def none(self) -> None:
        self._failing = False


def _kept(value: Number) -> int:
    exact = Fraction(value) * 1000
    return rounded(exact.numerator, exact.denominator)


def _root(square: int) -> int:
    """Return the square root to the nearest integer."""
    low = isqrt(square)
    return low + (square - low * low > low)
