"""`iondlms backup`: a consistent copy of a data folder, also while its meter runs."""

from __future__ import annotations

from pathlib import Path

import click

from iondlms.store import backup as copy
from iondlms.store import meters_in

__all__ = ["backup"]


@click.command()
@click.argument("data_dir", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def backup(data_dir: Path, target: Path) -> None:
    """Copy the data folder of a meter, or of all meters of a site, into the new folder TARGET.

    The meters may be running. Nothing is overwritten; each copy is checked, and a meter can be started on it.

    \b
    iondlms backup meter /backups/2026-11-22
    """
    for name, folder in meters_in(data_dir).items():
        copy(folder, target / name)
        click.echo(f"copied {folder} to {target / name}", err=True)
