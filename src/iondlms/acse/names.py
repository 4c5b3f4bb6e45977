"""Object identifiers and codes of the ACSE: contexts, mechanisms, results, diagnostics, reasons.

IEC 62056-53 clause 7; the object identifiers are those of the DLMS UA (2.16.756.5.8.x.y).
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TypeAlias

__all__ = [
    "ApplicationContextName",
    "AssociationResult",
    "Diagnostic",
    "MechanismName",
    "ReleaseRequestReason",
    "ReleaseResponseReason",
    "ServiceProvider",
    "ServiceUser",
]


class ApplicationContextName(bytes, Enum):
    """2.16.756.5.8.1.x, as the contents of its OBJECT IDENTIFIER; equal to the same bytes."""

    LOGICAL_NAME = bytes.fromhex("60857405080101")
    SHORT_NAME = bytes.fromhex("60857405080102")
    LOGICAL_NAME_CIPHERED = bytes.fromhex("60857405080103")
    SHORT_NAME_CIPHERED = bytes.fromhex("60857405080104")


class MechanismName(bytes, Enum):
    """2.16.756.5.8.2.x, as the contents of its OBJECT IDENTIFIER; equal to the same bytes."""

    LOWEST = bytes.fromhex("60857405080200")
    LOW = bytes.fromhex("60857405080201")
    HIGH = bytes.fromhex("60857405080202")
    HIGH_MD5 = bytes.fromhex("60857405080203")
    HIGH_SHA1 = bytes.fromhex("60857405080204")
    HIGH_GMAC = bytes.fromhex("60857405080205")
    HIGH_SHA256 = bytes.fromhex("60857405080206")
    HIGH_ECDSA = bytes.fromhex("60857405080207")


class AssociationResult(IntEnum):
    """Association-result of the AARE."""

    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class ServiceUser(IntEnum):
    """Associate-source-diagnostic, acse-service-user."""

    NULL = 0
    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AP_TITLE_NOT_RECOGNIZED = 3
    CALLING_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 4
    CALLING_AE_QUALIFIER_NOT_RECOGNIZED = 5
    CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 6
    CALLED_AP_TITLE_NOT_RECOGNIZED = 7
    CALLED_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 8
    CALLED_AE_QUALIFIER_NOT_RECOGNIZED = 9
    CALLED_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 10
    AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED = 11
    AUTHENTICATION_MECHANISM_NAME_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


class ServiceProvider(IntEnum):
    """Associate-source-diagnostic, acse-service-provider."""

    NULL = 0
    NO_REASON_GIVEN = 1
    NO_COMMON_ACSE_VERSION = 2


Diagnostic: TypeAlias = ServiceUser | ServiceProvider


class ReleaseRequestReason(IntEnum):
    """Reason of the RLRQ."""

    NORMAL = 0
    URGENT = 1
    USER_DEFINED = 30


class ReleaseResponseReason(IntEnum):
    """Reason of the RLRE."""

    NORMAL = 0
    NOT_FINISHED = 1
    USER_DEFINED = 30
