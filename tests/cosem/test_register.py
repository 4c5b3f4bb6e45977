"""Data, Register and SAP Assignment, octet for octet (CO-12, CO-13, CO-27)."""

from __future__ import annotations

import pytest
from tests.cosem.device import (
    DEVICE_NAME,
    ENERGY,
    NAME,
    POWER_FACTOR,
    READER,
    SAP_ASSIGNMENT,
    STATUS,
    get,
    logical_device,
    octets,
)

from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data
from iondlms.codec.obis import ObisCode
from iondlms.cosem import DataObject, LogicalDevice, Register, SapAssignment
from iondlms.errors import AccessError, LocalError, ObjectUnavailable

VALUES = [  # (class, name, attribute, octets, source)
    (17, SAP_ASSIGNMENT, 2, "0101 0202 120001 0910" + NAME.hex(), "CO-12"),
    (1, DEVICE_NAME, 2, "0910" + NAME.hex(), "CO-13"),
    (1, STATUS, 2, "120000", "ion-profile 4: status word is long-unsigned"),
    (3, ENERGY, 1, "0906 0101010800FF", "62056-62 5.2"),
    (3, ENERGY, 2, "14 00000000000004D2", "ion-profile 4: long64"),
    (3, ENERGY, 3, "0202 0F00 161E", "ion-profile 4: Wh, scaler 0"),
    (3, POWER_FACTOR, 2, "05 FFFFFC25", "ion-profile 4: double-long"),
    (3, POWER_FACTOR, 3, "0202 0FFD 16FF", "ion-profile 4: scaler -3, no unit"),
]


@pytest.mark.parametrize(("class_id", "name", "attribute_id", "expected", "source"), VALUES)
def test_value(class_id: int, name: ObisCode, attribute_id: int, expected: str, source: str) -> None:
    assert octets(logical_device(), class_id, name, attribute_id) == bytes.fromhex(expected), source


def test_scaler_unit_vector() -> None:
    """vectors.md 53: scaler 0, volt."""
    volts = LogicalDevice([Register(ENERGY, lambda: make.double_long(0), 0, 35)])
    assert octets(volts, 3, ENERGY, 3) == bytes.fromhex("02020F001623")


def test_sap_assignment_and_device_name_agree() -> None:
    device = logical_device()
    ((pair),) = get(device, 17, SAP_ASSIGNMENT, 2).items()
    assert pair.items()[1] == get(device, 1, DEVICE_NAME, 2)


def test_several_logical_devices() -> None:
    device = LogicalDevice([SapAssignment(SAP_ASSIGNMENT, {1: b"AAA", 0x1234: b"BBB"})])
    expected = bytes.fromhex("0102 0202 120001 0903414141 0202 121234 0903424242")
    assert octets(device, 17, SAP_ASSIGNMENT, 2) == expected


def test_value_is_read_anew_each_time() -> None:
    counts = iter(range(10))
    device = LogicalDevice([Register(ENERGY, lambda: make.double_long(next(counts)), 0, 30)])
    assert [get(device, 3, ENERGY, 2).integer() for _ in range(3)] == [0, 1, 2]
    assert get(device, 3, ENERGY, 0).items()[1] == make.double_long(3)
    get(device, 3, ENERGY, 3)
    assert get(device, 3, ENERGY, 2).integer() == 4, "scaler_unit and logical_name do not read the value"


def test_no_value_is_null_data() -> None:
    device = LogicalDevice([Register(ENERGY, lambda: NULL, 0, 30), DataObject(STATUS, lambda: NULL)])
    assert octets(device, 3, ENERGY, 2) == b"\x00"
    assert octets(device, 3, ENERGY, 0) == bytes.fromhex("0203 0906 0101010800FF 00 02020F00161E")
    assert octets(device, 1, STATUS, 2) == b"\x00"


def test_value_that_refuses() -> None:
    def refuse() -> Data:
        raise ObjectUnavailable("not yet")

    device = LogicalDevice([DataObject(STATUS, refuse)])
    with pytest.raises(AccessError) as refusal:
        device.get(1, STATUS, 2, None, READER)
    assert refusal.value.result == 11


def test_value_that_does_not_fit_its_type_is_our_mistake() -> None:
    device = LogicalDevice([Register(ENERGY, lambda: make.double_long(1 << 40), 0, 30)])
    with pytest.raises(LocalError):
        device.get(3, ENERGY, 2, None, READER)
