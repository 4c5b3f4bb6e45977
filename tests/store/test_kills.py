"""A real `iondlms serve`, killed again and again while it records and is read: nothing that was seen is lost.

20 kills in every run, 200 under CI and in `make soak`; IONDLMS_KILLS sets the number.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iondlms.client import Hooks, ProfileRow
from iondlms.client.blocking import Client
from iondlms.errors import DlmsError
from iondlms.ion import Row
from iondlms.store import Archive

KILLS = int(os.environ.get("IONDLMS_KILLS") or (200 if os.environ.get("CI") else 20))
LANES = 2  # meters at once: while one starts, another is read
PASSWORD = "kill-me"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANSWER_TO_SET = re.compile(rb"\xe6\xe7\x00\xc5\x01.\x00", re.DOTALL)  # LLC, SET-response, success


class Lane:
    """One meter that dies many times, and all that it has ever told or acknowledged."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.told: dict[int, Row] = {}  # by UTC in milliseconds, which is unique: the clock only goes forward
        self.kept: dict[int, Row] = {}  # as on the disk after the kill before
        self.offset = timedelta(0)  # of steps that were acknowledged
        self.asked: timedelta | None = None  # a step whose answer never came
        self.acknowledged = threading.Event()
        self.sets = 0

    def run(self, kills: int) -> None:
        for _ in range(kills):
            self.live_and_die()
            self.look()

    def live_and_die(self) -> None:
        settings = ("load_profile.period=1", "load_profile.depth=100000", "billing.period=1")
        command = [
            *(sys.executable, "-m", "iondlms", "serve", "--listen", "127.0.0.1:0"),
            *("--data", str(self.folder), "--password", PASSWORD),
            *(word for setting in settings for word in ("--set", setting)),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            told = [process.stdout.readline(), process.stdout.readline()]
            match = re.match(r"listening ETHERNET (\S+)", told[0])
            if match is None or told[1] != "ready\n":
                pytest.fail(f"it did not start again: {told} {process.stderr.read()}")
            sets = self.random.random() < 0.4
            self.acknowledged.clear()
            client = threading.Thread(target=self.read_and_set, args=(match[1], sets))
            client.start()
            if sets and self.random.random() < 0.5:
                self.acknowledged.wait(2)  # the moment the answer is there
            else:
                time.sleep(self.moment())
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            process.stdout.close()
            process.stderr.close()
        client.join(60)
        assert not client.is_alive()

    def moment(self) -> float:
        """Return when to kill: anywhere, or about when a row is made."""
        if self.random.random() < 0.5:
            return self.random.uniform(0.02, 0.4)
        present = time.time() + self.offset.total_seconds()
        return max(0.0, 1 - present % 1 + self.random.uniform(-0.01, 0.05))

    def read_and_set(self, url: str, sets: bool) -> None:
        """Read the newest rows over and over, set the clock forward once; until the meter is dead."""
        target = f"{url}?unit=100&client=1&timeout=1s&retries=0"
        try:
            with Client(target, password=PASSWORD, hooks=Hooks(self.watch)) as meter:
                while True:
                    for row in meter.profile("load", last=30):
                        self.note(row)
                    if sets:
                        sets = False
                        self.set_forward(meter)
        except DlmsError:
            pass  # it was killed

    def set_forward(self, meter: Client) -> None:
        reading = meter.clock()
        assert reading.instant is not None
        wanted = reading.instant + self.random.randint(2, 9) * SECOND
        self.asked = wanted - datetime.now(UTC)
        meter.set_clock(wanted)

    def watch(self, direction: str, octets: bytes, _now: float) -> None:
        """Take the answer to a SET, success, as soon as it is there."""
        if direction == "RX" and self.asked is not None and ANSWER_TO_SET.search(octets):
            self.offset, self.asked = self.asked, None
            self.sets += 1
            self.acknowledged.set()

    def note(self, row: ProfileRow) -> None:
        assert row.instant is not None
        assert row.status is not None
        at = (row.instant - EPOCH) // timedelta(milliseconds=1)
        values = tuple([None if value is None else int(str(value)) for value in row.values])
        seen = Row(at, int(row.status), values)
        assert self.told.setdefault(at, seen) == seen, "a row has changed"

    def look(self) -> None:
        with closing(sqlite3.connect(self.folder / "meter.sqlite")) as database:
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        with Archive.open(self.folder) as archive:
            rows = list(archive.rows("Load Profile"))
            state = archive.state()
        assert state is not None
        there = {row.utc_ms: row for row in rows}
        assert len(there) == len(rows), "a row is there twice"
        assert self.told.items() <= there.items(), "a row that was read is not there, or another"
        assert self.kept.items() <= there.items(), "a row of before is not there any more, or another"
        assert [row.utc_ms for row in rows] == sorted(there)
        self.kept = there
        # Our clock and the meter's were read a moment apart.
        offset = timedelta(milliseconds=state.offset_ms)
        possible = [self.offset] if self.asked is None else [self.offset, self.asked]
        assert any(abs(offset - each) < SECOND for each in possible), (offset, possible)
        self.offset, self.asked = offset, None


@pytest.mark.timeout(900)
def test_a_meter_that_is_killed_keeps_all_that_it_has_told(tmp_path: Path) -> None:
    lanes = [Lane(tmp_path / str(number), number) for number in range(LANES)]
    with ThreadPoolExecutor(LANES) as pool:
        for done in [pool.submit(lane.run, -(-KILLS // LANES)) for lane in lanes]:
            done.result()
    # The test has seen something: rows were read, made in many lives, and the clock was set.
    for lane in lanes:
        assert len(lane.told) > KILLS // LANES // 4
        assert lane.sets
        assert lane.told.keys() <= lane.kept.keys()
        assert any(row.status & 0xC0 for row in lane.kept.values())
