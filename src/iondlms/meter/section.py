"""What all sections of a configuration have in common: unknown keys are errors, errors name their key."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError

from iondlms.errors import LocalError
from iondlms.meter.places import Place, key_of

__all__ = ["ConfigError", "Seconds", "Section", "WholeSeconds", "fault", "moved", "together"]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


class ConfigError(LocalError):
    """The configuration is wrong; one line an error, each beginning with its key."""


class Section(BaseModel):
    """One section of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

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


Seconds = Annotated[float, BeforeValidator(_duration)]
WholeSeconds = Annotated[Seconds, AfterValidator(_whole)]


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
        _detail(item["type"], item["msg"], item["loc"], _other(item))
        for error in errors
        for item in error.errors(include_url=False, include_input=False)
    ]
    return ValidationError.from_exception_data("configuration", details)


def moved(error: ValidationError, move: Callable[[Place], Place]) -> ValidationError:
    """Return the same errors at other places."""
    details = [
        _detail("value_error", item["msg"].removeprefix("Value error, "), move(item["loc"]), _other(item))
        for item in error.errors(include_url=False, include_input=False)
    ]
    return ValidationError.from_exception_data("configuration", details)


def _other(item: ErrorDetails) -> Place:
    return tuple(item.get("ctx", {}).get("other", ()))


def _detail(kind: str, message: str, place: Place, other: Place) -> InitErrorDetails:
    # The input is left out: it may be a password.
    error = PydanticCustomError(kind, "{message}", {"message": message, "other": other})
    return InitErrorDetails(type=error, loc=place, input=None)
