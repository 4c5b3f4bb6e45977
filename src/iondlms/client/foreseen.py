"""The next block of a long answer over HDLC, foreseen octet by octet.

Of an undisturbed transfer all is known beforehand but the data: addresses, numbers and lengths of the frame,
the head of the block. A frame that begins just so, as long as it must be and with a good FCS, needs neither
deframer nor tables nor decoders, and there are twelve thousand of them in a year of rows. Any other octets
take the general way, which comes to the same for these.
"""

from __future__ import annotations

from iondlms.client.links import HdlcLink
from iondlms.hdlc.frame import FLAG, check_information
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC, Transfer
from iondlms.xdlms import BlockJoiner

__all__ = ["Foreseen"]

_LLC = len(RESPONSE_LLC)
_TAIL = 3  # FCS and the closing flag


class Foreseen:
    """What is due after a GetRequestNext went out, for as long as each block is as long as the one before."""

    __slots__ = (
        "_apdu",
        "_begin",
        "_data",
        "_information",
        "_joiner",
        "_length",
        "_link",
        "_size",
        "_transfer",
    )

    def __init__(self, link: HdlcLink, transfer: Transfer, joiner: BlockJoiner, block: bytes) -> None:
        self._link = link
        self._transfer = transfer
        self._joiner = joiner
        self._size = block[-1]  # octets of data in a block
        self._information = _LLC + len(block) + self._size  # octets of it in the frame
        head = transfer.due(self._information)
        self._begin = head + RESPONSE_LLC + block  # of the frame, up to the data
        self._length = len(head) + self._information + _TAIL
        self._data = len(self._begin)  # where it begins in the frame
        self._apdu = len(head) + _LLC

    @classmethod
    def of(cls, link: HdlcLink, joiner: BlockJoiner) -> Foreseen | None:
        """Return what is due now; None where more than one thing may come in turn."""
        block = joiner.due
        transfer = link.in_turn(len(block) + block[-1]) if block else None
        return None if transfer is None else cls(link, transfer, joiner, block)

    def is_there(self, data: bytes) -> bool:
        """Whether the octets are the frame that is due, whole and undamaged; nothing has changed yet."""
        return (
            len(data) == self._length
            and data.startswith(self._begin)
            and data[-1] == FLAG
            and check_information(data[self._apdu - _LLC : -1])
            and self._joiner.has_room(self._size)
        )

    def apdu(self, data: bytes) -> bytes:
        """Return the APDU of the frame that is there."""
        return data[self._apdu : -_TAIL]

    def data(self, data: bytes) -> bytes:
        """Return the data of the block that is there."""
        return data[self._data : -_TAIL]

    def take(self, data: bytes, invoke: int) -> bytes:
        """Take the frame that is there as come, and return the GetRequestNext for what follows it."""
        self._link.count_frame()
        return self._joiner.go_on(data[self._data : -_TAIL], invoke)

    def go_on(self, request: bytes) -> bytes:
        """Return the frame with the next GetRequestNext, and foresee its answer."""
        # The request fits: of a link's frames none is shorter than 32 octets of information.
        # Nothing else has changed: this was a block as long as the one before.
        octets = self._transfer.turn(COMMAND_LLC + request)
        head = self._transfer.due(self._information)
        self._begin = b"%b%b%b%c" % (head, RESPONSE_LLC, self._joiner.head, self._size)
        return octets
