"""Reading ION meters: `connect` for asyncio, `blocking.connect` for the same without an event loop."""

from __future__ import annotations

from iondlms.client import blocking
from iondlms.client.client import Client, connect
from iondlms.client.errors import (
    AssociationRefused,
    LinkError,
    NoAnswer,
    OutcomeUnknown,
    ServiceRefused,
    TransferBroken,
)
from iondlms.client.names import NAMES, name_of, resolve
from iondlms.client.objects import ClockReading, ClockSetting, MeterObject
from iondlms.client.profile import Column, Profile, ProfileRow, StatusWord
from iondlms.client.session import Hooks
from iondlms.client.url import Target

__all__ = [
    "NAMES",
    "AssociationRefused",
    "Client",
    "ClockReading",
    "ClockSetting",
    "Column",
    "Hooks",
    "LinkError",
    "MeterObject",
    "NoAnswer",
    "OutcomeUnknown",
    "Profile",
    "ProfileRow",
    "ServiceRefused",
    "StatusWord",
    "Target",
    "TransferBroken",
    "blocking",
    "connect",
    "name_of",
    "resolve",
]
