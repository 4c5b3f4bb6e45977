"""Rows of a file, put into a recorder of a meter that does not run: all of them, or none.

They are taken for the meter's own past. So the energy registers go on from the newest of them, as they would
have if the meter had recorded it: else the first row that it records would go back. Until the meter runs
again the folder knows which rows raised them, so that they go back where other rows take the place of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from iondlms.errors import LocalError
from iondlms.ion import (
    STATUS_INVALID,
    BeforeImports,
    Event,
    Flow,
    PowerMeterSetup,
    Priority,
    RaisingRow,
    Row,
    RowFormat,
    Status,
    rounded,
)
from iondlms.ion.clock import CALENDAR_MS
from iondlms.ion.power_meter import PowerMeterState

from .database import Store
from .schema import StoreError

__all__ = ["Imported", "import_rows"]

_MS_PER_HOUR: Final = 3_600_000
# In the order of a Flow. Those that are made of these follow them; what is told by quadrant stays.
_REGISTERS: Final = ("kWh del", "kWh rec", "kVARh del", "kVARh rec", "kVAh del+rec")
# Which of them each is the difference of.
_NET: Final = {"kWh del-rec": (0, 1), "kVARh del-rec": (2, 3)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows came in, how many of before they replaced, and how many the depth has no room for.

    `raised` are the registers that go on from the newest row, with its values times 1000; `lowered` those
    that show less than before, since the rows that had raised them gave way, with what they show now.
    """

    added: int
    replaced: int
    forgotten: int
    raised: Mapping[str, int] = field(default_factory=dict)
    lowered: Mapping[str, int] = field(default_factory=dict)


def import_rows(
    store: Store,
    recorder: str,
    rows: Sequence[Row],
    *,
    now_ms: int,
    replace: bool = False,
    rollover: int | None = None,
) -> Imported:
    """Put rows, oldest first, where their times belong among those there; as a recorder's ring does, the
    oldest go that its depth has no room for.

    Rows within the span of the new ones go with `replace`, and without it LocalError, as for a row that no
    meter could have by `now_ms`, the host's UTC. A register that is lower than in the newest row of the file
    is raised to it, unless the recorder has a newer row; LocalError for a value that it cannot show. What
    rows raised that give way now is taken back, if the meter has not run since. `rollover` is where registers
    turn to 0, in k-units; None for what the folder says, or the default if it was written before it did.
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
    turn = (rollover or state.power_meter.rollover or PowerMeterSetup().rollover) * 1000
    # The registers that are another meter's are read there.
    own = [name for name, other in zip(_REGISTERS, state.power_meter.followed, strict=True) if not other]
    telling = _telling(recorder, kept.sources, rows, own) if newest else []
    for each in telling:
        _check(each, turn)
    imports = state.imports
    if imports is None:
        imports = BeforeImports(state.power_meter.totals, state.power_meter.interval_begin, ())
    stay = [
        each for each in imports.rows if each.recorder != recorder or not first_ms <= each.utc_ms <= last_ms
    ]
    before = changed(state.power_meter, totals=imports.totals, interval_begin=imports.interval_begin)
    without = _going_on(before, stay, turn)
    after = _going_on(without, telling, turn)
    raised = {
        name: each.values[name]
        for number, name in enumerate(_REGISTERS)
        for each in telling
        if each.values.get(name, 0) > _shown(without, number, turn)
    }
    lowered = {
        name: _shown(after, number, turn)
        for number, name in enumerate(_REGISTERS)
        if after.totals[number] < state.power_meter.totals[number]
    }
    effect = f"{len(rows)} rows imported, {within} replaced"
    if raised:
        effect += "; registers go on from them"
    elif lowered:
        effect += "; registers go on as before those"
    event = Event(state.next_event, present_ms, Priority.SETUP_CHANGE, recorder, effect)
    octets = b"".join(map(pack, merged[forgotten:]))
    told = (*stay, *telling)
    store.replace_rows(recorder, octets, event, after, changed(imports, rows=told) if told else None)
    return Imported(len(rows), within, forgotten, raised, lowered)


def _telling(
    recorder: str, sources: Sequence[str], rows: Sequence[Row], registers: Iterable[str]
) -> list[RaisingRow]:
    """Return the newest row with a value, for each of these registers that has any; newest first."""
    wanted = {name for name in registers if name in sources}
    found = []
    for row in reversed(rows):
        if not wanted:
            break
        reset = row.status != STATUS_INVALID and row.status & Status.MASTER_RESET
        if not any(row.values) and not reset:
            continue  # a record of an outage is all zeros, and tells nothing
        values = {name: each for name, each in zip(sources, row.values, strict=True) if each is not None}
        here = wanted & values.keys()
        if here:
            wanted -= here
            found.append(
                RaisingRow(recorder, row.utc_ms, {n: v for n, v in values.items() if n in here or n in _NET})
            )
    return found


def _check(row: RaisingRow, turn: int) -> None:
    """LocalError for a value that no register shows. A net register may be negative, and is not looked at."""
    for name in _REGISTERS:
        value = row.values.get(name, 0)
        if not 0 <= value < turn:
            when = (_EPOCH + timedelta(milliseconds=row.utc_ms)).isoformat(timespec="milliseconds")[:-6]
            remedy = "correct the row"
            if value > 0:
                remedy += " or name the configuration, with power_meter.rollover as it was recorded with"
            raise LocalError(
                f"row {when}Z: {name} is {Decimal(value).scaleb(-3):f}, but a register turns from"
                f" {turn // 1000} to 0 and is never negative; {remedy}"
            )


def _shown(meter: PowerMeterState, number: int, turn: int) -> int:
    """Return a register as it is recorded, in Wh, varh or VAh, which turns to 0 at `turn`."""
    return rounded(meter.totals[number], _MS_PER_HOUR) % turn


def _going_on(meter: PowerMeterState, rows: Iterable[RaisingRow], turn: int) -> PowerMeterState:
    """Return the registers raised to where they are lower than in these rows.

    What the interval began with goes along, so that the jump is no energy.
    """
    for row in rows:
        jumps = [
            max(0, row.values.get(name, 0) - _shown(meter, number, turn))
            for number, name in enumerate(_REGISTERS)
        ]
        for name, (delivered, received) in _NET.items():
            if not jumps[delivered] and not jumps[received]:
                continue
            more = _turns_missing(meter, row, name, turn)
            jumps[delivered if more > 0 else received] += abs(more) * turn
        a, b, c, d, e = (each + jump for each, jump in zip(meter.interval_begin, jumps, strict=True))
        totals = Flow(*(each + jump * _MS_PER_HOUR for each, jump in zip(meter.totals, jumps, strict=True)))
        meter = changed(meter, totals=totals, interval_begin=(a, b, c, d, e))
    return meter


def _turns_missing(meter: PowerMeterState, row: RaisingRow, name: str, turn: int) -> int:
    """Return how many turns of "del" are missing for a net register to be that of the row; negative of "rec".

    It turns over at both ends, so it tells which of both was ahead of the other by a turn.
    """
    numbers = _NET[name]
    values = [row.values.get(each) for each in (name, *(_REGISTERS[number] for number in numbers))]
    if None in values:
        return 0
    net, delivered, received = (each or 0 for each in values)
    ahead = rounded(net - (delivered - received), turn)
    if not -1 <= ahead <= 1:
        return 0  # it is not of these two registers
    first, second = (rounded(meter.totals[number], _MS_PER_HOUR) // turn for number in numbers)
    return ahead - (first - second)
