"""The next block of a long answer over HDLC, foreseen octet by octet.

Of an undisturbed transfer all is known beforehand but the data: addresses, numbers and lengths of the frame,
the head of the block. A frame that begins just so, as long as it must be and with a good FCS, needs neither
deframer nor tables nor decoders, and there are twelve thousand of them in a year of rows. Any other octets
take the general way, which comes to the same for these.
"""

from __future__ import annotations

from iondlms.client.links import HdlcLink
from iondlms.hdlc.frame import FLAG, check_information
from iondlms.hdlc.transfer import RESPONSE_LLC
from iondlms.xdlms import BlockJoiner

__all__ = ["Foreseen"]

_LLC = len(RESPONSE_LLC)
_TAIL = 3  # FCS and the closing flag


class Foreseen:
    """What is due after a GetRequestNext went out, for as long as each block is as long as the one before."""

    __slots__ = ("_apdu", "_due", "_information", "_joiner", "_length", "_link", "_octets")

    def __init__(self, link: HdlcLink, joiner: BlockJoiner) -> None:
        self._link = link
        self._joiner = joiner
        self._due = b""  # the frame up to the data of the block
        self._information = 0  # where it begins in the frame
        self._apdu = 0
        self._octets = 0  # of the APDU
        self._length = 0  # of the frame

    @classmethod
    def of(cls, link: HdlcLink, joiner: BlockJoiner) -> Foreseen | None:
        """Return what is due now; None where more than one thing may come in turn."""
        found = cls(link, joiner)
        found._look()
        return found if found._due else None

    def _look(self) -> None:
        block = self._joiner.due
        octets = len(block) + block[-1] if block else 0
        head = self._link.foreseen(octets) if octets else b""
        if not head:
            return
        self._due = head + RESPONSE_LLC + block
        self._information = len(head)
        self._apdu = len(head) + _LLC
        self._length = self._apdu + octets + _TAIL
        self._octets = octets

    def take(self, data: bytes) -> bytes | None:
        """Return the APDU of the frame that was due, for the joiner; None for any other octets."""
        if (
            len(data) != self._length
            or not data.startswith(self._due)
            or data[-1] != FLAG
            or not check_information(data[self._information : -1])
        ):
            return None
        return data[self._apdu : -_TAIL]

    def go_on(self, request: bytes) -> bytes:
        """Count that frame as come, return the frame of the next GetRequestNext, and foresee its answer."""
        octets = self._link.follow(request)
        # The request fits: of a link's frames none is shorter than 32 octets of information.
        # All that `_look` asks about is as it was: this was a block as long as the one before.
        self._due = self._link.due(self._octets) + RESPONSE_LLC + self._joiner.due
        return octets
