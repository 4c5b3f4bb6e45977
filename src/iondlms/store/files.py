"""A recorder's rows as a file and back: CSV, JSON lines, Parquet.

Columns are `time` (UTC, ISO 8601), `status` (the word as a number), and one for each source, headed by its
ION name, in ION's unit (kWh, kW, V, ...) with three decimals: exactly what is kept, no more and no less. So
what is read from a file written here is what was written.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, NoReturn, TextIO

from iondlms.errors import LocalError, extra_hint
from iondlms.ion import Row

__all__ = ["FILE_FORMS", "FileForm", "form_of", "headings", "read_rows", "write_parquet", "write_text"]

FileForm = Literal["csv", "jsonl", "parquet"]
FILE_FORMS: Final = ("csv", "jsonl", "parquet")

_SUFFIXES: Final[dict[str, FileForm]] = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"
}  # fmt: skip
_TIME, _STATUS = "time", "status"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_FAULTS_TOLD: Final = 5
_LARGEST: Final = 1 << 63


class _Fault(ValueError):
    """A field that cannot be what a recorder keeps."""


def form_of(path: Path) -> FileForm:
    """Return the form that a file's name tells; LocalError if it tells none."""
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise LocalError(f"{path}: which form? A name ends in {', '.join(_SUFFIXES)}")
    return found


def headings(sources: Sequence[str]) -> list[str]:
    """Return the headings of a file; a source that is recorded twice gets a number behind its name."""
    found = [_TIME, _STATUS]
    for name in sources:
        count = 2
        heading = name
        while heading in found:
            heading, count = f"{name} ({count})", count + 1
        found.append(heading)
    return found


def write_text(rows: Iterable[Row], sources: Sequence[str], form: FileForm, stream: TextIO) -> None:
    """Write CSV or JSON lines."""
    names = headings(sources)
    if form == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow(
                [_stamp(row.utc_ms), row.status, *["" if v is None else _decimal(v) for v in row.values]]
            )
        return
    # By hand: a JSON number may have any decimals, and `json` has only floats to write them from.
    time, status, *keys = [json.dumps(name) for name in names]
    for row in rows:
        values = "".join(
            f", {key}: {'null' if value is None else _decimal(value)}"
            for key, value in zip(keys, row.values, strict=True)
        )
        stream.write(f'{{{time}: "{_stamp(row.utc_ms)}", {status}: {row.status}{values}}}\n')


def write_parquet(rows: Iterable[Row], sources: Sequence[str], path: Path) -> None:
    """Write Parquet: time as an instant in milliseconds, status as USMALLINT, values as DECIMAL(19, 3).

    LocalError without the extra `data`, OSError if the file cannot be written.
    """
    duckdb = _duckdb(path)
    names = headings(sources)
    path.open("ab").close()  # its own error, and not DuckDB's long one
    with TemporaryDirectory(prefix="iondlms-") as folder, duckdb.connect(config={"threads": 1}) as connection:
        plain = Path(folder, "rows.csv")
        with plain.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            for row in rows:
                values = ["" if value is None else _decimal(value) for value in row.values]
                writer.writerow([row.utc_ms, row.status, *values])
        kinds = ["BIGINT", "USMALLINT", *["DECIMAL(19, 3)"] * len(sources)]
        table = ", ".join(f"'c{index}': '{kind}'" for index, kind in enumerate(kinds))
        chosen = [f"make_timestamptz(c0 * 1000) AS {_quoted(_TIME)}"]
        chosen += [f"c{index} AS {_quoted(name)}" for index, name in enumerate(names[1:], 1)]
        source = f"read_csv({_text(plain)}, header=false, delim=',', nullstr='', columns={{{table}}})"
        try:
            connection.execute(
                f"COPY (SELECT {', '.join(chosen)} FROM {source}) TO {_text(path)} (FORMAT parquet)"
            )
        except duckdb.Error as error:
            raise LocalError(f"{path} cannot be written: {_first_line(error)}") from error


def read_rows(path: Path, sources: Sequence[str], form: FileForm | None = None) -> list[Row]:
    """Return all rows of a file, for a recorder with these sources.

    Each field is checked, and times must ascend: LocalError tells what is wrong and in which lines.
    """
    form = form_of(path) if form is None else form
    try:
        lines = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](path, headings(sources))
        return _checked(path, lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LocalError(f"{path}: cannot be read: {reason}") from error


_Line = tuple[str, Callable[[], Row]]  # where it is, and the row, or a _Fault


def _checked(path: Path, lines: Iterable[_Line]) -> list[Row]:
    rows: list[Row] = []
    faults: list[str] = []
    for place, made in lines:
        try:
            row = made()
            if rows and row.utc_ms <= rows[-1].utc_ms:
                again = "comes twice" if row.utc_ms == rows[-1].utc_ms else "is before the row above it"
                raise _Fault(f"{_stamp(row.utc_ms)} {again}; times must ascend")
        except _Fault as error:
            faults.append(f"{path}, {place}: {error}")
        else:
            rows.append(row)
    if faults:
        more = [] if len(faults) <= _FAULTS_TOLD else [f"{path}: {len(faults) - _FAULTS_TOLD} more such rows"]
        raise LocalError("\n".join(faults[:_FAULTS_TOLD] + more))
    return rows


def _csv(path: Path, names: list[str]) -> Iterator[_Line]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        order = _order(path, next(reader, []), names)
        for fields in reader:
            yield f"line {reader.line_num}", partial(_row_in_order, fields, order)


def _jsonl(path: Path, names: list[str]) -> Iterator[_Line]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            yield f"line {number}", partial(_row_of_json, line, names)


def _parquet(path: Path, names: list[str]) -> Iterator[_Line]:
    duckdb = _duckdb(path)
    path.open("rb").close()
    try:
        with duckdb.connect() as connection:
            table = connection.read_parquet(str(path))
            order = _order(path, list(table.columns), names)
            kinds = [str(table.types[place]) for place in order]
            if not kinds[0].startswith("TIMESTAMP"):
                raise LocalError(f"{path}: the column 'time' is a {kinds[0]}, not a TIMESTAMP")
            # As text: DuckDB wants pytz to hand out an instant, and a decimal is one only in text.
            chosen = [f"CAST(epoch_us({_quoted(_TIME)}) AS VARCHAR)"]
            chosen += [f"CAST({_quoted(name)} AS VARCHAR)" for name in names[1:]]
            found = table.project(", ".join(chosen)).fetchall()
    except duckdb.Error as error:
        raise LocalError(f"{path}: cannot be read: {_first_line(error)}") from error
    for number, fields in enumerate(found, 1):
        yield f"row {number}", partial(_row_of_parquet, fields)


def _order(path: Path, there: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the place of each wanted column; LocalError if the columns are not these, in any order."""
    missing = [repr(name) for name in names if name not in there]
    strange = [repr(name) for name in there if name not in names]
    strange += [f"{name!r} again" for name in names if list(there).count(name) > 1]
    if missing or strange:
        told = [f"without {', '.join(missing)}"] if missing else []
        told += [f"with {', '.join(strange)}"] if strange else []
        raise LocalError(f"{path}: its columns are not the recorder's: {' and '.join(told)}")
    return [list(there).index(name) for name in names]


def _row_in_order(fields: Sequence[str], order: Sequence[int]) -> Row:
    if len(fields) != len(order):
        raise _Fault(f"{len(fields)} fields for {len(order)} columns")
    return _row([fields[place] for place in order])


def _row_of_json(line: str, names: Sequence[str]) -> Row:
    try:
        pairs = json.loads(
            line, parse_float=str, parse_int=str, parse_constant=_refuse, object_pairs_hook=list
        )
    except (ValueError, RecursionError) as error:
        raise _Fault(f"no JSON object: {error}") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise _Fault("no JSON object")
    found = dict(pairs)
    if len(found) != len(pairs) or set(found) != set(names):
        raise _Fault(f"its members are not {', '.join(names)}")
    return _row([found[name] for name in names])


def _row_of_parquet(fields: Sequence[object]) -> Row:
    try:
        time = _EPOCH + timedelta(microseconds=int(str(fields[0])))
    except (ValueError, OverflowError):
        raise _Fault(f"{fields[0]!r} microseconds are no time") from None
    return _row([time.isoformat(), *fields[1:]])


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _row(fields: Sequence[object]) -> Row:
    time, status, *values = fields
    return Row(_instant(time), _status(status), tuple([_kept(value) for value in values]))


def _instant(field: object) -> int:
    try:
        when = datetime.fromisoformat(str(field))
    except ValueError:
        raise _Fault(f"{field!r} is no time; write 2026-11-22T14:00:00Z") from None
    if when.tzinfo is None:
        raise _Fault(f"{field!r} has no offset from UTC; write 2026-11-22T14:00:00Z")
    elapsed = when - _EPOCH
    if elapsed % _MS:
        raise _Fault(f"{field!r} is finer than a millisecond")
    return elapsed // _MS


def _status(field: object) -> int:
    text = str(field)
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 0xFFFF):
        raise _Fault(f"{field!r} is no status word; one is 0 to 65535")
    return int(text)


def _kept(field: object) -> int | None:
    """Return a value in thousandths; None for an empty field."""
    if field is None or field == "":
        return None
    try:
        number = Decimal(str(field))
    except InvalidOperation:
        raise _Fault(f"{field!r} is no number") from None
    # The exponent first: to multiply by a thousand a number of a billion digits would fill the memory.
    if not number.is_finite() or number.adjusted() > 16 or len(number.as_tuple().digits) > 40:
        raise _Fault(f"{field!r} is no reading of a meter")
    digits, exponent = number.as_tuple()[1:]
    if not isinstance(exponent, int) or (exponent < -3 and any(digits[exponent + 3 :])):
        raise _Fault(f"{field!r} has more than three decimals; a recorder keeps three")
    kept = int(number.scaleb(3)) if number else 0
    if not -_LARGEST < kept < _LARGEST:
        raise _Fault(f"{field!r} is no reading of a meter")
    return kept


def _decimal(value: int) -> str:
    """Return thousandths as a number with three decimals."""
    whole, rest = divmod(abs(value), 1000)
    return f"{'-' if value < 0 else ''}{whole}.{rest:03d}"


def _stamp(utc_ms: int) -> str:
    when = _EPOCH + utc_ms * _MS
    return f"{when.isoformat(timespec='milliseconds' if utc_ms % 1000 else 'seconds')[:-6]}Z"


def _duckdb(path: Path) -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise LocalError(
            f"{path}: Parquet needs the extra 'data'; install it with: {extra_hint('data')}"
        ) from error
    return duckdb


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
