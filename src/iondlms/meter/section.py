"""What all sections of a configuration have in common: unknown keys are errors, errors name their key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
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
    "close_to",
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
    "list_type": "no list; write it in brackets",
    "dict_type": "no section",
    "model_type": "no section",
    "model_attributes_type": "no section",
    "path_type": "no path; write it in quotes",
    "finite_number": "no number that can be meant",
    "int_parsing_size": "too long for a number",
}
# What the patterns of keys allow.
_ALLOWED: Final = {
    "^[A-Z]{3}$": "write three capital letters",
    r"^[A-Za-z0-9_-]+$": "write letters, digits, - and _ only",
}
_BOUNDS: Final = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
_UNIT_WORDS: Final = {"ms": "ms", "mi": "m", "s": "s", "m": "m", "h": "h", "d": "d"}  # as words of it begin
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
    # Keys of other sections that are looked for here, and what is said of them.
    strays: ClassVar[Mapping[str, str]] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        # Python counts with true as with 1, and pydantic follows it; it also reads numbers out of texts.
        if not isinstance(value, bool) and type(value) is not str:
            return value
        field = cls.model_fields[str(info.field_name)]
        kinds = get_args(field.annotation) or (field.annotation,)
        whole = int in kinds or any(type(each) is int for each in kinds)
        if type(value) is str:
            reads_texts = any(isinstance(each, BeforeValidator) for each in field.metadata)
            if (whole or float in kinds) and str not in kinds and not reads_texts and _is_number(value):
                raise ValueError(f"{_shown(value)} is text; write it without quotes")
        elif bool not in kinds and (whole or float in kinds):
            raise ValueError(f"{_shown(value)} is {_WANTED['int_type' if whole else 'float_type']}")
        return value

    def faults_within(self, wrong: frozenset[str]) -> Iterator[ValidationError]:  # noqa: ARG002
        """Yield what is wrong between keys that are right by themselves; of `wrong` ones nothing is known."""
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # One key of the wrong type must not hide what is wrong between the others.
        if cls.faults_within is Section.faults_within or isinstance(data, cls):
            return _made(cls, data, handler)
        made, wrong, faults = _read(cls, data, lambda raw: _made(cls, raw, handler))
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
        raise ValueError(f"{value!r:.80} is no duration; write {_hint_at(value)} or a number of seconds")
    return float(match[1]) * _UNITS[match[2]]


def _hint_at(value: str) -> str:
    """Return how a duration is written: the one that is meant, where a unit's word tells."""
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z]{2,12})\.?\s*", value)
    units = (
        ()
        if match is None
        else (unit for word, unit in _UNIT_WORDS.items() if match[2].lower().startswith(word))
    )
    unit = next(iter(units), None)
    return 'it as "15m", "120s", "1d"' if match is None or unit is None else f'"{match[1]}{unit}"'


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


def close_to(word: str, words: Iterable[str]) -> str:
    """Return a question whether one of the words was meant, up to three; empty where none is close."""
    by_case = {each.casefold(): each for each in words}
    close = [by_case[each] for each in get_close_matches(word.casefold()[:_MOST_SHOWN], by_case, 3, 0.6)]
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def _made(kind: type[_S], raw: Any, handler: Callable[[Any], _S]) -> _S:
    try:
        return handler(raw)
    except ValidationError as error:
        raise _of_this_section(kind, error) from error


def _of_this_section(kind: type[Section], error: ValidationError) -> ValidationError:
    """Return an error with what the section knows of its keys: what they are called, and their ranges."""
    items = error.errors(include_url=False)
    if not any(len(item["loc"]) == 1 and item["type"] in (*_BOUNDS, "extra_forbidden") for item in items):
        return error
    details: list[InitErrorDetails] = []
    for item in items:
        place, what = item["loc"], item["type"]
        field = kind.model_fields.get(str(place[0])) if len(place) == 1 else None
        if what == "extra_forbidden" and len(place) == 1:
            hint = close_to(str(place[0]), kind.model_fields)
            message = kind.strays.get(str(place[0]), f"there is no such key{'; ' if hint else ''}{hint}")
        elif what in _BOUNDS and field is not None:
            unit = " s" if any(getattr(each, "func", None) is _duration for each in field.metadata) else ""
            message = f"{_shown(item['input'])} is out of range; write {_range_of(field.metadata)}{unit}"
        else:
            # As it is: who asked may look at its type and what was given.
            told = what == "value_error" or "message" in item.get("ctx", {})
            given = InitErrorDetails(type=what, loc=place, input=item["input"], ctx=item.get("ctx", {}))
            details.append(_detail(what, message_of(item), place, _other(item)) if told else given)
            continue
        details.append(_detail(what, message, place, ()))
    return ValidationError.from_exception_data("configuration", details)


def _range_of(bounds: Iterable[Any]) -> str:
    low, high = "", ""
    for each in bounds:
        if getattr(each, "ge", None) is not None:
            low = f"{each.ge:.15g}"
        if getattr(each, "gt", None) is not None:
            low = f"more than {each.gt:.15g}"
        if getattr(each, "le", None) is not None:
            high = f"{each.le:.15g}"
    if low and high:
        return f"{low} to {high}"
    return f"{low} or more" if low else f"{high} or less"


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
    """Return what is wrong at a place, in plain words: what was given, and what is wanted."""
    what, given, ctx = item["type"], item["input"], item.get("ctx", {})
    if "message" in ctx or what == "value_error":
        return item["msg"].removeprefix("Value error, ")
    if what == "extra_forbidden":
        return "there is no such key"
    if what == "missing":
        return "must be given"
    if "password" in str(item["loc"][-1:]):
        return "no text; write it in quotes" if what == "string_type" else item["msg"]
    if what == "tuple_type" and isinstance(given, dict) and item["loc"]:
        name = ".".join(part for part in item["loc"] if isinstance(part, str))
        return f"there may be several; write it as [[{name}]]"
    if what == "literal_error":
        return f"{_shown(given)} is not possible; write {ctx['expected']}"
    if what in ("string_too_short", "too_short"):
        return "must not be empty" if ctx["min_length"] == 1 else f"fewer than {ctx['min_length']}"
    if what == "string_too_long":
        return f"{_shown(given)} has {len(given)} characters; {ctx['max_length']} is the most"
    if what == "too_long":
        return f"{ctx['actual_length']} are given; {ctx['max_length']} is the most"
    if what == "string_pattern_mismatch":
        hint = _ALLOWED.get(ctx["pattern"], f"it must match {ctx['pattern']}")
        return f"{_shown(given)} is not possible; {hint}"
    wanted = _WANTED.get(what)
    return item["msg"] if wanted is None else f"{_shown(given)} is {wanted}"


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
