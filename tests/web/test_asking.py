"""Questions to the meter: one at a time, the same one once, never too fast; failures are kept as well."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.web.panels import Clock, Meters

from iondlms.errors import LocalError, PortError
from iondlms.web import Asker


def same(answer: Any) -> Any:
    return answer


async def test_the_same_question_is_asked_once_in_its_time() -> None:
    clock, meters = Clock(), Meters({"panel": 1, "events": 2})
    ask = Asker(meters, clock, keep_s=1.0, apart_s=0.0)
    assert await asyncio.gather(*(ask("panel", same, unit=1) for _ in range(20))) == [1] * 20
    assert meters.asked == [{"command": "panel", "unit": 1}]
    clock.now += 0.99
    assert await ask("panel", same, unit=1) == 1
    assert len(meters.asked) == 1
    clock.now += 0.02
    meters.answers["panel"] = 3
    assert await ask("panel", same, unit=1) == 3
    assert await ask("panel", same, unit=1, fresh=True) == 3
    assert [request["command"] for request in meters.asked] == ["panel"] * 3


async def test_other_questions_are_others_and_none_is_no_argument() -> None:
    meters = Meters({"panel": 1, "events": 2})
    ask = Asker(meters, Clock(), apart_s=0.0)
    await ask("panel", same, unit=1, line=None)
    await ask("panel", same, unit=2, line="hall")
    await ask("events", same, unit=1)
    assert meters.asked == [
        {"command": "panel", "unit": 1},
        {"command": "panel", "unit": 2, "line": "hall"},
        {"command": "events", "unit": 1},
    ]


async def test_questions_wait_for_each_other() -> None:
    going, most = 0, 0

    async def slow(_request: dict[str, Any]) -> int:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        going -= 1
        return 0

    ask = Asker(slow, Clock(), apart_s=0.0)
    await asyncio.gather(*(ask("rows", same, after=number) for number in range(10)))
    assert most == 1


async def test_questions_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = Clock(), []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        clock.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    ask = Asker(Meters({"rows": 0}), clock, apart_s=0.02)
    for number in range(3):
        await ask("rows", same, after=number)
    clock.now += 5
    await ask("rows", same, after=3)
    assert slept == [0.02, 0.02]


@pytest.mark.parametrize("error", [PortError("no meter takes commands"), LocalError("no such recorder")])
async def test_a_failure_is_told_to_all_who_wait(error: Exception) -> None:
    clock, meters = Clock(), Meters({"panel": error})
    ask = Asker(meters, clock, apart_s=0.0)
    told = await asyncio.gather(*(ask("panel", same) for _ in range(5)), return_exceptions=True)
    assert [(type(each), str(each)) for each in told] == [(type(error), str(error))] * 5
    assert len(meters.asked) == 1
    clock.now += 1.0
    meters.answers["panel"] = 7
    assert await ask("panel", same) == 7


@pytest.mark.parametrize("answer", [None, {}, {"unit": "x"}, [1], "text"])
async def test_what_is_not_understood_is_one_line(answer: Any) -> None:
    from iondlms.web.answers import events_of, panel_of, rows_of

    ask = Asker(Meters({"panel": answer}), Clock(), apart_s=0.0)
    for make in (panel_of, rows_of, events_of):
        with pytest.raises(PortError, match="'panel' is not understood; is the meter of another version"):
            await ask("panel", make, fresh=True)


class Hung:
    """A meter that takes commands and does not answer: each costs its asker a time-out."""

    def __init__(self, clock: Clock, error: Exception, takes_s: float = 5.0) -> None:
        self.clock, self.error, self.takes_s, self.asked = clock, error, takes_s, 0

    async def __call__(self, _request: dict[str, Any]) -> Any:
        self.asked += 1
        await asyncio.sleep(0)
        self.clock.now += self.takes_s
        raise self.error


async def test_a_meter_that_hangs_costs_all_who_wait_one_time_out() -> None:
    clock = Clock()
    hung = Hung(clock, PortError("no answer on m: timed out"))
    ask = Asker(hung, clock, apart_s=0.0)
    for since in (1000.0, 1005.0):  # and who comes after it has it tried again
        asking = (ask("panel", same, fresh=True, unit=number) for number in range(20))
        told = await asyncio.gather(*asking, ask("events", same), return_exceptions=True)
        assert {(type(each), str(each)) for each in told} == {(PortError, "no answer on m: timed out")}
        assert clock.now == since + 5.0
    assert hung.asked == 2
    with pytest.raises(PortError):
        await ask("panel", same, unit=3, since=1009.9)
    assert hung.asked == 2
    with pytest.raises(PortError):
        await ask("panel", same, unit=3)
    assert hung.asked == 3


@pytest.mark.parametrize(
    ("error", "takes_s"),
    [(PortError("the meter on m is busy"), 0.1), (LocalError("no such recorder"), 5.0)],
)
async def test_what_is_a_word_on_one_question_is_not_told_of_others(error: Exception, takes_s: float) -> None:
    clock = Clock()
    hung = Hung(clock, error, takes_s)
    ask = Asker(hung, clock, apart_s=0.0)
    await asyncio.gather(*(ask("panel", same, unit=unit) for unit in range(5)), return_exceptions=True)
    assert hung.asked == 5


@pytest.mark.parametrize("kind", [PortError, LocalError])
async def test_an_error_is_told_in_one_line_of_characters(kind: type[Exception]) -> None:
    ask = Asker(Meters({"panel": kind("a \ud83d\r\nb" + "x" * 5000)}), Clock(), apart_s=0.0)
    with pytest.raises(kind) as raised:
        await ask("panel", same)
    assert str(raised.value).startswith("a ? bxxx")
    assert len(str(raised.value)) <= 1000


async def test_few_answers_are_kept() -> None:
    meters = Meters({"rows": 0})
    ask = Asker(meters, Clock(), apart_s=0.0)
    for number in range(200):
        await ask("rows", same, after=number)
    await ask("rows", same, after=199)
    assert len(meters.asked) == 200
    await ask("rows", same, after=0)  # forgotten meanwhile
    assert len(meters.asked) == 201
    assert len(ask._kept) <= 64
