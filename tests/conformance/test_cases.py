"""Every conformance case that can be run in memory, on each line where its state is met."""

from __future__ import annotations

import pytest
from tests.conformance.bench import Transport
from tests.conformance.cases import SUITES
from tests.conformance.cases.case import STATES, Case

RUNS = [
    pytest.param(case, transport, id=f"{case.id}-{case.client}-{transport}")
    for suite in SUITES.values()
    for case in suite
    for transport in STATES[case.state]
]


@pytest.mark.parametrize(("case", "transport"), RUNS)
def test_case(case: Case, transport: Transport) -> None:
    case.run(transport)


def test_ids_are_unique() -> None:
    seen = [(case.id, case.client) for suite in SUITES.values() for case in suite]
    assert len(seen) == len(set(seen))
