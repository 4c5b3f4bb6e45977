"""The ION modules of a meter and the frameworks that link them; knows nothing of DLMS.

Made for a host that owns time and disk: `IonMeter.start`, then `advance`, keep, `publish`, wait until
`next_deadline`.
"""

from __future__ import annotations

from .clock import Clock, ClockSetup, setup_from_zone
from .event_log import Event, EventLogSetup, Priority
from .factory import MODELS, Factory, Model
from .framework import Framework, default_framework
from .log import NO_VALUE, Log, MemoryLog, Row, RowFormat
from .log_export import DlmsLogExport
from .meter import IonMeter
from .periodic_timer import MonthEnd, PeriodicTimer
from .power_meter import PowerMeterSetup
from .quantities import QUANTITIES, Kind, Quantity, quantity, rounded
from .recorder import STATUS_INVALID, DataRecorder, DataRecorderSetup, Status
from .source import (
    NO_FLOW,
    Flow,
    Quadrants,
    QuadrantSource,
    Registers,
    RegisterSource,
    Source,
    SupplySource,
    TellingSource,
    moved,
)
from .state import BeforeImports, MeterState, Pending, RaisingRow, Saved

__all__ = [
    "MODELS",
    "NO_FLOW",
    "NO_VALUE",
    "QUANTITIES",
    "STATUS_INVALID",
    "BeforeImports",
    "Clock",
    "ClockSetup",
    "DataRecorder",
    "DataRecorderSetup",
    "DlmsLogExport",
    "Event",
    "EventLogSetup",
    "Factory",
    "Flow",
    "Framework",
    "IonMeter",
    "Kind",
    "Log",
    "MemoryLog",
    "MeterState",
    "Model",
    "MonthEnd",
    "Pending",
    "PeriodicTimer",
    "PowerMeterSetup",
    "Priority",
    "QuadrantSource",
    "Quadrants",
    "Quantity",
    "RaisingRow",
    "RegisterSource",
    "Registers",
    "Row",
    "RowFormat",
    "Saved",
    "Source",
    "Status",
    "SupplySource",
    "TellingSource",
    "default_framework",
    "moved",
    "quantity",
    "rounded",
    "setup_from_zone",
]
