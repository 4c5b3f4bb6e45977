"""What stands in the columns of a profile: its capture objects, which of them are wanted, and their scalers.

All meters of a kind say the same here, and a client asks each of them in each session: what is read off the
same octets is kept, and with it what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Final, Literal, TypeVar

from iondlms.client.names import NamedObject
from iondlms.client.profile import Column, Shape, TimeRules, column_of, places_of
from iondlms.client.scales import UNSCALED, Scale, is_numeric, scale_of, scaler_unit_of
from iondlms.client.session import Operation, Session
from iondlms.codec.axdr import decode
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject
from iondlms.errors import AccessError, DecodeError, LocalError, RemoteError, TypeUnmatched

__all__ = ["Captured", "captured_of", "learn_scales", "period_of"]

_T = TypeVar("_T")

_KINDS: Final = 256  # of meters and profiles that are kept
_USUAL: Final = 1024  # octets of what is kept: the 52 columns that an ION meter records at most take 938
_PARTS: Final = 8  # choices of columns that are kept of a kind: as many as a program makes
_SHAPES: Final = 4  # that are kept of a kind: it has one for each zone, period and set of scalers


class Captured:
    """The capture objects of a profile, and what follows from them; both live and go together."""

    __slots__ = ("_all", "_parts", "_places", "_scaled", "_shapes", "clock", "objects", "registers")

    def __init__(self, objects: Sequence[CaptureObject]) -> None:
        """Take them in the order of the buffer."""
        self.objects = tuple(objects)
        self._all = tuple(range(len(self.objects)))
        self._places = places_of(self.objects)
        clock = self._places.clock
        self.clock = None if clock is None else self.objects[clock]
        # Where scalers and units are read, with one of the columns each is for.
        self.registers = {
            scaler_unit: item for item in self.objects if (scaler_unit := scaler_unit_of(item)) is not None
        }
        self._scaled = tuple([scaler_unit.instance_id for scaler_unit in self.registers])
        self._parts: dict[tuple[int, ...], Captured] = {}
        self._shapes: dict[object, Shape] = {}

    def chosen(self, columns: tuple[NamedObject, ...]) -> tuple[int, ...]:
        """Return the places of the wanted columns in the order of the buffer, the clock with them."""
        if not columns:
            return self._all
        places = set() if self._places.clock is None else {self._places.clock}
        for column in columns:
            found = {
                at
                for at, item in enumerate(self.objects)
                if item.logical_name == column.logical_name and column.attribute in (None, item.attribute_id)
            }
            if not found:
                there = ", ".join(column_of(item).title for item in self.objects)
                raise LocalError(f"{column.logical_name} is no column of this profile; there are {there}")
            places |= found
        return tuple(sorted(places))

    def part(self, chosen: tuple[int, ...]) -> Captured:
        """Return those at these places."""
        if len(chosen) == len(self.objects):
            return self
        found = self._parts.get(chosen)
        if found is None:
            if len(self._parts) >= _PARTS:
                self._parts.clear()
            found = self._parts[chosen] = Captured([self.objects[at] for at in chosen])
        return found

    def all_scaled_by(self, scales: Mapping[ObisCode, Scale]) -> bool:
        """Whether these are the scales of all registers."""
        found = tuple(map(scales.get, self._scaled))
        return None not in found and UNSCALED not in found

    def shape(
        self,
        scales: Mapping[ObisCode, Scale],
        period: int,
        times: TimeRules,
        nulls: Literal["keep", "repeat"],
    ) -> Shape:
        """Return what the cells of a row are; `scales` has those of the registers that are known."""
        key = tuple(map(scales.get, self._scaled)), period, times, nulls
        found = self._shapes.get(key)
        if found is None:
            # A meter may say another period, or other scalers, each time it is asked.
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            columns = tuple([_column(self.objects[at], scales) for at in self._places.values])
            found = self._shapes[key] = Shape(self.objects, columns, period, times, nulls)
        return found


def _column(item: CaptureObject, scales: Mapping[ObisCode, Scale]) -> Column:
    scaler, unit = scales.get(item.logical_name, UNSCALED) if is_numeric(item) else UNSCALED
    return column_of(item, unit, scaler)


def _kept(read: Callable[[bytes], _T]) -> Callable[[bytes], _T]:
    """Have what is read off the same octets kept; longer ones would fill the memory."""
    usual = lru_cache(_KINDS)(read)

    @wraps(read)
    def known(octets: bytes) -> _T:
        return usual(octets) if len(octets) <= _USUAL else read(octets)

    return known


@_kept
def captured_of(octets: bytes) -> Captured:
    """Return encoded capture objects; RemoteError if they are none."""
    try:
        return Captured([CaptureObject.of(item) for item in decode(octets).items()])
    except TypeUnmatched as error:
        raise RemoteError(f"the capture objects cannot be read: {error}") from error


@_kept
def period_of(octets: bytes) -> int:
    """Return an encoded capture period (s); DecodeError if it is none."""
    return decode(octets).integer()


@_kept
def _scale(octets: bytes) -> Scale:
    """Return an encoded scaler_unit; DecodeError if it is none."""
    return scale_of(decode(octets))


def learn_scales(
    session: Session,
    captured: Captured,
    given: Mapping[ObisCode, Scale],
    scales: dict[ObisCode, Scale],
    notes: list[str],
) -> Operation[None]:
    """Read the scalers and units that are not known yet; a note for those that cannot be read."""
    if captured.all_scaled_by(scales):  # as nearly always, from the second reading on
        return
    for scaler_unit, item in captured.registers.items():
        name = scaler_unit.instance_id
        if name in given or scales.get(name, UNSCALED)[0] is not None:
            continue
        try:
            scales[name] = _scale((yield from session.get(scaler_unit)))
        except (AccessError, DecodeError) as error:
            title = column_of(item).title
            notes.append(f"scaler and unit of {title} cannot be read ({error}): its numbers are as sent")
            scales[name] = UNSCALED
