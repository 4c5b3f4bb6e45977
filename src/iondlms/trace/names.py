"""What numbers are called: classes, attributes, logical names, units, addresses, codes."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

from iondlms.codec.obis import ObisCode
from iondlms.cosem import AssociationLn, Clock, DataObject, Interface, ProfileGeneric, Register, SapAssignment
from iondlms.ion.framework import BILLING, LOAD_PROFILE
from iondlms.ion.recorder import STATUS_INVALID, Status

__all__ = [
    "attribute_name",
    "class_name",
    "code_name",
    "column_names",
    "method_name",
    "obis_text",
    "printable",
    "sap_text",
    "status_text",
    "words",
]

_TABLES: Final[dict[int, type[Interface]]] = {
    cls.class_id: cls for cls in (DataObject, Register, ProfileGeneric, Clock, AssociationLn, SapAssignment)
}
_CLASSES: Final = {
    1: "Data", 3: "Register", 4: "Extended register", 5: "Demand register", 6: "Register activation",
    7: "Profile generic", 8: "Clock", 9: "Script table", 10: "Schedule", 11: "Special days table",
    12: "Association SN", 15: "Association LN", 17: "SAP assignment", 18: "Image transfer",
    19: "IEC local port setup", 20: "Activity calendar", 21: "Register monitor",
    22: "Single action schedule", 23: "IEC HDLC setup", 27: "Modem configuration", 28: "Auto answer",
    29: "Auto connect", 40: "Push setup", 41: "TCP-UDP setup", 42: "IPv4 setup", 64: "Security setup",
    70: "Disconnect control", 71: "Limiter",
}  # fmt: skip
_LOAD: Final = "1-0:99.1.0*255"
_BILLING: Final = "1-0:98.1.0*255"
_OBJECTS: Final = {
    "0-0:1.0.0*255": "clock",
    "0-0:40.0.0*255": "current association",
    "0-0:41.0.0*255": "SAP assignment",
    "0-0:42.0.0*255": "logical device name",
    "0-0:97.97.0*255": "status word",
    _LOAD: "load profile",
    _BILLING: "billing data",
    **{code: name for name, code in (*LOAD_PROFILE, *BILLING)},
}
_RECORD: Final = ("record timestamp", "status")
_COLUMNS: Final = {
    _LOAD: (*_RECORD, *(name for name, _ in LOAD_PROFILE)),
    _BILLING: (*_RECORD, *(name for name, _ in BILLING)),
}
# By value group C and D of medium 1, electricity (IEC 62056-61); enough to tell what another meter sends.
_QUANTITIES: Final = {
    1: "active +", 2: "active -", 3: "reactive +", 4: "reactive -", 9: "apparent +", 10: "apparent -",
    13: "power factor", 14: "frequency", 15: "active |+|+|-|", 16: "active |+|-|-|",
    31: "current L1", 51: "current L2", 71: "current L3", 32: "voltage L1", 52: "voltage L2",
    72: "voltage L3",
}  # fmt: skip
_PROCESSINGS: Final = {
    2: "cumulative maximum demand", 4: "present demand", 5: "last demand", 6: "maximum demand",
    7: "instantaneous", 8: "energy", 9: "energy of the billing period", 29: "interval energy",
}  # fmt: skip
_ABSTRACT: Final = {
    (1, 0): "clock", (40, 0): "association", (41, 0): "SAP assignment", (42, 0): "logical device name",
    (43, 0): "security setup", (43, 1): "invocation counter", (96, 1): "device identifier",
    (97, 97): "error register", (25, 9): "push setup", (22, 0): "HDLC setup", (20, 0): "local port setup",
}  # fmt: skip

_ACRONYMS: Final = re.compile(r"\b(acse|ap|ae|dlms|pdu|vde)\b")


def words(member: IntEnum) -> str:
    """Return a code's name as the standards write it: `read-write-denied`."""
    text = member.name.lower().replace("_", "-")
    return _ACRONYMS.sub(lambda match: match[0].upper(), text)


def code_name(kind: type[IntEnum], number: int) -> str | None:
    """Return the name of a code, None if the standard has none."""
    try:
        return words(kind(number))
    except ValueError:
        return None


def class_name(class_id: int) -> str:
    """Return `Profile generic (7)`."""
    name = _CLASSES.get(class_id)
    return f"class {class_id}" if name is None else f"{name} ({class_id})"


def attribute_name(class_id: int, attribute_id: int) -> str:
    """Return `buffer (2)`, or the number alone where this meter has no such class."""
    if attribute_id == 0:
        return "all attributes (0)"
    table = _TABLES.get(class_id)
    attribute = None if table is None else table.attributes.get(attribute_id)
    if attribute is None and attribute_id != 1:
        return str(attribute_id)
    name = "logical_name" if attribute is None else attribute.name.removesuffix("_data")
    return f"{name} ({attribute_id})"


def method_name(class_id: int, method_id: int) -> str:
    """Return `reset (1)`, or the number alone."""
    table = _TABLES.get(class_id)
    name = None if table is None else table.methods.get(method_id)
    return str(method_id) if name is None else f"{name} ({method_id})"


def obis_text(octets: bytes) -> str:
    """Return six octets as `1-1:1.29.0*255 kWh del int`; the name only where there is one."""
    code = str(ObisCode(octets))
    name = _OBJECTS.get(code) or _general(octets)
    return f"{code} {name}" if name else code


def _general(octets: bytes) -> str:
    medium, _, c, d, _, f = octets
    if f != 0xFF:  # a historical value, or no logical name at all
        return ""
    if medium == 0:
        return _ABSTRACT.get((c, d), "")
    quantity, processing = _QUANTITIES.get(c, ""), _PROCESSINGS.get(d, "")
    return f"{quantity}, {processing}" if medium == 1 and quantity and processing else ""


def column_names(profile: ObisCode) -> tuple[str, ...]:
    """Return the columns that an ION meter as delivered has in this profile, none for any other."""
    return _COLUMNS.get(str(profile), ())


def sap_text(sap: int) -> str:
    """Return a client's SAP and which of the profile's clients that is."""
    known = {1: " (reading and setting client)", 16: " (public client)"}
    return f"client {sap}{known.get(sap, '')}"


def status_text(word: int) -> str:
    """Return the ION status word as number and words."""
    if word == STATUS_INVALID:
        return "FFFF invalid"
    names = [bit.name.lower().replace("_", " ") for bit in Status if word & bit and bit.name]
    return f"{word:04X}" + (" " + ", ".join(names) if names else "")


def printable(octets: bytes) -> str | None:
    """Return octets as quoted text, None where one of them is no printable ASCII."""
    if octets and all(0x20 <= octet < 0x7F for octet in octets):
        return '"' + octets.decode("ascii") + '"'
    return None
