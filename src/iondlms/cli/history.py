"""`iondlms import-history`: rows of a file into a Data Recorder of a meter that does not run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import click

from iondlms.cli.export import recorder_of
from iondlms.errors import LocalError
from iondlms.ion import Pending
from iondlms.meter import Meter
from iondlms.meter.config import Config
from iondlms.meter.site import load_site
from iondlms.store import FILE_FORMS, Archive, FileForm, Store, import_rows, meters_in, read_rows

__all__ = ["import_history"]


@click.command("import-history")
@click.argument("where", metavar="CONFIG|DATA_DIR", type=click.Path(path_type=Path))
@click.argument("recorder")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--form", "form", type=click.Choice(FILE_FORMS), help="Of FILE; default: as it ends.")
@click.option("--replace", is_flag=True, help="Rows there within the span of FILE give way.")
def import_history(where: Path, recorder: str, file: Path, form: FileForm | None, replace: bool) -> None:
    """Fill a Data Recorder from a file as `iondlms export` writes it.

    The meter must not be running. With its CONFIG the meter need never have run. The file is checked whole
    first: columns, times that ascend and are not to come, status words, values of three decimals. Then all
    its rows are in, or none. The recorder keeps its depth: what is oldest goes.

    The rows are taken for the meter's own past: where the file's last row is the recorder's newest, energy
    registers that are lower than in it go on from it, and are named. A record of an outage, all zeros, is no
    such row. Maxima and minima, and what is told by quadrant, stay as they are.

    Until the meter runs again, a corrected file with --replace takes back what the rows it replaces have
    raised; afterwards nothing does. `iondlms backup` first keeps a way back.

    \b
    iondlms import-history meter "Load Profile" load.csv
    iondlms import-history meter.toml billing old.parquet --replace
    """
    now_ms = time.time_ns() // 1_000_000
    if where.is_dir():
        folder = _only(where)
        with Archive.open(folder) as archive:
            name = recorder_of(recorder, list(archive.recorders()))
            sources = archive.rows(name).sources
        meter = None
    else:
        folder, meter = _configured(where)
        recorders = meter.ion.recorders
        name = recorder_of(recorder, list(recorders))
        sources = recorders[name].setup.sources
    rows = read_rows(file, sources, form)
    with Store.open(folder) as store:
        if meter is not None:
            _settle(store, meter, name, now_ms)
        rollover = None if meter is None else meter.ion.power_meter.setup.rollover
        done = import_rows(store, name, rows, now_ms=now_ms, replace=replace, rollover=rollover)
    told = [f"{done.added} rows imported into {name!r}"]
    if done.replaced:
        told.append(f"{done.replaced} replaced")
    if done.forgotten:
        told.append(f"the {done.forgotten} oldest left out, since it keeps no more")
    if done.raised:
        told.append(f"registers go on from its last row: {_listed(done.raised)}")
    back = {name: value for name, value in done.lowered.items() if name not in done.raised}
    if back:
        told.append(f"registers go on as before the replaced rows: {_listed(back)}")
    click.echo("; ".join(told), err=True)


def _listed(registers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {Decimal(value).scaleb(-3):f}" for name, value in registers.items())


def _only(folder: Path) -> Path:
    meters = meters_in(folder)
    if len(meters) > 1:
        raise LocalError(
            f"{folder} is of {len(meters)} meters: name one, such as {folder / next(iter(meters))}"
        )
    return next(iter(meters.values()))


def _configured(path: Path) -> tuple[Path, Meter]:
    config = load_site(path)
    if not isinstance(config, Config):
        raise LocalError(f"{path} is of several meters: name the data folder of one, LINE/NNNN in meter.data")
    folder = config.meter.data
    if folder is None:
        raise LocalError(f"{path}: meter.data names no folder, so nothing can be kept")
    # Without the history that its first start would make: that is what is imported.
    plain = config.model_copy(update={"meter": config.meter.model_copy(update={"history": 0})})
    return folder, Meter(plain)


def _settle(store: Store, meter: Meter, recorder: str, now_ms: int) -> None:
    """See that the folder knows the meter's recorders: of one that never ran, by a start and a stop."""
    store.describe({name: each.setup.sources for name, each in meter.ion.recorders.items()})
    state = store.archive.state()
    if state is None:
        meter.start(now_ms, 0.0)
        meter.power_down(0.0)
        batch = Pending(state=meter.ion.state, events=list(meter.ion.event_log.events))
        store.write(batch)
        return
    known = state.recorders.get(recorder)
    if known is None or known.fingerprint != meter.ion.recorders[recorder].setup.fingerprint:
        raise LocalError(
            f"{recorder!r} has other settings in the configuration than in {store.folder}:"
            " start the meter once with the configuration, which clears its log"
        )
    store.write(Pending())
