"""The configuration of a meter: one TOML file, overridden key by key; every error names its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from iondlms.errors import LocalError
from iondlms.ion.factory import MODELS, Factory
from iondlms.ion.ports import PORT_NAMES, find_port
from iondlms.meter.document import Document, read_document
from iondlms.meter.fault_rules import MOST_RULES
from iondlms.meter.fault_sections import as_known, astray
from iondlms.meter.framework_sections import ClockSection, FrameworkSections, RecorderSection
from iondlms.meter.links import faults_among
from iondlms.meter.modules import modules_of, read
from iondlms.meter.port_sections import (
    MODEL,
    AnyPort,
    EthernetSection,
    PortSection,
    faults_between,
)
from iondlms.meter.section import ConfigError, FileName, Section, Switch, fault, partly, together

__all__ = [
    "ClockSection",
    "Config",
    "ConfigError",
    "EthernetSection",
    "MeterSection",
    "PortSection",
    "RecorderSection",
    "load",
    "no_port_sets_the_clock",
    "password_in",
    "room_of",
    "validated",
]

_Kind = TypeVar("_Kind", bound=Section)
MAX_PASSWORD: Final = 32  # octets, as the meter's own setup register
_UNIT_IDS: Final = range(1, 10_000)
_PASSWORD_FILE: Final = 4096  # octets that are looked at: the file may be one that never ends


class MeterSection(Section):
    """`[meter]`: what the meter is and how it answers."""

    model: str = Field(default="ION8650", description="ION9000, ION8650, ION7400 or ION8800")
    serial: str = Field(default="", description="serial number; empty: made from model, Unit ID and seed")
    revision: str = Field(default="", description="firmware revision; empty is the model's default")
    owner: str = ""
    tag_1: str = ""
    tag_2: str = ""
    manufacturer: str = Field(
        default="SCH", pattern="^[A-Z]{3}$", description="FLAG id in the logical device name"
    )
    logical_device_name: str = Field(
        default="", max_length=16, description="empty: manufacturer, model and serial"
    )
    password: SecretStr | None = Field(
        default=None, description="low level security of SAP 1; none refuses SAP 1"
    )
    password_file: FileName | None = Field(default=None, description="file whose first line is the password")
    long_answers: Literal["block", "segment"] = "block"
    max_pdu: int = Field(default=1024, ge=64, le=65535, description="largest APDU taken over the wrapper")
    unknown_object: Literal[3, 4] = Field(default=4, description="Data-Access-Result for an unknown object")
    before_snrm: Literal["dm", "silence"] = Field(default="dm", description="answer to a frame before SNRM")
    date_time: Literal["octet-string", "date-time"] = Field(
        default="octet-string", description="type of times sent"
    )
    deviation: Literal["normal", "reversed", "unspecified", "utc"] = "normal"
    scaler: Literal[0, -3] = Field(
        default=0, description="scaler of k-quantities: 0 in W and Wh, -3 in kW and kWh"
    )
    data: FileName | None = Field(
        default=None, description="folder of what outlives a power cut; none: memory only"
    )
    seed: int = Field(default=1, ge=0, description="of the simulated load")
    history: int = Field(
        default=0, ge=0, le=1_000_000, description="load-profile rows to make at the first start"
    )
    default_framework: Switch = Field(
        default=True, description="whether load profile and billing are there beside what the file names"
    )

    @field_validator("unknown_object", "scaler", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        # `--set` gives text, and a Literal takes only its own type.
        return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,3}", value) else value

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        if value.upper() not in MODELS:
            raise ValueError(f"{value!r} is no model; there are {', '.join(MODELS)}")
        return value.upper()

    @field_validator("revision")
    @classmethod
    def _with_dlms(cls, value: str, info: ValidationInfo) -> str:
        if "model" not in info.data:
            return value  # the model is wrong, so nothing can be held against its firmware
        try:
            Factory(info.data["model"], revision=value)
        except LocalError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("password")
    @classmethod
    def _short_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not 1 <= len(value.get_secret_value().encode()) <= MAX_PASSWORD:
            raise ValueError(f"a password has 1 to {MAX_PASSWORD} octets")
        return value

    @field_validator("logical_device_name")
    @classmethod
    def _printable_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Z]{3}[\x20-\x7e]{1,13}", value):
            raise ValueError("three capital letters, then printable ASCII, 4 to 16 in all")
        return value


class Config(FrameworkSections):
    """The whole configuration."""

    meter: MeterSection = MeterSection()
    port: tuple[AnyPort, ...] = (EthernetSection(),)

    @model_validator(mode="wrap")
    @classmethod
    def _of_one_model(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        model = _model_of(data)
        token = MODEL.set(model)
        faults: list[ValidationError] = []
        try:
            made = handler(data)
        except ValidationError as error:
            faults.append(error)
        finally:
            MODEL.reset(token)
        if isinstance(data, dict):
            faults += faults_among(
                modules_of(data), data, *room_of(model, read(data.get("meter"), "revision", ""))
            )
            faults += _faults_between(model, data)
        if faults:
            raise together(*faults)
        return made

    @field_validator("port", mode="wrap")
    @classmethod
    def _fit_together(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, list | tuple) and not value:
            raise ValueError("a meter has one port at least")
        faults = faults_between(value) if isinstance(value, list | tuple) else []
        try:
            ports = handler(value)
        except ValidationError as error:
            if not faults:
                raise  # pydantic knows of which key it is
            faults.insert(0, error)
        if faults:
            raise together(*faults)
        return ports

    def password(self) -> bytes | None:
        """Return the password of SAP 1, from the key or its file; ConfigError if the file cannot be used."""
        return password_in(self.meter)


def password_in(section: MeterSection) -> bytes | None:
    """Return the password of a section, from the key or its file; ConfigError if the file cannot be used."""
    path = section.password_file
    if path is None:
        return None if section.password is None else section.password.get_secret_value().encode()
    try:
        with path.open("rb") as file:
            password = file.read(_PASSWORD_FILE).split(b"\n", 1)[0].rstrip(b"\r")
        password.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"meter.password_file: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"meter.password_file: {path} cannot be read: {error}") from error
    if not 1 <= len(password) <= MAX_PASSWORD:
        raise ConfigError(f"meter.password_file: the first line of {path} must be 1 to {MAX_PASSWORD} octets")
    return password


def load(path: Path | None, settings: Sequence[tuple[str, Any]] = ()) -> Config:
    """Return the configuration of a file with single keys set over it.

    Raises ConfigError listing all that is wrong, one line each.
    """
    return validated(Config, read_document(path, settings))


def validated(kind: type[_Kind], document: Document) -> _Kind:
    """Return a file's configuration; ConfigError listing all that is wrong, one line each."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise ConfigError.of(document.lines(error)) from error


def _faults_between(model: str | None, data: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Yield what is wrong between the sections of one meter, over what is right in them."""
    sync_source = read(data.get("clock"), "time_sync_source", "ETHERNET")
    if model is not None and isinstance(sync_source, str) and sync_source.upper() in PORT_NAMES:
        try:
            find_port(model, sync_source.upper())
        except LocalError as error:
            yield fault(str(error), "clock", "time_sync_source")
    live = read(data.get("source"), "kind", "") == "modbus"
    if live and (meter := partly(MeterSection, data.get("meter", {}))[0]) is not None and meter.history:
        yield fault("what another meter measured before cannot be read over Modbus", "meter", "history")
    written = data.get("port", (EthernetSection(),))
    ports = written if isinstance(written, list | tuple) else ()
    rules = as_known(data.get("fault"))
    unit_ids = _unit_ids(model, ports)
    count = sum(each.unit_id is None or each.unit_id in unit_ids for each in rules)
    if count > MOST_RULES:
        yield fault(f"{count} are for one meter; it has {MOST_RULES} at most", "fault")
    # On a line that meters share, the line knows what there is, and says what is wrong.
    names = [read(raw, "name", "ETHERNET") for raw in ports]
    shared = any(str(read(raw, "device", "")).startswith("line:") for raw in ports)
    if names and not shared and all(isinstance(name, str) for name in names):
        for place, message in astray(rules, map(str.upper, names), unit_ids or _UNIT_IDS):
            yield fault(message, "fault", *place)


def _unit_ids(model: str | None, ports: Sequence[Any]) -> set[int]:
    """Return those of a meter's ports; none if that of one is not known."""
    found = set()
    for raw in ports:
        try:
            own = find_port(model or "", str(read(raw, "name", "ETHERNET"))).unit_id
            unit_id = read(raw, "unit_id", None)
            found.add(own if unit_id is None else int(unit_id))
        except (LocalError, TypeError, ValueError, OverflowError):  # the last: infinity
            return set()
    return found if all(unit_id in _UNIT_IDS for unit_id in found) else set()


def no_port_sets_the_clock(config: Config) -> Iterator[str]:
    """Yield a line where no port of the meter may set the clock, and there is a password to do it with."""
    source = config.clock.time_sync_source
    ports = [port.name for port in config.port if port.answers]
    secret = config.meter.password is not None or config.meter.password_file is not None
    if secret and source not in ports:
        there = f'; write time_sync_source = "{ports[0]}" to let it' if ports else ""
        yield f"clock.time_sync_source: only {source} may set the clock, and no port here is that{there}"


def room_of(model: str | None, revision: object) -> tuple[int | None, str]:
    """Return how many sources a recorder takes, and the words for whose; None while that is not known."""
    try:
        factory = Factory(model or "", revision=revision if isinstance(revision, str) else "")
    except LocalError:
        return None, ""
    return factory.most_sources, f"an {factory.device_type} with firmware {factory.revision}"


def _model_of(data: Any) -> str | None:
    """Return the model that a document names, None if there is none of that name."""
    meter = data.get("meter", {}) if isinstance(data, dict) else {}
    if isinstance(meter, MeterSection):
        return meter.model
    name = meter.get("model", "ION8650") if isinstance(meter, dict) else None
    return name.upper() if isinstance(name, str) and name.upper() in MODELS else None
