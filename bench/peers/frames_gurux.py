"""gurux-dlms on HDLC frames: `getHdlcFrame` of a server, `getHdlcData` of a client; see answer.py.

`getData`, which its users call, does the latter and goes on to the APDU, which these frames have none of. It
checks addresses and sequence numbers as well: all frames of a file follow each other, and the first the last.
"""

from __future__ import annotations

from answer import answer, frame_works
from gurux_dlms import GXByteBuffer, GXDLMSClient, GXReplyData
from gurux_dlms.enums import InterfaceType
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.GXDLMSSettings import GXDLMSSettings

PEER = "gurux-dlms"

SERVER = GXDLMSClient.getServerAddress(1, 17, 4)
# It takes three octets off for the LLC, whether that is in the information or not.
LARGEST = 128 + 3

METER = GXDLMSSettings(True, None)
CLIENT = GXDLMSSettings(False, None)
for settings in (METER, CLIENT):
    settings.interfaceType = InterfaceType.HDLC
    settings.clientAddress = 16
    settings.serverAddress = SERVER
    settings.serverAddressSize = 4
    settings.hdlc.maxInfoTX = LARGEST
CLIENT.receiverFrame = 0xFE  # I, N(R) = N(S) = 7: what came before the first
REPLY = GXReplyData()


def build(control: int, information: bytes) -> bytes:
    """The frame, as a bytearray."""
    octets: bytes = GXDLMS.getHdlcFrame(METER, control, GXByteBuffer(information) if information else None)
    return octets


def parse(octets: bytes) -> tuple[int, bytes]:
    """Control field and information."""
    received = GXByteBuffer(octets)
    REPLY.clear()
    control = int(GXDLMS.getHdlcData(False, CLIENT, received, REPLY, None))
    if control & 1:
        return control, b""
    GXDLMS.getDataFromFrame(received, REPLY, True)
    return control, REPLY.data.array()


if __name__ == "__main__":
    answer(PEER, frame_works(build, parse))
