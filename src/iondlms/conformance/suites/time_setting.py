"""Suite TIME SETTING: SET of clock attribute 2. The clock is set back after each case.

Where the ION meters' profile and the list differ (an unspecified year keeps the present one, a time without
deviation is taken by the Time Sync Type), the profile holds for an ION meter and both pass for others.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from iondlms.conformance.apdus import CLOCK, date_time, set_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.verdict import Inapplicable, Inconclusive, require

T0: Final = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)
PRESENT: Final = datetime(2026, 11, 22, 12, 34, 20, tzinfo=UTC)
WANTED: Final = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
DONE: Final = "C501C100"
OTHER_REASON: Final = "C501C1FA"
TYPE_UNMATCHED: Final = "C501C10C"
REFUSED: Final = ("C501C1FA", "C501C10D", "C501C10C", "C501C102", "C501C103")
_UNKNOWN: Final = 0x8000


def _sets(bench: Bench, value: str, due: datetime, why: str, *also: str) -> None:
    """SET; the clock then shows `due`, or with an answer of `also` what it showed before."""
    before, at = bench.clock(), bench.now()
    answer = bench.set_clock(value)
    if answer == DONE:
        bench.shows(due, why)
    else:
        bench.match(answer, DONE, *also, why=why)
        bench.shows(before + timedelta(seconds=bench.now() - at), f"{why}: refused and set all the same")


def _refuses(bench: Bench, value: str, expected: str, why: str = "") -> None:
    """SET is refused; the clock goes on as it was."""
    before, at = bench.clock(), bench.now()
    answer = bench.set_clock(value)
    require(answer != DONE or value.startswith("19"), f"{why or value}: accepted")
    bench.match(answer, expected, *REFUSED, "D80???", why=why or value)
    bench.shows(before + timedelta(seconds=bench.now() - at), f"{why or value}: the clock was set")


def _utc(bench: Bench) -> None:
    """Success, and the clock shows 2026-11-22 12:34:56 UTC."""
    _sets(bench, bench.date_at(T0), T0, "UTC")


def _local_with_deviation(bench: Bench) -> None:
    """Success; 13:34:56 with deviation -60 is the same instant."""
    _sets(bench, f"090C{bench.bound(T0, -60)}", T0, "deviation -60")


def _without_deviation(bench: Bench) -> None:
    """Success, taken as local time or UTC by Time Sync Type; or an error with the clock unchanged."""
    local = 0
    if bench.cti.clock.without_deviation == "local":
        local = bench.zone()
        if bench.value(8, CLOCK, 8).value:
            raise Inapplicable(
                "daylight saving is enabled: which local time the meter has then depends on the date"
            )
    value = "090C" + date_time(T0, local, shown=_UNKNOWN)
    _sets(bench, value, T0, "deviation not specified", *REFUSED)


def _open_parts(bench: Bench) -> None:
    """Success with hundredths and day of week not specified."""
    _sets(bench, f"090C{with_octets(bench, T0, {4: 'FF', 8: 'FF'})}", T0, "hundredths and day of week open")


def with_octets(bench: Bench, when: datetime, octets: dict[int, str]) -> str:
    """Return the 12 octets of an instant with single ones replaced."""
    text = bench.bound(when)
    for place, value in octets.items():
        text = text[: 2 * place] + value + text[2 * place + len(value) :]
    return text


FIELDS: Final = {
    "year": (0, "FFFF"),
    "month": (2, "FF"),
    "day": (3, "FF"),
    "hour": (5, "FF"),
    "minute": (6, "FF"),
    "second": (7, "FF"),
}


def _field(name: str) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        place, octets = FIELDS[name]
        # No field is 0 or 1, nor that of the time that is set, and the minute does not turn over.
        require(bench.set_clock(bench.date_at(PRESENT)) == DONE, "SET of a whole time")
        answer = bench.set_clock(f"090C{with_octets(bench, WANTED, {place: octets})}")
        if answer != DONE and not bench.cti.objects.ion:
            bench.match(answer, DONE, *REFUSED, why=f"{name} not specified")
            bench.shows(PRESENT, f"{name} not specified, refused")
            return
        bench.match(answer, DONE, why=f"{name} not specified")
        bench.shows(WANTED.replace(**{name: getattr(PRESENT, name)}), f"{name} not specified")

    script.__doc__ = f"Success: an unspecified {name} keeps its present value (other meters may refuse it)."
    return script


def _all_open(bench: Bench) -> None:
    """Success with nothing specified: the clock goes on as it was."""
    now = bench.clock()
    _sets(bench, "090CFFFFFFFFFFFFFFFFFF8000FF", now, "nothing specified", *REFUSED)


def _each_octet_out_of_range(places: dict[int, tuple[str, ...]]) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        for place, values in places.items():
            for value in values:
                _refuses(
                    bench,
                    f"090C{with_octets(bench, T0, {place: value})}",
                    OTHER_REASON,
                    f"octet {place}: {value}",
                )

    script.__doc__ = f"other-reason (or another error) and the clock as it was; octet from 0: {places}"
    return script


def _impossible_dates(bench: Bench) -> None:
    """other-reason for the 30th of February, the 29th in no leap year, the 31st of November."""
    for octets in ({2: "02", 3: "1E"}, {0: "07EB", 2: "02", 3: "1D"}, {3: "1F"}):
        _refuses(bench, f"090C{with_octets(bench, T0, octets)}", OTHER_REASON, f"{octets}")


def _one_bad_of_many(bench: Bench) -> None:
    """One field out of range fails the whole request, whatever else is left open."""
    _refuses(bench, "090CFFFFFFFFFF18FFFFFF8000FF", OTHER_REASON, "hour 24, all else open")
    _refuses(bench, "090CFFFF0DFFFFFFFFFFFF8000FF", OTHER_REASON, "month 13, all else open")
    _refuses(bench, "090CFFFFFFFFFFFFFF3CFF8000FF", OTHER_REASON, "second 60, all else open")


def _day_of_week(bench: Bench) -> None:
    """Ignored: the clock shows the right one (or FF) afterwards; never the wrong one stored."""
    for day in ("01", "08", "00", "FE"):
        answer = bench.set_clock(f"090C{with_octets(bench, T0, {4: day})}")
        bench.match(answer, DONE, *REFUSED, why=f"day of week {day}")
        octets = bench.value(8, CLOCK).octets()
        if answer == DONE:
            require(octets[4] in (7, 0xFF), f"the 22nd of November 2026 is day {octets[4]} of the week")


def _wrong_types(bench: Bench) -> None:
    """type-unmatched (or another error); the clock is as it was."""
    good = bench.bound(T0)
    for value in (
        "1105",
        f"090B{good[:-2]}",
        f"090D{good}00",
        "0900",
        "00",
        f"0201090C{good}",
        f"0101090C{good}",
        f"0A0C{good}",
        "0600000000",
    ):
        _refuses(bench, value, TYPE_UNMATCHED)


def _tag_25(bench: Bench) -> None:
    """Success, or type-unmatched; the same on every call."""
    first = bench.set_clock(f"19{bench.bound(T0)}")
    bench.match(first, DONE, TYPE_UNMATCHED, why="date-time instead of octet-string")
    require(bench.set_clock(f"19{bench.bound(T0)}") == first, "another answer the second time")
    if first == DONE:
        bench.shows(T0, "date-time")


def _every_deviation(bench: Bench) -> None:
    """Success for every zone there is, from +14:00 to -12:00 and beyond; the same instant each time."""
    for deviation in (-840, -780, -720, -345, -60, -1, 1, 60, 210, 720, 840):
        beyond = abs(deviation) > 720  # the books say 720; New Zealand's summer is beyond
        _sets(
            bench,
            f"090C{bench.bound(T0, deviation)}",
            T0,
            f"deviation {deviation}",
            *(REFUSED if beyond else ()),
        )


def _status_ignored(bench: Bench) -> None:
    """Success whatever the clock status says, and it is not stored."""
    for status in ("00", "01", "80", "FF"):
        _sets(bench, f"090C{with_octets(bench, T0, {11: status})}", T0, f"status {status}")
        shown = bench.value(8, CLOCK).octets()[11]
        require(shown == 0xFF or shown & 0x70 == 0, f"status {shown:02X} after {status}")


def _denied(expected: str, *also: str) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        bench.expect(set_request("090C07EA0B16FF0C223800000000"), expected, *also)
        if bench.closed:
            bench.connect()
        bench.renew()
        if bench.cti.clock.present:
            now = bench.clock()
            require(abs(now - T0) > timedelta(minutes=5), "the clock was set (or it is that time by chance)")

    script.__doc__ = "An exception (or an error, or silence); the clock is unchanged."
    return script


def _forwards(bench: Bench) -> None:
    """Success; the rows that are there stay, and no row is made for the time stepped over."""
    before = bench.rows() if bench.cti.objects.load_profile else []
    due = bench.clock() + timedelta(hours=2)
    _sets(bench, bench.date_at(due), due, "two hours ahead")
    if before:
        after = bench.rows()
        require(
            after[: len(before)] == before[-len(after) :] or after[-len(before) :] == before,
            "rows have changed",
        )
        require(len(after) - len(before) <= 1, f"{len(after) - len(before)} rows were made")


def _step_recorded(bench: Bench) -> None:
    """The row at the next boundary has status bit 5, the row after it has none; no other is made."""
    period = bench.value(7, bench.profile, 4).integer()
    if not period:
        raise Inapplicable("the capture period is 0")
    if (bench.fast and not bench.access.virtual) or period > bench.cti.line.inactivity_s * 20:
        raise Inconclusive(f"waits for two captures, {2 * period} s")
    before = bench.rows()
    ahead = bench.clock() + timedelta(hours=1, seconds=30)
    _sets(bench, bench.date_at(ahead), ahead, "an hour ahead")
    bench.linger(2 * period)
    rows = bench.rows()
    new = rows[rows.index(before[-1]) + 1 :] if before else rows
    words = [row[1].integer() for row in new]
    # A third row may have come while these were read.
    require(2 <= len(words) <= 3, f"{len(words)} rows in two periods")
    require(words[0] == 0x0020, f"status {words[0]:04X} in the first row, 0020 due")
    require(not any(words[1:]), f"status {words[1]:04X} in the second row, 0000 due")


def _backwards(bench: Bench) -> None:
    """Success; rows keep their order, none is lost, and a range still finds them."""
    due = bench.clock() - timedelta(days=1)
    before = bench.rows() if bench.cti.objects.load_profile else []
    _sets(bench, bench.date_at(due), due, "a day back")
    if before:
        after = bench.rows()
        require(after == before or after[:-1] == before, "rows have changed")


def _far(bench: Bench) -> None:
    """Accepted and rolling over right, or refused with the clock unchanged: 2000, a leap day, 2099."""
    for year, month, day in ((2000, 1, 1), (2028, 2, 29), (2099, 12, 31), (2026, 12, 31), (2027, 2, 28)):
        end = datetime(year, month, day, 23, 59, 59, tzinfo=UTC)
        answer = bench.set_clock(bench.date_at(end))
        bench.match(answer, DONE, *REFUSED, why=f"{end}")
        if answer == DONE:
            at = bench.now()
            bench.linger(2)
            bench.shows(end + timedelta(seconds=bench.now() - at), f"roll-over of {end}")


def _seen_by_both(bench: Bench) -> None:
    """What is set is seen by a new association, and by the public client."""
    due = bench.clock() + timedelta(hours=3)
    _sets(bench, bench.date_at(due), due, "three hours ahead")
    at = bench.now()
    bench.renew()
    bench.shows(due + timedelta(seconds=bench.now() - at), "a new association")


def _ten_times(bench: Bench) -> None:
    """Ten SETs in a row, each done, each shown."""
    start = bench.clock()
    for number in range(10):
        due = start + timedelta(hours=number)
        _sets(bench, bench.date_at(due), due, f"SET number {number + 1}")


def _get_only(bench: Bench) -> str:
    return bench.own_aarq("000010")


_GB: Final = "62056-62, Clock 4.5.1; Green Book 9.3.7"
_SETS: Final = ("set", "clock", "clock-set")
_ION: Final = "ION profile, time synchronization"

CASES: Final = (
    *(
        Case(id_, purpose, "AT", script, clause, client="setting", needs=_SETS)
        for id_, purpose, script, clause in (
            ("TS-01", "set UTC", _utc, _GB),
            ("TS-02", "set local time with deviation", _local_with_deviation, _GB),
            ("TS-03", "deviation not specified", _without_deviation, _GB),
            ("TS-04", "hundredths FF, day of week FF", _open_parts, _GB),
            ("TS-05", "year not specified", _field("year"), _ION),
            ("TS-05b", "month not specified", _field("month"), _ION),
            ("TS-05c", "day not specified", _field("day"), _ION),
            ("TS-05d", "hour not specified", _field("hour"), _ION),
            ("TS-05e", "minute not specified", _field("minute"), _ION),
            ("TS-05f", "second not specified", _field("second"), _ION),
            ("TS-05g", "nothing specified", _all_open, _ION),
            (
                "TS-06",
                "month out of range",
                _each_octet_out_of_range({2: ("00", "0D", "FD", "FE")}),
                _ION,
            ),
            (
                "TS-06b",
                "day of month out of range",
                _each_octet_out_of_range({3: ("00", "20", "FD", "FE")}),
                _ION,
            ),
            (
                "TS-06c",
                "time of day out of range",
                _each_octet_out_of_range(
                    {5: ("18", "FE"), 6: ("3C", "FE"), 7: ("3C", "FE"), 8: ("64", "FE")}
                ),
                _ION,
            ),
            ("TS-06d", "year out of range", _each_octet_out_of_range({0: ("0000", "2710", "FFFE")}), _ION),
            (
                "TS-06e",
                "deviation out of range",
                _each_octet_out_of_range({9: ("0349", "FCB7", "7FFF")}),
                _ION,
            ),
            ("TS-06f", "dates that do not exist", _impossible_dates, _ION),
            ("TS-06g", "one field out of range among open ones", _one_bad_of_many, _ION),
            ("TS-07", "wrong day of week", _day_of_week, _GB),
            ("TS-08", "wrong type or length", _wrong_types, "Data-Access-Result type-unmatched"),
            ("TS-09", "date-time type instead of octet-string", _tag_25, _GB),
            ("TS-10", "every deviation", _every_deviation, _GB),
            ("TS-14b", "clock status in the request", _status_ignored, _GB),
            ("TS-15b", "step forwards", _forwards, _ION),
            ("TS-16", "step backwards", _backwards, _ION),
            ("TS-17", "far dates", _far, _GB),
            ("TS-20", "seen by a new association", _seen_by_both, _GB),
            ("TS-21", "ten times in a row", _ten_times, _GB),
        )
    ),
    Case(
        "TS-12",
        "SET without negotiated bit 20",
        "AT",
        _denied("D80102", "", "D80???", "C501C1??"),
        "conformance bit 20",
        client="setting",
        aarq=_get_only,
        needs=("clock-set",),
    ),
    Case(
        "TS-13",
        "SET without AA",
        "RT",
        _denied("D80102", "", "D80???"),
        _GB,
        client="setting",
        needs=("clock-set",),
    ),
    Case(
        "TS-14",
        "SET by the public client",
        "AT",
        _denied("D80102", "", "D80???", "C501C103"),
        _GB,
        needs=("no-set", "clock-set"),
    ),
    Case(
        "TS-15",
        "step is recorded",
        "AT",
        _step_recorded,
        _ION,
        client="setting",
        needs=(*_SETS, "ion", "profile"),
    ),
)
