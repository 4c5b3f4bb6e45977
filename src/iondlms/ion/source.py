"""What the Power Meter module needs of whatever feeds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

__all__ = ["NO_FLOW", "Flow", "Source"]


class Flow(NamedTuple):
    """What went through the meter in a span: amounts of at least 0, in W·ms, var·ms and VA·ms.

    3,600,000 W·ms are one Wh, so integer watts over integer milliseconds add up exactly.
    """

    w_delivered: int
    w_received: int
    var_delivered: int
    var_received: int
    va: int


NO_FLOW = Flow(0, 0, 0, 0, 0)


class Source(Protocol):
    """A load, a recording or another meter, asked along the meter's own UTC.

    Spans are asked in order and without overlap, but for clock steps and power cuts, which leave spans
    out or ask for them again.
    """

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        """Return what flowed from `start_ms` to `end_ms`; None while nothing is known.

        A source of powers integrates them, and any division of a span gives the same sum. A source of
        cumulative registers returns how far they moved since it last returned something, so what flowed
        while it was silent comes with its next answer, and is neither lost nor doubled.
        """
        ...

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        """Return present values by ION name, times 1000; what the source does not know is left out."""
        ...
