"""The information fields of SNRM and UA (the link's parameters) and of FRMR (why a frame was rejected)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from functools import lru_cache
from typing import Final

from iondlms.codec.reader import Reader
from iondlms.errors import DecodeError, LocalError
from iondlms.hdlc.frame import Control

__all__ = ["FrameReject", "LinkParameters", "RejectReason"]

_FORMAT_IDENTIFIER: Final = 0x81
_PARAMETER_GROUP: Final = 0x80
_USER_DATA: Final = 0xF0
_TRANSMIT_INFORMATION: Final = 0x05
_RECEIVE_INFORMATION: Final = 0x06
_TRANSMIT_WINDOW: Final = 0x07
_RECEIVE_WINDOW: Final = 0x08

_DEFAULTS: Final = {
    _TRANSMIT_INFORMATION: 128,
    _RECEIVE_INFORMATION: 128,
    _TRANSMIT_WINDOW: 1,
    _RECEIVE_WINDOW: 1,
}
INFORMATION_RANGE: Final = range(32, 2031)  # 6.4.4.4.3.2
WINDOW_RANGE: Final = range(1, 8)
_MAX_VALUE_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """Largest information field (octets) and window (frames), each as the station that states it sees it."""

    transmit_information: int = 128
    receive_information: int = 128
    transmit_window: int = 1
    receive_window: int = 1

    def __post_init__(self) -> None:
        for size in (self.transmit_information, self.receive_information):
            if size not in INFORMATION_RANGE:
                raise LocalError(f"an information field of {size} octets is not in 32..2030")
        for window in (self.transmit_window, self.receive_window):
            if window not in WINDOW_RANGE:
                raise LocalError(f"a window of {window} frames is not in 1..7")

    @classmethod
    def decode(cls, information: bytes, *, strict: bool = True) -> LinkParameters:
        """Read an information field; what is absent, or has length 0, is 128 or 1. 62056-46 6.4.4.4.3.2.

        DecodeError if it is malformed or a value is out of range. An unknown identifier is an error too where
        `strict` (a station that is asked must refuse it), and passed over where not (a client reading a UA).
        A user data subfield goes on to the end of the field and is not looked at.
        """
        return _decoded(information, strict)

    def encode(self) -> bytes:
        """Return the information field with all four; sizes up to 255 take one octet, windows always four."""
        return _encoded(
            self.transmit_information, self.receive_information, self.transmit_window, self.receive_window
        )

    def negotiate(self, peer: LinkParameters) -> LinkParameters:
        """Return the smaller of both, as we see it: what the peer receives limits what we transmit."""
        if (
            self.transmit_information <= peer.receive_information
            and self.receive_information <= peer.transmit_information
            and self.transmit_window <= peer.receive_window
            and self.receive_window <= peer.transmit_window
        ):
            return self  # as nearly always
        return LinkParameters(
            min(self.transmit_information, peer.receive_information),
            min(self.receive_information, peer.transmit_information),
            min(self.transmit_window, peer.receive_window),
            min(self.receive_window, peer.transmit_window),
        )


@lru_cache(maxsize=64)
def _encoded(transmit_information: int, receive_information: int, *windows: int) -> bytes:
    group = b""
    for identifier, size in (
        (_TRANSMIT_INFORMATION, transmit_information),
        (_RECEIVE_INFORMATION, receive_information),
    ):
        value = size.to_bytes(1 if size < 0x100 else 2, "big")
        group += bytes((identifier, len(value))) + value
    for identifier, window in zip((_TRANSMIT_WINDOW, _RECEIVE_WINDOW), windows, strict=True):
        group += bytes((identifier, 4)) + window.to_bytes(4, "big")
    return bytes((_FORMAT_IDENTIFIER, _PARAMETER_GROUP, len(group))) + group


# Both stations look at a field twice, and all of a fleet say the same.
@lru_cache(maxsize=64)
def _decoded(information: bytes, strict: bool) -> LinkParameters:
    values = dict(_DEFAULTS)
    reader = Reader(information)
    if reader.remaining and reader.u8() != _FORMAT_IDENTIFIER:
        raise DecodeError(f"format identifier {information[0]:02X}, 81 expected")
    while reader.remaining:
        group = reader.u8()
        if group == _USER_DATA:
            break
        if group != _PARAMETER_GROUP and strict:
            raise DecodeError(f"group identifier {group:02X} is not known")
        content = reader.sub(reader.u8())
        while group == _PARAMETER_GROUP and content.remaining:
            identifier = content.u8()
            octets = content.u8()
            value = content.unsigned(octets)
            if identifier not in _DEFAULTS:
                if strict:
                    raise DecodeError(f"parameter identifier {identifier:02X} is not known")
            elif octets > _MAX_VALUE_OCTETS:
                raise DecodeError(f"parameter {identifier:02X} has {octets} octets")
            elif octets:
                values[identifier] = value
    try:
        return LinkParameters(*values.values())
    except LocalError as error:
        raise DecodeError(str(error)) from error


class RejectReason(IntFlag):
    """W, X, Y, Z of an FRMR; the first of them is transmitted first, which makes it the lowest bit."""

    UNKNOWN_CONTROL = 1  # W
    INFORMATION_NOT_PERMITTED = 2  # X
    INFORMATION_TOO_LONG = 4  # Y
    WRONG_RECEIVE_NUMBER = 8  # Z


_REASON_TEXTS: Final = {
    RejectReason.UNKNOWN_CONTROL: "unknown control field",
    RejectReason.INFORMATION_NOT_PERMITTED: "information not permitted",
    RejectReason.INFORMATION_TOO_LONG: "information too long",
    RejectReason.WRONG_RECEIVE_NUMBER: "wrong N(R)",
}


@dataclass(frozen=True, slots=True)
class FrameReject:
    """The information field of FRMR, 3 octets (62056-46 6.4.3.10, ISO/IEC 13239 5.5.3.4.2)."""

    control: int  # of the rejected frame
    send_number: int  # V(S) of the station that rejects
    receive_number: int  # V(R) of it
    reasons: RejectReason
    response: bool = False  # the rejected frame was a response

    @classmethod
    def decode(cls, information: bytes) -> FrameReject:
        """Read the field; DecodeError if it has not 3 octets.

        Some meters put W to Z in the high half of the last octet (a published log shows 10); both are read.
        """
        reader = Reader(information)
        control, numbers, reasons = reader.u8(), reader.u8(), reader.u8()
        reader.end()
        reasons = reasons & 0x0F or reasons >> 4
        return cls(control, numbers >> 1 & 7, numbers >> 5, RejectReason(reasons), bool(numbers & 0x10))

    def encode(self) -> bytes:
        """Return the three octets."""
        numbers = self.receive_number << 5 | self.response << 4 | self.send_number << 1
        return bytes((self.control, numbers, self.reasons))

    def __str__(self) -> str:
        names = [_REASON_TEXTS[reason] for reason in RejectReason if reason in self.reasons]
        return f"{Control.name(self.control)} rejected: {', '.join(names) or 'no reason given'}"
