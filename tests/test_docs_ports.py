"""docs/ports.md: its table is the models', its files are configurations, its keys are the code's."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel
from tests.test_docs_run import blocks, values

from iondlms.ion.factory import MODELS
from iondlms.ion.ports import ports_of
from iondlms.meter import Config, Site, load_site
from iondlms.meter.config import MeterSection
from iondlms.meter.site import Member, ModemLine, Rs485Line, TcpLine

PAGE = Path(__file__).parent.parent / "docs" / "ports.md"
LINES: dict[str, type[BaseModel]] = {"tcp": TcpLine, "rs485": Rs485Line, "modem": ModemLine}


def table(before: str, columns: int) -> list[tuple[str, ...]]:
    """Return the first table behind these words, its head first."""
    behind = PAGE.read_text("utf-8").partition(before)[2]
    lines = itertools.dropwhile(lambda line: not line.startswith("|"), behind.splitlines())
    rows = list(itertools.takewhile(lambda line: line.startswith("|"), lines))
    cells = [
        tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows if "| --- |" not in row
    ]
    assert cells
    assert all(len(row) == columns for row in cells), before
    return cells


def test_the_ports_are_the_models() -> None:
    kinds = {"optical": "optical", "modem": "modem", "ethernet": "TCP"}
    expected = [
        (
            model,
            port.name,
            kinds.get(port.kind, " / ".join(port.wires)),
            str(port.baud) if port.baud else "-",
            str(port.unit_id),
            f"{port.bauds[0]} to {port.bauds[-1]}" if port.bauds else "-",
        )
        for model in ("ION8650", "ION8800", "ION9000", "ION7400")
        for port in ports_of(model)
    ]
    assert {row[0] for row in expected} == set(MODELS)
    assert table("## What the models have\n", 6)[1:] == expected


@pytest.mark.parametrize(("number", "kind"), [(0, Config), (1, Site)])
def test_the_files_shown_are_configurations(tmp_path: Path, number: int, kind: type[object]) -> None:
    file = tmp_path / "shown.toml"
    file.write_text(blocks(PAGE, "toml")[number], "utf-8")
    loaded = load_site(file)
    assert isinstance(loaded, kind)
    if isinstance(loaded, Config):
        assert [port.name for port in loaded.port] == ["ETHERNET", "COM1", "COM2", "COM3", "COM4"]
    if isinstance(loaded, Site):
        assert sum(member.count for member in loaded.meter) == 1032


def rows_of(sections: Mapping[str, type[BaseModel]]) -> dict[tuple[str, str, str], list[str]]:
    """For each key and what is said of it: the sections that have it so."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for name, section in sections.items():
        schema = section.model_json_schema()
        for key, item in schema["properties"].items():
            default = f"`{_json(item['default'])}`" if "default" in item else "required"
            default = "none" if default == "`None`" else default
            rows.setdefault((f"`{key}`", default, values(item)), []).append(name)
    return rows


def _json(value: object) -> str:
    return (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


def test_the_keys_of_a_meter_on_a_line() -> None:
    own = {f"`{key}`" for key in Member.model_fields if key not in MeterSection.model_fields}
    expected = {row for row in rows_of({"": Member}) if row[0] in own}
    assert {row[:3] for row in table("Unit ID where none is given.", 4)[1:]} == expected


def test_the_keys_of_a_line() -> None:
    expected = {
        (key, "all" if len(of) == 3 else ", ".join(of), default, said)
        for (key, default, said), of in rows_of(LINES).items()
        if key != "`kind`"
    }
    shown = {row[:4] for row in table("Besides these it has the keys", 5)[1:]}
    assert {row for row in shown if row[0] != "`kind`"} == expected
    assert ("`kind`", "all", "required", '`"tcp"`, `"rs485"`, `"modem"`') in shown


def test_the_tests_it_names_are_there() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", PAGE.read_text("utf-8")))
    assert len(named) > 5
    assert [name for name in named if not (PAGE.parent.parent / name).is_file()] == []
