"""Simulated days, months and years against an oracle that knows nothing of the recorder."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.ion.builders import utc
from tests.ion.years import DAY, WORLDS, ZONES, World, live, stories

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Without shrinking: a year fails for what a day fails for, and there it is made small in no time.
YEARS = settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@QUICK
@given(WORLDS, stories(8, 3 * DAY))
def test_days(world: World, story: list[tuple[int, str, int]]) -> None:
    live(world, story, 7200)


@pytest.mark.parametrize(
    ("model", "zone"), list(zip(["ION8650", "ION9000", "ION7400", "ION8800"], ZONES, strict=True))
)
@YEARS
@given(
    story=stories(12, 30 * DAY, 6),
    seed=st.integers(1, 10_000),
    circular=st.booleans(),
    fill=st.booleans(),
    period_s=st.sampled_from([3600, 900, 1800]),
)
def test_years(
    model: str,
    zone: str | None,
    story: list[tuple[int, str, int]],
    seed: int,
    circular: bool,
    fill: bool,
    period_s: int,
) -> None:
    world = World(
        model, zone, period_s, 10_000, circular, fill, sub_interval_s=period_s, rollover=100_000, seed=seed
    )
    life = live(world, story, 0)
    life.wait(max(DAY, (utc(2027, 1, 1) - life.present_ms) // 1000))
    life.compare()
