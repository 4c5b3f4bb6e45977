"""The framework: which modules there are and how they are linked; the default one of each model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from iondlms.errors import LocalError

from .clock import ClockSetup
from .event_log import EventLogSetup
from .factory import Factory, model
from .log_export import DlmsLogExport
from .periodic_timer import MonthEnd, PeriodicTimer
from .power_meter import PowerMeterSetup
from .quantities import quantity
from .recorder import DataRecorderSetup

__all__ = ["BILLING", "LOAD_PROFILE", "Framework", "default_framework"]

_T = TypeVar("_T")


def _columns(*names: str) -> tuple[tuple[str, str], ...]:
    """Return names with the logical names that the catalogue has for them."""
    return tuple((name, code) for name in names if (code := quantity(name).obis) is not None)


# The columns of the two profiles, in the order of the manufacturer's technical note.
LOAD_PROFILE: Final = _columns("kWh del int", "kVARh del int", "kWh rec int", "kVARh rec int")
BILLING: Final = _columns(
    "kWh del",
    "kWh rec",
    "kWh del-rec",
    "kVARh del",
    "kVARh rec",
    "kVARh del-rec",
    "kVAh del+rec",
    "kW sd del-rec",
    "kVAR sd del-rec",
    "kVA sd del+rec",
    "PF sign mean",
)

_SERIAL_NUMBERS: Final = {
    "ION9000": "MJ-1808A001-01",
    "ION8650": "MW-1504A002-01",
    "ION7400": "MK-1706A003-01",
    "ION8800": "MF-1310A004-01",
}


@dataclass(frozen=True, slots=True)
class Framework:
    """Set-up of all modules; LocalError for a link to a module that is not there."""

    factory: Factory
    triggers: tuple[PeriodicTimer | MonthEnd, ...]
    interval_timer: str  # the Periodic Timer that ends the intervals of the "int" quantities
    data_recorders: tuple[DataRecorderSetup, ...]
    dlms_log_exports: tuple[DlmsLogExport, ...]
    clock: ClockSetup = field(default_factory=ClockSetup)
    power_meter: PowerMeterSetup = field(default_factory=PowerMeterSetup)
    event_log: EventLogSetup = field(default_factory=EventLogSetup)

    def __post_init__(self) -> None:
        triggers = _by_name("timer or trigger", ((each.name, each) for each in self.triggers))
        if not isinstance(triggers.get(self.interval_timer), PeriodicTimer):
            raise LocalError(f"the interval timer {self.interval_timer!r} is no Periodic Timer")
        for timer in self.triggers:
            if isinstance(timer, PeriodicTimer):
                _check_sync(timer, triggers)
        recorders = _by_name("Data Recorder", ((each.name, each) for each in self.data_recorders))
        for recorder in self.data_recorders:
            self._check_recorder(recorder, triggers)
        profiles = _by_name(
            "profile", ((each.profile_obis, each.data_recorder) for each in self.dlms_log_exports)
        )
        meant: dict[str, tuple[str, str]] = {}
        for export in self.dlms_log_exports:
            source = recorders.get(export.data_recorder)
            if source is None:
                raise LocalError(
                    f"the export {export.profile_obis} is of {export.data_recorder!r}: no such recorder"
                )
            if len(export.obis_codes) > len(source.sources):
                raise LocalError(
                    f"the export {export.profile_obis} has {len(export.obis_codes)} OBIS codes"
                    f" for the {len(source.sources)} sources of {source.name!r}"
                )
            for index, code in export.columns():
                name = source.sources[index]
                other, where = meant.setdefault(code, (name, export.profile_obis))
                if other != name:
                    raise LocalError(
                        f"OBIS code {code} is {other!r} in {where} and {name!r} in {export.profile_obis}"
                    )
                if code in profiles:
                    raise LocalError(f"OBIS code {code} is a profile and {name!r} in {export.profile_obis}")

    @property
    def interval_s(self) -> int:
        """Length of the interval of the "int" quantities."""
        return self.interval.period_s

    @property
    def interval(self) -> PeriodicTimer:
        """The timer that ends those intervals."""
        (timer,) = (
            each
            for each in self.triggers
            if each.name == self.interval_timer and isinstance(each, PeriodicTimer)
        )
        return timer

    def _check_recorder(
        self, recorder: DataRecorderSetup, triggers: dict[str, PeriodicTimer | MonthEnd]
    ) -> None:
        if recorder.record_input and recorder.record_input not in triggers:
            raise LocalError(f"Data Recorder {recorder.name!r}: there is no timer {recorder.record_input!r}")
        if len(recorder.sources) > self.factory.most_sources:
            raise LocalError(
                f"Data Recorder {recorder.name!r} has {len(recorder.sources)} sources; an"
                f" {self.factory.device_type} with firmware {self.factory.revision} takes"
                f" {self.factory.most_sources}"
            )
        for source in recorder.sources:
            quantity(source)


def default_framework(
    name: str = "ION8650", *, factory: Factory | None = None, clock: ClockSetup | None = None
) -> Framework:
    """Return what the model does as delivered: load profile and billing, each exported.

    LocalError for an unknown model.
    """
    made = Factory(model(name).name, _SERIAL_NUMBERS[model(name).name]) if factory is None else factory
    return Framework(
        factory=made,
        triggers=(PeriodicTimer("Load Profile Timer"), PeriodicTimer("Billing Timer")),
        interval_timer="Load Profile Timer",
        data_recorders=(
            DataRecorderSetup("Load Profile", tuple(name for name, _ in LOAD_PROFILE), "Load Profile Timer"),
            DataRecorderSetup("Billing", tuple(name for name, _ in BILLING), "Billing Timer"),
        ),
        dlms_log_exports=(
            DlmsLogExport("Load Profile", "1-0:99.1.0*255", tuple(code for _, code in LOAD_PROFILE)),
            DlmsLogExport("Billing", "1-0:98.1.0*255", tuple(code for _, code in BILLING)),
        ),
        clock=ClockSetup() if clock is None else clock,
    )


def _check_sync(timer: PeriodicTimer, triggers: dict[str, PeriodicTimer | MonthEnd]) -> None:
    if not timer.sync_input:
        return
    other = triggers.get(timer.sync_input)
    if other is None:
        raise LocalError(
            f"Periodic Timer {timer.name!r}: there is no trigger {timer.sync_input!r} to sync to"
        )
    if isinstance(other, PeriodicTimer) and (other.sync_input or other == timer):
        raise LocalError(
            f"Periodic Timer {timer.name!r}: its Sync input is {other.name!r}, which has a Sync input itself;"
            " link both to the same trigger"
        )


def _by_name(kind: str, pairs: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    found: dict[str, _T] = {}
    for name, each in pairs:
        if name in found:
            raise LocalError(f"two modules of the kind {kind} are called {name!r}")
        found[name] = each
    return found
