"""Programs by others read `iondlms serve`, over HDLC and over the wrapper, and read the same.

All peers read one meter, one after the other (it takes one connection at a time), before any test looks at
the answers; the clock is set on a second meter. `IONDLMS_WRITE_DOCS=1` writes docs/interop.md from the run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from tests.interop.interop_page import PAGE, REMEDY, Outcome, page_of, without_versions
from tests.interop.running import PEERS, Answer, Peer, Target, meter, peer_version, run_peer

pytestmark = pytest.mark.interop

LOAD: Final = "1-0:99.1.0*255"
BILLING: Final = "1-0:98.1.0*255"
PASSWORD: Final = "interop"
HISTORY: Final = 500  # rows; over HDLC some 200 frames of load profile and 450 of billing data
PERIOD_S: Final = 900
CLOCK_AND_STATUS: Final = [[8, "0-0:1.0.0*255", 2, 0], [1, "0-0:97.97.0*255", 2, 0]]
LOAD_REGISTERS: Final = ["1-1:1.29.0*255", "1-1:3.29.0*255", "1-1:2.29.0*255", "1-1:4.29.0*255"]
BILLING_REGISTERS: Final = [
    "1-1:1.8.0*255", "1-1:2.8.0*255", "1-1:16.8.0*255", "1-1:3.8.0*255", "1-1:4.8.0*255", "1-1:128.8.0*255",
    "1-1:9.8.0*255", "1-1:16.4.0*255", "1-1:128.4.0*255", "1-1:9.4.0*255", "1-1:13.0.0*255",
]  # fmt: skip
COLUMNS: Final = {
    LOAD: CLOCK_AND_STATUS + [[3, name, 2, 0] for name in LOAD_REGISTERS],
    BILLING: CLOCK_AND_STATUS + [[3, name, 2, 0] for name in BILLING_REGISTERS],
}
OBJECTS: Final = sorted(
    [
        [15, 1, "0-0:40.0.0*255"],
        [17, 0, "0-0:41.0.0*255"],
        [1, 0, "0-0:42.0.0*255"],
        [8, 0, "0-0:1.0.0*255"],
        [1, 0, "0-0:97.97.0*255"],
        [7, 1, LOAD],
        [7, 1, BILLING],
        *([3, 0, name] for name in LOAD_REGISTERS + BILLING_REGISTERS),
    ],
    key=str,
)
FIRST, LAST = 11, 20  # the entries, and the rows whose times bound the range
NAMES: Final = {LOAD: "load profile", BILLING: "billing data"}
# What each way sets: days apart, in other zones, and no quarter of an hour ends within seconds of it.
SETTINGS: Final = [
    datetime(2031, 5, 6 + at, 7, 8, 9, tzinfo=timezone(timedelta(hours=(0, 2, -5)[at % 3])))
    for at in range(6)
]

Row: TypeAlias = list[str | int | None]
Way: TypeAlias = tuple[Peer, str]  # a peer and the framing
WAYS: Final[list[Way]] = [(peer, framing) for peer in PEERS for framing in ("hdlc", "wrapper")]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0].name}-{way[1]}")
each_profile = pytest.mark.parametrize("profile", NAMES, ids=NAMES.values())


@dataclass
class Readings:
    """All that was read: for each way, the answer to each task by its name in the table."""

    answers: dict[Way, dict[str, Answer]] = field(default_factory=dict)
    clock_read: dict[Way, tuple[datetime, datetime]] = field(default_factory=dict)  # between these

    def result_rows(self, way: Way, task: str) -> list[Row]:
        answer = self.answers[way][task]
        assert answer.error is None, f"{task}: {answer.error}"
        rows: list[Row] = answer.result["rows"]
        return rows


def instant(octets: str | int | None) -> datetime:
    """Return the instant of a 12-octet date-time in hex, worked out without our codec."""
    raw = bytes.fromhex(str(octets))
    deviation = int.from_bytes(raw[9:11], "big", signed=True)
    assert deviation != -0x8000, "this meter sends its deviation"
    year, (month, day, _, hour, minute, second, hundredths) = int.from_bytes(raw[:2], "big"), raw[2:9]
    local = datetime(year, month, day, hour, minute, second, hundredths * 10_000, tzinfo=UTC)
    return local + timedelta(minutes=deviation)


@pytest.fixture(scope="module")
def readings(peers_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Readings:
    """Everything every peer read of one meter, and what it said after setting the clock of another."""
    found = Readings()
    tasks = {
        "object list": ["objects"],
        "clock": ["clock"],
        **{f"capture objects, {NAMES[profile]}": ["capture-objects", profile] for profile in NAMES},
        **{f"{NAMES[profile]}, whole": ["profile", profile] for profile in NAMES},
        **{
            f"{NAMES[profile]}, by entry": ["profile-entries", profile, str(FIRST), str(LAST)]
            for profile in NAMES
        },
    }
    with meter(tmp_path_factory.mktemp("read"), "--history", str(HISTORY), "--seed", "1") as port:
        for way in WAYS:
            peer, framing = way
            before = datetime.now(UTC)
            answers = run_peer(peers_python, peer, Target(port, framing), *tasks.values())
            found.clock_read[way] = (before, datetime.now(UTC))
            found.answers[way] = named(answers, list(tasks))
            bounds = {p: range_bounds(found, way, p) for p in NAMES}
            ranges = [["profile-range", p, *bounds[p]] for p in NAMES]
            by_range = run_peer(peers_python, peer, Target(port, framing), *ranges)
            found.answers[way] |= named(by_range, [f"{name}, by range" for name in NAMES.values()])
    # Its own meter: a clock that was set spoils the times that the other tests look at.
    with meter(tmp_path_factory.mktemp("set"), "--seed", "2", password=PASSWORD) as port:
        for way, when in zip(WAYS, SETTINGS, strict=True):
            peer, framing = way
            target = Target(port, framing, client=1, password=PASSWORD)
            setting = run_peer(peers_python, peer, target, ["set-clock", when.isoformat()])
            found.answers[way] |= named(setting, ["clock, set and read back"])
    return found


def named(answers: list[Answer], names: list[str]) -> dict[str, Answer]:
    """Return the answers by name; one more than the tasks is a release that failed."""
    return dict(zip([*names, "release"], answers, strict=False))


def range_bounds(found: Readings, way: Way, profile: str) -> tuple[str, str]:
    """Return the times of rows FIRST and LAST, as ISO; some past day where the whole could not be read."""
    answer = found.answers[way].get(f"{NAMES[profile]}, whole")
    if answer is None or answer.error is not None or len(answer.result["rows"]) < LAST:
        return "2020-01-01T00:00:00+00:00", "2020-01-02T00:00:00+00:00"
    rows = answer.result["rows"]
    return instant(rows[FIRST - 1][0]).isoformat(), instant(rows[LAST - 1][0]).isoformat()


@each_way
def test_object_list(readings: Readings, way: Way) -> None:
    answer = readings.answers[way]["object list"]
    assert answer.error is None
    assert sorted(answer.result, key=str) == OBJECTS
    assert answer.result == readings.answers[WAYS[0]]["object list"].result, "in another order than others"


@each_way
def test_every_association_is_released(readings: Readings, way: Way) -> None:
    assert "release" not in readings.answers[way]


@each_way
def test_clock(readings: Readings, way: Way) -> None:
    answer = readings.answers[way]["clock"]
    assert answer.error is None
    before, after = readings.clock_read[way]
    shown = instant(answer.result["octets"])
    assert before - timedelta(seconds=2) <= shown <= after + timedelta(seconds=2)
    # The peer's own reading of the 12 octets: the sign of the deviation is where programs differ.
    assert abs(datetime.fromisoformat(answer.result["iso"]) - shown) < timedelta(seconds=1)


@each_way
@each_profile
def test_capture_objects(readings: Readings, way: Way, profile: str) -> None:
    answer = readings.answers[way][f"capture objects, {NAMES[profile]}"]
    assert answer.error is None
    assert answer.result == COLUMNS[profile]


@each_way
@each_profile
def test_profile_whole(readings: Readings, way: Way, profile: str) -> None:
    rows = readings.result_rows(way, f"{NAMES[profile]}, whole")
    assert len(rows) in (HISTORY, HISTORY + 1), "one more if a quarter of an hour ended meanwhile"
    for row in rows:
        assert len(row) == len(COLUMNS[profile])
        assert all(isinstance(value, int) for value in row[1:]), row
    times = [instant(row[0]) for row in rows[:HISTORY]]
    assert {b - a for a, b in pairwise(times)} == {timedelta(seconds=PERIOD_S)}
    assert len({tuple(row[2:]) for row in rows}) > HISTORY // 2, "the load hardly moves"
    # All read the same; the first peer may have come a row earlier.
    reference = readings.result_rows(WAYS[0], f"{NAMES[profile]}, whole")
    common = min(len(rows), len(reference))
    assert rows[:common] == reference[:common]


@each_way
@each_profile
def test_profile_whole_as_the_peer_understands_its_times(readings: Readings, way: Way, profile: str) -> None:
    rows = readings.result_rows(way, f"{NAMES[profile]}, whole")
    result = readings.answers[way][f"{NAMES[profile]}, whole"].result
    assert datetime.fromisoformat(result["first"]) == instant(rows[0][0])
    assert datetime.fromisoformat(result["last"]) == instant(rows[-1][0])


@each_way
@each_profile
@pytest.mark.parametrize("selection", ["by range", "by entry"])
def test_profile_in_part(readings: Readings, way: Way, profile: str, selection: str) -> None:
    answer = readings.answers[way][f"{NAMES[profile]}, {selection}"]
    assert not answer.unsupported, answer.error
    whole = readings.result_rows(way, f"{NAMES[profile]}, whole")
    part = readings.result_rows(way, f"{NAMES[profile]}, {selection}")
    assert part == whole[FIRST - 1 : LAST]


@each_way
def test_clock_set(readings: Readings, way: Way) -> None:
    answer = readings.answers[way]["clock, set and read back"]
    assert answer.error is None
    when = SETTINGS[WAYS.index(way)]
    read_back = answer.result["read_back"]
    assert timedelta(0) <= instant(read_back["octets"]) - when < timedelta(seconds=5)
    assert abs(datetime.fromisoformat(read_back["iso"]) - instant(read_back["octets"])) < timedelta(seconds=1)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_refusals(peers_python: Path, tmp_path: Path, peer: Peer) -> None:
    with meter(tmp_path, "--seed", "3", password=PASSWORD) as port:
        when = ["set-clock", "2031-01-01T00:00:00+00:00"]
        (public,) = run_peer(peers_python, peer, Target(port, "hdlc"), when)
        assert public.error is not None, "SAP 16 may not set the clock"
        wrong = Target(port, "hdlc", client=1, password="not this")
        (refused,) = run_peer(peers_python, peer, wrong, ["clock"])
        assert refused.error is not None
        assert "authentication" in refused.error.lower()
        (clock,) = run_peer(peers_python, peer, Target(port, "hdlc"), ["clock"])
        assert clock.error is None
        assert abs(instant(clock.result["octets"]) - datetime.now(UTC)) < timedelta(seconds=30)


def test_the_page_tells_of_this_run(readings: Readings, peers_python: Path) -> None:
    outcomes = [
        Outcome(task, peer.name, framing, answer.error, answer.notes)
        for (peer, framing), answers in readings.answers.items()
        for task, answer in answers.items()
    ]
    page = page_of(outcomes, {peer.name: peer_version(peers_python, peer) for peer in PEERS})
    if os.environ.get("IONDLMS_WRITE_DOCS") == "1":
        PAGE.write_text(page, "utf-8")
    assert PAGE.is_file(), f"docs/interop.md is not there; {REMEDY}"
    assert without_versions(PAGE.read_text("utf-8")) == without_versions(page), REMEDY
