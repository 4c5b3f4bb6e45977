"""Profile generic: its attributes (CO-19 to CO-24), and SELECTIVE ACCESS as far as this room decides it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cosem.data import any_data, nearly
from tests.cosem.device import (
    BILLING,
    CLOCK_COLUMN,
    FIRST,
    LOAD,
    LOAD_COLUMNS,
    PERIOD,
    READER,
    STATUS_COLUMN,
    ZONE,
    FakeBuffer,
    get,
    load_buffer,
    logical_device,
    octets,
    profile,
    row,
)

from iondlms.codec import axdr, make
from iondlms.codec.axdr import Data, Tag
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.cosem import (
    CaptureObject,
    EntryDescriptor,
    LogicalDevice,
    ProfileGeneric,
    RangeDescriptor,
    Selection,
)
from iondlms.errors import AccessError, OtherReason, ScopeOfAccessViolated, TypeUnmatched

# P of conformance.md: the GET up to and including the restricting object
P = "C001C100070100630100FF0201010204 020412000809060000010000FF0F02120000"
# The same of a GET by entry, up to the four numbers
E = "C001C100070100630100FF0201020204"
ALL = "0100"
END = "090C 08330C1FFF173B3B00000000"  # 2099-12-31 23:59:59


def t(number: int, seconds: int = 0, deviation: int = 0, *, form: Tag = Tag.OCTET_STRING) -> str:
    """Return D(t): the instant of a row and some seconds, shown in the local time of a deviation."""
    instant = FIRST + (number - 1) * PERIOD + timedelta(seconds=seconds)
    return axdr.encode_data(Data(form, DateTime.of_utc(instant, deviation).octets)).hex()


def unspecified_deviation(number: int) -> str:
    local = DateTime.of_utc(FIRST + (number - 1) * PERIOD, ZONE).local()
    return "090C" + DateTime.of_local(local, None, None).octets.hex()


def entry(*numbers: int) -> str:
    return E + axdr.encode_data(EntryDescriptor(*numbers).data())[2:].hex()


def ask(request: str, device: LogicalDevice | None = None) -> Data:
    """Return the answer to a get-request-normal with selective access, written as octets."""
    apdu = bytes.fromhex(request)
    assert apdu[:3] == bytes.fromhex("C001C1")
    assert apdu[12] == 1
    selection = Selection(apdu[13], axdr.decode(apdu[14:]))
    asked = logical_device() if device is None else device
    return get(asked, int.from_bytes(apdu[3:5], "big"), ObisCode(apdu[5:11]), apdu[11], selection)


def rows(*numbers: int, columns: tuple[int, ...] | None = None) -> Data:
    return make.array(row(number).data(columns) for number in numbers)


SA_01 = (
    "C001C100070100630100FF0201010204020412000809060000010000FF0F02120000"
    "090C07D00101FF00000000000000090C08330C1FFF173B3B000000000100"
)
REGISTER_3 = LOAD_COLUMNS[2].data()


def columns(*numbers: int) -> str:
    return axdr.encode_data(make.array(LOAD_COLUMNS[number - 1].data() for number in numbers)).hex()


ANSWERED = [  # (case, request, rows, columns from 0 or None)
    ("SA-01", SA_01, range(1, 21), None),
    ("SA-02", P + "090C 07C60101FF00000000000000 090C 07C60C1FFF00000000000000" + ALL, (), None),
    ("SA-03", P + t(20, 1) + END + ALL, (), None),
    ("SA-04", P + t(5) + t(9) + ALL, range(5, 10), None),
    ("SA-05", P + t(5) + t(9) + columns(1, 3), range(5, 10), (0, 2)),
    ("one column", P + t(5) + t(9) + columns(6), range(5, 10), (5,)),
    ("all columns by name", P + t(5) + t(9) + columns(1, 2, 3, 4, 5, 6), range(5, 10), None),
    ("SA-07", P + t(5, 1) + t(6, -1) + ALL, (), None),
    ("SA-08", P + t(5, 1) + t(9, -1) + ALL, range(6, 9), None),
    ("SA-09 first", P + t(1) + t(1) + ALL, (1,), None),
    ("SA-09 last", P + t(20) + END + ALL, (20,), None),
    ("SA-11", P + t(9) + t(5) + ALL, (), None),
    ("SA-12", P + t(5, deviation=-60) + t(9, deviation=-60) + ALL, range(5, 10), None),
    ("SA-12 east and west", P + t(5, deviation=-840) + t(9, deviation=720) + ALL, range(5, 10), None),
    ("SA-13", P + unspecified_deviation(5) + unspecified_deviation(9) + ALL, range(5, 10), None),
    ("SA-13 one of them", P + t(5) + unspecified_deviation(9) + ALL, range(5, 10), None),
    ("SA-15", P + t(5, form=Tag.DATE_TIME) + t(9, form=Tag.DATE_TIME) + ALL, range(5, 10), None),
    ("SA-15 mixed", P + t(5, form=Tag.DATE_TIME) + t(9) + ALL, range(5, 10), None),
    ("SA-19", P + t(5) + t(9) + columns(3, 1, 3), range(5, 10), (0, 2)),
    ("SA-23", E + "06000000010600000000120001120000", range(1, 21), None),
    ("SA-24", entry(3, 7, 1, 0), range(3, 8), None),
    ("SA-25", E + "06000000010600000002120002120003", (1, 2), (1, 2)),
    ("one column by number", entry(1, 2, 6, 6), (1, 2), (5,)),
    ("from a column to the last", entry(1, 2, 5, 0), (1, 2), (4, 5)),
    ("all columns by number", entry(1, 2, 1, 6), (1, 2), None),
    ("SA-27", entry(18, 100, 1, 0), (18, 19, 20), None),
    ("SA-27 widest", entry(18, 0xFFFFFFFF, 1, 0), (18, 19, 20), None),
    ("SA-28", entry(21, 0, 1, 0), (), None),
    ("far beyond the end", entry(0xFFFFFFFF, 0xFFFFFFFF, 1, 0), (), None),
    ("from after to", entry(7, 3, 1, 0), (), None),
    ("R4: 5 to 10 are six rows", entry(5, 10, 1, 0), range(5, 11), None),
]


@pytest.mark.parametrize(
    ("case", "request_", "numbers", "chosen"), ANSWERED, ids=[row[0] for row in ANSWERED]
)
def test_selected(case: str, request_: str, numbers: range, chosen: tuple[int, ...] | None) -> None:
    device = logical_device()
    assert ask(request_, device) == rows(*numbers, columns=chosen), case
    assert ask(request_, device) == rows(*numbers, columns=chosen), f"{case}, again"


NOT_CAPTURED = CaptureObject(1, ObisCode.parse("0-0:96.1.0*255"), 2)


def by_range(restricting: Data, start: str, end: str, columns: str = ALL) -> str:
    return "C001C100070100630100FF0201010204" + axdr.encode_data(restricting).hex() + start + end + columns


REFUSED = [  # (case, request, error)
    ("SA-16", by_range(REGISTER_3, "0500000000", "0500001000"), ScopeOfAccessViolated),
    ("SA-16, the status", by_range(STATUS_COLUMN.data(), "120000", "12FFFF"), ScopeOfAccessViolated),
    ("SA-16, with times", by_range(REGISTER_3, t(1), t(2)), ScopeOfAccessViolated),
    ("SA-17", by_range(NOT_CAPTURED.data(), t(1), t(2)), ScopeOfAccessViolated),
    ("clock attribute 3", by_range(CaptureObject(8, CLOCK_COLUMN.logical_name, 3).data(), t(1), t(2)),
     ScopeOfAccessViolated),
    ("R2: data index 1", by_range(CaptureObject(8, CLOCK_COLUMN.logical_name, 2, 1).data(), t(1), t(2)),
     ScopeOfAccessViolated),
    ("another clock", by_range(CaptureObject(8, LOAD, 2).data(), t(1), t(2)), ScopeOfAccessViolated),
    ("a column not captured", P + t(5) + t(9) + axdr.encode_data(make.array([NOT_CAPTURED.data()])).hex(),
     ScopeOfAccessViolated),
    ("one column of two not captured",
     P + t(5) + t(9) + axdr.encode_data(make.array([CLOCK_COLUMN.data(), NOT_CAPTURED.data()])).hex(),
     ScopeOfAccessViolated),
    ("SA-20 Unix time", P + "0600000001 0600000001" + ALL, TypeUnmatched),
    ("SA-20 one bound", P + t(1) + "0600000001" + ALL, TypeUnmatched),
    ("SA-20 structure of 3", "C001C100070100630100FF0201010203 020412000809060000010000FF0F02120000"
     + t(1) + t(2), TypeUnmatched),
    ("year open", P + "090C FFFF0101FF00000000000000" + END + ALL, OtherReason),
    ("day FE", P + t(1) + "090C 07EA0BFEFF00000000000000" + ALL, OtherReason),
    ("selector 2 with a range", SA_01[:26] + "02" + SA_01[28:], TypeUnmatched),
    ("selector 1 with entries", entry(1, 0, 1, 0)[:26] + "01" + entry(1, 0, 1, 0)[28:], TypeUnmatched),
    ("SA-29", E + "06000000000600000001120001120000", ScopeOfAccessViolated),
    ("from 0 to 0", entry(0, 0, 1, 0), ScopeOfAccessViolated),
    ("SA-31 column from 0", entry(1, 1, 0, 0), ScopeOfAccessViolated),
    ("SA-31 beyond the last", entry(1, 1, 7, 7), ScopeOfAccessViolated),
    ("to a column beyond the last", entry(1, 1, 1, 7), ScopeOfAccessViolated),
    ("SA-31 from after to", entry(1, 1, 3, 2), ScopeOfAccessViolated),
    ("column 7 to the last", entry(1, 1, 7, 0), ScopeOfAccessViolated),
    ("columns 65535", entry(1, 1, 0xFFFF, 0xFFFF), ScopeOfAccessViolated),
    ("bad columns of no rows", entry(21, 0, 7, 7), ScopeOfAccessViolated),
]  # fmt: skip


@pytest.mark.parametrize(("case", "request_", "error"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(case: str, request_: str, error: type[AccessError]) -> None:
    with pytest.raises(error):
        ask(request_)


def test_results_on_the_wire() -> None:
    assert (ScopeOfAccessViolated.result, TypeUnmatched.result, OtherReason.result) == (0x0D, 0x0C, 0xFA)


@pytest.mark.parametrize("request_", [SA_01, entry(1, 0, 1, 0), entry(1, 0, 2, 3), entry(5, 9, 1, 0)])
def test_empty_buffer(request_: str) -> None:
    """SA-21."""
    assert ask(request_, logical_device(load=FakeBuffer([]))) == make.array(())


def test_empty_array_octets() -> None:
    """SA-02, R7: `0100`."""
    device = logical_device(load=FakeBuffer([]))
    assert octets(device, 7, LOAD, 2) == bytes.fromhex("0100")


def test_whole_interval_is_the_plain_read() -> None:
    """SA-01, SA-23."""
    device = logical_device()
    plain = get(device, 7, LOAD, 2)
    assert plain == rows(*range(1, 21))
    assert ask(SA_01, device) == plain
    assert ask(entry(1, 0, 1, 0), device) == plain


def test_entry_and_range_agree() -> None:
    """SA-32."""
    first, second = ask(entry(1, 2, 1, 0)).items()
    bounds = "".join(axdr.encode_data(item.items()[0]).hex() for item in (first, second))
    assert ask(P + bounds + ALL) == make.array((first, second))


def test_billing() -> None:
    """SA-33."""
    device = logical_device()
    whole = get(device, 7, BILLING, 2)
    assert [len(item.items()) for item in whole.items()] == [13, 13, 13]
    assert ask(entry(1, 0, 1, 0).replace("0100630100FF", "0100620100FF"), device) == whole
    assert ask(SA_01.replace("0100630100FF", "0100620100FF"), device) == whole
    third = ask(entry(3, 7, 13, 13).replace("0100630100FF", "0100620100FF"), device)
    assert third == make.array((make.structure(whole.items()[2].items()[12]),))


OPEN = [  # (start, end, rows): t5 and t6 are 01:15:00 and 01:30:00 UTC; half a second after t6 stands a row
    ("07EA0B16FF010FFFFF000000", "07EA0B16FF010FFFFF000000", [5]),  # the whole minute of t5
    ("07EA0B16FF010F00FF000000", "07EA0B16FF011E00FF000000", [5, 6, 7]),  # the whole second of t6
    ("07EA0B16FF010F00FF000000", "07EA0B16FF011E0000000000", [5, 6]),
    ("07EA0B16FF011E0001000000", "07EA0B16FF011EFFFF000000", [7]),
    ("07EA0B16FF010EFFFF000000", "07EA0B16FF010EFFFF000000", []),
]


@pytest.mark.parametrize(("start", "end", "expected"), OPEN)
@pytest.mark.parametrize("form", ["090C", "19"])
def test_open_seconds(start: str, end: str, expected: list[int], form: str) -> None:
    """A start is filled by the begin of what it leaves open, an end by its end; both are inclusive (R1)."""
    buffer = load_buffer(6)
    buffer.rows.append(row(7, FIRST + 5 * PERIOD + timedelta(milliseconds=500)))
    answer = ask(P + form + start + form + end + ALL, logical_device(load=buffer))
    assert [item.items()[1].integer() for item in answer.items()] == expected


def test_repeated_and_backward_times_keep_the_order_of_capture() -> None:
    """TS-16, P5."""
    buffer = load_buffer(4)
    buffer.rows += [row(5, FIRST), row(6, FIRST + PERIOD)]  # the clock was set an hour back
    answer = ask(P + t(1) + t(2) + ALL, logical_device(load=buffer))
    assert [item.items()[1].integer() for item in answer.items()] == [1, 2, 5, 6]


# --- attributes -------------------------------------------------------------------------------------

LOAD_CAPTURE = """
    0106 0204 120008 0906 0000010000FF 0F02 120000  0204 120001 0906 0000616100FF 0F02 120000
         0204 120003 0906 0101011D00FF 0F02 120000  0204 120003 0906 0101031D00FF 0F02 120000
         0204 120003 0906 0101021D00FF 0F02 120000  0204 120003 0906 0101041D00FF 0F02 120000"""

ATTRIBUTES = [  # (attribute, octets, source)
    (1, "0906 0100630100FF", "62056-62 5.6"),
    (3, LOAD_CAPTURE, "CO-20"),
    (4, "06 00000384", "CO-19, 900 s"),
    (5, "1601", "CO-24, fifo"),
    (6, "0204 120000 0906 000000000000 0F00 120000", "CO-24, none"),
    (7, "06 00000014", "CO-23"),
    (8, "06 00000D20", "ion-profile 4: 3360"),
]


@pytest.mark.parametrize(("attribute_id", "expected", "source"), ATTRIBUTES)
def test_attribute(attribute_id: int, expected: str, source: str) -> None:
    assert octets(logical_device(), 7, LOAD, attribute_id) == bytes.fromhex(expected), source


def test_capture_period_without_a_timer() -> None:
    assert octets(logical_device(), 7, BILLING, 4) == bytes.fromhex("0600000000")


def test_capture_objects_vector() -> None:
    """vectors.md 45."""
    two = (CLOCK_COLUMN, CaptureObject(3, ObisCode.parse("1-1:21.25.0*255"), 2))
    device = LogicalDevice([ProfileGeneric(LOAD, two, FakeBuffer([]))])
    expected = "0102020412000809060000010000FF0F02120000020412000309060101151900FF0F02120000"
    assert octets(device, 7, LOAD, 3) == bytes.fromhex(expected)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 255, 256, 300])
def test_entries_in_use_is_the_number_of_rows(count: int) -> None:
    """CO-23, P7; the count of an array takes one, two or three octets."""
    buffer = load_buffer(count)
    device = logical_device(load=buffer)
    assert get(device, 7, LOAD, 7).integer() == count
    assert get(device, 7, LOAD, 2) == rows(*range(1, count + 1))


def test_a_profile_without_a_clock_column_takes_no_range() -> None:
    device = LogicalDevice([ProfileGeneric(LOAD, LOAD_COLUMNS[1:], load_buffer())])
    with pytest.raises(ScopeOfAccessViolated):
        ask(SA_01, device)


# --- one answer is one moment -----------------------------------------------------------------------

SELECTIONS = [
    None,
    Selection(1, RangeDescriptor(CLOCK_COLUMN, make.octet_string(bytes.fromhex("07D00101FF00000000000000")),
                                 make.octet_string(bytes.fromhex("08330C1FFF173B3B00000000")), ()).data()),
    Selection(2, EntryDescriptor(1, 0).data()),
]  # fmt: skip


@pytest.mark.parametrize("selection", SELECTIONS, ids=["plain", "range", "entry"])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_capture_during_a_read(selection: Selection | None, taken: int) -> None:
    """SA-37, BT-16, P6: rows as they were at the request, whether or not a piece was taken already."""
    buffer = load_buffer()
    pieces = iter(profile(buffer).get(2, selection, READER))
    answer = b"".join(next(pieces) for _ in range(taken))
    buffer.rows.append(row(21))
    del buffer.rows[0]
    answer += b"".join(pieces)
    assert axdr.decode(answer) == rows(*range(1, 21))


def test_rows_are_encoded_as_they_are_taken() -> None:
    """A year of rows must not be encoded for one block."""
    pieces = iter(profile(load_buffer(300)).get(2, None, READER))
    assert next(pieces) == bytes.fromhex("0182012C")
    assert len(next(pieces)) < 300


# --- properties -------------------------------------------------------------------------------------


@given(st.integers(0, 12), st.integers(0, 14), st.integers(0, 14), st.integers(0, 8), st.integers(0, 8))
def test_entries_are_a_slice(count: int, first: int, last: int, first_column: int, last_column: int) -> None:
    device = logical_device(load=load_buffer(count))
    highest_column = last_column or 6
    if first == 0 or not 1 <= first_column <= highest_column <= 6:
        with pytest.raises(ScopeOfAccessViolated):
            ask(entry(first, last, first_column, last_column), device)
        return
    table = [list(item.items()) for item in rows(*range(1, count + 1)).items()]
    wanted = table[first - 1 : last or None]
    expected = [cells[first_column - 1 : last_column or None] for cells in wanted]
    answer = ask(entry(first, last, first_column, last_column), device)
    assert [list(item.items()) for item in answer.items()] == expected


HUNDREDTH = timedelta(milliseconds=10)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@st.composite
def bounds(draw: st.DrawFn) -> tuple[Data, int, int]:
    """Return a bound as sent, and the first and the last hundredth (from NOON) that it can mean."""
    at = draw(st.integers(-20_000, 20_000))
    local_zone = draw(st.sampled_from([None, 0, -60, 60, -840, 720]))
    shown = DateTime.of_utc(NOON + at * HUNDREDTH, ZONE if local_zone is None else local_zone)
    sent = bytearray(shown.octets)
    sent[4] = draw(st.sampled_from([sent[4], 1, 0xFF]))
    if local_zone is None:
        sent[9:11] = b"\x80\x00"
    sent[11] = draw(st.sampled_from([0, 0xFF]))
    low = high = at
    left_open = draw(st.sampled_from(["nothing", "hundredths", "seconds"]))
    if left_open != "nothing":
        width = 100 if left_open == "hundredths" else 6000
        low = at // width * width
        high = low + width - 1
        sent[8] = 0xFF
    if left_open == "seconds":
        sent[7] = 0xFF
    return Data(draw(st.sampled_from([Tag.OCTET_STRING, Tag.DATE_TIME])), bytes(sent)), low, high


@given(
    st.lists(st.integers(-15_000, 15_000), max_size=12),
    bounds(),
    bounds(),
    st.lists(st.integers(0, 5), max_size=8),
)
def test_a_range_is_a_filter(
    hundredths: list[int], start: tuple[Data, int, int], end: tuple[Data, int, int], chosen: list[int]
) -> None:
    """Rows at any time and in any order, bounds in any form, columns in any order and number."""
    stored = [row(number, NOON + at * HUNDREDTH) for number, at in enumerate(hundredths, 1)]
    wanted = tuple(LOAD_COLUMNS[index] for index in chosen)
    descriptor = RangeDescriptor(CLOCK_COLUMN, start[0], end[0], wanted)
    device = logical_device(load=FakeBuffer(stored))
    answer = get(device, 7, LOAD, 2, Selection(1, descriptor.data()))
    inside = [item for item, at in zip(stored, hundredths, strict=True) if start[1] <= at <= end[2]]
    indexes = sorted(set(chosen)) if chosen else None
    assert answer == make.array(item.data(indexes) for item in inside)


DEVICE = logical_device()
GOOD_PARAMETERS = st.sampled_from([selection.parameters for selection in SELECTIONS if selection is not None])


@given(st.integers(1, 2), st.one_of(any_data(), GOOD_PARAMETERS.flatmap(nearly)))
def test_any_parameters_are_answered_or_refused(selector: int, parameters: Data) -> None:
    try:
        answer = get(DEVICE, 7, LOAD, 2, Selection(selector, parameters))
    except (TypeUnmatched, ScopeOfAccessViolated, OtherReason):
        return
    assert answer.tag is Tag.ARRAY
    assert len(answer.items()) <= 20
