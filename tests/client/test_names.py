"""Names of ION quantities and OBIS codes."""

from __future__ import annotations

import pytest

from iondlms.client.names import NAMES, NamedObject, name_of, resolve
from iondlms.codec import ObisCode
from iondlms.errors import LocalError

# The technical note's tables of load profile and billing data, typed here and not taken from the code.
NOTE = {
    "load": (7, "1-0:99.1.0*255"),
    "billing": (7, "1-0:98.1.0*255"),
    "clock": (8, "0-0:1.0.0*255"),
    "status": (1, "0-0:97.97.0*255"),
    "name": (1, "0-0:42.0.0*255"),
    "kWh-del-int": (3, "1-1:1.29.0*255"),
    "kVARh-rec-int": (3, "1-1:4.29.0*255"),
    "kWh-del": (3, "1-1:1.8.0*255"),
    "kVARh-del-rec": (3, "1-1:128.8.0*255"),
    "kW-sd-del-rec": (3, "1-1:16.4.0*255"),
    "PF-sign-mean": (3, "1-1:13.0.0*255"),
}


@pytest.mark.parametrize("name", NOTE)
def test_name(name: str) -> None:
    class_id, code = NOTE[name]
    wanted = NamedObject(ObisCode.parse(code), class_id)
    for text in (name, name.upper(), name.replace("-", " "), f" {name}", code, code.replace("*", ".")):
        assert resolve(text) == wanted
    assert resolve(ObisCode.parse(code)) == wanted
    assert name_of(ObisCode.parse(code)) == name


def test_each_code_has_one_name() -> None:
    assert len({found.logical_name for found in NAMES.values()}) == len(NAMES) > 7 + 4 + 11


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Vln-a", "1-1:32.7.0*255"),
        ("I-a-mx", "1-1:31.26.0*255"),
        ("kVARh-Q1", "1-1:5.8.0*255"),
        ("Freq", "1-1:14.7.0*255"),
    ],
)
def test_what_only_an_own_framework_exports_has_its_name_too(name: str, code: str) -> None:
    assert name_of(ObisCode.parse(code)) == name
    assert resolve(name) == NamedObject(ObisCode.parse(code), 3)


def test_code_that_no_ion_has() -> None:
    assert resolve("1.0.32.7.0.255") == NamedObject(ObisCode.parse("1-0:32.7.0*255"))
    assert name_of(ObisCode.parse("1-0:32.7.0*255")) is None


@pytest.mark.parametrize("text", ["1-1:1.29.0*255:3", "1-1:1.29.0.255:3", "1.1.1.29.0.255:3", "1-1:1.29.0:3"])
def test_attribute_behind_the_code(text: str) -> None:
    assert resolve(text) == NamedObject(ObisCode.parse("1-1:1.29.0*255"), 3, 3)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("kWh-dell", "kWh-del"),
        ("laod", "load"),
        ("", "write a name"),
        ("1-1:1.29", "write a name"),
        ("?", "OBIS"),
    ],
)
def test_unknown_name_tells_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(LocalError, match=hint):
        resolve(text)


@pytest.mark.parametrize("text", ["nosuch", "kwh-dell"])
def test_what_is_not_there_says_where_names_are_listed(text: str) -> None:
    with pytest.raises(LocalError, match=r"; `iondlms objects URL` lists what a meter has$"):
        resolve(text)
