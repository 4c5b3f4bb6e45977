"""Logical names: six octets, written A-B:C.D.E*F (IEC 62056-61)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from iondlms.errors import DecodeError, LocalError

__all__ = ["ObisCode"]

# Not \d, which takes the digits of every script.
_REDUCED = re.compile(
    r"([0-9]{1,3})-([0-9]{1,3}):([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})(?:[*.]([0-9]{1,3}))?"
)
_DOTTED = re.compile(r"([0-9]{1,3})" + r"\.([0-9]{1,3})" * 5)


@dataclass(frozen=True, slots=True, order=True)
class ObisCode:
    """A logical name of exactly six octets (else DecodeError); orders and hashes by its octets."""

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 6:
            raise DecodeError(f"a logical name has 6 octets, not {len(self.octets)}")

    # As the generated ones, which make a tuple of the octets each time.
    def __hash__(self) -> int:
        return hash(self.octets)

    def __eq__(self, other: object) -> bool:
        return self.octets == other.octets if isinstance(other, ObisCode) else NotImplemented

    @classmethod
    def parse(cls, text: str) -> ObisCode:
        """Read `1-1:1.29.0*255`, `1-1:1.29.0.255`, `1-1:1.29.0` (F is 255) or `1.1.1.29.0.255`.

        LocalError if the text is none of these.
        """
        return _parsed(text)

    def __str__(self) -> str:
        a, b, c, d, e, f = self.octets
        return f"{a}-{b}:{c}.{d}.{e}*{f}"

    def __repr__(self) -> str:
        return f"ObisCode({str(self)!r})"


@lru_cache(maxsize=1024)  # a meter's objects carry a few dozen, and thousands of meters the same
def _parsed(text: str) -> ObisCode:
    match = _REDUCED.fullmatch(text.strip()) or _DOTTED.fullmatch(text.strip())
    groups = [] if match is None else [int(group or 255) for group in match.groups()]
    if not groups or max(groups) > 255:
        raise LocalError(f"{text!r} is not an OBIS code; write it as 1-1:1.29.0*255")
    return ObisCode(bytes(groups))
