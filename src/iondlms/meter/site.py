"""Several meters in one configuration: `[[meter]]` sections that share a `[[line]]`, told apart by Unit ID.

On RS-485 and behind a modem they stand with their RS-485 ports; a TCP listener is what an EtherGate or a
serial server makes of such a line. Each meter becomes a `Config` of its own, so that there is one way to
check and to make a meter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from iondlms.errors import LocalError
from iondlms.ion.ports import find_port
from iondlms.meter.config import Config, MeterSection, validated
from iondlms.meter.document import Document, read_document
from iondlms.meter.fault_sections import astray
from iondlms.meter.framework import faults_of
from iondlms.meter.framework_sections import FrameworkSections
from iondlms.meter.links import faults_among
from iondlms.meter.modules import modules_of
from iondlms.meter.places import Place
from iondlms.meter.port_sections import (
    Calls,
    Direction,
    LineTimes,
    SerialFraming,
    SerialLine,
    device_url,
    faults_between,
    host_and_port,
)
from iondlms.meter.section import ConfigError, Switch, fault, moved, together
from iondlms.meter.source_sections import AnySource

__all__ = [
    "LineSection",
    "Member",
    "ModemLine",
    "Rs485Line",
    "Site",
    "TcpLine",
    "load_checked",
    "load_site",
    "site_of",
]

MAX_UNIT_ID: Final = 9999


class LineSection(LineTimes):
    """One line that meters share."""

    most_meters: ClassVar[int]
    kind: str
    name: str = Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$")


class TcpLine(LineSection):
    """A TCP listener, for one connection at a time."""

    most_meters = MAX_UNIT_ID

    kind: Literal["tcp"] = "tcp"
    listen: str = Field(default="127.0.0.1:4059", description="HOST:PORT; port 0 takes a free one")

    _address = field_validator("listen")(host_and_port)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class _SharedDevice(SerialLine, LineSection):
    device: str = Field(min_length=1, description="/dev/ttyUSB0, socket://HOST:PORT or rfc2217://HOST:PORT")
    baud: int = Field(default=9600, description="one that each meter's model has")
    framing: SerialFraming = "8N1"


class Rs485Line(_SharedDevice):
    """An RS-485 line."""

    most_meters = 247  # addresses that such a line is planned with

    kind: Literal["rs485"] = "rs485"
    direction: Direction = Field(default="adapter", description="who switches it")
    bias: Switch = False

    @property
    def url(self) -> str:
        """Where a client at the other end finds it, but for the name that its own device has there."""
        return device_url("serial", self.device, baud=self.baud, framing=self.framing)


class ModemLine(_SharedDevice, Calls):
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
    if kind not in _LINES:
        raise fault(f"{kind!r} is no kind of line; there are {', '.join(_LINES)}", "kind")
    return _LINES[kind].model_validate(value)


AnyLine: TypeAlias = Annotated[TcpLine | Rs485Line | ModemLine, BeforeValidator(_line)]


class Member(MeterSection):
    """`[[meter]]`: a meter, or `count` alike, on a line.

    The seeds of several go on counting from `seed`; where it is not given, from the Unit ID.
    """

    line: str = Field(description="the name of a [[line]]")
    unit_id: int = Field(ge=1, le=MAX_UNIT_ID, description="the physical (lower HDLC) address")
    count: int = Field(
        default=1, ge=1, le=MAX_UNIT_ID, description="meters alike, with this Unit ID and the next ones"
    )
    port: str = Field(default="COM1", description="the meter's port on the line, one with RS-485")
    source: AnySource | None = Field(default=None, description="its own; none: the [source] of all")

    @field_validator("count")
    @classmethod
    def _one_of_a_kind(cls, value: int, info: Any) -> int:
        last = info.data.get("unit_id", 1) + value - 1
        if last > MAX_UNIT_ID:
            raise ValueError(f"the last Unit ID would be {last}; {MAX_UNIT_ID} is the highest")
        for key in ("serial", "logical_device_name"):
            if value > 1 and info.data.get(key):
                raise ValueError(f"{value} meters cannot have one {key}; leave it out")
        return value

    @property
    def unit_ids(self) -> range:
        """Those of its meters."""
        return range(self.unit_id, self.unit_id + self.count)


class Site(FrameworkSections):
    """Meters on shared lines. The sections beside them hold for each meter."""

    meter: tuple[Member, ...]
    line: tuple[AnyLine, ...] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            # What is wrong in one section must not hide what is wrong between the others.
            meters = data.get("meter") if isinstance(data, dict) else None
            if not isinstance(meters, list | tuple) or not meters:
                raise
            of_one = {**data, "meter": meters[0]}
            raise together(error, *faults_among(modules_of(of_one), of_one, None, "")) from error

    @field_validator("meter")
    @classmethod
    def _somebody(cls, value: tuple[Member, ...]) -> tuple[Member, ...]:
        if not value:
            raise ValueError("lines without meters; write [[meter]] sections")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        found = list(self._between())
        faults = [fault(message, *place) for place, message in found]
        told = {place[1] for place, _ in found if place[0] == "meter"}
        for _, _, made in self._made(told):
            if isinstance(made, ValidationError):
                faults.append(made)
        if faults:
            raise together(*faults)
        return self

    def meters(self) -> Iterator[tuple[LineSection, Config]]:
        """Return each meter as a configuration of its own, with the line it is on."""
        for _, line, made in self._made():
            if isinstance(made, Config):
                yield line, made

    def _between(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Return what is wrong between the sections: place and message."""
        names = [line.name for line in self.line]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield ("line", index, "name"), "each line is given once"
            if name not in {member.line for member in self.meter}:
                yield ("line", index), "no meter is on it"
        devices = [
            {"name": line.name, "device": line.device if isinstance(line, _SharedDevice) else ""}
            for line in self.line
        ]
        for error in faults_between(devices):
            for item in error.errors():
                if item["loc"][-1] == "device":
                    yield ("line", *item["loc"]), item["msg"]
        for index, line in enumerate(self.line):
            count = sum(member.count for member in self.meter if member.line == line.name)
            if count > line.most_meters:
                yield ("line", index), f"{count} meters; a line of kind {line.kind} has {line.most_meters}"
        ports = [*names, *(member.port for member in self.meter)]
        for place, message in astray(self.fault, ports, {i for each in self.meter for i in each.unit_ids}):
            yield ("fault", *place), message
        taken: set[tuple[str, int]] = set()
        for index, member in enumerate(self.meter):
            if member.line not in names:
                there = ", ".join(names) or "none"
                yield ("meter", index, "line"), f"there is no line {member.line!r}; there are {there}"
            ids = {(member.line, unit_id) for unit_id in member.unit_ids}
            if ids & taken:
                unit_id = min(ids & taken)[1]
                yield ("meter", index, "unit_id"), f"Unit ID {unit_id} is another meter's on {member.line}"
            taken |= ids
            try:
                wires = find_port(member.model, member.port).wires
            except LocalError as error:
                yield ("meter", index, "port"), str(error)
            else:
                if "RS-485" not in wires:
                    yield ("meter", index, "port"), f"{member.port} of an {member.model} is no RS-485"

    def _made(
        self, without: Collection[int | str] = ()
    ) -> Iterator[tuple[int, LineSection, Config | ValidationError]]:
        lines = {line.name: (index, line) for index, line in enumerate(self.line)}
        for index, member in enumerate(self.meter):
            if index in without:
                continue
            place, line = lines[member.line]
            for number, unit_id in enumerate(member.unit_ids):
                try:
                    yield index, line, self._config(line, member, number, unit_id)
                except ValidationError as error:
                    yield index, line, _at(error, index, place)
                    break  # the others of the section have the same

    def _config(self, line: LineSection, member: Member, number: int, unit_id: int) -> Config:
        settings = {
            key: getattr(member, key) for key in member.model_fields_set & set(MeterSection.model_fields)
        }
        settings["seed"] = number + (member.seed if "seed" in member.model_fields_set else member.unit_id)
        if member.data is not None:
            settings["data"] = member.data / line.name / f"{unit_id:04d}"
        port = {
            "name": member.port,
            "unit_id": unit_id,
            "device": f"line:{line.name}",
            "rs485": True,
            "rx_timeout": line.rx_timeout,
            "inactivity": line.inactivity,
        }
        if isinstance(line, _SharedDevice):
            port |= {"baud": line.baud, "framing": line.framing}
        shared = {key: getattr(self, key) for key in Site.model_fields if key in Config.model_fields}
        if member.source is not None:
            shared["source"] = member.source
        return Config.model_validate({**shared, "meter": settings, "port": [port]})


def _at(error: ValidationError, meter: int, line: int) -> ValidationError:
    """Return the error of one meter's configuration at the places where this file has it."""

    def move(place: Place) -> Place:
        if place[:2] == ("port", 0):
            return ("line", line, *place[2:])
        return ("meter", meter, *place[1:]) if place[:1] == ("meter",) else place

    return moved(error, move)


def load_site(path: Path | None, settings: Sequence[tuple[str, Any]] = ()) -> Config | Site:
    """Return the configuration of a file: of one meter with its ports, or of several on shared lines.

    Raises ConfigError listing all that is wrong, one line each.
    """
    return site_of(read_document(path, settings))


def load_checked(path: Path | None, settings: Sequence[tuple[str, Any]] = (), *, year: int) -> Config | Site:
    """Return the same, with what only making the meters finds: in files, and in zones in this year.

    Raises ConfigError listing all that is wrong, one line each, with its line of the file.
    """
    document = read_document(path, settings)
    try:
        made = site_of(document)
    except ConfigError as error:
        # What only zones and files tell must not wait until all the rest is right.
        more = [line for fault in _faults_beside(document, year) for line in document.located(fault)]
        raise ConfigError("\n".join(dict.fromkeys([*str(error).splitlines(), *more]))) from error
    faults = faults_of([made] if isinstance(made, Config) else [each for _, each in made.meters()], year)
    if faults:
        raise ConfigError.of(("\n".join(document.located(each)) for each in faults), len(faults))
    return made


def _faults_beside(document: Document, year: int) -> list[str]:
    """Return what making a meter finds in those sections of a wrong configuration that are right."""
    right: dict[str, Any] = {}
    for section in ("meter", "clock", "source"):
        candidate = {**right, section: document.get(section, {})}
        with suppress(ValidationError):
            Config.model_validate(candidate)
            right = candidate
    return faults_of([Config.model_validate(right)], year)


def site_of(document: Document) -> Config | Site:
    """Return the configuration that a document is; ConfigError listing all that is wrong."""
    several = isinstance(document.get("meter"), list) or "line" in document
    return validated(Site, document) if several else validated(Config, document)
