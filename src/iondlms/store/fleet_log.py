"""The log of a meter that keeps no rows in memory: it reads them from the fleet's store when it is asked.

The event loop does not wait for that: a log that has not yet read what it is asked for says so, and who asked
has it when he asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, TypeVar

from iondlms.ion import RowFormat
from iondlms.later import Later, NotYet

from .fleet import FleetStore, Found, Place, instants_of
from .schema import StoreError

__all__ = ["FleetLog", "Reads"]

_Question: TypeAlias = tuple[str, int, int]
_T = TypeVar("_T")


class Reads(Protocol):
    """Whoever reads in a thread of its own."""

    def __call__(self, job: Callable[[], _T], take: Callable[[_T], None]) -> Later:
        """Do the job there and give what it returns to `take` here; it is over then, or has failed."""


class FleetLog:
    """A `Log` whose rows are in the store; only how many there are is in memory.

    It is told of rows with `extend` once they are written. What it is asked for it has read elsewhere: it
    raises NotYet, and who asks again within what that gives is answered, with the rows that there were when
    he asked first. Without `reads` it reads at once.
    """

    __slots__ = (
        "_answers",
        "_depth",
        "_end",
        "_falls",
        "_first",
        "_last_ms",
        "_place",
        "_reads",
        "_store",
        "_stride",
    )

    def __init__(
        self,
        store: FleetStore,
        place: Place,
        row_format: RowFormat,
        depth: int,
        reads: Reads | None = None,
    ) -> None:
        self._reads = reads
        self._answers: Mapping[_Question, Any] | None = None  # what was read for him who asks again now
        self._store = store
        self._place = place
        self._stride = row_format.stride
        self._depth = depth
        self._first, self._end = 0, 0
        self._last_ms: int | None = None
        # Rows earlier than the row before; None until they are looked for, in rows of an earlier process.
        self._falls: Sequence[int] | None = ()

    def attach(self) -> None:
        """Go on with the rows that the store has."""
        self._first, self._end = self._store.span(self._place)
        self._falls = None if self.count else ()

    @property
    def first(self) -> int:
        """Sequence number of the oldest row kept; `end` if there is none."""
        return self._first

    @property
    def end(self) -> int:
        """The sequence number that the next row will have."""
        return self._end

    @property
    def count(self) -> int:
        """Rows kept."""
        return self._end - self._first

    def extend(self, rows: bytes | bytearray) -> None:
        """Take that whole packed rows are written, and forget the oldest above the depth."""
        if len(rows) % self._stride:
            raise StoreError(f"{len(rows)} octets are not whole rows of {self._stride}")
        if not rows:
            return
        if self._falls is not None:
            instants = instants_of(bytes(rows), self._stride)
            before = self._last_ms
            if before is not None:
                instants.insert(0, before)
            begin = self._end + (before is None)
            falls = [begin + index for index, (old, new) in enumerate(pairwise(instants)) if new < old]
            self._falls = (*self._falls, *falls) if falls else self._falls
            self._last_ms = instants[-1]
        self._end += len(rows) // self._stride
        self._trim()

    def clear(self, end: int) -> None:
        """Forget all rows; the next will be number `end`."""
        self._first = self._end = end
        self._last_ms, self._falls = None, ()

    def resize(self, depth: int) -> None:
        """Keep at most `depth` rows from now on, and forget the oldest above it."""
        self._depth = depth
        self._trim()

    def packed(self, first: int, end: int) -> bytes:
        """Return rows `first` to `end` - 1, less those forgotten or not yet there."""
        return b"".join(self.pieces(first, end))

    def pieces(self, first: int, end: int) -> list[bytes]:
        """Return the same rows in some pieces."""
        first, end = max(first, self._first), min(end, self._end)
        if first >= end:
            return []
        question = "rows", first, end
        if self._answers is not None and question in self._answers:
            rows: list[bytes] = self._answers[question]
            return rows
        store, place = self._store, self._place
        if self._reads is None:
            return store.pieces(place, first, end)
        raise self._not_yet(
            self._reads, lambda: store.pieces(place, first, end), lambda rows: {question: rows}
        )

    def instants(self, first: int, end: int) -> list[int]:
        """Return the UTC milliseconds of the same rows."""
        return instants_of(self.packed(first, end), self._stride)

    def find(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int], ...]:
        """Return the rows with `start_ms <= utc_ms <= end_ms` as runs (first, end)."""
        question = "range", start_ms, end_ms
        if self._answers is not None and question in self._answers:
            runs: tuple[tuple[int, int], ...] = self._answers[question]
            return runs
        store, place, first, end, falls = self._store, self._place, self._first, self._end, self._falls
        wanted = self._reads is not None  # whoever asks for a range wants its rows

        def job() -> Found:
            return store.find(place, first, end, falls, start_ms, end_ms, rows=wanted)

        def take(found: Found) -> dict[_Question, Any]:
            if self._falls is None and (self._first, self._end) == (first, end):
                self._falls, self._last_ms = found.falls, found.last_ms
            rows = {("rows", *run): rows for run, rows in zip(found.runs, found.rows, strict=False)}
            return {**rows, question: found.runs}

        if self._reads is None:
            found = job()
            take(found)
            return found.runs
        raise self._not_yet(self._reads, job, take)

    def _not_yet(
        self, reads: Reads, job: Callable[[], _T], take: Callable[[_T], dict[_Question, Any]]
    ) -> NotYet:
        """Have a job done; return what whoever asks is told meanwhile."""
        span = self._first, self._end
        answers: dict[_Question, Any] = dict(self._answers or {})

        @contextmanager
        def again() -> Iterator[None]:
            # One answer is of one moment: what was recorded meanwhile is not in it. And however many rows
            # come, who asks is answered in the end.
            now = self._first, self._end
            (self._first, self._end), self._answers = span, answers
            try:
                yield
            finally:
                (self._first, self._end), self._answers = now, None

        return NotYet(reads(job, lambda read: answers.update(take(read))), again)

    def _trim(self) -> None:
        self._first = max(self._first, self._end - self._depth)
        if self._falls and self._falls[0] <= self._first:
            self._falls = tuple([fall for fall in self._falls if fall > self._first])
