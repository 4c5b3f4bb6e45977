"""`iondlms read`: single values, by name or OBIS code."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import click

from iondlms.cli.options import Asker, meter_options, output_option
from iondlms.cli.output import Column, Form, Table, moment, write
from iondlms.client import name_of, resolve
from iondlms.client.blocking import Client
from iondlms.client.names import CLOCK_CLASS, REGISTER_CLASS, NamedObject
from iondlms.client.profile import unit_name
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.errors import AccessError, DlmsError

__all__ = ["read"]

_COLUMNS: Final = [Column(name) for name in ("name", "logical name", "attribute", "value", "unit")]
VALUE: Final = 2  # the attribute of most classes that holds their value
SCALER_UNIT: Final = 3


@click.command()
@meter_options
@click.argument("names", nargs=-1, required=True, metavar="NAME|OBIS[:ATTR]...")
@output_option
@click.option("--raw", is_flag=True, help="Integers as sent, not scaled.")
@click.option("--utc", is_flag=True, help="Times in UTC.")
def read(asker: Asker, names: tuple[str, ...], form: Form, raw: bool, utc: bool) -> int:
    """Read attributes: the value where no attribute is named, all of them as attribute 0.

    \b
    iondlms read tcp://127.0.0.1:4059?unit=100 kWh-del 1-1:16.4.0*255
    iondlms read tcp://127.0.0.1:4059?unit=100 clock:0 -o json
    """
    wanted = [(name, resolve(name)) for name in names]
    rows: list[list[Any]] = []
    refused: list[str] = []
    with asker.meter() as meter:
        for name, item in wanted:
            try:
                rows += _read(meter, item, raw=raw, utc=utc)
            except AccessError as error:
                refused.append(f"{name}: the meter refuses it: {error}")
    if rows or not refused:
        write(Table(_COLUMNS, rows), form)
    for line in refused:
        click.echo(f"iondlms: {line}", err=True)
    return 1 if refused else 0


def _read(meter: Client, item: NamedObject, *, raw: bool, utc: bool) -> list[list[Any]]:
    code = item.logical_name
    heading = [name_of(code), str(code)]
    if item.attribute == 0:
        found = meter.get_all(code, item.class_id)
        return [[*heading, number, _shown(data, utc), ""] for number, data in sorted(found.items())]
    attribute = VALUE if item.attribute is None else item.attribute
    data = meter.get(code, attribute, item.class_id)
    value, unit = _shown(data, utc), ""
    if attribute == VALUE and item.class_id == CLOCK_CLASS:
        value = moment(meter.clock().instant, utc=utc) if utc else value
    elif attribute == VALUE and isinstance(data.value, int) and item.class_id in (REGISTER_CLASS, None):
        value, unit = _scaled(meter, item, data, raw=raw)
    return [[*heading, attribute, value, unit]]


def _scaled(meter: Client, item: NamedObject, data: Data, *, raw: bool) -> tuple[Any, str]:
    try:
        scaler, unit = meter.get(item.logical_name, SCALER_UNIT, item.class_id).items()
    except (DlmsError, ValueError):
        return data.value, ""  # no register: its value stands for itself
    if raw:
        return data.integer(), ""
    return Decimal(data.integer()).scaleb(scaler.integer()), unit_name(unit.integer())


def _shown(data: Data | None, utc: bool) -> Any:
    """Return a value for people: text and times where the octets are such, else as plain as it is."""
    if data is None or data.value is None:
        return None
    if data.tag in (Tag.ARRAY, Tag.STRUCTURE, Tag.COMPACT_ARRAY):
        return [_shown(item, utc) for item in data.items()]
    if isinstance(data.value, bytes):
        return _octets(data.value, data.tag, utc)
    if isinstance(data.value, (bool, int, str)):
        return data.value
    return str(data).partition(" ")[2]


def _octets(octets: bytes, tag: Tag, utc: bool) -> str:
    if len(octets) == 12 and tag in (Tag.OCTET_STRING, Tag.DATE_TIME) and octets[0] in (0x07, 0x08):
        time = DateTime(octets)
        return str(time.utc(0)) if utc and time.deviation is not None else str(time)
    if octets and all(0x20 <= octet < 0x7F for octet in octets):
        return octets.decode("ascii")
    return octets.hex(" ").upper()
