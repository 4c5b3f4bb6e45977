"""The Data Recorder module: rows of its sources, made when its Record input is pulsed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from functools import lru_cache
from typing import Final

from iondlms.errors import LocalError

from .clock import CALENDAR_MS
from .log import NO_VALUE, Log, MemoryLog, Row, RowFormat
from .periodic_timer import Trigger
from .power_meter import PowerMeter

__all__ = ["STATUS_INVALID", "DataRecorder", "DataRecorderSetup", "NewRows", "Status", "memory_log"]

STATUS_INVALID: Final = 0xFFFF  # Record is not driven by a Periodic Timer


class Status(IntFlag):
    """The status word; bits not named are reserved and never set."""

    DST_ENDED = 1 << 9
    DST_STARTED = 1 << 8
    POWER_DOWN = 1 << 7
    POWER_UP = 1 << 6
    TIME_CHANGED = 1 << 5
    MASTER_RESET = 1 << 3


@dataclass(frozen=True, slots=True)
class DataRecorderSetup:
    """Inputs and settings of a Data Recorder; LocalError for a value out of its range."""

    name: str
    sources: tuple[str, ...]  # ION names of quantities
    record_input: str = ""  # name of a trigger; empty where only `pulse` records
    depth: int = 3360
    circular: bool = True  # False: stop when full
    insert_outage_records: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise LocalError("a Data Recorder has no name")
        if not self.sources:
            raise LocalError(f"Data Recorder {self.name!r} has no source; the first must be linked")
        if not 1 <= self.depth <= 10_000_000:
            raise LocalError(
                f"Data Recorder {self.name!r}: a depth of {self.depth} is not within 1 to 10000000"
            )

    @property
    def fingerprint(self) -> str:
        """A short text that differs when any input or setting does: then the log must be cleared."""
        return _fingerprint(self)


@lru_cache(maxsize=64)  # it stands in each state that is kept, and set-ups are few
def _fingerprint(setup: DataRecorderSetup) -> str:
    inputs = [setup.record_input, setup.sources, setup.depth, setup.circular, setup.insert_outage_records]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


@dataclass(slots=True)
class NewRows:
    """Rows of one recorder that are not durable yet, packed, without a gap in their numbers."""

    first: int
    stride: int
    depth: int
    cleared: bool = False  # all rows before `first` are to be forgotten
    octets: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        """The number after the last."""
        return self.first + len(self.octets) // self.stride

    def trim(self) -> None:
        """Forget what the ring would push out at once."""
        surplus = len(self.octets) // self.stride - self.depth
        if surplus > 0:
            del self.octets[: surplus * self.stride]
            self.first += surplus
            self.cleared = True


_row_format = lru_cache(maxsize=64)(RowFormat)


def memory_log(setup: DataRecorderSetup) -> Log:
    """Return an empty log for the rows of such a recorder, in memory."""
    return MemoryLog(RowFormat(len(setup.sources)), setup.depth)


class DataRecorder:
    """Makes rows; those that are durable are in `log`, where readers see them.

    Status bits gather between rows and clear once they are in one.
    """

    __slots__ = (
        "_power_meter",
        "_readers",
        "bits",
        "depth",
        "log",
        "next_sequence",
        "rearm_sequence",
        "row_format",
        "setup",
        "trigger",
    )

    def __init__(
        self,
        setup: DataRecorderSetup,
        power_meter: PowerMeter,
        trigger: Trigger | None,
        make_log: Callable[[DataRecorderSetup], Log] = memory_log,
    ) -> None:
        self.setup = setup
        self.trigger = trigger
        self.depth = setup.depth
        self.row_format = _row_format(len(setup.sources))
        self.log: Log = make_log(setup)
        self.bits = Status(0)
        self.next_sequence = 0
        self.rearm_sequence = 0  # the first row since the log was empty
        self._power_meter = power_meter
        self._readers = power_meter.readers(setup.sources)

    @property
    def name(self) -> str:
        """The recorder's label."""
        return self.setup.name

    @property
    def period_s(self) -> int:
        """Seconds between records, 0 where no Periodic Timer drives them."""
        return 0 if self.trigger is None else self.trigger.period_s

    @property
    def full(self) -> bool:
        """Whether the recorder stopped because its depth is used up; circular ones never do."""
        return not self.setup.circular and self.next_sequence - self.rearm_sequence >= self.depth

    @property
    def latest_status(self) -> int | None:
        """Status word of the latest durable row, None without one."""
        packed = self.log.packed(self.log.end - 1, self.log.end)
        return int.from_bytes(packed[8:10], "little") if packed else None

    def rows(self, first: int, end: int) -> Iterator[Row]:
        """Yield the durable rows `first` to `end` - 1, less those forgotten."""
        return self.row_format.unpack(self.log.packed(first, end))

    def record(self, utc_ms: int, *, timed: bool = True) -> bytes | None:
        """Return a new packed row; None when full.

        `timed` is False where the pulse does not come from the Periodic Timer. A row with an invalid
        status cannot carry the gathered bits, so they wait for one that can.
        """
        if self.full:
            return None
        status = STATUS_INVALID
        if timed and self.period_s:
            status = int(self.bits)
            self.bits = Status(0)
        values = [
            NO_VALUE if (value := read(self._power_meter, utc_ms)) is None else value
            for read in self._readers
        ]
        self.next_sequence += 1
        return self.row_format.struct.pack(utc_ms, status, *values)

    def record_outage(self, utc_ms: int) -> bytes | None:
        """Return a zero row for an instant without power; None when full.

        It carries the power down bit and leaves the gathered bits to the first row after the outage.
        """
        if self.full:
            return None
        status = int(Status.POWER_DOWN) if self.period_s else STATUS_INVALID
        self.next_sequence += 1
        return self.row_format.struct.pack(utc_ms, status, *(0 for _ in self._readers))

    def outage_rows(
        self, following: Callable[[str, int], int | None], down_ms: int, up_ms: int
    ) -> Iterator[bytes]:
        """Yield a zero row for each pulse of an outage, if Insert Outage Records is on, until full.

        `following` gives the first pulse of a trigger after an instant.
        """
        if not self.setup.insert_outage_records:
            return
        # Years without power must not cost more than the ring holds.
        if self.setup.circular and self.period_s:
            down_ms = max(down_ms, up_ms - self.depth * self.period_s * 1000)
        due_ms = following(self.setup.record_input, down_ms)
        while due_ms is not None and due_ms <= up_ms and (row := self.record_outage(due_ms)) is not None:
            yield row
            due_ms = following(self.setup.record_input, due_ms)

    def new_rows(self, first: int, *, cleared: bool = False) -> NewRows:
        """Return an empty batch that begins at row `first`."""
        return NewRows(first, self.row_format.stride, self.depth, cleared)

    def clear(self) -> NewRows:
        """Begin an empty log; readers see the old rows until the returned batch is published."""
        self.rearm_sequence = self.next_sequence
        return self.new_rows(self.next_sequence, cleared=True)

    def restore(self, next_sequence: int, rearm_sequence: int, bits: int, first: int, rows: bytes) -> None:
        """Go on from kept rows, the first of which is number `first`; LocalError if they do not fit.

        A log that keeps its rows itself, and ends where it should, is given none.
        """
        if rows or self.log.end != next_sequence:
            self.log.clear(first)
            self.log.extend(rows)
        if self.log.end != next_sequence:
            raise LocalError(
                f"{self.name}: rows up to {self.log.end} are kept, up to {next_sequence} expected"
            )
        # Of a disk that rots; found here, and not when a reader asks for that row.
        instants = self.log.instants(self.log.first, self.log.end) if rows else ()
        if instants and not (min(instants) in CALENDAR_MS and max(instants) in CALENDAR_MS):
            raise LocalError(f"{self.name}: a kept row is damaged, its time is none")
        self.next_sequence, self.rearm_sequence = next_sequence, rearm_sequence
        self.bits = Status(bits)

    def publish(self, rows: NewRows) -> None:
        """Let readers see rows that are now durable; LocalError if rows before them are missing.

        What was on its way when the log was cleared is not shown any more: it may have other columns.
        """
        if rows.first < self.rearm_sequence:
            return
        if rows.cleared:
            self.log.clear(rows.first)
        if rows.first != self.log.end:
            raise LocalError(f"{self.name}: rows from {rows.first} published when {self.log.end} was next")
        self.log.extend(rows.octets)

    def deepen(self, depth: int) -> None:
        """Raise the depth above the configured one, for history; the rows stay."""
        self.depth = max(self.depth, depth)
        self.log.resize(self.depth)
