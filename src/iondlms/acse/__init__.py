"""Opening and closing an association: AARQ, AARE, RLRQ, RLRE, its state tables, LLS (IEC 62056-53)."""

from __future__ import annotations

from iondlms.acse.apdu import (
    AUTHENTICATION,
    Aare,
    Aarq,
    AcseApdu,
    AuthenticationValue,
    Rlre,
    Rlrq,
    decode_acse_apdu,
)
from iondlms.acse.association import (
    CLIENT,
    SERVER,
    ClientInput,
    ClientState,
    ClientStep,
    ServerInput,
    ServerState,
    ServerStep,
)
from iondlms.acse.authentication import Policy, check
from iondlms.acse.ber import BitString, Element
from iondlms.acse.names import (
    ApplicationContextName,
    AssociationResult,
    Diagnostic,
    MechanismName,
    ReleaseRequestReason,
    ReleaseResponseReason,
    ServiceProvider,
    ServiceUser,
)

__all__ = [
    "AUTHENTICATION",
    "CLIENT",
    "SERVER",
    "Aare",
    "Aarq",
    "AcseApdu",
    "ApplicationContextName",
    "AssociationResult",
    "AuthenticationValue",
    "BitString",
    "ClientInput",
    "ClientState",
    "ClientStep",
    "Diagnostic",
    "Element",
    "MechanismName",
    "Policy",
    "ReleaseRequestReason",
    "ReleaseResponseReason",
    "Rlre",
    "Rlrq",
    "ServerInput",
    "ServerState",
    "ServerStep",
    "ServiceProvider",
    "ServiceUser",
    "check",
    "decode_acse_apdu",
]
