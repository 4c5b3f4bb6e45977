"""pydlms-client on HDLC frames: its `encode_frame` and `decode_frame`; see answer.py.

Its FrameReader, which cuts a stream into frames, calls `decode_frame` on each: slower.
"""

from __future__ import annotations

from answer import answer, frame_works
from pydlms.hdlc.address import HdlcAddress
from pydlms.hdlc.framing import HdlcFrame, decode_frame, encode_frame

PEER = "pydlms-client"

CLIENT = HdlcAddress.client(16)
SERVER = HdlcAddress.server(1, 17, 4)


def build(control: int, information: bytes) -> bytes:
    """The frame."""
    octets: bytes = encode_frame(HdlcFrame(CLIENT, SERVER, control, information))
    return octets


def parse(octets: bytes) -> tuple[int, bytes]:
    """Control field and information."""
    frame = decode_frame(octets)
    return frame.control, frame.info


if __name__ == "__main__":
    answer(PEER, frame_works(build, parse))
