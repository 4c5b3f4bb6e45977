"""The line efficiency that `bench/line.py` prints: at least 98 % of what the profile allows, a month long."""

from __future__ import annotations

import pytest
from bench.line import FLOOR, MONTH, Measured, frame, in_blocks, in_segments, measure

from iondlms.hdlc.frame import build
from iondlms.ports.line import Pace


@pytest.mark.parametrize(("baud", "answers"), [(9600, "segment"), (115200, "block")])
def test_a_month(baud: int, answers: str) -> None:
    found = measure(Pace(baud, turnaround_s=0.01), MONTH, answers)
    assert found.rows == MONTH
    assert FLOOR <= found.efficiency < 1


@pytest.mark.parametrize("pace", [Pace(300), Pace(9600, 11, latency_s=0.3), Pace(9600, turnaround_s=0.5)])
def test_a_slow_line_costs_what_it_costs(pace: Pace) -> None:
    found = measure(pace, 200)
    assert 0.85 < found.efficiency < 1


def test_the_limit_counts_what_is_on_the_line() -> None:
    for information in (0, 10, 128):
        octets = build(b"\x21", bytes.fromhex("000200C9"), 0x10, bytes(information))
        assert frame(information) == len(octets)
    assert list(in_blocks(116)) == [(frame(16), frame(128)), (frame(10), frame(14))]
    assert list(in_segments(122)) == [(frame(16), frame(128)), (frame(0), frame(1))]
    assert Measured(1, 1, 2.0, 1.0).efficiency == 0.5
