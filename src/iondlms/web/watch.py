"""Who looks at which meter: the meter is asked once for all of them, and only while somebody looks."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from iondlms.errors import DlmsError, LocalError

from .answers import Gone, Panel, Shown, panel_of
from .asking import Asker

__all__ = ["Full", "Watch", "Which"]

_TOTAL: Final = "kW tot"  # what the live plot shows
_MOST_KNOWN: Final = 64  # meters whose last minutes are remembered


class Which(NamedTuple):
    """What tells a meter from the others of its process."""

    unit: int
    line: str = ""


class Full(Exception):
    """As many look as may."""


class _Watched:
    """One meter that somebody looks at, or did."""

    def __init__(self) -> None:
        self.lookers = 0
        self.panel: Panel | None = None
        self.at = 0.0
        self.failed_at = 0.0
        self.failed_since: datetime | None = None
        self.error = ""
        self.no_such = False
        self.trail: deque[tuple[float, float | None]] = deque()
        self.told = 0  # how often; who has seen fewer has something to see
        self.news = asyncio.Event()

    def tell(self) -> None:
        self.told += 1
        news, self.news = self.news, asyncio.Event()
        news.set()

    def shown(self, trail: bool = False) -> Shown:
        since = self.failed_since
        gone = None
        if since:
            for_s = round(self.at - self.failed_at, 1)
            gone = Gone(since=since, for_s=for_s, error=self.error, no_such=self.no_such)
        return Shown(at=self.at, gone=gone, panel=self.panel, trail=list(self.trail) if trail else None)


class Watch:
    """The meters that are looked at, and their last minutes.

    `every_s` is how often each is asked, `clock` seconds, monotonic, `wall` the time that people read.
    """

    def __init__(
        self,
        ask: Asker,
        clock: Callable[[], float],
        *,
        every_s: float = 1.0,
        most_lookers: int = 32,
        remember_s: float = 900.0,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._wall = wall
        self.every_s = every_s
        self._most_lookers = most_lookers
        self._remember_s = remember_s
        self._known: OrderedDict[Which, _Watched] = OrderedDict()
        self._lookers = 0
        self._wanted = asyncio.Event()
        self._closed = False

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Within it one more looks; Full if as many do as may."""
        if self._lookers >= self._most_lookers or self._closed:
            raise Full
        self._lookers += 1
        try:
            yield
        finally:
            self._lookers -= 1

    async def look(self, which: Which) -> AsyncIterator[Shown]:
        """Yield what the meter shows, at once and after each asking, until `close`.

        Who is slow misses some: nothing is kept for him.
        """
        watched = self._watched(which)
        watched.lookers += 1
        seen, first = 0, True
        if not watched.told or self._clock() - watched.at >= 2 * self.every_s:
            seen = watched.told  # too old to begin with
            self._wanted.set()
        try:
            while not self._closed:
                if seen == watched.told:
                    await watched.news.wait()
                    continue
                seen = watched.told
                yield watched.shown(trail=first)
                first = False
        finally:
            watched.lookers -= 1

    async def run(self) -> None:
        """Ask for all meters that are looked at, again and again, until cancelled."""
        while True:
            if not any(each.lookers for each in self._known.values()):
                self._wanted.clear()
                await self._wanted.wait()
            begin = self._clock()
            await self.ask_all()
            self._wanted.clear()
            # A newcomer need not wait for the rest of the second.
            try:
                async with asyncio.timeout(max(0.05, begin + self.every_s - self._clock())):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def ask_all(self) -> None:
        """Ask once for each meter that somebody looks at, and tell all who do."""
        since = self._clock()
        for which, watched in list(self._known.items()):
            if watched.lookers:
                await self._ask_for(which, watched, since)

    def close(self) -> None:
        """Let all who look know that it is over."""
        self._closed = True
        for watched in self._known.values():
            watched.tell()

    async def _ask_for(self, which: Which, watched: _Watched, since: float) -> None:
        try:
            told = await self._ask(
                "panel", panel_of, fresh=True, since=since, unit=which.unit, line=which.line or None
            )
        except DlmsError as error:
            watched.at = self._clock()
            if watched.failed_since is None:
                watched.failed_since, watched.failed_at = self._wall(), watched.at
            watched.error, watched.no_such = str(error), isinstance(error, LocalError)
            self._remember(watched, None)
        else:
            watched.at, watched.panel = self._clock(), told
            watched.failed_since, watched.error = None, ""
            total = next((each.value for each in told.values if each.quantity == _TOTAL), None)
            self._remember(watched, total)
        watched.tell()

    def _remember(self, watched: _Watched, total: float | None) -> None:
        trail = watched.trail
        if trail and watched.at - trail[-1][0] > 3 * self.every_s:
            trail.append((trail[-1][0] + self.every_s, None))  # nobody looked meanwhile: a gap
        trail.append((watched.at, total))
        while trail[0][0] < watched.at - self._remember_s:
            trail.popleft()

    def _watched(self, which: Which) -> _Watched:
        watched = self._known.setdefault(which, _Watched())
        self._known.move_to_end(which)
        for other in [key for key, each in self._known.items() if not each.lookers and key != which]:
            if len(self._known) <= _MOST_KNOWN:
                break
            del self._known[other]
        return watched
