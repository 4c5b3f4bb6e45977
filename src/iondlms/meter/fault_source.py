"""A source that has stopped: what it says stays as it was, or is missing."""

from __future__ import annotations

from collections.abc import Mapping

from iondlms.ion.source import Flow, Registers, RegisterSource, Source
from iondlms.meter.fault_rules import Values

__all__ = ["frozen"]


class _Frozen:
    """Powers that go on as they were when it froze, so energies go on at that pace; or nothing at all."""

    def __init__(self, readings: Mapping[str, int | None] | None) -> None:
        self._readings = readings

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        """Return what flows at the held powers; None where there are none."""
        readings = self._readings
        if readings is None:
            return None
        active, reactive, apparent = (readings.get(name) for name in ("kW tot", "kVAR tot", "kVA tot"))
        if active is None or reactive is None or apparent is None:
            return None
        length_ms = end_ms - start_ms
        return Flow(
            max(active, 0) * length_ms,
            max(-active, 0) * length_ms,
            max(reactive, 0) * length_ms,
            max(-reactive, 0) * length_ms,
            apparent * length_ms,
        )

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:  # noqa: ARG002  # it has stopped
        """Return the held values."""
        return {} if self._readings is None else self._readings


class _FrozenMeter(_Frozen):
    """Another meter whose registers stand still: what flows meanwhile is in them when it goes on."""

    def __init__(
        self, readings: Mapping[str, int | None] | None, registers: Registers | None, rollover: int
    ) -> None:
        super().__init__(readings)
        self._registers = registers
        self.rollover = rollover

    def registers(self, utc_ms: int) -> Registers | None:  # noqa: ARG002
        """Return the held registers."""
        return self._registers


def frozen(source: Source, utc_ms: int, values: Values) -> Source:
    """Return what stands in for a source that stops at an instant of the meter's UTC."""
    held = dict(source.readings(utc_ms)) if values == "held" else None
    if isinstance(source, RegisterSource):
        registers = source.registers(utc_ms) if values == "held" else None
        return _FrozenMeter(held, registers, source.rollover)
    return _Frozen(held)
