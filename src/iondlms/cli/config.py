"""`iondlms config`: what a configuration file says, whether it can be, and what may stand in one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from pydantic import TypeAdapter

from iondlms.cli.serve import settings_of
from iondlms.errors import LocalError
from iondlms.ion.factory import model as find_model
from iondlms.meter.config import Config, no_port_sets_the_clock
from iondlms.meter.kept import cleared_on_disk
from iondlms.meter.lines import notes_of
from iondlms.meter.links import not_exported
from iondlms.meter.site import Site, load_checked, load_site
from iondlms.meter.written import as_toml, first_file
from iondlms.sources import map_text

__all__ = ["config"]

_FILE: Final = click.Path(path_type=Path)
_set = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Any key, by its dotted path."
)


@click.group()
def config() -> None:
    """Write, check, show and describe configurations of `iondlms serve`.

    \b
    iondlms config init -o meter.toml
    iondlms config check meter.toml
    iondlms config show meter.toml --set clock.zone=Europe/Madrid
    iondlms config schema > iondlms.schema.json
    iondlms config map ion9000 -o board.toml
    """


@config.command()
@click.option("--model", default="ION8650", help="ION9000, ION8650 (default), ION7400 or ION8800.")
@click.option("-o", "--output", type=_FILE, help="A file that is not there yet; else it is printed.")
def init(model: str, output: Path | None) -> None:
    """Write a first file: the model as it is without one, with what may be changed explained.

    \b
    iondlms config init --model ION9000 -o meter.toml
    """
    found = find_model(model).name
    if _written(first_file(found), output):
        click.echo(f"{output}: the default framework of an {found}; iondlms serve {output}", err=True)


@config.command("map")
@click.argument("name")
@click.option("-o", "--output", type=_FILE, help="A file that is not there yet; else it is printed.")
def modbus_map(name: str, output: Path | None) -> None:
    """Write the Modbus map NAME, to change it: which registers of another meter hold what.

    \b
    iondlms config map ion9000 -o board.toml
    """
    if _written(map_text(name), output):
        click.echo(f'{output}: name it in [source] with map = "{output}"; it must end in .toml', err=True)


def _written(text: str, output: Path | None) -> bool:
    """Print a text, or write it into a new file and return True; LocalError if it cannot be written."""
    if output is None:
        click.echo(text, nl=False)
        return False
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise LocalError(f"{output} is there already; name another file, or move that one away") from error
    except OSError as error:
        raise LocalError(f"{output} cannot be written: {error.strerror}") from error
    return True


@config.command()
@click.argument("file", type=_FILE)
@_set
def check(file: Path, settings: tuple[str, ...]) -> None:
    """Tell all that is wrong in FILE, a line each; then the status is 2. No port or data folder is opened.

    \b
    iondlms config check meter.toml
    """
    made = load_checked(file, settings_of(settings), year=datetime.now(UTC).year)
    meters = [made] if isinstance(made, Config) else [meter for _, meter in made.meters()]
    count = "" if isinstance(made, Config) else f", {len(meters)} meters"
    click.echo(f"{file}: right{count}")
    notes = [
        *notes_of(made),
        *(line for meter in meters for line in no_port_sets_the_clock(meter)),
        *(line for meter in meters for line in cleared_on_disk(meter)),
    ]
    # Many meters of one file have the same modules.
    for note in dict.fromkeys([*(line for meter in meters for line in not_exported(meter)), *notes]):
        click.echo(f"note: {note}", err=True)


@config.command()
@click.argument("file", type=_FILE, required=False)
@_set
def show(file: Path | None, settings: tuple[str, ...]) -> None:
    """Print FILE, or else the defaults, as TOML with every key and all modules.

    A key without a value is a comment.

    \b
    iondlms config show --set model=ION9000
    """
    for line in as_toml(load_site(file, settings_of(settings))):
        click.echo(line)


@config.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors.

    \b
    iondlms config schema > iondlms.schema.json
    """
    described = TypeAdapter[Config | Site](Config | Site).json_schema()
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | described
    click.echo(json.dumps(described, indent=2, ensure_ascii=False))
