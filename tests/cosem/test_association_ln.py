"""Association LN, octet for octet, and object_list against reality (CO-01 to CO-11)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.cosem.device import (
    ASSOCIATION,
    BILLING,
    CLOCK,
    DEVICE_NAME,
    LOAD,
    READER,
    SAP_ASSIGNMENT,
    SETTER,
    get,
    logical_device,
    octets,
)

from iondlms.codec import axdr, make
from iondlms.codec.axdr import NULL, Data, Tag
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CURRENT_ASSOCIATION, Access, AssociationView
from iondlms.errors import ReadWriteDenied

VIEWS = pytest.mark.parametrize("view", [READER, SETTER], ids=["reader", "setter"])

VALUES = [  # (attribute, view, octets, source)
    (1, READER, "0906 0000280000FF", "AP-04"),
    (3, READER, "0202 0F10 120001", "CO-05"),
    (3, SETTER, "0202 0F01 120001", "CO-05"),
    (4, READER, "0907 60857405080101", "62056-53: 2.16.756.5.8.1.1"),
    (5, READER, "0206 0418003014 12007D 12007D 1106 0F00 0900", "CO-07, over HDLC"),
    (5, SETTER, "0206 041800301C 120400 1204B0 1106 0F00 0900", "CO-07, over the wrapper"),
    (6, READER, "0907 60857405080200", "CO-08"),
    (6, SETTER, "0907 60857405080201", "CO-08"),
    (8, READER, "1602", "associated"),
    (9, READER, "0906 000000000000", "no security setup"),
]


@pytest.mark.parametrize(("attribute_id", "view", "expected", "source"), VALUES)
def test_value(attribute_id: int, view: AssociationView, expected: str, source: str) -> None:
    assert octets(logical_device(), 15, ASSOCIATION, attribute_id, view) == bytes.fromhex(expected), source


def test_name_is_that_of_the_current_association() -> None:
    assert CURRENT_ASSOCIATION == ASSOCIATION


def test_no_limit_is_not_told_as_size_zero() -> None:
    """CO-07: sizes not 0; AP-32: a client's 0 means no limit."""
    info = get(logical_device(), 15, ASSOCIATION, 5, view=replace(READER, max_send_pdu=0)).items()
    assert info[2] == make.long_unsigned(0xFFFF)


def test_quality_of_service_is_told() -> None:
    info = get(logical_device(), 15, ASSOCIATION, 5, view=replace(READER, quality_of_service=1)).items()
    assert info[4] == make.integer(1)


@pytest.mark.parametrize("sap", [0, 1, 16, 127, 128, 0xFFFF])
def test_any_client_sap_can_be_told(sap: int) -> None:
    partners = get(logical_device(), 15, ASSOCIATION, 3, view=replace(READER, client_sap=sap)).items()
    assert partners == (make.integer(sap & 0x7F), make.long_unsigned(1))


# --- object_list ------------------------------------------------------------------------------------


def elements(view: AssociationView) -> list[tuple[int, int, ObisCode, dict[int, Data], dict[int, int]]]:
    """Check the form of object_list (CO-01) and return its elements."""
    value = get(logical_device(), 15, ASSOCIATION, 2, view=view)
    assert value.tag is Tag.ARRAY
    found = []
    for element in value.items():
        class_id, version, name, rights = cells(
            element, Tag.LONG_UNSIGNED, Tag.UNSIGNED, Tag.OCTET_STRING, Tag.STRUCTURE
        )
        attributes, methods = cells(rights, Tag.ARRAY, Tag.ARRAY)
        attribute_rights: dict[int, Data] = {}
        for item in attributes.items():
            number, mode, selectors = cells(item, Tag.INTEGER, Tag.ENUM, None)
            assert mode.integer() in range(4)
            if selectors != NULL:
                assert selectors.tag is Tag.ARRAY
                assert {selector.tag for selector in selectors.items()} == {Tag.INTEGER}
            assert number.integer() not in attribute_rights
            attribute_rights[number.integer()] = item
        method_rights: dict[int, int] = {}
        for item in methods.items():
            number, mode = cells(item, Tag.INTEGER, Tag.ENUM)
            assert number.integer() not in method_rights
            method_rights[number.integer()] = mode.integer()
        obis = ObisCode(name.octets())
        found.append((class_id.integer(), version.integer(), obis, attribute_rights, method_rights))
    return found


def cells(value: Data, *tags: Tag | None) -> tuple[Data, ...]:
    assert value.tag is Tag.STRUCTURE
    items = value.items()
    assert len(items) == len(tags)
    assert all(tag in (None, item.tag) for item, tag in zip(items, tags, strict=True))
    return items


@VIEWS
def test_object_list_is_well_formed(view: AssociationView) -> None:
    listed = elements(view)
    names = [(class_id, name) for class_id, _, name, _, _ in listed]
    assert len(names) == len(set(names))
    for _, _, _, attributes, methods in listed:
        assert list(attributes) == list(range(1, len(attributes) + 1))
        assert list(methods) == list(range(1, len(methods) + 1))
        assert set(methods.values()) <= {0}, "action is not offered"


@VIEWS
def test_object_list_tells_of_every_object(view: AssociationView) -> None:
    objects = [(item.class_id, item.version, item.logical_name) for item in logical_device().objects]
    assert [(class_id, version, name) for class_id, version, name, _, _ in elements(view)] == objects
    mandatory = {
        (15, ASSOCIATION),
        (17, SAP_ASSIGNMENT),
        (1, DEVICE_NAME),
        (8, CLOCK),
        (7, LOAD),
        (7, BILLING),
    }
    assert mandatory <= {(class_id, name) for class_id, _, name in objects}  # CO-04


@VIEWS
def test_object_list_against_reality(view: AssociationView) -> None:
    """CO-02."""
    device = logical_device()
    for class_id, _, name, attributes, _ in elements(view):
        assert get(device, class_id, name, 1, view=view) == make.octet_string(name.octets)
        assert len(get(device, class_id, name, 0, view=view).items()) == len(attributes)
        for number, item in attributes.items():
            mode = Access(item.items()[1].integer())
            if mode.readable:
                get(device, class_id, name, number, view=view)
            else:
                with pytest.raises(ReadWriteDenied):
                    device.get(class_id, name, number, None, view)
            if mode.writable:
                device.set(class_id, name, number, None, get(device, class_id, name, number, view=view), view)
            else:
                with pytest.raises(ReadWriteDenied):
                    device.set(class_id, name, number, None, NULL, view)


def test_object_list_shows_the_right_to_set_to_whom_has_it() -> None:
    def writable(view: AssociationView) -> set[tuple[ObisCode, int]]:
        return {
            (name, number)
            for _, _, name, attributes, _ in elements(view)
            for number, item in attributes.items()
            if Access(item.items()[1].integer()).writable
        }

    assert writable(READER) == set()
    assert writable(SETTER) == {(CLOCK, 2)}


# Composed by hand from 62056-62 5.9, object_list_element.
LOAD_ELEMENT = """
    0204 120007 1101 0906 0100630100FF 0202
    0108 02030F01160100 02030F021601 0102 0F01 0F02 02030F03160100 02030F04160100
         02030F05160100 02030F06160100 02030F07160100 02030F08160100
    0102 02020F011600 02020F021600"""
NAME_ELEMENT = "0204 120001 1100 0906 00002A0000FF 0202 0102 02030F01160100 02030F02160100 0100"
SETTER_S_CLOCK_ELEMENT = """
    0204 120008 1100 0906 0000010000FF 0202
    0109 02030F01160100 02030F02160300 02030F03160100 02030F04160100 02030F05160100
         02030F06160100 02030F07160100 02030F08160100 02030F09160100
    0106 02020F011600 02020F021600 02020F031600 02020F041600 02020F051600 02020F061600"""
ELEMENTS = [  # (view, octets, source)
    (READER, LOAD_ELEMENT, "buffer with both selectors"),
    (READER, NAME_ELEMENT, "no methods"),
    (SETTER, SETTER_S_CLOCK_ELEMENT, "the one right to write"),
]


@pytest.mark.parametrize(("view", "expected", "source"), ELEMENTS)
def test_object_list_element_octets(view: AssociationView, expected: str, source: str) -> None:
    element = axdr.decode(bytes.fromhex(expected))
    assert element in get(logical_device(), 15, ASSOCIATION, 2, view=view).items(), source
    assert bytes.fromhex(expected) in octets(logical_device(), 15, ASSOCIATION, 2, view), source
