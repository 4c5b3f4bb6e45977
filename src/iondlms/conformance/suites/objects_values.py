"""Suite COSEM OBJECTS, values: association, clock and profiles, each against itself and its neighbours."""

from __future__ import annotations

import calendar
import itertools
from datetime import date, timedelta
from typing import Final

from iondlms.codec.axdr import Tag
from iondlms.conformance.apdus import (
    ASSOCIATION,
    CLOCK,
    DEVICE_NAME,
    SAP_ASSIGNMENT,
)
from iondlms.conformance.bench import Bench
from iondlms.conformance.classes import class_of
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.object_list import object_list
from iondlms.conformance.verdict import Inapplicable, Inconclusive, require


def partners(bench: Bench) -> None:
    """Client and server SAP are the addresses in use."""
    items = bench.value(15, ASSOCIATION, 3).items()
    require([items[0].integer(), items[1].integer()] == [bench.sap, bench.cti.hdlc.logical], f"{items}")


def _context_name(bench: Bench) -> None:
    """Logical names without ciphering."""
    value = bench.read(15, ASSOCIATION, 4).hex().upper()
    bench.match(value, "090760857405080101", "02071102*", why="application context name")


def context_info(bench: Bench) -> None:
    """Conformance as negotiated, both PDU sizes (never 0), DLMS version 6."""
    info = bench.value(15, ASSOCIATION, 5).items()
    bits = info[0].value
    require(
        getattr(bits, "octets", b"").hex().upper() == bench.granted(),
        f"conformance {info[0]}, {bench.granted()} due",
    )
    require(info[1].integer() == bench.server_pdu, f"max receive PDU size {info[1].integer()}")
    if info[2].integer() != 0x04B0:
        bench.remark(f"max send PDU size {info[2].integer()}, 1200 was proposed")
    require(info[2].integer() != 0, "max send PDU size is 0")
    require(info[3].integer() == 6, f"DLMS version {info[3].integer()}")
    bench.associate(bench.own_aarq(size=0))
    if bench.value(15, ASSOCIATION, 5).items()[2].integer() == 0:
        bench.remark("max send PDU size is 0 for a client without a limit")


def mechanism(bench: Bench) -> None:
    """The mechanism of this client: 0 lowest level, 1 low level security."""
    last = "01" if bench.role == "setting" else "00"
    value = bench.read(15, ASSOCIATION, 6).hex().upper()
    bench.match(value, f"0907608574050802{last}", f"0207*{''}", why="mechanism name")
    require(value.endswith(last), f"mechanism name {value}")


def _status(bench: Bench) -> None:
    """Associated (2)."""
    require(bench.read(15, ASSOCIATION, 8).hex() == "1602", "association_status")


def _sap_assignment(bench: Bench) -> None:
    """This logical device is in the list, with the name it has itself."""
    entries = [entry.items() for entry in bench.value(17, SAP_ASSIGNMENT).items()]
    own = [name for sap, name in entries if sap.integer() == bench.cti.hdlc.logical]
    require(own == [bench.value(1, DEVICE_NAME)], f"{own}: one entry with the device's name is due")


def _device_name(bench: Bench) -> None:
    """4 to 16 printable octets, three capital letters first."""
    data = bench.value(1, DEVICE_NAME)
    name = data.value if isinstance(data.value, bytes) else str(data.value).encode()
    require(4 <= len(name) <= 16 and name.isascii() and name.decode().isprintable(), f"{name!r}")
    require(name[:3].isalpha() and name[:3].isupper(), f"{name!r}")


def _clock_time(bench: Bench) -> None:
    """12 octets: a date that exists with its own day of the week, a time, a deviation within a day."""
    data = bench.value(8, CLOCK)
    octets = data.octets()
    tag = Tag.DATE_TIME if bench.cti.clock.tag == "date-time" else Tag.OCTET_STRING
    require(data.tag is tag and len(octets) == 12, str(data))
    year, month, day = int.from_bytes(octets[:2], "big"), octets[2], octets[3]
    require(1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1], octets.hex())
    require(octets[4] in (date(year, month, day).isoweekday(), 0xFF), f"day of week {octets[4]}")
    require(octets[5] < 24 and octets[6] < 60 and octets[7] < 60, octets.hex())
    require(octets[8] < 100 or octets[8] == 0xFF, f"hundredths {octets[8]}")
    deviation = int.from_bytes(octets[9:11], "big", signed=True)
    unspecified = bench.cti.clock.deviation == "unspecified"
    require((deviation == -0x8000) if unspecified else abs(deviation) <= 840, f"deviation {deviation}")
    require(octets[11] == 0xFF or octets[11] & 0x70 == 0, f"status {octets[11]:02X}")


def _deviation_sign(bench: Bench) -> None:
    """Minutes from local time to UTC: that of attribute 2 is attribute 3, less the daylight saving of
    attribute 7 while it is in force; the CTI may say reversed, unspecified or UTC."""
    octets = bench.value(8, CLOCK).octets()
    deviation = int.from_bytes(octets[9:11], "big", signed=True)
    zone, daylight = bench.value(8, CLOCK, 3).integer(), bench.value(8, CLOCK, 7).integer()
    mode = bench.cti.clock.deviation
    if mode == "unspecified":
        require(deviation == -0x8000, f"deviation {deviation}")
        return
    in_force = octets[11] != 0xFF and octets[11] & 0x80
    due = zone - (daylight if in_force else 0) * (-1 if mode == "reversed" else 1)
    require(deviation == (0 if mode == "utc" else due), f"deviation {deviation}, {due} due")


def _clock_runs(bench: Bench) -> None:
    """Some seconds of the line are as many of the meter."""
    seconds = 10.0 if not bench.fast else 3.0
    before, at = bench.clock(), bench.now()
    bench.linger(seconds)
    passed = (bench.clock() - before) / timedelta(seconds=1)
    require(abs(passed - (bench.now() - at)) <= 1.5, f"{passed} s in {bench.now() - at:.1f} s")


def _clock_rest(bench: Bench) -> None:
    """Attributes 3 to 9 typed and within bounds; 4 is the status octet of 2."""
    known = class_of(8, 0)
    for number, (name, type_) in enumerate(known.attributes if known else (), 1):
        fault = type_(bench.value(8, CLOCK, number))
        require(not fault, f"attribute {number} ({name}): {fault}")
    status = bench.value(8, CLOCK).octets()[11]
    if status != 0xFF:
        require(bench.value(8, CLOCK, 4).integer() == status, f"status {status:02X} in attribute 2")


def _profiles(bench: Bench) -> list[str]:
    found = [item.name for item in object_list(bench) if item.class_id == 7]
    if not found:
        raise Inapplicable("there is no profile")
    return found


def _profile_attributes(bench: Bench) -> None:
    """Attributes 3 to 8 of every profile typed; the sort object is none, or one of the captured."""
    known = class_of(7, 1)
    for profile in _profiles(bench):
        for number, (name, type_) in enumerate(known.attributes if known else (), 1):
            if number != 2:
                fault = type_(bench.value(7, profile, number))
                require(not fault, f"{profile} attribute {number} ({name}): {fault}")
        method, sort = bench.value(7, profile, 5).integer(), bench.value(7, profile, 6)
        captured = bench.value(7, profile, 3).items()
        none = sort.items()[0].integer() == 0
        require((none and method in (1, 2)) or sort in captured, f"{profile}: sort object {sort}")


def _counters(bench: Bench) -> None:
    """As many rows as entries_in_use, no more than profile_entries; as many cells as captured objects."""
    for profile in (bench.profile, *filter(None, (bench.cti.objects.billing,))):
        # Asked on both sides of the rows: one may be captured meanwhile.
        before, rows = bench.value(7, profile, 7).integer(), bench.rows(profile)
        used = bench.value(7, profile, 7).integer()
        columns = len(bench.value(7, profile, 3).items())
        require(before <= len(rows) <= used, f"{profile}: {len(rows)} rows, {before}, then {used} in use")
        require(used <= bench.value(7, profile, 8).integer(), f"{profile}: {used} entries are too many")
        require({len(row) for row in rows} <= {columns}, f"{profile}: rows are not of {columns} cells")


def _time_column(bench: Bench) -> None:
    """Times rise from row to row, by multiples of the capture period, and none is of the future."""
    rows = bench.some_rows(2)
    zone = bench.zone() if bench.cti.clock.deviation == "unspecified" else None
    times = [bench.instant(row[0].octets(), zone) for row in rows]
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    if min(steps) <= timedelta(0) and bench.cti.objects.ion:
        changed = any(row[1].integer() & 0x0020 for row in rows)
        if changed:
            raise Inconclusive("the clock was set back while these rows were captured, their status says")
    require(min(steps) > timedelta(0), "times do not rise")
    period = bench.value(7, bench.profile, 4).integer()
    if period:
        odd = [step for step in steps if step % timedelta(seconds=period)]
        if odd:
            bench.remark(f"steps of {odd[0]} at a capture period of {period} s")
    require(times[-1] <= bench.clock() + timedelta(seconds=1), f"a row of the future: {times[-1]}")


def _whole_profile(bench: Bench) -> None:
    """Attribute 0 of a profile: its attributes in order, rows and entries_in_use of one moment."""
    whole = bench.value(7, bench.profile, 0).items()
    require(len(whole) == 8, f"{len(whole)} attributes")
    require(len(whole[1].items()) == whole[6].integer(), "rows and entries_in_use are of two moments")
    for number in (1, 3, 4, 5, 6, 8):
        require(whole[number - 1] == bench.value(7, bench.profile, number), f"attribute {number}")


_BB: Final = "62056-62 (Blue Book 4.3)"


CASES: Final = (
    Case("CO-06", "application context name", "AT", _context_name, _BB),
    Case("CO-10", "association status", "AT", _status, _BB),
    Case("CO-12", "SAP assignment", "AT", _sap_assignment, _BB),
    Case("CO-13", "logical device name", "AT", _device_name, _BB),
    Case("CO-15", "clock time", "AT", _clock_time, _BB, needs=("clock",)),
    Case("CO-16", "clock runs", "AT", _clock_runs, _BB, needs=("clock",)),
    Case("CO-17", "clock time zone, status, DST", "AT", _clock_rest, _BB, needs=("clock",)),
    Case("CO-18", "sign of the deviation", "AT", _deviation_sign, _BB, needs=("clock",)),
    Case("CO-19", "profile attributes typed", "AT", _profile_attributes, _BB),
    Case("CO-23", "buffer against counters", "AT", _counters, _BB, needs=("profile",)),
    Case("CO-25", "time column", "AT", _time_column, _BB, needs=("profile", "clock")),
    Case(
        "CO-110",
        "attribute 0 of a profile",
        "AT",
        _whole_profile,
        _BB,
        needs=("attribute-0", "profile", "blocks"),
    ),
)
