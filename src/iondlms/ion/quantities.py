"""The catalogue of quantities: what each is called in ION, how it is kept, and how COSEM shows it.

A value is an exact integer: the quantity in ION's own unit (kWh, kW, V, A, Hz, %, power factor) times
1000, rounded half away from zero; `None` is "no value". So a k-quantity is kept in Wh, varh, VAh, W,
var or VA (`exponent` 0), and the rest in thousandths (`exponent` -3).

Names are those of the meters' own labels, of at most 15 characters: that is why the maximum of
"kW sd del-rec" is "kW sd mx d-r". What COSEM calls them stands here as plain data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, Literal, NamedTuple

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
    MAXIMUM = "maximum"  # of another quantity, since the last master reset
    MINIMUM = "minimum"


class _Unit(NamedTuple):
    ion: str  # in ION's own names
    k_scale: int  # how many of the base unit ION's own is
    cosem: int  # IEC 62056-62, enumeration of physical units


_UNITS: Final = {
    "Wh": _Unit("kWh", 1000, 30),
    "varh": _Unit("kVARh", 1000, 32),
    "VAh": _Unit("kVAh", 1000, 31),
    "W": _Unit("kW", 1000, 27),
    "var": _Unit("kVAR", 1000, 29),
    "VA": _Unit("kVA", 1000, 28),
    "V": _Unit("V", 1, 35),
    "A": _Unit("A", 1, 33),
    "Hz": _Unit("Hz", 1, 44),
    "%": _Unit("%", 1, 56),
    "": _Unit("", 1, 255),
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """One output of the Power Meter: the kept integer times 10**`exponent` is in `unit`."""

    name: str
    kind: Kind
    unit: str  # Wh, varh, VAh, W, var, VA, V, A, Hz, %; empty for the power factor
    exponent: int  # which is COSEM's scaler
    obis: str | None = None  # the logical name it is exported under by default; None where there is none
    of: str = ""  # what a maximum or minimum is of

    @property
    def ion_unit(self) -> str:
        """The unit as ION names it: kWh for Wh; empty for the power factor."""
        return _UNITS[self.unit].ion

    @property
    def k_scale(self) -> int:
        """How many of `unit` one `ion_unit` is: 1000 for k-quantities, else 1."""
        return _UNITS[self.unit].k_scale

    @property
    def cosem_type(self) -> Literal["long64", "double-long"]:
        """The type of the register's value: energies never fit 32 bits for long, all else does."""
        return "long64" if self.kind is Kind.ENERGY else "double-long"

    @property
    def cosem_unit(self) -> int:
        """The unit as COSEM counts them (IEC 62056-62): 30 is Wh, 255 is none."""
        return _UNITS[self.unit].cosem


# Value group C of IEC 62056-61, by energy. What the standard has no code for is None, but for 128: the
# manufacturer's own choice for reactive del-rec (technical note, billing data).
_ENERGIES: Final[dict[str, tuple[str, int | None]]] = {
    "kWh del": ("Wh", 1),
    "kWh rec": ("Wh", 2),
    "kWh del-rec": ("Wh", 16),
    "kWh del+rec": ("Wh", 15),
    "kVARh del": ("varh", 3),
    "kVARh rec": ("varh", 4),
    "kVARh del-rec": ("varh", 128),
    "kVARh del+rec": ("varh", None),
    "kVAh del+rec": ("VAh", 9),
    "kVARh Q1": ("varh", 5),
    "kVARh Q2": ("varh", 6),
    "kVARh Q3": ("varh", 7),
    "kVARh Q4": ("varh", 8),
}
_DEMANDS: Final[dict[str, tuple[str, str, int | None]]] = {
    "kW sd del-rec": ("kW sd mx d-r", "W", 16),
    "kVAR sd del-rec": ("kVAR sd mx d-r", "var", 128),
    "kVA sd del+rec": ("kVA sd mx d+r", "VA", 9),
}
_PRESENT: Final[dict[str, tuple[str, int | None]]] = {
    "kW a": ("W", 36),
    "kW b": ("W", 56),
    "kW c": ("W", 76),
    "kW tot": ("W", 16),
    "kVAR a": ("var", None),
    "kVAR b": ("var", None),
    "kVAR c": ("var", None),
    "kVAR tot": ("var", 128),
    "kVA a": ("VA", 29),
    "kVA b": ("VA", 49),
    "kVA c": ("VA", 69),
    "kVA tot": ("VA", 9),
    "PF sign a": ("", 33),
    "PF sign b": ("", 53),
    "PF sign c": ("", 73),
    "PF sign tot": ("", 13),
    "Vln a": ("V", 32),
    "Vln b": ("V", 52),
    "Vln c": ("V", 72),
    "Vln avg": ("V", 12),
    "Vll ab": ("V", 124),
    "Vll bc": ("V", 125),
    "Vll ca": ("V", 126),
    "Vll avg": ("V", None),
    "I a": ("A", 31),
    "I b": ("A", 51),
    "I c": ("A", 71),
    "I avg": ("A", 11),
    "V unbal": ("%", None),
    "I unbal": ("%", None),
    "Freq": ("Hz", 14),
}
# Of power factors a largest and smallest value says little: they jump from -1 to 1.
_WITH_EXTREMES: Final = tuple(name for name, (unit, _) in _PRESENT.items() if unit)


def _obis(group_c: int | None, group_d: int) -> str | None:
    return None if group_c is None else f"1-1:{group_c}.{group_d}.0*255"


def _catalogue() -> tuple[Quantity, ...]:
    made = [Quantity(name, Kind.ENERGY, unit, 0, _obis(c, 8)) for name, (unit, c) in _ENERGIES.items()]
    made += [
        Quantity(f"{name} int", Kind.INTERVAL_ENERGY, unit, 0, _obis(c, 29))
        for name, (unit, c) in _ENERGIES.items()
    ]
    for name, (most, unit, c) in _DEMANDS.items():
        made.append(Quantity(name, Kind.DEMAND, unit, 0, _obis(c, 4)))
        made.append(Quantity(most, Kind.MAXIMUM, unit, 0, _obis(c, 6), name))
    made.append(Quantity("PF sign mean", Kind.MEAN, "", -3, "1-1:13.0.0*255"))
    for name, (unit, c) in _PRESENT.items():
        exponent = 0 if _UNITS[unit].k_scale == 1000 else -3
        made.append(Quantity(name, Kind.PRESENT, unit, exponent, _obis(c, 7)))
        if name in _WITH_EXTREMES:
            # 26 and 23 are maximum and minimum of averaging scheme 3, which is for present values.
            made.append(Quantity(f"{name} mx", Kind.MAXIMUM, unit, exponent, _obis(c, 26), name))
            made.append(Quantity(f"{name} mn", Kind.MINIMUM, unit, exponent, _obis(c, 23), name))
    return tuple(made)


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
