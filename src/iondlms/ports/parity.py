"""Seven bits and even parity by software, so that 7E1 runs over any line of 8N1.

Both are ten bits on the line: 7E1 is 8N1 whose highest bit is the parity of the other seven. A pty and most
serial servers carry eight bits and no parity at all, so what the UART would do is done here, by two tables.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ERROR", "add_parity", "strip_parity"]

# An octet of wrong parity comes out with this bit set, which no good character has.
ERROR: Final = 0x80

_ADD: Final = bytes(
    character & 0x7F | (0x80 if (character & 0x7F).bit_count() & 1 else 0) for character in range(256)
)
_STRIP: Final = bytes(octet & 0x7F if octet.bit_count() % 2 == 0 else octet | ERROR for octet in range(256))


def add_parity(characters: bytes) -> bytes:
    """Return the octets on the line; of each character the lower seven bits count."""
    return characters.translate(_ADD)


def strip_parity(octets: bytes) -> bytes:
    """Return the characters; where the parity was wrong, the character has `ERROR` set.

    `strip_parity(octets).isascii()` says whether all parity was right.
    """
    return octets.translate(_STRIP)
