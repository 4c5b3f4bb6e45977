"""What the Power Meter module needs of whatever feeds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

__all__ = [
    "NO_FLOW",
    "Flow",
    "QuadrantSource",
    "Quadrants",
    "RegisterSource",
    "Registers",
    "Source",
    "SupplySource",
    "TellingSource",
    "moved",
]


class Flow(NamedTuple):
    """What went through the meter in a span: amounts of at least 0, in W·ms, var·ms and VA·ms.

    3,600,000 W·ms are one Wh, so integer watts over integer milliseconds add up exactly.
    """

    w_delivered: int
    w_received: int
    var_delivered: int
    var_received: int
    va: int


class Registers(NamedTuple):
    """What another meter's registers show, in Wh, varh and VAh; None for one without a value."""

    wh_delivered: int | None
    wh_received: int | None
    varh_delivered: int | None
    varh_received: int | None
    vah: int | None


class Quadrants(NamedTuple):
    """Reactive energy of a span by quadrant (IEC 62053-23 annex C): at least 0 each, in var·ms.

    The first is delivered active with delivered reactive power, and so on against the clock.
    """

    q1: int  # delivered, delivered
    q2: int  # active received, reactive delivered
    q3: int  # received, received
    q4: int  # active delivered, reactive received


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


@runtime_checkable
class RegisterSource(Source, Protocol):
    """Another meter, whose registers the Power Meter shows as its own; its flows are not asked for."""

    @property
    def rollover(self) -> int:
        """Where its registers turn to 0, in k-units."""
        ...

    def registers(self, utc_ms: int) -> Registers | None:
        """Return what the registers show; None while nothing is known."""
        ...


@runtime_checkable
class QuadrantSource(Source, Protocol):
    """A source that also knows in which quadrant its reactive energy flowed."""

    def quadrants(self, start_ms: int, end_ms: int) -> Quadrants | None:
        """Return what flowed from `start_ms` to `end_ms`; None while nothing is known."""
        ...


@runtime_checkable
class SupplySource(Source, Protocol):
    """A source that also knows when the meter had no power."""

    def outage(self, utc_ms: int) -> tuple[int, int] | None:
        """Return begin and end of the first outage that ends after the instant; None if none does."""
        ...


@runtime_checkable
class TellingSource(Source, Protocol):
    """A source that itself tells whoever runs it when it is lost and found, and why."""

    def listen(self, event: Callable[[int, str, str], None], changing: Callable[[], None]) -> None:
        """Have `event` told priority, cause and effect, and `changing` called before values change."""
        ...


def moved(before: int, now: int, modulus: int) -> int | None:
    """Return how far a register went from `before` to `now`; None if it went back.

    A register that falls by nine tenths of its range or more turned over. A smaller fall is another
    meter, or one that was reset: what flowed around it nobody knows.
    """
    if now >= before:
        return now - before
    return now - before + modulus if (before - now) * 10 >= modulus * 9 else None
