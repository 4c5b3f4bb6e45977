"""Suite TIME SETTING, fields left unspecified: not one at a time, but every combination of them."""

from __future__ import annotations

import itertools
from typing import Final

from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.time_setting import (
    DONE,
    FIELDS,
    PRESENT,
    REFUSED,
    T0,
    WANTED,
    with_octets,
)
from iondlms.conformance.verdict import require

_OPEN: Final = {4: "FF", 8: "FF", 9: "8000", 11: "FF"}  # day of week, hundredths, deviation, status
_ION: Final = "ION profile, time synchronization"
_SETS: Final = ("set", "clock", "clock-set")


def _every_combination(bench: Bench) -> None:
    """Success: of year, month, day, hour, minute and second, those that are open keep what the clock shows,
    the others take what they are given, in each of the 62 combinations (other meters may refuse them)."""
    names = list(FIELDS)
    for count in range(1, len(names)):
        for open_ones in itertools.combinations(names, count):
            require(bench.set_clock(bench.date_at(PRESENT)) == DONE, "SET of a whole time")
            octets = dict(FIELDS[name] for name in open_ones)
            answer = bench.set_clock(f"090C{with_octets(bench, WANTED, octets)}")
            why = f"open: {', '.join(open_ones)}"
            if answer != DONE and not bench.cti.objects.ion:
                bench.match(answer, DONE, *REFUSED, why=why)
                bench.shows(PRESENT, f"{why}, refused")
                continue
            bench.match(answer, DONE, why=why)
            bench.shows(WANTED.replace(**{name: getattr(PRESENT, name) for name in open_ones}), why)


def _open_around(bench: Bench) -> None:
    """Success, the same instant, with any of day of week, hundredths, deviation and status not specified."""
    places = list(_OPEN)
    if bench.cti.clock.without_deviation == "local":
        places.remove(9)  # TS-03 has what local time is
    for count in range(1, len(places) + 1):
        for open_ones in itertools.combinations(places, count):
            octets = {place: _OPEN[place] for place in open_ones}
            why = f"octets {open_ones} not specified"
            answer = bench.set_clock(f"090C{with_octets(bench, T0, octets)}")
            bench.match(answer, DONE, *(REFUSED if 9 in octets else ()), why=why)
            if answer == DONE:
                bench.shows(T0, why)


CASES: Final = (
    Case(
        "TS-05h",
        "every combination of fields not specified",
        "AT",
        _every_combination,
        _ION,
        client="setting",
        needs=_SETS,
    ),
    Case(
        "TS-05i",
        "what is around the time not specified",
        "AT",
        _open_around,
        _ION,
        client="setting",
        needs=_SETS,
    ),
)
