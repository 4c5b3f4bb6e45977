"""The data link of IEC 62056-46: frames, and the numbered exchange of both sides."""

from __future__ import annotations

from iondlms.hdlc.address import ServerAddress
from iondlms.hdlc.deframer import Deframer
from iondlms.hdlc.frame import Control, Frame, Kind, fcs16
from iondlms.hdlc.parameters import FrameReject, LinkParameters, RejectReason
from iondlms.hdlc.primary import Primary
from iondlms.hdlc.secondary import Secondary
from iondlms.hdlc.transfer import COMMAND_LLC, RESPONSE_LLC, Event, Reaction, Transfer

__all__ = [
    "COMMAND_LLC",
    "RESPONSE_LLC",
    "Control",
    "Deframer",
    "Event",
    "Frame",
    "FrameReject",
    "Kind",
    "LinkParameters",
    "Primary",
    "Reaction",
    "RejectReason",
    "Secondary",
    "ServerAddress",
    "Transfer",
    "fcs16",
]
