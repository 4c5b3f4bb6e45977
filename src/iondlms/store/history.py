"""Rows of a file, put into a recorder of a meter that does not run: all of them, or none.

They are taken for the meter's own past. So the energy registers go on from the newest of them, as they would
have if the meter had recorded it: else the first row that it records would go back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Final

from iondlms.errors import LocalError
from iondlms.ion import Event, Flow, PowerMeterSetup, Priority, Row, RowFormat, rounded
from iondlms.ion.clock import CALENDAR_MS
from iondlms.ion.power_meter import PowerMeterState

from .database import Store
from .schema import StoreError

__all__ = ["Imported", "import_rows"]

_MS_PER_HOUR: Final = 3_600_000
# In the order of a Flow. Those that are made of these follow them; what is told by quadrant stays.
_REGISTERS: Final = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows came in, how many of before they replaced, and how many the depth has no room for.

    `raised` are the registers that go on from the newest row, with its values times 1000.
    """

    added: int
    replaced: int
    forgotten: int
    raised: Mapping[str, int] = field(default_factory=dict)


def import_rows(
    store: Store,
    recorder: str,
    rows: Sequence[Row],
    *,
    now_ms: int,
    replace: bool = False,
    rollover: int = PowerMeterSetup().rollover,
) -> Imported:
    """Put rows, oldest first, where their times belong among those there; as a recorder's ring does, the
    oldest go that its depth has no room for.

    Rows within the span of the new ones go with `replace`, and without it LocalError, as for a row that no
    meter could have by `now_ms`, the host's UTC. A register that is lower than in the newest row of the file
    is raised to it, unless the recorder has a newer row; `rollover` is where registers turn to 0, in k-units.
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
    newest = all(row.utc_ms < first_ms for part in outside for row in part)
    raised = _raised(kept.sources, rows, state.power_meter, rollover * 1000) if newest else {}
    effect = f"{len(rows)} rows imported, {within} replaced" + (
        "; registers go on from them" if raised else ""
    )
    event = Event(state.next_event, present_ms, Priority.SETUP_CHANGE, recorder, effect)
    octets = b"".join(map(pack, merged[forgotten:]))
    store.replace_rows(recorder, octets, event, _going_on(state.power_meter, raised, rollover * 1000))
    return Imported(len(rows), within, forgotten, raised)


def _shown(meter: PowerMeterState, number: int, turn: int) -> int:
    """Return a register as it is recorded, in Wh, varh or VAh, which turns to 0 at `turn`."""
    return rounded(meter.totals[number], _MS_PER_HOUR) % turn


def _raised(sources: Sequence[str], rows: Sequence[Row], meter: PowerMeterState, turn: int) -> dict[str, int]:
    """Return the registers that are lower than in the newest row that tells them, with its values."""
    found = {}
    for number, name in enumerate(_REGISTERS):
        if name not in sources or meter.followed[number]:
            continue  # it is not told, or is another meter's and read there
        column = sources.index(name)
        # An outage record is all zeros, and tells nothing.
        value = next((each for row in reversed(rows) if (each := row.values[column])), None)
        if value is not None and value % turn > _shown(meter, number, turn):
            found[name] = value
    return found


def _going_on(meter: PowerMeterState, raised: Mapping[str, int], turn: int) -> PowerMeterState:
    """Return the registers raised; what the interval began with goes along, so that the jump is no energy."""
    jumps = [
        raised[name] % turn - _shown(meter, number, turn) if name in raised else 0
        for number, name in enumerate(_REGISTERS)
    ]
    a, b, c, d, e = (each + jump for each, jump in zip(meter.interval_begin, jumps, strict=True))
    totals = Flow(*(each + jump * _MS_PER_HOUR for each, jump in zip(meter.totals, jumps, strict=True)))
    return changed(meter, totals=totals, interval_begin=(a, b, c, d, e))
