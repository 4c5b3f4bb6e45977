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
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
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
from iondlms.later import Later
from iondlms.meter.config import Config, PortSection
from iondlms.meter.endpoint import MeterEndpoint
from iondlms.meter.fleet_keeper import AT_ONCE, FleetKeeper
from iondlms.meter.framework import device_name, framework_of
from iondlms.meter.meter import Meter
from iondlms.meter.source_sections import SimulatedSection
from iondlms.sources import make_source
from iondlms.store import FleetLog, FleetStore, Place, Reads

__all__ = ["Fleet"]

_LOG: Final = logging.getLogger("iondlms.meter.fleet")
_SLICE_S: Final = 0.002  # of work between two looks at the sockets: the latency it adds to an answer
_DEVICES: Final = 256  # meters whose COSEM objects are kept: 15 kB each, 0.3 ms to make
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
        self._gathering = False  # batches, to have them written together
        self._temporary: TemporaryDirectory[str] | None = None
        self._keeper: FleetKeeper | None = None
        self._reads: Reads | None = None  # of the keeper: one for all
        self._young: dict[int, Later] = {}  # whose history is being written

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

    def endpoint(self, number: int, section: PortSection, now: float) -> MeterEndpoint:
        """Return an endpoint for a line of a meter, see `meter`.

        Whoever asks finds the rows that have been there all along: it answers once they can be read.
        """
        return self.meter(number).endpoint(section, now, self._young.get(number))

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
        try:
            store = FleetStore.open(
                self._temporary.name if self._temporary else folder or "",
                self._pattern(),
                lasting=folder is not None,
            )
            self._keeper = FleetKeeper(store, self._publish, self._tell)
            self._reads = self._keeper.read
            for setup in self._framework.data_recorders:
                store.recorder(setup.name)
            self._started = self._now()
            self._running = True
            # Nothing that is made here is garbage, and to look for it again and again would take most of the
            # time; nor is it looked through later.
            with uncollected():
                for number, saved in self._wanted(store):
                    self._gathering = True
                    self._make(number, saved)
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)  # a signal to end is heard meanwhile
                self._gathering = False
                await self.settled()
            gc.freeze()
        except BaseException:
            await self._close(lasting=False)
            raise
        self._arm()

    async def stop(self) -> None:
        """Power the meters down, and have all on the disk."""
        if not self._running:
            return
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        if self._temporary is None:  # else nobody will ever look
            now = self._now()
            for meter in self._meters:
                if meter is not None:
                    meter.power_down(now, "the meter stops")
        await self._close(lasting=self._temporary is None)

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
        if self._keeper is not None:
            await self._keeper.settled()

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

    async def _close(self, *, lasting: bool) -> None:
        self._running = False
        gc.unfreeze()
        if self._keeper is not None:
            await self._keeper.close(lasting=lasting)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _make(self, number: int, saved: Saved | None) -> Meter:
        keeper, reads = self._keeper, self._reads
        if keeper is None or reads is None:
            raise LocalError("the fleet is not running")
        seat = _Seat(self, keeper.store, reads, number, saved is not None)
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
                later = self._young[number] = keeper.promise(number, patient=True)
                later.then(partial(self._grown, number))
                keeper.write()
        except BaseException:
            self._meters[number] = None
            raise
        self._set_due(number)
        return meter

    def _grown(self, number: int) -> None:
        del self._young[number]

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
            if self._keeper is not None:
                await self._keeper.room()
            await asyncio.sleep(0)
        self._arm()
        await self.settled()

    def _slice(self, now: float) -> bool:
        """Work for a slice of time; return whether more is due."""
        end = time.perf_counter() + _SLICE_S
        self._gathering = True
        while self._heap and self._heap[0][0] <= now:
            due, number = heappop(self._heap)
            meter = self._meters[number]
            if due != self._due[number] or meter is None:
                continue
            self._due[number] = inf
            self._advance(number, meter, now)
            if time.perf_counter() >= end:
                break
        self._gathering = False
        if self._keeper is not None:
            self._keeper.write()
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

    def commit(self, number: int, batch: Pending) -> Later | None:
        """Take a batch from a meter: it is published once it is written.

        Return what is over once that is so, where the clock was set or somebody waits for an earlier one.
        """
        stepped = batch.state is not None and batch.state.offset_ms != self._offsets.get(number, 0)
        if stepped and batch.state is not None:
            self._offsets[number] = batch.state.offset_ms
        if self._temporary is not None:
            batch.state = None  # nobody will ever start from it
        keeper = self._keeper
        if not batch or keeper is None:
            return None
        keeper.take(number, batch)
        # Nor is a SET answered before those that came before it.
        later = keeper.promise(number) if stepped or keeper.owes(number) else None
        if stepped:
            self._set_due(number)
            self._arm()
        if later is not None or keeper.many or not self._gathering:
            keeper.write()
        return later

    def _publish(self, number: int, batch: Pending) -> None:
        meter = self._meters[number]
        if meter is not None:
            meter.publish(batch)

    def _tell(self, trouble: str) -> None:
        """Have no clock set that could not be kept."""
        for meter in self._meters:
            if meter is not None:
                meter.unsafe = trouble


class _Seat:
    """What a meter knows of the fleet; smaller than two partials."""

    __slots__ = ("_fleet", "_kept", "_number", "_reads", "_store")

    def __init__(self, fleet: Fleet, store: FleetStore, reads: Reads, number: int, kept: bool) -> None:
        self._fleet = fleet
        self._store = store
        self._reads = reads
        self._number = number
        self._kept = kept  # whether the store may have rows of it

    def commit(self, batch: Pending) -> Later | None:
        return self._fleet.commit(self._number, batch)

    def make_log(self, setup: DataRecorderSetup) -> Log:
        place = Place(self._number, self._store.recorder(setup.name))
        log = FleetLog(self._store, place, RowFormat(len(setup.sources)), setup.depth, self._reads)
        if self._kept:
            log.attach()
        return log


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
