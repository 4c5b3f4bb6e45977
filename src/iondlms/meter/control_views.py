"""Running meters as plain values, for `iondlms ctl` and the front panel: what they show, never what they do.

All of it is made in the event loop, between two octets of a client. So what can be long is made in pieces,
with the loop free in between, and rows go out packed, as they lie in their log: whoever asks has the time to
unpack them.
"""

from __future__ import annotations

import asyncio
import shutil
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from iondlms.errors import LocalError
from iondlms.ion.log import Row
from iondlms.ion.present import present
from iondlms.ion.quadrants import QUADRANTS
from iondlms.ion.quantities import QUANTITIES, Kind
from iondlms.ion.recorder import DataRecorder
from iondlms.ion.source import RegisterSource
from iondlms.meter.host import MeterHost
from iondlms.meter.lines import MeterPort
from iondlms.meter.tap import Tap
from iondlms.ports.serial_port import SerialPort
from iondlms.ports.tcp import TcpPort

__all__ = [
    "MOST_EVENTS",
    "MOST_METERS",
    "MOST_ROWS",
    "disk",
    "events",
    "instant",
    "line_of",
    "meter",
    "meters",
    "panel",
    "port",
    "rows",
    "values",
    "which",
]

_T = TypeVar("_T")

MOST_METERS: Final = 200  # of one answer, a quarter of a millisecond
MOST_ROWS: Final = 1000
MOST_EVENTS: Final = 100
_MOST_OCTETS: Final = 1 << 16  # of packed rows: recorders may have 50 sources
_AT_ONCE: Final = 8  # recorders, or ports, that are looked at in one piece
_SHARED: Final = "line:"  # begins the device of a port that stands on a shared line
# Most meters record no maximum and minimum, and few know quadrants: what has no value is left out.
_SELDOM: Final = frozenset(
    name
    for name, item in QUANTITIES.items()
    if item.kind in (Kind.MAXIMUM, Kind.MINIMUM) or name.startswith(QUADRANTS)
)


def line_of(host: MeterHost) -> str:
    """Return the name of the shared line that a meter stands on, empty for one with ports of its own."""
    device = getattr(host.meter.config.port[0], "device", "")
    return device.removeprefix(_SHARED) if device.startswith(_SHARED) else ""


def which(host: MeterHost) -> dict[str, Any]:
    """Return what tells a meter from the others of its process."""
    return {"unit": host.meter.config.port[0].unit_id, "line": line_of(host)}


def instant(utc_ms: int) -> str:
    """Return an instant in ISO 8601, with milliseconds."""
    return datetime.fromtimestamp(utc_ms / 1000, UTC).isoformat(timespec="milliseconds")


def meter(host: MeterHost, now: float, *, briefly: bool) -> dict[str, Any]:
    """Return how a meter is, and in full also its recorders."""
    running = host.meter
    told = {
        **which(host),
        "device": running.logical_device_name,
        "model": running.ion.framework.factory.device_type,
        "utc": instant(running.present_ms(now)),
        "power": running.powered,
        "source": _source(host),
        "safe": not running.unsafe,
        "faults": sum(each["state"] != "done" for each in running.faults.told(now)),
    }
    if not briefly:
        told["recorders"] = [_recorder(name, each) for name, each in running.ion.recorders.items()]
    return told


async def disk(host: MeterHost) -> dict[str, Any]:
    """Return how the data folder is."""
    folder = host.meter.config.meter.data
    if folder is None:
        return {"folder": None, "state": "memory only"}
    try:
        # A disk that does not answer holds this command up, and nobody else.
        free = (await asyncio.to_thread(shutil.disk_usage, folder)).free
    except OSError:
        free = None
    state = host.meter.unsafe or "written"
    return {"folder": str(folder), "state": state, "unwritten": host.unwritten, "free": free}


def port(carrier: MeterPort, host: MeterHost) -> dict[str, Any]:
    """Return how a port of a meter is, or a line with one of its meters, and the counters of its links."""
    told: dict[str, Any] = {
        "port": carrier.name,
        "url": carrier.url,
        "state": "on" if carrier.enabled else "off",
    }
    if isinstance(carrier, TcpPort):
        told |= {"connected": carrier.connected, "refused": carrier.refused}
        if not line_of(host) and not host.meter.faults.reachable:
            told["state"] = "off" if host.meter.powered else "no power"
    elif isinstance(carrier, SerialPort):
        told |= {"connected": "", "refused": 0}
        if not carrier.present:
            told["state"] = "gone"
    taps = (tap for tap in host.meter.faults.taps if isinstance(tap, Tap) and tap.name == carrier.name)
    tap = next(taps, None)
    counters = {} if tap is None else tap.counters
    told |= {"opened": 0 if tap is None else tap.opened}
    return told | {
        name: counters.get(name, 0) for name in ("frames", "errors", "noise", "timeouts", "repeats")
    }


def values(host: MeterHost, now: float) -> dict[str, int | None]:
    """Return the quantities of the Power Meter now, times 1000, as a GET would; none without power."""
    running = host.meter
    running.pass_time(now)
    if not running.powered:
        return {}
    ion = running.ion
    # Once for all present values: by `IonMeter.value` the source would be asked for each of them anew.
    readings = ion.power_meter.source.readings(ion.at_ms)
    pf_sign = ion.power_meter.setup.pf_sign
    told: dict[str, int | None] = {}
    for name, item in QUANTITIES.items():
        value = present(name, readings, pf_sign) if item.kind is Kind.PRESENT else ion.value(name)
        if value is not None or name not in _SELDOM:
            told[name] = value
    return told


async def panel(host: MeterHost, carriers: Sequence[tuple[MeterPort, MeterHost]]) -> dict[str, Any]:
    """Return all that a front shows, made in pieces: identity, clock, values, recorders, ports."""
    loop = asyncio.get_running_loop()
    shown: dict[str, Any] = {"values": values(host, loop.time())}
    await asyncio.sleep(0)
    running = host.meter
    factory, clock, present_ms = (
        running.ion.framework.factory,
        running.ion.clock,
        running.present_ms(loop.time()),
    )
    shown |= meter(host, loop.time(), briefly=True)
    shown |= {
        "serial": factory.serial_number,
        "revision": factory.revision,
        "owner": factory.owner,
        "tag_1": factory.tag_1,
        "tag_2": factory.tag_2,
        "utc_ms": present_ms,
        "offset_min": clock.offset_min(present_ms),
        "dst": clock.dst_active(present_ms),
        "valid": clock.valid,
        "trouble": running.unsafe,
        "events": running.ion.event_log.next_sequence,
    }
    shown["recorders"] = []
    for some in _pieces(list(running.ion.recorders.items())):
        await asyncio.sleep(0)
        shown["recorders"] += [
            {
                **{key: told for key, told in _recorder(name, each).items() if key != "last"},
                "period_s": each.period_s,
                "end": each.log.end,
                "last_ms": next(iter(each.log.instants(each.log.end - 1, each.log.end)), None),
                "status": each.latest_status,
            }
            for name, each in some
        ]
    shown["ports"] = []
    for some_ports in _pieces(list(carriers)):
        await asyncio.sleep(0)
        shown["ports"] += [port(carrier, its) for carrier, its in some_ports]
    return shown


def meters(hosts: Sequence[MeterHost], first: int) -> dict[str, Any]:
    """Return who is there, `MOST_METERS` from the `first` on, and how many there are."""
    told = [
        {
            **which(host),
            "device": host.meter.logical_device_name,
            "model": host.meter.ion.framework.factory.device_type,
        }
        for host in hosts[first : first + MOST_METERS]
    ]
    return {"count": len(hosts), "meters": told}


def rows(
    host: MeterHost, name: str, start_ms: int, end_ms: int, after: int = -1, most: int = MOST_ROWS
) -> dict[str, Any]:
    """Return the rows of a recorder with `start_ms <= utc_ms <= end_ms` and a number above `after`.

    They are packed, in base64, one run after the other; `runs` has the numbers (first, end) of each. `more`
    says whether they are not all. LocalError if there is no such recorder.
    """
    recorder = _named(host, name)
    left = min(most, max(1, _MOST_OCTETS // recorder.row_format.stride))
    runs: list[tuple[int, int]] = []
    more = False
    for first, end in recorder.log.find(start_ms, end_ms):
        begin = max(first, after + 1)
        stop = min(end, begin + left)
        more = more or stop < end
        if begin < stop:
            runs.append((begin, stop))
            left -= stop - begin
    instants = [at for run in runs for at in recorder.log.instants(*run)]
    return {
        "recorder": name,
        "sources": list(recorder.setup.sources),
        "period_s": recorder.period_s,
        "offsets": _offsets(host, instants),
        "runs": runs,
        "rows": b64encode(b"".join(recorder.log.packed(*run) for run in runs)).decode("ascii"),
        "more": more,
    }


def events(host: MeterHost, most: int = MOST_EVENTS) -> dict[str, Any]:
    """Return the latest events, oldest first: number, UTC in milliseconds, priority, cause and effect."""
    kept = host.meter.ion.event_log.events[-most:]
    return {
        "events": [list(event) for event in kept],
        "offsets": _offsets(host, [each.utc_ms for each in kept]),
    }


def _named(host: MeterHost, name: str) -> DataRecorder:
    recorders = host.meter.ion.recorders
    if name not in recorders:
        raise LocalError(f"no Data Recorder is called {name!r}; there are {', '.join(recorders)}")
    return recorders[name]


def _recorder(name: str, recorder: DataRecorder) -> dict[str, Any]:
    return {
        "recorder": name,
        "rows": recorder.log.count,
        "depth": recorder.depth,
        "full": recorder.full,
        "last": _row(next(iter(recorder.rows(recorder.log.end - 1, recorder.log.end)), None)),
    }


def _row(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"utc": instant(row.utc_ms), "status": row.status, "values": list(row.values)}


def _offsets(host: MeterHost, instants: Sequence[int]) -> list[tuple[int, int]]:
    """Return from when on local time was how many minutes ahead of UTC, over the span of some instants."""
    if not instants:
        return []
    clock = host.meter.ion.clock
    at_ms: int | None = min(instants)
    last_ms = max(instants)
    found: list[tuple[int, int]] = []
    while at_ms is not None and at_ms <= last_ms:
        found.append((at_ms, clock.offset_min(at_ms)))
        at_ms = clock.next_dst_switch(at_ms)
    return found


def _source(host: MeterHost) -> str:
    """Return the kind of source, and whether anything is known by it now."""
    running = host.meter
    kind = running.config.source.kind
    if running.faults.frozen is not None:
        return f"{kind}, frozen, values {running.faults.frozen}"
    source, at_ms = running.source, running.ion.at_ms
    known = source.registers(at_ms) is not None if isinstance(source, RegisterSource) else False
    return kind if known or source.readings(at_ms) else f"{kind}, silent"


def _pieces(items: list[_T]) -> Iterable[list[_T]]:
    return (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))
