"""`[[port]]`: the ports of one meter, as its model has them. Each kind of port has its own keys.

What may stand there, and what stands there if nothing is given, is in the model's table (`ion/ports.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar
from urllib.parse import quote

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from iondlms.errors import LocalError
from iondlms.ion.ports import Port, PortKind, find_port
from iondlms.meter.section import Seconds, Section, Switch, fault, together
from iondlms.ports.echo import EchoMode
from iondlms.ports.modem import AnswerHours, ModemSetup
from iondlms.ports.sign_on import baud_code

__all__ = [
    "MODEL",
    "AnyPort",
    "Calls",
    "DevicePort",
    "Direction",
    "EthernetSection",
    "LineTimes",
    "ModemSection",
    "OpticalSection",
    "PortSection",
    "SerialFraming",
    "SerialLine",
    "SerialSection",
    "device_url",
    "faults_between",
    "host_and_port",
]

SerialFraming = Literal["8N1", "8N2", "8E1", "8E2", "8O1", "8O2"]
Direction = Literal["adapter", "driver", "rts"]

# The model whose ports are being read; None while that is itself wrong, and then they are held to no table.
MODEL: ContextVar[str | None] = ContextVar("MODEL", default="ION8650")

_HOURS: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_NO_DEVICE: Final = "no device is named; write /dev/ttyUSB0, socket://HOST:PORT or rfc2217://HOST:PORT"
_OWN: Final[Any] = None  # a default whose place the model's own takes
_LONGEST_HOST: Final = 253  # RFC 1035
_PLAIN: Final = "/:[]@,.-_~*"  # in a URL as they are
_T = TypeVar("_T")


def _said(make: Callable[[], _T]) -> _T:
    """Return what is made; what the rooms below say against it becomes pydantic's ValueError."""
    try:
        return make()
    except LocalError as error:
        raise ValueError(str(error)) from error


def host_and_port(value: str) -> str:
    """Return a listening address as it is; ValueError if it is none."""
    host, _, port = value.rpartition(":")
    if not host or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{value!r:.80} is no listening address; write it as 127.0.0.1:4059")
    try:
        possible = host.isprintable() and bool(host.encode("idna"))
    except UnicodeError:
        possible = False
    if not possible or len(host) > _LONGEST_HOST:
        raise ValueError(f"{host!r:.80} is no name of a host; write it as 127.0.0.1:4059")
    return value


def device_url(scheme: str, device: str, **options: int | str) -> str:
    """Return the URL of a line, as `client/url.py` reads it."""
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return f"{scheme}:{quote(device, safe=_PLAIN)}?{query}"


# --- keys that ports and shared lines have in common ----------------------------------------------------


class LineTimes(Section):
    """Times of a line, whatever stands on it."""

    rx_timeout: Seconds = Field(default=1.5, ge=0.1, le=15.0, description="silence that ends a half frame")
    inactivity: Seconds = Field(
        default=120.0, ge=0.1, le=86400.0, description="silence that ends the association"
    )


class SerialLine(Section):
    """A serial device."""

    device: str = Field(default="", description="/dev/ttyUSB0, socket://HOST:PORT or rfc2217://HOST:PORT")
    transmit_delay: Seconds = Field(
        default=0.01, ge=0, le=1.0, description="from the request's last octet to the answer's first"
    )
    echo: EchoMode = Field(default="auto", description="whether the adapter hears itself")

    @field_validator("device")
    @classmethod
    def _possible_device(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("no device can be called so: there is a NUL in it")
        return value


class Calls(Section):
    """A modem on a serial device, and when it answers."""

    init: str = Field(default=ModemSetup().init, description="at most 47 characters")
    rings: int = Field(default=1, ge=0, le=99, description="before answering; 0: not at all")
    rings_outside: int = Field(default=1, ge=0, le=99, description="the same outside the answer hours")
    answer_hours: str = Field(
        default="", description="such as 22:00-06:00, local; empty: `rings` holds all day"
    )
    answer_timeout: Seconds = Field(default=60.0, ge=1, le=255, description="from the answer to CONNECT")

    @field_validator("init")
    @classmethod
    def _command(cls, value: str) -> str:
        _said(lambda: ModemSetup(init=value))
        return value

    @field_validator("answer_hours")
    @classmethod
    def _window(cls, value: str) -> str:
        if value:
            _window_of(value)
        return value

    @property
    def hours(self) -> AnswerHours:
        """How often it rings before the meter answers, by the minute of the local day."""
        start, end = _window_of(self.answer_hours) if self.answer_hours else (0, 0)
        return AnswerHours(start, end, self.rings, self.rings_outside)


def _window_of(text: str) -> tuple[int, int]:
    match = _HOURS.fullmatch(text)
    numbers = [int(part) for part in match.groups()] if match else []
    if not numbers or max(numbers[::2]) > 23 or max(numbers[1::2]) > 59 or numbers[:2] == numbers[2:]:
        raise ValueError(f"{text!r} are no answer hours; write them as 22:00-06:00")
    return numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]


# --- the ports ------------------------------------------------------------------------------------------


def _port_of(info: ValidationInfo) -> Port:
    """Return the port of the model that a section is for; ValueError where its name is wrong."""
    if isinstance(info.context, Port):
        return info.context
    return _said(lambda: find_port(MODEL.get() or "ION8650", str(info.data.get("name"))))


def _offered(value: _T, offers: tuple[_T, ...], what: str, info: ValidationInfo) -> _T:
    model = MODEL.get()
    if model is not None and value not in offers:
        there = ", ".join(map(str, offers))
        raise ValueError(f"{_port_of(info).name} of an {model} has no {what} {value}; it has {there}")
    return value


class PortSection(LineTimes):
    """One port of the meter."""

    kind: ClassVar[PortKind]

    name: str = "ETHERNET"
    protocol: Literal["DLMS", "ION", "MODBUS", "DNP", "NONE"] = Field(
        default="DLMS", description="what the port is set to; all but DLMS are silent here"
    )
    unit_id: int = Field(default=_OWN, ge=1, le=9999, description="the physical (lower HDLC) address")

    @field_validator("name")
    @classmethod
    def _of_this_kind(cls, value: str, info: ValidationInfo) -> str:
        if not isinstance(info.context, Port):
            port = _said(lambda: find_port(MODEL.get() or "ION8650", value))
            if port.kind != cls.kind:
                raise ValueError(f"{port.name} is a port of another kind: {port.kind}")
        return value.upper()

    @field_validator("protocol", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("unit_id", mode="before")
    @classmethod
    def _own_unit_id(cls, value: object, info: ValidationInfo) -> object:
        return _port_of(info).unit_id if value is None else value

    @property
    def answers(self) -> bool:
        """Whether the port is set to DLMS."""
        return self.protocol == "DLMS"

    @property
    def link(self) -> Literal["auto", "hdlc", "wrapper"]:
        """What is spoken on the line."""
        return "hdlc"


class EthernetSection(PortSection):
    """The TCP port."""

    kind = "ethernet"

    listen: str = Field(default="127.0.0.1:4059", description="HOST:PORT; port 0 takes a free one")
    framing: Literal["auto", "hdlc", "wrapper"] = "auto"

    _address = field_validator("listen")(host_and_port)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def link(self) -> Literal["auto", "hdlc", "wrapper"]:
        """What is spoken on the line."""
        return self.framing


class DevicePort(SerialLine, PortSection):
    """A port on a serial device."""

    scheme: ClassVar[str] = "serial"

    baud: int = Field(default=_OWN, description="one of the model's")
    framing: SerialFraming = Field(default="8N1", description="one of the model's")

    @field_validator("device")
    @classmethod
    def _some_device(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("protocol", "DLMS") == "DLMS":
            raise ValueError(_NO_DEVICE)
        return value

    @field_validator("baud", mode="before")
    @classmethod
    def _own_baud(cls, value: object, info: ValidationInfo) -> object:
        return _port_of(info).baud if value is None else value

    @field_validator("baud")
    @classmethod
    def _offered_baud(cls, value: int, info: ValidationInfo) -> int:
        return _offered(value, _port_of(info).bauds, "baud", info)

    @field_validator("framing")
    @classmethod
    def _offered_framing(cls, value: SerialFraming, info: ValidationInfo) -> SerialFraming:
        _offered(value, _port_of(info).framings, "framing", info)
        return value

    @property
    def url(self) -> str:
        """Where a client at the other end finds it, but for the name that its own device has there."""
        return device_url(self.scheme, self.device, baud=self.baud, framing=self.framing, unit=self.unit_id)

    def same_line(self, other: DevicePort) -> bool:
        """Whether both have one baud and framing: what an open port can be set to."""
        return (self.baud, self.framing) == (other.baud, other.framing)

    def at_line(self, other: DevicePort) -> Self:
        """Return this section at the baud and framing of another."""
        return self.model_copy(update={"baud": other.baud, "framing": other.framing})


class SerialSection(DevicePort):
    """RS-232 or RS-485."""

    kind = "serial"

    rs485: Switch = Field(default=_OWN, description="RS-485 and not RS-232")
    rts: Literal["none", "rts_cts", "rts_delay"] = Field(
        default="none", description="RS-232: handshake, or RTS on while sending, from transmit_delay before"
    )
    direction: Direction = Field(
        default="adapter", description="RS-485: who switches it: the adapter, the driver, or we by RTS"
    )
    bias: Switch = Field(default=False, description="RS-485: the meter's own resistors")

    @field_validator("rs485", mode="before")
    @classmethod
    def _own_wires(cls, value: object, info: ValidationInfo) -> object:
        return _port_of(info).wires[0] == "RS-485" if value is None else value

    @field_validator("rs485")
    @classmethod
    def _wires_there_are(cls, value: bool, info: ValidationInfo) -> bool:
        wanted = "RS-485" if value else "RS-232"
        if wanted not in _port_of(info).wires:
            raise ValueError(f"{_port_of(info).name} of an {MODEL.get()} is no {wanted}")
        return value

    @field_validator("rts")
    @classmethod
    def _rts_of_rs232(cls, value: str, info: ValidationInfo) -> str:
        if value != "none" and info.data.get("rs485"):
            raise ValueError('RTS is of RS-232; on RS-485 write direction = "rts"')
        return value

    @field_validator("direction", "bias")
    @classmethod
    def _of_rs485(cls, value: str | bool, info: ValidationInfo) -> str | bool:
        if value not in ("adapter", False) and info.data.get("rs485") is False:
            raise ValueError(f"{info.field_name} is of RS-485; write rs485 = true with it")
        return value


class OpticalSection(DevicePort):
    """The front optical port."""

    kind = "optical"
    scheme = "optical"

    sign_on: Switch = Field(default=False, description="IEC 62056-21 mode E: 300 baud 7E1 first")

    @field_validator("sign_on")
    @classmethod
    def _leads_to_8n1(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("framing", "8N1") != "8N1":
            raise ValueError("the sign-on leads to 8N1; leave framing out")
        if value and "baud" in info.data:
            _said(lambda: baud_code(info.data["baud"]))
        return value

    @property
    def url(self) -> str:
        """Where a client at the other end finds it, but for the name that its own device has there."""
        if not self.sign_on:
            return super().url
        return device_url(self.scheme, self.device, mode_e=1, baud=self.baud, unit=self.unit_id)


class ModemSection(DevicePort, Calls):
    """The modem port."""

    kind = "modem"
    scheme = "modem"

    rts: Literal["none", "rts_cts"] = Field(default="none", description="handshake with the modem")


_SECTIONS: Final[dict[PortKind, type[PortSection]]] = {
    section.kind: section for section in (EthernetSection, SerialSection, OpticalSection, ModemSection)
}


def _section(value: object) -> object:
    """Make the section of the kind that the port of that name is."""
    if isinstance(value, PortSection):
        value = value.model_dump(exclude_unset=True)  # what was not set is another model's perhaps
    if not isinstance(value, dict):
        raise ValueError("write each port as a section of its own, headed [[port]]")
    name, model = value.get("name", "ETHERNET"), MODEL.get()
    faults: list[ValidationError] = []
    port = None
    if not isinstance(name, str):
        faults.append(fault(f"{name!r} is no name of a port", "name"))
    else:
        try:
            port = find_port(model or "ION8650", name)
        except LocalError as error:
            if model is not None:  # else its model is told of
                faults.append(fault(str(error)))
    if port is not None:
        return _SECTIONS[port.kind].model_validate(value, context=port)
    # Which port it is nobody knows, but what all ports have can be right or wrong all the same.
    common = {key: each for key, each in value.items() if key in PortSection.model_fields and key != "name"}
    try:
        made = EthernetSection.model_validate(common, context=find_port("ION8650", "ETHERNET"))
    except ValidationError as error:
        faults.append(error)
    if faults:
        raise together(*faults)
    return made


AnyPort: TypeAlias = Annotated[
    EthernetSection | SerialSection | OpticalSection | ModemSection, BeforeValidator(_section)
]


def faults_between(ports: list[Any] | tuple[Any, ...]) -> list[ValidationError]:
    """Return what is wrong between the ports of one meter, as they were written: names, devices."""
    faults: list[ValidationError] = []
    names: set[str] = set()
    devices: dict[str, str] = {}
    for index, port in enumerate(ports):
        raw = dict(port) if isinstance(port, PortSection | dict) else {}
        name = str(raw.get("name", "ETHERNET"))
        if name.upper() in names:
            faults.append(fault("each port is given once", index, "name"))
        names.add(name.upper())
        device = raw.get("device")
        if isinstance(device, str) and device and raw.get("protocol", "DLMS") == "DLMS":
            # One device may have several names: /dev/serial/by-id/... is a link.
            real = device if "://" in device or "\0" in device else os.path.realpath(device)
            if real in devices:
                faults.append(fault(f"{device} is the device of {devices[real]}", index, "device"))
            devices.setdefault(real, name)
    return faults
