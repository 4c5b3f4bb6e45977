"""Profiles that others read: rows out of the answers that went by, named and scaled by what else went by.

Capture objects and scalers are used where they were heard. Where they were not, the columns of the default
load profile and billing data are taken if the rows are as wide, and the numbers stay as sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from iondlms.client.instants import TimeRules
from iondlms.client.names import (
    CLOCK,
    CLOCK_CLASS,
    DATA_CLASS,
    PROFILE_CLASS,
    REGISTER_CLASS,
    STATUS_WORD,
    name_of,
    resolve,
)
from iondlms.client.profile import Column, Profile, Shape, column_of, places_of, typed_profile
from iondlms.client.scales import UNSCALED, Scale, is_numeric, is_scaler_unit, scale_of
from iondlms.codec.axdr import Data, decode
from iondlms.codec.columns import Row, decode_rows
from iondlms.codec.obis import ObisCode
from iondlms.cosem import BY_ENTRY, BY_RANGE, CaptureObject, EntryDescriptor, RangeDescriptor
from iondlms.errors import AccessError, DlmsError, RemoteError
from iondlms.ion.framework import BILLING, LOAD_PROFILE
from iondlms.trace.listen import Heard
from iondlms.xdlms import SelectiveAccess

__all__ = ["Overheard", "Reading"]

_MOST_METERS: Final = 256  # remembered with their columns and scalers
_MOST_LEARNT: Final = 256  # attributes of one meter: some profiles, and what their columns are scaled by
_CLOCK: Final = CaptureObject(CLOCK_CLASS, CLOCK, 2)
_STATUS: Final = CaptureObject(DATA_CLASS, STATUS_WORD, 2)


def _captured(quantities: tuple[tuple[str, str], ...]) -> tuple[CaptureObject, ...]:
    codes = [ObisCode.parse(code) for _, code in quantities]
    return (_CLOCK, _STATUS, *[CaptureObject(REGISTER_CLASS, code, 2) for code in codes])


_DEFAULTS: Final = {
    resolve("load").logical_name: _captured(LOAD_PROFILE),
    resolve("billing").logical_name: _captured(BILLING),
}


class Reading(NamedTuple):
    """A profile that went by."""

    client: int
    server: str
    name: str  # of the profile; empty where the request was not heard
    profile: Profile
    complete: bool


@dataclass(slots=True)
class _Meter:
    """What was heard of one meter."""

    captured: dict[ObisCode, tuple[CaptureObject, ...]] = field(default_factory=dict)
    periods: dict[ObisCode, int] = field(default_factory=dict)  # s
    scales: dict[ObisCode, Scale] = field(default_factory=dict)


class Overheard:
    """Takes answers; returns the profiles among them."""

    def __init__(self, times: TimeRules | None = None) -> None:
        self._times = TimeRules() if times is None else times
        self._meters: dict[str, _Meter] = {}

    def take(self, heard: Heard, place: str = "") -> Reading | None:
        """Return the rows of an answer, None where it has none; `place` tells lines apart."""
        key = f"{place} {heard.server}"
        meter = self._meters.get(key)
        if meter is None:
            if len(self._meters) >= _MOST_METERS:
                del self._meters[next(iter(self._meters))]
            meter = self._meters[key] = _Meter()
        attribute = heard.attribute
        try:
            if attribute is None or (attribute.class_id, attribute.attribute_id) == (PROFILE_CLASS, 2):
                return self._rows(heard, meter)
            if heard.complete:
                _learn(meter, attribute.class_id, attribute.instance_id, attribute.attribute_id, heard.octets)
        except DlmsError:
            pass  # it is not what such an attribute has: nothing is learnt of it
        return None

    def _rows(self, heard: Heard, meter: _Meter) -> Reading | None:
        plain = decode_rows(heard.octets, partial=not heard.complete)
        if heard.attribute is None and not _looks_like_rows(plain):
            return None
        code = None if heard.attribute is None else heard.attribute.instance_id
        known = None if code is None else meter.captured.get(code, _DEFAULTS.get(code))
        named = None if known is None else _selected(known, heard.access)
        notes: tuple[str, ...] = ()
        width = len(plain[0]) if plain else None
        if named is None or (width is not None and len(named) != width):
            named = known if known is not None and len(known) == width else None
        if named is None:
            named = _unnamed(plain)
            notes = ("which columns these are was not heard",)
        elif code is not None and code not in meter.captured:
            notes = ("which columns these are was not heard: those of the meters' default are named",)
        columns = tuple([self._column(named[at], meter) for at in places_of(named).values])
        if any(is_numeric(column.captured) and column.scaler is None for column in columns):
            notes += ("scalers were not heard: numbers without a unit are as sent",)
        period = 0 if code is None else meter.periods.get(code, 0)
        shape = Shape(named, columns, period, self._times, "keep")
        profile = typed_profile(heard.octets, shape, partial=not heard.complete)
        name = "" if code is None else name_of(code) or str(code)
        profile = replace(profile, notes=(*notes, *profile.notes))
        return Reading(heard.client, heard.server, name, profile, heard.complete)

    def _column(self, item: CaptureObject, meter: _Meter) -> Column:
        if item.class_id == 0:
            return Column(item, f"column {item.data_index}")
        scaler, unit = meter.scales.get(item.logical_name, UNSCALED)
        return column_of(item, unit, scaler) if is_numeric(item) else column_of(item)


def _learn(meter: _Meter, class_id: int, code: ObisCode, attribute: int, octets: bytes) -> None:
    if (class_id, attribute) == (PROFILE_CLASS, 3):
        captured = tuple([CaptureObject.of(item) for item in decode(octets).items()])
        _room(meter)
        meter.captured[code] = captured
    elif (class_id, attribute) == (PROFILE_CLASS, 4):
        period = decode(octets).integer()
        _room(meter)
        meter.periods[code] = period
    elif is_scaler_unit(class_id, attribute):
        scale = scale_of(decode(octets))
        _room(meter)
        meter.scales[code] = scale


def _room(meter: _Meter) -> None:
    """Have room for one more; a line that names objects without end makes it forget what it knows."""
    if len(meter.captured) + len(meter.periods) + len(meter.scales) >= _MOST_LEARNT:
        meter.captured.clear()
        meter.periods.clear()
        meter.scales.clear()


def _selected(
    captured: tuple[CaptureObject, ...], access: SelectiveAccess | None
) -> tuple[CaptureObject, ...] | None:
    """Return the columns that a request asked for, None where that cannot be read."""
    if access is None:
        return captured
    parameters: Data = access.parameters
    try:
        if access.selector == BY_RANGE:
            chosen = RangeDescriptor.of(parameters).columns
            names = {(item.logical_name, item.attribute_id) for item in chosen}
            some = [item for item in captured if (item.logical_name, item.attribute_id) in names]
            return tuple(some) if chosen else captured
        if access.selector == BY_ENTRY:
            places = EntryDescriptor.of(parameters).columns(len(captured))
            return captured if places is None else tuple([captured[place] for place in places])
    except (AccessError, RemoteError):
        pass
    return None


def _looks_like_rows(plain: list[Row]) -> bool:
    """Whether an answer to nobody knows what is rows of a recorder: a date-time stands first in each."""
    return bool(plain) and all(bool(row) and isinstance(row[0], bytes) and len(row[0]) == 12 for row in plain)


def _unnamed(plain: list[Row]) -> tuple[CaptureObject, ...]:
    """Return columns by number, the first as the clock if all of it are date-times."""
    nameless = ObisCode(bytes(6))
    columns = [CaptureObject(0, nameless, 2, at) for at in range(1, len(plain[0]) + 1 if plain else 1)]
    if columns and _looks_like_rows(plain):
        columns[0] = _CLOCK
    return tuple(columns)
