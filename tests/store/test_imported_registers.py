"""Registers that go on from rows of a file, and go back where those rows give way to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.ion.builders import QUARTER, SOURCES, small_framework
from tests.store.builders import BEGIN, fill, rows_in
from tests.store.test_history import FIRST, NOW

from iondlms.errors import LocalError
from iondlms.ion import Flow, IonMeter, MeterState, Pending, PowerMeterSetup, Row, RowFormat, Status
from iondlms.sources import SimulatedLoad
from iondlms.store import Imported, Store, import_rows

MS_PER_HOUR = 3_600_000
TURN = 10_000_000_000  # Wh, of the default


def metered(folder: Path, hours: float = 0.6) -> tuple[list[Row], IonMeter]:
    """Start a meter where the import ended, and return the rows that it records from then on."""
    with Store.open(folder) as store:
        saved = store.load()
        assert saved is not None
        sources = store.archive.rows("log").sources
        depth = saved.state.recorders["log"].depth
        meter = IonMeter(small_framework(depth=depth, sources=sources), SimulatedLoad(3, step_s=300))
        meter.start(saved.state.alive_ms, 0.0, saved)
        log = meter.recorders["log"].log
        before = log.end
        batch = meter.advance(hours * 3600)
        store.write(batch)
        meter.publish(batch)
    return list(RowFormat(len(sources)).unpack(log.packed(before, log.end))), meter


def of_energies(at_ms: int, delivered: int | None, received: int = 0, net: int | None = None) -> Row:
    """A row of SOURCES: an interval, two registers, their difference, a demand and a power factor."""
    return Row(at_ms, 0, (5, delivered, received, net, None, None))


def imported(folder: Path, *rows: Row, rollover: int | None = None, now_ms: int = NOW) -> Imported:
    with Store.open(folder) as store:
        return import_rows(store, "log", rows, now_ms=now_ms, replace=True, rollover=rollover)


def kept(folder: Path) -> MeterState:
    with Store.open(folder) as store:
        state = store.archive.state()
    assert state is not None
    return state


def shown(folder: Path) -> list[int]:
    """kWh del and kWh rec in Wh, with their turns."""
    return [round(each / MS_PER_HOUR) for each in kept(folder).power_meter.totals[:2]]


def keep(folder: Path, totals: Sequence[int] | None = None, **changes: object) -> None:
    """Let the folder's meter have these registers, in Wh, or this state of its Power Meter."""
    state = kept(folder)
    if totals is not None:
        changes["totals"] = Flow(*(each * MS_PER_HOUR for each in totals))
    power_meter = replace(state.power_meter, **changes)  # type: ignore[arg-type]
    with Store.open(folder) as store:
        store.write(Pending(state=replace(state, power_meter=power_meter)))


@pytest.fixture
def newest(tmp_path: Path) -> int:
    """The time of the newest row that the meter of tmp_path has recorded."""
    return rows_in(fill(tmp_path))[-1].utc_ms


# --- raised -------------------------------------------------------------------------------------------


def test_registers_go_on_from_the_newest_row(tmp_path: Path, newest: int) -> None:
    rows = [of_energies(newest + 1000, 70_000_000), of_energies(newest + 2000, 80_000_123, 7)]
    done = imported(tmp_path, *rows, now_ms=newest + QUARTER)
    assert done.raised == {"kWh del": 80_000_123, "kWh rec": 7}
    with Store.open(tmp_path) as store:
        assert store.archive.events()[-1].effect == "2 rows imported, 0 replaced; registers go on from them"
    rows, meter = metered(tmp_path)
    interval, delivered, received, net, _, _ = rows[0].values
    assert delivered is not None
    assert received == 7
    # What flowed since the interval began, before the import too, and not the jump.
    assert interval is not None
    assert 0 < interval < 50_000
    assert 0 < delivered - 80_000_123 <= interval
    assert net == delivered - received
    second = rows[1].values
    assert second[1] == delivered + (second[0] or 0)
    assert abs(second[4] or 0) < 200_000  # nor is it anybody's demand
    # What is not recorded there stays.
    assert meter.power_meter.value("kVARh del", 0) != 80_000_123


def test_a_register_that_has_more_is_not_lowered(tmp_path: Path, newest: int) -> None:
    before = kept(tmp_path).power_meter
    done = imported(tmp_path, of_energies(newest + 1, 1))
    assert (done.raised, done.lowered) == ({}, {})
    assert kept(tmp_path).power_meter == before


@pytest.mark.parametrize("at_ms", [FIRST - 1, FIRST + 1])
def test_registers_stay_where_the_meter_has_gone_on_itself(tmp_path: Path, at_ms: int, newest: int) -> None:
    """Whether all its rows are newer, or some are, and some older."""
    before = kept(tmp_path)
    assert imported(tmp_path, of_energies(at_ms, 80_000_000)).raised == {}
    # Nor is it looked at there: no register goes on from it.
    assert imported(tmp_path, of_energies(at_ms, -1)).raised == {}
    assert kept(tmp_path).power_meter == before.power_meter
    assert kept(tmp_path).imports is None


def test_a_row_that_was_recorded_before_the_clock_was_set_back_is_newer(tmp_path: Path) -> None:
    fill(tmp_path)
    with Store.open(tmp_path) as store:
        pack = RowFormat(len(SOURCES)).pack
        octets = b"".join(pack(of_energies(FIRST + each, 1)) for each in (0, 9000, 1000))
        store.replace_rows("log", octets, store.archive.events()[-1])
    assert imported(tmp_path, of_energies(FIRST + 2000, 80_000_000)).raised == {}
    assert imported(tmp_path, of_energies(FIRST + 9001, 80_000_000)).raised == {"kWh del": 80_000_000}


def test_registers_of_another_meter_are_its_own(tmp_path: Path, newest: int) -> None:
    keep(tmp_path, followed=(True, False, True, True, True))
    assert imported(tmp_path, of_energies(newest + 1, -1, 90_000_000)).raised == {"kWh rec": 90_000_000}


# --- which row tells ----------------------------------------------------------------------------------


def test_a_row_of_an_outage_tells_no_register(tmp_path: Path, newest: int) -> None:
    rows = [
        of_energies(newest + 1, 80_000_000),
        Row(newest + 2, Status.POWER_DOWN, (0,) * 6),
        Row(newest + 3, Status.POWER_DOWN, (0, 0, 0, None, None, None)),
        Row(newest + 4, 0xFFFF, (0,) * 6),
    ]
    assert imported(tmp_path, *rows).raised == {"kWh del": 80_000_000}


def test_a_register_without_a_value_is_told_by_the_row_before(tmp_path: Path, newest: int) -> None:
    rows = [of_energies(newest + 1, 80_000_000, 60_000_000), of_energies(newest + 2, None, 70_000_000)]
    assert imported(tmp_path, *rows).raised == {"kWh del": 80_000_000, "kWh rec": 70_000_000}


def test_a_register_of_zero_is_zero(tmp_path: Path, newest: int) -> None:
    rows = [of_energies(newest + 1, 80_000_000, 50_000_000), of_energies(newest + 2, 90_000_000, 0)]
    assert imported(tmp_path, *rows).raised == {"kWh del": 90_000_000}
    assert shown(tmp_path)[1] == 0


@pytest.mark.parametrize("status", [Status.MASTER_RESET, Status.MASTER_RESET | Status.TIME_CHANGED])
def test_all_registers_are_zero_after_a_master_reset(tmp_path: Path, newest: int, status: Status) -> None:
    rows = [of_energies(newest + 1, 80_000_000, 50_000_000), Row(newest + 2, int(status), (0,) * 6)]
    assert imported(tmp_path, *rows).raised == {}


# --- what no register can show ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (-1, r"kWh del is -0\.001, .*from 10000000 to 0.*; correct the row$"),
        (-(1 << 62), r"kWh del is -4611686018427387\.904, .*; correct the row$"),
        (TURN, r"kWh del is 10000000\.000, .*from 10000000 to 0.*; correct the row or name the conf"),
        (12_345_678_901_000, r"kWh del is 12345678901\.000, .*; correct the row or name the conf"),
    ],
)
def test_a_value_that_the_register_cannot_show_is_refused(
    tmp_path: Path, newest: int, value: int, told: str
) -> None:
    with Store.open(tmp_path) as store:
        before = store.load()
    for after in ([], [Row(newest + 2, Status.POWER_DOWN, (0,) * 6)]):
        rows = [of_energies(newest + 1, value), *after]
        with pytest.raises(LocalError, match=f"row 2026-03-10T12:00:00.001Z: {told}"):
            imported(tmp_path, *rows, rollover=10_000_000)
        with Store.open(tmp_path) as store:
            assert store.load() == before


def test_only_what_a_register_would_go_on_from_is_looked_at(tmp_path: Path, newest: int) -> None:
    rows = [
        of_energies(newest + 1, -1, TURN),
        Row(newest + 2, 0, (-5, TURN - 1, 0, -TURN, -5, -5)),
    ]
    assert imported(tmp_path, *rows).raised == {"kWh del": TURN - 1}
    assert shown(tmp_path) == [TURN - 1, 0]


# --- where registers turn over ------------------------------------------------------------------------


def test_a_register_that_has_turned_over(tmp_path: Path, newest: int) -> None:
    keep(tmp_path, [1_002_000] * 5)
    # It shows 2 kWh, and has counted 1002.
    done = imported(tmp_path, of_energies(newest + 2, 3000), rollover=1000)
    assert done.raised == {"kWh del": 3000}
    assert shown(tmp_path) == [1_003_000, 1_002_000]


def test_the_folder_knows_where_its_registers_turn_over(tmp_path: Path, newest: int) -> None:
    framework = small_framework(power_meter=PowerMeterSetup(rollover=100_000_000))
    meter = IonMeter(framework, SimulatedLoad(3))
    with Store.open(tmp_path) as store:
        meter.start(BEGIN + 2 * MS_PER_HOUR, 0.0, store.load())
        store.write(meter.advance(1.0))
    assert kept(tmp_path).power_meter.rollover == 100_000_000
    value = 12_000_000_000
    assert imported(tmp_path, of_energies(NOW - 1, value)).raised == {"kWh del": value}
    assert shown(tmp_path)[0] == value
    with pytest.raises(LocalError, match="from 100000000 to 0"):
        imported(tmp_path, of_energies(NOW, 100_000_000_000))
    # A configuration knows better: the meter may not have run with it yet.
    with pytest.raises(LocalError, match="from 10000000 to 0"):
        imported(tmp_path, of_energies(NOW, value), rollover=10_000_000)


def test_a_folder_of_before_takes_the_default_and_asks_for_the_configuration(
    tmp_path: Path, newest: int
) -> None:
    state = kept(tmp_path)
    assert state.power_meter.rollover == 10_000_000
    old = MeterState.decode(state.encode().replace('"rollover": 10000000, ', ""))
    assert old == replace(state, power_meter=replace(state.power_meter, rollover=0))
    keep(tmp_path, rollover=0)
    with pytest.raises(LocalError, match=r"or name the configuration, with power_meter\.rollover"):
        imported(tmp_path, of_energies(newest + 1, 12_000_000_000))
    assert imported(tmp_path, of_energies(newest + 1, 12_000_000_000), rollover=100_000_000).raised
    assert imported(tmp_path, of_energies(newest + 1, 9_000_000_000)).raised


# --- net registers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "delivered", "received", "net", "after"),
    [
        # Told as they are: nobody has turned over, or both as often.
        (None, 7_000, 3_000, 4_000, [7_000, 3_000]),
        (None, 3_000, 7_000, -4_000, [3_000, 7_000]),
        # del has made a turn more than rec, or one less.
        (None, 5_000, 3_000_000_000, 7_000_005_000, [TURN + 5_000, 3_000_000_000]),
        (None, 3_000_000_000, 5_000, -7_000_005_000, [3_000_000_000, TURN + 5_000]),
        # Rounded apart by a Wh, as some meters do.
        (None, 5_000, 3_000_000_000, 7_000_004_999, [TURN + 5_000, 3_000_000_000]),
        # The meter has made turns itself.
        ((TURN, 0), 5_000, 3_000_000_000, 7_000_005_000, [TURN + 5_000, 3_000_000_000]),
        ((0, TURN), 5_000, 3_000_000_000, 7_000_005_000, [2 * TURN + 5_000, TURN + 3_000_000_000]),
        ((TURN, 0), 5_000, 3_000_000_000, -2_999_995_000, [TURN + 5_000, TURN + 3_000_000_000]),
        # A net of another pair of registers, or of none: they are not made to fit.
        (None, 5_000, 7_000_000_000, TURN, [5_000, 7_000_000_000]),
        (None, 1_000, 9_000_000_000, 9_000_000_000, [1_000, 9_000_000_000]),
        # A register that is not raised makes the turn all the same.
        ((6_000, 0), 5_000, 3_000_000_000, 7_000_005_000, [TURN + 6_000, 3_000_000_000]),
        # None is raised.
        ((6_000, 4_000_000_000), 5_000, 3_000_000_000, 7_000_005_000, [6_000, 4_000_000_000]),
    ],
)
def test_net_registers_go_on_where_a_register_has_turned_over(
    tmp_path: Path,
    newest: int,
    before: tuple[int, int] | None,
    delivered: int,
    received: int,
    net: int,
    after: list[int],
) -> None:
    keep(tmp_path, [*(before or (0, 0)), 0, 0, 0], interval_begin=(*(before or (0, 0)), 0, 0, 0))
    imported(tmp_path, of_energies(newest + 1, delivered, received, net))
    assert shown(tmp_path) == after
    if before is None and abs(net) < TURN and abs(delivered - received - net) % TURN == 0:
        (first, *_), _ = metered(tmp_path)
        interval, _, _, recorded, *_ = first.values
        assert recorded is not None
        assert interval is not None
        assert 0 < interval == recorded - net < 50_000


def test_net_registers_of_reactive_energy_go_on_too(tmp_path: Path) -> None:
    sources = ("kVARh del", "kVARh rec", "kVARh del-rec", "kVARh del+rec", "kVAh del+rec")
    meter = IonMeter(small_framework(sources=sources), SimulatedLoad(3))
    meter.start(BEGIN, 0.0)
    with Store.open(tmp_path) as store:
        store.describe({"log": sources})
        store.write(meter.advance(60.0))
    row = Row(BEGIN + 30_000, 0, (5_000, 3_000_000_000, 7_000_005_000, 3_000_005_000, 8))
    assert set(imported(tmp_path, row).raised) == {"kVARh del", "kVARh rec"}
    (first, *_), _ = metered(tmp_path)
    _, _, net, total, _ = first.values
    assert net is not None
    assert total is not None
    assert abs(net - 7_000_005_000) < 50_000
    assert abs(total - 3_000_005_000) < 50_000


def test_a_net_register_alone_tells_no_register(tmp_path: Path, newest: int) -> None:
    keep(tmp_path, [0] * 5)
    imported(tmp_path, of_energies(newest + 1, None, 3_000_000_000, 7_000_005_000))
    assert shown(tmp_path) == [0, 3_000_000_000]


# --- lowered again ------------------------------------------------------------------------------------


def test_what_an_import_raised_goes_back_with_its_row(tmp_path: Path, newest: int) -> None:
    before = kept(tmp_path).power_meter
    imported(tmp_path, of_energies(newest + 1, 8_000_000_000, 7_000))
    done = imported(tmp_path, of_energies(newest + 1, 80_000_000, 0))
    assert (done.raised, done.lowered) == ({"kWh del": 80_000_000}, {"kWh del": 80_000_000, "kWh rec": 0})
    assert shown(tmp_path) == [80_000_000, 0]
    # By a value that is too low for any raise they are what they were at first.
    done = imported(tmp_path, of_energies(newest + 1, 1))
    assert done.raised == {}
    assert list(done.lowered) == ["kWh del"]
    assert kept(tmp_path).power_meter == before
    with Store.open(tmp_path) as store:
        events = [each.effect for each in store.archive.events()[-2:]]
    assert events == [
        "1 rows imported, 1 replaced; registers go on from them",
        "1 rows imported, 1 replaced; registers go on as before those",
    ]


def test_a_turn_for_a_net_register_goes_back_too(tmp_path: Path, newest: int) -> None:
    keep(tmp_path, [0] * 5)
    imported(tmp_path, of_energies(newest + 1, 5_000, 3_000_000_000, 7_000_005_000))
    imported(tmp_path, of_energies(newest + 1, 5_000, 3_000, 2_000))
    assert shown(tmp_path) == [5_000, 3_000]


def test_rows_that_stay_keep_their_registers(tmp_path: Path, newest: int) -> None:
    imported(tmp_path, of_energies(newest + 1, 70_000_000))
    imported(tmp_path, of_energies(newest + 2, 90_000_000))
    done = imported(tmp_path, of_energies(newest + 2, 60_000_000))
    assert (done.raised, done.lowered) == ({}, {"kWh del": 70_000_000})
    # Rows of a gap before it take nothing back; one over both does.
    assert imported(tmp_path, of_energies(newest, 1)).lowered == {}
    done = imported(tmp_path, of_energies(newest + 1, 1), of_energies(newest + 2, 50_000_000))
    assert done.lowered == done.raised == {"kWh del": 50_000_000}


def test_an_older_row_that_gives_way_takes_its_registers_along(tmp_path: Path, newest: int) -> None:
    """Also where a newer one has come in since, and the file's last row is not the newest."""
    imported(tmp_path, of_energies(newest + 1, 90_000_000))
    imported(tmp_path, of_energies(newest + 2, 70_000_000))
    done = imported(tmp_path, of_energies(newest + 1, 60_000_000))
    assert (done.raised, done.lowered) == ({}, {"kWh del": 70_000_000})


def test_each_register_goes_back_with_the_row_that_told_it(tmp_path: Path, newest: int) -> None:
    imported(tmp_path, of_energies(newest + 1, 90_000_000, 1), of_energies(newest + 2, None, 70_000_000))
    assert list(imported(tmp_path, of_energies(newest + 2, None, 0)).lowered) == ["kWh rec"]
    assert shown(tmp_path) == [90_000_000, 0]


def test_rows_of_another_recorder_keep_their_registers(tmp_path: Path, newest: int) -> None:
    with Store.open(tmp_path) as store:
        store.describe({"log": SOURCES, "months": ("kWh del",)})
        store.write(Pending())
        import_rows(store, "months", [Row(newest + 1, 0, (90_000_000,))], now_ms=NOW)
    imported(tmp_path, of_energies(newest + 1, 95_000_000))
    assert imported(tmp_path, of_energies(newest + 1, 1)).lowered == {"kWh del": 90_000_000}


def test_nothing_goes_back_once_the_meter_has_run(tmp_path: Path, newest: int) -> None:
    imported(tmp_path, of_energies(newest + 1, 8_000_000_000))
    metered(tmp_path, hours=0.001)
    before = kept(tmp_path)
    assert before.imports is None
    done = imported(tmp_path, of_energies(newest + 1, 80_000_000))
    assert (done.raised, done.lowered) == ({}, {})
    assert kept(tmp_path).power_meter == before.power_meter


def test_what_imports_did_is_kept_whole(tmp_path: Path, newest: int) -> None:
    imported(tmp_path, of_energies(newest + 1, 8_000_000_000, 5, 7))
    state = kept(tmp_path)
    assert state.imports is not None
    assert [(each.recorder, each.utc_ms) for each in state.imports.rows] == [("log", newest + 1)]
    assert MeterState.decode(state.encode()) == state
    with Store.open(tmp_path) as store:  # also where nothing but rows changes
        store.replace_rows("log", b"", store.archive.events()[-1])
    assert kept(tmp_path).imports == state.imports
    for damage in ('"imports": [', '"imports": [1, '):
        with pytest.raises(LocalError, match="cannot be read"):
            MeterState.decode(state.encode().replace('"imports": [', damage + "[", 1) + "]")
    harmed = state.encode().replace('"kWh del": 8', '"kWh del": "x", "no": 8')
    with pytest.raises(LocalError, match="cannot be read"):
        MeterState.decode(harmed)
