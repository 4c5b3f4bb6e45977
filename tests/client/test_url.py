"""URLs of meters: every option, and every error names its part."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.client import Target
from iondlms.client.line import SerialLine
from iondlms.errors import LocalError
from iondlms.ports.dial import DialSetup
from iondlms.ports.serial import LineSettings
from iondlms.ports.sign_on import SignOnOptions

URLS = [
    ("tcp://meter", Target("meter")),
    ("tcp://meter/", Target("meter")),
    ("tcp://10.0.0.7:4060?unit=17&client=1", Target("10.0.0.7", 4060, unit=17, client=1)),
    ("hdlc://meter:1", Target("meter", 1, "hdlc")),
    ("HDLC://meter:1?framing=hdlc", Target("meter", 1, "hdlc")),
    ("wrapper://[::1]:4059", Target("::1", 4059, "wrapper")),
    ("tcp://meter?framing=wrapper", Target("meter", framing="wrapper")),
    ("tcp://meter?logical=16&address=2&unit=20", Target("meter", logical=16, address=2, unit=20)),
    ("tcp://meter?address=1", Target("meter", address=1)),
    ("tcp://meter?auth=low", Target("meter", authentication="low")),
    ("tcp://meter?auth=none", Target("meter", authentication="none")),
    ("tcp://meter?timeout=500ms&retries=0", Target("meter", timeout_s=0.5, retries=0)),
    ("tcp://meter?timeout=1m", Target("meter", timeout_s=60)),
    ("tcp://meter?timeout=2.5", Target("meter", timeout_s=2.5)),
    ("tcp://meter?inverted=1&pdu=0", Target("meter", inverted=True, max_pdu=0)),
]

WRONG = [
    ("", "no URL of a meter"),
    ("meter:4059", "no URL of a meter"),
    ("http://meter", "no URL of a meter"),
    ("tcp:meter", "no URL of a meter"),
    ("tcp://", "names no host"),
    ("tcp://meter:x", "write it as"),
    ("tcp://meter:99999", "write it as"),
    ("tcp://meter:0", "port 0"),
    ("tcp://[::1", "write it as"),
    ("tcp://user:secret@meter", "no user or password"),
    ("tcp://meter/load", r"\?KEY=VALUE"),
    ("tcp://meter#x", r"\?KEY=VALUE"),
    ("tcp://meter?units=1", "units= is no option"),
    ("tcp://meter?unit=1&unit=2", "stands twice"),
    ("tcp://meter?unit=x", "unit=x is no number"),
    ("tcp://meter?unit=", "unit= is no number"),
    ("tcp://meter?unit=-1", "no number"),
    ("tcp://meter?unit=16384", "lower address 16384"),
    ("tcp://meter?address=3", "1, 2 or 4"),
    ("tcp://meter?client=0", "client SAP 0"),
    ("tcp://meter?client=127", "client SAP 127"),
    ("tcp://meter?auth=high", "auth=high is none of none, low"),
    ("tcp://meter?timeout=5w", "timeout=5w is no time"),
    ("tcp://meter?timeout=0", "time-out of 0.0 s"),
    ("tcp://meter?retries=101", "retries=101"),
    ("tcp://meter?inverted=yes", "neither 0 nor 1"),
    ("tcp://meter?framing=mode-e", "none of auto, hdlc, wrapper"),
    ("hdlc://meter?framing=wrapper", "contradicts"),
    ("tcp://meter?pdu=5", "pdu=5"),
    ("serial:", "serial:/dev/ttyUSB0"),
    ("serial:///dev/ttyUSB0", "without //"),
    ("serial:http://host:1", "is no device"),
    ("serial:/dev/x?framing=hdlc", "is of tcp://"),
    ("serial:/dev/x?framing=9N1", "none of 8N1"),
    ("serial:/dev/x?baud=0", "0 baud"),
    ("serial:/dev/x?baud=fast", "no number"),
    ("serial:/dev/x?echo=maybe", "none of auto, on, off"),
    ("serial:/dev/x?rts=both", "none of none, cts, delay"),
    ("serial:/dev/x?rts_delay=2s", "transmit delay"),
    ("serial:/dev/x?dial=5", "modem:/dev/ttyS0"),
    ("serial:/dev/x?mode_e=1", "optical:/dev/ttyUSB0"),
    ("serial:/dev/x?unit=1#1", "%23"),
    ("tcp://meter?baud=9600", "serial:/dev/ttyUSB0"),
    ("tcp://meter?framing=8N1", "is of serial lines"),
    ("optical:/dev/x?mode_e=2", "neither 0 nor 1"),
    ("optical:/dev/x?mode_e=1&baud=1000", "cannot name 1000 baud"),
    ("optical:/dev/x?mode_e=1&framing=8N1", "leave framing= out"),
    ("optical:/dev/x?sign_on_address=1", "needs mode_e=1"),
    ("optical:/dev/x?mode_e=1&sign_on_address=!", "address"),
    ("optical:socket://h:1?mode_e=1", "use rfc2217"),
    ("modem:/dev/ttyS0", "needs dial=NUMBER"),
    ("modem:/dev/ttyS0?dial=", "dial= is empty"),
    ("modem:/dev/ttyS0?dial=home", "no number to dial"),
    ("modem:/dev/ttyS0?dial=1&init=AT&FE0", "as %26"),
    ("modem:/dev/ttyS0?dial=1&init=hello", "hello"),
    ("socket://host", "no usual port"),
    ("rfc2217://host", "no usual port"),
    ("rfc2217://host:0", "port 0"),
    ("rfc2217://user:secret@host:1", "no user or password"),
    ("socket://host:1/x", r"\?KEY=VALUE"),
    ("socket:host:1", "names no host"),
]


LINES = [
    ("serial:/dev/ttyUSB0", SerialLine(LineSettings("/dev/ttyUSB0")), 5.0),
    ("SERIAL:COM3?baud=300", SerialLine(LineSettings("COM3", 300)), 12.0),  # an exchange takes 10 s
    (
        "serial:/dev/a%3Fb?baud=19200&framing=8E1&echo=on&rts=delay&rts_delay=20ms&rs485=1",
        SerialLine(LineSettings("/dev/a?b", 19200, "8E1", "rts_delay", 0.02, rs485=True, echo="on")),
        5.0,
    ),
    ("socket://host:4001?rts=cts", SerialLine(LineSettings("socket://host:4001", handshake="rts_cts")), 5.0),
    ("serial:socket://[::1]:4001", SerialLine(LineSettings("socket://[::1]:4001")), 5.0),
    ("rfc2217://host:4001?baud=1200", SerialLine(LineSettings("rfc2217://host:4001", 1200)), 5.0),
    ("optical:/dev/x?baud=2400", SerialLine(LineSettings("/dev/x", 2400), "optical"), 5.0),
    (
        "optical:/dev/x?mode_e=1&baud=9600&sign_on_address=123",
        SerialLine(LineSettings("/dev/x", 300), "optical", SignOnOptions("123", 9600)),
        12.0,
    ),
    (
        "optical:rfc2217://h:1?mode_e=1",
        SerialLine(LineSettings("rfc2217://h:1", 300), "optical", SignOnOptions()),
        12.0,
    ),
    (
        "optical:socket://h:1?mode_e=1&baud=300",
        SerialLine(LineSettings("socket://h:1", 300), "optical", SignOnOptions(max_baud=300)),
        12.0,
    ),
    (
        "modem:/dev/ttyS0?dial=+34,555%23&init=AT%26FM1&baud=19200&redials=5&back_off=1m&dial_timeout=90s",
        SerialLine(
            LineSettings("/dev/ttyS0", 19200),
            "modem",
            call=DialSetup("+34,555#", "AT&FM1", 19200, retries=5, back_off_s=60.0, dial_s=90.0),
        ),
        10.0,
    ),
    (
        "modem:rfc2217://h:1?dial=5&dial_command=ATDT",
        SerialLine(LineSettings("rfc2217://h:1"), "modem", call=DialSetup("5", dial="ATDT")),
        10.0,
    ),
]


@pytest.mark.parametrize(("text", "line", "timeout_s"), LINES)
def test_url_of_a_line(text: str, line: SerialLine, timeout_s: float) -> None:
    target = Target.parse(text)
    assert target == Target(framing="hdlc", line=line, timeout_s=timeout_s)
    assert target.place == line.settings.device
    assert Target.parse(str(target)) == target
    more = "&" if "?" in text else "?"
    options = "unit=17&client=1&address=2&timeout=1.5s&retries=7&auth=low&inverted=1&pdu=0&logical=2"
    full = Target.parse(text + more + options)
    assert (full.unit, full.client, full.address, full.timeout_s, full.retries) == (17, 1, 2, 1.5, 7)
    assert full.line == line
    assert Target.parse(str(full)) == full


@pytest.mark.parametrize(("text", "target"), URLS)
def test_text_of_a_target_leads_back_to_it(text: str, target: Target) -> None:
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(("text", "target"), URLS)
def test_url(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize(("text", "part"), WRONG)
def test_wrong_url_is_one_line_that_names_the_part(text: str, part: str) -> None:
    with pytest.raises(LocalError, match=part) as caught:
        Target.parse(text)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@given(
    st.text(max_size=40)
    | st.builds(
        str.__add__,
        st.sampled_from(["tcp://", "serial:", "optical:/dev/x?", "modem:/dev/x?dial=1&", "socket://h:1?"]),
        st.text(max_size=30),
    )
)
def test_any_text_is_a_target_or_a_local_error(text: str) -> None:
    try:
        target = Target.parse(text)
    except LocalError:
        return
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"host": "meter", "line": SerialLine(LineSettings("/dev/x"))},
        {"line": SerialLine(LineSettings("/dev/x")), "framing": "wrapper"},
    ],
)
def test_a_target_is_a_host_or_a_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        Target(**wrong)


def test_a_line_does_one_thing_after_the_other() -> None:
    settings = LineSettings("/dev/x")
    with pytest.raises(LocalError, match="optical"):
        SerialLine(settings, "serial", SignOnOptions())
    with pytest.raises(LocalError, match="dial="):
        SerialLine(settings, "modem")
    with pytest.raises(LocalError, match="dial="):
        SerialLine(settings, "serial", call=DialSetup("1"))


def test_the_wrapper_has_no_unit_in_its_url_unless_one_was_named() -> None:
    assert str(Target("m", framing="wrapper")) == "tcp://m:4059?framing=wrapper&client=16"
    assert "unit=5" in str(Target("m", framing="wrapper", unit=5))
    assert "unit=100" in str(Target("m", framing="hdlc"))


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (Target.parse("tcp://m"), False),
        (Target.parse("tcp://m?unit=100"), True),
        (Target("m"), False),
        (Target("m", unit=101), True),
    ],
)
def test_whether_a_unit_was_named(target: Target, named: bool) -> None:
    assert target.unit_named is named
