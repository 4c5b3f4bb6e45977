"""Suite SELECTIVE ACCESS, the bounds of a range: every form of a date-time that names the same instant."""

from __future__ import annotations

import itertools
from typing import Final

from iondlms.conformance.apdus import get_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.selection import Fixture, within
from iondlms.conformance.verdict import require

_BB: Final = "62056-62 (Blue Book 4.3.6, 4.1.6.1)"
_NEEDS: Final = ("selective-access", "profile", "clock")
_TAGS: Final = ("090C", "19")
_DAYS_OF_WEEK: Final = ("FF", "01", "07")
_HUNDREDTHS: Final = ("00", "FF")
_STATUSES: Final = ("00", "80", "FF")
_DEVIATIONS: Final = (0, -60, 300)


def _every_form(bench: Bench) -> None:
    """The same rows whatever the tag, the day of the week, the hundredths, the status and the deviation of
    both bounds are, in every combination (date-time as a type of its own may be refused, each time)."""
    fixture = Fixture(bench)
    forms = list(itertools.product(_TAGS, _DAYS_OF_WEEK, _HUNDREDTHS, _STATUSES, _DEVIATIONS))
    if not bench.access.virtual:
        forms = forms[:: 7 if bench.fast else 1]  # 7 shares no factor with the number of any of them
    refused: set[bool] = set()
    for tag, day, hundredths, status, deviation in forms:
        bounds = []
        for number in (2, 5):
            text = fixture.bound(fixture.time(number), deviation)[4:]
            bounds.append(f"{tag}{text[:8]}{day}{text[10:16]}{hundredths}{text[18:22]}{status}")
        answer = bench.ask(get_request(7, fixture.name, 2, within(bounds)))
        if tag == "19":
            refused.add(answer[:4].hex() == "c401c101")
            if answer[:4].hex() == "c401c101":
                bench.remark("bounds of the type date-time are refused")
                continue
        fixture.gives(within(bounds), 2, 5, f"bounds {bounds[0]} and {bounds[1]}")
    require(len(refused) <= 1, "bounds of the type date-time are refused now and then")


def _two_forms(bench: Bench) -> None:
    """The two bounds in different forms: the same rows."""
    fixture = Fixture(bench)
    plain = [fixture.bound(fixture.time(number)) for number in (2, 5)]
    local = fixture.bound(fixture.time(5), -720)
    open_parts = f"{plain[0][:12]}FF{plain[0][14:20]}FF{plain[0][22:26]}FF"
    for start, end in ((open_parts, plain[1]), (plain[0], local), (open_parts, local)):
        fixture.gives(within((start, end)), 2, 5, f"from {start} to {end}")


CASES: Final = (
    Case("SA-106", "every form of a bound", "AT", _every_form, _BB, needs=_NEEDS),
    Case("SA-107", "bounds of two forms", "AT", _two_forms, _BB, needs=_NEEDS),
)
