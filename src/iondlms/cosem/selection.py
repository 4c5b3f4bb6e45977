"""Selective access to a profile buffer: range and entry descriptors (IEC 62056-62 5.6, selectors 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iondlms.codec import make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem.clock import date_time_of
from iondlms.errors import DecodeError, OtherReason, ScopeOfAccessViolated, TypeUnmatched

__all__ = ["BY_ENTRY", "BY_RANGE", "CaptureObject", "EntryDescriptor", "RangeDescriptor"]

BY_RANGE: Final = 1
BY_ENTRY: Final = 2


@dataclass(frozen=True, slots=True)
class CaptureObject:
    """capture_object_definition: which attribute of which object stands in a column."""

    class_id: int
    logical_name: ObisCode
    attribute_id: int
    data_index: int = 0  # 0 is the whole attribute

    def data(self) -> Data:
        """Return structure {long-unsigned, octet-string, integer, long-unsigned}."""
        return make.structure(
            make.long_unsigned(self.class_id),
            make.octet_string(self.logical_name.octets),
            make.integer(self.attribute_id),
            make.long_unsigned(self.data_index),
        )

    @classmethod
    def of(cls, data: Data) -> CaptureObject:
        """Read one; TypeUnmatched if the data is not such a structure."""
        class_id, name, attribute_id, data_index = _cells(
            data, (Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED)
        )
        if len(name.octets()) != 6:
            raise TypeUnmatched("a logical name has 6 octets")
        return cls(class_id.integer(), ObisCode(name.octets()), attribute_id.integer(), data_index.integer())


@dataclass(frozen=True, slots=True)
class RangeDescriptor:
    """Selector 1: rows whose restricting object lies between two values, both inclusive."""

    restricting: CaptureObject
    start: Data
    end: Data
    columns: tuple[CaptureObject, ...]  # none: all

    @classmethod
    def of(cls, data: Data) -> RangeDescriptor:
        """Read one; TypeUnmatched if the data is not a structure of the four parts."""
        restricting, start, end, columns = _cells(data, (Tag.STRUCTURE, None, None, Tag.ARRAY))
        return cls(
            CaptureObject.of(restricting),
            start,
            end,
            tuple(CaptureObject.of(item) for item in columns.items()),
        )

    def data(self) -> Data:
        """Return the parameters as sent."""
        return make.structure(
            self.restricting.data(), self.start, self.end, make.array(item.data() for item in self.columns)
        )

    def instants(self) -> tuple[DateTime, DateTime]:
        """Return the bounds with what they leave open filled by its start and its end.

        Seconds and hundredths may be left open, day of week is not looked at. TypeUnmatched if a bound is
        no date-time; OtherReason if it leaves another field open, is no date at all, or has a deviation
        that makes no instant of it.
        """
        return _filled(date_time_of(self.start), 0, 0), _filled(date_time_of(self.end), 59, 99)


@dataclass(frozen=True, slots=True)
class EntryDescriptor:
    """Selector 2: rows and columns by number, from 1; 0 as the last means the highest there is."""

    first: int
    last: int
    first_column: int = 1
    last_column: int = 0

    @classmethod
    def of(cls, data: Data) -> EntryDescriptor:
        """Read one; TypeUnmatched if the data is not a structure of the four numbers."""
        wide, short = Tag.DOUBLE_LONG_UNSIGNED, Tag.LONG_UNSIGNED
        return cls(*(cell.integer() for cell in _cells(data, (wide, wide, short, short))))

    def data(self) -> Data:
        """Return the parameters as sent."""
        return make.structure(
            make.double_long_unsigned(self.first),
            make.double_long_unsigned(self.last),
            make.long_unsigned(self.first_column),
            make.long_unsigned(self.last_column),
        )

    def rows(self, count: int) -> tuple[int, int]:
        """Return the first and last row number of `count`; last < first where there is none.

        ScopeOfAccessViolated if the first is 0: numbers begin at 1.
        """
        if self.first == 0:
            raise ScopeOfAccessViolated("entries are numbered from 1")
        return self.first, min(self.last or count, count)

    def columns(self, count: int) -> tuple[int, ...] | None:
        """Return the chosen column indexes, from 0, None for all.

        ScopeOfAccessViolated if a number is outside 1 to `count` or the first is after the last.
        """
        last = self.last_column or count
        if not 1 <= self.first_column <= last <= count:
            raise ScopeOfAccessViolated(f"columns {self.first_column} to {last} of {count}")
        if (self.first_column, last) == (1, count):
            return None
        return tuple(range(self.first_column - 1, last))


def _cells(data: Data, tags: tuple[Tag | None, ...]) -> tuple[Data, ...]:
    """Return the members of a structure of just these types; None takes any type."""
    if data.tag is not Tag.STRUCTURE:
        raise TypeUnmatched(f"a structure expected, not {data.tag.name.lower()}")
    cells = data.items()
    if len(cells) != len(tags):
        raise TypeUnmatched(f"a structure of {len(tags)} expected, not of {len(cells)}")
    for cell, tag in zip(cells, tags, strict=True):
        if tag is not None and cell.tag is not tag:
            raise TypeUnmatched(f"{tag.name.lower()} expected, not {cell.tag.name.lower()}")
    return cells


def _filled(bound: DateTime, second: int, hundredths: int) -> DateTime:
    octets = bytearray(bound.octets)
    octets[4] = 0xFF  # the day of week says nothing that the date does not
    if bound.second is None:
        octets[7], octets[8] = second, hundredths
    elif bound.hundredths is None:
        octets[8] = hundredths
    filled = DateTime(bytes(octets))
    try:
        # Only whether it is an instant; where no deviation was sent, the zone is the meter's to know.
        filled.utc(0)
    except DecodeError as error:
        raise OtherReason(f"as a bound of a range: {error}") from error
    return filled
