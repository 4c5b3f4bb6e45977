"""GET block transfer: a long answer cut into datablocks, and joined again (Green Book 9.4.6.3).

A block is `C4 02`, invoke, last-block, number (4), `00`, length, raw octets. The length takes 1 octet up to
127 raw octets, 2 up to 255, 3 above: 10, 11 or 12 octets of overhead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from iondlms.codec.reader import encode_length
from iondlms.errors import (
    AccessError,
    DataAccessResult,
    DataBlockNumberInvalid,
    LocalError,
    NoLongGetInProgress,
    RemoteError,
)
from iondlms.xdlms.get import GetRequestNext, GetResponseWithDatablock

__all__ = ["BlockCutter", "BlockJoiner", "after_block", "block_head", "datablock_overhead", "raw_room"]

_UNLIMITED: Final = 0xFFFF
# get-request-next and the head of a datablock with data, as `get.py` has them; of a year of load profile
# there are twelve thousand each, nearly all alike but for the number, and these are not taken to pieces.
_NEXT: Final = struct.Struct(">HBI")
_GET_REQUEST_NEXT: Final = 0xC002
_BLOCK: Final = struct.Struct(">HBBI")
_GET_RESPONSE_WITH_DATABLOCK: Final = 0xC402
_BLOCK_HEAD: Final = _BLOCK.size + 1  # octets before the length
_LAST: Final = 3  # of them: where it says whether the block is the last

# Some forty years of six-column load profile; a meter that sends more is not a meter.
LARGEST_ANSWER: Final = 64 * 1024 * 1024


def datablock_overhead(raw_length: int) -> int:
    """Return how many octets a datablock APDU has beside its raw part."""
    if raw_length < 0x80:
        return 10
    return 11 if raw_length < 0x100 else 12


def raw_room(pdu_size: int) -> int:
    """Return the most raw octets that a datablock APDU of at most `pdu_size` octets can carry.

    0 is "no limit", which still leaves a block at 65,535 octets. LocalError below 11, where not one fits.
    """
    size = pdu_size or _UNLIMITED
    if size < 11:
        raise LocalError(f"a PDU size of {pdu_size} has no room for a datablock")
    if size - 10 < 0x80:
        return size - 10
    if size - 11 < 0x100:
        return size - 11  # 138 leave 127 as 137 do: the 128th raw octet takes an octet of length with it
    return size - 12


def after_block(invoke: int, number: int) -> tuple[bytes, bytes]:
    """Return the GetRequestNext that names a block, and how the answer to it begins, up to its length."""
    head = _BLOCK.pack(_GET_RESPONSE_WITH_DATABLOCK, invoke, False, number + 1)
    return _NEXT.pack(_GET_REQUEST_NEXT, invoke, number), head + b"\0"


def block_head(invoke: int, number: int, size: int) -> bytes:
    """Return how a block that is not the last begins, up to its data of so many octets."""
    return _BLOCK.pack(_GET_RESPONSE_WITH_DATABLOCK, invoke, False, number) + b"\0" + encode_length(size)


class BlockCutter:
    """The server's side: cuts what `chunks` yields into blocks, one when it is asked for one.

    Nothing is read from `chunks` before it is needed, but for the octet that tells whether a block is the
    last. A chunk may have any length. Where `chunks` raises an `AccessError`, the transfer ends with a
    block that carries its result.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_offset",
        "_tail",
        "block_number",
        "due",
        "invoke",
        "largest",
        "last",
        "previous",
        "room",
    )

    def __init__(self, chunks: Iterable[bytes | memoryview], invoke: int, pdu_size: int) -> None:
        self._chunks: Iterator[bytes | memoryview] | None = iter(chunks)
        self._buffer = b""
        self._offset = 0  # of it: what was sent
        self.room = raw_room(pdu_size)  # octets of a value in each block but the last
        self.largest = self.room + datablock_overhead(self.room)  # octets of the APDU of a block
        self._tail = b"\0" + encode_length(self.room)  # of the head of each block but the last
        self.invoke = invoke
        self.block_number = 0  # of the block sent last; 0 before the first
        self.last = False  # whether the block sent last ended the transfer
        self.previous = b""  # the APDU sent last, to be sent again
        # The request for the next block as it should come; None before the first and after the last.
        self.due: bytes | None = None

    def whole(self, room: int) -> bytes | None:
        """Return all octets if there are no more than `room`, else None and lose nothing.

        To be asked before the first block: a short answer goes by get-response-normal. An `AccessError`
        of the chunks passes through, so that it can be answered in that form too.
        """
        self._fill(room + 1)
        return self._buffer if len(self._buffer) <= room else None

    def pieces(self) -> Iterator[bytes]:
        """Yield all octets as they come, for an answer of any length that goes out in one piece.

        To be asked instead of `next_block`. An `AccessError` of the first chunk passes through at once.
        """
        self._fill(1)

        def follow() -> Iterator[bytes]:
            yield self._buffer
            with suppress(AccessError):  # no word of this form can say it now: the answer ends short
                yield from map(bytes, self._chunks or ())

        return follow()

    def next_block(self) -> bytes:
        """Return the APDU of the next block; NoLongGetInProgress after the last."""
        if self.last:
            raise NoLongGetInProgress("the last block has been sent")
        number = self.block_number = self.block_number + 1
        start = self._offset
        stop = start + self.room
        if stop >= len(self._buffer):
            try:
                self._fill(self.room + 1)
            except AccessError as error:
                self.last, self.due = True, None
                refusal = GetResponseWithDatablock(self.invoke, True, number, error.result)
                self.previous = refusal.encode()
                return self.previous
            start, stop = 0, self.room
        buffer = self._buffer
        raw = buffer[start:stop]
        invoke = self.invoke
        if stop < len(buffer):
            self._offset = stop
            self.due = _NEXT.pack(_GET_REQUEST_NEXT, invoke, number)
            head, tail = _BLOCK.pack(_GET_RESPONSE_WITH_DATABLOCK, invoke, False, number), self._tail
        else:
            self.last, self.due, self._buffer = True, None, b""
            head = _BLOCK.pack(_GET_RESPONSE_WITH_DATABLOCK, invoke, True, number)
            tail = b"\0" + encode_length(len(raw))
        self.previous = b"%b%b%b" % (head, tail, raw)
        return self.previous

    @property
    def at_hand(self) -> tuple[bytes, int]:
        """The octets that are there, and where the next block begins in them: `cut` takes blocks of these."""
        return self._buffer, self._offset

    def cut(self, count: int) -> None:
        """Take so many blocks as sent; not the last, and each whole in what is `at_hand`, with more behind.

        The same as `next_block` so many times, for whoever has made them himself.
        """
        number = self.block_number = self.block_number + count
        stop = self._offset = self._offset + count * self.room
        raw = self._buffer[stop - self.room : stop]
        self.previous = block_head(self.invoke, number, self.room) + raw
        self.due = _NEXT.pack(_GET_REQUEST_NEXT, self.invoke, number)

    def answer(self, request: GetRequestNext) -> bytes:
        """Return the block after the one that the request names.

        A request for the block sent last, which the client may have missed, gets it again octet for octet.
        DataBlockNumberInvalid for any other number, NoLongGetInProgress after the last block.
        """
        if request.block_number == self.block_number:
            return self.next_block()
        if request.block_number == self.block_number - 1 and request.block_number > 0:
            return self.previous
        raise DataBlockNumberInvalid(f"block {request.block_number} named, {self.block_number} was sent")

    def _fill(self, count: int) -> None:
        """Have at least `count` octets in the buffer, or all there are, from its start."""
        self._buffer, self._offset = self._buffer[self._offset :], 0
        parts: list[bytes | memoryview] = [self._buffer]
        missing = count - len(self._buffer)
        try:
            while self._chunks is not None and missing > 0:
                chunk = next(self._chunks, None)
                if chunk is None:
                    self._chunks = None
                else:
                    parts.append(chunk)
                    missing -= len(chunk)
        finally:
            if len(parts) > 1:
                self._buffer = b"".join(parts)


class BlockJoiner:
    """The client's side: takes blocks in order, says which to ask for, keeps what came."""

    request_size: Final = _NEXT.size  # octets of a GetRequestNext

    __slots__ = ("_blocks", "_stalled", "block_number", "complete", "error", "head", "limit", "received")

    def __init__(self, limit: int = LARGEST_ANSWER) -> None:
        self._blocks: list[bytes] = []
        self.limit = limit  # octets, all in all
        self._stalled = False  # the block received last was empty
        self.block_number = 0  # of the block received last; what the next GetRequestNext names
        self.received = 0  # raw octets
        self.complete = False  # the last block came, and with data
        self.error: DataAccessResult | None = None  # the meter broke off; what came before is kept
        self.head = b""  # of the block that is due, without its length; empty while none is

    @property
    def octets(self) -> bytes:
        """The raw octets received so far, joined."""
        if len(self._blocks) > 1:
            self._blocks = [b"".join(self._blocks)]
        return self._blocks[0] if self._blocks else b""

    def begin(self, invoke: int) -> None:
        """Have the first block be due, of the answer to a GET that has just been asked."""
        _, self.head = after_block(invoke, 0)

    def next_request(self, invoke: int) -> bytes:
        """Return the GetRequestNext for the block after the one received last."""
        request, self.head = after_block(invoke, self.block_number)
        return request

    @property
    def due(self) -> bytes:
        """How the APDU that is due begins, up to its data, if it has as many octets of it as the one before.

        Empty where none is due, or one that `take` does not take.
        """
        size = len(self._blocks[-1]) if self.head and self._blocks else 0
        return self.head + bytes((size,)) if 0 < size <= 0x7F else b""

    def go_on(self, raws: Sequence[bytes], head: bytes) -> None:
        """Take the data of blocks that were `due` one after the other, each as long as the one before.

        What follows the last of them was asked for, and begins with `head`.
        """
        octets, count = sum(map(len, raws)), len(raws)
        # From here on nothing is called: a Ctrl-C strikes behind calls alone, all is done, or none.
        self._stalled = False
        self._blocks += raws
        self.received += octets
        self.block_number += count
        self.head = head

    def take(self, apdu: bytes) -> bytes | None:
        """Take the APDU if it is the block that `next_request` asked for, and return its data.

        None for anything else, a block of 128 raw octets or more included: that is for `decode_apdu` and
        `receive`, which say the same of the blocks that are taken here.
        """
        head, raw = self.head, apdu[_BLOCK_HEAD + 1 :]
        last = not apdu.startswith(head)
        if (
            not head
            or not raw
            or (last and apdu[:_BLOCK_HEAD] != b"%b\x01%b" % (head[:_LAST], head[_LAST + 1 :]))
            or apdu[_BLOCK_HEAD] != len(raw)
            or len(raw) > 0x7F
            or self.received + len(raw) > self.limit
        ):
            return None
        self._stalled = False
        self._blocks.append(raw)
        self.block_number += 1
        self.received += len(raw)
        self.head = b""
        self.complete = last
        return raw

    def receive(self, block: GetResponseWithDatablock) -> bool:
        """Take one block and return whether another has to be asked for.

        RemoteError if its number is not the next one, the answer outgrows the limit or stops growing; what
        came before stays. A refusal in place of data ends the transfer whatever its number and last-block
        are: meters put there the number they object to.
        """
        self.head = b""
        if self.complete or self.error is not None:
            raise RemoteError(f"block {block.block_number} after the end of the transfer")
        if isinstance(block.result, DataAccessResult):
            self.error = block.result
            return False
        if block.block_number != self.block_number + 1:
            raise RemoteError(f"block {block.block_number} came where {self.block_number + 1} was due")
        if self.received + len(block.result) > self.limit:
            raise RemoteError(f"the answer is longer than {self.limit} octets")
        if not block.result and not block.last:
            # One is legal, and a meter that is still collecting may send it; a row of them has no end.
            if self._stalled:
                raise RemoteError(f"block {block.block_number} is empty, as was the one before")
            self._stalled = True
        else:
            self._stalled = False
            self._blocks.append(block.result)
        self.block_number = block.block_number
        self.received += len(block.result)
        self.complete = block.last
        return not block.last
