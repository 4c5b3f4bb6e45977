"""An open conformance test for DLMS/COSEM meters: a black box tester over any line."""

from __future__ import annotations

from iondlms.conformance.bench import Bench
from iondlms.conformance.cti import Cti
from iondlms.conformance.draft import draft, first_cti
from iondlms.conformance.line import Access, LineAccess, TcpAccess
from iondlms.conformance.runner import Meter, Run, planned, run, run_case
from iondlms.conformance.steps import Case
from iondlms.conformance.suites import SUITES
from iondlms.conformance.verdict import Result, Verdict

__all__ = [
    "SUITES",
    "Access",
    "Bench",
    "Case",
    "Cti",
    "LineAccess",
    "Meter",
    "Result",
    "Run",
    "TcpAccess",
    "Verdict",
    "draft",
    "first_cti",
    "planned",
    "run",
    "run_case",
]
