"""Replay: mean powers and register readings, gaps, loops, and files that cannot be taken."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.extras import needs
from tests.ion.builders import MINUTE, QUARTER, Host, small_framework, utc

from iondlms.errors import LocalError
from iondlms.ion import RegisterSource, Source, Status, SupplySource
from iondlms.sources import Replay, ReplaySettings, make_source, replay

BEGIN = utc(2026, 3, 2)
DAY = 86_400_000


def text_of(utc_ms: int, zone: str = "UTC") -> str:
    return f"{datetime.fromtimestamp(utc_ms / 1000, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def written(
    folder: Path, rows: Mapping[int, tuple[str, ...]], headings: str = "time,kW,kVAR", zone: str = "UTC"
) -> Path:
    file = folder / "recording.csv"
    lines = [headings, *(",".join((text_of(at, zone), *values)) for at, values in rows.items())]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def host_of(source: Source, begin_ms: int = BEGIN, **framework: bool) -> Host:
    names = ("kWh del int", "kWh rec int", "kVARh del int", "kVARh rec int", "kWh del", "kWh rec")
    return Host(begin_ms, small_framework(sources=names, depth=10_000, **framework), source)  # type: ignore[arg-type]


def test_mean_powers_become_intervals(tmp_path: Path) -> None:
    rows = {
        BEGIN: ("100.25", "-4"),
        BEGIN + QUARTER: ("-60", "8"),
        BEGIN + 2 * QUARTER: ("0.003", "0"),
    }
    host = host_of(make_source(ReplaySettings(written(tmp_path, rows)))).start().wait(2700)
    assert [row.values for row in host.log()] == [
        (25_063, 0, 0, 1_000, 25_063, 0),  # 25,062.5: half away from zero
        (0, 15_000, 2_000, 0, 25_063, 15_000),
        (0, 0, 0, 0, 25_063, 15_000),  # 25,063.25
    ]


@pytest.mark.parametrize("stamp", ["begin", "end"])
def test_which_end_of_its_interval_a_row_is_stamped_with(tmp_path: Path, stamp: str) -> None:
    file = written(tmp_path, {BEGIN: ("4", "0"), BEGIN + QUARTER: ("8", "0")})
    source = replay(ReplaySettings(file, stamp=stamp))  # type: ignore[arg-type]
    first = BEGIN if stamp == "begin" else BEGIN - QUARTER
    assert (source.first_ms, source.last_ms) == (first, first + 2 * QUARTER)
    assert source.readings(first + 5)["kW tot"] == 4000
    assert source.readings(first + QUARTER)["kW tot"] == 8000


def test_gaps_are_outages_of_the_meter(tmp_path: Path) -> None:
    there = [0, 1, 2, 5, 6, 7]  # 15-minute rows; 00:45 to 01:15 is missing
    rows = {BEGIN + index * QUARTER: ("40", "0") for index in there}
    host = host_of(make_source(ReplaySettings(written(tmp_path, rows)))).start().wait(2 * 3600)
    assert host.stamps() == ["00:15", "00:30", "00:45", "01:30", "01:45", "02:00"]
    assert host.statuses() == [Status.POWER_UP, 0, 0, Status.POWER_DOWN | Status.POWER_UP, 0, 0]
    assert [row.values[0] for row in host.log()] == [10_000] * 6
    assert [event.cause for event in host.events] == ["Power up", "Power down", "Power up"]


def test_gaps_can_be_filled_with_outage_records(tmp_path: Path) -> None:
    rows = {BEGIN + index * QUARTER: ("40", "0") for index in (0, 1, 2, 5, 6)}
    source = make_source(ReplaySettings(written(tmp_path, rows)))
    host = host_of(source, insert_outage_records=True).start().wait(6 * 900)
    assert host.stamps() == ["00:15", "00:30", "00:45", "01:00", "01:15", "01:30"]
    assert [row.values[0] for row in host.log()] == [10_000] * 3 + [0, 0, 10_000]


def test_gaps_can_be_silence(tmp_path: Path) -> None:
    rows = {BEGIN + index * QUARTER: ("40", "0") for index in (0, 1, 2, 5)}
    source = make_source(ReplaySettings(written(tmp_path, rows), gaps="silence"))
    host = host_of(source).start().wait(6 * 900)
    assert [row.values[0] for row in host.log()] == [10_000] * 3 + [None, None, 10_000]
    assert host.statuses()[1:] == [0] * 5


def test_a_missing_value_is_a_gap_and_so_is_a_file_that_ended(tmp_path: Path) -> None:
    rows = {BEGIN + index * QUARTER: ("" if index == 1 else "40", "0") for index in range(3)}
    source = replay(ReplaySettings(written(tmp_path, rows)))
    assert source.outage(BEGIN) == (BEGIN + QUARTER, BEGIN + 2 * QUARTER)
    assert source.flow(BEGIN + QUARTER, BEGIN + 2 * QUARTER) is None
    assert source.outage(BEGIN + 2 * QUARTER) is None
    end = BEGIN + 3 * QUARTER
    assert source.flow(end, end + 1) is None
    assert source.flow(BEGIN - 1, BEGIN) is None
    assert source.readings(end + 1) == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([("America/Los_Angeles", utc(2018, 11, 4, 4)), ("Europe/Berlin", utc(2026, 3, 28, 22))]),
    st.lists(st.booleans(), min_size=40, max_size=40),
    st.lists(st.integers(-300_000, 300_000), min_size=40, max_size=40),
    st.booleans(),
    st.lists(st.integers(0, 40 * QUARTER), max_size=8),
)
def test_any_gaps_and_any_division_over_both_switches(
    tmp_path: Path,
    zone_and_begin: tuple[str, int],
    there: list[bool],
    watts: list[int],
    newest_first: bool,
    cuts: list[int],
) -> None:
    zone, begin = zone_and_begin
    # The repeated hour stays whole: of a half one nobody could say which half it is.
    quarters = [i for i in range(40) if there[i] or i in (0, 1, 38, 39) or 14 <= i < 26]
    rows = {begin + i * QUARTER: (f"{watts[i] / 1000:.3f}", "0") for i in quarters}
    if newest_first:
        rows = dict(reversed(rows.items()))
    source = replay(ReplaySettings(written(tmp_path, rows, zone=zone), zone=zone, gaps="silence"))
    for i in range(40):
        flow = source.flow(begin + i * QUARTER, begin + (i + 1) * QUARTER)
        if i not in quarters:
            assert flow is None
        else:
            assert flow is not None
            assert flow.w_delivered - flow.w_received == watts[i] * QUARTER
            assert flow.va == abs(watts[i]) * QUARTER
    instants = sorted({begin, begin + 40 * QUARTER, *(begin + cut for cut in cuts)})
    parts = [flow for a, b in pairwise(instants) if (flow := source.flow(a, b)) is not None]
    assert tuple(map(sum, zip(*parts, strict=True))) == source.flow(begin, begin + 40 * QUARTER)


def test_a_loop_of_days_keeps_the_hour_and_goes_on_for_ever(tmp_path: Path) -> None:
    rows = {
        BEGIN + i * 4 * QUARTER: (str(i), "0") for i in range(60) if i != 30
    }  # hourly, two days and a half
    source = replay(ReplaySettings(written(tmp_path, rows), at_end="loop"))
    assert source.last_ms is None
    for turn in (-1, 0, 1, 500):
        at = BEGIN + turn * 2 * DAY
        assert [source.readings(at + i * 4 * QUARTER).get("kW tot") for i in (0, 29, 30, 47)] == [
            0,
            29_000,
            # The end of the row before, to the millisecond
            29_000,
            47_000,
        ]
        assert source.readings(at + 30 * 4 * QUARTER + 1) == {}
        assert source.outage(at) == (at + 30 * 4 * QUARTER, at + 31 * 4 * QUARTER)
        assert source.outage(at + 31 * 4 * QUARTER) == (
            at + 2 * DAY + 108_000_000,
            at + 2 * DAY + 111_600_000,
        )
    week = source.flow(BEGIN + DAY // 2, BEGIN + DAY // 2 + 8 * DAY)
    assert week is not None
    assert week.w_delivered == 4 * sum(i for i in range(48) if i != 30) * 1000 * 4 * QUARTER
    parts = [source.flow(BEGIN + i * 7 * MINUTE, BEGIN + (i + 1) * 7 * MINUTE) for i in range(1800)]
    sums = map(sum, zip(*(part for part in parts if part is not None), strict=True))
    assert tuple(sums) == source.flow(BEGIN, BEGIN + 1800 * 7 * MINUTE)


def test_a_loop_shorter_than_a_day(tmp_path: Path) -> None:
    rows = {BEGIN + i * QUARTER: (str(i), "0") for i in range(4)}
    source = replay(ReplaySettings(written(tmp_path, rows), at_end="loop"))
    assert source.readings(BEGIN + 4 * QUARTER * 1001 + QUARTER)["kW tot"] == 1000
    assert source.outage(BEGIN) is None


def test_replayed_at_another_time(tmp_path: Path) -> None:
    rows = {BEGIN: ("1", "0"), BEGIN + QUARTER: ("2", "0"), BEGIN + 3 * QUARTER: ("3", "0")}
    later = utc(2030, 1, 1)
    source = replay(ReplaySettings(written(tmp_path, rows), begin_ms=later))
    assert source.readings(later + QUARTER)["kW tot"] == 2000
    assert source.outage(later) == (later + 2 * QUARTER, later + 3 * QUARTER)
    assert source.flow(BEGIN, BEGIN + QUARTER) is None


REGISTERS = "time,kWh del,kWh rec,Vln a"


def test_readings_of_registers_are_the_meters_own(tmp_path: Path) -> None:
    shown = [1_000_000.0, 1_000_012.5, 1_000_025, 1_000_100, 1_000_110]
    at = [0, 1, 2, 6, 7]  # a gap of an hour
    rows = {BEGIN + i * QUARTER: (str(kwh), "7", "230.5") for i, kwh in zip(at, shown, strict=True)}
    source = replay(ReplaySettings(written(tmp_path, rows, REGISTERS)))
    assert isinstance(source, RegisterSource)
    assert isinstance(source, SupplySource)
    assert source.outage(BEGIN) == (BEGIN + 2 * QUARTER, BEGIN + 6 * QUARTER)
    assert source.readings(BEGIN + QUARTER)["Vln a"] == 230_500
    assert source.readings(BEGIN + QUARTER)["kW tot"] == 50_000
    silent = replay(ReplaySettings(written(tmp_path, rows, REGISTERS), gaps="silence"))
    host = host_of(silent).start().wait(7 * 900)
    assert [row.values[4] for row in host.log()] == [
        1_000_012_500,
        1_000_025_000,
        None,
        None,
        None,
        1_000_100_000,
        1_000_110_000,
    ]
    # The interval after the gap has all that flowed in it; reactive energy is not in the file.
    assert [row.values[0] for row in host.log()] == [12_500, 12_500, None, None, None, 75_000, 10_000]
    assert {row.values[2] for row in host.log()} == {None}


def test_between_readings_registers_move_evenly(tmp_path: Path) -> None:
    rows = {
        BEGIN: ("5", "0", "1"),
        BEGIN + 4 * QUARTER: ("5.010", "0", "1"),
        BEGIN + 8 * QUARTER: ("9", "0", "1"),
    }
    source = replay(ReplaySettings(written(tmp_path, rows, REGISTERS)))
    assert isinstance(source, RegisterSource)
    shown = [source.registers(BEGIN + i * QUARTER) for i in range(5)]
    assert [each and each.wh_delivered for each in shown] == [5000, 5002, 5005, 5007, 5010]
    flow = source.flow(BEGIN, BEGIN + 8 * QUARTER)
    assert flow is not None
    assert flow.w_delivered == 4000 * 3_600_000


def test_a_register_that_falls_is_no_energy(tmp_path: Path) -> None:
    values = ["9999999.9", "9999999.99", "0.01", "0.02", "5000", "5001", "3", "4"]
    rows = {BEGIN + i * QUARTER: (value, "0", "1") for i, value in enumerate(values)}
    host = host_of(replay(ReplaySettings(written(tmp_path, rows, REGISTERS)))).start().wait(7 * 900)
    energies = [row.values[0] for row in host.log()]
    assert energies == [90, 20, 10, 4_999_980, 1000, 0, 1000]  # it turned over, and it was replaced
    effects = [event.effect for event in host.events if event.cause == "Source meter"]
    assert ["rolled over" in effects[0], "another meter" in effects[1]] == [True, True]


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    duckdb = needs("duckdb")
    rows = {BEGIN + i * QUARTER: (f"{i}.125", "-1.5") for i in range(6) if i != 3}
    expected = replay(ReplaySettings(written(tmp_path, rows)))
    local = "America/Los_Angeles"
    columns = {
        "aware": "to_timestamp({s})",
        "naive": "make_timestamp({s}::BIGINT * 1000000)",
        "text": "strftime(make_timestamp({s}::BIGINT * 1000000), '%Y-%m-%d %H:%M')",
        "seconds": "{s}",
    }
    with duckdb.connect() as connection:
        for name, sql in columns.items():
            for numbers in ("DOUBLE", "DECIMAL(18, 3)", "VARCHAR"):
                selects = " UNION ALL ".join(
                    f"SELECT {sql.format(s=at // 1000)} AS time,"
                    f" '{p}'::{numbers} AS kW, '{q}'::{numbers} AS kVAR"
                    for at, (p, q) in rows.items()
                )
                file = tmp_path / f"{name}.parquet"
                connection.execute(f"COPY ({selects}) TO '{file}' (FORMAT parquet)")
                # Stamps that bring their offset do not care for the zone.
                source = replay(ReplaySettings(file, zone=local if name in ("aware", "seconds") else "UTC"))
                for i in range(6):
                    span = BEGIN + i * QUARTER, BEGIN + (i + 1) * QUARTER
                    assert source.flow(*span) == expected.flow(*span), (name, numbers)


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(LocalError, match=r"pip install 'iondlms\[data\]'"):
        replay(ReplaySettings(tmp_path / "x.parquet"))


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    needs("duckdb")
    file = tmp_path / "x.parquet"
    with pytest.raises(LocalError, match="no such file"):
        replay(ReplaySettings(file))
    file.write_bytes(b"PAR1 but not really")
    with pytest.raises(LocalError, match="cannot be read"):
        replay(ReplaySettings(file))


def test_semicolons_decimal_commas_a_mark_and_named_columns(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_bytes(
        "\ufeffZeit;Leistung;Temperatur\n1.7.2026 12:00;1500,5;20\n1.7.2026 12:15;-3;21\n".encode()
    )
    source = replay(
        ReplaySettings(file, columns={"kW tot": "Leistung"}, time="Zeit", scale="0.001", step_s=600)
    )
    at = utc(2026, 7, 1, 12)
    assert source.readings(at) == {"kW tot": 1501, "kVAR tot": 0, "kVA tot": 1501}
    assert source.outage(at) == (at + 600_000, at + QUARTER)


BAD = [
    ("", "empty"),
    ("time,kW\n", "no row has values"),
    ("time,kW\n2026-01-01 00:00,1\n", "one row alone"),
    ("time,kW\n2026-01-01 00:00,x\n2026-01-01 00:15,1\n", "line 2: 'x' is no number"),
    ("time,kW\n2026-01-01 00:00,1e99\n2026-01-01 00:15,1\n", "no reading of a meter"),
    ("time,kW\n2026-01-01 00:00\n2026-01-01 00:15,1\n", "line 2"),
    ("time,kW\nsoon,1\n2026-01-01 00:15,1\n", "'soon' is no time"),
    ("time,kW\n2026-01-01 00:00,1\n2026-01-01 00:00,2\n", "two rows"),
    ("time,what\n2026-01-01 00:00,1\n2026-01-01 00:15,1\n", "no column is known"),
    ("when,kW\n2026-01-01 00:00,1\n2026-01-01 00:15,1\n", "which column has the time"),
    ("time,kVAR\n2026-01-01 00:00,1\n2026-01-01 00:15,1\n", "neither mean power"),
]


@pytest.mark.parametrize(("text", "told"), BAD)
def test_files_that_cannot_be_taken(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(LocalError, match=told):
        replay(ReplaySettings(file))


def test_faults_are_listed_but_not_all_of_a_million(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("time,kW\n" + "2026-01-01 00:00,x\n" * 20, "utf-8")
    with pytest.raises(LocalError) as caught:
        replay(ReplaySettings(file))
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert "15 more" in lines[-1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": {"kW tot": "power"}},
        {"columns": {"kilowatt": "kW"}},
        {"time": "when"},
        {"zone": "Nowhere/Land"},
        {"scale": "many"},
        {"step_s": -1},
        {"path": Path("nowhere.csv")},
    ],
)
def test_wrong_settings(tmp_path: Path, wrong: dict[str, object]) -> None:
    good = {"path": written(tmp_path, {BEGIN: ("1", "0"), BEGIN + QUARTER: ("2", "0")})}
    with pytest.raises(LocalError):
        replay(ReplaySettings(**{**good, **wrong}))  # type: ignore[arg-type]


def test_the_factory_makes_it(tmp_path: Path) -> None:
    source = make_source(ReplaySettings(written(tmp_path, {BEGIN: ("1", "0"), BEGIN + QUARTER: ("2", "0")})))
    assert isinstance(source, Replay)
    assert datetime.fromtimestamp(source.first_ms / 1000, UTC).year == 2026
