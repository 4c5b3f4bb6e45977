"""What holds for every test: the hypothesis profiles, and the garbage collector as it was."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest
import uvloop
from hypothesis import HealthCheck, settings

# No deadline: how long an example takes says more about the machine than about us. Under CI the examples
# are the same each time, so a red run can be repeated; `make fuzz` is where new ones are looked for.
settings.register_profile("iondlms", deadline=None, derandomize="CI" in os.environ)
settings.register_profile(
    "fuzz", deadline=None, derandomize=False, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("iondlms")

# The loops take and give octets in different ways, and so do our protocols: what these hold is held on both.
ON_BOTH_LOOPS: Final = (
    "test_tcp.py",
    "test_tcp_line.py",
    "test_many.py",
    "test_socket.py",
    "test_off_the_loop.py",
)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in ON_BOTH_LOOPS:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Undo what `settle` did to this process: other tests tell when the collector looks at what."""
    before = gc.get_threshold()
    yield
    if gc.get_threshold() != before:
        gc.unfreeze()
        gc.set_threshold(*before)
