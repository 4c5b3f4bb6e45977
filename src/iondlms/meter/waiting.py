"""A line whose answer has to wait: what came behind the request waits too, and goes on in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from iondlms.later import Later

__all__ = ["Waiting"]

# Requests that wait behind one. Who carries the octets brings no more meanwhile, where he can hold them back;
# on a serial line it is the client that sends on, and of frames that are lost it repeats the first.
_MOST: Final = 64
_T = TypeVar("_T")


class Waiting(Generic[_T]):
    """The requests of one line, in their order.

    Whoever answers one by one (`serve`) may say that its answer has to wait.
    """

    __slots__ = ("_after", "_behind", "_resume", "later")

    def __init__(self, later: Later | None = None) -> None:
        """With `later` the first request waits for that."""
        self._after = later
        self.later = None if later is None or later.done else later
        self._behind: list[_T] = []
        self._resume: Callable[[float], bytes] | None = None

    def wait(self, later: Later, resume: Callable[[float], bytes]) -> None:
        """Answer nothing before this is over, and then first what `resume` returns."""
        self.later, self._resume = later, resume

    def take(self, requests: Iterable[_T], now: float, serve: Callable[[_T, float], bytes]) -> bytes:
        """Return the answers to all that need not wait."""
        answers = []
        for request in requests:
            if self.later is None:
                answers.append(serve(request, now))
            elif len(self._behind) < _MOST:
                self._behind.append(request)
        return b"".join(answers)

    def go_on(self, now: float, serve: Callable[[_T, float], bytes]) -> bytes:
        """Return the answer that has waited, and those to what came behind it; nothing while it must wait."""
        if self.later is None or not self.later.done:
            return b""
        resume, behind = self._resume, self._behind
        self._clear()
        answer = b"" if resume is None else resume(now)
        if self.later is not None:  # it waits again, and what is behind it with it
            self._behind = behind
            return answer
        return answer + self.take(behind, now, serve)

    def forget(self) -> None:
        """Answer nobody any more of those who have asked: they are gone.

        Who asks from now on waits for the `later` of the start, where that is not over.
        """
        self._clear()
        if self._after is not None and not self._after.done:
            self.later = self._after

    def _clear(self) -> None:
        self.later, self._resume, self._behind = None, None, []
