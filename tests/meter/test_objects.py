"""How ION's instants and integers are shown, and what a received date-time means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.meter.bench import BILLING, CLOCK, LOAD_PROFILE, Bench, decoded
from tests.meter.octets import between, by_range

from iondlms.codec.axdr import Tag
from iondlms.codec.datetimes import DateTime
from iondlms.errors import OtherReason
from iondlms.ion.clock import ClockSetup, setup_from_zone
from iondlms.ion.framework import default_framework
from iondlms.ion.meter import IonMeter
from iondlms.ion.source import Flow
from iondlms.meter.objects import ClockView, Presentation

MADRID_AUTUMN = datetime(2026, 10, 25, 1, tzinfo=UTC)  # 03:00 summer time becomes 02:00


def milliseconds(when: datetime) -> int:
    return int(when.timestamp()) * 1000


def view(zone: str = "UTC", at: datetime = MADRID_AUTUMN, **changes: Any) -> tuple[ClockView, IonMeter]:
    setup = ClockSetup() if zone == "UTC" else setup_from_zone(zone, 2020)
    presentation = {name: changes.pop(name) for name in ("deviation",) if name in changes}
    for name, value in changes.items():
        object.__setattr__(setup, name, value)
    ion = IonMeter(default_framework(clock=setup), Steady())
    ion.start(milliseconds(at), 0.0)
    return ClockView(ion, Presentation(**presentation)), ion


class Steady:
    """100 kW, and, when asked to, more energy than a register holds."""

    def __init__(self, active_w: int = 100_000) -> None:
        self.active_w = active_w

    def flow(self, start_ms: int, end_ms: int) -> Flow | None:
        span = end_ms - start_ms
        return Flow(self.active_w * span, 0, 0, 0, self.active_w * span)

    def readings(self, utc_ms: int) -> Mapping[str, int | None]:
        return {"kW tot": self.active_w, "kVAR tot": 0}


# --- how an instant is shown --------------------------------------------------------------------------

ZONES = [
    "Europe/Madrid",
    "Pacific/Auckland",
    "Asia/Kolkata",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "UTC",
]
INSTANTS = [
    datetime(2026, 1, 15, 12, 0, tzinfo=UTC),
    datetime(2026, 7, 15, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC),
    datetime(2026, 10, 25, 1, 0, tzinfo=UTC),
    datetime(2026, 4, 4, 13, 59, 59, tzinfo=UTC),
    datetime(2026, 4, 4, 14, 0, tzinfo=UTC),
    datetime(2026, 9, 26, 14, 0, tzinfo=UTC),
    datetime(2027, 12, 31, 23, 30, tzinfo=UTC),
]


@pytest.mark.parametrize("zone", ZONES)
def test_shown_as_the_zone_rules_say(zone: str) -> None:
    shown, _ = view(zone, datetime(2026, 1, 1, tzinfo=UTC))
    for instant in INSTANTS:
        local = instant.astimezone(ZoneInfo(zone))
        offset, dst = local.utcoffset(), local.dst()
        assert offset is not None
        octets = shown.shown(milliseconds(instant))
        assert octets[:9] == local.year.to_bytes(2, "big") + bytes(
            (local.month, local.day, local.isoweekday(), local.hour, local.minute, local.second, 0)
        )
        deviation = int.from_bytes(octets[9:11], "big", signed=True)
        assert deviation == -int(offset.total_seconds()) // 60
        assert octets[11] == (0x80 if dst else 0)
        assert DateTime(octets).utc() == instant


def test_deviations_of_far_zones() -> None:
    assert (
        view("Pacific/Auckland")[0].shown(milliseconds(INSTANTS[0]))[9:]
        == (-780).to_bytes(2, "big", signed=True) + b"\x80"
    )
    assert view("Asia/Kolkata")[0].shown(milliseconds(INSTANTS[0]))[9:].hex() == "feb600"


@pytest.mark.parametrize(
    ("deviation", "hour", "tail"),
    [
        ("normal", 12 + 2, "ff8880"),
        ("reversed", 12 + 2, "007880"),
        ("unspecified", 12 + 2, "800080"),
        ("utc", 12, "000000"),
    ],
)
def test_deviation_settings(deviation: str, hour: int, tail: str) -> None:
    shown, _ = view("Europe/Madrid", deviation=deviation)
    octets = shown.shown(milliseconds(datetime(2026, 7, 1, 12, tzinfo=UTC)))
    assert octets.hex() == f"07ea070103{hour:02x}000000{tail}"


def test_hundredths_are_those_of_the_instant() -> None:
    shown, _ = view()
    assert [shown.shown(ms)[8] for ms in (0, 9, 10, 990, 999)] == [0, 0, 1, 99, 99]
    assert shown.shown(-1).hex() == "07b10c1f03173b3b63000000"  # 1969-12-31 23:59:59.99


def test_a_clock_that_was_never_set_says_so() -> None:
    shown, ion = view()
    ion.clock.valid = False
    assert shown.time().octets[11] == 0x01
    ion.set_time(milliseconds(MADRID_AUTUMN), 0.0, "ETHERNET")
    assert shown.time().octets[11] == 0


@pytest.mark.parametrize("deviation", ["normal", "reversed", "unspecified", "utc"])
@pytest.mark.parametrize("date_time", ["octet-string", "date-time"])
def test_what_is_read_can_be_asked_and_set(deviation: str, date_time: str) -> None:
    """By each setting: the clock's own octets as bounds of a range find the rows that carry them."""
    settings = (
        ("clock.zone", "Europe/Madrid"),
        ("deviation", deviation),
        ("date_time", date_time),
        ("clock.time_sync_type", "LOCAL" if deviation == "unspecified" else "UTC"),
    )
    bench = Bench("wrapper", 1, settings)
    bench.associate()
    rows = bench.rows()
    tag = Tag.DATE_TIME if date_time == "date-time" else Tag.OCTET_STRING
    assert {row[0].tag for row in rows} == {tag}
    prefix = "19" if tag is Tag.DATE_TIME else "090C"
    start, end = (prefix + row[0].octets().hex() for row in (rows[4], rows[8]))
    assert bench.rows(LOAD_PROFILE, by_range(start, end)) == rows[4:9]
    time = bench.value(8, CLOCK)
    assert time.tag is tag
    before = bench.meter.ion.at_ms
    answer = bench.apdu(f"C101C100080000010000FF0200{prefix}{time.octets().hex()}")
    assert answer == bytes.fromhex("C501C100")
    assert bench.meter.ion.at_ms == before


# --- the Clock object -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "time_zone", "begin", "end", "minutes"),
    [
        ("Europe/Madrid", -60, "07EA031D07020000008000FF", "07EA0A1907030000008000FF", 60),
        # South of the equator the end comes first in the year.
        ("Pacific/Auckland", -720, "07EA091B07020000008000FF", "07EA040507030000008000FF", 60),
        ("Australia/Lord_Howe", -630, "07EA0A0407020000008000FF", "07EA040507020000008000FF", 30),
        ("America/St_Johns", 210, "07EA030807020000008000FF", "07EA0B0107020000008000FF", 60),
    ],
)
def test_zone_and_switches(zone: str, time_zone: int, begin: str, end: str, minutes: int) -> None:
    shown, _ = view(zone, datetime(2026, 6, 1, tzinfo=UTC))
    assert shown.time_zone() == time_zone
    assert shown.daylight_begin().octets.hex().upper() == begin
    assert shown.daylight_end().octets.hex().upper() == end
    assert shown.daylight_deviation() == minutes
    assert shown.daylight_enabled()


def test_a_zone_without_daylight_saving() -> None:
    shown, _ = view("Asia/Kolkata")
    assert shown.time_zone() == -330
    assert shown.daylight_begin().octets.hex().upper() == "FFFFFFFFFFFFFFFFFF8000FF"
    assert shown.daylight_deviation() == 0
    assert not shown.daylight_enabled()


def test_time_zone_follows_the_deviation_setting() -> None:
    for deviation, due in (("normal", -60), ("reversed", 60), ("unspecified", -60), ("utc", 0)):
        assert view("Europe/Madrid", deviation=deviation)[0].time_zone() == due


# --- bounds of a range ----------------------------------------------------------------------------------


def local(*fields: int) -> DateTime:
    return DateTime.of_local(datetime(*fields), None, 0)  # type: ignore[arg-type]


def test_a_bound_in_the_repeated_hour_takes_in_both() -> None:
    shown, _ = view("Europe/Madrid")
    time = local(2026, 10, 25, 2, 30)
    assert shown.instant(time) == milliseconds(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert shown.instant(time, last=True) == milliseconds(datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    outside = local(2026, 10, 25, 3, 0)
    assert shown.instant(outside) == shown.instant(outside, last=True)


def test_a_bound_with_a_deviation_is_one_instant() -> None:
    shown, _ = view("Europe/Madrid")
    for deviation, hour in ((-120, 0), (-60, 1)):
        time = DateTime.of_local(datetime(2026, 10, 25, 2, 30), deviation, 0)
        for last in (False, True):
            assert shown.instant(time, last=last) == milliseconds(
                datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
            )


def test_a_reversed_meter_reads_deviations_reversed() -> None:
    shown, _ = view("Europe/Madrid", deviation="reversed")
    time = DateTime.of_local(datetime(2026, 7, 1, 12), 120, 0x80)
    assert shown.instant(time) == milliseconds(datetime(2026, 7, 1, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    "octets",
    [
        "FFFF0A19FF02000000800000",
        "07EA0D19FF02000000800000",
        "07EA0A20FF02000000800000",
        "07EAFEFEFF02000000800000",
        "07EA0A19FF18000000000000",
        "07EA0A19FF02000000034900",
        "00000101FF00000000000000",
        "0001010 1FF00000000FCB800".replace(" ", ""),
        "270F0C1FFF173B3B00034800",
    ],
)
def test_what_is_no_instant_is_refused(octets: str) -> None:
    shown, _ = view("Europe/Madrid")
    with pytest.raises(OtherReason):
        shown.instant(DateTime(bytes.fromhex(octets)))


def test_rows_of_the_repeated_hour() -> None:
    """Eight rows between 02:00 and 03:00 local time: four of each 02:00, told apart by deviation."""
    bench = Bench(
        "wrapper", 16, (("clock.zone", "Europe/Madrid"),), utc_ms=milliseconds(MADRID_AUTUMN) + 7_200_000
    )
    bench.associate()
    bounds = ("090C07EA0A19FF02000000800000", "090C07EA0A19FF023B3BFF800000")
    rows = bench.rows(LOAD_PROFILE, by_range(*bounds))
    times = [row[0].octets() for row in rows]
    assert [octets[5:7].hex() for octets in times] == ["0200", "020f", "021e", "022d"] * 2
    assert [octets[9:].hex() for octets in times] == ["ff8880"] * 4 + ["ffc400"] * 4
    # The row of the very instant of the switch is the first of the new offset, and carries bit 9.
    assert [row[1].integer() for row in rows] == [0, 0, 0, 0, 0x0200, 0, 0, 0]
    first = between(datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 0, 45, tzinfo=UTC))
    assert bench.rows(LOAD_PROFILE, first) == rows[:4]


# --- setting the time -----------------------------------------------------------------------------------


def set_time(shown: ClockView, ion: IonMeter, octets: str) -> datetime:
    shown.set_time(DateTime(bytes.fromhex(octets)))
    return datetime.fromtimestamp(ion.at_ms / 1000, UTC)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid", "Pacific/Auckland", "Asia/Kolkata"])
@pytest.mark.parametrize("sync_type", ["UTC", "LOCAL"])
def test_without_a_deviation_by_the_time_sync_type(zone: str, sync_type: str) -> None:
    shown, ion = view(zone, time_sync_type=sync_type)
    wanted = datetime(2026, 7, 1, 12, tzinfo=UTC if sync_type == "UTC" else ZoneInfo(zone))
    assert set_time(shown, ion, "07EA0701FF0C000000800000") == wanted


def test_unspecified_fields_are_those_of_the_time_as_the_client_counts_it() -> None:
    """23:30 in Madrid is 21:30 UTC: "today" depends on the deviation that is given."""
    shown, ion = view("Europe/Madrid", datetime(2026, 7, 1, 22, 30, tzinfo=UTC))  # 00:30 on the 2nd
    assert set_time(shown, ion, "FFFFFFFFFF0C0000 00FF8880".replace(" ", "")) == datetime(
        2026, 7, 2, 10, tzinfo=UTC
    )
    shown, ion = view("Europe/Madrid", datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    assert set_time(shown, ion, "FFFFFFFFFF0C000000000000") == datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("sync_type", ["UTC", "LOCAL"])
def test_nothing_specified_changes_nothing(sync_type: str) -> None:
    shown, ion = view("Europe/Madrid", datetime(2026, 7, 1, 22, 30, tzinfo=UTC), time_sync_type=sync_type)
    before = ion.at_ms
    assert milliseconds(set_time(shown, ion, "FFFFFFFFFFFFFFFFFF8000FF")) == before
    assert ion.state.offset_ms == 0


def test_the_day_that_the_present_month_lacks_is_refused() -> None:
    shown, ion = view("UTC", datetime(2026, 1, 31, 12, tzinfo=UTC))
    before = ion.at_ms
    with pytest.raises(OtherReason):
        set_time(shown, ion, "FFFF02FFFFFFFFFFFF8000FF")
    assert ion.at_ms == before
    assert ion.clock.steps == 0


@pytest.mark.parametrize("year", [1, 1969, 2200, 9999])
def test_years_beyond_the_meter_are_refused(year: int) -> None:
    shown, ion = view()
    with pytest.raises(OtherReason):
        set_time(shown, ion, f"{year:04X}0701FF0C000000000000")
    assert ion.clock.steps == 0


# --- values ---------------------------------------------------------------------------------------------


def test_a_value_beyond_its_type_is_null_data() -> None:
    bench = Bench("wrapper", source=Steady(4_000_000_000))
    bench.associate()
    assert bench.value(3, "1-1:16.4.0*255").value is None  # 4 GW do not fit a double-long of W
    rows = bench.rows(BILLING)
    assert [row[9].value for row in rows] == [None] * 3
    assert all(isinstance(row[2].value, int) for row in rows)  # energies are long64
    assert bench.read(7, BILLING, 2, "02020406000000010600000001120001120000")[:2] == b"\x01\x01"


@pytest.mark.parametrize("scaler", [0, -3])
def test_scaler_changes_only_what_it_says(scaler: int) -> None:
    bench = Bench("wrapper", settings=(("scaler", scaler),), source=Steady())
    bench.associate()
    assert bench.value(3, "1-1:16.4.0*255").integer() == 100_000
    assert bench.read(3, "1-1:16.4.0*255", 3).hex() == ("02020f00161b" if scaler == 0 else "02020ffd161b")
    assert bench.read(3, "1-1:13.0.0*255", 3).hex() == "02020ffd16ff"  # a power factor keeps -3
    rows = bench.rows()
    assert {row[2].integer() for row in rows[1:]} == {25_000}  # Wh in 900 s


def test_date_time_type_is_used_everywhere() -> None:
    bench = Bench("wrapper", settings=(("date_time", "date-time"), ("clock.zone", "Europe/Madrid")))
    bench.associate()
    clock = bench.value(8, CLOCK, 0).items()
    assert [clock[index].tag for index in (1, 4, 5)] == [Tag.DATE_TIME] * 3
    assert decoded(bench.read(8, CLOCK, 2)).octets() == clock[1].octets()


def test_a_row_of_a_year_ago_is_shown_by_the_rule_of_its_day() -> None:
    start = milliseconds(datetime(2026, 7, 1, tzinfo=UTC))
    shown, _ = view("Europe/Madrid")
    days = [shown.shown(start + day * 86_400_000) for day in range(500)]
    again = [shown.shown(start + day * 86_400_000) for day in range(500)]
    assert days == again
    assert [DateTime(octets).utc() for octets in days] == [
        datetime(2026, 7, 1, tzinfo=UTC) + timedelta(days=day) for day in range(500)
    ]
