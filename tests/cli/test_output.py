"""Tables on terminals of any width, and forms of values."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from iondlms.cli.output import Column, Form, Table, tenths, write

COLUMNS = [Column("time"), Column("kWh-del", "Wh"), Column("PF")]
ROWS: list[list[Any]] = [
    [datetime(2026, 11, 22, 14, tzinfo=UTC), Decimal(123456789), Decimal("-0.985")],
    [None, None, None],
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(table: Table, stream: io.StringIO) -> str:
    write(table, "table", stream)
    return stream.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_no_figure_is_cut_however_narrow_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = shown(Table(COLUMNS, ROWS, "A title"), Terminal())
    for part in ("2026-11-22T14:00:00+00:00", "123456789", "-0.985", "kWh-del (Wh)", "A title"):
        assert part in text
    assert "…" not in text


def test_many_rows_are_written_plainly_with_the_same_values() -> None:
    text = shown(Table(COLUMNS, ROWS * 1500), io.StringIO())
    lines = text.splitlines()
    assert len(lines) == 3001
    assert lines[0].split() == ["time", "kWh-del", "(Wh)", "PF"]
    assert lines[1].split() == ["2026-11-22T14:00:00+00:00", "123456789", "-0.985"]


def test_forms() -> None:
    stream = io.StringIO()
    write(Table(COLUMNS, ROWS), "csv", stream)
    assert stream.getvalue() == "time,kWh-del (Wh),PF\n2026-11-22T14:00:00+00:00,123456789,-0.985\n,,\n"
    stream = io.StringIO()
    write(Table(COLUMNS, ROWS), "json", stream)
    assert json.loads(stream.getvalue()) == [
        {"time": "2026-11-22T14:00:00+00:00", "kWh-del": 123456789, "PF": -0.985, "units": {"kWh-del": "Wh"}},
        {"time": None, "kWh-del": None, "PF": None, "units": {"kWh-del": "Wh"}},
    ]
    stream = io.StringIO()
    write(Table(COLUMNS, []), "json", stream)
    assert json.loads(stream.getvalue()) == []


def pressed_at(row: int, times: int = 1) -> Iterator[list[Any]]:
    for number in range(10):
        if number == row:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        yield [number]


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("row", [0, 1, 5, 9])
def test_ctrl_c_leaves_rows_that_are_whole(form: Form, row: int) -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        write(Table([Column("n")], pressed_at(row)), form, stream)
    text = stream.getvalue()
    if form == "json":
        numbers = [each["n"] for each in json.loads(text)]
    elif form == "jsonl":
        numbers = [json.loads(line)["n"] for line in text.splitlines()]
    else:
        numbers = [int(each["n"]) for each in csv.DictReader(text.splitlines())]
    assert numbers == list(range(row))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_waits_for_nobody() -> None:
    rows = pressed_at(3, times=2)
    with pytest.raises(KeyboardInterrupt):
        write(Table([Column("n")], rows), "jsonl", io.StringIO())
    assert list(rows) == []  # it came out of the row that was being made


@pytest.mark.parametrize("rows", [[], [[1]], [[1], [2]]])
def test_json_is_an_array_of_any_length(rows: list[list[Any]]) -> None:
    stream = io.StringIO()
    write(Table([Column("n")], rows), "json", stream)
    assert json.loads(stream.getvalue()) == [{"n": row[0]} for row in rows]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-0.04, "0.0"), (0.04, "0.0"), (-0.06, "-0.1"), (2.25, "2.2")]
)
def test_tenths_have_no_negative_zero(seconds: float, shown: str) -> None:
    assert str(tenths(seconds)) == shown
