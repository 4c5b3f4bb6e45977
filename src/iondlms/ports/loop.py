"""The event loop: uvloop where the extra `fast` has brought it, asyncio's own elsewhere; and the process."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, TypeVar

__all__ = ["run", "settle"]

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` to its end, as `asyncio.run` does, on the fastest loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def settle() -> None:
    """Tell the garbage collector that what there is now lives as long as the process.

    For programs that serve or read for long, once they have begun: else all of it is looked through again
    and again, some tens of milliseconds at a time in which nobody is answered. To be told again when much of
    it was replaced.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory
