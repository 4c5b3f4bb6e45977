"""A logical device made of fakes one can read: a clock that keeps what it is set to, a buffer of a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from iondlms.codec import axdr, make
from iondlms.codec.axdr import Data
from iondlms.codec.datetimes import UNSPECIFIED, DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import (
    AssociationView,
    CaptureObject,
    Clock,
    DataObject,
    LogicalDevice,
    ProfileGeneric,
    Register,
    Rows,
    SapAssignment,
    Selection,
)
from iondlms.errors import DecodeError, OtherReason

ASSOCIATION = ObisCode.parse("0-0:40.0.0*255")
SAP_ASSIGNMENT = ObisCode.parse("0-0:41.0.0*255")
DEVICE_NAME = ObisCode.parse("0-0:42.0.0*255")
CLOCK = ObisCode.parse("0-0:1.0.0*255")
STATUS = ObisCode.parse("0-0:97.97.0*255")
LOAD = ObisCode.parse("1-0:99.1.0*255")
BILLING = ObisCode.parse("1-0:98.1.0*255")
ENERGY = ObisCode.parse("1-1:1.8.0*255")
POWER_FACTOR = ObisCode.parse("1-1:13.0.0*255")

NOW = DateTime(bytes.fromhex("07EA0B16070D223800FFC400"))  # 2026-11-22 13:34:56 +01:00
NAME = b"SCHION8650000017"
ZONE = -60  # minutes from local time to UTC
FIRST = datetime(2026, 11, 22, 0, 15, tzinfo=UTC)  # t1 of the fixture
PERIOD = timedelta(seconds=900)

_BILLED = (
    "1.8.0", "2.8.0", "16.8.0", "3.8.0", "4.8.0", "128.8.0", "9.8.0", "16.4.0", "128.4.0", "9.4.0", "13.0.0",
)  # fmt: skip
CLOCK_COLUMN = CaptureObject(8, CLOCK, 2)
STATUS_COLUMN = CaptureObject(1, STATUS, 2)
LOAD_COLUMNS = (
    CLOCK_COLUMN,
    STATUS_COLUMN,
    *(CaptureObject(3, ObisCode.parse(f"1-1:{code}.29.0*255"), 2) for code in (1, 3, 2, 4)),
)
BILLING_COLUMNS = (
    CLOCK_COLUMN,
    STATUS_COLUMN,
    *(CaptureObject(3, ObisCode.parse(f"1-1:{code}*255"), 2) for code in _BILLED),
)

READER = AssociationView(16, 1, 0x003014, 125, 125, 0)
SETTER = AssociationView(1, 1, 0x00301C, 1024, 0x04B0, 1, writable=frozenset({(CLOCK, 2)}))


@dataclass
class FakeClock:
    """Keeps the time it was given, and how often it was set."""

    now: DateTime = NOW
    times: list[DateTime] = field(default_factory=list)
    refuses: bool = False
    zone: int = ZONE
    added: int = 60
    enabled: bool = True

    def time(self) -> DateTime:
        return self.now

    def set_time(self, time: DateTime) -> None:
        if self.refuses:
            raise OtherReason("a field is out of range")
        self.now = time
        self.times.append(time)

    def time_zone(self) -> int:
        return self.zone

    def daylight_begin(self) -> DateTime:
        return DateTime(bytes.fromhex("07EA031D07020000 00 FFC400"))

    def daylight_end(self) -> DateTime:
        return UNSPECIFIED

    def daylight_deviation(self) -> int:
        return self.added

    def daylight_enabled(self) -> bool:
        return self.enabled

    def clock_base(self) -> int:
        return 1


@dataclass(frozen=True)
class FakeRow:
    """One row: its instant, and the cells after the time column."""

    instant: datetime
    cells: tuple[Data, ...]

    def data(self, columns: Sequence[int] | None = None) -> Data:
        time = make.octet_string(DateTime.of_utc(self.instant, ZONE).octets)
        cells = (time, *self.cells)
        return make.structure(*(cells if columns is None else [cells[index] for index in columns]))


@dataclass(frozen=True)
class FakeRows:
    rows: tuple[FakeRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def encoded(self, columns: Sequence[int] | None) -> Iterator[bytes]:
        for at in range(0, len(self.rows), 3):
            yield b"".join(axdr.encode_data(row.data(columns)) for row in self.rows[at : at + 3])


@dataclass
class FakeBuffer:
    """Rows in a list; a range is looked for by comparing every row's instant."""

    rows: list[FakeRow]
    period: int = 900
    depth: int = 3360

    def __len__(self) -> int:
        return len(self.rows)

    def entries(self, first: int, last: int) -> Rows:
        if first < 1:
            raise AssertionError("a row number below 1 got as far as the buffer")
        return FakeRows(tuple(self.rows[first - 1 : max(last, 0)]))

    def between(self, start: DateTime, end: DateTime) -> Rows:
        try:
            low, high = start.utc(ZONE), end.utc(ZONE)
        except DecodeError as error:
            raise OtherReason(str(error)) from error
        return FakeRows(tuple(row for row in self.rows if low <= row.instant <= high))

    def capture_period(self) -> int:
        return self.period

    def profile_entries(self) -> int:
        return self.depth


def row(number: int, instant: datetime | None = None, columns: int = 6) -> FakeRow:
    """Return row `number` of the fixture, from 1; each of its cells differs from all others."""
    cells = [make.long_unsigned(number)]
    cells += [make.double_long(1000 * number + column) for column in range(3, columns + 1)]
    return FakeRow(FIRST + (number - 1) * PERIOD if instant is None else instant, tuple(cells))


def load_buffer(count: int = 20) -> FakeBuffer:
    return FakeBuffer([row(number) for number in range(1, count + 1)])


def profile(buffer: FakeBuffer) -> ProfileGeneric:
    return ProfileGeneric(LOAD, LOAD_COLUMNS, buffer)


def logical_device(clock: FakeClock | None = None, load: FakeBuffer | None = None) -> LogicalDevice:
    """Return a device with one object of each kind at least, both profiles filled."""
    billing = FakeBuffer([row(number, columns=13) for number in range(1, 4)], period=0, depth=40)
    return LogicalDevice(
        [
            SapAssignment(SAP_ASSIGNMENT, {1: NAME}),
            DataObject(DEVICE_NAME, lambda: make.octet_string(NAME)),
            Clock(CLOCK, FakeClock() if clock is None else clock),
            DataObject(STATUS, lambda: make.long_unsigned(0)),
            ProfileGeneric(LOAD, LOAD_COLUMNS, load_buffer() if load is None else load),
            ProfileGeneric(BILLING, BILLING_COLUMNS, billing),
            Register(ENERGY, lambda: make.long64(1234), 0, 30),
            Register(POWER_FACTOR, lambda: make.double_long(-987), -3, 255),
        ]
    )


def get(
    device: LogicalDevice,
    class_id: int,
    name: ObisCode,
    attribute_id: int,
    selection: Selection | None = None,
    view: AssociationView = READER,
) -> Data:
    """Return an attribute decoded; the pieces must be one whole Data together."""
    return axdr.decode(b"".join(device.get(class_id, name, attribute_id, selection, view)))


def octets(
    device: LogicalDevice,
    class_id: int,
    name: ObisCode,
    attribute_id: int,
    view: AssociationView = READER,
) -> bytes:
    """Return an attribute as it is sent."""
    return b"".join(device.get(class_id, name, attribute_id, None, view))
