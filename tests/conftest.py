"""What holds for every test: the hypothesis profiles."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: how long an example takes says more about the machine than about us. Under CI the examples
# are the same each time, so a red run can be repeated; `make fuzz` is where new ones are looked for.
settings.register_profile("iondlms", deadline=None, derandomize="CI" in os.environ)
settings.register_profile(
    "fuzz", deadline=None, derandomize=False, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("iondlms")
