"""A running meter: the asyncio side of `Meter`. Ports, timers, its disk, a graceful stop.

A client sees a row only once it is on the disk, see `keeper.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from iondlms.errors import LocalError
from iondlms.ion.event_log import Priority
from iondlms.ion.source import Source
from iondlms.ion.state import Pending, Saved
from iondlms.later import Later
from iondlms.meter.config import Config, PortSection
from iondlms.meter.framework import framework_of
from iondlms.meter.keeper import Keeper
from iondlms.meter.kept import cleared
from iondlms.meter.lines import follow, make_port
from iondlms.meter.meter import Meter
from iondlms.meter.port_sections import DevicePort
from iondlms.meter.reload import Change
from iondlms.ports.loop import Alarm, over
from iondlms.sources import LiveSource
from iondlms.store import Store, StoreError

__all__ = ["MeterHost"]

_LOG: Final = logging.getLogger("iondlms.meter.host")
_RETRY_S: Final = 5.0  # after a failure: long enough not to fill the log, short against a period
_ANSWERS: Final = "answers DLMS again"
_SILENT: Final = "is silent; what is connected stays"
_CANCELS: Final = 3
_CANCEL_S: Final = 1.0  # for a source to close what it has open


class MeterHost:
    """One meter with its ports open, between `start` and `stop`; also an async context manager.

    `utc_ms` is the instant to start at, None for the host's clock; `speed` lets the meter's time run faster.
    Without `own_ports` it opens none: others bring its octets. A `writer` may be shared by many.
    """

    def __init__(
        self,
        config: Config,
        *,
        utc_ms: int | None = None,
        speed: float = 1.0,
        source: Source | None = None,
        own_ports: bool = True,
        writer: ThreadPoolExecutor | None = None,
    ) -> None:
        self._utc_ms = utc_ms
        self._year = datetime.fromtimestamp(self._present_ms() / 1000, UTC).year
        self.meter = Meter(
            config,
            start_year=self._year,
            source=source,
            commit=self._commit,
            speed=speed,
            keeps_state=config.meter.data is not None,
        )
        sections = [section for section in config.port if section.answers] if own_ports else []
        self.ports = [make_port(self.meter, section) for section in sections]
        self._sections: dict[str, PortSection] = {each.name: each for each in sections}  # as ports work now
        measured = self.meter.ion.power_meter.source
        self._live = measured if isinstance(measured, LiveSource) else None
        self._feeding: asyncio.Task[None] | None = None
        self._writer = writer
        self._keeper: Keeper | None = None
        self._running = False
        self._alarm = Alarm(self._wake)

    async def start(self) -> None:
        """Open the data folder, power the meter up, make its history, listen.

        StoreError or PortError if the folder or a port cannot be had; then nothing is open.
        """
        loop = asyncio.get_running_loop()
        folder = self.meter.config.meter.data
        saved = None
        if folder is not None:
            self._keeper = Keeper(self.meter, Store.open(folder), self._writer, self._log_event)
        try:
            if self._keeper is not None:
                saved = self._keeper.load()
                self._warn_of_clearing(saved)
                self._describe()
            for port in self.ports:
                await port.bind()
            self.meter.start(self._present_ms(), loop.time(), saved)
            if self._keeper is not None:
                self._keeper.serve()
            for port in self.ports:
                await port.start()
        except BaseException:
            await self._close()
            raise
        self._running = True
        self._arm()
        if self._live is not None:
            self._live.listen(self._log_event, self._before_change)
            self._feeding = loop.create_task(self._feed(self._live))

    def _warn_of_clearing(self, saved: Saved | None) -> None:
        """Say on stderr which rows the configuration clears, before they are gone."""
        if saved is None:
            return
        kept = saved.state.recorders
        counts = {name: kept[name].next_sequence - first for name, (first, _) in saved.rows.items()}
        for line in cleared(self.meter.ion.framework, saved.state, lambda name: counts.get(name, 0)):
            _LOG.warning("%s", line)

    async def stop(self) -> None:
        """Close the ports, power the meter down, and have everything on the disk."""
        if not self._running:
            return
        self._running = False
        self._alarm.cancel()
        await self._stop_feeding()
        for port in self.ports:
            await port.stop()
        await self.settled()
        if self._keeper is not None:
            self._keeper.end()
        try:
            with suppress(StoreError):  # then `finish` tries it again, and says so
                self.meter.power_down(asyncio.get_running_loop().time(), "the meter stops")
            if self._keeper is not None:
                self._keeper.finish()
        except StoreError as error:
            _LOG.error("%s; what was not written before is lost", error)
        await self._close()

    async def __aenter__(self) -> Self:
        if not self._running:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def settled(self) -> None:
        """Wait until all that the meter has recorded is written and can be read."""
        if self._keeper is not None:
            await self._keeper.settled()

    async def safe(self) -> None:
        """Wait until all that the meter has recorded until now is written; LocalError if it cannot be."""
        if self._keeper is None:
            return
        later = self._keeper.promise()
        await over(later)
        if later.error is not None:
            raise later.error

    async def switch(self, section: PortSection) -> list[str]:
        """Let a port answer or be silent, at the baud and framing that its section says now.

        Return what has changed, in words; PortError if it cannot be opened or set so. One that goes silent
        takes no new connection and leaves the open one; a serial one hears nothing.
        """
        port = next((port for port in self.ports if port.name == section.name), None)
        if port is None:
            if not section.answers:
                return []
            await self._open(section)
            return [_ANSWERS]
        changes: list[str] = []
        if port.enabled is not section.answers:
            port.enabled = section.answers
            changes.append(_ANSWERS if section.answers else _SILENT)
        works = self._sections[section.name]
        if isinstance(works, DevicePort) and isinstance(section, DevicePort) and not works.same_line(section):
            works = works.at_line(section)
            await follow(port, make_port(self.meter, works))
            self._sections[section.name] = works
            changes.append(f"works at {works.baud} baud, {works.framing} now; its links are over")
        return changes

    async def apply(self, config: Config, *, clearing: bool = False) -> list[Change]:
        """Change the modules of the running meter as a newer configuration says, see `Meter.apply`.

        LocalError if it has no power now; then nothing has changed.
        """
        await self.settled()  # what the disk is told of columns must go with the rows that have them
        if clearing:
            wanted = framework_of(config, self._year).data_recorders
            self._describe({each.name: each.sources for each in wanted})
        try:
            return self.meter.apply(config, asyncio.get_running_loop().time(), clearing=clearing)
        except LocalError:
            self._describe()
            raise
        finally:
            self.look_again()

    def _describe(self, sources: Mapping[str, tuple[str, ...]] | None = None) -> None:
        if self._keeper is not None:
            recorders = self.meter.ion.recorders.values()
            self._keeper.describe(sources or {each.name: each.setup.sources for each in recorders})

    async def _open(self, section: PortSection) -> None:
        port = make_port(self.meter, section)
        try:
            await port.bind()
            await port.start()
        except BaseException:
            await port.stop()  # what was bound is not kept from others
            raise
        self.ports.append(port)
        self._sections[section.name] = section

    def look_again(self) -> None:
        """Let happen what is due: something was done to the meter that moves its next deadline."""
        if self._running:
            self._advance()
            self._arm()

    @property
    def unwritten(self) -> int:
        """Rows that are not on the disk yet."""
        return 0 if self._keeper is None else self._keeper.unwritten

    def _present_ms(self) -> int:
        return time.time_ns() // 1_000_000 if self._utc_ms is None else self._utc_ms

    async def _close(self) -> None:
        for port in self.ports:
            await port.stop()
        if self._keeper is not None:
            await self._keeper.settled()  # one port may have listened before another failed
            self._keeper.end()
            self._keeper.close()

    # --- time -------------------------------------------------------------------------------------

    def _arm(self, after_s: float = 0.0) -> None:
        """Have a timer at the meter's next deadline, but not sooner; a clock that is set moves it.

        One that is there and comes too early is left as it is: it does nothing but look again.
        """
        deadline = self.meter.next_deadline() if self._running else None
        if deadline is not None and after_s:
            deadline = max(deadline, asyncio.get_running_loop().time() + after_s)
        if deadline is None:
            self._alarm.cancel()
        else:
            self._alarm.no_later(deadline)

    def _wake(self) -> None:
        self._arm(0.0 if self._advance() else _RETRY_S)

    def _advance(self) -> bool:
        """Let happen what is due; return whether it could. What fails is logged and tried again."""
        try:
            self.meter.advance(asyncio.get_running_loop().time())
        except Exception:
            # The source is perhaps a user's own function: its bug must not stop the meter's time for good.
            _LOG.exception("the meter failed; it goes on")
            return False
        return True

    # --- a live source ----------------------------------------------------------------------------

    async def _feed(self, source: LiveSource) -> None:
        """Keep a live source running until cancelled; it should neither end nor fail by itself."""
        told = False
        task = asyncio.current_task()
        while task is None or not task.cancelling():  # it may have made an error of it
            try:
                await source.run()
            except Exception as error:
                _LOG.exception("the source failed; it is started again in %g s", _RETRY_S)
                effect = f"failed: {error}"
            else:
                _LOG.error("the source has ended; it is started again in %g s", _RETRY_S)
                effect = "ended"
            if not told:
                told = True  # one that fails each time must not push all else out of the event log
                self._log_event(Priority.WARNING, "Source", effect)
            await asyncio.sleep(_RETRY_S)

    async def _stop_feeding(self) -> None:
        """Cancel the source; again if it swallows that, and in the end without it."""
        task, self._feeding = self._feeding, None
        for _ in range(_CANCELS):
            if task is None or task.done():
                return
            task.cancel()
            await asyncio.wait((task,), timeout=_CANCEL_S)
        if task is not None and not task.done():
            _LOG.error("the source does not end; the meter stops without it")

    def _before_change(self) -> None:
        """Bring the meter up to now on the values that were true until now."""
        self._advance()

    def _log_event(self, priority: int, cause: str, effect: str) -> None:
        self.meter.log_event(priority, cause, effect, asyncio.get_running_loop().time())
        self._advance()

    # --- the store --------------------------------------------------------------------------------

    def _commit(self, batch: Pending) -> Later | None:
        """Take a batch from the meter; return what is over once it is safe.

        StoreError if it cannot be kept, and the meter does not serve yet or any more.
        """
        keeper = self._keeper
        if keeper is None:
            self.meter.publish(batch)
            later = None
        else:
            keeper.take(batch)
            later = keeper.promise()
        if self._running:
            self._arm()
        return later
