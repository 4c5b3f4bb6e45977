"""The next block of a long answer over HDLC, foreseen octet by octet.

Of an undisturbed transfer all is known beforehand but the data: addresses, numbers and lengths of the frame,
the head of the block. A frame that begins just so, as long as it must be and with a good FCS, needs neither
deframer nor tables nor decoders, and there are twelve thousand of them in a year of rows. Any other octets
take the general way, which comes to the same for these.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from iondlms.client.links import HdlcLink
from iondlms.hdlc.frame import FLAG, check_information, fill
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC, Transfer
from iondlms.xdlms import BlockJoiner
from iondlms.xdlms.blocks import after_block

__all__ = ["Foreseen"]

_LLC: Final = len(RESPONSE_LLC)
_TAIL: Final = 3  # FCS and the closing flag
_LADDERS: Final = 64  # kinds of transfer that are kept
_RUNGS: Final = 128  # of each: a day of rows has 33 blocks, a week a few hundred


class _Rung(NamedTuple):
    """What follows a block: the GetRequestNext, and the block that answers it."""

    information: bytes  # of the frame with the request: LLC and APDU
    frame: bytes
    head: bytes  # of the next block, without its length
    begin: bytes  # of the frame with it, up to the data


_Ladder: TypeAlias = "dict[int, _Rung]"  # by the number of the block that has come


@lru_cache(_LADDERS)
def _ladder(_turns: object, _phase: int, _invoke: int, _size: int) -> _Ladder:
    """Return what is known of all transfers with these heads, V(S) so far ahead of the blocks' numbers.

    Meters of one address are asked alike, so each frame is made and summed up once for all of them.
    """
    return {}


class Foreseen:
    """What is due after a GetRequestNext went out, for as long as each block is as long as the one before."""

    __slots__ = (
        "_apdu",
        "_begin",
        "_data",
        "_deframer",
        "_invoke",
        "_joiner",
        "_ladder",
        "_length",
        "_rung",
        "_size",
        "_transfer",
        "_turns",
    )

    def __init__(
        self, link: HdlcLink, transfer: Transfer, joiner: BlockJoiner, block: bytes, invoke: int
    ) -> None:
        self._deframer = link.deframer
        self._transfer = transfer
        self._joiner = joiner
        self._invoke = invoke
        self._size = block[-1]  # octets of data in a block
        information = _LLC + len(block) + self._size  # octets of it in the frame
        head = transfer.due(information)
        self._turns = transfer.turns(information, _LLC + joiner.request_size)
        phase = transfer.send_number - joiner.block_number & 7
        self._ladder = _ladder(self._turns, phase, invoke, self._size)
        self._rung: _Rung | None = None  # of the block that `follow` has taken
        self._begin = head + RESPONSE_LLC + block  # of the frame, up to the data
        self._length = len(head) + information + _TAIL
        self._data = len(self._begin)  # where it begins in the frame
        self._apdu = len(head) + _LLC

    @classmethod
    def of(cls, link: HdlcLink, joiner: BlockJoiner, invoke: int) -> Foreseen | None:
        """Return what is due now; None where more than one thing may come in turn."""
        block = joiner.due
        transfer = link.in_turn(len(block) + block[-1]) if block else None
        return None if transfer is None else cls(link, transfer, joiner, block, invoke)

    def follow(self, data: bytes) -> bytes | None:
        """Take the frame that is due, and return the one with the next GetRequestNext.

        None, and nothing has changed, if the octets are not that frame, whole and undamaged.
        """
        joiner = self._joiner
        if (
            len(data) != self._length
            or not data.startswith(self._begin)
            or data[-1] != FLAG
            or not check_information(data[self._apdu - _LLC : -1])
            or joiner.received + self._size > joiner.limit
        ):
            return None
        self._deframer.frames += 1
        number = joiner.block_number + 1
        rung = self._rung = self._ladder.get(number) or self._made(number)
        information, frame, head, self._begin = rung
        # The request fits: of a link's frames none is shorter than 32 octets of information.
        # Nothing else has changed: this was a block as long as the one before.
        joiner.go_on(data[self._data : -_TAIL], head)
        self._transfer.turned(information)
        return frame

    def _made(self, number: int) -> _Rung:
        request, head = after_block(self._invoke, number)
        information = COMMAND_LLC + request
        said, due = self._turns[self._transfer.send_number]
        begin = b"%b%b%b%c" % (due, RESPONSE_LLC, head, self._size)
        rung = _Rung(information, fill(said, information), head, begin)
        if number <= _RUNGS:
            self._ladder[number] = rung
        return rung

    @property
    def request(self) -> bytes:
        """The APDU that `follow` returned a frame with."""
        return b"" if self._rung is None else self._rung.information[_LLC:]

    def apdu(self, data: bytes) -> bytes:
        """Return the APDU of the frame that was taken."""
        return data[self._apdu : -_TAIL]

    def data(self, data: bytes) -> bytes:
        """Return the data of its block."""
        return data[self._data : -_TAIL]
