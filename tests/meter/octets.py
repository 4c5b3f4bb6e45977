"""Frames, WPDUs and APDUs that the tests of the meter send, for Unit ID 17 and client 16."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tests.meter.bench import AARQ, GET_NAME, SERVER, aare, date_time

from iondlms.codec.obis import ObisCode
from iondlms.hdlc.frame import build

SNRM: Final = "7EA00A00020023219318717E"
DISC: Final = "7EA00A00020023215314B77E"
RR_0: Final = "7EA00A00020023211102D67E"
UA: Final = "7EA0212100020023734DF2818012050180060180070400000001080400000001533B7E"
DM: Final = "7EA00A21000200231F264E7E"
METER_RR_0: Final = "7EA00A21000200231158A77E"
I_AARQ: Final = (
    "7EA02E0002002321107ECBE6E600601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0CAEA7E"
)
I_GET_NAME: Final = "7EA01C0002002321329F28E6E600C001C1000100002A0000FF020012807E"
W_AARQ: Final = "000100100001001F" + AARQ
W_AARE: Final = "000100010010002B" + aare(0, 0, context=b"\x04\x00", client=16)
W_GET: Final = "000100100001000D" + GET_NAME
WHOLE_RANGE: Final = (
    "C001C100070100630100FF0201010204020412000809060000010000FF0F02120000"
    "090C07D00101FF00000000000000090C08330C1FFF173B3B000000000100"
)


def client(control: int, information: str = "", *, segmented: bool = False, sap: int = 16) -> str:
    """Return a frame of a client as hex."""
    return build(SERVER, bytes((sap << 1 | 1,)), control, bytes.fromhex(information), segmented).hex().upper()


def capture_object(class_id: int, name: str, attribute: int = 2, index: int = 0) -> str:
    """Return a capture object definition as hex."""
    return f"020412{class_id:04X}0906{ObisCode.parse(name).octets.hex()}0F{attribute:02X}12{index:04X}"


CLOCK_COLUMN: Final = capture_object(8, "0-0:1.0.0*255")


def by_range(start: str, end: str, columns: tuple[str, ...] = (), restricting: str = CLOCK_COLUMN) -> str:
    """Return selector 1 with its parameters; bounds are encoded Data."""
    return f"010204{restricting}{start}{end}01{len(columns):02X}{''.join(columns)}"


def between(start: datetime, end: datetime, columns: tuple[str, ...] = (), deviation: int = 0) -> str:
    """Return selector 1 between two instants, written with a deviation."""
    return by_range(
        f"090C{date_time(start, deviation).hex()}", f"090C{date_time(end, deviation).hex()}", columns
    )
