"""What a black box cannot see: the memory that our meter holds while the hostile cases run."""

from __future__ import annotations

import tracemalloc

import pytest
from tests.conformance.memory import FRAMINGS, under_test

from iondlms.conformance import Verdict, planned, run_case

# Case, and the octets that may be held when it has run: the meter's caches, and the trace of the case.
HOSTILE = {
    "RB-04": 400_000,
    "RB-08": 300_000,
    "RB-08b": 300_000,
    "BT-18": 400_000,
    "RB-10": 600_000,
    "DL-110": 300_000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_memory_is_bounded(case: str) -> None:
    for one in planned(FRAMINGS, only=(case,)):
        meter = under_test()
        run_case(meter, one)  # caches are filled
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        result = run_case(meter, one)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert result.verdict is Verdict.PASSED, result.reason
        assert grown < HOSTILE[case], f"{case} over {one.framing}: {grown} octets"
