"""Suite COSEM OBJECTS: what the objects say of themselves, each other and the meter behind them."""

from __future__ import annotations

import calendar
import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from tests.conformance.bench import (
    AARQ,
    AARQ_LLS,
    ASSOCIATION,
    BILLING,
    CLOCK,
    DEVICE_NAME,
    LOAD_PROFILE,
    Bench,
    get_request,
    require,
)
from tests.conformance.cases.case import Case

from iondlms.codec.axdr import Data, Tag
from iondlms.codec.obis import ObisCode
from iondlms.meter import Meter, load

SAP_ASSIGNMENT: Final = "0-0:41.0.0*255"
STATUS_WORD: Final = "0-0:97.97.0*255"
# The profile, section 4, in its order: register, unit, scaler, type, name of the quantity.
INTERVAL: Final = (
    ("1-1:1.29.0*255", 30, 0, Tag.DOUBLE_LONG, "kWh del int"),
    ("1-1:3.29.0*255", 32, 0, Tag.DOUBLE_LONG, "kVARh del int"),
    ("1-1:2.29.0*255", 30, 0, Tag.DOUBLE_LONG, "kWh rec int"),
    ("1-1:4.29.0*255", 32, 0, Tag.DOUBLE_LONG, "kVARh rec int"),
)
TOTAL: Final = (
    ("1-1:1.8.0*255", 30, 0, Tag.LONG64, "kWh del"),
    ("1-1:2.8.0*255", 30, 0, Tag.LONG64, "kWh rec"),
    ("1-1:16.8.0*255", 30, 0, Tag.LONG64, "kWh del-rec"),
    ("1-1:3.8.0*255", 32, 0, Tag.LONG64, "kVARh del"),
    ("1-1:4.8.0*255", 32, 0, Tag.LONG64, "kVARh rec"),
    ("1-1:128.8.0*255", 32, 0, Tag.LONG64, "kVARh del-rec"),
    ("1-1:9.8.0*255", 31, 0, Tag.LONG64, "kVAh del+rec"),
    ("1-1:16.4.0*255", 27, 0, Tag.DOUBLE_LONG, "kW sd del-rec"),
    ("1-1:128.4.0*255", 29, 0, Tag.DOUBLE_LONG, "kVAR sd del-rec"),
    ("1-1:9.4.0*255", 28, 0, Tag.DOUBLE_LONG, "kVA sd del+rec"),
    ("1-1:13.0.0*255", 255, -3, Tag.DOUBLE_LONG, "PF sign mean"),
)
_ATTRIBUTES: Final = {1: 2, 3: 3, 7: 8, 8: 9, 15: 9, 17: 2}
_METHODS: Final = {1: 0, 3: 1, 7: 2, 8: 6, 15: 4, 17: 1}
_VERSIONS: Final = {1: 0, 3: 0, 7: 1, 8: 0, 15: 1, 17: 0}


def _tags(data: Data) -> list[Tag]:
    return [item.tag for item in data.items()]


def _object_list(bench: Bench) -> dict[tuple[int, str], list[tuple[int, int, Data]]]:
    found: dict[tuple[int, str], list[tuple[int, int, Data]]] = {}
    for item in bench.value(15, ASSOCIATION).items():
        require(_tags(item) == [Tag.LONG_UNSIGNED, Tag.UNSIGNED, Tag.OCTET_STRING, Tag.STRUCTURE], str(item))
        class_id, version, name, rights = item.items()
        require(version.integer() == _VERSIONS[class_id.integer()], f"version of class {class_id}")
        attributes, methods = rights.items()
        listed = []
        for attribute in attributes.items():
            require(_tags(attribute)[:2] == [Tag.INTEGER, Tag.ENUM], str(attribute))
            number, mode, selectors = attribute.items()
            require(mode.integer() in range(4), f"access mode {mode}")
            require(selectors.tag in (Tag.NULL_DATA, Tag.ARRAY), f"selectors {selectors}")
            listed.append((number.integer(), mode.integer(), selectors))
        require(
            [number for number, _, _ in listed] == [*range(1, _ATTRIBUTES[class_id.integer()] + 1)],
            f"attributes of class {class_id.integer()}: {listed}",
        )
        numbers = [[cell.integer() for cell in method.items()] for method in methods.items()]
        due = [[method, 0] for method in range(1, _METHODS[class_id.integer()] + 1)]
        # Action is not offered: a method is listed as not callable, or not at all.
        require(numbers in (due, []), f"methods of class {class_id.integer()}: {numbers}")
        key = class_id.integer(), str(ObisCode(name.octets()))
        require(key not in found, f"{key} is listed twice")
        found[key] = listed
    return found


def _well_formed(bench: Bench) -> None:
    require(len(_object_list(bench)) == 7 + 15, "seven objects and fifteen registers")


def _against_reality(bench: Bench) -> None:
    for (class_id, name), attributes in _object_list(bench).items():
        for number, mode, _ in attributes:
            answer = bench.apdu(get_request(class_id, name, number)) or b""
            refused = answer[3:4] == b"\1"
            require(refused == (mode in (0, 2)), f"{name} {number}: mode {mode}, {answer[:8].hex()}")
            require(not refused or answer[4:] == b"\3", f"refused by {answer[4:].hex()} and not 03")
        require(bench.value(class_id, name, 1).octets() == ObisCode.parse(name).octets, f"name of {name}")
        beyond = bench.apdu(get_request(class_id, name, len(attributes) + 1)) or b""
        require(beyond.hex() == "c401c10104", f"attribute {len(attributes) + 1} of {name}: {beyond.hex()}")


def _rights(bench: Bench) -> None:
    """The clock may be written by whoever may set it, and nothing else by anybody."""
    writable = [
        (key, number)
        for key, attributes in _object_list(bench).items()
        for number, mode, _ in attributes
        if mode > 1
    ]
    require(writable == ([((8, CLOCK), 2)] if bench.client == 1 else []), f"writable: {writable}")


def _nothing_hidden(bench: Bench) -> None:
    listed = _object_list(bench)
    captured = [
        (item.items()[0].integer(), str(ObisCode(item.items()[1].octets())))
        for profile in (LOAD_PROFILE, BILLING)
        for item in bench.value(7, profile, 3).items()
    ]
    for key in captured:
        require(key in listed, f"{key} is captured and not listed")
        bench.read(key[0], key[1], 1)


def _mandatory(bench: Bench) -> None:
    listed = _object_list(bench)
    due = (
        (15, ASSOCIATION),
        (17, SAP_ASSIGNMENT),
        (1, DEVICE_NAME),
        (8, CLOCK),
        (7, LOAD_PROFILE),
        (7, BILLING),
        (1, STATUS_WORD),
        *((3, row[0]) for row in INTERVAL + TOTAL),
    )
    require(set(due) == set(listed), f"missing or too many: {set(due) ^ set(listed)}")


def _partners(bench: Bench) -> None:
    require(bench.read(15, ASSOCIATION, 3).hex().upper() == f"02020F{bench.client:02X}120001", "partners")


def _context_name(bench: Bench) -> None:
    require(bench.read(15, ASSOCIATION, 4).hex().upper() == "090760857405080101", "context name")


def _context_info(bench: Bench) -> None:
    granted = "003014" if bench.client == 16 else "00301C"
    due = f"02060418{granted}12{bench.server_pdu.hex()}1204B011060F000900".upper()
    info = bench.read(15, ASSOCIATION, 5).hex().upper()
    require(info == due, f"{info}, {due} due")
    bench.associate((AARQ if bench.client == 16 else AARQ_LLS)[:-4] + "0000")
    require(bench.value(15, ASSOCIATION, 5).items()[2].integer() != 0, "sizes are not 0")


def _mechanism(bench: Bench) -> None:
    due = "0907608574050802" + ("00" if bench.client == 16 else "01")
    require(bench.read(15, ASSOCIATION, 6).hex().upper() == due, "mechanism name")


def _secret(bench: Bench) -> None:
    answer = bench.apdu(get_request(15, ASSOCIATION, 7))
    require(answer == bytes.fromhex("C401C10103"), f"{answer!r}")
    require(b"12345678" not in b"".join(bench.answers), "the secret is nowhere")


def _status(bench: Bench) -> None:
    require(bench.read(15, ASSOCIATION, 8).hex().upper() == "1602", "associated")


def _later_versions(bench: Bench) -> None:
    bench.read(15, ASSOCIATION, 9)
    for attribute in (10, 11):
        answer = bench.apdu(get_request(15, ASSOCIATION, attribute))
        require(answer == bytes.fromhex("C401C10104"), f"attribute {attribute}: {answer!r}")


def _sap_assignment(bench: Bench) -> None:
    name = bench.read(1, DEVICE_NAME).hex()
    require(bench.read(17, SAP_ASSIGNMENT).hex() == f"01010202120001{name}", "SAP assignment")


def _device_name(bench: Bench) -> None:
    name = bench.value(1, DEVICE_NAME).octets()
    require(4 <= len(name) <= 16 and name.isascii() and name.decode().isprintable(), f"{name!r}")
    require(name[:3].isalpha() and name[:3].isupper(), f"{name!r}")
    other = Meter(load(None, [("port.ETHERNET.unit_id", 18)])).logical_device_name.encode()
    require(name != other, "two meters have one name")
    other = Meter(load(None, [("port.ETHERNET.unit_id", 17), ("seed", 2)])).logical_device_name.encode()
    require(name != other, "two meters have one name")


def _clock_time(bench: Bench) -> None:
    data = bench.value(8, CLOCK)
    octets = data.octets()
    require(data.tag is Tag.OCTET_STRING and len(octets) == 12, str(data))
    year, month, day = int.from_bytes(octets[:2], "big"), octets[2], octets[3]
    require(1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1], octets.hex())
    require(octets[4] == date(year, month, day).isoweekday(), f"day of week {octets[4]}")
    require(octets[5] < 24 and octets[6] < 60 and octets[7] < 60 and octets[8] < 100, octets.hex())
    require(-720 <= int.from_bytes(octets[9:11], "big", signed=True) <= 720, octets.hex())
    require(octets[11] & 0x70 == 0, f"status {octets[11]:02X}")
    require(octets.hex() == "07ea0b16070c001e00000000", f"the instant of the fixture: {octets.hex()}")


def _clock_runs(bench: Bench) -> None:
    before = bench.clock()
    bench.wait(10)
    require(bench.clock() - before == timedelta(seconds=10), "ten seconds are ten seconds")


def _clock_rest(bench: Bench) -> None:
    status = bench.value(8, CLOCK).octets()[11]
    due = ("100000", f"11{status:02x}", "0f00", "0300", "1601")
    for attribute, value in zip((3, 4, 7, 8, 9), due, strict=True):
        require(bench.read(8, CLOCK, attribute).hex() == value, f"attribute {attribute}")
    for attribute in (5, 6):
        require(len(bench.value(8, CLOCK, attribute).octets()) == 12, f"attribute {attribute}")


def _clock_in_madrid(bench: Bench) -> None:
    due = {
        2: "090c07ea0b16070d001e00ffc400",
        3: "10ffc4",
        4: "1100",
        5: "090c07ea031d0702000000800 0ff".replace(" ", ""),
        6: "090c07ea0a19070300000080 00ff".replace(" ", ""),
        7: "0f3c",
        8: "0301",
    }
    for attribute, value in due.items():
        answer = bench.read(8, CLOCK, attribute).hex()
        require(answer == value, f"attribute {attribute}: {answer}, {value} due")


def _profile_attributes(bench: Bench) -> None:
    for profile, period, count in ((LOAD_PROFILE, 900, 20), (BILLING, 7200, 3)):
        for item in bench.value(7, profile, 3).items():
            require(_tags(item) == [Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED], "3")
        require(bench.read(7, profile, 4).hex() == f"06{period:08x}", "capture period")
        require(bench.read(7, profile, 5).hex() == "1601", "fifo")
        require(bench.read(7, profile, 6).hex() == "020412000009060000000000000f00120000", "no sort object")
        require(bench.read(7, profile, 7).hex() == f"06{count:08x}", "entries in use")
        require(bench.read(7, profile, 8).hex() == f"06{3360:08x}", "profile entries")


def _columns(profile: str, registers: tuple[tuple[str, int, int, Tag, str], ...]) -> str:
    objects = [(8, CLOCK), (1, STATUS_WORD), *((3, row[0]) for row in registers)]
    cells = [f"020412{c:04x}0906{ObisCode.parse(n).octets.hex()}0f02120000" for c, n in objects]
    return f"01{len(cells):02x}{''.join(cells)}"


def _load_profile_columns(bench: Bench) -> None:
    require(bench.read(7, LOAD_PROFILE, 3).hex() == _columns(LOAD_PROFILE, INTERVAL), "columns")


def _billing_columns(bench: Bench) -> None:
    require(bench.read(7, BILLING, 3).hex() == _columns(BILLING, TOTAL), "columns")


def _without_status(bench: Bench) -> None:
    """Each cell of a row has the type of its register; status is a long-unsigned."""
    for profile, registers in ((LOAD_PROFILE, INTERVAL), (BILLING, TOTAL)):
        for row in bench.rows(profile):
            due = [Tag.OCTET_STRING, Tag.LONG_UNSIGNED, *(register[3] for register in registers)]
            require([cell.tag for cell in row] == due, f"types of {profile}: {[c.tag for c in row]}")


def _counters(bench: Bench) -> None:
    for profile in (LOAD_PROFILE, BILLING):
        rows, used = len(bench.rows(profile)), bench.value(7, profile, 7).integer()
        require(rows == used <= bench.value(7, profile, 8).integer(), f"{rows} rows, {used} in use")


def _times(bench: Bench, profile: str) -> list[datetime]:
    found = []
    for row in bench.rows(profile):
        octets = row[0].octets()
        year = int.from_bytes(octets[:2], "big")
        found.append(datetime(year, octets[2], octets[3], octets[5], octets[6], octets[7], tzinfo=UTC))
    return found


def _time_column(bench: Bench) -> None:
    times = _times(bench, LOAD_PROFILE)
    require(times[-1] == datetime(2026, 11, 22, 12, tzinfo=UTC), f"the last row is of {times[-1]}")
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    require(steps == {timedelta(seconds=900)}, f"steps of {steps}")
    require(times[-1] <= bench.clock(), "a row of the future")


def _latest_status(bench: Bench) -> None:
    require(bench.value(1, STATUS_WORD) == bench.rows(LOAD_PROFILE)[-1][1], "status of the latest record")


def _scaling(bench: Bench) -> None:
    for code, unit, scaler, tag, name in INTERVAL + TOTAL:
        value = bench.value(3, code)
        require(value.tag is tag, f"{name} is {value.tag.name}")
        ion = bench.meter.ion.value(name)
        require(ion is not None and value.integer() == ion, f"{name}: {value.integer()}, {ion} due")
        shown = bench.read(3, code, 3).hex()
        require(shown == f"02020f{scaler & 0xFF:02x}16{unit:02x}", f"scaler and unit of {name}: {shown}")
    # ION's k-unit x 1000 is the integer, and integer x 10^scaler in the unit is the quantity again.
    power = Decimal(bench.value(3, "1-1:16.4.0*255").integer()) / 1000
    require(Decimal("-1000") < power < Decimal("5000"), f"{power} kW of a commercial building")


def _scaling_in_k(bench: Bench) -> None:
    integers = {code: bench.value(3, code).integer() for code, *_ in INTERVAL + TOTAL}
    other = Bench(bench.transport, bench.client)
    other.enter("A" if bench.transport == "hdlc" else "TA")
    for code, unit, _, _, _ in INTERVAL + TOTAL:
        require(bench.read(3, code, 3).hex() == f"02020ffd16{unit:02x}", f"scaler of {code}")
        require(integers[code] == other.value(3, code).integer(), "the integers are the same")


def _same_twice(bench: Bench) -> None:
    row = bench.rows(LOAD_PROFILE)[-1]
    for cell, (code, *_) in zip(row[2:], INTERVAL, strict=True):
        require(bench.value(3, code) == cell, f"{code} against the last row")


def _repeatable(bench: Bench) -> None:
    def walk() -> dict[tuple[str, int], bytes]:
        return {
            (name, number): bench.read(class_id, name, number)
            for (class_id, name), attributes in _object_list(bench).items()
            for number, mode, _ in attributes
            if mode & 1
        }

    require(walk() == walk(), "two walks at one instant differ")


CASES: Final = (
    Case("CO-01", "object_list well formed", "AT", _well_formed),
    Case("CO-02", "object_list against reality", "AT", _against_reality),
    Case("CO-02", "object_list against reality", "AT", _against_reality, client=1),
    Case("CO-03", "nothing hidden", "AT", _nothing_hidden),
    Case("CO-04", "mandatory objects present", "AT", _mandatory),
    Case("CO-05", "associated partners", "AT", _partners),
    Case("CO-05", "associated partners", "AT", _partners, client=1),
    Case("CO-06", "application context name", "AT", _context_name),
    Case("CO-07", "xDLMS context info", "AT", _context_info),
    Case("CO-07", "xDLMS context info", "AT", _context_info, client=1),
    Case("CO-08", "authentication mechanism name", "AT", _mechanism),
    Case("CO-08", "authentication mechanism name", "AT", _mechanism, client=1),
    Case("CO-09", "LLS secret hidden", "AT", _secret),
    Case("CO-09", "LLS secret hidden", "AT", _secret, client=1),
    Case("CO-10", "association status", "AT", _status),
    Case("CO-11", "version-dependent attributes", "AT", _later_versions),
    Case("CO-12", "SAP assignment", "AT", _sap_assignment),
    Case("CO-13", "logical device name", "AT", _device_name),
    Case("CO-14", "write access as the client has it", "AT", _rights),
    Case("CO-14", "write access as the client has it", "AT", _rights, client=1),
    Case("CO-15", "clock time", "AT", _clock_time),
    Case("CO-16", "clock runs", "AT", _clock_runs),
    Case("CO-17", "clock time zone, status, DST", "AT", _clock_rest),
    Case("CO-18", "the same in Madrid", "AT", _clock_in_madrid, settings=(("clock.zone", "Europe/Madrid"),)),
    Case("CO-19", "profile attributes typed", "AT", _profile_attributes),
    Case("CO-20", "load profile columns", "AT", _load_profile_columns),
    Case("CO-21", "billing columns", "AT", _billing_columns),
    Case("CO-22", "cells typed as their columns", "AT", _without_status),
    Case("CO-23", "buffer against counters", "AT", _counters),
    Case("CO-25", "time column", "AT", _time_column),
    Case("CO-26", "status word of the latest record", "AT", _latest_status),
    Case("CO-27", "register scaling", "AT", _scaling),
    Case("CO-27b", "register scaling of -3", "AT", _scaling_in_k, settings=(("scaler", -3),)),
    Case("CO-28", "the same value twice", "AT", _same_twice),
    Case("CO-29", "reading is repeatable", "AT", _repeatable),
)
