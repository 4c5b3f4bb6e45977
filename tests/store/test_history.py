"""Rows of a file put into a recorder: where they belong, all or none, and out again as they were."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ion.builders import QUARTER, SOURCES, small_framework
from tests.store.builders import BEGIN, fill, rows_in

from iondlms.errors import LocalError
from iondlms.ion import IonMeter, Priority, Row, RowFormat
from iondlms.sources import SimulatedLoad
from iondlms.store import Store, StoreError, import_rows, read_rows, write_text

NOW = BEGIN + 10**9
FIRST = BEGIN - BEGIN % QUARTER + QUARTER  # of the rows that `fill` makes


def row(at_ms: int, value: int = 7) -> Row:
    return Row(at_ms, 0, (value,) * len(SOURCES))


def imported(folder: Path, rows: list[Row], *, replace: bool = False) -> list[Row]:
    """Import, start a meter on the folder, and return the rows that it has."""
    with Store.open(folder) as store:
        import_rows(store, "log", rows, now_ms=NOW, replace=replace)
    return restarted(folder)


def restarted(folder: Path) -> list[Row]:
    with Store.open(folder) as store:
        saved = store.load()
    assert saved is not None
    meter = IonMeter(small_framework(depth=saved.state.recorders["log"].depth), SimulatedLoad(3))
    meter.start(NOW, 0.0, saved)
    return rows_in(meter)


def test_rows_of_before_and_after_those_there(tmp_path: Path) -> None:
    meter = fill(tmp_path)
    there = rows_in(meter)
    before = [row(FIRST - 2 * QUARTER), row(FIRST - QUARTER)]
    after = [row(there[-1].utc_ms + QUARTER)]
    assert imported(tmp_path, before) == before + there
    assert imported(tmp_path, after) == before + there + after


def test_a_gap_is_filled(tmp_path: Path) -> None:
    there = rows_in(fill(tmp_path))
    hole = there[3:6]
    assert imported(tmp_path, hole, replace=True) == there
    with Store.open(tmp_path) as store:
        store.replace_rows("log", RowFormat(len(SOURCES)).pack(there[0]), store.archive.events()[-1])
        import_rows(store, "log", there[1:], now_ms=NOW)
    assert restarted(tmp_path) == there


def test_rows_that_are_there_give_way_only_when_asked(tmp_path: Path) -> None:
    there = rows_in(fill(tmp_path))
    new = [row(there[2].utc_ms), row(there[4].utc_ms)]
    with Store.open(tmp_path) as store:
        before = store.load()
        with pytest.raises(LocalError, match="3 rows of 'log' are within the span"):
            import_rows(store, "log", new, now_ms=NOW)
        assert store.load() == before
        done = import_rows(store, "log", new, now_ms=NOW, replace=True)
    assert (done.added, done.replaced, done.forgotten) == (2, 3, 0)
    assert restarted(tmp_path) == there[:2] + new + there[5:]


def test_the_depth_stays(tmp_path: Path) -> None:
    there = rows_in(fill(tmp_path, depth=10))
    new = [row(FIRST - number * QUARTER) for number in range(20, 0, -1)]
    with Store.open(tmp_path) as store:
        done = import_rows(store, "log", new, now_ms=NOW)
    assert done.forgotten == 18
    assert restarted(tmp_path) == new[-2:] + there


def test_numbers_are_not_used_again(tmp_path: Path) -> None:
    fill(tmp_path)
    with Store.open(tmp_path) as store:
        import_rows(store, "log", [row(FIRST - QUARTER)], now_ms=NOW)
        assert store.archive.rows("log").first == 8
        state = store.archive.state()
    assert state is not None
    assert (state.recorders["log"].next_sequence, state.recorders["log"].rearm_sequence) == (17, 8)


def test_an_import_is_an_event(tmp_path: Path) -> None:
    fill(tmp_path)
    with Store.open(tmp_path) as store:
        before = store.archive.events()
        import_rows(store, "log", [row(FIRST - QUARTER)], now_ms=NOW)
        *rest, event = store.archive.events()
        assert tuple(rest) == before
        assert (event.sequence, event.priority) == (before[-1].sequence + 1, Priority.SETUP_CHANGE)
        assert (event.cause, event.effect, event.utc_ms) == ("log", "1 rows imported, 0 replaced", NOW)
        state = store.archive.state()
    assert state is not None
    assert state.next_event == event.sequence + 1


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no rows"),
        ([row(NOW + 1)], "later than the meter's clock"),
        ([row(-(10**14))], "years are 2 to 9998"),
    ],
)
def test_what_no_meter_can_have_is_refused(tmp_path: Path, rows: list[Row], told: str) -> None:
    fill(tmp_path)
    with Store.open(tmp_path) as store:
        before = store.load()
        with pytest.raises(LocalError, match=told):
            import_rows(store, "log", rows, now_ms=NOW, replace=True)
        assert store.load() == before


def test_no_meter_and_no_recorder(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, pytest.raises(StoreError, match="no recorder 'log'"):
        import_rows(store, "log", [row(FIRST)], now_ms=NOW)
    fill(tmp_path)
    with Store.open(tmp_path) as store, pytest.raises(StoreError, match="no recorder 'other'"):
        import_rows(store, "other", [row(FIRST)], now_ms=NOW)


def test_a_full_disk_takes_all_of_an_import_or_none(tmp_path: Path) -> None:
    fill(tmp_path, depth=10_000)
    new = [row(FIRST - number * QUARTER) for number in range(5000, 0, -1)]
    with Store.open(tmp_path) as store:
        before = store.load()
        database = store._database
        database.execute(f"pragma max_page_count = {database.execute('pragma page_count').fetchone()[0]}")
        with pytest.raises(StoreError, match="full"):
            import_rows(store, "log", new, now_ms=NOW)
        assert store.load() == before


def test_a_clock_that_was_once_set_back(tmp_path: Path) -> None:
    """Rows stay in the order of their recording; the file's stand after the last that is older."""
    fill(tmp_path)
    quarters = [FIRST + number * QUARTER for number in range(8)]
    order = [0, 1, 2, 6, 7, 3, 4]  # set back by four quarters after the fifth row
    stride = RowFormat(len(SOURCES))
    with Store.open(tmp_path) as store:
        octets = b"".join(stride.pack(row(quarters[each], each)) for each in order)
        store.replace_rows("log", octets, store.archive.events()[-1])
        import_rows(store, "log", [row(quarters[5], 5)], now_ms=NOW)
        kept = [each.values[0] for each in store.archive.rows("log")]
    assert kept == [0, 1, 2, 6, 7, 3, 4, 5]


values = st.none() | st.integers(-(1 << 63) + 1, (1 << 63) - 1)
# Where the file's last row is the newest, the meter must be able to go on from its registers.
registers = st.none() | st.integers(0, 10**10 - 1)
row_values = st.tuples(*[registers if name in ("kWh del", "kWh rec") else values for name in SOURCES])
times = st.lists(st.integers(0, NOW), min_size=1, max_size=40, unique=True).map(sorted)


@settings(max_examples=30)
@given(times, st.data())
def test_out_in_and_out_is_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, made: list[int], data: st.DataObject
) -> None:
    """Also after a start of the meter, and for every order in which the parts of a file come in."""
    folder = tmp_path_factory.mktemp("round")
    fill(folder / "a", hours=0.0)
    rows = [Row(at, data.draw(st.integers(0, 0xFFFF)), data.draw(row_values)) for at in made]
    with Store.open(folder / "a") as store:
        import_rows(store, "log", rows, now_ms=NOW)
    first = exported(folder / "a", folder / "a.csv")
    assert read_rows(folder / "a.csv", SOURCES) == rows
    fill(folder / "b", hours=0.0)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [part for part in (rows[:cut], rows[cut:]) if part]
    if data.draw(st.booleans()):
        parts.reverse()
    with Store.open(folder / "b") as store:
        for part in parts:
            import_rows(store, "log", part, now_ms=NOW)
    assert exported(folder / "b", folder / "b.csv") == first
    assert restarted(folder / "b") == rows


def exported(folder: Path, path: Path) -> str:
    with Store.open(folder) as store:
        stream = io.StringIO()
        write_text(store.archive.rows("log"), SOURCES, "csv", stream)
    path.write_text(stream.getvalue(), encoding="utf-8")
    return stream.getvalue()
