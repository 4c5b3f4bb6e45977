"""The configuration of a meter: one TOML file, overridden key by key; every error names its place.

Keys are written with their dotted path: `meter.long_answers`, `clock.zone`, `port.ETHERNET.unit_id`. A key
of `[meter]` may be written without its section. Durations are seconds, or text such as "15m" or "1.5s".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from iondlms.errors import LocalError
from iondlms.ion.factory import MODELS

__all__ = [
    "ClockSection",
    "Config",
    "ConfigError",
    "MeterSection",
    "PortSection",
    "RecorderSection",
    "SourceSection",
    "load",
]

_PORTS: Final = ("ETHERNET", "COM1", "COM2", "COM3", "COM4")
MAX_PASSWORD: Final = 32  # octets, as the meter's own setup register


class ConfigError(LocalError):
    """The configuration is wrong; one line an error, each beginning with its key."""


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def _duration(value: object) -> object:
    """Read "15m" as 900.0; what is no text is left to the field's own type."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError(f'{value!r} is no duration; write it as "15m", "120s" or a number of seconds')
    return float(match[1]) * _UNITS[match[2]]


Seconds = Annotated[float, BeforeValidator(_duration)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class MeterSection(_Section):
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
    password_file: Path | None = Field(default=None, description="file whose first line is the password")
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
    data: Path | None = Field(
        default=None, description="folder of what outlives a power cut; none: memory only"
    )
    seed: int = Field(default=1, ge=0, description="of the simulated load")
    history: int = Field(
        default=0, ge=0, le=1_000_000, description="load-profile rows to make at the first start"
    )

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        if value.upper() not in MODELS:
            raise ValueError(f"{value!r} is no model; there are {', '.join(MODELS)}")
        return value.upper()

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


class ClockSection(_Section):
    """`[clock]`: the Clock module."""

    zone: str = Field(default="UTC", description="IANA name; gives the TZ offset and the DST pairs")
    time_sync_source: str = Field(default="ETHERNET", description="the port whose clients may set the time")
    time_sync_type: Literal["UTC", "LOCAL"] = Field(
        default="UTC", description="what a time without deviation is"
    )
    event_threshold: Seconds = Field(
        default=1.0, ge=0, le=86400, description="a longer step sets the status bit"
    )

    @field_validator("time_sync_source")
    @classmethod
    def _known_port(cls, value: str) -> str:
        if value.upper() not in _PORTS:
            raise ValueError(f"{value!r} is no port; there are {', '.join(_PORTS)}")
        return value.upper()


class PortSection(_Section):
    """`[[port]]`: one port of the meter."""

    name: Literal["ETHERNET"] = "ETHERNET"
    listen: str = Field(default="127.0.0.1:4059", description="HOST:PORT; port 0 takes a free one")
    framing: Literal["auto", "hdlc", "wrapper"] = "auto"
    unit_id: int = Field(default=100, ge=1, le=9999, description="the physical (lower HDLC) address")
    rx_timeout: Seconds = Field(default=1.5, ge=0.1, le=15.0, description="silence that ends a half frame")
    inactivity: Seconds = Field(
        default=120.0, ge=0.1, le=86400.0, description="silence that ends the association"
    )

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{value!r} is no listening address; write it as 127.0.0.1:4059")
        return value

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class SourceSection(_Section):
    """`[source]`: what feeds the Power Meter."""

    kind: Literal["simulated"] = "simulated"


class RecorderSection(_Section):
    """`[load_profile]` and `[billing]`: the default recorders."""

    period: Seconds = Field(
        default=900.0, ge=1, le=86400 * 31, description="of the Periodic Timer, whole seconds"
    )
    depth: int = Field(default=3360, ge=1, le=10_000_000, description="rows kept; the oldest give way")

    @field_validator("period")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value != int(value):
            raise ValueError("a Periodic Timer counts whole seconds")
        return value


class Config(_Section):
    """The whole configuration."""

    meter: MeterSection = MeterSection()
    clock: ClockSection = ClockSection()
    source: SourceSection = SourceSection()
    load_profile: RecorderSection = RecorderSection()
    billing: RecorderSection = RecorderSection()
    port: tuple[PortSection, ...] = (PortSection(),)

    @field_validator("port")
    @classmethod
    def _each_port_once(cls, value: tuple[PortSection, ...]) -> tuple[PortSection, ...]:
        names = [port.name for port in value]
        if len(set(names)) != len(names):
            raise ValueError("each port is given once")
        return value

    def password(self) -> bytes | None:
        """Return the password of SAP 1, from the key or its file; ConfigError if the file cannot be used."""
        path = self.meter.password_file
        if path is None:
            secret = self.meter.password
            return None if secret is None else secret.get_secret_value().encode()
        try:
            password = path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r").encode()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"meter.password_file: {path} cannot be read: {error}") from error
        if not 1 <= len(password) <= MAX_PASSWORD:
            raise ConfigError(
                f"meter.password_file: the first line of {path} must be 1 to {MAX_PASSWORD} octets"
            )
        return password


def load(path: Path | None, settings: Sequence[tuple[str, Any]] = ()) -> Config:
    """Return the configuration of a file with single keys set over it.

    Raises ConfigError listing all that is wrong, one line each.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
    for key, value in settings:
        _set(document, key, value)
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        where = "" if path is None else f"{path}: "
        raise ConfigError("\n".join(where + line for line in _lines(error))) from error


def _lines(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "there is no such key"
        lines.append(f"{key}: {message}")
    return lines


def _set(document: dict[str, Any], key: str, value: Any) -> None:
    parts = key.split(".")
    if parts[0] not in Config.model_fields:
        parts.insert(0, "meter")
    if len(parts) < 2:
        raise ConfigError(f"{key}: names a section; name a key of it, such as {key}.KEY")
    here: Any = document
    if parts[0] == "port":
        here, parts = _port(document, parts, key)
    for part in parts[:-1]:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            raise ConfigError(f"{key}: {part} is no section")
    here[parts[-1]] = value


def _port(document: dict[str, Any], parts: list[str], key: str) -> tuple[dict[str, Any], list[str]]:
    """Find the port that `port.NAME.key` means, by name or by number from 0; return it and the rest."""
    if len(parts) < 3:
        raise ConfigError(f"{key}: write it as port.NAME.KEY, as in port.ETHERNET.unit_id")
    ports = document.setdefault("port", [{"name": "ETHERNET"}])
    if not isinstance(ports, list) or not all(isinstance(port, dict) for port in ports):
        raise ConfigError("port: write each port as a section of its own, headed [[port]]")
    for number, port in enumerate(ports):
        if parts[1] in (str(number), port.get("name", "ETHERNET")):
            return port, parts[2:]
    raise ConfigError(f"{key}: there is no port {parts[1]}")
