"""The cases, one module a suite; data and small functions, of which the runner knows `Case`."""

from __future__ import annotations

from typing import Final

from iondlms.conformance.steps import Case
from iondlms.conformance.suites import (
    application,
    block_between,
    block_sizes,
    block_transfer,
    link,
    link_more,
    objects,
    objects_access,
    objects_ion,
    objects_values,
    power,
    robustness,
    robustness_line,
    robustness_sessions,
    selective_access,
    selective_bounds,
    selective_entries,
    services,
    time_fields,
    time_setting,
    wrapper,
)

__all__ = ["SUITES"]

_SUITES: Final[dict[str, tuple[Case, ...]]] = {
    "DATA-LINK": link.CASES + link_more.CASES,
    "WRAPPER": wrapper.CASES,
    "APPLICATION": application.CASES + services.CASES,
    "COSEM OBJECTS": objects.CASES + objects_access.CASES + objects_values.CASES + objects_ion.CASES,
    "TIME SETTING": time_setting.CASES + time_fields.CASES,
    "SELECTIVE ACCESS": selective_access.CASES + selective_bounds.CASES + selective_entries.CASES,
    "BLOCK TRANSFER": block_transfer.CASES + block_between.CASES + block_sizes.CASES,
    "ROBUSTNESS": robustness.CASES + robustness_line.CASES + robustness_sessions.CASES + power.CASES,
}


def _order(case: Case) -> tuple[int, str]:
    number = case.id.split("-")[1]
    digits = "".join(filter(str.isdigit, number))
    return int(digits), case.id


SUITES: Final = {suite: tuple(sorted(cases, key=_order)) for suite, cases in _SUITES.items()}
