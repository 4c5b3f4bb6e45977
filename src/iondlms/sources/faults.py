"""Faults on schedule: a simulated load whose supply, phases or wiring fail when they are told to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from iondlms.errors import LocalError
from iondlms.ion import Flow, Quadrants

from .simulated import PHASE_SHARES, SimulatedLoad, between_phases

__all__ = ["Fault", "FaultyLoad"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What fails, and when; LocalError for a schedule that cannot be.

    `power_cut`: the meter has no power. `phase_loss`: one phase has no voltage. `reverse_flow`: what was
    delivered is received, as with current transformers turned round.
    """

    kind: Literal["power_cut", "phase_loss", "reverse_flow"]
    begin_ms: int  # UTC
    duration_s: float
    every_s: float = 0  # from one begin to the next; 0: once
    phase: Literal["a", "b", "c"] = "a"

    def __post_init__(self) -> None:
        if self.kind not in ("power_cut", "phase_loss", "reverse_flow") or self.phase not in PHASE_SHARES:
            raise LocalError(f"no fault is called {self.kind!r} on phase {self.phase!r}")
        if self.duration_s < 0.001:
            raise LocalError(f"a fault of {self.duration_s} s is none")
        if self.every_s and self.every_s <= self.duration_s:
            raise LocalError(f"a fault of {self.duration_s} s cannot come every {self.every_s} s")

    def turn(self, utc_ms: int) -> tuple[int, int]:
        """Return begin and end of the last turn that began until the instant, or else of the first."""
        begin_ms = self.begin_ms
        if self.every_s and utc_ms > begin_ms:
            every_ms = round(self.every_s * 1000)
            begin_ms += (utc_ms - begin_ms) // every_ms * every_ms
        return begin_ms, begin_ms + round(self.duration_s * 1000)

    def next_turn(self, utc_ms: int) -> tuple[int, int] | None:
        """Return begin and end of the first turn that ends after the instant."""
        begin_ms, end_ms = self.turn(utc_ms)
        if end_ms > utc_ms:
            return begin_ms, end_ms
        if not self.every_s:
            return None
        every_ms = round(self.every_s * 1000)
        return begin_ms + every_ms, end_ms + every_ms

    def active(self, utc_ms: int) -> bool:
        """Return whether it is there at the instant."""
        begin_ms, end_ms = self.turn(utc_ms)
        return begin_ms <= utc_ms < end_ms


class FaultyLoad:
    """A `SupplySource`: a simulated load with faults. Any division of a span still gives the same sum."""

    def __init__(self, load: SimulatedLoad, faults: Sequence[Fault]) -> None:
        self._load = load
        self._faults = tuple(faults)
        self._cuts = [each for each in faults if each.kind == "power_cut"]

    def flow(self, start_ms: int, end_ms: int) -> Flow:
        """Return what flowed from `start_ms` to `end_ms`; nothing does in a power cut."""
        a = b = c = d = e = 0
        while start_ms < end_ms:
            edge_ms = min([end_ms, *self._edges_after(start_ms)])
            kinds, flow = self._piece(start_ms, edge_ms, self._load.flow)
            if "reverse_flow" in kinds:
                flow = (flow[1], flow[0], *flow[2:])
            a, b, c, d, e = a + flow[0], b + flow[1], c + flow[2], d + flow[3], e + flow[4]
            start_ms = edge_ms
        return Flow(a, b, c, d, e)

    def quadrants(self, start_ms: int, end_ms: int) -> Quadrants:
        """Return the reactive energy that flowed from `start_ms` to `end_ms`, by quadrant."""
        a = b = c = d = 0
        while start_ms < end_ms:
            edge_ms = min([end_ms, *self._edges_after(start_ms)])
            kinds, flow = self._piece(start_ms, edge_ms, self._load.quadrants)
            if "reverse_flow" in kinds:
                flow = (flow[1], flow[0], flow[3], flow[2])
            a, b, c, d = a + flow[0], b + flow[1], c + flow[2], d + flow[3]
            start_ms = edge_ms
        return Quadrants(a, b, c, d)

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        """Return present values; a lost phase has no voltage, current or power."""
        readings = dict(self._load.readings(utc_ms))
        active = [each for each in self._faults if each.active(utc_ms)]
        if any(each.kind == "power_cut" for each in active):
            return {}
        if any(each.kind == "reverse_flow" for each in active):
            for name in ("kW tot", "kW a", "kW b", "kW c"):
                readings[name] = -(readings[name] or 0)
        lost = {each.phase for each in active if each.kind == "phase_loss"}
        for phase in lost:
            for unit in ("kW", "kVAR"):
                readings[f"{unit} tot"] = (readings[f"{unit} tot"] or 0) - (readings[f"{unit} {phase}"] or 0)
            for name in ("kW", "kVAR", "kVA", "Vln", "I"):
                readings[f"{name} {phase}"] = 0
        if lost:
            readings["kVA tot"] = int(math.hypot(readings["kW tot"] or 0, readings["kVAR tot"] or 0) + 0.5)
            readings.update(between_phases(readings))
        return readings

    def outage(self, utc_ms: int) -> tuple[int, int] | None:
        """Return the first power cut that ends after the instant; cuts that touch are one."""
        turns = [turn for each in self._cuts if (turn := each.next_turn(utc_ms)) is not None]
        if not turns:
            return None
        begin_ms, end_ms = min(turns)
        # Cuts that take turns could go on for ever; a thousand joints are enough.
        for _ in range(1000):
            later = [each.turn(end_ms)[1] for each in self._cuts if each.active(end_ms)]
            if not later:
                break
            end_ms = max(later)
        return begin_ms, end_ms

    def _edges_after(self, utc_ms: int) -> list[int]:
        edges = []
        for fault in self._faults:
            turn = fault.next_turn(utc_ms)
            if turn is not None:
                edges += [edge for edge in turn if edge > utc_ms][:1]
        return edges

    def _piece(
        self, start_ms: int, end_ms: int, ask: Callable[[int, int], tuple[int, ...]]
    ) -> tuple[set[str], tuple[int, ...]]:
        """Return the kinds of faults, and amounts, of a span in which no fault comes or goes."""
        active = [each for each in self._faults if each.active(start_ms)]
        kinds: set[str] = {each.kind for each in active}
        amounts = ask(start_ms, end_ms)
        if "power_cut" in kinds:
            return kinds, tuple(0 for _ in amounts)
        if "phase_loss" in kinds:
            lost = sum(PHASE_SHARES[phase] for phase in {e.phase for e in active if e.kind == "phase_loss"})
            # Cut down from where the piece began, whatever is asked of it, so that remainders add up.
            origin_ms = max(edge for each in self._faults for edge in each.turn(start_ms) if edge <= start_ms)
            left, before = 1000 - lost, ask(origin_ms, start_ms)
            amounts = tuple(
                (x + y) * left // 1000 - x * left // 1000 for x, y in zip(before, amounts, strict=True)
            )
        return kinds, amounts
