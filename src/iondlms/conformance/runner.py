"""Runs cases one after the other and says of each how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from iondlms.conformance.bench import Bench, Row
from iondlms.conformance.cti import Cti, Framing
from iondlms.conformance.line import Access
from iondlms.conformance.needs import require_needs
from iondlms.conformance.steps import STATES, Case
from iondlms.conformance.suites import SUITES
from iondlms.conformance.verdict import CaseEnd, Inconclusive, Result, Verdict
from iondlms.errors import DlmsError, LocalError, PortError

__all__ = ["Meter", "Run", "planned", "run", "run_case"]


class Run(NamedTuple):
    """One case on one framing."""

    suite: str
    case: Case
    framing: Framing


@dataclass(frozen=True, slots=True)
class Meter:
    """The meter under test: what it is said to be, the way to it, and what may be done to it."""

    cti: Cti
    access: Access
    password: bytes | None = None
    fast: bool = False
    clock_set_allowed: bool = False
    cut_power: Callable[[], None] | None = None  # and restore it; PortError where that fails
    watch: Callable[[Literal["TX", "RX"], bytes, float], None] | None = None  # each piece as it travels
    kept: dict[str, list[Row]] = field(default_factory=dict)  # what was read, for the cases that follow


def planned(framings: Iterable[Framing], suites: Iterable[str] = (), only: Iterable[str] = ()) -> list[Run]:
    """Return what is to be run, in order; LocalError for a suite or a case that there is not.

    `suites` are names or their beginnings in any case, `only` are ids; none of them means all.
    """
    chosen = [_suite(name) for name in suites] or list(SUITES)
    ids = [word.upper() for word in only]
    known = {case.id.upper() for cases in SUITES.values() for case in cases}
    unknown = [word for word in ids if word not in known]
    if unknown:
        raise LocalError(f"there is no case {unknown[0]}; ids look like DL-01, AP-14-lls, SA-05")
    runs = []
    for framing in framings:
        for suite in chosen:
            for case in SUITES[suite]:
                if framing in STATES[case.state] and (not ids or case.id.upper() in ids):
                    runs.append(Run(suite, case, framing))
    # What sets the clock comes last: a step back leaves rows that no range finds in their order.
    return sorted(runs, key=lambda one: "clock-set" in one.case.needs)


def _suite(name: str) -> str:
    found = [suite for suite in SUITES if suite.replace(" ", "-").startswith(name.upper().replace(" ", "-"))]
    if len(found) != 1:
        raise LocalError(f"there is no suite {name}; there are {', '.join(SUITES)}")
    return found[0]


def run(
    meter: Meter, runs: Iterable[Run], progress: Callable[[Result], None] | None = None
) -> Iterator[Result]:
    """Run the cases and yield what came of each."""
    for one in runs:
        result = run_case(meter, one)
        if progress is not None:
            progress(result)
        yield result


def run_case(meter: Meter, one: Run) -> Result:
    """Run one case on a line of its own; whatever happens, there is a result."""
    case = one.case
    started = time.monotonic()
    bench: Bench | None = None
    verdict, reason = Verdict.PASSED, ""
    try:
        bench = Bench(
            meter.access,
            meter.cti,
            one.framing,
            case.client,
            password=meter.password,
            fast=meter.fast,
            clock_set_allowed=meter.clock_set_allowed,
            cut_power=meter.cut_power,
            watch=meter.watch,
            kept=meter.kept,
        )
        require_needs(bench, case.needs)
        case.run(bench)
    except CaseEnd as end:
        verdict, reason = end.verdict, str(end)
    except PortError as error:
        verdict, reason = Verdict.INCONCLUSIVE, f"the line broke: {error}"
    except (DlmsError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        # What a meter sends may be so far from what a script expects that it cannot even be compared.
        verdict, reason = Verdict.FAILED, f"the answer cannot be read: {error}"
    verdict, reason = _restored(bench, verdict, reason)
    client = "" if bench is None else f"client {bench.sap}"
    return Result(
        one.suite,
        case.id,
        case.purpose,
        case.clause,
        one.framing,
        client,
        case.expectation,
        verdict,
        reason,
        () if bench is None else tuple(bench.remarks),
        time.monotonic() - started,
        () if bench is None else bench.trace,
        0 if bench is None else bench.left_out,
    )


def _restored(bench: Bench | None, verdict: Verdict, reason: str) -> tuple[Verdict, str]:
    if bench is None:
        return verdict, reason
    try:
        bench.restore_clock()
    except Inconclusive as end:
        if verdict is Verdict.PASSED:
            verdict, reason = Verdict.INCONCLUSIVE, str(end)
    except (DlmsError, CaseEnd) as error:
        if verdict is Verdict.PASSED:
            verdict, reason = Verdict.INCONCLUSIVE, f"the clock could not be set back: {error}"
    finally:
        bench.hang()
    return verdict, reason
