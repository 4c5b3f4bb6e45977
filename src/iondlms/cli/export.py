"""`iondlms export`: the rows of Data Recorders out of a data folder, also while its meter runs."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from iondlms.cli.options import instant_of
from iondlms.errors import LocalError
from iondlms.store import (
    FILE_FORMS,
    Archive,
    FileForm,
    KeptRows,
    form_of,
    meters_in,
    write_parquet,
    write_text,
)

__all__ = ["export", "recorder_of", "utc_ms_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OWN: Final = ("meter.sqlite", "meter.lock")  # in a data folder; no export may take their place
_ALWAYS: Final = range(-(1 << 63), 1 << 63)


@click.command()
@click.argument("data_dir", type=click.Path(path_type=Path))
@click.argument("recorder", required=False)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="All recorders, each into a file of the folder FILE.")
@click.option("-o", "--output", "form", type=click.Choice(FILE_FORMS), help="Default: as FILE ends, or csv.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--from", "start", metavar="T", help="First instant; without offset UTC.")
@click.option("--to", "end", metavar="T", help="Last instant, itself included.")
def export(
    data_dir: Path,
    recorder: str | None,
    file: Path | None,
    everything: bool,
    form: FileForm | None,
    force: bool,
    start: str | None,
    end: str | None,
) -> None:
    """Write the rows of a Data Recorder: time in UTC, status word, and each source with three decimals.

    Reads the data folder of a meter, running or not, or of a site: then FILE is a folder, and gets a file for
    each meter. Without FILE, or with `-`, to stdout. `iondlms import-history` reads such files.

    \b
    iondlms export meter "Load Profile" load.csv
    iondlms export meter billing -o jsonl --from 2026-10-01
    iondlms export meter --all copies/ -o parquet
    """
    if everything and recorder is not None:
        if file is not None:
            raise LocalError("--all takes every recorder: name only the folder for the files")
        file, recorder = Path(recorder), None
    if recorder is None and not everything:
        there = ", ".join(map(repr, _recorders(data_dir)))
        raise LocalError(f"name the recorder ({there}), or --all")
    span = range(
        _ALWAYS.start if start is None else utc_ms_of(start, "--from"),
        _ALWAYS.stop if end is None else utc_ms_of(end, "--to") + 1,
    )
    meters = meters_in(data_dir)
    if not everything and "" in meters:
        (rows,) = _rows(meters[""], recorder)
        path = None if file is None or str(file) == "-" else file
        _check_new([] if path is None else [path], force)
        _write_one(rows, span, form, path)
        return
    if file is None or str(file) == "-":
        what = "every recorder" if everything else f"{len(meters)} meters"
        raise LocalError(f"{what}: name a folder for the files")
    files: list[tuple[KeptRows, Path]] = []
    for name, folder in meters.items():
        taken: set[str] = set()
        for rows in _rows(folder, recorder):
            stem = _file_name(rows.recorder, taken)
            files.append((rows, file / name / f"{stem}.{form or 'csv'}"))
    _check_new([path for _, path in files], force)
    for rows, path in files:
        _write_one(rows, span, form, path)


def recorder_of(wanted: str, there: Sequence[str]) -> str:
    """Return the recorder that is meant: by its name in any case, or its beginning; LocalError otherwise."""
    found = [name for name in there if name == wanted]
    found = found or [name for name in there if _plain(name) == _plain(wanted)]
    found = found or [name for name in there if _plain(wanted) and _plain(name).startswith(_plain(wanted))]
    if len(found) != 1:
        names = ", ".join(map(repr, there)) or "none"
        raise LocalError(f"no recorder is called {wanted!r}; there are {names}")
    return found[0]


def utc_ms_of(text: str, option: str) -> int:
    """Return an instant in UTC milliseconds; a time without an offset is UTC."""
    when = instant_of(text, option)
    return ((when if when.tzinfo is not None else when.replace(tzinfo=UTC)) - _EPOCH) // timedelta(
        milliseconds=1
    )


def _recorders(folder: Path) -> list[str]:
    found: list[str] = []
    for each in meters_in(folder).values():
        with Archive.open(each) as archive:
            found += archive.recorders()
    return list(dict.fromkeys(found))


def _rows(folder: Path, recorder: str | None) -> Iterator[KeptRows]:
    with Archive.open(folder) as archive:
        there = list(archive.recorders())
        for name in there if recorder is None else [recorder_of(recorder, there)]:
            yield archive.rows(name)


def _check_new(paths: list[Path], force: bool) -> None:
    """See that no file is written over that nobody meant; before the first is written."""
    for path in paths:
        if not force and path.is_file() and not path.name.startswith(_OWN):
            raise LocalError(f"{path} is there already; name another file, or give --force to write over it")


def _write_one(kept: KeptRows, span: range, form: FileForm | None, path: Path | None) -> None:
    rows = (row for row in kept if row.utc_ms in span)
    if path is None:
        if form == "parquet":
            raise LocalError("Parquet goes into a file: name one")
        write_text(rows, kept.sources, form or "csv", sys.stdout)
        return
    if path.is_dir():
        raise LocalError(f"{path} is a folder: name a file, or --all for a file for each recorder")
    if path.name.startswith(_OWN):
        raise LocalError(f"{path} is a file of the meter's own, or is called so: choose another name")
    form = form or form_of(path)
    # Into place only when whole: who reads the file of before never sees half of this one.
    # And with a name of its own: of two that write the same file, the last one's stands, whole.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.open("xb").close()
        try:
            if form == "parquet":
                try:
                    write_parquet(rows, kept.sources, part)
                except LocalError as error:  # it names the file that it was given
                    raise LocalError(str(error).replace(str(part), str(path))) from error
            else:
                with part.open("w", encoding="utf-8", newline="") as stream:
                    write_text(rows, kept.sources, form, stream)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {path}", err=True)


def _file_name(recorder: str, taken: set[str]) -> str:
    """Return the recorder's name without what a file's name may not have, and not twice."""
    plain = re.sub(r"[^\w .()+-]", "_", recorder).strip(". ") or "recorder"
    name, count = plain, 2
    while name.lower() in taken:
        name, count = f"{plain} {count}", count + 1
    taken.add(name.lower())
    return name


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()
