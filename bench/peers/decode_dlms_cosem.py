"""dlms-cosem on an encoded profile buffer: decode to plain and to typed rows, encode; see answer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from answer import answer, buffer_works
from dlms_cosem import utils
from dlms_cosem.dlms_data import (
    DataArray,
    DataStructure,
    DoubleLongData,
    Long64Data,
    OctetStringData,
    UnsignedLongData,
)
from dlms_cosem.time import datetime_from_bytes

PEER = "dlms-cosem"
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def decode_plain(octets: bytes) -> list[Any]:
    """Rows of bytearray(12) and ints."""
    rows: list[Any] = utils.parse_as_dlms_data(octets)
    return rows


def decode_typed(octets: bytes) -> list[tuple[datetime, ...]]:
    """Rows of an aware datetime and ints (its ProfileGenericBufferParser wraps each cell as well: slower)."""
    return [(datetime_from_bytes(row[0])[0], *row[1:]) for row in utils.parse_as_dlms_data(octets)]


def encode(rows: list[Any]) -> bytes:
    """The buffer, through its data types."""
    kinds = [*[Long64Data] * 7, *[DoubleLongData] * 4] if len(rows[0]) == 13 else [DoubleLongData] * 4
    return bytes(
        DataArray(
            [
                DataStructure(
                    [
                        OctetStringData(row[0]),
                        UnsignedLongData(row[1]),
                        *(kind(value) for kind, value in zip(kinds, row[2:], strict=True)),
                    ]
                )
                for row in rows
            ]
        ).to_bytes()
    )


if __name__ == "__main__":
    answer(PEER, buffer_works(decode_plain, decode_typed, encode))
