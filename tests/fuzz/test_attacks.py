"""Attacks on a whole meter: short and the same each time here, long and always new under `make fuzz`.

A failure prints its seed; `Match(seed, ...).play(steps)` is that attack again.
"""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.attacker import Attacker
from tests.fuzz.referee import Match
from tests.meter.bench import START_MS, Bench

_LONG = settings().max_examples > 100  # the profile of `make fuzz`
_SEEDS = st.integers(0, (1 << 32) - 1)


@pytest.mark.parametrize("hdlc", [True, False], ids=["hdlc", "wrapper"])
@pytest.mark.parametrize("password", [True, False], ids=["setting", "public"])
@settings(max_examples=2000 if _LONG else 12, derandomize=not _LONG)
@given(_SEEDS)
def test_a_meter_under_attack_keeps_what_it_has_and_answers_others(
    hdlc: bool, password: bool, seed: int
) -> None:
    Match(seed, hdlc=hdlc, password=password).play(100)


def test_the_attacks_get_somewhere() -> None:
    """Attacks that are shut out at once would show nothing."""
    matches = [Match(seed, hdlc=bool(seed & 1), password=True) for seed in range(24)]
    for match in matches:
        match.play(60)
    assert sum(match.answers for match in matches) > 600
    assert sum(match.reads for match in matches) > 100
    assert sum(match.steps for match in matches) >= 5


@settings(max_examples=500 if _LONG else 8, derandomize=not _LONG)
@given(_SEEDS, st.booleans())
def test_how_the_octets_come_in_pieces_changes_nothing(seed: int, hdlc: bool) -> None:
    whole, pieces = (_meter_and_line() for _ in range(2))
    now = 1000.0
    for wait, octets in Attacker(seed, hdlc=hdlc, password=True).chunks(40):
        now += wait
        cut = len(octets) // 3
        joined = whole.endpoint.receive_data(octets, now)
        parts = [pieces.endpoint.receive_data(octets[i : i + 1], now) for i in range(cut)]
        parts.append(pieces.endpoint.receive_data(octets[cut:], now))
        assert b"".join(parts) == joined
    assert whole.meter.present_ms(now) == pieces.meter.present_ms(now)


def _meter_and_line() -> Bench:
    return Bench("hdlc", 1, utc_ms=START_MS)


@pytest.mark.parametrize("hdlc", [True, False], ids=["hdlc", "wrapper"])
def test_memory_does_not_grow_with_the_frames(hdlc: bool) -> None:
    bench, now = Bench("hdlc", 1, (("load_profile.depth", 30),)), 1000.0

    def storm(seed: int) -> None:
        nonlocal now
        for wait, octets in Attacker(seed, hdlc=hdlc, password=True).chunks(100_000 if _LONG else 1500):
            now += min(wait, 1.0)
            bench.endpoint.receive_data(octets, now)
            if bench.endpoint.closed:
                bench.endpoint = bench.meter.endpoint(now=now)

    storm(1)
    gc.collect()
    tracemalloc.start()
    storm(2)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # The two caches of frame headers take up to 2 MB, whatever comes.
    assert held < 2_500_000
