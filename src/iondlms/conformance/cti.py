"""Conformance Test Information: what a meter is said to be, as one TOML file; every error names its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from iondlms.errors import LocalError

__all__ = [
    "ApplicationSection",
    "ClientSection",
    "ClockSection",
    "Cti",
    "Framing",
    "HdlcSection",
    "LineSection",
    "ObjectsSection",
]

Framing: TypeAlias = Literal["hdlc", "wrapper"]


def _conformance(text: str) -> str:
    bits = text.replace(" ", "").upper()
    if len(bits) != 6 or any(digit not in "0123456789ABCDEF" for digit in bits):
        raise ValueError("a conformance block is three octets in hex, such as 00 30 14")
    return bits


ConformanceText = Annotated[str, AfterValidator(_conformance)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LineSection(_Section):
    """`[line]`: what the tester waits for."""

    framings: tuple[Framing, ...] = ("hdlc",)
    answer_s: float = Field(default=3.0, ge=0, description="an answer begins and goes on within it")
    quiet_s: float = Field(default=0.3, ge=0, description="silence of that length is no answer")
    inactivity_s: float = Field(default=120.0, gt=0, description="silence that ends an association")


class HdlcSection(_Section):
    """`[hdlc]`: the data link."""

    unit: int = Field(default=100, ge=1, le=16381, description="lower (physical) address")
    logical: int = Field(default=1, ge=1, le=16381, description="upper address")
    address: Literal[1, 2, 4] = 4
    max_information: int = Field(default=128, ge=1, le=2030)
    window: int = Field(default=1, ge=1, le=7)
    inter_frame_s: float = Field(default=1.5, gt=0, description="silence that ends a half frame")
    before_snrm: Literal["dm", "silence"] = "dm"
    segments: bool = Field(
        default=True, description="answers that nothing else carries are cut into segments"
    )


class ClientSection(_Section):
    """`[public]` and `[setting]`: a client SAP and what it is granted at most."""

    sap: int = Field(default=16, ge=1, le=126)
    conformance: ConformanceText = "003014"


class ApplicationSection(_Section):
    """`[application]`: ACSE and xDLMS."""

    max_pdu_hdlc: int = Field(default=125, ge=0, le=65535, description="the server's max receive PDU size")
    max_pdu_wrapper: int = Field(default=1024, ge=0, le=65535)
    unknown_object: int = Field(default=4, ge=1, le=250, description="Data-Access-Result")
    long_answers: Literal["block", "segment"] = "block"


class ClockSection(_Section):
    """`[clock]`: how times are written and taken."""

    present: bool = True
    tag: Literal["octet-string", "date-time"] = "octet-string"
    deviation: Literal["normal", "reversed", "unspecified", "utc"] = "normal"
    without_deviation: Literal["local", "utc"] = Field(
        default="utc", description="what a time that is set without deviation is taken as"
    )


class ObjectsSection(_Section):
    """`[objects]`: what the meter is said to hold."""

    ion: bool = Field(default=False, description="the object tables of the ION meters apply")
    load_profile: str = Field(default="", description="a Profile Generic with a clock column")
    billing: str = Field(default="", description="a second one")
    scaler: Literal[0, -3] = Field(default=0, description="of the ION energies and powers")


class Cti(_Section):
    """The whole of it."""

    name: str = ""
    strict: bool = Field(default=False, description="only the expected answer passes, no tolerated one")
    line: LineSection = LineSection()
    hdlc: HdlcSection = HdlcSection()
    public: ClientSection | None = ClientSection()
    setting: ClientSection | None = None
    application: ApplicationSection = ApplicationSection()
    clock: ClockSection = ClockSection()
    objects: ObjectsSection = ObjectsSection()

    @classmethod
    def load(cls, path: Path) -> Cti:
        """Read a file; LocalError listing all that is wrong, one line each."""
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise LocalError(f"{path}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise LocalError(f"{path}: not TOML: {error}") from error
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            lines = [
                f"{path}: {'.'.join(map(str, item['loc']))}: {_message(item)}" for item in error.errors()
            ]
            raise LocalError("\n".join(lines)) from error

    def to_toml(self) -> str:
        """Return the file that `load` reads, each key with what it means where that is not its name."""
        lines = [_HEAD]
        sections: list[str] = []
        for key in type(self).model_fields:
            value = getattr(self, key)
            if isinstance(value, _Section):
                sections.append(f"\n[{key}]")
                sections += _keys(value)
            elif value is None:
                sections.append(f"\n# there is no [{key}] client")
            else:
                lines += _keys(self, only=key)
        return "\n".join([*lines, *sections, ""])


_HEAD: Final = (
    "# Conformance Test Information; what differs from what the meter is said to be is corrected here."
)


def _message(item: Any) -> str:
    return "there is no such key" if item["type"] == "extra_forbidden" else str(item["msg"])


def _keys(section: _Section, only: str = "") -> list[str]:
    lines = []
    for name, about in type(section).model_fields.items():
        if only and name != only:
            continue
        value = getattr(section, name)
        remark = f"  # {about.description}" if about.description else ""
        lines.append(f"{name} = {_toml(value)}{remark}")
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
