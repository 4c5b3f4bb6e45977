"""Listening to a line: the answers that went by, joined from segments and blocks, without a word said.

One `Listener` hears one line or one connection, both directions, be they told apart or not: who sends is read
off the addresses (a client's has one octet), the LLC octets and the kind of frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError, RemoteError
from iondlms.hdlc import Control, Deframer, Frame, Kind, ServerAddress
from iondlms.hdlc.address import client_sap
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC
from iondlms.trace.xdlms import FROM_CLIENT
from iondlms.wrapper import VERSION, Wpdu, WrapperDeframer
from iondlms.xdlms import (
    AttributeDescriptor,
    BlockJoiner,
    ConfirmedServiceError,
    ExceptionResponse,
    GetRequestNext,
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
    SelectiveAccess,
    decode_apdu,
)

__all__ = ["Heard", "Listener"]

_WRAPPER: Final = VERSION.to_bytes(2, "big")
_RESPONSES: Final = (0xC4, 0xD8, 0x0E)  # GET, exception response, confirmed service error
_GET: Final = 0xC0
_LARGEST_WPDU: Final = 0xFFFF
_LARGEST_LSDU: Final = 0x20000
_LARGEST_ANSWER: Final = 8 * 1024 * 1024  # five years of load profile
_MOST_PAIRS: Final = 32  # of client and meter; the one that began first is forgotten beyond


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer to a GET that went by."""

    client: int  # SAP
    server: str  # logical and physical address, or the logical device of the wrapper
    attribute: AttributeDescriptor | None  # None: the request was not heard
    access: SelectiveAccess | None
    octets: bytes  # the encoded value, as far as it came
    complete: bool


@dataclass(slots=True)
class _Pair:
    """One client and one meter."""

    client: int
    server: str
    asked: GetRequestNormal | None = None
    joiner: BlockJoiner | None = None
    segments: dict[bool, bytes] = field(default_factory=dict)  # to the server?: LSDU so far
    newest: dict[bool, tuple[int, bytes]] = field(default_factory=dict)  # N(S) and information


class Listener:
    """Takes what is heard, gives what was answered; never raises for what it hears."""

    __slots__ = ("_pairs", "_streams", "frames", "unheard_starts")

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._pairs: dict[tuple[object, object], _Pair] = {}
        self.frames = 0  # good ones, and WPDUs
        self.unheard_starts = 0  # blocks whose first ones were not heard

    @property
    def damaged(self) -> int:
        """Frames with a wrong check sequence."""
        return sum(stream.damaged for stream in self._streams.values())

    def feed(self, octets: bytes, direction: str = "") -> list[Heard]:
        """Take octets; a direction has any name, and none is one line that carries both."""
        stream = self._streams.setdefault(direction, _Stream())
        heard: list[Heard] = []
        for unit in stream.feed(octets):
            self.frames += 1
            heard += self._frame(unit) if isinstance(unit, Frame) else self._wpdu(unit)
        return heard

    def pause(self) -> None:
        """Nothing has come for so long that half a frame is none any more."""
        for stream in self._streams.values():
            stream.pause()

    def resume(self) -> list[Heard]:
        """Octets were missed: return the answers that were under way; what comes next begins anew."""
        heard = [answer for pair in self._pairs.values() for answer in self._end(pair)]
        for pair in self._pairs.values():
            pair.segments.clear()
        for stream in self._streams.values():
            stream.restart()
        return heard

    def finish(self) -> list[Heard]:
        """Return the answers that were under way, and forget what was asked."""
        heard = self.resume()
        self._pairs.clear()
        return heard

    # --- frames -----------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> Iterator[Heard]:
        to_server = _to_server(frame)
        if to_server is None:
            return
        server, client = (frame.destination, frame.source) if to_server else (frame.source, frame.destination)
        sap = client_sap(client)
        if sap is None:
            return
        pair = self._pair((client, server), sap, _station(server))
        if frame.kind in (Kind.SNRM, Kind.DISC, Kind.DM):
            yield from self._end(pair)
            pair.asked = None
            pair.segments.clear()
            pair.newest.clear()
        elif frame.kind is Kind.UI:
            yield from self._lsdu(pair, frame.information)
        elif frame.kind is Kind.I:
            lsdu = _joined(pair, to_server, frame)
            if lsdu is not None:
                yield from self._lsdu(pair, lsdu)

    def _lsdu(self, pair: _Pair, lsdu: bytes) -> Iterator[Heard]:
        if lsdu.startswith((COMMAND_LLC, RESPONSE_LLC)):
            yield from self._apdu(pair, lsdu[len(COMMAND_LLC) :], lsdu.startswith(COMMAND_LLC))

    def _wpdu(self, wpdu: Wpdu) -> Iterator[Heard]:
        to_server = wpdu.apdu[:1] in _FROM_CLIENT
        client, server = (wpdu.source, wpdu.destination) if to_server else (wpdu.destination, wpdu.source)
        yield from self._apdu(self._pair((client, server), client, str(server)), wpdu.apdu, to_server)

    def _pair(self, key: tuple[object, object], client: int, server: str) -> _Pair:
        pair = self._pairs.get(key)
        if pair is None:
            if len(self._pairs) >= _MOST_PAIRS:
                del self._pairs[next(iter(self._pairs))]
            pair = self._pairs[key] = _Pair(client, server)
        return pair

    # --- APDUs ------------------------------------------------------------------------------------

    def _apdu(self, pair: _Pair, octets: bytes, to_server: bool) -> Iterator[Heard]:
        if not octets or (octets[0] not in _RESPONSES and not to_server):
            return
        if to_server and octets[0] != _GET:
            yield from self._end(pair)  # whatever it is, nobody asks for the rest any more
            pair.asked = None
            return
        try:
            reader = Reader(octets)
            apdu = decode_apdu(reader)
            reader.end()
        except RemoteError:
            return
        if isinstance(apdu, GetRequestNormal) and to_server:
            if apdu != pair.asked or pair.joiner is not None:
                yield from self._end(pair)
                pair.asked = apdu
        elif isinstance(apdu, GetRequestNext):
            pass  # the blocks themselves tell
        elif isinstance(apdu, GetResponseWithDatablock):
            yield from self._block(pair, apdu)
        elif isinstance(apdu, GetResponseNormal):
            yield from self._end(pair)
            if isinstance(apdu.result, bytes):
                yield _heard(pair, apdu.result, True)
            pair.asked = None
        elif isinstance(apdu, (ExceptionResponse, ConfirmedServiceError)):
            yield from self._end(pair)
            pair.asked = None

    def _block(self, pair: _Pair, block: GetResponseWithDatablock) -> Iterator[Heard]:
        joiner = pair.joiner
        if joiner is not None and block.block_number == joiner.block_number:
            return  # sent again
        if joiner is None or block.block_number == 1:
            yield from self._end(pair)
            if block.block_number != 1:
                self.unheard_starts += 1
                return
            joiner = pair.joiner = BlockJoiner(_LARGEST_ANSWER)
        try:
            more = joiner.receive(block)
        except RemoteError:
            more = False  # a block was not heard: what came before it is right
        if not more:
            yield from self._end(pair)
            if joiner.complete:
                pair.asked = None

    def _end(self, pair: _Pair) -> Iterator[Heard]:
        joiner, pair.joiner = pair.joiner, None
        if joiner is not None:
            yield _heard(pair, joiner.octets, joiner.complete)


class _Stream:
    """The octets of one direction, or of both on one line."""

    def __init__(self) -> None:
        self._first = b""
        self._hdlc: Deframer | None = None
        self._wrapper: WrapperDeframer | None = None

    @property
    def damaged(self) -> int:
        return 0 if self._hdlc is None else self._hdlc.fcs_errors + self._hdlc.damaged_frames

    def feed(self, octets: bytes) -> list[Frame | Wpdu]:
        if self._hdlc is None and self._wrapper is None:
            octets = self._first + octets
            self._first = b""
            if len(octets) < len(_WRAPPER) and _WRAPPER.startswith(octets):
                self._first = octets
                return []
            if octets.startswith(_WRAPPER):
                self._wrapper = WrapperDeframer(_LARGEST_WPDU)
            else:
                self._hdlc = Deframer()
        if self._hdlc is not None:
            return list(self._hdlc.feed(octets))
        if self._wrapper is None:
            return []
        units = [unit for unit in self._wrapper.feed(octets) if isinstance(unit, Wpdu)]
        if self._wrapper.broken:
            self._wrapper = None  # what comes next may begin a WPDU, or a frame
        return list(units)

    def pause(self) -> None:
        if self._hdlc is not None:
            self._hdlc.flush()

    def restart(self) -> None:
        self._first = b""
        self._wrapper = None
        self.pause()


_FROM_CLIENT: Final = frozenset(bytes((tag,)) for tag in FROM_CLIENT)


def _heard(pair: _Pair, octets: bytes, complete: bool) -> Heard:
    asked = pair.asked
    if asked is None:
        return Heard(pair.client, pair.server, None, None, octets, complete)
    return Heard(pair.client, pair.server, asked.attribute, asked.access, octets, complete)


def _to_server(frame: Frame) -> bool | None:
    """Return whether a client sent it; None where nothing tells."""
    lengths = len(frame.destination), len(frame.source)
    if lengths[0] != lengths[1]:
        return lengths[0] > lengths[1]
    if frame.information.startswith((COMMAND_LLC, RESPONSE_LLC)):
        return frame.information.startswith(COMMAND_LLC)
    return {
        Kind.SNRM: True, Kind.DISC: True, Kind.UA: False, Kind.DM: False, Kind.FRMR: False,
    }.get(frame.kind)  # fmt: skip


def _station(octets: bytes) -> str:
    try:
        return str(ServerAddress.decode(octets))
    except DecodeError:
        return octets.hex(" ").upper()


def _joined(pair: _Pair, to_server: bool, frame: Frame) -> bytes | None:
    """Take an I frame; return the LSDU that is whole with it. What was sent again counts once."""
    number = Control.send_number(frame.control)
    before = pair.newest.get(to_server)
    if before == (number, frame.information):
        return None
    pair.newest[to_server] = (number, frame.information)
    begun = pair.segments.pop(to_server, b"")
    if begun and before is not None and number != (before[0] + 1) & 7:
        begun = b""  # a segment was not heard
        if not frame.information.startswith((COMMAND_LLC, RESPONSE_LLC)):
            return None
    lsdu = begun + frame.information
    if not frame.segmented:
        return lsdu
    if len(lsdu) <= _LARGEST_LSDU:
        pair.segments[to_server] = lsdu
    return None
