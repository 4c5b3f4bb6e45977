"""Results on stdout in the form that was asked for: table, csv, json, jsonl. Talk goes to stderr."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, TextIO

from iondlms.cli.stopping import held_back, stopped_between

__all__ = ["FORMS", "Column", "Form", "Table", "in_json", "moment", "tenths", "write"]

Form = Literal["table", "csv", "json", "jsonl"]
FORMS: Final = ("table", "csv", "json", "jsonl")

_MOST_DRAWN: Final = 2000  # rows of a table with lines


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


def tenths(seconds: float) -> float:
    """Return seconds as they are shown, to a tenth; never -0.0."""
    return round(seconds, 1) + 0.0


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
    """Write a table to stdout, or to a stream.

    In JSON a row is an object; where columns have units it has one more member, `units`, by column.
    """
    stream = sys.stdout if stream is None else stream
    if form == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.heading for column in table.columns])
        writer.writerows([_in_text(value) for value in row] for row in stopped_between(table.rows))
    elif form == "table":
        _write_table(table, stream)
    else:
        lines = _in_lines(table)
        if form == "jsonl":
            stream.writelines(line + "\n" for line in lines)
        else:
            _write_array(lines, stream)


def _write_array(lines: Iterator[str], stream: TextIO) -> None:
    """Write a JSON array, and end it also where its rows end early: those that came are of use."""
    begin = "["
    try:
        for line in lines:
            stream.write(begin + line)
            begin = ",\n "
    finally:
        stream.write("[]\n" if begin == "[" else "]\n")


def _in_lines(table: Table) -> Iterator[str]:
    names = [column.name for column in table.columns]
    units = {column.name: column.unit for column in table.columns if column.unit}
    for row in stopped_between(table.rows):
        document = dict(zip(names, map(in_json, row), strict=True))
        yield json.dumps(document | {"units": units} if units else document)


def _write_table(table: Table, stream: TextIO) -> None:
    """Write a table; where its rows end early by Ctrl-C those that came, and then raise."""
    headings = [column.heading for column in table.columns]
    rows: list[list[Any]] = []
    texts: list[list[str]] = []
    with held_back() as pressed:
        cut = False
        for row in table.rows:
            if pressed():
                cut = True
                break
            rows.append(list(row))
            texts.append([_in_text(value) for value in row])
        if rows or not cut:
            for piece in _pieces(table.title, headings, rows, texts, stream):
                if pressed() and not cut:
                    break
                stream.write(piece)


def _pieces(
    title: str, headings: list[str], rows: list[list[Any]], texts: list[list[str]], stream: TextIO
) -> Iterator[str]:
    """Yield the text of a table in pieces, each whole; one that is drawn goes to the stream at once."""
    widths = [max(map(len, cells)) for cells in zip(headings, *texts, strict=True)]
    width = sum(widths) + 3 * len(widths)
    if stream.isatty() and width > shutil.get_terminal_size().columns:
        yield from _records(title, headings, texts)
    elif len(rows) > _MOST_DRAWN:
        # rich takes half a millisecond a row: a year of load profile would take a minute to draw.
        yield from _plain(headings, texts, widths)
    else:
        _draw(title, headings, rows, texts, stream, width)


def _records(title: str, headings: list[str], texts: list[list[str]]) -> Iterator[str]:
    """Yield a block a row, a line a value: on a narrow terminal no figure may be cut."""
    wide = max(map(len, headings))
    if title:
        yield f"{title}\n\n"
    for text in texts:
        lines = [f"{heading:<{wide}}  {value}\n" for heading, value in zip(headings, text, strict=True)]
        yield "".join(lines) + "\n"


def _plain(headings: list[str], texts: list[list[str]], widths: list[int]) -> Iterator[str]:
    for text in (headings, *texts):
        cells = [value.ljust(width) for value, width in zip(text, widths, strict=True)]
        yield "  ".join(cells).rstrip() + "\n"


def _draw(
    title: str, headings: list[str], rows: list[list[Any]], texts: list[list[str]], stream: TextIO, width: int
) -> None:
    # Imported here: it takes longer than the rest of a verb, and only tables need it.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for index, heading in enumerate(headings):
        cells = [row[index] for row in rows if row[index] is not None]
        numbers = all(isinstance(cell, (int, Decimal)) for cell in cells)
        shown.add_column(Text(heading), justify="right" if numbers else "left", no_wrap=True)
    for text in texts:
        # Text and not str: rich would read [brackets] as markup.
        shown.add_row(*map(Text, text))
    Console(file=stream, width=None if stream.isatty() else width + len(headings)).print(shown)
