"""What an answer has to wait for: a disk that writes, or reads, while all others are answered.

No thread and no loop is known here. Whoever does the work settles it in the thread of the endpoints, and who
waits is told then. Whatever drives an endpoint looks at its `later` after each step, and gives it time once
that is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from iondlms.errors import LocalError

__all__ = ["Later", "NotYet"]

_LOG: Final = logging.getLogger("iondlms.later")


class Later:
    """Something under way that ends by itself, well or with an error."""

    __slots__ = ("_told", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: LocalError | None = None  # why it could not be done, once it is over
        self._told: list[Callable[[], None]] = []

    def then(self, tell: Callable[[], None]) -> None:
        """Call this once it is over; at once where it is."""
        if self.done:
            tell()
        else:
            self._told.append(tell)

    def settle(self, error: LocalError | None = None) -> None:
        """Say that it is over, and what went wrong; only the first word counts."""
        if self.done:
            return
        self.done, self.error = True, error
        told, self._told = self._told, []
        for tell in told:
            try:
                tell()
            except Exception:  # a bug of one who waited must not keep the others waiting
                _LOG.exception("who waited for it failed")


class NotYet(Exception):  # no error: who asked is to ask again, or to go on, once it is done
    """What was asked for depends on something that is still under way.

    Who asks again does so within `again()`: there he has what was got for him.
    """

    def __init__(self, later: Later, again: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        super().__init__("still under way")
        self.later = later
        self.again = again
