"""Octets of a line -> frames with good check sequences (IEC 62056-46 6.4.4.2, 6.4.4.9.2).

There is no octet stuffing in this frame type: 7E may stand anywhere in a frame, and only the length field
tells where the frame ends. A flag with something behind it is a candidate; what becomes of it depends on its
header (the octets up to HCS, or FCS where there is no information):

* no header of type 3: noise, hunt for the next flag;
* good: wait for the claimed end. A flag there and a good FCS make a frame, a bad FCS drops it, and either way
  the flag may open the next frame. No flag there: it was no frame, hunt from behind its opening flag;
* bad without information: noise or a damaged frame; hunt from behind its opening flag;
* bad with information: noise that looks like a header, or a damaged frame. While its claimed end has not
  come, any later flag with a good header behind it is believed instead. If none comes and the claimed end is
  a flag, it was a damaged frame: that flag is a closing one only, and what is chained to it is lost (the
  clause says so).

Each decision is taken on the shortest input that allows it, so the frames do not depend on how the input is
cut.
"""

from __future__ import annotations

import re
from typing import Final

from iondlms.hdlc.frame import FLAG, KNOWN_HEADERS, Frame, Kind, read_header

__all__ = ["Deframer", "known_frame"]

_FLAG: Final = b"~"
_NOTHING_HELD: Final = (b"", _FLAG)  # a frame may share its opening flag with the one before, and need not
_LAST_FLAG: Final = re.compile(rb"~+")
_SHORT: Final = 40  # octets of a frame that is known as a whole: a UA with all parameters has 33 to 38
# Such frames by their octets: SNRM, UA and DISC of each session, RR of each segment. Never an I frame, for it
# may hold a part of a password.
_KNOWN: Final[dict[bytes, Frame]] = {}
_MOST_KNOWN: Final = 256


class Deframer:
    """Cuts a stream of octets into frames; holds at most one frame's octets (2047 and the opening flag)."""

    __slots__ = ("_held", "_searched", "_size", "damaged_frames", "fcs_errors", "frames", "noise", "timeouts")

    def __init__(self) -> None:
        self._held = b""  # starts with the flag of the candidate
        self._searched = 0  # offset in `_held` below which no other flag starts a good header
        self._size = 0  # octets of the header of the last good frame
        self.frames = 0  # good ones
        self.fcs_errors = 0  # frames with good HCS and bad FCS
        self.damaged_frames = 0  # frames with bad HCS that ended where they said
        self.noise = 0  # octets that belong to no frame, flags not counted
        self.timeouts = 0  # half frames thrown away

    @property
    def pending(self) -> bool:
        """Whether the start of a frame is held, be it the flag alone: the inter-frame time-out is running.

        The flag alone counts, because it may be the opening flag of the next frame only for so long.
        """
        return bool(self._held)

    @property
    def counters(self) -> dict[str, int]:
        """What was counted, by name; `errors` are the frames that were damaged."""
        errors = self.fcs_errors + self.damaged_frames
        return {"frames": self.frames, "errors": errors, "noise": self.noise, "timeouts": self.timeouts}

    @property
    def in_frame(self) -> bool:
        """Whether more than an opening flag is held."""
        return len(self._held) > 1

    @property
    def between_frames(self) -> bool:
        """Whether nothing is held but the closing flag of a frame, which the next one may share."""
        return self._held == _FLAG and not self._searched

    def flush(self) -> None:
        """Throw the half frame away: the inter-frame time-out has passed (62056-46 6.4.4.3.3)."""
        if self._held.strip(_FLAG):
            self.timeouts += 1
        self._held = b""
        self._searched = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Return the frames that are complete with these octets, closing flag included, in their order."""
        data = bytes(data)
        # Nearly always: one whole frame, or a header, that came before. Nothing is left to decide then.
        if self._held in _NOTHING_HELD and not self._searched:
            frame = _KNOWN.get(data) if len(data) <= _SHORT else None
            if frame is not None:
                self._held = _FLAG
                self.frames += 1
                return [frame]
            header = KNOWN_HEADERS.get(data[1 : 1 + self._size])
            if header is not None and len(data) == header.length + 2 and data[0] == FLAG == data[-1]:
                frame = header.frame(data, 0)
                if frame is not None:
                    self._held = _FLAG
                    self.frames += 1
                    return [frame]
        if len(self._held) > 1 or (self._held and not data.startswith(_FLAG)):
            data = self._held + data
        frames: list[Frame] = []
        end = len(data)
        searched = self._searched
        candidate = 0 if data.startswith(_FLAG) else self._hunt(data, 0)
        while candidate >= 0:
            # Most headers are as long as the one before, and known: one look instead of all checks.
            header = KNOWN_HEADERS.get(data[candidate + 1 : candidate + 1 + self._size])
            if header is None:
                header = read_header(data, candidate, end)
            if header is None:
                break
            closing = candidate + 1 + header.length
            if header.good:
                if closing >= end:
                    break
                if data[closing] == FLAG:
                    frame = header.frame(data, candidate)
                    if frame is None:
                        self.fcs_errors += 1
                    else:
                        self.frames += 1
                        self._size = header.size
                        frames.append(frame)
                    candidate = closing + data.startswith(_FLAG, closing + 1)
                    continue
            elif header.length > header.size:  # a bad HCS
                start = max(searched, candidate + 1)
                found, reached = _search(data, start, min(end, closing + 1))
                # A claimed end before the one of another candidate must not send the search back.
                searched = max(start, reached)
                if found >= 0:
                    self.noise += found - candidate - 1 - data.count(_FLAG, candidate + 1, found)
                    candidate = found
                    continue
                if closing >= end:
                    break
                if data[closing] == FLAG:
                    self.damaged_frames += 1
                    candidate = self._hunt(data, closing + 1)
                    continue
            candidate = self._hunt(data, candidate + 1)
        self._held = data[candidate:] if candidate >= 0 else b""
        self._searched = max(0, searched - candidate) if candidate >= 0 else 0
        if len(self._held) > 1 and not self._held.strip(_FLAG):
            self._held, self._searched = _FLAG, 0  # one is as good as many, and no half of a frame
        if len(frames) == 1 and len(data) <= _SHORT:
            _keep(frames[0], data)
        return frames

    def _hunt(self, data: bytes, start: int) -> int:
        """Return the next flag that no flag follows, counting what is skipped; -1 if none is left."""
        run = _LAST_FLAG.search(data, start)
        self.noise += (len(data) if run is None else run.start()) - start
        return -1 if run is None else run.end() - 1


def known_frame(data: bytes) -> Frame | None:
    """Return the frame that these octets are, from flag to flag, if it came before; never an I frame."""
    return _KNOWN.get(data)


def _keep(frame: Frame, data: bytes) -> None:
    """Know a frame as a whole from now on, if it is all of these octets and none that is numbered."""
    if frame.kind is Kind.I or frame.encode() != data:
        return
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[data] = frame


def _search(data: bytes, start: int, limit: int) -> tuple[int, int]:
    """Return the flag from `start` on that first proves a good header before `limit`, -1 if none does.

    With it, the offset to go on from when more has come. A header without information needs its closing flag
    to prove it.
    """
    found, proven = -1, limit
    undecided = -1
    flag = data.find(_FLAG, start, limit)
    while 0 <= flag < proven:
        header = read_header(data, flag, limit)
        proof = 0 if header is None else flag + 1 + header.size + (header.size == header.length)
        if header is None or (header.good and proof > limit):
            undecided = flag if undecided < 0 else undecided
        elif (
            header.good
            and (header.size < header.length or data[proof - 1] == FLAG)
            and (found < 0 or proof < proven)
        ):
            found, proven = flag, proof
        flag = data.find(_FLAG, flag + 1, limit)
    return found, undecided if undecided >= 0 else proven
