"""Rows as files and back: exact, the same octets again, and every fault told with its line."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.extras import needs

from iondlms.errors import LocalError
from iondlms.ion import Row
from iondlms.ion.clock import CALENDAR_MS
from iondlms.store import FileForm, form_of, headings, read_rows, write_parquet, write_text

SOURCES = ("kWh del int", "PF sign mean")
ROWS = [
    Row(1_773_137_700_000, 0, (12_345, -981)),
    Row(1_773_137_700_250, 0xFFFF, (None, 0)),
    Row(1_773_138_600_000, 192, ((1 << 63) - 1, -(1 << 63) + 1)),
]
CSV = """\
time,status,kWh del int,PF sign mean
2026-03-10T10:15:00Z,0,12.345,-0.981
2026-03-10T10:15:00.250Z,65535,,0.000
2026-03-10T10:30:00Z,192,9223372036854775.807,-9223372036854775.807
"""
JSONL = """\
{"time": "2026-03-10T10:15:00Z", "status": 0, "kWh del int": 12.345, "PF sign mean": -0.981}
{"time": "2026-03-10T10:15:00.250Z", "status": 65535, "kWh del int": null, "PF sign mean": 0.000}
{"time": "2026-03-10T10:30:00Z", "status": 192, "kWh del int": 9223372036854775.807, "PF sign mean": \
-9223372036854775.807}
"""


def text(rows: list[Row], form: FileForm) -> str:
    stream = io.StringIO()
    write_text(rows, SOURCES, form, stream)
    return stream.getvalue()


@pytest.mark.parametrize(("form", "wanted"), [("csv", CSV), ("jsonl", JSONL)])
def test_a_file_is_this_and_is_read_again(tmp_path: Path, form: FileForm, wanted: str) -> None:
    assert text(ROWS, form) == wanted
    path = tmp_path / f"rows.{form}"
    path.write_text(wanted, encoding="utf-8")
    assert read_rows(path, SOURCES) == ROWS


def test_others_read_the_same_figures() -> None:
    (_, first, *_), (line, *_) = csv.reader(io.StringIO(CSV)), JSONL.splitlines()
    document = json.loads(line, parse_float=Decimal)
    assert Decimal(first[2]) == document["kWh del int"] == Decimal("12.345")
    assert datetime.fromisoformat(document["time"]).timestamp() * 1000 == ROWS[0].utc_ms


def test_parquet(tmp_path: Path) -> None:
    duckdb = needs("duckdb")
    first, second = tmp_path / "it's.parquet", tmp_path / "b.parquet"
    write_parquet(ROWS, SOURCES, first)
    write_parquet(ROWS, SOURCES, second)
    assert first.read_bytes() == second.read_bytes()
    assert read_rows(first, SOURCES) == ROWS
    with duckdb.connect() as connection:
        table = connection.read_parquet(str(first))
        kinds = ["TIMESTAMP WITH TIME ZONE", "USMALLINT", "DECIMAL(19,3)", "DECIMAL(19,3)"]
        assert [str(kind) for kind in table.types] == kinds
        assert table.columns == ["time", "status", *SOURCES]
        assert table.project('"kWh del int"').fetchall()[0] == (Decimal("12.345"),)


def test_parquet_by_others(tmp_path: Path) -> None:
    duckdb = needs("duckdb")
    path = tmp_path / "a.parquet"
    columns = "TIMESTAMP '2026-03-10 10:15:00' AS time, 7 AS status"
    columns += ', {} AS "PF sign mean", 2.0::DOUBLE AS "kWh del int"'
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {columns.format('0.5')}) TO '{path}' (FORMAT parquet)")
    assert read_rows(path, SOURCES) == [Row(1_773_137_700_000, 7, (2000, 500))]
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {columns.format('0.0005')}) TO '{path}' (FORMAT parquet)")
    with pytest.raises(LocalError, match=r"row 1: '0\.0005' has more than three decimals"):
        read_rows(path, SOURCES)
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT '2026' AS time, 7 AS status, 1 AS x) TO '{path}' (FORMAT parquet)")
    with pytest.raises(LocalError, match="columns are not the recorder's"):
        read_rows(path, SOURCES)
    with pytest.raises(LocalError, match="'time' is a VARCHAR"):
        read_rows(path, ("x",))
    path.write_bytes(b"no parquet at all")
    with pytest.raises(LocalError, match="cannot be read") as caught:
        read_rows(path, SOURCES)
    assert len(str(caught.value).splitlines()) == 1


def test_parquet_without_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(LocalError, match=r"needs the extra 'data'; install it with: pip install"):
        write_parquet(ROWS, SOURCES, tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())
    with pytest.raises(LocalError, match="needs the extra 'data'"):
        read_rows(tmp_path / "a.parquet", SOURCES)


values = st.none() | st.integers(-(1 << 63) + 1, (1 << 63) - 1) | st.integers(-2000, 2000)
rows = st.builds(
    lambda times, rest: [Row(at, status, each) for at, (status, each) in zip(times, rest, strict=False)],
    st.lists(st.integers(CALENDAR_MS.start, CALENDAR_MS.stop - 1), unique=True, max_size=8).map(sorted),
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.tuples(values, values)), min_size=8, max_size=8),
)


@given(rows, st.sampled_from(["csv", "jsonl"]))
def test_any_rows_come_back_from_their_file(
    tmp_path_factory: pytest.TempPathFactory, made: list[Row], form: FileForm
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{form}"
    path.write_text(text(made, form), encoding="utf-8")
    assert read_rows(path, SOURCES) == made
    assert text(read_rows(path, SOURCES), form) == path.read_text(encoding="utf-8")


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("PF sign mean,time,kWh del int,status\n1,2026-03-10T11:15:00+01:00,2.5,8\n", "utf-8-sig")
    assert read_rows(path, SOURCES) == [Row(1_773_137_700_000, 8, (2500, 1000))]


def test_a_source_that_is_recorded_twice_has_two_columns() -> None:
    assert headings(("a", "a", "b", "a")) == ["time", "status", "a", "a (2)", "b", "a (3)"]
    assert headings(("time",)) == ["time", "status", "time (2)"]


GOOD = "2026-03-10T10:15:00Z,0,1,1\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2026-03-10T10:15:00Z,0,1\n", "3 fields for 4 columns"),
        ("2026-03-10T10:30:00,0,1,1\n", "has no offset from UTC"),
        ("yesterday,0,1,1\n", "'yesterday' is no time"),
        ("2026-03-10T10:30:00.000001Z,0,1,1\n", "finer than a millisecond"),
        ("2026-03-10T10:15:00Z,0,1,1\n", "comes twice"),
        ("2026-03-10T10:14:00Z,0,1,1\n", "is before the row above it"),
        ("2026-03-10T10:30:00Z,65536,1,1\n", "'65536' is no status word"),
        ("2026-03-10T10:30:00Z,-1,1,1\n", "'-1' is no status word"),
        ("2026-03-10T10:30:00Z,,1,1\n", "is no status word"),
        ("2026-03-10T10:30:00Z,0,1.0001,1\n", "'1.0001' has more than three decimals"),
        ("2026-03-10T10:30:00Z,0,1e-4,1\n", "more than three decimals"),
        ("2026-03-10T10:30:00Z,0,one,1\n", "'one' is no number"),
        ("2026-03-10T10:30:00Z,0,NaN,1\n", "no reading of a meter"),
        ("2026-03-10T10:30:00Z,0,1e999999,1\n", "no reading of a meter"),
        ("2026-03-10T10:30:00Z,0,-9223372036854775.808,1\n", "no reading of a meter"),
        ("2026-03-10T10:30:00Z,0,9223372036854775.808,1\n", "no reading of a meter"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV.splitlines()[0] + "\n" + GOOD + line, encoding="utf-8")
    with pytest.raises(LocalError) as caught:
        read_rows(path, SOURCES)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[1, 2]", "no JSON object"),
        ("{", "no JSON object"),
        ("7", "no JSON object"),
        ('{"time": "2026-03-10T10:30:00Z", "status": 0, "kWh del int": 1}', "its members are not"),
        (
            '{"time": "2026-03-10T10:30:00Z", "status": 0, "kWh del int": 1, "PF sign mean": 1, "x": 1}',
            "its members are not",
        ),
        (
            '{"time": "2026-03-10T10:30:00Z", "status": 0, "kWh del int": 1, "status": 1, "PF sign mean": 1}',
            "its members are not",
        ),
        (
            '{"time": "2026-03-10T10:30:00Z", "status": 0, "kWh del int": NaN, "PF sign mean": 1}',
            "NaN is no number",
        ),
        (
            '{"time": "2026-03-10T10:30:00Z", "status": true, "kWh del int": 1, "PF sign mean": 1}',
            "no status word",
        ),
        (
            '{"time": "2026-03-10T10:30:00Z", "status": 0, "kWh del int": [1], "PF sign mean": 1}',
            "no number",
        ),
        ("[" * 100_000, "no JSON object"),
    ],
)
def test_a_fault_in_json_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(JSONL.splitlines()[0] + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(LocalError) as caught:
        read_rows(path, SOURCES)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("time,status,kWh del int", "without 'PF sign mean'"),
        ("time,status,kWh del int,PF sign mean,kWh rec", "with 'kWh rec'"),
        ("time,status,kWh del int,PF sign mean,PF sign mean", "with 'PF sign mean' again"),
        ("", "without 'time', 'status', 'kWh del int', 'PF sign mean'"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, header: str, told: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n{GOOD}", encoding="utf-8")
    with pytest.raises(LocalError) as caught:
        read_rows(path, SOURCES)
    assert told in str(caught.value)


def test_not_all_of_many_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV.splitlines()[0] + "\n" + "x,0,1,1\n" * 20, encoding="utf-8")
    with pytest.raises(LocalError) as caught:
        read_rows(path, SOURCES)
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[-1].endswith("15 more such rows")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be read: No such file"):
        read_rows(tmp_path / "a.csv", SOURCES)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LocalError, match="cannot be read"):
        read_rows(tmp_path / "a.csv", SOURCES)
    (tmp_path / "a.csv").write_text("x" * 200_000 + "\n", encoding="utf-8")
    with pytest.raises(LocalError, match="cannot be read"):
        read_rows(tmp_path / "a.csv", SOURCES)
    with pytest.raises(LocalError, match="which form"):
        form_of(tmp_path / "a.xlsx")
