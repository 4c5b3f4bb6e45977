"""The kinds of sources, each made from its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from iondlms.ion import Source

from .faults import Fault, FaultyLoad
from .modbus import ModbusMeter, ModbusSettings
from .replay import ReplaySettings, replay
from .simulated import SimulatedLoad

__all__ = ["LiveSource", "SimulatedSettings", "SourceSettings", "make_source"]


@dataclass(frozen=True, slots=True)
class SimulatedSettings:
    """A simulated load; None for a size takes what is usual for the shape."""

    seed: int = 1
    shape: str = "office"  # office, household, factory, ev_charging
    peak_kw: int | None = None
    solar_kw: int | None = None
    latitude: float = 40.0
    utc_offset_min: int = 0  # of the local standard time that people and sun keep
    nominal_v: int = 230
    nominal_hz: int = 50
    step_s: int = 60
    faults: tuple[Fault, ...] = ()


SourceSettings = SimulatedSettings | ReplaySettings | ModbusSettings


@runtime_checkable
class LiveSource(Source, Protocol):
    """A source that must be fed while the meter runs."""

    def listen(self, event: Callable[[int, str, str], None], changing: Callable[[], None]) -> None:
        """Have `event` told priority, cause and effect, and `changing` called before values change."""
        ...

    async def run(self) -> None:
        """Feed it until cancelled."""
        ...


def make_source(settings: SourceSettings) -> Source:
    """Return the source of these settings; LocalError tells what is wrong with them."""
    if isinstance(settings, ReplaySettings):
        return replay(settings)
    if isinstance(settings, ModbusSettings):
        return ModbusMeter(settings)
    load = SimulatedLoad(
        settings.seed,
        shape=settings.shape,
        peak_kw=settings.peak_kw,
        solar_kw=settings.solar_kw,
        latitude=settings.latitude,
        utc_offset_min=settings.utc_offset_min,
        nominal_v=settings.nominal_v,
        nominal_hz=settings.nominal_hz,
        step_s=settings.step_s,
    )
    return FaultyLoad(load, settings.faults) if settings.faults else load
