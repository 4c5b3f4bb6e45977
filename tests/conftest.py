"""What holds for every test: the hypothesis profiles, and the garbage collector as it was."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# No deadline: how long an example takes says more about the machine than about us. Under CI the examples
# are the same each time, so a red run can be repeated; `make fuzz` is where new ones are looked for.
settings.register_profile("iondlms", deadline=None, derandomize="CI" in os.environ)
settings.register_profile(
    "fuzz", deadline=None, derandomize=False, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("iondlms")


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Undo what `settle` did to this process: other tests tell when the collector looks at what."""
    before = gc.get_threshold()
    yield
    if gc.get_threshold() != before:
        gc.unfreeze()
        gc.set_threshold(*before)
