"""pydlms-client in sessions with meters, through the client of tests/interop/peers; see answer.py.

Rows have their date-time converted, as in decode_pydlms.py: its own typed rows look at each column's object
as well.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from answer import answer, session_works
from pydlms.apdu.xdlms import date_time_value, range_descriptor
from pydlms.cosem.time import CosemDateTime

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "interop" / "peers"))
from pydlms_peer import PEER, Session

LOAD_PROFILE = "1.0.99.1.0.255"


def read_clock(session: Session) -> datetime:
    """The clock."""
    moment: datetime = session.client.get_clock().to_datetime()
    return moment


def read_rows(session: Session, start: datetime, end: datetime) -> list[Any]:
    """Rows of a date-time and ints, after the capture objects, which it reads by itself."""
    bounds = range_descriptor(date_time_value(start), date_time_value(end))
    read = CosemDateTime.from_bytes
    rows = session.client.read_profile(LOAD_PROFILE, bounds).rows
    return [(read(row[0]).to_datetime(), *row[1:]) for row in rows]


if __name__ == "__main__":
    answer(PEER, session_works(Session, read_clock, read_rows))
