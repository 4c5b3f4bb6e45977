"""Thousands of meters alike in one process: one timer, one store, one thread that writes.

They are the ordinary `Meter`. What makes many of them cheap: they share one configuration and set-up, their
rows are in the store (`store/fleet.py`), the COSEM objects of those that nobody asks are not there, and one
heap tells whose turn it is. A meter with history is not even made before somebody asks it: what it has
recorded until then follows from its seed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from heapq import heappop, heappush
from math import inf
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

from iondlms.codec.columns import uncollected
from iondlms.cosem import LogicalDevice
from iondlms.errors import LocalError
from iondlms.ion import Log, Pending, RowFormat, Saved
from iondlms.ion.recorder import DataRecorderSetup
from iondlms.meter.config import Config
from iondlms.meter.framework import device_name, framework_of
from iondlms.meter.meter import Meter
from iondlms.meter.source_sections import SimulatedSection
from iondlms.sources import make_source
from iondlms.store import FleetLog, FleetStore, Place, StoreError

__all__ = ["Fleet"]

_LOG: Final = logging.getLogger("iondlms.meter.fleet")
_SLICE_S: Final = 0.002  # of work between two looks at the sockets: the latency it adds to an answer
_DEVICES: Final = 256  # meters whose COSEM objects are kept: 15 kB each, 0.3 ms to make
_AT_ONCE: Final = 1000  # meters written in one transaction, some 20 ms: a clock that is set waits for one
_STEP_S: Final = 900  # of the simulated load
_RETRY_S: Final = 5.0


class Fleet:
    """`count` meters of one configuration, numbered from 0, each with its own seed and serial number.

    The first has the seed of the configuration, the next ones those that follow. Without a data folder in
    it, rows live in a temporary one and end with the process. `utc_ms` is the instant to start at, None for
    the host's clock; `speed` lets the meters' time run faster; `now` gives the seconds, monotonic, None for
    those of the event loop. LocalError for a source that is no simulated
    load, or for a configuration that contradicts itself.
    """

    def __init__(
        self,
        config: Config,
        count: int,
        *,
        utc_ms: int | None = None,
        speed: float = 1.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        if not isinstance(config.source, SimulatedSection):
            raise LocalError("source.kind: a fleet's meters measure simulated loads; leave it out")
        if config.fault:
            raise LocalError("fault: a fleet's meters have no faults on demand; leave [[fault]] out")
        for key in ("serial", "logical_device_name"):
            if getattr(config.meter, key):
                raise LocalError(f"meter.{key}: {count} meters cannot have one; leave it out")
        self._now = _loop_time if now is None else now
        self._config = config
        self._count = count
        self._utc_ms = time.time_ns() // 1_000_000 if utc_ms is None else utc_ms
        self._speed = speed
        self._year = datetime.fromtimestamp(self._utc_ms / 1000, UTC).year
        self._framework = framework_of(config, self._year)
        load = config.source.settings(config.meter.seed, self._framework.clock.tz_offset_min)
        self._load = replace(load, step_s=_STEP_S)
        self._meters: list[Meter | None] = [None] * count
        self._devices: deque[LogicalDevice] = deque(maxlen=_DEVICES)
        self._due: list[float] = [inf] * count  # when each has something to do
        self._heap: list[tuple[float, int]] = []  # the same in order, and some entries that no longer count
        self._offsets: dict[int, int] = {}  # of the clocks that were set
        self._started = 0.0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._running = False
        self._store: FleetStore | None = None
        self._temporary: TemporaryDirectory[str] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._waiting: dict[int, Pending] = {}  # to be written
        self._writing: tuple[Future[None], dict[int, Pending]] | None = None
        self._failing = False
        self._idle = asyncio.Event()  # nothing waits to be written
        self._idle.set()

    # --- what there is -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    def serial(self, number: int) -> str:
        """Return a meter's serial number, in the form of its model's own."""
        seed = self._config.meter.seed + number
        example = self._framework.factory.serial_number
        return f"{example[:2]}-{seed % 10_000:04d}A{seed // 10_000:03d}-01"

    def logical_device_name(self, number: int) -> str:
        """Return a meter's logical device name."""
        factory = replace(self._framework.factory, serial_number=self.serial(number))
        return device_name(self._config.meter.manufacturer, factory)

    def meter(self, number: int) -> Meter:
        """Return a meter, made if nobody has asked it before; LocalError if it cannot be."""
        meter = self._meters[number]
        if meter is None:
            meter = self._make(number, None)
            self._arm()
        return meter

    def is_made(self, number: int) -> bool:
        """Whether a meter is there; it takes long to make one with history."""
        return self._meters[number] is not None

    @property
    def made(self) -> int:
        """Meters that are there; the others wait to be asked."""
        return self._count - self._meters.count(None)

    # --- start and stop ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Power all meters up; those with history once somebody asks them. StoreError for the folder."""
        folder = self._config.meter.data
        if folder is None:
            self._temporary = TemporaryDirectory(prefix="iondlms-fleet-", ignore_cleanup_errors=True)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="iondlms-store")
        try:
            self._store = FleetStore.open(
                self._temporary.name if self._temporary else folder or "",
                self._pattern(),
                lasting=folder is not None,
            )
            for setup in self._framework.data_recorders:
                self._store.recorder(setup.name)
            self._started = self._now()
            self._running = True
            # Nothing that is made here is garbage, and to look for it again and again would take most of the
            # time; nor is it looked through later.
            with uncollected():
                for number, saved in self._wanted(self._store):
                    self._make(number, saved)
                    if number % _AT_ONCE == 0:
                        await asyncio.sleep(0)  # a signal to end is heard meanwhile
                await self.settled()
            gc.freeze()
        except BaseException:
            self._close()
            raise
        self._arm()

    async def stop(self) -> None:
        """Power the meters down, and have all on the disk."""
        if not self._running:
            return
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        now = self._now()
        self._failing = False  # once more, before all ends
        if self._temporary is None:  # else nobody will ever look
            for meter in self._meters:
                if meter is not None:
                    meter.power_down(now, "the meter stops")
            await self.settled()
        while self._writing is not None:
            await asyncio.wait((asyncio.wrap_future(self._writing[0]),))
        self._close()

    async def __aenter__(self) -> Self:
        if not self._running:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def settled(self) -> None:
        """Wait until all that the meters have recorded is written and can be read, or cannot be written."""
        self._write()
        if not self._failing:
            await self._idle.wait()

    def _wanted(self, store: FleetStore) -> Iterator[tuple[int, Saved | None]]:
        """Yield the meters that are made at the start."""
        kept = dict(store.saved())
        for number in range(self._count):
            saved = kept.get(number)
            if saved is not None or not self._config.meter.history:
                yield number, saved

    def _pattern(self) -> str:
        """Return what the rows of a data folder depend on."""
        meter, recorders = self._config.meter, self._framework.data_recorders
        return json.dumps(
            {"model": meter.model, "seed": meter.seed, "recorders": [each.fingerprint for each in recorders]}
        )

    def _close(self) -> None:
        self._running = False
        gc.unfreeze()
        if self._writer is not None:
            self._writer.shutdown()
        if self._store is not None:
            self._store.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _make(self, number: int, saved: Saved | None) -> Meter:
        store = self._store
        if store is None:
            raise LocalError("the fleet is not running")
        seat = _Seat(self, store, number, saved is not None)
        meter = Meter(
            self._config,
            start_year=self._year,
            source=make_source(replace(self._load, seed=self._load.seed + number)),
            commit=seat.commit,
            speed=self._speed,
            framework=replace(
                self._framework, factory=replace(self._framework.factory, serial_number=self.serial(number))
            ),
            make_log=seat.make_log,
            devices=self._devices,
            heartbeat_s=None,  # the state is kept with each record
        )
        self._meters[number] = meter
        if saved is not None and saved.state.offset_ms:
            self._offsets[number] = saved.state.offset_ms
        try:
            meter.start(self._utc_ms, self._started, saved)
            meter.advance(self._now())
            if self._config.meter.history and saved is None:
                # Whoever asks is to find the rows that have been there all along.
                self._write_now(number)
        except BaseException:
            self._meters[number] = None
            raise
        self._set_due(number)
        return meter

    # --- time --------------------------------------------------------------------------------------

    def _set_due(self, number: int) -> None:
        meter = self._meters[number]
        deadline = None if meter is None else meter.next_deadline()
        due = inf if deadline is None else deadline
        if due != self._due[number]:
            self._due[number] = due
            if due < inf:
                heappush(self._heap, (due, number))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap and self._running:
            delay = self._heap[0][0] - self._now()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, delay), self._wake)

    def _wake(self) -> None:
        """Let meters do what is due, for a slice of time; the rest comes after what the sockets have."""
        self._timer = None
        if self._slice(self._now()) and self._running:
            self._timer = asyncio.get_running_loop().call_soon(self._wake)
        else:
            self._arm()

    async def catch_up(self) -> None:
        """Let everything happen that is due now, and be written."""
        while self._slice(self._now()):
            if self._writing is not None and len(self._waiting) >= _AT_ONCE:
                await asyncio.wait((asyncio.wrap_future(self._writing[0]),))  # or they fill the memory
            await asyncio.sleep(0)
        self._arm()
        await self.settled()

    def _slice(self, now: float) -> bool:
        """Work for a slice of time; return whether more is due."""
        end = time.perf_counter() + _SLICE_S
        while self._heap and self._heap[0][0] <= now:
            due, number = heappop(self._heap)
            meter = self._meters[number]
            if due != self._due[number] or meter is None:
                continue
            self._due[number] = inf
            self._advance(number, meter, now)
            if time.perf_counter() >= end:
                break
        self._write()
        return bool(self._heap) and self._heap[0][0] <= now

    def _advance(self, number: int, meter: Meter, now: float) -> None:
        try:
            meter.advance(now)
        except Exception:
            # A bug of ours in one meter must not stop the time of all the others.
            _LOG.exception("meter %d failed; it is tried again", number)
            self._due[number] = now + _RETRY_S
            heappush(self._heap, (self._due[number], number))
        else:
            self._set_due(number)

    @property
    def behind(self) -> bool:
        """Whether meters are due whose turn has not come yet."""
        return bool(self._heap) and self._heap[0][0] <= self._now()

    # --- the store ---------------------------------------------------------------------------------

    def commit(self, number: int, batch: Pending) -> None:
        """Take a batch from a meter: it is published once it is written.

        StoreError if the clock was set, and that cannot be kept.
        """
        stepped = batch.state is not None and batch.state.offset_ms != self._offsets.get(number, 0)
        if stepped and batch.state is not None:
            self._offsets[number] = batch.state.offset_ms
        if self._temporary is not None:
            batch.state = None  # nobody will ever start from it
        if not batch:
            return
        there = self._waiting.get(number)
        if there is None:
            self._waiting[number] = batch
        else:
            there.merge(batch)
        self._idle.clear()
        if stepped:
            self._write_now(number)
            self._set_due(number)
            self._arm()
        elif len(self._waiting) >= _AT_ONCE or self._timer is not None:
            self._write()

    def _write(self) -> None:
        """Have the writer take some of what waits, if it is free."""
        if self._writing is not None or self._failing or self._writer is None or self._store is None:
            return
        if not self._waiting:
            self._idle.set()
            return
        batches = self._waiting
        if len(batches) > _AT_ONCE:
            batches = {number: self._waiting[number] for number in [*self._waiting][:_AT_ONCE]}
        self._waiting = {number: each for number, each in self._waiting.items() if number not in batches}
        writing = self._writer.submit(self._store.write, batches)
        self._writing = writing, batches
        loop = asyncio.get_running_loop()
        writing.add_done_callback(lambda done: loop.call_soon_threadsafe(self._after_write, done))

    def _after_write(self, writing: Future[None], *, go_on: bool = True) -> None:
        if self._writing is None or self._writing[0] is not writing:
            return  # seen to by `_write_now`
        batches, self._writing = self._writing[1], None
        error = writing.exception()
        if error is not None:
            _LOG.error("%s; the meters go on and it is tried again", error)
            self._try_later(batches)
            return
        self._publish(batches)
        if go_on:
            self._write()

    def _try_later(self, batches: dict[int, Pending]) -> None:
        """Keep what could not be written before what came meanwhile."""
        for number, later in self._waiting.items():
            if number in batches:
                batches[number].merge(later)
            else:
                batches[number] = later
        self._waiting = batches
        self._failing = True
        self._idle.set()
        if self._running:
            asyncio.get_running_loop().call_later(_RETRY_S, self._retry)

    def _retry(self) -> None:
        self._failing = False
        self._idle.clear()
        self._write()

    def _write_now(self, number: int) -> None:
        """Write what waits of one meter while the event loop stands still: an answer depends on it.

        StoreError if it cannot be written; it is tried again with the rest.
        """
        if self._writing is not None:
            writing = self._writing[0]
            wait((writing,))
            self._after_write(writing, go_on=False)
        batch = self._waiting.pop(number, None)
        if batch is None or self._store is None:
            return  # it went with others
        try:
            self._store.write({number: batch})  # the writer's thread has nothing to do now
        except StoreError:
            self._try_later({number: batch})
            raise
        self._publish({number: batch})
        self._write()

    def _publish(self, batches: Mapping[int, Pending]) -> None:
        for number, batch in batches.items():
            meter = self._meters[number]
            if meter is not None:
                meter.publish(batch)


class _Seat:
    """What a meter knows of the fleet; smaller than two partials."""

    __slots__ = ("_fleet", "_kept", "_number", "_store")

    def __init__(self, fleet: Fleet, store: FleetStore, number: int, kept: bool) -> None:
        self._fleet = fleet
        self._store = store
        self._number = number
        self._kept = kept  # whether the store may have rows of it

    def commit(self, batch: Pending) -> None:
        self._fleet.commit(self._number, batch)

    def make_log(self, setup: DataRecorderSetup) -> Log:
        place = Place(self._number, self._store.recorder(setup.name))
        log = FleetLog(self._store, place, RowFormat(len(setup.sources)), setup.depth)
        if self._kept:
            log.attach()
        return log


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
