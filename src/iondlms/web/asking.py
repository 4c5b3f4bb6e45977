"""Questions to the running meter: one at a time for all browsers, and the same one once."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

from iondlms.errors import DlmsError, LocalError, PortError

__all__ = ["Ask", "Asker"]

_T = TypeVar("_T")

Ask = Callable[[dict[str, Any]], Awaitable[Any]]  # a request of the control socket; DlmsError
_MOST_KEPT: Final = 64  # answers; the largest has 90 kB
# Between two questions: fifty a second are a hundredth of the meter's time, whatever browsers want.
_APART_S: Final = 0.02
_SLOW_S: Final = 0.5  # a failure that took as long is no word on this question, but on the meter
_LONGEST: Final = 1000  # characters of an error


class _Kept(NamedTuple):
    at: float
    answer: Any
    error: DlmsError | None


class Asker:
    """Asks, and keeps each answer for `keep_s`; `clock` gives seconds, monotonic.

    A failure is kept as long, so that those who wait in line behind it need not wait for it again; and one
    that was long in coming is that of all who wait, whatever their question: a meter that hangs would cost
    each a time-out of his own, one after the other.
    """

    def __init__(
        self, ask: Ask, clock: Callable[[], float], *, keep_s: float = 1.0, apart_s: float = _APART_S
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._keep_s = keep_s
        self._apart_s = apart_s
        self._turn = asyncio.Lock()
        self._last = float("-inf")
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._hung = _Kept(float("-inf"), None, None)  # the last failure that was long in coming

    async def __call__(
        self,
        command: str,
        make: Callable[[Any], _T],
        *,
        fresh: bool = False,
        since: float | None = None,
        **arguments: Any,
    ) -> _T:
        """Return what `make` makes of the result of a command; DlmsError if there is none.

        With `fresh` nothing is taken that was kept. `since` is when the question came up, if not now.
        """
        waits_since = self._clock() if since is None else since
        request = {"command": command, **{name: each for name, each in arguments.items() if each is not None}}
        key = json.dumps(request, sort_keys=True)
        async with self._turn:
            kept = self._kept.get(key)
            if waits_since < self._hung.at:
                kept = self._hung
            elif fresh or kept is None or self._clock() - kept.at >= self._keep_s:
                kept = await self._asked(request, make)
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
        if kept.error is not None:
            raise type(kept.error)(str(kept.error)) from kept.error
        answer: _T = kept.answer
        return answer

    async def _asked(self, request: dict[str, Any], make: Callable[[Any], Any]) -> _Kept:
        early = self._last + self._apart_s - self._clock()
        if early > 0:
            await asyncio.sleep(early)
        begin = self._clock()
        try:
            return _Kept(begin, make(await self._ask(request)), None)
        except DlmsError as error:
            # Who answers may be no meter at all, and what he says is told on: in one line, in characters.
            text = " ".join(str(error)[:_LONGEST].encode(errors="replace").decode().split())
            if isinstance(error, LocalError):
                return _Kept(self._clock(), None, LocalError(text))
            failed = _Kept(self._clock(), None, PortError(text))
            if failed.at - begin >= _SLOW_S:
                self._hung = failed
            return failed
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error):
            told = f"the answer to {request['command']!r} is not understood; is the meter of another version?"
            return _Kept(self._clock(), None, PortError(told))
        finally:
            self._last = self._clock()
