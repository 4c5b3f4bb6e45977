"""Who looks: the meter is asked once for all of them, only while somebody does; gone, and back."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.web.panels import Clock, Meters, told

from iondlms.errors import PortError
from iondlms.web import Asker, Watch
from iondlms.web.answers import Shown
from iondlms.web.watch import Full, Which

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
METER = Which(100)


class Looked:
    """A watch, and the time it lives in."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.meters = Meters({"panel": told()})
        self.watch = Watch(
            Asker(self.meters, self.clock, apart_s=0.0),
            self.clock,
            wall=lambda: NOON + timedelta(seconds=self.clock.now - 1000),
            **settings,
        )

    async def ask(self, passed: float = 1.0, kw: float | None = None) -> None:
        self.clock.now += passed
        if kw is not None:
            self.meters.answers["panel"] = told(values={"kW tot": round(kw * 1000)})
        await self.watch.ask_all()

    def look(self, which: Which = METER) -> Looker:
        return Looker(self.watch, which)


class Looker:
    """One who looks, in a task of his own, and all he has seen."""

    def __init__(self, watch: Watch, which: Which) -> None:
        self.seen: list[Shown] = []
        self.task = asyncio.create_task(self._look(watch, which))

    async def _look(self, watch: Watch, which: Which) -> None:
        async for shown in watch.look(which):
            self.seen.append(shown)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nobody_looks_and_nobody_is_asked() -> None:
    looked = Looked()
    await looked.ask()
    assert looked.meters.asked == []
    looker = looked.look()
    await settle()
    await looked.ask()
    await settle()
    assert looked.meters.asked == [{"command": "panel", "unit": 100}]
    await looker.end()
    await settle()
    await looked.ask()
    assert len(looked.meters.asked) == 1


async def test_many_look_and_the_meter_is_asked_once() -> None:
    looked = Looked()
    lookers = [looked.look() for _ in range(10)]
    await settle()
    for _ in range(3):
        await looked.ask()
        await settle()
    assert len(looked.meters.asked) == 3
    for looker in lookers:
        assert [shown.at for shown in looker.seen] == [1001.0, 1002.0, 1003.0]
        assert looker.seen[0].panel is not None
        assert looker.seen[0].panel.values[0].value == 12.345
        await looker.end()


async def test_who_comes_later_gets_what_there_is_and_the_minutes_before() -> None:
    looked = Looked()
    first = looked.look()
    await settle()
    for kw in (1.0, 2.0, 3.0):
        await looked.ask(kw=kw)
        await settle()
    later = looked.look()
    await settle()
    assert [shown.at for shown in later.seen] == [1003.0]
    assert later.seen[0].trail == [(1001.0, 1.0), (1002.0, 2.0), (1003.0, 3.0)]
    await looked.ask(kw=4.0)
    await settle()
    assert [(shown.at, shown.trail) for shown in later.seen[1:]] == [(1004.0, None)]
    assert [shown.trail for shown in first.seen] == [[(1001.0, 1.0)], None, None, None]
    await first.end()
    await later.end()


async def test_while_nobody_looked_there_is_a_gap_and_old_minutes_go() -> None:
    looked = Looked(remember_s=60.0)
    looker = looked.look()
    await settle()
    await looked.ask(kw=1.0)
    await looker.end()
    looker = looked.look()
    await settle()
    assert len(looker.seen) == 1  # it is a moment old, and good enough
    await looker.end()
    looked.clock.now += 30.0
    looker = looked.look()
    await settle()
    assert looker.seen == []  # too old to begin with
    await looked.ask(kw=2.0)
    await settle()
    assert looker.seen[0].trail == [(1001.0, 1.0), (1002.0, None), (1032.0, 2.0)]
    for _ in range(100):
        await looked.ask(kw=3.0)
        await settle()
    await looker.end()
    looker = looked.look()
    await settle()
    trail = looker.seen[0].trail
    assert trail is not None
    assert (len(trail), trail[0][0]) == (61, looked.clock.now - 60.0)
    await looker.end()


async def test_a_meter_that_is_gone_keeps_its_last_values_and_comes_back() -> None:
    looked = Looked()
    looker = looked.look()
    await settle()
    await looked.ask(kw=5.0)
    await settle()
    looked.meters.answers["panel"] = PortError("no meter takes commands on m; is it running?")
    for _ in range(3):
        await looked.ask()
        await settle()
    gone = looker.seen[-1]
    assert gone.gone is not None
    assert gone.gone.since == NOON + timedelta(seconds=2)
    assert (gone.gone.for_s, gone.gone.error) == (2.0, "no meter takes commands on m; is it running?")
    assert gone.panel is not None
    assert gone.panel.values[0].value == 5.0
    await looked.ask(kw=6.0)
    await settle()
    back = looker.seen[-1]
    assert (back.gone, back.panel and back.panel.values[0].value) == (None, 6.0)
    other = looked.look()
    await settle()
    assert [kw for _, kw in other.seen[0].trail or []] == [5.0, None, None, None, 6.0]
    # Gone a second time is another time.
    looked.meters.answers["panel"] = PortError("again")
    await looked.ask()
    await settle()
    assert looker.seen[-1].gone is not None
    assert looker.seen[-1].gone.since == NOON + timedelta(seconds=6)
    await looker.end()
    await other.end()


async def test_a_meter_that_was_never_there() -> None:
    looked = Looked()
    looked.meters.answers["panel"] = PortError("none")
    looker = looked.look()
    await settle()
    await looked.ask()
    await settle()
    assert looker.seen[0].panel is None
    assert looker.seen[0].gone is not None
    await looker.end()


async def test_several_meters_are_asked_for_by_name_and_told_apart() -> None:
    looked = Looked()
    one, two = looked.look(Which(3, "hall")), looked.look(Which(3, "attic"))
    await settle()
    await looked.ask()
    await settle()
    assert looked.meters.asked == [
        {"command": "panel", "unit": 3, "line": "hall"},
        {"command": "panel", "unit": 3, "line": "attic"},
    ]
    await one.end()
    await settle()
    await looked.ask()
    await settle()
    assert looked.meters.asked[2:] == [{"command": "panel", "unit": 3, "line": "attic"}]
    assert (len(one.seen), len(two.seen)) == (1, 2)
    await two.end()


async def test_only_so_many_look_and_only_so_many_meters_are_remembered() -> None:
    looked = Looked(most_lookers=3)
    with ExitStack() as seats:
        for _ in range(3):
            seats.enter_context(looked.watch.seat())
        with pytest.raises(Full), looked.watch.seat():
            pass
    with looked.watch.seat():
        pass
    for unit in range(1, 200):
        looker = looked.look(Which(unit))
        await settle()
        await looker.end()
        await settle()
    assert len(looked.watch._known) <= 65


async def test_the_end_is_told_to_all_who_look() -> None:
    looked = Looked()
    lookers = [looked.look() for _ in range(3)]
    await settle()
    looked.watch.close()
    await asyncio.wait([looker.task for looker in lookers], timeout=5)
    assert all(looker.task.done() and not looker.task.cancelled() for looker in lookers)
    with pytest.raises(Full), looked.watch.seat():
        pass


async def test_it_runs_by_itself_while_somebody_looks() -> None:
    looked = Looked(every_s=0.0)
    running = asyncio.create_task(looked.watch.run())
    await settle()
    assert looked.meters.asked == []
    looker = looked.look()
    async with asyncio.timeout(10):
        while len(looker.seen) < 3:
            looked.clock.now += 1
            await asyncio.sleep(0)
    await looker.end()
    running.cancel()
    await asyncio.wait([running])


async def test_a_meter_that_hangs_costs_a_round_one_time_out() -> None:
    looked = Looked()
    asked = 0

    async def hung(_request: dict[str, Any]) -> Any:
        nonlocal asked
        asked += 1
        looked.clock.now += 5.0
        raise PortError("no answer on m: timed out")

    looked.watch._ask = Asker(hung, looked.clock, apart_s=0.0)
    lookers = [looked.look(Which(unit)) for unit in range(1, 33)]
    await settle()
    for rounds in (1, 2):
        await looked.ask(passed=0.0)
        await settle()
        assert (asked, looked.clock.now) == (rounds, 1000.0 + 5.0 * rounds)
        assert [len(looker.seen) for looker in lookers] == [rounds] * 32
    looked.watch._ask = Asker(looked.meters, looked.clock, apart_s=0.0)
    await looked.ask()
    await settle()
    for looker in lookers:
        assert [each.gone is None for each in looker.seen] == [False, False, True]
        await looker.end()
