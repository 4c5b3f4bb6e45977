"""The names of what an ION meter has, for people: `load`, `clock`, `kWh-del-int`, or any OBIS code.

They are those of the ION modules with hyphens for blanks; capitals do not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from iondlms.codec.obis import ObisCode
from iondlms.errors import LocalError
from iondlms.ion.framework import BILLING, LOAD_PROFILE
from iondlms.ion.quantities import QUANTITIES

__all__ = [
    "ASSOCIATION",
    "CLOCK",
    "NAMES",
    "STATUS_WORD",
    "NamedObject",
    "name_of",
    "resolve",
]

DATA_CLASS: Final = 1
REGISTER_CLASS: Final = 3
PROFILE_CLASS: Final = 7
CLOCK_CLASS: Final = 8
ASSOCIATION_CLASS: Final = 15
SAP_CLASS: Final = 17


@dataclass(frozen=True, slots=True)
class NamedObject:
    """An object as a person means it; `class_id` None where the meter has to be asked."""

    logical_name: ObisCode
    class_id: int | None = None
    attribute: int | None = None  # where it was written behind it, as in 1-1:1.29.0*255:2 or load:7


def _named(code: str, class_id: int) -> NamedObject:
    return NamedObject(ObisCode.parse(code), class_id)


# Profile codes are those of the default frameworks (technical note, objects); quantities beyond them have the
# codes that an own framework exports them under where it gives no other.
NAMES: Final[dict[str, NamedObject]] = {
    "load": _named("1-0:99.1.0*255", PROFILE_CLASS),
    "billing": _named("1-0:98.1.0*255", PROFILE_CLASS),
    "clock": _named("0-0:1.0.0*255", CLOCK_CLASS),
    "status": _named("0-0:97.97.0*255", DATA_CLASS),
    "name": _named("0-0:42.0.0*255", DATA_CLASS),
    "association": _named("0-0:40.0.0*255", ASSOCIATION_CLASS),
    "sap": _named("0-0:41.0.0*255", SAP_CLASS),
    **{
        name.replace(" ", "-"): _named(code, REGISTER_CLASS)
        for name, code in (
            *((each.name, each.obis) for each in QUANTITIES.values() if each.obis is not None),
            *LOAD_PROFILE,
            *BILLING,
        )
    },
}
CLOCK: Final = NAMES["clock"].logical_name
STATUS_WORD: Final = NAMES["status"].logical_name
ASSOCIATION: Final = NAMES["association"].logical_name

_LOWER: Final = {name.lower(): found for name, found in NAMES.items()}
_LOWER["time"] = NAMES["clock"]  # the heading of that column
_BY_CODE: Final = {found.logical_name: name for name, found in NAMES.items()}
_WITH_ATTRIBUTE: Final = re.compile(r"(.+):([0-9]{1,3})")


@lru_cache(256)  # a program asks for a few, again and again
def resolve(text: str | ObisCode) -> NamedObject:
    """Return what a name or code means; LocalError with the nearest names if it means nothing."""
    if isinstance(text, ObisCode):
        return NamedObject(text, _class_of(text))
    wanted = text.strip()
    found = _LOWER.get(_key(wanted))
    if found is not None:
        return found
    match = _WITH_ATTRIBUTE.fullmatch(wanted)
    if match is not None and (_is_code(match[1]) or _key(match[1]) in _LOWER):
        found = resolve(match[1])
        return NamedObject(found.logical_name, found.class_id, int(match[2]))
    if _is_code(wanted):
        code = ObisCode.parse(wanted)
        return NamedObject(code, _class_of(code))
    near = get_close_matches(wanted.lower(), _LOWER, n=3, cutoff=0.6)
    hint = (
        f"did you mean {' or '.join(_BY_CODE[_LOWER[name].logical_name] for name in near)}?"
        if near
        else ("write a name such as load, clock or kWh-del, or an OBIS code such as 1-1:1.29.0*255")
    )
    raise LocalError(f"nothing is called {text!r}; {hint}; `iondlms objects URL` lists what a meter has")


def name_of(logical_name: ObisCode) -> str | None:
    """Return the ION name of an object, None if it has none."""
    return _BY_CODE.get(logical_name)


def _key(text: str) -> str:
    return text.strip().lower().replace(" ", "-").replace("_", "-")


def _class_of(code: ObisCode) -> int | None:
    name = _BY_CODE.get(code)
    return None if name is None else NAMES[name].class_id


def _is_code(text: str) -> bool:
    try:
        ObisCode.parse(text)
    except LocalError:
        return False
    return True
