"""Reading a profile: what to ask for so that the request fits, and rows of whatever came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from iondlms.client.captured import Captured, captured_of, learn_scales, period_of
from iondlms.client.columns import ProfileColumns
from iondlms.client.errors import TransferBroken
from iondlms.client.instants import TimeRules
from iondlms.client.names import NamedObject
from iondlms.client.profile import Profile, Shape, checked_tables, profile_of
from iondlms.client.scales import Scale
from iondlms.client.session import STOPPED, Operation, Session
from iondlms.codec import make
from iondlms.codec.axdr import Data, decode, decode_data
from iondlms.codec.columns import Table, decode_table
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.codec.reader import Reader
from iondlms.cosem import BY_ENTRY, BY_RANGE, CaptureObject, EntryDescriptor, RangeDescriptor
from iondlms.errors import DecodeError, DlmsError, LocalError, RemoteError
from iondlms.xdlms import AttributeDescriptor, Conformance, GetRequestNormal, SelectiveAccess

__all__ = [
    "ProfileRequest",
    "Progress",
    "Rescue",
    "Scale",
    "When",
    "read_columns",
    "read_data",
    "read_profile",
]

When: TypeAlias = datetime | DateTime
Progress: TypeAlias = Callable[[int, int], None]  # octets received, rows in them (an estimate)
# Gets None as a reading begins, and the rows that came where the caller is stopped.
Rescue: TypeAlias = "Callable[[Profile | None], None]"

_PROFILE_CLASS: Final = 7
_MOST_ENTRIES: Final = 0xFFFFFFFF  # Unsigned32
# For a bound that was left open: before the first of these meters, and as late as four digits of its
# display go. "Not specified" would say the same, and few meters take it in a bound.
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
_TICK: Final = timedelta(milliseconds=10)  # the finest a date-time tells: both ends of a range are inclusive


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """Which part of a profile is wanted, and how it is to be read.

    `start` and `end` are inclusive; an aware datetime, a naive one for the meter's local time, or a DateTime
    to be sent as it is. LocalError for a combination that means nothing.
    """

    start: When | None = None
    end: When | None = None
    entries: tuple[int, int] | None = None  # from 1; 0 as the second is the highest there is
    last: int | None = None  # that many of the newest
    columns: tuple[NamedObject, ...] = ()  # none: all. The clock always comes along
    scales: Mapping[ObisCode, Scale] = field(default_factory=dict)  # instead of what the meter says
    times: TimeRules = field(default_factory=TimeRules)
    nulls: Literal["keep", "repeat"] = "keep"  # what null-data stands for, in other columns than the clock
    piece: timedelta | None = None  # a long range is asked for in ranges of this length

    def __post_init__(self) -> None:
        for name, when in (("start", self.start), ("end", self.end)):
            if when is not None and not isinstance(when, (datetime, DateTime)):
                raise LocalError(f"{name}={when!r} is no datetime; {_remedy(when)}")
        ranged = self.start is not None or self.end is not None
        if ranged + (self.entries is not None) + (self.last is not None) > 1:
            raise LocalError("a profile is read by start and end, by entries, or the last rows: one of them")
        if self.entries is not None:
            first, last = self.entries
            if first < 1 or last < 0 or (last and last < first) or max(first, last) > _MOST_ENTRIES:
                raise LocalError(f"entries {first} to {last}: they count from 1, and 0 is the last one")
        if self.last is not None and self.last < 1:
            raise LocalError(f"the last {self.last} rows are none")
        if self.piece is not None:
            if not isinstance(self.start, datetime) or not isinstance(self.end, datetime):
                raise LocalError("reading in pieces needs start and end, as datetimes")
            if self.piece < timedelta(minutes=1):
                raise LocalError("a piece is a minute at least")
        start, end = self._bounds()
        if start is not None and end is not None and end < start:
            raise LocalError(f"the range ends ({end}) before it starts ({start})")

    def _bounds(self) -> tuple[datetime | None, datetime | None]:
        """Return both as instants, or both in the meter's local time; None where one cannot be told."""
        start, end = _instant(self.start, self.times), _instant(self.end, self.times)
        if isinstance(self.start, datetime) and isinstance(self.end, datetime):
            if self.piece is not None and (self.start.utcoffset() is None) is not (
                self.end.utcoffset() is None
            ):
                raise LocalError("reading in pieces needs start and end both with a zone, or both without")
            if start is None and end is None:
                return self.start, self.end
        return start, end


def read_data(session: Session, class_id: int, name: ObisCode, attribute: int) -> Operation[Data]:
    """Return a decoded attribute."""
    return decode((yield from session.get(AttributeDescriptor(class_id, name, attribute))))


def read_profile(
    session: Session,
    name: ObisCode,
    request: ProfileRequest,
    scales: dict[ObisCode, Scale],
    progress: Progress | None = None,
    rescue: Rescue | None = None,
) -> Operation[Profile]:
    """Read a profile; `scales` is what is known of the registers so far, and gains what is read.

    TransferBroken with the rows so far, if it breaks; `rescue` gets them where the caller is stopped.
    """
    return (yield from _read(session, name, request, scales, progress, rescue)).profile()


def read_columns(
    session: Session,
    name: ObisCode,
    request: ProfileRequest,
    scales: dict[ObisCode, Scale],
    progress: Progress | None = None,
    rescue: Rescue | None = None,
) -> Operation[ProfileColumns]:
    """Read a profile by column; the rest as `read_profile`."""
    return (yield from _read(session, name, request, scales, progress, rescue)).columns()


def _read(
    session: Session,
    name: ObisCode,
    request: ProfileRequest,
    scales: dict[ObisCode, Scale],
    progress: Progress | None,
    rescue: Rescue | None,
) -> Operation[_Found]:
    if rescue is not None:
        rescue(None)
    captured = captured_of((yield from session.get(AttributeDescriptor(_PROFILE_CLASS, name, 3))))
    period = period_of((yield from session.get(AttributeDescriptor(_PROFILE_CLASS, name, 4))))
    chosen = captured.chosen(request.columns)
    notes: list[str] = [] if session.doubt is None else [session.doubt]
    of_rows = captured.part(chosen)
    yield from learn_scales(session, of_rows, request.scales, scales, notes)
    known = {**scales, **request.scales} if request.scales else scales
    shape = of_rows.shape(known, period, request.times, request.nulls)
    attribute = AttributeDescriptor(_PROFILE_CLASS, name, 2)
    asked = _Asked(session, attribute, captured, chosen, request, notes)
    if request.last is not None:
        asked.in_use = (yield from read_data(session, _PROFILE_CLASS, name, 7)).integer()
        if not 0 <= asked.in_use <= _MOST_ENTRIES:
            raise RemoteError(f"the meter says that {asked.in_use} rows are stored")
    found = _Found(asked, shape, [], b"")
    for access in asked.accesses():
        counter = None if progress is None else _Counter(progress, sum(map(len, found.tables)))
        try:
            octets = yield from session.get(attribute, access, counter)
        except TransferBroken as error:
            error.profile = found.with_part_of(error.octets).profile()
            raise
        except STOPPED:
            with suppress(DlmsError):  # the caller stops, whatever came
                if rescue is not None:
                    rescue(found.with_part_of(session.broken_off).profile())
            raise
        found.add(octets)
    return found


@dataclass(slots=True)
class _Found:
    """The buffers that came of one reading."""

    asked: _Asked
    shape: Shape
    tables: list[Table]
    raw: bytes  # the first of them

    def add(self, octets: bytes) -> None:
        self.tables.append(self.asked.picked(decode_table(octets)))
        self.raw = self.raw or octets

    def with_part_of(self, octets: bytes) -> _Found:
        """Return this and what is whole in the buffer that broke off; this alone if that is no buffer."""
        try:
            tables = [*self.tables, self.asked.picked(decode_table(octets, partial=True))]
            checked_tables(tables, self.shape)
        except RemoteError:
            return self
        return replace(self, tables=tables, raw=self.raw or octets)

    def profile(self) -> Profile:
        found = profile_of(self.asked.wanted(self.tables), self.shape, self.asked.notes, self.raw)
        bounds = self.asked.bounds()
        if bounds is None:
            return found
        start, end = bounds
        some = [
            row
            for row in found.rows
            if row.instant is not None
            and (start is None or start <= row.instant)
            and (end is None or row.instant <= end)
        ]
        return replace(found, rows=some)

    def columns(self) -> ProfileColumns:
        tables = self.asked.wanted(self.tables)
        found = ProfileColumns(tables, self.shape, tuple(self.asked.notes), self.raw)
        bounds = self.asked.bounds()
        return found if bounds is None else found.between(*bounds)


class _Asked:
    """One reading of a buffer: what is asked, and what is done here because it could not be asked."""

    def __init__(
        self,
        session: Session,
        attribute: AttributeDescriptor,
        captured: Captured,
        chosen: tuple[int, ...],
        request: ProfileRequest,
        notes: list[str],
    ) -> None:
        self.in_use = 0
        self._session = session
        self._attribute = attribute
        self._captured = captured
        self._chosen = chosen
        self._request = request
        self.notes = notes
        self._selective = Conformance.SELECTIVE_ACCESS in session.conformance
        self._sent = len(captured.objects)  # columns that the meter was asked for

    def accesses(self) -> Iterator[SelectiveAccess | None]:
        """Yield the selective access of each GET that is to be made."""
        request = self._request
        ranged = request.start is not None or request.end is not None
        if not ranged and request.entries is None and request.last is None and self._all:
            yield None
        elif not self._selective:
            self.notes.append("no selective access here: the whole buffer was read, and selected from")
            yield None
        elif ranged:
            for start, end in self._ranges():
                yield self._by_range(start, end)
        else:
            yield self._by_entry()

    @property
    def _all(self) -> bool:
        return len(self._chosen) == len(self._captured.objects)

    def _ranges(self) -> Iterator[tuple[When | None, When | None]]:
        start, end, piece = self._request.start, self._request.end, self._request.piece
        if piece is None or not isinstance(start, datetime) or not isinstance(end, datetime):
            yield start, end
            return
        while start <= end:
            yield start, min(end, start + piece - _TICK)
            start += piece

    def _by_range(self, start: When | None, end: When | None) -> SelectiveAccess:
        clock = self._captured.clock
        if clock is None:
            raise LocalError("this profile has no clock column, so it has no ranges; read it by entries")
        zone = self._request.times.zone
        first = _bound(_EARLIEST if start is None else start, zone)
        last = _bound(_LATEST if end is None else end, zone)
        everything = _range(clock, first, last, ())
        if self._all:
            return everything
        columns = self._captured.part(self._chosen).objects
        some = _range(clock, first, last, columns)
        length = len(GetRequestNormal(0, self._attribute, some).encode())
        if self._session.fits(length):
            self._sent = len(columns)
            return some
        self._note(
            f"a range with {len(columns)} columns takes a request of {length} octets, more than fit the"
            " meter's frame: all columns were read, and selected from"
        )
        return everything

    def _by_entry(self) -> SelectiveAccess:
        request = self._request
        first, last = request.entries or (1, 0)
        if request.last is not None:
            first = max(1, self.in_use - request.last + 1)
        descriptor = EntryDescriptor(first, last)
        chosen = self._chosen
        if not self._all and chosen == tuple(range(chosen[0], chosen[-1] + 1)):
            descriptor = replace(descriptor, first_column=chosen[0] + 1, last_column=chosen[-1] + 1)
            self._sent = len(chosen)
        elif not self._all:
            self._note("the columns do not stand side by side: all were read, and selected from")
        return SelectiveAccess(BY_ENTRY, descriptor.data())

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def picked(self, table: Table) -> Table:
        """Return the chosen columns, whatever the meter sent."""
        if not len(table) or self._all:
            return table
        width = table.width
        if width == len(self._chosen) and self._sent == width:
            return table
        if width != len(self._captured.objects):
            raise RemoteError(f"rows of {width} cells came; {self._sent} columns were asked for")
        if self._sent != width:
            self._note("the meter sent all columns, not the ones it was asked for")
        return table.chosen(self._chosen)

    def wanted(self, tables: list[Table]) -> list[Table]:
        """Return the rows that entries or `last` mean, where more were sent."""
        request = self._request
        if request.last is not None:
            return [table.part(-request.last, None) for table in tables]  # there is one
        if request.entries is not None and not self._selective:
            first, last = request.entries
            return [table.part(first - 1, last or None) for table in tables]
        return tables

    def bounds(self) -> tuple[datetime | None, datetime | None] | None:
        """Return the range that is still to be selected, where the meter could not be asked for it."""
        request = self._request
        if self._selective or (request.start is None and request.end is None):
            return None
        start, end = _instant(request.start, request.times), _instant(request.end, request.times)
        if (start is None) is not (request.start is None) or (end is None) is not (request.end is None):
            raise LocalError("this meter has no selective access: give start and end with a zone")
        return start, end


class _Counter:
    """Tells how far a transfer is; rows are counted by the length of the first one."""

    def __init__(self, progress: Progress, before: int) -> None:
        self._progress = progress
        self._before = before
        self._head = b""
        self._start = 0
        self._stride = 0

    def __call__(self, block: bytes, received: int) -> None:
        if not self._stride and len(self._head) < 0x1000:
            self._head += block
            try:
                reader = Reader(self._head)
                reader.u8()
                reader.length()
                self._start = reader.position
                decode_data(reader)
                self._stride = reader.position - self._start
            except DecodeError:
                pass  # not a whole row yet
        rows = (received - self._start) // self._stride if self._stride else 0
        self._progress(received, self._before + rows)


# Meters are asked for the same range one after the other. By the octets and not by the times: two that are
# equal may be told apart by `fold`.
@lru_cache(64)
def _range(
    clock: CaptureObject, first: bytes, last: bytes, columns: tuple[CaptureObject, ...]
) -> SelectiveAccess:
    start, end = make.octet_string(first), make.octet_string(last)
    return SelectiveAccess(BY_RANGE, RangeDescriptor(clock, start, end, columns).data())


@lru_cache(64)
def _utc_bound(when: datetime) -> bytes:
    return DateTime.of_utc(when).octets


def _bound(when: When, zone: tzinfo | None) -> bytes:
    if isinstance(when, DateTime):
        return when.octets
    if when.tzinfo is UTC:  # which no fold tells apart
        return _utc_bound(when)
    if when.utcoffset() is None and zone is not None:
        when = when.replace(tzinfo=zone)
    if when.utcoffset() is None:  # the meter's own local time, and the meter knows its zone
        return DateTime.of_local(when, None, None).octets
    return DateTime.of_utc(when).octets


def _remedy(when: object) -> str:
    """Return how an instant is given, with the caller's own where it can be read."""
    text = str(when)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        text = "2026-11-22T00:00+00:00"
    return f"write datetime.fromisoformat({text!r})"


def _instant(when: When | None, times: TimeRules) -> datetime | None:
    if when is None or isinstance(when, DateTime):
        return None
    if when.tzinfo is UTC:
        return when
    if when.utcoffset() is None:
        return None if times.zone is None else when.replace(tzinfo=times.zone).astimezone(UTC)
    return when.astimezone(UTC)
