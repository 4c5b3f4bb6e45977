"""What the panel's interface answers, and how it is made of what the meter says.

Values are in ION's own units, kWh, kW, V, and times in ISO 8601 with the meter's own offset.
"""

from __future__ import annotations

from base64 import b64decode
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from iondlms.ion import QUANTITIES, STATUS_INVALID, Priority, RowFormat, Status

__all__ = [
    "EventEntry",
    "Events",
    "Gone",
    "MeterName",
    "Meters",
    "Panel",
    "Port",
    "Reading",
    "Recorder",
    "RecorderRow",
    "Rows",
    "Shown",
    "events_of",
    "panel_of",
    "rows_of",
    "status_words",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PRIORITIES: Final = {int(each): each.name.lower().replace("_", " ") for each in Priority}


class _Told(BaseModel):
    """What can be told on.

    With a bound, pydantic looks into a text: half a surrogate pair, which JSON can bring, is refused here,
    and not when it is to be sent.
    """

    model_config = ConfigDict(str_max_length=65536)


class MeterName(_Told):
    """One meter of the process."""

    unit: int = Field(description="Unit ID of its first port")
    line: str = Field(description="the shared line it stands on, empty for one with ports of its own")
    device: str = Field(description="logical device name")
    model: str


class Meters(_Told):
    """All meters of the process, or the first of very many."""

    count: int
    meters: list[MeterName]


class Reading(_Told):
    """One quantity of the Power Meter."""

    quantity: str = Field(description="its ION name")
    value: float | None = Field(description="in `unit`, three decimals; null where the source has none")
    unit: str
    kind: str


class Recorder(_Told):
    """One Data Recorder."""

    recorder: str
    rows: int
    depth: int
    full: bool = Field(description="it stops when full, and has")
    period_s: int = Field(description="between rows; 0 where no Periodic Timer drives it")
    next: int = Field(description="the number that its next row will have")
    last: datetime | None = Field(description="time of its latest row")
    status: int | None = Field(description="and its status word")
    status_words: str


class Port(_Told):
    """One port, or the line that the meter stands on, and what came by it."""

    port: str
    url: str
    state: str = Field(description="on, off, gone, no power")
    connected: str = Field("", description="the client that is connected over TCP")
    refused: int = Field(0, description="connections turned away")
    opened: int = Field(description="connections or links that were opened")
    frames: int
    errors: int
    noise: int
    timeouts: int
    repeats: int


class Panel(MeterName):
    """All that the front shows of one meter, as it is now."""

    serial: str
    revision: str
    owner: str
    tag_1: str
    tag_2: str
    time: datetime = Field(description="the meter's own clock, with its offset")
    deviation: int = Field(description="minutes from local time to UTC, as COSEM counts it: UTC+1 is -60")
    dst: bool
    valid: bool = Field(description="the clock is known to be right")
    power: bool
    source: str
    safe: bool
    trouble: str = Field(description="why nothing can be written to the disk now")
    faults: int = Field(description="armed, or going on")
    values: list[Reading] = Field(description="none while the meter has no power")
    recorders: list[Recorder]
    ports: list[Port]
    events: int = Field(description="the number that its next event will have")


class Gone(_Told):
    """The meter does not answer."""

    since: datetime
    for_s: float
    error: str
    no_such: bool = Field(False, description="there is no such meter: it may never answer")


class Shown(_Told):
    """What the stream tells: the panel, the last one where the meter is gone."""

    at: float = Field(description="when, in seconds of a clock that is never set")
    gone: Gone | None
    panel: Panel | None
    trail: list[tuple[float, float | None]] | None = Field(
        None, description="kW of the minutes before, (at, kW), first in a stream"
    )


class RecorderRow(_Told):
    """One record."""

    number: int
    time: datetime
    status: int
    status_words: str
    values: list[float | None]


class Column(_Told):
    """A source of a recorder."""

    quantity: str
    unit: str


class Rows(_Told):
    """Rows of a recorder in the order of recording; `more` says that they are not all."""

    recorder: str
    period_s: int
    columns: list[Column]
    rows: list[RecorderRow]
    more: bool


class EventEntry(_Told):
    """One entry of the event log."""

    number: int
    time: datetime
    priority: int
    priority_words: str
    cause: str
    effect: str


class Events(_Told):
    """The latest events, oldest first."""

    events: list[EventEntry]


def status_words(word: int | None) -> str:
    """Return a status word in words, empty for 0 and for none."""
    if word is None:
        return ""
    if word == STATUS_INVALID:
        return "invalid: not driven by a Periodic Timer"
    return ", ".join(bit.name.lower().replace("_", " ") for bit in Status if word & bit and bit.name)


def panel_of(told: dict[str, Any]) -> Panel:
    """Return what the command `panel` tells."""
    offsets = _Offsets([[told["utc_ms"], told["offset_min"]]])
    return Panel.model_validate(
        {
            **told,
            "time": offsets.local(told["utc_ms"]),
            "deviation": -told["offset_min"],
            "values": [
                {
                    "quantity": name,
                    "value": _scaled(value),
                    "unit": QUANTITIES[name].ion_unit,
                    "kind": QUANTITIES[name].kind.value,
                }
                for name, value in told["values"].items()
            ],
            "recorders": [
                {
                    **each,
                    "next": each["end"],
                    "last": None if each["last_ms"] is None else offsets.local(each["last_ms"]),
                    "status_words": status_words(each["status"]),
                }
                for each in told["recorders"]
            ],
        }
    )


def rows_of(told: dict[str, Any]) -> Rows:
    """Return what the command `rows` tells: its packed rows become values."""
    offsets = _Offsets(told["offsets"])
    packed = RowFormat(len(told["sources"])).unpack(b64decode(told["rows"]))
    numbers = (number for first, end in told["runs"] for number in range(first, end))
    return Rows(
        recorder=told["recorder"],
        period_s=told["period_s"],
        columns=[Column(quantity=name, unit=QUANTITIES[name].ion_unit) for name in told["sources"]],
        rows=[
            RecorderRow(
                number=number,
                time=offsets.local(row.utc_ms),
                status=row.status,
                status_words=status_words(row.status),
                values=[_scaled(value) for value in row.values],
            )
            for number, row in zip(numbers, packed, strict=True)
        ],
        more=told["more"],
    )


def events_of(told: dict[str, Any]) -> Events:
    """Return what the command `events` tells."""
    offsets = _Offsets(told["offsets"])
    return Events(events=list(_entries(told["events"], offsets)))


def _entries(events: list[Any], offsets: _Offsets) -> Iterator[EventEntry]:
    for number, utc_ms, priority, cause, effect in events:
        yield EventEntry(
            number=number,
            time=offsets.local(utc_ms),
            priority=priority,
            priority_words=_PRIORITIES.get(priority, ""),
            cause=cause,
            effect=effect,
        )


class _Offsets:
    """Local time of a meter, by the instants from which on it was how far ahead of UTC."""

    def __init__(self, offsets: Sequence[Sequence[int]]) -> None:
        self._begins = [begin for begin, _ in offsets]
        self._zones = [timezone(timedelta(minutes=minutes)) for _, minutes in offsets]

    def local(self, utc_ms: int) -> datetime:
        """Return an instant in local time, with its offset."""
        zone = self._zones[max(bisect_right(self._begins, utc_ms) - 1, 0)]
        return (_EPOCH + timedelta(milliseconds=utc_ms)).astimezone(zone)


def _scaled(value: int | None) -> float | None:
    return None if value is None else value / 1000
