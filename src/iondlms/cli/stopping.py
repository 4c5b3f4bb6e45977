"""A verb that is told to stop still hangs up, releases the meter and closes the line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn, TypeVar

__all__ = ["stopped_between", "stopped_politely"]

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


def stopped_between(items: Iterable[_T]) -> Iterator[_T]:
    """Yield items; Ctrl-C raises before the next one, when what is done with the last one is done whole.

    Pressed again it raises at once: what takes the items may be stuck.
    """
    if threading.current_thread() is not threading.main_thread():
        yield from items
        return
    pressed = False

    def press(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # whoever has another has reasons of his own
        yield from items
        return
    signal.signal(signal.SIGINT, press)
    try:
        for item in items:
            if pressed:
                raise KeyboardInterrupt
            yield item
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_BY_SIGNAL + number)
