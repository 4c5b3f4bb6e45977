"""Several meters in one configuration: `[[meter]]` sections that share a `[[line]]`, told apart by Unit ID.

On RS-485 and behind a modem they stand with their RS-485 ports; a TCP listener is what an EtherGate or a
serial server makes of such a line. Each meter becomes a `Config` of its own, so that there is one way to
check and to make a meter.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from iondlms.errors import LocalError
from iondlms.ion.ports import find_port
from iondlms.meter.config import ClockSection, Config, MeterSection, password_in, room_of, validated
from iondlms.meter.document import Document, read_document
from iondlms.meter.fault_sections import FaultRuleSection, as_known, astray
from iondlms.meter.framework import faults_of
from iondlms.meter.framework_sections import FrameworkSections
from iondlms.meter.line_sections import (
    MAX_UNIT_ID,
    AnyLine,
    LineSection,
    ModemLine,
    Rs485Line,
    SharedDevice,
    TcpLine,
    line_as_known,
)
from iondlms.meter.links import faults_among
from iondlms.meter.modules import modules_of
from iondlms.meter.places import Place
from iondlms.meter.port_sections import faults_between
from iondlms.meter.section import ConfigError, Section, fault, moved, only, partly, together
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

_ADDRESS: Final = frozenset(("unit_id", "count"))
_OF_FILES: Final = ("password_file", "manufacturer", "serial")  # what more can be said of by looking
_SHARED: Final = tuple(key for key in FrameworkSections.model_fields if key != "meter")
_S = TypeVar("_S", bound=Section)


class Member(MeterSection):
    """`[[meter]]`: a meter, or `count` alike, on a line.

    The seeds of several go on counting from `seed`; where it is not given, from the Unit ID.
    """

    stand_ins: ClassVar[Mapping[str, Any]] = {"line": "-", "unit_id": 1}

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

    strays: ClassVar[Mapping[str, str]] = {
        "port": "meters on lines have no [[port]]; see their [[line]], and `port` of each [[meter]]"
    }

    meter: tuple[Member, ...]
    line: tuple[AnyLine, ...] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once_between(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # What is wrong in one section must not hide what is wrong between the others.
        try:
            made = handler(data)
        except ValidationError as error:
            if not isinstance(data, dict):
                raise
            raise together(error, *_Parts.of(data).faults()) from error
        faults = list(_Parts.of_right(made).faults())
        if faults:
            raise together(*faults)
        return made

    @field_validator("meter")
    @classmethod
    def _somebody(cls, value: tuple[Member, ...]) -> tuple[Member, ...]:
        if not value:
            raise ValueError("lines without meters; write [[meter]] sections")
        return value

    def meters(self) -> Iterator[tuple[LineSection, Config]]:
        """Return each meter as a configuration of its own, with the line it is on."""
        for _, line, made in _Parts.of_right(self).made():
            if isinstance(made, Config):
                yield line, made


@dataclass(frozen=True, slots=True)
class _Part(Generic[_S]):
    """One section, with the defaults for what is wrong in it; None if it is none."""

    section: _S | None
    wrong: frozenset[str] = frozenset()

    def known(self, key: str) -> Any:
        """Return the value of a key, None where it is wrong."""
        return None if self.section is None or key in self.wrong else getattr(self.section, key)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A site, as far as it is right."""

    lines: list[_Part[LineSection]]
    members: list[_Part[Member]]
    rules: list[FaultRuleSection]
    shared: dict[str, Any]  # the sections that all meters have, of these those that are right
    data: Mapping[str, Any] | None = None  # as they are written; None: all is right

    @classmethod
    def of_right(cls, site: Site) -> _Parts:
        """Return the parts of a site whose sections are all right by themselves."""
        return cls(
            [_Part(line) for line in site.line],
            [_Part(member) for member in site.meter],
            list(site.fault),
            {key: getattr(site, key) for key in _SHARED},
        )

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> _Parts:
        """Return what is right in a document."""
        written = {key: data[key] for key in _SHARED if key in data}
        shared, wrong = partly(FrameworkSections, {**written, "meter": None})
        return cls(
            [_Part(*line_as_known(raw)) for raw in _entries(data, "line")],
            [_Part(*partly(Member, raw)) for raw in _entries(data, "meter")],
            as_known(data.get("fault")),
            {key: getattr(shared, key) for key in written if key not in wrong},
            data,
        )

    def faults(self) -> Iterator[ValidationError]:
        """Yield what is wrong between sections that are right by themselves."""
        found = list(self._between())
        yield from (fault(message, *place) for place, message in found)
        told = {place[1] for place, _ in found if place[0] == "meter"}
        for _, _, made in self.made(told):
            if isinstance(made, ValidationError):
                yield made
        if self.data is not None:
            yield from self._among_modules(self.data)

    def made(
        self, without: Collection[int | str] = ()
    ) -> Iterator[tuple[int, LineSection, Config | ValidationError]]:
        """Yield the configuration of each meter, or what is wrong with it; of those that have a line."""
        lines = {
            part.section.name: (index, part.section)
            for index, part in enumerate(self.lines)
            if part.section is not None and not part.wrong and type(part.section) is not LineSection
        }
        for index, part in enumerate(self.members):
            member = part.section
            if index in without or member is None or part.wrong or member.line not in lines:
                continue
            place, line = lines[member.line]
            for number, unit_id in enumerate(member.unit_ids):
                try:
                    yield index, line, _config(self.shared, line, member, number, unit_id)
                except ValidationError as error:
                    yield index, line, self._of_right_ones(_at(error, index, place))
                    break  # the others of the section have the same

    def _of_right_ones(self, error: ValidationError) -> ValidationError:
        """Return an error without what comes of sections that are missing here, since they are wrong."""
        if self.data is None:
            return error
        return only(error, lambda place: place[0] in ("meter", "line", "clock", "source", "fault"))

    def _among_modules(self, data: Mapping[str, Any]) -> Iterator[ValidationError]:
        """Yield what is wrong between modules; how many sources there may be is each model's own."""
        models = dict.fromkeys(
            (part.known("model"), part.known("revision")) for part in self.members if part.section is not None
        )
        for model, revision in models or {(None, None): None}:
            of_one = {**data, "meter": {"model": model, "revision": revision}}
            yield from faults_among(modules_of(of_one), of_one, *room_of(model, revision))

    def _between(self) -> Iterator[tuple[Place, str]]:
        """Yield place and message of what is wrong between lines, meters and faults."""
        names = [part.known("name") for part in self.lines]
        places = [part.known("line") for part in self.members]
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                yield ("line", index, "name"), "each line is given once"
            if name is not None and places and None not in places and name not in places:
                yield ("line", index), "no meter is on it"
        devices = [
            {"name": f"{name}" if name is not None else f"line[{index}]", "device": _device_of(part)}
            for index, (name, part) in enumerate(zip(names, self.lines, strict=True))
        ]
        for error in faults_between(devices):
            for item in error.errors():
                if item["loc"][-1] == "device":
                    yield ("line", *item["loc"]), item["msg"]
        for index, (name, part) in enumerate(zip(names, self.lines, strict=True)):
            count = sum(each.known("count") or 1 for each in self.members if each.known("line") == name)
            line = part.section
            if line is not None and name is not None and count > line.most_meters:
                yield ("line", index), f"{count} meters; a line of kind {line.kind} has {line.most_meters}"
        yield from self._astray(names)
        yield from self._of_members(names)

    def _astray(self, names: Sequence[str | None]) -> Iterator[tuple[Place, str]]:
        ports = [*names, *(part.known("port") for part in self.members)]
        whole = all(part.section is not None and not part.wrong & _ADDRESS for part in self.members)
        unit_ids: Container[int] = range(MAX_UNIT_ID + 1)
        if whole:
            unit_ids = {i for part in self.members if part.section is not None for i in part.section.unit_ids}
        for place, message in astray(self.rules, [port for port in ports if port is not None], unit_ids):
            if None not in ports or place[-1] == "unit_id":
                yield ("fault", *place), message

    def _of_members(self, names: Sequence[str | None]) -> Iterator[tuple[Place, str]]:
        taken: set[tuple[str, int]] = set()
        for index, part in enumerate(self.members):
            member, on, port = part.section, part.known("line"), part.known("port")
            if on is not None and on not in names and None not in names:
                there = ", ".join(map(str, names)) or "none"
                yield ("meter", index, "line"), f"there is no line {on!r}; there are {there}"
            if member is not None and on is not None and not part.wrong & _ADDRESS:
                ids = {(on, unit_id) for unit_id in member.unit_ids}
                if ids & taken:
                    unit_id = min(ids & taken)[1]
                    yield ("meter", index, "unit_id"), f"Unit ID {unit_id} is another meter's on {on}"
                taken |= ids
            model = part.known("model")
            if model is None or port is None:
                continue
            try:
                wires = find_port(model, port).wires
            except LocalError as error:
                yield ("meter", index, "port"), str(error)
            else:
                if "RS-485" not in wires:
                    yield ("meter", index, "port"), f"{port} of an {model} is no RS-485"


def _entries(data: Mapping[str, Any], key: str) -> list[Any]:
    written = data.get(key)
    return list(written) if isinstance(written, list | tuple) else []


def _device_of(part: _Part[LineSection]) -> str:
    return (isinstance(part.section, SharedDevice) and part.known("device")) or ""


def _config(
    shared: Mapping[str, Any], line: LineSection, member: Member, number: int, unit_id: int
) -> Config:
    settings = {key: getattr(member, key) for key in member.model_fields_set & set(MeterSection.model_fields)}
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
    if isinstance(line, SharedDevice):
        port |= {"baud": line.baud, "framing": line.framing}
    own = {} if member.source is None else {"source": member.source}
    return Config.model_validate({**shared, **own, "meter": settings, "port": [port]})


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
        made = _kind_of(document).model_validate(document)
    except ValidationError as error:
        # What only zones and files tell must not wait until all the rest is right.
        more = [line for fault in _faults_beside(document, year) for line in document.located(fault)]
        raise ConfigError.of([*document.lines(error), *more]) from error
    faults = faults_of([made] if isinstance(made, Config) else [each for _, each in made.meters()], year)
    if faults:
        raise ConfigError.of(line for fault in faults for line in document.located(fault))
    return made


def _faults_beside(document: Document, year: int) -> list[str]:
    """Return what making a meter finds in a wrong configuration, in what is right of it."""
    right: dict[str, Any] = {}
    for key, section in (
        ("meter", _meter_as_known(document.get("meter", {}))),
        ("clock", partly(ClockSection, document.get("clock", {}))[0]),
        # Of half a source nothing can be said: its keys say together how a recording is read.
        ("source", document.get("source", {})),
    ):
        candidate = {**right, key: section}
        with suppress(ValidationError):
            Config.model_validate(candidate)
            right = candidate
    found = faults_of([Config.model_validate(right)], year)
    for index, raw in enumerate(_entries(document, "meter")):
        known = _meter_as_known(raw)
        try:
            password_in(known or MeterSection())
        except LocalError as error:
            found.append(str(error).replace("meter.", f"meter.{index}.", 1))
    return found


def _meter_as_known(raw: object) -> MeterSection | None:
    """Return a meter as far as its section is right; None if it is no section."""
    if not isinstance(raw, dict):
        return None
    own = {key: value for key, value in raw.items() if key in MeterSection.model_fields}
    made = partly(MeterSection, own)[0]
    if made is None:  # a revision that is right for the model that is wrong, and the like
        made = partly(MeterSection, {key: own[key] for key in _OF_FILES if key in own})[0]
    return made


def site_of(document: Document) -> Config | Site:
    """Return the configuration that a document is; ConfigError listing all that is wrong."""
    return validated(_kind_of(document), document)


def _kind_of(document: Document) -> type[Config] | type[Site]:
    return Site if isinstance(document.get("meter"), list) or "line" in document else Config
