"""Each fault at each octet of a short session: the right values, or a clear error in time; never wrong rows.

The meter's clock stands still, so that there is one right value. `make fuzz` runs every offset where it takes
long; otherwise a sample.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, partial
from typing import Final

import pytest
from hypothesis import settings
from tests.client.joined import make_meter, watched

from iondlms.client import ProfileRow, TransferBroken
from iondlms.client.blocking import Client
from iondlms.errors import DlmsError, PortError
from iondlms.ports.line import Pace
from iondlms.ports.memory import Fault, FaultKind, Faults, NullModem

URL: Final = "hdlc://meter?timeout=2s&retries=2"
ENOUGH_S: Final = 300.0
ROWS: Final = 4  # one more than fit a frame
EVERY_OFFSET: Final = settings.default is not None and settings.default.max_examples >= 1000
START: Final = datetime(2026, 11, 22, 12, 30, 1, tzinfo=UTC)
METER = make_meter(ROWS, start=START)
METER.run_at(0.0, 0.0)
FAST: Final = Pace(115200, turnaround_s=0.002, half_duplex=True)


class Bus:
    """Lines on one clock; the faults are those of the first."""

    def __init__(self, faults: Faults, pace: Pace | None) -> None:
        self._faults = faults
        self._pace = pace
        self.lines: list[NullModem] = []

    @property
    def now(self) -> float:
        return self.lines[-1].now() if self.lines else 0.0

    def connect(self) -> NullModem:
        if len(self.lines) >= 8:
            raise PortError("more connections than any client needs")
        faults = Faults(echo=self._faults.echo) if self.lines else self._faults
        line = NullModem(METER.endpoint(now=self.now), faults, self.now, self._pace)
        self.lines.append(line)
        return line


def session(client: Client) -> tuple[datetime | None, list[ProfileRow]]:
    instant = client.clock().instant
    rows = list(client.profile("load"))
    client.close()
    return instant, rows


@cache
def undisturbed() -> tuple[list[ProfileRow], int, int]:
    """Return the rows, and how many octets travel up and down."""
    hooks, octets, _ = watched()
    bus = Bus(Faults(), None)
    _, rows = session(Client(URL, hooks=hooks, connector=bus.connect))
    up, down = (sum(len(data) for way, data in octets if way == each) for each in ("TX", "RX"))
    return rows, up, down


def disturbed(faults: Faults, pace: Pace | None) -> tuple[str, Bus]:
    bus = Bus(faults, pace)
    return disturbed_on(Client(URL, connector=bus.connect), bus)


def disturbed_on(client: Client, bus: Bus) -> tuple[str, Bus]:
    rows, _, _ = undisturbed()
    error: DlmsError | None = None
    try:
        instant, found = session(client)
        assert instant == START
        assert found == rows
    except DlmsError as caught:
        error = caught
    finally:
        client.close()
    assert bus.now < ENOUGH_S
    return "right" if error is None else told(error), bus


def told(error: DlmsError) -> str:
    """Return the kind of an error that says what happened, with right rows if any."""
    assert str(error)
    assert "\n" not in str(error)
    if isinstance(error, TransferBroken) and error.profile is not None:
        assert error.profile.rows == undisturbed()[0][: len(error.profile)]
    return type(error).__name__


KINDS: Final = {
    "drop": Fault(FaultKind.DROP),
    "damage": Fault(FaultKind.DAMAGE, b"\xff"),
    "damage one bit": Fault(FaultKind.DAMAGE, b"\x01"),
    "double": Fault(FaultKind.DOUBLE),
    "insert": Fault(FaultKind.INSERT, b"\x7e\xa0"),
    "insert a frame": Fault(FaultKind.INSERT, bytes.fromhex("7EA00A00020065219318717E")),
    "pause": Fault(FaultKind.PAUSE, seconds=2.5),
    "cut": Fault(FaultKind.CUT, seconds=2.5),
}


def offsets(way: str, step: int) -> range:
    _, up, down = undisturbed()
    return range(0, up if way == "up" else down, 1 if EVERY_OFFSET else step)


def at(way: str, offset: int, fault: Fault, echo: bool = False) -> Faults:
    return Faults({offset: fault}, echo=echo) if way == "up" else Faults({}, {offset: fault}, echo)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_fault(kind: str, way: str) -> None:
    outcomes: dict[str, list[int]] = {}
    for offset in offsets(way, 3):
        outcome, _ = disturbed(at(way, offset, KINDS[kind]), None)
        outcomes.setdefault(outcome, []).append(offset)
    # One fault is repaired; only a silence at the very start may last for all tries.
    assert max(outcomes.pop("NoAnswer", []), default=0) < 12
    assert set(outcomes) == {"right"}, outcomes


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("kind", ["drop", "damage", "double"])
def test_one_fault_on_a_line_with_echo(kind: str, way: str) -> None:
    for offset in offsets(way, 7):
        outcome, _ = disturbed(at(way, offset, KINDS[kind], echo=True), None)
        assert outcome == "right", offset


@pytest.mark.parametrize("seconds", [1.99, 2.0, 2.001, 2.005])
def test_collisions_on_two_wires(seconds: float) -> None:
    """The answer is late, and the question is asked again while it is on the line: both are destroyed."""
    collided = 0
    outcomes = set()
    for offset in offsets("down", 17):
        outcome, bus = disturbed(at("down", offset, Fault(FaultKind.PAUSE, seconds=seconds)), FAST)
        collided += sum(line.collisions for line in bus.lines)
        outcomes.add(outcome)
    assert outcomes == {"right"}
    assert collided > 0 or seconds < 2


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_line_that_stays_dead(way: str) -> None:
    outcomes = set()
    for offset in offsets(way, 7):
        bus = Bus(at(way, offset, Fault(FaultKind.CUT)), None)
        line = bus.connect()
        outcome, _ = disturbed_on(Client(URL, connector=partial(_same, line)), bus)
        outcomes.add(outcome)
    assert outcomes == {"NoAnswer", "TransferBroken", "right"}  # right: it died while closing


def _same(line: NullModem) -> NullModem:
    return line
