"""A fleet where clients find it: a TCP port for each meter, or one TCP line with a Unit ID for each."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from iondlms.errors import DlmsError, LocalError
from iondlms.meter.config import Config
from iondlms.meter.fleet import Fleet
from iondlms.meter.port_sections import EthernetSection
from iondlms.ports.bus import BusEndpoint, Station
from iondlms.ports.endpoint import Endpoint
from iondlms.ports.loop import settle
from iondlms.ports.many import ManyTcpPorts
from iondlms.ports.tcp import TcpPort

__all__ = ["FleetHost", "Member"]

_LOG: Final = logging.getLogger("iondlms.meter.fleet")
_MOST_UNITS: Final = 9999


class Member(NamedTuple):
    """One meter as a client or an inventory knows it."""

    url: str
    unit: int
    serial: str
    logical_device_name: str


class FleetHost:
    """A fleet with its ports open between `start` and `stop`; also an async context manager.

    HOST:PORT of the configuration's Ethernet port is that of the first meter, and the others have the ports
    that follow; with `line` all are on that one, with the Unit IDs from 1 on.
    """

    def __init__(
        self,
        config: Config,
        count: int,
        *,
        line: bool = False,
        utc_ms: int | None = None,
        speed: float = 1.0,
        told: Callable[[int], None] | None = None,
    ) -> None:
        """With `told` all meters are made before `start` is over, and it is called with how many are.

        Without, one that has history is made when somebody first asks it.
        """
        section = next((port for port in config.port if isinstance(port, EthernetSection)), None)
        if section is None:
            raise LocalError("port: a fleet's meters are asked over TCP; let [port.ETHERNET] be there")
        if line and count > _MOST_UNITS:
            raise LocalError(f"{count} meters on one line; there are {_MOST_UNITS} Unit IDs")
        self.fleet = Fleet(config, count, utc_ms=utc_ms, speed=speed)
        self._section = section
        self._told = told
        self._ports: ManyTcpPorts | None = None
        self._line: TcpPort | None = None
        if line:
            self._line = TcpPort("line", *section.address, self._bus)
        else:
            self._ports = ManyTcpPorts(*section.address, count, self._endpoint, slow=self._is_slow)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return bool(self._line and self._line.connected) if self._ports is None else self._ports.connections

    def members(self) -> Iterator[Member]:
        """Yield the meters, once their ports are bound."""
        for number in range(len(self.fleet)):
            if self._ports is not None:
                url, unit = self._ports.url(number), self._section.unit_id
            else:
                url, unit = "" if self._line is None else self._line.url, number + 1
            yield Member(url, unit, self.fleet.serial(number), self.fleet.logical_device_name(number))

    def write_inventory(self, path: Path) -> None:
        """Write the meters as CSV: url, unit, serial, logical device name; LocalError if it cannot be."""
        try:
            with path.open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(Member._fields)
                rows.writerows(self.members())
        except OSError as error:
            raise LocalError(f"the inventory {path} cannot be written: {error.strerror}") from error

    async def start(self) -> None:
        """Take the addresses, start the meters, answer; LocalError or PortError, and then nothing is open."""
        port = self._ports or self._line
        if port is None:
            return
        await port.bind()
        try:
            await self.fleet.start()
            if self._told is not None:
                await self._make_all(self._told)
            await port.start()
        except BaseException:
            await port.stop()
            await self.fleet.stop()
            raise

    async def stop(self) -> None:
        """Close the ports, then stop the meters."""
        port = self._ports or self._line
        if port is not None:
            await port.stop()
        await self.fleet.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _make_all(self, told: Callable[[int], None]) -> None:
        for number in range(len(self.fleet)):
            if not self.fleet.is_made(number):
                self.fleet.meter(number)
                await self.fleet.settled()  # a signal to end is heard meanwhile
            told(number + 1)
        settle()

    def _is_slow(self, number: int) -> bool:
        return not self.fleet.is_made(number)

    def _endpoint(self, number: int, now: float) -> Endpoint | None:
        try:
            return self.fleet.endpoint(number, self._section, now)
        except DlmsError as error:
            _LOG.error("meter %d cannot be had: %s", number, error)
            return None

    def _bus(self, now: float) -> Endpoint:
        section = self._section
        stations = _Stations(len(self.fleet), self._station)
        return BusEndpoint(stations, now, rx_timeout_s=section.rx_timeout, inactivity_s=section.inactivity)

    def _station(self, unit_id: int, now: float) -> Station:
        section = self._section.model_copy(update={"unit_id": unit_id, "framing": "hdlc"})
        return self.fleet.endpoint(unit_id - 1, section, now)


class _Stations(Mapping[int, Callable[[float], Station]]):
    """What makes the endpoint of a Unit ID, made when it is asked for: ten thousand would be 2 MB."""

    def __init__(self, count: int, make: Callable[[int, float], Station]) -> None:
        self._count = count
        self._make = make

    def __getitem__(self, unit_id: int) -> Callable[[float], Station]:
        if not 1 <= unit_id <= self._count:
            raise KeyError(unit_id)
        return lambda now: self._make(unit_id, now)

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, self._count + 1))

    def __len__(self) -> int:
        return self._count
