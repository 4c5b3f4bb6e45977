"""`[[port]]`: each model's ports with its defaults, and for each of them everything that can be wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from iondlms.client import Target
from iondlms.ion.factory import MODELS
from iondlms.ion.ports import PORT_NAMES, Port, ports_of
from iondlms.meter import Config, ConfigError, Meter, MeterHost, load
from iondlms.meter.config import ClockSection, MeterSection
from iondlms.meter.port_sections import (
    DevicePort,
    EthernetSection,
    ModemSection,
    OpticalSection,
    SerialSection,
)

PORTS = [pytest.param(model, port, id=f"{model}-{port.name}") for model in MODELS for port in ports_of(model)]
DEVICES = [param for param in PORTS if param.values[1].kind != "ethernet"]  # type: ignore[union-attr]


def text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def written(model: str, *ports: dict[str, Any], meter: str = "", more: str = "") -> str:
    sections = ["[meter]", f"model = '{model}'", meter, more]
    for port in ports:
        sections += ["[[port]]", *(f"{key} = {text(value)}" for key, value in port.items())]
    return "\n".join(sections)


class Loader:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "meter.toml"

    def __call__(self, model: str, *ports: dict[str, Any], **more: str) -> Config:
        self.file.write_text(written(model, *ports, **more), encoding="utf-8")
        return load(self.file)

    def wrong(self, model: str, *ports: dict[str, Any], **more: str) -> list[str]:
        """What loading says, without the name of the file."""
        with pytest.raises(ConfigError) as caught:
            self(model, *ports, **more)
        return [re.sub(r"^.*?\.toml:(\d+:)? ", "", line) for line in str(caught.value).split("\n")]


@pytest.fixture
def read(tmp_path: Path) -> Loader:
    return Loader(tmp_path)


def least(port: Port) -> dict[str, Any]:
    """The least that a port's section says."""
    return {"name": port.name} | ({} if port.kind == "ethernet" else {"device": "/dev/ttyUSB0"})


@pytest.mark.parametrize(("model", "port"), PORTS)
def test_the_defaults_are_the_models(read: Loader, model: str, port: Port) -> None:
    (section,) = read(model, least(port)).port
    kinds = {
        "ethernet": EthernetSection, "serial": SerialSection, "optical": OpticalSection, "modem": ModemSection
    }  # fmt: skip
    assert type(section) is kinds[port.kind]
    assert (section.name, section.unit_id, section.protocol) == (port.name, port.unit_id, "DLMS")
    assert (section.rx_timeout, section.inactivity) == (1.5, 120.0)
    if isinstance(section, DevicePort):
        assert (section.baud, section.framing, section.transmit_delay) == (port.baud, "8N1", 0.01)
        assert (section.echo, section.link) == ("auto", "hdlc")
    if isinstance(section, SerialSection):
        assert section.rs485 is (port.wires[0] == "RS-485")
        assert (section.rts, section.direction, section.bias) == ("none", "adapter", False)
    if isinstance(section, ModemSection):
        assert section.hours.rings(720) == 1
        assert len(section.init) <= 47


@pytest.mark.parametrize(("model", "port"), DEVICES)
def test_every_baud_and_framing_of_the_model_is_taken(read: Loader, model: str, port: Port) -> None:
    for baud in port.bauds:
        (section,) = read(model, least(port) | {"baud": baud}).port
        assert isinstance(section, DevicePort)
        assert section.baud == baud
    for framing in port.framings:
        (section,) = read(model, least(port) | {"framing": framing}).port
        assert isinstance(section, DevicePort)
        assert section.framing == framing


def wrong_things(port: Port) -> list[tuple[str, Any]]:
    """Key and value of everything that this port cannot be."""
    wrong: list[tuple[str, Any]] = [
        ("unit_id", 0), ("unit_id", 10_000), ("unit_id", "many"), ("protocol", "DLSM"), ("colour", 1),
        ("rx_timeout", 0.05), ("rx_timeout", 15.1), ("rx_timeout", "soon"), ("inactivity", 0.0),
    ]  # fmt: skip
    serial_keys: dict[str, tuple[Any, Any]] = {  # key: a good value where there is the key, a wrong one
        "device": ("/dev/ttyS0", ""),
        "baud": (9600, 1000),
        "framing": ("8E1", "7E1"),
        "transmit_delay": (0.5, 1.01),
        "echo": ("on", "loud"),
    }
    keys: dict[str, dict[str, tuple[Any, Any]]] = {
        "ethernet": {"listen": ("127.0.0.1:0", "4059"), "framing": ("hdlc", "8N1")},
        "serial": serial_keys
        | {
            "rts": ("none", "always"),
            "rs485": (True, "perhaps"),
            "direction": ("rts", "me"),
            "bias": (True, 7),
        },
        "optical": serial_keys | {"sign_on": (True, "perhaps")},
        "modem": serial_keys
        | {
            "rts": ("rts_cts", "rts_delay"),
            "init": ("ATZ", "AT" + "X" * 46),
            "rings": (3, 100),
            "rings_outside": (0, -1),
            "answer_hours": ("22:00-06:00", "22-06"),
            "answer_timeout": (30, 0),
        },
    }
    own = keys[port.kind]
    wrong += [(key, bad) for key, (_, bad) in own.items()]
    # Keys of other kinds of port are none of this one's, whatever they are set to.
    wrong += [(key, good) for of in keys.values() for key, (good, _) in of.items() if key not in own]
    if port.kind != "ethernet":
        wrong += [
            ("baud", 9601),
            ("baud", 0),
            ("framing", "8N3"),
            ("framing", "auto"),
            ("transmit_delay", -0.1),
        ]
    if 300 not in port.bauds:
        wrong += [("baud", baud) for baud in (300, 600, 1200)]
    if port.kind == "modem":
        wrong += [
            ("init", "X"),
            ("init", "ATä"),
            ("answer_hours", "24:00-06:00"),
            ("answer_hours", "06:00-06:00"),
        ]
    if port.wires == ("RS-485",):
        wrong += [("rs485", False), ("rts", "rts_cts"), ("rts", "rts_delay")]
    elif port.wires:
        wrong += [
            ("direction", "driver"),
            ("direction", "rts"),
            ("bias", True),
        ]  # it is RS-232 unless it is told
    return wrong


@pytest.mark.parametrize(("model", "port"), PORTS)
def test_everything_that_a_port_cannot_be_is_one_line_that_names_the_key(
    read: Loader, model: str, port: Port
) -> None:
    for key, value in wrong_things(port):
        (line,) = read.wrong(model, least(port) | {key: value})
        assert line.startswith(f"port.{port.name}.{key}: "), f"{key}={value!r}: {line}"
    # And all of it at once, a line each.
    each_once = dict(wrong_things(port))
    lines = read.wrong(model, least(port) | each_once)
    assert {line.partition(":")[0] for line in lines} >= {
        f"port.{port.name}.{key}" for key in each_once if key not in ("rts", "direction", "bias")
    }


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [*PORT_NAMES, "COM5", "com9", "USB"])
def test_ports_that_a_model_lacks(read: Loader, model: str, name: str) -> None:
    there = [port.name for port in ports_of(model)]
    if name not in there:
        (line,) = read.wrong(model, {"name": name, "device": "/dev/ttyS0", "baud": 9600})
        assert line == f"port.{name.upper()}: an {model} has no port {name}; it has {', '.join(there)}"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", PORT_NAMES)
def test_the_time_sync_source_is_a_port_of_the_model(read: Loader, model: str, name: str) -> None:
    clock = f"[clock]\ntime_sync_source = '{name.lower()}'"
    if name in [port.name for port in ports_of(model)]:
        assert read(model, {}, more=clock).clock.time_sync_source == name
    else:
        (line,) = read.wrong(model, {}, more=clock)
        assert line.startswith(f"clock.time_sync_source: an {model} has no port {name}; ")


def test_two_ports_with_one_device(read: Loader, tmp_path: Path) -> None:
    device, link = tmp_path / "ttyUSB0", tmp_path / "by-id"
    device.touch()
    link.symlink_to(device)
    one, two = {"name": "COM1", "device": str(device)}, {"name": "COM4", "device": str(link)}
    assert read.wrong("ION8650", one, two) == [f"port.COM4.device: {link} is the device of COM1"]
    read("ION8650", one, two | {"protocol": "MODBUS"})  # it is not opened
    read("ION8650", one, two | {"device": "/dev/ttyUSB1"})
    server = "socket://127.0.0.1:4001"
    assert read.wrong("ION8650", one | {"device": server}, two | {"device": server}) == [
        f"port.COM4.device: {server} is the device of COM1"
    ]


def test_each_port_is_given_once(read: Loader) -> None:
    assert read.wrong("ION8650", {}, {"name": "ethernet"}) == ["port.ETHERNET.name: each port is given once"]
    assert read.wrong(
        "ION8650", {"name": "COM3", "device": "/dev/a"}, {"name": "com3", "device": "/dev/b"}
    ) == ["port.COM3.name: each port is given once"]
    with pytest.raises(ValueError, match="a meter has one port at least"):
        Config(port=())


def test_all_errors_of_all_sections_at_once(read: Loader) -> None:
    lines = read.wrong(
        "ION9000",
        {"name": "COM1", "device": "/dev/a", "baud": 300, "unit_id": 0},
        {"name": "COM4", "device": "/dev/a", "rs485": False},
        {"name": "COM2"},
        meter="password = ''",
        more="[clock]\ntime_sync_source = 'COM3'",
    )
    assert [line.partition(":")[0] for line in lines] == [
        "meter.password",
        "clock.time_sync_source",
        "port.COM1.baud",
        "port.COM1.unit_id",
        "port.COM4.device",
        "port.COM4.rs485",
        "port.COM2",
    ]


def test_an_unknown_model_is_one_error_and_its_ports_are_held_to_no_table(read: Loader) -> None:
    (line,) = read.wrong(
        "ION1", {"name": "COM7", "baud": 1}, {"name": "COM1", "device": "/dev/a", "baud": 301}
    )
    assert line.startswith("meter.model: 'ION1' is no model")


def test_a_port_that_is_not_set_to_dlms_needs_no_device(read: Loader) -> None:
    config = read("ION8650", {"name": "COM1", "protocol": "modbus"}, {"name": "COM4", "device": "/dev/a"})
    assert [section.answers for section in config.port] == [False, True]
    assert [port.name for port in MeterHost(config).ports] == ["COM4"]
    (line,) = read.wrong("ION8650", {"name": "COM1"})
    assert line.startswith("port.COM1.device: no device is named; write /dev/ttyUSB0")


def test_the_sign_on_leads_to_8n1(read: Loader) -> None:
    optical = {"name": "COM3", "device": "/dev/a", "sign_on": True}
    read("ION8650", optical | {"baud": 115200})
    (line,) = read.wrong("ION8650", optical | {"framing": "8E1"})
    assert line.startswith("port.COM3.sign_on: the sign-on leads to 8N1")


def test_rs485_on_a_port_with_both_wires(read: Loader) -> None:
    com1 = {"name": "COM1", "device": "/dev/a", "rs485": True}
    (section,) = read("ION8650", com1 | {"direction": "driver", "bias": True}).port
    assert isinstance(section, SerialSection)
    assert (section.direction, section.bias) == ("driver", True)
    (line,) = read.wrong("ION8650", com1 | {"rts": "rts_cts"})
    assert line == 'port.COM1.rts: RTS is of RS-232; on RS-485 write direction = "rts"'


def test_durations_and_words_of_the_command_line() -> None:
    config = load(
        None,
        [
            ("port.COM3.device", "/dev/ttyUSB3"),
            ("port.COM3.sign_on", "on"),
            ("port.com3.baud", "19200"),
            ("port.COM3.transmit_delay", "250ms"),
            ("port.ETHERNET.protocol", "none"),
        ],
    )
    ethernet, optical = config.port
    assert not ethernet.answers
    assert isinstance(optical, OpticalSection)
    assert (optical.sign_on, optical.baud, optical.transmit_delay) == (True, 19200, 0.25)
    with pytest.raises(ConfigError, match=r"port\.COM1\.baud: there is no port COM1; give its device"):
        load(None, [("port.COM1.baud", 9600)])


def test_sections_made_in_python_are_held_to_the_model_too() -> None:
    port = SerialSection(name="COM1", device="/dev/ttyUSB0")
    (as_9000,) = Config(meter=MeterSection(model="ION9000"), port=(port,)).port
    assert isinstance(as_9000, SerialSection)
    # What was not set is the model's, not what it was for the model that the section was made for.
    assert (port.baud, port.unit_id, as_9000.baud, as_9000.unit_id) == (9600, 100, 19200, 1)
    with pytest.raises(ValueError, match="ION9000 has no baud 300"):
        Config(meter=MeterSection(model="ION9000"), port=(port.model_copy(update={"baud": 300}),))
    with pytest.raises(ValueError, match="ION7400 has no port COM3"):
        Config(meter=MeterSection(model="ION7400"), clock=ClockSection(time_sync_source="COM3"))
    with pytest.raises(ValueError, match="another kind"):
        SerialSection(name="COM2", device="/dev/a")
    changed = Config().port[0].model_copy(update={"unit_id": 7})
    assert Config(port=(changed,)).port[0].unit_id == 7


def test_urls_are_what_the_client_reads(read: Loader) -> None:
    config = read(
        "ION8650",
        {"name": "COM1", "device": "/dev/serial/by-id/a b", "baud": 19200, "framing": "8E1"},
        {"name": "COM3", "device": "/dev/ttyUSB1", "sign_on": True},
        {"name": "COM4", "device": "socket://127.0.0.1:4001", "unit_id": 9999},
    )
    urls = [section.url for section in config.port if isinstance(section, DevicePort)]
    assert urls == [
        "serial:/dev/serial/by-id/a%20b?baud=19200&framing=8E1&unit=100",
        "optical:/dev/ttyUSB1?mode_e=1&baud=9600&unit=102",
        "serial:socket://127.0.0.1:4001?baud=9600&framing=8N1&unit=9999",
    ]
    assert [Target.parse(url).unit for url in urls] == [100, 102, 9999]


@pytest.mark.parametrize("model", MODELS)
def test_all_ports_of_a_model_at_once(read: Loader, model: str) -> None:
    ports = [
        least(port) | ({} if port.kind == "ethernet" else {"device": f"/dev/{port.name}"})
        for port in ports_of(model)
    ]
    config = read(model, *ports)
    meter = Meter(config)
    assert [section.name for section in config.port] == [port.name for port in ports_of(model)]
    for section in config.port:
        assert meter.endpoint(section).next_deadline() == section.inactivity
    assert [port.name for port in MeterHost(config).ports] == [port.name for port in ports_of(model)]
