"""What feeds the Power Meter module: simulated loads, replayed files, other meters, functions."""

from __future__ import annotations

from .callable import CallableLoad, CallableMeter
from .faults import Fault, FaultyLoad
from .kinds import LiveSource, SimulatedSettings, SourceSettings, make_source
from .modbus import ModbusMeter, ModbusSettings
from .modbus_map import load_map, map_text
from .replay import Replay, ReplaySettings, replay
from .simulated import SimulatedLoad

__all__ = [
    "CallableLoad",
    "CallableMeter",
    "Fault",
    "FaultyLoad",
    "LiveSource",
    "ModbusMeter",
    "ModbusSettings",
    "Replay",
    "ReplaySettings",
    "SimulatedLoad",
    "SimulatedSettings",
    "SourceSettings",
    "load_map",
    "make_source",
    "map_text",
    "replay",
]
