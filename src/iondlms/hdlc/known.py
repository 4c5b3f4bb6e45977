"""Frames for a meter that came before, known by their octets: those who read many ask each the same."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from iondlms.hdlc.deframer import Deframer
from iondlms.hdlc.frame import Kind
from iondlms.hdlc.transfer import Reaction

__all__ = ["KNOWN", "KnownRequest", "keep", "sets_mode"]


class KnownRequest(NamedTuple):
    """A request in a whole and undamaged I frame, and what it brings about where it is due."""

    destination: bytes
    source: bytes
    control: int
    reaction: Reaction


# By their octets. Only short ones, and not too many, for a peer may make each one new.
KNOWN: Final[dict[bytes, KnownRequest]] = {}
_SHORT: Final = 100  # octets; an AARQ with a password fits, and a GET of a range
_MOST: Final = 512


def keep(data: bytes, request: KnownRequest) -> KnownRequest:
    """Know a request by its octets from now on, if they are few; return it."""
    if len(data) <= _SHORT:
        if len(KNOWN) >= _MOST:
            KNOWN.clear()
        KNOWN[data] = request
    return request


@lru_cache(maxsize=64)
def sets_mode(data: bytes) -> bool:
    """Whether octets are SNRM or DISC, a whole frame and nothing else.

    Then a deframer that holds no half of another finds that frame in them, and holds no half afterwards.
    """
    frames = Deframer().feed(data)
    return len(frames) == 1 and frames[0].kind in (Kind.SNRM, Kind.DISC) and frames[0].encode() == data
