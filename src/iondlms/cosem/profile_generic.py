"""Profile Generic (class 7, version 1): rows of captured values. IEC 62056-62 5.6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar, Final, Protocol

from iondlms.codec import make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.codec.plan import array_header
from iondlms.cosem.interface import LOGICAL_NAME, AssociationView, Attribute, Interface, Selection
from iondlms.cosem.selection import BY_ENTRY, BY_RANGE, CaptureObject, EntryDescriptor, RangeDescriptor
from iondlms.errors import ScopeOfAccessViolated

__all__ = ["Buffer", "ProfileGeneric", "Rows", "SortMethod"]

CLOCK_CLASS: Final = 8
NO_OBJECT: Final = CaptureObject(0, ObisCode(bytes(6)), 0)


class SortMethod(IntEnum):
    """How the buffer is sorted."""

    FIFO = 1
    LIFO = 2
    LARGEST = 3
    SMALLEST = 4
    NEAREST_TO_ZERO = 5
    FARTHEST_FROM_ZERO = 6


class Rows(Protocol):
    """Some rows as they were at the moment of the request: what is captured later does not change them."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def encoded(self, columns: Sequence[int] | None) -> Iterator[bytes]:
        """Yield the rows as encoded structures, many in a piece; only these columns, None for all."""


class Buffer(Protocol):
    """What a profile asks of whatever holds its rows, oldest first."""

    def __len__(self) -> int:
        """Return the number of rows stored."""

    def entries(self, first: int, last: int) -> Rows:
        """Return rows by number, from 1, both inclusive; none if last < first."""

    def between(self, start: DateTime, end: DateTime) -> Rows:
        """Return the rows whose time is in the range, both inclusive, in the order of capture.

        A bound without deviation is local time of the meter. OtherReason if a bound is no instant.
        """

    def capture_period(self) -> int:
        """Return seconds between captures; 0 where no timer drives them."""

    def profile_entries(self) -> int:
        """Return how many rows fit."""


class ProfileGeneric(Interface):
    """Profile generic: first in first out, with no sort object."""

    class_id: ClassVar[int] = 7
    version: ClassVar[int] = 1
    attributes: ClassVar[dict[int, Attribute]] = {
        1: LOGICAL_NAME,
        2: Attribute("buffer", Tag.ARRAY, selectors=(BY_RANGE, BY_ENTRY)),
        3: Attribute("capture_objects", Tag.ARRAY, constant=True),
        4: Attribute("capture_period", Tag.DOUBLE_LONG_UNSIGNED),  # s; 0 when no Periodic Timer drives it
        5: Attribute("sort_method", Tag.ENUM),
        6: Attribute("sort_object", Tag.STRUCTURE),
        7: Attribute("entries_in_use", Tag.DOUBLE_LONG_UNSIGNED),
        8: Attribute("profile_entries", Tag.DOUBLE_LONG_UNSIGNED),
    }
    methods: ClassVar[dict[int, str]] = {1: "reset", 2: "capture"}

    def __init__(self, logical_name: ObisCode, captured: Sequence[CaptureObject], buffer: Buffer) -> None:
        super().__init__(logical_name)
        self.captured = tuple(captured)
        self._buffer = buffer

    @property
    def capture_objects(self) -> Data:
        """Attribute 3: array of capture_object_definition."""
        return make.array(item.data() for item in self.captured)

    @property
    def capture_period(self) -> Data:
        """Attribute 4, seconds."""
        return make.double_long_unsigned(self._buffer.capture_period())

    @property
    def sort_method(self) -> Data:
        """Attribute 5."""
        return make.enum(SortMethod.FIFO)

    @property
    def sort_object(self) -> Data:
        """Attribute 6: none."""
        return NO_OBJECT.data()

    @property
    def entries_in_use(self) -> Data:
        """Attribute 7."""
        return make.double_long_unsigned(len(self._buffer))

    @property
    def profile_entries(self) -> Data:
        """Attribute 8."""
        return make.double_long_unsigned(self._buffer.profile_entries())

    def read(self, attribute_id: int, selection: Selection | None, view: AssociationView) -> Iterable[bytes]:
        """Return an attribute; the buffer is snapped now and encoded as it is taken."""
        if attribute_id != 2:
            return super().read(attribute_id, selection, view)
        if selection is None:
            return _encoded(self._buffer.entries(1, len(self._buffer)), None)
        if selection.selector == BY_RANGE:
            return self._by_range(selection)
        return self._by_entry(EntryDescriptor.of(selection.parameters))

    def _by_range(self, selection: Selection) -> Iterable[bytes]:
        descriptor = _range(selection)
        restricting = descriptor.restricting
        if restricting not in self.captured or restricting.class_id != CLOCK_CLASS:
            raise ScopeOfAccessViolated("a range is given on the clock column")
        start, end = _bounds(selection)
        return _encoded(self._buffer.between(start, end), self._chosen(descriptor.columns))

    def _by_entry(self, descriptor: EntryDescriptor) -> Iterable[bytes]:
        columns = descriptor.columns(len(self.captured))
        first, last = descriptor.rows(len(self._buffer))
        return _encoded(self._buffer.entries(first, last), columns)

    def _chosen(self, columns: tuple[CaptureObject, ...]) -> tuple[int, ...] | None:
        """Return column indexes in the order of capture_objects, each once, whatever order was asked."""
        if not columns:
            return None
        chosen = set(columns)
        if not chosen <= set(self.captured):
            raise ScopeOfAccessViolated("a column was asked that is not captured")
        return tuple(index for index, item in enumerate(self.captured) if item in chosen)


# Those who read many meters ask each for the same range.
@lru_cache(maxsize=64)
def _range(selection: Selection) -> RangeDescriptor:
    return RangeDescriptor.of(selection.parameters)


@lru_cache(maxsize=64)
def _bounds(selection: Selection) -> tuple[DateTime, DateTime]:
    return _range(selection).instants()


def _encoded(rows: Rows, columns: tuple[int, ...] | None) -> Iterator[bytes]:
    yield array_header(len(rows))
    yield from rows.encoded(columns)
