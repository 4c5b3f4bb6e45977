"""What `--fast` saves, and that it saves nothing of what a case looks at."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest
from tests.conformance.memory import MemoryAccess, under_test

from iondlms.conformance import Meter, planned, run
from iondlms.conformance.bench import Bench
from iondlms.conformance.line import TcpLine
from iondlms.conformance.suites.selection import Fixture
from iondlms.conformance.verdict import Verdict
from iondlms.errors import PortError
from iondlms.later import Later
from iondlms.meter import Meter as VirtualMeter

LOOKS = 500
SETTINGS = (("history", 500),)


def test_a_look_at_a_silent_line_is_no_wait() -> None:
    """The system's shortest time-out is one of its ticks, 1 to 4 ms: 500 make half a second at least."""
    ours, its = socket.socketpair()
    with its:
        line = TcpLine(ours)
        before = time.monotonic()
        for _ in range(LOOKS):
            assert line.receive(before) == b""
        assert time.monotonic() - before < 0.4
        its.sendall(b"~~")
        assert line.receive(before) == b"~~"
    with pytest.raises(PortError, match="the meter closed the connection"):
        line.receive(before)
    line.close()


def asked(meter: Meter, *ids: str) -> list[int]:
    """Run cases on one meter, which must pass; return how many pieces each sent."""
    sent: list[int] = []

    def watch(way: str, octets: bytes, at: float) -> None:
        sent[-1] += way == "TX"

    for one in planned(("hdlc",), (), ids):
        sent.append(0)
        (result,) = run(replace(meter, watch=watch), [one])
        assert result.verdict is Verdict.PASSED, result.reason
    return sent


class AsIfReal(MemoryAccess):
    """A line on which a case has to save time, though none passes here."""

    virtual = False


def taken(meter: Meter, case: str) -> float:
    """Run a case, which must pass; return the seconds of its line."""
    at: list[float] = []
    (result,) = run(
        replace(meter, watch=lambda _way, _octets, now: at.append(now)), planned(("hdlc",), (), (case,))
    )
    assert result.verdict is Verdict.PASSED, result.reason
    return at[-1] - at[0]


@pytest.mark.parametrize(
    ("case", "share"), [("RB-03", 0.5), ("RB-07", 0.4), ("RB-102", 0.6), ("RB-103", 0.6), ("RB-105", 0.7)]
)
def test_waits_are_few(case: str, share: float) -> None:
    plain = under_test()
    assert isinstance(plain.access, MemoryAccess)
    meter = replace(plain, access=AsIfReal(plain.access.meter))
    thorough, fast = taken(meter, case), taken(replace(meter, fast=True), case)
    assert 2 < fast < thorough * share


class Stuck:
    """A meter that hears nothing behind what it did not answer, until the inter-frame time-out."""

    idle = False

    def __init__(self, meter: VirtualMeter, now: float) -> None:
        self._endpoint = meter.endpoint(now=now)
        self._deaf_until = now

    def receive_data(self, data: bytes, now: float) -> bytes:
        answer = b"" if now < self._deaf_until else self._endpoint.receive_data(data, now)
        if not answer:
            self._deaf_until = now + 1.5
        return answer

    def next_deadline(self) -> float | None:
        return self._endpoint.next_deadline()

    def handle_timeout(self, now: float) -> bytes:
        return self._endpoint.handle_timeout(now)

    @property
    def closed(self) -> bool:
        return self._endpoint.closed

    @property
    def later(self) -> Later | None:
        return self._endpoint.later


def test_a_meter_that_needs_the_time_out_has_it() -> None:
    plain = under_test()
    assert isinstance(plain.access, MemoryAccess)
    fast = replace(plain, fast=True)
    usual = taken(replace(fast, access=AsIfReal(plain.access.meter)), "RB-03")
    slow = taken(replace(fast, access=AsIfReal(plain.access.meter, Stuck)), "RB-03")
    assert slow > 3 * usual


def test_the_smallest_blocks_are_left_to_short_values() -> None:
    plain = under_test()
    assert isinstance(plain.access, MemoryAccess)
    meter = replace(plain, access=AsIfReal(plain.access.meter))
    (thorough,), (fast,) = asked(meter, "BT-102"), asked(replace(meter, fast=True), "BT-102")
    assert 50 < fast < thorough * 0.3


def test_rows_that_stay_are_read_once() -> None:
    meter = under_test(SETTINGS)
    cases = ("SA-24c", "SA-24c", "SA-06")
    thorough = [count for each in cases for count in asked(meter, each)]
    fast = replace(meter, fast=True, kept={})
    quick = [count for each in cases for count in asked(fast, each)]
    assert quick[0] == thorough[0]  # nothing is known yet
    assert quick[1] < thorough[1] - 100  # some 170 blocks less
    assert quick[2] < thorough[2] - 100
    assert not under_test(SETTINGS).kept  # each run has its own


def fixture(meter: Meter) -> Fixture:
    bench = Bench(meter.access, meter.cti, "hdlc", fast=meter.fast, kept=meter.kept)
    bench.enter("A")
    return Fixture(bench)


@pytest.mark.parametrize("at", [0, -1], ids=["first", "last"])
def test_rows_that_have_changed_are_read_anew(at: int) -> None:
    meter = replace(under_test(), fast=True)
    before = fixture(meter).rows
    assert fixture(meter).rows is before
    name = meter.cti.objects.load_profile
    other = [*before]
    other[at] = before[5]
    meter.kept[name] = other
    assert fixture(meter).rows == before
    meter.kept[name] = before[:-1]
    assert fixture(meter).rows == before


def test_a_row_that_comes_meanwhile_is_seen() -> None:
    meter = replace(under_test((("load_profile.period", "1m"),)), fast=True)
    before = fixture(meter)
    before.bench.linger(70)
    after = fixture(meter)
    assert after.rows[:-1] == before.rows
    assert after.count == before.count + 1
