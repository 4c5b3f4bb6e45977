"""Suite ROBUSTNESS, what needs more than the line: the meter's power is cut and restored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from iondlms.conformance.apdus import GET_LIST, GET_NAME
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case, sized
from iondlms.conformance.suites.link_frames import link_is
from iondlms.conformance.verdict import Inapplicable, Inconclusive, require

_ION: Final = "ION profile, status word; 62056-46 6.4.3.6"
_DRIFT: Final = timedelta(seconds=3)
_MOST_PERIODS_WAITED: Final = 20  # inactivity time-outs; a capture that is further away is not waited for


def _cut(after: str) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        before = bench.rows() if bench.cti.objects.load_profile else []
        clock, at = bench.clock(), bench.now()
        if after == "block":
            require(bench.ask(GET_LIST)[1] == 2, "object_list comes in blocks")
        bench.power_cycle()
        if bench.framing == "hdlc":
            link_is(bench, "NDM", "after the power cycle")
            bench.snrm()
        request = "C002C100000001" if after == "block" else GET_NAME
        bench.expect(request, "D80102", "", "D8010?", why="without a new association")
        if bench.closed:
            bench.connect()
            bench.enter("R" if bench.framing == "hdlc" else "T")
        bench.associate()
        due = clock + timedelta(seconds=bench.now() - at)
        require(abs(bench.clock() - due) <= _DRIFT, f"the clock shows {bench.clock()}, {due} due")
        if before:
            in_use = bench.value(7, bench.profile, 7).integer()
            rows = bench.rows()
            kept = [row for row in before if row in rows]
            # A full profile loses its oldest rows to those that were captured since.
            require(before[-len(kept) :] == kept and kept, "rows are lost, or have changed")
            require(rows[: len(kept)] == kept, "rows are no more in their order")
            require(len(before) - len(kept) <= len(rows) - len(kept), "rows are lost")
            # One that is captured while they are read may be among them or not.
            more = bench.value(7, bench.profile, 7).integer()
            require(
                in_use <= len(rows) <= more, f"entries_in_use {in_use}, then {more}, for {len(rows)} rows"
            )

    script.__doc__ = (
        "After a power cycle within "
        + ("a block transfer" if after == "block" else "an association")
        + ": no link, no association, no transfer; clock and rows as they were."
    )
    return script


def _recorded(bench: Bench) -> None:
    """The next record has status bits 6 and 7 (power up, power down), the one after it has not."""
    period = bench.value(7, bench.profile, 4).integer()
    if not period:
        raise Inapplicable("the capture period is 0")
    if not bench.access.virtual and (
        bench.fast or period > bench.cti.line.inactivity_s * _MOST_PERIODS_WAITED
    ):
        raise Inconclusive(f"waits for two captures, {2 * period} s")
    before = bench.some_rows(1)
    bench.power_cycle()
    bench.renew()
    bench.linger(2 * period)
    rows = bench.rows()
    new = rows[rows.index(before[-1]) + 1 :]
    words = [row[1].integer() for row in new]
    require(len(words) >= 2, f"{len(words)} rows in two periods")
    require(words[0] & 0x00C0 == 0x00C0, f"status {words[0]:04X} in the first row after it")
    require(not any(word & 0x00C0 for word in words[1:]), f"status {words[1]:04X} in the second row")


_NEEDS: Final = ("power-cycle", "clock")

CASES: Final = (
    Case("RB-11", "power cycle within an association", "AT", _cut("association"), _ION, needs=_NEEDS),
    Case(
        "RB-11b",
        "power cycle within a long get",
        "AT",
        _cut("block"),
        _ION,
        aarq=sized(128),
        needs=(*_NEEDS, "blocks"),
    ),
    Case("RB-11c", "power cycle is recorded", "AT", _recorded, _ION, needs=(*_NEEDS, "ion", "profile")),
)
