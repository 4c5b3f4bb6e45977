"""The store of a fleet off the event loop: nothing is lost, doubled or out of order, and nobody forgotten."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.ion import Event, Pending
from iondlms.ion.recorder import NewRows
from iondlms.later import Later
from iondlms.meter import fleet_keeper as keeper_module
from iondlms.meter.fleet_keeper import FleetKeeper
from iondlms.store import FleetStore, StoreError

RECORDER = "log"
STRIDE = 18
FULL = StoreError("cannot write fleet.sqlite: the disk is full")


class Disk:
    """What a writer's thread finds in place of a store: it may be held, and may be full."""

    def __init__(self) -> None:
        self.free = threading.Event()  # else a write is held
        self.free.set()
        self.errors: list[Exception | None] = []  # of the next writes
        self.tried: list[dict[int, bytes]] = []
        self.written: list[dict[int, bytes]] = []
        self.threads: set[str] = set()
        self.closed_by = ""

    def write(self, batches: Mapping[int, Pending]) -> None:
        self.threads.add(threading.current_thread().name.partition("_")[0])
        if not self.free.wait(20):
            raise TimeoutError("nobody lets the disk go on")
        there = {number: octets_of(batch) for number, batch in batches.items()}
        self.tried.append(there)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.written.append(there)

    def close(self) -> None:
        self.closed_by = threading.current_thread().name.partition("_")[0]


class Bench:
    """A keeper whose meters record what they are told."""

    def __init__(self, disk: Disk, keeper: FleetKeeper) -> None:
        self.disk = disk
        self.keeper = keeper
        self.taken: dict[int, bytes] = defaultdict(bytes)
        self.log: list[str] = []  # what was said, in order
        self.published: list[tuple[int, bytes]] = []
        self.broken: set[int] = set()  # meters that cannot publish

    def publish(self, number: int, batch: Pending) -> None:
        self.log.append(f"published {number}")
        if number in self.broken:
            raise ValueError("a bug")
        self.published.append((number, octets_of(batch)))

    def tell(self, trouble: str) -> None:
        self.log.append(f"trouble {trouble!r}")

    def take(self, number: int, rows: int = 1) -> None:
        first = len(self.taken[number]) // STRIDE
        octets = b"".join([(number * 10_000 + first + row).to_bytes(STRIDE, "big") for row in range(rows)])
        self.taken[number] += octets
        self.keeper.take(
            number, Pending({RECORDER: NewRows(first, STRIDE, 100_000, False, bytearray(octets))})
        )

    def promise(self, number: int, name: str, *, patient: bool = False) -> Later:
        later = self.keeper.promise(number, patient=patient)
        later.then(lambda: self.log.append(f"{name}: {later.error or 'done'}"))
        return later

    @property
    def shown(self) -> dict[int, bytes]:
        """All that was published, by meter."""
        return joined({number: octets} for number, octets in self.published)

    async def retried(self) -> None:
        self.keeper.retry()
        await self.keeper.settled()


def octets_of(batch: Pending) -> bytes:
    return bytes(batch.rows[RECORDER].octets) if batch.rows else b""


def joined(batches: Any) -> dict[int, bytes]:
    there: dict[int, bytes] = defaultdict(bytes)
    for batch in batches:
        for number, octets in batch.items():
            there[number] += octets
    return there


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    """A bench that is closed without what may wait still."""
    disk = Disk()
    told: list[Bench] = []
    keeper = FleetKeeper(
        cast("FleetStore", disk),
        lambda number, batch: told[0].publish(number, batch),
        lambda trouble: told[0].tell(trouble),
    )
    bench = Bench(disk, keeper)
    told.append(bench)
    try:
        async with asyncio.timeout(20):
            yield bench
    finally:
        disk.free.set()
        if not disk.closed_by:
            await keeper.close(lasting=False)


# --- in order -------------------------------------------------------------------------------------------


async def test_batches_of_a_meter_are_written_and_shown_in_order_and_those_that_wait_as_one() -> None:
    async with running() as bench:
        bench.disk.free.clear()
        bench.take(1)
        bench.keeper.write()
        for number in (1, 2, 1, 2, 1):
            bench.take(number, 2)
            bench.keeper.write()
        assert bench.published == []
        bench.disk.free.set()
        await bench.keeper.settled()
        rows = bench.taken
        assert bench.disk.written == [{1: rows[1][:STRIDE]}, {1: rows[1][STRIDE:], 2: rows[2]}]
        assert bench.published == [(1, rows[1][:STRIDE]), (1, rows[1][STRIDE:]), (2, rows[2])]
        assert bench.disk.threads == {"iondlms-store"}


async def test_nothing_is_written_before_somebody_says_so() -> None:
    async with running() as bench:
        bench.take(1)
        await asyncio.sleep(0)
        assert bench.disk.tried == []
        await bench.keeper.settled()  # says so
        assert len(bench.disk.written) == 1


async def test_what_waits_may_fill_the_memory_and_then_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "AT_ONCE", 3)
    async with running() as bench:
        bench.disk.free.clear()
        bench.take(0)
        bench.keeper.write()
        for number in range(1, 4):
            assert not bench.keeper.many
            await bench.keeper.room()  # there is some
            bench.take(number)
        assert bench.keeper.many
        waits = asyncio.create_task(bench.keeper.room())
        await asyncio.sleep(0)
        assert not waits.done()
        bench.disk.free.set()
        await waits


# --- promises -------------------------------------------------------------------------------------------


async def test_a_promise_is_over_once_the_rows_can_be_seen() -> None:
    async with running() as bench:
        bench.promise(1, "nothing to write")
        bench.disk.free.clear()
        bench.take(1)
        waiting = bench.promise(1, "waited")
        bench.keeper.write()
        under_way = bench.promise(1, "under way")
        bench.take(1)
        behind = bench.promise(1, "behind")
        bench.promise(2, "another's")
        assert [each.done for each in (waiting, under_way, behind)] == [False] * 3
        bench.disk.free.set()
        await bench.keeper.settled()
        await asyncio.sleep(0)
        assert bench.log == [
            "nothing to write: done",
            "another's: done",
            *("published 1", "waited: done", "under way: done"),
            *("published 1", "behind: done"),
        ]


async def test_those_first_for_whom_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "AT_ONCE", 3)
    async with running() as bench:
        for number in range(8):
            bench.take(number)
        bench.promise(6, "six")
        bench.promise(4, "four", patient=True)
        await bench.keeper.settled()
        assert [list(each) for each in bench.disk.written] == [[6, 4, 0], [1, 2, 3], [5, 7]]
        assert bench.log.index("six: done") < bench.log.index("published 1")
        assert bench.log.index("four: done") < bench.log.index("published 1")
        assert bench.shown == bench.taken


# --- a disk that takes nothing --------------------------------------------------------------------------


async def test_who_can_be_told_is_told_and_the_others_wait_until_it_is_written() -> None:
    async with running() as bench:
        bench.disk.errors = [FULL, FULL]
        bench.disk.free.clear()
        bench.take(1)
        bench.promise(1, "patient", patient=True)
        bench.promise(1, "impatient")
        bench.keeper.write()
        bench.take(2)
        bench.promise(2, "impatient, waiting")
        bench.promise(2, "patient, waiting", patient=True)
        bench.take(1)
        bench.disk.free.set()
        await bench.keeper.settled()
        said = [f"trouble {str(FULL)!r}", f"impatient: {FULL}", f"impatient, waiting: {FULL}"]
        assert bench.log == said
        assert bench.keeper.failing
        assert isinstance(bench.promise(1, "meanwhile").error, StoreError)  # at once
        assert not bench.promise(1, "patient, meanwhile", patient=True).done
        bench.keeper.write()
        await bench.keeper.settled()
        assert len(bench.disk.tried) == 1  # not before `retry`
        bench.log.clear()
        await bench.retried()
        assert bench.log == [f"trouble {str(FULL)!r}"]
        await bench.retried()
        await asyncio.sleep(0)
        assert bench.log == [
            *(f"trouble {str(FULL)!r}", "trouble ''", "published 1", "published 2"),
            *("patient: done", "patient, meanwhile: done", "patient, waiting: done"),
        ]
        assert bench.shown == bench.taken
        assert bench.keeper.trouble == ""


async def test_it_tries_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "_RETRY_S", 0.01)
    async with running() as bench:
        bench.disk.errors = [FULL, OSError("not one of ours"), FULL]
        bench.take(1)
        over = asyncio.Event()
        bench.promise(1, "patient", patient=True).then(over.set)
        bench.keeper.write()
        await over.wait()
        assert bench.shown == bench.taken
        assert len(bench.disk.tried) == 4
        assert "trouble 'not one of ours'" in bench.log


async def test_a_meter_that_cannot_show_its_rows_keeps_up_nobody() -> None:
    async with running() as bench:
        bench.broken.add(1)
        for number in range(3):
            bench.take(number)
            bench.promise(number, str(number))
        await bench.keeper.settled()
        await asyncio.sleep(0)
        assert bench.log == [*(f"published {each}" for each in range(3)), "0: done", "1: done", "2: done"]
        bench.take(2)
        await bench.keeper.settled()
        assert bench.shown == {number: bench.taken[number] for number in (0, 2)}


doings = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 5)),
    st.tuples(st.just("take"), st.integers(0, 5)),
    st.tuples(st.just("write"), st.none()),
    st.tuples(st.just("promise"), st.integers(0, 5)),
    st.tuples(st.just("settled"), st.none()),
    st.tuples(st.just("full"), st.none()),
    st.tuples(st.just("hold"), st.none()),
    st.tuples(st.just("free"), st.none()),
    st.tuples(st.just("retry"), st.none()),
)


@given(doings=st.lists(doings, max_size=40))
def test_nothing_is_lost_and_nothing_is_there_twice(doings: list[tuple[str, Any]]) -> None:
    async def played() -> None:
        async with running() as bench:
            promised: list[tuple[Later, int, bytes]] = []
            for name, number in doings:
                match name:
                    case "take":
                        bench.take(number)
                    case "write":
                        bench.keeper.write()
                    case "promise":
                        for patient in (False, True):
                            later = bench.keeper.promise(number, patient=patient)
                            promised.append((later, number, bench.taken[number]))
                    case "full":
                        bench.disk.errors.append(FULL)
                    case "hold":
                        bench.disk.free.clear()
                    case "retry":
                        bench.keeper.retry()
                    case "free":
                        bench.disk.free.set()
                    case _:
                        bench.disk.free.set()
                        await bench.keeper.settled()
                for later, of, octets in promised:
                    if later.done and later.error is None:
                        assert bench.shown[of].startswith(octets)
                for of, octets in bench.shown.items():
                    assert bench.taken[of].startswith(octets)
            bench.disk.free.set()
            await bench.keeper.settled()
            bench.disk.errors.clear()
            await bench.retried()
            await asyncio.sleep(0)
            there = {number: octets for number, octets in bench.taken.items() if octets}
            assert joined(bench.disk.written) == there
            assert {number: octets for number, octets in bench.shown.items() if octets} == there
            assert all(later.done for later, _, _ in promised)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper_module, "AT_ONCE", 2)
        asyncio.run(played())


# --- the end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lasting", [True, False])
async def test_what_waits_at_the_end_is_written_if_it_is_to_last(
    monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    monkeypatch.setattr(keeper_module, "AT_ONCE", 2)
    async with running() as bench:
        bench.disk.free.clear()
        bench.take(0)
        bench.keeper.write()
        for number in range(1, 6):
            bench.take(number)
        last = bench.promise(5, "last")
        # The loop sets the disk free only after `close` has begun: it may not be what waits for it.
        asyncio.get_running_loop().call_soon(bench.disk.free.set)
        await bench.keeper.close(lasting=lasting)
        assert joined(bench.disk.written) == (bench.taken if lasting else {0: bench.taken[0]})
        assert bench.shown == joined(bench.disk.written)
        assert last.done
        assert (last.error is None) is lasting
        assert bench.disk.closed_by == "iondlms-store"


async def test_at_the_end_a_disk_that_took_nothing_is_tried_once_more() -> None:
    for better in (True, False):
        async with running() as bench:
            bench.disk.errors = [FULL] if better else [FULL, FULL]
            bench.take(1)
            patient = bench.promise(1, "patient", patient=True)
            await bench.keeper.settled()
            assert not patient.done
            await bench.keeper.close(lasting=True)
            assert bench.shown == (bench.taken if better else {})
            assert str(patient.error) == ("None" if better else str(FULL))
            assert bench.keeper._again is None or bench.keeper._again.cancelled()
            assert bench.disk.closed_by == "iondlms-store"


async def test_the_loop_goes_on_while_the_last_is_read() -> None:
    async with running() as bench:
        gate = threading.Event()
        read: list[bool] = []
        later = bench.keeper.read(lambda: gate.wait(5), read.append)
        asyncio.get_running_loop().call_soon(gate.set)  # never, if `close` waits in the loop's thread
        await bench.keeper.close(lasting=False)
        assert read == [True]
        assert later.done


# --- what is read ---------------------------------------------------------------------------------------


async def test_it_reads_in_a_thread_and_gives_it_to_the_loops() -> None:
    async with running() as bench:
        read: list[tuple[str, str, bool]] = []
        over = asyncio.Event()

        def take(where: str) -> None:
            read.append((where, threading.current_thread().name, later.done))

        later = bench.keeper.read(lambda: threading.current_thread().name.partition("_")[0], take)
        later.then(over.set)
        assert read == []
        await over.wait()
        assert read == [("iondlms-read", threading.current_thread().name, False)]
        assert later.error is None


async def test_it_reads_while_the_disk_is_held() -> None:
    async with running() as bench:
        bench.disk.free.clear()
        bench.take(1)
        bench.keeper.write()
        over = asyncio.Event()
        bench.keeper.read(int, lambda _: None).then(over.set)
        await over.wait()
        assert bench.disk.tried == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, str(FULL)),
        (ValueError("a bug"), "a bug"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), "odd"),
    ],
)
async def test_what_cannot_be_read_is_an_error_of_who_asked_and_of_nobody_else(
    error: Exception, said: str
) -> None:
    def wrong() -> bytes:
        raise error

    def never(_: object) -> None:
        raise AssertionError("nothing was read")

    async with running() as bench:
        over = asyncio.Event()
        later = bench.keeper.read(wrong, never)
        other = bench.keeper.read(lambda: b"rows", lambda _: None)
        other.then(over.set)
        await over.wait()
        assert isinstance(later.error, StoreError)
        assert said in str(later.error)
        assert other.error is None


def test_events_and_state_are_batches_too() -> None:
    """A batch of no rows merges as one of rows does."""

    def made(number: int) -> Pending:
        return Pending({}, [Event(number, 0, 10, "cause", "effect")])

    async def played() -> None:
        async with running() as bench:
            events: list[list[int]] = []
            bench.keeper._publish = lambda _, batch: events.append([each.sequence for each in batch.events])
            bench.disk.free.clear()
            bench.keeper.take(1, made(1))
            bench.keeper.write()
            bench.keeper.take(1, made(2))
            bench.keeper.take(1, made(3))
            bench.disk.free.set()
            await bench.keeper.settled()
            assert events == [[1], [2, 3]]

    asyncio.run(played())


async def test_at_the_end_nobody_reads_for_those_who_have_gone() -> None:
    async with running() as bench:
        gate = threading.Event()
        read: list[int] = []
        first = bench.keeper.read(lambda: gate.wait(5), lambda _: read.append(0))
        others = [bench.keeper.read(lambda: 1, read.append) for _ in range(1000)]
        asyncio.get_running_loop().call_soon(gate.set)
        await bench.keeper.close(lasting=False)
        assert read == [0]
        assert first.error is None
        assert {str(later.error) for later in others} == {"the store is closed"}


async def test_a_bug_in_what_takes_is_told_to_who_asked() -> None:
    async with running() as bench:
        over = asyncio.Event()

        def wrong(_: int) -> None:
            raise KeyError("a bug")

        later = bench.keeper.read(lambda: 1, wrong)
        later.then(over.set)
        await over.wait()
        assert isinstance(later.error, StoreError)


async def test_a_full_disk_is_told_once_and_what_it_loses(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        bench.disk.errors = [FULL] * 4
        bench.take(1)
        for _ in range(3):
            await bench.retried()
        assert caplog.text.count("the meters go on and try again") == 1
        await bench.keeper.close(lasting=True)
        assert caplog.text.count("the meters go on and try again") == 1
        assert "what was not written before is lost" in caplog.text


async def test_it_owes_until_it_has_shown() -> None:
    async with running() as bench:
        bench.disk.free.clear()
        bench.take(1)
        assert not bench.keeper.owes(1)
        later = bench.keeper.promise(1)
        assert bench.keeper.owes(1)
        bench.keeper.write()
        assert bench.keeper.owes(1)
        bench.disk.free.set()
        await bench.keeper.settled()
        assert later.done
        assert not bench.keeper.owes(1)
