"""Tables on terminals of any width, and forms of values."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from iondlms.cli.output import Column, Table, write

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
