"""The file of a configuration, and single keys set over it; nothing here knows what they mean.

Keys are written with their dotted path: `meter.long_answers`, `clock.zone`, `port.ETHERNET.unit_id`. A key
of `[meter]` may be written without its section; with several `[[meter]]` it is set in each.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from iondlms.ion.ports import PORT_NAMES
from iondlms.meter.section import ConfigError

__all__ = ["Document", "read_document"]

Document = dict[str, Any]

_SECTIONS: Final = ("meter", "clock", "source", "load_profile", "billing", "port", "line")
# A key that makes the port it names, if it is not there: without it the port could not be opened.
_MAKING: Final = {"listen", "device"}


def read_document(path: Path | None, settings: Sequence[tuple[str, Any]] = ()) -> Document:
    """Return the tables of a file with single keys set over them; ConfigError if it is no TOML."""
    document: Document = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
    for key, value in settings:
        _set(document, key, value)
    return document


def _set(document: Document, key: str, value: Any) -> None:
    parts = key.split(".")
    if parts[0] not in _SECTIONS:
        parts.insert(0, "meter")
    if len(parts) < 2:
        raise ConfigError(f"{key}: names a section; name a key of it, such as {key}.KEY")
    if parts[0] == "port":
        tables, parts = [_port(document, parts, key)], parts[2:]
    elif parts[0] == "line":
        tables, parts = [_line(document, parts, key)], parts[2:]
    elif isinstance(document.get("meter"), list) and parts[0] == "meter":
        tables, parts = document["meter"], parts[1:]
    else:
        tables = [document]
    for table in tables:
        _put(table, parts, key, value)


def _put(table: Any, parts: list[str], key: str, value: Any) -> None:
    here = table
    for number, part in enumerate(parts):
        if not isinstance(here, dict):
            raise ConfigError(f"{key}: {parts[number - 1] if number else key} is no section")
        if number == len(parts) - 1:
            here[part] = value
        else:
            here = here.setdefault(part, {})


def _port(document: Document, parts: list[str], key: str) -> Any:
    """Return the port that `port.NAME.KEY` means, by name or by number from 0."""
    if len(parts) < 3:
        raise ConfigError(f"{key}: write it as port.NAME.KEY, as in port.ETHERNET.unit_id")
    if isinstance(document.get("meter"), list):
        raise ConfigError(f"{key}: several [[meter]] have no ports of their own; see their [[line]]")
    ports = document.setdefault("port", [{"name": "ETHERNET"}])
    found = _entry(ports, "port", parts[1].upper(), "ETHERNET")
    if found is None and parts[1].upper() in PORT_NAMES and parts[-1] in _MAKING:
        found = {"name": parts[1].upper()}
        ports.append(found)
    if found is None:
        raise ConfigError(f"{key}: there is no port {parts[1]}; give its device or listen first")
    return found


def _line(document: Document, parts: list[str], key: str) -> Any:
    if len(parts) < 3:
        raise ConfigError(f"{key}: write it as line.NAME.KEY, as in line.bus.device")
    found = _entry(document.get("line", []), "line", parts[1], "")
    if found is None:
        raise ConfigError(f"{key}: there is no line {parts[1]}")
    return found


def _entry(entries: Any, section: str, name: str, default: str) -> Any:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{section}: write each {section} as a section of its own, headed [[{section}]]")
    for number, entry in enumerate(entries):
        own = entry.get("name", default)
        if name in (str(number), own.upper() if section == "port" and isinstance(own, str) else own):
            return entry
    return None
