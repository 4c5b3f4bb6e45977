"""One error tree; each error owns the code it puts on the wire.

`LocalError`: our caller is wrong. `RemoteError`: the peer's octets are wrong. `AccessError`: an object
refuses. `PortError`: the line is dead or silent.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

__all__ = [
    "AccessError",
    "DataAccessResult",
    "DataBlockNumberInvalid",
    "DataBlockUnavailable",
    "DecodeError",
    "DlmsError",
    "LocalError",
    "NoLongGetInProgress",
    "ObjectClassInconsistent",
    "ObjectUnavailable",
    "ObjectUndefined",
    "OtherReason",
    "PortError",
    "ReadWriteDenied",
    "RemoteError",
    "ScopeOfAccessViolated",
    "TemporaryFailure",
    "TypeUnmatched",
    "access_error",
    "extra_hint",
]


class DataAccessResult(IntEnum):
    """Data-Access-Result (IEC 62056-53, abstract syntax)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


class DlmsError(Exception):
    """Root of all errors this package raises on purpose."""


def extra_hint(extra: str) -> str:
    """Return how an extra of this package is installed, for the error where it is missing."""
    return f"pip install 'iondlms[{extra}]' (in a clone: pip install '.[{extra}]')"


class LocalError(DlmsError):
    """Our caller is wrong: a value that cannot be sent, a call in the wrong state."""


class RemoteError(DlmsError):
    """The peer's octets are wrong, or it refused."""


class DecodeError(RemoteError):
    """The octets are not what the standard's syntax allows."""


class PortError(DlmsError):
    """The line is dead or silent."""


class AccessError(DlmsError):
    """An object refuses; `result` is what the response carries."""

    result: ClassVar[DataAccessResult] = DataAccessResult.OTHER_REASON


class TemporaryFailure(AccessError):
    """Not now: what was asked cannot be made durable."""

    result = DataAccessResult.TEMPORARY_FAILURE


class ReadWriteDenied(AccessError):
    """No right to read or write this attribute."""

    result = DataAccessResult.READ_WRITE_DENIED


class ObjectUndefined(AccessError):
    """No such object, or no such attribute of it."""

    result = DataAccessResult.OBJECT_UNDEFINED


class ObjectClassInconsistent(AccessError):
    """The logical name exists with another class."""

    result = DataAccessResult.OBJECT_CLASS_INCONSISTENT


class ObjectUnavailable(AccessError):
    """The object exists and has no value now."""

    result = DataAccessResult.OBJECT_UNAVAILABLE


class TypeUnmatched(AccessError):
    """Data of the wrong type or length."""

    result = DataAccessResult.TYPE_UNMATCHED


class ScopeOfAccessViolated(AccessError):
    """A selector or an index outside what the object offers."""

    result = DataAccessResult.SCOPE_OF_ACCESS_VIOLATED


class DataBlockUnavailable(AccessError):
    """The next block cannot be given any more."""

    result = DataAccessResult.DATA_BLOCK_UNAVAILABLE


class NoLongGetInProgress(AccessError):
    """A GET-next came while no block transfer was running."""

    result = DataAccessResult.NO_LONG_GET_IN_PROGRESS


class DataBlockNumberInvalid(AccessError):
    """A GET-next named another block than the one just sent."""

    result = DataAccessResult.DATA_BLOCK_NUMBER_INVALID


class OtherReason(AccessError):
    """Refused for a reason the other codes do not name."""

    result = DataAccessResult.OTHER_REASON


_BY_RESULT: dict[int, type[AccessError]] = {cls.result: cls for cls in AccessError.__subclasses__()}


def access_error(result: DataAccessResult, message: str) -> AccessError:
    """Return the `AccessError` for a result that a response carried."""
    return _BY_RESULT.get(result, OtherReason)(message)
