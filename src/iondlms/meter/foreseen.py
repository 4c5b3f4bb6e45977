"""The request for the next block of a long answer over HDLC, foreseen octet by octet.

Of an undisturbed transfer each request is known beforehand, and of each answer all but the data and the FCS.
There are twelve thousand such in a year of rows, and octets that are equal need no other check: neither
deframer nor tables nor decoders. Any other octets take the general way, which comes to the same for these.
"""

from __future__ import annotations

from binascii import crc_hqx
from functools import lru_cache
from typing import Final, TypeAlias

from iondlms.hdlc import COMMAND_LLC, RESPONSE_LLC, Deframer, Transfer
from iondlms.hdlc.frame import GOOD, REVERSED, REVERSED_INVERTED, fill
from iondlms.xdlms import BlockCutter
from iondlms.xdlms.blocks import after_block, block_head

__all__ = ["Foreseen"]

_LADDERS: Final = 64  # kinds of transfer that are kept
_RUNGS: Final = 128  # of each: a day of rows has 33 blocks, a week a few hundred

# By the number of a block that is to be sent: how its frame begins, up to the data; what the register of the
# FCS holds there; the frame with the request for the block after it.
_Ladder: TypeAlias = "dict[int, tuple[bytes, int, bytes]]"


@lru_cache(_LADDERS)
def _ladder(_turns: object, _phase: int, _invoke: int, _room: int) -> _Ladder:
    """Return what is known of all transfers with these heads, V(S) so far ahead of the blocks' numbers.

    Clients ask meters of one address alike, so each frame is made and summed up once for all of them.
    """
    return {}


class Foreseen:
    """The frame that asks for the next block of the long answer under way, and what comes of it.

    What was asked and answered it keeps until `settle` tells the link and the cutter: that is for its owner
    to do before anybody looks at them or anything else comes.
    """

    __slots__ = (
        "_buffer",
        "_cutter",
        "_deframer",
        "_end",
        "_information",
        "_ladder",
        "_number",
        "_offset",
        "_phase",
        "_room",
        "_transfer",
        "_turns",
        "due",
    )

    def __init__(self, cutter: BlockCutter, transfer: Transfer, deframer: Deframer, request: bytes) -> None:
        """`request` is the one that is due from the cutter's client, in a frame of its own."""
        self._cutter = cutter
        self._transfer = transfer
        self._deframer = deframer
        self._information = len(RESPONSE_LLC) + cutter.largest  # octets, with each block but the last
        self._turns = transfer.turns(len(COMMAND_LLC) + len(request), self._information)
        self._phase = transfer.send_number - cutter.block_number & 7
        self._room = cutter.room
        self._ladder = _ladder(self._turns, self._phase, cutter.invoke, cutter.room)
        self.due: bytes | None = transfer.foreseen(COMMAND_LLC + request)  # None after the last block
        self._look()

    def _look(self) -> None:
        """See what the cutter has at hand."""
        self._number = self._cutter.block_number  # of the block sent last
        self._buffer, self._offset = self._cutter.at_hand
        self._end = len(self._buffer)

    def answer(self) -> bytes:
        """Take the frame that is `due` as come, and return the one with the block."""
        start = self._offset
        stop = start + self._room
        if stop >= self._end:  # a block at the end of what is at hand, and maybe the last
            return self._cut()
        number = self._number = self._number + 1
        self._offset = stop
        begin, register, self.due = self._ladder.get(number) or self._made(number)
        raw = self._buffer[start:stop]
        # As `fill`, which is not called, and begins with the register at the head of the information.
        register = crc_hqx(raw.translate(REVERSED), register)
        return b"%b%b%b~" % (begin, raw, register.to_bytes(2, "big").translate(REVERSED_INVERTED))

    def _made(self, number: int) -> tuple[bytes, int, bytes]:
        invoke = self._cutter.invoke
        head, due = self._turns[self._phase + number - 1 & 7]
        information = RESPONSE_LLC + block_head(invoke, number, self._room)
        request, _ = after_block(invoke, number)
        rung = (
            head + information,
            crc_hqx(information.translate(REVERSED), GOOD),
            fill(due, COMMAND_LLC + request),
        )
        if number <= _RUNGS:
            self._ladder[number] = rung
        return rung

    def _cut(self) -> bytes:
        """Have the cutter make the block."""
        self.settle()
        cutter, transfer = self._cutter, self._transfer
        head, due = self._turns[transfer.send_number]
        information = RESPONSE_LLC + cutter.next_block()
        if len(information) == self._information:
            transfer.turned(information)
            octets = fill(head, information)
        else:
            octets = transfer.turn(information)
        self._deframer.frames += 1
        request = cutter.due
        self.due = None if request is None else fill(due, COMMAND_LLC + request)
        self._look()
        return octets

    def settle(self) -> None:
        """Tell the link and the cutter of what was asked and answered; nothing else changed in between."""
        cutter = self._cutter
        count = self._number - cutter.block_number
        if count:
            cutter.cut(count)
            self._transfer.turned(RESPONSE_LLC + cutter.previous, count)
            self._deframer.frames += count
