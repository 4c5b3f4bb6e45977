"""The ION names of what the meter measures, and the one form in which values are kept.

A value is an exact integer: the quantity in ION's own unit (kWh, kW, V, A, Hz, power factor) times
1000, rounded half away from zero; `None` is "no value". So a k-quantity is kept in Wh, varh, VAh, W,
var or VA (`exponent` 0), and the rest in thousandths (`exponent` -3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from iondlms.errors import LocalError

__all__ = ["QUANTITIES", "Kind", "Quantity", "quantity", "rounded"]


@unique
class Kind(Enum):
    """How a quantity comes to be."""

    ENERGY = "energy"  # a register that only the rollover turns back
    INTERVAL_ENERGY = "interval energy"  # of the last completed interval
    DEMAND = "demand"  # of the sliding window, at its last sub-interval
    MEAN = "mean"  # over the same window
    PRESENT = "present"  # read when asked


@dataclass(frozen=True, slots=True)
class Quantity:
    """One output of the Power Meter: the kept integer times 10**`exponent` is in `unit`."""

    name: str
    kind: Kind
    unit: str  # Wh, varh, VAh, W, var, VA, V, A, Hz; empty for the power factor
    exponent: int


def _catalogue() -> tuple[Quantity, ...]:
    energies = {
        "kWh del": "Wh",
        "kWh rec": "Wh",
        "kWh del-rec": "Wh",
        "kWh del+rec": "Wh",
        "kVARh del": "varh",
        "kVARh rec": "varh",
        "kVARh del-rec": "varh",
        "kVARh del+rec": "varh",
        "kVAh del+rec": "VAh",
    }
    powers = {"kW": "W", "kVAR": "var", "kVA": "VA"}
    demands = {"kW sd del-rec": "W", "kVAR sd del-rec": "var", "kVA sd del+rec": "VA"}
    phases = ("a", "b", "c")
    return (
        *(Quantity(name, Kind.ENERGY, unit, 0) for name, unit in energies.items()),
        *(Quantity(f"{name} int", Kind.INTERVAL_ENERGY, unit, 0) for name, unit in energies.items()),
        *(Quantity(name, Kind.DEMAND, unit, 0) for name, unit in demands.items()),
        Quantity("PF sign mean", Kind.MEAN, "", -3),
        *(
            Quantity(f"{name} {where}", Kind.PRESENT, unit, 0)
            for name, unit in powers.items()
            for where in (*phases, "tot")
        ),
        Quantity("PF sign tot", Kind.PRESENT, "", -3),
        *(Quantity(f"Vln {phase}", Kind.PRESENT, "V", -3) for phase in phases),
        *(Quantity(f"I {phase}", Kind.PRESENT, "A", -3) for phase in phases),
        Quantity("Freq", Kind.PRESENT, "Hz", -3),
    )


QUANTITIES: Final[dict[str, Quantity]] = {each.name: each for each in _catalogue()}


def quantity(name: str) -> Quantity:
    """Return the quantity of that ION name; LocalError if there is none."""
    found = QUANTITIES.get(name)
    if found is None:
        raise LocalError(f"no quantity is called {name!r}; ION names look like 'kWh del' or 'kW sd del-rec'")
    return found


def rounded(numerator: int, denominator: int) -> int:
    """Return `numerator / denominator` as the nearest integer, halves away from zero; `denominator` > 0."""
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)
