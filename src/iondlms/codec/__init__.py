"""Values <-> octets: no state, no clock, no I/O.

The makers of single values (`make.unsigned`, `make.structure`, ...) are used from their module.
"""

from __future__ import annotations

from iondlms.codec.axdr import Data, Tag, decode, decode_data, encode_data
from iondlms.codec.columns import decode_rows, decode_table
from iondlms.codec.datetimes import ClockStatus, DateTime
from iondlms.codec.obis import ObisCode
from iondlms.codec.plan import RowPlan
from iondlms.codec.reader import Reader, encode_length

__all__ = [
    "ClockStatus",
    "Data",
    "DateTime",
    "ObisCode",
    "Reader",
    "RowPlan",
    "Tag",
    "decode",
    "decode_data",
    "decode_rows",
    "decode_table",
    "encode_data",
    "encode_length",
]
