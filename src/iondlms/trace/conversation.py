"""What an explanation must remember from one PDU to the next: what was asked, what came in pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from iondlms.errors import RemoteError
from iondlms.trace.data import Subject
from iondlms.xdlms import BlockJoiner, DataBlock, GetResponseWithDatablock

__all__ = ["Conversation", "Joined"]

# A trace is read by a person: a longer LSDU than any meter takes is a mistake of the segments' reader.
_LARGEST_LSDU: Final = 64 * 1024
# Stations on one line; beyond them the oldest unfinished LSDU is forgotten.
_MOST_LINKS: Final = 64


@dataclass(frozen=True, slots=True)
class Joined:
    """Octets that came in pieces, whole now."""

    what: str
    pieces: int
    octets: bytes
    is_lsdu: bool  # LLC and APDU; else Data
    subjects: tuple[Subject, ...] = ()


@dataclass(slots=True)
class _Segments:
    """An LSDU that is not whole yet."""

    octets: bytes
    pieces: int
    send_number: int
    newest: bytes


@dataclass(slots=True)
class Conversation:
    """The state that both directions share; one for all stations of a line is enough to explain it."""

    asked: tuple[Subject, ...] = ()
    joined: list[Joined] = field(default_factory=list)  # to be explained next, and taken out
    _answer: BlockJoiner | None = None
    _answer_blocks: int = 0
    _request: BlockJoiner | None = None
    _requested: tuple[Subject, ...] = ()
    _links: dict[tuple[bytes, bytes], _Segments] = field(default_factory=dict)

    def ask(self, subjects: tuple[Subject, ...]) -> None:
        """A request names attributes: the next answer is theirs."""
        self.asked = subjects
        self._answer = None

    def connect(self) -> None:
        """SNRM: whatever was half done is gone."""
        self._links.clear()
        self.ask(())

    # Segments of HDLC

    def segment(self, link: tuple[bytes, bytes], number: int, information: bytes, more: bool) -> str:
        """Take the information of an I frame; return what to say of it, empty for one that is whole."""
        begun = self._links.get(link)
        if begun is None:
            if not more:
                return ""
            if len(self._links) >= _MOST_LINKS:
                del self._links[next(iter(self._links))]
            self._links[link] = _Segments(information, 1, number, information)
            return "first segment"
        if (number, information) == (begun.send_number, begun.newest):
            return f"segment {begun.pieces}, repeated"
        if number != (begun.send_number + 1) & 7:
            del self._links[link]
            return self.segment(link, number, information, more)
        begun.octets += information
        begun.pieces += 1
        begun.send_number, begun.newest = number, information
        if not more or len(begun.octets) > _LARGEST_LSDU:
            del self._links[link]
            self.joined.append(Joined("LSDU", begun.pieces, begun.octets, True))
        return f"segment {begun.pieces}{'' if more else ', the last'}"

    # Blocks of GET and SET

    def answer_block(self, block: GetResponseWithDatablock) -> str:
        """Take a block of an answer; return a remark or nothing. RemoteError as `BlockJoiner`."""
        if block.block_number == 1 or self._answer is None:
            if block.block_number != 1:
                return "" if not isinstance(block.result, bytes) else "the blocks before were not seen"
            self._answer = BlockJoiner()
        if block.block_number == self._answer.block_number and not self._answer.complete:
            return "repeated"
        joiner = self._answer
        try:
            self._answer.receive(block)
        except RemoteError:
            self._answer = None
            raise
        if joiner.complete:
            self._answer = None
            self.joined.append(
                Joined("value of the answer", block.block_number, joiner.octets, False, self.asked)
            )
        return ""

    def request_block(self, block: DataBlock, subjects: tuple[Subject, ...] | None) -> str:
        """Take a block of a request, `subjects` with the first; likewise."""
        if subjects is not None:
            self._request, self._requested = BlockJoiner(), subjects
        if self._request is None:
            return "the blocks before were not seen"
        joiner = self._request
        if block.block_number == joiner.block_number:
            return "repeated"
        try:
            joiner.receive(GetResponseWithDatablock(0, block.last, block.block_number, block.raw))
        except RemoteError:
            self._request = None
            raise
        if joiner.complete:
            self._request = None
            self.joined.append(
                Joined("value of the request", block.block_number, joiner.octets, False, self._requested)
            )
        return ""
