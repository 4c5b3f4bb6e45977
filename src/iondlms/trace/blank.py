"""Secrets taken out of octets before anybody shows or stores them.

Each octet of a secret becomes 2A (`*`), so no length changes; an FCS that was right is made right again, so
what is left is still a frame that any translator takes. Blanked are:

* the authentication value of an AARQ: the password of low level security, the challenge of a high one;
* a dedicated key in an InitiateRequest that is not ciphered;
* lls_secret of an Association LN in SET, in change_HLS_secret and in the answer to the GET that named it.

A secret is found by the octets in front of it, in whole messages and in pieces, so it is blanked in damaged
frames too, and in one that a segment boundary cuts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError
from iondlms.hdlc import fcs16
from iondlms.hdlc.frame import FLAG, read_header

__all__ = ["Blanker", "blanked", "is_blanked"]

BLANK: Final = 0x2A

# Each ends where the length of the secret begins.
_LENGTH: Final = rb"(?:[\x00-\x7f]|\x81.|\x82..)"
_AARQ: Final = re.compile(rb"\xac(%b)\x80" % _LENGTH, re.DOTALL)
_MECHANISM: Final = re.compile(rb"\x60\x85\x74\x05\x08\x02", re.DOTALL)
_KEY: Final = re.compile(rb"(?:\A|\xbe%b\x04%b)\x01\x01(?=[\x10\x18\x20])" % (_LENGTH, _LENGTH), re.DOTALL)
_SET: Final = re.compile(rb"\xc1\x01.\x00\x0f.{6}\x07\x00[\x09\x0a]", re.DOTALL)
_ACTION: Final = re.compile(rb"\xc3\x01.\x00\x0f.{6}\x02\x01[\x09\x0a]", re.DOTALL)
_GET_OR_ANSWER: Final = re.compile(rb"\xc0\x01(.)(..)......(.)|\xc4\x01(.)\x00[\x09\x0a]", re.DOTALL)
_LLS_SECRET: Final = (b"\x00\x0f", b"\x07")
_AFTER_KEY: Final = re.compile(rb"(?:\x00|\x01.)(?:\x00|\x01.).\x5f", re.DOTALL)

# A password ends at most so far behind the octets that give it away.
_TAIL: Final = 320
# An AARQ in the smallest segments; what goes on longer is none.
_LONGEST_CHAIN: Final = 16 * 1024


def is_blanked(octets: bytes) -> bool:
    """Say whether nothing but blanks is left."""
    return bool(octets) and not octets.strip(bytes((BLANK,)))


def blanked(octets: bytes) -> bytes:
    """Return octets of any kind, whole, with the secrets blanked."""
    return Blanker().feed("", octets)


class Blanker:
    """Blanks a conversation as it comes, in pieces of any size, for each direction by itself."""

    __slots__ = ("_asked", "_held")

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}  # of a direction: what the next piece may go on with
        self._asked = b""  # the invoke octet of the newest GET, if that names a secret

    def feed(self, direction: str, octets: bytes) -> bytes:
        """Return the octets, as many as they were, without the secrets."""
        held = self._held.get(direction, b"")
        data = held + octets
        frames = list(_frames(data))
        out = bytearray(data)
        for start, stop in self._secrets(data, not held):
            out[start:stop] = bytes((BLANK,)) * (stop - start)
        views, open_from = _chains(data, frames)
        for view in views:
            joined = b"".join(data[start:stop] for start, stop in view)
            for start, stop in self._secrets(joined, False):
                _blank_in(out, view, start, stop)
        for frame in frames:
            _repair(out, data, frame)
        keep = max(0, len(data) - _TAIL)
        if frames:
            keep = min(keep, frames[-1].flag) if frames[-1].closing >= len(data) else keep
        if open_from is not None and len(data) - open_from <= _LONGEST_CHAIN:
            keep = min(keep, open_from)
        self._held[direction] = data[keep:]
        return bytes(out[len(held) :])

    def restart(self) -> None:
        """What comes next goes on with nothing that came before; what was asked for is remembered."""
        self._held.clear()

    def _secrets(self, data: bytes, whole: bool) -> Iterator[tuple[int, int]]:
        for match in _AARQ.finditer(data):
            span = _span(data, match.end())
            outer = Reader(match[1]).length()
            if span is None:
                continue
            start, stop = span
            # Without a mechanism name in front the lengths must agree, else profile values would be hit;
            # with it they may be damaged, and the longer one is believed.
            if _MECHANISM.search(data, max(0, match.start() - 8), match.start()):
                yield start, min(max(stop, match.end() + outer - 1), len(data))
            elif outer == 1 + (stop - match.end()):
                yield start, min(stop, len(data))
        for pattern in (_SET, _ACTION):
            for match in pattern.finditer(data):
                yield from _spans(data, match.end())
        for match in _KEY.finditer(data):
            for start, stop in _spans(data, match.end()):
                # Bare, 01 01 is an array of one as well: only what stands behind tells.
                if match[0][0] == 0xBE or (whole and _AFTER_KEY.match(data, stop)):
                    yield start, stop
        for match in _GET_OR_ANSWER.finditer(data):
            if match[1]:
                self._asked = match[1] if (match[2], match[3]) == _LLS_SECRET else b""
            elif match[4] == self._asked:
                yield from _spans(data, match.end())


def _span(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the secret whose length stands at `at` begins, and where it should end."""
    reader = Reader(data, at)
    try:
        length = reader.length()
    except DecodeError:
        return None
    return reader.position, reader.position + length


def _spans(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    span = _span(data, at)
    if span is not None:
        yield span[0], min(span[1], len(data))


# --- frames ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    flag: int
    information: tuple[int, int]  # as far as it has come
    closing: int  # offset of the closing flag, which may be still to come
    link: tuple[bytes, bytes]
    segmented: bool
    ended: bool  # a flag closes it, or may yet


def _frames(data: bytes) -> Iterator[_Frame]:
    flag = data.find(FLAG)
    while flag >= 0:
        header = read_header(data, flag, len(data))
        if header is None or not header.length or not header.good:
            flag = data.find(FLAG, flag + 1)
            continue
        closing = flag + 1 + header.length
        ended = closing >= len(data) or data[closing] == FLAG
        if header.size < header.length:
            start = flag + 1 + header.size
            span = (start, max(start, min(closing - 2, len(data))))
            link = (header.destination, header.source)
            yield _Frame(flag, span, closing, link, header.segmented, ended)
        flag = data.find(FLAG, closing if ended else flag + 1)


def _chains(data: bytes, frames: list[_Frame]) -> tuple[list[list[tuple[int, int]]], int | None]:
    """Return the segmented LSDUs as lists of pieces, and where the first that is still open begins."""
    views: list[list[tuple[int, int]]] = []
    begun: dict[tuple[bytes, bytes], tuple[int, list[tuple[int, int]]]] = {}
    for frame in frames:
        if not frame.ended:
            continue
        if frame.link in begun:
            begun[frame.link][1].append(frame.information)
        elif frame.segmented:
            begun[frame.link] = (frame.flag, [frame.information])
        if frame.link in begun and not frame.segmented and frame.closing < len(data):
            views.append(begun.pop(frame.link)[1])
    views += [view for _, view in begun.values()]
    return views, min((flag for flag, _ in begun.values()), default=None)


def _blank_in(out: bytearray, view: list[tuple[int, int]], start: int, stop: int) -> None:
    offset = 0
    for first, last in view:
        size = last - first
        begin, end = max(start - offset, 0), min(stop - offset, size)
        if begin < end:
            out[first + begin : first + end] = bytes((BLANK,)) * (end - begin)
        offset += size


def _repair(out: bytearray, data: bytes, frame: _Frame) -> None:
    """Make the FCS right again, as far as it has come; from the first wrong octet on it stays as it is.

    Octet by octet, so that the result does not depend on how the frame was cut.
    """
    start, stop = frame.information
    at = frame.closing - 2
    if out[start:stop] == data[start:stop] or len(data) <= at:
        return
    was = fcs16(data[frame.flag + 1 : at])
    now = fcs16(bytes(out[frame.flag + 1 : at]))
    for place in range(min(2, len(data) - at)):
        if data[at + place] != was[place]:
            return
        out[at + place] = now[place]
