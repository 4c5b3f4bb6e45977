"""What all sections of a configuration have in common: unknown keys are errors, errors name their key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError

from iondlms.errors import LocalError
from iondlms.meter.places import Place, key_of

__all__ = [
    "ConfigError",
    "FileName",
    "OptionText",
    "Seconds",
    "Section",
    "Switch",
    "WholeSeconds",
    "fault",
    "message_of",
    "moved",
    "only",
    "partly",
    "together",
]

_S = TypeVar("_S", bound="Section")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_MOST_LINES: Final = 100  # of what is wrong: who has more of it reads no further
_MOST_SHOWN: Final = 60  # characters of a wrong value
# By the kind of error in pydantic.
_WANTED: Final = {
    "int_type": "no whole number",
    "int_parsing": "no whole number",
    "int_from_float": "no whole number",
    "float_type": "no number",
    "float_parsing": "no number",
    "bool_type": "neither true nor false",
    "bool_parsing": "neither true nor false",
    "string_type": "no text; write it in quotes",
    "tuple_type": "no list; write it in brackets",
    "model_type": "no section",
    "model_attributes_type": "no section",
}
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


class ConfigError(LocalError):
    """The configuration is wrong; one line an error, each beginning with its key."""

    @classmethod
    def of(cls, faults: Iterable[tuple[int | None, str]]) -> ConfigError:
        """Return one that tells the first faults in the order of the file, each once, and how many more.

        A fault is its line, None for one that is on no line of the file, and what is told. Those of no
        line come last: they are options on a command line, or stand in no file.
        """
        ordered = sorted(faults, key=lambda each: (each[0] is None, each[0] or 0))
        told = list(dict.fromkeys(text for _, text in ordered))
        more = [f"and {len(told) - _MOST_LINES} more"] if len(told) > _MOST_LINES else []
        return cls("\n".join(told[:_MOST_LINES] + more))


class OptionText(str):
    """The value of an option such as `--set`: text whatever is meant, while TOML writes what it means."""

    __slots__ = ()


class Section(BaseModel):
    """One section of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    # For keys that must be given: what stands there while the others are looked at, if they are wrong.
    stand_ins: ClassVar[Mapping[str, Any]] = {}

    def faults_within(self, wrong: frozenset[str]) -> Iterator[ValidationError]:  # noqa: ARG002
        """Yield what is wrong between keys that are right by themselves; of `wrong` ones nothing is known."""
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # One key of the wrong type must not hide what is wrong between the others.
        if cls.faults_within is Section.faults_within or isinstance(data, cls):
            return handler(data)
        made, wrong, faults = _read(cls, data, handler)
        if made is not None:
            faults += made.faults_within(wrong)
        if len(faults) == 1:
            raise faults[0]  # with its own type, which who asked may look at
        if made is None or faults:
            raise together(*faults)
        return made

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Let editors take durations as text too."""
        made = handler(core_schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, field in cls.model_fields.items():
            if any(getattr(item, "func", None) is _duration for item in field.metadata):
                properties[name] = _or_text(properties[name])
        return made


def _or_text(described: JsonSchemaValue) -> JsonSchemaValue:
    kept = ("title", "description", "default")
    number = {key: value for key, value in described.items() if key not in kept}
    text = {"type": "string", "pattern": f"^{_DURATION.pattern}$"}
    return {key: described[key] for key in kept if key in described} | {"anyOf": [number, text]}


def _duration(value: object) -> object:
    """Read "15m" as 900.0; what is no text is left to the field's own type."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError(f'{value!r} is no duration; write it as "15m", "120s" or a number of seconds')
    return float(match[1]) * _UNITS[match[2]]


def _whole(value: float) -> float:
    if value != int(value):
        raise ValueError("a Periodic Timer counts whole seconds")
    return value


def _switch(value: object) -> object:
    """Refuse "no" and 1 of a file: whoever writes them is not sure what they do."""
    if isinstance(value, bool | OptionText):
        return value
    raise ValueError(f"{_shown(value)} is neither true nor false; write one of them, without quotes")


def _possible(value: Path) -> Path:
    if "\0" in str(value):
        raise ValueError("no file can be called so: there is a NUL in it")
    return value


Switch = Annotated[bool, BeforeValidator(_switch)]
FileName = Annotated[Path, AfterValidator(_possible)]
Seconds = Annotated[float, BeforeValidator(_duration)]
WholeSeconds = Annotated[Seconds, AfterValidator(_whole)]


def partly(kind: type[_S], raw: object) -> tuple[_S | None, frozenset[str]]:
    """Return a section, with the defaults for keys that are wrong, and these keys; None if it is none."""
    made, wrong, _ = _read(kind, raw, kind.model_validate)
    return made, wrong


def _read(
    kind: type[_S], raw: Any, make: Callable[[Any], _S]
) -> tuple[_S | None, frozenset[str], list[ValidationError]]:
    """Return the same, and what was wrong."""
    try:
        return make(raw), frozenset(), []
    except ValidationError as error:
        wrong = frozenset(str(item["loc"][0]) for item in error.errors() if item["loc"])
        if not isinstance(raw, dict):
            return None, wrong, [error]
        right = {key: value for key, value in raw.items() if key not in wrong}
        right |= {key: value for key, value in kind.stand_ins.items() if key in wrong}
        try:
            return make(right), wrong, [error]
        except ValidationError:
            return None, wrong, [error]


def fault(message: str, *place: str | int, other: Place = ()) -> ValidationError:
    """Return an error at a place below the value that is being validated, to be raised.

    `other` is a second place of the document that it is about; the message is to end before its name.
    """
    if other:
        message = f"{message} {key_of(other)}"
    return ValidationError.from_exception_data(
        "configuration", [_detail("value_error", message, place, other)]
    )


def together(*errors: ValidationError) -> ValidationError:
    """Return several errors as one."""
    details = [
        _detail(
            item["type"] if item["type"] == "extra_forbidden" else "value_error",
            message_of(item),
            item["loc"],
            _other(item),
        )
        for error in errors
        for item in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data("configuration", details)


def moved(error: ValidationError, move: Callable[[Place], Place]) -> ValidationError:
    """Return the same errors at other places."""
    details = [
        _detail("value_error", message_of(item), move(item["loc"]), _other(item))
        for item in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data("configuration", details)


def only(error: ValidationError, wanted: Callable[[Place], bool]) -> ValidationError:
    """Return an error with those of its places alone that are wanted; it may be none."""
    details = [
        _detail("value_error", message_of(item), item["loc"], _other(item))
        for item in error.errors(include_url=False)
        if wanted(item["loc"])
    ]
    return ValidationError.from_exception_data("configuration", details)


def message_of(item: ErrorDetails) -> str:
    """Return what is wrong at a place; of a wrong type what was given and what is wanted."""
    wanted = _WANTED.get(item["type"])
    if wanted is None or "password" in str(item["loc"][-1:]):
        return item["msg"].removeprefix("Value error, ")
    return f"{_shown(item['input'])} is {wanted}"


def _shown(value: object) -> str:
    """Return a value as it is written in TOML, or what kind of thing it is where that is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        return "a section" if isinstance(value, dict) else "a list"  # somewhere in it may be a password
    try:
        text = repr(str(value)) if isinstance(value, str) else str(value)
    except ValueError:  # a number of thousands of digits
        return "such a number"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _other(item: ErrorDetails) -> Place:
    return tuple(item.get("ctx", {}).get("other", ()))


def _detail(kind: str, message: str, place: Place, other: Place) -> InitErrorDetails:
    # The input is left out: it may be a password.
    error = PydanticCustomError(kind, "{message}", {"message": message, "other": other})
    return InitErrorDetails(type=error, loc=place, input=None)
