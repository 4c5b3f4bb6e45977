"""Interface classes as a tester sees them: each attribute's type, by class and version (IEC 62056-62).

The generic COSEM cases walk any meter's object_list against this table; a class that is not here is still
read, its values only not held against a type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from iondlms.codec.axdr import BitString, Data, Tag

__all__ = ["CLASSES", "InterfaceClass", "Type", "class_of"]

Type: TypeAlias = Callable[[Data], str]  # what is wrong with a value; nothing where it is right


class InterfaceClass(NamedTuple):
    """One class and version."""

    name: str
    attributes: tuple[tuple[str, Type], ...]  # from attribute 1
    methods: int


def _tag(*tags: Tag, size: int | None = None) -> Type:
    names = " or ".join(tag.name.lower().replace("_", "-") for tag in tags)

    def wrong(data: Data) -> str:
        if data.tag not in tags:
            return f"{names} expected, {data.tag.name.lower().replace('_', '-')} found"
        if size is not None and isinstance(data.value, bytes) and len(data.value) != size:
            return f"{size} octets expected, {len(data.value)} found"
        return ""

    return wrong


def _array(of: Type) -> Type:
    def wrong(data: Data) -> str:
        if data.tag is Tag.COMPACT_ARRAY:
            return ""
        if data.tag is not Tag.ARRAY:
            return f"array expected, {data.tag.name.lower()} found"
        return next((f"element {n}: {of(item)}" for n, item in enumerate(data.items(), 1) if of(item)), "")

    return wrong


def _structure(*members: Type) -> Type:
    def wrong(data: Data) -> str:
        if data.tag is not Tag.STRUCTURE:
            return f"structure expected, {data.tag.name.lower()} found"
        items = data.items()
        if len(items) != len(members):
            return f"{len(members)} members expected, {len(items)} found"
        pairs = enumerate(zip(members, items, strict=True), 1)
        return next((f"member {n}: {member(item)}" for n, (member, item) in pairs if member(item)), "")

    return wrong


def _either(*types: Type) -> Type:
    def wrong(data: Data) -> str:
        faults = [one(data) for one in types]
        return "" if "" in faults else "; ".join(faults)

    return wrong


def _any(_: Data) -> str:
    return ""


def _enum(*values: int) -> Type:
    def wrong(data: Data) -> str:
        fault = _ENUM(data)
        if fault or not values or data.value in values:
            return fault
        return f"{data.value!r} is none of {', '.join(map(str, values))}"

    return wrong


def _ranged(of: Type, low: int, high: int) -> Type:
    def wrong(data: Data) -> str:
        fault = of(data)
        if fault:
            return fault
        return "" if low <= data.integer() <= high else f"{data.value!r} is not in {low}..{high}"

    return wrong


def _bits(length: int) -> Type:
    def wrong(data: Data) -> str:
        if data.tag is not Tag.BIT_STRING or not isinstance(data.value, BitString):
            return f"bit-string expected, {data.tag.name.lower()} found"
        return "" if data.value.length == length else f"{length} bits expected, {data.value.length} found"

    return wrong


_ENUM: Final = _tag(Tag.ENUM)
_BOOLEAN: Final = _tag(Tag.BOOLEAN)
_INTEGER: Final = _tag(Tag.INTEGER)
_LONG: Final = _tag(Tag.LONG)
_UNSIGNED: Final = _tag(Tag.UNSIGNED)
_LONG_UNSIGNED: Final = _tag(Tag.LONG_UNSIGNED)
_DLU: Final = _tag(Tag.DOUBLE_LONG_UNSIGNED)
_OCTETS: Final = _tag(Tag.OCTET_STRING)
_NAME: Final = _tag(Tag.OCTET_STRING, size=6)
# Meters in the field send times with tag 25 as well as in an octet-string.
_DATE_TIME: Final = _tag(Tag.OCTET_STRING, Tag.DATE_TIME, size=12)
_DATE: Final = _tag(Tag.OCTET_STRING, Tag.DATE, size=5)
_TIME: Final = _tag(Tag.OCTET_STRING, Tag.TIME, size=4)
_NULL: Final = _tag(Tag.NULL_DATA)
_SIMPLE: Final = _either(
    _tag(*(tag for tag in Tag if tag not in (Tag.ARRAY, Tag.STRUCTURE, Tag.COMPACT_ARRAY, Tag.DONT_CARE)))
)
_SCALER_UNIT: Final = _structure(_INTEGER, _ranged(_ENUM, 1, 255))
_CAPTURE_OBJECT: Final = _structure(_LONG_UNSIGNED, _NAME, _INTEGER, _LONG_UNSIGNED)
_SCRIPT: Final = _structure(_OCTETS, _LONG_UNSIGNED)
_LN: Final = ("logical_name", _NAME)
_OID: Final = _either(
    _tag(Tag.OCTET_STRING, size=7),
    _structure(_UNSIGNED, _UNSIGNED, _LONG_UNSIGNED, _UNSIGNED, _UNSIGNED, _UNSIGNED, _UNSIGNED),
)
_RIGHTS: Final = _structure(
    _array(_structure(_INTEGER, _ranged(_ENUM, 0, 6), _either(_NULL, _array(_INTEGER)))),
    _array(_structure(_INTEGER, _either(_ranged(_ENUM, 0, 2), _BOOLEAN))),
)
_OBJECT_LIST: Final = _array(_structure(_LONG_UNSIGNED, _UNSIGNED, _NAME, _RIGHTS))
_SAP: Final = _either(_INTEGER, _LONG_UNSIGNED, _UNSIGNED)
_CONTEXT_INFO: Final = _structure(
    _bits(24),
    _LONG_UNSIGNED,
    _LONG_UNSIGNED,
    _UNSIGNED,
    _INTEGER,
    _OCTETS,
)

_REGISTER: Final = (_LN, ("value", _SIMPLE), ("scaler_unit", _SCALER_UNIT))
_PROFILE: Final = (
    _LN,
    ("buffer", _array(_any)),
    ("capture_objects", _array(_CAPTURE_OBJECT)),
    ("capture_period", _DLU),
    ("sort_method", _enum(1, 2, 3, 4, 5, 6)),
    ("sort_object", _CAPTURE_OBJECT),
    ("entries_in_use", _DLU),
    ("profile_entries", _DLU),
)
_CLOCK: Final = (
    _LN,
    ("time", _DATE_TIME),
    ("time_zone", _ranged(_LONG, -840, 840)),
    ("status", _UNSIGNED),
    ("daylight_savings_begin", _DATE_TIME),
    ("daylight_savings_end", _DATE_TIME),
    ("daylight_savings_deviation", _ranged(_INTEGER, -128, 127)),
    ("daylight_savings_enabled", _BOOLEAN),
    ("clock_base", _enum(0, 1, 2, 3, 4, 5)),
)
_ASSOCIATION: Final = (
    _LN,
    ("object_list", _OBJECT_LIST),
    ("associated_partners_id", _structure(_SAP, _LONG_UNSIGNED)),
    ("application_context_name", _OID),
    ("xDLMS_context_info", _CONTEXT_INFO),
    ("authentication_mechanism_name", _OID),
    ("secret", _OCTETS),
    ("association_status", _enum(0, 1, 2)),
)
_WEEK: Final = _structure(_OCTETS, *(_UNSIGNED,) * 7)
_DAY: Final = _structure(_UNSIGNED, _array(_structure(_TIME, _OCTETS, _LONG_UNSIGNED)))
_SEASON: Final = _structure(_OCTETS, _DATE_TIME, _OCTETS)
_CALENDAR: Final = (
    ("calendar_name", _OCTETS),
    ("season_profile", _array(_SEASON)),
    ("week_profile_table", _array(_WEEK)),
    ("day_profile_table", _array(_DAY)),
)
_HDLC_SETUP: Final = (
    _LN,
    ("comm_speed", _ranged(_ENUM, 0, 9)),
    ("window_size_transmit", _ranged(_UNSIGNED, 1, 7)),
    ("window_size_receive", _ranged(_UNSIGNED, 1, 7)),
    ("max_info_field_length_transmit", _either(_UNSIGNED, _LONG_UNSIGNED)),
    ("max_info_field_length_receive", _either(_UNSIGNED, _LONG_UNSIGNED)),
    ("inter_octet_time_out", _LONG_UNSIGNED),
    ("inactivity_time_out", _LONG_UNSIGNED),
    ("device_address", _LONG_UNSIGNED),
)
_SECURITY: Final = (
    _LN,
    ("security_policy", _ENUM),
    ("security_suite", _ENUM),
    ("client_system_title", _OCTETS),
    ("server_system_title", _OCTETS),
)
_CERTIFICATES: Final = ("certificates", _array(_structure(_ENUM, _ENUM, _OCTETS, _OCTETS, _OCTETS, _OCTETS)))
_USER: Final = _structure(_UNSIGNED, _tag(Tag.VISIBLE_STRING))

CLASSES: Final[dict[tuple[int, int], InterfaceClass]] = {
    (1, 0): InterfaceClass("Data", (_LN, ("value", _any)), 0),
    (3, 0): InterfaceClass("Register", _REGISTER, 1),
    (4, 0): InterfaceClass(
        "Extended register", (*_REGISTER, ("status", _any), ("capture_time", _DATE_TIME)), 1
    ),
    (5, 0): InterfaceClass(
        "Demand register",
        (
            _LN,
            ("current_average_value", _SIMPLE),
            ("last_average_value", _SIMPLE),
            ("scaler_unit", _SCALER_UNIT),
            ("status", _any),
            ("capture_time", _DATE_TIME),
            ("start_time_current", _DATE_TIME),
            ("period", _DLU),
            ("number_of_periods", _LONG_UNSIGNED),
        ),
        2,
    ),
    (6, 0): InterfaceClass(
        "Register activation",
        (
            _LN,
            ("register_assignment", _array(_structure(_LONG_UNSIGNED, _NAME))),
            ("mask_list", _array(_structure(_OCTETS, _array(_UNSIGNED)))),
            ("active_mask", _OCTETS),
        ),
        3,
    ),
    (7, 0): InterfaceClass("Profile generic", _PROFILE, 4),
    (7, 1): InterfaceClass("Profile generic", _PROFILE, 2),
    (8, 0): InterfaceClass("Clock", _CLOCK, 6),
    (9, 0): InterfaceClass(
        "Script table",
        (
            _LN,
            (
                "scripts",
                _array(
                    _structure(
                        _LONG_UNSIGNED,
                        _array(_structure(_ENUM, _LONG_UNSIGNED, _NAME, _INTEGER, _any)),
                    )
                ),
            ),
        ),
        1,
    ),
    (11, 0): InterfaceClass(
        "Special days table",
        (_LN, ("entries", _array(_structure(_LONG_UNSIGNED, _DATE, _UNSIGNED)))),
        2,
    ),
    (15, 0): InterfaceClass("Association LN", _ASSOCIATION, 4),
    (15, 1): InterfaceClass("Association LN", (*_ASSOCIATION, ("security_setup_reference", _OCTETS)), 4),
    (15, 2): InterfaceClass(
        "Association LN",
        (
            *_ASSOCIATION,
            ("security_setup_reference", _OCTETS),
            ("user_list", _array(_USER)),
            ("current_user", _USER),
        ),
        6,
    ),
    (17, 0): InterfaceClass(
        "SAP assignment",
        (
            _LN,
            (
                "SAP_assignment_list",
                _array(_structure(_LONG_UNSIGNED, _tag(Tag.OCTET_STRING, Tag.VISIBLE_STRING))),
            ),
        ),
        1,
    ),
    (20, 0): InterfaceClass(
        "Activity calendar",
        (_LN, *_CALENDAR, *_CALENDAR, ("activate_passive_calendar_time", _DATE_TIME)),
        1,
    ),
    (22, 0): InterfaceClass(
        "Single action schedule",
        (
            _LN,
            ("executed_script", _SCRIPT),
            ("type", _enum(1, 2, 3, 4, 5)),
            ("execution_time", _array(_structure(_TIME, _DATE))),
        ),
        0,
    ),
    (23, 0): InterfaceClass("IEC HDLC setup", _HDLC_SETUP, 0),
    (23, 1): InterfaceClass("IEC HDLC setup", _HDLC_SETUP, 0),
    (64, 0): InterfaceClass("Security setup", _SECURITY, 2),
    (64, 1): InterfaceClass("Security setup", (*_SECURITY, _CERTIFICATES), 8),
    (70, 0): InterfaceClass(
        "Disconnect control",
        (
            _LN,
            ("output_state", _BOOLEAN),
            ("control_state", _enum(0, 1, 2)),
            ("control_mode", _ranged(_ENUM, 0, 6)),
        ),
        2,
    ),
    (71, 0): InterfaceClass(
        "Limiter",
        (
            _LN,
            ("monitored_value", _structure(_LONG_UNSIGNED, _OCTETS, _INTEGER)),
            ("threshold_active", _SIMPLE),
            ("threshold_normal", _SIMPLE),
            ("threshold_emergency", _SIMPLE),
            ("min_over_threshold_duration", _DLU),
            ("min_under_threshold_duration", _DLU),
            ("emergency_profile", _structure(_LONG_UNSIGNED, _DATE_TIME, _DLU)),
            ("emergency_profile_group_id_list", _array(_LONG_UNSIGNED)),
            ("emergency_profile_active", _BOOLEAN),
            ("actions", _structure(_SCRIPT, _SCRIPT)),
        ),
        0,
    ),
}


def class_of(class_id: int, version: int) -> InterfaceClass | None:
    """Return the class; None where this tester does not know it."""
    return CLASSES.get((class_id, version))
