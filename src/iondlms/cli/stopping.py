"""A verb that is told to stop still hangs up, releases the meter and closes the line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

__all__ = ["stopped_politely"]

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


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_BY_SIGNAL + number)
