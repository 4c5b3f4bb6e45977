"""How the suites write selective access: ranges, entries, and a profile's own rows to compare with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from iondlms.codec.axdr import encode_data
from iondlms.conformance.apdus import CLOCK, capture_object, get_request
from iondlms.conformance.bench import Bench, Row
from iondlms.conformance.verdict import Failure, Inapplicable, Inconclusive, require
from iondlms.errors import DecodeError

__all__ = ["CLOCK_COLUMN", "FAR", "SECOND", "WHOLE", "Fixture", "by_entry", "by_range", "within"]

SECOND: Final = timedelta(seconds=1)
FAR: Final = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
CLOCK_COLUMN: Final = capture_object(8, CLOCK)
LEAST_ROWS: Final = 6
# Selector 1 with 2000-01-01 and 2099-12-31, as the list has it.
WHOLE: Final = (
    "010204020412000809060000010000FF0F02120000090C07D00101FF00000000000000090C08330C1FFF173B3B000000000100"
)


def by_range(start: str, end: str, columns: tuple[str, ...] = (), restricting: str = CLOCK_COLUMN) -> str:
    """Return selector 1 with its parameters; bounds are encoded Data."""
    return f"010204{restricting}{start}{end}01{len(columns):02X}{''.join(columns)}"


def within(bounds: Sequence[str], columns: tuple[str, ...] = (), restricting: str = CLOCK_COLUMN) -> str:
    """Return selector 1 between a pair of bounds."""
    start, end = bounds
    return by_range(start, end, columns, restricting)


def by_entry(first: int, last: int, first_column: int = 1, last_column: int = 0) -> str:
    """Return selector 2 with its parameters."""
    return f"02020406{first:08X}06{last:08X}12{first_column:04X}12{last_column:04X}"


def _plain_rows(bench: Bench, name: str) -> list[Row]:
    """Return all rows of a profile by a plain read; `--fast` has one for many cases, while they are the same.

    That is so while there are as many, and the first and the last have not changed: a meter that does not
    give these by entry, or gives others, is read anew.
    """
    kept = bench.kept.get(name, []) if bench.fast else []
    if kept:
        try:
            used = bench.value(7, name, 7).integer()
            ends = [bench.rows(name, by_entry(number, number)) for number in (1, len(kept))]
        except (Failure, DecodeError):
            used, ends = -1, []
        if used == len(kept) and ends == [kept[:1], kept[-1:]]:
            return kept
    bench.kept[name] = rows = bench.rows(name)
    return rows


class Fixture:
    """The rows of a profile as a plain read gives them, and selections of them."""

    def __init__(self, bench: Bench, least: int = LEAST_ROWS, name: str = "") -> None:
        self.bench = bench
        self.name = name or bench.profile
        self.rows = _plain_rows(bench, self.name)
        if len(self.rows) < least:
            raise Inapplicable(f"{self.name} has {self.count} rows, this case needs {least}")
        self.columns = [encode_data(item).hex().upper() for item in bench.value(7, self.name, 3).items()]
        try:
            first = bench.value(7, self.name, 3).items()[0].items()[0].integer()
        except DecodeError as error:
            raise Failure(f"capture_objects: {error}") from error
        if first != 8:
            raise Inapplicable("the first column is no clock")
        self._zone = bench.zone() if bench.cti.clock.deviation == "unspecified" else None
        times = [bench.instant(row[0].octets(), self._zone) for row in self.rows]
        if any(later <= earlier for earlier, later in itertools.pairwise(times)):
            raise Inconclusive("times of rows do not rise: the clock was set back among them (CO-25)")

    def time(self, number: int) -> datetime:
        """Return the time of a row, from 1; negative ones count from the last, -1."""
        row = self.rows[number - 1 if number > 0 else number]
        return self.bench.instant(row[0].octets(), self._zone)

    @property
    def count(self) -> int:
        """Rows there are."""
        return len(self.rows)

    def bound(self, when: datetime, deviation: int = 0) -> str:
        """Return a bound as this meter's profile takes it."""
        return f"090C{self.bench.bound(when, deviation)}"

    def between(
        self, start: datetime, end: datetime, columns: tuple[str, ...] = (), deviation: int = 0
    ) -> str:
        """Return selector 1 between two instants."""
        return by_range(self.bound(start, deviation), self.bound(end, deviation), columns)

    def select(self, selection: str) -> list[Row]:
        """Return the rows that a selection gives."""
        return self.bench.rows(self.name, selection)

    def gives(self, selection: str, first: int, last: int, why: str) -> None:
        """Require the selection to give rows `first` to `last`, as the plain read had them."""
        found = self.select(selection)
        due = self.rows[first - 1 : last]
        require(found == due, f"{why}: {len(found)} rows{_which(found, self.rows)}, {first} to {last} due")

    def empty(self, selection: str, why: str, *also: str) -> None:
        """Require an empty array, or with a remark an error."""
        answer = self.bench.ask(get_request(7, self.name, 2, selection)).hex().upper()
        errors = ("C401C1010B", "C401C1010E", "C401C101FA", "C401C1010D", "C401C1010F")
        self.bench.match(answer, "C401C1000100", *errors, *also, why=why)

    def refuses(self, selection: str, expected: str, *also: str, why: str = "", attribute: int = 2) -> None:
        """Require an error: never rows."""
        answer = self.bench.ask(get_request(7, self.name, attribute, selection)).hex().upper()
        require(not answer.startswith(("C401C100", "C402C1")), f"{why or selection}: a value: {answer[:24]}")
        self.bench.match(answer, expected, *also, "C401C1010?", "C401C101FA", "D80???", why=why or selection)


def _which(found: list[Row], rows: list[Row]) -> str:
    if not found or found[0] not in rows:
        return ""
    return f" from {rows.index(found[0]) + 1}"
