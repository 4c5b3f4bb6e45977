"""The conformance cases, one module a suite; data and small functions, of which a runner knows `Case`."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import (
    application,
    block_transfer,
    cosem_objects,
    data_link,
    robustness,
    selective_access,
    time_setting,
    wrapper,
)
from tests.conformance.cases.case import Case

__all__ = ["SUITES"]

SUITES: Final[dict[str, tuple[Case, ...]]] = {
    "DATA-LINK": data_link.CASES,
    "WRAPPER": wrapper.CASES,
    "APPLICATION": application.CASES,
    "COSEM OBJECTS": cosem_objects.CASES,
    "TIME SETTING": time_setting.CASES,
    "SELECTIVE ACCESS": selective_access.CASES,
    "BLOCK TRANSFER": block_transfer.CASES,
    "ROBUSTNESS": robustness.CASES,
}
