"""What `iondlms serve` runs: one meter with its ports, or many on shared lines; changed while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

from iondlms.errors import LocalError, PortError
from iondlms.meter.config import Config, MeterSection
from iondlms.meter.host import MeterHost
from iondlms.meter.lines import MeterPort, follow, make_line, notes_of
from iondlms.meter.meter import Meter
from iondlms.meter.port_sections import DevicePort
from iondlms.meter.reload import FRAMEWORK_SECTIONS
from iondlms.meter.site import LineSection, ModemLine, Rs485Line, Site

__all__ = ["SiteHost", "serve"]

_LOG: Final = logging.getLogger("iondlms.meter.host")
# That write rows: a disk does little more at once, and a thousand meters need no thousand threads.
_WRITERS: Final = 4
_DEVICES: Final = (Rs485Line, ModemLine)
_OF_LINE: Final = ("baud", "framing")  # what a port that is open can be set to


class SiteHost:
    """Meters and their lines, open between `start` and `stop`; also an async context manager.

    LocalError for a configuration that contradicts itself. `utc_ms` is the instant to start at, None for the
    host's clock.
    """

    def __init__(self, config: Config | Site, *, utc_ms: int | None = None) -> None:
        self.config = config  # as it was at the start: what takes a restart runs as it says
        self.meters: list[MeterHost] = []
        self.lines: list[MeterPort] = []
        self._works: dict[str, tuple[LineSection, dict[int, Meter]]] = {}  # lines as they work now
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
            self._works[line.name] = line, units

    @property
    def ports(self) -> list[MeterPort]:
        """All that is open."""
        return [*self.lines, *(port for host in self.meters for port in host.ports)]

    @property
    def titles(self) -> list[str]:
        """The owner and tag texts of the Factory modules, a line for each meter or row of meters with any."""
        if isinstance(self.config, Config):
            serial = self.meters[0].meter.ion.framework.factory.serial_number
            named = [(f"{self.config.meter.model} {serial}", self.config.meter)]
        else:
            named = [(f"{member.line} {_span(member.unit_ids)}", member) for member in self.config.meter]
        return [f"{name}: {texts}" for name, section in named if (texts := _texts(section))]

    async def start(self) -> None:
        """Take all lines, start the meters, answer; StoreError or PortError, and then nothing is open."""
        started: list[MeterHost] = []
        for note in notes_of(self.config):
            _LOG.warning("%s", note)
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

    async def apply(self, config: Config | Site, *, clearing: bool = False) -> list[str]:
        """Do what a newer configuration says: switch ports, set baud and framing, change the modules.

        What clears a recorder, or moves a clock, a register or a timer, only with `clearing`. Return a line
        for each change of the modules, made or waiting, and for each key whose change takes a restart.
        """
        async with self._applying:
            told = await self._change_modules(config, clearing)
            return told + [f"{key} has changed: that takes a restart" for key in await self._apply(config)]

    async def _change_modules(self, config: Config | Site, clearing: bool) -> list[str]:
        """Change the modules of all meters that are in both configurations; many alike are one line."""
        configs = [config] if isinstance(config, Config) else [each for _, each in config.meters()]
        wanted = {_address(each): each for each in configs}
        told: dict[str, int] = {}
        for host in self.meters:
            mine = wanted.get(_address(host.meter.config))
            if mine is None:
                continue
            try:
                lines = [str(change) for change in await host.apply(mine, clearing=clearing)]
            except LocalError as error:
                lines = [f"the modules stay as they were: {error}"]
            for line in lines:
                told[line] = told.get(line, 0) + 1
        return [line if count == 1 else f"{line} ({count} meters)" for line, count in told.items()]

    async def _apply(self, config: Config | Site) -> list[str]:
        """Change the ports; return the keys of what takes a restart."""
        if isinstance(config, Config) and isinstance(self.config, Config):
            (host,) = self.meters
            names = {section.name for section in self.config.port}
            for section in config.port:
                if section.name not in names:
                    continue  # a port more: a restart
                try:
                    for change in await host.switch(section):
                        _LOG.warning("%s %s", section.name, change)
                except PortError as error:
                    _LOG.error("%s", error)
        elif isinstance(config, Site) and isinstance(self.config, Site):
            for line in config.line:
                try:
                    await self._set_line(line)
                except PortError as error:
                    _LOG.error("%s", error)
        # Not with the file as it was last time: what waited then waits still, and may have been taken back.
        old, new = dict(_flat(self.config)), dict(_flat(config))
        live = _live(self.config) & _live(config)
        return sorted(
            key
            for key in (old.keys() | new.keys()) - live
            if old.get(key) != new.get(key) and not _of_modules(key)
        )

    async def _set_line(self, line: LineSection) -> None:
        """Set an open line to the baud and framing that its section says now."""
        works, units = self._works.get(line.name, (None, {}))
        if not isinstance(works, _DEVICES) or not isinstance(line, _DEVICES):
            return
        if (works.baud, works.framing) == (line.baud, line.framing):
            return
        works = works.model_copy(update={"baud": line.baud, "framing": line.framing})
        (port,) = [port for port in self.lines if port.name == line.name]
        await follow(port, make_line(works, units))
        self._works[line.name] = works, units
        _LOG.warning("%s works at %d baud, %s now; its links are over", line.name, line.baud, line.framing)

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


def _span(unit_ids: range) -> str:
    return str(unit_ids[0]) if len(unit_ids) == 1 else f"{unit_ids[0]} to {unit_ids[-1]}"


def _texts(section: MeterSection) -> str:
    named = {"owner": section.owner, "tag 1": section.tag_1, "tag 2": section.tag_2}
    return ", ".join(f"{name} {' '.join(text.split())}" for name, text in named.items() if text.strip())


def _address(config: Config) -> tuple[str, int]:
    """Return what tells a meter from the others of its site; one alone has the ports it has."""
    (port, *more) = config.port
    device = getattr(port, "device", "")
    return (device, port.unit_id) if not more and device.startswith("line:") else ("", 0)


def _of_modules(key: str) -> bool:
    return key.split(".")[0] in FRAMEWORK_SECTIONS or key.endswith(".default_framework")


def _live(config: Config | Site) -> set[str]:
    """Return the keys that take no restart."""
    if isinstance(config, Site):
        lines = [line.name for line in config.line if isinstance(line, _DEVICES)]
        return {f"line.{name}.{key}" for name in lines for key in _OF_LINE}
    devices = [port.name for port in config.port if isinstance(port, DevicePort)]
    return {f"port.{port.name}.protocol" for port in config.port} | {
        f"port.{name}.{key}" for name in devices for key in _OF_LINE
    }


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
