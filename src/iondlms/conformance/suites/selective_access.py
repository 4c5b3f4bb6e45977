"""Suite SELECTIVE ACCESS: by range and by entry, against the rows that a plain read gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from iondlms.conformance.apdus import CLOCK, capture_object, date_time, get_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.selection import (
    CLOCK_COLUMN,
    FAR,
    SECOND,
    WHOLE,
    Fixture,
    by_entry,
    by_range,
    within,
)
from iondlms.conformance.verdict import Inapplicable, Inconclusive, require

OTHER: Final = "C401C101FA"
SCOPE: Final = "C401C1010D"
TYPE: Final = "C401C1010C"
_1990: Final = datetime(1990, 1, 1, tzinfo=UTC)
_2000: Final = datetime(2000, 1, 1, tzinfo=UTC)


def _whole(bench: Bench) -> None:
    """All rows, equal to the plain read."""
    fixture = Fixture(bench, 1)
    fixture.gives(WHOLE, 1, fixture.count, "2000 to 2099")


def _before(bench: Bench) -> None:
    """Success with an empty array (or an error code)."""
    fixture = Fixture(bench, 1)
    fixture.empty(fixture.between(_1990, _1990 + timedelta(days=364)), "1990")


def _after(bench: Bench) -> None:
    """Success with an empty array (or an error code)."""
    fixture = Fixture(bench, 1)
    fixture.empty(fixture.between(fixture.time(-1) + SECOND, FAR), "after the last row")


def _part(bench: Bench) -> None:
    """The rows from the first bound to the second, both included."""
    fixture = Fixture(bench)
    fixture.gives(fixture.between(fixture.time(3), fixture.time(5)), 3, 5, "rows 3 to 5")


def _two_columns(bench: Bench) -> None:
    """Structures of two, in the order of capture_objects."""
    fixture = Fixture(bench)
    if len(fixture.columns) < 2:
        raise Inapplicable("the profile has one column")
    place = min(2, len(fixture.columns) - 1)
    columns = (fixture.columns[0], fixture.columns[place])
    found = fixture.select(fixture.between(fixture.time(2), fixture.time(4), columns))
    require(found == [(row[0], row[place]) for row in fixture.rows[1:4]], f"{len(found)} rows of two columns")


def _one_column(bench: Bench) -> None:
    """Each column alone, by range and by entry."""
    fixture = Fixture(bench)
    for place, column in enumerate(fixture.columns):
        due = [(row[place],) for row in fixture.rows]
        found = fixture.select(fixture.between(fixture.time(1), fixture.time(-1), (column,)))
        require(found == due, f"column {place + 1} by range")
        found = fixture.select(by_entry(1, 0, place + 1, place + 1))
        require(found == due, f"column {place + 1} by entry")


def _between_rows(bench: Bench) -> None:
    """An empty array between two neighbours."""
    fixture = Fixture(bench)
    start, end = fixture.time(3) + SECOND, fixture.time(4) - SECOND
    fixture.empty(fixture.between(start, end), "between rows 3 and 4")


def _inside(bench: Bench) -> None:
    """A second inside each end: the outer rows are not among them."""
    fixture = Fixture(bench)
    fixture.gives(
        fixture.between(fixture.time(2) + SECOND, fixture.time(6) - SECOND), 3, 5, "just inside rows 2 and 6"
    )


def _outside(bench: Bench) -> None:
    """A second outside each end: the outer rows are among them."""
    fixture = Fixture(bench)
    fixture.gives(
        fixture.between(fixture.time(2) - SECOND, fixture.time(6) + SECOND), 2, 6, "just outside rows 2 and 6"
    )


def _first_row(bench: Bench) -> None:
    """Both bounds at the time of the first row: that row."""
    fixture = Fixture(bench, 1)
    fixture.gives(fixture.between(fixture.time(1), fixture.time(1)), 1, 1, "the first row")


def _last_row(bench: Bench) -> None:
    """From the time of the last row on: that row."""
    fixture = Fixture(bench, 1)
    last = fixture.count
    fixture.gives(fixture.between(fixture.time(-1), FAR), last, last, "the last row")
    fixture.gives(fixture.between(fixture.time(-1), fixture.time(-1)), last, last, "the last row alone")


def _every_row(bench: Bench) -> None:
    """Each row by its own time alone, the last twenty of them."""
    fixture = Fixture(bench, 1)
    for number in range(max(1, fixture.count - 19), fixture.count + 1):
        when = fixture.time(number)
        fixture.gives(fixture.between(when, when), number, number, f"row {number} alone")


def _open_end(octets: dict[int, str], why: str, shift: timedelta) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        fixture = Fixture(bench)
        if any(fixture.time(number).second for number in (2, 5)):
            raise Inapplicable("rows are not captured at a whole minute")
        bounds = []
        for number in (2, 5):
            text = fixture.bound(fixture.time(number))
            for place, value in octets.items():
                text = text[: 4 + 2 * place] + value + text[4 + 2 * place + len(value) :]
            bounds.append(text)
        answer = bench.ask(get_request(7, fixture.name, 2, within(bounds)))
        if answer[:4].hex()[:8] == "c401c101":
            bench.match(answer.hex(), OTHER, "C401C1010?", why=why)
            bench.remark(f"{why}: refused")
            return
        fixture.gives(within(bounds), 2, 5, why)
        # What is open in the end counts to its end: a row within that second or minute is in.
        if shift:
            early = fixture.bound(fixture.time(5) - shift)
            for place, value in octets.items():
                early = early[: 4 + 2 * place] + value + early[4 + 2 * place + len(value) :]
            fixture.gives(by_range(bounds[0], early), 2, 4, f"{why}, the minute before")

    script.__doc__ = (
        f"{why} not specified in both bounds: taken as the start, or the end, of what is open; or refused."
    )
    return script


def _deviations(bench: Bench) -> None:
    """The same rows, whatever zone the bounds are written in."""
    fixture = Fixture(bench)
    for deviation in (-840, -345, -60, 60, 210, 720, 840):
        selection = fixture.between(fixture.time(2), fixture.time(5), deviation=deviation)
        if abs(deviation) > 720:
            answer = bench.ask(get_request(7, fixture.name, 2, selection))
            if answer[:4].hex() == "c401c101":
                bench.remark(f"a deviation of {deviation} is refused")
                continue
        fixture.gives(selection, 2, 5, f"deviation {deviation}")


def _mixed_deviations(bench: Bench) -> None:
    """One bound in one zone, the other in another."""
    fixture = Fixture(bench)
    selection = by_range(fixture.bound(fixture.time(2), -120), fixture.bound(fixture.time(5), 300))
    fixture.gives(selection, 2, 5, "deviations -120 and 300")


def _local(bench: Bench) -> None:
    """Bounds without deviation are the meter's local time."""
    fixture = Fixture(bench)
    if fixture.rows[1][0].octets()[11] != fixture.rows[4][0].octets()[11]:
        raise Inconclusive("daylight saving began or ended between the rows")
    octets = fixture.rows[1][0].octets(), fixture.rows[4][0].octets()
    bounds = [f"090C{text.hex()[:16]}008000{text.hex()[22:]}" for text in octets]
    fixture.gives(within(bounds), 2, 5, "deviation not specified")


def _wildcards(bench: Bench) -> None:
    """other-reason (or another error) for an open year, month, day, hour or minute: such a bound is no
    instant."""
    fixture = Fixture(bench)
    start, end = fixture.bound(fixture.time(2)), fixture.bound(fixture.time(5))
    for place, value in ((0, "FFFF"), (2, "FF"), (3, "FF"), (5, "FF"), (6, "FF"), (2, "FE"), (3, "FD")):
        text = start[: 4 + 2 * place] + value + start[4 + 2 * place + len(value) :]
        fixture.refuses(by_range(text, end), OTHER, why=f"octet {place} {value} in the start")
        fixture.refuses(by_range(start, text), OTHER, why=f"octet {place} {value} in the end")


def _impossible(bench: Bench) -> None:
    """other-reason (or another error) for a month 13, a day 32, an hour 24, a deviation of 841 minutes."""
    fixture = Fixture(bench)
    end = fixture.bound(fixture.time(5))
    for text in (
        "090C07EA0D16FF0C000000000000",
        "090C07EA0B20FF0C000000000000",
        "090C07EA0B16FF18000000000000",
        "090C07EA0B16FF0C3C0000000000",
        "090C07EA0B16FF0C000000034900",
        "090C07EA021EFF0C000000000000",
    ):
        fixture.refuses(by_range(text, end), OTHER, why=text)


def _tag_25(bench: Bench) -> None:
    """The same rows by date-time, by octet-string, and by one of each (or type-unmatched, consistently)."""
    fixture = Fixture(bench)
    plain = fixture.bound(fixture.time(2)), fixture.bound(fixture.time(5))
    tagged = tuple(f"19{text[4:]}" for text in plain)
    for bounds in (tagged, (tagged[0], plain[1]), (plain[0], tagged[1])):
        answer = bench.ask(get_request(7, fixture.name, 2, within(bounds)))
        if answer[:4].hex() == "c401c101":
            bench.match(answer.hex(), "", TYPE, OTHER, "C401C1010?", why="bounds coded as date-time")
        else:
            fixture.gives(within(bounds), 2, 5, "bounds coded as date-time")


def _day_of_week(bench: Bench) -> None:
    """The day of the week in a bound is not looked at: right, wrong or open, the same rows."""
    fixture = Fixture(bench)
    for day in ("01", "07", "FF", "00", "08"):
        bounds = [fixture.bound(fixture.time(number)) for number in (2, 5)]
        selection = within([f"{text[:12]}{day}{text[14:]}" for text in bounds])
        fixture.gives(selection, 2, 5, f"day of week {day}")


def _status_open(bench: Bench) -> None:
    """The clock status in a bound is not looked at."""
    fixture = Fixture(bench)
    for status in ("00", "80", "FF"):
        bounds = [fixture.bound(fixture.time(number)) for number in (2, 5)]
        fixture.gives(within([f"{text[:-2]}{status}" for text in bounds]), 2, 5, f"status {status}")


def _clock_version(bench: Bench) -> None:
    """The clock as restricting object with data index 0; another index or attribute is refused."""
    fixture = Fixture(bench)
    bounds = fixture.bound(fixture.time(2)), fixture.bound(fixture.time(5))
    fixture.gives(within(bounds), 2, 5, "data index 0")
    for restricting in (
        capture_object(8, CLOCK, 3),
        capture_object(8, CLOCK, 2, 1),
        capture_object(3, CLOCK),
    ):
        fixture.refuses(within(bounds, (), restricting), SCOPE, why=restricting)


def _register_restricting(bench: Bench) -> None:
    """The rows whose value is inside; or an error if that is not offered."""
    fixture = Fixture(bench)
    answer = bench.ask(
        get_request(7, fixture.name, 2, by_range("0500000000", "0500000001", (), fixture.columns[-1]))
    )
    bench.match(answer.hex(), SCOPE, "C401C1010?", OTHER, "C40?C1*", why="a register as restricting object")


def _not_captured(bench: Bench) -> None:
    """An error: a restricting object that is not captured."""
    fixture = Fixture(bench)
    bounds = fixture.bound(fixture.time(2)), fixture.bound(fixture.time(5))
    fixture.refuses(within(bounds, (), capture_object(1, "0-0:96.1.0*255")), SCOPE)
    fixture.refuses(by_range("0500000000", "0500000001", (), capture_object(3, "1-1:99.99.0*255")), SCOPE)


def _unknown_column(bench: Bench) -> None:
    """An error: a column that is not captured."""
    fixture = Fixture(bench)
    for column in (
        capture_object(3, "1-1:99.99.0*255"),
        fixture.columns[-1][:-8] + "03120000" if len(fixture.columns) > 1 else capture_object(8, CLOCK, 3),
        fixture.columns[-1][:-4] + "0001",
    ):
        fixture.refuses(fixture.between(fixture.time(2), fixture.time(5), (column,)), SCOPE, why=column)


def _reversed_bounds(bench: Bench) -> None:
    """Never rows where from is after to: an empty array, or an error."""
    fixture = Fixture(bench)
    fixture.empty(fixture.between(fixture.time(5), fixture.time(2)), "from after to", TYPE)


def _odd_columns(bench: Bench) -> None:
    """Columns asked for twice or out of order: in an order that is the same each time, or an error."""
    fixture = Fixture(bench)
    if len(fixture.columns) < 3:
        raise Inapplicable("the profile has fewer than three columns")
    first, third = fixture.columns[0], fixture.columns[2]
    due = [(row[0], row[2]) for row in fixture.rows[1:4]]
    for columns in ((third, first), (first, first, third), (third, first, third)):
        selection = fixture.between(fixture.time(2), fixture.time(4), columns)
        request = get_request(7, fixture.name, 2, selection)
        answer = bench.ask(request)
        if answer[:4].hex() == "c401c101":
            bench.remark("columns out of order are refused")
            continue
        found = fixture.select(selection)
        require(fixture.select(selection) == found, "another order the second time")
        if found != due:
            bench.remark("columns come in the order of the request")


def _all_columns_named(bench: Bench) -> None:
    """All columns by name are all columns."""
    fixture = Fixture(bench)
    selection = fixture.between(fixture.time(1), fixture.time(-1), tuple(fixture.columns))
    if 0 < bench.server_pdu < len(selection) // 2 + 13:
        raise Inapplicable(
            f"such a request is longer than the {bench.server_pdu} octets that the meter takes"
        )
    fixture.gives(selection, 1, fixture.count, "all columns named")


def _wrong_types(bench: Bench) -> None:
    """type-unmatched (or another error) for parameters that are none of a range or an entry descriptor."""
    fixture = Fixture(bench, 1)
    bound = fixture.bound(fixture.time(1))
    for selection in (
        by_range("0600000001", "0600000002"),
        by_range("00", "00"),
        by_range("090B" + bound[4:-2], bound),
        by_range(bound, "090D" + bound[4:] + "00"),
        f"010203{CLOCK_COLUMN}{bound}{bound}",
        f"010205{CLOCK_COLUMN}{bound}{bound}010000",
        f"010104{CLOCK_COLUMN}{bound}{bound}0100",
        "0100",
        by_range(bound, bound, (), "020312000809060000010000FF0F02"),
        by_range(bound, bound, ("1105",)),
        by_range(bound, bound, (), "02041200080905000001000" + "00F02120000"),
        "0202031200010600000002120001",
        "020204" + "0500000001" * 2 + "120001120000",
        "020204" + "0600000001" * 4,
        "0200",
    ):
        fixture.refuses(selection, TYPE, why=selection)


def _small(bench: Bench) -> str:
    return bench.own_aarq(size=0x80)


def _capture_between(bench: Bench) -> None:
    """Rows of the time of the request, each once, though one is captured between two blocks."""
    period = bench.value(7, bench.profile, 4).integer()
    if not period or (not bench.access.virtual and (bench.fast or period > 60)):
        raise Inconclusive(f"waits for a capture, {period} s")
    due = bench.read(7, bench.profile)
    answer = bench.ask(get_request(7, bench.profile, 2, WHOLE))
    if answer[1] != 2:
        raise Inapplicable("the answer is not in blocks")
    _keep_alive(bench, period)
    require(bench.joined(answer) == due, "the rows of the time of the request are due")
    require(bench.value(7, bench.profile, 7).integer() > 0, "the profile still answers")


def _keep_alive(bench: Bench, seconds: float) -> None:
    """Let time pass within a block transfer, without losing the association: over HDLC by RR."""
    pause = bench.cti.line.inactivity_s * 0.5
    if bench.framing == "wrapper" and seconds > pause:
        raise Inapplicable("a capture takes longer than the inactivity time-out")
    while seconds > 0:
        bench.wait(min(pause, seconds))
        seconds -= pause
        if bench.framing == "hdlc":
            bench.send(bench.receive_ready())


def _long_bounds(bench: Bench) -> None:
    """The widest range there is, and one of no width at the ends of the calendar."""
    fixture = Fixture(bench, 1)
    widest = by_range(f"090C{date_time(datetime(1, 1, 2, tzinfo=UTC))}", fixture.bound(FAR))
    answer = bench.ask(get_request(7, fixture.name, 2, widest))
    bench.match(answer.hex(), "C40?C100*", why="from the year 1")
    if answer[3:4] == b"\0" or answer[1] == 2:
        fixture.gives(widest, 1, fixture.count, "from the year 1")
    fixture.empty(fixture.between(FAR, FAR), "2099-12-31")


_BB: Final = "62056-62 (Blue Book 4.3.6), Green Book 9.3.9.1.3"
_NEEDS: Final = ("selective-access", "profile", "clock")
_BLOCKS: Final = (*_NEEDS, "blocks")


def _case(id_: str, purpose: str, script: Callable[[Bench], None]) -> Case:
    return Case(id_, purpose, "AT", script, _BB, needs=_NEEDS)


CASES: Final = (
    _case("SA-01", "whole interval", _whole),
    _case("SA-02", "interval before all rows", _before),
    _case("SA-03", "interval after all rows", _after),
    _case("SA-04", "part of the interval, all columns", _part),
    _case("SA-05", "part of the interval, two columns", _two_columns),
    _case("SA-06", "one column", _one_column),
    _case("SA-07", "between two rows", _between_rows),
    _case("SA-08", "just inside each end", _inside),
    _case("SA-08b", "just outside each end", _outside),
    _case("SA-09", "first row", _first_row),
    _case("SA-09b", "last row", _last_row),
    _case("SA-10", "seconds not specified", _open_end({7: "FF"}, "seconds", timedelta(minutes=1))),
    _case("SA-10b", "hundredths not specified", _open_end({8: "FF"}, "hundredths", timedelta(0))),
    _case(
        "SA-10c",
        "seconds, hundredths and day of week not specified",
        _open_end({4: "FF", 7: "FFFF"}, "seconds, hundredths and day of week", timedelta(minutes=1)),
    ),
    _case("SA-11", "from after to", _reversed_bounds),
    _case("SA-12", "same instants in another deviation", _deviations),
    _case("SA-12b", "bounds of two deviations", _mixed_deviations),
    _case("SA-13", "deviation not specified", _local),
    _case("SA-14", "wildcards in a bound", _wildcards),
    _case("SA-14b", "impossible dates in a bound", _impossible),
    _case("SA-15", "bounds coded as date-time", _tag_25),
    _case("SA-16", "restricting object is a register column", _register_restricting),
    _case("SA-17", "restricting object not captured", _not_captured),
    _case("SA-17b", "restricting object nearly the clock", _clock_version),
    _case("SA-18", "a column that is not captured", _unknown_column),
    _case("SA-19", "duplicate and reordered columns", _odd_columns),
    _case("SA-20", "wrong parameter type", _wrong_types),
    Case("SA-37", "capture during a read", "AT", _capture_between, _BB, aarq=_small, needs=_BLOCKS),
    Case("SA-34", "the same by the setting client", "AT", _part, _BB, client="setting", needs=_NEEDS),
    _case("SA-100", "each row by its own time", _every_row),
    _case("SA-102", "all columns named", _all_columns_named),
    _case("SA-103", "day of week in a bound", _day_of_week),
    _case("SA-104", "clock status in a bound", _status_open),
    _case("SA-105", "the ends of the calendar", _long_bounds),
)
