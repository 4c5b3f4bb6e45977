"""What a meter says where a fault has it say something else than it would."""

from __future__ import annotations

from typing import Final

from iondlms.errors import DataAccessResult
from iondlms.hdlc import Deframer, Kind
from iondlms.hdlc.frame import POLL, Control, build
from iondlms.meter.fault_rules import FaultRule
from iondlms.xdlms.exception import ExceptionResponse, ServiceError, StateError
from iondlms.xdlms.get import GetResponseNormal, GetResponseWithDatablock
from iondlms.xdlms.set import SetResponseNormal

__all__ = ["GET_NEXT", "not_ready", "refusal_by"]

GET_NEXT: Final = b"\xc0\x02"  # how a request for the next block begins


def not_ready(answer: bytes) -> bytes:
    """Return RNR for an answer that is I or RR.

    What was asked is taken and done, and the answer kept: it goes out at the first poll afterwards.
    """
    frames = Deframer().feed(answer)
    return b"".join(
        build(
            frame.destination,
            frame.source,
            Control.receive_number(frame.control) << 5 | POLL | Control.RNR,
        )
        if frame.kind in (Kind.I, Kind.RR)
        else build(frame.destination, frame.source, frame.control, frame.information, frame.segmented)
        for frame in frames
    )


def refusal_by(apdu: bytes, rule: FaultRule) -> bytes:
    """Return the APDU that refuses another as a rule says."""
    if rule.action == "exception" or len(apdu) < 3:
        return ExceptionResponse(StateError(rule.state_error), ServiceError(rule.service_error)).encode()
    invoke, result = apdu[2], DataAccessResult(rule.result)
    if apdu.startswith(GET_NEXT):
        return GetResponseWithDatablock(invoke, True, int.from_bytes(apdu[3:7], "big"), result).encode()
    if apdu[0] == 0xC0:
        return GetResponseNormal(invoke, result).encode()
    return SetResponseNormal(invoke, result).encode()
