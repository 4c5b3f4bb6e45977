"""The 12-octet date-time (IEC 62056-62 4.6.1): kept as sent, converted on demand.

Deviation is minutes *from local time to UTC*: UTC+1 is -60. The books allow -720 to +720; New Zealand's
summer (-780) and Kiribati (-840) exist all the same, so 840 is the bound here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from typing import Final

from iondlms.errors import DecodeError, LocalError

__all__ = ["EPOCH", "UNSPECIFIED", "ClockStatus", "DateTime", "instant_of", "milliseconds_of"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DEVIATION: Final = 840  # minutes; Kiribati
NO_DEVIATION: Final = -0x8000
DAYLIGHT_END: Final = 0xFD  # in the month field; also "second last day" in the day field
DAYLIGHT_BEGIN: Final = 0xFE  # in the month field; also "last day" in the day field
_MILLISECOND: Final = timedelta(milliseconds=1)


def instant_of(utc_ms: int) -> datetime:
    """Return the aware instant of milliseconds since 1970-01-01 UTC."""
    return EPOCH + utc_ms * _MILLISECOND


def milliseconds_of(instant: datetime) -> int:
    """Return milliseconds since 1970-01-01 UTC of an aware instant, rounded down."""
    return (instant - EPOCH) // _MILLISECOND


class ClockStatus(IntFlag):
    """Clock status octet (62056-62 4.6.1)."""

    INVALID = 0x01
    DOUBTFUL = 0x02
    DIFFERENT_BASE = 0x04
    INVALID_STATUS = 0x08
    DAYLIGHT_SAVING = 0x80


def _optional(octet: int) -> int | None:
    return None if octet == 0xFF else octet


@dataclass(frozen=True, slots=True)
class DateTime:
    """A date-time as sent: exactly 12 octets, any of whose fields may be "not specified" (None)."""

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 12:
            raise DecodeError(f"a date-time has 12 octets, not {len(self.octets)}")

    @classmethod
    def of_local(cls, local: datetime, deviation: int | None, status: int | None) -> DateTime:
        """Return the date-time of a naive local time; `deviation` in minutes local to UTC.

        None leaves deviation or status "not specified". LocalError if one of them fits no octets.
        """
        raw = NO_DEVIATION if deviation is None else deviation
        if not -0x8000 <= raw <= 0x7FFF or not 0 <= (status or 0) <= 0xFF:
            raise LocalError(f"deviation {deviation} or clock status {status} cannot be sent")
        return cls(
            local.year.to_bytes(2, "big")
            + bytes((local.month, local.day, local.isoweekday(), local.hour, local.minute, local.second))
            + bytes((local.microsecond // 10_000,))
            + raw.to_bytes(2, "big", signed=True)
            + bytes((0xFF if status is None else status,))
        )

    @classmethod
    def of_utc(cls, instant: datetime, deviation: int = 0, status: int | None = 0) -> DateTime:
        """Return the date-time of an aware instant, shown in the local time that `deviation` gives."""
        if instant.utcoffset() is None:  # astimezone() would take it for the zone of this machine
            raise LocalError(f"{instant} has no zone, so it is no instant")
        try:
            local = instant.astimezone(UTC).replace(tzinfo=None) - timedelta(minutes=deviation)
        except OverflowError as error:
            raise LocalError(f"{instant} with deviation {deviation} is beyond the calendar") from error
        return cls.of_local(local, deviation, status)

    @property
    def year(self) -> int | None:
        """1 to 0xFFFE, or None."""
        year = int.from_bytes(self.octets[:2], "big")
        return None if year == 0xFFFF else year

    @property
    def month(self) -> int | None:
        """1 to 12, 0xFD daylight end, 0xFE daylight begin, or None."""
        return _optional(self.octets[2])

    @property
    def day(self) -> int | None:
        """1 to 31, 0xFD second last day, 0xFE last day of the month, or None."""
        return _optional(self.octets[3])

    @property
    def day_of_week(self) -> int | None:
        """1 Monday to 7 Sunday, or None."""
        return _optional(self.octets[4])

    @property
    def hour(self) -> int | None:
        """0 to 23, or None."""
        return _optional(self.octets[5])

    @property
    def minute(self) -> int | None:
        """0 to 59, or None."""
        return _optional(self.octets[6])

    @property
    def second(self) -> int | None:
        """0 to 59, or None."""
        return _optional(self.octets[7])

    @property
    def hundredths(self) -> int | None:
        """0 to 99, or None."""
        return _optional(self.octets[8])

    @property
    def deviation(self) -> int | None:
        """Minutes from local time to UTC, or None (0x8000)."""
        deviation = int.from_bytes(self.octets[9:11], "big", signed=True)
        return None if deviation == NO_DEVIATION else deviation

    @property
    def status(self) -> ClockStatus | None:
        """The clock status; None for 0xFF, which means "not specified" and not "all faults"."""
        octet = self.octets[11]
        return None if octet == 0xFF else ClockStatus(octet)

    def local(self) -> datetime:
        """Return the naive local time as sent; hundredths not specified count as 0.

        DecodeError if another field is not specified or out of range.
        """
        year, month, day, hour, minute, second = (
            self.year, self.month, self.day, self.hour, self.minute, self.second,
        )  # fmt: skip
        if year is None or month is None or day is None or hour is None or minute is None or second is None:
            raise DecodeError(f"{self} leaves a field open, so it is no instant")
        try:
            return datetime(year, month, day, hour, minute, second, (self.hundredths or 0) * 10_000)
        except ValueError as error:
            raise DecodeError(f"{self} is no date and time: {error}") from error

    def utc(self, unspecified: int | None = None, *, reversed_sign: bool = False) -> datetime:
        """Return the aware UTC instant.

        `unspecified` is the deviation to use where none was sent; without it that is a DecodeError, as is
        any open or impossible field. `reversed_sign` is for meters that send UTC minus local the wrong way.
        """
        deviation = self.deviation
        if deviation is None:
            deviation = unspecified
        elif reversed_sign:
            deviation = -deviation
        if deviation is None:
            raise DecodeError(
                f"{self} has no deviation; the meter's zone must be known to make an instant of it"
            )
        if abs(deviation) > MAX_DEVIATION:
            raise DecodeError(f"a deviation of {deviation} minutes is beyond +-{MAX_DEVIATION}")
        try:
            return self.local().replace(tzinfo=UTC) + timedelta(minutes=deviation)
        except OverflowError as error:
            raise DecodeError(f"{self} is beyond the calendar") from error

    def __str__(self) -> str:
        def shown(value: int | None, width: int) -> str:
            return "?" * width if value is None else f"{value:0{width}d}"

        text = (
            f"{shown(self.year, 4)}-{shown(self.month, 2)}-{shown(self.day, 2)}"
            f" {shown(self.hour, 2)}:{shown(self.minute, 2)}:{shown(self.second, 2)}"
        )
        if self.hundredths:
            text += f".{self.hundredths:02d}"
        if self.deviation is not None:
            offset = -self.deviation
            text += f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
        return text


# Nothing specified at all: what an attribute of type date-time holds when it has no value.
UNSPECIFIED: Final = DateTime(bytes.fromhex("FFFF FF FF FF FF FF FF FF 8000 FF"))
