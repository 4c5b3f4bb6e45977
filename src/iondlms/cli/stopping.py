"""A verb that is told to stop still hangs up, releases the meter and closes the line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn, TypeVar

__all__ = ["held_back", "stopped_between", "stopped_politely"]

_T = TypeVar("_T")

# Of a service manager, and of a terminal that is closed; Ctrl-C raises by itself.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
_BY_SIGNAL: Final = 128  # what a shell adds to the number of the signal


@contextmanager
def stopped_politely() -> Iterator[None]:
    """Within it, a signal to stop leaves by an exception, like Ctrl-C: a call is not left open."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, _stop) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Within it Ctrl-C raises nothing, and what is yielded tells whether it was pressed; behind it it raises.

    Pressed again it raises at once: what is being done may be stuck.
    """
    pressed = False

    def press(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.getsignal(signal.SIGINT)
    # Whoever has another handler has reasons of his own; and only the main thread may set one.
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
    # Here and not by those within: none may be lost that comes after their last look.
    if pressed:
        raise KeyboardInterrupt


def stopped_between(items: Iterable[_T]) -> Iterator[_T]:
    """Yield items; Ctrl-C raises before the next one or the end, when what is done with the last is whole."""
    with held_back() as pressed:
        for item in items:
            if pressed():
                return
            yield item


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_BY_SIGNAL + number)
