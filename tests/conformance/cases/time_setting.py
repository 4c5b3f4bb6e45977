"""Suite TIME SETTING: SET of clock attribute 2. Where profile and list differ, the profile wins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.conformance.bench import BILLING, LOAD_PROFILE, SET_TIME, START, Bench, date_time, require
from tests.conformance.cases.case import Case

T0: Final = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)
_SET: Final = "C101C100080000010000FF0200"
DONE: Final = "C501C100"
OTHER_REASON: Final = "C501C1FA"
TYPE_UNMATCHED: Final = "C501C10C"
_PATIENT: Final = (("port.ETHERNET.inactivity", 86400),)


def _now(bench: Bench) -> datetime:
    return datetime.fromtimestamp(bench.meter.ion.at_ms / 1000, UTC)


def _set(bench: Bench, value: str, expected: str, after: datetime | None = None) -> None:
    """SET the time; `after` is what the clock shows then, None for as it was."""
    before = _now(bench)
    answer = bench.apdu(_SET + value)
    require(answer is not None and answer.hex().upper() == expected, f"{value}: {answer!r}, {expected} due")
    due = before if after is None else after
    require(_now(bench) == due, f"{value}: the clock shows {_now(bench)}, {due} due")


def _cases(*rows: tuple[str, str, datetime | None]) -> Any:
    def run(bench: Bench) -> None:
        for value, expected, after in rows:
            _set(bench, value, expected, after)

    return run


def _seen(bench: Bench) -> None:
    _set(bench, SET_TIME[26:], DONE, T0)
    require(bench.clock() == T0, "and a client sees it")


def _unspecified_fields(bench: Bench) -> None:
    """Each field alone and all together: what is not specified keeps its present value."""
    whole = bytes.fromhex("07E901020303040500000000")
    fields = {
        "year": (0, 2),
        "month": (2, 3),
        "day": (3, 4),
        "hour": (5, 6),
        "minute": (6, 7),
        "second": (7, 8),
    }
    for name, (begin, end) in fields.items():
        now = _now(bench)
        octets = whole[:begin] + b"\xff" * (end - begin) + whole[end:]
        due = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC).replace(**{name: getattr(now, name)})
        _set(bench, "090C" + octets.hex(), DONE, due)
    _set(bench, "090C" + "FFFFFFFFFFFFFFFFFF8000FF", DONE)


def _out_of_range(bench: Bench) -> None:
    good = "07EA0B16FF0C223800000000"
    bad = {
        2: ("00", "0D", "FD", "FE"),  # month; FD and FE are the daylight saving codes
        3: ("00", "20", "FD", "FE"),  # day of month; FD and FE are counted from its end
        5: ("18", "FE"),
        6: ("3C", "FE"),
        7: ("3C", "FE"),
        8: ("64", "FE"),
    }
    for place, values in bad.items():
        for value in values:
            _set(bench, "090C" + good[: 2 * place] + value + good[2 * place + 2 :], OTHER_REASON)
    for value in ("0000", "2710", "FFFE"):
        _set(bench, "090C" + value + good[4:], OTHER_REASON)
    for deviation in ("0349", "FCB7", "7FFF"):  # 841 and -841 minutes: beyond any zone
        _set(bench, "090C" + good[:18] + deviation + "00", OTHER_REASON)
    _set(bench, "090C07EA021EFF0C223800000000", OTHER_REASON)  # the 30th of February
    _set(bench, "090C07EB021DFF0C223800000000", OTHER_REASON)  # the 29th, of no leap year


def _all_deviations(bench: Bench) -> None:
    for deviation in (-840, -780, -60, 60, 720, 840):
        _set(bench, "090C" + date_time(T0, deviation).hex(), DONE, T0)


def _local_type(bench: Bench) -> None:
    """Without a deviation as local time, by Time Sync Type LOCAL; in the repeated hour the first."""
    _set(bench, "090C07EA0B16FF0D223800800000", DONE, T0)
    summer = datetime(2026, 7, 1, 10, tzinfo=UTC)
    _set(bench, "090C07EA0701FF0C000000800000", DONE, summer)
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    _set(bench, "090C07EA0A19FF021E0000800000", DONE, first)
    _set(bench, "090CFFFFFFFFFF031E0000800000", DONE, datetime(2026, 10, 25, 2, 30, tzinfo=UTC))


def _utc_type(bench: Bench) -> None:
    _set(bench, "090C07EA0B16FF0C223800800000", DONE, T0)


def _stepped(bench: Bench) -> None:
    _set(
        bench,
        "090C" + date_time(START + timedelta(hours=1, minutes=30)).hex(),
        DONE,
        START + timedelta(hours=1.5),
    )
    bench.wait(900)
    last = bench.rows(LOAD_PROFILE)[-2:]
    require(last[1][1].integer() == 0x0020, f"status {last[1][1].integer():04X}")
    require(last[1][0].octets()[5:8].hex() == "0d2d00", "one row, at the next boundary")
    require(last[0][0].octets()[5:8].hex() == "0c0000", "and none for what was stepped over")
    require(bench.value(1, "0-0:97.97.0*255").integer() == 0x0020, "and the status object says so")
    bench.wait(900)
    require(bench.rows(LOAD_PROFILE)[-1][1].integer() == 0, "the bit clears once it is stored")


def _small_step(bench: Bench) -> None:
    bench.wait(60)
    _set(bench, "090C" + date_time(START + timedelta(seconds=61)).hex(), DONE, START + timedelta(seconds=61))
    bench.wait(900)
    require(bench.rows(LOAD_PROFILE)[-1][1].integer() == 0, "a step of the threshold sets no bit")


def _backwards(bench: Bench) -> None:
    before = bench.rows(LOAD_PROFILE)
    back = START - timedelta(hours=2)
    _set(bench, "090C" + date_time(back).hex(), DONE, back)
    bench.wait(900)
    after = bench.rows(LOAD_PROFILE)
    require(after[:-1] == before and len(after) == 21, "rows keep their order, none is lost")
    moment = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    by_range = (
        "01020402041200080906" + "0000010000FF0F02120000" + f"090C{date_time(moment).hex()}" * 2 + "0100"
    )
    found = bench.rows(LOAD_PROFILE, by_range)
    require(found == [before[-8], after[-1]], "by range: both rows of that time, in order of capture")
    by_entry = "020204060000001506000000151200011200 00".replace(" ", "")
    require(bench.rows(LOAD_PROFILE, by_entry) == [after[-1]], "by entry: the last is the last")
    require(len(bench.rows(BILLING)) == 3, "billing has no boundary there")


def _far_dates(bench: Bench) -> None:
    for year, month, day in ((2000, 1, 1), (2028, 2, 29), (2099, 12, 31)):
        end = datetime(year, month, day, 23, 59, 59, tzinfo=UTC)
        _set(bench, "090C" + date_time(end).hex(), DONE, end)
        bench.wait(1)
        require(bench.clock() == end + timedelta(seconds=1), f"rolls over to {bench.clock()}")


def _denied(bench: Bench, expected: str) -> None:
    before = _now(bench)
    answer = bench.apdu(SET_TIME)
    require(answer == bytes.fromhex(expected), f"{answer!r}, {expected} due")
    require(_now(bench) == before and bench.meter.ion.clock.steps == 0, "the clock was set")


def _not_negotiated(bench: Bench) -> None:
    _denied(bench, "D80102")


def _wrong_port(bench: Bench) -> None:
    _denied(bench, "C501C103")
    mode = bench.value(15, "0-0:40.0.0*255")
    clock = next(item for item in mode.items() if item.items()[0].integer() == 8)
    require(
        clock.items()[3].items()[0].items()[1].items()[1].integer() == 1, "and object_list says read only"
    )


_UNSPECIFIED_YEAR: Final = "090CFFFF0B16FF0C2238FF000000"

CASES: Final = (
    Case("TS-01", "set UTC", "AT", _seen, client=1),
    Case(
        "TS-02",
        "set local time with deviation",
        "AT",
        _cases(("090C07EA0B16FF0D223800FFC400", DONE, T0)),
        client=1,
    ),
    # The profile, time synchronization: by Time Sync Type, not always local.
    Case(
        "TS-03",
        "deviation not specified, UTC",
        "AT",
        _utc_type,
        client=1,
        settings=(("clock.zone", "Europe/Madrid"),),
    ),
    Case(
        "TS-03b",
        "deviation not specified, LOCAL",
        "AT",
        _local_type,
        client=1,
        settings=(("clock.zone", "Europe/Madrid"), ("clock.time_sync_type", "LOCAL")),
    ),
    Case(
        "TS-04",
        "hundredths FF, day of week FF",
        "AT",
        _cases(("090C07EA0B16FF0C2238FF000000", DONE, T0)),
        client=1,
    ),
    # The profile and the text of the list: an unspecified year keeps the present one.
    Case("TS-05", "year wildcard", "AT", _cases((_UNSPECIFIED_YEAR, DONE, T0)), client=1),
    Case("TS-05b", "any field not specified", "AT", _unspecified_fields, client=1),
    Case("TS-06", "a field out of range fails the whole request", "AT", _out_of_range, client=1),
    Case(
        "TS-07",
        "wrong day of week is ignored",
        "AT",
        _cases(
            ("090C07EA0B16010C223800000000", DONE, T0),
            ("090C07EA0B16080C223800000000", DONE, T0),
            ("090C07EA0B16000C223800000000", DONE, T0),
        ),
        client=1,
    ),
    Case(
        "TS-08",
        "wrong type or length",
        "AT",
        _cases(
            ("1105", TYPE_UNMATCHED, None),
            ("090B07EA0B16FF0C2238000000", TYPE_UNMATCHED, None),
            ("090D07EA0B16FF0C22380000000000", TYPE_UNMATCHED, None),
            ("0900", TYPE_UNMATCHED, None),
            ("00", TYPE_UNMATCHED, None),
            ("0201090C07EA0B16FF0C223800000000", TYPE_UNMATCHED, None),
        ),
        client=1,
    ),
    Case(
        "TS-09",
        "date-time type instead of octet-string",
        "AT",
        _cases(("1907EA0B16FF0C223800000000", DONE, T0)),
        client=1,
    ),
    Case("TS-10", "every deviation", "AT", _all_deviations, client=1),
    Case(
        "TS-12",
        "SET without negotiated bit 20",
        "AT",
        _not_negotiated,
        client=1,
        aarq="6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738"
        "BE10040E01000000065F1F040000001004B0",
    ),
    Case("TS-13", "SET without AA", "RT", _not_negotiated, client=1),
    Case("TS-14", "SET by the public client", "AT", _not_negotiated),
    Case("TS-15", "step is recorded", "AT", _stepped, client=1, settings=_PATIENT),
    Case("TS-15b", "a step of the threshold is not", "AT", _small_step, client=1, settings=_PATIENT),
    Case("TS-16", "step backwards", "AT", _backwards, client=1, settings=_PATIENT),
    Case("TS-17", "far dates", "AT", _far_dates, client=1, settings=_PATIENT),
    Case(
        "TS-18",
        "over a port that is not the Time Sync Source",
        "AT",
        _wrong_port,
        client=1,
        settings=(("clock.time_sync_source", "COM1"),),
    ),
)
