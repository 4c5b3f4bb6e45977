"""How the modules of a configuration fit together, and the framework that they make.

What a file names as a module of the default framework is named replaces that module; what has another name
is added. Faults between modules are found over whatever sections are right by themselves, so that all is told
at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from iondlms.ion.framework import default_framework
from iondlms.ion.log_export import MAX_EXPORTED_SOURCES, DlmsLogExport
from iondlms.ion.periodic_timer import MonthEnd, PeriodicTimer
from iondlms.ion.quantities import quantity
from iondlms.ion.recorder import DataRecorderSetup
from iondlms.meter.framework_sections import (
    NO_CODE,
    DataRecorderSection,
    DlmsLogExportSection,
    MonthEndSection,
    PeriodicTimerSection,
    RecorderSection,
    nearest,
)
from iondlms.meter.places import Place
from iondlms.meter.section import Section, fault

__all__ = ["SHORT_FORMS", "Found", "Modules", "modules_of", "read", "section_of"]

_S = TypeVar("_S", bound=Section)
_DEFAULT: Final = default_framework()
# The short forms, with the recorder and the timer that each is of.
SHORT_FORMS: Final = dict(
    zip(
        ("load_profile", "billing"),
        ((each.name, each.record_input) for each in _DEFAULT.data_recorders),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class Found(Generic[_S]):
    """A section, None if it is itself wrong; and where it stands, () for the default framework."""

    section: _S | None
    place: Place = ()


_Trigger = Found[PeriodicTimerSection] | Found[MonthEndSection]


@dataclass(slots=True)
class Modules:
    """All modules in force, the default ones among them, by name; `faults` is what gives a name twice."""

    default: bool  # whether the default framework is among them
    triggers: dict[str, _Trigger] = field(default_factory=dict)
    recorders: dict[str, Found[DataRecorderSection]] = field(default_factory=dict)
    exports: list[Found[DlmsLogExportSection]] = field(default_factory=list)
    interval_timer: str = ""
    faults: list[ValidationError] = field(default_factory=list)

    def trigger_setups(self) -> tuple[PeriodicTimer | MonthEnd, ...]:
        """Return the settings of the timers and of what else makes rows."""
        return tuple(
            PeriodicTimer(name, int(found.section.period), found.section.sync_mode, found.section.sync_input)
            if isinstance(found.section, PeriodicTimerSection)
            else MonthEnd(name)
            for name, found in self.triggers.items()
        )

    def recorder_setups(self) -> tuple[DataRecorderSetup, ...]:
        """Return the settings of the Data Recorders."""
        return tuple(
            DataRecorderSetup(
                each.name,
                each.sources,
                each.record,
                each.depth,
                each.mode == "circular",
                each.insert_outage_records,
            )
            for found in self.recorders.values()
            if (each := found.section) is not None
        )

    def export_setups(self) -> tuple[DlmsLogExport, ...]:
        """Return the settings of the Log Export modules."""
        return tuple(
            DlmsLogExport(each.data_recorder, each.profile_obis, self.codes(each), each.status_register)
            for found in self.exports
            if (each := found.section) is not None
        )

    def codes(self, export: DlmsLogExportSection) -> tuple[str | None, ...]:
        """Return the OBIS codes of an export: those given, or the usual ones of the recorder's sources."""
        if export.obis_codes is not None:
            return tuple(None if code == NO_CODE else code for code in export.obis_codes)
        recorder = self.recorders.get(export.data_recorder)
        sources = () if recorder is None or recorder.section is None else recorder.section.sources
        return tuple(quantity(name).obis for name in sources[:MAX_EXPORTED_SOURCES])

    def sections(self) -> dict[str, tuple[Section, ...]]:
        """Return all modules as sections that say each thing: the same ones, whatever the defaults are."""
        triggers = [found.section for found in self.triggers.values()]
        return {
            "periodic_timer": tuple(each for each in triggers if isinstance(each, PeriodicTimerSection)),
            "month_end": tuple(each for each in triggers if isinstance(each, MonthEndSection)),
            "data_recorder": tuple(
                found.section for found in self.recorders.values() if found.section is not None
            ),
            "dlms_log_export": tuple(
                each.model_copy(
                    update={
                        "obis_codes": tuple(NO_CODE if code is None else code for code in self.codes(each))
                    }
                )
                for found in self.exports
                if (each := found.section) is not None
            ),
        }


def modules_of(data: Mapping[str, Any]) -> Modules:
    """Return the modules of a configuration, given as a document or as its sections by name."""
    default = read(data.get("meter"), "default_framework", True) not in (False, "false", "0", "no", "off")
    made = Modules(default)
    own_triggers: list[tuple[str, _Trigger]] = [
        *_named(data, "periodic_timer", PeriodicTimerSection),
        *_named(data, "month_end", MonthEndSection),
    ]
    own_recorders = list(_named(data, "data_recorder", DataRecorderSection))
    _default_triggers(made, data, default, any(kind.place[0] == "periodic_timer" for _, kind in own_triggers))
    _take(made, made.triggers, own_triggers)
    if default:
        for setup, short in zip(_DEFAULT.data_recorders, SHORT_FORMS, strict=True):
            section = DataRecorderSection(
                name=setup.name,
                record=setup.record_input,
                sources=setup.sources,
                depth=_short(data, short).depth,
            )
            made.recorders[setup.name] = Found(section)
    _take(made, made.recorders, own_recorders)
    made.interval_timer = _interval_timer(made, data)
    _take_exports(made, data, default)
    return made


# --- from sections to modules -----------------------------------------------------------------------------


def read(section: Any, key: str, default: Any) -> Any:
    """Return a key of a section, be it a table or made already."""
    return section.get(key, default) if isinstance(section, dict) else getattr(section, key, default)


def section_of(raw: Any, kind: type[_S]) -> _S | None:
    """Return a section; None if it is wrong, which is told where it is read."""
    try:
        return kind.model_validate(raw)
    except ValidationError:
        return None


def _entries(data: Mapping[str, Any], key: str, kind: type[_S]) -> Iterator[tuple[Any, Found[_S]]]:
    """Yield the sections of a kind as they are written, and as they are understood."""
    written = data.get(key, ())
    for index, raw in enumerate(written if isinstance(written, list | tuple) else ()):
        yield raw, Found(section_of(raw, kind), (key, index))


def _named(data: Mapping[str, Any], key: str, kind: type[_S]) -> Iterator[tuple[str, Found[_S]]]:
    for raw, found in _entries(data, key, kind):
        name = read(raw, "name", None)
        if isinstance(name, str):
            yield name, found


def _short(data: Mapping[str, Any], key: str) -> RecorderSection:
    return section_of(data.get(key, {}), RecorderSection) or RecorderSection()


def _default_triggers(made: Modules, data: Mapping[str, Any], default: bool, own_timer: bool) -> None:
    for trigger, short in zip(_DEFAULT.triggers, SHORT_FORMS, strict=True):
        # Without any timer nothing would end the intervals of the "int" quantities.
        if default or (not own_timer and trigger.name == _DEFAULT.interval_timer):
            section = PeriodicTimerSection(name=trigger.name, period=_short(data, short).period)
            made.triggers[trigger.name] = Found(section)


def _take(made: Modules, modules: dict[str, Any], own: list[tuple[str, Any]]) -> None:
    """Put modules of the file in the place of default ones of their name, or after them."""
    for name, found in own:
        there = modules.get(name)
        if there is not None and there.place:
            made.faults.append(
                fault(
                    f"two modules are called {name!r}; the other is",
                    *found.place,
                    "name",
                    other=(*there.place, "name"),
                )
            )
            continue
        modules[name] = found


def _interval_timer(made: Modules, data: Mapping[str, Any]) -> str:
    named = read(data.get("power_meter"), "interval_timer", "")
    timers = [
        name
        for name, found in made.triggers.items()
        if not isinstance(found.section, MonthEndSection) and found.place[:1] != ("month_end",)
    ]
    if isinstance(named, str) and named:
        if named not in timers:
            made.faults.append(
                fault(
                    f"there is no periodic timer {named!r}; {nearest(named, tuple(timers))}",
                    "power_meter",
                    "interval_timer",
                )
            )
        return named
    if _DEFAULT.interval_timer in timers or not timers:
        if not timers:
            place = made.triggers[_DEFAULT.interval_timer].place
            made.faults.append(
                fault("the intervals of the 'int' quantities need a [[periodic_timer]]", *place, "name")
            )
        return _DEFAULT.interval_timer
    return timers[0]


def _take_exports(made: Modules, data: Mapping[str, Any], default: bool) -> None:
    own = [found for _, found in _entries(data, "dlms_log_export", DlmsLogExportSection)]
    # One that is itself wrong replaces too: what it does not say cannot be held against the default one.
    written = [raw for raw, _ in _entries(data, "dlms_log_export", DlmsLogExportSection)]
    recorders = [read(raw, "data_recorder", None) for raw in written]
    profiles = {found.section.profile_obis for found in own if found.section is not None}
    for setup in _DEFAULT.dlms_log_exports if default else ():
        if setup.data_recorder in recorders or setup.profile_obis in profiles:
            continue
        replaced = made.recorders[setup.data_recorder].place
        section = DlmsLogExportSection(
            data_recorder=setup.data_recorder,
            profile_obis=setup.profile_obis,
            obis_codes=None if replaced else tuple(code for _, code in setup.columns()),
        )
        made.exports.append(Found(section))
    made.exports += own
