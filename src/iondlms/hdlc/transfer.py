"""The numbered exchange of I and RR frames that both sides share (IEC 62056-46 6.4.4.4.3.4 to .6, 6.4.4.9).

With a window of one frame there is at most one unacknowledged I frame, so V(A) needs no variable: it is V(S),
or one below while a frame is unacknowledged.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from iondlms.hdlc.frame import (
    FLAG,
    GOOD,
    MAX_LENGTH,
    POLL,
    REVERSED,
    Control,
    build,
    build_again,
    build_head,
    check_information,
)

__all__ = ["COMMAND_LLC", "RESPONSE_LLC", "Acknowledgement", "Event", "Reaction", "Transfer"]

COMMAND_LLC: Final = bytes.fromhex("E6 E6 00")
RESPONSE_LLC: Final = bytes.fromhex("E6 E7 00")
_TAIL: Final = 3  # FCS and the closing flag


class Event(Enum):
    """What a link tells its user. The server's side uses the first four."""

    CONNECTED = "connected"  # the numbers start at 0 again, whatever was before
    DISCONNECTED = "disconnected"
    LSDU = "lsdu"  # one is complete: a request that wants an answer, or the answer to ours
    TOO_LONG = "too long"  # a request was longer than we hold; it is gone, and wants an answer too
    BUSY = "busy"  # the server has our request and nothing to say yet: poll
    UNNUMBERED = "unnumbered"  # a UI frame's LSDU, outside the sequence
    FAILED = "failed"  # the link is of no use before the next SNRM; `reason` says why


class Reaction(NamedTuple):
    """What one input brings about: octets to send now, and one event at most."""

    octets: bytes = b""
    event: Event | None = None
    client: int = 0  # the client's SAP
    lsdu: bytes = b""  # without LLC
    reason: str = ""


class Acknowledgement(Enum):
    """What an N(R) says of our frames."""

    ALL = "all"  # everything we sent has come
    MISSED = "missed"  # our unacknowledged frame has not
    WRONG = "wrong"  # it names a frame that we did not send, or that was acknowledged before


class Transfer:
    """V(S), V(R), the LSDU going out and the LSDU coming in, of one link from one SNRM to the next.

    P or F is set in each frame: with a window of one, each I frame is the last of its transmission.
    """

    __slots__ = (
        "_destination",
        "_left",
        "_more",
        "_offset",
        "_parts",
        "_pieces",
        "_source",
        "_unacknowledged",
        "around",
        "receive_number",
        "send_number",
        "send_size",
    )

    def __init__(self, destination: bytes, source: bytes, send_size: int) -> None:
        self._destination = destination
        self._source = source
        self.send_size = send_size  # octets of information in a frame
        self.around = 9 + len(destination) + len(source)  # octets of a frame beside the information
        self.send_number = 0  # V(S)
        self.receive_number = 0  # V(R)
        self._left = b""  # the LSDU going out and its LLC
        self._offset = 0  # of it: what was sent. Cutting the rest off each time would copy it each time
        self._pieces: Iterator[bytes] | None = None  # what follows it; there is always a rest to send then
        self._unacknowledged = b""  # information of the I frame that is
        self._more = False  # its S bit
        self._parts = bytearray()  # segments received so far; one of bytes would be copied for each

    # What we send

    def give(self, information: bytes, pieces: Iterator[bytes] | None = None) -> None:
        """Take an LSDU with its LLC, to be sent by `next_frame`; what was left of another is dropped.

        `pieces` follow the information, and are taken one by one as the frames go out.
        """
        self._left, self._offset, self._pieces = information, 0, pieces

    @property
    def idle(self) -> bool:
        """Whether no frame is unacknowledged."""
        return not self._unacknowledged

    @property
    def unsent(self) -> bool:
        """Whether something is left to send."""
        return self._offset < len(self._left)

    def check(self, receive_number: int) -> Acknowledgement:
        """Return what a received N(R) says, changing nothing."""
        if receive_number == self.send_number:
            return Acknowledgement.ALL
        if self._unacknowledged and receive_number == self.send_number - 1 & 7:
            return Acknowledgement.MISSED
        return Acknowledgement.WRONG

    def acknowledge(self) -> None:
        """Everything sent has come."""
        self._unacknowledged = b""

    def next_frame(self) -> bytes:
        """Return the next I frame, empty if there is none. The one before must be acknowledged."""
        if self._pieces is not None:
            self._refill(self._pieces)
        left, start = self._left, self._offset
        stop = start + self.send_size
        if stop < len(left):
            information, self._offset, more = left[start:stop], stop, True
        elif start < len(left):
            information, self._left, self._offset, more = left[start:], b"", 0, False
        else:
            return b""
        self._unacknowledged, self._more = information, more
        number = self.send_number
        self.send_number = number + 1 & 7
        control = self.receive_number << 5 | POLL | number << 1
        return build(self._destination, self._source, control, information, more)

    def due(self, length: int) -> bytes:
        """Return how the frame begins, HCS included, that is due from the other side: a whole I frame.

        It has so many octets of information and acknowledges all we sent. `turn` takes it as come.
        """
        control = self.send_number << 5 | POLL | self.receive_number << 1
        return build_head(self._source, self._destination, control, length)

    def turns(self, due: int, said: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return, by V(S), what `turn` begins its frame with and what is `due` after it, for these lengths.

        For exchanges in which both sides count on by one, as they do from now on as long as nothing else
        comes; all meters of one address have them alike.
        """
        ahead = self.receive_number - self.send_number & 7
        return _turns(self._destination, self._source, ahead, due, said)

    def turned(self, information: bytes, times: int = 1) -> None:
        """Count what `turn` counts so many times; the frames were made from `turns`, the last with this."""
        self.receive_number = self.receive_number + times & 7
        self.send_number = self.send_number + times & 7
        self._unacknowledged, self._more = information, False

    def come(self) -> None:
        """Count the frame that was `due`: `acknowledge` and `accept`."""
        self._unacknowledged = b""
        self.receive_number = self.receive_number + 1 & 7

    def whole(self, data: bytes, begin: bytes) -> bytes | None:
        """Return what follows `begin` in the information, where these octets are the one frame that is `due`.

        From flag to flag, undamaged, and with something that follows; None for any others. Nothing is counted
        yet: that is for `come`.
        """
        information = len(data) - self.around
        if information <= len(begin) or len(data) > MAX_LENGTH:
            return None
        head = self.due(information)
        known = head + begin
        if not data.startswith(known) or data[-1] != FLAG or not check_information(data[len(head) : -1]):
            return None
        return data[len(known) : -_TAIL]

    def take(self, data: bytes, begin: bytes, most: int) -> bytes | None:
        """Return what follows `begin` in the information of the frame that is `due`, and count that as come.

        From flag to flag, undamaged, with something that follows, and no more octets of information than
        that. None, and nothing has changed, for any others, and where we are not `at_rest`.
        """
        information = len(data) - self.around
        if (
            not len(begin) < information <= most
            or len(data) > MAX_LENGTH
            # As `at_rest`, `due` and `check_information`, which are not called: nearly all frames come here.
            or self._offset < len(self._left)
            or self._pieces is not None
            or self._parts
        ):
            return None
        control = self.send_number << 5 | POLL | self.receive_number << 1
        head = build_head(self._source, self._destination, control, information)
        known = head + begin
        if (
            not data.startswith(known)
            or data[-1] != FLAG
            or crc_hqx(data[len(head) : -1].translate(REVERSED), GOOD) != GOOD
        ):
            return None
        self._unacknowledged = b""
        self.receive_number = self.receive_number + 1 & 7
        return data[len(known) : -_TAIL]

    def foreseen(self, information: bytes) -> bytes:
        """Return the frame that is `due`, from flag to flag, if this is its information."""
        control = self.send_number << 5 | POLL | self.receive_number << 1
        return build(self._source, self._destination, control, information)

    def turn(self, information: bytes) -> bytes:
        """Count the frame that was `due` and return the I frame that answers it; it must fit one.

        The same as `acknowledge`, `accept`, `give` and `next_frame` one after the other, where nothing is
        left to send and no segment waits.
        """
        # As `say`, which is not called: this is done for each block of a long answer.
        number, received = self.send_number, self.receive_number + 1 & 7
        self.send_number, self.receive_number = number + 1 & 7, received
        self._unacknowledged, self._more = information, False
        return build(self._destination, self._source, received << 5 | POLL | number << 1, information)

    def say(self, information: bytes) -> bytes:
        """Return the I frame with this information, which must fit one; nothing else is left to send."""
        number = self.send_number
        self.send_number = number + 1 & 7
        self._unacknowledged, self._more = information, False
        control = self.receive_number << 5 | POLL | number << 1
        return build_again(self._destination, self._source, control, information)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to send, and no segment waits for the rest."""
        return not (self._offset < len(self._left) or self._pieces is not None or self._parts)

    def _refill(self, pieces: Iterator[bytes]) -> None:
        """Have more than a frame at hand, or all there is: S of a frame tells whether another follows."""
        left = self._left[self._offset :]
        while len(left) <= self.send_size:
            piece = next(pieces, None)
            if piece is None:
                self._pieces = None
                break
            left += piece
        self._left, self._offset = left, 0

    def repeat(self) -> bytes:
        """Return the unacknowledged I frame again, with the present N(R)."""
        control = self.receive_number << 5 | POLL | (self.send_number - 1 & 7) << 1
        return build(self._destination, self._source, control, self._unacknowledged, self._more)

    def receive_ready(self) -> bytes:
        """Return an RR frame."""
        return build_again(self._destination, self._source, self.receive_number << 5 | POLL | Control.RR)

    # What we receive

    @property
    def received(self) -> int:
        """Octets of the segments that wait for the rest."""
        return len(self._parts)

    def discard(self) -> None:
        """Forget the segments received so far."""
        self._parts.clear()

    def accept(self, information: bytes, more: bool) -> bytes | None:
        """Count an I frame in sequence; return the LSDU with its LLC, None while segments are to come."""
        self.receive_number = self.receive_number + 1 & 7
        if more:
            self._parts += information
            return None
        if not self._parts:
            return information
        self._parts += information
        whole = bytes(self._parts)
        self._parts.clear()
        return whole


@lru_cache(1024)
def _turns(
    destination: bytes, source: bytes, ahead: int, due: int, said: int
) -> tuple[tuple[bytes, bytes], ...]:
    heads = []
    for number in range(8):
        received, after = number + ahead + 1 & 7, number + 1 & 7
        heads.append(
            (
                build_head(destination, source, received << 5 | POLL | number << 1, said),
                build_head(source, destination, after << 5 | POLL | received << 1, due),
            )
        )
    return tuple(heads)
