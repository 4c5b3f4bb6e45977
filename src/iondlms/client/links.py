"""The two ways an APDU travels, seen alike: HDLC frames, and the TCP wrapper.

A link tells what happened in the `Reaction` and `Event` of the data link; the wrapper, which has no link to
set up or to lose, says "connected" at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from iondlms.client.url import Target
from iondlms.hdlc import Deframer, Event, Primary, Reaction, Transfer
from iondlms.wrapper import Wpdu, WrapperDeframer

__all__ = ["HdlcLink", "Link", "WrapperLink"]

_LARGEST_WPDU: Final = 0xFFFF
# The longest APDU a server may send us in segments, and the same again for one that does not count right.
_LARGEST_LSDU: Final = 0x20000
_BEGINNING: Final = 64  # octets that tell a person what answers


class Link(Protocol):
    """What the endpoint asks of a link."""

    @property
    def max_request(self) -> int:
        """Octets of the largest APDU that travels whole; 0: this link sets no limit."""

    @property
    def foreign(self) -> bytes:
        """How what came begins, if that is of neither framing."""

    def connect(self) -> Reaction:
        """Set the link up, from whatever state."""

    def disconnect(self) -> Reaction:
        """Take the link down, from whatever state."""

    def send(self, apdu: bytes) -> bytes:
        """Return the octets that carry a request."""

    def take(self, data: bytes) -> bytes | None:
        """Take octets that are just the answer which is due, and return its APDU.

        None, and nothing has changed, for any others: those are for `receive`, which would have come to the
        same for these.
        """

    def receive(self, data: bytes) -> Iterable[Reaction]:
        """Take octets; yield what they bring about, each before the next is looked at."""

    def timeout(self) -> Reaction:
        """Nothing came for too long: ask again, or give up with a `FAILED` event."""

    def poll(self) -> bytes:
        """Return what asks a busy server once more."""


class HdlcLink:
    """IEC 62056-46: lost and damaged frames are repeated here."""

    def __init__(self, target: Target, tries: int) -> None:
        self._client = target.client
        self.deframer = Deframer()  # whoever takes a frame past it counts it there
        self._beginning = b""
        self._primary = Primary(
            target.client,
            target.server_address,
            tries=tries,
            max_lsdu=_LARGEST_LSDU,
            # A meter may convert a short address to its own four octets (62056-46 table 5).
            any_address_length=target.address != 4,
        )
        # Return an I frame; segments only where the request fits no single one.
        self.send: Callable[[bytes], bytes] = self._primary.send

    @property
    def max_request(self) -> int:
        """Octets of the largest APDU that fits one frame: 125 unless the UA lowered it."""
        return self._primary.max_request

    @property
    def foreign(self) -> bytes:
        """How what came begins, if that is of neither framing."""
        return _foreign(self._beginning)

    def connect(self) -> Reaction:
        """Send SNRM; half a frame of before is no part of the answer."""
        self.deframer.flush()
        return Reaction(self._primary.connect())

    def disconnect(self) -> Reaction:
        """Send DISC."""
        return Reaction(self._primary.disconnect())

    def receive(self, data: bytes) -> Iterable[Reaction]:
        """Take octets; damaged frames are dropped here and asked for again at the time-out."""
        if not self.deframer.frames and len(self._beginning) < _BEGINNING:
            self._beginning += data[:_BEGINNING]
        frames = self.deframer.feed(data)
        if len(frames) == 1:
            return (self._primary.receive(frames[0]),)
        return map(self._primary.receive, frames)  # one by one: what comes of one changes what the next is

    def take(self, data: bytes) -> bytes | None:
        """Take octets that are the one frame that is due, whole."""
        deframer = self.deframer
        apdu = self._primary.take(data) if deframer.between_frames else None
        if apdu is not None:
            deframer.frames += 1
        return apdu

    def in_turn(self, apdu: int) -> Transfer | None:
        """Return the exchange where nothing but a frame with an APDU of that length at most, whole, is due.

        What `receive` and `send` do with such a frame and the request that follows it, its `turn` does too.
        """
        return self._primary.in_turn(apdu) if self.deframer.between_frames else None

    def timeout(self) -> Reaction:
        """Repeat, or poll with RR."""
        self.deframer.flush()
        return self._primary.timeout()

    def poll(self) -> bytes:
        """Return RR."""
        return self._primary.poll()


class WrapperLink:
    """IEC 62056-47 over TCP, which loses nothing: what is not answered is not asked again here."""

    max_request: Final = 0

    def __init__(self, target: Target) -> None:
        self._client = target.client
        self._server = target.logical
        self._deframer = WrapperDeframer(_LARGEST_WPDU)
        self._timeout_s = target.timeout_s
        self._beginning = b""

    @property
    def foreign(self) -> bytes:
        """How what came begins, if that is of neither framing."""
        return _foreign(self._beginning)

    def connect(self) -> Reaction:
        """There is nothing to set up."""
        return Reaction(b"", Event.CONNECTED)

    def disconnect(self) -> Reaction:
        """Closing the connection is all there is."""
        return Reaction(b"", Event.DISCONNECTED)

    def send(self, apdu: bytes) -> bytes:
        """Return one WPDU."""
        return Wpdu(self._client, self._server, apdu).encode()

    def take(self, data: bytes) -> None:
        """Take nothing: here `receive` is as short."""

    def receive(self, data: bytes) -> Iterator[Reaction]:
        """Take octets; those that are no WPDU end the link."""
        if len(self._beginning) < _BEGINNING:
            self._beginning += data[:_BEGINNING]
        for wpdu in self._deframer.feed(data):
            if isinstance(wpdu, Wpdu) and wpdu.destination == self._client:
                yield Reaction(b"", Event.LSDU, lsdu=wpdu.apdu)
        if self._deframer.broken:
            yield Reaction(b"", Event.FAILED, reason="the answer is no WPDU; try framing=hdlc")

    def timeout(self) -> Reaction:
        """Give up."""
        return Reaction(b"", Event.FAILED, reason=f"no answer within {self._timeout_s:g} s")

    def poll(self) -> bytes:
        """Return nothing: no server of the wrapper says that it is busy."""
        return b""


def _foreign(octets: bytes) -> bytes:
    """Return octets that are no part of a damaged frame, nor of a WPDU."""
    return b"" if b"\x7e" in octets or octets[:2] == b"\x00\x01" else octets
