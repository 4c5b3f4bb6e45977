"""URLs of meters: every option, and every error names its part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.client import Target
from iondlms.errors import LocalError

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
    ("tcp://meter?timeout=5h", "timeout=5h is no time"),
    ("tcp://meter?timeout=0", "time-out of 0.0 s"),
    ("tcp://meter?retries=101", "retries=101"),
    ("tcp://meter?inverted=yes", "neither 0 nor 1"),
    ("tcp://meter?framing=mode-e", "none of auto, hdlc, wrapper"),
    ("hdlc://meter?framing=wrapper", "contradicts"),
    ("tcp://meter?pdu=5", "pdu=5"),
    ("serial:/dev/ttyUSB0?baud=9600", "not built yet"),
    ("optical:/dev/ttyUSB0", "not built yet"),
    ("modem:/dev/ttyS0?dial=1", "not built yet"),
    ("rfc2217://host:1", "not built yet"),
]


@pytest.mark.parametrize(("text", "target"), URLS)
def test_url(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize(("text", "part"), WRONG)
def test_wrong_url_is_one_line_that_names_the_part(text: str, part: str) -> None:
    with pytest.raises(LocalError, match=part) as caught:
        Target.parse(text)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=40) | st.text(max_size=30).map("tcp://".__add__))
def test_any_text_is_a_target_or_a_local_error(text: str) -> None:
    try:
        target = Target.parse(text)
    except LocalError:
        return
    assert target.host


def test_text_of_a_target_leads_back() -> None:
    target = Target("::1", 4060, "hdlc", 17, 1)
    assert Target.parse(str(target)) == target
