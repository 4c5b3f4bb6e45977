"""A reading that is interrupted or cancelled keeps the rows that came, and its line is given back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.client.joined import START, Lines, make_meter

from iondlms.client import Hooks, Profile
from iondlms.client.blocking import Client
from iondlms.client.names import resolve
from iondlms.errors import DecodeError
from iondlms.ports.memory import AsyncNullModem, NullModem
from iondlms.xdlms import AttributeDescriptor

ROWS = 400
FRAMINGS = ["hdlc://line?unit=100", "wrapper://line?pdu=1024"]  # blocks, and not all in one APDU


class Alarm(Exception):
    """What a caller's handler of a signal may raise."""


class Interrupted(NullModem):
    """A line on which the user presses Ctrl-C while octets are waited for."""

    left: int  # receptions before that
    with_what: type[BaseException] = KeyboardInterrupt
    closed = 0

    def receive(self, deadline: float | None) -> bytes:
        self.left -= 1
        if self.left == 0:
            raise self.with_what
        return super().receive(deadline)

    def close(self) -> None:
        self.closed += 1
        super().close()


def line(after: int) -> Interrupted:
    made = Interrupted(make_meter(ROWS).endpoint())
    made.left = after
    return made


def client_on(transport: NullModem, url: str) -> Client:
    return Client(url, connector=lambda: transport)


def whole(url: str) -> Profile:
    return Lines(make_meter(ROWS)).client(url).profile("load")


@pytest.mark.parametrize("url", FRAMINGS)
@pytest.mark.parametrize("what", [KeyboardInterrupt, SystemExit, Alarm])
def test_rows_that_came_before_ctrl_c(url: str, what: type[BaseException]) -> None:
    expected = whole(url).rows
    uninterrupted = line(0)
    client_on(uninterrupted, url).profile("load")
    turns = -uninterrupted.left
    kept = []
    for after in sorted({1, turns // 4, turns // 2, 3 * turns // 4, turns}):
        interrupted = line(after)
        interrupted.with_what = what
        client = client_on(interrupted, url)
        with pytest.raises(what), client:
            client.profile("load")
        assert interrupted.closed == 1
        rescued = client.rescued
        rows = [] if rescued is None else list(rescued.rows)
        assert rows == list(expected[: len(rows)])
        kept.append(len(rows))
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert 0 < kept[-2] < kept[-1] < ROWS


def test_pieces_that_came_whole_are_kept_too() -> None:
    url = FRAMINGS[0]
    start = START.replace(hour=0, minute=0, second=0) - timedelta(days=3)
    piece = timedelta(hours=6)
    interrupted = line(70)
    client = client_on(interrupted, url)
    with pytest.raises(KeyboardInterrupt), client:
        client.profile("load", start, START, piece=piece)
    assert client.rescued is not None
    expected = Lines(make_meter(ROWS)).client(url).profile("load", start, START).rows
    count = len(client.rescued.rows)
    assert list(client.rescued.rows) == list(expected[:count])
    assert 6 * 4 < count < len(expected)  # more than one piece


@pytest.mark.parametrize("url", FRAMINGS)
def test_after_an_interruption_the_next_call_is_not_answered_by_the_one_before(url: str) -> None:
    interrupted = line(40 if url == FRAMINGS[0] else 6)
    interrupted.with_what = Alarm
    lines = iter([interrupted, NullModem(make_meter(ROWS).endpoint())])
    client = Client(url, connector=lambda: next(lines))
    with pytest.raises(Alarm):
        client.profile("load")
    assert client.clock().instant is not None
    client.close()


def test_what_a_hook_raises_is_no_word_of_the_meter() -> None:
    for at in range(5, 19):  # as many chunks come and go at least
        heard = 0

        def watch(direction: str, octets: bytes, now: float, at: int = at) -> None:
            nonlocal heard
            heard += 1
            if heard == at:
                raise DecodeError("the hook's own")

        client = Lines(make_meter(ROWS)).client(FRAMINGS[0], hooks=Hooks(on_octets=watch))
        with pytest.raises(DecodeError, match="the hook's own"):
            client.profile("load", last=2)


def test_what_came_of_the_call_before_is_not_of_one_that_has_not_begun() -> None:
    client = Lines(make_meter(ROWS)).client(FRAMINGS[0])
    assert len(client.profile("load").rows) == ROWS
    asked = client.session.get(AttributeDescriptor(8, resolve("clock").logical_name, 2))
    next(asked)
    asked.close()
    assert client.session.broken_off == b""


def test_nothing_is_left_of_an_interruption_before() -> None:
    interrupted = line(40)
    lines = iter([interrupted, NullModem(make_meter(ROWS).endpoint())])
    client = Client(FRAMINGS[0], connector=lambda: next(lines))
    with pytest.raises(KeyboardInterrupt):
        client.profile("load")
    assert client.rescued is not None
    assert client.rescued.rows
    client.close()
    assert len(client.profile("load").rows) == ROWS
    assert client.rescued is None


@pytest.mark.parametrize("url", FRAMINGS)
async def test_rows_that_came_before_a_task_was_cancelled(url: str) -> None:
    expected = whole(url).rows
    turns = 0

    class Paused(AsyncNullModem):
        async def receive(self, deadline: float | None) -> bytes:
            nonlocal turns
            turns += 1
            if turns == 19:
                waiting.set()
                await asyncio.Event().wait()
            return await super().receive(deadline)

    async def connect() -> AsyncNullModem:
        return Paused(NullModem(make_meter(ROWS).endpoint()))

    waiting = asyncio.Event()
    client = Lines(make_meter(ROWS)).async_client(url)
    client._connector = connect
    task = asyncio.create_task(client.profile("load"))
    await asyncio.wait_for(waiting.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.rescued is not None
    count = len(client.rescued.rows)
    assert 0 < count < ROWS
    assert list(client.rescued.rows) == list(expected[:count])
    assert client.rescued.rows[0].instant is not None
    assert client.rescued.rows[0].instant < datetime(2026, 11, 22, tzinfo=UTC)
    await client.close()


async def test_rows_of_a_reading_that_was_cancelled_are_gone_with_the_next_that_runs() -> None:
    turns = 0
    begun = asyncio.Event()

    class Slow(AsyncNullModem):
        async def receive(self, deadline: float | None) -> bytes:
            nonlocal turns
            turns += 1
            if turns == 19:
                begun.set()
            await asyncio.sleep(0)
            return await super().receive(deadline)

    async def connect() -> AsyncNullModem:
        return Slow(NullModem(make_meter(ROWS).endpoint()))

    client = Lines(make_meter(ROWS)).async_client(FRAMINGS[0])
    client._connector = connect
    first = asyncio.create_task(client.profile("load"))
    await asyncio.wait_for(begun.wait(), 10)
    second = asyncio.create_task(client.profile("load", last=3))  # waits for its turn
    for _ in range(5):
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len((await second).rows) == 3
    assert client.rescued is None
    await client.close()
