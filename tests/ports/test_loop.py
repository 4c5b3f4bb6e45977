"""Timers on both loops, and the process beside them: what the garbage collector looks at."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from iondlms.later import Later
from iondlms.ports.loop import Alarm, over, settle

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Ring:
    def __init__(self) -> None:
        self.itself = self


def test_what_there_is_when_it_settles_is_looked_at_no_more_until_it_settles_again() -> None:
    gone, kept = Ring(), Ring()
    dead, alive = weakref.ref(gone), weakref.ref(kept)
    del gone
    try:
        settle()
        assert dead() is None
        assert gc.get_freeze_count() > 1000
        del kept
        gc.collect()
        assert alive() is not None
        settle()
        assert alive() is None
    finally:
        gc.unfreeze()


def test_young_objects_are_looked_at_each_ten_thousand() -> None:
    gc.set_threshold(700, 11, 12)
    try:
        settle()
        assert gc.get_threshold() == (10_000, 11, 12)
    finally:
        gc.unfreeze()


def rung(loop: str, script: Callable[[Alarm, float], None], times: int) -> list[float]:
    """How long after the script an alarm has rung, so many times; each time it rings it is set 10 ms on."""

    async def main() -> list[float]:
        running = asyncio.get_running_loop()
        found: list[float] = []
        enough = asyncio.Event()

        def ring() -> None:
            found.append(running.time() - begin)
            alarm.no_later(running.time() + 0.01)
            if len(found) == times:
                alarm.cancel()
                enough.set()

        alarm = Alarm(ring)
        begin = running.time()
        script(alarm, begin)
        async with asyncio.timeout(5.0):
            await enough.wait()
        await asyncio.sleep(0)
        return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_alarm_for_a_time_that_has_passed_rings_at_once_and_can_be_set_again(loop: str) -> None:
    def script(alarm: Alarm, now: float) -> None:
        alarm.no_later(now - 1.0)
        alarm.no_later(now - 2.0)
        alarm.no_later(now + 3.0)  # the one before comes sooner, and serves it too

    assert rung(loop, script, 3)[0] < 1.0


@pytest.mark.parametrize("loop", LOOPS)
def test_an_alarm_rings_at_the_earliest_time_it_was_given_since_it_was_cancelled(loop: str) -> None:
    def script(alarm: Alarm, now: float) -> None:
        alarm.no_later(now)
        alarm.cancel()
        alarm.no_later(now + 100.0)
        alarm.no_later(now + 0.05)
        alarm.no_later(now + 50.0)

    (first,) = rung(loop, script, 1)
    assert 0.04 < first < 3.0


def in_loop(loop: str, main: Coroutine[Any, Any, float]) -> float:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_over_is_waited_for_no_more_and_those_who_were_first_are_told_first(loop: str) -> None:
    told: list[str] = []

    async def main() -> float:
        begin = asyncio.get_running_loop().time()
        await over(None, 10.0)
        done = Later()
        done.settle()
        await over(done, 10.0)
        later = Later()
        later.then(lambda: told.append("first"))
        asyncio.get_running_loop().call_soon(later.settle)
        await over(later, 10.0)
        told.append("over")
        return asyncio.get_running_loop().time() - begin

    assert in_loop(loop, main()) < 5.0
    assert told == ["first", "over"]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_does_not_end_is_waited_for_so_long_and_may_end_afterwards(loop: str) -> None:
    later = Later()

    async def main() -> float:
        begin = asyncio.get_running_loop().time()
        await over(later, 0.05)
        return asyncio.get_running_loop().time() - begin

    assert 0.04 < in_loop(loop, main()) < 5.0
    later.settle()
