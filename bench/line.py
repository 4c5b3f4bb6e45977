"""A month of load profile on a slow line: what our two ends make of it, and what the profile allows at best.

Virtual time on the paced line model (`ports/line.py`): nothing here waits. The limit is the least time of the
buffer alone under the meters' profile: frames of 128 octets, window 1, answers in blocks or in segments, each
question and each answer on the line after the other, the meter's turnaround between them. The session's own
opening, columns, scalers and release are ours to pay.

    python -m bench.line [--json FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from bench.harness import Bench

from iondlms.client.blocking import Client
from iondlms.meter.config import load
from iondlms.meter.meter import Meter
from iondlms.ports.line import Pace
from iondlms.ports.memory import NullModem

MONTH = 2976  # rows of 900 s in 31 days
FLOOR = 0.98
INFORMATION = 128  # octets of the information field of an I frame
LLC = 3
TURNAROUND = 0.01  # s, of the meter; its default
START = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Measured:
    """One session on one line."""

    rows: int
    octets: int  # of the encoded buffer
    seconds: float  # all of it, from SNRM to the answer to DISC
    limit_s: float

    @property
    def efficiency(self) -> float:
        return self.limit_s / self.seconds


def frame(information: int) -> int:
    """Return the octets on the line of a frame: addresses of 1 and 4 octets, both flags."""
    return 2 + 2 + 5 + 1 + 2 + (information + 2 if information else 0)


def in_blocks(octets: int) -> Iterator[tuple[int, int]]:
    """Yield the turns of a block transfer: a GET, then a GET-next for each further block."""
    request, room = 13, INFORMATION - LLC - 10  # GET-request-normal; a datablock has 10 octets around
    while octets > 0:
        raw = min(room, octets)
        octets -= raw
        yield frame(LLC + request), frame(LLC + 10 + raw)
        request = 7


def in_segments(octets: int) -> Iterator[tuple[int, int]]:
    """Yield the turns of a segmented answer: a GET, then an RR for each further segment."""
    left = LLC + 4 + octets  # GET-response-normal has 4 octets around
    request = frame(LLC + 13)
    while left > 0:
        information = min(INFORMATION, left)
        left -= information
        yield request, frame(information)
        request = frame(0)


def measure(pace: Pace, rows: int, answers: str = "block") -> Measured:
    """Read the whole load profile of a meter of ours over such a line."""
    meter = Meter(load(None, [("history", rows), ("long_answers", answers)]))
    meter.start(int(START.timestamp() * 1000), 0.0)
    # The meter's clock stands still here: a new row in the middle would be one more to read.
    meter.run_at(0.0, 0.0)
    line = NullModem(meter.endpoint(now=0.0), pace=pace)
    with Client("hdlc://line?timeout=30s", connector=lambda: line) as client:
        profile = client.profile("load")
    turns = in_segments if answers == "segment" else in_blocks
    octets = len(profile.raw)
    return Measured(len(profile), octets, line.now(), pace.exchange_s(turns(octets)))


def main() -> None:
    bench = Bench("line", __doc__, runs=1)
    for baud in (9600, 115200):
        for answers in ("block", "segment"):
            name = f"a month at {baud} baud, {answers}s"
            if not bench.wants(name):
                continue
            found = measure(Pace(baud, 10, turnaround_s=TURNAROUND), MONTH, answers)
            assert found.rows >= MONTH, found
            bench.compare(
                name, amount=found.octets, unit="octets", ours=partial(float, found.seconds),
                floor=partial(float, found.limit_s), floor_name="the line itself", most=1 / FLOOR, runs=1,
            )  # fmt: skip
    bench.finish()


if __name__ == "__main__":
    main()
