"""The ports that each model has, and what may be set on them: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from iondlms.errors import LocalError
from iondlms.ion.factory import model

__all__ = ["PORT_NAMES", "Port", "PortKind", "find_port", "ports_of"]

PortKind = Literal["serial", "optical", "modem", "ethernet"]

_ALL_BAUDS: Final = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
_FROM_2400: Final = tuple(baud for baud in _ALL_BAUDS if baud >= 2400)
_FRAMINGS: Final = ("8N1", "8N2", "8E1", "8E2", "8O1", "8O2")


@dataclass(frozen=True, slots=True)
class Port:
    """One port of a model: its defaults, and what the model offers on it."""

    name: str
    kind: PortKind
    unit_id: int
    baud: int = 0  # 0: the port has none
    bauds: tuple[int, ...] = ()
    framings: tuple[str, ...] = ()
    wires: tuple[str, ...] = ()  # of a serial port, the default first


def _serial(name: str, unit_id: int, baud: int, bauds: tuple[int, ...], *wires: str) -> Port:
    return Port(name, "serial", unit_id, baud, bauds, _FRAMINGS, wires)


def _of_8650(*more: Port) -> tuple[Port, ...]:
    return (
        _serial("COM1", 100, 9600, _ALL_BAUDS, "RS-232", "RS-485"),
        Port("COM2", "modem", 101, 9600, _ALL_BAUDS, _FRAMINGS),
        Port("COM3", "optical", 102, 9600, _ALL_BAUDS, _FRAMINGS),
        *more,
        _ETHERNET,
    )


_ETHERNET: Final = Port("ETHERNET", "ethernet", 100)

# COM3 and COM4 of the ION8650 and the ports of the ION9000 as the manufacturer's note has them, the rest
# inferred from the data sheets.
_PORTS: Final[dict[str, tuple[Port, ...]]] = {
    "ION8650": _of_8650(_serial("COM4", 103, 9600, _ALL_BAUDS, "RS-485")),
    "ION8800": _of_8650(),
    "ION9000": (
        _serial("COM1", 1, 19200, _FROM_2400, "RS-485"),
        _serial("COM4", 1, 19200, _FROM_2400, "RS-485"),
        _ETHERNET,
    ),
    "ION7400": (
        _serial("COM1", 1, 19200, _FROM_2400, "RS-485"),
        Port("COM2", "optical", 102, 9600, _FROM_2400, _FRAMINGS),
        _ETHERNET,
    ),
}
PORT_NAMES: Final = tuple(sorted({port.name for ports in _PORTS.values() for port in ports}))


def ports_of(model_name: str) -> tuple[Port, ...]:
    """Return the ports of a model; LocalError for an unknown one."""
    return _PORTS[model(model_name).name]


def find_port(model_name: str, name: str) -> Port:
    """Return a model's port by its name, in any case; LocalError naming those that the model has."""
    ports = ports_of(model_name)
    for port in ports:
        if port.name == name.upper():
            return port
    there = ", ".join(port.name for port in ports)
    raise LocalError(f"an {model(model_name).name} has no port {name}; it has {there}")
