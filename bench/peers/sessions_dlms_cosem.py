"""dlms-cosem in sessions with meters, through the client of tests/interop/peers; see answer.py.

HDLC frames are cut by their length field for it: it stops at a 7E inside one. Rows are typed as those of
decode_dlms_cosem.py are.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from answer import answer, session_works
from decode_dlms_cosem import PEER, decode_typed
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.time import datetime_from_bytes

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "interop" / "peers"))
from dlms_cosem_peer import CLOCK, Session, attribute_of

LOAD_PROFILE = "1.0.99.1.0.255"


def read_clock(session: Session) -> datetime:
    """The clock."""
    moment: datetime = datetime_from_bytes(bytes(session.get(8, CLOCK, 2)))[0]
    return moment


def read_rows(session: Session, start: datetime, end: datetime) -> list[Any]:
    """Rows of a date-time and ints, after the capture objects."""
    session.get(7, LOAD_PROFILE, 3)
    bounds = RangeDescriptor(CaptureObject(attribute_of(8, CLOCK, 2)), start, end)
    rows: list[Any] = decode_typed(
        session.client.get(attribute_of(7, LOAD_PROFILE, 2), access_descriptor=bounds)
    )
    return rows


if __name__ == "__main__":
    answer(PEER, session_works(Session, read_clock, read_rows))
