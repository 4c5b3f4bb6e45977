"""The TCP wrapper: a header of eight octets in front of each APDU (IEC 62056-47)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError, LocalError

__all__ = [
    "ALL_STATION",
    "HEADER_OCTETS",
    "MANAGEMENT",
    "NO_STATION",
    "VERSION",
    "Oversized",
    "Wpdu",
    "WrapperDeframer",
]

VERSION: Final = 1
HEADER_OCTETS: Final = 8
_HEADER: Final = struct.Struct(">HHHH")
_VERSION_OCTETS: Final = VERSION.to_bytes(2, "big")

# wPorts (62056-47, reserved wrapper port numbers)
NO_STATION: Final = 0
MANAGEMENT: Final = 1
ALL_STATION: Final = 0x7F


class Wpdu(NamedTuple):
    """One wrapper PDU: ports from the sender's side, and its APDU."""

    source: int
    destination: int
    apdu: bytes

    @classmethod
    def decode(cls, octets: bytes) -> Wpdu:
        """Read one whole WPDU; DecodeError if version or length are wrong."""
        reader = Reader(octets)
        version, source, destination, length = (reader.u16() for _ in range(4))
        if version != VERSION:
            raise DecodeError(f"wrapper version {version:04X}, 0001 expected")
        wpdu = cls(source, destination, reader.take(length))
        reader.end()
        return wpdu

    def encode(self) -> bytes:
        """Return header and APDU; LocalError if a port or the length does not fit."""
        try:
            return _HEADER.pack(VERSION, self.source, self.destination, len(self.apdu)) + self.apdu
        except struct.error as error:
            raise LocalError(f"ports and length of a WPDU have two octets each: {self[:2]}") from error

    def reply(self, apdu: bytes) -> bytes:
        """Return the WPDU that carries an answer: the ports swapped."""
        return Wpdu(self.destination, self.source, apdu).encode()


class Oversized(NamedTuple):
    """A WPDU longer than its receiver takes: it was skipped, and wants to be told so."""

    source: int
    destination: int
    length: int  # octets of the APDU

    def reply(self, apdu: bytes) -> bytes:
        """Return the WPDU that carries an answer: the ports swapped."""
        return Wpdu(self.destination, self.source, apdu).encode()


class WrapperDeframer:
    """Cuts a TCP stream into WPDUs; holds at most a header and `max_apdu` octets.

    A longer WPDU is skipped as it comes and reported once, at its end, as `Oversized`. One of length zero is
    counted and dropped. Behind an unknown version nothing can be delimited any more: `broken`.
    """

    __slots__ = ("_held", "_skip", "_skipped", "broken", "empty", "max_apdu", "oversized", "wpdus")

    def __init__(self, max_apdu: int) -> None:
        self.max_apdu = max_apdu
        self._held = bytearray()
        self._skip = 0  # octets of a long WPDU that are still to come
        self._skipped = Oversized(0, 0, 0)
        self.broken = False  # close the connection
        self.wpdus = 0  # with an APDU
        self.empty = 0
        self.oversized = 0

    @property
    def pending(self) -> bool:
        """Whether a WPDU has begun and not ended."""
        return bool(self._held or self._skip)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Wpdu | Oversized]:
        """Return the WPDUs that end with these octets, in their order; nothing once `broken`."""
        wpdus: list[Wpdu | Oversized] = []
        if self.broken:
            return wpdus
        held = self._held
        held += data
        position, end = 0, len(held)
        while True:
            if self._skip:
                step = min(self._skip, end - position)
                position += step
                self._skip -= step
                if self._skip:
                    break
                wpdus.append(self._skipped)
            # What has come of the version, be it one octet, is looked at at once: nothing may follow it.
            version = held[position : min(end, position + 2)]
            if not _VERSION_OCTETS.startswith(version):
                self.broken = True
                position = end
                break
            start = position + HEADER_OCTETS
            if start > end:
                break
            _, source, destination, length = _HEADER.unpack_from(held, position)
            if length > self.max_apdu:
                self.oversized += 1
                self._skip = length
                self._skipped = Oversized(source, destination, length)
                position = start
                continue
            if start + length > end:
                break
            position = start + length
            if length:
                self.wpdus += 1
                wpdus.append(Wpdu(source, destination, bytes(held[start:position])))
            else:
                self.empty += 1
        del held[:position]
        return wpdus
