"""The classes' tables against the Blue Book: attribute, type, access, selectors, methods (62056-62)."""

from __future__ import annotations

import pytest
from tests.cosem.device import CLOCK, READER, SETTER, FakeClock, logical_device

from iondlms.codec import axdr
from iondlms.codec.axdr import Tag
from iondlms.cosem import (
    Access,
    AssociationLn,
    AssociationView,
    Clock,
    DataObject,
    Interface,
    ProfileGeneric,
    Register,
    SapAssignment,
)

R, RW, NO = Access.READ_ONLY, Access.READ_AND_WRITE, Access.NO_ACCESS
STRING = Tag.OCTET_STRING

# class: (class id, version, {attribute: (type, None for a CHOICE; access)}, methods)
TABLES: list[tuple[type[Interface], int, int, dict[int, tuple[Tag | None, Access]], list[int]]] = [
    (DataObject, 1, 0, {1: (STRING, R), 2: (None, R)}, []),
    (Register, 3, 0, {1: (STRING, R), 2: (None, R), 3: (Tag.STRUCTURE, R)}, [1]),
    (
        ProfileGeneric, 7, 1,
        {
            1: (STRING, R), 2: (Tag.ARRAY, R), 3: (Tag.ARRAY, R), 4: (Tag.DOUBLE_LONG_UNSIGNED, R),
            5: (Tag.ENUM, R), 6: (Tag.STRUCTURE, R), 7: (Tag.DOUBLE_LONG_UNSIGNED, R),
            8: (Tag.DOUBLE_LONG_UNSIGNED, R),
        },
        [1, 2],
    ),
    (
        Clock, 8, 0,
        {
            1: (STRING, R), 2: (STRING, RW), 3: (Tag.LONG, R), 4: (Tag.UNSIGNED, R), 5: (STRING, R),
            6: (STRING, R), 7: (Tag.INTEGER, R), 8: (Tag.BOOLEAN, R), 9: (Tag.ENUM, R),
        },
        [1, 2, 3, 4, 5, 6],
    ),
    (
        AssociationLn, 15, 1,
        {
            1: (STRING, R), 2: (Tag.ARRAY, R), 3: (Tag.STRUCTURE, R), 4: (STRING, R), 5: (Tag.STRUCTURE, R),
            6: (STRING, R), 7: (STRING, NO), 8: (Tag.ENUM, R), 9: (STRING, R),
        },
        [1, 2, 3, 4],
    ),
    (SapAssignment, 17, 0, {1: (STRING, R), 2: (Tag.ARRAY, R)}, [1]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("interface", "class_id", "version", "attributes", "methods"), TABLES, ids=lambda value: str(value)[:40]
)
def test_table(
    interface: type[Interface],
    class_id: int,
    version: int,
    attributes: dict[int, tuple[Tag | None, Access]],
    methods: list[int],
) -> None:
    assert (interface.class_id, interface.version) == (class_id, version)
    declared = {number: (item.type, item.access) for number, item in interface.attributes.items()}
    assert declared == attributes
    assert sorted(interface.methods) == methods


@pytest.mark.parametrize("interface", [table[0] for table in TABLES])
def test_only_the_buffer_takes_selectors(interface: type[Interface]) -> None:
    selectors = {number: item.selectors for number, item in interface.attributes.items() if item.selectors}
    assert selectors == ({2: (1, 2)} if interface is ProfileGeneric else {})


def test_every_class_has_a_table_here_and_an_object_in_the_device() -> None:
    assert {type(item) for item in logical_device().objects} == {table[0] for table in TABLES}


@pytest.mark.parametrize("view", [READER, SETTER], ids=["reader", "setter"])
def test_values_have_the_declared_type(view: AssociationView) -> None:
    for item in logical_device().objects:
        for number, attribute in item.attributes.items():
            if attribute.access is Access.NO_ACCESS:
                continue
            value = axdr.decode(b"".join(item.get(number, None, view)))
            assert attribute.type in (None, value.tag), (item.logical_name, number)


@pytest.mark.parametrize(
    ("access", "readable", "writable"),
    [
        (Access.NO_ACCESS, False, False),
        (Access.READ_ONLY, True, False),
        (Access.WRITE_ONLY, False, True),
        (Access.READ_AND_WRITE, True, True),
    ],
)
def test_access_modes(access: Access, readable: bool, writable: bool) -> None:
    assert (access.readable, access.writable) == (readable, writable)


def test_write_right_is_by_object_and_attribute() -> None:
    clock = Clock(CLOCK, FakeClock())
    assert clock.access(2, READER) is Access.READ_ONLY
    assert clock.access(2, SETTER) is Access.READ_AND_WRITE
    assert clock.access(3, SETTER) is Access.READ_ONLY
    elsewhere = Clock(type(CLOCK)(bytes(6)), FakeClock())
    assert elsewhere.access(2, SETTER) is Access.READ_ONLY
