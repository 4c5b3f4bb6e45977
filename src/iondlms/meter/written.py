"""A configuration as TOML: whole, with its defaults filled in, or a first file with comments that teach."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from iondlms.ion.ports import Port, ports_of
from iondlms.ion.quantities import QUANTITIES
from iondlms.meter.config import Config
from iondlms.meter.framework_sections import DlmsLogExportSection
from iondlms.meter.modules import SHORT_FORMS, modules_of
from iondlms.meter.section import Section
from iondlms.meter.site import Member, Site

__all__ = ["as_toml", "first_file"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_WIDE: Final = 100  # a list that makes a longer line gets a line for each element


def as_toml(made: Config | Site) -> Iterator[str]:
    """Yield the lines of a file with every key and all modules; a key without a value is a comment."""
    for name, value in _filled(made).items():
        yield from _table(name, value)


def _filled(made: Config | Site) -> dict[str, Any]:
    """Return the sections by name; the modules of the default framework are among them."""
    sections: dict[str, Any] = dict(made)
    members = made.meter if isinstance(made, Site) else (made.meter,)
    if len({member.default_framework for member in members}) == 1:
        sections |= modules_of({**sections, "meter": members[0]}).sections()
        for short in SHORT_FORMS:  # what they say is with the modules now
            del sections[short]
    return sections


def _table(name: str, value: Any) -> Iterator[str]:
    """Yield the lines of a section, or of each section of a name."""
    if isinstance(value, tuple):
        for each in value:
            yield from _section(f"[[{name}]]", name, each)
    else:
        yield from _section(f"[{name}]", name, value)


def _section(heading: str, name: str, value: BaseModel | Mapping[str, Any]) -> Iterator[str]:
    yield heading
    below = []
    for key, each in value.items() if isinstance(value, Mapping) else value:
        if each and (isinstance(each, Mapping) or (isinstance(each, tuple) and isinstance(each[0], Section))):
            below.append((f"{name}.{_key(key)}", each))
        # Of several meters on a line a seed, once it is given, counts on from there: a default is not given.
        elif isinstance(value, Member) and key not in value.model_fields_set:
            pair = _pair(key, each)
            yield pair if pair.startswith("#") else f"# {pair}"
        else:
            yield _pair(key, each)
    yield ""
    for place, each in below:
        yield from _table(place, each)


def _pair(key: str, value: Any) -> str:
    if value is None:
        return f"# {_key(key)} ="
    if isinstance(value, SecretStr):
        return f"# {_key(key)} = is given, and not shown"
    if isinstance(value, Mapping):
        return f"{_key(key)} = {{}}"
    line = f"{_key(key)} = {_value(value)}"
    if len(line) > _WIDE and isinstance(value, tuple):
        return "\n".join((f"{_key(key)} = [", *(f"    {_value(each)}," for each in value), "]"))
    return line


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return _text(value.isoformat() if isinstance(value, datetime) else str(value))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON's strings are TOML's, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


# --- the first file -----------------------------------------------------------------------------------------

_TOP: Final = """\
# {model}: its default framework, and every setting as it is without this file.
#
#   iondlms config check FILE    tells what is wrong in it
#   iondlms serve FILE           is this meter
#
# Delete what need not be said: a key that is not here has the value shown. Keys behind a "#" without a blank
# are switched off. Durations are seconds, or text such as "15m" (ms, s, m, h, d)."""

_TOLD: Final = {
    "meter": "What the meter is and how it answers.",
    "clock": """\
The Clock module. Records are kept in UTC: these settings change what is shown, not what was recorded.
Instead of a zone, TZ offset, DST offset and up to 20 pairs of DST start and end may be given by hand:
  tz_offset = 60
  dst_offset = 60
  dst = [["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"]]""",
    "source": "What is measured: a simulated load, a recording (kind replay) or another meter (kind modbus).",
    "power_meter": "Registers, and the sliding window of the demands.",
    "periodic_timer": """\
Periodic Timers: what makes the rows of the recorders. The Load Profile Timer also ends the intervals of the
quantities whose names end in "int".""",
    "month_end": "",
    "data_recorder": """\
Data Recorders. A module with the name of a default one replaces it, one with a new name is added. Any
change of a recorder's inputs or settings clears its log, as in the meters.
Quantities; the largest and smallest values since the last reset are called as in "kW tot mx" and "kW tot mn":
{quantities}""",
    "dlms_log_export": """\
DLMS Log Export modules: which recorder is which Profile Generic. A change here clears no log.""",
    "event_log": "The Event Log Controller.",
    "port": "The ports. Each may answer at the same time.",
}
_EXAMPLES: Final = {
    "password": '"12345678"',
    "password_file": '"meter.password"',
    "data": '"meter-data"',
    "peak_kw": "250",
    "solar_kw": "40",
}
_MONTHS: Final = """\
# What pulses when a month begins; its records have no capture period, and their status is invalid (0xFFFF).
#[[month_end]]
#name = "Month End"
"""
_MORE: Final = """\
# One more recorder, exported under a name of its own: iondlms profile URL 1-0:99.2.0*255
#[[periodic_timer]]
#name = "Minute"
#period = "1m"
#
#[[data_recorder]]
#name = "Voltage"
#record = "Minute"
#sources = ["Vln a", "Vln b", "Vln c", "I a", "I b", "I c", "PF sign tot"]
#depth = 10080
#
#[[dlms_log_export]]
#data_recorder = "Voltage"
#profile_obis = "1-0:99.2.0*255"
"""


def first_file(model: str) -> str:
    """Return the file that says in so many words what a model is without one, and what may be changed."""
    made = Config.model_validate({"meter": {"model": model}})
    lines = [_TOP.format(model=made.meter.model), ""]
    for name, value in _filled(made).items():
        lines += _told(name)
        for each in value if isinstance(value, tuple) else (value,):
            lines += [
                f"[[{name}]]" if isinstance(value, tuple) else f"[{name}]",
                *_explained(each, value),
                "",
            ]
        if name == "month_end":
            lines += [*_MONTHS.splitlines(), ""]
        if name == "dlms_log_export":
            lines += [*_MORE.splitlines(), ""]
    names = {port.name for port in made.port}
    for port in ports_of(made.meter.model):
        if port.name not in names:
            lines += [
                f"# {_about(port)}",
                "#[[port]]",
                f'#name = "{port.name}"',
                '#device = "/dev/ttyUSB0"',
                "",
            ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _told(name: str) -> list[str]:
    lines = []
    for line in _TOLD.get(name, "").splitlines():
        lines += [line] if line != "{quantities}" else _listed()
    return [f"# {line}" for line in lines]


def _listed() -> list[str]:
    """Return the quantities, but for the maxima and minima, which are named after them."""
    lines = [""]
    for name in (quantity.name for quantity in QUANTITIES.values() if not quantity.of):
        if len(lines[-1]) + len(name) > _WIDE:
            lines.append("")
        lines[-1] += f"  {name},"
    lines[-1] = lines[-1].rstrip(",")
    return lines


def _explained(section: BaseModel, of: Any) -> list[str]:
    """Return the keys of a section; what they mean is told in the first of its kind."""
    lines = []
    first = not isinstance(of, tuple) or section is of[0]
    for key, value in section:
        about = type(section).model_fields[key].description
        if (value is None and key not in _EXAMPLES) or value == ():
            continue  # there is nothing to show, or sections of their own stand for it
        if about and first:
            lines.append(f"# {about}")
        if value is None:
            lines.append(f"#{key} = {_EXAMPLES[key]}")
        elif isinstance(value, tuple) and value:
            notes = _quantities(section) if key == "obis_codes" else [""] * len(value)
            lines.append(f"{key} = [")
            lines += [f"    {_value(each)},{note}" for each, note in zip(value, notes, strict=True)]
            lines.append("]")
        else:
            lines.append(_pair(key, value))
    return lines


def _quantities(section: BaseModel) -> list[str]:
    """Return a note beside each OBIS code that says which quantity it is."""
    by_code = {quantity.obis: name for name, quantity in QUANTITIES.items()}
    codes = section.obis_codes if isinstance(section, DlmsLogExportSection) else None
    return [f"  # {by_code[code]}" if code in by_code else "" for code in codes or ()]


def _about(port: Port) -> str:
    wires = f" ({' or '.join(port.wires)})" if port.wires else ""
    return f"{port.kind}{wires}: {port.baud} baud, Unit ID {port.unit_id}"
