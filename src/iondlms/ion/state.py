"""What outlives a power cut, and the batches in which it is handed to whoever keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from iondlms.errors import LocalError

from .clock import CALENDAR_MS
from .event_log import Event
from .power_meter import PowerMeterState
from .quadrants import QuadrantState
from .recorder import NewRows
from .source import Flow, Quadrants

__all__ = ["BeforeImports", "MeterState", "Pending", "RaisingRow", "RecorderState", "Saved"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RecorderState:
    """What a Data Recorder must still know: of its set-up only whether it changed."""

    fingerprint: str
    depth: int  # above the configured one where history was asked for
    next_sequence: int
    rearm_sequence: int
    bits: int


@dataclass(frozen=True, slots=True)
class RaisingRow:
    """An imported row that registers went on from, by name, in thousandths of k-units."""

    recorder: str
    utc_ms: int
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class BeforeImports:
    """Registers as a meter left them, and the rows that have raised them since, in order of their import."""

    totals: Flow
    interval_begin: tuple[int, int, int, int, int]
    rows: tuple[RaisingRow, ...]


@dataclass(frozen=True, slots=True)
class MeterState:
    """Registers, clock and recorders at one instant."""

    alive_ms: int  # the meter's UTC
    offset_ms: int  # how far the meter's clock was set off the host's
    powered: bool  # False: the power down is known and logged
    next_event: int
    power_meter: PowerMeterState
    recorders: Mapping[str, RecorderState]
    device_type: str = ""  # the model that it is of; empty in states written before it was kept
    imports: BeforeImports | None = None  # gone with the first state of a meter that went on from there

    def encode(self) -> str:
        """Return the state as JSON text."""
        meter, imports = self.power_meter, self.imports
        return json.dumps(
            {
                "device_type": self.device_type,
                "alive_ms": self.alive_ms,
                "offset_ms": self.offset_ms,
                "powered": self.powered,
                "next_event": self.next_event,
                "totals": meter.totals,
                "interval_begin": meter.interval_begin,
                "interval": meter.interval,
                "followed": meter.followed,
                "extremes": dict(meter.extremes),
                "quadrants": [
                    meter.quadrants.totals,
                    meter.quadrants.interval_begin,
                    meter.quadrants.interval,
                ],
                "rollover": meter.rollover,
                "recorders": {
                    name: [each.fingerprint, each.depth, each.next_sequence, each.rearm_sequence, each.bits]
                    for name, each in self.recorders.items()
                },
                **({} if imports is None else {"imports": _listed(imports)}),
            }
        )

    @classmethod
    def decode(cls, text: str) -> MeterState:
        """Read what `encode` wrote; LocalError for anything else."""
        try:
            body = json.loads(text)
            interval = body["interval"]
            alive_ms, offset_ms = int(body["alive_ms"]), int(body["offset_ms"])
            if alive_ms not in CALENDAR_MS or alive_ms - offset_ms not in CALENDAR_MS:
                raise ValueError("its time is none")
            return cls(
                alive_ms,
                offset_ms,
                bool(body["powered"]),
                int(body["next_event"]),
                PowerMeterState(
                    Flow(*_five([int(each) for each in body["totals"]])),
                    _five([int(each) for each in body["interval_begin"]]),
                    None if interval is None else _five([_value(each) for each in interval]),
                    # Written since there are sources with registers of their own.
                    _five([bool(each) for each in body.get("followed", [False] * 5)]),
                    # Written since there are maxima and minima.
                    {str(name): int(value) for name, value in body.get("extremes", {}).items()},
                    _quadrants(*body.get("quadrants", ([0] * 4, [0] * 4, None))),
                    int(body.get("rollover", 0)),
                ),
                {
                    str(name): RecorderState(str(fingerprint), *map(int, numbers))
                    for name, (fingerprint, *numbers) in body["recorders"].items()
                },
                str(body.get("device_type", "")),
                _before_imports(*body["imports"]) if "imports" in body else None,
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise LocalError(f"the kept state of the meter cannot be read: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Saved:
    """What was kept: the state, and each recorder's rows as (first sequence number, packed rows)."""

    state: MeterState
    rows: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


@dataclass(slots=True)
class Pending:
    """New rows, events and state that no reader sees before they are durable and published.

    Batches are written, and published, in the order in which they were made.
    """

    rows: dict[str, NewRows] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    event_depth: int = 500
    state: MeterState | None = None

    def __bool__(self) -> bool:
        return bool(self.rows or self.events or self.state)

    def merge(self, later: Pending) -> None:
        """Add the batch that follows, so that both can be tried again as one; what a ring would push
        out at once is dropped, so a full disk does not fill the memory too.
        """
        for name, rows in later.rows.items():
            kept = self.rows.get(name)
            if kept is None or rows.cleared:
                self.rows[name] = rows
            else:
                kept.octets += rows.octets
                kept.depth = rows.depth
                kept.trim()
        self.events = [*self.events, *later.events][-later.event_depth :]
        self.event_depth = later.event_depth
        self.state = later.state or self.state


def _quadrants(totals: list[int], begin: list[int], interval: list[int] | None) -> QuadrantState:
    return QuadrantState(
        Quadrants(*_four(totals)), _four(begin), None if interval is None else _four(interval)
    )


def _listed(imports: BeforeImports) -> list[Any]:
    rows = [[each.recorder, each.utc_ms, dict(each.values)] for each in imports.rows]
    return [imports.totals, imports.interval_begin, rows]


def _before_imports(totals: list[int], begin: list[int], rows: list[Any]) -> BeforeImports:
    return BeforeImports(
        Flow(*_five([int(each) for each in totals])),
        _five([int(each) for each in begin]),
        tuple(
            RaisingRow(str(recorder), int(utc_ms), {str(name): int(each) for name, each in values.items()})
            for recorder, utc_ms, values in rows
        ),
    )


def _four(each: list[int]) -> tuple[int, int, int, int]:
    a, b, c, d = map(int, each)
    return a, b, c, d


def _five(each: list[_T]) -> tuple[_T, _T, _T, _T, _T]:
    a, b, c, d, e = each
    return a, b, c, d, e


def _value(number: Any) -> int | None:
    return None if number is None else int(number)
