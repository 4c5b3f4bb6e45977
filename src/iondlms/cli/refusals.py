"""What an object refuses, with its name and what to try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from iondlms.errors import AccessError, DataAccessResult

__all__ = ["refused", "refusing"]

_LISTED: Final = "`iondlms objects URL` lists what it has"
# A refusal that is not here says itself all that is known.
_REMEDIES: Final[dict[DataAccessResult, str]] = {
    DataAccessResult.OBJECT_UNDEFINED: _LISTED,
    DataAccessResult.OBJECT_CLASS_INCONSISTENT: _LISTED,
    DataAccessResult.TEMPORARY_FAILURE: "try again later",
    DataAccessResult.READ_WRITE_DENIED: "try another client, or its password (client= in the URL)",
    DataAccessResult.SCOPE_OF_ACCESS_VIOLATED: "the meter does not select so; ask for other rows or columns",
}


def refused(name: str, error: AccessError) -> str:
    """Return what a person is told of an object that refuses."""
    hint = _REMEDIES.get(error.result)
    return f"{name}: the meter refuses it: {error}{f'; {hint}' if hint else ''}"


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Have a refusal within name the object, and say what to try."""
    try:
        yield
    except AccessError as error:
        raise type(error)(refused(name, error)) from error
