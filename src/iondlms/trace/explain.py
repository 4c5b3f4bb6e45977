"""Octets to trees: finds out what they are, follows both directions, joins what came in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from iondlms.hdlc.frame import FLAG, read_header
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC
from iondlms.trace.acse import ACSE_NAMES
from iondlms.trace.blank import Blanker
from iondlms.trace.conversation import Conversation
from iondlms.trace.data import write_data
from iondlms.trace.hdlc import (
    HORIZON,
    frame_end,
    is_bare_frame,
    write_any_apdu,
    write_frame,
    write_link_parameters,
    write_lsdu,
)
from iondlms.trace.names import printable, sap_text
from iondlms.trace.node import Node
from iondlms.trace.scribe import Scribe, Unreadable
from iondlms.trace.text import Piece
from iondlms.trace.xdlms import FROM_CLIENT
from iondlms.wrapper import ALL_STATION, HEADER_OCTETS, VERSION
from iondlms.xdlms import APDU_NAMES

__all__ = ["Explainer", "explain", "explain_pieces"]

_WRAPPER: Final = VERSION.to_bytes(2, "big")
_FLAG: Final = bytes((FLAG,))
_LINK_PARAMETERS: Final = b"\x81\x80"
# Octets of no recognised form, kept until the end tells what they are: the largest APDU is shorter.
_MOST_UNKNOWN: Final = 1 << 20
_PORTION: Final = 16 * 1024


def explain(octets: bytes, *, secrets: bool = False, data: bool = False) -> list[Node]:
    """Return the trees of whatever the octets are: frames, WPDUs, an APDU, or Data; never raises.

    Passwords are blanked unless `secrets`; `data` says that the octets are Data and nothing else.
    """
    explainer = Explainer(secrets=secrets, data=data)
    return [*explainer.feed(octets), *explainer.finish()]


@dataclass(slots=True)
class _Stream:
    """One direction: what has come and is not explained yet."""

    held: bytes = b""
    base: int = 0  # offset of `held` in the stream
    form: str = ""  # hdlc or wrapper, once it is known; lost behind what is neither
    shared: bool = False  # `held` starts with a flag that closed a frame already shown


class Explainer:
    """Explains a conversation as it comes; how it is cut into pieces makes no difference to the trees.

    Offsets count from the start of each direction. A frame is explained when it is complete, and a damaged
    one when what follows shows where it ends; `finish` explains what is left.
    """

    __slots__ = ("_blanker", "_conversation", "_data", "_streams")

    def __init__(self, *, secrets: bool = False, data: bool = False) -> None:
        self._blanker = None if secrets else Blanker()
        self._data = data
        self._conversation = Conversation()
        self._streams: dict[str, _Stream] = {}

    def feed(self, octets: bytes, direction: str = "") -> list[Node]:
        """Take octets of a direction (`TX`, `RX`, or none for one line that carries both)."""
        nodes: list[Node] = []
        for other, stream in self._streams.items():
            # Bare APDUs have no end of their own; but the line is two-way alternate.
            if other != direction and not stream.form:
                nodes += self._named(other, self._read(stream, True))
        stream = self._streams.setdefault(direction, _Stream())
        shown = octets if self._blanker is None else self._blanker.feed(direction, octets)
        # In portions, because what is held is moved with each frame: a year of capture would crawl.
        for start in range(0, len(shown), _PORTION):
            stream.held += shown[start : start + _PORTION]
            if not self._data:
                nodes += self._named(direction, self._read(stream, False))
        return nodes

    def finish(self) -> list[Node]:
        """Return the trees of what is left in both directions; what comes next starts a message."""
        nodes: list[Node] = []
        for direction, stream in self._streams.items():
            nodes += self._named(direction, self._read(stream, True))
        self._streams.clear()
        if self._blanker is not None:
            self._blanker.restart()
        return nodes

    def _named(self, direction: str, nodes: Iterator[Node]) -> Iterator[Node]:
        for node in nodes:
            if direction:
                node.label = f"{direction} {node.label}"
            yield node

    # --- streams -----------------------------------------------------------------------------------

    def _read(self, stream: _Stream, final: bool) -> Iterator[Node]:
        if not stream.form and not self._data:
            stream.form = _form(stream.held)
        if stream.form == "hdlc":
            yield from self._read_hdlc(stream, final)
        elif stream.form == "wrapper":
            yield from self._read_wrapper(stream, final)
        elif stream.form == "lost":
            yield from self._read_lost(stream, final)
        elif final or len(stream.held) > _MOST_UNKNOWN:
            held = self._take(stream, len(stream.held))
            if held:
                yield from self._unframed(held)

    def _take(self, stream: _Stream, count: int) -> bytes:
        taken = stream.held[:count]
        stream.held = stream.held[count:]
        stream.base += len(taken)
        return taken

    def _read_hdlc(self, stream: _Stream, final: bool) -> Iterator[Node]:
        while True:
            start, stop, undecided = _next_frame(stream.held, final)
            if stop:
                yield from self._noise(stream, start)
                base = stream.base
                # The closing flag may open the next frame.
                closed = stop - start > 1 and stream.held[stop - start - 1 : stop - start] == _FLAG
                octets = stream.held[: stop - start]
                self._take(stream, len(octets) - closed)
                stream.shared = closed
                scribe = Scribe(octets, base=base)
                write_frame(scribe, self._conversation)
                yield from scribe.nodes
                yield from self._joined()
                continue
            if final:
                yield from self._noise(stream, len(stream.held))
            else:
                # Whole pieces only, so that they are the same however the octets came.
                pieces = max(0, undecided - stream.shared) // HORIZON
                yield from self._noise(stream, pieces and pieces * HORIZON + stream.shared)
            return

    def _noise(self, stream: _Stream, count: int) -> Iterator[Node]:
        """Take octets that belong to no frame, in pieces of a fixed size however they came."""
        while count:
            base, size = stream.base, min(count, HORIZON + stream.shared)
            octets = self._take(stream, size)
            count -= size
            if stream.shared and octets:
                octets, base = octets[1:], base + 1
            stream.shared = False
            stripped = octets.strip(_FLAG)
            if stripped:
                offset = base + octets.index(stripped)
                text = printable(stripped.strip(b"\r\n")) or ""
                yield Node(offset, "noise", text, stripped, f"{len(stripped)} octets that belong to no frame")

    def _read_wrapper(self, stream: _Stream, final: bool) -> Iterator[Node]:
        while stream.held:
            held = stream.held
            if held[:1] == _FLAG:  # a capture of both kinds of line
                stream.form = "hdlc"
                yield from self._read_hdlc(stream, final)
                return
            if held[:2] != _WRAPPER[: len(held)]:
                stream.form = "lost"
                yield from self._read_lost(stream, final)
                return
            size = HEADER_OCTETS + int.from_bytes(held[6:8], "big")
            if (len(held) < HEADER_OCTETS or len(held) < size) and not final:
                return
            base = stream.base
            scribe = Scribe(self._take(stream, size if len(held) >= HEADER_OCTETS else len(held)), base=base)
            _guarded(scribe, lambda scribe: _write_wpdu(scribe, self._conversation))
            yield from scribe.nodes
            yield from self._joined()

    def _read_lost(self, stream: _Stream, final: bool) -> Iterator[Node]:
        """Behind an unknown version nothing tells any more where a WPDU begins."""
        while final and stream.held:
            base, octets = stream.base, self._take(stream, len(stream.held))
            error = f"wrapper version {octets[:2].hex().upper()}, 0001 expected; it may end anywhere"
            yield Node(base, "not a WPDU", "", octets, error)
        if len(stream.held) > _MOST_UNKNOWN:
            self._take(stream, len(stream.held) - _MOST_UNKNOWN)

    def _joined(self) -> Iterator[Node]:
        """Explain what has become whole: an LSDU may complete a block transfer in its turn."""
        while self._conversation.joined:
            joined = self._conversation.joined.pop(0)
            kind = "segments" if joined.is_lsdu else "blocks"
            label = f"{joined.what}, joined from {joined.pieces} {kind}"
            scribe = Scribe(joined.octets)
            with scribe.group(label, len(joined.octets)) as node:
                node.value = f"{len(joined.octets)} octets, offsets are within them"
                subject = joined.subjects[0] if len(joined.subjects) == 1 else None
                if joined.is_lsdu:
                    write_lsdu(scribe, self._conversation)
                elif len(joined.subjects) > 1:
                    self._list_of_data(scribe)
                else:
                    write_data(scribe, "" if subject is None else str(subject), subject)
            yield node

    def _list_of_data(self, scribe: Scribe) -> None:
        scribe.take(scribe.remaining, "list", "of the answers to several attributes, not opened")

    # --- octets without a frame --------------------------------------------------------------------

    def _unframed(self, octets: bytes) -> Iterator[Node]:
        if self._data:
            yield from _try(octets, _write_bare_data)
        elif is_bare_frame(octets):
            yield from _try(octets, lambda scribe: write_frame(scribe, self._conversation))
        elif octets[:3] in (COMMAND_LLC, RESPONSE_LLC):
            yield from _try(octets, lambda scribe: write_lsdu(scribe, self._conversation))
        elif octets[:2] == _LINK_PARAMETERS:
            yield from _try(octets, _write_link_parameters)
        else:
            yield from self._bare(octets)
        yield from self._joined()

    def _bare(self, octets: bytes) -> Iterator[Node]:
        """An APDU or Data: some tags are both, and the reading that has no error, or gets further, wins."""
        apdu = _try(octets, lambda scribe: write_any_apdu(scribe, Conversation()))
        known = octets[0] in ACSE_NAMES or octets[0] in APDU_NAMES
        if known and not any(node.errors for node in apdu):
            yield from _try(octets, lambda scribe: write_any_apdu(scribe, self._conversation))
            return
        data = _try(octets, _write_bare_data)
        if not any(node.errors for node in data) or _reach(data) > _reach(apdu):
            yield from data
        else:
            yield from apdu


def explain_pieces(pieces: Sequence[Piece], *, secrets: bool = False, data: bool = False) -> list[Node]:
    """Return the trees of a capture. Lines without direction are one stream, or each a message by itself."""
    explainer = Explainer(secrets=secrets, data=data)
    joined = b"".join(piece.octets for piece in pieces)
    undirected = len(pieces) > 1 and not any(piece.direction for piece in pieces)
    if undirected and not _form(joined):
        # Hex wrapped over lines, or a message a line: the lines are believed if each makes sense alone.
        nodes = [node for piece in pieces for node in (*explainer.feed(piece.octets), *explainer.finish())]
        if not any(node.errors for node in nodes):
            return nodes
        return explain(joined, secrets=secrets, data=data)
    nodes = []
    for piece in pieces:
        nodes += explainer.feed(piece.octets, piece.direction)
    return nodes + explainer.finish()


def _form(held: bytes) -> str:
    """Return what the stream is made of, empty while that is open."""
    if held[:1] == _FLAG:
        return "hdlc"
    if held[:2] == _WRAPPER:
        return "wrapper"
    flag = held.find(FLAG)
    while flag >= 0:
        header = read_header(held, flag, len(held))
        if header is not None and header.length and header.good:
            return "hdlc"
        flag = held.find(FLAG, flag + 1)
    return ""


def _next_frame(held: bytes, final: bool) -> tuple[int, int, int]:
    """Return start and end of the next frame, or 0, 0 and the offset before which there is none."""
    flag = held.find(FLAG)
    while flag >= 0:
        if held[flag + 1 : flag + 2] != _FLAG:
            end = frame_end(held, flag, final)
            if end is None:
                return 0, 0, flag
            if end:
                return flag, end, flag
        flag = held.find(FLAG, flag + 1)
    return 0, 0, len(held)


def _try(octets: bytes, write: Callable[[Scribe], None]) -> list[Node]:
    scribe = Scribe(octets)
    _guarded(scribe, write)
    return scribe.nodes


def _guarded(scribe: Scribe, write: Callable[[Scribe], None]) -> None:
    try:
        write(scribe)
    except Unreadable:
        if scribe.remaining:
            scribe.take(scribe.remaining, "not explained")


def _write_bare_data(scribe: Scribe) -> None:
    with scribe.group("Data", scribe.remaining):
        write_data(scribe)


def _write_link_parameters(scribe: Scribe) -> None:
    with scribe.group("link parameters", scribe.remaining):
        write_link_parameters(scribe)


def _reach(nodes: list[Node]) -> int:
    """Return the offset of the first error: how far a reading made sense."""
    return min((error.offset for node in nodes for error in node.errors), default=1 << 32)


def _write_wpdu(scribe: Scribe, conversation: Conversation) -> None:
    with scribe.group("WPDU", scribe.remaining) as node:
        scribe.unsigned(2, "version")
        source = scribe.unsigned(2, "source wPort")
        destination = scribe.unsigned(2, "destination wPort")
        length = scribe.unsigned(2, "length")
        tag = scribe.reader.peek() if scribe.remaining else -1
        ports = {source: f"wPort {source}", destination: f"wPort {destination}"}
        if source != destination and tag >= 0:
            client, server = (source, destination) if tag in FROM_CLIENT else (destination, source)
            logical = "all stations" if server == ALL_STATION else f"logical {server}"
            ports = {client: sap_text(client), server: f"meter: {logical}"}
        node.value = f"{ports[source]} to {ports[destination]}"
        scribe.written[1].value, scribe.written[2].value = (
            f"{source}, {ports[source]}",
            f"{destination}, {ports[destination]}",
        )
        if length != scribe.remaining:
            scribe.written[3].error = f"the length says {length}, {scribe.remaining} octets are there"
        if length:
            write_any_apdu(scribe, conversation)
