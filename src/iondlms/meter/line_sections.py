"""`[[line]]`: lines that several meters share. Each kind of line has its own keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from iondlms.meter.port_sections import (
    Calls,
    Direction,
    LineTimes,
    SerialFraming,
    SerialLine,
    device_url,
    host_and_port,
)
from iondlms.meter.section import Switch, fault, partly, together

__all__ = [
    "MAX_UNIT_ID",
    "AnyLine",
    "LineSection",
    "ModemLine",
    "Rs485Line",
    "SharedDevice",
    "TcpLine",
    "line_as_known",
]

MAX_UNIT_ID: Final = 9999


class LineSection(LineTimes):
    """One line that meters share."""

    most_meters: ClassVar[int] = MAX_UNIT_ID
    stand_ins: ClassVar[Mapping[str, Any]] = {"name": "-", "device": "-"}
    kind: str
    name: str = Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$")


class TcpLine(LineSection):
    """A TCP listener, for one connection at a time."""

    kind: Literal["tcp"] = "tcp"
    listen: str = Field(default="127.0.0.1:4059", description="HOST:PORT; port 0 takes a free one")

    _address = field_validator("listen")(host_and_port)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class SharedDevice(SerialLine, LineSection):
    """What lines on a device have in common."""

    device: str = Field(min_length=1, description="/dev/ttyUSB0, socket://HOST:PORT or rfc2217://HOST:PORT")
    baud: int = Field(default=9600, description="one that each meter's model has")
    framing: SerialFraming = "8N1"


class Rs485Line(SharedDevice):
    """An RS-485 line."""

    most_meters = 247  # addresses that such a line is planned with

    kind: Literal["rs485"] = "rs485"
    direction: Direction = Field(default="adapter", description="who switches it")
    bias: Switch = False

    @property
    def url(self) -> str:
        """Where a client at the other end finds it, but for the name that its own device has there."""
        return device_url("serial", self.device, baud=self.baud, framing=self.framing)


class ModemLine(SharedDevice, Calls):
    """A modem before an RS-485 loop: one meter has it and passes on what is for the others (ModemGate)."""

    most_meters = 31  # as the meters' loop behind a modem

    kind: Literal["modem"] = "modem"
    rts: Literal["none", "rts_cts"] = "none"

    @property
    def url(self) -> str:
        """Where a client at the other end finds it, but for the name that its own device has there."""
        return device_url("modem", self.device, baud=self.baud, framing=self.framing)


_LINES: Final[dict[str, type[LineSection]]] = {"tcp": TcpLine, "rs485": Rs485Line, "modem": ModemLine}


def _line(value: object) -> object:
    if isinstance(value, LineSection):
        return value
    if not isinstance(value, dict):
        raise ValueError("write each line as a section of its own, headed [[line]]")
    kind = value.get("kind")
    if isinstance(kind, str) and kind in _LINES:
        return _LINES[kind].model_validate(value)
    there = ", ".join(_LINES)
    message = (
        f"{kind!r} is no kind of line; there are {there}" if "kind" in value else f"must be given: {there}"
    )
    faults = [fault(message, "kind")]
    try:
        # What lines of all kinds have can be right or wrong all the same.
        LineSection.model_validate(_common(value))
    except ValidationError as error:
        faults.append(error)
    raise together(*faults)


def _common(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key in LineSection.model_fields} | {"kind": ""}


AnyLine: TypeAlias = Annotated[TcpLine | Rs485Line | ModemLine, BeforeValidator(_line)]


def line_as_known(raw: object) -> tuple[LineSection | None, frozenset[str]]:
    """Return a line with the defaults for what is wrong, and that; of an unknown kind what all lines have."""
    if not isinstance(raw, dict):
        return None, frozenset()
    kind = raw.get("kind")
    if isinstance(kind, str) and kind in _LINES:
        return partly(_LINES[kind], raw)
    return partly(LineSection, _common(raw))
