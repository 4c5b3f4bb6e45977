"""Is this AARQ let in? Lowest level and low level security (IEC 62056-53 clause 7; Green Book 9.2.2)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Literal

from iondlms.acse.apdu import Aarq
from iondlms.acse.names import (
    ApplicationContextName,
    Diagnostic,
    MechanismName,
    ServiceProvider,
    ServiceUser,
)

__all__ = ["Policy", "check"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What one client SAP must show. An empty password counts as none: it would let everybody in."""

    mechanism: Literal[MechanismName.LOWEST, MechanismName.LOW]
    password: bytes | None = field(default=None, repr=False)


def check(aarq: Aarq, policy: Policy) -> Diagnostic | None:
    """Return None if the AARQ may open the association, else the diagnostic that the AARE carries."""
    if aarq.application_context_name != ApplicationContextName.LOGICAL_NAME:
        return ServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
    if aarq.protocol_version is not None and not aarq.protocol_version.bit_0:
        return ServiceProvider.NO_COMMON_ACSE_VERSION
    if policy.mechanism is MechanismName.LOWEST:
        return _check_lowest(aarq)
    return _check_low(aarq, policy.password)


def _check_lowest(aarq: Aarq) -> Diagnostic | None:
    # A password that nobody asked for is no reason to refuse, and is not looked at. But a client that asks
    # for more than a password would wait for a second pass that never comes.
    if not _authentication_chosen(aarq) or aarq.mechanism_name in (
        None,
        MechanismName.LOWEST,
        MechanismName.LOW,
    ):
        return None
    return ServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED


def _check_low(aarq: Aarq, password: bytes | None) -> Diagnostic | None:
    if not password:
        return ServiceUser.AUTHENTICATION_FAILURE
    value = aarq.calling_authentication_value
    if not _authentication_chosen(aarq) or aarq.mechanism_name == MechanismName.LOWEST:
        return ServiceUser.AUTHENTICATION_REQUIRED
    if aarq.mechanism_name is None and value is not None:
        return ServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED
    if aarq.mechanism_name not in (None, MechanismName.LOW):
        return ServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED
    if value is None:
        return ServiceUser.AUTHENTICATION_REQUIRED
    if value.charstring is None or not hmac.compare_digest(value.charstring, password):
        return ServiceUser.AUTHENTICATION_FAILURE
    return None


def _authentication_chosen(aarq: Aarq) -> bool:
    """Whether the authentication functional unit is selected.

    Some clients leave the ACSE requirements out and send mechanism and password all the same: they mean it.
    A bit that is there and cleared means no authentication.
    """
    if aarq.sender_acse_requirements is None:
        return aarq.mechanism_name is not None or aarq.calling_authentication_value is not None
    return aarq.sender_acse_requirements.bit_0
