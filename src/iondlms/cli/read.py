"""`iondlms read`: single values, by name or OBIS code."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import click

from iondlms.cli.completion import offer_values
from iondlms.cli.options import Asker, meter_options, output_option
from iondlms.cli.output import Column, Form, Table, moment, write
from iondlms.cli.refusals import refused
from iondlms.client import name_of, resolve
from iondlms.client.blocking import Client
from iondlms.client.names import PROFILE_CLASS, NamedObject
from iondlms.client.scales import scale_of, scaler_unit_of
from iondlms.codec.axdr import BitString, Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import (
    AssociationLn,
    CaptureObject,
    Clock,
    DataObject,
    Interface,
    ProfileGeneric,
    Register,
    SapAssignment,
)
from iondlms.errors import AccessError, DecodeError, LocalError

__all__ = ["read"]

_COLUMNS: Final = [Column(name) for name in ("name", "logical_name", "attribute", "what", "value", "unit")]
LOGICAL_NAME: Final = 1
VALUE: Final = 2  # the attribute of most classes that holds their value
BUFFER: Final = 2
# Of classes that an ION meter has not, and others have (62056-62 5.3, 5.4).
_OTHERS: Final[dict[int, tuple[str, ...]]] = {
    4: ("logical_name", "value", "scaler_unit", "status", "capture_time"),
    5: (
        "logical_name", "current_average_value", "last_average_value", "scaler_unit", "status",
        "capture_time", "start_time_current", "period", "number_of_periods",
    ),
}  # fmt: skip
_CLASSES: Final[dict[int, type[Interface]]] = {
    each.class_id: each
    for each in (DataObject, Register, ProfileGeneric, Clock, AssociationLn, SapAssignment)
}


@click.command()
@meter_options
@click.argument("names", nargs=-1, required=True, metavar="NAME|OBIS[:ATTR]...", shell_complete=offer_values)
@output_option
@click.option("--raw", is_flag=True, help="Integers as sent, not scaled.")
@click.option("--utc", is_flag=True, help="Times in UTC.")
def read(asker: Asker, names: tuple[str, ...], form: Form, raw: bool, utc: bool) -> int:
    """Read attributes: the value where no attribute is named, all of them as attribute 0.

    \b
    iondlms read "tcp://127.0.0.1:4059?unit=100" kWh-del 1-1:16.4.0*255
    iondlms read "tcp://127.0.0.1:4059?unit=100" clock:0 -o json
    """
    wanted = [(name, resolve(name)) for name in names]
    rows: list[list[Any]] = []
    refusals: list[str] = []
    with asker.meter() as meter:
        for name, item in wanted:
            try:
                rows += _read(meter, item, raw=raw, utc=utc)
            except AccessError as error:
                refusals.append(refused(name, error))
    if rows or not refusals:
        write(Table(_COLUMNS, rows), form)
    for line in refusals:
        click.echo(f"iondlms: {line}", err=True)
    return 1 if refusals else 0


def _read(meter: Client, item: NamedObject, *, raw: bool, utc: bool) -> list[list[Any]]:
    code = item.logical_name
    class_id = item.class_id if item.class_id is not None else _class_of(meter, item)
    attribute = VALUE if item.attribute is None else item.attribute
    if class_id == PROFILE_CLASS and attribute in (0, BUFFER):
        raise LocalError(
            f"{code} is a profile: `iondlms profile URL {code}` reads its rows, :3 to :8 the rest"
        )
    if attribute == 0:
        found = meter.get_all(code, class_id)
    else:
        found = {attribute: meter.get(code, attribute, class_id)}
    rows = []
    for number, data in sorted(found.items()):
        value, unit = _shown(data, utc), ""
        if number == LOGICAL_NAME and data is not None and data.value == code.octets:
            value = str(code)
        where = None if class_id is None else scaler_unit_of(CaptureObject(class_id, code, number))
        if where is not None and data is not None and isinstance(data.value, int):
            scale = found.get(where.attribute_id) or meter.get(code, where.attribute_id, class_id)
            value, unit = (data.value, "") if raw else _scaled(data, scale)
        rows.append([name_of(code), str(code), number, _what(class_id, number), value, unit])
    return rows


def _class_of(meter: Client, item: NamedObject) -> int | None:
    """Return the class that the object list gives a logical name, None where it is not listed."""
    return next((each.class_id for each in meter.objects() if each.logical_name == item.logical_name), None)


def _what(class_id: int | None, attribute: int) -> str:
    """Return the standard's name of an attribute, empty for a class that is not known here."""
    names = _OTHERS.get(class_id or 0, ())
    if 1 <= attribute <= len(names):
        return names[attribute - 1]
    known = _CLASSES.get(class_id or 0)
    if known is None or attribute not in known.attributes:
        return ""
    return known.attributes[attribute].name.removesuffix("_data")


def _scaled(data: Data, scale: Data) -> tuple[Any, str]:
    try:
        scaler, unit = scale_of(scale)
        return Decimal(data.integer()).scaleb(scaler), unit
    except DecodeError:
        return data.value, ""  # it is no scaler_unit: the number stands for itself


def _shown(data: Data | None, utc: bool) -> Any:
    """Return a value for people: text and times where the octets are such, else as plain as it is."""
    if data is None or data.value is None:
        return None
    if data.tag in (Tag.ARRAY, Tag.STRUCTURE, Tag.COMPACT_ARRAY):
        return [_shown(item, utc) for item in data.items()]
    if isinstance(data.value, bytes):
        return _octets(data.value, data.tag, utc)
    if isinstance(data.value, BitString):
        length, octets = data.value
        return "".join(f"{octet:08b}" for octet in octets)[:length]
    if isinstance(data.value, (bool, int, str)):
        return data.value
    return str(data).partition(" ")[2]


def _octets(octets: bytes, tag: Tag, utc: bool) -> str:
    if len(octets) == 12 and tag in (Tag.OCTET_STRING, Tag.DATE_TIME) and octets[0] in (0x07, 0x08):
        time = DateTime(octets)
        try:
            return moment(time.utc(), utc=True) or str(time) if utc else str(time)
        except DecodeError:
            return str(time)  # a rule and not an instant, or a time without a zone
    if octets and all(0x20 <= octet < 0x7F for octet in octets):
        return octets.decode("ascii")
    if len(octets) == 6:  # in these meters a logical name and nothing else
        return str(ObisCode(octets))
    return octets.hex(" ").upper()
