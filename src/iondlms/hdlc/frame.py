"""Frame format type 3: one value, its check sequences and its control field (IEC 62056-46 6.4.1 to 6.4.3).

`7E | format type, S, length (2) | destination | source | control | HCS (2) | information | FCS (2) | 7E`.
Without information there is no HCS, and the FCS stands where the HCS would: both are the same check of the
same octets. A register that has run over octets and their good check sequence holds the same value always,
so the FCS of a whole frame is run over the information only, from that value.
"""

from __future__ import annotations

from binascii import crc_hqx
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from iondlms.errors import DecodeError, LocalError

__all__ = [
    "FLAG",
    "MAX_LENGTH",
    "POLL",
    "Control",
    "Frame",
    "Header",
    "Kind",
    "build",
    "build_head",
    "check_information",
    "fcs16",
    "read_header",
]

FLAG: Final = 0x7E
MAX_LENGTH: Final = 0x7FF  # octets between the flags: the length field has 11 bits
POLL: Final = 0x10  # P of a command, F of a response

# ISO/IEC 13239's CRC is the bit-reflected twin of the CRC that `crc_hqx` runs in C: reverse the bits of the
# octets, run it, reverse the bits of the result, invert. Its low octet goes first, so the two octets of the
# register, high one first, are just reversed and inverted one by one.
REVERSED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
REVERSED_INVERTED: Final = bytes(octet ^ 0xFF for octet in REVERSED)
_START: Final = 0xFFFF
GOOD: Final = 0x1D0F  # F0B8 reversed: what the register holds behind a good check sequence

_FORMAT_TYPE: Final = 0xA0
_SEGMENTED: Final = 0x08
_SMALLEST: Final = 7  # format 2, addresses 1 + 1, control 1, check sequence 2

# One conversation uses few headers; the bound is against a peer that makes each one new.
_CACHED_HEADERS: Final = 4096
_OFTEN: Final = 40  # octets of information that may well come again; an AARQ with a password has more


def fcs16(octets: bytes) -> bytes:
    """Return the check sequence of `octets` as the two octets on the wire, low one first."""
    return crc_hqx(octets.translate(REVERSED), _START).to_bytes(2, "big").translate(REVERSED_INVERTED)


class Kind(Enum):
    """What a control field says; OTHER is any command or response outside our repertoire (table 6)."""

    I = "I"  # noqa: E741  # the standard's name
    RR = "RR"
    RNR = "RNR"
    SNRM = "SNRM"
    DISC = "DISC"
    UA = "UA"
    DM = "DM"
    FRMR = "FRMR"
    UI = "UI"
    OTHER = "other"


class Control:
    """Control fields with P/F clear, and what can be read off one."""

    RR: Final = 0x01
    RNR: Final = 0x05
    SNRM: Final = 0x83
    DISC: Final = 0x43
    UA: Final = 0x63
    DM: Final = 0x0F
    FRMR: Final = 0x87
    UI: Final = 0x03

    @staticmethod
    def kind(control: int) -> Kind:
        """Return the kind of a control octet."""
        return _KINDS[control]

    @staticmethod
    def send_number(control: int) -> int:
        """Return N(S) of an I frame."""
        return control >> 1 & 7

    @staticmethod
    def receive_number(control: int) -> int:
        """Return N(R) of an I, RR or RNR frame."""
        return control >> 5

    @staticmethod
    def name(control: int) -> str:
        """Return the control octet as people write it: `I N(R)=1 N(S)=0 P/F`."""
        kind = _KINDS[control]
        text = kind.value if kind is not Kind.OTHER else f"control {control:02X}"
        if kind in (Kind.I, Kind.RR, Kind.RNR):
            text += f" N(R)={control >> 5}"
        if kind is Kind.I:
            text += f" N(S)={control >> 1 & 7}"
        return text + " P/F" * bool(control & POLL)


def _kind(control: int) -> Kind:
    if not control & 1:
        return Kind.I
    if control & 0x0F in (Control.RR, Control.RNR):
        return Kind.RR if control & 0x0F == Control.RR else Kind.RNR
    named = (Kind.SNRM, Kind.DISC, Kind.UA, Kind.DM, Kind.FRMR, Kind.UI)
    return {getattr(Control, kind.name): kind for kind in named}.get(control & ~POLL, Kind.OTHER)


_KINDS: Final = tuple(_kind(control) for control in range(256))


class Frame(NamedTuple):
    """One frame with good check sequences. Addresses are kept as octets, extension bits included.

    A named tuple and not a data class: it is made for each frame received, and takes a third of the time.
    """

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False

    @classmethod
    def decode(cls, octets: bytes) -> Frame:
        """Read one whole frame from flag to flag; DecodeError says what is wrong with it."""
        if not octets.startswith(b"~"):
            raise DecodeError("a frame starts with the flag 7E")
        header = read_header(octets, 0, len(octets))
        if header is None:
            raise DecodeError(f"{len(octets)} octets are too few for a frame")
        if not header.length:
            raise DecodeError("format type, length or addresses are not those of a frame of type 3")
        if len(octets) != header.length + 2 or octets[-1] != FLAG:
            raise DecodeError(
                f"the length field says {header.length}, then a flag; there are {len(octets) - 2}"
            )
        if not header.good:
            raise DecodeError(f"{'FCS' if header.size == header.length else 'HCS'} is wrong")
        frame = header.frame(octets, 0)
        if frame is None:
            raise DecodeError("FCS is wrong")
        return frame

    def encode(self) -> bytes:
        """Return the frame from flag to flag; LocalError if it is too long or an address is none."""
        return build(self.destination, self.source, self.control, self.information, self.segmented)

    @property
    def kind(self) -> Kind:
        """What the control field says."""
        return _KINDS[self.control]

    @property
    def poll(self) -> bool:
        """P of a command, F of a response."""
        return bool(self.control & POLL)


class Header(NamedTuple):
    """The head of a frame up to its first check sequence: HCS, or FCS where there is no information."""

    length: int  # octets between the flags; 0: these octets are no header at all
    size: int  # octets of the head, check sequence included; equal to `length` without information
    good: bool  # the check sequence is right
    destination: bytes = b""
    source: bytes = b""
    control: int = 0
    segmented: bool = False

    def frame(self, data: bytes, flag: int) -> Frame | None:
        """Return the frame whose opening flag is at `flag`, None if its FCS is wrong.

        The header is good, and `data` reaches to the FCS.
        """
        start = flag + 1 + self.size
        stop = flag + 1 + self.length
        if start == stop:
            return Frame(self.destination, self.source, self.control, b"", self.segmented)
        if not check_information(data[start:stop]):
            return None
        information = data[start : stop - 2]
        return Frame(self.destination, self.source, self.control, information, self.segmented)


_NO_HEADER: Final = Header(0, 0, False)
# Good headers by their octets, check sequence included: equal octets need no second check.
KNOWN_HEADERS: Final[dict[bytes, Header]] = {}


def read_header(data: bytes, flag: int, limit: int) -> Header | None:
    """Return the header behind the flag at `flag` by the octets before `limit`, None if that is too few.

    Never looks at or beyond `limit`, so what it says does not depend on how much has come already.
    """
    start = flag + 1
    if limit < start + _SMALLEST:
        return None
    if data[start] & 0xF0 != _FORMAT_TYPE:
        return _NO_HEADER
    source = _address_end(data, start + 2)
    if not source:
        return _NO_HEADER
    if not data[source] & 1 and limit < source + 5:
        return None  # a source of two octets or more, control and check sequence are 5 at least
    end = _address_end(data, source)
    size = end + 3 - start
    length = (data[start] & 0x07) << 8 | data[start + 1]
    # A frame with information has its HCS, one octet or more, and its FCS.
    if not end or length < size or size < length < size + 3:
        return _NO_HEADER
    if limit < start + size:
        return None
    octets = data[start : start + size]
    header = KNOWN_HEADERS.get(octets)
    if header is not None:
        return header
    header = Header(
        length,
        size,
        crc_hqx(octets.translate(REVERSED), _START) == GOOD,
        data[start + 2 : source],
        data[source:end],
        data[end],
        bool(data[start] & _SEGMENTED),
    )
    if header.good:
        if len(KNOWN_HEADERS) >= _CACHED_HEADERS:
            KNOWN_HEADERS.clear()
        KNOWN_HEADERS[octets] = header
    return header


def _address_end(data: bytes, start: int) -> int:
    """Return where the address that starts at `start` ends, 0 if it has not 1, 2 or 4 octets (6.4.2.1)."""
    if data[start] & 1:
        return start + 1
    if data[start + 1] & 1:
        return start + 2
    if data[start + 2] & 1 or not data[start + 3] & 1:
        return 0
    return start + 4


_BUILT: Final[dict[tuple[bytes, bytes, int, int, bool], bytes]] = {}


def build(
    destination: bytes, source: bytes, control: int, information: bytes = b"", segmented: bool = False
) -> bytes:
    """Return a frame from flag to flag; LocalError if it is too long or an address is none."""
    head = build_head(destination, source, control, len(information), segmented)
    return fill(head, information) if information else head


def build_again(destination: bytes, source: bytes, control: int, information: bytes = b"") -> bytes:
    """Return the same of a whole LSDU, or of none, looking first whether it was built before.

    Of a fleet all are asked the same, in requests that are short; an AARQ with a password is longer.
    """
    if len(information) > _OFTEN:
        return build(destination, source, control, information)
    return _built(destination, source, control, information)


@lru_cache(maxsize=512)
def _built(destination: bytes, source: bytes, control: int, information: bytes) -> bytes:
    return build(destination, source, control, information)


def fill(head: bytes, information: bytes) -> bytes:
    """Return the frame that begins so, with this information; it must be as long as the head says."""
    register = crc_hqx(information.translate(REVERSED), GOOD)
    return b"%b%b%b~" % (head, information, register.to_bytes(2, "big").translate(REVERSED_INVERTED))


def build_head(
    destination: bytes, source: bytes, control: int, information: int, segmented: bool = False
) -> bytes:
    """Return a frame with so many octets of information up to its HCS, the whole frame for none."""
    key = (destination, source, control, information, segmented)
    head = _BUILT.get(key)
    if head is None:
        head = _build_head(destination, source, control, segmented, information)
        if len(_BUILT) >= _CACHED_HEADERS:
            _BUILT.clear()
        _BUILT[key] = head
    return head


def check_information(octets: bytes) -> bool:
    """Return whether information and the FCS behind it belong together, under a good header."""
    return crc_hqx(octets.translate(REVERSED), GOOD) == GOOD


def _build_head(destination: bytes, source: bytes, control: int, segmented: bool, information: int) -> bytes:
    for address in (destination, source):
        if not 1 <= len(address) <= 4 or _address_end(address.ljust(4, b"\0"), 0) != len(address):
            raise LocalError(f"{address.hex(' ').upper() or 'nothing'} is not an address of 1, 2 or 4 octets")
    length = 2 + len(destination) + len(source) + 1 + 2 + (information and information + 2)
    if length > MAX_LENGTH:
        raise LocalError(f"{information} octets of information do not fit a frame")
    format_field = _FORMAT_TYPE << 8 | (_SEGMENTED << 8 if segmented else 0) | length
    head = b"%b%b%b%c" % (format_field.to_bytes(2, "big"), destination, source, control)
    closing = b"" if information else b"~"
    return b"~%b%b%b" % (head, fcs16(head), closing)
