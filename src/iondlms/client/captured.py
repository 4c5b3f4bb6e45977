"""What stands in the columns of a profile: its capture objects, which of them are wanted, and their scalers.

All meters of a kind say the same here, and a client asks each of them in each session: what is read off the
same octets is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from iondlms.client.names import NamedObject
from iondlms.client.profile import (
    Shape,
    TimeRules,
    column_of,
    is_clock,
    is_numeric,
    places_of,
    unit_name,
)
from iondlms.client.session import Operation, Session
from iondlms.codec.axdr import decode
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject
from iondlms.errors import AccessError, DecodeError, LocalError, RemoteError, TypeUnmatched
from iondlms.xdlms import AttributeDescriptor

__all__ = ["Captured", "Scale", "captured_of", "learn_scales", "shape_of"]

Scale: TypeAlias = "tuple[int | None, str]"  # scaler, None where it could not be read, and unit

_UNKNOWN: Final[Scale] = (None, "")
_KINDS: Final = 256  # of meters and profiles that are kept
_PARTS: Final = 16  # choices of columns that are kept of one profile
_USUAL: Final = 4096  # octets; longer ones are not worth keeping, and would fill the memory


class Captured:
    """The capture objects of a profile, and what follows from them; equal to itself alone."""

    __slots__ = ("_parts", "clock", "kept", "objects", "registers")

    def __init__(self, objects: Sequence[CaptureObject], *, kept: bool) -> None:
        """Take them in the order of the buffer; `kept` says whether what follows is worth keeping."""
        self.objects = tuple(objects)
        self.kept = kept
        self.clock = next(filter(is_clock, self.objects), None)
        # The numeric ones, and where their scaler and unit are read.
        self.registers = tuple(
            [
                (item, AttributeDescriptor(item.class_id, item.logical_name, 3))
                for item in self.objects
                if is_numeric(item)
            ]
        )
        self._parts: dict[tuple[int, ...], Captured] = {}

    def part(self, chosen: tuple[int, ...]) -> Captured:
        """Return those at these places."""
        if len(chosen) == len(self.objects):
            return self
        found = self._parts.get(chosen)
        if found is None:
            found = Captured([self.objects[at] for at in chosen], kept=self.kept)
            if len(self._parts) < _PARTS:
                self._parts[chosen] = found
        return found

    def chosen(self, columns: tuple[NamedObject, ...]) -> tuple[int, ...]:
        """Return the places of the wanted columns in the order of the buffer, the clock with them."""
        captured = self.objects
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

    def scales(self, known: Mapping[ObisCode, Scale]) -> tuple[Scale, ...]:
        """Return what is known of the numeric ones, in turn."""
        return tuple([known.get(item.logical_name, _UNKNOWN) for item, _ in self.registers])


def captured_of(octets: bytes) -> Captured:
    """Return encoded capture objects; RemoteError if they are none."""
    return _usual_captured(octets) if len(octets) <= _USUAL else _captured(octets, kept=False)


def _captured(octets: bytes, *, kept: bool = True) -> Captured:
    try:
        return Captured([CaptureObject.of(item) for item in decode(octets).items()], kept=kept)
    except TypeUnmatched as error:
        raise RemoteError(f"the capture objects cannot be read: {error}") from error


def _scale(octets: bytes) -> Scale:
    """Return an encoded scaler_unit; DecodeError or ValueError if it is none."""
    scaler, unit = decode(octets).items()
    return scaler.integer(), unit_name(unit.integer())


_usual_captured: Final = lru_cache(_KINDS)(_captured)
_usual_scale: Final = lru_cache(_KINDS)(_scale)


def shape_of(
    captured: Captured,
    scales: tuple[Scale, ...],
    period: int,
    times: TimeRules,
    nulls: Literal["keep", "repeat"],
) -> Shape:
    """Return what the cells of a row are; `scales` are those of the numeric ones in turn."""
    make = _usual_shape if captured.kept else _shape
    return make(captured, scales, period, times, nulls)


def _shape(
    captured: Captured,
    scales: tuple[Scale, ...],
    period: int,
    times: TimeRules,
    nulls: Literal["keep", "repeat"],
) -> Shape:
    left = iter(scales)
    columns = []
    for item in [captured.objects[at] for at in places_of(captured.objects).values]:
        if is_numeric(item):
            scaler, unit = next(left)
            columns.append(column_of(item, unit, scaler))
        else:
            columns.append(column_of(item))
    return Shape(captured.objects, tuple(columns), period, times, nulls)


_usual_shape: Final = lru_cache(_KINDS)(_shape)


def learn_scales(
    session: Session,
    captured: Captured,
    given: Mapping[ObisCode, Scale],
    scales: dict[ObisCode, Scale],
    notes: list[str],
) -> Operation[None]:
    """Read the scalers and units that are not known yet; a note for those that cannot be read."""
    for item, attribute in captured.registers:
        name = item.logical_name
        if name in given or scales.get(name, _UNKNOWN)[0] is not None:
            continue
        try:
            octets = yield from session.get(attribute)
            known = _usual_scale if len(octets) <= _USUAL else _scale
            scales[name] = known(octets)
        except (AccessError, DecodeError, ValueError) as error:
            title = column_of(item).title
            notes.append(f"scaler and unit of {title} cannot be read ({error}): its numbers are as sent")
            scales[name] = _UNKNOWN
