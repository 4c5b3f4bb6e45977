"""The event loop, uvloop where the extra `fast` has brought it; its timers; and the process."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, TypeVar

from iondlms.later import Later

__all__ = ["Alarm", "over", "run", "settle"]

_T = TypeVar("_T")

_YOUNG: Final = 10_000  # objects more than before, at which the collector looks at the young ones


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` to its end, as `asyncio.run` does, on the fastest loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def settle() -> None:
    """Tell the garbage collector that what there is now lives as long as the process.

    For programs that serve or read for long, once they have begun: else all of it is looked through again
    and again, some tens of milliseconds at a time in which nobody is answered. To be told again when much of
    it was replaced. What is made from now on is looked through each ten thousand objects and not each seven
    hundred (two thousand in newer Pythons): a session makes hundreds, of which nothing is left at its end.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


async def over(later: Later | None, timeout_s: float | None = None) -> None:
    """Wait until this is over, and whoever waited before was told; no longer than so many seconds."""
    if later is None:
        return
    told = asyncio.Event()
    later.then(told.set)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await told.wait()


class Alarm:
    """A timer that is never late, and may be early: whoever is woken looks whether his time has come.

    So one that is set serves all that is due later, and of a hundred deadlines that move on as something is
    heard, nearly none costs a timer of the loop. What the loop gives for a time that has passed may not tell
    when it comes (uvloop's does not), so that is kept here.
    """

    __slots__ = ("_handle", "_wake", "at")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._handle: asyncio.Handle | None = None
        self.at = math.inf  # when it will call; whoever wants it no later need not say so

    def no_later(self, at: float) -> None:
        """Call at this time of the running loop's clock, or before."""
        if self.at <= at:
            return
        if self._handle is not None:
            self._handle.cancel()
        self.at = at
        self._handle = asyncio.get_running_loop().call_at(at, self._ring)

    def cancel(self) -> None:
        """Call no more, until it is set again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self.at = math.inf

    def _ring(self) -> None:
        self._handle = None
        self.at = math.inf
        self._wake()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory
