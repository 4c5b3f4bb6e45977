"""How fast a line is: a model in numbers, without a wire and without waiting.

`memory.NullModem` delays octets by it: each takes its bits on the line, then the latency of whatever carries
it (a radio, a GSM data call, a serial server). Two-wire lines carry one side at a time: what both send at
once is destroyed for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from iondlms.errors import LocalError

__all__ = ["Pace"]


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a line; LocalError for one that carries nothing."""

    baud: int = 9600
    bits: int = 10  # of one octet: start, data, parity and stop bits; 10 is 8N1 and 7E1, 11 is 8E1 and 8N2
    latency_s: float = 0.0  # from the last bit sent to its arrival, each way
    half_duplex: bool = False  # one pair of wires: sides that speak at once destroy each other's octets
    turnaround_s: float = 0.0  # the meter's, from the last octet of the request to the first of the answer

    def __post_init__(self) -> None:
        if self.baud <= 0 or self.bits <= 0:
            raise LocalError(f"a line of {self.baud} baud and {self.bits} bits an octet carries nothing")
        if self.latency_s < 0 or self.turnaround_s < 0:
            raise LocalError("no line delivers before it is sent")

    def octets_s(self, octets: int, baud: int | None = None) -> float:
        """Return the seconds that so many octets are on the line."""
        return octets * self.bits / (self.baud if baud is None else baud)

    def exchange_s(self, exchanges: Iterable[tuple[int, int]]) -> float:
        """Return the least time of an exchange, two-way alternate: (octets out, octets back) for each turn.

        What a measured session is compared with: nothing but the octets, the latency and the turnaround.
        """
        return sum(
            self.octets_s(out + back) + 2 * self.latency_s + self.turnaround_s for out, back in exchanges
        )
