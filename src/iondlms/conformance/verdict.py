"""How a case ends: four verdicts, and the exceptions by which a script reaches any but the first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = ["CaseEnd", "Failure", "Inapplicable", "Inconclusive", "Result", "TracePiece", "Verdict", "require"]


class Verdict(StrEnum):
    """As in an official report."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    INAPPLICABLE = "INAPPLICABLE"  # the meter does not have what the case is about
    INCONCLUSIVE = "INCONCLUSIVE"  # the case could not be run to its end


class CaseEnd(Exception):
    """A script has come to its end early; the text says why."""

    verdict = Verdict.INCONCLUSIVE


class Failure(CaseEnd):
    """The meter did not answer as the case wants."""

    verdict = Verdict.FAILED


class Inapplicable(CaseEnd):
    """The meter does not have what the case is about."""

    verdict = Verdict.INAPPLICABLE


class Inconclusive(CaseEnd):
    """The case cannot be run here: too long, not allowed, or the line broke."""

    verdict = Verdict.INCONCLUSIVE


class TracePiece(NamedTuple):
    """Octets of one case as they travelled; `at` is seconds since the case began."""

    at: float
    direction: str  # TX or RX
    octets: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case on one framing."""

    suite: str
    id: str
    purpose: str
    clause: str
    framing: str
    client: str
    expectation: str
    verdict: Verdict
    reason: str  # of a verdict that is not PASSED
    remarks: tuple[str, ...]  # tolerated answers
    seconds: float
    trace: tuple[TracePiece, ...]
    left_out: int = 0  # pieces of the trace that were too many to keep


def require(condition: object, what: str) -> None:
    """Raise `Failure` unless the condition holds."""
    if not condition:
        raise Failure(what)
