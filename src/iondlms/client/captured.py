"""What stands in the columns of a profile: its capture objects, which of them are wanted, and their scalers.

All meters of a kind say the same here, and a client asks each of them in each session: what is read off the
same octets is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from iondlms.client.names import NamedObject
from iondlms.client.profile import Column, column_of, is_clock, is_numeric, places_of, unit_name
from iondlms.client.session import Operation, Session
from iondlms.codec.axdr import decode
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject
from iondlms.errors import AccessError, DecodeError, LocalError, RemoteError, TypeUnmatched
from iondlms.xdlms import AttributeDescriptor

__all__ = ["Scale", "captured_of", "chosen_of", "columns_of", "learn_scales"]

Scale: TypeAlias = "tuple[int | None, str]"  # scaler, None where it could not be read, and unit

_KINDS: Final = 256  # of meters and profiles that are kept
_USUAL: Final = 4096  # octets; longer ones are not worth keeping, and would fill the memory


def captured_of(octets: bytes) -> tuple[CaptureObject, ...]:
    """Return encoded capture objects; RemoteError if they are none."""
    return _usual_captured(octets) if len(octets) <= _USUAL else _captured(octets)


def _captured(octets: bytes) -> tuple[CaptureObject, ...]:
    try:
        return tuple([CaptureObject.of(item) for item in decode(octets).items()])
    except TypeUnmatched as error:
        raise RemoteError(f"the capture objects cannot be read: {error}") from error


def _scale(octets: bytes) -> Scale:
    """Return an encoded scaler_unit; DecodeError or ValueError if it is none."""
    scaler, unit = decode(octets).items()
    return scaler.integer(), unit_name(unit.integer())


_usual_captured: Final = lru_cache(_KINDS)(_captured)
_usual_scale: Final = lru_cache(_KINDS)(_scale)


@lru_cache(_KINDS)
def columns_of(captured: tuple[CaptureObject, ...], scales: tuple[Scale, ...]) -> tuple[Column, ...]:
    """Return the columns of values; `scales` are those of the numeric ones in turn."""
    left = iter(scales)
    columns = []
    for item in [captured[at] for at in places_of(captured).values]:
        if is_numeric(item):
            scaler, unit = next(left)
            columns.append(column_of(item, unit, scaler))
        else:
            columns.append(column_of(item))
    return tuple(columns)


def chosen_of(captured: tuple[CaptureObject, ...], columns: tuple[NamedObject, ...]) -> tuple[int, ...]:
    """Return the places of the wanted columns in the order of the buffer, the clock with them."""
    if not columns:
        return tuple(range(len(captured)))
    places: set[int] = set()
    for column in columns:
        found = {
            at
            for at, item in enumerate(captured)
            if item.logical_name == column.logical_name and column.attribute in (None, item.attribute_id)
        }
        if not found:
            there = ", ".join(column_of(item).title for item in captured)
            raise LocalError(f"{column.logical_name} is no column of this profile; there are {there}")
        places |= found
    clock = next((at for at, item in enumerate(captured) if is_clock(item)), None)
    return tuple(sorted(places | (set() if clock is None else {clock})))


def learn_scales(
    session: Session,
    captured: tuple[CaptureObject, ...],
    given: Mapping[ObisCode, Scale],
    scales: dict[ObisCode, Scale],
    notes: list[str],
) -> Operation[None]:
    """Read the scalers and units that are not known yet; a note for those that cannot be read."""
    for item in captured:
        if not is_numeric(item) or item.logical_name in given:
            continue
        if scales.get(item.logical_name, (None, ""))[0] is not None:
            continue
        try:
            attribute = AttributeDescriptor(item.class_id, item.logical_name, 3)
            octets = yield from session.get(attribute)
            known = _usual_scale if len(octets) <= _USUAL else _scale
            scales[item.logical_name] = known(octets)
        except (AccessError, DecodeError, ValueError) as error:
            title = column_of(item).title
            notes.append(f"scaler and unit of {title} cannot be read ({error}): its numbers are as sent")
            scales[item.logical_name] = (None, "")
