"""A profile by column: the same as its typed rows, from one buffer or many, with NumPy or without."""

from __future__ import annotations

import builtins
import copy
import pickle
from array import array
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.joined import Lines, make_meter
from tests.client.test_client import NEWEST, PARTS, QUARTER, run
from tests.client.test_profile import CLOCK, ENERGY, FACTOR, FOREIGN, START, STATUS, buffer, shape, stamp

from iondlms.client import instants as instants_module
from iondlms.client.columns import ProfileColumns
from iondlms.client.instants import TimeRules
from iondlms.client.profile import STATUS_INVALID, Profile, Shape, StatusWord, column_of, typed_profile
from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data
from iondlms.codec.columns import decode_table
from iondlms.codec.datetimes import DateTime, milliseconds_of
from iondlms.codec.instants import UNKNOWN
from iondlms.errors import LocalError, RemoteError
from iondlms.xdlms import Conformance

WHOLE = shape(CLOCK, STATUS, ENERGY, FACTOR, FOREIGN)


def columns(octets: bytes, form: Shape = WHOLE) -> ProfileColumns:
    return ProfileColumns([decode_table(octets)], form, (), octets)


def agrees(found: ProfileColumns, profile: Profile) -> None:
    """Hold columns to typed rows, cell by cell."""
    assert len(found) == len(profile)
    assert found.columns == profile.columns
    assert found.notes == profile.notes
    assert found.raw == profile.raw
    assert found.capture_period == profile.capture_period
    instants = [UNKNOWN if row.instant is None else milliseconds_of(row.instant) for row in profile]
    assert found.instants.tolist() == instants
    assert (found.status is None) is not profile.has_status
    if found.status is not None:
        words = [
            StatusWord(word) if isinstance(word, int) and word != STATUS_INVALID else None
            for word in found.status
        ]
        assert words == [row.status for row in profile]
    for at in range(len(found.columns)):
        assert len(found.values[at]) == len(profile)
        assert found.decimals(at) == [row.values[at] for row in profile]
    arrays = found.numpy()
    assert arrays["time"].dtype == "datetime64[ms]"
    assert arrays["time"].astype("int64").tolist() == instants
    assert all(len(arrayed) == len(profile) for arrayed in arrays.values())
    assert found.profile() == profile


def test_arrays_of_a_load_profile() -> None:
    rows = [(stamp(n), make.long_unsigned(n), make.double_long(-n)) for n in range(100)]
    octets = buffer(*rows)
    found = columns(octets, shape(CLOCK, STATUS, ENERGY))
    agrees(found, typed_profile(octets, shape(CLOCK, STATUS, ENERGY)))
    assert found.instants[1] == milliseconds_of(START + timedelta(minutes=15))
    assert found.status == array("H", range(100))
    assert found.values == (array("i", range(0, -100, -1)),)
    arrays = found.numpy()
    assert list(arrays) == ["time", "status", "kWh-del-int"]
    assert [arrays[name].dtype.str[1:] for name in ("status", "kWh-del-int")] == ["u2", "i4"]


def test_what_a_caller_does_with_his_instants_changes_no_others() -> None:
    octets = buffer(*((stamp(n), make.double_long(n)) for n in range(3)))
    first, other = (columns(octets, shape(CLOCK, ENERGY)) for _ in range(2))
    first.instants[0] = 0
    assert other.instants[0] == milliseconds_of(START)
    assert columns(octets, shape(CLOCK, ENERGY)).instants == other.instants


def test_the_instants_of_a_day_are_worked_out_once() -> None:
    octets = buffer(*((stamp(n), make.double_long(n)) for n in range(96)))
    before = instants_module._milliseconds_of_a_day.cache_info().hits
    for _ in range(3):
        assert columns(octets, shape(CLOCK, ENERGY)).instants[0] == milliseconds_of(START)
    assert instants_module._milliseconds_of_a_day.cache_info().hits >= before + 2


def test_scaled_integers_are_as_sent_and_exact_as_decimals() -> None:
    found = columns(buffer((stamp(0), make.double_long(938))), shape(CLOCK, FACTOR))
    assert found.values == (array("i", [938]),)
    assert found.columns[0].scaler == -3
    assert [str(value) for value in found.decimals(0)] == ["0.938"]


cells = st.one_of(
    st.integers(-(1 << 31), (1 << 31) - 1).map(make.double_long),
    st.integers(-(1 << 63), (1 << 63) - 1).map(make.long64),
    st.just(NULL),
    st.text(max_size=3, alphabet="abc").map(make.visible_string),
)
clocks = st.one_of(
    st.integers(0, 400).map(stamp),
    st.just(NULL),
    st.just(make.octet_string(bytes.fromhex("07EA0701FF0C0000FF8000FF"))),  # no deviation
    st.just(make.octet_string(b"\xff" * 12)),
    st.just(make.octet_string(b"")),
)


@given(
    st.lists(
        st.tuples(clocks, st.sampled_from((0, 64, 0xFFFF)).map(make.long_unsigned), cells, cells), max_size=6
    ),
    st.sampled_from(("keep", "repeat")),
    st.sampled_from((None, ZoneInfo("Europe/Prague"))),
    st.booleans(),
    st.sampled_from((0, 900)),
)
def test_columns_of_any_rows_are_those_of_the_typed_rows(
    rows: list[tuple[Data, ...]], nulls: Any, zone: ZoneInfo | None, inverted: bool, period: int
) -> None:
    captured = (CLOCK, STATUS, ENERGY, FOREIGN)
    described = (column_of(ENERGY, "Wh", 0), column_of(FOREIGN))
    form = Shape(captured, described, period, TimeRules(inverted, zone), nulls)
    octets = buffer(*rows)
    agrees(columns(octets, form), typed_profile(octets, form))


def test_null_data_is_nan_for_numpy() -> None:
    octets = buffer(*((stamp(n), make.double_long(5) if n else NULL) for n in range(3)))
    found = columns(octets, shape(CLOCK, ENERGY))
    assert found.values == ([None, 5, 5],)
    arrayed = found.numpy()["kWh-del-int"]
    assert str(arrayed.tolist()) == "[nan, 5.0, 5.0]"


def test_integers_that_float64_would_round_stay_integers() -> None:
    octets = buffer((stamp(0), make.long64((1 << 62) + 1)), (stamp(1), NULL))
    arrayed = columns(octets, shape(CLOCK, ENERGY)).numpy()["kWh-del-int"]
    assert arrayed.tolist() == [(1 << 62) + 1, None]


def test_several_buffers_are_one_after_the_other() -> None:
    form = shape(CLOCK, STATUS, ENERGY)
    rows = [(stamp(n), make.long_unsigned(0), make.double_long(n)) for n in range(6)]
    whole = buffer(*rows)
    tables = [decode_table(buffer(*part)) for part in (rows[:2], [], rows[2:5], rows[5:])]
    found = ProfileColumns(tables, form, (), whole)
    agrees(found, typed_profile(whole, form))
    assert isinstance(found.values[0], array)
    odd = ProfileColumns([tables[0], decode_table(buffer((NULL, NULL, NULL)))], form)
    assert odd.values[0] == [0, 1, None]
    assert odd.instants[2] == milliseconds_of(START + 2 * QUARTER)


def test_no_rows() -> None:
    found = columns(buffer())
    assert len(found) == 0
    assert found.instants.tolist() == []
    assert [len(values) for values in found.values] == [0, 0, 0]
    assert {len(arrayed) for arrayed in found.numpy().values()} == {0}
    assert found.profile().rows == []


def test_without_a_clock_no_instant_is_known() -> None:
    found = columns(buffer((make.double_long(1),)), shape(ENERGY))
    assert found.instants.tolist() == [UNKNOWN]
    assert str(found.numpy()["time"][0]) == "NaT"
    assert found.notes == ()
    assert found.status is None


def test_two_clocks_make_one_time_and_a_value() -> None:
    described = (column_of(CLOCK), column_of(ENERGY, "Wh", 0))
    form = Shape((CLOCK, CLOCK, ENERGY), described, 900, TimeRules(), "keep")
    octets = buffer((stamp(0), stamp(1), make.double_long(5)))
    profile = typed_profile(octets, form)
    assert profile.rows[0].values == (stamp(1).octets(), Decimal(5))
    assert columns(octets, form).decimals(1) == [5]


@pytest.mark.parametrize("width", [1, 3])
def test_rows_of_another_width_are_an_error(width: int) -> None:
    row = (stamp(0), make.double_long(1), make.double_long(2))[:width]
    with pytest.raises(RemoteError, match=f"{width} cells for 2"):
        columns(buffer(row), shape(CLOCK, ENERGY))


def test_a_range_of_the_rows() -> None:
    rows = [(stamp(n) if n != 3 else NULL, make.double_long(n)) for n in range(6)]
    found = columns(buffer(*rows), shape(CLOCK, ENERGY))
    some = found.between(START + QUARTER, START + 3 * QUARTER)
    assert list(some.values[0]) == [1, 2, 3]
    assert some.instants.tolist() == [milliseconds_of(START + n * QUARTER) for n in (1, 2, 3)]
    alone = found.between(START + 3 * QUARTER, START + 3 * QUARTER)
    assert alone.instants.tolist() == [milliseconds_of(START + 3 * QUARTER)]
    assert alone.numpy()["time"].astype("int64").tolist() == alone.instants.tolist()
    assert len(found.between(None, None)) == 6
    just_after = START + timedelta(microseconds=1)
    assert len(found.between(just_after, None)) == 5
    assert len(found.between(None, just_after)) == 1


def test_without_numpy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "iondlms.codec" and arguments[2] and "numpy_columns" in arguments[2]:
            raise ImportError("No module named 'numpy'")
        return whole(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LocalError, match=r"iondlms\[fast\]"):
        columns(buffer()).numpy()


# --- from a meter --------------------------------------------------------------------------------------

URL = "tcp://meter"


def test_columns_of_a_meter_are_its_rows() -> None:
    found: ProfileColumns = run(URL, "profile_columns", "load")
    assert isinstance(found, ProfileColumns)
    with Lines(make_meter()).client(URL) as client:
        agrees(found, client.profile("load"))
    billing: ProfileColumns = run(URL, "profile_columns", "billing", columns=["kWh-del", "PF-sign-mean"])
    assert [column.title for column in billing.columns] == ["kWh-del", "PF-sign-mean"]
    assert [values.typecode for values in billing.values if isinstance(values, array)] == ["q", "i"]
    assert billing.status is None


@pytest.mark.parametrize("selective", [True, False])
@pytest.mark.parametrize(("part", "rows"), PARTS)
def test_part_of_a_meters_columns(
    part: dict[str, Any], rows: slice, selective: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = part.get("start")
    if not selective:
        if isinstance(start, DateTime) or (start is not None and start.tzinfo is None):
            pytest.skip("such a range cannot be selected here; see test_client.py")
        reading = Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
        monkeypatch.setattr("iondlms.client.association._READING", reading)
    with Lines(make_meter()).client(URL) as client:
        whole = client.profile_columns("load")
        some = client.profile_columns("load", **part)
        assert some.instants == whole.instants[rows]
        for values, of_all in zip(some.values, whole.values, strict=True):
            assert list(values) == list(of_all[rows])


def test_columns_are_equal_by_what_they_hold() -> None:
    octets, form = buffer((stamp(0), make.double_long(1))), shape(CLOCK, ENERGY)
    assert columns(octets, form) == columns(octets, form)
    assert columns(octets, form) != columns(buffer((stamp(0), make.double_long(2))), form)
    assert columns(octets, form) != 5


def test_newest_of_a_meter() -> None:
    found: ProfileColumns = run(URL, "profile_columns", "load", last=1)
    assert datetime.fromtimestamp(found.instants[0] / 1000, UTC) == NEWEST


@pytest.mark.parametrize("range_", [{}, {"last": 3}, {"columns": ["kWh-del-int", "kWh-rec-int"]}])
def test_pickled_and_copied_they_are_the_same(range_: dict[str, Any]) -> None:
    with Lines(make_meter()).client("hdlc://m") as client:
        found = client.profile_columns("load", **range_)
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert again == found
        agrees(again, found.profile())
        assert again.between(None, NEWEST) == found.between(None, NEWEST)


def test_they_show_rows_and_columns() -> None:
    with Lines(make_meter()).client("hdlc://m") as client:
        found = client.profile_columns("load", last=3, columns=["kWh-del-int", "kWh-rec-int"])
    assert repr(found) == "<ProfileColumns: 3 rows of time, kWh-del-int, kWh-rec-int>"
