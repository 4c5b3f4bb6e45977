"""What stands in the columns of a profile: the choice among them, their scalers, and what is remembered."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterable
from typing import cast

import pytest
from tests.client.test_profile import CLOCK, ENERGY, FACTOR, FOREIGN, STATUS, Zone

from iondlms.client.captured import Captured, captured_of, learn_scales
from iondlms.client.instants import TimeRules
from iondlms.client.names import NamedObject, resolve
from iondlms.client.profile import column_of
from iondlms.client.scales import Scale, is_numeric, scale_of
from iondlms.client.session import Operation, Session
from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data, encode_data
from iondlms.codec.obis import ObisCode
from iondlms.cosem import CaptureObject
from iondlms.errors import DecodeError, LocalError, ObjectUndefined
from iondlms.xdlms import AttributeDescriptor

LOAD = (CLOCK, STATUS, ENERGY, FACTOR)


def encoded(objects: Iterable[CaptureObject]) -> bytes:
    return encode_data(make.array(item.data() for item in objects))


# --- the choice ------------------------------------------------------------------------------------


def test_chosen_columns_stand_in_the_order_of_the_buffer_and_the_clock_comes_along() -> None:
    captured = Captured([STATUS, ENERGY, CLOCK, FACTOR])
    assert captured.clock == CLOCK
    assert captured.chosen(()) == (0, 1, 2, 3)
    assert captured.chosen((resolve("PF-sign-mean"), resolve("status"))) == (0, 2, 3)
    assert captured.chosen((resolve("clock"),)) == (2,)
    without = Captured([STATUS, ENERGY])
    assert without.clock is None
    assert without.chosen((resolve("kWh-del-int"),)) == (1,)


def test_an_attribute_that_is_named_is_meant() -> None:
    last = CaptureObject(5, ENERGY.logical_name, 3)
    captured = Captured([CLOCK, ENERGY, last])
    assert captured.chosen((NamedObject(ENERGY.logical_name),)) == (0, 1, 2)
    assert captured.chosen((NamedObject(ENERGY.logical_name, attribute=3),)) == (0, 2)
    with pytest.raises(
        LocalError, match=r"no column of this profile; there are clock, kWh-del-int, kWh-del-int:3"
    ):
        captured.chosen((NamedObject(ENERGY.logical_name, attribute=4),))


# --- scalers ---------------------------------------------------------------------------------------


def learnt(
    objects: Iterable[CaptureObject], answers: dict[tuple[int, int], Data]
) -> tuple[dict[ObisCode, Scale], list[str], list[tuple[int, int]]]:
    """Return scales, notes and what was asked of a meter that answers by class and attribute."""
    asked: list[tuple[int, int]] = []

    class Said:
        def get(self, attribute: AttributeDescriptor) -> Operation[bytes]:
            yield from ()
            asked.append((attribute.class_id, attribute.attribute_id))
            if asked[-1] not in answers:
                raise ObjectUndefined
            return encode_data(answers[asked[-1]])

    scales: dict[ObisCode, Scale] = {}
    notes: list[str] = []
    for _ in learn_scales(cast("Session", Said()), Captured(list(objects)), {}, scales, notes):
        raise AssertionError("nothing to wait for")
    return scales, notes, asked


REGISTERS = [  # (class, attributes that are numbers, the one with scaler and unit), 62056-62 5.2 to 5.4
    (3, (2,), 3),
    (4, (2,), 3),
    (5, (2, 3), 4),
]


@pytest.mark.parametrize(("class_id", "numbers", "scaler_unit"), REGISTERS)
def test_each_class_of_register_has_its_scaler_where_the_standard_has_it(
    class_id: int, numbers: tuple[int, ...], scaler_unit: int
) -> None:
    columns = [CaptureObject(class_id, ENERGY.logical_name, attribute) for attribute in range(1, 6)]
    assert tuple(item.attribute_id for item in columns if is_numeric(item)) == numbers
    answers = {(class_id, attribute): make.double_long(7) for attribute in numbers}
    answers[class_id, scaler_unit] = make.structure(make.integer(-2), make.enum(27))
    scales, notes, asked = learnt(columns, answers)
    assert asked == [(class_id, scaler_unit)], "once, for all the columns of one register"
    assert notes == []
    found = Captured(columns).shape(scales, 900, TimeRules(), "keep")
    scaled = {column.captured.attribute_id: (column.unit, column.scaler) for column in found.columns}
    assert scaled == {at: ("W", -2) if at in numbers else ("", None) for at in range(1, 6)}


@pytest.mark.parametrize(
    "said",
    [
        NULL,
        make.integer(0),
        make.structure(),
        make.structure(make.integer(0)),
        make.structure(make.integer(0), make.enum(30), make.integer(0)),
        make.structure(make.octet_string(b"0"), make.enum(30)),
        make.structure(make.integer(0), NULL),
        # No Integer8, and the second no exponent of any Decimal.
        make.structure(make.long(128), make.enum(30)),
        make.structure(make.double_long(1 << 30), make.enum(30)),
    ],
)
def test_what_is_no_scaler_unit_is_noted_and_numbers_are_as_sent(said: Data) -> None:
    with pytest.raises(DecodeError):
        scale_of(said)
    scales, notes, _ = learnt(LOAD, {(3, 3): said})
    assert set(scales.values()) == {(None, "")}
    assert [note.split(" (")[0] for note in notes] == [
        "scaler and unit of kWh-del-int cannot be read",
        "scaler and unit of PF-sign-mean cannot be read",
    ]


def test_scalers_of_one_octet_are_taken() -> None:
    for scaler in (-128, 0, 127):
        assert scale_of(make.structure(make.integer(scaler), make.enum(13))) == (scaler, "m³")


def test_a_register_that_refuses_is_asked_once_for_all_its_columns() -> None:
    scales, notes, asked = learnt((CLOCK, ENERGY, ENERGY), {})
    assert (len(notes), asked) == (1, [(3, 3)])
    assert scales == {ENERGY.logical_name: (None, "")}


# --- what is remembered ----------------------------------------------------------------------------


def test_what_is_remembered_of_a_shape_is_of_all_that_makes_it() -> None:
    captured = captured_of(encoded(LOAD))
    scales: dict[ObisCode, Scale] = {ENERGY.logical_name: (0, "Wh"), FACTOR.logical_name: (-3, "")}
    usual = captured.shape(scales, 900, TimeRules(), "keep")
    assert usual.columns == (column_of(ENERGY, "Wh", 0), column_of(FACTOR, "", -3))
    assert usual is captured.shape({**scales, FOREIGN.logical_name: (1, "")}, 900, TimeRules(), "keep")
    assert captured.shape(scales, 60, TimeRules(), "keep").capture_period == 60
    assert captured.shape(scales, 900, TimeRules(), "repeat").nulls == "repeat"
    assert captured.shape(scales, 900, TimeRules(inverted=True), "keep").times.inverted
    other = captured.shape({**scales, ENERGY.logical_name: (3, "W")}, 900, TimeRules(), "keep")
    assert [column.unit for column in other.columns] == ["W", ""]
    unknown = captured.shape({}, 900, TimeRules(), "keep")
    assert unknown.columns == (column_of(ENERGY), column_of(FACTOR))
    assert captured.part((0, 2)).objects == (CLOCK, ENERGY)
    assert captured.part((0, 3)).objects == (CLOCK, FACTOR)
    assert captured.part((0, 2)) is captured.part((0, 2))
    assert captured.part((0, 1, 2, 3)) is captured
    assert captured.part((0, 2)).shape(scales, 900, TimeRules(), "keep").captured == (CLOCK, ENERGY)


def test_a_shape_is_remembered_for_a_zone_without_a_hash() -> None:
    times = TimeRules(zone=Zone())
    octets = encoded((CLOCK, ENERGY))
    found = captured_of(octets).shape({}, 900, times, "keep")
    assert found is captured_of(octets).shape({}, 900, times, "keep")
    assert found.times is times
    assert found is not captured_of(octets).shape({}, 900, TimeRules(zone=Zone()), "keep")


def test_what_is_long_is_not_remembered() -> None:
    most, more = encoded((CLOCK, STATUS, *[ENERGY] * 50)), encoded((CLOCK, STATUS, *[ENERGY] * 55))
    assert captured_of(most) is captured_of(most), "as many columns as an ION9000 records"
    assert captured_of(more) is not captured_of(more)


WIDE = [CaptureObject(3, ObisCode(bytes((1, 1, n, 29, 0, 255))), 2) for n in range(40)]
CHOICES = list(itertools.combinations(range(41), 3))


def shape_of(captured: Captured, period: int = 900, unit: str = "Wh", times: TimeRules | None = None) -> None:
    scales = {item.logical_name: (0, unit) for item in WIDE}
    captured.shape(scales, period, TimeRules() if times is None else times, "keep")


def read_kind(number: int) -> None:
    other = CaptureObject(3, ObisCode(number.to_bytes(6, "big")), 2)
    shape_of(captured_of(encoded((CLOCK, other))))


HOSTILE: dict[str, Callable[[Captured, int], object]] = {
    "capture objects": lambda _, n: read_kind(n),
    "periods": lambda captured, n: shape_of(captured, period=n),
    "units": lambda captured, n: shape_of(captured, unit=f"unit {n}"),
    "zones": lambda captured, _: shape_of(captured, times=TimeRules(zone=Zone())),
    "columns": lambda captured, n: shape_of(captured.part(CHOICES[n])),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_meters_say_is_remembered_within_bounds(what: str) -> None:
    captured = Captured([CLOCK, *WIDE])
    ask = HOSTILE[what]
    tracemalloc.start()
    try:
        for number in range(300):
            ask(captured, number)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(300, 1300):
            ask(captured, number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 250_000, f"octets, for a thousand other {what}"
