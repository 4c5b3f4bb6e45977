"""dlms-cosem on HDLC frames: its frame classes, `to_bytes` and `from_bytes`; see answer.py.

Its HdlcConnection, which cuts a stream into frames, is left out: it stops at a 7E inside one, and tries one
class after the other, where `parse` here looks at the control octet. P/F of its RR is set, always.
"""

from __future__ import annotations

import structlog
from answer import answer, frame_works
from dlms_cosem.hdlc.address import HdlcAddress
from dlms_cosem.hdlc.frames import InformationFrame, ReceiveReadyFrame

PEER = "dlms-cosem"
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

CLIENT = HdlcAddress(16, None, "client")
SERVER = HdlcAddress(1, 17, "server", True)
CONTROL = 8  # where it is, behind a flag, the format, one octet of client and four of server


def build(control: int, information: bytes) -> bytes:
    """An I frame, or an RR where the control field has bit 0."""
    frame = (
        ReceiveReadyFrame(CLIENT, SERVER, receive_sequence_number=control >> 5)
        if control & 1
        else InformationFrame(
            CLIENT,
            SERVER,
            information,
            final=bool(control & 0x10),
            send_sequence_number=control >> 1 & 7,
            receive_sequence_number=control >> 5,
        )
    )
    octets: bytes = frame.to_bytes()
    return octets


def parse(octets: bytes) -> tuple[int, bytes]:
    """Control field and information."""
    frame = (ReceiveReadyFrame if octets[CONTROL] & 1 else InformationFrame).from_bytes(octets)
    return frame.get_control_field().to_bytes()[0], frame.payload or b""


if __name__ == "__main__":
    answer(PEER, frame_works(build, parse))
