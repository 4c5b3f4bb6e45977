"""`read` and `objects` of a meter by others, which has Extended and Demand Registers (classes 4 and 5)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import click
import pytest
from click.testing import CliRunner
from tests.client.joined import Lines, make_meter

from iondlms.cli import options
from iondlms.cli.objects import objects
from iondlms.cli.read import read
from iondlms.client import blocking
from iondlms.codec import make
from iondlms.codec.axdr import Data
from iondlms.codec.obis import ObisCode
from iondlms.cosem import Attribute, Interface
from iondlms.cosem.interface import LOGICAL_NAME

URL = "tcp://127.0.0.1:4059?unit=100&framing=hdlc"
MAXIMUM = "1-0:1.6.0*255"
DEMAND = "1-0:1.4.0*255"
# 2026-11-22 14:15:00, deviation -60: 13:15 UTC.
WHEN = make.octet_string(bytes.fromhex("07EA 0B 16 07 0E 0F 00 00 FFC4 00"))
LATER = make.octet_string(bytes.fromhex("07EA 0B 16 07 0E 1E 00 00 FFC4 00"))
W = make.structure(make.integer(-1), make.enum(27))


class Fake(Interface):
    """An object whose attributes are these, from 2 on."""

    values: ClassVar[tuple[Data, ...]]
    version = 0

    def __getattr__(self, name: str) -> Data:
        number = name.removeprefix("value_of_")
        if not number.isdecimal():
            raise AttributeError(name)
        return self.values[int(number) - 2]


def table(count: int) -> dict[int, Attribute]:
    return {1: LOGICAL_NAME, **{number: Attribute(f"value_of_{number}") for number in range(2, count + 1)}}


class ExtendedRegister(Fake):
    """62056-62 5.3: value, scaler_unit, status, capture_time."""

    class_id = 4
    attributes = table(5)
    values = (make.double_long_unsigned(41235), W, make.unsigned(4), WHEN)


class DemandRegister(Fake):
    """62056-62 5.4: both averages, scaler_unit, status, capture_time, start_time_current, period, number."""

    class_id = 5
    attributes = table(9)
    values = (
        make.double_long(-305), make.double_long(12345), W, make.unsigned(0), WHEN, LATER,
        make.double_long_unsigned(900), make.long_unsigned(1),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def meter_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = make_meter()
    meter.device.replace(
        (
            *meter.device.objects[1:],
            ExtendedRegister(ObisCode.parse(MAXIMUM)),
            DemandRegister(ObisCode.parse(DEMAND)),
        )
    )
    lines = Lines(meter)

    def connect(target: Any, **more: Any) -> blocking.Client:
        return blocking.Client(target, connector=lines.connect, **more)

    monkeypatch.setattr(options, "connect", connect)


def out(verb: click.Command, *words: str) -> str:
    done = CliRunner().invoke(verb, [URL, *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def in_json(text: str) -> list[tuple[Any, ...]]:
    keys = ("logical_name", "attribute", "what", "value", "unit")
    return [tuple(row[key] for key in keys) for row in json.loads(text)]


def in_lines(text: str) -> list[tuple[Any, ...]]:
    return in_json(f"[{','.join(text.splitlines())}]")


def in_csv(text: str) -> list[tuple[Any, ...]]:
    rows = list(csv.DictReader(io.StringIO(text)))
    return [
        (row["logical_name"], int(row["attribute"]), row["what"], float(row["value"]), row["unit"])
        for row in rows
    ]


def in_table(text: str) -> list[tuple[Any, ...]]:
    rows = [line.split() for line in text.rpartition("─")[2].splitlines() if line.strip()]
    return [(row[0], int(row[1]), row[2], float(row[3]), row[4]) for row in rows]


@pytest.mark.parametrize(
    ("form", "rows"), [("table", in_table), ("csv", in_csv), ("json", in_json), ("jsonl", in_lines)]
)
def test_values_are_scaled_in_every_form(form: str, rows: Callable[[str], list[tuple[Any, ...]]]) -> None:
    assert rows(out(read, MAXIMUM, DEMAND, f"{DEMAND}:3", "-o", form)) == [
        (MAXIMUM, 2, "value", 4123.5, "W"),
        (DEMAND, 2, "current_average_value", -30.5, "W"),
        (DEMAND, 3, "last_average_value", 1234.5, "W"),
    ]


def test_raw_values_are_integers_as_sent() -> None:
    found = in_json(out(read, MAXIMUM, f"{DEMAND}:2", f"{DEMAND}:3", "--raw", "-o", "json"))
    assert [(row[3], row[4]) for row in found] == [(41235, ""), (-305, ""), (12345, "")]


def test_all_attributes_of_an_extended_register() -> None:
    assert in_json(out(read, f"{MAXIMUM}:0", "-o", "json")) == [
        (MAXIMUM, 1, "logical_name", MAXIMUM, ""),
        (MAXIMUM, 2, "value", 4123.5, "W"),
        (MAXIMUM, 3, "scaler_unit", [-1, 27], ""),
        (MAXIMUM, 4, "status", 4, ""),
        (MAXIMUM, 5, "capture_time", "2026-11-22 14:15:00+01:00", ""),
    ]


def test_all_attributes_of_a_demand_register() -> None:
    found = in_json(out(read, f"{DEMAND}:0", "-o", "json", "--utc"))
    assert [row[2:] for row in found] == [
        ("logical_name", DEMAND, ""),
        ("current_average_value", -30.5, "W"),
        ("last_average_value", 1234.5, "W"),
        ("scaler_unit", [-1, 27], ""),
        ("status", 0, ""),
        ("capture_time", datetime(2026, 11, 22, 13, 15, tzinfo=UTC).isoformat(), ""),
        ("start_time_current", datetime(2026, 11, 22, 13, 30, tzinfo=UTC).isoformat(), ""),
        ("period", 900, ""),
        ("number_of_periods", 1, ""),
    ]


def test_objects_tells_their_classes() -> None:
    found = {row["logical_name"]: row for row in json.loads(out(objects, "-o", "json"))}
    assert (found[MAXIMUM]["class"], found[MAXIMUM]["class_name"]) == (4, "Extended Register")
    assert (found[DEMAND]["class"], found[DEMAND]["class_name"]) == (5, "Demand Register")
