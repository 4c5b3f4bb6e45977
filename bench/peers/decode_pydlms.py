"""pydlms-client on an encoded profile buffer: decode to plain and to typed rows, encode; see answer.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from answer import answer, buffer_works
from pydlms.cosem.data import DlmsData, decode_data, encode_data
from pydlms.cosem.enums import DataType
from pydlms.cosem.time import CosemDateTime

PEER = "pydlms-client"


def decode_plain(octets: bytes) -> list[Any]:
    """Rows of bytes(12) and ints."""
    rows: list[Any] = decode_data(octets)[0].to_python()
    return rows


def decode_typed(octets: bytes) -> list[tuple[datetime, ...]]:
    """Rows of an aware datetime and ints (its typed_rows looks at each column's object as well: slower)."""
    read = CosemDateTime.from_bytes
    return [
        (read(row.value[0].value).to_datetime(), *(cell.value for cell in row.value[1:]))
        for row in decode_data(octets)[0].value
    ]


def encode(rows: list[Any]) -> bytes:
    """The buffer, through its Data type."""
    kinds = [DataType.DOUBLE_LONG] * 4
    if len(rows[0]) == 13:
        kinds = [*[DataType.LONG64] * 7, *kinds]
    return bytes(
        encode_data(
            DlmsData.array(
                [
                    DlmsData.structure(
                        [
                            DlmsData.octet_string(row[0]),
                            DlmsData.uint16(row[1]),
                            *(DlmsData(kind, value) for kind, value in zip(kinds, row[2:], strict=True)),
                        ]
                    )
                    for row in rows
                ]
            )
        )
    )


if __name__ == "__main__":
    answer(PEER, buffer_works(decode_plain, decode_typed, encode))
