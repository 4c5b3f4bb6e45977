"""`iondlms ping`: is the meter there, and who is it?"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from iondlms.cli.options import Asker, meter_options, output_option
from iondlms.cli.output import Column, Form, Table, tenths, write
from iondlms.cli.refusals import refusing

__all__ = ["ping"]


@click.command()
@meter_options
@output_option
def ping(asker: Asker, form: Form) -> None:
    """Connect, associate, ask for name and clock, and release.

    \b
    iondlms ping "tcp://127.0.0.1:4059?unit=100"
    """
    begin = time.perf_counter()
    with asker.meter() as meter:
        opened = time.perf_counter()
        with refusing("name"):
            name = meter.get("name").octets().decode("ascii", "replace")
        answered = time.perf_counter()
        with refusing("clock"):
            reading = meter.clock()
        framing, conformance, max_pdu = (
            meter.session.framing,
            meter.session.conformance,
            meter.session.max_pdu,
        )
    apart = None if reading.instant is None else (reading.instant - datetime.now(UTC)).total_seconds()
    target = asker.target
    services = ", ".join((flag.name or "").lower().replace("_", "-") for flag in conformance)
    facts = {
        "name": name,
        "address": target.place,
        "framing": framing,
        "unit": None if framing == "wrapper" else target.unit,
        "client": target.client,
        "services": services,
        "max_pdu": max_pdu,
        "clock": reading.instant,
        "clock_apart_s": None if apart is None else tenths(apart),
        "open_ms": round((opened - begin) * 1000, 1),
        "get_ms": round((answered - opened) * 1000, 1),
    }
    if form == "table":
        side = "ahead" if apart is not None and apart >= 0 else "behind"
        offset = "" if apart is None else f", its clock {abs(apart):.1f} s {side}"
        # The wrapper carries no Unit ID, so whichever was asked for, this one answered.
        unit = "any unit" if framing == "wrapper" else f"unit {target.unit}"
        click.echo(
            f"{name} answers at {facts['address']} over {framing}, {unit},"
            f" client {target.client}: open {facts['open_ms']} ms, get {facts['get_ms']} ms{offset}"
        )
    else:
        write(Table([Column(key) for key in facts], [list(facts.values())]), form)
