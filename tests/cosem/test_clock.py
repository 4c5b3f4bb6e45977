"""Clock: its attributes, both forms of date-time, what SET takes and refuses (CO-15, CO-17, TS-01 to 09)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.cosem.data import any_data
from tests.cosem.device import CLOCK, READER, SETTER, FakeClock, get, logical_device, octets

from iondlms.codec import axdr, make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import UNSPECIFIED, DateTime
from iondlms.cosem import Clock, LogicalDevice
from iondlms.errors import LocalError, OtherReason, TypeUnmatched

VALUES = [  # (attribute, octets, source)
    (1, "0906 0000010000FF", "62056-62 5.5"),
    (2, "090C 07EA0B16070D223800FFC400", "CO-15"),
    (3, "10FFC4", "CO-17, UTC+1 is -60"),
    (4, "1100", "CO-17"),
    (5, "090C 07EA031D0702000000FFC400", "CO-17"),
    (6, "090C FFFFFFFFFFFFFFFFFF8000FF", "CO-17, nothing specified"),
    (7, "0F3C", "CO-17"),
    (8, "0301", "CO-17"),
    (9, "1601", "CO-17, crystal"),
]


@pytest.mark.parametrize(("attribute_id", "expected", "source"), VALUES)
def test_value(attribute_id: int, expected: str, source: str) -> None:
    assert octets(logical_device(), 8, CLOCK, attribute_id) == bytes.fromhex(expected), source


def test_date_time_form() -> None:
    """T6: with the form date-time the three times get tag 25 and no length; nothing else changes."""
    device = LogicalDevice([Clock(CLOCK, FakeClock(), Tag.DATE_TIME)])
    assert octets(device, 8, CLOCK, 2) == bytes.fromhex("19 07EA0B16070D223800FFC400")
    plain = get(logical_device(), 8, CLOCK, 0).items()
    for number, value in enumerate(get(device, 8, CLOCK, 0).items(), 1):
        expected = Data(Tag.DATE_TIME, plain[number - 1].value) if number in (2, 5, 6) else plain[number - 1]
        assert value == expected, number


def test_status_is_that_of_the_time() -> None:
    clock = FakeClock(now=DateTime(bytes.fromhex("07EA0716030D223800FF8881")))
    device = logical_device(clock)
    assert octets(device, 8, CLOCK, 4) == bytes.fromhex("1181")
    clock.now = UNSPECIFIED
    assert octets(device, 8, CLOCK, 4) == bytes.fromhex("11FF")


@pytest.mark.parametrize("zone", [-840, -60, 0, 720])
def test_time_zone(zone: int) -> None:
    """TZ offset -12:00 to +14:00 (ion-profile 5)."""
    assert get(logical_device(FakeClock(zone=zone)), 8, CLOCK, 3) == make.long(zone)


@pytest.mark.parametrize(
    ("added", "told"), [(-180, -120), (-121, -120), (-120, -120), (-60, -60), (0, 0), (120, 120), (180, 120)]
)
def test_daylight_deviation_stays_in_its_type(added: int, told: int) -> None:
    """The meter's DST offset goes to 3 h (ion-profile 5), the attribute to 120 minutes (CO-17)."""
    device = logical_device(FakeClock(added=added))
    assert get(device, 8, CLOCK, 7) == make.integer(told)
    assert get(device, 8, CLOCK, 0).items()[6] == make.integer(told)


def test_daylight_disabled() -> None:
    assert octets(logical_device(FakeClock(enabled=False)), 8, CLOCK, 8) == bytes.fromhex("0300")


# --- SET --------------------------------------------------------------------------------------------

TAKEN = [  # (value, source); fields are the clock's own business
    ("090C 07EA0B16FF0C223800000000", "TS-01"),
    ("090C 07EA0B16FF0D223800FFC400", "TS-02"),
    ("090C 07EA0B16FF0C223800800000", "TS-03"),
    ("090C 07EA0B16FF0C2238FF000000", "TS-04"),
    ("090C FFFF0B16FF0C2238FF000000", "TS-05: yields to the profile"),
    ("090C 07EA0B16010C223800000000", "TS-07"),
    ("19 07EA0B16FF0C223800000000", "TS-09"),
    ("090C 07E20206FF091D0200000000", "vectors.md 88"),
]


@pytest.mark.parametrize(("value", "source"), TAKEN)
def test_set_hands_the_octets_to_the_clock(value: str, source: str) -> None:
    clock = FakeClock()
    sent = bytes.fromhex(value)
    logical_device(clock).set(8, CLOCK, 2, None, axdr.decode(sent), SETTER)
    assert [time.octets for time in clock.times] == [sent[-12:]], source


def test_set_then_read_back_in_the_clock_s_own_form() -> None:
    device = logical_device()
    device.set(8, CLOCK, 2, None, Data(Tag.DATE_TIME, bytes.fromhex("07EA0B16FF0C223800000000")), SETTER)
    assert octets(device, 8, CLOCK, 2) == bytes.fromhex("090C 07EA0B16FF0C223800000000")


REFUSED = [  # (value, source)
    ("1105", "TS-08"),
    ("090B 07EA0B16FF0C2238000000", "TS-08"),
    ("090D 07EA0B16FF0C22380000000000", "13 octets"),
    ("0900", "empty"),
    ("00", "null-data"),
    ("1A 07EA0B16FF", "a date alone"),
    ("1B 0C223800", "a time alone"),
    ("0A0C 303132333435363738394142", "visible-string of 12"),
    ("0C0C 303132333435363738394142", "utf8-string of 12"),
    ("06 65000000", "Unix time"),
    ("0201 090C 07EA0B16FF0C223800000000", "in a structure"),
    ("0101 090C 07EA0B16FF0C223800000000", "in an array"),
    ("0460 07EA0B16FF0C223800000000", "bit-string of 96 bits"),
]


@pytest.mark.parametrize(("value", "source"), REFUSED)
def test_set_of_another_type(value: str, source: str) -> None:
    clock = FakeClock()
    with pytest.raises(TypeUnmatched):
        logical_device(clock).set(8, CLOCK, 2, None, axdr.decode(bytes.fromhex(value)), SETTER)
    assert not clock.times, source


def test_refusal_of_the_clock_itself() -> None:
    clock = FakeClock(refuses=True)
    with pytest.raises(OtherReason):
        logical_device(clock).set(8, CLOCK, 2, None, make.octet_string(bytes(12)), SETTER)


@given(any_data())
@example(Data(Tag.DATE_TIME, bytes(12)))
def test_any_value_is_set_or_unmatched(value: Data) -> None:
    clock = FakeClock()
    try:
        logical_device(clock).set(8, CLOCK, 2, None, value, SETTER)
    except TypeUnmatched:
        assert not clock.times
    else:
        assert value.tag in (Tag.OCTET_STRING, Tag.DATE_TIME)
        assert clock.times == [DateTime(value.octets())]


@given(st.binary(min_size=12, max_size=12), st.sampled_from([Tag.OCTET_STRING, Tag.DATE_TIME]))
def test_any_twelve_octets_reach_the_clock(time: bytes, form: Tag) -> None:
    clock = FakeClock()
    logical_device(clock).set(8, CLOCK, 2, None, Data(form, time), SETTER)
    assert clock.times == [DateTime(time)]


def test_only_the_time_can_be_written_at_all() -> None:
    with pytest.raises(LocalError):
        Clock(CLOCK, FakeClock()).write(3, make.long(0))


def test_reader_and_setter_see_the_same_time() -> None:
    device = logical_device()
    assert get(device, 8, CLOCK, 0, view=READER) == get(device, 8, CLOCK, 0, view=SETTER)
