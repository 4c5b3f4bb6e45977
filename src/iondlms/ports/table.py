"""State tables of what is said on a line before, and around, HDLC: a row for each state and input."""

from __future__ import annotations

from enum import Enum
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Step", "rows"]

_State = TypeVar("_State", bound=Enum)
_Input = TypeVar("_Input", bound=Enum)


class Step(NamedTuple, Generic[_State]):
    """A row's right side."""

    action: str
    state: _State


def rows(
    state: _State, inputs: type[_Input], otherwise: Step[_State] | None = None, **named: Step[_State]
) -> dict[tuple[_State, _Input], Step[_State]]:
    """Return a row for each input; one that is not named has `otherwise`, or is ignored."""
    rest = Step("ignore", state) if otherwise is None else otherwise
    return {(state, name): named.get(name.name, rest) for name in inputs}
