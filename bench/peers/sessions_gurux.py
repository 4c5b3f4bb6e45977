"""gurux-dlms in sessions with meters, through the client of tests/interop/peers; see answer.py.

The socket is the standard library's, as in Gurux's own examples. Rows have their date-time converted, as in
decode_gurux.py.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from answer import answer, session_works
from gurux_dlms import GXDateTime, GXDLMSClient
from gurux_dlms.enums import DataType
from gurux_dlms.objects import GXDLMSClock

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "interop" / "peers"))
from gurux_peer import CLOCK, PEER, Session, profile_object

LOAD_PROFILE = "1.0.99.1.0.255"


def read_clock(session: Session) -> datetime:
    """The clock."""
    item = GXDLMSClock(CLOCK)
    moment: datetime = session.client.updateValue(item, 2, session.get(item, 2)).value
    return moment


def read_rows(session: Session, start: datetime, end: datetime) -> list[Any]:
    """Rows of a date-time and ints, after the capture objects."""
    item = profile_object(session, LOAD_PROFILE)
    requests = session.client.readRowsByRange(item, GXDateTime(start), GXDateTime(end))
    change = GXDLMSClient.changeType
    return [(change(row[0], DataType.DATETIME).value, *row[1:]) for row in session.exchange(requests).value]


if __name__ == "__main__":
    answer(PEER, session_works(Session, read_clock, read_rows))
