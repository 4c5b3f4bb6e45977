"""Requests for a meter that came before, known by their octets: those who read many ask each the same."""

from __future__ import annotations

from typing import Final, NamedTuple

from iondlms.hdlc.transfer import Reaction

__all__ = ["KNOWN", "KnownRequest", "keep"]


class KnownRequest(NamedTuple):
    """A request in a whole and undamaged I frame, and what it brings about where it is due."""

    destination: bytes
    source: bytes
    control: int
    reaction: Reaction


# By their octets. Only short ones, and not too many, for a peer may make each one new.
KNOWN: Final[dict[bytes, KnownRequest]] = {}
_SHORT: Final = 100  # octets; a GET of a range fits
# How those begin that may be kept: GET, RLRQ, and an AARQ without the tag of a password. No secret is kept.
_OPEN: Final = (b"\xc0", b"\x62")
_AARQ: Final = b"\x60"
_PASSWORD: Final = b"\xac"
_MOST: Final = 512


def keep(data: bytes, request: KnownRequest) -> KnownRequest:
    """Know a request by its octets from now on, if they are few and hold no secret; return it."""
    lsdu = request.reaction.lsdu
    secret = lsdu[:1] not in _OPEN and (lsdu[:1] != _AARQ or _PASSWORD in lsdu)
    if len(data) <= _SHORT and not secret:
        if len(KNOWN) >= _MOST:
            KNOWN.clear()
        KNOWN[data] = request
    return request
