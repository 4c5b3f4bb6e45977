"""Clock (class 8, version 0): IEC 62056-62 5.5."""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

from iondlms.codec import make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem.interface import LOGICAL_NAME, Access, Attribute, Interface
from iondlms.errors import LocalError, TypeUnmatched

__all__ = ["Clock", "ClockSource", "date_time_data", "date_time_of"]

MAX_DAYLIGHT_DEVIATION: Final = 120  # minutes; attribute 7 goes no further


class ClockSource(Protocol):
    """What the Clock object asks of the meter's clock."""

    def time(self) -> DateTime:
        """Return the present time as it is to be shown."""

    def set_time(self, time: DateTime) -> None:
        """Set the clock; OtherReason for a field out of range, and then nothing has changed."""

    def time_zone(self) -> int:
        """Return the deviation of the zone without daylight saving, minutes from local time to UTC."""

    def daylight_begin(self) -> DateTime:
        """Return the begin of daylight saving in the current year, or an unspecified date-time."""

    def daylight_end(self) -> DateTime:
        """Return the end of daylight saving in the current year, or an unspecified date-time."""

    def daylight_deviation(self) -> int:
        """Return the minutes that daylight saving adds."""

    def daylight_enabled(self) -> bool:
        """Return whether the clock switches to daylight saving."""

    def clock_base(self) -> int:
        """Return what the clock runs by: 0 undefined, 1 crystal, 2 mains 50 Hz, 3 60 Hz, 4 GPS, 5 radio."""


def date_time_data(time: DateTime, form: Tag) -> Data:
    """Return a date-time as the octet-string (the usual form) or as the type date-time, by `form`."""
    return Data(form, time.octets)


def date_time_of(data: Data) -> DateTime:
    """Return the date-time that came as octet-string of 12 or as type date-time; else TypeUnmatched."""
    if data.tag not in (Tag.OCTET_STRING, Tag.DATE_TIME) or not isinstance(data.value, bytes):
        raise TypeUnmatched(f"a date-time expected, not {data.tag.name.lower()}")
    if len(data.value) != 12:
        raise TypeUnmatched(f"a date-time has 12 octets, not {len(data.value)}")
    return DateTime(data.value)


class Clock(Interface):
    """Clock: the time, its zone, and the rule of its daylight saving."""

    class_id: ClassVar[int] = 8
    version: ClassVar[int] = 0
    attributes: ClassVar[dict[int, Attribute]] = {
        1: LOGICAL_NAME,
        2: Attribute("time", Tag.OCTET_STRING, Access.READ_AND_WRITE),
        3: Attribute("time_zone", Tag.LONG),
        4: Attribute("status", Tag.UNSIGNED),
        5: Attribute("daylight_savings_begin", Tag.OCTET_STRING),
        6: Attribute("daylight_savings_end", Tag.OCTET_STRING),
        7: Attribute("daylight_savings_deviation", Tag.INTEGER),
        8: Attribute("daylight_savings_enabled", Tag.BOOLEAN),
        9: Attribute("clock_base", Tag.ENUM),
    }
    methods: ClassVar[dict[int, str]] = {
        1: "adjust_to_quarter",
        2: "adjust_to_measuring_period",
        3: "adjust_to_minute",
        4: "adjust_to_preset_time",
        5: "preset_adjusting_time",
        6: "shift_time",
    }

    def __init__(self, logical_name: ObisCode, source: ClockSource, form: Tag = Tag.OCTET_STRING) -> None:
        super().__init__(logical_name)
        self._source = source
        self._form = form

    @property
    def time(self) -> Data:
        """Attribute 2."""
        return date_time_data(self._source.time(), self._form)

    @property
    def time_zone(self) -> Data:
        """Attribute 3, minutes from local time to UTC."""
        return make.long(self._source.time_zone())

    @property
    def status(self) -> Data:
        """Attribute 4, the status octet of attribute 2."""
        return make.unsigned(self._source.time().octets[11])

    @property
    def daylight_savings_begin(self) -> Data:
        """Attribute 5."""
        return date_time_data(self._source.daylight_begin(), self._form)

    @property
    def daylight_savings_end(self) -> Data:
        """Attribute 6."""
        return date_time_data(self._source.daylight_end(), self._form)

    @property
    def daylight_savings_deviation(self) -> Data:
        """Attribute 7, minutes; -120 or 120 where the clock's own deviation is beyond."""
        # The Clock module takes 3 h, an Integer8 does not: the time itself is sent with its true deviation.
        bound = MAX_DAYLIGHT_DEVIATION
        return make.integer(max(-bound, min(bound, self._source.daylight_deviation())))

    @property
    def daylight_savings_enabled(self) -> Data:
        """Attribute 8."""
        return make.boolean(self._source.daylight_enabled())

    @property
    def clock_base(self) -> Data:
        """Attribute 9."""
        return make.enum(self._source.clock_base())

    def write(self, attribute_id: int, value: Data) -> None:
        """Set the time; TypeUnmatched if the value is no date-time, OtherReason from the clock itself."""
        if attribute_id != 2:
            raise LocalError(
                f"attribute {attribute_id} of the clock is declared writable and cannot be written"
            )
        self._source.set_time(date_time_of(value))
