"""Profile buffers to rows and columns and back: rows a second, ours, the peers', and what NumPy allows.

Columns are instants (UTC milliseconds), status words and integers as sent; the same with NumPy where the
`fast` extra is. They are compared with the peers' typed rows, which have instants too. Typed rows are our
`Profile.rows`: instant, status word, Decimals, each made when it is looked at, and thrown away again; "all
kept" is a list of them, as the peers make. Plain rows and the peers' lists have the date-time as octets.
Encoding starts from such rows, from columns, and for the meter from its recorder's log, as the server does.

    python -m bench.codec [--runs 7] [--only TEXT] [--json FILE] [--no-peers]
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import buffer, floors
from bench.harness import Bench, PeerProgram, Work, timed

from iondlms.client.columns import ProfileColumns
from iondlms.client.instants import TimeRules
from iondlms.client.names import NAMES
from iondlms.client.profile import Shape, column_of, typed_profile
from iondlms.codec import RowPlan, Tag, decode_rows, decode_table
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject, ProfileGeneric
from iondlms.ion.framework import BILLING, LOAD_PROFILE
from iondlms.meter.config import load
from iondlms.meter.meter import Meter
from iondlms.meter.objects import Presentation, logical_device

DAY, MONTH, YEAR = 96, 2976, buffer.YEAR_ROWS
PEERS = ("decode_dlms_cosem.py", "decode_pydlms.py", "decode_gurux.py")
NUMPY = importlib.util.find_spec("numpy") is not None
CODES = {"load profile": [code for _, code in LOAD_PROFILE], "billing data": [code for _, code in BILLING]}
TAGS = {
    "load profile": [Tag.OCTET_STRING, Tag.LONG_UNSIGNED, *[Tag.DOUBLE_LONG] * 4],
    "billing data": [Tag.OCTET_STRING, Tag.LONG_UNSIGNED, *[Tag.LONG64] * 7, *[Tag.DOUBLE_LONG] * 4],
}


@dataclass(frozen=True, slots=True)
class Buffer:
    """What one comparison is about."""

    profile: str
    rows: int
    octets: bytes
    file: Path

    @property
    def name(self) -> str:
        return f"{self.rows:,} rows of {self.profile}"


def shape_of(profile: str) -> Shape:
    """Return how our client reads such rows."""
    captured = [
        CaptureObject(NAMES[name].class_id or 0, NAMES[name].logical_name, 2) for name in ("clock", "status")
    ]
    captured += [CaptureObject(3, ObisCode.parse(code), 2) for code in CODES[profile]]
    return Shape(
        tuple(captured), tuple([column_of(item, "Wh", 0) for item in captured[2:]]), 900, TimeRules(), "keep"
    )


def columns_of(octets: bytes, shape: Shape) -> ProfileColumns:
    """Return the columns, all of them made."""
    made = ProfileColumns([decode_table(octets)], shape)
    assert made.instants is not None
    assert made.status is not None
    assert made.values is not None
    return made


def served(rows: int, name: str) -> Callable[[], bytes]:
    """Return what encodes so many rows of a recorder's log, as a GET of the whole buffer has it done."""
    meter = Meter(load(None, [("history", rows)]))
    meter.start(int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000), 0.0)
    device = logical_device(meter.ion, b"SCH", Presentation())
    found = device.find(ProfileGeneric.class_id, ObisCode.parse(name))
    assert isinstance(found, ProfileGeneric)
    return lambda: b"".join(found.read(2, None, None))  # type: ignore[arg-type]  # no selector, no view


def looked_at(rows: Iterable[object]) -> None:
    """Have each row made, and thrown away again, as a program that stores them does."""
    deque(rows, maxlen=0)


def checked(octets: bytes, shape: Shape, told: Mapping[str, object], peer: str) -> None:
    """See that a peer and we have read the same: as rows, typed and plain, and by column."""
    rows, columns = typed_profile(octets, shape).rows, columns_of(octets, shape)
    own = {
        "rows": len(rows),
        "checksum": sum(value for row in decode_rows(octets) for value in row[1:] if isinstance(value, int)),
        "instants": sum(columns.instants) // 1000,
        "round_trip": True,
    }
    assert sum(int(row.instant.timestamp()) for row in rows if row.instant is not None) == own["instants"]
    if own != told:
        raise SystemExit(f"{peer} reads {told}, we read {own}")


def compare_shape(bench: Bench, item: Buffer, peers: list[PeerProgram]) -> None:
    """Compare everything that is done with one buffer of alike rows."""
    octets, count, amount = item.octets, item.rows, item.rows
    load_profile = item.profile == "load profile"
    large = count >= MONTH
    shape = shape_of(item.profile)
    plan = RowPlan(TAGS[item.profile])
    plain, table = decode_rows(octets), decode_table(octets)
    cells = [table.column(at) for at in range(table.width)]
    for peer in peers:
        checked(octets, shape, peer.check(item.file), peer.name)
    assert octets.endswith(plan.encode(plain))
    assert octets.endswith(plan.encode_columns(cells))

    def others(work: str) -> dict[str, Work]:
        return {peer.name: peer.work(work, item.file) for peer in peers}

    def floor(work: Callable[[], object]) -> Work | None:
        return timed(work) if load_profile else None

    bench.compare(
        f"columns, {item.name}",
        amount=amount, unit="rows", peers=others("typed"), ours=timed(lambda: columns_of(octets, shape)),
        floor=floor(lambda: floors.columns(octets)), floor_name="array and struct",
        least=35 if large else None, most=1.5 if large and load_profile else None,
    )  # fmt: skip
    if NUMPY:
        bench.compare(
            f"columns by NumPy, {item.name}",
            amount=amount, unit="rows", peers=others("typed"),
            ours=timed(lambda: ProfileColumns([decode_table(octets)], shape).numpy()),
            floor=floor(lambda: floors.numpy_columns(octets)), floor_name="NumPy",
            least=500 if large else None, most=1.5 if large and load_profile else None,
        )  # fmt: skip
    bench.compare(
        f"typed rows, {item.name}",
        amount=amount, unit="rows", peers=others("typed"),
        ours=timed(lambda: looked_at(typed_profile(octets, shape))),
        floor=floor(lambda: looked_at(floors.typed(octets))), floor_name="struct, datetime and Decimal",
        least=15 if large else None, most=1.5 if large and load_profile else None,
    )  # fmt: skip
    bench.compare(
        f"typed rows, all kept, {item.name}",
        amount=amount, unit="rows", peers=others("typed"),
        ours=timed(lambda: list(typed_profile(octets, shape))),
        floor=floor(lambda: list(floors.typed(octets))), floor_name="struct, datetime and Decimal",
    )  # fmt: skip
    bench.compare(
        f"plain rows, {item.name}",
        amount=amount, unit="rows", peers=others("plain"), ours=timed(lambda: decode_rows(octets)),
        floor=floor(lambda: floors.rows(octets)), floor_name="struct",
        most=1.5 if large and load_profile else None,
    )  # fmt: skip
    bench.compare(
        f"encode rows, {item.name}",
        amount=amount, unit="rows", peers=others("encode"), ours=timed(lambda: plan.encode(plain)),
        floor=floor(lambda: floors.encode_rows(plain)), floor_name="struct",
        least=30 if count == YEAR else None, most=1.5 if large and load_profile else None,
    )  # fmt: skip
    times = b"".join(cells[0])  # type: ignore[arg-type]  # Octets
    bench.compare(
        f"encode columns, {item.name}",
        amount=amount, unit="rows", peers=others("encode"), ours=timed(lambda: plan.encode_columns(cells)),
        floor=floor(lambda: floors.encode_columns(times, cells[1:])),  # type: ignore[arg-type]  # arrays
        floor_name="array", least=30 if large else None, most=1.5 if large and load_profile else None,
    )  # fmt: skip
    name = f"encode a recorder's log, {item.name}"
    if bench.wants(name) and count == YEAR:
        obis = "1-0:99.1.0*255" if load_profile else "1-0:98.1.0*255"
        bench.compare(
            name, amount=amount, unit="rows", peers=others("encode"), ours=timed(served(count, obis)),
            least=30,
        )  # fmt: skip


def main() -> None:
    bench = Bench("codec", __doc__)
    peers = [PeerProgram(program) for program in PEERS] if bench.peers else []
    with tempfile.TemporaryDirectory() as folder:
        for profile in CODES:
            for rows in (DAY, MONTH, YEAR):
                octets = buffer.encoded_buffer(rows, billing=profile == "billing data")
                file = Path(folder, f"{profile} {rows}")
                file.write_bytes(octets)
                compare_shape(bench, Buffer(profile, rows, octets, file), peers)
        for name, octets in (
            ("rows with null-data", buffer.null_buffer(MONTH)),
            ("rows with texts and structures", buffer.mixed_buffer(MONTH)),
        ):
            file = Path(folder, name)
            file.write_bytes(octets)
            bench.compare(
                name, amount=MONTH, unit="rows", ours=timed(partial(decode_rows, octets)),
                peers={peer.name: peer.work("plain", file) for peer in peers}, least=4,
            )  # fmt: skip
    for peer in peers:
        peer.close()
    bench.finish()


if __name__ == "__main__":
    main()
