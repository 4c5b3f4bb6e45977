"""Suite COSEM OBJECTS, the part that only an ION meter must keep: its objects, columns and scalers."""

from __future__ import annotations

from typing import Final

from iondlms.codec.axdr import Tag
from iondlms.codec.obis import ObisCode
from iondlms.conformance.apdus import ASSOCIATION, CLOCK, DEVICE_NAME, SAP_ASSIGNMENT, capture_object
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.verdict import Inapplicable, require

__all__ = ["BILLING", "CASES", "INTERVAL", "LOAD_PROFILE", "STATUS_WORD", "TOTAL"]

STATUS_WORD: Final = "0-0:97.97.0*255"
LOAD_PROFILE: Final = "1-0:99.1.0*255"
BILLING: Final = "1-0:98.1.0*255"
_K: Final = -1000  # scaler of a quantity that the meter's own setting decides: 0 or -3

# Register, unit, scaler, type, in the order of the columns.
INTERVAL: Final = (
    ("1-1:1.29.0*255", 30, _K, Tag.DOUBLE_LONG),
    ("1-1:3.29.0*255", 32, _K, Tag.DOUBLE_LONG),
    ("1-1:2.29.0*255", 30, _K, Tag.DOUBLE_LONG),
    ("1-1:4.29.0*255", 32, _K, Tag.DOUBLE_LONG),
)
TOTAL: Final = (
    ("1-1:1.8.0*255", 30, _K, Tag.LONG64),
    ("1-1:2.8.0*255", 30, _K, Tag.LONG64),
    ("1-1:16.8.0*255", 30, _K, Tag.LONG64),
    ("1-1:3.8.0*255", 32, _K, Tag.LONG64),
    ("1-1:4.8.0*255", 32, _K, Tag.LONG64),
    ("1-1:128.8.0*255", 32, _K, Tag.LONG64),
    ("1-1:9.8.0*255", 31, _K, Tag.LONG64),
    ("1-1:16.4.0*255", 27, _K, Tag.DOUBLE_LONG),
    ("1-1:128.4.0*255", 29, _K, Tag.DOUBLE_LONG),
    ("1-1:9.4.0*255", 28, _K, Tag.DOUBLE_LONG),
    ("1-1:13.0.0*255", 255, -3, Tag.DOUBLE_LONG),
)


def _mandatory(bench: Bench) -> None:
    """Association, SAP assignment, logical device name, clock, status word, both profiles, a Register for
    each captured quantity."""
    listed = set()
    for item in bench.value(15, ASSOCIATION).items():
        class_id, _, name, _ = item.items()
        listed.add((class_id.integer(), str(ObisCode(name.octets()))))
    due = {
        (15, ASSOCIATION),
        (17, SAP_ASSIGNMENT),
        (1, DEVICE_NAME),
        (8, CLOCK),
        (7, LOAD_PROFILE),
        (7, BILLING),
        (1, STATUS_WORD),
        *((3, row[0]) for row in INTERVAL + TOTAL),
    }
    require(not due - listed, f"missing: {due - listed}")


def _columns(registers: tuple[tuple[str, int, int, Tag], ...]) -> str:
    objects = [(8, CLOCK), (1, STATUS_WORD), *((3, row[0]) for row in registers)]
    return f"01{len(objects):02X}{''.join(capture_object(*it) for it in objects)}"


def _load_profile(bench: Bench) -> None:
    """Clock, status, kWh del, kVARh del, kWh rec, kVARh rec of the interval, in this order."""
    require(bench.read(7, LOAD_PROFILE, 3).hex().upper() == _columns(INTERVAL), "columns of the load profile")


def _billing(bench: Bench) -> None:
    """Clock, status and eleven totals, in their order."""
    require(bench.read(7, BILLING, 3).hex().upper() == _columns(TOTAL), "columns of the billing data")


def _cells(bench: Bench) -> None:
    """Each cell of a row has the type of its register; status is a long-unsigned."""
    stamp = Tag.DATE_TIME if bench.cti.clock.tag == "date-time" else Tag.OCTET_STRING
    for profile, registers in ((LOAD_PROFILE, INTERVAL), (BILLING, TOTAL)):
        for row in bench.rows(profile):
            due = [stamp, Tag.LONG_UNSIGNED, *(register[3] for register in registers)]
            found = [cell.tag for cell in row]
            same = all(have is want or have is Tag.NULL_DATA for have, want in zip(found, due, strict=True))
            require(same, f"types of {profile}: {found}")


def _status_bits(bench: Bench) -> None:
    """Bits 3, 5, 6, 7, 8, 9 or, all 16 set, invalid; no reserved bit."""
    words = {row[1].integer() for profile in (LOAD_PROFILE, BILLING) for row in bench.rows(profile)}
    odd = [word for word in words if word != 0xFFFF and word & ~0x03E8]
    require(not odd, f"reserved bits of the status word are set: {odd}")


def _latest_status(bench: Bench) -> None:
    """The status word of the latest record of the load profile."""
    rows = bench.some_rows(1, LOAD_PROFILE)
    value = bench.value(1, STATUS_WORD)
    require(value == rows[-1][1], f"{value}, {rows[-1][1]} in the last row")


def _scaling(bench: Bench) -> None:
    """Integers of the declared types; scaler and unit that give quantity times 1000."""
    for code, unit, scaler, tag in INTERVAL + TOTAL:
        value = bench.value(3, code)
        require(value.tag in (tag, Tag.NULL_DATA), f"{code} is {value.tag.name}")
        shown = bench.read(3, code, 3).hex()
        due = bench.cti.objects.scaler if scaler == _K else scaler
        wanted = f"02020f{due & 0xFF:02x}16{unit:02x}"
        require(shown == wanted, f"scaler and unit of {code}: {shown}, {wanted} due")


def _sums(bench: Bench) -> None:
    """Delivered less received is the net register; the apparent power is no less than the active."""
    values = {code: bench.value(3, code) for code, *_ in TOTAL}
    if any(value.tag is Tag.NULL_DATA for value in values.values()):
        raise Inapplicable("a register has no value yet")
    number = {code: value.integer() for code, value in values.items()}
    for net, plus, minus in (("16.8", "1.8", "2.8"), ("128.8", "3.8", "4.8")):
        due = number[f"1-1:{plus}.0*255"] - number[f"1-1:{minus}.0*255"]
        # Three reads are not one moment, and each is rounded by itself.
        least = max(1000, abs(due) // 1000)
        require(abs(number[f"1-1:{net}.0*255"] - due) <= least, f"{net}: {number}, {due} due")
    active, apparent = number["1-1:16.4.0*255"], number["1-1:9.4.0*255"]
    require(abs(active) <= apparent + 1 + apparent // 100, f"{active} W of {apparent} VA")
    require(abs(number["1-1:13.0.0*255"]) <= 1000, f"power factor {number['1-1:13.0.0*255']}")


def _same_twice(bench: Bench) -> None:
    """The interval registers are what the last row holds."""
    rows = bench.some_rows(1, LOAD_PROFILE)
    for cell, (code, *_) in zip(rows[-1][2:], INTERVAL, strict=True):
        require(bench.value(3, code) == cell, f"{code} against the last row")


def _totals_rise(bench: Bench) -> None:
    """Energies delivered and received never fall from row to row of the billing data."""
    rows = bench.some_rows(2, BILLING)
    for column in (2, 3, 5, 6, 8):
        values = [row[column].integer() for row in rows if row[column].value is not None]
        require(values == sorted(values), f"column {column + 1} falls: {values}")


def _sort(bench: Bench) -> None:
    """fifo, and no sort object."""
    for profile in (LOAD_PROFILE, BILLING):
        require(bench.read(7, profile, 5).hex() == "1601", f"{profile}: fifo")
        none = bench.read(7, profile, 6).hex()
        require(none == "020412000009060000000000000f00120000", f"{profile}: sort object {none}")


def _versions(bench: Bench) -> None:
    """Association version 1, Profile Generic version 1, all others 0; no method can be called."""
    due = {1: 0, 3: 0, 7: 1, 8: 0, 15: 1, 17: 0}
    for item in bench.value(15, ASSOCIATION).items():
        class_id, version, name, rights = item.items()
        if class_id.integer() not in due:
            raise Inapplicable(f"class {class_id.integer()} is none of an ION meter")
        require(version.integer() == due[class_id.integer()], f"version of {name}")
        callable_ = [method for method in rights.items()[1].items() if method.items()[1].value]
        require(not callable_, f"{name}: methods {callable_}")


_PROFILE: Final = "ION profile, objects"

CASES: Final = tuple(
    Case(id_, purpose, "AT", script, _PROFILE, needs=("ion",))
    for id_, purpose, script in (
        ("CO-04b", "objects of an ION meter present", _mandatory),
        ("CO-20", "load profile columns", _load_profile),
        ("CO-21", "billing columns", _billing),
        ("CO-22", "cells typed as their columns", _cells),
        ("CO-24", "sort object", _sort),
        ("CO-26", "status word of the latest record", _latest_status),
        ("CO-26b", "status word has no reserved bit", _status_bits),
        ("CO-27", "register scaling", _scaling),
        ("CO-27b", "registers agree with each other", _sums),
        ("CO-28", "the same value twice", _same_twice),
        ("CO-28b", "energies never fall", _totals_rise),
        ("CO-30", "classes and versions", _versions),
    )
)
