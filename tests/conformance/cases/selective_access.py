"""Suite SELECTIVE ACCESS: by range and by entry, on 20 rows of load profile and 3 of billing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from tests.conformance.bench import AARQ, BILLING, LOAD_PROFILE, Bench, date_time, get_request, require
from tests.conformance.cases.case import Case

from iondlms.codec.axdr import Data
from iondlms.codec.obis import ObisCode

T20: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
FAR: Final = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
GET_ONLY: Final = "601DA109060760857405080101BE10040E01000000065F1F040000001004B0"
WHOLE_RANGE: Final = (
    "C001C100070100630100FF0201010204020412000809060000010000FF0F02120000"
    "090C07D00101FF00000000000000090C08330C1FFF173B3B000000000100"
)
SCOPE: Final = "C401C1010D"
TYPE: Final = "C401C1010C"
OTHER: Final = "C401C101FA"

Row = tuple[Data, ...]


def t(number: int) -> datetime:
    """Return the time of a row of the fixture, from 1 to 20."""
    return T20 - timedelta(minutes=15) * (20 - number)


def capture_object(class_id: int, name: str, attribute: int = 2, index: int = 0) -> str:
    """Return a capture object definition as hex."""
    return f"020412{class_id:04X}0906{ObisCode.parse(name).octets.hex()}0F{attribute:02X}12{index:04X}"


CLOCK_COLUMN: Final = capture_object(8, "0-0:1.0.0*255")
COLUMN_3: Final = capture_object(3, "1-1:1.29.0*255")


def by_range(start: str, end: str, columns: tuple[str, ...] = (), restricting: str = CLOCK_COLUMN) -> str:
    """Return selector 1 with its parameters; bounds are encoded Data."""
    return f"010204{restricting}{start}{end}01{len(columns):02X}{''.join(columns)}"


def between(start: datetime, end: datetime, columns: tuple[str, ...] = (), deviation: int = 0) -> str:
    """Return selector 1 between two instants, written with a deviation."""
    return by_range(
        f"090C{date_time(start, deviation).hex()}", f"090C{date_time(end, deviation).hex()}", columns
    )


def by_entry(first: int, last: int, first_column: int = 1, last_column: int = 0) -> str:
    """Return selector 2 with its parameters."""
    return f"02020406{first:08X}06{last:08X}12{first_column:04X}12{last_column:04X}"


def _selects(bench: Bench, selection: str, first: int, last: int, profile: str = LOAD_PROFILE) -> None:
    rows = bench.rows(profile)
    found = bench.rows(profile, selection)
    require(found == rows[first - 1 : last], f"{len(found)} rows, {first} to {last} due")


def _refuses(bench: Bench, selection: str, expected: str) -> None:
    answer = bench.apdu(get_request(7, LOAD_PROFILE, 2, selection))
    require(answer == bytes.fromhex(expected), f"{answer!r}, {expected} due")


def _empty(bench: Bench, selection: str) -> None:
    _refuses(bench, selection, "C401C1000100")


def _whole(bench: Bench) -> None:
    require(WHOLE_RANGE.lower().endswith("0100") and len(bench.rows()) == 20, "the fixture has 20 rows")
    answer = bench.apdu(WHOLE_RANGE) or b""
    first = answer[4:] if answer.startswith(bytes.fromhex("C401C100")) else bench.joined(answer)
    require(first == bench.read(7, LOAD_PROFILE), "all rows, equal to the plain read")


def _fixture(bench: Bench) -> None:
    for number, row in enumerate(bench.rows(), 1):
        shown = date_time(t(number), day_of_week=t(number).isoweekday())
        require(row[0].octets() == shown, f"row {number} is of {row[0].octets().hex()}")


def _part(bench: Bench) -> None:
    _selects(bench, between(t(5), t(9)), 5, 9)


def _two_columns(bench: Bench) -> None:
    rows = [(row[0], row[2]) for row in bench.rows()[4:9]]
    require(
        bench.rows(LOAD_PROFILE, between(t(5), t(9), (CLOCK_COLUMN, COLUMN_3))) == rows, "columns 1 and 3"
    )


def _odd_columns(bench: Bench) -> None:
    """Duplicate and reordered columns come once each, in the order of capture_objects."""
    rows = [(row[0], row[2]) for row in bench.rows()[4:9]]
    for columns in ((COLUMN_3, CLOCK_COLUMN), (CLOCK_COLUMN, CLOCK_COLUMN, COLUMN_3)):
        require(bench.rows(LOAD_PROFILE, between(t(5), t(9), columns)) == rows, "in order, once")


def _one_column(bench: Bench) -> None:
    rows = [(row[2],) for row in bench.rows()]
    require(bench.rows(LOAD_PROFILE, between(t(1), t(20), (COLUMN_3,))) == rows, "column 3 alone")
    require(bench.rows(LOAD_PROFILE, by_entry(1, 0, 3, 3)) == rows, "by entry too")


def _unknown_column(bench: Bench) -> None:
    _refuses(bench, between(t(5), t(9), (capture_object(3, "1-1:1.8.0*255"),)), SCOPE)
    _refuses(bench, between(t(5), t(9), (capture_object(3, "1-1:1.29.0*255", 3),)), SCOPE)
    _refuses(bench, between(t(5), t(9), (capture_object(3, "1-1:1.29.0*255", 2, 1),)), SCOPE)


def _edges(bench: Bench) -> None:
    _selects(bench, between(t(1), t(1)), 1, 1)
    _selects(bench, between(t(20), FAR), 20, 20)


def _empty_ranges(bench: Bench) -> None:
    _empty(bench, between(datetime(1990, 1, 1, tzinfo=UTC), datetime(1990, 12, 31, tzinfo=UTC)))
    _empty(bench, between(t(20) + SECOND, FAR))
    _empty(bench, between(t(5) + SECOND, t(6) - SECOND))
    _empty(bench, between(t(9), t(5)))


def _inside(bench: Bench) -> None:
    _selects(bench, between(t(5) + SECOND, t(9) - SECOND), 6, 8)


def _deviations(bench: Bench) -> None:
    for deviation in (-60, 60, -840, 840):
        _selects(bench, between(t(5), t(9), deviation=deviation), 5, 9)


def _local(bench: Bench) -> None:
    """Madrid is an hour ahead of UTC in November; without deviation a bound is its local time."""
    start, end = (f"090C{date_time(t(n), -60).hex()[:18]}800000" for n in (5, 9))
    _selects(bench, by_range(start, end), 5, 9)


def _open_seconds(bench: Bench) -> None:
    """Seconds and hundredths left open are taken as the start, or the end, of what is left open."""
    start, end = date_time(t(5)).hex(), date_time(t(9)).hex()
    _selects(bench, by_range(f"090C{start[:16]}FF000000", f"090C{end[:16]}FF000000"), 5, 9)
    _selects(bench, by_range(f"090C{start[:14]}FFFF000000", f"090C{end[:14]}FFFF000000"), 5, 9)
    early = date_time(t(9) - timedelta(minutes=1)).hex()
    _selects(bench, by_range(f"090C{start[:14]}FFFF000000", f"090C{early[:14]}FFFF000000"), 5, 8)


def _wildcards(bench: Bench) -> None:
    whole, end = date_time(t(5)).hex(), f"090C{date_time(t(9)).hex()}"
    for place, octets in ((0, "FFFF"), (4, "FF"), (6, "FF"), (10, "FF"), (12, "FF"), (4, "FE"), (6, "FD")):
        bound = whole[:place] + octets + whole[place + len(octets) :]
        _refuses(bench, by_range(f"090C{bound}", end), OTHER)
        _refuses(bench, by_range(f"090C{whole}", f"090C{bound}"), OTHER)
    _refuses(bench, by_range("090C07EA0D16FF0C000000000000", end), OTHER)
    _refuses(bench, by_range("090C07EA0B16FF0C000000034900", end), OTHER)


def _tag_25(bench: Bench) -> None:
    _selects(bench, by_range(f"19{date_time(t(5)).hex()}", f"19{date_time(t(9)).hex()}"), 5, 9)
    _selects(bench, by_range(f"19{date_time(t(5)).hex()}", f"090C{date_time(t(9)).hex()}"), 5, 9)


def _restricting(bench: Bench) -> None:
    bounds = f"090C{date_time(t(5)).hex()}", f"090C{date_time(t(9)).hex()}"
    for restricting in (
        capture_object(1, "0-0:96.1.0*255"),
        COLUMN_3,
        capture_object(8, "0-0:1.0.0*255", 3),
        capture_object(3, "0-0:1.0.0*255"),
    ):
        _refuses(bench, by_range(*bounds, (), restricting), SCOPE)
    _refuses(bench, by_range("0500000000", "0500000001", (), COLUMN_3), SCOPE)


def _wrong_types(bench: Bench) -> None:
    bound = f"090C{date_time(t(5)).hex()}"
    _refuses(bench, by_range("0600000001", "0600000002"), TYPE)
    _refuses(bench, by_range("090B" + bound[4:-2], bound), TYPE)
    _refuses(bench, f"010203{CLOCK_COLUMN}{bound}{bound}", TYPE)
    _refuses(bench, f"010104{CLOCK_COLUMN}{bound}{bound}0100", TYPE)
    _refuses(bench, "0100", TYPE)
    _refuses(bench, by_range(bound, bound, (), "020312000809060000010000FF0F02"), TYPE)
    _refuses(bench, by_range(bound, bound, ("1105",)), TYPE)
    _refuses(bench, by_range(bound, bound, (), "020412000809050000010000" + "0F02120000"), TYPE)
    _refuses(bench, "0202031200010600000002120001", TYPE)
    _refuses(bench, "020204" + "0500000001" * 2 + "120001120000", TYPE)


def _entries(bench: Bench) -> None:
    _selects(bench, by_entry(1, 20, 1, 6), 1, 20)
    _selects(bench, by_entry(1, 0), 1, 20)
    _selects(bench, by_entry(3, 7), 3, 7)
    _selects(bench, by_entry(20, 20), 20, 20)
    _selects(bench, by_entry(18, 100), 18, 20)
    _selects(bench, by_entry(18, 0xFFFFFFFF), 18, 20)


def _entry_columns(bench: Bench) -> None:
    rows = [row[1:3] for row in bench.rows()[:2]]
    require(bench.rows(LOAD_PROFILE, by_entry(1, 2, 2, 3)) == rows, "columns 2 and 3")
    require(
        bench.rows(LOAD_PROFILE, by_entry(1, 2, 2, 0)) == [r[1:] for r in bench.rows()[:2]], "2 to the last"
    )


def _entry_bounds(bench: Bench) -> None:
    _empty(bench, by_entry(21, 0))
    _empty(bench, by_entry(21, 30))
    _empty(bench, by_entry(7, 3))
    _refuses(bench, by_entry(0, 0), SCOPE)
    _refuses(bench, by_entry(0, 5), SCOPE)
    for first, last in ((0, 0), (7, 7), (3, 2), (1, 7), (7, 0)):
        _refuses(bench, by_entry(1, 1, first, last), SCOPE)


def _agree(bench: Bench) -> None:
    rows = bench.rows(LOAD_PROFILE, by_entry(1, 2))
    bounds = [f"090C{row[0].octets().hex()}" for row in rows]
    require(bench.rows(LOAD_PROFILE, by_range(bounds[0], bounds[1])) == rows, "as read, so asked")


def _billing(bench: Bench) -> None:
    rows = bench.rows(BILLING)
    require(len(rows) == 3 and {len(row) for row in rows} == {13}, "3 rows of 13 columns")
    _selects(bench, by_entry(1, 0), 1, 3, BILLING)
    _selects(bench, by_entry(2, 3), 2, 3, BILLING)
    require(bench.rows(BILLING, by_entry(1, 1, 12, 13)) == [rows[0][11:]], "columns 12 and 13")
    _selects(bench, between(T20 - timedelta(hours=2), T20), 2, 3, BILLING)


def _empty_buffer(bench: Bench) -> None:
    require(
        bench.read(7, LOAD_PROFILE) == b"\1\0" and bench.value(7, LOAD_PROFILE, 7).integer() == 0, "empty"
    )
    _empty(bench, between(datetime(2000, 1, 1, tzinfo=UTC), FAR))
    _empty(bench, by_entry(1, 0))
    require(bench.value(1, "0-0:97.97.0*255").value is None, "no record, no status")


def _selector_rules(bench: Bench) -> None:
    selection = between(t(5), t(9))
    for class_id, name, attribute in ((7, LOAD_PROFILE, 3), (8, "0-0:1.0.0*255", 2), (7, LOAD_PROFILE, 0)):
        answer = bench.apdu(get_request(class_id, name, attribute, selection))
        require(answer == bytes.fromhex(SCOPE), f"{name} {attribute}: {answer!r}")
    for selector in ("00", "03", "FF"):
        answer = bench.apdu(get_request(7, LOAD_PROFILE, 2, selector + "00"))
        require(answer == bytes.fromhex(SCOPE), f"selector {selector}: {answer!r}")


def _not_negotiated(bench: Bench) -> None:
    for selection in (between(t(5), t(9)), by_entry(1, 2)):
        _refuses(bench, selection, "D80102")


def _frozen(bench: Bench) -> None:
    due = bench.read(7, LOAD_PROFILE)
    answer = bench.apdu(WHOLE_RANGE) or b""
    require(answer[:2].hex() == "c402", "in blocks")
    bench.wait(900)
    require(len(bench.meter.ion.recorders["Load Profile"].log.packed(0, 99)) > 0, "recording goes on")
    require(bench.joined(answer) == due, "the rows of the time of the request")
    require(bench.value(7, LOAD_PROFILE, 7).integer() == 21, "and a new one since")


CASES: Final = (
    Case("SA-00", "the fixture", "AT", _fixture),
    Case("SA-01", "whole interval", "AT", _whole),
    Case("SA-02", "SA-03, SA-07, SA-11: ranges without a row", "AT", _empty_ranges),
    Case("SA-04", "part of the interval, all columns", "AT", _part),
    Case("SA-05", "part of the interval, two columns", "AT", _two_columns),
    Case("SA-06", "one column", "AT", _one_column),
    Case("SA-08", "just inside each end", "AT", _inside),
    Case("SA-09", "first row; last row", "AT", _edges),
    Case("SA-10", "seconds and hundredths not specified", "AT", _open_seconds),
    Case("SA-12", "same instants in another deviation", "AT", _deviations),
    Case("SA-13", "deviation not specified", "AT", _local, settings=(("clock.zone", "Europe/Madrid"),)),
    Case("SA-14", "wildcards and impossible dates in a bound", "AT", _wildcards),
    Case("SA-15", "bounds coded as date-time", "AT", _tag_25),
    Case("SA-16", "SA-17: restricting object is not the clock column", "AT", _restricting),
    Case("SA-18", "a column that is not captured", "AT", _unknown_column),
    Case("SA-19", "duplicate and reordered columns", "AT", _odd_columns),
    Case("SA-20", "wrong parameter type", "AT", _wrong_types),
    Case("SA-21", "empty buffer", "AT", _empty_buffer, settings=(("history", 0),)),
    Case("SA-22", "SA-23, SA-24, SA-27: entries", "AT", _entries),
    Case("SA-25", "columns by number", "AT", _entry_columns),
    Case("SA-28", "SA-29, SA-31: entries and columns out of bounds", "AT", _entry_bounds),
    Case("SA-32", "entry and range agree", "AT", _agree),
    Case("SA-33", "billing profile", "AT", _billing),
    Case("SA-34", "the same by SAP 1", "AT", _part, client=1),
    Case("SA-35", "selector on another attribute; unknown selector", "AT", _selector_rules),
    Case("SA-36", "not negotiated", "AT", _not_negotiated, aarq=GET_ONLY),
    Case(
        "SA-37",
        "capture during a read",
        "AT",
        _frozen,
        settings=(("port.ETHERNET.inactivity", 3600),),
        aarq=AARQ[:-4] + "0080",
    ),
)
