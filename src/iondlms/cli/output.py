"""Results on stdout in the form that was asked for: table, csv, json, jsonl. Talk goes to stderr."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, TextIO

__all__ = ["FORMS", "Column", "Form", "Table", "in_json", "moment", "write"]

Form = Literal["table", "csv", "json", "jsonl"]
FORMS: Final = ("table", "csv", "json", "jsonl")

_WIDE: Final = 400  # columns of a table that no terminal cuts


class Column(NamedTuple):
    """One column: its key in JSON, and the unit that stands behind it elsewhere."""

    name: str
    unit: str = ""

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain values: str, int, Decimal, bool, datetime, None, or lists of them."""

    columns: Sequence[Column]
    rows: Iterable[Sequence[Any]]
    title: str = ""


def moment(instant: datetime | None, *, utc: bool = False) -> str | None:
    """Return ISO 8601 with the offset, if there is one."""
    if instant is None:
        return None
    if utc and instant.tzinfo is not None:
        instant = instant.astimezone(UTC)
    return instant.isoformat(timespec="milliseconds" if instant.microsecond else "seconds")


def in_json(value: Any) -> Any:
    """Return a value as JSON has it: whole Decimals as integers, instants as ISO 8601."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, (list, tuple)):
        return [in_json(item) for item in value]
    if isinstance(value, dict):
        return {key: in_json(item) for key, item in value.items()}
    return value.hex() if isinstance(value, bytes) else value


def _in_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (list, tuple)):
        return " ".join(_in_text(item) for item in value)
    plain = in_json(value)
    return plain if isinstance(plain, str) else str(plain)


def write(table: Table, form: Form, stream: TextIO | None = None) -> None:
    """Write a table to stdout, or to a stream."""
    stream = sys.stdout if stream is None else stream
    if form == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.heading for column in table.columns])
        writer.writerows([_in_text(value) for value in row] for row in table.rows)
    elif form == "table":
        _write_table(table, stream)
    else:
        names = [column.name for column in table.columns]
        lines = (json.dumps(dict(zip(names, map(in_json, row), strict=True))) for row in table.rows)
        if form == "jsonl":
            stream.writelines(line + "\n" for line in lines)
        else:
            body = ",\n ".join(lines)
            stream.write(f"[{body}]\n")


def _write_table(table: Table, stream: TextIO) -> None:
    # Imported here: it takes longer than the rest of a verb, and only tables need it.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=SIMPLE_HEAD, title=table.title or None, title_justify="left", pad_edge=False)
    rows = [list(row) for row in table.rows]
    for index, column in enumerate(table.columns):
        numbers = any(isinstance(row[index], (int, Decimal)) for row in rows)
        shown.add_column(Text(column.heading), justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        # Text and not str: rich would read [brackets] as markup.
        shown.add_row(*(Text(_in_text(value)) for value in row))
    console = Console(file=stream, width=None if stream.isatty() else _WIDE)
    if stream.isatty():
        for column_shown in shown.columns:
            column_shown.no_wrap = False
    console.print(shown)
