"""ION -> COSEM: the objects of a meter, made from its framework.

Here meet the two rooms that do not know each other. ION has UTC milliseconds and integers of quantity x 1000;
COSEM has date-times, types, scalers and units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Literal

from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data, Tag
from iondlms.codec.columns import Row, RowPlan
from iondlms.codec.datetimes import (
    EPOCH,
    MAX_DEVIATION,
    NO_DEVIATION,
    UNSPECIFIED,
    ClockStatus,
    DateTime,
    instant_of,
    milliseconds_of,
)
from iondlms.codec.obis import ObisCode
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
from iondlms.errors import DecodeError, LocalError, OtherReason
from iondlms.ion.log import NO_VALUE, Log, RowFormat
from iondlms.ion.log_export import DlmsLogExport
from iondlms.ion.meter import IonMeter
from iondlms.ion.quantities import Kind, Quantity, quantity
from iondlms.ion.recorder import DataRecorder

__all__ = ["CLOCK", "STATUS_WORD", "ClockView", "Presentation", "logical_device"]

CLOCK: Final = ObisCode.parse("0-0:1.0.0*255")
STATUS_WORD: Final = ObisCode.parse("0-0:97.97.0*255")
SAP_ASSIGNMENT: Final = ObisCode.parse("0-0:41.0.0*255")
LOGICAL_DEVICE_NAME: Final = ObisCode.parse("0-0:42.0.0*255")
MANAGEMENT_SAP: Final = 1

CRYSTAL: Final = 1  # clock base: the meters keep time by their own oscillator
_UNITS: Final = {
    "Wh": 30,
    "varh": 32,
    "VAh": 31,
    "W": 27,
    "var": 29,
    "VA": 28,
    "V": 35,
    "A": 33,
    "Hz": 44,
    "": 255,
}
_RANGE: Final = {Tag.DOUBLE_LONG: 1 << 31, Tag.LONG64: 1 << 63}
_DAY_MS: Final = 86_400_000
_ROWS_A_PIECE: Final = 64  # some 2.5 kB encoded: twenty blocks of one frame each


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
        self._days: dict[int, bytes] = {}

    # How an instant is shown

    def shown(self, utc_ms: int) -> bytes:
        """Return the 12 octets of an instant, without the clock's own validity."""
        clock = self._ion.clock
        offset = 0 if self._deviation == "utc" else clock.offset_min(utc_ms)
        days, rest = divmod(utc_ms + offset * 60_000, _DAY_MS)
        seconds, milliseconds = divmod(rest, 1000)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        date = self._days.get(days) or self._date(days)
        time = bytes((hour, minute, second, milliseconds // 10))
        return date + time + self._tail(offset, offset != clock.tz_offset_min and self._deviation != "utc")

    def _date(self, days: int) -> bytes:
        date = EPOCH + timedelta(days=days)
        octets = date.year.to_bytes(2, "big") + bytes((date.month, date.day, date.isoweekday()))
        if len(self._days) > 400:  # a year of rows is read day by day; older days are not asked again
            self._days.clear()
        self._days[days] = octets
        return octets

    def _tail(self, offset: int, daylight: bool) -> bytes:
        deviation = {"reversed": offset, "unspecified": NO_DEVIATION}.get(self._deviation, -offset)
        status = ClockStatus.DAYLIGHT_SAVING if daylight else ClockStatus(0)
        return deviation.to_bytes(2, "big", signed=True) + bytes((status,))

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
            deviation = self._given_deviation(time)
            if deviation is not None:
                return milliseconds_of(time.utc(reversed_sign=self._deviation == "reversed"))
            local_ms = milliseconds_of(time.local().replace(tzinfo=UTC))
        except DecodeError as error:
            raise OtherReason(str(error)) from error
        if self._deviation == "utc":
            return local_ms
        first = self._ion.clock.utc_from_local(local_ms)
        if last:
            again = local_ms - self._ion.clock.tz_offset_min * 60_000
            if self._ion.clock.local_ms(again) == local_ms:
                return max(first, again)
        return first

    def _given_deviation(self, time: DateTime) -> int | None:
        deviation = time.deviation
        if deviation is not None and abs(deviation) > MAX_DEVIATION:
            raise OtherReason(f"a deviation of {deviation} minutes")
        return -deviation if deviation is not None and self._deviation == "reversed" else deviation

    def set_time(self, time: DateTime) -> None:
        """Set the clock; what is not specified keeps its present value, the day of week is ignored.

        OtherReason if any field is out of range; the clock is then as it was.
        """
        ion = self._ion
        deviation = self._given_deviation(time)
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
        """Return what the clock runs by."""
        return CRYSTAL


class _LogRows:
    """Some rows as they were when they were asked for: their octets, copied."""

    def __init__(self, packed: bytes, row_format: RowFormat, columns: _Columns) -> None:
        self._packed = packed
        self._format = row_format
        self._columns = columns

    def __len__(self) -> int:
        return len(self._packed) // self._format.stride

    def encoded(self, columns: Sequence[int] | None) -> Iterator[bytes]:
        """Yield the encoded rows, a few at a time."""
        rows = self._columns.rows(self._format.struct.iter_unpack(self._packed), columns)
        plan = self._columns.plan(columns)
        while piece := list(islice(rows, _ROWS_A_PIECE)):
            try:
                yield plan.encode(piece)
            except LocalError:
                # A value beyond its type, once in a meter's life: it is sent as "no value".
                yield plan.encode([_fitting(row, plan.tags) for row in piece])


def _fitting(row: Row, tags: Sequence[Tag]) -> Row:
    return tuple(
        None
        if tag in _RANGE and isinstance(value, int) and not -_RANGE[tag] <= value < _RANGE[tag]
        else value
        for value, tag in zip(row, tags, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of one export: timestamp, status where it is enabled, then chosen sources."""

    sources: tuple[int, ...]  # index of the recorder's source, by column
    tags: tuple[Tag, ...]
    status: bool
    view: ClockView

    def plan(self, columns: Sequence[int] | None) -> RowPlan:
        return RowPlan(self.tags if columns is None else [self.tags[column] for column in columns])

    def rows(
        self, packed: Iterator[tuple[int, ...]], columns: Sequence[int] | None
    ) -> Iterator[tuple[int | bytes | None, ...]]:
        """Yield rows of plain values, of the chosen columns."""
        shown = self.view.shown
        # Where a column's value stands in the unpacked row: time, status, sources.
        places = [0, *([1] if self.status else ()), *(2 + source for source in self.sources)]
        chosen = places if columns is None else [places[column] for column in columns]
        for row in packed:
            yield tuple(
                [
                    shown(row[0]) if place == 0 else None if (value := row[place]) == NO_VALUE else value
                    for place in chosen
                ]
            )


class _LogBuffer:
    """A Data Recorder's log as the buffer of a profile."""

    def __init__(self, recorder: DataRecorder, columns: _Columns) -> None:
        self._recorder = recorder
        self._columns = columns

    @property
    def _log(self) -> Log:
        return self._recorder.log

    def __len__(self) -> int:
        return self._log.count

    def _rows(self, runs: Sequence[tuple[int, int]]) -> Rows:
        packed = b"".join([self._log.packed(first, end) for first, end in runs])
        return _LogRows(packed, self._recorder.row_format, self._columns)

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
    return Tag.LONG64 if item.kind is Kind.ENERGY else Tag.DOUBLE_LONG


def _value(ion: IonMeter, item: Quantity) -> Callable[[], Data]:
    tag = _tag(item)
    limit = _RANGE[tag]

    def value() -> Data:
        number = ion.value(item.name)
        return NULL if number is None or not -limit <= number < limit else Data(tag, number)

    return value


def _register(ion: IonMeter, code: str, item: Quantity, presentation: Presentation) -> Register:
    scaler = item.exponent or presentation.scaler
    return Register(ObisCode.parse(code), _value(ion, item), scaler, _UNITS[item.unit])


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
    columns = _Columns(sources, tuple(tags), export.status_register, view)
    return ProfileGeneric(ObisCode.parse(export.profile_obis), captured, _LogBuffer(recorder, columns))


def _latest_status(recorder: DataRecorder) -> Callable[[], Data]:
    def value() -> Data:
        status = recorder.latest_status
        return NULL if status is None else make.long_unsigned(status)

    return value


def logical_device(ion: IonMeter, name: bytes, presentation: Presentation) -> LogicalDevice:
    """Return the objects of a meter: identity, clock, status, each export's profile and its registers.

    LocalError if two of them would carry one logical name.
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
    registers: dict[str, Register] = {}
    for export in exports:
        sources = ion.recorders[export.data_recorder].setup.sources
        for index, code in export.columns():
            if code not in registers:
                registers[code] = _register(ion, code, quantity(sources[index]), presentation)
    return LogicalDevice((*objects, *registers.values()))
