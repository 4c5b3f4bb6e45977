from __future__ import annotations

import pytest

from iondlms.errors import LocalError
from iondlms.ion.factory import MODELS
from iondlms.ion.ports import PORT_NAMES, find_port, ports_of

ALL = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
FROM_2400 = (2400, 4800, 9600, 19200, 38400, 57600, 115200)
# The profile, section 1, row by row: model, port, kind, wires, default baud, default Unit ID, bauds.
PROFILE = [
    *(
        row
        for model in ("ION8650", "ION8800")
        for row in (
            (model, "COM1", "serial", ("RS-232", "RS-485"), 9600, 100, ALL),
            (model, "COM2", "modem", (), 9600, 101, ALL),
            (model, "COM3", "optical", (), 9600, 102, ALL),
        )
    ),
    ("ION8650", "COM4", "serial", ("RS-485",), 9600, 103, ALL),
    ("ION9000", "COM1", "serial", ("RS-485",), 19200, 1, FROM_2400),
    ("ION9000", "COM4", "serial", ("RS-485",), 19200, 1, FROM_2400),
    ("ION7400", "COM1", "serial", ("RS-485",), 19200, 1, FROM_2400),
    ("ION7400", "COM2", "optical", (), 9600, 102, FROM_2400),
    *((model, "ETHERNET", "ethernet", (), 0, 100, ()) for model in MODELS),
]


def test_the_table_is_the_profiles() -> None:
    table = {
        (model, port.name, port.kind, port.wires, port.baud, port.unit_id, port.bauds)
        for model in MODELS
        for port in ports_of(model)
    }
    assert table == set(PROFILE)


@pytest.mark.parametrize("model", MODELS)
def test_serial_ports_have_the_six_framings(model: str) -> None:
    for port in ports_of(model):
        if port.kind == "ethernet":
            assert port.framings == ()
        else:
            assert set(port.framings) == {"8N1", "8N2", "8E1", "8E2", "8O1", "8O2"}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [*PORT_NAMES, "COM5", ""])
def test_a_port_is_found_or_those_there_are_are_named(model: str, name: str) -> None:
    names = [port.name for port in ports_of(model)]
    if name in names:
        assert find_port(model.lower(), name.lower()).name == name
    else:
        with pytest.raises(LocalError, match=f"an {model} has no port {name}; it has {', '.join(names)}"):
            find_port(model, name)
