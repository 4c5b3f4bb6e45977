"""`[source]`: what feeds the Power Meter. Each kind of source has its own keys."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from iondlms.errors import LocalError
from iondlms.meter.section import FileName, Seconds, Section, fault
from iondlms.sources import (
    Fault,
    ModbusSettings,
    ReplaySettings,
    SimulatedSettings,
    SourceSettings,
    load_map,
)
from iondlms.sources.stamps import zone_of

__all__ = [
    "AnySource",
    "FaultSection",
    "ModbusSection",
    "ReplaySection",
    "SimulatedSection",
    "SourceSection",
]


def _instant(value: object) -> object:
    """Read ISO 8601; without an offset it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no date-time; write it as 2026-03-01T00:00:00Z") from error
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is no date-time; write it as 2026-03-01T00:00:00Z")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _decimal(value: object) -> object:
    """Keep a number of TOML as its text: 0.001 is meant, and not the float next to it."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_EPOCH: Final = datetime.fromtimestamp(0, UTC)
Instant = Annotated[datetime, BeforeValidator(_instant)]


class SourceSection(Section):
    """What the kinds of sources have in common."""

    kind: str

    @abstractmethod
    def settings(self, seed: int, utc_offset_min: int) -> SourceSettings:
        """Return the settings of the source, with what the meter knows of itself."""


class FaultSection(Section):
    """`[[source.fault]]`: what fails, and when."""

    kind: Literal["power_cut", "phase_loss", "reverse_flow"]
    begin: Instant = Field(description="ISO 8601; without an offset UTC")
    duration: Seconds = Field(ge=0.001, description="s, or text such as 90s")
    every: Seconds = Field(default=0.0, ge=0, description="from one begin to the next; 0: once")
    phase: Literal["a", "b", "c"] = Field(default="a", description="which one phase_loss loses")

    stand_ins: ClassVar[Mapping[str, Any]] = {"kind": "power_cut", "begin": _EPOCH, "duration": 0.001}

    def faults_within(self, wrong: frozenset[str]) -> Iterator[ValidationError]:
        """Yield what does not go together: how long it takes, and how often it comes."""
        try:
            if not wrong & {"duration", "every"}:
                self.made()
        except LocalError as error:
            yield fault(str(error), "every")

    def made(self) -> Fault:
        """Return the fault."""
        return Fault(self.kind, _ms(self.begin), self.duration, self.every, self.phase)


class SimulatedSection(SourceSection):
    """A simulated load; its seed is the meter's."""

    kind: Literal["simulated"] = "simulated"
    shape: Literal["office", "household", "factory", "ev_charging"] = "office"
    peak_kw: int | None = Field(default=None, ge=0, le=1_000_000, description="none: usual for the shape")
    solar_kw: int | None = Field(default=None, ge=0, le=1_000_000, description="none: usual for the shape")
    latitude: float = Field(default=40.0, ge=-66, le=66, description="of the solar panels, degrees")
    fault: tuple[FaultSection, ...] = ()

    def settings(self, seed: int, utc_offset_min: int) -> SimulatedSettings:
        """Return the settings; people and sun keep the meter's local standard time."""
        return SimulatedSettings(
            seed,
            self.shape,
            self.peak_kw,
            self.solar_kw,
            self.latitude,
            utc_offset_min,
            faults=tuple(each.made() for each in self.fault),
        )


class ReplaySection(SourceSection):
    """A file of what another meter measured."""

    kind: Literal["replay"] = "replay"
    path: FileName = Field(description="CSV, TSV or Parquet")
    columns: dict[str, str] = Field(default={}, description="heading by ION name; empty: found out")
    time: str = Field(default="", description="heading of the stamps; empty: found out")
    time_format: str = Field(default="", description="strptime; empty: found out")
    zone: str = Field(default="UTC", description="IANA name; of stamps without an offset")
    stamp: Literal["begin", "end"] = Field(default="begin", description="which end of its interval a row has")
    step: Seconds = Field(default=0.0, ge=0, le=86400 * 366, description="of the rows; 0: their usual one")
    scale: Annotated[str, BeforeValidator(_decimal)] = Field(
        default="1", description="makes kW and kWh of the file's values"
    )
    gaps: Literal["outage", "silence"] = Field(default="outage", description="no power in them, or no values")
    at_end: Literal["stop", "loop"] = "stop"
    begin: Instant | None = Field(default=None, description="when the first row is; none: when recorded")

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zone_of(value)
        except LocalError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("scale")
    @classmethod
    def _number(cls, value: str) -> str:
        try:
            number = Decimal(value)
        except InvalidOperation as error:
            raise ValueError(f"{value!r} is no number") from error
        if not number.is_finite() or not number:
            raise ValueError(f"{value!r} is no scale")
        return value

    @field_validator("step")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value != int(value):
            raise ValueError("rows are whole seconds apart")
        return value

    def settings(self, seed: int, utc_offset_min: int) -> ReplaySettings:  # noqa: ARG002
        """Return the settings; the file is read when the source is made of them."""
        return ReplaySettings(
            self.path,
            self.columns,
            self.time,
            self.time_format,
            self.zone,
            self.stamp,
            int(self.step),
            self.scale,
            self.gaps,
            self.at_end,
            None if self.begin is None else _ms(self.begin),
        )


class ModbusSection(SourceSection):
    """Another meter over Modbus."""

    kind: Literal["modbus"] = "modbus"
    url: str = Field(description="tcp://HOST:502, rtu+tcp://HOST:PORT or rtu:DEVICE?baud=19200&framing=8E1")
    unit_id: int = Field(default=1, ge=0, le=255, description="of the other meter")
    map: str = Field(default="ion9000", description="a built-in map, or a .toml file")
    poll: Seconds = Field(default=5.0, ge=0.1, le=3600, description="from one poll to the next")
    timeout: Seconds = Field(default=3.0, ge=0.05, le=60, description="for each answer")
    retries: int = Field(default=1, ge=0, le=10, description="of a poll")

    @field_validator("url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        try:
            ModbusSettings(value)
        except LocalError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("map")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            load_map(value)
        except LocalError as error:
            raise ValueError(str(error)) from error
        return value

    def settings(self, seed: int, utc_offset_min: int) -> ModbusSettings:  # noqa: ARG002
        """Return the settings."""
        return ModbusSettings(self.url, self.unit_id, self.map, self.poll, self.timeout, self.retries)


_KINDS: Final[dict[str, type[SimulatedSection | ReplaySection | ModbusSection]]] = {
    "simulated": SimulatedSection,
    "replay": ReplaySection,
    "modbus": ModbusSection,
}


def _section(value: Any) -> object:
    """Make the section of its kind, so that only that kind's keys are told of."""
    if isinstance(value, SourceSection):
        return value
    if not isinstance(value, dict):
        raise ValueError("write it as one section, headed [source]")
    kind = value.get("kind", "simulated")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise fault(f"{kind!r} is no kind of source; there are {', '.join(_KINDS)}", "kind")
    return _KINDS[kind].model_validate(value)


AnySource: TypeAlias = Annotated[SimulatedSection | ReplaySection | ModbusSection, BeforeValidator(_section)]


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
