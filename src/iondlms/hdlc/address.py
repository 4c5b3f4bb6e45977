"""Station addresses: the server's in 1, 2 or 4 octets, the client's in one (IEC 62056-46 6.4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from iondlms.errors import DecodeError, LocalError

__all__ = [
    "ALL_STATION",
    "CALLING_DEVICE",
    "MANAGEMENT",
    "NO_STATION",
    "ServerAddress",
    "addresses_of",
    "client_octet",
    "client_sap",
]

NO_STATION: Final = 0  # any address field
MANAGEMENT: Final = 1  # upper: the management logical device
# By the octets of the server address: how many bits a field has decides its special values.
CALLING_DEVICE: Final[dict[int, int]] = {2: 0x7E, 4: 0x3FFE}  # lower
ALL_STATION: Final[dict[int, int]] = {1: 0x7F, 2: 0x7F, 4: 0x3FFF}  # upper and lower
CLIENT_ALL_STATION: Final = 0x7F


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server address: logical device (upper), physical device (lower) and the octets it is written in.

    The one-octet form has no lower part: `lower` is None there and nowhere else. 62056-46 6.4.2.2.
    """

    upper: int
    lower: int | None = None
    octets: int = 4

    def __post_init__(self) -> None:
        if self.octets not in ALL_STATION:
            raise LocalError(f"a server address has 1, 2 or 4 octets, not {self.octets}")
        if (self.lower is None) != (self.octets == 1):
            raise LocalError("a server address has a lower part in its 2- and 4-octet form only")
        largest = ALL_STATION[self.octets]
        for name, value in (("upper", self.upper), ("lower", self.lower or 0)):
            if not 0 <= value <= largest:
                raise LocalError(f"{name} address {value} is not in 0..{largest} ({self.octets} octets)")

    @classmethod
    def decode(cls, octets: bytes) -> ServerAddress:
        """Read an address field cut off by its extension bits; DecodeError for 3 octets or over 4."""
        ends = [octet & 1 for octet in octets]
        if len(octets) not in ALL_STATION or ends != [0] * (len(octets) - 1) + [1]:
            raise DecodeError(f"{octets.hex(' ').upper()} is not a server address of 1, 2 or 4 octets")
        parts = [octet >> 1 for octet in octets]
        if len(parts) == 1:
            return cls(parts[0], None, 1)
        if len(parts) == 2:
            return cls(parts[0], parts[1], 2)
        return cls(parts[0] << 7 | parts[1], parts[2] << 7 | parts[3], 4)

    def encode(self) -> bytes:
        """Return the field, lowest bit set in its last octet only: upper 1, lower 100 is 00 02 00 C9."""
        upper, lower = self.upper, self.lower
        if lower is None:
            return bytes((upper << 1 | 1,))
        if self.octets == 2:
            return bytes((upper << 1, lower << 1 | 1))
        return bytes((upper >> 7 << 1, (upper & 0x7F) << 1, lower >> 7 << 1, (lower & 0x7F) << 1 | 1))

    @property
    def special(self) -> bool:
        """Whether a part is NO_STATION, CALLING or ALL_STATION: no single meter has such an address."""
        everywhere = (NO_STATION, ALL_STATION[self.octets])
        if self.lower is None:
            return self.upper in everywhere
        return {self.upper, self.lower} & {*everywhere} != set() or self.lower == CALLING_DEVICE[self.octets]

    def same_station(self, other: ServerAddress) -> bool:
        """Whether both name one station, whatever their length; a missing lower part matches any."""
        if self.special or other.special:
            return self == other
        lowers = {self.lower, other.lower} - {None}
        return self.upper == other.upper and len(lowers) <= 1

    def __str__(self) -> str:
        return f"{self.upper}" if self.lower is None else f"{self.upper}/{self.lower}"


def client_octet(sap: int) -> bytes:
    """Return a client's address field; LocalError for NO_STATION, ALL_STATION and beyond."""
    if not NO_STATION < sap < CLIENT_ALL_STATION:
        raise LocalError(f"client SAP {sap} is not in 1..126")
    return bytes((sap << 1 | 1,))


def client_sap(octets: bytes) -> int | None:
    """Return the client of an address field, None where no single client can have it (62056-46 6.4.2.4)."""
    if len(octets) != 1:
        return None
    sap = octets[0] >> 1
    return sap if octets[0] & 1 and NO_STATION < sap < CLIENT_ALL_STATION else None


@lru_cache(maxsize=64)
def addresses_of(upper: int, unit_id: int) -> tuple[bytes, ...]:
    """Return the addresses that mean one meter, its own first; LocalError if it can have none."""
    address = ServerAddress(upper, unit_id)
    if address.special:
        raise LocalError(f"{address} is no address of a single meter")
    # Table 5: a two-octet destination is converted, a one-octet one discarded. In two octets the highest
    # two values are special, so a station that has them as its number cannot be called that way.
    if max(upper, unit_id) < min(CALLING_DEVICE[2], ALL_STATION[2]):
        return address.encode(), ServerAddress(upper, unit_id, 2).encode()
    return (address.encode(),)
