"""What carries octets: from the section of a port or a shared line to a port of `ports/`, not open yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from iondlms.errors import LocalError
from iondlms.meter.config import Config
from iondlms.meter.meter import Meter
from iondlms.meter.port_sections import (
    Calls,
    DevicePort,
    EthernetSection,
    ModemSection,
    OpticalSection,
    PortSection,
    SerialFraming,
    SerialLine,
    SerialSection,
)
from iondlms.meter.site import LineSection, ModemLine, Rs485Line, Site, TcpLine
from iondlms.meter.tap import Tap
from iondlms.ports.bus import BusEndpoint, Station
from iondlms.ports.endpoint import Endpoint
from iondlms.ports.modem import ModemEndpoint, ModemSetup
from iondlms.ports.optical import SignOnEndpoint, SignOnSetup
from iondlms.ports.serial import Handshake, LineSettings
from iondlms.ports.serial_port import SerialPort
from iondlms.ports.sign_on import Identification
from iondlms.ports.tcp import TcpPort

__all__ = ["MeterPort", "follow", "make_line", "make_port", "notes_of"]

MakeEndpoint = Callable[[float], Endpoint]
_DAY_MIN: Final = 24 * 60
_MINUTE_MS: Final = 60_000


class MeterPort(Protocol):
    """A port of a meter, or a line that several meters share."""

    name: str
    enabled: bool  # off: refuses or does not hear what is new, and leaves what is open

    @property
    def url(self) -> str:
        """Where a client finds it."""

    async def bind(self) -> None:
        """Take the address or the device; PortError if it cannot be had."""

    async def start(self) -> None:
        """Answer from now on."""

    async def stop(self) -> None:
        """Let the answer under way go out, and close."""


class _DevicePort(SerialPort):
    """A serial port that tells where a client finds the meter, not only the device."""

    def __init__(self, name: str, settings: LineSettings, make_endpoint: MakeEndpoint, url: str) -> None:
        super().__init__(name, settings, make_endpoint)
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    async def follow(self, other: _DevicePort) -> None:
        """Take the baud and framing of a port that was made for the same device, and is not open."""
        await self.change(other.settings.baud, other.settings.framing, other._make_endpoint)
        self._url = other.url


async def follow(port: MeterPort, other: MeterPort) -> None:
    """Set an open port to baud and framing of one made for the same device; PortError if that refuses."""
    if isinstance(port, _DevicePort) and isinstance(other, _DevicePort):
        await port.follow(other)


def make_port(meter: Meter, section: PortSection) -> MeterPort:
    """Return the port of a section; LocalError for what its device cannot be."""

    tap = _tap(
        section.name,
        {section.unit_id: meter},
        lambda: Tap(
            section.name,
            {section.unit_id: meter.faults},
            lambda now: meter.endpoint(section, now),
            framing=section.link,
            rx_timeout_s=section.rx_timeout,
        ),
    )
    make = tap.make
    if isinstance(section, EthernetSection):
        return TcpPort(section.name, *section.address, tap.admit)
    if not isinstance(section, DevicePort):
        raise LocalError(f"{section.name} is a port of no known kind")
    handshake: Handshake = "none"
    rs485 = bias = False
    outer: MakeEndpoint = make
    if isinstance(section, SerialSection):
        handshake = "rts_delay" if section.direction == "rts" else section.rts
        rs485, bias = section.direction == "driver", section.bias
    elif isinstance(section, OpticalSection) and section.sign_on:
        factory = meter.config.meter
        identification = Identification(factory.manufacturer, section.baud, factory.model)
        setup = SignOnSetup(identification, str(section.unit_id), inactivity_s=section.inactivity)
        outer = _behind_sign_on(setup, make)
    elif isinstance(section, ModemSection):
        handshake = section.rts
        outer = _behind_modem(section, section.baud, make, meter)
    settings = _settings(section, section.baud, section.framing, handshake, rs485=rs485, bias=bias)
    return _DevicePort(section.name, settings, outer, section.url)


def make_line(line: LineSection, meters: Mapping[int, Meter]) -> MeterPort:
    """Return the port of a line that meters share, by Unit ID; LocalError for what its device cannot be."""
    makers = {unit_id: _station_of(meter) for unit_id, meter in meters.items()}

    tap = _tap(
        line.name,
        meters,
        lambda: Tap(
            line.name,
            {unit_id: meter.faults for unit_id, meter in meters.items()},
            lambda now: BusEndpoint(makers, now, rx_timeout_s=line.rx_timeout, inactivity_s=line.inactivity),
            also={meter.config.port[0].name for meter in meters.values()},
            rx_timeout_s=line.rx_timeout,
            shared=True,
        ),
    )
    make = tap.make
    if isinstance(line, Rs485Line):
        handshake: Handshake = "rts_delay" if line.direction == "rts" else "none"
        driver = line.direction == "driver"
        settings = _settings(line, line.baud, line.framing, handshake, rs485=driver, bias=line.bias)
        return _DevicePort(line.name, settings, make, line.url)
    if isinstance(line, ModemLine):
        # The modem is that of the first meter, and so are its answer hours.
        outer = _behind_modem(line, line.baud, make, next(iter(meters.values())))
        return _DevicePort(line.name, _settings(line, line.baud, line.framing, line.rts), outer, line.url)
    if isinstance(line, TcpLine):
        return TcpPort(line.name, *line.address, tap.admit)
    raise LocalError(f"{line.name} is a line of no known kind")


def notes_of(config: Config | Site) -> list[str]:
    """Return what is asked of the lines and is nobody's here to do, a line each that begins with the key."""
    sections: list[tuple[str, object]]
    if isinstance(config, Config):
        sections = [(f"port.{port.name}", port) for port in config.port if port.answers]
    else:
        sections = [(f"line.{line.name}", line) for line in config.line]
    # The meter has the resistors itself. Linux has no call for them, and a USB adapter has jumpers.
    return [
        f"{place}.bias: the line's bias resistors are the adapter's: fit or set them there"
        for place, section in sections
        if isinstance(section, SerialSection | Rs485Line) and section.bias
    ]


def _tap(name: str, meters: Mapping[int, Meter], make: Callable[[], Tap]) -> Tap:
    """Return the tap of a port: one that is set up anew goes on counting, and keeps its faults."""
    there = next(iter(meters.values())).faults.taps
    found = next((tap for tap in there if isinstance(tap, Tap) and tap.name == name), None)
    return make() if found is None else found


def _station_of(meter: Meter) -> Callable[[float], Station]:
    return lambda now: meter.endpoint(now=now)


def _settings(
    line: SerialLine,
    baud: int,
    framing: SerialFraming,
    handshake: Handshake,
    *,
    rs485: bool = False,
    bias: bool = False,
) -> LineSettings:
    return LineSettings(
        line.device, baud, framing, handshake, line.transmit_delay, rs485=rs485, bias=bias, echo=line.echo
    )


def _behind_sign_on(setup: SignOnSetup, make: MakeEndpoint) -> MakeEndpoint:
    return lambda now: SignOnEndpoint(make, setup)  # noqa: ARG005  # its time begins with the first octet


def _behind_modem(calls: Calls, baud: int, make: MakeEndpoint, meter: Meter) -> MakeEndpoint:
    hours = calls.hours
    setup = ModemSetup(calls.init, baud, answer_s=calls.answer_timeout)

    def rings(now: float) -> int:
        clock = meter.ion.clock
        minute = clock.local_ms(meter.present_ms(now)) // _MINUTE_MS % _DAY_MIN
        return hours.rings(minute)

    return lambda now: ModemEndpoint(make, setup, now, rings)
