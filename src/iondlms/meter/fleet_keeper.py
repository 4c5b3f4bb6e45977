"""The store of a fleet, off the event loop: a thread that writes, and one that reads what is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

from iondlms.errors import LocalError
from iondlms.ion import Pending
from iondlms.later import Later
from iondlms.store import FleetStore, StoreError

__all__ = ["AT_ONCE", "FleetKeeper"]

_LOG: Final = logging.getLogger("iondlms.meter.fleet")
AT_ONCE: Final = 1000  # meters written in one transaction, some 20 ms: a clock that is set waits for two
_RETRY_S: Final = 5.0
_T = TypeVar("_T")


class _Promise(NamedTuple):
    later: Later
    patient: bool  # a disk that takes nothing now is waited for


class _Writing(NamedTuple):
    job: Future[None]
    batches: dict[int, Pending]
    promises: dict[int, list[_Promise]]


class FleetKeeper:
    """Batches by the number of their meter, written in order; made and used in the event loop's thread.

    `publish` takes a number and a batch once that is written; `tell` why nothing can be written now, and ""
    once it can be again.
    """

    def __init__(
        self,
        store: FleetStore,
        publish: Callable[[int, Pending], None],
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.failing = False
        self.trouble = ""  # why nothing can be written; while it is tried again too
        self._publish = publish
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="iondlms-store")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="iondlms-read")
        self._waiting: dict[int, Pending] = {}
        self._promises: dict[int, list[_Promise]] = {}  # of what waits
        self._writing: _Writing | None = None
        self._again: asyncio.TimerHandle | None = None
        self._closing = False
        self._idle = asyncio.Event()  # nothing waits to be written
        self._idle.set()

    # --- what is written ----------------------------------------------------------------------------

    def take(self, number: int, batch: Pending) -> None:
        """Take a batch; `write` has it written."""
        there = self._waiting.get(number)
        if there is None:
            self._waiting[number] = batch
        else:
            there.merge(batch)
        self._idle.clear()

    def promise(self, number: int, *, patient: bool = False) -> Later:
        """Return what is over once all that was taken of a meter until now is written.

        Or cannot be, unless it is `patient`: that waits until it can.
        """
        later = Later()
        if self.failing and not patient:
            later.settle(StoreError(self.trouble))
        elif number in self._waiting:
            self._promises.setdefault(number, []).append(_Promise(later, patient))
        elif self._writing is not None and number in self._writing.batches:
            self._writing.promises.setdefault(number, []).append(_Promise(later, patient))
        else:
            later.settle()
        return later

    def owes(self, number: int) -> bool:
        """Whether somebody waits for a batch of this meter."""
        return number in self._promises or (self._writing is not None and number in self._writing.promises)

    @property
    def many(self) -> bool:
        """Whether as many wait as are written at once."""
        return len(self._waiting) >= AT_ONCE

    def write(self) -> None:
        """Have the writer take some of what waits, if it is free."""
        if self._writing is not None or self.failing:
            return
        if not self._waiting:
            self._idle.set()
            return
        batches = self._waiting
        if len(batches) > AT_ONCE:
            # Those first for whom somebody waits.
            numbers = [*dict.fromkeys((*self._promises, *self._waiting))][:AT_ONCE]
            batches = {number: self._waiting[number] for number in numbers}
        self._waiting = {number: each for number, each in self._waiting.items() if number not in batches}
        promises = {number: self._promises.pop(number) for number in batches if number in self._promises}
        job = self._writer.submit(self.store.write, batches)
        self._writing = _Writing(job, batches, promises)
        job.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._after_write))

    async def room(self) -> None:
        """Wait while so much waits that it would fill the memory."""
        if self._writing is not None and self.many:
            await asyncio.wait((asyncio.wrap_future(self._writing.job),))

    async def settled(self) -> None:
        """Wait until all that was taken is written and can be read, or cannot be written."""
        self.write()
        if not self.failing:
            await self._idle.wait()

    async def close(self, *, lasting: bool) -> None:
        """Write all that waits, if it is to last, and close the store."""
        self._closing = True
        # The loop waits for neither thread. What is being read ends, and what is not yet is for nobody.
        self._reader.shutdown(wait=False, cancel_futures=True)
        if self._again is not None:
            self._again.cancel()
        self.failing = False  # once more, before all ends
        if lasting:
            await self.settled()
        else:
            self._waiting.clear()
        while self._writing is not None:
            await asyncio.wait((asyncio.wrap_future(self._writing.job),))
            await asyncio.sleep(0)
        if self._again is not None:
            self._again.cancel()
        if self._waiting and lasting:
            _LOG.error("%s; what was not written before is lost", self.trouble)
        self._give_up()
        try:
            await asyncio.to_thread(self._reader.shutdown)
            await asyncio.wrap_future(self._writer.submit(self.store.close))
        finally:
            self._reader.shutdown()
            self._writer.shutdown()

    def _give_up(self) -> None:
        """Write nothing any more, and let nobody wait for it."""
        self.failing, self.trouble = True, self.trouble or "the store is closed"
        promised, self._promises = self._promises, {}
        for promises in promised.values():
            for promise in promises:
                promise.later.settle(StoreError(self.trouble))

    def _after_write(self) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        error = writing.job.exception()
        if error is not None:
            if not self.trouble and not self._closing:  # it is told once
                _LOG.error("%s; the meters go on and try again", error)
            self._try_later(writing, error)
            return
        if self.trouble:
            _LOG.warning("the store can be written again")
            self.trouble = ""
            self._tell("")
        for number, batch in writing.batches.items():
            try:
                self._publish(number, batch)
            except Exception:  # a bug of ours in one meter must not keep the rows of all the others
                _LOG.exception("rows of meter %d are written and cannot be shown", number)
        self.write()
        for promises in writing.promises.values():
            for promise in promises:
                promise.later.settle()

    def _try_later(self, writing: _Writing, error: BaseException) -> None:
        """Keep what could not be written before what came meanwhile."""
        batches = writing.batches
        for number, batch in self._waiting.items():
            if number in batches:
                batches[number].merge(batch)
            else:
                batches[number] = batch
        self._waiting = batches
        self.failing, self.trouble = True, str(error)
        self._tell(self.trouble)
        self._idle.set()
        self._again = self._loop.call_later(_RETRY_S, self.retry)
        failed = error if isinstance(error, LocalError) else StoreError(str(error))
        promised, self._promises = (*writing.promises.items(), *self._promises.items()), {}
        told = []
        for number, promises in promised:
            for promise in promises:
                if promise.patient:
                    self._promises.setdefault(number, []).append(promise)
                else:
                    told.append(promise.later)
        for later in told:
            later.settle(failed)

    def retry(self) -> None:
        """Try again what could not be written."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self.failing = False
        self._idle.clear()
        self.write()

    # --- what is read -------------------------------------------------------------------------------

    def read(self, job: Callable[[], _T], take: Callable[[_T], None]) -> Later:
        """Do a job in the reader's thread and give what it returns to `take`; over then, or failed."""
        later = Later()

        def done(read: Future[Any]) -> None:
            try:
                take(read.result())
            except CancelledError:
                later.settle(StoreError("the store is closed"))
            except LocalError as error:
                later.settle(error)
            except Exception as error:
                _LOG.exception("reading the store failed")
                later.settle(StoreError(str(error)))
            else:
                later.settle()

        self._reader.submit(job).add_done_callback(lambda read: self._loop.call_soon_threadsafe(done, read))
        return later
