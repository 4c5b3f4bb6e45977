"""A bounded cursor over received octets: the one place where lengths are read and believed."""

from __future__ import annotations

from typing import Final

from iondlms.errors import DecodeError, LocalError

__all__ = ["Reader", "encode_length"]

# Four octets of length hold more than any APDU; more of them is an attack or noise.
MAX_LENGTH_OCTETS: Final = 4


class Reader:
    """Reads big-endian values off `data`, never past `end`; every shortage is a `DecodeError`.

    Whoever makes a `Reader` over a whole PDU also calls `end()`, so that surplus octets are noticed.
    """

    __slots__ = ("_data", "_end", "_position")

    def __init__(
        self, data: bytes | bytearray | memoryview, position: int = 0, end: int | None = None
    ) -> None:
        self._data = bytes(data)
        self._position = position
        self._end = len(self._data) if end is None else end
        if not 0 <= position <= self._end <= len(self._data):
            raise DecodeError(f"octets {position} to {self._end} of {len(self._data)} are not there")

    @property
    def position(self) -> int:
        """Offset of the next octet from the start of the data."""
        return self._position

    @property
    def remaining(self) -> int:
        """Octets that are left."""
        return self._end - self._position

    @property
    def window(self) -> tuple[bytes, int, int]:
        """The data, the offset of the next octet, and of the octet after the last."""
        return self._data, self._position, self._end

    def skip(self, count: int) -> None:
        """Step over `count` octets."""
        self._advance(count)

    def _advance(self, count: int) -> int:
        start = self._position
        stop = start + count
        if stop > self._end or count < 0:
            raise DecodeError(f"{count} octets expected at offset {start}, {self._end - start} are left")
        self._position = stop
        return start

    def take(self, count: int) -> bytes:
        """Return the next `count` octets."""
        start = self._advance(count)
        return self._data[start : start + count]

    def rest(self) -> bytes:
        """Return all octets that are left."""
        return self.take(self._end - self._position)

    def peek(self) -> int:
        """Return the next octet without taking it."""
        if self._position >= self._end:
            raise DecodeError(f"an octet expected at offset {self._position}, none is left")
        return self._data[self._position]

    def u8(self) -> int:
        """Return an Unsigned8."""
        position = self._position
        if position >= self._end:
            raise DecodeError(f"an octet expected at offset {position}, none is left")
        self._position = position + 1
        return self._data[position]

    def u16(self) -> int:
        """Return an Unsigned16."""
        return self.unsigned(2)

    def u32(self) -> int:
        """Return an Unsigned32."""
        return self.unsigned(4)

    def unsigned(self, octets: int) -> int:
        """Return an unsigned integer of `octets` octets."""
        start = self._advance(octets)
        return int.from_bytes(self._data[start : start + octets], "big")

    def signed(self, octets: int) -> int:
        """Return a two's complement integer of `octets` octets."""
        start = self._advance(octets)
        return int.from_bytes(self._data[start : start + octets], "big", signed=True)

    def length(self) -> int:
        """Return a length or count: one octet below 128, else 0x80 + n and n octets.

        The same form serves A-XDR and the definite form of BER; the indefinite form is refused.
        """
        first = self.u8()
        if first < 0x80:
            return first
        count = first & 0x7F
        if not 1 <= count <= MAX_LENGTH_OCTETS:
            raise DecodeError(f"length octet {first:02X} at offset {self._position - 1} is not allowed")
        return self.unsigned(count)

    def sub(self, count: int) -> Reader:
        """Return a cursor over the next `count` octets and step over them."""
        start = self._advance(count)
        inner = Reader.__new__(Reader)
        inner._data = self._data
        inner._position = start
        inner._end = start + count
        return inner

    def end(self) -> None:
        """Raise `DecodeError` if octets are left over."""
        if self._position != self._end:
            raise DecodeError(f"{self._end - self._position} surplus octets at offset {self._position}")


def encode_length(length: int) -> bytes:
    """Return a length or count in the shortest of the forms 1, 81, 82 and 84.

    Three octets (83) are legal and avoided: some widely used decoders know only 81, 82 and 84.
    LocalError if it does not fit four octets.
    """
    if not 0 <= length < 1 << 32:
        raise LocalError(f"a length of {length} cannot be sent")
    if length < 0x80:
        return bytes((length,))
    if length < 0x100:
        return bytes((0x81, length))
    if length < 0x10000:
        return b"\x82" + length.to_bytes(2, "big")
    return b"\x84" + length.to_bytes(4, "big")
