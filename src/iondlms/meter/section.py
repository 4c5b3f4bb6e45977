"""What all sections of a configuration have in common: unknown keys are errors, errors name their key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from iondlms.errors import LocalError

__all__ = ["ConfigError", "Seconds", "Section", "fault", "lines_of", "together"]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


class ConfigError(LocalError):
    """The configuration is wrong; one line an error, each beginning with its key."""


class Section(BaseModel):
    """One section of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _duration(value: object) -> object:
    """Read "15m" as 900.0; what is no text is left to the field's own type."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError(f'{value!r} is no duration; write it as "15m", "120s" or a number of seconds')
    return float(match[1]) * _UNITS[match[2]]


Seconds = Annotated[float, BeforeValidator(_duration)]


def fault(message: str, *place: str | int) -> ValidationError:
    """Return an error at a place below the value that is being validated, to be raised."""
    return ValidationError.from_exception_data("configuration", [_detail("value_error", message, place)])


def together(*errors: ValidationError) -> ValidationError:
    """Return several errors as one."""
    details = [
        _detail(item["type"], item["msg"], item["loc"])
        for error in errors
        for item in error.errors(include_url=False, include_input=False)
    ]
    return ValidationError.from_exception_data("configuration", details)


def _detail(kind: str, message: str, place: tuple[str | int, ...]) -> InitErrorDetails:
    # The input is left out: it may be a password.
    error = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=place, input=None)


def lines_of(error: ValidationError, document: Mapping[str, Any]) -> list[str]:
    """Return a line for each error: its dotted key, ports and lines by their names, then what is wrong."""
    lines: dict[str, None] = {}  # ordered, and each once
    for item in error.errors(include_url=False, include_input=False):
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "there is no such key"
        key = _key(item["loc"], document)
        for line in message.splitlines() or [message]:
            lines[f"{key}: {line}"] = None
    return list(lines)


def _key(place: tuple[int | str, ...], document: Mapping[str, Any]) -> str:
    parts = [str(part) for part in place]
    if len(place) > 1 and place[0] in ("port", "line") and isinstance(place[1], int):
        entries = document.get(str(place[0]))
        entry = entries[place[1]] if isinstance(entries, list) and place[1] < len(entries) else None
        name = (
            entry.get("name", "ETHERNET" if place[0] == "port" else None) if isinstance(entry, dict) else None
        )
        if isinstance(name, str) and name:
            parts[1] = name.upper() if place[0] == "port" else name
    return ".".join(parts)
