"""What cannot be left out: the load profile's octets by `struct`, `array` and NumPy, and its tags checked.

Each is written for this one shape of row, for rows that are right, and for a clock that keeps to 2025: no
null-data, no other maker's columns, no error worth reading.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from bench import buffer

STRIDE: Final = 39
# Offset and octet of what is the same in every row.
MARKS: Final = ((0, 2), (1, 6), (2, 9), (3, 12), (16, 0x12), (19, 5), (24, 5), (29, 5), (34, 5))
VALUES: Final = struct.Struct(">4x12sxHxixixixi")
TIMES: Final = struct.Struct(">HBBxBBBBhxxHxixixixi")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def body(octets: bytes) -> bytes:
    """Return the rows without the header, their tags checked."""
    start = 2 if octets[1] < 0x80 else 4
    for offset, octet in MARKS:
        if octets[start + offset :: STRIDE].strip(bytes((octet,))):
            raise ValueError("not a load profile")
    return octets[start:]


def rows(octets: bytes) -> list[tuple[Any, ...]]:
    """Rows of 12 octets and integers."""
    return list(VALUES.iter_unpack(body(octets)))


def typed(octets: bytes) -> Iterator[tuple[Any, ...]]:
    """Rows of an instant, the status word as an integer, Decimals."""
    unpack = struct.Struct(">4xHBBxBBBBhxxHxixixixi").iter_unpack
    for year, month, day, hour, minute, second, _, deviation, status, *values in unpack(body(octets)):
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        yield local + timedelta(minutes=deviation), status, tuple(map(Decimal, values))


DAYS: Final[dict[bytes, int]] = {}
CLOCKS: Final[dict[bytes, int]] = {}
DATES: Final = struct.Struct(">4x4s5x2s24x")
HOURS: Final = struct.Struct(">9x2s28x")


def columns(octets: bytes) -> list[array[int]]:
    """Milliseconds, status words, integers, as arrays of the standard library."""
    data = body(octets)
    if not DAYS:  # the year, worked out beforehand
        for row in buffer.encoded_rows():
            year, month, day, deviation = struct.unpack(">HBB5xh", row[4:15])
            midnight = datetime(year, month, day, tzinfo=UTC) + timedelta(minutes=deviation)
            DAYS[row[4:8] + row[13:15]] = (midnight - EPOCH) // timedelta(milliseconds=1)
            CLOCKS[row[9:11]] = (row[9] * 60 + row[10]) * 60_000
    dates = [DAYS[date + deviation] for date, deviation in DATES.iter_unpack(data)]
    made = [
        array("q", [day + CLOCKS[time] for day, (time,) in zip(dates, HOURS.iter_unpack(data), strict=True)])
    ]
    for code, offset in (("H", 17), ("i", 20), ("i", 25), ("i", 30), ("i", 35)):
        column = array(code)
        octets_of_it = bytearray(len(data) // STRIDE * column.itemsize)
        for at in range(column.itemsize):
            octets_of_it[at :: column.itemsize] = data[offset + at :: STRIDE]
        column.frombytes(octets_of_it)
        column.byteswap()
        made.append(column)
    return made


def numpy_columns(octets: bytes) -> list[Any]:
    """datetime64[ms], status words, integers, as NumPy arrays."""
    import numpy as np

    kind = np.dtype(
        {
            "names": [
                "head",
                "year",
                "month",
                "day",
                "hour",
                "minute",
                "second",
                "deviation",
                "tag",
                "status",
            ]
            + [f"{name}{at}" for at in range(4) for name in ("t", "v")],
            "formats": ["<u4", ">u2", "u1", "u1", "u1", "u1", "u1", ">i2", "u1", ">u2"] + ["u1", ">i4"] * 4,
            "offsets": [0, 4, 6, 7, 9, 10, 11, 13, 16, 17]
            + [19 + 5 * at + step for at in range(4) for step in (0, 1)],
            "itemsize": STRIDE,
        }
    )
    table = np.frombuffer(octets, kind, offset=2 if octets[1] < 0x80 else 4)
    tags = (table[f"t{at}"] == 5 for at in range(4))
    if not (
        (table["head"] == 0x0C090602).all()
        and (table["tag"] == 0x12).all()
        and all(tag.all() for tag in tags)
    ):
        raise ValueError("not a load profile")
    months = (table["year"].astype("i8") - 1970) * 12 + table["month"] - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype("i8") + table["day"] - 1
    minutes = (days * 24 + table["hour"]) * 60 + table["minute"] + table["deviation"]
    time = ((minutes * 60 + table["second"]) * 1000).view("datetime64[ms]")
    return [time, table["status"].astype("u2"), *(table[f"v{at}"].astype("i4") for at in range(4))]


PACK: Final = struct.Struct(">BBBB12sBHBiBiBiBi").pack


def encode_rows(rows_of_it: Sequence[tuple[Any, ...]]) -> bytes:
    """The rows again, one by one."""
    return b"".join(
        [
            PACK(2, 6, 9, 12, time, 18, status, 5, a, 5, b, 5, c, 5, d)
            for time, status, a, b, c, d in rows_of_it
        ]
    )


def encode_columns(times: bytes, columns_of_it: Sequence[array[int]]) -> bytes:
    """The rows again, from 12 octets a row side by side, and arrays."""
    template = bytearray(STRIDE)
    for offset, octet in MARKS:
        template[offset] = octet
    octets = bytearray(bytes(template) * (len(times) // 12))
    for at in range(12):
        octets[4 + at :: STRIDE] = times[at::12]
    for offset, column in zip((17, 20, 25, 30, 35), columns_of_it, strict=True):
        swapped = array(column.typecode, column)
        swapped.byteswap()
        data = swapped.tobytes()
        for at in range(column.itemsize):
            octets[offset + at :: STRIDE] = data[at :: column.itemsize]
    return bytes(octets)
