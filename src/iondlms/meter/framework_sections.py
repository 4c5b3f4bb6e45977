"""The sections of the ION modules: clock, registers, timers, recorders, exports, event log.

Each is right or wrong by itself here; how they fit together is in `modules.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from iondlms.codec.obis import ObisCode
from iondlms.errors import LocalError
from iondlms.ion.clock import MAX_DST_PAIRS, ClockSetup
from iondlms.ion.event_log import EventLogSetup
from iondlms.ion.log_export import MAX_EXPORTED_SOURCES
from iondlms.ion.ports import PORT_NAMES, ports_of
from iondlms.ion.power_meter import PowerMeterSetup
from iondlms.ion.quantities import QUANTITIES
from iondlms.meter.fault_sections import FaultRuleSection
from iondlms.meter.port_sections import MODEL
from iondlms.meter.section import Seconds, Section, Switch, WholeSeconds, close_to, fault, together
from iondlms.meter.source_sections import AnySource, Instant, SimulatedSection

__all__ = [
    "NO_CODE",
    "ClockSection",
    "DataRecorderSection",
    "DlmsLogExportSection",
    "EventLogSection",
    "FrameworkSections",
    "MonthEndSection",
    "PeriodicTimerSection",
    "PowerMeterSection",
    "RecorderSection",
    "nearest",
]

_BY_HAND: Final = ("tz_offset", "dst_offset", "dst")  # what a zone has, given without one
NO_CODE: Final = "none"  # in `obis_codes`: this source is not exported
_T = TypeVar("_T")


def _said(make: Callable[[], _T]) -> _T:
    """Return what is made; what the rooms below say against it becomes pydantic's ValueError."""
    try:
        return make()
    except LocalError as error:
        raise ValueError(str(error)) from error


def _obis(value: object) -> object:
    """Write an OBIS code in the one form; what is no text is left to the field's own type."""
    return _said(lambda: str(ObisCode.parse(value))) if isinstance(value, str) else value


def _obis_or_none(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in (NO_CODE, ""):
        return NO_CODE
    return _obis(value)


def _name(value: str) -> str:
    if not value.strip() or value != value.strip() or not value.isprintable():
        raise ValueError(f"{value!r} is no name; it is printable, and no blank stands around it")
    return value


Obis = Annotated[str, BeforeValidator(_obis)]
ObisOrNone = Annotated[str, BeforeValidator(_obis_or_none)]


def nearest(word: str, words: tuple[str, ...], most: int = 8) -> str:
    """Return a hint at what was perhaps meant: up to three of the words, or else some of them."""
    hint = close_to(word, words)
    return hint or f"there are {', '.join(map(repr, words[:most]))}{' and more' if len(words) > most else ''}"


class ClockSection(Section):
    """`[clock]`: the Clock module."""

    zone: str = Field(
        default="UTC", description="IANA name; gives TZ offset and DST pairs; empty: they are given here"
    )
    tz_offset: int | None = Field(
        default=None, ge=-720, le=840, description="by hand: minutes ahead of UTC in standard time; none: 0"
    )
    dst_offset: int | None = Field(
        default=None, ge=-180, le=180, description="by hand: minutes that DST adds; none: 0, which is no DST"
    )
    dst: tuple[tuple[Instant, Instant], ...] | None = Field(
        default=None, description="by hand: pairs of DST start and end, 20 at most; without an offset UTC"
    )
    time_sync_source: str = Field(default="ETHERNET", description="the port whose clients may set the time")
    time_sync_type: Literal["UTC", "LOCAL"] = Field(
        default="UTC", description="what a time without deviation is"
    )
    clock_source: Literal["INTERNAL", "LINE FREQ", "COMM"] = Field(
        default="INTERNAL", description="what the clock object says it runs by; it is the host's clock anyway"
    )
    trusted: Switch = Field(
        default=True, description="false: after each start the time is marked as doubtful until it is set"
    )
    event_threshold: Seconds = Field(
        default=1.0, ge=0, le=86400, description="a longer step sets the status bit"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_way(cls, data: Any) -> Any:
        by_hand = isinstance(data, dict) and any(data.get(key) is not None for key in _BY_HAND)
        return {"zone": "", **data} if by_hand else data

    def faults_within(self, wrong: frozenset[str]) -> Iterator[ValidationError]:
        """Yield what does not go together: a zone, and what it has itself."""
        by_hand = [key for key in _BY_HAND if key in wrong or getattr(self, key) is not None]
        if by_hand and self.zone and "zone" in self.model_fields_set:
            yield fault(
                "a zone has its own offsets and pairs; give them by hand and no zone, or leave them out; see",
                by_hand[0],
                other=("clock", "zone"),
            )

    @field_validator("dst")
    @classmethod
    def _in_order(cls, value: tuple[tuple[Any, Any], ...] | None) -> tuple[tuple[Any, Any], ...] | None:
        if value is not None and len(value) > MAX_DST_PAIRS:
            raise ValueError(f"{len(value)} pairs; the Clock module has {MAX_DST_PAIRS}")
        before = None
        faults = []
        for index, pair in enumerate(value or ()):
            for number, instant in enumerate(pair):
                if before is not None and instant <= before:
                    what = (
                        "DST ends before it starts"
                        if number
                        else "it is not after the end of the pair before"
                    )
                    faults.append(fault(f"{instant.isoformat()}: {what}", index, number))
                before = instant
        if faults:
            raise together(*faults)
        return value

    @field_validator("time_sync_source")
    @classmethod
    def _known_port(cls, value: str) -> str:
        if value.upper() not in PORT_NAMES:
            there = ", ".join(port.name for port in ports_of(MODEL.get() or "ION8650"))
            raise ValueError(f"{value!r} is no port; there are {there}")
        return value.upper()

    def made(self, zone: Callable[[str], ClockSetup]) -> ClockSetup:
        """Return the settings, of a zone as `zone` makes them; LocalError if the zone cannot be used."""
        setup = (
            zone(self.zone)
            if self.zone
            else ClockSetup(
                tz_offset_min=self.tz_offset or 0,
                dst_offset_min=self.dst_offset or 0,
                dst_pairs=tuple(
                    (round(start.timestamp() * 1000), round(end.timestamp() * 1000))
                    for start, end in self.dst or ()
                ),
            )
        )
        return ClockSetup(
            setup.tz_offset_min,
            setup.dst_offset_min,
            setup.dst_pairs,
            time_sync_source=self.time_sync_source,
            time_sync_type=self.time_sync_type,
            event_threshold_ms=round(self.event_threshold * 1000),
            clock_source=self.clock_source,
            trusted=self.trusted,
        )


class PowerMeterSection(Section):
    """`[power_meter]`: registers and the sliding window."""

    sub_interval: WholeSeconds = Field(
        default=300.0, ge=1, le=5940, description="of the demand, whole seconds"
    )
    sub_intervals: int = Field(default=3, ge=1, le=15, description="that the sliding window spans")
    rollover: int = Field(
        default=10_000_000, ge=1, le=10**15, description="where energy registers turn to 0, in k-units"
    )
    pf_sign: Literal["IEC", "IEEE"] = Field(
        default="IEC", description="the sign of the active power, or negative while the current lags"
    )
    interval_timer: str = Field(
        default="",
        description="the periodic timer that ends the intervals of the 'int' quantities; empty: Load Profile"
        " Timer, or else the first",
    )

    def made(self) -> PowerMeterSetup:
        """Return the settings."""
        return PowerMeterSetup(int(self.sub_interval), self.sub_intervals, self.rollover, self.pf_sign)


class _Named(Section):
    name: str = Field(description="to name it by")

    _own_name = field_validator("name")(_name)


class PeriodicTimerSection(_Named):
    """`[[periodic_timer]]`: pulses at whole periods of the meter's hour."""

    period: WholeSeconds = Field(
        default=900.0, ge=1, le=86400 * 31, description="whole seconds, aligned to the meter's hour"
    )
    sync_input: str = Field(
        default="", description="another timer or month end from whose pulses it counts; empty: the hour"
    )
    sync_mode: Literal["TRIGGER ON SYNC", "NO TRIG ON SYNC"] = Field(
        default="NO TRIG ON SYNC", description="whether it pulses with its Sync input, or a period after it"
    )


class MonthEndSection(_Named):
    """`[[month_end]]`: a trigger that is no timer; pulses when a month begins, at local midnight."""


class DataRecorderSection(_Named):
    """`[[data_recorder]]`: rows of its sources."""

    record: str = Field(
        default="", description="the timer or month end that makes the rows; empty: none, only pulses by hand"
    )
    sources: tuple[str, ...] = Field(
        min_length=1, description="ION names: 'kWh del', 'Vln a'; 16, or 50 on newer models"
    )
    depth: int = Field(default=3360, ge=1, le=10_000_000, description="rows")
    mode: Literal["circular", "stop-when-full"] = Field(
        default="circular", description="the oldest row gives way, or no new one comes"
    )
    insert_outage_records: Switch = Field(
        default=False, description="rows of zeros for what an outage left out, or a gap"
    )

    @field_validator("sources")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(QUANTITIES)
        wrong = [
            fault(f"no quantity is called {name!r}; {nearest(name, names)}", index)
            for index, name in enumerate(value)
            if name not in QUANTITIES
        ]
        if wrong:
            raise together(*wrong)
        return value


class DlmsLogExportSection(Section):
    """`[[dlms_log_export]]`: a Data Recorder as a Profile Generic."""

    data_recorder: str = Field(description="the name of the recorder")
    profile_obis: Obis = Field(description="of the profile: 1-0:99.2.0*255")
    status_register: Switch = Field(default=True, description="whether the rows have a status column")
    obis_codes: tuple[ObisOrNone, ...] | None = Field(
        default=None,
        max_length=MAX_EXPORTED_SOURCES,
        description="by the recorder's sources, 16 at most; 'none' keeps one out; not given: the usual ones",
    )


class EventLogSection(Section):
    """`[event_log]`: the Event Log Controller."""

    depth: int = Field(default=EventLogSetup().depth, ge=1, le=65_535, description="events kept")
    cutoff: int = Field(
        default=EventLogSetup().cutoff,
        ge=0,
        le=255,
        description="only events of a higher priority are logged",
    )
    profile_obis: str = Field(
        default="", description="exports it as a profile, usually 1-0:99.98.0*255; empty: not exported"
    )

    @field_validator("profile_obis")
    @classmethod
    def _code(cls, value: str) -> str:
        return str(_obis(value)) if value.strip() else ""

    def made(self) -> EventLogSetup:
        """Return the settings."""
        return EventLogSetup(self.depth, self.cutoff)


class RecorderSection(Section):
    """`[load_profile]` and `[billing]`: short forms for period and depth of the default recorders."""

    period: WholeSeconds = Field(
        default=900.0, ge=1, le=86400 * 31, description="of the Periodic Timer, whole seconds"
    )
    depth: int = Field(default=3360, ge=1, le=10_000_000, description="rows kept; the oldest give way")


class FrameworkSections(Section):
    """What a file says of the modules, of one meter or of several."""

    meter: Any  # declared here for its place: first
    clock: ClockSection = ClockSection()
    source: AnySource = SimulatedSection()
    power_meter: PowerMeterSection = PowerMeterSection()
    load_profile: RecorderSection = RecorderSection()
    billing: RecorderSection = RecorderSection()
    periodic_timer: tuple[PeriodicTimerSection, ...] = ()
    month_end: tuple[MonthEndSection, ...] = ()
    data_recorder: tuple[DataRecorderSection, ...] = ()
    dlms_log_export: tuple[DlmsLogExportSection, ...] = ()
    event_log: EventLogSection = EventLogSection()

    @field_validator("periodic_timer", "month_end", "data_recorder", "dlms_log_export", mode="before")
    @classmethod
    def _each_its_own(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, list | tuple):
            name = info.field_name
            raise ValueError(f"write each {name} as a section of its own, headed [[{name}]]")
        return value

    fault: tuple[FaultRuleSection, ...] = ()
