"""ION -> COSEM: the objects of a meter, made from its framework.

Here meet the two rooms that do not know each other. ION has UTC milliseconds and integers of quantity x 1000;
COSEM has date-times, types, scalers and units.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal

from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data, Tag
from iondlms.codec.datetimes import (
    MAX_DEVIATION,
    NO_DEVIATION,
    UNSPECIFIED,
    ClockStatus,
    DateTime,
    instant_of,
    milliseconds_of,
)
from iondlms.codec.instants import date_times, even_date_times, local_octets, step_of
from iondlms.codec.obis import ObisCode
from iondlms.codec.octets import Octets
from iondlms.cosem import (
    CaptureObject,
    Clock,
    DataObject,
    Interface,
    LogicalDevice,
    ProfileGeneric,
    Register,
    Rows,
    SapAssignment,
)
from iondlms.errors import DecodeError, OtherReason
from iondlms.ion.log import Log
from iondlms.ion.log_export import DlmsLogExport
from iondlms.ion.meter import IonMeter
from iondlms.ion.quantities import Quantity, quantity
from iondlms.ion.recorder import DataRecorder
from iondlms.meter.event_profile import CLOCK, event_objects
from iondlms.meter.log_rows import ExportColumns, LogRows

__all__ = [
    "CLOCK",
    "LOGICAL_DEVICE_NAME",
    "SAP_ASSIGNMENT",
    "STATUS_WORD",
    "ClockView",
    "Presentation",
    "logical_device",
]

STATUS_WORD: Final = ObisCode.parse("0-0:97.97.0*255")
SAP_ASSIGNMENT: Final = ObisCode.parse("0-0:41.0.0*255")
LOGICAL_DEVICE_NAME: Final = ObisCode.parse("0-0:42.0.0*255")
MANAGEMENT_SAP: Final = 1

# Clock base (IEC 62056-62 5.4)
NOT_DEFINED: Final = 0
CRYSTAL: Final = 1
MAINS_50_HZ: Final = 2
MAINS_60_HZ: Final = 3
_DAY: Final = 192 * 8  # octets of instants that are kept: a day of quarter hours, and the same again
_SHORTEST_STEP: Final = 60_000  # ms; of shorter ones a day has more times than are worth keeping
_LITTLE: Final = sys.byteorder == "little"
_TAGS: Final = {"long64": Tag.LONG64, "double-long": Tag.DOUBLE_LONG}
_RANGE: Final = {Tag.DOUBLE_LONG: 1 << 31, Tag.LONG64: 1 << 63}


@dataclass(frozen=True, slots=True)
class Presentation:
    """How this meter writes times and scales; the settings of the same names."""

    deviation: Literal["normal", "reversed", "unspecified", "utc"] = "normal"
    date_time: Tag = Tag.OCTET_STRING
    scaler: Literal[0, -3] = 0


class ClockView:
    """The Clock module as COSEM sees it: date-times out, date-times in."""

    def __init__(self, ion: IonMeter, presentation: Presentation) -> None:
        self._ion = ion
        self._deviation = presentation.deviation

    # How an instant is shown

    def shown(self, utc_ms: int) -> bytes:
        """Return the 12 octets of an instant, without the clock's own validity."""
        clock = self._ion.clock
        offset = 0 if self._deviation == "utc" else clock.offset_min(utc_ms)
        return local_octets(utc_ms + offset * 60_000) + self._tail(offset)

    def shown_all(self, turned: bytes) -> Octets:
        """Return the same of many instants, one at least: the lowest octets of all, then the second ones, ...

        The same object for the same instants, where they are few.
        """
        clock = self._ion.clock
        usual = len(turned) <= _DAY
        times = _usual_times(turned) if usual else _times(turned)
        switch = None if self._deviation == "utc" else clock.next_dst_switch(times.first)
        if switch is not None and switch <= times.last:
            return Octets(b"".join(map(self.shown, times.instants)), 12)
        offset = 0 if self._deviation == "utc" else clock.offset_min(times.first)
        return (_usual_shown if usual else _shown)(times, offset, self._tail(offset))

    def _tail(self, offset: int) -> bytes:
        daylight = offset != self._ion.clock.tz_offset_min and self._deviation != "utc"
        return _tail(offset, self._deviation, daylight)

    def time(self) -> DateTime:
        """Return the present time."""
        octets = self.shown(self._ion.at_ms)
        if not self._ion.clock.valid:
            octets = octets[:11] + bytes((octets[11] | ClockStatus.INVALID,))
        return DateTime(octets)

    # What a received date-time means

    def instant(self, time: DateTime, *, last: bool = False) -> int:
        """Return UTC milliseconds of a bound: by its deviation, without one as local time.

        In the hour that comes twice the first is meant, with `last` the second: a range then holds both.
        OtherReason if it is no instant.
        """
        try:
            local_ms, absolute = _bound(time, self._deviation == "reversed")
        except DecodeError as error:
            raise OtherReason(str(error)) from error
        if absolute or self._deviation == "utc":
            return local_ms
        first = self._ion.clock.utc_from_local(local_ms)
        if last:
            again = local_ms - self._ion.clock.tz_offset_min * 60_000
            if self._ion.clock.local_ms(again) == local_ms:
                return max(first, again)
        return first

    def set_time(self, time: DateTime) -> None:
        """Set the clock; what is not specified keeps its present value, the day of week is ignored.

        OtherReason if any field is out of range; the clock is then as it was.
        """
        ion = self._ion
        deviation = _deviation(time)
        if deviation is not None and self._deviation == "reversed":
            deviation = -deviation
        present_ms = ion.at_ms
        if deviation is not None:
            present_ms -= deviation * 60_000
        elif ion.clock.setup.time_sync_type == "LOCAL":
            present_ms = ion.clock.local_ms(present_ms)
        present = instant_of(present_ms)
        # Not cut to hundredths where they are not specified: who sets nothing must not hold the clock back.
        microsecond = present.microsecond if time.hundredths is None else time.hundredths * 10_000
        fields = {
            name: getattr(present if getattr(time, name) is None else time, name)
            for name in ("year", "month", "day", "hour", "minute", "second")
        }
        try:
            wanted = datetime(**fields, microsecond=microsecond, tzinfo=UTC)
        except ValueError as error:
            raise OtherReason(f"{time} is no date and time: {error}") from error
        wanted_ms = milliseconds_of(wanted)
        if deviation is not None:
            wanted_ms += deviation * 60_000
        elif ion.clock.setup.time_sync_type == "LOCAL":
            wanted_ms = ion.clock.utc_from_local(wanted_ms)
        # The right to write was given only on the port that is the Time Sync Source.
        ion.set_time(wanted_ms, ion.now, ion.clock.setup.time_sync_source)

    # The rest of the Clock object

    def time_zone(self) -> int:
        """Return minutes from local standard time to UTC."""
        offset = -self._ion.clock.tz_offset_min
        return {"utc": 0, "reversed": -offset}.get(self._deviation, offset)

    def daylight_begin(self) -> DateTime:
        """Return when DST begins in the current year."""
        return self._switch(0)

    def daylight_end(self) -> DateTime:
        """Return when DST ends in the current year."""
        return self._switch(1)

    def _switch(self, which: int) -> DateTime:
        clock = self._ion.clock
        year = instant_of(clock.local_ms(self._ion.at_ms)).year
        instant = clock.dst_switches(year)[which]
        if instant is None:
            return UNSPECIFIED
        # Told in the local time that holds just before the switch, as wall calendars do.
        before = instant_of(instant + clock.offset_min(instant - 1) * 60_000).replace(tzinfo=None)
        return DateTime.of_local(before, None, None)

    def daylight_deviation(self) -> int:
        """Return the minutes that DST adds."""
        # The attribute is an Integer8 and ends at 127; offsets go to 180.
        return max(-120, min(120, self._ion.clock.setup.dst_offset_min))

    def daylight_enabled(self) -> bool:
        """Return whether the clock switches."""
        setup = self._ion.clock.setup
        return bool(setup.dst_offset_min and setup.dst_pairs)

    def clock_base(self) -> int:
        """Return what the clock runs by, as the Clock Source says."""
        source = self._ion.clock.setup.clock_source
        if source == "INTERNAL":
            return CRYSTAL
        hertz = self._ion.value("Freq") if source == "LINE FREQ" else None
        if hertz is None:
            return NOT_DEFINED  # whoever sets the time over the line may have it from anywhere
        return MAINS_50_HZ if hertz < 55_000 else MAINS_60_HZ


@lru_cache(maxsize=64)
def _tail(offset: int, deviation: str, daylight: bool) -> bytes:
    """Return deviation and clock status of a local time that is `offset` minutes ahead of UTC."""
    minutes = {"reversed": offset, "unspecified": NO_DEVIATION}.get(deviation, -offset)
    status = ClockStatus.DAYLIGHT_SAVING if daylight else ClockStatus(0)
    return minutes.to_bytes(2, "big", signed=True) + bytes((status,))


@dataclass(frozen=True, slots=True, eq=False)  # known by itself: how it is shown is remembered
class _Times:
    """A column of instants: its first and last in time, and how far apart they are; 0 for unevenly."""

    instants: array[int]
    first: int
    last: int
    step: int


def _times(turned: bytes) -> _Times:
    column = Octets.of_turned(turned, 8).data
    instants = array("q", column)
    if not _LITTLE:
        instants.byteswap()
    step = step_of(column) if _LITTLE else 0
    if step >= _SHORTEST_STEP:
        return _Times(instants, instants[0], instants[-1], step)
    return _Times(instants, min(instants), max(instants), 0)


def _shown(times: _Times, offset: int, tail: bytes) -> Octets:
    """Return the date-times of a column of instants."""
    offset_ms = offset * 60_000
    if times.step:
        return even_date_times(times.first + offset_ms, times.step, len(times.instants), tail)
    return date_times([at + offset_ms for at in times.instants], tail)


# All meters of a fleet have the same instants in a day, and are asked for the same day.
_usual_times: Final = lru_cache(maxsize=64)(_times)
_usual_shown: Final = lru_cache(maxsize=64)(_shown)


# Of a range that is asked of many meters it is the same.
@lru_cache(maxsize=64)
def _bound(time: DateTime, reversed_sign: bool) -> tuple[int, bool]:
    """Return the milliseconds of a date-time, and whether they are UTC; else they are local time."""
    if _deviation(time) is None:
        return milliseconds_of(time.local().replace(tzinfo=UTC)), False
    return milliseconds_of(time.utc(reversed_sign=reversed_sign)), True


def _deviation(time: DateTime) -> int | None:
    deviation = time.deviation
    if deviation is not None and abs(deviation) > MAX_DEVIATION:
        raise OtherReason(f"a deviation of {deviation} minutes")
    return deviation


class _LogBuffer:
    """A Data Recorder's log as the buffer of a profile."""

    def __init__(self, recorder: DataRecorder, columns: ExportColumns) -> None:
        self._recorder = recorder
        self._columns = columns

    @property
    def _log(self) -> Log:
        return self._recorder.log

    def __len__(self) -> int:
        return self._log.count

    def _rows(self, runs: Sequence[tuple[int, int]]) -> Rows:
        pieces = [piece for first, end in runs for piece in self._log.pieces(first, end)]
        return LogRows(pieces, self._recorder.row_format, self._columns)

    def entries(self, first: int, last: int) -> Rows:
        """Return rows by number, from 1."""
        begin = self._log.first - 1
        return self._rows([(begin + first, begin + last + 1)] if last >= first else [])

    def between(self, start: DateTime, end: DateTime) -> Rows:
        """Return the rows of a range, in the order of capture."""
        view = self._columns.view
        return self._rows(self._log.find(view.instant(start), view.instant(end, last=True)))

    def capture_period(self) -> int:
        """Return seconds, 0 without a Periodic Timer."""
        return self._recorder.period_s

    def profile_entries(self) -> int:
        """Return the depth."""
        return self._recorder.depth


def _tag(item: Quantity) -> Tag:
    return _TAGS[item.cosem_type]


def _value(ion: IonMeter, item: Quantity) -> Callable[[], Data]:
    tag = _tag(item)
    limit = _RANGE[tag]

    def value() -> Data:
        number = ion.value(item.name)
        return NULL if number is None or not -limit <= number < limit else Data(tag, number)

    return value


def _register(ion: IonMeter, code: str, item: Quantity, presentation: Presentation) -> Register:
    scaler = item.exponent or presentation.scaler
    return Register(ObisCode.parse(code), _value(ion, item), scaler, item.cosem_unit)


def _profile(
    ion: IonMeter, export: DlmsLogExport, view: ClockView, presentation: Presentation
) -> ProfileGeneric:
    recorder = ion.recorders[export.data_recorder]
    captured = [CaptureObject(Clock.class_id, CLOCK, 2)]
    tags = [presentation.date_time]
    if export.status_register:
        captured.append(CaptureObject(DataObject.class_id, STATUS_WORD, 2))
        tags.append(Tag.LONG_UNSIGNED)
    for index, code in export.columns():
        captured.append(CaptureObject(Register.class_id, ObisCode.parse(code), 2))
        tags.append(_tag(quantity(recorder.setup.sources[index])))
    sources = tuple(index for index, _ in export.columns())
    columns = ExportColumns(sources, tuple(tags), export.status_register, view)
    return ProfileGeneric(ObisCode.parse(export.profile_obis), captured, _LogBuffer(recorder, columns))


def _latest_status(recorder: DataRecorder) -> Callable[[], Data]:
    def value() -> Data:
        status = recorder.latest_status
        return NULL if status is None else make.long_unsigned(status)

    return value


def logical_device(
    ion: IonMeter, name: bytes, presentation: Presentation, event_profile: str = ""
) -> LogicalDevice:
    """Return the objects of a meter: identity, clock, status, each export's profile and its registers.

    With the logical name of an event profile the event log is one too. LocalError if two of them would
    carry one logical name.
    """
    view = ClockView(ion, presentation)
    exports = ion.framework.dlms_log_exports
    objects: list[Interface] = [
        SapAssignment(SAP_ASSIGNMENT, {MANAGEMENT_SAP: name}),
        DataObject(LOGICAL_DEVICE_NAME, lambda: make.octet_string(name)),
        Clock(CLOCK, view, presentation.date_time),
    ]
    with_status = [export for export in exports if export.status_register]
    if with_status:
        recorder = ion.recorders[with_status[0].data_recorder]
        objects.append(DataObject(STATUS_WORD, _latest_status(recorder)))
    objects += [_profile(ion, export, view, presentation) for export in exports]
    if event_profile:
        objects += event_objects(ion.event_log, ObisCode.parse(event_profile), view, presentation.date_time)
    registers: dict[str, Register] = {}
    for export in exports:
        sources = ion.recorders[export.data_recorder].setup.sources
        for index, code in export.columns():
            if code not in registers:
                registers[code] = _register(ion, code, quantity(sources[index]), presentation)
    return LogicalDevice((*objects, *registers.values()))
