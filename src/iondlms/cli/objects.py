"""`iondlms objects`: what the meter has to offer."""

from __future__ import annotations

from typing import Final

import click

from iondlms.cli.options import Asker, meter_options, output_option
from iondlms.cli.output import Column, Form, Table, write
from iondlms.cli.refusals import refusing
from iondlms.client import MeterObject

__all__ = ["objects"]

_CLASSES: Final = {
    1: "Data", 3: "Register", 4: "Extended Register", 5: "Demand Register", 7: "Profile Generic", 8: "Clock",
    15: "Association LN", 17: "SAP Assignment",
}  # fmt: skip
_MODES: Final = {0: "-", 1: "r", 2: "w", 3: "rw"}


@click.command()
@meter_options
@output_option
def objects(asker: Asker, form: Form) -> None:
    """List the objects that this client may see, with its rights.

    \b
    iondlms objects "tcp://127.0.0.1:4059?unit=100"
    """
    with asker.meter() as meter, refusing("association"):
        found = meter.objects()
    columns = ["class", "version", "class_name", "logical_name", "name", "attributes", "methods"]
    write(Table([Column(name) for name in columns], [_row(item) for item in found]), form)


def _row(item: MeterObject) -> list[object]:
    return [
        item.class_id,
        item.version,
        _CLASSES.get(item.class_id, ""),
        str(item.logical_name),
        item.name,
        _rights({attribute: _MODES.get(mode, str(mode)) for attribute, mode in item.attributes.items()}),
        _rights({method: "x" for method, mode in item.methods.items() if mode}),
    ]


def _rights(rights: dict[int, str]) -> str:
    """Write rights as `1-6:r 7:- 8-9:r`."""
    runs: list[list[int | str]] = []
    for number, right in sorted(rights.items()):
        if runs and runs[-1][1] == number - 1 and runs[-1][2] == right:
            runs[-1][1] = number
        else:
            runs.append([number, number, right])
    return " ".join(f"{a if a == b else f'{a}-{b}'}:{right}" for a, b, right in runs)
