"""Recordings: a CSV or Parquet file as rows of exact values, oldest first, in UTC."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from iondlms.errors import LocalError, extra_hint
from iondlms.ion import QUANTITIES

from .stamps import instants, zone_of

__all__ = ["Recording", "read_recording"]

# What headings of columns are called where the settings name none; compared without case and blanks.
_TIMES: Final = ("datetime", "time", "timestamp", "date", "utc")
_KNOWN: Final = {
    "kw": "kW tot",
    "realpower": "kW tot",
    "activepower": "kW tot",
    "kvar": "kVAR tot",
    "reactivepower": "kVAR tot",
    "kva": "kVA tot",
    "apparentpower": "kVA tot",
    **{name.lower().replace(" ", ""): name for name in QUANTITIES},
}
_NOTHING: Final = frozenset(("", "na", "n/a", "nan", "null", "none", "-"))
_FAULTS_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Recording:
    """Stamps in UTC milliseconds, strictly ascending, and for each quantity its values times 1000."""

    stamps: list[int]
    values: dict[str, list[int]]
    step_ms: int  # the usual distance of two rows


def read_recording(
    path: Path,
    columns: Mapping[str, str],
    *,
    time: str = "",
    time_format: str = "",
    zone: str = "UTC",
    scale: str = "1",
) -> Recording:
    """Read a file whose name ends in .csv, .txt, .tsv or .parquet.

    `columns` gives the heading for each ION name, and `time` that of the stamps; empty takes those whose
    headings say it. `scale` makes k-units of the energies and powers in the file. A row without one of
    its values is left out, as if it were not there. LocalError tells what cannot be read, and in which
    rows; or which extra is missing.
    """
    try:
        factor = Decimal(scale) * 1000
    except InvalidOperation as error:
        raise LocalError(f"the scale {scale!r} is no number") from error
    table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    headings = {heading: number for number, heading in enumerate(table.headings)}
    time = time or _only(table.headings, _TIMES, path)
    named = dict(columns) or {
        _KNOWN[plain]: heading for heading in headings if (plain := _plain(heading)) in _KNOWN
    }
    for heading in (time, *named.values()):
        if heading not in headings:
            raise LocalError(f"{path}: no column is called {heading!r}; there are {', '.join(headings)}")
    for name in named:
        if name not in QUANTITIES:
            raise LocalError(f"{path}: no quantity is called {name!r}; names look like 'kW tot' or 'kWh del'")
    if not named:
        raise LocalError(
            f"{path}: no column is known; say which is which, as in 'kW tot' = {list(headings)[-1]!r}"
        )
    fields = []
    faults = []
    for number, row in enumerate(table.rows):
        try:
            fields.append([_number(row[headings[heading]], table.comma) for heading in named.values()])
        except (ValueError, IndexError) as error:
            faults.append(f"{path}, {table.place(number)}: {error}")
    if faults:
        more = [] if len(faults) <= _FAULTS_TOLD else [f"{path}: {len(faults) - _FAULTS_TOLD} more such rows"]
        raise LocalError("\n".join(faults[:_FAULTS_TOLD] + more))
    # Of the rows without values too: they help to tell the hour that comes twice, and the usual distance.
    texts = [str(row[headings[time]]).strip() for row in table.rows]
    try:
        stamps = instants(texts, zone_of(zone), time_format)
    except LocalError as error:
        raise LocalError(f"{path}, column {time!r} (rows counted from 0): {error}") from error
    factors = [_factor(name, factor) for name in named]
    rows = sorted(
        (stamp, [_kept(number, by) for number, by in zip(numbers, factors, strict=True)])
        for stamp, numbers in zip(stamps, fields, strict=True)
        if None not in numbers
    )
    if not rows:
        raise LocalError(f"{path}: no row has values")
    kept = rows[:1]
    for row in rows[1:]:
        if row[0] != kept[-1][0]:
            kept.append(row)
        elif row != kept[-1]:  # the same row twice does no harm
            raise LocalError(f"{path}: two rows with different values are both of {row[0]} ms UTC")
    distances = Counter(b - a for a, b in pairwise(sorted(set(stamps))))
    if not distances:
        raise LocalError(f"{path}: one row alone has no length in time")
    values = {name: [row[1][index] for row in kept] for index, name in enumerate(named)}
    return Recording([row[0] for row in kept], values, distances.most_common(1)[0][0])


@dataclass(frozen=True, slots=True)
class _Table:
    headings: list[str]
    rows: Sequence[Sequence[Any]]
    lines: list[int] | None = None  # of the file, where it has lines
    comma: bool = False  # decimals are written with a comma

    def place(self, number: int) -> str:
        return f"row {number}" if self.lines is None else f"line {self.lines[number]}"


def _csv(path: Path) -> _Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            delimiter = max(",;\t", key=head.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            rows, lines = [], []
            for row in reader:
                if any(field.strip() for field in row):
                    rows.append(row)
                    lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LocalError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise LocalError(f"{path}: is empty")
    return _Table([field.strip() for field in rows[0]], rows[1:], lines[1:], delimiter == ";")


def _parquet(path: Path) -> _Table:
    try:
        import duckdb
    except ImportError as error:
        raise LocalError(
            f"{path}: Parquet needs the extra 'data'; install it with: {extra_hint('data')}"
        ) from error
    if not path.is_file():
        raise LocalError(f"{path}: cannot be read: there is no such file")
    try:
        with duckdb.connect() as connection:
            table = connection.read_parquet(str(path))
            # Instants leave as numbers: DuckDB wants pytz to hand out a time with a zone.
            chosen = []
            for name, kind in zip(table.columns, table.types, strict=True):
                quoted = '"' + name.replace('"', '""') + '"'
                zoned = str(kind).endswith("WITH TIME ZONE")
                chosen.append(f"epoch_ms({quoted})" if zoned else f"CAST({quoted} AS VARCHAR)")
            rows = table.project(", ".join(chosen)).fetchall()
            return _Table(list(table.columns), rows)
    except duckdb.Error as error:
        raise LocalError(f"{path}: cannot be read: {error}") from error


def _plain(heading: str) -> str:
    return heading.lower().replace(" ", "").replace("_", "")


def _only(headings: Sequence[str], known: tuple[str, ...], path: Path) -> str:
    found = [heading for heading in headings if _plain(heading) in known]
    if len(found) != 1:
        raise LocalError(f"{path}: which column has the time? There are {', '.join(headings)}")
    return found[0]


def _number(field: object, comma: bool) -> Decimal | None:
    """Return an exact number; None for a field that says there is none. ValueError for anything else."""
    text = "" if field is None else str(field).strip()
    if text.lower() in _NOTHING:
        return None
    try:
        number = Decimal(text.replace(",", ".") if comma else text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None
    # Beyond any meter, and such exponents would fill the memory.
    if not number.is_finite() or abs(number.adjusted()) > 18:
        raise ValueError(f"{text!r} is no reading of a meter")
    return number


def _factor(name: str, factor: Decimal) -> Decimal:
    """Return what makes the kept integer: volts, amperes and the like are never in k-units."""
    return Decimal(1000) if QUANTITIES[name].exponent else factor


def _kept(number: Decimal | None, factor: Decimal) -> int:
    if number is None:  # such rows were left out
        return 0
    exact = number * factor
    return int(exact.to_integral_value("ROUND_HALF_UP"))
