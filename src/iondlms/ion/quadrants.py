"""Reactive energy by quadrant: registers of sources that know it, for those who record it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .source import Quadrants, QuadrantSource, Source

__all__ = ["QUADRANTS", "QuadrantRegisters", "QuadrantState"]

QUADRANTS: Final = ("kVARh Q1", "kVARh Q2", "kVARh Q3", "kVARh Q4")

_Four = tuple[int, int, int, int]
_NOTHING: Final = Quadrants(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class QuadrantState:
    """What must still be known after a power cut."""

    totals: Quadrants = _NOTHING  # var·ms
    interval_begin: _Four = (0, 0, 0, 0)  # varh
    interval: _Four | None = None


_NEW: Final = QuadrantState()


class QuadrantRegisters:
    """Four registers that count from the moment on that somebody records one of them.

    Rounded to varh on reading, as the other registers are, and an interval is the difference of two
    readings. While the source does not know, nothing has a value, and what came before is carried on.
    """

    __slots__ = ("_known", "state", "watched")

    def __init__(self) -> None:
        self.state = _NEW
        self.watched = False
        self._known = False

    def integrate(self, source: Source, start_ms: int, end_ms: int) -> None:
        """Add what flowed between two instants of the meter's UTC, if anybody wants it."""
        if not self.watched:
            return
        flow = source.quadrants(start_ms, end_ms) if isinstance(source, QuadrantSource) else None
        self._known = flow is not None
        if flow is not None:
            totals = Quadrants(*(total + each for total, each in zip(self.state.totals, flow, strict=True)))
            self.state = QuadrantState(totals, self.state.interval_begin, self.state.interval)

    def end_interval(self) -> None:
        """Latch the interval energies."""
        if not self._known:
            self.state = QuadrantState(self.state.totals, self.state.interval_begin)
            return
        now, begin = self._registers(), self.state.interval_begin
        interval = (now[0] - begin[0], now[1] - begin[1], now[2] - begin[2], now[3] - begin[3])
        self.state = QuadrantState(self.state.totals, now, interval)

    def value(self, name: str, modulus: int) -> int | None:
        """Return a register, which turns over at `modulus` varh, or its interval."""
        place = QUADRANTS.index(name.removesuffix(" int"))
        if name.endswith(" int"):
            return None if self.state.interval is None else self.state.interval[place]
        return self._registers()[place] % modulus if self._known else None

    def _registers(self) -> _Four:
        a, b, c, d = ((each + 1_800_000) // 3_600_000 for each in self.state.totals)
        return a, b, c, d
