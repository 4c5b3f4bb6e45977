"""Encoded buffers to typed rows."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import tracemalloc
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, localcontext
from typing import Any, Literal
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iondlms.client import TransferBroken
from iondlms.client import instants as instants_module
from iondlms.client import profile as of_profiles
from iondlms.client.instants import TimeRules, times_of
from iondlms.client.names import NAMES
from iondlms.client.profile import Profile, ProfileRow, Shape, StatusWord, column_of, typed_profile
from iondlms.client.scales import decimals
from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data, Tag, encode_data
from iondlms.codec.datetimes import DateTime
from iondlms.codec.obis import ObisCode
from iondlms.codec.octets import Octets
from iondlms.cosem import CaptureObject
from iondlms.errors import DecodeError, RemoteError

CLOCK = CaptureObject(8, NAMES["clock"].logical_name, 2)
STATUS = CaptureObject(1, NAMES["status"].logical_name, 2)
ENERGY = CaptureObject(3, NAMES["kWh-del-int"].logical_name, 2)
FACTOR = CaptureObject(3, NAMES["PF-sign-mean"].logical_name, 2)
FOREIGN = CaptureObject(1, ObisCode.parse("1-0:0.0.1*255"), 2)
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def shape(
    *captured: CaptureObject, nulls: Literal["keep", "repeat"] = "keep", period: int = 900, scaler: int = -3
) -> Shape:
    scalers = {ENERGY: ("Wh", 0), FACTOR: ("", scaler), FOREIGN: ("", None)}
    columns = tuple(column_of(item, *scalers[item]) for item in captured if item in scalers)
    return Shape(captured, columns, period, TimeRules(), nulls)


def stamp(n: int) -> Data:
    return make.octet_string(DateTime.of_utc(START + timedelta(minutes=15 * n), -60).octets)


def buffer(*rows: tuple[Data, ...]) -> bytes:
    return encode_data(make.array(make.structure(*row) for row in rows))


WHOLE = shape(CLOCK, STATUS, ENERGY, FACTOR, FOREIGN)


def test_typed_row() -> None:
    octets = buffer(
        (stamp(0), make.long_unsigned(0xC0), make.double_long(-5), make.double_long(938), make.unsigned(7)),
        (stamp(1), make.long_unsigned(0xFFFF), NULL, make.double_long(-1000), make.visible_string("x")),
    )
    profile = typed_profile(octets, WHOLE)
    up_and_down = StatusWord.POWER_UP | StatusWord.POWER_DOWN
    first, second = profile.rows
    assert first == ProfileRow(START, stamp(0).octets(), up_and_down, (Decimal(-5), Decimal("0.938"), 7))
    assert str(first.values[1]) == "0.938"
    assert str(second.values[1]) == "-1.000"
    assert second.instant == START + timedelta(minutes=15)
    assert second.status is None, "0xFFFF is not valid, and not all bits"
    assert second.values == (None, Decimal(-1), "x")
    assert first.local is not None
    assert first.local.deviation == -60
    assert (profile.raw, profile.capture_period, profile.notes) == (octets, 900, ())
    assert list(profile) == profile.rows
    assert len(profile) == 2


def test_dicts_and_columns() -> None:
    octets = buffer(*((stamp(n), make.long_unsigned(0), make.double_long(n)) for n in range(3)))
    profile = typed_profile(octets, shape(CLOCK, STATUS, ENERGY))
    assert profile.dicts()[1] == {
        "time": START + timedelta(minutes=15),
        "local": DateTime(stamp(1).octets()),
        "status": StatusWord(0),
        "kWh-del-int": Decimal(1),
    }
    columns = profile.columns_dict()
    assert columns["kWh-del-int"] == [0, 1, 2]
    assert columns["time"] == [row.instant for row in profile]
    assert columns["status"] == [0, 0, 0]
    empty = typed_profile(buffer(), shape(CLOCK, STATUS, ENERGY))
    assert empty.columns_dict() == {"time": [], "status": [], "kWh-del-int": []}
    assert empty.dicts() == []


def test_titles() -> None:
    assert column_of(ENERGY).title == "kWh-del-int"
    assert column_of(FOREIGN).title == "1-0:0.0.1*255"
    assert column_of(CaptureObject(3, ENERGY.logical_name, 3)).title == "kWh-del-int:3"


def test_rows_without_clock_or_values() -> None:
    assert typed_profile(buffer((make.double_long(1),)), shape(ENERGY)).rows == [
        ProfileRow(None, None, None, (Decimal(1),))
    ]
    only_clock = typed_profile(buffer((stamp(0),)), shape(CLOCK))
    assert only_clock.rows == [ProfileRow(START, stamp(0).octets(), None, ())]
    assert only_clock.columns_dict() == {"time": [START], "status": [None]}


def test_null_data_is_never_shifted_and_repeats_only_on_demand() -> None:
    octets = buffer(
        (stamp(0), make.long_unsigned(32), make.double_long(5)),
        (NULL, NULL, NULL),
        (NULL, NULL, make.double_long(6)),
    )
    kept = typed_profile(octets, shape(CLOCK, STATUS, ENERGY)).rows
    assert [row.values for row in kept] == [(5,), (None,), (6,)]
    assert [row.status for row in kept] == [32, None, None]
    assert [row.instant for row in kept] == [START + timedelta(minutes=15 * n) for n in range(3)]
    assert [row.clock for row in kept] == [stamp(0).octets(), None, None]
    assert kept[1].local is None
    repeated = typed_profile(octets, shape(CLOCK, STATUS, ENERGY, nulls="repeat")).rows
    assert [row.values for row in repeated] == [(5,), (5,), (6,)]
    assert [row.status for row in repeated] == [32, 32, 32]


def test_no_period_infers_nothing() -> None:
    octets = buffer((stamp(0), make.double_long(5)), (NULL, make.double_long(6)))
    profile = typed_profile(octets, shape(CLOCK, ENERGY, period=0))
    assert [row.instant for row in profile] == [START, None]
    assert "1 rows have a time that makes no instant" in profile.notes[0]


def test_rows_of_a_clock_that_was_set_back_are_kept_and_noted() -> None:
    octets = buffer(*((stamp(n), make.double_long(n)) for n in (3, 4, 2, 2, 3)))
    profile = typed_profile(octets, shape(CLOCK, ENERGY))
    assert [row.values[0] for row in profile] == [3, 4, 2, 2, 3]
    assert "2 rows are not later" in profile.notes[0]


@pytest.mark.parametrize("cells", [1, 3])
def test_rows_of_another_width_are_an_error(cells: int) -> None:
    with pytest.raises(RemoteError, match=f"{cells} cells for 2"):
        typed_profile(
            buffer((stamp(0), make.double_long(1), make.double_long(2))[:cells]), shape(CLOCK, ENERGY)
        )
    with pytest.raises(RemoteError, match="differ in width"):
        typed_profile(buffer((stamp(0), NULL), (NULL,)), shape(CLOCK, ENERGY))


def test_the_garbage_collector_is_back_after_rows_and_after_errors() -> None:
    typed_profile(buffer((stamp(0), NULL)), shape(CLOCK, ENERGY))
    assert gc.isenabled()
    with pytest.raises(RemoteError):
        typed_profile(buffer((NULL,)), shape(CLOCK, ENERGY))
    assert gc.isenabled()
    gc.disable()
    try:
        list(typed_profile(buffer((stamp(0), NULL)), shape(CLOCK, ENERGY)))
        assert not gc.isenabled(), "whoever switched it off had a reason"
    finally:
        gc.enable()


def test_the_garbage_collector_looks_at_rows_some_at_a_time_unless_it_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_profiles, "_AT_ONCE", 1000)
    octets = buffer(*((stamp(n), make.double_long(n)) for n in range(5000)))
    list(typed_profile(octets, shape(CLOCK, ENERGY)))  # what is remembered of days is remembered
    runs: list[str] = []

    def noted(phase: str, _info: dict[str, int]) -> None:
        runs.append(phase)

    gc.callbacks.append(noted)
    try:
        list(typed_profile(octets, shape(CLOCK, ENERGY)))
        assert runs.count("start") >= 4, "between the parts"
        runs.clear()
        gc.disable()
        list(typed_profile(octets, shape(CLOCK, ENERGY)))
        assert not runs
    finally:
        gc.enable()
        gc.callbacks.remove(noted)


def test_rows_made_some_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(stamp(n), make.long_unsigned(n), make.double_long(n // 3), NULL, stamp(-n)) for n in range(50)]
    whole = list(typed_profile(buffer(*rows), WHOLE))
    plain = shape(FACTOR, FOREIGN)
    without = list(typed_profile(buffer(*(row[2:4] for row in rows)), plain))
    for some in (1, 7, 49, 50):
        monkeypatch.setattr(of_profiles, "_AT_ONCE", some)
        assert typed_profile(buffer(*rows), WHOLE).rows == whole
        assert list(typed_profile(buffer(*(row[2:4] for row in rows)), plain)) == without
    assert [row.values[0] for row in whole] == [Decimal(n // 3) for n in range(50)]


@given(
    st.lists(
        st.sampled_from([0, -1, 7, 7, 7, (1 << 14) - 1, 1 << 14, (1 << 63) - 1, -(1 << 63)])
        | st.integers(0, 1 << 15),
        min_size=1,
        max_size=80,
    ),
    st.integers(1, 40),
    st.sampled_from([-3, 0, 2]),
)
def test_equal_values_are_the_decimals_of_each(few: list[int], times: int, scaler: int) -> None:
    values = [value for value in few for _ in range(times)]
    rows = typed_profile(buffer(*((make.long64(value),) for value in values)), shape(FACTOR, scaler=scaler))
    with localcontext() as context:
        context.prec = 60
        assert [str(row.values[0]) for row in rows] == [
            str(Decimal(value).scaleb(scaler)) for value in values
        ]


@pytest.mark.parametrize("scaler", [-3, 0, 2])
def test_small_integers_share_their_decimals_and_others_are_not_kept(scaler: int) -> None:
    # The sample, each 17th, is small.
    cells = [at if at % 17 == 0 or at % 2 == 0 else -7 if at == 5 else (1 << 14) + at for at in range(256)]
    first, again = decimals(cells, scaler), decimals(cells, scaler)
    assert [str(cell) for cell in first] == [str(Decimal(cell).scaleb(scaler)) for cell in cells]
    shared = [at % 17 == 0 or at % 2 == 0 for at in range(256)]
    assert [one is other for one, other in zip(first, again, strict=True)] == shared


def test_a_day_of_small_integers_is_made_and_not_looked_up() -> None:
    first, again = decimals(tuple(range(96)), 0), decimals(tuple(range(96)), 0)
    assert first == again == [Decimal(cell) for cell in range(96)]
    assert not any(one is other for one, other in zip(first, again, strict=True))


def test_scalers_of_one_profile_keep_their_decimals() -> None:
    cells = (5, 7, 6) * 100
    first, again = ([decimals(cells, scaler) for scaler in range(-8, 4)] for _ in range(2))
    assert all(
        one is other
        for kept, new in zip(first, again, strict=True)
        for one, other in zip(kept, new, strict=True)
    )


def test_a_column_that_is_small_at_its_ends_alone_is_not_looked_up() -> None:
    sun = [0] * 3 + [1 << 20] * 290 + [0] * 3
    first, again = decimals(sun, 0), decimals(sun, 0)
    assert first == again
    assert first[0] is not again[0]


def test_integers_of_one_buffer_are_taken_as_they_are_needed() -> None:
    octets = buffer(*((stamp(n), make.double_long(n)) for n in range(5)))
    rows = typed_profile(octets, shape(CLOCK, ENERGY)).rows
    assert isinstance(rows, of_profiles.ProfileRows)
    assert [row.values for row in rows] == [(Decimal(n),) for n in range(5)]
    assert not rows._columns, "no whole column was made"


def test_an_empty_column_has_no_decimals() -> None:
    empty: tuple[Sequence[Any], ...] = ([], (), array("i"), array("d"))
    assert [list(decimals(cells, -3)) for cells in empty] == [[], [], [], []]


def test_a_column_that_stands_still_is_one_decimal() -> None:
    rows = typed_profile(buffer(*((make.double_long(5),) for _ in range(40))), shape(FACTOR)).rows
    assert len({id(row.values[0]) for row in rows}) == 1


@given(st.integers(0, 12), st.sampled_from((1, 3, 4, 512)), st.data())
def test_rows_are_a_sequence_however_they_are_made(count: int, at_once: int, data: st.DataObject) -> None:
    with mock.patch.object(of_profiles, "_AT_ONCE", at_once):
        octets = buffer(*((stamp(n), make.double_long(n)) for n in range(count)))
        rows = typed_profile(octets, shape(CLOCK, ENERGY)).rows
        expected = [
            ProfileRow(START + n * QUARTER, stamp(n).octets(), None, (Decimal(n),)) for n in range(count)
        ]
        assert len(rows) == count
        for _ in range(3):
            place = data.draw(st.integers(-14, 14))
            if -count <= place < count:
                assert rows[place] == expected[place]
            else:
                with pytest.raises(IndexError):
                    rows[place]
            ends = st.one_of(st.none(), st.integers(-14, 14))
            part = slice(data.draw(ends), data.draw(ends), data.draw(st.sampled_from((None, 1, 2, -1))))
            assert rows[part] == expected[part]
        assert list(reversed(rows)) == expected[::-1]
        assert rows == expected
        assert expected == rows
        assert rows != [*expected, None]
        assert not count or rows != [*expected[1:], expected[0]._replace(status=StatusWord.POWER_UP)]
        pairs = [(left, right) for left in rows for right in rows]  # two looks at once
        assert pairs == [(left, right) for left in expected for right in expected]


MANY = 11_680  # a third of a year


def many_rows() -> Sequence[ProfileRow]:
    # Of small integers the decimals are kept, whoever holds the rows.
    octets = buffer(*((stamp(n), make.double_long(n + (1 << 20))) for n in range(MANY)))
    return typed_profile(octets, shape(CLOCK, ENERGY)).rows


def from_both_ends(rows: Sequence[ProfileRow]) -> Iterator[ProfileRow]:
    for place in range(len(rows) // 2):
        yield rows[place]
        yield rows[-1 - place]


# How rows may be looked at, how often each row may be made for that, and how many of them may be there at
# once: a pass holds 512, and looks hold twice as many.
WAYS: dict[str, tuple[Callable[[Sequence[ProfileRow]], Iterator[ProfileRow]], int, int]] = {
    "through": (iter, 1, 1),
    "backwards": (reversed, 1, 1),
    "one by one": (lambda rows: (rows[place] for place in range(len(rows))), 1, 2),
    "from both ends": (from_both_ends, 1, 2),
    "beside the row of a day before": (
        lambda rows: (row for place in range(len(rows)) for row in (rows[place], rows[max(0, place - 96)])),
        1,
        2,
    ),
    "two passes at once": (
        lambda rows: (row for both in zip(rows, reversed(rows), strict=True) for row in both),
        2,
        2,
    ),
    "a pass beside the last row": (lambda rows: (row for each in rows for row in (each, rows[-1])), 2, 2),
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_that_are_looked_at_are_made_once_and_not_kept(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, times, chunks = WAYS[way]
    rows = many_rows()
    made: list[int] = []
    make_some = of_profiles.ProfileRows._make

    def counted(self: of_profiles.ProfileRows, first: int) -> list[ProfileRow]:
        found = make_some(self, first)
        made.append(len(found))
        return found

    monkeypatch.setattr(of_profiles.ProfileRows, "_make", counted)
    tracemalloc.start()
    try:
        instants = sum(1 for row in look(rows) if row.instant is not None)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert instants in (MANY, 2 * MANY)
    assert sum(made) <= times * MANY + 512
    assert most < 100_000 + 160_000 * chunks, "octets: the columns, and those rows"


def test_a_profile_is_copied_and_pickled_with_its_rows() -> None:
    octets = buffer(*((stamp(n), make.double_long(n)) for n in range(5)))
    profile = typed_profile(octets, shape(CLOCK, ENERGY))
    for copied in (copy.deepcopy(profile), pickle.loads(pickle.dumps(profile)), copy.copy(profile)):
        assert copied == profile
    assert asdict(profile)["rows"] == list(profile)
    broken = TransferBroken(octets, "the line broke")
    broken.profile = profile
    again = pickle.loads(pickle.dumps(broken.profile))
    assert again.rows == profile.rows


class Zone(tzinfo):
    """A zone as dateutil has them: equal to others, and so without a hash."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Zone)

    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=2)

    def dst(self, when: datetime | None) -> None:
        return None

    def tzname(self, when: datetime | None) -> None:
        return None


def test_a_zone_without_a_hash_is_as_good_as_any() -> None:
    local = make.octet_string(DateTime.of_local(datetime(2026, 7, 1, 12), None, None).octets)
    form = shape(CLOCK, ENERGY)
    times = TimeRules(zone=Zone())
    for _ in range(2):
        rows = typed_profile(buffer((local, make.double_long(1))), replace(form, times=times)).rows
        assert rows[0].instant == datetime(2026, 7, 1, 10, tzinfo=UTC)


def test_a_long_column_of_times_is_not_remembered() -> None:
    kept = instants_module._of_a_day.cache_info().currsize
    days = [DateTime.of_utc(START + n * QUARTER).octets for n in range(193)]
    times_of(Octets(b"".join(days), 12), TimeRules(), 900)
    assert instants_module._of_a_day.cache_info().currsize == kept


def test_threads_leave_the_garbage_collector_as_it_was() -> None:
    octets = buffer(*((stamp(n), make.double_long(n)) for n in range(600)))

    def read() -> None:
        for _ in range(40):
            list(typed_profile(octets, shape(CLOCK, ENERGY)))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert gc.isenabled()
    finally:
        sys.setswitchinterval(before)
        gc.enable()


def test_no_array_is_an_error() -> None:
    with pytest.raises(DecodeError):
        typed_profile(b"\x11\x05", WHOLE)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1), st.integers(-20, 20))
def test_scaling_is_exact_whatever_the_context(values: list[int], scaler: int) -> None:
    octets = buffer(*((make.long64(value),) for value in values))
    with localcontext() as context:
        context.prec = 3
        rows = list(typed_profile(octets, shape(FACTOR, scaler=scaler)))
    with localcontext() as context:
        context.prec = 60
        for row, value in zip(rows, values, strict=True):
            assert row.values == (Decimal(value).scaleb(scaler),)
            assert str(row.values[0]) == str(Decimal(value).scaleb(scaler))


def test_what_is_no_integer_is_no_number_and_no_status() -> None:
    float32 = Data(Tag.FLOAT32, 192.0)
    for odd in (float32, make.boolean(True), make.structure(NULL)):
        for others in ([], [make.unsigned(192), make.unsigned(1)], [NULL]):  # by the way of other columns too
            octets = buffer(*((each,) for each in (*others, odd, odd)))
            assert typed_profile(octets, shape(STATUS)).rows[-1].status is None
    true = make.boolean(True)
    for rows in ([(true,)], [(true,), (make.double_long(5),)]):
        (value,) = typed_profile(buffer(*rows), shape(FACTOR)).rows[0].values
        assert value is True


def test_numbers_that_no_status_word_holds_are_none_and_none_is_kept() -> None:
    kept = len(StatusWord._value2member_map_)
    words = [-1, 0x10000, 1 << 40, 0xFFFF]
    rows = typed_profile(buffer(*((make.long64(word),) for word in words)), shape(STATUS)).rows
    assert [row.status for row in rows] == [None] * 4
    assert len(StatusWord._value2member_map_) == kept
    (row,) = typed_profile(buffer((make.long64(0xFFFE),)), shape(STATUS)).rows
    assert row.status == 0xFFFE


cell = st.one_of(
    st.just(NULL), st.integers(-9, 9).map(make.double_long), st.binary(max_size=13).map(make.octet_string)
)


@given(st.lists(st.tuples(cell, cell, cell), max_size=5))
def test_any_cells_keep_their_places(rows: list[tuple[Data, ...]]) -> None:
    profile = typed_profile(buffer(*rows), shape(CLOCK, STATUS, ENERGY))
    assert len(profile) == len(rows)
    for (clock, status, energy), row in zip(rows, profile, strict=True):
        assert row.values == (energy.value,)
        assert row.clock == (
            clock.value if isinstance(clock.value, bytes) and len(clock.value) == 12 else None
        )
        assert row.status == (status.value & 0xFFFF if isinstance(status.value, int) else None) or (
            isinstance(status.value, int) and status.value < 0
        )


@given(st.data())
def test_a_broken_buffer_gives_the_rows_that_are_whole(data: Any) -> None:
    octets = buffer(*((stamp(n), make.long_unsigned(0), make.double_long(n)) for n in range(5)))
    whole = typed_profile(octets, shape(CLOCK, STATUS, ENERGY)).rows
    cut = data.draw(st.integers(0, len(octets)))
    part = typed_profile(octets[:cut], shape(CLOCK, STATUS, ENERGY), partial=True)
    assert isinstance(part, Profile)
    assert part.rows == whole[: len(part)]
    assert len(part) == max(0, cut - 2) // 24
