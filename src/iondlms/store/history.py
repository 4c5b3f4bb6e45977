"""Rows of a file, put into a recorder of a meter that does not run: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iondlms.errors import LocalError
from iondlms.ion import Event, Priority, Row, RowFormat
from iondlms.ion.clock import CALENDAR_MS

from .database import Store
from .schema import StoreError

__all__ = ["Imported", "import_rows"]


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows came in, how many of before they replaced, and how many the depth has no room for."""

    added: int
    replaced: int
    forgotten: int


def import_rows(
    store: Store, recorder: str, rows: Sequence[Row], *, now_ms: int, replace: bool = False
) -> Imported:
    """Put rows, oldest first, where their times belong among those there; as a recorder's ring does, the
    oldest go that its depth has no room for.

    Rows within the span of the new ones go with `replace`, and without it LocalError, as for a row that no
    meter could have by `now_ms`, the host's UTC.
    """
    kept = store.archive.rows(recorder)
    state = store.archive.state()
    known = None if state is None else state.recorders.get(recorder)
    if state is None or known is None:
        raise StoreError(f"no meter with a recorder {recorder!r} has started on {store.folder}")
    if not rows:
        raise LocalError("the file has no rows")
    first_ms, last_ms = rows[0].utc_ms, rows[-1].utc_ms
    if first_ms not in CALENDAR_MS or last_ms not in CALENDAR_MS:
        raise LocalError("a time in the file is none that a meter's clock can have: the years are 2 to 9998")
    present_ms = max(state.alive_ms, now_ms + state.offset_ms)
    if last_ms > present_ms:
        raise LocalError("the newest row is later than the meter's clock: no meter has recorded it yet")
    there = list(kept)
    within = sum(first_ms <= row.utc_ms <= last_ms for row in there)
    if within and not replace:
        raise LocalError(
            f"{within} rows of {recorder!r} are within the span of the file;"
            " --replace puts the file's in their place"
        )
    # After the last row that is older than the file. Where the clock was once set back there are later ones
    # before it, and they stay where they were recorded.
    cut = max((index for index, row in enumerate(there) if row.utc_ms < first_ms), default=-1) + 1
    outside = [
        [row for row in part if not first_ms <= row.utc_ms <= last_ms] for part in (there[:cut], there[cut:])
    ]
    merged = [*outside[0], *rows, *outside[1]]
    forgotten = max(0, len(merged) - known.depth)
    pack = RowFormat(len(kept.sources)).pack
    effect = f"{len(rows)} rows imported, {within} replaced"
    event = Event(state.next_event, present_ms, Priority.SETUP_CHANGE, recorder, effect)
    store.replace_rows(recorder, b"".join(map(pack, merged[forgotten:])), event)
    return Imported(len(rows), within, forgotten)
