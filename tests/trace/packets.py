"""Packet captures built from their formats: pcap and pcapng, several link types, TCP over IPv4 and IPv6."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

CLIENT: Final = ("10.0.0.5", 40000)
SERVER: Final = ("10.0.0.7", 4059)
SYN, ACK, FIN = 0x02, 0x10, 0x01


@dataclass
class Talk:
    """A connection as segments; each call appends one. Sequence numbers begin where they soon wrap."""

    client: tuple[str, int] = CLIENT
    server: tuple[str, int] = SERVER
    numbers: dict[bool, int] = field(default_factory=lambda: {True: 0xFFFFFF00, False: 7})
    packets: list[bytes] = field(default_factory=list)

    def open(self) -> Talk:
        self._put(True, b"", SYN)
        self._put(False, b"", SYN | ACK)
        return self

    def say(self, up: bool, octets: bytes, flags: int = ACK) -> Talk:
        self._put(up, octets, flags)
        return self

    def _put(self, up: bool, octets: bytes, flags: int) -> None:
        ends = (self.client, self.server) if up else (self.server, self.client)
        acknowledged = self.numbers[not up] if flags & ACK else 0
        self.packets.append(packet(*ends, self.numbers[up], acknowledged, flags, octets))
        self.numbers[up] = (self.numbers[up] + len(octets) + bool(flags & (SYN | FIN))) % (1 << 32)


def packet(
    source: tuple[str, int],
    destination: tuple[str, int],
    number: int,
    acknowledged: int,
    flags: int,
    octets: bytes,
) -> bytes:
    """Return an IP packet."""
    tcp = struct.pack(
        ">HHIIBBHHH", source[1], destination[1], number, acknowledged, 5 << 4, flags, 8192, 0, 0
    )
    body = tcp + octets
    if ":" in source[0]:
        ends = bytes.fromhex(source[0].replace(":", "")) + bytes.fromhex(destination[0].replace(":", ""))
        return struct.pack(">IHBB", 6 << 28, len(body), 6, 64) + ends + body
    ends = bytes(map(int, source[0].split("."))) + bytes(map(int, destination[0].split(".")))
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 6, 0) + ends + body


def ethernet(ip: bytes, vlan: bool = False) -> bytes:
    kind = b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\x00"
    tag = b"\x81\x00\x00\x05" if vlan else b""
    return (bytes(12) + tag + kind + ip).ljust(60, b"\xee")  # short frames are padded


def framed(link_type: int, ip: bytes) -> bytes:
    """Return a packet as that link type has it."""
    kind = b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\x00"
    return {
        0: b"\x02\0\0\0" + ip,
        1: ethernet(ip),
        101: ip,
        108: b"\0\0\0\x02" + ip,
        113: bytes(14) + kind + ip,
        276: kind + bytes(18) + ip,
    }[link_type]


def pcap(packets: list[bytes], link_type: int = 1, order: str = "<", nanoseconds: bool = False) -> bytes:
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    raw = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for ip in packets:
        data = framed(link_type, ip)
        raw += struct.pack(f"{order}IIII", 1, 2, len(data), len(data)) + data
    return raw


def pcapng(packets: list[bytes], link_type: int = 1, order: str = "<") -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body = body.ljust(-(-len(body) // 4) * 4, b"\0")
        size = struct.pack(f"{order}I", len(body) + 12)
        return struct.pack(f"{order}I", kind) + size + body + size

    raw = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    raw += block(1, struct.pack(f"{order}HHI", 147, 0, 65535))  # an interface of no use
    raw += block(1, struct.pack(f"{order}HHI", link_type, 0, 65535))
    raw += block(4, bytes(4))  # names
    for ip in packets:
        data = framed(link_type, ip)
        raw += block(6, struct.pack(f"{order}IIIII", 1, 0, 0, len(data), len(data)) + data)
    return raw
