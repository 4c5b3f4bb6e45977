"""A column of octet-strings of one length, seen where they stand in a buffer."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, overload

from iondlms.errors import LocalError

__all__ = ["Octets", "alike", "integers", "numbers"]


class Octets(Sequence[bytes]):
    """Octet-strings of `width` octets, `stride` apart in `data`: nothing is copied before it is asked for.

    Equal to any sequence of the same octet-strings. LocalError if they do not all stand in the data.
    """

    __slots__ = ("_count", "data", "start", "stride", "width")

    def __init__(
        self, data: bytes, width: int, start: int = 0, stride: int | None = None, count: int | None = None
    ) -> None:
        self.data = data
        self.width = width
        self.start = start
        self.stride = width if stride is None else stride
        if width < 1 or start < 0 or self.stride < width:
            raise LocalError(f"no octet-strings are {width} octets wide and {self.stride} apart")
        room = (len(data) - start - width) // self.stride + 1
        self._count = max(0, room) if count is None else count
        if not 0 <= self._count <= max(0, room):
            raise LocalError(f"{self._count} octet-strings of {width} octets do not stand in {len(data)}")

    @classmethod
    def of(cls, strings: Iterable[bytes], width: int) -> Octets:
        """Return these octet-strings side by side; LocalError if one has another width."""
        found = list(strings)
        if set(map(len, found)) - {width}:
            raise LocalError(f"octet-strings that are not all {width} octets wide")
        return cls(b"".join(found), width)

    def at(self, place: int) -> bytes:
        """Return the octet at one place of all strings."""
        begin = self.start + place
        return self.data[begin : begin + self._count * self.stride : self.stride]

    def turned(self) -> bytes:
        """Return the first octets of all strings, then the second ones, and so on."""
        data, stride = self.data, self.stride
        span = self._count * stride
        places = range(self.start, self.start + self.width)
        return b"".join([data[place : place + span : stride] for place in places])  # `at` of each, not called

    @classmethod
    def of_turned(cls, turned: bytes, width: int) -> Octets:
        """Return the strings that `turned` gives these octets for."""
        count = len(turned) // width
        octets = bytearray(count * width)
        for place in range(width):
            octets[place::width] = turned[place * count : (place + 1) * count]
        return cls(bytes(octets), width)

    def integers(self, places: Sequence[int]) -> list[int]:
        """Return, of each string, the octets at these places (8 at most) as one integer, the first on top."""
        little = sys.byteorder == "little"
        picked = bytearray(self._count * 8)
        for rank, place in enumerate(reversed(places)):
            picked[rank if little else 7 - rank :: 8] = self.at(place)
        return memoryview(picked).cast("Q").tolist()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Octets: ...

    def __getitem__(self, index: int | slice) -> bytes | Octets:
        if isinstance(index, slice):
            first, stop, step = index.indices(self._count)
            if step < 1:
                return Octets(b"".join(list(self)[index]), self.width)
            begin = self.start + first * self.stride
            return Octets(self.data, self.width, begin, self.stride * step, len(range(first, stop, step)))
        place = range(self._count)[index]  # IndexError as for any sequence
        begin = self.start + place * self.stride
        return self.data[begin : begin + self.width]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.tolist())

    def tolist(self) -> list[bytes]:
        """Return them as bytes."""
        whole = self._count - 1  # the last one apart: behind it there need not be a whole stride
        if whole < 0:
            return []
        form = struct.Struct(f"{self.width}s{self.stride - self.width}x")
        view = memoryview(self.data)[self.start : self.start + whole * self.stride]
        return [*[octets for (octets,) in form.iter_unpack(view)], self[whole]]

    def __eq__(self, other: object) -> bool:
        return self.tolist() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __repr__(self) -> str:
        return f"Octets of {self.width}, {self._count} of them"


def numbers(
    data: bytes, start: int, stride: int, count: int, code: str, byteorder: Literal["big", "little"] = "big"
) -> array[int] | array[float]:
    """Return numbers of an `array` code, `stride` octets apart in the data, as an array."""
    column: array[int] | array[float] = array(code)
    size = column.itemsize
    octets = bytearray(count * size)
    stop = start + count * stride
    for at in range(size):
        place = at if sys.byteorder == byteorder else size - 1 - at
        octets[place::size] = data[start + at : stop + at : stride]
    column.frombytes(octets)
    return column


@lru_cache(128)
def _every(code: str, stride: int, count: int) -> struct.Struct:
    return struct.Struct(">" + f"{code}{stride - struct.calcsize(f'>{code}')}x" * (count - 1) + code)


def integers(data: bytes, start: int, stride: int, count: int, code: str) -> tuple[int, ...]:
    """Return integers of an `array` code, `stride` octets apart in the data: for a few hundred, at most.

    Half the time of `numbers`, for whoever wants them one by one and no array of them.
    """
    return _every(code, stride, count).unpack_from(data, start) if count else ()


def alike(cells: Sequence[object]) -> bool:
    """Whether these are one number again and again: integers, or an array, of which none is made."""
    if isinstance(cells, tuple):
        return bool(cells) and cells[0] == cells[-1] and cells.count(cells[0]) == len(cells)
    if not isinstance(cells, array) or not cells:
        return False
    octets = cells.tobytes()
    return octets == octets[: cells.itemsize] * len(cells)
