"""The disk of a running meter: what it hands over is written in order, and shown to readers once it is safe.

One thread writes, so no disk ever holds the event loop; nothing here is written by the loop's own thread
while the meter serves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from iondlms.errors import DlmsError, LocalError
from iondlms.ion.event_log import Event, Priority
from iondlms.ion.state import Pending, Saved
from iondlms.later import Later
from iondlms.meter.meter import Meter
from iondlms.store import Store, StoreError

__all__ = ["Keeper"]

_LOG: Final = logging.getLogger("iondlms.meter.host")
_RETRY_S: Final = 5.0  # after a failed write: long enough not to fill the log, short against a period


@dataclass(slots=True)
class _Writing:
    """What the thread is at."""

    job: Future[None]
    batch: Pending
    promises: list[Later]
    over: asyncio.Future[None]  # done when that was seen to


class Keeper:
    """Takes the batches of one meter. A `writer` may be shared by many; else it has its own."""

    def __init__(
        self,
        meter: Meter,
        store: Store,
        writer: ThreadPoolExecutor | None,
        tell: Callable[[int, str, str], None],
    ) -> None:
        """`tell` takes an event of the disk: priority, cause, effect."""
        self._meter = meter
        self._store = store
        self._shared = writer is not None
        self._writer = writer or ThreadPoolExecutor(1, thread_name_prefix="iondlms-store")
        self._tell = tell
        self._serving = False
        self._writing: _Writing | None = None
        self._waiting: Pending | None = None  # batches that came while one is being written
        self._promises: list[Later] = []  # of what waits
        self._failing = False
        self._again: asyncio.TimerHandle | None = None

    # --- before and after the meter serves ----------------------------------------------------------

    def load(self) -> Saved | None:
        """Return what was kept, None if the folder is new; StoreError if it contradicts itself."""
        return self._store.load()

    def serve(self) -> None:
        """Let nobody wait for the disk from now on."""
        self._serving = True

    def end(self) -> None:
        """Wait for the disk again: what comes now comes after all that was served."""
        self._serving = False
        if self._again is not None:
            self._again.cancel()

    def finish(self) -> None:
        """Write what could not be written before; StoreError if it still cannot be."""
        if self._waiting is not None:
            self._store.write(self._waiting)

    def close(self) -> None:
        """Close the data folder."""
        if not self._shared:
            self._writer.shutdown()
        self._store.close()

    def describe(self, sources: Mapping[str, tuple[str, ...]]) -> None:
        """Tell the names of each recorder's sources; the disk has them with the next batch."""
        self._store.describe(sources)

    # --- batches ------------------------------------------------------------------------------------

    def take(self, batch: Pending) -> None:
        """Take a batch from the meter: it is published once it is on the disk.

        StoreError if it cannot be kept and nobody is served meanwhile, so that the disk may be waited for.
        """
        if not self._serving and self._writing is None and self._waiting is None:
            try:
                self._store.write(batch)
            except StoreError:
                # `finish` tries again: what follows it must not be kept without it.
                self._waiting, self._failing = batch, True
                raise
            self._meter.publish(batch)
        elif self._writing is None and not self._failing:
            self._write(batch)
        else:
            self._wait_with(batch)

    def promise(self) -> Later:
        """Return what is over once all that was taken until now is on the disk, or cannot be written now."""
        later = Later()
        if self._failing:
            later.settle(StoreError(self._meter.unsafe))
        elif self._waiting is not None:
            self._promises.append(later)
        elif self._writing is not None:
            self._writing.promises.append(later)
        else:
            later.settle()
        return later

    async def settled(self) -> None:
        """Wait until all that the meter has recorded is written and can be read, or could not be."""
        while self._writing is not None:
            await self._writing.over

    @property
    def unwritten(self) -> int:
        """Rows that are not on the disk yet."""
        batches = (self._waiting, None if self._writing is None else self._writing.batch)
        rows = [new for batch in batches if batch is not None for new in batch.rows.values()]
        return sum(new.end - new.first for new in rows)

    # --- the thread ---------------------------------------------------------------------------------

    def _write(self, batch: Pending) -> None:
        loop = asyncio.get_running_loop()
        job = self._writer.submit(self._store.write, batch)
        promises, self._promises = self._promises, []
        self._writing = _Writing(job, batch, promises, loop.create_future())
        asyncio.wrap_future(job).add_done_callback(self._after_write)

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._write(waiting)

    def _after_write(self, told: asyncio.Future[None]) -> None:
        error = told.exception()
        writing, self._writing = self._writing, None
        if writing is None:
            return
        if error is None:
            again, self._failing, self._meter.unsafe = self._failing, False, ""
            try:
                # But for the events that were shown without it.
                self._meter.publish(replace(writing.batch, events=self._unseen(writing.batch)))
            except Exception:  # a bug of ours; what comes is written all the same
                _LOG.exception("what is on the disk cannot be shown")
            self._write_waiting()
            for promise in writing.promises:
                promise.settle()
            if again:
                _LOG.warning("the data folder can be written again")
                self._say(Priority.INFORMATION, "can be written again")
        else:
            if not isinstance(error, DlmsError):
                _LOG.error("writing the data folder failed", exc_info=error)
            self._keep_trying(error, writing)
        writing.over.set_result(None)

    def _keep_trying(self, error: BaseException, writing: _Writing) -> None:
        """Keep what could not be written, and go on answering without it."""
        first, self._failing, self._meter.unsafe = not self._failing, True, str(error)
        batch, later = writing.batch, self._waiting
        if later is not None:
            batch.merge(later)
        self._waiting = None
        self._wait_with(batch)
        if first:
            _LOG.error("%s; the meter goes on and tries again", error)
            self._say(Priority.FAILURE, str(error))
        if self._serving:
            self._again = asyncio.get_running_loop().call_later(_RETRY_S, self._retry)
        failed = error if isinstance(error, LocalError) else StoreError(str(error))
        promises, self._promises = [*writing.promises, *self._promises], []
        for promise in promises:
            promise.settle(failed)

    def _wait_with(self, batch: Pending) -> None:
        """Have a batch written later."""
        if self._failing:
            # Rows may not be seen before they are safe; that nothing is safe must be.
            self._meter.ion.event_log.publish(self._unseen(batch))
        if self._waiting is None:
            self._waiting = batch
        else:
            self._waiting.merge(batch)

    def _unseen(self, batch: Pending) -> list[Event]:
        """Return the events of a batch that are not in the event log yet."""
        log = self._meter.ion.event_log.events
        return [event for event in batch.events if not log or event.sequence > log[-1].sequence]

    def _retry(self) -> None:
        self._again = None
        if self._serving and self._writing is None:  # else `finish` sees to what waits
            self._write_waiting()

    def _say(self, priority: Priority, effect: str) -> None:
        if self._serving:
            self._tell(priority, "Data folder", effect)
