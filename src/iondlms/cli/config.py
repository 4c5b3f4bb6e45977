"""`iondlms config`: what a configuration file says, whether it can be, and what may stand in one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from pydantic import BaseModel, SecretStr, TypeAdapter

from iondlms.cli.serve import settings_of
from iondlms.meter.config import Config, ConfigError
from iondlms.meter.meter import faults_of
from iondlms.meter.site import Member, Site, load_site

__all__ = ["config"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_FILE: Final = click.Path(path_type=Path)
_set = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Any key, by its dotted path."
)


@click.group()
def config() -> None:
    """Check, show and describe configurations of `iondlms serve`.

    \b
    iondlms config check meter.toml
    iondlms config show meter.toml --set clock.zone=Europe/Madrid
    iondlms config schema > iondlms.schema.json
    """


@config.command()
@click.argument("file", type=_FILE)
@_set
def check(file: Path, settings: tuple[str, ...]) -> None:
    """Tell all that is wrong in FILE, a line each; then the status is 2. No port or data folder is opened.

    \b
    iondlms config check meter.toml
    """
    made = load_site(file, settings_of(settings))
    meters = [made] if isinstance(made, Config) else [meter for _, meter in made.meters()]
    faults: dict[str, None] = {}  # ordered, and each once: meters of a site share most
    for meter in meters:
        faults |= dict.fromkeys(faults_of(meter))
    if faults:
        raise ConfigError("\n".join(f"{file}: {fault}" for fault in faults))
    count = "" if isinstance(made, Config) else f", {len(meters)} meters"
    click.echo(f"{file}: right{count}")


@config.command()
@click.argument("file", type=_FILE, required=False)
@_set
def show(file: Path | None, settings: tuple[str, ...]) -> None:
    """Print FILE, or else the defaults, as TOML with every key; a key without a value is a comment.

    \b
    iondlms config show --set model=ION9000
    """
    for line in _toml(load_site(file, settings_of(settings))):
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


def _toml(made: Config | Site) -> Iterator[str]:
    for name, value in made:
        yield from _table(name, value)


def _table(name: str, value: Any) -> Iterator[str]:
    """Return the lines of a section, or of each section of a name."""
    if isinstance(value, tuple):
        for each in value:
            yield from _section(f"[[{name}]]", name, each)
    else:
        yield from _section(f"[{name}]", name, value)


def _section(heading: str, name: str, value: BaseModel | Mapping[str, Any]) -> Iterator[str]:
    yield heading
    below = []
    for key, each in value.items() if isinstance(value, Mapping) else value:
        if each and (isinstance(each, Mapping | tuple)):
            below.append((f"{name}.{_key(key)}", each))
        # Of several meters on a line a seed, once it is given, counts on from there: a default is not given.
        elif isinstance(value, Member) and key not in value.model_fields_set:
            pair = _pair(key, each)
            yield pair if pair.startswith("#") else f"# {pair}"
        else:
            yield _pair(key, each)
    yield ""
    for place, each in below:
        yield from _table(place, each)


def _pair(key: str, value: Any) -> str:
    if value is None:
        return f"# {_key(key)} ="
    if isinstance(value, SecretStr):
        return f"# {_key(key)} = is given, and not shown"
    if isinstance(value, Mapping):
        return f"{_key(key)} = {{}}"
    if isinstance(value, tuple):
        return f"{_key(key)} = []"
    if isinstance(value, bool):
        return f"{_key(key)} = {'true' if value else 'false'}"
    if isinstance(value, int | float):
        return f"{_key(key)} = {value!r}"
    return f"{_key(key)} = {_text(value.isoformat() if isinstance(value, datetime) else str(value))}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON's strings are TOML's, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
