"""All that is wrong in a file is told in one go, in the order of the file: no fault hides another.

In the files here a comment `#!` stands on each line that is wrong, with the words that are told of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from iondlms.meter import Config, ConfigError
from iondlms.meter.port_sections import PortSection
from iondlms.meter.section import Section, message_of
from iondlms.meter.site import load_checked

FILES = {
    "a meter": """
        [[port]]  #! no device is named
        name = "COM1"
        protocol = 5  #! is not possible; write
        unit_id = 0  #! is out of range; write
        baud = "fast"  #! 'fast' is no whole number
        framing = "9N1"  #! is not possible; write
        [[port]]  #! an ION9000 has no port COM3
        name = "COM3"
        unit_id = "x"  #! 'x' is no whole number
        rx_timeout = 99  #! is out of range; write
        [[port]]
        name = 7  #! 7 is no name of a port
        protocol = "X"  #! is not possible; write
        [meter]
        model = "ION9000"
        max_pdu = "big"  #! 'big' is no whole number
        revision = "2.0.0"  #! has no DLMS
        history = 5  #! cannot be read over Modbus
        password = ""  #! 1 to 32 octets
        [source]
        kind = "modbus"
        url = "tcp://127.0.0.1:502"
        poll = "x"  #! 'x' is no duration
        [clock]
        zone = "Europe/Madrid"
        tz_offset = 60  #! a zone has its own offsets and pairs
        event_threshold = "soon"  #! 'soon' is no duration
        time_sync_source = "COM2"  #! an ION9000 has no port COM2
        [[fault]]  #! delay takes some time; say how long
        action = "delay"
        count = "x"  #! 'x' is no whole number
        octets = 5  #! delay has no octets
        [[fault]]
        action = "explode"  #! is not possible; write
        every = 5  #! give that too
        obis = "1-0:99.1.0*255"  #! names no object
        service = "rr"
        [[fault]]
        action = "drop"
        probability = 2  #! is out of range; write
        port = "COM3"
        unit_id = 77
        """,
    "ports that are known": """
        [[port]]
        name = "ETHERNET"
        framing = "tcp"  #! is not possible; write
        [[fault]]
        action = "drop"
        nth = 0  #! is out of range; write
        port = "COM3"  #! there is no port 'COM3'; there are ETHERNET, and all
        unit_id = 77  #! no meter has Unit ID 77
        [source]
        shape = "castle"  #! is not possible; write
        [[source.fault]]
        kind = "fire"  #! is not possible; write
        begin = "2026-01-01T00:00:00Z"
        duration = 60
        every = 30  #! cannot come every 30
        [clock]
        tz_offset = "x"  #! 'x' is no whole number
        dst = [
          ["2026-03-29T01:00:00Z", "2026-03-01T00:00:00Z"],  #! DST ends before it starts
          ["2026-10-29T01:00:00Z", "2026-10-01T00:00:00Z"],  #! DST ends before it starts
        ]
        """,
    "a model that is none": """
        [meter]
        revision = "2.1.0"
        model = "ION1"  #! is no model
        serial = 5  #! 5 is no text
        [[port]]
        name = "COM9"
        unit_id = 0  #! is out of range; write
        """,
    "a zone and a file beside other faults of their section": """
        [meter]
        serial = 5  #! 5 is no text
        password_file = "there-is/no-such-file"  #! cannot be read
        [clock]
        zone = "Mars/Olympus"  #! no time zone is called
        event_threshold = "x"  #! 'x' is no duration
        """,
    "a recording beside another fault": """
        [meter]
        serial = 5  #! 5 is no text
        [source]
        kind = "replay"
        path = "there-is/no-such-file.csv"  #! there-is/no-such-file.csv
        """,
    "a file beside a model that is none": """
        [meter]
        model = "ION1"  #! is no model
        revision = "2.1.0"
        password_file = "there-is/no-such-file"  #! cannot be read
        [clock]
        zone = "Mars/Olympus"  #! no time zone is called
        tz_offset = 60  #! a zone has its own offsets
        """,
    "files of meters on lines": """
        [[meter]]
        line = "bus"
        unit_id = "x"  #! 'x' is no whole number
        password_file = "there-is/no-such-file"  #! cannot be read
        [[meter]]
        line = "bus"
        unit_id = 2
        password_file = "nor/such-a-file"  #! cannot be read
        [[line]]
        name = "bus"
        kind = "tcp"
        listen = "127.0.0.1:0"
        [clock]
        zone = "Mars/Olympus"  #! no time zone is called
        trusted = 5  #! neither true nor false
        """,
    "switches for numbers": """
        [meter]
        history = true  #! true is no whole number
        scaler = false  #! false is no whole number
        unknown_object = true  #! true is no whole number
        serial = true  #! true is no text
        [[port]]
        unit_id = true  #! true is no whole number
        rx_timeout = true  #! true is no number
        [source]
        peak_kw = true  #! true is no whole number
        latitude = false  #! false is no number
        """,
    "meters on lines": """
        [[meter]]
        line = "bus"
        unit_id = "x"  #! 'x' is no whole number
        port = "COM3"  #! COM3 of an ION8650 is no RS-485
        max_pdu = 1  #! is out of range; write
        [[meter]]
        line = "bus"
        unit_id = 5
        password = ""  #! 1 to 32 octets
        [[meter]]
        line = "bus"
        unit_id = 5  #! Unit ID 5 is another meter's on bus
        [[meter]]
        line = "nowhere"  #! there is no line 'nowhere'; there are bus, radio
        unit_id = 6
        [[meter]]
        line = "bus"
        unit_id = 7
        model = "ION9000"
        revision = "1"  #! has no DLMS
        [[meter]]
        line = "bus"
        unit_id = 8
        model = "ION9000"
        [[line]]
        name = "bus"
        kind = "rs485"
        device = "/dev/a"
        baud = 300  #! an ION9000 has no baud 300
        [[line]]  #! no meter is on it
        name = "radio"
        kind = "radio"  #! is no kind of line
        rx_timeout = 99  #! is out of range; write
        [[fault]]
        action = "drop"
        port = "COM2"  #! there is no port 'COM2'
        nth = "x"  #! 'x' is no whole number
        unit_id = 99
        [clock]
        event_threshold = "x"  #! 'x' is no duration
        [[data_recorder]]
        name = "Many"
        sources = ["kWh del"]
        record = "x"  #! there is no timer or month end 'x'
        [billing]
        depth = 0  #! is out of range; write
        """,
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_each_fault_of_a_file_is_told_on_its_line_and_in_its_order(tmp_path: Path, text: str) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_checked(file, year=2026)
    told = [line.removeprefix(f"{file}:").partition(": ") for line in str(caught.value).splitlines()]
    expected = [
        (str(number), words[1].strip())
        for number, line in enumerate(text.splitlines(), 1)
        if (words := re.search("#!(.*)", line)) is not None
    ]
    assert [number for number, _, _ in told] == [number for number, _ in expected], "\n".join(map(str, told))
    for (number, _, line), (_, wanted) in zip(told, expected, strict=True):
        assert wanted in line, f"line {number}"


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "-1", "[]", "{}", '"x"'])
@pytest.mark.parametrize(
    "key",
    [
        "[[port]]\nunit_id",
        "[[port]]\nrx_timeout",
        "[meter]\nhistory",
        "[load_profile]\nperiod",
        "[[fault]]\nafter",
    ],
)
def test_no_number_whatever_is_more_than_a_fault(tmp_path: Path, key: str, value: str) -> None:
    file = tmp_path / "meter.toml"
    file.write_text(f"{key} = {value}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"meter.toml:\d"):
        load_checked(file, [], year=2026)


def sections(kind: type[Section] = Section) -> Iterator[type[Section]]:
    for each in kind.__subclasses__():
        yield each
        yield from sections(each)


def numbers() -> Iterator[tuple[type[Section], str]]:
    """Yield each key of a number, of all sections there are."""
    for kind in {each.__qualname__: each for each in sections()}.values():
        if issubclass(kind, PortSection) and not hasattr(kind, "kind"):
            continue  # a base of ports, and no port
        for key, field in kind.model_fields.items():
            kinds = get_args(field.annotation) or (field.annotation,)
            if bool not in kinds and any(each in (int, float) or isinstance(each, int) for each in kinds):
                yield kind, key


@pytest.mark.parametrize(
    ("kind", "key"), [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in numbers()]
)
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(kind: type[Section], key: str, value: bool) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({**kind.stand_ins, key: value})
    told = [message_of(item) for item in caught.value.errors() if item["loc"][-1] == key]
    assert len(told) == 1
    assert told[0].startswith(f"{str(value).lower()} is no ")


def test_numbers_are_text_on_the_command_line() -> None:
    settings = [
        ("history", "20"),
        ("scaler", "-3"),
        ("clock.event_threshold", "2.5"),
        ("source.peak_kw", "70"),
    ]
    made = load_checked(None, [(key, value) for key, value in settings], year=2026)
    assert isinstance(made, Config)
    assert (made.meter.history, made.meter.scaler, made.clock.event_threshold) == (20, -3, 2.5)
