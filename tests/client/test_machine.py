"""Client and meter joined in memory, driven at random and compared with a model of both."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.client.joined import PASSWORD, START, Lines, make_meter

from iondlms.client import blocking
from iondlms.codec import make
from iondlms.errors import LocalError
from iondlms.ports.memory import Fault, FaultKind, Faults

HISTORY = 12
QUARTER = timedelta(minutes=15)


class ClientAndMeter(RuleBasedStateMachine):
    """The model: the meter's clock is the line's, plus what was set; a row is recorded each 900 s."""

    @initialize(
        framing=st.sampled_from(["tcp", "hdlc", "wrapper"]),
        setting=st.booleans(),
        chunk=st.sampled_from([None, 1, 50]),
        fault=st.sampled_from([None, FaultKind.DROP, FaultKind.DAMAGE, FaultKind.DOUBLE]),
        offset=st.integers(0, 3000),
    )
    def begin(
        self, framing: str, setting: bool, chunk: int | None, fault: FaultKind | None, offset: int
    ) -> None:
        self.meter = make_meter(HISTORY)
        faults = {} if fault is None or framing != "hdlc" else {offset: Fault(fault)}
        self.lines = Lines(self.meter, [Faults(to_client=faults, chunk=chunk), Faults(chunk=chunk)], most=999)
        self.faulty = bool(faults)
        self.setting = setting
        url = f"{framing}://meter?timeout=2s" + ("&client=1&auth=low" if setting else "")
        self.client: blocking.Client = self.lines.client(url, PASSWORD if setting else None)
        self.shift = timedelta(0)
        self.changed = False  # a changed clock leaves other rows than this model knows

    @property
    def instant(self) -> datetime:
        """What the meter's clock should say."""
        return START + timedelta(seconds=self.lines.now) + self.shift

    @rule()
    def open(self) -> None:
        self.client.open()

    @rule()
    def close(self) -> None:
        self.client.close()

    @rule()
    def clock(self) -> None:
        instant = self.client.clock().instant
        assert instant is not None
        # The line may have waited for a repetition behind the moment at which the meter looked.
        # So may the look after a SET, of which `shift` is known.
        late = timedelta(seconds=30)
        repeated = self.changed and self.faulty
        assert -late < instant - self.instant <= (late if repeated else timedelta(milliseconds=10))

    @rule()
    def get(self) -> None:
        assert self.client.get("load", 8) == make.double_long_unsigned(3360)

    @rule(count=st.integers(1, 20))
    def profile(self, count: int) -> None:
        profile = self.client.profile("load", last=count)
        instants = [row.instant for row in profile]
        assert profile.notes == () or self.changed
        if not self.changed:
            past = int((self.instant - START).total_seconds() + 34 * 60 + 56) // 900 - 2
            assert len(profile) == min(count, HISTORY + past)
            newest = START.replace(minute=30, second=0) + past * QUARTER
            assert instants == [newest - n * QUARTER for n in range(len(profile) - 1, -1, -1)]

    @precondition(lambda self: not self.changed)
    @rule(first=st.integers(-2, HISTORY + 1), length=st.integers(0, 6))
    def ranged(self, first: int, length: int) -> None:
        oldest = START.replace(minute=30, second=0) - (HISTORY - 1) * QUARTER
        start = oldest + first * QUARTER
        end = start + length * QUARTER
        instants = [row.instant for row in self.client.profile("load", start, end, columns=["kWh-del-int"])]
        every = [oldest + n * QUARTER for n in range(HISTORY + 1000)]
        assert instants == [at for at in every if start <= at <= end and at <= self.instant]

    @rule(seconds=st.integers(2, 5000))
    def set_clock(self, seconds: int) -> None:
        wanted = self.instant + timedelta(seconds=seconds)
        wanted -= timedelta(microseconds=wanted.microsecond)
        if not self.setting:
            try:
                self.client.set_clock(wanted)
            except LocalError:
                return
            raise AssertionError("the public client set the clock")
        done = self.client.set_clock(wanted)
        self.changed = True
        assert done.after is not None
        assert done.after.instant is not None
        # What passed between the SET and now is the line's time; the shift is what is left.
        assert timedelta(0) <= done.after.instant - wanted < timedelta(seconds=30)
        self.shift = done.after.instant - START - timedelta(seconds=self.lines.now)

    @precondition(lambda self: self.lines.lines)
    @rule(seconds=st.sampled_from([0.5, 3.0, 119.0, 121.0, 1000.0]))
    def pause(self, seconds: float) -> None:
        self.lines.wait(seconds)

    @precondition(lambda self: self.client._transport is not None)
    @rule()
    def lose_the_connection(self) -> None:
        transport: Any = self.client._transport
        transport.close()

    @invariant()
    def time_goes_on(self) -> None:
        # No operation takes longer than its time-outs: 50 steps of a session end within the day.
        assert self.lines.now < 86_400 * 2


ClientAndMeter.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestClientAndMeter = ClientAndMeter.TestCase
