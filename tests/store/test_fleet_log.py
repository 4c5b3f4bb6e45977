"""A fleet's log, whose rows are in the store, against one in memory: what it is asked for it has."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from sys import getrefcount
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.ion import MemoryLog, Pending, Row, RowFormat
from iondlms.ion.recorder import NewRows
from iondlms.later import Later, NotYet
from iondlms.meter.fleet_keeper import FleetKeeper
from iondlms.store import FleetLog, FleetStore, Place, Reads, StoreError
from iondlms.store import fleet as fleet_module

FORM = RowFormat(1)
RECORDER = "log"
BEGIN_MS = 1_760_000_000_000
MINUTE_MS = 60_000
T = TypeVar("T")


class Reader:
    """Reads when it is told to; what it has read arrives when it is told to."""

    def __init__(self) -> None:
        self._asked: list[tuple[Callable[[], Any], Callable[[Any], None], Later]] = []
        self._read: list[tuple[Any, Callable[[Any], None], Later]] = []

    def __call__(self, job: Callable[[], T], take: Callable[[T], None]) -> Later:
        later = Later()
        self._asked.append((job, take, later))
        return later

    def read(self) -> None:
        asked, self._asked = self._asked, []
        self._read += [(job(), take, later) for job, take, later in asked]

    def arrive(self) -> None:
        read, self._read = self._read, []
        for found, take, later in read:
            take(found)
            later.settle()

    def all(self) -> None:
        self.read()
        self.arrive()


def at_once(job: Callable[[], T], take: Callable[[T], None]) -> Later:
    """Read in no time, and have it said only afterwards."""
    later = Later()
    take(job())
    later.settle()
    return later


class Asking(NamedTuple):
    """A log's own questions; the answers, where it has to read first."""

    log: FleetLog
    reader: Reader | None = None

    def ask(self, ask: Callable[..., T], *of: int) -> T:
        again: Callable[[], AbstractContextManager[None]] = nullcontext
        for _ in range(3):  # to have it read, to have it; who has to ask more often may ask for ever
            try:
                with again():
                    return ask(*of)
            except NotYet as waits:
                later, again = waits.later, waits.again
            if self.reader is not None:
                assert not later.done
                self.reader.all()
            assert later.done
            assert later.error is None
        raise AssertionError(f"{ask} {of} is never answered")

    def packed(self, first: int, end: int) -> bytes:
        return self.ask(self.log.packed, first, end)

    def pieces(self, first: int, end: int) -> list[bytes]:
        return self.ask(self.log.pieces, first, end)

    def instants(self, first: int, end: int) -> list[int]:
        return self.ask(self.log.instants, first, end)

    def find(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
        return self.ask(self.log.find, start_ms, end_ms)

    def buffer(self, start_ms: int, end_ms: int) -> bytes:
        """Ask as a profile does: for a range and then its rows, all again until all is there."""

        def rows() -> bytes:
            runs = self.log.find(start_ms, end_ms)
            return b"".join([piece for run in runs for piece in self.log.pieces(*run)])

        return self.ask(rows)


class Bench:
    """A meter in a store: a log of it, and one in memory that is told the same."""

    numbers = itertools.count()

    def __init__(self, store: FleetStore, depth: int, reads: Reads | None = None) -> None:
        self.store = store
        self.place = Place(next(self.numbers), store.recorder(RECORDER))
        self.depth = depth
        self.reads = reads
        self.memory = MemoryLog(FORM, depth)
        self.log = FleetLog(store, self.place, FORM, depth, reads)
        self.end = 0
        self.at_ms = BEGIN_MS

    @property
    def asking(self) -> Asking:
        return Asking(self.log, self.reads if isinstance(self.reads, Reader) else None)

    def rows(self, steps: list[int]) -> bytes:
        packed: list[bytes] = []
        for step in steps:
            self.at_ms += step * MINUTE_MS
            packed.append(FORM.pack(Row(self.at_ms, 0, (self.end + len(packed),))))
        return b"".join(packed)

    def write(self, octets: bytes, *, cleared: bool = False) -> NewRows:
        """Write rows, of which the log is not told."""
        rows = NewRows(self.end, FORM.stride, self.depth, cleared, bytearray(octets))
        self.end = rows.end
        self.store.write({self.place.meter: Pending({RECORDER: rows})})
        return rows

    def tell(self, rows: NewRows) -> None:
        for log in (self.memory, self.log):
            if rows.cleared:
                log.clear(rows.first)
            log.extend(rows.octets)

    def append(self, *steps: int) -> None:
        self.tell(self.write(self.rows(list(steps))))

    def clear(self) -> None:
        self.tell(self.write(b"", cleared=True))

    def resize(self, depth: int) -> None:
        self.depth = depth
        self.memory.resize(depth)
        self.log.resize(depth)
        self.write(b"")  # in the store the next batch cuts the ring

    def attach(self) -> None:
        """Go on in a new process."""
        self.log = FleetLog(self.store, self.place, FORM, self.depth, self.reads)
        self.log.attach()
        self.log.resize(self.depth)
        if not self.log.count:  # nobody has kept the number; the recorder's state has
            self.log.clear(self.end)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetStore]:
    """One for all examples, each of which is a meter of its own."""
    opened = FleetStore.open(tmp_path_factory.mktemp("fleet"), "pattern", lasting=False)
    opened.recorder(RECORDER)
    yield opened
    opened.close()


@contextmanager
def read_by(many: int) -> Iterator[None]:
    with patch.object(fleet_module, "_MANY", many):
        yield


steps = st.lists(st.sampled_from((15, 15, 15, 1, 0, -20, -100)), max_size=9)
numbers = st.integers(-3, 60)
moments = st.integers(-40, 60).map(lambda quarters: BEGIN_MS + quarters * 7 * MINUTE_MS)
doings = st.one_of(
    st.tuples(st.just("append"), steps),
    st.tuples(st.just("append"), steps),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("resize"), st.integers(1, 12)),
    st.tuples(st.just("attach"), st.none()),
    st.tuples(st.just("rows"), st.tuples(numbers, numbers)),
    st.tuples(st.just("find"), st.tuples(moments, moments)),
)
ways: st.SearchStrategy[Callable[[], Reads | None]] = st.sampled_from((lambda: None, lambda: at_once, Reader))


@given(doings=st.lists(doings, max_size=16), depth=st.integers(1, 25), way=ways, many=st.integers(1, 6))
def test_it_is_the_log_in_memory(
    store: FleetStore,
    doings: list[tuple[str, Any]],
    depth: int,
    way: Callable[[], Reads | None],
    many: int,
) -> None:
    bench = Bench(store, depth, way())
    with read_by(many):
        for name, of in [*doings, ("rows", (-1, 1000)), ("find", (BEGIN_MS, BEGIN_MS + 90 * MINUTE_MS))]:
            match name:
                case "append":
                    bench.append(*of)
                case "clear":
                    bench.clear()
                case "resize":
                    bench.resize(of)
                case "attach":
                    bench.attach()
                case "rows":
                    log, memory = bench.asking, bench.memory
                    assert log.packed(*of) == b"".join(log.pieces(*of)) == memory.packed(*of)
                    assert all(log.pieces(*of))  # none empty
                    assert log.instants(*of) == list(memory.instants(*of))
                case _:
                    start_ms, end_ms = of
                    runs = bench.memory.find(start_ms, end_ms)
                    assert bench.asking.find(start_ms, end_ms) == runs
                    rows = b"".join([bench.memory.packed(*run) for run in runs])
                    assert bench.asking.buffer(start_ms, end_ms) == rows
            of_log = bench.log.first, bench.log.end, bench.log.count
            assert of_log == (bench.memory.first, bench.memory.end, bench.memory.count)


@given(
    before=st.lists(steps, max_size=4),
    ahead=steps,
    cleared=st.booleans(),
    attached=st.booleans(),
    depth=st.integers(1, 12),
    asked=st.lists(st.tuples(moments, moments, numbers, numbers), min_size=1, max_size=4),
    way=ways,
)
def test_of_rows_that_are_forgotten_and_nobody_has_said_so_the_rest_is_given(
    store: FleetStore,
    before: list[list[int]],
    ahead: list[int],
    cleared: bool,
    attached: bool,
    depth: int,
    asked: list[tuple[int, int, int, int]],
    way: Callable[[], Reads | None],
) -> None:
    bench = Bench(store, depth, way())
    for each in before:
        bench.append(*each)
    if attached:
        bench.attach()
    told = bench.write(bench.rows(ahead), cleared=cleared)
    forgotten = told.first if cleared else 0
    if told.octets:
        forgotten = max(forgotten, told.end - depth)
    left = list(range(max(bench.log.first, forgotten), bench.log.end))
    with read_by(4):
        for start_ms, end_ms, first, end in asked:
            kept = [number for number in left if first <= number < end]
            assert bench.asking.packed(first, end) == b"".join(
                [bench.memory.packed(number, number + 1) for number in kept]
            )
            inside = [
                number
                for number in left
                if start_ms <= bench.memory.instants(number, number + 1)[0] <= end_ms
            ]
            runs = bench.asking.find(start_ms, end_ms)
            assert [number for run in runs for number in range(*run)] == inside
            assert bench.asking.buffer(start_ms, end_ms) == b"".join(
                [bench.memory.packed(number, number + 1) for number in inside]
            )
        bench.tell(told)
        for start_ms, end_ms, first, end in asked:
            assert bench.asking.find(start_ms, end_ms) == bench.memory.find(start_ms, end_ms)
            assert bench.asking.packed(first, end) == bench.memory.packed(first, end)


@pytest.mark.parametrize("attached", [False, True])
def test_many_rows_come_in_their_order(store: FleetStore, attached: bool) -> None:
    bench = Bench(store, 5000, Reader())
    bench.append(*[15] * 2500)
    if attached:
        bench.attach()
    log, memory = bench.asking, bench.memory
    assert memory.count == 2500 > 2 * fleet_module._MANY
    assert len(log.pieces(0, 2500)) == 3
    assert log.packed(0, 2500) == memory.packed(0, 2500)
    assert log.packed(1023, 2049) == memory.packed(1023, 2049)
    quarter = 15 * MINUTE_MS
    assert log.find(BEGIN_MS + 700 * quarter, BEGIN_MS + 2299 * quarter) == ((699, 2299),)
    assert log.buffer(BEGIN_MS, BEGIN_MS + 3000 * quarter) == memory.packed(0, 2500)


@pytest.mark.parametrize("runs", [1, 7, 8, 9, 40])
def test_a_clock_that_was_often_set_back_keeps_nobody_asking(store: FleetStore, runs: int) -> None:
    """The rows of all runs are read with the range: none may be forgotten before it is asked for."""
    bench = Bench(store, 1000, Reader())
    bench.append(*[15, 15, 15, 15, -60] * runs)
    found = bench.memory.find(BEGIN_MS + 20 * MINUTE_MS, BEGIN_MS + 50 * MINUTE_MS)
    assert len(found) == runs
    log = bench.asking
    rows = b"".join([bench.memory.packed(*run) for run in found])
    for _ in range(3):
        assert log.buffer(BEGIN_MS + 20 * MINUTE_MS, BEGIN_MS + 50 * MINUTE_MS) == rows


HOUR = BEGIN_MS, BEGIN_MS + 60 * MINUTE_MS


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("come", ["before the reading", "before it arrives", "when it has arrived"])
@pytest.mark.parametrize("new", [(15,), (-15,), (15,) * 6])
def test_who_asks_after_one_who_went_sees_what_came_meanwhile(
    store: FleetStore, come: str, new: tuple[int, ...], attached: bool
) -> None:
    reader = Reader()
    bench = Bench(store, 5, reader)
    bench.append(15, 15)
    if attached:
        bench.attach()
    for ask in (bench.log.find, bench.log.pieces):
        with pytest.raises(NotYet):
            ask(*(HOUR if ask == bench.log.find else (0, 100)))  # and is never seen again
    if come == "before the reading":
        bench.append(*new)
    reader.read()
    if come == "before it arrives":
        bench.append(*new)
    reader.arrive()
    if come == "when it has arrived":
        bench.append(*new)
    assert bench.asking.find(*HOUR) == bench.memory.find(*HOUR)
    rows = b"".join([bench.memory.packed(*run) for run in bench.memory.find(*HOUR)])
    assert bench.asking.buffer(*HOUR) == rows
    assert bench.asking.packed(0, 100) == bench.memory.packed(0, 100)


def test_an_answer_of_before_a_reset_is_none(store: FleetStore) -> None:
    reader = Reader()
    bench = Bench(store, 5, reader)
    bench.append(15, 15)
    with pytest.raises(NotYet):
        bench.log.find(*HOUR)
    reader.read()
    bench.clear()
    reader.arrive()
    assert bench.asking.find(*HOUR) == ()
    assert bench.asking.packed(0, 100) == b""
    bench.append(15)
    assert bench.asking.find(*HOUR) == ((2, 3),)


def test_where_rows_of_an_earlier_process_fall_back_is_looked_for_once(store: FleetStore) -> None:
    bench = Bench(store, 100, Reader())
    bench.append(*[15, 15, -20] * 5)
    bench.attach()
    with patch.object(FleetStore, "_falls", autospec=True, side_effect=FleetStore._falls) as looks:
        for _ in range(3):
            assert bench.asking.find(*HOUR) == bench.memory.find(*HOUR)
            bench.append(15, -20)
        assert looks.call_count == 1


def test_two_who_ask_the_same_are_both_answered(store: FleetStore) -> None:
    reader = Reader()
    bench = Bench(store, 10, reader)
    bench.append(*[15] * 4)
    answers: list[bytes] = []

    def ask(again: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        try:
            with again():
                answers.append(bench.log.packed(0, 4))
        except NotYet as waits:
            waits.later.then(partial(ask, waits.again))

    ask()
    ask()
    reader.all()
    assert answers == [bench.memory.packed(0, 4)] * 2


def test_what_was_read_is_his_who_asked_and_goes_with_him(store: FleetStore) -> None:
    reader = Reader()
    bench = Bench(store, 500, reader)
    bench.append(*[15] * 300)
    with pytest.raises(NotYet) as waits:
        bench.log.pieces(0, 300)
    reader.all()
    assert bench.log._answers is None
    with pytest.raises(NotYet):
        bench.log.pieces(0, 300)  # of another, who has to have them read himself
    with waits.value.again():
        rows = bench.log.pieces(0, 300)
    assert b"".join(rows) == bench.memory.packed(0, 300)
    before = getrefcount(rows)
    del waits
    gc.collect()
    assert getrefcount(rows) < before  # nobody else holds them


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("come", ["before the reading", "before it arrives"])
def test_who_asks_is_answered_however_many_rows_come(store: FleetStore, come: str, attached: bool) -> None:
    """He had to ask for ever where they came faster than they were read."""
    reader = Reader()
    bench = Bench(store, 50, reader)
    bench.append(*[15] * 50)
    if attached:
        bench.attach()
    runs = bench.memory.find(BEGIN_MS, BEGIN_MS + 10**9)
    octets = bench.memory.packed(0, 50)

    def ask() -> tuple[int, bytes, bytes]:
        found = bench.log.find(BEGIN_MS, BEGIN_MS + 10**9)
        rows = b"".join([piece for run in found for piece in bench.log.pieces(*run)])
        return bench.log.count, rows, bench.log.packed(bench.log.first, bench.log.end)

    again: Callable[[], AbstractContextManager[None]] = nullcontext
    asked, answer = 0, None
    while answer is None and asked < 5:
        asked += 1
        try:
            with again():
                answer = ask()
            break
        except NotYet as waits:
            again = waits.again
        if come == "before the reading":
            bench.append(15)
        reader.read()
        if come == "before it arrives":
            bench.append(15)
        reader.arrive()
    assert answer is not None
    assert asked <= 3  # for the range, for the whole log
    assert runs == ((0, 50),)
    # What the writer has forgotten before it could be read is not there, all else is of one moment.
    kept = octets if come == "before it arrives" else octets[FORM.stride :]
    assert answer[:2] == (50, kept)
    assert (bench.log.first, bench.log.end) == (bench.memory.first, bench.memory.end) != (0, 50)
    assert bench.asking.packed(0, 100) == bench.memory.packed(0, 100)


def test_octets_that_are_no_rows_are_refused(store: FleetStore) -> None:
    with pytest.raises(StoreError, match="are not whole rows"):
        Bench(store, 5).log.extend(b"12345")


# --- what goes wrong in the reader's thread -------------------------------------------------------------


async def failure(store: FleetStore, ask: Callable[[FleetLog], object]) -> object:
    """Return the error that a log's reading ends with, and close."""
    keeper = FleetKeeper(store, lambda *_: None)
    log = FleetLog(store, Place(0, 1), FORM, 3000, keeper.read)
    log.extend(FORM.pack(Row(BEGIN_MS, 0, (1,))) * 2000)
    told = asyncio.Event()
    with pytest.raises(NotYet) as waits:
        ask(log)
    waits.value.later.then(told.set)
    async with asyncio.timeout(20):
        await told.wait()
    await keeper.close(lasting=False)
    return waits.value.later.error


ASKING: list[Callable[[FleetLog], object]] = [
    lambda log: log.packed(0, 2000),
    lambda log: log.find(*HOUR),
]


def filled(folder: Path) -> FleetStore:
    opened = FleetStore.open(folder, "pattern")
    assert opened.recorder(RECORDER) == 1
    rows = FORM.pack(Row(BEGIN_MS, 0, (1,))) * 2000
    opened.write({0: Pending({RECORDER: NewRows(0, FORM.stride, 3000, False, bytearray(rows))})})
    return opened


@pytest.mark.parametrize("ask", ASKING)
async def test_a_closed_database_is_an_error_of_who_asked(
    tmp_path: Path, ask: Callable[[FleetLog], object]
) -> None:
    opened = filled(tmp_path)
    opened._reading.close()
    error = await failure(opened, ask)
    assert isinstance(error, StoreError)
    assert "cannot read" in str(error)
    assert "closed database" in str(error)


@pytest.mark.parametrize("ask", ASKING)
async def test_a_damaged_database_is_an_error_of_who_asked(
    tmp_path: Path, ask: Callable[[FleetLog], object]
) -> None:
    filled(tmp_path).close()
    path = tmp_path / "fleet.sqlite"
    octets = bytearray(path.read_bytes())
    page = int.from_bytes(octets[16:18], "big")
    opened = FleetStore.open(tmp_path, "pattern")
    with path.open("r+b") as file:
        for begin in range(5 * page, len(octets), page):
            file.seek(begin)
            file.write(bytes(page))
    error = await failure(opened, ask)
    assert isinstance(error, StoreError)
    assert "malformed" in str(error)


@pytest.mark.parametrize("ask", ASKING)
async def test_so_is_a_bug(
    tmp_path: Path, ask: Callable[[FleetLog], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise TypeError("cannot unpack")

    monkeypatch.setattr(FleetStore, "_pieces", wrong)
    monkeypatch.setattr(FleetStore, "_instant", wrong)
    error = await failure(filled(tmp_path), ask)
    assert isinstance(error, StoreError)
    assert str(error) == "cannot unpack"
