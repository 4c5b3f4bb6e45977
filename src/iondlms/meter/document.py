"""The file of a configuration, and single keys set over it; nothing here knows what they mean.

Keys are written with their dotted path: `meter.long_answers`, `clock.zone`, `port.ETHERNET.unit_id`. A key
of `[meter]` may be written without its section; with several `[[meter]]` it is set in each. Of the sections
that come in any number one is meant by its name, or by its number from 0: `data_recorder.Billing.depth`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from iondlms.ion.ports import PORT_NAMES
from iondlms.meter.places import Place, key_of, lines_of_places, printable
from iondlms.meter.section import ConfigError, OptionText, message_of

__all__ = ["Document", "read_document"]

# Of a section that comes in any number: the key that names it.
_NAMES: Final = {
    "port": "name",
    "line": "name",
    "periodic_timer": "name",
    "month_end": "name",
    "data_recorder": "name",
    "dlms_log_export": "data_recorder",
    "fault": "name",
}
_SECTIONS: Final = (
    "meter",
    "clock",
    "source",
    "power_meter",
    "event_log",
    "load_profile",
    "billing",
    *_NAMES,
)
_EXAMPLES: Final = {
    "port": "port.ETHERNET.unit_id",
    "line": "line.bus.device",
    "periodic_timer": "periodic_timer.0.period",
    "month_end": "month_end.0.name",
    "data_recorder": "data_recorder.Billing.depth",
    "dlms_log_export": "dlms_log_export.Billing.profile_obis",
    "fault": "fault.0.count",
}
# How `tomllib` ends its messages.
_WHERE: Final = re.compile(r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", re.DOTALL)
# A key that makes the port it names, if it is not there: without it the port could not be opened.
_MAKING: Final = {"listen", "device"}
_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


class Document(dict[str, Any]):
    """The tables of a file; knows where in it a key stands."""

    def __init__(self, tables: Mapping[str, Any] = _EMPTY, path: Path | None = None, text: str = "") -> None:
        super().__init__(tables)
        self.path = path
        self._text = text
        self._set: set[Place] = set()  # what options have set over the file: that is on no line of it

    @cached_property
    def _lines(self) -> dict[Place, int]:
        return lines_of_places(self._text)

    def line_of(self, place: Place) -> int | None:
        """Return the line of a place, or of what it would be in; None where it is not of the file."""
        for length in range(len(place), 0, -1):
            if place[:length] in self._set:
                return None
            if place[:length] in self._lines:
                return self._lines[place[:length]]
        return None

    def told(self, place: Place, message: str) -> str:
        """Return one line that says what is wrong where: file, line, key, message."""
        number = self.line_of(place)
        of_option = any(place[:length] in self._set for length in range(1, len(place) + 1))
        # A section that only an option names: the file has no such line.
        of_option = of_option or (
            place not in self._lines and any(each[: len(place)] == place for each in self._set)
        )
        if self.path is None or of_option:
            where = ""
        else:
            where = f"{self.path}: " if number is None else f"{self.path}:{number}: "
        return f"{where}{self._key(place)}: {printable(message)}"

    def lines(self, error: ValidationError) -> Iterator[tuple[int | None, str]]:
        """Yield what is wrong: its line, None if it is on none, and what is told."""
        for item in error.errors(include_url=False):
            message = message_of(item)
            other = self.line_of(tuple(item.get("ctx", {}).get("other", ())))
            if other is not None:
                message = f"{message} (line {other})"
            for line in message.splitlines() or [message]:
                yield self.line_of(item["loc"]), self.told(item["loc"], line)

    def located(self, text: str) -> Iterator[tuple[int | None, str]]:
        """Yield the same of lines that begin with a plain key: `clock.zone: ...`, `meter.0.serial: ...`."""
        for line in text.splitlines():
            key, _, message = line.partition(": ")
            place = tuple(int(part) if part.isdecimal() else part for part in key.split("."))
            yield self.line_of(place), self.told(place, message)

    def _key(self, place: Place) -> str:
        if len(place) > 1 and place[0] in ("port", "line") and isinstance(place[1], int):
            entries = self.get(str(place[0]))
            entry = entries[place[1]] if isinstance(entries, list) and place[1] < len(entries) else None
            default = "ETHERNET" if place[0] == "port" else None
            name = entry.get("name", default) if isinstance(entry, dict) else None
            if isinstance(name, str) and name:
                name = name.upper() if place[0] == "port" else name
                return key_of((place[0], name, *place[2:]))
        return key_of(place)

    def put(self, key: str, value: Any) -> None:
        """Set one key over what the file says; ConfigError if it leads nowhere."""
        parts = key.split(".")
        if parts[0] not in _SECTIONS:
            parts.insert(0, "meter")
        if len(parts) < 2:
            raise ConfigError(f"{key}: names a section; name a key of it, such as {key}.KEY")
        for place, table, below in self._tables(parts, key):
            self._set.add((*place, *below))
            _put(table, below, key, value)

    def _tables(self, parts: list[str], key: str) -> Iterator[tuple[Place, Any, list[str]]]:
        """Yield the tables that a key is set in, with their places and what remains of the key."""
        section = parts[0]
        if section in _NAMES:
            if len(parts) < 3:
                raise ConfigError(f"{key}: write it as {section}.NAME.KEY, as in {_EXAMPLES[section]}")
            number, entry = self._port(parts, key) if section == "port" else self._entry(parts, key)
            yield (section, number), entry, parts[2:]
        elif section == "meter" and isinstance(self.get("meter"), list):
            for number, entry in enumerate(self["meter"]):
                yield (section, number), entry, parts[1:]
        else:
            yield (), self, parts

    def _port(self, parts: list[str], key: str) -> tuple[int, Any]:
        if isinstance(self.get("meter"), list):
            raise ConfigError(f"{key}: several [[meter]] have no ports of their own; see their [[line]]")
        ports = self.setdefault("port", [{"name": "ETHERNET"}])
        found = _entry(ports, "port", parts[1].upper())
        if found is None and parts[1].upper() in PORT_NAMES and parts[-1] in _MAKING:
            ports.append({"name": parts[1].upper()})
            found = len(ports) - 1, ports[-1]
        if found is None:
            raise ConfigError(f"{key}: there is no port {parts[1]}; give its device or listen first")
        return found

    def _entry(self, parts: list[str], key: str) -> tuple[int, Any]:
        found = _entry(self.get(parts[0], []), parts[0], parts[1])
        if found is None:
            raise ConfigError(f"{key}: there is no {parts[0]} {parts[1]}")
        return found


def read_document(path: Path | None, settings: Sequence[tuple[str, Any]] = ()) -> Document:
    """Return the tables of a file with single keys set over them; ConfigError if it is no TOML."""
    document = Document()
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a BOM
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: there is no such file") from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
        except ValueError as error:  # no UTF-8, or a path that can be none
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        try:
            document = Document(tomllib.loads(text), path, text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(_not_toml(path, text, printable(str(error)))) from error
        except RecursionError as error:
            raise ConfigError(
                f"{path}: arrays or tables are too deep in each other; write them flat"
            ) from error
        except ValueError as error:
            # What tomllib lets out of `int`, which would take minutes for a million digits.
            raise ConfigError(f"{path}: a number has too many digits; write a shorter one") from error
    for key, value in settings:
        document.put(key, OptionText(value) if isinstance(value, str) else value)
    return document


def _not_toml(path: Path, text: str, message: str) -> str:
    """Return what `tomllib` says, with its line where all other errors have theirs."""
    match = _WHERE.fullmatch(message)
    if match is None:
        return f"{path}: not TOML: {message}"
    what, line, column = match.groups()
    if line is None:
        return f"{path}:{max(len(text.splitlines()), 1)}: not TOML: {what} (at the end of the file)"
    return f"{path}:{line}: not TOML: {what} (column {column})"


def _put(table: Any, parts: list[str], key: str, value: Any) -> None:
    here = table
    for number, part in enumerate(parts):
        if not isinstance(here, dict):
            raise ConfigError(f"{key}: {parts[number - 1] if number else key} is no section")
        if number == len(parts) - 1:
            here[part] = value
        else:
            here = here.setdefault(part, {})


def _entry(entries: Any, section: str, name: str) -> tuple[int, Any] | None:
    """Return the section of that name, or of that number from 0, with its number."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{section}: write each {section} as a section of its own, headed [[{section}]]")
    for number, entry in enumerate(entries):
        own = entry.get(_NAMES[section], "ETHERNET" if section == "port" else "")
        if name in (str(number), own.upper() if section == "port" and isinstance(own, str) else own):
            return number, entry
    return None
