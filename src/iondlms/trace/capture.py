"""Packet captures -> the octets of their TCP connections, in the order in which each side sent them.

Read are the classic form and pcapng, of either byte order, with Ethernet, raw IP, loopback and Linux "any" as
link types, IPv4 and IPv6. A capture that was cut off is read as far as it goes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from iondlms.errors import LocalError

__all__ = ["Captured", "is_capture", "read_capture"]

_SECTION: Final = b"\x0a\x0d\x0d\x0a"
_CLASSIC: Final = {
    b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">",
    b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
}  # fmt: skip
_DLMS_PORT: Final = 4059
_ETHERNET, _LOOPBACK, _LOOPBACK_BIG, _COOKED, _COOKED_2 = 1, 0, 108, 113, 276
_RAW_IP: Final = (12, 14, 101, 228, 229)
_IP: Final = (0x0800, 0x86DD)
_VLAN: Final = (0x8100, 0x88A8, 0x9100)
_TCP: Final = 6
_SKIPPED_HEADERS: Final = (0, 43, 60)  # of IPv6: hop-by-hop, routing, destination options
_SYN, _ACK, _ENDS = 0x02, 0x10, 0x05  # FIN or RST
_HELD_SEGMENTS: Final = 256  # that wait for one before them; a window of a meter is far below
_CONNECTIONS: Final = 4096  # remembered; the oldest is forgotten
_HALF: Final = 1 << 31
_ALL: Final = 1 << 32

_End = tuple[bytes, int]  # address, port


class Captured(NamedTuple):
    """Octets that one side sent; `gap`: some before them are not in the capture."""

    client: str  # address and port of who asks
    server: str
    direction: str  # TX of the client, RX of the meter
    octets: bytes
    gap: bool = False


def is_capture(raw: bytes) -> bool:
    """Whether the octets are a packet capture."""
    return raw[:4] == _SECTION or raw[:4] in _CLASSIC


def read_capture(raw: bytes) -> Iterator[Captured]:
    """Yield the octets of all TCP connections that look like DLMS; LocalError if it is no capture."""
    if not is_capture(raw):
        raise LocalError("this is no packet capture: neither pcap nor pcapng")
    connections: dict[frozenset[_End], _Connection] = {}
    packets = _pcapng(raw) if raw[:4] == _SECTION else _pcap(raw)
    for link_type, packet in packets:
        segment = _segment(link_type, packet)
        if segment is None:
            continue
        ends = frozenset((segment.source, segment.destination))
        connection = connections.get(ends)
        if connection is None or (segment.flags & (_SYN | _ACK) == _SYN and connection.talked):
            if connection is not None:
                yield from connection.rest()
            elif len(connections) >= _CONNECTIONS:
                del connections[next(iter(connections))]
            connection = connections[ends] = _Connection(*_roles(segment))
        yield from connection.take(segment)
    for connection in connections.values():
        yield from connection.rest()


# --- files -----------------------------------------------------------------------------------------------


def _pcap(raw: bytes) -> Iterator[tuple[int, bytes]]:
    order = _CLASSIC[raw[:4]]
    if len(raw) < 24:
        return
    link_type = int(struct.unpack_from(f"{order}I", raw, 20)[0]) & 0xFFFF
    position = 24
    while position + 16 <= len(raw):
        length = int(struct.unpack_from(f"{order}I", raw, position + 8)[0])
        yield link_type, raw[position + 16 : position + 16 + length]
        position += 16 + length


def _pcapng(raw: bytes) -> Iterator[tuple[int, bytes]]:
    order, position = "<", 0
    interfaces: list[int] = []  # link types
    while position + 12 <= len(raw):
        if raw[position : position + 4] == _SECTION:
            order = ">" if raw[position + 8 : position + 12] == b"\x1a\x2b\x3c\x4d" else "<"
            interfaces = []
        kind, length = struct.unpack_from(f"{order}II", raw, position)
        if length < 12:
            return  # nothing tells where the next block begins
        body = raw[position + 8 : position + length - 4]
        position += length
        if kind == 1 and len(body) >= 2:
            interfaces.append(int(struct.unpack_from(f"{order}H", body)[0]))
        elif kind == 6 and len(body) >= 20:
            interface, size = struct.unpack_from(f"{order}I8xI", body)
            if interface < len(interfaces):
                yield interfaces[interface], body[20 : 20 + size]
        elif kind == 3 and len(body) >= 4 and interfaces:
            size = int(struct.unpack_from(f"{order}I", body)[0])
            yield interfaces[0], body[4 : 4 + size]


# --- packets ---------------------------------------------------------------------------------------------


class _Segment(NamedTuple):
    source: _End
    destination: _End
    number: int
    acknowledged: int
    flags: int
    octets: bytes


def _segment(link_type: int, packet: bytes) -> _Segment | None:
    try:
        return _tcp(_ip(link_type, packet))
    except (struct.error, IndexError):
        return None  # cut off by the capture's snap length, or no packet


def _ip(link_type: int, packet: bytes) -> bytes:
    """Return the IP packet, nothing where it is another protocol's."""
    if link_type in _RAW_IP:
        return packet
    if link_type in (_LOOPBACK, _LOOPBACK_BIG):
        return packet[4:]
    if link_type == _COOKED_2:
        return packet[20:] if int.from_bytes(packet[:2], "big") in _IP else b""
    if link_type not in (_ETHERNET, _COOKED):
        return b""
    position = 12 if link_type == _ETHERNET else 14
    while int.from_bytes(packet[position : position + 2], "big") in _VLAN:
        position += 4
    return packet[position + 2 :] if int.from_bytes(packet[position : position + 2], "big") in _IP else b""


def _tcp(packet: bytes) -> _Segment | None:
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        start = (packet[0] & 0x0F) * 4
        length, fragment = struct.unpack_from(">H2xH", packet, 2)
        protocol, source, destination = packet[9], packet[12:16], packet[16:20]
        if fragment & 0x1FFF:
            return None  # a later fragment; TCP is hardly ever fragmented
    elif version == 6:
        start, protocol = 40, packet[6]
        length = int(struct.unpack_from(">H", packet, 4)[0])
        length = length and length + 40
        source, destination = packet[8:24], packet[24:40]
        while protocol in _SKIPPED_HEADERS:
            protocol, start = packet[start], start + 8 * (packet[start + 1] + 1)
    else:
        return None
    if protocol != _TCP:
        return None
    # 0 where the network card cut the packet up itself. What is behind the length is padding.
    packet = packet[: length or len(packet)]
    ports = struct.unpack_from(">HH", packet, start)
    number, acknowledged, offset, flags = struct.unpack_from(">IIBB", packet, start + 4)
    return _Segment(
        (source, ports[0]),
        (destination, ports[1]),
        number,
        acknowledged if flags & _ACK else -1,
        flags,
        packet[start + (offset >> 4) * 4 :],
    )


# --- connections -----------------------------------------------------------------------------------------


def _roles(segment: _Segment) -> tuple[_End, _End]:
    """Return client and server: by SYN, else by the port of DLMS, else the server has the lower port."""
    ends = (segment.source, segment.destination)
    if segment.flags & _SYN:
        return ends[::-1] if segment.flags & _ACK else ends
    if _DLMS_PORT in (ends[0][1], ends[1][1]):
        return ends if ends[1][1] == _DLMS_PORT else ends[::-1]
    return ends if ends[1][1] <= ends[0][1] else ends[::-1]


@dataclass(slots=True)
class _Half:
    """What one side sends."""

    next: int | None = None  # number of the octet that is due
    held: dict[int, bytes] = field(default_factory=dict)

    def take(self, segment: _Segment) -> Iterator[tuple[bytes, bool]]:
        """Yield octets in order, and whether some before them are missing."""
        number = segment.number
        if segment.flags & _SYN:
            self.next = number = (number + 1) % _ALL
            self.held.clear()
        if segment.octets:
            if self.next is None:
                self.next = number
            self.held[number] = max(segment.octets, self.held.get(number, b""), key=len)
            yield from self._whole()
            if len(self.held) > _HELD_SEGMENTS:
                yield from self.skip()
        if segment.flags & _ENDS:
            yield from self.skip()

    def acknowledged(self, number: int) -> Iterator[tuple[bytes, bool]]:
        """Yield what is held, if the other side has had what is missing: then the capture has missed it."""
        if self.held and self._ahead(number) > 0:
            yield from self.skip()

    def skip(self) -> Iterator[tuple[bytes, bool]]:
        """Yield what is held, over the gaps."""
        while self.held:
            self.next = min(self.held, key=self._ahead)
            yield from ((octets, at == 0) for at, (octets, _) in enumerate(list(self._whole())))

    def _ahead(self, number: int) -> int:
        ahead = (number - (self.next or 0)) % _ALL
        return ahead - _ALL if ahead >= _HALF else ahead

    def _whole(self) -> Iterator[tuple[bytes, bool]]:
        while self.held:
            number = min(self.held, key=self._ahead)
            ahead = self._ahead(number)
            if ahead > 0:
                return
            octets = self.held.pop(number)[-ahead:]  # what is before it was sent twice
            if octets:
                self.next = ((self.next or 0) + len(octets)) % _ALL
                yield octets, False


class _Connection:
    """Both sides of one, and whether it is DLMS at all."""

    def __init__(self, client: _End, server: _End) -> None:
        self._client = client
        self._names = (_name(client), _name(server))
        self._dlms: bool | None = True if server[1] == _DLMS_PORT else None
        self._halves = {client: _Half(), server: _Half()}
        self.talked = False

    def take(self, segment: _Segment) -> Iterator[Captured]:
        if segment.acknowledged >= 0:
            end = segment.destination
            yield from self._captured(end, self._halves[end].acknowledged(segment.acknowledged))
        yield from self._captured(segment.source, self._halves[segment.source].take(segment))

    def rest(self) -> Iterator[Captured]:
        for end, half in self._halves.items():
            yield from self._captured(end, half.skip())

    def _captured(self, end: _End, pieces: Iterator[tuple[bytes, bool]]) -> Iterator[Captured]:
        for octets, gap in pieces:
            self.talked = True
            if self._dlms is None:
                self._dlms = octets.startswith((b"~", b"\x00\x01")) or b"~\xa0" in octets[:64]
            if self._dlms:
                yield Captured(*self._names, "TX" if end == self._client else "RX", octets, gap)


def _name(end: _End) -> str:
    address, port = end
    if len(address) == 4:
        return f"{'.'.join(map(str, address))}:{port}"
    words = [f"{int.from_bytes(address[at : at + 2], 'big'):x}" for at in range(0, 16, 2)]
    return f"[{':'.join(words)}]:{port}"
