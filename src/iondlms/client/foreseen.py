"""The next block of a long answer over HDLC, foreseen octet by octet.

Of an undisturbed transfer all is known beforehand but the data: addresses, numbers and lengths of the frame,
the head of the block. A frame that begins just so, as long as it must be and with a good FCS, needs neither
deframer nor tables nor decoders, and there are twelve thousand of them in a year of rows. Any other octets
take the general way, which comes to the same for these.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from iondlms.client.links import HdlcLink
from iondlms.hdlc.frame import FLAG, GOOD, REVERSED, fill
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC, Transfer
from iondlms.xdlms import BlockJoiner
from iondlms.xdlms.blocks import after_block

__all__ = ["Follow", "Foreseen", "foresee_nothing"]

_LLC: Final = len(RESPONSE_LLC)
_TAIL: Final = 3  # FCS and the closing flag
_AT_ONCE: Final = 1024  # blocks that are taken before the link and the joiner are told of them
_LADDERS: Final = 64  # kinds of transfer that are kept
_RUNGS: Final = 128  # of each: a day of rows has 33 blocks, a week a few hundred

Watch: TypeAlias = 'Callable[[Literal["TX", "RX"], bytes, float], None]'  # an APDU as it travels
Progress: TypeAlias = "Callable[[bytes, int], None]"  # block, octets so far
Follow: TypeAlias = "Callable[[bytes, float], bytes | None]"  # octets and time -> what is sent after them
# By the number of the block that has come: the frame with the request for the next one, and how the frame
# with that begins, up to the data.
_Ladder: TypeAlias = "dict[int, tuple[bytes, bytes]]"


@lru_cache(_LADDERS)
def _ladder(_turns: object, _phase: int, _invoke: int, _size: int) -> _Ladder:
    """Return what is known of all transfers with these heads, V(S) so far ahead of the blocks' numbers.

    Meters of one address are asked alike, so each frame is made and summed up once for all of them.
    """
    return {}


class Foreseen:
    """What is due after a GetRequestNext went out, for as long as each block is as long as the one before.

    What it has taken it keeps until `settle` tells the link and the joiner: that is for their owner to do
    before anybody looks at them or anything else comes.
    """

    __slots__ = (
        "_begin",
        "_checked",
        "_data",
        "_deframer",
        "_invoke",
        "_joiner",
        "_ladder",
        "_length",
        "_most",
        "_number",
        "_phase",
        "_raws",
        "_size",
        "_transfer",
        "_turns",
        "heard_at",
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
        self._phase = transfer.send_number - joiner.block_number & 7
        self._ladder = _ladder(self._turns, self._phase, invoke, self._size)
        self._number = joiner.block_number  # of the block taken last
        # No further one is taken: the joiner's limit, and no more blocks than are worth keeping apart.
        self._most = self._number + min((joiner.limit - joiner.received) // self._size, _AT_ONCE)
        self._raws: list[bytes] = []  # the data of blocks that were taken, and not told of yet
        self._begin = head + RESPONSE_LLC + block  # of the frame, up to the data
        self._length = len(head) + information + _TAIL
        self._checked = slice(len(head), -1)  # information and FCS
        self._data = slice(len(self._begin), -_TAIL)
        self.heard_at: float | None = None  # when the frame came that was taken last

    @classmethod
    def of(cls, link: HdlcLink, joiner: BlockJoiner, invoke: int) -> Foreseen | None:
        """Return what is due now; None where more than one thing may come in turn."""
        block = joiner.due
        transfer = link.in_turn(len(block) + block[-1]) if block else None
        return None if transfer is None else cls(link, transfer, joiner, block, invoke)

    def follow(self, data: bytes, now: float) -> bytes | None:
        """Take the frame that is due, and return the one with the next GetRequestNext.

        None, and nothing has changed, if the octets are not that frame, whole and undamaged.
        """
        if (
            len(data) != self._length
            or not data.startswith(self._begin)
            or data[-1] != FLAG
            # As `check_information`, which is not called: this is done for each block of a long answer.
            or crc_hqx(data[self._checked].translate(REVERSED), GOOD) != GOOD
            or self._number == self._most
        ):
            return None
        number = self._number = self._number + 1
        frame, self._begin = self._ladder.get(number) or self._made(number)
        self._raws.append(data[self._data])  # and not the frame: it is in the cache of the core now
        self.heard_at = now
        return frame

    def _made(self, number: int) -> tuple[bytes, bytes]:
        request, head = after_block(self._invoke, number)
        said, due = self._turns[self._phase + number - 1 & 7]
        # The request fits: of a link's frames none is shorter than 32 octets of information.
        rung = fill(said, COMMAND_LLC + request), b"%b%b%b%c" % (due, RESPONSE_LLC, head, self._size)
        if number <= _RUNGS:
            self._ladder[number] = rung
        return rung

    def settle(self) -> None:
        """Tell the link and the joiner of what was taken; nothing else has changed in between."""
        count = len(self._raws)
        if count:
            request, head = after_block(self._invoke, self._number)
            self._deframer.frames += count
            self._transfer.turned(COMMAND_LLC + request, count)
            self._joiner.go_on(self._raws, head)
            self._raws = []  # and no `clear`: see `go_on`

    def shown_to(self, watch: Watch | None, progress: Progress | None) -> Follow:
        """Return `follow`, with those told that look on."""
        if watch is None and progress is None:
            return self.follow

        def follow(data: bytes, now: float) -> bytes | None:
            octets = self.follow(data, now)
            if octets is not None:
                self._show(data, now, watch, progress)
            return octets

        return follow

    def _show(self, data: bytes, now: float, watch: Watch | None, progress: Progress | None) -> None:
        """Tell of the frame that was taken last, and of what was asked after it."""
        self.settle()
        if watch is not None:
            watch("RX", data[self._checked.start + _LLC : -_TAIL], now)
        if progress is not None:
            progress(data[self._data], self._joiner.received)
        if watch is not None:
            watch("TX", after_block(self._invoke, self._number)[0], now)


def foresee_nothing(_data: bytes, _now: float) -> None:
    """Follow nothing: what comes is for the general way."""
