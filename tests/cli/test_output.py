"""Tables on terminals of any width, and forms of values."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from iondlms.cli.output import Column, Form, Table, tenths, write
from iondlms.cli.stopping import held_back

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


@pytest.mark.parametrize("count", [10, 3000])  # drawn, and plain
@pytest.mark.parametrize("row", [0, 1, 5, 9])
def test_ctrl_c_leaves_the_rows_of_a_table_that_came(count: int, row: int) -> None:
    earlier = [[-1]] * (count - 10)
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        write(Table([Column("n")], itertools.chain(earlier, pressed_at(row))), "table", stream)
    shown = [int(word) for word in re.findall(r"-?\d+", stream.getvalue())]
    assert shown == [-1] * (count - 10) + list(range(row))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_ctrl_c_at_the_last_row_is_not_lost(form: Form) -> None:
    def rows() -> Iterator[list[Any]]:
        yield [1]
        signal.raise_signal(signal.SIGINT)

    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        write(Table([Column("n")], rows()), form, stream)
    assert "1" in stream.getvalue()
    assert form != "json" or json.loads(stream.getvalue()) == [{"n": 1}]


class Pressed(io.StringIO):
    """A terminal on which Ctrl-C is pressed when it has got so much."""

    def __init__(self, at: int, tty: bool) -> None:
        super().__init__()
        self._at = at
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def write(self, text: str) -> int:
        before = self.tell()
        written = super().write(text)
        if before <= self._at < before + written:
            signal.raise_signal(signal.SIGINT)
        return written


@pytest.mark.parametrize(("tty", "a_row"), [(False, 1), (True, 4)])
def test_ctrl_c_while_a_long_table_is_printed_leaves_lines_that_are_whole(
    monkeypatch: pytest.MonkeyPatch, tty: bool, a_row: int
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = Pressed(5000, tty)
    with pytest.raises(KeyboardInterrupt):
        write(Table(COLUMNS, ROWS * 1500), "table", stream)
    lines = stream.getvalue().splitlines(keepends=True)
    assert 5000 < len(stream.getvalue()) < 5200
    assert lines[-1].endswith("\n")
    assert (len(lines) - (not tty)) % a_row == 0


def test_ctrl_c_while_a_short_table_is_drawn_comes_when_it_is_there() -> None:
    stream = Pressed(5, tty=False)
    with pytest.raises(KeyboardInterrupt):
        write(Table(COLUMNS, ROWS), "table", stream)
    assert "-0.985" in stream.getvalue()


def press(error: Exception | None = None) -> None:
    """Press Ctrl-C where it is held back, and nobody looks any more."""
    with held_back() as pressed:
        assert not pressed()
        signal.raise_signal(signal.SIGINT)
        if error is not None:
            raise error


def test_ctrl_c_behind_the_last_look_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_hides_no_failure() -> None:
    with pytest.raises(BrokenPipeError):
        press(BrokenPipeError())
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
