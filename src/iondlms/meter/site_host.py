"""What `iondlms serve` runs: one meter with its ports, or many on shared lines; changed while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

from iondlms.errors import PortError
from iondlms.meter.config import Config
from iondlms.meter.host import MeterHost
from iondlms.meter.lines import MeterPort, make_line
from iondlms.meter.site import Site

__all__ = ["SiteHost", "serve"]

_LOG: Final = logging.getLogger("iondlms.meter.host")
# That write rows: a disk does little more at once, and a thousand meters need no thousand threads.
_WRITERS: Final = 4


class SiteHost:
    """Meters and their lines, open between `start` and `stop`; also an async context manager.

    LocalError for a configuration that contradicts itself. `utc_ms` is the instant to start at, None for the
    host's clock.
    """

    def __init__(self, config: Config | Site, *, utc_ms: int | None = None) -> None:
        self.config = config
        self.meters: list[MeterHost] = []
        self.lines: list[MeterPort] = []
        self._writers: ThreadPoolExecutor | None = None
        self._running = False
        self._applying = asyncio.Lock()
        if isinstance(config, Config):
            self.meters.append(MeterHost(config, utc_ms=utc_ms))
            return
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="iondlms-store")
        on_line: dict[str, dict[int, MeterHost]] = {line.name: {} for line in config.line}
        for line, each in config.meters():
            host = MeterHost(each, utc_ms=utc_ms, own_ports=False, writer=self._writers)
            on_line[line.name][each.port[0].unit_id] = host
            self.meters.append(host)
        for line in config.line:
            units = {unit_id: host.meter for unit_id, host in on_line[line.name].items()}
            self.lines.append(make_line(line, units))

    @property
    def ports(self) -> list[MeterPort]:
        """All that is open."""
        return [*self.lines, *(port for host in self.meters for port in host.ports)]

    async def start(self) -> None:
        """Take all lines, start the meters, answer; StoreError or PortError, and then nothing is open."""
        started: list[MeterHost] = []
        try:
            for line in self.lines:
                await line.bind()
            for host in self.meters:
                await host.start()
                started.append(host)
                await asyncio.sleep(0)  # many take seconds, and a signal to end is heard meanwhile
            for line in self.lines:
                await line.start()
        except BaseException:
            await self._close(started)
            raise
        self._running = True

    async def stop(self) -> None:
        """Close the lines, then stop the meters: what they have recorded is on the disk."""
        if self._running:
            self._running = False
            await self._close(self.meters)

    async def apply(self, config: Config | Site) -> list[str]:
        """Let ports answer or be silent as a newer configuration says; return what takes a restart."""
        async with self._applying:
            return await self._apply(config)

    async def _apply(self, config: Config | Site) -> list[str]:
        if isinstance(config, Config) and isinstance(self.config, Config):
            (host,) = self.meters
            before = {section.name: section for section in self.config.port}
            for section in config.port:
                was = before.get(section.name)
                if was is None:
                    continue  # a port more: a restart
                try:
                    await host.switch(section)
                except PortError as error:
                    _LOG.error("%s", error)
                if was.answers != section.answers:
                    state = "answers DLMS again" if section.answers else "is silent; what is connected stays"
                    _LOG.warning("%s %s", section.name, state)
        old, new = dict(_flat(self.config)), dict(_flat(config))
        self.config = config
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        return [key for key in changed if not (key in old and key in new and key.endswith(".protocol"))]

    async def __aenter__(self) -> Self:
        if not self._running:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _close(self, hosts: list[MeterHost]) -> None:
        for line in self.lines:
            await line.stop()
        for host in hosts:
            await host.stop()
        if self._writers is not None:
            self._writers.shutdown()


def _flat(config: Config | Site) -> Iterator[tuple[str, Any]]:
    """Return each key with its value, ports and lines by their names."""
    for section, value in config:
        if not isinstance(value, tuple):
            for key, one in value:
                yield f"{section}.{key}", one
            continue
        for index, entry in enumerate(value):
            place = getattr(entry, "name", index)
            for key, one in entry:
                yield f"{section}.{place}.{key}", one


async def serve(
    config: Config | Site | None = None, *, ready: Callable[[SiteHost], None] | None = None
) -> None:
    """Run meters until the task is cancelled; `ready` is called once their ports listen.

    StoreError or PortError if a folder or a port cannot be had.
    """
    async with SiteHost(Config() if config is None else config) as host:
        if ready is not None:
            ready(host)
        await asyncio.Event().wait()
