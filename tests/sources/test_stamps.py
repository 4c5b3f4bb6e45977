"""Time stamps: forms found out, zones, and the hours that come twice or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iondlms.errors import LocalError
from iondlms.sources.stamps import instants, resolve, zone_of

ANGELES = ZoneInfo("America/Los_Angeles")
# Both switches of both hemispheres, and a DST of half an hour
SWITCHES = [
    ("America/Los_Angeles", datetime(2018, 11, 4, 9, tzinfo=UTC)),
    ("America/Los_Angeles", datetime(2019, 3, 10, 10, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2025, 10, 26, 1, tzinfo=UTC)),
    ("Pacific/Auckland", datetime(2026, 4, 4, 14, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
]
QUARTER = 900


def local(instant_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(instant_s, zone).replace(tzinfo=None)


@example(SWITCHES[0], [True] * 28, False, "made")
@example(SWITCHES[0], [True] * 28, True, "made")
@example(SWITCHES[2], [True] * 28, True, "sorted")
@example(SWITCHES[3], [True] * 28, False, "sorted")
@example(SWITCHES[4], [True] * 28, True, "made")
@given(
    st.sampled_from(SWITCHES),
    st.lists(st.booleans(), min_size=28, max_size=28),
    st.booleans(),
    st.sampled_from(["made", "sorted"]),
)
def test_both_orders_with_any_gaps(
    switch: tuple[str, datetime], there: list[bool], newest_first: bool, order: str
) -> None:
    zone = ZoneInfo(switch[0])
    middle = int(switch[1].timestamp())
    grid = [middle + (index - 14) * QUARTER for index in range(28)]
    # The hours around stay whole, so that the direction of the file can be seen.
    true = [each for index, each in enumerate(grid) if there[index] or not 8 <= index < 20]
    rows = sorted(true, key=lambda each: local(each, zone)) if order == "sorted" else list(true)
    if newest_first:
        rows.reverse()
        if order == "sorted":  # pairs newest first too
            rows = sorted(rows, key=lambda each: local(each, zone), reverse=True)
    stamps = [local(each, zone) for each in rows]
    found = [each // 1000 for each in resolve(stamps, zone)]
    assert [local(each, zone) for each in found] == stamps
    assert len(set(found)) == len(found)
    repeated = [each for each in stamps if stamps.count(each) == 2]
    whole = [each for each in grid if local(each, zone) in {local(b, zone) for b in grid if b != each}]
    if all(each in set(true) for each in whole):
        assert sorted(found) == true
        if order == "made":
            assert found == rows
    elif order == "made":
        # Where rows are missing the order may not tell; but it never contradicts time.
        forward = found[::-1] if newest_first else found
        if not repeated:
            assert forward == sorted(found)


def test_rows_in_order_go_back_where_the_second_time_begins() -> None:
    times = [datetime(2018, 11, 4, 1, minute) for minute in (30, 15, 45)]
    found = resolve([datetime(2018, 11, 4, 0, 45), *times, datetime(2018, 11, 4, 2)], ANGELES)
    # 01:30 PDT, then 01:15 and 01:45 PST
    minutes = [(each - found[0]) // 60_000 for each in found]
    assert minutes == [0, 45, 90, 120, 135]


def test_a_lone_stamp_is_of_the_first_time() -> None:
    assert resolve([datetime(2018, 11, 4, 1)], ANGELES) == [1541318400000]  # 08:00 UTC


def test_the_hour_that_is_skipped_does_not_exist() -> None:
    with pytest.raises(LocalError, match=r"row 1: .*does not exist in America/Los_Angeles"):
        resolve([datetime(2019, 3, 10, 1, 45), datetime(2019, 3, 10, 2, 15)], ANGELES)


def test_three_times_the_same_is_too_often() -> None:
    with pytest.raises(LocalError, match="more than twice"):
        resolve([datetime(2018, 11, 4, 1)] * 3, ANGELES)


NOON = 1_561_982_400_000  # 2019-07-01 12:00 UTC
FORMS = [
    ("2019-07-01 12:00", NOON),
    ("2019-07-01T12:00:00.000", NOON),
    ("2019-07-01T12:00Z", NOON),
    ("2019-07-01T14:00+02:00", NOON),
    ("1561982400", NOON),
    ("1561982400000", NOON),
    ("1.7.2019 12:00", NOON),
    ("2019/07/01 12:00:00", NOON),
]


@pytest.mark.parametrize(("text", "utc_ms"), FORMS)
def test_forms(text: str, utc_ms: int) -> None:
    assert instants([text], ZoneInfo("UTC")) == [utc_ms]


def test_slashes_are_told_apart_by_days_above_twelve() -> None:
    utc = ZoneInfo("UTC")
    american = instants(["7/1/2019 12:00", "7/13/2019 12:00"], utc)
    assert american == [NOON, NOON + 12 * 86_400_000]
    assert instants(["1/7/2019 12:00", "13/7/2019 12:00"], utc) == american
    with pytest.raises(LocalError, match="may be month/day or day/month"):
        instants(["7/1/2019 12:00"], utc)
    assert instants(["7/1/2019 12:00"], utc, "%m/%d/%Y %H:%M") == [NOON]


@pytest.mark.parametrize(
    "texts", [["yesterday"], ["2019-07-01 12:00", ""], ["2019-07-01 12:00", "2019-07-01T12:00Z"]]
)
def test_what_is_no_time(texts: list[str]) -> None:
    with pytest.raises(LocalError, match="row"):
        instants(texts, ZoneInfo("UTC"))


def test_no_such_zone() -> None:
    with pytest.raises(LocalError, match="Middle/Earth"):
        zone_of("Middle/Earth")
