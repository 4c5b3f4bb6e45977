"""Fixtures of the interop tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop import pydlms_simulator, running


@pytest.fixture(scope="session")
def peers_python() -> Path:
    """The interpreter that has the peers, or no test."""
    return running.peers_python()


@pytest.fixture(scope="module", params=["hdlc", "wrapper"])
def simulator(request: pytest.FixtureRequest, peers_python: Path) -> Iterator[pydlms_simulator.Simulator]:
    """pydlms-client's simulator, once for each framing."""
    with pydlms_simulator.simulator(peers_python, request.param) as running_simulator:
        yield running_simulator


@pytest.fixture(scope="module")
def hdlc_simulator(peers_python: Path) -> Iterator[pydlms_simulator.Simulator]:
    """pydlms-client's simulator in the form that our client reads: HDLC over TCP."""
    with pydlms_simulator.simulator(peers_python, "hdlc") as running_simulator:
        yield running_simulator
