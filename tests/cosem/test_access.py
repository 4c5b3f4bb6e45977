"""What is refused, and with which data-access-result; attribute 0 (AP-47 to AP-57, SA-35, E2, E3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cosem.device import (
    ASSOCIATION,
    CLOCK,
    DEVICE_NAME,
    LOAD,
    NAME,
    READER,
    SAP_ASSIGNMENT,
    SETTER,
    STATUS,
    FakeClock,
    get,
    load_buffer,
    logical_device,
    octets,
)

from iondlms.codec import axdr, make
from iondlms.codec.axdr import NULL, Data, Tag
from iondlms.codec.obis import ObisCode
from iondlms.cosem import Access, AssociationView, DataObject, EntryDescriptor, LogicalDevice, Selection
from iondlms.errors import (
    AccessError,
    LocalError,
    ObjectClassInconsistent,
    ObjectUndefined,
    ReadWriteDenied,
    ScopeOfAccessViolated,
    TypeUnmatched,
)

ALL_ROWS = Selection(2, EntryDescriptor(1, 0).data())
NOWHERE = ObisCode(b"\xff" * 6)


@pytest.mark.parametrize(
    ("class_id", "name", "attribute_id", "result"),
    [
        (1, NOWHERE, 1, 4),  # AP-47
        (3, CLOCK, 2, 9),  # AP-48
        (3, CLOCK, 99, 9),
        (8, CLOCK, 10, 4),  # AP-49
        (8, CLOCK, 0x7F, 4),
        (8, CLOCK, 0xFF, 4),
        (8, CLOCK, -1, 4),
        (15, ASSOCIATION, 7, 3),  # CO-09
        (15, ASSOCIATION, 10, 4),  # CO-11, version 1 ends with 9
        (15, ASSOCIATION, 11, 4),
    ],
)
@pytest.mark.parametrize("view", [READER, SETTER], ids=["reader", "setter"])
def test_get_refused(
    class_id: int, name: ObisCode, attribute_id: int, result: int, view: AssociationView
) -> None:
    with pytest.raises(AccessError) as refusal:
        logical_device().get(class_id, name, attribute_id, None, view)
    assert refusal.value.result == result


def test_refusals_are_their_own_errors() -> None:
    device = logical_device()
    with pytest.raises(ObjectUndefined):
        device.find(8, NOWHERE)
    with pytest.raises(ObjectClassInconsistent):
        device.find(7, CLOCK)
    with pytest.raises(ReadWriteDenied):
        device.get(15, ASSOCIATION, 7, None, SETTER)
    assert device.find(8, CLOCK).logical_name == CLOCK


WITHOUT_SELECTOR = [
    (7, LOAD, 0), (7, LOAD, 1), (7, LOAD, 3), (8, CLOCK, 0), (8, CLOCK, 2), (1, STATUS, 2),
    (15, ASSOCIATION, 2),
]  # fmt: skip


@pytest.mark.parametrize("selector", [0, 1, 2, 3, 255])
@pytest.mark.parametrize(("class_id", "name", "attribute_id"), WITHOUT_SELECTOR)
def test_selector_where_there_is_none(
    class_id: int, name: ObisCode, attribute_id: int, selector: int
) -> None:
    """SA-35."""
    selection = Selection(selector, EntryDescriptor(1, 0).data())
    with pytest.raises(ScopeOfAccessViolated):
        logical_device().get(class_id, name, attribute_id, selection, READER)


@pytest.mark.parametrize("selector", [0, 3, 4, 255])
def test_selector_that_a_buffer_does_not_have(selector: int) -> None:
    with pytest.raises(ScopeOfAccessViolated):
        logical_device().get(7, LOAD, 2, Selection(selector, NULL), READER)


def test_no_right_comes_before_the_selector() -> None:
    with pytest.raises(ReadWriteDenied):
        logical_device().get(15, ASSOCIATION, 7, ALL_ROWS, READER)


def test_refused_at_once_not_while_blocks_are_cut() -> None:
    """The refusal must come out of `get` itself: its pieces are taken when a block was promised already."""
    with pytest.raises(ScopeOfAccessViolated):
        logical_device().get(7, LOAD, 2, Selection(2, EntryDescriptor(0, 1).data()), READER)


# --- attribute 0 ------------------------------------------------------------------------------------


def test_attribute_0_octets() -> None:
    """AP-51."""
    device = logical_device()
    assert octets(device, 1, DEVICE_NAME, 0) == bytes.fromhex("0202 0906 00002A0000FF 0910") + NAME


def test_attribute_0_of_the_clock_octets() -> None:
    expected = """
        0209 0906 0000010000FF 090C 07EA0B16070D223800FFC400 10FFC4 1100
        090C 07EA031D0702000000FFC400 090C FFFFFFFFFFFFFFFFFF8000FF 0F3C 0301 1601"""
    assert octets(logical_device(), 8, CLOCK, 0) == bytes.fromhex(expected)


def test_attribute_0_is_all_attributes_in_order() -> None:
    for view in (READER, SETTER):
        device = logical_device()
        for item in device.objects:
            whole = get(device, item.class_id, item.logical_name, 0, view=view)
            assert whole.tag is Tag.STRUCTURE
            expected = [
                get(device, item.class_id, item.logical_name, number, view=view)
                if item.access(number, view).readable
                else NULL
                for number in range(1, len(item.attributes) + 1)
            ]
            assert list(whole.items()) == expected, item.logical_name


def test_attribute_0_hides_the_secret() -> None:
    assert get(logical_device(), 15, ASSOCIATION, 0).items()[6] == NULL


def test_attribute_0_is_one_moment() -> None:
    buffer = load_buffer(3)
    pieces = iter(logical_device(load=buffer).get(7, LOAD, 0, None, READER))
    answer = next(pieces)
    buffer.rows.append(buffer.rows[0])
    answer += b"".join(pieces)
    whole = axdr.decode(answer).items()
    assert len(whole[1].items()) == 3
    assert whole[6].integer() == 3


# --- SET --------------------------------------------------------------------------------------------

TIME = make.octet_string(bytes.fromhex("07EA0B16FF0C223800000000"))


@pytest.mark.parametrize(
    ("class_id", "name", "attribute_id", "value", "result"),
    [
        (1, DEVICE_NAME, 2, make.octet_string(b"A"), 3),  # AP-57
        (8, CLOCK, 3, make.long(0), 3),
        (8, CLOCK, 1, make.octet_string(bytes(6)), 3),
        (7, LOAD, 4, make.double_long_unsigned(60), 3),
        (15, ASSOCIATION, 7, make.octet_string(b"new"), 3),
        (17, SAP_ASSIGNMENT, 2, make.array(()), 3),
        (8, CLOCK, 0, make.structure(), 3),  # attribute 0 is known, and not for SET
        (8, CLOCK, 10, make.long(0), 4),
        (8, NOWHERE, 2, TIME, 4),
        (7, CLOCK, 2, TIME, 9),
    ],
)
def test_set_refused(class_id: int, name: ObisCode, attribute_id: int, value: Data, result: int) -> None:
    clock = FakeClock()
    device = logical_device(clock)
    before = {
        item.logical_name: octets(device, item.class_id, item.logical_name, 0) for item in device.objects
    }
    with pytest.raises(AccessError) as refusal:
        device.set(class_id, name, attribute_id, None, value, SETTER)
    assert refusal.value.result == result
    assert not clock.times
    for item in device.objects:
        assert octets(device, item.class_id, item.logical_name, 0) == before[item.logical_name]


def test_set_without_the_right() -> None:
    clock = FakeClock()
    with pytest.raises(ReadWriteDenied):
        logical_device(clock).set(8, CLOCK, 2, None, TIME, READER)
    # The right is looked at before the value: a reader learns nothing of the type.
    with pytest.raises(ReadWriteDenied):
        logical_device(clock).set(8, CLOCK, 2, None, make.unsigned(5), READER)
    assert not clock.times


def test_set_with_a_selector() -> None:
    clock = FakeClock()
    with pytest.raises(ScopeOfAccessViolated):
        logical_device(clock).set(8, CLOCK, 2, ALL_ROWS, TIME, SETTER)
    assert not clock.times


def test_set_of_each_attribute_without_write_access_is_denied() -> None:
    device = logical_device()
    for item in device.objects:
        for number in item.attributes:
            if item.access(number, SETTER).writable:
                assert (item.logical_name, number) == (CLOCK, 2)
                continue
            with pytest.raises(ReadWriteDenied):
                device.set(item.class_id, item.logical_name, number, None, TIME, SETTER)


@given(st.integers(0, 0xFFFF), st.binary(min_size=6, max_size=6), st.integers(-128, 127))
def test_any_descriptor_is_answered_or_refused(class_id: int, name: bytes, attribute_id: int) -> None:
    device = logical_device()
    for view in (READER, SETTER):
        for obis in (ObisCode(name), LOAD):
            try:
                get(device, class_id, obis, attribute_id, view=view)
            except (ObjectUndefined, ObjectClassInconsistent):
                assert obis != LOAD or class_id != 7 or attribute_id not in range(9)
            with pytest.raises((ObjectUndefined, ObjectClassInconsistent, ReadWriteDenied, TypeUnmatched)):
                device.set(class_id, obis, attribute_id, None, NULL, view)


# --- our own mistakes are loud ----------------------------------------------------------------------


def test_two_objects_of_one_name() -> None:
    thing = DataObject(STATUS, lambda: NULL)
    with pytest.raises(LocalError, match="0-0:97"):
        LogicalDevice([thing, thing])
    with pytest.raises(LocalError, match="0-0:40"):
        LogicalDevice([DataObject(ASSOCIATION, lambda: NULL)])


def test_a_device_always_has_its_association() -> None:
    device = LogicalDevice([])
    assert [item.logical_name for item in device.objects] == [ASSOCIATION]
    assert device.find(15, ASSOCIATION).access(2, READER) is Access.READ_ONLY
