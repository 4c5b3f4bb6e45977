"""Suite SELECTIVE ACCESS, by entry; and what no selector may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iondlms.conformance.apdus import CLOCK, get_request
from iondlms.conformance.bench import Bench
from iondlms.conformance.steps import Case
from iondlms.conformance.suites.selection import (
    WHOLE,
    Fixture,
    by_entry,
    within,
)
from iondlms.conformance.verdict import Inapplicable, require

OTHER: Final = "C401C101FA"


SCOPE: Final = "C401C1010D"


TYPE: Final = "C401C1010C"


def _empty_buffer(bench: Bench) -> None:
    """An empty array from an empty buffer, by range, by entry and plainly."""
    rows = bench.rows()
    if rows:
        raise Inapplicable("the buffer is not empty")
    for selection in ("", WHOLE, by_entry(1, 0)):
        require(
            bench.read(7, bench.profile, 2, selection) == b"\1\0", f"an empty array: {selection or 'plain'}"
        )
    require(bench.value(7, bench.profile, 7).integer() == 0, "entries_in_use is 0")


def _entry(first: int, last: int, due: tuple[int, int], why: str) -> Callable[[Bench], None]:
    def script(bench: Bench) -> None:
        fixture = Fixture(bench)
        count = fixture.count
        start, end = (number if number >= 0 else count + 1 + number for number in (first, last))
        low, high = (number if number >= 0 else count + 1 + number for number in due)
        fixture.gives(by_entry(start, end), low, high, why)

    script.__doc__ = f"Rows by number from 1, both ends included: {why}."
    return script


def _to_beyond(bench: Bench) -> None:
    """To beyond the last row: up to the last."""
    fixture = Fixture(bench)
    count = fixture.count
    for last in (count + 1, count + 100, 0xFFFFFFFF):
        fixture.gives(by_entry(count - 2, last), count - 2, count, f"to {last}")


def _from_beyond(bench: Bench) -> None:
    """From beyond the last row: an empty array, or an error."""
    fixture = Fixture(bench, 1)
    for first, last in ((1, 0), (1, 1), (10, 20)):
        selection = by_entry(fixture.count + first, 0 if last == 0 else fixture.count + last)
        fixture.empty(selection, f"from {fixture.count + first}", TYPE)
    fixture.empty(by_entry(0xFFFFFFFF, 0), "from FFFFFFFF", TYPE)


def _from_zero(bench: Bench) -> None:
    """scope-of-access-violated or other-reason: numbering begins at 1."""
    fixture = Fixture(bench, 1)
    for last in (0, 1, 5):
        answer = bench.ask(get_request(7, fixture.name, 2, by_entry(0, last))).hex()
        bench.match(answer, SCOPE, OTHER, "C401C1010?", "C401C100*", "C402C1*", why=f"from 0 to {last}")


def _entry_reversed(bench: Bench) -> None:
    """From after to: an empty array, or an error."""
    fixture = Fixture(bench)
    fixture.empty(by_entry(5, 2), "from 5 to 2", TYPE)


def _entry_columns(bench: Bench) -> None:
    """Columns by number, from 1, both ends included; 0 means up to the last."""
    fixture = Fixture(bench)
    width = len(fixture.columns)
    for first in range(1, width + 1):
        for last in (*range(first, width + 1), 0):
            found = fixture.select(by_entry(1, 2, first, last))
            due = [row[first - 1 : last or width] for row in fixture.rows[:2]]
            require(found == due, f"columns {first} to {last}")


def _columns_out_of_bounds(bench: Bench) -> None:
    """An error: columns from 0, beyond the last, from after to."""
    fixture = Fixture(bench, 1)
    width = len(fixture.columns)
    for first, last in (
        (0, 0),
        (0, 1),
        (width + 1, width + 1),
        (1, width + 1),
        (width + 1, 0),
        (2, 1),
        (0xFFFF, 0),
    ):
        answer = bench.ask(get_request(7, fixture.name, 2, by_entry(1, 1, first, last))).hex()
        bench.match(answer, SCOPE, OTHER, "C401C1010?", "C401C1000101*", why=f"columns {first} to {last}")


def _every_entry(bench: Bench) -> None:
    """Each of the first and last rows alone is the row of the plain read."""
    fixture = Fixture(bench)
    for number in sorted({*range(1, 7), *range(fixture.count - 5, fixture.count + 1)}):
        fixture.gives(by_entry(number, number), number, number, f"entry {number}")


def _agree(bench: Bench) -> None:
    """Two rows by number, then by the times that they show: the same rows."""
    fixture = Fixture(bench)
    rows = fixture.select(by_entry(1, 2))
    bounds = [f"090C{row[0].octets().hex()}" for row in rows]
    require(fixture.select(within(bounds)) == rows, "as read, so asked")


def _billing(bench: Bench) -> None:
    """The second profile by entry, by range and by column."""
    fixture = Fixture(bench, 2, bench.second_profile)
    width, count = len(fixture.columns), fixture.count
    fixture.gives(by_entry(1, 0), 1, count, "all")
    fixture.gives(by_entry(2, 2), 2, 2, "the second")
    found = fixture.select(by_entry(1, 1, width, width))
    require(found == [(fixture.rows[0][-1],)], "the last column")
    fixture.gives(fixture.between(fixture.time(2), fixture.time(-1)), 2, count, "from the second on")


def _other_attributes(bench: Bench) -> None:
    """An error (or the plain value) for a selector on another attribute."""
    fixture = Fixture(bench)
    selection = fixture.between(fixture.time(2), fixture.time(5))
    for class_id, name, attribute in (
        (7, fixture.name, 3),
        (7, fixture.name, 7),
        (8, CLOCK, 2),
        (1, "0-0:42.0.0*255", 2),
        (7, fixture.name, 0),
    ):
        answer = bench.ask(get_request(class_id, name, attribute, selection)).hex()
        bench.match(answer, SCOPE, "C401C101??", "D80???", "C40?C100*", why=f"selector on {name} {attribute}")


def _unknown_selector(bench: Bench) -> None:
    """An error for a selector that the class does not have."""
    fixture = Fixture(bench, 1)
    for selector in ("00", "03", "04", "80", "FF"):
        fixture.refuses(selector + "00", SCOPE, why=f"selector {selector}")


def _not_negotiated(bench: Bench) -> None:
    """An exception, or an error; never a value, filtered or not."""
    for selection in (WHOLE, by_entry(1, 2)):
        answer = bench.ask(get_request(7, bench.profile, 2, selection)).hex()
        bench.match(answer, "D80102", "D80???", "C401C101??", why="selective access not negotiated")


def _get_only(bench: Bench) -> str:
    return bench.own_aarq("001010")


_BB: Final = "62056-62 (Blue Book 4.3.6), Green Book 9.3.9.1.3"


_NEEDS: Final = ("selective-access", "profile", "clock")


def _case(id_: str, purpose: str, script: Callable[[Bench], None]) -> Case:
    return Case(id_, purpose, "AT", script, _BB, needs=_NEEDS)


CASES: Final = (
    _case("SA-21", "empty buffer", _empty_buffer),
    _case("SA-22", "all entries by number", _entry(1, -1, (1, -1), "1 to the last")),
    _case("SA-23", "wild card", _entry(1, 0, (1, -1), "1 to 0, the highest there is")),
    _case("SA-24", "part", _entry(3, 5, (3, 5), "3 to 5")),
    _case("SA-24b", "the last alone", _entry(-1, -1, (-1, -1), "the last alone")),
    _case("SA-24c", "from the middle on", _entry(4, 0, (4, -1), "4 to 0")),
    _case("SA-25", "columns by number", _entry_columns),
    _case("SA-27", "to beyond the end", _to_beyond),
    _case("SA-28", "from beyond the end", _from_beyond),
    _case("SA-29", "from = 0", _from_zero),
    _case("SA-30", "entries, from after to", _entry_reversed),
    _case("SA-31", "columns out of bounds", _columns_out_of_bounds),
    _case("SA-32", "entry and range agree", _agree),
    Case("SA-33", "second profile", "AT", _billing, _BB, needs=(*_NEEDS, "billing")),
    _case("SA-35", "selector on another attribute", _other_attributes),
    _case("SA-35b", "unknown selector", _unknown_selector),
    Case(
        "SA-36",
        "not negotiated",
        "AT",
        _not_negotiated,
        "conformance bit 21",
        aarq=_get_only,
        needs=("profile",),
    ),
    _case("SA-101", "each row by its own number", _every_entry),
)
